#include <criterion/criterion.h>
#include <math.h>

#include "base/rng.h"

/* Known-answer vectors published with Random123 (kat_vectors, philox4x32 10). */
Test(rng, published_vectors)
{
    static const struct { uint32_t ctr[4], key[2], out[4]; } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        rng_philox4x32_10(out, kat[i].ctr, kat[i].key);
        for (int j = 0; j < 4; j++) cr_expect_eq(out[j], kat[i].out[j], "vector %zu word %d: %08x", i, j, out[j]);
    }
}

Test(rng, moments_and_independence)
{
    enum { N = 200000 };
    double m = 0, v = 0, cross = 0;
    for (int i = 0; i < N; i++) {
        double x = rng_normal(7, RNG_TEST, 3, (uint64_t)i), y = rng_normal(8, RNG_TEST, 3, (uint64_t)i);
        m += x;
        v += x * x;
        cross += x * y;
    }
    cr_expect_lt(fabs(m / N), 0.01);
    cr_expect_lt(fabs(v / N - 1), 0.02);
    cr_expect_lt(fabs(cross / N), 0.01);
}

Test(rng, permutation_is_one)
{
    static const uint64_t sizes[] = {1, 2, 3, 17, 1000, 4097};
    for (size_t k = 0; k < 6; k++) {
        uint64_t n = sizes[k], moved = 0;
        unsigned char seen[4097] = {0};
        for (uint64_t i = 0; i < n; i++) {
            uint64_t p = rng_permute(i, n, 5, RNG_TEST, 0);
            cr_assert_lt(p, n);
            cr_assert_not(seen[p], "image %llu twice", (unsigned long long)p);
            seen[p] = 1;
            moved += p != i;
        }
        if (n > 100) cr_expect_gt(moved, n * 9 / 10, "a permutation that moves little");
    }
    cr_expect_neq(rng_permute(3, 1000, 5, RNG_TEST, 0), rng_permute(3, 1000, 5, RNG_TEST, 1), "epochs must differ");
}

Test(rng, below_is_uniform)
{
    int count[7] = {0};
    for (uint64_t i = 0; i < 70000; i++) count[rng_below(7, 1, RNG_TEST, 0, i)]++;
    for (int k = 0; k < 7; k++) cr_expect_lt(fabs(count[k] - 10000.0), 500, "bin %d: %d", k, count[k]);
}
