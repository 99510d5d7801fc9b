#include "base/rng.h"

#include <math.h>

enum { ROUNDS = 10 };
static const uint32_t M0 = 0xD2511F53u, M1 = 0xCD9E8D57u; /* multipliers and Weyl constants of the paper */
static const uint32_t W0 = 0x9E3779B9u, W1 = 0xBB67AE85u;

void rng_philox4x32_10(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t p0 = (uint64_t)M0 * c0, p1 = (uint64_t)M1 * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += W0;
        k1 += W1;
    }
    out[0] = c0; out[1] = c1; out[2] = c2; out[3] = c3;
}

void rng_block(uint32_t out[4], uint64_t seed, uint32_t stream, uint32_t step, uint64_t index)
{
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), step, stream};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    rng_philox4x32_10(out, counter, key);
}

uint64_t rng_u64(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index)
{
    uint32_t w[4];
    rng_block(w, seed, stream, step, index);
    return (uint64_t)w[1] << 32 | w[0];
}

static double unit(uint32_t hi, uint32_t lo) { return (double)(((uint64_t)hi << 32 | lo) >> 11) * 0x1p-53; }

double rng_uniform(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index)
{
    uint32_t w[4];
    rng_block(w, seed, stream, step, index);
    return unit(w[1], w[0]);
}

double rng_normal(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index)
{
    uint32_t w[4];
    rng_block(w, seed, stream, step, index);
    double u = 1.0 - unit(w[1], w[0]); /* (0,1]: log is finite */
    double v = unit(w[3], w[2]);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}

uint64_t rng_below(uint64_t n, uint64_t seed, uint32_t stream, uint32_t step, uint64_t index)
{
    /* Lemire's multiply-shift on 64 bits; the bias is below n / 2^64. */
    return (uint64_t)((unsigned __int128)rng_u64(seed, stream, step, index) * n >> 64);
}

void rng_fill_normal(float *x, size_t n, double std, uint64_t seed, uint32_t stream, uint32_t step, uint64_t index0)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)(std * rng_normal(seed, stream, step, index0 + i));
}

uint64_t rng_permute(uint64_t i, uint64_t n, uint64_t seed, uint32_t stream, uint32_t step)
{
    if (n < 2) return 0;
    unsigned half = 1;
    while (half < 32 && (1ull << (2 * half)) < n) half++;
    const uint64_t mask = (1ull << half) - 1;
    do {
        uint64_t l = i >> half, r = i & mask;
        for (uint64_t round = 0; round < 6; round++) {
            uint64_t f = rng_u64(seed, stream, step, round << 56 ^ r) & mask;
            uint64_t t = l ^ f;
            l = r;
            r = t;
        }
        i = l << half | r;
    } while (i >= n); /* cycle walking: at most 4 rounds expected, since 4^half < 4n */
    return i;
}
