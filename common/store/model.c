/* SPDX-License-Identifier: MIT */
#include "store/model.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
shape_text(char *s, size_t n, int ndim, const int64_t *shape)
{
	size_t at = 0;

	s[0] = 0;
	for (int i = 0; i < ndim && at < n; i++)
		at += (size_t)snprintf(s + at, n - at, "%s%lld", i ? "," : "", (long long)shape[i]);
}

static int
check_one(const struct dc_st *st, const struct dc_st_tensor *t, const struct dc_param *p)
{
	char got[96], want[96];
	int same = t && t->ndim == p->ndim;

	DC_CHECK(t, "%s: tensor %s is missing", st->path, p->name);
	for (int i = 0; same && i < p->ndim; i++)
		same = t->shape[i] == p->shape[i];
	shape_text(got, sizeof got, t->ndim, t->shape);
	shape_text(want, sizeof want, p->ndim, p->shape);
	DC_CHECK(same, "%s: tensor %s has shape [%s], the config asks for [%s]", st->path, p->name, got, want);
	DC_CHECK(t->type == DC_F32, "%s: tensor %s is %s, not f32", st->path, p->name, dc_type_name(t->type));
	return 0;
}

int
dc_model_check(const struct dc_st *st, const struct dc_param *p, int n, int heads)
{
	int known = 0, k;

	for (int i = 0; i < n; i++) {
		if (p[i].head != heads)
			continue;
		DC_TRY(check_one(st, dc_st_find(st, p[i].name), &p[i]));
		known++;
	}
	for (int i = 0; known < st->n && i < st->n; i++) {
		for (k = 0; k < n && strcmp(st->t[i].name, p[k].name); k++)
			;
		DC_CHECK(k < n && p[k].head == heads, "%s: tensor %s is not one of the model's", st->path, st->t[i].name);
	}
	return 0;
}

static int
read_config(struct dc_config *c, const char *dir)
{
	char *path = dc_xasprintf("%s/open_clip_config.json", dir), *json;
	size_t n;
	int r = dc_slurp(path, 1 << 20, &json, &n);

	if (r == 0) {
		if ((r = dc_config_parse(c, json, n)) < 0)
			r = dc_err_prefix("%s", path);
		free(json);
	}
	free(path);
	return r;
}

static int
open_weights(struct dc_model *m)
{
	char *path = dc_xasprintf("%s/open_clip_model.safetensors", m->dir), *real = realpath(path, NULL);
	struct dc_param *p;
	int n, r;

	if (real) { /* Hugging Face's cache has links to files that are called by their hashes */
		free(path);
		path = real;
	}
	if ((r = dc_st_open(&m->st, AT_FDCWD, path, DC_ST_READ)) == 0) {
		n = dc_params_list(&m->c, &p);
		if ((r = dc_model_check(&m->st, p, n, 0)) < 0)
			dc_st_close(&m->st);
		free(p);
	}
	free(path);
	return r;
}

int
dc_model_open(struct dc_model *m, const char *dir)
{
	memset(m, 0, sizeof *m);
	m->dir = dc_xasprintf("%s/latest", dir);
	if (access(m->dir, F_OK) < 0) {
		free(m->dir);
		m->dir = dc_xstrdup(dir);
	}
	if (read_config(&m->c, m->dir) == 0 && open_weights(m) == 0)
		return 0;
	free(m->dir);
	return -1;
}

void
dc_model_close(struct dc_model *m)
{
	dc_st_close(&m->st);
	free(m->dir);
	memset(m, 0, sizeof *m);
}
