/* SPDX-License-Identifier: MIT */
/* The distribution of whole numbers, in 62 KB however many there are: counted one by one below 1024, above in steps of
 * 1/128 of a power of two, so that a quantile is off by 0.4 % at most. Least, most and mean are exact.
 *
 *	struct dc_hist h = { 0 };
 *	dc_hist_add(&h, v);
 *	dc_hist_quantile(&h, 0.5); */
#ifndef DC_CURATE_HIST_H
#define DC_CURATE_HIST_H

#include <stddef.h>
#include <stdint.h>

enum { DC_HIST_EXACT = 1024, DC_HIST_STEPS = 128, DC_HIST_BINS = DC_HIST_EXACT + 54 * DC_HIST_STEPS };

struct dc_hist { uint64_t n, min, max, bin[DC_HIST_BINS]; double sum; };

void dc_hist_add(struct dc_hist *h, uint64_t v);
/* The least value that a share q of all is not above; 0 of nothing. */
uint64_t dc_hist_quantile(const struct dc_hist *h, double q);
double dc_hist_mean(const struct dc_hist *h);
/* n bins of equal width, whole numbers wide, from the least value on; the last one also has all above it. Such that it
 * begins about at the quantile q. Return the width. */
uint64_t dc_hist_bins(const struct dc_hist *h, double q, size_t n, uint64_t *count);

#endif
