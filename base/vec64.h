/* Vectors of doubles by GCC's vector extensions, with exp and log: included once per CPU level by files that set
 * VEC_BYTES, the bytes of a vector (16, 32 or 64). Vectors by the compiler's extension, so that no level hangs on the
 * vectoriser's mood; the same source on every level, so that levels differ in rounding of fused products only. */
#ifndef BASE_VEC64_H
#define BASE_VEC64_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>

enum { VL = VEC_BYTES / 8 };

typedef double vec __attribute__((vector_size(VEC_BYTES), may_alias));
typedef double vec_any __attribute__((vector_size(VEC_BYTES), may_alias, aligned(8))); /* loads, stores anywhere */
typedef int64_t veci __attribute__((vector_size(VEC_BYTES), may_alias));
typedef uint64_t vecu __attribute__((vector_size(VEC_BYTES), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vec ld(const double *p) { return *(const vec_any *)p; }
INLINE void st(double *p, vec x) { *(vec_any *)p = x; }
INLINE vec splat(double x) { return x - (vec){0}; }
INLINE vecu splat_u(uint64_t x) { return x - (vecu){0}; }
INLINE vec pick(veci mask, vec yes, vec no) { return (vec)(((veci)yes & mask) | ((veci)no & ~mask)); }
INLINE vec vabs(vec x) { return (vec)((veci)x & INT64_MAX); }

/* The first n doubles of p, `fill` beyond: nothing outside is read. */
INLINE vec ld_part(const double *p, size_t n, double fill)
{
    union { vec v; double d[VL]; } u = {splat(fill)};
    for (size_t i = 0; i < n; i++) u.d[i] = p[i];
    return u.v;
}

INLINE void st_part(double *p, vec x, size_t n)
{
    union { vec v; double d[VL]; } u = {x};
    for (size_t i = 0; i < n; i++) p[i] = u.d[i];
}

/* Over lanes, pairwise in a fixed order. */
INLINE double sum_lanes(vec x)
{
    union { vec v; double d[VL]; } u = {x};
    for (int h = VL / 2; h; h /= 2)
        for (int i = 0; i < h; i++) u.d[i] += u.d[i + h];
    return u.d[0];
}

/* c[0] + c[1] x + ... + c[n-1] x^(n-1). */
INLINE vec horner(const double *c, const int n, vec x)
{
    vec y = splat(c[n - 1]);
#pragma GCC unroll 16
    for (int i = n - 2; i >= 0; i--) y = y * x + c[i];
    return y;
}

/* ln 2 in two parts; the first has 21 zero bits at its end, so that times an exponent it is exact. */
#define VEC_LN2_HI 0x1.62e42fee00000p-1
#define VEC_LN2_LO 0x1.a39ef35793c76p-33
#define VEC_MAGIC 0x1.8p52 /* adding it rounds to an integer, left in the low bits */

/* exp(r) = 1 + r + r^2 P(r). P: minimax over |r| <= ln2/2 by Remez' exchange in 60 digits, relative error 3.6e-18. */
INLINE vec vexp_reduced(vec r)
{
    static const double c[] = {0x1.000000000000ap-1, 0x1.55555555554fap-3, 0x1.555555555087cp-5,
                               0x1.1111111127be7p-7, 0x1.6c16c1842a146p-10, 0x1.a01a012a56eaep-13,
                               0x1.a0199a0c60520p-16, 0x1.71df255414faep-19, 0x1.28ad72d2ab708p-22,
                               0x1.ad7f6bf6413ddp-26};
    return (r * r) * horner(c, 10, r) + r + 1.0;
}

/* exp for -708 <= x <= 709: x = n ln2 + r, 2^n by adding to the exponent. */
INLINE vec vexp_normal(vec x)
{
    const vec t = x * 0x1.71547652b82fep+0 + VEC_MAGIC, n = t - VEC_MAGIC;
    const vec r = (x - n * VEC_LN2_HI) - n * VEC_LN2_LO;
    return (vec)((veci)vexp_reduced(r) + ((veci)t << 52));
}

/* exp of anything: times 2^n in two steps, so that overflow and subnormals come out right. NaN stays. */
INLINE vec vexp(vec x)
{
    const vec y = pick(x < -746, splat(-746), pick(x > 710, splat(710), x));
    const vec n = (y * splat(0x1.71547652b82fep+0) + VEC_MAGIC) - VEC_MAGIC;
    const vec p = vexp_reduced((y - n * VEC_LN2_HI) - n * VEC_LN2_LO);
    const vec h = n * splat(.5) + VEC_MAGIC, half = h - VEC_MAGIC; /* n = half + rest */
    const vec rest = (n - half) + VEC_MAGIC;
    const vecu one = (vecu)splat(1), two_half = ((vecu)h << 52) + one, two_rest = ((vecu)rest << 52) + one;
    return p * (vec)two_half * (vec)two_rest;
}

/* log of a normal x > 0, less (bias - 1023) ln 2: x = 2^k m, sqrt(1/2) <= m < sqrt 2; with f = m - 1, s = f/(2 + f):
 * log m = f - f^2/2 + s (f^2/2 + s^2 Q(s^2)), the arrangement of which only the small part is rounded (as in fdlibm's
 * e_log.c). Q by Remez, 1.2e-18. */
INLINE vec vlog_biased(vec x, vec bias)
{
    static const double c[] = {0x1.5555555555592p-1, 0x1.999999997fd77p-2, 0x1.24924941f4fb5p-2, 0x1.c71c52060803fp-3,
                               0x1.74663fa2250adp-3, 0x1.39a1a6f7340aap-3, 0x1.2f0634870f229p-3};
    const uint64_t half_root = 0x3fe6a09e00000000; /* sqrt(1/2), to 21 bits */
    const vecu bits = (vecu)x + (0x3ff0000000000000 - half_root);
    const vec k = (vec)((bits >> 52) | splat_u(0x4330000000000000)) - (0x1p52 + bias); /* an integer made a double */
    const vec f = (vec)((bits & splat_u(0x000fffffffffffff)) + half_root) - 1.0;
    const vec s = f / (2.0 + f), z = s * s, half = 0.5 * f * f;
    return k * VEC_LN2_HI - ((half - (s * (half + z * horner(c, 7, z)) + k * VEC_LN2_LO)) - f);
}

INLINE vec vlog_normal(vec x) { return vlog_biased(x, splat(1023)); }

/* log of anything: -inf at 0, NaN below, subnormals by a factor of 2^54. */
INLINE vec vlog(vec x)
{
    const veci tiny = x < splat(0x1p-1022);
    const vec y = vlog_biased(pick(tiny, x * splat(0x1p54), x), pick(tiny, splat(1023 + 54), splat(1023)));
    const vec inf = splat(INFINITY), odd = pick(x == 0, -inf, pick(x > 0, x, splat(NAN))); /* 0, < 0 or NaN, inf */
    return pick((x > 0) & (x < inf), y, odd);
}
#endif
