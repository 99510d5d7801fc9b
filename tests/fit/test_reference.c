/* Published numbers on public data (doc/reference.md). Skipped where MUSCALE_REFERENCE is unset; where it is set a
 * missing file is a failure. Each test names the row it covers; the list below says which rows wait for their law. */
#include <criterion/criterion.h>
#include <gsl/gsl_cdf.h>
#include <jansson.h>
#include <math.h>

#include "fit/likelihood.h"
#include "tests/fit/reference.h"
#include "tests/fit/synthetic.h"

static const struct { const char *row, *state;
} rows[] = {
    {"C1", "tested"},
    {"C2", "tested"},
    {"C3", "tested"},
    {"C4", "tested"},
    {"C5", "tested"},
    {"C6", "tested"},
    {"C7", "tested"},
    {"C8", "tested"},
    {"C9", "tested"},
    {"C10", "tested"},
    {"C11", "tested"},
    {"C12", "tested"},
    {"D1-D6", "tested (test_reference_laws)"},
    {"M1-M5", "tested (test_reference_curve)"},
    {"I1", "tested"},
    {"I2", "tested"},
    {"I3", "tested"},
    {"I4", "tested"},
};

/* The 245 points, with --where if not NULL. False: no reference. */
static bool chinchilla(fit_data *d, const char *where)
{
    static const char *const cols[] = {"N=Model Size", "C=Training FLOP", "loss=loss"};
    char path[IO_PATH_MAX];
    err e = {0};
    table t = {0};
    fit_input_opts in = {.cols = cols, .n_cols = 3, .where = where, .count_rule = "total", .flops_rule = "6N"};
    if (!reference_path(path, "chinchilla_svg/svg_extracted_data.csv")) return false;
    cr_assert_eq(table_read(&t, path, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_rows, 245); /* C1 */
    cr_assert_eq(fit_input(d, &t, fit_laws[0], &in, NULL, NULL, &e), ST_OK, "%s", e.msg);
    table_free(&t);
    return true;
}

#define FILTER "loss < 3.4469"

static void run(fit_result *r, fit_data *d, fit_opts *o)
{
    err e = {0};
    cr_assert_eq(fit_run(r, d, o, &e), ST_OK, "%s", e.msg);
}

Test(reference, rows)
{
    char path[IO_PATH_MAX];
    NEED_REFERENCE(reference_path(path, "chinchilla_svg/svg_extracted_data.csv"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) printf("%-6s %s\n", rows[i].row, rows[i].state);
}

Test(reference, c2_objective_at_published_parameters)
{
    static const struct { double v[5], f; } at[] = {
        {{0, 0, 0, .33917084, .2849083}, .0012311626}, {{1.69, 406.4, 410.7, .34, .28}, .0041210091}};
    fit_data d;
    fit_problem p;
    err e = {0};
    NEED_REFERENCE(chinchilla(&d, FILTER));
    cr_assert_eq(d.n, 240);
    fit_opts o = fit_opts_default(fit_laws[0]);
    cr_assert_eq(fit_problem_init(&p, &d, &o, &e), ST_OK);
    for (int k = 0; k < 2; k++) {
        double phi[5], v[5];
        memcpy(v, at[k].v, sizeof v);
        if (k == 0) v[0] = exp(.5267228), v[1] = exp(6.0073404), v[2] = exp(6.0179186);
        fit_problem_phi(&p, phi, v);
        /* the table prints 10 decimals */
        cr_assert_float_eq(fit_problem_eval(&p, phi, NULL, NULL), at[k].f, 6e-11, "%d: %.12g", k,
                           fit_problem_eval(&p, phi, NULL, NULL));
    }
    fit_problem_free(&p);
    fit_data_free(&d);
}

Test(reference, c3_c4_c5_optimum)
{
    fit_data d;
    fit_result r;
    NEED_REFERENCE(chinchilla(&d, FILTER));
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 0;
    run(&r, &d, &o);
    cr_assert_leq(r.objective_value, .00101827405, "%.14g", r.objective_value);
    cr_assert_float_eq(param(&r, "E"), 1.8172, 2e-4);
    cr_assert_float_eq(param(&r, "alpha"), .34731, 1e-4);
    cr_assert_float_eq(param(&r, "beta"), .36717, 2e-4);
    cr_assert_float_eq(r.a_opt.value, .5139, 2e-4);
    cr_assert_float_eq(param(&r, "A") / 477.83, 1, .005);
    cr_assert_float_eq(param(&r, "B") / 2143.4, 1, .01);
    cr_assert_geq(r.n_reached, 95); /* fit/starts.c */
    cr_assert_eq(r.n_basins, 1);
    cr_assert_eq(r.trust.verdict, FIT_OK);
    fit_result_free(&r);
    o.solver = fit_solver_find("gsl-bfgs", NULL); /* the cross-check */
    run(&r, &d, &o);
    cr_assert_leq(r.objective_value, .00101827405);
    fit_result_free(&r);
    fit_data_free(&d);
}

Test(reference, c10_squared_error)
{
    fit_data d;
    fit_result r;
    NEED_REFERENCE(chinchilla(&d, FILTER " and C < 1e21"));
    cr_assert_eq(d.n, 217);
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 0;
    o.objective = fit_objective_find("mse", NULL);
    for (size_t s = 0; fit_solver_name(s); s++) {
        o.solver = fit_solver_find(fit_solver_name(s), NULL);
        run(&r, &d, &o);
        cr_assert_float_eq(r.objective_value, .062414, 1e-6);
        cr_assert_float_eq(param(&r, "E") / 1.90509, 1, 1e-4);
        cr_assert_float_eq(param(&r, "alpha") / .35106, 1, 1e-4);
        cr_assert_float_eq(param(&r, "beta") / .45874, 1, 1e-4);
        cr_assert_float_eq(param(&r, "A") * pow(1e6, -param(&r, "alpha")) / 4.00052, 1,
                           1e-4); /* given for N/1e6, D/1e9 */
        cr_assert_float_eq(param(&r, "B") * pow(1e9, -param(&r, "beta")) / 1.05095, 1, 1e-4);
        fit_result_free(&r);
    }
    fit_data_free(&d);
}

Test(reference, c11_row_bootstrap)
{
    fit_data d;
    fit_result r;
    NEED_REFERENCE(chinchilla(&d, FILTER));
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 1000;
    run(&r, &d, &o);
    cr_assert_eq(r.boot_ok, 1000);
    cr_assert_float_eq(r.params[0].se / .02566, 1, .1);
    cr_assert_float_eq(r.params[3].se / .0154, 1, .1);
    cr_assert_float_eq(r.params[4].se / .0206, 1, .1);
    cr_assert_float_eq(r.a_opt.se / .020, 1, .1);
    cr_assert_float_eq(r.params[1].se / 124.5, 1, .15);
    cr_assert_float_eq(r.params[2].se / 1293, 1, .3);
    cr_assert_eq(r.trust.verdict, FIT_OK);
    fit_result_free(&r);
    fit_data_free(&d);
}

/* Natural parameters E, A, B, alpha, beta: the replication's reported point at full digits, Hoffmann's unrounded and rounded. */
static void published_points(double v[3][5])
{
    const double at[3][5] = {{exp(.59711196), exp(6.17795598), exp(7.64273236), .34781303, .36585412},
                             {exp(.5267228), exp(6.0073404), exp(6.0179186), .33917084, .2849083},
                             {1.69, 406.4, 410.7, .34, .28}};
    memcpy(v, at, sizeof at);
}

static void log_likelihoods(double *l, const fit_data *d)
{
    double v[3][5], phi[5];
    fit_problem p;
    err e = {0};
    fit_opts o = fit_opts_default(fit_laws[0]);
    published_points(v);
    cr_assert_eq(fit_problem_init(&p, d, &o, &e), ST_OK);
    for (int k = 0; k < 3; k++) {
        fit_problem_phi(&p, phi, v[k]);
        cr_assert_eq(fit_log_likelihood_at(&l[k], NULL, &p, phi, &e), ST_OK);
    }
    fit_problem_free(&p);
}

Test(reference, c6_c7_c8_log_likelihoods)
{
    static const double printed[2][3] = {{879.7731, 837.7754, 562.2527}, {757.8046, 714.4294, 531.8920}};
    for (int all = 0; all < 2; all++) {
        fit_data d;
        double l[3];
        NEED_REFERENCE(chinchilla(&d, all ? NULL : FILTER));
        log_likelihoods(l, &d);
        for (int k = 0; k < 3; k++) cr_assert_float_eq(l[k], printed[all][k], 1e-3, "%d %d: %.6f", all, k, l[k]);
        if (!all) { /* C8, first half: five degrees of freedom */
            double ratio = 2 * (l[0] - l[1]);
            cr_assert_float_eq(ratio, 84.00, .005, "%g", ratio);
            cr_assert_float_eq(gsl_cdf_chisq_Q(ratio, 5) / 1.22e-16, 1, .01);
        }
        fit_data_free(&d);
    }
}

/* Wald: covariance of (E, A, B in logs, alpha, beta) over the resamples, at our own optimum: theirs is 238.40 within 2 %. */
Test(reference, c8_wald)
{
    enum { P = 5 };
    fit_data d;
    fit_result r;
    double v[3][5], mean[P] = {0}, c[P * P] = {0}, diff[P], x[P], wald = 0;
    NEED_REFERENCE(chinchilla(&d, FILTER));
    published_points(v);
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 4000;
    o.warm = true;
    run(&r, &d, &o);
    for (int pass = 0; pass < 2; pass++)
        for (size_t b = 0; b < r.boot_ok; b++)
            for (int i = 0; i < P; i++) {
                const double *s = r.samples + b * P;
                double si = i < 3 ? log(s[i]) : s[i];
                if (!pass) mean[i] += si / (double)r.boot_ok;
                for (int j = 0; j < P && pass; j++) c[i * P + j] += (si - mean[i]) * ((j < 3 ? log(s[j]) : s[j]) - mean[j]) / (double)(r.boot_ok - 1);
            }
    for (int i = 0; i < P; i++) diff[i] = i < 3 ? log(r.params[i].value / v[1][i]) : r.params[i].value - v[1][i];
    cr_assert(fit_cholesky_solve(c, x, diff, P));
    for (int i = 0; i < P; i++) wald += x[i] * diff[i];
    cr_assert_float_eq(wald / 238.40, 1, .02, "%g", wald);
    fit_result_free(&r);
    fit_data_free(&d);
}

/* C9: two-sided, Student's t with 240 - 5 degrees of freedom at their standard errors; the normal gives 1.5e-6 and 8.5e-5. */
Test(reference, c9_p_of_hoffmanns_values)
{
    double v[3][5];
    published_points(v);
    cr_assert_float_eq(2 * gsl_cdf_tdist_Q((v[0][0] - v[1][0]) / .02566, 235) / 2.7e-6, 1, .1);
    cr_assert_float_eq(2 * gsl_cdf_tdist_Q((v[0][4] - v[1][4]) / .02060, 235) / 1.1e-4, 1, .1);
}

/* 40 model sizes, split at gaps of 0.02 in ln N. */
Test(reference, c12_cluster_bootstrap_and_profile_of_e)
{
    static const double profile[][2] = {{1.70, .00112733}, {1.75, .00105729}, {1.78, .00103007},
                                        {1.84, .00102366}, {1.86, .00103715}, {1.90, .00108913}};
    fit_data d;
    fit_result r;
    err e = {0};
    NEED_REFERENCE(chinchilla(&d, FILTER));
    d.cluster = calloc(d.n, sizeof *d.cluster);
    uint32_t top = 0;
    for (size_t i = 0; i < d.n; i++) { /* number of gaps below this row's N */
        double last = 0;
        for (;;) {
            double next = INFINITY;
            for (size_t j = 0; j < d.n; j++)
                if (d.N[j] > last && d.N[j] < next) next = d.N[j];
            if (next > d.N[i]) break;
            d.cluster[i] += last > 0 && log(next / last) > .02;
            last = next;
        }
        if (d.cluster[i] > top) top = d.cluster[i];
    }
    cr_assert_eq(top + 1, 40);
    fit_opts o = fit_opts_default(fit_laws[0]);
    run(&r, &d, &o);
    cr_assert_float_eq(r.params[0].se / .0287, 1, .1, "E %g", r.params[0].se);
    cr_assert_float_eq(r.params[3].se / .0191, 1, .1, "alpha %g", r.params[3].se);
    cr_assert_float_eq(r.params[4].se / .0172, 1, .1, "beta %g", r.params[4].se);
    cr_assert_float_eq(r.params[1].se / 167.7, 1, .1, "A %g", r.params[1].se);
    cr_assert_float_eq(r.params[2].se / 908, 1, .3, "B %g", r.params[2].se);
    cr_assert_float_eq(r.a_opt.se / .0206, 1, .1, "a_opt %g", r.a_opt.se);
    fit_result_free(&r);
    o.bootstrap = 0;
    o.profile = true; /* its interval of E ends where ln L is 1.92 lower */
    run(&r, &d, &o);
    cr_assert_eq(r.n_profiles, 5);
    o.profile = false;
    for (int end = 0; end < 2; end++) {
        fit_result edge;
        char text[32];
        snprintf(text, sizeof text, "E=%.12g", end ? r.profiles[0].hi : r.profiles[0].lo);
        cr_assert_eq(fit_opts_fix(&o, text, &e), ST_OK);
        run(&edge, &d, &o);
        cr_assert_float_eq(r.log_likelihood - edge.log_likelihood, 1.9207, 1e-3, "%g", r.log_likelihood - edge.log_likelihood);
        fit_result_free(&edge);
    }
    fit_result_free(&r);
    for (size_t k = 0; k < sizeof profile / sizeof *profile; k++) {
        char text[32];
        snprintf(text, sizeof text, "E=%g", profile[k][0]);
        cr_assert_eq(fit_opts_fix(&o, text, &e), ST_OK);
        run(&r, &d, &o);
        cr_assert_float_eq(r.objective_value, profile[k][1], 1e-7);
        fit_result_free(&r);
    }
    fit_data_free(&d);
}

Test(reference, permuted_chinchilla_losses_are_never_ok)
{
    for (uint64_t seed = 0; seed < 3; seed++) {
        fit_data d;
        fit_result r;
        NEED_REFERENCE(chinchilla(&d, FILTER));
        permute_losses(&d, seed);
        fit_opts o = fit_opts_default(fit_laws[0]);
        o.bootstrap = 20;
        run(&r, &d, &o);
        cr_assert_neq(r.trust.verdict, FIT_OK);
        fit_result_free(&r);
        fit_data_free(&d);
    }
}

static bool isoflops(fit_data *d)
{
    char path[IO_PATH_MAX];
    if (!reference_path(path, "cs336-isoflops/isoflops_curves.json")) return false;
    json_t *a = json_load_file(path, 0, NULL);
    data_alloc(d, json_array_size(a));
    cr_assert_eq(d->n, 72);
    for (size_t i = 0; i < d->n; i++) {
        const json_t *o = json_array_get(a, i);
        d->N[i] = json_number_value(json_object_get(o, "parameters"));
        d->C[i] = json_number_value(json_object_get(o, "compute_budget"));
        d->y[i] = json_number_value(json_object_get(o, "final_loss"));
        d->D[i] = d->C[i] / (6 * d->N[i]);
    }
    json_decref(a);
    return true;
}

Test(reference, i1_i4_noise_free_isoflops)
{
    fit_data d;
    fit_result r;
    double n, dd, v[5];
    NEED_REFERENCE(isoflops(&d));
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 0;
    run(&r, &d, &o);
    cr_assert_float_eq(param(&r, "E") / 2.69, 1, 1e-6);
    cr_assert_float_eq(param(&r, "alpha") / .34, 1, 1e-6);
    cr_assert_float_eq(param(&r, "beta") / .36, 1, 1e-6);
    cr_assert_float_eq(param(&r, "A") / 1606.4, 1, 1e-5);
    cr_assert_float_eq(param(&r, "B") / 3210.7, 1, 1e-5);
    cr_assert_lt(r.residual_sd, 3e-9);
    for (size_t j = 0; j < 5; j++) v[j] = r.params[j].value;
    fit_laws[0]->optimum(&n, &dd, v, 1e23);
    cr_assert_float_eq(n / 9.18925e10, 1, 1e-5);
    cr_assert_float_eq(dd / 1.81371e11, 1, 1e-5);
    fit_laws[0]->optimum(&n, &dd, v, 1e24);
    cr_assert_float_eq(n / 3.00307e11, 1, 1e-5);
    cr_assert_float_eq(dd / 5.54987e11, 1, 1e-5);
    fit_result_free(&r);
    fit_data_free(&d);
}

Test(reference, i2_isoflop_method)
{
    fit_data d;
    fit_result r;
    err e = {0};
    NEED_REFERENCE(isoflops(&d));
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 0;
    cr_assert_eq(fit_isoflop(&r, &d, &o, &e), ST_OK);
    cr_assert_eq(r.n_budgets, 9);
    cr_assert_float_eq(r.a_opt.value, .51458, 1e-4, "%g", r.a_opt.value);
    cr_assert_float_eq(param(&r, "N_coef") * pow(1e23, r.a_opt.value) / 9.1144e10, 1, 1e-3);
    cr_assert_float_eq(param(&r, "N_coef") * pow(1e24, r.a_opt.value) / 2.98064e11, 1, 1e-3);
    fit_result_free(&r);
    fit_data_free(&d);
}

/* The lowest run per budget, and what the command itself says of its bias: -.046 on a_opt. */
Test(reference, i3_lowest_run_and_its_bias)
{
    fit_data d;
    fit_result r;
    err e = {0};
    NEED_REFERENCE(isoflops(&d));
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 0;
    o.minimum = fit_minimum_find("lowest", &e);
    cr_assert_eq(fit_isoflop(&r, &d, &o, &e), ST_OK);
    cr_assert_float_eq(r.a_opt.value, .46868, 1e-4, "%g", r.a_opt.value);
    cr_assert_float_eq(param(&r, "N_coef") * pow(1e23, r.a_opt.value) / 7.0054e10, 1, 1e-3);
    cr_assert_float_eq(param(&r, "N_coef") * pow(1e24, r.a_opt.value) / 2.06119e11, 1, 1e-3);
    double a = json_number_value(json_object_get(json_object_get(r.extra, "parametric"), "a_opt"));
    double bias = json_number_value(json_object_get(json_object_get(r.extra, "bias"), "a_opt"));
    cr_assert_float_eq(a, .36 / .7, 1e-6);
    cr_assert_float_eq(bias, r.a_opt.value - a, 1e-6, "%g", bias); /* the data are free of noise: the bias is all there is */
    cr_assert(has_reason(&r, "method_bias"));
    fit_result_free(&r);
    fit_data_free(&d);
}
