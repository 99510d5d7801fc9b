#include "kernels/embed.h"

#include "kernels/ctx.h"

status k_embed_fwd_cpu(k_ctx *ctx, k_act y, k_in table, k_ids ids, k_mult alpha, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++) {
        const real a = k_scalar(alpha, r);
        for (size_t i = 0; i < s->n; i++) {
            const real *row = table.p + r * table.stride + (size_t)k_id(&ids, r, i) * s->c;
            real *out = y.p + r * y.stride + i * s->ld;
            for (size_t c = 0; c < s->c; c++) out[c] = a * row[c];
        }
    }
    return ST_OK;
}

status k_embed_bwd_cpu(k_ctx *ctx, k_arr dtable, k_cact dy, k_ids ids, k_mult alpha, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++) {
        const real a = k_scalar(alpha, r);
        for (size_t i = 0; i < s->n; i++) {
            real *row = dtable.p + r * dtable.stride + (size_t)k_id(&ids, r, i) * s->c;
            const real *in = dy.p + r * dy.stride + i * s->ld;
            for (size_t c = 0; c < s->c; c++) row[c] += a * in[c];
        }
    }
    return ST_OK;
}
