/* SPDX-License-Identifier: MIT */
#include "data/files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/exif.h"
#include "data/sample.h"

enum { LIST_BYTES = 1 << 30, PIXEL_BYTES = 256 << 20 };

void
dc_files_add(struct dc_files *f, const char *name)
{
	if (f->n == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 64;
		f->name = dc_xrealloc(f->name, f->cap, sizeof *f->name);
	}
	f->name[f->n++] = dc_xstrdup(name);
}

int
dc_files_list(struct dc_files *f, const char *path, int nul)
{
	char *text;
	size_t n;

	DC_TRY(dc_slurp(strcmp(path, "-") ? path : "/dev/stdin", LIST_BYTES, &text, &n));
	for (size_t i = 0; i < n;) {
		char *end = memchr(text + i, nul ? '\0' : '\n', n - i);
		const size_t k = end ? (size_t)(end - text) - i : n - i;
		text[i + k] = '\0'; /* dc_slurp put a byte behind the last */
		if (k)
			dc_files_add(f, text + i);
		i += k + 1;
	}
	free(text);
	return 0;
}

/* --- a file --- */

static int
read_file(struct dc_file *x)
{
	struct stat st;

	if (stat(x->name, &st) < 0)
		return dc_err_errno("cannot be read");
	DC_CHECK(!S_ISDIR(st.st_mode), "is a directory");
	DC_CHECK(S_ISREG(st.st_mode), "is no regular file");
	if (dc_slurp(x->name, DC_IMAGE_BYTES_MAX, (char **)&x->bytes, &x->n_bytes) < 0)
		return dc_err_set("cannot be read: %s", dc_err() + strlen(x->name) + 2); /* the caller says the name */
	return dc_image_header(x->bytes, x->n_bytes, x->of->max_pixels, &x->image.width, &x->image.height);
}

static void
decode(void *arg, size_t i)
{
	struct dc_file *x = (struct dc_file *)arg + i;

	if (x->why)
		return;
	x->image = (struct dc_image){ 0 };
	if (dc_image_decode(x->bytes, x->n_bytes, x->of->max_pixels, &x->image) < 0)
		x->why = dc_xstrdup(dc_err());
	else if (x->of->exif)
		dc_image_turn(&x->image, dc_exif_orientation(x->bytes, x->n_bytes));
	free(x->bytes);
	x->bytes = NULL;
}

static void
clear(struct dc_file *x)
{
	dc_image_free(&x->image);
	free(x->why);
	free(x->bytes);
	*x = (struct dc_file){ 0 };
}

/* --- the batch --- */

static void
take(struct dc_files *f)
{
	struct dc_file *x = &f->item[f->n_items++];

	*x = (struct dc_file){ .name = f->name[f->at], .number = f->at, .of = f };
	f->at++;
	if (read_file(x) < 0) {
		x->why = dc_xstrdup(dc_err());
		x->image = (struct dc_image){ 0 };
	}
}

size_t
dc_files_next(struct dc_files *f)
{
	for (size_t i = 0; i < f->n_items; i++)
		clear(&f->item[i]);
	f->n_items = f->decoded = 0;
	while (f->n_items < DC_FILES_BATCH && f->at < f->n)
		take(f);
	return f->n_items;
}

/* How many items from `first` on make a part. */
static size_t
part_length(const struct dc_files *f, size_t first)
{
	size_t n = 0, bytes = 0;

	for (; first + n < f->n_items; n++) {
		const struct dc_image *im = &f->item[first + n].image;
		bytes += (size_t)im->width * (size_t)im->height * 3;
		if (n && bytes > PIXEL_BYTES)
			break;
	}
	return n;
}

size_t
dc_files_parts(const struct dc_files *f)
{
	size_t n = 0;

	for (size_t first = 0; first < f->n_items; n++)
		first += part_length(f, first);
	return n;
}

struct dc_file *
dc_files_part(struct dc_files *f, size_t *n)
{
	struct dc_file *x = f->item + f->decoded;

	for (size_t i = 0; i < f->decoded; i++)
		clear(&f->item[i]);
	*n = part_length(f, f->decoded);
	dc_pool_for(f->pool, *n, decode, x);
	f->decoded += *n;
	return *n ? x : NULL;
}

void
dc_files_free(struct dc_files *f)
{
	for (size_t i = 0; i < f->n_items; i++)
		clear(&f->item[i]);
	for (size_t i = 0; i < f->n; i++)
		free(f->name[i]);
	free(f->name);
}
