/* SPDX-License-Identifier: MIT */
#include "store/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/hf.h"
#include "store/tree.h"

struct job {
	const struct dc_model *m;
	const struct dc_export *o;
	struct dc_names *n;
	const struct dc_st *from[3];   /* towers, heads, extras */
	int fd;                        /* the directory being written */
};

/* --- a file of tensors --- */

/* An extra that nobody has is not written into a directory of ours. */
static int
wanted(const struct job *j, const struct dc_their *t, int part)
{
	if (part != DC_ALL && t->part != part)
		return 0;
	return j->o->format != DC_FORMAT_OPENCLIP || t->part != DC_EXTRAS || dc_st_find(j->from[2], t->name) != NULL;
}

/* A count of batches does not fit into a half. */
static enum dc_type
type_of(const struct job *j, const struct dc_their *t)
{
	if (t->whole)
		return DC_I64;
	return strstr(t->name, ".num_batches_tracked") ? DC_F32 : j->o->type;
}

static int
table_of(const struct job *j, int part, struct dc_st_tensor *t)
{
	int k = 0;

	for (int i = 0; i < j->n->n_theirs; i++) {
		const struct dc_their *p = &j->n->theirs[i];

		if (!wanted(j, p, part))
			continue;
		t[k] = (struct dc_st_tensor){ .name = (char *)(uintptr_t)p->name, .type = type_of(j, p), .ndim = p->ndim };
		memcpy(t[k++].shape, p->shape, sizeof(p->shape));
	}
	return k;
}

static int
their_index(const struct dc_names *n, const char *name)
{
	for (int i = 0; i < n->n_theirs; i++)
		if (!strcmp(n->theirs[i].name, name))
			return i;
	return -1;
}

/* The file is there, of the right size and empty: fill in its tensors. */
static int
fill(const struct job *j, int dirfd, const char *name)
{
	struct dc_st st;
	int r = 0;

	DC_TRY(dc_st_open(&st, dirfd, name, DC_ST_WRITE));
	for (int i = 0; r == 0 && i < st.n; i++)
		r = dc_names_put(&st.t[i], j->n, their_index(j->n, st.t[i].name), j->from, 3);
	dc_st_close(&st);
	return r;
}

/* The tensors of a part as the file `name`. Where no config lies beside it, its metadata have one. */
static int
write_tensors(const struct job *j, int dirfd, const char *name, int part, int with_config)
{
	struct dc_st_tensor *t = dc_xcalloc((size_t)j->n->n_theirs + 1, sizeof(*t));
	char *config = dc_config_model_json(&j->m->c);
	struct dc_st_meta meta[] = { { "format", "pt" }, { "open_clip_config", config } };
	int k = table_of(j, part, t), r = 0;

	if (k > 0 && (r = dc_st_create(dirfd, name, 0644, t, k, meta, with_config ? 2 : 1, 0)) == 0)
		r = fill(j, dirfd, name);
	free(config);
	free(t);
	return r;
}

/* --- a directory --- */

static int
write_text(int dirfd, const char *name, const char *text, size_t n)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), r = 0;

	if (fd < 0)
		return dc_err_errno("%s", name);
	while (r == 0 && n) {
		ssize_t k = write(fd, text, n);

		if (k < 0 && errno != EINTR)
			r = dc_err_errno("%s", name);
		text += k > 0 ? k : 0;
		n -= k > 0 ? (size_t)k : 0;
	}
	if (close(fd) < 0 && r == 0)
		r = dc_err_errno("%s", name);
	return r;
}

static int
write_json(int dirfd, const char *name, char *json)
{
	int r = write_text(dirfd, name, json, strlen(json));

	free(json);
	return r;
}

static int
copy_vocabulary(const struct job *j)
{
	char *bytes;
	size_t n;
	int r;

	if (!j->o->vocab)
		return 0;
	DC_TRY(dc_slurp(j->o->vocab, (size_t)64 << 20, &bytes, &n));
	r = write_text(j->fd, "bpe.txt.gz", bytes, n);
	free(bytes);
	return r;
}

static int
write_heads(const struct job *j)
{
	int fd, r;

	if (!j->from[1]->n && !j->from[2]->n)
		return 0;
	if (mkdirat(j->fd, "heads", 0755) < 0 || (fd = openat(j->fd, "heads", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return dc_err_errno("heads");
	r = write_tensors(j, fd, "declip.safetensors", DC_HEADS, 0);
	if (r == 0)
		r = write_tensors(j, fd, "extra.safetensors", DC_EXTRAS, 0);
	close(fd);
	return r;
}

static int
write_directory(const struct job *j)
{
	if (j->o->format == DC_FORMAT_HF) {
		DC_TRY(write_json(j->fd, "config.json", dc_hf_config_json(&j->m->c)));
		DC_TRY(write_json(j->fd, "preprocessor_config.json", dc_hf_preprocess_json(&j->m->c)));
		DC_TRY(write_tensors(j, j->fd, "model.safetensors", DC_TOWERS, 1));
	} else {
		DC_TRY(write_json(j->fd, "open_clip_config.json", dc_config_model_json(&j->m->c)));
		DC_TRY(write_tensors(j, j->fd, "open_clip_model.safetensors", DC_TOWERS, 0));
		DC_TRY(write_heads(j));
	}
	return copy_vocabulary(j);
}

/* --- all of it --- */

/* The name in its directory: `parent` is opened, *name points into out. */
static int
open_parent(const char *out, const char **name)
{
	const char *slash = strrchr(out, '/');
	char *parent = !slash ? dc_xstrdup(".") : slash == out ? dc_xstrdup("/") : dc_xstrndup(out, (size_t)(slash - out));
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*name = slash ? slash + 1 : out;
	if (fd < 0)
		dc_err_errno("%s", parent);
	free(parent);
	return fd;
}

static int
write_beside(struct job *j, int parent, const char *tmp)
{
	int r;

	if (j->o->format == DC_FORMAT_OPENAI || j->o->format == DC_FORMAT_DECLIP)
		return write_tensors(j, parent, tmp, DC_ALL, 1);
	if (mkdirat(parent, tmp, 0755) < 0 || (j->fd = openat(parent, tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return dc_err_errno("%s", tmp);
	r = write_directory(j);
	close(j->fd);
	return r;
}

static int
write_all(struct job *j, const char *out)
{
	const char *name;
	char *tmp;
	int parent = open_parent(out, &name), r;

	if (parent < 0)
		return -1;
	tmp = dc_xasprintf(".%s.tmp", name);
	dc_tree_remove(parent, tmp);
	r = write_beside(j, parent, tmp);
	if (r == 0)
		r = dc_tree_move(parent, tmp, name);
	if (r < 0) {
		dc_tree_remove(parent, tmp);
		dc_err_prefix("%s", out);
	}
	close(parent);
	free(tmp);
	return r;
}

int
dc_export(const struct dc_model *m, const struct dc_heads *h, const struct dc_export *o, const char *out)
{
	struct job j = { .m = m, .o = o, .from = { &m->st, &h->st, &h->extra } };
	struct stat sb;
	int r;

	DC_CHECK(lstat(out, &sb) < 0, "%s: there already", out);
	if (m->c.text.proj_bias && o->format == DC_FORMAT_OPENAI)
		return dc_err_set("the text projection has a bias, for which openai has no place");
	if (!(j.n = dc_names_new(o->format, o->format == DC_FORMAT_DECLIP ? "module." : "", &h->c)))
		return -1;
	r = write_all(&j, out);
	dc_names_free(j.n);
	return r;
}
