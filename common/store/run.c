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
#include "store/sums.h"
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
	    strlen(e->d_name) >= 13;
}

static uint64_t
step_of(const char *name)
{
	return strtoull(name + 5, NULL, 10);
}

static int
newest_first(const struct dirent **a, const struct dirent **b)
{
	uint64_t x = step_of((*a)->d_name), y = step_of((*b)->d_name);

	return x < y ? 1 : x > y ? -1 : 0;
}

int
dc_run_list(const char *run, char ***names)
{
	struct dirent **list = NULL;
	int n = scandir(run, &list, is_checkpoint, newest_first);

	if (n < 0)
		return dc_err_errno("%s", run);
	*names = dc_xcalloc((size_t)n + 1, sizeof(**names));
	for (int i = 0; i < n; i++) {
		(*names)[i] = dc_xstrdup(list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return n;
}

int
dc_run_prune(const char *run, int64_t keep, int64_t every)
{
	char latest[PATH_MAX] = "", *link = dc_xasprintf("%s/latest", run), **name = NULL;
	ssize_t k = readlink(link, latest, sizeof(latest) - 1);
	int fd = open_run(run), removed = 0, n = fd < 0 || k < 0 ? 0 : dc_run_list(run, &name);

	free(link);
	for (int i = 0; i < n; i++) {
		uint64_t step = step_of(name[i]);

		if (i >= keep && strcmp(name[i], latest) && step && !(every && step % (uint64_t)every == 0)) {
			char *old = dc_xasprintf(".%s.old", name[i]);   /* never half a checkpoint under its name */

			if (renameat(fd, name[i], fd, old) == 0) {
				dc_tree_remove(fd, old);
				removed++;
			}
			free(old);
		}
		free(name[i]);
	}
	free(name);
	if (fd >= 0)
		close(fd);
	return removed;
}

/* --- is it whole? --- */

int
dc_run_verify(const char *dir, struct dc_verified *v)
{
	struct dc_sums sums;
	struct dc_state s;
	int r;

	*v = (struct dc_verified){ 0 };
	DC_TRY(v->with_sums = dc_sums_check(dir, &sums));
	v->files = sums.files;
	v->bytes = sums.bytes;
	DC_TRY(dc_state_open(&s, dir));
	dc_state_own_weights(&s);
	DC_TRY(dc_state_load(&s));
	v->step = s.step;
	v->position = s.position;
	if ((r = dc_state_finite(&s)) < 0)
		dc_err_prefix("%s", dir);
	dc_state_free(&s);
	return r;
}

char *
dc_run_whole(const char *run, const char *but)
{
	char **name = NULL, *found = NULL;
	struct dc_verified v;
	int n = dc_run_list(run, &name);

	for (int i = 0; i < n; i++) {
		char *dir = dc_xasprintf("%s/%s", run, name[i]);

		if (!found && strcmp(name[i], but) && dc_run_verify(dir, &v) == 0) {
			found = name[i];
			name[i] = NULL;
		}
		free(dir);
		free(name[i]);
	}
	free(name);
	return found;
}
