/* `derived`: values of a cell that follow from its other values; and in which order they can be had. */
#include <stdlib.h>
#include <string.h>

#include "sweeps/spec_level.h"

static status no_memory(const sweep_spec *s, err *e) { return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path); }

status spec_add_formula(sweep_spec *s, const spec_expr **out, const yaml_node *at, bool truth, err *e)
{
    spec_expr *x;
    size_t where;
    err why = {0};
    status st = spec_expr_parse(&x, at->text, truth, spec_name_find, &where, &why);
    if (st == ST_NOMEM) return no_memory(s, e);
    if (st) {
        yaml_node there = *at;
        there.column += (int)where + at->quoted;
        return spec_error(s, &there, e, "%s", why.msg);
    }
    spec_expr **more = spec_grown(s->formulas, s->n_formulas, sizeof *more);
    if (!more) {
        spec_expr_free(x);
        return no_memory(s, e);
    }
    s->formulas = more;
    s->formulas[s->n_formulas++] = x;
    *out = x;
    return ST_OK;
}

static status add(sweep_spec *s, spec_level *l, const yaml_node *key, const yaml_node *value, err *e)
{
    sweep_derived d = {.key = key, .value = value};
    status st = spec_level_check_key(s, l, key, true, e); /* unknown, launch-only, in a factor or derived already */
    const yaml_node *first = st ? NULL : spec_level_has(l, key->text);
    if (st) return st;
    if (first) return spec_error(s, key, e, "'%s' is set twice (first on line %d); keep one", key->text, first->line);
    if (!spec_number_key(key->text))
        return spec_error(s, key, e, "derived: %s takes a word; a formula gives numbers", key->text);
    if (value->kind != YAML_SCALAR)
        return spec_error(s, value, e, "derived: %s: a formula is needed, as in 4*d_model", key->text);
    if ((st = spec_add_formula(s, &d.formula, value, false, e))) return st;
    sweep_derived *more = spec_grown(l->derived, l->n_derived, sizeof *more);
    if (!more) return no_memory(s, e);
    l->derived = more;
    l->derived[l->n_derived++] = d;
    return ST_OK;
}

status spec_level_add_derived(sweep_spec *s, spec_level *l, const yaml_node *map, err *e)
{
    status st = ST_OK;
    if (map->kind != YAML_MAP || !map->n)
        return spec_error(s, map, e, "derived: a map of formulas is needed, as in {d_ff: 4*d_model}");
    for (size_t i = 0; i < map->n && !st; i++) st = add(s, l, map->keys[i], map->values[i], e);
    return st;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

/* flops sets tokens, and asks the shape and the batch what a step costs. */
static bool needs(const sweep_derived *d, const sweep_derived *other)
{
    const char *key = other->key->text;
    if (d->formula && spec_formula_needs(d->formula, key)) return true;
    if (!spec_is_flops(d->key->text)) return false;
    return !strcmp(key, "batch_tokens") || spec_counts_need(key);
}

/* flops among base or factors is an entry without a formula. */
static status take_flops(const sweep_spec *s, spec_level *l, err *e)
{
    const yaml_node *key = spec_level_has(l, "flops");
    if (!key || !spec_is_flops(key->text)) return ST_OK;
    for (size_t i = 0; i < l->n_derived; i++)
        if (l->derived[i].key == key) return ST_OK;
    sweep_derived *more = spec_grown(l->derived, l->n_derived, sizeof *more);
    if (!more) return no_memory(s, e);
    l->derived = more;
    l->derived[l->n_derived++] = (sweep_derived){.key = key, .value = key};
    return ST_OK;
}

static bool early(const sweep_rule *r, const sweep_block *b)
{
    for (size_t i = 0; i < b->n_derived; i++) {
        const char *key = b->derived[i].key->text;
        if (r->formula && spec_formula_needs(r->formula, key)) return false;
        for (size_t k = 0; !r->formula && k < r->at->n; k++) {
            const bool given = spec_is_flops(r->at->keys[k]->text) && !b->derived[i].formula;
            if (spec_same_key(r->at->keys[k]->text, key) && !given) return false;
        }
    }
    return true;
}

status spec_order_derived(const sweep_spec *s, sweep_block *b, spec_level *l, err *e)
{
    status st = take_flops(s, l, e);
    if (st) return st;
    for (size_t done = 0; done < l->n_derived; done++) { /* the first one that needs none of the rest moves up */
        size_t i = done, k;
        for (; i < l->n_derived; i++) {
            for (k = done; k < l->n_derived && !needs(&l->derived[i], &l->derived[k]); k++) {}
            if (k == l->n_derived) break;
        }
        if (i == l->n_derived) {
            for (k = done; !needs(&l->derived[done], &l->derived[k]);) k++;
            return spec_error(s, l->derived[done].value, e,
                              k == done ? "derived: %s needs its own value (%s)"
                                        : "derived: %s needs %s, and so on in a circle",
                              l->derived[done].key->text, l->derived[k].key->text);
        }
        const sweep_derived x = l->derived[i];
        memmove(&l->derived[done + 1], &l->derived[done], (i - done) * sizeof x);
        l->derived[done] = x;
    }
    b->derived = l->derived, b->n_derived = l->n_derived;
    l->derived = NULL, l->n_derived = 0;
    b->rules = calloc(l->n_rules + 1, sizeof *b->rules);
    if (!b->rules) return no_memory(s, e);
    for (; b->n_rules < l->n_rules; b->n_rules++)
        b->rules[b->n_rules] = (sweep_rule_use){l->rules[b->n_rules], early(&s->rules[l->rules[b->n_rules]], b)};
    return ST_OK;
}
