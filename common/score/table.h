/* SPDX-License-Identifier: MIT */
/* The table of a classification's scores on standard output, for people or tab-separated. */
#ifndef DC_SCORE_TABLE_H
#define DC_SCORE_TABLE_H

#include "score/accuracy.h"

/* One share: value, standard error, chance, z, and with tsv the number of cases; `name` is for tsv, `what` for people. */
void dc_table_share(const char *what, const char *name, const struct dc_share *s, int tsv);
/* The header of the columns of shares. */
void dc_table_header(int tsv);
/* top-1, top-5 where there are more than five classes, mean per class, and with per_class a second table: for each class its
 * images, the share of them that is right, and how many images were given to it. name may be NULL: numbers. */
void dc_table_cases(const struct dc_cases *c, const char *const *name, int per_class, int tsv);

#endif
