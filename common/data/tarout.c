/* SPDX-License-Identifier: MIT */
#include "data/tarout.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_BYTES = 1 << 20, RECORD = 10240 /* a tar's size is a multiple of it, by custom */ };

static const time_t entry_time = 946684800; /* 2000-01-01: fixed, and not so old that tar complains */

struct dc_tarout { struct archive *a; char *path, *part; int fd, failed, ended; };

static int
complain(struct dc_tarout *t, const char *name)
{
	const char *why = archive_error_string(t->a);
	const int e = archive_errno(t->a);      /* libarchive says "Write error", not that the disk is full */

	t->failed = 1;
	return dc_err_set("%s: %s%s%s%s%s", t->path, name ? name : "", name ? ": " : "", why ? why : "cannot write", e > 0 ? ": " : "",
	    e > 0 ? strerror(e) : "");
}

static void
destroy(struct dc_tarout *t)
{
	archive_write_free(t->a);
	if (t->fd >= 0)
		close(t->fd);
	free(t->path);
	free(t->part);
	free(t);
}

struct dc_tarout *
dc_tarout_open(const char *path)
{
	struct dc_tarout *t = dc_xcalloc(1, sizeof *t);

	t->path = dc_xstrdup(path);
	t->part = dc_xasprintf("%s.part", path);
	if ((t->fd = open(t->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) < 0) {
		dc_err_errno("%s", path);
		destroy(t);
		return NULL;
	}
	if (!(t->a = archive_write_new())) {
		dc_err_set("%s: out of memory", path);
		destroy(t);
		return NULL;
	}
	archive_write_set_format_pax_restricted(t->a);
	archive_write_set_bytes_per_block(t->a, WRITE_BYTES);
	archive_write_set_bytes_in_last_block(t->a, RECORD);
	if (archive_write_open_fd(t->a, t->fd) != ARCHIVE_OK) {
		complain(t, NULL);
		destroy(t);
		return NULL;
	}
	return t;
}

static int
write_entry(struct dc_tarout *t, struct archive_entry *e, const char *name, const void *data, size_t bytes)
{
	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (la_int64_t)bytes);
	archive_entry_set_mtime(e, entry_time, 0);
	if (archive_write_header(t->a, e) != ARCHIVE_OK)
		return complain(t, name);
	if (archive_write_data(t->a, data, bytes) != (la_ssize_t)bytes)
		return complain(t, name);
	return 0;
}

int
dc_tarout_add(struct dc_tarout *t, const char *name, const void *data, size_t bytes)
{
	struct archive_entry *e = archive_entry_new();
	int r;

	if (!e)
		return dc_err_set("%s: out of memory", t->path);
	r = write_entry(t, e, name, data, bytes);
	archive_entry_free(e);
	return r;
}

void
dc_tarout_drop(struct dc_tarout *t)
{
	if (!t)
		return;
	archive_write_fail(t->a);
	unlink(t->part);
	destroy(t);
}

/* Write what is left. 0, or -1 with a message. */
static int
end(struct dc_tarout *t)
{
	if (t->ended)
		return 0;
	t->ended = 1;
	if (archive_write_close(t->a) != ARCHIVE_OK)
		return t->failed ? -1 : complain(t, NULL);
	return t->failed ? dc_err_set("%s: an entry could not be written", t->path) : 0;
}

int
dc_tarout_sync(struct dc_tarout *t, uint64_t *bytes)
{
	struct stat st;

	DC_TRY(end(t));
	if (fsync(t->fd) < 0 || fstat(t->fd, &st) < 0) {
		t->failed = 1;
		return dc_err_errno("%s", t->part);
	}
	*bytes = (uint64_t)st.st_size;
	return 0;
}

int
dc_tarout_close(struct dc_tarout *t)
{
	int r, fd;

	if (!t)
		return 0;
	r = end(t);
	fd = t->fd;
	t->fd = -1;
	if (close(fd) < 0 && !r)
		r = dc_err_errno("%s", t->part);
	if (!r && t->failed)
		r = -1;
	if (!r && rename(t->part, t->path) < 0)
		r = dc_err_errno("%s", t->path);
	if (r)
		unlink(t->part);
	destroy(t);
	return r;
}
