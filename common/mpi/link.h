/* SPDX-License-Identifier: MIT */
/* The ranks of an MPI job: meetings, bytes for all, sums. Only dc-mpi, which links MPI, may use it.
 *
 *	struct dc_link *l = dc_link_open(&argc, &argv);                  // collective
 *	while (...) {
 *		r = dc_link_meet(l, &(struct dc_word){ .kind = DC_WORD_GRADIENTS, .step = step });  // waits for the others
 *		... l->word[k] is what rank k said ...
 *		r = dc_link_sum(l, x, n);
 *	}
 *	dc_link_tell(l, &(struct dc_word){ .kind = DC_WORD_END });
 *	dc_link_close(l, 1);
 *
 * While they are in these calls all give a sign of life every second.
 * Everybody meets in the same order, so the next word of a rank is either for the same meeting or its last one: END, STOP
 * or FAIL. All calls progress messages only while they run. Waits sleep, since the processors are the encoder's, and
 * watch l->out.
 *
 * The results are DC_FRAME: done; DC_OTHER: l->left has said its last word; DC_GONE: the reader of l->out is gone;
 * DC_FAIL with a message. */
#ifndef DC_MPI_LINK_H
#define DC_MPI_LINK_H

#include "stream/stream.h"

enum dc_word_kind { DC_WORD_FEATURES = 1, DC_WORD_GRADIENTS, DC_WORD_REDUCE, DC_WORD_END, DC_WORD_STOP,
	DC_WORD_FAIL };

struct dc_word {
	uint32_t magic, kind;   /* magic: set by this room */
	uint64_t step, bytes;   /* bytes: what it will share */
	uint64_t check;         /* must be the same for all: what is summed, what the run is */
	uint64_t hash;          /* of the parameters; 0: not said */
	int64_t position;       /* FEATURES: of the batch */
	double waited;          /* seconds that it waited for others in the step before */
	char why[128];          /* FAIL: in words */
};

struct dc_link {
	int rank, ranks;
	char (*host)[64];       /* [ranks] */
	struct dc_word *word;   /* [ranks] what came last; one's own too */
	int left;               /* who has said its last word; -1: nobody */
	int out, lifeline;      /* watched while waiting; -1: not */
	double dead;            /* a rank that is silent for so long, in seconds, has failed; 0: never */
	double waited;          /* seconds in meetings, in all */
	uint64_t sent, received; /* bytes of data */
	struct dc_link_private *p;
};

/* MPI_Init; -1 (NULL) with a message. */
struct dc_link *dc_link_open(int *argc, char ***argv);
/* orderly: MPI_Finalize, which all do. Frees l. */
void dc_link_close(struct dc_link *l, int orderly);

/* Say w to all and wait for what they say; w->kind, step and check must agree. `what` is for messages. */
int dc_link_meet(struct dc_link *l, const struct dc_word *w) DC_MUST_USE;
/* Say it, and wait for nobody; at most `seconds` until it is on its way. */
void dc_link_tell(struct dc_link *l, const struct dc_word *w, double seconds);
/* Let messages progress. DC_FRAME, or DC_OTHER where l->left stopped or failed. */
int dc_link_look(struct dc_link *l) DC_MUST_USE;

/* Everybody's bytes to everybody, as announced in the words: to[k] [word[k].bytes] for each k but the own rank. */
int dc_link_share(struct dc_link *l, const void *own, unsigned char *const *to) DC_MUST_USE;
/* x [n] <- sum over ranks, in double precision and in the order of ranks: the same bits in all of them. */
int dc_link_sum(struct dc_link *l, float *x, size_t n) DC_MUST_USE;

/* "rank 2 (host)"; the string is l's and lasts until the next call. */
const char *dc_link_name(struct dc_link *l, int rank);

#endif
