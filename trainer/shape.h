/* Shape of a model: the decoder-only transformer of doc/model.md, its tensors, parameter and FLOP counts. */
#ifndef TRAINER_SHAPE_H
#define TRAINER_SHAPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "mup/mup.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef enum shape_act { ACT_GELU, ACT_SWIGLU } shape_act;

typedef struct shape {
    int64_t vocab, d_model, n_layer, n_head, n_kv_head, head_dim, d_ff, seq_len;
    shape_act act;
    bool tied_head; /* readout shares the embedding's tensor */
    bool qk_norm;   /* RMSNorm on q and k per head, gainless */
    bool norm_gain; /* RMSNorm gains; gainless by default, gains hurt transfer */
    double rope_theta;
} shape;

/* One stored tensor. Weight matrices are (out, in), row-major: y = x W^T. */
typedef struct shape_tensor {
    char name[48];      /* "embed", "blocks.3.attn.q", ... */
    mup_role role;
    mup_part part;
    int layer;          /* -1 outside the blocks */
    int64_t rows, cols; /* out, in; a gain is (1, d_model); the embedding is (vocab, d_model), fan_in 1 by role */
    int64_t fan_in;
    size_t offset;      /* in floats from the replica's start; every tensor starts on a 256-byte boundary */
    size_t n;           /* rows * cols */
} shape_tensor;

#define MODEL_NORM_EPS 1e-6 /* of RMSNorm: far below any activation's mean square; only guards rows of zeros */

/* ST_INPUT naming the key and remedy: d_model != n_head*head_dim, n_head % n_kv_head, odd head_dim (RoPE), ... */
status shape_check(const shape *s, err *e);

/* Number of tensors; when out is not NULL writes them (room for `max`). */
size_t shape_tensors(const shape *s, shape_tensor *out, size_t max);
size_t shape_param_stride(const shape *s); /* floats per replica, padded to 256 bytes */

typedef struct shape_counts {
    int64_t n_params_total, n_params_embed, n_params_non_embed; /* embed: input table (+ untied head when not tied) */
} shape_counts;
shape_counts shape_count(const shape *s);

/* Training FLOPs per token by rule. "6N": 6 * n_params_total. "exact": 3 x forward; every matmul 2mnk, the head
 * counted, the input table not (a lookup), causal attention counted once (T/2 keys on average). */
typedef enum flops_rule { FLOPS_6N, FLOPS_EXACT } flops_rule;
status flops_rule_find(flops_rule *out, const char *name, err *e);
double shape_flops_per_token(const shape *s, flops_rule r);
#ifdef __cplusplus
}
#endif
#endif
