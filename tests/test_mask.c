/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "tests/tap.h"
#include "text/mask.h"

enum { V = 1000, T = 77, WORDS = 60, ROWS = 4000 };

struct counts { int drawn, mask, kept, random, special, positions, none, ends, targets; };

static void
make_row(int32_t *row)
{
	memset(row, 0, T * sizeof *row);
	row[0] = V - 2;
	for (int t = 1; t <= WORDS; t++)
		row[t] = t % 7 ? 100 + t : 0;   /* id 0 is a token too, not only padding */
	row[WORDS + 1] = V - 1;
}

static void
count_row(struct counts *c, const int32_t *row, const int32_t *masked, const int32_t *target, int asked)
{
	int n = 0;

	for (int t = 0; t < T; t++) {
		if (target[t] < 0) {
			c->ends += masked[t] != row[t];
			continue;
		}
		n++;
		c->ends += t == 0 || t > WORDS;
		c->targets += target[t] != row[t];
		c->mask += masked[t] == V;
		c->kept += masked[t] == row[t];
		c->random += masked[t] != V && masked[t] != row[t];
		c->special += masked[t] == V - 2 || masked[t] == V - 1;
	}
	c->targets += n != asked;
	c->drawn += n;
	c->none += n == 0;
	c->positions += WORDS;
}

static struct counts
count(double p, int size, int released)
{
	struct dc_mask m = { .p = p, .size = size, .released = released };
	struct counts c = { 0 };
	int32_t row[T], masked[T], target[T];
	struct dc_rng r;

	make_row(row);
	for (int i = 0; i < ROWS; i++) {
		dc_rng_init(&r, 7, 0, (uint64_t)i, 0, DC_RNG_MLM);
		count_row(&c, row, masked, target, dc_mask_row(&m, &r, row, T, masked, target));
	}
	return c;
}

/* |got - p n| within five standard deviations of a binomial. */
static int
likely(int got, double p, int n)
{
	return fabs(got - p * n) <= 5 * sqrt(n * p * (1 - p));
}

static void
test_shares(void)
{
	struct counts c = count(0.15, V, 0), all = count(1, V, 0), off = count(0, V, 0);

	ok(likely(c.drawn, 0.15, c.positions), "15 %% of the positions are drawn (%.4f)", (double)c.drawn / c.positions);
	ok(likely(c.mask, 0.8, c.drawn), "80 %% of them show the mask (%.4f)", (double)c.mask / c.drawn);
	ok(likely(c.random, 0.1 * (1 - 1. / V), c.drawn), "10 %% a random id (%.4f)", (double)c.random / c.drawn);
	ok(likely(c.kept, 0.1 + 0.1 / V, c.drawn), "10 %% stay (%.4f)", (double)c.kept / c.drawn);
	ok(c.targets == 0, "each target is the id that was there");
	ok(c.ends == 0, "start, end and padding are never touched");
	ok(c.special == 0, "no random id is special");
	ok(all.drawn == all.positions, "p = 1 asks for all");
	ok(off.drawn == 0 && off.ends == 0 && off.none == ROWS, "p = 0 for none");
}

/* A vocabulary so small that special ids come up often. */
static void
test_random_ids(void)
{
	const int32_t row[5] = { 4, 0, 1, 5, 0 };   /* V = 6: ids 0..3, start 4, end 5, mask 6 */
	int seen[2][7] = { { 0 } };
	struct dc_rng r;

	for (int released = 0; released < 2; released++)
		for (int i = 0; i < 4000; i++) {
			struct dc_mask m = { .p = 1, .size = 6, .released = released };
			int32_t masked[5], target[5];

			dc_rng_init(&r, 1, 2, (uint64_t)i, 0, DC_RNG_MLM);
			dc_mask_row(&m, &r, row, 5, masked, target);
			seen[released][masked[1]]++;
		}
	ok(!seen[0][4] && !seen[0][5], "paper: never start or end");
	ok(seen[0][1] && seen[0][2] && seen[0][3], "but every other id");
	ok(seen[1][4] && seen[1][5] && seen[1][3], "released: any id");
}

/* What a position gets depends on its place, not on the row's other ids. */
static void
test_repeat(void)
{
	struct dc_mask m = { .p = 0.5, .size = V };
	int32_t row[T], other[T], a[T], b[T], ta[T], tb[T];
	struct dc_rng r;
	int same = 1;

	make_row(row);
	memcpy(other, row, sizeof row);
	other[3] = 777;
	dc_rng_init(&r, 3, 1, 99, 0, DC_RNG_MLM);
	dc_mask_row(&m, &r, row, T, a, ta);
	dc_rng_init(&r, 3, 1, 99, 0, DC_RNG_MLM);
	dc_mask_row(&m, &r, other, T, b, tb);
	for (int t = 0; t < T; t++)
		same = same && (t == 3 || (a[t] == b[t] && ta[t] == tb[t]));
	ok(same, "the same draw masks the same positions, whatever the words");
	dc_rng_init(&r, 3, 2, 99, 0, DC_RNG_MLM);
	dc_mask_row(&m, &r, row, T, b, tb);
	ok(memcmp(ta, tb, sizeof ta) != 0, "another epoch masks others");
}

int
main(void)
{
	test_shares();
	test_random_ids();
	test_repeat();
	return done_testing();
}
