/* Method envelope on curves of known truth. A staircase of n equal stairs has the least-squares slope a (1 - 1/n^2) where its
 * corners lie on a line of slope a: with n sizes that hold a part each, that is what must come out. */
#include <criterion/criterion.h>
#include <math.h>

#include "tests/fit/synthetic.h"

enum { SIZES = 14, STEPS = 60, POINTS = SIZES * STEPS };
static const double RATIO = 1.5849; /* between sizes */

/* Curves of SIZES sizes from 1e7, STEPS points each from 0.3 to 600 tokens per parameter; of a curve a factor common to its
 * points, and one of each point. */
static void curves(fit_data *d, const truth *t, double of_curve, double of_point, uint64_t seed)
{
    data_alloc(d, POINTS);
    d->cluster = malloc(POINTS * sizeof *d->cluster);
    snprintf(d->cluster_name, sizeof d->cluster_name, "run");
    for (size_t i = 0; i < POINTS; i++) {
        size_t k = i / STEPS;
        d->cluster[i] = (uint32_t)k;
        d->N[i] = 1.0137e7 * pow(RATIO, (double)k);
        d->D[i] = .3 * d->N[i] * pow(2000, (double)(i % STEPS) / (STEPS - 1));
        d->C[i] = 6 * d->N[i] * d->D[i];
        d->y[i] = true_loss(t, d->N[i], d->D[i]) * exp(of_curve * rng_normal(seed, RNG_TEST, 40, k) + of_point * rng_normal(seed, RNG_TEST, 41, i));
    }
}

static status run(fit_result *r, const fit_data *d, size_t bootstrap, err *e)
{
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = bootstrap;
    return fit_envelope(r, d, &o, e);
}

static void end(fit_result *r, fit_data *d)
{
    fit_result_free(r);
    fit_data_free(d);
}

static double said(const fit_result *r, const char *key)
{
    return json_number_value(json_object_get(json_object_get(r->extra, "envelope"), key));
}

static const json_t *of_size(const fit_result *r, size_t k)
{
    return json_array_get(json_object_get(json_object_get(r->extra, "envelope"), "sizes"), k);
}

static double kept(const fit_result *r, size_t k) { return json_number_value(json_object_get(of_size(r, k), "kept")); }
static double from_to(const fit_result *r, size_t k, size_t which)
{
    return json_number_value(json_array_get(json_object_get(of_size(r, k), "C"), which));
}

static size_t holders(const fit_result *r)
{
    size_t n = 0;
    for (size_t k = 0; k < json_array_size(json_object_get(json_object_get(r->extra, "envelope"), "sizes")); k++) n += kept(r, k) > 0;
    return n;
}

Test(envelope, exact_curves_give_the_staircase_of_the_truth)
{
    const truth truths[] = {plain_truth, {1.7301, 391.7, 391.7, .3371, .3371}, {1.62, 402.3, 411.7, .351, .305}};
    for (size_t k = 0; k < 3; k++) {
        const truth *t = &truths[k];
        fit_data d;
        fit_result r;
        err e = {0};
        curves(&d, t, 0, 0, 0);
        cr_assert_eq(run(&r, &d, 0, &e), ST_OK, "%s", e.msg);
        double n = (double)holders(&r), a = t->beta / (t->alpha + t->beta), g = pow(t->alpha * t->A / (t->beta * t->B), 1 / (t->alpha + t->beta));
        cr_assert_geq(n, 8, "%zu: %g sizes", k, n);
        cr_expect_float_eq(r.a_opt.value, a * (1 - 1 / (n * n)), 2e-3, "%zu: %.5f, truth %.5f, %g sizes", k, r.a_opt.value, a, n);
        cr_expect_float_eq(r.a_opt.value, a, .02 * a, "%zu: %.5f, truth %.5f", k, r.a_opt.value, a);
        cr_expect_float_eq(r.b_opt.value, 1 - r.a_opt.value, 1e-9);
        /* in the middle of the range, where slope and place do not mix */
        double c = sqrt(from_to(&r, 1, 0) * from_to(&r, SIZES - 2, 1));
        if (n < SIZES - 2) c = 1e19;
        cr_expect_float_eq(log(param(&r, "N_coef") * pow(c, r.a_opt.value) / (g * pow(c / 6, a))), 0, .06, "%zu", k);
        cr_expect_float_eq(param(&r, "N_coef") * param(&r, "D_coef") * 6, 1, 1e-8, "C = 6 N D on the lines too");
        cr_expect_eq(r.trust.verdict, FIT_OK);
        cr_expect_eq(said(&r, "n_values"), 1500);
        cr_expect_eq(said(&r, "kept") + said(&r, "held_by_smallest") + said(&r, "held_by_largest"), 1500);
        cr_expect(said(&r, "held_by_smallest") > 0 && said(&r, "held_by_largest") > 0);
        cr_expect(kept(&r, 0) == 0 && kept(&r, SIZES - 1) == 0, "the outermost sizes never count");
        end(&r, &d);
    }
}

/* Noise that all points of a curve share is what the intervals must know (T7); the same seed gives the same draws. */
Test(envelope, noise_widens_the_interval_which_holds_the_truth)
{
    double a = plain_truth.beta / (plain_truth.alpha + plain_truth.beta), se[2] = {0};
    size_t inside = 0;
    enum { TRIALS = 12 };
    for (uint64_t seed = 0; seed < TRIALS; seed++)
        for (int loud = 0; loud < 2; loud++) {
            fit_data d;
            fit_result r, again;
            err e = {0};
            curves(&d, &plain_truth, loud ? .004 : .0005, .0003, seed);
            cr_assert_eq(run(&r, &d, 40, &e), ST_OK, "%s", e.msg);
            cr_assert_eq(r.trust.verdict, FIT_OK);
            cr_assert_float_eq(r.a_opt.value, a, loud ? .1 : .04, "seed %d: %g", (int)seed, r.a_opt.value);
            se[loud] += r.a_opt.se / TRIALS;
            inside += r.a_opt.lo < a && a < r.a_opt.hi;
            if (seed == 3) {
                cr_assert_eq(run(&again, &d, 40, &e), ST_OK);
                cr_expect(again.a_opt.se == r.a_opt.se && again.a_opt.value == r.a_opt.value);
                fit_result_free(&again);
            }
            end(&r, &d);
        }
    cr_expect_gt(se[1], 1.05 * se[0], "%g, %g", se[0], se[1]);
    cr_expect_geq(inside, 2 * TRIALS * 9 / 10, "%zu of %d intervals hold the truth", inside, 2 * TRIALS);
}

/* Where nothing lies between two others there is no minimum to see. */
Test(envelope, too_few_sizes_are_refused)
{
    for (size_t sizes = 0; sizes <= 5; sizes++) {
        fit_data d;
        fit_result r;
        err e = {0};
        curves(&d, &plain_truth, 0, 0, 0);
        d.n = sizes * STEPS;
        cr_assert_eq(run(&r, &d, 20, &e), ST_OK, "%s", e.msg);
        bool refused = sizes < 5; /* two of them lie at the edges */
        cr_expect_eq(r.trust.verdict == FIT_REFUSE, refused, "%zu sizes: %s", sizes, fit_verdict_name(r.trust.verdict));
        cr_expect_eq(has_reason(&r, "no_interior_minimum"), refused, "%zu sizes", sizes);
        cr_expect_eq(isnan(r.a_opt.value) && isnan(r.params[0].value), refused);
        end(&r, &d);
    }
}

/* All sizes so small that the largest is best everywhere. */
Test(envelope, no_size_inside_is_lowest)
{
    fit_data d;
    fit_result r;
    err e = {0};
    curves(&d, &plain_truth, 0, 0, 0);
    for (size_t i = 0; i < d.n; i++) d.D[i] *= 1e6, d.C[i] *= 1e6, d.y[i] = true_loss(&plain_truth, d.N[i], d.D[i]);
    cr_assert_eq(run(&r, &d, 20, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.trust.verdict, FIT_REFUSE);
    cr_expect_eq(said(&r, "kept"), 0);
    cr_expect_eq(said(&r, "held_by_largest"), 1500);
    end(&r, &d);
}

/* A smaller size counts as tried only where its curve goes on. */
Test(envelope, curves_that_ended_bracket_nothing)
{
    fit_data d;
    fit_result r;
    err e = {0};
    curves(&d, &plain_truth, 0, 0, 0);
    cr_assert_eq(run(&r, &d, 0, &e), ST_OK);
    double from = from_to(&r, 6, 0), to = from_to(&r, 6, 1), stop = sqrt(from * to);
    cr_assert(from > 0 && to > 1.2 * from);
    fit_result_free(&r);
    size_t n = 0;
    for (size_t i = 0; i < d.n; i++) {
        if (d.cluster[i] < 6 && d.C[i] > stop) continue;
        d.cluster[n] = d.cluster[i], d.N[n] = d.N[i], d.D[n] = d.D[i], d.C[n] = d.C[i], d.y[n] = d.y[i], n++;
    }
    d.n = n;
    cr_assert_eq(run(&r, &d, 0, &e), ST_OK);
    cr_expect_float_eq(log(from_to(&r, 6, 0) / from), 0, .02);
    cr_expect_leq(from_to(&r, 6, 1), stop);
    cr_expect_gt(from_to(&r, 6, 1), from);
    cr_expect_float_eq(log(from_to(&r, 7, 1) / from_to(&r, 7, 0)), log(to / from), .03, "size 7 is bracketed by size 6");
    end(&r, &d);
}

/* The order of rows does not matter; of a step written twice the last counts; a point is no curve. */
Test(envelope, rows_in_any_order)
{
    fit_data d, m;
    fit_result r, q;
    err e = {0};
    curves(&d, &plain_truth, .002, .001, 5);
    cr_assert_eq(run(&r, &d, 10, &e), ST_OK);
    data_alloc(&m, POINTS + 2);
    m.cluster = malloc((POINTS + 2) * sizeof *m.cluster);
    m.N[0] = d.N[100], m.D[0] = d.D[100], m.C[0] = d.C[100], m.y[0] = .5 * d.y[100], m.cluster[0] = d.cluster[100];
    m.N[1] = 3e8, m.D[1] = 1e10, m.C[1] = 1.8e19, m.y[1] = 1, m.cluster[1] = 99;
    for (size_t k = 0; k < POINTS; k++) {
        size_t i = rng_permute(k, POINTS, 1, RNG_TEST, 42);
        m.N[k + 2] = d.N[i], m.D[k + 2] = d.D[i], m.C[k + 2] = d.C[i], m.y[k + 2] = d.y[i], m.cluster[k + 2] = d.cluster[i];
    }
    cr_assert_eq(run(&q, &m, 10, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(q.a_opt.value, r.a_opt.value);
    cr_expect_eq(q.a_opt.se, r.a_opt.se);
    cr_expect_eq(said(&q, "n_short"), 1);
    cr_expect_eq(said(&q, "n_curves"), SIZES);
    fit_result_free(&q);
    m.cluster[1] = 3; /* a row of another size in curve 3 */
    cr_expect_eq(run(&q, &m, 0, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "3e+08") && strstr(e.msg, "--curve"), "%s", e.msg);
    fit_result_free(&q);
    fit_result_free(&r);
    fit_data_free(&m);
    fit_data_free(&d);
}

/* --- from tables ------------------------------------------------------------------------------------------------- */

static status read_text(fit_data *d, const char *const *texts, size_t n, fit_input_opts *in, err *e)
{
    table t = {0};
    status s = ST_OK;
    in->by_curve = true;
    memset(d, 0, sizeof *d);
    for (size_t k = 0; k < n && !s; k++) s = table_parse(&t, k ? "b.csv" : "a.csv", texts[k], strlen(texts[k]), e);
    if (!s) s = fit_input(d, &t, NULL, in, NULL, NULL, e);
    table_free(&t);
    return s;
}

Test(envelope, curves_are_told_apart_and_tokens_derived)
{
    const char *by_run[] = {"run,N,step,batch_tokens,loss\nu,1e6,10,512,4\nv,2e6,10,512,3.9\nu,1e6,20,512,3.5\nv,2e6,20,512,nan\n"};
    const char *by_input[] = {"N,C,loss\n1e6,6e12,4\n1e6,12e12,3.5\n", "N,C,loss\n2e6,6e12,4\n"};
    const char *nameless[] = {"run,N,C,loss\nu,1e6,6e12,4\n,1e6,12e12,3.5\n"};
    fit_data d;
    err e = {0};
    cr_assert_eq(read_text(&d, by_run, 1, &(fit_input_opts){.flops_rule = "6N"}, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(d.n, 3, "diverged rows go");
    cr_expect_eq(d.D[2], 20 * 512);
    cr_expect_eq(d.C[1], 6 * 2e6 * 5120);
    cr_expect(d.cluster[0] == d.cluster[2] && d.cluster[0] != d.cluster[1]);
    cr_expect_str_eq(d.cluster_name, "run");
    fit_data_free(&d);
    cr_assert_eq(read_text(&d, by_input, 2, &(fit_input_opts){.flops_rule = "6N"}, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(d.D[1], 2e6);
    cr_expect(d.cluster[0] == d.cluster[1] && d.cluster[0] != d.cluster[2]);
    fit_data_free(&d);
    cr_expect_eq(read_text(&d, by_input, 2, &(fit_input_opts){0}, &e), ST_INPUT, "no rule, no tokens");
    cr_expect(strstr(e.msg, "no column for D"), "%s", e.msg);
    fit_data_free(&d);
    cr_expect_eq(read_text(&d, by_run, 1, &(fit_input_opts){.flops_rule = "6N", .curve = "who"}, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "no column 'who'"), "%s", e.msg);
    fit_data_free(&d);
    cr_expect_eq(read_text(&d, nameless, 1, &(fit_input_opts){.flops_rule = "6N"}, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "a.csv:3"), "%s", e.msg);
    fit_data_free(&d);
    cr_expect_eq(read_text(&d, by_run, 1, &(fit_input_opts){.flops_rule = "6N", .cluster = "N"}, &e), ST_USAGE);
    fit_data_free(&d);
}
