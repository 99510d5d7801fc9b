/* From tape to programs. Three kinds of node: on parameters only (scalars, one number), on columns only (features, once
 * per data set), on both (rows). Each order of derivatives has its own row program, with only what it needs and with
 * slots as few as they can be: a block of a large law then still fits the cache. */
#include <stdlib.h>
#include <string.h>

#include "base/cpu_level.h"
#include "fit/expr_program.h"

typedef struct compiler {
    const expr_tape *t;
    uint8_t *order;        /* lowest order that needs the node; EXPR_ORDERS = none */
    uint32_t *where;       /* address of the node's value */
    bool *placed;          /* where is known before the program starts */
    int32_t *last;         /* last instruction that reads the node's slot */
    int32_t *list;         /* nodes of the program, in order */
    uint32_t *free_slots;
    size_t n_free;
    bool nomem;
} compiler;

/* --- programs --------------------------------------------------------------------------------------------------- */

static void emit(compiler *c, expr_program *p, expr_ins ins)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 32;
        expr_ins *grown = realloc(p->ins, cap * sizeof *grown);
        if (!grown) {
            c->nomem = true;
            return;
        }
        p->ins = grown;
        p->cap = cap;
    }
    p->ins[p->n++] = ins;
}

static uint32_t take_slot(compiler *c, expr_program *p)
{
    return expr_at(IN_SLOTS, c->n_free ? c->free_slots[--c->n_free] : p->n_slots++);
}

static void give_slot(compiler *c, uint32_t at) { c->free_slots[c->n_free++] = expr_place_of(at); }

static bool takes_scalars(int op)
{
    return op == OP_ADD || op == OP_SUB || op == OP_MUL || op == OP_MUL0 || op == OP_DIV || op == OP_POW;
}

static void emit_node(compiler *c, expr_program *p, int32_t node, int32_t now)
{
    const expr_node *q = &c->t->nodes[node];
    expr_ins ins = {.op = q->op, .form = EXPR_VV};
    uint32_t filled[3];
    size_t n_filled = 0;
    if (q->op == OP_COL) {
        ins.op = OP_COPY;
        ins.of[0] = expr_at(IN_COLS, (size_t)q->of[0]);
    }
    for (int i = 0; i < expr_op_reads(q->op); i++) {
        ins.of[i] = c->where[q->of[i]];
        if (expr_memory_of(ins.of[i]) != IN_SCALARS) continue;
        if (takes_scalars(q->op)) ins.form = i ? EXPR_VS : EXPR_SV; /* both would have made a scalar node */
        else {
            uint32_t slot = filled[n_filled++] = take_slot(c, p);
            emit(c, p, (expr_ins){.op = OP_FILL, .out = slot, .of = {ins.of[i]}});
            ins.of[i] = slot;
        }
    }
    /* Slots that nobody reads again may hold the result: an instruction reads each row before it writes it. */
    for (size_t i = 0; i < n_filled; i++) give_slot(c, filled[i]);
    for (int i = 0; i < expr_op_reads(q->op); i++) {
        int32_t o = q->of[i];
        bool again = false;
        for (int k = 0; k < i; k++) again |= q->of[k] == o;
        if (!again && !c->placed[o] && c->last[o] == now) give_slot(c, c->where[o]);
    }
    if (!c->placed[node]) c->where[node] = take_slot(c, p);
    ins.out = c->where[node];
    emit(c, p, ins);
}

/* Compiles the n nodes of c->list. Those that are not placed get slots. */
static void emit_list(compiler *c, expr_program *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < expr_op_reads(c->t->nodes[c->list[i]].op); k++)
            c->last[c->t->nodes[c->list[i]].of[k]] = (int32_t)i;
    c->n_free = 0;
    for (size_t i = 0; i < n && !c->nomem; i++) emit_node(c, p, c->list[i], (int32_t)i);
}

/* --- the three kinds --------------------------------------------------------------------------------------------- */

/* order[]: outputs first, then whatever they read, downwards (operands stand before their users). */
static void find_orders(compiler *c, int32_t value, const int32_t *grad, size_t n_grad, const int32_t *hess,
                        size_t n_hess)
{
    memset(c->order, EXPR_ORDERS, c->t->n);
    for (size_t i = 0; i < n_hess; i++)
        if (hess[i] >= 0) c->order[hess[i]] = 2;
    for (size_t i = 0; i < n_grad; i++)
        if (grad[i] >= 0) c->order[grad[i]] = 1;
    c->order[value] = c->order[EXPR_ZERO] = 0;
    for (size_t i = c->t->n; i-- > 0;) {
        const expr_node *q = &c->t->nodes[i];
        for (int k = 0; k < expr_op_reads(q->op); k++)
            if (c->order[q->of[k]] > c->order[i]) c->order[q->of[k]] = c->order[i];
    }
}

static void compile_scalars(compiler *c, expr *x)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < c->t->n; i++) n += c->order[i] < EXPR_ORDERS && expr_is_scalar(c->t, (int32_t)i);
    x->scalars = malloc((n + 1) * sizeof *x->scalars);
    if (!x->scalars) {
        c->nomem = true;
        return;
    }
    for (uint8_t o = 0; o < EXPR_ORDERS; o++) {
        for (size_t i = 0; i < c->t->n; i++) {
            const expr_node *q = &c->t->nodes[i];
            if (c->order[i] != o || !expr_is_scalar(c->t, (int32_t)i)) continue;
            expr_scalar s = {.op = q->op, .k = q->k};
            if (q->op == OP_PARAM) s.of[0] = q->of[0];
            for (int k = 0; k < expr_op_reads(q->op); k++) s.of[k] = (int32_t)expr_place_of(c->where[q->of[k]]);
            x->scalars[at] = s;
            c->where[i] = expr_at(IN_SCALARS, at++);
            c->placed[i] = true;
        }
        x->n_scalars[o] = at;
    }
}

/* Features: column-only nodes that rows read, and outputs that depend on columns only (already marked). */
static void compile_fixed(compiler *c, expr *x, bool *feature)
{
    size_t n = 0, upto[EXPR_ORDERS];
    for (size_t i = 0; i < c->t->n; i++)
        if (c->order[i] < EXPR_ORDERS && expr_is_row(c->t, (int32_t)i))
            for (int k = 0; k < expr_op_reads(c->t->nodes[i].op); k++) feature[c->t->nodes[i].of[k]] = true;
    for (uint8_t o = 0; o < EXPR_ORDERS; o++) {
        for (size_t i = 0; i < c->t->n; i++) {
            if (c->order[i] != o || expr_is_scalar(c->t, (int32_t)i) || expr_is_row(c->t, (int32_t)i)) continue;
            c->list[n++] = (int32_t)i;
            if (!feature[i]) continue;
            c->where[i] = expr_at(IN_FEATURES, x->n_features++);
            c->placed[i] = true;
        }
        upto[o] = n;
    }
    emit_list(c, &x->fixed, n);
    if (c->nomem) return;
    /* A node is one instruction, and those that fill slots for it: count where the prefixes end by their outputs. */
    for (size_t o = 0, node = 0, ins = 0; o < EXPR_ORDERS; o++) {
        for (; node < upto[o]; ins++) node += ins < x->fixed.n && x->fixed.ins[ins].op != OP_FILL;
        x->n_fixed[o] = ins;
    }
}

/* The first output that a row node feeds is where the node lives; the others are copied from there. */
static void place_output(compiler *c, int32_t node, uint32_t at)
{
    if (node < 0 || !expr_is_row(c->t, node) || c->placed[node]) return;
    c->where[node] = at;
    c->placed[node] = true;
}

static void copy_output(compiler *c, expr_program *p, int32_t node, uint32_t at)
{
    uint32_t from = c->where[node < 0 ? EXPR_ZERO : node];
    if (from == at) return;
    emit(c, p, (expr_ins){.op = expr_memory_of(from) == IN_SCALARS ? OP_FILL : OP_COPY, .out = at, .of = {from}});
}

static void compile_rows(compiler *c, expr *x, uint8_t order, int32_t value, const int32_t *grad, const int32_t *hess,
                         size_t n_hess)
{
    expr_program *p = &x->rows[order];
    size_t n = 0;
    for (size_t i = 0; i < c->t->n; i++) {
        if (!expr_is_row(c->t, (int32_t)i)) continue;
        c->placed[i] = false;
        if (c->order[i] <= order) c->list[n++] = (int32_t)i;
    }
    place_output(c, value, expr_at(IN_VALUE, 0));
    for (size_t i = 0; i < x->n_params && order >= 1; i++) place_output(c, grad[i], expr_at(IN_GRAD, i));
    for (size_t i = 0; i < n_hess && order >= 2; i++) place_output(c, hess[i], expr_at(IN_HESS, i));
    emit_list(c, p, n);
    copy_output(c, p, value, expr_at(IN_VALUE, 0));
    for (size_t i = 0; i < x->n_params && order >= 1; i++) copy_output(c, p, grad[i], expr_at(IN_GRAD, i));
    for (size_t i = 0; i < n_hess && order >= 2; i++) copy_output(c, p, hess[i], expr_at(IN_HESS, i));
    if (p->n_slots > x->n_slots) x->n_slots = p->n_slots;
}

/* --- levels ------------------------------------------------------------------------------------------------------- */

static status choose_run(expr *x, err *e)
{
    cpu_level level;
    status s = cpu_level_chosen(&level, e);
    x->run = expr_run_v1;
#ifdef CPU_HAVE_LEVELS
    if (!s && level >= CPU_V3) x->run = level >= CPU_V4 ? expr_run_v4 : expr_run_v3;
#endif
    return s;
}

status expr_compile(expr *x, expr_tape *t, int32_t value, const bool *wanted, err *e)
{
    int32_t grad[EXPR_MAX_PARAMS], hess[EXPR_MAX_HESS];
    size_t n_hess = x->n_params * (x->n_params + 1) / 2;
    status s = choose_run(x, e);
    if (s) return s;
    expr_differentiate(t, grad, hess, value, wanted, x->n_params);
    if (t->nomem) return err_set(e, ST_NOMEM, "no memory for a formula");
    if (t->full)
        return err_set(e, ST_INPUT, "the formula is too large: its derivatives need more than %d operations",
                       EXPR_MAX_NODES);
    compiler c = {.t = t,
                  .order = malloc(t->n),
                  .where = calloc(t->n, sizeof *c.where),
                  .placed = calloc(t->n, sizeof *c.placed),
                  .last = calloc(t->n, sizeof *c.last),
                  .list = malloc(t->n * sizeof *c.list),
                  .free_slots = malloc((t->n + 3) * sizeof *c.free_slots)};
    bool *feature = calloc(t->n, sizeof *feature);
    c.nomem = !c.order || !c.where || !c.placed || !c.last || !c.list || !c.free_slots || !feature;
    if (!c.nomem) {
        expr_structure(x, t, value, c.order);
        find_orders(&c, value, grad, x->n_params, hess, n_hess);
        feature[value] = true;
        for (size_t i = 0; i < x->n_params; i++) feature[grad[i] < 0 ? EXPR_ZERO : grad[i]] = true;
        for (size_t i = 0; i < n_hess; i++) feature[hess[i] < 0 ? EXPR_ZERO : hess[i]] = true;
        compile_scalars(&c, x);
        if (!c.nomem) compile_fixed(&c, x, feature);
        x->n_slots = x->fixed.n_slots;
        for (uint8_t o = 0; o < EXPR_ORDERS && !c.nomem; o++) compile_rows(&c, x, o, value, grad, hess, n_hess);
    }
    free(c.order);
    free(c.where);
    free(c.placed);
    free(c.last);
    free(c.list);
    free(c.free_slots);
    free(feature);
    return c.nomem ? err_set(e, ST_NOMEM, "no memory for a formula") : ST_OK;
}
