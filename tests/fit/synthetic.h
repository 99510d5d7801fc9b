/* Seeded data sets of known truth, for the tests of fit/. Ours: nothing here was measured. */
#ifndef TESTS_FIT_SYNTHETIC_H
#define TESTS_FIT_SYNTHETIC_H
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "fit/fit.h"

typedef struct truth { double E, A, B, alpha, beta; } truth;
/* Not the published values, and no round numbers. */
static const truth plain_truth = {1.7301, 391.7, 1287.3, .3371, .3617};

static inline void data_alloc(fit_data *d, size_t n)
{
    memset(d, 0, sizeof *d);
    d->n = n;
    d->N = malloc((n + 1) * sizeof(double));
    d->D = malloc((n + 1) * sizeof(double));
    d->C = malloc((n + 1) * sizeof(double));
    d->y = malloc((n + 1) * sizeof(double));
    d->seed_sd = NAN;
    snprintf(d->count_rule, sizeof d->count_rule, "total");
    snprintf(d->flops_rule, sizeof d->flops_rule, "6N");
}

static inline double true_loss(const truth *t, double n, double d)
{
    return t->E + t->A * pow(n, -t->alpha) + t->B * pow(d, -t->beta);
}

/* n_sizes x n_tokens, log-spaced, N from 1e7 over `span` decades, D from 5e8 over `span`; log-normal noise. */
static inline void grid_data(fit_data *d, const truth *t, size_t n_sizes, size_t n_tokens, double span, double noise,
                             uint64_t seed)
{
    data_alloc(d, n_sizes * n_tokens);
    for (size_t i = 0; i < d->n; i++) {
        d->N[i] = 1e7 * pow(10, span * (double)(i / n_tokens) / (double)(n_sizes > 1 ? n_sizes - 1 : 1));
        d->D[i] = 5e8 * pow(10, span * (double)(i % n_tokens) / (double)(n_tokens > 1 ? n_tokens - 1 : 1));
        d->C[i] = 6 * d->N[i] * d->D[i];
        d->y[i] = true_loss(t, d->N[i], d->D[i]) * exp(noise * rng_normal(seed, RNG_TEST, 1, i));
    }
}

/* Budgets of 7 sizes each, centred on `centre` times the true optimum, factor 2 apart. */
static inline void isoflop_data(fit_data *d, const truth *t, size_t n_budgets, double centre, double noise,
                                uint64_t seed)
{
    enum { SIZES = 7 };
    data_alloc(d, n_budgets * SIZES);
    double a = t->beta / (t->alpha + t->beta), g = pow(t->alpha * t->A / (t->beta * t->B), 1 / (t->alpha + t->beta));
    for (size_t i = 0; i < d->n; i++) {
        d->C[i] = 3e18 * pow(4, (double)(i / SIZES));
        d->N[i] = centre * g * pow(d->C[i] / 6, a) * pow(2, (double)(i % SIZES) - (SIZES - 1) / 2.);
        d->D[i] = d->C[i] / (6 * d->N[i]);
        d->y[i] = true_loss(t, d->N[i], d->D[i]) * exp(noise * rng_normal(seed, RNG_TEST, 2, i));
    }
}

static inline void power_data(fit_data *d, double E, double A, double alpha, size_t n, double noise, uint64_t seed)
{
    data_alloc(d, n);
    d->x = malloc((n + 1) * sizeof(double));
    snprintf(d->x_name, sizeof d->x_name, "D");
    for (size_t i = 0; i < n; i++) {
        d->x[i] = d->D[i] = 1e6 * pow(10, 3. * (double)i / (double)(n - 1));
        d->y[i] = (E + A * pow(d->x[i], -alpha)) * exp(noise * rng_normal(seed, RNG_TEST, 3, i));
    }
    free(d->N);
    free(d->C);
    d->N = d->C = NULL;
}

/* Power-law rows of which about a third are far out. */
static inline void heavy_tails(fit_data *d, uint64_t seed)
{
    for (size_t i = 0; i < d->n; i++)
        if (rng_uniform(seed, RNG_TEST, 10, i) < .3) d->y[i] *= exp(.15 * rng_normal(seed, RNG_TEST, 9, i));
}

static inline void permute_losses(fit_data *d, uint64_t seed)
{
    double *old = malloc((d->n + 1) * sizeof *old);
    memcpy(old, d->y, d->n * sizeof *old);
    for (size_t i = 0; i < d->n; i++) d->y[i] = old[rng_permute(i, d->n, seed, RNG_TEST, 4)];
    free(old);
}

static inline bool has_reason(const fit_result *r, const char *code)
{
    for (size_t k = 0; k < r->trust.n; k++)
        if (!strcmp(r->trust.reasons[k].code, code)) return true;
    return false;
}

static inline double param(const fit_result *r, const char *name)
{
    for (size_t j = 0; j < r->n_params; j++)
        if (!strcmp(r->names[j], name)) return isnan(r->params[j].value) ? r->params[j].raw : r->params[j].value;
    return NAN;
}
#endif
