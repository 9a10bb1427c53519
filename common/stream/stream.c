/* SPDX-License-Identifier: MIT */
/* Reading and writing whole frames. The bodies' values: value.c, put.c; their validation: check.c. */
#include "stream/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include "stream/check.h"
#include "stream/stall.h"

enum { PHASE_HEADER, PHASE_BODY, PHASE_TRAILER, TRAILER_BYTES = 9, FIRST_ALLOCATION = 1 << 24, PIPE_BYTES = 1 << 20 };

void
dc_pipe_widen(int fd)
{
#ifdef F_SETPIPE_SZ
	int now = fcntl(fd, F_GETPIPE_SZ);

	if (now > 0 && now < PIPE_BYTES)
		fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
#else
	(void)fd;
#endif
}

void
dc_in_init(struct dc_in *in, int fd, const char *name)
{
	struct stat st;

	memset(in, 0, sizeof *in);
	in->fd = fd;
	in->name = name;
	in->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

void
dc_in_watch(struct dc_in *in, int fd, short events)
{
	in->watch[in->n_watch++] = (struct pollfd){ .fd = fd, .events = events };
}

int
dc_in_buffered(const struct dc_in *in)
{
	return in->buf_n > in->buf_at;
}

void
dc_frame_free(struct dc_frame *f)
{
	if (f->parsed)
		msgpack_zone_destroy(&f->zone);
	free(f->body);
	memset(f, 0, sizeof *f);
}

void
dc_frame_empty(struct dc_frame *f)
{
	if (f->parsed)
		msgpack_zone_destroy(&f->zone);
	f->parsed = 0;
	free(f->body);
	f->body = NULL;
	f->bytes = f->cap = 0;
}

void
dc_frame_move(struct dc_frame *f, struct dc_frame *from)
{
	dc_frame_free(f);
	*f = *from;
	memset(from, 0, sizeof *from);
}

void
dc_frame_put_err(const struct dc_frame *f, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	dc_err_put("%s: frame %llu%s%s%s at byte %llu: %s", f->in_name, (unsigned long long)f->number, *f->kind ? " (" : "",
	    f->kind, *f->kind ? ")" : "", (unsigned long long)f->offset, text);
}

/* --- bytes --- */

static int
poll_watched(const struct dc_in *in, struct pollfd *p)
{
	struct dc_wait w = { .fd = in->fd, .name = in->name, .step = in->last_step, .number = in->frames, .got = in->got,
		.all = in->phase == PHASE_HEADER ? 0 : in->body_bytes };
	int at, r;

	memcpy(w.kind, in->last_kind, sizeof w.kind);
	at = dc_wait_begin(&w);
	do
		r = poll(p, 1 + (nfds_t)in->n_watch, -1);
	while (r < 0 && errno == EINTR);
	dc_wait_end(at);
	return r;
}

/* Wait until the input has something. DC_FRAME: it has; DC_GONE, DC_OTHER, DC_FAIL. */
static int
wait_input(struct dc_in *in)
{
	struct pollfd p[5] = { { .fd = in->fd, .events = POLLIN } };

	memcpy(p + 1, in->watch, sizeof in->watch);
	if (poll_watched(in, p) < 0)
		return dc_err_errno("%s: poll", in->name);
	for (int i = 1; i <= in->n_watch; i++)
		if (!p[i].events && (p[i].revents & (POLLERR | POLLHUP | POLLNVAL)))
			return DC_GONE;
	for (int i = 1; i <= in->n_watch && !p[0].revents; i++) /* our own input first, or two ready ones would wait for each other */
		if (p[i].events && p[i].revents)
			return DC_OTHER;
	return p[0].revents ? DC_FRAME : DC_OTHER;
}

/* Read into p at most n bytes. DC_FRAME with *got > 0, or DC_EOF, DC_FAIL, DC_GONE, DC_OTHER. */
static int
read_some(struct dc_in *in, void *p, size_t n, size_t *got)
{
	ssize_t r;
	int w;

	do {
		if ((w = wait_input(in)) != DC_FRAME)
			return w;
		r = read(in->fd, p, n);
	} while (r < 0 && (errno == EINTR || errno == EAGAIN));
	if (r < 0)
		return dc_err_errno("%s", in->name);
	*got = (size_t)r;
	return r ? DC_FRAME : DC_EOF;
}

/* Have at least n bytes in the buffer (n <= sizeof buf). */
static int
fill(struct dc_in *in, size_t n)
{
	size_t got;
	int r;

	if (in->buf_at && in->buf_n - in->buf_at < n) {
		memmove(in->buf, in->buf + in->buf_at, in->buf_n - in->buf_at);
		in->buf_n -= in->buf_at;
		in->buf_at = 0;
	}
	while (in->buf_n - in->buf_at < n) {
		if ((r = read_some(in, in->buf + in->buf_n, sizeof in->buf - in->buf_n, &got)) != DC_FRAME)
			return r;
		in->buf_n += got;
	}
	return DC_FRAME;
}

static void
take(struct dc_in *in, size_t n)
{
	in->buf_at += n;
	in->offset += n;
}

/* --- header --- */

/* As fill(), but the end of the file there is a truncated frame; where nothing of the frame has come, the clean end. */
static int
need(struct dc_in *in, struct dc_frame *f, size_t n, const char *what)
{
	int r = fill(in, n);

	if (r != DC_EOF || (in->phase == PHASE_HEADER && in->buf_n == in->buf_at))
		return r;
	return dc_frame_err(f, "truncated in its %s: %zu of %zu bytes", what, in->buf_n - in->buf_at, n);
}

static uint64_t
big_endian(const unsigned char *p, int n)
{
	uint64_t x = 0;

	for (int i = 0; i < n; i++)
		x = x << 8 | p[i];
	return x;
}

/* A msgpack unsigned integer at p (n bytes there): its length, 0 if it needs more bytes, -1 if it is none. */
static int
parse_uint(const unsigned char *p, size_t n, uint64_t *x)
{
	int size;

	if (!n)
		return 0;
	if (*p < 0x80) {
		*x = *p;
		return 1;
	}
	if (*p < 0xcc || *p > 0xcf)
		return -1;
	size = 1 << (*p - 0xcc);
	if (n < 1 + (size_t)size)
		return 0;
	*x = big_endian(p + 1, size);
	return 1 + size;
}

/* A str of at most 31 bytes: fixstr or str8. Same returns. */
static int
parse_name(const unsigned char *p, size_t n, char *out)
{
	size_t len, at = 1;

	if (!n)
		return 0;
	if ((*p & 0xe0) == 0xa0)
		len = *p & 31;
	else if (*p != 0xd9)
		return -1;
	else if (n < 2)
		return 0;
	else
		len = p[1], at = 2;
	if (len > DC_KIND_MAX)
		return -1;
	if (n < at + len)
		return 0;
	memcpy(out, p + at, len);
	out[len] = 0;
	return memchr(out, 0, len) ? -1 : (int)(at + len);
}

/* Parse what is buffered as a header: its length, 0 if it needs more, -1 after a message. */
static int
parse_header(struct dc_in *in, struct dc_frame *f)
{
	static const unsigned char magic[] = { 0x94, 0xa4, 'd', 'c', 's' };
	const unsigned char *p = in->buf + in->buf_at;
	size_t n = in->buf_n - in->buf_at;
	int at = 6, k;

	if (memcmp(p, magic, n < sizeof magic ? n : sizeof magic))
		return dc_frame_err(f, "not a dc stream (no [\"dcs1\", ...] header)");
	if (n < 6)
		return 0;
	if (p[5] != '1')
		return dc_frame_err(f, "stream version 'dcs%c', this program reads 'dcs1'", p[5] > 31 && p[5] < 127 ? p[5] : '?');
	if ((k = parse_name(p + at, n - (size_t)at, f->kind)) <= 0)
		return k ? dc_frame_err(f, "bad kind in the header") : 0;
	at += k;
	if ((k = parse_uint(p + at, n - (size_t)at, &f->step)) <= 0)
		return k ? dc_frame_err(f, "bad step in the header") : 0;
	at += k;
	if ((k = parse_uint(p + at, n - (size_t)at, &in->body_bytes)) <= 0)
		return k ? dc_frame_err(f, "bad body_bytes in the header") : 0;
	if (in->body_bytes > DC_BODY_MAX)
		return dc_frame_err(f, "body of %llu bytes announced, the limit is %zu", (unsigned long long)in->body_bytes, DC_BODY_MAX);
	return at + k;
}

static int
read_header(struct dc_in *in, struct dc_frame *f)
{
	size_t n = 1;
	int k, r;

	while (1) {
		if ((r = need(in, f, n, "header")) != DC_FRAME)
			return r;
		if ((k = parse_header(in, f)))
			break;
		n = in->buf_n - in->buf_at + 1;
	}
	if (k < 0)
		return DC_FAIL;
	memcpy(f->head, in->buf + in->buf_at, (size_t)k); /* at most 6 + 33 + 9 + 9 bytes */
	f->n_head = k;
	take(in, (size_t)k);
	return DC_FRAME;
}

/* --- body and trailer --- */

/* Grow only as bytes really come: a header that lies costs no memory. */
static void
reserve(struct dc_frame *f, size_t got, size_t want)
{
	size_t cap = f->cap ? f->cap : FIRST_ALLOCATION;
	unsigned char *p;

	if (got < f->cap)
		return;
	while (cap <= got)
		cap *= 2;
	cap = cap > want ? want : cap;
	p = dc_xaligned(cap, 1);
	if (got)
		memcpy(p, f->body, got);
	free(f->body);
	f->body = p;
	f->cap = cap;
}

static int
read_body(struct dc_in *in, struct dc_frame *f)
{
	size_t want = (size_t)in->body_bytes, n, have;
	int r;

	while (in->got < want) {
		reserve(f, in->got, want);
		n = (f->cap < want ? f->cap : want) - in->got;
		have = in->buf_n - in->buf_at;
		if (have) {
			n = have < n ? have : n;
			memcpy(f->body + in->got, in->buf + in->buf_at, n);
			in->buf_at += n;
		} else if ((r = read_some(in, f->body + in->got, n, &n)) == DC_EOF) {
			return dc_frame_err(f, "truncated in its body: %zu of %zu bytes", in->got, want);
		} else if (r != DC_FRAME) {
			return r;
		}
		in->got += n;
		in->offset += n;
	}
	f->bytes = want;
	return DC_FRAME;
}

static int
read_trailer(struct dc_in *in, struct dc_frame *f)
{
	unsigned char *p;
	uint64_t sum;
	size_t n = 1;
	int r, k;

	do {
		if ((r = need(in, f, n, "trailer")) != DC_FRAME)
			return r;
		p = in->buf + in->buf_at;
		if ((k = parse_uint(p, in->buf_n - in->buf_at, &sum)) < 0)
			return dc_frame_err(f, "its trailer is not an unsigned integer");
		n = TRAILER_BYTES;
	} while (!k);
	memcpy(f->tail, p, (size_t)k);
	f->n_tail = k;
	take(in, (size_t)k);
	if (sum != XXH3_64bits(f->body, f->bytes))
		return dc_frame_err(f, "damaged: the checksum of its body is wrong");
	return DC_FRAME;
}

static int
parse_body(struct dc_frame *f)
{
	size_t at = 0;

	if (dc_check_body(f->body, f->bytes) < 0)
		return dc_frame_err(f, "%s", dc_err());
	if (!msgpack_zone_init(&f->zone, MSGPACK_ZONE_CHUNK_SIZE))
		return dc_err_set("out of memory");
	f->parsed = 1;
	if (msgpack_unpack((const char *)f->body, f->bytes, &at, &f->zone, &f->root) != MSGPACK_UNPACK_SUCCESS)
		return dc_frame_err(f, "its body is not msgpack");
	return DC_FRAME;
}

int
dc_frame_make(struct dc_frame *f, const char *kind, uint64_t step, unsigned char *body, size_t bytes, const char *from)
{
	dc_frame_free(f);
	*f = (struct dc_frame){ .step = step, .body = body, .bytes = bytes, .cap = bytes, .number = 1, .in_name = from };
	snprintf(f->kind, sizeof f->kind, "%s", kind);
	return parse_body(f) == DC_FRAME ? 0 : -1;
}

static void
begin_frame(struct dc_in *in, struct dc_frame *f)
{
	if (f->parsed)
		msgpack_zone_destroy(&f->zone);
	f->parsed = 0;
	f->bytes = 0;
	f->step = 0;
	*f->kind = 0;
	f->number = in->frames + 1;
	f->offset = in->offset;
	f->in_name = in->name;
	in->got = 0;
}

int
dc_frame_read(struct dc_in *in, struct dc_frame *f)
{
	int r;

	if (in->phase == PHASE_HEADER) {
		begin_frame(in, f);
		if ((r = read_header(in, f)) != DC_FRAME)
			return r;
		in->phase = PHASE_BODY;
	}
	if (in->phase == PHASE_BODY) {
		if ((r = read_body(in, f)) != DC_FRAME)
			return r;
		in->phase = PHASE_TRAILER;
	}
	if ((r = read_trailer(in, f)) != DC_FRAME)
		return r;
	in->phase = PHASE_HEADER;
	in->frames++;
	memcpy(in->last_kind, f->kind, sizeof f->kind);
	in->last_step = f->step;
	if ((r = parse_body(f)) == DC_FRAME)
		in->ended = !strcmp(f->kind, "end");
	return r;
}

/* --- writing --- */

int
dc_out_init(struct dc_out *out, int fd, const char *name)
{
	*out = (struct dc_out){ .fd = fd, .name = name };
	DC_CHECK(!isatty(fd), "%s is a terminal; the stream is binary: send it to a pipe or a file", name);
	return 0;
}

/* One write, or the wait for one. What writev() came to; -1 with EAGAIN after a wait. */
static ssize_t
write_some(struct dc_out *out, const struct iovec *v, int n, struct dc_wait *w)
{
	struct pollfd p = { .fd = out->fd, .events = POLLOUT };
	int at = dc_wait_begin(w);
	ssize_t k = writev(out->fd, v, n);

	if (k < 0 && errno == EAGAIN) {
		poll(&p, 1, -1);
		errno = EAGAIN;
	}
	dc_wait_end(at);
	return k;
}

static int
write_all(struct dc_out *out, struct iovec *v, int n, const char *kind, uint64_t step)
{
	struct dc_wait wait = { .fd = out->fd, .writing = 1, .name = out->name, .step = step, .number = out->frames + 1 };
	ssize_t w;

	snprintf(wait.kind, sizeof wait.kind, "%s", kind);
	for (int i = 0; i < n; i++)
		wait.all += v[i].iov_len;
	while (n) {
		if ((w = write_some(out, v, n, &wait)) < 0) {
			if (errno == EPIPE)
				return DC_GONE;
			if (errno != EAGAIN && errno != EINTR)
				return dc_err_errno("%s", out->name);
			continue;
		}
		wait.got += (uint64_t)w;
		out->bytes += (uint64_t)w;
		for (; n && (size_t)w >= v->iov_len; v++, n--)
			w -= (ssize_t)v->iov_len;
		if (n) {
			v->iov_base = (char *)v->iov_base + w;
			v->iov_len -= (size_t)w;
		}
	}
	out->frames++;
	return DC_FRAME;
}

static size_t
put_uint(unsigned char *p, uint64_t x)
{
	if (x < 128) {
		*p = (unsigned char)x;
		return 1;
	}
	*p = 0xcf;
	for (int i = 0; i < 8; i++)
		p[1 + i] = (unsigned char)(x >> 8 * (7 - i));
	return 9;
}

static int
write_frame(struct dc_out *out, const char *kind, uint64_t step, const void *body, size_t bytes)
{
	unsigned char head[64] = { 0x94, 0xa4, 'd', 'c', 's', '1' }, trailer[TRAILER_BYTES];
	size_t n = 6, len = strlen(kind);
	uint64_t sum = XXH3_64bits(body, bytes);

	DC_CHECK(bytes <= DC_BODY_MAX, "%s: a %s frame of %zu bytes; the limit is %zu", out->name, kind, bytes, DC_BODY_MAX);
	head[n++] = (unsigned char)(0xa0 | len);
	memcpy(head + n, kind, len);
	n += len;
	n += put_uint(head + n, step);
	n += put_uint(head + n, bytes);
	trailer[0] = 0xcf;
	for (int i = 0; i < 8; i++)
		trailer[1 + i] = (unsigned char)(sum >> 8 * (7 - i));
	return write_all(out, (struct iovec[]){ { head, n }, { (void *)(uintptr_t)body, bytes }, { trailer, sizeof trailer } }, 3,
	    kind, step);
}

int
dc_frame_pass(struct dc_out *out, const struct dc_frame *f)
{
	return write_all(out, (struct iovec[]){ { (void *)(uintptr_t)f->head, (size_t)f->n_head }, { f->body, f->bytes },
		{ (void *)(uintptr_t)f->tail, (size_t)f->n_tail } }, 3, f->kind, f->step);
}

void
dc_body_end(struct dc_body *b)
{
	for (int i = 0; b->n && i < 4; i++)
		b->p[1 + i] = (unsigned char)(b->entries >> 8 * (3 - i));
}

void
dc_body_clear(struct dc_body *b)
{
	b->n = 0;
	b->entries = 0;
	b->pending = 0;
}

int
dc_frame_write(struct dc_out *out, const char *kind, uint64_t step, struct dc_body *b)
{
	static const unsigned char empty[] = { 0xdf, 0, 0, 0, 0 };
	int r;

	dc_body_end(b);
	r = b->n ? write_frame(out, kind, step, b->p, b->n) : write_frame(out, kind, step, empty, sizeof empty);
	dc_body_clear(b);
	return r;
}

/* --- a filter's life --- */

int
dc_write_status(int r)
{
	if (r == DC_GONE)
		return DC_EXIT_NEIGHBOUR;
	if (r == DC_FAIL)
		dc_warn("%s", dc_err());
	return r == DC_FAIL ? DC_EXIT_FAIL : DC_EXIT_OK;
}

int
dc_io_status(const struct dc_in *in, int r)
{
	if (r == DC_GONE || r == DC_FAIL)
		return dc_write_status(r);
	if (in->ended)
		return DC_EXIT_OK;
	if (!in->regular)
		return DC_EXIT_NEIGHBOUR;
	dc_warn("%s: truncated: it ends after %llu frames at byte %llu without an end frame", in->name,
	    (unsigned long long)in->frames, (unsigned long long)in->offset);
	return DC_EXIT_FAIL;
}

static const struct dc_filter *
handler(const struct dc_filter *t, const char *kind)
{
	for (; t->kind; t++)
		if (!strcmp(t->kind, kind))
			return t;
	return NULL;
}

int
dc_filter_streams(struct dc_in *in, struct dc_out *out, const struct dc_filter *table, void *arg)
{
	struct dc_frame f = { 0 };
	const struct dc_filter *h;
	int r;

	do {
		if ((r = dc_frame_read(in, &f)) != DC_FRAME)
			break;
		h = handler(table, f.kind);
		r = h ? h->frame(arg, &f, out) : dc_frame_pass(out, &f);
	} while (r == DC_FRAME && !in->ended);
	dc_frame_free(&f);
	return dc_io_status(in, r);
}

int
dc_filter_run(const struct dc_filter *table, void *arg)
{
	struct dc_in *in;
	struct dc_out out;
	int status;

	if (dc_out_init(&out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die_usage("%s", dc_err());
	in = dc_xmalloc(sizeof *in);
	dc_in_init(in, STDIN_FILENO, "<stdin>");
	dc_in_watch(in, out.fd, 0);
	status = dc_filter_streams(in, &out, table, arg);
	if (status == DC_EXIT_OK && close(STDOUT_FILENO) < 0) {
		dc_warn_errno("<stdout>");
		status = DC_EXIT_FAIL;
	}
	free(in);
	return status;
}
