/* Objectives. Always the sum over rows, never the mean: with the mean default tolerances stop minimisers early
 * (the suspected cause of Hoffmann's published fit; Besiroglu et al. 2024, arXiv:2404.10102). */
#include "fit/fit.h"

#include <math.h>
#include <string.h>

#include "base/num.h"

/* How much dearer it is to predict too high a loss: measured losses lie above what is achievable, never below. The
 * factor is OLMo-core's overestimate_penalty. */
static const double OVERESTIMATE = 10;

static void huber(double *f, double *psi, double *curv, const double *r, double delta, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double a = fabs(r[i]);
        bool in = a <= delta;
        f[i] = in ? .5 * a * a : delta * (a - .5 * delta);
        psi[i] = in ? r[i] : copysign(delta, r[i]);
        curv[i] = in;
    }
}

static void squares(double *f, double *psi, double *curv, const double *r, double delta, size_t n)
{
    (void)delta;
    for (size_t i = 0; i < n; i++) f[i] = r[i] * r[i], psi[i] = 2 * r[i], curv[i] = 2;
}

static void asymmetric(double *f, double *psi, double *curv, const double *r, double delta, size_t n)
{
    huber(f, psi, curv, r, delta, n);
    for (size_t i = 0; i < n; i++)
        if (r[i] < 0) f[i] *= OVERESTIMATE, psi[i] *= OVERESTIMATE, curv[i] *= OVERESTIMATE;
}

const fit_objective fit_objectives[] = {
    {"huber-log", "sum of Huber(ln L - ln L^), Hoffmann et al. 2022", true, false, true, 1e-3, 1, huber},
    {"mse-log", "sum of squares of ln L - ln L^", true, true, false, 0, 1, squares},
    {"mse", "sum of squares of L - L^", false, true, false, 0, 1, squares},
    {"asym-log", "as huber-log, ten times dearer where the law lies above the data", true, false, true, 1e-3, 10,
     asymmetric},
};
const size_t fit_n_objectives = sizeof fit_objectives / sizeof *fit_objectives;

const fit_objective *fit_objective_find(const char *name, err *e)
{
    for (size_t i = 0; i < fit_n_objectives; i++)
        if (!strcmp(fit_objectives[i].name, name)) return &fit_objectives[i];
    err_set(e, ST_USAGE, "no objective '%s'; known: huber-log, mse-log, mse, asym-log", name);
    return NULL;
}
