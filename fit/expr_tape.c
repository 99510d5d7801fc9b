/* Building a tape: simplification, constant folding, sharing. Rules change no value beyond the last bits (and the sign
 * of a zero): 0*x stays, since x may be inf. */
#include "fit/expr_tape.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t reads_of[OP_N] = {
#define EXPR_OP_READS(name, reads) [OP_##name] = reads,
    EXPR_OPS(EXPR_OP_READS)
#undef EXPR_OP_READS
};

int expr_op_reads(expr_op op) { return reads_of[op]; }

static double mul0(double a, double b) { return a == 0 ? 0 : a * b; }

/* sech^2 = 1 - tanh^2 without its cancellation. */
static double sech2(double a)
{
    double t = exp(-2 * fabs(a));
    return 4 * t / ((1 + t) * (1 + t));
}

static double zero_to_the(double y) { return y > 0 ? 0 : y == 0 ? 1 : y < 0 ? INFINITY : y; }

double expr_op_eval(expr_op op, double a, double b, double c)
{
    switch (op) {
    case OP_ADD: return a + b;
    case OP_SUB: return a - b;
    case OP_MUL: return a * b;
    case OP_MUL0: return mul0(a, b);
    case OP_DIV: return a / b;
    case OP_NEG: return -a;
    case OP_POW: return exp(mul0(a, b));
    case OP_POWX: return b != 0 ? a / b : zero_to_the(c);
    case OP_EXP: return exp(a);
    case OP_LOG: return log(a);
    case OP_LOG2: return log2(a);
    case OP_LOG10: return log10(a);
    case OP_SQRT: return sqrt(a);
    case OP_EXPM1: return expm1(a);
    case OP_LOG1P: return log1p(a);
    case OP_TANH: return tanh(a);
    case OP_SECH2: return sech2(a);
    case OP_ERF: return erf(a);
    case OP_ABS: return fabs(a);
    case OP_SIGN: return a > 0 ? 1 : a < 0 ? -1 : a * 0;
    case OP_LE: return a <= b || isnan(a);
    case OP_GE: return a >= b || isnan(a);
    case OP_SEL: return a != 0 ? b : c;
    case OP_COPY:
    case OP_FILL: return a;
    case OP_CONST:
    case OP_PARAM:
    case OP_COL:
    case OP_N: break;
    }
    return NAN;
}

void expr_tape_init(expr_tape *t)
{
    memset(t, 0, sizeof *t);
    t->limit = EXPR_MAX_VALUE;
    t->cap = t->table_size = 256;
    t->nodes = malloc(t->cap * sizeof *t->nodes);
    t->table = malloc(t->table_size * sizeof *t->table);
    t->nomem = !t->nodes || !t->table;
    if (t->nomem) return;
    for (size_t i = 0; i < t->table_size; i++) t->table[i] = -1;
    expr_const(t, 0); /* EXPR_ZERO; also what a broken tape answers */
}

void expr_tape_free(expr_tape *t)
{
    free(t->nodes);
    free(t->table);
    memset(t, 0, sizeof *t);
}

static uint64_t hash_of(const expr_node *q)
{
    uint64_t k, h = q->op;
    memcpy(&k, &q->k, sizeof k);
    const uint64_t words[] = {(uint32_t)q->of[0], (uint32_t)q->of[1], (uint32_t)q->of[2], k};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        h = (h ^ words[i]) * 0x9e3779b97f4a7c15u; /* Fibonacci hashing, 2^64 / golden ratio */
        h ^= h >> 29;
    }
    return h;
}

static bool same(const expr_node *a, const expr_node *b)
{
    return a->op == b->op && !memcmp(a->of, b->of, sizeof a->of) && !memcmp(&a->k, &b->k, sizeof a->k);
}

/* Where the node stands in the table, or where it would. */
static size_t place(const expr_tape *t, const expr_node *q)
{
    size_t at = hash_of(q) & (t->table_size - 1);
    while (t->table[at] >= 0 && !same(&t->nodes[t->table[at]], q)) at = (at + 1) & (t->table_size - 1);
    return at;
}

static bool grow(expr_tape *t)
{
    size_t size = 2 * t->table_size;
    expr_node *nodes = realloc(t->nodes, size / 2 * sizeof *nodes);
    if (nodes) t->nodes = nodes;
    int32_t *table = malloc(size * sizeof *table);
    if (!nodes || !table) {
        free(table);
        t->nomem = true;
        return false;
    }
    free(t->table);
    t->table = table;
    t->table_size = size;
    t->cap = size / 2;
    for (size_t i = 0; i < size; i++) table[i] = -1;
    for (size_t i = 0; i < t->n; i++) table[place(t, &t->nodes[i])] = (int32_t)i;
    return true;
}

static int32_t share(expr_tape *t, expr_node q)
{
    if (expr_tape_broken(t)) return EXPR_ZERO;
    if (2 * (t->n + 1) > t->table_size && !grow(t)) return EXPR_ZERO;
    size_t at = place(t, &q);
    if (t->table[at] >= 0) return t->table[at];
    if (t->n >= t->limit) {
        t->full = true;
        return EXPR_ZERO;
    }
    t->nodes[t->n] = q;
    return t->table[at] = (int32_t)t->n++;
}

int32_t expr_const(expr_tape *t, double k)
{
    return share(t, (expr_node){.op = OP_CONST, .of = {-1, -1, -1}, .k = k == 0 ? 0 : k}); /* one zero */
}

int32_t expr_leaf(expr_tape *t, expr_op op, size_t which)
{
    return share(t, (expr_node){.op = (uint8_t)op,
                                .cols = op == OP_COL,
                                .deps = op == OP_PARAM ? (uint16_t)(1u << which) : 0,
                                .of = {(int32_t)which, -1, -1}});
}

static int32_t plain(expr_tape *t, expr_op op, int32_t a, int32_t b, int32_t c)
{
    expr_node q = {.op = (uint8_t)op, .branchy = op == OP_SEL || op == OP_ABS || op == OP_SIGN, .of = {a, b, c}};
    bool constant = true;
    double x[3] = {0};
    for (int i = 0; i < 3; i++) {
        if (q.of[i] < 0) continue;
        const expr_node *o = &t->nodes[q.of[i]];
        if (i < expr_op_reads(op)) constant &= o->op == OP_CONST;
        x[i] = o->k;
        q.cols |= o->cols;
        q.deps |= o->deps;
        q.branchy |= o->branchy;
    }
    return constant ? expr_const(t, expr_op_eval(op, x[0], x[1], x[2])) : share(t, q);
}

static bool is(const expr_tape *t, int32_t a, expr_op op) { return t->nodes[a].op == op; }
static bool is_k(const expr_tape *t, int32_t a, double k) { return expr_is_const(t, a) && t->nodes[a].k == k; }
/* -u whose sign costs a pass over the rows: worth pulling outwards, where it may meet another one. */
static bool is_row_neg(const expr_tape *t, int32_t a) { return is(t, a, OP_NEG) && !expr_is_scalar(t, a); }
static int32_t under(const expr_tape *t, int32_t a) { return t->nodes[a].of[0]; }
static int32_t neg(expr_tape *t, int32_t a) { return expr_make(t, OP_NEG, a, EXPR_NONE, EXPR_NONE); }

static int32_t make_neg(expr_tape *t, int32_t a)
{
    const expr_node q = t->nodes[a];
    if (q.op == OP_NEG) return q.of[0];
    if (q.op == OP_SUB) return expr_make(t, OP_SUB, q.of[1], q.of[0], EXPR_NONE);
    if (q.op == OP_MUL && q.cols && (expr_is_scalar(t, q.of[0]) || expr_is_scalar(t, q.of[1]))) {
        int scalar = expr_is_scalar(t, q.of[0]) ? 0 : 1; /* the sign goes where it is free */
        return expr_make(t, OP_MUL, neg(t, q.of[scalar]), q.of[1 - scalar], EXPR_NONE);
    }
    return plain(t, OP_NEG, a, EXPR_NONE, EXPR_NONE);
}

static int32_t make_sum(expr_tape *t, expr_op op, int32_t a, int32_t b)
{
    if (is(t, b, OP_NEG)) return expr_make(t, op == OP_ADD ? OP_SUB : OP_ADD, a, under(t, b), EXPR_NONE);
    if (is(t, a, OP_NEG) && op == OP_ADD) return expr_make(t, OP_SUB, b, under(t, a), EXPR_NONE);
    if (is_row_neg(t, a)) return neg(t, expr_make(t, OP_ADD, under(t, a), b, EXPR_NONE));
    if (op == OP_ADD && a > b) return plain(t, op, b, a, EXPR_NONE);
    return plain(t, op, a, b, EXPR_NONE);
}

static int32_t make_product(expr_tape *t, expr_op op, int32_t a, int32_t b)
{
    if (op == OP_MUL0 && a == EXPR_ZERO) return EXPR_ZERO;
    if (op == OP_MUL0 && expr_is_const(t, a)) op = OP_MUL;
    if (is_k(t, a, 1)) return b;
    if (is_k(t, a, -1)) return neg(t, b);
    if (op == OP_MUL && is_k(t, b, 1)) return a;
    if (op == OP_MUL && is_k(t, b, -1)) return neg(t, a);
    if (is_row_neg(t, a)) return neg(t, expr_make(t, op, under(t, a), b, EXPR_NONE));
    if (is_row_neg(t, b)) return neg(t, expr_make(t, op, a, under(t, b), EXPR_NONE));
    if (op == OP_MUL && a > b) return plain(t, op, b, a, EXPR_NONE);
    return plain(t, op, a, b, EXPR_NONE);
}

static int32_t make_quotient(expr_tape *t, int32_t a, int32_t b)
{
    if (is_k(t, b, 1)) return a;
    if (is_row_neg(t, a)) return neg(t, expr_make(t, OP_DIV, under(t, a), b, EXPR_NONE));
    if (is_row_neg(t, b)) return neg(t, expr_make(t, OP_DIV, a, under(t, b), EXPR_NONE));
    if (is(t, b, OP_POW)) { /* A/N^alpha = A*N^-alpha: a product where a division stood, in every derivative too */
        const expr_node q = t->nodes[b];
        return expr_make(t, OP_MUL, a, expr_make(t, OP_POW, neg(t, q.of[0]), q.of[1], q.of[2]), EXPR_NONE);
    }
    return plain(t, OP_DIV, a, b, EXPR_NONE);
}

int32_t expr_make(expr_tape *t, expr_op op, int32_t a, int32_t b, int32_t c)
{
    if (expr_tape_broken(t)) return EXPR_ZERO;
    switch (op) {
    case OP_NEG: return make_neg(t, a);
    case OP_ADD:
    case OP_SUB: return make_sum(t, op, a, b);
    case OP_MUL:
    case OP_MUL0: return make_product(t, op, a, b);
    case OP_DIV: return make_quotient(t, a, b);
    case OP_SEL: return b == c ? b : plain(t, op, a, b, c);
    default: return plain(t, op, a, b, c);
    }
}

static int32_t integer_power(expr_tape *t, int32_t x, unsigned n)
{
    int32_t y = EXPR_NONE;
    for (; n; n >>= 1) {
        if (n & 1) y = y < 0 ? x : expr_make(t, OP_MUL, y, x, EXPR_NONE);
        if (n > 1) x = expr_make(t, OP_MUL, x, x, EXPR_NONE);
    }
    return y;
}

int32_t expr_make_pow(expr_tape *t, int32_t x, int32_t y)
{
    enum { MAX_INTEGER = 1024 };
    if (expr_tape_broken(t)) return EXPR_ZERO;
    if (expr_is_const(t, x) && expr_is_const(t, y)) return expr_const(t, pow(t->nodes[x].k, t->nodes[y].k));
    if (expr_is_const(t, y)) {
        double k = t->nodes[y].k, size = fabs(k);
        int32_t u = EXPR_NONE;
        if (k == 0) return expr_const(t, 1);
        if (size <= MAX_INTEGER && size == rint(size)) u = integer_power(t, x, (unsigned)size);
        else if (size == .5) u = expr_make(t, OP_SQRT, x, EXPR_NONE, EXPR_NONE);
        if (u >= 0) return k > 0 ? u : expr_make(t, OP_DIV, expr_const(t, 1), u, EXPR_NONE);
    }
    return expr_make(t, OP_POW, y, expr_make(t, OP_LOG, x, EXPR_NONE, EXPR_NONE), x);
}
