/* CUDA's ops, as backend_cuda.cu puts them into the tables: the contract of each is x.h's, the arguments are x_cpu.c's.
 * A is what activations are stored in: float ("cuda-fp32") or __nv_bfloat16 ("cuda"); each x_cuda.cu instantiates its
 * own for both at its end. Private to kernels/, C++. */
#ifndef KERNELS_OPS_CUDA_H
#define KERNELS_OPS_CUDA_H
#include "kernels/device_ops.h"

/* embed_cuda.cu */
template <class A>
status k_embed_fwd_cuda(k_ctx *, k_act y, k_in table, k_ids ids, k_mult alpha, const k_rows *, err *);
template <class A>
status k_embed_bwd_cuda(k_ctx *, k_arr dtable, k_cact dy, k_ids ids, k_mult alpha, const k_rows *, err *);

/* matmul_cuda.cu */
template <class A>
status k_matmul_fwd_cuda(k_ctx *, k_act y, k_cact x, k_weight w, k_mult alpha, bool acc, const k_mm *, err *);
template <class A>
status k_matmul_dgrad_cuda(k_ctx *, k_act dx, k_cact dy, k_weight w, k_mult alpha, bool acc, const k_mm *, err *);
template <class A>
status k_matmul_wgrad_cuda(k_ctx *, k_arr dw, k_cact dy, k_cact x, k_mult alpha, bool acc, const k_mm *, err *);
/* of bf16 activations */
status k_matmul_fwd_real_cuda(k_ctx *, k_arr y, k_cact x, k_weight w, k_mult alpha, const k_mm *, err *);
size_t k_mm_scratch_cuda(const k_mm *);

/* rmsnorm_cuda.cu */
template <class A> status k_rmsnorm_fwd_cuda(k_ctx *, k_act y, k_arr rstd, k_cact x, const k_norm *, err *);
template <class A>
status k_rmsnorm_bwd_cuda(k_ctx *, k_act dx, k_cact dy, k_cact y, k_in rstd, bool acc, const k_norm *, err *);
template <class A> status k_gain_fwd_cuda(k_ctx *, k_act y, k_cact x, k_in gain, const k_norm *, err *);
template <class A>
status k_gain_bwd_cuda(k_ctx *, k_act dx, k_arr dgain, k_cact dy, k_cact x, k_in gain, const k_norm *, err *);
size_t k_norm_scratch_cuda(const k_norm *);

/* qknorm_cuda.cu, rope_cuda.cu */
template <class A> status k_qknorm_fwd_cuda(k_ctx *, k_act x, k_arr rstd, double eps, const k_heads *, err *);
template <class A> status k_qknorm_bwd_cuda(k_ctx *, k_act dx, k_cact y, k_in rstd, const k_heads *, err *);
template <class A> status k_rope_fwd_cuda(k_ctx *, k_act x, k_in table, const k_heads *, err *);
template <class A> status k_rope_bwd_cuda(k_ctx *, k_act dx, k_in table, const k_heads *, err *);

/* attention_cuda.cu */
template <class A>
status k_attn_fwd_cuda(k_ctx *, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_mult scale, const k_attn *, err *);
template <class A>
status k_attn_bwd_cuda(k_ctx *, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v, k_cact o,
                       k_in lse, k_mult scale, const k_attn *, err *);
template <class A>
status k_attn_rope_fwd_cuda(k_ctx *, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_in table, k_mult scale,
                            const k_attn *, err *);
template <class A>
status k_attn_rope_bwd_cuda(k_ctx *, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v, k_cact o,
                            k_in lse, k_in table, k_mult scale, const k_attn *, err *);
template <class A> size_t k_attn_scratch_cuda(const k_attn *);

/* gelu_cuda.cu */
template <class A> status k_gelu_fwd_cuda(k_ctx *, k_act y, k_act u, const k_rows *, err *);
template <class A> status k_gelu_bwd_cuda(k_ctx *, k_act du, k_cact dy, k_cact coef, const k_rows *, err *);
template <class A> status k_swiglu_fwd_cuda(k_ctx *, k_act y, k_act u, const k_rows *, err *);
template <class A> status k_swiglu_bwd_cuda(k_ctx *, k_act du, k_cact dy, k_cact coef, const k_rows *, err *);

/* xent_cuda.cu */
template <class A>
status k_xent_cuda(k_ctx *, double *row_loss, size_t loss_stride, k_act logits, k_ids targets, double dscale,
                   const k_rows *, err *);
status k_xent_real_cuda(k_ctx *, double *row_loss, size_t loss_stride, k_arr logits, k_ids targets, const k_rows *, err *);
status k_seq_loss_cuda(k_ctx *, double *seq_loss, size_t ld, const double *row_loss, size_t loss_stride, size_t R,
                       size_t n_seq, size_t T, err *);

/* adamw_cuda.cu: of one tensor with rows h on the device, and the end of a bank's step (device_ops.h) */
status k_adamw_cuda(k_ctx *, k_arr p, k_arr m, k_arr v, k_in g, const k_adam *h, size_t R, size_t n, err *);
status k_bank_outcome_cuda(k_ctx *, const k_bank_end *, err *);
status k_bank_adamw_cuda(k_ctx *, const k_bank_end *, err *);

/* vector_cuda.cu */
status k_sumsq_cuda(k_ctx *, double *out, k_in x, size_t R, size_t n, err *);
status k_add_cuda(k_ctx *, k_arr y, k_in x, size_t R, size_t n, err *);
status k_zero_cuda(k_ctx *, k_arr y, size_t R, size_t n, err *);

/* pack_cuda.cu: a bf16 copy of a weight, row-major without gaps, in a whole number of K_ALIGN_DEVICE lines */
size_t k_pack_len_cuda(size_t out, size_t in);
status k_pack_cuda(k_ctx *, k_arr packed, k_in w, size_t R, size_t out, size_t in, err *);
#endif
