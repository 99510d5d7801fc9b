/* How far the likelihood of an objective may be trusted. 2 ln L falls by chi-square's 3.84 at the ends of a 95 % interval only if
 * residuals are distributed as that likelihood has them, independent and alike. Huber's with delta 1e-3 is all but Laplace's: under
 * normal residuals the fall is 3.84 pi/2 there, and 3.84 marks an interval that holds the truth 88 % of the time. With residuals that
 * differ between rows, or move together, it is worse. What holds under all of these is a fall of 3.84 c,
 *
 *   c = (v' I^-1 J I^-1 v) / (v' I^-1 v)       for the direction v in which a parameter, or a prediction, changes
 *
 * I the information, J the sum over rows (or clusters) of the squared gradient of ln L (Kent 1982, Biometrika 69:19; Royall & Tsou
 * 2003, JRSS B 65:391). I of a likelihood with a kink needs the density of residuals at 0: rows whose residual lies in a window
 * about it (Powell 1991; window of Hall & Sheather 1988, as in quantile regression). */
#ifndef FIT_SANDWICH_H
#define FIT_SANDWICH_H
#include "fit/problem.h"

typedef struct fit_sandwich {
    size_t n;                                /* coordinates; 0: not to be had */
    double information[FIT_MAX_PARAMS * FIT_MAX_PARAMS], square[FIT_MAX_PARAMS * FIT_MAX_PARAMS];
} fit_sandwich;

/* At phi; cluster[n] of the data's rows or NULL. ST_NOMEM. */
status fit_sandwich_make(fit_sandwich *out, fit_problem *p, const double *phi, const uint32_t *cluster, err *e);
/* c of direction v[n], never below 1: no interval is made narrower than its likelihood says. NaN: not to be had (I is singular, or there are no more
 * clusters than coordinates). */
double fit_sandwich_inflation(const fit_sandwich *s, const double *v);
#endif
