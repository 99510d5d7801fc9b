/* Do 95 % intervals hold the truth 95 % of the time? Exponents, and the prediction at 10 x the largest compute, over seeded repetitions
 * of each law's design. check-long: 400 repetitions x 200 resamples (200 of data-constrained, whose fits are dear), required between 88
 * and 99 % for the laws named so; the others 20 repetitions, printed. With 200 of chinchilla at 2 % noise alpha stood at 0.995, with 800
 * at 0.971: two hundred are too few to judge an upper end of 99 %. In make check: few, printed, and only nonsense fails. */
#include <criterion/criterion.h>
#include <math.h>

#include "fit/problem.h"
#include "tests/fit/designs.h"

#ifndef COVERAGE_TRIALS
#define COVERAGE_TRIALS 6
#endif
enum { DRAWS = 200, FEW = 20 };

typedef struct tally { size_t n, exponent_n[FIT_MAX_PARAMS], exponent_in[FIT_MAX_PARAMS], target_n, target_in, refused; } tally;

static void target_point(double *x, const fit_law *law, const fit_data *d)
{
    size_t scaled = 0;
    for (size_t c = 0; c < law->n_cols; c++) scaled += strlen(law->cols[c]) == 1 && strchr("NDx", law->cols[c][0]);
    for (size_t c = 0; c < law->n_cols; c++) {
        const double *column = fit_data_column(d, law->cols[c]);
        x[c] = 0;
        for (size_t i = 0; i < d->n; i++) x[c] = fmax(x[c], column[i]);
        if (strlen(law->cols[c]) == 1 && strchr("NDx", law->cols[c][0])) x[c] *= pow(10, 1. / (double)scaled);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void one(tally *t, const design *q, double noise, uint64_t seed)
{
    const fit_law *law = fit_law_find(q->law, NULL);
    double actual[FIT_MAX_PARAMS], x[FIT_MAX_COLS], v[DRAWS];
    fit_data d;
    fit_result r;
    fit_model m;
    err e = {0};
    draw_truth(actual, q, law->n_params, seed);
    design_data(&d, q, actual, noise, seed);
    fit_opts o = fit_opts_default(law);
    o.bootstrap = DRAWS;
    o.seed = seed;
    cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
    t->n++;
    t->refused += r.trust.verdict == FIT_REFUSE;
    for (size_t j = 0; j < law->n_params; j++) {
        if (law->params[j].log || isnan(r.params[j].lo)) continue;
        t->exponent_n[j]++;
        t->exponent_in[j] += actual[j] >= r.params[j].lo && actual[j] <= r.params[j].hi;
    }
    target_point(x, law, &d);
    cr_assert_eq(fit_model_init(&m, law, NULL, &e), ST_OK);
    for (size_t b = 0; b < r.boot_ok; b++) v[b] = fit_model_value(&m, r.samples + b * law->n_params, x);
    if (r.boot_ok >= DRAWS / 2) {
        double y = fit_model_value(&m, actual, x);
        qsort(v, r.boot_ok, sizeof *v, by_size);
        t->target_n++;
        t->target_in += y >= v[(size_t)(.025 * (double)r.boot_ok)] && y <= v[r.boot_ok - 1 - (size_t)(.025 * (double)r.boot_ok)];
    }
    fit_model_free(&m);
    fit_result_free(&r);
    fit_data_free(&d);
}

static void run_some(const char *name, double noise, bool required, size_t most)
{
    const design *q = design_of(name);
    const fit_law *law = fit_law_find(name, NULL);
    size_t trials = COVERAGE_TRIALS < most ? COVERAGE_TRIALS : most;
    tally t = {0};
    for (uint64_t i = 0; i < trials; i++) one(&t, q, noise, 1000 + i);
    double target = (double)t.target_in / (double)t.target_n;
    printf("%-18s noise %.3f: prediction at 10x %.3f of %zu", name, noise, target, t.target_n);
    for (size_t j = 0; j < law->n_params; j++)
        if (t.exponent_n[j]) printf(", %s %.3f", law->params[j].name, (double)t.exponent_in[j] / (double)t.exponent_n[j]);
    printf("; %zu of %zu refused\n", t.refused, t.n);
    fflush(stdout);
    cr_expect_geq(target, .5, "%s", name);
    if (COVERAGE_TRIALS < 100 || !required) return;
    cr_expect(target >= .88 && target <= .99, "%s, noise %g: the prediction's interval holds the truth %.3f of the time", name, noise, target);
    for (size_t j = 0; j < law->n_params; j++) {
        double in = (double)t.exponent_in[j] / (double)t.exponent_n[j];
        if (t.exponent_n[j] >= 100) cr_expect(in >= .88 && in <= .99, "%s, noise %g: %s %.3f", name, noise, law->params[j].name, in);
    }
}

static void run(const char *name, double noise, bool required) { run_some(name, noise, required, required ? 1000 : FEW); }

Test(coverage, chinchilla, .timeout = 7200) { run("chinchilla", .003, true), run("chinchilla", .02, true); }
Test(coverage, power, .timeout = 7200) { run("power", .003, true), run("power", .02, true); }
Test(coverage, lr_power, .timeout = 7200) { run("lr-power", .003, true), run("lr-power", .02, true); }

#if COVERAGE_TRIALS >= 100
Test(coverage, data_constrained, .timeout = 7200) { run_some("data-constrained", .003, true, 200), run_some("data-constrained", .02, true, 200); }
Test(coverage, others, .timeout = 7200)
{
    static const char *const required[] = {"chinchilla", "power", "lr-power", "data-constrained"};
    for (size_t k = 0; k < N_DESIGNS; k++) {
        bool skip = false;
        for (size_t i = 0; i < 4; i++) skip |= !strcmp(designs[k].law, required[i]);
        if (!skip) run(designs[k].law, .003, false);
    }
}
#endif
