/* SPDX-License-Identifier: MIT */
#include "ring/loss_private.h"

#include <string.h>

const char *const dc_loss_key[INPUTS] = {
	"image_features.0", "image_features.1", "text_features.0", "text_features.1",
	"simsiam_z.0", "simsiam_z.1", "simsiam_p.0", "simsiam_p.1", "simclr_z.1", "simclr_z.2", "filip_image", "mlm_nll",
	"filip_text"
};
/* Those of the same group have equally many columns. */
static const int group[NLL] = { I1, I1, I1, I1, Z1, Z1, Z1, Z1, S1, S1, FI };

static void
room(struct dc_loss_matrix *m, int64_t rows, int64_t cols)
{
	const size_t n = (size_t)rows * cols;

	if (n > m->cap) {
		m->cap = n > 2 * m->cap ? n : 2 * m->cap;
		m->own = dc_xrealloc(m->own, m->cap, sizeof *m->own);
	}
	m->p = m->own;
	m->rows = rows;
	m->cols = cols;
}

static int
append(struct dc_loss_matrix *m, struct dc_frame *f, int k, const struct dc_tensor *t, int alone)
{
	const int64_t cols = t->ndim == 2 ? t->shape[1] : 1, had = m->rows;

	if (t->shape[0] == 0)
		return 0;
	if (had > 0 && cols != m->cols)
		return dc_frame_err(f, "%s: %lld columns, %lld in the parts before", dc_loss_key[k], (long long)cols, (long long)m->cols);
	if (alone) {
		*m = (struct dc_loss_matrix){ .p = (dc_real *)(uintptr_t)t->data, .own = m->own, .cap = m->cap, .rows = t->shape[0], .cols = cols };
		return 0;
	}
	room(m, had + t->shape[0], cols);
	memcpy(m->p + had * cols, t->data, t->bytes);
	return 0;
}

static int64_t
rows_of(const struct dc_tensor *t)
{
	return t->ndim > 0 ? t->shape[0] : 0;
}

/* [n, tokens, width] as rows of tokens x width */
static int
take_image_tokens(struct dc_loss_ring *s, struct dc_frame *f, struct dc_tensor *t)
{
	DC_TRY(dc_frame_tensor(f, dc_loss_key[FI], DC_REAL_TYPE, 3, t));
	if (t->n && (t->shape[1] < 1 || t->shape[2] < 1 || t->shape[1] > 1 << 20 || t->shape[2] > 1 << 20))
		return dc_frame_err(f, "%s is [%lld,%lld,%lld]", dc_loss_key[FI], (long long)t->shape[0], (long long)t->shape[1],
		    (long long)t->shape[2]);
	if (t->n && s->in[FI].rows && (t->shape[1] != s->tokens || t->shape[2] != s->filip_width))
		return dc_frame_err(f, "%s: other tokens than in the parts before", dc_loss_key[FI]);
	if (t->n) {
		s->tokens = t->shape[1];
		s->filip_width = t->shape[2];
	}
	t->shape[1] = t->shape[1] * t->shape[2];
	t->ndim = 2;
	return 0;
}

/* One tensor of a part. The heads' are not there where a batch is too small for a batch norm, and the numbers that are
 * not per sample come with the first part; whether all is there in the end, dc_loss_check_whole() says. */
static int
take_input(struct dc_loss_ring *s, struct dc_frame *f, int k, const struct dc_tensor *like)
{
	const int towers = k < Z1, heads = k >= Z1 && k <= S2;
	struct dc_tensor t;

	if (!dc_frame_get(f, dc_loss_key[k]) && ((heads && like->shape[0] < 2) || (k == NLL && s->part > 0)))
		return 0;
	if (k == FI)
		DC_TRY(take_image_tokens(s, f, &t));
	else
		DC_TRY(dc_frame_tensor(f, dc_loss_key[k], DC_REAL_TYPE, k == NLL ? 1 : 2, &t));
	if (!t.data && t.n)
		return dc_frame_err(f, "%s: by reference, must be by value", dc_loss_key[k]);
	if (k < NLL && (t.shape[0] != like->shape[0] || (t.n && towers && t.shape[1] != like->shape[1])))
		return dc_frame_err(f, "%s is [%lld,%lld], wanted [%lld,%lld]", dc_loss_key[k], (long long)t.shape[0],
		    (long long)t.shape[1], (long long)like->shape[0], (long long)(towers ? like->shape[1] : t.shape[1]));
	if (t.ndim == 2 && t.shape[0] > 0 && (t.shape[1] < 1 || t.shape[1] > (k == FI ? 1 << 30 : 1 << 20)))
		return dc_frame_err(f, "%s has %lld columns", dc_loss_key[k], (long long)t.shape[1]);
	return append(&s->in[k], f, k, &t, s->alone);
}

/* filip_off i32 [n+1], from 0 to the rows of this part's filip_text; had, base: samples and rows of the parts before */
static int
take_offsets(struct dc_loss_ring *s, struct dc_frame *f, int64_t had, int64_t base, int64_t n)
{
	const int64_t rows = s->in[FT].rows - base;
	const int32_t *off;
	struct dc_tensor t;

	DC_TRY(dc_frame_tensor(f, "filip_off", DC_I32, 1, &t));
	if (rows_of(&t) != n + 1 || !t.data)
		return dc_frame_err(f, "filip_off has %lld numbers, wanted %lld", (long long)rows_of(&t), (long long)(n + 1));
	off = t.data;
	for (int64_t i = 0; i <= n; i++)
		if (off[i] < (i ? off[i - 1] : 0) || off[i] > rows || (i == 0 && off[i]) || (i == n && off[i] != rows))
			return dc_frame_err(f, "filip_off does not go from 0 to the %lld rows of filip_text", (long long)rows);
	if (base + rows > INT32_MAX)
		return dc_frame_err(f, "more than %d words in a batch", INT32_MAX);
	if ((size_t)(had + n + 1) > s->cap_off)
		s->filip_off = dc_xrealloc(s->filip_off, s->cap_off = 2 * (size_t)(had + n + 1), sizeof *s->filip_off);
	for (int64_t i = 0; i <= n; i++)
		s->filip_off[had + i] = (int32_t)(base + off[i]);
	return 0;
}

static int
take_part(struct dc_loss_ring *s, struct dc_frame *f)
{
	const int64_t had = s->in[I1].rows, base = s->in[FT].rows;
	struct dc_tensor first;

	DC_TRY(dc_frame_tensor(f, dc_loss_key[I1], DC_REAL_TYPE, 2, &first));
	for (int k = 0; k < INPUTS; k++)
		if (s->wanted[k])
			DC_TRY(take_input(s, f, k, &first));
	if (s->wanted[FT]) {
		DC_TRY(take_offsets(s, f, had, base, first.shape[0]));
		DC_TRY(dc_frame_double(f, "filip_logit_scale", &s->filip_logit_scale));
	}
	if (s->c.weight[DC_TERM_SIGLIP] > 0)
		DC_TRY(dc_frame_double(f, "logit_bias", &s->logit_bias));
	if (s->in[I1].rows > 1 << 24)
		return dc_frame_err(f, "a batch of more than %d samples", 1 << 24);
	return dc_frame_double(f, "logit_scale", &s->logit_scale);
}

int
dc_loss_check_whole(const struct dc_loss_ring *s, struct dc_frame *f)
{
	for (int k = 0; k < NLL; k++) {
		const struct dc_loss_matrix *m = &s->in[k], *like = &s->in[group[k]];
		if (s->wanted[k] && (m->rows != s->in[I1].rows || m->cols != like->cols))
			return dc_frame_err(f, "%s is [%lld,%lld] in all, wanted [%lld,%lld]", dc_loss_key[k], (long long)m->rows,
			    (long long)m->cols, (long long)s->in[I1].rows, (long long)like->cols);
	}
	if (s->wanted[FT] && s->in[FT].rows && s->in[FT].cols != s->filip_width)
		return dc_frame_err(f, "%s has %lld columns, %s %lld", dc_loss_key[FT], (long long)s->in[FT].cols, dc_loss_key[FI],
		    (long long)s->filip_width);
	return 0;
}

/* The batch of several ranks: which rows are this one's. */
static int
take_local(struct dc_loss_ring *s, struct dc_frame *f)
{
	struct dc_tensor t;

	s->n_local = -1;
	if (!dc_frame_get(f, "local"))
		return 0;
	DC_TRY(dc_frame_tensor(f, "local", DC_I64, 1, &t));
	DC_TRY(dc_frame_int(f, "rank", &s->rank));
	s->n_local = t.shape[0];
	s->local = dc_xrealloc(s->local, t.n + 1, sizeof *s->local);
	if (t.n && !t.data)
		return dc_frame_err(f, "local: by reference, must be by value");
	if (t.n)
		memcpy(s->local, t.data, t.bytes);
	memset(s->local_mlm, 0, sizeof s->local_mlm);
	if (!s->wanted[NLL])
		return 0;
	DC_TRY(dc_frame_tensor(f, "local_mlm", DC_I64, 1, &t));
	if (t.n != 2 || !t.data)
		return dc_frame_err(f, "local_mlm is not [first, n]");
	memcpy(s->local_mlm, t.data, t.bytes);
	return 0;
}

int
dc_loss_check_local(const struct dc_loss_ring *s, struct dc_frame *f)
{
	const int64_t N = s->in[I1].rows, M = s->in[NLL].rows, *mlm = s->local_mlm;

	for (int64_t i = 0; i < s->n_local; i++)
		if (s->local[i] < (i ? s->local[i - 1] + 1 : 0) || s->local[i] >= N)
			return dc_frame_err(f, "local: row %lld is out of order, or not among the %lld of the batch", (long long)s->local[i],
			    (long long)N);
	if (s->n_local >= 0 && s->wanted[NLL] && (mlm[0] < 0 || mlm[1] < 0 || mlm[0] > M || mlm[1] > M - mlm[0]))
		return dc_frame_err(f, "local_mlm: [%lld, %lld] of %lld", (long long)mlm[0], (long long)mlm[1], (long long)M);
	return 0;
}

static int
begin_batch(struct dc_loss_ring *s, struct dc_frame *f)
{
	DC_TRY(take_local(s, f));
	for (int k = 0; k < INPUTS; k++) {
		s->in[k].p = s->in[k].own;
		s->in[k].rows = 0;
	}
	s->step = f->step;
	s->started = 1;
	s->has_position = dc_frame_get(f, "position") != NULL;
	return s->has_position ? dc_frame_int(f, "position", &s->position) : 0;
}

int
dc_loss_gather(struct dc_loss_ring *s, struct dc_frame *f)
{
	int64_t i, n;

	DC_TRY(dc_frame_part(f, &i, &n));
	if (i != s->part || (s->part > 0 && n != s->parts))
		return dc_frame_err(f, "part %lld of %lld, wanted part %lld of %lld", (long long)i, (long long)n,
		    (long long)s->part, (long long)(s->part ? s->parts : n));
	if (i == 0)
		DC_TRY(begin_batch(s, f));
	if (f->step != s->step)
		return dc_frame_err(f, "part %lld is of step %llu, the parts before of step %llu", (long long)i,
		    (unsigned long long)f->step, (unsigned long long)s->step);
	s->alone = n == 1;
	DC_TRY(take_part(s, f));
	s->parts = n;
	s->part = i + 1 < n ? i + 1 : 0;
	return s->part == 0;
}
