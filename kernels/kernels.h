/* Tensor operations on banks: the ops table that a backend fills. One column per backend; the rest of the program
 * asks for a backend by name (k_backend) and never sees which one it got.
 *
 * Sizes. Every op acts on R replicas at once. An operand is a pointer and a replica stride in elements: replica r's
 * data start at p + r * stride. Stride 0 shares one copy (inputs only). Inside a replica, matrices are flat,
 * row-major; `ld...` is the row stride in elements. B sequences, T positions, n = B*T rows, c channels, V vocabulary,
 * as in llm.c. Per-replica scalars (`alpha`, `scale`) are arrays [R], see k_mult.
 *
 * Two storage types. Parameters, gradients, moments and statistics (rstd, lse) are `real`: k_arr, k_in. Activations and
 * their gradients are `act_real`: k_act, k_cact. On the CPU those are real too; a backend may store activations in fewer bytes
 * (ops->act_bytes; bf16 on CUDA). Code outside kernels/ never reads an activation: it only moves addresses, by k_act_at.
 *
 * One rule of accumulation: gradients of parameters are `+=`; everything else is `=`, except where an argument `acc`
 * says whether to add to what is there (the residual stream and its gradient, a matrix's gradient). Aliasing: outputs overlap no other operand
 * unless the op's header allows it. Buffers start on 64-byte boundaries. Every pointer lives in this backend's
 * memory. Equal arguments give equal bits: no op depends on the number of threads. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "base/err.h"
#include "kernels/real.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { K_ALIGN = 64 }; /* bytes; replica strides are multiples of it too */

typedef struct k_arr { real *p; size_t stride; } k_arr;
typedef struct k_in { const real *p; size_t stride; } k_in;
static inline k_in k_const(k_arr a) { k_in x = {a.p, a.stride}; return x; }
static inline k_arr k_at(k_arr a, size_t offset) { k_arr x = {a.p + offset, a.stride}; return x; }
static inline k_in k_in_at(k_in a, size_t offset) { k_in x = {a.p + offset, a.stride}; return x; }

/* Activations; strides and offsets count elements of act_bytes. */
typedef struct k_act { act_real *p; size_t stride; } k_act;
typedef struct k_cact { const act_real *p; size_t stride; } k_cact;
static inline k_cact k_cact_of(k_act a) { k_cact x = {a.p, a.stride}; return x; }
static inline k_act k_act_at(k_act a, size_t offset, size_t act_bytes)
{
    k_act x = {(act_real *)(void *)((char *)a.p + offset * act_bytes), a.stride};
    return x;
}
static inline k_cact k_cact_at(k_cact a, size_t offset, size_t act_bytes)
{
    k_cact x = {(const act_real *)(const void *)((const char *)a.p + offset * act_bytes), a.stride};
    return x;
}
/* Element i of activations that were copied to the host. bf16 is the upper half of a float. */
static inline float k_act_value(const act_real *copy, size_t i, size_t act_bytes)
{
    const char *p = (const char *)(const void *)copy + i * act_bytes;
    uint32_t bits = 0;
    uint16_t half;
    float x;
    if (act_bytes == sizeof bits) memcpy(&bits, p, sizeof bits);
    else memcpy(&half, p, sizeof half), bits = (uint32_t)half << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A scalar per replica, [R], in the backend's memory (`p`) and, equal to it, in the host's (`host`): a matrix product
 * on a device takes its factor when it is launched. p NULL: 1 for all. Constant while a bank lives. */
typedef struct k_mult { const real *p, *host; } k_mult;

/* Token ids laid out in rows of `ld`: row i of an op is sequence (first + i) / T, position (first + i) % T. */
typedef struct k_ids { const int32_t *p; size_t stride, ld, T, first; } k_ids;
static inline int32_t k_id(const k_ids *x, size_t r, size_t i)
{
    return x->p[r * x->stride + (x->first + i) / x->T * x->ld + (x->first + i) % x->T];
}

/* A weight matrix (out, in). `packed` is NULL or what `pack` made of it: a layout the backend prefers. */
typedef struct k_weight { k_in w; k_in packed; } k_weight;

typedef struct k_mm { size_t R, n, in, out, ldx, ldy; } k_mm;              /* x (n, in), y (n, out) */
typedef struct k_norm { size_t R, n, c; double eps; } k_norm;              /* rows of c */
typedef struct k_heads { size_t R, B, T, heads, head_dim, ld; } k_heads;   /* row (b,t): heads * head_dim contiguous */
typedef enum k_attn_kind { K_ATTN_CAUSAL } k_attn_kind;                    /* variants to come: local, linear, ... */
typedef struct k_attn { k_attn_kind kind; size_t R, B, T, n_head, n_kv_head, head_dim, ld, ldo; } k_attn;
typedef struct k_rows { size_t R, n, c, ld; } k_rows;
typedef struct k_adam { /* one tensor of one replica at one step; see adamw.h */
    double lr, eps, decay, beta1, beta2, correct1, correct2, grad_scale;
} k_adam;

typedef struct k_device_ops k_device_ops; /* kernels/device_ops.h */
typedef struct k_ctx k_ctx; /* device, stream, handles, scratch: one per thread of control */
typedef struct k_ops k_ops;

struct k_ops {
    const char *name;  /* "cpu", "cuda", "cuda-fp32" */
    const char *level; /* "x86-64-v4", "generic"; of a device: what computes, "bf16" or "fp32" */
    size_t act_bytes;  /* of one activation */
    const k_device_ops *device; /* NULL: the host's memory, and an op has run when it returns */

    /* memory and context */
    status (*ctx_new)(k_ctx **, size_t scratch_bytes, err *);
    void (*ctx_free)(k_ctx *);
    size_t (*attn_scratch)(const k_attn *);
    size_t (*mm_scratch)(const k_mm *);
    size_t (*norm_scratch)(const k_norm *); /* of gain_bwd and of sumsq; NULL: none */

    /* required */
    status (*embed_fwd)(k_ctx *, k_act y, k_in table, k_ids ids, k_mult alpha, const k_rows *, err *);
    status (*embed_bwd)(k_ctx *, k_arr dtable, k_cact dy, k_ids ids, k_mult alpha, const k_rows *, err *);
    status (*matmul_fwd)(k_ctx *, k_act y, k_cact x, k_weight w, k_mult alpha, bool acc, const k_mm *, err *);
    status (*matmul_dgrad)(k_ctx *, k_act dx, k_cact dy, k_weight w, k_mult alpha, bool acc, const k_mm *, err *);
    status (*matmul_wgrad)(k_ctx *, k_arr dw, k_cact dy, k_cact x, k_mult alpha, bool acc, const k_mm *, err *);
    status (*rmsnorm_fwd)(k_ctx *, k_act y, k_arr rstd, k_cact x, const k_norm *, err *);
    status (*rmsnorm_bwd)(k_ctx *, k_act dx, k_cact dy, k_cact y, k_in rstd, bool acc, const k_norm *, err *);
    status (*gain_fwd)(k_ctx *, k_act y, k_cact x, k_in gain, const k_norm *, err *);
    status (*gain_bwd)(k_ctx *, k_act dx, k_arr dgain, k_cact dy, k_cact x, k_in gain, const k_norm *, err *);
    status (*qknorm_fwd)(k_ctx *, k_act x, k_arr rstd, double eps, const k_heads *, err *);
    status (*qknorm_bwd)(k_ctx *, k_act dx, k_cact y, k_in rstd, const k_heads *, err *);
    status (*rope_fwd)(k_ctx *, k_act x, k_in table, const k_heads *, err *);
    status (*rope_bwd)(k_ctx *, k_act dx, k_in table, const k_heads *, err *);
    status (*attn_fwd)(k_ctx *, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_mult scale, const k_attn *, err *);
    status (*attn_bwd)(k_ctx *, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v, k_cact o, k_in lse,
                       k_mult scale, const k_attn *, err *);
    status (*gelu_fwd)(k_ctx *, k_act y, k_act u, const k_rows *, err *);
    status (*gelu_bwd)(k_ctx *, k_act du, k_cact dy, k_cact coef, const k_rows *, err *);
    status (*swiglu_fwd)(k_ctx *, k_act y, k_act u, const k_rows *, err *);
    status (*swiglu_bwd)(k_ctx *, k_act du, k_cact dy, k_cact coef, const k_rows *, err *);
    status (*xent)(k_ctx *, double *row_loss, size_t loss_stride, k_act logits, k_ids targets, double dscale,
                   const k_rows *, err *);
    status (*seq_loss)(k_ctx *, double *seq_loss, size_t ld, const double *row_loss, size_t loss_stride, size_t R,
                       size_t n_seq, size_t T, err *);
    status (*adamw)(k_ctx *, k_arr p, k_arr m, k_arr v, k_in g, const k_adam *, size_t R, size_t n, err *);
    status (*sumsq)(k_ctx *, double *out, k_in x, size_t R, size_t n, err *);
    status (*add)(k_ctx *, k_arr y, k_in x, size_t R, size_t n, err *);
    status (*zero)(k_ctx *, k_arr y, size_t R, size_t n, err *);

    /* optional: products and losses of logits that are stored as real, where activations are not: an evaluation's
     * losses must not carry the rounding of bf16 logits. NULL: activations are real already. */
    status (*matmul_fwd_real)(k_ctx *, k_arr y, k_cact x, k_weight w, k_mult alpha, const k_mm *, err *);
    status (*xent_real)(k_ctx *, double *row_loss, size_t loss_stride, k_arr logits, k_ids targets, const k_rows *,
                        err *);

    /* optional: NULL means "compose it from the slots above" */
    size_t (*pack_len)(size_t out, size_t in); /* reals that `pack` writes; a backend has both or neither */
    status (*pack)(k_ctx *, k_arr packed, k_in w, size_t R, size_t out, size_t in, err *);
    status (*attn_rope_fwd)(k_ctx *, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_in table, k_mult scale,
                            const k_attn *, err *); /* a backend has this and attn_rope_bwd or neither: attention.h */
    status (*attn_rope_bwd)(k_ctx *, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v, k_cact o,
                            k_in lse, k_in table, k_mult scale, const k_attn *, err *);
    status (*matmul_gelu_fwd)(k_ctx *, k_act y, k_act coef, k_cact x, k_weight w, k_mult alpha, const k_mm *, err *);
    status (*matmul_dgrad_mul)(k_ctx *, k_act dx, k_cact dy, k_weight w, k_cact coef, k_mult alpha, const k_mm *,
                               err *);
};

/* "cpu" (the level of this machine, or MUSCALE_CPU), "cuda" (bf16 products and activations; master weights, moments
 * and sums in fp32) or "cuda-fp32". ST_DEVICE: unknown, or not in this build. */
status k_backend(const k_ops **out, const char *name, err *e);
/* Whether that backend can compute here and now. k_backend needs no device: sizes can be planned without one.
 * ST_DEVICE: no driver, no device, a device too old; the message says what to do. */
status k_backend_ready(const char *name, err *e);

#ifdef __cplusplus
}
#endif
#endif
