/* SPDX-License-Identifier: MIT */
#include "ring/step_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "stream/stall.h"

enum { RETRY_MS = 20 };

/* Whoever opened the FIFO that was there waits at that one. */
static int
still_there(const struct dc_step *r, const struct stat *was)
{
	struct stat sb;

	if (stat(r->o.loop, &sb) < 0)
		return dc_err_errno("%s", r->o.loop);
	if (sb.st_ino != was->st_ino || sb.st_dev != was->st_dev)
		return dc_err_set("%s: somebody has put another in the place of this FIFO", r->o.loop);
	return 0;
}

/* Open the FIFO without waiting for its reader for ever: a dead stdin ends it, a signal too. */
static int
wait_reader(struct dc_step *r, int *fd, const struct stat *was)
{
	struct pollfd p[3] = { { STDIN_FILENO, 0, 0 }, { r->wake, POLLIN, 0 }, { r->lifeline, 0, 0 } };

	while ((*fd = open(r->o.loop, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
		if (errno != ENXIO && errno != EINTR)
			return dc_err_errno("%s", r->o.loop);
		DC_TRY(still_there(r, was));
		if (poll(p, 3, RETRY_MS) < 0)
			continue;
		if (p[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			return DC_GONE;
		if (p[1].revents || p[2].revents)
			return DC_OTHER;   /* nothing has changed since the checkpoint */
	}
	return DC_FRAME;
}

int
dc_step_open_loop(struct dc_step *r)
{
	struct stat sb;
	char *what;
	int fd, at, io;

	if (stat(r->o.loop, &sb) < 0)
		return dc_err_errno("%s", r->o.loop);
	if (!S_ISFIFO(sb.st_mode))
		return dc_err_set("%s: not a FIFO", r->o.loop);
	what = dc_xasprintf("for somebody (dc-encode) to open %s for reading", r->o.loop);
	at = dc_wait_begin(&(struct dc_wait){ .fd = -1, .name = what });
	io = wait_reader(r, &fd, &sb);
	dc_wait_end(at);
	free(what);
	return io == DC_FRAME && dc_out_init(&r->loop, fd, r->o.loop) < 0 ? DC_FAIL : io;
}

int
dc_step_send_state(struct dc_step *r)
{
	dc_put_str(&r->b, "config", r->s.config);
	dc_put_int(&r->b, "step", (int64_t)r->s.step);
	dc_put_int(&r->b, "position", r->s.position);
	dc_put_bool(&r->b, "by_value", r->o.by_value);
	if (r->s.nn_queue) {
		dc_put_data(&r->b, "nn_queue", DC_F32, 2, (int64_t[]){ r->s.c.queue, r->s.c.embed_dim }, r->s.nn_queue);
		dc_put_int(&r->b, "nn_head", r->s.nn_head);
		dc_put_int(&r->b, "nn_valid", r->s.nn_valid);
	}
	return dc_frame_write(&r->loop, "state", r->s.step, &r->b);
}

/* The bits of all parameters. */
static uint64_t
hash_of_parameters(const struct dc_step *r)
{
	uint64_t h = r->s.step;

	for (int i = 0; i < r->s.n; i++)
		h = XXH3_64bits_withSeed(r->s.t[i].w, r->s.t[i].p.n * sizeof(float), h);
	return h >> 1 | 1;   /* an int64, and not 0 */
}

/* From here on both files are dc-encode's, until its last gradients frame. The gradients are zero. */
int
dc_step_send_parameters(struct dc_step *r)
{
	dc_put_map(&r->b, "parameter", (size_t)r->s.n);
	for (int i = 0; i < r->s.n; i++) {
		const struct dc_param *p = &r->s.t[i].p;

		if (r->o.by_value)
			dc_put_data(&r->b, p->name, DC_F32, p->ndim, p->shape, r->s.t[i].w);
		else
			dc_put_ref(&r->b, p->name, DC_F32, p->ndim, p->shape, DC_SHM_PARAMETERS, p->name);
	}
	if (!r->o.by_value)
		dc_put_bool(&r->b, "zeroed", 1);
	if (r->o.hash && r->s.step == r->saved_step)
		dc_put_int(&r->b, "parameter_hash", (int64_t)hash_of_parameters(r));
	r->sent = dc_seconds();
	return dc_frame_write(&r->loop, "parameters", r->s.step, &r->b);
}
