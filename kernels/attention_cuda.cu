#include "kernels/act.cuh"
#include "kernels/attention_bf16.cuh"
#include "kernels/attention_fp32.cuh"
#include "kernels/dnn.h"
#include "kernels/ops_cuda.h"

#include <climits>

/* ---- geometry ------------------------------------------------------------------------------------- */
enum { ATTN_L2 = 16 << 20 }; /* bytes of keys and values that may hope to stay in the L2 cache: 40 MB and more there */

static bool aligned(const void *p, size_t stride, size_t R, size_t bytes)
{
    return (uintptr_t)p % 16 == 0 && (R == 1 || stride * bytes % 16 == 0);
}

/* Every head of `heads_each` in blocks of `rows` positions; `shared` bytes of operands are common to a head's blocks. */
static status geometry(attn_geometry *out, const k_attn *s, size_t heads_each, size_t rows, size_t shared, bool long_last,
                       bool vec, err *e)
{
    if (s->head_dim < 1 || s->head_dim > 128)
        return err_set(e, ST_DOMAIN, "attention: head_dim %zu: this backend has heads of at most 128", s->head_dim);
    if (!s->n_kv_head || s->n_head % s->n_kv_head)
        return err_set(e, ST_DOMAIN, "attention: %zu heads on %zu key-value heads", s->n_head, s->n_kv_head);
    const size_t per_head = (s->T + rows - 1) / rows, heads = s->R * s->B * heads_each;
    if (s->T > INT_MAX / 4 || s->ld > UINT_MAX || s->ldo > UINT_MAX || heads * per_head > INT_MAX ||
        s->B * s->n_head > INT_MAX)
        return err_set(e, ST_DOMAIN, "attention: R %zu, B %zu, T %zu, %zu heads, row strides %zu and %zu: too large",
                       s->R, s->B, s->T, s->n_head, s->ld, s->ldo);
    const size_t section = shared < ATTN_L2 ? ATTN_L2 / (shared ? shared : 1) : 1;
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
    return ST_OK;
}
static unsigned blocks_of(const attn_geometry &g) { return g.heads * (unsigned)g.per_head; }

static bool rows_aligned(const k_attn *s, size_t bytes)
{
    return s->head_dim * bytes % 16 == 0 && s->ld * bytes % 16 == 0 && s->ldo * bytes % 16 == 0;
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
#define ATTN_LAUNCH(ctx, e, kernel, g, threads, bytes, args)                             \
    do {                                                                                 \
        if (!blocks_of(g)) return ST_OK;                                                 \
        if ((bytes) > 48 << 10) {                                                        \
            status rc_ = K_SHARED_MAX(ctx, e, kernel, bytes);                            \
            if (rc_ != ST_OK) return rc_;                                                \
        }                                                                                \
        return K_LAUNCH(ctx, e, kernel, dim3(blocks_of(g)), dim3(threads), bytes, args); \
    } while (0)

/* ---- forward -------------------------------------------------------------------------------------- */
constexpr size_t LONG_T = 256; /* from here on a warp has 32 queries: half the traffic from shared memory per product */

static size_t fwd_rows(const k_attn *s, bf16) { return s->T > LONG_T ? 128 : 64; }
static size_t fwd_rows(const k_attn *, float) { return PLAIN_ROWS; }

template <int HD> static status fwd_launch(k_ctx *ctx, const attn_fwd_args<bf16> &a, size_t rows, err *e)
{
    constexpr int BN = 64, LONG_BN = HD <= 64 ? 64 : 32;
    constexpr size_t bytes = attn_fwd_shared<HD, 1, BN>(), long_bytes = attn_fwd_shared<HD, 2, LONG_BN>();
    if (rows == 128) ATTN_LAUNCH(ctx, e, (attn_fwd_bf16<HD, 2, LONG_BN>), a.g, ATTN_THREADS, long_bytes, a);
    ATTN_LAUNCH(ctx, e, (attn_fwd_bf16<HD, 1, BN>), a.g, ATTN_THREADS, bytes, a);
}
template <int HD> static status fwd_launch(k_ctx *ctx, const attn_fwd_args<float> &a, size_t, err *e)
{
    constexpr size_t bytes = plain_shared<HD>(3, 1, 0);
    ATTN_LAUNCH(ctx, e, (attn_fwd_fp32<HD>), a.g, PLAIN_THREADS, bytes, a);
}

template <class A>
status k_attn_fwd_cuda(k_ctx *ctx, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_mult scale, const k_attn *s, err *e)
{
    const size_t rows = fwd_rows(s, A());
    const bool vec = rows_aligned(s, sizeof(A)) && aligned(o.p, o.stride, s->R, sizeof(A)) &&
                     aligned(q.p, q.stride, s->R, sizeof(A)) && aligned(k.p, k.stride, s->R, sizeof(A)) &&
                     aligned(v.p, v.stride, s->R, sizeof(A));
    attn_fwd_args<A> a = {k_ty<A>(o), k_ty(lse), k_ty<A>(q), k_ty<A>(k), k_ty<A>(v), scale.p, {}};
    const size_t shared = 2 * s->T * s->head_dim * sizeof(A);
    const status rc = geometry(&a.g, s, s->n_head, rows, shared, true, vec, e);
    if (rc != ST_OK) return rc;
    const k_cuda *c = k_cuda_of(ctx);
    if (sizeof(A) == 2 && c->dnn && k_dnn_attn_fwd(c->dnn, c->stream, o, lse, q, k, v, scale, s))
        return k_cuda_launched(ctx, "cuDNN's attention", e);
    return by_head_dim(s->head_dim, [&](auto hd) { return fwd_launch<decltype(hd)::value>(ctx, a, rows, e); });
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
    if (vec && c < end) {
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

static size_t bwd_rows(bf16) { return 64; }
static size_t bwd_rows(float) { return PLAIN_ROWS; }

template <int HD> static status dkv_launch(k_ctx *ctx, const attn_bwd_args<bf16> &a, err *e)
{
    constexpr int BQ = HD <= 64 ? 64 : 32;
    constexpr size_t bytes = attn_dkv_shared<HD, BQ>();
    ATTN_LAUNCH(ctx, e, (attn_dkv_bf16<HD, BQ>), a.g, ATTN_THREADS, bytes, a);
}
template <int HD> static status dkv_launch(k_ctx *ctx, const attn_bwd_args<float> &a, err *e)
{
    constexpr size_t bytes = plain_shared<HD>(4, 2, 2);
    ATTN_LAUNCH(ctx, e, (attn_dkv_fp32<HD>), a.g, PLAIN_THREADS, bytes, a);
}
template <int HD> static status dq_launch(k_ctx *ctx, const attn_bwd_args<bf16> &a, err *e)
{
    constexpr int BN = HD <= 64 ? 64 : 32;
    constexpr size_t bytes = attn_dq_shared<HD, BN>();
    ATTN_LAUNCH(ctx, e, (attn_dq_bf16<HD, BN>), a.g, ATTN_THREADS, bytes, a);
}
template <int HD> static status dq_launch(k_ctx *ctx, const attn_bwd_args<float> &a, err *e)
{
    constexpr size_t bytes = plain_shared<HD>(4, 1, 0);
    ATTN_LAUNCH(ctx, e, (attn_dq_fp32<HD>), a.g, PLAIN_THREADS, bytes, a);
}

template <class A>
status k_attn_bwd_cuda(k_ctx *ctx, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v, k_cact o, k_in lse,
                       k_mult scale, const k_attn *s, err *e)
{
    const k_cact in[] = {dout, q, k, v, o, k_cact_of(dq), k_cact_of(dk), k_cact_of(dv)};
    bool vec = rows_aligned(s, sizeof(A));
    for (const k_cact &x : in) vec = vec && aligned(x.p, x.stride, s->R, sizeof(A));
    const k_cuda *c = k_cuda_of(ctx);
    if (c->scratch_bytes < k_attn_scratch_cuda<A>(s))
        return err_set(e, ST_DOMAIN, "attention: the context has %zu bytes of scratch, the backward pass wants %zu",
                       c->scratch_bytes, k_attn_scratch_cuda<A>(s));
    attn_bwd_args<A> a = {k_ty<A>(dq), k_ty<A>(dk), k_ty<A>(dv), k_ty<A>(dout), k_ty<A>(q), k_ty<A>(k), k_ty<A>(v),
                          k_ty<A>(o), k_ty(lse), (float *)(void *)c->scratch, scale.p, {}};
    const size_t rows = bwd_rows(A()), head = 2 * s->T * s->head_dim * sizeof(A);
    status rc = geometry(&a.g, s, s->n_head, rows, head, true, vec, e);
    if (rc != ST_OK) return rc;
    const size_t sums = s->R * s->B * s->T * s->n_head, per = DELTA_THREADS / DELTA_LANES;
    if ((sums + per - 1) / per > INT_MAX) return err_set(e, ST_DOMAIN, "attention: %zu rows of heads: too many", sums);
    if (!sums) return ST_OK;
    rc = K_LAUNCH(ctx, e, attn_delta<A>, dim3((unsigned)((sums + per - 1) / per)), dim3(DELTA_THREADS), 0, a);
    if (rc != ST_OK) return rc;
    rc = by_head_dim(s->head_dim, [&](auto hd) { return dq_launch<decltype(hd)::value>(ctx, a, e); });
    if (rc != ST_OK) return rc;
    rc = geometry(&a.g, s, s->n_kv_head, rows, head * (s->n_head / s->n_kv_head), false, vec, e);
    if (rc != ST_OK) return rc;
    return by_head_dim(s->head_dim, [&](auto hd) { return dkv_launch<decltype(hd)::value>(ctx, a, e); });
}

/* ---- instantiations ------------------------------------------------------------------------------- */
#define INSTANCES(A)                                                                                             \
    template status k_attn_fwd_cuda<A>(k_ctx *, k_act, k_arr, k_cact, k_cact, k_cact, k_mult, const k_attn *, err *); \
    template status k_attn_bwd_cuda<A>(k_ctx *, k_act, k_act, k_act, k_cact, k_cact, k_cact, k_cact, k_cact, k_in,   \
                                       k_mult, const k_attn *, err *);                                           \
    template size_t k_attn_scratch_cuda<A>(const k_attn *);
INSTANCES(float)
INSTANCES(bf16)
