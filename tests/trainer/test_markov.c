/* Entropy rates by hand, and against a long sample. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "trainer/markov.h"

static double h2(double p) { return -p * log(p) - (1 - p) * log(1 - p); }

/* Two states, P(0->1) = a, P(1->0) = b: pi = (b, a)/(a + b), H = pi_0 h(a) + pi_1 h(b). */
Test(markov, two_states_by_hand)
{
    static const double ab[][2] = {{0.5, 0.5}, {0.1, 0.4}, {0.9, 0.3}, {0.001, 0.002}};
    for (size_t i = 0; i < sizeof ab / sizeof *ab; i++) {
        const double a = ab[i][0], b = ab[i][1], rows[4] = {1 - a, a, b, 1 - b};
        markov m;
        err e = {0};
        cr_assert_eq(markov_from_rows(&m, 2, 1, rows, &e), ST_OK, "%s", e.msg);
        /* Rounding probabilities to 2^-32 moves H by less than 1e-8 */
        cr_expect_lt(fabs(m.stationary[0] - b / (a + b)), 1e-6, "row %zu: %.12g", i, m.stationary[0]);
        cr_expect_lt(fabs(m.entropy_rate - (b * h2(a) + a * h2(b)) / (a + b)), 1e-7, "row %zu: %.12g", i,
                     m.entropy_rate);
        markov_free(&m);
    }
}

/* Exactly representable: a = 1/4, b = 1/2. pi = (2/3, 1/3). */
Test(markov, exact_to_rounding)
{
    const double rows[4] = {0.75, 0.25, 0.5, 0.5};
    markov m;
    cr_assert_eq(markov_from_rows(&m, 2, 1, rows, NULL), ST_OK);
    cr_expect_lt(fabs(m.stationary[0] - 2.0 / 3), 1e-13);
    cr_expect_lt(fabs(m.entropy_rate - (2 * h2(0.25) + log(2.0)) / 3), 1e-13, "%.17g", m.entropy_rate);
    markov_free(&m);
}

/* Order 2 over bits: copy the last but one with probability 3/4. States 00 01 10 11 are equally likely; H = h(1/4). */
Test(markov, second_order_by_hand)
{
    const double rows[8] = {0.75, 0.25, 0.75, 0.25, 0.25, 0.75, 0.25, 0.75};
    markov m;
    cr_assert_eq(markov_from_rows(&m, 2, 2, rows, NULL), ST_OK);
    cr_expect_eq(m.states, 4);
    for (int s = 0; s < 4; s++) cr_expect_lt(fabs(m.stationary[s] - 0.25), 1e-13);
    cr_expect_lt(fabs(m.entropy_rate - h2(0.25)), 1e-13);
    cr_expect_eq(markov_next_state(&m, 1, 0), 2); /* 01 then 0: 10 */
    cr_expect_eq(markov_next_state(&m, 2, 1), 1);
    markov_free(&m);
}

/* A uniform source has ln V; a nearly deterministic one nearly nothing. */
Test(markov, extremes)
{
    const double sure[4] = {0, 1, 1, 0}, slow[4] = {1 - 4e-9, 4e-9, 1e-9, 1 - 1e-9};
    double rows[64];
    err e = {0};
    markov m;
    for (int i = 0; i < 64; i++) rows[i] = 0.125;
    cr_assert_eq(markov_from_rows(&m, 8, 1, rows, NULL), ST_OK);
    cr_expect_lt(fabs(m.entropy_rate - log(8.0)), 1e-14);
    markov_free(&m);
    cr_assert_eq(markov_from_rows(&m, 2, 1, sure, NULL), ST_OK);
    cr_expect(m.entropy_rate > 0 && m.entropy_rate < 1e-8);
    markov_free(&m);
    cr_expect_eq(markov_from_rows(&m, 2, 1, slow, &e), ST_DOMAIN);
    cr_expect(strstr(e.msg, "mixes too slowly"), "%s", e.msg);
}

/* Draws follow the stored probabilities to the last unit: count the words of each symbol at the thresholds. */
Test(markov, draws_are_exact_at_every_threshold)
{
    markov m;
    cr_assert_eq(markov_new(&m, 5, 2, 3, NULL), ST_OK);
    for (int64_t s = 0; s < m.states; s++) {
        double sum = 0;
        for (int64_t v = 0; v < 5; v++) {
            sum += markov_p(&m, s, v);
            cr_expect_gt(markov_p(&m, s, v), 0);
            if (v == 4) break;
            cr_expect_eq(markov_draw(&m, s, m.below[s * 5 + v] - 1), v);
            cr_expect_eq(markov_draw(&m, s, m.below[s * 5 + v]), v + 1);
        }
        cr_expect_eq(sum, 1.0);
        cr_expect_eq(markov_draw(&m, s, 0), 0);
        cr_expect_eq(markov_draw(&m, s, UINT32_MAX), 4);
    }
    markov_free(&m);
}

/* Stationary indeed: one more step changes nothing; and it sums to one. */
Test(markov, stationary_is_a_fixed_point)
{
    markov m;
    cr_assert_eq(markov_new(&m, 12, 2, 9, NULL), ST_OK);
    double *next = calloc((size_t)m.states, sizeof *next), sum = 0, change = 0;
    for (int64_t s = 0; s < m.states; s++)
        for (int64_t v = 0; v < 12; v++) next[markov_next_state(&m, s, v)] += m.stationary[s] * markov_p(&m, s, v);
    for (int64_t s = 0; s < m.states; s++) sum += m.stationary[s], change += fabs(next[s] - m.stationary[s]);
    cr_expect_lt(fabs(sum - 1), 1e-13);
    cr_expect_lt(change, 1e-13);
    free(next);
    markov_free(&m);
}

/* Empirical conditional entropy of a long walk. Bias of the plug-in estimate is -(V-1) states / (2 n). */
Test(markov, long_sample_has_the_promised_entropy)
{
    enum { V = 16, N = 2000000 };
    markov m;
    double *count = calloc(V * V, sizeof *count), h = 0;
    cr_assert_eq(markov_new(&m, V, 1, 5, NULL), ST_OK);
    int64_t s = markov_first_state(&m, 0.3);
    uint32_t w[4] = {0};
    for (int64_t t = 0; t < N; t++) {
        if (t % 4 == 0) rng_block(w, 5, RNG_TEST, 0, (uint64_t)t / 4);
        int64_t v = markov_draw(&m, s, w[t % 4]);
        count[s * V + v]++;
        s = markov_next_state(&m, s, v);
    }
    for (int i = 0; i < V; i++) {
        double row = 0;
        for (int v = 0; v < V; v++) row += count[i * V + v];
        for (int v = 0; v < V; v++)
            if (count[i * V + v] > 0) h -= count[i * V + v] / N * log(count[i * V + v] / row);
    }
    /* standard error of -ln p over 2e6 draws: about 1e-3; a wrong stationary distribution is off by tenths */
    cr_expect_lt(fabs(h - m.entropy_rate), 4e-3, "sample %.5f, promised %.5f", h, m.entropy_rate);
    cr_expect_lt(m.entropy_rate, log((double)V) - 0.5, "%.3f nats: well below ln V, so there is something to learn",
                 m.entropy_rate);
    cr_expect_gt(m.entropy_rate, 0.3);
    free(count);
    markov_free(&m);
}

Test(markov, seeds_and_limits)
{
    markov a, b, c;
    err e = {0};
    cr_assert_eq(markov_new(&a, 8, 1, 1, NULL), ST_OK);
    cr_assert_eq(markov_new(&b, 8, 1, 1, NULL), ST_OK);
    cr_assert_eq(markov_new(&c, 8, 1, 2, NULL), ST_OK);
    cr_expect_eq(memcmp(a.below, b.below, 64 * sizeof *a.below), 0);
    cr_expect_neq(memcmp(a.below, c.below, 64 * sizeof *a.below), 0);
    cr_expect_eq(a.entropy_rate, b.entropy_rate);
    markov_free(&a), markov_free(&b), markov_free(&c);
    cr_expect_eq(markov_new(&a, 1, 1, 0, &e), ST_DOMAIN);
    cr_expect_eq(markov_new(&a, 2, 0, 0, &e), ST_DOMAIN);
    cr_expect_eq(markov_new(&a, 64, 4, 0, &e), ST_DOMAIN);
    cr_expect(strstr(e.msg, "order 3 fits"), "%s", e.msg);
    cr_expect_eq(markov_new(&a, 5000, 1, 0, &e), ST_DOMAIN);
    cr_expect_eq(markov_new(&a, INT64_MAX, 2, 0, &e), ST_DOMAIN);
}
