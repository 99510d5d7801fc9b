/* The verdict. Every threshold stands here, with why; doc/laws.md repeats them for the user. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/run.h"

/* Likelihood ratio, 95 % of chi-square with one degree of freedom, halved: E = 0 is one parameter less. */
static const double FLOOR_GAIN = 1.92;
/* 99.9 % of chi-square with two, halved: a power term has two parameters. Stricter than the floor's, because a term
 * that is only noise has many exponents to choose from: with losses permuted 5 % would pass too often. */
static const double TERM_GAIN = 6.91;
/* Share of the variance of ln D that ln N leaves unexplained. Below it all runs lie on one line of the (ln N, ln D)
 * plane, as with one budget or one ratio D/N. Chinchilla's 240 points have 0.89; ratios of 10, 20 and 40 over two decades
 * of N have 0.12. */
static const double COLLINEAR = 1e-3;
static const double FLOOR_ZERO =
    1e-3; /* of the lowest loss: an interval of E that reaches below is one that reaches 0 */
static const double FLAT_WIDTH = 1;         /* 95 % interval of an exponent, over its value */
static const double FLAT_FLOOR = .5;         /* 95 % interval of the floor, over its value */
static const double BOOT_LOST = .1;         /* resamples without a usable end */
static const double DECADES = 1;            /* held-out rows further from the data than this */
static const double HOLDOUT_SD = 3;         /* mean held-out error, in residual sd ... */
static const double HOLDOUT_LEAST = .005;   /* ... and at least this, relative */
static const double TARGET_FACTOR = 10;     /* basins are compared at 10 x the compute of the largest run */

const char *fit_verdict_name(fit_verdict v)
{
    static const char *const names[] = {"ok", "warn", "refuse"};
    return names[v];
}

void fit_trust_add(fit_trust *t, fit_verdict v, const char *code, double value, const char *fmt, ...)
{
    va_list ap;
    if (v > t->verdict) t->verdict = v;
    if (t->n == FIT_MAX_REASONS) return;
    fit_reason *r = &t->reasons[t->n++];
    snprintf(r->code, sizeof r->code, "%s", code);
    r->value = value;
    va_start(ap, fmt);
    vsnprintf(r->message, sizeof r->message, fmt, ap);
    va_end(ap);
}

static void nullify(fit_estimate *p)
{
    if (p->fixed || isnan(p->value)) return;
    p->raw = p->value;
    p->value = p->se = p->lo = p->hi = NAN;
}

static void nullify_all(fit_result *r)
{
    for (size_t j = 0; j < r->n_params; j++) nullify(&r->params[j]);
}

static void nullify_term(fit_result *r, const fit_term *t)
{
    nullify(&r->params[t->amplitude]);
    if (t->exponent >= 0) nullify(&r->params[t->exponent]);
}

static bool separable(fit_result *r, const fit_law *law, const fit_evidence *ev)
{
    const char *x = r->x[0] ? r->x : "x";
    for (size_t c = 0; c < law->n_cols; c++)
        if (ev->distinct[c] == 1) {
            const char *name = strcmp(law->cols[c], "x") ? law->cols[c] : x;
            fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", 1,
                          "all rows have one %s: its term and the floor cannot be told apart", name);
            nullify_all(r);
            return false;
        }
    if (ev->collinear < COLLINEAR) {
        fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", ev->collinear,
                      "ln %s follows from ln %s (%.2g of its variance is left, %.0e is needed): alpha and beta cannot "
                      "be told apart; add runs off that line",
                      law->cols[1], law->cols[0], ev->collinear, COLLINEAR);
        nullify_all(r);
        return false;
    }
    if (!ev->found) {
        fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", NAN,
                      "no start ended in a minimum with all terms alive: the data do not show this law");
        nullify_all(r);
        return false;
    }
    return true;
}

static void judge_terms(fit_result *r, const fit_law *law, const fit_evidence *ev)
{
    const char *x = r->x[0] ? r->x : "x";
    for (size_t k = 0; k < law->n_terms; k++) {
        const fit_term *t = &law->terms[k];
        if (t->exponent < 0) continue;
        const char *column = strcmp(law->cols[t->column], "x") ? law->cols[t->column] : x;
        bool bound = r->params[t->exponent].at_bound;
        if (!bound && !(ev->gain[k] < TERM_GAIN)) continue;
        if (bound)
            fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", r->params[t->exponent].value,
                          "%s ended at its bound (%.3g): the term of %s is not determined", r->names[t->exponent],
                          r->params[t->exponent].value, column);
        else
            fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", ev->gain[k],
                          "the term of %s does not show: it improves the log-likelihood by %.2f, %.2f is needed",
                          column, ev->gain[k], TERM_GAIN);
        nullify_term(r, t);
    }
}

static void judge_floor(fit_result *r, const fit_law *law, const fit_evidence *ev)
{
    double lowest = INFINITY;
    for (size_t i = 0; i < r->points.n; i++) lowest = fmin(lowest, r->points.loss[i]);
    for (size_t k = 0; k < law->n_terms; k++) {
        const fit_term *t = &law->terms[k];
        fit_estimate *p = &r->params[t->amplitude];
        if (t->exponent >= 0 || p->fixed) continue;
        if (p->at_bound || p->value < FLOOR_ZERO * lowest)
            fit_trust_add(&r->trust, FIT_REFUSE, "floor_unidentified", p->value,
                          "%s went to 0: the losses show no floor; a prediction beyond the data would hang on it",
                          r->names[t->amplitude]);
        else if (ev->gain[k] < FLOOR_GAIN)
            fit_trust_add(&r->trust, FIT_REFUSE, "floor_unidentified", ev->gain[k],
                          "without %s the log-likelihood is only %.2f lower, %.2f is needed", r->names[t->amplitude],
                          ev->gain[k], FLOOR_GAIN);
        else if (p->lo < FLOOR_ZERO * lowest)
            fit_trust_add(&r->trust, FIT_REFUSE, "floor_unidentified", p->lo, "the 95 %% interval of %s reaches 0",
                          r->names[t->amplitude]);
        else continue;
        nullify(p);
    }
}

/* ln L at 10 x the compute of the largest run, by parameters `v`. */
static double at_target(const fit_result *r, const fit_law *law, const double *v)
{
    double x[FIT_MAX_COLS];
    for (size_t c = 0; c < law->n_cols; c++) {
        const double *column = fit_data_column(&r->points, law->cols[c]);
        double hi = 0;
        for (size_t i = 0; i < r->points.n; i++) hi = fmax(hi, column[i]);
        x[c] = hi * pow(TARGET_FACTOR, 1. / (double)law->n_cols);
    }
    return log(fit_law_loss(law, v, x));
}

static void judge_basins(fit_result *r, const fit_law *law)
{
    if (r->n_basins < 2) return;
    fit_estimate spread = {0};
    double *v = malloc((r->boot_ok + 1) * sizeof *v), best = at_target(r, law, r->basins[0].params), worst = 0;
    for (size_t b = 0; b < r->boot_ok && v; b++) v[b] = at_target(r, law, r->samples + b * r->n_params);
    fit_percentiles(&spread, v, v ? r->boot_ok : 0);
    free(v);
    double half = r->boot_ok > 1 ? (spread.hi - spread.lo) / 2 : 2 * r->residual_sd;
    for (size_t b = 1; b < r->n_basins; b++) worst = fmax(worst, fabs(at_target(r, law, r->basins[b].params) - best));
    double gap = r->basins[r->n_basins - 1].objective_value / r->objective_value - 1;
    if (worst > half) {
        fit_trust_add(&r->trust, FIT_REFUSE, "conflicting_basins", worst,
                      "%zu minima within 1 %% of the objective differ by %.2g in ln L at %g x the compute, the "
                      "interval is +-%.2g",
                      r->n_basins, worst, TARGET_FACTOR, half);
        nullify_all(r);
    } else
        fit_trust_add(&r->trust, FIT_WARN, "multiple_basins", (double)r->n_basins,
                      "%zu minima within %.2g of the objective; their predictions agree within the interval",
                      r->n_basins, gap);
}

static bool is_floor(const fit_law *law, int param)
{
    for (size_t k = 0; k < law->n_terms; k++)
        if (law->terms[k].amplitude == param && law->terms[k].exponent < 0) return true;
    return false;
}

static void judge_directions(fit_result *r, const fit_law *law)
{
    for (size_t j = 0; j < r->n_params; j++) {
        const fit_estimate *p = &r->params[j];
        double limit = is_floor(law, (int)j) ? FLAT_FLOOR
                       : law->params[j].log  ? INFINITY
                                             : FLAT_WIDTH; /* amplitudes are always wide */
        if (p->fixed || isnan(p->value) || isnan(p->lo)) continue;
        double width = (p->hi - p->lo) / p->value;
        if (width > limit)
            fit_trust_add(&r->trust, FIT_WARN, "flat_direction", width,
                          "the 95 %% interval of %s, %.3g to %.3g, is %.2g times its value (limit %g)", r->names[j],
                          p->lo, p->hi, width, limit);
    }
    double lost = r->boot_n ? 1 - (double)r->boot_ok / (double)r->boot_n : 0;
    if (lost > BOOT_LOST)
        fit_trust_add(&r->trust, FIT_WARN, "flat_direction", lost,
                      "%zu of %zu resamples have no minimum with all terms alive", r->boot_n - r->boot_ok, r->boot_n);
}

static void judge_holdout(fit_result *r, const fit_evidence *ev)
{
    if (ev->holdout_decades > DECADES)
        fit_trust_add(&r->trust, FIT_WARN, "extrapolates_k_decades", ev->holdout_decades,
                      "held-out rows lie %.1f decades beyond the fitted ones", ev->holdout_decades);
    if (r->holdout_n && r->holdout_mean > fmax(HOLDOUT_SD * r->residual_sd, HOLDOUT_LEAST))
        fit_trust_add(&r->trust, FIT_WARN, "holdout_error", r->holdout_mean,
                      "held-out rows are missed by %.2g on average, the fitted ones by %.2g (sd)", r->holdout_mean,
                      r->residual_sd);
}

void fit_judge_conventions(fit_result *r, bool uses_n, bool uses_c)
{
    if (uses_n && !strcmp(r->count_rule, "unstated"))
        fit_trust_add(
            &r->trust, FIT_WARN, "convention_unstated", NAN,
            "which parameters does N count? State --count-rule total or non-embed: it moves exponents by up to 0.1");
    if (uses_c && !strcmp(r->flops_rule, "unstated"))
        fit_trust_add(&r->trust, FIT_WARN, "convention_unstated", NAN,
                      "which FLOPs does C count? State --flops-rule 6N, exact or given");
}

static bool law_uses(const fit_result *r, const fit_law *law, const char *column)
{
    for (size_t c = 0; c < law->n_cols; c++)
        if (!strcmp(law->cols[c], column) || (!strcmp(law->cols[c], "x") && !strcmp(r->x, column))) return true;
    return false;
}

void fit_judge(fit_result *r, const fit_law *law, const fit_evidence *ev)
{
    if (r->n_points < ev->n_free + 2) {
        fit_trust_add(&r->trust, FIT_REFUSE, "too_few_points", (double)r->n_points,
                      "%zu rows for %zu free parameters; at least %zu are needed", r->n_points, ev->n_free,
                      ev->n_free + 2);
        nullify_all(r);
    } else if (separable(r, law, ev)) {
        judge_basins(r, law);
        judge_directions(r, law);
        judge_floor(r, law, ev);
        judge_terms(r, law, ev);
        judge_holdout(r, ev);
    }
    fit_judge_conventions(r, law_uses(r, law, "N"), law_uses(r, law, "C") || (r->points.C && law->allocation));
    for (size_t j = 0; j < r->n_params; j++)
        if (law->allocation && isnan(r->params[j].value) &&
            strcmp(r->names[j], "E")) { /* G and the exponents need all but E */
            nullify(&r->a_opt);
            nullify(&r->b_opt);
            nullify(&r->G);
        }
}
