/* Passes over flat vectors (vector.h).
 *
 * sumsq: a replica's vector is cut into at most K_NORM_PARTS slices of at least MIN_SLICE numbers, a block sums each in
 * double, and a second launch adds a replica's slices in a fixed tree. Slices depend on n alone, so the bits do too.
 * Squares in double from the start: in float they would overflow where the CPU's do not. Bound: 4 bytes a number; 256
 * blocks with four loads of 16 bytes in flight a thread. add: 12 bytes a number, zero: 4. */
#include "kernels/bank_cuda.cuh"
#include "kernels/ops_cuda.h"
#include "kernels/rows.cuh"

enum {
    FLAT = 4 * 4 * K_THREADS, /* numbers of a block of add and zero */
    MIN_SLICE = 4 * K_THREADS
};

template <int W>
static __global__ void __launch_bounds__(K_THREADS)
    norm_parts(double *parts, k_t<const float> x, size_t n, size_t slice)
{
    __shared__ double warp_sum[K_THREADS / K_WARP];
    const unsigned r = blockIdx.x / K_NORM_PARTS, part = blockIdx.x % K_NORM_PARTS;
    const size_t from = part * slice, to = from + slice < n ? from + slice : n;
    if (from >= n) { /* a slice that a short vector does not reach */
        if (threadIdx.x == 0) parts[blockIdx.x] = 0;
        return;
    }
    double sum[W];
#pragma unroll
    for (int k = 0; k < W; k++) sum[k] = 0;
#pragma unroll 4
    for (size_t i = from + threadIdx.x * W; i < to; i += K_THREADS * W) {
        float v[W];
        k_read(v, x.row(r) + i, to - i);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += (double)v[k] * (double)v[k];
    }
    double all = 0;
#pragma unroll
    for (int k = 0; k < W; k++) all += sum[k];
    all = k_group_sum(all, K_WARP);
    if (threadIdx.x % K_WARP == 0) warp_sum[threadIdx.x / K_WARP] = all;
    __syncthreads();
    if (threadIdx.x) return;
    for (unsigned w = 1; w < K_THREADS / K_WARP; w++) all += warp_sum[w];
    parts[blockIdx.x] = all;
}

static __global__ void sum_parts(double *out, const double *parts)
{
    const double sum = k_sum_parts(parts + (size_t)blockIdx.x * K_NORM_PARTS);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

template <int W> static __global__ void add(k_t<float> y, k_t<const float> x, size_t n, unsigned blocks)
{
    const unsigned r = blockIdx.x / blocks;
    const size_t from = (size_t)(blockIdx.x % blocks) * FLAT, to = from + FLAT < n ? from + FLAT : n;
#pragma unroll 4
    for (size_t i = from + threadIdx.x * W; i < to; i += K_THREADS * W) {
        float a[W], b[W];
        k_read(a, y.row(r) + i, to - i);
        k_read(b, x.row(r) + i, to - i);
#pragma unroll
        for (int k = 0; k < W; k++) a[k] += b[k];
        k_write(y.row(r) + i, a, to - i);
    }
}

template <int W> static __global__ void zero(k_t<float> y, size_t n, unsigned blocks)
{
    const unsigned r = blockIdx.x / blocks;
    const size_t from = (size_t)(blockIdx.x % blocks) * FLAT, to = from + FLAT < n ? from + FLAT : n;
    float none[W];
#pragma unroll
    for (int k = 0; k < W; k++) none[k] = 0;
    for (size_t i = from + threadIdx.x * W; i < to; i += K_THREADS * W) k_write(y.row(r) + i, none, to - i);
}

status k_norm_parts_cuda(k_ctx *ctx, double *parts, k_in x, size_t R, size_t n, err *e)
{
    const size_t even = ((n + K_NORM_PARTS - 1) / K_NORM_PARTS + 3) / 4 * 4;
    const size_t slice = even < (size_t)MIN_SLICE ? (size_t)MIN_SLICE : even;
    const dim3 grid = k_grid(R, K_NORM_PARTS), block(K_THREADS);
    return k_even(k_ty(x), 0) ? K_LAUNCH(ctx, e, norm_parts<4>, grid, block, 0, parts, k_ty(x), n, slice)
                              : K_LAUNCH(ctx, e, norm_parts<1>, grid, block, 0, parts, k_ty(x), n, slice);
}

status k_sumsq_cuda(k_ctx *ctx, double *out, k_in x, size_t R, size_t n, err *e)
{
    if (!R) return ST_OK;
    double *parts = (double *)(void *)k_cuda_of(ctx)->scratch;
    const size_t bytes = R * K_NORM_PARTS * sizeof *parts;
    if (bytes > k_cuda_of(ctx)->scratch_bytes)
        return err_set(e, ST_DOMAIN, "sumsq: %zu bytes of scratch are needed, the context has %zu", bytes,
                       k_cuda_of(ctx)->scratch_bytes);
    const status s = k_norm_parts_cuda(ctx, parts, x, R, n, e);
    if (s) return s;
    return K_LAUNCH(ctx, e, sum_parts, dim3((unsigned)R), dim3(K_WARP), 0, out, parts);
}

status k_add_cuda(k_ctx *ctx, k_arr y, k_in x, size_t R, size_t n, err *e)
{
    if (!R || !n) return ST_OK;
    const unsigned blocks = k_over(n, FLAT);
    const dim3 grid = k_grid(R, blocks), block(K_THREADS);
    return k_even(k_ty(y), 0) && k_even(k_ty(x), 0)
               ? K_LAUNCH(ctx, e, add<4>, grid, block, 0, k_ty(y), k_ty(x), n, blocks)
               : K_LAUNCH(ctx, e, add<1>, grid, block, 0, k_ty(y), k_ty(x), n, blocks);
}

status k_zero_cuda(k_ctx *ctx, k_arr y, size_t R, size_t n, err *e)
{
    if (!R || !n) return ST_OK;
    const unsigned blocks = k_over(n, FLAT);
    const dim3 grid = k_grid(R, blocks), block(K_THREADS);
    return k_even(k_ty(y), 0) ? K_LAUNCH(ctx, e, zero<4>, grid, block, 0, k_ty(y), n, blocks)
                              : K_LAUNCH(ctx, e, zero<1>, grid, block, 0, k_ty(y), n, blocks);
}
