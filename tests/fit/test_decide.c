/* Decisions: quality buckets (fit/buckets.c), counts with and without embeddings (fit/convert.c). The best precision stands with
 * its published number in test_reference_laws. */
#include <criterion/criterion.h>
#include <math.h>

#include "fit/convert.h"
#include "fit/decide.h"
#include "fit/fit.h"

static double law_value(const double *v, double d, double u)
{
    fit_model m;
    const double x[2] = {d, u};
    cr_assert_eq(fit_model_init(&m, fit_law_find("filtering", NULL), NULL, NULL), ST_OK);
    double y = fit_model_value(&m, v, x);
    fit_model_free(&m);
    return y;
}

Test(buckets, one_bucket_is_the_law_itself)
{
    fit_bucket b = {{.0037, .23, 2.9, .11}, 12.8};
    for (double n = 3; n < 300; n *= 1.7)
        cr_assert_float_eq(fit_bucket_union(&b, 1, 1, n) / law_value(b.params, n, b.pool), 1, 1e-13, "n %g", n);
}

/* Two equal buckets: one pool of twice the size whose half-life, in its own epochs, is twice as long. */
Test(buckets, equal_buckets_make_a_larger_one)
{
    const fit_bucket b[2] = {{{.0037, .23, 2.9, .11}, 12.8}, {{.0037, .23, 2.9, .11}, 12.8}};
    const double twice[4] = {.0037, .23, 5.8, .11};
    for (double n = 5; n < 500; n *= 1.9) {
        cr_assert_float_eq(fit_bucket_union(b, 2, 3, n) / law_value(twice, n, 25.6), 1, 1e-13, "n %g", n);
        if (n > 12.8) cr_assert_lt(fit_bucket_union(b, 2, 3, n), fit_bucket_union(b, 2, 1, n)); /* fresh data win */
    }
}

/* Goyal et al.: filter hard for a small budget, less for a large one. */
Test(buckets, the_best_union_grows_with_the_budget)
{
    const fit_bucket b[3] = {{{.9, .31, 2, .1}, 12.8}, {{.9, .24, 2.5, .1}, 12.8}, {{.9, .12, 3, .1}, 12.8}};
    double value;
    cr_assert_eq(fit_bucket_best(&value, b, 3, 10), 1u);
    cr_assert_float_eq(value, fit_bucket_union(b, 3, 1, 10), 0);
    unsigned at_large = fit_bucket_best(&value, b, 3, 400);
    cr_assert_neq(at_large, 1u);
    cr_assert(at_large & 1, "the best bucket stays in");
    for (unsigned use = 1; use < 8; use++) cr_assert_leq(value, fit_bucket_union(b, 3, use, 400));
}

Test(convert, counts_there_and_back)
{
    double gamma;
    err e = {0};
    cr_assert_eq(fit_embedding_gamma(&gamma, "32000,39.2", &e), ST_OK, "%s", e.msg);
    cr_assert_float_eq(gamma / 47491, 1, 3e-4); /* as the paper has it for its aspect, rounded */
    for (double n = 790; n < 2e9; n *= 7.3) {
        double total = fit_n_total(n, gamma);
        cr_assert_float_eq(total, n + gamma * pow(n, 1. / 3), 1e-9 * total);
        cr_assert_float_eq(fit_n_non_embed(total, gamma) / n, 1, 1e-12);
    }
    /* 12 layers of width 768, vocabulary 50257: by hand */
    double g = 50257 * cbrt(64. / 12);
    cr_assert_float_eq(fit_n_total(12. * 12 * 768 * 768, g) - 12. * 12 * 768 * 768, 50257. * 768, 1e-3);
    static const char *const bad[] = {"32000", "32000,", "x,3", "32000,-1", "0,40"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) cr_assert_eq(fit_embedding_gamma(&gamma, bad[k], &e), ST_USAGE, "%s", bad[k]);
}

/* Pearce & Song: the local exponent against the frontier itself, by finite differences, and its two limits. */
Test(convert, exponent_of_the_frontier_without_embeddings)
{
    const double v[5] = {1.8172, 482.01, 2085.43, .3478, .3658}, gamma = 47491;
    const double alpha = v[3], beta = v[4];
    cr_assert_float_eq(fit_frontier_exponent(1, gamma, alpha, beta), beta / (alpha / 3 + beta), 1e-4);
    cr_assert_float_eq(fit_frontier_exponent(1e22, gamma, alpha, beta), beta / (alpha + beta), 1e-6);
    for (double n = 1e4; n < 1e10; n *= 30) {
        double ln_c[2];
        for (int s = 0; s < 2; s++) { /* C_E along the frontier: D from the stationarity of L(N_T(N_E), D) on C_E = 6 N_E D */
            double m = n * exp(s ? 1e-4 : -1e-4), t = fit_n_total(m, gamma), slope = m + gamma / 3 * cbrt(m);
            double d = pow(beta * v[2] / (alpha * v[1] * pow(t, -alpha - 1) * slope), 1 / beta);
            ln_c[s] = log(6 * m * d);
        }
        cr_assert_float_eq(fit_frontier_exponent(n, gamma, alpha, beta), 2e-4 / (ln_c[1] - ln_c[0]), 1e-6, "N_E %g", n);
    }
}
