/* SPDX-License-Identifier: MIT */
#include "data/mix.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef __int128 int128;

enum { DECIMALS = 6, MILLION = 1000000 };
#define WEIGHT_MAX ((int64_t)1 << 52) /* in millionths */

/* --- sources --- */

/* "2", "0.25" in millionths. 0 if it is no such number. */
static int64_t
parse_weight(const char *p, const char *end)
{
	int64_t v = 0;
	int decimals = -1; /* before the point */

	for (; p < end; p++) {
		if (*p == '.' && decimals < 0) {
			decimals = 0;
			continue;
		}
		if (*p < '0' || *p > '9' || decimals == DECIMALS || v > WEIGHT_MAX / 10)
			return 0;
		v = v * 10 + (*p - '0');
		decimals += decimals >= 0;
	}
	for (decimals = decimals < 0 ? 0 : decimals; decimals < DECIMALS && v <= WEIGHT_MAX / 10; decimals++)
		v *= 10;
	return decimals == DECIMALS && v <= WEIGHT_MAX ? v : 0;
}

int
dc_mix_add(struct dc_mix *m, const char *text)
{
	const char *equal = strchr(text, '='), *colon = equal ? strchr(equal, ':') : NULL;
	const size_t first = m->shards.n;
	struct dc_mix_source *s;
	char *shards;
	int64_t weight;

	DC_CHECK(colon && equal > text && colon[1] && !memchr(text, ':', (size_t)(equal - text)),
	    "%s: a source is NAME=WEIGHT:SHARDS", text);
	DC_CHECK((weight = parse_weight(equal + 1, colon)) > 0, "%.*s: its weight must be a number above 0, of at most %d decimals",
	    (int)(colon - text), text, DECIMALS);
	DC_CHECK(m->n < DC_MIX_MAX, "more than %d sources", DC_MIX_MAX);
	for (size_t i = 0; i < m->n; i++)
		DC_CHECK(strlen(m->source[i].name) != (size_t)(equal - text)
		    || strncmp(m->source[i].name, text, (size_t)(equal - text)), "%s is given twice", m->source[i].name);
	shards = dc_xstrdup(colon + 1);
	if (dc_shards_expand(&m->shards, &shards, 1) < 0 || m->shards.has_stdin) {
		free(shards);
		return m->shards.has_stdin ? dc_err_set("%s: standard input (-) can be read once only; a mixture needs files", text) : -1;
	}
	free(shards);
	m->source = dc_xrealloc(m->source, m->n + 1, sizeof *m->source);
	s = &m->source[m->n++];
	*s = (struct dc_mix_source){ .name = dc_xstrndup(text, (size_t)(equal - text)), .weight = weight, .first = first };
	return 0;
}

static int64_t
gcd(int64_t a, int64_t b)
{
	while (b) {
		int64_t t = a % b;
		a = b;
		b = t;
	}
	return a;
}

static void
on_refuse(void *arg, const struct dc_sample *s, enum dc_reject why, const char *text)
{
	const struct dc_mix_source *x = arg;
	struct dc_sample there = *s;

	there.shard += (uint32_t)x->first;
	x->mix->refuse(x->mix->arg, &there, why, text);
}

static void
on_damage(void *arg, const char *text)
{
	const struct dc_mix_source *x = arg;

	x->mix->damage(x->mix->arg, text);
}

int
dc_mix_begin(struct dc_mix *m)
{
	int64_t common = 0;

	DC_CHECK(m->n, "no source given");
	DC_TRY(dc_shards_check(&m->shards));
	m->taken = dc_xcalloc(m->n, sizeof *m->taken);
	for (size_t i = 0; i < m->n; i++)
		common = gcd(common, m->source[i].weight);
	for (size_t i = 0; i < m->n; i++) {
		struct dc_mix_source *s = &m->source[i];
		const size_t end = i + 1 < m->n ? s[1].first : m->shards.n;
		s->weight /= common;
		s->mix = m;
		s->shards = (struct dc_shards){ .n = end - s->first, .path = m->shards.path + s->first, .base = m->shards.base + s->first,
			.again = m->shards.again + s->first };
		/* sources of equally many shards have orders of their own; the first has that of the seed itself */
		s->reader = (struct dc_reader){ .shards = &s->shards, .sources = m->sources, .seed = m->seed + ((uint64_t)i << 32),
			.shuffle = m->shuffle, .strict = m->strict, .images = 1, .watch = m->watch, .refuse = on_refuse,
			.damage = on_damage, .arg = s };
	}
	return 0;
}

/* --- the order --- */

/* The source whose next sample comes first, count[i] of each having come: the smallest (count + 1/2) / weight. */
static size_t
next_source(const struct dc_mix *m, const int64_t *count)
{
	size_t best = 0;

	for (size_t i = 1; i < m->n; i++) {
		const int64_t a = count[i], b = count[best];
		if ((int128)(2 * a + 1) * m->source[best].weight < (int128)(2 * b + 1) * m->source[i].weight)
			best = i;
	}
	return best;
}

void
dc_mix_shares(const struct dc_mix *m, int64_t n, int64_t *count)
{
	int64_t sum = 0, left = n;

	for (size_t i = 0; i < m->n; i++)
		sum += m->source[i].weight;
	/* of the first n, at least p (n - S/2) - 1/2; the few that are missing are found one by one */
	for (size_t i = 0; i < m->n; i++) {
		const int128 twice = (int128)(2 * n - (int64_t)m->n) * m->source[i].weight - sum;
		count[i] = twice > 0 ? (int64_t)(twice / (2 * (int128)sum)) : 0;
		left -= count[i];
	}
	for (; left > 0; left--)
		count[next_source(m, count)]++;
}

int
dc_mix_count(struct dc_mix *m)
{
	int r = DC_READER_END;

	m->samples = 0;
	for (size_t i = 0; i < m->n && r == DC_READER_END; i++) {
		if ((r = dc_reader_count(&m->source[i].reader, &m->source[i].n)) == DC_READER_FAIL)
			dc_err_prefix("%s", m->source[i].name);
		m->samples += m->source[i].n;
	}
	return r;
}

void
dc_mix_skip(struct dc_mix *m, int64_t n)
{
	dc_mix_shares(m, n, m->taken);
	m->skipped = m->passed = 0;
	for (size_t i = 0; i < m->n; i++) {
		struct dc_mix_source *s = &m->source[i];
		s->epoch = m->taken[i] / s->n;
		s->before = m->taken[i] % s->n;
		m->passed += s->epoch * s->n;
		dc_reader_pass_over(&s->reader, s->epoch, s->n, s->before);
	}
	m->skipped = m->passed;
}

/* --- reading --- */

/* The source's next sample, in this epoch or the next. */
static int
next_of(struct dc_mix_source *s, struct dc_sample **out)
{
	int r;

	for (;;) {
		if (!s->open) {
			dc_reader_begin(&s->reader, s->epoch);
			s->place = 0;
			s->open = 1;
		}
		if ((r = dc_reader_next(&s->reader, out)) == DC_READER_SAMPLE && s->place++ >= s->before)
			return r;
		if (r == DC_READER_SAMPLE) {
			s->mix->skipped++;
			dc_sample_free(*out);
			free(*out);
			continue;
		}
		if (r != DC_READER_END)
			return r;
		if (!s->reader.usable)
			return dc_reader_none(&s->reader, s->name);
		s->n = (int64_t)s->reader.usable;
		s->before = 0;
		s->open = 0;
		s->epoch++;
	}
}

int
dc_mix_next(struct dc_mix *m, struct dc_sample **out)
{
	const size_t i = next_source(m, m->taken);
	struct dc_mix_source *s = &m->source[i];
	int r = next_of(s, out);

	if (r != DC_READER_SAMPLE)
		return r;
	m->taken[i]++;
	(*out)->shard += (uint32_t)s->first;
	return r;
}

void
dc_mix_free(struct dc_mix *m)
{
	for (size_t i = 0; i < m->n; i++) {
		dc_reader_free(&m->source[i].reader);
		free(m->source[i].name);
	}
	free(m->source);
	free(m->taken);
	m->taken = NULL;
	m->source = NULL;
	m->n = 0;
	dc_shards_free(&m->shards);
}
