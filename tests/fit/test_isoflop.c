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

/* --- other minima -------------------------------------------------------------------------------------------- */

static void run_as(fit_result *r, fit_data *d, const char *minimum, const char *noise, size_t bootstrap)
{
    err e = {0};
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = bootstrap;
    o.minimum = fit_minimum_find(minimum, &e);
    cr_assert(o.minimum, "%s", e.msg);
    if (noise) cr_assert_eq(fit_opts_noise(&o, noise, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(fit_isoflop(r, d, &o, &e), ST_OK, "%s", e.msg);
}

/* On even sizes Akima's spline of a parabola is that parabola, so the answer is known: the point of the 25-per-gap grid
 * next to its vertex. */
Test(isoflop, akima_finds_the_vertex_of_an_exact_parabola)
{
    enum { SIZES = 7, BUDGETS = 4 };
    fit_data d;
    fit_result r;
    data_alloc(&d, SIZES * BUDGETS);
    for (size_t i = 0; i < d.n; i++) {
        double c = 2.7e18 * pow(5, (double)(i / SIZES)), vertex = .173 + .47 * log(c),
               u = vertex + .31 + .83 * ((double)(i % SIZES) - 3);
        d.C[i] = c, d.N[i] = exp(u), d.D[i] = c / 6 / d.N[i];
        d.y[i] = exp(1.02 + .013 * (u - vertex) * (u - vertex));
    }
    run_as(&r, &d, "akima", NULL, 0);
    for (size_t j = 0; j < BUDGETS; j++) {
        cr_assert(r.budgets[j].bracketed, "%s", r.budgets[j].why);
        double from = log(r.budgets[j].N_opt) - (.173 + .47 * log(r.budgets[j].C)), step = 6 * .83 / (6 * 25 - 1);
        cr_assert_leq(fabs(from), step / 2 + 1e-9, "budget %zu: %g", j, from);
        cr_assert_float_eq(r.budgets[j].loss_opt / exp(1.02), 1, .013 * step * step / 4 + 1e-12);
    }
    cr_assert_float_eq(r.a_opt.value, .47, 1e-6); /* the same grid error in each */
    cr_assert(isnan(r.residual_sd));
    cr_assert_str_eq(json_string_value(json_object_get(r.extra, "minimum")), "akima");
    end(&r, &d);
}

/* Its knots bend where a parabola cannot: on a steep side the vertex of the parabola is drawn away, Akima's is not. */
Test(isoflop, akima_needs_five_sizes_and_a_minimum_inside)
{
    fit_data d;
    fit_result r;
    isoflop_data(&d, &plain_truth, 5, 1, 0, 0);
    for (size_t i = 0; i < d.n; i++)
        if (i / 7 == 1 && i % 7 > 3)
            d.N[i] = d.N[i - i % 7], d.D[i] = d.D[i - i % 7], d.y[i] = 9; /* four sizes are left */
    for (size_t i = 14; i < 21; i++) d.y[i] = 3 - .01 * (double)i;        /* falls throughout */
    run_as(&r, &d, "akima", NULL, 0);
    cr_assert(!r.budgets[1].bracketed && strstr(r.budgets[1].why, "5 sizes"), "%s", r.budgets[1].why);
    cr_assert(!r.budgets[2].bracketed && strstr(r.budgets[2].why, "larger"), "%s", r.budgets[2].why);
    cr_assert(r.budgets[0].bracketed && r.budgets[3].bracketed && r.budgets[4].bracketed);
    end(&r, &d);
}

Test(isoflop, the_lowest_run_of_a_size_counts)
{
    fit_data d, twice;
    fit_result r, s;
    isoflop_data(&d, &plain_truth, 4, 1.4, .001, 7);
    data_alloc(&twice, 2 * d.n);
    for (size_t i = 0; i < twice.n; i++) {
        size_t k = i / 2;
        twice.N[i] = d.N[k], twice.D[i] = d.D[k], twice.C[i] = d.C[k],
        twice.y[i] = d.y[k] + (i % 2 ? .03 : 0); /* a worse lr */
    }
    const char *const names[] = {"akima", "lowest"};
    for (int m = 0; m < 2; m++) {
        run_as(&r, &d, names[m], NULL, 0);
        run_as(&s, &twice, names[m], NULL, 0);
        cr_assert_eq(r.a_opt.value, s.a_opt.value);
        cr_assert_eq(r.budgets[2].N_opt, s.budgets[2].N_opt);
        fit_result_free(&r);
        fit_result_free(&s);
    }
    run_as(&r, &d, "lowest", NULL, 0);
    for (size_t j = 0; j < 4; j++) {
        bool found = false;
        for (size_t i = 7 * j; i < 7 * j + 7; i++)
            found |= fabs(r.budgets[j].N_opt / d.N[i] - 1) < 1e-12 && r.budgets[j].loss_opt == d.y[i];
        cr_assert(found == r.budgets[j].bracketed);
    }
    fit_result_free(&r);
    fit_data_free(&twice);
    fit_data_free(&d);
}

/* --- noise --------------------------------------------------------------------------------------------------- */

Test(isoflop, stated_noise)
{
    err e = {0};
    fit_opts o = fit_opts_default(fit_laws[0]);
    cr_assert_eq(fit_opts_noise(&o, "0.002@3,0.05@7", &e), ST_OK);
    cr_assert(o.noise.n == 2 && o.noise.sd[1] == .05 && o.noise.loss[0] == 3);
    cr_assert_eq(fit_opts_noise(&o, "4e-3", &e), ST_OK);
    cr_assert(o.noise.n == 1 && o.noise.sd[0] == 4e-3);
    const char *const wrong[] = {
        "", "0", "-1", "x", "0.1,0.2", "0.1@3", "0.1@7,0.2@3", "0.1@3,0.2", "0.1@3,0.2@4,0.3@5", "0.1@"};
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
        cr_expect_eq(fit_opts_noise(&o, wrong[k], &e), ST_USAGE, "%s", wrong[k]);
    cr_assert(!fit_minimum_find("cubic", &e) && strstr(e.msg, "akima"));
}

/* The spread of N_opt over noisy losses is what repeated experiments show: 60 of them, seeded. */
Test(isoflop, noise_makes_the_spread_that_repeats_have)
{
    enum { REPEATS = 60 };
    double of[REPEATS], mean = 0, square = 0, said = 0;
    for (uint64_t k = 0; k < REPEATS; k++) {
        fit_data d;
        fit_result r;
        isoflop_data(&d, &plain_truth, 5, 1.1, 0, 0);
        for (size_t i = 0; i < d.n; i++) d.y[i] += .004 * rng_normal(k, RNG_TEST, 5, i);
        run_as(&r, &d, "parabola", "0.004", 40);
        of[k] = r.a_opt.value, mean += of[k] / REPEATS, said += r.a_opt.se / REPEATS;
        cr_assert_eq(r.boot_ok, 40);
        cr_assert_geq(r.budgets[2].sd_ln_N, log(2) / 3 - 1e-9); /* the floor: a third of a step */
        cr_assert_str_eq(json_string_value(json_object_get(r.extra, "resampled")), "stated noise");
        end(&r, &d);
    }
    for (int k = 0; k < REPEATS; k++) square += (of[k] - mean) * (of[k] - mean) / (REPEATS - 1);
    cr_assert(said > .7 * sqrt(square) && said < 1.4 * sqrt(square), "said %g, is %g", said, sqrt(square));
}

Test(isoflop, budgets_flat_within_the_noise_are_dropped)
{
    fit_data d;
    fit_result r;
    isoflop_data(&d, &plain_truth, 5, 1, 0, 0);
    run_as(&r, &d, "lowest", "0.0005", 200);
    for (size_t j = 0; j < 5; j++) cr_assert(r.budgets[j].bracketed);
    fit_result_free(&r);
    for (size_t i = 0; i < 7; i++) /* three sizes are left of the smallest: the middle one wins a third of the time */
        if (i % 3) d.N[i] = d.N[i - i % 3], d.D[i] = d.D[i - i % 3], d.y[i] = 9;
        else d.y[i] = i == 3 ? 2.999 : 3;
    run_as(&r, &d, "lowest", "0.05", 200);
    cr_assert(!r.budgets[0].bracketed);
    cr_assert(strstr(r.budgets[0].why, "flat within the noise"), "%s", r.budgets[0].why);
    cr_assert(isnan(r.budgets[0].N_opt));
    end(&r, &d);
}

/* N_opt is the median over the noisy losses, not the noise-free vertex; ln sd is linear in ln loss between two stated ones:
 * each budget's spread is that of the sd which holds at its losses. */
Test(isoflop, noise_at_two_losses)
{
    fit_data d;
    fit_result bare, two, one;
    isoflop_data(&d, &plain_truth, 5, 1.1, 0, 0);
    run_as(&bare, &d, "parabola", NULL, 0);
    run_as(&two, &d, "parabola", "0.08@2.1,0.16@3.4", 400);
    for (size_t j = 0; j < 5; j++) {
        char text[32];
        double at = bare.budgets[j].loss_opt * 1.01;
        snprintf(text, sizeof text, "%.6f", .08 * pow(2, log(at / 2.1) / log(3.4 / 2.1)));
        run_as(&one, &d, "parabola", text, 400);
        cr_assert(two.budgets[j].bracketed && one.budgets[j].bracketed);
        cr_assert_gt(one.budgets[j].sd_ln_N, log(2) / 3 * 1.01);
        cr_assert_float_eq(two.budgets[j].sd_ln_N / one.budgets[j].sd_ln_N, 1, .25, "%zu: %g, %g", j, two.budgets[j].sd_ln_N,
                           one.budgets[j].sd_ln_N);
        cr_assert_neq(two.budgets[j].N_opt, bare.budgets[j].N_opt);
        cr_assert_float_eq(log(two.budgets[j].N_opt / bare.budgets[j].N_opt), 0, .2);
        fit_result_free(&one);
    }
    fit_result_free(&bare);
    end(&two, &d);
}

/* Without a statement the noise is that between seeds, else the parametric law's residuals. */
Test(isoflop, noise_is_taken_from_seeds_or_residuals)
{
    fit_data d;
    fit_result r;
    isoflop_data(&d, &plain_truth, 5, 1.1, .002, 3);
    run_as(&r, &d, "akima", NULL, 50);
    cr_assert(strstr(json_string_value(json_object_get(r.extra, "resampled")), "residuals"));
    cr_assert(r.a_opt.se > 0);
    fit_result_free(&r);
    d.seed_sd = .001;
    run_as(&r, &d, "akima", NULL, 50);
    cr_assert(strstr(json_string_value(json_object_get(r.extra, "resampled")), "seeds"));
    end(&r, &d);
    isoflop_data(&d, &plain_truth, 5, 1.1, 0, 3);
    for (size_t i = 0; i < d.n; i++) d.N[i] = d.N[i % 7], d.D[i] = d.C[i] / 6 / d.N[i]; /* sizes alike: no law to fit */
    d.n = 7;
    run_as(&r, &d, "lowest", NULL, 50);
    cr_assert_str_eq(json_string_value(json_object_get(r.extra, "resampled")), "no noise known");
    cr_assert_eq(r.boot_n, 0);
    cr_assert(json_is_null(json_object_get(r.extra, "bias")));
    end(&r, &d);
}

/* --- bias ---------------------------------------------------------------------------------------------------- */

static double of_bias(const fit_result *r, const char *key)
{
    return json_number_value(json_object_get(json_object_get(r->extra, "bias"), key));
}

static double ratio(const fit_result *r, const char *where)
{
    return json_number_value(json_object_get(json_object_get(json_object_get(r->extra, "bias"), where), "N_ratio"));
}

/* Sizes around `drift`^budget times the optimum, evenly in ln N. */
static void drifting(fit_data *d, const truth *t, double centre, double drift, double noise, uint64_t seed)
{
    isoflop_data(d, t, 5, centre, 0, 0);
    for (size_t i = 0; i < d->n; i++) {
        d->N[i] *= pow(drift, (double)(i / 7) - 2);
        d->D[i] = d->C[i] / (6 * d->N[i]);
        d->y[i] = true_loss(t, d->N[i], d->D[i]) * exp(noise * rng_normal(seed, RNG_TEST, 6, i));
    }
}

/* Trap T8: exact only for alpha = beta and centred sizes. On losses without noise the bias is all that is wrong, so it
 * must be what the method misses the truth by. Signs, from the expansion of the loss around its minimum in u = ln N,
 * third derivative ~ beta^2 - alpha^2, fourth > 0: least squares puts a cubic's slope into the line, so the vertex goes
 * down for beta > alpha, and back across the optimum where the sizes lie a little to one side of it. */
Test(isoflop, bias_is_what_the_method_misses_without_noise)
{
    static const struct {
        double beta, centre, drift;
        int a_sign, n_sign;
    } grids[] = {
        {.3371, 1, 1, 0, 0},     /* where the method is exact */
        {.3371, 1, 1.3, -1, -1}, /* too small at first, too large at last */
        {.3371, 1, 1 / 1.3, 1, 1}, {.45, 1, 1, 0, -1},  {.25, 1, 1, 0, 1},
        {.45, .8, 1.25, -1, -1},   {.3371, 1, 2, 1, 1}, /* far off: the parabola's vertex lags behind its sizes */
    };
    for (size_t k = 0; k < sizeof grids / sizeof *grids; k++) {
        truth t = plain_truth;
        t.beta = grids[k].beta;
        double a = t.beta / (t.alpha + t.beta), g = pow(t.alpha * t.A / (t.beta * t.B), 1 / (t.alpha + t.beta));
        fit_data d;
        fit_result r;
        drifting(&d, &t, grids[k].centre, grids[k].drift, 0, 0);
        run_as(&r, &d, "parabola", NULL, 0);
        double c = r.budgets[4].C, method = param(&r, "N_coef") * pow(c, r.a_opt.value), exact = g * pow(c / 6, a);
        double by = of_bias(&r, "a_opt"), n = ratio(&r, "at_largest");
        cr_expect_float_eq(by, r.a_opt.value - a, 1e-6, "grid %zu: %g", k, by);
        cr_expect_eq(has_reason(&r, "method_bias"), fabs(by) > .01);
        cr_expect_float_eq(of_bias(&r, "b_opt"), -by, 1e-6, "grid %zu", k);
        cr_expect_float_eq(n, method / exact, 1e-5, "grid %zu: %g", k, n);
        cr_expect_float_eq(ratio(&r, "at_10x"), n * pow(10, by), 1e-9);
        cr_expect(grids[k].a_sign ? by * grids[k].a_sign > 1e-3 : fabs(by) < 1e-7, "grid %zu: %g", k, by);
        cr_expect(grids[k].n_sign ? log(n) * grids[k].n_sign > 1e-3 : fabs(log(n)) < 1e-6, "grid %zu: %g", k, n);
        fit_result_free(&r);
        run_as(&r, &d, "lowest", NULL, 0); /* errs by the grid */
        exact = g * pow(r.budgets[4].C / 6, a);
        method = param(&r, "N_coef") * pow(r.budgets[4].C, r.a_opt.value);
        if (r.budgets[4].bracketed && k) { /* in grid 0 two sizes tie */
            cr_expect_float_eq(of_bias(&r, "a_opt"), r.a_opt.value - a, 1e-6, "grid %zu", k);
            cr_expect_float_eq(ratio(&r, "at_largest"), method / exact, 1e-5, "grid %zu", k);
        }
        end(&r, &d);
    }
}

/* With noise the estimate is of the bias, not of the error: over seeds the method misses the truth by it on average,
 * and its interval covers the bias. */
Test(isoflop, bias_is_seen_through_noise)
{
    enum { SEEDS = 24 };
    truth t = plain_truth;
    t.beta = .45;
    double a = t.beta / (t.alpha + t.beta), exact, mean = 0, off = 0;
    fit_data d;
    fit_result r;
    size_t covered = 0;
    drifting(&d, &t, 1, 2, 0, 0);
    run_as(&r, &d, "parabola", NULL, 0);
    exact = r.a_opt.value - a;
    cr_assert_float_eq(exact, .0255, 1e-4, "%g", exact);
    cr_assert(has_reason(&r, "method_bias"));
    end(&r, &d);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        drifting(&d, &t, 1, 2, .001, seed);
        run_as(&r, &d, "parabola", NULL, 60);
        const json_t *ci = json_object_get(json_object_get(json_object_get(r.extra, "bias"), "ci95"), "a_opt");
        mean += of_bias(&r, "a_opt") / SEEDS;
        off += (r.a_opt.value - a) / SEEDS;
        covered +=
            json_number_value(json_array_get(ci, 0)) <= exact && exact <= json_number_value(json_array_get(ci, 1));
        end(&r, &d);
    }
    cr_assert_float_eq(mean / exact, 1, .15, "%g, %g", mean, exact);
    cr_assert_float_eq(off / exact, 1, .5, "%g, %g", off, exact);
    cr_assert_geq(covered, SEEDS * 3 / 4);
}

/* Tokens that C does not give are asked for. */
Test(isoflop, no_tokens_no_lines)
{
    fit_data d;
    fit_result r;
    err e = {0};
    isoflop_data(&d, &plain_truth, 4, 1, 0, 0);
    free(d.D);
    d.D = NULL;
    run(&r, &d, 0); /* C/(6N) */
    cr_assert_float_eq(6 * r.budgets[1].N_opt * r.budgets[1].D_opt / r.budgets[1].C, 1, 1e-9);
    fit_result_free(&r);
    snprintf(d.flops_rule, sizeof d.flops_rule, "exact");
    fit_opts o = fit_opts_default(fit_laws[0]);
    cr_assert_eq(fit_isoflop(&r, &d, &o, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "--col D="), "%s", e.msg);
    end(&r, &d);
}

/* A budget on a coarser grid counts less: the lines are the weighted ones of what the budgets show. */
Test(isoflop, stated_noise_weighs_the_lines)
{
    fit_data d;
    fit_result r;
    double k = 0, mx = 0, my = 0, xx = 0, xy = 0, plain[2] = {0, 0};
    isoflop_data(&d, &plain_truth, 4, 1, 0, 0);
    for (size_t i = 21; i < 28; i++) { /* the largest: twice the step, and its optimum pushed away */
        double n = 3.1 * d.N[24] * pow(d.N[i] / d.N[24], 2);
        d.y[i] = true_loss(&plain_truth, n / 2.3, d.C[i] / 6 / n * 2.3);
        d.N[i] = n, d.D[i] = d.C[i] / 6 / n;
    }
    run_as(&r, &d, "parabola", "0.01", 100);
    cr_assert_eq(r.n_budgets, 4);
    for (int pass = 0; pass < 2; pass++)
        for (size_t j = 0; j < 4; j++) {
            const fit_budget *b = &r.budgets[j];
            double w = 1 / (b->sd_ln_N * b->sd_ln_N), x = log(b->C), y = log(b->N_opt);
            cr_assert(b->bracketed, "%s", b->why);
            if (!pass) k += w, mx += w * x, my += w * y;
            else xx += w * (x - mx / k) * (x - mx / k), xy += w * (x - mx / k) * (y - my / k);
            plain[pass] += pass ? (x - 1.5 * log(4) - log(3e18)) * y / (5 * log(4) * log(4)) : 0;
        }
    cr_assert_gt(r.budgets[3].sd_ln_N, 1.5 * r.budgets[0].sd_ln_N);
    cr_assert_float_eq(r.a_opt.value, xy / xx, 1e-9);
    cr_assert_gt(fabs(r.a_opt.value - plain[1]), 1e-3); /* and not the plain one */
    end(&r, &d);
}

/* Budgets that the data do not bracket have no part in the bias, though the law's losses there would. */
Test(isoflop, bias_counts_the_budgets_that_counted)
{
    fit_data d;
    fit_result r;
    isoflop_data(&d, &plain_truth, 5, 1, 0, 0);
    d.y[7] = .8 * d.y[10]; /* a run that cannot be: its budget does not bracket */
    run_as(&r, &d, "parabola", NULL, 0);
    cr_assert(!r.budgets[1].bracketed);
    cr_assert_eq(of_bias(&r, "n_budgets"), 4);
    cr_assert_eq(json_array_size(json_object_get(json_object_get(r.extra, "bias"), "budgets")), 4);
    end(&r, &d);
}
