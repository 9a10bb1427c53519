/* SPDX-License-Identifier: MIT */
/* FILIP's loss against its definition, loop by loop; in tiles and pieces of any size, by any number of threads. */
#include "tests/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "loss/late.h"
#include "nn/threads.h"

struct problem {
	int N, D, G, n_word, n_patch;
	int32_t *off, *top;
	int64_t *order[2];                  /* of words, of patches; NULL: as they come */
	dc_real *x[2];
	double *r[2];
	double *d[2];
	struct dc_late p;
};

static double
uniform(uint64_t *s)
{
	*s = *s * 6364136223846793005u + 1442695040888963407u;
	return (double)(*s >> 11) / 9007199254740992.0;
}

/* Some samples have no words, some rows are zero, and some patches are another's equal. */
static void
begin(struct problem *t, int N, int D, int G, int most, int select, uint64_t seed)
{
	int n[2];

	*t = (struct problem){ .N = N, .D = D, .G = G };
	t->off = dc_xcalloc((size_t)N + 1, sizeof *t->off);
	t->top = dc_xcalloc((size_t)N, sizeof *t->top);
	for (int i = 0; i < N; i++) {
		const int words = i % 7 == 3 ? 0 : 1 + (int)(uniform(&seed) * most);
		t->off[i + 1] = t->off[i] + words;
		t->top[i] = words < 3 ? words : 3;
	}
	n[0] = t->n_word = t->off[N];
	n[1] = t->n_patch = N * G;
	for (int k = 0; k < 2; k++) {
		t->x[k] = dc_xcalloc((size_t)n[k] * D, sizeof(dc_real));
		t->r[k] = dc_xcalloc((size_t)n[k], sizeof(double));
		t->d[k] = dc_xcalloc((size_t)n[k] * D, sizeof(double));
		t->order[k] = dc_xcalloc((size_t)n[k], sizeof(int64_t));
		for (int i = 0; i < n[k]; i++) {
			dc_real *x = t->x[k] + (size_t)i * D;
			double sum = 0;
			for (int d = 0; d < D; d++)
				x[d] = i % 41 == 7 ? 0 : (dc_real)(uniform(&seed) - .4);
			if (k == 1 && i % 11 == 5)
				memcpy(x, x - D, (size_t)D * sizeof *x);
			for (int d = 0; d < D; d++)
				sum += (double)x[d] * x[d];
			t->r[k][i] = sum > 0 ? 1 / sqrt(sum) : 0;
			t->order[k][i] = i;
		}
	}
	for (int i = 0; i < N; i++)   /* a sample's rows the other way round */
		for (int k = 0; k < 2; k++) {
			const int from = k ? i * G : t->off[i], to = k ? from + G : t->off[i + 1];
			for (int a = from; a < to; a++)
				t->order[k][a] = from + to - 1 - a;
		}
	t->p = (struct dc_late){ .word = { t->x[0], t->r[0], select ? t->order[0] : NULL }, .off = t->off,
		.patch = { t->x[1], t->r[1], select ? t->order[1] : NULL }, .word_top = select ? t->top : NULL, .G = G,
		.patch_top = select ? (G < 2 ? G : 2) : G, .d_word = t->d[0], .d_patch = t->d[1], .N = N, .D = D, .scale = 17 };
}

static void
end(struct problem *t)
{
	for (int k = 0; k < 2; k++) {
		free(t->x[k]);
		free(t->r[k]);
		free(t->d[k]);
		free(t->order[k]);
	}
	free(t->off);
	free(t->top);
}

/* --- the definition --- */

static int64_t
row_of(const struct dc_rows *s, int64_t n)
{
	return s->at ? s->at[n] : n;
}

static double
product(const struct dc_late *p, int64_t word, int64_t patch)
{
	const dc_real *a = p->word.x + word * p->D, *b = p->patch.x + patch * p->D;
	double sum = 0;

	for (int d = 0; d < p->D; d++)
		sum += p->word.r[word] * a[d] * (p->patch.r[patch] * b[d]);
	return sum;
}

/* Of one row the best among n of the other side from `first` on: its number, -1 where there is none. */
static int64_t
best_of(const struct dc_late *p, int of_word, int64_t row, int64_t first, int n, double *most)
{
	const struct dc_rows *other = of_word ? &p->patch : &p->word;
	int64_t best = -1;

	*most = 0;
	for (int i = 0; i < n; i++) {
		const int64_t at = row_of(other, first + i);
		const double l = of_word ? product(p, row, at) : product(p, at, row);
		if (best < 0 || l > *most || (isnan(l) && !isnan(*most))) {
			best = at;
			*most = l;
		}
	}
	return best;
}

static void
add(const struct dc_late *p, int of_word, int64_t row, int64_t best, double g, double *d_word, double *d_patch)
{
	const int64_t k = of_word ? row : best, r = of_word ? best : row;

	for (int d = 0; d < p->D && best >= 0; d++) {
		d_word[k * p->D + d] += g * p->patch.r[r] * p->patch.x[r * p->D + d];
		d_patch[r * p->D + d] += g * p->word.r[k] * p->word.x[k * p->D + d];
	}
}

/* One direction: the rows of sample i are words or patches. */
static void
naive_way(const struct dc_late *p, int of_word, double weight, struct dc_late_result *r, double *d_word, double *d_patch)
{
	const int N = p->N;
	double *l = dc_xcalloc((size_t)N * N, sizeof *l), most;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < N; i++) {
			double sum = 0, ds = 0, max = -INFINITY;
			int at = -1;
			const int first = of_word ? p->off[i] : i * p->G, n = of_word ? p->off[i + 1] - first : p->G;
			for (int j = 0; j < N; j++)
				for (int k = 0; k < n && !pass; k++) {
					best_of(p, of_word, row_of(of_word ? &p->word : &p->patch, first + k), of_word ? j * p->G : p->off[j],
					    of_word ? p->patch_top : p->word_top ? p->word_top[j] : p->off[j + 1] - p->off[j], &most);
					l[(size_t)i * N + j] += p->scale * most / n;
				}
			for (int j = 0; j < N; j++)
				if ((float)l[(size_t)i * N + j] > (float)max) {
					max = l[(size_t)i * N + j];
					at = j;
				}
			for (int j = 0; j < N; j++)
				sum += exp(l[(size_t)i * N + j] - max);
			if (!pass) {
				r->value += (max + log(sum) - l[(size_t)i * N + i]) / (2 * N);
				*(of_word ? &r->right_word : &r->right_patch) += (at == i) / (double)N;
				continue;
			}
			for (int j = 0; j < N; j++) {
				const double e = exp(l[(size_t)i * N + j] - max) / sum, g = (e - (i == j)) * weight / (2 * N);
				ds += g * l[(size_t)i * N + j] / p->scale;
				for (int k = 0; k < n; k++) {
					const int64_t row = row_of(of_word ? &p->word : &p->patch, first + k);
					const int64_t best = best_of(p, of_word, row, of_word ? j * p->G : p->off[j],
					    of_word ? p->patch_top : p->word_top ? p->word_top[j] : p->off[j + 1] - p->off[j], &most);
					add(p, of_word, row, best, p->scale * g / n, d_word, d_patch);
				}
			}
			r->d_scale += ds;
		}
	free(l);
}

/* --- */

static double
error(const double *got, const double *want, size_t n)
{
	double d = 0, all = 0;

	for (size_t i = 0; i < n; i++) {
		d += (got[i] - want[i]) * (got[i] - want[i]);
		all += want[i] * want[i];
	}
	return sqrt(d / all);
}

static void
compare(int N, int D, int G, int most, int select, int rows, int cols, int keep)
{
	struct dc_late_work w = { .rows = rows, .cols = cols };
	struct dc_late_result got, want = { 0 };
	struct problem t;
	double *d[2], worst;

	begin(&t, N, D, G, most, select, (uint64_t)N);
	for (int k = 0; k < 2; k++)
		d[k] = dc_xcalloc((size_t)(k ? t.n_patch : t.n_word) * D, sizeof *d[k]);
	naive_way(&t.p, 0, .7, &want, d[0], d[1]);
	naive_way(&t.p, 1, .7, &want, d[0], d[1]);
	dc_late_loss(&w, &t.p, .7, &got);
	worst = fmax(error(t.d[0], d[0], (size_t)t.n_word * D), error(t.d[1], d[1], (size_t)t.n_patch * D));
	ok(fabs(got.value - want.value) < 1e-6 && got.right_word == want.right_word && got.right_patch == want.right_patch,
	    "%d samples, %d words, %d patches%s, tiles of %d x %d: value %.9g", N, t.n_word, t.n_patch, select ? ", some candidates" : "",
	    rows, cols, got.value);
	ok(worst < 1e-6 && fabs(got.d_scale - want.d_scale) < 1e-6 * (1 + fabs(want.d_scale)), "the gradients, worst %.1e", worst);
	ok(w.kept == keep, "what the backward pass needs is %s", keep ? "kept" : "not kept");
	for (int k = 0; k < 2; k++)
		free(d[k]);
	dc_late_work_free(&w);
	end(&t);
}

/* Another number of threads, another tile: the same bits; the same to rounding. */
static void
test_threads(void)
{
	const int threads = dc_threads();
	struct dc_late_result r[4];
	struct problem t[4];
	int same = 1;

	for (int n = 0; n < 4; n++) {
		struct dc_late_work w = { .rows = 2048, .cols = n < 3 ? 4096 : 700 };
		begin(&t[n], 110, 40, 12, 14, 0, 5);
		dc_set_threads(n < 3 ? n + 1 : 2);
		dc_late_loss(&w, &t[n].p, 1, &r[n]);
		dc_late_work_free(&w);
		for (int k = 0; k < 2 && n < 3; k++)
			same &= !memcmp(t[n].d[k], t[0].d[k], (size_t)(k ? t[n].n_patch : t[n].n_word) * 40 * sizeof(double));
	}
	dc_set_threads(threads);
	ok(same && !memcmp(&r[1], &r[0], sizeof *r) && !memcmp(&r[2], &r[0], sizeof *r), "1, 2 and 3 threads: the same bits");
	ok(error(t[3].d[0], t[0].d[0], (size_t)t[0].n_word * 40) < 1e-6, "in tiles the same gradient");
	for (int n = 0; n < 4; n++)
		end(&t[n]);
}

/* A word that is not a number: its own caption's logits are none, and with them the loss. */
static void
test_nan(void)
{
	struct dc_late_work w = { .rows = 64, .cols = 64 };
	struct dc_late_result r;
	struct problem t;

	begin(&t, 5, 8, 4, 6, 0, 1);
	t.x[0][8] = NAN;
	dc_late_loss(&w, &t.p, 1, &r);
	ok(isnan(r.value) && isnan(t.d[0][8]), "NaN comes out as it went in");
	dc_late_work_free(&w);
	end(&t);
}

int
main(void)
{
	compare(9, 5, 4, 5, 0, 20, 20, 0);
	compare(9, 5, 4, 5, 0, 512, 512, 1);
	compare(9, 5, 4, 5, 1, 9, 7, 0);
	compare(33, 24, 9, 11, 0, 2048, 4096, 1);
	compare(33, 24, 9, 11, 1, 2048, 4096, 1);
	compare(60, 16, 16, 15, 0, 2048, 4096, 1);   /* several pieces in both directions */
	compare(60, 16, 16, 15, 1, 2048, 4096, 1);
	compare(60, 16, 16, 15, 0, 100, 300, 0);
	compare(60, 150, 16, 15, 0, 300, 500, 1);    /* tiles both ways that are kept; rows of more than a strip */
	compare(3, 4, 1, 1, 0, 1, 1, 0);
	test_threads();
	test_nan();
	return done_testing();
}
