/* SPDX-License-Identifier: MIT */
#include "score/rank.h"

#include <math.h>
#include <stdlib.h>

double
dc_place_hit(const struct dc_place *p, int64_t k)
{
	const int64_t j = k - p->greater;
	double miss = 1;

	for (int64_t i = 0; i < j && miss > 0; i++)
		miss *= i < p->ties ? (double)(p->ties - i) / (double)(p->ties + p->own - i) : 0;
	return 1 - miss;
}

double
dc_place_rank(const struct dc_place *p)
{
	return (double)p->greater + (double)(p->ties + p->own + 1) / (double)(p->own + 1);
}

void
dc_share_of_groups(struct dc_share *s, const double *sum, const int64_t *count, int64_t n, double chance)
{
	double total = 0, m = 0, var = 0;

	for (int64_t i = 0; i < n; i++) {
		total += sum[i];
		m += count ? (double)count[i] : 1;
	}
	*s = (struct dc_share){ .n = n, .chance = chance, .value = total / m };
	for (int64_t i = 0; i < n; i++) {
		const double d = sum[i] - s->value * (count ? (double)count[i] : 1);
		var += d * d;
	}
	s->se = n > 1 ? sqrt(var * (double)n / (double)(n - 1)) / m : NAN;
	s->guess = sqrt(chance * (1 - chance) / (double)n);
	s->z = s->guess > 0 ? (s->value - chance) / s->guess : 0;   /* nothing to guess: all candidates are among the first k */
}

void
dc_share_of(struct dc_share *s, const double *score, int64_t n, double chance)
{
	dc_share_of_groups(s, score, NULL, n, chance);
}

void
dc_share_add(struct dc_share *sum, const struct dc_share *s)
{
	sum->value += s->value;
	sum->chance += s->chance;
	sum->se += s->se * s->se;
	sum->guess += s->guess * s->guess;
	sum->n += s->n;
}

void
dc_share_divide(struct dc_share *sum, int64_t folds)
{
	sum->value /= (double)folds;
	sum->chance /= (double)folds;
	sum->se = sqrt(sum->se) / (double)folds;
	sum->guess = sqrt(sum->guess) / (double)folds;
	sum->z = sum->guess > 0 ? (sum->value - sum->chance) / sum->guess : 0;
}

static int
ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
dc_median(double *x, int64_t n)
{
	if (n == 0)
		return NAN;
	qsort(x, n, sizeof *x, ascending);
	return (x[(n - 1) / 2] + x[n / 2]) / 2;
}
