/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/util.h"
#include "text/mojibake.h"

enum { ROUNDS_MAX = 32, DEPTH_MAX = 16, NO_ENTRY = 0xFFFF };
enum { N_ENCODINGS = 10, MAC_ROMAN = 8, FIRST_SLOPPY = 1, LAST_SLOPPY = 6 };
enum { ALL_ENCODINGS = (1 << N_ENCODINGS) - 1, SLOPPY = ((1 << LAST_SLOPPY) - 1) << FIRST_SLOPPY };

/* --- characters and their classes (tests/reference/make_mojibake.py) --- */

enum {
	I_COMMON, I_C1, I_ODD, I_LAW, I_MONEY, I_OPENING, I_CLOSING, I_NUMERIC, I_FACE, I_UPPER, I_LOWER, I_UPPER2, I_LOWER2,
	I_BOX, I_S_OE, I_S_DEGREE, I_S_AAIETH, I_S_BEHIND_AAIETH, I_S_TIMES, I_S_SQUARE, I_S_ARABIC, I_S_BEHIND_ARABIC,
	I_S_A_GRAVE, I_S_BEHIND_A_GRAVE, I_S_ROOT, I_S_BEHIND_ROOT, I_S_ALMOST, I_S_BEHIND_ALMOST, I_S_LOW_QUOTE,
	I_S_A_DIAERESIS, I_S_BEHIND_LOW_QUOTE_A, I_S_MAC_3, I_S_BEHIND_MAC_3, I_S_VE, I_S_DJE, I_S_VGRS, I_S_MICRO, I_S_GHE,
	I_S_U_SHORT, I_S_CAPITAL_VE, I_S_A_TILDE, I_S_A_HAT, I_S_BETA, I_S_EURO, I_S_BEHIND_BETA_EURO,
	I_S_GREEK,
	I_LEAD2, I_LEAD3, I_LEAD4, I_TRAIL, I_TRAIL_ONLY,
	/* of any character, ASCII too */
	I_AZ, I_az, I_BLANK, I_SPACE, I_WORD, I_STOP, I_NO_AZ, I_NO_NEWLINE, I_HIGH
};

#define B(name) (UINT64_C(1) << I_##name)

static const struct entry { uint16_t cp; uint8_t byte[N_ENCODINGS]; uint64_t class; } entries[] = {
#include "text/mojibake.inc"
};

enum { N_ENTRIES = sizeof entries / sizeof *entries };

static uint64_t
ascii_class(int32_t c)
{
	int upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
	uint64_t k = upper ? B(AZ) | B(WORD) : lower ? B(az) | B(WORD) : B(NO_AZ);

	if (c == ' ')
		k |= B(BLANK) | B(TRAIL);
	if (c == ' ' || (c >= 9 && c <= 0xD) || (c >= 0x1C && c <= 0x1F))
		k |= B(SPACE);
	if ((c >= '0' && c <= '9') || c == '_')
		k |= B(WORD);
	if (c == '.' || c == ',' || c == '?' || c == '!')
		k |= B(STOP);
	return c == '\n' ? k : k | B(NO_NEWLINE);
}

static int
is_word(int32_t c)
{
	utf8proc_category_t k = utf8proc_category(c);

	return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
	    (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

static uint16_t
find_entry(int32_t c)
{
	size_t lo = 0, hi = N_ENTRIES;

	if (c < 0x100)   /* the table begins with all from 0x80 */
		return (uint16_t)(c - 0x80);
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (entries[mid].cp < c)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < N_ENTRIES && entries[lo].cp == c ? (uint16_t)lo : NO_ENTRY;
}

/* The encodings, one bit each, that have the character of this entry. */
static unsigned
entry_encodings(uint16_t e)
{
	unsigned set = 0;

	if (e == NO_ENTRY)
		return 0;
	for (unsigned k = 0; k < N_ENCODINGS; k++)
		set |= (unsigned)(entries[e].byte[k] != 0) << k;
	return set;
}

static void
make_room(struct dc_mojibake *m, size_t n)
{
	if (n <= m->cap)
		return;
	m->cap = n * 2 + 64;
	m->class = dc_xrealloc(m->class, m->cap, sizeof *m->class);
	m->entry = dc_xrealloc(m->entry, m->cap, sizeof *m->entry);
}

/* Fill class and entry. */
static void
classify(struct dc_mojibake *m, const struct dc_points *t)
{
	make_room(m, t->n);
	for (size_t i = 0; i < t->n; i++) {
		int32_t c = t->p[i];

		if (c < 0x80) {
			m->class[i] = ascii_class(c);
			continue;
		}
		m->entry[i] = find_entry(c);
		m->class[i] = m->entry[i] != NO_ENTRY ? entries[m->entry[i]].class :
		    is_word(c) ? B(WORD) : dc_is_space(c) ? B(SPACE) : 0;
		m->class[i] |= B(NO_AZ) | B(NO_NEWLINE) | B(HIGH);
	}
}

/* The encodings that have every character. No sloppy one has U+001A, whose byte stands for U+FFFD there. */
static unsigned
possible_encodings(const struct dc_mojibake *m, const struct dc_points *t)
{
	unsigned set = ALL_ENCODINGS;

	for (size_t i = 0; i < t->n && set; i++)
		if (t->p[i] >= 0x80)
			set &= entry_encodings(m->entry[i]);
		else if (t->p[i] == 0x1A)
			set &= ~(unsigned)SLOPPY;
	return set;
}

/* --- 1. is it suspicious? --- */

#define ACCENTED (B(LOWER) | B(UPPER))
#define SIGN     (B(BOX) | B(OPENING) | B(CLOSING) | B(MONEY) | B(NUMERIC) | B(LAW))
#define ARABIC_2 (B(COMMON) | B(MONEY) | B(ODD) | B(NUMERIC) | B(OPENING) | B(S_BEHIND_ARABIC))
#define CYRILLIC_2 (B(C1) | B(ODD) | B(OPENING) | B(CLOSING) | B(MONEY) | B(S_DEGREE) | B(S_MICRO))
#define GREEK_2  (B(C1) | B(ODD) | B(OPENING) | B(CLOSING) | B(MONEY) | B(S_DEGREE))
#define A_MARK   (B(S_A_TILDE) | B(S_A_HAT))
#define LETTER   (B(AZ) | B(az))

enum { SEQUENCE_MAX = 7 };

/* Characters of these classes in a row. */
static const uint64_t suspicious[][SEQUENCE_MAX] = {
	{ B(C1) },
	{ ACCENTED | SIGN | B(ODD), B(ODD) },
	{ B(ODD), ACCENTED | SIGN },
	{ LETTER, B(LOWER2) | B(UPPER2), B(ODD) },
	/* accented letters and signs in an order that words do not have */
	{ B(LOWER) | B(LOWER2) | B(BOX) | B(CLOSING) | B(MONEY) | B(NUMERIC), B(UPPER) },
	{ B(BOX) | B(CLOSING) | B(MONEY) | B(NUMERIC), B(LOWER) },
	{ B(LOWER) | B(BOX) | B(CLOSING), B(MONEY) },
	{ B(SPACE), B(UPPER), B(MONEY) },
	{ B(UPPER) | B(BOX), B(NUMERIC) | B(LAW) },
	{ ACCENTED | B(BOX) | B(MONEY) | B(CLOSING), B(OPENING), B(NUMERIC) },
	{ ACCENTED | B(MONEY) | B(NUMERIC) | B(BOX) | B(LAW), B(CLOSING), B(OPENING) },
	{ B(MONEY) | B(NUMERIC) | B(BOX), B(OPENING) },
	{ B(az), B(UPPER), B(OPENING) | B(MONEY) },
	{ B(BOX), B(FACE) | B(CLOSING) },
	{ ACCENTED | B(MONEY) | B(NUMERIC) | B(OPENING) | B(CLOSING) | B(LAW), B(BOX) },
	{ ACCENTED, B(OPENING) | B(CLOSING), B(WORD) },
	{ B(S_OE), B(NO_AZ) },
	{ B(UPPER), B(S_DEGREE) },
	/* windows-1252 */
	{ B(S_AAIETH), B(S_BEHIND_AAIETH) | B(OPENING) | B(CLOSING) },
	{ B(S_TIMES), B(S_SQUARE) },
	{ B(S_ARABIC), ARABIC_2, B(S_ARABIC), ARABIC_2 },
	{ B(S_A_GRAVE), B(S_BEHIND_A_GRAVE) },
	{ B(az), A_MARK, B(BLANK) },
	{ B(az), B(SPACE), A_MARK, B(BLANK) },
	{ B(az) | B(STOP) | B(CLOSING), B(S_A_HAT), B(BLANK) | B(OPENING) | B(CLOSING) },
	/* Mac Roman */
	{ B(S_ROOT), B(S_BEHIND_ROOT) },
	{ B(S_ALMOST), B(S_BEHIND_ALMOST) },
	{ B(S_LOW_QUOTE), B(S_A_DIAERESIS), B(S_BEHIND_LOW_QUOTE_A) },
	{ B(S_LOW_QUOTE), B(S_MAC_3), B(S_BEHIND_MAC_3) },
	/* windows-1251, -1253 */
	{ B(S_VE), B(S_DJE) },
	{ B(S_VGRS), CYRILLIC_2, B(S_VGRS) },
	{ B(S_GHE), B(S_U_SHORT), B(S_CAPITAL_VE), B(S_DJE), B(S_CAPITAL_VE), B(NO_NEWLINE),
		LETTER | B(BLANK) },
	{ B(S_BETA), B(S_EURO), B(S_BEHIND_BETA_EURO) },
	{ B(S_GREEK), GREEK_2, B(S_GREEK) },
};

static int
matches(const uint64_t *class, size_t n, const uint64_t *sequence)
{
	for (size_t k = 0; k < SEQUENCE_MAX && sequence[k]; k++)
		if (k >= n || !(class[k] & sequence[k]))
			return 0;
	return 1;
}

static int
is_suspicious(const uint64_t *class, size_t n)
{
	if (n > 1 && (class[0] & A_MARK) && (class[1] & B(BLANK)))   /* at the beginning only */
		return 1;
	for (size_t i = 0; i < n; i++) {
		uint64_t near = class[i] | (i + 1 < n ? class[i + 1] : 0) | (i + 2 < n ? class[i + 2] : 0);

		if (!(near & B(HIGH)))   /* every sequence has one of them among its first three */
			continue;
		for (size_t r = 0; r < sizeof suspicious / sizeof *suspicious; r++)
			if ((class[i] & suspicious[r][0]) && matches(class + i, n - i, suspicious[r]))
				return 1;
	}
	return 0;
}

/* --- 2. bytes that are UTF-8 --- */

static void
bytes_room(struct dc_mojibake *m, size_t n)
{
	if (n <= m->bytes_cap)
		return;
	m->bytes_cap = n * 2 + 64;
	m->a = dc_xrealloc(m->a, m->bytes_cap, 1);
	m->b = dc_xrealloc(m->b, m->bytes_cap, 1);
}

/* The text's bytes in encoding k, at m->a. */
static void
encode(struct dc_mojibake *m, const struct dc_points *t, unsigned k)
{
	for (size_t i = 0; i < t->n; i++)
		m->a[i] = t->p[i] < 0x80 ? (unsigned char)t->p[i] : entries[m->entry[i]].byte[k];
}

static int
in(unsigned char c, unsigned char lo, unsigned char hi)
{
	return c >= lo && c <= hi;
}

static int
trail(unsigned char c)
{
	return in(c, 0x80, 0xBF);
}

/* A trailing byte beside which a space may have been A0: not A0 itself, and not 85, an ellipsis. */
static int
firm_trail(unsigned char c)
{
	return trail(c) && c != 0xA0 && c != 0x85;
}

/* Bytes of a character of UTF-8 at u if one space in it were A0; 0 if there is none. Only characters that are likely. */
static size_t
spaced_character(const unsigned char *u, size_t n)
{
	if (n >= 2 && u[0] && strchr("\xc2\xc3\xc5\xce\xd0\xd9", u[0]) && u[1] == ' ')
		return 2;
	if (n >= 3 && in(u[0], 0xE2, 0xE3) && u[1] == ' ' && firm_trail(u[2]))
		return 3;
	if (n >= 3 && in(u[0], 0xE0, 0xE3) && firm_trail(u[1]) && u[2] == ' ')
		return 3;
	if (n >= 4 && u[0] == 0xF0 && (u[1] == ' ') + (u[2] == ' ') + (u[3] == ' ') == 1 &&
	    trail(u[1]) + trail(u[2]) + trail(u[3]) == 2)
		return 4;
	return 0;
}

static int
has_spaced_character(const unsigned char *u, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (spaced_character(u + i, n - i))
			return 1;
	return 0;
}

static int
begins(const unsigned char *u, size_t n, const char *s)
{
	size_t k = strlen(s);

	return n >= k && !memcmp(u, s, k);
}

/* "à" as a word of its own: the space behind it is a space and was A0 too; but not in the Portuguese "às", "àquele",
 * "àquela", "àquilo". */
static int
a_grave_word(const unsigned char *u, size_t n)
{
	if (!begins(u, n, "\xc3 "))
		return 0;
	u += 2;
	n -= 2;
	return !begins(u, n, " ") && !begins(u, n, "quele") && !begins(u, n, "quela") && !begins(u, n, "quilo") &&
	    !begins(u, n, "s ");
}

static void
swap_bytes(struct dc_mojibake *m)
{
	unsigned char *t = m->a;

	m->a = m->b;
	m->b = t;
}

/* Put A0 back where a space stands for it; n bytes at m->a, room for twice as many. Return how many there are then. */
static size_t
restore_a0(struct dc_mojibake *m, size_t n)
{
	size_t k = 0, c;

	if (!has_spaced_character(m->a, n))
		return n;
	for (size_t i = 0; i < n; i++) {
		m->b[k++] = m->a[i];
		if (a_grave_word(m->a + i, n - i))
			m->b[k++] = 0xA0;
	}
	for (size_t i = 0; i < k; i += c ? c : 1) {
		c = spaced_character(m->b + i, k - i);
		for (size_t j = i; j < i + c; j++)
			m->b[j] = m->b[j] == ' ' ? 0xA0 : m->b[j];
	}
	swap_bytes(m);
	return k;
}

/* What a trailing byte may be where bytes are lost: 0 no, 1 itself, 2 lost (1A), 3 perhaps lost ("?"). */
static int
lossy_trail(unsigned char c)
{
	return trail(c) ? 1 : c == 0x1A ? 2 : c == '?' ? 3 : 0;
}

/* Bytes of a character that has n_trail trailing bytes, one of them lost, at most one of the lost a "?"; else 0. */
static size_t
lossy_sequence(const unsigned char *u, size_t n, size_t n_trail)
{
	int lost = 0, marks = 0;

	if (n <= n_trail)
		return 0;
	for (size_t i = 1; i <= n_trail; i++) {
		int k = lossy_trail(u[i]);

		if (!k)
			return 0;
		lost += k > 1;
		marks += k == 3;
	}
	return lost > 0 && marks < 2 ? n_trail + 1 : 0;
}

/* A pair of surrogates, three bytes each, whose third bytes are there or lost, one lost at least. */
static size_t
lossy_surrogates(const unsigned char *u, size_t n)
{
	if (n < 6 || u[0] != 0xED || !in(u[1], 0xA0, 0xAF) || u[3] != 0xED || !in(u[4], 0xB0, 0xBF))
		return 0;
	return lossy_trail(u[2]) && lossy_trail(u[5]) && (lossy_trail(u[2]) > 1 || lossy_trail(u[5]) > 1) ? 6 : 0;
}

/* Bytes at u that were a character before some were lost, 0 if that is not so. */
static size_t
lossy_character(const unsigned char *u, size_t n)
{
	size_t k;

	if (in(u[0], 0xC2, 0xDF) && n > 1 && (u[1] == 0x1A || (u[0] <= 0xC3 && u[1] == '?')))
		return 2;
	if ((k = lossy_surrogates(u, n)))
		return k;
	if (in(u[0], 0xE0, 0xEF) && (k = lossy_sequence(u, n, 2)))
		return k;
	if (in(u[0], 0xF0, 0xF4) && (k = lossy_sequence(u, n, 3)))
		return k;
	return u[0] == 0x1A;
}

/* U+FFFD for each character of which bytes are lost; room for three times n. */
static size_t
replace_lossy(struct dc_mojibake *m, size_t n)
{
	size_t k = 0, c;

	for (size_t i = 0; i < n; i += c ? c : 1) {
		c = lossy_character(m->a + i, n - i);
		if (c) {
			memcpy(m->b + k, "\xef\xbf\xbd", 3);
			k += 3;
		} else {
			m->b[k++] = m->a[i];
		}
	}
	swap_bytes(m);
	return k;
}

/* One character of UTF-8, CESU-8 or Java's zero at u; the bytes it takes, 0 if there is none. */
static size_t
decode_character(const unsigned char *u, size_t n, int32_t *cp)
{
	utf8proc_int32_t c;
	utf8proc_ssize_t k = utf8proc_iterate(u, n > 4 ? 4 : (utf8proc_ssize_t)n, &c);

	if (k > 0) {
		*cp = c;
		return (size_t)k;
	}
	if (n >= 2 && u[0] == 0xC0 && u[1] == 0x80) {
		*cp = 0;
		return 2;
	}
	if (n < 6 || u[0] != 0xED || !in(u[1], 0xA0, 0xAF) || u[3] != 0xED || !in(u[4], 0xB0, 0xBF) || !trail(u[2]) ||
	    !trail(u[5]))
		return 0;
	*cp = 0x10000 + ((u[1] & 0xF) << 16 | (u[2] & 0x3F) << 10 | (u[4] & 0xF) << 6 | (u[5] & 0x3F));
	return 6;
}

/* m->out = the n bytes at m->a; 0 if they are not UTF-8. */
static int
decode(struct dc_mojibake *m, size_t n)
{
	m->out.n = 0;
	for (size_t i = 0, k; i < n; i += k) {
		int32_t cp;

		if (!(k = decode_character(m->a + i, n - i, &cp)))
			return 0;
		dc_points_add(&m->out, cp);
	}
	return 1;
}

/* m->out = the text as encoding k would have it; 0 if that is no text. */
static int
try_encoding(struct dc_mojibake *m, const struct dc_points *t, unsigned k)
{
	size_t n = t->n;

	bytes_room(m, t->n * 6);
	encode(m, t, k);
	if (k != MAC_ROMAN)
		n = restore_a0(m, n);
	if (SLOPPY >> k & 1)
		n = replace_lossy(m, n);
	return decode(m, n);
}

/* --- 3. runs that look like UTF-8 --- */

/* Characters of the run at class, of which none is before `n`. */
static size_t
run_length(const uint64_t *class, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t k = class[i] & B(LEAD2) ? 1 : class[i] & B(LEAD3) ? 2 : class[i] & B(LEAD4) ? 3 : 0, j = 1;

		if (k == 0 || n - i <= k)
			break;
		while (j <= k && (class[i + j] & B(TRAIL)))
			j++;
		if (j <= k)
			break;
		i += k + 1;
	}
	return i;
}

static void repair(struct dc_mojibake *m, struct dc_points *t, int depth);

/* out += the n points at p, repaired on their own. */
static void
repair_part(struct dc_points *out, const int32_t *p, size_t n, int depth)
{
	struct dc_mojibake m = { 0 };
	struct dc_points part = { 0 };

	dc_points_append(&part, p, n);
	repair(&m, &part, depth + 1);
	dc_points_append(out, part.p, part.n);
	free(part.p);
	dc_mojibake_free(&m);
}

/* m->out = the text with its runs repaired; 0 if there is nothing to repair. A run does not begin behind a trailing
 * character (it would be a piece of something longer) and is not the whole text (which was tried already). */
static int
repair_runs(struct dc_mojibake *m, const struct dc_points *t, int depth)
{
	int any = 0;
	size_t n;

	m->out.n = 0;
	for (size_t i = 0; i < t->n; i += n) {
		n = i > 0 && (m->class[i - 1] & B(TRAIL_ONLY)) ? 0 : run_length(m->class + i, t->n - i);
		if (n > 0 && n < t->n && depth < DEPTH_MAX && is_suspicious(m->class + i, n)) {
			repair_part(&m->out, t->p + i, n, depth);
			any = 1;
			continue;
		}
		n = n ? n : 1;
		dc_points_append(&m->out, t->p + i, n);
	}
	return any;
}

/* --- 4. C1 controls --- */

int32_t
dc_windows_1252(int32_t c)
{
	static const uint16_t at80[32] = {
		0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008D,
		0x017D, 0x008F, 0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A,
		0x0153, 0x009D, 0x017E, 0x0178,
	};
	return c >= 0x80 && c < 0xA0 ? at80[c - 0x80] : c;
}

static void
repair_c1(struct dc_mojibake *m, const struct dc_points *t)
{
	m->out.n = 0;
	for (size_t i = 0; i < t->n; i++)
		dc_points_add(&m->out, dc_windows_1252(t->p[i]));
}

/* --- 5. all of it --- */

static int
same(const struct dc_points *a, const struct dc_points *b)
{
	return a->n == b->n && (a->n == 0 || !memcmp(a->p, b->p, a->n * sizeof *a->p));
}

static int
is_ascii(const struct dc_points *t)
{
	int32_t all = 0;

	for (size_t i = 0; i < t->n; i++)
		all |= t->p[i];
	return all < 0x80;
}

/* m->out = the text after one step. Return 0 if there is nothing to do. */
static int
step(struct dc_mojibake *m, const struct dc_points *t, int depth)
{
	unsigned possible;

	if (is_ascii(t))
		return 0;
	classify(m, t);
	if (!is_suspicious(m->class, t->n))
		return 0;
	possible = possible_encodings(m, t);
	for (unsigned k = 0; k < N_ENCODINGS; k++)
		if ((possible >> k & 1) && try_encoding(m, t, k))
			return 1;
	if (repair_runs(m, t, depth) && !same(&m->out, t))
		return 1;
	repair_c1(m, t);
	return 1;
}

static void
repair(struct dc_mojibake *m, struct dc_points *t, int depth)
{
	for (int i = 0; i < ROUNDS_MAX && step(m, t, depth) && !same(&m->out, t); i++)
		dc_points_swap(&m->out, t);
}

void
dc_mojibake_repair(struct dc_mojibake *m, struct dc_points *text)
{
	repair(m, text, 0);
}

void
dc_mojibake_free(struct dc_mojibake *m)
{
	free(m->class);
	free(m->entry);
	free(m->a);
	free(m->b);
	free(m->out.p);
	*m = (struct dc_mojibake){ 0 };
}
