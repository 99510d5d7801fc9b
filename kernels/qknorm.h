/* Gainless RMSNorm of every head of q and k, in place (QK-norm: Henry et al. 2020, arXiv:2010.04245; RMS form as in
 * OLMo 2). fwd: x (B*T rows, heads * head_dim, row stride ld) = x * rstd;   rstd (B*T, heads) = 1/sqrt(mean x^2 +
 * eps) bwd: dx = rstd * (dx - y * mean(dx * y)) in place; y is fwd's output A rotation keeps lengths, so RoPE and
 * this op commute: bwd may be given y and dx after RoPE. */
#ifndef KERNELS_QKNORM_H
#define KERNELS_QKNORM_H
#include "kernels/kernels.h"
status k_qknorm_fwd_cpu(k_ctx *, k_act x, k_arr rstd, double eps, const k_heads *s, err *);
status k_qknorm_bwd_cpu(k_ctx *, k_act dx, k_cact y, k_in rstd, const k_heads *s, err *);
#endif
