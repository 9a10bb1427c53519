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

/* The rows of a frame's images and captions. */
static int
take_features(struct dc_pairs *p, struct dc_frame *f, int64_t *N, int64_t *C)
{
	if (!dc_frame_get(f, "image_features.0"))
		return dc_frame_err(f, "no images: it has no image_features.0");
	if (!dc_frame_get(f, "text_features.0"))
		return dc_frame_err(f, "no captions: it has no text_features.0 (dc-tokenize before dc-encode makes them)");
	DC_TRY(*N = dc_rows_take(&p->image, f, "image_features.0"));
	DC_TRY(*C = dc_rows_take(&p->text, f, "text_features.0"));
	return 0;
}

static int
take_tokens(struct dc_pairs *p, struct dc_frame *f, int64_t *N, int64_t *C)
{
	if (!dc_frame_get(f, "filip_image"))
		return dc_frame_err(f, "no tokens of images: it has no filip_image (dc-encode --tokens makes them)");
	if (!dc_frame_get(f, "filip_text"))
		return dc_frame_err(f, "no tokens of captions: it has no filip_text (dc-encode --tokens makes them, after dc-tokenize)");
	DC_TRY(*N = dc_tokens_take(&p->image, &p->image_off, f, "filip_image", NULL));
	DC_TRY(*C = dc_tokens_take(&p->text, &p->text_off, f, "filip_text", "filip_off"));
	return 0;
}

int
dc_pairs_take(struct dc_pairs *p, struct dc_frame *f)
{
	int64_t N = 0, C = 0;

	DC_TRY((p->tokens ? take_tokens : take_features)(p, f, &N, &C));
	if (p->image.n && p->text.n && p->image.D != p->text.D)
		return dc_frame_err(f, "image features of %d columns, text features of %d", p->image.D, p->text.D);
	DC_TRY(take_ids(p, f, N));
	DC_TRY(take_owners(p, f, p->N, N, C));
	p->frames++;
	p->N += N;
	p->C += C;
	return 0;
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

/* The captions by their images, those of one image in their order: a stable counting sort. To be freed. */
static int64_t *
by_image(const struct dc_pairs *p)
{
	int64_t *at = dc_xcalloc((size_t)p->N + 1, sizeof *at), *from = dc_xcalloc((size_t)p->C + 1, sizeof *from);

	for (int64_t c = 0; c < p->C; c++)
		at[p->owner.p[c] + 1]++;
	for (int64_t n = 0; n < p->N; n++)
		at[n + 1] += at[n];
	for (int64_t c = 0; c < p->C; c++)
		from[at[p->owner.p[c]]++] = c;
	free(at);
	return from;
}

/* Of the captions from [C], which are in order, the first `most` of each image; how many those are. */
static int64_t
keep_first(const struct dc_pairs *p, int64_t *from, int64_t most)
{
	int64_t kept = 0, of = 0;

	for (int64_t c = 0; c < p->C; c++) {
		of = kept && p->owner.p[from[c]] == p->owner.p[from[kept - 1]] ? of + 1 : 1;
		if (of <= most)
			from[kept++] = from[c];
	}
	return kept;
}

static void
keep_captions(struct dc_pairs *p, const int64_t *from, int64_t n)
{
	int64_t *owner = dc_xcalloc((size_t)n + 1, sizeof *owner);

	for (int64_t c = 0; c < n; c++)
		owner[c] = p->owner.p[from[c]];
	free(p->owner.p);
	p->owner = (struct dc_ints){ owner, n, n };
	dc_rows_keep(&p->text, &p->text_off, from, n);
	p->C = n;
}

int
dc_pairs_arrange(struct dc_pairs *p, int64_t most)
{
	int64_t *from;

	DC_CHECK(p->N, "no features of images among the frames");
	DC_CHECK(p->C, "no captions among the frames (dc-decode --caption says where they are)");
	DC_TRY(check_ids(p));
	if (in_order(&p->owner) && !most)
		return 0;
	from = by_image(p);
	keep_captions(p, from, most ? keep_first(p, from, most) : p->C);
	free(from);
	return 0;
}

static struct dc_side
side(const struct dc_rows *r, const struct dc_ints *off, int64_t first, int64_t n)
{
	const int64_t *o = off->n ? off->p + first : NULL;

	return (struct dc_side){ .row = o ? r->p : r->p + first * r->D, .off = o, .n = n };
}

struct dc_side
dc_pairs_images(const struct dc_pairs *p, int64_t n, int64_t N)
{
	return side(&p->image, &p->image_off, n, N);
}

struct dc_side
dc_pairs_captions(const struct dc_pairs *p, int64_t c, int64_t C)
{
	return side(&p->text, &p->text_off, c, C);
}

void
dc_pairs_free(struct dc_pairs *p)
{
	free(p->image.p);
	free(p->text.p);
	free(p->image_off.p);
	free(p->text_off.p);
	free(p->owner.p);
	free(p->id.p);
}
