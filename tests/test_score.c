/* SPDX-License-Identifier: MIT */
/* Retrieval and zero-shot scores against their definitions. */
#include "tests/tap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "loss/unit.h"
#include "score/retrieval.h"
#include "score/tokenwise.h"
#include "score/zeroshot.h"

static uint64_t seed = 3;

static double
draw(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(int64_t)(seed ^ (seed >> 31)) / 9.3e18;
}

static dc_real *
unit_rows(int64_t n, int D)
{
	dc_real *x = dc_xcalloc(n * D, sizeof *x), *r = dc_xcalloc(n, sizeof *r);

	for (int64_t i = 0; i < n * D; i++)
		x[i] = (dc_real)draw();
	dc_unit_forward(x, r, x, (int)n, D);
	free(r);
	return x;
}

/* every order of the equal ones: does a right one come within k? bits of `order` set: right ones */
static void
by_enumeration(const struct dc_place *p, int k, double *hit, double *rank)
{
	int n = (int)(p->ties + p->own), all = 0;

	*hit = *rank = 0;
	for (int order = 0; order < 1 << n; order++) {
		int first = 0;
		if (__builtin_popcount(order) != p->own)
			continue;
		while (!(order >> first & 1))
			first++;
		all++;
		*hit += p->greater + first + 1 <= k;
		*rank += (double)p->greater + first + 1;
	}
	*hit /= all;
	*rank /= all;
}

static void
test_place(void)
{
	double worst = 0, hit, rank;

	for (int greater = 0; greater < 4; greater++)
		for (int ties = 0; ties < 5; ties++)
			for (int own = 1; own < 4; own++)
				for (int k = 1; k < 9; k++) {
					const struct dc_place p = { greater, ties, own };
					by_enumeration(&p, k, &hit, &rank);
					worst = fmax(worst, fmax(fabs(hit - dc_place_hit(&p, k)), fabs(rank - dc_place_rank(&p))));
				}
	ok(worst < 1e-12, "hits and ranks are the mean over all orders of equal ones, worst %.1e", worst);
	ok(fabs(dc_retrieval_chance(1000, 1, 10) - .01) < 1e-15 && dc_retrieval_chance(7, 0, 5) == 0, "chance of one");
	ok(fabs(dc_retrieval_chance(10, 2, 1) - .2) < 1e-15 && dc_retrieval_chance(3, 1, 5) == 1, "of two, of few");
}

static void
naive(struct dc_place *p, const dc_real *query, const dc_real *all, int64_t n, int D, const char *right)
{
	double *l = dc_xcalloc(n, sizeof *l), best = -2;

	*p = (struct dc_place){ 0 };
	for (int64_t i = 0; i < n; i++) {
		for (int d = 0; d < D; d++)
			l[i] += (double)query[d] * all[i * D + d];
		best = right[i] && l[i] > best ? l[i] : best;
	}
	for (int64_t i = 0; i < n; i++) {
		const int equal = fabs(l[i] - best) < 2e-6;
		p->greater += !right[i] && !equal && l[i] > best;
		p->ties += !right[i] && equal;
		p->own += right[i] && equal;
	}
	free(l);
}

/* C captions of N images in no order, every seventh equal to the one three before; some images have none */
static void
test_retrieval(int64_t N, int64_t C, int D)
{
	dc_real *image = unit_rows(N, D), *text = unit_rows(C, D);
	int64_t *owner = dc_xcalloc(C, sizeof *owner), wrong = 0;
	struct dc_place *i2t = dc_xcalloc(N, sizeof *i2t), *t2i = dc_xcalloc(C, sizeof *t2i), p;
	char *right = dc_xcalloc(N + C, 1);

	for (int64_t c = 0; c < C; c++) {
		owner[c] = (c * 7 + c / 3) % (N - 1);
		if (c % 7 == 6)
			memcpy(text + c * D, text + (c - 3) * D, D * sizeof *text);
	}
	dc_retrieval(i2t, t2i, &(struct dc_side){ image, NULL, N }, &(struct dc_side){ text, NULL, C }, owner, D);
	for (int64_t n = 0; n < N; n++) {
		int any = 0;
		for (int64_t c = 0; c < C; c++)
			any |= right[c] = owner[c] == n;
		naive(&p, image + n * D, text, C, D, right);
		wrong += any ? memcmp(&p, &i2t[n], sizeof p) != 0 : i2t[n].own != 0;
	}
	for (int64_t c = 0; c < C; c++) {
		for (int64_t n = 0; n < N; n++)
			right[n] = owner[c] == n;
		naive(&p, text + c * D, image, N, D, right);
		wrong += memcmp(&p, &t2i[c], sizeof p) != 0;
	}
	ok(wrong == 0, "retrieval %d x %d: places as defined (%d wrong)", (int)N, (int)C, (int)wrong);
	free(image); free(text); free(owner); free(i2t); free(t2i); free(right);
}

/* samples of 0 to `most` unit rows each */
static struct dc_side
ragged(int64_t n, int most, int D, int64_t **off)
{
	*off = dc_xcalloc(n + 1, sizeof **off);
	for (int64_t i = 0; i < n; i++)
		(*off)[i + 1] = (*off)[i] + (i * 5 + i / 3) % (most + 1);
	return (struct dc_side){ unit_rows((*off)[n], D), *off, n };
}

/* Similarities by the definition, in both directions. */
static double
naive_way(const struct dc_side *a, int64_t i, const struct dc_side *b, int64_t j, int D)
{
	const int64_t n = a->off[i + 1] - a->off[i];
	double sum = 0;

	for (int64_t k = a->off[i]; k < a->off[i + 1]; k++) {
		double max = -2;
		for (int64_t r = b->off[j]; r < b->off[j + 1]; r++) {
			double l = 0;
			for (int d = 0; d < D; d++)
				l += (double)a->row[k * D + d] * b->row[r * D + d];
			max = l > max ? l : max;
		}
		sum += max > -2 ? max : 0;
	}
	return n ? sum / (double)n : 0;
}

static void
count(struct dc_place *p, double l, double best, int right)
{
	const int equal = fabs(l - best) < 2e-6;

	p->greater += !right && !equal && l > best;
	p->ties += !right && equal;
	p->own += right && equal;
}

/* Images and captions of several rows, some of none: retrieval by definition, over several tiles of rows. */
static void
test_tokens(int64_t N, int64_t C, int G, int R, int D)
{
	int64_t *image_off, *text_off, *owner = dc_xcalloc(C, sizeof *owner), wrong = 0;
	const struct dc_side image = ragged(N, G, D, &image_off), text = ragged(C, R, D, &text_off);
	struct dc_place *i2t = dc_xcalloc(N, sizeof *i2t), *t2i = dc_xcalloc(C, sizeof *t2i), p;
	double *x = dc_xcalloc(N * C, sizeof *x), *y = dc_xcalloc(N * C, sizeof *y);

	for (int64_t c = 0; c < C; c++)
		owner[c] = (c * 7 + c / 3) % (N - 1);
	for (int64_t n = 0; n < N; n++)
		for (int64_t c = 0; c < C; c++) {
			x[n * C + c] = naive_way(&image, n, &text, c, D);
			y[n * C + c] = naive_way(&text, c, &image, n, D);
		}
	dc_retrieval(i2t, t2i, &image, &text, owner, D);
	for (int64_t n = 0; n < N; n++) {
		double best = -2;
		p = (struct dc_place){ 0 };
		for (int64_t c = 0; c < C; c++)
			best = owner[c] == n && x[n * C + c] > best ? x[n * C + c] : best;
		for (int64_t c = 0; c < C && best > -2; c++)
			count(&p, x[n * C + c], best, owner[c] == n);
		wrong += memcmp(&p, &i2t[n], sizeof p) != 0;
	}
	for (int64_t c = 0; c < C; c++) {
		p = (struct dc_place){ 0 };
		for (int64_t n = 0; n < N; n++)
			count(&p, y[n * C + c], y[owner[c] * C + c], owner[c] == n);
		wrong += memcmp(&p, &t2i[c], sizeof p) != 0;
	}
	ok(wrong == 0, "token by token %d x %d: places as defined (%d wrong)", (int)N, (int)C, (int)wrong);
	free((dc_real *)image.row); free((dc_real *)text.row); free(image_off); free(text_off);
	free(owner); free(i2t); free(t2i); free(x); free(y);
}

/* Classes of P prompts: the mean of their similarities. */
static void
test_zeroshot_tokens(int64_t N, int64_t K, int64_t P, int D)
{
	int64_t *image_off, *prompt_off, *label = dc_xcalloc(N, sizeof *label), *best = dc_xcalloc(N, sizeof *best), wrong = 0;
	const struct dc_side image = ragged(N, 9, D, &image_off), prompt = ragged(K * P, 6, D, &prompt_off);
	struct dc_place *place = dc_xcalloc(N, sizeof *place);
	double *l = dc_xcalloc(K, sizeof *l);

	for (int64_t n = 0; n < N; n++)
		label[n] = n % (K + 1) - 1;
	dc_zeroshot_tokens(place, best, &image, label, &prompt, K, P, D);
	for (int64_t n = 0; n < N; n++) {
		struct dc_place p = { 0 };
		int64_t top = 0;
		for (int64_t k = 0; k < K; k++) {
			l[k] = 0;
			for (int64_t i = 0; i < P; i++)
				l[k] += naive_way(&image, n, &prompt, k * P + i, D) / (double)P;
			top = l[k] > l[top] + 1e-6 ? k : top;
		}
		for (int64_t k = 0; k < K && label[n] >= 0; k++)
			count(&p, l[k], l[label[n]], k == label[n]);
		wrong += memcmp(&p, &place[n], sizeof p) != 0 || top != best[n];
	}
	ok(wrong == 0, "zero-shot token by token, %d images, %d classes of %d (%d wrong)", (int)N, (int)K, (int)P, (int)wrong);
	free((dc_real *)image.row); free((dc_real *)prompt.row); free(image_off); free(prompt_off);
	free(label); free(best); free(place); free(l);
}

static void
test_zeroshot(void)
{
	const dc_real prompt[] = { 1, 0, 0, 1, 1, 0, -1, 0, 0, -1, 0, -1 };   /* classes (.7,.7) (0,0) (0,-1) */
	const dc_real image[] = { 0, 1, 0, -1, 1, 0, -1, 0, .6f, -.8f };
	const int64_t label[] = { 0, 2, 0, 0, -1 };
	dc_real cls[6];
	struct dc_place p[5];
	int64_t best[5];

	dc_zeroshot_classes(cls, prompt, 3, 2, 2);
	ok(fabs(cls[0] - sqrt(.5)) < 1e-6 && fabs(cls[1] - sqrt(.5)) < 1e-6 && cls[5] == -1, "classes: mean of prompts, unit");
	ok(cls[2] == 0 && cls[3] == 0, "prompts that cancel give zeros");
	dc_zeroshot(p, best, image, label, cls, 5, 3, 2);
	ok(best[0] == 0 && p[0].greater == 0 && p[0].ties == 0 && p[0].own == 1, "an image of class 0");
	ok(best[1] == 2 && p[1].greater == 0, "of class 2");
	ok(p[3].greater == 2 && best[3] == 1, "a wrong one: both others are before it, the first of equals is chosen");
	ok(p[4].own == 0, "no label");
}

static void
test_share(void)
{
	const double x[] = { 1, 0, 0, 1, 1 };
	double odd[] = { 5, 1, 3 }, even[] = { 4, 1, 3, 2 };
	struct dc_share s;

	dc_share_of(&s, x, 5, .2);
	ok(fabs(s.value - .6) < 1e-15 && fabs(s.se - sqrt(.3 / 5)) < 1e-15, "mean and standard error");
	ok(fabs(s.z - .4 / sqrt(.16 / 5)) < 1e-12, "standard errors above chance");
	ok(dc_median(odd, 3) == 3 && dc_median(even, 4) == 2.5 && isnan(dc_median(odd, 0)), "medians");
}

int
main(void)
{
	test_place();
	test_retrieval(9, 31, 6);
	test_retrieval(530, 1100, 8);
	test_retrieval(40, 13, 3);
	test_tokens(9, 31, 4, 5, 6);
	test_tokens(160, 450, 13, 9, 7);
	test_zeroshot();
	test_zeroshot_tokens(150, 7, 3, 6);
	test_zeroshot_tokens(3, 300, 5, 5);
	test_share();
	return done_testing();
}
