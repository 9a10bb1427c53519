/* SPDX-License-Identifier: MIT */
#include "ring/step_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "store/sums.h"

/* --- the lock --- */

/* The lock is the kernel's and goes with its process; RUN/.pid only tells whose it is. */
static int
locked(const struct dc_step *r)
{
	char *path = dc_xasprintf("%s/.pid", dc_step_home(r)), *text = NULL;
	size_t n;

	if (dc_slurp(path, 4096, &text, &n) == 0 && strchr(text, '\n'))
		dc_err_set("%s: another ring is running there: dc-step is %.*s (kill -TERM stops it with a checkpoint)",
		    dc_step_home(r), (int)strcspn(text, "\n"), text);
	else
		dc_err_set("%s: another ring is running there", dc_step_home(r));
	free(text);
	free(path);
	return -1;
}

static void
write_pid(const struct dc_step *r)
{
	char text[128], host[64] = "";
	int fd = openat(r->run_fd, ".pid", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	gethostname(host, sizeof(host) - 1);
	snprintf(text, sizeof(text), "process %ld on %s\n", (long)getpid(), host);
	if (fd >= 0 && write(fd, text, strlen(text)) < 0) {   /* it only helps to say who */
	}
	if (fd >= 0)
		close(fd);
}

void
dc_step_unlock(struct dc_step *r)
{
	if (r->run_fd >= 0)
		unlinkat(r->run_fd, ".pid", 0);
}

int
dc_step_lock(struct dc_step *r)
{
	const int fd = open(dc_step_home(r), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return dc_err_errno("%s", dc_step_home(r));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		const int e = errno == EWOULDBLOCK ? locked(r) : dc_err_errno("%s: lock", dc_step_home(r));

		close(fd);
		return e;
	}
	r->run_fd = fd;
	write_pid(r);
	return 0;
}

/* --- the newest checkpoint --- */

/* The checkpoint `dir` is damaged (dc_err()): say so, and which one before it is whole. */
static int
damaged(const struct dc_step *r, const char *dir)
{
	char *whole;

	dc_warn("%s", dc_err());
	if ((whole = dc_run_whole(r->o.run, dc_step_base_name(dir))))
		dc_err_set("%s is whole: to go on from it, ln -sfn %s %s/latest", whole, whole, r->o.run);
	else
		dc_err_set("%s has no other checkpoint that is whole", r->o.run);
	free(whole);
	return -1;
}

/* The newest checkpoint; whatever its files say, with `whole` they are as they were written. */
int
dc_step_open(struct dc_step *r, int whole)
{
	char *dir = dc_run_latest(r->o.run);
	int e = 0;

	if (!dir)
		return -1;
	if ((whole && dc_sums_check(dir, NULL) < 0) || dc_state_open(&r->s, dir) < 0)
		e = damaged(r, dir);
	free(dir);
	return e;
}

static int
load_state(struct dc_step *r)
{
	char *dir = dc_xstrdup(r->s.dir);
	int e = 0;

	if (dc_state_load(&r->s) < 0) {
		e = damaged(r, dir);
	} else if (dc_state_finite(&r->s) < 0) {
		dc_err_prefix("%s", dir);
		e = damaged(r, dir);
	}
	free(dir);
	return e;
}

static int
check_numerics(struct dc_step *r)
{
	struct dc_numerics here = { 0 };

	dc_numerics_here(&here);
	if (dc_numerics_check(&r->s.numerics, &here) < 0) {
		if (!r->o.accept_numerics)
			return dc_err_set("%s: %s; the last bits would differ from here on; with --threads as before "
			    "they do not, --accept-numerics goes on all the same", r->s.dir, dc_err());
		dc_warn("%s: %s; going on", r->s.dir, dc_err());
	}
	r->s.numerics = here;
	return 0;
}

void
dc_step_init(struct dc_step *r, const struct dc_step_opts *o, int row_fd, int lifeline)
{
	*r = (struct dc_step){ .o = *o, .shm.fd = -1, .loop.fd = -1, .run_fd = -1, .log_fd = -1, .row_fd = row_fd, .wake = -1,
		.lifeline = lifeline };
}

int
dc_step_load(struct dc_step *r)
{
	DC_TRY(dc_step_open(r, 1));
	DC_TRY(check_numerics(r));
	r->g = dc_xcalloc((size_t)r->s.n, sizeof(*r->g));
	r->cell = dc_xcalloc((size_t)r->s.n, sizeof(*r->cell));
	r->came = dc_xcalloc((size_t)r->s.n, 1);
	r->x = dc_xcalloc((size_t)r->s.n, sizeof(*r->x));
	r->of = dc_xcalloc((size_t)r->s.n, sizeof(*r->of));
	r->sum = dc_xcalloc((size_t)r->s.n, sizeof(*r->sum));
	if (!r->o.replica)
		dc_run_clean(r->o.run);
	DC_TRY(dc_shm_clean(dc_step_home(r)));
	if (r->o.by_value)
		dc_step_own_memory(r);
	else
		DC_TRY(dc_step_share_memory(r));
	dc_step_list_running(r);
	DC_TRY(load_state(r));
	dc_step_list_cells(r);
	dc_step_clamp_scale(r);
	if (r->o.ema > 0)
		dc_state_start_average(&r->s);
	r->saved_step = r->s.step;
	r->saved_position = r->s.position;
	return 0;
}
