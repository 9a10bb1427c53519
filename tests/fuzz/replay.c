/* SPDX-License-Identifier: MIT */
/* Where there is no libFuzzer: a harness run over files, and over the files of directories, as a TAP test. */
#include <dirent.h>
#include <sys/stat.h>

#include "base/util.h"
#include "tests/fuzz/fuzz.h"

static int n_run;

static void
replay(const char *path)
{
	char *p;
	size_t n;

	if (dc_slurp(path, (size_t)1 << 26, &p, &n) < 0)
		dc_die("%s", dc_err());
	fprintf(stderr, "%s\n", path);     /* the last one named is the one that a crash is of */
	LLVMFuzzerTestOneInput((const uint8_t *)p, n);
	printf("ok %d - %s\n", ++n_run, path);
	fflush(stdout);
	free(p);
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

static void
replay_all(const char *path)
{
	struct dirent **e;
	int n = scandir(path, &e, visible, alphasort);

	if (n < 0) {
		replay(path);
		return;
	}
	for (int i = 0; i < n; i++) {
		char *file = dc_xasprintf("%s/%s", path, e[i]->d_name);
		replay(file);
		free(file);
		free(e[i]);
	}
	free(e);
}

int
main(int argc, char **argv)
{
	dc_main_init("replay");
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		replay_all(argv[i]);
	printf("1..%d\n", n_run);
	return n_run == 0;
}
