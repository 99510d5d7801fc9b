/* multi-power's inner sum for one vector size. Included once per level by fit/curve_sum.c, which sets
 *   VB  bytes of a vector      NAME(x)  x with the level's suffix */
typedef double NAME(vec) __attribute__((vector_size(VB), may_alias));
typedef double NAME(vec_any) __attribute__((vector_size(VB), may_alias, aligned(8)));
typedef int64_t NAME(veci) __attribute__((vector_size(VB), may_alias));
#define vec NAME(vec)
#define veci NAME(veci)
#define load NAME(load)
#define splat NAME(splat)
#define pick NAME(pick)
#define vexp NAME(vexp)
#define vlog NAME(vlog)
#define lanes NAME(lanes)
#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const double *p) { return *(const NAME(vec_any) *)p; }
INLINE vec splat(double x) { return x - (vec){0}; }
INLINE vec pick(veci mask, vec yes, vec no) { return (vec)(((veci)yes & mask) | ((veci)no & ~mask)); }

/* x = n ln 2 + r, |r| <= ln 2 / 2, e^r by its Taylor polynomial (the first term left out is 4e-18), 2^n into the
 * exponent. Clamped to where 2^n is a normal double; NaN stays. */
INLINE vec vexp(vec x)
{
    const vec magic = splat(6755399441055744.); /* 1.5 * 2^52: adding it rounds to an integer, left in the low bits */
    vec y = pick(x < splat(-708), splat(-708), pick(x > splat(709), splat(709), x));
    vec k = y * splat(1.4426950408889634) + magic, n = k - magic;
    vec r = y - n * splat(0x1.62e42feep-1) - n * splat(0x1.a39ef35793c76p-33);
    vec p = splat(1. / 6227020800);
    p = p * r + splat(1. / 479001600);
    p = p * r + splat(1. / 39916800);
    p = p * r + splat(1. / 3628800);
    p = p * r + splat(1. / 362880);
    p = p * r + splat(1. / 40320);
    p = p * r + splat(1. / 5040);
    p = p * r + splat(1. / 720);
    p = p * r + splat(1. / 120);
    p = p * r + splat(1. / 24);
    p = p * r + splat(1. / 6);
    p = p * r + splat(.5);
    p = p * r + splat(1);
    p = p * r + splat(1);
    return (vec)((veci)p + ((veci)k << 52));
}

/* y = 2^k m, m in [sqrt 1/2, sqrt 2); ln m = 2 artanh((m - 1)/(m + 1)) by its series (first term left out 2e-20). For
 * normal y > 0. */
INLINE vec vlog(vec y)
{
    const veci one = (veci)splat(1), two52 = (veci)splat(4503599627370496.);
    vec k = (vec)(((veci)y >> 52) | two52) - splat(4503599627370496. + 1023);
    vec m = (vec)(((veci)y & 0x000fffffffffffff) | one);
    veci big = m > splat(1.4142135623730951);
    m = pick(big, m * splat(.5), m);
    k = pick(big, k + splat(1), k);
    vec s = (m - splat(1)) / (m + splat(1)), z = s * s, p = splat(1. / 23), t = s + s;
    p = p * z + splat(1. / 21);
    p = p * z + splat(1. / 19);
    p = p * z + splat(1. / 17);
    p = p * z + splat(1. / 15);
    p = p * z + splat(1. / 13);
    p = p * z + splat(1. / 11);
    p = p * z + splat(1. / 9);
    p = p * z + splat(1. / 7);
    p = p * z + splat(1. / 5);
    p = p * z + splat(1. / 3);
    return k * splat(0x1.62e42feep-1) + (t + (t * z * p + k * splat(0x1.a39ef35793c76p-33)));
}

INLINE double lanes(vec x)
{
    double sum = 0;
    for (int i = 0; i < VB / 8; i++) sum += x[i];
    return sum;
}

static void NAME(value)(double *h, const double *weight, const double *t, const double *s, size_t n, double v,
                        double beta, double gamma)
{
    vec sum = splat(0);
    for (size_t i = 0; i < n; i += VB / 8) {
        vec u = vexp(splat(v) + splat(gamma) * load(t + i)) * load(s + i);
        sum += load(weight + i) * (splat(1) - vexp(splat(-beta) * vlog(splat(1) + u)));
    }
    h[FIT_H] += lanes(sum);
}

/* With l = ln(1 + u), q = e^(-beta l), p = u/(1 + u) = dl/dv:
 *   G = 1 - q                            G_v = beta q p             G_b = q l
 *   G_vv = beta q p (1 - p - beta p)     G_vb = q p (1 - beta l)    G_bb = -q l^2 */
static void NAME(derivatives)(double *h, const double *weight, const double *t, const double *s, size_t n, double v,
                              double beta, double gamma)
{
    vec sum[FIT_N_H];
    const vec b = splat(beta), one = splat(1);
    for (size_t j = 0; j < FIT_N_H; j++) sum[j] = splat(0);
    for (size_t i = 0; i < n; i += VB / 8) {
        vec ti = load(t + i), w = load(weight + i), u = vexp(splat(v) + splat(gamma) * ti) * load(s + i);
        vec r = one / (one + u), p = one - r, l = vlog(one + u), q = vexp(-b * l), wq = w * q, wqp = wq * p;
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
    for (size_t j = 0; j < FIT_N_H; j++) h[j] += lanes(sum[j]);
}

#undef vec
#undef veci
#undef load
#undef splat
#undef pick
#undef vexp
#undef vlog
#undef lanes
#undef INLINE
#undef NAME
#undef VB
