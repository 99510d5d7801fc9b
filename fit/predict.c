/* Intervals of what a law answers; the learning rate of a width. */
#include "fit/predict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/predictive.h"

enum {
    MIN_DRAWS = 40, /* fewer have no 2.5 % point */
    N_ASKED = 6     /* N, D, C, D/N, epochs, saving */
};

const char *predict_axis_name(predict_axis a)
{
    static const char *const names[] = {"N", "D", "C"};
    return (unsigned)a < PREDICT_N_AXES ? names[a] : "?";
}

predict_ask predict_ask_nothing(void) { return (predict_ask){NAN, NAN, NAN, NAN, NAN}; }

status predict_law_init(predict_law *out, const fit_law *law, err *e)
{
    *out = (predict_law){.law = law, .x = PREDICT_N_AXES, .unique_tokens = NAN, .residual_sd = NAN, .seed_sd = NAN, .lowest_loss = NAN, .lo_ratio = NAN, .hi_ratio = NAN, .flops_per_param_token = NAN};
    for (size_t c = 0; c < FIT_MAX_COLS; c++) out->given[c] = NAN;
    for (int i = 0; i < PREDICT_N_AXES; i++) out->lo[i] = out->hi[i] = NAN;
    for (size_t j = 0; j < FIT_MAX_PARAMS; j++) out->theta[j] = NAN;
    return fit_model_init(&out->model, law, NULL, e);
}

void predict_law_free(predict_law *law)
{
    if (!law) return;
    fit_model_free(&law->model);
    fit_law_typed_free(law->typed);
    free(law->draws);
    memset(law, 0, sizeof *law);
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static predict_interval percentiles(double *x, size_t n) /* sorts x; +infinity is allowed */
{
    qsort(x, n, sizeof *x, by_number);
    size_t cut = (size_t)(0.025 * (double)n);
    return (predict_interval){x[cut], x[n - 1 - cut]};
}

static predict_interval unknown(void) { return (predict_interval){NAN, NAN}; }

static void extrapolation(predict_result *out, const predict_law *law)
{
    const double at[] = {out->at.n, out->at.d, out->at.c};
    double m = out->at.d / out->at.n;
    out->ratio_decades = isnan(m) || isnan(law->lo_ratio) ? NAN : fmax(0, fmax(log10(m / law->hi_ratio), log10(law->lo_ratio / m)));
    out->extrapolation_decades = 0;
    for (int i = 0; i < PREDICT_N_AXES; i++) {
        out->decades[i] = isnan(law->lo[i]) || isnan(at[i]) ? NAN : fmax(0, fmax(log10(at[i] / law->hi[i]), log10(law->lo[i] / at[i])));
        if (out->decades[i] < 1e-9) out->decades[i] = 0; /* rounding at the data's edge */
        if (out->decades[i] > out->extrapolation_decades) out->extrapolation_decades = out->decades[i];
    }
}

status predict_at(predict_result *out, const predict_law *law, const predict_point *at, uint64_t seed, err *e)
{
    size_t k = law->draws ? law->n_draws : 0;
    fit_predictive noise;
    memset(out, 0, sizeof *out);
    out->at = *at;
    out->ci_n = out->ci_d = out->ci_c = out->ci_tokens_per_param = out->ci_loss = out->pi_loss = unknown();
    out->ci_epochs = out->ci_saving = unknown();
    out->noise_sd = fit_predictive_sd(law->residual_sd, law->seed_sd, law->n_points, law->n_params);
    extrapolation(out, law);
    if (!k) return ST_OK;
    status s = fit_predictive_make(&noise, out->noise_sd, law->n_points, law->n_params, k, seed, e);
    double *value = malloc(k * sizeof *value), ci[2], pi[2];
    if (!s && !value) s = err_set(e, ST_NOMEM, "predict: no memory for %zu draws", k);
    for (size_t b = 0; b < k && !s; b++) value[b] = predict_law_loss(law, law->draws + b * FIT_MAX_PARAMS, at->n, at->d, at->c);
    if (!s) s = fit_predictive_intervals(ci, pi, &noise, value, e);
    if (!s) out->ci_loss = (predict_interval){ci[0], ci[1]}, out->pi_loss = (predict_interval){pi[0], pi[1]};
    fit_predictive_free(&noise);
    free(value);
    return s;
}

status predict_run(predict_result *out, const predict_law *law, const predict_cost *cost, const predict_ask *ask,
                   uint64_t seed, err *e)
{
    predict_point at;
    size_t k = law->n_draws;
    status s = predict_solve(&at, law, law->theta, cost, ask, e);
    if (!s) s = predict_at(out, law, &at, seed, e);
    if (s || !k || !law->draws) return s;
    double *x = malloc(N_ASKED * k * sizeof *x);
    if (!x) return err_set(e, ST_NOMEM, "predict: no memory for %zu draws", k);
    for (size_t b = 0; b < k; b++) {
        predict_point p;
        if (predict_solve(&p, law, law->draws + b * FIT_MAX_PARAMS, cost, ask, NULL)) { /* out of this draw's reach */
            p = (predict_point){.n = INFINITY, .d = INFINITY, .c = INFINITY, .tokens_per_param = INFINITY, .epochs = INFINITY, .total = NAN};
            out->n_unreachable++;
        }
        const double v[N_ASKED] = {p.n, p.d, p.c, p.tokens_per_param, p.epochs, 1 - p.total / p.plain_total};
        for (size_t q = 0; q < N_ASKED; q++) x[q * k + b] = isnan(v[q]) ? INFINITY : v[q];
    }
    out->n_draws = k;
    bool n = isnan(ask->n), d = isnan(ask->d), c = isnan(ask->c) && (n || d);
    const bool wanted[N_ASKED] = {n && !isnan(at.n), d && !isnan(at.d), c && !isnan(at.c), (n || d) && !isnan(at.tokens_per_param),
                                  d && !isnan(at.epochs), !isnan(at.total)};
    predict_interval *of[N_ASKED] = {&out->ci_n, &out->ci_d, &out->ci_c, &out->ci_tokens_per_param, &out->ci_epochs, &out->ci_saving};
    for (size_t q = 0; q < N_ASKED && k >= MIN_DRAWS; q++)
        if (wanted[q]) *of[q] = percentiles(x + q * k, k);
    free(x);
    return ST_OK;
}

status predict_value(double *value, predict_interval *ci, const predict_law *law, const predict_point *at, err *e)
{
    size_t k = law->n_draws;
    *ci = unknown();
    *value = predict_law_loss(law, law->theta, at->n, at->d, at->c);
    if (!isfinite(*value)) return err_set(e, ST_DOMAIN, "law %s gives no number at N %.4g, D %.4g", law->law->name, at->n, at->d);
    if (k < MIN_DRAWS || !law->draws) return ST_OK;
    double *x = malloc(k * sizeof *x);
    if (!x) return err_set(e, ST_NOMEM, "predict: no memory for %zu draws", k);
    for (size_t b = 0; b < k; b++) x[b] = predict_law_loss(law, law->draws + b * FIT_MAX_PARAMS, at->n, at->d, at->c);
    *ci = percentiles(x, k);
    free(x);
    return ST_OK;
}

/* --- learning rate ------------------------------------------------------------------------------- */

void predict_lr_laws_free(predict_lr_laws *l)
{
    if (!l) return;
    for (size_t i = 0; i < l->n; i++) {
        free(l->laws[i].log2_c_draws);
        free(l->laws[i].p_draws);
    }
    free(l->laws);
    memset(l, 0, sizeof *l);
}

status predict_lr_at(predict_lr *out, const predict_lr_laws *laws, const char *parametrisation, double width, err *e)
{
    const predict_lr_law *t = NULL;
    memset(out, 0, sizeof *out);
    out->lr = NAN;
    out->ci = unknown();
    for (size_t i = 0; i < laws->n; i++)
        if (!strcmp(laws->laws[i].parametrisation, parametrisation)) t = &laws->laws[i];
    if (!t) {
        snprintf(out->why, PREDICT_WHY, laws->n ? "the learning-rate fit has no runs of parametrisation '%s'"
                                                : "no learning-rate fit was given (muscale fit --method lr-optimum); asked for '%s'",
                 parametrisation);
        return ST_OK;
    }
    if (!t->known || !(width > 0)) {
        snprintf(out->why, PREDICT_WHY, "%s", !t->known ? t->why : "the target's width is not known; give --config");
        return ST_OK;
    }
    double x = log2(width);
    out->known = true;
    out->lr = exp2(t->log2_c + t->p * x);
    out->octaves_beyond = fmax(0, fmax(log2(width / t->width_hi), log2(t->width_lo / width)));
    snprintf(out->why, PREDICT_WHY, "%s", t->why);
    if (t->n_draws < MIN_DRAWS || !t->p_draws) return ST_OK;
    double *draws = malloc(t->n_draws * sizeof *draws);
    if (!draws) return err_set(e, ST_NOMEM, "predict: no memory for %zu draws", t->n_draws);
    for (size_t b = 0; b < t->n_draws; b++) draws[b] = exp2(t->log2_c_draws[b] + t->p_draws[b] * x);
    out->ci = percentiles(draws, t->n_draws);
    free(draws);
    return ST_OK;
}
