#include "sweeps/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "sweeps/spec_level.h"

/* What is known while the maps of a spec are read. */
typedef struct reading {
    spec_search top, said; /* said: on the command line */
    spec_level over;       /* the overrides' settings */
    bool later;            /* some block has parameters, for which the top's method and run_cap are meant */
} reading;

static status no_memory(const sweep_spec *s, err *e) { return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path); }

static status read_base(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    status st = ST_OK;
    if (at->kind != YAML_MAP)
        return spec_error(s, at, e, "base: a map of config keys is needed, as in {d_model: 64, lr: 1e-3}");
    for (size_t i = 0; i < at->n && !st; i++) st = spec_level_add_base(s, l, at->keys[i], at->values[i], e);
    return st;
}

static status read_grid(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    status st = ST_OK;
    if (at->kind != YAML_MAP) return spec_error(s, at, e, "grid: a map of lists is needed, as in {lr: [1e-3, 2e-3]}");
    if (!at->n) return spec_error(s, at, e, "grid: empty; leave it out or give it a key, as in {lr: [1e-3, 2e-3]}");
    for (size_t i = 0; i < at->n && !st; i++) st = spec_level_add_axis(s, l, at->keys[i], at->values[i], e);
    return st;
}

static status read_zip(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    status st = ST_OK;
    if (at->kind == YAML_MAP) return spec_level_add_zip(s, l, at, e);
    if (at->kind != YAML_SEQ || !at->n)
        return spec_error(s, at, e, "zip: a list of groups is needed, as in [{d_model: [64, 128], n_layer: [2, 4]}]");
    for (size_t i = 0; i < at->n && !st; i++) st = spec_level_add_zip(s, l, at->values[i], e);
    return st;
}

static status read_seeds(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    const yaml_node *key = sweep_spec_make(s, at, "seed", e);
    return key ? spec_level_add_axis(s, l, key, at, e) : ST_NOMEM;
}

static status read_metric(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    (void)l;
    return spec_check_metric(s, at, e);
}

static status read_early_terminate(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    (void)l;
    return spec_read_early_terminate(s, at, e);
}

/* Checked here; `sweep submit` reads it. */
static status read_slurm(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    (void)l;
    return spec_check_slurm(s, at, e);
}

/* Read by its owner, or ignored. */
static status read_elsewhere(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    (void)s, (void)l, (void)at, (void)e;
    return ST_OK;
}

/* The words of a spec. */
static const struct word {
    const char *name;
    status (*read)(sweep_spec *, spec_level *, const yaml_node *, err *);
    bool top_only, ignored;
} words[] = {
    {"base", read_base, false, false},
    {"grid", read_grid, false, false},
    {"zip", read_zip, false, false},
    {"seeds", read_seeds, false, false},
    {"isoflop", spec_level_add_isoflop, false, false},
    {"derived", read_elsewhere, false, false}, /* after the rest: read_level */
    {"exclude", spec_level_add_exclude, false, false},
    {"parameters", read_elsewhere, false, false},
    {"method", read_elsewhere, false, false},
    {"run_cap", read_elsewhere, false, false},
    {"sample_seed", read_elsewhere, false, false},
    {"name", read_elsewhere, false, false},
    {"sweeps", read_elsewhere, true, false},
    {"overrides", read_elsewhere, true, false},
    {"early_terminate", read_early_terminate, true, false},
    {"slurm", read_slurm, true, false},
    /* of a W&B sweep file; they steer nothing here */
    {"metric", read_metric, true, true},
    {"description", read_elsewhere, true, true},
    {"program", read_elsewhere, true, true},
    {"command", read_elsewhere, true, true},
    {"project", read_elsewhere, true, true},
    {"entity", read_elsewhere, true, true},
};
enum { N_WORDS = sizeof words / sizeof *words };

static status unknown_word(const sweep_spec *s, const yaml_node *key, bool top, err *e)
{
    const char *names[N_WORDS], *near;
    int n = 0;
    if (config_find(key->text) || spec_is_flops(key->text))
        return spec_error(s, key, e, "'%s' is a config key: a single value belongs under base, a list under grid",
                          key->text);
    for (size_t i = 0; i < N_WORDS; i++)
        if (top || !words[i].top_only) names[n++] = words[i].name;
    if ((near = num_nearest_word(key->text, names, n)))
        return spec_error(s, key, e, "unknown key '%s'; did you mean '%s'?", key->text, near);
    return spec_error(
        s, key, e,
        "unknown key '%s'; a spec has base, grid, zip, seeds, isoflop, derived, exclude, sweeps, slurm, name, and W&B's"
        " method, parameters, run_cap",
        key->text);
}

static const yaml_node *or_else(const yaml_node *own, const yaml_node *shared) { return own ? own : shared; }

/* W&B's words of one map. What the command line says comes before the map's own, then the top's. */
static status read_search(sweep_spec *s, spec_level *l, const yaml_node *map, const reading *r, bool top, err *e)
{
    const spec_search own = {.method = yaml_get(map, "method"),
                             .run_cap = yaml_get(map, "run_cap"),
                             .sample_seed = yaml_get(map, "sample_seed"),
                             .parameters = yaml_get(map, "parameters")};
    const spec_search how = {.method = or_else(own.method, r->top.method),
                             .parameters = own.parameters,
                             .run_cap = or_else(r->said.run_cap, or_else(own.run_cap, r->top.run_cap)),
                             .sample_seed = or_else(r->said.sample_seed, or_else(own.sample_seed, r->top.sample_seed))};
    bool random;
    if (how.parameters) return spec_read_parameters(s, l, &how, e);
    status st = spec_check_method(s, own.method, &random, e);
    const yaml_node *idle = random ? own.method : or_else(own.run_cap, own.sample_seed);
    if (st || !idle || (top && r->later)) return st;
    return spec_error(s, idle, e, "method: random, run_cap and sample_seed are about `parameters`, which are not here");
}

static status read_level(sweep_spec *s, spec_level *l, const yaml_node *map, const reading *r, bool top, err *e)
{
    status st = ST_OK;
    if (map->kind != YAML_MAP) return spec_error(s, map, e, "a map is needed, as in {base: {...}, grid: {...}}");
    for (size_t i = 0; i < map->n && !st; i++) {
        const struct word *w = NULL;
        for (size_t k = 0; k < N_WORDS && !w; k++)
            if (!strcmp(words[k].name, map->keys[i]->text) && (top || !words[k].top_only)) w = &words[k];
        if (!w) return unknown_word(s, map->keys[i], top, e);
        st = w->read(s, l, map->values[i], e);
        if (!st && w->ignored) spec_note(s, map->keys[i], "'%s' is accepted and ignored", w->name);
    }
    const yaml_node *derived = yaml_get(map, "derived");
    if (!st) st = read_search(s, l, map, r, top, e);
    if (!st && derived) st = spec_level_add_derived(s, l, derived, e);
    return st;
}

/* Takes over what is in *l. */
static status add_block(sweep_spec *s, spec_level *l, const yaml_node *map, err *e)
{
    const yaml_node *name = yaml_get(map, "name");
    sweep_block b = {.name = "", .at = map, .n_cells = 1};
    if (name) {
        status st = yaml_text(&s->doc, name, "name", &b.name, e);
        if (st) return st;
    }
    for (size_t i = 0; i < s->n_blocks; i++)
        if (*b.name && !strcmp(s->blocks[i].name, b.name))
            return spec_error(s, name, e, "two sweeps are named '%s'; rename one", b.name);
    if (!l->n_base && !l->n_factors && !l->n_derived)
        return spec_error(s, map, e, "empty: no run is described; give base and grid");
    for (size_t i = 0; i < l->n_factors; i++) {
        b.n_cells *= l->factors[i].n_rows;
        if (b.n_cells + s->n_cells > SWEEP_MAX_CELLS)
            return spec_error(s, map, e, "more than %d runs; split the spec", (int)SWEEP_MAX_CELLS);
    }
    sweep_block *more = spec_grown(s->blocks, s->n_blocks, sizeof *more);
    if (!more) return no_memory(s, e);
    s->blocks = more;
    status st = spec_order_derived(s, &b, l, e);
    if (st) {
        free(b.derived);
        free(b.rules);
        return st;
    }
    free(l->rules);
    b.base = l->base, b.n_base = l->n_base;
    b.factors = l->factors, b.n_factors = l->n_factors;
    memset(l, 0, sizeof *l);
    s->n_cells += b.n_cells;
    s->blocks[s->n_blocks++] = b;
    return ST_OK;
}

static status add_merged(sweep_spec *s, const reading *r, const spec_level *shared, const spec_level *own,
                         const yaml_node *map, err *e)
{
    spec_level written = {0}, merged = {0};
    status st = spec_level_merge(s, &written, shared, own, e);
    if (!st) st = spec_level_merge(s, &merged, &written, &r->over, e);
    if (!st) st = add_block(s, &merged, map, e);
    spec_level_free(&written);
    spec_level_free(&merged);
    return st;
}

static status read_block(sweep_spec *s, const reading *r, const spec_level *shared, const yaml_node *map, err *e)
{
    spec_level own = {0};
    status st = read_level(s, &own, map, r, false, e);
    if (!st) st = add_merged(s, r, shared, &own, map, e);
    spec_level_free(&own);
    return st;
}

static status read_spec(sweep_spec *s, err *e)
{
    static const spec_level nothing = {0};
    const yaml_node *root = s->doc.root, *list = yaml_get(root, "sweeps"), *overrides = yaml_get(root, "overrides");
    spec_level top = {0};
    reading r = {0};
    status st = overrides ? spec_read_overrides(s, &r.over, &r.said, overrides, e) : ST_OK;
    for (size_t i = 0; list && i < list->n; i++) r.later = r.later || yaml_get(list->values[i], "parameters");
    if (!st) st = read_level(s, &top, root, &r, true, e);
    r.top = (spec_search){.method = yaml_get(root, "method"),
                          .run_cap = yaml_get(root, "run_cap"),
                          .sample_seed = yaml_get(root, "sample_seed")};
    if (!st && list && (list->kind != YAML_SEQ || !list->n))
        st =
            spec_error(s, list, e,
                       "sweeps: a list of blocks is needed, as in [{name: mup, base: {...}}, {name: sp, base: {...}}]");
    if (!st && (r.said.run_cap || r.said.sample_seed) && !r.later && !yaml_get(root, "parameters"))
        st = spec_error(s, or_else(r.said.run_cap, r.said.sample_seed), e,
                        "run_cap and sample_seed are about `parameters`, which this spec does not have");
    if (!st && !list) st = add_merged(s, &r, &nothing, &top, root, e);
    for (size_t i = 0; list && i < list->n && !st; i++) st = read_block(s, &r, &top, list->values[i], e);
    spec_level_free(&top);
    spec_level_free(&r.over);
    return st;
}

static status parse(sweep_spec *s, const char *text, size_t n, const char *name, size_t n_overrides, err *e)
{
    memset(s, 0, sizeof *s);
    s->n_overrides = n_overrides;
    status st = yaml_parse(&s->doc, text, n, name, e);
    if (st) return st;
    if (!(s->text = malloc(n + 1))) return no_memory(s, e);
    memcpy(s->text, text, n);
    s->text[n] = 0;
    s->text_size = n;
    io_sha256(s->sha256, text, n);
    return read_spec(s, e);
}

status sweep_spec_parse(sweep_spec *s, const char *text, size_t n, const char *name, err *e)
{
    return parse(s, text, n, name, 0, e);
}

status sweep_spec_load(sweep_spec *s, const char *path, const char *const *overrides, size_t n_overrides, err *e)
{
    char *text = NULL, *longer = NULL;
    size_t n = 0, size = 0;
    memset(s, 0, sizeof *s);
    status st = io_read_file(&text, &n, path, 4u << 20, e);
    if (!st && n_overrides) st = spec_with_overrides(&longer, &size, text, n, path, overrides, n_overrides, e);
    if (!st) st = parse(s, longer ? longer : text, longer ? size : n, path, n_overrides, e);
    free(text);
    free(longer);
    return st;
}

static void made_free(yaml_node *n)
{
    free(n->text);
    free(n);
}

void sweep_spec_free(sweep_spec *s)
{
    for (size_t i = 0; i < s->n_blocks; i++) {
        sweep_block *b = &s->blocks[i];
        spec_level l = {.base = b->base, .factors = b->factors, .derived = b->derived, .n_factors = b->n_factors};
        spec_level_free(&l);
        free(b->rules);
    }
    for (size_t i = 0; i < s->n_made; i++) made_free(s->made[i]);
    for (size_t i = 0; i < s->n_formulas; i++) spec_expr_free(s->formulas[i]);
    free(s->made);
    free(s->formulas);
    free(s->rules);
    free(s->blocks);
    free(s->text);
    yaml_doc_free(&s->doc);
    memset(s, 0, sizeof *s);
}
