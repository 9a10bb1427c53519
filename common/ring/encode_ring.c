/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "ring/encode_private.h"

enum { HELD_MAX = 64 << 20 };

static void
add_wait(struct dc_encode *t, enum dc_encode_wait whom, double since)
{
	double s = dc_seconds() - since;

	t->wait += s;
	t->waited[whom] += s;
}

/* All that follows returns DC_FRAME to go on, DC_EOF when the training is over, DC_FAIL or DC_GONE. */

static int
take_stop(struct dc_encode *t)
{
	t->stopped = 1;
	return DC_EOF;
}

static void
hold(struct dc_encode *t)
{
	if (t->n_held == t->held_cap) {
		t->held_cap = t->held_cap ? 2 * t->held_cap : 16;
		t->held = dc_xrealloc(t->held, (size_t)t->held_cap, sizeof *t->held);
	}
	t->held[t->n_held] = (struct dc_frame){ 0 };
	t->held_bytes += t->f.bytes;
	dc_frame_move(&t->held[t->n_held++], &t->f);
}

static int
pass_held(struct dc_encode *t)
{
	int r = DC_FRAME;

	for (int i = 0; i < t->n_held; i++) {
		r = r == DC_FRAME ? dc_frame_pass(&t->out, &t->held[i]) : r;
		dc_frame_free(&t->held[i]);
	}
	t->n_held = 0;
	t->held_bytes = 0;
	return r;
}

/* Read one frame of stdin into `next`, or what of it there is. DC_FRAME: one came. DC_OTHER: the loop has something.
 * `ahead`: dc-step may be writing the loop. It reads nothing then, so others' frames wait here, or all would wait for
 * one another. */
static int
read_stdin(struct dc_encode *t, int ahead)
{
	int r = dc_frame_read(&t->in, &t->f);

	if (r == DC_EOF)
		t->in_lost = 1; /* no `end`: the neighbour died, or the file is truncated */
	if (r != DC_FRAME)
		return r == DC_EOF ? DC_GONE : r;
	if (!strcmp(t->f.kind, "end"))
		t->end_seen = 1;
	else if (!strcmp(t->f.kind, "batch"))
		return dc_gather_add(&t->next, &t->f) < 0 ? DC_FAIL : DC_FRAME;
	else if (ahead)
		hold(t);
	else
		return dc_frame_pass(&t->out, &t->f);
	return DC_FRAME;
}

static int
may_read_ahead(const struct dc_encode *t)
{
	return !t->end_seen && !dc_gather_whole(&t->next) && t->held_bytes < HELD_MAX && (t->o.read_ahead < 0 || t->next.bytes >> 20 < (uint64_t)t->o.read_ahead);
}

int
dc_encode_read_loop(struct dc_encode *t, enum dc_encode_wait whom)
{
	double start = dc_seconds();
	int r;

	do {
		t->loop.n_watch = 1; /* stdout; and stdin while there is room */
		if (may_read_ahead(t) && dc_in_buffered(&t->in))
			r = DC_OTHER;
		else {
			if (may_read_ahead(t))
				dc_in_watch(&t->loop, t->in.fd, POLLIN);
			r = dc_frame_read(&t->loop, &t->lf);
		}
		if (r == DC_OTHER && (r = read_stdin(t, 1)) == DC_FRAME)
			r = DC_OTHER;
	} while (r == DC_OTHER);
	add_wait(t, whom, start);
	if (r == DC_EOF)
		return DC_GONE; /* dc-step closes the loop only after `end` */
	if (r == DC_FRAME && !strcmp(t->lf.kind, "stop"))
		return take_stop(t);
	return r;
}

int
dc_encode_next_batch(struct dc_encode *t)
{
	struct dc_gather swap = t->now;
	double start = dc_seconds();
	int r = pass_held(t);

	dc_gather_clear(&swap);
	while (r == DC_FRAME && !dc_gather_whole(&t->next) && !t->end_seen) {
		if (dc_in_buffered(&t->loop) || (r = read_stdin(t, 0)) == DC_OTHER)
			if ((r = dc_frame_read(&t->loop, &t->lf)) == DC_FRAME)
				r = strcmp(t->lf.kind, "stop") ? dc_frame_err(&t->lf, "unexpected here") : take_stop(t);
	}
	add_wait(t, DC_FOR_DATA, start);
	if (r != DC_FRAME)
		return r == DC_EOF && !t->stopped ? DC_GONE : r;
	if (!dc_gather_whole(&t->next)) {
		if (t->next.n)
			return dc_frame_err(&t->f, "the end comes after part %d of %lld of a batch", t->next.n, (long long)t->next.want);
		return DC_EOF;
	}
	t->now = t->next;
	t->next = swap;
	return DC_FRAME;
}

int
dc_encode_look_round(struct dc_encode *t)
{
	struct pollfd p[2] = { { .fd = t->out.fd }, { .fd = t->loop.fd, .events = POLLIN } };
	int r;

	if (!dc_in_buffered(&t->loop) && poll(p, 2, 0) <= 0)
		return DC_FRAME;
	if (p[0].revents & (POLLERR | POLLHUP | POLLNVAL))
		return DC_GONE;
	if (!p[1].revents && !dc_in_buffered(&t->loop))
		return DC_FRAME;
	if ((r = dc_frame_read(&t->loop, &t->lf)) != DC_FRAME)
		return r == DC_EOF ? DC_GONE : r;
	return strcmp(t->lf.kind, "stop") ? dc_frame_err(&t->lf, "unexpected here") : take_stop(t);
}

int
dc_encode_finish(struct dc_encode *t)
{
	int r;

	if (t->end_seen && !t->stopped)
		r = dc_frame_pass(&t->out, &t->f);
	else {
		dc_put_bool(&t->body, "stopped", 1);
		r = dc_frame_write(&t->out, "end", t->step, &t->body);
	}
	if (r != DC_FRAME)
		return r;
	if (close(t->out.fd) < 0)
		return dc_err_errno("<stdout>");
	close(t->in.fd);
	t->loop.n_watch = 0;
	while ((r = dc_frame_read(&t->loop, &t->lf)) == DC_FRAME)
		;
	return r == DC_EOF && t->loop.ended ? DC_FRAME : r == DC_EOF ? DC_GONE : r;
}
