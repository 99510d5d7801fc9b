/* One minimisation: law x objective x rows, seen by a solver as F(phi) with exact derivatives. phi are the free
 * coordinates: parameters pinned, tied or dropped do not appear in it. Columns are ln x minus their mean ("centred"):
 * in raw coordinates the Hessian of the Chinchilla objective has condition 1e7 and more. */
#ifndef FIT_PROBLEM_H
#define FIT_PROBLEM_H
#include "fit/fit.h"

enum { FIT_MAX_HESS = FIT_MAX_PARAMS * (FIT_MAX_PARAMS + 1) / 2 };

typedef struct fit_problem {
    const fit_law *law;
    const fit_objective *objective;
    double delta;
    size_t n;
    double *z[FIT_MAX_COLS];        /* [n] centred logs, owned */
    double mean[FIT_MAX_COLS];      /* 0 where centring is off */
    double *y, *ln_y;               /* [n] loss, owned */
    const double *weight;           /* [n] row weights (a resample's counts), borrowed; NULL = 1 */
    bool dropped[FIT_MAX_TERMS];    /* term left out: nested test */
    size_t n_free;
    int slot[FIT_MAX_PARAMS];       /* parameter -> its place in phi, -1 = fixed */
    int first[FIT_MAX_PARAMS];      /* place in phi -> the first parameter that uses it */
    double fixed[FIT_MAX_PARAMS];   /* coordinate of a fixed parameter */
    double lo[FIT_MAX_PARAMS], hi[FIT_MAX_PARAMS]; /* of phi */
    double floor;                   /* F below this is rounding */
    double *work;                   /* arrays of n, owned: see problem.c */
    size_t n_evals;
} fit_problem;

/* Copies the rows of data that are not held out. */
status fit_problem_init(fit_problem *p, const fit_data *data, const fit_opts *o, err *e);
/* Without the term: its amplitude is 0, its exponent leaves phi. */
void fit_problem_drop(fit_problem *p, size_t term);
void fit_problem_free(fit_problem *p);

/* F; grad[n_free] and hess[n_free][n_free] where not NULL. Never NaN: +INFINITY where the law overflows. */
double fit_problem_eval(fit_problem *p, const double *phi, double *grad, double *hess);
const double *fit_problem_ln_pred(const fit_problem *p);  /* [n], of the last eval */
const double *fit_problem_residual(const fit_problem *p); /* [n], of the last eval */

/* Residuals r [n] and their derivatives jac[n][n_free], for least-squares solvers. */
void fit_problem_residuals(fit_problem *p, const double *phi, double *r, double *jac);

void fit_problem_clip(const fit_problem *p, double *phi);
void fit_problem_natural(const fit_problem *p, double *natural,
                         const double *phi); /* all parameters; 0 for a dropped amplitude */
void fit_problem_phi(const fit_problem *p, double *phi, const double *natural);
/* Largest share of the term in the predicted loss over the rows: a term below 1e-8 everywhere is dead, its gradient is
 * 0. */
double fit_problem_share(const fit_problem *p, const double *phi, size_t term);

/* Variable projection: the amplitudes that minimise sum w ((L - L^)/L)^2 for the exponents standing in phi. Fills the
 * free amplitudes of phi. Returns that sum. Fixed amplitudes stay. Exact for squared error, a start for Huber. */
double fit_varpro(const fit_problem *p, double *phi);

/* x solves the symmetric positive definite H x = b (order n, row-major, H is destroyed). False when it is not. */
bool fit_cholesky_solve(double *h, double *x, const double *b, size_t n);
#endif
