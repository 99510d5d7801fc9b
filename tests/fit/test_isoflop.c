#include <criterion/criterion.h>
#include <math.h>

#include "tests/fit/synthetic.h"

static void run(fit_result *r, fit_data *d, size_t bootstrap)
{
    err e = {0};
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = bootstrap;
    cr_assert_eq(fit_isoflop(r, d, &o, &e), ST_OK, "%s", e.msg);
}

static void end(fit_result *r, fit_data *d)
{
    fit_result_free(r);
    fit_data_free(d);
}

/* alpha = beta, sizes centred: where the method is exact. */
Test(isoflop, exact_where_the_method_is)
{
    truth t = plain_truth;
    t.beta = t.alpha;
    fit_data d;
    fit_result r;
    isoflop_data(&d, &t, 5, 1, 0, 0);
    run(&r, &d, 50);
    cr_assert_eq(r.n_budgets, 5);
    cr_assert_float_eq(r.a_opt.value, .5, 1e-9);
    cr_assert_float_eq(r.b_opt.value, .5, 1e-9);
    double n0 = pow(t.A / t.B, 1 / (2 * t.alpha)) * sqrt(3e18 / 6);
    cr_assert_float_eq(r.budgets[0].N_opt / n0, 1, 1e-9);
    cr_assert_float_eq(6 * r.budgets[0].N_opt * r.budgets[0].D_opt / 3e18, 1, 1e-9);
    cr_assert_eq(r.trust.verdict, FIT_OK);
    end(&r, &d);
}

Test(isoflop, budgets_that_do_not_bracket_are_dropped_and_named)
{
    fit_data d;
    fit_result r;
    isoflop_data(&d, &plain_truth, 5, 1, .001, 1);
    for (size_t i = 0; i < 7; i++)
        d.N[i] /= 16, d.D[i] *= 16, d.y[i] = true_loss(&plain_truth, d.N[i], d.D[i]); /* all too small */
    run(&r, &d, 50);
    cr_assert(!r.budgets[0].bracketed);
    cr_assert(strstr(r.budgets[0].why, "larger"), "%s", r.budgets[0].why);
    cr_assert(r.budgets[1].bracketed);
    cr_assert_eq(r.trust.verdict, FIT_OK);
    end(&r, &d);
}

Test(isoflop, fewer_than_three_bracketed_budgets_are_refused)
{
    fit_data d;
    fit_result r;
    isoflop_data(&d, &plain_truth, 4, 100, .001, 1);
    run(&r, &d, 20);
    cr_assert_eq(r.trust.verdict, FIT_REFUSE);
    cr_assert(has_reason(&r, "no_interior_minimum"));
    cr_assert(isnan(r.a_opt.value) && isnan(r.params[0].value));
    end(&r, &d);
    data_alloc(&d, 0);
    run(&r, &d, 20);
    cr_assert_eq(r.trust.verdict, FIT_REFUSE);
    end(&r, &d);
}

/* Budgets missed by a rounding of tokens still group; those a factor apart do not. */
Test(isoflop, budgets_are_grouped_within_five_percent)
{
    fit_data d;
    fit_result r;
    isoflop_data(&d, &plain_truth, 3, 1, .001, 4);
    for (size_t i = 0; i < d.n; i++) d.C[i] *= 1 + .01 * rng_uniform(1, RNG_TEST, 30, i);
    run(&r, &d, 0);
    cr_assert_eq(r.n_budgets, 3);
    cr_assert_eq(r.budgets[1].n, 7);
    end(&r, &d);
}
