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
dc_share_of(struct dc_share *s, const double *score, int64_t n, double chance)
{
	double sum = 0, var = 0;

	for (int64_t i = 0; i < n; i++)
		sum += score[i];
	*s = (struct dc_share){ .n = n, .chance = chance, .value = sum / (double)n };
	for (int64_t i = 0; i < n; i++)
		var += (score[i] - s->value) * (score[i] - s->value);
	s->se = n > 1 ? sqrt(var / (double)(n - 1) / (double)n) : NAN;
	s->z = (s->value - chance) / sqrt(chance * (1 - chance) / (double)n);
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
