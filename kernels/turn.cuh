/* Rotary positions inside a kernel (rope.h has the formula): for rope_cuda.cu, and for attention, which turns heads as
 * it loads them. A pair's bits are the same wherever it is turned: product and sum are joined here, not by the
 * compiler. */
#ifndef KERNELS_TURN_CUH
#define KERNELS_TURN_CUH
#include "kernels/act.cuh"
#include "kernels/tile.cuh"

/* (a, b) by the angle of cosine c and sine s. */
__device__ __forceinline__ void k_turn(float &a, float &b, float c, float s)
{
    const float was = a;
    a = fmaf(was, c, -(b * s));
    b = fmaf(was, s, b * c);
}

/* Column c of a head's row x, turned (BACK: back). row: of the table, for the head's position; NULL: as it is. */
template <bool BACK, class A>
__device__ __forceinline__ float k_turned(const A *x, int c, const float *row, int head_dim)
{
    const int half = head_dim / 2, j = c < half ? c : c - half;
    if (!row || c >= 2 * half) return k_get(x[c]);
    float a = k_get(x[j]), b = k_get(x[j + half]);
    k_turn(a, b, row[j], BACK ? -row[half + j] : row[half + j]);
    return c < half ? a : b;
}

/* Eight columns a of a head's first half and those of the second that they are paired with, 16-byte aligned, as are
 * their cosines and sines. */
template <bool BACK>
__device__ __forceinline__ void k_turn8(uint4 &a, uint4 &b, const float *cosines, const float *sines)
{
    uint32_t x[4] = {a.x, a.y, a.z, a.w}, y[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 c = *(const float2 *)(const void *)(cosines + 2 * i);
        const float2 z = *(const float2 *)(const void *)(sines + 2 * i);
        float low[2] = {__uint_as_float(x[i] << 16), __uint_as_float(y[i] << 16)};
        float high[2] = {__uint_as_float(x[i] & 0xffff0000u), __uint_as_float(y[i] & 0xffff0000u)};
        k_turn(low[0], low[1], c.x, BACK ? -z.x : z.x);
        k_turn(high[0], high[1], c.y, BACK ? -z.y : z.y);
        x[i] = k_pack(low[0], high[0]);
        y[i] = k_pack(low[1], high[1]);
    }
    a = make_uint4(x[0], x[1], x[2], x[3]);
    b = make_uint4(y[0], y[1], y[2], y[3]);
}
#endif
