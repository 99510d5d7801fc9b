/* Sums over rows for laws that are sums of power terms, ln L^ = logsumexp_k(a_k - p_k z_k): objective, gradient and
 * Hessian in one pass, and the normal equations of variable projection. The formulas stand in fit/law_powers.c and
 * fit/problem.c; here they are fused, vectorised and compiled once per CPU level (fit/powers_v*.c), with the plain
 * loop of fit/powers.c as their definition and as the column for other processors.
 *
 * Every sum runs in a fixed order: blocks of rows, lanes of a vector, lanes pairwise. The result depends on the level
 * and on the rows, not on threads. exp and log are the vectors' own, good to 1.2 and 1 ulp. */
#ifndef FIT_POWERS_H
#define FIT_POWERS_H
#include <stdbool.h>
#include <stddef.h>
#include "base/cpu_level.h"

enum {
    FIT_POWERS_TERMS = 4,                               /* with a column */
    FIT_POWERS_COORDS = 2 * FIT_POWERS_TERMS + 1,       /* a_0, p_0, a_1, p_1, ..., floor */
    FIT_POWERS_HESS = FIT_POWERS_COORDS * (FIT_POWERS_COORDS + 1) / 2
};

typedef struct fit_powers {
    size_t n;                                           /* rows */
    const double *target;                               /* [n] ln y; y itself where `natural` */
    const double *weight;                               /* [n], at least 0; NULL = 1 */
    size_t n_terms;                                     /* with a column */
    const double *z[FIT_POWERS_TERMS];                  /* [n] */
    double z_lo[FIT_POWERS_TERMS], z_hi[FIT_POWERS_TERMS]; /* of all rows: keeps exp() in range */
    double a[FIT_POWERS_TERMS], p[FIT_POWERS_TERMS];    /* ln amplitude and exponent */
    bool has_floor; double floor;                       /* ln E */
    /* rho(r) = s (r^2/2 within delta, else delta (|r| - delta/2)), s = scale, or below where r < 0. Huber: 1 and 1;
     * squares: delta INFINITY and 2. r = ln y - ln L^; natural: y - L^. */
    bool natural;
    double delta, scale, below;
    /* The Hessian without the law's own curvature (Gauss-Newton), and rows beyond delta with weight delta/|r| for their
     * lost curvature: never indefinite, for far from the optimum. */
    bool gauss;
} fit_powers;

/* For variable projection: w_i-weighted products of the vectors u_j(i) = exp(-p_j z_j(i)) / y_i, the last of them 1
 * (the relative target). */
enum { FIT_GRAM_MAX = 64 };
typedef struct fit_gram {
    size_t n;
    const double *inverse_y, *weight;                   /* [n]; weight NULL = 1 */
    size_t m;                                           /* vectors without the target */
    const double *z[FIT_GRAM_MAX];                      /* [n]; NULL: exponent 0 (the floor) */
    double z_lo[FIT_GRAM_MAX], z_hi[FIT_GRAM_MAX], p[FIT_GRAM_MAX];
} fit_gram;

typedef struct fit_powers_ops {
    const char *level;
    /* Returns F; gradient [2 n_terms + has_floor] and Hessian (upper triangle by rows) where not NULL; Hessian only
     * with gradient. Never NaN: +INFINITY, derivatives 0, where the law or its derivatives overflow. */
    double (*sum)(double *grad, double *hess, const fit_powers *k);
    /* gram[m+1][m+1], symmetric. Entries that overflow are infinite or NaN. */
    void (*gram)(double *gram, const fit_gram *k);
    void (*exp)(double *y, const double *x, size_t n);  /* underflow: 0 below e^-708; overflow: infinity. NaN stays */
    void (*log)(double *y, const double *x, size_t n);  /* x normal, > 0 and finite */
} fit_powers_ops;

/* The best column of this build not above l. */
const fit_powers_ops *fit_powers_ops_for(cpu_level l);

/* The definitions: any theta whatever. The level files fall back to them where their exp() would leave its range. */
double fit_powers_sum(double *grad, double *hess, const fit_powers *k);
void fit_powers_gram(double *gram, const fit_gram *k);

#ifdef CPU_HAVE_LEVELS
extern const fit_powers_ops fit_powers_v2, fit_powers_v3, fit_powers_v4;
#endif
#endif
