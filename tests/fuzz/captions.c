/* SPDX-License-Identifier: MIT */
/* A sample's texts: its .json, .txt and .cls, with the byte 1e between them; and what a caption then goes through. */
#include "base/rng.h"
#include "data/eda.h"
#include "data/sample.h"
#include "stream/check.h"
#include "text/clean.h"
#include "tests/fuzz/fuzz.h"

static struct dc_member
member(const char *ext, const uint8_t *p, size_t n)
{
	struct dc_member m = { .ext = strdup(ext), .size = n, .bytes = malloc(n + 1) };

	if (n)
		memcpy(m.bytes, p, n);
	m.bytes[n] = 0;
	return m;
}

static void
clean(struct dc_clean *c, const char *s, size_t n)
{
	dc_clean_text(c, s, n);
	FUZZ_CHECK(dc_check_utf8((const unsigned char *)c->text, c->n) && !c->text[c->n]);
}

static void
use(const char *caption)
{
	const size_t n = strlen(caption);
	struct dc_clean c = { 0 };
	struct dc_eda_result e;
	struct dc_rng rng;

	FUZZ_CHECK(n > 0 && dc_check_utf8((const unsigned char *)caption, n));
	clean(&c, caption, n);
	dc_rng_init(&rng, 1, 2, n, 3, DC_RNG_CAPTION);
	for (unsigned ops = DC_EDA_SWAP; ops <= DC_EDA_DELETE; ops *= 2) {
		e = dc_eda_caption(caption, n, ops, NULL, &rng);
		FUZZ_CHECK(dc_check_utf8((const unsigned char *)e.caption, e.n));
		free(e.caption);
		free(e.trace);
	}
	dc_clean_free(&c);
}

/* The bytes as they are, too: dc-tokenize --lines takes any. */
static void
clean_any(const uint8_t *p, size_t n)
{
	struct dc_clean c = { 0 };

	clean(&c, (const char *)p, n);
	dc_clean_free(&c);
}

static void
make(struct dc_group *g, const char *list)
{
	struct dc_sources src = { 0 };
	struct dc_sample s = { 0 };
	int r;

	g->key = strdup("k");
	FUZZ_CHECK(dc_sources_images(&src, "jpg") == 0 && dc_sources_captions(&src, list) == 0);
	r = dc_sample_make(&s, g, &src);
	FUZZ_CHECK((r < 0) == (s.n_captions > 0));
	for (size_t i = 0; i < s.n_captions; i++)
		use(s.caption[i]);
	dc_sample_free(&s);
	dc_sources_free(&src);
	free(g->key);
	g->key = NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const ext[] = { "json", "txt", "cls" };
	struct dc_group g = { 0 };
	const uint8_t *end = p + n, *cut;

	clean_any(p, n);
	for (g.n = 0; g.n < 3; g.n++, p = cut < end ? cut + 1 : end) {
		cut = g.n < 2 && p < end ? memchr(p, 0x1e, (size_t)(end - p)) : NULL;
		cut = cut ? cut : end;
		g.member[g.n] = member(ext[g.n], p, (size_t)(cut - p));
	}
	g.member[g.n++] = member("jpg", (const uint8_t *)"x", 1);
	make(&g, "json:caption,txt");
	g.member[3].bytes = malloc(2);    /* the sample took it */
	memcpy(g.member[3].bytes, "x", 2);
	make(&g, "txt");
	dc_group_free(&g);
	return 0;
}
