/* SPDX-License-Identifier: MIT */
/* dc-mpi's work: what it does with each frame of its rank's ring, and what the ranks share of it.
 *
 * All functions return DC_FRAME, DC_FAIL with a message, or DC_GONE; DC_OTHER: another rank has left (dc_mpi_leave). */
#ifndef DC_MPI_RING_H
#define DC_MPI_RING_H

#include "mpi/link.h"
#include "ranks/slow.h"
#include "store/safetensors.h"
#include "stream/gather.h"

struct dc_mpi {
	struct dc_link *l;
	struct dc_in in;
	struct dc_out out;
	struct dc_frame f;            /* the one at hand */
	struct dc_gather batch;       /* the parts of this rank's features */
	struct dc_frame *theirs;      /* [ranks] everybody's, as one frame each */
	unsigned char **bytes;        /* [ranks] room for what comes */
	struct dc_body b, own;
	const char *refs;             /* the directory of the shared files, or NULL */
	struct dc_st gradients;       /* the shared file, once it is needed */
	uint64_t run;                 /* what the run is: the same in all ranks */
	int leaving;                  /* somebody ended early: nothing is shared any more */
	int timer;
	struct dc_slow slow;
	double summed, shared;        /* seconds in all */
};

/* The frame at hand, g->f, of whatever kind. */
int dc_mpi_frame(struct dc_mpi *g) DC_MUST_USE;
/* Another rank has left. Where it failed this one fails too, and says whose fault it is; where it stopped, this ring is
 * told to stop, and what it sends until then goes nowhere. */
int dc_mpi_leave(struct dc_mpi *g) DC_MUST_USE;
/* The last word to all others. */
void dc_mpi_tell(struct dc_mpi *g, enum dc_word_kind kind, const char *why);

/* By kind of frame. Features: of all ranks one batch. Gradients: their sums. Reduce: sums of a batch norm over all rows. */
int dc_mpi_features(struct dc_mpi *g) DC_MUST_USE;
int dc_mpi_gradients(struct dc_mpi *g) DC_MUST_USE;
int dc_mpi_reduce(struct dc_mpi *g) DC_MUST_USE;

/* --- among themselves --- */

int dc_mpi_meet(struct dc_mpi *g, enum dc_word_kind kind, uint64_t step, uint64_t check, uint64_t bytes) DC_MUST_USE;
/* This frame's body from everybody who has one: g->theirs. The own one is moved there.
 * Where it does not succeed the memory stays as it is, and this process ends: receives and sends of it are under way still,
 * and MPI would write what comes while the last word is said into what somebody else has by then. */
int dc_mpi_exchange(struct dc_mpi *g, const char *kind, uint64_t step, unsigned char *own, size_t bytes) DC_MUST_USE;
/* A body's memory, given away. */
unsigned char *dc_mpi_take_body(struct dc_body *b);
/* A key of a map as a string to be freed; NULL: it is none. */
char *dc_mpi_name_of(const msgpack_object *key);
/* Put the statistics of all ranks' frames, g->theirs, into g->b, rank by rank. */
int dc_mpi_put_statistics(struct dc_mpi *g) DC_MUST_USE;

#endif
