/* SPDX-License-Identifier: MIT */
#include "curate/script.h"

#include <ctype.h>
#include <string.h>

static const struct { const char *name, *code; } names[DC_SCRIPTS_MAX] = {
#define NAME(i, name, code) [i] = { name, code },
#define LETTERS(first, last, script)
#include "curate/scripts.inc"
#undef NAME
#undef LETTERS
};

static const struct range { int32_t first, last; int script; } ranges[] = {
#define NAME(i, name, code)
#define LETTERS(first, last, script) { first, last, script },
#include "curate/scripts.inc"
};

/* In any case, "_" left out. */
static int
same(const char *a, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '_')
			continue;
		if (!*a || tolower((unsigned char)*a++) != tolower((unsigned char)s[i]))
			return 0;
	}
	return !*a;
}

int
dc_script_find(const char *name, size_t n)
{
	for (int i = 1; i < DC_SCRIPTS_MAX && names[i].name; i++)
		if (same(names[i].name, name, n) || same(names[i].code, name, n))
			return i;
	return 0;
}

const char *
dc_script_name(int script)
{
	return script > 0 && script < DC_SCRIPTS_MAX ? names[script].name : NULL;
}

int
dc_script_of(int32_t c)
{
	size_t lo = 0, hi = sizeof ranges / sizeof *ranges;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ranges[mid].last < c)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < sizeof ranges / sizeof *ranges && ranges[lo].first <= c ? ranges[lo].script : 0;
}
