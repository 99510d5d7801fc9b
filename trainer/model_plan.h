/* The plan behind model.h. Private to trainer/model*.c. */
#ifndef TRAINER_MODEL_PLAN_H
#define TRAINER_MODEL_PLAN_H
#include "trainer/model.h"

typedef struct layer {
    size_t attn_norm, q, k, v, attn_out, ffn_norm, ffn_in, ffn_gate, ffn_out;
} layer; /* tensor numbers */

struct model {
    shape s;
    size_t act_bytes; /* of one activation */
    bool device;      /* sizes of work are a device's: whole slices at once */
    size_t n_tensors;
    shape_tensor *tensors;
    layer *layers;
    size_t embed, final_norm, head; /* head == embed when tied */
    /* sizes in elements, named once */
    size_t d, q, kv, qkv, f, u, T, V; /* qkv = q + 2 kv, u = f or 2f: what the first ffn matrix writes */
    size_t ld_qkv, ld_f, ld_u, ld_v;  /* row strides: whole lines plus one, so that no stride is a power of two */
    size_t head_rows;                 /* rows of logits formed at once */
    size_t *pack_at;                  /* place of each tensor in the packed weights */
};

/* Where activations lie in a replica's arena, in reals (also what takes fewer bytes: rounded up to whole lines). Per-layer buffers repeat every `layer` reals. */
typedef struct layout {
    size_t x, h1, r1, qkv, rq, att, lse, h2, r2, u,
        g; /* h: normalised, r: 1/rms; u: what the activation leaves for its gradient */
    size_t layer;                                      /* 0 in eval: layers share */
    size_t hf, rf, hg, logits;                         /* hg: h times gain */
    size_t dx, dh, dqkv, datt, du;                     /* backward */
    size_t total;
} layout;
layout model_layout(const model *m, size_t n_seq, bool train);
#endif
