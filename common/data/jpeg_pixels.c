/* SPDX-License-Identifier: MIT */
#include "data/jpeg_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "data/planes.h"

/* --- the inverse DCT ---
 * Loeffler, Ligtenberg and Moschytz's in 13-bit fixed point, along the columns, then the rows, as libjpeg's "islow". Sums of
 * two inputs wrap at 16 bits and what leaves the columns saturates there, as in libjpeg-turbo's vectors: no sound file comes
 * near, and others get the same pixels.
 *
 * Even part, inputs 0 2 4 6:  a = 0 +- 4;  (2, 6) turned by 3 pi / 8.
 * Odd part, inputs 1 3 5 7:   z = c3 (...) shared, then one pair each. */

#define F_0_298 2446
#define F_0_390 3196
#define F_0_541 4433
#define F_0_765 6270
#define F_0_899 7373
#define F_1_175 9633
#define F_1_501 12299
#define F_1_847 15137
#define F_1_961 16069
#define F_2_053 16819
#define F_2_562 20995
#define F_3_072 25172

enum { CONST_BITS = 13, PASS1_BITS = 2, COLUMNS_SHIFT = CONST_BITS - PASS1_BITS, ROWS_SHIFT = CONST_BITS + PASS1_BITS + 3 };

#ifdef __AVX2__

/* Two blocks side by side: a vector is a row of each. */
typedef __m256i v16;

#define PAIR(a, b) _mm256_set1_epi32((int)((uint32_t)(uint16_t)(a) | (uint32_t)(uint16_t)(b) << 16))

/* x a + y b in 32 bits, the lower and the upper four columns */
struct wide { v16 lo, hi; };

static inline struct wide
turn(v16 x, v16 y, v16 ab)
{
	return (struct wide){ _mm256_madd_epi16(_mm256_unpacklo_epi16(x, y), ab), _mm256_madd_epi16(_mm256_unpackhi_epi16(x, y), ab) };
}

static inline struct wide
wide_add(struct wide a, struct wide b)
{
	return (struct wide){ _mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi) };
}

static inline struct wide
wide_sub(struct wide a, struct wide b)
{
	return (struct wide){ _mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi) };
}

static inline struct wide
wide_from(v16 x)
{
	const v16 zero = _mm256_setzero_si256();

	return (struct wide){ _mm256_srai_epi32(_mm256_unpacklo_epi16(zero, x), 16 - CONST_BITS),
		_mm256_srai_epi32(_mm256_unpackhi_epi16(zero, x), 16 - CONST_BITS) };
}

static inline v16
narrow(struct wide x, int shift)
{
	const v16 half = _mm256_set1_epi32(1 << (shift - 1));

	return _mm256_packs_epi32(_mm256_srai_epi32(_mm256_add_epi32(x.lo, half), shift),
	    _mm256_srai_epi32(_mm256_add_epi32(x.hi, half), shift));
}

static inline void
one_way(v16 r[8], const int shift)
{
	const struct wide t2 = turn(r[2], r[6], PAIR(F_0_541, F_0_541 - F_1_847));
	const struct wide t3 = turn(r[2], r[6], PAIR(F_0_541 + F_0_765, F_0_541));
	const struct wide t0 = wide_from(_mm256_add_epi16(r[0], r[4])), t1 = wide_from(_mm256_sub_epi16(r[0], r[4]));
	const struct wide e0 = wide_add(t0, t3), e3 = wide_sub(t0, t3), e1 = wide_add(t1, t2), e2 = wide_sub(t1, t2);
	const v16 z3 = _mm256_add_epi16(r[7], r[3]), z4 = _mm256_add_epi16(r[5], r[1]);
	const struct wide w3 = turn(z3, z4, PAIR(F_1_175 - F_1_961, F_1_175));
	const struct wide w4 = turn(z3, z4, PAIR(F_1_175, F_1_175 - F_0_390));
	const struct wide o0 = wide_add(turn(r[7], r[1], PAIR(F_0_298 - F_0_899, -F_0_899)), w3);
	const struct wide o3 = wide_add(turn(r[7], r[1], PAIR(-F_0_899, F_1_501 - F_0_899)), w4);
	const struct wide o1 = wide_add(turn(r[5], r[3], PAIR(F_2_053 - F_2_562, -F_2_562)), w4);
	const struct wide o2 = wide_add(turn(r[5], r[3], PAIR(-F_2_562, F_3_072 - F_2_562)), w3);

	r[0] = narrow(wide_add(e0, o3), shift);
	r[7] = narrow(wide_sub(e0, o3), shift);
	r[1] = narrow(wide_add(e1, o2), shift);
	r[6] = narrow(wide_sub(e1, o2), shift);
	r[2] = narrow(wide_add(e2, o1), shift);
	r[5] = narrow(wide_sub(e2, o1), shift);
	r[3] = narrow(wide_add(e3, o0), shift);
	r[4] = narrow(wide_sub(e3, o0), shift);
}

static inline void
transpose(v16 r[8])
{
	v16 a[8], b[8];

	for (int i = 0; i < 4; i++) {
		a[2 * i] = _mm256_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
		a[2 * i + 1] = _mm256_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
	}
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 2; k++) {
			b[4 * i + 2 * k] = _mm256_unpacklo_epi32(a[4 * i + k], a[4 * i + 2 + k]);
			b[4 * i + 2 * k + 1] = _mm256_unpackhi_epi32(a[4 * i + k], a[4 * i + 2 + k]);
		}
	for (int i = 0; i < 4; i++) {
		r[2 * i] = _mm256_unpacklo_epi64(b[i], b[i + 4]);
		r[2 * i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 4]);
	}
}

/* A block whose rows 1 to 7 are 0 takes a way of its own through the columns, which wraps where the other saturates. */
static inline void
columns_pass(v16 r[8])
{
	const v16 any = _mm256_or_si256(_mm256_or_si256(_mm256_or_si256(r[1], r[2]), _mm256_or_si256(r[3], r[4])),
	    _mm256_or_si256(_mm256_or_si256(r[5], r[6]), r[7]));
	const v16 flat = _mm256_slli_epi16(r[0], PASS1_BITS);
	const int a = _mm_testz_si128(_mm256_castsi256_si128(any), _mm256_castsi256_si128(any));
	const int b = _mm_testz_si128(_mm256_extracti128_si256(any, 1), _mm256_extracti128_si256(any, 1));

	if (!a || !b)
		one_way(r, COLUMNS_SHIFT);
	if (a || b) {
		const v16 mask = _mm256_set_epi64x(-b, -b, -a, -a);

		for (int i = 0; i < 8; i++)
			r[i] = _mm256_blendv_epi8(r[i], flat, mask);
	}
}

/* one: there is no second block. */
static inline void
idct_two(uint8_t *out, size_t stride, const int16_t *coef, const uint16_t quant[64], int one)
{
	const v16 half = _mm256_set1_epi8(-128);
	v16 r[8], p[4];

	for (int i = 0; i < 8; i++) {
		const __m128i q = _mm_loadu_si128((const __m128i *)(quant + 8 * i));

		r[i] = _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(coef + (one ? 0 : 64) + 8 * i)),
		    _mm_loadu_si128((const __m128i *)(coef + 8 * i)));
		r[i] = _mm256_mullo_epi16(r[i], _mm256_set_m128i(q, q));
	}
	columns_pass(r);
	transpose(r);
	one_way(r, ROWS_SHIFT);
	transpose(r);
	for (int i = 0; i < 4; i++)
		p[i] = _mm256_xor_si256(_mm256_packs_epi16(r[2 * i], r[2 * i + 1]), half);
	for (int i = 0; i < 8; i++) {
		const __m128i a = _mm256_castsi256_si128(p[i / 2]), b = _mm256_extracti128_si256(p[i / 2], 1);

		if (one)
			_mm_storel_epi64((__m128i *)(out + (size_t)i * stride), i & 1 ? _mm_unpackhi_epi64(a, a) : a);
		else
			_mm_storeu_si128((__m128i *)(out + (size_t)i * stride), i & 1 ? _mm_unpackhi_epi64(a, b) : _mm_unpacklo_epi64(a, b));
	}
}

void
dc_jpeg_idct(uint8_t *out, size_t stride, const int16_t *coef, int n, const uint16_t quant[64])
{
	for (; n >= 2; n -= 2, coef += 128, out += 16)
		idct_two(out, stride, coef, quant, 0);
	if (n)
		idct_two(out, stride, coef, quant, 1);
}

#else

static int16_t
saturate(int32_t x)
{
	return (int16_t)(x < -32768 ? -32768 : x > 32767 ? 32767 : x);
}

/* in and out are eight values, `step` apart. */
static void
one_way(int16_t *x, int step, int shift)
{
	const int32_t half = 1 << (shift - 1);
	const int32_t i1 = x[step], i2 = x[2 * step], i3 = x[3 * step], i5 = x[5 * step], i6 = x[6 * step], i7 = x[7 * step];
	const int32_t t2 = i2 * F_0_541 + i6 * (F_0_541 - F_1_847), t3 = i2 * (F_0_541 + F_0_765) + i6 * F_0_541;
	const int32_t t0 = (int16_t)(x[0] + x[4 * step]) * (1 << CONST_BITS);
	const int32_t t1 = (int16_t)(x[0] - x[4 * step]) * (1 << CONST_BITS);
	const int32_t z3 = (int16_t)(i7 + i3), z4 = (int16_t)(i5 + i1);
	const int32_t w3 = z3 * (F_1_175 - F_1_961) + z4 * F_1_175, w4 = z3 * F_1_175 + z4 * (F_1_175 - F_0_390);
	const int32_t o[4] = { i7 * -F_0_899 + i1 * (F_1_501 - F_0_899) + w4, i5 * -F_2_562 + i3 * (F_3_072 - F_2_562) + w3,
		i5 * (F_2_053 - F_2_562) + i3 * -F_2_562 + w4, i7 * (F_0_298 - F_0_899) + i1 * -F_0_899 + w3 };
	const int32_t e[4] = { t0 + t3, t1 + t2, t1 - t2, t0 - t3 };

	for (int i = 0; i < 4; i++) {
		x[i * step] = saturate((int32_t)((uint32_t)e[i] + (uint32_t)o[i] + (uint32_t)half) >> shift);
		x[(7 - i) * step] = saturate((int32_t)((uint32_t)e[i] - (uint32_t)o[i] + (uint32_t)half) >> shift);
	}
}

static int
only_first_row(const int16_t *x)
{
	for (int i = 8; i < 64; i++)
		if (x[i])
			return 0;
	return 1;
}

static void
idct_one(uint8_t *out, size_t stride, const int16_t *coef, const uint16_t quant[64])
{
	int16_t x[64];

	for (int i = 0; i < 64; i++)
		x[i] = (int16_t)((uint32_t)(int32_t)coef[i] * quant[i]);
	if (only_first_row(x))
		for (int i = 63; i >= 0; i--)
			x[i] = (int16_t)((uint32_t)(int32_t)x[i & 7] << PASS1_BITS);
	else
		for (int i = 0; i < 8; i++)
			one_way(x + i, 8, COLUMNS_SHIFT);
	for (int y = 0; y < 8; y++) {
		one_way(x + 8 * y, 1, ROWS_SHIFT);
		for (int i = 0; i < 8; i++) {
			const int v = x[8 * y + i] + 128;

			out[(size_t)y * stride + (size_t)i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
		}
	}
}

void
dc_jpeg_idct(uint8_t *out, size_t stride, const int16_t *coef, int n, const uint16_t quant[64])
{
	for (int i = 0; i < n; i++)
		idct_one(out + 8 * i, stride, coef + 64 * i, quant);
}

#endif

/* --- upsampling: a pixel is 3/4 of the colour sample that it lies in and 1/4 of the next one, each way; rounded up and down in
 * turns. Beyond the border the border's sample goes on. --- */

static int
clamp(int x, int n)
{
	return x < 0 ? 0 : x >= n ? n - 1 : x;
}

/* Pixels 2 c and 2 c + 1 for c in [from, to). */
static void
smooth_2_1(uint16_t *restrict out, const uint8_t *restrict in, int from, int to)
{
	for (int c = from; c < to; c++) {
		const int here = 3 * in[c];

		out[c] = (uint16_t)((here + in[c - 1] + 1) >> 2 | (here + in[c + 1] + 2) >> 2 << 8);
	}
}

static void
smooth_2_2(uint16_t *restrict out, uint16_t *restrict sum, const uint8_t *restrict near, const uint8_t *restrict far, int from, int to)
{
	for (int c = from - 1; c < to + 1; c++)
		sum[c] = (uint16_t)(3 * near[c] + far[c]);
	for (int c = from; c < to; c++) {
		const int here = 3 * sum[c];

		out[c] = (uint16_t)((here + sum[c - 1] + 8) >> 4 | (here + sum[c + 1] + 7) >> 4 << 8);
	}
}

static void
continue_border(struct dc_jpeg_plane *p, int from, int to)
{
	for (int y = from; y < to; y++) {
		uint8_t *row = p->samples + (size_t)y * p->stride;

		row[-1] = row[0];
		row[p->width] = row[p->width - 1];
	}
}

/* Room for a row of a plane at full width. */
struct row { uint16_t *out, *sum; };

/* Row y of a colour plane at full width, right for the pixels [left, right). */
static const uint8_t *
colour_row(struct row *r, const struct dc_jpeg_plane *p, const struct dc_jpeg_plane *luma, int y, int left, int right)
{
	const int v = luma->v, near = y / v, far = clamp(y & 1 ? near + 1 : near - 1, p->height);
	const uint8_t *in = p->samples + (size_t)near * p->stride;
	const int from = left / 2, to = (right + 1) / 2;

	if (luma->h == 1)
		return in;
	if (v == 1)
		smooth_2_1(r->out, in, from, to);
	else
		smooth_2_2(r->out, r->sum, in, p->samples + (size_t)far * p->stride, from, to);
	return (const uint8_t *)r->out;
}

/* --- colours: with 16 fractional bits
 *	R = Y + 1.402 Cr', G = Y - 0.344136 Cb' - 0.714136 Cr', B = Y + 1.772 Cb';  Cb' = Cb - 128, Cr' = Cr - 128 --- */

#ifdef __AVX2__

static inline v16
bytes(const uint8_t *p)
{
	return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}

/* (a x + b y) / 2^16, floored, of 16 values */
static inline v16
share(v16 x, v16 y, v16 ab, v16 half)
{
	const v16 lo = _mm256_madd_epi16(_mm256_unpacklo_epi16(x, y), ab), hi = _mm256_madd_epi16(_mm256_unpackhi_epi16(x, y), ab);

	return _mm256_packs_epi32(_mm256_srai_epi32(_mm256_add_epi32(lo, half), 16), _mm256_srai_epi32(_mm256_add_epi32(hi, half), 16));
}

static inline __m128i
to_bytes(v16 x)
{
	return _mm_packus_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

/* n a multiple of 16 */
static void
colours(uint8_t *rgb, const uint8_t *luma, const uint8_t *cb, const uint8_t *cr, int n)
{
	const v16 centre = _mm256_set1_epi16(128), two = _mm256_set1_epi16(2), half = _mm256_set1_epi32(32768);
	const v16 none = _mm256_setzero_si256();

	for (int i = 0; i < n; i += 16) {
		const v16 y = bytes(luma + i), b = _mm256_sub_epi16(bytes(cb + i), centre), r = _mm256_sub_epi16(bytes(cr + i), centre);
		const v16 to_r = _mm256_add_epi16(r, share(r, two, PAIR(26345, 16384), none));        /* 1.402 = 1 + 26345 / 2^16 */
		const v16 to_g = _mm256_sub_epi16(share(b, r, PAIR(-22554, 18734), half), r);         /* -0.714 = 18734 / 2^16 - 1 */
		const v16 to_b = _mm256_add_epi16(_mm256_add_epi16(b, b), share(b, two, PAIR(-14942, 16384), none));

		dc_planes_to_rgb(rgb + 3 * i, to_bytes(_mm256_add_epi16(y, to_r)), to_bytes(_mm256_add_epi16(y, to_g)),
		    to_bytes(_mm256_add_epi16(y, to_b)));
	}
}

static void
grays(uint8_t *rgb, const uint8_t *luma, int n)
{
	for (int i = 0; i < n; i += 16) {
		const __m128i y = _mm_loadu_si128((const __m128i *)(luma + i));

		dc_planes_to_rgb(rgb + 3 * i, y, y, y);
	}
}

#else

static uint8_t
clamp8(int x)
{
	return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

static void
colours(uint8_t *rgb, const uint8_t *luma, const uint8_t *cb, const uint8_t *cr, int n)
{
	for (int i = 0; i < n; i++) {
		const int y = luma[i], b = cb[i] - 128, r = cr[i] - 128;

		rgb[3 * i] = clamp8(y + ((91881 * r + 32768) >> 16));
		rgb[3 * i + 1] = clamp8(y + ((-22554 * b - 46802 * r + 32768) >> 16));
		rgb[3 * i + 2] = clamp8(y + ((116130 * b + 32768) >> 16));
	}
}

static void
grays(uint8_t *rgb, const uint8_t *luma, int n)
{
	for (int i = 0; i < n; i++)
		rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = luma[i];
}

#endif

void
dc_jpeg_colours(uint8_t *rgb, int width, const int part[4], struct dc_jpeg_plane *plane, int n_planes)
{
	enum { STEP = 16 };
	const int from = part[0] & ~(STEP - 1), n = (part[0] + part[2] - from + STEP - 1) & ~(STEP - 1);
	const size_t room = (size_t)width + 4 * DC_JPEG_MARGIN;
	uint8_t *line = dc_xmalloc((size_t)n * 3);
	struct row row[3] = { { 0 } };

	for (int i = 1; i < n_planes && plane[0].h == 2; i++) {
		const int first = part[1] / plane[0].v - 1, last = (part[1] + part[3] - 1) / plane[0].v + 1;

		row[i].out = (uint16_t *)dc_xcalloc(2 * room, sizeof *row[i].out) + DC_JPEG_MARGIN;
		row[i].sum = row[i].out + room;
		continue_border(&plane[i], clamp(first, plane[i].height), clamp(last, plane[i].height) + 1);
	}
	for (int y = part[1]; y < part[1] + part[3]; y++) {
		const uint8_t *luma = plane[0].samples + (size_t)y * plane[0].stride;

		if (n_planes == 1)
			grays(line, luma + from, n);
		else
			colours(line, luma + from, colour_row(&row[1], &plane[1], &plane[0], y, part[0], part[0] + part[2]) + from,
			    colour_row(&row[2], &plane[2], &plane[0], y, part[0], part[0] + part[2]) + from, n);
		memcpy(rgb + ((size_t)y * (size_t)width + (size_t)part[0]) * 3, line + 3 * (part[0] - from), (size_t)part[2] * 3);
	}
	free(line);
	for (int i = 0; i < 3; i++)
		if (row[i].out)
			free(row[i].out - DC_JPEG_MARGIN);
}
