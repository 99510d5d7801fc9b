/* fit/predict*.c: published check values, every question with its inverse, intervals, fit.json. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "fit/predict.h"

static const predict_cost six_nd = {.k = 6};
static const predict_ask nothing = {NAN, NAN, NAN, NAN, NAN};
enum { E_, A_, B_, ALPHA_, BETA_ };

static predict_law law_named(const char *name)
{
    predict_law law;
    err e = {0};
    cr_assert_eq(predict_law_init(&law, fit_law_find(name, &e), &e), ST_OK, "%s", e.msg);
    return law;
}

static predict_law chinchilla(double a, double b, double e0, double alpha, double beta)
{
    predict_law law = law_named("chinchilla");
    const double theta[5] = {e0, a, b, alpha, beta}, lo[3] = {1e6, 1e7, 1e14}, hi[3] = {1e8, 1e10, 1e18};
    memcpy(law.theta, theta, sizeof theta);
    memcpy(law.lo, lo, sizeof lo);
    memcpy(law.hi, hi, sizeof hi);
    law.residual_sd = .003;
    law.n_points = 24, law.n_params = 5;
    return law;
}
static predict_law replication(void) { return chinchilla(482.01, 2085.43, 1.8172, .3478, .3658); }
static predict_law hoffmann(void) { return chinchilla(406.4, 410.7, 1.69, .34, .28); }

static predict_point solve(const predict_law *law, const predict_cost *cost, predict_ask ask)
{
    predict_point p;
    err e = {0};
    cr_assert_eq(predict_solve(&p, law, law->theta, cost, &ask, &e), ST_OK, "%s", e.msg);
    return p;
}

static void close_to(double got, double printed, double unit, const char *what)
{
    cr_assert(fabs(got - printed) <= 0.5000001 * unit, "%s: %.9g, printed %.9g", what, got, printed);
}

/* Worked check values for both constant sets, to the printed digits. */
Test(predict, printed_check_values)
{
    static const struct { bool rep; double c, n, n_unit, m, m_unit, l; } rows[] = {
        {true, 1e18, 8.05319e7, 1e2, 25.699, 1e-3, 3.490492},
        {true, 1e20, 8.53477e8, 1e3, 22.880, 1e-3, 2.553405},
        {true, 5.76e23, 7.22487e10, 1e5, 18.391, 1e-3, 1.974441},
        {true, 1e24, 9.58607e10, 1e5, 18.137, 1e-3, 1.959712},
        {false, 5.76e23, 3.21899e10, 1e5, 92.647, 1e-3, 1.930748},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        predict_law law = rows[i].rep ? replication() : hoffmann();
        predict_ask ask = nothing;
        ask.c = rows[i].c;
        predict_point p = solve(&law, &six_nd, ask);
        close_to(p.n, rows[i].n, rows[i].n_unit, "N_opt");
        close_to(p.tokens_per_param, rows[i].m, rows[i].m_unit, "D/N");
        close_to(p.loss, rows[i].l, 1e-6, "L");
        cr_assert_float_eq(6 * p.n * p.d / p.c, 1, 1e-12);
        /* negative twin: a point 5 % off on the same budget is worse */
        for (int s = -1; s <= 1; s += 2) {
            double n = p.n * (1 + 0.05 * s);
            cr_assert(predict_law_loss(&law, law.theta, n, rows[i].c / (6 * n), rows[i].c) > p.loss);
        }
    }
    /* datablations, tied exponents: D as printed in that repository */
    predict_law tied = chinchilla(exp(6.255414), exp(7.3049974), exp(.6254804), .3526596, .3526596);
    predict_ask ask = nothing;
    ask.c = 5.76e23;
    predict_point p = solve(&tied, &six_nd, ask);
    cr_assert_float_eq(p.n / 69962173313.52, 1, 1e-9, "%.13g", p.n);
    cr_assert_float_eq(p.d / 1372170066384.24, 1, 1e-9, "%.13g", p.d);
    close_to(p.loss, 2.025162, 1e-6, "L");
}

/* Each question undoes another, with 6ND and with a cost that is not proportional to N. */
Test(predict, questions_are_inverses)
{
    enum { ROWS = 80 };
    double n[ROWS], f[ROWS];
    for (int i = 0; i < ROWS; i++) { /* width ladder: 4 layers, vocabulary 256, T 2048 */
        double w = 16 * (i + 1);
        n[i] = 12 * 4 * w * w + 256 * w;
        f[i] = 6 * n[i] + 6 * 4 * 2048 * w;
    }
    const predict_cost ladder = {.n_rows = ROWS, .n = n, .flops_per_token = f}, *costs[] = {&six_nd, &ladder};
    predict_law law = chinchilla(47.83, 214.3, 1.2172, .3173, .3671);
    for (int k = 0; k < 2; k++) {
        predict_ask a = nothing;
        a.c = 3.7e15;
        predict_point best = solve(&law, costs[k], a);
        cr_assert_float_eq(predict_flops_per_token(costs[k], best.n) * best.d / 3.7e15, 1, 1e-9);
        double tol = k ? 0.02 : 1e-9; /* the ladder's cost has kinks */
        predict_ask by_loss = nothing, by_n = nothing, by_d = nothing, nd = nothing, nc = nothing, dc = nothing, nl = nothing, dl = nothing;
        by_loss.loss = nl.loss = dl.loss = best.loss;
        by_n.n = nd.n = nc.n = nl.n = best.n;
        by_d.d = nd.d = dc.d = dl.d = best.d;
        nc.c = dc.c = best.c;
        predict_ask all[] = {by_loss, by_n, by_d, nd, nc, dc, nl, dl};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            predict_point p = solve(&law, costs[k], all[i]);
            double t = i < 3 ? tol : 1e-7;
            cr_assert_float_eq(p.n / best.n, 1, t, "cost %d, question %zu: N %g, not %g", k, i, p.n, best.n);
            cr_assert_float_eq(p.d / best.d, 1, 2 * t, "cost %d, question %zu: D %g, not %g", k, i, p.d, best.d);
            cr_assert_float_eq(p.loss, best.loss, 1e-4);
        }
        if (k) { /* the ladder's optimum is a minimum of its own cost, and not the 6ND one */
            for (double s = 0.9; s < 1.15; s += 0.2) {
                double m = best.n * s;
                cr_assert(predict_law_loss(&law, law.theta, m, best.c / predict_flops_per_token(&ladder, m), best.c) > best.loss);
            }
            cr_assert(fabs(best.n / solve(&law, &six_nd, a).n - 1) > 0.01);
        }
    }
}

Test(predict, what_cannot_be_reached_is_said)
{
    predict_law law = replication();
    predict_point p;
    err e = {0};
    predict_ask a = nothing;
    a.loss = 1.8;
    cr_assert_eq(predict_solve(&p, &law, law.theta, &six_nd, &a, &e), ST_DOMAIN);
    cr_assert(strstr(e.msg, "1.8172"), "%s", e.msg);
    a.loss = 2.0, a.n = 1e7;
    cr_assert_eq(predict_solve(&p, &law, law.theta, &six_nd, &a, &e), ST_DOMAIN);
    cr_assert(strstr(e.msg, "any number of tokens"), "%s", e.msg);
    a = nothing;
    a.loss = 2.0, a.d = 1e7;
    cr_assert_eq(predict_solve(&p, &law, law.theta, &six_nd, &a, &e), ST_DOMAIN);
    cr_assert(strstr(e.msg, "any number of parameters"), "%s", e.msg);
    a = nothing;
    cr_assert_eq(predict_solve(&p, &law, law.theta, &six_nd, &a, &e), ST_DOMAIN);
    a.c = -1;
    cr_assert_eq(predict_solve(&p, &law, law.theta, &six_nd, &a, &e), ST_DOMAIN);
    a.c = 1e20, a.loss = 2.5;
    cr_assert_eq(predict_solve(&p, &law, law.theta, &six_nd, &a, &e), ST_DOMAIN);
}

Test(predict, power_law_of_compute)
{
    predict_law law = law_named("power");
    law.x = PREDICT_C;
    law.theta[0] = 1.37, law.theta[1] = 812.4, law.theta[2] = .1734;
    law.n_points = 9, law.n_params = 3;
    predict_ask a = nothing;
    a.c = 2.3e17;
    predict_point p = solve(&law, &six_nd, a);
    cr_assert_float_eq(p.loss, 1.37 + 812.4 * pow(2.3e17, -.1734), 1e-12);
    cr_assert(isnan(p.n) && isnan(p.d));
    predict_ask back = nothing, wrong = nothing;
    back.loss = p.loss;
    cr_assert_float_eq(solve(&law, &six_nd, back).c / 2.3e17, 1, 1e-9);
    err e = {0};
    wrong.n = 1e6;
    cr_assert_eq(predict_solve(&p, &law, law.theta, &six_nd, &wrong, &e), ST_DOMAIN);
    cr_assert(strstr(e.msg, "--flops"), "%s", e.msg);
    wrong.d = 1e8; /* N and D give C */
    cr_assert_eq(predict_solve(&p, &law, law.theta, &six_nd, &wrong, &e), ST_OK);
    cr_assert_float_eq(p.c, 6e14, 1);
}

static predict_law with_draws(predict_law law, double sd, size_t n)
{
    law.n_draws = n;
    law.draws = calloc(n * FIT_MAX_PARAMS, sizeof *law.draws);
    cr_assert(law.draws);
    for (size_t b = 0; b < n; b++)
        for (int i = 0; i < 5; i++)
            law.draws[b * FIT_MAX_PARAMS + (size_t)i] = law.theta[i] * exp((i == E_ ? sd : 0) * rng_normal(5, RNG_TEST, (uint32_t)b, (uint64_t)i));
    return law;
}

Test(predict, intervals_nest_and_widen)
{
    predict_law law = with_draws(replication(), 0.002, 2000);
    predict_result r, calm;
    err e = {0};
    predict_ask a = nothing;
    a.c = 1e20;
    cr_assert_eq(predict_run(&r, &law, &six_nd, &a, 1, &e), ST_OK, "%s", e.msg);
    /* only E moves: sd of L is .002 E, 1.96 sd on each side; a run adds .003 L widened by sqrt(24/19), Student's t with 19 dof */
    double expected = 1.96 * .002 * 1.8172, noise = .003 * r.at.loss * sqrt(24. / 19);
    cr_assert_float_eq((r.ci_loss.hi - r.ci_loss.lo) / 2 / expected, 1, 0.06);
    cr_assert_float_eq((r.pi_loss.hi - r.pi_loss.lo) / 2 / hypot(expected, 2.09 * noise), 1, 0.06);
    cr_assert(r.pi_loss.lo < r.ci_loss.lo && r.ci_loss.hi < r.pi_loss.hi);
    cr_assert_float_eq(r.ci_n.lo / r.ci_n.hi, 1, 1e-9, "E does not move the optimum");
    cr_assert_float_eq(r.extrapolation_decades, 2, 1e-9, "C 1e20 against 1e18");
    cr_assert_float_eq(r.decades[PREDICT_N], log10(8.53477), 1e-5);
    predict_law few = law; /* two degrees of freedom: t is 4.30 where the normal has 1.96 */
    few.n_points = 7;
    cr_assert_eq(predict_run(&calm, &few, &six_nd, &a, 1, &e), ST_OK, "%s", e.msg);
    cr_assert_float_eq((calm.pi_loss.hi - calm.pi_loss.lo) / 2 / (4.303 * .003 * r.at.loss * sqrt(7. / 2)), 1, 0.12);
    law.residual_sd = 0; /* twin: without noise the run's interval is the mean's */
    cr_assert_eq(predict_run(&calm, &law, &six_nd, &a, 1, &e), ST_OK);
    cr_assert_float_eq(calm.pi_loss.hi, calm.ci_loss.hi, 1e-4);
    law.seed_sd = 0.02; /* the larger of the two noises counts */
    cr_assert_eq(predict_run(&r, &law, &six_nd, &a, 1, &e), ST_OK);
    cr_assert(r.pi_loss.hi - r.pi_loss.lo > 10 * (calm.pi_loss.hi - calm.pi_loss.lo));
    /* a loss that many draws cannot reach has no upper end */
    a = nothing;
    a.loss = 1.8190;
    cr_assert_eq(predict_run(&r, &law, &six_nd, &a, 1, &e), ST_OK, "%s", e.msg);
    cr_assert(r.n_unreachable > 100 && isinf(r.ci_c.hi) && isfinite(r.ci_c.lo));
    predict_law_free(&law);
}

Test(predict, learning_rate_of_a_width)
{
    double c[100], p[100];
    for (int b = 0; b < 100; b++) c[b] = -1 + 0.1 * rng_normal(1, RNG_TEST, (uint32_t)b, 0), p[b] = -0.9 + 0.02 * rng_normal(1, RNG_TEST, (uint32_t)b, 1);
    predict_lr_law sp = {.parametrisation = "sp", .known = true, .log2_c = -1, .p = -0.9, .n_groups = 4, .n_draws = 100, .log2_c_draws = c, .p_draws = p, .width_lo = 32, .width_hi = 256};
    predict_lr_law mup = {.parametrisation = "mup", .why = "1 of 4 widths bracketed"};
    predict_lr_law both[] = {sp, mup};
    predict_lr_laws laws = {2, both}, none = {0, NULL};
    predict_lr lr;
    err e = {0};
    cr_assert_eq(predict_lr_at(&lr, &laws, "sp", 1024, &e), ST_OK);
    cr_assert(lr.known);
    cr_assert_float_eq(log2(lr.lr), -10, 1e-9);
    cr_assert(lr.ci.lo < lr.lr && lr.lr < lr.ci.hi);
    cr_assert_float_eq(lr.octaves_beyond, 2, 1e-9);
    cr_assert_eq(predict_lr_at(&lr, &laws, "mup", 64, &e), ST_OK);
    cr_assert(!lr.known && strstr(lr.why, "1 of 4"));
    cr_assert_eq(predict_lr_at(&lr, &laws, "completep", 64, &e), ST_OK);
    cr_assert(!lr.known && strstr(lr.why, "completep"));
    cr_assert_eq(predict_lr_at(&lr, &none, "mup", 64, &e), ST_OK);
    cr_assert(!lr.known && strstr(lr.why, "--method lr-optimum"));
}

/* --- fit.json -------------------------------------------------------------------------------------- */

static const char good[] =
    "{\"schema\":\"muscale.fit/1\",\"law\":\"chinchilla\",\"method\":\"parametric\",\"n_points\":12,\"count_rule\":\"total\",\"flops_rule\":\"exact\","
    "\"params\":{\"E\":1.7,\"A\":400.5,\"B\":410.5,\"alpha\":0.34,\"beta\":0.28},"
    "\"points\":{\"N\":[1e6,2e6],\"D\":[1e7,3e7],\"C\":[7e13,4.2e14],\"loss\":[3.5,3.1]},"
    "\"bootstrap\":{\"n\":3,\"n_ok\":2,\"samples\":{\"E\":[1.6,null,1.8],\"A\":[1,2,3],\"B\":[1,2,3],\"alpha\":[1,2,3],\"beta\":[1,2,3]}},"
    "\"noise\":{\"residual_sd\":0.004,\"seed_sd\":null},\"domain\":{\"N\":[1e6,2e6],\"D\":[1e7,3e7]},\"trust\":{\"verdict\":\"%s\",\"reasons\":[]}}";

static status read_text(predict_fit *f, const char *text, err *e)
{
    char path[] = "/tmp/muscale_predict_XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    status s = predict_fit_read(f, path, e);
    unlink(path);
    return s;
}

Test(predict, reads_what_fit_writes)
{
    predict_fit f;
    err e = {0};
    char text[2048];
    snprintf(text, sizeof text, good, "ok");
    cr_assert_eq(read_text(&f, text, &e), ST_OK, "%s", e.msg);
    cr_assert(!f.is_lr && !f.refused && !f.raw);
    cr_assert_float_eq(f.loss.theta[B_], 410.5, 0);
    cr_assert_eq(f.loss.n_draws, 2, "the draw with null is left out");
    cr_assert_float_eq(f.loss.draws[FIT_MAX_PARAMS], 1.8, 0);
    cr_assert_float_eq(f.loss.hi[PREDICT_D], 3e7, 0);
    cr_assert_float_eq(f.loss.hi[PREDICT_C], 4.2e14, 0, "from the points when domain lacks it");
    cr_assert_float_eq(f.loss.lowest_loss, 3.1, 0);
    cr_assert_float_eq(f.loss.flops_per_param_token, 7, 1e-9);
    cr_assert(isnan(f.loss.seed_sd));
    cr_assert_eq(strlen(f.sha256), 64);
    predict_fit_free(&f);
    snprintf(text, sizeof text, good, "refuse");
    char *e_value = strstr(text, "\"E\":1.7"); /* what the data do not identify is null and stands under raw */
    memcpy(e_value, "\"E\":nul", 7);
    memmove(e_value + 8, e_value + 7, strlen(e_value + 7) + 1);
    e_value[7] = 'l';
    char *end = strrchr(text, '}');
    snprintf(end, sizeof text - (size_t)(end - text), ",\"raw\":{\"E\":0.01}}");
    cr_assert_eq(read_text(&f, text, &e), ST_OK, "%s", e.msg);
    cr_assert(f.refused && f.raw);
    cr_assert_float_eq(f.loss.theta[E_], 0.01, 0);
    predict_fit_free(&f);
}

Test(predict, damaged_fits_are_refused)
{
    static const struct { const char *text, *says; } bad[] = {
        {"{\"schema\":\"muscale.fit/1\",", "not JSON"},
        {"", "not JSON"},
        {"{\"schema\":\"muscale.plan/1\"}", "muscale.plan/1"},
        {"{\"schema\":\"muscale.fit/1\",\"law\":\"kaplam\"}", "kaplam"},
        {"{\"schema\":\"muscale.fit/1\",\"law\":\"chinchilla\",\"method\":\"isoflop\",\"params\":{}}", "--method parametric"},
        {"{\"schema\":\"muscale.fit/1\",\"law\":\"lr-optimum\"}", "trend"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        predict_fit f;
        err e = {0};
        cr_assert_eq(read_text(&f, bad[i].text, &e), ST_INPUT, "%s", bad[i].text);
        cr_assert(strstr(e.msg, bad[i].says), "%s", e.msg);
        cr_assert(strstr(e.msg, "/tmp/muscale_predict_"), "%s", e.msg);
        predict_fit_free(&f);
    }
    predict_fit f;
    err e = {0};
    cr_assert_eq(status_exit(predict_fit_read(&f, "/nonexistent/fit.json", &e)), 3, "%s", e.msg);
    predict_fit_free(&f);
}

Test(predict, reads_a_learning_rate_fit)
{
    predict_fit f;
    err e = {0};
    const char *text = "{\"schema\":\"muscale.fit/1\",\"law\":\"lr-optimum\",\"trend\":["
        "{\"parametrisation\":\"mup\",\"c\":0.0078125,\"p\":0.05,\"ci95\":{\"p\":[-0.1,0.2]},\"n_groups\":4,\"width\":[32,256],\"why\":null,\"samples\":{\"c\":[0.0078125,0.015625],\"p\":[0.0,0.1]}},"
        "{\"parametrisation\":\"sp\",\"c\":null,\"p\":null,\"ci95\":null,\"n_groups\":1,\"why\":\"1 of 4 widths bracketed\",\"samples\":{\"c\":[],\"p\":[]}}],\"trust\":{\"verdict\":\"warn\",\"reasons\":[]}}";
    cr_assert_eq(read_text(&f, text, &e), ST_OK, "%s", e.msg);
    cr_assert(f.is_lr && f.lr.n == 2 && f.lr.laws[0].known && !f.lr.laws[1].known);
    cr_assert_float_eq(f.lr.laws[0].log2_c, -7, 1e-12);
    cr_assert_eq(f.lr.laws[0].n_draws, 2);
    cr_assert_str_eq(f.lr.laws[1].why, "1 of 4 widths bracketed");
    predict_fit_free(&f);
}

/* --- laws beyond chinchilla ------------------------------------------------------------------------ */

/* Sardana et al. 2023: table A (l = L(70e9, 1.4e12), both constant sets) and their figure 1 (B). */
Test(predict, serving_moves_the_optimum)
{
    static const struct { bool rep; double served, n, m; } rows[] = {
        {false, 0, 2.99783e10, 91.245},  {false, 1e11, 2.94107e10, 94.812}, {false, 1e12, 2.56655e10, 125.468}, {false, 1e13, 1.58494e10, 381.669},
        {true, 0, 7.29926e10, 18.382},   {true, 1e11, 7.06184e10, 19.647},  {true, 1e12, 5.76917e10, 30.068},   {true, 1e13, 3.44991e10, 108.617},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        predict_law law = rows[i].rep ? replication() : hoffmann();
        predict_ask a = nothing;
        a.loss = predict_law_loss(&law, law.theta, 70e9, 1.4e12, NAN);
        a.serve = rows[i].served;
        predict_point p = solve(&law, &six_nd, a);
        cr_assert_float_eq(p.n / rows[i].n, 1, 5e-6, "%zu: N %.6g", i, p.n);
        cr_assert_float_eq(p.tokens_per_param / rows[i].m, 1, 3e-5, "%zu: D/N %.6g", i, p.tokens_per_param);
    }
    predict_law law = chinchilla(406.4, 410.7, 1.69, .336, .283);
    predict_ask quality = nothing, a = nothing;
    quality.n = 13e9;
    predict_point big = solve(&law, &six_nd, quality);
    cr_assert_float_eq(big.d / 5.765e11, 1, 1e-4);
    cr_assert_float_eq(big.loss, 2.045282, 1e-6);
    a.loss = big.loss, a.serve = 2e12;
    predict_point p = solve(&law, &six_nd, a);
    cr_assert_float_eq(p.n / 6.9686e9, 1, 1e-5);
    cr_assert_float_eq(p.d / 1.24784e12, 1, 1e-5);
    cr_assert_float_eq(p.total / 8.0049e22, 1, 1e-5);
    cr_assert_float_eq(p.plain_total / 9.6966e22, 1, 1e-5);
    cr_assert_float_eq(1 - p.total / p.plain_total, .1745, 5e-5); /* paper: 17 % */
    a.loss = NAN, a.c = big.c; /* the same asked by the budget of that 13B */
    cr_assert_float_eq(solve(&law, &six_nd, a).n / p.n, 1, 1e-6);
}

/* The numeric frontier against the closed form: the same law typed as a formula has none. */
Test(predict, typed_law_finds_the_same_frontier)
{
    const char *cols[] = {"N", "D"};
    predict_law law = replication(), typed;
    fit_law *row;
    err e = {0};
    cr_assert_eq(fit_law_typed(&row, "E + A*N^-alpha + B*D^-beta", cols, 2, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(predict_law_init(&typed, row, &e), ST_OK, "%s", e.msg);
    typed.typed = row;
    for (size_t j = 0; j < 5; j++) typed.theta[j] = law.theta[fit_law_param(law.law, row->params[j].name)];
    for (int question = 0; question < 4; question++) {
        predict_ask a = nothing;
        *(question == 0 ? &a.c : question == 1 ? &a.loss : question == 2 ? &a.n : &a.d) = question == 0 ? 3e21 : question == 1 ? 2.1 : question == 2 ? 4e9 : 5e10;
        predict_point x = solve(&law, &six_nd, a), y = solve(&typed, &six_nd, a);
        cr_assert_float_eq(y.n / x.n, 1, 1e-5, "question %d: %g, %g", question, y.n, x.n);
        cr_assert_float_eq(y.d / x.d, 1, 1e-5, "question %d: %g, %g", question, y.d, x.d);
    }
    predict_law_free(&typed);
}

/* data-constrained: with tokens enough it is chinchilla; with few unique ones the best run is smaller than that and repeats. */
Test(predict, unique_tokens_limit_the_run)
{
    const double theta[7] = {1.8691, 520.8, 1487.7, .3526596, .3526596, 15.387756, 5.309743};
    predict_law law = law_named("data-constrained"), free_data = chinchilla(520.8, 1487.7, 1.8691, .3526596, .3526596);
    memcpy(law.theta, theta, sizeof theta);
    predict_ask a = nothing;
    a.c = 1e22;
    predict_point x = solve(&free_data, &six_nd, a), y = solve(&law, &six_nd, a);
    cr_assert_float_eq(y.n / x.n, 1, 1e-6);
    cr_assert(isnan(y.epochs));
    law.unique_tokens = x.d / 10;
    predict_point z = solve(&law, &six_nd, a);
    cr_assert_gt(z.loss, x.loss);
    cr_assert_gt(z.epochs, 3);
    cr_assert_float_eq(z.epochs * law.unique_tokens / z.d, 1, 1e-12);
    for (double s = .9; s < 1.2; s += .2) { /* it is a minimum along the budget */
        double n = z.n * s;
        cr_assert_gt(predict_law_loss(&law, law.theta, n, a.c / (6 * n), a.c), z.loss);
    }
    predict_law_free(&law);
}

Test(predict, reads_a_law_typed_by_the_user)
{
    predict_fit f;
    err e = {0};
    const char *text = "{\"schema\":\"muscale.fit/1\",\"law\":\"custom\",\"formula\":\"E - s*log(N) + B*D^-q\",\"method\":\"parametric\",\"n_points\":30,"
        "\"params\":{\"E\":4.5,\"s\":-0.05,\"B\":31.0,\"q\":0.25},\"points\":{\"N\":[1e6],\"D\":[1e8],\"loss\":[3.1]},\"trust\":{\"verdict\":\"ok\",\"reasons\":[]}}";
    cr_assert_eq(read_text(&f, text, &e), ST_OK, "%s", e.msg);
    cr_assert_float_eq(predict_law_loss(&f.loss, f.loss.theta, 2e6, 3e8, NAN), 4.5 + .05 * log(2e6) + 31 * pow(3e8, -.25), 1e-12);
    predict_fit_free(&f);
}
