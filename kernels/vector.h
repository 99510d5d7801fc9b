/* Passes over flat vectors of n per replica.
 *   sumsq: out[r] = sum x^2 in double (the global gradient norm is its root); x NaN or inf gives NaN or inf
 *   add:   y += x          zero: y = 0 */
#ifndef KERNELS_VECTOR_H
#define KERNELS_VECTOR_H
#include "kernels/kernels.h"
status k_sumsq_cpu(k_ctx *, double *out, k_in x, size_t R, size_t n, err *);
status k_add_cpu(k_ctx *, k_arr y, k_in x, size_t R, size_t n, err *);
status k_zero_cpu(k_ctx *, k_arr y, size_t R, size_t n, err *);
#endif
