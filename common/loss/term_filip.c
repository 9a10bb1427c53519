/* SPDX-License-Identifier: MIT */
/* FILIP (Yao et al., arXiv 2111.07783): images and captions compared token by token, each token with the most similar of
 * the other side. */
#include <math.h>
#include <string.h>

#include "base/util.h"
#include "loss/late.h"
#include "loss/term.h"
#include "loss/unit.h"

/* One side: its tokens' unit rows, and the gradient by them. With a selection a sample's candidates are its first rows. */
struct side { const int32_t *off; int32_t *top; struct dc_rows rows; double *norm, *du; };

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

	x->off = off;
	x->top = NULL;
	x->du = dc_loss_room(w, DC_ROOM_DU + at, n * F);
	x->norm = dc_loss_room(w, DC_ROOM_R + at, n);
	x->rows = (struct dc_rows){ .x = rows, .r = x->norm };
	dc_unit_norms(x->norm, rows, (int)n, F);
	memset(x->du, 0, n * F * sizeof *x->du);
}

/* The `top` tokens of each sample that are most like its other side's all together come first. */
static void
select_top(struct side *x, const struct side *other, struct dc_loss_work *w, int at, int N, int F, int top)
{
	const int32_t *mine = x->off, *its = other->off;
	int64_t *row = (void *)dc_loss_room(w, DC_ROOM_AT + at, (size_t)mine[N]);   /* a number of 8 bytes either way */

	x->top = dc_loss_ints(w, DC_INTS_TOP + at, (size_t)N);
	for (int i = 0; i < N; i++) {
		x->top[i] = dc_late_top(row + mine[i], x->rows.x + (size_t)mine[i] * F, x->norm + mine[i], mine[i + 1] - mine[i],
		    other->rows.x + (size_t)its[i] * F, other->norm + its[i], its[i + 1] - its[i], F, top);
		for (int t = mine[i]; t < mine[i + 1]; t++)
			row[t] += mine[i];
	}
	x->rows.at = row;
}

/* s = min(exp(log), 100), and ds / dlog; as released without the cap. */
static double
own_scale(const struct dc_loss_step *s, double *grad)
{
	if (!s->c->released)
		return dc_logit_scale(s->in->filip_logit_scale, grad);
	return *grad = exp(s->in->filip_logit_scale);
}

static double
compute(struct dc_loss_step *s, double weight)
{
	const struct dc_loss_in *in = s->in;
	const int N = in->N, F = in->F, top = s->c->filip_top;
	int32_t *image_off = dc_loss_ints(s->w, DC_INTS_IMAGE, (size_t)N + 1);
	struct side image, text;
	struct dc_late_result r;
	double scale, grad;

	for (int n = 0; n <= N; n++)
		image_off[n] = n * in->G;
	scale = own_scale(s, &grad);
	begin_side(&image, s->w, 0, in->filip_image, image_off, N, F);
	begin_side(&text, s->w, 1, in->filip_text, in->filip_off, N, F);
	if (top) {
		select_top(&image, &text, s->w, 0, N, F, top);
		select_top(&text, &image, s->w, 1, N, F, top);
	}
	const struct dc_late p = {
		.word = text.rows, .patch = image.rows, .off = text.off, .word_top = text.top, .G = in->G,
		.patch_top = top && top < in->G ? top : in->G, .d_word = text.du, .d_patch = image.du, .N = N, .D = F, .scale = scale
	};
	dc_late_loss(&s->w->late, &p, weight, &r);
	dc_unit_backward(s->out->d_filip_image, image.du, in->filip_image, image.norm, N * in->G, F);
	dc_unit_backward(s->out->d_filip_text, text.du, in->filip_text, text.norm, in->filip_off[N], F);
	s->out->d_filip_logit_scale = r.d_scale * grad;
	if (s->c->weight[DC_TERM_CLIP] == 0) {   /* then nothing trains what the others are of */
		s->out->accuracy_i2t = r.right_patch;
		s->out->accuracy_t2i = r.right_word;
	}
	return r.value;
}

const struct dc_loss_term dc_term_filip = {
	.term = DC_TERM_FILIP, .what = "token-wise InfoNCE of (I1,T1), both directions",
	.image_views = 1, .caption_views = 1, .check = check, .compute = compute
};
