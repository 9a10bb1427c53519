/* SPDX-License-Identifier: MIT */
#include "data/rejects.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static const char head[] = "shard\tkey\toffset\treason";

/* Whether the line is new; remembers it. A JSON object serves as the set. */
static int
is_new(struct dc_rejects *r, const char *line)
{
	if (json_object_get(r->lines, line))
		return 0;
	json_object_set_new_nocheck(r->lines, line, json_true());
	return 1;
}

static void
load(struct dc_rejects *r)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int whole = 1;

	rewind(r->fp);
	while ((n = getline(&line, &cap, r->fp)) > 0) {
		whole = line[n - 1] == '\n';
		line[n - whole] = 0;
		if (whole)
			is_new(r, line);
	}
	free(line);
	fseek(r->fp, 0, SEEK_END);
	if (!whole)             /* the last run died over this line */
		putc('\n', r->fp);
}

int
dc_rejects_open(struct dc_rejects *r, const char *path, int more)
{
	*r = (struct dc_rejects){ .path = path, .lines = json_object() };
	if (!(r->fp = fopen(path, more ? "a+" : "w"))) {
		json_decref(r->lines);
		return dc_err_errno("%s", path);
	}
	if (more)
		load(r);
	if (is_new(r, head))
		fprintf(r->fp, "%s\n", head);
	return 0;
}

/* At to; at most 4 bytes of it for one of s. */
static char *
escape(char *to, const char *s)
{
	for (; *s; s++) {
		unsigned char c = *s;
		if (c < 32 || c == 127)
			to += sprintf(to, "\\x%02x", c);
		else
			*to++ = c;
	}
	*to = 0;
	return to;
}

void
dc_rejects_add(struct dc_rejects *r, const char *shard, const char *key, uint64_t offset, const char *reason)
{
	char *line, *p;

	if (!r->fp)
		return;
	line = dc_xmalloc(4 * (strlen(shard) + strlen(key) + strlen(reason)) + 32);
	p = escape(line, shard);
	*p++ = '\t';
	p = escape(p, key);
	p += sprintf(p, "\t%" PRIu64 "\t", offset);
	escape(p, reason);
	if (is_new(r, line)) {
		fprintf(r->fp, "%s\n", line);
		fflush(r->fp);
	}
	free(line);
}

int
dc_rejects_close(struct dc_rejects *r)
{
	FILE *fp = r->fp;

	if (!fp)
		return 0;
	r->fp = NULL;
	json_decref(r->lines);
	return dc_fshut(fp, r->path);
}
