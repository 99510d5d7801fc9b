/* Schedules by name and from logs, the sums over them, multi-power's blocked sum against the plain one, exact
 * derivatives of both laws of whole curves. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/curve.h"

static void named(fit_schedule *s, const char *text, fit_warmup w)
{
    err e = {0};
    fit_schedule_spec spec;
    cr_assert_eq(fit_schedule_parse(&spec, text, &e), ST_OK, "%s: %s", text, e.msg);
    cr_assert_eq(fit_schedule_named(s, &spec, w, &e), ST_OK, "%s: %s", text, e.msg);
}

/* --- schedules -------------------------------------------------------------------------------------------------- */

/* Hand-computed. Warm-up of 5: 0, P/4, .., P at step 4. */
Test(schedule, named_shapes)
{
    static const struct { const char *text; size_t step; double lr; } rows[] = {
        {"constant peak=.37 warmup=5 steps=9", 0, 0},
        {"constant peak=.37 warmup=5 steps=9", 1, .0925},
        {"constant peak=.37 warmup=5 steps=9", 4, .37},
        {"constant peak=.37 warmup=5 steps=9", 8, .37},
        {"cosine peak=.37 final=.05 warmup=5 steps=17", 5, .37},
        {"cosine peak=.37 final=.05 warmup=5 steps=17", 11, .21},       /* half-way */
        {"cosine peak=.37 final=.05 warmup=5 steps=17", 9, .29},        /* cos 60 degrees */
        {"linear peak=.37 final=.05 warmup=5 steps=13", 7, .29},
        {"linear,peak=.37,final=.05,warmup=5,from=9,steps=13", 8, .37},
        {"linear,peak=.37,final=.05,warmup=5,from=9,steps=13", 10, .29},
        {"wsd decay=exponential peak=.32 final=.02 warmup=5 from=9 steps=13", 11, .08},
        {"wsd decay=1-sqrt peak=.37 final=.05 warmup=5 from=9 steps=13", 10, .21},
        {"wsdcon peak=.37 final=.13 warmup=5 from=9 steps=13", 8, .37},
        {"wsdcon peak=.37 final=.13 warmup=5 from=9 steps=13", 9, .13},
        {"two-stage peak=.37 final=.13 warmup=5 from=9 steps=13", 12, .13},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fit_schedule s;
        named(&s, rows[i].text, FIT_WARMUP_LINEAR);
        cr_assert_float_eq(s.lr[rows[i].step], rows[i].lr, 1e-15, "%s at %zu: %.17g", rows[i].text, rows[i].step,
                           s.lr[rows[i].step]);
        cr_assert_eq(s.warmup, 5);
        fit_schedule_free(&s);
    }
}

Test(schedule, sums_follow_the_warmup_convention)
{
    /* 0, .1, .2 then .2 to step 4, then .08 */
    static const char text[] = "two-stage peak=.2 final=.08 warmup=3 from=5 steps=8";
    static const double s1[3] = {.3 + .4 + .24, .6 + .4 + .24, .4 + .24};
    for (int w = 0; w < 3; w++) {
        fit_schedule s;
        double s2[8];
        named(&s, text, (fit_warmup)w);
        cr_assert_float_eq(s.s1[7], s1[w], 1e-15, "%d: %g", w, s.s1[7]);
        cr_assert_eq(s.first_drop, w == FIT_WARMUP_NONE ? 4 : 1);
        fit_schedule_s2(s2, &s, .75);
        /* m_5 = .12, m_6 = .09, m_7 = .0675; nothing of the warm-up */
        cr_assert_float_eq(s2[4], 0, 1e-16);
        cr_assert_float_eq(s2[5], .12, 1e-15);
        cr_assert_float_eq(s2[7], .12 + .09 + .0675, 1e-15, "%d: %g", w, s2[7]);
        fit_schedule_free(&s);
    }
}

Test(schedule, from_samples)
{
    static const double step[] = {40, 60, 100, 101}, lr[] = {.5, .5, .1, .02};
    fit_schedule s;
    err e = {0};
    cr_assert_eq(fit_schedule_sampled(&s, step, lr, 4, FIT_WARMUP_LINEAR, 0, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(s.n_steps, 102);
    cr_assert_eq(s.warmup, 40); /* assumed: up to the first sample */
    cr_assert_float_eq(s.lr[13], .5 * 13 / 39, 1e-15);
    cr_assert_float_eq(s.lr[50], .5, 1e-15);
    cr_assert_float_eq(s.lr[70], .4, 1e-15);
    cr_assert_float_eq(s.lr[101], .02, 1e-15);
    fit_schedule_free(&s);
    cr_assert_eq(fit_schedule_sampled(&s, step, lr, 4, FIT_WARMUP_LINEAR, 31, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(s.warmup, 31);
    cr_assert_float_eq(s.lr[13], .5 * 13 / 30, 1e-15);
    cr_assert_float_eq(s.lr[35], .5, 1e-15);
    fit_schedule_free(&s);
    cr_assert_eq(fit_schedule_sampled(&s, step, lr, 4, FIT_WARMUP_CONSTANT, 0, &e), ST_OK, "%s", e.msg);
    cr_assert_float_eq(s.s1[39], 20, 1e-13);
    fit_schedule_free(&s);
    cr_assert_eq(fit_schedule_sampled(&s, step, lr, 4, FIT_WARMUP_NONE, 0, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(s.s1[39], 0);
    fit_schedule_free(&s);
}

/* The log shows the warm-up itself: found where the rise ends, not assumed. */
Test(schedule, warmup_in_the_samples)
{
    static const double step[] = {0, 10, 30, 50, 90}, lr[] = {.03, .1, .3, .3, .07};
    fit_schedule s;
    err e = {0};
    cr_assert_eq(fit_schedule_sampled(&s, step, lr, 5, FIT_WARMUP_LINEAR, 0, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(s.warmup, 31);
    cr_assert_float_eq(s.lr[0], .03, 1e-15);
    cr_assert_float_eq(s.lr[20], .2, 1e-15);
    fit_schedule_free(&s);
    cr_assert_eq(fit_schedule_sampled(&s, step, lr, 5, FIT_WARMUP_CONSTANT, 0, &e), ST_OK, "%s", e.msg);
    cr_assert_float_eq(s.lr[0], .3, 1e-15);
    fit_schedule_free(&s);
}

Test(schedule, refusals_name_the_place)
{
    static const struct { const char *text, *word; } rows[] = {
        {"", "empty"},
        {"cosin peak=3e-4 steps=100", "did you mean 'cosine'"},
        {"cosine peak=3e-4 step=100", "character 18: no key 'step'"},
        {"cosine peak=x steps=100", "character 8"},
        {"cosine peak=3e-4 warmup=7.5 steps=100", "whole number"},
        {"cosine peak=3e-4 steps", "character 18: 'steps' is not KEY=VALUE"},
        {"cosine peak=3e-4", "steps= must lie"},
        {"cosine steps=100", "peak= is missing"},
        {"cosine peak=3e-4 warmup=100 steps=100", "leaves nothing"},
        {"linear peak=3e-4 final=4e-4 steps=100", "above peak"},
        {"exponential peak=3e-4 steps=100", "must be above 0"},
        {"linear peak=3e-4 warmup=20 from=10 steps=100", "between the warm-up (20)"},
        {"wsd peak=3e-4 decay=linear steps=100", "from="},
        {"wsd peak=3e-4 from=50 steps=100", "decay="},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err e = {0};
        fit_schedule_spec spec;
        cr_assert_eq(fit_schedule_parse(&spec, rows[i].text, &e), ST_USAGE, "%s", rows[i].text);
        cr_assert(strstr(e.msg, rows[i].word), "%s: %s", rows[i].text, e.msg);
    }
    static const struct { double step[3], lr[3]; size_t assumed; status code; } logs[] = {
        {{10, 20, 20}, {.1, .1, .1}, 0, ST_INPUT},
        {{10, 20.5, 30}, {.1, .1, .1}, 0, ST_INPUT},
        {{-1, 20, 30}, {.1, .1, .1}, 0, ST_INPUT},
        {{10, 20, 30}, {.1, -.1, .1}, 0, ST_INPUT},
        {{10, 20, 30}, {.1, NAN, .1}, 0, ST_INPUT},
        {{10, 20, 30}, {.1, .1, .1}, 11, ST_USAGE},
    };
    for (size_t i = 0; i < sizeof logs / sizeof *logs; i++) {
        err e = {0};
        fit_schedule s;
        cr_assert_eq(fit_schedule_sampled(&s, logs[i].step, logs[i].lr, 3, FIT_WARMUP_LINEAR, logs[i].assumed, &e),
                     logs[i].code, "log %zu", i);
    }
}

/* --- rows ------------------------------------------------------------------------------------------------------- */

/* A run of one schedule, a row every `every` steps from `begin` on. */
static fit_runs *rows_of(fit_schedule *s, size_t n_schedules, size_t begin, size_t every, size_t *n)
{
    fit_runs *r = calloc(1, sizeof *r);
    r->schedule = malloc(n_schedules * sizeof *r->schedule);
    memcpy(r->schedule, s, n_schedules * sizeof *s);
    r->n_schedules = n_schedules;
    *n = 0;
    for (size_t k = 0; k < n_schedules; k++) *n += (s[k].n_steps - 1 - begin) / every + 1;
    r->run = malloc(*n * sizeof *r->run);
    r->step = malloc(*n * sizeof *r->step);
    for (size_t k = 0, at = 0; k < n_schedules; k++)
        for (size_t i = begin; i < s[k].n_steps; i += every, at++) r->run[at] = (uint32_t)k, r->step[at] = (uint32_t)i;
    return r;
}

/* The definition: Luo et al. 2025; H, H_v, H_b. */
static void plain_sum(double *h, const fit_schedule *s, size_t step, const double *at)
{
    double c = at[0], beta = at[1], gamma = at[2];
    h[0] = h[1] = h[2] = 0;
    for (size_t k = s->first_drop; k <= step; k++) {
        double drop = s->lr[k - 1] - s->lr[k], after = s->s1[step] - s->s1[k - 1];
        if (drop == 0) continue;
        if (s->lr[k] == 0) {
            h[0] += after > 0 ? drop : 0;
            continue;
        }
        double u = c * pow(s->lr[k], -gamma) * after, l = log1p(u), q = exp(-beta * l);
        h[0] += drop * -expm1(-beta * l);
        h[1] += drop * beta * q * u / (1 + u);
        h[2] += drop * q * l;
    }
}

static double total_drop(const fit_schedule *s)
{
    double sum = 0;
    for (size_t k = s->first_drop; k < s->n_steps; k++) sum += fabs(s->lr[k - 1] - s->lr[k]);
    return sum;
}

/* C, beta, gamma: published (25M); our optimum for the 100M curves; far out. */
static const double points[][3] = {{2.0656, .58279, .64142}, {.0019637, .24493, 1.35653}, {31.7, .0113, .21},
                                   {.00137, 3.71, 1.93},     {5.3e5, .91, .37},         {7.1e-7, 1.3, .83}};

/* Rows every so often, and all of them around the places where the schedule's formula changes. */
static fit_runs *rows_around(fit_schedule *s, size_t begin, size_t every, size_t *n)
{
    fit_runs *r = rows_of(s, 1, begin, every, n);
    r->run = realloc(r->run, (*n + 24 * s->n_breaks) * sizeof *r->run);
    r->step = realloc(r->step, (*n + 24 * s->n_breaks) * sizeof *r->step);
    for (size_t k = 0; k < s->n_breaks; k++)
        for (size_t i = s->breaks[k]; i < s->breaks[k] + 24 && i < s->n_steps; i++)
            if (i >= begin) r->run[*n] = 0, r->step[(*n)++] = (uint32_t)i;
    return r;
}

/* Largest error of H, H_v, H_b over the sum of |drops|. Frees the schedule. */
static double worst_sum(fit_schedule *s, size_t begin, size_t every)
{
    size_t n;
    err e = {0};
    fit_curves c;
    fit_runs *r = rows_around(s, begin, every, &n);
    double worst = 0;
    cr_assert_eq(fit_curves_init(&c, r, n, .999, true, &e), ST_OK, "%s", e.msg);
    for (size_t p = 0; p < sizeof points / sizeof *points; p++)
        for (size_t i = 0; i < n; i++) {
            const double *q = points[p];
            double value[FIT_N_H], all[FIT_N_H], plain[3];
            plain_sum(plain, &r->schedule[0], r->step[i], q);
            fit_curves_h(value, &c, i, log(q[0]), q[1], q[2], false);
            fit_curves_h(all, &c, i, log(q[0]), q[1], q[2], true);
            worst = fmax(worst, fmax(fabs(value[FIT_H] - plain[0]), fabs(all[FIT_H] - plain[0])));
            worst = fmax(worst, fmax(fabs(all[FIT_HV] - plain[1]), fabs(all[FIT_HB] - plain[2])));
            for (int j = 0; j < FIT_N_H; j++) cr_assert(isfinite(all[j]), "step %u, %d", (unsigned)r->step[i], j);
        }
    worst /= fmax(total_drop(s), 1e-300);
    fit_curves_free(&c);
    fit_runs_free(r);
    return worst;
}

Test(sum, blocks_agree_with_the_plain_sum)
{
    static const char *const texts[] = {
        "constant peak=3e-4 warmup=217 steps=2000",
        "cosine peak=3e-4 final=3e-5 warmup=217 steps=3001",
        "cosine peak=7e-3 warmup=100 steps=2500", /* to 0 */
        "linear peak=2.3 warmup=1 steps=2113",
        "linear peak=3e-4 final=3e-5 steps=2200",
        "wsd decay=exponential peak=3e-4 final=3e-9 warmup=160 from=1500 steps=2500",
        "wsd decay=1-sqrt peak=3e-4 warmup=160 from=1400 steps=2600",
        "wsdcon peak=3e-4 final=9e-5 warmup=216 from=800 steps=1600",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (int w = 0; w < 3; w++) {
            fit_schedule s;
            named(&s, texts[i], (fit_warmup)w);
            double worst = worst_sum(&s, w == FIT_WARMUP_NONE ? s.warmup : 3, 173);
            cr_assert_lt(worst, 1e-12, "%s, %s: %g", texts[i], fit_warmup_name((fit_warmup)w), worst);
        }
}

/* Logs: kinks at the samples, printed digits, a learning rate that falls to 0 and comes back. */
Test(sum, blocks_agree_on_logged_schedules)
{
    enum { N = 40 };
    double step[N], lr[N];
    err e = {0};
    for (int kind = 0; kind < 3; kind++) {
        fit_schedule s;
        for (int i = 0; i < N; i++) {
            step[i] = 61 * i + (i % 3 ? 7 : 0);
            lr[i] = kind == 0   ? .013 * (1.1 + cos(.11 * i)) /* smooth */
                    : kind == 1 ? 1e-3 * (i * 7919 % 13)      /* any, with zeros */
                    : i < 10    ? 1e-6 * (i * 31)
                                : 1e-6 * (int)(310 * exp(-.2 * (i - 10))); /* six decimals, ends in zeros */
        }
        cr_assert_eq(fit_schedule_sampled(&s, step, lr, N, FIT_WARMUP_LINEAR, 0, &e), ST_OK, "%s", e.msg);
        double worst = worst_sum(&s, 3, 41);
        cr_assert_lt(worst, 1e-12, "%d: %g", kind, worst);
    }
}

/* What the blocks are for: the work of a row does not grow with its step. The plain sum would take 72,000. */
Test(sum, a_row_reads_few_nodes)
{
    size_t n;
    err e = {0};
    fit_curves c;
    fit_schedule s;
    named(&s, "cosine peak=3e-4 final=3e-5 warmup=2160 steps=72000", FIT_WARMUP_LINEAR);
    fit_runs *r = rows_of(&s, 1, 2160, 128, &n);
    cr_assert_eq(fit_curves_init(&c, r, n, .999, true, &e), ST_OK, "%s", e.msg);
    for (size_t i = 0; i < n; i++) cr_assert_leq(c.row[i].n_runs, 40, "row %zu: %zu", i, c.row[i].n_runs);
    cr_assert_leq(c.nodes.n, 2 * 72000 + 16 * 40);
    fit_curves_free(&c);
    fit_runs_free(r);
}

/* Own exponential and logarithm over the whole range that a search may reach, one node at a time. */
static void check_arithmetic(cpu_level level)
{
    for (int i = 0; i < 400; i++) {
        double w[16] = {0}, t[16] = {0}, s[16] = {0}, h[FIT_N_H] = {0}, value[FIT_N_H] = {0};
        double v = -60 + .41 * i, gamma = .37, beta = .031 * i + .01;
        int at = i % 16;
        w[at] = 1.37, t[at] = 8.13 - .01 * i, s[at] = 2.77e-3 * i + 1e-9;
        fit_curve_sum(h, w, t, s, 16, v, beta, gamma, true, level);
        fit_curve_sum(value, w, t, s, 16, v, beta, gamma, false, level);
        double u = exp(v + gamma * t[at]) * s[at], l = log1p(u), q = exp(-beta * l), p = u / (1 + u);
        double gv = beta * q * p, gvv = gv * (1 - p - beta * p), gvb = q * p * (1 - beta * l);
        const double expected[FIT_N_H] = {
            [FIT_H] = 1 - q,
            [FIT_HV] = gv,
            [FIT_HVT] = gv * t[at],
            [FIT_HB] = q * l,
            [FIT_HVV] = gvv,
            [FIT_HVVT] = gvv * t[at],
            [FIT_HVVTT] = gvv * t[at] * t[at],
            [FIT_HVB] = gvb,
            [FIT_HVBT] = gvb * t[at],
            [FIT_HBB] = -q * l * l,
        };
        cr_assert_float_eq(value[FIT_H], 1.37 * (1 - q), 1e-13);
        for (int j = 0; j < FIT_N_H; j++)
            cr_assert_float_eq(h[j], 1.37 * expected[j], 1e-13 * (1 + fabs(expected[j])),
                               "level %d, %d at %d: %.17g, %.17g", level, j, i, h[j], 1.37 * expected[j]);
    }
    double w[8] = {1, 1}, t[8] = {0}, s[8] = {1, 2}, h[FIT_N_H] = {0}; /* overflow: G = 1, nothing moves it */
    fit_curve_sum(h, w, t, s, 8, 5000, .5, 1, true, level);
    cr_assert_float_eq(h[FIT_H], 2, 1e-12);
    for (int j = 1; j < FIT_N_H; j++) cr_assert(isfinite(h[j]), "level %d, %d: %g", level, j, h[j]);
}

Test(sum, arithmetic_agrees_with_libm)
{
    for (int level = CPU_GENERIC; level <= (int)cpu_level_detect(); level++) check_arithmetic((cpu_level)level);
}

/* --- laws ------------------------------------------------------------------------------------------------------- */

typedef void eval_fn(double *, double *, double *, const fit_curves *, const size_t *, size_t, const double *);

static void check_derivatives(eval_fn *eval, const fit_curves *c, const double *at, size_t p, const char *name)
{
    enum { N = 5, MOST = FIT_MPL_PARAMS };
    size_t row[N] = {1, 0, 7, 4, c->n - 1};
    double q[N], up[N], down[N], theta[MOST];
    double jac[MOST * N], curv[MOST * (MOST + 1) / 2 * N], ju[MOST * N], jd[MOST * N];
    memcpy(theta, at, p * sizeof *theta);
    eval(q, NULL, NULL, c, row, N, theta);
    eval(up, jac, curv, c, row, N, theta);
    for (size_t i = 0; i < N; i++) cr_assert_float_eq(q[i], up[i], 1e-14); /* with and without derivatives */
    for (size_t j = 0; j < p; j++) {
        const double h = 1e-5, keep = theta[j];
        theta[j] = keep + h;
        eval(up, ju, NULL, c, row, N, theta);
        theta[j] = keep - h;
        eval(down, jd, NULL, c, row, N, theta);
        theta[j] = keep;
        for (size_t i = 0; i < N; i++) {
            cr_assert_float_eq(jac[j * N + i], (up[i] - down[i]) / (2 * h), 1e-9, "%s d/d%zu row %zu: %.12g %.12g",
                               name, j, i, jac[j * N + i], (up[i] - down[i]) / (2 * h));
            for (size_t a = 0, k = 0; a < p; a++)
                for (size_t b = a; b < p; b++, k++) {
                    if (a != j && b != j) continue;
                    size_t other = a == j ? b : a;
                    double numeric = (ju[other * N + i] - jd[other * N + i]) / (2 * h);
                    cr_assert_float_eq(curv[k * N + i], numeric, 1e-8, "%s d2/d%zu d%zu row %zu: %.12g %.12g", name, a,
                                       b, i, curv[k * N + i], numeric);
                }
        }
    }
}

/* Three schedules with rows of each. */
static fit_runs *three_runs(size_t *n)
{
    fit_schedule s[3];
    named(&s[0], "cosine peak=3e-4 final=3e-5 warmup=216 steps=2400", FIT_WARMUP_LINEAR);
    named(&s[1], "constant peak=3e-4 warmup=216 steps=2400", FIT_WARMUP_LINEAR);
    named(&s[2], "wsdcon peak=3e-4 final=9e-5 warmup=216 from=800 steps=1600", FIT_WARMUP_LINEAR);
    return rows_of(s, 3, 217, 61, n);
}

Test(law, derivatives_match_finite_differences)
{
    size_t n;
    err e = {0};
    fit_curves c;
    fit_runs *r = three_runs(&n);
    cr_assert_eq(fit_curves_init(&c, r, n, .999, true, &e), ST_OK, "%s", e.msg);
    const double anneal[] = {log(3.158), log(.5136), .5134, log(.4019)};
    check_derivatives(fit_anneal_eval, &c, anneal, FIT_ANNEAL_PARAMS, "lr-anneal");
    for (size_t p = 0; p < 3; p++) {
        const double *q = points[p];
        const double mpl[] = {log(3.04), log(.5247), .5079, log(363.8), log(q[0]), log(q[1]), q[2]};
        check_derivatives(fit_mpl_eval, &c, mpl, FIT_MPL_PARAMS, "multi-power");
    }
    fit_curves_free(&c);
    fit_runs_free(r);
}

Test(law, a_loss_below_zero_is_no_number)
{
    size_t n, row = 3;
    err e = {0};
    fit_curves c;
    fit_runs *r = three_runs(&n);
    double q, jac[FIT_ANNEAL_PARAMS], theta[] = {log(.01), log(1e-9), .5, log(1e9)};
    row = n - 1;
    cr_assert_eq(fit_curves_init(&c, r, n, .999, false, &e), ST_OK, "%s", e.msg);
    fit_anneal_eval(&q, jac, NULL, &c, &row, 1, theta);
    cr_assert(isnan(q) && isnan(jac[FIT_ANNEAL_A]));
    fit_curves_free(&c);
    fit_runs_free(r);
}

Test(rows, refusals)
{
    size_t n;
    err e = {0};
    fit_curves c;
    fit_runs *r = three_runs(&n);
    r->step[5] = 2400;
    cr_assert_eq(fit_curves_init(&c, r, n, .999, true, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "row 6") && strstr(e.msg, "2399"), "%s", e.msg);
    r->step[5] = 0; /* linspace starts at 0 */
    cr_assert_eq(fit_curves_init(&c, r, n, .999, true, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "row 6"), "%s", e.msg);
    r->step[5] = 700;
    r->run[2] = 3;
    cr_assert_eq(fit_curves_init(&c, r, n, .999, true, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "row 3"), "%s", e.msg);
    fit_runs_free(r);
}
