/* What intervals rest on: the sandwich, profiles of predictions, one noise for held-out rows, --at and predict, scales of a back-test. */
#include <criterion/criterion.h>
#include <math.h>

#include "fit/predict.h"
#include "fit/predictive.h"
#include "fit/sandwich.h"
#include "tests/fit/designs.h"

/* --- sandwich ---------------------------------------------------------------------------------------------- */

enum { ROWS = 4000 };

/* lr = c x^p with residuals of `shape`, each row standing there `copies` times as one cluster. */
enum { NORMAL, LAPLACE, UNEQUAL };
static void straight_line(fit_data *d, int shape, size_t copies, uint64_t seed)
{
    data_alloc(d, ROWS);
    d->x = malloc((ROWS + 1) * sizeof(double));
    d->cluster = copies > 1 ? calloc(ROWS, sizeof *d->cluster) : NULL;
    snprintf(d->x_name, sizeof d->x_name, "C");
    snprintf(d->target, sizeof d->target, "lr");
    for (size_t i = 0; i < ROWS; i++) {
        size_t own = i / copies;
        double z = rng_normal(seed, RNG_TEST, 40, own), u = rng_uniform(seed, RNG_TEST, 41, own) - .5;
        double far = (double)own * (double)copies / ROWS; /* 0 to 1 */
        double r = shape == LAPLACE ? -copysign(log(1 - 2 * fabs(u)), u) / sqrt(2) : shape == UNEQUAL ? z * (.2 + 6 * fabs(far - .5)) : z;
        d->x[i] = d->C[i] = pow(10, 17 + 4 * far), d->N[i] = d->D[i] = NAN;
        d->y[i] = .31 * pow(d->x[i], -.125) * exp(.02 * r);
        if (d->cluster) d->cluster[i] = (uint32_t)own;
    }
}

/* Inflation of ln c with p pinned (v = 1) or of p. */
static double inflation(const char *objective, int shape, size_t copies, bool of_p)
{
    fit_data d;
    fit_result r;
    fit_problem p;
    fit_sandwich w;
    err e = {0};
    double phi[2], natural[2], v[2] = {0};
    straight_line(&d, shape, copies, 7);
    fit_opts o = fit_opts_default(fit_law_find("lr-power-x", NULL));
    o.objective = fit_objective_find(objective, NULL);
    o.bootstrap = 0;
    if (!of_p) cr_assert_eq(fit_opts_fix(&o, "p=-0.125", &e), ST_OK);
    cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
    for (int j = 0; j < 2; j++) natural[j] = r.params[j].value;
    cr_assert_eq(fit_problem_init(&p, &d, &o, &e), ST_OK);
    fit_problem_phi(&p, phi, natural);
    cr_assert_eq(fit_sandwich_make(&w, &p, phi, d.cluster, &e), ST_OK);
    v[of_p] = 1;
    double c = fit_sandwich_inflation(&w, v);
    fit_problem_free(&p);
    fit_result_free(&r);
    fit_data_free(&d);
    return c;
}

Test(sandwich, known_inflations)
{
    static const struct { const char *objective; int shape; size_t copies; double c; } rows[] = {
        {"huber-log", NORMAL, 1, M_PI / 2},    {"huber-log", LAPLACE, 1, 1},        {"mse-log", NORMAL, 1, 1},
        {"huber-log", NORMAL, 5, 5 * M_PI / 2}, {"huber-log", LAPLACE, 5, 5},        {"mse-log", NORMAL, 5, 5},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        double c = inflation(rows[k].objective, rows[k].shape, rows[k].copies, false);
        cr_expect_float_eq(c / rows[k].c, 1, .12, "%s, shape %d, %zu copies: %.3f for %.3f", rows[k].objective, rows[k].shape, rows[k].copies, c,
                           rows[k].c);
    }
}

/* Two clusters and two coordinates: no number rather than a small one. */
Test(sandwich, too_few_clusters)
{
    cr_assert(isnan(inflation("huber-log", NORMAL, ROWS / 2, true)));
    cr_assert(!isnan(inflation("huber-log", NORMAL, ROWS / 20, true)));
}

/* Noisy ends of a straight line: the slope hangs on the worst rows, which no single scale tells. For squares c = sum x^2 s^2 / (s2 sum x^2). */
Test(sandwich, unequal_rows)
{
    double above = 0, spread = 0, square = 0;
    for (size_t i = 0; i < ROWS; i++) {
        double far = (double)i / ROWS - .5, s = .2 + 6 * fabs(far);
        above += far * far * s * s, square += far * far, spread += s * s / ROWS;
    }
    double c = inflation("mse-log", UNEQUAL, 1, true), want = above / square / spread;
    cr_assert_gt(want, 1.5);
    cr_assert_float_eq(c / want, 1, .12, "%.3f for %.3f", c, want);
    cr_assert_gt(inflation("huber-log", UNEQUAL, 1, true), 1.2 * inflation("huber-log", NORMAL, 1, true));
}

/* --- profile of a prediction ------------------------------------------------------------------------------ */


/* Chinchilla written with its prediction P at (5e9, 3e11) in place of E: the profile of P there is that of the prediction here. */
Test(profile, of_a_prediction_is_that_of_a_law_written_with_it)
{
    static const char *const cols[] = {"N", "D"};
    double at[1][FIT_MAX_COLS] = {{5e9, 3e11}};
    fit_data d;
    fit_result plain, written;
    fit_law *law;
    err e = {0};
    grid_data(&d, &plain_truth, 8, 8, 2.5, .004, 21);
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 0, o.profile = true, o.n_at = 1, o.at = at;
    cr_assert_eq(fit_run(&plain, &d, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(fit_law_typed(&law, "P + A*(N^-alpha - 5e9^-alpha) + B*(D^-beta - 3e11^-beta)", cols, 2, &e), ST_OK, "%s", e.msg);
    o = fit_opts_default(law);
    o.bootstrap = 0, o.profile = true;
    cr_assert_eq(fit_run(&written, &d, &o, &e), ST_OK, "%s", e.msg);
    const fit_profile *a = &plain.asked[0].profile, *b = NULL;
    for (size_t k = 0; k < written.n_profiles; k++)
        if (!strcmp(written.names[written.profiles[k].param], "P")) b = &written.profiles[k];
    cr_assert(b && plain.asked[0].profiled);
    cr_assert_float_eq(plain.asked[0].predicted, param(&written, "P"), 1e-6);
    double half = (b->hi - b->lo) / 2;
    cr_assert_float_eq(a->lo, b->lo, 2e-3 * half, "%.9g %.9g", a->lo, b->lo);
    cr_assert_float_eq(a->hi, b->hi, 2e-3 * half, "%.9g %.9g", a->hi, b->hi);
    cr_assert_float_eq(a->inflation / b->inflation, 1, 1e-3, "%g %g", a->inflation, b->inflation);
    cr_assert_float_eq(a->robust_hi, b->robust_hi, 4e-3 * half);
    cr_assert(a->robust_lo < a->lo && a->robust_hi > a->hi);
    for (int k = 0; k < FIT_PROFILE_POINTS; k++) { /* of the data alone, without the row that holds the prediction */
        cr_assert_geq(a->objective[k], plain.objective_value * (1 - 1e-9));
        cr_assert_leq(a->objective[k], plain.objective_value * 1.2, "%d: %g", k, a->objective[k]);
        if (k) cr_assert_gt(a->value[k], a->value[k - 1]);
    }
    cr_assert_float_eq(a->objective[FIT_PROFILE_POINTS / 2] / plain.objective_value, 1, 1e-8);
    fit_result pinned;
    char text[32];
    snprintf(text, sizeof text, "P=%.17g", a->value[2]);
    o.profile = false;
    cr_assert_eq(fit_opts_fix(&o, text, &e), ST_OK);
    cr_assert_eq(fit_run(&pinned, &d, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_float_eq(a->objective[2] / pinned.objective_value, 1, 1e-8, "%.12g %.12g", a->objective[2], pinned.objective_value);
    fit_result_free(&pinned);
    fit_result_free(&plain);
    fit_result_free(&written);
    fit_law_typed_free(law);
    fit_data_free(&d);
}

/* --- one noise for all ------------------------------------------------------------------------------------ */

static predict_law law_of(const fit_result *r, const fit_law *law)
{
    predict_law p;
    cr_assert_eq(predict_law_init(&p, law, NULL), ST_OK);
    p.residual_sd = r->residual_sd, p.seed_sd = r->seed_sd;
    p.n_points = r->n_points, p.n_params = r->n_free, p.n_draws = r->boot_ok;
    p.draws = calloc(r->boot_ok * FIT_MAX_PARAMS + 1, sizeof *p.draws);
    cr_assert(p.draws);
    for (size_t j = 0; j < r->n_params; j++) p.theta[j] = r->params[j].value;
    for (size_t b = 0; b < r->boot_ok; b++) memcpy(p.draws + b * FIT_MAX_PARAMS, r->samples + b * r->n_params, r->n_params * sizeof *p.draws);
    return p;
}

/* A prediction that all draws agree on: what is left is the noise, Student's t by the degrees of freedom. */
Test(predictive, noise_by_degrees_of_freedom)
{
    enum { N = 4000 };
    static const struct { size_t n, p; double t; } rows[] = {{8, 5, 3.182}, {15, 5, 2.228}, {240, 5, 1.960}}; /* 97.5 % points */
    static double value[N];
    for (size_t b = 0; b < N; b++) value[b] = 2;
    for (size_t k = 0; k < 3; k++) {
        fit_predictive q;
        double mean[2], run[2];
        cr_assert_eq(fit_predictive_make(&q, .01, rows[k].n, rows[k].p, N, 3, NULL), ST_OK);
        cr_assert_eq(fit_predictive_intervals(mean, run, &q, value, NULL), ST_OK);
        cr_assert(mean[0] == 2 && mean[1] == 2);
        cr_assert_float_eq(log(run[1] / 2) / (.01 * rows[k].t), 1, .06, "%zu: %g", rows[k].n, log(run[1] / 2) / .01);
        cr_assert_float_eq(log(run[0] / 2) / (-.01 * rows[k].t), 1, .06);
        for (size_t b = 39; b < N; b++) value[b] = b % 2 ? NAN : -1; /* 39 answers left */
        cr_assert_eq(fit_predictive_intervals(mean, run, &q, value, NULL), ST_OK);
        cr_assert(isnan(mean[0]) && isnan(run[1]));
        for (size_t b = 0; b < N; b++) value[b] = 2;
        fit_predictive_free(&q);
    }
    cr_assert_float_eq(fit_predictive_sd(.01, NAN, 20, 5), .01 * sqrt(20. / 15), 1e-12);
    cr_assert_float_eq(fit_predictive_sd(.01, .03, 20, 5), .03, 1e-12);
    cr_assert_float_eq(fit_predictive_sd(.01, .03, 5, 5), .03, 1e-12);
    cr_assert(isnan(fit_predictive_sd(.01, NAN, 5, 5)));
}

/* The same point as a held-out row, by --at and by predict: the same numbers. With and without a degree of freedom pinned. */
Test(predictive, held_out_row_at_and_predict_say_the_same)
{
    for (int pinned = 0; pinned < 2; pinned++) {
        double at[1][FIT_MAX_COLS];
        fit_data d;
        fit_result r;
        predict_result p;
        err e = {0};
        grid_data(&d, &plain_truth, 4, 5, 2.5, .004, 22); /* few: Student's t and the widening count */
        d.held_out = calloc(d.n, sizeof *d.held_out);
        d.held_out[d.n - 1] = true;
        d.seed_sd = .002;
        at[0][0] = d.N[d.n - 1], at[0][1] = d.D[d.n - 1];
        fit_opts o = fit_opts_default(fit_laws[0]);
        o.bootstrap = 200, o.seed = 5, o.n_at = 1, o.at = at;
        if (pinned) cr_assert_eq(fit_opts_fix(&o, "beta=0.3617", &e), ST_OK);
        cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
        cr_assert_eq(r.n_free, (size_t)(pinned ? 4 : 5));
        predict_law law = law_of(&r, fit_laws[0]);
        predict_point q = {.n = at[0][0], .d = at[0][1], .c = 6 * at[0][0] * at[0][1]};
        cr_assert_eq(predict_at(&p, &law, &q, 5, &e), ST_OK, "%s", e.msg);
        const fit_asked *a = &r.asked[0];
        cr_assert(p.ci_loss.lo < a->predicted && a->predicted < p.ci_loss.hi && p.pi_loss.lo < p.ci_loss.lo && p.pi_loss.hi > p.ci_loss.hi);
        cr_assert_float_eq(a->ci[0], p.ci_loss.lo, 1e-12);
        cr_assert_float_eq(a->ci[1], p.ci_loss.hi, 1e-12);
        cr_assert_float_eq(a->pi[0], p.pi_loss.lo, 1e-12);
        cr_assert_float_eq(a->pi[1], p.pi_loss.hi, 1e-12);
        cr_assert_float_eq(r.holdout[0].predicted, a->predicted, 1e-12);
        cr_assert_float_eq(r.holdout[0].lo, a->pi[0], 1e-9);
        cr_assert_float_eq(r.holdout[0].hi, a->pi[1], 1e-9);
        predict_law_free(&law);
        fit_result_free(&r);
        fit_data_free(&d);
    }
}

/* --- points of --at ----------------------------------------------------------------------------------------- */

Test(at, texts)
{
    static const struct { const char *law, *x, *text, *says; double first, second; } rows[] = {
        {"chinchilla", "", "N=1.5e9,D=3e10", NULL, 1.5e9, 3e10},
        {"chinchilla", "", "D=3e10,N=1.5e9", NULL, 1.5e9, 3e10},
        {"overtraining", "", "N=2e9,D=5e10", NULL, 2e9, 25}, /* M = D/N */
        {"overtraining", "", "N=2e9,M=40", NULL, 2e9, 40},
        {"power", "D", "D=3e10", NULL, 3e10, NAN},
        {"power", "D", "x=3e10", NULL, 3e10, NAN},
        {"chinchilla", "", "N=1e9", "without D", 0, 0},
        {"chinchilla", "", "N=1e9,D=2e9,N=3e9", "given twice", 0, 0},
        {"chinchilla", "", "N=1e9,D=-2e9", "above 0", 0, 0},
        {"chinchilla", "", "N=1e9,D=2e9,C=1", "no column C", 0, 0},
        {"chinchilla", "", "N=1e9,D=many", "'many' is not", 0, 0},
        {"chinchilla", "", "N,D", "no value", 0, 0},
        {"chinchilla", "", "", "no value", 0, 0},
        {"overtraining", "", "D=5e10,M=40", "without N", 0, 0},
        {"multi-power", "", "step=4", "whole curves", 0, 0},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        err e = {0};
        double x[FIT_MAX_COLS];
        const fit_law *law = fit_law_find(rows[k].law, NULL);
        status s = fit_at_parse(x, law, rows[k].x, rows[k].text, &e);
        cr_assert_eq(s, rows[k].says ? ST_USAGE : ST_OK, "'%s': %s", rows[k].text, e.msg);
        if (rows[k].says) {
            cr_assert(strstr(e.msg, rows[k].says), "'%s': %s", rows[k].text, e.msg);
            continue;
        }
        cr_assert_float_eq(x[0], rows[k].first, 1e-9 * rows[k].first);
        if (!isnan(rows[k].second)) cr_assert_float_eq(x[1], rows[k].second, 1e-9 * rows[k].second);
    }
}

/* A refused fit answers inside its data only. */
Test(at, refused_beyond_the_data)
{
    double at[2][FIT_MAX_COLS] = {{3e8, 9e9}, {3e8, 9e12}};
    fit_data d;
    fit_result r;
    err e = {0};
    truth t = plain_truth;
    t.E = 1e-9;
    grid_data(&d, &t, 6, 6, 2, .003, 1);
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 100, o.n_at = 2, o.at = at;
    cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(r.trust.verdict, FIT_REFUSE);
    cr_assert_float_eq(r.asked[0].predicted / true_loss(&t, 3e8, 9e9), 1, .01);
    cr_assert(isnan(r.asked[1].predicted) && isnan(r.asked[1].ci[0]) && isnan(r.asked[1].pi[1]));
    cr_assert_eq(r.asked[0].decades, 0);
    cr_assert_float_eq(r.asked[1].decades, log10(9e12 / 5e10), 1e-9);
    fit_result_free(&r);
    fit_data_free(&d);
}

/* --- back-test by how far beyond ------------------------------------------------------------------------- */

Test(backtest, rows_are_sorted_by_how_far_beyond_they_lie)
{
    fit_scored first[] = {{.size = 1.5e19, .y = 2, .predicted = 2.02, .lo = 1.9, .hi = 2.1}, {.size = 9e19, .y = 2, .predicted = 1.9, .lo = 1.8, .hi = 1.99}};
    fit_scored second[] = {{.size = 2e20, .y = 4, .predicted = 4.04, .lo = NAN, .hi = NAN}};
    fit_result r = {.n_folds = 2, .folds = {{.cut = 1e19, .n_test = 2, .rows = first}, {.cut = 1e20, .n_test = 1, .rows = second}}};
    fit_beyond b[FIT_MAX_BEYOND];
    cr_assert_eq(fit_backtest_beyond(b, &r), 2);
    cr_assert(b[0].from == 0 && b[0].to == .5 && b[0].n == 2);
    cr_assert_float_eq(b[0].mean, .01, 1e-12);
    cr_assert_float_eq(b[0].covered, 1, 1e-12); /* the one without interval does not count */
    cr_assert(b[1].from == .5 && b[1].to == 1 && b[1].n == 1);
    cr_assert_float_eq(b[1].bias, -.05, 1e-12);
    cr_assert_float_eq(b[1].max, .05, 1e-12);
    cr_assert_eq(b[1].covered, 0);
    r.folds[0].n_test = r.folds[1].n_test = 1;
    first[0].size = 1e30; /* further than any step */
    cr_assert_eq(fit_backtest_beyond(b, &r), 2);
    cr_assert(isinf(b[1].to) && b[1].n == 1);
}
