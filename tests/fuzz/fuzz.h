/* SPDX-License-Identifier: MIT */
/* What the fuzzing harnesses share. Each is one function over any bytes; libFuzzer calls it (make fuzz), or replay.c with
 * the files of tests/fuzz/corpus (make check). A harness that finds fault with what the library returns calls abort(). */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
#ifdef DC_LIBFUZZER
size_t LLVMFuzzerMutate(uint8_t *p, size_t n, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t n, size_t max, unsigned seed);
#endif

#define FUZZ_CHECK(cond) do { if (!(cond)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); abort(); } } while (0)

/* All bytes are looked at, so that a sanitizer sees one that is not there. */
static inline unsigned
fuzz_touch(const void *p, size_t n)
{
	const volatile unsigned char *c = p;
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += c[i];
	return sum;
}

/* A file in memory with these bytes, to be closed; its path until then. */
struct fuzz_file { int fd; char path[32]; };

static inline struct fuzz_file
fuzz_file(const void *p, size_t n)
{
	struct fuzz_file f = { .fd = memfd_create("fuzz", MFD_CLOEXEC) };

	FUZZ_CHECK(f.fd >= 0 && write(f.fd, p, n) == (ssize_t)n && lseek(f.fd, 0, SEEK_SET) == 0);
	snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
	return f;
}

static char fuzz_dir_path[64];

static inline void
fuzz_dir_remove(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", fuzz_dir_path);
	(void)!system(command);
}

/* A directory of this process, for what is opened by name below one; removed at exit. Its descriptor stays open. */
static inline int
fuzz_dir(void)
{
	static int fd = -1;
	const char *tmp = getenv("TMPDIR");

	if (fd >= 0)
		return fd;
	snprintf(fuzz_dir_path, sizeof fuzz_dir_path, "%.40s/dc-fuzz-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	FUZZ_CHECK(mkdtemp(fuzz_dir_path) && (fd = open(fuzz_dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
	atexit(fuzz_dir_remove);
	return fd;
}

/* Put a file with these bytes there. */
static inline void
fuzz_put(const char *name, const void *p, size_t n)
{
	int fd = openat(fuzz_dir(), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_CHECK(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	close(fd);
}

#endif
