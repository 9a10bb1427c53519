/* SPDX-License-Identifier: MIT */
#include "ring/step_private.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static double
number(const msgpack_object *v)
{
	switch (v->type) {
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64: return v->via.f64;
	case MSGPACK_OBJECT_POSITIVE_INTEGER: return (double)v->via.u64;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER: return (double)v->via.i64;
	default: return NAN;
	}
}

void
dc_step_refuse_for(struct dc_step *r, const char *fmt, ...)
{
	va_list ap;

	if (*r->p.bad)
		return;
	va_start(ap, fmt);
	vsnprintf(r->p.bad, sizeof(r->p.bad), fmt, ap);
	va_end(ap);
}

/* Every loss that dc-loss sent is finite; a term that waits is not sent. */
static void
check_losses(struct dc_step *r)
{
	const msgpack_object *m = dc_frame_get(&r->f, "loss");

	for (uint32_t i = 0; m && m->type == MSGPACK_OBJECT_MAP && i < m->via.map.size; i++) {
		const msgpack_object_kv *kv = &m->via.map.ptr[i];

		if (kv->key.type == MSGPACK_OBJECT_STR && !isfinite(number(&kv->val)))
			dc_step_refuse_for(r, "the loss is not finite: %.*s is %g",
			    kv->key.via.str.size > 64 ? 64 : (int)kv->key.via.str.size, kv->key.via.str.ptr, number(&kv->val));
	}
}

/* A number in a map of the frame; NAN if there is none. */
static double
map_number(const struct dc_step *r, const char *map, const char *key)
{
	const msgpack_object *m = dc_frame_get(&r->f, map);

	for (uint32_t i = 0; m && m->type == MSGPACK_OBJECT_MAP && i < m->via.map.size; i++) {
		const msgpack_object_kv *kv = &m->via.map.ptr[i];

		if (kv->key.type == MSGPACK_OBJECT_STR && kv->key.via.str.size == strlen(key) &&
		    !memcmp(kv->key.via.str.ptr, key, strlen(key)))
			return number(&kv->val);
	}
	return NAN;
}

static void
begin_step(struct dc_step *r)
{
	free(r->p.enqueue);
	r->p = (struct dc_step_pending){ .position = -1, .total = NAN, .accuracy = NAN, .simsiam_std = NAN };
	for (int i = 0; i < DC_TERMS; i++)
		r->p.loss[i] = NAN;
	memset(r->came, 0, (size_t)r->s.n);
	for (int i = 0; i < r->n_run; i++) {
		free(r->stat[i]);
		r->stat[i] = NULL;
	}
}

static int
take_enqueue(struct dc_step *r)
{
	struct dc_tensor t;
	size_t d = (size_t)r->s.c.embed_dim, old = (size_t)r->p.n_enqueue;

	if (!dc_frame_get(&r->f, "nn_enqueue"))
		return 0;
	DC_TRY(dc_frame_tensor(&r->f, "nn_enqueue", DC_F32, 2, &t));
	if (!r->s.nn_queue || !t.data || t.shape[1] != r->s.c.embed_dim)
		return dc_frame_err(&r->f, "nn_enqueue has no place: the run's queue has %lld rows of %d", (long long)r->s.c.queue,
		    r->s.c.embed_dim);
	r->p.n_enqueue += t.shape[0];
	r->p.enqueue = dc_xrealloc(r->p.enqueue, (size_t)r->p.n_enqueue * d + 1, sizeof(float));
	memcpy(r->p.enqueue + old * d, t.data, t.bytes);
	return 0;
}

static void
take_values(struct dc_step *r)
{
	static const char *const features[] = { "image_features.0", "text_features.0" };
	double i2t = map_number(r, "accuracy", "i2t"), t2i = map_number(r, "accuracy", "t2i"), x;
	struct dc_tensor t;

	for (int i = 0; i < DC_TERMS; i++)
		if (!isnan(x = map_number(r, "loss", dc_term_names[i])))
			r->p.loss[i] = x;
	if (!isnan(x = map_number(r, "loss", "total")))
		r->p.total = x;
	if (dc_frame_get(&r->f, "simsiam_std"))
		r->p.simsiam_std = number(dc_frame_get(&r->f, "simsiam_std"));
	check_losses(r);
	if (!isnan(i2t) || !isnan(t2i))
		r->p.accuracy = isnan(i2t) ? t2i : isnan(t2i) ? i2t : (i2t + t2i) / 2;
	for (int i = 0; i < 2; i++)
		if (dc_frame_get(&r->f, features[i]) && dc_frame_tensor_any(&r->f, features[i], &t) == 0 && t.ndim > 0) {
			r->p.rows += t.shape[0];
			break;
		}
	if (dc_frame_get(&r->f, "batch_size"))   /* of all ranks */
		r->p.rows = (int64_t)number(dc_frame_get(&r->f, "batch_size"));
}

int
dc_step_take_position(struct dc_step *r)
{
	if (!dc_frame_get(&r->f, "position"))
		return 0;
	DC_TRY(dc_frame_int(&r->f, "position", &r->p.position));
	if (r->p.position != r->s.position + 1)
		return dc_frame_err(&r->f, "a batch that ends at position %lld, and the run is at %lld (dc-decode --skip %lld goes on there)",
		    (long long)r->p.position, (long long)r->s.position, (long long)r->s.position);
	return 0;
}

int
dc_step_check(struct dc_step *r)
{
	return r->f.step == r->s.step ? 0 : dc_frame_err(&r->f, "of step %llu, while step %llu is under way",
	    (unsigned long long)r->f.step, (unsigned long long)r->s.step);
}

/* The step is under way as soon as its first dfeatures frame is on the loop. */
int
dc_step_dfeatures(struct dc_step *r)
{
	int io;

	DC_TRY(dc_step_check(r));
	if (!r->p.begun)
		begin_step(r);
	else if (r->p.n_gradients)
		return dc_frame_err(&r->f, "comes after gradients of the same step");
	DC_TRY(dc_step_take_position(r));
	DC_TRY(take_enqueue(r));
	if (dc_frame_get(&r->f, "skip"))
		DC_TRY(dc_frame_bool(&r->f, "skip", &r->p.skip));
	take_values(r);
	if ((io = dc_frame_pass(&r->loop, &r->f)) == DC_FRAME)
		r->p.begun = 1;
	return io;
}
