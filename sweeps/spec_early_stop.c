/* early_terminate: W&B's hyperband as its page of keys has it, and our median rule. */
#include <string.h>

#include "base/num.h"
#include "sweeps/spec_level.h"

static const char *word_of(const yaml_node *at) { return at && at->kind == YAML_SCALAR ? at->text : ""; }

static status read_kind(early_stop_rule *r, const sweep_spec *s, const yaml_node *at, err *e)
{
    static const char *const types[] = {"hyperband", "median"};
    const yaml_node *type = yaml_get(at, "type");
    const char *word = word_of(type), *near = num_nearest_word(word, types, 2);
    if (!strcmp(word, types[0])) *r = early_stop_default(EARLY_STOP_HYPERBAND);
    else if (!strcmp(word, types[1])) *r = early_stop_default(EARLY_STOP_MEDIAN);
    else if (near)
        return spec_error(s, type, e, "early_terminate: type '%s' is not offered; did you mean '%s'?", word, near);
    else
        return spec_error(s, type ? type : at, e,
                          "early_terminate: type '%s' is not offered; there are hyperband and median", word);
    return ST_OK;
}

/* A number above `above`. *out keeps its default where the key is absent. */
static status read_number(double *out, const sweep_spec *s, const yaml_node *at, const char *key, double above, err *e)
{
    const yaml_node *x = yaml_get(at, key);
    double v;
    if (!x) return ST_OK;
    if (x->kind != YAML_SCALAR || x->quoted || !num_parse_f64(x->text, &v) || !(v > above) || !(v < 1e18))
        return spec_error(s, x, e, "early_terminate: %s: a number above %g is needed", key, above);
    *out = v;
    return ST_OK;
}

static status read_whole(double *out, const sweep_spec *s, const yaml_node *at, const char *key, double most, err *e)
{
    const yaml_node *x = yaml_get(at, key);
    status st = read_number(out, s, at, key, 0, e);
    if (st || !x || (*out == (double)(int64_t)*out && *out <= most)) return st;
    return spec_error(s, x, e, "early_terminate: %s: a whole number up to %g is needed", key, most);
}

static status read_hyperband(early_stop_rule *r, sweep_spec *s, const yaml_node *at, err *e)
{
    double brackets = (double)r->s;
    const yaml_node *strict = yaml_get(at, "strict"), *n = yaml_get(at, "s");
    status st = read_whole(&r->max_iter, s, at, "max_iter", 1e15, e);
    if (!st) st = read_number(&r->max_tokens, s, at, "max_tokens", 0, e);
    if (!st) st = read_whole(&brackets, s, at, "s", EARLY_STOP_BRACKETS, e);
    if (!st) st = read_number(&r->eta, s, at, "eta", 1, e);
    r->s = (int64_t)brackets;
    if (!st && strict && strcmp(word_of(strict), "true") && strcmp(word_of(strict), "false"))
        st = spec_error(s, strict, e, "early_terminate: strict: true or false is needed");
    r->strict = !strcmp(word_of(strict), "true");
    const bool min = r->min_iter > 0 || r->min_tokens > 0, max = r->max_iter > 0 || r->max_tokens > 0;
    if (!st && !min && !max)
        st = spec_error(s, at, e, "early_terminate: hyperband needs min_iter or max_iter (or min_tokens, max_tokens)");
    if (!st && max && !n)
        st = spec_error(s, at, e, "early_terminate: max_* needs s, the number of brackets below it, as in s: 2");
    if (!st && r->max_iter > 0 && r->max_tokens > 0)
        st = spec_error(s, at, e, "early_terminate: max_iter and max_tokens say the same: leave one out");
    if (!st && min && max) { /* so does W&B's controller */
        spec_note(s, at, "early_terminate: brackets are counted down from max, min is ignored");
        r->min_iter = r->min_tokens = 0;
    }
    return st;
}

status spec_read_early_terminate(sweep_spec *s, const yaml_node *at, err *e)
{
    static const char *const known[] = {"type", "min_iter", "min_tokens", "max_iter", "max_tokens",
                                        "s",    "eta",      "strict",     "min_runs"};
    static const char *const of_median[] = {"type", "min_iter", "min_tokens", "min_runs"};
    early_stop_rule *r = &s->early_stop;
    double runs = 0;
    status st = spec_only_keys(s, at, "early_terminate", known, 9, e);
    if (!st) st = read_kind(r, s, at, e);
    const bool hyperband = r->kind == EARLY_STOP_HYPERBAND;
    if (!st) st = hyperband ? spec_only_keys(s, at, "early_terminate: hyperband", known, 8, e)
                            : spec_only_keys(s, at, "early_terminate: median", of_median, 4, e);
    if (!st) st = read_whole(&r->min_iter, s, at, "min_iter", 1e15, e);
    if (!st) st = read_number(&r->min_tokens, s, at, "min_tokens", 0, e);
    if (!st && r->min_iter > 0 && r->min_tokens > 0)
        st = spec_error(s, at, e, "early_terminate: min_iter and min_tokens say the same: leave one out");
    if (!st && !hyperband) {
        runs = (double)r->min_runs;
        st = read_whole(&runs, s, at, "min_runs", 1e6, e);
        r->min_runs = (int64_t)runs;
    }
    return st || !hyperband ? st : read_hyperband(r, s, at, e);
}
