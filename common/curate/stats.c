/* SPDX-License-Identifier: MIT */
#include "curate/stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "curate/words.h"

/* A text that grows; what a worker found lies in one, by offsets. */
struct text { char *p; size_t n, cap; };

struct look_caption {
	size_t text, n;                /* the cleaned caption in the worker's text */
	size_t word; uint32_t words;   /* in the worker's words */
	size_t token; uint32_t tokens; /* in the worker's tokens */
	uint32_t chars;
	int script;
	XXH128_hash_t hash;
};

struct look {
	enum dc_image_format format;
	int width, height;
	XXH128_hash_t hash;
	size_t caption;                /* its first, in the worker's captions */
};

struct dc_stats_worker {
	struct dc_words words;
	struct dc_bpe_coder *coder;
	struct text text;
	struct dc_piece *word; size_t n_words, cap_words;  /* bytes of their caption's text */
	int32_t *token; size_t n_tokens, cap_tokens;
	struct look_caption *caption; size_t n_captions, cap_captions;
	struct look *look; size_t cap_looks;
	/* the work at hand: samples from .. to */
	const struct dc_stats *stats;
	struct dc_stats_sample *sample; size_t from, to;
};

/* Room for `more` behind n elements. */
static void *
reserve(void *p, size_t *cap, size_t n, size_t more, size_t size)
{
	if (n + more <= *cap)
		return p;
	*cap = 2 * (n + more) + 64;
	return dc_xrealloc(p, *cap, size);
}

/* --- by many threads --- */

/* The script of most letters, of equally many the first in the table; 0 without letters. */
static int
main_script(const char *s, size_t n, uint32_t *chars)
{
	uint32_t count[DC_SCRIPTS_MAX] = { 0 };
	int best = 0;
	int32_t c;

	*chars = 0;
	for (size_t at = 0; at < n; ++*chars) {
		at += (size_t)dc_utf8_get(s + at, n - at, &c);
		count[dc_script_of(c)]++;
	}
	count[0] = 0;
	for (int i = 1; i < DC_SCRIPTS_MAX; i++)
		best = count[i] > count[best] ? i : best;
	return best;
}

static void
copy_words(struct dc_stats_worker *w)
{
	const struct dc_words *words = &w->words;

	w->word = reserve(w->word, &w->cap_words, w->n_words, words->n_words, sizeof *w->word);
	for (size_t k = 0; k < words->n_words; k++) {
		size_t n;
		const char *p = dc_words_get(words, k, &n);

		w->word[w->n_words++] = (struct dc_piece){ (uint32_t)(p - words->clean.text), (uint32_t)n };
	}
}

static void
look_at_caption(struct dc_stats_worker *w, const struct dc_str *s)
{
	struct look_caption *k;
	const size_t tokens_max = 1 << 16;

	w->caption = reserve(w->caption, &w->cap_captions, w->n_captions, 1, sizeof *w->caption);
	k = &w->caption[w->n_captions++];
	*k = (struct look_caption){ .text = w->text.n, .word = w->n_words, .token = w->n_tokens };
	k->script = main_script(s->p, s->n, &k->chars);
	dc_words_take(&w->words, s->p, s->n);
	k->n = w->words.clean.n;
	k->words = (uint32_t)w->words.n_words;
	k->hash = XXH3_128bits(w->words.clean.text, k->n);
	w->text.p = reserve(w->text.p, &w->text.cap, w->text.n, k->n, 1);
	memcpy(w->text.p + w->text.n, w->words.clean.text, k->n);
	copy_words(w);
	w->text.n += k->n;
	if (!w->coder)
		return;
	w->token = reserve(w->token, &w->cap_tokens, w->n_tokens, tokens_max, sizeof *w->token);
	k->tokens = (uint32_t)dc_bpe_encode(w->coder, s->p, s->n, w->token + w->n_tokens, tokens_max);
	w->n_tokens += k->tokens;
}

static void
look_at_image(struct dc_stats_worker *w, struct dc_stats_sample *s, struct look *l)
{
	const struct dc_stats *st = w->stats;
	struct dc_image im = { 0 };
	int r;

	*l = (struct look){ .width = s->width, .height = s->height };
	if (!s->image)
		return;
	r = dc_image_header(s->image, s->bytes, st->max_pixels, &l->width, &l->height);
	if (r == 0 && st->decode)
		r = dc_image_decode(s->image, s->bytes, st->max_pixels, &im);
	dc_image_free(&im);
	if (r < 0) {
		s->why = dc_xstrdup(dc_err());
		return;
	}
	l->format = dc_image_format(s->image, s->bytes);
	l->hash = XXH3_128bits(s->image, s->bytes);
}

static void
look_at_samples(void *arg, size_t i)
{
	struct dc_stats_worker *w = (struct dc_stats_worker *)arg + i;

	w->text.n = w->n_words = w->n_tokens = w->n_captions = 0;
	w->look = reserve(w->look, &w->cap_looks, 0, w->to - w->from, sizeof *w->look);
	for (size_t k = w->from; k < w->to; k++) {
		struct dc_stats_sample *s = &w->sample[k];
		struct look *l = &w->look[k - w->from];

		look_at_image(w, s, l);
		l->caption = w->n_captions;
		for (size_t c = 0; c < s->n_captions && !s->why; c++)
			look_at_caption(w, &s->caption[c]);
	}
}

/* --- one after the other --- */

/* Whether a hash was there; one that is new is kept while there is room. */
static int
came_before(struct dc_seen *seen, XXH128_hash_t h, size_t max, uint64_t *unknown, uint32_t *times)
{
	uint32_t *at;

	if (seen->n >= max && !dc_seen_find(seen, h)) {
		++*unknown;
		return 0;
	}
	at = dc_seen_add(seen, h);
	*at += *at < UINT32_MAX;
	*times = *at;
	return *at > 1;
}

static void
add_image(struct dc_stats *s, const struct dc_stats_sample *sample, const struct look *l)
{
	const int w = l->width, h = l->height, shorter = w < h ? w : h, longer = w < h ? h : w;
	uint32_t times;

	s->formats[l->format]++;
	dc_hist_add(&s->hist[DC_HIST_WIDTH], (uint64_t)w);
	dc_hist_add(&s->hist[DC_HIST_HEIGHT], (uint64_t)h);
	dc_hist_add(&s->hist[DC_HIST_SIDE], (uint64_t)shorter);
	dc_hist_add(&s->hist[DC_HIST_ASPECT], ((uint64_t)longer * 200 + (uint64_t)shorter) / (2 * (uint64_t)shorter));
	dc_hist_add(&s->hist[DC_HIST_CAPTIONS], sample->n_captions);
	if (!sample->image)
		return;
	dc_hist_add(&s->hist[DC_HIST_SIZE], sample->bytes);
	s->same_images += (uint64_t)came_before(&s->images, l->hash, s->max_distinct, &s->unknown_images, &times);
}

static void
add_tokens(struct dc_stats *s, const int32_t *id, uint32_t n)
{
	dc_hist_add(&s->hist[DC_HIST_TOKENS], n);
	s->tokens += n;
	s->cut += n > (uint32_t)s->context - 2;
	for (uint32_t i = 0; i < n; i++) {
		s->used[id[i]]++;
		s->byte_tokens += id[i] < DC_BPE_BYTES / 2;
	}
}

static void
add_caption(struct dc_stats *s, const struct dc_stats_worker *w, const struct look_caption *k)
{
	uint32_t times = 0;

	s->captions++;
	s->scripts[k->script]++;
	dc_hist_add(&s->hist[DC_HIST_CHARS], k->chars);
	dc_hist_add(&s->hist[DC_HIST_WORDS], k->words);
	for (uint32_t i = 0; i < k->words; i++)
		dc_counts_add(&s->words, w->text.p + k->text + w->word[k->word + i].at, w->word[k->word + i].n, 1);
	if (w->coder)
		add_tokens(s, w->token + k->token, k->tokens);
	if (came_before(&s->all_captions, k->hash, s->max_distinct, &s->unknown_captions, &times)) {
		s->same_captions++;
		dc_counts_add(&s->texts, w->text.p + k->text, k->n, times == 2 ? 2 : 1);
	}
}

static void
add_label(struct dc_stats *s, int32_t label)
{
	char text[16];

	s->labelled++;
	dc_counts_add(&s->labels, text, (size_t)snprintf(text, sizeof text, "%" PRId32, label), 1);
}

static void
add_up(struct dc_stats *s, const struct dc_stats_worker *w)
{
	for (size_t i = w->from; i < w->to; i++) {
		const struct dc_stats_sample *sample = &w->sample[i];
		const struct look *l = &w->look[i - w->from];

		if (sample->why) {
			s->broken[DC_REJECT_IMAGE]++;
			continue;
		}
		s->usable++;
		add_image(s, sample, l);
		for (size_t c = 0; c < sample->n_captions; c++)
			add_caption(s, w, &w->caption[l->caption + c]);
		if (sample->has_label)
			add_label(s, sample->label);
	}
}

void
dc_stats_batch(struct dc_stats *s, struct dc_stats_sample *sample, size_t n)
{
	const size_t k = (size_t)s->workers;

	for (size_t i = 0; i < k; i++) {
		s->worker[i].sample = sample;
		s->worker[i].from = n * i / k;
		s->worker[i].to = n * (i + 1) / k;
	}
	dc_pool_for(s->pool, k, look_at_samples, s->worker);
	for (size_t i = 0; i < k; i++)
		add_up(s, &s->worker[i]);
}

void
dc_stats_begin(struct dc_stats *s, struct dc_pool *pool, int threads)
{
	s->pool = pool;
	s->workers = threads;
	s->worker = dc_xcalloc((size_t)threads, sizeof *s->worker);
	for (int i = 0; i < threads; i++) {
		s->worker[i].stats = s;
		s->worker[i].coder = s->bpe ? dc_bpe_coder_new(s->bpe) : NULL;
	}
	s->used = s->bpe ? dc_xcalloc((size_t)s->bpe->size, sizeof *s->used) : NULL;
	s->words.max = s->texts.max = s->labels.max = DC_STATS_TEXTS;
}

uint64_t
dc_stats_broken(const struct dc_stats *s)
{
	uint64_t n = 0;

	for (int i = 0; i < DC_REJECTS; i++)
		n += s->broken[i];
	return n;
}

uint64_t
dc_stats_bytes(const struct dc_stats *s)
{
	return dc_seen_bytes(&s->images) + dc_seen_bytes(&s->all_captions);
}

void
dc_stats_free(struct dc_stats *s)
{
	for (int i = 0; i < s->workers; i++) {
		struct dc_stats_worker *w = &s->worker[i];

		dc_words_free(&w->words);
		dc_bpe_coder_free(w->coder);
		free(w->text.p);
		free(w->word);
		free(w->token);
		free(w->caption);
		free(w->look);
	}
	free(s->worker);
	free(s->used);
	dc_seen_free(&s->images);
	dc_seen_free(&s->all_captions);
	dc_counts_free(&s->words);
	dc_counts_free(&s->texts);
	dc_counts_free(&s->labels);
}
