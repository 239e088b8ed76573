// SPDX-License-Identifier: MIT
/*
 * The runtime socket. A client sends one line, {"method":...,"params":{...}}, and gets one, {"ok":true,"result":{...}} or
 * {"ok":false,"error":"...","code":-N}. The loop accepts; each client has a thread of its own, so that one who says nothing holds up nobody.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include <yyjson.h>

#include "base/sys.h"
#include "vm/runtime.h"
#include "vm/vm.h"

#define MAX_CLIENTS 8
#define CLIENT_NS UINT64_C(10000000000) /* for the request, and again for the reply */
#define LAST_WORDS_NS UINT64_C(1000000000) /* for replies when the VM goes away */

struct client {
	struct control *control;
	int fd;		      /* -1: the place is free, or the thread is done */
	bool started, done;   /* done: only the join is left */
	unsigned long thread;
};

struct control {
	struct lkvm_vm *vm;
	struct runtime folder;
	char name[RUNTIME_NAME_MAX + 1];
	int fd;
	struct loop_source *source;
	pthread_mutex_t lock; /* for the clients */
	pthread_cond_t left;
	struct client client[MAX_CLIENTS];
};

static char *reply_error(int code, const char *text, size_t *ret_len)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *obj = yyjson_mut_obj(doc);
	char *reply;

	yyjson_mut_doc_set_root(doc, obj);
	yyjson_mut_obj_add_bool(doc, obj, "ok", false);
	yyjson_mut_obj_add_str(doc, obj, "error", text);
	yyjson_mut_obj_add_int(doc, obj, "code", code);
	reply = yyjson_mut_write(doc, YYJSON_WRITE_ALLOW_INVALID_UNICODE, ret_len);
	yyjson_mut_doc_free(doc);
	return reply;
}

/* A request's method with its parameters as text again. */
static int handle(struct lkvm_vm *vm, const char *request, char **ret_reply, struct err *e)
{
	yyjson_doc *doc = yyjson_read(request, strlen(request), 0);
	yyjson_val *root = yyjson_doc_get_root(doc), *params = yyjson_obj_get(root, "params");
	const char *method = yyjson_get_str(yyjson_obj_get(root, "method"));
	char *text = NULL;
	int r;

	if (params)
		text = yyjson_val_write(params, 0, NULL);
	if (!method || (params && !text))
		r = err_set(e, -EBADMSG, "a request is a line {\"method\":\"...\",\"params\":{...}}");
	else
		r = control_call(vm, method, text, ret_reply, e);
	free(text);
	yyjson_doc_free(doc);
	return r;
}

static void answer(struct control *c, int fd)
{
	CLEANUP_FREE char *request = NULL, *result = NULL, *line = NULL;
	struct err e = { 0 };
	size_t len = 0;
	int r = runtime_read_line(fd, RUNTIME_MAX_REQUEST, sys_now_ns() + CLIENT_NS, &request);

	if (r == -E2BIG)
		err_set(&e, r, "a request has at most %u bytes", RUNTIME_MAX_REQUEST);
	else if (r == -EBADMSG)
		err_set(&e, r, "a request holds no NUL");
	else if (r < 0 || !*request)
		return; /* gone, or silent */
	else
		r = handle(c->vm, request, &result, &e);
	if (r < 0) {
		line = reply_error(e.code ? e.code : r, e.code ? e.text : err_name(r), &len);
	} else {
		int n = asprintf(&line, "{\"ok\":true,\"result\":%s}", result);

		len = n < 0 ? 0 : (size_t)n;
		if (n < 0)
			line = NULL;
	}
	if (!line)
		return;
	line[len] = '\n'; /* in the place of the NUL */
	runtime_write(fd, line, len + 1, sys_now_ns() + CLIENT_NS);
}

static void *client_main(void *ctx)
{
	struct client *client = ctx;
	struct control *c = client->control;

	answer(c, client->fd);
	pthread_mutex_lock(&c->lock);
	close_fd(&client->fd);
	client->done = true;
	pthread_cond_broadcast(&c->left);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* A place for a client whose thread, if it had one, is gone. Loop thread. */
static struct client *free_place(struct control *c)
{
	struct client *found = NULL;

	pthread_mutex_lock(&c->lock);
	for (unsigned int i = 0; i < MAX_CLIENTS && !found; i++)
		if (!c->client[i].started || c->client[i].done)
			found = &c->client[i];
	pthread_mutex_unlock(&c->lock);
	if (found && found->started) {
		pthread_join((pthread_t)found->thread, NULL);
		found->started = found->done = false;
	}
	return found;
}

static void refuse(int fd, const char *why)
{
	size_t len;
	char *line = reply_error(-EBUSY, why, &len);

	if (line) {
		line[len] = '\n';
		send(fd, line, len + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		free(line);
	}
	close(fd);
}

static void on_client(void *ctx, uint32_t events)
{
	struct control *c = ctx;
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);
	struct client *client;

	if (fd < 0)
		return;
	client = free_place(c);
	if (!client) {
		refuse(fd, "this guest is talking to 8 others already: try again in a moment");
		return;
	}
	pthread_mutex_lock(&c->lock);
	*client = (struct client){ .control = c, .fd = fd };
	if (sys_thread_start(client_main, client, "lkvm-control", &client->thread) < 0)
		client->fd = -1;
	else
		client->started = true;
	pthread_mutex_unlock(&c->lock);
	if (!client->started)
		refuse(fd, "no thread can be started on the host");
}

int control_open(struct lkvm_vm *vm, const char *name, struct control **ret, struct err *e)
{
	struct control *c = calloc(1, sizeof(*c));
	struct err trouble = { 0 };
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->vm = vm;
	c->fd = c->folder.fd = -1;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->left, NULL);
	for (unsigned int i = 0; i < MAX_CLIENTS; i++)
		c->client[i].fd = -1;
	r = runtime_open(true, &c->folder, &trouble);
	if (r >= 0)
		r = runtime_listen(&c->folder, name, &trouble);
	if (r < 0)
		goto fail;
	c->fd = r;
	snprintf(c->name, sizeof(c->name), "%s", name);
	r = loop_add(vm->machine.loop, c->fd, EPOLLIN, on_client, c, &c->source);
	if (r < 0) {
		err_set(&trouble, -EINVAL, "the socket of guest \"%s\" cannot be watched: %s", name, err_name(r));
		goto fail;
	}
	*ret = c;
	return 0;
fail:
	control_close(c);
	if (trouble.code == -EEXIST || trouble.code == -EINVAL)
		return err_set(e, trouble.code, "%s", trouble.text);
	log_warning(&vm->log, "lkvm list and lkvm stop will not find this guest: %s", trouble.text);
	*ret = NULL;
	return 0;
}

/* Requests end here; replies have a moment left. */
static void dismiss_clients(struct control *c, int how)
{
	for (unsigned int i = 0; i < MAX_CLIENTS; i++)
		if (c->client[i].fd >= 0)
			shutdown(c->client[i].fd, how);
}

static bool all_done(const struct control *c)
{
	for (unsigned int i = 0; i < MAX_CLIENTS; i++)
		if (c->client[i].started && !c->client[i].done)
			return false;
	return true;
}

void control_close(struct control *c)
{
	struct timespec until;

	if (!c)
		return;
	if (c->name[0])
		runtime_remove(&c->folder, c->name);
	loop_remove(c->source);
	close_fd(&c->fd);
	runtime_close(&c->folder);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LAST_WORDS_NS / 1000000000;
	pthread_mutex_lock(&c->lock);
	dismiss_clients(c, SHUT_RD);
	while (!all_done(c))
		if (pthread_cond_timedwait(&c->left, &c->lock, &until)) {
			dismiss_clients(c, SHUT_RDWR);
			while (!all_done(c))
				pthread_cond_wait(&c->left, &c->lock);
		}
	pthread_mutex_unlock(&c->lock);
	for (unsigned int i = 0; i < MAX_CLIENTS; i++)
		if (c->client[i].started)
			pthread_join((pthread_t)c->client[i].thread, NULL);
	pthread_cond_destroy(&c->left);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
