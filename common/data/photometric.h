/* SPDX-License-Identifier: MIT */
/* Changes of colour, byte for byte as torchvision's functional adjustments do them on PIL images (Pillow's
 * ImageEnhance, Image.blend and integer HSV). Every function works in place on n pixels of u8 RGB.
 *
 * An enhancement by factor f blends with a degenerate image d:  out = clamp(d + f (in - d)), truncated, in single
 * precision; f = 0 gives d, 1 the image itself. */
#ifndef DC_DATA_PHOTOMETRIC_H
#define DC_DATA_PHOTOMETRIC_H

#include <stddef.h>
#include <stdint.h>

/* d = black. */
void dc_adjust_brightness(uint8_t *rgb, size_t n, double f);
/* d = the image's mean gray, rounded to a whole value. */
void dc_adjust_contrast(uint8_t *rgb, size_t n, double f);
/* d = the image in gray. */
void dc_adjust_saturation(uint8_t *rgb, size_t n, double f);
/* Turn the hue by f of a full circle, f in [-1/2, 1/2]: to HSV of 8 bits each, H + trunc(255 f) modulo 256, and back.
 * The way there and back alone loses a little, as it does in Pillow. */
void dc_adjust_hue(uint8_t *rgb, size_t n, double f);
/* All three channels <- L = (19595 R + 38470 G + 7471 B + 2^15) / 2^16, the luma of ITU-R 601-2. */
void dc_grayscale(uint8_t *rgb, size_t n);
/* Mirror a (height, width, 3) image left to right. */
void dc_flip(uint8_t *rgb, int width, int height);

/* Several of these in turn, in as few passes over the image as there are contrasts, and one more. */
enum dc_change_kind { DC_CHANGE_BRIGHTNESS, DC_CHANGE_CONTRAST, DC_CHANGE_SATURATION, DC_CHANGE_HUE, DC_CHANGE_GRAY };
struct dc_change { enum dc_change_kind kind; double f; };
void dc_change_colours(uint8_t *rgb, size_t n, const struct dc_change *change, int n_changes);

#endif
