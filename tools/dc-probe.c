/* SPDX-License-Identifier: MIT */
/* dc-probe: features of labelled images -> the accuracy of a linear classifier on them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/progress.h"
#include "nn/blas.h"
#include "score/accuracy.h"
#include "score/prompts.h"
#include "score/set.h"
#include "score/sweep.h"
#include "score/table.h"
#include "store/safetensors.h"

static struct opts {
	const char *train, *val, *test, *features, *names, *sweep, *save, *confusion;
	double val_share, lambda, lo, hi, tolerance;
	int64_t lambdas, max_iter, seed;
	int search, unit, per_class, tsv, verbose;
} o = { .features = "image_features.0", .val_share = 0.2, .lo = 1e-6, .hi = 1e6, .tolerance = 1e-5, .lambdas = 96,
	.max_iter = 1000 };

static int
opt_lambda(void *dst, const char *name, const char *value)
{
	(void)name;
	return dc_parse_double("--lambda", value, 1e-12, 1e12, dst);
}

static const struct dc_opt options[] = {
	DC_OPT_STR("train", 0, &o.train, "FILE", "features to train on, a stored stream"),
	DC_OPT_STR("test", 0, &o.test, "FILE", "features to score"),
	DC_OPT_STR("val", 0, &o.val, "FILE", "features to choose lambda by (default: a part of --train)"),
	DC_OPT_DOUBLE("val-share", 0, &o.val_share, 0.001, 0.999, "P", "without --val: that part, of each class"),
	DC_OPT_INT("seed", 's', &o.seed, 0, 9007199254740992.0, "N", "seed of the choice of that part"),
	DC_OPT_CALL("lambda", 'l', opt_lambda, &o.lambda, "X", "this lambda; nothing is chosen"),
	DC_OPT_INT("lambdas", 'n', &o.lambdas, 1, 10000, "N", "how many lambdas to try, from --hi to --lo"),
	DC_OPT_DOUBLE("lo", 0, &o.lo, 1e-12, 1e12, "X", "the smallest lambda"),
	DC_OPT_DOUBLE("hi", 0, &o.hi, 1e-12, 1e12, "X", "the largest"),
	DC_OPT_FLAG("search", 0, &o.search, "try 7 and then ever closer to the best, instead of --lambdas"),
	DC_OPT_STR("features", 'f', &o.features, "NAME", "which features of the frames"),
	DC_OPT_FLAG("unit", 'u', &o.unit, "divide each row by its norm first"),
	DC_OPT_INT("max-iter", 0, &o.max_iter, 1, 1000000, "N", "iterations of a fit at most"),
	DC_OPT_DOUBLE("tolerance", 0, &o.tolerance, 0, 1, "X",
	    "a fit ends where the gradient's largest element is X times the objective"),
	DC_OPT_STR("sweep", 0, &o.sweep, "FILE", "write what each lambda came to, tab-separated"),
	DC_OPT_STR("save", 0, &o.save, "FILE", "write the classifier as safetensors"),
	DC_OPT_STR("names", 0, &o.names, "FILE", "names of the classes, one a line, label 0 first"),
	DC_OPT_STR("confusion", 0, &o.confusion, "FILE", "write the confusion matrix here, tab-separated"),
	DC_OPT_FLAG("per-class", 0, &o.per_class, "also print every class"),
	DC_OPT_FLAG("tsv", 't', &o.tsv, "tab-separated values, shares as numbers in [0,1]"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

struct probe {
	struct dc_set train, test;    /* train: with the validation rows behind its own */
	int64_t n_train, n_val;
	int64_t *label; int64_t K;    /* [K] the classes' labels, rising */
	int64_t *y, *test_y;          /* the rows' classes, in [0,K) */
	struct dc_sweep sweep;
	double lambda;
	struct dc_probe *fit; struct dc_probe_result result;
	struct dc_cases cases;        /* of the test rows */
	struct dc_lines names; char **name; /* [K] of the classes */
	struct dc_progress progress;
};

/* --- reading --- */

/* The labelled rows of a file. An exit status. */
static int
read_set(struct dc_set *s, const char *path)
{
	int64_t left_out;
	int status;

	s->x.raw = !o.unit;
	if ((status = dc_set_read(s, path, o.features)) != DC_EXIT_OK)
		return status;
	if (s->labelled == 0)
		dc_die("%s: no labels: the shards need a .cls file for each image", s->name);
	left_out = dc_set_keep_labelled(s);
	if (left_out)
		dc_warn("%s: %lld rows without a label are left out", s->name, (long long)left_out);
	return DC_EXIT_OK;
}

static void
same_width(const struct dc_set *a, const struct dc_set *b)
{
	if (a->x.D != b->x.D)
		dc_die("%s has features of %d columns, %s of %d", a->name, a->x.D, b->name, b->x.D);
}

/* Append the rows of b, which are to choose lambda by. */
static void
append(struct dc_set *a, const struct dc_set *b)
{
	const size_t D = (size_t)a->x.D;

	a->x.p = dc_xrealloc(a->x.p, (size_t)(a->x.n + b->x.n), D * sizeof *a->x.p);
	memcpy(a->x.p + (size_t)a->x.n * D, b->x.p, (size_t)b->x.n * D * sizeof *a->x.p);
	a->x.n += b->x.n;
	for (int64_t i = 0; i < b->x.n; i++)
		dc_ints_add(&a->label, b->label.p[i]);
}

static int
read_sets(struct probe *s)
{
	struct dc_set val = { 0 };
	int status;

	if ((status = read_set(&s->train, o.train)) != DC_EXIT_OK || (status = read_set(&s->test, o.test)) != DC_EXIT_OK)
		return status;
	same_width(&s->train, &s->test);
	s->n_train = s->train.x.n;
	if (o.val) {
		if ((status = read_set(&val, o.val)) != DC_EXIT_OK)
			return status;
		same_width(&s->train, &val);
		append(&s->train, &val);
		s->n_val = val.x.n;
		dc_set_free(&val);
	}
	return DC_EXIT_OK;
}

/* --- classes --- */

static void
name_classes(struct probe *s)
{
	if (o.names && dc_names_read(&s->names, o.names, 1) < 0)
		dc_die("%s", dc_err());
	if (o.names && (s->label[0] < 0 || s->label[s->K - 1] >= s->names.n))
		dc_die("%s: %lld names, but there is a label %lld", o.names, (long long)s->names.n, (long long)s->label[s->K - 1]);
	s->name = dc_xcalloc(s->K, sizeof *s->name);
	for (int64_t k = 0; k < s->K; k++)
		s->name[k] = o.names ? dc_xstrdup(s->names.line[s->label[k]]) : dc_xasprintf("%lld", (long long)s->label[k]);
}

static void
classes_of(struct probe *s, const struct dc_set *x, int64_t *y)
{
	for (int64_t i = 0; i < x->x.n; i++) {
		y[i] = dc_class_of(s->label, s->K, x->label.p[i]);
		if (y[i] < 0)
			dc_die("%s: label %lld does not occur in %s", x->name, (long long)x->label.p[i], o.train);
	}
}

/* Labels may be any numbers; the classes are those that occur in training. */
static void
find_classes(struct probe *s)
{
	const int64_t N = s->train.x.n;

	s->K = dc_set_classes(&s->train, &s->label);
	if (s->K < 2)
		dc_die("%s: all labels are %lld: a classifier needs two classes", o.train, (long long)s->label[0]);
	if (s->K * (s->train.x.D + 1) > INT_MAX - 64)
		dc_die("%s: %lld classes of %d columns are too many", o.train, (long long)s->K, s->train.x.D);
	s->y = dc_xcalloc(N, sizeof *s->y);
	s->test_y = dc_xcalloc(s->test.x.n, sizeof *s->test_y);
	classes_of(s, &s->train, s->y);
	classes_of(s, &s->test, s->test_y);
}

/* Move the validation rows, those with into[n], behind the others; both keep their order. */
static void
part(struct probe *s, const char *into)
{
	const int64_t N = s->train.x.n, D = s->train.x.D;
	dc_real *x = dc_xcalloc((size_t)N * D, sizeof *x);
	int64_t *y = dc_xcalloc(N, sizeof *y), n = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (int64_t i = 0; i < N; i++) {
			if (into[i] != pass)
				continue;
			memcpy(x + n * D, s->train.x.p + i * D, D * sizeof *x);
			y[n++] = s->y[i];
		}
	}
	free(s->train.x.p);
	free(s->y);
	s->train.x.p = x;
	s->y = y;
}

static void
choose_validation(struct probe *s)
{
	char *into;

	if (o.val || o.lambda)
		return;
	into = dc_xcalloc(s->n_train, 1);
	s->n_val = dc_sweep_split(into, s->y, s->n_train, (int)s->K, o.val_share, (uint64_t)o.seed);
	if (s->n_val == 0)
		dc_die("%s: no class has two rows, so none can be spared to choose lambda: give --val FILE or --lambda X", o.train);
	s->n_train -= s->n_val;
	part(s, into);
	free(into);
}

/* --- fitting --- */

static void
tried(void *arg, const struct dc_sweep_point *p)
{
	struct probe *s = arg;

	(void)p;
	dc_progress_to(&s->progress, (uint64_t)s->sweep.points);
}

static void
write_sweep(const struct probe *s)
{
	FILE *fp;

	if (!o.sweep)
		return;
	if (!(fp = fopen(o.sweep, "w")))
		dc_die_errno("%s", o.sweep);
	fprintf(fp, "lambda\taccuracy\tcross_entropy\tobjective\titerations\tconverged\n");
	for (int i = 0; i < s->sweep.points; i++) {
		const struct dc_sweep_point *p = &s->sweep.point[i];
		fprintf(fp, "%.9g\t%.6f\t%.9g\t%.9g\t%d\t%d\n", p->fit.lambda, p->accuracy, p->loss, p->fit.objective,
		    p->fit.iterations, p->fit.converged);
	}
	if (dc_fshut(fp, o.sweep) < 0)
		dc_die("%s", dc_err());
}

static void
choose_lambda(struct probe *s)
{
	const int64_t D = s->train.x.D, n = s->n_train;

	s->lambda = o.lambda;
	if (o.lambda)
		return;
	s->sweep = (struct dc_sweep){ .train = { s->train.x.p, s->y, n }, .val = { s->train.x.p + n * D, s->y + n, s->n_val },
		.D = (int)D, .K = (int)s->K, .lo = o.lo, .hi = o.hi, .n = (int)o.lambdas, .search = o.search,
		.how = { o.tolerance, (int)o.max_iter }, .tried = tried, .arg = s };
	dc_progress_init(&s->progress, "lambdas", 0, o.search ? 0 : (uint64_t)o.lambdas);
	if (dc_sweep_run(&s->sweep) < 0)
		dc_die("%s", dc_err());
	dc_progress_end(&s->progress, 0, 0);
	s->lambda = s->sweep.point[s->sweep.best].fit.lambda;
	write_sweep(s);
}

/* On training and validation rows together, from the beginning. */
static void
fit(struct probe *s)
{
	const struct dc_probe_how how = { o.tolerance, (int)o.max_iter };

	s->fit = dc_probe_new(s->train.x.p, s->y, s->n_train + s->n_val, s->train.x.D, (int)s->K);
	if (dc_probe_fit(s->fit, s->lambda, &how, &s->result) < 0)
		dc_die("%s", dc_err());
}

static void
score(struct probe *s)
{
	const int64_t N = s->test.x.n;
	struct dc_place *place = dc_xcalloc(N, sizeof *place);
	int64_t *best = dc_xcalloc(N, sizeof *best);

	dc_probe_place(s->fit, place, best, NULL, s->test.x.p, s->test_y, N);
	s->cases.K = s->K;
	for (int64_t i = 0; i < N; i++)
		dc_cases_add(&s->cases, &place[i], s->test_y[i], best[i]);
	free(place);
	free(best);
	if (o.confusion && dc_confusion_write(o.confusion, &s->cases, (const char *const *)s->name) < 0)
		dc_die("%s", dc_err());
}

/* weight [K,D], bias [K], label [K] */
static void
save(const struct probe *s)
{
	const int64_t K = s->K, D = s->train.x.D;
	double *W = dc_xcalloc((size_t)K * D, sizeof *W), *b = dc_xcalloc(K, sizeof *b);
	float *w = dc_xcalloc((size_t)K * D + K, sizeof *w);
	const struct dc_st_tensor t[] = {
		{ .name = "bias", .type = DC_F32, .ndim = 1, .shape = { K }, .n = K, .bytes = K * sizeof *w, .data = w + K * D },
		{ .name = "label", .type = DC_I64, .ndim = 1, .shape = { K }, .n = K, .bytes = K * sizeof *s->label, .data = s->label },
		{ .name = "weight", .type = DC_F32, .ndim = 2, .shape = { K, D }, .n = K * D, .bytes = K * D * sizeof *w, .data = w },
	};

	dc_probe_weights(s->fit, W, b);
	for (int64_t i = 0; i < K * D; i++)
		w[i] = (float)W[i];
	for (int64_t k = 0; k < K; k++)
		w[K * D + k] = (float)b[k];
	if (unlink(o.save) < 0 && errno != ENOENT)
		dc_die_errno("%s", o.save);
	if (dc_st_create(AT_FDCWD, o.save, 0644, t, 3, NULL, 0, 0) < 0)
		dc_die("%s", dc_err());
	free(W);
	free(b);
	free(w);
}

/* --- printing --- */

static void
print_lambda(const struct probe *s)
{
	const struct dc_sweep *w = &s->sweep;

	if (o.tsv) {
		printf("lambda\t%.9g\t\t\t\t%lld\n", s->lambda, (long long)(s->n_train + s->n_val));
		if (w->points)
			printf("validation\t%.6f\t\t\t\t%lld\n", w->point[w->best].accuracy, (long long)s->n_val);
	} else if (w->points) {
		printf("lambda %.3g, the best of %d by %lld of these: %.2f %% there\n", s->lambda, w->points, (long long)s->n_val,
		    100 * w->point[w->best].accuracy);
	} else {
		printf("lambda %.3g, as given\n", s->lambda);
	}
}

static void
print_all(const struct probe *s)
{
	if (!o.tsv)
		printf("%lld images to train on, %lld to test, %lld classes, %d columns\n", (long long)(s->n_train + s->n_val),
		    (long long)s->test.x.n, (long long)s->K, s->train.x.D);
	if (o.tsv)
		dc_table_header(1);
	print_lambda(s);
	if (!o.tsv)
		dc_table_header(0);
	dc_table_cases(&s->cases, (const char *const *)s->name, o.per_class, o.tsv);
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
}

static void
print_statistics(const struct probe *s, double seconds)
{
	int64_t iterations = 0;
	int converged = 0;

	for (int i = 0; i < s->sweep.points; i++) {
		iterations += s->sweep.point[i].fit.iterations;
		converged += s->sweep.point[i].fit.converged;
	}
	fprintf(stderr, "%s: %d lambdas, %d of them converged, %lld iterations; then %d iterations to the objective %.6g%s;"
	    " %.2f s\n", dc_progname, s->sweep.points, converged, (long long)iterations, s->result.iterations,
	    s->result.objective, s->result.converged ? "" : " (not converged)", seconds);
}

static void
free_all(struct probe *s)
{
	dc_set_free(&s->train);
	dc_set_free(&s->test);
	dc_probe_free(s->fit);
	free(s->sweep.point);
	free(s->label);
	free(s->y);
	free(s->test_y);
	dc_cases_free(&s->cases);
	dc_lines_free(&s->names);
	for (int64_t k = 0; s->name && k < s->K; k++)
		free(s->name[k]);
	free(s->name);
}

static void
check_opts(void)
{
	if (!o.train || !o.test)
		dc_die_usage("--train FILE and --test FILE are needed");
	if (o.lo > o.hi)
		dc_die_usage("--lo %g must not be above --hi %g", o.lo, o.hi);
	if (o.lambda && (o.val || o.sweep || o.search || dc_opts_given("lambdas") || dc_opts_given("val-share")))
		dc_die_usage("--lambda leaves nothing to choose: no --val, --val-share, --lambdas, --search, --sweep with it");
	if (o.search && dc_opts_given("lambdas"))
		dc_die_usage("--search and --lambdas exclude each other");
	if (o.val && dc_opts_given("val-share"))
		dc_die_usage("--val and --val-share exclude each other");
}

int
main(int argc, char **argv)
{
	struct probe s = { 0 };
	double start;
	int status, first;

	dc_blas_start(argv);
	dc_main_init("dc-probe");
	first = dc_opts_parse(argc, argv, "--train FILE --test FILE [options]", "scores features by a linear classifier", options);
	if (first < argc)
		dc_die_usage("unexpected argument '%s'", argv[first]);
	check_opts();
	start = dc_seconds();
	if ((status = read_sets(&s)) == DC_EXIT_OK) {
		find_classes(&s);
		name_classes(&s);
		choose_validation(&s);
		choose_lambda(&s);
		fit(&s);
		score(&s);
		print_all(&s);
		if (o.save)
			save(&s);
		if (o.verbose)
			print_statistics(&s, dc_seconds() - start);
	}
	free_all(&s);
	return status;
}
