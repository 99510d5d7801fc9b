/* Activations of the feed-forward block (gelu.h). Forward leaves u as it is and backward computes the slope again: an
 * exponential more, but 2a bytes an element of u less, and the slope is not rounded.
 *
 * A chunk per thread, groups of at most 64 threads a row. Bounds per element of y, a bytes an activation: gelu_fwd 2a
 * (read u, write y), gelu_bwd 3a (read dy and u, write du), swiglu_fwd 3a, swiglu_bwd 5a. At 2a = 4 bytes an
 * H100-class multiprocessor has some 35 issue slots an element before issue is the bound, so the exponential and the
 * division are the chip's own (2 ulp): 9 arithmetic instructions of PTX forward, 15 backward. Outputs may be inputs: a
 * thread writes only what it has read itself. */
#include "kernels/ops_cuda.h"
#include "kernels/rows.cuh"
#include "kernels/tile.cuh"

/* gelu(u) = u/2 (1 + tanh z) = u sigmoid(2z), z = sqrt(2/pi) (u + 0.044715 u^3). */
#define TWO_K 1.5957691216057307f
#define CUBE 0.044715f
#define LOG2_E 1.4426950408889634f

__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + k_exp2(-LOG2_E * x)); }

template <class A, int W>
static __global__ void gelu_fwd(k_t<A> y, k_t<const A> u, unsigned n, unsigned c, unsigned ld, unsigned blocks)
{
    const k_place at = k_place_of(blocks);
    if (at.i >= n) return;
    const size_t row = (size_t)at.i * ld;
    for (unsigned j = threadIdx.x * W; j < c; j += blockDim.x * W) {
        float x[W];
        k_read(x, u.row(at.r) + row + j, c - j);
#pragma unroll
        for (int k = 0; k < W; k++) x[k] *= sigmoid(TWO_K * x[k] * (1.0f + CUBE * x[k] * x[k]));
        k_write(y.row(at.r) + row + j, x, c - j);
    }
}

template <class A, int W>
static __global__ void gelu_bwd(k_t<A> du, k_t<const A> dy, k_t<const A> u, unsigned n, unsigned c, unsigned ld,
                                unsigned blocks)
{
    const k_place at = k_place_of(blocks);
    if (at.i >= n) return;
    const size_t row = (size_t)at.i * ld;
    for (unsigned j = threadIdx.x * W; j < c; j += blockDim.x * W) {
        float d[W], x[W];
        k_read(d, dy.row(at.r) + row + j, c - j);
        k_read(x, u.row(at.r) + row + j, c - j);
#pragma unroll
        for (int k = 0; k < W; k++) {
            const float square = x[k] * x[k], sig = sigmoid(TWO_K * x[k] * (1.0f + CUBE * square));
            d[k] *= sig + x[k] * sig * (1.0f - sig) * TWO_K * (1.0f + 3.0f * CUBE * square);
        }
        k_write(du.row(at.r) + row + j, d, c - j);
    }
}

template <class A, int W>
static __global__ void swiglu_fwd(k_t<A> y, k_t<const A> u, unsigned n, unsigned c, unsigned ld, unsigned blocks)
{
    const k_place at = k_place_of(blocks);
    if (at.i >= n) return;
    const A *up = u.row(at.r) + (size_t)at.i * 2 * ld, *gate = up + c;
    for (unsigned j = threadIdx.x * W; j < c; j += blockDim.x * W) {
        float a[W], g[W];
        k_read(a, up + j, c - j);
        k_read(g, gate + j, c - j);
#pragma unroll
        for (int k = 0; k < W; k++) a[k] *= g[k] * sigmoid(g[k]);
        k_write(y.row(at.r) + (size_t)at.i * ld + j, a, c - j);
    }
}

template <class A, int W>
static __global__ void swiglu_bwd(k_t<A> du, k_t<const A> dy, k_t<const A> u, unsigned n, unsigned c, unsigned ld,
                                  unsigned blocks)
{
    const k_place at = k_place_of(blocks);
    if (at.i >= n) return;
    const size_t row = (size_t)at.i * ld;
    for (unsigned j = threadIdx.x * W; j < c; j += blockDim.x * W) {
        float d[W], up[W], gate[W];
        k_read(d, dy.row(at.r) + row + j, c - j);
        k_read(up, u.row(at.r) + 2 * row + j, c - j);
        k_read(gate, u.row(at.r) + 2 * row + c + j, c - j);
#pragma unroll
        for (int k = 0; k < W; k++) {
            const float was = gate[k], sig = sigmoid(was);
            gate[k] = d[k] * up[k] * sig * (1.0f + was * (1.0f - sig));
            up[k] = d[k] * was * sig;
        }
        k_write(du.row(at.r) + 2 * row + j, up, c - j);
        k_write(du.row(at.r) + 2 * row + c + j, gate, c - j);
    }
}

template <class A, int W> static status g_fwd(k_ctx *ctx, k_act y, k_cact u, const k_rows *s, err *e)
{
    const k_groups g = k_groups_of(s->n, k_over(s->c, W), 64);
    return K_LAUNCH(ctx, e, (gelu_fwd<A, W>), k_grid(s->R, g.blocks), k_block(g.lanes), 0, k_ty<A>(y), k_ty<A>(u),
                    (unsigned)s->n, (unsigned)s->c, (unsigned)s->ld, g.blocks);
}

template <class A> status k_gelu_fwd_cuda(k_ctx *ctx, k_act y, k_act u, const k_rows *s, err *e)
{
    if (!s->R || !s->n) return ST_OK;
    return K_CHUNKED(A, k_even(k_ty<A>(y), s->ld) && k_even(k_ty<A>(u), s->ld), g_fwd, ctx, y, k_cact_of(u), s, e);
}

template <class A, int W> static status g_bwd(k_ctx *ctx, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *e)
{
    const k_groups g = k_groups_of(s->n, k_over(s->c, W), 64);
    return K_LAUNCH(ctx, e, (gelu_bwd<A, W>), k_grid(s->R, g.blocks), k_block(g.lanes), 0, k_ty<A>(du), k_ty<A>(dy),
                    k_ty<A>(coef), (unsigned)s->n, (unsigned)s->c, (unsigned)s->ld, g.blocks);
}

template <class A> status k_gelu_bwd_cuda(k_ctx *ctx, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *e)
{
    if (!s->R || !s->n) return ST_OK;
    const bool even = k_even(k_ty<A>(du), s->ld) && k_even(k_ty<A>(dy), s->ld) && k_even(k_ty<A>(coef), s->ld);
    return K_CHUNKED(A, even, g_bwd, ctx, du, dy, coef, s, e);
}

template <class A, int W> static status s_fwd(k_ctx *ctx, k_act y, k_cact u, const k_rows *s, err *e)
{
    const k_groups g = k_groups_of(s->n, k_over(s->c, W), 64);
    return K_LAUNCH(ctx, e, (swiglu_fwd<A, W>), k_grid(s->R, g.blocks), k_block(g.lanes), 0, k_ty<A>(y), k_ty<A>(u),
                    (unsigned)s->n, (unsigned)s->c, (unsigned)s->ld, g.blocks);
}

template <class A> status k_swiglu_fwd_cuda(k_ctx *ctx, k_act y, k_act u, const k_rows *s, err *e)
{
    if (!s->R || !s->n) return ST_OK; /* the gate starts c elements into a row */
    const bool even = k_even(k_ty<A>(y), s->ld) && k_even(k_ty<A>(u), 2 * s->ld) && k_even(k_ty<A>(u), s->c);
    return K_CHUNKED(A, even, s_fwd, ctx, y, k_cact_of(u), s, e);
}

template <class A, int W> static status s_bwd(k_ctx *ctx, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *e)
{
    const k_groups g = k_groups_of(s->n, k_over(s->c, W), 64);
    return K_LAUNCH(ctx, e, (swiglu_bwd<A, W>), k_grid(s->R, g.blocks), k_block(g.lanes), 0, k_ty<A>(du), k_ty<A>(dy),
                    k_ty<A>(coef), (unsigned)s->n, (unsigned)s->c, (unsigned)s->ld, g.blocks);
}

template <class A> status k_swiglu_bwd_cuda(k_ctx *ctx, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *e)
{
    if (!s->R || !s->n) return ST_OK;
    const bool even = k_even(k_ty<A>(du), 2 * s->ld) && k_even(k_ty<A>(dy), s->ld) &&
                      k_even(k_ty<A>(coef), 2 * s->ld) && k_even(k_ty<A>(coef), s->c);
    return K_CHUNKED(A, even, s_bwd, ctx, du, dy, coef, s, e);
}

#define INSTANTIATE(A)                                                                         \
    template status k_gelu_fwd_cuda<A>(k_ctx *, k_act, k_act, const k_rows *, err *);          \
    template status k_gelu_bwd_cuda<A>(k_ctx *, k_act, k_cact, k_cact, const k_rows *, err *); \
    template status k_swiglu_fwd_cuda<A>(k_ctx *, k_act, k_act, const k_rows *, err *);        \
    template status k_swiglu_bwd_cuda<A>(k_ctx *, k_act, k_cact, k_cact, const k_rows *, err *);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
