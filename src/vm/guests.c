// SPDX-License-Identifier: MIT
/* The other side of the runtime socket: guests of this user in other processes. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include <yyjson.h>

#include "base/sys.h"
#include "vm/config.h"
#include "vm/runtime.h"

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **name;
	unsigned int n;
};

static void names_clear(struct names *names)
{
	for (unsigned int i = 0; i < names->n; i++)
		free(names->name[i]);
	free(names->name);
}

static int names_add(struct names *names, const char *entry)
{
	const char *dot = strrchr(entry, '.');
	char **more, *name;

	if (entry[0] == '.' || !dot || strcmp(dot, ".sock"))
		return 0;
	more = realloc(names->name, (names->n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	names->name = more;
	name = strndup(entry, (size_t)(dot - entry));
	if (!name)
		return -ENOMEM;
	names->name[names->n++] = name;
	return 0;
}

static int read_names(const struct runtime *folder, struct names *names)
{
	DIR *d = opendir(folder->path);
	struct dirent *entry;
	int r = 0;

	if (!d)
		return -errno;
	while (r >= 0 && (entry = readdir(d)))
		r = names_add(names, entry->d_name);
	closedir(d);
	if (names->n)
		qsort(names->name, names->n, sizeof(*names->name), by_name);
	return r;
}

static int for_each_guest(const struct runtime *folder, int (*fn)(void *ctx, const char *name, int pid), void *ctx, struct err *e)
{
	CLEANUP(names_clear) struct names names = { 0 };
	int r = read_names(folder, &names);

	if (r < 0)
		return err_set(e, r, "the folder of running guests cannot be read: %s: %s", folder->path, err_name(r));
	for (unsigned int i = 0; i < names.n; i++) {
		struct ucred who = { 0 };
		socklen_t len = sizeof(who);
		int fd = runtime_connect(folder, names.name[i], NULL);

		if (fd == -ECONNREFUSED || fd == -ENOENT)
			continue;
		if (fd >= 0) {
			getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
			close(fd);
		}
		r = fn(ctx, names.name[i], (int)who.pid);
		if (r)
			return r;
	}
	return 0;
}

int lkvm_guests(int (*fn)(void *ctx, const char *name, int pid), void *ctx, struct lkvm_error *e)
{
	struct err err = { 0 };
	struct runtime folder;
	int r = runtime_open(false, &folder, &err);

	if (r == -ENOENT)
		return 0;
	if (r >= 0) {
		r = for_each_guest(&folder, fn, ctx, &err);
		runtime_close(&folder);
	}
	if (r < 0)
		vm_error_copy(e, &err);
	return r;
}

static char *make_request(const char *method, const char *params, size_t *ret_len)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *obj = yyjson_mut_obj(doc);
	char *line;

	yyjson_mut_doc_set_root(doc, obj);
	yyjson_mut_obj_add_str(doc, obj, "method", method);
	if (params)
		yyjson_mut_obj_add_val(doc, obj, "params", yyjson_mut_raw(doc, params));
	line = yyjson_mut_write(doc, 0, ret_len);
	yyjson_mut_doc_free(doc);
	if (!line)
		return NULL;
	/* Parameters may have been written on several lines. */
	for (size_t i = 0; i < *ret_len; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	line[(*ret_len)++] = '\n';
	return line;
}

static int read_reply(const char *name, const char *line, char **ret_reply, struct err *e)
{
	yyjson_doc *doc = yyjson_read(line, strlen(line), 0);
	yyjson_val *root = yyjson_doc_get_root(doc), *result = yyjson_obj_get(root, "result");
	const char *error = yyjson_get_str(yyjson_obj_get(root, "error"));
	int64_t code = yyjson_get_sint(yyjson_obj_get(root, "code"));
	char *text;
	int r = 0;

	if (yyjson_get_bool(yyjson_obj_get(root, "ok")) && yyjson_is_obj(result)) {
		text = yyjson_val_write(result, 0, NULL);
		if (text)
			*ret_reply = text;
		else
			r = err_set(e, -ENOMEM, "out of memory");
	} else {
		r = err_set(e, code < 0 && code > -4096 ? (int)code : -EPROTO, "guest \"%s\": %s", name,
			    error ? error : "its reply cannot be understood");
	}
	yyjson_doc_free(doc);
	return r;
}

static int talk(int fd, const char *name, const char *request, size_t len, uint64_t deadline, char **ret_reply, struct err *e)
{
	CLEANUP_FREE char *line = NULL;
	int r = runtime_write(fd, request, len, deadline);

	if (r >= 0)
		r = runtime_read_line(fd, RUNTIME_MAX_REPLY, deadline, &line);
	if (r == -ETIMEDOUT)
		return err_set(e, r, "guest \"%s\" does not answer", name);
	if (r < 0 || !*line)
		return err_set(e, r < 0 ? r : -EPIPE, "guest \"%s\" has ended", name);
	return read_reply(name, line, ret_reply, e);
}

int lkvm_guest_control(const char *name, const char *method, const char *params, int timeout_ms, char **ret_reply,
		       struct lkvm_error *e)
{
	uint64_t deadline = timeout_ms < 0 ? UINT64_MAX : sys_now_ns() + (uint64_t)timeout_ms * 1000000;
	struct err err = { 0 };
	struct runtime folder;
	size_t len = 0;
	CLEANUP_FREE char *request = make_request(method, params, &len);
	CLEANUP_CLOSE int fd = -1;
	int r = runtime_open(false, &folder, &err);

	if (r >= 0) {
		r = fd = runtime_connect(&folder, name, &err);
		runtime_close(&folder);
	} else if (r == -ENOENT) {
		err_set(&err, r, "no guest named \"%s\" is running; lkvm list shows those that are", name);
	}
	if (r >= 0)
		r = request ? talk(fd, name, request, len, deadline, ret_reply, &err) : err_set(&err, -ENOMEM, "out of memory");
	if (r < 0)
		vm_error_copy(e, &err);
	return r == -ECONNREFUSED ? -ENOENT : MIN(r, 0);
}
