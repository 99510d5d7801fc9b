#include "sweeps/early_stop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum { TRAIN_VALUES = 100 }; /* of the smoothed training loss over a run: a rule acts at most a hundredth late */

/* ---- the rule ------------------------------------------------------------------------------------------------- */

static const char *const names[] = {
    [EARLY_STOP_NONE] = "off", [EARLY_STOP_MEDIAN] = "median", [EARLY_STOP_HYPERBAND] = "hyperband",
};

const char *early_stop_name(early_stop_kind kind) { return names[kind]; }

early_stop_rule early_stop_default(early_stop_kind kind)
{
    return (early_stop_rule){.kind = kind, .eta = 3, .s = 2, .min_runs = 3};
}

status early_stop_word(early_stop_rule *out, const char *word, err *e)
{
    for (int k = EARLY_STOP_NONE; k <= EARLY_STOP_HYPERBAND; k++)
        if (!strcmp(word, names[k])) return *out = early_stop_default((early_stop_kind)k), ST_OK;
    const char *near = num_nearest_word(word, names, EARLY_STOP_HYPERBAND + 1);
    if (near) return err_set(e, ST_USAGE, "--early-stop: unknown rule '%s'; did you mean '%s'?", word, near);
    return err_set(e, ST_USAGE, "--early-stop: unknown rule '%s'; there are median, hyperband and off", word);
}

bool early_stop_by_validation(const trainer_config *c) { return c->val_every > 0; }

const char *early_stop_metric(const trainer_config *c)
{
    return early_stop_by_validation(c) ? "val_loss" : "train_loss_ema";
}

int64_t early_stop_every(const trainer_config *c)
{
    if (early_stop_by_validation(c)) return c->val_every;
    const int64_t log = c->log_every > 0 ? c->log_every : 1, many = config_steps(c) / TRAIN_VALUES;
    return many > log ? many / log * log : log;
}

/* Steps of so many iterations, or tokens. */
static double in_steps(double iterations, double tokens, const trainer_config *c)
{
    if (tokens > 0) return ceil(tokens / (double)c->batch_tokens);
    return iterations * (early_stop_by_validation(c) ? (double)c->val_every : 1);
}

static void add_step(int64_t steps[EARLY_STOP_BRACKETS], size_t *n, double step, const trainer_config *c)
{
    if (step < 1 || step >= (double)config_steps(c) || *n == EARLY_STOP_BRACKETS) return;
    if (*n && steps[*n - 1] >= (int64_t)step) return; /* two brackets in one iteration are one */
    steps[(*n)++] = (int64_t)step;
}

static void hyperband_steps(int64_t steps[EARLY_STOP_BRACKETS], size_t *n, const early_stop_rule *r,
                            const trainer_config *c)
{
    const bool by_tokens = r->min_tokens > 0 || r->max_tokens > 0;
    double band = by_tokens ? r->min_tokens : r->min_iter;
    if (band > 0) {
        /* without end: those behind the run's end are left out */
        for (int i = 0; i < EARLY_STOP_BRACKETS; i++, band *= r->eta)
            add_step(steps, n, in_steps(by_tokens ? 0 : floor(band), by_tokens ? band : 0, c), c);
        return;
    }
    const bool own = !(r->max_iter > 0) && !(r->max_tokens > 0); /* nothing was given: of the run's own length */
    const double max = own ? (double)c->tokens : by_tokens ? r->max_tokens : r->max_iter;
    for (int64_t i = r->s < EARLY_STOP_BRACKETS ? r->s : EARLY_STOP_BRACKETS; i > 0; i--) {
        band = max / pow(r->eta, (double)i);
        if (own || by_tokens) add_step(steps, n, in_steps(0, band, c), c);
        else add_step(steps, n, in_steps(floor(band * (1 + 1e-12)), 0, c), c); /* 27 / 3^2 is 3, not 2.9999 */
    }
}

void early_stop_steps(int64_t steps[EARLY_STOP_BRACKETS], size_t *n, const early_stop_rule *r, const trainer_config *c)
{
    *n = 0;
    if (r->kind == EARLY_STOP_HYPERBAND) hyperband_steps(steps, n, r, c);
    if (r->kind != EARLY_STOP_MEDIAN) return;
    const bool given = r->min_iter > 0 || r->min_tokens > 0;
    add_step(steps, n, given ? in_steps(r->min_iter, r->min_tokens, c) : ceil((double)config_steps(c) / 4), c);
}

/* ---- curves --------------------------------------------------------------------------------------------------- */

bool early_stop_add(early_stop_curve *c, int64_t step, double x)
{
    if (c->n && c->step[c->n - 1] >= step) return true;
    if (c->n == c->room) {
        const size_t room = c->room ? 2 * c->room : 16;
        int64_t *steps = realloc(c->step, room * sizeof *steps);
        if (steps) c->step = steps;
        double **of[] = {&c->value, &c->best, &c->mean};
        for (size_t i = 0; steps && i < 3; i++) {
            double *more = realloc(*of[i], room * sizeof *more);
            if (!more) return false;
            *of[i] = more;
        }
        if (!steps) return false;
        c->room = room;
    }
    const double value = isfinite(x) ? x : INFINITY;
    const size_t k = c->n++;
    c->step[k] = step;
    c->value[k] = value;
    c->best[k] = k ? fmin(c->best[k - 1], value) : value;
    c->mean[k] = k ? c->mean[k - 1] + (value - c->mean[k - 1]) / (double)(k + 1) : value;
    if (isnan(c->mean[k])) c->mean[k] = INFINITY; /* inf - inf */
    return true;
}

void early_stop_curve_free(early_stop_curve *c)
{
    free(c->step);
    free(c->value);
    free(c->best);
    free(c->mean);
    memset(c, 0, sizeof *c);
}

/* The first value at or after a step; c->n: it has not got there. */
static size_t reached(const early_stop_curve *c, int64_t step)
{
    size_t lo = 0, hi = c->n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (c->step[mid] < step) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* ---- the verdicts --------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The last bracket that is behind this step, or 0. */
static int64_t bracket_of(const int64_t *steps, size_t n, int64_t step)
{
    while (n && steps[n - 1] > step) n--;
    return n ? steps[n - 1] : 0;
}

static early_stop_verdict hyperband(const early_stop_rule *r, const trainer_config *c, const early_stop_curve *own,
                                    const early_stop_curve *const *others, size_t n_others, double *at_bracket)
{
    int64_t steps[EARLY_STOP_BRACKETS];
    size_t n_steps, n = 0;
    early_stop_steps(steps, &n_steps, r, c);
    const int64_t now = own->step[own->n - 1], bracket = bracket_of(steps, n_steps, now);
    const int64_t before = own->n > 1 ? bracket_of(steps, n_steps, own->step[own->n - 2]) : 0;
    if (!bracket || (bracket == before && !r->strict)) return (early_stop_verdict){0};
    early_stop_verdict v = {.judged = true, .at = bracket, .value = own->value[reached(own, bracket)]};
    at_bracket[n++] = v.value;
    for (size_t i = 0; i < n_others; i++) {
        const size_t k = reached(others[i], bracket);
        if (k < others[i]->n) at_bracket[n++] = others[i]->value[k];
    }
    qsort(at_bracket, n, sizeof *at_bracket, by_value);
    size_t rank = (size_t)((double)n / r->eta);
    v.threshold = at_bracket[rank < n ? rank : n - 1];
    v.n = n;
    v.stop = v.value > v.threshold;
    return v;
}

static early_stop_verdict median(const early_stop_rule *r, const trainer_config *c, const early_stop_curve *own,
                                 const early_stop_curve *const *others, size_t n_others, double *means)
{
    int64_t from[EARLY_STOP_BRACKETS];
    size_t n_from, n = 0;
    early_stop_steps(from, &n_from, r, c);
    const int64_t now = own->step[own->n - 1];
    if (!n_from || now < from[0]) return (early_stop_verdict){0};
    for (size_t i = 0; i < n_others; i++) {
        const early_stop_curve *o = others[i];
        size_t k = reached(o, now);
        if (k == o->n) continue;
        if (o->step[k] > now && k) k--; /* of values up to now */
        means[n++] = o->mean[k];
    }
    if (n < (size_t)r->min_runs || !n) return (early_stop_verdict){0};
    qsort(means, n, sizeof *means, by_value);
    const double middle = n % 2 ? means[n / 2] : means[n / 2 - 1] / 2 + means[n / 2] / 2;
    early_stop_verdict v = {.judged = true, .at = now, .value = own->best[own->n - 1], .threshold = middle, .n = n + 1};
    v.stop = v.value > v.threshold;
    return v;
}

early_stop_verdict early_stop_judge(const early_stop_rule *rule, const trainer_config *c, const early_stop_curve *own,
                                    const early_stop_curve *const *others, size_t n_others, double *scratch)
{
    if (!own->n || rule->kind == EARLY_STOP_NONE) return (early_stop_verdict){0};
    return rule->kind == EARLY_STOP_MEDIAN ? median(rule, c, own, others, n_others, scratch)
                                           : hyperband(rule, c, own, others, n_others, scratch);
}

void early_stop_why(char *out, size_t size, const attrs *summary)
{
    const char *rule = attrs_text(summary, "stop_rule"), *metric = attrs_text(summary, "stop_metric");
    *out = 0;
    if (!rule || !metric) return;
    snprintf(out, size, "%s at step %lld: %s %.5g is above %.5g, of %lld runs", rule,
             (long long)attrs_i64(summary, "stop_at", 0), metric, attrs_f64(summary, "stop_value"),
             attrs_f64(summary, "stop_threshold"), (long long)attrs_i64(summary, "stop_n", 0));
}
