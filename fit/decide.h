/* Decisions that a fitted law supports beside N and D for a budget (fit/predict.h). Arithmetic only. */
#ifndef FIT_DECIDE_H
#define FIT_DECIDE_H
#include <stddef.h>
#include "base/err.h"

/* N_eff/N at `bits` for weights, activations and KV alike; gamma[3], n[3] in the order w, a, kv of law `precision`. NaN outside
 * the law's domain (a factor that is not above 0). */
double fit_precision_share(const double *gamma, const double *n, double bits);
/* The bits that maximise N_eff/(N P). ST_DOMAIN: none below 64. */
status fit_precision_best(double *bits, const double *gamma, const double *n, err *e);
#endif
