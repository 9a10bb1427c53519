/* SPDX-License-Identifier: MIT */
/* Small texts that people write: names of classes, templates, and lists of shards with braces. */
#include "data/shards.h"
#include "score/prompts.h"
#include "tests/fuzz/fuzz.h"

static void
prompts(const char *path)
{
	struct dc_lines names = { 0 }, templates = { 0 };

	if (dc_names_read(&names, path, 0) == 0)
		FUZZ_CHECK(names.n > 0);
	if (dc_templates_read(&templates, path) == 0) {
		char *s = dc_prompt(templates.line[templates.n - 1], "name");
		FUZZ_CHECK(strstr(s, "name"));
		free(s);
	}
	dc_lines_free(&names);
	dc_lines_free(&templates);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct fuzz_file f = fuzz_file(p, n);
	struct dc_shards s = { 0 };
	char *pattern = strndup((const char *)p, n < 32 ? n : 32);

	prompts(f.path);
	if (strspn(pattern, "{}.,09a-") == strlen(pattern) && !strstr(pattern, "00") && !strstr(pattern, "999"))   /* a million take a second */
		(void)!dc_shards_expand(&s, &pattern, 1);
	dc_shards_free(&s);
	free(pattern);
	close(f.fd);
	return 0;
}
