/* How the pointwise kernels cut rows, and how they read and write them.
 *
 * A row is cut into chunks of W elements, W being what 16 bytes hold, or 1 where an address, a row stride or a replica
 * stride is not a multiple of 16 bytes (k_even); a chunk that the row's end cuts is read element by element, so that
 * any width works. A group of `lanes` threads (a power of two) shares a row and takes every lanes-th chunk; a block
 * holds K_THREADS / lanes groups, side by side in threadIdx.y. A group of at most 32 lies inside a warp and adds by
 * shuffles, in an order that depends on W and lanes, hence on the shape alone.
 *
 * All replicas are one launch: block b is block b % blocks of replica b / blocks. (Not grid.y, which ends at 65535;
 * every block moves a kilobyte or more, so that 2^31 blocks do not fit a device's memory.) */
#ifndef KERNELS_ROWS_CUH
#define KERNELS_ROWS_CUH
#include <string.h>

#include "kernels/act.cuh"
#include "kernels/launch.cuh"

enum { K_THREADS = 256, K_WARP = 32 };
#define K_ALL_LANES 0xffffffffu

/* Chunks. x[] beyond the row's end is `fill` after reading and is not written. left > 0: elements of the row from p on.
 */
template <class A> struct k_wide {
    enum { W = 16 / sizeof(A) };
};
template <class A, int W> struct alignas(sizeof(A) * W < 16 ? sizeof(A) * W : 16) k_chunk {
    A v[W];
};

template <int W, class A>
__device__ __forceinline__ void k_read(float (&x)[W], const A *p, size_t left, float fill = 0.0f)
{
    if (left >= W) {
        const k_chunk<A, W> t = *reinterpret_cast<const k_chunk<A, W> *>(p);
#pragma unroll
        for (int k = 0; k < W; k++) x[k] = k_get(t.v[k]);
    } else {
#pragma unroll
        for (int k = 0; k < W; k++) x[k] = (size_t)k < left ? k_get(p[k]) : fill;
    }
}

/* In as few stores as there can be. The compiler merges plain ones only where nothing stands between them. */
template <class A, int W> __device__ __forceinline__ void k_store(A *p, const k_chunk<A, W> &t)
{
    constexpr size_t bytes = sizeof t;
    if constexpr (bytes % 16 == 0) {
        uint4 raw[bytes / 16];
        memcpy(raw, &t, bytes);
#pragma unroll
        for (size_t k = 0; k < bytes / 16; k++) __stwb(reinterpret_cast<uint4 *>(p) + k, raw[k]);
    } else if constexpr (bytes == 8) {
        uint2 raw;
        memcpy(&raw, &t, bytes);
        __stwb(reinterpret_cast<uint2 *>(p), raw);
    } else {
        *reinterpret_cast<k_chunk<A, W> *>(p) = t;
    }
}

template <int W, class A> __device__ __forceinline__ void k_write(A *p, const float (&x)[W], size_t left)
{
    if (left >= W) {
        k_chunk<A, W> t;
#pragma unroll
        for (int k = 0; k < W; k++) t.v[k] = k_put<A>(x[k]);
        k_store(p, t);
    } else {
#pragma unroll
        for (int k = 0; k < W; k++)
            if ((size_t)k < left) p[k] = k_put<A>(x[k]);
    }
}

/* Whether chunks of 16 bytes start on 16 bytes in every row of every replica. */
template <class A> static inline bool k_even(k_t<A> a, size_t ld)
{
    return ((size_t)(const void *)a.p | a.stride * sizeof(A) | ld * sizeof(A)) % 16 == 0;
}
/* f<A, W>(...) with the W that `even` allows. */
#define K_CHUNKED(A, even, f, ...) ((even) ? f<A, k_wide<A>::W>(__VA_ARGS__) : f<A, 1>(__VA_ARGS__))

/* The sum over a group's lanes, in every lane. All lanes of the warp call it. */
template <class T> __device__ __forceinline__ T k_group_sum(T v, unsigned lanes)
{
    for (unsigned o = lanes / 2; o; o /= 2) v += __shfl_xor_sync(K_ALL_LANES, v, o);
    return v;
}

/* n rows of `chunks` chunks, by groups of at most `most` lanes. */
typedef struct k_groups {
    unsigned lanes, blocks;
} k_groups;
static inline unsigned k_over(size_t n, size_t by) { return (unsigned)((n + by - 1) / by); }
static inline k_groups k_groups_of(size_t n, size_t chunks, unsigned most)
{
    unsigned lanes = 1;
    while (lanes < most && lanes < chunks) lanes *= 2;
    /* Half the lanes where that wastes fewer of them: 96 chunks are three rounds of 32, not two of 64. */
    while (lanes > K_WARP && (size_t)k_over(chunks, lanes) * lanes > (size_t)k_over(chunks, lanes / 2) * (lanes / 2))
        lanes /= 2;
    k_groups g = {lanes, k_over(n, K_THREADS / lanes)};
    return g;
}
static inline dim3 k_grid(size_t R, unsigned blocks) { return dim3((unsigned)(R * blocks)); }
static inline dim3 k_block(unsigned lanes) { return dim3(lanes, K_THREADS / lanes); }

struct k_place {
    unsigned r, i;
};
__device__ __forceinline__ k_place k_place_of(unsigned blocks) /* this group's replica and row */
{
    return {blockIdx.x / blocks, blockIdx.x % blocks * blockDim.y + threadIdx.y};
}

/* k_ids with the short divisions of 32 bits: a step has fewer than 2^32 tokens. */
struct k_tokens {
    const int32_t *p;
    size_t stride;
    unsigned ld, T, first;
    __device__ __forceinline__ unsigned at(unsigned r, unsigned i) const
    {
        const unsigned s = (first + i) / T, t = (first + i) - s * T;
        return (unsigned)p[r * stride + (size_t)s * ld + t];
    }
};
static inline k_tokens k_tokens_of(const k_ids &x)
{
    k_tokens t = {x.p, x.stride, (unsigned)x.ld, (unsigned)x.T, (unsigned)x.first};
    return t;
}
#endif
