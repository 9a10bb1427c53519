/* SPDX-License-Identifier: MIT */
#include "score/accuracy.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

void
dc_cases_add(struct dc_cases *c, const struct dc_place *place, int64_t label, int64_t given)
{
	if (c->n == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 1024;
		c->place = dc_xrealloc(c->place, (size_t)c->cap, sizeof *c->place);
		c->label = dc_xrealloc(c->label, (size_t)c->cap, sizeof *c->label);
		c->given = dc_xrealloc(c->given, (size_t)c->cap, sizeof *c->given);
	}
	c->place[c->n] = *place;
	c->label[c->n] = label;
	c->given[c->n++] = given;
}

void
dc_cases_free(struct dc_cases *c)
{
	free(c->place);
	free(c->label);
	free(c->given);
}

void
dc_accuracy_top(struct dc_share *s, const struct dc_cases *c, int64_t k)
{
	double *hit = dc_xcalloc((size_t)c->n, sizeof *hit);

	for (int64_t i = 0; i < c->n; i++)
		hit[i] = dc_place_hit(&c->place[i], k);
	dc_share_of(s, hit, c->n, k < c->K ? (double)k / (double)c->K : 1);
	free(hit);
}

struct dc_class *
dc_accuracy_classes(const struct dc_cases *c)
{
	struct dc_class *k = dc_xcalloc((size_t)c->K, sizeof *k);

	for (int64_t i = 0; i < c->n; i++) {
		k[c->label[i]].n++;
		k[c->label[i]].hits += dc_place_hit(&c->place[i], 1);
		k[c->given[i]].given++;
	}
	return k;
}

void
dc_accuracy_mean(struct dc_share *s, const struct dc_class *c, int64_t K)
{
	double var = 0, guess = 0;

	*s = (struct dc_share){ .chance = 1 / (double)K };
	for (int64_t k = 0; k < K; k++) {
		const double p = c[k].n ? c[k].hits / (double)c[k].n : 0;
		if (!c[k].n)
			continue;
		s->n++;
		s->value += p;
		var += p * (1 - p) / (double)c[k].n;
		guess += s->chance * (1 - s->chance) / (double)c[k].n;
	}
	s->value /= (double)s->n;
	s->se = sqrt(var) / (double)s->n;
	s->guess = sqrt(guess) / (double)s->n;
	s->z = s->guess > 0 ? (s->value - s->chance) / s->guess : 0;
}

/* --- the confusion matrix --- */

static void
put_name(FILE *fp, const char *const *names, int64_t k)
{
	names ? fprintf(fp, "%s", names[k]) : fprintf(fp, "%lld", (long long)k);
}

/* Cases in the order of their labels: those of class k are order[at[k]] .. order[at[k + 1] - 1]. */
static int64_t *
by_label(const struct dc_cases *c, int64_t *at)
{
	int64_t *order = dc_xcalloc((size_t)c->n, sizeof *order);

	for (int64_t i = 0; i < c->n; i++)
		at[c->label[i] + 1]++;
	for (int64_t k = 0; k < c->K; k++)
		at[k + 1] += at[k];
	for (int64_t i = 0; i < c->n; i++)
		order[at[c->label[i]]++] = i;
	for (int64_t k = c->K; k > 0; k--)
		at[k] = at[k - 1];
	at[0] = 0;
	return order;
}

static void
put_row(FILE *fp, const struct dc_cases *c, const int64_t *order, int64_t n)
{
	int64_t *count = dc_xcalloc((size_t)c->K, sizeof *count);

	for (int64_t i = 0; i < n; i++)
		count[c->given[order[i]]]++;
	for (int64_t k = 0; k < c->K; k++)
		fprintf(fp, "\t%lld", (long long)count[k]);
	free(count);
}

static void
put_matrix(FILE *fp, const struct dc_cases *c, const char *const *names)
{
	int64_t *at = dc_xcalloc((size_t)c->K + 1, sizeof *at), *order = by_label(c, at);

	fprintf(fp, "class");
	for (int64_t k = 0; k < c->K; k++) {
		putc('\t', fp);
		put_name(fp, names, k);
	}
	for (int64_t k = 0; k < c->K; k++) {
		putc('\n', fp);
		put_name(fp, names, k);
		put_row(fp, c, order + at[k], at[k + 1] - at[k]);
	}
	putc('\n', fp);
	free(at);
	free(order);
}

int
dc_confusion_write(const char *path, const struct dc_cases *c, const char *const *names)
{
	char *beside = dc_xasprintf("%s.%ld.tmp", path, (long)getpid());
	FILE *fp = fopen(beside, "wx");
	int r;

	if (!fp) {
		r = dc_err_errno("%s", beside);
		free(beside);
		return r;
	}
	put_matrix(fp, c, names);
	if ((r = dc_fshut(fp, beside)) == 0 && rename(beside, path) < 0)
		r = dc_err_errno("%s", path);
	if (r < 0)
		unlink(beside);
	free(beside);
	return r;
}
