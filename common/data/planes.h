/* SPDX-License-Identifier: MIT */
/* Pixels from three bytes side by side to a plane for each colour, and back, 16 at a time. */
#ifndef DC_DATA_PLANES_H
#define DC_DATA_PLANES_H

#include <stdint.h>

#ifdef __AVX2__

#include <immintrin.h>

/* Bytes 3 i + c of the 48 at rgb, i < 16: from each 16 bytes those that are there. */
static inline void
dc_planes_from(uint8_t *r, uint8_t *g, uint8_t *b, const uint8_t *rgb)
{
	static const int8_t at[3][3][16] = {
		{ { 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 }, { -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1 },
			{ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13 } },
		{ { 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 }, { -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1 },
			{ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14 } },
		{ { 2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 }, { -1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1 },
			{ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15 } }
	};
	uint8_t *const to[3] = { r, g, b };

	for (int c = 0; c < 3; c++) {
		__m128i out = _mm_setzero_si128();

		for (int i = 0; i < 3; i++)
			out = _mm_or_si128(out, _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(rgb + 16 * i)),
			    _mm_loadu_si128((const __m128i *)at[c][i])));
		_mm_storeu_si128((__m128i *)to[c], out);
	}
}

static inline void
dc_planes_to_rgb(uint8_t *rgb, __m128i r, __m128i g, __m128i b)
{
	static const int8_t at[3][3][16] = {
		{ { 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5 }, { -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1 },
			{ -1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1 } },
		{ { -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1 }, { 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10 },
			{ -1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1 } },
		{ { -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1 }, { -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1 },
			{ 10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15 } }
	};

	for (int i = 0; i < 3; i++)
		_mm_storeu_si128((__m128i *)(rgb + 16 * i), _mm_or_si128(_mm_or_si128(
		    _mm_shuffle_epi8(r, _mm_loadu_si128((const __m128i *)at[i][0])), _mm_shuffle_epi8(g, _mm_loadu_si128((const __m128i *)at[i][1]))),
		    _mm_shuffle_epi8(b, _mm_loadu_si128((const __m128i *)at[i][2]))));
}

static inline void
dc_planes_to(uint8_t *rgb, const uint8_t *r, const uint8_t *g, const uint8_t *b)
{
	dc_planes_to_rgb(rgb, _mm_loadu_si128((const __m128i *)r), _mm_loadu_si128((const __m128i *)g), _mm_loadu_si128((const __m128i *)b));
}

#else

static inline void
dc_planes_from(uint8_t *r, uint8_t *g, uint8_t *b, const uint8_t *rgb)
{
	for (int i = 0; i < 16; i++, rgb += 3) {
		r[i] = rgb[0];
		g[i] = rgb[1];
		b[i] = rgb[2];
	}
}

static inline void
dc_planes_to(uint8_t *rgb, const uint8_t *r, const uint8_t *g, const uint8_t *b)
{
	for (int i = 0; i < 16; i++, rgb += 3) {
		rgb[0] = r[i];
		rgb[1] = g[i];
		rgb[2] = b[i];
	}
}

#endif

#endif
