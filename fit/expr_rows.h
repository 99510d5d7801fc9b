/* Row arithmetic of formulas: one instruction, one loop over the block. Included once per CPU level by expr_rows_*.c,
 * which sets VEC_BYTES (base/vec64.h) and EXPR_RUN (the function's name). Vectors by the compiler's extension, so
 * that no level hangs on the vectoriser's mood. m is a multiple of EXPR_LANES. In-place (out = operand) is fine. */
#include "base/vec64.h"

INLINE vec vmul0(vec a, vec b) { return pick(a == 0, splat(0), a * b); }

INLINE vec vpow(vec y, vec l) { return vexp(vmul0(y, l)); }
INLINE vec vzero_to_the(vec y)
{
    return pick(y > 0, splat(0), pick(y == 0, splat(1), pick(y < 0, splat(INFINITY), y)));
}
INLINE vec vpowx(vec p, vec x, vec y) { return pick(x != 0, p / x, vzero_to_the(y)); }
INLINE vec vsign(vec a) { return pick(a > 0, splat(1), pick(a < 0, splat(-1), a * 0)); }
INLINE vec vsech2(vec a)
{
    const vec t = vexp(splat(-2) * vabs(a)), u = splat(1) + t;
    return splat(4) * t / (u * u);
}
INLINE vec truth(veci mask) { return pick(mask, splat(1), splat(0)); }

#define ROWS(result) do { for (size_t i = 0; i < m; i += VL) st(out + i, result); } while (0)
#define A ld(a + i)
#define B ld(b + i)
#define C ld(c + i)
#define BINARY(op, f)                                                                     \
    case OP_##op * EXPR_FORMS + EXPR_VV: ROWS(f(A, B)); break;                             \
    case OP_##op * EXPR_FORMS + EXPR_VS: { const vec s = splat(*b); ROWS(f(A, s)); } break; \
    case OP_##op * EXPR_FORMS + EXPR_SV: { const vec s = splat(*a); ROWS(f(s, B)); } break;
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
        case OP_FILL * EXPR_FORMS: { const vec s = splat(*a); ROWS(s); } break;
        default: break;
        }
    }
}
