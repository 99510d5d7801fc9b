#include "plots/sample.h"

#include <math.h>
#include <stdlib.h>

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void sample_sort(double *x, size_t n) { qsort(x, n, sizeof *x, by_number); }

double sample_quantile(const double *sorted, size_t n, double q)
{
    if (!n) return NAN;
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

double sample_median(double *x, size_t n)
{
    sample_sort(x, n);
    return sample_quantile(x, n, 0.5);
}

double sample_correlation(const double *x, const double *y, size_t n)
{
    double k = 0, mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i]) && isfinite(y[i])) k++, mx += x[i], my += y[i];
    if (k < 3) return NAN;
    mx /= k, my /= k;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i]) && isfinite(y[i])) {
            xx += (x[i] - mx) * (x[i] - mx);
            yy += (y[i] - my) * (y[i] - my);
            xy += (x[i] - mx) * (y[i] - my);
        }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
}

static int by_x(const void *a, const void *b, void *values)
{
    const double *x = values;
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    return x[i] != x[j] ? (x[i] > x[j]) - (x[i] < x[j]) : (i > j) - (i < j);
}

size_t sample_bins(size_t *first, size_t *order, const double *x, size_t n, size_t most, size_t least)
{
    size_t bins = 0, want = least ? n / least : most;
    for (size_t i = 0; i < n; i++) order[i] = i;
    qsort_r(order, n, sizeof *order, by_x, (void *)x);
    if (want > most) want = most;
    for (size_t i = 0; want && i < n;) {
        size_t end = (bins + 1) * n / want;
        if (end < i + least) end = i + least;
        if (end > n || n - end < least) end = n;
        while (end < n && x[order[end]] == x[order[end - 1]]) end++;
        if (n - end < least) end = n;
        first[bins++] = i;
        i = end;
    }
    first[bins] = n;
    return bins;
}

double sample_round_between(double lo, double hi)
{
    static const double steps[] = {1, 0.5, 0.2};
    if (!(lo <= hi) || !isfinite(lo) || !isfinite(hi)) return NAN;
    if (lo <= 0 && hi >= 0) return 0;
    double unit = pow(10, floor(log10(fmax(fabs(lo), fabs(hi)))));
    for (int digits = 0; digits < 16; digits++, unit /= 10)
        for (int k = 0; k < 3; k++) {
            double step = unit * steps[k], mid = round((lo + hi) / 2 / step) * step;
            if (mid >= lo && mid <= hi) return mid;
        }
    return (lo + hi) / 2;
}
