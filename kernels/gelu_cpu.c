#include "kernels/gelu.h"

#include <math.h>

/* gelu(u) = u/2 (1 + tanh z) = u sigmoid(2z), z = sqrt(2/pi) (u + 0.044715 u^3). */
static const double TWO_K = 1.5957691216057307117597842397375, CUBE = 0.044715;

status k_gelu_fwd_cpu(k_ctx *ctx, k_act y, k_act u, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->n; i++)
            for (size_t c = 0; c < s->c; c++) {
                real *at = u.p + r * u.stride + i * s->ld + c;
                const double x = (double)*at, sig = 1 / (1 + exp(-TWO_K * x * (1 + CUBE * x * x)));
                y.p[r * y.stride + i * s->ld + c] = (real)(x * sig);
                *at = (real)(sig + x * sig * (1 - sig) * TWO_K * (1 + 3 * CUBE * x * x));
            }
    return ST_OK;
}

status k_gelu_bwd_cpu(k_ctx *ctx, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->n; i++)
            for (size_t c = 0; c < s->c; c++)
                du.p[r * du.stride + i * s->ld + c] =
                    dy.p[r * dy.stride + i * s->ld + c] * coef.p[r * coef.stride + i * s->ld + c];
    return ST_OK;
}

status k_swiglu_fwd_cpu(k_ctx *ctx, k_act y, k_act u, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->n; i++)
            for (size_t c = 0; c < s->c; c++) {
                real *up = u.p + r * u.stride + i * 2 * s->ld + c, *gate = up + s->c;
                const double g = (double)*gate, sig = 1 / (1 + exp(-g)), a = (double)*up;
                y.p[r * y.stride + i * s->ld + c] = (real)(g * sig * a);
                *up = (real)(g * sig);
                *gate = (real)(a * sig * (1 + g * (1 - sig)));
            }
    return ST_OK;
}

status k_swiglu_bwd_cpu(k_ctx *ctx, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->n; i++)
            for (size_t c = 0; c < s->c; c++) {
                const real d = dy.p[r * dy.stride + i * s->ld + c];
                const real *k = coef.p + r * coef.stride + i * 2 * s->ld + c;
                real *out = du.p + r * du.stride + i * 2 * s->ld + c;
                out[0] = d * k[0];
                out[s->c] = d * k[s->c];
            }
    return ST_OK;
}
