/* SPDX-License-Identifier: MIT */
/* Gaussian blur, byte for byte as Pillow's ImageFilter.GaussianBlur(radius): three passes of an extended box filter
 * along the rows, then three along the columns (Gwosdek, Grewenig, Bruhn, Weickert: Theoretical foundations of Gaussian
 * convolution by extended box filtering, SSVM 2011). Beyond the border the border pixel goes on. */
#ifndef DC_DATA_BLUR_H
#define DC_DATA_BLUR_H

#include <stdint.h>

/* image (height, width, 3), in place. radius: the Gaussian's standard deviation in pixels, 0 <= radius <= 1000;
 * 0 changes nothing. */
void dc_gaussian_blur(uint8_t *image, int width, int height, double radius);

#endif
