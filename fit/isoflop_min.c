/* Where a budget's losses are lowest: three ways. */
#include <gsl/gsl_errno.h>
#include <gsl/gsl_interp.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/isoflop.h"

/* Hoffmann et al. 2022, section 3.2: least squares of the loss on 1, u, u^2, u = ln N minus its mean. */
static status parabola(double *ln_n, double *loss, double *curvature, const char **why, double *fitted,
                       const iso_row *row, const double *weight, size_t n, err *e)
{
    double m[9] = {0}, v[3] = {0}, c[3], centre = 0, sum = 0;
    (void)e;
    for (size_t i = 0; i < n; i++) centre += weight[i] * row[i].ln_n, sum += weight[i];
    centre /= sum;
    for (size_t i = 0; i < n; i++) {
        double u = row[i].ln_n - centre, t[3] = {1, u, u * u};
        for (int a = 0; a < 3; a++) {
            v[a] += weight[i] * t[a] * row[i].loss;
            for (int b = 0; b < 3; b++) m[3 * a + b] += weight[i] * t[a] * t[b];
        }
    }
    if (!fit_cholesky_solve(m, c, v, 3)) {
        *why = "sizes too close for a parabola";
        return ST_OK;
    }
    for (size_t i = 0; i < n && fitted; i++) {
        double u = row[i].ln_n - centre;
        fitted[row[i].at] = c[0] + u * (c[1] + u * c[2]);
    }
    *curvature = 2 * c[2];
    if (!(c[2] > 0)) {
        *why = "the parabola opens downwards";
        return ST_OK;
    }
    *ln_n = centre - c[1] / (2 * c[2]);
    *loss = c[0] - c[1] * c[1] / (4 * c[2]);
    return ST_OK;
}

/* Porian et al. 2024 (arXiv:2406.19146): Akima's spline of ln L over ln N (Akima 1970, J. ACM 17:589), looked at in 25
 * points per gap between sizes, evenly over the whole range; the lowest of them. */
enum { POINTS_PER_GAP = 25, AKIMA_LEAST = 5 };

static status akima(double *ln_n, double *loss, double *curvature, const char **why, double *fitted, const iso_row *row,
                    const double *weight, size_t n, err *e)
{
    size_t points = (n - 1) * POINTS_PER_GAP;
    double lowest = INFINITY;
    (void)curvature, (void)fitted, (void)weight;
    if (n < AKIMA_LEAST) {
        *why = "fewer than 5 sizes: too few for Akima's spline";
        return ST_OK;
    }
    double *x = malloc(2 * n * sizeof *x), *y = x ? x + n : NULL;
    gsl_error_handler_t *handler = gsl_set_error_handler_off();
    gsl_interp *spline = gsl_interp_alloc(gsl_interp_akima, n);
    bool ok = x && spline;
    for (size_t i = 0; i < n && ok; i++) x[i] = row[i].ln_n, y[i] = log(row[i].loss);
    ok = ok && !gsl_interp_init(spline, x, y, n);
    for (size_t i = 0; i < points && ok; i++) {
        double at = i + 1 == points ? x[n - 1] : x[0] + (x[n - 1] - x[0]) * (double)i / (double)(points - 1), l;
        ok = !gsl_interp_eval_e(spline, x, y, at, NULL, &l);
        if (ok && l < lowest) lowest = l, *ln_n = at;
    }
    gsl_interp_free(spline);
    gsl_set_error_handler(handler);
    free(x);
    *loss = exp(lowest);
    return ok ? ST_OK : err_set(e, ST_NOMEM, "no memory for the spline of %zu sizes", n);
}

/* The lowest run itself. */
static status lowest_run(double *ln_n, double *loss, double *curvature, const char **why, double *fitted,
                         const iso_row *row, const double *weight, size_t n, err *e)
{
    (void)curvature, (void)why, (void)fitted, (void)e;
    *loss = INFINITY;
    for (size_t i = 0; i < n; i++)
        if (weight[i] > 0 && row[i].loss < *loss) *loss = row[i].loss, *ln_n = row[i].ln_n;
    return ST_OK;
}

const fit_minimum fit_minima[] = {
    {"parabola", "vertex of a parabola of the loss in ln N", true, parabola},
    {"akima", "lowest point of Akima's spline of ln L over ln N", false, akima},
    {"lowest", "the lowest run", false, lowest_run},
};
const size_t fit_n_minima = sizeof fit_minima / sizeof *fit_minima;

const fit_minimum *fit_minimum_find(const char *name, err *e)
{
    for (size_t i = 0; i < fit_n_minima; i++)
        if (!strcmp(fit_minima[i].name, name)) return &fit_minima[i];
    err_set(e, ST_USAGE, "--minimum '%s': known are parabola, akima, lowest", name);
    return NULL;
}
