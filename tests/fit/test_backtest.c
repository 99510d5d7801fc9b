/* The rolling back-test and the profiles: on a clean law they say so, on a law that bends they do not. */
#include <criterion/criterion.h>
#include <math.h>

#include "fit/problem.h"
#include "tests/fit/designs.h"

static void fit(fit_result *r, const fit_data *d, const char *law, bool rolling)
{
    err e = {0};
    fit_opts o = fit_opts_default(fit_law_find(law, NULL));
    o.bootstrap = 100;
    o.rolling = rolling;
    o.profile = !rolling;
    cr_assert_eq(fit_run(r, d, &o, &e), ST_OK, "%s", e.msg);
}

Test(backtest, folds_are_nested_and_count_every_larger_row)
{
    fit_data d;
    fit_result r;
    grid_data(&d, &plain_truth, 9, 9, 2.5, .003, 11);
    fit(&r, &d, "chinchilla", true);
    cr_assert_geq(r.n_folds, 3);
    double inside = 0, n = 0;
    for (size_t k = 0; k < r.n_folds; k++) {
        const fit_fold *f = &r.folds[k];
        size_t larger = 0;
        for (size_t i = 0; i < d.n; i++) larger += d.C[i] > f->cut;
        cr_assert_eq(f->n_test, larger);
        cr_assert_eq(f->n_train + f->n_test, d.n);
        if (k) cr_assert_gt(f->cut, r.folds[k - 1].cut);
        for (size_t i = 0; i < f->n_test; i++) cr_assert_gt(f->rows[i].C, f->cut);
        inside += f->covered * (double)f->n_test, n += (double)f->n_test;
    }
    cr_assert_gt(inside / n, .8, "%g", inside / n);
    cr_assert_not(has_reason(&r, "holdout_error"));
    fit_result_free(&r);
    fit_data_free(&d);
}

/* Losses that level off above what the law says: small scales do not know, large ones are missed. */
Test(backtest, a_law_that_bends_is_found_out)
{
    fit_data d;
    fit_result r;
    grid_data(&d, &plain_truth, 9, 9, 2.5, .001, 12);
    for (size_t i = 0; i < d.n; i++) d.y[i] *= 1 + .08 * pow(log(d.C[i] / d.C[0]) / log(d.C[d.n - 1] / d.C[0]), 8);
    fit(&r, &d, "chinchilla", true);
    cr_assert(has_reason(&r, "holdout_error"));
    cr_assert_lt(r.folds[0].bias, -.005, "%g", r.folds[0].bias); /* predicted too low */
    fit_result_free(&r);
    fit_data_free(&d);
}

/* ln L against the Gaussian in closed form, and AIC, BIC by hand. */
Test(likelihood, gaussian_by_hand)
{
    fit_data d;
    fit_result r;
    err e = {0};
    power_data(&d, 1.71, 913, .27, 40, .01, 13);
    fit_opts o = fit_opts_default(fit_law_find("power", NULL));
    o.objective = fit_objective_find("mse-log", NULL);
    o.bootstrap = 0;
    cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
    double s2 = r.objective_value / 40, l = -20 * (log(2 * M_PI * s2) + 1);
    cr_assert_float_eq(r.log_likelihood, l, 1e-9);
    cr_assert_float_eq(r.scale, sqrt(s2), 1e-12);
    cr_assert_float_eq(r.aic, 8 - 2 * l, 1e-9);
    cr_assert_float_eq(r.bic, 4 * log(40) - 2 * l, 1e-9);
    fit_result_free(&r);
    fit_data_free(&d);
}

/* For a law that is linear in its one parameter the profile is a parabola: the interval is +-1.96 standard errors (known scale aside:
 * n/2 ln(1 + t^2/(n-1)) = 1.92). */
Test(profile, of_a_linear_law_is_known)
{
    enum { N = 60 };
    fit_data d;
    fit_result r;
    err e = {0};
    data_alloc(&d, N);
    d.x = malloc(N * sizeof(double));
    snprintf(d.x_name, sizeof d.x_name, "C");
    double sum = 0, square = 0;
    for (size_t i = 0; i < N; i++) {
        double noise = .02 * rng_normal(5, RNG_TEST, 30, i);
        d.x[i] = d.C[i] = pow(10, 17 + .05 * (double)i), d.N[i] = d.D[i] = NAN;
        d.y[i] = .31 * pow(d.x[i], -.125) * exp(noise);
        sum += noise, square += noise * noise;
    }
    snprintf(d.target, sizeof d.target, "lr");
    fit_opts o = fit_opts_default(fit_law_find("lr-power-x", NULL));
    o.objective = fit_objective_find("mse-log", NULL);
    o.bootstrap = 0;
    o.profile = true;
    cr_assert_eq(fit_opts_fix(&o, "p=-0.125", &e), ST_OK);
    cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
    double mean = sum / N, s2 = (square - N * mean * mean) / N, half = sqrt(s2 * (exp(2 * 1.920729 / N) - 1));
    cr_assert_eq(r.n_profiles, 1);
    cr_assert_float_eq(log(r.profiles[0].hi / .31), mean + half, 1e-6);
    cr_assert_float_eq(log(r.profiles[0].lo / .31), mean - half, 1e-6);
    for (int k = 0; k < FIT_PROFILE_POINTS; k++) cr_assert_leq(r.profiles[0].log_likelihood[k], r.log_likelihood + 1e-9);
    fit_result_free(&r);
    fit_data_free(&d);
}

/* What the data do not bound is unbounded: an E that may be anything below the losses. */
Test(profile, of_an_unidentified_floor_is_open_below)
{
    fit_data d;
    fit_result r;
    power_data(&d, .02, 30, .12, 12, .01, 14);
    fit(&r, &d, "power", false);
    bool seen = false;
    for (size_t k = 0; k < r.n_profiles; k++)
        if (!strcmp(r.names[r.profiles[k].param], "E")) {
            seen = true;
            cr_assert(isnan(r.profiles[k].lo));
        }
    cr_assert(seen || !r.n_profiles);
    cr_assert(has_reason(&r, "floor_unidentified"));
    fit_result_free(&r);
    fit_data_free(&d);
}
