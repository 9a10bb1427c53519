/* SPDX-License-Identifier: MIT */
/* The similarity of images and captions token by token: FILIP's late interaction (Yao et al., arXiv 2111.07783, sec. 3.1,
 * eq. 4 and 5). With a_k the tokens of image n and b_r those of caption c, unit rows,
 *
 *	x_nc = 1/|n| sum_{k in n} max_{r in c} <a_k,b_r>      image to caption
 *	y_nc = 1/|c| sum_{r in c} max_{k in n} <a_k,b_r>      caption to image
 *
 * 0 where one of them has no tokens. With one token each both are the cosine. No I/O. */
#ifndef DC_SCORE_TOKENWISE_H
#define DC_SCORE_TOKENWISE_H

#include "score/rows.h"

/* Memory kept from call to call: the products of a tile. */
struct dc_tokenwise { dc_real *l; size_t cap; };
void dc_tokenwise_free(struct dc_tokenwise *w);

/* The end of a tile that begins with sample `from`: at most so many samples and rows, but one sample at least. */
int64_t dc_side_span(const struct dc_side *s, int64_t from, int64_t samples, int64_t rows);

/* x, y [n,m] (y may be NULL) of images n0 .. n0 + n and captions c0 .. c0 + m; the products of all their tokens are in
 * memory at once. */
void dc_tokenwise(struct dc_tokenwise *w, dc_real *x, dc_real *y, const struct dc_side *image, int64_t n0, int n,
    const struct dc_side *text, int64_t c0, int m, int D);

/* x and y of one image and one caption, in double precision. */
struct dc_tokenwise_pair { double x, y; } dc_tokenwise_pair(const struct dc_side *image, int64_t n, const struct dc_side *text,
    int64_t c, int D);

#endif
