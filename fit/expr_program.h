/* A compiled formula: what expr_parse leaves and evaluation runs. Private to fit/expr_*.c. */
#ifndef FIT_EXPR_PROGRAM_H
#define FIT_EXPR_PROGRAM_H
#include "fit/expr_tape.h"

enum { EXPR_COL_NAME = 64, EXPR_MAX_HESS = EXPR_MAX_PARAMS * (EXPR_MAX_PARAMS + 1) / 2, EXPR_ORDERS = 3 };

/* Addresses of instructions: memory in the upper bits, place in the lower. Address = base[memory] + place *
 * stride[memory], a block of rows each, except in SCALARS, one number each. */
typedef enum expr_memory {
    IN_SLOTS, IN_FEATURES, IN_COLS, IN_SCALARS, IN_VALUE, IN_GRAD, IN_HESS, EXPR_MEMORIES
} expr_memory;
enum { EXPR_PLACE_BITS = 20 };

static inline uint32_t expr_at(expr_memory m, size_t place) { return (uint32_t)m << EXPR_PLACE_BITS | (uint32_t)place; }
static inline expr_memory expr_memory_of(uint32_t at) { return (expr_memory)(at >> EXPR_PLACE_BITS); }
static inline uint32_t expr_place_of(uint32_t at) { return at & ((1u << EXPR_PLACE_BITS) - 1); }

/* form: which operand is a scalar. ADD .. DIV and POW have all three, FILL reads a scalar, others read rows only. */
typedef enum expr_form { EXPR_VV, EXPR_VS, EXPR_SV, EXPR_FORMS } expr_form;
typedef struct expr_ins { uint16_t op, form; uint32_t out, of[3]; } expr_ins;
typedef struct expr_program { expr_ins *ins; size_t n, cap, n_slots; } expr_program;

/* What depends on parameters only: one number each, in order. */
typedef struct expr_scalar { uint8_t op; int32_t of[3]; double k; } expr_scalar;

typedef struct expr_memories { double *base[EXPR_MEMORIES]; size_t stride[EXPR_MEMORIES]; } expr_memories;

/* Runs instructions over m rows, m a multiple of EXPR_LANES. One build per CPU level: expr_rows_*.c. */
typedef void expr_run_fn(const expr_ins *ins, size_t n_ins, const expr_memories *at, size_t m);
enum { EXPR_LANES = 8 };
expr_run_fn expr_run_v1, expr_run_v3, expr_run_v4;

struct expr {
    char *text;
    size_t n_params, n_cols;
    char params[EXPR_MAX_PARAMS][EXPR_NAME], cols[EXPR_MAX_COLS][EXPR_COL_NAME];
    bool linear[EXPR_MAX_PARAMS], in_exponent[EXPR_MAX_PARAMS];
    expr_scalar *scalars;
    size_t n_scalars[EXPR_ORDERS];    /* a prefix for each order */
    expr_program fixed;               /* columns -> features */
    size_t n_fixed[EXPR_ORDERS];      /* prefixes of its instructions */
    size_t n_features;
    expr_program rows[EXPR_ORDERS];   /* features and scalars -> value, grad, hess */
    size_t n_slots;
    expr_run_fn *run;
};

/* Fills all of *x but text and names, from the tape of the value. wanted [n_params]: derivatives in these. */
status expr_compile(expr *x, expr_tape *t, int32_t value, const bool *wanted, err *e);
/* linear, in_exponent. kind: room for t->n. */
void expr_structure(expr *x, const expr_tape *t, int32_t value, uint8_t *kind);
#endif
