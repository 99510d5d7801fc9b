/* The verdict: for each reason a data set that provokes it, and a clean one on which it stays silent. */
#include <criterion/criterion.h>
#include <math.h>

#include "tests/fit/designs.h"

static void run_law(fit_result *r, fit_data *d, const char *law, size_t bootstrap)
{
    err e = {0};
    fit_opts o = fit_opts_default(fit_law_find(law, &e));
    o.bootstrap = bootstrap;
    cr_assert_eq(fit_run(r, d, &o, &e), ST_OK, "%s", e.msg);
}

static void run(fit_result *r, fit_data *d) { run_law(r, d, "chinchilla", 120); }

static void end(fit_result *r, fit_data *d)
{
    fit_result_free(r);
    fit_data_free(d);
}

Test(trust, clean_data_are_ok_without_reasons)
{
    for (uint64_t seed = 0; seed < 6; seed++) {
        fit_data d;
        fit_result r;
        if (seed % 2) isoflop_data(&d, &plain_truth, 5, 1.3, .003, seed);
        else grid_data(&d, &plain_truth, 6, 6, 2, .003, seed);
        run(&r, &d);
        cr_assert_eq(r.trust.verdict, FIT_OK);
        cr_assert_eq(r.trust.n, 0, "%s", r.trust.reasons[0].message);
        for (size_t j = 0; j < r.n_params; j++) cr_assert(!isnan(r.params[j].value) && isnan(r.params[j].raw));
        end(&r, &d);
    }
}

Test(trust, too_few_points)
{
    fit_data d;
    fit_result r;
    grid_data(&d, &plain_truth, 2, 3, 2, .003, 0); /* 6 rows, 5 parameters */
    run(&r, &d);
    cr_assert_eq(r.trust.verdict, FIT_REFUSE);
    cr_assert(has_reason(&r, "too_few_points"));
    for (size_t j = 0; j < 5; j++) cr_assert(isnan(r.params[j].value));
    cr_assert(isnan(r.a_opt.value));
    end(&r, &d);
    grid_data(&d, &plain_truth, 2, 4, 2, .0005, 0); /* 8 rows are enough for this reason */
    run(&r, &d);
    cr_assert(!has_reason(&r, "too_few_points"));
    end(&r, &d);
    data_alloc(&d, 0); /* nothing left after --where, or all diverged */
    run(&r, &d);
    cr_assert(has_reason(&r, "too_few_points"));
    end(&r, &d);
}

Test(trust, floor_unidentified)
{
    for (uint64_t seed = 0; seed < 4; seed++) {
        fit_data d;
        fit_result r;
        truth t = plain_truth;
        t.E = 1e-9;
        grid_data(&d, &t, 6, 6, 2, .003, seed);
        run(&r, &d);
        cr_assert_eq(r.trust.verdict, FIT_REFUSE);
        cr_assert(has_reason(&r, "floor_unidentified"));
        cr_assert(isnan(r.params[0].value) && !isnan(r.params[0].raw));
        cr_assert(!isnan(r.params[3].value)); /* what the data do identify stays */
        end(&r, &d);
    }
}

Test(trust, not_separable)
{
    fit_data d;
    fit_result r;
    grid_data(&d, &plain_truth, 1, 12, 2, .003, 0); /* one N */
    run(&r, &d);
    cr_assert(r.trust.verdict == FIT_REFUSE && has_reason(&r, "not_separable"));
    end(&r, &d);
    grid_data(&d, &plain_truth, 12, 1, 2, .003, 0); /* one ratio D/N */
    for (size_t i = 0; i < d.n; i++)
        d.D[i] = 20 * d.N[i], d.y[i] = true_loss(&plain_truth, d.N[i], d.D[i]) * (1 + 1e-3 * (double)(i % 3));
    run(&r, &d);
    cr_assert(r.trust.verdict == FIT_REFUSE && has_reason(&r, "not_separable"));
    for (size_t i = 0; i < d.n; i++) /* three ratios a factor 2 apart: the twin */
        d.D[i] = (i % 3 ? i % 3 > 1 ? 40 : 20 : 10) * d.N[i],
        d.y[i] = true_loss(&plain_truth, d.N[i], d.D[i]) * (1 + 1e-4 * (double)(i % 5));
    fit_result_free(&r);
    run(&r, &d);
    cr_assert(!has_reason(&r, "not_separable"));
    end(&r, &d);
    truth t = plain_truth; /* the data term is not there at all */
    t.B = 1e-9;
    grid_data(&d, &t, 6, 6, 2, .003, 2);
    run(&r, &d);
    cr_assert(r.trust.verdict == FIT_REFUSE && has_reason(&r, "not_separable"));
    cr_assert(isnan(r.params[2].value) && isnan(r.params[4].value));
    end(&r, &d);
}

Test(trust, several_basins)
{
    fit_data d;
    fit_result r;
    power_data(&d, 2.1, 900, .4, 9, .02, 79); /* found by searching seeds: two minima that agree in what they predict */
    run_law(&r, &d, "power", 120);
    cr_assert(has_reason(&r, "multiple_basins") && !has_reason(&r, "conflicting_basins"));
    cr_assert_eq(r.trust.verdict, FIT_WARN);
    cr_assert_eq(r.n_basins, 2);
    cr_assert_lt(r.basins[1].objective_value, 1.01 * r.objective_value);
    end(&r, &d);
    power_data(&d, 2.1, 900, .4, 12, .002, 124); /* and two that do not */
    heavy_tails(&d, 124);
    run_law(&r, &d, "power", 200);
    cr_assert(has_reason(&r, "conflicting_basins"));
    cr_assert_eq(r.trust.verdict, FIT_REFUSE);
    cr_assert(isnan(r.params[0].value) && !isnan(r.params[0].raw));
    end(&r, &d);
}

Test(trust, flat_direction)
{
    fit_data d;
    fit_result r;
    grid_data(&d, &plain_truth, 3, 4, 1, .003, 5); /* one decade, twelve rows */
    run(&r, &d);
    cr_assert(has_reason(&r, "flat_direction"));
    cr_assert_eq(r.trust.verdict, FIT_WARN);
    end(&r, &d);
}

Test(trust, conventions)
{
    fit_data d;
    fit_result r;
    grid_data(&d, &plain_truth, 6, 6, 2, .003, 0);
    d.count_rule[0] = d.flops_rule[0] = 0;
    run(&r, &d);
    cr_assert_eq(r.trust.verdict, FIT_WARN);
    cr_assert_eq(r.trust.n, 2);
    cr_assert_str_eq(r.trust.reasons[0].code, "convention_unstated");
    cr_assert_str_eq(r.count_rule, "unstated");
    end(&r, &d);
    power_data(&d, 2.1, 900, .4, 12, .003, 1); /* a law of D needs neither */
    d.count_rule[0] = d.flops_rule[0] = 0;
    run_law(&r, &d, "power", 50);
    cr_assert_eq(r.trust.verdict, FIT_OK);
    end(&r, &d);
}

Test(trust, held_out_rows)
{
    fit_data d;
    fit_result r;
    grid_data(&d, &plain_truth, 8, 8, 3, .003, 1);
    d.held_out = calloc(d.n, sizeof *d.held_out);
    for (size_t i = 0; i < d.n; i++) d.held_out[i] = d.C[i] > 1e20;
    run(&r, &d);
    cr_assert(has_reason(&r, "extrapolates_k_decades"));
    cr_assert(!has_reason(&r, "holdout_error"));
    for (size_t i = 0; i < d.n; i++) d.held_out[i] = i % 7 == 3;
    fit_result_free(&r);
    run(&r, &d);
    cr_assert(!has_reason(&r, "extrapolates_k_decades") && r.trust.verdict == FIT_OK);
    for (size_t i = 0; i < d.n; i++) d.y[i] *= d.held_out[i] ? 1.05 : 1;
    fit_result_free(&r);
    run(&r, &d);
    cr_assert(has_reason(&r, "holdout_error"));
    end(&r, &d);
}

/* The negative test of the whole: shuffled losses must never come out as ok. */
Test(trust, permuted_losses_are_never_ok)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        fit_data d;
        fit_result r;
        if (seed % 3 == 0) isoflop_data(&d, &plain_truth, 4, 1, .003, seed);
        else if (seed % 3 == 1) grid_data(&d, &plain_truth, 4, 4, 2, .003, seed);
        else power_data(&d, 2.1, 900, .4, 12, .003, seed);
        permute_losses(&d, seed);
        run_law(&r, &d, seed % 3 == 2 ? "power" : "chinchilla", 60);
        cr_assert_neq(r.trust.verdict, FIT_OK, "seed %d", (int)seed);
        end(&r, &d);
    }
}

/* --- laws typed by the user ------------------------------------------------------------------------ */

static void fit_typed(fit_result *r, const char *formula, const fit_data *d, fit_law **law)
{
    const char *cols[] = {"N", "D"};
    err e = {0};
    cr_assert_eq(fit_law_typed(law, formula, cols, 2, &e), ST_OK, "%s", e.msg);
    fit_opts o = fit_opts_default(*law);
    o.bootstrap = 100;
    cr_assert_eq(fit_run(r, d, &o, &e), ST_OK, "%s", e.msg);
}

Test(trust, typed_laws_are_judged_like_the_others)
{
    static const struct { const char *formula, *code; fit_verdict verdict; const char *says; } rows[] = {
        {"E + A*N^-alpha + B*D^-beta", NULL, FIT_OK, NULL},
        {"E + A*N^-alpha + F*N^-alpha + B*D^-beta", "not_separable", FIT_REFUSE, "A and F"},            /* one direction */
        {"E + A*N^-alpha + B*D^-beta + F*N^-2*D^-2", "not_separable", FIT_REFUSE, "F"},                 /* does not show */
        {"E - A*log(N) + B*D^-beta", NULL, FIT_OK, NULL},                                               /* a sign written out */
        {"E + A*log(N) + B*D^-beta", "not_separable", FIT_REFUSE, "--bound"},                           /* the wrong one */
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        fit_data d;
        fit_result r;
        fit_law *law;
        bool said = !rows[k].says;
        grid_data(&d, &plain_truth, 6, 6, 2.5, .002, 9);
        if (strstr(rows[k].formula, "log(N)"))
            for (size_t i = 0; i < d.n; i++) d.y[i] = (4.1 - .07 * log(d.N[i]) + 1287.3 * pow(d.D[i], -.3617)) * exp(.002 * rng_normal(4, RNG_TEST, 31, i));
        fit_typed(&r, rows[k].formula, &d, &law);
        cr_assert_eq(r.trust.verdict, rows[k].verdict, "%s: %s, %s", rows[k].formula, fit_verdict_name(r.trust.verdict),
                     r.trust.n ? r.trust.reasons[0].message : "");
        if (rows[k].code) cr_assert(has_reason(&r, rows[k].code), "%s", rows[k].formula);
        for (size_t i = 0; i < r.trust.n && rows[k].says; i++) said |= strstr(r.trust.reasons[i].message, rows[k].says) != NULL;
        cr_assert(said, "%s: %s", rows[k].formula, r.trust.n ? r.trust.reasons[0].message : "");
        fit_result_free(&r);
        fit_data_free(&d);
        fit_law_typed_free(law);
    }
}

/* A half-life that the data cannot show (no repetition, or repetition that costs nothing) is refused by its null; with repetition that
 * shows, it is not. */
Test(trust, a_null_of_the_law_is_tested)
{
    for (int shows = 0; shows < 2; shows++) {
        const design *q = design_of("data-constrained");
        const double v[7] = {1.8, 500, 1400, .35, .36, shows ? 9 : 1e10, 6};
        fit_data d;
        fit_result r;
        err e = {0};
        design_data(&d, q, v, .004, 6);
        fit_opts o = fit_opts_default(fit_law_find("data-constrained", NULL));
        o.bootstrap = 60;
        cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
        bool refused = false;
        for (size_t i = 0; i < r.trust.n; i++) refused |= strstr(r.trust.reasons[i].message, "R_D_star is not shown") != NULL;
        cr_assert_eq(refused, !shows);
        cr_assert_eq(isnan(r.params[5].value), !shows);
        fit_result_free(&r);
        fit_data_free(&d);
    }
}

static void judged(fit_result *r, const fit_data *d, const char *bound)
{
    err e = {0};
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 100;
    if (bound) cr_assert_eq(fit_opts_bound(&o, bound, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(fit_run(r, d, &o, &e), ST_OK, "%s", e.msg);
}

Test(trust, dependent_rows_and_units_warn)
{
    fit_data d;
    fit_result r;
    grid_data(&d, &plain_truth, 6, 6, 2.5, .004, 3);
    judged(&r, &d, NULL);
    cr_assert_eq(r.trust.verdict, FIT_OK);
    fit_result_free(&r);
    d.n_repeated = 9;
    snprintf(d.units, sizeof d.units, "N goes up to 16 only");
    judged(&r, &d, NULL);
    cr_assert(has_reason(&r, "dependent_rows") && has_reason(&r, "convention_unstated"));
    cr_assert_eq(r.trust.verdict, FIT_WARN);
    fit_result_free(&r);
    fit_data_free(&d);
}

/* A bound that the user set and that binds is the user's, not the data's. */
Test(trust, a_bound_that_binds_is_named)
{
    fit_data d;
    fit_result r;
    grid_data(&d, &plain_truth, 7, 7, 2.5, .004, 3);
    judged(&r, &d, "alpha=0.1,0.3");
    cr_assert_eq(r.trust.verdict, FIT_WARN, "%s", r.trust.reasons[0].message);
    cr_assert(strstr(r.trust.reasons[0].message, "bound you set"), "%s", r.trust.reasons[0].message);
    cr_assert(!isnan(param(&r, "alpha")));
    fit_result_free(&r);
    judged(&r, &d, "E=1.9,3");
    cr_assert(!has_reason(&r, "floor_unidentified"));
    fit_result_free(&r);
    fit_data_free(&d);
}

/* Second stage: pinned values drawn from a first stage make its intervals wider than pinning them exactly. */
Test(trust, a_second_stage_inherits_the_first)
{
    enum { DRAWS = 100 };
    fit_data d;
    fit_result exact, drawn;
    err e = {0};
    static double draws[DRAWS][FIT_MAX_PARAMS];
    grid_data(&d, &plain_truth, 7, 7, 2.5, .004, 3);
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 200;
    cr_assert_eq(fit_opts_fix(&o, "E=1.7301", &e), ST_OK);
    cr_assert_eq(fit_run(&exact, &d, &o, &e), ST_OK, "%s", e.msg);
    for (int k = 0; k < DRAWS; k++)
        for (int j = 0; j < FIT_MAX_PARAMS; j++) draws[k][j] = j ? NAN : 1.7301 + .05 * rng_normal(8, RNG_TEST, 32, (uint64_t)k);
    o.fix_draws = (const double (*)[FIT_MAX_PARAMS])draws, o.n_fix_draws = DRAWS;
    cr_assert_eq(fit_run(&drawn, &d, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(exact.params[3].value, drawn.params[3].value); /* the fit itself is the same */
    cr_assert_gt(drawn.params[3].se, 1.5 * exact.params[3].se, "%g, %g", drawn.params[3].se, exact.params[3].se);
    cr_assert_float_eq(drawn.params[0].se, .05, .01);
    cr_assert(isnan(exact.params[0].se));
    fit_result_free(&exact);
    fit_result_free(&drawn);
    fit_data_free(&d);
}
