/* SPDX-License-Identifier: MIT */
/* A vocabulary, packed or plain; what it then makes of the bytes themselves. */
#include "text/bpe.h"
#include "tests/fuzz/fuzz.h"

static void
use(const struct dc_bpe *b, const char *p, size_t n)
{
	struct dc_bpe_coder *c = dc_bpe_coder_new(b);
	int32_t row[32];
	char *text;

	FUZZ_CHECK(dc_bpe_row(c, p, n < 1000 ? n : 1000, row, 32) >= 2);
	for (int i = 0; i < 32; i++)
		FUZZ_CHECK(row[i] >= 0 && row[i] < b->size);
	FUZZ_CHECK(row[0] == b->start);
	text = dc_bpe_decode(b, row, 32, NULL);
	fuzz_touch(text, strlen(text));
	free(text);
	dc_bpe_coder_free(c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct fuzz_file f = fuzz_file(p, n);
	struct dc_bpe b;

	if (dc_bpe_parse(&b, (const char *)p, n, "fuzz") == 0) {
		use(&b, (const char *)p, n);
		dc_bpe_close(&b);
	}
	if (dc_bpe_open(&b, f.path) == 0) {
		use(&b, (const char *)p, n);
		dc_bpe_close(&b);
	}
	close(f.fd);
	return 0;
}
