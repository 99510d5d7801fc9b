/* The verdict. Every threshold stands here, with why; doc/laws.md repeats them for the user. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/curve.h"
#include "fit/run.h"

/* Share of the variance of ln D that ln N leaves unexplained. Below it all runs lie on one line of the (ln N, ln D)
 * plane, as with one budget or one ratio D/N. Chinchilla's 240 points have 0.89; ratios of 10, 20 and 40 over two decades
 * of N have 0.12. */
static const double COLLINEAR = 1e-3;
/* Smallest eigenvalue of the correlation of the derivatives at the optimum. Below it two parameters do the same to every row
 * within 1e-5 of their effect: only the noise, or the rounding, chooses between them. Measured: Chinchilla's 240 points 2.9e-3, cs336
 * 3.8e-3, datablations' 182 with all seven parameters 1.2e-4; tests/fit/designs.h 7e-3 (chinchilla) to 1.6e-5 (precision, eleven
 * parameters) and 4e-6 (filtering); sixteen rows over one decade 2.6e-4, over a factor of two 9e-7 (refused, by other reasons). */
static const double ONE_DIRECTION = 1e-10;
static const double FLOOR_ZERO = 1e-3; /* of the lowest loss: an interval of E that reaches below is one that reaches 0 */
static const double FLAT_WIDTH = 1;         /* 95 % interval of an exponent, over its value */
static const double FLAT_FLOOR = .5;         /* 95 % interval of the floor, over its value */
static const double BOOT_LOST = .1;         /* resamples without a usable end */
static const double REPEATED = .01;         /* share of rows that repeat others */
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
    for (size_t k = 0; k < r->n_derived; k++) nullify(&r->derived[k]);
    for (size_t j = 0; j < r->n_params; j++) nullify(&r->params[j]);
}

static const char *column_name(const fit_result *r, const fit_law *law, size_t c)
{
    return !strcmp(law->cols[c], "x") && r->x[0] ? r->x : law->cols[c];
}

static bool refuse_all(fit_result *r)
{
    nullify_all(r);
    return false;
}

static bool separable(fit_result *r, const fit_law *law, const fit_evidence *ev)
{
    for (size_t c = 0; c < law->n_cols && law->n_terms; c++)
        if (ev->distinct[c] == 1) {
            fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", 1,
                          "all rows have one %s: its term and the floor cannot be told apart", column_name(r, law, c));
            return refuse_all(r);
        }
    if (ev->collinear < COLLINEAR) {
        fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", ev->collinear,
                      "ln %s follows from ln %s (%.2g of its variance is left, %.0e is needed): alpha and beta cannot "
                      "be told apart; add runs off that line",
                      law->cols[1], law->cols[0], ev->collinear, COLLINEAR);
        return refuse_all(r);
    }
    if (!ev->found) {
        if (ev->dead >= 0)
            fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", r->params[ev->dead].value,
                          "every start ended where some parameter moves nothing (the best with %s at %.3g): the data do "
                          "not show this law; pin it with --fix, bound it, or take a law without it%s",
                          r->names[ev->dead], r->params[ev->dead].value,
                          law->typed ? ". Amplitudes are taken positive: write a minus, or --bound P=-1,1" : "");
        else
            fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", NAN,
                          "no start ended in a minimum: the loss of the fit falls without end in some direction, or the "
                          "law gives no number there; bound its parameters (--bound) or take a law without them");
        return refuse_all(r);
    }
    if (ev->weakest < ONE_DIRECTION && ev->weak[1] >= 0) {
        fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", ev->weakest,
                      "%s and %s do the same to every row (eigenvalue %.1e of the correlation of their effects, %.0e is "
                      "needed): pin one with --fix, or add runs that tell them apart",
                      r->names[ev->weak[0]], r->names[ev->weak[1]], ev->weakest, ONE_DIRECTION);
        nullify(&r->params[ev->weak[0]]);
        nullify(&r->params[ev->weak[1]]);
    }
    return true;
}

/* Each test of a term, or of a null that the law's row names; floors are judged apart. */
static void judge_tests(fit_result *r, const fit_law *law, const fit_evidence *ev)
{
    for (size_t k = 0; k < ev->n_tests; k++) {
        const fit_test *t = &ev->tests[k];
        if (t->floor || !(t->gain < t->needed)) continue;
        const char *name = r->names[t->amplitude], *column = NULL;
        for (size_t i = 0; i < law->n_terms; i++)
            if (law->terms[i].amplitude == t->amplitude) column = column_name(r, law, (size_t)law->terms[i].column);
        if (t->meaning)
            fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", t->gain,
                          "%s is not shown: %s costs only %.2f of log-likelihood, %.2f is needed", name, t->meaning,
                          t->gain, t->needed);
        else if (column)
            fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", t->gain,
                          "the term of %s does not show: it improves the log-likelihood by %.2f, %.2f is needed",
                          column, t->gain, t->needed);
        else
            fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", t->gain,
                          "%s does not show: without it the log-likelihood is only %.2f lower, %.2f is needed", name,
                          t->gain, t->needed);
        nullify(&r->params[t->amplitude]);
        if (t->exponent >= 0) nullify(&r->params[t->exponent]);
    }
}

/* A parameter that stands at the end of its domain was not found there, it was stopped there. */
static void judge_bounds(fit_result *r, const fit_law *law)
{
    int floor = fit_law_floor(law);
    for (size_t j = 0; j < law->n_params; j++) {
        fit_estimate *p = &r->params[j];
        if (!p->at_bound || isnan(p->value)) continue;
        if (p->bounded) {
            fit_trust_add(&r->trust, FIT_WARN, "flat_direction", p->value,
                          "%s stands at the bound you set, %.4g: the data would take it further; widen --bound, or pin it with --fix",
                          r->names[j], p->value);
            continue;
        }
        if ((int)j == floor) continue;
        fit_trust_add(&r->trust, FIT_REFUSE, "not_separable", p->value,
                      "%s ended at its bound (%.3g): it is not determined by the data", r->names[j], p->value);
        for (size_t k = 0; k < law->n_terms; k++)
            if (law->terms[k].exponent == (int)j) nullify(&r->params[law->terms[k].amplitude]);
        nullify(p);
    }
}

static void judge_floor(fit_result *r, const fit_law *law, const fit_evidence *ev)
{
    int j = fit_law_floor(law);
    double lowest = INFINITY;
    if (j < 0 || r->params[j].fixed || isnan(r->params[j].value)) return;
    fit_estimate *p = &r->params[j];
    const fit_test *test = NULL;
    for (size_t k = 0; k < ev->n_tests; k++)
        if (ev->tests[k].floor) test = &ev->tests[k];
    for (size_t i = 0; i < r->points.n; i++) lowest = fmin(lowest, r->points.y[i]);
    if (p->at_bound && p->bounded) return; /* said by judge_bounds */
    if (p->at_bound || p->value < FLOOR_ZERO * lowest)
        fit_trust_add(&r->trust, FIT_REFUSE, "floor_unidentified", p->value,
                      "%s went to 0: the losses show no floor; a prediction beyond the data would hang on it",
                      r->names[j]);
    else if (test && test->gain < test->needed)
        fit_trust_add(&r->trust, FIT_REFUSE, "floor_unidentified", test->gain,
                      "without %s the log-likelihood is only %.2f lower, %.2f is needed", r->names[j], test->gain,
                      test->needed);
    else if (p->lo < FLOOR_ZERO * lowest)
        fit_trust_add(&r->trust, FIT_REFUSE, "floor_unidentified", p->lo, "the 95 %% interval of %s reaches 0",
                      r->names[j]);
    else return;
    nullify(p);
}

/* ln L at 10 x the compute of the largest run, by parameters `v`: every column at its largest, N, D and x multiplied so that
 * the compute is. */
static double at_target(const fit_result *r, const fit_model *m, const double *v)
{
    const fit_law *law = m->law;
    size_t n_scaled = 0;
    double x[FIT_MAX_COLS];
    bool scaled[FIT_MAX_COLS];
    for (size_t c = 0; c < law->n_cols; c++) {
        const double *column = fit_data_column(&r->points, law->cols[c]);
        double hi = 0;
        for (size_t i = 0; i < r->points.n; i++) hi = fmax(hi, column[i]);
        scaled[c] = strlen(law->cols[c]) == 1 && strchr("NDx", law->cols[c][0]);
        n_scaled += scaled[c];
        x[c] = hi;
    }
    for (size_t c = 0; c < law->n_cols; c++)
        if (scaled[c]) x[c] *= pow(TARGET_FACTOR, 1. / (double)n_scaled);
    return log(fit_model_value(m, v, x));
}

/* How far the minima lie apart in ln L at the target, and half the 95 % interval there. Laws that answer for no single point
 * (whole curves) are compared on the rows instead. */
static void spread_of_basins(double *worst, double *half, const fit_result *r, const fit_law *law)
{
    fit_model m;
    fit_estimate spread = {0};
    double *v = malloc((r->boot_ok + 1) * sizeof *v);
    *worst = 0, *half = 2 * r->residual_sd;
    if (v && !fit_model_init(&m, law, NULL, NULL)) {
        double best = at_target(r, &m, r->basins[0].params);
        for (size_t b = 0; b < r->boot_ok; b++) v[b] = at_target(r, &m, r->samples + b * r->n_params);
        fit_percentiles(&spread, v, r->boot_ok);
        if (r->boot_ok > 1) *half = (spread.hi - spread.lo) / 2;
        for (size_t b = 1; b < r->n_basins; b++)
            *worst = fmax(*worst, fabs(at_target(r, &m, r->basins[b].params) - best));
        fit_model_free(&m);
    }
    free(v);
}

static void judge_basins(fit_result *r, const fit_law *law)
{
    double worst, half;
    if (r->n_basins < 2) return;
    spread_of_basins(&worst, &half, r, law);
    double gap = r->basins[r->n_basins - 1].objective_value / r->objective_value - 1;
    if (worst > half) {
        fit_trust_add(&r->trust, FIT_REFUSE, "conflicting_basins", worst,
                      "%zu minima within 1 %% of the objective differ by %.2g in ln %s at %g x the compute, the "
                      "interval is +-%.2g",
                      r->n_basins, worst, r->points.target, TARGET_FACTOR, half);
        nullify_all(r);
    } else
        fit_trust_add(&r->trust, FIT_WARN, "multiple_basins", (double)r->n_basins,
                      "%zu minima within %.2g of the objective; their predictions agree within the interval",
                      r->n_basins, gap);
}

static void judge_directions(fit_result *r, const fit_law *law)
{
    for (size_t j = 0; j < r->n_params; j++) {
        const fit_estimate *p = &r->params[j];
        double limit = (int)j == fit_law_floor(law) ? FLAT_FLOOR
                       : law->params[j].log  ? INFINITY
                                             : FLAT_WIDTH; /* amplitudes are always wide */
        if (p->fixed || isnan(p->value) || isnan(p->lo)) continue;
        double width = (p->hi - p->lo) / fabs(p->value);
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

enum { LEAST_ASKED = 5 }; /* held-out rows below which an error is an anecdote */

static void judge_holdout(fit_result *r, const fit_evidence *ev)
{
    if (ev->holdout_decades > DECADES)
        fit_trust_add(&r->trust, FIT_WARN, "extrapolates_k_decades", ev->holdout_decades,
                      "held-out rows lie %.1f decades beyond the fitted ones", ev->holdout_decades);
    if (r->holdout_n >= LEAST_ASKED && r->holdout_mean > fmax(HOLDOUT_SD * r->residual_sd, HOLDOUT_LEAST))
        fit_trust_add(&r->trust, FIT_WARN, "holdout_error", r->holdout_mean,
                      "held-out rows are missed by %.2g on average, the fitted ones by %.2g (sd)", r->holdout_mean,
                      r->residual_sd);
}

/* Of the back-test the last fold of five rows or more counts: fitted on the most, asked the least far. */
static void judge_backtest(fit_result *r)
{
    const fit_fold *f = NULL;
    for (size_t k = 0; k < r->n_folds; k++)
        if (r->folds[k].n_test >= LEAST_ASKED) f = &r->folds[k];
    if (f && f->mean > fmax(HOLDOUT_SD * r->residual_sd, HOLDOUT_LEAST))
        fit_trust_add(&r->trust, FIT_WARN, "holdout_error", f->mean,
                      "fitted up to %.3g, larger rows are missed by %.2g on average, all rows by %.2g (sd)", f->cut, f->mean,
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

void fit_judge_runs(fit_result *r, const fit_runs *runs)
{
    static const char *const taken[] = {"a straight rise from 0", "steps at the peak", "not there"};
    if (runs->assumed)
        fit_trust_add(&r->trust, FIT_WARN, "convention_unstated", NAN,
                      "the warm-up before the first logged step was taken as %s: state --warmup linear, constant or none; "
                      "alpha and A depend on it",
                      taken[runs->warmup]);
    if (runs->n_schedules < 2)
        fit_trust_add(&r->trust, FIT_WARN, "flat_direction", 1,
                      "one curve: its points move together, so no interval can be given; add runs under other schedules");
}

/* Rows that are not independent make every interval too narrow (bootstrap by row). */
static void judge_rows(fit_result *r)
{
    double share = r->n_points ? (double)r->points.n_repeated / (double)r->n_points : 0;
    if (share > REPEATED)
        fit_trust_add(&r->trust, FIT_WARN, "dependent_rows", share,
                      "%zu of %zu rows are copies of others or share a run with them: intervals by row are too narrow; give --cluster run, or each run once",
                      r->points.n_repeated, r->n_points);
    if (r->points.units[0]) fit_trust_add(&r->trust, FIT_WARN, "convention_unstated", NAN, "%s", r->points.units);
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
        judge_bounds(r, law);
        judge_tests(r, law, ev);
        judge_rows(r);
        judge_holdout(r, ev);
        judge_backtest(r);
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
