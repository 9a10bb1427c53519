/* SPDX-License-Identifier: MIT */
/* dc-augment: samples -> views. Draws and makes the image views and caption views of each sample. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/opts.h"
#include "base/pool.h"
#include "base/progress.h"
#include "base/rng.h"
#include "data/eda.h"
#include "data/image.h"
#include "data/views.h"
#include "stream/stream.h"

enum { VIEWS_MAX = 8, CAPTION_VIEWS_MAX = 2, CAPTION_VIEW_BITS = 8 };

/* A SimCLR-like view as DeCLIP and SLIP take it, with the crop's least share of the area. */
#define STRONG(least, f) { .interpolation = f, .scale = { least, 1 }, .ratio = { 3. / 4, 4. / 3 }, \
	.jitter = { 0.4, 0.4, 0.4, 0.1 }, .jitter_p = 0.8, .gray_p = 0.2, .blur = { 0.1, 2 }, .blur_p = 0.5, .flip_p = 0.5 }
/* A crop alone; the strengths stand ready for --jitter-p and --blur-p. */
#define CROP(least, f) { .interpolation = f, .scale = { least, 1 }, .ratio = { 3. / 4, 4. / 3 }, \
	.jitter = { 0.4, 0.4, 0.4, 0.1 }, .blur = { 0.1, 2 } }

struct recipe {
	const char *name;
	int n_views, n_base;  /* views; how many of the first keep their own parameters */
	int caption_views;
	struct dc_view_recipe view[VIEWS_MAX];
};

static const struct recipe recipes[] = {
	{ "declip", 2, 0, 2, { STRONG(0.2, DC_BILINEAR), STRONG(0.2, DC_BILINEAR) } },
	{ "clip", 1, 0, 1, { CROP(0.5, DC_BILINEAR) } },
	{ "openclip", 1, 0, 1, { CROP(0.9, DC_BICUBIC) } },
	{ "slip", 3, 1, 1, { CROP(0.5, DC_BILINEAR), STRONG(0.08, DC_BILINEAR), STRONG(0.08, DC_BILINEAR) } },
	{ "eval", 1, 0, 1, { { .centre = 1, .interpolation = DC_BICUBIC } } },
};

static struct {
	const char *recipe, *wordnet, *interpolation;
	int64_t size, views, caption_views, seed, jobs, max_pixels;
	unsigned eda;
	int trace, verbose;
	struct dc_view_recipe given;  /* what --scale, --jitter-p ... said */
} o = { .recipe = "declip", .wordnet = DC_WORDNET_DIR, .size = 224, .max_pixels = 25000000, .eda = DC_EDA_ALL };

/* --- options --- */

/* n numbers with commas between. */
static int
parse_numbers(double *out, int n, const char *name, const char *value, double lo, double hi)
{
	char *copy = dc_xstrdup(value), *rest = copy, what[40];
	int i = 0, r = 0;

	snprintf(what, sizeof what, "--%s", name);
	for (char *s; r == 0 && (s = strsep(&rest, ",")); i++)
		r = i < n ? dc_parse_double(what, s, lo, hi, &out[i]) : -1;
	free(copy);
	if (i != n)
		return dc_err_set("--%s %s: must be %d numbers with commas between", name, value, n);
	return r;
}

static int
parse_range(double out[2], const char *name, const char *value, double lo, double hi)
{
	DC_TRY(parse_numbers(out, 2, name, value, lo, hi));
	DC_CHECK(out[0] <= out[1], "--%s %s: the first number must not be above the second", name, value);
	return 0;
}

static int
opt_scale(void *dst, const char *name, const char *value)
{
	return parse_range(((struct dc_view_recipe *)dst)->scale, name, value, 1e-6, 1);
}

static int
opt_ratio(void *dst, const char *name, const char *value)
{
	return parse_range(((struct dc_view_recipe *)dst)->ratio, name, value, 0.01, 100);
}

static int
opt_jitter(void *dst, const char *name, const char *value)
{
	double *j = ((struct dc_view_recipe *)dst)->jitter;

	DC_TRY(parse_numbers(j, DC_JITTERS, name, value, 0, 10));
	DC_CHECK(j[DC_HUE] <= 0.5, "--%s %s: the hue's strength must be in [0, 0.5]", name, value);
	return 0;
}

static int
opt_blur(void *dst, const char *name, const char *value)
{
	return parse_range(((struct dc_view_recipe *)dst)->blur, name, value, 0, 100);
}

static int
opt_probability(void *dst, const char *name, const char *value)
{
	char what[40];

	snprintf(what, sizeof what, "--%s", name);
	return dc_parse_double(what, value, 0, 1, dst);
}

static unsigned
eda_operation(const char *s)
{
	return !strcmp(s, "synonym") ? DC_EDA_SYNONYM : !strcmp(s, "swap") ? DC_EDA_SWAP : !strcmp(s, "delete") ? DC_EDA_DELETE : 0;
}

static int
opt_eda(void *dst, const char *name, const char *value)
{
	char *copy = dc_xstrdup(value), *rest = copy;
	unsigned set = 0, all_known = 1;

	for (char *s; (s = strsep(&rest, ","));) {
		set |= eda_operation(s);
		all_known = all_known && eda_operation(s);
	}
	free(copy);
	DC_CHECK(all_known, "--%s %s: must be a list of synonym, swap and delete, with commas between", name, value);
	*(unsigned *)dst = set;
	return 0;
}

static const struct dc_opt table[] = {
	DC_OPT_CHOICE("recipe", 'r', &o.recipe, "declip|clip|openclip|slip|eval", "which views"),
	DC_OPT_INT("size", 'S', &o.size, 1, 4096, "S", "width and height of a view in pixels"),
	DC_OPT_INT("views", 0, &o.views, 1, VIEWS_MAX, "N", "image views per sample [the recipe's]"),
	DC_OPT_INT("caption-views", 0, &o.caption_views, 1, CAPTION_VIEWS_MAX, "N",
	    "2: the caption and its augmentation; 1: the caption [the recipe's]"),
	DC_OPT_CALL("scale", 0, opt_scale, &o.given, "LO,HI", "the crop's share of the image's area [the recipe's]"),
	DC_OPT_CALL("ratio", 0, opt_ratio, &o.given, "LO,HI", "the crop's width / height [0.75,1.3333]"),
	DC_OPT_CHOICE("interpolation", 0, &o.interpolation, "bilinear|bicubic", "how crops are resized [the recipe's]"),
	DC_OPT_CALL("jitter", 0, opt_jitter, &o.given, "B,C,S,H",
	    "strength of brightness, contrast, saturation, hue [0.4,0.4,0.4,0.1]"),
	DC_OPT_CALL("jitter-p", 0, opt_probability, &o.given.jitter_p, "P", "probability of the colour jitter [the recipe's]"),
	DC_OPT_CALL("gray-p", 0, opt_probability, &o.given.gray_p, "P", "probability of grayscale [the recipe's]"),
	DC_OPT_CALL("blur", 0, opt_blur, &o.given, "LO,HI", "radius of the Gaussian blur in pixels [0.1,2]"),
	DC_OPT_CALL("blur-p", 0, opt_probability, &o.given.blur_p, "P", "probability of the blur [the recipe's]"),
	DC_OPT_CALL("flip-p", 0, opt_probability, &o.given.flip_p, "P", "probability of the flip [the recipe's]"),
	DC_OPT_CALL("eda", 0, opt_eda, &o.eda, "LIST", "operations on captions [synonym,swap,delete]"),
	DC_OPT_STR("wordnet", 0, &o.wordnet, "DIR", "WordNet's database files"),
	DC_OPT_INT("max-pixels", 0, &o.max_pixels, 1, 300000000, "N", "drop larger encoded images, before decoding"),
	DC_OPT_INT("seed", 's', &o.seed, 0, 9007199254740992.0, "N", "seed of all that is drawn"),
	DC_OPT_INT("jobs", 'j', &o.jobs, 0, 1024, "N", "threads; the bytes do not depend on it [all processors]"),
	DC_OPT_FLAG("trace", 0, &o.trace, "add what was drawn to the frames"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static void
apply_options(struct dc_view_recipe *v)
{
	const struct dc_view_recipe *g = &o.given;

	if (dc_opts_given("scale"))
		memcpy(v->scale, g->scale, sizeof v->scale);
	if (dc_opts_given("ratio"))
		memcpy(v->ratio, g->ratio, sizeof v->ratio);
	if (dc_opts_given("jitter"))
		memcpy(v->jitter, g->jitter, sizeof v->jitter);
	if (dc_opts_given("blur"))
		memcpy(v->blur, g->blur, sizeof v->blur);
	v->jitter_p = dc_opts_given("jitter-p") ? g->jitter_p : v->jitter_p;
	v->gray_p = dc_opts_given("gray-p") ? g->gray_p : v->gray_p;
	v->blur_p = dc_opts_given("blur-p") ? g->blur_p : v->blur_p;
	v->flip_p = dc_opts_given("flip-p") ? g->flip_p : v->flip_p;
}

static void
check_options(const struct recipe *r)
{
	const struct dc_view_recipe *last = &r->view[r->n_views - 1];

	if (last->centre && (dc_opts_given("scale") || dc_opts_given("ratio")))
		dc_die_usage("--scale and --ratio: the recipe eval draws no crop");
	if (dc_opts_given("jitter") && last->jitter_p == 0)
		dc_die_usage("--jitter: the recipe %s has none; give --jitter-p too", r->name);
	if (dc_opts_given("blur") && last->blur_p == 0)
		dc_die_usage("--blur: the recipe %s has none; give --blur-p too", r->name);
	if (dc_opts_given("eda") && r->caption_views < 2)
		dc_die_usage("--eda: the recipe %s has one caption view; give --caption-views 2 too", r->name);
}

/* The recipe of that name, changed as the options say. */
static struct recipe
make_recipe(void)
{
	struct recipe r = recipes[0];

	for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
		if (!strcmp(recipes[i].name, o.recipe))
			r = recipes[i];
	for (int v = r.n_views; v < VIEWS_MAX; v++)
		r.view[v] = r.view[v - 1];
	if (o.views)
		r.n_views = (int)o.views;
	if (o.caption_views)
		r.caption_views = (int)o.caption_views;
	for (int v = 0; v < r.n_views; v++) {
		r.view[v].size = (int)o.size;
		if (o.interpolation)
			r.view[v].interpolation = strcmp(o.interpolation, "bicubic") ? DC_BILINEAR : DC_BICUBIC;
		if (v >= r.n_base)
			apply_options(&r.view[v]);
	}
	check_options(&r);
	return r;
}

/* --- one part of a batch --- */

struct sample { struct dc_raster image; struct dc_str encoded; char *error; };

struct augment {
	struct recipe recipe;
	struct dc_pool *pool;
	struct dc_wordnet *wordnet;
	struct dc_progress progress;
	struct dc_body body;
	uint64_t samples, batches, dropped;
	/* the part at hand */
	size_t n;                          /* samples that came */
	int encoded;                       /* some images are still encoded */
	struct sample *sample;             /* (n) */
	const uint64_t *id; const int32_t *epoch; const struct dc_str *key;
	size_t n_captions; const struct dc_str *caption; const int32_t *caption_image;
	uint32_t *nth;                     /* (n_captions): which caption of its image */
	uint8_t *pixels[VIEWS_MAX]; size_t cap;   /* (n, size, size, 3) each */
	struct dc_view *view;              /* (n, views) */
	struct dc_eda_result *eda;         /* (n_captions), with two caption views */
	size_t *kept; size_t n_kept;       /* samples that go on */
	int32_t *new_index;                /* (n): their new place; -1 if dropped */
};

static size_t
view_bytes(const struct augment *a)
{
	return (size_t)a->recipe.view[0].size * (size_t)a->recipe.view[0].size * 3;
}

/* Image i is u8 [H,W,3], or the bytes of an encoded one, u8 [n]. */
static int
take_image(struct augment *a, struct dc_frame *f, size_t i, const msgpack_object *object)
{
	struct sample *s = &a->sample[i];
	struct dc_tensor t;

	DC_TRY(dc_object_tensor(f, "image", object, &t));
	if (t.type != DC_U8 || !t.data || (t.ndim != 1 && t.ndim != 3))
		return dc_frame_err(f, "image %zu: wanted u8 [H,W,3] or encoded bytes, u8 [n]", i);
	if (t.ndim == 1) {
		s->encoded = (struct dc_str){ t.data, t.n };
		a->encoded = 1;
		return 0;
	}
	if (t.shape[2] != 3 || t.shape[0] < 1 || t.shape[1] < 1 || t.shape[0] > DC_IMAGE_SIDE_MAX ||
	    t.shape[1] > DC_IMAGE_SIDE_MAX)
		return dc_frame_err(f, "image %zu: its shape [%" PRId64 ",%" PRId64 ",%" PRId64 "] is not [H,W,3] with sides in"
		    " [1,%d]", i, t.shape[0], t.shape[1], t.shape[2], DC_IMAGE_SIDE_MAX);
	s->image = dc_raster(t.data, (int)t.shape[1], (int)t.shape[0]);
	return 0;
}

static int
take_images(struct augment *a, struct dc_frame *f)
{
	const msgpack_object *array;
	struct dc_tensor t;
	size_t n_keys;

	DC_TRY(dc_frame_array(f, "image", &array, &a->n));
	DC_TRY(dc_frame_tensor(f, "id", DC_U64, 1, &t));
	a->id = t.data;
	if (t.n != a->n || !t.data)
		return dc_frame_err(f, "%zu images and %zu ids", a->n, t.n);
	DC_TRY(dc_frame_tensor(f, "epoch", DC_I32, 1, &t));
	a->epoch = t.data;
	if (t.n != a->n || !t.data)
		return dc_frame_err(f, "%zu images and %zu epochs", a->n, t.n);
	DC_TRY(dc_frame_strs(f, "key", &a->key, &n_keys));
	if (n_keys != a->n)
		return dc_frame_err(f, "%zu images and %zu keys", a->n, n_keys);
	a->sample = dc_xcalloc(a->n, sizeof *a->sample);
	a->encoded = 0;
	for (size_t i = 0; i < a->n; i++)
		DC_TRY(take_image(a, f, i, &array->via.array.ptr[i]));
	return 0;
}

/* caption_image[c] is the image of caption c; without it, caption c belongs to image c. */
static int
take_captions(struct augment *a, struct dc_frame *f)
{
	struct dc_tensor t = { 0 };
	uint32_t *count = dc_xcalloc(a->n, sizeof *count);
	int r = dc_frame_strs(f, "caption", &a->caption, &a->n_captions);

	if (r == 0 && dc_frame_get(f, "caption_image"))
		r = dc_frame_tensor(f, "caption_image", DC_I32, 1, &t);
	if (r == 0 && (t.data ? t.n : a->n) != a->n_captions)
		r = dc_frame_err(f, "%zu captions for %zu places", a->n_captions, t.data ? t.n : a->n);
	a->caption_image = t.data;
	a->nth = r == 0 ? dc_xcalloc(a->n_captions, sizeof *a->nth) : NULL;
	for (size_t c = 0; r == 0 && c < a->n_captions; c++) {
		const int64_t image = a->caption_image ? a->caption_image[c] : (int64_t)c;

		if (image < 0 || (size_t)image >= a->n)
			r = dc_frame_err(f, "caption %zu is of image %" PRId64 " of %zu", c, image, a->n);
		else
			a->nth[c] = count[image]++;
	}
	free(count);
	return r;
}

static size_t
image_of(const struct augment *a, size_t caption)
{
	return a->caption_image ? (size_t)a->caption_image[caption] : caption;
}

static void
make_view(struct augment *a, size_t i, int v, struct dc_raster image)
{
	struct dc_view *view = &a->view[i * (size_t)a->recipe.n_views + (size_t)v];
	uint8_t *out = a->pixels[v] + i * view_bytes(a);

	dc_view_draw(view, &a->recipe.view[v], image.width, image.height, (uint64_t)o.seed, (uint64_t)a->epoch[i], a->id[i],
	    (uint64_t)v);
	if (dc_view_apply(out, image, &a->recipe.view[v], view) < 0 && !a->sample[i].error)
		a->sample[i].error = dc_xstrdup(dc_err());
}

/* Item: a view of a sample, or where images are still encoded all views of a sample, so that it is decoded once. */
static void
make_views(void *arg, size_t item)
{
	struct augment *a = arg;
	const size_t views = (size_t)a->recipe.n_views, i = a->encoded ? item : item / views;
	struct sample *s = &a->sample[i];
	struct dc_image im = { 0 };

	if (!a->encoded) {
		make_view(a, i, (int)(item % views), s->image);
		return;
	}
	if (s->encoded.p && dc_image_decode((const unsigned char *)s->encoded.p, s->encoded.n, (uint64_t)o.max_pixels, &im) < 0)
		s->error = dc_xstrdup(dc_err());
	for (int v = 0; v < a->recipe.n_views && !s->error; v++)
		make_view(a, i, v, s->encoded.p ? dc_raster(im.rgb, im.width, im.height) : s->image);
	dc_image_free(&im);
}

static void
make_caption(void *arg, size_t c)
{
	struct augment *a = arg;
	const size_t i = image_of(a, c);
	struct dc_rng rng;

	/* the caption view's number, and above it which caption of the image this is */
	dc_rng_init(&rng, (uint64_t)o.seed, (uint64_t)a->epoch[i], a->id[i], 1 | (uint64_t)a->nth[c] << CAPTION_VIEW_BITS,
	    DC_RNG_EDA);
	a->eda[c] = dc_eda_caption(a->caption[c].p, a->caption[c].n, o.eda, a->wordnet, &rng);
}

/* The samples without an error, and their new places. Say the first error of the run; the others are counted. */
static void
keep(struct augment *a)
{
	a->kept = dc_xcalloc(a->n, sizeof *a->kept);
	a->new_index = dc_xcalloc(a->n, sizeof *a->new_index);
	a->n_kept = 0;
	for (size_t i = 0; i < a->n; i++) {
		const char *error = a->sample[i].error;

		if (error && a->dropped++ == 0)
			dc_warn("%.*s: %s; the sample is dropped, further ones are counted", (int)a->key[i].n, a->key[i].p, error);
		a->new_index[i] = error ? -1 : (int32_t)a->n_kept;
		if (!error)
			a->kept[a->n_kept++] = i;
	}
}

/* --- writing --- */

static char *
named(char name[32], const char *fmt, int v)
{
	snprintf(name, 32, fmt, v);
	return name;
}

static void
put_images(struct augment *a)
{
	const int64_t size = a->recipe.view[0].size;
	char name[32];

	for (int v = 0; v < a->recipe.n_views; v++) {
		uint8_t *to = dc_put_space(&a->body, named(name, "image.%d", v), DC_U8, 4,
		    (int64_t[]){ (int64_t)a->n_kept, size, size, 3 });

		for (size_t k = 0; k < a->n_kept; k++)
			memcpy(to + k * view_bytes(a), a->pixels[v] + a->kept[k] * view_bytes(a), view_bytes(a));
	}
}

/* The captions of samples that go on. */
static size_t
kept_captions(const struct augment *a)
{
	size_t n = 0;

	for (size_t c = 0; c < a->n_captions; c++)
		n += a->new_index[image_of(a, c)] >= 0;
	return n;
}

static void
put_captions(struct augment *a)
{
	const size_t n = kept_captions(a);
	int identity = n == a->n_kept;

	for (int v = 0; v < a->recipe.caption_views; v++) {
		dc_put_array(&a->body, v ? "caption.1" : "caption.0", n);
		for (size_t c = 0; c < a->n_captions; c++)
			if (a->new_index[image_of(a, c)] >= 0)
				dc_put_strn(&a->body, NULL, v ? a->eda[c].caption : a->caption[c].p, v ? a->eda[c].n : a->caption[c].n);
	}
	int32_t *image = dc_xcalloc(n, sizeof *image);
	size_t k = 0;
	for (size_t c = 0; c < a->n_captions; c++)
		if (a->new_index[image_of(a, c)] >= 0) {
			image[k] = a->new_index[image_of(a, c)];
			identity = identity && image[k] == (int32_t)k;
			k++;
		}
	if (!identity)
		dc_put_data(&a->body, "caption_image", DC_I32, 1, (int64_t[]){ (int64_t)n }, image);
	free(image);
}

/* A per-sample tensor without the rows of dropped samples. */
static int
put_rows(struct augment *a, struct dc_frame *f, const char *name)
{
	struct dc_tensor t;
	size_t row;
	char *to;

	if (!dc_frame_get(f, name))
		return 0;
	DC_TRY(dc_frame_tensor_any(f, name, &t));
	if (t.ndim != 1 || t.n != a->n || !t.data)
		return dc_frame_err(f, "%s: not one value for each of %zu images", name, a->n);
	row = dc_type_size(t.type);
	to = dc_put_space(&a->body, name, t.type, 1, (int64_t[]){ (int64_t)a->n_kept });
	for (size_t k = 0; k < a->n_kept; k++)
		memcpy(to + k * row, (const char *)t.data + a->kept[k] * row, row);
	return 0;
}

static void
put_keys(struct augment *a)
{
	dc_put_array(&a->body, "key", a->n_kept);
	for (size_t k = 0; k < a->n_kept; k++)
		dc_put_strn(&a->body, NULL, a->key[a->kept[k]].p, a->key[a->kept[k]].n);
}

static const struct dc_view *
kept_view(const struct augment *a, size_t k, int v)
{
	return &a->view[a->kept[k] * (size_t)a->recipe.n_views + (size_t)v];
}

static void
put_trace_crop(struct augment *a, int v)
{
	const int64_t n = (int64_t)a->n_kept;
	char name[32];
	int32_t *to = dc_put_space(&a->body, named(name, "trace.%d.box", v), DC_I32, 2, (int64_t[]){ n, 4 });

	for (size_t k = 0; k < a->n_kept; k++)
		memcpy(to + 4 * k, kept_view(a, k, v)->box, 4 * sizeof *to);
	to = dc_put_space(&a->body, named(name, "trace.%d.resize", v), DC_I32, 2, (int64_t[]){ n, 2 });
	for (size_t k = 0; k < a->n_kept; k++)
		memcpy(to + 2 * k, kept_view(a, k, v)->resized, 2 * sizeof *to);
	dc_put_str(&a->body, named(name, "trace.%d.interpolation", v),
	    a->recipe.view[v].interpolation == DC_BICUBIC ? "bicubic" : "bilinear");
}

static void
put_trace_colour(struct augment *a, int v)
{
	const int64_t n = (int64_t)a->n_kept;
	char name[32];
	double *jitter = dc_put_space(&a->body, named(name, "trace.%d.jitter", v), DC_F64, 2, (int64_t[]){ n, DC_JITTERS });

	for (size_t k = 0; k < a->n_kept; k++)
		memcpy(jitter + DC_JITTERS * k, kept_view(a, k, v)->jitter, DC_JITTERS * sizeof *jitter);
	int32_t *order = dc_put_space(&a->body, named(name, "trace.%d.order", v), DC_I32, 2, (int64_t[]){ n, DC_JITTERS });
	for (size_t k = 0; k < a->n_kept; k++)
		memcpy(order + DC_JITTERS * k, kept_view(a, k, v)->order, DC_JITTERS * sizeof *order);
	uint8_t *gray = dc_put_space(&a->body, named(name, "trace.%d.gray", v), DC_U8, 1, &n);
	for (size_t k = 0; k < a->n_kept; k++)
		gray[k] = (uint8_t)kept_view(a, k, v)->gray;
	double *blur = dc_put_space(&a->body, named(name, "trace.%d.blur", v), DC_F64, 1, &n);
	for (size_t k = 0; k < a->n_kept; k++)
		blur[k] = kept_view(a, k, v)->blur;
	uint8_t *flip = dc_put_space(&a->body, named(name, "trace.%d.flip", v), DC_U8, 1, &n);
	for (size_t k = 0; k < a->n_kept; k++)
		flip[k] = (uint8_t)kept_view(a, k, v)->flip;
}

static void
put_trace(struct augment *a)
{
	for (int v = 0; v < a->recipe.n_views; v++) {
		put_trace_crop(a, v);
		put_trace_colour(a, v);
	}
	if (a->recipe.caption_views < 2)
		return;
	dc_put_array(&a->body, "trace.eda", kept_captions(a));
	for (size_t c = 0; c < a->n_captions; c++)
		if (a->new_index[image_of(a, c)] >= 0)
			dc_put_str(&a->body, NULL, a->eda[c].trace);
}

static int
put_views(struct augment *a, struct dc_frame *f)
{
	static const char *const rows[] = { "id", "slot", "epoch", "label" };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		DC_TRY(put_rows(a, f, rows[i]));
	put_keys(a);
	dc_put_copy(&a->body, f, "position");
	dc_put_copy(&a->body, f, "part");
	put_images(a);
	put_captions(a);
	if (o.trace)
		put_trace(a);
	return 0;
}

/* --- the frames --- */

static int
make_room(struct augment *a, struct dc_frame *f)
{
	const size_t bytes = a->n * view_bytes(a), views = (size_t)a->recipe.n_views;

	if (bytes > (DC_BODY_MAX - (1 << 25)) / views)
		return dc_frame_err(f, "%zu views of %zu samples of %d x %d pixels do not fit into a frame of 1 GiB", views, a->n,
		    a->recipe.view[0].size, a->recipe.view[0].size);
	if (bytes > a->cap)
		for (int v = 0; v < a->recipe.n_views; v++) {
			free(a->pixels[v]);
			a->pixels[v] = dc_xaligned(bytes, 1);
		}
	a->cap = bytes > a->cap ? bytes : a->cap;
	a->view = dc_xcalloc(a->n * views, sizeof *a->view);
	return 0;
}

static int
make_part(struct augment *a, struct dc_frame *f)
{
	DC_TRY(take_images(a, f));
	DC_TRY(take_captions(a, f));
	DC_TRY(make_room(a, f));
	dc_pool_for(a->pool, a->encoded ? a->n : a->n * (size_t)a->recipe.n_views, make_views, a);
	if (a->recipe.caption_views > 1) {
		a->eda = dc_xcalloc(a->n_captions, sizeof *a->eda);
		dc_pool_for(a->pool, a->n_captions, make_caption, a);
	}
	keep(a);
	return put_views(a, f);
}

static void
free_part(struct augment *a)
{
	for (size_t i = 0; a->sample && i < a->n; i++)
		free(a->sample[i].error);
	for (size_t c = 0; a->eda && c < a->n_captions; c++) {
		free(a->eda[c].caption);
		free(a->eda[c].trace);
	}
	free(a->sample);
	free(a->nth);
	free(a->view);
	free(a->eda);
	free(a->kept);
	free(a->new_index);
	a->sample = NULL;
	a->nth = NULL;
	a->view = NULL;
	a->eda = NULL;
	a->kept = NULL;
	a->new_index = NULL;
}

static int
on_samples(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct augment *a = arg;
	int64_t i = 0, n = 1;
	int r = dc_frame_part(f, &i, &n);

	if (r == 0)
		r = make_part(a, f);
	if (r == 0) {
		a->samples += a->n;
		a->batches += i + 1 == n;
		dc_progress_to(&a->progress, a->samples);
		r = dc_frame_write(out, "views", f->step, &a->body);
	}
	free_part(a);
	return r < 0 ? r : DC_FRAME;
}

static int
is_name(const msgpack_object *k, const char *name)
{
	return k->type == MSGPACK_OBJECT_STR && k->via.str.size == strlen(name) && !memcmp(k->via.str.ptr, name, strlen(name));
}

/* Copy a map of counts with n more of `up`, which is made if it is not there, and n less of `down`. */
static void
put_counts(struct dc_body *b, struct dc_frame *f, const char *key, const char *up, const char *down, int64_t n)
{
	const msgpack_object *map = dc_frame_get(f, key);
	const uint32_t entries = map && map->type == MSGPACK_OBJECT_MAP ? map->via.map.size : 0;
	int64_t other = n;

	for (uint32_t i = 0; i < entries; i++)
		if (is_name(&map->via.map.ptr[i].key, up))
			other = 0;
	dc_put_map(b, key, entries + (other != 0));
	for (uint32_t i = 0; i < entries; i++) {
		const msgpack_object *k = &map->via.map.ptr[i].key, *v = &map->via.map.ptr[i].val;
		const int64_t more = is_name(k, up) ? n : is_name(k, down) ? -n : 0;
		char *name = k->type == MSGPACK_OBJECT_STR ? dc_xstrndup(k->via.str.ptr, k->via.str.size) : dc_xstrdup("?");

		if (v->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
			dc_put_int(b, name, v->via.i64 + more);
		else
			dc_put_object(b, name, f, v);
		free(name);
	}
	if (other)
		dc_put_int(b, up, other);
}

/* Samples dropped here were `out` for dc-decode: keep the counts closed. */
static int
on_end(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct augment *a = arg;

	if (!a->dropped)
		return dc_frame_pass(out, f);
	for (uint32_t i = 0; i < f->root.via.map.size; i++) {
		const msgpack_object *k = &f->root.via.map.ptr[i].key;

		if (k->type != MSGPACK_OBJECT_STR || is_name(k, "counts") || is_name(k, "rejected_by"))
			continue;
		char *name = dc_xstrndup(k->via.str.ptr, k->via.str.size);
		dc_put_object(&a->body, name, f, &f->root.via.map.ptr[i].val);
		free(name);
	}
	put_counts(&a->body, f, "counts", "rejected", "out", (int64_t)a->dropped);
	put_counts(&a->body, f, "rejected_by", "image", "", (int64_t)a->dropped);
	return dc_frame_write(out, "end", f->step, &a->body);
}

static void
open_wordnet(struct augment *a)
{
	if (a->recipe.caption_views < 2 || !(o.eda & DC_EDA_SYNONYM))
		return;
	if (dc_wordnet_open(&a->wordnet, o.wordnet) == 0)
		return;
	dc_warn("%s", dc_err());
	dc_die("synonyms need WordNet's database: install Debian's package wordnet-base, or name its directory by --wordnet"
	    " DIR, or leave synonyms out by --eda swap,delete");
}

int
main(int argc, char **argv)
{
	static const struct dc_filter filter[] = { { "samples", on_samples }, { "end", on_end }, { NULL, NULL } };
	struct augment a = { 0 };
	int status;

	dc_main_init("dc-augment");
	if (dc_opts_parse(argc, argv, "[options] < samples > views", "makes image and caption views of samples", table) < argc)
		dc_die_usage("%s: dc-augment takes no operands", argv[argc - 1]);
	a.recipe = make_recipe();
	open_wordnet(&a);
	a.pool = dc_pool_new(o.jobs ? (int)o.jobs : dc_cpus());
	dc_progress_init(&a.progress, "samples", 0, 0);
	status = dc_filter_run(filter, &a);
	dc_progress_end(&a.progress, a.batches, o.verbose);
	if (a.dropped > 1)
		dc_warn("%" PRIu64 " samples dropped because their images do not decode", a.dropped);
	dc_pool_free(a.pool);
	dc_wordnet_close(a.wordnet);
	for (int v = 0; v < VIEWS_MAX; v++)
		free(a.pixels[v]);
	dc_body_free(&a.body);
	return status;
}
