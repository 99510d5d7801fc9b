/* RMSNorm and its gain (rmsnorm.h).
 *
 * A group of at most a warp per row: sums by shuffles, no barrier. The second look at a row (to scale it) finds it in
 * the L1: eight rows of a block are 12 KB at c = 768 in bf16. Bounds per element, a bytes an activation: fwd 2a (read
 * x, write y), bwd 3a, and 4a where it adds to dx; gain_fwd 2a, gain_bwd 3a.
 *
 * gain_bwd's dgain sums over rows in two steps without atomics: a block adds its stretch of rows (each of its 8 rows of
 * threads every eighth, then those 8 in order) into scratch, and a second kernel adds the stretches in order. Stretches
 * depend on n alone, so the bits do too. Scratch: 4 c bytes a stretch, at most 128 of them: k_norm_scratch_cuda says
 * it. */
#include "kernels/ops_cuda.h"
#include "kernels/rows.cuh"

enum { DEPTH = K_THREADS / K_WARP, STRETCHES = 128, ROWS_OF_A_STRETCH = 16 /* at least */ };

template <class A, int W>
static __global__ void rmsnorm_fwd(k_t<A> y, k_t<float> rstd, k_t<const A> x, unsigned n, unsigned c, float eps,
                                   unsigned blocks)
{
    const k_place at = k_place_of(blocks);
    const bool live = at.i < n; /* all lanes of a warp take part in its shuffles */
    const A *in = x.row(at.r) + (size_t)at.i * c;
    float sum = 0;
    if (live)
        for (unsigned j = threadIdx.x * W; j < c; j += blockDim.x * W) {
            float v[W];
            k_read(v, in + j, c - j);
#pragma unroll
            for (int k = 0; k < W; k++) sum += v[k] * v[k];
        }
    const float scale = 1.0f / sqrtf(k_group_sum(sum, blockDim.x) / (float)c + eps);
    if (!live) return;
    A *out = y.row(at.r) + (size_t)at.i * c;
    for (unsigned j = threadIdx.x * W; j < c; j += blockDim.x * W) {
        float v[W];
        k_read(v, in + j, c - j);
#pragma unroll
        for (int k = 0; k < W; k++) v[k] *= scale;
        k_write(out + j, v, c - j);
    }
    if (threadIdx.x == 0) rstd.row(at.r)[at.i] = scale;
}

template <class A, int W>
static __global__ void rmsnorm_bwd(k_t<A> dx, k_t<const A> dy, k_t<const A> y, k_t<const float> rstd, bool acc,
                                   unsigned n, unsigned c, unsigned blocks)
{
    const k_place at = k_place_of(blocks);
    const bool live = at.i < n;
    const A *g = dy.row(at.r) + (size_t)at.i * c, *xhat = y.row(at.r) + (size_t)at.i * c;
    float dot = 0;
    if (live)
        for (unsigned j = threadIdx.x * W; j < c; j += blockDim.x * W) {
            float d[W], v[W];
            k_read(d, g + j, c - j);
            k_read(v, xhat + j, c - j);
#pragma unroll
            for (int k = 0; k < W; k++) dot += d[k] * v[k];
        }
    const float mean = k_group_sum(dot, blockDim.x) / (float)c;
    if (!live) return;
    const float scale = rstd.row(at.r)[at.i];
    A *out = dx.row(at.r) + (size_t)at.i * c;
    for (unsigned j = threadIdx.x * W; j < c; j += blockDim.x * W) {
        float d[W], v[W], o[W];
        k_read(d, g + j, c - j);
        k_read(v, xhat + j, c - j);
        if (acc) k_read(o, out + j, c - j);
#pragma unroll
        for (int k = 0; k < W; k++) {
            const float z = scale * (d[k] - v[k] * mean);
            o[k] = acc ? o[k] + z : z;
        }
        k_write(out + j, o, c - j);
    }
}

template <class A, int W>
static __global__ void gain_fwd(k_t<A> y, k_t<const A> x, k_t<const float> gain, unsigned n, unsigned c,
                                unsigned blocks)
{
    const k_place at = k_place_of(blocks);
    if (at.i >= n) return;
    const size_t row = (size_t)at.i * c;
    for (unsigned j = threadIdx.x * W; j < c; j += blockDim.x * W) {
        float v[W], g[W];
        k_read(v, x.row(at.r) + row + j, c - j);
        k_read(g, gain.row(at.r) + j, c - j);
#pragma unroll
        for (int k = 0; k < W; k++) v[k] *= g[k];
        k_write(y.row(at.r) + row + j, v, c - j);
    }
}

/* dx, and the sum of dy * x over one stretch of rows. Block (K_WARP, DEPTH): a warp's width of chunks, DEPTH rows. */
template <class A, int W>
static __global__ void gain_bwd(k_t<A> dx, float *partial, k_t<const A> dy, k_t<const A> x, k_t<const float> gain,
                                unsigned n, unsigned c, unsigned rows, unsigned stretches, unsigned slices)
{
    __shared__ float tile[DEPTH][W][K_WARP];
    const unsigned slice = blockIdx.x % slices, at = blockIdx.x / slices, stretch = at % stretches, r = at / stretches;
    const unsigned j = (slice * K_WARP + threadIdx.x) * W, from = stretch * rows,
                   to = from + rows < n ? from + rows : n;
    float sum[W], g[W];
#pragma unroll
    for (int k = 0; k < W; k++) sum[k] = 0;
    if (j < c) {
        k_read(g, gain.row(r) + j, c - j);
        for (unsigned i = from + threadIdx.y; i < to; i += DEPTH) {
            float d[W], v[W];
            k_read(d, dy.row(r) + (size_t)i * c + j, c - j);
            k_read(v, x.row(r) + (size_t)i * c + j, c - j);
#pragma unroll
            for (int k = 0; k < W; k++) {
                sum[k] += d[k] * v[k];
                d[k] *= g[k];
            }
            k_write(dx.row(r) + (size_t)i * c + j, d, c - j);
        }
    }
#pragma unroll
    for (int k = 0; k < W; k++) tile[threadIdx.y][k][threadIdx.x] = sum[k];
    __syncthreads();
    if (threadIdx.y || j >= c) return;
    for (unsigned y = 1; y < DEPTH; y++)
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += tile[y][k][threadIdx.x];
    float *out = partial + ((size_t)r * stretches + stretch) * c + j;
#pragma unroll
    for (int k = 0; k < W; k++)
        if (j + k < c) out[k] = sum[k];
}

static __global__ void gain_sum(k_t<float> dgain, const float *partial, unsigned c, unsigned stretches, unsigned blocks)
{
    const unsigned r = blockIdx.x / blocks, j = blockIdx.x % blocks * K_THREADS + threadIdx.x;
    if (j >= c) return;
    const float *in = partial + (size_t)r * stretches * c + j;
    float sum = dgain.row(r)[j];
#pragma unroll 8
    for (unsigned i = 0; i < stretches; i++) sum += in[(size_t)i * c];
    dgain.row(r)[j] = sum;
}

template <class A, int W> static status norm_fwd(k_ctx *ctx, k_act y, k_arr rstd, k_cact x, const k_norm *s, err *e)
{
    const k_groups g = k_groups_of(s->n, k_over(s->c, W), K_WARP);
    return K_LAUNCH(ctx, e, (rmsnorm_fwd<A, W>), k_grid(s->R, g.blocks), k_block(g.lanes), 0, k_ty<A>(y), k_ty(rstd),
                    k_ty<A>(x), (unsigned)s->n, (unsigned)s->c, (float)s->eps, g.blocks);
}

template <class A> status k_rmsnorm_fwd_cuda(k_ctx *ctx, k_act y, k_arr rstd, k_cact x, const k_norm *s, err *e)
{
    if (!s->R || !s->n) return ST_OK;
    return K_CHUNKED(A, k_even(k_ty<A>(y), s->c) && k_even(k_ty<A>(x), s->c), norm_fwd, ctx, y, rstd, x, s, e);
}

template <class A, int W>
static status norm_bwd(k_ctx *ctx, k_act dx, k_cact dy, k_cact y, k_in rstd, bool acc, const k_norm *s, err *e)
{
    const k_groups g = k_groups_of(s->n, k_over(s->c, W), K_WARP);
    return K_LAUNCH(ctx, e, (rmsnorm_bwd<A, W>), k_grid(s->R, g.blocks), k_block(g.lanes), 0, k_ty<A>(dx), k_ty<A>(dy),
                    k_ty<A>(y), k_ty(rstd), acc, (unsigned)s->n, (unsigned)s->c, g.blocks);
}

template <class A>
status k_rmsnorm_bwd_cuda(k_ctx *ctx, k_act dx, k_cact dy, k_cact y, k_in rstd, bool acc, const k_norm *s, err *e)
{
    if (!s->R || !s->n) return ST_OK;
    const bool even = k_even(k_ty<A>(dx), s->c) && k_even(k_ty<A>(dy), s->c) && k_even(k_ty<A>(y), s->c);
    return K_CHUNKED(A, even, norm_bwd, ctx, dx, dy, y, rstd, acc, s, e);
}

template <class A, int W> static status scale_fwd(k_ctx *ctx, k_act y, k_cact x, k_in gain, const k_norm *s, err *e)
{
    const k_groups g = k_groups_of(s->n, k_over(s->c, W), 64);
    return K_LAUNCH(ctx, e, (gain_fwd<A, W>), k_grid(s->R, g.blocks), k_block(g.lanes), 0, k_ty<A>(y), k_ty<A>(x),
                    k_ty(gain), (unsigned)s->n, (unsigned)s->c, g.blocks);
}

template <class A> status k_gain_fwd_cuda(k_ctx *ctx, k_act y, k_cact x, k_in gain, const k_norm *s, err *e)
{
    if (!s->R || !s->n) return ST_OK;
    const bool even = k_even(k_ty<A>(y), s->c) && k_even(k_ty<A>(x), s->c) && k_even(k_ty(gain), 0);
    return K_CHUNKED(A, even, scale_fwd, ctx, y, x, gain, s, e);
}

static unsigned stretches_of(size_t n)
{
    const unsigned most = k_over(n, ROWS_OF_A_STRETCH);
    return most < STRETCHES ? most : (unsigned)STRETCHES;
}

size_t k_norm_scratch_cuda(const k_norm *s)
{
    const size_t gain = s->R * stretches_of(s->n) * s->c * sizeof(float), parts = s->R * K_NORM_PARTS * sizeof(double);
    return gain > parts ? gain : parts;
}

template <class A, int W>
static status scale_bwd(k_ctx *ctx, k_act dx, k_arr dgain, k_cact dy, k_cact x, k_in gain, const k_norm *s, err *e)
{
    const unsigned stretches = stretches_of(s->n), rows = k_over(s->n, stretches), slices = k_over(s->c, K_WARP * W),
                   blocks = k_over(s->c, K_THREADS);
    float *partial = (float *)(void *)k_cuda_of(ctx)->scratch;
    const status st =
        K_LAUNCH(ctx, e, (gain_bwd<A, W>), k_grid(s->R, stretches * slices), dim3(K_WARP, DEPTH), 0, k_ty<A>(dx),
                 partial, k_ty<A>(dy), k_ty<A>(x), k_ty(gain), (unsigned)s->n, (unsigned)s->c, rows, stretches, slices);
    if (st) return st;
    return K_LAUNCH(ctx, e, gain_sum, k_grid(s->R, blocks), dim3(K_THREADS), 0, k_ty(dgain), partial, (unsigned)s->c,
                    stretches, blocks);
}

template <class A>
status k_gain_bwd_cuda(k_ctx *ctx, k_act dx, k_arr dgain, k_cact dy, k_cact x, k_in gain, const k_norm *s, err *e)
{
    if (!s->R || !s->n) return ST_OK;
    if (k_norm_scratch_cuda(s) > k_cuda_of(ctx)->scratch_bytes)
        return err_set(e, ST_DOMAIN, "gain_bwd: %zu bytes of scratch are needed, the context has %zu",
                       k_norm_scratch_cuda(s), k_cuda_of(ctx)->scratch_bytes);
    const bool even =
        k_even(k_ty<A>(dx), s->c) && k_even(k_ty<A>(dy), s->c) && k_even(k_ty<A>(x), s->c) && k_even(k_ty(gain), 0);
    return K_CHUNKED(A, even, scale_bwd, ctx, dx, dgain, dy, x, gain, s, e);
}

#define INSTANTIATE(A)                                                                                        \
    template status k_rmsnorm_fwd_cuda<A>(k_ctx *, k_act, k_arr, k_cact, const k_norm *, err *);              \
    template status k_rmsnorm_bwd_cuda<A>(k_ctx *, k_act, k_cact, k_cact, k_in, bool, const k_norm *, err *); \
    template status k_gain_fwd_cuda<A>(k_ctx *, k_act, k_cact, k_in, const k_norm *, err *);                  \
    template status k_gain_bwd_cuda<A>(k_ctx *, k_act, k_arr, k_cact, k_cact, k_in, const k_norm *, err *);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
