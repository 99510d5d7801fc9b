/* Damped Newton with exact Hessian. Damping: H + lambda diag|H|, updated by the gain ratio as in Nielsen, "Damping
 * parameter in Marquardt's method", report IMM-REP-1999-05, section 2; bounds by projection, with coordinates that sit
 * at a bound and want to leave held for the step (Bertsekas 1982, SIAM J. Control 20:221). Five unknowns: Cholesky
 * costs nothing, the rows do; second derivatives save most of the passes over them that BFGS needs.
 *
 * Huber's second derivative jumps where a residual passes delta. Descent is enforced, and near the end the set of rows
 * inside delta no longer changes, so the last steps are quadratic. Departure from Nielsen: no first-order stopping
 * test; the Newton decrement relative to F is invariant to the scale of F and of the parameters (F is 1e-3 here: any
 * test with a floor of 1 stops at once). */
#include "fit/solver.h"

#include <math.h>
#include <string.h>

enum { MAX_ITERATIONS = 400 };
static const double DECREMENT_TOLERANCE = 1e-14; /* of F: the step itself is then rounding */
static const double STEP_MAX = 3; /* no coordinate moves further: e^3 in an amplitude, 3 in an exponent */
static const double LAMBDA_MAX = 1e14;

static double propose(const fit_problem *p, double *trial, const double *phi, const double *g, const double *h,
                      double lambda)
{
    size_t n = p->n_free;
    double m[FIT_MAX_PARAMS * FIT_MAX_PARAMS], b[FIT_MAX_PARAMS], step[FIT_MAX_PARAMS], top = 0, gain = 0, biggest = 0;
    memcpy(m, h, n * n * sizeof *m);
    for (size_t i = 0; i < n; i++) top = fmax(top, fabs(h[i * n + i]));
    if (top == 0) top = 1;
    for (size_t i = 0; i < n; i++) {
        b[i] = -g[i];
        m[i * n + i] += lambda * fmax(fabs(h[i * n + i]), 1e-8 * top);
    }
    for (size_t i = 0; i < n; i++) {
        bool held = (phi[i] <= p->lo[i] && g[i] > 0) || (phi[i] >= p->hi[i] && g[i] < 0);
        for (size_t j = 0; j < n && held; j++) m[i * n + j] = m[j * n + i] = i == j;
        if (held) b[i] = 0;
    }
    if (!fit_cholesky_solve(m, step, b, n)) return -1;
    for (size_t i = 0; i < n; i++) biggest = fmax(biggest, fabs(step[i]));
    double shrink = biggest > STEP_MAX ? STEP_MAX / biggest : 1;
    for (size_t i = 0; i < n; i++) trial[i] = phi[i] + shrink * step[i];
    fit_problem_clip(p, trial);
    for (size_t i = 0; i < n; i++) step[i] = trial[i] - phi[i];
    for (size_t i = 0; i < n; i++) {
        double hs = 0;
        for (size_t j = 0; j < n; j++) hs += h[i * n + j] * step[j];
        gain -= step[i] * (g[i] + hs / 2);
    }
    return gain;
}

status fit_newton(fit_solved *out, fit_problem *p, double *phi, err *e)
{
    (void)e;
    size_t n = p->n_free;
    double g[FIT_MAX_PARAMS], h[FIT_MAX_PARAMS * FIT_MAX_PARAMS], trial[FIT_MAX_PARAMS];
    double tg[FIT_MAX_PARAMS], th[FIT_MAX_PARAMS * FIT_MAX_PARAMS];
    double lambda = 1e-3, grow = 2;
    fit_problem_clip(p, phi);
    double f = fit_problem_eval(p, phi, g, h);
    size_t most = p->max_iterations ? p->max_iterations : MAX_ITERATIONS;
    memset(out, 0, sizeof *out);
    for (; out->iterations < most && isfinite(f) && n; out->iterations++) {
        double gain = propose(p, trial, phi, g, h, lambda);
        if (gain > 0 && gain <= DECREMENT_TOLERANCE * f && lambda <= 1e-3) break;
        if (f <= p->floor) break;
        double tf = gain > 0 ? fit_problem_eval(p, trial, tg, th) : INFINITY;
        if (tf < f) {
            double ratio = (f - tf) / gain;
            memcpy(phi, trial, n * sizeof *phi);
            memcpy(g, tg, n * sizeof *g);
            memcpy(h, th, n * n * sizeof *h);
            f = tf;
            lambda *= fmax(1. / 3, 1 - pow(2 * fmin(ratio, 1.5) - 1, 3));
            if (ratio > .9 && ratio < 1.1) lambda /= 10; /* the quadratic model holds: let go at once */
            if (lambda < 1e-15) lambda = 1e-15;
            grow = 2;
        } else {
            if (lambda > LAMBDA_MAX || (gain > 0 && gain < 1e-17 * f)) break; /* no descent left in double precision */
            lambda = fmax(lambda, 1e-9) * grow;
            grow *= 2;
        }
    }
    out->f = f;
    return ST_OK;
}
