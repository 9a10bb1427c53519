/* SPDX-License-Identifier: MIT */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#ifdef DC_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif

#include "nn/blas.h"

const char *
dc_blas_core(void)
{
	return openblas_get_corename();
}

int
dc_blas_avx512(const char *core)
{
	return !strcasecmp(core, "SkylakeX") || !strcasecmp(core, "Cooperlake") || !strcasecmp(core, "SapphireRapids");
}

#if defined(__x86_64__)

static int
without_avx2(const char *core)
{
	static const char *const old[] = { "Prescott", "Core2", "Penryn", "Dunnington", "Nehalem", "Sandybridge", "Atom",
		"Nano", "Athlon", "Opteron", "Opteron_SSE3", "Barcelona", "Bobcat", "Bulldozer", "Piledriver", "Steamroller" };

	for (size_t i = 0; i < sizeof(old) / sizeof(*old); i++)
		if (!strcasecmp(core, old[i]))
			return 1;
	return 0;
}

const char *
dc_blas_better_core(void)
{
	__builtin_cpu_init();
	if (!without_avx2(dc_blas_core()))
		return NULL;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512vl"))
		return "SkylakeX";
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? "Haswell" : NULL;
}

#else

const char *
dc_blas_better_core(void)
{
	return NULL;
}

#endif

#ifdef DC_ONEDNN

int
dc_blas_onednn(void)
{
	const char *core = getenv("OPENBLAS_CORETYPE");

	return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core && (!core || dc_blas_avx512(core));
}

void
dc_blas_onednn_version(char *text, size_t size)
{
	const dnnl_version_t *v = dnnl_version();

	snprintf(text, size, dc_blas_onednn() ? "%d.%d.%d" : "none", v->major, v->minor, v->patch);
}

#else

int
dc_blas_onednn(void)
{
	return 0;
}

void
dc_blas_onednn_version(char *text, size_t size)
{
	snprintf(text, size, "none");
}

#endif

/* Whether the environment was changed: a better core, and threads that soon sleep when they wait: after 3,000 looks, which
 * take about a tenth of a millisecond. A thread of a ring's step waits hundreds of times, mostly for less than that, and to be
 * woken takes as long. */
static int
improve_environment(void)
{
	const char *core = getenv("OPENBLAS_CORETYPE") ? NULL : dc_blas_better_core();
	int changed = 0;

	if (core)
		changed = setenv("OPENBLAS_CORETYPE", core, 1) == 0;
	if (!getenv("OMP_WAIT_POLICY") && !getenv("GOMP_SPINCOUNT"))
		changed |= setenv("OMP_WAIT_POLICY", "passive", 1) == 0 && setenv("GOMP_SPINCOUNT", DC_SPINS, 1) == 0;
	return changed;
}

void
dc_blas_start(char **argv)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0 || !improve_environment())
		return;
	path[n] = '\0';   /* the program's own path, so that it keeps its name in ps */
	execv(path, argv);
}
