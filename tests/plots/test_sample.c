/* plots/sample.c: the small statistics of figures. */
#include <criterion/criterion.h>
#include <math.h>

#include "plots/sample.h"

Test(sample, quantiles_lie_between_neighbours)
{
    double x[] = {3.25, -1.5, 9.75, 0.5};
    cr_expect_float_eq(sample_median(x, 4), 1.875, 1e-15); /* sorts */
    cr_expect_float_eq(sample_quantile(x, 4, 0), -1.5, 0);
    cr_expect_float_eq(sample_quantile(x, 4, 1), 9.75, 0);
    cr_expect_float_eq(sample_quantile(x, 4, 0.1), -0.9, 1e-12);
    cr_expect(isnan(sample_quantile(x, 0, 0.5)));
    cr_expect_float_eq(sample_quantile(x, 1, 0.9), -1.5, 0);
}

Test(sample, correlation_of_known_pairs)
{
    double x[] = {1, 2, 3, 4, NAN, 6}, y[] = {2.5, 1.5, 4.5, 3.5, 100, NAN};
    cr_expect_float_eq(sample_correlation(x, y, 6), 0.6, 1e-12); /* four whole pairs */
    for (int i = 0; i < 4; i++) y[i] = -7 * x[i] + 1;
    cr_expect_float_eq(sample_correlation(x, y, 4), -1, 1e-12);
    for (int i = 0; i < 4; i++) y[i] = 2;
    cr_expect(isnan(sample_correlation(x, y, 4)), "no spread");
    cr_expect(isnan(sample_correlation(x, x, 2)), "two points are always on a line");
}

Test(sample, bins_never_part_equal_values)
{
    double x[40];
    size_t first[9], order[40];
    for (int i = 0; i < 40; i++) x[i] = (i * 7) % 40 < 20 ? 5.5 : (i * 7) % 40; /* half of them equal */
    size_t bins = sample_bins(first, order, x, 40, 8, 4);
    cr_assert(bins >= 2 && bins <= 8, "%zu", bins);
    cr_expect_eq(first[bins], 40);
    for (size_t b = 0; b < bins; b++) {
        cr_expect_geq(first[b + 1] - first[b], 4);
        if (b) cr_expect_lt(x[order[first[b] - 1]], x[order[first[b]]], "bin %zu parts equals", b);
    }
    for (size_t i = 1; i < 40; i++) cr_expect_leq(x[order[i - 1]], x[order[i]]);
    cr_expect_eq(sample_bins(first, order, x, 3, 8, 4), 0);
    cr_expect_eq(sample_bins(first, order, x, 4, 8, 4), 1);
}

Test(sample, round_numbers)
{
    static const struct {
        double lo, hi, round;
    } all[] = {{2.41, 2.58, 2.5}, {2.93, 3.2, 3},          {0.0317, 0.0329, 0.032}, {-2.58, -2.41, -2.5},
               {-1, 1, 0},        {2.0774, 2.0781, 2.078}, {990, 1104, 1000},       {7.25, 7.25, 7.25}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        cr_expect_float_eq(sample_round_between(all[i].lo, all[i].hi), all[i].round, 1e-9, "[%g, %g]: %.12g", all[i].lo,
                           all[i].hi, sample_round_between(all[i].lo, all[i].hi));
    cr_expect(isnan(sample_round_between(2, 1)));
    cr_expect(isnan(sample_round_between(NAN, 1)));
}
