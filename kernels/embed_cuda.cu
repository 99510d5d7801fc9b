/* Embedding lookup (embed.h).
 *
 * fwd: a group of threads per row. Bound: n c (4 + a) bytes per replica, a bytes an activation; ids are noise.
 *
 * bwd adds rows to the table in the rows' order, as the CPU does, without atomics. Blocks share out the ids, not the
 * rows: a block owns the ids equal to its number in their low bits, reads all ids of the step, keeps the rows that
 * carry its own, sorts them by (id, row), and a group of threads then adds one id's rows to the table, a chunk of
 * channels per thread, BATCH loads in flight. Reading all ids in every block costs blocks * n * 4 bytes of L2: with 2
 * blocks a multiprocessor 8 MB for n = 8192, against n c (a + 8) = 63 MB that must move from memory at c = 768 when all
 * ids differ. More blocks would make the scan the larger part, fewer would leave too few loads in flight. The sort in
 * shared memory (bitonic, 15 stages for the 32 rows that are typical) needs no size of the vocabulary: V = 256 and V =
 * 50304 take the same path, and an id that fills a whole step is sorted in rounds of at most ROOM. The sum of its rows
 * is a chain of loads that wait for one another only BATCH at a time; in narrow tables, where a group is a few threads,
 * an id with MANY rows therefore gets the whole block, a thread per channel and 16 rows on their way. The sum of an
 * id's rows has one order whatever the number of blocks, which may therefore depend on R. */
#include "kernels/ops_cuda.h"
#include "kernels/rows.cuh"

enum {
    SCAN = 8,                       /* ids a thread reads at once */
    STEP = K_THREADS * SCAN,        /* ids a block reads at once */
    ROOM = 2 * STEP,                /* rows a block sorts at once */
    BATCH = 8,                      /* rows of dy on their way to a thread */
    MANY = 64,                      /* rows of one id that are worth a whole block */
    BLOCKS_OF_A_MULTIPROCESSOR = 2, /* what registers allow, all but without spilling */
    ROWS_OF_A_BLOCK = 16            /* on average at least: below, blocks only repeat the scan */
};
#define NOBODY 0xffffffffffffffffull /* behind every (id, row) */

template <class A, int W>
static __global__ void embed_fwd(k_t<A> y, k_t<const float> table, k_tokens ids, const float *alpha, unsigned n,
                                 unsigned c, unsigned ld, unsigned blocks)
{
    const k_place at = k_place_of(blocks);
    if (at.i >= n) return;
    const float a = k_factor(alpha, at.r);
    const float *row = table.row(at.r) + (size_t)ids.at(at.r, at.i) * c;
    A *out = y.row(at.r) + (size_t)at.i * ld;
    for (unsigned j = threadIdx.x * W; j < c; j += blockDim.x * W) {
        float x[W];
        k_read(x, row + j, c - j);
#pragma unroll
        for (int k = 0; k < W; k++) x[k] *= a;
        k_write(out + j, x, c - j);
    }
}

__device__ __forceinline__ unsigned id_of(unsigned long long key) { return (unsigned)(key >> 32); }

/* One id's rows, keys[first] up to keys[last - 1], added to W channels of the table; B of them on their way at once. */
template <class A, int W, int B>
__device__ __forceinline__ void add_rows(float *out, const A *dy, const unsigned long long *keys, unsigned first,
                                         unsigned last, float a, unsigned ld)
{
    float sum[W];
    k_read(sum, out, W);
    for (; first < last; first += B) {
        k_chunk<A, W> x[B];
#pragma unroll
        for (int b = 0; b < B; b++)
            if (first + b < last)
                x[b] = *reinterpret_cast<const k_chunk<A, W> *>(dy + (size_t)(unsigned)keys[first + b] * ld);
#pragma unroll
        for (int b = 0; b < B; b++)
            if (first + b < last) {
#pragma unroll
                for (int k = 0; k < W; k++) sum[k] += a * k_get(x[b].v[k]);
            }
    }
    k_write(out, sum, W);
}

/* The same for all channels, by `lanes` threads, this one being `lane`. */
template <class A, int W, int B>
__device__ __forceinline__ void add_id(float *out, const A *dy, const unsigned long long *keys, unsigned first,
                                       unsigned last, float a, unsigned c, unsigned ld, unsigned lane, unsigned lanes)
{
    for (unsigned j = lane * W; j < c; j += lanes * W) {
        if (c - j >= W) {
            add_rows<A, W, B>(out + j, dy + j, keys, first, last, a, ld);
        } else {
            for (unsigned k = j; k < c; k++) add_rows<A, 1, 1>(out + k, dy + k, keys, first, last, a, ld);
        }
    }
}

/* The first of keys[lo..hi] that has (has = true) or has not the id; hi where none before it does. Sorted by then. */
__device__ __forceinline__ unsigned first_that(const unsigned long long *keys, unsigned lo, unsigned hi, unsigned id,
                                               bool has)
{
    while (lo < hi) {
        const unsigned mid = (lo + hi) / 2;
        if ((id_of(keys[mid]) == id) == has) hi = mid;
        else lo = mid + 1;
    }
    return lo;
}

/* Behind the last row of the id that starts at keys[p]. */
__device__ __forceinline__ unsigned end_of(const unsigned long long *keys, unsigned p, unsigned count)
{
    const unsigned id = id_of(keys[p]);
    unsigned step = 1;
    while (p + step < count && id_of(keys[p + step]) == id) step *= 2;
    return first_that(keys, p + step / 2 + 1, p + step < count ? p + step : count, id, false);
}

template <class A, int W>
static __global__ void __launch_bounds__(K_THREADS, BLOCKS_OF_A_MULTIPROCESSOR)
    embed_bwd(k_t<float> dtable, k_t<const A> dy, k_tokens ids, const float *alpha, unsigned n, unsigned c, unsigned ld,
              unsigned blocks)
{
    __shared__ unsigned long long keys[ROOM];
    __shared__ unsigned found[2][K_THREADS / K_WARP];
    const unsigned r = blockIdx.x / blocks, own = blockIdx.x % blocks;
    const unsigned t = threadIdx.y * blockDim.x + threadIdx.x, lane = t % K_WARP, warp = t / K_WARP;
    const int32_t *id = ids.p + r * ids.stride;
    unsigned seq = (ids.first + t * SCAN) / ids.T, pos = (ids.first + t * SCAN) % ids.T; /* of the thread's next id */
    unsigned count = 0, side = 0;
    for (unsigned from = 0; from < n; from += STEP, side ^= 1) {
        unsigned mine[SCAN], hits = 0, s = seq, q = pos;
#pragma unroll
        for (int k = 0; k < SCAN; k++) {
            const bool in = from + t * SCAN + k < n;
            mine[k] = in ? (unsigned)id[(size_t)s * ids.ld + q] : 0;
            if (in && (mine[k] & (blocks - 1)) == own) hits++;
            if (++q == ids.T) q = 0, s++;
        }
        /* Places in the list: the hits of the threads before. */
        unsigned upto = hits;
        for (unsigned o = 1; o < K_WARP; o *= 2) {
            const unsigned before = __shfl_up_sync(K_ALL_LANES, upto, o);
            if (lane >= o) upto += before;
        }
        if (lane == K_WARP - 1) found[side][warp] = upto;
        __syncthreads();
        unsigned place = count + upto - hits;
        for (unsigned w = 0; w < K_THREADS / K_WARP; w++) {
            if (w < warp) place += found[side][w];
            count += found[side][w];
        }
#pragma unroll
        for (int k = 0; k < SCAN; k++) {
            const unsigned i = from + t * SCAN + k;
            if (i < n && (mine[k] & (blocks - 1)) == own) keys[place++] = (unsigned long long)mine[k] << 32 | i;
        }
        pos += STEP % ids.T, seq += STEP / ids.T;
        if (pos >= ids.T) pos -= ids.T, seq++;
        if (count <= ROOM - STEP && n - from > STEP) continue;

        /* The list is full or complete: sort it, add its rows, start anew. */
        unsigned size = 1;
        while (size < count) size *= 2;
        for (unsigned i = count + t; i < size; i += K_THREADS) keys[i] = NOBODY;
        __syncthreads();
        for (unsigned k = 2; k <= size; k *= 2)
            for (unsigned o = k / 2; o; o /= 2) {
                for (unsigned i = t; i < size / 2; i += K_THREADS) {
                    const unsigned lo = 2 * i - (i & (o - 1)), hi = lo + o;
                    const unsigned long long x = keys[lo], y = keys[hi];
                    if ((x > y) == !(lo & k)) keys[lo] = y, keys[hi] = x;
                }
                __syncthreads();
            }
        const float a = k_factor(alpha, r);
        const bool narrow = c <= K_THREADS; /* a thread per channel */
        for (unsigned p = threadIdx.y; p < count; p += blockDim.y) {
            const unsigned at = id_of(keys[p]);
            if (p && id_of(keys[p - 1]) == at) continue;
            const unsigned end = end_of(keys, p, count);
            if (narrow && end - p >= MANY) continue; /* below */
            add_id<A, W, BATCH>(dtable.row(r) + (size_t)at * c, dy.row(r), keys, p, end, a, c, ld, threadIdx.x,
                                blockDim.x);
        }
        /* An id with MANY rows has one at a multiple of MANY: it is met at the first of those. */
        for (unsigned q = 0; narrow && q < count; q += MANY) {
            const unsigned at = id_of(keys[q]);
            if (q && id_of(keys[q - MANY]) == at) continue;
            const unsigned p = first_that(keys, q ? q - MANY + 1 : 0, q, at, true), end = end_of(keys, p, count);
            if (end - p >= MANY)
                add_id<A, 1, 2 * BATCH>(dtable.row(r) + (size_t)at * c, dy.row(r), keys, p, end, a, c, ld, t,
                                        K_THREADS);
        }
        count = 0;
        __syncthreads();
    }
}

template <class A, int W>
static status fwd(k_ctx *ctx, k_act y, k_in table, k_ids ids, k_mult alpha, const k_rows *s, err *e)
{
    const k_groups g = k_groups_of(s->n, k_over(s->c, W), 64);
    return K_LAUNCH(ctx, e, (embed_fwd<A, W>), k_grid(s->R, g.blocks), k_block(g.lanes), 0, k_ty<A>(y), k_ty(table),
                    k_tokens_of(ids), alpha.p, (unsigned)s->n, (unsigned)s->c, (unsigned)s->ld, g.blocks);
}

template <class A>
status k_embed_fwd_cuda(k_ctx *ctx, k_act y, k_in table, k_ids ids, k_mult alpha, const k_rows *s, err *e)
{
    if (!s->R || !s->n) return ST_OK;
    return K_CHUNKED(A, k_even(k_ty<A>(y), s->ld) && k_even(k_ty(table), s->c), fwd, ctx, y, table, ids, alpha, s, e);
}

template <class A, int W>
static status bwd(k_ctx *ctx, k_arr dtable, k_cact dy, k_ids ids, k_mult alpha, const k_rows *s, err *e)
{
    const size_t most = (size_t)k_cuda_of(ctx)->multiprocessors * BLOCKS_OF_A_MULTIPROCESSOR / s->R;
    unsigned blocks = 1;
    while (2 * blocks <= most && 2 * blocks * ROWS_OF_A_BLOCK <= s->n) blocks *= 2;
    const k_groups g = k_groups_of(s->n, k_over(s->c, W), K_THREADS);
    return K_LAUNCH(ctx, e, (embed_bwd<A, W>), k_grid(s->R, blocks), k_block(g.lanes), 0, k_ty(dtable), k_ty<A>(dy),
                    k_tokens_of(ids), alpha.p, (unsigned)s->n, (unsigned)s->c, (unsigned)s->ld, blocks);
}

template <class A>
status k_embed_bwd_cuda(k_ctx *ctx, k_arr dtable, k_cact dy, k_ids ids, k_mult alpha, const k_rows *s, err *e)
{
    if (!s->R || !s->n) return ST_OK;
    return K_CHUNKED(A, k_even(k_ty<A>(dy), s->ld) && k_even(k_ty(dtable), s->c), bwd, ctx, dtable, dy, ids, alpha, s,
                     e);
}

#define INSTANTIATE(A)                                                                               \
    template status k_embed_fwd_cuda<A>(k_ctx *, k_act, k_in, k_ids, k_mult, const k_rows *, err *); \
    template status k_embed_bwd_cuda<A>(k_ctx *, k_arr, k_cact, k_ids, k_mult, const k_rows *, err *);
INSTANTIATE(float)
INSTANTIATE(__nv_bfloat16)
