/* SPDX-License-Identifier: MIT */
/* Encoding u8 RGB images as JPEG or PNG, in memory or into a file by its extension. */
#ifndef DC_DATA_IMGWRITE_H
#define DC_DATA_IMGWRITE_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

enum dc_imgformat { DC_JPEG, DC_PNG, DC_JPEG_420 };

/* rgb [height,width,3]. *out is allocated (free()). JPEG: baseline, 4:4:4 (DC_JPEG_420: 4:2:0, as photographs mostly are),
 * accurate integer DCT, so that the bytes are the same on every machine; PNG: 8-bit RGB. Return 0, or -1 with a message. */
int dc_image_encode(enum dc_imgformat f, int quality, const uint8_t *rgb, int width, int height,
    unsigned char **out, size_t *bytes) DC_MUST_USE;
/* The format that a file name's extension asks for: .jpg .jpeg .png, in any case. -1 with a message otherwise. */
int dc_image_format_of_name(const char *path, enum dc_imgformat *f) DC_MUST_USE;
/* Encode and write "PATH.part", then rename: a file of that name is always whole. */
int dc_image_save(const char *path, const uint8_t *rgb, int width, int height) DC_MUST_USE;

#endif
