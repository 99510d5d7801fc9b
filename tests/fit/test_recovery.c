/* Every law of the table: exact derivatives, and exact data give back the actual to 1e-6 from the default search, 20 truths
 * drawn from a box that holds the published values. Laws of whole curves have their own (test_curve). */
#include <criterion/criterion.h>
#include <math.h>

#include "fit/problem.h"
#include "tests/fit/designs.h"

#ifdef __SANITIZE_ADDRESS__
enum { TRUTHS = 2 }; /* memory errors show at once; the numbers are the other build's */
#else
enum { TRUTHS = 20 };
#endif
static const double EXACT = 1e-6;

static bool of_points(const fit_law *law)
{
    fit_model m;
    bool ok = !fit_model_init(&m, law, NULL, NULL);
    fit_model_free(&m);
    return ok;
}

Test(recovery, every_law_has_a_design)
{
    for (size_t l = 0; l < fit_n_laws; l++)
        if (of_points(fit_laws[l])) cr_assert_not_null(design_of(fit_laws[l]->name), "%s", fit_laws[l]->name);
}

static void check_gradient(const fit_law *law, fit_problem *p, double *phi)
{
    double g[FIT_MAX_PARAMS], h[FIT_MAX_PARAMS * FIT_MAX_PARAMS], gu[FIT_MAX_PARAMS], gd[FIT_MAX_PARAMS];
    double f = fit_problem_eval(p, phi, g, h), scale = fabs(f);
    cr_assert(isfinite(f) && f > 0, "%s: F %g", law->name, f);
    for (size_t j = 0; j < p->n_free; j++) {
        const double step = 1e-5, keep = phi[j];
        phi[j] = keep + step;
        double up = fit_problem_eval(p, phi, gu, NULL);
        phi[j] = keep - step;
        double down = fit_problem_eval(p, phi, gd, NULL);
        phi[j] = keep;
        cr_assert_float_eq(g[j], (up - down) / (2 * step), 1e-5 * (scale + fabs(g[j])), "%s gradient %s: %g, %g", law->name,
                           law->params[p->first[j]].name, g[j], (up - down) / (2 * step));
        for (size_t i = 0; i < p->n_free; i++) {
            double size = fabs(h[j * p->n_free + i]) + fabs(h[j * p->n_free + j]) + fabs(h[i * p->n_free + i]);
            cr_assert_float_eq(h[i * p->n_free + j], (gu[i] - gd[i]) / (2 * step), 1e-4 * (size + scale), "%s Hessian %s %s: %g, %g",
                               law->name, law->params[p->first[j]].name, law->params[p->first[i]].name,
                               h[i * p->n_free + j], (gu[i] - gd[i]) / (2 * step));
        }
    }
}

Test(recovery, derivatives_of_every_law)
{
    for (size_t k = 0; k < N_DESIGNS; k++) {
        const fit_law *law = fit_law_find(designs[k].law, NULL);
        double actual[FIT_MAX_PARAMS], away[FIT_MAX_PARAMS], phi[FIT_MAX_PARAMS];
        fit_data d;
        fit_problem p;
        err e = {0};
        draw_truth(actual, &designs[k], law->n_params, 3);
        draw_truth(away, &designs[k], law->n_params, 4);
        design_data(&d, &designs[k], actual, .01, 5);
        fit_opts o = fit_opts_default(law);
        o.objective = fit_objective_find("mse-log", &e); /* smooth: differences may cross no kink */
        cr_assert_eq(fit_problem_init(&p, &d, &o, &e), ST_OK, "%s", e.msg);
        fit_problem_phi(&p, phi, away);
        check_gradient(law, &p, phi);
        fit_problem_free(&p);
        fit_data_free(&d);
    }
}

/* Exact rows of the law give its parameters back. `wrong` checks that the test would see a difference. */
static double worst_error(const design *q, const fit_law *law, uint64_t seed, double noise)
{
    double actual[FIT_MAX_PARAMS], worst = 0;
    fit_data d;
    fit_result r;
    err e = {0};
    draw_truth(actual, q, law->n_params, seed);
    design_data(&d, q, actual, noise, seed);
    fit_opts o = fit_opts_default(law);
    o.bootstrap = 0;
    cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s: %s", law->name, e.msg);
    for (size_t j = 0; j < law->n_params; j++)
        worst = fmax(worst, fabs((isnan(r.params[j].value) ? r.params[j].raw : r.params[j].value) / actual[j] - 1));
    fit_result_free(&r);
    fit_data_free(&d);
    return worst;
}

Test(recovery, exact_rows_give_the_truth_back, .timeout = 600)
{
    for (size_t k = 0; k < N_DESIGNS; k++) {
        const fit_law *law = fit_law_find(designs[k].law, NULL);
        for (uint64_t t = 0; t < TRUTHS; t++) {
            double worst = worst_error(&designs[k], law, 100 + t, 0);
            cr_assert_lt(worst, EXACT, "%s, truth %d: off by %g", law->name, (int)t, worst);
        }

    }
}

Test(recovery, a_thousandth_of_noise_is_seen)
{
    for (size_t k = 0; k < N_DESIGNS; k++)
        cr_assert_gt(worst_error(&designs[k], fit_law_find(designs[k].law, NULL), 100, 1e-3), EXACT, "%s", designs[k].law);
}
