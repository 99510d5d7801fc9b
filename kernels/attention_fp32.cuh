/* Attention of floats: kernels of attention_cuda.cu. No tensor cores (bf16 and TF32 products are too coarse for the
 * backend that is compared with the CPU): the structure of attention_bf16.cuh with 32 x 32 scores at a time. Eight
 * lanes of a warp own a row (a query; for dk and dv a key): each computes every eighth score of it and holds every
 * eighth column of what it sums, in the order in which the definition sums. */
#ifndef KERNELS_ATTENTION_FP32_CUH
#define KERNELS_ATTENTION_FP32_CUH
#include "kernels/attention_geometry.cuh"
#include "kernels/launch.cuh"
#include "kernels/turn.cuh"

constexpr int PLAIN_ROWS = 32, PLAIN_LANES = 8, PLAIN_THREADS = PLAIN_ROWS * PLAIN_LANES;

/* Rows are an odd number of floats apart: eight lanes that read eight rows meet eight banks. turn: as tile_load's. */
template <int HD>
__device__ __forceinline__ void plain_load(float *tile, const float *x, unsigned ld, int rows, const float *turn,
                                           const attn_geometry &g)
{
    for (int i = (int)threadIdx.x; i < PLAIN_ROWS * HD; i += PLAIN_THREADS) {
        const int row = i / HD, c = i % HD;
        const bool in = row < rows && c < g.head_dim;
        const float *const at = turn ? turn + (size_t)(unsigned)row * (unsigned)g.head_dim : nullptr;
        tile[row * (HD + 1) + c] = in ? k_turned<false>(x + (size_t)(unsigned)row * ld, c, at, g.head_dim) : 0.0f;
    }
}
template <int HD> __device__ __forceinline__ float plain_dot(const float *a, const float *b)
{
    float x = 0.0f;
#pragma unroll 8
    for (int c = 0; c < HD; c++) x += a[c] * b[c];
    return x;
}
/* acc[i] += sum over j in [from, to) of w[j] * tile[j][lane + 8 i] */
template <int HD>
__device__ __forceinline__ void plain_weigh(float (&acc)[HD / 8], const float *w, const float *tile, int from, int to,
                                            int lane)
{
    for (int j = from; j < to; j++) {
        const float x = w[j];
#pragma unroll
        for (int i = 0; i < HD / 8; i++) acc[i] += x * tile[j * (HD + 1) + lane + 8 * i];
    }
}
/* Eight lanes' sums to a row, by way of one of `room` that only they read. Every lane of the warp calls it; in: the row
 * exists. turn: as tile_store's, for this row. */
template <int HD>
__device__ __forceinline__ void plain_store(float *out, const float (&acc)[HD / 8], float by, float *room, bool in,
                                            const float *turn, int lane, const attn_geometry &g)
{
    __syncwarp();
#pragma unroll
    for (int i = 0; i < HD / 8; i++) room[lane + 8 * i] = acc[i] * by;
    __syncwarp();
#pragma unroll
    for (int i = 0; i < HD / 8; i++)
        if (in && lane + 8 * i < g.head_dim) out[lane + 8 * i] = k_turned<true>(room, lane + 8 * i, turn, g.head_dim);
}
template <int HD> constexpr size_t plain_shared(int tiles, int scores, int stats)
{
    return ((size_t)tiles * PLAIN_ROWS * (HD + 1) + (size_t)scores * PLAIN_ROWS * (PLAIN_ROWS + 1) +
            (size_t)stats * PLAIN_ROWS) * sizeof(float);
}

/* ---- forward -------------------------------------------------------------------------------------- */
template <int HD> __global__ void __launch_bounds__(PLAIN_THREADS) attn_fwd_fp32(attn_fwd_args<float> a)
{
    constexpr int TILE = PLAIN_ROWS * (HD + 1);
    K_SHARED(float, shared);
    float *const tq = shared, *const tk = tq + TILE, *const tv = tk + TILE, *const weights = tv + TILE;
    const attn_geometry &g = a.g;
    const attn_place w = attn_place_of(g, blockIdx.x);
    const int row = (int)threadIdx.x / PLAIN_LANES, lane = (int)threadIdx.x % PLAIN_LANES;
    const int q0 = w.block * PLAIN_ROWS, t = q0 + row;
    const size_t kv = w.row * g.ld + (size_t)(w.h / g.group) * (size_t)g.head_dim;
    const float *const k = a.k.row(w.r) + kv, *const v = a.v.row(w.r) + kv;
    const float scale = k_factor(a.scale, w.r);
    float *const p = weights + row * (PLAIN_ROWS + 1);

    const size_t column = (size_t)w.h * (size_t)g.head_dim;
    plain_load<HD>(tq, a.q.row(w.r) + (w.row + (size_t)q0) * g.ld + column, g.ld, g.T - q0,
                   attn_turn(a.table, w.r, q0, g), g);
    float o[HD / 8] = {}, max = -INFINITY, sum = 0.0f;
    for (int k0 = 0; k0 < min(q0 + PLAIN_ROWS, g.T); k0 += PLAIN_ROWS) {
        __syncthreads(); /* all are done with the keys and values before */
        plain_load<HD>(tk, k + (size_t)k0 * g.ld, g.ld, g.T - k0, attn_turn(a.table, w.r, k0, g), g);
        plain_load<HD>(tv, v + (size_t)k0 * g.ld, g.ld, g.T - k0, nullptr, g);
        __syncthreads();
        float s[PLAIN_ROWS / PLAIN_LANES], top = max;
#pragma unroll
        for (int i = 0; i < PLAIN_ROWS / PLAIN_LANES; i++) {
            const int j = lane + PLAIN_LANES * i;
            s[i] = k0 + j <= t ? scale * plain_dot<HD>(tq + row * (HD + 1), tk + j * (HD + 1)) : -INFINITY;
            top = fmaxf(top, s[i]);
        }
        for (int m = PLAIN_LANES / 2; m; m /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, m));
        const float at = top == -INFINITY ? 0.0f : top, turn = expf(max - at); /* as in softmax_step */
        max = top;
        float part = 0.0f;
#pragma unroll
        for (int i = 0; i < PLAIN_ROWS / PLAIN_LANES; i++) part += p[lane + PLAIN_LANES * i] = expf(s[i] - at);
        sum = sum * turn + part;
#pragma unroll
        for (int i = 0; i < HD / 8; i++) o[i] *= turn;
        __syncwarp();
        plain_weigh<HD>(o, p, tv, 0, min(PLAIN_ROWS, t - k0 + 1), lane);
    }
    for (int m = PLAIN_LANES / 2; m; m /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, m);
    plain_store<HD>(a.o.row(w.r) + (w.row + (size_t)t) * g.ldo + column, o, 1.0f / sum, tq + row * (HD + 1), t < g.T,
                    nullptr, lane, g);
    if (lane == 0 && t < g.T)
        a.lse.row(w.r)[w.row * (size_t)g.n_head + (size_t)w.h * (size_t)g.T + (size_t)t] = max + logf(sum);
}

/* ---- backward: dk, dv ------------------------------------------------------------------------------ */
template <int HD> __global__ void __launch_bounds__(PLAIN_THREADS) attn_dkv_fp32(attn_bwd_args<float> a)
{
    constexpr int TILE = PLAIN_ROWS * (HD + 1), SCORES = PLAIN_ROWS * (PLAIN_ROWS + 1);
    K_SHARED(float, shared);
    float *const tk = shared, *const tv = tk + TILE, *const tq = tv + TILE, *const tdo = tq + TILE;
    float *const weights = tdo + TILE, *const slopes = weights + SCORES;
    float *const lse = slopes + SCORES, *const delta = lse + PLAIN_ROWS;
    const attn_geometry &g = a.g;
    const attn_place w = attn_place_of(g, blockIdx.x);
    const int row = (int)threadIdx.x / PLAIN_LANES, lane = (int)threadIdx.x % PLAIN_LANES;
    const int k0 = w.block * PLAIN_ROWS, key = k0 + row;
    const size_t at = (w.row + (size_t)k0) * g.ld + (size_t)w.h * (size_t)g.head_dim;
    const float scale = k_factor(a.scale, w.r);
    float *const p = weights + row * (PLAIN_ROWS + 1), *const ds = slopes + row * (PLAIN_ROWS + 1);

    plain_load<HD>(tk, a.k.row(w.r) + at, g.ld, g.T - k0, attn_turn(a.table, w.r, k0, g), g);
    plain_load<HD>(tv, a.v.row(w.r) + at, g.ld, g.T - k0, nullptr, g);
    float dk[HD / 8] = {}, dv[HD / 8] = {};
    for (int h = w.h * g.group; h < (w.h + 1) * g.group; h++)
        for (int q0 = k0; q0 < g.T; q0 += PLAIN_ROWS) {
            const size_t from = w.row + (size_t)q0, column = (size_t)h * (size_t)g.head_dim;
            const size_t stat = w.row * (size_t)g.n_head + (size_t)h * (size_t)g.T;
            __syncthreads(); /* all are done with the queries before */
            plain_load<HD>(tq, a.q.row(w.r) + from * g.ld + column, g.ld, g.T - q0, attn_turn(a.table, w.r, q0, g), g);
            plain_load<HD>(tdo, a.dout.row(w.r) + from * g.ldo + column, g.ldo, g.T - q0, nullptr, g);
            if ((int)threadIdx.x < PLAIN_ROWS && q0 + (int)threadIdx.x < g.T) {
                const size_t i = stat + (size_t)q0 + threadIdx.x;
                lse[threadIdx.x] = a.lse.row(w.r)[i];
                delta[threadIdx.x] = a.delta[w.r * (size_t)g.B * (size_t)g.n_head * (size_t)g.T + i];
            }
            __syncthreads();
            const int first = max(0, key - q0), last = min(PLAIN_ROWS, g.T - q0); /* queries that see the key */
            for (int i = lane; i < last; i += PLAIN_LANES) {
                if (i < first) continue;
                const float *const q = tq + i * (HD + 1), *const dout = tdo + i * (HD + 1);
                const float weight = expf(scale * plain_dot<HD>(tk + row * (HD + 1), q) - lse[i]);
                p[i] = weight;
                ds[i] = scale * weight * (plain_dot<HD>(tv + row * (HD + 1), dout) - delta[i]);
            }
            __syncwarp();
            plain_weigh<HD>(dv, p, tdo, first, last, lane);
            plain_weigh<HD>(dk, ds, tq, first, last, lane);
        }
    const bool in = key < g.T;
    const size_t to = at + (size_t)row * g.ld;
    plain_store<HD>(a.dk.row(w.r) + to, dk, 1.0f, tk + row * (HD + 1), in, attn_turn(a.table, w.r, key, g), lane, g);
    plain_store<HD>(a.dv.row(w.r) + to, dv, 1.0f, tv + row * (HD + 1), in, nullptr, lane, g);
}

/* ---- backward: dq ---------------------------------------------------------------------------------- */
template <int HD> __global__ void __launch_bounds__(PLAIN_THREADS) attn_dq_fp32(attn_bwd_args<float> a)
{
    constexpr int TILE = PLAIN_ROWS * (HD + 1);
    K_SHARED(float, shared);
    float *const tq = shared, *const tdo = tq + TILE, *const tk = tdo + TILE, *const tv = tk + TILE;
    float *const slopes = tv + TILE;
    const attn_geometry &g = a.g;
    const attn_place w = attn_place_of(g, blockIdx.x);
    const int row = (int)threadIdx.x / PLAIN_LANES, lane = (int)threadIdx.x % PLAIN_LANES;
    const int q0 = w.block * PLAIN_ROWS, t = q0 + row;
    const size_t from = w.row + (size_t)q0, column = (size_t)w.h * (size_t)g.head_dim;
    const size_t kv = w.row * g.ld + (size_t)(w.h / g.group) * (size_t)g.head_dim;
    const float *const k = a.k.row(w.r) + kv, *const v = a.v.row(w.r) + kv;
    const float scale = k_factor(a.scale, w.r);
    float *const ds = slopes + row * (PLAIN_ROWS + 1);

    plain_load<HD>(tq, a.q.row(w.r) + from * g.ld + column, g.ld, g.T - q0, attn_turn(a.table, w.r, q0, g), g);
    plain_load<HD>(tdo, a.dout.row(w.r) + from * g.ldo + column, g.ldo, g.T - q0, nullptr, g);
    const size_t stat = w.row * (size_t)g.n_head + (size_t)w.h * (size_t)g.T + (size_t)t;
    const float lse = t < g.T ? a.lse.row(w.r)[stat] : 0.0f;
    const float delta = t < g.T ? a.delta[w.r * (size_t)g.B * (size_t)g.n_head * (size_t)g.T + stat] : 0.0f;
    float dq[HD / 8] = {};
    for (int k0 = 0; k0 < min(q0 + PLAIN_ROWS, g.T); k0 += PLAIN_ROWS) {
        __syncthreads(); /* all are done with the keys and values before */
        plain_load<HD>(tk, k + (size_t)k0 * g.ld, g.ld, g.T - k0, attn_turn(a.table, w.r, k0, g), g);
        plain_load<HD>(tv, v + (size_t)k0 * g.ld, g.ld, g.T - k0, nullptr, g);
        __syncthreads();
        const int last = min(PLAIN_ROWS, t - k0 + 1); /* keys that the query sees */
        for (int j = lane; j < last; j += PLAIN_LANES) {
            const float weight = expf(scale * plain_dot<HD>(tq + row * (HD + 1), tk + j * (HD + 1)) - lse);
            ds[j] = scale * weight * (plain_dot<HD>(tdo + row * (HD + 1), tv + j * (HD + 1)) - delta);
        }
        __syncwarp();
        plain_weigh<HD>(dq, ds, tk, 0, last, lane);
    }
    plain_store<HD>(a.dq.row(w.r) + (from + (size_t)row) * g.ld + column, dq, 1.0f, tq + row * (HD + 1), t < g.T,
                    attn_turn(a.table, w.r, t, g), lane, g);
}
#endif
