/* SPDX-License-Identifier: MIT */
#include "store/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char prefix[] = "dc-ring-";   /* of the tmpfs directories: nothing else is ever removed there */

static const char *
shm_dir(void)
{
	const char *d = getenv("DC_SHM_DIR");

	return d && *d ? d : "/dev/shm";
}

static int
has_room(const char *dir, size_t bytes)
{
	struct statvfs v;

	if (access(dir, W_OK | X_OK) < 0 || statvfs(dir, &v) < 0)
		return 0;
	return (double)v.f_bavail * (double)v.f_frsize >= (double)bytes;
}

/* Only our files and then the directory, so that a wrong link cannot cost anyone data. */
static int
remove_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : dc_err_errno("%s", path);
	unlinkat(fd, DC_SHM_PARAMETERS, 0);
	unlinkat(fd, DC_SHM_GRADIENTS, 0);
	close(fd);
	return rmdir(path) < 0 && errno != ENOENT ? dc_err_errno("%s: cannot remove", path) : 0;
}

int
dc_shm_clean(const char *run)
{
	char *link = dc_xasprintf("%s/shm", run), to[PATH_MAX];
	ssize_t n = readlink(link, to, sizeof(to) - 1);
	const char *base;
	int r = 0;

	if (n < 0) {   /* no link: nothing, or a directory of ours */
		r = remove_dir(link);
	} else {
		to[n] = '\0';
		base = strrchr(to, '/');
		if (!strncmp(base ? base + 1 : to, prefix, sizeof(prefix) - 1))
			r = remove_dir(to);
		if (r == 0 && unlink(link) < 0 && errno != ENOENT)
			r = dc_err_errno("%s: cannot remove", link);
	}
	free(link);
	return r;
}

static int
make_in_tmpfs(struct dc_shm *s, const char *run)
{
	char *dir = realpath(shm_dir(), NULL);   /* the link must hold from anywhere */

	if (!dir)
		return dc_err_errno("%s", shm_dir());
	s->path = dc_xasprintf("%s/%sXXXXXX", dir, prefix);
	s->link = dc_xasprintf("%s/shm", run);
	free(dir);
	if (!mkdtemp(s->path))
		return dc_err_errno("%s", s->path);
	if (symlink(s->path, s->link) < 0) {
		dc_err_errno("%s", s->link);
		rmdir(s->path);
		return -1;
	}
	return 0;
}

static int
make_in_run(struct dc_shm *s, const char *run)
{
	s->path = dc_xasprintf("%s/shm", run);
	s->on_disk = 1;
	return mkdir(s->path, 0700) < 0 ? dc_err_errno("%s", s->path) : 0;
}

int
dc_shm_make(struct dc_shm *s, const char *run, size_t bytes)
{
	int r;

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	DC_TRY(dc_shm_clean(run));
	r = has_room(shm_dir(), bytes) ? make_in_tmpfs(s, run) : make_in_run(s, run);
	if (r == 0) {
		s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (s->fd >= 0)
			return 0;
		dc_err_errno("%s", s->path);
		rmdir(s->path);
		if (s->link)
			unlink(s->link);
	}
	free(s->path);
	free(s->link);
	s->path = s->link = NULL;
	return -1;
}

void
dc_shm_remove(struct dc_shm *s)
{
	if (s->fd < 0)
		return;
	unlinkat(s->fd, DC_SHM_PARAMETERS, 0);
	unlinkat(s->fd, DC_SHM_GRADIENTS, 0);
	close(s->fd);
	s->fd = -1;
	rmdir(s->path);
	if (s->link)
		unlink(s->link);
	free(s->path);
	free(s->link);
	s->path = s->link = NULL;
}

int
dc_shm_open(const char *fifo)
{
	const char *slash = strrchr(fifo, '/');
	char *path = slash ? dc_xasprintf("%.*s/shm", (int)(slash - fifo), fifo) : dc_xstrdup("shm");
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		dc_err_errno("%s", path);
	free(path);
	return fd;
}

const struct dc_st_tensor *
dc_shm_find(const struct dc_st *st, const char *file, const struct dc_tensor *ref)
{
	const struct dc_st_tensor *t;

	if (!ref->file || !ref->name || strcmp(ref->file, file)) {
		dc_err_set("a reference to %s, wanted one to %s", ref->file ? ref->file : "nothing", file);
		return NULL;
	}
	if (!(t = dc_st_find(st, ref->name))) {
		dc_err_set("%s has no tensor %s", file, ref->name);
		return NULL;
	}
	if (t->type != ref->type || t->ndim != ref->ndim ||
	    memcmp(t->shape, ref->shape, (size_t)t->ndim * sizeof(*t->shape))) {
		dc_err_set("%s: tensor %s has another type or shape than the reference", file, ref->name);
		return NULL;
	}
	return t;
}
