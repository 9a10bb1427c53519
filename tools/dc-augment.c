/* SPDX-License-Identifier: MIT */
/* dc-augment: samples -> views. Draws and makes the image views and caption views of each sample. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/progress.h"
#include "data/augment.h"
#include "store/model.h"
#include "stream/stall.h"

static struct {
	const char *recipe, *wordnet, *interpolation, *resize, *model;
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

static struct dc_stall stall = DC_STALL_DEFAULT;

static const struct dc_opt table[] = {
	DC_OPT_CHOICE("recipe", 'r', &o.recipe, "declip|clip|openclip|slip|eval", "which views"),
	DC_OPT_INT("size", 'S', &o.size, 1, 4096, "S", "width and height of a view in pixels"),
	DC_OPT_STR("model", 'm', &o.model, "MODEL", "the size that this model takes; for eval, its filter and way to a square too"),
	DC_OPT_INT("views", 0, &o.views, 1, DC_VIEWS_MAX, "N", "image views per sample [the recipe's]"),
	DC_OPT_INT("caption-views", 0, &o.caption_views, 1, DC_CAPTION_VIEWS_MAX, "N",
	    "2: the caption and its augmentation; 1: the caption [the recipe's]"),
	DC_OPT_CALL("scale", 0, opt_scale, &o.given, "LO,HI", "the crop's share of the image's area [the recipe's]"),
	DC_OPT_CALL("ratio", 0, opt_ratio, &o.given, "LO,HI", "the crop's width / height [0.75,1.3333]"),
	DC_OPT_CHOICE("interpolation", 0, &o.interpolation, "bilinear|bicubic", "how crops are resized [the recipe's]"),
	DC_OPT_CHOICE("resize", 0, &o.resize, "shortest|longest|squash", "eval: how an image becomes a square [shortest]"),
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
	DC_OPTS_STALL(&stall),
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
check_options(const struct dc_recipe *r)
{
	const struct dc_view_recipe *last = &r->view[r->n_views - 1];

	if (last->centre && (dc_opts_given("scale") || dc_opts_given("ratio")))
		dc_die_usage("--scale and --ratio: the recipe eval draws no crop");
	if (!last->centre && o.resize)
		dc_die_usage("--resize: the recipe %s draws crops; it is for eval", r->name);
	if (dc_opts_given("jitter") && last->jitter_p == 0)
		dc_die_usage("--jitter: the recipe %s has none; give --jitter-p too", r->name);
	if (dc_opts_given("blur") && last->blur_p == 0)
		dc_die_usage("--blur: the recipe %s has none; give --blur-p too", r->name);
	if (dc_opts_given("eda") && r->caption_views < 2)
		dc_die_usage("--eda: the recipe %s has one caption view; give --caption-views 2 too", r->name);
}

/* What the model's configuration says of the evaluation's view holds where no option says otherwise. */
static void
follow_evaluation(const struct dc_config *c, const char *dir)
{
	static const char *const way[] = { "shortest", "longest", "squash" };

	if (!o.interpolation)
		o.interpolation = strcmp(c->interpolation, "bilinear") ? "bicubic" : "bilinear"; /* "random" too, says open_clip */
	for (size_t i = 0; !o.resize && i < sizeof way / sizeof *way; i++)
		if (!strcmp(c->resize_mode, way[i]))
			o.resize = way[i];
	if (!o.resize)
		dc_die("%s: resize_mode '%s' is not supported; --resize chooses one", dir, c->resize_mode);
}

/* --model: the size that it takes. */
static void
apply_model(void)
{
	struct dc_model m;

	if (!o.model)
		return;
	if (dc_model_open_config(&m, o.model) < 0)
		dc_die("%s", dc_err());
	if (dc_opts_given("size") && o.size != m.c.vision.image_size)
		dc_die_usage("--size %" PRId64 ": %s takes images of %d pixels", o.size, m.dir, m.c.vision.image_size);
	o.size = m.c.vision.image_size;
	if (!strcmp(o.recipe, "eval"))
		follow_evaluation(&m.c, m.dir);
	dc_model_close(&m);
}

/* The recipe, changed as the options say. */
static struct dc_recipe
make_recipe(void)
{
	struct dc_recipe r;

	if (dc_recipe_find(&r, o.recipe) < 0)
		dc_die_usage("%s", dc_err());
	if (o.views)
		r.n_views = (int)o.views;
	if (o.caption_views)
		r.caption_views = (int)o.caption_views;
	for (int v = 0; v < r.n_views; v++) {
		r.view[v].size = (int)o.size;
		if (o.interpolation)
			r.view[v].interpolation = strcmp(o.interpolation, "bicubic") ? DC_BILINEAR : DC_BICUBIC;
		if (o.resize)
			r.view[v].resize = !strcmp(o.resize, "squash") ? DC_SQUASH : !strcmp(o.resize, "longest") ? DC_LONGEST : DC_SHORTEST;
		if (v >= r.n_base)
			apply_options(&r.view[v]);
	}
	check_options(&r);
	return r;
}

/* --- the frames --- */

struct run {
	struct dc_augment augment;
	struct dc_body body;
	struct dc_progress progress;
	uint64_t batches;
};

static int
on_samples(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct run *r = arg;
	const int said = r->augment.dropped > 0;
	int64_t i = 0, n = 1;

	DC_TRY(dc_frame_part(f, &i, &n));
	DC_TRY(dc_augment_part(&r->augment, f, &r->body));
	if (r->augment.dropped && !said)
		dc_warn("%s; the sample is dropped, further ones are counted", r->augment.first_dropped);
	r->batches += i + 1 == n;
	dc_progress_to(&r->progress, r->augment.samples);
	return dc_frame_write(out, "views", f->step, &r->body);
}

/* Samples dropped here were `out` for dc-decode: keep the counts closed. */
static int
on_end(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct run *r = arg;

	if (!r->augment.dropped)
		return dc_frame_pass(out, f);
	dc_augment_end(&r->augment, f, &r->body);
	return dc_frame_write(out, "end", f->step, &r->body);
}

/* NULL where no synonyms are asked for. */
static struct dc_wordnet *
open_wordnet(const struct dc_recipe *r)
{
	struct dc_wordnet *wn;

	if (r->caption_views < 2 || !(o.eda & DC_EDA_SYNONYM))
		return NULL;
	if (dc_wordnet_open(&wn, o.wordnet) == 0)
		return wn;
	dc_warn("%s", dc_err());
	dc_die("synonyms need WordNet's database: install Debian's package wordnet-base, or name its directory by --wordnet"
	    " DIR, or leave synonyms out by --eda swap,delete");
}

int
main(int argc, char **argv)
{
	static const struct dc_filter filter[] = { { "samples", on_samples }, { "end", on_end }, { NULL, NULL } };
	struct run r = { 0 };
	struct dc_wordnet *wordnet;
	int status;

	dc_main_init("dc-augment");
	dc_keep_memory();
	if (dc_opts_parse(argc, argv, "[options] < samples > views", "makes image and caption views of samples", table)
	    < argc)
		dc_die_usage("%s: dc-augment takes no operands", argv[argc - 1]);
	dc_stall_start(&stall);
	apply_model();
	r.augment = (struct dc_augment){ .recipe = make_recipe(), .seed = (uint64_t)o.seed, .eda = o.eda, .trace = o.trace,
		.max_pixels = (uint64_t)o.max_pixels };
	r.augment.wordnet = wordnet = open_wordnet(&r.augment.recipe);
	r.augment.pool = dc_pool_new(o.jobs ? (int)o.jobs : dc_cpus());
	dc_progress_init(&r.progress, "samples", 0, 0);
	dc_pipe_widen(STDIN_FILENO);
	dc_pipe_widen(STDOUT_FILENO);
	status = dc_filter_run(filter, &r);
	dc_progress_end(&r.progress, r.batches, o.verbose);
	if (r.augment.dropped > 1)
		dc_warn("%" PRIu64 " samples dropped because their images do not decode", r.augment.dropped);
	dc_pool_free(r.augment.pool);
	dc_wordnet_close(wordnet);
	dc_augment_free(&r.augment);
	dc_body_free(&r.body);
	return status;
}
