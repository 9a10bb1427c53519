/* SPDX-License-Identifier: MIT */
#include <omp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "ring/encode_part.h"
#include "ring/encode_private.h"

enum { BY_VALUE_FRAME = 1 << 29 };

/* --- features --- */

/* Room for pixels that stay until the next batch. */
static uint8_t *
pixel_room(struct dc_encode *t, size_t bytes)
{
	if (t->n_pixels == t->pixels_cap) {
		t->pixels_cap = t->pixels_cap ? 2 * t->pixels_cap : 16;
		t->pixels = dc_xrealloc(t->pixels, (size_t)t->pixels_cap, sizeof *t->pixels);
	}
	return t->pixels[t->n_pixels++] = dc_xmalloc(bytes);
}

void
dc_encode_free_pixels(struct dc_encode *t)
{
	while (t->n_pixels)
		free(t->pixels[--t->n_pixels]);
}

/* The images of rows [row, row + n) of a view: where they are in one frame, there; else gathered out of several. */
static int
gather_images(struct dc_encode *t, const uint8_t **rgb, int view, int row, int n)
{
	const size_t S = (size_t)t->c.vision.image_size, bytes = S * S * 3;
	uint8_t *to = NULL;
	struct dc_tensor x;
	int at = 0;

	for (int i = 0; i < t->now.n && at < row + n; i++) {
		int rows, from, end;

		DC_TRY(dc_encode_image_view(&t->now.part[i], &t->c, view, &x));
		rows = (int)x.shape[0];
		from = row > at ? row - at : 0;
		end = row + n < at + rows ? row + n - at : rows;
		if (from < end && end - from == n) {
			*rgb = (const uint8_t *)x.data + (size_t)from * bytes;
			return 0;
		}
		if (from < end && !to)
			*rgb = to = pixel_room(t, (size_t)n * bytes);
		if (from < end)
			memcpy(to + (size_t)(at + from - row) * bytes, (const uint8_t *)x.data + (size_t)from * bytes, (size_t)(end - from) * bytes);
		at += rows;
	}
	return at < row + n ? dc_frame_err(&t->now.part[t->now.n - 1], "image.%d has fewer rows than image.0", view) : 0;
}

/* What a ResNet is normalised over is the run's choice (config's part), and not how the batch was cut into frames. */
static int
forward_images(struct dc_encode *t, int N)
{
	const uint8_t *rgb = NULL;
	int r;

	for (int row = 0; row < N; row += t->c.part) {
		const int n = N - row < t->c.part ? N - row : t->c.part;

		for (int v = 0; v < t->c.image_views; v++) {
			DC_TRY(gather_images(t, &rgb, v, row, n));
			dc_enc_image(t->enc, v, row, n, rgb);
			if ((r = dc_encode_look_round(t)) != DC_FRAME)
				return r;
		}
	}
	return DC_FRAME;
}

static int
rows_are(struct dc_frame *f, const char *what, const struct dc_tensor *t, int64_t n)
{
	return t->shape[0] == n ? 0 : dc_frame_err(f, "%s has %lld rows, the part has %lld samples (training takes one caption an image: "
	    "dc-decode --captions draw or first)", what, (long long)t->shape[0], (long long)n);
}

static int
forward_part(struct dc_encode *t, struct dc_frame *f, int row, int *n)
{
	const struct dc_config *c = &t->c;
	int mlm = c->weight[DC_TERM_MLM] > 0, r;
	struct dc_tensor x, target;

	for (int v = 0; v < c->image_views; v++) {
		DC_TRY(dc_encode_image_view(f, c, v, &x));
		if (!v)
			*n = (int)x.shape[0];
		DC_TRY(rows_are(f, "an image view", &x, *n));
		if (c->part)
			continue;   /* done before, in parts of their own */
		dc_enc_image(t->enc, v, row, *n, x.data);
		if ((r = dc_encode_look_round(t)) != DC_FRAME)
			return r;
	}
	for (int v = 0; v < c->caption_views; v++) {
		DC_TRY(v == 0 && dc_config_masked_text(c) ? dc_encode_tokens(f, c, "mlm_token", &x) : dc_encode_token_view(f, c, v, &x));
		DC_TRY(rows_are(f, "a caption view", &x, *n));
		if (dc_enc_text(t->enc, v, row, *n, x.data) < 0)
			return dc_frame_err(f, "token.%d: %s", v, dc_err());
	}
	if (mlm) {
		DC_TRY(dc_encode_tokens(f, c, "mlm_token", &x));
		DC_TRY(dc_encode_tokens(f, c, "mlm_target", &target));
		DC_TRY(rows_are(f, "mlm_token", &x, *n));
		DC_TRY(rows_are(f, "mlm_target", &target, *n));
		if (dc_enc_mlm(t->enc, row, *n, x.data, target.data) < 0)
			return dc_frame_err(f, "mlm_token: %s", dc_err());
	}
	return DC_FRAME;
}

static int
batch_rows(struct dc_encode *t, int *N)
{
	struct dc_tensor x;

	*N = 0;
	for (int i = 0; i < t->now.n; i++) {
		DC_TRY(dc_encode_image_view(&t->now.part[i], &t->c, 0, &x));
		*N += (int)x.shape[0];
	}
	return DC_FRAME;
}

static int
forward(struct dc_encode *t)
{
	int N, n = 0, row = 0, r;

	if ((r = batch_rows(t, &N)) != DC_FRAME)
		return r;
	for (int i = 0; i < t->n_t && !t->zeroed; i++)
		if (t->t[i].g)
			memset(t->t[i].g, 0, t->t[i].p.n * sizeof *t->t[i].g);
	dc_encode_free_pixels(t);
	dc_enc_begin(t->enc, N, 1);
	if (t->c.part && (r = forward_images(t, N)) != DC_FRAME)
		return r;
	for (int i = 0; i < t->now.n; i++, row += n)
		if ((r = forward_part(t, &t->now.part[i], row, &n)) != DC_FRAME)
			return r;
	if (dc_encode_heads(t))
		dc_enc_heads(t->enc);
	return t->synced;
}

/* --- gradients --- */

static int
backward(struct dc_encode *t)
{
	struct pollfd p = { .fd = t->out.fd };

	dc_enc_backward_heads(t->enc);
	if (t->synced != DC_FRAME)
		return t->synced;
	while (dc_enc_backward_next(t->enc) > 0)
		if (poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP | POLLNVAL))
			return DC_GONE;
	return DC_FRAME;
}

/* The tensors [from, to) of the list that have a gradient, as one map. */
static void
put_gradients(struct dc_encode *t, int from, int to)
{
	size_t n = 0;

	for (int i = from; i < to; i++)
		n += t->t[i].g != NULL;
	dc_put_map(&t->body, "gradient", n);
	for (int i = from; i < to; i++) {
		struct dc_encode_tensor *x = &t->t[i];
		if (x->g && t->by_value)
			dc_put_data(&t->body, x->p.name, DC_F32, x->p.ndim, x->p.shape, x->g);
		else if (x->g)
			dc_put_ref(&t->body, x->p.name, DC_F32, x->p.ndim, x->p.shape, "gradients.safetensors", x->p.name);
	}
}

static void
put_statistics(struct dc_encode *t)
{
	char key[128];
	size_t synced = 0;

	for (int i = 0; i < t->enc->n_bn; i++)
		synced += t->enc->bn[i]->views && t->enc->bn[i]->synced;
	if (synced)
		dc_put_array(&t->body, "synced", synced);   /* they are the same in all ranks */
	for (int i = 0; i < t->enc->n_bn; i++)
		if (t->enc->bn[i]->views && t->enc->bn[i]->synced)
			dc_put_str(&t->body, NULL, t->enc->bn[i]->name);

	for (int i = 0; i < t->enc->n_bn; i++) {   /* none where the running ones are in use */
		const struct dc_bn_stats *s = t->enc->bn[i];
		int64_t shape[] = { s->views, s->width };

		if (!s->views)
			continue;
		snprintf(key, sizeof key, "%s.running_mean", s->name);
		dc_put_data(&t->body, key, DC_F32, 2, shape, s->mean);
		snprintf(key, sizeof key, "%s.running_var", s->name);
		dc_put_data(&t->body, key, DC_F32, 2, shape, s->var);
	}
}

/* Hand the gradients over; by value in frames of at most BY_VALUE_FRAME. */
static int
send_gradients(struct dc_encode *t, int skip)
{
	int from = skip ? t->n_t : 0, to, last, r = DC_FRAME;
	size_t bytes;

	do {
		for (to = from, bytes = 0; to < t->n_t && (!t->by_value || bytes + 4 * t->t[to].p.n <= BY_VALUE_FRAME || to == from); to++)
			bytes += 4 * t->t[to].p.n;
		last = to == t->n_t;
		put_gradients(t, from, to);
		dc_put_bool(&t->body, "last", last);
		dc_put_copy(&t->body, &t->now.part[t->now.n - 1], "position");
		if (last && !skip)
			put_statistics(t);
		if (last) {
			dc_put_double(&t->body, "wait_s", t->wait);
			dc_put_int(&t->body, "threads", omp_get_max_threads());
		}
		r = dc_frame_write(&t->out, "gradients", t->step, &t->body);
		from = to;
	} while (r == DC_FRAME && !last);
	return r;
}

/* --- both --- */

int
dc_encode_step(struct dc_encode *t)
{
	int r, skip;

	t->wait = 0;
	if ((r = dc_encode_next_batch(t)) != DC_FRAME || (r = forward(t)) != DC_FRAME || (r = dc_encode_send_features(t)) != DC_FRAME ||
	    (r = dc_encode_receive_dfeatures(t, &skip)) != DC_FRAME || (!skip && (r = backward(t)) != DC_FRAME) ||
	    (r = send_gradients(t, skip)) != DC_FRAME)
		return r;
	t->samples += (uint64_t)t->enc->N;
	dc_progress_to(&t->progress, t->samples);
	r = dc_encode_receive_parameters(t);
	if (!t->steps++) { /* the first step maps and clears memory: it is not like the others */
		t->laps = (struct dc_laps){ 0 };
		memset(t->waited, 0, sizeof t->waited);
		t->first = dc_seconds();
	}
	t->last = dc_seconds();
	return r;
}
