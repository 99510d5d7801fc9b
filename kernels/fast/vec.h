/* Vectors of one level, by GCC's vector extensions. Included once per level by kernels/level_*.c, which sets
 *   K_VB  bytes of a vector      K_MR  rows of a register tile      K_NV  vectors across a tile */
enum { VL = K_VB / 4, MR = K_MR, NV = K_NV, NR = K_NV * (K_VB / 4) };

typedef float vec __attribute__((vector_size(K_VB), may_alias));
typedef float vec_any __attribute__((vector_size(K_VB), may_alias, aligned(4))); /* for loads and stores at any float */
typedef int32_t veci __attribute__((vector_size(K_VB), may_alias));
typedef double vecd __attribute__((vector_size(K_VB), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vec ld(const float *p) { return *(const vec_any *)p; }
INLINE void st(float *p, vec x) { *(vec_any *)p = x; }
INLINE vec splat(float x) { return x - (vec){0}; }
INLINE vec pick(veci mask, vec yes, vec no) { return (vec)(((veci)yes & mask) | ((veci)no & ~mask)); }
INLINE vec vmax(vec a, vec b) { return pick(a > b, a, b); } /* b when either is NaN */
INLINE vec vmin(vec a, vec b) { return pick(a < b, a, b); }

/* Lane numbers 0, 1, ... */
INLINE veci lanes(void)
{
    veci x;
    for (int i = 0; i < VL; i++) x[i] = i;
    return x;
}

/* The first n floats of p, `fill` beyond: nothing outside is read. */
INLINE vec ld_part(const float *p, size_t n, float fill)
{
    union { vec v; float f[VL]; } u = {splat(fill)};
    for (size_t i = 0; i < n; i++) u.f[i] = p[i];
    return u.v;
}

INLINE void st_part(float *p, vec x, size_t n)
{
    union { vec v; float f[VL]; } u = {x};
    for (size_t i = 0; i < n; i++) p[i] = u.f[i];
}

/* Sums and maxima over lanes, pairwise in a fixed order. */
INLINE float sum_lanes(vec x)
{
    union { vec v; float f[VL]; } u = {x};
    for (int h = VL / 2; h; h /= 2)
        for (int i = 0; i < h; i++) u.f[i] += u.f[i + h];
    return u.f[0];
}

INLINE float max_lanes(vec x)
{
    union { vec v; float f[VL]; } u = {x};
    for (int h = VL / 2; h; h /= 2)
        for (int i = 0; i < h; i++) u.f[i] = u.f[i] > u.f[i + h] ? u.f[i] : u.f[i + h];
    return u.f[0];
}

/* exp to about 1 ulp: x = n ln2 + r, polynomial of Cephes' expf (Moshier), 2^n by adding to the exponent. Clamped to
 * the range of normal floats; NaN stays NaN (a divergence must reach the loss). */
INLINE vec vexp(vec x)
{
    const vec magic = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer, left in the low bits */
    const vec y = vmin(splat(88.0f), vmax(splat(-87.0f), x));
    const vec t = y * splat(1.44269504088896341f) + magic, n = t - magic;
    const vec r = y - n * splat(0.693359375f) - n * splat(-2.12194440e-4f);
    vec p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    p = p * r * r + r + splat(1.0f);
    const vec e = (vec)((veci)p + ((veci)t << 23));
    return pick(x == x, e, x);
}

/* gelu(u) and its derivative at once: see gelu_cpu.c. */
INLINE vec vgelu(vec u, vec *slope)
{
    const vec two_k = splat(1.5957691216057308f), cube = splat(0.044715f), one = splat(1.0f);
    const vec c = cube * u * u;
    const vec sig = one / (one + vexp(-(two_k * u * (one + c))));
    const vec y = u * sig;
    *slope = sig + y * (one - sig) * two_k * (one + splat(3.0f) * c);
    return y;
}

/* A VL x VL transpose in registers: log2(VL) rounds of exchanging halves. */
INLINE void exchange(vec r[VL], const int h)
{
    veci lo, hi;
    for (int i = 0; i < VL; i++) {
        lo[i] = i & h ? VL + i - h : i;
        hi[i] = i & h ? VL + i : i + h;
    }
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++)
        if (!(i & h)) {
            const vec a = r[i], b = r[i + h];
            r[i] = __builtin_shuffle(a, b, lo);
            r[i + h] = __builtin_shuffle(a, b, hi);
        }
}

INLINE void transpose(float *dst, size_t ld_dst, const float *src, size_t ld_src)
{
    vec r[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) r[i] = ld(src + (size_t)i * ld_src);
    if (VL > 8) exchange(r, VL > 8 ? 8 : 1);
    if (VL > 4) exchange(r, VL > 4 ? 4 : 1);
    exchange(r, 2);
    exchange(r, 1);
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) st(dst + (size_t)i * ld_dst, r[i]);
}
