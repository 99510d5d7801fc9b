/* Export: what a model of this parametrisation is in another program's terms. Arithmetic and text; writes no file.
 *
 * Every tensor enters the net as A W (A: the multipliers in front of it). A target applies some multiplier T of its own
 * there; the rest, r = A / T, is folded into the tensor by the theta symmetry (doc/mup.md, section 2, theta = 1/r): its
 * weights, std and learning rate are r times ours, eps and coupled decay 1/r times, its gradient 1/r times. Same
 * function, same steps. So a model is refused only where no weights of the target compute its function.
 *
 * Names and forward passes read in: transformers (models/granite), the modelling file that openbmb/MiniCPM ships, and
 * Megatron-LM (core, --use-mup). What each can express: doc/mup.md, "Export". */
#ifndef MUP_EXPORT_H
#define MUP_EXPORT_H
#include <stdint.h>
#include "mup/mup.h"
#ifdef __cplusplus
extern "C" {
#endif

/* One tensor of each kind: those outside the blocks, and block 0's. */
typedef struct mup_export_tensor {
    const char *kind; /* "embed", "attn.q", ..., "final.norm", "head": without "blocks.0." */
    mup_place place;
    int64_t rows, cols;
    mup_tensor h;
} mup_export_tensor;

typedef struct mup_export_in { /* all borrowed */
    const mup_setup *setup;
    mup_model model;
    int64_t vocab, d_model, n_layer, n_head, n_kv_head, head_dim, d_ff, seq_len, batch, steps, warmup_steps;
    bool qk_norm, norm_gain;
    double rope_theta, norm_eps, beta1, beta2, clip_norm, min_lr_ratio;
    const char *schedule, *decay_shape; /* the config's words */
    int64_t decay_steps;                /* wsd */
    const char *schedule_code;          /* Python, defines schedule(step), step from 1 */
    const mup_export_tensor *tensors;
    size_t n_tensors;
} mup_export_in;

typedef enum mup_export_type { MUP_EXPORT_TEXT, MUP_EXPORT_INT, MUP_EXPORT_REAL, MUP_EXPORT_BOOL } mup_export_type;
typedef struct mup_export_item { /* a key of the target's config, or a flag (a flag that is true has no value) */
    const char *key;
    mup_export_type type;
    const char *text;
    int64_t i;
    double x;
} mup_export_item;

/* Rows of a target's tensor that are one of ours. */
typedef struct mup_export_part {
    const char *tensor;
    int64_t rows;
    double init_std;
} mup_export_part;

/* Tensors of the target that share their hyperparameters: one of each block, or one. */
typedef struct mup_export_group {
    char match[160];  /* Python regular expression that the whole name of each such tensor matches, and no other's */
    const char *kind; /* ours, or "attn.qkv", "ffn.fc1", "attn.q_norm", "attn.k_norm" */
    mup_role role;
    double fan_in;
    int64_t rows, cols, count;
    mup_tensor h;         /* folded; eps, lr and theta of the target's tensor; forward_mult: what is left in front, T */
    double decay_coupled; /* of PyTorch's AdamW, whichever convention the config has: lambda_independent / lr */
    double weight_scale;  /* r */
    bool frozen;          /* a gain that our model has not: stays at 1 */
    const char *layout;   /* how parts lie in the tensor; "" when it is one of ours as it is */
    mup_export_part parts[3];
    size_t n_parts;
} mup_export_group;

enum { MUP_EXPORT_MAX_ITEMS = 56, MUP_EXPORT_MAX_GROUPS = 16 };
typedef struct mup_export_target mup_export_target; /* a row of the table */
typedef struct mup_export {
    const mup_export_target *target;
    mup_model forward; /* the multipliers that the target's config carries */
    bool own_rule;     /* Megatron: its own division by m is in force for hidden matrices */
    mup_export_item items[MUP_EXPORT_MAX_ITEMS];
    size_t n_items;
    mup_export_group groups[MUP_EXPORT_MAX_GROUPS];
    size_t n_groups;
} mup_export;

size_t mup_export_count(void);
const mup_export_target *mup_export_at(size_t i);
const char *mup_export_name(const mup_export_target *t); /* "torch-json", ... */
const char *mup_export_file(const mup_export_target *t); /* of its config: "config.json", ... */

/* ST_INPUT: the target computes another function, and why. */
status mup_export_make(mup_export *out, const mup_export_target *t, const mup_export_in *in, err *e);
/* NOT_CARRIED.md: what the target's config cannot say, with the code that does. malloc'ed; NULL: no memory. */
char *mup_export_not_carried(const mup_export *x, const mup_export_in *in);
#ifdef __cplusplus
}
#endif
#endif
