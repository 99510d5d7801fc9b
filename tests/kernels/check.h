/* What the kernel tests share: guarded buffers, random content, finite differences. `real` is double in the programs
 * that check gradients and float in those that compare levels. */
#ifndef TESTS_KERNELS_CHECK_H
#define TESTS_KERNELS_CHECK_H
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/backend.h"
#include "kernels/kernels.h"

enum { GUARD = 32 }; /* words before and after each buffer */

/* R replicas of `len`, replica stride padded to 64 bytes plus one line of guards. p is 64-byte aligned. */
typedef struct buf { real *base, *p; size_t R, len, stride; } buf;

buf buf_new(size_t R, size_t len, double std, uint64_t seed);
void buf_free(buf *b);                   /* early; else it lives as long as the test's process */
void *keep(void *p);                    /* p stays reachable: not a leak, and needs no free */
bool buf_intact(const buf *b);          /* guards, padding between replicas */
buf buf_copy(const buf *b);
static inline k_arr arr(const buf *b) { return (k_arr){b->p, b->stride}; }
static inline k_in in(const buf *b) { return (k_in){b->p, b->stride}; }
static inline k_act act(const buf *b) { return (k_act){b->p, b->stride}; }
static inline k_cact cact(const buf *b) { return (k_cact){b->p, b->stride}; }
static inline k_act at(k_act a, size_t i) { return k_act_at(a, i, sizeof(act_real)); }
static inline k_cact cat(k_cact a, size_t i) { return k_cact_at(a, i, sizeof(act_real)); }
static inline k_mult both(const real *a) { return (k_mult){a, a}; } /* the host is the device */
double weighted(const buf *y, const buf *w); /* sum of y * w over all replicas: a scalar whose gradient is w */
double worst(const buf *a, const buf *b);    /* largest |a - b| / rms(b) */

int32_t *ids_new(size_t n, size_t vocab, uint64_t seed);

/* Central differences of f at up to 48 places of x against `analytic` (same layout); returns the worst error relative
 * to the gradient's rms. Double only. */
typedef double (*scalar_fn)(void *self);
double grad_error(scalar_fn f, void *self, const buf *x, const buf *analytic);

#define INTACT(b) cr_assert(buf_intact(&(b)), #b ": written outside its bounds")
#endif
