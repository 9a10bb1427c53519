/* SPDX-License-Identifier: MIT */
/* dc-zeroshot: class names and templates -> prompts; features of prompts and of labelled images -> zero-shot accuracy. */
#include <stdlib.h>
#include <string.h>

#include "base/opts.h"
#include "nn/blas.h"
#include "score/accuracy.h"
#include "score/prompts.h"
#include "score/rows.h"
#include "score/table.h"
#include "score/zeroshot.h"
#include "stream/each.h"

static struct opts {
	const char *classes, *names, *templates, *given, *confusion, *similarity;
	int64_t prompts;
	int write_prompts, same_names, per_class, tsv, verbose;
} o;

static const struct dc_opt options[] = {
	DC_OPT_STR("names", 'n', &o.names, "FILE", "names of the classes, one a line, in the order of the labels"),
	DC_OPT_FLAG("write-prompts", 'w', &o.write_prompts, "print the prompts of each name, one a line, and stop"),
	DC_OPT_STR("templates", 0, &o.templates, "FILE", "for the prompts: lines with {} for the name [seven of our own]"),
	DC_OPT_STR("given", 0, &o.given, "FILE", "for the prompts: these, equally many a class, in order; they are only checked"),
	DC_OPT_STR("classes", 'c', &o.classes, "FILE", "score: features of the class prompts, a stored stream"),
	DC_OPT_INT("prompts", 0, &o.prompts, 1, 1 << 20, "N",
	    "consecutive prompts of one class (default: prompts / names, or 1)"),
	DC_OPT_CHOICE("similarity", 0, &o.similarity, "features|tokens", "compare features, or token by token [features]"),
	DC_OPT_FLAG("same-names", 0, &o.same_names, "let several classes have one name"),
	DC_OPT_STR("confusion", 0, &o.confusion, "FILE", "write the confusion matrix here, tab-separated"),
	DC_OPT_FLAG("per-class", 0, &o.per_class, "also print every class"),
	DC_OPT_FLAG("tsv", 't', &o.tsv, "tab-separated values, shares as numbers in [0,1]"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

struct zeroshot {
	struct dc_lines name;
	int tokens;
	struct dc_rows prompt;      /* of all classes */
	struct dc_ints prompt_off;  /* with tokens: where each begins; else empty */
	int64_t prompts;
	struct dc_ints line;
	dc_real *cls; int64_t K, P; /* [K,D], without tokens; prompts of each class */
	struct dc_rows image;       /* of one frame */
	struct dc_ints image_off;
	struct dc_ints label;
	struct dc_place *place; int64_t *best, room; /* of its images */
	struct dc_cases cases;      /* of all labelled images */
	int64_t images, frames;
};

static void
check_opts(int operands, char **argv)
{
	if (operands)
		dc_die_usage("unexpected argument '%s': features come on standard input", argv[0]);
	if (!o.classes == !o.write_prompts)
		dc_die_usage("give --classes FILE to score, or --write-prompts to make prompts");
	if (o.write_prompts && !o.names)
		dc_die_usage("--write-prompts needs --names FILE");
	if (o.write_prompts && (o.confusion || o.per_class || o.tsv || o.prompts || o.similarity))
		dc_die_usage("--confusion, --per-class, --tsv, --prompts and --similarity belong to --classes");
	if (o.classes && (o.templates || o.given))
		dc_die_usage("--%s belongs to --write-prompts: the features of --classes are made already",
		    o.templates ? "templates" : "given");
	if (o.templates && o.given)
		dc_die_usage("give --templates or --given, not both");
}

/* --- prompts --- */

static int
write_given(struct zeroshot *s)
{
	struct dc_lines prompt;

	if (dc_prompts_read(&prompt, o.given) < 0)
		dc_die("%s", dc_err());
	if (prompt.n % s->name.n)
		dc_die("%s: %lld prompts do not divide among the %lld names of %s", o.given, (long long)prompt.n,
		    (long long)s->name.n, o.names);
	for (int64_t i = 0; i < prompt.n && !ferror(stdout); i++)
		puts(prompt.line[i]);
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
	dc_lines_free(&prompt);
	return DC_EXIT_OK;
}

static int
write_prompts(struct zeroshot *s)
{
	struct dc_lines template;

	if (o.given)
		return write_given(s);
	if (!o.templates)
		dc_templates_own(&template);
	else if (dc_templates_read(&template, o.templates) < 0)
		dc_die("%s", dc_err());
	for (int64_t k = 0; k < s->name.n && !ferror(stdout); k++) {
		for (int64_t p = 0; p < template.n; p++) {
			char *prompt = dc_prompt(template.line[p], s->name.line[k]);
			puts(prompt);
			free(prompt);
		}
	}
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
	if (o.verbose)
		fprintf(stderr, "%s: %lld names, %lld templates\n", dc_progname, (long long)s->name.n, (long long)template.n);
	dc_lines_free(&template);
	return DC_EXIT_OK;
}

/* --- reading --- */

/* The rows of a frame's prompts; their number. */
static int64_t
prompt_rows(struct zeroshot *s, struct dc_frame *f)
{
	const char *key = s->tokens ? "filip_text" : "text_features.0";

	if (!dc_frame_get(f, key))
		return dc_frame_err(f, "no prompts: it has no %s%s", key, s->tokens ? " (dc-encode --tokens makes it)" : "");
	return s->tokens ? dc_tokens_take(&s->prompt, &s->prompt_off, f, key, "filip_off") : dc_rows_take(&s->prompt, f, key);
}

static int
take_prompts(void *arg, struct dc_frame *f)
{
	struct zeroshot *s = arg;
	int64_t n, k;

	DC_TRY(n = prompt_rows(s, f));
	s->prompts += n;
	if (!dc_frame_get(f, "line")) {
		for (int64_t i = n; i > 0; i--)
			dc_ints_add(&s->line, s->prompts - i + 1);
		return 0;
	}
	DC_TRY(k = dc_ints_take(&s->line, f, "line"));
	return n == k ? 0 : dc_frame_err(f, "%lld line numbers for %lld prompts", (long long)k, (long long)n);
}

/* Image i has a label that is no class: its key is told where the frame has keys. */
static int
no_class(const struct zeroshot *s, struct dc_frame *f, int64_t i)
{
	const struct dc_str *key;
	size_t n = 0;

	if (dc_frame_get(f, "key"))
		DC_TRY(dc_frame_strs(f, "key", &key, &n));
	if ((size_t)i < n)
		return dc_frame_err(f, "sample %.*s: label %lld, but there are %lld classes", (int)key[i].n, key[i].p,
		    (long long)s->label.p[i], (long long)s->K);
	return dc_frame_err(f, "label %lld, but there are %lld classes", (long long)s->label.p[i], (long long)s->K);
}

static int
check_labels(const struct zeroshot *s, struct dc_frame *f, int64_t n)
{
	if (s->label.n != n)
		return dc_frame_err(f, "%lld labels for %lld images", (long long)s->label.n, (long long)n);
	for (int64_t i = 0; i < n; i++)
		if (s->label.p[i] >= s->K)
			return no_class(s, f, i);
	return 0;
}

/* The rows of a frame's images; their number. */
static int64_t
image_rows(struct zeroshot *s, struct dc_frame *f)
{
	const char *key = s->tokens ? "filip_image" : "image_features.0";

	s->image.n = s->image_off.n = 0;
	if (!dc_frame_get(f, key))
		return dc_frame_err(f, "no images: it has no %s%s", key, s->tokens ? " (dc-encode --tokens makes it)" : "");
	return s->tokens ? dc_tokens_take(&s->image, &s->image_off, f, key, NULL) : dc_rows_take(&s->image, f, key);
}

static void
score_images(struct zeroshot *s, int64_t n)
{
	const struct dc_side image = { s->image.p, s->image_off.p, n }, prompt = { s->prompt.p, s->prompt_off.p, s->prompts };

	if (n > s->room) {
		s->place = dc_xrealloc(s->place, (size_t)n, sizeof *s->place);
		s->best = dc_xrealloc(s->best, (size_t)n, sizeof *s->best);
		s->room = n;
	}
	if (s->tokens)
		dc_zeroshot_tokens(s->place, s->best, &image, s->label.p, &prompt, s->K, s->P, s->image.D);
	else
		dc_zeroshot(s->place, s->best, s->image.p, s->label.p, s->cls, n, s->K, s->image.D);
	for (int64_t i = 0; i < n; i++)
		if (s->place[i].own)
			dc_cases_add(&s->cases, &s->place[i], s->label.p[i], s->best[i]);
}

/* A frame's images, scored at once. Where it has no labels, none of its images has one. */
static int
take_images(void *arg, struct dc_frame *f)
{
	struct zeroshot *s = arg;
	int64_t n;

	s->label.n = 0;
	s->frames++;
	DC_TRY(n = image_rows(s, f));
	s->images += n;
	if (n && s->prompt.n && s->image.D != s->prompt.D)
		return dc_frame_err(f, "image features of %d columns, prompts of %d", s->image.D, s->prompt.D);
	if (!dc_frame_get(f, "label"))
		return 0;
	DC_TRY(dc_ints_take(&s->label, f, "label"));
	DC_TRY(check_labels(s, f, n));
	score_images(s, n);
	return 0;
}

/* --- classes --- */

/* Prompts into the order of their line numbers, which must be 1 .. n, each once. */
static void
sort_prompts(struct zeroshot *s)
{
	const int64_t n = s->prompts;
	int64_t *from = dc_xcalloc((size_t)n, sizeof *from);
	char *seen = dc_xcalloc((size_t)n, 1);

	for (int64_t i = 0; i < n; i++) {
		const int64_t at = s->line.p[i] - 1;
		if (at < 0 || at >= n || seen[at])
			dc_die("%s: line %lld %s among %lld prompts", o.classes, (long long)s->line.p[i],
			    at < 0 || at >= n ? "is out of range" : "comes twice", (long long)n);
		seen[at] = 1;
		from[at] = i;
	}
	dc_rows_keep(&s->prompt, &s->prompt_off, from, n);
	free(seen);
	free(from);
}

/* How many prompts each class has, which must divide them. */
static int64_t
prompts_of_a_class(const struct zeroshot *s)
{
	const int64_t n = s->prompts;

	if (o.prompts && n % o.prompts)
		dc_die("%s: %lld prompts are not a multiple of %lld", o.classes, (long long)n, (long long)o.prompts);
	if (o.prompts && o.names && n / o.prompts != s->name.n)
		dc_die("%s: %lld names for %lld classes", o.names, (long long)s->name.n, (long long)(n / o.prompts));
	if (o.names && n % s->name.n)
		dc_die("%s: %lld prompts do not divide among the %lld names of %s", o.classes, (long long)n, (long long)s->name.n,
		    o.names);
	return o.prompts ? o.prompts : o.names ? n / s->name.n : 1;
}

/* Prompts of tokens are compared one by one. */
static void
make_classes(struct zeroshot *s)
{
	const int64_t D = s->prompt.D;

	s->P = prompts_of_a_class(s);
	s->K = s->cases.K = s->prompts / s->P;
	if (s->tokens)
		return;
	s->cls = dc_xcalloc((size_t)s->K * D, sizeof *s->cls);
	dc_zeroshot_classes(s->cls, s->prompt.p, s->K, s->P, (int)D);
	for (int64_t k = 0; k < s->K; k++) {
		int64_t d = 0;
		while (d < D && s->cls[k * D + d] == 0)
			d++;
		if (d == D)
			dc_die("%s: the prompts of class %lld cancel: their mean is zero", o.classes, (long long)k);
	}
}

static int
read_classes(struct zeroshot *s)
{
	int status = dc_stream_each(o.classes, "features", take_prompts, s);

	if (status != DC_EXIT_OK)
		return status;
	if (s->prompts == 0)
		dc_die("%s: no features of prompts among the frames", o.classes);
	sort_prompts(s);
	make_classes(s);
	return DC_EXIT_OK;
}

/* --- the table --- */

static void
print_all(const struct zeroshot *s)
{
	if (!o.tsv)
		printf("%lld images, %lld classes, %lld prompts%s\n", (long long)s->cases.n, (long long)s->K, (long long)s->prompts,
		    s->tokens ? ", token by token" : "");
	dc_table_header(o.tsv);
	dc_table_cases(&s->cases, s->name.line, o.per_class, o.tsv);
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
}

static int
score(struct zeroshot *s)
{
	int status = read_classes(s);

	if (status == DC_EXIT_OK)
		status = dc_stream_each("-", "features", take_images, s);
	if (status != DC_EXIT_OK)
		return status;
	if (s->images == 0)
		dc_die("<stdin>: no features of images among the frames");
	if (s->cases.n == 0)
		dc_die("<stdin>: none of the %lld images has a label (a .cls file beside it in the shard)", (long long)s->images);
	if (o.confusion && dc_confusion_write(o.confusion, &s->cases, s->name.line) < 0)
		dc_die("%s", dc_err());
	print_all(s);
	return DC_EXIT_OK;
}

static void
free_all(struct zeroshot *s)
{
	dc_lines_free(&s->name);
	free(s->prompt.p);
	free(s->prompt_off.p);
	free(s->line.p);
	free(s->cls);
	free(s->image.p);
	free(s->image_off.p);
	free(s->label.p);
	free(s->place);
	free(s->best);
	dc_cases_free(&s->cases);
}

int
main(int argc, char **argv)
{
	struct zeroshot s = { 0 };
	double start;
	int status, first;

	dc_main_init("dc-zeroshot");
	dc_blas_start(argv);
	first = dc_opts_parse(argc, argv, "--names FILE --write-prompts | --classes FILE [options] <features",
	    "makes class prompts, and scores zero-shot classification", options);
	check_opts(argc - first, argv + first);
	s.tokens = o.similarity && !strcmp(o.similarity, "tokens");
	start = dc_seconds();
	if (o.names && dc_names_read(&s.name, o.names, o.same_names) < 0)
		dc_die("%s", dc_err());
	status = o.write_prompts ? write_prompts(&s) : score(&s);
	if (status == DC_EXIT_OK && o.classes && o.verbose)
		fprintf(stderr, "%s: %lld images, %lld without a label, %lld classes, %.2f s\n", dc_progname, (long long)s.images,
		    (long long)(s.images - s.cases.n), (long long)s.K, dc_seconds() - start);
	free_all(&s);
	return status;
}
