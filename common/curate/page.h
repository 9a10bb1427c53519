/* SPDX-License-Identifier: MIT */
/* What curate/stats.h found, as a page to be read, as a table for programs, and as histograms. */
#ifndef DC_CURATE_PAGE_H
#define DC_CURATE_PAGE_H

#include <stdio.h>

#include "curate/stats.h"

/* top: how many words, captions and labels are listed. */
void dc_stats_page(const struct dc_stats *s, FILE *out, size_t top);
/* Lines "group<TAB>name<TAB>value" under a head line. */
void dc_stats_tsv(const struct dc_stats *s, FILE *out, size_t top);
/* Histograms into path, a .png or .svg, by gnuplot, which is started. Return 0, or -1 with a message. */
int dc_stats_plot(const struct dc_stats *s, const char *path) DC_MUST_USE;
/* Whether it can be drawn into: the extension, no quotes. Return 0, or -1 with a message. */
int dc_stats_plot_check(const char *path) DC_MUST_USE;

#endif
