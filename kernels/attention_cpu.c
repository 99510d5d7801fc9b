#include "kernels/attention.h"

#include <math.h>
#include <string.h>

#include "kernels/ctx.h"

size_t k_attn_scratch_cpu(const k_attn *s) { return s->T * sizeof(real); }

static real dot(const real *a, const real *b, size_t n)
{
    real x = 0;
    for (size_t i = 0; i < n; i++) x += a[i] * b[i];
    return x;
}

/* One query row: keys and values 0..t of its head. Returns the row's lse. */
static real row_fwd(real *o, real *p, const real *q, const real *k, const real *v, real scale, size_t t,
                    const k_attn *s)
{
    const size_t D = s->head_dim;
    real max = (real)-INFINITY, sum = 0;
    for (size_t j = 0; j <= t; j++) {
        p[j] = scale * dot(q, k + j * s->ld, D);
        max = p[j] > max || isnan(p[j]) ? p[j] : max;
    }
    for (size_t j = 0; j <= t; j++) sum += p[j] = (real)exp((double)(p[j] - max));
    memset(o, 0, D * sizeof *o);
    for (size_t j = 0; j <= t; j++)
        for (size_t c = 0; c < D; c++) o[c] += p[j] / sum * v[j * s->ld + c];
    return max + (real)log((double)sum);
}

status k_attn_fwd_cpu(k_ctx *ctx, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_mult scale, const k_attn *s,
                      err *e)
{
    (void)e;
    const size_t D = s->head_dim, group = s->n_head / s->n_kv_head;
    for (size_t r = 0; r < s->R; r++)
        for (size_t b = 0; b < s->B; b++)
            for (size_t h = 0; h < s->n_head; h++) {
                const size_t row0 = b * s->T, kv = h / group * D;
                const real *kh = k.p + r * k.stride + row0 * s->ld + kv, *vh = v.p + r * v.stride + row0 * s->ld + kv;
                for (size_t t = 0; t < s->T; t++)
                    lse.p[r * lse.stride + (b * s->n_head + h) * s->T + t] =
                        row_fwd(o.p + r * o.stride + (row0 + t) * s->ldo + h * D, (real *)ctx->scratch,
                                q.p + r * q.stride + (row0 + t) * s->ld + h * D, kh, vh, k_scalar(scale, r), t, s);
            }
    return ST_OK;
}

typedef struct row { real *dq, *dk, *dv; const real *dout, *q, *k, *v, *o; real lse, scale; } row;

static void row_bwd(const row *w, size_t t, const k_attn *s)
{
    const size_t D = s->head_dim;
    const real delta = dot(w->dout, w->o, D);
    for (size_t j = 0; j <= t; j++) {
        const size_t at = j * s->ld;
        const real p = (real)exp((double)(w->scale * dot(w->q, w->k + at, D) - w->lse));
        const real ds = w->scale * p * (dot(w->dout, w->v + at, D) - delta);
        for (size_t c = 0; c < D; c++) {
            w->dv[at + c] += p * w->dout[c];
            w->dk[at + c] += ds * w->q[c];
            w->dq[c] += ds * w->k[at + c];
        }
    }
}

static void zero_rows(k_act x, size_t r, size_t width, const k_attn *s)
{
    for (size_t i = 0; i < s->B * s->T; i++) memset(x.p + r * x.stride + i * s->ld, 0, width * sizeof *x.p);
}

status k_attn_bwd_cpu(k_ctx *ctx, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v, k_cact o, k_in lse,
                      k_mult scale, const k_attn *s, err *e)
{
    (void)ctx, (void)e;
    const size_t D = s->head_dim, group = s->n_head / s->n_kv_head;
    for (size_t r = 0; r < s->R; r++) {
        zero_rows(dq, r, s->n_head * D, s);
        zero_rows(dk, r, s->n_kv_head * D, s);
        zero_rows(dv, r, s->n_kv_head * D, s);
        for (size_t b = 0; b < s->B; b++)
            for (size_t h = 0; h < s->n_head; h++)
                for (size_t t = 0; t < s->T; t++) {
                    const size_t first = b * s->T * s->ld + h / group * D; /* key and value rows of this head */
                    const size_t at = (b * s->T + t) * s->ld + h * D, out = (b * s->T + t) * s->ldo + h * D;
                    const row w = {.dq = dq.p + r * dq.stride + at,
                                   .dk = dk.p + r * dk.stride + first,
                                   .dv = dv.p + r * dv.stride + first,
                                   .dout = dout.p + r * dout.stride + out,
                                   .q = q.p + r * q.stride + at,
                                   .k = k.p + r * k.stride + first,
                                   .v = v.p + r * v.stride + first,
                                   .o = o.p + r * o.stride + out,
                                   .lse = lse.p[r * lse.stride + (b * s->n_head + h) * s->T + t],
                                   .scale = k_scalar(scale, r)};
                    row_bwd(&w, t, s);
                }
    }
    return ST_OK;
}
