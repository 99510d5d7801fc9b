/* RMSNorm over rows of c, and its gain as an op of its own (gainless is the default: gains hurt transfer).
 * Zhang & Sennrich 2019 (arXiv:1910.07467), Eq. (4); eps inside the root.
 *   rmsnorm_fwd: rstd[i] = 1 / sqrt(mean_c x^2 + eps), y = x * rstd                x, y (n, c); rstd (n)
 *   rmsnorm_bwd: dx [+]= rstd * (dy - y * mean_c(dy * y))                          from y, not x: x need not be kept
 *   gain_fwd:    y = x * gain                                                      gain (c)
 *   gain_bwd:    dgain += sum_i dy * x (rows in order); dx = dy * gain             dx may be dy */
#ifndef KERNELS_RMSNORM_H
#define KERNELS_RMSNORM_H
#include "kernels/kernels.h"
status k_rmsnorm_fwd_cpu(k_ctx *, k_act y, k_arr rstd, k_cact x, const k_norm *s, err *);
status k_rmsnorm_bwd_cpu(k_ctx *, k_act dx, k_cact dy, k_cact y, k_in rstd, bool acc, const k_norm *s, err *);
status k_gain_fwd_cpu(k_ctx *, k_act y, k_cact x, k_in gain, const k_norm *s, err *);
status k_gain_bwd_cpu(k_ctx *, k_act dx, k_arr dgain, k_cact dy, k_cact x, k_in gain, const k_norm *s, err *);
#endif
