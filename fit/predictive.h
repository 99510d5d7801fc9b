/* The noise of one new run about a law, and the two intervals of a predicted value: of the law's mean (percentiles over the
 * bootstrap draws of the parameters) and predictive, for one new run (each draw also gets the noise of a run in the log).
 * Held-out rows, back-tests, --at and predict all come here.
 *
 * The rows of a fit are single runs, so their residuals already hold the noise of a seed: the noise is the larger of the residual sd
 * and the seed sd, never their sum. Residuals of a fit are smaller than a new run's: they are widened by sqrt(n/(n-p)) (Stine 1985,
 * JASA 80:1026), and the noise is drawn from Student's t with n-p degrees of freedom. The draws of the parameters are taken as they
 * are: under the Huber objective with delta 1e-3 (almost least absolute deviations) they are rather too wide in small samples than too
 * narrow; tests/fit/test_calibration.c measures it. */
#ifndef FIT_PREDICTIVE_H
#define FIT_PREDICTIVE_H
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

typedef struct fit_predictive {
    double sd;                      /* of ln value; NaN = unknown */
    size_t n_draws;
    double *factor;                 /* of imagined runs, several for each draw; NULL: no degree of freedom left */
} fit_predictive;

/* sd of a new run's log about the law: residual_sd of n rows that determined p parameters, seed_sd or NaN. */
double fit_predictive_sd(double residual_sd, double seed_sd, size_t n, size_t p);
/* For n_draws draws; a draw's noise depends on seed and its place only, so every point sees the same. fit_predictive_free also after an
 * error. */
status fit_predictive_make(fit_predictive *out, double sd, size_t n, size_t p, size_t n_draws, uint64_t seed, err *e);
void fit_predictive_free(fit_predictive *noise);

/* 2.5 and 97.5 % points: mean of value[n_draws] (the prediction by each draw; what is not finite and above 0 does not count), run of
 * value times noise. NaN where fewer than 40 draws answer, no degree of freedom is left, or (run) the sd is unknown. */
status fit_predictive_intervals(double mean[2], double run[2], const fit_predictive *noise, const double *value, err *e);
#endif
