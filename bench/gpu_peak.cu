/* Written against cublasLt.h and the runtime only: nothing of the backend under test measures its own ceiling. cuBLASLt
 * is opened at run time, as the backend does: the program starts where it is missing, and says what is. */
#include "bench/gpu_peak.h"

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

namespace
{

constexpr size_t ARENA = (size_t)2 << 30, WORKSPACE = (size_t)64 << 20, BLOCK = (size_t)16 << 20;
constexpr int SAMPLES = 7, MAX_ALGOS = 8;
/* Large enough to fill the chip many times over, and different enough in their edges to find the best case. */
constexpr size_t SIZES[][3] = {
    {4096, 4096, 4096}, {8192, 8192, 4096}, {8192, 8192, 8192}, {16384, 8192, 4096}, {8192, 4096, 16384}};
constexpr size_t N_SIZES = sizeof SIZES / sizeof *SIZES;
constexpr size_t FP32_N = 8192;

#define LT_CALLS(X)                                                                                                  \
    X(cublasLtCreate)                                                                                                \
    X(cublasLtDestroy) X(cublasLtMatmul) X(cublasLtMatmulAlgoGetHeuristic) X(cublasLtMatmulDescCreate)               \
        X(cublasLtMatmulDescDestroy) X(cublasLtMatmulDescSetAttribute) X(cublasLtMatmulPreferenceCreate)             \
            X(cublasLtMatmulPreferenceDestroy) X(cublasLtMatmulPreferenceSetAttribute) X(cublasLtMatrixLayoutCreate) \
                X(cublasLtMatrixLayoutDestroy)
#define MEMBER(name) decltype(&::name) name;
struct api {
    LT_CALLS(MEMBER)
};

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
const char LIBRARY[] = "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR);

status open_library(api *a, err *e)
{
    void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* stays open: the driver keeps pointers into it */
    if (!lib) return err_set(e, ST_DEVICE, "peak: %s; put its folder into LD_LIBRARY_PATH", dlerror());
#define FIND(name)                          \
    *(void **)&a->name = dlsym(lib, #name); \
    if (!a->name) return err_set(e, ST_DEVICE, "peak: %s has no " #name, LIBRARY);
    LT_CALLS(FIND)
    return ST_OK;
}

struct plan {
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
    size_t m, n, k, size; /* size: bytes of an element */
    double rate;
};

status cuda(cudaError_t rc, const char *what, err *e)
{
    return rc == cudaSuccess ? ST_OK : err_set(e, ST_DEVICE, "%s: %s", what, cudaGetErrorString(rc));
}
status lt(cublasStatus_t rc, const char *what, err *e)
{
    return rc == CUBLAS_STATUS_SUCCESS ? ST_OK : err_set(e, ST_DEVICE, "%s: cuBLASLt status %d", what, (int)rc);
}
#define TRY(call)                \
    do {                         \
        status try_s = (call);   \
        if (try_s) return try_s; \
    } while (0)

int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

} /* namespace */

struct gpu_peak {
    api lib;
    cublasLtHandle_t handle;
    cudaStream_t stream;
    cudaEvent_t begin, end;
    char *arena, *workspace;
    plan half[N_SIZES], single;
    size_t best;
};

namespace
{

/* Normal numbers as bf16; two of them read as one float are a float of the first one's size. */
status fill(gpu_peak *p, err *e)
{
    float *x = (float *)malloc(BLOCK * 2);
    uint16_t *y = (uint16_t *)malloc(BLOCK);
    status s = x && y ? ST_OK : err_set(e, ST_NOMEM, "peak: out of memory");
    if (!s) {
        rng_fill_normal(x, BLOCK / 2, 1, 1, RNG_TEST, 0, 0);
        for (size_t i = 0; i < BLOCK / 2; i++) {
            uint32_t bits;
            memcpy(&bits, &x[i], 4);
            y[i] = (uint16_t)(bits >> 16);
        }
    }
    for (size_t at = 0; !s && at < ARENA; at += BLOCK)
        s = cuda(cudaMemcpy(p->arena + at, y, BLOCK, cudaMemcpyHostToDevice), "peak: filling memory", e);
    free(x);
    free(y);
    return s;
}

status run(gpu_peak *p, const plan *w, err *e)
{
    const float one = 1, zero = 0;
    char *a = p->arena, *b = a + w->m * w->k * w->size, *c = b + w->n * w->k * w->size;
    return lt(p->lib.cublasLtMatmul(p->handle, w->op, &one, a, w->a, b, w->b, &zero, c, w->c, c, w->c, &w->algo,
                                    p->workspace, WORKSPACE, p->stream),
              "peak: a matrix product", e);
}

/* Seconds of one call of f, from events around `repeat` of them. */
template <class F> status timed(gpu_peak *p, double *seconds, int repeat, F f, err *e)
{
    float ms = 0;
    TRY(cuda(cudaEventRecord(p->begin, p->stream), "cudaEventRecord", e));
    for (int i = 0; i < repeat; i++) TRY(f());
    TRY(cuda(cudaEventRecord(p->end, p->stream), "cudaEventRecord", e));
    TRY(cuda(cudaEventSynchronize(p->end), "peak", e));
    TRY(cuda(cudaEventElapsedTime(&ms, p->begin, p->end), "cudaEventElapsedTime", e));
    *seconds = (double)ms * 1e-3 / repeat;
    return ST_OK;
}

/* How often f must run for some `seconds`, at least once. */
int repeats(double one, double seconds) { return one > 0 && seconds / one > 1 ? (int)(seconds / one) : 1; }

status rate_of(gpu_peak *p, const plan *w, double seconds, double *rate, err *e)
{
    double t = 0, x[SAMPLES];
    auto f = [&] { return run(p, w, e); };
    TRY(timed(p, &t, 1, f, e)); /* loads the kernel */
    TRY(timed(p, &t, 2, f, e));
    const int n = repeats(t, seconds / SAMPLES);
    for (int i = 0; i < SAMPLES; i++) TRY(timed(p, &x[i], n, f, e));
    *rate = 2.0 * (double)w->m * (double)w->n * (double)w->k / median(x, SAMPLES);
    return ST_OK;
}

/* C (m, n) = A^T B, columns contiguous: the form that Hopper's products like best. */
status describe(const api *a, plan *w, const size_t size[3], cudaDataType_t type, cublasComputeType_t compute, err *e)
{
    const cublasOperation_t t = CUBLAS_OP_T;
    w->m = size[0], w->n = size[1], w->k = size[2], w->size = type == CUDA_R_32F ? 4 : 2;
    TRY(lt(a->cublasLtMatmulDescCreate(&w->op, compute, CUDA_R_32F), "peak: descriptor", e));
    TRY(lt(a->cublasLtMatmulDescSetAttribute(w->op, CUBLASLT_MATMUL_DESC_TRANSA, &t, sizeof t), "peak: descriptor", e));
    TRY(lt(a->cublasLtMatrixLayoutCreate(&w->a, type, w->k, w->m, (int64_t)w->k), "peak: layout", e));
    TRY(lt(a->cublasLtMatrixLayoutCreate(&w->b, type, w->k, w->n, (int64_t)w->k), "peak: layout", e));
    return lt(a->cublasLtMatrixLayoutCreate(&w->c, type, w->m, w->n, (int64_t)w->m), "peak: layout", e);
}

status choose(gpu_peak *p, plan *w, err *e)
{
    cublasLtMatmulPreference_t want = NULL;
    cublasLtMatmulHeuristicResult_t found[MAX_ALGOS];
    int n = 0;
    size_t most = WORKSPACE;
    status s = lt(p->lib.cublasLtMatmulPreferenceCreate(&want), "peak: preference", e);
    if (!s)
        s = lt(p->lib.cublasLtMatmulPreferenceSetAttribute(want, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most,
                                                           sizeof most),
               "peak: preference", e);
    if (!s)
        s = lt(
            p->lib.cublasLtMatmulAlgoGetHeuristic(p->handle, w->op, w->a, w->b, w->c, w->c, want, MAX_ALGOS, found, &n),
            "peak: heuristic", e);
    p->lib.cublasLtMatmulPreferenceDestroy(want);
    plan best = *w;
    for (int i = 0; i < n && !s; i++) {
        double rate = 0;
        w->algo = found[i].algo;
        s = rate_of(p, w, 0.02, &rate, e);
        if (!s && rate > best.rate) best.algo = w->algo, best.rate = rate;
    }
    *w = best;
    if (!s && !(best.rate > 0))
        s = err_set(e, ST_DEVICE, "peak: cuBLASLt offers no algorithm for %zu x %zu x %zu", w->m, w->n, w->k);
    return s;
}

void drop(const api *a, plan *w)
{
    if (w->op) a->cublasLtMatmulDescDestroy(w->op);
    if (w->a) a->cublasLtMatrixLayoutDestroy(w->a);
    if (w->b) a->cublasLtMatrixLayoutDestroy(w->b);
    if (w->c) a->cublasLtMatrixLayoutDestroy(w->c);
}

status make(gpu_peak *p, err *e)
{
    TRY(cuda(cudaStreamCreateWithFlags(&p->stream, cudaStreamNonBlocking), "peak: stream", e));
    TRY(cuda(cudaEventCreate(&p->begin), "peak: event", e));
    TRY(cuda(cudaEventCreate(&p->end), "peak: event", e));
    TRY(cuda(cudaMalloc(&p->arena, ARENA), "peak: 2 GiB of device memory", e));
    TRY(cuda(cudaMalloc(&p->workspace, WORKSPACE), "peak: workspace", e));
    TRY(open_library(&p->lib, e));
    TRY(lt(p->lib.cublasLtCreate(&p->handle), "peak: cuBLASLt", e));
    TRY(fill(p, e));
    for (size_t i = 0; i < N_SIZES; i++) {
        TRY(describe(&p->lib, &p->half[i], SIZES[i], CUDA_R_16BF, CUBLAS_COMPUTE_32F, e));
        TRY(choose(p, &p->half[i], e));
        if (p->half[i].rate > p->half[p->best].rate) p->best = i;
    }
    const size_t square[3] = {FP32_N, FP32_N, FP32_N};
    TRY(describe(&p->lib, &p->single, square, CUDA_R_32F, CUBLAS_COMPUTE_32F, e));
    return choose(p, &p->single, e);
}

} /* namespace */

status gpu_peak_new(gpu_peak **out, err *e)
{
    gpu_peak *p = (gpu_peak *)calloc(1, sizeof *p);
    if (!p) return err_set(e, ST_NOMEM, "peak: out of memory");
    status s = make(p, e);
    if (s) gpu_peak_free(p);
    else *out = p;
    return s;
}

void gpu_peak_free(gpu_peak *p)
{
    if (!p) return;
    for (size_t i = 0; i < N_SIZES; i++) drop(&p->lib, &p->half[i]);
    drop(&p->lib, &p->single);
    if (p->handle) p->lib.cublasLtDestroy(p->handle);
    cudaFree(p->workspace);
    cudaFree(p->arena);
    if (p->begin) cudaEventDestroy(p->begin);
    if (p->end) cudaEventDestroy(p->end);
    if (p->stream) cudaStreamDestroy(p->stream);
    free(p);
}

status gpu_peak_measure(gpu_peak *p, gpu_rates *out, err *e)
{
    double x[SAMPLES], t = 0;
    const size_t half = ARENA / 2;
    auto copy = [&] {
        return cuda(cudaMemcpyAsync(p->arena + half, p->arena, half, cudaMemcpyDeviceToDevice, p->stream), "peak: copy",
                    e);
    };
    TRY(rate_of(p, &p->half[p->best], 0.04, &out->bf16, e));
    TRY(rate_of(p, &p->single, 0.04, &out->fp32, e));
    TRY(timed(p, &t, 1, copy, e));
    for (int i = 0; i < SAMPLES; i++) TRY(timed(p, &x[i], 4, copy, e));
    out->copy = 2.0 * (double)half / median(x, SAMPLES);
    return ST_OK;
}

size_t gpu_peak_sizes(const gpu_peak *p, gpu_size *out, size_t max)
{
    for (size_t i = 0; i < N_SIZES && i < max; i++)
        out[i] = {p->half[i].m, p->half[i].n, p->half[i].k, p->half[i].rate};
    return N_SIZES;
}

status gpu_describe(char *out, size_t n, err *e)
{
    cudaDeviceProp d;
    int driver = 0, runtime = 0, device = 0, count = 0;
    TRY(cuda(cudaGetDeviceCount(&count), "CUDA", e));
    if (!count) return err_set(e, ST_DEVICE, "CUDA: no device");
    TRY(cuda(cudaGetDevice(&device), "CUDA", e));
    TRY(cuda(cudaGetDeviceProperties(&d, device), "CUDA", e));
    TRY(cuda(cudaDriverGetVersion(&driver), "CUDA", e));
    TRY(cuda(cudaRuntimeGetVersion(&runtime), "CUDA", e));
    snprintf(out, n,
             "%s, compute capability %d.%d, %d multiprocessors, %.1f GB, L2 %.0f MB, CUDA driver %d.%d, runtime %d.%d",
             d.name, d.major, d.minor, d.multiProcessorCount, (double)d.totalGlobalMem * 1e-9,
             (double)d.l2CacheSize * 1e-6, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    return ST_OK;
}
