#include "kernels/matmul.h"

#include <cblas.h>

#include "kernels/ctx.h"

#ifdef K_REAL_DOUBLE
#define GEMM cblas_dgemm
#else
#define GEMM cblas_sgemm
#endif

status k_matmul_fwd_cpu(k_ctx *ctx, k_act y, k_cact x, k_weight w, k_mult alpha, bool acc, const k_mm *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)s->n, (int)s->out, (int)s->in, k_scalar(alpha, r),
             x.p + r * x.stride, (int)s->ldx, w.w.p + r * w.w.stride, (int)s->in, acc, y.p + r * y.stride, (int)s->ldy);
    return ST_OK;
}

status k_matmul_dgrad_cpu(k_ctx *ctx, k_act dx, k_cact dy, k_weight w, k_mult alpha, bool acc, const k_mm *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s->n, (int)s->in, (int)s->out, k_scalar(alpha, r),
             dy.p + r * dy.stride, (int)s->ldy, w.w.p + r * w.w.stride, (int)s->in, acc, dx.p + r * dx.stride,
             (int)s->ldx);
    return ST_OK;
}

status k_matmul_wgrad_cpu(k_ctx *ctx, k_arr dw, k_cact dy, k_cact x, k_mult alpha, bool acc, const k_mm *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, (int)s->out, (int)s->in, (int)s->n, k_scalar(alpha, r),
             dy.p + r * dy.stride, (int)s->ldy, x.p + r * x.stride, (int)s->ldx, acc, dw.p + r * dw.stride, (int)s->in);
    return ST_OK;
}

size_t k_mm_scratch_cpu(const k_mm *s)
{
    (void)s;
    return 0;
}
