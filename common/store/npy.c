/* SPDX-License-Identifier: MIT */
#include "store/npy.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 128 /* of our own files: room for any shape */, HEAD_MAX = 1 << 16, BLOCK = 1 << 16 };

static const char magic[] = "\x93NUMPY";

/* --- writing --- */

int
dc_npy_create(struct dc_npy_out *o, int dirfd, const char *name, enum dc_type type, int ndim, const int64_t *shape)
{
	static const char room[HEAD] = { 0 };
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

	*o = (struct dc_npy_out){ .type = type, .ndim = ndim, .row_bytes = dc_type_size(type) };
	if (fd < 0)
		return dc_err_errno("%s", name);
	for (int i = 1; i < ndim; i++)
		o->row_bytes *= (size_t)(o->shape[i] = shape[i]);
	o->name = dc_xstrdup(name);
	if (!(o->fp = fdopen(fd, "wb"))) {
		dc_err_put_errno("%s", name);
		close(fd);
	} else if (fwrite(room, 1, HEAD, o->fp) == HEAD)
		return 0;
	else
		dc_err_put_errno("%s", name);
	dc_npy_drop(o);
	return -1;
}

int
dc_npy_append(struct dc_npy_out *o, const void *rows, int64_t n)
{
	const size_t bytes = o->row_bytes * (size_t)n;

	o->shape[0] += n;
	return bytes == 0 || fwrite(rows, 1, bytes, o->fp) == bytes ? 0 : dc_err_errno("%s", o->name);
}

static void
make_head(char head[HEAD], const struct dc_npy_out *o)
{
	int n;

	memset(head, ' ', HEAD);
	memcpy(head, "\x93NUMPY\x01", 8);   /* with the NUL: version 1.0 */
	head[8] = HEAD - 10;
	head[9] = 0;
	n = 10 + snprintf(head + 10, HEAD - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (", dc_type_code(o->type));
	for (int i = 0; i < o->ndim; i++)
		n += snprintf(head + n, (size_t)(HEAD - n), "%s%lld", i ? ", " : "", (long long)o->shape[i]);
	n += snprintf(head + n, (size_t)(HEAD - n), "%s), }", o->ndim == 1 ? "," : "");
	head[n] = ' ';
	head[HEAD - 1] = '\n';
}

int
dc_npy_finish(struct dc_npy_out *o)
{
	char head[HEAD];
	int r = 0;

	make_head(head, o);
	if (fseek(o->fp, 0, SEEK_SET) < 0 || fwrite(head, 1, HEAD, o->fp) != HEAD || fflush(o->fp) != 0 || fsync(fileno(o->fp)) < 0)
		r = dc_err_errno("%s", o->name);
	if (fclose(o->fp) != 0 && r == 0)
		r = dc_err_errno("%s", o->name);
	o->fp = NULL;
	dc_npy_drop(o);
	return r;
}

void
dc_npy_drop(struct dc_npy_out *o)
{
	if (o->fp)
		fclose(o->fp);
	free(o->name);
	*o = (struct dc_npy_out){ 0 };
}

/* --- the header of a file from outside: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } --- */

static const char *
blanks(const char *s)
{
	return s + strspn(s, " \t\n");
}

/* 'text' or "text" into out; NULL where there is none or it is too long. */
static const char *
take_string(const char *s, char *out, size_t room)
{
	const char quote = *s, *end;

	if ((quote != '\'' && quote != '"') || !(end = strchr(s + 1, quote)) || (size_t)(end - s - 1) >= room)
		return NULL;
	memcpy(out, s + 1, (size_t)(end - s - 1));
	out[end - s - 1] = '\0';
	return blanks(end + 1);
}

static const char *
take_bool(const char *s, int *out)
{
	*out = !strncmp(s, "True", 4);
	return *out ? blanks(s + 4) : strncmp(s, "False", 5) ? NULL : blanks(s + 5);
}

static const char *
take_shape(const char *s, struct dc_npy *x)
{
	char *end;

	if (*s++ != '(')
		return NULL;
	for (s = blanks(s); *s != ')'; s = blanks(s + 1)) {
		if (x->ndim == DC_MAX_DIMS || !isdigit((unsigned char)*s))
			return NULL;
		errno = 0;
		x->shape[x->ndim++] = strtoll(s, &end, 10);
		s = blanks(end);
		if (errno || (*s != ',' && *s != ')'))
			return NULL;
		if (*s == ')')
			break;
	}
	return blanks(s + 1);
}

enum { DESCR = 1, ORDER = 2, SHAPE = 4 };

/* One `key: value` and the comma behind it. */
static const char *
take_entry(const char *s, struct dc_npy *x, int *fortran, int *seen)
{
	char key[16];
	int what;

	if (!(s = take_string(s, key, sizeof key)) || *s != ':')
		return NULL;
	s = blanks(s + 1);
	what = !strcmp(key, "descr") ? DESCR : !strcmp(key, "fortran_order") ? ORDER : !strcmp(key, "shape") ? SHAPE : 0;
	if (!what || *seen & what)
		return NULL;
	*seen |= what;
	s = what == DESCR ? take_string(s, x->code, sizeof x->code) : what == ORDER ? take_bool(s, fortran) : take_shape(s, x);
	return !s ? NULL : *s == ',' ? blanks(s + 1) : *s == '}' ? s : NULL;
}

static int
parse_header(struct dc_npy *x, const char *s, int *fortran)
{
	int seen = 0;

	s = blanks(s);
	for (s = *s == '{' ? blanks(s + 1) : NULL; s && *s != '}'; )
		s = take_entry(s, x, fortran, &seen);
	if (!s || seen != (DESCR | ORDER | SHAPE) || *blanks(s + 1))
		return dc_err_set("%s: its header is not that of an array of plain numbers", x->name);
	return 0;
}

static int
check_type(struct dc_npy *x)
{
	static const char *const known[] = { "<f2", "<f4", "<f8", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "|i1", "|u1" };

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(x->code, known[i])) {
			x->item = (size_t)(x->code[2] - '0');
			return 0;
		}
	if (x->code[0] == '>')
		return dc_err_set("%s: type %s is big-endian; write it with x.astype('<%s')", x->name, x->code, x->code + 1);
	return dc_err_set("%s: type %s; wanted little-endian f2 f4 f8, or whole numbers", x->name, x->code);
}

static int
check_size(struct dc_npy *x)
{
	struct stat sb;
	int64_t n = 1, bytes;

	for (int i = 0; i < x->ndim; i++)
		DC_CHECK(!__builtin_mul_overflow(n, x->shape[i], &n), "%s: its shape overflows", x->name);
	DC_CHECK(!__builtin_mul_overflow(n, (int64_t)x->item, &bytes), "%s: its shape overflows", x->name);
	if (fstat(x->fd, &sb) < 0)
		return dc_err_errno("%s", x->name);
	DC_CHECK(sb.st_size - x->offset == bytes, "%s: %lld bytes of data, but its shape and type take %lld", x->name,
	    (long long)(sb.st_size - x->offset), (long long)bytes);
	x->rows = x->ndim ? x->shape[0] : 1;
	x->row = 1;
	for (int i = 1; i < x->ndim; i++)
		DC_CHECK(!__builtin_mul_overflow(x->row, x->shape[i], &x->row), "%s: its shape overflows", x->name);
	return 0;
}

static int
read_at(const struct dc_npy *x, void *to, size_t n, int64_t at)
{
	for (size_t got = 0; got < n; ) {
		ssize_t r = pread(x->fd, (char *)to + got, n - got, at + (int64_t)got);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return dc_err_errno("%s", x->name);
		DC_CHECK(r > 0, "%s: shorter than a .npy file's header says", x->name);
		got += (size_t)r;
	}
	return 0;
}

static int
read_header(struct dc_npy *x)
{
	unsigned char start[12];
	size_t bytes;
	char *text;
	int fortran = 0, r;

	DC_TRY(read_at(x, start, sizeof start, 0));
	DC_CHECK(!memcmp(start, magic, 6) && start[6] >= 1 && start[6] <= 3 && start[7] == 0, "%s: not a .npy file of version 1, 2 or 3",
	    x->name);
	bytes = start[8] | (size_t)start[9] << 8;
	if (start[6] > 1)
		bytes |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
	DC_CHECK(bytes <= HEAD_MAX, "%s: a header of %zu bytes", x->name, bytes);
	x->offset = (start[6] > 1 ? 12 : 10) + (int64_t)bytes;
	text = dc_xcalloc(bytes + 1, 1);
	if ((r = read_at(x, text, bytes, x->offset - (int64_t)bytes)) == 0) {
		if (strlen(text) != bytes)
			r = dc_err_set("%s: a NUL in its header", x->name);
		else
			r = parse_header(x, text, &fortran);
	}
	free(text);
	DC_TRY(r);
	DC_TRY(check_type(x));
	DC_CHECK(!fortran || x->ndim < 2, "%s: Fortran order; write it with numpy.ascontiguousarray", x->name);
	return check_size(x);
}

int
dc_npy_open(struct dc_npy *x, int dirfd, const char *name)
{
	struct stat sb;

	*x = (struct dc_npy){ .fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK) };
	if (x->fd < 0)
		return dc_err_errno("%s", name);
	x->name = dc_xstrdup(name);
	if (fstat(x->fd, &sb) == 0 && !S_ISREG(sb.st_mode))
		dc_err_put("%s: not a regular file", name);
	else if (read_header(x) == 0)
		return 0;
	dc_npy_close(x);
	return -1;
}

void
dc_npy_close(struct dc_npy *x)
{
	if (x->name)
		close(x->fd);
	free(x->name);
	*x = (struct dc_npy){ .fd = -1 };
}

/* --- values --- */

int
dc_npy_is_float(const struct dc_npy *x)
{
	return x->code[1] == 'f';
}

/* IEEE 754 binary16: sign 1, exponent 5 (bias 15), fraction 10. */
static float
from_half(uint16_t h)
{
	const int e = h >> 10 & 31, m = h & 1023;
	const float v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexpf((float)(1024 + m), e - 25) : ldexpf((float)m, -24);

	return h >> 15 ? -v : v;
}

static float
float_at(const unsigned char *p, size_t item)
{
	uint16_t h;
	double d;
	float f;

	if (item == 2) {
		memcpy(&h, p, 2);
		return from_half(h);
	}
	if (item == 4) {
		memcpy(&f, p, 4);
		return f;
	}
	memcpy(&d, p, 8);
	return (float)d;
}

static int64_t
int_at(const unsigned char *p, char kind, size_t item)
{
	uint64_t v = 0;

	for (size_t i = 0; i < item; i++)
		v |= (uint64_t)p[i] << 8 * i;
	if (kind == 'i' && item < 8 && v >> (8 * item - 1))
		v |= ~UINT64_C(0) << 8 * item;
	return (int64_t)v;
}

static int
fits(const struct dc_npy *x, const unsigned char *p, float f)
{
	double d;

	if (x->item != 8 || !isinf(f))
		return 1;
	memcpy(&d, p, 8);
	return isinf(d);
}

static int
read_values(const struct dc_npy *x, int64_t first, int64_t n, float *f, int64_t *v)
{
	unsigned char block[BLOCK];
	const int64_t total = n * x->row, most = BLOCK / (int64_t)x->item;

	if (f && x->item == sizeof *f)
		return read_at(x, f, (size_t)total * sizeof *f, x->offset + first * x->row * (int64_t)sizeof *f);
	for (int64_t i = 0; i < total; i += most) {
		const int64_t k = total - i < most ? total - i : most;
		DC_TRY(read_at(x, block, (size_t)k * x->item, x->offset + (first * x->row + i) * (int64_t)x->item));
		for (int64_t j = 0; j < k; j++) {
			const unsigned char *p = block + (size_t)j * x->item;
			if (v)
				v[i + j] = int_at(p, x->code[1], x->item);
			else if (!fits(x, p, f[i + j] = float_at(p, x->item)))
				return dc_err_set("%s: row %lld: a number too large for single precision", x->name,
				    (long long)(first + (i + j) / x->row));
		}
	}
	return 0;
}

int
dc_npy_floats(const struct dc_npy *x, int64_t first, int64_t n, float *to)
{
	DC_CHECK(dc_npy_is_float(x), "%s: type %s, wanted <f4, <f2 or <f8", x->name, x->code);
	return read_values(x, first, n, to, NULL);
}

int
dc_npy_ints(const struct dc_npy *x, int64_t first, int64_t n, int64_t *to)
{
	DC_CHECK(!dc_npy_is_float(x), "%s: type %s, wanted whole numbers", x->name, x->code);
	return read_values(x, first, n, NULL, to);
}
