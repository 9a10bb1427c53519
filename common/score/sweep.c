/* SPDX-License-Identifier: MIT */
#include "score/sweep.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { SEARCH_START = 7, HALVINGS = 4 };

int64_t
dc_sweep_split(char *into, const int64_t *y, int64_t N, int K, double share, uint64_t seed)
{
	int64_t *row = dc_xcalloc(N + 1, sizeof *row), total = 0;
	struct dc_rng rng;

	memset(into, 0, N);
	for (int k = 0; k < K; k++) {
		int64_t n_k = 0, n;
		for (int64_t i = 0; i < N; i++)
			if (y[i] == k)
				row[n_k++] = i;
		n = llround(share * (double)n_k);
		n = n < 1 ? 1 : n;
		n = n > n_k - 1 ? n_k - 1 : n;
		dc_rng_init(&rng, seed, 0, (uint64_t)k, 0, DC_RNG_SPLIT);
		dc_rng_shuffle(&rng, row, n_k, sizeof *row);
		for (int64_t i = 0; i < n; i++, total++)
			into[row[i]] = 1;
	}
	free(row);
	return total;
}

/* --- trying --- */

struct work { struct dc_probe *probe; struct dc_place *place; int64_t *best; };

static int
try(struct dc_sweep *s, struct work *w, double lambda)
{
	struct dc_sweep_point *p = &s->point[s->points];
	double hits = 0;

	DC_TRY(dc_probe_fit(w->probe, lambda, &s->how, &p->fit));
	dc_probe_place(w->probe, w->place, w->best, &p->loss, s->val.x, s->val.y, s->val.N);
	for (int64_t i = 0; i < s->val.N; i++)
		hits += w->place[i].own ? dc_place_hit(&w->place[i], 1) : 0;
	p->accuracy = hits / (double)s->val.N;
	s->points++;
	if (s->tried)
		s->tried(s->arg, p);
	return 0;
}

static int
falling(const void *a, const void *b)
{
	const struct dc_sweep_point *p = a, *q = b;

	return (p->fit.lambda < q->fit.lambda) - (p->fit.lambda > q->fit.lambda);
}

static void
find_best(struct dc_sweep *s)
{
	qsort(s->point, (size_t)s->points, sizeof *s->point, falling);
	s->best = 0;
	for (int i = 1; i < s->points; i++)
		if (s->point[i].accuracy > s->point[s->best].accuracy)
			s->best = i;
}

/* lambda_i = hi (lo / hi)^(i / (n - 1)), i = 0 .. n - 1 */
static int
run_grid(struct dc_sweep *s, struct work *w, int n)
{
	for (int i = 0; i < n; i++)
		DC_TRY(try(s, w, n > 1 ? s->hi * pow(s->lo / s->hi, (double)i / (n - 1)) : s->hi));
	find_best(s);
	return 0;
}

static int
run_search(struct dc_sweep *s, struct work *w)
{
	double step = pow(s->hi / s->lo, 1. / (SEARCH_START - 1));

	DC_TRY(run_grid(s, w, SEARCH_START));
	for (int i = 0; i < HALVINGS; i++) {
		const double centre = s->point[s->best].fit.lambda;
		step = sqrt(step);
		if (centre * step <= s->hi)
			DC_TRY(try(s, w, centre * step));
		if (centre / step >= s->lo)
			DC_TRY(try(s, w, centre / step));
		find_best(s);
	}
	return 0;
}

int
dc_sweep_run(struct dc_sweep *s)
{
	struct work w = { dc_probe_new(s->train.x, s->train.y, s->train.N, s->D, s->K),
		dc_xcalloc(s->val.N + 1, sizeof *w.place), dc_xcalloc(s->val.N + 1, sizeof *w.best) };
	int r;

	s->points = 0;
	s->point = dc_xcalloc(s->search ? SEARCH_START + 2 * HALVINGS : s->n, sizeof *s->point);
	r = s->search ? run_search(s, &w) : run_grid(s, &w, s->n);
	dc_probe_free(w.probe);
	free(w.place);
	free(w.best);
	return r;
}
