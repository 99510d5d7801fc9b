/* cuBLASLt on the host: the functions of the library that kernels/lt_cuda.cu opens by name, column-major, by CBLAS. What
 * the library leaves open is decided against its caller:
 *
 * - The heuristic's best answer splits k, and claims no reduction for it; the next is not usable; what it prefers then
 *   depends on the batch. Each algorithm has sums of its own, so another choice shows in the bits.
 * - An algorithm relies on every alignment that was declared when it was asked for, for each matrix of the batch.
 * - An algorithm's code is loaded when it first runs, by a call that a capture of this thread forbids.
 * - What lies outside a matrix is not read, and D is not read where beta is 0; a matrix that is not wholly in the
 *   device's memory, or results that overlap, abort: on a device those would be somebody else's numbers. */
#include <cblas.h>
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "tests/emu/state.h"

struct cublasLtContext {
    unsigned loaded; /* a bit per algorithm */
};

namespace {
using namespace emu;
typedef std::lock_guard<std::recursive_mutex> guard;

/* --- what stands in the opaque structs ----------------------------------------------------------------- */

enum : uint32_t { LAYOUT = 0x4c61796f, PRODUCT = 0x50726f64, PREFERENCE = 0x50726566, ALGORITHM = 0x416c676f };
enum { A, B, C, D, MATRICES };
struct matrix { uint32_t magic; cudaDataType type; uint64_t rows, cols; int64_t ld, stride; int32_t batch; };
struct product { uint32_t magic; cublasComputeType_t compute; cudaDataType scale; int32_t pointers, transposed[2]; };
struct preference { uint32_t magic, reductions; uint64_t workspace; uint32_t aligned[MATRICES]; };
struct algorithm { uint32_t magic; int32_t id, parts; uint32_t reduction, aligned[MATRICES], workspace; };

/* SPLIT comes first. VECTOR loads 16 bytes at once. PLAIN does what all do, in two halves of k one after the other. */
enum { SPLIT, UNUSABLE, VECTOR, PLAIN };
enum { VECTOR_BYTES = 16, VECTOR_WORKSPACE = 4096, ELEMENT_MAX = 4, DEFAULT_ALIGNMENT = 256 };

template <class T> const T *look(const void *opaque, uint32_t magic)
{
    const T *t = (const T *)opaque;
    return t && t->magic == magic ? t : nullptr;
}
template <class T, class O> cublasStatus_t init(O *opaque, size_t size, const T &value)
{
    static_assert(sizeof(T) <= sizeof(O), "an opaque struct is too small");
    if (!opaque) return CUBLAS_STATUS_INVALID_VALUE;
    if (size < sizeof *opaque) return CUBLAS_STATUS_ALLOC_FAILED;
    memset((void *)opaque, 0xa5, size);
    memcpy((void *)opaque, &value, sizeof value);
    return CUBLAS_STATUS_SUCCESS;
}
template <class T> cublasStatus_t set(T *field, const void *from, size_t bytes)
{
    if (!from || bytes != sizeof *field) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(field, from, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
template <class T> cublasStatus_t get(T value, void *to, size_t bytes, size_t *written)
{
    if (!to || bytes != sizeof value || !written) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, &value, bytes);
    *written = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

/* --- what is asked for --------------------------------------------------------------------------------- */

int faults;
emu_lt_count counts;

struct problem {
    product p;
    matrix m[MATRICES];
    size_t rows, cols, k; /* of D; of op(A)'s columns */
    size_t batch() const { return (size_t)m[D].batch; }
};

size_t bytes_of(cudaDataType t) { return t == CUDA_R_32F ? 4 : 2; }
size_t extent(const matrix &m) { return (m.cols - 1) * (size_t)m.ld + m.rows; }

cublasStatus_t understand(problem *x, cublasLtHandle_t handle, cublasLtMatmulDesc_t op, cublasLtMatrixLayout_t a,
                          cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d)
{
    const void *const given[MATRICES] = {a, b, c, d};
    const product *p = look<product>(op, PRODUCT);
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!p) return CUBLAS_STATUS_INVALID_VALUE;
    x->p = *p;
    for (int i = 0; i < MATRICES; i++) {
        const matrix *m = look<matrix>(given[i], LAYOUT);
        if (!m || !m->rows || !m->cols || m->ld < (int64_t)m->rows || m->batch < 1) return CUBLAS_STATUS_INVALID_VALUE;
        x->m[i] = *m;
    }
    for (int i = 0; i < 2; i++)
        if (p->transposed[i] != CUBLAS_OP_N && p->transposed[i] != CUBLAS_OP_T) return CUBLAS_STATUS_NOT_SUPPORTED;
    const matrix *m = x->m;
    const bool ta = p->transposed[A] == CUBLAS_OP_T, tb = p->transposed[B] == CUBLAS_OP_T;
    x->rows = ta ? m[A].cols : m[A].rows, x->cols = tb ? m[B].rows : m[B].cols, x->k = ta ? m[A].rows : m[A].cols;
    if ((tb ? m[B].cols : m[B].rows) != x->k || m[D].rows != x->rows || m[D].cols != x->cols || m[C].rows != x->rows
        || m[C].cols != x->cols)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (int i = 0; i < MATRICES; i++)
        if (m[i].batch != m[D].batch) return CUBLAS_STATUS_INVALID_VALUE;
    const bool types = m[A].type == m[B].type && m[C].type == m[D].type && (m[A].type == CUDA_R_32F || m[A].type == CUDA_R_16BF)
                       && (m[D].type == CUDA_R_32F || m[D].type == m[A].type);
    if (!types || p->compute != CUBLAS_COMPUTE_32F || p->scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (x->batch() > 1 && (faults & EMU_LT_NO_BATCHES)) return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

/* Rows and replicas begin where 16 bytes can be loaded. */
bool suits_vectors(const problem &x)
{
    for (const matrix &m : x.m) {
        const size_t size = bytes_of(m.type);
        if ((size_t)m.ld * size % VECTOR_BYTES || (x.batch() > 1 && (size_t)m.stride * size % VECTOR_BYTES)) return false;
    }
    return true;
}

cublasStatus_t usable(const problem &x, const algorithm &a)
{
    if (a.id < SPLIT || a.id > PLAIN) return CUBLAS_STATUS_INVALID_VALUE;
    if (a.id == UNUSABLE || (a.id == VECTOR && !suits_vectors(x))) return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

/* --- the product --------------------------------------------------------------------------------------- */

float load(const void *p, size_t i, cudaDataType t)
{
    return t == CUDA_R_32F ? ((const float *)p)[i] : __bfloat162float(((const __nv_bfloat16 *)p)[i]);
}
void store(void *p, size_t i, cudaDataType t, float v)
{
    if (t == CUDA_R_32F) ((float *)p)[i] = v;
    else ((__nv_bfloat16 *)p)[i] = __float2bfloat16_rn(v);
}
std::vector<float> floats(const matrix &m, const void *p, size_t r)
{
    std::vector<float> y(m.rows * m.cols);
    for (size_t j = 0; j < m.cols; j++)
        for (size_t i = 0; i < m.rows; i++)
            y[j * m.rows + i] = load(p, r * (size_t)m.stride + j * (size_t)m.ld + i, m.type);
    return y;
}

struct job {
    problem x;
    algorithm a;
    float alpha, beta;
    const void *p[MATRICES];
    void *d, *workspace;
};

void compute(const job &j, size_t r)
{
    const problem &x = j.x;
    const std::vector<float> a = floats(x.m[A], j.p[A], r), b = floats(x.m[B], j.p[B], r);
    std::vector<float> d(x.rows * x.cols);
    if (j.beta != 0) d = floats(x.m[C], j.p[C], r);
    const bool ta = x.p.transposed[A] == CUBLAS_OP_T, tb = x.p.transposed[B] == CUBLAS_OP_T;
    /* a split fills the device: into fewer parts where there is a batch */
    size_t parts = j.a.id == SPLIT ? (x.batch() > 1 ? 3 : 4) : j.a.id == PLAIN ? 2 : 1;
    if (parts > x.k) parts = x.k;
    for (size_t q = 0; q < parts; q++) {
        const size_t from = q * x.k / parts, to = (q + 1) * x.k / parts;
        cblas_sgemm(CblasColMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (int)x.rows,
                    (int)x.cols, (int)(to - from), j.alpha, a.data() + (ta ? from : from * x.m[A].rows),
                    (int)x.m[A].rows, b.data() + (tb ? from * x.m[B].rows : from), (int)x.m[B].rows, q ? 1.0f : j.beta,
                    d.data(), (int)x.rows);
    }
    for (size_t c = 0; c < x.cols; c++)
        for (size_t i = 0; i < x.rows; i++)
            store(j.d, r * (size_t)x.m[D].stride + c * (size_t)x.m[D].ld + i, x.m[D].type, d[c * x.rows + i]);
}

cudaError_t run(const job &j)
{
    for (int i = 0; i < MATRICES; i++)
        for (size_t r = 0; r < j.x.batch(); r++)
            if (((size_t)j.p[i] + r * (size_t)j.x.m[i].stride * bytes_of(j.x.m[i].type)) % j.a.aligned[i])
                return cudaErrorMisalignedAddress;
    if (j.a.workspace) memset(j.workspace, 0xff, j.a.workspace);
    for (size_t r = 0; r < j.x.batch(); r++) compute(j, r);
    return cudaSuccess;
}

void check_memory(const job &j, size_t workspace_bytes)
{
    static const char *const name[MATRICES] = {"A", "B", "C", "D"};
    const problem &x = j.x;
    for (int i = 0; i < MATRICES; i++) {
        const matrix &m = x.m[i];
        const size_t size = bytes_of(m.type);
        if (m.stride < 0 || inside(dev().memory, j.p[i], ((x.batch() - 1) * (size_t)m.stride + extent(m)) * size) != 1)
            die("cublasLtMatmul: %s is not in the device's memory: (%zu, %zu), ld %zd, %d of them, stride %zd", name[i],
                (size_t)m.rows, (size_t)m.cols, (ssize_t)m.ld, m.batch, (ssize_t)m.stride);
        if ((size_t)j.p[i] % size) die("cublasLtMatmul: %s is not at an element's address", name[i]);
    }
    if (x.batch() > 1 && (size_t)x.m[D].stride < extent(x.m[D])) die("cublasLtMatmul: results of a batch overlap");
    if (j.p[C] != j.d || x.m[C].ld != x.m[D].ld || x.m[C].stride != x.m[D].stride)
        die("cublasLtMatmul: C is not D");
    if (j.a.workspace > workspace_bytes || (j.a.workspace && ((size_t)j.workspace % 256
                                            || inside(dev().memory, j.workspace, workspace_bytes) != 1)))
        die("cublasLtMatmul: the workspace is not memory of the device, or too small");
}

/* Code is loaded at first use. What that needs, a capture forbids. */
cublasStatus_t loaded(cublasLtHandle_t handle, int id)
{
    if (handle->loaded & 1u << id) return CUBLAS_STATUS_SUCCESS;
    const cudaError_t rc = cudaFree(nullptr);
    if (rc != cudaSuccess) return rc == cudaErrorMemoryAllocation ? CUBLAS_STATUS_ALLOC_FAILED : CUBLAS_STATUS_INTERNAL_ERROR;
    handle->loaded |= 1u << id;
    return CUBLAS_STATUS_SUCCESS;
}
} // namespace

/* --- the library --------------------------------------------------------------------------------------- */

extern "C" {
void emu_lt(int f) { guard g(dev().lock); faults = f; }
emu_lt_count emu_lt_counts(void) { guard g(dev().lock); return counts; }

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out)
{
    int device = 0;
    if (!out) return CUBLAS_STATUS_INVALID_VALUE;
    if (cudaGetDevice(&device) != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
    *out = new cublasLtContext{0};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h)
{
    if (!h) return CUBLAS_STATUS_NOT_INITIALIZED;
    delete h;
    return CUBLAS_STATUS_SUCCESS;
}
size_t cublasLtGetVersion(void) { return CUBLAS_VERSION; }
const char *cublasLtGetStatusString(cublasStatus_t s)
{
    switch (s) {
    case CUBLAS_STATUS_SUCCESS: return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "the library was not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED: return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE: return "an invalid value was used as a parameter";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "the function requires a feature absent from the device";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "the program failed to execute";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "an internal operation failed";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "the requested functionality is not supported";
    }
    return "unknown status";
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t d, size_t size, cublasComputeType_t compute,
                                               cudaDataType_t scale)
{
    return init(d, size, product{PRODUCT, compute, scale, CUBLASLT_POINTER_MODE_HOST, {CUBLAS_OP_N, CUBLAS_OP_N}});
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attr,
                                              const void *from, size_t bytes)
{
    product *p = const_cast<product *>(look<product>(d, PRODUCT));
    if (!p) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attr) {
    case CUBLASLT_MATMUL_DESC_POINTER_MODE: return set(&p->pointers, from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(&p->transposed[A], from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return set(&p->transposed[B], from, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t m, size_t size, cudaDataType type,
                                                 uint64_t rows, uint64_t cols, int64_t ld)
{
    return init(m, size, matrix{LAYOUT, type, rows, cols, ld, 0, 1});
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t d, cublasLtMatrixLayoutAttribute_t attr,
                                                const void *from, size_t bytes)
{
    matrix *m = const_cast<matrix *>(look<matrix>(d, LAYOUT));
    if (!m) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attr) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: return set(&m->batch, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: return set(&m->stride, from, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t p, size_t size)
{
    return init(p, size, preference{PREFERENCE, CUBLASLT_REDUCTION_SCHEME_MASK, 0,
                                    {DEFAULT_ALIGNMENT, DEFAULT_ALIGNMENT, DEFAULT_ALIGNMENT, DEFAULT_ALIGNMENT}});
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t d,
                                                    cublasLtMatmulPreferenceAttributes_t attr, const void *from,
                                                    size_t bytes)
{
    preference *p = const_cast<preference *>(look<preference>(d, PREFERENCE));
    if (!p) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attr) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return set(&p->workspace, from, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return set(&p->reductions, from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return set(&p->aligned[A], from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return set(&p->aligned[B], from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return set(&p->aligned[C], from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return set(&p->aligned[D], from, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attr, void *to, size_t bytes,
                                                    size_t *written)
{
    const algorithm *a = look<algorithm>(algo, ALGORITHM);
    if (!a) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attr) {
    case CUBLASLT_ALGO_CONFIG_ID: return get(a->id, to, bytes, written);
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM: return get(a->parts, to, bytes, written);
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME: return get(a->reduction, to, bytes, written);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t op, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t pref, int room,
                                              cublasLtMatmulHeuristicResult_t found[], int *n)
{
    guard g(dev().lock);
    problem x;
    const preference *p = look<preference>(pref, PREFERENCE);
    if (!p || !n || !found || room < 1) return CUBLAS_STATUS_INVALID_VALUE;
    *n = 0;
    counts.asked++;
    const cublasStatus_t rc = understand(&x, h, op, a, b, c, d);
    if (rc != CUBLAS_STATUS_SUCCESS) return rc;
    for (uint32_t bytes : p->aligned)
        if (!bytes || (bytes & (bytes - 1)) || bytes > DEFAULT_ALIGNMENT) return CUBLAS_STATUS_INVALID_VALUE;
    auto offer = [&](int id, int parts, uint32_t reduction, uint32_t workspace) {
        if (*n == room || workspace > p->workspace || (reduction & ~p->reductions)) return;
        algorithm y = {ALGORITHM, id, parts, reduction, {}, workspace};
        memcpy(y.aligned, p->aligned, sizeof y.aligned);
        cublasLtMatmulHeuristicResult_t *r = &found[(*n)++];
        memset((void *)r, 0xa5, sizeof *r);
        init(&r->algo, sizeof r->algo, y);
        r->workspaceSize = workspace;
        r->state = id == UNUSABLE ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
    };
    bool vectors = suits_vectors(x);
    for (uint32_t bytes : p->aligned) vectors = vectors && bytes >= VECTOR_BYTES;
    offer(SPLIT, 4, CUBLASLT_REDUCTION_SCHEME_NONE, 0);
    offer(SPLIT, 1, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 0);
    offer(UNUSABLE, 1, CUBLASLT_REDUCTION_SCHEME_NONE, 0);
    if (faults & EMU_LT_ONLY_SPLITS) return CUBLAS_STATUS_SUCCESS;
    if (x.batch() > 1) offer(PLAIN, 1, CUBLASLT_REDUCTION_SCHEME_NONE, 0);
    if (vectors) offer(VECTOR, 1, CUBLASLT_REDUCTION_SCHEME_NONE, VECTOR_WORKSPACE);
    if (x.batch() == 1) offer(PLAIN, 1, CUBLASLT_REDUCTION_SCHEME_NONE, 0);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t h, cublasLtMatmulDesc_t op, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algo, cublasLtMatmulHeuristicResult_t *out)
{
    guard g(dev().lock);
    problem x;
    const algorithm *y = look<algorithm>(algo, ALGORITHM);
    counts.checked++;
    if (!y || !out) return CUBLAS_STATUS_INVALID_VALUE;
    cublasStatus_t rc = understand(&x, h, op, a, b, c, d);
    if (rc == CUBLAS_STATUS_SUCCESS) rc = usable(x, *y);
    if (rc != CUBLAS_STATUS_SUCCESS) return rc;
    out->algo = *algo;
    out->workspaceSize = y->workspace;
    out->state = CUBLAS_STATUS_SUCCESS;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t op, const void *alpha, const void *pa,
                              cublasLtMatrixLayout_t a, const void *pb, cublasLtMatrixLayout_t b, const void *beta,
                              const void *pc, cublasLtMatrixLayout_t c, void *pd, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes,
                              cudaStream_t stream)
{
    guard g(dev().lock);
    job j = {};
    const algorithm *y = look<algorithm>(algo, ALGORITHM);
    counts.products++;
    if (!y || !alpha || !beta) return CUBLAS_STATUS_INVALID_VALUE;
    if (faults & EMU_LT_BROKEN) return CUBLAS_STATUS_ARCH_MISMATCH;
    cublasStatus_t rc = understand(&j.x, h, op, a, b, c, d);
    if (rc == CUBLAS_STATUS_SUCCESS) rc = usable(j.x, *y);
    if (rc == CUBLAS_STATUS_SUCCESS) rc = loaded(h, y->id);
    if (rc != CUBLAS_STATUS_SUCCESS) return rc;
    if (j.x.p.pointers != CUBLASLT_POINTER_MODE_HOST || inside(dev().memory, alpha, 4) || inside(dev().memory, beta, 4))
        die("cublasLtMatmul: factors are read from the host's memory only");
    memcpy(&j.alpha, alpha, sizeof j.alpha); /* now: they may be gone when the product runs */
    memcpy(&j.beta, beta, sizeof j.beta);
    j.a = *y;
    j.p[A] = pa, j.p[B] = pb, j.p[C] = pc, j.p[D] = pd;
    j.d = pd, j.workspace = workspace;
    check_memory(j, workspace_bytes);
    const cudaError_t sent = enqueue(stream, "cublasLtMatmul", [j] { return run(j); });
    return sent == cudaSuccess ? CUBLAS_STATUS_SUCCESS
           : sent == cudaErrorMemoryAllocation ? CUBLAS_STATUS_ALLOC_FAILED : CUBLAS_STATUS_EXECUTION_FAILED;
}
}

/* --- how it is found ----------------------------------------------------------------------------------- */

#define NAME_(major) "libcublasLt.so." #major
#define NAME(major) NAME_(major)
static const char library_name[] = NAME(CUBLAS_VER_MAJOR);

#define FUNCTION(name) {#name, (void *)&name}
static const struct { const char *name; void *at; } functions[] = {
    FUNCTION(cublasLtCreate), FUNCTION(cublasLtDestroy), FUNCTION(cublasLtGetVersion), FUNCTION(cublasLtGetStatusString),
    FUNCTION(cublasLtMatmul), FUNCTION(cublasLtMatmulAlgoCheck), FUNCTION(cublasLtMatmulAlgoGetHeuristic),
    FUNCTION(cublasLtMatmulAlgoConfigGetAttribute),
    FUNCTION(cublasLtMatmulDescInit_internal), FUNCTION(cublasLtMatmulDescSetAttribute),
    FUNCTION(cublasLtMatrixLayoutInit_internal), FUNCTION(cublasLtMatrixLayoutSetAttribute),
    FUNCTION(cublasLtMatmulPreferenceInit_internal), FUNCTION(cublasLtMatmulPreferenceSetAttribute),
};

void *emu_dlopen(const char *library, int)
{
    return strcmp(library, library_name) || (faults & EMU_LT_ABSENT) ? nullptr : (void *)functions;
}
const char *emu_dlerror(void) { return "libcublasLt.so.13: cannot open shared object file: No such file or directory"; }
void *emu_dlsym(void *, const char *name)
{
    if (!strcmp(name, "cublasLtMatmulAlgoCheck") && (faults & EMU_LT_OLD)) return nullptr;
    for (const auto &f : functions)
        if (!strcmp(f.name, name)) return f.at;
    return nullptr;
}
