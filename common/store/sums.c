/* SPDX-License-Identifier: MIT */
#include "store/sums.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "store/safetensors.h"

enum { CHUNK = 1 << 20 /* bytes read at a time */, DEPTH = 4 /* of directories in a checkpoint */, PREFIX = 8 };
static const char title[] = "xxh3\tbytes\tfile\tpart\n";
static const size_t sums_max = 64 << 20;   /* bytes of the file of checksums itself */

/* --- reading and adding up --- */

/* The checksum of `bytes` bytes of fd from `at` on; with bytes < 0 to its end, *n then says how many there were. */
static int
sum_range(int fd, const char *file, off_t at, int64_t bytes, uint64_t *sum, uint64_t *n)
{
	XXH3_state_t *s = XXH3_createState();
	unsigned char *buf = dc_xmalloc(CHUNK);
	ssize_t got = 1;
	int r = 0;

	*n = 0;
	XXH3_64bits_reset(s);
	while (bytes < 0 || *n < (uint64_t)bytes) {
		size_t want = bytes < 0 || (uint64_t)bytes - *n > CHUNK ? CHUNK : (size_t)((uint64_t)bytes - *n);

		if ((got = pread(fd, buf, want, at)) < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		XXH3_64bits_update(s, buf, (size_t)got);
		at += got;
		*n += (uint64_t)got;
	}
	if (got < 0)
		r = dc_err_errno("%s", file);
	*sum = XXH3_64bits_digest(s);
	XXH3_freeState(s);
	free(buf);
	return r;
}

static int
open_file(int dirfd, const char *file)
{
	int fd = openat(dirfd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? dc_err_errno("%s", file) : fd;
}

static int
is_safetensors(const char *file)
{
	const char *dot = strrchr(file, '.');

	return dot && !strcmp(dot, ".safetensors");
}

/* Where a tensor of an open file lies: our own files are aligned, so that none is a copy. */
static off_t
offset_of(const struct dc_st *st, const struct dc_st_tensor *t)
{
	return (off_t)((unsigned char *)t->data - (unsigned char *)st->map);
}

/* --- writing --- */

static void
put_row(FILE *out, uint64_t sum, uint64_t bytes, const char *file, const char *part)
{
	fprintf(out, "%016" PRIx64 "\t%" PRIu64 "\t%s\t%s\n", sum, bytes, file, part);
}

/* The rows of a file's parts: its header, which ends where the first tensor begins, and its tensors. */
static int
put_parts(FILE *out, int dirfd, int fd, const char *file)
{
	uint64_t sum, n, header = 0;
	struct dc_st st;
	int r = 0;

	DC_TRY(dc_st_open(&st, dirfd, file, DC_ST_READ));
	for (int i = 0; i < PREFIX; i++)
		header |= (uint64_t)((unsigned char *)st.map)[i] << 8 * i;
	if ((r = sum_range(fd, file, 0, (int64_t)header + PREFIX, &sum, &n)) == 0)
		put_row(out, sum, n, file, "=header");
	for (int i = 0; r == 0 && i < st.n; i++)
		if ((r = sum_range(fd, file, offset_of(&st, &st.t[i]), (int64_t)st.t[i].bytes, &sum, &n)) == 0)
			put_row(out, sum, n, file, st.t[i].name);
	dc_st_close(&st);
	return r;
}

static int
put_file(FILE *out, int dirfd, const char *file)
{
	uint64_t sum, n;
	int fd, r;

	DC_TRY(fd = open_file(dirfd, file));
	if ((r = sum_range(fd, file, 0, -1, &sum, &n)) == 0) {
		put_row(out, sum, n, file, "-");
		if (is_safetensors(file))
			r = put_parts(out, dirfd, fd, file);
	}
	close(fd);
	return r;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, in an order that does not depend on the file system. Their number, or -1. */
static int
list(int dirfd, const char *dir, char ***names)
{
	int fd = openat(dirfd, *dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), n = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	*names = NULL;
	if (!d)
		return dc_err_errno("%s", *dir ? dir : ".");
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
			*names = dc_xrealloc(*names, (size_t)n + 1, sizeof(**names));
			(*names)[n++] = dc_xasprintf("%s%s%s", dir, *dir ? "/" : "", e->d_name);
		}
	closedir(d);
	if (n)
		qsort(*names, (size_t)n, sizeof(**names), by_name);
	return n;
}

static int
put_tree(FILE *out, int dirfd, const char *dir, int depth)
{
	struct stat sb;
	char **names;
	int r = 0, n;

	DC_CHECK(depth < DEPTH, "%s: directories within directories", dir);
	DC_TRY(n = list(dirfd, dir, &names));
	for (int i = 0; i < n; i++) {
		if (r == 0 && fstatat(dirfd, names[i], &sb, AT_SYMLINK_NOFOLLOW) < 0)
			r = dc_err_errno("%s", names[i]);
		else if (r == 0 && S_ISDIR(sb.st_mode))
			r = put_tree(out, dirfd, names[i], depth + 1);
		else if (r == 0 && S_ISREG(sb.st_mode))
			r = put_file(out, dirfd, names[i]);
		free(names[i]);
	}
	free(names);
	return r;
}

static int
store(int dirfd, const char *text, size_t n)
{
	int fd = openat(dirfd, DC_SUMS_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), r = 0;

	if (fd < 0)
		return dc_err_errno("%s", DC_SUMS_FILE);
	while (r == 0 && n) {
		ssize_t k = write(fd, text, n);

		if (k < 0 && errno != EINTR)
			r = dc_err_errno("%s", DC_SUMS_FILE);
		text += k > 0 ? k : 0;
		n -= k > 0 ? (size_t)k : 0;
	}
	if (r == 0 && fsync(fd) < 0)
		r = dc_err_errno("%s: fsync", DC_SUMS_FILE);
	if (close(fd) < 0 && r == 0)
		r = dc_err_errno("%s", DC_SUMS_FILE);
	return r;
}

int
dc_sums_write(int dirfd)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	int r;

	if (!out)
		return dc_err_set("out of memory");
	fputs(title, out);
	r = put_tree(out, dirfd, "", 0);
	fflush(out);
	if (r == 0)   /* the last row is of the rows before it */
		put_row(out, XXH3_64bits(text, n), n, DC_SUMS_FILE, "-");
	if (fclose(out) == EOF && r == 0)
		r = dc_err_errno("%s", DC_SUMS_FILE);
	if (r == 0)
		r = store(dirfd, text, n);
	free(text);
	return r;
}

/* --- checking --- */

struct row { uint64_t sum, bytes; char *file, *part; };

/* Cut a row's text into its fields. */
static int
parse_row(char *line, struct row *w)
{
	char *bytes = strchr(line, '\t'), *file = bytes ? strchr(bytes + 1, '\t') : NULL, *part = file ? strchr(file + 1, '\t') : NULL;
	char *end, *last;

	if (!part)
		return -1;
	*bytes++ = *file++ = *part++ = '\0';
	w->sum = strtoull(line, &end, 16);
	w->bytes = strtoull(bytes, &last, 10);
	w->file = file;
	w->part = part;
	return *end || *last || end - line != 16 || !*bytes || !*file || *file == '/' || strstr(file, "..") ? -1 : 0;
}

/* The rows are the text as it was written, and their last one says so. Their number, or -1. */
static int
check_rows(const char *path, char *text, size_t n, struct row **rows)
{
	char *last = n > 1 ? memrchr(text, '\n', n - 1) : NULL, *line = text + strlen(title), *next;
	struct row end;
	uint64_t sum;
	int k = 0;

	DC_CHECK(last && text[n - 1] == '\n' && !strncmp(text, title, strlen(title)), "%s: damaged: it is no list of checksums", path);
	text[n - 1] = '\0';
	sum = XXH3_64bits(text, (size_t)(last + 1 - text));
	DC_CHECK(parse_row(last + 1, &end) == 0 && end.bytes == (uint64_t)(last + 1 - text) && end.sum == sum,
	    "%s: damaged: it does not match its own checksum", path);
	*rows = NULL;
	for (; line < last; line = next + 1) {
		next = memchr(line, '\n', (size_t)(last + 1 - line));
		*next = '\0';
		*rows = dc_xrealloc(*rows, (size_t)k + 1, sizeof(**rows));
		if (parse_row(line, &(*rows)[k++]) < 0)
			return dc_err_set("%s: damaged: row %d", path, k);
	}
	return k;
}

/* The first tensor of the rows w .. end that is not as recorded; NULL if all are. */
static const char *
damaged_tensor(int fd, const struct dc_st *st, const struct row *w, const struct row *end, const char *file)
{
	for (; w < end && !strcmp(w->file, file); w++) {
		const struct dc_st_tensor *t = dc_st_find(st, w->part);
		uint64_t sum, n;

		if (!t || sum_range(fd, file, offset_of(st, t), (int64_t)t->bytes, &sum, &n) < 0 || sum != w->sum)
			return w->part;
	}
	return NULL;
}

/* Of a file that is not as it was: which part. Its own row is `w`; its parts follow. Always -1. */
static int
name_part(int dirfd, int fd, const char *path, const struct row *w, const struct row *end)
{
	static const char wrong[] = "its checksum is not the recorded one";
	const char *name;
	uint64_t sum, n;
	struct dc_st st;
	int r;

	if (w + 1 == end || strcmp(w[1].file, w->file) || strcmp(w[1].part, "=header"))
		return dc_err_set("%s: damaged: %s", path, wrong);
	DC_TRY(sum_range(fd, path, 0, (int64_t)w[1].bytes, &sum, &n));
	if (sum != w[1].sum || dc_st_open(&st, dirfd, w->file, DC_ST_READ) < 0)
		return dc_err_set("%s: its header is damaged: %s", path, wrong);
	name = damaged_tensor(fd, &st, w + 2, end, w->file);
	r = name ? dc_err_set("%s: tensor %s is damaged: %s", path, name, wrong) : dc_err_set("%s: damaged: %s", path, wrong);
	dc_st_close(&st);
	return r;
}

/* One file; its rows begin at `w`. */
static int
check_file(int dirfd, const char *dir, const struct row *w, const struct row *end)
{
	char *path = dc_xasprintf("%s/%s", dir, w->file);
	uint64_t sum, n;
	int fd, r;

	if ((fd = openat(dirfd, w->file, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
		r = errno == ENOENT ? dc_err_set("%s: is missing", path) : dc_err_errno("%s", path);
	else if ((r = sum_range(fd, path, 0, -1, &sum, &n)) < 0)
		;
	else if (n != w->bytes)
		r = dc_err_set("%s: has %" PRIu64 " bytes, had %" PRIu64 " when it was written", path, n, w->bytes);
	else if (sum != w->sum)
		r = name_part(dirfd, fd, path, w, end);
	if (fd >= 0)
		close(fd);
	free(path);
	return r;
}

static int
check_files(const char *dir, const struct row *rows, int n, struct dc_sums *count)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return dc_err_errno("%s", dir);
	for (int i = 0; r == 0 && i < n; i++)
		if (!strcmp(rows[i].part, "-")) {
			r = check_file(fd, dir, &rows[i], rows + n);
			count->files++;
			count->bytes += rows[i].bytes;
		}
	close(fd);
	return r;
}

int
dc_sums_check(const char *dir, struct dc_sums *n)
{
	char *path = dc_xasprintf("%s/%s", dir, DC_SUMS_FILE), *text = NULL;
	struct dc_sums own = { 0 };
	struct row *rows = NULL;
	size_t bytes;
	int r, k;

	n = n ? n : &own;
	*n = (struct dc_sums){ 0 };
	if (access(path, F_OK) < 0 && errno == ENOENT)
		r = 0;
	else if ((r = dc_slurp(path, sums_max, &text, &bytes)) == 0 && (r = k = check_rows(path, text, bytes, &rows)) >= 0 &&
	    (r = check_files(dir, rows, k, n)) == 0)
		r = 1;
	free(rows);
	free(text);
	free(path);
	return r;
}
