/* Whole fits on synthetic rows of known truth; solvers against each other. */
#include <criterion/criterion.h>
#include <math.h>

#include "fit/search.h"
#include "tests/fit/synthetic.h"

static void run(fit_result *r, fit_data *d, const fit_opts *o)
{
    err e = {0};
    cr_assert_eq(fit_run(r, d, o, &e), ST_OK, "%s", e.msg);
}

Test(run, exact_rows_give_the_truth_back)
{
    static const char *const objectives[] = {"huber-log", "mse-log", "mse", "asym-log"};
    for (size_t k = 0; k < 4; k++)
        for (uint64_t s = 0; s < 5; s++) {
            fit_data d;
            fit_result r;
            truth t = {1 + 2 * rng_uniform(s, RNG_TEST, 20, 0), exp(5 + 3 * rng_uniform(s, RNG_TEST, 20, 1)),
                       exp(5 + 3 * rng_uniform(s, RNG_TEST, 20, 2)), .25 + .3 * rng_uniform(s, RNG_TEST, 20, 3),
                       .25 + .3 * rng_uniform(s, RNG_TEST, 20, 4)};
            grid_data(&d, &t, 6, 6, 2, 0, 0);
            fit_opts o = fit_opts_default(fit_laws[0]);
            o.objective = fit_objective_find(objectives[k], NULL);
            o.bootstrap = 0;
            run(&r, &d, &o);
            cr_assert_float_eq(param(&r, "E") / t.E, 1, 1e-6, "%s %d: E %g, %g", objectives[k], (int)s, param(&r, "E"),
                               t.E);
            cr_assert_float_eq(param(&r, "alpha") / t.alpha, 1, 1e-6);
            cr_assert_float_eq(param(&r, "beta") / t.beta, 1, 1e-6);
            cr_assert_float_eq(param(&r, "A") / t.A, 1, 1e-5);
            cr_assert_float_eq(param(&r, "B") / t.B, 1, 1e-5);
            fit_result_free(&r);
            fit_data_free(&d);
        }
}

Test(run, power_law_in_one_variable)
{
    fit_data d;
    fit_result r;
    power_data(&d, 2.137, 911.3, .4123, 14, 0, 0);
    fit_opts o = fit_opts_default(fit_laws[1]);
    run(&r, &d, &o);
    cr_assert_float_eq(param(&r, "E"), 2.137, 1e-6);
    cr_assert_float_eq(param(&r, "A"), 911.3, 1e-3);
    cr_assert_float_eq(param(&r, "alpha"), .4123, 1e-7);
    cr_assert_eq(r.trust.verdict, FIT_OK);
    cr_assert_str_eq(r.x, "D");
    fit_result_free(&r);
    fit_data_free(&d);
}

Test(run, all_solvers_agree)
{
    fit_data d;
    grid_data(&d, &plain_truth, 6, 6, 2, .004, 3);
    for (size_t k = 0; k < 3; k++) { /* objective */
        double best = NAN;
        static const char *const objectives[] = {"huber-log", "mse-log", "mse"};
        for (size_t s = 0; fit_solver_name(s); s++) {
            fit_result r;
            fit_opts o = fit_opts_default(fit_laws[0]);
            o.objective = fit_objective_find(objectives[k], NULL);
            o.solver = fit_solver_find(fit_solver_name(s), NULL);
            o.bootstrap = 0;
            if (o.solver->squared_only && !o.objective->squared) { /* and it must say so */
                err e = {0};
                cr_assert_eq(fit_run(&r, &d, &o, &e), ST_USAGE);
                continue;
            }
            run(&r, &d, &o);
            if (s == 0) best = r.objective_value;
            cr_assert_float_eq(r.objective_value / best, 1, 1e-9, "%s, %s: %.12g, newton %.12g", objectives[k],
                               o.solver->name, r.objective_value, best);
            fit_result_free(&r);
        }
    }
    fit_data_free(&d);
}

/* T3: the start is far from the data, both power terms are dead there, every gradient but E's is 0. */
Test(run, a_dead_start_is_no_answer)
{
    fit_data d;
    fit_result r;
    double dead[1][FIT_MAX_PARAMS] = {{2.7, 1e-12, 1e-12, 2, 2}};
    grid_data(&d, &plain_truth, 6, 6, 2, .004, 3);
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.starts = FIT_STARTS_GIVEN;
    o.given = dead;
    o.n_given = 1;
    o.bootstrap = 0;
    run(&r, &d, &o);
    cr_assert_eq(r.n_rejected, 1);
    cr_assert_eq(r.trust.verdict, FIT_REFUSE);
    for (size_t j = 0; j < 5; j++) cr_assert(isnan(r.params[j].value));
    fit_result_free(&r);
    double alive[1][FIT_MAX_PARAMS] = {{1.5, 300, 900, .3, .3}}; /* the twin */
    o.given = alive;
    run(&r, &d, &o);
    cr_assert_eq(r.trust.verdict, FIT_OK);
    cr_assert_neq(param(&r, "alpha"), .3);
    fit_result_free(&r);
    fit_data_free(&d);
}

Test(run, pinned_tied_and_bounded_parameters)
{
    err e = {0};
    fit_data d;
    fit_result r, free_fit;
    grid_data(&d, &plain_truth, 6, 6, 2, .004, 5);
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 40;
    run(&free_fit, &d, &o);
    cr_assert_eq(fit_opts_fix(&o, "E=1.6", &e), ST_OK);
    run(&r, &d, &o);
    cr_assert_eq(r.params[0].value, 1.6);
    cr_assert(r.params[0].fixed && isnan(r.params[0].se));
    cr_assert_gt(r.objective_value, free_fit.objective_value);
    fit_result_free(&r);
    o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 0;
    cr_assert_eq(fit_opts_tie(&o, "beta=alpha", &e), ST_OK);
    run(&r, &d, &o);
    cr_assert_eq(param(&r, "alpha"), param(&r, "beta"));
    cr_assert_float_eq(r.a_opt.value, .5, 1e-12);
    fit_result_free(&r);
    o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 0;
    cr_assert_eq(fit_opts_bound(&o, "alpha=0.1,0.25", &e), ST_OK);
    run(&r, &d, &o);
    cr_assert_float_eq(param(&r, "alpha"), .25, 1e-12);
    cr_assert(r.params[3].at_bound);
    fit_result_free(&r);
    o = fit_opts_default(fit_laws[0]); /* pinning an amplitude switches centring off: same answer, other coordinates */
    o.bootstrap = 0;
    char text[64];
    snprintf(text, sizeof text, "A=%.17g", param(&free_fit, "A"));
    cr_assert_eq(fit_opts_fix(&o, text, &e), ST_OK);
    run(&r, &d, &o);
    cr_assert_float_eq(r.objective_value / free_fit.objective_value, 1, 1e-9);
    fit_result_free(&r);
    fit_result_free(&free_fit);
    fit_data_free(&d);
}

Test(run, option_texts_are_strict)
{
    static const struct { status (*parse)(fit_opts *, const char *, err *); const char *text;
    } bad[] = {{fit_opts_fix, "gamma=1"},       {fit_opts_fix, "E"},
               {fit_opts_fix, "E=1x"},          {fit_opts_fix, "E=-1"},
               {fit_opts_fix, "A=0"},           {fit_opts_fix, "=1"},
               {fit_opts_tie, "alpha=alpha"},   {fit_opts_tie, "alpha=A"},
               {fit_opts_tie, "alpha=x"},       {fit_opts_bound, "alpha=1"},
               {fit_opts_bound, "alpha=1,0.5"}, {fit_opts_bound, "alpha=0.1,0.5,0.7"}};
    double start[FIT_MAX_PARAMS];
    err e = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fit_opts o = fit_opts_default(fit_laws[0]);
        cr_assert_eq(bad[i].parse(&o, bad[i].text, &e), ST_USAGE, "'%s' was taken", bad[i].text);
    }
    cr_assert_eq(fit_start_parse(start, fit_laws[0], "E=1,A=2,B=3,alpha=.4", &e), ST_USAGE);
    cr_assert_eq(fit_start_parse(start, fit_laws[0], "E=1,A=2,B=3,alpha=.4,beta=.5", &e), ST_OK);
    cr_assert_eq(start[4], .5);
}

Test(run, bootstrap_is_a_function_of_its_seed)
{
    fit_data d;
    fit_result a, b, c;
    grid_data(&d, &plain_truth, 5, 5, 2, .004, 5);
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 60;
    o.seed = 11;
    run(&a, &d, &o);
    run(&b, &d, &o);
    o.seed = 12;
    run(&c, &d, &o);
    cr_assert_eq(a.boot_ok, 60);
    cr_assert_eq(memcmp(a.samples, b.samples, 60 * 5 * sizeof(double)), 0);
    cr_assert_neq(memcmp(a.samples, c.samples, 60 * 5 * sizeof(double)), 0);
    cr_assert(a.params[3].lo < a.params[3].value && a.params[3].value < a.params[3].hi);
    cr_assert_gt(a.a_opt.se, 0);
    fit_result_free(&a);
    fit_result_free(&b);
    fit_result_free(&c);
    fit_data_free(&d);
}

/* Rows that stand eight times over: the row bootstrap believes in eight times the data, the cluster bootstrap does not.
 */
Test(run, clusters_keep_copies_together)
{
    enum { COPIES = 8 };
    fit_data one, many;
    fit_result row, cluster, single;
    grid_data(&one, &plain_truth, 5, 5, 2, .01, 9);
    data_alloc(&many, one.n * COPIES);
    many.cluster = malloc(many.n * sizeof *many.cluster);
    for (size_t i = 0; i < many.n; i++) {
        many.N[i] = one.N[i / COPIES], many.D[i] = one.D[i / COPIES], many.C[i] = one.C[i / COPIES],
        many.y[i] = one.y[i / COPIES];
        many.cluster[i] = (uint32_t)(i / COPIES);
    }
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 150;
    run(&cluster, &many, &o);
    run(&single, &one, &o);
    free(many.cluster);
    many.cluster = NULL;
    run(&row, &many, &o);
    cr_assert_float_eq(cluster.params[3].se / single.params[3].se, 1, .05);
    cr_assert_lt(row.params[3].se, .6 * cluster.params[3].se);
    fit_result_free(&row);
    fit_result_free(&cluster);
    fit_result_free(&single);
    fit_data_free(&one);
    fit_data_free(&many);
}

Test(run, held_out_rows_do_not_enter_the_fit)
{
    fit_data d;
    fit_result r, without;
    grid_data(&d, &plain_truth, 6, 6, 2, .004, 5);
    d.held_out = calloc(d.n, sizeof *d.held_out);
    for (size_t i = 0; i < d.n; i++) d.held_out[i] = d.C[i] > 2e19;
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 0;
    run(&r, &d, &o);
    size_t held = 0;
    for (size_t i = 0; i < d.n; i++) held += d.held_out[i], d.y[i] *= d.held_out[i] ? 1.7 : 1;
    run(&without, &d, &o);
    cr_assert_eq(r.holdout_n, held);
    cr_assert_eq(r.n_points, d.n - held);
    cr_assert_eq(r.objective_value, without.objective_value);
    cr_assert_lt(r.holdout_mean, .02);
    cr_assert_gt(without.holdout_mean, .3); /* 1 - 1/1.7 */
    cr_assert(has_reason(&without, "holdout_error"));
    cr_assert(!has_reason(&r, "holdout_error"));
    fit_result_free(&r);
    fit_result_free(&without);
    fit_data_free(&d);
}

Test(run, every_kind_of_start_finds_the_same_optimum)
{
    fit_data d;
    fit_result r, screened;
    grid_data(&d, &plain_truth, 4, 5, 2, .004, 5);
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 0;
    run(&screened, &d, &o);
    o.starts = FIT_STARTS_RANDOM;
    o.n_starts = 100;
    run(&r, &d, &o);
    cr_assert_float_eq(r.objective_value / screened.objective_value, 1, 1e-9);
    cr_assert_geq(r.n_reached, 80); /* with exact Newton alone more than ten of them died on a plateau */
    cr_assert_eq(r.n_reached + r.n_rejected, 100);
    fit_result_free(&r);
    fit_result_free(&screened);
    fit_data_free(&d);
}
