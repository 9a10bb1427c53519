/* SPDX-License-Identifier: MIT */
/* Nearest-neighbour supervision (DeCLIP, arXiv 2110.05208, sec. 3.2.3): the images also learn from the caption in the
 * queue that is most like their own. */
#include "base/util.h"
#include "loss/queue.h"
#include "loss/term.h"
#include "loss/unit.h"

static int
check(const struct dc_config *c, const struct dc_loss_in *in, const struct dc_nn_queue *q)
{
	DC_CHECK(in->text_features[1] || !c->released, "nns as released needs text_features.1");
	DC_CHECK(q && q->rows && q->length > 0, "nns needs its queue (nn_queue)");
	DC_CHECK(q->D == in->D, "the nn queue has %d columns, the features %d", q->D, in->D);
	return 0;
}

/* T' of text view t: the queue's rows most like it, which are unit rows already */
static struct dc_rows
neighbours(struct dc_loss_step *s, int t)
{
	const int N = s->in->N, D = s->in->D;
	struct dc_tiles *tiles = &s->w->tiles;
	dc_real *unit, *products;

	dc_tiles_room(tiles, N, D);
	unit = (void *)tiles->ta;   /* the tile's room serves here too */
	products = (void *)tiles->l;
	for (int i = 0; i < N; i += tiles->rows) {
		const int n = N - i < tiles->rows ? N - i : tiles->rows;
		dc_unit_rows(unit, s->text[t].x + (size_t)i * D, s->text[t].r + i, n, D);
		dc_nn_queue_nearest(s->w->index + i, unit, n, s->q, products, tiles->rows, tiles->cols);
	}
	return (struct dc_rows){ .x = s->q->rows, .at = s->w->index };
}

static double
pair(struct dc_loss_step *s, int i, struct dc_rows near, int both, double weight)
{
	struct dc_contrast p = {
		.a = s->image[i], .b = near, .da = s->d_image[i], .N = s->in->N, .D = s->in->D, .scale = s->scale, .both = both
	};
	struct dc_contrast_result r;

	dc_contrastive(&s->w->tiles, &p, weight, &r);
	s->d_scale += r.d_scale;
	return r.value;
}

/* L = 1/2 [ InfoNCE(I1,T') + InfoNCE(I2,T') ], T' = neighbours of T1, constant */
static double
value_paper(struct dc_loss_step *s, double weight)
{
	const struct dc_rows near = neighbours(s, 0);

	return (pair(s, 0, near, 1, weight / 2) + pair(s, 1, near, 1, weight / 2)) / 2;
}

/* The same as released: over the neighbours of T1 and of T2, and only image -> text:
 * L = 1/4 sum_{i,t} InfoNCE_{image -> text}(I_i, T'_t) */
static double
value_released(struct dc_loss_step *s, double weight)
{
	double sum = 0;

	for (int t = 0; t < 2; t++) {
		const struct dc_rows near = neighbours(s, t);
		for (int i = 0; i < 2; i++)
			sum += pair(s, i, near, 0, weight / 4);
	}
	return sum / 4;
}

static int
all_finite(const dc_real *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return 0;
	return 1;
}

/* Push n rows of text view t, and keep them in order in nn_enqueue. A batch whose features are not finite must not stay
 * in the queue when it is refused. */
static void
push(struct dc_loss_step *s, int t, int64_t n)
{
	struct dc_loss_out *out = s->out;

	dc_real *rows = out->nn_enqueue + out->n_enqueue * s->in->D;

	dc_unit_rows(rows, s->text[t].x, s->text[t].r, (int)n, s->in->D);
	if (!all_finite(rows, n * s->in->D))
		return;
	out->n_enqueue += n;
	dc_nn_queue_push(s->q, rows, n);
}

static double
compute(struct dc_loss_step *s, double weight)
{
	const int64_t N = s->in->N;
	int64_t wanted = s->c->nns_after < s->q->length ? s->c->nns_after : s->q->length;
	double value = 0;

	s->out->nn_enqueue = s->w->enqueue;
	s->out->active[DC_TERM_NNS] = s->q->valid > 0 && s->q->valid >= wanted;
	if (s->out->active[DC_TERM_NNS])
		value = s->c->released ? value_released(s, weight) : value_paper(s, weight);
	if (s->c->released) {
		push(s, 1, dc_nn_queue_kept_released(s->q, N));
		push(s, 0, dc_nn_queue_kept_released(s->q, N));
	} else {
		push(s, 0, N);
	}
	return value;
}

const struct dc_loss_term dc_term_nns = {
	.term = DC_TERM_NNS, .what = "mean InfoNCE of (I1,T'), (I2,T'), T' nearest to T1 in the queue",
	.image_views = 2, .caption_views = 1, .check = check, .compute = compute
};
