/* SPDX-License-Identifier: MIT */
#include "ring/step_private.h"

#include <math.h>
#include <stdlib.h>

void
dc_step_own_memory(struct dc_step *r)
{
	size_t n = 0;
	float *at;

	dc_state_own_weights(&r->s);
	for (int i = 0; i < r->s.n; i++)
		n += r->s.t[i].trainable ? r->s.t[i].p.n : 0;
	at = r->own = dc_xcalloc(n + 1, sizeof(*at));
	for (int i = 0; i < r->s.n; i++)
		if (r->s.t[i].trainable) {
			r->g[i] = at;
			at += r->s.t[i].p.n;
		}
}

/* One of the two files: all parameters, or those that are trained. */
static int
share(const struct dc_step *r, struct dc_st *st, const char *file, int trained)
{
	struct dc_st_tensor *t = dc_xcalloc((size_t)r->s.n, sizeof(*t));
	int n = 0, e;

	for (int i = 0; i < r->s.n; i++) {
		const struct dc_param *p = &r->s.t[i].p;

		if (trained && !r->s.t[i].trainable)
			continue;
		t[n] = (struct dc_st_tensor){ .name = (char *)(uintptr_t)p->name, .type = DC_F32, .ndim = p->ndim };
		memcpy(t[n++].shape, p->shape, sizeof(p->shape));
	}
	e = dc_st_create(r->shm.fd, file, 0600, t, n, NULL, 0, 0);
	free(t);
	return e < 0 ? -1 : dc_st_open(st, r->shm.fd, file, DC_ST_WRITE);
}

static size_t
share_bytes(const struct dc_step *r)
{
	size_t n = 1 << 20;   /* the headers, and pages begun */

	for (int i = 0; i < r->s.n; i++)
		n += (r->s.t[i].trainable ? 2 : 1) * r->s.t[i].p.n * sizeof(float);
	return n;
}

int
dc_step_share_memory(struct dc_step *r)
{
	if (dc_shm_make(&r->shm, dc_step_home(r), share_bytes(r)) < 0)
		return -1;
	if (r->shm.on_disk)
		dc_warn("too little room in shared memory: %s lies on disk, which is slower", r->shm.path);
	if (share(r, &r->parameters, DC_SHM_PARAMETERS, 0) < 0 || share(r, &r->gradients, DC_SHM_GRADIENTS, 1) < 0)
		return dc_err_prefix("%s", r->shm.path);
	for (int i = 0; i < r->s.n; i++) {
		r->s.t[i].w = dc_st_find(&r->parameters, r->s.t[i].p.name)->data;
		if (r->s.t[i].trainable)
			r->g[i] = dc_st_find(&r->gradients, r->s.t[i].p.name)->data;
	}
	return 0;
}

void
dc_step_clamp_scale(struct dc_step *r)
{
	for (int i = 0; i < r->s.n; i++)
		if (!strcmp(r->s.t[i].p.name, "logit_scale") || !strcmp(r->s.t[i].p.name, "filip.logit_scale")) {
			float *w = r->s.t[i].w;

			*w = (float)fmin(fmax(*w, r->s.c.logit_scale_min), r->s.c.logit_scale_max);
		}
}

/* The heads' lie with the state, a tower's with its weights: mean, variance, count, one after the other. */
void
dc_step_list_running(struct dc_step *r)
{
	r->run = dc_xcalloc((size_t)(r->s.n + r->s.n_stats) + 1, sizeof(*r->run));
	for (int i = 0; i < r->s.n_stats; i++)
		r->run[r->n_run++] = (struct dc_step_running){ r->s.stat[i].name, r->s.stat[i].shape[0],
			r->s.stat_value[i], NULL };
	for (int i = 0; i < r->s.n; i++) {
		const struct dc_param *p = &r->s.t[i].p;
		int mean = i + 2 < r->s.n && r->s.t[i + 2].p.whole;

		if (p->stat && !p->whole)
			r->run[r->n_run++] = (struct dc_step_running){ p->name, p->shape[0], r->s.t[i].w,
				mean ? r->s.t[i + 2].w : NULL };
	}
	r->stat = dc_xcalloc((size_t)r->n_run + 1, sizeof(*r->stat));
	r->stat_views = dc_xcalloc((size_t)r->n_run + 1, sizeof(*r->stat_views));
}

void
dc_step_list_tensor(struct dc_step *r, int i)
{
	const struct dc_slot *t = &r->s.t[i];

	r->of[r->n_x] = i;
	r->x[r->n_x++] = (struct dc_adamw_tensor){ t->w, t->m, t->v, r->g[i], r->cell[i], t->p.n, t->updates, t->p.decay };
}

void
dc_step_list_cells(struct dc_step *r)
{
	for (int i = 0; i < r->s.n; i++) {
		struct dc_slot *t = &r->s.t[i];

		if (!t->trainable)
			continue;
		r->cell[i] = dc_xmalloc(dc_cells(t->p.n));
		memset(r->cell[i], DC_CELL_COLD, dc_cells(t->p.n));
		r->n_x = 0;
		dc_step_list_tensor(r, i);
		if (t->updates)
			dc_adamw_cold(r->x);
	}
}
