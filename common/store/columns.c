/* SPDX-License-Identifier: MIT */
#include "store/columns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/npy.h"
#include "store/tree.h"

enum of { IMAGES, CAPTIONS, N_OF };
enum { WIDTH_MAX = 1 << 20, ROWS_MAX = 1 << 16 /* in memory at once, while a column is filled up */ };

/* The columns there are. caption_image is one more, of captions; key another, of images, as JSON. */
static const struct known { const char *name; enum of of; enum dc_type type; int ndim; } known[] = {
	{ "image_features.0", IMAGES, DC_F32, 2 }, { "image_features.1", IMAGES, DC_F32, 2 },
	{ "image_features.2", IMAGES, DC_F32, 2 }, { "image_features.3", IMAGES, DC_F32, 2 },
	{ "text_features.0", CAPTIONS, DC_F32, 2 }, { "text_features.1", CAPTIONS, DC_F32, 2 },
	{ "text_features.2", CAPTIONS, DC_F32, 2 }, { "text_features.3", CAPTIONS, DC_F32, 2 },
	{ "id", IMAGES, DC_U64, 1 }, { "slot", IMAGES, DC_I64, 1 }, { "epoch", IMAGES, DC_I32, 1 },
	{ "label", IMAGES, DC_I32, 1 }, { "line", CAPTIONS, DC_I64, 1 },
};
enum { N_KNOWN = sizeof known / sizeof *known };
static const char owner_file[] = "caption_image.npy", key_file[] = "key.json", scale_file[] = "logit_scale.npy";

struct dc_columns {
	char *dir;                       /* the path, without a slash at its end */
	int fd;                          /* the directory that is written or read; -1 */
	int64_t n[N_OF];                 /* rows so far, or in all */
	char counted[N_OF][40];          /* reading: the file that gave them */

	/* writing */
	int parent; char *name, *tmp;    /* the directory around it, its name, the one while it is written */
	int normalize, begun;
	struct dc_npy_out out[N_KNOWN], out_owner;
	FILE *out_key;
	float *row; size_t row_cap;
	double scale; int has_scale;

	/* reading */
	struct dc_npy in[N_KNOWN], in_owner, in_scale;
	json_t *key;
	int64_t *first; int64_t parts;   /* [parts + 1] the first caption of each part, where there are images and captions */
	int64_t *ints; size_t ints_cap;
};

static void
file_of(char *s, size_t n, const struct known *k)
{
	snprintf(s, n, "%s.npy", k->name);
}

static struct dc_columns *
new_columns(const char *dir)
{
	struct dc_columns *c = dc_xcalloc(1, sizeof *c);
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	c->dir = dc_xstrndup(dir, n);
	c->fd = c->parent = -1;
	for (int i = 0; i < N_KNOWN; i++)
		c->in[i].fd = -1;
	c->in_owner.fd = c->in_scale.fd = -1;
	return c;
}

void
dc_columns_free(struct dc_columns *c)
{
	if (!c)
		return;
	for (int i = 0; i < N_KNOWN; i++) {
		dc_npy_drop(&c->out[i]);
		dc_npy_close(&c->in[i]);
	}
	dc_npy_drop(&c->out_owner);
	dc_npy_close(&c->in_owner);
	dc_npy_close(&c->in_scale);
	if (c->out_key)
		fclose(c->out_key);
	if (c->fd >= 0)
		close(c->fd);
	if (c->tmp && c->parent >= 0)
		dc_tree_remove(c->parent, c->tmp);
	if (c->parent >= 0)
		close(c->parent);
	json_decref(c->key);
	free(c->dir);
	free(c->name);
	free(c->tmp);
	free(c->row);
	free(c->first);
	free(c->ints);
	free(c);
}

int64_t
dc_columns_images(const struct dc_columns *c)
{
	return c->n[IMAGES];
}

int64_t
dc_columns_captions(const struct dc_columns *c)
{
	return c->n[CAPTIONS];
}

int64_t
dc_columns_parts(const struct dc_columns *c)
{
	return c->parts;
}

/* --- writing: the directory --- */

static int
is_ours(const char *name)
{
	char file[40];

	for (int i = 0; i < N_KNOWN; i++) {
		file_of(file, sizeof file, &known[i]);
		if (!strcmp(name, file))
			return 1;
	}
	return !strcmp(name, owner_file) || !strcmp(name, key_file) || !strcmp(name, scale_file);
}

/* A directory that is there will be replaced: it must hold nothing but columns. */
static int
check_replaceable(const struct dc_columns *c)
{
	struct dirent *e;
	struct stat sb;
	DIR *d;
	int r = 0;

	if (fstatat(c->parent, c->name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : dc_err_errno("%s", c->dir);
	DC_CHECK(S_ISDIR(sb.st_mode), "%s: is there and is not a directory", c->dir);
	if (!(d = opendir(c->dir)))
		return dc_err_errno("%s", c->dir);
	while (r == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && !is_ours(e->d_name))
			r = dc_err_set("%s: holds '%.80s' and would be replaced; give a new directory", c->dir, e->d_name);
	closedir(d);
	return r;
}

static int
open_parent(struct dc_columns *c)
{
	const char *slash = strrchr(c->dir, '/');
	char *parent = !slash ? dc_xstrdup(".") : slash == c->dir ? dc_xstrdup("/") : dc_xstrndup(c->dir, (size_t)(slash - c->dir));

	c->name = dc_xstrdup(slash ? slash + 1 : c->dir);
	c->parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->parent < 0)
		dc_err_put_errno("%s", parent);
	free(parent);
	return c->parent < 0 ? -1 : 0;
}

static int
begin(struct dc_columns *c)
{
	DC_TRY(open_parent(c));
	DC_CHECK(c->name[0] && strcmp(c->name, ".") && strcmp(c->name, ".."), "%s: not a name for a new directory", c->dir);
	DC_TRY(check_replaceable(c));
	c->tmp = dc_xasprintf(".%s.%ld.tmp", c->name, (long)getpid());
	dc_tree_remove(c->parent, c->tmp);
	if (mkdirat(c->parent, c->tmp, 0777) < 0)
		return dc_err_errno("%s", c->dir);
	c->fd = openat(c->parent, c->tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return c->fd < 0 ? dc_err_errno("%s", c->dir) : 0;
}

struct dc_columns *
dc_columns_create(const char *dir, int normalize)
{
	struct dc_columns *c = new_columns(dir);

	c->normalize = normalize;
	if (begin(c) == 0)
		return c;
	dc_columns_free(c);
	return NULL;
}

/* --- writing: frames --- */

/* A frame's columns; t[i].n is not looked at where there is no column i. */
struct columns { struct dc_tensor t[N_KNOWN], owner; int has[N_KNOWN], has_owner; const struct dc_str *key; size_t keys; int64_t n[N_OF]; };

static int
count_rows(struct dc_frame *f, struct columns *x, enum of of, const char *name, int64_t n)
{
	static const char *const what[] = { "images", "captions" };

	if (x->n[of] >= 0 && x->n[of] != n)
		return dc_frame_err(f, "%s has %lld rows for %lld %s", name, (long long)n, (long long)x->n[of], what[of]);
	x->n[of] = n;
	return 0;
}

static int
find_columns(struct dc_frame *f, struct columns *x)
{
	x->n[IMAGES] = x->n[CAPTIONS] = -1;
	for (int i = 0; i < N_KNOWN; i++) {
		if (!(x->has[i] = dc_frame_get(f, known[i].name) != NULL))
			continue;
		DC_TRY(dc_frame_tensor(f, known[i].name, known[i].type, known[i].ndim, &x->t[i]));
		if (!x->t[i].data && x->t[i].n)
			return dc_frame_err(f, "%s: by reference, must be by value", known[i].name);
		DC_TRY(count_rows(f, x, known[i].of, known[i].name, x->t[i].shape[0]));
	}
	if (dc_frame_get(f, "key")) {
		DC_TRY(dc_frame_strs(f, "key", &x->key, &x->keys));
		DC_TRY(count_rows(f, x, IMAGES, "key", (int64_t)x->keys));
	}
	if (x->n[IMAGES] < 0 && x->n[CAPTIONS] < 0)
		return dc_frame_err(f, "has no features, ids, labels or keys");
	return 0;
}

/* caption_image, or that each image has one caption: only where there are both. */
static int
find_owner(struct dc_frame *f, struct columns *x)
{
	const int32_t *v;

	if (x->n[IMAGES] < 0 || x->n[CAPTIONS] < 0)
		return 0;
	x->has_owner = dc_frame_get(f, "caption_image") != NULL;
	if (!x->has_owner && x->n[CAPTIONS] != x->n[IMAGES])
		return dc_frame_err(f, "%lld captions for %lld images and no caption_image", (long long)x->n[CAPTIONS],
		    (long long)x->n[IMAGES]);
	if (!x->has_owner)
		return 0;
	DC_TRY(dc_frame_tensor(f, "caption_image", DC_I32, 1, &x->owner));
	DC_TRY(count_rows(f, x, CAPTIONS, "caption_image", x->owner.shape[0]));
	v = x->owner.data;
	if (!v && x->owner.n)
		return dc_frame_err(f, "caption_image: by reference, must be by value");
	for (size_t i = 0; i < x->owner.n; i++)
		if (v[i] < 0 || v[i] >= x->n[IMAGES])
			return dc_frame_err(f, "caption_image %d: outside the part's %lld images", v[i], (long long)x->n[IMAGES]);
	return 0;
}

static int
is_label(int i)
{
	return !strcmp(known[i].name, "label");
}

/* The first frame decides which columns there are. Labels may come and go: shards without .cls have none. */
static int
same_columns(const struct dc_columns *c, struct dc_frame *f, const struct columns *x)
{
	if (!c->begun)
		return 0;
	for (int i = 0; i < N_KNOWN; i++)
		if (!is_label(i) && x->has[i] != (c->out[i].fp != NULL))
			return dc_frame_err(f, "has %s%s, unlike the frames before", x->has[i] ? "" : "no ", known[i].name);
	if ((dc_frame_get(f, "key") != NULL) != (c->out_key != NULL))
		return dc_frame_err(f, "has %skey, unlike the frames before", c->out_key ? "no " : "");
	return 0;
}

static int
create(struct dc_columns *c, int i, struct dc_frame *f, const struct dc_tensor *t)
{
	char file[40];

	if (known[i].ndim == 2 && (t->shape[1] < 1 || t->shape[1] > WIDTH_MAX))
		return dc_frame_err(f, "%s: %lld columns", known[i].name, (long long)t->shape[1]);
	file_of(file, sizeof file, &known[i]);
	return dc_npy_create(&c->out[i], c->fd, file, known[i].type, known[i].ndim, t->shape);
}

/* Rows without a label. */
static int
fill_labels(struct dc_npy_out *o, int64_t n)
{
	int32_t v[1024];

	memset(v, 0xff, sizeof v);
	for (; n > 0; n -= 1024)
		DC_TRY(dc_npy_append(o, v, n < 1024 ? n : 1024));
	return 0;
}

static int
append_unit(struct dc_columns *c, int i, struct dc_frame *f, const struct dc_tensor *t)
{
	const int64_t D = t->shape[1];
	const float *x = t->data;

	if ((size_t)D > c->row_cap)
		c->row = dc_xrealloc(c->row, c->row_cap = (size_t)D, sizeof *c->row);
	for (int64_t n = 0; n < t->shape[0]; n++, x += D) {
		double sum = 0;
		for (int64_t d = 0; d < D; d++)
			sum += (double)x[d] * x[d];
		if (!(sum > 0 && isfinite(sum)))
			return dc_frame_err(f, "%s: row %lld is %s", known[i].name, (long long)n,
			    sum == 0 ? "all zeros and has no direction" : "not finite");
		for (int64_t d = 0; d < D; d++)
			c->row[d] = (float)(x[d] / sqrt(sum));
		DC_TRY(dc_npy_append(&c->out[i], c->row, 1));
	}
	return 0;
}

static int
append(struct dc_columns *c, int i, struct dc_frame *f, const struct columns *x)
{
	const struct dc_tensor *t = &x->t[i];

	if (!x->has[i])
		return c->out[i].fp ? fill_labels(&c->out[i], x->n[IMAGES]) : 0;
	if (!c->out[i].fp) {
		DC_TRY(create(c, i, f, t));
		if (is_label(i))
			DC_TRY(fill_labels(&c->out[i], c->n[IMAGES]));
	}
	if (known[i].ndim == 2 && t->shape[1] != c->out[i].shape[1])
		return dc_frame_err(f, "%s: %lld columns, wanted %lld as before", known[i].name, (long long)t->shape[1],
		    (long long)c->out[i].shape[1]);
	if (known[i].ndim == 2 && c->normalize)
		return append_unit(c, i, f, t);
	return dc_npy_append(&c->out[i], t->data, t->shape[0]);
}

/* Counted through the whole directory. */
static int
append_owner(struct dc_columns *c, const struct columns *x)
{
	const int32_t *v = x->has_owner ? x->owner.data : NULL;

	if (x->n[IMAGES] < 0 || x->n[CAPTIONS] < 0)
		return 0;
	if (!c->out_owner.fp)
		DC_TRY(dc_npy_create(&c->out_owner, c->fd, owner_file, DC_I64, 1, (int64_t[]){ 0 }));
	for (int64_t i = 0; i < x->n[CAPTIONS]; i++) {
		const int64_t image = c->n[IMAGES] + (x->has_owner ? v[i] : i);
		DC_TRY(dc_npy_append(&c->out_owner, &image, 1));
	}
	return 0;
}

static void
put_json(FILE *fp, const struct dc_str *s)
{
	putc('"', fp);
	for (size_t i = 0; i < s->n; i++) {
		const unsigned char ch = (unsigned char)s->p[i];
		if (ch < 0x20 || ch == '"' || ch == '\\')
			fprintf(fp, "\\u%04x", ch);
		else
			putc(ch, fp);
	}
	putc('"', fp);
}

static int
append_keys(struct dc_columns *c, struct dc_frame *f, const struct columns *x)
{
	if (!dc_frame_get(f, "key"))
		return 0;
	if (!c->out_key) {
		int fd = openat(c->fd, key_file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
		if (fd < 0 || !(c->out_key = fdopen(fd, "w")))
			return dc_err_errno("%s/%s", c->dir, key_file);
	}
	for (size_t i = 0; i < x->keys; i++) {
		fputs(c->n[IMAGES] + (int64_t)i ? ",\n" : "[", c->out_key);
		put_json(c->out_key, &x->key[i]);
	}
	return ferror(c->out_key) ? dc_err_errno("%s/%s", c->dir, key_file) : 0;
}

static int
take_scale(struct dc_columns *c, struct dc_frame *f)
{
	double v;

	if (!dc_frame_get(f, "logit_scale"))
		return 0;
	DC_TRY(dc_frame_double(f, "logit_scale", &v));
	if (c->has_scale && v != c->scale)
		return dc_frame_err(f, "logit_scale %g, before %g: these are features of two models", v, c->scale);
	c->has_scale = 1;
	c->scale = v;
	return 0;
}

int
dc_columns_take(struct dc_columns *c, struct dc_frame *f)
{
	struct columns x = { 0 };

	DC_TRY(find_columns(f, &x));
	DC_TRY(find_owner(f, &x));
	DC_TRY(same_columns(c, f, &x));
	DC_TRY(take_scale(c, f));
	for (int i = 0; i < N_KNOWN; i++)
		DC_TRY(append(c, i, f, &x));
	DC_TRY(append_owner(c, &x));
	DC_TRY(append_keys(c, f, &x));
	c->begun = 1;
	for (int i = 0; i < N_OF; i++)
		c->n[i] += x.n[i] > 0 ? x.n[i] : 0;
	return 0;
}

static int
finish_keys(struct dc_columns *c)
{
	FILE *fp = c->out_key;

	if (!fp)
		return 0;
	c->out_key = NULL;
	fputs(c->n[IMAGES] ? "]\n" : "[]\n", fp);
	if (fflush(fp) == 0 && fsync(fileno(fp)) < 0) {
		dc_err_put_errno("%s", key_file);
		fclose(fp);
		return -1;
	}
	return dc_fshut(fp, key_file);
}

static int
finish_scale(struct dc_columns *c)
{
	struct dc_npy_out o;

	if (!c->has_scale)
		return 0;
	DC_TRY(dc_npy_create(&o, c->fd, scale_file, DC_F64, 0, NULL));
	if (dc_npy_append(&o, &c->scale, 1) < 0) {
		dc_npy_drop(&o);
		return -1;
	}
	return dc_npy_finish(&o);
}

int
dc_columns_finish(struct dc_columns *c)
{
	DC_CHECK(c->begun, "no features among the frames");
	for (int i = 0; i < N_KNOWN; i++)
		if (c->out[i].fp)
			DC_TRY(dc_npy_finish(&c->out[i]));
	if (c->out_owner.fp)
		DC_TRY(dc_npy_finish(&c->out_owner));
	DC_TRY(finish_keys(c));
	DC_TRY(finish_scale(c));
	if (fsync(c->fd) < 0)
		return dc_err_errno("%s", c->dir);
	DC_TRY(dc_tree_move(c->parent, c->tmp, c->name));
	free(c->tmp);
	c->tmp = NULL;
	return 0;
}

/* --- reading --- */

static int
is_there(const struct dc_columns *c, const char *file)
{
	return faccessat(c->fd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
rows_agree(struct dc_columns *c, enum of of, const char *file, int64_t rows)
{
	DC_CHECK(c->n[of] < 0 || c->n[of] == rows, "%s: %lld rows, but %s has %lld", file, (long long)rows, c->counted[of],
	    (long long)c->n[of]);
	if (c->n[of] < 0)
		snprintf(c->counted[of], sizeof c->counted[of], "%s", file);
	c->n[of] = rows;
	return 0;
}

static int
open_column(struct dc_columns *c, int i)
{
	const struct known *k = &known[i];
	struct dc_npy *x = &c->in[i];
	char file[40];

	file_of(file, sizeof file, k);
	if (!is_there(c, file))
		return 0;
	DC_TRY(dc_npy_open(x, c->fd, file));
	DC_CHECK(x->ndim == k->ndim, "%s: %d dimensions, wanted %d", file, x->ndim, k->ndim);
	DC_CHECK(dc_npy_is_float(x) == (k->type == DC_F32), "%s: type %s, wanted %s", file, x->code,
	    k->type == DC_F32 ? "<f4, <f2 or <f8" : "whole numbers");
	DC_CHECK(k->ndim < 2 || (x->shape[1] >= 1 && x->shape[1] <= WIDTH_MAX), "%s: %lld columns", file, (long long)x->shape[1]);
	return rows_agree(c, k->of, file, x->rows);
}

static int
open_keys(struct dc_columns *c)
{
	json_error_t e;
	json_t *v;
	size_t i;
	FILE *fp;
	int fd;

	if (!is_there(c, key_file))
		return 0;
	fd = openat(c->fd, key_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || !(fp = fdopen(fd, "r")))
		return dc_err_errno("%s", key_file);
	c->key = json_loadf(fp, JSON_ALLOW_NUL, &e);
	fclose(fp);
	DC_CHECK(c->key, "%s: line %d: %s", key_file, e.line, e.text);
	DC_CHECK(json_is_array(c->key), "%s: not an array of strings", key_file);
	json_array_foreach(c->key, i, v)
		DC_CHECK(json_is_string(v), "%s: element %zu is not a string", key_file, i);
	return rows_agree(c, IMAGES, key_file, (int64_t)json_array_size(c->key));
}

static int
open_scale(struct dc_columns *c)
{
	float v;

	if (!is_there(c, scale_file))
		return 0;
	DC_TRY(dc_npy_open(&c->in_scale, c->fd, scale_file));
	DC_CHECK(c->in_scale.rows == 1 && c->in_scale.row == 1, "%s: must be one number", scale_file);
	DC_TRY(dc_npy_floats(&c->in_scale, 0, 1, &v));
	c->has_scale = 1;
	c->scale = v;
	if (c->in_scale.item == 8 && pread(c->in_scale.fd, &c->scale, 8, c->in_scale.offset) != 8)
		return dc_err_errno("%s", scale_file);
	return 0;
}

static int
ints(struct dc_columns *c, const struct dc_npy *x, int64_t first, int64_t n)
{
	if ((size_t)n > c->ints_cap)
		c->ints = dc_xrealloc(c->ints, c->ints_cap = (size_t)n, sizeof *c->ints);
	return dc_npy_ints(x, first, n, c->ints);
}

/* Where each part's captions begin: captions stand in the order of their images, and images are cut evenly. */
static int
cut_captions(struct dc_columns *c)
{
	const int64_t N = c->n[IMAGES], C = c->n[CAPTIONS];
	int64_t part = 0, last = 0;

	c->first = dc_xcalloc((size_t)c->parts + 1, sizeof *c->first);
	for (int64_t i = 0; i < C; i += ROWS_MAX) {
		const int64_t n = C - i < ROWS_MAX ? C - i : ROWS_MAX;
		DC_TRY(ints(c, &c->in_owner, i, n));
		for (int64_t j = 0; j < n; j++) {
			const int64_t image = c->ints[j];
			DC_CHECK(image >= 0 && image < N, "%s: row %lld: image %lld of %lld", owner_file, (long long)(i + j),
			    (long long)image, (long long)N);
			DC_CHECK(image >= last, "%s: row %lld: image %lld after %lld; captions must stand in the order of their images",
			    owner_file, (long long)(i + j), (long long)image, (long long)last);
			for (last = image; part < image / DC_PART_MAX; )
				c->first[++part] = i + j;
		}
	}
	while (part < c->parts)
		c->first[++part] = C;
	return 0;
}

static int
open_owner(struct dc_columns *c)
{
	const int both = c->n[IMAGES] >= 0 && c->n[CAPTIONS] >= 0, there = is_there(c, owner_file);

	DC_CHECK(!there || both, "%s: without files of images and of captions", owner_file);
	DC_CHECK(there || !both || c->n[IMAGES] == c->n[CAPTIONS], "%s: missing, for %lld captions of %lld images", owner_file,
	    (long long)c->n[CAPTIONS], (long long)c->n[IMAGES]);
	if (!there)
		return 0;
	DC_TRY(dc_npy_open(&c->in_owner, c->fd, owner_file));
	DC_CHECK(c->in_owner.ndim == 1, "%s: %d dimensions, wanted 1", owner_file, c->in_owner.ndim);
	DC_TRY(rows_agree(c, CAPTIONS, owner_file, c->in_owner.rows));
	return cut_captions(c);
}

static int
open_all(struct dc_columns *c)
{
	int64_t rows;

	c->n[IMAGES] = c->n[CAPTIONS] = -1;
	c->fd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->fd < 0)
		return dc_err_set("%s", strerror(errno));
	for (int i = 0; i < N_KNOWN; i++)
		DC_TRY(open_column(c, i));
	DC_TRY(open_keys(c));
	DC_TRY(open_scale(c));
	rows = c->n[IMAGES] >= 0 ? c->n[IMAGES] : c->n[CAPTIONS];
	DC_CHECK(rows >= 0, "no image_features.0.npy, text_features.0.npy or other column in it");
	c->parts = rows ? (rows + DC_PART_MAX - 1) / DC_PART_MAX : 1;
	return open_owner(c);
}

struct dc_columns *
dc_columns_open(const char *dir)
{
	struct dc_columns *c = new_columns(dir);

	if (open_all(c) == 0) {
		for (int i = 0; i < N_OF; i++)
			c->n[i] = c->n[i] < 0 ? 0 : c->n[i];
		return c;
	}
	dc_err_prefix("%s", c->dir);
	dc_columns_free(c);
	return NULL;
}

/* Rows [first, first + n) of column i. */
static int
put_column(struct dc_columns *c, int i, struct dc_body *b, int64_t first, int64_t n)
{
	const struct known *k = &known[i];
	const struct dc_npy *x = &c->in[i];
	int64_t shape[] = { n, k->ndim == 2 ? x->shape[1] : 0 };
	void *to;

	if (x->fd < 0)
		return 0;
	DC_CHECK((size_t)n <= DC_BODY_MAX / ((size_t)x->row * 4 + 1), "%s: too many captions of one image", x->name);
	if (k->ndim < 2)
		DC_TRY(ints(c, x, first, n));
	to = dc_put_space(b, k->name, k->type, k->ndim, shape);
	if (k->ndim == 2)
		return dc_npy_floats(x, first, n, to);
	for (int64_t j = 0; j < n; j++) {
		const int32_t v = (int32_t)c->ints[j];
		DC_CHECK(k->type != DC_I32 || v == c->ints[j], "%s: row %lld: %lld is too large", x->name, (long long)(first + j),
		    (long long)c->ints[j]);
		memcpy((char *)to + (size_t)j * dc_type_size(k->type), k->type == DC_I32 ? (const void *)&v : &c->ints[j], dc_type_size(k->type));
	}
	return 0;
}

static int
put_owner(struct dc_columns *c, struct dc_body *b, int64_t image, int64_t first, int64_t n)
{
	int32_t *to;

	if (c->in_owner.fd < 0)
		return 0;
	DC_TRY(ints(c, &c->in_owner, first, n));
	to = dc_put_space(b, "caption_image", DC_I32, 1, (int64_t[]){ n });
	for (int64_t j = 0; j < n; j++)
		to[j] = (int32_t)(c->ints[j] - image);
	return 0;
}

int
dc_columns_put(struct dc_columns *c, int64_t i, struct dc_body *b)
{
	int64_t first[N_OF], n[N_OF];

	for (int of = 0; of < N_OF; of++) {
		first[of] = i * DC_PART_MAX;
		n[of] = c->n[of] - first[of] < DC_PART_MAX ? c->n[of] - first[of] : DC_PART_MAX;
		n[of] = n[of] < 0 ? 0 : n[of];
	}
	if (c->first) {
		first[CAPTIONS] = c->first[i];
		n[CAPTIONS] = c->first[i + 1] - c->first[i];
	}
	for (int k = 0; k < N_KNOWN; k++)
		DC_TRY(put_column(c, k, b, first[known[k].of], n[known[k].of]));
	DC_TRY(put_owner(c, b, first[IMAGES], first[CAPTIONS], n[CAPTIONS]));
	if (c->key) {
		dc_put_array(b, "key", (size_t)n[IMAGES]);
		for (int64_t j = 0; j < n[IMAGES]; j++) {
			const json_t *s = json_array_get(c->key, (size_t)(first[IMAGES] + j));
			dc_put_strn(b, NULL, json_string_value(s), json_string_length(s));
		}
	}
	if (c->has_scale)
		dc_put_double(b, "logit_scale", c->scale);
	dc_put_int(b, "position", 1);
	dc_put_part(b, i, c->parts);
	return 0;
}
