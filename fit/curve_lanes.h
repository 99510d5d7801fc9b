/* multi-power's inner sum, once per CPU level: included by fit/curve_sum_v*.c, which set VEC_BYTES (base/vec64.h) and
 * CURVE_SUM, the function's name. Nothing here tests for NaN: a coordinate that overflows gives infinities or NaN, as
 * it should. */
#include "base/vec64.h"

/* Clamped to where 2^n is a normal double; NaN stays. */
INLINE vec vexp_clamped(vec x)
{
    return vexp_normal(pick(x < splat(-708), splat(-708), pick(x > splat(709), splat(709), x)));
}

static void value(double *h, const double *weight, const double *t, const double *s, size_t n, double v,
                        double beta, double gamma)
{
    vec sum = splat(0);
    for (size_t i = 0; i < n; i += VL) {
        vec u = vexp_clamped(splat(v) + splat(gamma) * ld(t + i)) * ld(s + i);
        sum += ld(weight + i) * (splat(1) - vexp_clamped(splat(-beta) * vlog_normal(splat(1) + u)));
    }
    h[FIT_H] += sum_lanes(sum);
}

/* With l = ln(1 + u), q = e^(-beta l), p = u/(1 + u) = dl/dv:
 *   G = 1 - q                            G_v = beta q p             G_b = q l
 *   G_vv = beta q p (1 - p - beta p)     G_vb = q p (1 - beta l)    G_bb = -q l^2 */
static void derivatives(double *h, const double *weight, const double *t, const double *s, size_t n, double v,
                              double beta, double gamma)
{
    vec sum[FIT_N_H];
    const vec b = splat(beta), one = splat(1);
    for (size_t j = 0; j < FIT_N_H; j++) sum[j] = splat(0);
    for (size_t i = 0; i < n; i += VL) {
        vec ti = ld(t + i), w = ld(weight + i), u = vexp_clamped(splat(v) + splat(gamma) * ti) * ld(s + i);
        vec r = one / (one + u), p = one - r, l = vlog_normal(one + u), q = vexp_clamped(-b * l), wq = w * q, wqp = wq * p;
        vec gv = b * wqp, gvv = gv * (r - b * p), gvb = wqp * (one - b * l), gb = wq * l;
        sum[FIT_H] += w - wq;
        sum[FIT_HV] += gv;
        sum[FIT_HVT] += gv * ti;
        sum[FIT_HB] += gb;
        sum[FIT_HVV] += gvv;
        sum[FIT_HVVT] += gvv * ti;
        sum[FIT_HVVTT] += gvv * ti * ti;
        sum[FIT_HVB] += gvb;
        sum[FIT_HVBT] += gvb * ti;
        sum[FIT_HBB] -= gb * l;
    }
    for (size_t j = 0; j < FIT_N_H; j++) h[j] += sum_lanes(sum[j]);
}

void CURVE_SUM(double *h, const double *weight, const double *t, const double *s, size_t n, double v, double beta,
               double gamma, bool all)
{
    (all ? derivatives : value)(h, weight, t, s, n, v, beta, gamma);
}
