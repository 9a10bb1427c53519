/* SPDX-License-Identifier: MIT */
#include "curate/list.h"

#include <inttypes.h>

int
dc_list_open(struct dc_list *l, const char *path, const char *head)
{
	*l = (struct dc_list){ .path = path };
	if (!path)
		return 0;
	if (!(l->fp = fopen(path, "w")))
		return dc_err_errno("%s", path);
	fprintf(l->fp, "%s\n", head);
	return 0;
}

void
dc_list_put(struct dc_list *l, const char *s, size_t n, int last)
{
	if (!l->fp)
		return;
	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)s[i];

		if (c < 32 || c == 127)
			fprintf(l->fp, "\\x%02x", c);
		else
			putc(c, l->fp);
	}
	putc(last ? '\n' : '\t', l->fp);
}

void
dc_list_number(struct dc_list *l, uint64_t v)
{
	if (l->fp)
		fprintf(l->fp, "%" PRIu64 "\t", v);
}

int
dc_list_close(struct dc_list *l)
{
	FILE *fp = l->fp;

	l->fp = NULL;
	return fp ? dc_fshut(fp, l->path) : 0;
}
