/* Cells of a spec: from factors, formulas and rules to the settings of one run. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "sweeps/spec_level.h"

status sweep_spec_base(const sweep_spec *s, size_t block, trainer_config *c, err *e)
{
    const sweep_block *b = &s->blocks[block];
    status st = ST_OK;
    config_default(c);
    for (size_t i = 0; i < b->n_base && !st; i++) st = spec_set(s, c, b->base[i].key, b->base[i].value, e);
    return st;
}

/* The last factor moves fastest. */
size_t sweep_spec_row(const sweep_block *b, size_t factor, size_t cell)
{
    for (size_t f = b->n_factors - 1; f > factor; f--) cell /= b->factors[f].n_rows;
    return cell % b->factors[factor].n_rows;
}

status sweep_spec_cell(const sweep_spec *s, size_t block, size_t cell, trainer_config *c, err *e)
{
    const sweep_block *b = &s->blocks[block];
    status st = ST_OK;
    for (size_t f = 0; f < b->n_factors && !st; f++) {
        const sweep_factor *x = &b->factors[f];
        size_t row = sweep_spec_row(b, f, cell);
        for (size_t k = 0; k < x->n_keys && !st; k++)
            st = spec_set(s, c, x->keys[k], x->values[k * x->n_rows + row], e);
    }
    return st;
}

/* ---- formulas --------------------------------------------------------------------------------------------------- */

/* The cell's own word about a key, or NULL. */
static const yaml_node *setting(const sweep_block *b, size_t cell, const char *key)
{
    for (size_t f = 0; f < b->n_factors; f++)
        for (size_t k = 0; k < b->factors[f].n_keys; k++)
            if (!strcmp(b->factors[f].keys[k]->text, key))
                return b->factors[f].values[k * b->factors[f].n_rows + sweep_spec_row(b, f, cell)];
    for (size_t i = 0; i < b->n_base; i++)
        if (!strcmp(b->base[i].key->text, key)) return b->base[i].value;
    return NULL;
}

/* The whole number of steps whose cost comes nearest to the budget. */
static status spend(trainer_config *c, spec_names *names, err *e)
{
    flops_rule rule;
    status st = spec_names_shape(names, e);
    if (!st) st = flops_rule_find(&rule, c->flops_rule, e);
    if (st) return st;
    const double per_token = shape_flops_per_token(&names->full.shape, rule),
                 step = per_token * (double)c->batch_tokens;
    const double steps = floor(names->budget / step + 0.5);
    char budget[32];
    if (!(steps >= 1))
        return err_set(e, ST_INPUT, "flops: %s is less than one step of batch_tokens %" PRId64 ", which costs %.3g",
                       num_text(names->budget, budget), c->batch_tokens, step);
    if (steps * (double)c->batch_tokens > 9e15)
        return err_set(e, ST_INPUT, "flops: %s would be more than 9e15 tokens", num_text(names->budget, budget));
    c->tokens = (int64_t)steps * c->batch_tokens;
    return ST_OK;
}

/* Of these a fraction more or less is nothing; a width or a batch that is rounded would be another model. */
static bool counts_tokens(const char *key)
{
    static const char *const keys[] = {"tokens", "warmup_tokens", "val_tokens", "unique_tokens"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(keys[i], key)) return true;
    return false;
}

/* Through the text that a person would have written, so that a derived value and a written one are one run. */
static status assign(trainer_config *c, const sweep_derived *d, double x, err *e)
{
    char text[40];
    if (spec_whole_key(d->key->text)) {
        if (!counts_tokens(d->key->text) && !spec_expr_equal(x, round(x)))
            return err_set(e, ST_INPUT,
                           "%s: %s gives %.10g, not a whole number; write round(...), or round(..., 32) for a"
                           " multiple of 32",
                           d->key->text, d->value->text, x);
        snprintf(text, sizeof text, "%.0f", x);
    } else snprintf(text, sizeof text, "%.12g", x);
    return config_set(c, d->key->text, text, d->value->text, e);
}

static status derive(trainer_config *c, spec_names *names, const sweep_derived *d, err *e)
{
    double x = names->budget;
    status st = d->formula ? spec_expr_eval(&x, d->formula, spec_name_value, names, e) : ST_OK;
    if (st) return err_prefix(e, "%s", d->key->text);
    if (!spec_is_flops(d->key->text)) return assign(c, d, x, e);
    if (!(x > 0)) return err_set(e, ST_INPUT, "flops: %s gives %g, not a positive cost", d->value->text, x);
    names->budget = x;
    return spend(c, names, e);
}

/* ---- rules ------------------------------------------------------------------------------------------------------ */

static bool is_value(const trainer_config *c, const char *key, const yaml_node *value, const spec_names *names)
{
    const config_key *row = config_find(key);
    char text[IO_PATH_MAX];
    double have = names->budget, want;
    if (row) config_value(c, row, text);
    if (!spec_number_key(key)) return !strcmp(text, value->text);
    return num_parse_f64(value->text, &want) && (!row || num_parse_f64(text, &have)) && spec_expr_equal(have, want);
}

static bool has_value(const trainer_config *c, const char *key, const yaml_node *want, const spec_names *names)
{
    if (want->kind == YAML_SCALAR) return is_value(c, key, want, names);
    for (size_t i = 0; i < want->n; i++)
        if (is_value(c, key, want->values[i], names)) return true;
    return false;
}

static status holds(bool *yes, const sweep_rule *r, const trainer_config *c, spec_names *names, err *e)
{
    double x = 0;
    *yes = true;
    for (size_t i = 0; !r->formula && i < r->at->n; i++)
        if (!has_value(c, r->at->keys[i]->text, r->at->values[i], names)) return *yes = false, ST_OK;
    if (!r->formula) return ST_OK;
    status st = spec_expr_eval(&x, r->formula, spec_name_value, names, e);
    *yes = x != 0;
    return st ? err_prefix(e, "exclude: %.80s", r->at->text) : ST_OK;
}

static status check_rules(const sweep_spec *s, const sweep_block *b, bool early, const trainer_config *c,
                          spec_names *names, size_t *excluded, err *e)
{
    bool yes;
    for (size_t i = 0; i < b->n_rules && *excluded == SIZE_MAX; i++) {
        if (b->rules[i].early != early) continue;
        status st = holds(&yes, &s->rules[b->rules[i].number], c, names, e);
        if (st) return st;
        if (yes) *excluded = b->rules[i].number;
    }
    return ST_OK;
}

status sweep_spec_finish(const sweep_spec *s, size_t block, size_t cell, trainer_config *c, data_set *data,
                         size_t *excluded, err *e)
{
    const sweep_block *b = &s->blocks[block];
    *excluded = SIZE_MAX;
    if (!b->n_derived && !b->n_rules) return ST_OK;
    spec_names names;
    names.c = c, names.data = data, names.shaped = false, names.budget = 0;
    const yaml_node *budget = setting(b, cell, "flops");
    if (budget) num_parse_f64(budget->text, &names.budget);
    status st = check_rules(s, b, true, c, &names, excluded, e);
    for (size_t i = 0; i < b->n_derived && !st && *excluded == SIZE_MAX; i++) st = derive(c, &names, &b->derived[i], e);
    return st ? st : check_rules(s, b, false, c, &names, excluded, e);
}
