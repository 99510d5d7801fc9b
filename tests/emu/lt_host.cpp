/* lt.h by CBLAS, for the CUDA-on-CPU layer: one sgemm per replica on operands turned into floats, bf16 results rounded
 * once. Stricter than cuBLASLt about what it is asked: a wrong row stride or a misplaced operand aborts here, on a
 * device it would be an error or somebody else's numbers. */
#include <cblas.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <vector>

#include "kernels/ctx_cuda.h"
#include "kernels/lt.h"

struct k_lt {
    void *workspace; /* of the device, so that running out of memory meets it as it meets cuBLASLt's */
};

status k_lt_new(k_lt **out, int, err *e)
{
    k_lt *lt = (k_lt *)calloc(1, sizeof *lt);
    if (!lt) return err_set(e, ST_NOMEM, "kernels: no memory for matrix products");
    const status s = k_cuda_status(cudaMalloc(&lt->workspace, 4096), "asking for a workspace", e);
    if (s) k_lt_free(lt);
    else *out = lt;
    return s;
}

void k_lt_free(k_lt *lt)
{
    if (!lt) return;
    if (lt->workspace) (void)cudaFree(lt->workspace);
    free(lt);
}

bool k_lt_version(char *out, size_t room, err *)
{
    snprintf(out, room, "0.0.0 (host)");
    return true;
}

#define MUST(condition)                                                                                             \
    do {                                                                                                            \
        if (!(condition)) {                                                                                         \
            fprintf(stderr, "lt: %s does not hold: m %zu n %zu k %zu R %zu\n", #condition, x->m, x->n, x->k, x->R); \
            abort();                                                                                                \
        }                                                                                                           \
    } while (0)

static size_t extent(size_t rows, size_t cols, size_t ld) { return (rows - 1) * ld + cols; }

static void check(const k_lt_product *x)
{
    const size_t in = k_lt_size(x->in), out = k_lt_size(x->out), big = (size_t)1 << 31;
    const size_t a_rows = x->ta ? x->k : x->m, a_cols = x->ta ? x->m : x->k;
    const size_t b_rows = x->tb ? x->n : x->k, b_cols = x->tb ? x->k : x->n;
    MUST(x->R && x->m && x->n && x->k && x->R < big && x->m < big && x->n < big && x->k < big);
    MUST(x->a.p && x->b.p && x->d);
    MUST(x->a.ld >= a_cols && x->b.ld >= b_cols && x->ldd >= x->n);
    MUST((size_t)x->a.p % in == 0 && (size_t)x->b.p % in == 0 && (size_t)x->d % out == 0);
    if (x->R == 1) return;
    MUST(!x->a.stride || x->a.stride >= extent(a_rows, a_cols, x->a.ld));
    MUST(!x->b.stride || x->b.stride >= extent(b_rows, b_cols, x->b.ld));
    MUST(x->stride_d >= extent(x->m, x->n, x->ldd));
    MUST(x->a.stride * in % K_ALIGN_DEVICE == 0 && x->b.stride * in % K_ALIGN_DEVICE == 0 &&
         x->stride_d * out % K_ALIGN_DEVICE == 0);
}

static std::vector<float> floats(const void *p, size_t first, size_t rows, size_t cols, size_t ld, k_lt_type t)
{
    std::vector<float> y(rows * cols);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            const size_t at = first + i * ld + j;
            y[i * cols + j] =
                t == K_LT_BF16 ? __bfloat162float(((const __nv_bfloat16 *)p)[at]) : ((const float *)p)[at];
        }
    return y;
}

static void replica(const k_lt_product *x, size_t r)
{
    const size_t ar = x->ta ? x->k : x->m, ac = x->ta ? x->m : x->k, br = x->tb ? x->n : x->k, bc = x->tb ? x->k : x->n;
    const std::vector<float> a = floats(x->a.p, r * x->a.stride, ar, ac, x->a.ld, x->in);
    const std::vector<float> b = floats(x->b.p, r * x->b.stride, br, bc, x->b.ld, x->in);
    std::vector<float> d(x->m * x->n);
    if (x->acc) d = floats(x->d, r * x->stride_d, x->m, x->n, x->ldd, x->out);
    cblas_sgemm(CblasRowMajor, x->ta ? CblasTrans : CblasNoTrans, x->tb ? CblasTrans : CblasNoTrans, (int)x->m,
                (int)x->n, (int)x->k, x->alpha, a.data(), (int)ac, b.data(), (int)bc, x->acc ? 1.0f : 0.0f, d.data(),
                (int)x->n);
    for (size_t i = 0; i < x->m; i++)
        for (size_t j = 0; j < x->n; j++) {
            const size_t at = r * x->stride_d + i * x->ldd + j;
            if (x->out == K_LT_BF16) ((__nv_bfloat16 *)x->d)[at] = __float2bfloat16_rn(d[i * x->n + j]);
            else ((float *)x->d)[at] = d[i * x->n + j];
        }
}

status k_lt_run(k_lt *lt, cudaStream_t stream, const k_lt_product *x, err *e)
{
    const k_lt_product y = *x;
    check(x);
    MUST(lt->workspace);
    return k_cuda_status(emu::enqueue(stream, "matmul",
                                      [y] {
                                          for (size_t r = 0; r < y.R; r++) replica(&y, r);
                                          return cudaSuccess;
                                      }),
                         "a matrix product", e);
}
