/* SPDX-License-Identifier: MIT */
#include "ring/step_private.h"

#include <math.h>

#include "base/finite.h"

/* They come in the order that we have them in, as a rule. */
static int
find_slot(struct dc_step *r, const msgpack_object_str *name)
{
	for (int k = 1; k <= r->s.n; k++) {
		int i = (r->slot + k) % r->s.n;

		if (strlen(r->s.t[i].p.name) == name->size && !memcmp(r->s.t[i].p.name, name->ptr, name->size))
			return r->slot = i;
	}
	return -1;
}

/* Bring one gradient to its place in g. */
static int
place_gradient(struct dc_step *r, int i, const struct dc_tensor *t)
{
	const struct dc_param *p = &r->s.t[i].p;

	if (t->type != DC_F32 || t->ndim != p->ndim || memcmp(t->shape, p->shape, (size_t)p->ndim * sizeof(*p->shape)))
		return dc_frame_err(&r->f, "the gradient of %s has another type or shape than the tensor", p->name);
	if (t->data) {
		memcpy(r->g[i], t->data, t->bytes);
	} else {
		if (r->o.by_value)
			return dc_frame_err(&r->f, "the gradient of %s comes by reference, and nothing is shared", p->name);
		if (!dc_shm_find(&r->gradients, DC_SHM_GRADIENTS, t) || strcmp(t->name, p->name))
			return dc_frame_err(&r->f, "the gradient of %s is a wrong reference: %s", p->name, dc_err());
	}
	return 0;
}

static int
take_gradient(struct dc_step *r, const msgpack_object_kv *kv)
{
	struct dc_tensor t;
	int i;

	if (kv->key.type != MSGPACK_OBJECT_STR || (i = find_slot(r, &kv->key.via.str)) < 0)
		return dc_frame_err(&r->f, "a gradient of '%.*s', which the model does not have",
		    kv->key.type == MSGPACK_OBJECT_STR ? (int)kv->key.via.str.size : 0, kv->key.via.str.ptr);
	if (!r->s.t[i].trainable)
		return dc_frame_err(&r->f, "a gradient of %s, which is frozen", r->s.t[i].p.name);
	if (r->came[i])
		return dc_frame_err(&r->f, "a second gradient of %s in one step", r->s.t[i].p.name);
	DC_TRY(dc_object_tensor(&r->f, r->s.t[i].p.name, &kv->val, &t));
	DC_TRY(place_gradient(r, i, &t));
	r->came[i] = 1;
	r->p.n_gradients++;
	dc_step_list_tensor(r, i);
	return 0;
}

static int
take_gradients(struct dc_step *r)
{
	const msgpack_object *m = dc_frame_get(&r->f, "gradient");

	if (!m)
		return 0;
	if (m->type != MSGPACK_OBJECT_MAP)
		return dc_frame_err(&r->f, "gradient is not a map");
	r->n_x = 0;
	for (uint32_t i = 0; i < m->via.map.size; i++)
		DC_TRY(take_gradient(r, &m->via.map.ptr[i]));
	dc_squares(r->x, r->n_x, r->sum);
	for (int k = 0; k < r->n_x; k++) {
		if (!isfinite(r->sum[k]))
			dc_step_refuse_for(r, "the gradient of %s is not finite", r->s.t[r->of[k]].p.name);
		r->p.sum += r->sum[k];
	}
	return 0;
}

static int
take_stats(struct dc_step *r)
{
	struct dc_tensor t;

	for (int i = 0; i < r->n_run; i++) {
		const char *name = r->run[i].name;

		if (!dc_frame_get(&r->f, name))
			continue;
		DC_TRY(dc_frame_tensor(&r->f, name, DC_F32, 2, &t));
		if (!t.data || t.shape[1] != r->run[i].width || r->stat[i])
			return dc_frame_err(&r->f, "%s: wanted once, as [views, %lld]", name, (long long)r->run[i].width);
		r->stat[i] = dc_xmalloc(t.bytes + 1);
		r->stat_views[i] = t.shape[0];
		memcpy(r->stat[i], t.data, t.bytes);
		if (dc_first_not_finite(r->stat[i], t.n) < t.n)
			dc_step_refuse_for(r, "%s is not finite", name);
	}
	return 0;
}

/* The large products are dc-encode's: what is recorded of the threads must be true of it. */
static int
check_threads(struct dc_step *r)
{
	int64_t threads;

	if (!dc_frame_get(&r->f, "threads"))
		return 0;
	DC_TRY(dc_frame_int(&r->f, "threads", &threads));
	if (threads != r->s.numerics.threads && !r->o.accept_numerics)
		return dc_frame_err(&r->f, "dc-encode computes with %lld threads, the run is recorded with %d: set OMP_NUM_THREADS for both, "
		    "or --accept-numerics", (long long)threads, r->s.numerics.threads);
	return 0;
}

int
dc_step_gradients(struct dc_step *r)
{
	double wait_s;
	int last = 0;

	DC_TRY(dc_step_check(r));
	if (!r->p.begun)
		return dc_frame_err(&r->f, "no dfeatures of this step has gone to the loop");
	DC_TRY(check_threads(r));
	DC_TRY(take_gradients(r));
	DC_TRY(take_stats(r));
	DC_TRY(dc_step_take_position(r));
	if (dc_frame_get(&r->f, "wait_s")) {
		DC_TRY(dc_frame_double(&r->f, "wait_s", &wait_s));
		r->p.wait_s += wait_s;
	}
	if (dc_frame_get(&r->f, "last"))
		DC_TRY(dc_frame_bool(&r->f, "last", &last));
	return last ? dc_step_finish(r) : DC_FRAME;
}
