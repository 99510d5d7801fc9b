/* The fused sums of fit/powers.h at every CPU level against their definition: the law's rows and the objective's rho,
 * added up in the plainest way. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/law.h"
#include "fit/powers.h"

static double uniform(double lo, double hi, uint32_t stream, uint64_t i)
{
    return lo + (hi - lo) * rng_uniform(17, RNG_TEST, stream, i);
}

/* --- a law of any shape, rows, and the plain sum -------------------------------------------------------------- */

typedef struct sample {
    fit_law law;
    const fit_objective *objective;
    fit_powers k;
    double *column[FIT_POWERS_TERMS], *y, *ln_y, *weight; /* exactly n long: ASan sees what is read beyond */
} sample;

static double *exactly(size_t n)
{
    double *x = malloc(n * sizeof *x);
    cr_assert(x != NULL);
    return x;
}

static void objective_of(sample *s, const char *name, double delta)
{
    s->objective = fit_objective_find(name, NULL);
    bool asym = !strcmp(name, "asym-log");
    s->k.natural = !s->objective->log_residual;
    s->k.delta = s->objective->has_delta ? delta : INFINITY;
    s->k.scale = s->objective->has_delta ? 1 : 2;
    s->k.below = asym ? 10 : s->k.scale;
    s->k.target = s->k.natural ? s->y : s->ln_y;
}

static void theta_at(sample *s, uint32_t stream)
{
    for (size_t j = 0; j < s->k.n_terms; j++) {
        s->k.a[j] = uniform(-2.3, .9, stream, 2 * j);
        s->k.p[j] = uniform(.03, 1.7, stream, 2 * j + 1);
    }
    s->k.floor = uniform(-.7, .8, stream, 99);
}

static void sample_make(sample *s, size_t n_terms, bool floor, size_t n, bool weighted)
{
    memset(s, 0, sizeof *s);
    s->k = (fit_powers){.n = n, .n_terms = n_terms, .has_floor = floor};
    s->law.n_terms = n_terms + floor;
    s->law.n_params = 2 * n_terms + floor;
    for (size_t j = 0; j < n_terms; j++) {
        s->law.terms[j] = (fit_term){(int)(2 * j), (int)(2 * j) + 1, (int)j};
        s->column[j] = exactly(n);
        s->k.z[j] = s->column[j];
        s->k.z_lo[j] = INFINITY, s->k.z_hi[j] = -INFINITY;
        for (size_t i = 0; i < n; i++) {
            double z = s->column[j][i] = uniform(-2.7, 3.1, 10 + (uint32_t)j, i);
            s->k.z_lo[j] = fmin(s->k.z_lo[j], z), s->k.z_hi[j] = fmax(s->k.z_hi[j], z);
        }
    }
    if (floor) s->law.terms[n_terms] = (fit_term){(int)(2 * n_terms), -1, -1};
    s->y = exactly(n), s->ln_y = exactly(n), s->weight = exactly(n);
    for (size_t i = 0; i < n; i++) {
        s->ln_y[i] = uniform(.3, 1.9, 20, i);
        s->y[i] = exp(s->ln_y[i]);
        s->weight[i] = (double)rng_below(4, 17, RNG_TEST, 21, i); /* a quarter of them 0, as in a resample */
    }
    s->k.weight = weighted ? s->weight : NULL;
    objective_of(s, "huber-log", .3);
    theta_at(s, 30);
}

static void sample_free(sample *s)
{
    for (size_t j = 0; j < FIT_POWERS_TERMS; j++) free(s->column[j]);
    free(s->y), free(s->ln_y), free(s->weight);
}

typedef struct sums {
    double f, g[FIT_POWERS_COORDS], h[FIT_POWERS_HESS];
    double size_f, size_g[FIT_POWERS_COORDS], size_h[FIT_POWERS_HESS]; /* sums of absolute values */
} sums;

static void plus(double *sum, double *size, double x) { *sum += x, *size += fabs(x); }

static void plain_sums(sums *x, const sample *s)
{
    double theta[FIT_POWERS_COORDS], q, jac[FIT_POWERS_COORDS], curv[FIT_POWERS_HESS];
    size_t nc = s->law.n_params;
    fit_model m = {.law = &s->law};
    memset(x, 0, sizeof *x);
    for (size_t j = 0; j < s->k.n_terms; j++) theta[2 * j] = s->k.a[j], theta[2 * j + 1] = s->k.p[j];
    if (s->k.has_floor) theta[nc - 1] = s->k.floor;
    for (size_t i = 0; i < s->k.n; i++) {
        double f, psi, c, w = s->k.weight ? s->weight[i] : 1;
        fit_rows row = {.n = 1};
        for (size_t j = 0; j < s->k.n_terms; j++) row.z[j] = s->column[j] + i;
        fit_eval_powers(&m, NULL, &q, jac, curv, theta, &row);
        double l = s->k.natural ? exp(q) : 1, r = s->k.natural ? s->y[i] - l : s->ln_y[i] - q;
        s->objective->rho(&f, &psi, &c, &r, s->k.delta, 1);
        if (w == 0) continue;
        plus(&x->f, &x->size_f, w * f);
        double slope = w * psi * l, bend = w * (c * l * l - (s->k.natural ? psi * l : 0));
        for (size_t a = 0, at = 0; a < nc; a++) {
            plus(&x->g[a], &x->size_g[a], -slope * jac[a]);
            for (size_t b = a; b < nc; b++, at++) {
                plus(&x->h[at], &x->size_h[at], bend * jac[a] * jac[b]);
                plus(&x->h[at], &x->size_h[at], -slope * curv[at]);
                x->size_h[at] += fabs(slope * jac[a] * jac[b]); /* what a curvature of almost 0 is the difference of */
            }
        }
    }
}

/* A term of e^-100 beside the others may count as nothing. */
static bool near(double got, double want, double size) { return fabs(got - want) <= 1e-12 * size + 1e-35; }

/* First thing that differs, or NULL. */
static const char *difference(const fit_powers_ops *ops, const sample *s, const sums *want)
{
    double g[FIT_POWERS_COORDS], h[FIT_POWERS_HESS], g1[FIT_POWERS_COORDS];
    size_t nc = s->law.n_params;
    double f = ops->sum(g, h, &s->k), f1 = ops->sum(g1, NULL, &s->k), f0 = ops->sum(NULL, NULL, &s->k);
    if (!near(f, want->f, want->size_f)) return "F";
    if (f != f1 || f != f0) return "F with fewer derivatives"; /* a gradient may differ in its last digit */
    for (size_t a = 0; a < nc; a++)
        if (!near(g[a], want->g[a], want->size_g[a])) return "gradient";
    for (size_t a = 0; a < nc; a++)
        if (!near(g1[a], want->g[a], want->size_g[a])) return "gradient without Hessian";
    for (size_t a = 0; a < nc * (nc + 1) / 2; a++)
        if (!near(h[a], want->h[a], want->size_h[a])) return "Hessian";
    return NULL;
}

static const fit_powers_ops *level(cpu_level l) { return fit_powers_ops_for(l); }

/* Every shape a law can have: n_terms with a column and perhaps a floor, at most four together. */
static bool possible(size_t n_terms, int floor) { return n_terms + (size_t)floor >= 1 && n_terms + (size_t)floor <= 4; }

static void compare_shapes(const fit_powers_ops *ops, size_t n, const char *objective, double delta, bool weighted)
{
    for (size_t n_terms = 0; n_terms <= FIT_POWERS_TERMS; n_terms++)
        for (int floor = 0; floor < 2; floor++) {
            sample s;
            sums want;
            if (!possible(n_terms, floor)) continue;
            sample_make(&s, n_terms, floor, n, weighted);
            objective_of(&s, objective, delta);
            theta_at(&s, 40 + (uint32_t)n);
            plain_sums(&want, &s);
            const char *wrong = difference(ops, &s, &want);
            cr_expect_null(wrong, "%s %s, %zu terms, floor %d, %zu rows: %s", ops->level, objective, n_terms, floor, n,
                           wrong);
            sample_free(&s);
        }
}

Test(powers, every_level_is_the_definition)
{
    for (cpu_level l = 0; l <= cpu_level_detect(); l++)
        for (size_t n = 1; n <= 130; n++) {
            compare_shapes(level(l), n, "huber-log", n % 3 ? .3 : 1e-3, n % 2);
            if (n % 4 != 1) continue;
            compare_shapes(level(l), n, "mse-log", 0, true);
            compare_shapes(level(l), n, "mse", 0, n % 8 == 1);
            compare_shapes(level(l), n, "asym-log", .2, true);
        }
}

Test(powers, a_term_that_is_gone_adds_nothing)
{
    for (cpu_level l = 0; l <= cpu_level_detect(); l++)
        for (size_t gone = 0; gone < 3; gone++) {
            sample s;
            sums want;
            sample_make(&s, 2, true, 77, true);
            if (gone < 2) s.k.a[gone] = -1e4;
            else s.k.floor = -1e4;
            plain_sums(&want, &s);
            const char *wrong = difference(level(l), &s, &want);
            cr_expect_null(wrong, "%s term %zu: %s", level(l)->level, gone, wrong);
            sample_free(&s);
        }
}

/* The comparison sees a wrong coordinate, a wrong weight, a row too few. */
Test(powers, the_comparison_can_fail)
{
    const fit_powers_ops *ops = fit_powers_ops_for(cpu_level_detect());
    sample s;
    sums want;
    sample_make(&s, 2, true, 77, true);
    plain_sums(&want, &s);
    cr_assert_null(difference(ops, &s, &want));
    s.k.p[1] *= 1 + 1e-10;
    cr_expect(difference(ops, &s, &want));
    s.k.p[1] /= 1 + 1e-10;
    s.k.n--;
    cr_expect(difference(ops, &s, &want));
    s.k.n++;
    s.weight[5]++;
    cr_expect(difference(ops, &s, &want));
    want.h[3] *= 1 + 1e-11;
    s.weight[5]--;
    cr_expect_str_eq(difference(ops, &s, &want), "Hessian");
    sample_free(&s);
}

/* --- derivatives against differences ---------------------------------------------------------------------------- */

static double *coordinate(fit_powers *k, size_t a)
{
    return a == 2 * k->n_terms ? &k->floor : a & 1 ? &k->p[a / 2] : &k->a[a / 2];
}

static void check_differences(const fit_powers_ops *ops, sample *s)
{
    double g[FIT_POWERS_COORDS], h[FIT_POWERS_HESS], up[FIT_POWERS_COORDS], down[FIT_POWERS_COORDS];
    const double step = 1e-5;
    size_t nc = s->law.n_params;
    double unit = 1 + ops->sum(g, h, &s->k);
    for (size_t a = 0, at = 0; a < nc; a++) {
        double *x = coordinate(&s->k, a), keep = *x;
        *x = keep + step;
        double fu = ops->sum(up, NULL, &s->k);
        *x = keep - step;
        double fd = ops->sum(down, NULL, &s->k);
        *x = keep;
        cr_expect_float_eq(g[a], (fu - fd) / (2 * step), 1e-8 * unit, "%s %s d%zu", ops->level, s->objective->name, a);
        for (size_t b = a; b < nc; b++, at++)
            cr_expect_float_eq(h[at], (up[b] - down[b]) / (2 * step), 1e-8 * unit, "%s %s d%zu d%zu", ops->level,
                               s->objective->name, a, b);
    }
}

Test(powers, derivatives_match_finite_differences)
{
    static const char *const smooth[] = {"huber-log", "mse-log", "mse"}; /* delta 50: no row at its kink */
    for (cpu_level l = 0; l <= cpu_level_detect(); l++)
        for (size_t o = 0; o < 3; o++) {
            sample s;
            sample_make(&s, 3, true, 29, true);
            objective_of(&s, smooth[o], 50);
            check_differences(level(l), &s);
            sample_free(&s);
        }
}

/* Gauss-Newton on squares: the Hessian is jac' W jac. Beyond delta a row weighs delta/|r|. */
Test(powers, gauss_newton_is_the_product_of_first_derivatives)
{
    for (cpu_level l = 0; l <= cpu_level_detect(); l++)
        for (int o = 0; o < 3; o++) {
            static const char *const objectives[] = {"huber-log", "asym-log", "mse"};
            sample s;
            double g[FIT_POWERS_COORDS], h[FIT_POWERS_HESS], want[FIT_POWERS_HESS] = {0}, q, jac[FIT_POWERS_COORDS];
            sample_make(&s, 2, true, 53, true);
            objective_of(&s, objectives[o], .1);
            s.k.gauss = true;
            level(l)->sum(g, h, &s.k);
            double theta[] = {s.k.a[0], s.k.p[0], s.k.a[1], s.k.p[1], s.k.floor};
            fit_model m = {.law = &s.law};
            for (size_t i = 0; i < 53; i++) {
                fit_rows row = {.n = 1, .z = {s.column[0] + i, s.column[1] + i}};
                fit_eval_powers(&m, NULL, &q, jac, NULL, theta, &row);
                double lift = s.k.natural ? exp(q) : 1, r = s.k.natural ? s.y[i] - lift : s.ln_y[i] - q;
                double w = s.k.natural ? 2 * lift * lift : fmin(1, .1 / fabs(r)) * (o == 1 && r < 0 ? 10 : 1);
                w *= s.weight[i];
                for (size_t a = 0, at = 0; a < 5; a++)
                    for (size_t b = a; b < 5; b++, at++) want[at] += w * jac[a] * jac[b];
            }
            for (size_t at = 0; at < 15; at++)
                cr_expect(near(h[at], want[at], fabs(want[at])), "%s %s %zu: %g, not %g", level(l)->level,
                          objectives[o], at, h[at], want[at]);
            sample_free(&s);
        }
}

/* --- extremes ------------------------------------------------------------------------------------------------- */

Test(powers, extreme_points_give_a_number)
{
    static const double a[] = {-1e4, -1300, -760, -690,  -610,     0,         610, 690,
                               760,  1300,  1e4,  1e300, INFINITY, -INFINITY, NAN};
    static const double p[] = {0, 1, 10, 230, 300, 900, -900, 1e200, INFINITY, NAN};
    enum { NA = sizeof a / sizeof *a, NP = sizeof p / sizeof *p };
    for (cpu_level l = 0; l <= cpu_level_detect(); l++)
        for (size_t i = 0; i < NA * NA * NP; i++) {
            sample s;
            sums want;
            sample_make(&s, 2, i % 5 > 0, 19, false);
            objective_of(&s, i % 7 ? "huber-log" : i % 2 ? "mse" : "mse-log", .3);
            s.k.a[0] = a[i % NA], s.k.floor = a[i / NA % NA], s.k.p[1] = p[i / NA / NA];
            double g[FIT_POWERS_COORDS], h[FIT_POWERS_HESS], f = level(l)->sum(g, h, &s.k);
            cr_expect(!isnan(f) && f >= 0, "%s %g %g %g: F %g", level(l)->level, s.k.a[0], s.k.floor, s.k.p[1], f);
            for (size_t c = 0; c < s.law.n_params; c++) cr_expect(isfinite(g[c]) && isfinite(h[c]));
            plain_sums(&want, &s);
            bool comparable = isfinite(f) && s.k.a[0] < 1e299; /* else p z is lost in one rounding and not the other */
            const char *wrong = comparable ? difference(level(l), &s, &want) : NULL;
            cr_expect_null(wrong, "%s %g %g %g: %s", level(l)->level, s.k.a[0], s.k.floor, s.k.p[1], wrong);
            cr_expect(isfinite(f) == isfinite(level(0)->sum(g, h, &s.k)), "%s %g %g %g", level(l)->level, s.k.a[0],
                      s.k.floor, s.k.p[1]);
            sample_free(&s);
        }
}

/* --- many rows ------------------------------------------------------------------------------------------------ */

Test(powers, a_long_sum_keeps_its_digits)
{
    enum { N = 200003 };
    sample s;
    sample_make(&s, 2, true, N, false);
    long double exact = 0, slope = 0;
    for (size_t i = 0; i < N; i++) {
        long double e = expl(s.k.floor), u = expl(s.k.a[0] - s.k.p[0] * (long double)s.column[0][i]),
                    v = expl(s.k.a[1] - s.k.p[1] * (long double)s.column[1][i]), sum = e + u + v,
                    r = s.ln_y[i] - logl(sum), in = fminl(fabsl(r), s.k.delta);
        exact += in * (fabsl(r) - in / 2);
        slope -= copysignl(in, r) * e / sum;
    }
    for (cpu_level l = 0; l <= cpu_level_detect(); l++) {
        double g[FIT_POWERS_COORDS];
        cr_expect_float_eq(level(l)->sum(g, NULL, &s.k) / (double)exact, 1, 3e-15, "%s", level(l)->level);
        cr_expect_float_eq(g[4] / (double)slope, 1, 1e-13, "%s", level(l)->level);
    }
    sample_free(&s);
}

/* --- exp and log ---------------------------------------------------------------------------------------------- */

/* In units in the last place of the exact result. */
static double ulps(double got, long double exact)
{
    double e = (double)exact;
    return (double)(fabsl((long double)got - exact) / (nextafter(fabs(e), INFINITY) - fabs(e)));
}

Test(powers, exp_and_log_are_good_to_an_ulp)
{
    enum { N = 40003 };
    double *x = exactly(N), *y = exactly(N);
    for (cpu_level l = CPU_V2; l <= cpu_level_detect(); l++) {
        double worst = 0;
        for (size_t i = 0; i < N; i++) x[i] = i % 3 ? uniform(-3, 3, 50, i) : uniform(-707, 709.7, 51, i);
        level(l)->exp(y, x, N);
        for (size_t i = 0; i < N; i++) worst = fmax(worst, ulps(y[i], expl(x[i])));
        cr_expect_lt(worst, 1.25, "%s exp: %g ulp", level(l)->level, worst);
        cr_expect_gt(worst, .4, "no rounding at all?");
        worst = 0;
        for (size_t i = 0; i < N; i++)
            x[i] = i % 3 == 0   ? exp(uniform(-690, 690, 52, i))
                   : i % 3 == 1 ? uniform(.9, 1.1, 53, i)
                                : uniform(.6, 9, 54, i);
        level(l)->log(y, x, N);
        for (size_t i = 0; i < N; i++) worst = fmax(worst, ulps(y[i], logl(x[i])));
        cr_expect_lt(worst, 1.1, "%s log: %g ulp", level(l)->level, worst);
    }
    free(x), free(y);
}

Test(powers, exp_at_its_ends)
{
    static const double x[] = {0,         -0.,              1,      -708, -709,     -1e9,      709,
                               709.78271, 709.782712893384, 709.79, 1e9,  INFINITY, -INFINITY, NAN};
    enum { N = sizeof x / sizeof *x };
    for (cpu_level l = CPU_V2; l <= cpu_level_detect(); l++) {
        double y[N], one = 1, zero;
        level(l)->exp(y, x, N);
        for (size_t i = 0; i < N; i++) {
            double want = x[i] < -708 ? 0 : exp(x[i]);
            cr_expect(isnan(want) ? isnan(y[i]) : want == y[i] || fabs(y[i] / want - 1) < 5e-16,
                      "%s exp(%.17g) = %g, not %g", level(l)->level, x[i], y[i], want);
        }
        level(l)->log(&zero, &one, 1);
        cr_expect_eq(zero, 0);
    }
}

/* --- variable projection ---------------------------------------------------------------------------------------- */

static void compare_gram(const fit_powers_ops *ops, size_t n, size_t m, bool weighted)
{
    sample s;
    sample_make(&s, 2, true, n, weighted);
    size_t order = m + 1;
    double *got = exactly(order * order), *want = exactly(order * order), *size = exactly(order * order);
    fit_gram k = {.n = n, .inverse_y = s.y, .weight = s.k.weight, .m = m};
    for (size_t j = 0; j < m; j++) {
        k.z[j] = j + 1 < m ? s.column[j % 2] : NULL;
        k.z_lo[j] = s.k.z_lo[j % 2], k.z_hi[j] = s.k.z_hi[j % 2];
        k.p[j] = uniform(.03, 2.5, 60, j);
    }
    ops->gram(got, &k);
    for (size_t a = 0; a < order; a++)
        for (size_t b = 0; b < order; b++) {
            double sum = 0;
            for (size_t i = 0; i < n; i++) {
                double u = a == m ? 1 : s.y[i] * (k.z[a] ? exp(-k.p[a] * k.z[a][i]) : 1);
                double v = b == m ? 1 : s.y[i] * (k.z[b] ? exp(-k.p[b] * k.z[b][i]) : 1);
                sum += (weighted ? s.weight[i] : 1) * u * v;
            }
            cr_expect(near(got[a * order + b], sum, sum), "%s %zu rows, %zu vectors, (%zu, %zu): %.17g, not %.17g",
                      ops->level, n, m, a, b, got[a * order + b], sum);
        }
    free(got), free(want), free(size);
    sample_free(&s);
}

Test(powers, normal_equations_match_their_definition)
{
    for (cpu_level l = 0; l <= cpu_level_detect(); l++)
        for (size_t n = 1; n <= 300; n += n < 20 ? 1 : 37) {
            compare_gram(level(l), n, 1 + n % 7, n % 2);
            if (n % 5 == 0) compare_gram(level(l), n, FIT_GRAM_MAX, n % 2);
        }
}

Test(powers, normal_equations_of_absurd_exponents_are_seen)
{
    double z[3] = {-2.1, .3, 1.7}, y[3] = {.4, .5, .6}, gram[4];
    fit_gram k = {.n = 3, .inverse_y = y, .m = 1, .z = {z}, .z_lo = {-2.1}, .z_hi = {1.7}, .p = {1e5}};
    for (cpu_level l = 0; l <= cpu_level_detect(); l++) {
        level(l)->gram(gram, &k);
        cr_expect(!isfinite(gram[0]), "%s", level(l)->level);
    }
}
