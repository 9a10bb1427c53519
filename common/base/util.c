/* SPDX-License-Identifier: MIT */
#include "base/util.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

const char *dc_progname = "dc";
static _Thread_local char err_text[2048];

enum { HUGE_PAGE = 2 << 20, HUGE_FROM = 2 * HUGE_PAGE };   /* bytes */

void
dc_main_init(const char *progname)
{
	dc_progname = progname;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stderr, NULL, _IOLBF, BUFSIZ); /* a line is one write: the tools of a pipe share a terminal */
}

void
dc_keep_memory(void)
{
#ifdef M_MMAP_THRESHOLD /* glibc; both must be set, and 32 MB is the most it takes */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

static void
vwarn(int err, const char *fmt, va_list ap)
{
	flockfile(stderr);
	fprintf(stderr, "%s: ", dc_progname);
	vfprintf(stderr, fmt, ap);
	if (err)
		fprintf(stderr, ": %s", strerror(err));
	fputc('\n', stderr);
	funlockfile(stderr);
}

#define WARN_BODY(err) do { va_list ap; va_start(ap, fmt); vwarn((err), fmt, ap); va_end(ap); } while (0)

void dc_warn(const char *fmt, ...) { WARN_BODY(0); }
void dc_warn_errno(const char *fmt, ...) { int e = errno; WARN_BODY(e); }
void dc_die(const char *fmt, ...) { WARN_BODY(0); exit(DC_EXIT_FAIL); }
void dc_die_errno(const char *fmt, ...) { int e = errno; WARN_BODY(e); exit(DC_EXIT_FAIL); }
void dc_die_usage(const char *fmt, ...) { WARN_BODY(0); exit(DC_EXIT_USAGE); }

/* The arguments may point into err_text, so the message is made beside it. */
static void
set_err(int err, const char *suffix, const char *fmt, va_list ap)
{
	char text[sizeof err_text];
	size_t n;

	vsnprintf(text, sizeof text, fmt, ap);
	n = strlen(text);
	if (err)
		snprintf(text + n, sizeof text - n, ": %s", strerror(err));
	else if (suffix)
		snprintf(text + n, sizeof text - n, ": %s", suffix);
	memcpy(err_text, text, sizeof text);
}

#define ERR_BODY(err, suffix) do { va_list ap; va_start(ap, fmt); set_err((err), (suffix), fmt, ap); va_end(ap); } while (0)

void dc_err_put(const char *fmt, ...) { ERR_BODY(0, NULL); }
void dc_err_put_errno(const char *fmt, ...) { int e = errno; ERR_BODY(e, NULL); errno = e; }
void dc_err_put_prefix(const char *fmt, ...) { ERR_BODY(0, err_text); }
const char *dc_err(void) { return err_text; }

static void *
checked(void *p)
{
	if (!p)
		dc_die("out of memory");
	return p;
}

static size_t
product(size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		dc_die("out of memory: %zu x %zu bytes asked for", n, size);
	return bytes ? bytes : 1;
}

/* Large blocks ask for huge pages, where the system gives them to those who ask: one fault in place of 512, and a matrix
 * product that misses the table of addresses less. What the first write to a page costs two threads, each of which must
 * tell the other, made a large model's first step take as long as three. */
static void *
on_huge_pages(char *p, size_t bytes)
{
#ifdef MADV_HUGEPAGE
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), skip = -(size_t)p % page;

	if (bytes >= HUGE_FROM)
		madvise(p + skip, (bytes - skip) / page * page, MADV_HUGEPAGE);   /* a wish: refused, nothing is lost */
#else
	(void)bytes;
#endif
	return p;
}

void *dc_xmalloc(size_t bytes) { return checked(malloc(bytes ? bytes : 1)); }

void *
dc_xcalloc(size_t n, size_t size)
{
	void *p = checked(calloc(n ? n : 1, size ? size : 1));

	return on_huge_pages(p, n * size);
}

void *dc_xrealloc(void *p, size_t n, size_t size) { return checked(realloc(p, product(n, size))); }
char *dc_xstrdup(const char *s) { return checked(strdup(s)); }
char *dc_xstrndup(const char *s, size_t n) { return checked(strndup(s, n)); }

char *
dc_xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return checked(n < 0 ? NULL : s);
}

void *
dc_xaligned(size_t n, size_t size)
{
	const size_t bytes = product(n, size);
	void *p;

	p = checked(posix_memalign(&p, bytes >= HUGE_FROM ? HUGE_PAGE : 64, bytes) ? NULL : p);
	return on_huge_pages(p, bytes);
}

int
dc_fshut(FILE *fp, const char *fname)
{
	int err = 0;

	errno = 0;
	if (fflush(fp) == EOF || ferror(fp))
		err = errno ? errno : EIO; /* ferror() alone leaves no errno */
	if (fclose(fp) == EOF && !err)
		err = errno;
	if (!err)
		return 0;
	errno = err;
	return dc_err_errno("%s", fname);
}

double
dc_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int
dc_slurp(const char *path, size_t max, char **out, size_t *bytes)
{
	FILE *fp = fopen(path, "rb");
	char *p = NULL;
	size_t n = 0, cap = 0, got;

	if (!fp)
		return dc_err_errno("%s", path);
	do {
		if (n + 1 >= cap)
			p = dc_xrealloc(p, cap = cap ? 2 * cap : 65536, 1);
		n += got = fread(p + n, 1, cap - n - 1, fp);
	} while (got && n <= max);
	if (ferror(fp) || n > max) {
		if (n > max)
			dc_err_set("%s: larger than %zu bytes", path, max);
		else
			dc_err_errno("%s", path);
		fclose(fp);
		free(p);
		return -1;
	}
	fclose(fp);
	p[n] = 0;
	*out = p;
	*bytes = n;
	return 0;
}
