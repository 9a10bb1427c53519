/* SPDX-License-Identifier: MIT */
/* The rooms under dc-filter: the table of what was seen, near neighbours against comparing with all, the perceptual hash
 * against its definition, words, blocked phrases, scripts. */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "curate/counts.h"
#include "curate/hist.h"
#include "curate/near.h"
#include "curate/phash.h"
#include "curate/rules.h"
#include "curate/seen.h"
#include "data/image.h"
#include "data/imgwrite.h"
#include "data/resample.h"
#include "tests/tap.h"

static uint64_t
mix(uint64_t x)
{
	return XXH3_64bits(&x, sizeof x);
}

/* --- seen --- */

static void
test_seen(void)
{
	enum { N = 100000 };
	static struct dc_seen s;
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < N; i++) {
		uint32_t *at = dc_seen_add(&s, XXH3_128bits(&i, sizeof i));
		wrong += *at != 0;
		*at = (uint32_t)i + 1;
	}
	ok(wrong == 0 && s.n == N, "all are new, %llu wrong", (unsigned long long)wrong);
	for (uint64_t i = 0; i < 2 * N; i++) {
		const uint32_t *at = dc_seen_find(&s, XXH3_128bits(&i, sizeof i));
		wrong += i < N ? !at || *at != i + 1 : at != NULL;
	}
	ok(wrong == 0, "those that were added are found, others not, %llu wrong", (unsigned long long)wrong);
	ok(dc_seen_bytes(&s) <= 32ull * N + 256 * 16 * 20, "%.1f bytes each", (double)dc_seen_bytes(&s) / N);
	dc_seen_free(&s);
}

/* --- near --- */

enum { HASHES = 6000 };

/* Clusters: each hash is an earlier one with some bits flipped, or a new one. */
static void
make_hashes(uint64_t *h, uint64_t seed)
{
	for (uint64_t i = 0; i < HASHES; i++) {
		uint64_t r = mix(seed + i);
		h[i] = i && r % 4 ? h[r / 4 % i] : mix(r);
		for (uint64_t k = 0; k < r % 9; k++)
			h[i] ^= 1ull << (mix(r + k) & 63);
	}
}

static int
brute(const uint64_t *h, int n, uint64_t q, int distance, uint32_t *number)
{
	int least = distance + 1;

	for (int i = 0; i < n; i++) {
		int d = __builtin_popcountll(h[i] ^ q);
		if (d < least) {
			least = d;
			*number = (uint32_t)i;
		}
	}
	return least > distance ? -1 : least;
}

/* Half of the hashes are there, all are asked for. */
static int
differences(struct dc_near *n, const uint64_t *h, int there, int distance)
{
	int wrong = 0;

	for (int i = 0; i < HASHES; i += 3) {
		uint32_t got = 0, want = 0;
		int d = dc_near_find(n, h[i], &got), e = brute(h, there, h[i], distance, &want);
		wrong += d != e || (d >= 0 && got != want);
	}
	return wrong;
}

static void
test_near(void)
{
	static const int bands[] = { 1, 3, 4, 5, 8 }, distances[] = { 0, 1, 4, 7, 12 };
	static uint64_t h[HASHES];

	for (size_t k = 0; k < sizeof distances / sizeof *distances; k++) {
		struct dc_near *n = dc_near_new(distances[k]);
		int wrong = 0;

		make_hashes(h, k);
		for (int i = 0; i < HASHES / 2; i++)
			dc_near_add(n, h[i], (uint32_t)i);
		wrong = differences(n, h, HASHES / 2, distances[k]);
		ok(wrong == 0, "D = %d, %d bands as it chose: the same as comparing with all, %d wrong", distances[k],
		    dc_near_bands(n), wrong);
		for (size_t b = 0; b < sizeof bands / sizeof *bands; b++) {
			if (bands[b] == 3 && distances[k] > 7)   /* slow, and never chosen */
				continue;
			dc_near_force(n, bands[b]);
			wrong = differences(n, h, HASHES / 2, distances[k]);
			ok(wrong == 0 && dc_near_bands(n) == bands[b], "D = %d, %d bands, %d wrong", distances[k], bands[b], wrong);
		}
		dc_near_free(n);
	}
}

/* --- the perceptual hash --- */

enum { W = 128, H = 96 };

/* Some soft blobs, a picture of its own for each seed, seen through a box. */
static void
draw(uint8_t *rgb, int w, int h, uint64_t seed, double left, double top, double right, double bottom)
{
	for (int y = 0; y < h; y++)
		for (int x = 0; x < w; x++) {
			double u = left + (right - left) * (x + 0.5) / w, v = top + (bottom - top) * (y + 0.5) / h;
			for (int c = 0; c < 3; c++) {
				double sum = 110;
				for (uint64_t k = 0; k < 8; k++) {
					uint64_t r = mix(seed * 100 + k);
					double du = u - (double)(r & 255) / 255, dv = v - (double)(r >> 8 & 255) / 255;
					sum += ((double)(r >> (16 + 8 * c) & 255) - 128) * exp(-(du * du + dv * dv) * (20 + (double)(r >> 48 & 63)));
				}
				rgb[3 * (y * w + x) + c] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
			}
		}
}

static uint64_t
hash(const uint8_t *rgb, int w, int h)
{
	uint64_t x = 0;

	if (dc_phash(dc_raster(rgb, w, h), &x) < 0)
		ok(0, "dc_phash: %s", dc_err());
	return x;
}

/* The definition, in doubles, coefficient by coefficient. */
static uint64_t
naive(const uint8_t *rgb, int w, int h)
{
	uint8_t s[32 * 32 * 3];
	double c[64], sorted[64];
	uint64_t out = 0;

	if (dc_resample(s, 32, 32, dc_raster(rgb, w, h), NULL, NULL, DC_BILINEAR) < 0)
		return 0;
	for (int i = 0; i < 64; i++) {
		c[i] = 0;
		for (int k = 0; k < 1024; k++)
			c[i] += floor((19595 * s[3 * k] + 38470 * s[3 * k + 1] + 7471 * s[3 * k + 2] + 32768) / 65536.)
			    * round(16384 * cos(M_PI * (2 * (k / 32) + 1) * (i / 8) / 64))
			    * round(16384 * cos(M_PI * (2 * (k % 32) + 1) * (i % 8) / 64));
		int at = i;
		for (; at > 0 && sorted[at - 1] > c[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = c[i];
	}
	for (int i = 0; i < 64; i++)
		out |= (uint64_t)(c[i] > (sorted[31] + sorted[32]) / 2) << i;
	return out;
}

static uint64_t
recoded(const uint8_t *rgb, int quality)
{
	unsigned char *jpeg = NULL;
	struct dc_image im = { 0 };
	size_t n = 0;
	uint64_t x = 0;

	if (dc_image_encode(DC_JPEG, quality, rgb, W, H, &jpeg, &n) == 0 && dc_image_decode(jpeg, n, 0, &im) == 0)
		x = hash(im.rgb, im.width, im.height);
	free(jpeg);
	dc_image_free(&im);
	return x;
}

static int
far(uint64_t a, uint64_t b)
{
	return __builtin_popcountll(a ^ b);
}

static void
test_phash(void)
{
	enum { PICTURES = 24 };
	static uint8_t rgb[W * H * 3], other[2 * W * (2 * H + 5) * 3];
	uint64_t first[PICTURES];
	int defined = 0, worst_recoded = 0, worst_scaled = 0, worst_cropped = 0, least = 64;

	memset(rgb, 0, sizeof rgb);
	ok(hash(rgb, W, H) == 0, "black is 0");
	memset(rgb, 200, sizeof rgb);
	ok(hash(rgb, W, H) == 1 && hash(rgb, 1, 1) == 1, "one colour is 1");
	for (int i = 0; i < PICTURES; i++) {
		draw(rgb, W, H, (uint64_t)i, 0, 0, 1, 1);
		first[i] = hash(rgb, W, H);
		defined += first[i] == naive(rgb, W, H);
		int d = far(first[i], recoded(rgb, 75));
		worst_recoded = d > worst_recoded ? d : worst_recoded;
		draw(other, 2 * W - 3, 2 * H + 5, (uint64_t)i, 0, 0, 1, 1);
		d = far(first[i], hash(other, 2 * W - 3, 2 * H + 5));
		worst_scaled = d > worst_scaled ? d : worst_scaled;
		draw(other, W, H, (uint64_t)i, 0.01, 0.01, 0.99, 0.99);
		d = far(first[i], hash(other, W, H));
		worst_cropped = d > worst_cropped ? d : worst_cropped;
		for (int k = 0; k < i; k++)
			least = far(first[i], first[k]) < least ? far(first[i], first[k]) : least;
	}
	ok(defined == PICTURES, "%d of %d are as defined", defined, PICTURES);
	ok(worst_recoded <= 4, "as JPEG of quality 75: at most %d bits change", worst_recoded);
	ok(worst_scaled <= 4, "twice as large: at most %d", worst_scaled);
	ok(worst_cropped <= 10, "1 %% cut off at each side: at most %d", worst_cropped);
	ok(least >= 14, "two pictures differ by %d bits or more", least);
}

/* --- texts --- */

static const char *
words_of(struct dc_words *w, const char *s)
{
	static char out[256];
	size_t n;

	dc_words_take(w, s, strlen(s));
	*out = 0;
	for (size_t k = 0; k < w->n_words; k++) {
		const char *p = dc_words_get(w, k, &n);
		snprintf(out + strlen(out), sizeof out - strlen(out), "%s%.*s", k ? "|" : "", (int)n, p);
	}
	return out;
}

static void
words_are(const char *s, const char *want, size_t pieces)
{
	struct dc_words w = { 0 };
	const char *got = words_of(&w, s);

	if (!ok(!strcmp(got, want) && w.n == pieces, "words of '%s'", s))
		printf("#   got %s, %zu pieces\n", got, w.n);
	dc_words_free(&w);
}

static void
test_words(void)
{
	words_are("", "", 0);
	words_are(" ... ", "", 0);
	words_are("A dog", "a|dog", 2);
	words_are("The dog\342\200\231s t-shirt, 1,000 &amp; up", "the|dog's|t|shirt|1|000|up", 8);
	words_are("'quoted' rock 'n' roll", "quoted|rock|n|roll", 4);
	words_are("\320\241\320\276\320\261\320\260\320\272\320\260 \320\270\320\264\321\221\321\202",
	    "\321\201\320\276\320\261\320\260\320\272\320\260|\320\270\320\264\321\221\321\202", 2);
	words_are("\340\244\225\340\245\201\340\244\244\340\245\215\340\244\244\340\244\276", /* with vowel signs */
	    "\340\244\225\340\245\201\340\244\244\340\245\215\340\244\244\340\244\276", 1);
}

static const char *
blocked(const struct dc_block *b, const char *s)
{
	struct dc_words w = { 0 };
	const char *r;

	dc_words_take(&w, s, strlen(s));
	r = dc_block_find(b, &w);
	dc_words_free(&w);
	return r ? r : "-";
}

static void
test_block(void)
{
	static const struct { const char *caption, *phrase; } cases[] = {
		{ "a cat", "cat" }, { "CAT!", "cat" }, { "a cathedral", "-" }, { "the cat's tail", "cat" },
		{ "new-york's lights", "new york" }, { "New &nbsp; York", "new york" }, { "a new hat in york", "-" },
		{ "don\342\200\231t", "don t" }, { "don", "-" }, { "", "-" }, { "state of the art", "state of the" },
		{ "copyright &copy; me", "copyright" },
	};
	struct dc_block b = { 0 };
	struct dc_words w = { 0 };
	char name[24];

	static const char *const phrases[] = { "Cat", "New York", "don't", "state of the", "copyright", "cat" };
	for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
		if (dc_block_add(&b, &w, phrases[i], strlen(phrases[i])) < 0)
			ok(0, "%s", dc_err());
	ok(b.n == 5 && b.longest == 3, "5 phrases, one of them given twice");
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof name, "filler %d", i);
		if (dc_block_add(&b, &w, name, strlen(name)) < 0)
			ok(0, "%s", dc_err());
	}
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ok(!strcmp(blocked(&b, cases[i].caption), cases[i].phrase), "'%s': %s", cases[i].caption, cases[i].phrase);
	ok(!strcmp(blocked(&b, "with filler 499 in it"), "filler 499"), "one of many");
	ok(dc_block_add(&b, &w, " ... ", 5) < 0, "a phrase without a word is refused");
	dc_words_free(&w);
	dc_block_free(&b);
}

static void
test_script(void)
{
	static const struct { int32_t c; const char *script; } cases[] = {
		{ 'a', "Latin" }, { 'Z', "latn" }, { 0xE9, "LATIN" }, { 0x416, "Cyrillic" }, { 0x3B1, "Greek" }, { 0x5D0, "Hebrew" },
		{ 0x627, "Arabic" }, { 0x905, "Devanagari" }, { 0xE01, "Thai" }, { 0x3042, "Hiragana" }, { 0x30A2, "Katakana" },
		{ 0x4E00, "Han" }, { 0x20000, "Hani" }, { 0xAC00, "Hangul" }, { 0x10300, "Old_Italic" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int s = dc_script_find(cases[i].script, strlen(cases[i].script));
		ok(s > 0 && dc_script_of(cases[i].c) == s, "U+%04X is %s", (unsigned)cases[i].c, cases[i].script);
	}
	ok(dc_script_of('1') == 0 && dc_script_of(' ') == 0 && dc_script_of(0x2019) == 0 && dc_script_of(0x30FC) == 0 &&
	    dc_script_of(0x10FFFF) == 0, "what is no letter, or one of several scripts, has none");
	ok(!dc_script_find("Klingon", 7) && !dc_script_find("", 0) && !dc_script_find("Lat", 3), "no such scripts");
}

/* --- rules --- */

static const char *
verdict(const struct dc_rules *r, const char *s)
{
	struct dc_words w = { 0 };
	char detail[DC_DETAIL_MAX];
	int why = dc_rules_caption(r, &w, s, strlen(s), detail);

	dc_words_free(&w);
	return why < 0 ? "-" : dc_drop_names[why];
}

static void
test_rules(void)
{
	struct dc_rules latin = { .scripts = 1, .script_share = 0.9 }, none = { 0 };
	struct dc_rules limits = { .min_chars = 5, .max_chars = 12, .min_words = 2, .max_words = 3, .charset = 0x7F,
		.charset_name = "ascii" };
	struct dc_rules sizes = { .min_side = 100, .max_side = 1000, .max_aspect = 2, .min_bytes = 10, .max_bytes = 20 };
	char detail[DC_DETAIL_MAX];

	latin.script[dc_script_find("Latin", 5)] = 1;
	ok(!strcmp(verdict(&latin, "Zwei H\303\274te"), "-"), "Latin with an umlaut");
	ok(!strcmp(verdict(&latin, "\320\264\320\262\320\265"), "script"), "Cyrillic");
	ok(!strcmp(verdict(&latin, "2024 !!"), "script"), "no letters");
	ok(!strcmp(verdict(&latin, "abcdefghi\316\261"), "-") && !strcmp(verdict(&latin, "abcdefgh\316\261"), "script"),
	    "nine of ten letters are enough, eight of nine are not");
	ok(!strcmp(verdict(&none, "\320\264"), "-"), "no rules");
	ok(!strcmp(verdict(&limits, "a b"), "min-chars") && !strcmp(verdict(&limits, "a b cdefghijk"), "max-chars"), "characters");
	ok(!strcmp(verdict(&limits, "caf\303\251 au"), "charset") && !strcmp(verdict(&limits, "cafe au"), "-"), "charset");
	ok(!strcmp(verdict(&limits, "single"), "min-words") && !strcmp(verdict(&limits, "a b c d e"), "max-words"), "words");
	ok(dc_rules_image(&sizes, 100, 200, detail) == -1, "an image within the limits");
	ok(dc_rules_image(&sizes, 99, 150, detail) == DC_DROP_MIN_SIDE && dc_rules_image(&sizes, 600, 1001, detail) ==
	    DC_DROP_MAX_SIDE && dc_rules_image(&sizes, 201, 100, detail) == DC_DROP_MAX_ASPECT &&
	    dc_rules_image(&sizes, 100, 201, detail) == DC_DROP_MAX_ASPECT, "others: side and aspect, either way up");
	ok(dc_rules_size(&sizes, 9, detail) == DC_DROP_MIN_BYTES && dc_rules_size(&sizes, 21, detail) == DC_DROP_MAX_BYTES &&
	    dc_rules_size(&sizes, 10, detail) == -1, "bytes");
}

/* --- what dc-stats counts with --- */

static int
ascending(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
test_hist(void)
{
	enum { N = 20000, BINS = 10 };
	static struct dc_hist h;
	static uint64_t v[N];
	uint64_t bin[BINS], sum = 0;
	double worst = 0, mean = 0;

	ok(dc_hist_quantile(&h, 0.5) == 0 && dc_hist_mean(&h) == 0, "of nothing");
	for (uint64_t i = 0; i < N; i++) {
		v[i] = mix(i) >> (mix(i + N) % 60);   /* all sizes */
		dc_hist_add(&h, v[i]);
		mean += (double)v[i] / N;
	}
	qsort(v, N, sizeof *v, ascending);
	ok(h.min == v[0] && h.max == v[N - 1] && fabs(dc_hist_mean(&h) / mean - 1) < 1e-9, "least, most, mean");
	for (int i = 1; i < 1000; i++) {
		uint64_t want = v[N * i / 1000 - 1], got = dc_hist_quantile(&h, i / 1000.);
		double off = fabs((double)got - (double)want) / (want ? (double)want : 1);
		worst = want < DC_HIST_EXACT && got != want ? 1 : off > worst ? off : worst;
	}
	ok(worst <= 1 / 256., "quantiles: off by %.2f %% at most, and exact below 1024", 100 * worst);
	memset(&h, 0, sizeof h);
	for (uint64_t i = 0; i < 100; i++)
		dc_hist_add(&h, 7 + i);
	ok(dc_hist_bins(&h, 1, BINS, bin) == 10, "bins of equal width");
	for (int i = 0; i < BINS; i++)
		sum += bin[i] == 10;
	ok(sum == BINS, "of equally many each");
	dc_hist_add(&h, 1u << 30);
	dc_hist_bins(&h, 0.5, BINS, bin);
	ok(bin[BINS - 1] > 40 && bin[0] == 6, "the last one has all above");
}

static void
test_counts(void)
{
	struct dc_counts c = { .max = 3000 };
	struct dc_count **top;
	char word[16];
	size_t n;

	for (int i = 1; i <= 4000; i++)
		for (int k = 0; k < (i == 17 ? 5 : i % 100 ? 1 : 3); k++)
			dc_counts_add(&c, word, (size_t)snprintf(word, sizeof word, "w%d", i), 1);
	ok(c.n == 3000 && c.times == 4000 + 4 + 80 && c.others == 1000 + 20, "3000 different ones, the others together");
	top = dc_counts_top(&c, 3, &n);
	ok(n == 3 && !strcmp(top[0]->text, "w17") && top[0]->times == 5 && !strcmp(top[1]->text, "w100") && top[1]->times == 3 &&
	    !strcmp(top[2]->text, "w1000"), "the most frequent, equal ones by bytes");
	free(top);
	dc_counts_free(&c);
}

int
main(void)
{
	test_seen();
	test_near();
	test_phash();
	test_words();
	test_block();
	test_script();
	test_rules();
	test_hist();
	test_counts();
	return done_testing();
}
