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

/* A quality bucket as law `filtering` sees it: a, beta, tau, d in that order; `pool` samples in it, in the fit's unit. */
typedef struct fit_bucket { double params[4], pool; } fit_bucket;

/* What training on n samples of the union of the buckets in `use` (bit i: bucket i) is expected to give.
 * Goyal et al. 2024 (arXiv:2404.07177), section 4: repeated together, K equal pools make one pool K times as large whose utility in
 * epoch j is the mean of the buckets' own, beta_i 2^(-j/(K tau_i)). Here K of a bucket is the union's size over its own, and the
 * means are weighted by size, so that pools need not be equal; ln a and d are meant likewise (the paper fits one of each). */
double fit_bucket_union(const fit_bucket *b, size_t n_buckets, unsigned use, double n);
/* The best of all unions for n samples, as a bit set; n_buckets up to 16. */
unsigned fit_bucket_best(double *value, const fit_bucket *b, size_t n_buckets, double n);
enum { FIT_MAX_BUCKETS = 16 };
#endif
