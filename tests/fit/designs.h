/* For every law of the table: a box of truths that holds the published values, and rows like those it was published on. */
#ifndef TESTS_FIT_DESIGNS_H
#define TESTS_FIT_DESIGNS_H
#include "tests/fit/synthetic.h"

typedef struct design {
    const char *law, *x;                            /* x: the column of --x */
    double lo[FIT_MAX_PARAMS], hi[FIT_MAX_PARAMS];  /* of the actual; positive boxes are drawn in logs */
    void (*rows)(fit_data *d);
} design;

static inline double *more_column(fit_data *d, const char *name)
{
    fit_column *c = &d->more[d->n_more++];
    snprintf(c->name, sizeof c->name, "%s", name);
    return c->x = malloc((d->n + 1) * sizeof(double));
}

/* N and D crossed, with the spread of the Chinchilla points. */
static inline void rows_nd(fit_data *d)
{
    data_alloc(d, 12 * 11);
    for (size_t i = 0; i < d->n; i++) {
        d->N[i] = 5.7e7 * pow(280, (double)(i / 11) / 11);
        d->D[i] = 2.45e8 * pow(1290, (double)(i % 11) / 10);
        d->C[i] = 6 * d->N[i] * d->D[i];
    }
}

static inline void rows_x(fit_data *d)
{
    data_alloc(d, 24);
    d->x = malloc((d->n + 1) * sizeof(double));
    snprintf(d->x_name, sizeof d->x_name, "C");
    for (size_t i = 0; i < d->n; i++) d->x[i] = d->C[i] = 1.3e17 * pow(3, (double)i / 2), d->N[i] = d->D[i] = NAN;
}

/* Sizes x unique tokens x epochs, as in datablations: half the rows without repetition. */
static inline void rows_ndu(fit_data *d)
{
    static const double epochs[] = {.4, 1, 2, 5, 11, 30, 80};
    data_alloc(d, 6 * 5 * 7);
    double *u = more_column(d, "U");
    for (size_t i = 0; i < d->n; i++) {
        d->N[i] = 7.1e6 * pow(1220, (double)(i / 35) / 5);
        u[i] = 1e8 * pow(1700, (double)(i / 7 % 5) / 4);
        d->D[i] = u[i] * epochs[i % 7];
        d->C[i] = 6 * d->N[i] * d->D[i];
    }
}

static inline void rows_nm(fit_data *d)
{
    rows_nd(d);
    double *m = more_column(d, "M");
    for (size_t i = 0; i < d->n; i++) m[i] = d->D[i] / d->N[i];
}

static inline void rows_du(fit_data *d)
{
    data_alloc(d, 6 * 14);
    double *u = more_column(d, "U");
    for (size_t i = 0; i < d->n; i++) {
        u[i] = 12.8 * pow(2, (double)(i / 14));
        d->D[i] = u[i] * .3 * pow(1.45, (double)(i % 14));
        d->N[i] = d->C[i] = NAN;
    }
}

static inline void rows_loss(fit_data *d)
{
    data_alloc(d, 20);
    double *l = more_column(d, "loss");
    for (size_t i = 0; i < d->n; i++) l[i] = 2.05 + .113 * (double)i, d->N[i] = d->D[i] = d->C[i] = NAN;
}

static inline void rows_bits(fit_data *d)
{
    data_alloc(d, 360);
    double *w = more_column(d, "P_w"), *a = more_column(d, "P_a"), *kv = more_column(d, "P_kv");
    for (size_t i = 0; i < d->n; i++) {
        d->N[i] = 3e7 * pow(7.3, (double)(i % 4) / 3);
        d->D[i] = 1.5e9 * pow(17, (double)(i / 4 % 5) / 4);
        w[i] = 3 + (double)(i * 7 % 10);
        a[i] = 5 + (double)(i * 3 % 8);
        kv[i] = 4 + (double)(i * 5 % 9) + .5 * (double)(i % 2);
        d->C[i] = 6 * d->N[i] * d->D[i];
    }
}

static inline void rows_post(fit_data *d)
{
    rows_nd(d);
    double *p = more_column(d, "P_post");
    for (size_t i = 0; i < d->n; i++) p[i] = 3 + (double)(i * 5 % 6);
}

static inline void rows_sparse(fit_data *d)
{
    static const double s[] = {0, .5, .75, .875};
    data_alloc(d, 4 * 4 * 4);
    double *share = more_column(d, "S");
    for (size_t i = 0; i < d->n; i++) {
        share[i] = s[i % 4];
        d->N[i] = .66 * pow(11, (double)(i / 4 % 4));
        d->D[i] = 2.5 * pow(2, (double)(i / 16));
        d->C[i] = NAN;
    }
}

static const design designs[] = {
    {"chinchilla", NULL, {1.5, 200, 300, .25, .25}, {2, 900, 4000, .45, .45}, rows_nd},
    {"power", "C", {1.5, 300, .1}, {2, 3000, .2}, rows_x},
    {"kaplan", NULL, {3e13, 1e13, .06, .08}, {1e14, 6e13, .09, .12}, rows_nd},
    {"data-constrained", NULL, {1.6, 300, 700, .3, .3, 4, 3}, {2, 800, 3000, .42, .42, 40, 12}, rows_ndu},
    {"overtraining", NULL, {1.5, 100, 200, -.45}, {2, 900, 3000, -.25}, rows_nm},
    {"filtering", NULL, {1e-4, .05, 1, .05}, {2e-2, .5, 10, .3}, rows_du},
    {"precision", NULL, {2.2, 2000, 9000, .42, .42, 2, .1, 1.8, .9, .8, 1.6}, {3, 6000, 3e4, .55, .55, 3, .5, 2.4, 1.5, 1.2, 2.6}, rows_bits},
    {"ptq", NULL, {.03, .4, .25, .5}, {.09, .6, .45, .8}, rows_post},
    {"sparsity", NULL, {.4, .5, 1.1, .18, .4, .15, .5}, {.8, .9, 1.9, .32, .9, .3, .8}, rows_sparse},
    {"downstream", NULL, {.7, .8, .5}, {.95, 1.6, 1.2}, rows_loss},
    {"lr-power", NULL, {.5, -.9, .1}, {4, -.3, .5}, rows_nd},
    {"lr-power-x", "C", {.1, -.4}, {2, -.05}, rows_x},
    {"batch-power", NULL, {.2, -.1, .4}, {2, .2, .8}, rows_nd},
    {"batch-power-x", "C", {.1, .2}, {2, .45}, rows_x},
};
enum { N_DESIGNS = sizeof designs / sizeof *designs };

static inline const design *design_of(const char *law)
{
    for (size_t i = 0; i < N_DESIGNS; i++)
        if (!strcmp(designs[i].law, law)) return &designs[i];
    return NULL;
}

static inline void draw_truth(double *v, const design *q, size_t n_params, uint64_t seed)
{
    for (size_t j = 0; j < n_params; j++) {
        double u = rng_uniform(seed, RNG_TEST, 20, j), lo = q->lo[j], hi = q->hi[j];
        v[j] = lo > 0 ? lo * pow(hi / lo, u) : lo + (hi - lo) * u;
    }
}

/* Rows of the design with exact values, times log-normal noise. */
static inline void design_data(fit_data *d, const design *q, const double *actual, double noise, uint64_t seed)
{
    const fit_law *law = fit_law_find(q->law, NULL);
    fit_model m;
    q->rows(d);
    if (law->target) snprintf(d->target, sizeof d->target, "%s", law->target);
    if (fit_model_init(&m, law, NULL, NULL)) return;
    for (size_t i = 0; i < d->n; i++) {
        double x[FIT_MAX_COLS];
        for (size_t c = 0; c < law->n_cols; c++) x[c] = fit_data_column(d, law->cols[c])[i];
        d->y[i] = fit_model_value(&m, actual, x) * exp(noise * rng_normal(seed, RNG_TEST, 21, i));
    }
    fit_model_free(&m);
}
#endif
