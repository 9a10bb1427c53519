/* SPDX-License-Identifier: MIT */
/* FILIP (Yao et al., arXiv 2111.07783): images and captions compared token by token, each token with the most similar of
 * the other side. */
#include <math.h>
#include <string.h>

#include "base/util.h"
#include "loss/late.h"
#include "loss/term.h"
#include "loss/unit.h"

/* One side: its tokens, the gradient by their unit rows, and those that are candidates for the other side's largest. */
struct side {
	struct dc_tokens all, top;         /* the same without a selection */
	double *norm, *du, *d_top;         /* [rows], [rows,F], [top.off[N],F]; d_top = du without a selection */
};

static int
check(const struct dc_config *c, const struct dc_loss_in *in, const struct dc_nn_queue *q)
{
	(void)c;
	(void)q;
	DC_CHECK(in->filip_image && in->filip_off && (in->filip_text || !in->filip_off[in->N]),
	    "filip needs filip_image, filip_text and filip_off");
	DC_CHECK((int64_t)in->N * in->G <= INT32_MAX, "filip: %d images of %d tokens are too many", in->N, in->G);
	return 0;
}

static void
begin_side(struct side *x, struct dc_loss_work *w, int at, const dc_real *rows, const int32_t *off, int N, int F)
{
	const size_t n = (size_t)off[N];

	x->d_top = x->du = dc_loss_room(w, DC_ROOM_DU + at, n * F);
	x->norm = dc_loss_room(w, DC_ROOM_R + at, n);
	x->top = x->all = (struct dc_tokens){ { .x = rows, .r = x->norm }, off };
	dc_unit_norms(x->norm, rows, (int)n, F);
	memset(x->du, 0, n * F * sizeof *x->du);
}

/* The `top` tokens of each sample that are most like its other side's all together. */
static void
select_top(struct side *x, const struct side *other, struct dc_loss_work *w, int at, int N, int F, int top)
{
	const int32_t *mine = x->all.off, *its = other->all.off;
	int64_t *row = (void *)dc_loss_room(w, DC_ROOM_AT + at, (size_t)mine[N]);   /* a number of 8 bytes either way */
	int32_t *off = dc_loss_ints(w, DC_INTS_OFF + at, (size_t)N + 1);

	off[0] = 0;
	for (int i = 0; i < N; i++) {
		const int k = dc_late_top(row + off[i], x->all.rows.x + (size_t)mine[i] * F, x->norm + mine[i], mine[i + 1] - mine[i],
		    other->all.rows.x + (size_t)its[i] * F, other->norm + its[i], its[i + 1] - its[i], F, top);

		for (int t = 0; t < k; t++)
			row[off[i] + t] += mine[i];
		off[i + 1] = off[i] + k;
	}
	x->d_top = dc_loss_room(w, DC_ROOM_D_TOP + at, (size_t)off[N] * F);
	memset(x->d_top, 0, (size_t)off[N] * F * sizeof *x->d_top);
	x->top.rows.at = row;
	x->top.off = off;
}

/* From the candidates back to the tokens they are. */
static void
add_top(struct side *x, int N, int F)
{
	for (int t = 0; x->d_top != x->du && t < x->top.off[N]; t++)
		for (int d = 0; d < F; d++)
			x->du[(size_t)x->top.rows.at[t] * F + d] += x->d_top[(size_t)t * F + d];
}

static void
one_way(struct dc_loss_step *s, const struct side *q, const struct side *c, double scale, double weight,
    struct dc_late_result *r)
{
	const struct dc_late p = {
		.q = q->all, .dq = q->du, .c = c->top, .dc = c->d_top, .N = s->in->N, .D = s->in->F, .scale = scale
	};

	dc_late_loss(&s->w->late, &p, weight, r);
}

/* s = min(exp(log), 100), and ds / dlog; as released without the cap. */
static double
own_scale(const struct dc_loss_step *s, double *grad)
{
	if (!s->c->released)
		return dc_logit_scale(s->in->filip_logit_scale, grad);
	return *grad = exp(s->in->filip_logit_scale);
}

/* L = 1/2 [ late(image -> text) + late(text -> image) ] */
static double
compute(struct dc_loss_step *s, double weight)
{
	const struct dc_loss_in *in = s->in;
	const int N = in->N, F = in->F;
	int32_t *image_off = dc_loss_ints(s->w, DC_INTS_IMAGE, (size_t)N + 1);
	struct side image, text;
	struct dc_late_result i2t, t2i;
	double scale, grad;

	for (int n = 0; n <= N; n++)
		image_off[n] = n * in->G;
	scale = own_scale(s, &grad);
	begin_side(&image, s->w, 0, in->filip_image, image_off, N, F);
	begin_side(&text, s->w, 1, in->filip_text, in->filip_off, N, F);
	if (s->c->filip_top) {
		select_top(&image, &text, s->w, 0, N, F, s->c->filip_top);
		select_top(&text, &image, s->w, 1, N, F, s->c->filip_top);
	}
	one_way(s, &image, &text, scale, weight / 2, &i2t);
	one_way(s, &text, &image, scale, weight / 2, &t2i);
	add_top(&image, N, F);
	add_top(&text, N, F);
	dc_unit_backward(s->out->d_filip_image, image.du, in->filip_image, image.norm, N * in->G, F);
	dc_unit_backward(s->out->d_filip_text, text.du, in->filip_text, text.norm, in->filip_off[N], F);
	s->out->d_filip_logit_scale = (i2t.d_scale + t2i.d_scale) * grad;
	if (s->c->weight[DC_TERM_CLIP] == 0) {   /* then nothing trains what the others are of */
		s->out->accuracy_i2t = i2t.right;
		s->out->accuracy_t2i = t2i.right;
	}
	return (i2t.value + t2i.value) / 2;
}

const struct dc_loss_term dc_term_filip = {
	.term = DC_TERM_FILIP, .what = "token-wise InfoNCE of (I1,T1), both directions",
	.image_views = 1, .caption_views = 1, .check = check, .compute = compute
};
