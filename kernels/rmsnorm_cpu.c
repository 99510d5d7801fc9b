#include "kernels/rmsnorm.h"

#include <math.h>

status k_rmsnorm_fwd_cpu(k_ctx *ctx, k_act y, k_arr rstd, k_cact x, const k_norm *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->n; i++) {
            const real *in = x.p + r * x.stride + i * s->c;
            real *out = y.p + r * y.stride + i * s->c;
            double sum = 0;
            for (size_t c = 0; c < s->c; c++) sum += (double)in[c] * (double)in[c];
            const real k = (real)(1 / sqrt(sum / (double)s->c + s->eps));
            for (size_t c = 0; c < s->c; c++) out[c] = in[c] * k;
            rstd.p[r * rstd.stride + i] = k;
        }
    return ST_OK;
}

status k_rmsnorm_bwd_cpu(k_ctx *ctx, k_act dx, k_cact dy, k_cact y, k_in rstd, bool acc, const k_norm *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->n; i++) {
            const real *g = dy.p + r * dy.stride + i * s->c, *xhat = y.p + r * y.stride + i * s->c;
            real *out = dx.p + r * dx.stride + i * s->c;
            double dot = 0;
            for (size_t c = 0; c < s->c; c++) dot += (double)g[c] * (double)xhat[c];
            const real mean = (real)(dot / (double)s->c), k = rstd.p[r * rstd.stride + i];
            for (size_t c = 0; c < s->c; c++) {
                const real d = k * (g[c] - xhat[c] * mean);
                out[c] = acc ? out[c] + d : d;
            }
        }
    return ST_OK;
}

status k_gain_fwd_cpu(k_ctx *ctx, k_act y, k_cact x, k_in gain, const k_norm *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->n; i++)
            for (size_t c = 0; c < s->c; c++)
                y.p[r * y.stride + i * s->c + c] = x.p[r * x.stride + i * s->c + c] * gain.p[r * gain.stride + c];
    return ST_OK;
}

status k_gain_bwd_cpu(k_ctx *ctx, k_act dx, k_arr dgain, k_cact dy, k_cact x, k_in gain, const k_norm *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->n; i++)
            for (size_t c = 0; c < s->c; c++) {
                const real d = dy.p[r * dy.stride + i * s->c + c];
                dgain.p[r * dgain.stride + c] += d * x.p[r * x.stride + i * s->c + c];
                dx.p[r * dx.stride + i * s->c + c] = d * gain.p[r * gain.stride + c];
            }
    return ST_OK;
}
