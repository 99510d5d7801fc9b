/* Which quality buckets to train on, and how often to repeat them: the decision that law `filtering` supports. */
#include <math.h>

#include "fit/decide.h"

enum { A, BETA, TAU, D0, MOST_EPOCHS = 100000 };

double fit_bucket_union(const fit_bucket *b, size_t n_buckets, unsigned use, double n)
{
    double pool = 0, ln_a = 0, d = 0;
    for (size_t i = 0; i < n_buckets; i++)
        if (use >> i & 1) pool += b[i].pool;
    if (!(pool > 0)) return NAN;
    double utility[FIT_MAX_BUCKETS], fade[FIT_MAX_BUCKETS];
    size_t k = 0;
    for (size_t i = 0; i < n_buckets && k < FIT_MAX_BUCKETS; i++) {
        if (!(use >> i & 1)) continue;
        double share = b[i].pool / pool;
        ln_a += share * log(b[i].params[A]);
        d += share * b[i].params[D0];
        utility[k] = share * b[i].params[BETA];
        fade[k++] = exp2(-share / b[i].params[TAU]); /* per epoch of the union: tau' = tau / share */
    }
    double epochs = n / pool, q = 0, left[FIT_MAX_BUCKETS];
    for (size_t i = 0; i < k; i++) q -= utility[i] * (ln_a + log(fmin(n, pool))), left[i] = utility[i];
    for (double j = 1; j < epochs && j < MOST_EPOCHS; j++) {
        double sum = 0;
        for (size_t i = 0; i < k; i++) sum += left[i] *= fade[i];
        q -= sum * log(fmin(epochs, j + 1) / j);
        if (sum < 1e-18) break;
    }
    return d + exp(q);
}

unsigned fit_bucket_best(double *value, const fit_bucket *b, size_t n_buckets, double n)
{
    unsigned best = 0;
    *value = INFINITY;
    for (unsigned use = 1; use < 1u << n_buckets; use++) {
        double v = fit_bucket_union(b, n_buckets, use, n);
        if (v < *value) *value = v, best = use;
    }
    return best;
}
