/* The best precision to train in, by the law `precision`: with C = (6/16) N D P a bit of precision costs what a parameter
 * does, so the best P maximises N_eff(P)/(N P), whatever the compute (Kumar et al. 2024, arXiv:2411.04330, section 4.3).
 * All of P_w, P_a, P_kv equal. */
#include <gsl/gsl_errno.h>
#include <gsl/gsl_min.h>
#include <math.h>

#include "fit/decide.h"

typedef struct factors { double gamma[3], n[3]; } factors;

double fit_precision_share(const double *gamma, const double *n, double bits)
{
    double share = 1;
    for (int x = 0; x < 3; x++) {
        double f = 1 - exp(n[x] - bits / gamma[x]);
        if (!(f > 0)) return NAN; /* outside the law's domain */
        share *= f;
    }
    return share;
}

static double cost(double bits, void *self)
{
    const factors *f = self;
    double share = fit_precision_share(f->gamma, f->n, bits);
    return isnan(share) ? INFINITY : -share / bits;
}

status fit_precision_best(double *bits, const double *gamma, const double *n, err *e)
{
    enum { STEPS = 400, MOST_BITS = 64 };
    factors f = {{gamma[0], gamma[1], gamma[2]}, {n[0], n[1], n[2]}};
    double lowest = 0, at = NAN, best = INFINITY;
    for (int x = 0; x < 3; x++) lowest = fmax(lowest, gamma[x] * n[x]);
    const double step = (MOST_BITS - lowest) / STEPS;
    for (int k = 1; k < STEPS; k++) {
        double p = lowest + step * k, c = cost(p, &f);
        if (c < best) best = c, at = p;
    }
    if (!isfinite(best) || at + step >= MOST_BITS)
        return err_set(e, ST_DOMAIN, "the law of precision has no best number of bits below %d", MOST_BITS);
    gsl_function fn = {cost, &f};
    double lo = fmax(at - step, lowest + 1e-9), hi = at + step;
    gsl_error_handler_t *handler = gsl_set_error_handler_off();
    gsl_min_fminimizer *m = gsl_min_fminimizer_alloc(gsl_min_fminimizer_brent);
    status s = m ? ST_OK : err_set(e, ST_NOMEM, "no memory for GSL's minimiser");
    if (!s && gsl_min_fminimizer_set(m, &fn, at, lo, hi) == GSL_SUCCESS)
        for (int k = 0; k < 200 && hi - lo > 1e-9; k++) {
            gsl_min_fminimizer_iterate(m);
            at = gsl_min_fminimizer_x_minimum(m);
            lo = gsl_min_fminimizer_x_lower(m), hi = gsl_min_fminimizer_x_upper(m);
        }
    if (m) gsl_min_fminimizer_free(m);
    gsl_set_error_handler(handler);
    *bits = at;
    return s;
}
