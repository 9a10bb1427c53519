/* SPDX-License-Identifier: MIT */
/* A run's directory: which checkpoint is the newest, which ones may go. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/checkpoint.h"
#include "store/tree.h"

void
dc_tree_remove(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *e;
	DIR *d;

	if (fd < 0 || !(d = fdopendir(fd))) {
		if (fd >= 0)
			close(fd);
		unlinkat(dirfd, name, 0);
		return;
	}
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			dc_tree_remove(fd, e->d_name);
	closedir(d);
	unlinkat(dirfd, name, AT_REMOVEDIR);
}

/* Where two names cannot be exchanged, the old one steps aside for a moment. */
static int
move_aside(int dirfd, const char *from, const char *to)
{
	char *old = dc_xasprintf(".%s.old", to);
	int r = 0;

	dc_tree_remove(dirfd, old);
	if (renameat(dirfd, to, dirfd, old) < 0) {
		r = dc_err_errno("rename to %s", old);
	} else if (renameat(dirfd, from, dirfd, to) < 0) {
		r = dc_err_errno("rename to %s", to);
		renameat(dirfd, old, dirfd, to);
	} else {
		dc_tree_remove(dirfd, old);
	}
	free(old);
	return r;
}

int
dc_tree_move(int dirfd, const char *from, const char *to)
{
	if (renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST && errno != ENOTEMPTY) {   /* a file system without that flag, or a real error */
		if (renameat(dirfd, from, dirfd, to) == 0)
			return 0;
		if (errno != EEXIST && errno != ENOTEMPTY)
			return dc_err_errno("rename to %s", to);
	}
	if (renameat2(dirfd, from, dirfd, to, RENAME_EXCHANGE) < 0)
		return move_aside(dirfd, from, to);
	dc_tree_remove(dirfd, from);
	return 0;
}

static int
open_run(const char *run)
{
	int fd = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? dc_err_errno("%s", run) : fd;
}

int
dc_run_point(const char *run, const char *name)
{
	static const char tmp[] = ".latest.tmp";
	int fd = open_run(run), r = 0;

	DC_TRY(fd);
	unlinkat(fd, tmp, 0);
	if (symlinkat(name, fd, tmp) < 0 || renameat(fd, tmp, fd, "latest") < 0 || fsync(fd) < 0)
		r = dc_err_errno("%s/latest", run);
	close(fd);
	return r;
}

/* Only where there is no link at all: one that leads nowhere is damage, and must not begin the run anew. */
static int
has_link(const char *path)
{
	struct stat sb;

	return lstat(path, &sb) == 0;
}

char *
dc_run_latest(const char *run)
{
	char *path = dc_xasprintf("%s/latest", run), *real = realpath(path, NULL);

	if (!real) {
		dc_err_errno("%s", path);
		if (!has_link(path)) {
			free(path);
			path = dc_xasprintf("%s/step-00000000", run);
			real = realpath(path, NULL);
		}
	}
	free(path);
	return real;
}

static int
is_ours(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

void
dc_run_clean(const char *run)
{
	DIR *d = opendir(run);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		const char *end = strrchr(e->d_name, '.');

		if ((is_ours(e->d_name, ".step-") || is_ours(e->d_name, ".bad-") || is_ours(e->d_name, ".latest.")) &&
		    (!strcmp(end, ".tmp") || !strcmp(end, ".old")))
			dc_tree_remove(dirfd(d), e->d_name);
	}
	if (d)
		closedir(d);
}

static int
is_checkpoint(const struct dirent *e)
{
	return is_ours(e->d_name, "step-") && strspn(e->d_name + 5, "0123456789") == strlen(e->d_name + 5) &&
	    strlen(e->d_name) >= 13 && strcmp(e->d_name, "step-00000000");
}

static int
newest_first(const struct dirent **a, const struct dirent **b)
{
	unsigned long long x = strtoull((*a)->d_name + 5, NULL, 10), y = strtoull((*b)->d_name + 5, NULL, 10);

	return x < y ? 1 : x > y ? -1 : 0;
}

int
dc_run_prune(const char *run, int64_t keep)
{
	char latest[PATH_MAX] = "", *link = dc_xasprintf("%s/latest", run);
	ssize_t k = readlink(link, latest, sizeof(latest) - 1);
	int fd = open_run(run), removed = 0, n;
	struct dirent **list = NULL;

	free(link);
	if (fd < 0 || k < 0)
		return fd < 0 ? 0 : (close(fd), 0);
	latest[k] = '\0';
	n = scandir(run, &list, is_checkpoint, newest_first);
	for (int i = 0; i < n; i++) {
		if (i >= keep && strcmp(list[i]->d_name, latest)) {
			char *old = dc_xasprintf(".%s.old", list[i]->d_name);   /* never half a checkpoint under its name */

			if (renameat(fd, list[i]->d_name, fd, old) == 0) {
				dc_tree_remove(fd, old);
				removed++;
			}
			free(old);
		}
		free(list[i]);
	}
	free(list);
	close(fd);
	return removed;
}
