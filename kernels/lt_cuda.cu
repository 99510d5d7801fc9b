/* cuBLASLt behind lt.h. What it computes is column-major: a row-major matrix with row stride ld is its own transpose in
 * column-major with the same ld, so D = op(A) op(B) is asked for as D^T = op(B)^T op(A)^T, B first. */
#include <cublasLt.h>
#include <cublas_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ctx_cuda.h"
#include "kernels/dynamic.h"
#include "kernels/lt.h"

enum { ANSWERS = 16 }; /* of the heuristic, best first: the first one that splits nothing is taken */

#define LT_SYMBOLS(X)                                                                                   \
    X(cublasLtCreate) X(cublasLtDestroy) X(cublasLtGetVersion) X(cublasLtGetStatusString)               \
    X(cublasLtMatmul) X(cublasLtMatmulAlgoCheck) X(cublasLtMatmulAlgoGetHeuristic)                      \
    X(cublasLtMatmulAlgoConfigGetAttribute)                                                             \
    X(cublasLtMatmulDescInit_internal) X(cublasLtMatmulDescSetAttribute)                                \
    X(cublasLtMatrixLayoutInit_internal) X(cublasLtMatrixLayoutSetAttribute)                            \
    X(cublasLtMatmulPreferenceInit_internal) X(cublasLtMatmulPreferenceSetAttribute)

typedef struct api {
    LT_SYMBOLS(K_DYNAMIC_MEMBER)
} api;

static status open_library(api *f, err *e)
{
#define FIND(name) {#name, &f->name},
    const k_symbol s[] = {LT_SYMBOLS(FIND)};
    return k_dynamic(K_SONAME("libcublasLt", CUBLAS_VER_MAJOR), s, sizeof s / sizeof *s, e);
}

/* What an algorithm depends on; R is 1 and the strides 0 where the heuristic is asked. Words: compared as bytes. */
typedef struct key {
    uint64_t types, forms, m, n, k, lda, ldb, ldd, align_a, align_b, align_d, R, stride_a, stride_b, stride_d;
} key;

typedef struct plan {
    key k;
    bool one_by_one; /* the algorithm does not fit the batch */
    cublasLtMatmulAlgo_t algo;
} plan;

struct k_lt {
    api f;
    cublasLtHandle_t handle;
    void *workspace;
    plan *plans; /* some dozens; searched while a graph is recorded, not while it runs */
    size_t n_plans, room;
};

typedef struct problem { /* descriptions of a product, for cuBLASLt: `first` is B, `second` A */
    cublasLtMatmulDescOpaque_t op;
    cublasLtMatrixLayoutOpaque_t first, second, out;
} problem;

#define TRY(call)                    \
    do {                             \
        const status try_s = (call); \
        if (try_s) return try_s;     \
    } while (0)
#define LT(call, what) TRY(checked(lt, (call), (what), e))

static status checked(const k_lt *lt, cublasStatus_t rc, const char *what, err *e)
{
    if (rc == CUBLAS_STATUS_SUCCESS) return ST_OK;
    if (rc == CUBLAS_STATUS_ALLOC_FAILED) return k_cuda_status(cudaErrorMemoryAllocation, what, e);
    const cudaError_t cuda = cudaGetLastError(); /* what lies behind it, where CUDA knows */
    if (cuda != cudaSuccess) return k_cuda_status(cuda, what, e);
    return err_set(e, ST_DEVICE, "cuBLASLt: %s: %s", what, lt->f.cublasLtGetStatusString(rc));
}

/* --- context ---------------------------------------------------------------------------------------- */

bool k_lt_version(char *out, size_t room, err *e)
{
    api f;
    if (open_library(&f, e)) return false;
    const size_t v = f.cublasLtGetVersion(); /* 130100 is 13.1.0, as CUBLAS_VERSION */
    snprintf(out, room, "%zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
    return true;
}

static status fill(k_lt *lt, err *e)
{
    TRY(open_library(&lt->f, e));
    LT(lt->f.cublasLtCreate(&lt->handle), "making a handle");
    return k_cuda_status(cudaMalloc(&lt->workspace, K_LT_WORKSPACE), "asking for 32 MiB, cuBLASLt's workspace", e);
}

status k_lt_new(k_lt **out, int device, err *e)
{
    (void)device; /* the current one */
    k_lt *lt = (k_lt *)calloc(1, sizeof *lt);
    if (!lt) return err_set(e, ST_NOMEM, "kernels: no memory for matrix products");
    const status s = fill(lt, e);
    if (s) k_lt_free(lt);
    else *out = lt;
    return s;
}

void k_lt_free(k_lt *lt)
{
    if (!lt) return;
    if (lt->workspace) (void)cudaFree(lt->workspace);
    if (lt->handle) (void)lt->f.cublasLtDestroy(lt->handle);
    free(lt->plans);
    free(lt);
}

/* --- plans ------------------------------------------------------------------------------------------ */

static status layout(const k_lt *lt, cublasLtMatrixLayoutOpaque_t *out, k_lt_type type, size_t rows, size_t cols,
                     size_t ld, size_t R, size_t stride, err *e)
{
    const int32_t batch = (int32_t)R;
    const int64_t offset = (int64_t)stride;
    const cudaDataType_t t = type == K_LT_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    LT(lt->f.cublasLtMatrixLayoutInit_internal(out, sizeof *out, t, cols, rows, (int64_t)ld), "a layout");
    LT(lt->f.cublasLtMatrixLayoutSetAttribute(out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch),
       "a layout");
    LT(lt->f.cublasLtMatrixLayoutSetAttribute(out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &offset, sizeof offset),
       "a layout");
    return ST_OK;
}

/* A and B as they are stored, (rows, cols): (m, k) and (k, n), or turned. */
static status describe(const k_lt *lt, problem *p, const k_lt_product *x, size_t R, err *e)
{
    const cublasOperation_t first = x->tb ? CUBLAS_OP_T : CUBLAS_OP_N, second = x->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    const size_t batch = R > 1;
    LT(lt->f.cublasLtMatmulDescInit_internal(&p->op, sizeof p->op, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product");
    LT(lt->f.cublasLtMatmulDescSetAttribute(&p->op, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first), "a product");
    LT(lt->f.cublasLtMatmulDescSetAttribute(&p->op, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second), "a product");
    TRY(layout(lt, &p->first, x->in, x->tb ? x->n : x->k, x->tb ? x->k : x->n, x->b.ld, R, batch * x->b.stride, e));
    TRY(layout(lt, &p->second, x->in, x->ta ? x->k : x->m, x->ta ? x->m : x->k, x->a.ld, R, batch * x->a.stride, e));
    return layout(lt, &p->out, x->out, x->m, x->n, x->ldd, R, batch * x->stride_d, e);
}

static key key_of(const k_lt_product *x, size_t R)
{
    key k = {};
    const size_t in = k_lt_size(x->in), batch = R > 1;
    k.types = (uint64_t)x->in * 2 + (uint64_t)x->out;
    k.forms = (uint64_t)x->ta * 4 + (uint64_t)x->tb * 2 + (uint64_t)x->acc;
    k.m = x->m, k.n = x->n, k.k = x->k;
    k.lda = x->a.ld, k.ldb = x->b.ld, k.ldd = x->ldd;
    k.align_a = k_lt_alignment(x->a.p, x->a.stride * in);
    k.align_b = k_lt_alignment(x->b.p, x->b.stride * in);
    k.align_d = k_lt_alignment(x->d, x->stride_d * k_lt_size(x->out));
    k.R = R;
    k.stride_a = batch * x->a.stride, k.stride_b = batch * x->b.stride, k.stride_d = batch * x->stride_d;
    return k;
}

static status prefer(const k_lt *lt, cublasLtMatmulPreferenceOpaque_t *pref, const key *k, err *e)
{
    const uint64_t room = K_LT_WORKSPACE;
    const uint32_t none = CUBLASLT_REDUCTION_SCHEME_NONE, a = (uint32_t)k->align_a, b = (uint32_t)k->align_b,
                   d = (uint32_t)k->align_d;
    const struct {
        cublasLtMatmulPreferenceAttributes_t attr;
        const void *p;
        size_t bytes;
    } set[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &none, sizeof none},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &b, sizeof b}, /* its A is our B */
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &a, sizeof a},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &d, sizeof d},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &d, sizeof d},
    };
    LT(lt->f.cublasLtMatmulPreferenceInit_internal(pref, sizeof *pref), "a preference");
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        LT(lt->f.cublasLtMatmulPreferenceSetAttribute(pref, set[i].attr, set[i].p, set[i].bytes), "a preference");
    return ST_OK;
}

/* One block makes an element of D from all of k: its sum has one order. */
static bool whole(const k_lt *lt, const cublasLtMatmulAlgo_t *algo)
{
    int32_t parts = 1;
    uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_NONE;
    size_t n;
    return !lt->f.cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts, sizeof parts,
                                                       &n) &&
           !lt->f.cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme,
                                                       sizeof scheme, &n) &&
           parts <= 1 && scheme == CUBLASLT_REDUCTION_SCHEME_NONE;
}

static status ask(k_lt *lt, plan *out, const k_lt_product *x, err *e)
{
    problem p;
    cublasLtMatmulPreferenceOpaque_t pref;
    cublasLtMatmulHeuristicResult_t found[ANSWERS];
    int n = 0;
    TRY(describe(lt, &p, x, 1, e));
    TRY(prefer(lt, &pref, &out->k, e));
    const cublasStatus_t rc = lt->f.cublasLtMatmulAlgoGetHeuristic(lt->handle, &p.op, &p.first, &p.second, &p.out,
                                                                   &p.out, &pref, ANSWERS, found, &n);
    if (rc != CUBLAS_STATUS_SUCCESS && rc != CUBLAS_STATUS_NOT_SUPPORTED) LT(rc, "choosing an algorithm");
    for (int i = 0; i < n; i++)
        if (found[i].state == CUBLAS_STATUS_SUCCESS && found[i].workspaceSize <= K_LT_WORKSPACE &&
            whole(lt, &found[i].algo)) {
            out->algo = found[i].algo;
            return ST_OK;
        }
    return err_set(
        e, ST_DOMAIN, /* the shape is refused; the device is well */
        "cuBLASLt has no algorithm without a split of k for a product of %s (%zu, %zu) and (%zu, %zu) with row "
        "strides %zu, %zu, %zu; widths that are multiples of 8 have one",
        x->in == K_LT_BF16 ? "bf16" : "fp32", x->m, x->k, x->k, x->n, x->a.ld, x->b.ld, x->ldd);
}

/* Whether the algorithm of one replica also computes the batch. */
static status fits(k_lt *lt, bool *yes, const cublasLtMatmulAlgo_t *algo, const k_lt_product *x, err *e)
{
    problem p;
    cublasLtMatmulHeuristicResult_t r;
    TRY(describe(lt, &p, x, x->R, e));
    *yes = lt->f.cublasLtMatmulAlgoCheck(lt->handle, &p.op, &p.first, &p.second, &p.out, &p.out, algo, &r) ==
               CUBLAS_STATUS_SUCCESS &&
           r.workspaceSize <= K_LT_WORKSPACE;
    return ST_OK;
}

static const plan *known(const k_lt *lt, const key *k)
{
    for (size_t i = 0; i < lt->n_plans; i++)
        if (!memcmp(&lt->plans[i].k, k, sizeof *k)) return &lt->plans[i];
    return NULL;
}

static status keep(k_lt *lt, const plan *p, err *e)
{
    if (lt->n_plans == lt->room) {
        const size_t room = lt->room ? 2 * lt->room : 32;
        plan *more = (plan *)realloc(lt->plans, room * sizeof *more);
        if (!more) return err_set(e, ST_NOMEM, "kernels: no memory for matrix products");
        lt->plans = more;
        lt->room = room;
    }
    lt->plans[lt->n_plans++] = *p;
    return ST_OK;
}

static status plan_for(k_lt *lt, plan *out, const k_lt_product *x, err *e)
{
    plan p = {};
    const plan *old;
    p.k = key_of(x, 1);
    if ((old = known(lt, &p.k))) p = *old;
    else {
        TRY(ask(lt, &p, x, e));
        TRY(keep(lt, &p, e));
    }
    if (x->R > 1) {
        p.k = key_of(x, x->R);
        if ((old = known(lt, &p.k))) p = *old;
        else {
            bool yes = false;
            TRY(fits(lt, &yes, &p.algo, x, e));
            p.one_by_one = !yes;
            TRY(keep(lt, &p, e));
        }
    }
    *out = p;
    return ST_OK;
}

size_t k_lt_one_by_one(const k_lt *lt)
{
    size_t n = 0;
    for (size_t i = 0; i < lt->n_plans; i++) n += lt->plans[i].one_by_one;
    return n;
}

/* --- products --------------------------------------------------------------------------------------- */

static status launch(k_lt *lt, cudaStream_t stream, const k_lt_product *x, const plan *p, size_t R, err *e)
{
    problem d;
    const float beta = x->acc ? 1.0f : 0.0f;
    TRY(describe(lt, &d, x, R, e));
    LT(lt->f.cublasLtMatmul(lt->handle, &d.op, &x->alpha, x->b.p, &d.first, x->a.p, &d.second, &beta, x->d, &d.out,
                            x->d, &d.out, &p->algo, lt->workspace, K_LT_WORKSPACE, stream),
       "a matrix product");
    return ST_OK;
}

static const void *moved(const void *p, size_t elements, k_lt_type t)
{
    return (const char *)p + elements * k_lt_size(t);
}

static status run(k_lt *lt, cudaStream_t stream, const k_lt_product *x, err *e)
{
    plan p;
    TRY(plan_for(lt, &p, x, e));
    if (!p.one_by_one) return launch(lt, stream, x, &p, x->R, e);
    for (size_t r = 0; r < x->R; r++) {
        k_lt_product y = *x;
        y.a.p = moved(x->a.p, r * x->a.stride, x->in);
        y.b.p = moved(x->b.p, r * x->b.stride, x->in);
        y.d = (void *)moved(x->d, r * x->stride_d, x->out);
        TRY(launch(lt, stream, &y, &p, 1, e));
    }
    return ST_OK;
}

/* A library that loads its code at first use may do what a capture of this thread forbids. That is no part of the step,
 * and is let through. */
status k_lt_run(k_lt *lt, cudaStream_t stream, const k_lt_product *x, err *e)
{
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    TRY(k_cuda_status(cudaThreadExchangeStreamCaptureMode(&mode), "a matrix product", e));
    const status s = run(lt, stream, x, e);
    (void)cudaThreadExchangeStreamCaptureMode(&mode);
    return s;
}
