/* What the names of a formula mean in a cell: the config's numbers, and what its shape adds up to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "sweeps/spec_level.h"

enum { SHAPE_NAMES = 10000, MAX_NAMES = 160 };
typedef enum extra { TOTAL, NON_EMBED, EMBED, N_HEAD, PER_TOKEN, FLOPS, N_EXTRA } extra;
static const char *const extras[N_EXTRA] = {
    [TOTAL] = "n_params_total", [NON_EMBED] = "n_params_non_embed", [EMBED] = "n_params_embed",
    [N_HEAD] = "n_head",        [PER_TOKEN] = "flops_per_token",    [FLOPS] = "flops"};

int spec_name_find(const char *name, char *why, size_t size)
{
    const char *names[MAX_NAMES];
    size_t n;
    int k = 0;
    const config_key *rows = config_keys(&n), *row = config_find(name);
    if (row && spec_number_key(name)) return (int)(row - rows);
    for (int i = 0; i < N_EXTRA; i++)
        if (!strcmp(extras[i], name)) return SHAPE_NAMES + i;
    if (row) {
        snprintf(why, size, "%s is a word, not a number; a rule about it is a map, as in {%s: %s}", name, name,
                 row->words              ? row->words[0]
                 : row->type == CFG_BOOL ? "true"
                                         : row->fallback);
        return -1;
    }
    for (size_t i = 0; i < n && k < MAX_NAMES - N_EXTRA; i++)
        if (spec_number_key(rows[i].name)) names[k++] = rows[i].name;
    for (int i = 0; i < N_EXTRA; i++) names[k++] = extras[i];
    const char *near = num_nearest_word(name, names, k);
    if (near) snprintf(why, size, "unknown name '%s'; did you mean '%s'?", name, near);
    else
        snprintf(why, size,
                 "unknown name '%s'; there are the config's numbers, n_params_total, n_params_non_embed,"
                 " n_params_embed, n_head, flops_per_token and flops",
                 name);
    return -1;
}

/* Keys whose 0 means "what the rest of the shape says". */
static bool has_default(const char *key)
{
    return !strcmp(key, "vocab") || !strcmp(key, "n_kv_head") || !strcmp(key, "d_ff");
}

bool spec_counts_need(const char *key)
{
    const config_key *row = config_find(key);
    return row && row->offset >= offsetof(trainer_config, shape) &&
           row->offset < offsetof(trainer_config, shape) + sizeof(shape);
}

/* Must `key` have its value before `name` has? */
static bool name_needs(int name, const char *key)
{
    size_t n;
    const config_key *rows = config_keys(&n);
    if (name < SHAPE_NAMES) {
        const char *own = rows[name].name;
        return spec_same_key(own, key) || (has_default(own) && spec_counts_need(key));
    }
    if (name == SHAPE_NAMES + N_HEAD) return !strcmp(key, "d_model") || !strcmp(key, "head_dim");
    return spec_counts_need(key) || (name == SHAPE_NAMES + FLOPS && spec_same_key(key, "tokens"));
}

bool spec_formula_needs(const spec_expr *x, const char *key)
{
    size_t n;
    config_keys(&n);
    for (int i = 0; i < (int)n; i++)
        if (spec_expr_uses(x, i) && name_needs(i, key)) return true;
    for (int i = SHAPE_NAMES; i < SHAPE_NAMES + N_EXTRA; i++)
        if (spec_expr_uses(x, i) && name_needs(i, key)) return true;
    return false;
}

status spec_names_shape(spec_names *x, err *e)
{
    if (x->shaped) return ST_OK;
    x->full = *x->c;
    status st = config_shape(&x->full, x->data, e);
    x->shaped = !st;
    return st;
}

static double field(const trainer_config *c, const config_key *k)
{
    const void *p = (const char *)c + k->offset;
    if (k->type == CFG_I64) return (double)*(const int64_t *)p;
    if (k->type == CFG_U64) return (double)*(const uint64_t *)p;
    return *(const double *)p;
}

static status flops(double *out, spec_names *x, bool of_run, err *e)
{
    flops_rule rule;
    status st = flops_rule_find(&rule, x->c->flops_rule, e);
    if (st) return st;
    *out = shape_flops_per_token(&x->full.shape, rule) * (of_run ? (double)x->c->tokens : 1);
    return ST_OK;
}

status spec_name_value(double *out, void *ctx, int name, err *e)
{
    spec_names *x = ctx;
    size_t n;
    const config_key *rows = config_keys(&n);
    status st;
    if (name < SHAPE_NAMES) {
        *out = field(x->c, &rows[name]);
        if (*out != 0 || !has_default(rows[name].name)) return ST_OK;
        if ((st = spec_names_shape(x, e))) return st;
        *out = field(&x->full, &rows[name]);
        return ST_OK;
    }
    if (name == SHAPE_NAMES + FLOPS && x->budget > 0) return *out = x->budget, ST_OK;
    if ((st = spec_names_shape(x, e))) return st;
    const shape_counts count = shape_count(&x->full.shape);
    switch ((extra)(name - SHAPE_NAMES)) {
    case TOTAL: *out = (double)count.n_params_total; break;
    case NON_EMBED: *out = (double)count.n_params_non_embed; break;
    case EMBED: *out = (double)count.n_params_embed; break;
    case N_HEAD: *out = (double)x->full.shape.n_head; break;
    case PER_TOKEN: return flops(out, x, false, e);
    default: return flops(out, x, true, e);
    }
    return ST_OK;
}
