/* Attention of bf16 operands on the tensor cores: kernels of attention_cuda.cu, which has the reasons and the bounds.
 *
 * Four warps. A warp owns 16 or 32 rows (MT products of 16) of the block's tile: queries forward and for dq, keys for
 * dk and dv, and all columns of the scores of those rows, so that a row's softmax never leaves the four lanes that
 * hold it, and the scores, rounded to bf16, are in place as the left operand of the second product (tile.cuh). Tiles
 * in shared memory are [rows][HD + 8]: 16 bytes beyond HD turn the eight rows that ldmatrix reads at once over all 32
 * banks. HD is head_dim rounded up to a case; columns beyond head_dim and rows beyond T are zeros. */
#ifndef KERNELS_ATTENTION_BF16_CUH
#define KERNELS_ATTENTION_BF16_CUH
#include "kernels/attention_geometry.cuh"
#include "kernels/launch.cuh"
#include "kernels/tile.cuh"
#include "kernels/turn.cuh"

typedef __nv_bfloat16 bf16;
constexpr int ATTN_THREADS = 128, ATTN_WARPS = 4;
constexpr float ATTN_LOG2E = 1.4426950408889634f;

/* ---- tiles ---------------------------------------------------------------------------------------- */
/* f(row, first column) for the 16-byte pieces of a tile that are this one of `threads` threads': a row's neighbours are
 * neighbours, and how many there are is known when it is compiled. */
template <int HD, int ROWS, int THREADS, class F> __device__ __forceinline__ void tile_each(int thread, F f)
{
    constexpr int CHUNKS = HD / 8, WIDE = CHUNKS & (CHUNKS - 1) ? 4 : CHUNKS, HIGH = THREADS / WIDE;
    static_assert(CHUNKS % WIDE == 0 && ROWS % HIGH == 0, "a tile in whole passes");
#pragma unroll
    for (int row = 0; row < ROWS; row += HIGH)
#pragma unroll
        for (int c = 0; c < CHUNKS; c += WIDE) f(row + thread / WIDE, (c + thread % WIDE) * 8);
}

/* f(row, c) for the pieces of a head's first half, `half` columns before those they are paired with, that are this one
 * of `threads` threads'; and for c >= half, where HD is beyond head_dim. */
template <int HD, int ROWS, int THREADS, int UNROLL, class F>
__device__ __forceinline__ void tile_pairs(int thread, F f)
{
    constexpr int PAIRS = HD / 16, ALL = ROWS * PAIRS;
#pragma unroll UNROLL
    for (int i = 0; i < ALL; i += THREADS)
        if (ALL % THREADS == 0 || i + thread < ALL) f((i + thread) / PAIRS, (i + thread) % PAIRS * 8);
}

/* Rows [0, rows) of a head, turned where there is a table of turns (its row of the tile's first; NULL: as they are).
 * With vec it is only begun: commit, wait, tile_turn and a barrier finish it. */
template <int HD, int ROWS>
__device__ __forceinline__ void tile_load(bf16 *tile, const bf16 *x, unsigned ld, int rows, const float *turn,
                                          const attn_geometry &g)
{
    const int end = g.head_dim, half = end / 2;
    if (turn && g.halves) { /* a thread copies what it will turn */
        tile_pairs<HD, ROWS, ATTN_THREADS, 2>((int)threadIdx.x, [=](int row, int c) {
            const bool in = row < rows && c < half;
            const int to = c < half ? c : end, step = c < half ? half : 8; /* HD is end, or end + 16: zeros */
            const bf16 *from = x + (in ? (size_t)(unsigned)row * ld + (unsigned)c : 0);
            k_copy16(tile + row * (HD + 8) + to, from, in);
            k_copy16(tile + row * (HD + 8) + to + step, from + (in ? half : 0), in);
        });
    } else if (!turn && g.vec) {
        tile_each<HD, ROWS, ATTN_THREADS>((int)threadIdx.x, [=](int row, int c) {
            const bool in = row < rows && c < end;
            k_copy16(tile + row * (HD + 8) + c, x + (in ? (size_t)(unsigned)row * ld + (unsigned)c : 0), in);
        });
    } else {
        for (int i = (int)threadIdx.x; i < ROWS * HD; i += ATTN_THREADS) {
            const int row = i / HD, c = i % HD;
            const bool in = row < rows && c < end;
            const float *const at = turn ? turn + (size_t)(unsigned)row * (unsigned)end : nullptr;
            tile[row * (HD + 8) + c] =
                k_put<bf16>(in ? k_turned<false>(x + (size_t)(unsigned)row * ld, c, at, end) : 0.0f);
        }
    }
}

/* Turns what this thread's copies have brought. */
template <int HD, int ROWS>
__device__ __forceinline__ void tile_turn(bf16 *tile, int rows, const float *turn, const attn_geometry &g)
{
    const int end = g.head_dim, half = end / 2;
    if (!turn || !g.halves) return;
    tile_pairs<HD, ROWS, ATTN_THREADS, 1>((int)threadIdx.x, [=](int row, int c) {
        if (row >= rows || c >= half) return;
        uint4 *const a = (uint4 *)(void *)(tile + row * (HD + 8) + c), *const b = a + half / 8;
        const float *const at = turn + (size_t)(unsigned)row * (unsigned)end + c;
        k_turn8<false>(*a, *b, at, at + half);
    });
}

/* A tile times -1. */
template <int HD, int ROWS> __device__ __forceinline__ void tile_negate(bf16 *tile)
{
    tile_each<HD, ROWS, ATTN_THREADS>((int)threadIdx.x, [=](int row, int c) {
        uint4 *x = (uint4 *)(void *)(tile + row * (HD + 8) + c);
        const uint4 y = *x;
        *x = make_uint4(y.x ^ 0x80008000u, y.y ^ 0x80008000u, y.z ^ 0x80008000u, y.w ^ 0x80008000u);
    });
}

/* A warp's products times `by` (per row: by[MT][2]) to rows [0, rows) of a head, by way of its own rows of a tile that
 * no other warp reads any more; turned back where there is a table of turns, after they are rounded: the bits of a
 * rotation on its own. */
template <int MT, int HD>
__device__ __forceinline__ void tile_store(bf16 *out, unsigned ld, int rows, bf16 *tile,
                                           const float (&acc)[MT][HD / 8][4], const float (&by)[MT][2],
                                           const float *turn, const attn_geometry &g)
{
    constexpr int LD = HD + 8;
    const int lane = (int)threadIdx.x % 32;
    __syncwarp();
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < HD / 8; n++) {
            bf16 *to = tile + (m * 16 + lane / 4) * LD + n * 8 + lane % 4 * 2;
            *(uint32_t *)(void *)to = k_pack(acc[m][n][0] * by[m][0], acc[m][n][1] * by[m][0]);
            *(uint32_t *)(void *)(to + 8 * LD) = k_pack(acc[m][n][2] * by[m][1], acc[m][n][3] * by[m][1]);
        }
    __syncwarp();
    const int end = g.head_dim, half = end / 2;
    if (turn && g.halves) {
        tile_pairs<HD, MT * 16, 32, 1>(lane, [=](int row, int c) {
            if (row >= rows || c >= half) return;
            const bf16 *const from = tile + row * LD + c;
            const float *const at = turn + (size_t)(unsigned)row * (unsigned)end + c;
            bf16 *const to = out + (size_t)(unsigned)row * ld + (unsigned)c;
            uint4 x = *(const uint4 *)(const void *)from, y = *(const uint4 *)(const void *)(from + half);
            k_turn8<true>(x, y, at, at + half);
            *(uint4 *)(void *)to = x;
            *(uint4 *)(void *)(to + half) = y;
        });
    } else if (!turn && g.vec) {
        tile_each<HD, MT * 16, 32>(lane, [=](int row, int c) {
            if (row < rows && c < end)
                *(uint4 *)(void *)(out + (size_t)(unsigned)row * ld + (unsigned)c) =
                    *(const uint4 *)(const void *)(tile + row * LD + c);
        });
    } else {
        for (int i = lane; i < MT * 16 * HD; i += 32) {
            const int row = i / HD, c = i % HD;
            if (row >= rows || c >= end) continue;
            const float *const at = turn ? turn + (size_t)(unsigned)row * (unsigned)end : nullptr;
            out[(size_t)(unsigned)row * ld + (unsigned)c] = k_put<bf16>(k_turned<true>(tile + row * LD, c, at, end));
        }
    }
}

/* ---- products ------------------------------------------------------------------------------------- */
/* A warp's rows of a tile as left operand: kept in registers, or read again for each product. */
template <int MT, int HD, bool KEEP> struct left;
template <int MT, int HD> struct left<MT, HD, true> {
    uint32_t kept[HD / 16][MT][4];
    __device__ __forceinline__ void set(const bf16 *rows)
    {
#pragma unroll
        for (int k = 0; k < HD / 16; k++)
#pragma unroll
            for (int m = 0; m < MT; m++)
                k_ldmatrix4(kept[k][m], rows + m * 16 * (HD + 8) + k * 16 + k_at_a((int)threadIdx.x % 32, HD + 8));
    }
    __device__ __forceinline__ void get(uint32_t (&a)[MT][4], int k) const
    {
#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) a[m][i] = kept[k][m][i];
    }
};
template <int MT, int HD> struct left<MT, HD, false> {
    const bf16 *at;
    __device__ __forceinline__ void set(const bf16 *rows) { at = rows + k_at_a((int)threadIdx.x % 32, HD + 8); }
    __device__ __forceinline__ void get(uint32_t (&a)[MT][4], int k) const
    {
#pragma unroll
        for (int m = 0; m < MT; m++) k_ldmatrix4(a[m], at + m * 16 * (HD + 8) + k * 16);
    }
};

/* s (rows of the warp, 8 NT) = a . b^T, summed over HD; b: tile of 8 NT rows. */
template <int MT, int NT, int HD, bool KEEP>
__device__ __forceinline__ void scores(float (&s)[MT][NT][4], const left<MT, HD, KEEP> &a, const bf16 *b)
{
    const bf16 *at = b + k_at_bt((int)threadIdx.x % 32, HD + 8);
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < NT; n++) s[m][n][0] = s[m][n][1] = s[m][n][2] = s[m][n][3] = 0.0f;
#pragma unroll
    for (int k = 0; k < HD / 16; k++) {
        uint32_t fa[MT][4];
        a.get(fa, k);
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            uint32_t fb[4];
            k_ldmatrix4(fb, at + n * 8 * (HD + 8) + k * 16);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                k_mma(s[m][n], fa[m], fb);
                k_mma(s[m][n + 1], fa[m], fb + 2);
            }
        }
    }
}

/* acc (rows of the warp, HD = 8 OT) += w (rows of the warp, 16 KT) . b; b: tile of 16 KT rows. */
template <int MT, int KT, int OT>
__device__ __forceinline__ void weigh(float (&acc)[MT][OT][4], const uint32_t (&w)[MT][KT][4], const bf16 *b)
{
    constexpr int LD = OT * 8 + 8;
    const bf16 *at = b + k_at_b((int)threadIdx.x % 32, LD);
#pragma unroll
    for (int k = 0; k < KT; k++)
#pragma unroll
        for (int n = 0; n < OT; n += 2) {
            uint32_t fb[4];
            k_ldmatrix4_t(fb, at + k * 16 * LD + n * 8);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                k_mma(acc[m][n], w[m][k], fb);
                k_mma(acc[m][n + 1], w[m][k], fb + 2);
            }
        }
}

/* Scores as the left operand of `weigh`. */
template <int MT, int NT>
__device__ __forceinline__ void as_left(uint32_t (&w)[MT][NT / 2][4], const float (&s)[MT][NT][4])
{
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < NT; n++) {
            w[m][n / 2][n % 2 * 2] = k_pack(s[m][n][0], s[m][n][1]);
            w[m][n / 2][n % 2 * 2 + 1] = k_pack(s[m][n][2], s[m][n][3]);
        }
}

/* Over the four lanes that hold a row. */
__device__ __forceinline__ float row_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ float row_sum(float x)
{
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/* ---- forward -------------------------------------------------------------------------------------- */
template <int HD, int MT, int BN> constexpr size_t attn_fwd_shared()
{
    return (size_t)(ATTN_WARPS * 16 * MT + 2 * BN) * (HD + 8) * sizeof(bf16);
}

/* Scores beyond the diagonal of a warp's rows, from query q0 on, over keys from k0 on. */
template <int MT, int NT> __device__ __forceinline__ void mask_keys(float (&s)[MT][NT][4], int q0, int k0, float with)
{
    const int lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (k0 + n * 8 + lane % 4 * 2 + i % 2 > q0 + m * 16 + lane / 4 + i / 2 * 8) s[m][n][i] = with;
}

/* The largest score and the sum of weights of rows lane / 4 and lane / 4 + 8; the sum: of this lane's columns only. */
template <int MT> struct softmax_state { float max[MT][2], sum[MT][2]; };

/* s becomes the weights exp(c (s - max)); o and the sums are turned to the new maximum. A row whose scores are all -inf
 * so far has weights of 0, not NaN: a later key may still be finite. */
template <int MT, int NT, int OT>
__device__ __forceinline__ void softmax_step(float (&s)[MT][NT][4], float (&o)[MT][OT][4], softmax_state<MT> &x,
                                             float c)
{
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float max = x.max[m][half];
#pragma unroll
            for (int n = 0; n < NT; n++) max = fmaxf(max, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
            max = row_max(max);
            const float at = max == -INFINITY ? 0.0f : max * c, turn = k_exp2(x.max[m][half] * c - at);
            x.max[m][half] = max;
            float sum = x.sum[m][half] * turn;
#pragma unroll
            for (int n = 0; n < NT; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) sum += s[m][n][i] = k_exp2(fmaf(s[m][n][i], c, -at));
            x.sum[m][half] = sum;
#pragma unroll
            for (int n = 0; n < OT; n++) {
                o[m][n][2 * half] *= turn;
                o[m][n][2 * half + 1] *= turn;
            }
        }
}

template <int HD, int MT, int BN> __global__ void __launch_bounds__(ATTN_THREADS) attn_fwd_bf16(attn_fwd_args<bf16> a)
{
    constexpr int BM = ATTN_WARPS * 16 * MT, LD = HD + 8;
    K_SHARED(bf16, shared);
    bf16 *const tq = shared, *const tk = tq + BM * LD, *const tv = tk + BN * LD;
    const attn_geometry &g = a.g;
    const attn_place w = attn_place_of(g, blockIdx.x);
    const int q0 = w.block * BM, warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int first = q0 + warp * 16 * MT, last = first + 16 * MT - 1; /* this warp's queries */
    const bf16 *const q = a.q.row(w.r) + (w.row + (size_t)q0) * g.ld + (size_t)w.h * (size_t)g.head_dim;
    const bf16 *const k = a.k.row(w.r) + w.row * g.ld + (size_t)(w.h / g.group) * (size_t)g.head_dim;
    const bf16 *const v = a.v.row(w.r) + w.row * g.ld + (size_t)(w.h / g.group) * (size_t)g.head_dim;
    const float scale = k_factor(a.scale, w.r);
    const float c = scale == 0.0f ? 1e-30f : fabsf(scale) * ATTN_LOG2E; /* > 0: c * -inf is -inf */
    const int blocks = (min(q0 + BM, g.T) + BN - 1) / BN;

    const float *const turn = attn_turn(a.table, w.r, 0, g), *const turn_q = attn_turn(a.table, w.r, q0, g);
    tile_load<HD, BM>(tq, q, g.ld, g.T - q0, turn_q, g);
    k_copy_commit();
    tile_load<HD, BN>(tk, k, g.ld, g.T, turn, g);
    k_copy_commit();
    k_copy_wait<0>();
    tile_turn<HD, BM>(tq, g.T - q0, turn_q, g);
    tile_turn<HD, BN>(tk, g.T, turn, g);
    __syncthreads();
    if (scale < 0.0f) { /* then c > 0 weighs scores of the other sign */
        tile_negate<HD, BM>(tq);
        __syncthreads();
    }
    left<MT, HD, (HD * MT <= 128)> queries;
    queries.set(tq + warp * 16 * MT * LD);

    float o[MT][HD / 8][4] = {};
    softmax_state<MT> x;
    for (int m = 0; m < MT; m++)
        for (int half = 0; half < 2; half++) x.max[m][half] = -INFINITY, x.sum[m][half] = 0.0f;
    for (int b = 0; b < blocks; b++) {
        const int k0 = b * BN;
        const bool active = k0 <= last; /* BN and a warp's rows divide each other: then every row of it sees key k0 */
        if (b) {
            k_copy_wait<0>(); /* keys b have come; all are done with values b - 1 */
            tile_turn<HD, BN>(tk, g.T - k0, attn_turn(a.table, w.r, k0, g), g);
            __syncthreads();
        }
        tile_load<HD, BN>(tv, v + (size_t)k0 * g.ld, g.ld, g.T - k0, nullptr, g);
        k_copy_commit();
        uint32_t p[MT][BN / 16][4];
        if (active) {
            float s[MT][BN / 8][4];
            scores<MT, BN / 8, HD>(s, queries, tk);
            if (k0 + BN - 1 > first) mask_keys(s, first, k0, -INFINITY);
            softmax_step(s, o, x, c);
            as_left(p, s);
        }
        k_copy_wait<0>(); /* values b have come; all are done with keys b */
        __syncthreads();
        if (b + 1 < blocks) {
            const int next = k0 + BN;
            tile_load<HD, BN>(tk, k + (size_t)next * g.ld, g.ld, g.T - next, attn_turn(a.table, w.r, next, g), g);
        }
        k_copy_commit();
        if (active) weigh(o, p, tv);
    }
    k_copy_wait<0>();

    float by[MT][2];
    float *const lse = a.lse.row(w.r) + (w.row * (size_t)g.n_head + (size_t)w.h * (size_t)g.T);
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float sum = row_sum(x.sum[m][half]);
            const int t = first + m * 16 + half * 8 + lane / 4;
            by[m][half] = 1.0f / sum;
            if (lane % 4 == 0 && t < g.T) lse[t] = x.max[m][half] * fabsf(scale) + logf(sum);
        }
    bf16 *const to = a.o.row(w.r) + (w.row + (size_t)first) * g.ldo + (size_t)w.h * (size_t)g.head_dim;
    tile_store<MT, HD>(to, g.ldo, g.T - first, tq + warp * 16 * MT * LD, o, by, nullptr, g);
}

/* ---- backward: dk, dv ------------------------------------------------------------------------------ */

/* A stage of the loop over queries: a tile of q, of dout, their lse and delta. */
template <int HD, int BQ> struct dkv_stage {
    bf16 *q, *dout;
    float *lse, *delta;
    __device__ __forceinline__ dkv_stage(bf16 *tiles, int i)
    {
        q = tiles + i * 2 * BQ * (HD + 8);
        dout = q + BQ * (HD + 8);
        lse = (float *)(void *)(tiles + 4 * BQ * (HD + 8)) + i * 2 * BQ;
        delta = lse + BQ;
    }
    __device__ __forceinline__ void load(const attn_bwd_args<bf16> &a, const attn_place &w, int h, int q0) const
    {
        const attn_geometry &g = a.g;
        const size_t row = w.row + (size_t)q0, column = (size_t)h * (size_t)g.head_dim;
        const size_t stat = w.row * (size_t)g.n_head + (size_t)h * (size_t)g.T;
        tile_load<HD, BQ>(q, a.q.row(w.r) + row * g.ld + column, g.ld, g.T - q0, attn_turn(a.table, w.r, q0, g), g);
        tile_load<HD, BQ>(dout, a.dout.row(w.r) + row * g.ldo + column, g.ldo, g.T - q0, nullptr, g);
        const float *const from_lse = a.lse.row(w.r) + stat;
        const float *const from_delta = a.delta + w.r * (size_t)g.B * (size_t)g.n_head * (size_t)g.T + stat;
        const int t = q0 + (int)threadIdx.x; /* rows beyond T: weight 1 of a dout of 0 */
        if ((int)threadIdx.x < BQ) {
            k_copy4(lse + threadIdx.x, from_lse + (t < g.T ? t : 0), t < g.T);
            k_copy4(delta + threadIdx.x, from_delta + (t < g.T ? t : 0), t < g.T);
        }
        k_copy_commit();
    }
};

template <int HD, int BQ>
__device__ __forceinline__ void dkv_block(const attn_bwd_args<bf16> &a, const attn_place &w, bf16 *shared)
{
    constexpr int BN = 64, LD = HD + 8, NT = BQ / 8;
    bf16 *const tk = shared, *const tv = tk + BN * LD, *const stages = tv + BN * LD;
    const attn_geometry &g = a.g;
    const int k0 = w.block * BN, warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int first = k0 + warp * 16; /* this warp's keys */
    const size_t at = (w.row + (size_t)k0) * g.ld + (size_t)w.h * (size_t)g.head_dim;
    const float scale = k_factor(a.scale, w.r), c = scale * ATTN_LOG2E;
    const int q_first = k0 / BQ, q_blocks = (g.T + BQ - 1) / BQ - q_first, steps = q_blocks * g.group;

    const float *const turn = attn_turn(a.table, w.r, k0, g);
    tile_load<HD, BN>(tk, a.k.row(w.r) + at, g.ld, g.T - k0, turn, g);
    tile_load<HD, BN>(tv, a.v.row(w.r) + at, g.ld, g.T - k0, nullptr, g);
    dkv_stage<HD, BQ>(stages, 0).load(a, w, w.h * g.group, q_first * BQ);
    constexpr bool KEEP = HD <= 64;
    left<1, HD, KEEP> keys, values;
    float dk[1][HD / 8][4] = {}, dv[1][HD / 8][4] = {};
    for (int i = 0; i < steps; i++) { /* the group's query heads in order, and each one's queries in order */
        const int q0 = (q_first + i % q_blocks) * BQ;
        const dkv_stage<HD, BQ> stage(stages, i % 2);
        k_copy_wait<0>(); /* stage i has come; all are done with stage i - 1 */
        if (i == 0) tile_turn<HD, BN>(tk, g.T - k0, turn, g);
        tile_turn<HD, BQ>(stage.q, g.T - q0, attn_turn(a.table, w.r, q0, g), g);
        __syncthreads();
        if (i == 0) {
            keys.set(tk + warp * 16 * LD);
            values.set(tv + warp * 16 * LD);
        }
        if (i + 1 < steps) {
            const int h = w.h * g.group + (i + 1) / q_blocks;
            dkv_stage<HD, BQ>(stages, (i + 1) % 2).load(a, w, h, (q_first + (i + 1) % q_blocks) * BQ);
        }
        if (q0 + BQ - 1 < first) continue; /* all of the warp's keys are later */
        float s[1][NT][4];
        uint32_t left_of[1][NT / 2][4];
        scores<1, NT, HD>(s, keys, stage.q); /* transposed: rows are keys, columns queries */
#pragma unroll
        for (int n = 0; n < NT; n++) {
            const float2 lse = *(const float2 *)(const void *)(stage.lse + n * 8 + lane % 4 * 2);
            const float x = lse.x * ATTN_LOG2E, y = lse.y * ATTN_LOG2E;
            s[0][n][0] = k_exp2(fmaf(s[0][n][0], c, -x));
            s[0][n][1] = k_exp2(fmaf(s[0][n][1], c, -y));
            s[0][n][2] = k_exp2(fmaf(s[0][n][2], c, -x));
            s[0][n][3] = k_exp2(fmaf(s[0][n][3], c, -y));
        }
        if (q0 < first + 15) {
#pragma unroll
            for (int n = 0; n < NT; n++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    if (first + lane / 4 + j / 2 * 8 > q0 + n * 8 + lane % 4 * 2 + j % 2) s[0][n][j] = 0.0f;
        }
        as_left(left_of, s);
        weigh(dv, left_of, stage.dout);
        float dp[1][NT][4];
        scores<1, NT, HD>(dp, values, stage.dout);
#pragma unroll
        for (int n = 0; n < NT; n++) {
            const float2 delta = *(const float2 *)(const void *)(stage.delta + n * 8 + lane % 4 * 2);
            dp[0][n][0] = s[0][n][0] * (dp[0][n][0] - delta.x);
            dp[0][n][1] = s[0][n][1] * (dp[0][n][1] - delta.y);
            dp[0][n][2] = s[0][n][2] * (dp[0][n][2] - delta.x);
            dp[0][n][3] = s[0][n][3] * (dp[0][n][3] - delta.y);
        }
        as_left(left_of, dp);
        weigh(dk, left_of, stage.q);
    }
    const size_t to = at + (size_t)(warp * 16) * g.ld;
    const float scaled[1][2] = {{scale, scale}}, plain[1][2] = {{1.0f, 1.0f}};
    tile_store<1, HD>(a.dk.row(w.r) + to, g.ld, g.T - first, tk + warp * 16 * LD, dk, scaled,
                      attn_turn(a.table, w.r, first, g), g);
    tile_store<1, HD>(a.dv.row(w.r) + to, g.ld, g.T - first, tv + warp * 16 * LD, dv, plain, nullptr, g);
}

/* ---- backward: dq ---------------------------------------------------------------------------------- */
template <int HD, int BN>
__device__ __forceinline__ void dq_block(const attn_bwd_args<bf16> &a, const attn_place &w, bf16 *shared)
{
    constexpr int BM = 64, LD = HD + 8, NT = BN / 8;
    bf16 *const tq = shared, *const tdo = tq + BM * LD, *const stages = tdo + BM * LD; /* a stage: keys, values */
    const attn_geometry &g = a.g;
    const int q0 = w.block * BM, warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int first = q0 + warp * 16, last = first + 15; /* this warp's queries */
    const size_t row = w.row + (size_t)q0, column = (size_t)w.h * (size_t)g.head_dim;
    const bf16 *const k = a.k.row(w.r) + w.row * g.ld + (size_t)(w.h / g.group) * (size_t)g.head_dim;
    const bf16 *const v = a.v.row(w.r) + w.row * g.ld + (size_t)(w.h / g.group) * (size_t)g.head_dim;
    const float scale = k_factor(a.scale, w.r), c = scale * ATTN_LOG2E;
    const int blocks = (min(q0 + BM, g.T) + BN - 1) / BN;

    tile_load<HD, BM>(tq, a.q.row(w.r) + row * g.ld + column, g.ld, g.T - q0, attn_turn(a.table, w.r, q0, g), g);
    tile_load<HD, BM>(tdo, a.dout.row(w.r) + row * g.ldo + column, g.ldo, g.T - q0, nullptr, g);
    tile_load<HD, BN>(stages, k, g.ld, g.T, attn_turn(a.table, w.r, 0, g), g);
    tile_load<HD, BN>(stages + BN * LD, v, g.ld, g.T, nullptr, g);
    k_copy_commit();
    float lse[2], delta[2];
    const size_t stat = w.row * (size_t)g.n_head + (size_t)w.h * (size_t)g.T;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int t = first + half * 8 + lane / 4;
        lse[half] = t < g.T ? a.lse.row(w.r)[stat + (size_t)t] * ATTN_LOG2E : 0.0f;
        delta[half] = t < g.T ? a.delta[w.r * (size_t)g.B * (size_t)g.n_head * (size_t)g.T + stat + (size_t)t] : 0.0f;
    }
    constexpr bool KEEP = HD <= 64;
    left<1, HD, KEEP> queries, douts;
    float dq[1][HD / 8][4] = {};
    for (int b = 0; b < blocks; b++) {
        const int k0 = b * BN, next = k0 + BN;
        bf16 *const tk = stages + b % 2 * 2 * BN * LD, *const tv = tk + BN * LD;
        k_copy_wait<0>(); /* keys and values b have come; all are done with b - 1 */
        if (b == 0) tile_turn<HD, BM>(tq, g.T - q0, attn_turn(a.table, w.r, q0, g), g);
        tile_turn<HD, BN>(tk, g.T - k0, attn_turn(a.table, w.r, k0, g), g);
        __syncthreads();
        if (b == 0) {
            queries.set(tq + warp * 16 * LD);
            douts.set(tdo + warp * 16 * LD);
        }
        if (b + 1 < blocks) {
            bf16 *const to = stages + (b + 1) % 2 * 2 * BN * LD;
            tile_load<HD, BN>(to, k + (size_t)next * g.ld, g.ld, g.T - next, attn_turn(a.table, w.r, next, g), g);
            tile_load<HD, BN>(to + BN * LD, v + (size_t)next * g.ld, g.ld, g.T - next, nullptr, g);
            k_copy_commit();
        }
        if (k0 > last) continue;
        float s[1][NT][4], dp[1][NT][4];
        uint32_t ds[1][NT / 2][4];
        scores<1, NT, HD>(s, queries, tk);
        scores<1, NT, HD>(dp, douts, tv);
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                s[0][n][i] = k_exp2(fmaf(s[0][n][i], c, -lse[i / 2])) * (dp[0][n][i] - delta[i / 2]);
        if (next - 1 > first) mask_keys(s, first, k0, 0.0f);
        as_left(ds, s);
        weigh(dq, ds, tk);
    }
    const float scaled[1][2] = {{scale, scale}};
    bf16 *const to = a.dq.row(w.r) + (w.row + (size_t)first) * g.ld + column;
    tile_store<1, HD>(to, g.ld, g.T - first, tq + warp * 16 * LD, dq, scaled, attn_turn(a.table, w.r, first, g), g);
}

/* ---- backward -------------------------------------------------------------------------------------- */
template <int HD, int BQ> constexpr size_t attn_bwd_shared()
{
    return (size_t)(2 * 64 + 4 * BQ) * (HD + 8) * sizeof(bf16) + 4 * BQ * sizeof(float);
}

/* Geometry of key-value heads. In a section first all blocks of keys, then all blocks of queries: what the former have
 * read, the latter find in the L2 cache. */
template <int HD, int BQ>
__global__ void __launch_bounds__(ATTN_THREADS, HD <= 16 ? 4 : HD <= 32 ? 3 : 2) attn_bwd_bf16(attn_bwd_args<bf16> a)
{
    K_SHARED(bf16, shared);
    const attn_geometry &g = a.g;
    const unsigned blocks = (unsigned)g.per_head, group = (unsigned)g.group, per = g.section * (1 + group) * blocks;
    const unsigned first = blockIdx.x / per * g.section, rest = blockIdx.x % per;
    const unsigned here = min(g.section, g.heads - first);
    if (rest < here * blocks) {
        dkv_block<HD, BQ>(a, attn_place_at(g, first + rest % here, g.heads_each, (int)(rest / here)), shared);
    } else {
        const unsigned i = rest - here * blocks, heads = here * group;
        const int block = (int)(blocks - 1 - i / heads);
        dq_block<HD, BQ>(a, attn_place_at(g, first * group + i % heads, g.n_head, block), shared);
    }
}
#endif
