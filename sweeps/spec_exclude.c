/* `exclude`: which cells are left out. A rule is a map of settings that must all hold, or a condition. */
#include "sweeps/spec_level.h"

static status check_setting(const sweep_spec *s, const yaml_node *key, const yaml_node *value, err *e)
{
    const spec_level nothing = {0};
    trainer_config scratch;
    status st = spec_level_check_key(s, &nothing, key, false, e);
    if (!st && value->kind == YAML_MAP)
        st = spec_error(s, value, e, "exclude: %s: a value or a list of values is needed", key->text);
    if (!st && value->kind == YAML_SEQ && !value->n)
        st = spec_error(s, value, e, "exclude: %s: empty list; this rule would leave out nothing", key->text);
    config_default(&scratch);
    if (!st && value->kind == YAML_SCALAR) return spec_set(s, &scratch, key, value, e);
    for (size_t i = 0; i < value->n && !st; i++) st = spec_set(s, &scratch, key, value->values[i], e);
    return st;
}

static status add_rule(sweep_spec *s, spec_level *l, const yaml_node *at, err *e)
{
    sweep_rule r = {.at = at};
    status st = ST_OK;
    if (at->kind == YAML_SCALAR) st = spec_add_formula(s, &r.formula, at, true, e);
    else if (at->kind != YAML_MAP || !at->n)
        return spec_error(s, at, e, "exclude: a rule is {d_model: 512, lr: 4e-3} or \"d_model >= 512 and lr > 2e-3\"");
    else
        for (size_t i = 0; i < at->n && !st; i++) st = check_setting(s, at->keys[i], at->values[i], e);
    if (st) return st;
    sweep_rule *rules = spec_grown(s->rules, s->n_rules, sizeof *rules);
    if (rules) s->rules = rules;
    size_t *own = rules ? spec_grown(l->rules, l->n_rules, sizeof *own) : NULL;
    if (!own) return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path);
    l->rules = own;
    l->rules[l->n_rules++] = s->n_rules;
    s->rules[s->n_rules++] = r;
    return ST_OK;
}

status spec_level_add_exclude(sweep_spec *s, spec_level *l, const yaml_node *rules, err *e)
{
    status st = ST_OK;
    if (rules->kind != YAML_SEQ) return add_rule(s, l, rules, e);
    if (!rules->n) return spec_error(s, rules, e, "exclude: empty; leave it out or give it a rule");
    for (size_t i = 0; i < rules->n && !st; i++) st = add_rule(s, l, rules->values[i], e);
    return st;
}
