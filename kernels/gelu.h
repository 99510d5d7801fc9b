/* Activations of the feed-forward block. The forward pass leaves in u what this backend's backward pass wants, `coef`:
 * on the CPU the derivative, so that backward is a product and computes no exponential a second time; on a device u
 * itself, because there writing the derivative costs more than computing it again.
 *   gelu_fwd:   y = gelu(u), tanh form, Hendrycks & Gimpel 2016 (arXiv:1606.08415), Sec. 2; u <- gelu'(u) or u
 *   gelu_bwd:   du = dy * gelu'(u)        coef: what gelu_fwd left in u; du may be dy or coef
 *   swiglu_fwd: u = (up | gate), rows of 2c: y = silu(gate) * up, Shazeer 2020 (arXiv:2002.05202);
 *               u <- (dy/dup | dy/dgate) or u
 *   swiglu_bwd: du (n, 2c) = (dy * dy/dup | dy * dy/dgate)        du may be coef
 * Rows: n of c. y and dy have row stride ld; u, coef and du have row stride ld (gelu) or 2 ld (swiglu). */
#ifndef KERNELS_GELU_H
#define KERNELS_GELU_H
#include "kernels/kernels.h"
status k_gelu_fwd_cpu(k_ctx *, k_act y, k_act u, const k_rows *s, err *);
status k_gelu_bwd_cpu(k_ctx *, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *);
status k_swiglu_fwd_cpu(k_ctx *, k_act y, k_act u, const k_rows *s, err *);
status k_swiglu_bwd_cpu(k_ctx *, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *);
#endif
