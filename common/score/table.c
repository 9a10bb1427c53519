/* SPDX-License-Identifier: MIT */
#include "score/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void
dc_table_header(int tsv)
{
	if (tsv)
		printf("name\tvalue\tstandard_error\tchance\tz\tn\n");
	else
		printf("%-16s %9s %9s %9s %9s\n", "", "", "std.err.", "chance", "z");
}

void
dc_table_share(const char *what, const char *name, const struct dc_share *s, int tsv)
{
	if (tsv)
		printf("%s\t%.6f\t%.6f\t%.6f\t%.2f\t%lld\n", name, s->value, s->se, s->chance, s->z, (long long)s->n);
	else
		printf("%-16s %7.2f %% %9.2f %9.2f %9.1f\n", what, 100 * s->value, 100 * s->se, 100 * s->chance, s->z);
}

static void
print_classes(const struct dc_class *c, int64_t K, const char *const *name, int tsv)
{
	char number[32];

	printf(tsv ? "\nclass\timages\tright\tgiven\n" : "\n%-24s %8s %9s %8s\n", "class", "images", "right", "given");
	for (int64_t k = 0; k < K; k++) {
		const double p = c[k].n ? c[k].hits / (double)c[k].n : NAN;
		snprintf(number, sizeof number, "%lld", (long long)k);
		printf(tsv ? "%s\t%lld\t%.6f\t%lld\n" : "%-24s %8lld %7.2f %% %8lld\n", name ? name[k] : number, (long long)c[k].n,
		    tsv ? p : 100 * p, (long long)c[k].given);
	}
}

void
dc_table_cases(const struct dc_cases *c, const char *const *name, int per_class, int tsv)
{
	struct dc_class *each = dc_accuracy_classes(c);
	struct dc_share s;

	dc_accuracy_top(&s, c, 1);
	dc_table_share("top-1", "top-1", &s, tsv);
	if (c->K > 5) {
		dc_accuracy_top(&s, c, 5);
		dc_table_share("top-5", "top-5", &s, tsv);
	}
	dc_accuracy_mean(&s, each, c->K);
	dc_table_share("mean per class", "mean_per_class", &s, tsv);
	if (per_class)
		print_classes(each, c->K, name, tsv);
	free(each);
}
