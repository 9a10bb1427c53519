/* SPDX-License-Identifier: MIT */
/* Errors, memory and the program's frame: what every tool and every room stands on.
 *
 * A room of common/ never exits and never prints: it sets a message with dc_err_set(), returns -1, and the tool
 * says it with dc_die("%s", dc_err()).  dc_die*, dc_x* and dc_main_* are for tools only. */
#ifndef DC_BASE_UTIL_H
#define DC_BASE_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define DC_MUST_USE __attribute__((warn_unused_result))

/* The exit status of every tool. */
enum dc_exit {
	DC_EXIT_OK = 0,
	DC_EXIT_FAIL = 1,     /* failed, and said why */
	DC_EXIT_USAGE = 2,    /* the command line was wrong */
	DC_EXIT_NEIGHBOUR = 3 /* a neighbour in the pipe went away: silent, it says why itself */
};

extern const char *dc_progname;

/* First act of main(): name the program for messages and ignore SIGPIPE (a lost reader is a status, not a death). */
void dc_main_init(const char *progname);
/* For tools that take and free megabytes for every image: keep freed memory for the next one, where the C library would
 * give it back to the kernel and have it zeroed anew. Costs at most what the largest work in flight took. */
void dc_keep_memory(void);

/* Print "prog: message[: strerror(errno)]" to stderr; dc_die* then exit(1), dc_die_usage exit(2).
 * The _errno forms read errno before they print anything. */
void dc_warn(const char *fmt, ...) DC_PRINTF(1, 2);
void dc_warn_errno(const char *fmt, ...) DC_PRINTF(1, 2);
_Noreturn void dc_die(const char *fmt, ...) DC_PRINTF(1, 2);
_Noreturn void dc_die_errno(const char *fmt, ...) DC_PRINTF(1, 2);
_Noreturn void dc_die_usage(const char *fmt, ...) DC_PRINTF(1, 2);

/* Set this thread's error message; always -1, so that a function can `return dc_err_set("...")`.
 * dc_err_errno appends ": strerror(errno)" and leaves errno; dc_err_prefix puts "what: " in front of the message that stands. */
/* (macros, so that a compiler that reads the caller alone knows that they are -1) */
static inline int dc_failed(void) { return -1; }
#define dc_err_set(...)    (dc_err_put(__VA_ARGS__), dc_failed())
#define dc_err_errno(...)  (dc_err_put_errno(__VA_ARGS__), dc_failed())
#define dc_err_prefix(...) (dc_err_put_prefix(__VA_ARGS__), dc_failed())
void dc_err_put(const char *fmt, ...) DC_PRINTF(1, 2);
void dc_err_put_errno(const char *fmt, ...) DC_PRINTF(1, 2);
void dc_err_put_prefix(const char *fmt, ...) DC_PRINTF(1, 2);
/* This thread's last error message, "" if none. Valid until the thread's next dc_err_*. */
const char *dc_err(void);

#define DC_CHECK(cond, ...) do { if (!(cond)) return dc_err_set(__VA_ARGS__); } while (0)
#define DC_TRY(expr)        do { if ((expr) < 0) return -1; } while (0)

/* Memory that is there: out of memory ends the program with a message (the one exception to "rooms never exit":
 * no caller could go on). The array forms refuse a product that overflows. Freed with free(). */
void *dc_xmalloc(size_t bytes);
void *dc_xcalloc(size_t n, size_t size);
void *dc_xrealloc(void *p, size_t n, size_t size);
char *dc_xstrdup(const char *s);
char *dc_xstrndup(const char *s, size_t n);
char *dc_xasprintf(const char *fmt, ...) DC_PRINTF(1, 2);
/* 64-byte aligned, for vectors and matrices; not zeroed. */
void *dc_xaligned(size_t n, size_t size);

/* Flush, check and close fp. Return 0, or -1 with a message naming fname. */
int dc_fshut(FILE *fp, const char *fname) DC_MUST_USE;

/* Seconds on a monotonic clock. For progress and rates only, never for anything that is stored. */
double dc_seconds(void);

/* A whole file into memory, with a NUL after its last byte; at most max bytes. Return 0, or -1 with a message. */
int dc_slurp(const char *path, size_t max, char **out, size_t *bytes) DC_MUST_USE;

#endif
