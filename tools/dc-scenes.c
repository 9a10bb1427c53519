/* SPDX-License-Identifier: MIT */
/* dc-scenes: draw a synthetic data set of image-caption shards. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/opts.h"
#include "base/pool.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/util.h"
#include "data/imgwrite.h"
#include "data/scene.h"
#include "data/tarout.h"

enum { CHUNK = 256, CAPTIONS_MAX = 16, JPEG_QUALITY = 92 };

static struct {
	const char *out, *format;
	int64_t train, test, zero, shard, seed, size, captions, jobs;
	int verbose;
} o = { .format = "jpg", .train = 6000, .test = 1000, .zero = 500, .shard = 1000, .size = 96, .captions = 5 };

/* One kind of image; its shards are NAME-000.tar, or NAME-shape-000.tar and NAME-colour-000.tar with the same images. */
struct set {
	const char *name;
	int64_t count;
	int split;               /* keeps the sets' random numbers apart */
	int objects;             /* 0: one to three */
	enum dc_scene_pick pick;
	int zero_shot;           /* two tars, labelled by shape and by colour */
};

struct sample {
	struct dc_scene scene;
	unsigned char *image; size_t bytes;
	char caption[CAPTIONS_MAX][DC_CAPTION_BYTES]; int n_captions;
	char fault[256];
};

struct work { const struct set *set; int64_t first; struct sample *sample; };

/* --- drawing a chunk --- */

static void
draw(void *arg, size_t i)
{
	struct work *w = arg;
	struct sample *s = &w->sample[i];
	uint8_t *rgb = dc_xmalloc((size_t)o.size * (size_t)o.size * 3);
	struct dc_rng r;

	dc_rng_init(&r, (uint64_t)o.seed, 0, (uint64_t)w->first + i, (uint64_t)w->set->split, DC_RNG_SCENES);
	dc_scene_compose(&s->scene, &r, (int)o.size, w->set->objects, w->set->pick);
	s->n_captions = dc_scene_captions(&s->scene, &r, s->caption, (int)o.captions);
	dc_scene_render(&s->scene, rgb);
	s->fault[0] = '\0';
	if (dc_image_encode(!strcmp(o.format, "png") ? DC_PNG : DC_JPEG, JPEG_QUALITY, rgb, (int)o.size, (int)o.size,
	    &s->image, &s->bytes) < 0)
		snprintf(s->fault, sizeof s->fault, "%s", dc_err());
	free(rgb);
}

/* --- writing it --- */

static FILE *
memory_stream(char **p, size_t *n)
{
	FILE *fp = open_memstream(p, n);

	if (!fp)
		dc_die_errno("memory stream");
	return fp;
}

/* {"captions": [...], "objects": [{...}, ...]}; no word in it needs an escape. Free with free(). */
static char *
describe(const struct sample *s)
{
	char *p = NULL;
	size_t n;
	FILE *fp = memory_stream(&p, &n);

	fprintf(fp, "{\"captions\": [");
	for (int i = 0; i < s->n_captions; i++)
		fprintf(fp, "%s\"%s\"", i ? ", " : "", s->caption[i]);
	fprintf(fp, "], \"objects\": [");
	for (int i = 0; i < s->scene.n; i++) {
		const struct dc_scene_object *b = &s->scene.object[i];

		fprintf(fp, "%s{\"colour\": \"%s\", \"shape\": \"%s\", \"size\": \"%s\", \"texture\": \"%s\", \"x\": %d, "
		    "\"y\": %d, \"radius\": %d}", i ? ", " : "", dc_colour_names[b->colour], dc_shape_names[b->shape],
		    dc_size_names[b->size], dc_texture_names[b->texture], b->x / 8, b->y / 8, b->r / 8);
	}
	fprintf(fp, "]}\n");
	if (dc_fshut(fp, "memory stream") < 0)
		dc_die("%s", dc_err());
	return p;
}

static int
add(struct dc_tarout *t, int64_t key, const char *ext, const void *p, size_t n)
{
	char name[64];

	snprintf(name, sizeof name, "%06lld.%s", (long long)key, ext);
	return dc_tarout_add(t, name, p, n);
}

/* label < 0: no .cls. */
static int
add_sample(struct dc_tarout *t, int64_t key, const struct sample *s, int label)
{
	char cls[16], *json = describe(s);
	int r = add(t, key, o.format, s->image, s->bytes);

	snprintf(cls, sizeof cls, "%d", label);
	if (!r)
		r = add(t, key, "txt", s->caption[0], strlen(s->caption[0]));
	if (!r)
		r = add(t, key, "json", json, strlen(json));
	if (!r && label >= 0)
		r = add(t, key, "cls", cls, strlen(cls));
	free(json);
	return r;
}

struct shards { const struct set *set; struct dc_tarout *tar[2]; int n; int64_t number; };

static int
shards_open(struct shards *h)
{
	static const char *const part[2] = { "-shape", "-colour" };

	h->n = h->set->zero_shot ? 2 : 1;
	for (int i = 0; i < h->n; i++) {
		char *path = dc_xasprintf("%s/%s%s-%03lld.tar", o.out, h->set->name, h->set->zero_shot ? part[i] : "",
		    (long long)h->number);

		h->tar[i] = dc_tarout_open(path);
		free(path);
		if (!h->tar[i])
			return -1;
	}
	h->number++;
	return 0;
}

static int
shards_close(struct shards *h, int r)
{
	for (int i = 0; i < h->n; i++) {
		if (r < 0)
			dc_tarout_drop(h->tar[i]);
		else
			r = dc_tarout_close(h->tar[i]);
		h->tar[i] = NULL;
	}
	return r;
}

static int
shards_add(struct shards *h, int64_t key, const struct sample *s)
{
	const struct dc_scene_object *b = &s->scene.object[0];

	DC_CHECK(!s->fault[0], "%s %06lld: %s", h->set->name, (long long)key, s->fault);
	if (!h->set->zero_shot)
		return add_sample(h->tar[0], key, s, s->scene.n == 1 ? b->shape * DC_COLOURS + b->colour : -1);
	DC_TRY(add_sample(h->tar[0], key, s, b->shape));
	return add_sample(h->tar[1], key, s, b->colour);
}

static int
write_chunk(struct shards *h, const struct work *w, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		int64_t key = w->first + i;

		if (key % o.shard == 0) {
			DC_TRY(shards_close(h, 0));
			DC_TRY(shards_open(h));
		}
		DC_TRY(shards_add(h, key, &w->sample[i]));
	}
	return 0;
}

static int
write_set(const struct set *set, struct sample *sample, struct dc_pool *pool, struct dc_progress *progress)
{
	struct work w = { set, 0, sample };
	struct shards h = { .set = set };
	int r = 0;

	for (; !r && w.first < set->count; w.first += CHUNK) {
		int64_t n = set->count - w.first < CHUNK ? set->count - w.first : CHUNK;

		dc_pool_for(pool, (size_t)n, draw, &w);
		r = write_chunk(&h, &w, n);
		for (int64_t i = 0; i < n; i++)
			free(sample[i].image);
		dc_progress_to(progress, progress->done + (uint64_t)n);
	}
	return shards_close(&h, r);
}

/* --- class names and prompts --- */

static FILE *
list_open(const char *name, char **path)
{
	FILE *fp;

	*path = dc_xasprintf("%s/%s", o.out, name);
	if (!(fp = fopen(*path, "w")))
		dc_die_errno("%s", *path);
	return fp;
}

static void
list_close(FILE *fp, char *path)
{
	if (dc_fshut(fp, path) < 0)
		dc_die("%s", dc_err());
	free(path);
}

static void
write_names(const char *name, const char *const *word, int n)
{
	char *path;
	FILE *fp = list_open(name, &path);

	for (int i = 0; i < n; i++)
		fprintf(fp, "%s\n", word[i]);
	list_close(fp, path);
}

/* The labels of the training and test shards: shape * DC_COLOURS + colour. */
static void
write_pairs(void)
{
	char *path;
	FILE *fp = list_open("classes.txt", &path);

	for (int s = 0; s < DC_SHAPES; s++)
		for (int c = 0; c < DC_COLOURS; c++)
			fprintf(fp, "%s %s\n", dc_colour_names[c], dc_shape_names[s]);
	list_close(fp, path);
}

static void
write_prompts(void)
{
	char *path;
	FILE *fp = list_open("shape-prompts.txt", &path);

	for (int s = 0; s < DC_SHAPES; s++) {
		fprintf(fp, "a %s\na picture of a %s\n", dc_shape_names[s], dc_shape_names[s]);
		for (int c = 0; c < DC_COLOURS; c++)
			fprintf(fp, "a %s %s\n", dc_colour_names[c], dc_shape_names[s]);
	}
	list_close(fp, path);
	fp = list_open("colour-prompts.txt", &path);
	for (int c = 0; c < DC_COLOURS; c++) {
		fprintf(fp, "a %s shape\nsomething %s\n", dc_colour_names[c], dc_colour_names[c]);
		for (int s = 0; s < DC_SHAPES; s++)
			fprintf(fp, "a %s %s\n", dc_colour_names[c], dc_shape_names[s]);
	}
	list_close(fp, path);
}

/* --- the whole --- */

static int
write_all(void)
{
	const struct set set[] = {
		{ "train", o.train, 0, 0, DC_SCENE_SEEN, 0 },
		{ "test", o.test, 1, 0, DC_SCENE_ALL, 0 },
		{ "test", o.zero, 2, 1, DC_SCENE_ALL, 1 },
		{ "novel", o.zero, 3, 1, DC_SCENE_NOVEL, 1 },
	};
	struct dc_pool *pool = dc_pool_new((int)o.jobs);
	struct sample *sample = dc_xcalloc(CHUNK, sizeof *sample);
	struct dc_progress progress;
	int r = 0;

	dc_progress_init(&progress, "images", 0, (uint64_t)(o.train + o.test + 2 * o.zero));
	for (size_t i = 0; !r && i < sizeof set / sizeof *set; i++)
		r = write_set(&set[i], sample, pool, &progress);
	dc_progress_end(&progress, 0, o.verbose);
	free(sample);
	dc_pool_free(pool);
	return r;
}

int
main(int argc, char **argv)
{
	const struct dc_opt table[] = {
		DC_OPT_STR("out", 'o', &o.out, "DIR", "write the shards and lists here; made if missing"),
		DC_OPT_INT("train", 0, &o.train, 0, 1e8, "N", "training images"),
		DC_OPT_INT("test", 0, &o.test, 0, 1e8, "N", "test images"),
		DC_OPT_INT("zero-shot", 0, &o.zero, 0, 1e8, "N", "single-object images for zero-shot tests, of all pairs and of novel pairs"),
		DC_OPT_INT("shard", 0, &o.shard, 1, 1e6, "N", "images in a shard"),
		DC_OPT_INT("size", 0, &o.size, 16, 4096, "PX", "width and height of an image"),
		DC_OPT_INT("captions", 0, &o.captions, 1, CAPTIONS_MAX, "N", "different captions of an image, at most"),
		DC_OPT_CHOICE("format", 0, &o.format, "jpg|png", "how images are stored"),
		DC_OPT_INT("seed", 0, &o.seed, 0, 9007199254740992.0, "N", "of all random numbers"),
		DC_OPT_INT("jobs", 'j', &o.jobs, 1, 1024, "N", "threads; the bytes do not depend on it"),
		DC_OPT_VERBOSE(&o.verbose),
		DC_OPT_END
	};

	dc_main_init("dc-scenes");
	o.jobs = dc_cpus();
	if (dc_opts_parse(argc, argv, "--out DIR [options]", "draws a synthetic data set of image-caption shards", table) < argc)
		dc_die_usage("no operand is taken: the shards go to --out DIR");
	if (!o.out)
		dc_die_usage("--out DIR is missing");
	if (mkdir(o.out, 0777) < 0 && errno != EEXIST)
		dc_die_errno("%s", o.out);
	write_names("shapes.txt", dc_shape_names, DC_SHAPES);
	write_names("colours.txt", dc_colour_names, DC_COLOURS);
	write_pairs();
	write_prompts();
	if (write_all() < 0)
		dc_die("%s", dc_err());
	return DC_EXIT_OK;
}
