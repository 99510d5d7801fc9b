/* Small statistics of what is drawn. Private to plots/. */
#ifndef PLOTS_SAMPLE_H
#define PLOTS_SAMPLE_H
#include <stddef.h>

void sample_sort(double *x, size_t n);                            /* ascending; finite numbers only */
double sample_quantile(const double *sorted, size_t n, double q); /* linear between neighbours; NaN for n = 0 */
double sample_median(double *x, size_t n);                        /* sorts x */
/* Pearson's r over the pairs where both are finite; NaN for fewer than three or without spread. */
double sample_correlation(const double *x, const double *y, size_t n);

/* Bins of about equal count along x, never parting equal x: first[bins] = n closes the last. order[n] becomes the rows
 * by rising x. A bin holds at least `least` rows; returns the bins (0 when n < least). first has room for most + 1. */
size_t sample_bins(size_t *first, size_t *order, const double *x, size_t n, size_t most, size_t least);

/* The roundest number in [lo, hi], multiples of 1, 0.5, 0.2, 0.1, ...: 2.5 of [2.41, 2.58]. NaN for an empty range. */
double sample_round_between(double lo, double hi);
#endif
