/* A seeded Markov source over V symbols whose entropy rate is known: a fitted E can be checked against truth.
 * Private to trainer/ and its tests.
 *
 * Order k: the next symbol depends on the last k. A state is the last k symbols read as a number in base V, the oldest
 * first; there are V^k. Transition weights are log-additive in the lags,
 *     p(v | s_1..s_k) ~ exp( sum_j  sharpness / sqrt(k) * z_j(s_j, v) ),   z normal,
 * so that k V^2 numbers describe the source, which attention can learn lag by lag; V^(k+1) free ones could only be
 * memorised. Probabilities are multiples of 2^-32 (every symbol at least one), so sampling with 32-bit words is exact
 * and the entropy rate is that of the numbers really used. */
#ifndef TRAINER_MARKOV_H
#define TRAINER_MARKOV_H
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum { MARKOV_MAX_TRANSITIONS = 1 << 24 }; /* V^(k+1): 64 MiB of thresholds */
/* Standard deviation of a row's log weights: its entropy is about ln V - sharpness^2/2, here 2 nats below ln V. */
#define MARKOV_SHARPNESS 2.0

typedef struct markov {
    int64_t vocab, order, states; /* V, k, V^k */
    uint32_t *below;     /* [states][V]: draws u < below[s][v] give a symbol <= v; the last is not used */
    double *stationary;  /* [states] */
    double entropy_rate; /* nats/token */
} markov;

/* ST_DOMAIN: vocab < 2, order < 1, or V^(k+1) too large; the message says what fits. */
status markov_new(markov *m, int64_t vocab, int64_t order, uint64_t seed, err *e);
/* The same from given probabilities [states][V]; rows sum to 1. */
status markov_from_rows(markov *m, int64_t vocab, int64_t order, const double *rows, err *e);
void markov_free(markov *m);

double markov_p(const markov *m, int64_t state, int64_t v);
int64_t markov_next_state(const markov *m, int64_t state, int64_t v);
int64_t markov_draw(const markov *m, int64_t state, uint32_t u); /* the symbol a random word stands for */
int64_t markov_first_state(const markov *m, double u);           /* by the stationary distribution; u in [0,1) */
#endif
