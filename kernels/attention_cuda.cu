/* Causal attention fused: scores and weights never leave the multiprocessor. FlashAttention-2's scheme (Dao 2023,
 * arXiv:2307.08691): forward, a block of queries visits the keys it may see, block by block, with the running maximum
 * and sum of its softmax; backward, weights are recomputed from lse. No block above the diagonal is visited, only
 * blocks on it are masked. bf16 runs on the tensor cores (attention_bf16.cuh), float on the CUDA cores
 * (attention_fp32.cuh).
 *
 * Where we depart. dq is not summed with atomics while dk and dv are formed: it has blocks of its own that form the
 * scores again. 7 products instead of 5, but a fixed order: equal bits in every run, for every R. With GQA a block of
 * keys visits the query heads of its group in order and sums in registers.
 *
 * The bound, per query head (H of them on G key-value heads; T, D; P = T (T + 1) / 2 pairs; bf16):
 *   forward   4 P D operations   bytes 4 T D (q, o) + 4 T D G/H (k, v) + 4 T (lse)
 *   backward 10 P D (we do 14)   bytes 8 T D (q, o, dout, dq) + 8 T D G/H (k, v, dk, dv) + 4 T; we read dout once more,
 *                                8 T more for delta, and the operands of dq again (from the L2 cache, if it holds them)
 * Forward that is T/4 operations per byte where H = G: an H100 (989e12 dense bf16 operations and 3.35e12 bytes a
 * second) wants 295, so up to T = 1200 the bound is bandwidth, and the banks' T = 128..256 are far below: there every
 * operand should be read once. The diagonal costs: with n keys a block we form (T + n) / T of the products; a warp skips
 * blocks of keys beyond its last query.
 *
 * Geometry. 128 threads; a block of 64 queries (keys for dk, dv), 128 in long sequences, where a warp's 32 queries
 * halve the reads of keys and values from shared memory: one 512-byte ldmatrix per 4 products, else per 2, and a
 * multiprocessor reads 128 bytes a clock. In short ones 64, so that few heads still fill the device and more blocks
 * share a multiprocessor. The choice looks at T only, never at R or B. nvcc 13.0, -O2, sm_90, registers (no spills;
 * shared KiB), so that at least two blocks fit on each multiprocessor of sm_80 and sm_90:
 *   head_dim             16          32          64          96          128
 *   forward, 64 rows     72 (9)      96 (15)     128 (27)    168 (39)    212 (51)
 *   forward, 128 rows    164 (12)    160 (20)    238 (36)    216 (39)    244 (51)
 *   backward             126 (19)    164 (31)    238 (55)    235 (52)    254 (68)
 * RoPE, where q and k come unturned: a thread turns the pairs of eight that its own copies brought, once they have come
 * and before the barrier that publishes them; gradients are turned back from the tile by which they leave.
 * head_dim between the cases pays for the next one; 16-byte copies where rows are aligned to them, else element by
 * element. A NaN of a later row may reach earlier rows of the same diagonal block (0 * NaN), never another sequence.
 *
 * Not measured, and worth measuring where there is a device: LONG_T, ATTN_L2, 32-key warps for dk and dv, wgmma. */
#include "kernels/act.cuh"
#include "kernels/attention_bf16.cuh"
#include "kernels/attention_fp32.cuh"
#include "kernels/dnn.h"
#include "kernels/ops_cuda.h"

#include <climits>

/* ---- geometry ------------------------------------------------------------------------------------- */
/* A section (attention_geometry.cuh): bytes that may hope to stay in the L2 cache, which has 40 MB and more; and heads,
 * for those so small that they never fill it. */
enum { ATTN_L2 = 16 << 20, ATTN_SECTION = 64 };

static bool aligned(const void *p, size_t stride, size_t R, size_t bytes)
{
    return (uintptr_t)p % 16 == 0 && (R == 1 || stride * bytes % 16 == 0);
}

/* Every head of `heads_each` in blocks of `rows` positions; its blocks have `shared` bytes of operands in common. */
static status geometry(attn_geometry *out, const k_attn *s, size_t heads_each, size_t rows, size_t shared,
                       bool long_last, bool vec, bool halves, err *e)
{
    if (s->head_dim < 1 || s->head_dim > K_HEAD_DIM_DEVICE)
        return err_set(e, ST_DOMAIN, "attention: head_dim %zu: this backend has heads of at most %d", s->head_dim,
                       (int)K_HEAD_DIM_DEVICE);
    if (!s->n_kv_head || s->n_head % s->n_kv_head)
        return err_set(e, ST_DOMAIN, "attention: %zu heads on %zu key-value heads", s->n_head, s->n_kv_head);
    const size_t per_head = (s->T + rows - 1) / rows, heads = s->R * s->B * heads_each;
    if (s->T > INT_MAX / 4 || s->ld > UINT_MAX || s->ldo > UINT_MAX || heads * per_head > INT_MAX / (1 + s->n_head) ||
        s->B * s->n_head > INT_MAX)
        return err_set(e, ST_DOMAIN, "attention: R %zu, B %zu, T %zu, %zu heads, row strides %zu and %zu: too large",
                       s->R, s->B, s->T, s->n_head, s->ld, s->ldo);
    size_t section = shared < ATTN_L2 ? ATTN_L2 / (shared ? shared : 1) : 1;
    if (section > ATTN_SECTION) section = ATTN_SECTION;
    out->B = (int)s->B;
    out->T = (int)s->T;
    out->head_dim = (int)s->head_dim;
    out->n_head = (int)s->n_head;
    out->group = (int)(s->n_head / s->n_kv_head);
    out->ld = (unsigned)s->ld;
    out->ldo = (unsigned)s->ldo;
    out->heads_each = (int)heads_each;
    out->per_head = (int)per_head;
    out->heads = (unsigned)heads;
    out->section = (unsigned)(section < heads ? section : heads);
    out->long_last = long_last;
    out->vec = vec;
    out->halves = halves;
    return ST_OK;
}
static unsigned blocks_of(const attn_geometry &g) { return g.heads * (unsigned)g.per_head; }

static bool rows_aligned(const k_attn *s, size_t bytes)
{
    return s->head_dim * bytes % 16 == 0 && s->ld * bytes % 16 == 0 && s->ldo * bytes % 16 == 0;
}

static bool halves_aligned(const k_attn *s, k_in table)
{
    return s->head_dim % 16 == 0 && aligned(table.p, table.stride, s->R, sizeof *table.p);
}

/* head_dim rounded up to a case. `launch` is called with it as a type's value. */
template <int HD> struct head_case { static constexpr int value = HD; };
template <class L> static status by_head_dim(size_t head_dim, L launch)
{
    return head_dim <= 16   ? launch(head_case<16>())
           : head_dim <= 32 ? launch(head_case<32>())
           : head_dim <= 64 ? launch(head_case<64>())
           : head_dim <= 96 ? launch(head_case<96>())
                            : launch(head_case<128>());
}

/* More shared memory than a block has by default must be asked for. */
#define ATTN_LAUNCH(ctx, e, kernel, blocks, threads, bytes, args)                        \
    do {                                                                                 \
        if ((bytes) > 48 << 10) {                                                        \
            status rc_ = K_SHARED_MAX(ctx, e, kernel, bytes);                            \
            if (rc_ != ST_OK) return rc_;                                                \
        }                                                                                \
        return K_LAUNCH(ctx, e, kernel, dim3(blocks), dim3(threads), bytes, args);       \
    } while (0)

/* ---- forward -------------------------------------------------------------------------------------- */
constexpr size_t LONG_T = 256; /* from here on a warp has 32 queries: half the traffic from shared memory per product */

static size_t fwd_rows(const k_attn *s, bf16) { return s->T > LONG_T ? 128 : 64; }
static size_t fwd_rows(const k_attn *, float) { return PLAIN_ROWS; }

template <int HD> static status fwd_launch(k_ctx *ctx, const attn_fwd_args<bf16> &a, size_t rows, err *e)
{
    constexpr int BN = 64, LONG_BN = HD <= 64 ? 64 : 32;
    constexpr size_t bytes = attn_fwd_shared<HD, 1, BN>(), long_bytes = attn_fwd_shared<HD, 2, LONG_BN>();
    if (rows == 128) ATTN_LAUNCH(ctx, e, (attn_fwd_bf16<HD, 2, LONG_BN>), blocks_of(a.g), ATTN_THREADS, long_bytes, a);
    ATTN_LAUNCH(ctx, e, (attn_fwd_bf16<HD, 1, BN>), blocks_of(a.g), ATTN_THREADS, bytes, a);
}
template <int HD> static status fwd_launch(k_ctx *ctx, const attn_fwd_args<float> &a, size_t, err *e)
{
    constexpr size_t bytes = plain_shared<HD>(3, 1, 0);
    ATTN_LAUNCH(ctx, e, (attn_fwd_fp32<HD>), blocks_of(a.g), PLAIN_THREADS, bytes, a);
}

template <class A>
static status fwd(k_ctx *ctx, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_in table, k_mult scale,
                  const k_attn *s, err *e)
{
    const size_t rows = fwd_rows(s, A());
    const bool vec = rows_aligned(s, sizeof(A)) && aligned(o.p, o.stride, s->R, sizeof(A)) &&
                     aligned(q.p, q.stride, s->R, sizeof(A)) && aligned(k.p, k.stride, s->R, sizeof(A)) &&
                     aligned(v.p, v.stride, s->R, sizeof(A));
    attn_fwd_args<A> a = {k_ty<A>(o), k_ty(lse), k_ty<A>(q), k_ty<A>(k), k_ty<A>(v), k_ty(table), scale.p, {}};
    const size_t shared = 2 * s->T * s->head_dim * sizeof(A);
    const status rc = geometry(&a.g, s, s->n_head, rows, shared, true, vec, vec && halves_aligned(s, table), e);
    if (rc != ST_OK || !blocks_of(a.g)) return rc;
    const k_cuda *c = k_cuda_of(ctx);
    if (sizeof(A) == 2 && !table.p && c->dnn && k_dnn_attn_fwd(c->dnn, c->stream, o, lse, q, k, v, scale, s))
        return k_cuda_launched(ctx, "cuDNN's attention", e);
    return by_head_dim(s->head_dim, [&](auto hd) { return fwd_launch<decltype(hd)::value>(ctx, a, rows, e); });
}

template <class A>
status k_attn_fwd_cuda(k_ctx *ctx, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_mult scale, const k_attn *s,
                       err *e)
{
    const k_in none = {};
    return fwd<A>(ctx, o, lse, q, k, v, none, scale, s, e);
}

template <class A>
status k_attn_rope_fwd_cuda(k_ctx *ctx, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_in table, k_mult scale,
                            const k_attn *s, err *e)
{
    return fwd<A>(ctx, o, lse, q, k, v, table, scale, s, e);
}

/* ---- backward ------------------------------------------------------------------------------------- */
template <class A> size_t k_attn_scratch_cuda(const k_attn *s)
{
    return (s->R * s->B * s->n_head * s->T * sizeof(float) + K_ALIGN_DEVICE - 1) / K_ALIGN_DEVICE * K_ALIGN_DEVICE;
}

/* Eight elements of a row; zeros from `end` on. */
template <class A> __device__ __forceinline__ void eight(float (&x)[8], const A *p, int c, int end, bool vec)
{
    union { uint4 words[sizeof(A) / 2]; unsigned char bytes[8 * sizeof(A)]; } u;
    if (vec && c + 8 <= end) {
        for (int i = 0; i < (int)sizeof(A) / 2; i++) u.words[i] = ((const uint4 *)(const void *)(p + c))[i];
        for (int i = 0; i < 8; i++) {
            A y;
            memcpy(&y, u.bytes + (size_t)i * sizeof(A), sizeof y);
            x[i] = k_get(y);
        }
    } else {
        for (int i = 0; i < 8; i++) x[i] = c + i < end ? k_get(p[c + i]) : 0.0f;
    }
}

/* delta = dout . o of a head's row: eight lanes of 8 columns each. */
constexpr int DELTA_THREADS = 256, DELTA_LANES = 8;
template <class A> __global__ void __launch_bounds__(DELTA_THREADS) attn_delta(attn_bwd_args<A> a)
{
    const attn_geometry &g = a.g;
    const size_t index = ((size_t)blockIdx.x * DELTA_THREADS + threadIdx.x) / DELTA_LANES;
    const size_t heads = (size_t)g.n_head, rows = (size_t)g.B * (size_t)g.T;
    const size_t r = index / heads / rows, row = index / heads % rows, h = index % heads;
    const bool in = r < (size_t)g.heads / heads / (size_t)g.B;
    float sum = 0.0f;
    for (int c = (int)threadIdx.x % DELTA_LANES * 8; in && c < g.head_dim; c += DELTA_LANES * 8) {
        const size_t at = row * g.ldo + h * (size_t)g.head_dim;
        float x[8], y[8];
        eight(x, a.dout.row(r) + at, c, g.head_dim, g.vec);
        eight(y, a.o.row(r) + at, c, g.head_dim, g.vec);
        for (int i = 0; i < 8; i++) sum += x[i] * y[i];
    }
    for (int m = DELTA_LANES / 2; m; m /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, m);
    const size_t T = (size_t)g.T;
    if (in && threadIdx.x % DELTA_LANES == 0) a.delta[(r * (size_t)g.B + row / T) * heads * T + h * T + row % T] = sum;
}

template <int HD> static status bwd_launch(k_ctx *ctx, attn_bwd_args<bf16> &a, const k_attn *s, err *e)
{
    constexpr int BQ = HD <= 64 ? 64 : 32;
    constexpr size_t bytes = attn_bwd_shared<HD, BQ>();
    const size_t shared = 2 * s->T * s->head_dim * sizeof(bf16) * (1 + s->n_head / s->n_kv_head);
    const status rc = geometry(&a.g, s, s->n_kv_head, 64, shared, false, a.g.vec, a.g.halves, e);
    if (rc != ST_OK) return rc;
    ATTN_LAUNCH(ctx, e, (attn_bwd_bf16<HD, BQ>), blocks_of(a.g) * (1 + (unsigned)a.g.group), ATTN_THREADS, bytes, a);
}
template <int HD> static status plain_dkv_launch(k_ctx *ctx, const attn_bwd_args<float> &a, err *e)
{
    constexpr size_t bytes = plain_shared<HD>(4, 2, 2);
    ATTN_LAUNCH(ctx, e, (attn_dkv_fp32<HD>), blocks_of(a.g), PLAIN_THREADS, bytes, a);
}
template <int HD> static status bwd_launch(k_ctx *ctx, attn_bwd_args<float> &a, const k_attn *s, err *e)
{
    constexpr size_t bytes = plain_shared<HD>(4, 1, 0);
    const size_t shared = 2 * s->T * s->head_dim * sizeof(float), group = s->n_head / s->n_kv_head;
    status rc = geometry(&a.g, s, s->n_kv_head, PLAIN_ROWS, shared * group, false, a.g.vec, a.g.halves, e);
    if (rc == ST_OK) rc = plain_dkv_launch<HD>(ctx, a, e);
    if (rc == ST_OK) rc = geometry(&a.g, s, s->n_head, PLAIN_ROWS, shared, true, a.g.vec, a.g.halves, e);
    if (rc != ST_OK) return rc;
    ATTN_LAUNCH(ctx, e, (attn_dq_fp32<HD>), blocks_of(a.g), PLAIN_THREADS, bytes, a);
}

template <class A>
static status bwd(k_ctx *ctx, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v, k_cact o,
                  k_in lse, k_in table, k_mult scale, const k_attn *s, err *e)
{
    const k_cact in[] = {dout, q, k, v, o, k_cact_of(dq), k_cact_of(dk), k_cact_of(dv)};
    bool vec = rows_aligned(s, sizeof(A));
    for (const k_cact &x : in) vec = vec && aligned(x.p, x.stride, s->R, sizeof(A));
    const k_cuda *c = k_cuda_of(ctx);
    if (c->scratch_bytes < k_attn_scratch_cuda<A>(s))
        return err_set(e, ST_DOMAIN, "attention: the context has %zu bytes of scratch, the backward pass wants %zu",
                       c->scratch_bytes, k_attn_scratch_cuda<A>(s));
    attn_bwd_args<A> a = {k_ty<A>(dq), k_ty<A>(dk), k_ty<A>(dv), k_ty<A>(dout), k_ty<A>(q), k_ty<A>(k), k_ty<A>(v),
                          k_ty<A>(o), k_ty(lse), k_ty(table), (float *)(void *)c->scratch, scale.p, {}};
    status rc = geometry(&a.g, s, s->n_head, 1, 1, false, vec, vec && halves_aligned(s, table), e);
    if (rc != ST_OK || !blocks_of(a.g)) return rc;
    const size_t sums = blocks_of(a.g), per = DELTA_THREADS / DELTA_LANES;
    rc = K_LAUNCH(ctx, e, attn_delta<A>, dim3((unsigned)((sums + per - 1) / per)), dim3(DELTA_THREADS), 0, a);
    if (rc != ST_OK) return rc;
    return by_head_dim(s->head_dim, [&](auto hd) { return bwd_launch<decltype(hd)::value>(ctx, a, s, e); });
}

template <class A>
status k_attn_bwd_cuda(k_ctx *ctx, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v, k_cact o,
                       k_in lse, k_mult scale, const k_attn *s, err *e)
{
    const k_in none = {};
    return bwd<A>(ctx, dq, dk, dv, dout, q, k, v, o, lse, none, scale, s, e);
}

template <class A>
status k_attn_rope_bwd_cuda(k_ctx *ctx, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v,
                            k_cact o, k_in lse, k_in table, k_mult scale, const k_attn *s, err *e)
{
    return bwd<A>(ctx, dq, dk, dv, dout, q, k, v, o, lse, table, scale, s, e);
}

/* ---- instantiations ------------------------------------------------------------------------------- */
#define INSTANCES(A)                                                                                              \
    template status k_attn_fwd_cuda<A>(k_ctx *, k_act, k_arr, k_cact, k_cact, k_cact, k_mult, const k_attn *, err *); \
    template status k_attn_rope_fwd_cuda<A>(k_ctx *, k_act, k_arr, k_cact, k_cact, k_cact, k_in, k_mult,          \
                                            const k_attn *, err *);                                               \
    template status k_attn_bwd_cuda<A>(k_ctx *, k_act, k_act, k_act, k_cact, k_cact, k_cact, k_cact, k_cact, k_in,   \
                                       k_mult, const k_attn *, err *);                                            \
    template status k_attn_rope_bwd_cuda<A>(k_ctx *, k_act, k_act, k_act, k_cact, k_cact, k_cact, k_cact, k_cact,    \
                                            k_in, k_in, k_mult, const k_attn *, err *);                           \
    template size_t k_attn_scratch_cuda<A>(const k_attn *);
INSTANCES(float)
INSTANCES(bf16)
