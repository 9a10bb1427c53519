/* SPDX-License-Identifier: MIT */
#include "stream/stall.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WAITS = 16 /* at a time; more are not watched */, NAMES_MAX = 4, TEXT_MAX = 512 };

/* A process has one watchdog, as it has one table of descriptors: the one state of common/ that no caller owns. */
static struct {
	pthread_mutex_t lock;
	int on;
	struct dc_stall o;
	struct { struct dc_wait w; int used; double waited, next; } wait[WAITS];
} dog = { .lock = PTHREAD_MUTEX_INITIALIZER };

int
dc_wait_begin(const struct dc_wait *w)
{
	int at = -1;

	pthread_mutex_lock(&dog.lock);
	for (int i = 0; dog.on && at < 0 && i < WAITS; i++)
		if (!dog.wait[i].used) {
			at = i;
			dog.wait[i].used = 1;
			dog.wait[i].w = *w;
			dog.wait[i].waited = 0;
			dog.wait[i].next = dog.o.seconds;
		}
	pthread_mutex_unlock(&dog.lock);
	return at;
}

void
dc_wait_end(int at)
{
	if (at < 0)
		return;
	pthread_mutex_lock(&dog.lock);
	dog.wait[at].used = 0;
	pthread_mutex_unlock(&dog.lock);
}

/* --- who has the other end --- */

static int
read_text(int dirfd, const char *file, char *text, size_t n)
{
	int fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC);
	ssize_t k = fd < 0 ? -1 : read(fd, text, n - 1);

	if (fd >= 0)
		close(fd);
	text[k > 0 ? k : 0] = '\0';
	return k > 0 ? 0 : -1;
}

/* "dc-encode (process 1234, stopped)" of the directory of a process. */
static void
name_process(int proc, const char *pid, char *text, size_t n)
{
	char stat[TEXT_MAX], *name, *end;
	const char *state = "gone";

	if (read_text(proc, "stat", stat, sizeof stat) < 0 || !(name = strchr(stat, '(')) || !(end = strrchr(stat, ')')))
		return;
	*end = '\0';
	switch (end[1] ? end[2] : 0) {
	case 'R': state = "running"; break;
	case 'S': state = "waiting"; break;
	case 'D': state = "waiting for a disk"; break;
	case 'T': case 't': state = "stopped"; break;
	}
	snprintf(text, n, "%s (process %s, %s)", name + 1, pid, state);
}

/* Whether that descriptor of a process is the pipe `sb`, open for writing (or for reading). */
static int
has_end(int proc, const char *fd, const struct stat *sb, int writing)
{
	char path[288], info[TEXT_MAX], *flags;
	struct stat other;
	unsigned long mode;

	snprintf(path, sizeof path, "fd/%s", fd);
	if (fstatat(proc, path, &other, 0) < 0 || other.st_ino != sb->st_ino || other.st_dev != sb->st_dev)
		return 0;
	snprintf(path, sizeof path, "fdinfo/%s", fd);
	if (read_text(proc, path, info, sizeof info) < 0 || !(flags = strstr(info, "flags:")))
		return 0;
	mode = strtoul(flags + 6, NULL, 8) & O_ACCMODE;
	return mode == O_RDWR || mode == (writing ? O_WRONLY : O_RDONLY);
}

static int
process_has_end(int proc, const struct stat *sb, int writing)
{
	int fd = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && !found && (e = readdir(d)))
		found = *e->d_name != '.' && has_end(proc, e->d_name, sb, writing);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return found;
}

/* The processes, but ourselves, that have the pipe fd open for writing (or for reading). "" where none can be seen. */
static void
neighbours(int fd, int writing, char *text, size_t n)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	struct stat sb;
	int found = 0;

	*text = '\0';
	while (fd >= 0 && d && fstat(fd, &sb) == 0 && S_ISFIFO(sb.st_mode) && found < NAMES_MAX && (e = readdir(d))) {
		size_t at = strlen(text);
		int proc;

		if (*e->d_name < '1' || *e->d_name > '9' || atol(e->d_name) == (long)getpid() ||
		    (proc = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
			continue;
		if (process_has_end(proc, &sb, writing)) {
			snprintf(text + at, n - at, "%s", found++ ? ", " : "");
			at = strlen(text);
			name_process(proc, e->d_name, text + at, n - at);
		}
		close(proc);
	}
	if (d)
		closedir(d);
}

/* --- saying it --- */

/* What has come: "nothing since frame 12 (views of step 11)", "5000 of 103680 bytes of the first frame". */
static void
came_text(const struct dc_wait *w, char *text, size_t n)
{
	char bytes[64] = "nothing";

	if (w->all)
		snprintf(bytes, sizeof bytes, "%" PRIu64 " of %" PRIu64 " bytes", w->got, w->all);
	if (*w->kind)
		snprintf(text, n, "%s since frame %" PRIu64 " (%s of step %" PRIu64 ")", bytes, w->number, w->kind, w->step);
	else
		snprintf(text, n, "%s%s", bytes, w->all ? " of the first frame" : " has come yet");
}

static void
say(const struct dc_wait *w, double waited)
{
	char who[TEXT_MAX], came[192];

	neighbours(w->fd, !w->writing, who, sizeof who);
	came_text(w, came, sizeof came);
	if (!*who)
		snprintf(who, sizeof who, "which is not seen here");
	if (w->fd < 0)
		dc_warn("has waited %.4g s %s", waited, w->name);
	else if (w->writing)   /* how far it is, a write that blocks does not tell */
		dc_warn("has waited %.4g s for the reader of %s, %s, to take frame %" PRIu64 " (%s of step %" PRIu64 ")", waited, w->name,
		    who, w->number, w->kind, w->step);
	else
		dc_warn("has waited %.4g s for the writer of %s, %s: %s", waited, w->name, who, came);
}

/* --- the thread --- */

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Add a tick to every wait; one that is due comes to *w. Its number, or -1. */
static int
due(double tick, struct dc_wait *w, double *waited)
{
	int at = -1;

	pthread_mutex_lock(&dog.lock);
	for (int i = 0; i < WAITS; i++) {
		dog.wait[i].waited += tick;
		if (at < 0 && dog.wait[i].used && dog.wait[i].waited >= dog.wait[i].next) {
			at = i;
			*w = dog.wait[i].w;
			*waited = dog.wait[i].waited;
			dog.wait[i].next = 2 * dog.wait[i].waited;
		}
	}
	pthread_mutex_unlock(&dog.lock);
	return at;
}

static void *
watch(void *arg)
{
	double tick = dog.o.seconds / 8 < 5 ? dog.o.seconds / 8 : 5, last = now_s(), now, waited;
	struct timespec t;
	struct dc_wait w;

	tick = tick < 0.02 ? 0.02 : tick;
	t = (struct timespec){ (time_t)tick, (long)(1e9 * (tick - (double)(time_t)tick)) };
	while (1) {
		nanosleep(&t, NULL);
		now = now_s();
		if (due(now - last < 2 * tick ? now - last : 2 * tick, &w, &waited) >= 0) {
			say(&w, waited);
			if (dog.o.end)
				dc_die("gives up (--stall-exit)");
		}
		last = now;
	}
	return arg;
}

void
dc_stall_start(const struct dc_stall *s)
{
	sigset_t all, old;
	pthread_t t;

	if (s->seconds <= 0)
		return;
	dog.o = *s;
	sigfillset(&all);   /* signals are the program's own */
	pthread_sigmask(SIG_BLOCK, &all, &old);
	dog.on = pthread_create(&t, NULL, watch, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (dog.on)
		pthread_detach(t);
}
