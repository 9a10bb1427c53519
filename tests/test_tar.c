/* SPDX-License-Identifier: MIT */
/* Shard lists, WebDataset groups and damage, on tars written here; and the plan of slots. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "data/plan.h"
#include "data/shards.h"
#include "data/tar.h"
#include "tests/tap.h"

static char path[] = "/tmp/test_tar.XXXXXX";

/* --- shard lists --- */

static int
expands(const char *pattern, const char *want)
{
	struct dc_shards s = { 0 };
	char got[4096] = "", *p = (char *)pattern;
	int r = dc_shards_expand(&s, &p, 1);

	for (size_t i = 0; r == 0 && i < s.n && i < 40; i++)
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", s.path[i]);
	dc_shards_free(&s);
	return ok(!strcmp(got, want), "%s -> %s", pattern, got);
}

static void
shards(void)
{
	struct dc_shards s = { 0 };
	char *many[] = { "a/x.tar", "y.tar", "b/x.tar" }, *http[] = { "http://h/x.tar" }, *twice[] = { "-", "-" };
	char *big[] = { "{0..9}{0..99999999}" };

	expands("a.tar", "a.tar");
	expands("t-{000..003}.tar", "t-000.tar t-001.tar t-002.tar t-003.tar");
	expands("t-{8..11}.tar", "t-8.tar t-9.tar t-10.tar t-11.tar");
	expands("{08..10}", "08 09 10");
	expands("{3..1}", "3 2 1");
	expands("{0..20..10}", "0 10 20");
	expands("{a,b}{0..1}", "a0 a1 b0 b1");
	expands("{a,b{1..2},}x", "ax b1x b2x x");
	expands("{a}{1..}{..2}{1..2", "{a}{1..}{..2}{1..2");
	expands("{{1..2}}", "{1} {2}");
	expands("{}", "{}");
	expands("{1..99999999999}", "{1..99999999999}");
	ok(dc_shards_expand(&s, many, 3) == 0 && s.again[0] == 0 && s.again[1] == 0 && s.again[2] == 1
	    && !strcmp(s.base[2], "x.tar"), "shards of one base name are told apart");
	dc_shards_free(&s);
	ok(dc_shards_expand(&s, http, 1) < 0 && strstr(dc_err(), "curl"), "%s", dc_err());
	dc_shards_free(&s);
	ok(dc_shards_expand(&s, twice, 2) < 0, "%s", dc_err());
	dc_shards_free(&s);
	ok(dc_shards_expand(&s, big, 1) < 0 && strstr(dc_err(), "more than"), "%s", dc_err());
	dc_shards_free(&s);
}

/* --- tars --- */

struct entry { const char *name; size_t bytes; int type; /* 0: a file */ };

/* Write a tar of these entries; a file's byte i is 'a' + i mod 26. */
static void
make_tar(const struct entry *e, int filter, size_t block)
{
	struct archive *a = archive_write_new();
	struct archive_entry *h;

	archive_write_add_filter(a, filter);
	archive_write_set_format_ustar(a);
	archive_write_set_bytes_in_last_block(a, (int)block);
	archive_write_open_filename(a, path);
	for (; e->name; e++) {
		h = archive_entry_new();
		archive_entry_set_pathname(h, e->name);
		archive_entry_set_filetype(h, e->type ? (unsigned)e->type : AE_IFREG);
		archive_entry_set_perm(h, 0644);
		archive_entry_set_size(h, e->type ? 0 : (la_int64_t)e->bytes);
		if (e->type == (int)AE_IFLNK)
			archive_entry_set_symlink(h, "elsewhere");
		archive_write_header(a, h);
		for (size_t i = 0; i < e->bytes && !e->type; i++)
			archive_write_data(a, &"abcdefghijklmnopqrstuvwxyz"[i % 26], 1);
		archive_entry_free(h);
	}
	archive_write_close(a);
	archive_write_free(a);
}

static uint64_t keep_all(void *arg, const char *ext) { (void)arg; (void)ext; return 1 << 30; }
static uint64_t keep_none(void *arg, const char *ext) { (void)arg; (void)ext; return 0; }
static int drop_all(void *arg, const char *ext) { (void)arg; (void)ext; return 1; }

/* The groups as text: "key#occurrence@offset[ext:size ext:size]! ", ! for a broken one; then the damage. */
static void
list(char *to, size_t n, uint64_t (*keep)(void *, const char *), int (*drop)(void *, const char *))
{
	struct dc_tar_opts o = { .watch = -1, .keep = keep, .drop = drop };
	struct dc_group g = { 0 };
	struct dc_tar *t;
	size_t at = 0;

	*to = 0;
	if (dc_tar_open(&t, path, &o) < 0) {
		snprintf(to, n, "%s", dc_err());
		return;
	}
	while (dc_tar_next(t, &g) == DC_TAR_GROUP && at + 1000 < n) {
		at += snprintf(to + at, n - at, "%s%s#%u@%llu[", at ? " " : "", g.key, g.occurrence, (unsigned long long)g.offset);
		for (size_t i = 0; i < g.n; i++)
			at += snprintf(to + at, n - at, "%s%s:%llu", i ? " " : "", g.member[i].ext,
			    (unsigned long long)g.member[i].size);
		at += snprintf(to + at, n - at, "]%s", g.broken ? "!" : "");
	}
	snprintf(to + at, n - at, "%s%s", dc_tar_damage(t) ? " damaged " : "", dc_tar_damage(t) ? dc_tar_damage(t) : "");
	dc_group_free(&g);
	dc_tar_close(t);
}

static int
lists(const char *want, const char *what)
{
	static char got[1 << 16];

	list(got, sizeof got, keep_all, NULL);
	if (!ok(!strcmp(got, want), "%s", what))
		printf("#   got  %s\n#   want %s\n", got, want);
	return 0;
}

static const struct entry plain[] = { { "a.jpg", 700, 0 }, { "a.txt", 5, 0 }, { "b.jpg", 100, 0 }, { "b.txt", 1, 0 },
	{ 0, 0, 0 } };
#define PLAIN "a#0@0[jpg:700 txt:5] b#0@2560[jpg:100 txt:1]"

static void
groups(void)
{
	static const struct entry odd[] = { { "d.ir/", 0, AE_IFDIR }, { "d.ir/x.seg.PNG", 3, 0 }, { "d.ir/noext", 9, 0 },
		{ "d.ir/.hidden", 9, 0 }, { "d.ir/x.txt", 4, 0 }, { "l.jpg", 0, AE_IFLNK }, { "e.ir/x.txt", 0, 0 },
		{ "d.ir/x.txt", 2, 0 }, { "d.ir/x.txt", 3, 0 }, { "end.", 1, 0 }, { 0, 0, 0 } };
	static const int filter[] = { ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD, ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_BZIP2 };

	make_tar(plain, ARCHIVE_FILTER_NONE, 512);
	lists(PLAIN, "a plain tar");
	make_tar(odd, ARCHIVE_FILTER_NONE, 10240);
	lists("d.ir/x#0@512[seg.png:3 txt:4] e.ir/x#0@5120[txt:0] d.ir/x#1@5632[txt:2] d.ir/x#2@6656[txt:3]",
	    "dots in folders, double extensions, directories, links, names without a key, repeated keys and members");
	for (size_t i = 0; i < sizeof filter / sizeof *filter; i++) {
		make_tar(plain, filter[i], 1);
		lists(PLAIN, "the same compressed");
	}
}

static size_t
load(unsigned char *b, size_t max)
{
	FILE *fp = fopen(path, "rb");
	size_t n = fread(b, 1, max, fp);

	fclose(fp);
	return n;
}

static void
store(const void *b, size_t n)
{
	FILE *fp = fopen(path, "wb");

	if (fwrite(b, 1, n, fp) != n)
		abort();
	fclose(fp);
}

/* However it is cut: what is read and what is passed over agree, and whole groups stay. */
static void
cut(int filter, const char *what, size_t step)
{
	static unsigned char b[1 << 20];
	static char read[1 << 16], passed[1 << 16], dropped[1 << 16];
	static const struct entry e[] = { { "a.jpg", 300000, 0 }, { "a.txt", 5, 0 }, { "b.jpg", 300000, 0 },
		{ "b.txt", 1, 0 }, { 0, 0, 0 } };
	int differ = 0, silent = 0, lost = 0;
	size_t n;

	make_tar(e, filter, 1);
	n = load(b, sizeof b);
	for (size_t k = 0; k < n; k += step) {
		store(b, k);
		list(read, sizeof read, keep_all, NULL);
		list(passed, sizeof passed, keep_none, NULL);
		list(dropped, sizeof dropped, keep_all, drop_all);
		differ += strcmp(read, passed) || strcmp(read, dropped);
		silent += !strstr(read, "damaged") && k + 512 < n;
		lost += filter == ARCHIVE_FILTER_NONE && k >= 301568 && strncmp(read, "a#0@0[jpg:300000 txt:5]", 23);
	}
	ok(!differ, "%s cut anywhere: the same groups whether data are kept, dropped or passed over", what);
	ok(!silent, "%s cut anywhere is told", what);
	ok(!lost, "%s: the group before the cut stays", what);
}

/* A header that announces more bytes than any file has, in the form of eight bits a byte. */
static void
huge(void)
{
	static unsigned char b[1 << 16];
	static char got[1 << 16];
	static const char want[] = "a#0@0[jpg:700 txt:5] b#0@2560[jpg:9223372036854775805";
	unsigned char *h = b + 2560;
	unsigned sum = 0;
	size_t n;

	make_tar(plain, ARCHIVE_FILTER_NONE, 512);
	n = load(b, sizeof b);
	memcpy(h + 124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xfd", 12);
	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += h[i];
	snprintf((char *)h + 148, 8, "%06o", sum);
	store(b, n);
	list(got, sizeof got, keep_all, NULL);
	ok(!strncmp(got, want, sizeof want - 1) && strstr(got, "! damaged at byte 2560: "),
	    "a member of nearly 2^63 bytes is not there, and is told: %s", got);
}

static void
damage(void)
{
	static unsigned char b[1 << 16];
	size_t n;

	cut(ARCHIVE_FILTER_NONE, "a tar", 509);
	cut(ARCHIVE_FILTER_GZIP, "a tar.gz", 7);
	make_tar(plain, ARCHIVE_FILTER_NONE, 512);
	n = load(b, sizeof b);
	store(b, 600);
	lists("a#0@0[jpg:700]! damaged at byte 0: truncated: the data of a.jpg are not all there", "a cut in a member names the member");
	store(b, n - 1024);
	lists(PLAIN " damaged at byte 4608: truncated: no end-of-archive block", "a cut between members");
	memset(b + 2560, 'X', 512);
	store(b, n);
	lists("a#0@0[jpg:700 txt:5] b#0@3584[txt:1] damaged at byte 2560: a bad header",
	    "reading goes on behind a bad header");
	memset(b, 'X', sizeof b);
	store(b, 4000);
	lists(" damaged at byte 0: Unrecognized archive format", "garbage");
	store(b, 0);
	lists(" damaged at byte 0: the file is empty", "an empty file");
	memset(b, 0, 1024);
	store(b, 1024);
	lists("", "a tar without members is whole");
	make_tar(plain, ARCHIVE_FILTER_NONE, 512);
	n = load(b, sizeof b);
	memcpy(b + n, b, n);
	store(b, 2 * n);
	lists(PLAIN " a#1@4608[jpg:700 txt:5] b#1@8192[jpg:100 txt:1]", "two tars one after another");
	unlink(path);
	lists(dc_err(), "a missing file");
}

/* --- the plan --- */

/* Where batch `skip` begins, found by playing the rules batch by batch. */
static void
play(enum dc_tail tail, int64_t n, int64_t batch, int64_t skip, int64_t *epoch, int64_t *before)
{
	int64_t done = 0, filled = 0;

	for (*epoch = 0;; (*epoch)++) {
		filled = tail == DC_TAIL_CARRY ? filled : 0;
		for (int64_t i = 0; i < n; i++) {
			if (done == skip && !filled && (tail != DC_TAIL_DROP || i + batch <= n)) {
				*before = i;
				return;
			}
			if (++filled == batch)
				done++, filled = 0;
		}
		if (tail == DC_TAIL_SHORT && filled)
			done++, filled = 0;
	}
}

static void
plan(void)
{
	int wrong = 0, twice = 0;
	uint64_t place[100];
	char seen[100] = "";
	int64_t e, b, we, wb;

	for (int tail = 0; tail < 3; tail++)
		for (int n = 1; n < 15; n++)
			for (int batch = 1; batch < 15; batch++)
				for (int skip = 0; skip < 20; skip++) {
					if (tail == DC_TAIL_DROP && n < batch) {
						wrong += dc_plan_start(tail, n, batch, skip, &e, &b) != -1;
						continue;
					}
					play(tail, n, batch, skip, &we, &wb);
					wrong += dc_plan_start(tail, n, batch, skip, &e, &b) != 0 || e != we || b != wb;
				}
	ok(!wrong, "dc_plan_start is where playing the rules comes to (%d wrong)", wrong);
	ok(dc_plan_batches(DC_TAIL_CARRY, 10, 4, 2) == 5 && dc_plan_batches(DC_TAIL_SHORT, 10, 4, 2) == 6
	    && dc_plan_batches(DC_TAIL_DROP, 10, 4, 2) == 4, "batches of two epochs of ten by four");
	dc_plan_places(7, 1, 100, 30, place);
	for (int i = 0; i < 100; i++)
		twice += place[i] >= 100 || seen[place[i]]++;
	ok(!twice, "the shuffle gives each place once");
	wrong = 0;
	for (int i = 0; i < 100; i++)
		wrong += place[i] + 30 < (uint64_t)i;
	ok(!wrong, "and no sample early by more than the buffer");
	dc_plan_places(7, 1, 100, 0, place);
	wrong = 0;
	for (int i = 0; i < 100; i++)
		wrong += place[i] != (uint64_t)i;
	ok(!wrong, "without a buffer the order stays");
	ok(dc_plan_start(DC_TAIL_DROP, 3, 4, 0, &e, &b) < 0 && dc_plan_start(DC_TAIL_CARRY, 0, 4, 0, &e, &b) < 0,
	    "an epoch without a batch has no start");
}

int
main(void)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	shards();
	groups();
	damage();
	huge();
	plan();
	return done_testing();
}
