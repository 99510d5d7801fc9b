/* Which block of which head a thread block works on; private to attention_cuda.cu and its kernels.
 *
 * A grid is one-dimensional: `per_head` blocks for each of `heads` heads (R * B * those of a sequence). Blocks start in
 * the order of their number. Work per block grows with its place in the sequence (forward, dq: queries see more keys)
 * or shrinks (dk, dv: keys are seen by fewer queries), so the long ones come first: the tail of the grid is short. But
 * only within a section of heads whose operands together fit in the L2 cache: the blocks of a head share its keys and
 * values, and should do so while they are there. */
#ifndef KERNELS_ATTENTION_GEOMETRY_CUH
#define KERNELS_ATTENTION_GEOMETRY_CUH
#include "kernels/act.cuh"

struct attn_geometry {
    int B, T, head_dim, n_head, group;    /* group: query heads per key-value head */
    unsigned ld, ldo;
    int heads_each, per_head;             /* of the kernel: heads of a sequence, blocks of a head */
    unsigned heads, section;              /* R * B * heads_each; heads of a section */
    bool long_last;                       /* the last block of a head has the most work */
    bool vec;                             /* rows are 16-byte aligned: 16 bytes at a time */
    bool halves;                          /* so are their second halves and the rotary table: 8 pairs at a time */
};

struct attn_place { size_t r, row; int h, block; }; /* row: of the sequence's position 0 in a replica's rows */

__device__ __forceinline__ attn_place attn_place_at(const attn_geometry &g, unsigned head, int heads_each, int block)
{
    attn_place w;
    w.h = (int)(head % (unsigned)heads_each);
    const unsigned sequence = head / (unsigned)heads_each;
    w.r = sequence / (unsigned)g.B;
    w.row = (size_t)(sequence % (unsigned)g.B) * (size_t)g.T;
    w.block = block;
    return w;
}

__device__ __forceinline__ attn_place attn_place_of(const attn_geometry &g, unsigned index)
{
    const unsigned per = g.section * (unsigned)g.per_head, first = index / per * g.section, rest = index % per;
    const unsigned here = min(g.section, g.heads - first);
    const int block = (int)(rest / here);
    return attn_place_at(g, first + rest % here, g.heads_each, g.long_last ? g.per_head - 1 - block : block);
}

/* The rotary table from position t on; NULL where heads are not turned. */
__device__ __forceinline__ const float *attn_turn(const k_t<const float> &table, size_t r, int t,
                                                  const attn_geometry &g)
{
    return table.p ? table.row(r) + (size_t)(unsigned)t * (unsigned)g.head_dim : nullptr;
}

template <class A> struct attn_fwd_args {
    k_t<A> o;
    k_t<float> lse;
    k_t<const A> q, k, v;
    k_t<const float> table;
    const float *scale;
    attn_geometry g;
};
template <class A> struct attn_bwd_args {
    k_t<A> dq, dk, dv;
    k_t<const A> dout, q, k, v, o;
    k_t<const float> lse, table;
    float *delta; /* [R][B][n_head][T] */
    const float *scale;
    attn_geometry g;
};
#endif
