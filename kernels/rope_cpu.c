#include "kernels/rope.h"

#include <math.h>

void k_rope_table(real *table, size_t T, size_t head_dim, double theta)
{
    const size_t half = head_dim / 2;
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < half; i++) {
            const double angle = (double)t * pow(theta, -2.0 * (double)i / (double)head_dim);
            table[t * head_dim + i] = (real)cos(angle);
            table[t * head_dim + half + i] = (real)sin(angle);
        }
}

static void rotate(k_act x, k_in table, real sign, const k_heads *s)
{
    const size_t half = s->head_dim / 2;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->B * s->T; i++)
            for (size_t h = 0; h < s->heads; h++) {
                real *v = x.p + r * x.stride + i * s->ld + h * s->head_dim;
                const real *cs = table.p + r * table.stride + i % s->T * s->head_dim, *sn = cs + half;
                for (size_t c = 0; c < half; c++) {
                    const real a = v[c], b = v[c + half], z = sign * sn[c];
                    v[c] = a * cs[c] - b * z;
                    v[c + half] = a * z + b * cs[c];
                }
            }
}

status k_rope_fwd_cpu(k_ctx *ctx, k_act x, k_in table, const k_heads *s, err *e)
{
    (void)ctx, (void)e;
    rotate(x, table, 1, s);
    return ST_OK;
}

status k_rope_bwd_cpu(k_ctx *ctx, k_act dx, k_in table, const k_heads *s, err *e)
{
    (void)ctx, (void)e;
    rotate(dx, table, -1, s);
    return ST_OK;
}
