/* Solvers: from one start to its own stationary point. Rows of a table (fit/solver.c); the driver knows no algorithm.
 */
#ifndef FIT_SOLVER_H
#define FIT_SOLVER_H
#include "fit/problem.h"

typedef struct fit_solved {
    double f;               /* at phi */
    double decrement; /* Newton decrement g'H^-1 g / 2: what a quadratic model says is still to gain; NaN unknown */
    size_t iterations;
    bool stationary;        /* decrement below 1e-9 of F, judged by the driver for every solver */
} fit_solved;

struct fit_solver {
    const char *name, *meaning;
    bool squared_only, bounds, threads; /* threads: several may run at once */
    status (*run)(fit_solved *out, fit_problem *p, double *phi, err *e); /* phi: start in, end out */
};
extern const fit_solver fit_solvers[];
extern const size_t fit_n_solvers;

status fit_newton(fit_solved *out, fit_problem *p, double *phi, err *e);
status fit_gsl_bfgs(fit_solved *out, fit_problem *p, double *phi, err *e);
status fit_gsl_lm(fit_solved *out, fit_problem *p, double *phi, err *e);

/* Decrement at phi with coordinates at their bounds held; NaN when the Hessian is not positive definite. */
double fit_decrement(fit_problem *p, const double *phi, double *f);
#endif
