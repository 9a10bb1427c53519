/* SPDX-License-Identifier: MIT */
/* One table describes a tool's options; parsing, range checks, --help with defaults, and --version follow from it.
 *
 *	static struct { int64_t batch; double scale; const char *out; int trace; int verbose; } o = { .batch = 64 };
 *	static const struct dc_opt table[] = {
 *		DC_OPT_INT("batch", 'b', &o.batch, 1, 1 << 20, "N", "samples in a batch"),
 *		DC_OPT_STR("out", 'o', &o.out, "FILE", "write here"),
 *		DC_OPT_CHOICE("tail", 0, &o.tail, "carry|short|drop", "what becomes of the last, short batch"),
 *		DC_OPT_FLAG("trace", 0, &o.trace, "add the drawn parameters"),
 *		DC_OPT_VERBOSE(&o.verbose),
 *		DC_OPT_END
 *	};
 *	int first = dc_opts_parse(argc, argv, "[options] SHARD...", "reads tar shards and writes samples", table);
 *
 * -h, --help and --version are always there. Every mistake is one message that names option, value and range, and
 * exit status 2. */
#ifndef DC_BASE_OPTS_H
#define DC_BASE_OPTS_H

#include <stdint.h>

enum dc_opt_kind { DC_KIND_END, DC_KIND_FLAG, DC_KIND_INT, DC_KIND_DOUBLE, DC_KIND_STR, DC_KIND_CHOICE, DC_KIND_CALL };

struct dc_opt {
	enum dc_opt_kind kind;
	const char *name;    /* the long name, without dashes */
	int c;               /* the short letter, 0 if none */
	void *dst;           /* int* (FLAG: set to 1), int64_t*, double*, const char** (STR, CHOICE), or CALL's argument */
	double lo, hi;       /* INT, DOUBLE: the range, both ends allowed */
	const char *arg;     /* the argument's name in --help; CHOICE: "a|b|c" */
	const char *help;    /* one line; the default is appended from *dst where it is not 0/NULL (a DOUBLE's is always shown) */
	/* CALL: 0, or -1 with dc_err_set. `name` is the option's, `value` the argument (NULL where arg is NULL). */
	int (*call)(void *dst, const char *name, const char *value);
};

#define DC_OPT_FLAG(n, c, p, h)              { DC_KIND_FLAG, n, c, p, 0, 0, 0, h, 0 }
#define DC_OPT_INT(n, c, p, lo, hi, a, h)    { DC_KIND_INT, n, c, p, lo, hi, a, h, 0 }
#define DC_OPT_DOUBLE(n, c, p, lo, hi, a, h) { DC_KIND_DOUBLE, n, c, p, lo, hi, a, h, 0 }
#define DC_OPT_STR(n, c, p, a, h)            { DC_KIND_STR, n, c, p, 0, 0, a, h, 0 }
#define DC_OPT_CHOICE(n, c, p, list, h)      { DC_KIND_CHOICE, n, c, p, 0, 0, list, h, 0 }
#define DC_OPT_CALL(n, c, f, p, a, h)        { DC_KIND_CALL, n, c, p, 0, 0, a, h, f }
#define DC_OPT_VERBOSE(p)                    DC_OPT_FLAG("verbose", 'v', p, "print statistics to stderr at the end")
#define DC_OPT_END                           { DC_KIND_END, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Parse argv by the table; exit 0 after --help or --version, 2 after a mistake.
 * `synopsis` follows the program's name in the usage line, `what` says in one line what the tool does.
 * Return the index of the first operand in argv. */
int dc_opts_parse(int argc, char **argv, const char *synopsis, const char *what, const struct dc_opt *table);

/* Whether the option was given on this command line (by its long name): for "contradicts the run's config" checks. */
int dc_opts_given(const char *name);

/* Parse all of s as a number in [lo, hi]. Return 0, or -1 with a message that starts with `what`. */
int dc_parse_int(const char *what, const char *s, int64_t lo, int64_t hi, int64_t *out);
int dc_parse_double(const char *what, const char *s, double lo, double hi, double *out);

#endif
