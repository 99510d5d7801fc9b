/* One minimisation: law x objective x rows, seen by a solver as F(phi) with exact derivatives. phi are the free
 * coordinates: parameters pinned, tied or dropped do not appear in it. For sums of powers columns are ln x minus their
 * mean ("centred"): in raw coordinates the Hessian of the Chinchilla objective has condition 1e7 and more.
 *
 * Rows are visited in blocks of FIT_BLOCK and summed block by block, so memory beside the rows does not grow with them. */
#ifndef FIT_PROBLEM_H
#define FIT_PROBLEM_H
#include "fit/fit.h"
#include "fit/powers.h"

enum { FIT_MAX_HESS = FIT_MAX_PARAMS * (FIT_MAX_PARAMS + 1) / 2, FIT_MAX_LINEAR = 6 };

typedef struct fit_problem {
    const fit_law *law;
    fit_model model;
    const fit_objective *objective;
    double delta;
    size_t n;
    double *x[FIT_MAX_COLS];        /* [n] the law's columns */
    double *z[FIT_MAX_COLS];        /* [n] centred logs */
    double mean[FIT_MAX_COLS];      /* 0 where centring is off */
    double *y, *ln_y;               /* [n] what is predicted */
    size_t *row;                    /* [n] place in the data: held-out rows are left out */
    bool shares;                    /* the above belongs to another problem */
    const double *weight;           /* [n] row weights (a resample's counts), borrowed; NULL = 1 */
    bool dropped[FIT_MAX_PARAMS];   /* parameter set aside: nested test */
    size_t n_free;
    int slot[FIT_MAX_PARAMS];       /* parameter -> its place in phi, -1 = fixed */
    int first[FIT_MAX_PARAMS];      /* place in phi -> the first parameter that uses it */
    double fixed[FIT_MAX_PARAMS];   /* coordinate of a fixed parameter */
    double lo[FIT_MAX_PARAMS], hi[FIT_MAX_PARAMS]; /* of phi */
    size_t n_linear; int linear[FIT_MAX_LINEAR];   /* parameters in which the prediction is affine */
    bool gauss;                     /* Hessians without the law's own curvature: fit/powers.h */
    double floor;                   /* F below this is rounding */
    /* Sums of powers: objective and derivatives come from fused sums over all rows (fit/problem_powers.c). */
    const fit_powers_ops *ops;      /* NULL: any other law */
    fit_powers fused;               /* rows, columns, objective; theta, weights and delta are set at each call */
    int fused_param[FIT_POWERS_COORDS]; /* coordinate of the fused sums -> parameter of the law */
    double *work;                   /* of one block and the model: see problem.c */
    size_t n_evals, max_iterations; /* of a solver; 0: its own limit */
} fit_problem;

/* Copies the rows of data that are not held out. */
status fit_problem_init(fit_problem *p, const fit_data *data, const fit_opts *o, err *e);
/* The same rows, model and coordinates with work space of its own: for another thread. Valid until `from` is freed. */
status fit_problem_share(fit_problem *copy, const fit_problem *from, err *e);
void fit_problem_free(fit_problem *p);

/* Sets a parameter aside at a coordinate: it leaves phi. */
void fit_problem_pin(fit_problem *p, int param, double coordinate);
/* Without the term: its amplitude is 0, its exponent leaves phi. */
void fit_problem_drop(fit_problem *p, size_t term);

/* F; grad[n_free] and hess[n_free][n_free] where not NULL. Never NaN: +INFINITY where the law overflows. */
double fit_problem_eval(fit_problem *p, const double *phi, double *grad, double *hess);

/* ln of the prediction and residual of every row; either may be NULL. */
void fit_problem_predict(fit_problem *p, const double *phi, double *ln_pred, double *r);
/* Residuals r [n] and their derivatives jac[n][n_free], for least-squares solvers; either may be NULL. */
void fit_problem_residuals(fit_problem *p, const double *phi, double *r, double *jac);

/* The law's affine slot on the block of rows from `at` on: f[n] and grad[n_params][n] until the next call; returns n. */
size_t fit_problem_affine(fit_problem *p, const double **f, const double **grad, const double *natural, size_t at);

void fit_problem_clip(const fit_problem *p, double *phi);
/* All parameters as natural values; 0 for a dropped amplitude. */
void fit_problem_natural(const fit_problem *p, double *natural, const double *phi);
void fit_problem_phi(const fit_problem *p, double *phi, const double *natural);

/* -1 when every free parameter on a log scale (amplitudes and their like; not the floor, nor one that has a null in the
 * law's row: infinity is an answer there) still moves some prediction; else the first that is dead: its derivative of
 * ln L is below 1e-8 on all rows, so that its gradient is 0 wherever it stands. */
int fit_problem_dead(fit_problem *p, const double *phi);

/* Variable projection (fit/varpro.c): the linear parameters that minimise sum w ((y - y^)/y)^2 for the others standing in
 * phi. Fills them in. Returns that sum. Fixed ones stay. Exact for squared relative error, a start for Huber. */
double fit_varpro(fit_problem *p, double *phi);
/* The same from normal equations at hand: of sum w (target - sum x_a u_a)^2, all relative to the measured value; m lower
 * triangle, in the order of p->linear. */
typedef struct fit_normal { double m[FIT_MAX_LINEAR * FIT_MAX_LINEAR], v[FIT_MAX_LINEAR], square; size_t k; } fit_normal;
double fit_normal_solve(fit_normal *q, const fit_problem *p, double *phi);

/* Sets ops and fused where the law is a sum of powers. ST_INPUT: MUSCALE_CPU asks for what is not there. */
status fit_problem_fuse(fit_problem *p, err *e);
/* F, g[n_params] and h (upper triangle by rows) in the law's coordinates; h only with g. */
double fit_problem_fused(const fit_problem *p, const double *theta, double *g, double *h);

/* x solves the symmetric positive definite H x = b (order n, row-major, H is destroyed). False when it is not. */
bool fit_cholesky_solve(double *h, double *x, const double *b, size_t n);
#endif
