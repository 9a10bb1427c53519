/* SPDX-License-Identifier: MIT */
/* A view of an image: draw its parameters, then apply them. The draws are torchvision's (RandomResizedCrop,
 * ColorJitter, RandomApply ...); the pixels are those of the same operations on PIL images.
 *
 *	struct dc_view v;
 *	dc_view_draw(&v, &recipe, im.width, im.height, seed, epoch, id, view);
 *	dc_view_apply(out, dc_raster(im.rgb, im.width, im.height), &recipe, &v);     // out (size, size, 3)
 *
 * The order is: crop and resize, colour jitter, grayscale, blur, flip. */
#ifndef DC_DATA_VIEWS_H
#define DC_DATA_VIEWS_H

#include "data/resample.h"

enum { DC_BRIGHTNESS, DC_CONTRAST, DC_SATURATION, DC_HUE, DC_JITTERS };

/* How an image becomes a square without a crop being drawn; open_clip's words.
 *	shortest  the shorter side becomes `size`, and the middle is cut out
 *	longest   the longer side becomes `size`, and black fills the rest on both sides
 *	squash    both sides become `size` */
enum dc_resize { DC_SHORTEST, DC_LONGEST, DC_SQUASH };

/* What may happen to an image. A probability of 0 turns an operation off. */
struct dc_view_recipe {
	int size;                    /* pixels, both sides */
	int centre;                  /* no crop is drawn: resize the whole image and take its middle */
	enum dc_resize resize;       /* then: how */
	enum dc_interpolation interpolation;
	double scale[2];             /* the crop's share of the image's area */
	double ratio[2];             /* its width / height, uniform in the logarithm */
	double jitter[DC_JITTERS];   /* strength j: factors in [max(0, 1 - j), 1 + j]; hue turns in [-j, j]; 0: none */
	double jitter_p;             /* probabilities */
	double gray_p;
	double blur[2];              /* radius (standard deviation) in pixels of the view */
	double blur_p;
	double flip_p;
};

/* What happens to this one. */
struct dc_view {
	int box[4];                  /* left, top, width, height in the image (centre: in the resized image; what of the
	                                box lies outside is black) */
	int resized[2];              /* width, height to which the box (centre: the whole image) is resized */
	double jitter[DC_JITTERS];   /* factors; NAN where not applied */
	int order[DC_JITTERS];       /* which of them comes first, second ...; -1 without jitter */
	int gray, flip;
	double blur;                 /* radius; NAN for none */
};

/* width, height: the image's, 1 .. 65535 pixels. Only (seed, epoch, id, view) decide. */
void dc_view_draw(struct dc_view *v, const struct dc_view_recipe *r, int width, int height, uint64_t seed,
    uint64_t epoch, uint64_t id, uint64_t view);

/* out (size, size, 3). Return 0, or -1 with a message where v does not fit the image. Thread-safe. */
int dc_view_apply(uint8_t *out, struct dc_raster image, const struct dc_view_recipe *r, const struct dc_view *v)
    DC_MUST_USE;

#endif
