// SPDX-License-Identifier: MIT
/* The console device against a hostile driver, with input that comes and output that goes at any time. */
#include <fcntl.h>

#include "drive.h"
#include "virtio/console.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct streams {
	struct loop *loop; /* of the streams only: the device itself has none here */
	struct stream *stream[3];
	int in[2], out[2];
};

static struct virtio_device *create(struct drive *v)
{
	static const char *const names[] = {NULL, "agent", NULL};
	static struct stream *const none[3];
	struct streams *s = v->ctx;
	struct virtio_console_config config = {.names = names, .n = 3, .columns = 80, .rows = 25};
	struct virtio_device *vd;

	config.streams = v->vd ? none : s->stream;
	if (virtio_console_create(&config, &v->vm->env, &vd, NULL) < 0)
		abort();
	return vd;
}

static void op(struct drive *v, uint8_t what)
{
	static char buf[4096];
	struct streams *s = v->ctx;
	size_t len = drive_take(v, 2) % sizeof(buf);

	if (what & 1) {
		memset(buf, what, len);
		if (write(s->in[1], buf, len) < 0)
			len = 0; /* full */
	}
	if (what & 2 && read(s->out[0], buf, sizeof(buf)) < 0)
		len = 0; /* empty */
	loop_turn(s->loop, 0);
	if (what & 4)
		virtio_console_resize(v->vd, what, (uint16_t)len);
}

static bool alive(struct drive *v)
{
	/* Port 2 has no stream: what it is given is swallowed at once. */
	return mock_request(v->d, 7, "hello", 5, NULL, 0) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct streams s = {0};
	struct drive v = {.create = create, .op = op, .alive = alive, .ctx = &s};
	struct stream_config config;

	if (loop_create(&s.loop, NULL) < 0 || pipe2(s.in, O_NONBLOCK | O_CLOEXEC) < 0 ||
	    pipe2(s.out, O_NONBLOCK | O_CLOEXEC) < 0)
		abort();
	config = (struct stream_config){.in_fd = s.in[0], .out_fd = s.out[1]};
	if (stream_open(s.loop, &config, &s.stream[0], NULL) < 0)
		abort();
	config = (struct stream_config){.in_fd = -1, .out_fd = -1};
	if (stream_open(s.loop, &config, &s.stream[1], NULL) < 0)
		abort();
	drive_run(&v, data, size);
	close(s.out[0]); /* nobody waits for what is left */
	stream_close(s.stream[0]);
	stream_close(s.stream[1]);
	loop_destroy(s.loop);
	close(s.in[0]);
	close(s.in[1]);
	close(s.out[1]);
	return 0;
}
