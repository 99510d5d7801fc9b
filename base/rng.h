/* Counter-based random numbers: no state anywhere. A draw is a pure function of (seed, stream, step, index),
 * so a resumed, re-banked or re-threaded run sees exactly the numbers of the undisturbed one.
 *
 * Generator: Philox4x32-10, Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11
 * (doi:10.1145/2063384.2063405), section 4; tested against the known-answer vectors published with Random123.
 * Counter words: index low, index high, step, stream. Key: seed low, seed high. */
#ifndef BASE_RNG_H
#define BASE_RNG_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/* One number per purpose; a new purpose is a new row at the end (old runs must keep their numbers). */
typedef enum rng_stream {
    RNG_INIT = 1,     /* initial weights; step = tensor number */
    RNG_EPOCH_ORDER,  /* order of windows; step = epoch */
    RNG_MARKOV_TABLE, /* synthetic source: transition weights */
    RNG_MARKOV_WALK,  /* synthetic source: the walk */
    RNG_BOOTSTRAP,    /* resampled rows; step = resample */
    RNG_SEED_NOISE,   /* predictive draws; step = resample */
    RNG_TEST,
    RNG_FIT_START,    /* random starts of a fit; step = parameter */
    RNG_LR_GRID,      /* where between two grid points an optimum may lie; step = resample */
    RNG_CALIBRATE,    /* tokens to measure speed on */
    RNG_COORD,        /* coordinate check: step 0 tokens, step 1 start of a power iteration */
    RNG_SWEEP         /* random search: draws of a sweep; step = hash of the key, index = row */
} rng_stream;

/* The raw bijection, for the published vectors. */
void rng_philox4x32_10(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

/* Four 32-bit words of block `index`. */
void rng_block(uint32_t out[4], uint64_t seed, uint32_t stream, uint32_t step, uint64_t index);

uint64_t rng_u64(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index);
double rng_uniform(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index); /* [0,1), 53 bits */
double rng_normal(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index);  /* Box-Muller */
uint64_t rng_below(uint64_t n, uint64_t seed, uint32_t stream, uint32_t step, uint64_t index); /* 0..n-1, n > 0 */

/* x[i] = std * normal(index0 + i), as float. */
void rng_fill_normal(float *x, size_t n, double std, uint64_t seed, uint32_t stream, uint32_t step, uint64_t index0);

/* Image of i (i < n) under a pseudo-random permutation of 0..n-1, in O(1) memory and time: a balanced Feistel
 * network on Philox with cycle walking (Black & Rogaway, CT-RSA 2002). n > 0. */
uint64_t rng_permute(uint64_t i, uint64_t n, uint64_t seed, uint32_t stream, uint32_t step);

#ifdef __cplusplus
}
#endif
#endif
