/* SPDX-License-Identifier: MIT */
#include "curate/page.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/points.h"

enum { NUMBER = 32, SPARKS = 24, LINE = 100 };

static const struct { const char *name, *tsv; int unit; /* values are so many to 1 */ } hists[DC_HISTS] = {
	{ "width", "width", 1 }, { "height", "height", 1 }, { "shorter side", "side", 1 }, { "long / short side", "aspect", 100 },
	{ "bytes of the file", "bytes", 1 }, { "to an image", "captions", 1 }, { "characters", "chars", 1 },
	{ "words", "words", 1 }, { "tokens", "tokens", 1 },
};
static const double quantiles[] = { 0, 0.05, 0.5, 0.95, 1 };
static const char *const quantile_names[] = { "min", "p5", "median", "p95", "max" };
enum { QUANTILES = sizeof quantiles / sizeof *quantiles };

/* 1234567 -> "1,234,567" */
static const char *
number(char out[NUMBER], uint64_t v)
{
	char plain[NUMBER];
	int n = snprintf(plain, sizeof plain, "%" PRIu64, v), at = 0;

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = plain[i];
	}
	out[at] = 0;
	return out;
}

static double
percent(uint64_t part, uint64_t whole)
{
	return whole ? 100. * (double)part / (double)whole : 0;
}

static double
ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

/* --- the page --- */

/* A small histogram: from the least value to about the 99 % quantile, the last place with all above it. */
static void
sparks(FILE *out, const struct dc_hist *h)
{
	static const char *const level[] = { " ", "\342\226\201", "\342\226\202", "\342\226\203", "\342\226\204", "\342\226\205",
		"\342\226\206", "\342\226\207", "\342\226\210" };
	uint64_t bin[SPARKS], most = 1;

	dc_hist_bins(h, 0.99, SPARKS, bin);
	for (int i = 0; i < SPARKS; i++)
		most = bin[i] > most ? bin[i] : most;
	for (int i = 0; i < SPARKS; i++)
		fputs(level[bin[i] ? 1 + (bin[i] * 7 + most / 2) / most : 0], out);
}

static void
value(FILE *out, double v, int unit)
{
	char text[NUMBER];

	if (unit == 1 && v == (double)(uint64_t)v)
		fprintf(out, " %10s", number(text, (uint64_t)v));
	else
		fprintf(out, " %10.2f", v / unit);
}

static void
row(FILE *out, const struct dc_stats *s, enum dc_stats_hist which)
{
	const struct dc_hist *h = &s->hist[which];

	if (!h->n)
		return;
	fprintf(out, "  %-18s", hists[which].name);
	for (int i = 0; i < QUANTILES; i++)
		value(out, quantiles[i] > 0 ? (double)dc_hist_quantile(h, quantiles[i]) : (double)h->min, hists[which].unit);
	fprintf(out, " %10.*f  ", dc_hist_mean(h) < 1000 * hists[which].unit ? 2 : 0, dc_hist_mean(h) / hists[which].unit);
	sparks(out, h);
	putc('\n', out);
}

static void
heads(FILE *out, const char *title)
{
	static const char *const head[QUANTILES + 1] = { "least", "5 %", "median", "95 %", "most", "mean" };

	fprintf(out, "\n%-20s", title);
	for (int i = 0; i <= QUANTILES; i++)
		fprintf(out, " %10s", head[i]);
	fputs("\n", out);
}

static void
page_samples(const struct dc_stats *s, FILE *out)
{
	char a[NUMBER], b[NUMBER], c[NUMBER];
	const uint64_t broken = dc_stats_broken(s);
	const char *sep = " (";

	if (s->shards)
		fprintf(out, "Shards    %s, %.1f MB%s", number(a, s->shards), (double)s->shard_bytes / 1e6, s->damaged ? "" : "\n");
	if (s->damaged)
		fprintf(out, ", %s of them damaged\n", number(a, s->damaged));
	fprintf(out, "Samples   %s = %s good + %s broken", number(a, s->usable + broken), number(b, s->usable), number(c, broken));
	for (int i = 0; i < DC_REJECTS; i++)
		if (s->broken[i]) {
			fprintf(out, "%s%s %s", sep, number(a, s->broken[i]), dc_reject_names[i]);
			sep = ", ";
		}
	fprintf(out, "%s\n", *sep == ',' ? ")" : "");
}

static void
page_same(FILE *out, const char *what, uint64_t same, uint64_t of, uint64_t unknown, size_t max)
{
	char a[NUMBER], b[NUMBER];

	fprintf(out, "  %s: %s%s (%.2f %%)", what, unknown ? "at least " : "", number(a, same), percent(same, of));
	if (unknown)
		fprintf(out, "; compared with the first %s different ones", number(b, max));
	putc('\n', out);
}

static void
page_images(const struct dc_stats *s, FILE *out)
{
	char a[NUMBER];

	heads(out, "Images");
	for (int i = DC_HIST_WIDTH; i <= DC_HIST_SIZE; i++)
		row(out, s, (enum dc_stats_hist)i);
	fputs("  format:", out);
	for (int i = 0; i <= DC_IMAGE_WEBP; i++)
		if (s->formats[i])
			fprintf(out, " %s %s", i ? dc_image_format_name((enum dc_image_format)i) : "decoded", number(a, s->formats[i]));
	putc('\n', out);
	if (s->hist[DC_HIST_SIZE].n)
		page_same(out, "the same file as one before", s->same_images, s->hist[DC_HIST_SIZE].n, s->unknown_images,
		    s->max_distinct);
}

/* The scripts, the most frequent first; the rest is left out where it does not fit on the line. */
static void
page_scripts(const struct dc_stats *s, FILE *out)
{
	uint64_t left[DC_SCRIPTS_MAX];
	char a[NUMBER];

	memcpy(left, s->scripts, sizeof left);
	fputs("  most letters are:", out);
	for (int shown = 0; shown < 6; shown++) {
		int best = 0;

		for (int i = 1; i < DC_SCRIPTS_MAX; i++)
			best = left[i] > left[best] ? i : best;
		if (!left[best])
			break;
		fprintf(out, "%s %s %s (%.2f %%)", shown ? "," : "", best ? dc_script_name(best) : "no letters at all",
		    number(a, left[best]), percent(left[best], s->captions));
		left[best] = 0;
	}
	putc('\n', out);
}

static void
page_captions(const struct dc_stats *s, FILE *out)
{
	char a[NUMBER];

	heads(out, "Captions");
	for (int i = DC_HIST_CAPTIONS; i < DC_HISTS; i++)
		row(out, s, (enum dc_stats_hist)i);
	fprintf(out, "  captions in all: %s\n", number(a, s->captions));
	page_same(out, "the same text as one before", s->same_captions, s->captions, s->unknown_captions, s->max_distinct);
	page_scripts(s, out);
}

static void
page_vocabulary(const struct dc_stats *s, FILE *out)
{
	char a[NUMBER], b[NUMBER];
	uint64_t used = 0, ids;

	if (!s->bpe)
		return;
	ids = (uint64_t)s->bpe->size - 2;
	for (uint64_t i = 0; i < ids; i++)
		used += s->used[i] > 0;
	fprintf(out, "\nVocabulary of %s\n", number(a, (uint64_t)s->bpe->size));
	fprintf(out, "  ids that occur: %s of %s (%.1f %%)\n", number(a, used), number(b, ids), percent(used, ids));
	fprintf(out, "  tokens to a word: %.2f\n", ratio(s->tokens, s->words.times));
	fprintf(out, "  single bytes inside words: %s (%.2f %% of the tokens); BPE knows no unknown words\n",
	    number(a, s->byte_tokens), percent(s->byte_tokens, s->tokens));
	fprintf(out, "  captions cut at %d tokens: %s (%.2f %%)\n", s->context - 2, number(a, s->cut),
	    percent(s->cut, s->captions));
}

/* n bytes of text in at most `room` columns; controls and what is not UTF-8 as "?". Return the columns. */
static int
put_text(FILE *out, const char *p, size_t n, int room)
{
	int columns = 0, width;
	int32_t c;

	for (size_t at = 0; at < n; columns += width) {
		int k = dc_utf8_get(p + at, n - at, &c);

		width = c < 0x80 ? 1 : utf8proc_charwidth(c);
		if (columns + width > room - 3 && n - at > 3) {
			fputs("...", out);
			return columns + 3;
		}
		if (c < 32 || c == 127 || c == DC_REPLACEMENT)
			putc('?', out);
		else
			fwrite(p + at, 1, (size_t)k, out);
		at += (size_t)k;
	}
	return columns;
}

static void
page_list(FILE *out, const struct dc_counts *c, size_t top, int columns)
{
	size_t n, rows;
	struct dc_count **list = dc_counts_top(c, top, &n);
	const int width = LINE / columns;
	char a[NUMBER];

	rows = (n + (size_t)columns - 1) / (size_t)columns;
	for (size_t i = 0; i < rows; i++) {
		for (int k = 0; k < columns && (size_t)k * rows + i < n; k++) {
			const struct dc_count *e = list[(size_t)k * rows + i];
			int used = fprintf(out, "%10s  ", number(a, e->times));

			used += put_text(out, e->text, e->n, width - used - (columns > 1));
			if (k + 1 < columns && (size_t)(k + 1) * rows + i < n)
				fprintf(out, "%*s", width > used ? width - used : 1, "");
		}
		putc('\n', out);
	}
	free(list);
}

static void
page_lists(const struct dc_stats *s, FILE *out, size_t top)
{
	char a[NUMBER], b[NUMBER];

	if (s->words.n) {
		fprintf(out, "\nWords: %s, %s%s different; the most frequent\n", number(a, s->words.times),
		    s->words.others ? "above " : "", number(b, s->words.n));
		page_list(out, &s->words, top, 4);
	}
	if (s->texts.n) {
		fprintf(out, "\nCaptions that come more than once: %s%s; the most frequent\n", s->texts.others ? "above " : "",
		    number(a, s->texts.n));
		page_list(out, &s->texts, top / 2 + 1, 1);
	}
	if (s->labelled) {
		fprintf(out, "\nLabels: %s different in %s samples; the most frequent\n", number(a, s->labels.n), number(b, s->labelled));
		page_list(out, &s->labels, top, 4);
	}
	if (s->bad_labels)
		fprintf(out, "  %s samples have a label that is no number\n", number(a, s->bad_labels));
}

void
dc_stats_page(const struct dc_stats *s, FILE *out, size_t top)
{
	page_samples(s, out);
	if (!s->usable)
		return;
	page_images(s, out);
	if (s->captions)
		page_captions(s, out);
	page_vocabulary(s, out);
	if (top)
		page_lists(s, out, top);
}

/* --- the table --- */

static void
put(FILE *out, const char *group, const char *name, uint64_t v)
{
	fprintf(out, "%s\t%s\t%" PRIu64 "\n", group, name, v);
}

static void
tsv_hist(FILE *out, const struct dc_hist *h, const char *name, int unit)
{
	if (!h->n)
		return;
	for (int i = 0; i < QUANTILES; i++) {
		uint64_t v = i ? dc_hist_quantile(h, quantiles[i]) : h->min;
		fprintf(out, "%s\t%s\t%.*f\n", name, quantile_names[i], unit == 1 ? 0 : 2, (double)v / unit);
	}
	fprintf(out, "%s\tmean\t%.4f\n", name, dc_hist_mean(h) / unit);
}

static void
tsv_list(FILE *out, const struct dc_counts *c, const char *group, size_t top)
{
	size_t n;
	struct dc_count **list = dc_counts_top(c, top, &n);

	for (size_t i = 0; i < n && top; i++) {
		fprintf(out, "%s\t", group);
		for (const char *p = list[i]->text; *p; p++)
			putc((unsigned char)*p < 32 ? ' ' : *p, out);
		fprintf(out, "\t%" PRIu64 "\n", list[i]->times);
	}
	free(list);
}

static void
tsv_vocabulary(const struct dc_stats *s, FILE *out)
{
	uint64_t used = 0;

	if (!s->bpe)
		return;
	for (int i = 0; i < s->bpe->size; i++)
		used += s->used[i] > 0;
	put(out, "vocabulary", "size", (uint64_t)s->bpe->size);
	put(out, "vocabulary", "ids_used", used);
	put(out, "vocabulary", "tokens", s->tokens);
	put(out, "vocabulary", "byte_tokens", s->byte_tokens);
	put(out, "vocabulary", "captions_cut", s->cut);
}

void
dc_stats_tsv(const struct dc_stats *s, FILE *out, size_t top)
{
	fputs("group\tname\tvalue\n", out);
	put(out, "shards", "count", s->shards);
	put(out, "shards", "bytes", s->shard_bytes);
	put(out, "shards", "damaged", s->damaged);
	put(out, "samples", "in", s->usable + dc_stats_broken(s));
	put(out, "samples", "good", s->usable);
	put(out, "samples", "broken", dc_stats_broken(s));
	for (int i = 0; i < DC_REJECTS; i++)
		put(out, "broken", dc_reject_names[i], s->broken[i]);
	for (int i = 0; i <= DC_IMAGE_WEBP; i++)
		if (s->formats[i])
			put(out, "format", i ? dc_image_format_name((enum dc_image_format)i) : "decoded", s->formats[i]);
	for (int i = 0; i < DC_HISTS; i++)
		tsv_hist(out, &s->hist[i], hists[i].tsv, hists[i].unit);
	put(out, "duplicates", "images", s->same_images);
	put(out, "duplicates", "images_not_compared", s->unknown_images);
	put(out, "duplicates", "captions", s->same_captions);
	put(out, "duplicates", "captions_not_compared", s->unknown_captions);
	put(out, "captions", "count", s->captions);
	for (int i = 0; i < DC_SCRIPTS_MAX; i++)
		if (s->scripts[i])
			put(out, "script", i ? dc_script_name(i) : "none", s->scripts[i]);
	put(out, "words", "count", s->words.times);
	put(out, "words", "different", s->words.n);
	put(out, "words", "not_listed", s->words.others);
	tsv_vocabulary(s, out);
	put(out, "labels", "samples", s->labelled);
	put(out, "labels", "bad", s->bad_labels);
	tsv_list(out, &s->labels, "label", top ? s->labels.n : 0);
	tsv_list(out, &s->words, "word", top);
	tsv_list(out, &s->texts, "caption", top);
}

/* --- the picture --- */

enum { BARS = 50 };

static void
plot_hist(FILE *gnuplot, const struct dc_stats *s, enum dc_stats_hist which, const char *title)
{
	const struct dc_hist *h = &s->hist[which];
	const double unit = hists[which].unit * (which == DC_HIST_SIZE ? 1000 : 1);
	uint64_t bin[BARS], width;
	int n = 1;

	if (!h->n)
		return;
	width = dc_hist_bins(h, 0.99, BARS, bin);
	fprintf(gnuplot, "$data << END\n");
	for (int i = 0; i < BARS; i++) {
		double middle = ((double)h->min + i * (double)width + (double)(width - 1) / 2) / unit;

		fprintf(gnuplot, "%.9g %" PRIu64 "\n", middle, bin[i]);
		n = bin[i] ? i + 1 : n;
	}
	fprintf(gnuplot, "END\nset title '%s%s'\nset format x '%%g'\nset boxwidth %.9g\nset xrange [%.9g:%.9g]\n"
	    "plot $data using 1:2 with boxes notitle\n", title,
	    h->max >= h->min + BARS * width ? " (last bar: and above)" : "", 0.9 * (double)width / unit,
	    ((double)h->min - 0.5 * (double)width - (n < 3)) / unit, ((double)h->min + (n + 0.5) * (double)width + (n < 3)) / unit);
}

/* Rank and frequency of the words, on two logarithmic scales, at ranks a tenth apart. */
static void
plot_words(FILE *gnuplot, const struct dc_counts *c)
{
	size_t n;
	struct dc_count **list = dc_counts_top(c, 0, &n);

	if (n > 1) {
		fputs("$data << END\n", gnuplot);
		for (size_t i = 1; i <= n; i += i / 10 + 1)
			fprintf(gnuplot, "%zu %" PRIu64 "\n", i, list[i - 1]->times);
		fputs("END\nset title 'words by rank'\nset format x '%g'\nset logscale xy\nset xrange [1:*]\nset yrange [*:*]\n"
		    "plot $data using 1:2 with lines lw 2 notitle\nunset logscale\n", gnuplot);
	}
	free(list);
}

int
dc_stats_plot_check(const char *path)
{
	const char *dot = strrchr(path, '.');

	DC_CHECK(dot && (!strcmp(dot, ".png") || !strcmp(dot, ".svg")), "%s: must end in .png or .svg", path);
	DC_CHECK(!strpbrk(path, "'\"\\\n"), "%s: no quotes in the name, gnuplot does not take them", path);
	return 0;
}

int
dc_stats_plot(const struct dc_stats *s, const char *path)
{
	FILE *gnuplot;
	int status;

	DC_TRY(dc_stats_plot_check(path));
	fflush(NULL);
	if (!(gnuplot = popen("gnuplot", "w")))
		return dc_err_errno("gnuplot");
	fprintf(gnuplot, "set terminal %s\nset output '%s'\nset multiplot layout 2,3\nset style fill solid 0.7 noborder\n"
	    "set grid ytics\nset tics nomirror\nset yrange [0:]\nset xtics autofreq\n",
	    strstr(path, ".svg") ? "svg size 1200,640 font 'sans,11' background '#ffffff'" : "pngcairo size 1200,640 font 'sans,10'",
	    path);
	plot_hist(gnuplot, s, DC_HIST_SIDE, "shorter side, pixels");
	plot_hist(gnuplot, s, DC_HIST_ASPECT, "longer side / shorter side");
	plot_hist(gnuplot, s, DC_HIST_SIZE, "kB of an image");
	plot_hist(gnuplot, s, DC_HIST_WORDS, "words of a caption");
	plot_hist(gnuplot, s, s->bpe ? DC_HIST_TOKENS : DC_HIST_CHARS, s->bpe ? "tokens of a caption" : "characters of a caption");
	plot_words(gnuplot, &s->words);
	status = pclose(gnuplot);
	DC_CHECK(status != 127 << 8, "gnuplot is not installed (make deps)");
	DC_CHECK(status == 0, "%s: gnuplot failed", path);
	return 0;
}
