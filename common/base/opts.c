/* SPDX-License-Identifier: MIT */
#include "base/opts.h"

#include <errno.h>
#include <math.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { MAX_OPTS = 96, LONG_ONLY = 256 };
static const char *given[MAX_OPTS];
static int n_given;

int
dc_parse_int(const char *what, const char *s, int64_t lo, int64_t hi, int64_t *out)
{
	char *end;
	long long x;

	errno = 0;
	x = strtoll(s, &end, 10);
	if (end == s || *end || errno || x < lo || x > hi)
		return dc_err_set("%s %s: must be a whole number in [%lld, %lld]", what, s, (long long)lo, (long long)hi);
	*out = x;
	return 0;
}

int
dc_parse_double(const char *what, const char *s, double lo, double hi, double *out)
{
	char *end;
	double x;

	errno = 0;
	x = strtod(s, &end);
	if (end == s || *end || errno || !isfinite(x) || x < lo || x > hi)
		return dc_err_set("%s %s: must be a number in [%g, %g]", what, s, lo, hi);
	*out = x;
	return 0;
}

static int
in_choices(const char *list, const char *s)
{
	size_t n = strlen(s);

	for (const char *p = list; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (n && !strncmp(p, s, n) && (p[n] == '|' || !p[n]))
			return 1;
	return 0;
}

static void
print_default(FILE *fp, const struct dc_opt *o)
{
	int64_t i = o->kind == DC_KIND_INT ? *(int64_t *)o->dst : 0;

	if (i && (double)i >= o->lo) /* below the range: "not given" */
		fprintf(fp, " [%lld]", (long long)i);
	else if (o->kind == DC_KIND_DOUBLE)
		fprintf(fp, " [%g]", *(double *)o->dst);
	else if ((o->kind == DC_KIND_STR || o->kind == DC_KIND_CHOICE) && *(const char **)o->dst)
		fprintf(fp, " [%s]", *(const char **)o->dst);
}

static void
usage(FILE *fp, const char *synopsis, const char *what, const struct dc_opt *table)
{
	char left[160];

	fprintf(fp, "usage: %s %s\n%s: %s\n\n", dc_progname, synopsis, dc_progname, what);
	for (const struct dc_opt *o = table; o->kind != DC_KIND_END; o++) {
		snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->c ? '-' : ' ', o->c ? o->c : ' ', o->c ? "," : " ", o->name,
		    o->arg ? " " : "", o->arg ? o->arg : "");
		fprintf(fp, "  %-30s%s%s", left, strlen(left) > 29 ? "\n                                " : "", o->help);
		print_default(fp, o);
		fputc('\n', fp);
	}
	fprintf(fp, "  %-30s%s\n  %-30s%s\n", "-h, --help", "print this and exit", "    --version", "print the version and exit");
}

static void
set(const struct dc_opt *o, const char *value)
{
	char what[80];
	int r = 0;

	snprintf(what, sizeof what, "--%s", o->name);
	switch (o->kind) {
	case DC_KIND_FLAG: *(int *)o->dst = 1; break;
	case DC_KIND_INT: r = dc_parse_int(what, value, (int64_t)o->lo, (int64_t)o->hi, o->dst); break;
	case DC_KIND_DOUBLE: r = dc_parse_double(what, value, o->lo, o->hi, o->dst); break;
	case DC_KIND_STR: *(const char **)o->dst = value; break;
	case DC_KIND_CHOICE:
		if (!in_choices(o->arg, value))
			r = dc_err_set("%s %s: must be one of %s", what, value, o->arg);
		*(const char **)o->dst = value;
		break;
	case DC_KIND_CALL: r = o->call(o->dst, o->name, value); break;
	case DC_KIND_END: break;
	}
	if (r < 0)
		dc_die_usage("%s", dc_err());
	if (n_given < MAX_OPTS)
		given[n_given++] = o->name;
}

static int
takes_value(const struct dc_opt *o)
{
	return o->kind != DC_KIND_FLAG && (o->kind != DC_KIND_CALL || o->arg);
}

/* Fill getopt's tables; return the number of our options. */
static int
getopt_tables(const struct dc_opt *table, struct option *lo, char *so)
{
	int n = 0;

	*so++ = 'h';
	for (; table[n].kind != DC_KIND_END; n++) {
		if (n >= MAX_OPTS - 3)
			dc_die("too many options");
		lo[n] = (struct option){ table[n].name, takes_value(&table[n]), NULL, LONG_ONLY + n };
		if (table[n].c) {
			*so++ = (char)table[n].c;
			if (takes_value(&table[n]))
				*so++ = ':';
		}
	}
	lo[n] = (struct option){ "help", 0, NULL, 'h' };
	lo[n + 1] = (struct option){ "version", 0, NULL, 1 };
	lo[n + 2] = (struct option){ 0 };
	*so = 0;
	return n;
}

static _Noreturn void
finish_stdout(void)
{
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
	exit(DC_EXIT_OK);
}

int
dc_opts_parse(int argc, char **argv, const char *synopsis, const char *what, const struct dc_opt *table)
{
	struct option lo[MAX_OPTS];
	char so[2 * MAX_OPTS + 2];
	int n = getopt_tables(table, lo, so), c, i;

	argv[0] = (char *)dc_progname; /* getopt's own messages then read like ours */
	while ((c = getopt_long(argc, argv, so, lo, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout, synopsis, what, table);
			finish_stdout();
		}
		if (c == 1) {
			printf("%s %s (%s)\n", dc_progname, DC_VERSION, DC_CFLAGS);
			finish_stdout();
		}
		if (c == '?') {
			fprintf(stderr, "usage: %s %s\nTry '%s --help'.\n", dc_progname, synopsis, dc_progname);
			exit(DC_EXIT_USAGE);
		}
		for (i = c >= LONG_ONLY ? c - LONG_ONLY : 0; c < LONG_ONLY && i < n && table[i].c != c; i++)
			;
		set(&table[i], optarg);
	}
	return optind;
}

int
dc_opts_given(const char *name)
{
	for (int i = 0; i < n_given; i++)
		if (!strcmp(given[i], name))
			return 1;
	return 0;
}
