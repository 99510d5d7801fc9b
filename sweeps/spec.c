#include "sweeps/spec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* What one map of the spec says: the top level, or one block before it is merged with the top. */
typedef struct level {
    sweep_setting *base;
    sweep_factor *factors;
    size_t n_base, n_factors;
} level;

static status no_memory(const sweep_spec *s, err *e) { return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path); }

/* Room for one more element; capacity is the next power of two of n. */
static void *grown(void *list, size_t n, size_t size)
{
    return n & (n - 1) ? list : realloc(list, (n ? 2 * n : 1) * size);
}

static void factor_free(sweep_factor *f)
{
    free(f->keys);
    free(f->values);
    memset(f, 0, sizeof *f);
}

static void level_free(level *l)
{
    for (size_t i = 0; i < l->n_factors; i++) factor_free(&l->factors[i]);
    free(l->factors);
    free(l->base);
    memset(l, 0, sizeof *l);
}

static void note(sweep_spec *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(sweep_spec *s, const char *fmt, ...)
{
    va_list ap;
    if (s->n_notes == SWEEP_MAX_NOTES) return;
    va_start(ap, fmt);
    vsnprintf(s->notes[s->n_notes++], sizeof s->notes[0], fmt, ap);
    va_end(ap);
}

/* Where a level already speaks of `key`, or NULL. */
static const yaml_node *base_has(const level *l, const char *key)
{
    for (size_t i = 0; i < l->n_base; i++)
        if (!strcmp(l->base[i].key->text, key)) return l->base[i].key;
    return NULL;
}

static const yaml_node *factor_has(const level *l, const char *key)
{
    for (size_t i = 0; i < l->n_factors; i++)
        for (size_t k = 0; k < l->factors[i].n_keys; k++)
            if (!strcmp(l->factors[i].keys[k]->text, key)) return l->factors[i].keys[k];
    return NULL;
}

static const yaml_node *level_has(const level *l, const char *key)
{
    const yaml_node *at = base_has(l, key);
    return at ? at : factor_has(l, key);
}

static status check_key(const sweep_spec *s, const level *l, const yaml_node *key, bool axis, err *e)
{
    size_t n;
    const config_key *rows = config_keys(&n), *row = config_find(key->text);
    if (!row) {
        const char **names = malloc(n * sizeof *names);
        if (!names) return no_memory(s, e);
        for (size_t i = 0; i < n; i++) names[i] = rows[i].name;
        const char *near = num_nearest_word(key->text, names, (int)n);
        status st = near ? yaml_error(&s->doc, key, e, "unknown config key '%s'; did you mean '%s'?", key->text, near)
                         : yaml_error(&s->doc, key, e, "unknown config key '%s'; `muscale help train` lists them",
                                      key->text);
        free(names);
        return st;
    }
    /* The data's content is part of a run's identity even though its path is not. */
    if (axis && row->launch_only && strncmp(row->name, "data", 4))
        return yaml_error(&s->doc, key, e,
                          "%s does not change a run's result, so it cannot span a grid; set it under base", key->text);
    /* a grid over a key replaces its single value under base, whichever is written first */
    const yaml_node *first = axis ? factor_has(l, key->text) : base_has(l, key->text);
    if (first)
        return yaml_error(&s->doc, key, e, "'%s' is set twice (first on line %d); keep one", key->text, first->line);
    return ST_OK;
}

/* A value that its key cannot take is found here, with its place. */
static status check_value(const sweep_spec *s, const yaml_node *key, const yaml_node *value, err *e)
{
    trainer_config scratch;
    config_default(&scratch);
    return config_set_node(&scratch, &s->doc, key, value, e);
}

static status add_base(const sweep_spec *s, level *l, const yaml_node *key, const yaml_node *value, err *e)
{
    status st = check_key(s, l, key, false, e);
    if (!st) st = check_value(s, key, value, e);
    if (st) return st;
    sweep_setting *more = grown(l->base, l->n_base, sizeof *more);
    if (!more) return no_memory(s, e);
    l->base = more;
    l->base[l->n_base++] = (sweep_setting){key, value};
    return ST_OK;
}

/* Takes over *f, also when it fails. */
static status add_factor(const sweep_spec *s, level *l, sweep_factor *f, err *e)
{
    status st = ST_OK;
    for (size_t k = 0; k < f->n_keys && !st; k++) {
        st = check_key(s, l, f->keys[k], true, e);
        for (size_t i = 0; i < f->n_rows && !st; i++) st = check_value(s, f->keys[k], f->values[k * f->n_rows + i], e);
    }
    sweep_factor *more = st ? NULL : grown(l->factors, l->n_factors, sizeof *more);
    if (!st && !more) st = no_memory(s, e);
    if (st) {
        factor_free(f);
        return st;
    }
    l->factors = more;
    l->factors[l->n_factors++] = *f;
    memset(f, 0, sizeof *f);
    return ST_OK;
}

static status add_axis(sweep_spec *s, level *l, const yaml_node *key, const yaml_node *list, err *e)
{
    sweep_factor f = {0};
    status st = sweep_spec_values(s, key, list, &f.values, &f.n_rows, e);
    if (st) return st;
    f.keys = calloc(1, sizeof *f.keys);
    if (!f.keys) {
        factor_free(&f);
        return no_memory(s, e);
    }
    f.keys[0] = key;
    f.n_keys = 1;
    return add_factor(s, l, &f, e);
}

static status add_zip_group(sweep_spec *s, level *l, const yaml_node *group, err *e)
{
    sweep_factor f = {0};
    status st = ST_OK;
    if (group->kind != YAML_MAP || !group->n)
        return yaml_error(&s->doc, group, e,
                          "a zip group is a map of lists of equal length, as in {d_model: [64, 128], n_layer: [2, 4]}");
    f.keys = calloc(group->n, sizeof *f.keys);
    if (!f.keys) return no_memory(s, e);
    for (size_t k = 0; k < group->n && !st; k++) {
        const yaml_node **column = NULL;
        size_t n = 0;
        st = sweep_spec_values(s, group->keys[k], group->values[k], &column, &n, e);
        if (st) break;
        if (k && n != f.n_rows) {
            st = yaml_error(&s->doc, group->values[k], e,
                            "zip: %s has %zu values, %s has %zu; lists of one group must be equally long",
                            group->keys[k]->text, n, f.keys[0]->text, f.n_rows);
        } else {
            const yaml_node **more = realloc(f.values, (k + 1) * n * sizeof *more);
            if (!more) st = no_memory(s, e);
            else {
                f.values = more;
                memcpy(f.values + k * n, column, n * sizeof *column);
                f.n_rows = n;
                f.keys[k] = group->keys[k];
                f.n_keys = k + 1;
            }
        }
        free(column);
    }
    if (st) {
        factor_free(&f);
        return st;
    }
    return add_factor(s, l, &f, e);
}

static status read_base(sweep_spec *s, level *l, const yaml_node *at, err *e)
{
    status st = ST_OK;
    if (at->kind != YAML_MAP)
        return yaml_error(&s->doc, at, e, "base: a map of config keys is needed, as in {d_model: 64, lr: 1e-3}");
    for (size_t i = 0; i < at->n && !st; i++) st = add_base(s, l, at->keys[i], at->values[i], e);
    return st;
}

static status read_grid(sweep_spec *s, level *l, const yaml_node *at, err *e)
{
    status st = ST_OK;
    if (at->kind != YAML_MAP)
        return yaml_error(&s->doc, at, e, "grid: a map of lists is needed, as in {lr: [1e-3, 2e-3]}");
    if (!at->n)
        return yaml_error(&s->doc, at, e, "grid: empty; leave it out or give it a key, as in {lr: [1e-3, 2e-3]}");
    for (size_t i = 0; i < at->n && !st; i++) st = add_axis(s, l, at->keys[i], at->values[i], e);
    return st;
}

static status read_zip(sweep_spec *s, level *l, const yaml_node *at, err *e)
{
    status st = ST_OK;
    if (at->kind == YAML_MAP) return add_zip_group(s, l, at, e);
    if (at->kind != YAML_SEQ || !at->n)
        return yaml_error(&s->doc, at, e,
                          "zip: a list of groups is needed, as in [{d_model: [64, 128], n_layer: [2, 4]}]");
    for (size_t i = 0; i < at->n && !st; i++) st = add_zip_group(s, l, at->values[i], e);
    return st;
}

static status read_seeds(sweep_spec *s, level *l, const yaml_node *at, err *e)
{
    const yaml_node *key = sweep_spec_make(s, at, "seed", e);
    return key ? add_axis(s, l, key, at, e) : ST_NOMEM;
}

/* W&B: parameters: {lr: {values: [..]}, d_model: {value: 64}}. */
static status read_parameters(sweep_spec *s, level *l, const yaml_node *at, err *e)
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
        st = values ? add_axis(s, l, key, values, e) : add_base(s, l, key, value, e);
    }
    return st;
}

static status read_method(sweep_spec *s, level *l, const yaml_node *at, err *e)
{
    (void)l;
    if (at->kind == YAML_SCALAR && !strcmp(at->text, "grid")) return ST_OK;
    return yaml_error(&s->doc, at, e, "method: '%s' is not offered; only grid is",
                      at->kind == YAML_SCALAR ? at->text : "...");
}

static status read_ignored(sweep_spec *s, level *l, const yaml_node *at, err *e)
{
    (void)s, (void)l, (void)at, (void)e;
    return ST_OK;
}

/* The words of a spec. `name` and `sweeps` are read by their owners. */
static const struct word {
    const char *name;
    status (*read)(sweep_spec *, level *, const yaml_node *, err *);
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

static status read_level(sweep_spec *s, level *l, const yaml_node *map, bool top, err *e)
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

/* A shared factor survives in a block when the block says nothing about its keys; half of a zip group cannot. */
static status merge_factor(const sweep_spec *s, level *out, const sweep_factor *f, const level *own, err *e)
{
    size_t replaced = 0;
    const yaml_node *where = NULL;
    for (size_t k = 0; k < f->n_keys; k++) {
        const yaml_node *at = level_has(own, f->keys[k]->text);
        if (at) replaced++, where = at;
    }
    if (replaced == f->n_keys) return ST_OK;
    if (replaced)
        return yaml_error(&s->doc, where, e,
                          "'%s' is part of the shared zip group on line %d; replace all keys of that group or none",
                          where->text, f->keys[0]->line);
    sweep_factor copy = *f;
    copy.keys = malloc(f->n_keys * sizeof *copy.keys);
    copy.values = malloc(f->n_keys * f->n_rows * sizeof *copy.values);
    sweep_factor *more = copy.keys && copy.values ? grown(out->factors, out->n_factors, sizeof *more) : NULL;
    if (!more) {
        factor_free(&copy);
        return no_memory(s, e);
    }
    memcpy(copy.keys, f->keys, f->n_keys * sizeof *copy.keys);
    memcpy(copy.values, f->values, f->n_keys * f->n_rows * sizeof *copy.values);
    out->factors = more;
    out->factors[out->n_factors++] = copy;
    return ST_OK;
}

static status merge_base(const sweep_spec *s, level *out, const level *from, const level *own, err *e)
{
    for (size_t i = 0; i < from->n_base; i++) {
        const char *key = from->base[i].key->text;
        if (factor_has(from, key) || (own && level_has(own, key))) continue;
        sweep_setting *more = grown(out->base, out->n_base, sizeof *more);
        if (!more) return no_memory(s, e);
        out->base = more;
        out->base[out->n_base++] = from->base[i];
    }
    return ST_OK;
}

static const level nothing = {0};

/* out = shared + own, own winning; zeroed levels are fine. */
static status merge(const sweep_spec *s, level *out, const level *shared, const level *own, err *e)
{
    status st = merge_base(s, out, shared, own, e);
    if (!st) st = merge_base(s, out, own, NULL, e); /* own base against shared grid: merge_factor drops the axis */
    for (size_t i = 0; i < shared->n_factors && !st; i++) st = merge_factor(s, out, &shared->factors[i], own, e);
    for (size_t i = 0; i < own->n_factors && !st; i++) st = merge_factor(s, out, &own->factors[i], &nothing, e);
    return st;
}

/* Takes over what is in *l. */
static status add_block(sweep_spec *s, level *l, const yaml_node *map, err *e)
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
    sweep_block *more = grown(s->blocks, s->n_blocks, sizeof *more);
    if (!more) return no_memory(s, e);
    s->blocks = more;
    b.base = l->base, b.n_base = l->n_base;
    b.factors = l->factors, b.n_factors = l->n_factors;
    memset(l, 0, sizeof *l);
    s->n_cells += b.n_cells;
    s->blocks[s->n_blocks++] = b;
    return ST_OK;
}

static status add_merged(sweep_spec *s, const level *shared, const level *own, const yaml_node *map, err *e)
{
    level merged = {0};
    status st = merge(s, &merged, shared, own, e);
    if (!st) st = add_block(s, &merged, map, e);
    level_free(&merged);
    return st;
}

static status read_block(sweep_spec *s, const level *shared, const yaml_node *map, err *e)
{
    level own = {0};
    status st = read_level(s, &own, map, false, e);
    if (!st) st = add_merged(s, shared, &own, map, e);
    level_free(&own);
    return st;
}

static status read_spec(sweep_spec *s, err *e)
{
    level top = {0};
    const yaml_node *list = yaml_get(s->doc.root, "sweeps");
    status st = read_level(s, &top, s->doc.root, true, e);
    if (!st && list && (list->kind != YAML_SEQ || !list->n))
        st = yaml_error(
            &s->doc, list, e,
            "sweeps: a list of blocks is needed, as in [{name: mup, base: {...}}, {name: sp, base: {...}}]");
    if (!st && !list) st = add_merged(s, &nothing, &top, s->doc.root, e);
    for (size_t i = 0; list && i < list->n && !st; i++) st = read_block(s, &top, list->values[i], e);
    level_free(&top);
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
        level l = {s->blocks[i].base, s->blocks[i].factors, s->blocks[i].n_base, s->blocks[i].n_factors};
        level_free(&l);
    }
    for (size_t i = 0; i < s->n_made; i++) made_free(s->made[i]);
    free(s->made);
    free(s->blocks);
    free(s->text);
    yaml_doc_free(&s->doc);
    memset(s, 0, sizeof *s);
}
