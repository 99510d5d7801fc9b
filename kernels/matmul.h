/* Matrix products of a linear layer y = alpha * x W^T, W (out, in) contiguous, strided over replicas.
 *   fwd:   y  [+]= alpha * x W^T       x (n, in) row stride ldx, y (n, out) row stride ldy
 *   dgrad: dx [+]= alpha * dy W        dy row stride ldy, dx row stride ldx
 *   wgrad: dW [+]= alpha * dy^T x
 * [+]: `acc` adds to what is there (residual stream; gradients from the second slice of a batch on). No aliasing. n, in, out >= 1.
 *   fwd_real (optional): fwd with acc false into y of type real
 * Fused forms (optional slots; same results up to rounding as the two ops they replace):
 *   gelu_fwd:  u = alpha * x W^T, then as gelu_fwd (gelu.h): y = gelu(u), coef: what that leaves in u; row stride ldy
 *   dgrad_mul: dx = gelu_bwd of alpha * dy W and coef, which has dx's shape
 * mm_scratch: bytes of scratch that wgrad of these sizes, and of fewer rows, may want.
 * The definition is CBLAS, one call per replica. */
#ifndef KERNELS_MATMUL_H
#define KERNELS_MATMUL_H
#include "kernels/kernels.h"
status k_matmul_fwd_cpu(k_ctx *, k_act y, k_cact x, k_weight w, k_mult alpha, bool acc, const k_mm *s, err *);
status k_matmul_dgrad_cpu(k_ctx *, k_act dx, k_cact dy, k_weight w, k_mult alpha, bool acc, const k_mm *s, err *);
status k_matmul_wgrad_cpu(k_ctx *, k_arr dw, k_cact dy, k_cact x, k_mult alpha, bool acc, const k_mm *s, err *);
size_t k_mm_scratch_cpu(const k_mm *s);
#endif
