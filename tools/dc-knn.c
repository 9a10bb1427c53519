/* SPDX-License-Identifier: MIT */
/* dc-knn: features -> nearest neighbours: their vote for a class, a list, a contact sheet. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/opts.h"
#include "data/imgwrite.h"
#include "data/sheet.h"
#include "loss/loss.h"
#include "nn/blas.h"
#include "peek/nearest.h"
#include "score/knn.h"
#include "score/prompts.h"
#include "score/rank.h"
#include "score/set.h"
#include "stream/each.h"

enum { KS_MAX = 32 };
struct ks { int64_t k[KS_MAX]; int n; };

static struct opts {
	const char *base, *query, *base_features, *query_features, *base_names, *query_names, *names, *show, *images;
	double temperature;
	int64_t list, rows, columns;
	struct ks ks;
	int self, softmax, tsv, verbose;
} o = { .base_features = "image_features.0", .query_features = "image_features.0", .temperature = 0.07, .rows = 8,
	.columns = 6, .ks = { { 1, 5, 10, 20, 100, 200 }, 6 } };

static int
opt_k(void *dst, const char *name, const char *value)
{
	struct ks *ks = dst;
	char *copy = dc_xstrdup(value), *rest = copy;
	int r = 0;

	(void)name;
	ks->n = 0;
	for (char *s; r == 0 && (s = strsep(&rest, ","));)
		r = ks->n == KS_MAX ? dc_err_set("-k %s: more than %d numbers", value, KS_MAX) :
		    dc_parse_int("-k", s, 1, 1 << 20, &ks->k[ks->n++]);
	free(copy);
	return r;
}

static const struct dc_opt options[] = {
	DC_OPT_STR("base", 'b', &o.base, "FILE", "features among which neighbours are looked for, a stored stream"),
	DC_OPT_STR("query", 'q', &o.query, "FILE", "features whose neighbours are wanted (default: --base, each without itself)"),
	DC_OPT_STR("base-features", 0, &o.base_features, "NAME", "which features of the frames"),
	DC_OPT_STR("query-features", 0, &o.query_features, "NAME", "which features of the frames"),
	DC_OPT_CALL("k", 'k', opt_k, &o.ks, "LIST", "how many neighbours vote [those of 1,5,10,20,100,200 that there are]"),
	DC_OPT_DOUBLE("temperature", 0, &o.temperature, 1e-6, 1e6, "T", "of the weighted vote, exp(cosine / T)"),
	DC_OPT_INT("list", 'l', &o.list, 1, 1 << 20, "K", "print the K nearest of each query instead, tab-separated"),
	DC_OPT_FLAG("self", 0, &o.self, "with --query: a row with the query's id can be its neighbour"),
	DC_OPT_FLAG("softmax", 0, &o.softmax, "with --list: also the probability, softmax of logit_scale's scale times the cosines"),
	DC_OPT_STR("show", 0, &o.show, "FILE", "draw queries and their nearest, as PNG or JPEG"),
	DC_OPT_STR("images", 0, &o.images, "FILE", "a stream of samples with the pictures for --show"),
	DC_OPT_INT("rows", 0, &o.rows, 1, 256, "N", "queries on the sheet, evenly from all"),
	DC_OPT_INT("columns", 0, &o.columns, 1, DC_SHEET_VIEWS_MAX - 1, "N", "neighbours of each"),
	DC_OPT_STR("names", 0, &o.names, "FILE", "names of the classes for --show, one a line, label 0 first"),
	DC_OPT_STR("base-names", 0, &o.base_names, "FILE", "a name for each row of --base, one a line [its key]"),
	DC_OPT_STR("query-names", 0, &o.query_names, "FILE", "a name for each row of --query [its key]"),
	DC_OPT_FLAG("tsv", 't', &o.tsv, "tab-separated values, shares as numbers in [0,1]"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

struct knn {
	struct dc_set base, own_query, *query;  /* query: &base where there is none */
	int64_t *not;                           /* [Q] the row of base that is the query itself, or -1; or NULL */
	int64_t K, *class_label;                /* the labels that base has, rising */
	struct dc_near *near; int64_t k;        /* [Q,k] */
	struct dc_lines base_names, query_names, names;
	struct dc_wanted pictures;
};

/* --- reading --- */

static void
read_names(struct dc_lines *l, const char *path, const struct dc_set *s)
{
	if (path && dc_names_read(l, path, 1) < 0)
		dc_die("%s", dc_err());
	if (path && s && l->n != s->x.n)
		dc_die("%s: %lld names for the %lld rows of %s", path, (long long)l->n, (long long)s->x.n, s->name);
}

static int
read_sets(struct knn *s)
{
	int status;

	s->query = o.query ? &s->own_query : &s->base;
	if ((status = dc_set_read(&s->base, o.base, o.base_features)) != DC_EXIT_OK)
		return status;
	if (o.query && (status = dc_set_read(s->query, o.query, o.query_features)) != DC_EXIT_OK)
		return status;
	if (s->base.x.D != s->query->x.D)
		dc_die("%s has features of %d columns, %s of %d", s->base.name, s->base.x.D, s->query->name, s->query->x.D);
	read_names(&s->base_names, o.base_names, &s->base);
	read_names(&s->query_names, o.query_names, s->query);
	read_names(&s->names, o.names, NULL);
	return DC_EXIT_OK;
}

/* Whether there is anything to vote for: both sets have labels. Without a list or a sheet there must be. */
static int
votes(const struct knn *s)
{
	if (o.list)
		return 0;
	if (s->base.labelled && s->query->labelled)
		return 1;
	if (!o.show)
		dc_die("%s: no labels: the shards need a .cls file for each image (or look at the neighbours, --list, --show)",
		    s->base.labelled ? s->query->name : s->base.name);
	return 0;
}

static void
leave_out_unlabelled(struct dc_set *x, const char *names)
{
	const int64_t n = x->x.n, left_out = n - x->labelled;

	if (left_out && names)
		dc_die("%s: names for every row, but %lld rows have no label and would be left out", names, (long long)left_out);
	if (left_out)
		dc_warn("%s: %lld rows without a label are left out", x->name, (long long)dc_set_keep_labelled(x));
}

/* --- which row is the query itself --- */

struct place { int64_t id, row; };

static int
by_id(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int64_t
find_by_id(struct knn *s)
{
	const int64_t N = s->base.x.n;
	int64_t n = 0;
	struct place *at = dc_xcalloc((size_t)N, sizeof *at), *found;

	for (int64_t i = 0; i < N; i++)
		at[i] = (struct place){ s->base.id.p[i], i };
	qsort(at, (size_t)N, sizeof *at, by_id);
	for (int64_t q = 0; q < s->query->x.n; q++) {
		const struct place key = { s->query->id.p[q], 0 };
		found = bsearch(&key, at, (size_t)N, sizeof *at, by_id);
		s->not[q] = found ? found->row : -1;
		n += found != NULL;
	}
	free(at);
	return n;
}

/* Where both are features of the same kind, a row is not its own neighbour: the same row, or one with the same id. */
static void
find_selves(struct knn *s)
{
	if (o.query && (o.self || strcmp(o.base_features, o.query_features) || !s->base.id.n || !s->query->id.n))
		return;
	s->not = dc_xcalloc((size_t)s->query->x.n, sizeof *s->not);
	for (int64_t i = 0; !o.query && i < s->base.x.n; i++)
		s->not[i] = i;
	if (o.query && !find_by_id(s)) {
		free(s->not);
		s->not = NULL;
	}
}

/* --- neighbours --- */

/* How many of each are needed; k larger than there are is an error unless it is a default. */
static void
choose_k(struct knn *s, int voting)
{
	const int64_t most = s->base.x.n - (s->not != NULL);
	int n = 0;

	if (most < 1)
		dc_die("%s: a neighbour needs a second row", s->base.name);
	if (o.list > most)
		dc_die("--list %lld: %s has only %lld neighbours for each", (long long)o.list, s->base.name, (long long)most);
	for (int i = 0; i < o.ks.n; i++) {
		if (o.ks.k[i] <= most)
			o.ks.k[n++] = o.ks.k[i];
		else if (voting && dc_opts_given("k"))
			dc_die("-k %lld: %s has only %lld neighbours for each", (long long)o.ks.k[i], s->base.name, (long long)most);
	}
	o.ks.n = n;
	o.columns = o.columns < most ? o.columns : most;
	o.rows = o.rows < s->query->x.n ? o.rows : s->query->x.n;
	s->k = o.list;
	if (o.softmax)
		s->k = most;
	if (o.show && o.columns > s->k)
		s->k = o.columns;
	for (int i = 0; voting && i < o.ks.n; i++)
		s->k = o.ks.k[i] > s->k ? o.ks.k[i] : s->k;
}

static void
look(struct knn *s, int voting)
{
	find_selves(s);
	choose_k(s, voting);
	s->near = dc_xcalloc((size_t)(s->query->x.n * s->k), sizeof *s->near);
	dc_knn(s->near, s->query->x.p, s->query->x.n, s->base.x.p, s->base.x.n, s->base.x.D, s->k, s->not);
}

static void
put_field(const char *s)
{
	putchar('\t');
	for (; *s; s++)
		putchar(*s == '\t' || *s == '\n' ? ' ' : *s);
}

static const char *
name_of(const struct dc_set *s, const struct dc_lines *names, int64_t row)
{
	return names->n ? names->line[row] : s->key ? s->key[row] : "";
}

/* s of p_i = exp(s cosine_i) / sum_j exp(s cosine_j), as the model was trained */
static double
scale_of(const struct knn *s)
{
	const double base = s->base.logit_scale, query = s->query->logit_scale;

	if (isnan(base) && isnan(query))
		dc_die("--softmax: neither %s nor %s has a logit_scale", s->base.name, s->query->name);
	if (!isnan(base) && !isnan(query) && base != query)
		dc_die("--softmax: %s and %s are of different models: their logit_scale is %g and %g", s->base.name, s->query->name,
		    base, query);
	return dc_logit_scale(isnan(base) ? query : base, NULL);
}

static double
sum_of(const struct knn *s, int64_t q, double scale)
{
	double sum = 0;

	for (int64_t i = 0; i < s->k; i++)
		sum += exp(scale * (s->near[q * s->k + i].cosine - s->near[q * s->k].cosine));
	return sum;
}

static void
print_list(const struct knn *s)
{
	const double scale = o.softmax ? scale_of(s) : 0;

	printf("query\tquery_name\trank\tcosine\trow\tname\tlabel%s\n", o.softmax ? "\tprobability" : "");
	for (int64_t q = 0; q < s->query->x.n; q++) {
		const double sum = o.softmax ? sum_of(s, q, scale) : 0;
		for (int64_t i = 0; i < o.list; i++) {
			const struct dc_near *x = &s->near[q * s->k + i];
			printf("%lld", (long long)q);
			put_field(name_of(s->query, &s->query_names, q));
			printf("\t%lld\t%.6f\t%lld", (long long)i + 1, x->cosine, (long long)x->row);
			put_field(name_of(&s->base, &s->base_names, x->row));
			printf(s->base.label.p[x->row] < 0 ? "\t" : "\t%lld", (long long)s->base.label.p[x->row]);
			if (o.softmax)
				printf("\t%.6f", exp(scale * (x->cosine - s->near[q * s->k].cosine)) / sum);
			putchar('\n');
		}
	}
}

/* --- the vote --- */

static int64_t
class_of(const struct knn *s, int64_t label)
{
	const int64_t k = dc_class_of(s->class_label, s->K, label);

	if (k < 0)
		dc_die("%s: label %lld does not occur in %s", s->query->name, (long long)label, s->base.name);
	return k;
}

/* Labels may be any numbers; the classes are those of base. From here on labels are numbers of classes. */
static void
find_classes(struct knn *s)
{
	s->K = dc_set_classes(&s->base, &s->class_label);
	if (s->K < 2)
		dc_die("%s: all labels are %lld: a vote needs two classes", s->base.name, (long long)s->class_label[0]);
}

static void
print_vote(const struct knn *s, const int64_t *base_class, const int64_t *query_class, int64_t k, double temperature)
{
	const int64_t Q = s->query->x.n;
	const char *how = temperature > 0 ? "weighted" : "plain";
	double *vote = dc_xcalloc((size_t)s->K, sizeof *vote), *hit = dc_xcalloc((size_t)Q, sizeof *hit);
	struct dc_share r;

	for (int64_t q = 0; q < Q; q++)
		hit[q] = dc_knn_vote(vote, s->near + q * s->k, k, base_class, query_class[q], s->K, temperature);
	dc_share_of(&r, hit, Q, 1 / (double)s->K);
	if (o.tsv)
		printf("%lld\t%s\t%.6f\t%.6f\t%.6f\t%.2f\t%lld\n", (long long)k, how, r.value, r.se, r.chance, r.z, (long long)r.n);
	else
		printf("%-5lld %-10s %7.2f %% %9.2f %9.2f %9.1f\n", (long long)k, how, 100 * r.value, 100 * r.se, 100 * r.chance, r.z);
	free(vote);
	free(hit);
}

static void
print_votes(struct knn *s)
{
	int64_t *base = dc_xcalloc((size_t)s->base.x.n, sizeof *base), *query = dc_xcalloc((size_t)s->query->x.n, sizeof *query);

	find_classes(s);
	for (int64_t i = 0; i < s->base.x.n; i++)
		base[i] = class_of(s, s->base.label.p[i]);
	for (int64_t i = 0; i < s->query->x.n; i++)
		query[i] = class_of(s, s->query->label.p[i]);
	if (o.tsv)
		printf("k\tvote\tvalue\tstandard_error\tchance\tz\tn\n");
	else
		printf("%lld images, neighbours among %lld, %lld classes\n%-5s %-10s %9s %9s %9s %9s\n", (long long)s->query->x.n,
		    (long long)s->base.x.n, (long long)s->K, "k", "vote", "", "std.err.", "chance", "z");
	for (int i = 0; i < o.ks.n; i++) {
		print_vote(s, base, query, o.ks.k[i], 0);
		print_vote(s, base, query, o.ks.k[i], o.temperature);
	}
	free(base);
	free(query);
}

/* --- the sheet --- */

static int
take_pictures(void *wanted, struct dc_frame *f)
{
	return dc_wanted_frame(wanted, f);
}

static int
show(struct knn *s)
{
	const struct dc_nearest n = { .query = s->query, .base = &s->base, .near = s->near, .k = s->k,
		.query_name = s->query_names.line, .base_name = s->base_names.line, .class_name = s->names.line,
		.classes = s->names.n, .rows = (int)o.rows, .columns = (int)o.columns };
	int status;

	if (!s->base.id.n && !s->query->id.n)
		dc_die("--show: the features have no ids to find their pictures by");
	dc_nearest_want(&n, &s->pictures);
	if ((status = dc_stream_each(o.images, NULL, take_pictures, &s->pictures)) != DC_EXIT_OK)
		return status;
	if (!s->pictures.come)
		dc_die("%s: none of the images there has an id that the features have: give it the shards they were made of", o.images);
	if (dc_nearest_sheet(&n, &s->pictures, o.show) < 0)
		dc_die("%s", dc_err());
	return DC_EXIT_OK;
}

static void
free_all(struct knn *s)
{
	dc_set_free(&s->base);
	dc_set_free(&s->own_query);
	free(s->not);
	free(s->class_label);
	free(s->near);
	dc_lines_free(&s->base_names);
	dc_lines_free(&s->query_names);
	dc_lines_free(&s->names);
	dc_wanted_free(&s->pictures);
}

static void
check_opts(void)
{
	enum dc_imgformat ignored;

	if (!o.base)
		dc_die_usage("--base FILE is needed");
	if (!o.query && dc_opts_given("query-features"))
		dc_die_usage("--query-features needs --query");
	if (!o.query && o.self)
		dc_die_usage("--self needs --query");
	if (!o.query && o.query_names)
		dc_die_usage("--query-names needs --query");
	if (o.softmax && !o.list)
		dc_die_usage("--softmax needs --list");
	if (!o.show != !o.images)
		dc_die_usage("--show FILE and --images FILE belong together");
	if (o.show && dc_image_format_of_name(o.show, &ignored) < 0)
		dc_die_usage("--show %s", dc_err());
	if (o.list && (dc_opts_given("k") || dc_opts_given("temperature")))
		dc_die_usage("--list: there is no vote, so no -k and --temperature");
}

int
main(int argc, char **argv)
{
	struct knn s = { 0 };
	double start;
	int status, first, voting;

	dc_blas_start(argv);
	dc_main_init("dc-knn");
	first = dc_opts_parse(argc, argv, "--base FILE [--query FILE] [options]", "finds nearest neighbours of features", options);
	if (first < argc)
		dc_die_usage("unexpected argument '%s'", argv[first]);
	check_opts();
	start = dc_seconds();
	if ((status = read_sets(&s)) == DC_EXIT_OK) {
		if ((voting = votes(&s))) {
			leave_out_unlabelled(&s.base, o.base_names);
			if (s.query != &s.base)
				leave_out_unlabelled(s.query, o.query_names);
		}
		look(&s, voting);
		if (voting)
			print_votes(&s);
		if (o.list)
			print_list(&s);
		if (o.show)
			status = show(&s);
		if (fflush(stdout) == EOF && errno == EPIPE)
			status = DC_EXIT_NEIGHBOUR; /* who read has read enough */
		else if (dc_fshut(stdout, "<stdout>") < 0)
			dc_die("%s", dc_err());
		if (o.verbose)
			fprintf(stderr, "%s: %lld queries, %lld rows of %d columns, %lld neighbours, %.2f s\n", dc_progname,
			    (long long)s.query->x.n, (long long)s.base.x.n, s.base.x.D, (long long)s.k, dc_seconds() - start);
	}
	free_all(&s);
	return status;
}
