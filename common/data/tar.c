/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <xxhash.h>

#include "data/tar.h"

enum { READ_BYTES = 1 << 18, BLOCK = 512 };

/* How often a key was seen, by its hash: open addressing, a power of two of places, at most half of them used. */
struct seen { uint64_t *hash; uint32_t *times; size_t n, cap; };

struct dc_tar {
	struct dc_tar_opts o;
	struct archive *a;
	int fd, gone, done;
	unsigned char *buf;          /* what libarchive reads from, READ_BYTES */
	unsigned char scratch[1 << 14]; /* data that are dropped */
	char *damage;
	uint64_t bytes;              /* read from fd */
	struct seen seen;
	/* the member whose header was read last */
	struct archive_entry *entry;
	char *key;                   /* NULL: none is waiting */
	char *ext;
	uint64_t offset;             /* of its header */
	int64_t end;                 /* bytes of tar consumed up to the end of the last member's data */
};

/* --- libarchive's view of the file --- */

static ssize_t
tar_read(struct archive *a, void *arg, const void **buf)
{
	struct dc_tar *t = arg;
	struct pollfd p[2] = { { .fd = t->fd, .events = POLLIN }, { .fd = t->o.watch } };
	ssize_t n;

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			break;
	if (p[1].revents & (POLLERR | POLLHUP)) {
		t->gone = 1;
		archive_set_error(a, EPIPE, "the reader is gone");
		return -1;
	}
	while ((n = read(t->fd, t->buf, READ_BYTES)) < 0 && errno == EINTR)
		;
	if (n < 0)
		archive_set_error(a, errno, "%s", strerror(errno));
	*buf = t->buf;
	t->bytes += n > 0 ? n : 0;
	return n;
}

/* Seek, but not beyond the end: a cut must show, whether data are read or passed over. */
static int64_t
tar_skip(struct archive *a, void *arg, int64_t n)
{
	struct dc_tar *t = arg;
	struct stat st;
	off_t at;

	(void)a;
	if (n < READ_BYTES || fstat(t->fd, &st) < 0 || !S_ISREG(st.st_mode) || (at = lseek(t->fd, 0, SEEK_CUR)) < 0)
		return 0;
	if (n > st.st_size - at)
		n = st.st_size - at;
	return n > 0 && lseek(t->fd, n, SEEK_CUR) >= 0 ? n : 0;
}

static struct archive *
new_archive(void)
{
	struct archive *a = archive_read_new();

	if (!a)
		return NULL;
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_lzma(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_filter_compress(a);
	archive_read_support_format_tar(a);
	archive_read_set_format_option(a, "tar", "read_concatenated_archives", "1");
	return a;
}

static void
damaged(struct dc_tar *t, uint64_t at, const char *what)
{
	if (!t->damage && !t->gone)
		t->damage = dc_xasprintf("at byte %llu: %s", (unsigned long long)at,
		    !t->bytes ? "the file is empty" : what ? what : "damaged");
}

int
dc_tar_open(struct dc_tar **out, const char *path, const struct dc_tar_opts *opts)
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	struct dc_tar *t;

	if (fd < 0)
		return dc_err_errno("%s", path);
	t = dc_xcalloc(1, sizeof *t);
	t->o = *opts;
	t->fd = fd;
	t->buf = dc_xmalloc(READ_BYTES);
	if (!(t->a = new_archive())) {
		dc_tar_close(t);
		return dc_err_set("%s: libarchive cannot be used", path);
	}
	archive_read_set_callback_data(t->a, t);
	archive_read_set_read_callback(t->a, tar_read);
	archive_read_set_skip_callback(t->a, tar_skip);
	if (archive_read_open1(t->a) != ARCHIVE_OK) {
		damaged(t, 0, archive_error_string(t->a));
		t->done = 1;
	}
	*out = t;
	return 0;
}

const char *
dc_tar_damage(const struct dc_tar *t)
{
	return t->damage;
}

void
dc_tar_close(struct dc_tar *t)
{
	if (!t)
		return;
	if (t->a)
		archive_read_free(t->a);
	if (t->fd != STDIN_FILENO)
		close(t->fd);
	free(t->buf);
	free(t->damage);
	free(t->seen.hash);
	free(t->seen.times);
	free(t->key);
	free(t->ext);
	free(t);
}

/* --- members --- */

/* Cut a path into key and extension. 0 if it is none of a sample's. */
static int
split(const char *path, char **key, char **ext)
{
	const char *slash = path ? strrchr(path, '/') : NULL, *base = slash ? slash + 1 : path, *dot;

	if (!path || !(dot = strchr(base, '.')) || dot == base || !dot[1])
		return 0;
	*key = dc_xstrndup(path, dot - path);
	*ext = dc_xstrdup(dot + 1);
	for (char *p = *ext; *p; p++)
		*p = tolower((unsigned char)*p);
	return 1;
}

/* The archive ended. Without a block of zeros after the last member it was cut there, or badly written. */
static int
at_end(struct dc_tar *t)
{
	int64_t at = archive_filter_bytes(t->a, 0);

	t->done = 1;
	if (at < t->end + BLOCK)
		damaged(t, at, "truncated: no end-of-archive block");
	return DC_TAR_END;
}

/* A member's bytes in the tar. A header may announce any size: one that no file has must not overflow. */
static int64_t
padded(int64_t size)
{
	return size > INT64_MAX / 4 ? INT64_MAX / 4 : (size + BLOCK - 1) / BLOCK * BLOCK;
}

/* Go to the next header that may belong to a sample. DC_TAR_GROUP when t->key, ext, offset and entry are set. */
static int
next_header(struct dc_tar *t)
{
	while (!t->done) {
		int64_t at = archive_filter_bytes(t->a, 0);
		int r = archive_read_next_header(t->a, &t->entry);
		const char *path;
		if (t->gone)
			return DC_TAR_GONE;
		if (r == ARCHIVE_EOF)
			return at_end(t);
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN) { /* RETRY: a bad header was passed over; else nothing more comes */
			damaged(t, at, r == ARCHIVE_RETRY ? "a bad header" : archive_error_string(t->a));
			t->done = r != ARCHIVE_RETRY;
			t->end = archive_filter_bytes(t->a, 0);
			continue;
		}
		t->offset = archive_read_header_position(t->a);
		t->end = archive_filter_bytes(t->a, 0) + padded(archive_entry_size(t->entry));
		path = archive_entry_pathname_utf8(t->entry);
		if (!path)
			path = archive_entry_pathname(t->entry);
		if (archive_entry_filetype(t->entry) == AE_IFREG && !archive_entry_hardlink(t->entry)
		    && split(path, &t->key, &t->ext))
			return DC_TAR_GROUP;
	}
	return t->gone ? DC_TAR_GONE : DC_TAR_END; /* gone while the shard was being opened, too */
}

/* Pass over what is left of the member at hand, with the padding behind it. -1 if that is not all there, or if it was less
 * than its size: a sparse member, whose holes a reader would have to fill in and a pass that only counts does not see. */
static int
pass_data(struct dc_tar *t)
{
	return archive_read_data_skip(t->a) == ARCHIVE_OK && archive_filter_bytes(t->a, 0) == t->end ? 0 : -1;
}

/* Room for what is read next: it grows with what comes, not with what the header says. */
static void
more_room(struct dc_member *m, size_t got, size_t *cap)
{
	if (got + 1 < *cap)
		return;
	*cap = *cap ? *cap * 2 : 1 << 16;
	if (*cap > m->size + 1)
		*cap = m->size + 1;
	m->bytes = dc_xrealloc(m->bytes, *cap, 1);
}

/* As many bytes as come, up to its size, kept or dropped. -1 if the archive ends before. */
static int
read_data(struct dc_tar *t, struct dc_member *m, int drop, size_t *bytes)
{
	size_t got = 0, cap = 0;
	la_ssize_t n = 0;

	for (; got < m->size; got += n) {
		size_t most = m->size - got;
		if (!drop) {
			more_room(m, got, &cap);
			most = cap - 1 - got;
		} else if (most > sizeof t->scratch) {
			most = sizeof t->scratch;
		}
		if ((n = archive_read_data(t->a, drop ? t->scratch : m->bytes + got, most)) <= 0)
			break;
	}
	*bytes = got;
	return n == ARCHIVE_FATAL ? -1 : 0;
}

/* Take its data or pass over them. -1 if they are not all there, which must not depend on which it is. A header may give
 * one size for the member and another for its data (GNU tar's, of sparse files): what is beyond the first is passed over, and
 * what no data are for is zeros, also where libarchive finds the places of the data to be nonsense. */
static int
take_data(struct dc_tar *t, struct dc_member *m)
{
	const uint64_t limit = t->o.keep(t->o.arg, m->ext);
	const int drop = t->o.drop && t->o.drop(t->o.arg, m->ext);
	size_t got;

	if (!limit || m->size > limit)
		return pass_data(t);
	if (read_data(t, m, drop, &got) < 0 || pass_data(t) < 0) {
		if (m->bytes)
			m->bytes[got] = 0;
		return -1;
	}
	if (!drop) {
		m->bytes = dc_xrealloc(m->bytes, m->size + 1, 1);
		memset(m->bytes + got, 0, m->size + 1 - got);
	}
	return 0;
}

static void
take(struct dc_tar *t, struct dc_group *g)
{
	struct dc_member *m = &g->member[g->n++];

	if (!g->key) {
		g->key = t->key;
		g->offset = t->offset;
	} else {
		free(t->key);
	}
	*m = (struct dc_member){ .ext = t->ext, .size = archive_entry_size(t->entry) };
	t->key = t->ext = NULL;
	if (take_data(t, m) < 0) {
		char *what = dc_xasprintf("truncated: the data of %s.%s are not all there", g->key, m->ext);
		g->broken = 1;
		damaged(t, t->offset, what);
		free(what);
	}
}

/* --- groups --- */

static void
seen_grow(struct seen *s)
{
	struct seen old = *s;

	s->cap = old.cap ? old.cap * 2 : 1024;
	s->hash = dc_xcalloc(s->cap, sizeof *s->hash);
	s->times = dc_xcalloc(s->cap, sizeof *s->times);
	for (size_t i = 0; i < old.cap; i++) {
		size_t k = old.hash[i] & (s->cap - 1);
		if (!old.times[i])
			continue;
		while (s->times[k])
			k = (k + 1) & (s->cap - 1);
		s->hash[k] = old.hash[i];
		s->times[k] = old.times[i];
	}
	free(old.hash);
	free(old.times);
}

/* How often this key came before; counts it. */
static uint32_t
seen_count(struct seen *s, const char *key)
{
	uint64_t h = XXH3_64bits(key, strlen(key));
	size_t k;

	if (s->n * 2 >= s->cap)
		seen_grow(s);
	for (k = h & (s->cap - 1); s->times[k] && s->hash[k] != h; )
		k = (k + 1) & (s->cap - 1);
	s->n += !s->times[k];
	s->hash[k] = h;
	return s->times[k]++;
}

static void
group_clear(struct dc_group *g)
{
	for (size_t i = 0; i < g->n; i++) {
		free(g->member[i].ext);
		free(g->member[i].bytes);
	}
	free(g->key);
	g->key = NULL;
	g->n = 0;
	g->broken = 0;
}

void
dc_group_free(struct dc_group *g)
{
	group_clear(g);
}

/* Whether the member at hand goes on with this group. */
static int
belongs(const struct dc_tar *t, const struct dc_group *g)
{
	if (!g->key)
		return 1;
	if (strcmp(g->key, t->key))
		return 0;
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->member[i].ext, t->ext))
			return 0;
	return 1;
}

int
dc_tar_next(struct dc_tar *t, struct dc_group *g)
{
	int r = DC_TAR_GROUP;

	group_clear(g);
	while ((t->key || (r = next_header(t)) == DC_TAR_GROUP) && belongs(t, g)) {
		if (g->n < DC_GROUP_MEMBERS_MAX) {
			take(t, g);
		} else {
			free(t->key);
			free(t->ext);
			t->key = t->ext = NULL;
		}
		if (t->gone)
			return DC_TAR_GONE;
	}
	if (r == DC_TAR_GONE)
		return r;
	if (!g->key)
		return DC_TAR_END;
	g->occurrence = seen_count(&t->seen, g->key);
	return DC_TAR_GROUP;
}
