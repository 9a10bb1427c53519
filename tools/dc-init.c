/* SPDX-License-Identifier: MIT */
/* dc-init: a model directory with fresh parameters, the beginning of a run. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/opts.h"
#include "base/rng.h"
#include "loss/loss.h"
#include "nn/encoder.h"
#include "store/checkpoint.h"
#include "store/model.h"
#include "text/bpe.h"

enum { FILL_BLOCK = 1 << 15 };   /* elements that one thread draws */

static struct {
	const char *arch, *from, *method, *as, *init, *weights, *freeze, *vocab, *out, *model, *scale, *print;
	int64_t seed, batch, queue, nns_after, simsiam_width, simsiam_hidden, simclr_width, simclr_hidden, filip_width, filip_top, part;
	int verbose, dry;
} o = { .method = "declip", .as = "paper", .batch = 64, .filip_top = -1 };

static const struct dc_opt table[] = {
	DC_OPT_STR("arch", 'a', &o.arch, "FILE|NAME", "architecture: open_clip's JSON, or vit-b-32, vit-b-16, vit-s64-p16, vit-s64-p8"),
	DC_OPT_STR("from", 0, &o.from, "MODEL", "start from a run, a model directory or a .safetensors file, and add missing heads"),
	DC_OPT_CHOICE("method", 'm', &o.method, DC_METHODS, "what will be trained"),
	DC_OPT_CHOICE("as", 0, &o.as, "paper|released", "DeCLIP as the paper says, or as its released code does"),
	DC_OPT_CHOICE("init", 0, &o.init, "openai|released", "initialisation of the image tower; default: by --as"),
	DC_OPT_STR("weights", 0, &o.weights, "LIST", "weights of the terms, as clip=.4,mvs=.2,simsiam=.2,mlm=.2,nns=.2"),
	DC_OPT_STR("freeze", 0, &o.freeze, "LIST", "never update these: conv1,image,text,bn, or none; default by method"),
	DC_OPT_INT("queue", 0, &o.queue, 1, 1 << 28, "N", "rows of the nearest-neighbour queue; default 65536"),
	DC_OPT_INT("nns-after", 0, &o.nns_after, 1, 1 << 28, "N", "rows in the queue before it is used; default 1024"),
	DC_OPT_STR("logit-scale", 0, &o.scale, "LO,HI", "limits of the logarithm of the scale; default by method"),
	DC_OPT_INT("simsiam-width", 0, &o.simsiam_width, 1, 65536, "N", "width of the projector; default 1024"),
	DC_OPT_INT("simsiam-hidden", 0, &o.simsiam_hidden, 1, 65536, "N", "hidden width of the predictor; default 512"),
	DC_OPT_INT("simclr-hidden", 0, &o.simclr_hidden, 1, 65536, "N", "hidden width of SLIP's head; default 4096"),
	DC_OPT_INT("simclr-width", 0, &o.simclr_width, 1, 65536, "N", "width of its output; default 256"),
	DC_OPT_INT("filip-width", 0, &o.filip_width, 1, 65536, "N", "width of FILIP's projected tokens; default 256"),
	DC_OPT_INT("filip-top", 0, &o.filip_top, 0, 65536, "N",
	    "FILIP's candidates among a sample's tokens, 0 for all; default 0, as released 16"),
	DC_OPT_INT("part", 0, &o.part, 1, 65536, "N", "a ResNet is normalised over N images of a batch at a time; default: over each part"),
	DC_OPT_STR("vocab", 0, &o.vocab, "FILE", "the vocabulary; its size becomes the model's"),
	DC_OPT_INT("seed", 's', &o.seed, 0, 1LL << 53, "N", "seed of the random numbers; default 0"),
	DC_OPT_STR("out", 'o', &o.out, "RUN", "begin the run RUN: write RUN/step-00000000 and RUN/latest"),
	DC_OPT_STR("model", 0, &o.model, "DIR", "write the model directory DIR, without a run around it"),
	DC_OPT_FLAG("dry-run", 'n', &o.dry, "write nothing; estimate the memory and the disk that training takes"),
	DC_OPT_CHOICE("print", 0, &o.print, "config|bytes", "write nothing; print the configuration, or that estimate as rows of name and bytes"),
	DC_OPT_INT("batch", 'b', &o.batch, 1, 1 << 20, "N", "samples in a batch, for --dry-run and --print bytes"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

/* --- the config --- */

static char *
exe_dir(void)
{
	char path[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	return dc_xstrndup(path, slash ? (size_t)(slash - path) : 0);
}

/* A name stands for a file in $DC_ARCH_DIR, or in pipelines/arch beside build/, or where it is installed. */
static char *
arch_path(const char *name)
{
	static const char *const places[] = { "../pipelines/arch", "../share/dc/arch" };
	const char *env = getenv("DC_ARCH_DIR");
	char *dir, *path = NULL;

	if (strchr(name, '/') || strstr(name, ".json"))
		return dc_xstrdup(name);
	if (env && *env) {
		path = dc_xasprintf("%s/%s.json", env, name);
	} else {
		dir = exe_dir();
		for (int i = 0; i < 2 && (!path || access(path, F_OK) < 0); i++) {
			free(path);
			path = dc_xasprintf("%s/%s/%s.json", dir, places[i], name);
		}
		free(dir);
	}
	if (access(path, F_OK) < 0)
		dc_die("--arch %s: no such architecture (looked for %s; a file's name has a / or ends in .json)", name, path);
	return path;
}

static void
read_arch(struct dc_config *c)
{
	char *path = arch_path(o.arch), *json;
	size_t n;

	if (dc_slurp(path, 1 << 20, &json, &n) < 0)
		dc_die("%s", dc_err());
	if (dc_config_parse(c, json, n) < 0)
		dc_die("%s: %s", path, dc_err());
	free(json);
	free(path);
}

static int
take_weight(struct dc_config *c, const char *item, size_t n, int *clip)
{
	char name[32], what[64];
	const char *eq = memchr(item, '=', n);

	DC_CHECK(eq && n < sizeof(name), "--weights: '%.*s' is not term=number", (int)n, item);
	snprintf(name, sizeof(name), "%.*s", (int)n, item);
	name[eq - item] = '\0';
	for (int i = 0; i < DC_TERMS; i++)
		if (!strcmp(dc_term_names[i], name)) {
			snprintf(what, sizeof(what), "--weights %s", name);
			*clip |= i == DC_TERM_CLIP;
			return dc_parse_double(what, name + (eq - item) + 1, 0, 1e6, &c->weight[i]);
		}
	return dc_err_set("--weights: no term '%s' (clip, mvs, simsiam, mlm, nns, simclr, filip, siglip)", name);
}

/* A term left out gives its weight back to CLIP, unless CLIP's is given. */
static int
take_weights(struct dc_config *c)
{
	int clip = 0;
	size_t n;

	for (const char *p = o.weights; *p; p += n + (p[n] == ',')) {
		n = strcspn(p, ",");
		DC_TRY(take_weight(c, p, n, &clip));
	}
	if (!clip) {
		c->weight[DC_TERM_CLIP] = dc_config_clip_weight(c);
		if (fabs(c->weight[DC_TERM_CLIP]) < 1e-12)
			c->weight[DC_TERM_CLIP] = 0;
	}
	DC_CHECK(c->weight[DC_TERM_CLIP] >= 0, "--weights: the terms add up to more than 1, which leaves clip %g; give clip too",
	    c->weight[DC_TERM_CLIP]);
	return 0;
}

static int
take_scale(struct dc_config *c)
{
	const char *comma = strchr(o.scale, ',');
	char *lo = dc_xstrndup(o.scale, comma ? (size_t)(comma - o.scale) : 0);
	int r = comma ? 0 : dc_err_set("--logit-scale %s: must be LO,HI", o.scale);

	if (r == 0)
		r = dc_parse_double("--logit-scale", lo, -10, 10, &c->logit_scale_min);
	if (r == 0)
		r = dc_parse_double("--logit-scale", comma + 1, c->logit_scale_min, 10, &c->logit_scale_max);
	free(lo);
	return r;
}

/* Method and choices into c, which has its architecture. */
static int
take_method(struct dc_config *c)
{
	DC_TRY(dc_config_method(c, o.method, !strcmp(o.as, "released")));
	if (o.weights)
		DC_TRY(take_weights(c));
	for (int t = 0; t < DC_TERMS; t++)
		DC_CHECK(c->weight[t] == 0 || dc_loss_has(o.method, t), "--weights: method %s has no term %s", o.method,
		    dc_term_names[t]);
	if (o.freeze)
		DC_TRY(dc_config_freeze(o.freeze, &c->freeze));
	if (o.scale)
		DC_TRY(take_scale(c));
	if (c->weight[DC_TERM_NNS] > 0)
		c->queue = o.queue ? o.queue : c->queue ? c->queue : 65536;
	c->nns_after = o.nns_after ? o.nns_after : c->nns_after;
	c->simsiam_width = o.simsiam_width ? (int)o.simsiam_width : c->simsiam_width;
	c->simsiam_hidden = o.simsiam_hidden ? (int)o.simsiam_hidden : c->simsiam_hidden;
	c->simclr_width = o.simclr_width ? (int)o.simclr_width : c->simclr_width;
	c->simclr_hidden = o.simclr_hidden ? (int)o.simclr_hidden : c->simclr_hidden;
	c->filip_width = o.filip_width ? (int)o.filip_width : c->filip_width;
	DC_CHECK(!o.part || dc_config_resnet(c), "--part: the image tower is no ResNet, which alone is normalised over a batch");
	c->part = (int)o.part;
	c->filip_top = o.filip_top >= 0 ? (int)o.filip_top : c->filip_top;
	dc_config_views(c);
	return 0;
}

/* The vocabulary file's size into the config; with --from it must agree. */
static void
take_vocab(struct dc_config *c, const char *path)
{
	struct dc_bpe bpe;

	if (dc_bpe_open(&bpe, path) < 0)
		dc_die("%s", dc_err());
	if (bpe.size != c->text.vocab_size) {
		if (o.from)
			dc_die("%s: %d ids, but the model in %s has %d", path, bpe.size, o.from, c->text.vocab_size);
		if (o.verbose)
			dc_warn("the vocabulary has %d ids; the architecture's %d is replaced", bpe.size, c->text.vocab_size);
		c->text.vocab_size = bpe.size;
	}
	dc_bpe_close(&bpe);
}

static int
same_arch(const struct dc_config *a, const struct dc_config *b)
{
	char *x = dc_config_model_json(a), *y = dc_config_model_json(b);
	int same = !strcmp(x, y);

	free(x);
	free(y);
	return same;
}

/* --- the values --- */

/* Elements [from, to). Each tensor's numbers come from the seed and its own name, so that no other tensor changes them,
 * and an element's from its place. */
static void
fill_block(const struct dc_param *p, float *w, size_t from, size_t to)
{
	struct dc_rng r;

	dc_rng_init(&r, (uint64_t)o.seed, 0, XXH3_64bits(p->name, strlen(p->name)), 0, DC_RNG_INIT);
	dc_rng_skip(&r, p->init == DC_INIT_NORMAL ? 2 * from : from);
	for (size_t i = from; i < to; i++)
		switch (p->init) {
		case DC_INIT_ZERO: w[i] = 0; break;
		case DC_INIT_ONE: w[i] = 1; break;
		case DC_INIT_VALUE: w[i] = (float)p->init_scale; break;
		case DC_INIT_NORMAL: w[i] = (float)(p->init_scale * dc_rng_normal(&r)); break;
		case DC_INIT_UNIFORM: w[i] = (float)dc_rng_uniform(&r, -p->init_scale, p->init_scale); break;
		}
}

static void
fill(const struct dc_param *p, float *w)
{
	#pragma omp parallel for schedule(dynamic) if (p->n > FILL_BLOCK)
	for (size_t i = 0; i < p->n; i += FILL_BLOCK)
		fill_block(p, w, i, p->n - i < FILL_BLOCK ? p->n : i + FILL_BLOCK);
}

static void
fill_all(struct dc_state *s)
{
	struct dc_config c = s->c;
	struct dc_param *p;
	int n;

	if (o.init)
		c.released = !strcmp(o.init, "released");
	n = dc_params_list(&c, &p);
	for (int i = 0; i < n; i++)
		fill(&p[i], s->t[i].w);
	free(p);
}

/* The released code starts with a full queue of random unit vectors. */
static void
fill_queue(struct dc_state *s)
{
	struct dc_rng r;
	int d = s->c.embed_dim;

	dc_rng_init(&r, (uint64_t)o.seed, 0, 0, 0, DC_RNG_QUEUE);
	for (int64_t i = 0; i < s->c.queue; i++) {
		float *row = s->nn_queue + i * d;
		double sum = 0;

		for (int k = 0; k < d; k++) {
			row[k] = (float)dc_rng_normal(&r);
			sum += (double)row[k] * row[k];
		}
		for (int k = 0; k < d; k++)
			row[k] = (float)(row[k] / sqrt(sum));
	}
	s->nn_valid = s->c.queue;
}

/* --- from another model --- */

static int
copy_one(const struct dc_st *st, const struct dc_param *p, float *to)
{
	const struct dc_st_tensor *t = dc_st_find(st, p->name);

	if (!t)
		return 0;
	DC_CHECK(t->type == DC_F32 && t->ndim == p->ndim && !memcmp(t->shape, p->shape, (size_t)p->ndim * sizeof(*p->shape)),
	    "%s: tensor %s has another shape than this method's (see --simsiam-width)", st->path, p->name);
	memcpy(to, t->data, t->bytes);
	return 1;
}

/* The heads or statistics that st has; `where` is for messages. */
static void
take_from(struct dc_state *s, const struct dc_st *st, const char *where, int stats)
{
	int n = stats ? s->n_stats : s->n, r;

	for (int i = 0; i < n; i++) {
		const struct dc_param *p = stats ? &s->stat[i] : &s->t[i].p;

		if (!p->head)
			continue;
		if ((r = copy_one(st, p, stats ? s->stat_value[i] : s->t[i].w)) < 0)
			dc_die("%s", dc_err());
		if (r == 0 && o.verbose)
			dc_warn("%s: no %s there: a new one", where, p->name);
	}
}

/* Those that dir/file has, if there is such a file. */
static void
take_some(struct dc_state *s, const char *dir, const char *file, int stats)
{
	char *path = dc_xasprintf("%s/%s", dir, file);
	struct dc_st st;

	if (access(path, F_OK) == 0) {
		if (dc_st_open(&st, AT_FDCWD, path, DC_ST_READ) < 0)
			dc_die("%s", dc_err());
		take_from(s, &st, path, stats);
		dc_st_close(&st);
	} else if (o.verbose) {
		dc_warn("%s: not there: all new", path);
	}
	free(path);
}

/* The released DeCLIP has its heads in the same file, under other names. */
static void
take_released(struct dc_state *s, const struct dc_model *m)
{
	struct dc_heads h;

	if (dc_model_heads(m, &h) < 0)
		dc_die("%s", dc_err());
	take_from(s, &h.st, m->file, 0);
	take_from(s, &h.extra, m->file, 1);
	dc_heads_close(&h);
}

static void
take_model(struct dc_state *s, const struct dc_model *m)
{
	char *state = dc_xasprintf("%s/state.safetensors", m->dir);

	for (int i = 0; i < s->n; i++)
		if (!s->t[i].p.head && dc_st_find(&m->st, s->t[i].p.name)) /* a logit_bias may be new */
			memcpy(s->t[i].w, dc_st_find(&m->st, s->t[i].p.name)->data, s->t[i].p.n * sizeof(float));
	if (m->format == DC_FORMAT_DECLIP) {
		take_released(s, m);
	} else {
		take_some(s, m->dir, "heads/declip.safetensors", 0);
		take_some(s, m->dir, access(state, F_OK) == 0 ? "state.safetensors" : "heads/extra.safetensors", 1);
	}
	free(state);
}

/* --- writing --- */

static void
read_vocab(struct dc_state *s, const char *path)
{
	if (dc_slurp(path, (size_t)64 << 20, &s->vocab, &s->vocab_bytes) < 0)
		dc_die("%s", dc_err());
}

/* Split DIR into its parent and its name; a trailing slash means nothing. */
static void
split(const char *dir, char **parent, char **name)
{
	size_t n = strlen(dir);
	const char *slash;

	while (n > 1 && dir[n - 1] == '/')
		n--;
	slash = memrchr(dir, '/', n);
	*name = slash ? dc_xstrndup(slash + 1, n - (size_t)(slash + 1 - dir)) : dc_xstrndup(dir, n);
	*parent = !slash ? dc_xstrdup(".") : slash == dir ? dc_xstrdup("/") : dc_xstrndup(dir, (size_t)(slash - dir));
	if (!**name || !strcmp(*name, ".") || !strcmp(*name, ".."))
		dc_die_usage("--model %s: not the name of a directory to be made", dir);
}

static void
write_model(const struct dc_state *s)
{
	char *parent, *name;

	split(o.model, &parent, &name);
	if (access(o.model, F_OK) == 0)
		dc_die("%s: there already", o.model);
	if (dc_state_write(s, parent, name) < 0)
		dc_die("%s", dc_err());
	free(parent);
	free(name);
}

static void
write_run(const struct dc_state *s)
{
	char *first = dc_xasprintf("%s/step-00000000", o.out), *latest = dc_xasprintf("%s/latest", o.out);

	if (mkdir(o.out, 0777) < 0 && errno != EEXIST)
		dc_die_errno("%s", o.out);
	if (access(latest, F_OK) == 0 || access(first, F_OK) == 0)
		dc_die("%s: a run has begun there already", o.out);
	if (dc_state_write(s, o.out, "step-00000000") < 0 || dc_run_point(o.out, "step-00000000") < 0)
		dc_die("%s", dc_err());
	free(first);
	free(latest);
}

/* Bytes that the ring will take. Activations: of captions of 14 tokens on average, or the context if that is less; [0] all of
 * a batch's, [1] the least, one part's; [.][1] with the blocks computed again. */
struct bytes { double weights, heads, trained, queue, activations[2][2]; int tokens; };

static struct bytes
count_bytes(const struct dc_config *c)
{
	struct bytes b = { .queue = 4.0 * (double)c->queue * c->embed_dim,
		.tokens = c->text.context_length < 14 ? c->text.context_length : 14 };
	struct dc_param *p;
	const int n = dc_params_list(c, &p);

	for (int i = 0; i < n; i++) {
		b.weights += 4.0 * (double)p[i].n;
		b.heads += p[i].head ? 4.0 * (double)p[i].n : 0;
		b.trained += dc_param_frozen(c, &p[i]) ? 0 : 4.0 * (double)p[i].n;
	}
	free(p);
	for (int least = 0; least < 2; least++)
		for (int lean = 0; lean < 2; lean++)
			b.activations[least][lean] = (double)dc_enc_bytes(c, least ? 0 : (int)o.batch, b.tokens, lean);
	return b;
}

static void
print_bytes(const struct bytes *b)
{
	printf("weights\t%.0f\nheads\t%.0f\ntrained\t%.0f\nqueue\t%.0f\n", b->weights, b->heads, b->trained, b->queue);
	printf("activations\t%.0f\nactivations_recompute\t%.0f\n", b->activations[0][0], b->activations[0][1]);
	printf("least\t%.0f\nleast_recompute\t%.0f\n", b->activations[1][0], b->activations[1][1]);
}

static void
estimate(const struct bytes *b)
{
	const double mb = 1 << 20, weights = b->weights, trained = b->trained, queue = b->queue;

	printf("parameters %.3g million, %.3g million of them in heads\n", weights / 4e6, b->heads / 4e6);
	printf("memory: %.0f MB shared (parameters, gradients), dc-step %.0f MB (moments, queue), dc-loss %.0f MB (queue),\n",
	    (weights + trained) / mb, (2 * trained + queue) / mb, queue / mb);
	printf("        dc-encode about %.0f MB (activations of %lld pairs, captions of %d tokens; with --recompute %.0f MB;\n",
	    b->activations[0][0] / mb, (long long)o.batch, b->tokens, b->activations[0][1] / mb);
	printf("        with --keep-activations 0 it is %.0f MB, with both %.0f MB, for batches of any size)\n",
	    b->activations[1][0] / mb, b->activations[1][1] / mb);
	printf("disk: %.0f MB a checkpoint (with --ema %.0f MB)\n", (weights + 2 * trained + queue) / mb,
	    (2 * weights + 2 * trained + queue) / mb);
}

static void
tell(const struct dc_state *s)
{
	size_t image = 0, text = 0, heads = 0;

	for (int i = 0; i < s->n; i++) {
		const struct dc_param *p = &s->t[i].p;

		if (!p->stat)
			*(p->head ? &heads : p->image ? &image : &text) += p->n;
	}
	dc_warn("%s, as %s: %zu parameters in the image tower, %zu in the text tower, %zu in the heads", s->c.method,
	    s->c.released ? "released" : "the paper", image, text, heads);
}

static void
check_opts(int argc, int first)
{
	if (first < argc)
		dc_die_usage("%s: no operand is taken", "dc-init");
	if (!o.arch && !o.from)
		dc_die_usage("--arch or --from is needed");
	if (!o.dry && !o.print && !o.out == !o.model)
		dc_die_usage("one of --out and --model is needed");
}

/* The config, and the vocabulary file that goes with it (NULL if none). */
static char *
configure(struct dc_config *c, const struct dc_model *from)
{
	struct dc_config arch = { 0 };
	char *vocab;

	if (o.arch)
		read_arch(&arch);
	*c = o.from ? from->c : arch;
	vocab = o.vocab ? dc_xstrdup(o.vocab) : o.from ? dc_xasprintf("%s/bpe.txt.gz", from->dir) : NULL;
	if (vocab && !o.vocab && access(vocab, F_OK) < 0) {
		free(vocab);
		vocab = NULL;
	}
	if (vocab)
		take_vocab(c, vocab);
	if (o.from && o.arch) {
		arch.text.vocab_size = c->text.vocab_size;
		if (!same_arch(&arch, c))
			dc_die("--arch %s is not the architecture of the model in %s", o.arch, o.from);
	}
	if (take_method(c) < 0)
		dc_die_usage("%s", dc_err());
	return vocab;
}

static void
make(struct dc_state *s, const struct dc_config *c, const struct dc_model *from, const char *vocab)
{
	dc_state_init(s, c);
	dc_state_own_weights(s);
	fill_all(s);
	if (o.from)
		take_model(s, from);
	if (s->nn_queue && c->released)
		fill_queue(s);
	if (vocab)
		read_vocab(s, vocab);
}

int
main(int argc, char *argv[])
{
	struct dc_config c;
	struct dc_model from = { 0 };
	struct dc_state s;
	char *vocab;

	dc_main_init("dc-init");
	check_opts(argc, dc_opts_parse(argc, argv, "--arch FILE|NAME [options] --out RUN",
	    "writes a model with fresh parameters, or with another's, to begin a run", table));
	if (o.from && dc_model_open(&from, o.from) < 0)
		dc_die("%s", dc_err());
	vocab = configure(&c, &from);
	if (o.print && !strcmp(o.print, "config")) {
		char *json = dc_config_json(&c);
		puts(json);
		free(json);
	} else if (o.dry || o.print) {
		struct bytes b = count_bytes(&c);
		if (o.print)
			print_bytes(&b);
		else
			estimate(&b);
	} else {
		make(&s, &c, &from, vocab);
		if (o.out)
			write_run(&s);
		else
			write_model(&s);
		if (o.verbose)
			tell(&s);
		dc_state_free(&s);
	}
	dc_model_close(&from);
	free(vocab);
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
	return DC_EXIT_OK;
}
