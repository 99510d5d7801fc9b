/* tile.cuh against its own header: fragments, ldmatrix, asynchronous copies. All values are distinct and exact, so one
 * misplaced element shows. */
#include "tests/kernels/cuda_tile.h"

#include "tests/kernels/gpu.h"

static gpu *warp(void)
{
    gpu *g = keep(calloc(1, sizeof *g));
    const status s = gpu_open(g, "cuda", 0);
    if (s == ST_DEVICE) cr_skip("%s", g->e.msg);
    cr_assert_eq(s, ST_OK, "%s", g->e.msg);
    return g;
}

static uint16_t half(float x) /* exact here */
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    cr_assert_eq(u & 0xffff, 0);
    return (uint16_t)(u >> 16);
}

Test(cuda_tile, mma_is_a_product)
{
    gpu *g = warp();
    uint16_t a[16 * 16], b[16 * 8];
    float d[16 * 8], got[16 * 8];
    for (int i = 0; i < 256; i++) a[i] = half((float)(i * 77 % 256));
    for (int i = 0; i < 128; i++) b[i] = half((float)(i * 37 % 128)), d[i] = (float)(1000 + i);
    float *dd = gpu_put(g, d, sizeof d);
    GPU_OK(g, tile_mma(g->ctx, dd, gpu_put(g, a, sizeof a), gpu_put(g, b, sizeof b), &g->e));
    gpu_take(g, got, dd, sizeof got);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++) {
            int want = 1000 + i * 8 + j;
            for (int k = 0; k < 16; k++) want += (i * 16 + k) * 77 % 256 * ((k * 8 + j) * 37 % 128);
            cr_expect_eq(got[i * 8 + j], (float)want, "row %d column %d: %g, not %d", i, j, (double)got[i * 8 + j],
                         want);
        }
    gpu_close(g);
}

Test(cuda_tile, ldmatrix_reads_what_its_lanes_name)
{
    gpu *g = warp();
    uint16_t m[4 * 64];
    uint32_t got[4][32][4];
    for (int i = 0; i < 256; i++) m[i] = (uint16_t)(i * 201 + 5);
    uint32_t *r = gpu_put(g, NULL, sizeof got);
    GPU_OK(g, tile_ldmatrix(g->ctx, r, gpu_put(g, m, sizeof m), &g->e));
    gpu_take(g, got, r, sizeof got);
    for (int form = 0; form < 4; form++)
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < (form < 2 ? 4 : 2); i++) {
                const int x = lane / 4, y = lane % 4 * 2;
                const uint16_t lo = form % 2 ? m[i * 64 + y * 8 + x] : m[i * 64 + x * 8 + y];
                const uint16_t hi = form % 2 ? m[i * 64 + (y + 1) * 8 + x] : m[i * 64 + x * 8 + y + 1];
                cr_expect_eq(got[form][lane][i], lo | (uint32_t)hi << 16, "form %d lane %d matrix %d", form, lane, i);
            }
    gpu_close(g);
}

Test(cuda_tile, products_chain)
{
    gpu *g = warp();
    uint16_t a[256], bt[256], b[256];
    int ia[256], ibt[256], ib[256], ic[256];
    float c[256], d[256];
    for (int i = 0; i < 256; i++) { /* c stays below 256: exact as bf16 */
        ia[i] = i % 16 == i / 16 ? 2 : i % 16 == (i / 16 + 3) % 16; /* 2 on the diagonal, 1 on another */
        ibt[i] = i * 19 % 83;
        ib[i] = i * 91 % 256;
        a[i] = half((float)ia[i]), bt[i] = half((float)ibt[i]), b[i] = half((float)ib[i]);
    }
    float *dc = gpu_put(g, NULL, sizeof c), *dd = gpu_put(g, NULL, sizeof d);
    GPU_OK(g, tile_chain(g->ctx, dc, dd, gpu_put(g, a, sizeof a), gpu_put(g, bt, sizeof bt),
                         gpu_put(g, b, sizeof b), &g->e));
    gpu_take(g, c, dc, sizeof c);
    gpu_take(g, d, dd, sizeof d);
    for (int i = 0; i < 256; i++) {
        ic[i] = 0;
        for (int k = 0; k < 16; k++) ic[i] += ia[i / 16 * 16 + k] * ibt[i % 16 * 16 + k];
        cr_expect_eq(c[i], (float)ic[i], "c[%d]: %g, not %d", i, (double)c[i], ic[i]);
    }
    for (int i = 0; i < 256; i++) {
        int want = 0;
        for (int k = 0; k < 16; k++) want += ic[i / 16 * 16 + k] * ib[k * 16 + i % 16];
        cr_expect_eq(d[i], (float)want, "d[%d]: %g, not %d", i, (double)d[i], want);
    }
    gpu_close(g);
}

Test(cuda_tile, copies_come_in_groups)
{
    gpu *g = warp();
    uint32_t from[3][32][4], to[3][32][4];
    for (uint32_t i = 0; i < 384; i++) from[i / 128][i / 4 % 32][i % 4] = 100 + i;
    uint32_t *d = gpu_put(g, NULL, sizeof to);
    GPU_OK(g, tile_copy(g->ctx, d, gpu_put(g, from, sizeof from), &g->e));
    gpu_take(g, to, d, sizeof to);
    for (uint32_t i = 0; i < 384; i++) {
        const uint32_t k = i / 128, lane = i / 4 % 32;
        const uint32_t want = k == 2 && i % 4 ? 7 : lane % 2 ? 0 : 100 + i;
        cr_expect_eq(to[k][lane][i % 4], want, "copy %u lane %u word %u", k, lane, i % 4);
    }
    gpu_close(g);
}

Test(cuda_tile, packs_and_exponentials)
{
    gpu *g = warp();
    float x[64], e[64];
    uint32_t p[32];
    for (int i = 0; i < 64; i++) x[i] = (float)((i - 40) * 3.3 + 0.01);
    x[0] = -INFINITY, x[1] = NAN, x[2] = INFINITY, x[3] = 1 + 1.0f / 256, x[4] = 1 + 3.0f / 256, x[5] = -127, x[6] = 0;
    uint32_t *dp = gpu_put(g, NULL, sizeof p);
    float *de = gpu_put(g, NULL, sizeof e);
    GPU_OK(g, tile_numbers(g->ctx, dp, de, gpu_put(g, x, sizeof x), &g->e));
    gpu_take(g, p, dp, sizeof p);
    gpu_take(g, e, de, sizeof e);
    for (int i = 0; i < 64; i++) {
        const uint32_t bits = (p[i / 2] >> i % 2 * 16 & 0xffff) << 16;
        float y;
        memcpy(&y, &bits, sizeof y);
        cr_expect(isnan(x[i]) ? isnan(y) : y == gpu_bf16(x[i]), "pack of %g: %g", (double)x[i], (double)y);
        const float want = x[i] < -126 ? 0 : exp2f(x[i]);
        cr_expect(isnan(want) ? isnan(e[i]) : e[i] == want || fabsf(e[i] - want) <= want * 3e-7f,
                  "2^%g: %g", (double)x[i], (double)e[i]);
    }
    gpu_close(g);
}
