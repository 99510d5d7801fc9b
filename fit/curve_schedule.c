/* Learning-rate schedules step by step, by name or from the samples of a log. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fit/curve.h"

static const size_t MAX_STEPS = 100000000; /* 1.6 GB of learning rates and sums: a typing error, not a run */

/* --- shapes --------------------------------------------------------------------------------------------------- */

static double constant(double x, double peak, double final) { return x >= 0 ? peak : final; }
static double cosine(double x, double peak, double final) { return final + (peak - final) / 2 * (1 + cos(M_PI * x)); }
static double linear(double x, double peak, double final) { return peak + (final - peak) * x; }
static double exponential(double x, double peak, double final) { return peak * pow(final / peak, x); }
static double one_sqrt(double x, double peak, double final) { return final + (peak - final) * (1 - sqrt(x)); }
static double two_stage(double x, double peak, double final) { return x < 0 ? peak : final; }

/* Formulas as in thu-yao-01-luo/MultiPowerLaw @ 8da9f190 (its wsd is our exponential, its wsdld our linear); 1-sqrt:
 * Haegele et al. 2024, arXiv:2405.18392, section 3. */
const fit_shape fit_shapes[] = {
    {"constant", "the peak to the end", false, constant},
    {"cosine", "half a cosine", true, cosine},
    {"linear", "a straight line", true, linear},
    {"exponential", "by equal factors", true, exponential},
    {"1-sqrt", "1 - sqrt of the way", true, one_sqrt},
    {"two-stage", "the final value at once", true, two_stage},
};
const size_t fit_n_shapes = sizeof fit_shapes / sizeof *fit_shapes;

static const char *const warmup_names[] = {"linear", "constant", "none"};
enum { N_WARMUPS = sizeof warmup_names / sizeof *warmup_names };

const char *fit_warmup_name(fit_warmup w) { return (size_t)w < N_WARMUPS ? warmup_names[w] : NULL; }

status fit_warmup_find(fit_warmup *out, const char *name, err *e)
{
    for (size_t i = 0; i < N_WARMUPS; i++)
        if (!strcmp(warmup_names[i], name)) {
            *out = (fit_warmup)i;
            return ST_OK;
        }
    return err_set(e, ST_USAGE, "--warmup '%s': known are linear, constant, none", name);
}

/* --- the text form -------------------------------------------------------------------------------------------- */

static status find_shape(const fit_shape **out, const char *name, size_t at, err *e)
{
    const char *names[sizeof fit_shapes / sizeof *fit_shapes];
    if (!strcmp(name, "wsdcon")) name = "two-stage";
    for (size_t i = 0; i < fit_n_shapes; i++) {
        names[i] = fit_shapes[i].name;
        if (strcmp(names[i], name)) continue;
        *out = &fit_shapes[i];
        return ST_OK;
    }
    const char *near = num_nearest_word(name, names, (int)fit_n_shapes);
    return err_set(e, ST_USAGE,
                   "schedule, character %zu: no shape '%s'%s%s%s (constant, cosine, linear, exponential, 1-sqrt, "
                   "two-stage; wsd with decay=SHAPE)",
                   at + 1, name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

typedef struct key { const char *name; double *number; size_t *count; } key;

static status set_key(fit_schedule_spec *out, char *word, size_t at, err *e)
{
    const key keys[] = {{"peak", &out->peak, NULL},     {"final", &out->final, NULL}, {"warmup", NULL, &out->warmup},
                        {"from", NULL, &out->from}, {"steps", NULL, &out->steps}};
    char *value = strchr(word, '=');
    if (!value)
        return err_set(e, ST_USAGE, "schedule, character %zu: '%s' is not KEY=VALUE", at + 1, word);
    *value++ = 0;
    if (!strcmp(word, "decay")) return find_shape(&out->shape, value, at, e);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double x;
        int64_t k;
        if (strcmp(word, keys[i].name)) continue;
        if (keys[i].number) {
            if (!num_parse_f64(value, &x) || x < 0)
                return err_set(e, ST_USAGE, "schedule, character %zu: %s=%s, a learning rate is 0 or above", at + 1,
                               word, value);
            *keys[i].number = x;
        } else {
            if (!num_parse_i64(value, &k) || k < 0)
                return err_set(e, ST_USAGE, "schedule, character %zu: %s=%s, steps are a whole number", at + 1, word,
                               value);
            *keys[i].count = (size_t)k;
        }
        return ST_OK;
    }
    return err_set(e, ST_USAGE, "schedule, character %zu: no key '%s' (peak, final, warmup, from, steps, decay)",
                   at + 1, word);
}

static status check_spec(const fit_schedule_spec *s, err *e)
{
    size_t from = s->from ? s->from : s->warmup;
    if (!s->shape) return err_set(e, ST_USAGE, "schedule: wsd needs decay=linear, exponential, 1-sqrt or cosine");
    if (!(s->peak > 0)) return err_set(e, ST_USAGE, "schedule %s: peak= is missing", s->shape->name);
    if (!s->steps || s->steps > MAX_STEPS)
        return err_set(e, ST_USAGE, "schedule %s: steps= must lie between 1 and %zu", s->shape->name, MAX_STEPS);
    if (s->warmup >= s->steps)
        return err_set(e, ST_USAGE, "schedule %s: warmup=%zu leaves nothing of %zu steps", s->shape->name, s->warmup,
                       s->steps);
    if (!s->shape->falls) return ST_OK;
    if (from < s->warmup || from >= s->steps)
        return err_set(e, ST_USAGE, "schedule %s: from=%zu must lie between the warm-up (%zu) and the end (%zu)",
                       s->shape->name, from, s->warmup, s->steps);
    if (s->final > s->peak)
        return err_set(e, ST_USAGE, "schedule %s: final=%g is above peak=%g", s->shape->name, s->final, s->peak);
    if (s->shape->lr == exponential && !(s->final > 0))
        return err_set(e, ST_USAGE, "schedule exponential: final= must be above 0");
    return ST_OK;
}

status fit_schedule_parse(fit_schedule_spec *out, const char *text, err *e)
{
    static const char SEPARATORS[] = " ,\t";
    bool wsd = false, named = false;
    memset(out, 0, sizeof *out);
    for (size_t at = 0, n; text[at += strspn(text + at, SEPARATORS)]; at += n) {
        char word[64];
        n = strcspn(text + at, SEPARATORS);
        if (n >= sizeof word) return err_set(e, ST_USAGE, "schedule, character %zu: a word too long", at + 1);
        memcpy(word, text + at, n);
        word[n] = 0;
        status s = ST_OK;
        if (named) s = set_key(out, word, at, e);
        else if (!strcmp(word, "wsd")) wsd = true;
        else s = find_shape(&out->shape, word, at, e);
        if (s) return s;
        named = true;
    }
    if (!named) return err_set(e, ST_USAGE, "schedule: empty; as in 'cosine peak=3e-4 warmup=2000 steps=24000'");
    if (wsd && !out->from) return err_set(e, ST_USAGE, "schedule wsd: from= (first step of the decay) is missing");
    return check_spec(out, e);
}

/* --- building ------------------------------------------------------------------------------------------------- */

void fit_schedule_free(fit_schedule *s)
{
    free(s->lr);
    free(s->s1);
    memset(s, 0, sizeof *s);
}

static status room(fit_schedule *s, size_t n, err *e)
{
    memset(s, 0, sizeof *s);
    s->n_steps = n;
    s->lr = malloc((n + 1) * sizeof *s->lr);
    s->s1 = malloc((n + 1) * sizeof *s->s1);
    if (s->lr && s->s1) return ST_OK;
    fit_schedule_free(s);
    return err_set(e, ST_NOMEM, "no memory for a schedule of %zu steps", n);
}

static void add_break(fit_schedule *s, size_t step)
{
    if (s->n_breaks == FIT_MAX_BREAKS || !step || step >= s->n_steps) return;
    if (s->n_breaks && s->breaks[s->n_breaks - 1] >= step) return;
    s->breaks[s->n_breaks++] = step;
}

/* numpy's linspace(0, peak, n)[i]. */
static double rise(double peak, size_t i, size_t n) { return n > 1 ? peak * ((double)i / (double)(n - 1)) : 0; }

/* Steps of the rise: up to the first step at the height where it ends. */
static size_t seen_rise(const fit_schedule *s)
{
    size_t end = 0;
    for (size_t i = 1; i < s->n_steps && s->lr[i] >= s->lr[i - 1]; i++)
        if (s->lr[i] > s->lr[end]) end = i;
    return end ? end + 1 : 0;
}

/* The true rise stands in lr: now the convention, then the sums. */
static void finish(fit_schedule *s, fit_warmup warmup)
{
    long double sum = 0; /* S_k is a difference of two of these */
    s->warmup = seen_rise(s);
    add_break(s, s->warmup);
    double top = s->warmup ? s->lr[s->warmup - 1] : 0;
    for (size_t i = 0; i < s->warmup && warmup != FIT_WARMUP_LINEAR; i++)
        s->lr[i] = warmup == FIT_WARMUP_CONSTANT ? top : 0;
    s->first_drop = warmup == FIT_WARMUP_NONE ? s->warmup + 1 : 1;
    for (size_t i = 0; i < s->n_steps; i++) {
        s->s1[i] = (double)(sum += s->lr[i]);
        if (s->lr[i] > s->peak) s->peak = s->lr[i];
    }
}

status fit_schedule_named(fit_schedule *out, const fit_schedule_spec *spec, fit_warmup warmup, err *e)
{
    status st = check_spec(spec, e);
    if (!st) st = room(out, spec->steps, e);
    if (st) return st;
    size_t from = spec->shape->falls ? spec->from ? spec->from : spec->warmup : spec->steps;
    for (size_t i = 0; i < spec->steps; i++)
        out->lr[i] = i < spec->warmup ? rise(spec->peak, i, spec->warmup)
                     : i < from       ? spec->peak
                                      : spec->shape->lr((double)(i - from) / (double)(spec->steps - from), spec->peak,
                                                        spec->final);
    finish(out, warmup);
    add_break(out, from);
    return ST_OK;
}

static status check_samples(const double *step, const double *lr, size_t n, err *e)
{
    for (size_t i = 0; i < n; i++) {
        if (!(step[i] >= 0) || step[i] != floor(step[i]) || step[i] >= (double)MAX_STEPS)
            return err_set(e, ST_INPUT, "step %.10g: steps are whole numbers from 0 to %zu", step[i], MAX_STEPS);
        if (!(lr[i] >= 0) || isinf(lr[i]))
            return err_set(e, ST_INPUT, "learning rate %g at step %.0f: it must be 0 or above", lr[i], step[i]);
        if (i && step[i] <= step[i - 1])
            return err_set(e, ST_INPUT, "step %.0f follows step %.0f: a curve's steps must ascend", step[i],
                           step[i - 1]);
    }
    return ST_OK;
}

status fit_schedule_sampled(fit_schedule *out, const double *step, const double *lr, size_t n, fit_warmup warmup,
                            size_t assumed_steps, err *e)
{
    status st = check_samples(step, lr, n, e);
    size_t first = n ? (size_t)step[0] : 0;
    if (!st && !n) st = err_set(e, ST_INPUT, "a curve without rows has no schedule");
    if (!st && assumed_steps > first && first)
        st = err_set(e, ST_USAGE, "a warm-up of %zu steps reaches beyond the first logged step, %zu", assumed_steps,
                     first);
    if (!st) st = room(out, (size_t)step[n - 1] + 1, e);
    if (st) return st;
    if (!assumed_steps) assumed_steps = first;
    for (size_t i = 0; i < first; i++) out->lr[i] = i < assumed_steps ? rise(lr[0], i, assumed_steps) : lr[0];
    for (size_t k = 0, i = first; k + 1 < n; k++) {
        double slope = (lr[k + 1] - lr[k]) / (step[k + 1] - step[k]);
        for (; i < (size_t)step[k + 1]; i++) out->lr[i] = lr[k] + slope * ((double)i - step[k]);
    }
    out->lr[out->n_steps - 1] = lr[n - 1];
    finish(out, warmup);
    return ST_OK;
}

void fit_schedule_s2(double *s2, const fit_schedule *s, double lambda)
{
    size_t begin = s->warmup > s->first_drop ? s->warmup : s->first_drop;
    double m = 0, sum = 0;
    for (size_t i = 0; i < s->n_steps; i++) {
        if (i >= begin && i) m = lambda * m + (s->lr[i - 1] - s->lr[i]);
        s2[i] = sum += m;
    }
}
