/* Attention behind one interface; `kind` chooses the variant. K_ATTN_CAUSAL: softmax over keys 0..t; scores above the
 * diagonal are never formed. Query head h uses key-value head h / (n_head / n_kv_head) (GQA, Ainslie et al. 2023,
 * arXiv:2305.13245). q (B*T rows, n_head * head_dim), k, v (B*T rows, n_kv_head * head_dim): row stride ld each (they
 * may be columns of one buffer) o (B*T, n_head * head_dim) row stride ldo; lse (B, n_head, T) = log sum exp of the
 * scaled scores, kept for bwd fwd: s_j = scale * q.k_j, p = softmax(s), o = sum_j p_j v_j bwd: dq, dk, dv are `=`:
 * all rows are written; row stride ld; dout and o row stride ldo. p is recomputed from lse, D = dout.o, ds_j = p_j
 * (dout.v_j - D) (Dao et al. 2022, arXiv:2205.14135, Alg. 4) attn_scratch: bytes of scratch a context must have for
 * this op.
 * attn_rope_fwd, attn_rope_bwd (optional): of q and k that rope_fwd has not turned, with its table (rope.h): the bits
 * of rope_fwd, then attn_fwd; and of attn_bwd, then rope_bwd of dq and dk. q and k stay as they are, for backward. */
#ifndef KERNELS_ATTENTION_H
#define KERNELS_ATTENTION_H
#include "kernels/kernels.h"
size_t k_attn_scratch_cpu(const k_attn *s);
status k_attn_fwd_cpu(k_ctx *, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_mult scale, const k_attn *s, err *);
status k_attn_bwd_cpu(k_ctx *, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v, k_cact o, k_in lse,
                      k_mult scale, const k_attn *s, err *);
#endif
