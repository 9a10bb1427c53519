/* SPDX-License-Identifier: MIT */
#include "data/jpeg.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "data/jpeg_parts.h"

enum { LOOK = 11 /* bits looked up at once */, PAD = 1024 /* zeros behind the data, more than a block can take */ };
enum { PLANES_MAX = 3, SCANS_MAX = 500 };

/* Natural place of the k-th coefficient; 16 more for runs that lead outside. */
static const uint8_t zigzag[64 + 16] = {
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
	63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63
};

/* --- Huffman codes --- */

/* What LOOK bits begin with: bits 0-5 of an entry say how many of them are used.
 *	VALUE   a code and all the bits of the value behind it: run in bits 8-15, value in 16-31
 *	SYMBOL  a code alone: the symbol in bits 8-15
 *	0       a longer code, or none */
enum { VALUE = 64, SYMBOL = 128 };

struct huffman {
	uint32_t look[1 << LOOK];
	int32_t end[17];       /* by length: one above the last code, -1 without one */
	int32_t place[17];     /* of a symbol in `symbol`, less its code */
	uint8_t symbol[256];
};

/* Size bits of a value: the upper half of their range is positive, the lower half stands for -2^size + 1 ... */
static inline int
extend(uint32_t bits, int size)
{
	return (int)bits - (bits >> (size - 1) ? 0 : (1 << size) - 1);
}

/* Entries of the code `code` of `length` <= LOOK bits. A symbol is a run and a value's size. */
static void
huffman_fill(struct huffman *h, uint32_t code, int length, uint8_t symbol)
{
	const int free_bits = LOOK - length, size = symbol & 15;
	uint32_t *look = h->look + (code << free_bits);

	for (uint32_t i = 0; i < 1u << free_bits; i++)
		look[i] = SYMBOL | (uint32_t)length | (uint32_t)symbol << 8;
	if (size == 0 || size > free_bits)
		return;
	for (uint32_t i = 0; i < 1u << free_bits; i++)
		look[i] = VALUE | (uint32_t)(length + size) | (uint32_t)(symbol >> 4) << 8 |
		    (uint32_t)extend(i >> (free_bits - size), size) << 16;
}

/* count[l]: codes of l bits; n: symbols that are there. -1 if that is no Huffman code. */
static int
huffman_init(struct huffman *h, const uint8_t count[17], const uint8_t *symbol, size_t n)
{
	uint32_t code = 0;
	size_t k = 0;

	memset(h->look, 0, sizeof h->look);
	for (int length = 1; length <= 16; length++, code <<= 1) {
		h->place[length] = (int32_t)k - (int32_t)code;
		h->end[length] = count[length] ? (int32_t)(code + count[length]) : -1;
		if (k + count[length] > n || code + count[length] > 1u << length)
			return -1;
		for (int i = 0; i < count[length]; i++, k++, code++)
			if (length <= LOOK)
				huffman_fill(h, code, length, symbol[k]);
	}
	memcpy(h->symbol, symbol, k);
	return 0;
}

/* --- bits --- */

/* The next bits from the top of acc down; n of them are there. */
struct bits { uint64_t acc; int n; const uint8_t *p, *end; };

static inline uint64_t
big_endian(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, 8);
	return __builtin_bswap64(x);
}

/* At least 56 bits are there afterwards. */
#define REFILL(b) ((b).acc |= big_endian((b).p) >> (b).n, (b).p += (63 - (b).n) >> 3, (b).n |= 56)
#define DROP(b, k) ((b).acc <<= (k), (b).n -= (int)(k))

/* Whether more was taken than there is. */
static inline int
overrun(const struct bits *b)
{
	return b->p - (b->n >> 3) > b->end;
}

/* A symbol whose code the table does not hold whole, and in bits 8-15 the code's length; -1: no such code. */
static int
long_symbol(uint64_t acc, const struct huffman *h)
{
	for (int length = 1; length <= 16; length++) {
		const int32_t code = (int32_t)(acc >> (64 - length));

		if (code < h->end[length])
			return h->symbol[h->place[length] + code] | length << 8;
	}
	return -1;
}

/* -1: no such code. Needs 16 bits. */
static inline int
take_symbol(struct bits *b, const struct huffman *h)
{
	const uint32_t e = h->look[b->acc >> (64 - LOOK)];
	int symbol;

	if (e & SYMBOL) {
		DROP(*b, e & 63);
		return (int)(e >> 8 & 255);
	}
	if ((symbol = long_symbol(b->acc, h)) < 0)
		return -1;
	DROP(*b, symbol >> 8);
	return symbol & 255;
}

/* size 1 .. 32 */
static inline uint32_t
take(struct bits *b, int size)
{
	const uint32_t x = (uint32_t)(b->acc >> (64 - size));

	DROP(*b, size);
	return x;
}

static inline int
take_value(struct bits *b, int size)
{
	return size ? extend(take(b, size), size) : 0;
}

/* --- the data of a scan --- */

/* Without stuffing, and where the intervals between restart markers begin. */
struct scan {
	uint8_t *data; size_t n, cap;
	size_t *start; size_t n_starts, starts_cap;  /* of intervals; one more: the end */
	const uint8_t *rest;                         /* the marker behind them */
	struct bits b;
	size_t interval;                             /* where b stands */
};

static void
scan_start(struct scan *s)
{
	if (s->n_starts == s->starts_cap) {
		s->starts_cap = s->starts_cap * 2 + 64;
		s->start = dc_xrealloc(s->start, s->starts_cap, sizeof *s->start);
	}
	s->start[s->n_starts++] = s->n;
}

/* p .. end: the scan's data and what follows. -1 where there is no marker behind them, or restarts are out of order. */
static int
scan_take(struct scan *s, const uint8_t *p, const uint8_t *end)
{
	const size_t most = (size_t)(end - p) + PAD;

	if (most > s->cap) {
		free(s->data);
		s->data = dc_xmalloc(s->cap = most);
	}
	s->n = s->n_starts = 0;
	scan_start(s);
	for (;;) {
		const uint8_t *ff = memchr(p, 0xff, (size_t)(end - p));

		if (!ff || end - ff < 2)
			return -1;
		memcpy(s->data + s->n, p, (size_t)(ff - p));
		s->n += (size_t)(ff - p);
		p = ff + 2;
		if (ff[1] == 0) {
			s->data[s->n++] = 0xff;
		} else if (ff[1] >= 0xd0 && ff[1] <= 0xd7) {
			if ((size_t)(ff[1] & 7) != ((s->n_starts - 1) & 7))
				return -1;
			scan_start(s);
		} else {
			s->rest = ff;
			scan_start(s);
			memset(s->data + s->n, 0, PAD);
			return ff[1] == 0xff ? -1 : 0;
		}
	}
}

/* Go to interval i. */
static int
scan_interval(struct scan *s, size_t i)
{
	if (i + 1 >= s->n_starts)
		return -1;
	s->interval = i;
	s->b = (struct bits){ .p = s->data + s->start[i], .end = s->data + s->start[i + 1] };
	return 0;
}

/* --- a decoder --- */

struct decoder {
	const struct jpeg_decompress_struct *c;
	struct dc_jpeg_plane plane[PLANES_MAX];
	int n_planes, mcu_columns, mcu_rows;
	int from_column, to_column, from_row, to_row;  /* MCUs that the part needs */
	struct huffman dc[4], ac[4];
	unsigned dc_there, ac_there;                   /* bit i: table i is */
	struct scan scan;
	int last_dc[PLANES_MAX];
	int eob_run;
	int16_t nowhere[64];
};

static int
tables_from_libjpeg(struct decoder *d)
{
	for (int i = 0; i < 4; i++) {
		const JHUFF_TBL *dc = d->c->dc_huff_tbl_ptrs[i], *ac = d->c->ac_huff_tbl_ptrs[i];

		if (dc && huffman_init(&d->dc[i], dc->bits, dc->huffval, 256) == 0)
			d->dc_there |= 1u << i;
		if (ac && huffman_init(&d->ac[i], ac->bits, ac->huffval, 256) == 0)
			d->ac_there |= 1u << i;
	}
	return 0;
}

/* A value of difference coding: the size is the symbol, the value is behind it. */
static inline int
take_difference(struct bits *b, const struct huffman *h, int *last)
{
	uint32_t e;
	int size;

	REFILL(*b);
	e = h->look[b->acc >> (64 - LOOK)];
	if (e & VALUE) {
		DROP(*b, e & 63);
		*last += (int16_t)(e >> 16);
		return e >> 8 & 255 ? -1 : 0;
	}
	size = take_symbol(b, h);
	if (size < 0 || size > 15)
		return -1;
	*last += take_value(b, size);
	return 0;
}

/* The coefficients [1, 64) of a baseline block, into a block of zeros. Up to five values from each refill: 5 LOOK bits. What
 * the table does not hold whole goes by the slow way. */
static inline int
baseline_ac(struct bits *b, const struct huffman *h, int16_t *block)
{
	const uint32_t *look = h->look;
	int k = 1;

	while (k < 64) {
		uint32_t e = 0;
		int symbol, size;

		REFILL(*b);
		for (int i = 0; i < 5; i++) {
			e = look[b->acc >> (64 - LOOK)];
			if (!(e & VALUE))
				break;
			k += (int)(e >> 8 & 255);
			block[zigzag[k++]] = (int16_t)(e >> 16);
			DROP(*b, e & 63);
			if (k >= 64)
				break;
		}
		if (e & VALUE)
			continue;
		REFILL(*b);
		if ((symbol = take_symbol(b, h)) < 0)
			return -1;
		size = symbol & 15;
		if (size == 0 && symbol >> 4 != 15)
			return 0;
		k += symbol >> 4;
		if (k > 63)
			return -1;
		if (size)
			block[zigzag[k]] = (int16_t)take_value(b, size);
		k++;
	}
	return k == 64 ? 0 : -1;
}

static inline int
baseline_block(struct bits *b, const struct huffman *dc, const struct huffman *ac, int *last, int16_t *block)
{
	if (take_difference(b, dc, last) < 0 || *last != (int16_t)*last)
		return -1;
	block[0] = (int16_t)*last;
	return baseline_ac(b, ac, block) < 0 || overrun(b) ? -1 : 0;
}

static int
baseline_mcu(struct decoder *d, int column, int wanted)
{
	struct bits b = d->scan.b;

	for (int i = 0; i < d->n_planes; i++) {
		const struct dc_jpeg_plane *p = &d->plane[i];
		const jpeg_component_info *info = d->c->cur_comp_info[i];
		const struct huffman *dc = &d->dc[info->dc_tbl_no], *ac = &d->ac[info->ac_tbl_no];
		int last = d->last_dc[i];

		for (int y = 0; y < p->v; y++)
			for (int x = 0; x < p->h; x++) {
				const size_t at = (size_t)y * (size_t)p->columns + (size_t)(column * p->h + x);

				if (baseline_block(&b, dc, ac, &last, wanted ? p->coef + at * 64 : d->nowhere) < 0)
					return -1;
			}
		d->last_dc[i] = last;
	}
	d->scan.b = b;
	return 0;
}

/* Before MCU number `at` of a scan: where an interval ends, go to the next. */
static inline int
restart(struct decoder *d, unsigned every, size_t at)
{
	if (!every || at % every)
		return 0;
	memset(d->last_dc, 0, sizeof d->last_dc);
	d->eob_run = 0;
	return at ? scan_interval(&d->scan, d->scan.interval + 1) : 0;
}

static void
transform_row(struct decoder *d, int mcu_row, int whole)
{
	for (int i = 0; i < d->n_planes; i++) {
		struct dc_jpeg_plane *p = &d->plane[i];
		const int from = d->from_column * p->h, to = d->to_column * p->h;

		for (int y = 0; y < p->v; y++) {
			const size_t row = (size_t)(mcu_row * p->v + y);

			dc_jpeg_idct(p->samples + row * 8 * p->stride + (size_t)from * 8, p->stride,
			    p->coef + ((whole ? row : (size_t)y) * (size_t)p->columns + (size_t)from) * 64, to - from, p->quant);
		}
	}
}

static int
baseline(struct decoder *d)
{
	size_t at = 0;

	if (scan_take(&d->scan, d->c->src->next_input_byte, d->c->src->next_input_byte + d->c->src->bytes_in_buffer) < 0 ||
	    d->scan.rest[1] != 0xd9 || (d->scan.n_starts > 2 && !d->c->restart_interval) || scan_interval(&d->scan, 0) < 0)
		return -1;
	for (int row = 0; row < d->to_row; row++) {
		const int wanted = row >= d->from_row;

		for (int i = 0; wanted && i < d->n_planes; i++)
			memset(d->plane[i].coef, 0, (size_t)d->plane[i].v * (size_t)d->plane[i].columns * 64 * sizeof(int16_t));
		for (int column = 0; column < d->mcu_columns; column++)
			if (restart(d, d->c->restart_interval, at++) < 0 ||
			    baseline_mcu(d, column, wanted && column >= d->from_column && column < d->to_column) < 0)
				return -1;
		if (wanted)
			transform_row(d, row, 0);
	}
	return 0;
}

/* --- progressive --- */

/* A scan: coefficients first .. last of its planes in zigzag order, down to bit `low`; high: 0, or the bit before. */
struct pass {
	int n, plane[PLANES_MAX], dc[PLANES_MAX], ac[PLANES_MAX];
	int first, last, high, low;
	unsigned every;                     /* MCUs between restarts */
};

static inline int
first_dc(struct bits *b, const struct huffman *h, int *last, int low, int16_t *block)
{
	if (take_difference(b, h, last) < 0 || *last > 32767 >> low || *last < -(32768 >> low))
		return -1;
	block[0] = (int16_t)(*last * (1 << low));
	return 0;
}

static inline int
refine_dc(struct bits *b, int low, int16_t *block)
{
	REFILL(*b);
	if (take(b, 1))
		block[0] |= (int16_t)(1 << low);
	return 0;
}

/* Blocks without further values from here on: this one and so many more. */
static inline int
take_eob_run(struct bits *b, int bits)
{
	return (1 << bits) - 1 + (bits ? (int)take(b, bits) : 0);
}

/* In masks of coefficients bit 63 - k is the k-th: bits of the data, the first of them at the top, then go to them in order. */
static inline uint64_t bit_of(int k) { return 1ull << 63 >> k; }
static inline uint64_t from_bit(int k) { return ~0ull >> k; }
static inline uint64_t up_to_bit(int k) { return ~0ull << (63 - k); }

static inline int
first_ac(struct bits *b, const struct huffman *h, const struct pass *s, int *eob_run, int16_t *block, uint64_t *known)
{
	uint64_t now = 0;
	int k = s->first;

	if (*eob_run) {
		--*eob_run;
		return 0;
	}
	while (k <= s->last) {
		uint32_t e = 0;
		int symbol, size, v;

		REFILL(*b);
		for (int i = 0; i < 5; i++) {
			e = h->look[b->acc >> (64 - LOOK)];
			if (!(e & VALUE))
				break;
			if ((k += (int)(e >> 8 & 255)) > s->last)
				return -1;
			now |= bit_of(k);
			block[zigzag[k++]] = (int16_t)((int16_t)(e >> 16) * (1 << s->low));
			DROP(*b, e & 63);
			if (k > s->last)
				break;
		}
		if (e & VALUE)
			continue;
		REFILL(*b);
		if ((symbol = take_symbol(b, h)) < 0)
			return -1;
		size = symbol & 15;
		if (size == 0 && symbol >> 4 != 15) {
			*eob_run = take_eob_run(b, symbol >> 4);
			break;
		}
		if ((k += symbol >> 4) > s->last)
			return -1;
		v = take_value(b, size);
		if (v > 32767 >> s->low || v < -(32768 >> s->low))
			return -1;
		if (size) {
			now |= bit_of(k);
			block[zigzag[k]] = (int16_t)(v * (1 << s->low));
		}
		k++;
	}
	*known |= now;
	return 0;
}

#ifdef __BMI2__
#include <immintrin.h>
static inline uint64_t deposit(uint64_t bits, uint64_t mask) { return _pdep_u64(bits, mask); }
#else
/* The lowest bits to the places of the mask's bits. */
static inline uint64_t
deposit(uint64_t bits, uint64_t mask)
{
	uint64_t out = 0;

	for (; mask; mask &= mask - 1, bits >>= 1)
		out |= bits & 1 ? mask & -mask : 0;
	return out;
}
#endif

/* A bit of the data for each bit of the mask. */
static inline uint64_t
take_bits(struct bits *b, uint64_t mask)
{
	uint64_t out = 0;

	do {
		const int many = __builtin_popcountll(mask) > 48;
		const uint64_t now = __builtin_expect(many, 0) ? mask & ~0ull << 32 : mask;
		const int n = __builtin_popcountll(now);

		REFILL(*b);
		out |= deposit(b->acc >> 1 >> (63 - n), now);
		DROP(*b, n);
		mask &= ~now;
	} while (__builtin_expect(mask != 0, 0));
	return out;
}

/* The coefficients of `mask` grow by a bit, away from 0. */
static inline void
grow(int16_t *block, uint64_t mask, int low)
{
	while (mask) {
		const int k = __builtin_clzll(mask);
		int16_t *v = &block[zigzag[k]];

		*v = (int16_t)(*v + (*v >> 15 | 1) * (1 << low));
		mask &= ~bit_of(k);
	}
}

/* A coefficient that is not 0 yet comes with a run of such ones before it; of those between that are known each gets a bit. */
static inline int
refine_ac(struct bits *b, const struct huffman *h, const struct pass *s, int *eob_run, int16_t *block, uint64_t *known)
{
	const uint64_t before = *known, band = up_to_bit(s->last);
	uint64_t grown = 0, now = 0;
	int k = s->first;

	while (k <= s->last && !*eob_run) {
		uint64_t ahead = from_bit(k) & band, to = 0;
		uint32_t e;
		int run, value = 0, zeros;

		REFILL(*b);
		e = h->look[b->acc >> (64 - LOOK)];
		if (e & VALUE) {
			DROP(*b, e & 63);
			run = (int)(e >> 8 & 255);
			value = (int16_t)(e >> 16);
		} else {
			const int symbol = take_symbol(b, h);

			if (symbol < 0)
				return -1;
			run = symbol >> 4;
			if (symbol & 15)
				value = take_value(b, symbol & 15);
			else if (run != 15) {
				*eob_run = take_eob_run(b, run) + 1;
				break;
			}
		}
		if (value > 1 || value < -1)
			return -1;
		zeros = __builtin_popcountll(~before & ahead);
		if (run < zeros) {
			to = deposit(1ull << (zeros - 1 - run), ~before & ahead);
			ahead &= -to;
			k = __builtin_clzll(to) + 1;
		} else if (value) {
			return -1;
		} else {
			k = 64;
		}
		grown |= take_bits(b, before & ahead);
		if (value) {
			now |= to;
			block[zigzag[k - 1]] = (int16_t)(value * (1 << s->low));
		}
	}
	if (*eob_run) {
		if (k <= s->last)
			grown |= take_bits(b, before & from_bit(k) & band);
		--*eob_run;
	}
	grow(block, grown, s->low);
	*known |= now;
	return 0;
}

/* Blocks side by side in a plane, n of them from number `at` on; of all passes together only these take much time. */
static int
blocks_first_ac(struct decoder *d, const struct pass *s, size_t at, int n)
{
	const struct dc_jpeg_plane *p = &d->plane[s->plane[0]];
	const struct pass pass = *s;
	struct bits b = d->scan.b;
	int eob_run = d->eob_run;

	for (; n > 0; n--, at++)
		if (first_ac(&b, &d->ac[pass.ac[0]], &pass, &eob_run, p->coef + at * 64, &p->known[at]) < 0 || overrun(&b))
			return -1;
	d->scan.b = b;
	d->eob_run = eob_run;
	return 0;
}

static int
blocks_refine_ac(struct decoder *d, const struct pass *s, size_t at, int n)
{
	const struct dc_jpeg_plane *p = &d->plane[s->plane[0]];
	const struct pass pass = *s;
	struct bits b = d->scan.b;
	int eob_run = d->eob_run;

	for (; n > 0; n--, at++)
		if (refine_ac(&b, &d->ac[pass.ac[0]], &pass, &eob_run, p->coef + at * 64, &p->known[at]) < 0 || overrun(&b))
			return -1;
	d->scan.b = b;
	d->eob_run = eob_run;
	return 0;
}

static int
blocks_dc(struct decoder *d, const struct pass *s, int i, size_t at, int n)
{
	const struct dc_jpeg_plane *p = &d->plane[s->plane[i]];
	const struct huffman *h = &d->dc[s->dc[i]];
	struct bits b = d->scan.b;
	int last = d->last_dc[s->plane[i]];

	for (; n > 0; n--, at++)
		if ((s->high ? refine_dc(&b, s->low, p->coef + at * 64) : first_dc(&b, h, &last, s->low, p->coef + at * 64)) < 0 ||
		    overrun(&b))
			return -1;
	d->scan.b = b;
	d->last_dc[s->plane[i]] = last;
	return 0;
}

/* A scan of one plane goes over its blocks, whatever the MCUs. */
static int
pass_alone(struct decoder *d, const struct pass *s)
{
	const struct dc_jpeg_plane *p = &d->plane[s->plane[0]];
	const int rows = d->to_row * p->v < p->real_rows ? d->to_row * p->v : p->real_rows;
	const int n = s->every ? 1 : p->real_columns;
	size_t at = 0;

	for (int y = 0; y < rows; y++)
		for (int x = 0; x < p->real_columns; x += n) {
			const size_t place = (size_t)y * (size_t)p->columns + (size_t)x;

			if (restart(d, s->every, at++) < 0 || (!s->first ? blocks_dc(d, s, 0, place, n) :
			    s->high ? blocks_refine_ac(d, s, place, n) : blocks_first_ac(d, s, place, n)) < 0)
				return -1;
		}
	return 0;
}

/* A scan of several planes, which has DC values alone, goes over the MCUs. */
static int
pass_together(struct decoder *d, const struct pass *s)
{
	size_t at = 0;

	for (int row = 0; row < d->to_row; row++)
		for (int column = 0; column < d->mcu_columns; column++) {
			if (restart(d, s->every, at++) < 0)
				return -1;
			for (int i = 0; i < s->n; i++) {
				const struct dc_jpeg_plane *p = &d->plane[s->plane[i]];

				for (int y = 0; y < p->v; y++)
					if (blocks_dc(d, s, i, (size_t)(row * p->v + y) * (size_t)p->columns + (size_t)(column * p->h), p->h) < 0)
						return -1;
			}
		}
	return 0;
}

/* bit[plane][k]: down to which bit coefficient k is known; -1 not at all. Only what follows on that is taken. */
static int
pass_follows(const struct decoder *d, const struct pass *s, int8_t bit[PLANES_MAX][64])
{
	if (s->low > 13 || (s->first == 0) != (s->last == 0) || s->last > 63 || s->first > s->last || (s->first && s->n != 1) ||
	    (s->high && s->low != s->high - 1))
		return -1;
	for (int i = 0; i < s->n; i++) {
		int8_t *known = bit[s->plane[i]];

		if (s->first && known[0] < 0)
			return -1;
		for (int k = s->first; k <= s->last; k++) {
			if (known[k] != (s->high ? s->high : -1))
				return -1;
			known[k] = (int8_t)s->low;
		}
		if (s->first ? !(d->ac_there >> s->ac[i] & 1) : !s->high && !(d->dc_there >> s->dc[i] & 1))
			return -1;
	}
	return 0;
}

static struct pass
pass_from_libjpeg(const struct jpeg_decompress_struct *c)
{
	struct pass s = { .n = c->comps_in_scan, .first = c->Ss, .last = c->Se, .high = c->Ah, .low = c->Al,
		.every = c->restart_interval };

	for (int i = 0; i < s.n; i++) {
		s.plane[i] = c->cur_comp_info[i]->component_index;
		s.dc[i] = c->cur_comp_info[i]->dc_tbl_no & 3;
		s.ac[i] = c->cur_comp_info[i]->ac_tbl_no & 3;
	}
	return s;
}

/* Huffman tables: p .. end is the segment. */
static int
take_tables(struct decoder *d, const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		uint8_t count[17] = { 0 };
		size_t n = 0;
		int which;

		if (end - p < 17 || (p[0] & 0xef) > 3)
			return -1;
		which = p[0];
		memcpy(count + 1, p + 1, 16);
		for (int i = 1; i <= 16; i++)
			n += count[i];
		p += 17;
		if (n > 256 || (size_t)(end - p) < n ||
		    huffman_init(which & 16 ? &d->ac[which & 3] : &d->dc[which & 3], count, p, n) < 0)
			return -1;
		*(which & 16 ? &d->ac_there : &d->dc_there) |= 1u << (which & 3);
		p += n;
	}
	return 0;
}

/* A scan's header: p .. end is the segment. */
static int
take_pass(const struct decoder *d, struct pass *s, const uint8_t *p, const uint8_t *end)
{
	int before = -1;

	if (end - p < 1 || p[0] < 1 || p[0] > d->n_planes || end - p != 4 + 2 * p[0])
		return -1;
	s->n = *p++;
	for (int i = 0; i < s->n; i++, p += 2) {
		int k = 0;

		while (k < d->n_planes && d->c->comp_info[k].component_id != p[0])
			k++;
		if (k <= before || k == d->n_planes || (p[1] & ~0x33))
			return -1;
		s->plane[i] = before = k;
		s->dc[i] = p[1] >> 4;
		s->ac[i] = p[1] & 15;
	}
	s->first = p[0];
	s->last = p[1];
	s->high = p[2] >> 4;
	s->low = p[2] & 15;
	return 0;
}

/* From the marker at *at to the next scan's data: 1, to the end of the image: 0; what else there may be is declined: -1. */
static int
next_pass(struct decoder *d, struct pass *s, const uint8_t **at, const uint8_t *end)
{
	const uint8_t *p = *at;

	while (end - p >= 4 && p[0] == 0xff) {
		const size_t n = (size_t)(p[2] << 8 | p[3]);
		const int marker = p[1];

		if (marker == 0xd9)
			return 0;
		p += 4;
		if (n < 2 || n - 2 > (size_t)(end - p) || (marker != 0xc4 && marker != 0xda))
			return -1;
		*at = p + n - 2;
		if (marker == 0xda)
			return take_pass(d, s, p, *at) < 0 ? -1 : 1;
		if (take_tables(d, p, *at) < 0)
			return -1;
		p = *at;
	}
	return end - p >= 2 && p[0] == 0xff && p[1] == 0xd9 ? 0 : -1;
}

static int
progressive(struct decoder *d)
{
	const uint8_t *at = d->c->src->next_input_byte, *end = at + d->c->src->bytes_in_buffer;
	struct pass s = pass_from_libjpeg(d->c);
	int8_t bit[PLANES_MAX][64];
	int more = 1;

	memset(bit, -1, sizeof bit);
	for (int scans = 0; more; scans++) {
		if (scans == SCANS_MAX || pass_follows(d, &s, bit) < 0 || scan_take(&d->scan, at, end) < 0 ||
		    (d->scan.n_starts > 2 && !s.every) || scan_interval(&d->scan, 0) < 0)
			return -1;
		d->eob_run = 0;
		memset(d->last_dc, 0, sizeof d->last_dc);
		if ((s.n == 1 ? pass_alone(d, &s) : pass_together(d, &s)) < 0)
			return -1;
		at = d->scan.rest;
		if ((more = next_pass(d, &s, &at, end)) < 0)
			return -1;
	}
	for (int i = 0; i < d->n_planes; i++) /* what stays coarse libjpeg smooths */
		for (int k = 0; k < 64; k++)
			if (bit[i][k])
				return -1;
	for (int row = d->from_row; row < d->to_row; row++)
		transform_row(d, row, 1);
	return 0;
}

/* --- in and out --- */

static int
is_known_kind(const struct jpeg_decompress_struct *c)
{
	const jpeg_component_info *p = c->comp_info;
	const int n = c->num_components;

	if (c->arith_code || c->data_precision != 8 || (n != 1 && n != 3) || c->image_width < 16 || c->image_height < 16 ||
	    c->jpeg_color_space != (n == 1 ? JCS_GRAYSCALE : JCS_YCbCr))
		return 0;
	if (!c->progressive_mode && (c->comps_in_scan != n || c->Ss != 0 || c->Se != 63 || c->Ah != 0 || c->Al != 0))
		return 0;
	if (n == 1)
		return 1;
	return p[0].h_samp_factor <= 2 && p[0].v_samp_factor <= p[0].h_samp_factor && p[1].h_samp_factor == 1 &&
	    p[1].v_samp_factor == 1 && p[2].h_samp_factor == 1 && p[2].v_samp_factor == 1;
}

static int
plane_init(struct decoder *d, int i)
{
	const jpeg_component_info *info = &d->c->comp_info[i];
	const JQUANT_TBL *q = info->quant_tbl_no >= 0 && info->quant_tbl_no < 4 ? d->c->quant_tbl_ptrs[info->quant_tbl_no] : NULL;
	struct dc_jpeg_plane *p = &d->plane[i];
	const int most_h = d->plane[0].h, most_v = d->plane[0].v;
	size_t blocks;

	if (!q)
		return -1;
	p->columns = d->mcu_columns * p->h;
	p->rows = d->mcu_rows * p->v;
	p->width = ((int)d->c->image_width * p->h + most_h - 1) / most_h;
	p->height = ((int)d->c->image_height * p->v + most_v - 1) / most_v;
	p->real_columns = (p->width + 7) / 8;
	p->real_rows = (p->height + 7) / 8;
	for (int k = 0; k < 64; k++)
		p->quant[k] = q->quantval[k];
	blocks = (size_t)p->columns * (size_t)(d->c->progressive_mode ? p->rows : p->v);
	p->coef = dc_xaligned(blocks, 64 * sizeof *p->coef);
	if (d->c->progressive_mode) {
		p->known = dc_xcalloc(blocks, sizeof *p->known);
		memset(p->coef, 0, blocks * 64 * sizeof *p->coef);
	}
	p->stride = (size_t)p->columns * 8 + 2 * DC_JPEG_MARGIN;
	p->samples = (uint8_t *)dc_xaligned((size_t)p->rows * 8, p->stride) + DC_JPEG_MARGIN;
	return 0;
}

static int
planes_init(struct decoder *d, const int part[4])
{
	int wide, high;

	d->n_planes = d->c->num_components;
	for (int i = 0; i < d->n_planes; i++) {
		d->plane[i].h = d->n_planes == 1 ? 1 : d->c->comp_info[i].h_samp_factor;
		d->plane[i].v = d->n_planes == 1 ? 1 : d->c->comp_info[i].v_samp_factor;
	}
	wide = 8 * d->plane[0].h;
	high = 8 * d->plane[0].v;
	d->mcu_columns = ((int)d->c->image_width + wide - 1) / wide;
	d->mcu_rows = ((int)d->c->image_height + high - 1) / high;
	/* upsampling looks at the neighbours of the part's colour samples, which are two pixels wide */
	d->from_column = part[0] < 2 ? 0 : (part[0] - 2) / wide;
	d->from_row = part[1] < 2 ? 0 : (part[1] - 2) / high;
	d->to_column = (part[0] + part[2] + 2 + wide - 1) / wide;
	d->to_row = (part[1] + part[3] + 2 + high - 1) / high;
	d->to_column = d->to_column < d->mcu_columns ? d->to_column : d->mcu_columns;
	d->to_row = d->to_row < d->mcu_rows ? d->to_row : d->mcu_rows;
	for (int i = 0; i < d->n_planes; i++)
		if (plane_init(d, i) < 0)
			return -1;
	return 0;
}

static void
decoder_free(struct decoder *d)
{
	for (int i = 0; i < d->n_planes; i++) {
		free(d->plane[i].coef);
		free(d->plane[i].known);
		if (d->plane[i].samples)
			free(d->plane[i].samples - DC_JPEG_MARGIN);
	}
	free(d->scan.data);
	free(d->scan.start);
	free(d);
}

/* All tables that a baseline scan names are there. */
static int
baseline_tables(const struct decoder *d)
{
	for (int i = 0; i < d->n_planes; i++) {
		const jpeg_component_info *info = d->c->cur_comp_info[i];

		if (info->dc_tbl_no < 0 || info->dc_tbl_no > 3 || info->ac_tbl_no < 0 || info->ac_tbl_no > 3 ||
		    !(d->dc_there >> info->dc_tbl_no & 1) || !(d->ac_there >> info->ac_tbl_no & 1) || info->component_index != i)
			return -1;
	}
	return 0;
}

enum dc_jpeg
dc_jpeg_decode(const struct jpeg_decompress_struct *c, const int part[4], uint8_t *rgb)
{
	struct decoder *d;
	int r;

	if (!is_known_kind(c))
		return DC_JPEG_DECLINED;
	d = dc_xmalloc(sizeof *d);
	memset(d, 0, offsetof(struct decoder, dc));
	memset((char *)d + offsetof(struct decoder, dc_there), 0, sizeof *d - offsetof(struct decoder, dc_there));
	d->c = c;
	r = planes_init(d, part);
	if (r == 0)
		r = tables_from_libjpeg(d);
	if (r == 0 && !c->progressive_mode)
		r = baseline_tables(d);
	if (r == 0)
		r = c->progressive_mode ? progressive(d) : baseline(d);
	if (r == 0)
		dc_jpeg_colours(rgb, (int)c->image_width, part, d->plane, d->n_planes);
	decoder_free(d);
	return r == 0 ? DC_JPEG_DONE : DC_JPEG_DECLINED;
}
