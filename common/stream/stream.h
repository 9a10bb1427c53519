/* SPDX-License-Identifier: MIT */
/* The stream: msgpack-framed tensor batches over pipes (format: man/dc-stream.5).
 *
 *	struct dc_in in; struct dc_out out; struct dc_frame f = { 0 }; struct dc_body b = { 0 };
 *	dc_in_init(&in, STDIN_FILENO, "<stdin>");
 *	dc_out_init(&out, STDOUT_FILENO, "<stdout>");      // -1 if it is a terminal
 *	dc_in_watch(&in, out.fd, 0);                       // a wait for input ends when stdout's reader dies
 *	while ((r = dc_frame_read(&in, &f)) == DC_FRAME) {
 *		struct dc_tensor x;
 *		if (strcmp(f.kind, "views")) { r = dc_frame_pass(&out, &f); continue; }
 *		dc_frame_tensor(&f, "image.0", DC_U8, 4, &x);  // -1 with a message that names frame, key, wanted and got
 *		float *y = dc_put_space(&b, "features", DC_F32, 2, (int64_t[]){ n, d });
 *		dc_put_copy(&b, &f, "id");
 *		r = dc_frame_write(&out, "features", f.step, &b);   // empties b for the next frame
 *	}
 *
 * Most tools are filters and use dc_filter_run() instead of writing that loop.
 * A frame's tensors and strings point into it and live until the next dc_frame_read into it or dc_frame_free. */
#ifndef DC_STREAM_STREAM_H
#define DC_STREAM_STREAM_H

#include <msgpack.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

enum { DC_MAX_DIMS = 8, DC_KIND_MAX = 31, DC_PART_MAX = 64 /* samples in a part of a batch */ };
#define DC_BODY_MAX ((size_t)1 << 30)

/* What a read or write came to. Everything below 0 ends the tool. */
enum dc_io {
	DC_FRAME = 1,    /* reads: a frame; writes: written */
	DC_EOF = 0,      /* reads: end of file at a frame boundary */
	DC_FAIL = -1,    /* error: dc_err() says what */
	DC_GONE = -2,    /* the reader of a watched output (or of this one) went away */
	DC_OTHER = 2     /* reads: a watched input became readable first; call again to go on where this left off */
};

enum dc_type { DC_U8, DC_I32, DC_I64, DC_U64, DC_F32, DC_F64, DC_F16, DC_BF16 }; /* the last two: files of models only */
size_t dc_type_size(enum dc_type t);
const char *dc_type_name(enum dc_type t); /* "u8" ... */
const char *dc_type_code(enum dc_type t); /* the format's "|u1" ..., "" for what no frame holds */

struct dc_tensor {
	enum dc_type type;
	int ndim;
	int64_t shape[DC_MAX_DIMS];
	size_t n, bytes;         /* elements, bytes */
	const void *data;        /* row-major, 64-byte aligned; NULL for a reference */
	const char *file, *name; /* a reference: bare file name in the run's shm directory, tensor in it; else NULL */
};

struct dc_str { const char *p; size_t n; }; /* not NUL-terminated; valid UTF-8 */

struct dc_frame {
	char kind[DC_KIND_MAX + 1];
	uint64_t step;
	unsigned char *body; size_t bytes, cap;
	uint64_t number, offset;  /* this frame's number in its stream (from 1) and its byte offset, for messages */
	msgpack_zone zone; msgpack_object root; int parsed;
	const char *in_name;
	unsigned char head[64], tail[9]; int n_head, n_tail; /* header and trailer as they came, for dc_frame_pass */
};

struct dc_in {
	int fd; const char *name;
	uint64_t frames, offset;  /* read so far */
	struct pollfd watch[4]; int n_watch;
	int ended;                /* an `end` frame has come */
	int regular;              /* fd is a regular file */
	/* state of a read under way */
	int phase; size_t got; unsigned char buf[65536]; size_t buf_at, buf_n;
	uint64_t body_bytes;
	char last_kind[DC_KIND_MAX + 1]; uint64_t last_step; /* of the last whole frame, for the watchdog (stall.h) */
};

struct dc_out { int fd; const char *name; uint64_t frames, bytes; };

/* A body being written. Zero-initialise; dc_frame_write empties it for reuse; dc_body_free at the end. */
struct dc_body { unsigned char *p; size_t n, cap; uint32_t entries; uint64_t pending; };

void dc_in_init(struct dc_in *in, int fd, const char *name);
/* Also poll `fd` in every wait of `in`: events = 0 to learn that an output's reader is gone (DC_GONE), POLLIN to be
 * interrupted when another input has something (DC_OTHER; its number among the watched is not told: look). */
void dc_in_watch(struct dc_in *in, int fd, short events);
/* DC_FRAME, DC_EOF, DC_FAIL, DC_GONE or DC_OTHER. Checks header, bounds, trailer and structure before anything is
 * believed; every message names the input, frame number and byte offset. */
int dc_frame_read(struct dc_in *in, struct dc_frame *f) DC_MUST_USE;
/* Whether the buffer already holds bytes of a next frame (poll() cannot see those). */
int dc_in_buffered(const struct dc_in *in);
void dc_frame_free(struct dc_frame *f);
/* Give a large body's memory back before the next frame is read; what the frame had is gone, its name in messages stays. */
void dc_frame_empty(struct dc_frame *f);
/* f takes over all of `from`, which becomes empty. */
void dc_frame_move(struct dc_frame *f, struct dc_frame *from);

/* -1 with a message if fd is a terminal: binary is never written there. */
int dc_out_init(struct dc_out *out, int fd, const char *name) DC_MUST_USE;
/* A frame of megabytes goes through a pipe of the usual 64 KB in dozens of turns, each with two wake-ups: ask for a
 * megabyte. What the kernel does not grant, and what is no pipe, stays as it is. */
void dc_pipe_widen(int fd);
/* DC_FRAME, DC_FAIL or DC_GONE. */
int dc_frame_write(struct dc_out *out, const char *kind, uint64_t step, struct dc_body *b) DC_MUST_USE;
/* The very bytes that were read. */
int dc_frame_pass(struct dc_out *out, const struct dc_frame *f) DC_MUST_USE;

/* --- values of a frame. Each returns 0, or -1 with a message naming stream, frame, kind and key. --- */

/* NULL if there is none. Not an error: no message. */
const msgpack_object *dc_frame_get(const struct dc_frame *f, const char *key);
/* A tensor by value or by reference. type/ndim as wanted (ndim -1: any). Unaligned data are copied to aligned memory
 * that lives as long as the frame. */
int dc_frame_tensor(struct dc_frame *f, const char *key, enum dc_type type, int ndim, struct dc_tensor *t) DC_MUST_USE;
int dc_frame_tensor_any(struct dc_frame *f, const char *key, struct dc_tensor *t) DC_MUST_USE;
int dc_object_is_tensor(const msgpack_object *o);
/* `what` names the value in a message. */
int dc_object_tensor(struct dc_frame *f, const char *what, const msgpack_object *o, struct dc_tensor *t) DC_MUST_USE;
int dc_frame_int(struct dc_frame *f, const char *key, int64_t *out) DC_MUST_USE;
int dc_frame_double(struct dc_frame *f, const char *key, double *out) DC_MUST_USE; /* an int is a double too */
int dc_frame_bool(struct dc_frame *f, const char *key, int *out) DC_MUST_USE;
int dc_frame_str(struct dc_frame *f, const char *key, struct dc_str *out) DC_MUST_USE;
/* An array of strings; *out lives as long as the frame. */
int dc_frame_strs(struct dc_frame *f, const char *key, const struct dc_str **out, size_t *n) DC_MUST_USE;
/* An array; elements at o->via.array.ptr[i]. */
int dc_frame_array(struct dc_frame *f, const char *key, const msgpack_object **out, size_t *n) DC_MUST_USE;
/* `part` = [i, n]; absent: [0, 1]. */
int dc_frame_part(struct dc_frame *f, int64_t *i, int64_t *n) DC_MUST_USE;
/* Set dc_err to "<stdin>: frame 3 (views) at byte 1234: message"; always -1. */
#define dc_frame_err(...) (dc_frame_put_err(__VA_ARGS__), dc_failed())
void dc_frame_put_err(const struct dc_frame *f, const char *fmt, ...) DC_PRINTF(2, 3);

/* --- writing a body: key, value, key, value ... `key` is NULL inside an array. Never fail (memory is checked). --- */

void dc_put_tensor(struct dc_body *b, const char *key, const struct dc_tensor *t); /* by value or by reference */
void dc_put_data(struct dc_body *b, const char *key, enum dc_type type, int ndim, const int64_t *shape, const void *data);
/* Room for a tensor, to be filled in by the caller before the next dc_put_*; 64-byte aligned in the frame. */
void *dc_put_space(struct dc_body *b, const char *key, enum dc_type type, int ndim, const int64_t *shape);
void dc_put_ref(struct dc_body *b, const char *key, enum dc_type type, int ndim, const int64_t *shape,
    const char *file, const char *name);
void dc_put_int(struct dc_body *b, const char *key, int64_t v);
void dc_put_double(struct dc_body *b, const char *key, double v);
void dc_put_bool(struct dc_body *b, const char *key, int v);
void dc_put_str(struct dc_body *b, const char *key, const char *s);
void dc_put_strn(struct dc_body *b, const char *key, const char *s, size_t n);
/* The next n puts are the elements (key NULL), or the n entries, of this array or map. */
void dc_put_array(struct dc_body *b, const char *key, size_t n);
void dc_put_map(struct dc_body *b, const char *key, size_t n);
/* Copy a value of a frame as it is (tensors are aligned anew); nothing if the frame has no such key. */
void dc_put_copy(struct dc_body *b, struct dc_frame *f, const char *key);
void dc_put_object(struct dc_body *b, const char *key, struct dc_frame *f, const msgpack_object *o);
void dc_put_part(struct dc_body *b, int64_t i, int64_t n);
void dc_body_free(struct dc_body *b);
/* Room for so many bytes more: a large body is then not moved while it grows, which takes its memory twice. */
void dc_body_room(struct dc_body *b, size_t bytes);

/* --- frames that travel by other means than a pipe --- */

/* End a body: b->p [b->n] are its bytes. Empty it with dc_body_clear before the next one. */
void dc_body_end(struct dc_body *b);
void dc_body_clear(struct dc_body *b);
/* A frame of such bytes, which f takes over (they are freed with free); checked as those of a pipe are, but for the
 * trailer. `from` stands in messages, and must last as long. 0, or -1 with a message. */
int dc_frame_make(struct dc_frame *f, const char *kind, uint64_t step, unsigned char *body, size_t bytes, const char *from) DC_MUST_USE;

/* --- a filter's whole life --- */

struct dc_filter {
	const char *kind;   /* frames of this kind ... */
	/* ... go to this function, which writes what it likes to out. DC_FRAME, DC_FAIL (after dc_err_*) or DC_GONE. */
	int (*frame)(void *arg, struct dc_frame *f, struct dc_out *out);
};

/* Read stdin to its end and write stdout: frames with a handler (a table ending with kind NULL) go there, every other
 * frame is passed on unchanged. A handler for "end" must pass it on itself.
 * Prints the error, if any. Return the exit status: 0 only if `end` came and all was written. */
int dc_filter_run(const struct dc_filter *table, void *arg);
/* The same over given streams. */
int dc_filter_streams(struct dc_in *in, struct dc_out *out, const struct dc_filter *table, void *arg);
/* The exit status that a read or write result means; prints dc_err() for DC_FAIL. For DC_EOF without `end`: 3, silent,
 * from a pipe (a neighbour died), 1 with a message from a regular file (it is truncated). */
int dc_io_status(const struct dc_in *in, int r);
/* The same of a program that only writes: anything but DC_GONE and DC_FAIL is well. */
int dc_write_status(int r);

#endif
