/* The transformer of doc/model.md as a sequence of kernel ops on a bank: forward, and forward with backward.
 * Allocates nothing while it runs and knows no batch: the bank gives it a few sequences at a time (a micro-batch) and
 * the buffers. */
#ifndef TRAINER_MODEL_H
#define TRAINER_MODEL_H
#include "kernels/kernels.h"
#include "trainer/shape.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct model model; /* the plan of one shape: where tensors and activations lie */
status model_new(model **out, const shape *s, const k_ops *ops, err *e); /* ops: who will compute it; sizes depend on it */
void model_free(model *m);

/* Multipliers of one replica: [model_n_mults], entry i at out[i * ld]. From the parametrisation: embed_mult on the
 * embedding, forward_mult of each hidden matrix (times residual_mult where it ends a branch), logit_mult on the
 * logits, attn_scale; logit_mult over the readout's theta on the readout's gradient, which is therefore g/theta. */
size_t model_n_mults(const model *m);
void model_mults(const model *m, real *out, size_t ld, const mup_tensor *tensors, const mup_model *mult);

/* On a device q, k and v of a block are one product where their shapes allow it, and so are the two halves of SwiGLU: a
 * replica must give them one factor (every parametrisation does, by role). mults as model_mults wrote them. */
bool model_joins_hold(const model *m, const real *mults, size_t ld);

/* Sequences that go through the model together. A pure function of shape and `seqs` (those of a shard), so that
 * results do not depend on who computes. */
size_t model_micro(const model *m, size_t seqs);

size_t model_act_len(const model *m, size_t n_seq, bool train);  /* reals per replica */
size_t model_const_len(const model *m);                          /* reals: rotary table */
void model_consts(const model *m, real *out);
size_t model_scratch(const model *m, const k_ops *ops, size_t R, size_t n_seq); /* bytes of a context's scratch */
size_t model_pack_len(const model *m, const k_ops *ops);         /* reals per replica; 0: the backend packs nothing */
size_t model_packed_at(const model *m, const k_ops *ops, size_t tensor); /* of it in there; SIZE_MAX: not packed */
status model_pack(const model *m, const k_ops *ops, k_ctx *ctx, k_arr packed, k_in params, size_t R, err *e);

/* One call: R replicas, n_seq sequences each. */
typedef struct model_io {
    size_t R, n_seq;
    k_in params, packed;    /* packed.p NULL: none */
    k_in consts;            /* model_consts, stride 0 */
    k_arr acts;             /* model_act_len */
    k_mult mults;           /* model_n_mults rows of R, row stride ld_mults */
    size_t ld_mults;
    k_ids ids;              /* inputs; targets are one place further */
    double *row_loss;       /* [R][n_seq * seq_len] work */
    double *seq_loss;       /* out [R][n_seq], replica stride ld_seq_loss: mean nats per token of each sequence */
    size_t ld_seq_loss;
} model_io;

status model_eval(const model *m, const k_ops *ops, k_ctx *ctx, const model_io *io, err *e);

/* grads [+]= d(dscale * sum over rows of row_loss)/d params. For a batch mean, dscale = 1 / (batch * seq_len). */
/* `fresh`: gradients of matrices are written instead of added to; the others must have been zeroed by model_zero_added. */
status model_gradient(const model *m, const k_ops *ops, k_ctx *ctx, const model_io *io, k_arr grads, bool fresh,
                      double dscale, err *e);
status model_zero_added(const model *m, const k_ops *ops, k_ctx *ctx, k_arr grads, size_t R, err *e);

/* What one replica's forward pass leaves behind, for whoever wants to see it (trainer/model_look.c). Row-major; rows are
 * the tokens of all sequences. Streams are before every branch, attention and MLP in turn, and after the last. */
typedef struct model_scene {
    size_t rows, d, qkv, q, kv;
    real *stream; /* [2 n_layer + 1][rows][d] */
    real *heads;  /* [n_layer][rows][qkv]: q, k, v as attention takes them, after QK-norm and RoPE */
    real *normed; /* [rows][d]: what the readout multiplies */
} model_scene;
status model_scene_new(model_scene **out, const model *m, size_t n_seq, err *e);
void model_scene_free(model_scene *s);
/* Forward only; acts as for a gradient, io.R = 1. What it leaves in acts is the scene: taken from the host's memory,
 * where a device's must be copied first. */
status model_look(const model *m, const k_ops *ops, k_ctx *ctx, const model_io *io, err *e);
void model_scene_take(model_scene *out, const model *m, const real *acts);
#ifdef __cplusplus
}
#endif
#endif
