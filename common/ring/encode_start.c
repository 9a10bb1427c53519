/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "ring/encode_private.h"

static int
take_config(struct dc_encode *t)
{
	struct dc_str s;
	int freeze;

	DC_TRY(dc_frame_str(&t->lf, "config", &s));
	DC_TRY(dc_config_parse(&t->c, s.p, s.n));
	if (t->o.freeze) {
		DC_TRY(dc_config_freeze(t->o.freeze, &freeze));
		DC_CHECK(freeze == t->c.freeze, "--freeze %s contradicts the run's config (dc-init decides it)", t->o.freeze);
	}
	return dc_frame_pass(&t->out, &t->lf);
}

static int
frozen(const struct dc_config *c, const struct dc_param *p)
{
	return p->stat || (c->freeze & DC_FREEZE_CONV1 && !strcmp(p->name, "visual.conv1.weight")) ||
	    (c->freeze & DC_FREEZE_IMAGE && p->image) || (c->freeze & DC_FREEZE_TEXT && p->text);
}

static int
open_shared(struct dc_encode *t)
{
	char *fifo = dc_xstrdup(t->o.loop), *path = dc_xasprintf("%s/shm", dirname(fifo));
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (dir < 0)
		r = dc_err_errno("%s", path);
	else if ((r = dc_st_open(&t->parameters, dir, "parameters.safetensors", DC_ST_READ)) == 0 && !t->by_value)
		r = dc_st_open(&t->gradients, dir, "gradients.safetensors", DC_ST_WRITE);
	if (dir >= 0)
		close(dir);
	free(fifo);
	free(path);
	return r;
}

static int
bind_tensor(struct dc_encode_tensor *x, const struct dc_st *st, float **to)
{
	const struct dc_st_tensor *s = dc_st_find(st, x->p.name);

	DC_CHECK(s && s->type == DC_F32 && s->n == x->p.n, "%s: tensor %s is missing or has another size", st->path, x->p.name);
	*to = s->data;
	return 0;
}

static int
bind_tensors(struct dc_encode *t, int values)
{
	for (int i = 0; i < t->n_t; i++) {
		struct dc_encode_tensor *x = &t->t[i];
		int trains = !frozen(&t->c, &x->p);

		if (values)
			x->w = dc_xaligned(x->p.n, sizeof *x->w);
		else
			DC_TRY(bind_tensor(x, &t->parameters, &x->w));
		if (trains && t->by_value)
			x->g = dc_xaligned(x->p.n, sizeof *x->g);
		else if (trains)
			DC_TRY(bind_tensor(x, &t->gradients, &x->g));
	}
	return 0;
}

/* The tensor with this name, n_t if there is none. They come in our order, as a rule: looked for from `first` on. */
static int
find_tensor(const struct dc_encode *t, const msgpack_object *name, int first)
{
	for (int k = 0; k < t->n_t && name->type == MSGPACK_OBJECT_STR; k++) {
		int j = (first + k) % t->n_t;

		if (strlen(t->t[j].p.name) == name->via.str.size && !memcmp(t->t[j].p.name, name->via.str.ptr, name->via.str.size))
			return j;
	}
	return t->n_t;
}

/* The tensors that a parameters frame names: by value into our own, by reference they are already mapped. */
static int
take_parameters(struct dc_encode *t)
{
	const msgpack_object *map = dc_frame_get(&t->lf, "parameter");
	struct dc_tensor x;
	int named = 0, j = -1;

	if (!map || map->type != MSGPACK_OBJECT_MAP)
		return dc_frame_err(&t->lf, "has no map 'parameter'");
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		if ((j = find_tensor(t, &map->via.map.ptr[i].key, j + 1)) == t->n_t)
			continue;
		named++;
		DC_TRY(dc_object_tensor(&t->lf, t->t[j].p.name, &map->via.map.ptr[i].val, &x));
		if (x.n != t->t[j].p.n || x.type != DC_F32)
			return dc_frame_err(&t->lf, "%s: has another size than the config says", t->t[j].p.name);
		if (!x.data != !!t->parameters.map)
			return dc_frame_err(&t->lf, "%s: comes by %s, others did not", t->t[j].p.name, x.data ? "value" : "reference");
		if (x.data)
			memcpy(t->t[j].w, x.data, x.bytes);
	}
	if (named != t->n_t)
		return dc_frame_err(&t->lf, "names %d of the model's %d tensors", named, t->n_t);
	t->step = t->lf.step;
	t->zeroed = 0;
	t->hash = 0;
	if (dc_frame_get(&t->lf, "parameter_hash"))
		DC_TRY(dc_frame_int(&t->lf, "parameter_hash", &t->hash));
	if (!t->by_value && dc_frame_get(&t->lf, "zeroed"))
		DC_TRY(dc_frame_bool(&t->lf, "zeroed", &t->zeroed));
	return DC_FRAME;
}

int
dc_encode_receive_parameters(struct dc_encode *t)
{
	int r;

	while ((r = dc_encode_read_loop(t, DC_FOR_STEP)) == DC_FRAME && strcmp(t->lf.kind, "parameters"))
		if ((r = dc_frame_pass(&t->out, &t->lf)) != DC_FRAME)
			break;
	return r == DC_FRAME ? take_parameters(t) : r;
}

static int
values_in(const struct dc_frame *f)
{
	const msgpack_object *map = dc_frame_get(f, "parameter");

	if (map && map->type == MSGPACK_OBJECT_MAP && map->via.map.size) {
		const msgpack_object *v = &map->via.map.ptr[0].val;
		for (uint32_t i = 0; v->type == MSGPACK_OBJECT_MAP && i < v->via.map.size; i++)
			if (v->via.map.ptr[i].key.type == MSGPACK_OBJECT_BIN && v->via.map.ptr[i].key.via.bin.size == 4 &&
			    !memcmp(v->via.map.ptr[i].key.via.bin.ptr, "data", 4))
				return 1;
	}
	return 0;
}

/* What has been taken so far, by the other tools too, is not free any more. A limit changes no result. */
static void
limit_activations(struct dc_encode *t)
{
	const size_t there = t->o.keep < 0 ? dc_memory_available() : 0;

	dc_enc_keep(t->enc, t->o.keep >= 0 ? (size_t)t->o.keep << 20 : there < SIZE_MAX ? there / 2 / (size_t)t->o.share : SIZE_MAX, t->o.recompute);
}

/* Hand sums to dc-mpi and wait for those of all ranks, which come round the ring. */
static int
exchange_sums(struct dc_encode *t, double *x, size_t n)
{
	struct dc_tensor all;
	int r;

	dc_put_data(&t->body, "sums", DC_F64, 1, (int64_t[]){ (int64_t)n }, x);
	r = dc_frame_write(&t->out, "reduce", t->step, &t->body);
	while (r == DC_FRAME && (r = dc_encode_read_loop(t, DC_FOR_RANKS)) == DC_FRAME && strcmp(t->lf.kind, "reduce"))
		r = dc_frame_pass(&t->out, &t->lf);
	if (r != DC_FRAME)
		return r;
	DC_TRY(dc_frame_tensor(&t->lf, "sums", DC_F64, 1, &all));
	if (all.n != n || !all.data)
		return dc_frame_err(&t->lf, "sums has %zu numbers, wanted %zu", all.n, n);
	memcpy(x, all.data, all.bytes);
	return DC_FRAME;
}

static int
sum_over_ranks(void *arg, double *x, size_t n)
{
	struct dc_encode *t = arg;

	if (t->synced == DC_FRAME)
		t->synced = exchange_sums(t, x, n);
	return t->synced == DC_FRAME ? 0 : -1;
}

static int
build(struct dc_encode *t)
{
	struct dc_weight *w;
	int values = values_in(&t->lf);

	t->by_value = t->o.by_value || values;
	t->n_t = dc_params_list(&t->c, &t->param);
	t->t = dc_xcalloc((size_t)t->n_t, sizeof *t->t);
	for (int i = 0; i < t->n_t; i++)
		t->t[i].p = t->param[i];
	if (!values || !t->by_value)
		DC_TRY(open_shared(t));
	DC_TRY(bind_tensors(t, values));
	DC_TRY(take_parameters(t));
	w = dc_xcalloc((size_t)t->n_t, sizeof *w);
	for (int i = 0; i < t->n_t; i++)
		w[i] = (struct dc_weight){ t->t[i].p.name, t->t[i].p.n, t->t[i].w, t->t[i].g };
	t->enc = dc_enc_new(&t->c, w, t->n_t, 1);
	free(w);
	if (!t->enc)
		return DC_FAIL;
	dc_enc_watch(t->enc, &t->laps);
	limit_activations(t);
	t->sync = (struct dc_sync){ sum_over_ranks, t };
	if (t->o.sync_bn)
		dc_enc_sync(t->enc, &t->sync);
	return DC_FRAME;
}

int
dc_encode_start(struct dc_encode *t)
{
	int r;

	while ((r = dc_encode_read_loop(t, DC_FOR_STEP)) == DC_FRAME && strcmp(t->lf.kind, "parameters"))
		if ((r = strcmp(t->lf.kind, "state") ? dc_frame_pass(&t->out, &t->lf) : take_config(t)) != DC_FRAME)
			break;
	if (r != DC_FRAME)
		return r;
	if (!t->c.embed_dim)
		return dc_frame_err(&t->lf, "came before a state frame");
	return build(t);
}

struct dc_encode *
dc_encode_new(const struct dc_encode_opts *o)
{
	struct dc_encode *t = dc_xcalloc(1, sizeof *t);

	t->o = *o;
	t->synced = DC_FRAME;
	return t;
}

void
dc_encode_free(struct dc_encode *t)
{
	if (!t)
		return;
	dc_enc_free(t->enc);
	for (int i = 0; i < t->n_t; i++) {
		if (!t->parameters.map)
			free(t->t[i].w);
		if (t->by_value)
			free(t->t[i].g);
	}
	if (t->parameters.map)
		dc_st_close(&t->parameters);
	if (t->gradients.map)
		dc_st_close(&t->gradients);
	free(t->t);
	free(t->param);
	dc_encode_free_pixels(t);
	free(t->pixels);
	for (int i = 0; i < t->n_held; i++)
		dc_frame_free(&t->held[i]);
	free(t->held);
	dc_gather_free(&t->now);
	dc_gather_free(&t->next);
	dc_frame_free(&t->f);
	dc_frame_free(&t->lf);
	dc_body_free(&t->body);
	free(t);
}
