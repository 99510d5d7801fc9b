/* What a formula's shape says about its parameters: where it is linear, which stand in exponents. */
#include <string.h>

#include "fit/expr_program.h"

/* What a set of parameters does to a node: nothing, affinely, otherwise. */
enum { FREE, AFFINE, OTHER };

static uint8_t worst(uint8_t a, uint8_t b) { return a > b ? a : b; }

static bool affine_in(const expr_tape *t, int32_t value, uint16_t set, uint8_t *kind)
{
    for (int32_t i = 0; i <= value; i++) {
        const expr_node *q = &t->nodes[i];
        kind[i] = FREE;
        if (!(q->deps & set)) continue;
        if (q->op == OP_PARAM) {
            kind[i] = AFFINE;
            continue;
        }
        uint8_t a = kind[q->of[0]], b = q->of[1] < 0 ? FREE : kind[q->of[1]];
        switch (q->op) {
        case OP_ADD:
        case OP_SUB: kind[i] = worst(a, b); break;
        case OP_NEG: kind[i] = a; break;
        case OP_MUL: kind[i] = a == FREE || b == FREE ? worst(a, b) : OTHER; break;
        case OP_DIV: kind[i] = b == FREE ? a : OTHER; break;
        default: kind[i] = OTHER;
        }
    }
    return kind[value] == AFFINE;
}

/* An exponent's own sums and products are the exponent; what a log, a root or the base of another power shields is
 * not. */
static bool passes_on(int op)
{
    return op == OP_ADD || op == OP_SUB || op == OP_MUL || op == OP_DIV || op == OP_NEG || op == OP_ABS || op == OP_SEL;
}

void expr_structure(expr *x, const expr_tape *t, int32_t value, uint8_t *kind)
{
    uint16_t set = 0;
    for (size_t j = 0; j < x->n_params; j++) {
        uint16_t with = set | (uint16_t)(1u << j);
        x->linear[j] = (t->nodes[value].deps >> j & 1) && affine_in(t, value, with, kind);
        if (x->linear[j]) set = with;
    }
    enum { NEEDED = 1, EXPONENT = 2 };
    memset(kind, 0, (size_t)value + 1);
    kind[value] = NEEDED;
    for (int32_t i = value; i >= 0; i--) {
        const expr_node *q = &t->nodes[i];
        if (!kind[i]) continue;
        if (q->op == OP_PARAM && kind[i] & EXPONENT) x->in_exponent[q->of[0]] = true;
        for (int k = 0; k < expr_op_reads(q->op); k++) {
            bool starts = (q->op == OP_POW && k == 0) || q->op == OP_EXP || q->op == OP_EXPM1;
            bool goes_on = (kind[i] & EXPONENT) && passes_on(q->op);
            kind[q->of[k]] |= NEEDED | (starts || goes_on ? EXPONENT : 0);
        }
    }
}
