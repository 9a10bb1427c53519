/* SPDX-License-Identifier: MIT */
/* dc-encode: the towers. With --loop it trains: views -> features, d(features) -> gradients, one trip after the other
 * round the ring. With --model it encodes only. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/opts.h"
#include "base/progress.h"
#include "nn/blas.h"
#include "nn/encoder.h"
#include "nn/gemm.h"
#include "store/model.h"
#include "stream/gather.h"
#include "stream/stall.h"

void openblas_set_num_threads(int n);
int openblas_get_parallel(void); /* 2: the OpenMP build */

static struct {
	const char *loop, *model, *only, *freeze, *profile;
	int64_t threads, read_ahead, keep, share;
	int hidden, tokens, by_value, recompute, sync_bn, verbose;
} o = { .read_ahead = -1, .keep = -1, .share = 1 };

static struct dc_stall stall = DC_STALL_DEFAULT;

static const struct dc_opt table[] = {
	DC_OPT_STR("loop", 'l', &o.loop, "FIFO", "train: take parameters and d(features) from this FIFO"),
	DC_OPT_STR("model", 'm', &o.model, "MODEL", "encode only, with this run, model directory or .safetensors file"),
	DC_OPT_CHOICE("only", 0, &o.only, "images|captions", "encode only these of each frame"),
	DC_OPT_FLAG("hidden", 0, &o.hidden, "encode only images, as they are before the projection"),
	DC_OPT_FLAG("tokens", 0, &o.tokens, "encode only: also FILIP's tokens, which dc-recall and dc-zeroshot compare"),
	DC_OPT_STR("freeze", 0, &o.freeze, "LIST", "conv1, image, text, bn or none; must be what the run's config says"),
	DC_OPT_INT("read-ahead", 0, &o.read_ahead, 0, 1 << 20, "MB", "read this much of the next batch while waiting [one batch]"),
	DC_OPT_INT("keep-activations", 0, &o.keep, 0, 1 << 30, "MB", "keep so much for the backward pass, compute the rest again [half of what is free]"),
	DC_OPT_INT("share", 0, &o.share, 1, 1 << 20, "N", "so many of these run here, and each takes an Nth of that half"),
	DC_OPT_FLAG("recompute", 0, &o.recompute, "keep only what goes into a transformer's blocks, compute again what is in them"),
	DC_OPT_FLAG("by-value", 0, &o.by_value, "put gradients into the frames, not into the shared file"),
	DC_OPT_FLAG("sync-bn", 0, &o.sync_bn, "the batch norms of the heads take the batch of all ranks (dc-mpi adds up)"),
	DC_OPT_STR("profile", 0, &o.profile, "FILE", "write there at the end where a training step's time went"),
	DC_OPT_INT("threads", 'j', &o.threads, 0, 4096, "N", "threads of the matrix products [all processors]"),
	DC_OPTS_STALL(&stall),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

/* What travels unchanged from a batch to its features. */
static const char *const carried[] = { "id", "slot", "epoch", "key", "label" };
enum { N_CARRIED = sizeof carried / sizeof *carried, BY_VALUE_FRAME = 1 << 29, FEATURES_FRAME = 64 << 20,
	HELD_MAX = 64 << 20 };

static void
key_of(char *s, size_t n, const char *name, int view)
{
	snprintf(s, n, "%s.%d", name, view);
}

static void
use_threads(void)
{
	if (o.threads) {
		omp_set_num_threads((int)o.threads);
		openblas_set_num_threads((int)o.threads);
	}
	if (openblas_get_parallel() == 1)
		dc_warn("this OpenBLAS brings its own threads; install libopenblas-openmp (one thread pool for all)");
}

/* --- the tensors of one part, checked against the model --- */

static int
image_view(struct dc_frame *f, const struct dc_config *c, int view, struct dc_tensor *t)
{
	int S = c->vision.image_size;
	char key[32];

	key_of(key, sizeof key, "image", view);
	DC_TRY(dc_frame_tensor(f, key, DC_U8, 4, t));
	if (t->shape[1] != S || t->shape[2] != S || t->shape[3] != 3 || !t->data)
		return dc_frame_err(f, "%s: images of %lld x %lld, the model takes %d x %d (dc-augment --size %d)", key,
		    (long long)t->shape[2], (long long)t->shape[1], S, S, S);
	return 0;
}

static int
tokens(struct dc_frame *f, const struct dc_config *c, const char *key, struct dc_tensor *t)
{
	DC_TRY(dc_frame_tensor(f, key, DC_I32, 2, t));
	if (t->shape[1] != c->text.context_length || !t->data)
		return dc_frame_err(f, "%s: captions of %lld tokens, the model takes %d (dc-tokenize --context %d)", key,
		    (long long)t->shape[1], c->text.context_length, c->text.context_length);
	return 0;
}

static int
token_view(struct dc_frame *f, const struct dc_config *c, int view, struct dc_tensor *t)
{
	char key[32];

	key_of(key, sizeof key, "token", view);
	return tokens(f, c, key, t);
}

static int
rows_are(struct dc_frame *f, const char *what, const struct dc_tensor *t, int64_t n)
{
	return t->shape[0] == n ? 0 : dc_frame_err(f, "%s has %lld rows, the part has %lld samples (training takes one caption an image: "
	    "dc-decode --captions draw or first)", what, (long long)t->shape[0], (long long)n);
}

/* --- FILIP's tokens, of n samples from `from` on --- */

static void
put_image_tokens(struct dc_body *b, const struct dc_enc *e, int from, int n)
{
	const int64_t F = e->c.filip_width, G = dc_config_tokens(&e->c);

	dc_put_data(b, "filip_image", DC_F32, 3, (int64_t[]){ n, G, F }, n ? e->filip_image + from * G * F : NULL);
}

/* filip_off begins with 0. There is none yet before the first sample. */
static void
put_words(struct dc_body *b, const struct dc_enc *e, int from, int n)
{
	const int64_t F = e->c.filip_width, first = n ? e->filip_off[from] : 0;
	int32_t *here = dc_xcalloc((size_t)n + 1, sizeof *here);

	for (int i = 0; n && i <= n; i++)
		here[i] = (int32_t)(e->filip_off[from + i] - first);
	dc_put_data(b, "filip_text", DC_F32, 2, (int64_t[]){ here[n], F }, here[n] ? e->filip_text + first * F : NULL);
	dc_put_data(b, "filip_off", DC_I32, 1, (int64_t[]){ n + 1 }, here);
	free(here);
}

/* --- encoding only --- */

struct encode {
	struct dc_model m; struct dc_heads heads;
	struct dc_enc *enc; struct dc_body body; struct dc_progress progress; uint64_t n, frames;
	int untrained;   /* FILIP trained tokens alone */
};

static int
encode_images(struct encode *e, struct dc_frame *f)
{
	char key[32];
	struct dc_tensor t;

	for (int v = 0; key_of(key, sizeof key, "image", v), dc_frame_get(f, key); v++) {
		DC_TRY(image_view(f, &e->m.c, v, &t));
		dc_enc_begin(e->enc, (int)t.shape[0], 0);
		dc_enc_image(e->enc, 0, 0, (int)t.shape[0], t.data);
		key_of(key, sizeof key, "image_features", v);
		dc_put_data(&e->body, key, DC_F32, 2, (int64_t[]){ t.shape[0], e->m.c.embed_dim }, e->enc->image_features[0]);
		if (o.tokens && !v)
			put_image_tokens(&e->body, e->enc, 0, (int)t.shape[0]);
		e->n += v ? 0 : (uint64_t)t.shape[0];
	}
	return 0;
}

static int
encode_texts(struct encode *e, struct dc_frame *f, int counted)
{
	char key[32];
	struct dc_tensor t;

	if (e->untrained && !o.tokens)
		dc_warn("%s: nothing trained its features of whole images and captions (clip has no weight); --tokens adds what FILIP "
		    "compares", o.model);
	e->untrained = 0;
	for (int v = 0; key_of(key, sizeof key, "token", v), dc_frame_get(f, key); v++) {
		DC_TRY(token_view(f, &e->m.c, v, &t));
		dc_enc_begin(e->enc, (int)t.shape[0], 0);
		if (dc_enc_text(e->enc, 0, 0, (int)t.shape[0], t.data) < 0)
			return dc_frame_err(f, "%s: %s", key, dc_err());
		key_of(key, sizeof key, "text_features", v);
		dc_put_data(&e->body, key, DC_F32, 2, (int64_t[]){ t.shape[0], e->m.c.embed_dim }, e->enc->text_features[0]);
		if (o.tokens && !v)
			put_words(&e->body, e->enc, 0, (int)t.shape[0]);
		e->n += v || counted ? 0 : (uint64_t)t.shape[0];
	}
	return 0;
}

/* Does the frame have what is asked for, and is it asked for? The captions of views are no tokens yet. */
static int
wanted(struct dc_frame *f, const char *key, const char *what, const char *maker)
{
	if (o.only && strcmp(o.only, what) != 0)
		return 0;
	if (o.only && !dc_frame_get(f, key))
		return dc_frame_err(f, "has no %s: %s makes it (--only %s)", key, maker, what);
	return dc_frame_get(f, key) != NULL;
}

static int
encode_frame(void *arg, struct dc_frame *f, struct dc_out *out)
{
	static const char *const more[] = { "position", "part" }, *const of_captions[] = { "caption_image", "line" };
	const struct dc_st_tensor *scale;
	struct encode *e = arg;
	int images, captions;

	DC_TRY(images = wanted(f, "image.0", "images", "dc-augment"));
	DC_TRY(captions = wanted(f, "token.0", "captions", "dc-tokenize"));
	if (!images && !captions)
		return dc_frame_err(f, "has neither image.0 nor token.0: nothing to encode");
	if (images)
		DC_TRY(encode_images(e, f));
	if (captions)
		DC_TRY(encode_texts(e, f, images));
	for (int i = 0; i < N_CARRIED; i++)
		dc_put_copy(&e->body, f, carried[i]);
	for (int i = 0; i < 2; i++)
		dc_put_copy(&e->body, f, more[i]);
	for (int i = 0; captions && i < 2; i++)
		dc_put_copy(&e->body, f, of_captions[i]);
	scale = dc_st_find(&e->m.st, "logit_scale");
	dc_put_double(&e->body, "logit_scale", *(const float *)scale->data);
	if (o.tokens)
		dc_put_double(&e->body, "filip_logit_scale", *(const float *)dc_st_find(&e->heads.st, "filip.logit_scale")->data);
	e->frames++;
	dc_progress_to(&e->progress, e->n);
	return dc_frame_write(out, "features", f->step, &e->body);
}

/* --hidden: a model with the projection I, whose features are then as wide as the tower; no captions, which have none. */
static const float *
unprojected(const struct dc_param *p)
{
	float *w = dc_xcalloc(p->n, sizeof *w);

	for (int64_t i = 0; p->image && p->ndim == 2 && i < p->shape[0]; i++)
		w[i * p->shape[1] + i] = 1;
	return w;
}

static int
is_projection(const char *name)
{
	return !strcmp(name, "visual.proj") || !strncmp(name, "visual.attnpool.c_proj.", 23) || !strncmp(name, "text_projection", strlen("text_projection"));
}

/* A head that is not there has no values: the encoder names it. */
static struct dc_weight *
weights_of(const struct dc_param *p, int *n, const struct encode *e)
{
	struct dc_weight *out = dc_xcalloc((size_t)*n, sizeof *out);
	int k = 0;

	for (int i = 0; i < *n; i++) {
		const struct dc_st_tensor *t = dc_st_find(p[i].head ? &e->heads.st : &e->m.st, p[i].name);

		if (t)
			out[k++] = (struct dc_weight){ .name = p[i].name, .n = p[i].n,
				.w = o.hidden && is_projection(p[i].name) ? unprojected(&p[i]) : t->data };
	}
	*n = k;
	return out;
}

/* --tokens: of the model's heads FILIP's, and of the methods that one. */
static int
with_tokens(struct encode *e)
{
	struct dc_config *c = &e->m.c;

	DC_TRY(dc_model_heads(&e->m, &e->heads));
	DC_CHECK(e->heads.c.weight[DC_TERM_FILIP] > 0, "%s: has no heads of FILIP, which --tokens needs: a model that was trained "
	    "with the term filip", o.model);
	c->filip_width = e->heads.c.filip_width;
	c->released = e->heads.c.released;
	snprintf(c->method, sizeof c->method, "filip");
	c->weight[DC_TERM_FILIP] = 1;
	return 0;
}

static void
free_weights(struct dc_weight *w, int n)
{
	for (int i = 0; o.hidden && i < n; i++)
		if (is_projection(w[i].name))
			free((float *)w[i].w);
	free(w);
}

static int
untrained(const struct dc_model *m)
{
	struct dc_config c;
	int run = dc_model_run(m, &c);

	if (run < 0)
		dc_die("%s", dc_err());
	return run && c.weight[DC_TERM_FILIP] > 0 && c.weight[DC_TERM_CLIP] + c.weight[DC_TERM_MVS] + c.weight[DC_TERM_NNS] == 0;
}

static int
encode_only(void)
{
	static const struct dc_filter filter[] = { { "batch", encode_frame }, { "views", encode_frame }, { NULL, NULL } };
	struct encode e = { 0 };
	struct dc_weight *w;
	struct dc_param *p;
	int n, status;

	if (dc_model_open(&e.m, o.model) < 0)
		dc_die("%s", dc_err());
	e.untrained = untrained(&e.m);
	if (o.tokens && with_tokens(&e) < 0)
		dc_die("%s", dc_err());
	if (o.hidden)
		e.m.c.embed_dim = dc_config_image_width(&e.m.c);
	n = dc_params_list(&e.m.c, &p);
	w = weights_of(p, &n, &e);
	if (!(e.enc = dc_enc_new(&e.m.c, w, n, 0)))
		dc_die("%s: %s", o.model, dc_err());
	dc_progress_init(&e.progress, "samples", 0, 0);
	status = dc_filter_run(filter, &e);
	dc_progress_end(&e.progress, e.frames, o.verbose);
	dc_enc_free(e.enc);
	dc_heads_close(&e.heads);
	dc_model_close(&e.m);
	dc_body_free(&e.body);
	free_weights(w, n);
	free(p);
	return status;
}

/* --- training --- */

/* Whom it waits for: the data tools, dc-loss (and dc-step, which hands its answer on), dc-step. */
enum waits { FOR_DATA, FOR_LOSS, FOR_STEP, FOR_RANKS, WAITS };
static const char *const wait_names[WAITS] = { "waiting for batches", "waiting for dc-loss", "waiting for dc-step",
	"waiting for batch norms of other ranks" };

struct tensor { struct dc_param p; float *w, *g; int in_gradients; };

struct train {
	struct dc_in in, loop;         /* batches; state, d(features), parameters */
	struct dc_out out;
	struct dc_frame f, lf;         /* a frame of each that is being read */
	struct dc_gather now, next;    /* this batch, and what was read ahead of the one after it */
	struct dc_frame *held; int n_held, held_cap; size_t held_bytes; /* others' frames, read ahead too */
	struct dc_body body;
	struct dc_config c;
	struct dc_enc *enc;
	struct dc_param *param; struct tensor *t; int n_t;
	struct dc_st parameters, gradients; /* the shared files */
	int by_value;
	uint8_t **pixels; int n_pixels, pixels_cap; /* of this batch, what frames do not have in one piece */
	int zeroed;                    /* the gradients are zero: dc-step says so */
	uint64_t step;                 /* the optimizer's */
	int64_t hash;                  /* of the parameters, as dc-step says: for the next features; 0: none */
	struct dc_sync sync; int synced; /* with --sync-bn; what it came to, DC_FRAME or an end */
	double wait;                   /* seconds waited for neighbours in this step */
	int stopped;                   /* `stop` came on the loop */
	int end_seen;                  /* `end` came on stdin, kept in f */
	int in_lost;                   /* stdin ended without it */
	struct dc_progress progress; uint64_t samples, steps;
	struct dc_laps laps; double waited[WAITS], first, last; /* of the steps but the first; when those began and ended */
};

static void
add_wait(struct train *t, enum waits whom, double since)
{
	double s = dc_seconds() - since;

	t->wait += s;
	t->waited[whom] += s;
}

/* All that follows returns DC_FRAME to go on, DC_EOF when the training is over, DC_FAIL or DC_GONE. */

static int
take_stop(struct train *t)
{
	t->stopped = 1;
	return DC_EOF;
}

static void
hold(struct train *t)
{
	if (t->n_held == t->held_cap) {
		t->held_cap = t->held_cap ? 2 * t->held_cap : 16;
		t->held = dc_xrealloc(t->held, (size_t)t->held_cap, sizeof *t->held);
	}
	t->held[t->n_held] = (struct dc_frame){ 0 };
	t->held_bytes += t->f.bytes;
	dc_frame_move(&t->held[t->n_held++], &t->f);
}

static int
pass_held(struct train *t)
{
	int r = DC_FRAME;

	for (int i = 0; i < t->n_held; i++) {
		r = r == DC_FRAME ? dc_frame_pass(&t->out, &t->held[i]) : r;
		dc_frame_free(&t->held[i]);
	}
	t->n_held = 0;
	t->held_bytes = 0;
	return r;
}

/* Read one frame of stdin into `next`, or what of it there is. DC_FRAME: one came. DC_OTHER: the loop has something.
 * `ahead`: dc-step may be writing the loop. It reads nothing then, so others' frames wait here, or all would wait for
 * one another. */
static int
read_stdin(struct train *t, int ahead)
{
	int r = dc_frame_read(&t->in, &t->f);

	if (r == DC_EOF)
		t->in_lost = 1; /* no `end`: the neighbour died, or the file is truncated */
	if (r != DC_FRAME)
		return r == DC_EOF ? DC_GONE : r;
	if (!strcmp(t->f.kind, "end"))
		t->end_seen = 1;
	else if (!strcmp(t->f.kind, "batch"))
		return dc_gather_add(&t->next, &t->f) < 0 ? DC_FAIL : DC_FRAME;
	else if (ahead)
		hold(t);
	else
		return dc_frame_pass(&t->out, &t->f);
	return DC_FRAME;
}

static int
may_read_ahead(const struct train *t)
{
	return !t->end_seen && !dc_gather_whole(&t->next) && t->held_bytes < HELD_MAX && (o.read_ahead < 0 || t->next.bytes >> 20 < (uint64_t)o.read_ahead);
}

/* The next frame of the loop into lf; reads ahead on stdin meanwhile. */
static int
read_loop(struct train *t, enum waits whom)
{
	double start = dc_seconds();
	int r;

	do {
		t->loop.n_watch = 1; /* stdout; and stdin while there is room */
		if (may_read_ahead(t) && dc_in_buffered(&t->in))
			r = DC_OTHER;
		else {
			if (may_read_ahead(t))
				dc_in_watch(&t->loop, t->in.fd, POLLIN);
			r = dc_frame_read(&t->loop, &t->lf);
		}
		if (r == DC_OTHER && (r = read_stdin(t, 1)) == DC_FRAME)
			r = DC_OTHER;
	} while (r == DC_OTHER);
	add_wait(t, whom, start);
	if (r == DC_EOF)
		return DC_GONE; /* dc-step closes the loop only after `end` */
	if (r == DC_FRAME && !strcmp(t->lf.kind, "stop"))
		return take_stop(t);
	return r;
}

/* The whole next batch into `now`. DC_EOF: `end` came, or `stop`. */
static int
next_batch(struct train *t)
{
	struct dc_gather swap = t->now;
	double start = dc_seconds();
	int r = pass_held(t);

	dc_gather_clear(&swap);
	while (r == DC_FRAME && !dc_gather_whole(&t->next) && !t->end_seen) {
		if (dc_in_buffered(&t->loop) || (r = read_stdin(t, 0)) == DC_OTHER)
			if ((r = dc_frame_read(&t->loop, &t->lf)) == DC_FRAME)
				r = strcmp(t->lf.kind, "stop") ? dc_frame_err(&t->lf, "unexpected here") : take_stop(t);
	}
	add_wait(t, FOR_DATA, start);
	if (r != DC_FRAME)
		return r == DC_EOF && !t->stopped ? DC_GONE : r;
	if (!dc_gather_whole(&t->next)) {
		if (t->next.n)
			return dc_frame_err(&t->f, "the end comes after part %d of %lld of a batch", t->next.n, (long long)t->next.want);
		return DC_EOF;
	}
	t->now = t->next;
	t->next = swap;
	return DC_FRAME;
}

/* Between two parts: is the reader of stdout alive, has `stop` come? */
static int
look_round(struct train *t)
{
	struct pollfd p[2] = { { .fd = t->out.fd }, { .fd = t->loop.fd, .events = POLLIN } };
	int r;

	if (!dc_in_buffered(&t->loop) && poll(p, 2, 0) <= 0)
		return DC_FRAME;
	if (p[0].revents & (POLLERR | POLLHUP | POLLNVAL))
		return DC_GONE;
	if (!p[1].revents && !dc_in_buffered(&t->loop))
		return DC_FRAME;
	if ((r = dc_frame_read(&t->loop, &t->lf)) != DC_FRAME)
		return r == DC_EOF ? DC_GONE : r;
	return strcmp(t->lf.kind, "stop") ? dc_frame_err(&t->lf, "unexpected here") : take_stop(t);
}

/* --- start: state, parameters, the shared files --- */

static int
take_config(struct train *t)
{
	struct dc_str s;
	int freeze;

	DC_TRY(dc_frame_str(&t->lf, "config", &s));
	DC_TRY(dc_config_parse(&t->c, s.p, s.n));
	if (o.freeze) {
		DC_TRY(dc_config_freeze(o.freeze, &freeze));
		DC_CHECK(freeze == t->c.freeze, "--freeze %s contradicts the run's config (dc-init decides it)", o.freeze);
	}
	return dc_frame_pass(&t->out, &t->lf);
}

static int
frozen(const struct dc_config *c, const struct dc_param *p)
{
	return p->stat || (c->freeze & DC_FREEZE_CONV1 && !strcmp(p->name, "visual.conv1.weight")) ||
	    (c->freeze & DC_FREEZE_IMAGE && p->image) || (c->freeze & DC_FREEZE_TEXT && p->text);
}

static int
open_shared(struct train *t)
{
	char *fifo = dc_xstrdup(o.loop), *path = dc_xasprintf("%s/shm", dirname(fifo));
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (dir < 0)
		r = dc_err_errno("%s", path);
	else if ((r = dc_st_open(&t->parameters, dir, "parameters.safetensors", DC_ST_READ)) == 0 && !t->by_value)
		r = dc_st_open(&t->gradients, dir, "gradients.safetensors", DC_ST_WRITE);
	if (dir >= 0)
		close(dir);
	free(fifo);
	free(path);
	return r;
}

static int
bind_tensor(struct tensor *x, const struct dc_st *st, float **to)
{
	const struct dc_st_tensor *s = dc_st_find(st, x->p.name);

	DC_CHECK(s && s->type == DC_F32 && s->n == x->p.n, "%s: tensor %s is missing or has another size", st->path, x->p.name);
	*to = s->data;
	return 0;
}

static int
bind_tensors(struct train *t, int values)
{
	for (int i = 0; i < t->n_t; i++) {
		struct tensor *x = &t->t[i];
		int trains = !frozen(&t->c, &x->p);

		if (values)
			x->w = dc_xaligned(x->p.n, sizeof *x->w);
		else
			DC_TRY(bind_tensor(x, &t->parameters, &x->w));
		if (trains && t->by_value)
			x->g = dc_xaligned(x->p.n, sizeof *x->g);
		else if (trains)
			DC_TRY(bind_tensor(x, &t->gradients, &x->g));
	}
	return 0;
}

/* The tensor with this name, n_t if there is none. They come in our order, as a rule: looked for from `first` on. */
static int
find_tensor(const struct train *t, const msgpack_object *name, int first)
{
	for (int k = 0; k < t->n_t && name->type == MSGPACK_OBJECT_STR; k++) {
		int j = (first + k) % t->n_t;

		if (strlen(t->t[j].p.name) == name->via.str.size && !memcmp(t->t[j].p.name, name->via.str.ptr, name->via.str.size))
			return j;
	}
	return t->n_t;
}

/* The tensors that a parameters frame names: by value into our own, by reference they are already mapped. */
static int
take_parameters(struct train *t)
{
	const msgpack_object *map = dc_frame_get(&t->lf, "parameter");
	struct dc_tensor x;
	int named = 0, j = -1;

	if (!map || map->type != MSGPACK_OBJECT_MAP)
		return dc_frame_err(&t->lf, "has no map 'parameter'");
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		if ((j = find_tensor(t, &map->via.map.ptr[i].key, j + 1)) == t->n_t)
			continue;
		named++;
		DC_TRY(dc_object_tensor(&t->lf, t->t[j].p.name, &map->via.map.ptr[i].val, &x));
		if (x.n != t->t[j].p.n || x.type != DC_F32)
			return dc_frame_err(&t->lf, "%s: has another size than the config says", t->t[j].p.name);
		if (!x.data != !!t->parameters.map)
			return dc_frame_err(&t->lf, "%s: comes by %s, others did not", t->t[j].p.name, x.data ? "value" : "reference");
		if (x.data)
			memcpy(t->t[j].w, x.data, x.bytes);
	}
	if (named != t->n_t)
		return dc_frame_err(&t->lf, "names %d of the model's %d tensors", named, t->n_t);
	t->step = t->lf.step;
	t->zeroed = 0;
	t->hash = 0;
	if (dc_frame_get(&t->lf, "parameter_hash"))
		DC_TRY(dc_frame_int(&t->lf, "parameter_hash", &t->hash));
	if (!t->by_value && dc_frame_get(&t->lf, "zeroed"))
		DC_TRY(dc_frame_bool(&t->lf, "zeroed", &t->zeroed));
	return DC_FRAME;
}

static int
values_in(const struct dc_frame *f)
{
	const msgpack_object *map = dc_frame_get(f, "parameter");

	if (map && map->type == MSGPACK_OBJECT_MAP && map->via.map.size) {
		const msgpack_object *v = &map->via.map.ptr[0].val;
		for (uint32_t i = 0; v->type == MSGPACK_OBJECT_MAP && i < v->via.map.size; i++)
			if (v->via.map.ptr[i].key.type == MSGPACK_OBJECT_BIN && v->via.map.ptr[i].key.via.bin.size == 4 &&
			    !memcmp(v->via.map.ptr[i].key.via.bin.ptr, "data", 4))
				return 1;
	}
	return 0;
}

/* What has been taken so far, by the other tools too, is not free any more. A limit changes no result. */
static void
limit_activations(struct train *t)
{
	const size_t there = o.keep < 0 ? dc_memory_available() : 0;

	dc_enc_keep(t->enc, o.keep >= 0 ? (size_t)o.keep << 20 : there < SIZE_MAX ? there / 2 / (size_t)o.share : SIZE_MAX, o.recompute);
}

/* Hand sums to dc-mpi and wait for those of all ranks, which come round the ring. */
static int
exchange_sums(struct train *t, double *x, size_t n)
{
	struct dc_tensor all;
	int r;

	dc_put_data(&t->body, "sums", DC_F64, 1, (int64_t[]){ (int64_t)n }, x);
	r = dc_frame_write(&t->out, "reduce", t->step, &t->body);
	while (r == DC_FRAME && (r = read_loop(t, FOR_RANKS)) == DC_FRAME && strcmp(t->lf.kind, "reduce"))
		r = dc_frame_pass(&t->out, &t->lf);
	if (r != DC_FRAME)
		return r;
	DC_TRY(dc_frame_tensor(&t->lf, "sums", DC_F64, 1, &all));
	if (all.n != n || !all.data)
		return dc_frame_err(&t->lf, "sums has %zu numbers, wanted %zu", all.n, n);
	memcpy(x, all.data, all.bytes);
	return DC_FRAME;
}

static int
sum_over_ranks(void *arg, double *x, size_t n)
{
	struct train *t = arg;

	if (t->synced == DC_FRAME)
		t->synced = exchange_sums(t, x, n);
	return t->synced == DC_FRAME ? 0 : -1;
}

static int
build(struct train *t)
{
	struct dc_weight *w;
	int values = values_in(&t->lf);

	t->by_value = o.by_value || values;
	t->n_t = dc_params_list(&t->c, &t->param);
	t->t = dc_xcalloc((size_t)t->n_t, sizeof *t->t);
	w = dc_xcalloc((size_t)t->n_t, sizeof *w);
	for (int i = 0; i < t->n_t; i++)
		t->t[i].p = t->param[i];
	if (!values || !t->by_value)
		DC_TRY(open_shared(t));
	DC_TRY(bind_tensors(t, values));
	DC_TRY(take_parameters(t));
	for (int i = 0; i < t->n_t; i++)
		w[i] = (struct dc_weight){ t->t[i].p.name, t->t[i].p.n, t->t[i].w, t->t[i].g };
	t->enc = dc_enc_new(&t->c, w, t->n_t, 1);
	free(w);
	if (!t->enc)
		return DC_FAIL;
	dc_enc_watch(t->enc, &t->laps);
	limit_activations(t);
	t->sync = (struct dc_sync){ sum_over_ranks, t };
	if (o.sync_bn)
		dc_enc_sync(t->enc, &t->sync);
	return DC_FRAME;
}

static int
start(struct train *t)
{
	int r;

	while ((r = read_loop(t, FOR_STEP)) == DC_FRAME && strcmp(t->lf.kind, "parameters"))
		if ((r = strcmp(t->lf.kind, "state") ? dc_frame_pass(&t->out, &t->lf) : take_config(t)) != DC_FRAME)
			break;
	if (r != DC_FRAME)
		return r;
	if (!t->c.embed_dim)
		return dc_frame_err(&t->lf, "came before a state frame");
	return build(t);
}

/* --- one step --- */

/* Room for pixels that stay until the next batch. */
static uint8_t *
pixel_room(struct train *t, size_t bytes)
{
	if (t->n_pixels == t->pixels_cap) {
		t->pixels_cap = t->pixels_cap ? 2 * t->pixels_cap : 16;
		t->pixels = dc_xrealloc(t->pixels, (size_t)t->pixels_cap, sizeof *t->pixels);
	}
	return t->pixels[t->n_pixels++] = dc_xmalloc(bytes);
}

static void
free_pixels(struct train *t)
{
	while (t->n_pixels)
		free(t->pixels[--t->n_pixels]);
}

/* The images of rows [row, row + n) of a view: where they are in one frame, there; else gathered out of several. */
static int
gather_images(struct train *t, const uint8_t **rgb, int view, int row, int n)
{
	const size_t S = (size_t)t->c.vision.image_size, bytes = S * S * 3;
	uint8_t *to = NULL;
	struct dc_tensor x;
	int at = 0;

	for (int i = 0; i < t->now.n && at < row + n; i++) {
		int rows, from, end;

		DC_TRY(image_view(&t->now.part[i], &t->c, view, &x));
		rows = (int)x.shape[0];
		from = row > at ? row - at : 0;
		end = row + n < at + rows ? row + n - at : rows;
		if (from < end && end - from == n) {
			*rgb = (const uint8_t *)x.data + (size_t)from * bytes;
			return 0;
		}
		if (from < end && !to)
			*rgb = to = pixel_room(t, (size_t)n * bytes);
		if (from < end)
			memcpy(to + (size_t)(at + from - row) * bytes, (const uint8_t *)x.data + (size_t)from * bytes, (size_t)(end - from) * bytes);
		at += rows;
	}
	return at < row + n ? dc_frame_err(&t->now.part[t->now.n - 1], "image.%d has fewer rows than image.0", view) : 0;
}

/* What a ResNet is normalised over is the run's choice (config's part), and not how the batch was cut into frames. */
static int
forward_images(struct train *t, int N)
{
	const uint8_t *rgb = NULL;
	int r;

	for (int row = 0; row < N; row += t->c.part) {
		const int n = N - row < t->c.part ? N - row : t->c.part;

		for (int v = 0; v < t->c.image_views; v++) {
			DC_TRY(gather_images(t, &rgb, v, row, n));
			dc_enc_image(t->enc, v, row, n, rgb);
			if ((r = look_round(t)) != DC_FRAME)
				return r;
		}
	}
	return DC_FRAME;
}

static int
forward_part(struct train *t, struct dc_frame *f, int row, int *n)
{
	const struct dc_config *c = &t->c;
	int mlm = c->weight[DC_TERM_MLM] > 0, r;
	struct dc_tensor x, target;

	for (int v = 0; v < c->image_views; v++) {
		DC_TRY(image_view(f, c, v, &x));
		if (!v)
			*n = (int)x.shape[0];
		DC_TRY(rows_are(f, "an image view", &x, *n));
		if (c->part)
			continue;   /* done before, in parts of their own */
		dc_enc_image(t->enc, v, row, *n, x.data);
		if ((r = look_round(t)) != DC_FRAME)
			return r;
	}
	for (int v = 0; v < c->caption_views; v++) {
		DC_TRY(v == 0 && dc_config_masked_text(c) ? tokens(f, c, "mlm_token", &x) : token_view(f, c, v, &x));
		DC_TRY(rows_are(f, "a caption view", &x, *n));
		if (dc_enc_text(t->enc, v, row, *n, x.data) < 0)
			return dc_frame_err(f, "token.%d: %s", v, dc_err());
	}
	if (mlm) {
		DC_TRY(tokens(f, c, "mlm_token", &x));
		DC_TRY(tokens(f, c, "mlm_target", &target));
		DC_TRY(rows_are(f, "mlm_token", &x, *n));
		DC_TRY(rows_are(f, "mlm_target", &target, *n));
		if (dc_enc_mlm(t->enc, row, *n, x.data, target.data) < 0)
			return dc_frame_err(f, "mlm_token: %s", dc_err());
	}
	return DC_FRAME;
}

static int
batch_rows(struct train *t, int *N)
{
	struct dc_tensor x;

	*N = 0;
	for (int i = 0; i < t->now.n; i++) {
		DC_TRY(image_view(&t->now.part[i], &t->c, 0, &x));
		*N += (int)x.shape[0];
	}
	return DC_FRAME;
}

/* A batch norm needs two rows; with those of other ranks this one may have none. */
static int
heads(const struct train *t)
{
	return t->enc->N >= 2 || o.sync_bn;
}

static int
forward(struct train *t)
{
	int N, n = 0, row = 0, r;

	if ((r = batch_rows(t, &N)) != DC_FRAME)
		return r;
	for (int i = 0; i < t->n_t && !t->zeroed; i++)
		if (t->t[i].g)
			memset(t->t[i].g, 0, t->t[i].p.n * sizeof *t->t[i].g);
	free_pixels(t);
	dc_enc_begin(t->enc, N, 1);
	if (t->c.part && (r = forward_images(t, N)) != DC_FRAME)
		return r;
	for (int i = 0; i < t->now.n; i++, row += n)
		if ((r = forward_part(t, &t->now.part[i], row, &n)) != DC_FRAME)
			return r;
	if (heads(t))
		dc_enc_heads(t->enc);
	return t->synced;
}

/* A parameter that is one number, or its gradient; NULL if it is not there. */
static float *
scalar(struct train *t, const char *name, int gradient)
{
	for (int i = 0; i < t->n_t; i++)
		if (!strcmp(t->t[i].p.name, name))
			return gradient ? t->t[i].g : t->t[i].w;
	return NULL;
}

/* Such parameters and their names in the frames. */
static const struct { const char *key, *name; } scalars[] = {
	{ "logit_scale", "logit_scale" }, { "filip_logit_scale", "filip.logit_scale" }, { "logit_bias", "logit_bias" },
};
enum { N_SCALARS = sizeof scalars / sizeof *scalars };

static void
put_scalars(struct train *t)
{
	for (int i = 0; i < N_SCALARS; i++)
		if (scalar(t, scalars[i].name, 0))
			dc_put_double(&t->body, scalars[i].key, *scalar(t, scalars[i].name, 0));
}

static int
take_scalars(struct train *t)
{
	for (int i = 0; i < N_SCALARS; i++) {
		float *g = scalar(t, scalars[i].name, 1);
		double d = 0;

		if (dc_frame_get(&t->lf, scalars[i].key))
			DC_TRY(dc_frame_double(&t->lf, scalars[i].key, &d));
		if (g)
			*g += (float)d;
	}
	return 0;
}

/* Put rows of [N,width] under name.view. */
static void
put_rows(struct train *t, const char *name, int view, const float *x, int from, int n, int width)
{
	char key[40];

	key_of(key, sizeof key, name, view);
	dc_put_data(&t->body, key, DC_F32, 2, (int64_t[]){ n, width }, x + (size_t)from * (size_t)width);
}

static void
put_feature_rows(struct train *t, int from, int n)
{
	const struct dc_enc *e = t->enc;

	for (int v = 0; v < dc_config_feature_views(&t->c); v++)
		put_rows(t, "image_features", v, e->image_features[v], from, n, t->c.embed_dim);
	for (int v = 0; v < t->c.caption_views; v++)
		put_rows(t, "text_features", v, e->text_features[v], from, n, t->c.embed_dim);
	for (int v = 0; v < 2 && t->c.weight[DC_TERM_SIMSIAM] > 0 && heads(t); v++) {
		put_rows(t, "simsiam_z", v, e->simsiam_z[v], from, n, t->c.simsiam_width);
		put_rows(t, "simsiam_p", v, e->simsiam_p[v], from, n, t->c.simsiam_width);
	}
	for (int v = 1; v <= 2 && t->c.weight[DC_TERM_SIMCLR] > 0 && heads(t); v++)
		put_rows(t, "simclr_z", v, e->simclr_z[v], from, n, t->c.simclr_width);
	if (t->c.weight[DC_TERM_FILIP] > 0) {
		put_image_tokens(&t->body, e, from, n);
		put_words(&t->body, e, from, n);
	}
}

static size_t
row_bytes(const struct dc_config *c)
{
	size_t floats = (size_t)(c->image_views + c->caption_views) * (size_t)c->embed_dim;

	floats += c->weight[DC_TERM_SIMSIAM] > 0 ? 4 * (size_t)c->simsiam_width : 0;
	floats += c->weight[DC_TERM_SIMCLR] > 0 ? 2 * (size_t)c->simclr_width : 0;
	if (c->weight[DC_TERM_FILIP] > 0)
		floats += (size_t)(dc_config_tokens(c) + c->text.context_length) * (size_t)c->filip_width;
	return sizeof(float) * floats;
}

/* The features of the whole batch: one frame, or several ranges of rows where they would be too large for one. */
static int
send_features(struct train *t)
{
	struct dc_frame *last = &t->now.part[t->now.n - 1];
	int N = t->enc->N, rows = (int)(FEATURES_FRAME / row_bytes(&t->c)), parts = N ? (N + rows - 1) / rows : 1, r = DC_FRAME;

	dc_body_room(&t->body, row_bytes(&t->c) * (size_t)(rows < N ? rows : N));
	for (int i = 0, from = 0; i < parts && r == DC_FRAME; i++, from += rows) {
		put_feature_rows(t, from, N - from < rows ? N - from : rows);
		if (!i && t->c.weight[DC_TERM_MLM] > 0)
			dc_put_data(&t->body, "mlm_nll", DC_F32, 1, &t->enc->M, t->enc->mlm_nll);
		put_scalars(t);
		for (int k = 0; !i && k < N_CARRIED; k++)
			DC_TRY(dc_gather_put(&t->body, &t->now, carried[k]));
		dc_put_copy(&t->body, last, "position");
		if (t->hash && !i)
			dc_put_int(&t->body, "parameter_hash", t->hash);
		dc_put_part(&t->body, i, parts);
		r = dc_frame_write(&t->out, "features", t->step, &t->body);
	}
	return r;
}

/* name.view of this frame into rows from *from on of x [N,width]; absent: zero. *rows = how many came. */
static int
take_rows(struct train *t, const char *name, int view, float *x, int64_t width, int from, int *rows)
{
	struct dc_tensor d;
	char key[40];

	key_of(key, sizeof key, name, view);
	if (!dc_frame_get(&t->lf, key))
		return 0;
	DC_TRY(dc_frame_tensor(&t->lf, key, DC_F32, 2, &d));
	if (!d.data || d.shape[1] != width || d.shape[0] > t->enc->N - from || !x)
		return dc_frame_err(&t->lf, "%s does not have the features' shape", key);
	memcpy(x + (size_t)from * (size_t)width, d.data, d.bytes);
	*rows = (int)d.shape[0];
	return 0;
}

static int
take_mlm(struct train *t)
{
	struct dc_tensor d;

	if (!dc_frame_get(&t->lf, "mlm_nll"))
		return 0;
	DC_TRY(dc_frame_tensor(&t->lf, "mlm_nll", DC_F32, 1, &d));
	if (!d.data || d.shape[0] != t->enc->M)
		return dc_frame_err(&t->lf, "mlm_nll has %lld values, wanted %lld", (long long)d.shape[0], (long long)t->enc->M);
	if (d.bytes) /* a batch in which nothing is masked may be the first: then there is no room for a gradient yet */
		memcpy(t->enc->d_mlm_nll, d.data, d.bytes);
	return 0;
}

/* The gradients of FILIP's tokens, of the samples from `from` on. */
static int
take_tokens(struct train *t, int from, int *rows)
{
	const int64_t F = t->c.filip_width, G = dc_config_tokens(&t->c);
	struct dc_enc *e = t->enc;
	struct dc_tensor d;
	int64_t word, n;

	if (!e->filip_off || !dc_frame_get(&t->lf, "filip_image"))
		return 0;
	DC_TRY(dc_frame_tensor(&t->lf, "filip_image", DC_F32, 3, &d));
	n = d.shape[0];
	if (n > e->N - from || d.shape[1] != G || d.shape[2] != F || (d.n && !d.data))
		return dc_frame_err(&t->lf, "filip_image does not have the features' shape");
	if (d.n)
		memcpy(e->d_filip_image + from * G * F, d.data, d.bytes);
	word = e->filip_off[from];
	DC_TRY(dc_frame_tensor(&t->lf, "filip_text", DC_F32, 2, &d));
	if (d.shape[0] != e->filip_off[from + n] - word || (d.n && (d.shape[1] != F || !d.data)))
		return dc_frame_err(&t->lf, "filip_text does not have the features' shape");
	if (d.n)
		memcpy(e->d_filip_text + word * F, d.data, d.bytes);
	*rows = (int)n;
	return 0;
}

/* One dfeatures frame into the encoder's d_ arrays; *from advances by its rows. */
static int
take_dfeatures(struct train *t, int *from)
{
	struct dc_enc *e = t->enc;
	int rows = 0;

	for (int v = 0; v < 2; v++) {
		DC_TRY(take_rows(t, "image_features", v, e->d_image_features[v], t->c.embed_dim, *from, &rows));
		DC_TRY(take_rows(t, "text_features", v, e->d_text_features[v], t->c.embed_dim, *from, &rows));
		DC_TRY(take_rows(t, "simsiam_p", v, e->d_simsiam_p[v], t->c.simsiam_width, *from, &rows));
	}
	for (int v = 1; v <= 2; v++)
		DC_TRY(take_rows(t, "simclr_z", v, e->d_simclr_z[v], t->c.simclr_width, *from, &rows));
	DC_TRY(take_tokens(t, *from, &rows));
	DC_TRY(take_mlm(t));
	DC_TRY(take_scalars(t));
	*from += rows;
	return 0;
}

/* Wait for the gradient of the features; *skip where the batch was too small for one. */
static int
receive_dfeatures(struct train *t, int *skip)
{
	int from = 0, r;
	int64_t i, n;

	*skip = 0;
	do {
		if ((r = read_loop(t, FOR_LOSS)) != DC_FRAME)
			return r;
		i = n = 0;
		if (strcmp(t->lf.kind, "dfeatures")) {
			r = dc_frame_pass(&t->out, &t->lf);
			continue;
		}
		DC_TRY(dc_frame_part(&t->lf, &i, &n));
		if (dc_frame_get(&t->lf, "skip"))
			DC_TRY(dc_frame_bool(&t->lf, "skip", skip));
		if (!*skip)
			DC_TRY(take_dfeatures(t, &from));
		i++;
	} while (r == DC_FRAME && (!n || i < n));
	return r;
}

static int
backward(struct train *t)
{
	struct pollfd p = { .fd = t->out.fd };

	dc_enc_backward_heads(t->enc);
	if (t->synced != DC_FRAME)
		return t->synced;
	while (dc_enc_backward_next(t->enc) > 0)
		if (poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP | POLLNVAL))
			return DC_GONE;
	return DC_FRAME;
}

/* The tensors [from, to) of the list that have a gradient, as one map. */
static void
put_gradients(struct train *t, int from, int to)
{
	size_t n = 0;

	for (int i = from; i < to; i++)
		n += t->t[i].g != NULL;
	dc_put_map(&t->body, "gradient", n);
	for (int i = from; i < to; i++) {
		struct tensor *x = &t->t[i];
		if (x->g && t->by_value)
			dc_put_data(&t->body, x->p.name, DC_F32, x->p.ndim, x->p.shape, x->g);
		else if (x->g)
			dc_put_ref(&t->body, x->p.name, DC_F32, x->p.ndim, x->p.shape, "gradients.safetensors", x->p.name);
	}
}

static void
put_statistics(struct train *t)
{
	char key[128];
	size_t synced = 0;

	for (int i = 0; i < t->enc->n_bn; i++)
		synced += t->enc->bn[i]->views && t->enc->bn[i]->synced;
	if (synced)
		dc_put_array(&t->body, "synced", synced);   /* they are the same in all ranks */
	for (int i = 0; i < t->enc->n_bn; i++)
		if (t->enc->bn[i]->views && t->enc->bn[i]->synced)
			dc_put_str(&t->body, NULL, t->enc->bn[i]->name);

	for (int i = 0; i < t->enc->n_bn; i++) {   /* none where the running ones are in use */
		const struct dc_bn_stats *s = t->enc->bn[i];
		int64_t shape[] = { s->views, s->width };

		if (!s->views)
			continue;
		snprintf(key, sizeof key, "%s.running_mean", s->name);
		dc_put_data(&t->body, key, DC_F32, 2, shape, s->mean);
		snprintf(key, sizeof key, "%s.running_var", s->name);
		dc_put_data(&t->body, key, DC_F32, 2, shape, s->var);
	}
}

/* Hand the gradients over; by value in frames of at most BY_VALUE_FRAME. */
static int
send_gradients(struct train *t, int skip)
{
	int from = skip ? t->n_t : 0, to, last, r = DC_FRAME;
	size_t bytes;

	do {
		for (to = from, bytes = 0; to < t->n_t && (!t->by_value || bytes + 4 * t->t[to].p.n <= BY_VALUE_FRAME || to == from); to++)
			bytes += 4 * t->t[to].p.n;
		last = to == t->n_t;
		put_gradients(t, from, to);
		dc_put_bool(&t->body, "last", last);
		dc_put_copy(&t->body, &t->now.part[t->now.n - 1], "position");
		if (last && !skip)
			put_statistics(t);
		if (last) {
			dc_put_double(&t->body, "wait_s", t->wait);
			dc_put_int(&t->body, "threads", omp_get_max_threads());
		}
		r = dc_frame_write(&t->out, "gradients", t->step, &t->body);
		from = to;
	} while (r == DC_FRAME && !last);
	return r;
}

static int
receive_parameters(struct train *t)
{
	int r;

	while ((r = read_loop(t, FOR_STEP)) == DC_FRAME && strcmp(t->lf.kind, "parameters"))
		if ((r = dc_frame_pass(&t->out, &t->lf)) != DC_FRAME)
			break;
	return r == DC_FRAME ? take_parameters(t) : r;
}

static int
train_step(struct train *t)
{
	int r, skip;

	t->wait = 0;
	if ((r = next_batch(t)) != DC_FRAME || (r = forward(t)) != DC_FRAME || (r = send_features(t)) != DC_FRAME ||
	    (r = receive_dfeatures(t, &skip)) != DC_FRAME || (!skip && (r = backward(t)) != DC_FRAME) ||
	    (r = send_gradients(t, skip)) != DC_FRAME)
		return r;
	t->samples += (uint64_t)t->enc->N;
	dc_progress_to(&t->progress, t->samples);
	r = receive_parameters(t);
	if (!t->steps++) { /* the first step maps and clears memory: it is not like the others */
		t->laps = (struct dc_laps){ 0 };
		memset(t->waited, 0, sizeof t->waited);
		t->first = dc_seconds();
	}
	t->last = dc_seconds();
	return r;
}

/* --- where the time went --- */

static void
profile_row(FILE *f, const char *what, double seconds, double steps, double all)
{
	fprintf(f, "%s\t%.6f\t%.4f\n", what, seconds / steps, all > 0 ? seconds / all : 0);
}

static double
waited(const struct train *t)
{
	return t->waited[FOR_DATA] + t->waited[FOR_LOSS] + t->waited[FOR_STEP] + t->waited[FOR_RANKS];
}

static int
write_profile(const struct train *t)
{
	FILE *f = o.profile && t->steps > 1 ? fopen(o.profile, "w") : NULL;
	double steps = (double)t->steps - 1, all = t->last - t->first, rest = all - waited(t);

	if (!o.profile || t->steps < 2)
		return 0;
	if (!f)
		return dc_err_errno("%s", o.profile);
	fputs("what\tseconds_a_step\tshare\n", f);
	for (int i = 0; i < DC_LAPS; i++) {
		profile_row(f, dc_lap_names[i], t->laps.s[i], steps, all);
		rest -= t->laps.s[i];
	}
	profile_row(f, "stream, gradients cleared", rest, steps, all);
	for (int i = 0; i < (o.sync_bn ? WAITS : FOR_RANKS); i++)
		profile_row(f, wait_names[i], t->waited[i], steps, all);
	profile_row(f, "the whole step", all, steps, all);
	fprintf(f, "GFLOP of useful work a step\t%.3f\t\n", t->laps.flop / steps * 1e-9);
	return dc_fshut(f, o.profile);
}

static void
say_work(const struct train *t)
{
	double busy = t->last - t->first - waited(t);

	if (o.verbose && t->enc && t->enc->again)
		fprintf(stderr, "%s: %d of the last batch's %d parts computed twice\n", dc_progname, t->enc->again, t->enc->parts);
	if (o.verbose && t->steps > 1)
		fprintf(stderr, "%s: %.4g GFLOP of useful work a step, %.4g GFLOP/s\n", dc_progname,
		    t->laps.flop * 1e-9 / ((double)t->steps - 1), t->laps.flop * 1e-9 / busy);
	if (o.verbose && t->enc)
		fprintf(stderr, "%s: OpenBLAS's kernels are those of %s: a ViT's features %s on the parts of a batch\n", dc_progname, dc_blas_core(),
		    dc_gemm_rows_same() ? "do not depend" : "depend in their last bits");
}

/* Forward `end`, close what we write, and let dc-step finish: read the loop to its end. */
static int
finish(struct train *t)
{
	int r;

	if (t->end_seen && !t->stopped)
		r = dc_frame_pass(&t->out, &t->f);
	else {
		dc_put_bool(&t->body, "stopped", 1);
		r = dc_frame_write(&t->out, "end", t->step, &t->body);
	}
	if (r != DC_FRAME)
		return r;
	if (close(t->out.fd) < 0)
		return dc_err_errno("<stdout>");
	close(t->in.fd);
	t->loop.n_watch = 0;
	while ((r = dc_frame_read(&t->loop, &t->lf)) == DC_FRAME)
		;
	return r == DC_EOF && t->loop.ended ? DC_FRAME : r == DC_EOF ? DC_GONE : r;
}

static void
open_ring(struct train *t)
{
	int fd = open(o.loop, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		dc_die_errno("%s", o.loop);
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		dc_die("%s: not a FIFO", o.loop);
	if (dc_out_init(&t->out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die_usage("%s", dc_err());
	dc_in_init(&t->in, STDIN_FILENO, "<stdin>");
	dc_in_init(&t->loop, fd, o.loop);
	dc_pipe_widen(t->out.fd);
	dc_pipe_widen(fd);
	dc_in_watch(&t->in, t->out.fd, 0);
	dc_in_watch(&t->in, fd, POLLIN);
	dc_in_watch(&t->loop, t->out.fd, 0);
}

static void
free_train(struct train *t)
{
	dc_enc_free(t->enc);
	for (int i = 0; i < t->n_t; i++) {
		if (!t->parameters.map)
			free(t->t[i].w);
		if (t->by_value)
			free(t->t[i].g);
	}
	if (t->parameters.map)
		dc_st_close(&t->parameters);
	if (t->gradients.map)
		dc_st_close(&t->gradients);
	free(t->t);
	free(t->param);
	free_pixels(t);
	free(t->pixels);
	for (int i = 0; i < t->n_held; i++)
		dc_frame_free(&t->held[i]);
	free(t->held);
	dc_gather_free(&t->now);
	dc_gather_free(&t->next);
	dc_frame_free(&t->f);
	dc_frame_free(&t->lf);
	dc_body_free(&t->body);
	free(t);
}

static int
train(void)
{
	struct train *t = dc_xcalloc(1, sizeof *t);
	int r, status;

	t->synced = DC_FRAME;
	open_ring(t);
	dc_progress_init(&t->progress, "samples", 0, 0);
	t->progress.on = 0; /* dc-step's line shows the steps */
	if ((r = start(t)) == DC_FRAME)
		while ((r = train_step(t)) == DC_FRAME)
			;
	if (r == DC_EOF)
		r = finish(t);
	status = r == DC_FRAME ? DC_EXIT_OK : dc_io_status(&t->in, t->in_lost ? DC_EOF : r);
	if (write_profile(t) < 0) {
		dc_warn("%s", dc_err());
		status = DC_EXIT_FAIL;
	}
	dc_progress_end(&t->progress, t->steps, o.verbose);
	say_work(t);
	free_train(t);
	return status;
}

int
main(int argc, char **argv)
{
	int first;

	dc_main_init("dc-encode");
	dc_blas_start(argv);
	first = dc_opts_parse(argc, argv, "--loop FIFO | --model MODEL [options]",
	    "encodes images and captions: trains in a ring, or makes features with a model", table);
	dc_stall_start(&stall);
	if (first < argc)
		dc_die_usage("%s: takes no operand; batches come on stdin", argv[first]);
	if (!o.loop == !o.model)
		dc_die_usage("give --loop to train in a ring or --model to encode");
	if (o.model && (o.freeze || o.by_value || o.profile || o.sync_bn || o.read_ahead >= 0 || o.keep >= 0 || o.share > 1 || o.recompute))
		dc_die_usage("--freeze, --by-value, --profile, --sync-bn, --read-ahead, --keep-activations, --share and --recompute belong to --loop");
	if (o.loop && (o.only || o.hidden || o.tokens))
		dc_die_usage("--only, --hidden and --tokens belong to --model");
	if (o.hidden && o.tokens)
		dc_die_usage("give --hidden or --tokens, not both");
	if (o.hidden && o.only && strcmp(o.only, "images"))
		dc_die_usage("--hidden: captions are not encoded");
	if (o.hidden)
		o.only = "images";
	use_threads();
	return o.loop ? train() : encode_only();
}
