/* SPDX-License-Identifier: MIT */
/* dc-tokenize: captions -> token ids, and masked ids with their targets. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/pool.h"
#include "base/progress.h"
#include "base/util.h"
#include "store/config.h"
#include "store/model.h"
#include "store/safetensors.h"
#include "stream/stall.h"
#include "stream/stream.h"
#include "text/bpe.h"
#include "text/clean.h"
#include "text/mask.h"

enum { CONTEXT_MAX = 4096, THREADS_MAX = 256, LINES_MAX_BYTES = 1 << 30 };

static struct {
	const char *vocab, *model, *lines, *as, *print;
	int64_t context, seed, threads;
	double mlm;
	int verbose;
} o = { .as = "paper", .print = "ids", .context = 77, .threads = 1, .mlm = 0.15 };

static struct dc_stall stall = DC_STALL_DEFAULT;

static const struct dc_opt table[] = {
	DC_OPT_STR("vocab", 0, &o.vocab, "FILE", "the vocabulary (required without --model)"),
	DC_OPT_INT("context", 0, &o.context, 3, CONTEXT_MAX, "T", "ids in a row, start and end included"),
	DC_OPT_DOUBLE("mlm", 0, &o.mlm, 0, 1, "P", "share of a caption's ids to mask; 0: no masked rows"),
	DC_OPT_INT("seed", 0, &o.seed, 0, 1LL << 53, "N", "seed of the masking"),
	DC_OPT_CHOICE("as", 0, &o.as, "paper|released", "random replacement: never a special id, or any id"),
	DC_OPT_STR("model", 0, &o.model, "MODEL", "take vocabulary, context and --as from this model"),
	DC_OPT_STR("lines", 0, &o.lines, "FILE", "tokenize the lines of a text file instead of stdin's stream"),
	DC_OPT_CHOICE("print", 0, &o.print, "ids|clean|repaired|decoded", "with --lines: frames, or text"),
	DC_OPT_INT("threads", 'j', &o.threads, 1, THREADS_MAX, "N", "threads; the output does not depend on them"),
	DC_OPTS_STALL(&stall),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

struct tokenize {
	struct dc_bpe bpe;
	struct dc_pool *pool;
	struct dc_bpe_coder *coder[THREADS_MAX];   /* one per thread */
	uint64_t cut_by[THREADS_MAX], ids_by[THREADS_MAX];
	int threads, T;
	struct dc_mask mask;
	/* room for a frame: rows [C,T], what each caption's masking depends on [C] */
	int32_t *token, *masked, *target, *nth;
	size_t room;
	struct dc_body body;
	struct dc_progress progress;
	uint64_t captions, batches;
};

/* --- options --- */

static int
prints(const char *what)
{
	return !strcmp(o.print, what);
}

static void
check_opts(int operands)
{
	if (operands > 0)
		dc_die_usage("no operands: the stream comes on stdin");
	if (!prints("ids") && !o.lines)
		dc_die_usage("--print %s: of which text? give --lines FILE too", o.print);
	if (prints("clean") || prints("repaired")) {
		if (o.vocab || o.model)
			dc_die_usage("--print %s needs no vocabulary and no model", o.print);
		return;
	}
	if (!o.vocab && !o.model)
		dc_die_usage("--vocab FILE or --model DIR is required");
	if (o.lines && dc_opts_given("mlm") && o.mlm > 0)
		dc_die_usage("--lines makes no masked rows: --mlm does not go with it");
}

/* The config that the run keeps beside its moments, if DIR has one. */
static void
read_run_config(const char *dir, struct dc_config *c)
{
	char *path = dc_xasprintf("%s/state.safetensors", dir);
	struct dc_st st;
	const char *json;

	if (access(path, F_OK) == 0) {
		if (dc_st_open(&st, AT_FDCWD, path, DC_ST_READ) < 0)
			dc_die("%s", dc_err());
		json = dc_st_meta(&st, "config");
		if (json && dc_config_parse(c, json, strlen(json)) < 0)
			dc_die("%s: %s", path, dc_err());
		dc_st_close(&st);
	}
	free(path);
}

static void
read_model_config(const char *dir, struct dc_config *c)
{
	char *path = dc_xasprintf("%s/open_clip_config.json", dir), *json;
	struct dc_model m;
	size_t n;

	if (access(path, F_OK) < 0) {   /* another program's model */
		if (dc_model_open_config(&m, dir) < 0)
			dc_die("%s", dc_err());
		*c = m.c;
		dc_model_close(&m);
	} else if (dc_slurp(path, 1 << 20, &json, &n) < 0) {
		dc_die("%s", dc_err());
	} else {
		if (dc_config_parse(c, json, n) < 0)
			dc_die("%s: %s", path, dc_err());
		free(json);
		read_run_config(dir, c);
	}
	free(path);
}

static int
same_vocab(const struct dc_bpe *a, const struct dc_bpe *b)
{
	if (a->size != b->size)
		return 0;
	for (int i = 0; i < DC_BPE_BYTES + a->merges; i++)
		if (a->token[i].n != b->token[i].n || a->token[i].ends != b->token[i].ends ||
		    memcmp(a->token[i].p, b->token[i].p, a->token[i].n) != 0)
			return 0;
	return 1;
}

/* The vocabulary of --vocab, of the model, or of both if they are the same. */
static void
open_vocab(struct dc_bpe *b, const char *dir)
{
	char *path = dir ? dc_xasprintf("%s/bpe.txt.gz", dir) : NULL;
	int in_model = path && access(path, F_OK) == 0;
	struct dc_bpe given;

	if (path && !in_model && !o.vocab)
		dc_die("%s: no such file: give the vocabulary with --vocab", path);
	if (dc_bpe_open(b, in_model ? path : o.vocab) < 0)
		dc_die("%s", dc_err());
	if (in_model && o.vocab) {
		if (dc_bpe_open(&given, o.vocab) < 0)
			dc_die("%s", dc_err());
		if (!same_vocab(b, &given))
			dc_die_usage("--vocab %s: not the model's vocabulary %s", o.vocab, path);
		dc_bpe_close(&given);
	}
	free(path);
}

/* A model says what the options would; an option that says otherwise is a mistake. */
static void
follow_model(struct tokenize *t, const char *dir)
{
	struct dc_config c = { 0 };
	const char *as;

	read_model_config(dir, &c);
	as = c.released ? "released" : "paper";
	if (dc_opts_given("context") && o.context != c.text.context_length)
		dc_die_usage("--context %lld: the model's is %d", (long long)o.context, c.text.context_length);
	if (c.method[0] && dc_opts_given("as") && strcmp(o.as, as) != 0)
		dc_die_usage("--as %s: the model's run says %s", o.as, as);
	if (t->bpe.size != c.text.vocab_size)
		dc_die("%s: the vocabulary has %d ids, the model %d", dir, t->bpe.size, c.text.vocab_size);
	o.context = c.text.context_length;
	if (c.method[0])
		o.as = as;
	if (o.context < 3 || o.context > CONTEXT_MAX)
		dc_die("%s: context_length %lld: this program does 3 to %d", dir, (long long)o.context, CONTEXT_MAX);
}

static void
setup(struct tokenize *t)
{
	/* a run's newest checkpoint is its model */
	char *latest = o.model ? dc_xasprintf("%s/latest", o.model) : NULL;
	const char *dir = latest && access(latest, F_OK) == 0 ? latest : o.model;

	open_vocab(&t->bpe, dir);
	if (dir)
		follow_model(t, dir);
	free(latest);
	t->T = (int)o.context;
	t->threads = (int)o.threads;
	t->mask = (struct dc_mask){ .p = o.mlm, .size = t->bpe.size, .released = !strcmp(o.as, "released") };
	t->pool = dc_pool_new(t->threads);
	for (int i = 0; i < t->threads; i++)
		t->coder[i] = dc_bpe_coder_new(&t->bpe);
	dc_progress_init(&t->progress, "captions", 0, 0);
}

/* --- rows --- */

static void
make_room(struct tokenize *t, size_t n)
{
	if (n <= t->room)
		return;
	t->room = n;
	t->token = dc_xrealloc(t->token, n, (size_t)t->T * sizeof *t->token);
	t->masked = dc_xrealloc(t->masked, n, (size_t)t->T * sizeof *t->masked);
	t->target = dc_xrealloc(t->target, n, (size_t)t->T * sizeof *t->target);
	t->nth = dc_xrealloc(t->nth, n, sizeof *t->nth);
}

/* The captions of one view. Masking (where id is given) depends on the sample's id and epoch and on the caption's
 * number among its image's. */
struct job {
	struct tokenize *t;
	const struct dc_str *s; size_t n;
	const uint64_t *id; const int32_t *epoch, *image;   /* image NULL: caption i belongs to image i */
};

static void
mask_caption(const struct job *j, size_t i)
{
	struct tokenize *t = j->t;
	size_t at = i * (size_t)t->T, k = j->image ? (size_t)j->image[i] : i;
	struct dc_rng r;

	dc_rng_init(&r, (uint64_t)o.seed, (uint64_t)(int64_t)j->epoch[k], j->id[k], (uint64_t)t->nth[i], DC_RNG_MLM);
	dc_mask_row(&t->mask, &r, t->token + at, t->T, t->masked + at, t->target + at);
}

/* Thread `c` takes its share of the rows, so that a coder is in one thread only. */
static void
tokenize_share(void *arg, size_t c)
{
	const struct job *j = arg;
	struct tokenize *t = j->t;
	size_t threads = (size_t)t->threads;

	for (size_t i = j->n * c / threads; i < j->n * (c + 1) / threads; i++) {
		int k = dc_bpe_row(t->coder[c], j->s[i].p, j->s[i].n, t->token + i * (size_t)t->T, t->T);

		t->cut_by[c] += k > t->T;
		t->ids_by[c] += (uint64_t)(k < t->T ? k : t->T);
		if (j->id)
			mask_caption(j, i);
	}
}

/* Number each image's captions 0, 1 ... in their order. */
static void
number_captions(struct tokenize *t, const int32_t *image, size_t C, size_t N)
{
	int32_t *seen = dc_xcalloc(N + 1, sizeof *seen);

	for (size_t i = 0; i < C; i++)
		t->nth[i] = image ? seen[image[i]]++ : 0;
	free(seen);
}

/* --- a frame --- */

static int
put_rows(struct tokenize *t, const char *key, const int32_t *row, size_t n)
{
	dc_put_data(&t->body, key, DC_I32, 2, (int64_t[]){ (int64_t)n, t->T }, row);
	return 0;
}

/* id and epoch [N], caption_image [C] where there is one. */
static int
take_samples(struct tokenize *t, struct dc_frame *f, struct job *j)
{
	struct dc_tensor id, epoch, image;

	DC_TRY(dc_frame_tensor(f, "id", DC_U64, 1, &id));
	DC_TRY(dc_frame_tensor(f, "epoch", DC_I32, 1, &epoch));
	if (epoch.n != id.n)
		return dc_frame_err(f, "epoch has %zu values, id %zu", epoch.n, id.n);
	if (dc_frame_get(f, "caption_image")) {
		DC_TRY(dc_frame_tensor(f, "caption_image", DC_I32, 1, &image));
		j->image = image.data;
	}
	if ((j->image ? image.n : id.n) != j->n)
		return dc_frame_err(f, "%zu captions, but %zu in %s", j->n, j->image ? image.n : id.n,
		    j->image ? "caption_image" : "id");
	for (size_t i = 0; j->image && i < j->n; i++)
		if (j->image[i] < 0 || (size_t)j->image[i] >= id.n)
			return dc_frame_err(f, "caption_image[%zu] = %d, of %zu images", i, j->image[i], id.n);
	j->id = id.data;
	j->epoch = epoch.data;
	number_captions(t, j->image, j->n, id.n);
	return 0;
}

/* The first view's captions are the ones to mask. */
static int
tokenize_view(struct tokenize *t, struct dc_frame *f, int v)
{
	struct job j = { .t = t };
	char key[32];

	snprintf(key, sizeof key, "caption.%d", v);
	DC_TRY(dc_frame_strs(f, key, &j.s, &j.n));
	make_room(t, j.n);
	if (v == 0 && t->mask.p > 0)
		DC_TRY(take_samples(t, f, &j));
	dc_pool_for(t->pool, (size_t)t->threads, tokenize_share, &j);
	snprintf(key, sizeof key, "token.%d", v);
	put_rows(t, key, t->token, j.n);
	if (j.id) {
		put_rows(t, "mlm_token", t->masked, j.n);
		put_rows(t, "mlm_target", t->target, j.n);
	}
	t->captions += j.n;
	return 0;
}

/* Everything but the captions travels unchanged. */
static void
copy_rest(struct tokenize *t, struct dc_frame *f)
{
	char key[256];

	for (uint32_t i = 0; i < f->root.via.map.size; i++) {
		const msgpack_object_kv *kv = &f->root.via.map.ptr[i];
		const msgpack_object_str *k = &kv->key.via.str;

		if (k->size >= sizeof key || (k->size > 8 && !memcmp(k->ptr, "caption.", 8)))
			continue;
		memcpy(key, k->ptr, k->size);
		key[k->size] = 0;
		dc_put_object(&t->body, key, f, &kv->val);
	}
}

static int
tokenize_frame(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct tokenize *t = arg;
	int64_t part, parts;
	char key[32] = "caption.0";

	DC_TRY(dc_frame_part(f, &part, &parts));
	copy_rest(t, f);
	for (int v = 0; v == 0 || dc_frame_get(f, key); v++) {
		DC_TRY(tokenize_view(t, f, v));
		snprintf(key, sizeof key, "caption.%d", v + 1);
	}
	t->batches += part + 1 == parts;
	dc_progress_to(&t->progress, t->captions);
	return dc_frame_write(out, "batch", f->step, &t->body);
}

/* --- --lines --- */

static size_t
split_lines(char *text, size_t n, struct dc_str **lines)
{
	size_t k = 0, cap = 0;

	*lines = NULL;
	for (char *p = text, *end = text + n, *eol; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		eol = eol ? eol : end;
		if (k == cap)
			*lines = dc_xrealloc(*lines, cap = cap * 2 + 64, sizeof **lines);
		(*lines)[k++] = (struct dc_str){ p, (size_t)(eol - p) };
	}
	return k;
}

static int
write_lines(struct tokenize *t, struct dc_out *out, const struct dc_str *line, size_t n)
{
	size_t parts = (n + DC_PART_MAX - 1) / DC_PART_MAX;
	int r = DC_FRAME;

	make_room(t, DC_PART_MAX);
	for (size_t i = 0; i < parts && r == DC_FRAME; i++) {
		size_t first = i * DC_PART_MAX, k = n - first < DC_PART_MAX ? n - first : DC_PART_MAX;
		struct job j = { .t = t, .s = line + first, .n = k };
		int64_t *number;

		dc_pool_for(t->pool, (size_t)t->threads, tokenize_share, &j);
		put_rows(t, "token.0", t->token, k);
		number = dc_put_space(&t->body, "line", DC_I64, 1, (int64_t[]){ (int64_t)k });
		for (size_t m = 0; m < k; m++)
			number[m] = (int64_t)(first + m + 1);
		dc_put_int(&t->body, "position", 1);
		dc_put_part(&t->body, (int64_t)i, (int64_t)parts);
		r = dc_frame_write(out, "batch", 0, &t->body);
		dc_progress_to(&t->progress, t->captions += k);
	}
	t->batches = n > 0;
	return r;
}

static int
write_end(struct tokenize *t, struct dc_out *out)
{
	dc_put_map(&t->body, "counts", 2);
	dc_put_int(&t->body, "in", (int64_t)t->captions);
	dc_put_int(&t->body, "out", (int64_t)t->captions);
	dc_put_array(&t->body, "damaged", 0);
	return dc_frame_write(out, "end", 0, &t->body);
}

static int
run_lines(struct tokenize *t, const char *path)
{
	struct dc_out out;
	struct dc_str *line;
	char *text;
	size_t n, k;
	int r;

	if (dc_out_init(&out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die_usage("%s", dc_err());
	if (dc_slurp(strcmp(path, "-") ? path : "/dev/stdin", LINES_MAX_BYTES, &text, &n) < 0)
		dc_die("%s", dc_err());
	k = split_lines(text, n, &line);
	r = write_lines(t, &out, line, k);
	if (r == DC_FRAME)
		r = write_end(t, &out);
	free(line);
	free(text);
	if (r == DC_GONE)
		return DC_EXIT_NEIGHBOUR;
	if (r == DC_FAIL)
		dc_die("%s", dc_err());
	return DC_EXIT_OK;
}

/* --- --print --- */

/* The text and an end of line; one inside it (of U+2028, say) is a space. s has room for one byte more. */
static void
put_line(char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s[i] = s[i] == '\n' ? ' ' : s[i];
	s[n] = '\n';
	if (fwrite(s, 1, n + 1, stdout) != n + 1 && errno == EPIPE)
		exit(DC_EXIT_NEIGHBOUR);
}

/* What becomes of the line's ids when they are decoded; no cut. */
static void
print_decoded(struct tokenize *t, const struct dc_str *line)
{
	size_t max = line->n * 8 + 64, n, bytes;   /* cleaning makes at most 3 bytes of one, and each is at most one id */
	int32_t *ids = dc_xmalloc(max * sizeof *ids);
	char *text;

	n = dc_bpe_encode(t->coder[0], line->p, line->n, ids, max);
	text = dc_bpe_decode(&t->bpe, ids, n, &bytes);
	put_line(text, bytes);
	free(text);
	free(ids);
}

static void
print_clean(struct dc_clean *c, const struct dc_str *line)
{
	if (prints("repaired"))
		dc_clean_repair(c, line->p, line->n);
	else
		dc_clean_text(c, line->p, line->n);
	put_line(c->text, c->n);
}

static int
run_print(struct tokenize *t, const char *path)
{
	struct dc_clean clean = { 0 };
	struct dc_str *line;
	char *text;
	size_t n, k;

	if (dc_slurp(strcmp(path, "-") ? path : "/dev/stdin", LINES_MAX_BYTES, &text, &n) < 0)
		dc_die("%s", dc_err());
	k = split_lines(text, n, &line);
	for (size_t i = 0; i < k && !ferror(stdout); i++)
		if (prints("decoded"))
			print_decoded(t, &line[i]);
		else
			print_clean(&clean, &line[i]);
	dc_clean_free(&clean);
	free(line);
	free(text);
	if (dc_fshut(stdout, "<stdout>") < 0) {
		if (errno == EPIPE)
			return DC_EXIT_NEIGHBOUR;
		dc_die("%s", dc_err());
	}
	return DC_EXIT_OK;
}

/* --- all of it --- */

static void
finish(struct tokenize *t)
{
	uint64_t cut = 0, ids = 0;

	for (int i = 0; i < t->threads; i++) {
		cut += t->cut_by[i];
		ids += t->ids_by[i];
		dc_bpe_coder_free(t->coder[i]);
	}
	dc_progress_end(&t->progress, t->batches, o.verbose);
	if (o.verbose)
		fprintf(stderr, "%s: %llu captions longer than %d ids, cut; %.2f ids a caption view\n", dc_progname, (unsigned long long)cut,
		    t->T, (double)ids / (double)(t->captions ? t->captions : 1));
	dc_pool_free(t->pool);
	dc_bpe_close(&t->bpe);
	dc_body_free(&t->body);
	free(t->token);
	free(t->masked);
	free(t->target);
	free(t->nth);
}

int
main(int argc, char **argv)
{
	static struct tokenize t;
	const struct dc_filter filter[] = { { "views", tokenize_frame }, { NULL, NULL } };
	int first, status;

	dc_main_init("dc-tokenize");
	first = dc_opts_parse(argc, argv, "[options] --vocab FILE", "turns captions into token ids: views -> batch", table);
	dc_stall_start(&stall);
	check_opts(argc - first);
	if (prints("clean") || prints("repaired"))
		return run_print(&t, o.lines);
	setup(&t);
	dc_pipe_widen(STDOUT_FILENO);
	if (prints("decoded"))
		return run_print(&t, o.lines);
	status = o.lines ? run_lines(&t, o.lines) : dc_filter_run(filter, &t);
	finish(&t);
	return status;
}
