/* SPDX-License-Identifier: MIT */
#include "score/set.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- a frame --- */

static int
take_labels(struct dc_set *s, struct dc_frame *f, int64_t n)
{
	int64_t k = 0;

	if (dc_frame_get(f, "label")) {
		DC_TRY(k = dc_ints_take(&s->label, f, "label"));
		if (k != n)
			return dc_frame_err(f, "%lld labels for %lld rows", (long long)k, (long long)n);
	}
	for (; k < n; k++)
		dc_ints_add(&s->label, -1);
	for (int64_t i = s->label.n - n; i < s->label.n; i++)
		s->labelled += s->label.p[i] >= 0;
	return 0;
}

static int
take_ids(struct dc_set *s, struct dc_frame *f, int64_t n)
{
	int64_t k;

	if (!dc_frame_get(f, "id"))
		return 0;
	DC_TRY(k = dc_ints_take(&s->id, f, "id"));
	return k == n ? 0 : dc_frame_err(f, "%lld ids for %lld rows", (long long)k, (long long)n);
}

static int
take_keys(struct dc_set *s, struct dc_frame *f, int64_t n)
{
	const struct dc_str *str;
	size_t k;

	if (!dc_frame_get(f, "key"))
		return 0;
	DC_TRY(dc_frame_strs(f, "key", &str, &k));
	if (k != (size_t)n)
		return dc_frame_err(f, "%zu keys for %lld rows", k, (long long)n);
	s->key = dc_xrealloc(s->key, s->keys + k + 1, sizeof *s->key);
	for (size_t i = 0; i < k; i++)
		s->key[s->keys++] = dc_xstrndup(str[i].p, str[i].n);
	return 0;
}

static int
take(struct dc_set *s, struct dc_frame *f, const char *features)
{
	int64_t n;

	DC_TRY(n = dc_rows_take(&s->x, f, features));
	DC_TRY(take_labels(s, f, n));
	DC_TRY(take_ids(s, f, n));
	return take_keys(s, f, n);
}

/* --- the stream --- */

static void
forget_keys(struct dc_set *s)
{
	for (size_t i = 0; i < s->keys; i++)
		free(s->key[i]);
	free(s->key);
	s->key = NULL;
	s->keys = 0;
}

static int
read_stream(struct dc_set *s, int fd, const char *features)
{
	struct dc_in *in = dc_xmalloc(sizeof *in);
	struct dc_frame f = { 0 };
	int r, status;

	dc_in_init(in, fd, s->name);
	while ((r = dc_frame_read(in, &f)) == DC_FRAME && !in->ended)
		if (!strcmp(f.kind, "features") && take(s, &f, features) < 0) {
			r = DC_FAIL;
			break;
		}
	status = dc_io_status(in, r);
	dc_frame_free(&f);
	free(in);
	return status;
}

int
dc_set_read(struct dc_set *s, const char *path, const char *features)
{
	const int from_stdin = !strcmp(path, "-");
	int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), status;

	s->name = from_stdin ? "<stdin>" : path;
	if (fd < 0) {
		dc_warn_errno("%s", path);
		return DC_EXIT_FAIL;
	}
	status = read_stream(s, fd, features);
	if (!from_stdin)
		close(fd);
	if (status == DC_EXIT_OK && s->x.n == 0) {
		dc_warn("%s: no %s among the frames", s->name, features);
		status = DC_EXIT_FAIL;
	}
	if (s->id.n != s->x.n) /* some frames had none */
		s->id.n = 0;
	if (s->keys != (size_t)s->x.n)
		forget_keys(s);
	return status;
}

/* --- rows --- */

void
dc_set_keep(struct dc_set *s, const char *keep)
{
	const int D = s->x.D;
	int64_t n = 0;

	s->labelled = 0;
	for (int64_t i = 0; i < s->x.n; i++) {
		if (!keep[i]) {
			if (s->key)
				free(s->key[i]);
			continue;
		}
		memmove(s->x.p + n * D, s->x.p + i * D, D * sizeof *s->x.p);
		s->label.p[n] = s->label.p[i];
		s->labelled += s->label.p[n] >= 0;
		if (s->id.n)
			s->id.p[n] = s->id.p[i];
		if (s->key)
			s->key[n] = s->key[i];
		n++;
	}
	s->x.n = s->label.n = n;
	s->id.n = s->id.n ? n : 0;
	s->keys = s->key ? (size_t)n : 0;
}

int64_t
dc_set_keep_labelled(struct dc_set *s)
{
	char *keep = dc_xcalloc(s->x.n + 1, 1);
	const int64_t n = s->x.n;

	for (int64_t i = 0; i < n; i++)
		keep[i] = s->label.p[i] >= 0;
	dc_set_keep(s, keep);
	free(keep);
	return n - s->x.n;
}

void
dc_set_free(struct dc_set *s)
{
	free(s->x.p);
	free(s->label.p);
	free(s->id.p);
	forget_keys(s);
}
