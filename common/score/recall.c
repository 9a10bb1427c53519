/* SPDX-License-Identifier: MIT */
#include "score/recall.h"

#include <stdlib.h>

#include "score/retrieval.h"

const int64_t dc_recall_at[DC_RECALLS] = { 1, 5, 10 };

/* One fold: N images, C captions in the order of their images. */
struct fold {
	struct dc_side image, text;
	int64_t *owner;             /* [C] in [0,N) */
	int64_t N, C; int D;
	int64_t *n_own;             /* [N] captions of each image */
	struct dc_place *i2t, *t2i; /* [N], [C] */
	double *sum; int64_t *count; int64_t n; /* [n] sums over the queries of each image that has captions */
};

static void
fold_of(struct fold *f, const struct dc_pairs *p, int64_t n0, int64_t n1)
{
	int64_t c0 = 0, c1;

	while (c0 < p->owner.n && p->owner.p[c0] < n0)
		c0++;
	for (c1 = c0; c1 < p->owner.n && p->owner.p[c1] < n1; c1++)
		;
	*f = (struct fold){ .N = n1 - n0, .C = c1 - c0, .D = p->image.D };
	f->image = dc_pairs_images(p, n0, f->N);
	f->text = dc_pairs_captions(p, c0, f->C);
	f->owner = dc_xcalloc((size_t)f->C, sizeof *f->owner);
	f->n_own = dc_xcalloc((size_t)f->N, sizeof *f->n_own);
	f->i2t = dc_xcalloc((size_t)f->N, sizeof *f->i2t);
	f->t2i = dc_xcalloc((size_t)f->C, sizeof *f->t2i);
	f->sum = dc_xcalloc((size_t)f->N, sizeof *f->sum);
	f->count = dc_xcalloc((size_t)f->N, sizeof *f->count);
	for (int64_t c = 0; c < f->C; c++)
		f->n_own[f->owner[c] = p->owner.p[c0 + c] - n0]++;
	for (int64_t n = 0; n < f->N; n++)
		f->n += f->n_own[n] > 0;
}

static void
fold_free(struct fold *f)
{
	free(f->owner);
	free(f->n_own);
	free(f->i2t);
	free(f->t2i);
	free(f->sum);
	free(f->count);
}

static double
rank_of(const struct dc_place *p, int64_t k)
{
	(void)k;
	return dc_place_rank(p);
}

/* The share of queries of one direction, grouped by image. */
static void
share(struct fold *f, int direction, double (*score)(const struct dc_place *, int64_t), int64_t k, double chance,
    struct dc_share *s)
{
	int64_t n = 0;

	for (int64_t i = 0, c = 0; i < f->N; i++) {
		if (!f->n_own[i])
			continue;
		f->count[n] = direction == DC_I2T ? 1 : f->n_own[i];
		f->sum[n] = direction == DC_I2T ? score(&f->i2t[i], k) : 0;
		for (int64_t last = c + f->n_own[i]; c < last; c++)
			f->sum[n] += direction == DC_T2I ? score(&f->t2i[c], k) : 0;
		n++;
	}
	dc_share_of_groups(s, f->sum, f->count, n, chance);
}

static double
chance_hit(const struct fold *f, int direction, int64_t k)
{
	double sum = 0;

	if (direction == DC_T2I)
		return dc_retrieval_chance(f->N, 1, k);
	for (int64_t i = 0; i < f->N; i++)
		sum += f->n_own[i] ? dc_retrieval_chance(f->C, f->n_own[i], k) : 0;
	return sum / (double)f->n;
}

static double
chance_rank(const struct fold *f, int direction)
{
	double sum = 0;

	if (direction == DC_T2I)
		return (double)(f->N + 1) / 2;
	for (int64_t i = 0; i < f->N; i++)
		sum += f->n_own[i] ? (double)(f->C + 1) / (double)(f->n_own[i] + 1) : 0;
	return sum / (double)f->n;
}

static double
median_rank(const struct fold *f, int direction)
{
	const struct dc_place *p = direction == DC_T2I ? f->t2i : f->i2t;
	const int64_t N = direction == DC_T2I ? f->C : f->N;
	double *x = dc_xcalloc((size_t)N, sizeof *x), m;
	int64_t n = 0;

	for (int64_t i = 0; i < N; i++)
		if (p[i].own)
			x[n++] = dc_place_rank(&p[i]);
	m = dc_median(x, n);
	free(x);
	return m;
}

static void
score_fold(struct dc_recall r[2], struct fold *f)
{
	dc_retrieval(f->i2t, f->t2i, &f->image, &f->text, f->owner, f->D);
	for (int d = DC_I2T; d <= DC_T2I; d++) {
		for (int k = 0; k < DC_RECALLS; k++)
			share(f, d, dc_place_hit, dc_recall_at[k], chance_hit(f, d, dc_recall_at[k]), &r[d].at[k]);
		share(f, d, rank_of, 0, chance_rank(f, d), &r[d].rank);
		r[d].median = median_rank(f, d);
	}
}

/* sums over folds: of value, chance, n; of the squares of the standard error and of that of guessing, (v - c) / z */
static void
add(struct dc_recall *sum, const struct dc_recall *r)
{
	for (int k = 0; k < DC_RECALLS; k++)
		dc_share_add(&sum->at[k], &r->at[k]);
	dc_share_add(&sum->rank, &r->rank);
	sum->median += r->median;
}

static void
divide(struct dc_recall *sum, int64_t folds)
{
	for (int k = 0; k < DC_RECALLS; k++)
		dc_share_divide(&sum->at[k], folds);
	dc_share_divide(&sum->rank, folds);
	sum->median /= (double)folds;
}

int
dc_recall_score(struct dc_recall r[2], const struct dc_pairs *p, int64_t folds)
{
	struct dc_recall one[2];
	struct fold f;
	int64_t n;

	r[DC_I2T] = r[DC_T2I] = (struct dc_recall){ 0 };
	DC_CHECK(folds <= p->N, "%lld folds of %lld images", (long long)folds, (long long)p->N);
	for (int64_t i = 0; i < folds; i++) {
		fold_of(&f, p, p->N * i / folds, p->N * (i + 1) / folds);
		if ((n = f.n) > 0)
			score_fold(one, &f);
		fold_free(&f);
		DC_CHECK(n > 0, "fold %lld has no captions", (long long)(i + 1));
		add(&r[DC_I2T], &one[DC_I2T]);
		add(&r[DC_T2I], &one[DC_T2I]);
	}
	divide(&r[DC_I2T], folds);
	divide(&r[DC_T2I], folds);
	return 0;
}
