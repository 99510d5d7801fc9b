/* cuDNN behind dnn.h, by its C backend API. cuDNN 9.19's one-call attention has no causal mask in that API, so the
 * forward pass is given as the graph of operations that cuDNN knows as fused attention: S = Q K^T, times the scale,
 * -1e9 where the key is behind the query, softmax as max, subtract, exp, sum, divide (and log and add for lse), and
 * O = P V. Everything between Q, K, V and O, lse is virtual: it never reaches memory.
 *
 * Backward: our own kernel with cuDNN's lse. cuDNN's adds dq by float atomics unless asked not to, and the gain of
 * either is unmeasured.
 *
 * Plans whose engine is noted non-deterministic are rejected. What is here has not run on a device: cuDNN 9.19 takes
 * the graph and counts engines for it, no plan was ever made. */
#include <cudnn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ctx_cuda.h"
#include "kernels/dnn.h"
#include "kernels/dynamic.h"

/* The handle of a graph and of a plan: deprecated, but older releases of cuDNN 9 want them. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum {
    MAX_OPS = 16,
    MAX_DESCRIPTORS = 96,
    MAX_ENGINES = 8,
    MAX_PLANS = 8
};

#define DNN_SYMBOLS(X)                                                                             \
    X(cudnnGetVersion) X(cudnnGetErrorString) X(cudnnCreate) X(cudnnDestroy) X(cudnnSetStream)     \
    X(cudnnBackendCreateDescriptor) X(cudnnBackendDestroyDescriptor) X(cudnnBackendSetAttribute)   \
    X(cudnnBackendGetAttribute) X(cudnnBackendFinalize) X(cudnnBackendExecute)

typedef struct api {
    DNN_SYMBOLS(K_DYNAMIC_MEMBER)
} api;

static status open_library(api *f, err *e)
{
#define FIND(name) {#name, (void *)&f->name},
    const k_symbol s[] = {DNN_SYMBOLS(FIND)};
    return k_dynamic(K_SONAME("libcudnn", CUDNN_MAJOR), s, sizeof s / sizeof *s, e);
}

bool k_dnn_version(char *out, size_t room, err *e)
{
    api f;
    if (open_library(&f, e)) return false;
    const size_t v = f.cudnnGetVersion(); /* 91900 is 9.19.0 */
    snprintf(out, room, "%zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
    return true;
}

/* --- descriptions ----------------------------------------------------------------------------------- */

typedef cudnnBackendDescriptor_t desc;

/* Makes descriptors and keeps them; after a first failure does nothing more and knows what failed. */
struct maker {
    const api *f;
    desc all[MAX_DESCRIPTORS], ops[MAX_OPS];
    size_t n, n_ops;
    int64_t next_id;
    cudnnStatus_t rc;
    const char *failed;

    explicit maker(const api *api_) : f(api_), n(0), n_ops(0), next_id(100), rc(CUDNN_STATUS_SUCCESS), failed("") {}
    ~maker()
    {
        while (n) (void)f->cudnnBackendDestroyDescriptor(all[--n]);
    }
    maker(const maker &) = delete;

    bool check(cudnnStatus_t s, const char *what)
    {
        if (rc == CUDNN_STATUS_SUCCESS && s != CUDNN_STATUS_SUCCESS) rc = s, failed = what;
        return rc == CUDNN_STATUS_SUCCESS;
    }
    desc make(cudnnBackendDescriptorType_t type, const char *what)
    {
        if (rc != CUDNN_STATUS_SUCCESS) return NULL;
        if (n == MAX_DESCRIPTORS) return check(CUDNN_STATUS_INTERNAL_ERROR, "too many descriptors"), (desc)NULL;
        desc d = NULL;
        if (!check(f->cudnnBackendCreateDescriptor(type, &d), what)) return NULL;
        return all[n++] = d;
    }
    void set(desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void *p,
             const char *what)
    {
        if (rc == CUDNN_STATUS_SUCCESS) check(f->cudnnBackendSetAttribute(d, name, type, count, p), what);
    }
    void point(desc d, cudnnBackendAttributeName_t name, desc to, const char *what)
    {
        set(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &to, what);
    }
    desc done(desc d, const char *what)
    {
        if (rc == CUDNN_STATUS_SUCCESS) check(f->cudnnBackendFinalize(d), what);
        return d;
    }
};

typedef struct dims {
    int64_t d[4];
} dims;

enum { Q = 1, K, V, O, LSE, SCALE, BEHIND, N_OPERANDS = 7 }; /* unique ids of what is in memory */

static desc tensor(maker *m, int64_t id, cudnnDataType_t type, dims size, dims stride, bool is_virtual, bool by_value)
{
    const int64_t align = type == CUDNN_DATA_BFLOAT16 ? 16 : 4;
    desc t = m->make(CUDNN_BACKEND_TENSOR_DESCRIPTOR, "a tensor");
    m->set(t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id, "a tensor's id");
    m->set(t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type, "a tensor's type");
    m->set(t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align, "a tensor's alignment");
    m->set(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, size.d, "a tensor's size");
    m->set(t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride.d, "a tensor's strides");
    m->set(t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual, "a virtual tensor");
    m->set(t, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value, "a value");
    return m->done(t, "a tensor");
}

static desc between(maker *m, cudnnDataType_t type, dims size)
{
    const dims packed = {{size.d[1] * size.d[2] * size.d[3], size.d[2] * size.d[3], size.d[3], 1}};
    return tensor(m, m->next_id++, type, size, packed, true, false);
}

static void operation(maker *m, desc op, const char *what)
{
    m->done(op, what);
    if (m->n_ops < MAX_OPS) m->ops[m->n_ops++] = op;
    else m->check(CUDNN_STATUS_INTERNAL_ERROR, "too many operations");
}

static void matmul(maker *m, desc a, desc b, desc c)
{
    const cudnnDataType_t fp32 = CUDNN_DATA_FLOAT;
    desc how = m->make(CUDNN_BACKEND_MATMUL_DESCRIPTOR, "a product");
    m->set(how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &fp32, "a product's type");
    m->done(how, "a product");
    desc op = m->make(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, "a product");
    m->point(op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a, "a product's A");
    m->point(op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b, "a product's B");
    m->point(op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c, "a product's C");
    m->point(op, CUDNN_ATTR_OPERATION_MATMUL_DESC, how, "a product");
    operation(m, op, "a product");
}

/* y = mode(x), mode(x, b), or t ? x : b; axis < 0: none. */
static void pointwise(maker *m, cudnnPointwiseMode_t mode, cudnnDataType_t compute, desc x, desc b, desc t, desc y,
                      int64_t axis)
{
    desc how = m->make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "a pointwise operation");
    m->set(how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode, "a pointwise mode");
    m->set(how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute, "a pointwise type");
    if (axis >= 0) m->set(how, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &axis, "an axis");
    m->done(how, "a pointwise operation");
    desc op = m->make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "a pointwise operation");
    m->point(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how, "a pointwise operation");
    m->point(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x, "a pointwise operand");
    if (b) m->point(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b, "a pointwise operand");
    if (t) m->point(op, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t, "a pointwise operand");
    m->point(op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y, "a pointwise result");
    operation(m, op, "a pointwise operation");
}

static void reduce(maker *m, cudnnReduceTensorOp_t mode, desc x, desc y)
{
    const cudnnDataType_t fp32 = CUDNN_DATA_FLOAT;
    desc how = m->make(CUDNN_BACKEND_REDUCTION_DESCRIPTOR, "a reduction");
    m->set(how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &mode, "a reduction's mode");
    m->set(how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &fp32, "a reduction's type");
    m->done(how, "a reduction");
    desc op = m->make(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, "a reduction");
    m->point(op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x, "a reduction's operand");
    m->point(op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y, "a reduction's result");
    m->point(op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how, "a reduction");
    operation(m, op, "a reduction");
}

/* The forward pass of one replica: m->ops. Heads are columns of the rows that a sequence's positions are. */
static bool forward(maker *m, const k_attn *s)
{
    const int64_t B = (int64_t)s->B, H = (int64_t)s->n_head, G = (int64_t)s->n_kv_head, T = (int64_t)s->T,
                  D = (int64_t)s->head_dim, ld = (int64_t)s->ld, ldo = (int64_t)s->ldo;
    const cudnnDataType_t bf16 = CUDNN_DATA_BFLOAT16, fp32 = CUDNN_DATA_FLOAT, yes_no = CUDNN_DATA_BOOLEAN;
    const dims scores = {{B, H, T, T}}, rows = {{B, H, T, 1}}, one = {{1, 1, 1, 1}};
    desc q = tensor(m, Q, bf16, {{B, H, T, D}}, {{T * ld, D, ld, 1}}, false, false);
    desc k = tensor(m, K, bf16, {{B, G, D, T}}, {{T * ld, D, 1, ld}}, false, false); /* turned */
    desc v = tensor(m, V, bf16, {{B, G, T, D}}, {{T * ld, D, ld, 1}}, false, false);
    desc o = tensor(m, O, bf16, {{B, H, T, D}}, {{T * ldo, D, ldo, 1}}, false, false);
    desc lse = tensor(m, LSE, fp32, rows, {{H * T, T, 1, 1}}, false, false);
    desc scale = tensor(m, SCALE, fp32, one, one, false, false);
    desc behind = tensor(m, BEHIND, fp32, one, one, false, true);

    desc raw = between(m, fp32, scores), scaled = between(m, fp32, scores), masked = between(m, fp32, scores);
    desc row = between(m, CUDNN_DATA_INT32, scores), col = between(m, CUDNN_DATA_INT32, scores);
    desc seen = between(m, yes_no, scores);
    desc max = between(m, fp32, rows), less = between(m, fp32, scores), exp = between(m, fp32, scores);
    desc sum = between(m, fp32, rows), log = between(m, fp32, rows), p = between(m, bf16, scores);

    matmul(m, q, k, raw);
    pointwise(m, CUDNN_POINTWISE_MUL, fp32, raw, scale, NULL, scaled, -1);
    pointwise(m, CUDNN_POINTWISE_GEN_INDEX, fp32, scaled, NULL, NULL, row, 2);
    pointwise(m, CUDNN_POINTWISE_GEN_INDEX, fp32, scaled, NULL, NULL, col, 3);
    pointwise(m, CUDNN_POINTWISE_CMP_GE, yes_no, row, col, NULL, seen, -1);
    pointwise(m, CUDNN_POINTWISE_BINARY_SELECT, fp32, scaled, behind, seen, masked, -1);
    reduce(m, CUDNN_REDUCE_TENSOR_MAX, masked, max);
    pointwise(m, CUDNN_POINTWISE_SUB, fp32, masked, max, NULL, less, -1);
    pointwise(m, CUDNN_POINTWISE_EXP, fp32, less, NULL, NULL, exp, -1);
    reduce(m, CUDNN_REDUCE_TENSOR_ADD, exp, sum);
    pointwise(m, CUDNN_POINTWISE_LOG, fp32, sum, NULL, NULL, log, -1);
    pointwise(m, CUDNN_POINTWISE_ADD, fp32, max, log, NULL, lse, -1);
    pointwise(m, CUDNN_POINTWISE_DIV, fp32, exp, sum, NULL, p, -1);
    matmul(m, p, v, o);
    return m->rc == CUDNN_STATUS_SUCCESS;
}

/* --- plans ------------------------------------------------------------------------------------------ */

typedef struct plan {
    k_attn s; /* R 0: a plan is of one replica */
    desc d;   /* NULL: cuDNN has none */
} plan;

struct k_dnn {
    api f;
    cudnnHandle_t handle;
    void *workspace;
    plan plans[MAX_PLANS];
    size_t n_plans;
};

static bool deterministic(maker *m, desc config)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t n = 0, one = 0;
    desc engine = m->make(CUDNN_BACKEND_ENGINE_DESCRIPTOR, "an engine");
    if (!engine || m->f->cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                                  &one, &engine))
        return false;
    if (m->f->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                       CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, notes))
        return false;
    for (int64_t i = 0; i < n; i++)
        if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) return false;
    return true;
}

/* NULL: this engine's plan cannot be made, or needs too much. */
static desc made(const k_dnn *x, desc config)
{
    desc d = NULL;
    int64_t bytes = 0, n = 0;
    if (x->f.cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &d)) return NULL;
    if (!x->f.cudnnBackendSetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &x->handle) &&
        !x->f.cudnnBackendSetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                       &config) &&
        !x->f.cudnnBackendFinalize(d) &&
        !x->f.cudnnBackendGetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n, &bytes) &&
        bytes <= K_DNN_WORKSPACE)
        return d;
    (void)x->f.cudnnBackendDestroyDescriptor(d);
    return NULL;
}

/* The heuristic's engines, best first: the first deterministic one that gives a plan. */
static desc first_plan(const k_dnn *x, const k_attn *s, const char **why)
{
    maker m(&x->f);
    const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    int64_t n = 0;
    desc config[MAX_ENGINES], d = NULL;
    forward(&m, s);
    desc graph = m.make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "a graph");
    m.set(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &x->handle, "a graph's handle");
    m.set(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, (int64_t)m.n_ops, m.ops,
          "a graph's operations");
    m.done(graph, "a graph");
    desc heur = m.make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "a heuristic");
    m.point(heur, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph, "a heuristic's graph");
    m.set(heur, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode, "a heuristic's mode");
    m.done(heur, "the choice of an engine");
    for (size_t i = 0; i < MAX_ENGINES; i++) config[i] = m.make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "an engine");
    if (m.rc == CUDNN_STATUS_SUCCESS)
        m.check(x->f.cudnnBackendGetAttribute(heur, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                              MAX_ENGINES, &n, config),
                "the choice of an engine");
    *why = m.rc == CUDNN_STATUS_SUCCESS ? "no deterministic engine" : m.failed;
    for (int64_t i = 0; i < n && m.rc == CUDNN_STATUS_SUCCESS && !d; i++)
        if (deterministic(&m, config[i])) d = made(x, config[i]);
    return d;
}

static plan *plan_for(k_dnn *x, const k_attn *s)
{
    k_attn one = *s;
    const char *why = NULL;
    one.R = 0;
    for (size_t i = 0; i < x->n_plans; i++) {
        const k_attn *p = &x->plans[i].s;
        if (p->kind == one.kind && p->B == one.B && p->T == one.T && p->n_head == one.n_head &&
            p->n_kv_head == one.n_kv_head && p->head_dim == one.head_dim && p->ld == one.ld && p->ldo == one.ldo)
            return &x->plans[i];
    }
    if (x->n_plans == MAX_PLANS) return NULL;
    plan *p = &x->plans[x->n_plans++];
    p->s = one;
    p->d = first_plan(x, &one, &why);
    return p;
}

static status fill(k_dnn *x, char *note, size_t room)
{
    static const k_attn probe = {K_ATTN_CAUSAL, 0, 2, 256, 4, 4, 64, 768, 256};
    const char *why = NULL;
    err e = {};
    if (open_library(&x->f, &e)) return snprintf(note, room, "%.120s", e.msg), ST_DEVICE;
    const cudnnStatus_t rc = x->f.cudnnCreate(&x->handle);
    if (rc) return snprintf(note, room, "cuDNN: %.100s", x->f.cudnnGetErrorString(rc)), ST_DEVICE;
    if (cudaMalloc(&x->workspace, K_DNN_WORKSPACE) != cudaSuccess)
        return (void)cudaGetLastError(), snprintf(note, room, "cuDNN: no memory for 16 MiB of workspace"), ST_NOMEM;
    desc d = first_plan(x, &probe, &why);
    if (!d) return snprintf(note, room, "cuDNN has no plan: %.100s", why), ST_DEVICE;
    (void)x->f.cudnnBackendDestroyDescriptor(d);
    return ST_OK;
}

status k_dnn_new(k_dnn **out, char *note, size_t room, err *e)
{
    const char *asked = getenv("MUSCALE_ATTENTION");
    *out = NULL;
    *note = 0;
    if (!asked || !*asked || !strcmp(asked, "own")) return ST_OK;
    if (strcmp(asked, "cudnn")) return err_set(e, ST_INPUT, "MUSCALE_ATTENTION=%s is unknown; use own or cudnn", asked);
    k_dnn *x = (k_dnn *)calloc(1, sizeof *x);
    if (!x) return err_set(e, ST_NOMEM, "kernels: no memory for cuDNN's plans");
    if (fill(x, note, room)) k_dnn_free(x);
    else *out = x;
    return ST_OK;
}

void k_dnn_free(k_dnn *x)
{
    if (!x) return;
    for (size_t i = 0; i < x->n_plans; i++)
        if (x->plans[i].d) (void)x->f.cudnnBackendDestroyDescriptor(x->plans[i].d);
    if (x->handle) (void)x->f.cudnnDestroy(x->handle);
    if (x->workspace) (void)cudaFree(x->workspace);
    free(x);
}

/* --- forward pass ----------------------------------------------------------------------------------- */

/* cuDNN's vectors: 16 bytes. */
static bool suits(const k_attn *s, k_act o, k_cact q, k_cact k, k_cact v)
{
    const size_t addresses = (size_t)o.p | (size_t)q.p | (size_t)k.p | (size_t)v.p;
    const size_t elements = s->ld | s->ldo | s->head_dim | o.stride | q.stride | k.stride | v.stride;
    return s->kind == K_ATTN_CAUSAL && s->head_dim <= 128 && addresses % 16 == 0 && elements % 8 == 0;
}

static bool execute(const k_dnn *x, const plan *p, void *const operand[N_OPERANDS])
{
    static const int64_t ids[N_OPERANDS] = {Q, K, V, O, LSE, SCALE, BEHIND};
    maker m(&x->f);
    desc pack = m.make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "operands");
    m.set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, N_OPERANDS, ids, "operands");
    m.set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, N_OPERANDS, operand, "operands");
    m.set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &x->workspace, "a workspace");
    m.done(pack, "operands");
    if (m.rc == CUDNN_STATUS_SUCCESS) m.check(x->f.cudnnBackendExecute(x->handle, p->d, pack), "attention");
    return m.rc == CUDNN_STATUS_SUCCESS;
}

static char *replica(const void *p, size_t r, size_t stride, size_t size)
{
    return (char *)(size_t)p + r * stride * size;
}

static bool run(k_dnn *x, cudaStream_t stream, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_mult scale,
                const k_attn *s)
{
    float behind = -1e9f; /* as a score: exp of it is 0; finite, so that no row becomes NaN */
    plan *p = plan_for(x, s);
    if (!p || !p->d || x->f.cudnnSetStream(x->handle, stream)) return false;
    for (size_t r = 0; r < s->R; r++) {
        void *const operand[N_OPERANDS] = {replica(q.p, r, q.stride, 2),
                                           replica(k.p, r, k.stride, 2),
                                           replica(v.p, r, v.stride, 2),
                                           replica(o.p, r, o.stride, 2),
                                           replica(lse.p, r, lse.stride, sizeof *lse.p),
                                           replica(scale.p, r, 1, sizeof *scale.p),
                                           &behind};
        if (execute(x, p, operand)) continue;
        (void)x->f.cudnnBackendDestroyDescriptor(p->d); /* not again; our own kernel writes all replicas */
        p->d = NULL;
        (void)cudaGetLastError();
        return false;
    }
    return true;
}

bool k_dnn_attn_fwd(k_dnn *x, cudaStream_t stream, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_mult scale,
                    const k_attn *s)
{
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed; /* as k_lt_run */
    if (!scale.p || !suits(s, o, q, k, v) || cudaThreadExchangeStreamCaptureMode(&mode) != cudaSuccess) return false;
    const bool done = run(x, stream, o, lse, q, k, v, scale, s);
    (void)cudaThreadExchangeStreamCaptureMode(&mode);
    return done;
}
