/* Likelihoods that belong to the objectives, their scale profiled out: for tests of nested laws, profiles, AIC and BIC. */
#ifndef FIT_LIKELIHOOD_H
#define FIT_LIKELIHOOD_H
#include "fit/problem.h"

/* ln p of the residuals r[n] at the scale that makes them most likely, *scale (may be NULL).
 *   huber-log, asym-log  p(r) = exp(-rho_delta(r/s)) / (s Z): Besiroglu et al. 2024 (arXiv:2404.10102), their code; delta
 *                        counts in units of s there, so for delta 1e-3 this is Laplace's density but for its very tip
 *   mse-log, mse         Gaussian of sd s
 * Residuals below 1e-14 (of ln L, or of the loss) are rounding: s does not fall below that. No failure for n > 0. */
double fit_log_likelihood(double *scale, const fit_problem *p, const double *r, size_t n);
/* The same at phi. ST_NOMEM. */
status fit_log_likelihood_at(double *log_likelihood, double *scale, fit_problem *p, const double *phi, err *e);
#endif
