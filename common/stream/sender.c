/* SPDX-License-Identifier: MIT */
#include "stream/sender.h"

#include <pthread.h>
#include <stdlib.h>

struct dc_sender {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct dc_out *out;
	struct dc_body waiting; const char *kind; uint64_t step;
	int full, quit;        /* a body waits; no more will come */
	int status;            /* of the writes so far */
	char *err;
};

static void *
write_frames(void *arg)
{
	struct dc_sender *s = arg;
	struct dc_body body = { 0 }, t;

	pthread_mutex_lock(&s->lock);
	while (s->status == DC_FRAME) {
		while (!s->full && !s->quit)
			pthread_cond_wait(&s->change, &s->lock);
		if (!s->full)
			break;
		const char *kind = s->kind;
		uint64_t step = s->step;
		t = body, body = s->waiting, s->waiting = t;
		s->full = 0;
		pthread_cond_broadcast(&s->change);
		pthread_mutex_unlock(&s->lock);
		int r = dc_frame_write(s->out, kind, step, &body);
		pthread_mutex_lock(&s->lock);
		s->status = r;
		if (r == DC_FAIL)
			s->err = dc_xstrdup(dc_err());
	}
	pthread_cond_broadcast(&s->change);
	pthread_mutex_unlock(&s->lock);
	dc_body_free(&body);
	return NULL;
}

struct dc_sender *
dc_sender_new(struct dc_out *out)
{
	struct dc_sender *s = dc_xcalloc(1, sizeof *s);

	s->out = out;
	s->status = DC_FRAME;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->change, NULL);
	if (pthread_create(&s->thread, NULL, write_frames, s)) {
		s->status = DC_FAIL;
		s->err = dc_xstrdup("no thread can be started");
		s->quit = -1;
	}
	return s;
}

static int
status(struct dc_sender *s)
{
	if (s->status == DC_FAIL)
		dc_err_set("%s", s->err ? s->err : "write failed");
	return s->status;
}

int
dc_sender_send(struct dc_sender *s, const char *kind, uint64_t step, struct dc_body *b)
{
	struct dc_body t;
	int r;

	pthread_mutex_lock(&s->lock);
	while (s->full && s->status == DC_FRAME)
		pthread_cond_wait(&s->change, &s->lock);
	if ((r = status(s)) == DC_FRAME) {
		t = s->waiting, s->waiting = *b, *b = t;
		s->kind = kind;
		s->step = step;
		s->full = 1;
		pthread_cond_broadcast(&s->change);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

int
dc_sender_finish(struct dc_sender *s)
{
	int r, started = s->quit != -1;

	pthread_mutex_lock(&s->lock);
	s->quit = 1;
	pthread_cond_broadcast(&s->change);
	pthread_mutex_unlock(&s->lock);
	if (started)
		pthread_join(s->thread, NULL);
	r = status(s);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->change);
	dc_body_free(&s->waiting);
	free(s->err);
	free(s);
	return r;
}
