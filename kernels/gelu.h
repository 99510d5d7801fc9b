/* Activations of the feed-forward block. The forward pass leaves the derivative where its argument was, so the
 * backward pass is a product and computes no exponential a second time. gelu_fwd:   y = gelu(u), u <- gelu'(u) tanh
 * form, Hendrycks & Gimpel 2016 (arXiv:1606.08415), Sec. 2 gelu_bwd:   du = dy * coef                  coef: what
 * gelu_fwd left in u; du may be dy or coef swiglu_fwd: u = (up | gate), rows of 2c: y = silu(gate) * up, u <- (dy/dup
 * | dy/dgate)    Shazeer 2020 (arXiv:2002.05202) swiglu_bwd: du (n, 2c) = (dy * coef_up | dy * coef_gate) du may be
 * coef Rows: n of c. y and dy have row stride ld; u, coef and du have row stride ld (gelu) or 2 ld (swiglu). */
#ifndef KERNELS_GELU_H
#define KERNELS_GELU_H
#include "kernels/kernels.h"
status k_gelu_fwd_cpu(k_ctx *, k_act y, k_act u, const k_rows *s, err *);
status k_gelu_bwd_cpu(k_ctx *, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *);
status k_swiglu_fwd_cpu(k_ctx *, k_act y, k_act u, const k_rows *s, err *);
status k_swiglu_bwd_cpu(k_ctx *, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *);
#endif
