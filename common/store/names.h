/* SPDX-License-Identifier: MIT */
/* The names and shapes that other programs give to the tensors of a model, and how theirs and ours share their elements.
 *
 *	struct dc_names *n = dc_names_new(DC_FORMAT_HF, "", &config);
 *	dc_names_check(n, &st, DC_TOWERS, 0);     // the file has theirs, all of them, in their shapes, and nothing else
 *	dc_names_take(&ours, &st, n, DC_TOWERS);  // ours out of it, as float32
 *	dc_names_put(&st, n, j, from, 3);         // or one of theirs out of ours
 *	dc_names_free(n); */
#ifndef DC_STORE_NAMES_H
#define DC_STORE_NAMES_H

#include "store/config.h"
#include "store/safetensors.h"

enum dc_format {
	DC_FORMAT_OPENCLIP,  /* a model directory: open_clip's, and ours */
	DC_FORMAT_OPENAI,    /* one file with OpenAI's names, which open_clip took over */
	DC_FORMAT_HF,        /* Hugging Face's CLIPModel */
	DC_FORMAT_DECLIP,    /* the released DeCLIP's: one more word, the mask, and its heads */
	DC_FORMATS
};
extern const char *const dc_format_names[DC_FORMATS]; /* "openclip" "openai" "hf" "declip" */

/* Which part of a model a tensor belongs to (dc_param.head). */
enum dc_part_of { DC_TOWERS, DC_HEADS, DC_EXTRAS, DC_ALL = -1 };

/* One of theirs. */
struct dc_their {
	char name[128];
	int ndim; int64_t shape[4]; size_t n;
	int part;
	int optional;        /* may be missing: ours then has its usual value */
	int whole;           /* whole numbers, I64 */
	int zero;            /* has no place in ours: must be zero, and is written so */
};

/* Elements that they share: a stretch, or a matrix that is the other's transpose. */
struct dc_move { int ours, theirs; size_t our_at, their_at, n; int turned; };

struct dc_names {
	struct dc_param *ours; int n_ours;     /* parameters, then the extras below */
	struct dc_their *theirs; int n_theirs;
	struct dc_move *move; int n_moves;
};

/* The names that `format` gives to the tensors of c's towers and, by c->weight, heads. Theirs begin with `prefix`
 * ("module." in checkpoints of parallel training, among them the released DeCLIP's; else ""). Extras, beside the parameters, are
 *	simsiam.*.bn.running_mean, .running_var, .num_batches_tracked
 *	mlm.mask_weight [1,W], mlm.mask_bias [1]   the mask token's row in the released MLM head, which ours does not have
 *	mask_embedding [1,W]                       where there is no MLM head
 * NULL with a message where the format has no place for what c has. */
struct dc_names *dc_names_new(enum dc_format format, const char *prefix, const struct dc_config *c);
void dc_names_free(struct dc_names *n);

/* Whether st has those of `part`, in their shapes and types, and nothing else unless `others` may be there. 0, or -1 with a
 * message that names file and tensor. */
int dc_names_check(const struct dc_names *n, const struct dc_st *st, enum dc_part_of part, int others) DC_MUST_USE;

/* Ours of `part` as float32 into *out, from st, which was checked and is used up: *out has its map, and points into it
 * where it can. Extras that have the value they have anyway are left out. -1 with a message; st is used up then too. */
int dc_names_take(struct dc_st *out, struct dc_st *st, const struct dc_names *n, enum dc_part_of part) DC_MUST_USE;

/* Their tensor j into t, one of theirs of type F32, F16, BF16 or I64, out of ours, which are looked up in from[0..k) (one
 * that is not there has its usual value). -1 with a message: a value that is not finite, or that the type cannot hold. */
int dc_names_put(const struct dc_st_tensor *t, const struct dc_names *n, int j, const struct dc_st *const *from, int k)
    DC_MUST_USE;

#endif
