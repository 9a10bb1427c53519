/* SPDX-License-Identifier: MIT */
#include "store/model.h"

#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/deduce.h"
#include "store/hf.h"

/* open_clip's names for a file of weights, in its order of preference */
static const char *const weights_names[] = { "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
	"model.safetensors" };
enum { N_WEIGHTS = sizeof weights_names / sizeof *weights_names };
static const char config_name[] = "open_clip_config.json", hf_config_name[] = "config.json";
static const char pickle[] = "a torch pickle is not read: pipelines/examples/pth_to_safetensors.py makes a .safetensors of it";

static int
check_one(const struct dc_st *st, const struct dc_st_tensor *t, const struct dc_param *p)
{
	char got[96], want[96];
	int same = t && t->ndim == p->ndim;

	DC_CHECK(t, "%s: tensor %s is missing", st->path, p->name);
	for (int i = 0; same && i < p->ndim; i++)
		same = t->shape[i] == p->shape[i];
	dc_st_shape_text(got, sizeof got, t->ndim, t->shape);
	dc_st_shape_text(want, sizeof want, p->ndim, p->shape);
	DC_CHECK(same, "%s: tensor %s has shape [%s], the config asks for [%s]", st->path, p->name, got, want);
	DC_CHECK(t->type == (p->whole ? DC_I64 : DC_F32), "%s: tensor %s is %s, not %s", st->path, p->name, dc_type_name(t->type),
	    p->whole ? "i64" : "f32");
	return 0;
}

void
dc_model_copy(float *to, const struct dc_st_tensor *t)
{
	if (t->type == DC_F32)
		memcpy(to, t->data, t->bytes);
	for (size_t i = 0; t->type == DC_I64 && i < t->n; i++)
		to[i] = (float)((const int64_t *)t->data)[i];
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

/* --- where it is --- */

static int
there(const char *dir, const char *name)
{
	char *path = dc_xasprintf("%s/%s", dir, name);
	int r = access(path, F_OK) == 0;

	free(path);
	return r;
}

static int
ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

static int
is_pickle(const char *name)
{
	return ends_in(name, ".bin") || ends_in(name, ".pt") || ends_in(name, ".pth") || ends_in(name, ".tar");
}

/* The only .safetensors in dir, or NULL with a message. */
static char *
only_weights(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char *found = NULL;
	int n = 0, pickles = 0;

	while (d && (e = readdir(d))) {
		pickles += is_pickle(e->d_name);
		if (!ends_in(e->d_name, ".safetensors") || !strcmp(e->d_name, "state.safetensors") || n++)
			continue;
		found = dc_xasprintf("%s/%s", dir, e->d_name);
	}
	if (d)
		closedir(d);
	if (n == 1)
		return found;
	free(found);
	if (n)
		dc_err_set("%s: %d .safetensors files, none of them %s", dir, n, weights_names[0]);
	else
		dc_err_set("%s/%s: no such file%s%s", dir, weights_names[0], pickles ? "; " : "", pickles ? pickle : "");
	return NULL;
}

static char *
weights_in(const char *dir)
{
	for (int i = 0; i < N_WEIGHTS; i++)
		if (there(dir, weights_names[i]))
			return dc_xasprintf("%s/%s", dir, weights_names[i]);
	return only_weights(dir);
}

/* A file that is a directory's own stands for the directory. */
static char *
directory_of(const char *path)
{
	char *copy = dc_xstrdup(path), *other = dc_xstrdup(path), *dir = dirname(copy), *name = basename(other), *r = NULL;

	for (int i = 0; i < N_WEIGHTS; i++)
		if (!strcmp(weights_names[i], name) && (there(dir, config_name) || (i == 2 && there(dir, hf_config_name))))
			r = dc_xstrdup(dir);
	free(copy);
	free(other);
	return r;
}

/* m->dir, m->file */
static int
locate(struct dc_model *m, const char *path)
{
	char *latest = dc_xasprintf("%s/latest", path);
	struct stat sb;

	if (access(latest, F_OK) == 0) {
		m->dir = latest;
	} else {
		free(latest);
		if (stat(path, &sb) < 0)
			return dc_err_errno("%s", path);
		m->dir = S_ISDIR(sb.st_mode) ? dc_xstrdup(path) : directory_of(path);
	}
	if (!m->dir) {
		DC_CHECK(!is_pickle(path), "%s: %s", path, pickle);
		m->dir = dc_xstrdup(path);
		m->file = dc_xstrdup(path);
		return 0;
	}
	DC_CHECK(there(m->dir, config_name) || there(m->dir, hf_config_name), "%s/%s: no such file, nor %s", m->dir, config_name,
	    hf_config_name);
	DC_CHECK(there(m->dir, config_name) || !there(m->dir, "model.safetensors.index.json"),
	    "%s: weights in several files are not supported", m->dir);
	return (m->file = weights_in(m->dir)) ? 0 : -1;
}

/* --- what it is --- */

typedef int parser(struct dc_config *c, const char *json, size_t n);

static int
read_config(struct dc_config *c, const char *dir, const char *name, parser *parse)
{
	char *path = dc_xasprintf("%s/%s", dir, name), *json;
	size_t n;
	int r = dc_slurp(path, 1 << 20, &json, &n);

	if (r == 0) {
		if ((r = parse(c, json, n)) < 0)
			dc_err_prefix("%s", path);
		free(json);
	}
	free(path);
	return r;
}

static int
config_of_directory(struct dc_model *m)
{
	if (there(m->dir, config_name)) {
		m->format = DC_FORMAT_OPENCLIP;
		return read_config(&m->c, m->dir, config_name, dc_config_parse);
	}
	m->format = DC_FORMAT_HF;
	DC_TRY(read_config(&m->c, m->dir, hf_config_name, dc_hf_config_parse));
	if (there(m->dir, "preprocessor_config.json"))
		DC_TRY(read_config(&m->c, m->dir, "preprocessor_config.json", dc_hf_preprocess_parse));
	return 0;
}

static int
config_of_file(struct dc_model *m, const struct dc_config *config)
{
	const char *text = dc_st_meta(&m->st, "open_clip_config");

	DC_TRY(dc_deduce_format(&m->st, &m->format, &m->prefix));
	if (config)
		m->c = *config;
	else if (text && dc_config_parse(&m->c, text, strlen(text)) < 0)
		return dc_err_prefix("%s: its open_clip_config", m->file);
	else if (!text)
		return dc_deduce_towers(&m->c, &m->st, m->format, m->prefix);
	return 0;
}

/* Hugging Face's cache has links to files that are called by their hashes. */
static int
open_file(struct dc_st *st, const char *file)
{
	struct stat sb;
	char *real = lstat(file, &sb) == 0 && S_ISLNK(sb.st_mode) ? realpath(file, NULL) : NULL;
	int r = dc_st_open(st, AT_FDCWD, real ? real : file, DC_ST_READ);

	free(real);
	return r;
}

static int
open_source(struct dc_model *m, const char *path, const struct dc_config *config)
{
	memset(m, 0, sizeof *m);
	m->prefix = "";
	DC_TRY(locate(m, path));
	if (strcmp(m->dir, m->file)) {
		DC_CHECK(!config, "%s: has a config of its own", m->dir);
		DC_TRY(config_of_directory(m));
		DC_TRY(open_file(&m->st, m->file));
		m->prefix = dc_deduce_prefix(&m->st);
		return 0;
	}
	DC_TRY(open_file(&m->st, m->file));
	return config_of_file(m, config);
}

static int
take_towers(struct dc_model *m)
{
	struct dc_config all = m->c;
	struct dc_names *n;
	struct dc_st ours;
	int r = 0;

	if (m->format == DC_FORMAT_DECLIP)
		r = dc_deduce_heads(&all, &m->st, m->format, m->prefix);
	if (r < 0)
		return -1;
	if (!(n = dc_names_new(m->format, m->prefix, &all)))
		return dc_err_prefix("%s", m->file);
	r = dc_names_check(n, &m->st, m->format == DC_FORMAT_OPENCLIP ? DC_TOWERS : DC_ALL, 0);
	if (r == 0) {
		r = dc_names_take(&ours, &m->st, n, DC_TOWERS);
		if (r == 0)
			m->st = ours;
	}
	dc_names_free(n);
	return r;
}

int
dc_model_open_as(struct dc_model *m, const char *path, const struct dc_config *config)
{
	if (open_source(m, path, config) == 0 && take_towers(m) == 0)
		return 0;
	dc_model_close(m);
	return -1;
}

int
dc_model_open(struct dc_model *m, const char *path)
{
	return dc_model_open_as(m, path, NULL);
}

int
dc_model_open_config(struct dc_model *m, const char *path)
{
	if (open_source(m, path, NULL) == 0)
		return 0;
	dc_model_close(m);
	return -1;
}

void
dc_model_close(struct dc_model *m)
{
	dc_st_close(&m->st);
	free(m->dir);
	free(m->file);
	memset(m, 0, sizeof *m);
}

/* --- heads --- */

/* One part of a file that `what` names below m->dir, or of the model's own file; nothing where there is none. */
static int
take_part(struct dc_st *out, const struct dc_model *m, const char *what, struct dc_config *c, enum dc_part_of part)
{
	char *path = what ? dc_xasprintf("%s/%s", m->dir, what) : dc_xstrdup(m->file);
	const char *prefix = what ? "" : m->prefix;
	struct dc_names *n = NULL;
	struct dc_st st;
	int r = what && access(path, F_OK) < 0 ? 0 : 1;

	if (r && (r = open_file(&st, path)) == 0) {
		if (part == DC_HEADS)
			r = dc_deduce_heads(c, &st, m->format, prefix);
		if (r == 0 && !(n = dc_names_new(m->format, prefix, c)))
			r = -1;
		if (r == 0) /* the state of a run has moments and a queue besides */
			r = dc_names_check(n, &st, what ? part : DC_ALL, what && !strcmp(what, "state.safetensors"));
		if (r == 0)
			r = dc_names_take(out, &st, n, part);
		else
			dc_st_close(&st);
	}
	dc_names_free(n);
	free(path);
	return r;
}

int
dc_model_run(const struct dc_model *m, struct dc_config *run)
{
	char *path = dc_xasprintf("%s/state.safetensors", m->dir);
	const char *text = NULL;
	struct dc_st st;
	int r = access(path, F_OK) < 0 ? 1 : open_file(&st, path);

	if (r == 0) {
		text = dc_st_meta(&st, "config");
		r = text ? dc_config_parse(run, text, strlen(text)) : 1;
		dc_st_close(&st);
	}
	free(path);
	return r < 0 ? -1 : r == 0;
}

int
dc_model_heads(const struct dc_model *m, struct dc_heads *h)
{
	struct dc_config run;
	int r = 0;

	memset(h, 0, sizeof *h);
	h->c = m->c;
	memset(h->c.weight, 0, sizeof h->c.weight);
	if (m->format == DC_FORMAT_DECLIP) {
		r = take_part(&h->st, m, NULL, &h->c, DC_HEADS);
		r = r < 0 ? r : take_part(&h->extra, m, NULL, &h->c, DC_EXTRAS);
	} else if (m->format == DC_FORMAT_OPENCLIP && strcmp(m->dir, m->file)) {
		r = take_part(&h->st, m, "heads/declip.safetensors", &h->c, DC_HEADS);
		r = r < 0 ? r : take_part(&h->extra, m, there(m->dir, "heads/extra.safetensors") ? "heads/extra.safetensors" :
		    "state.safetensors", &h->c, DC_EXTRAS);
		if (r == 0 && (r = dc_model_run(m, &run)) == 1)
			h->c.released = run.released;   /* which words FILIP compares no tensor tells */
		r = r < 0 ? r : 0;
	}
	if (r < 0)
		dc_heads_close(h);
	return r;
}

void
dc_heads_close(struct dc_heads *h)
{
	dc_st_close(&h->st);
	dc_st_close(&h->extra);
	memset(h, 0, sizeof *h);
}
