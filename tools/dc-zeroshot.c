/* SPDX-License-Identifier: MIT */
/* dc-zeroshot: features of class prompts and of labelled images -> zero-shot accuracy. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "score/rows.h"
#include "score/zeroshot.h"

static struct opts { const char *classes, *names; int64_t templates; int per_class, tsv, verbose; } o;

static const struct dc_opt options[] = {
	DC_OPT_STR("classes", 'c', &o.classes, "FILE", "features of the class prompts, a stored stream"),
	DC_OPT_INT("templates", 0, &o.templates, 1, 1 << 20, "N",
	    "consecutive prompts of one class (default: prompts / names, or 1)"),
	DC_OPT_STR("names", 0, &o.names, "FILE", "names of the classes, one a line"),
	DC_OPT_FLAG("per-class", 0, &o.per_class, "also print every class"),
	DC_OPT_FLAG("tsv", 't', &o.tsv, "tab-separated values, shares as numbers in [0,1]"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

struct zeroshot {
	struct dc_rows prompt, image;
	struct dc_ints line, label;
	char *text, **name; int64_t n_names;
	dc_real *cls; int64_t K;
	struct dc_place *place;
	int64_t *best;
	int64_t unlabelled;
};

/* --- reading --- */

static int
take_prompts(struct zeroshot *s, struct dc_frame *f)
{
	int64_t n, k;

	DC_TRY(n = dc_rows_take(&s->prompt, f, "text_features.0"));
	DC_TRY(k = dc_ints_take(&s->line, f, "line"));
	return n == k ? 0 : dc_frame_err(f, "%lld line numbers for %lld prompts", (long long)k, (long long)n);
}

static int
take_images(struct zeroshot *s, struct dc_frame *f)
{
	int64_t n, k;

	DC_TRY(n = dc_rows_take(&s->image, f, "image_features.0"));
	DC_TRY(k = dc_ints_take(&s->label, f, "label"));
	if (n != k)
		return dc_frame_err(f, "%lld labels for %lld images", (long long)k, (long long)n);
	for (int64_t i = s->label.n - n; i < s->label.n; i++)
		if (s->label.p[i] >= s->K)
			return dc_frame_err(f, "label %lld, but there are %lld classes", (long long)s->label.p[i], (long long)s->K);
	return 0;
}

static int
read_stream(struct zeroshot *s, int fd, const char *name, int (*take)(struct zeroshot *, struct dc_frame *))
{
	struct dc_in *in = dc_xmalloc(sizeof *in);
	struct dc_frame f = { 0 };
	int r, status;

	dc_in_init(in, fd, name);
	while ((r = dc_frame_read(in, &f)) == DC_FRAME && !in->ended)
		if (!strcmp(f.kind, "features") && take(s, &f) < 0) {
			r = DC_FAIL;
			break;
		}
	status = dc_io_status(in, r);
	dc_frame_free(&f);
	free(in);
	return status;
}

/* Prompts into the order of their line numbers, which must be 1 .. n, each once. */
static void
sort_prompts(struct zeroshot *s)
{
	const int64_t n = s->prompt.n, D = s->prompt.D;
	dc_real *p = dc_xcalloc((size_t)n * D, sizeof *p);
	char *seen = dc_xcalloc(n, 1);

	for (int64_t i = 0; i < n; i++) {
		const int64_t at = s->line.p[i] - 1;
		if (at < 0 || at >= n || seen[at])
			dc_die("%s: line %lld %s among %lld prompts", o.classes, (long long)s->line.p[i],
			    at < 0 || at >= n ? "is out of range" : "comes twice", (long long)n);
		seen[at] = 1;
		memcpy(p + at * D, s->prompt.p + i * D, D * sizeof *p);
	}
	free(s->prompt.p);
	free(seen);
	s->prompt.p = p;
}

static void
read_names(struct zeroshot *s)
{
	size_t n;

	if (!o.names)
		return;
	if (dc_slurp(o.names, 1 << 26, &s->text, &n) < 0)
		dc_die("%s", dc_err());
	for (char *p = s->text; *p; ) {
		char *eol = strchrnul(p, '\n');
		s->name = dc_xrealloc(s->name, s->n_names + 1, sizeof *s->name);
		s->name[s->n_names++] = p;
		p = *eol ? eol + 1 : eol;
		*eol = '\0';
	}
}

static int
read_classes(struct zeroshot *s)
{
	int64_t P = o.templates;
	int fd = open(o.classes, O_RDONLY | O_CLOEXEC), status;

	if (fd < 0)
		dc_die_errno("%s", o.classes);
	status = read_stream(s, fd, o.classes, take_prompts);
	close(fd);
	if (status != DC_EXIT_OK)
		return status;
	if (s->prompt.n == 0)
		dc_die("%s: no features of prompts among the frames", o.classes);
	sort_prompts(s);
	read_names(s);
	if (P == 0)
		P = s->n_names > 0 && s->prompt.n % s->n_names == 0 ? s->prompt.n / s->n_names : 1;
	if (s->prompt.n % P != 0)
		dc_die("%s: %lld prompts are not a multiple of %lld templates", o.classes, (long long)s->prompt.n, (long long)P);
	s->K = s->prompt.n / P;
	if (o.names && s->n_names != s->K)
		dc_die("%s: %lld names for %lld classes", o.names, (long long)s->n_names, (long long)s->K);
	s->cls = dc_xcalloc((size_t)s->K * s->prompt.D, sizeof *s->cls);
	dc_zeroshot_classes(s->cls, s->prompt.p, s->K, P, s->prompt.D);
	return DC_EXIT_OK;
}

/* --- scores --- */

/* hit at k of every labelled image, and what guessing gives */
static void
top(const struct zeroshot *s, int64_t k, struct dc_share *r)
{
	double *x = dc_xcalloc(s->image.n, sizeof *x);
	int64_t n = 0;

	for (int64_t i = 0; i < s->image.n; i++)
		if (s->place[i].own)
			x[n++] = dc_place_hit(&s->place[i], k);
	dc_share_of(r, x, n, k < s->K ? (double)k / (double)s->K : 1);
	free(x);
}

/* Per class: images, share of them that are right, and the images given to it. */
struct class_score { int64_t n, given; double hits; };

static struct class_score *
class_scores(const struct zeroshot *s)
{
	struct class_score *c = dc_xcalloc(s->K, sizeof *c);

	for (int64_t i = 0; i < s->image.n; i++) {
		if (!s->place[i].own)
			continue;
		c[s->label.p[i]].n++;
		c[s->label.p[i]].hits += dc_place_hit(&s->place[i], 1);
		c[s->best[i]].given++;
	}
	return c;
}

/* The mean over classes that have images; its standard error from the spread within each class. */
static void
class_mean(const struct zeroshot *s, const struct class_score *c, struct dc_share *r)
{
	double var = 0, guess = 0;

	*r = (struct dc_share){ .chance = 1 / (double)s->K };
	for (int64_t k = 0; k < s->K; k++) {
		const double p = c[k].n ? c[k].hits / (double)c[k].n : 0;
		if (!c[k].n)
			continue;
		r->n++;
		r->value += p;
		var += p * (1 - p) / (double)c[k].n;
		guess += r->chance * (1 - r->chance) / (double)c[k].n;
	}
	r->value /= (double)r->n;
	r->se = sqrt(var) / (double)r->n;
	r->z = (r->value - r->chance) / (sqrt(guess) / (double)r->n);
}

static void
print_share(const char *what, const struct dc_share *r)
{
	if (o.tsv)
		printf("%s\t%.6f\t%.6f\t%.6f\t%.2f\t%lld\n", what, r->value, r->se, r->chance, r->z, (long long)r->n);
	else
		printf("%-16s %7.2f %% %9.2f %9.2f %9.1f\n", what, 100 * r->value, 100 * r->se, 100 * r->chance, r->z);
}

static void
print_classes(const struct zeroshot *s, const struct class_score *c)
{
	char number[32];

	printf(o.tsv ? "\nclass\timages\tright\tgiven\n" : "\n%-24s %8s %9s %8s\n", "class", "images", "right", "given");
	for (int64_t k = 0; k < s->K; k++) {
		const double p = c[k].n ? c[k].hits / (double)c[k].n : NAN;
		snprintf(number, sizeof number, "%lld", (long long)k);
		printf(o.tsv ? "%s\t%lld\t%.6f\t%lld\n" : "%-24s %8lld %7.2f %% %8lld\n", s->name ? s->name[k] : number,
		    (long long)c[k].n, o.tsv ? p : 100 * p, (long long)c[k].given);
	}
}

static void
print_all(const struct zeroshot *s)
{
	struct class_score *c = class_scores(s);
	struct dc_share r;

	if (o.tsv)
		printf("score\tvalue\tstandard_error\tchance\tz\tn\n");
	else
		printf("%lld images, %lld classes, %lld prompts\n%-16s %9s %9s %9s %9s\n", (long long)(s->image.n - s->unlabelled),
		    (long long)s->K, (long long)s->prompt.n, "", "", "std.err.", "chance", "z");
	top(s, 1, &r);
	print_share("top-1", &r);
	if (s->K > 5) {
		top(s, 5, &r);
		print_share("top-5", &r);
	}
	class_mean(s, c, &r);
	print_share("mean per class", &r);
	if (o.per_class)
		print_classes(s, c);
	free(c);
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
}

static void
score(struct zeroshot *s)
{
	for (int64_t i = 0; i < s->label.n; i++)
		s->unlabelled += s->label.p[i] < 0;
	if (s->image.n == s->unlabelled)
		dc_die("<stdin>: no image with a label");
	if (s->image.D != s->prompt.D)
		dc_die("<stdin>: image features of %d columns, prompts of %d", s->image.D, s->prompt.D);
	s->place = dc_xcalloc(s->image.n, sizeof *s->place);
	s->best = dc_xcalloc(s->image.n, sizeof *s->best);
	dc_zeroshot(s->place, s->best, s->image.p, s->label.p, s->cls, s->image.n, s->K, s->image.D);
}

static void
free_all(struct zeroshot *s)
{
	free(s->prompt.p);
	free(s->image.p);
	free(s->line.p);
	free(s->label.p);
	free(s->text);
	free(s->name);
	free(s->cls);
	free(s->place);
	free(s->best);
}

int
main(int argc, char **argv)
{
	struct zeroshot s = { 0 };
	double start;
	int status, first;

	dc_main_init("dc-zeroshot");
	first = dc_opts_parse(argc, argv, "--classes FILE [options] <features", "scores zero-shot classification", options);
	if (first < argc)
		dc_die_usage("unexpected argument '%s': features come on standard input", argv[first]);
	if (!o.classes)
		dc_die_usage("--classes FILE is missing");
	start = dc_seconds();
	if ((status = read_classes(&s)) == DC_EXIT_OK)
		status = read_stream(&s, STDIN_FILENO, "<stdin>", take_images);
	if (status == DC_EXIT_OK) {
		score(&s);
		print_all(&s);
		if (o.verbose)
			fprintf(stderr, "%s: %lld images, %lld without a label, %lld classes, %.2f s\n", dc_progname,
			    (long long)s.image.n, (long long)s.unlabelled, (long long)s.K, dc_seconds() - start);
	}
	free_all(&s);
	return status;
}
