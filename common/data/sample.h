/* SPDX-License-Identifier: MIT */
/* A group of a shard's members becomes a sample: image bytes, captions, label; or a reason why not.
 * Nothing is decoded here: whether a sample has a slot follows from the tar alone. */
#ifndef DC_DATA_SAMPLE_H
#define DC_DATA_SAMPLE_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"
#include "data/tar.h"

/* Why a sample is refused. The last one takes a slot, which stays empty; all others take none. */
enum dc_reject {
	DC_REJECT_NO_IMAGE, DC_REJECT_EMPTY_IMAGE, DC_REJECT_NO_CAPTION, DC_REJECT_BLANK_CAPTION, DC_REJECT_BAD_CAPTION,
	DC_REJECT_BAD_KEY, DC_REJECT_TOO_LARGE, DC_REJECT_DAMAGED, DC_REJECT_IMAGE, DC_REJECTS
};
extern const char *const dc_reject_names[DC_REJECTS]; /* "no-image" "empty-image" "no-caption" ... */

#define DC_IMAGE_BYTES_MAX ((uint64_t)256 << 20)  /* of an encoded image */
#define DC_TEXT_BYTES_MAX ((uint64_t)1 << 20)     /* of a caption, JSON or label member */
enum { DC_CAPTIONS_MAX = 1024 };                  /* of one sample; further ones are left out */

/* Where captions and images are looked for. */
struct dc_sources {
	struct { char *ext, *json_key; } caption[16]; /* in order of preference; json_key NULL: plain text */
	char *image[16];                              /* extensions */
	size_t n_captions, n_images;
	int no_captions;                              /* "none": samples are images alone, whatever texts stand beside them */
};

/* "json:captions,txt" or "txt,text": SOURCE[,SOURCE]..., SOURCE = EXT or json:KEY, or "none"; "jpg,png". */
int dc_sources_captions(struct dc_sources *s, const char *list) DC_MUST_USE;
int dc_sources_images(struct dc_sources *s, const char *list) DC_MUST_USE;
void dc_sources_free(struct dc_sources *s);
int dc_sources_is_image(const struct dc_sources *s, const char *ext);
/* How much of a member may be of use, for dc_tar_opts.keep: of images, captions and labels. */
uint64_t dc_sources_keep(const struct dc_sources *s, const char *ext);

struct dc_sample {
	uint64_t id;
	int64_t slot;
	int32_t epoch;
	uint32_t shard;           /* its number in the list */
	uint64_t offset;          /* bytes into the uncompressed tar */
	char *key;
	char **caption; size_t n_captions;   /* valid UTF-8, trimmed, none blank; at least one, unless no_captions */
	int32_t label; int has_label, bad_label;
	unsigned char *image;     /* encoded; NULL if it was passed over */
	size_t image_bytes;
};

/* Turn a group into *s (zero-initialised); takes the image's bytes. shard, epoch, slot and id are the caller's.
 * Return -1 if it is usable, else the enum dc_reject, with dc_err() saying more. */
int dc_sample_make(struct dc_sample *s, struct dc_group *g, const struct dc_sources *src);
void dc_sample_free(struct dc_sample *s); /* what it holds; not s */

#endif
