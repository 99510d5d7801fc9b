/* The definition's three products by cuBLASLt (lt.h), all replicas in one call. 2 R n in out operations each; on an
 * H100-class chip bound by the tensor cores where in, out and n are some hundreds, and by reading x, y and W below
 * that. bf16: operands bf16, sums fp32, y and dx rounded once; gradients of weights are fp32 and added to. Weights are
 * read from their packed copy, bf16 and row-major. fp32: no TF32.
 *
 * gelu is a kernel of its own and no epilogue: cuBLASLt does not say what its tanh is made of, and whether an algorithm
 * that splits nothing has one, only a device can show.
 * A factor per replica is the host's (k_mult): where all are equal, one batched call takes it; else one call per
 * replica with the algorithm of the batch, so that a replica has the same bits either way. */
#include <cuda_bf16.h>

#include "kernels/ctx_cuda.h"
#include "kernels/lt.h"
#include "kernels/ops_cuda.h"
#include "kernels/rows.cuh"

template <class A> static constexpr k_lt_type type_of() { return sizeof(A) == 2 ? K_LT_BF16 : K_LT_FP32; }

template <class A> static status weight(k_lt_mat *out, k_weight w, size_t in, err *e)
{
    if (sizeof(A) == sizeof(real)) *out = {w.w.p, w.w.stride, in};
    else if (w.packed.p) *out = {w.packed.p, w.packed.stride * (sizeof(real) / sizeof(A)), in};
    else return err_set(e, ST_DOMAIN, "kernels: a bf16 product needs packed weights");
    return ST_OK;
}

static bool equal_factors(k_mult alpha, size_t R)
{
    for (size_t r = 1; alpha.p && r < R; r++)
        if (alpha.host[r] != alpha.host[0]) return false;
    return true;
}

static status run(k_ctx *ctx, k_lt_product *x, k_mult alpha, err *e)
{
    const k_cuda *c = k_cuda_of(ctx);
    const size_t R = x->R, a = x->a.stride * k_lt_size(x->in), b = x->b.stride * k_lt_size(x->in),
                 d = x->stride_d * k_lt_size(x->out);
    x->alpha = alpha.p ? alpha.host[0] : 1;
    status s = ST_OK;
    if (equal_factors(alpha, R)) s = k_lt_run(c->lt, c->stream, x, e);
    else
        for (size_t r = 0; r < R && !s; r++) {
            k_lt_product one = *x;
            one.R = 1;
            one.alpha = alpha.host[r];
            one.a.p = (const char *)x->a.p + r * a;
            one.b.p = (const char *)x->b.p + r * b;
            one.d = (char *)x->d + r * d;
            s = k_lt_run(c->lt, c->stream, &one, e);
        }
    return s ? s : k_cuda_launched(ctx, "matmul", e);
}

template <class A>
status k_matmul_fwd_cuda(k_ctx *ctx, k_act y, k_cact x, k_weight w, k_mult alpha, bool acc, const k_mm *s, err *e)
{
    k_lt_product p = {};
    p.in = p.out = type_of<A>();
    p.R = s->R, p.m = s->n, p.n = s->out, p.k = s->in;
    p.a = {x.p, x.stride, s->ldx};
    p.tb = true, p.acc = acc;
    p.d = y.p, p.stride_d = y.stride, p.ldd = s->ldy;
    const status bad = weight<A>(&p.b, w, s->in, e);
    return bad ? bad : run(ctx, &p, alpha, e);
}

template <class A>
status k_matmul_dgrad_cuda(k_ctx *ctx, k_act dx, k_cact dy, k_weight w, k_mult alpha, bool acc, const k_mm *s, err *e)
{
    k_lt_product p = {};
    p.in = p.out = type_of<A>();
    p.R = s->R, p.m = s->n, p.n = s->in, p.k = s->out;
    p.a = {dy.p, dy.stride, s->ldy};
    p.acc = acc;
    p.d = dx.p, p.stride_d = dx.stride, p.ldd = s->ldx;
    const status bad = weight<A>(&p.b, w, s->in, e);
    return bad ? bad : run(ctx, &p, alpha, e);
}

/* A weight's gradient is a long sum, over n, in few tiles: of 768 by 768 in 36 of 128 by 128, a quarter of a large
 * chip. Then n is cut into slices of equal length, each a product of its own into its own fp32 buffer, and the buffers
 * are added in the order of the slices: 8 bytes a slice and weight more. How many is a matter of the shape alone, never
 * of R: as long as there are no more tiles than multiprocessors (108 to 148), and a slice is long enough to be worth
 * its buffer. Slices start on lines of K_ALIGN_DEVICE, so that one has the alignment of all. */
enum { TILE = 128, TILES = 144, SLICE_ROWS = 4096, SLICE_LINE = K_ALIGN_DEVICE / 2 };

static size_t slices_at_most(const k_mm *s)
{
    const size_t tiles = (size_t)k_over(s->out, TILE) * k_over(s->in, TILE);
    size_t k = 1;
    while (2 * k * tiles <= TILES && 2 * k * SLICE_ROWS <= s->n) k *= 2;
    return k;
}
static size_t slices_of(const k_mm *s)
{
    size_t k = slices_at_most(s);
    while (k > 1 && s->n % (k * SLICE_LINE)) k /= 2;
    return k;
}
static size_t slice_len(const k_mm *s) /* reals of a slice's buffer */
{
    const size_t line = K_ALIGN_DEVICE / sizeof(real);
    return (s->in * s->out + line - 1) / line * line;
}

size_t k_mm_scratch_cuda(const k_mm *s) /* for every n up to this one; lt has a workspace of its own */
{
    const size_t k = slices_at_most(s);
    return k > 1 ? s->R * k * slice_len(s) * sizeof(real) : 0;
}

enum { W = 4 }; /* floats at once: gradients start on lines (kernels.h) */
static __global__ void add_slices(k_t<float> dw, const float *part, size_t len, unsigned slices, unsigned n, bool acc,
                                  unsigned blocks)
{
    const unsigned r = blockIdx.x / blocks, j = (blockIdx.x % blocks * K_THREADS + threadIdx.x) * W;
    if (j >= n) return;
    const float *from = part + (size_t)r * slices * len + j;
    float sum[W], x[W];
#pragma unroll
    for (int k = 0; k < W; k++) sum[k] = 0.0f;
    if (acc) k_read(sum, dw.row(r) + j, n - j);
    for (unsigned i = 0; i < slices; i++) {
        k_read(x, from + i * len, n - j);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += x[k];
    }
    k_write(dw.row(r) + j, sum, n - j);
}

static status add(k_ctx *ctx, k_arr dw, const float *part, size_t slices, bool acc, const k_mm *s, err *e)
{
    const size_t n = s->in * s->out;
    const unsigned blocks = k_over(n, K_THREADS * W);
    return K_LAUNCH(ctx, e, add_slices, k_grid(s->R, blocks), dim3(K_THREADS), 0, k_ty(dw), part, slice_len(s),
                    (unsigned)slices, (unsigned)n, acc, blocks);
}

/* One call for all slices of a replica, or for a slice of all replicas: whichever are more. A product has the same bits
 * in either batch (lt.h). */
static status wgrad_in_slices(k_ctx *ctx, const k_lt_product *x, k_arr dw, k_mult alpha, size_t slices, const k_mm *s,
                              err *e)
{
    const k_cuda *c = k_cuda_of(ctx);
    const size_t rows = s->n / slices, a = rows * x->a.ld, b = rows * x->b.ld, len = slice_len(s);
    const size_t bytes = k_lt_size(x->in);
    float *const part = (float *)(void *)c->scratch;
    status st = ST_OK;
    if (c->scratch_bytes < k_mm_scratch_cuda(s))
        return err_set(e, ST_DOMAIN, "wgrad: the context has %zu bytes of scratch, %zu slices want %zu",
                       c->scratch_bytes, slices, k_mm_scratch_cuda(s));
    k_lt_product p = *x;
    p.k = rows, p.acc = false;
    if (s->R < slices) {
        p.R = slices, p.a.stride = a, p.b.stride = b, p.stride_d = len;
        for (size_t r = 0; r < s->R && !st; r++) {
            p.a.p = (const char *)x->a.p + r * x->a.stride * bytes;
            p.b.p = (const char *)x->b.p + r * x->b.stride * bytes;
            p.d = part + r * slices * len;
            p.alpha = alpha.p ? alpha.host[r] : 1;
            st = k_lt_run(c->lt, c->stream, &p, e);
            if (!st) st = k_cuda_launched(ctx, "matmul", e);
        }
    } else {
        p.stride_d = slices * len;
        for (size_t i = 0; i < slices && !st; i++) {
            p.a.p = (const char *)x->a.p + i * a * bytes;
            p.b.p = (const char *)x->b.p + i * b * bytes;
            p.d = part + i * len;
            st = run(ctx, &p, alpha, e);
        }
    }
    return st ? st : add(ctx, dw, part, slices, x->acc, s, e);
}

template <class A>
status k_matmul_wgrad_cuda(k_ctx *ctx, k_arr dw, k_cact dy, k_cact x, k_mult alpha, bool acc, const k_mm *s, err *e)
{
    k_lt_product p = {};
    p.in = type_of<A>(), p.out = K_LT_FP32;
    p.R = s->R, p.m = s->out, p.n = s->in, p.k = s->n;
    p.a = {dy.p, dy.stride, s->ldy};
    p.b = {x.p, x.stride, s->ldx};
    p.ta = true, p.acc = acc;
    p.d = dw.p, p.stride_d = dw.stride, p.ldd = s->in;
    const size_t slices = slices_of(s);
    return slices > 1 ? wgrad_in_slices(ctx, &p, dw, alpha, slices, s, e) : run(ctx, &p, alpha, e);
}

status k_matmul_fwd_real_cuda(k_ctx *ctx, k_arr y, k_cact x, k_weight w, k_mult alpha, const k_mm *s, err *e)
{
    k_lt_product p = {};
    p.in = K_LT_BF16, p.out = K_LT_FP32;
    p.R = s->R, p.m = s->n, p.n = s->out, p.k = s->in;
    p.a = {x.p, x.stride, s->ldx};
    p.tb = true;
    p.d = y.p, p.stride_d = y.stride, p.ldd = s->ldy;
    const status bad = weight<__nv_bfloat16>(&p.b, w, s->in, e);
    return bad ? bad : run(ctx, &p, alpha, e);
}

#define BOTH(A)                                                                                                  \
    template status k_matmul_fwd_cuda<A>(k_ctx *, k_act, k_cact, k_weight, k_mult, bool, const k_mm *, err *);   \
    template status k_matmul_dgrad_cuda<A>(k_ctx *, k_act, k_cact, k_weight, k_mult, bool, const k_mm *, err *); \
    template status k_matmul_wgrad_cuda<A>(k_ctx *, k_arr, k_cact, k_cact, k_mult, bool, const k_mm *, err *);
BOTH(float)
BOTH(__nv_bfloat16)
