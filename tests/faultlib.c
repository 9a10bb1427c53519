/* SPDX-License-Identifier: MIT */
/* Loaded before the C library (LD_PRELOAD): one tool's n-th call of some kind meets with a fault. For tests/faults.py.
 *
 *	DC_FAULT_TOOL     the tool; others, and the same at --count, --print, --help or --dry-run, are left alone
 *	DC_FAULT_CALLS    which of its calls count: any, or a list of read write wfile wpipe fsync rename mmap fallocate open poll
 *	                  (write: wfile, to regular files, and wpipe, to all others; mmap: of files)
 *	DC_FAULT_AT       the fault is at the n-th of them, from 1
 *	DC_FAULT_TIMES    and at those after it, so many in all [1]
 *	DC_FAULT_ACTION   kill segv   the signal
 *	                  stop        SIGSTOP, and SIGCONT after 50 ms
 *	                  delay:MS    the call comes so much later
 *	                  errno:NAME  it fails: EIO ENOSPC EMFILE EINTR ENOMEM
 *	                  short       it moves at most one byte (read) or half (write)
 *	                  run         a shell runs $DC_FAULT_RUN before it
 *	DC_FAULT_FIRED    this file is made when the fault happens
 *	DC_FAULT_COUNT    with no DC_FAULT_TOOL: at the exit of each tool a line "tool call n" is appended for each kind
 *	DC_FAULT_TRACE    a line is appended for each call that succeeds and says what reaches the disk, and in which order:
 *	                  create PATH, mkdir PATH, write PATH, sync PATH, rename FROM TO, with tabs between. For tests/checkpoint.t */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum call { READ, WFILE, WPIPE, FSYNC, RENAME, MMAP, FALLOCATE, OPEN, POLL, CALLS };
static const char *const names[CALLS] = { "read", "wfile", "wpipe", "fsync", "rename", "mmap", "fallocate", "open", "poll" };
static const struct { const char *name; int value; } errnos[] = { { "EIO", EIO }, { "ENOSPC", ENOSPC }, { "EMFILE", EMFILE },
	{ "EINTR", EINTR }, { "ENOMEM", ENOMEM } };

static struct {
	int ready, active, wanted[CALLS];
	long at, times;
	const char *action, *trace;
	atomic_long n, of[CALLS];
} s;

/* A run of a tool that only asks something is no part of the ring. */
static int
only_asks(void)
{
	static const char *const words[] = { "--count", "--print", "--help", "--dry-run", "--version" };
	char line[8192];
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY);
	long n = syscall(SYS_read, fd, line, sizeof line - 1), at;

	syscall(SYS_close, fd);
	line[n > 0 ? n : 0] = 0;
	for (at = 0; at < n; at += (long)strlen(line + at) + 1)
		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (!strcmp(line + at, words[i]))
				return 1;
	return 0;
}

static int
in_list(const char *list, const char *word)
{
	const size_t n = strlen(word);
	const char *p = strstr(list, word);

	return p && (!p[n] || p[n] == ',');
}

static void
count_calls(void)
{
	char text[1024];
	int n = 0, fd = (int)syscall(SYS_openat, AT_FDCWD, getenv("DC_FAULT_COUNT"), O_WRONLY | O_APPEND | O_CREAT, 0644);

	n += snprintf(text, sizeof text, "%s any %ld\n", program_invocation_short_name, s.n);
	for (int c = 0; c < CALLS; c++)
		n += snprintf(text + n, sizeof text - (size_t)n, "%s %s %ld\n", program_invocation_short_name, names[c], s.of[c]);
	syscall(SYS_write, fd, text, n);
	syscall(SYS_close, fd);
}

__attribute__((constructor)) static void
begin(void)
{
	const char *tool = getenv("DC_FAULT_TOOL"), *calls = getenv("DC_FAULT_CALLS"), *at = getenv("DC_FAULT_AT");
	const char *times = getenv("DC_FAULT_TIMES");

	s.ready = 1;
	if (strncmp(program_invocation_short_name, "dc-", 3) || only_asks())
		return;
	s.trace = getenv("DC_FAULT_TRACE");
	if (!tool && getenv("DC_FAULT_COUNT")) {
		s.active = 1;
		atexit(count_calls);
	} else if (tool && !strcmp(tool, program_invocation_short_name) && calls) {
		s.active = 1;
		s.action = getenv("DC_FAULT_ACTION");
		s.at = at ? atol(at) : 1;
		s.times = times ? atol(times) : 1;
		for (int c = 0; c < CALLS; c++)
			s.wanted[c] = in_list(calls, "any") || in_list(calls, names[c])
			    || ((c == WFILE || c == WPIPE) && in_list(calls, "write"));
	}
}

static void
sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* Stopped, until a child of ours has slept and says go on. */
static void
stop(void)
{
	const pid_t me = getpid(), child = fork();

	if (child == 0) {
		sleep_ms(50);
		kill(me, SIGCONT);
		_exit(0);
	}
	raise(SIGSTOP);
	waitpid(child, NULL, 0);
}

static void
run(void)
{
	char *argv[] = { "sh", "-c", getenv("DC_FAULT_RUN"), NULL }, *path = getenv("PATH"), env[4096], *envp[] = { env, NULL };
	const pid_t child = fork();

	if (child == 0) {
		snprintf(env, sizeof env, "PATH=%s", path);
		syscall(SYS_execve, "/bin/sh", argv, envp);
		_exit(127);
	}
	waitpid(child, NULL, 0);
}

static void
fired(void)
{
	const char *path = getenv("DC_FAULT_FIRED");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT, 0644) : -1;

	if (fd >= 0)
		syscall(SYS_close, fd);
}

/* One call of this kind. 0: it takes its course; 1: a short one; below 0: it fails, errno is set. */
static int
met(enum call c)
{
	const int e = errno;
	long n;

	if (!s.active)
		return 0;
	atomic_fetch_add(&s.of[c], 1);
	if (s.action && !s.wanted[c])
		return 0;
	n = atomic_fetch_add(&s.n, 1) + 1;
	if (!s.action || n < s.at || n >= s.at + s.times)
		return 0;
	fired();
	if (!strcmp(s.action, "kill"))
		raise(SIGKILL);
	else if (!strcmp(s.action, "segv"))
		raise(SIGSEGV);
	else if (!strcmp(s.action, "stop"))
		stop();
	else if (!strncmp(s.action, "delay:", 6))
		sleep_ms(atol(s.action + 6));
	else if (!strcmp(s.action, "run"))
		run();
	errno = e;
	if (!strcmp(s.action, "short"))
		return 1;
	if (strncmp(s.action, "errno:", 6))
		return 0;
	for (size_t i = 0; i < sizeof errnos / sizeof *errnos; i++)
		if (!strcmp(s.action + 6, errnos[i].name))
			errno = errnos[i].value;
	return -1;
}

/* What NAME below the directory DIR is called, or what is open as DIR if there is no name. */
static void
path_of(char path[4096], int dir, const char *name)
{
	char link[64];
	long n = 0;

	if (!name || name[0] != '/') {
		if (dir == AT_FDCWD)
			snprintf(link, sizeof link, "/proc/self/cwd");
		else
			snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
		n = syscall(SYS_readlinkat, AT_FDCWD, link, path, 4000);
	}
	n = n > 0 ? n : 0;
	snprintf(path + n, 4096 - (size_t)n, "%s%s", name && n ? "/" : "", name ? name : "");
}

/* One line of DC_FAULT_TRACE, of what has a place in a file system. */
static void
trace(const char *what, int dir, const char *name, int to_dir, const char *to)
{
	char path[4096], to_path[4096] = "", line[8400];
	const int e = errno;
	int fd, n;

	if (!s.trace)
		return;
	path_of(path, dir, name);
	if (to)
		path_of(to_path, to_dir, to);
	if (path[0] == '/' && (fd = (int)syscall(SYS_openat, AT_FDCWD, s.trace, O_WRONLY | O_APPEND | O_CREAT, 0644)) >= 0) {
		n = snprintf(line, sizeof line, "%s\t%s%s%s\n", what, path, to ? "\t" : "", to_path);
		syscall(SYS_write, fd, line, n);
		syscall(SYS_close, fd);
	}
	errno = e;
}

static ssize_t
written(int fd, ssize_t n)
{
	if (n >= 0)
		trace("write", fd, NULL, 0, NULL);
	return n;
}

static enum call
kind(int fd)
{
	struct stat st;
	const int e = errno;
	const enum call c = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? WFILE : WPIPE;

	errno = e;
	return c;
}

ssize_t
read(int fd, void *p, size_t n)
{
	const int m = met(READ);

	return m < 0 ? -1 : syscall(SYS_read, fd, p, m && n ? 1 : n);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	const int m = fd == STDERR_FILENO ? 0 : met(kind(fd));

	return m < 0 ? -1 : written(fd, syscall(SYS_write, fd, p, m ? (n + 1) / 2 : n));
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	const int m = met(kind(fd));

	return m < 0 ? -1 : written(fd, syscall(SYS_pwrite64, fd, p, m ? (n + 1) / 2 : n, at));
}

ssize_t
writev(int fd, const struct iovec *v, int n)
{
	const int m = fd == STDERR_FILENO ? 0 : met(kind(fd));
	struct iovec half;

	if (m < 0)
		return -1;
	for (; m && n > 1 && !v->iov_len; n--)
		v++;
	if (!m || !n)
		return written(fd, syscall(SYS_writev, fd, v, n));
	half = (struct iovec){ v->iov_base, (v->iov_len + 1) / 2 };
	return written(fd, syscall(SYS_writev, fd, &half, 1));
}

static int
sync_by(int fd, long number)
{
	const int r = met(FSYNC) < 0 ? -1 : (int)syscall(number, fd);

	if (r == 0)
		trace("sync", fd, NULL, 0, NULL);
	return r;
}

int fsync(int fd) { return sync_by(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_by(fd, SYS_fdatasync); }

int
renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
	const int r = met(RENAME) < 0 ? -1 : (int)syscall(SYS_renameat2, a, from, b, to, flags);

	if (r == 0)
		trace("rename", a, from, b, to);
	return r;
}

int renameat(int a, const char *from, int b, const char *to) { return renameat2(a, from, b, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int
mkdirat(int dir, const char *path, mode_t mode)
{
	const int r = (int)syscall(SYS_mkdirat, dir, path, mode);

	if (r == 0)
		trace("mkdir", dir, path, 0, NULL);
	return r;
}

void *
mmap(void *p, size_t n, int prot, int flags, int fd, off_t at)
{
	return s.ready && fd >= 0 && met(MMAP) < 0 ? MAP_FAILED : (void *)syscall(SYS_mmap, p, n, prot, flags, fd, at);
}

int
posix_fallocate(int fd, off_t at, off_t n)
{
	int (*real)(int, off_t, off_t);
	const int e = errno;
	int r;

	if (met(FALLOCATE) < 0) {
		r = errno;
		errno = e;
		return r;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "posix_fallocate");
	r = real(fd, at, n);
	written(fd, -r);
	return r;
}

static mode_t
mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

static int
open_by(int dir, const char *path, int flags, mode_t mode)
{
	const int fd = s.ready && met(OPEN) < 0 ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);

	if (fd >= 0 && flags & O_CREAT)
		trace("create", fd, NULL, 0, NULL);
	return fd;
}

int
open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return open_by(AT_FDCWD, path, flags, mode);
}

int
openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return open_by(dir, path, flags, mode);
}

int
poll(struct pollfd *p, nfds_t n, int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	return met(POLL) < 0 ? -1 : (int)syscall(SYS_ppoll, p, n, ms < 0 ? NULL : &t, NULL, 0);
}
