/* Rotary positions, in place. Su et al. 2021 (arXiv:2104.09864), Eq. (34), in the half-split form of GPT-NeoX:
 * channel i of a head is paired with i + head_dim/2, so that both halves are contiguous. fwd: (a, b) -> (a cos - b
 * sin, a sin + b cos);  bwd: the inverse rotation of the gradient x      (B*T rows, heads * head_dim, row stride ld),
 * the position is row % T table  (T, head_dim): head_dim/2 cosines, then head_dim/2 sines of t *
 * theta^(-2i/head_dim); shared by all replicas */
#ifndef KERNELS_ROPE_H
#define KERNELS_ROPE_H
#include "kernels/kernels.h"
void k_rope_table(real *table, size_t T, size_t head_dim, double theta);
status k_rope_fwd_cpu(k_ctx *, k_act x, k_in table, const k_heads *s, err *);
status k_rope_bwd_cpu(k_ctx *, k_act dx, k_in table, const k_heads *s, err *);
#endif
