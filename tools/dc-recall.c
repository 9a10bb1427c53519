/* SPDX-License-Identifier: MIT */
/* dc-recall: features -> how well images find their captions and captions their images. */
#include <string.h>

#include "base/opts.h"
#include "nn/blas.h"
#include "score/recall.h"
#include "stream/each.h"

static struct opts { int64_t captions, folds; const char *similarity; int tsv, verbose; } o = { .folds = 1 };

static const struct dc_opt options[] = {
	DC_OPT_INT("captions", 0, &o.captions, 1, 1 << 20, "N", "score the first N captions of each image [all]"),
	DC_OPT_INT("folds", 0, &o.folds, 1, 1000, "N", "cut the images into N folds and print the mean over them"),
	DC_OPT_CHOICE("similarity", 0, &o.similarity, "features|tokens", "compare features, or token by token [features]"),
	DC_OPT_FLAG("tsv", 't', &o.tsv, "tab-separated values, shares as numbers in [0,1]"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static const char *const direction[] = { "image -> text", "text -> image" }, *const brief[] = { "i2t", "t2i" };

static int
take(void *pairs, struct dc_frame *f)
{
	return dc_pairs_take(pairs, f);
}

static void
print_tsv(const struct dc_recall *r, const char *name)
{
	for (int k = 0; k < DC_RECALLS; k++)
		printf("%s_R@%d\t%.6f\t%.6f\t%.6f\t%.2f\t%lld\n", name, (int)dc_recall_at[k], r->at[k].value, r->at[k].se,
		    r->at[k].chance, r->at[k].z, (long long)r->at[k].n);
	printf("%s_median_rank\t%.4f\t\t\t\t%lld\n", name, r->median, (long long)r->rank.n);
	printf("%s_mean_rank\t%.4f\t%.4f\t%.4f\t\t%lld\n", name, r->rank.value, r->rank.se, r->rank.chance, (long long)r->rank.n);
}

static void
print_table(const struct dc_recall *r, const char *name)
{
	for (int k = 0; k < DC_RECALLS; k++)
		printf("%-14s R@%-8d %7.2f %% %9.2f %9.2f %9.1f\n", name, (int)dc_recall_at[k], 100 * r->at[k].value,
		    100 * r->at[k].se, 100 * r->at[k].chance, r->at[k].z);
	printf("%-14s median rank %5.1f\n", name, r->median);
	printf("%-14s mean rank %7.1f   %9.1f %9.1f\n", name, r->rank.value, r->rank.se, r->rank.chance);
}

static void
print_all(const struct dc_pairs *p, const struct dc_recall r[2])
{
	const char *how = p->tokens ? ", token by token" : "";

	if (o.tsv)
		printf("name\tvalue\tstandard_error\tchance\tz\timages\n");
	else if (o.folds > 1)
		printf("%lld images, %lld captions%s, mean over %lld folds of %lld images\n", (long long)p->N,
		    (long long)p->C, how, (long long)o.folds, (long long)(p->N / o.folds));
	else
		printf("%lld images, %lld captions%s\n", (long long)p->N, (long long)p->C, how);
	if (!o.tsv)
		printf("%-26s %9s %9s %9s %9s\n", "", "", "std.err.", "chance", "z");
	for (int d = DC_I2T; d <= DC_T2I; d++)
		(o.tsv ? print_tsv : print_table)(&r[d], (o.tsv ? brief : direction)[d]);
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
}

int
main(int argc, char **argv)
{
	struct dc_pairs p = { 0 };
	struct dc_recall r[2];
	double start;
	int status, first;

	dc_main_init("dc-recall");
	dc_blas_start(argv);
	first = dc_opts_parse(argc, argv, "[options] <features", "scores image-text retrieval", options);
	if (first < argc)
		dc_die_usage("unexpected argument '%s': features come on standard input", argv[first]);
	p.tokens = o.similarity && !strcmp(o.similarity, "tokens");
	start = dc_seconds();
	status = dc_stream_each("-", "features", take, &p);
	if (status == DC_EXIT_OK) {
		if (dc_pairs_arrange(&p, o.captions) < 0 || dc_recall_score(r, &p, o.folds) < 0)
			dc_die("<stdin>: %s", dc_err());
		print_all(&p, r);
		if (o.verbose)
			fprintf(stderr, "%s: %llu frames, %lld images, %lld captions, %.2f s\n", dc_progname,
			    (unsigned long long)p.frames, (long long)p.N, (long long)p.C, dc_seconds() - start);
	}
	dc_pairs_free(&p);
	return status;
}
