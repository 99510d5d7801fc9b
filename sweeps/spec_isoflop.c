/* `isoflop: {budgets: [...], sizes: {...}}`: every size at every budget, tokens solved from the budget. One factor
 * whose keys are flops and those of sizes. A list of such maps: their rows one after another, so that larger budgets
 * may have larger sizes (Hoffmann et al. 2022, arXiv:2203.15556, approach 2). */
#include <stdlib.h>
#include <string.h>

#include "sweeps/spec_level.h"

static status no_memory(const sweep_spec *s, err *e) { return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path); }

/* sizes as columns: {d_model: [64, 128]} or [{d_model: 64}, {d_model: 128}]; *values is [n_keys][*n]. */
typedef struct columns {
    const yaml_node **keys, **values;
    size_t n_keys, n;
} columns;

static void columns_free(columns *c)
{
    free(c->keys);
    free(c->values);
    memset(c, 0, sizeof *c);
}

static status from_map(columns *out, sweep_spec *s, const yaml_node *at, err *e)
{
    spec_level scratch = {0};
    status st = spec_level_add_zip(s, &scratch, at, e); /* a group that moves together, with the checks of one */
    if (!st) {
        sweep_factor *f = &scratch.factors[0];
        *out = (columns){f->keys, f->values, f->n_keys, f->n_rows};
        memset(f, 0, sizeof *f);
    }
    spec_level_free(&scratch);
    return st;
}

static status from_list(columns *out, sweep_spec *s, const yaml_node *at, err *e)
{
    const yaml_node *first = at->values[0];
    if (first->kind != YAML_MAP || !first->n)
        return spec_error(s, first, e, "isoflop: a size is a map, as in {d_model: 64, n_layer: 2}");
    *out = (columns){.keys = malloc(first->n * sizeof *out->keys),
                     .n_keys = first->n,
                     .n = at->n,
                     .values = malloc(first->n * at->n * sizeof *out->values)};
    if (!out->keys || !out->values) return no_memory(s, e);
    memcpy(out->keys, first->keys, first->n * sizeof *out->keys);
    for (size_t i = 0; i < at->n; i++) {
        const yaml_node *size = at->values[i];
        if (size->kind != YAML_MAP || size->n != first->n)
            return spec_error(s, size, e, "isoflop: every size needs the keys of the first (line %d)", first->line);
        for (size_t k = 0; k < first->n; k++)
            if (!(out->values[k * at->n + i] = yaml_get(size, first->keys[k]->text)))
                return spec_error(s, size, e, "isoflop: this size lacks %s", first->keys[k]->text);
    }
    return ST_OK;
}

static status read_sizes(columns *out, sweep_spec *s, const yaml_node *at, err *e)
{
    if (at && at->kind == YAML_MAP && at->n) return from_map(out, s, at, e);
    if (at && at->kind == YAML_SEQ && at->n) return from_list(out, s, at, e);
    return spec_error(s, at, e,
                      "isoflop: sizes: lists that move together are needed, as in {d_model: [64, 128],"
                      " n_layer: [2, 4]}");
}

/* f's columns get the rows budgets x sizes of one more group. */
static status append(sweep_factor *f, const sweep_spec *s, const yaml_node *flops, const yaml_node *const *budgets,
                     size_t n_budgets, const columns *sizes, const yaml_node *at, err *e)
{
    const size_t n_keys = 1 + sizes->n_keys, rows = f->n_rows + n_budgets * sizes->n;
    if (f->n_rows && n_keys != f->n_keys)
        return spec_error(s, at, e, "isoflop: every group needs the keys of the first in its sizes");
    const yaml_node **keys = calloc(n_keys, sizeof *keys), **values = calloc(n_keys * rows, sizeof *values);
    status st = keys && values ? ST_OK : no_memory(s, e);
    for (size_t k = 0; k < n_keys && !st; k++) {
        size_t from = k;
        keys[k] = k ? sizes->keys[k - 1] : flops;
        if (f->n_rows)
            for (from = 0; from < n_keys && strcmp(f->keys[from]->text, keys[k]->text);) from++;
        if (from == n_keys) {
            st =
                spec_error(s, keys[k], e, "isoflop: %s is in this group's sizes and not in the first's", keys[k]->text);
            break;
        }
        if (f->n_rows) memcpy(values + k * rows, f->values + from * f->n_rows, f->n_rows * sizeof *values);
        for (size_t b = 0, i = f->n_rows; b < n_budgets; b++)
            for (size_t z = 0; z < sizes->n; z++, i++)
                values[k * rows + i] = k ? sizes->values[(k - 1) * sizes->n + z] : budgets[b];
    }
    if (st) {
        free(keys);
        free(values);
        return st;
    }
    spec_factor_free(f);
    *f = (sweep_factor){keys, values, n_keys, rows};
    return ST_OK;
}

static status add_group(sweep_spec *s, sweep_factor *f, const yaml_node *flops, const yaml_node *at, err *e)
{
    static const char *const known[] = {"budgets", "sizes"};
    const yaml_node *budgets = yaml_get(at, "budgets"), *sizes = yaml_get(at, "sizes"), **costs = NULL;
    columns c = {0};
    size_t n = 0;
    if (at->kind != YAML_MAP || !budgets || !sizes) {
        status st = at->kind == YAML_MAP ? spec_only_keys(s, at, "isoflop", known, 2, e) : ST_OK;
        return st ? st
                  : spec_error(s, at, e,
                               "isoflop: budgets and sizes are needed, as in {budgets: [1e15, 4e15],"
                               " sizes: {d_model: [64, 128]}}");
    }
    status st = spec_only_keys(s, at, "isoflop", known, 2, e);
    if (!st) st = sweep_spec_values(s, flops, budgets, &costs, &n, e);
    if (!st) st = read_sizes(&c, s, sizes, e);
    if (!st) st = append(f, s, flops, costs, n, &c, at, e);
    free(costs);
    columns_free(&c);
    return st;
}

status spec_level_add_isoflop(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    sweep_factor f = {0};
    const yaml_node *flops = sweep_spec_make(s, at, "flops", e);
    status st = flops ? ST_OK : ST_NOMEM;
    if (!st && at->kind == YAML_SEQ && !at->n) st = spec_error(s, at, e, "isoflop: empty; leave it out");
    if (!st && at->kind != YAML_SEQ) st = add_group(s, &f, flops, at, e);
    for (size_t i = 0; at->kind == YAML_SEQ && i < at->n && !st; i++) st = add_group(s, &f, flops, at->values[i], e);
    if (!st) return spec_level_add_factor(s, l, &f, e);
    spec_factor_free(&f);
    return st;
}
