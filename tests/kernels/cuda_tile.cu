#include "tests/kernels/cuda_tile.h"

#include "kernels/launch.cuh"
#include "kernels/tile.cuh"

static __device__ uint32_t two(uint16_t lo, uint16_t hi) { return lo | (uint32_t)hi << 16; }

__global__ void mma_kernel(float *d, const uint16_t *a, const uint16_t *b)
{
    const int g = (int)threadIdx.x / 4, t = (int)threadIdx.x % 4;
    uint32_t fa[4], fb[2];
    float fd[4];
    for (int i = 0; i < 4; i++) {
        const uint16_t *x = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
        fa[i] = two(x[0], x[1]);
        fd[i] = d[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
    }
    for (int i = 0; i < 2; i++) fb[i] = two(b[(2 * t + i * 8) * 8 + g], b[(2 * t + i * 8 + 1) * 8 + g]);
    k_mma(fd, fa, fb);
    for (int i = 0; i < 4; i++) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = fd[i];
}

__global__ void ldmatrix_kernel(uint32_t *r, const uint16_t *m)
{
    K_SHARED(uint16_t, tile); /* rows 24 elements apart, in reverse */
    const int lane = (int)threadIdx.x;
    uint16_t *row = tile + (31 - lane) * 24;
    for (int i = 0; i < 8; i++) row[i] = m[lane * 8 + i];
    __syncwarp();
    uint32_t x[4] = {};
    k_ldmatrix4(x, row);
    for (int i = 0; i < 4; i++) r[lane * 4 + i] = x[i];
    k_ldmatrix4_t(x, row);
    for (int i = 0; i < 4; i++) r[128 + lane * 4 + i] = x[i];
    k_ldmatrix2(x, lane < 16 ? row : tile);
    for (int i = 0; i < 2; i++) r[256 + lane * 4 + i] = x[i];
    k_ldmatrix2_t(x, lane < 16 ? row : tile);
    for (int i = 0; i < 2; i++) r[384 + lane * 4 + i] = x[i];
}

__global__ void chain_kernel(float *c, float *d, const uint16_t *a, const uint16_t *bt, const uint16_t *b)
{
    constexpr int LD = 24;
    K_SHARED(uint16_t, tiles);
    const int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4;
    uint16_t *const ta = tiles, *const tbt = ta + 16 * LD, *const tb = tbt + 16 * LD;
    for (int i = lane; i < 256; i += 32) {
        const int at = i / 16 * LD + i % 16;
        ta[at] = a[i];
        tbt[at] = bt[i];
        tb[at] = b[i];
    }
    __syncwarp();
    uint32_t fa[4], fb[4];
    float s[2][4] = {}, o[2][4] = {};
    k_ldmatrix4(fa, ta + k_at_a(lane, LD));
    k_ldmatrix4(fb, tbt + k_at_bt(lane, LD));
    k_mma(s[0], fa, fb);
    k_mma(s[1], fa, fb + 2);
    const uint32_t p[4] = {k_pack(s[0][0], s[0][1]), k_pack(s[0][2], s[0][3]),
                           k_pack(s[1][0], s[1][1]), k_pack(s[1][2], s[1][3])};
    k_ldmatrix4_t(fb, tb + k_at_b(lane, LD));
    k_mma(o[0], p, fb);
    k_mma(o[1], p, fb + 2);
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < 4; i++) {
            const int at = (g + i / 2 * 8) * 16 + n * 8 + 2 * t + i % 2;
            c[at] = s[n][i];
            d[at] = o[n][i];
        }
}

__global__ void copy_kernel(uint32_t *to, const uint32_t *from)
{
    K_SHARED(uint32_t, words); /* [3][32][4] */
    const int lane = (int)threadIdx.x, other = 31 - lane;
    const bool valid = lane % 2 == 0;
    for (int i = 0; i < 12; i++) words[i / 4 * 128 + lane * 4 + i % 4] = 7;
    k_copy16(words + lane * 4, from + lane * 4, valid);
    k_copy_commit();
    k_copy16(words + 128 + lane * 4, from + 128 + lane * 4, valid);
    k_copy4(words + 256 + lane * 4, from + 256 + lane * 4, valid);
    k_copy_commit();
    k_copy_wait<1>();
    __syncthreads();
    for (int i = 0; i < 4; i++) to[other * 4 + i] = words[other * 4 + i];
    k_copy_wait<0>();
    __syncthreads();
    for (int k = 1; k < 3; k++)
        for (int i = 0; i < 4; i++) to[k * 128 + other * 4 + i] = words[k * 128 + other * 4 + i];
}

__global__ void numbers_kernel(uint32_t *pack, float *exp2, const float *x)
{
    const int lane = (int)threadIdx.x;
    pack[lane] = k_pack(x[2 * lane], x[2 * lane + 1]);
    exp2[lane] = k_exp2(x[lane]);
    exp2[32 + lane] = k_exp2(x[32 + lane]);
}

status tile_mma(k_ctx *ctx, float *d, const uint16_t *a, const uint16_t *b, err *e)
{
    return K_LAUNCH(ctx, e, mma_kernel, dim3(1), dim3(32), 0, d, a, b);
}
status tile_ldmatrix(k_ctx *ctx, uint32_t *r, const uint16_t *m, err *e)
{
    return K_LAUNCH(ctx, e, ldmatrix_kernel, dim3(1), dim3(32), 32 * 24 * sizeof(uint16_t), r, m);
}
status tile_chain(k_ctx *ctx, float *c, float *d, const uint16_t *a, const uint16_t *bt, const uint16_t *b, err *e)
{
    return K_LAUNCH(ctx, e, chain_kernel, dim3(1), dim3(32), 3 * 16 * 24 * sizeof(uint16_t), c, d, a, bt, b);
}
status tile_copy(k_ctx *ctx, uint32_t *to, const uint32_t *from, err *e)
{
    return K_LAUNCH(ctx, e, copy_kernel, dim3(1), dim3(32), 384 * sizeof(uint32_t), to, from);
}
status tile_numbers(k_ctx *ctx, uint32_t *pack, float *exp2, const float *x, err *e)
{
    return K_LAUNCH(ctx, e, numbers_kernel, dim3(1), dim3(32), 0, pack, exp2, x);
}
