/* The tape of a formula while it is being built: nodes in topological order (operands before users), equal nodes once.
 * Derivatives are nodes like any other, so they share everything with the value and with each other.
 * Private to fit/expr_*.c. */
#ifndef FIT_EXPR_TAPE_H
#define FIT_EXPR_TAPE_H
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fit/expr.h"

/* Operators with the number of operands they read when evaluated. The ones that users cannot write:
 *   MUL0(a, b)      a*b, but 0 where a is 0, whatever b: limits such as x^y log x at x = 0, and dead branches
 *   POW(y, l, x)    x^y as exp(MUL0(y, l)), l = log x; x only for its derivative
 *   POWX(p, x, y)   x^y from p = x^(y+1): p/x, and the limit where x is 0
 *   LE, GE(a, b)    1 or 0: the first is taken by min, by max      SEL(c, a, b)   a where c, else b */
#define EXPR_OPS(X)                                                                                    \
    X(CONST, 0) X(PARAM, 0) X(COL, 0)                                                                  \
    X(ADD, 2) X(SUB, 2) X(MUL, 2) X(MUL0, 2) X(DIV, 2) X(NEG, 1)                                       \
    X(POW, 2) X(POWX, 3) X(EXP, 1) X(LOG, 1) X(LOG2, 1) X(LOG10, 1) X(SQRT, 1) X(EXPM1, 1) X(LOG1P, 1) \
    X(TANH, 1) X(SECH2, 1) X(ERF, 1) X(ABS, 1) X(SIGN, 1) X(LE, 2) X(GE, 2) X(SEL, 3)                  \
    X(COPY, 1) X(FILL, 1) /* instructions only */

typedef enum expr_op {
#define EXPR_OP_ENUM(name, reads) OP_##name,
    EXPR_OPS(EXPR_OP_ENUM)
#undef EXPR_OP_ENUM
    OP_N
} expr_op;

int expr_op_reads(expr_op op);
double expr_op_eval(expr_op op, double a, double b, double c);

typedef struct expr_node {
    uint8_t op;
    bool cols;     /* depends on columns */
    bool branchy;  /* a SEL stands below: may be 0 in a whole region */
    uint16_t deps; /* parameters it depends on, as bits */
    int32_t of[3]; /* operands; PARAM, COL: which */
    double k;      /* CONST */
} expr_node;

enum {
    EXPR_NONE = -1,          /* a derivative that is structurally 0 */
    EXPR_ZERO = 0,           /* node 0 is the constant 0 */
    EXPR_MAX_VALUE = 1000,   /* nodes of the value */
    EXPR_MAX_NODES = 1 << 16 /* with derivatives */
};

typedef struct expr_tape {
    expr_node *nodes;
    size_t n, cap, limit;
    int32_t *table; /* open hash of nodes, -1 = empty */
    size_t table_size;
    bool nomem, full; /* sticky: what was built since is meaningless */
} expr_tape;

void expr_tape_init(expr_tape *t);
void expr_tape_free(expr_tape *t);
static inline bool expr_tape_broken(const expr_tape *t) { return t->nomem || t->full; }

/* All return the node, simplified, folded and shared. */
int32_t expr_const(expr_tape *t, double k);
int32_t expr_leaf(expr_tape *t, expr_op op, size_t which);
int32_t expr_make(expr_tape *t, expr_op op, int32_t a, int32_t b, int32_t c);
int32_t expr_make_pow(expr_tape *t, int32_t x, int32_t y);

static inline bool expr_is_const(const expr_tape *t, int32_t a) { return t->nodes[a].op == OP_CONST; }
/* Depends on parameters only, or on nothing. */
static inline bool expr_is_scalar(const expr_tape *t, int32_t a) { return !t->nodes[a].cols; }
static inline bool expr_is_row(const expr_tape *t, int32_t a) { return t->nodes[a].cols && t->nodes[a].deps; }

/* Appends the derivatives of node `value`: grad[p], hess[p*(p+1)/2] (EXPR_NONE where 0 or not wanted [p]). */
void expr_differentiate(expr_tape *t, int32_t *grad, int32_t *hess, int32_t value, const bool *wanted, size_t n_params);
#endif
