/* SPDX-License-Identifier: MIT */
/* Byte-pair encoding with CLIP's vocabulary: text -> token ids, and back.
 *
 *	struct dc_bpe bpe;
 *	if (dc_bpe_open(&bpe, "bpe_simple_vocab_16e6.txt.gz") < 0) ...
 *	struct dc_bpe_coder *coder = dc_bpe_coder_new(&bpe);           // one per thread
 *	int32_t row[77];
 *	dc_bpe_row(coder, "a photo of a cat", 16, row, 77);            // start ... end 0 0 0
 *	char *text = dc_bpe_decode(&bpe, row, 77, NULL);               // "a photo of a cat "
 *	dc_bpe_coder_free(coder); free(text); dc_bpe_close(&bpe);
 *
 * The file, gzip or plain: a first line that holds "#version", then one merge "a b" a line, best first. Bytes stand in
 * it as visible characters: the 188 printable ones of Latin-1 for themselves, the others as U+0100, U+0101 ... in
 * their order; "</w>" after the last means the end of a word. At most DC_BPE_MERGES_MAX merges are read (OpenAI's
 * file holds 262,144, of which CLIP uses the first 48,894: V = 49,408).
 *
 * Ids, V = 512 + merges + 2 (OpenAI's order): 0..255 the bytes (the 188 first), 256..511 the same at a word's end,
 * 512.. the merges' results, V-2 start, V-1 end; V is the mask token. Padding is 0, which is also the id of "!".
 *
 * Text can never become a special token: a caption that says "<|endoftext|>" is read as "<|", "endoftext", "|>".
 * (OpenAI's tokenizer gives the special id; the pooled position, the first end token, would then be the wrong one.) */
#ifndef DC_TEXT_BPE_H
#define DC_TEXT_BPE_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

enum { DC_BPE_BYTES = 512, DC_BPE_MERGES_MAX = 48894 };

struct dc_bpe_token { const char *p; uint32_t n; int ends; };  /* its bytes; whether it ends a word */
struct dc_bpe_pair { uint32_t left, right, rank, id; };         /* id 0: an empty slot */

/* Read-only after dc_bpe_open: any number of threads may use it. */
struct dc_bpe {
	int size;                           /* V */
	int merges;
	int start, end, mask;               /* V-2, V-1, V */
	struct dc_bpe_token *token;         /* [V-2] */
	char *bytes;                        /* what token[].p points into */
	uint16_t byte_id[256];              /* a byte's id inside a word; at its end 256 more */
	struct dc_bpe_pair *pair; size_t n_slots; /* merges by their two parts, open addressing */
};

/* Return 0, or -1 with a message that names the file and the line. */
int dc_bpe_open(struct dc_bpe *b, const char *path) DC_MUST_USE;
/* The same from the text of such a file (n bytes, unpacked); `what` names it in messages. */
int dc_bpe_parse(struct dc_bpe *b, const char *text, size_t n, const char *what) DC_MUST_USE;
void dc_bpe_close(struct dc_bpe *b);

/* What one thread needs to encode: the cleaner's room and a cache of words. `b` must outlive it. */
struct dc_bpe_coder;
struct dc_bpe_coder *dc_bpe_coder_new(const struct dc_bpe *b);
void dc_bpe_coder_free(struct dc_bpe_coder *c);

/* Clean the text (text/clean.h), split it, and write the first `max` ids, without start and end. Return how many. */
size_t dc_bpe_encode(struct dc_bpe_coder *c, const char *s, size_t n, int32_t *ids, size_t max);
/* The same for one word of any bytes, not cleaned, not split. */
size_t dc_bpe_encode_word(struct dc_bpe_coder *c, const char *s, size_t n, int32_t *ids, size_t max);
/* CLIP's row of T >= 2 ids: start, at most T-2 of the text's, end, then padding. Return the ids without padding, T + 1
 * where the text was cut. */
int dc_bpe_row(struct dc_bpe_coder *c, const char *s, size_t n, int32_t *row, int T);

/* The text of ids, to be freed: start tokens are left out, the first end token ends it, the mask is "<|mask|> ", ids
 * outside 0..V "<|?|> ". A space follows every word, punctuation too, as in CLIP's decode; but for the spaces it is
 * the cleaned text again (less any U+0345 that stands alone, which CLIP's splitting drops). Bytes that are not UTF-8 (half a character) become U+FFFD. *bytes (may be NULL): its length. */
char *dc_bpe_decode(const struct dc_bpe *b, const int32_t *ids, size_t n, size_t *bytes);

/* The visible character that stands for a byte in the file, as UTF-8; its length (1 or 2). */
int dc_bpe_byte_put(char *out, unsigned char byte);
/* Each byte's id inside a word; at its end 256 more. */
void dc_bpe_byte_ids(uint16_t id[256]);

#endif
