#include "sweeps/spec_draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/rng.h"

typedef enum field { VALUE, VALUES, DISTRIBUTION, PROBABILITIES, MIN, MAX, MU, SIGMA, Q, N_FIELDS } field;
static const char *const field_names[N_FIELDS] = {
    "value", "values", "distribution", "probabilities", "min", "max", "mu", "sigma", "q"};
enum {
    HAS_VALUE = 1 << VALUE,
    HAS_VALUES = 1 << VALUES,
    HAS_PROB = 1 << PROBABILITIES,
    HAS_RANGE = 1 << MIN | 1 << MAX,
    HAS_NORMAL = 1 << MU | 1 << SIGMA,
    HAS_Q = 1 << Q,
    MAX_GRID = 100000
};

typedef enum family {
    CONSTANT,
    CATEGORICAL,
    INT_UNIFORM,
    UNIFORM,
    LOG_UNIFORM,
    INV_LOG_UNIFORM,
    NORMAL,
    LOG_NORMAL,
    EXPONENTS,
    NOT_OFFERED
} family;

struct spec_distribution {
    const char *name;
    family family;
    unsigned needs, takes; /* bits of fields */
    bool grid;
};
static const spec_distribution distributions[] = {
    {"constant", CONSTANT, HAS_VALUE, 0, true},
    {"categorical", CATEGORICAL, HAS_VALUES, HAS_PROB, true},
    {"int_uniform", INT_UNIFORM, HAS_RANGE, 0, true},
    {"uniform", UNIFORM, HAS_RANGE, 0, false},
    {"q_uniform", UNIFORM, HAS_RANGE, HAS_Q, true},
    {"log_uniform_values", LOG_UNIFORM, HAS_RANGE, 0, false},
    {"q_log_uniform_values", LOG_UNIFORM, HAS_RANGE, HAS_Q, false},
    {"inv_log_uniform_values", INV_LOG_UNIFORM, HAS_RANGE, 0, false},
    {"normal", NORMAL, 0, HAS_NORMAL, false},
    {"q_normal", NORMAL, 0, HAS_NORMAL | HAS_Q, false},
    {"log_normal", LOG_NORMAL, 0, HAS_NORMAL, false},
    {"q_log_normal", LOG_NORMAL, 0, HAS_NORMAL | HAS_Q, false},
    {"log_uniform", EXPONENTS, 0, ~0u, false},
    {"q_log_uniform", EXPONENTS, 0, ~0u, false},
    {"inv_log_uniform", EXPONENTS, 0, ~0u, false},
    {"beta", NOT_OFFERED, 0, ~0u, false}, /* in W&B's schema, not on its page of keys */
    {"q_beta", NOT_OFFERED, 0, ~0u, false},
};
enum { N_DISTRIBUTIONS = sizeof distributions / sizeof *distributions };

static const spec_distribution *find(const char *name)
{
    for (size_t i = 0; i < N_DISTRIBUTIONS; i++)
        if (!strcmp(distributions[i].name, name)) return &distributions[i];
    return NULL;
}

static bool quantised(const spec_param *p) { return p->d->takes & HAS_Q && p->d->family != EXPONENTS; }

static status number(double *out, const sweep_spec *s, const yaml_node *at, const char *key, field f, err *e)
{
    if (at->kind == YAML_SCALAR && !at->quoted && num_parse_f64(at->text, out)) return ST_OK;
    return spec_error(s, at, e, "%s: %s: '%s' is not a finite number; write it like 0.001 or 1e-5", key, field_names[f],
                      at->kind == YAML_SCALAR ? at->text : "...");
}

/* W&B: by whether the bounds are written as whole numbers. `1e3` is none: YAML's integers have no exponent. */
static bool written_whole(const yaml_node *at)
{
    return at->kind == YAML_SCALAR && at->text[strspn(at->text, "+-0123456789")] == 0;
}

static status choose(spec_param *p, const sweep_spec *s, const yaml_node *const f[N_FIELDS], err *e)
{
    const yaml_node *name = f[DISTRIBUTION];
    if (name) {
        const char *names[N_DISTRIBUTIONS], *near, *text = name->kind == YAML_SCALAR ? name->text : "...";
        for (size_t i = 0; i < N_DISTRIBUTIONS; i++) names[i] = distributions[i].name;
        if ((p->d = find(text))) return ST_OK;
        near = num_nearest_word(text, names, N_DISTRIBUTIONS);
        return near ? spec_error(s, name, e, "unknown distribution '%s'; did you mean '%s'?", text, near)
                    : spec_error(s, name, e, "unknown distribution '%s'; doc/sweeps.md lists them", text);
    }
    if (f[VALUE] && f[VALUES])
        return spec_error(s, p->at, e, "%s: value and values exclude each other; keep one", p->key->text);
    p->d = f[VALUE]           ? find("constant")
           : f[VALUES]        ? find("categorical")
           : f[MIN] && f[MAX] ? find(written_whole(f[MIN]) && written_whole(f[MAX]) ? "int_uniform" : "uniform")
                              : NULL;
    if (p->d) return ST_OK;
    return spec_error(s, p->at, e, "%s: value, values, min and max, or a distribution is needed", p->key->text);
}

/* exp(min) and exp(max), so that the hint can be pasted. */
static status refuse_exponents(const spec_param *p, const sweep_spec *s, const yaml_node *const f[N_FIELDS], err *e)
{
    double lo, hi;
    const bool inverse = p->d->name[0] == 'i';
    if (!f[MIN] || !f[MAX] || !num_parse_f64(f[MIN]->text ? f[MIN]->text : "", &lo) ||
        !num_parse_f64(f[MAX]->text ? f[MAX]->text : "", &hi))
        return spec_error(s, f[DISTRIBUTION], e,
                          "%s: '%s' takes exponents, not values; write %s_values with the values"
                          " themselves as min and max",
                          p->key->text, p->d->name, p->d->name);
    return spec_error(s, f[DISTRIBUTION], e,
                      "%s: '%s' takes exponents: from e^%s = %.4g to e^%s = %.4g; if these are"
                      " meant, write %s_values with min: %.4g, max: %.4g",
                      p->key->text, p->d->name, inverse ? f[MAX]->text : f[MIN]->text, inverse ? exp(-hi) : exp(lo),
                      inverse ? f[MIN]->text : f[MAX]->text, inverse ? exp(-lo) : exp(hi), p->d->name,
                      inverse ? exp(-hi) : exp(lo), inverse ? exp(-lo) : exp(hi));
}

static status check_fields(const spec_param *p, const sweep_spec *s, const yaml_node *const f[N_FIELDS], err *e)
{
    for (int i = 0; i < N_FIELDS; i++) {
        const unsigned bit = 1u << i;
        if (f[i] && i != DISTRIBUTION && !((p->d->needs | p->d->takes) & bit))
            return spec_error(s, f[i], e, "%s: %s does not belong to distribution %s%s", p->key->text, field_names[i],
                              p->d->name, i == Q ? "; the distributions that start with q_ take it" : "");
        if (!f[i] && p->d->needs & bit)
            return spec_error(s, p->at, e, "%s: distribution %s needs %s", p->key->text, p->d->name, field_names[i]);
    }
    return ST_OK;
}

static status check_bounds(spec_param *p, const sweep_spec *s, const yaml_node *const f[N_FIELDS], err *e)
{
    const char *key = p->key->text;
    status st = number(&p->min, s, f[MIN], key, MIN, e);
    int64_t i;
    if (!st) st = number(&p->max, s, f[MAX], key, MAX, e);
    if (st) return st;
    if (p->min > p->max) return spec_error(s, f[MAX], e, "%s: max %s is below min %s", key, f[MAX]->text, f[MIN]->text);
    if ((p->d->family == LOG_UNIFORM || p->d->family == INV_LOG_UNIFORM) && !(p->min > 0))
        return spec_error(s, f[MIN], e, "%s: %s needs min above 0: it takes values, not exponents", key, p->d->name);
    if (p->d->family == INT_UNIFORM && (!num_parse_i64(f[MIN]->text, &i) || !num_parse_i64(f[MAX]->text, &i) ||
                                        fabs(p->min) > 0x1p53 || fabs(p->max) > 0x1p53))
        return spec_error(s, f[MIN], e, "%s: int_uniform needs whole numbers below 2^53 as min and max", key);
    return ST_OK;
}

static status check_probabilities(const spec_param *p, const sweep_spec *s, err *e)
{
    const yaml_node *at = p->probabilities;
    double sum = 0, x;
    if (at->kind != YAML_SEQ || p->values->kind != YAML_SEQ || at->n != p->values->n)
        return spec_error(s, at, e, "%s: probabilities: one for each of values is needed", p->key->text);
    for (size_t i = 0; i < at->n; i++) {
        status st = number(&x, s, at->values[i], p->key->text, PROBABILITIES, e);
        if (st) return st;
        if (x < 0) return spec_error(s, at->values[i], e, "%s: a probability below 0", p->key->text);
        sum += x;
    }
    if (fabs(sum - 1) <= 1e-6) return ST_OK;
    return spec_error(s, at, e, "%s: probabilities sum to %.6g, not 1", p->key->text, sum);
}

/* What the key can take: words only from a list, whole numbers only from a distribution that gives no others. */
static status check_kind(const spec_param *p, const sweep_spec *s, err *e)
{
    const char *key = p->key->text;
    const config_key *row = config_find(key);
    if (!row && !spec_is_flops(key)) return ST_OK; /* complained about where keys are */
    if (p->d->family == CONSTANT || p->d->family == CATEGORICAL) return ST_OK;
    if (!spec_number_key(key))
        return spec_error(s, p->at, e, "%s takes words, %s gives numbers; write values: [...]", key, p->d->name);
    if (!spec_whole_key(key) || p->whole) return ST_OK;
    if (quantised(p)) return spec_error(s, p->at, e, "%s takes whole numbers; give q as one", key);
    return spec_error(s, p->at, e, "%s takes whole numbers, %s gives fractions; write %s", key, p->d->name,
                      p->d->family == UNIFORM       ? "int_uniform, or q_uniform with q"
                      : p->d->family == LOG_UNIFORM ? "q_log_uniform_values with q, as in q: 1"
                                                    : "a distribution that starts with q_");
}

static status read_fields(const yaml_node *f[N_FIELDS], const sweep_spec *s, const yaml_node *key, const yaml_node *at,
                          err *e)
{
    if (at->kind != YAML_MAP || !at->n)
        return spec_error(s, at, e,
                          "parameters: %s: a map is needed, as in {values: [...]} or {min: 1e-4, max: 1e-2,"
                          " distribution: log_uniform_values}",
                          key->text);
    status st = spec_only_keys(s, at, key->text, field_names, N_FIELDS, e);
    for (int i = 0; i < N_FIELDS; i++) f[i] = yaml_get(at, field_names[i]);
    return st;
}

status spec_param_read(spec_param *p, const sweep_spec *s, const yaml_node *key, const yaml_node *at, bool random,
                       err *e)
{
    const yaml_node *f[N_FIELDS];
    *p = (spec_param){.key = key, .at = at, .sigma = 1, .q = 1};
    status st = read_fields(f, s, key, at, e);
    if (!st) st = choose(p, s, f, e);
    if (st) return st;
    if (p->d->family == EXPONENTS) return refuse_exponents(p, s, f, e);
    if (p->d->family == NOT_OFFERED)
        return spec_error(s, f[DISTRIBUTION], e, "%s: distribution '%s' is not offered", key->text, p->d->name);
    if ((st = check_fields(p, s, f, e))) return st;
    p->value = f[VALUE], p->values = f[VALUES], p->probabilities = f[PROBABILITIES];
    if (f[MIN]) st = check_bounds(p, s, f, e);
    if (!st && f[MU]) st = number(&p->mu, s, f[MU], key->text, MU, e);
    if (!st && f[SIGMA]) st = number(&p->sigma, s, f[SIGMA], key->text, SIGMA, e);
    if (!st && f[Q]) st = number(&p->q, s, f[Q], key->text, Q, e);
    if (!st && !(p->sigma > 0)) st = spec_error(s, f[SIGMA], e, "%s: sigma must be above 0", key->text);
    if (!st && !(p->q > 0)) st = spec_error(s, f[Q], e, "%s: q must be above 0", key->text);
    if (!st && p->probabilities) st = check_probabilities(p, s, e);
    if (st) return st;
    p->whole = p->d->family == INT_UNIFORM || (quantised(p) && p->q == floor(p->q));
    if (!random && (!p->d->grid || p->probabilities))
        return spec_error(s, p->probabilities ? p->probabilities : at, e,
                          "%s: a grid has no %s; write values: [...], or"
                          " method: random with run_cap",
                          key->text, p->probabilities ? "probabilities" : p->d->name);
    return check_kind(p, s, e);
}

bool spec_param_constant(const spec_param *p) { return p->d->family == CONSTANT; }

/* ---- values --------------------------------------------------------------------------------------------------- */

status spec_param_grid(sweep_spec *s, const spec_param *p, const yaml_node ***out, size_t *n, err *e)
{
    if (p->d->family == CATEGORICAL) return sweep_spec_values(s, p->key, p->values, out, n, e);
    const double step = p->d->family == INT_UNIFORM ? 1 : p->q;
    const double count = p->d->family == INT_UNIFORM ? p->max - p->min + 1 : ceil((p->max - p->min) / step - 1e-9);
    if (!(count >= 1) || count > MAX_GRID)
        return spec_error(s, p->at, e, "%s: a grid of no values, or of more than %d", p->key->text, (int)MAX_GRID);
    *n = (size_t)count;
    if (!(*out = calloc(*n, sizeof **out))) return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path);
    for (size_t i = 0; i < *n; i++)
        if (!((*out)[i] = spec_number(s, p->at, false, p->min + (double)i * step, e))) {
            free(*out);
            *out = NULL;
            return ST_NOMEM;
        }
    return ST_OK;
}

uint32_t spec_key_hash(const char *key)
{
    uint32_t h = 2166136261u;
    for (; *key; key++) h = (h ^ (unsigned char)*key) * 16777619u;
    return h;
}

static const yaml_node *pick(const spec_param *p, double u)
{
    const yaml_node *values = p->values;
    size_t i = (size_t)(u * (double)values->n);
    if (p->probabilities)
        for (i = 0; i + 1 < values->n; i++) {
            double x = 0;
            num_parse_f64(p->probabilities->values[i]->text, &x);
            if ((u -= x) < 0) break;
        }
    return values->values[i];
}

const yaml_node *spec_param_draw(sweep_spec *s, const spec_param *p, uint64_t seed, uint64_t i, err *e)
{
    const uint32_t step = spec_key_hash(p->key->text);
    const double u = rng_uniform(seed, RNG_SWEEP, step, i);
    double x = 0;
    switch (p->d->family) {
    case CATEGORICAL: return pick(p, u);
    case INT_UNIFORM: x = p->min + (double)rng_below((uint64_t)(p->max - p->min) + 1, seed, RNG_SWEEP, step, i); break;
    case UNIFORM: x = p->min + u * (p->max - p->min); break;
    case LOG_UNIFORM: x = p->min * exp(u * log(p->max / p->min)); break;
    case INV_LOG_UNIFORM: x = 1 / (1 / p->max * exp(u * log(p->max / p->min))); break;
    case NORMAL: x = p->mu + p->sigma * rng_normal(seed, RNG_SWEEP, step, i); break;
    case LOG_NORMAL: x = exp(p->mu + p->sigma * rng_normal(seed, RNG_SWEEP, step, i)); break;
    default: break;
    }
    if (quantised(p)) x = rint(x / p->q) * p->q;
    return spec_number(s, p->at, p->whole, x, e);
}
