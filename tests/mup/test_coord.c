/* Slopes, intervals and verdicts of the coordinate check, on numbers with a known answer. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "mup/coord.h"

static const double size[] = {60, 120, 250, 490};
enum { N = 4, SEEDS = 5 };

/* 2.3 size^p, times what each seed has of its own: a factor, and a slope of its own around p. */
static void power(double *y, double p, double spread)
{
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < SEEDS; j++)
            y[i * SEEDS + j] = 2.3 * (1 + 0.7 * (double)j) * pow(size[i], p + spread * ((double)j - 2));
}

static mup_coord_slope fit(const double *y)
{
    mup_coord_slope s = {0};
    err e = {0};
    cr_assert_eq(mup_coord_fit(&s, size, y, N, SEEDS, &e), ST_OK, "%s", e.msg);
    return s;
}

Test(coord_slope, of_a_power)
{
    double y[N * SEEDS];
    power(y, -0.83, 0);
    const mup_coord_slope s = fit(y); /* a factor per seed is no slope, and no doubt about it */
    cr_expect_float_eq(s.slope, -0.83, 1e-12);
    cr_expect_float_eq(s.lo, -0.83, 1e-12);
    cr_expect_float_eq(s.hi, -0.83, 1e-12);
    cr_expect_float_eq(s.r2, 1, 1e-12);
}

/* Slopes p - 2s ... p + 2s: the mean of five has the standard error s sqrt(2.5/5) = 0.707 s, and t(4) is 2.776. */
Test(coord_slope, interval_is_students)
{
    double y[N * SEEDS];
    power(y, 0.31, 0.04);
    const mup_coord_slope s = fit(y);
    cr_expect_float_eq(s.slope, 0.31, 1e-12);
    cr_expect_float_eq(s.hi - 0.31, 2.7764451 * 0.04 * sqrt(0.5), 1e-8);
    cr_expect_float_eq(0.31 - s.lo, 2.7764451 * 0.04 * sqrt(0.5), 1e-8);
}

/* How many of 4,000 intervals hold the true slope: seeds with a factor of their own, and noise at each size. */
static double coverage(size_t seeds)
{
    enum { DRAWS = 4000 };
    size_t held = 0;
    double y[N * 16];
    for (uint32_t k = 0; k < DRAWS; k++) {
        mup_coord_slope s = {0};
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < seeds; j++)
                y[i * seeds + j] = pow(size[i], -0.37) * exp(0.6 * rng_normal(seeds, RNG_TEST, k, j) +
                                                             0.08 * rng_normal(seeds, RNG_TEST, k, 16 + i * seeds + j));
        cr_assert_eq(mup_coord_fit(&s, size, y, N, seeds, NULL), ST_OK);
        held += s.lo <= -0.37 && -0.37 <= s.hi;
    }
    return (double)held / DRAWS;
}

/* 95 % by Student's t whatever the number of seeds; a percentile bootstrap of 3, 4, 8 of them, widened by
 * sqrt(n/(n-1)), in 81, 84, 90 %. The bounds are four standard errors of 4,000 draws. */
Test(coord_slope, intervals_hold_the_truth_as_often_as_they_say)
{
    static const size_t seeds[] = {2, 3, 4, 8, 16};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        const double c = coverage(seeds[i]);
        cr_expect(c > 0.936 && c < 0.964, "%zu seeds: %g", seeds[i], c);
    }
}

Test(coord_slope, r2_falls_off_a_line)
{
    double y[N * SEEDS];
    power(y, 0.5, 0);
    for (size_t j = 0; j < SEEDS; j++) y[SEEDS + j] *= 3;
    cr_expect_lt(fit(y).r2, 0.7);
}

Test(coord_slope, refuses_what_has_no_slope)
{
    double y[N * SEEDS];
    mup_coord_slope s;
    err e = {0};
    power(y, 1, 0);
    cr_expect_eq(mup_coord_fit(&s, size, y, 2, SEEDS, &e), ST_DOMAIN);
    cr_expect_eq(mup_coord_fit(&s, size, y, N, 1, &e), ST_DOMAIN);
    y[7] = 0;
    cr_expect_eq(mup_coord_fit(&s, size, y, N, SEEDS, &e), ST_DOMAIN);
    y[7] = NAN;
    cr_expect_eq(mup_coord_fit(&s, size, y, N, SEEDS, &e), ST_DOMAIN);
    cr_expect(strstr(e.msg, "size 120, seed 3"), "%s", e.msg);
}

Test(coord_verdict, slope_and_interval_both_count)
{
    const mup_coord_bounds b = {0, -0.6, -0.35, 0.1, 0.25};
    static const struct { double slope, lo, hi; mup_coord_verdict want; } rows[] = {
        {0.02, -0.03, 0.08, MUP_COORD_PASS},      {0.02, -0.03, 0.26, MUP_COORD_UNDECIDED},
        {0.09, -0.61, 0.13, MUP_COORD_UNDECIDED}, {-0.34, -0.5, -0.2, MUP_COORD_PASS},
        {0.17, 0.15, 0.19, MUP_COORD_UNDECIDED},  {0.27, 0.12, 0.4, MUP_COORD_FAIL},
        {0.27, 0.08, 0.45, MUP_COORD_UNDECIDED},  {-0.64, -0.8, -0.5, MUP_COORD_FAIL},
        {-0.64, -0.9, -0.3, MUP_COORD_UNDECIDED}, {-0.4, -0.42, -0.38, MUP_COORD_UNDECIDED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const mup_coord_slope s = {rows[i].slope, rows[i].lo, rows[i].hi, 1};
        cr_expect_eq(mup_coord_judge(&s, &b), rows[i].want, "row %zu: %s", i, mup_coord_word(mup_coord_judge(&s, &b)));
    }
}

/* Every quantity: what is expected passes, a whole power of the size more fails; what has no bound is only shown. */
Test(coord_verdict, bounds_stand_around_the_expected)
{
    for (int axis = 0; axis < 2; axis++)
        for (int q = 0; q < MUP_COORD_N; q++) {
            const mup_coord_bounds b = mup_coord_bounds_of((mup_coord_quantity)q, (mup_coord_axis)axis, -0.5);
            const mup_coord_slope right = {-0.5, -0.5, -0.5, 1}, more = {0.5, 0.5, 0.5, 1};
            const bool shown = isinf(b.fail_hi) != 0;
            cr_expect_eq(mup_coord_judge(&right, &b), shown ? MUP_COORD_SHOWN : MUP_COORD_PASS, "quantity %d", q);
            cr_expect_eq(mup_coord_judge(&more, &b), shown ? MUP_COORD_SHOWN : MUP_COORD_FAIL, "quantity %d", q);
            cr_expect(b.fail_lo <= b.pass_lo && b.pass_lo < b.pass_hi && b.pass_hi <= b.fail_hi, "quantity %d", q);
            if (axis == MUP_OVER_WIDTH) cr_expect(!shown);
        }
}
