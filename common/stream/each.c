/* SPDX-License-Identifier: MIT */
#include "stream/each.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Streams that were put one after the other with cat(1) are no stream: what comes after the first would be lost. */
static int
nothing_follows(struct dc_in *in, struct dc_frame *f)
{
	const int r = dc_frame_read(in, f);

	if (r != DC_FRAME && r != DC_FAIL)
		return DC_FRAME;
	dc_err_put("%s: something follows the end frame; two streams? (dc-pick joins those of features)", in->name);
	return DC_FAIL;
}

static int
each(struct dc_in *in, const char *kind, int (*take)(void *, struct dc_frame *), void *arg)
{
	struct dc_frame f = { 0 };
	int r;

	while ((r = dc_frame_read(in, &f)) == DC_FRAME && !in->ended)
		if ((!kind || !strcmp(f.kind, kind)) && take(arg, &f) < 0) {
			r = DC_FAIL;
			break;
		}
	if (r == DC_FRAME)
		r = nothing_follows(in, &f);
	dc_frame_free(&f);
	return dc_io_status(in, r);
}

int
dc_stream_each(const char *path, const char *kind, int (*take)(void *arg, struct dc_frame *f), void *arg)
{
	const int from_stdin = !strcmp(path, "-");
	int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), status;
	struct dc_in *in;

	if (fd < 0) {
		dc_warn_errno("%s", path);
		return DC_EXIT_FAIL;
	}
	in = dc_xmalloc(sizeof *in);
	dc_in_init(in, fd, from_stdin ? "<stdin>" : path);
	status = each(in, kind, take, arg);
	if (!from_stdin)
		close(fd);
	free(in);
	return status;
}

void
dc_warn_tokens(struct dc_frame *f, int *told)
{
	if (*told || !(dc_frame_get(f, "filip_image") || dc_frame_get(f, "filip_text")))
		return;
	dc_warn("the tokens of --tokens are left out");
	*told = 1;
}
