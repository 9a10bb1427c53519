/* SPDX-License-Identifier: MIT */
#include "score/pairs.h"

#include <stdlib.h>
#include <string.h>

/* Which image each of the C captions of this part belongs to: caption_image, relative to the part; without it one each. */
static int
take_owners(struct dc_pairs *p, struct dc_frame *f, int64_t first, int64_t N, int64_t C)
{
	const int64_t had = p->owner.n;

	if (!dc_frame_get(f, "caption_image")) {
		if (C != N)
			return dc_frame_err(f, "%lld captions for %lld images and no caption_image", (long long)C, (long long)N);
		for (int64_t c = 0; c < C; c++)
			dc_ints_add(&p->owner, first + c);
		return 0;
	}
	DC_TRY(dc_ints_take(&p->owner, f, "caption_image"));
	if (p->owner.n - had != C)
		return dc_frame_err(f, "caption_image has %lld entries for %lld captions", (long long)(p->owner.n - had), (long long)C);
	for (int64_t c = had; c < p->owner.n; c++) {
		if (p->owner.p[c] < 0 || p->owner.p[c] >= N)
			return dc_frame_err(f, "caption_image %lld: outside the part's %lld images", (long long)p->owner.p[c], (long long)N);
		p->owner.p[c] += first;
	}
	return 0;
}

static int
take_ids(struct dc_pairs *p, struct dc_frame *f, int64_t N)
{
	int64_t n;

	if (!dc_frame_get(f, "id"))
		return 0;
	DC_TRY(n = dc_ints_take(&p->id, f, "id"));
	return n == N ? 0 : dc_frame_err(f, "%lld ids for %lld images", (long long)n, (long long)N);
}

int
dc_pairs_take(struct dc_pairs *p, struct dc_frame *f)
{
	const int64_t first = p->image.n;
	int64_t N, C;

	if (!dc_frame_get(f, "image_features.0"))
		return dc_frame_err(f, "no images: it has no image_features.0");
	if (!dc_frame_get(f, "text_features.0"))
		return dc_frame_err(f, "no captions: it has no text_features.0 (dc-tokenize before dc-encode makes them)");
	DC_TRY(N = dc_rows_take(&p->image, f, "image_features.0"));
	DC_TRY(C = dc_rows_take(&p->text, f, "text_features.0"));
	if (p->image.n && p->text.n && p->image.D != p->text.D)
		return dc_frame_err(f, "image features of %d columns, text features of %d", p->image.D, p->text.D);
	DC_TRY(take_ids(p, f, N));
	p->frames++;
	return take_owners(p, f, first, N, C);
}

static int
ascending(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* An image that comes twice (two epochs) would be its own rival. */
static int
check_ids(struct dc_pairs *p)
{
	if (p->id.n) /* an empty array has no address to sort at */
		qsort(p->id.p, (size_t)p->id.n, sizeof *p->id.p, ascending);
	for (int64_t i = 1; i < p->id.n; i++)
		DC_CHECK(p->id.p[i] != p->id.p[i - 1], "image id %llu comes twice: score one epoch (dc-decode --epochs 1)",
		    (unsigned long long)p->id.p[i]);
	return 0;
}

static int
in_order(const struct dc_ints *owner)
{
	for (int64_t c = 1; c < owner->n; c++)
		if (owner->p[c] < owner->p[c - 1])
			return 0;
	return 1;
}

/* A stable counting sort of the captions by their images. */
static void
sort_captions(struct dc_pairs *p)
{
	const int64_t C = p->text.n, D = p->text.D;
	int64_t *at = dc_xcalloc((size_t)p->image.n + 1, sizeof *at), *owner = dc_xcalloc((size_t)C, sizeof *owner);
	dc_real *text = dc_xcalloc((size_t)C, (size_t)D * sizeof *text);

	for (int64_t c = 0; c < C; c++)
		at[p->owner.p[c] + 1]++;
	for (int64_t n = 0; n < p->image.n; n++)
		at[n + 1] += at[n];
	for (int64_t c = 0; c < C; c++) {
		const int64_t to = at[p->owner.p[c]]++;
		owner[to] = p->owner.p[c];
		memcpy(text + to * D, p->text.p + c * D, (size_t)D * sizeof *text);
	}
	free(at);
	free(p->text.p);
	free(p->owner.p);
	p->text.p = text;
	p->owner.p = owner;
	p->text.cap = p->owner.cap = C;
}

/* Captions are in order: keep the first `most` of each image. */
static void
keep_first(struct dc_pairs *p, int64_t most)
{
	const int64_t D = p->text.D;
	int64_t kept = 0, of = 0;

	for (int64_t c = 0; c < p->text.n; c++) {
		of = kept && p->owner.p[c] == p->owner.p[kept - 1] ? of + 1 : 1;
		if (of > most)
			continue;
		memmove(p->text.p + kept * D, p->text.p + c * D, (size_t)D * sizeof *p->text.p);
		p->owner.p[kept++] = p->owner.p[c];
	}
	p->text.n = p->owner.n = kept;
}

int
dc_pairs_arrange(struct dc_pairs *p, int64_t most)
{
	DC_CHECK(p->image.n, "no features of images among the frames");
	DC_CHECK(p->text.n, "no captions among the frames (dc-decode --caption says where they are)");
	DC_TRY(check_ids(p));
	if (!in_order(&p->owner))
		sort_captions(p);
	if (most)
		keep_first(p, most);
	return 0;
}

void
dc_pairs_free(struct dc_pairs *p)
{
	free(p->image.p);
	free(p->text.p);
	free(p->owner.p);
	free(p->id.p);
}
