/* The definition's three products by cuBLASLt (lt.h), all replicas in one call. 2 R n in out operations each; on an
 * H100-class chip bound by the tensor cores where in, out and n are some hundreds, and by reading x, y and W below
 * that. bf16: operands bf16, sums fp32, y and dx rounded once; gradients of weights are fp32 and added to. Weights are
 * read from their packed copy, bf16 and row-major. fp32: no TF32.
 *
 * gelu is a kernel of its own and no epilogue: the op also stores the derivative, which cuBLASLt's does not give.
 * A factor per replica is the host's (k_mult): where all are equal, one batched call takes it; else one call per
 * replica with the algorithm of the batch, so that a replica has the same bits either way. */
#include <cuda_bf16.h>

#include "kernels/ctx_cuda.h"
#include "kernels/lt.h"
#include "kernels/ops_cuda.h"

template <class A> static constexpr k_lt_type type_of() { return sizeof(A) == 2 ? K_LT_BF16 : K_LT_FP32; }

template <class A> static status weight(k_lt_mat *out, k_weight w, size_t in, err *e)
{
    if (sizeof(A) == sizeof(real)) *out = {w.w.p, w.w.stride, in};
    else if (w.packed.p) *out = {w.packed.p, w.packed.stride * (sizeof(real) / sizeof(A)), in};
    else return err_set(e, ST_DEVICE, "kernels: a bf16 product needs packed weights");
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
    return run(ctx, &p, alpha, e);
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

size_t k_mm_scratch_cuda(const k_mm *) { return 0; } /* lt has a workspace */

#define BOTH(A)                                                                                                  \
    template status k_matmul_fwd_cuda<A>(k_ctx *, k_act, k_cact, k_weight, k_mult, bool, const k_mm *, err *);   \
    template status k_matmul_dgrad_cuda<A>(k_ctx *, k_act, k_cact, k_weight, k_mult, bool, const k_mm *, err *); \
    template status k_matmul_wgrad_cuda<A>(k_ctx *, k_arr, k_cact, k_cact, k_mult, bool, const k_mm *, err *);
BOTH(float)
BOTH(__nv_bfloat16)
