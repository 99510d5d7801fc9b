#include "sweeps/spec_level.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

static status no_memory(const sweep_spec *s, err *e) { return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path); }

void *spec_grown(void *list, size_t n, size_t size)
{
    return n & (n - 1) ? list : realloc(list, (n ? 2 * n : 1) * size);
}

void spec_factor_free(sweep_factor *f)
{
    free(f->keys);
    free(f->values);
    memset(f, 0, sizeof *f);
}

void spec_level_free(spec_level *l)
{
    for (size_t i = 0; i < l->n_factors; i++) spec_factor_free(&l->factors[i]);
    free(l->factors);
    free(l->base);
    free(l->derived);
    free(l->rules);
    memset(l, 0, sizeof *l);
}

/* Where a level already speaks of `key`, or NULL. */
static const yaml_node *base_has(const spec_level *l, const char *key)
{
    for (size_t i = 0; i < l->n_base; i++)
        if (spec_same_key(l->base[i].key->text, key)) return l->base[i].key;
    return NULL;
}

static const yaml_node *factor_has(const spec_level *l, const char *key)
{
    for (size_t i = 0; i < l->n_factors; i++)
        for (size_t k = 0; k < l->factors[i].n_keys; k++)
            if (spec_same_key(l->factors[i].keys[k]->text, key)) return l->factors[i].keys[k];
    return NULL;
}

static const yaml_node *derived_has(const spec_level *l, const char *key)
{
    for (size_t i = 0; i < l->n_derived; i++)
        if (spec_same_key(l->derived[i].key->text, key)) return l->derived[i].key;
    return NULL;
}

const yaml_node *spec_level_has(const spec_level *l, const char *key)
{
    const yaml_node *at = base_has(l, key);
    if (!at) at = factor_has(l, key);
    return at ? at : derived_has(l, key);
}

/* What other trainers call a key of ours. */
static const char *translated(const char *word)
{
    static const char *const words[][2] = {
        {"learning_rate", "lr"},           {"max_lr", "lr"},           {"wd", "weight_decay"},
        {"batch_size", "batch_tokens"},    {"hidden_size", "d_model"}, {"n_embd", "d_model"},
        {"hidden_dim", "d_model"},         {"width", "d_model"},       {"num_layers", "n_layer"},
        {"n_layers", "n_layer"},           {"depth", "n_layer"},       {"random_seed", "seed"},
        {"warmup_steps", "warmup_tokens"}, {"epochs", "tokens"},       {"steps", "tokens"},
        {"max_steps", "tokens"},           {"block_size", "seq_len"},  {"context_length", "seq_len"},
        {"lr_scheduler", "schedule"},      {"dataset", "data"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i][0], word)) return words[i][1];
    return NULL;
}

static status unknown_key(const sweep_spec *s, const yaml_node *key, err *e)
{
    size_t n;
    const config_key *rows = config_keys(&n);
    const char *near = translated(key->text);
    if (near)
        return spec_error(s, key, e, "unknown config key '%s'; here it is '%s' (%s)", key->text, near,
                          config_find(near)->doc);
    const char **names = malloc(n * sizeof *names);
    if (!names) return no_memory(s, e);
    for (size_t i = 0; i < n; i++) names[i] = rows[i].name;
    near = num_nearest_word(key->text, names, (int)n);
    free(names);
    if (near) return spec_error(s, key, e, "unknown config key '%s'; did you mean '%s'?", key->text, near);
    return spec_error(s, key, e, "unknown config key '%s'; `muscale help train` lists them", key->text);
}

status spec_level_check_key(const sweep_spec *s, const spec_level *l, const yaml_node *key, bool axis, err *e)
{
    const config_key *row = config_find(key->text);
    if (!row && !spec_is_flops(key->text)) return unknown_key(s, key, e);
    /* The data's content is part of a run's identity even though its path is not. */
    if (axis && row && row->launch_only && strncmp(row->name, "data", 4))
        return spec_error(s, key, e, "%s does not change a run's result, so it cannot span a grid; set it under base",
                          key->text);
    /* a grid over a key replaces its single value under base, whichever is written first */
    const yaml_node *first = axis ? factor_has(l, key->text) : base_has(l, key->text);
    if (!first) first = derived_has(l, key->text);
    if (!first) return ST_OK;
    if (strcmp(first->text, key->text))
        return spec_error(s, key, e, "'%s' and '%s' (on line %d) say the same thing; keep one", key->text, first->text,
                          first->line);
    return spec_error(s, key, e, "'%s' is set twice (first on line %d); keep one", key->text, first->line);
}

status spec_level_add_base(const sweep_spec *s, spec_level *l, const yaml_node *key, const yaml_node *value, err *e)
{
    trainer_config scratch; /* a value that its key cannot take is found here, with its place */
    status st = spec_level_check_key(s, l, key, false, e);
    config_default(&scratch);
    if (!st) st = spec_set(s, &scratch, key, value, e);
    if (st) return st;
    sweep_setting *more = spec_grown(l->base, l->n_base, sizeof *more);
    if (!more) return no_memory(s, e);
    l->base = more;
    l->base[l->n_base++] = (sweep_setting){key, value};
    return ST_OK;
}

status spec_level_add_factor(const sweep_spec *s, spec_level *l, sweep_factor *f, err *e)
{
    trainer_config scratch;
    status st = ST_OK;
    config_default(&scratch);
    for (size_t k = 0; k < f->n_keys && !st; k++) {
        st = spec_level_check_key(s, l, f->keys[k], true, e);
        for (size_t i = 0; i < k && !st; i++)
            if (spec_same_key(f->keys[i]->text, f->keys[k]->text))
                st = spec_error(s, f->keys[k], e, "'%s' and '%s' say the same thing; keep one", f->keys[k]->text,
                                f->keys[i]->text);
        const yaml_node *const *values = f->values + k * f->n_rows;
        for (size_t i = 0; i < f->n_rows && !st; i++) st = spec_set(s, &scratch, f->keys[k], values[i], e);
    }
    sweep_factor *more = st ? NULL : spec_grown(l->factors, l->n_factors, sizeof *more);
    if (!st && !more) st = no_memory(s, e);
    if (st) {
        spec_factor_free(f);
        return st;
    }
    l->factors = more;
    l->factors[l->n_factors++] = *f;
    memset(f, 0, sizeof *f);
    return ST_OK;
}

status spec_level_add_axis(sweep_spec *s, spec_level *l, const yaml_node *key, const yaml_node *list, err *e)
{
    sweep_factor f = {0};
    status st = sweep_spec_values(s, key, list, &f.values, &f.n_rows, e);
    if (st) return st;
    f.keys = calloc(1, sizeof *f.keys);
    if (!f.keys) {
        spec_factor_free(&f);
        return no_memory(s, e);
    }
    f.keys[0] = key;
    f.n_keys = 1;
    return spec_level_add_factor(s, l, &f, e);
}

status spec_level_add_zip(sweep_spec *s, spec_level *l, const yaml_node *group, err *e)
{
    sweep_factor f = {0};
    status st = ST_OK;
    if (group->kind != YAML_MAP || !group->n)
        return spec_error(s, group, e,
                          "a zip group is a map of lists of equal length, as in {d_model: [64, 128], n_layer: [2, 4]}");
    f.keys = calloc(group->n, sizeof *f.keys);
    if (!f.keys) return no_memory(s, e);
    for (size_t k = 0; k < group->n && !st; k++) {
        const yaml_node **column = NULL;
        size_t n = 0;
        st = sweep_spec_values(s, group->keys[k], group->values[k], &column, &n, e);
        if (st) break;
        if (k && n != f.n_rows) {
            st = spec_error(s, group->values[k], e,
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
        spec_factor_free(&f);
        return st;
    }
    return spec_level_add_factor(s, l, &f, e);
}

/* A shared factor survives in a block when the block says nothing about its keys; half of a zip group cannot. */
static status merge_factor(const sweep_spec *s, spec_level *out, const sweep_factor *f, const spec_level *own, err *e)
{
    size_t replaced = 0;
    const yaml_node *where = NULL;
    for (size_t k = 0; k < f->n_keys; k++) {
        const yaml_node *at = spec_level_has(own, f->keys[k]->text);
        if (at) replaced++, where = at;
    }
    if (replaced == f->n_keys) return ST_OK;
    if (replaced)
        return spec_error(
            s, where, e,
            "'%s' is part of the shared group on line %d (zip, isoflop or draws), whose keys move together; replace"
            " all of them or none",
            where->text, f->keys[0]->line);
    sweep_factor copy = *f;
    copy.keys = malloc(f->n_keys * sizeof *copy.keys);
    copy.values = malloc(f->n_keys * f->n_rows * sizeof *copy.values);
    sweep_factor *more = copy.keys && copy.values ? spec_grown(out->factors, out->n_factors, sizeof *more) : NULL;
    if (!more) {
        spec_factor_free(&copy);
        return no_memory(s, e);
    }
    memcpy(copy.keys, f->keys, f->n_keys * sizeof *copy.keys);
    memcpy(copy.values, f->values, f->n_keys * f->n_rows * sizeof *copy.values);
    out->factors = more;
    out->factors[out->n_factors++] = copy;
    return ST_OK;
}

static status merge_base(const sweep_spec *s, spec_level *out, const spec_level *from, const spec_level *own, err *e)
{
    for (size_t i = 0; i < from->n_base; i++) {
        const char *key = from->base[i].key->text;
        if (factor_has(from, key) || (own && spec_level_has(own, key))) continue;
        sweep_setting *more = spec_grown(out->base, out->n_base, sizeof *more);
        if (!more) return no_memory(s, e);
        out->base = more;
        out->base[out->n_base++] = from->base[i];
    }
    return ST_OK;
}

/* What own says about a key replaces a shared formula for it; rules add up. */
static status merge_later(const sweep_spec *s, spec_level *out, const spec_level *from, const spec_level *own, err *e)
{
    for (size_t i = 0; i < from->n_derived; i++) {
        if (spec_level_has(own, from->derived[i].key->text)) continue;
        sweep_derived *more = spec_grown(out->derived, out->n_derived, sizeof *more);
        if (!more) return no_memory(s, e);
        out->derived = more;
        out->derived[out->n_derived++] = from->derived[i];
    }
    for (size_t i = 0; i < from->n_rules; i++) {
        size_t *more = spec_grown(out->rules, out->n_rules, sizeof *more);
        if (!more) return no_memory(s, e);
        out->rules = more;
        out->rules[out->n_rules++] = from->rules[i];
    }
    return ST_OK;
}

static const spec_level nothing = {0};

status spec_level_merge(const sweep_spec *s, spec_level *out, const spec_level *shared, const spec_level *own, err *e)
{
    status st = merge_base(s, out, shared, own, e);
    if (!st) st = merge_base(s, out, own, NULL, e); /* own base against shared grid: merge_factor drops the axis */
    for (size_t i = 0; i < shared->n_factors && !st; i++) st = merge_factor(s, out, &shared->factors[i], own, e);
    for (size_t i = 0; i < own->n_factors && !st; i++) st = merge_factor(s, out, &own->factors[i], &nothing, e);
    if (!st) st = merge_later(s, out, shared, own, e);
    return st ? st : merge_later(s, out, own, &nothing, e);
}
