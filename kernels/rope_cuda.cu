/* Rotary positions, in place (rope.h).
 *
 * A thread turns W pairs: a chunk of a head's first half with the chunk of its second half that it is paired with.
 * Bound: 2a bytes per element of q and k; the table (4 bytes per channel of a position) is shared by all heads, rows
 * and replicas and stays in the caches. k_rope_table is the CPU's: the table is uploaded once. */
#include "kernels/ops_cuda.h"
#include "kernels/rows.cuh"
#include "kernels/turn.cuh"

template <class A, int W>
static __global__ void rotate(k_t<A> x, k_t<const float> table, float sign, unsigned n, unsigned T, unsigned heads,
                              unsigned head_dim, unsigned ld, unsigned blocks)
{
    const k_place at = k_place_of(blocks);
    if (at.i >= n) return;
    const unsigned half = head_dim / 2, chunks = half / W; /* whole: the launcher saw to it */
    const float *cs = table.row(at.r) + (size_t)(at.i % T) * head_dim, *sn = cs + half;
    for (unsigned p = threadIdx.x; p < heads * chunks; p += blockDim.x) {
        const unsigned head = p / chunks, j = (p - head * chunks) * W;
        A *v = x.row(at.r) + (size_t)at.i * ld + (size_t)head * head_dim + j;
        float a[W], b[W], c[W], z[W];
        k_read(a, v, W);
        k_read(b, v + half, W);
        k_read(c, cs + j, W);
        k_read(z, sn + j, W);
#pragma unroll
        for (int k = 0; k < W; k++) k_turn(a[k], b[k], c[k], sign * z[k]);
        k_write(v, a, W);
        k_write(v + half, b, W);
    }
}

template <class A, int W> static status turn(k_ctx *ctx, k_act x, k_in table, float sign, const k_heads *s, err *e)
{
    const size_t n = s->B * s->T;
    const k_groups g = k_groups_of(n, s->heads * (s->head_dim / 2 / W), 64);
    return K_LAUNCH(ctx, e, (rotate<A, W>), k_grid(s->R, g.blocks), k_block(g.lanes), 0, k_ty<A>(x), k_ty(table), sign,
                    (unsigned)n, (unsigned)s->T, (unsigned)s->heads, (unsigned)s->head_dim, (unsigned)s->ld, g.blocks);
}

template <class A> static status rotate_rows(k_ctx *ctx, k_act x, k_in table, float sign, const k_heads *s, err *e)
{
    if (!s->R || !s->B || !s->T || !s->heads || s->head_dim < 2) return ST_OK;
    const size_t half = s->head_dim / 2, W = k_wide<A>::W;
    const bool even = s->head_dim % 2 == 0 && half % W == 0 && k_even(k_ty<A>(x), s->ld) && k_even(k_ty(table), half);
    return K_CHUNKED(A, even, turn, ctx, x, table, sign, s, e);
}

template <class A> status k_rope_fwd_cuda(k_ctx *ctx, k_act x, k_in table, const k_heads *s, err *e)
{
    return rotate_rows<A>(ctx, x, table, 1, s, e);
}

template <class A> status k_rope_bwd_cuda(k_ctx *ctx, k_act dx, k_in table, const k_heads *s, err *e)
{
    return rotate_rows<A>(ctx, dx, table, -1, s, e);
}

#define INSTANTIATE(A)                                                                \
    template status k_rope_fwd_cuda<A>(k_ctx *, k_act, k_in, const k_heads *, err *); \
    template status k_rope_bwd_cuda<A>(k_ctx *, k_act, k_in, const k_heads *, err *);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
