#include "fit/sandwich.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_randist.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/likelihood.h"

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Half the window about 0 in which residuals count as being there; at least the width of the kink itself. */
static double window(const double *r, double *sorted, size_t n, double kink)
{
    const double z = gsl_cdf_ugaussian_Pinv(.975), height = gsl_ran_ugaussian_pdf(0);
    double h = fmin(.45, cbrt(z * z * 1.5 * height * height / (double)n)), square = 0;
    memcpy(sorted, r, n * sizeof *r);
    qsort(sorted, n, sizeof *sorted, by_size);
    for (size_t i = 0; i < n; i++) square += r[i] * r[i];
    double spread = fmin(sqrt(square / (double)n), (sorted[3 * n / 4] - sorted[n / 4]) / 1.34);
    return fmax(kink, spread * gsl_cdf_ugaussian_Pinv(.5 + h));
}

/* psi of the objective in units of the scale s, and of a window its mean slope. */
static void slopes(double *psi, double *slope, double *width, const fit_problem *p, const double *r, double *scratch, double s)
{
    double rho, curv, ends[2], at;
    for (size_t i = 0; i < p->n; i++) at = r[i] / s, p->objective->rho(&rho, &psi[i], &curv, &at, p->delta, 1);
    if (p->objective->squared) { /* rho = u^2; the Gaussian's is half of it */
        for (size_t i = 0; i < p->n; i++) psi[i] /= 2;
        *slope = 1, *width = INFINITY;
        return;
    }
    *width = window(r, scratch, p->n, p->delta * s);
    for (int k = 0; k < 2; k++) at = (k ? *width : -*width) / s, p->objective->rho(&rho, &ends[k], &curv, &at, p->delta, 1);
    *slope = (ends[1] - ends[0]) / (2 * *width / s);
}

/* Sums of x x' over rows near 0, and of gradients by cluster: square is what they add up to. */
static status add_up(fit_sandwich *out, const fit_problem *p, const double *r, const double *jac, const double *psi, double slope, double width,
                     double s, const uint32_t *cluster, err *e)
{
    size_t k = out->n, groups = 0;
    for (size_t i = 0; i < p->n; i++) {
        size_t g = cluster ? cluster[p->row[i]] : i;
        if (g >= groups) groups = g + 1;
    }
    double *sum = calloc(groups * k + 1, sizeof *sum);
    size_t used = 0;
    if (!sum) return err_set(e, ST_NOMEM, "no memory for %zu clusters", groups);
    for (size_t i = 0; i < p->n; i++) {
        const double *x = jac + i * k;
        double *g = sum + k * (cluster ? cluster[p->row[i]] : i);
        for (size_t a = 0; a < k; a++) g[a] += psi[i] * x[a] / s;
        for (size_t a = 0; a < k && fabs(r[i]) <= width; a++)
            for (size_t b = 0; b < k; b++) out->information[a * k + b] += slope * x[a] * x[b] / (s * s);
    }
    for (size_t g = 0; g < groups; g++) {
        bool any = false;
        for (size_t a = 0; a < k; a++) {
            any |= sum[g * k + a] != 0;
            for (size_t b = 0; b < k; b++) out->square[a * k + b] += sum[g * k + a] * sum[g * k + b];
        }
        used += any;
    }
    if (cluster && used <= k) out->n = 0; /* their gradients add up to 0: fewer clusters than coordinates say nothing of some direction */
    /* Fitted residuals are smaller than true ones; with few clusters their spread about 0 is. */
    double grow = (double)p->n / ((double)p->n - (double)k);
    if (cluster && used > 1) grow *= (double)used / (double)(used - 1);
    for (size_t a = 0; a < k * k; a++) out->square[a] *= grow;
    free(sum);
    return ST_OK;
}

status fit_sandwich_make(fit_sandwich *out, fit_problem *p, const double *phi, const uint32_t *cluster, err *e)
{
    size_t n = p->n, k = p->n_free;
    double slope, width, s;
    double *jac = malloc((n * k + 1) * sizeof *jac), *r = malloc((3 * n + 1) * sizeof *r);
    memset(out, 0, sizeof *out);
    out->n = k;
    status st = jac && r ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu rows", n);
    if (!st && n > k) {
        double *psi = r + n;
        fit_problem_residuals(p, phi, r, jac);
        fit_log_likelihood(&s, p, r, n);
        slopes(psi, &slope, &width, p, r, r + 2 * n, s);
        st = add_up(out, p, r, jac, psi, slope, width, s, cluster, e);
    }
    free(jac);
    free(r);
    return st;
}

double fit_sandwich_inflation(const fit_sandwich *s, const double *v)
{
    double h[FIT_MAX_PARAMS * FIT_MAX_PARAMS], z[FIT_MAX_PARAMS], above = 0, below = 0;
    size_t k = s->n;
    if (!k) return NAN;
    memcpy(h, s->information, k * k * sizeof *h);
    if (!fit_cholesky_solve(h, z, v, k)) return NAN;
    for (size_t a = 0; a < k; a++) {
        below += v[a] * z[a];
        for (size_t b = 0; b < k; b++) above += z[a] * s->square[a * k + b] * z[b];
    }
    return below > 0 && isfinite(above) ? fmax(1, above / below) : NAN;
}
