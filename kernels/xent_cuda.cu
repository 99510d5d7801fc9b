/* Softmax cross-entropy and its gradient (xent.h).
 *
 * A row belongs to a warp (up to 2048 logits), to a block of 256 threads or to one of 1024 (above 16384): two looks at
 * the row, the first for its maximum and the sum of exp (each thread keeps its own of both and rescales when its
 * maximum grows), the second writes the gradient over the logits; probabilities are never stored otherwise. Bound: 2a
 * bytes a logit, read and written once, a bytes an activation. The second look must not go to memory: the longest rows
 * have the largest blocks, of which two fit a multiprocessor, so that 264 rows of 100 KB (V = 50304 in bf16) are under
 * way, 26 MB of an L2 of 50; a row of 4096 stays in the L1.
 *
 * Exactness. A thread's sum is of a few dozen floats at most; threads are added in double after the maximum of all is
 * known, and the loss is formed in double: it is the CPU's to 1e-6. NaN and +inf stay visible: the maximum passes them
 * by, the sum does not. Order of sums: V and the type alone. */
#include <float.h>
#include <math.h>

#include "kernels/ops_cuda.h"
#include "kernels/rows.cuh"

enum { BLOCK = 256, LONG_BLOCK = 1024, WARP_V = 2048, BLOCK_V = 16384 };
#define LOG2_E 1.4426950408889634f

__device__ __forceinline__ float exp_of(float x) { return exp2f(LOG2_E * x); }

struct larger {
    template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return a > b ? a : b; }
};
struct plus {
    template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return a + b; }
};

/* Over the LANES threads of a row, in every thread. Above a warp: `shared` has a place per warp. */
template <int LANES, class T, class OP> __device__ __forceinline__ T over_row(T v, T *shared, OP op)
{
#pragma unroll
    for (int o = K_WARP / 2; o; o /= 2) v = op(v, __shfl_xor_sync(K_ALL_LANES, v, o));
    if (LANES > K_WARP) {
        constexpr int WARPS = LANES / K_WARP;
        if (threadIdx.x % K_WARP == 0) shared[threadIdx.x / K_WARP] = v;
        __syncthreads();
        v = shared[threadIdx.x % WARPS];
#pragma unroll
        for (int o = WARPS / 2; o; o /= 2) v = op(v, __shfl_xor_sync(K_ALL_LANES, v, o));
    }
    return v;
}

template <class A, int W, int LANES>
static __global__ void __launch_bounds__(LANES > BLOCK ? LANES : BLOCK)
    xent(double *row_loss, size_t loss_stride, k_t<A> logits, k_tokens targets, double dscale, unsigned n, unsigned V,
         unsigned ld, unsigned blocks)
{
    __shared__ float max_of[K_WARP];
    __shared__ double sum_of[K_WARP];
    const k_place at = k_place_of(blocks);
    const bool live = at.i < n; /* all lanes of a warp take part in its shuffles */
    A *l = logits.row(at.r) + (size_t)at.i * ld;
    float most = -FLT_MAX, part = 0; /* not -inf: a thread without logits must not make a NaN */
    if (live)
        for (unsigned j = threadIdx.x * W; j < V; j += LANES * W) {
            float x[W], top = most;
            k_read(x, l + j, V - j, -INFINITY);
#pragma unroll
            for (int k = 0; k < W; k++) top = x[k] > top ? x[k] : top;
            if (top > most) {
                part *= exp_of(most - top);
                most = top;
            }
#pragma unroll
            for (int k = 0; k < W; k++) part += exp_of(x[k] - most);
        }
    const float max = over_row<LANES>(most, max_of, larger());
    const double sum = over_row<LANES>((double)(part * exp_of(most - max)), sum_of, plus());
    if (!live) return;
    const unsigned target = targets.at(at.r, at.i);
    if (target / W % LANES == threadIdx.x) /* who will overwrite it */
        row_loss[at.r * loss_stride + at.i] = (double)max + log(sum) - (double)k_get(l[target]);
    if (dscale == 0) return;
    const float scale = (float)(dscale / sum), one = (float)dscale;
    for (unsigned j = threadIdx.x * W; j < V; j += LANES * W) {
        float x[W];
        k_read(x, l + j, V - j);
#pragma unroll
        for (int k = 0; k < W; k++) x[k] = scale * exp_of(x[k] - max) - (j + k == target ? one : 0.0f);
        k_write(l + j, x, V - j);
    }
}

/* A warp per sequence. Its lanes take every 32nd row and are then added in a fixed tree: in double the difference from
 * the CPU's order is below 1e-14. */
static __global__ void seq_mean(double *seq_loss, size_t ld, const double *row_loss, size_t loss_stride, unsigned n_seq,
                                unsigned T, unsigned blocks)
{
    const k_place at = k_place_of(blocks);
    const bool live = at.i < n_seq;
    double sum = 0;
    if (live) {
        const double *in = row_loss + at.r * loss_stride + (size_t)at.i * T;
#pragma unroll 4
        for (unsigned t = threadIdx.x; t < T; t += K_WARP) sum += in[t];
    }
    sum = k_group_sum(sum, K_WARP);
    if (live && threadIdx.x == 0) seq_loss[at.r * ld + at.i] = sum / (double)T;
}

template <class A, int W, int LANES>
static status of_lanes(k_ctx *ctx, double *row_loss, size_t loss_stride, k_act logits, k_ids targets, double dscale,
                       const k_rows *s, err *e)
{
    constexpr unsigned rows = LANES < BLOCK ? BLOCK / LANES : 1;
    const unsigned blocks = k_over(s->n, rows);
    return K_LAUNCH(ctx, e, (xent<A, W, LANES>), k_grid(s->R, blocks), dim3(LANES, rows), 0, row_loss, loss_stride,
                    k_ty<A>(logits), k_tokens_of(targets), dscale, (unsigned)s->n, (unsigned)s->c, (unsigned)s->ld,
                    blocks);
}

template <class A, int W>
static status of_width(k_ctx *ctx, double *row_loss, size_t loss_stride, k_act logits, k_ids targets, double dscale,
                       const k_rows *s, err *e)
{
    if (s->c <= WARP_V) return of_lanes<A, W, K_WARP>(ctx, row_loss, loss_stride, logits, targets, dscale, s, e);
    if (s->c <= BLOCK_V) return of_lanes<A, W, BLOCK>(ctx, row_loss, loss_stride, logits, targets, dscale, s, e);
    return of_lanes<A, W, LONG_BLOCK>(ctx, row_loss, loss_stride, logits, targets, dscale, s, e);
}

template <class A>
status k_xent_cuda(k_ctx *ctx, double *row_loss, size_t loss_stride, k_act logits, k_ids targets, double dscale,
                   const k_rows *s, err *e)
{
    if (!s->R || !s->n) return ST_OK;
    return K_CHUNKED(A, k_even(k_ty<A>(logits), s->ld), of_width, ctx, row_loss, loss_stride, logits, targets, dscale,
                     s, e);
}

status k_xent_real_cuda(k_ctx *ctx, double *row_loss, size_t loss_stride, k_arr logits, k_ids targets, const k_rows *s,
                        err *e)
{
    const k_act l = {logits.p, logits.stride};
    return k_xent_cuda<float>(ctx, row_loss, loss_stride, l, targets, 0, s, e);
}

status k_seq_loss_cuda(k_ctx *ctx, double *seq_loss, size_t ld, const double *row_loss, size_t loss_stride, size_t R,
                       size_t n_seq, size_t T, err *e)
{
    if (!R || !n_seq) return ST_OK;
    const unsigned blocks = k_over(n_seq, K_THREADS / K_WARP);
    return K_LAUNCH(ctx, e, seq_mean, k_grid(R, blocks), k_block(K_WARP), 0, seq_loss, ld, row_loss, loss_stride,
                    (unsigned)n_seq, (unsigned)T, blocks);
}

#define INSTANTIATE(A) \
    template status k_xent_cuda<A>(k_ctx *, double *, size_t, k_act, k_ids, double, const k_rows *, err *);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
