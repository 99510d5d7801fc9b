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

status k_xent_cpu(k_ctx *ctx, double *row_loss, size_t loss_stride, k_arr logits, k_ids targets, double dscale,
                  const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t i = 0; i < s->n; i++)
            row_loss[r * loss_stride + i] =
                row_xent(logits.p + r * logits.stride + i * s->ld, s->c, (size_t)k_id(&targets, r, i), dscale);
    return ST_OK;
}
