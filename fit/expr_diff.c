/* Derivatives as nodes of the same tape: forward mode, one parameter at a time, over the nodes that depend on it. What
 * is structurally zero is EXPR_NONE and costs nothing. The rules are the textbook's; the care is about 0 and inf. */
#include <stdlib.h>

#include "fit/expr_tape.h"

static int32_t make2(expr_tape *t, expr_op op, int32_t a, int32_t b) { return expr_make(t, op, a, b, EXPR_NONE); }
static int32_t make1(expr_tape *t, expr_op op, int32_t a) { return expr_make(t, op, a, EXPR_NONE, EXPR_NONE); }

/* Chain rule: tangent times slope. Where a dead branch may have made the tangent 0, an infinite slope must not make it
 * NaN. */
static int32_t chain(expr_tape *t, int32_t tangent, int32_t slope)
{
    return make2(t, t->nodes[tangent].branchy ? OP_MUL0 : OP_MUL, tangent, slope);
}

static int32_t plus(expr_tape *t, int32_t a, int32_t b)
{
    if (a == EXPR_NONE) return b;
    return b == EXPR_NONE ? a : make2(t, OP_ADD, a, b);
}

static int32_t minus(expr_tape *t, int32_t a, int32_t b)
{
    if (b == EXPR_NONE) return a;
    return a == EXPR_NONE ? make1(t, OP_NEG, b) : make2(t, OP_SUB, a, b);
}

static int32_t product(expr_tape *t, const expr_node *q, int32_t da, int32_t db)
{
    int32_t left = EXPR_NONE, right = EXPR_NONE;
    if (q->op == OP_MUL0) {
        if (da != EXPR_NONE) left = make2(t, OP_MUL0, da, q->of[1]);
        if (db != EXPR_NONE) right = make2(t, OP_MUL0, q->of[0], db);
    } else {
        if (da != EXPR_NONE) left = chain(t, da, q->of[1]);
        if (db != EXPR_NONE) right = chain(t, db, q->of[0]);
    }
    return plus(t, left, right);
}

/* y = a/b: (da - y db)/b. */
static int32_t quotient(expr_tape *t, const expr_node *q, int32_t y, int32_t da, int32_t db)
{
    int32_t top = minus(t, da, db == EXPR_NONE ? EXPR_NONE : chain(t, db, y));
    return top == EXPR_NONE ? EXPR_NONE : chain(t, top, make2(t, OP_DIV, expr_const(t, 1), q->of[1]));
}

/* v = x^y, l = log x: v l dy + y x^(y-1) dx. */
static int32_t power(expr_tape *t, int32_t v, int32_t x, int32_t y, int32_t l, int32_t dx, int32_t dy)
{
    int32_t by_y = EXPR_NONE, by_x = EXPR_NONE;
    if (dy != EXPR_NONE) by_y = chain(t, dy, make2(t, OP_MUL0, v, l));
    if (dx != EXPR_NONE) {
        int32_t lower = expr_make(t, OP_POWX, v, x, make2(t, OP_SUB, y, expr_const(t, 1)));
        by_x = chain(t, dx, make2(t, OP_MUL0, y, lower));
    }
    return plus(t, by_y, by_x);
}

/* Slope of y = f(a), for functions of one argument. */
static int32_t slope(expr_tape *t, const expr_node *q, int32_t y)
{
    static const double TWO_BY_SQRT_PI = 1.1283791670955126;
    int32_t a = q->of[0], one = expr_const(t, 1);
    switch (q->op) {
    case OP_EXP: return y;
    case OP_LOG: return make2(t, OP_DIV, one, a);
    case OP_LOG2: return make2(t, OP_DIV, expr_const(t, 1 / log(2.)), a);
    case OP_LOG10: return make2(t, OP_DIV, expr_const(t, 1 / log(10.)), a);
    case OP_SQRT: return make2(t, OP_DIV, expr_const(t, .5), y);
    case OP_EXPM1: return make1(t, OP_EXP, a);
    case OP_LOG1P: return make2(t, OP_DIV, one, make2(t, OP_ADD, one, a));
    case OP_TANH: return make1(t, OP_SECH2, a);
    case OP_SECH2: return make2(t, OP_MUL, expr_const(t, -2), make2(t, OP_MUL, make1(t, OP_TANH, a), y));
    case OP_ERF:
        return make2(t, OP_MUL, expr_const(t, TWO_BY_SQRT_PI),
                     make1(t, OP_EXP, make1(t, OP_NEG, make2(t, OP_MUL, a, a))));
    default: return EXPR_ZERO;
    }
}

static int32_t or_zero(int32_t a) { return a == EXPR_NONE ? EXPR_ZERO : a; }

/* d node / d parameter, from the tangents d of its operands. */
static int32_t tangent_of(expr_tape *t, int32_t node, const int32_t *tangent)
{
    const expr_node q = t->nodes[node];
    int32_t d[3];
    bool any = false;
    for (int i = 0; i < 3; i++) {
        d[i] = q.op == OP_PARAM || q.of[i] < 0 ? EXPR_NONE : tangent[q.of[i]];
        any |= d[i] != EXPR_NONE;
    }
    if (q.op == OP_PARAM) return expr_const(t, 1);
    if (!any) return EXPR_NONE;
    switch (q.op) {
    case OP_ADD: return plus(t, d[0], d[1]);
    case OP_SUB: return minus(t, d[0], d[1]);
    case OP_NEG: return make1(t, OP_NEG, d[0]);
    case OP_MUL:
    case OP_MUL0: return product(t, &q, d[0], d[1]);
    case OP_DIV: return quotient(t, &q, node, d[0], d[1]);
    case OP_POW: return power(t, node, q.of[2], q.of[0], q.of[1], d[2], d[0]);
    case OP_POWX: return power(t, node, q.of[1], q.of[2], make1(t, OP_LOG, q.of[1]), d[1], d[2]);
    case OP_ABS: return make2(t, OP_MUL0, make1(t, OP_SIGN, q.of[0]), d[0]);
    case OP_SEL:
        if (d[1] == EXPR_NONE && d[2] == EXPR_NONE) return EXPR_NONE;
        return expr_make(t, OP_SEL, q.of[0], or_zero(d[1]), or_zero(d[2]));
    case OP_SIGN:
    case OP_LE:
    case OP_GE: return EXPR_NONE;
    default: return chain(t, d[0], slope(t, &q, node));
    }
}

/* Nodes below n that the roots need and that depend on the parameter. */
static void mark(bool *marked, const expr_tape *t, size_t n, const int32_t *roots, size_t n_roots, uint16_t bit)
{
    for (size_t i = 0; i < n; i++) marked[i] = false;
    for (size_t i = 0; i < n_roots; i++)
        if (roots[i] >= 0 && (size_t)roots[i] < n) marked[roots[i]] = true;
    for (size_t i = n; i-- > 0;) {
        const expr_node *q = &t->nodes[i];
        marked[i] = marked[i] && (q->deps & bit);
        for (int k = 0; k < 3 && marked[i] && q->op != OP_PARAM; k++) {
            bool unused =
                (q->op == OP_POW && k == 1) || (q->op == OP_POWX && k == 0); /* log x, p: power() needs x, y */
            if (q->of[k] >= 0 && !unused) marked[q->of[k]] = true;
        }
    }
}

/* tangent[i] for all nodes below n that roots need: d/d parameter. New nodes stand beyond n. */
static void sweep(expr_tape *t, int32_t *tangent, bool *marked, size_t n, const int32_t *roots, size_t n_roots,
                  size_t param)
{
    mark(marked, t, n, roots, n_roots, (uint16_t)(1u << param));
    for (size_t i = 0; i < n && !expr_tape_broken(t); i++)
        tangent[i] = marked[i] ? tangent_of(t, (int32_t)i, tangent) : EXPR_NONE;
}

void expr_differentiate(expr_tape *t, int32_t *grad, int32_t *hess, int32_t value, const bool *wanted, size_t n_params)
{
    t->limit = EXPR_MAX_NODES;
    int32_t *tangent = malloc(EXPR_MAX_NODES * sizeof *tangent);
    bool *marked = malloc(EXPR_MAX_NODES * sizeof *marked);
    t->nomem |= !tangent || !marked;
    size_t n = t->n;
    for (size_t j = 0; j < n_params; j++) {
        grad[j] = EXPR_NONE;
        if (!wanted[j] || expr_tape_broken(t)) continue;
        sweep(t, tangent, marked, n, &value, 1, j);
        grad[j] = tangent[value];
    }
    n = t->n;
    for (size_t k = 0; k < n_params; k++) {
        bool go = wanted[k] && !expr_tape_broken(t);
        if (go) sweep(t, tangent, marked, n, grad, k + 1, k);
        for (size_t j = 0, at = k; j <= k; at += n_params - 1 - j, j++) /* (j, k) of the upper triangle */
            hess[at] = !go || grad[j] < 0 ? EXPR_NONE : tangent[grad[j]];
    }
    free(tangent);
    free(marked);
}
