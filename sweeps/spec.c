#include "sweeps/spec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "sweeps/spec_level.h"

static status no_memory(const sweep_spec *s, err *e) { return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path); }

static void note(sweep_spec *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(sweep_spec *s, const char *fmt, ...)
{
    va_list ap;
    if (s->n_notes == SWEEP_MAX_NOTES) return;
    va_start(ap, fmt);
    vsnprintf(s->notes[s->n_notes++], sizeof s->notes[0], fmt, ap);
    va_end(ap);
}

static status read_base(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    status st = ST_OK;
    if (at->kind != YAML_MAP)
        return yaml_error(&s->doc, at, e, "base: a map of config keys is needed, as in {d_model: 64, lr: 1e-3}");
    for (size_t i = 0; i < at->n && !st; i++) st = spec_level_add_base(s, l, at->keys[i], at->values[i], e);
    return st;
}

static status read_grid(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    status st = ST_OK;
    if (at->kind != YAML_MAP)
        return yaml_error(&s->doc, at, e, "grid: a map of lists is needed, as in {lr: [1e-3, 2e-3]}");
    if (!at->n)
        return yaml_error(&s->doc, at, e, "grid: empty; leave it out or give it a key, as in {lr: [1e-3, 2e-3]}");
    for (size_t i = 0; i < at->n && !st; i++) st = spec_level_add_axis(s, l, at->keys[i], at->values[i], e);
    return st;
}

static status read_zip(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    status st = ST_OK;
    if (at->kind == YAML_MAP) return spec_level_add_zip(s, l, at, e);
    if (at->kind != YAML_SEQ || !at->n)
        return yaml_error(&s->doc, at, e,
                          "zip: a list of groups is needed, as in [{d_model: [64, 128], n_layer: [2, 4]}]");
    for (size_t i = 0; i < at->n && !st; i++) st = spec_level_add_zip(s, l, at->values[i], e);
    return st;
}

static status read_seeds(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    const yaml_node *key = sweep_spec_make(s, at, "seed", e);
    return key ? spec_level_add_axis(s, l, key, at, e) : ST_NOMEM;
}

/* W&B: parameters: {lr: {values: [..]}, d_model: {value: 64}}. */
static status read_parameters(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    status st = ST_OK;
    if (at->kind != YAML_MAP || !at->n)
        return yaml_error(&s->doc, at, e, "parameters: a map is needed, as in {lr: {values: [1e-3, 2e-3]}}");
    for (size_t i = 0; i < at->n && !st; i++) {
        const yaml_node *key = at->keys[i], *p = at->values[i];
        const yaml_node *values = yaml_get(p, "values"), *value = yaml_get(p, "value");
        if (p->kind != YAML_MAP || p->n != 1 || (!values && !value))
            return yaml_error(&s->doc, p, e,
                              "parameters: %s: exactly one of value and values is needed (min, max and distribution"
                              " belong to random search, which is not offered)",
                              key->text);
        st = values ? spec_level_add_axis(s, l, key, values, e) : spec_level_add_base(s, l, key, value, e);
    }
    return st;
}

static status read_method(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    (void)l;
    if (at->kind == YAML_SCALAR && !strcmp(at->text, "grid")) return ST_OK;
    return yaml_error(&s->doc, at, e, "method: '%s' is not offered; only grid is",
                      at->kind == YAML_SCALAR ? at->text : "...");
}

static status read_ignored(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    (void)s, (void)l, (void)at, (void)e;
    return ST_OK;
}

/* The words of a spec. `name` and `sweeps` are read by their owners. */
static const struct word {
    const char *name;
    status (*read)(sweep_spec *, spec_level *, const yaml_node *, err *);
    bool top_only, ignored;
} words[] = {
    {"base", read_base, false, false},
    {"grid", read_grid, false, false},
    {"zip", read_zip, false, false},
    {"seeds", read_seeds, false, false},
    {"parameters", read_parameters, false, false},
    {"method", read_method, false, false},
    {"name", read_ignored, false, false},
    {"sweeps", read_ignored, true, false},
    /* of a W&B sweep file; they steer nothing here */
    {"metric", read_ignored, true, true},
    {"description", read_ignored, true, true},
    {"program", read_ignored, true, true},
    {"command", read_ignored, true, true},
    {"project", read_ignored, true, true},
    {"entity", read_ignored, true, true},
};
enum { N_WORDS = sizeof words / sizeof *words };

static status unknown_word(const sweep_spec *s, const yaml_node *key, bool top, err *e)
{
    const char *names[N_WORDS], *near;
    int n = 0;
    if (config_find(key->text))
        return yaml_error(&s->doc, key, e, "'%s' is a config key: a single value belongs under base, a list under grid",
                          key->text);
    for (size_t i = 0; i < N_WORDS; i++)
        if (top || !words[i].top_only) names[n++] = words[i].name;
    if ((near = num_nearest_word(key->text, names, n)))
        return yaml_error(&s->doc, key, e, "unknown key '%s'; did you mean '%s'?", key->text, near);
    return yaml_error(&s->doc, key, e,
                      "unknown key '%s'; a spec has base, grid, zip, seeds, parameters, method, name and sweeps",
                      key->text);
}

static status read_level(sweep_spec *s, spec_level *l, const yaml_node *map, bool top, err *e)
{
    status st = ST_OK;
    if (map->kind != YAML_MAP) return yaml_error(&s->doc, map, e, "a map is needed, as in {base: {...}, grid: {...}}");
    for (size_t i = 0; i < map->n && !st; i++) {
        const struct word *w = NULL;
        for (size_t k = 0; k < N_WORDS && !w; k++)
            if (!strcmp(words[k].name, map->keys[i]->text) && (top || !words[k].top_only)) w = &words[k];
        if (!w) return unknown_word(s, map->keys[i], top, e);
        st = w->read(s, l, map->values[i], e);
        if (!st && w->ignored)
            note(s, "%s:%d:%d: '%s' is accepted and ignored", s->doc.path, map->keys[i]->line, map->keys[i]->column,
                 w->name);
    }
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
            return yaml_error(&s->doc, name, e, "two sweeps are named '%s'; rename one", b.name);
    if (!l->n_base && !l->n_factors)
        return yaml_error(&s->doc, map, e, "empty: no run is described; give base and grid");
    for (size_t i = 0; i < l->n_factors; i++) {
        b.n_cells *= l->factors[i].n_rows;
        if (b.n_cells + s->n_cells > SWEEP_MAX_CELLS)
            return yaml_error(&s->doc, map, e, "more than %d runs; split the spec", (int)SWEEP_MAX_CELLS);
    }
    sweep_block *more = spec_grown(s->blocks, s->n_blocks, sizeof *more);
    if (!more) return no_memory(s, e);
    s->blocks = more;
    b.base = l->base, b.n_base = l->n_base;
    b.factors = l->factors, b.n_factors = l->n_factors;
    memset(l, 0, sizeof *l);
    s->n_cells += b.n_cells;
    s->blocks[s->n_blocks++] = b;
    return ST_OK;
}

static status add_merged(sweep_spec *s, const spec_level *shared, const spec_level *own, const yaml_node *map, err *e)
{
    spec_level merged = {0};
    status st = spec_level_merge(s, &merged, shared, own, e);
    if (!st) st = add_block(s, &merged, map, e);
    spec_level_free(&merged);
    return st;
}

static status read_block(sweep_spec *s, const spec_level *shared, const yaml_node *map, err *e)
{
    spec_level own = {0};
    status st = read_level(s, &own, map, false, e);
    if (!st) st = add_merged(s, shared, &own, map, e);
    spec_level_free(&own);
    return st;
}

static status read_spec(sweep_spec *s, err *e)
{
    static const spec_level nothing = {0};
    spec_level top = {0};
    const yaml_node *list = yaml_get(s->doc.root, "sweeps");
    status st = read_level(s, &top, s->doc.root, true, e);
    if (!st && list && (list->kind != YAML_SEQ || !list->n))
        st = yaml_error(
            &s->doc, list, e,
            "sweeps: a list of blocks is needed, as in [{name: mup, base: {...}}, {name: sp, base: {...}}]");
    if (!st && !list) st = add_merged(s, &nothing, &top, s->doc.root, e);
    for (size_t i = 0; list && i < list->n && !st; i++) st = read_block(s, &top, list->values[i], e);
    spec_level_free(&top);
    return st;
}

status sweep_spec_parse(sweep_spec *s, const char *text, size_t n, const char *name, err *e)
{
    memset(s, 0, sizeof *s);
    status st = yaml_parse(&s->doc, text, n, name, e);
    if (st) return st;
    if (!(s->text = malloc(n + 1))) return no_memory(s, e);
    memcpy(s->text, text, n);
    s->text[n] = 0;
    s->text_size = n;
    io_sha256(s->sha256, text, n);
    return read_spec(s, e);
}

status sweep_spec_load(sweep_spec *s, const char *path, err *e)
{
    char *text = NULL;
    size_t n = 0;
    memset(s, 0, sizeof *s);
    status st = io_read_file(&text, &n, path, 4u << 20, e);
    if (!st) st = sweep_spec_parse(s, text, n, path, e);
    free(text);
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
        spec_level l = {s->blocks[i].base, s->blocks[i].factors, s->blocks[i].n_base, s->blocks[i].n_factors};
        spec_level_free(&l);
    }
    for (size_t i = 0; i < s->n_made; i++) made_free(s->made[i]);
    free(s->made);
    free(s->blocks);
    free(s->text);
    yaml_doc_free(&s->doc);
    memset(s, 0, sizeof *s);
}
