#include "fit/predictive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum {
    PER_DRAW = 4,   /* runs imagined per parameter draw: smooths the 2.5 % points */
    T_MAX_DOF = 60, /* Student's t beyond that is the normal */
    LEAST_DRAWS = 40 /* fewer have no 2.5 % point */
};

double fit_predictive_sd(double residual_sd, double seed_sd, size_t n, size_t p)
{
    double residual = n > p ? residual_sd * sqrt((double)n / (double)(n - p)) : NAN;
    if (isnan(residual)) return seed_sd;
    return isnan(seed_sd) ? residual : fmax(residual, seed_sd);
}

static double student(size_t dof, uint64_t seed, uint32_t draw, uint64_t index)
{
    double z = rng_normal(seed, RNG_SEED_NOISE, draw, index << 8), chi2 = 0;
    if (dof > T_MAX_DOF) return z;
    for (size_t i = 0; i < dof; i++) {
        double y = rng_normal(seed, RNG_SEED_NOISE, draw, (index << 8) + 1 + i);
        chi2 += y * y;
    }
    return z / sqrt(fmax(chi2, 1e-3) / (double)dof);
}

status fit_predictive_make(fit_predictive *out, double sd, size_t n, size_t p, size_t n_draws, uint64_t seed, err *e)
{
    *out = (fit_predictive){.sd = sd, .n_draws = n_draws};
    if (n <= p) return ST_OK; /* an interval is not worth printing */
    out->factor = malloc((n_draws * PER_DRAW + 1) * sizeof *out->factor);
    if (!out->factor) return err_set(e, ST_NOMEM, "no memory for the noise of %zu draws", n_draws);
    for (size_t b = 0; b < n_draws; b++)
        for (uint64_t i = 0; i < PER_DRAW; i++) out->factor[b * PER_DRAW + i] = exp(sd * student(n - p, seed, (uint32_t)b, i));
    return ST_OK;
}

void fit_predictive_free(fit_predictive *noise)
{
    free(noise->factor);
    noise->factor = NULL;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void ends(double out[2], double *x, size_t n) /* sorts x */
{
    qsort(x, n, sizeof *x, by_size);
    size_t cut = (size_t)(.025 * (double)n);
    out[0] = x[cut], out[1] = x[n - 1 - cut];
}

status fit_predictive_intervals(double mean[2], double run[2], const fit_predictive *noise, const double *value, err *e)
{
    size_t n = noise->n_draws, known = 0;
    mean[0] = mean[1] = run[0] = run[1] = NAN;
    if (!noise->factor || n < LEAST_DRAWS) return ST_OK;
    double *x = malloc(n * (1 + PER_DRAW) * sizeof *x), *runs = x + n;
    if (!x) return err_set(e, ST_NOMEM, "no memory for an interval of %zu draws", n);
    for (size_t b = 0; b < n; b++) {
        if (!(value[b] > 0) || !isfinite(value[b])) continue;
        x[known] = value[b];
        for (size_t i = 0; i < PER_DRAW; i++) runs[known * PER_DRAW + i] = value[b] * noise->factor[b * PER_DRAW + i];
        known++;
    }
    if (known >= LEAST_DRAWS) {
        ends(mean, x, known);
        if (!isnan(noise->sd)) ends(run, runs, known * PER_DRAW);
    }
    free(x);
    return ST_OK;
}
