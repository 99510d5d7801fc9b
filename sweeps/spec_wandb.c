/* The words of a W&B sweep file: method, parameters (nested too), run_cap, metric, early_terminate. */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "sweeps/spec_draw.h"

enum { MAX_DRAWS = 100000 };

static status no_memory(const sweep_spec *s, err *e) { return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path); }

status spec_only_keys(const sweep_spec *s, const yaml_node *map, const char *what, const char *const *known, int n,
                      err *e)
{
    if (map->kind != YAML_MAP) return spec_error(s, map, e, "%s: a map is needed", what);
    for (size_t i = 0; i < map->n; i++) {
        const char *key = map->keys[i]->text;
        int k = 0;
        while (k < n && strcmp(known[k], key)) k++;
        if (k < n) continue;
        const char *near = num_nearest_word(key, known, n);
        if (near) return spec_error(s, map->keys[i], e, "%s: unknown key '%s'; did you mean '%s'?", what, key, near);
        char list[256] = "";
        for (k = 0; k < n; k++) {
            size_t used = strlen(list);
            if (used + strlen(known[k]) + 3 < sizeof list) strcat(strcat(list, k ? ", " : ""), known[k]);
        }
        return spec_error(s, map->keys[i], e, "%s: unknown key '%s'; there are %s", what, key, list);
    }
    return ST_OK;
}

status spec_check_method(const sweep_spec *s, const yaml_node *method, bool *random, err *e)
{
    static const char *const names[] = {"grid", "random", "bayes"};
    *random = false;
    if (!method) return ST_OK;
    const char *text = method->kind == YAML_SCALAR ? method->text : "...", *near;
    if (!strcmp(text, "grid")) return ST_OK;
    if (!strcmp(text, "random")) return *random = true, ST_OK;
    if (!strcmp(text, "bayes"))
        return spec_error(s, method, e,
                          "method: 'bayes' is not offered: it chooses each run by the results of earlier"
                          " ones, a plan names all runs beforehand; take random or grid");
    near = num_nearest_word(text, names, 2);
    return near ? spec_error(s, method, e, "method: '%s' is not offered; did you mean '%s'?", text, near)
                : spec_error(s, method, e, "method: '%s' is not offered; there are grid and random", text);
}

status spec_check_metric(sweep_spec *s, const yaml_node *at, err *e)
{
    static const char *const known[] = {"name", "goal", "target"};
    status st = spec_only_keys(s, at, "metric", known, 3, e);
    const yaml_node *goal = st ? NULL : yaml_get(at, "goal");
    if (goal && (goal->kind != YAML_SCALAR || (strcmp(goal->text, "minimize") && strcmp(goal->text, "maximize"))))
        return spec_error(s, goal, e, "metric: goal: minimize or maximize is needed");
    return st;
}

/* ---- parameters ----------------------------------------------------------------------------------------------- */

typedef struct params {
    spec_param *items;
    size_t n;
    bool nested;
} params;

/* Groups are names only: our configs are flat. */
static status flatten(params *out, sweep_spec *s, const yaml_node *map, bool random, err *e)
{
    status st = ST_OK;
    if (map->kind != YAML_MAP || !map->n)
        return spec_error(s, map, e, "parameters: a map is needed, as in {lr: {values: [1e-3, 2e-3]}}");
    for (size_t i = 0; i < map->n && !st; i++) {
        const yaml_node *inner = yaml_get(map->values[i], "parameters");
        if (inner) {
            static const char *const known[] = {"parameters"};
            out->nested = true;
            st = spec_only_keys(s, map->values[i], map->keys[i]->text, known, 1, e);
            if (!st) st = flatten(out, s, inner, random, e);
            continue;
        }
        spec_param *more = spec_grown(out->items, out->n, sizeof *more);
        if (!more) return no_memory(s, e);
        out->items = more;
        if (!(st = spec_param_read(&out->items[out->n], s, map->keys[i], map->values[i], random, e))) out->n++;
    }
    return st;
}

static status whole_number(uint64_t *out, const sweep_spec *s, const yaml_node *at, const char *what, int64_t least,
                           int64_t most, err *e)
{
    int64_t x;
    if (at->kind == YAML_SCALAR && !at->quoted && num_parse_i64(at->text, &x) && x >= least && x <= most)
        return *out = (uint64_t)x, ST_OK;
    return spec_error(s, at, e, "%s: '%s' is not a whole number from %lld to %lld", what,
                      at->kind == YAML_SCALAR ? at->text : "...", (long long)least, (long long)most);
}

/* Room for a factor over all parameters that vary. */
static status factor_new(sweep_factor *f, const sweep_spec *s, const params *p, size_t rows, err *e)
{
    *f = (sweep_factor){.n_rows = rows,
                        .keys = calloc(p->n + 1, sizeof *f->keys),
                        .values = calloc((p->n + 1) * rows, sizeof *f->values)};
    return f->keys && f->values ? ST_OK : no_memory(s, e);
}

static status add_draws(sweep_spec *s, spec_level *l, const params *p, size_t rows, uint64_t seed, err *e)
{
    sweep_factor f;
    status st = factor_new(&f, s, p, rows, e);
    for (size_t k = 0; k < p->n && !st; k++) {
        if (spec_param_constant(&p->items[k])) continue;
        for (size_t i = 0; i < rows && !st; i++)
            if (!(f.values[f.n_keys * rows + i] = spec_param_draw(s, &p->items[k], seed, i, e))) st = ST_NOMEM;
        f.keys[f.n_keys++] = p->items[k].key;
    }
    if (!st && f.n_keys) return spec_level_add_factor(s, l, &f, e);
    spec_factor_free(&f);
    return st;
}

/* The first `rows` cells of a grid, the last key moving fastest. */
static status add_capped(sweep_spec *s, spec_level *l, sweep_factor *axes, size_t n, size_t rows, err *e)
{
    sweep_factor f = {
        .n_rows = rows, .n_keys = n, .keys = calloc(n, sizeof *f.keys), .values = calloc(n * rows, sizeof *f.values)};
    if (!f.keys || !f.values) {
        spec_factor_free(&f);
        return no_memory(s, e);
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t k = n, rest = i; k-- > 0; rest /= axes[k].n_rows)
            f.values[k * rows + i] = axes[k].values[rest % axes[k].n_rows];
    for (size_t k = 0; k < n; k++) f.keys[k] = axes[k].keys[0];
    return spec_level_add_factor(s, l, &f, e);
}

static status add_grid(sweep_spec *s, spec_level *l, const params *p, const yaml_node *cap, size_t rows, err *e)
{
    sweep_factor *axes = calloc(p->n + 1, sizeof *axes);
    size_t n = 0;
    double product = 1;
    status st = axes ? ST_OK : no_memory(s, e);
    for (size_t k = 0; k < p->n && !st; k++) {
        if (spec_param_constant(&p->items[k])) continue;
        sweep_factor *f = &axes[n++];
        *f = (sweep_factor){.n_keys = 1, .keys = calloc(1, sizeof *f->keys)};
        if (!f->keys) st = no_memory(s, e);
        else f->keys[0] = p->items[k].key;
        if (!st) st = spec_param_grid(s, &p->items[k], &f->values, &f->n_rows, e);
        product *= (double)f->n_rows;
    }
    const bool capped = !st && cap && product > (double)rows;
    if (capped) {
        spec_note(s, cap, "run_cap: the first %zu of %.0f cells of the grid", rows, product);
        st = add_capped(s, l, axes, n, rows, e);
    }
    for (size_t k = 0; axes && k < n; k++) {
        if (!st && !capped) st = spec_level_add_factor(s, l, &axes[k], e);
        else spec_factor_free(&axes[k]);
    }
    free(axes);
    return st;
}

status spec_read_parameters(sweep_spec *s, spec_level *l, const spec_search *how, err *e)
{
    bool random;
    uint64_t rows = 0, seed = 0;
    params p = {0};
    status st = spec_check_method(s, how->method, &random, e);
    if (!st && how->run_cap) st = whole_number(&rows, s, how->run_cap, "run_cap", 1, MAX_DRAWS, e);
    if (!st && how->sample_seed) st = whole_number(&seed, s, how->sample_seed, "sample_seed", 0, INT64_C(1) << 53, e);
    if (!st && random && !how->run_cap)
        st = spec_error(s, how->method, e,
                        "method: random has no end of its own; say how many runs: run_cap: 50 in the"
                        " spec, or run_cap=50 on the command line");
    if (!st) st = flatten(&p, s, how->parameters, random, e);
    for (size_t k = 0; k < p.n && !st; k++)
        if (spec_param_constant(&p.items[k])) st = spec_level_add_base(s, l, p.items[k].key, p.items[k].value, e);
    if (!st && p.nested)
        spec_note(s, how->parameters, "nested parameters: the groups are names only, their keys are config keys");
    if (!st) st = random ? add_draws(s, l, &p, rows, seed, e) : add_grid(s, l, &p, how->run_cap, rows, e);
    free(p.items);
    return st;
}
