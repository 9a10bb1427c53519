/* SPDX-License-Identifier: MIT */
#include "store/runlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes of the log that are whole rows of steps up to `step`; at least the header's. */
static size_t
keep_bytes(const char *text, size_t header, uint64_t step)
{
	const char *row = text + header, *end;
	char *after;

	for (; (end = strchr(row, '\n')); row = end + 1)
		if (strtoull(row, &after, 10) > step || after == row)
			break;
	return (size_t)(row - text);
}

static int
cut(int fd, const char *path, const char *header, uint64_t step)
{
	char *text;
	size_t n, h = strlen(header);
	int r = 0;

	DC_TRY(dc_slurp(path, (size_t)1 << 30, &text, &n));
	if (n < h && !strncmp(text, header, n)) {   /* new, or killed in its first write */
		r = ftruncate(fd, 0) < 0 ? dc_err_errno("%s", path) : dc_runlog_add(fd, header);
	} else if (strncmp(text, header, h)) {
		r = dc_err_set("%s: its columns are not this run's; move it away", path);
	} else {
		size_t keep = keep_bytes(text, h, step);

		if (keep < n && ftruncate(fd, (off_t)keep) < 0)
			r = dc_err_errno("%s", path);
	}
	free(text);
	return r;
}

int
dc_runlog_open_file(const char *path, const char *header, uint64_t step)
{
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

	if (fd < 0) {
		dc_err_errno("%s", path);
	} else if (cut(fd, path, header, step) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int
dc_runlog_open(const char *run, const char *header, uint64_t step)
{
	char *path = dc_xasprintf("%s/log.tsv", run);
	int fd = dc_runlog_open_file(path, header, step);

	free(path);
	return fd;
}

int
dc_runlog_add(int fd, const char *row)
{
	size_t n = strlen(row);

	while (n) {
		ssize_t k = write(fd, row, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return dc_err_errno("log.tsv");
		row += k;
		n -= (size_t)k;
	}
	return 0;
}
