/* SPDX-License-Identifier: MIT */
/* NumPy's .npy files (format 1.0; 2.0 and 3.0 are read too): written row by row, read by rows.
 *
 *	struct dc_npy_out o;                                     struct dc_npy x;
 *	dc_npy_create(&o, dirfd, "x.npy", DC_F32, 2, row);       dc_npy_open(&x, dirfd, "x.npy");
 *	dc_npy_append(&o, data, n);                              x.ndim, x.shape, x.code
 *	dc_npy_finish(&o);     // the shape is known now         dc_npy_floats(&x, first, n, to);
 *	                                                         dc_npy_close(&x);
 *
 * A header from outside is text, not Python: it is parsed, bounded, and its shape checked against the file's size. */
#ifndef DC_STORE_NPY_H
#define DC_STORE_NPY_H

#include "stream/stream.h"

struct dc_npy_out {
	FILE *fp; char *name;
	enum dc_type type;
	int ndim; int64_t shape[DC_MAX_DIMS];  /* shape[0]: the rows so far (ndim 0: one value) */
	size_t row_bytes;
};

/* Create `name` below dirfd, which must not be there; shape[1..] is a row's, shape[0] is ignored.
 * -1 with a message; nothing is left open then. */
int dc_npy_create(struct dc_npy_out *o, int dirfd, const char *name, enum dc_type type, int ndim, const int64_t *shape) DC_MUST_USE;
int dc_npy_append(struct dc_npy_out *o, const void *rows, int64_t n) DC_MUST_USE;
/* Write the header, sync and close. The file is complete only after this returned 0. */
int dc_npy_finish(struct dc_npy_out *o) DC_MUST_USE;
/* Close without that. */
void dc_npy_drop(struct dc_npy_out *o);

struct dc_npy {
	int fd; char *name;
	char code[8];            /* as the header says, such as "<f4" */
	int ndim; int64_t shape[DC_MAX_DIMS];
	int64_t rows, row;       /* shape[0], values in a row; 1 and 1 for a scalar */
	size_t item; int64_t offset;
};

/* Open `name` below dirfd: little-endian floats (f2 f4 f8) or whole numbers (i1 .. i8, u1 .. u8) in C order, as many as the
 * file is long. -1 with a message that names the file and what is wrong. */
int dc_npy_open(struct dc_npy *x, int dirfd, const char *name) DC_MUST_USE;
int dc_npy_is_float(const struct dc_npy *x);
/* n rows from the row `first` on, as floats (f8 is rounded; one that is finite and becomes infinite is an error) or as
 * whole numbers (a u8 above 2^63 - 1 keeps its bits). -1 with a message: of the other kind, or reading failed. */
int dc_npy_floats(const struct dc_npy *x, int64_t first, int64_t n, float *to) DC_MUST_USE;
int dc_npy_ints(const struct dc_npy *x, int64_t first, int64_t n, int64_t *to) DC_MUST_USE;
void dc_npy_close(struct dc_npy *x);

#endif
