/* SPDX-License-Identifier: MIT */
#include "curate/hist.h"

#include <math.h>
#include <string.h>

static size_t
bin_of(uint64_t v)
{
	int e;

	if (v < DC_HIST_EXACT)
		return v;
	e = 63 - __builtin_clzll(v);
	return DC_HIST_EXACT + (size_t)(e - 10) * DC_HIST_STEPS + ((v >> (e - 7)) & (DC_HIST_STEPS - 1));
}

/* The middle of a bin. */
static uint64_t
value_of(size_t bin)
{
	int e;

	if (bin < DC_HIST_EXACT)
		return bin;
	e = (int)((bin - DC_HIST_EXACT) / DC_HIST_STEPS) + 10;
	return ((uint64_t)(DC_HIST_STEPS + (bin - DC_HIST_EXACT) % DC_HIST_STEPS) << (e - 7)) + (1ull << (e - 8));
}

void
dc_hist_add(struct dc_hist *h, uint64_t v)
{
	h->min = h->n && h->min < v ? h->min : v;
	h->max = h->max > v ? h->max : v;
	h->n++;
	h->sum += (double)v;
	h->bin[bin_of(v)]++;
}

/* A bin's middle, no further out than the values are. */
static uint64_t
within(const struct dc_hist *h, size_t bin)
{
	uint64_t v = value_of(bin);

	return v < h->min ? h->min : v > h->max ? h->max : v;
}

uint64_t
dc_hist_quantile(const struct dc_hist *h, double q)
{
	/* 0.95 x 20 is 19, whatever 0.95 is */
	uint64_t wanted = (uint64_t)fmax(1, ceil(q * (double)h->n - 1e-6)), sum = 0;
	size_t i = 0;

	if (!h->n || q >= 1)
		return h->max;
	for (; i < DC_HIST_BINS && (sum += h->bin[i]) < wanted; i++)
		;
	return within(h, i);
}

double
dc_hist_mean(const struct dc_hist *h)
{
	return h->n ? h->sum / (double)h->n : 0;
}

uint64_t
dc_hist_bins(const struct dc_hist *h, double q, size_t n, uint64_t *count)
{
	uint64_t width = (dc_hist_quantile(h, q) - h->min) / n + 1;

	memset(count, 0, n * sizeof *count);
	for (size_t i = 0; i < DC_HIST_BINS; i++)
		if (h->bin[i]) {
			uint64_t at = (within(h, i) - h->min) / width;
			count[at < n ? at : n - 1] += h->bin[i];
		}
	return width;
}
