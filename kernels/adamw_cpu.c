#include "kernels/adamw.h"

#include <math.h>

k_adam k_adam_set(const k_adam_in *in)
{
    const double lr = in->s * in->lr;
    return (k_adam){.lr = lr, .eps = in->eps, .decay = in->coupled ? lr * in->lambda : in->s * in->lambda,
                    .beta1 = in->beta1, .beta2 = in->beta2, .grad_scale = in->grad_scale,
                    .correct1 = 1 - pow(in->beta1, (double)in->step), .correct2 = 1 - pow(in->beta2, (double)in->step)};
}

status k_adamw_cpu(k_ctx *ctx, k_arr p, k_arr m, k_arr v, k_in g, const k_adam *h, size_t R, size_t n, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < R; r++) {
        real *pr = p.p + r * p.stride, *mr = m.p + r * m.stride, *vr = v.p + r * v.stride;
        const real *gr = g.p + r * g.stride;
        const real b1 = (real)h[r].beta1, b2 = (real)h[r].beta2, c1 = (real)(1 - h[r].beta1),
                   c2 = (real)(1 - h[r].beta2);
        const real lr = (real)(h[r].lr / h[r].correct1), k2 = (real)(1 / sqrt(h[r].correct2)), eps = (real)h[r].eps;
        const real keep = (real)(1 - h[r].decay), scale = (real)h[r].grad_scale;
        for (size_t i = 0; i < n; i++) {
            const real d = scale * gr[i];
            mr[i] = b1 * mr[i] + c1 * d;
            vr[i] = b2 * vr[i] + c2 * d * d;
#ifdef K_REAL_DOUBLE
            pr[i] = keep * pr[i] - lr * mr[i] / (sqrt(vr[i]) * k2 + eps);
#else
            pr[i] = keep * pr[i] - lr * mr[i] / (sqrtf(vr[i]) * k2 + eps);
#endif
        }
    }
    return ST_OK;
}
