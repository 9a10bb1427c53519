/* SPDX-License-Identifier: MIT */
/* dc-recall: features -> how well images find their captions and captions their images. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "score/retrieval.h"
#include "score/rows.h"

static struct opts { int tsv, verbose; } o;

static const struct dc_opt options[] = {
	DC_OPT_FLAG("tsv", 't', &o.tsv, "tab-separated values, shares as numbers in [0,1]"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

struct recall {
	struct dc_rows image, text;
	struct dc_ints owner, id;
	int64_t *n_own;             /* [N] captions of each image */
	struct dc_place *i2t, *t2i;
	double *score;              /* [N] */
	uint64_t frames;
};

static const int64_t at[] = { 1, 5, 10 };

/* --- reading --- */

/* Which image each of the C captions of this part belongs to: caption_image, relative to the part; without it one each. */
static int
take_owners(struct recall *s, struct dc_frame *f, int64_t first, int64_t N, int64_t C)
{
	const int64_t had = s->owner.n;

	if (!dc_frame_get(f, "caption_image")) {
		if (C != N)
			return dc_frame_err(f, "%lld captions for %lld images and no caption_image", (long long)C, (long long)N);
		for (int64_t c = 0; c < C; c++)
			dc_ints_add(&s->owner, first + c);
		return 0;
	}
	DC_TRY(dc_ints_take(&s->owner, f, "caption_image"));
	if (s->owner.n - had != C)
		return dc_frame_err(f, "caption_image has %lld entries for %lld captions", (long long)(s->owner.n - had), (long long)C);
	for (int64_t c = had; c < s->owner.n; c++) {
		if (s->owner.p[c] < 0 || s->owner.p[c] >= N)
			return dc_frame_err(f, "caption_image %lld: outside the part's %lld images", (long long)s->owner.p[c], (long long)N);
		s->owner.p[c] += first;
	}
	return 0;
}

static int
take(struct recall *s, struct dc_frame *f)
{
	const int64_t first = s->image.n;
	int64_t N, C;

	DC_TRY(N = dc_rows_take(&s->image, f, "image_features.0"));
	DC_TRY(C = dc_rows_take(&s->text, f, "text_features.0"));
	if (N && C && s->image.D != s->text.D)
		return dc_frame_err(f, "image features of %d columns, text features of %d", s->image.D, s->text.D);
	if (dc_frame_get(f, "id")) {
		int64_t n = dc_ints_take(&s->id, f, "id");
		if (n != N)
			return n < 0 ? -1 : dc_frame_err(f, "%lld ids for %lld images", (long long)n, (long long)N);
	}
	s->frames++;
	return take_owners(s, f, first, N, C);
}

static int
ascending(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* An image that comes twice (two epochs) would be its own rival. */
static void
check_ids(struct recall *s)
{
	if (s->id.n) /* an empty array has no address to sort at */
		qsort(s->id.p, (size_t)s->id.n, sizeof *s->id.p, ascending);
	for (int64_t i = 1; i < s->id.n; i++)
		if (s->id.p[i] == s->id.p[i - 1])
			dc_die("image id %llu comes twice: score one epoch (dc-decode --epochs 1)", (unsigned long long)s->id.p[i]);
}

static int
read_all(struct recall *s)
{
	struct dc_in *in = dc_xmalloc(sizeof *in);
	struct dc_frame f = { 0 };
	int r, status;

	dc_in_init(in, STDIN_FILENO, "<stdin>");
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

/* --- scores --- */

/* Means over the images that have captions: of an image's own hit, and of its captions' hits. Captions of one image are
 * not independent, so images are the cases of the standard error in both directions. */
static int64_t
image_scores(struct recall *s, int t2i, double (*f)(const struct dc_place *, int64_t), int64_t k)
{
	int64_t n = 0;

	for (int64_t i = 0; i < s->image.n; i++)
		s->score[i] = t2i || !s->n_own[i] ? 0 : f(&s->i2t[i], k);
	for (int64_t c = 0; t2i && c < s->text.n; c++)
		s->score[s->owner.p[c]] += f(&s->t2i[c], k) / (double)s->n_own[s->owner.p[c]];
	for (int64_t i = 0; i < s->image.n; i++)
		if (s->n_own[i])
			s->score[n++] = s->score[i];
	return n;
}

static double
rank_of(const struct dc_place *p, int64_t k)
{
	(void)k;
	return dc_place_rank(p);
}

static double
chance(const struct recall *s, int t2i, int64_t k)
{
	double sum = 0;
	int64_t n = 0;

	for (int64_t i = 0; i < s->image.n; i++) {
		n += s->n_own[i] > 0;
		sum += s->n_own[i] ? dc_retrieval_chance(t2i ? s->image.n : s->text.n, t2i ? 1 : s->n_own[i], k) : 0;
	}
	return sum / (double)n;
}

static double
chance_rank(const struct recall *s, int t2i)
{
	double sum = 0;
	int64_t n = 0;

	for (int64_t i = 0; i < s->image.n; i++) {
		n += s->n_own[i] > 0;
		sum += s->n_own[i] ? (double)(s->text.n + 1) / (double)(s->n_own[i] + 1) : 0;
	}
	return t2i ? (double)(s->image.n + 1) / 2 : sum / (double)n;
}

static double
median_rank(struct recall *s, int t2i)
{
	const struct dc_place *p = t2i ? s->t2i : s->i2t;
	const int64_t N = t2i ? s->text.n : s->image.n;
	double *x = dc_xcalloc(N, sizeof *x), m;
	int64_t n = 0;

	for (int64_t i = 0; i < N; i++)
		if (p[i].own)
			x[n++] = dc_place_rank(&p[i]);
	m = dc_median(x, n);
	free(x);
	return m;
}

static void
print_share(const char *direction, int64_t k, const struct dc_share *r)
{
	if (o.tsv)
		printf("%s\tR@%d\t%.6f\t%.6f\t%.6f\t%.2f\t%lld\n", direction, (int)k, r->value, r->se, r->chance, r->z,
		    (long long)r->n);
	else
		printf("%-14s R@%-8d %7.2f %% %9.2f %9.2f %9.1f\n", direction, (int)k, 100 * r->value, 100 * r->se,
		    100 * r->chance, r->z);
}

static void
print_direction(struct recall *s, const char *direction, int t2i)
{
	struct dc_share r;
	double median;
	int64_t n;

	for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
		n = image_scores(s, t2i, dc_place_hit, at[i]);
		dc_share_of(&r, s->score, n, chance(s, t2i, at[i]));
		print_share(direction, at[i], &r);
	}
	n = image_scores(s, t2i, rank_of, 0);
	dc_share_of(&r, s->score, n, 0);
	median = median_rank(s, t2i);
	if (o.tsv)
		printf("%s\tmedian rank\t%.1f\t\t\t\t%lld\n%s\tmean rank\t%.4f\t%.4f\t%.4f\t\t%lld\n", direction, median,
		    (long long)n, direction, r.value, r.se, chance_rank(s, t2i), (long long)n);
	else
		printf("%-14s median rank %5.1f\n%-14s mean rank %7.1f   %9.1f %9.1f\n", direction, median, direction, r.value,
		    r.se, chance_rank(s, t2i));
}

static void
score(struct recall *s)
{
	s->n_own = dc_xcalloc(s->image.n, sizeof *s->n_own);
	s->i2t = dc_xcalloc(s->image.n, sizeof *s->i2t);
	s->t2i = dc_xcalloc(s->text.n, sizeof *s->t2i);
	s->score = dc_xcalloc(s->image.n, sizeof *s->score);
	for (int64_t c = 0; c < s->text.n; c++)
		s->n_own[s->owner.p[c]]++;
	dc_retrieval(s->i2t, s->t2i, s->image.p, s->text.p, s->owner.p, s->image.n, s->text.n, s->image.D);
}

static void
print_all(struct recall *s)
{
	if (o.tsv)
		printf("direction\tscore\tvalue\tstandard_error\tchance\tz\timages\n");
	else
		printf("%lld images, %lld captions\n%-26s %9s %9s %9s %9s\n", (long long)s->image.n, (long long)s->text.n, "",
		    "", "std.err.", "chance", "z");
	print_direction(s, "image -> text", 0);
	print_direction(s, "text -> image", 1);
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
}

static void
free_all(struct recall *s)
{
	free(s->image.p);
	free(s->text.p);
	free(s->owner.p);
	free(s->id.p);
	free(s->n_own);
	free(s->i2t);
	free(s->t2i);
	free(s->score);
}

int
main(int argc, char **argv)
{
	struct recall s = { 0 };
	double start;
	int status, first;

	dc_main_init("dc-recall");
	first = dc_opts_parse(argc, argv, "[options] <features", "scores image-text retrieval", options);
	if (first < argc)
		dc_die_usage("unexpected argument '%s': features come on standard input", argv[first]);
	start = dc_seconds();
	status = read_all(&s);
	if (status == DC_EXIT_OK) {
		if (s.image.n == 0 || s.text.n == 0)
			dc_die("<stdin>: no features of images and captions among the frames");
		check_ids(&s);
		score(&s);
		print_all(&s);
		if (o.verbose)
			fprintf(stderr, "%s: %llu frames, %lld images, %lld captions, %.2f s\n", dc_progname,
			    (unsigned long long)s.frames, (long long)s.image.n, (long long)s.text.n, dc_seconds() - start);
	}
	free_all(&s);
	return status;
}
