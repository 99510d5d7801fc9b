/* AdamW on one tensor of every replica, fused: one pass over p, m, v, g. Loshchilov & Hutter 2019 (arXiv:1711.05101),
 * Alg. 2; eps outside the root. g' = grad_scale g                              (global-norm clipping) m  = beta1 m +
 * (1 - beta1) g';  v = beta2 v + (1 - beta2) g'^2 p  = p (1 - decay) - lr * (m / correct1) / (sqrt(v / correct2) +
 * eps),  correct_k = 1 - beta_k^step h  [R] one row per replica. A row with lr = decay = 0 still moves m and v; a
 * masked replica is not passed at all. k_adam_set fills a row: lr = s * LR; decay = s * LR * lambda (coupled, as
 * PyTorch) or s * lambda (independent), s the schedule factor, LR the tensor's peak learning rate. */
#ifndef KERNELS_ADAMW_H
#define KERNELS_ADAMW_H
#include "kernels/kernels.h"
typedef struct k_adam_in {
    double s, lr, lambda, eps, beta1, beta2, grad_scale;
    uint64_t step;
    bool coupled;
} k_adam_in;
k_adam k_adam_set(const k_adam_in *in);
status k_adamw_cpu(k_ctx *, k_arr p, k_arr m, k_arr v, k_in g, const k_adam *h, size_t R, size_t n, err *);
#endif
