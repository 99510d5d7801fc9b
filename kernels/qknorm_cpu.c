#include "kernels/qknorm.h"

#include <math.h>

status k_qknorm_fwd_cpu(k_ctx *ctx, k_act x, k_arr rstd, double eps, const k_heads *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->B * s->T; i++)
            for (size_t h = 0; h < s->heads; h++) {
                real *v = x.p + r * x.stride + i * s->ld + h * s->head_dim;
                double sum = 0;
                for (size_t c = 0; c < s->head_dim; c++) sum += (double)v[c] * (double)v[c];
                const real k = (real)(1 / sqrt(sum / (double)s->head_dim + eps));
                for (size_t c = 0; c < s->head_dim; c++) v[c] *= k;
                rstd.p[r * rstd.stride + i * s->heads + h] = k;
            }
    return ST_OK;
}

status k_qknorm_bwd_cpu(k_ctx *ctx, k_act dx, k_cact y, k_in rstd, const k_heads *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->B * s->T; i++)
            for (size_t h = 0; h < s->heads; h++) {
                real *d = dx.p + r * dx.stride + i * s->ld + h * s->head_dim;
                const real *v = y.p + r * y.stride + i * s->ld + h * s->head_dim;
                double dot = 0;
                for (size_t c = 0; c < s->head_dim; c++) dot += (double)d[c] * (double)v[c];
                const real mean = (real)(dot / (double)s->head_dim), k = rstd.p[r * rstd.stride + i * s->heads + h];
                for (size_t c = 0; c < s->head_dim; c++) d[c] = k * (d[c] - v[c] * mean);
            }
    return ST_OK;
}
