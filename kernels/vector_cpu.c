#include "kernels/vector.h"

#include <string.h>

status k_sumsq_cpu(k_ctx *ctx, double *out, k_in x, size_t R, size_t n, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < R; r++) {
        const real *a = x.p + r * x.stride;
        double lane[8] = {0}; /* eight chains: shorter rounding chains, and the compiler may use vectors */
        size_t i = 0;
        for (; i + 8 <= n; i += 8)
            for (size_t k = 0; k < 8; k++) lane[k] += (double)a[i + k] * (double)a[i + k];
        for (; i < n; i++) lane[0] += (double)a[i] * (double)a[i];
        out[r] = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    }
    return ST_OK;
}

status k_add_cpu(k_ctx *ctx, k_arr y, k_in x, size_t R, size_t n, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < R; r++)
        for (size_t i = 0; i < n; i++) y.p[r * y.stride + i] += x.p[r * x.stride + i];
    return ST_OK;
}

status k_zero_cpu(k_ctx *ctx, k_arr y, size_t R, size_t n, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < R; r++) memset(y.p + r * y.stride, 0, n * sizeof *y.p);
    return ST_OK;
}
