/* RMSNorm of every head, in place (qknorm.h).
 *
 * A group of threads per head of a row: 8 lanes hold 64 channels of bf16. Bound: fwd 2a bytes per element of q and k (a
 * bytes an activation), bwd 3a. The second look at a head finds it in the L1. */
#include "kernels/ops_cuda.h"
#include "kernels/rows.cuh"

struct heads_of {
    unsigned n, heads, head_dim, ld, blocks; /* n: rows times heads */
    __device__ __forceinline__ size_t at(unsigned i) const
    {
        const unsigned row = i / heads;
        return (size_t)row * ld + (size_t)(i - row * heads) * head_dim;
    }
};

template <class A, int W> static __global__ void qknorm_fwd(k_t<A> x, k_t<float> rstd, float eps, heads_of s)
{
    const k_place at = k_place_of(s.blocks);
    const bool live = at.i < s.n; /* all lanes of a warp take part in its shuffles */
    A *head = x.row(at.r) + s.at(at.i);
    float sum = 0;
    if (live)
        for (unsigned j = threadIdx.x * W; j < s.head_dim; j += blockDim.x * W) {
            float v[W];
            k_read(v, head + j, s.head_dim - j);
#pragma unroll
            for (int k = 0; k < W; k++) sum += v[k] * v[k];
        }
    const float scale = 1.0f / sqrtf(k_group_sum(sum, blockDim.x) / (float)s.head_dim + eps);
    if (!live) return;
    for (unsigned j = threadIdx.x * W; j < s.head_dim; j += blockDim.x * W) {
        float v[W];
        k_read(v, head + j, s.head_dim - j);
#pragma unroll
        for (int k = 0; k < W; k++) v[k] *= scale;
        k_write(head + j, v, s.head_dim - j);
    }
    if (threadIdx.x == 0) rstd.row(at.r)[at.i] = scale;
}

template <class A, int W>
static __global__ void qknorm_bwd(k_t<A> dx, k_t<const A> y, k_t<const float> rstd, heads_of s)
{
    const k_place at = k_place_of(s.blocks);
    const bool live = at.i < s.n;
    A *d = dx.row(at.r) + s.at(at.i);
    const A *xhat = y.row(at.r) + s.at(at.i);
    float dot = 0;
    if (live)
        for (unsigned j = threadIdx.x * W; j < s.head_dim; j += blockDim.x * W) {
            float g[W], v[W];
            k_read(g, d + j, s.head_dim - j);
            k_read(v, xhat + j, s.head_dim - j);
#pragma unroll
            for (int k = 0; k < W; k++) dot += g[k] * v[k];
        }
    const float mean = k_group_sum(dot, blockDim.x) / (float)s.head_dim;
    if (!live) return;
    const float scale = rstd.row(at.r)[at.i];
    for (unsigned j = threadIdx.x * W; j < s.head_dim; j += blockDim.x * W) {
        float g[W], v[W];
        k_read(g, d + j, s.head_dim - j);
        k_read(v, xhat + j, s.head_dim - j);
#pragma unroll
        for (int k = 0; k < W; k++) g[k] = scale * (g[k] - v[k] * mean);
        k_write(d + j, g, s.head_dim - j);
    }
}

static heads_of plan(const k_heads *s, unsigned *lanes, int W)
{
    const k_groups g = k_groups_of(s->B * s->T * s->heads, k_over(s->head_dim, (size_t)W), K_WARP);
    heads_of h = {(unsigned)(s->B * s->T * s->heads), (unsigned)s->heads, (unsigned)s->head_dim, (unsigned)s->ld,
                  g.blocks};
    *lanes = g.lanes;
    return h;
}

template <class A> static bool even_heads(k_t<A> x, const k_heads *s)
{
    return k_even(x, s->ld) && k_even(x, s->head_dim);
}

template <class A, int W> static status fwd(k_ctx *ctx, k_act x, k_arr rstd, double eps, const k_heads *s, err *e)
{
    unsigned lanes;
    const heads_of h = plan(s, &lanes, W);
    return K_LAUNCH(ctx, e, (qknorm_fwd<A, W>), k_grid(s->R, h.blocks), k_block(lanes), 0, k_ty<A>(x), k_ty(rstd),
                    (float)eps, h);
}

template <class A> status k_qknorm_fwd_cuda(k_ctx *ctx, k_act x, k_arr rstd, double eps, const k_heads *s, err *e)
{
    if (!s->R || !s->B || !s->T || !s->heads) return ST_OK;
    return K_CHUNKED(A, even_heads(k_ty<A>(x), s), fwd, ctx, x, rstd, eps, s, e);
}

template <class A, int W> static status bwd(k_ctx *ctx, k_act dx, k_cact y, k_in rstd, const k_heads *s, err *e)
{
    unsigned lanes;
    const heads_of h = plan(s, &lanes, W);
    return K_LAUNCH(ctx, e, (qknorm_bwd<A, W>), k_grid(s->R, h.blocks), k_block(lanes), 0, k_ty<A>(dx), k_ty<A>(y),
                    k_ty(rstd), h);
}

template <class A> status k_qknorm_bwd_cuda(k_ctx *ctx, k_act dx, k_cact y, k_in rstd, const k_heads *s, err *e)
{
    if (!s->R || !s->B || !s->T || !s->heads) return ST_OK;
    return K_CHUNKED(A, even_heads(k_ty<A>(dx), s) && even_heads(k_ty<A>(y), s), bwd, ctx, dx, y, rstd, s, e);
}

#define INSTANTIATE(A)                                                                           \
    template status k_qknorm_fwd_cuda<A>(k_ctx *, k_act, k_arr, double, const k_heads *, err *); \
    template status k_qknorm_bwd_cuda<A>(k_ctx *, k_act, k_cact, k_in, const k_heads *, err *);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
