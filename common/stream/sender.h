/* SPDX-License-Identifier: MIT */
/* A thread that writes frames while the caller makes the next one: one frame is being written, one waits.
 *
 *	struct dc_sender *s = dc_sender_new(&out);
 *	while (...) { dc_put_...(&body, ...); if ((r = dc_sender_send(s, "samples", step, &body)) != DC_FRAME) break; }
 *	r = dc_sender_finish(s);    // waits until all is written
 *
 * Order is kept. `out` is the thread's until dc_sender_finish. */
#ifndef DC_STREAM_SENDER_H
#define DC_STREAM_SENDER_H

#include "stream/stream.h"

struct dc_sender;

struct dc_sender *dc_sender_new(struct dc_out *out);
/* Hand over a body, which is empty afterwards (its memory is an earlier frame's); waits while one is waiting already.
 * kind must stay valid. DC_FRAME, or what an earlier write came to: DC_FAIL (dc_err() says what) or DC_GONE. */
int dc_sender_send(struct dc_sender *s, const char *kind, uint64_t step, struct dc_body *b) DC_MUST_USE;
/* Wait for the last write and free s. DC_FRAME, DC_FAIL or DC_GONE. */
int dc_sender_finish(struct dc_sender *s) DC_MUST_USE;

#endif
