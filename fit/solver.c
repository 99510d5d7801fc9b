#include "fit/solver.h"

#include <math.h>
#include <string.h>

const fit_solver fit_solvers[] = {
    {"newton", "own damped Newton with exact second derivatives, bounds by projection", false, true, true, fit_newton},
    {"gsl-bfgs", "GSL vector_bfgs2, exact gradient: the cross-check", false, false, false, fit_gsl_bfgs},
    {"gsl-lm", "GSL nonlinear least squares (Levenberg-Marquardt): squared objectives only", true, false, false, fit_gsl_lm},
};
const size_t fit_n_solvers = sizeof fit_solvers / sizeof *fit_solvers;

const fit_solver *fit_solver_find(const char *name, err *e)
{
    for (size_t i = 0; i < fit_n_solvers; i++)
        if (!strcmp(fit_solvers[i].name, name)) return &fit_solvers[i];
    err_set(e, ST_USAGE, "no solver '%s'; known: newton, gsl-bfgs, gsl-lm", name);
    return NULL;
}

const char *fit_solver_name(size_t i) { return i < fit_n_solvers ? fit_solvers[i].name : NULL; }

double fit_decrement(fit_problem *p, const double *phi, double *f)
{
    double g[FIT_MAX_PARAMS], h[FIT_MAX_PARAMS * FIT_MAX_PARAMS], step[FIT_MAX_PARAMS], dot = 0;
    size_t n = p->n_free;
    *f = fit_problem_eval(p, phi, g, h);
    if (!isfinite(*f)) return NAN;
    for (size_t i = 0; i < n; i++) {
        bool held = (phi[i] <= p->lo[i] && g[i] > 0) || (phi[i] >= p->hi[i] && g[i] < 0);
        for (size_t j = 0; j < n && held; j++) h[i * n + j] = h[j * n + i] = i == j;
        if (held) g[i] = 0;
    }
    if (!fit_cholesky_solve(h, step, g, n)) return NAN;
    for (size_t i = 0; i < n; i++) dot += g[i] * step[i];
    return dot / 2;
}
