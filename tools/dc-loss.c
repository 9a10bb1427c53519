/* SPDX-License-Identifier: MIT */
/* dc-loss: features -> the terms of the objective and d(features). */
#include <stdlib.h>
#include <string.h>

#include "base/opts.h"
#include "base/progress.h"
#include "loss/loss.h"
#include "nn/blas.h"
#include "stream/stall.h"
#include "stream/stream.h"

static struct opts {
	const char *method, *as;
	double weight[DC_TERMS], lo, hi;
	int64_t queue, nns_after, rows, filip_top;
	int list, verbose;
} o;

static struct dc_stall stall = DC_STALL_DEFAULT;

static const struct dc_opt options[] = {
	DC_OPT_CHOICE("method", 'm', &o.method, DC_METHODS, "which terms there are"),
	DC_OPT_CHOICE("as", 0, &o.as, "paper|released", "whose reading of DeCLIP"),
	DC_OPT_DOUBLE("clip", 0, &o.weight[DC_TERM_CLIP], 0, 1e6, "W", "weight of the contrastive term"),
	DC_OPT_DOUBLE("mvs", 0, &o.weight[DC_TERM_MVS], 0, 1e6, "W", "weight of multi-view supervision"),
	DC_OPT_DOUBLE("simsiam", 0, &o.weight[DC_TERM_SIMSIAM], 0, 1e6, "W", "weight of image self-supervision"),
	DC_OPT_DOUBLE("mlm", 0, &o.weight[DC_TERM_MLM], 0, 1e6, "W", "weight of text self-supervision"),
	DC_OPT_DOUBLE("nns", 0, &o.weight[DC_TERM_NNS], 0, 1e6, "W", "weight of nearest-neighbour supervision"),
	DC_OPT_DOUBLE("simclr", 0, &o.weight[DC_TERM_SIMCLR], 0, 1e6, "W", "weight of SLIP's SimCLR"),
	DC_OPT_DOUBLE("filip", 0, &o.weight[DC_TERM_FILIP], 0, 1e6, "W", "weight of FILIP's token-wise term"),
	DC_OPT_DOUBLE("siglip", 0, &o.weight[DC_TERM_SIGLIP], 0, 1e6, "W", "weight of SigLIP's sigmoid term"),
	DC_OPT_INT("filip-top", 0, &o.filip_top, 0, 65536, "N", "candidates among a sample's tokens; 0: all [as released 16]"),
	DC_OPT_INT("queue", 0, &o.queue, 1, 1 << 28, "N", "rows in the nearest-neighbour queue"),
	DC_OPT_INT("nns-after", 0, &o.nns_after, 1, 1 << 28, "N",
	    "nns waits for so many rows in the queue (default: 4 batches, at least 1024)"),
	DC_OPT_DOUBLE("logit-scale-min", 0, &o.lo, -100, 100, "X", "smallest logit_scale (the log)"),
	DC_OPT_DOUBLE("logit-scale-max", 0, &o.hi, -100, 100, "X", "largest logit_scale (the log)"),
	DC_OPT_INT("rows", 0, &o.rows, 1, 1 << 28, "N", "samples in one dfeatures frame (default: as many as fit 64 MiB)"),
	DC_OPT_FLAG("list", 'l', &o.list, "print the methods, their terms and weights, and exit"),
	DC_OPTS_STALL(&stall),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

enum { FRAME_BYTES = 64 << 20 }; /* of an answer: as much memory again as the largest frame has */

/* A batch's rows: in a frame that has them all, else gathered in `own`, which grows and is used again. */
struct matrix { dc_real *p, *own; size_t cap; int64_t rows, cols; };

/* The tensors of a features frame, in the order of `key`: rows of samples as far as NLL. Those of the same group have
 * equally many columns; FILIP's image tokens are rows of [tokens, width]. */
enum { I1, I2, T1, T2, Z1, Z2, P1, P2, S1, S2, FI, NLL, FT, INPUTS };
static const char *const key[INPUTS] = {
	"image_features.0", "image_features.1", "text_features.0", "text_features.1",
	"simsiam_z.0", "simsiam_z.1", "simsiam_p.0", "simsiam_p.1", "simclr_z.1", "simclr_z.2", "filip_image", "mlm_nll",
	"filip_text"
};
static const int group[NLL] = { I1, I1, I1, I1, Z1, Z1, Z1, Z1, S1, S1, FI };

struct loss {
	struct dc_config c;
	int has_state, wanted[INPUTS];
	struct dc_nn_queue q;
	struct matrix in[INPUTS];              /* a whole batch; then the gradients take its place */
	int alone;                             /* it is in one frame */
	int32_t *filip_off; size_t cap_off;    /* [N+1] first row of each caption in filip_text */
	int64_t tokens, filip_width;           /* of an image */
	double logit_scale, filip_logit_scale, logit_bias;
	int64_t *local, n_local, local_mlm[2], rank; /* of several ranks: the rows that are ours; n_local -1: we are alone */
	int64_t batch;                         /* rows of the whole batch */
	int64_t part, parts;                   /* next part of the batch under way; 0, 0 between batches */
	uint64_t step;
	int64_t position; int has_position;
	int started, stopped;
	uint64_t batches, samples;
	struct dc_loss_work *w;
	struct dc_body b;
	struct dc_progress progress;
};

/* --- the config, from options or from `state` --- */

static int
is_released(const char *as)
{
	return !strcmp(as, "released");
}

/* The method's weights and those given; what the others leave goes to clip unless that is given too. */
static void
config_from_options(struct dc_config *c)
{
	const struct dc_loss_method *m = dc_loss_method(o.method);
	const char *what;
	enum dc_term term;
	int has[DC_TERMS] = { 0 };

	if (dc_config_method(c, o.method, is_released(o.as)) < 0)
		dc_die_usage("%s", dc_err());
	for (int i = 0; dc_loss_method_term(m, i, &term, &what) == 0; i++)
		has[term] = 1;
	for (int t = 0; t < DC_TERMS; t++) {
		if (!dc_opts_given(dc_term_names[t]))
			continue;
		if (!has[t] && o.weight[t] != 0)
			dc_die_usage("--%s %g: method %s has no such term", dc_term_names[t], o.weight[t], o.method);
		c->weight[t] = o.weight[t];
	}
	if (!dc_opts_given("clip"))
		c->weight[DC_TERM_CLIP] = dc_config_clip_weight(c);
	if (c->weight[DC_TERM_CLIP] < 0)
		dc_die_usage("the other terms' weights leave %g for clip: give --clip", c->weight[DC_TERM_CLIP]);
	c->queue = dc_opts_given("queue") ? o.queue : c->queue;
	c->filip_top = dc_opts_given("filip-top") ? (int)o.filip_top : c->filip_top;
	c->nns_after = o.nns_after;
	c->logit_scale_min = dc_opts_given("logit-scale-min") ? o.lo : c->logit_scale_min;
	c->logit_scale_max = dc_opts_given("logit-scale-max") ? o.hi : c->logit_scale_max;
	if (c->logit_scale_min > c->logit_scale_max)
		dc_die_usage("--logit-scale-min %g is larger than --logit-scale-max %g", c->logit_scale_min, c->logit_scale_max);
	dc_config_views(c);
}

static int
agrees(const char *option, double given, double config)
{
	DC_CHECK(!dc_opts_given(option) || fabs(given - config) <= 1e-9 * fabs(config),
	    "--%s %g contradicts the run's config, which says %g", option, given, config);
	return 0;
}

/* An option that says something else than the run's config is an error. */
static int
check_options(const struct dc_config *c)
{
	const char *as = c->released ? "released" : "paper";

	DC_CHECK(!dc_opts_given("method") || !strcmp(o.method, c->method),
	    "--method %s contradicts the run's config, which says %s", o.method, c->method);
	DC_CHECK(!dc_opts_given("as") || !strcmp(o.as, as), "--as %s contradicts the run's config, which says %s", o.as, as);
	for (int t = 0; t < DC_TERMS; t++)
		DC_TRY(agrees(dc_term_names[t], o.weight[t], c->weight[t]));
	DC_TRY(agrees("queue", (double)o.queue, (double)c->queue));
	if (c->weight[DC_TERM_FILIP] > 0)
		DC_TRY(agrees("filip-top", (double)o.filip_top, c->filip_top));
	DC_TRY(agrees("nns-after", (double)o.nns_after, (double)c->nns_after));
	DC_TRY(agrees("logit-scale-min", o.lo, c->logit_scale_min));
	return agrees("logit-scale-max", o.hi, c->logit_scale_max);
}

static void
choose_inputs(struct loss *s)
{
	const double *w = s->c.weight;

	s->wanted[I1] = s->wanted[T1] = 1;
	s->wanted[I2] = dc_config_feature_views(&s->c) > 1;
	s->wanted[T2] = s->c.caption_views > 1;
	s->wanted[Z1] = s->wanted[Z2] = s->wanted[P1] = s->wanted[P2] = w[DC_TERM_SIMSIAM] > 0;
	s->wanted[NLL] = w[DC_TERM_MLM] > 0;
	s->wanted[S1] = s->wanted[S2] = w[DC_TERM_SIMCLR] > 0;
	s->wanted[FI] = s->wanted[FT] = w[DC_TERM_FILIP] > 0;
}

static int
take_queue(struct loss *s, struct dc_frame *f)
{
	struct dc_tensor t;

	DC_TRY(dc_frame_tensor(f, "nn_queue", DC_REAL_TYPE, 2, &t));
	DC_TRY(dc_frame_int(f, "nn_head", &s->q.head));
	DC_TRY(dc_frame_int(f, "nn_valid", &s->q.valid));
	if (!t.data)
		return dc_frame_err(f, "nn_queue: by reference or empty, must be by value");
	if (t.shape[0] != s->c.queue || t.shape[1] != s->c.embed_dim)
		return dc_frame_err(f, "nn_queue is [%lld,%lld], the config says [%lld,%d]", (long long)t.shape[0],
		    (long long)t.shape[1], (long long)s->c.queue, s->c.embed_dim);
	if (s->q.head < 0 || s->q.head >= t.shape[0] || s->q.valid < 0 || s->q.valid > t.shape[0])
		return dc_frame_err(f, "nn_head %lld, nn_valid %lld: outside a queue of %lld rows", (long long)s->q.head,
		    (long long)s->q.valid, (long long)t.shape[0]);
	s->q.length = t.shape[0];
	s->q.D = (int)t.shape[1];
	s->q.rows = dc_xaligned(t.n, sizeof *s->q.rows);
	memcpy(s->q.rows, t.data, t.bytes);
	return 0;
}

/* state: taken, not passed on */
static int
on_state(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct loss *s = arg;
	struct dc_str json;

	(void)out;
	if (s->has_state || s->started)
		return dc_frame_err(f, "%s", s->has_state ? "a second state" : "the state comes after features");
	DC_TRY(dc_frame_str(f, "config", &json));
	if (dc_config_parse(&s->c, json.p, json.n) < 0)
		return dc_frame_err(f, "%s", dc_err());
	if (!dc_loss_method(s->c.method))
		return dc_frame_err(f, "config: no method '%s'", s->c.method);
	DC_TRY(check_options(&s->c));
	s->has_state = 1;
	choose_inputs(s);
	if (s->c.weight[DC_TERM_NNS] > 0)
		DC_TRY(take_queue(s, f));
	dc_frame_empty(f);
	return DC_FRAME;
}

/* --- gathering a batch from its parts --- */

static void
room(struct matrix *m, int64_t rows, int64_t cols)
{
	const size_t n = (size_t)rows * cols;

	if (n > m->cap) {
		m->cap = n > 2 * m->cap ? n : 2 * m->cap;
		m->own = dc_xrealloc(m->own, m->cap, sizeof *m->own);
	}
	m->p = m->own;
	m->rows = rows;
	m->cols = cols;
}

static int
append(struct matrix *m, struct dc_frame *f, int k, const struct dc_tensor *t, int alone)
{
	const int64_t cols = t->ndim == 2 ? t->shape[1] : 1, had = m->rows;

	if (t->shape[0] == 0)
		return 0;
	if (had > 0 && cols != m->cols)
		return dc_frame_err(f, "%s: %lld columns, %lld in the parts before", key[k], (long long)cols, (long long)m->cols);
	if (alone) {
		*m = (struct matrix){ .p = (dc_real *)(uintptr_t)t->data, .own = m->own, .cap = m->cap, .rows = t->shape[0], .cols = cols };
		return 0;
	}
	room(m, had + t->shape[0], cols);
	memcpy(m->p + had * cols, t->data, t->bytes);
	return 0;
}

static int64_t
rows_of(const struct dc_tensor *t)
{
	return t->ndim > 0 ? t->shape[0] : 0;
}

/* [n, tokens, width] as rows of tokens x width */
static int
take_image_tokens(struct loss *s, struct dc_frame *f, struct dc_tensor *t)
{
	DC_TRY(dc_frame_tensor(f, key[FI], DC_REAL_TYPE, 3, t));
	if (t->n && (t->shape[1] < 1 || t->shape[2] < 1 || t->shape[1] > 1 << 20 || t->shape[2] > 1 << 20))
		return dc_frame_err(f, "%s is [%lld,%lld,%lld]", key[FI], (long long)t->shape[0], (long long)t->shape[1],
		    (long long)t->shape[2]);
	if (t->n && s->in[FI].rows && (t->shape[1] != s->tokens || t->shape[2] != s->filip_width))
		return dc_frame_err(f, "%s: other tokens than in the parts before", key[FI]);
	if (t->n) {
		s->tokens = t->shape[1];
		s->filip_width = t->shape[2];
	}
	t->shape[1] = t->shape[1] * t->shape[2];
	t->ndim = 2;
	return 0;
}

/* One tensor of a part. The heads' are not there where a batch is too small for a batch norm, and the numbers that are
 * not per sample come with the first part; whether all is there in the end, check_whole() says. */
static int
take_input(struct loss *s, struct dc_frame *f, int k, const struct dc_tensor *like)
{
	const int towers = k < Z1, heads = k >= Z1 && k <= S2;
	struct dc_tensor t;

	if (!dc_frame_get(f, key[k]) && ((heads && like->shape[0] < 2) || (k == NLL && s->part > 0)))
		return 0;
	if (k == FI)
		DC_TRY(take_image_tokens(s, f, &t));
	else
		DC_TRY(dc_frame_tensor(f, key[k], DC_REAL_TYPE, k == NLL ? 1 : 2, &t));
	if (!t.data && t.n)
		return dc_frame_err(f, "%s: by reference, must be by value", key[k]);
	if (k < NLL && (t.shape[0] != like->shape[0] || (t.n && towers && t.shape[1] != like->shape[1])))
		return dc_frame_err(f, "%s is [%lld,%lld], wanted [%lld,%lld]", key[k], (long long)t.shape[0],
		    (long long)t.shape[1], (long long)like->shape[0], (long long)(towers ? like->shape[1] : t.shape[1]));
	if (t.ndim == 2 && t.shape[0] > 0 && (t.shape[1] < 1 || t.shape[1] > (k == FI ? 1 << 30 : 1 << 20)))
		return dc_frame_err(f, "%s has %lld columns", key[k], (long long)t.shape[1]);
	return append(&s->in[k], f, k, &t, s->alone);
}

/* filip_off i32 [n+1], from 0 to the rows of this part's filip_text; had, base: samples and rows of the parts before */
static int
take_offsets(struct loss *s, struct dc_frame *f, int64_t had, int64_t base, int64_t n)
{
	const int64_t rows = s->in[FT].rows - base;
	const int32_t *off;
	struct dc_tensor t;

	DC_TRY(dc_frame_tensor(f, "filip_off", DC_I32, 1, &t));
	if (rows_of(&t) != n + 1 || !t.data)
		return dc_frame_err(f, "filip_off has %lld numbers, wanted %lld", (long long)rows_of(&t), (long long)(n + 1));
	off = t.data;
	for (int64_t i = 0; i <= n; i++)
		if (off[i] < (i ? off[i - 1] : 0) || off[i] > rows || (i == 0 && off[i]) || (i == n && off[i] != rows))
			return dc_frame_err(f, "filip_off does not go from 0 to the %lld rows of filip_text", (long long)rows);
	if (base + rows > INT32_MAX)
		return dc_frame_err(f, "more than %d words in a batch", INT32_MAX);
	if ((size_t)(had + n + 1) > s->cap_off)
		s->filip_off = dc_xrealloc(s->filip_off, s->cap_off = 2 * (size_t)(had + n + 1), sizeof *s->filip_off);
	for (int64_t i = 0; i <= n; i++)
		s->filip_off[had + i] = (int32_t)(base + off[i]);
	return 0;
}

static int
take_part(struct loss *s, struct dc_frame *f)
{
	const int64_t had = s->in[I1].rows, base = s->in[FT].rows;
	struct dc_tensor first;

	DC_TRY(dc_frame_tensor(f, key[I1], DC_REAL_TYPE, 2, &first));
	for (int k = 0; k < INPUTS; k++)
		if (s->wanted[k])
			DC_TRY(take_input(s, f, k, &first));
	if (s->wanted[FT]) {
		DC_TRY(take_offsets(s, f, had, base, first.shape[0]));
		DC_TRY(dc_frame_double(f, "filip_logit_scale", &s->filip_logit_scale));
	}
	if (s->c.weight[DC_TERM_SIGLIP] > 0)
		DC_TRY(dc_frame_double(f, "logit_bias", &s->logit_bias));
	if (s->in[I1].rows > 1 << 24)
		return dc_frame_err(f, "a batch of more than %d samples", 1 << 24);
	return dc_frame_double(f, "logit_scale", &s->logit_scale);
}

static int
check_whole(const struct loss *s, struct dc_frame *f)
{
	for (int k = 0; k < NLL; k++) {
		const struct matrix *m = &s->in[k], *like = &s->in[group[k]];
		if (s->wanted[k] && (m->rows != s->in[I1].rows || m->cols != like->cols))
			return dc_frame_err(f, "%s is [%lld,%lld] in all, wanted [%lld,%lld]", key[k], (long long)m->rows,
			    (long long)m->cols, (long long)s->in[I1].rows, (long long)like->cols);
	}
	if (s->wanted[FT] && s->in[FT].rows && s->in[FT].cols != s->filip_width)
		return dc_frame_err(f, "%s has %lld columns, %s %lld", key[FT], (long long)s->in[FT].cols, key[FI],
		    (long long)s->filip_width);
	return 0;
}

/* The batch of several ranks: which rows are this one's. */
static int
take_local(struct loss *s, struct dc_frame *f)
{
	struct dc_tensor t;

	s->n_local = -1;
	if (!dc_frame_get(f, "local"))
		return 0;
	DC_TRY(dc_frame_tensor(f, "local", DC_I64, 1, &t));
	DC_TRY(dc_frame_int(f, "rank", &s->rank));
	s->n_local = t.shape[0];
	s->local = dc_xrealloc(s->local, t.n + 1, sizeof *s->local);
	if (t.n && !t.data)
		return dc_frame_err(f, "local: by reference, must be by value");
	if (t.n)
		memcpy(s->local, t.data, t.bytes);
	memset(s->local_mlm, 0, sizeof s->local_mlm);
	if (!s->wanted[NLL])
		return 0;
	DC_TRY(dc_frame_tensor(f, "local_mlm", DC_I64, 1, &t));
	if (t.n != 2 || !t.data)
		return dc_frame_err(f, "local_mlm is not [first, n]");
	memcpy(s->local_mlm, t.data, t.bytes);
	return 0;
}

static int
check_local(const struct loss *s, struct dc_frame *f)
{
	const int64_t N = s->in[I1].rows, M = s->in[NLL].rows, *mlm = s->local_mlm;

	for (int64_t i = 0; i < s->n_local; i++)
		if (s->local[i] < (i ? s->local[i - 1] + 1 : 0) || s->local[i] >= N)
			return dc_frame_err(f, "local: row %lld is out of order, or not among the %lld of the batch", (long long)s->local[i],
			    (long long)N);
	if (s->n_local >= 0 && s->wanted[NLL] && (mlm[0] < 0 || mlm[1] < 0 || mlm[0] > M || mlm[1] > M - mlm[0]))
		return dc_frame_err(f, "local_mlm: [%lld, %lld] of %lld", (long long)mlm[0], (long long)mlm[1], (long long)M);
	return 0;
}

static int
begin_batch(struct loss *s, struct dc_frame *f)
{
	DC_TRY(take_local(s, f));
	for (int k = 0; k < INPUTS; k++) {
		s->in[k].p = s->in[k].own;
		s->in[k].rows = 0;
	}
	s->step = f->step;
	s->started = 1;
	s->has_position = dc_frame_get(f, "position") != NULL;
	return s->has_position ? dc_frame_int(f, "position", &s->position) : 0;
}

/* 1: the batch is whole; 0: more to come; -1 with a message. */
static int
gather(struct loss *s, struct dc_frame *f)
{
	int64_t i, n;

	DC_TRY(dc_frame_part(f, &i, &n));
	if (i != s->part || (s->part > 0 && n != s->parts))
		return dc_frame_err(f, "part %lld of %lld, wanted part %lld of %lld", (long long)i, (long long)n,
		    (long long)s->part, (long long)(s->part ? s->parts : n));
	if (i == 0)
		DC_TRY(begin_batch(s, f));
	if (f->step != s->step)
		return dc_frame_err(f, "part %lld is of step %llu, the parts before of step %llu", (long long)i,
		    (unsigned long long)f->step, (unsigned long long)s->step);
	s->alone = n == 1;
	DC_TRY(take_part(s, f));
	s->parts = n;
	s->part = i + 1 < n ? i + 1 : 0;
	return s->part == 0;
}

/* --- the answer --- */

static int
write_skip(struct loss *s, struct dc_out *out)
{
	dc_put_bool(&s->b, "skip", 1);
	if (s->has_position)
		dc_put_int(&s->b, "position", s->position);
	return dc_frame_write(out, "dfeatures", s->step, &s->b);
}

static void
put_rows(struct dc_body *b, const char *name, const dc_real *p, int64_t from, int64_t to, int64_t cols)
{
	dc_put_data(b, name, DC_REAL_TYPE, 2, (int64_t[]){ to - from, cols }, p + from * cols);
}

static void
put_values(const struct loss *s, struct dc_body *b, const struct dc_loss_out *r)
{
	const double once = s->n_local >= 0 && s->rank > 0 ? 0 : 1;   /* the ranks' gradients are summed */
	size_t n = 1;

	for (int t = 0; t < DC_TERMS; t++)
		n += r->active[t] != 0;
	dc_put_double(b, "logit_scale", once * r->d_logit_scale);
	if (s->wanted[FT])
		dc_put_double(b, "filip_logit_scale", once * r->d_filip_logit_scale);
	if (s->c.weight[DC_TERM_SIGLIP] > 0)
		dc_put_double(b, "logit_bias", once * r->d_logit_bias);
	if (s->n_local >= 0)
		dc_put_int(b, "batch_size", s->batch);
	if (s->c.weight[DC_TERM_SIMSIAM] > 0)
		dc_put_double(b, "simsiam_std", r->simsiam_std);
	dc_put_map(b, "loss", n);
	for (int t = 0; t < DC_TERMS; t++)
		if (r->active[t])
			dc_put_double(b, dc_term_names[t], r->value[t]);
	dc_put_double(b, "total", r->total);
	dc_put_map(b, "accuracy", 2);
	dc_put_double(b, "i2t", r->accuracy_i2t);
	dc_put_double(b, "t2i", r->accuracy_t2i);
}

/* FILIP's tokens of the samples [from, to). */
static void
put_tokens(struct loss *s, int64_t from, int64_t to)
{
	const int64_t image = s->tokens * s->filip_width, word = s->filip_off[from], words = s->filip_off[to] - word;

	dc_put_data(&s->b, key[FI], DC_REAL_TYPE, 3, (int64_t[]){ to - from, s->tokens, s->filip_width },
	    s->in[FI].p + from * image);
	dc_put_data(&s->b, key[FT], DC_REAL_TYPE, 2, (int64_t[]){ words, s->filip_width }, s->in[FT].p + word * s->filip_width);
}

/* Part i of n: its share of the rows of every gradient and of nn_enqueue; with the first, what is not per sample. */
static int
write_part(struct loss *s, const struct dc_loss_out *r, int64_t i, int64_t n, struct dc_out *out)
{
	const int64_t N = s->in[I1].rows;

	for (int k = 0; k < FI; k++) {
		const struct matrix *m = &s->in[k];
		if (s->wanted[k] && k != Z1 && k != Z2)
			put_rows(&s->b, key[k], m->p, m->rows * i / n, m->rows * (i + 1) / n, m->cols);
	}
	if (s->wanted[FI])
		put_tokens(s, N * i / n, N * (i + 1) / n);
	if (r->nn_enqueue)
		put_rows(&s->b, "nn_enqueue", r->nn_enqueue, r->n_enqueue * i / n, r->n_enqueue * (i + 1) / n, s->q.D);
	if (i == 0 && s->wanted[NLL])
		dc_put_data(&s->b, key[NLL], DC_REAL_TYPE, 1, &s->in[NLL].rows, s->in[NLL].p);
	if (i == 0)
		put_values(s, &s->b, r);
	if (s->has_position)
		dc_put_int(&s->b, "position", s->position);
	if (n > 1)
		dc_put_part(&s->b, i, n);
	return dc_frame_write(out, "dfeatures", s->step, &s->b);
}

/* FILIP's words of the samples that are ours. */
static void
keep_words(struct loss *s)
{
	const int64_t F = s->filip_width;
	int32_t at = 0;

	for (int64_t i = 0; i < s->n_local; i++) {
		const int32_t from = s->filip_off[s->local[i]], n = s->filip_off[s->local[i] + 1] - from;

		memmove(s->in[FT].p + at * F, s->in[FT].p + from * F, (size_t)(n * F) * sizeof(dc_real));
		s->filip_off[i] = at;   /* i <= local[i]: what is read next still stands */
		at += n;
	}
	s->filip_off[s->n_local] = at;
	s->in[FT].rows = at;
}

/* Of several ranks each answers for its own samples: their rows of the gradients move to the front. */
static void
keep_local(struct loss *s)
{
	if (s->n_local < 0)
		return;
	if (s->wanted[FT])
		keep_words(s);
	for (int k = 0; k < NLL; k++) {
		struct matrix *m = &s->in[k];

		for (int64_t i = 0; s->wanted[k] && i < s->n_local; i++)
			memmove(m->p + i * m->cols, m->p + s->local[i] * m->cols, (size_t)m->cols * sizeof(dc_real));
		m->rows = s->wanted[k] ? s->n_local : m->rows;
	}
	if (s->wanted[NLL]) {
		memmove(s->in[NLL].p, s->in[NLL].p + s->local_mlm[0], (size_t)s->local_mlm[1] * sizeof(dc_real));
		s->in[NLL].rows = s->local_mlm[1];
	}
}

/* A bound: what a sample has in an answer. */
static int64_t
row_bytes(const struct loss *s)
{
	int64_t bytes = 0, N = s->in[I1].rows > 0 ? s->in[I1].rows : 1;

	for (int k = 0; k < NLL; k++)
		bytes += s->wanted[k] ? s->in[k].rows * s->in[k].cols * (int64_t)sizeof(dc_real) : 0;
	bytes += s->wanted[FT] ? s->in[FT].rows * s->in[FT].cols * (int64_t)sizeof(dc_real) : 0;
	return (bytes + 2 * N * s->q.D * (int64_t)sizeof(dc_real)) / N + 1;
}

static int64_t
rows_per_frame(const struct loss *s)
{
	const int64_t bytes = row_bytes(s);

	return o.rows ? o.rows : bytes < FRAME_BYTES ? FRAME_BYTES / bytes : 1;
}

static int
write_answer(struct loss *s, const struct dc_loss_out *r, struct dc_out *out)
{
	const int64_t N = s->in[I1].rows, per = rows_per_frame(s), n = N ? (N + per - 1) / per : 1;
	int ret = DC_FRAME;

	dc_body_room(&s->b, (size_t)(row_bytes(s) * (per < N ? per : N)));
	for (int64_t i = 0; i < n && ret == DC_FRAME; i++)
		ret = write_part(s, r, i, n, out);
	if (n > 1)
		dc_body_free(&s->b);
	return ret;
}

/* --- a batch --- */

static dc_real *
rows_at(const struct loss *s, int k)
{
	return s->wanted[k] ? s->in[k].p : NULL;
}

/* Each gradient takes its input's place: a batch of 65,536 is gigabytes. */
static void
wire(struct loss *s, struct dc_loss_in *in, struct dc_loss_out *r)
{
	for (int v = 0; v < 2; v++) {
		in->image_features[v] = r->d_image_features[v] = rows_at(s, I1 + v);
		in->text_features[v] = r->d_text_features[v] = rows_at(s, T1 + v);
		in->simsiam_z[v] = rows_at(s, Z1 + v);
		in->simsiam_p[v] = r->d_simsiam_p[v] = rows_at(s, P1 + v);
		in->simclr_z[v] = r->d_simclr_z[v] = rows_at(s, S1 + v);
	}
	in->filip_image = r->d_filip_image = rows_at(s, FI);
	in->filip_text = r->d_filip_text = rows_at(s, FT);
	in->filip_off = s->filip_off;
	in->mlm_nll = r->d_mlm_nll = rows_at(s, NLL);
}

/* Without a state: an empty queue, as soon as D and N are known. */
static void
queue_of_our_own(struct loss *s)
{
	if (!(s->c.weight[DC_TERM_NNS] > 0) || s->q.rows)
		return;
	s->q = (struct dc_nn_queue){ .length = s->c.queue, .D = (int)s->in[I1].cols };
	s->q.rows = dc_xcalloc((size_t)s->q.length * s->q.D, sizeof *s->q.rows);
	if (s->c.nns_after == 0)
		s->c.nns_after = 4 * s->in[I1].rows > 1024 ? 4 * s->in[I1].rows : 1024;
}

static void
warn_not_finite(const struct loss *s, const struct dc_loss_out *r)
{
	char terms[200] = "";
	size_t n = 0;

	if (isfinite(r->total + r->d_logit_scale + r->d_filip_logit_scale + r->d_logit_bias))
		return;
	for (int t = 0; t < DC_TERMS; t++)
		if (r->active[t] && n < sizeof terms)
			n += snprintf(terms + n, sizeof terms - n, ", %s %g", dc_term_names[t], r->value[t]);
	dc_warn("step %llu: the loss is not finite: total %g%s, d(logit_scale) %g", (unsigned long long)s->step, r->total,
	    terms, r->d_logit_scale);
}

/* A scale within its limits. */
static double
limited(const struct loss *s, double logit_scale)
{
	return isnan(logit_scale) ? NAN : fmin(fmax(logit_scale, s->c.logit_scale_min), s->c.logit_scale_max);
}

static int
on_features(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct loss *s = arg;
	struct dc_loss_out r = { 0 };
	struct dc_loss_in in = { 0 };
	int whole = gather(s, f);

	if (whole <= 0)
		return whole < 0 ? DC_FAIL : DC_FRAME;
	s->batches++;
	s->samples += s->in[I1].rows;
	if (o.verbose)
		dc_progress_to(&s->progress, s->samples);
	if (s->in[I1].rows < 2)
		return write_skip(s, out);
	DC_TRY(check_whole(s, f));
	DC_TRY(check_local(s, f));
	s->batch = s->in[I1].rows;
	if (!s->alone)
		dc_frame_empty(f);
	queue_of_our_own(s);
	in.N = (int)s->in[I1].rows;
	in.D = (int)s->in[I1].cols;
	in.Z = (int)s->in[Z1].cols;
	in.M = s->in[NLL].rows;
	in.S = (int)s->in[S1].cols;
	in.G = (int)s->tokens;
	in.F = (int)s->filip_width;
	in.logit_scale = limited(s, s->logit_scale);
	in.filip_logit_scale = limited(s, s->filip_logit_scale);
	in.logit_bias = s->logit_bias;
	wire(s, &in, &r);
	if (dc_loss_compute(&s->c, &in, &s->q, &r, s->w) < 0)
		return dc_frame_err(f, "%s", dc_err());
	warn_not_finite(s, &r);
	keep_local(s);
	return write_answer(s, &r, out);
}

static int
on_end(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct loss *s = arg;

	if (s->part > 0 && !s->stopped)
		return dc_frame_err(f, "the features of step %llu are not whole: %lld of %lld parts came",
		    (unsigned long long)s->step, (long long)s->part, (long long)s->parts);
	return dc_frame_pass(out, f);
}

/* After a stop a batch may stay in pieces. */
static int
on_stop(void *arg, struct dc_frame *f, struct dc_out *out)
{
	((struct loss *)arg)->stopped = 1;
	return dc_frame_pass(out, f);
}

/* --- --list --- */

static double
default_weight(const char *method, int released, enum dc_term t)
{
	struct dc_config c = { 0 };

	return dc_config_method(&c, method, released) < 0 ? NAN : c.weight[t];
}

static int
list(void)
{
	const char *what;
	enum dc_term t;

	for (const struct dc_loss_method *m = dc_loss_methods; m->name; m++) {
		printf("%s%s: %s\n", m == dc_loss_methods ? "" : "\n", m->name, m->what);
		printf("  %-8s %6s %9s\n", "term", "paper", "released");
		for (int i = 0; dc_loss_method_term(m, i, &t, &what) == 0; i++)
			printf("  %-8s %6g %9g  %s\n", dc_term_names[t], default_weight(m->name, 0, t),
			    default_weight(m->name, 1, t), what);
	}
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
	return DC_EXIT_OK;
}

static void
free_all(struct loss *s)
{
	for (int k = 0; k < INPUTS; k++)
		free(s->in[k].own);
	free(s->q.rows);
	free(s->filip_off);
	free(s->local);
	dc_body_free(&s->b);
	dc_loss_work_free(s->w);
}

int
main(int argc, char **argv)
{
	static const struct dc_filter table[] = {
		{ "state", on_state }, { "features", on_features }, { "stop", on_stop }, { "end", on_end }, { NULL, NULL }
	};
	struct loss s = { 0 };
	int status, first;

	dc_main_init("dc-loss");
	dc_blas_start(argv);
	if (dc_config_method(&s.c, "declip", 0) < 0)
		dc_die("%s", dc_err());
	o = (struct opts){ .method = "declip", .as = "paper", .queue = s.c.queue, .lo = s.c.logit_scale_min,
		.hi = s.c.logit_scale_max };
	memcpy(o.weight, s.c.weight, sizeof o.weight);
	first = dc_opts_parse(argc, argv, "[options] <features >dfeatures",
	    "computes the objective on features and its gradient", options);
	dc_stall_start(&stall);
	if (first < argc)
		dc_die_usage("unexpected argument '%s': features come on standard input", argv[first]);
	if (o.list)
		return list();
	config_from_options(&s.c);
	choose_inputs(&s);
	s.w = dc_loss_work_new(0, 0);
	dc_progress_init(&s.progress, "samples", 0, 0);
	status = dc_filter_run(table, &s);
	if (o.verbose)
		dc_progress_end(&s.progress, s.batches, 1);
	free_all(&s);
	return status;
}
