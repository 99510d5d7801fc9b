/* Evaluation: scalars by the library's functions, rows by the instructions of the CPU level. */
#include <stdlib.h>
#include <string.h>

#include "fit/expr_program.h"

size_t expr_n_params(const expr *x) { return x->n_params; }
const char *expr_param(const expr *x, size_t i) { return x->params[i]; }
size_t expr_n_cols(const expr *x) { return x->n_cols; }
const char *expr_col(const expr *x, size_t i) { return x->cols[i]; }
size_t expr_n_features(const expr *x) { return x->n_features; }
bool expr_in_exponent(const expr *x, size_t param) { return x->in_exponent[param]; }

bool expr_linear(const expr *x, bool *linear)
{
    bool any = false;
    for (size_t j = 0; j < x->n_params; j++) any |= linear[j] = x->linear[j];
    return any;
}

void expr_free(expr *x)
{
    if (!x) return;
    free(x->text);
    free(x->scalars);
    free(x->fixed.ins);
    for (int o = 0; o < EXPR_ORDERS; o++) free(x->rows[o].ins);
    free(x);
}

/* The scratch, from its first multiple of 64 bytes on: scalars, then blocks. Outputs have a place there for those that
 * the caller leaves out and for blocks that are no multiple of EXPR_LANES. */
typedef struct layout { double *scalars, *slots, *features, *cols, *value, *grad, *hess, *end; } layout;

static layout layout_of(const expr *x, double *scratch)
{
    const size_t block = EXPR_BLOCK, align = 64;
    layout l = {.scalars = scratch + (align - (uintptr_t)scratch % align) % align / sizeof *scratch};
    l.slots = l.scalars + (x->n_scalars[EXPR_ORDERS - 1] + EXPR_LANES) / EXPR_LANES * EXPR_LANES;
    l.features = l.slots + block * x->n_slots;
    l.cols = l.features + block * x->n_features;
    l.value = l.cols + block * x->n_cols;
    l.grad = l.value + block;
    l.hess = l.grad + block * x->n_params;
    l.end = l.hess + block * x->n_params * (x->n_params + 1) / 2;
    return l;
}

size_t expr_scratch(const expr *x)
{
    double *aligned = (double *)(uintptr_t)64; /* an address like any other: only distances count */
    return (size_t)(layout_of(x, aligned).end - aligned) + EXPR_LANES;
}

static void run_scalars(const expr *x, double *s, const double *params, int order)
{
    for (size_t i = 0; i < x->n_scalars[order]; i++) {
        const expr_scalar *q = &x->scalars[i];
        if (q->op == OP_CONST) s[i] = q->k;
        else if (q->op == OP_PARAM) s[i] = params[q->of[0]];
        else s[i] = expr_op_eval((expr_op)q->op, s[q->of[0]], s[q->of[1]], s[q->of[2]]);
    }
}

void expr_begin(const expr *x, double *scratch, const double *params, int order)
{
    run_scalars(x, layout_of(x, scratch).scalars, params, order);
}

static size_t padded(size_t n) { return (n + EXPR_LANES - 1) / EXPR_LANES * EXPR_LANES; }

/* n values of each of `rows` rows, the last one repeated up to a whole number of lanes. */
static void copy_padded(double *to, const double *from, size_t stride, size_t rows, size_t n)
{
    for (size_t k = 0; k < rows; k++) {
        memcpy(to + k * EXPR_BLOCK, from + k * stride, n * sizeof *to);
        for (size_t i = n; i < padded(n); i++) to[k * EXPR_BLOCK + i] = from[k * stride + n - 1];
    }
}

static void run_fixed(const expr *x, const layout *l, const double *const *cols, size_t first, size_t n, int order)
{
    for (size_t c = 0; c < x->n_cols; c++) copy_padded(l->cols + c * EXPR_BLOCK, cols[c] + first, 0, 1, n);
    expr_memories at = {
        .base = {[IN_SLOTS] = l->slots, [IN_FEATURES] = l->features, [IN_COLS] = l->cols, [IN_SCALARS] = l->scalars},
        .stride = {[IN_SLOTS] = EXPR_BLOCK, [IN_FEATURES] = EXPR_BLOCK, [IN_COLS] = EXPR_BLOCK, [IN_SCALARS] = 1}};
    x->run(x->fixed.ins, x->n_fixed[order], &at, padded(n));
}

void expr_features(const expr *x, double *scratch, double *features, size_t stride, const double *const *cols, size_t n)
{
    layout l = layout_of(x, scratch);
    for (size_t i = 0; i < x->n_scalars[EXPR_ORDERS - 1]; i++)
        if (x->scalars[i].op == OP_CONST) l.scalars[i] = x->scalars[i].k;
    for (size_t first = 0; first < n; first += EXPR_BLOCK) {
        size_t m = n - first < EXPR_BLOCK ? n - first : EXPR_BLOCK;
        run_fixed(x, &l, cols, first, m, EXPR_ORDERS - 1);
        for (size_t k = 0; k < x->n_features; k++)
            memcpy(features + k * stride + first, l.features + k * EXPR_BLOCK, m * sizeof *features);
    }
}

static int order_of(const double *grad, const double *hess) { return hess ? 2 : grad ? 1 : 0; }

typedef struct outputs { double *value, *grad, *hess; size_t stride; } outputs;

/* One block. features: readable up to whole lanes. */
static void run_rows(const expr *x, const layout *l, const outputs *out, const double *features, size_t stride,
                     size_t n)
{
    bool whole = n % EXPR_LANES == 0;
    const size_t n_hess = x->n_params * (x->n_params + 1) / 2;
    const struct { expr_memory m; double *to, *spare; size_t n;
    } part[] = {{IN_VALUE, out->value, l->value, 1},
                {IN_GRAD, out->grad, l->grad, x->n_params},
                {IN_HESS, out->hess, l->hess, n_hess}};
    expr_memories at = {
        .base = {[IN_SLOTS] = l->slots, [IN_FEATURES] = (double *)features, [IN_SCALARS] = l->scalars},
        .stride = {[IN_SLOTS] = EXPR_BLOCK, [IN_FEATURES] = stride, [IN_SCALARS] = 1}};
    for (size_t k = 0; k < sizeof part / sizeof *part; k++) {
        bool direct = whole && part[k].to;
        at.base[part[k].m] = direct ? part[k].to : part[k].spare;
        at.stride[part[k].m] = direct ? out->stride : EXPR_BLOCK;
    }
    const expr_program *p = &x->rows[order_of(out->grad, out->hess)];
    x->run(p->ins, p->n, &at, padded(n));
    for (size_t k = 0; k < sizeof part / sizeof *part && !whole; k++)
        for (size_t i = 0; i < part[k].n && part[k].to; i++)
            memcpy(part[k].to + i * out->stride, part[k].spare + i * EXPR_BLOCK, n * sizeof(double));
}

void expr_block(const expr *x, double *scratch, double *value, double *grad, double *hess, const double *features,
                size_t stride, size_t n)
{
    if (!n) return;
    layout l = layout_of(x, scratch);
    outputs out = {value, grad, hess, n};
    if (n % EXPR_LANES) {
        copy_padded(l.features, features, stride, x->n_features, n);
        features = l.features;
        stride = EXPR_BLOCK;
    }
    run_rows(x, &l, &out, features, stride, n);
}

void expr_eval(const expr *x, double *scratch, double *value, double *grad, double *hess, const double *params,
               const double *const *cols, size_t n)
{
    layout l = layout_of(x, scratch);
    int order = order_of(grad, hess);
    run_scalars(x, l.scalars, params, order);
    for (size_t first = 0; first < n; first += EXPR_BLOCK) {
        size_t m = n - first < EXPR_BLOCK ? n - first : EXPR_BLOCK;
        outputs out = {value ? value + first : NULL, grad ? grad + first : NULL, hess ? hess + first : NULL, n};
        run_fixed(x, &l, cols, first, m, order);
        run_rows(x, &l, &out, l.features, EXPR_BLOCK, m);
    }
}
