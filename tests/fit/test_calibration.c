/* Do the 95 % predictive intervals hold a new run 95 % of the time? Synthetic chinchilla laws with noise, a sweep as small as
 * the quickstart's, the real fit with its bootstrap, a target at 4x the largest compute. `check` runs a few trials,
 * `check-long` the same file compiled with CALIBRATION_TRIALS. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/fit.h"
#include "fit/predict.h"

#ifndef CALIBRATION_TRIALS
#define CALIBRATION_TRIALS 8
#endif
enum { MAX_ROWS = 64, TRIALS = CALIBRATION_TRIALS, IS_LONG = TRIALS >= 100, DRAWS = IS_LONG ? 300 : 100 };

typedef struct world { double theta[5], noise; int n_sizes, n_tokens; double n0, d0, n_factor, d_factor; } world;

/* Sweeps as people run them: a grid of sizes and budgets. */
static const world worlds[] = {
    {{1.217, 41.3, 183.1, .3027, .3611}, .004, 5, 4, 3e4, 4e5, 2.2, 2.3},
    {{1.731, 12.9, 64.7, .2513, .2884}, .002, 4, 4, 5e4, 1e6, 2.5, 2.0},
    {{0.913, 75.2, 391., .3391, .3977}, .008, 6, 5, 2e4, 5e5, 2.0, 2.0},
};
enum { N_WORLDS = sizeof worlds / sizeof *worlds };

static double truth(const world *w, double n, double d)
{
    return w->theta[0] + w->theta[1] * pow(n, -w->theta[3]) + w->theta[2] * pow(d, -w->theta[4]);
}

static double make_sweep(fit_data *data, double columns[4][MAX_ROWS], const world *w, uint64_t seed)
{
    double largest = 0;
    memset(data, 0, sizeof *data);
    data->N = columns[0], data->D = columns[1], data->C = columns[2], data->y = columns[3];
    for (int i = 0; i < w->n_sizes; i++)
        for (int k = 0; k < w->n_tokens; k++) {
            size_t at = data->n++;
            data->N[at] = w->n0 * pow(w->n_factor, i);
            data->D[at] = w->d0 * pow(w->d_factor, k);
            data->C[at] = 6 * data->N[at] * data->D[at];
            data->y[at] = truth(w, data->N[at], data->D[at]) * exp(w->noise * rng_normal(seed, RNG_TEST, 1, at));
            largest = fmax(largest, data->C[at]);
        }
    snprintf(data->count_rule, sizeof data->count_rule, "total");
    snprintf(data->flops_rule, sizeof data->flops_rule, "6N");
    data->seed_sd = NAN;
    return largest;
}

/* What predict_fit_read takes from the file, straight from the result. */
static predict_law law_of(const fit_result *r)
{
    predict_law law;
    cr_assert_eq(predict_law_init(&law, fit_law_find("chinchilla", NULL), NULL), ST_OK);
    law.residual_sd = r->residual_sd, law.seed_sd = r->seed_sd;
    law.n_points = r->n_points, law.n_params = 5, law.n_draws = r->boot_ok;
    law.draws = calloc(r->boot_ok * FIT_MAX_PARAMS + 1, sizeof *law.draws);
    cr_assert(law.draws);
    static const char *const names[] = {"E", "A", "B", "alpha", "beta"};
    for (int k = 0; k < 5; k++) {
        int at = -1;
        for (size_t j = 0; j < r->n_params; j++)
            if (!strcmp(r->names[j], names[k])) at = (int)j;
        cr_assert(at >= 0);
        law.theta[k] = isnan(r->params[at].value) ? r->params[at].raw : r->params[at].value;
        for (size_t b = 0; b < r->boot_ok; b++) law.draws[b * FIT_MAX_PARAMS + (size_t)k] = r->samples[b * r->n_params + (size_t)at];
    }
    return law;
}

typedef struct tally { int n, hit, refused; double width; } tally;

/* `narrow` is the negative twin: half a noise sd on each side, no uncertainty of the law. */
static void one(tally *t, tally *narrow, const world *w, uint64_t seed)
{
    static const predict_cost six = {.k = 6};
    double columns[4][MAX_ROWS];
    fit_data data;
    fit_result r;
    predict_result p;
    err e = {0};
    predict_ask ask = predict_ask_nothing();
    ask.c = 4 * make_sweep(&data, columns, w, seed);
    fit_opts o = fit_opts_default(fit_law_find("chinchilla", &e));
    o.bootstrap = DRAWS;
    o.seed = seed;
    cr_assert_eq(fit_run(&r, &data, &o, &e), ST_OK, "%s", e.msg);
    predict_law law = law_of(&r);
    t->refused += r.trust.verdict == FIT_REFUSE;
    if (r.trust.verdict != FIT_REFUSE && predict_run(&p, &law, &six, &ask, seed, &e) == ST_OK) { /* refused: no interval to judge */
        double run = truth(w, p.at.n, p.at.d) * exp(w->noise * rng_normal(seed, RNG_TEST, 2, 0));
        narrow->hit += p.at.loss * exp(-p.noise_sd / 2) <= run && run <= p.at.loss * exp(p.noise_sd / 2);
        narrow->n++;
        t->n++;
        t->hit += p.pi_loss.lo <= run && run <= p.pi_loss.hi;
        t->width += (p.pi_loss.hi - p.pi_loss.lo) / 2;
    }
    predict_law_free(&law);
    fit_result_free(&r);
}

/* Over all worlds 88 to 99 %, in each at least 88: what so many trials of a true 95 % give, and then some. Bootstrap under a
 * nearly least-absolute objective is about 1.2 times too wide in samples of 16 to 30 rows, hence rather 97 than 95. */
Test(calibration, predictive_interval_at_four_times_the_compute, .timeout = 1800)
{
    tally all = {0}, narrow = {0};
    for (size_t k = 0; k < N_WORLDS; k++) {
        tally t = {0};
        for (int i = 0; i < TRIALS; i++) one(&t, &narrow, &worlds[k], 1000 * (k + 1) + (uint64_t)i);
        printf("world %zu: %d of %d runs inside, mean half-width %.4f nats, %d fits refused\n", k, t.hit, t.n, t.width / fmax(t.n, 1), t.refused);
        cr_assert(t.n >= TRIALS / 2, "world %zu: %d of %d fits refused", k, t.refused, TRIALS);
        if (IS_LONG) cr_assert(t.hit >= 0.88 * t.n, "world %zu: %d of %d", k, t.hit, t.n);
        all.n += t.n, all.hit += t.hit;
    }
    if (IS_LONG) cr_assert(all.hit <= 0.99 * all.n, "%d of %d: intervals that always hold say nothing", all.hit, all.n);
    cr_assert(all.hit >= 0.88 * all.n, "%d of %d", all.hit, all.n);
    cr_assert(narrow.hit < 0.7 * narrow.n, "an interval of half a noise sd holds %d of %d: this test could not fail", narrow.hit, narrow.n);
}
