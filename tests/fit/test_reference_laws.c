/* Published numbers of the laws beyond chinchilla: data-constrained (Muennighoff et al., rows D1-D6), precision (Kumar et al.), sparsity
 * (Frantar et al.), over-training, learning rate and batch. Rows that need the public data skip without MUSCALE_REFERENCE. */
#include <criterion/criterion.h>
#include <math.h>

#include "fit/decide.h"
#include "fit/problem.h"
#include "tests/fit/reference.h"
#include "tests/fit/synthetic.h"

/* Their stage 1: ln A, ln B, ln E, alpha = beta. */
static void stage_1(double *v)
{
    v[0] = exp(.6254804), v[1] = exp(6.255414), v[2] = exp(7.3049974), v[3] = v[4] = .3526596;
}
static const double published[2] = {15.387756, 5.309743}; /* R_D*, R_N* */

static double value(const char *name, const double *v, const double *x)
{
    fit_model m;
    err e = {0};
    cr_assert_eq(fit_model_init(&m, fit_law_find(name, &e), NULL, &e), ST_OK, "%s", e.msg);
    double y = fit_model_value(&m, v, x);
    fit_model_free(&m);
    return y;
}

Test(reference_laws, d1_values)
{
    double v[7], a[3] = {6.34e9, 242e9, 25e9}, b[3] = {8.67e9, 178e9, 25e9};
    stage_1(v);
    v[5] = published[0], v[6] = published[1];
    cr_assert_float_eq(value("data-constrained", v, a), 2.2256440889984477, 1e-12);
    cr_assert_float_eq(value("data-constrained", v, b), 2.2269634075087867, 1e-12);
    v[5] *= 1.001;
    cr_assert_neq(value("data-constrained", v, a), 2.2256440889984477);
}

static bool runs(fit_data *d)
{
    char path[IO_PATH_MAX];
    err e = {0};
    table t = {0};
    fit_input_opts in = {.count_rule = "total"};
    if (!reference_path(path, "datablations/fit182.csv")) return false;
    cr_assert_eq(table_read(&t, path, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(fit_input(d, &t, fit_law_find("data-constrained", &e), &in, NULL, NULL, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(d->n, 182);
    table_free(&t);
    return true;
}

static fit_opts stage_2(void)
{
    fit_opts o = fit_opts_default(fit_law_find("data-constrained", NULL));
    stage_1(o.fix);
    o.bootstrap = 0;
    return o;
}

static double r_squared(fit_problem *p, const double *phi)
{
    double mean = 0, rest = 0, all = 0, *q = malloc(p->n * sizeof *q);
    fit_problem_predict(p, phi, q, NULL);
    for (size_t i = 0; i < p->n; i++) mean += p->y[i] / (double)p->n;
    for (size_t i = 0; i < p->n; i++) {
        rest += (p->y[i] - exp(q[i])) * (p->y[i] - exp(q[i]));
        all += (p->y[i] - mean) * (p->y[i] - mean);
    }
    free(q);
    return 1 - rest / all;
}

Test(reference_laws, d2_d3_at_the_published_point)
{
    fit_data d;
    fit_problem p;
    err e = {0};
    double v[7], phi[FIT_MAX_PARAMS];
    NEED_REFERENCE(runs(&d));
    fit_opts o = stage_2();
    stage_1(v);
    v[5] = published[0], v[6] = published[1];
    cr_assert_eq(fit_problem_init(&p, &d, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(p.n_free, 2);
    fit_problem_phi(&p, phi, v);
    cr_assert_float_eq(fit_problem_eval(&p, phi, NULL, NULL), .015825935258, 1e-11);
    cr_assert_float_eq(r_squared(&p, phi), .7722046085, 1e-9);
    v[5] = v[6] = 1e12; /* no decay at all */
    fit_problem_phi(&p, phi, v);
    cr_assert_float_eq(r_squared(&p, phi), .4451684379, 1e-9, "%.12g", r_squared(&p, phi));
    fit_problem_free(&p);
    fit_data_free(&d);
}

Test(reference_laws, d4_published_point_stays_in_its_basin)
{
    fit_data d;
    fit_result r;
    err e = {0};
    double given[1][FIT_MAX_PARAMS];
    NEED_REFERENCE(runs(&d));
    fit_opts o = stage_2();
    stage_1(given[0]);
    given[0][5] = published[0], given[0][6] = published[1];
    o.starts = FIT_STARTS_GIVEN, o.n_given = 1, o.given = given;
    cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_float_eq(param(&r, "R_D_star") / 15.37, 1, .002);
    cr_assert_float_eq(param(&r, "R_N_star") / 5.32, 1, .002);
    fit_result_free(&r);
    fit_data_free(&d);
}

Test(reference_laws, d5_all_five_basins)
{
    static const double basin[5][3] = {
        {95.365, 1.7059, .0158046625}, {46.990, 2.3296, .0158073786}, {52.173, 2.1971, .0158083359}, /* a probe's */
        {160.71, 1.4487, .0158112893}, {15.372, 5.3151, .0158259321}};
    fit_data d;
    fit_result r;
    err e = {0};
    NEED_REFERENCE(runs(&d));
    fit_opts o = stage_2();
    cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_leq(r.objective_value, .0158047);
    cr_assert_eq(r.n_basins, 5); /* as 20,000 random starts have it */
    for (int k = 0; k < 5; k++) {
        bool found = false;
        for (size_t b = 0; b < r.n_basins; b++)
            found |= fabs(r.basins[b].params[5] / basin[k][0] - 1) < 1e-3 && fabs(r.basins[b].params[6] / basin[k][1] - 1) < 1e-3 &&
                     fabs(r.basins[b].objective_value - basin[k][2]) < 1e-9;
        cr_assert(found, "basin at R_D* %g is not listed", basin[k][0]);
    }
    cr_assert(has_reason(&r, "multiple_basins") || has_reason(&r, "conflicting_basins")); /* it says so */
    fit_result_free(&r);
    fit_data_free(&d);
}

Test(reference_laws, d6_decay_of_data_only)
{
    fit_data d;
    fit_result r;
    err e = {0};
    NEED_REFERENCE(runs(&d));
    fit_opts o = stage_2();
    cr_assert_eq(fit_opts_fix(&o, "R_N_star=1e15", &e), ST_OK);
    cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_float_eq(param(&r, "R_D_star"), 2.9149, 1e-4, "%.8g", param(&r, "R_D_star"));
    cr_assert_float_eq(r.objective_value, .0169223487, 1e-8, "%.10g", r.objective_value);
    fit_result_free(&r);
    fit_data_free(&d);
}

/* Kumar et al.: 7.0 bits with the offsets, 3.5 without; gamma and n of weights, activations, KV. */
Test(reference_laws, precision_best_bits)
{
    const double gamma[3] = {2.6745, 2.2102, .9578}, n[3] = {.3037, 1.4072, 2.4185}, none[3] = {0};
    double bits;
    err e = {0};
    cr_assert_eq(fit_precision_best(&bits, gamma, n, &e), ST_OK, "%s", e.msg);
    cr_assert_float_eq(bits, 7.0021, 1e-4, "%g", bits);
    cr_assert_eq(fit_precision_best(&bits, gamma, none, &e), ST_OK, "%s", e.msg);
    cr_assert_float_eq(bits, 3.4688, 1e-4, "%g", bits);
    cr_assert(isnan(fit_precision_share(gamma, n, 3.1))); /* activations: below gamma n = 3.110 the law says nothing */
    cr_assert(fit_precision_share(gamma, n, 3.2) > 0);
    /* best N over that at 16 bit: u^-.5 (P/16)^-.5, best D: u^.5 (P/16)^-.5; here at 8 bit */
    double u = fit_precision_share(gamma, n, 8) / fit_precision_share(gamma, n, 16);
    cr_assert_float_eq(1 / sqrt(u * .5), 1.5495, 1e-4);
    cr_assert_float_eq(sqrt(u / .5), 1.2908, 1e-4);
}

/* delta_PTQ in nats at 4 bit; their n_post is part of C_T here. */
Test(reference_laws, ptq_values)
{
    static const double at[][3] = {{1e6, 20, .00917}, {1e6, 200, .02945}, {1e6, 1000, .06658}, {5e6, 20, .01192}, {5e6, 1000, .08654}};
    const double v[4] = {.0598 * exp(1.1277), .5068, .3439, .5907};
    for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
        double x[3] = {at[k][0], at[k][0] * at[k][1], 4}, y[3] = {x[0], x[1], 3};
        cr_assert_float_eq(value("ptq", v, x), at[k][2], 6e-6, "%g", value("ptq", v, x));
        cr_assert_float_eq(value("ptq", v, y) / value("ptq", v, x), 5.435, 1e-3);
    }
}

Test(reference_laws, sparsity_test_point)
{
    const double v[7] = {.5678, .7216, 1.5227, .2451, .6336, .2027, .6507}, x[3] = {.75, 604, 5};
    cr_assert_float_eq(value("sparsity", v, x), 1.4683, 1e-4, "%g", value("sparsity", v, x));
}

Test(reference_laws, learning_rate_and_batch)
{
    const double step_lr[3] = {1.79, -.713, .307}, step_batch[2] = {.58, .571}, nd[2] = {1e9, 1e11};
    const double porian_lr[2] = {3.7, -.36}, porian_batch[2] = {.7576, .703}, n[1] = {1.08e8};
    const double deep_lr[2] = {.3118, -.125}, deep_batch[2] = {.292, .3271}, c[1] = {1e20}, d[1] = {1e11};
    cr_assert_float_eq(value("lr-power", step_lr, nd), .00163250, 1e-8);
    cr_assert_float_eq(value("batch-power-x", step_batch, d) / 1.10771e6, 1, 1e-5);
    cr_assert_float_eq(value("lr-power-x", porian_lr, n), .004744, 5e-7);
    cr_assert_float_eq(value("batch-power-x", porian_batch, n) / 336.5e3, 1, 2e-4);
    cr_assert_float_eq(value("lr-power-x", deep_lr, c), 9.86e-4, 5e-8);
    cr_assert_float_eq(value("batch-power-x", deep_batch, c) / 1.01714e6, 1, 1e-5);
}

/* Kaplan et al. at their joint constants; overtraining is chinchilla with equal exponents. */
Test(reference_laws, kaplan_and_overtraining_forms)
{
    const double k[4] = {6.4e13, 1.8e13, .076, .103}, x[2] = {1e9, 2e10};
    cr_assert_float_eq(value("kaplan", k, x), pow(pow(6.4e13 / 1e9, .076 / .103) + 1.8e13 / 2e10, .103), 1e-12);
    const double g[4] = {1.84, 141, 190 * pow(6, .115), -.23}, c[5] = {1.84, 141, 190, .23, .23}, nm[2] = {1e9, 20};
    cr_assert_float_eq(value("overtraining", g, nm), value("chinchilla", c, x), 1e-12);
    double n1, d1, n2, d2;
    fit_law_find("overtraining", NULL)->optimum(&n1, &d1, g, 1e21);
    fit_law_find("chinchilla", NULL)->optimum(&n2, &d2, c, 1e21);
    cr_assert_float_eq(n1 / n2, 1, 1e-12);
    cr_assert_float_eq(d1 / d2, 1, 1e-12);
}

/* Goyal et al.: one epoch is a power law in samples; with an endless half-life repetition costs nothing; and by hand at 2.5
 * epochs. */
Test(reference_laws, filtering_by_hand)
{
    double v[4] = {.003, .21, 3.7, .12}, first[2] = {4.1, 12.8}, more[2] = {32, 12.8}, whole[2] = {32, 50};
    cr_assert_float_eq(value("filtering", v, first), .12 + pow(.003 * 4.1, -.21), 1e-14);
    double half = exp2(-1 / 3.7), q = log(.003 * 12.8) + half * log(2.) + half * half * log(1.25);
    cr_assert_float_eq(value("filtering", v, more), .12 + exp(-.21 * q), 1e-14);
    v[2] = 1e9;
    cr_assert_float_eq(value("filtering", v, more), value("filtering", v, whole), 1e-8);
}
