/* Row arithmetic of formulas: one instruction, one loop over the block. Included once per CPU level by expr_rows_*.c,
 * which sets EXPR_VB (bytes of a vector) and EXPR_RUN (the function's name). Vectors by the compiler's extension, so
 * that no level hangs on the vectoriser's mood. m is a multiple of EXPR_LANES. In-place (out = operand) is fine. */
typedef double vd __attribute__((vector_size(EXPR_VB), may_alias));
typedef double vd_any __attribute__((vector_size(EXPR_VB), may_alias, aligned(8)));
typedef int64_t vi __attribute__((vector_size(EXPR_VB), may_alias));
typedef uint64_t vu __attribute__((vector_size(EXPR_VB), may_alias));
enum { VL = EXPR_VB / 8 };

#define INLINE static inline __attribute__((always_inline))

INLINE vd ld(const double *p) { return *(const vd_any *)p; }
INLINE void st(double *p, vd x) { *(vd_any *)p = x; }
INLINE vd splat(double x) { return x - (vd){0}; }
INLINE vd pick(vi mask, vd yes, vd no) { return (vd)(((vi)yes & mask) | ((vi)no & ~mask)); }
INLINE vd vmul0(vd a, vd b) { return pick(a == 0, splat(0), a * b); }

/* exp to 1 ulp (0.99 seen in 8 million draws): x = k ln2 + r with ln2 in two parts (the first has 33 bits: k times it
 * is exact), Taylor's series to r^13/13! (|r| <= 0.3466: the rest is 4e-18), times 2^k in two steps so that overflow
 * and subnormals come out right. */
INLINE vd vexp(vd x)
{
    const vd magic = splat(0x1.8p52); /* adding it rounds to an integer, left in the low bits */
    const vd y = pick(x < -746, splat(-746), pick(x > 710, splat(710), x));
    const vd k = (y * splat(1.4426950408889634) + magic) - magic;
    const vd r = (y - k * splat(0x1.62e42feep-1)) - k * splat(0x1.a39ef35793c76p-33);
    vd p = splat(1. / 6227020800);
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
    p = splat(1) + (r + r * r * p);
    const vd h = k * splat(.5) + magic, half = h - magic; /* k = half + rest */
    const vd rest = (k - half) + magic;
    const vu one = (vu)splat(1), two_half = ((vu)h << 52) + one, two_rest = ((vu)rest << 52) + one;
    return p * (vd)two_half * (vd)two_rest; /* NaN if x is: p is then */
}

/* log to 1 ulp (0.82 seen), the classical way: x = 2^k m, m in [sqrt(1/2), sqrt(2)), f = m-1, s = f/(2+f), log m = f -
 * (f^2/2 - s (f^2/2 + R)), R = 2 atanh(s)/s - 2 as a series in s^2 <= 0.02944, to s^20/21 (the rest is 3e-19). */
INLINE vd vlog(vd x)
{
    const vi tiny = x < splat(0x1p-1022);
    const vd y = pick(tiny, x * splat(0x1p54), x);
    /* Exponent after a shift by sqrt(1/2)'s mantissa, so that m lands around 1; as a double by way of 2^52. */
    const vu root = (vu)splat(0x1.6a09e667f3bcdp-1), u = (vu)y + ((vu)splat(1) - root);
    const vd biased = (vd)((u >> 52) | (vu)splat(0x1p52)) - splat(0x1p52);
    const vd k = biased - pick(tiny, splat(1023 + 54), splat(1023));
    const vd m = (vd)((u & ((1ULL << 52) - 1)) + root);
    const vd f = m - splat(1), s = f / (splat(2) + f), z = s * s, half = splat(.5) * f * f;
    vd p = splat(2. / 21);
    p = p * z + splat(2. / 19);
    p = p * z + splat(2. / 17);
    p = p * z + splat(2. / 15);
    p = p * z + splat(2. / 13);
    p = p * z + splat(2. / 11);
    p = p * z + splat(2. / 9);
    p = p * z + splat(2. / 7);
    p = p * z + splat(2. / 5);
    p = p * z + splat(2. / 3);
    p = p * z;
    const vd y_log = k * splat(0x1.62e42feep-1) - ((half - (s * (half + p) + k * splat(0x1.a39ef35793c76p-33))) - f);
    const vd inf = splat(INFINITY), odd = pick(x == 0, -inf, pick(x > 0, x, splat(NAN))); /* 0, < 0 or NaN, inf */
    return pick((x > 0) & (x < inf), y_log, odd);
}

INLINE vd vpow(vd y, vd l) { return vexp(vmul0(y, l)); }
INLINE vd vzero_to_the(vd y)
{
    return pick(y > 0, splat(0), pick(y == 0, splat(1), pick(y < 0, splat(INFINITY), y)));
}
INLINE vd vpowx(vd p, vd x, vd y) { return pick(x != 0, p / x, vzero_to_the(y)); }
INLINE vd vsign(vd a) { return pick(a > 0, splat(1), pick(a < 0, splat(-1), a * 0)); }
INLINE vd vabs(vd a) { return (vd)((vi)a & INT64_MAX); }
INLINE vd vsech2(vd a)
{
    const vd t = vexp(splat(-2) * vabs(a)), u = splat(1) + t;
    return splat(4) * t / (u * u);
}
INLINE vd truth(vi mask) { return pick(mask, splat(1), splat(0)); }

#define ROWS(result) do { for (size_t i = 0; i < m; i += VL) st(out + i, result); } while (0)
#define A ld(a + i)
#define B ld(b + i)
#define C ld(c + i)
#define BINARY(op, f)                                                                     \
    case OP_##op * EXPR_FORMS + EXPR_VV: ROWS(f(A, B)); break;                             \
    case OP_##op * EXPR_FORMS + EXPR_VS: { const vd s = splat(*b); ROWS(f(A, s)); } break; \
    case OP_##op * EXPR_FORMS + EXPR_SV: { const vd s = splat(*a); ROWS(f(s, B)); } break;
#define UNARY(op, f) case OP_##op * EXPR_FORMS: ROWS(f(A)); break;
#define LIBM(op, f) case OP_##op * EXPR_FORMS: for (size_t i = 0; i < m; i++) out[i] = f(a[i]); break;
#define ADD_(x, y) ((x) + (y))
#define SUB_(x, y) ((x) - (y))
#define MUL_(x, y) ((x) * (y))
#define DIV_(x, y) ((x) / (y))
#define NEG_(x) (-(x))
#define SAME_(x) (x)

void EXPR_RUN(const expr_ins *ins, size_t n_ins, const expr_memories *at, size_t m)
{
    for (size_t j = 0; j < n_ins; j++) {
        const expr_ins *q = &ins[j];
        double *p[4];
        const uint32_t where[4] = {q->of[0], q->of[1], q->of[2], q->out};
        for (int k = 0; k < 4; k++)
            p[k] = at->base[expr_memory_of(where[k])] + expr_place_of(where[k]) * at->stride[expr_memory_of(where[k])];
        const double *a = p[0], *b = p[1], *c = p[2];
        double *out = p[3];
        switch (q->op * EXPR_FORMS + q->form) {
        BINARY(ADD, ADD_)
        BINARY(SUB, SUB_)
        BINARY(MUL, MUL_)
        BINARY(MUL0, vmul0)
        BINARY(DIV, DIV_)
        BINARY(POW, vpow)
        UNARY(NEG, NEG_)
        UNARY(EXP, vexp)
        UNARY(LOG, vlog)
        UNARY(SECH2, vsech2)
        UNARY(ABS, vabs)
        UNARY(SIGN, vsign)
        UNARY(COPY, SAME_)
        LIBM(SQRT, sqrt)
        LIBM(LOG2, log2)
        LIBM(LOG10, log10)
        LIBM(EXPM1, expm1)
        LIBM(LOG1P, log1p)
        LIBM(TANH, tanh)
        LIBM(ERF, erf)
        case OP_LE * EXPR_FORMS: ROWS(truth((A <= B) | (A != A))); break;
        case OP_GE * EXPR_FORMS: ROWS(truth((A >= B) | (A != A))); break;
        case OP_SEL * EXPR_FORMS: ROWS(pick(A != 0, B, C)); break;
        case OP_POWX * EXPR_FORMS: ROWS(vpowx(A, B, C)); break;
        case OP_FILL * EXPR_FORMS: { const vd s = splat(*a); ROWS(s); } break;
        default: break;
        }
    }
}
