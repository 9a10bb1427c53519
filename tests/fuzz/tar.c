/* SPDX-License-Identifier: MIT */
/* A tar: its groups, and the samples that come of them. What is refused must not depend on whether images are read, or
 * a pass that only counts would not agree with the one that decodes. */
#include "data/sample.h"
#include "data/tar.h"
#include "tests/fuzz/fuzz.h"

enum { KEEP_MAX = 1 << 20 };

struct pass { struct dc_sources src; int images; };
struct trace { char text[1 << 16]; size_t n; };

static uint64_t
keep(void *arg, const char *ext)
{
	const struct pass *p = arg;
	const uint64_t k = dc_sources_keep(&p->src, ext);

	return k < KEEP_MAX ? k : KEEP_MAX;
}

static int
drop(void *arg, const char *ext)
{
	const struct pass *p = arg;

	return !p->images && dc_sources_is_image(&p->src, ext);
}

static void
check_sample(const struct dc_sample *s, int images)
{
	FUZZ_CHECK(s->key && s->key[0] && s->n_captions > 0 && s->image_bytes > 0);
	for (size_t i = 0; i < s->n_captions; i++)
		FUZZ_CHECK(s->caption[i][0]);
	if (images && s->image)
		fuzz_touch(s->image, s->image_bytes);
}

/* Read it all; what each group came to goes into the trace. */
static void
run(const char *path, int images, struct trace *t)
{
	struct pass pass = { .images = images };
	const struct dc_tar_opts opts = { .watch = -1, .keep = keep, .drop = drop, .arg = &pass };
	struct dc_group g = { 0 };
	struct dc_tar *tar;
	int r, n = 0;

	FUZZ_CHECK(dc_sources_images(&pass.src, "jpg,png") == 0 && dc_sources_captions(&pass.src, "txt,json:caption") == 0);
	FUZZ_CHECK(dc_tar_open(&tar, path, &opts) == 0);
	while ((r = dc_tar_next(tar, &g)) == DC_TAR_GROUP && n++ < 1000) {
		struct dc_sample s = { 0 };
		FUZZ_CHECK(g.n > 0 && g.n <= DC_GROUP_MEMBERS_MAX && g.key[0]);
		for (size_t i = 0; i < g.n; i++)
			if (g.member[i].bytes && !g.broken)
				FUZZ_CHECK(g.member[i].bytes[g.member[i].size] == 0);
		r = dc_sample_make(&s, &g, &pass.src);
		if (r < 0)
			check_sample(&s, images);
		if (t->n + 32 < sizeof t->text)
			t->n += (size_t)snprintf(t->text + t->n, 32, "%d@%llu ", r, (unsigned long long)s.offset);
		dc_sample_free(&s);
	}
	FUZZ_CHECK(r != DC_TAR_GONE);
	dc_group_free(&g);
	dc_tar_close(tar);
	dc_sources_free(&pass.src);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct trace with, without;
	struct fuzz_file f = fuzz_file(p, n);

	with.n = without.n = 0;
	run(f.path, 1, &with);
	run(f.path, 0, &without);
	if (with.n != without.n || memcmp(with.text, without.text, with.n))
		fprintf(stderr, "read    %.*s\npassed  %.*s\n", (int)with.n, with.text, (int)without.n, without.text);
	FUZZ_CHECK(with.n == without.n && !memcmp(with.text, without.text, with.n));
	close(f.fd);
	return 0;
}

#ifdef DC_LIBFUZZER
/* A header's checksum: the sum of its bytes, itself taken as blanks. */
static void
fix(uint8_t *h)
{
	unsigned sum = 0;

	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += h[i];
	snprintf((char *)h + 148, 8, "%06o", sum);
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t n, size_t max, unsigned seed)
{
	n = LLVMFuzzerMutate(p, n, max);
	for (size_t at = 0; seed % 8 && at + 512 <= n; at += 512)
		if (!memcmp(p + at + 257, "ustar", 5))
			fix(p + at);
	return n;
}
#endif
