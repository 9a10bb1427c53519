/* SPDX-License-Identifier: MIT */
/* Safetensors files, memory-mapped: parameters, gradients, checkpoints.
 *
 *	struct dc_st st;
 *	if (dc_st_open(&st, dirfd, "parameters.safetensors", DC_ST_READ) < 0) ...
 *	const struct dc_st_tensor *t = dc_st_find(&st, "visual.conv1.weight");   // t->data, t->shape
 *	dc_st_close(&st);
 *
 * Format: u64 little-endian header length, JSON header padded with spaces to 64 bytes, then the data without holes;
 * tensors whose size is a multiple of 64 come first, so that those are all 64-byte aligned. */
#ifndef DC_STORE_SAFETENSORS_H
#define DC_STORE_SAFETENSORS_H

#include "stream/stream.h"

struct dc_st_tensor { char *name; enum dc_type type; int ndim; int64_t shape[DC_MAX_DIMS]; size_t n, bytes; void *data; };
struct dc_st_meta { char *key, *value; };

struct dc_st {
	struct dc_st_tensor *t; int n;   /* sorted by name */
	struct dc_st_meta *meta; int n_meta;
	void *map; size_t map_bytes;
	char *path;                      /* for messages */
};

enum dc_st_mode { DC_ST_READ /* private, read-only */, DC_ST_WRITE /* shared, read-write */ };

/* Open `name` below dirfd (AT_FDCWD for a path) without following a link in its last component, check every offset
 * against the file, and map it. The types of enum dc_type are read, others refused.
 * Return 0, or -1 with a message naming file and tensor. */
int dc_st_open(struct dc_st *st, int dirfd, const char *name, enum dc_st_mode mode) DC_MUST_USE;
void dc_st_close(struct dc_st *st);
const struct dc_st_tensor *dc_st_find(const struct dc_st *st, const char *name); /* NULL if none */
const char *dc_st_meta(const struct dc_st *st, const char *key);                 /* NULL if none */

/* Create a file of these tensors (name, type, ndim, shape given; data NULL: zeros) below dirfd, reserved with
 * posix_fallocate. Mode 0600 in shm, 0644 in a checkpoint. With sync, fsync before close. -1 with a message. */
int dc_st_create(int dirfd, const char *name, unsigned mode, const struct dc_st_tensor *t, int n,
    const struct dc_st_meta *meta, int n_meta, int sync) DC_MUST_USE;

/* "512,768" into s [n]. */
void dc_st_shape_text(char *s, size_t n, int ndim, const int64_t *shape);

#endif
