#include "fit/likelihood.h"

#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double SMALLEST = 1e-14;

/* Integral of exp(-factor Huber_delta(u)) over u > 0. */
static double half_normaliser(double delta, double factor)
{
    double root = sqrt(factor);
    return sqrt(2 * M_PI) / root * (gsl_cdf_ugaussian_P(delta * root) - .5) + exp(-factor * delta * delta / 2) / (factor * delta);
}

/* rho and u rho'(u) of the objective, summed over the residuals in units of s. */
static void sums(double *rho_sum, double *dot, const fit_problem *p, const double *r, size_t n, double s)
{
    double u[FIT_BLOCK], rho[FIT_BLOCK], psi[FIT_BLOCK], curv[FIT_BLOCK];
    *rho_sum = *dot = 0;
    for (size_t at = 0; at < n; at += FIT_BLOCK) {
        size_t m = n - at < FIT_BLOCK ? n - at : FIT_BLOCK;
        for (size_t i = 0; i < m; i++) u[i] = r[at + i] / s;
        p->objective->rho(rho, psi, curv, u, p->delta, m);
        for (size_t i = 0; i < m; i++) *rho_sum += rho[i], *dot += psi[i] * u[i];
    }
}

double fit_log_likelihood(double *scale, const fit_problem *p, const double *r, size_t n)
{
    double rho, dot, s, largest = 0, z;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(r[i]));
    if (p->objective->squared) { /* rho = u^2, so the Gaussian's is rho/2 */
        sums(&rho, &dot, p, r, n, 1);
        s = fmax(sqrt(rho / (double)n), SMALLEST);
        if (scale) *scale = s;
        return -rho / (2 * s * s) - (double)n * (log(s) + .5 * log(2 * M_PI));
    }
    /* d/d ln s of -sum rho(r/s) - n ln s is dot - n, which falls as s rises. */
    double lo = log(SMALLEST), hi = log(fmax(largest, SMALLEST)) + 1;
    for (int k = 0; k < 200 && hi - lo > 1e-13; k++) {
        double mid = (lo + hi) / 2;
        sums(&rho, &dot, p, r, n, exp(mid));
        if (dot > (double)n) lo = mid;
        else hi = mid;
    }
    s = exp((lo + hi) / 2);
    sums(&rho, &dot, p, r, n, s);
    z = half_normaliser(p->delta, 1) + half_normaliser(p->delta, p->objective->overestimate);
    if (scale) *scale = s;
    return -rho - (double)n * (log(s) + log(z));
}

status fit_log_likelihood_at(double *log_likelihood, double *scale, fit_problem *p, const double *phi, err *e)
{
    double *r = malloc((p->n + 1) * sizeof *r);
    if (!r) return err_set(e, ST_NOMEM, "no memory for %zu rows", p->n);
    fit_problem_predict(p, phi, NULL, r);
    *log_likelihood = fit_log_likelihood(scale, p, r, p->n);
    free(r);
    return ST_OK;
}
