/* SPDX-License-Identifier: MIT */
/* Configs: ours, open_clip's and Hugging Face's. One that is taken is written so that it is read as the same, and its
 * tensors can be listed. */
#include "store/config.h"
#include "store/hf.h"
#include "tests/fuzz/fuzz.h"

static void
list(const struct dc_config *c)
{
	struct dc_param *p;
	int n = dc_params_list(c, &p);

	FUZZ_CHECK(n > 0);
	for (int i = 0; i < n; i++)
		FUZZ_CHECK(p[i].n > 0 && p[i].name[0] && strlen(p[i].name) < sizeof p[i].name);
	free(p);
	n = dc_stats_list(c, &p);
	FUZZ_CHECK(n >= 0);
	free(p);
}

static char *
written(const struct dc_config *c)
{
	return c->method[0] ? dc_config_json(c) : dc_config_model_json(c);
}

static void
same_again(const struct dc_config *c)
{
	char *a = written(c), *b;
	struct dc_config d;

	FUZZ_CHECK(dc_config_parse(&d, a, strlen(a)) == 0);
	b = written(&d);
	FUZZ_CHECK(!strcmp(a, b));
	free(a);
	free(b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *s = (const char *)p;
	struct dc_config c;

	if (dc_config_parse(&c, s, n) == 0) {
		list(&c);
		same_again(&c);
	}
	if (dc_hf_config_parse(&c, s, n) == 0)
		list(&c);
	dc_config_init(&c);
	if (dc_hf_preprocess_parse(&c, s, n) == 0)
		FUZZ_CHECK(c.std[0] > 0 && c.std[1] > 0 && c.std[2] > 0);
	return 0;
}
