#include "kernels/xent.h"

#include <math.h>

static double row_xent(real *l, size_t V, size_t target, double dscale)
{
    double max = (double)l[0], sum = 0;
    for (size_t c = 1; c < V; c++) max = (double)l[c] > max ? (double)l[c] : max;
    for (size_t c = 0; c < V; c++) sum += exp((double)l[c] - max);
    const double lse = max + log(sum), loss = lse - (double)l[target];
    if (dscale != 0) {
        for (size_t c = 0; c < V; c++) l[c] = (real)(dscale * exp((double)l[c] - lse));
        l[target] -= (real)dscale;
    }
    return loss;
}

status k_xent_cpu(k_ctx *ctx, double *row_loss, size_t loss_stride, k_act logits, k_ids targets, double dscale,
                  const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->n; i++)
            row_loss[r * loss_stride + i] =
                row_xent(logits.p + r * logits.stride + i * s->ld, s->c, (size_t)k_id(&targets, r, i), dscale);
    return ST_OK;
}

status k_seq_loss_cpu(k_ctx *ctx, double *seq_loss, size_t ld, const double *row_loss, size_t loss_stride, size_t R,
                      size_t n_seq, size_t T, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < R; r++)
        for (size_t b = 0; b < n_seq; b++) {
            double sum = 0;
            for (size_t t = 0; t < T; t++) sum += row_loss[r * loss_stride + b * T + t];
            seq_loss[r * ld + b] = sum / (double)T;
        }
    return ST_OK;
}
