/* CUDA's context: the device, one stream, scratch, memory and copies; and what CUDA's errors are called here.
 *
 * The device is number 0 of those that CUDA_VISIBLE_DEVICES leaves. The streams do not wait for the default stream, so
 * that banks in other contexts run beside this one. Nothing here is called inside a step but upload and download. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ctx_cuda.h"
#include "kernels/dnn.h"
#include "kernels/lt.h"
#include "kernels/ops_cuda.h"

enum { DEVICE = 0, MIN_MAJOR = 8 }; /* 8.0 has bf16 and cp.async, which the kernels are made of */

#define TRY(call)                    \
    do {                             \
        const status try_s = (call); \
        if (try_s) return try_s;     \
    } while (0)
#define CUDA(call, what) TRY(k_cuda_status((call), (what), e))

/* --- errors ----------------------------------------------------------------------------------------- */

static const char *remedy(cudaError_t rc)
{
    switch (rc) {
    case cudaErrorInsufficientDriver: return "the driver is older than this CUDA: update it, or use backend=cpu";
    case cudaErrorNoDevice: return "no device is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES, or use backend=cpu";
    case cudaErrorInvalidDevice: return "see CUDA_VISIBLE_DEVICES";
    case cudaErrorDevicesUnavailable: return "another process has this device for itself: see nvidia-smi";
    case cudaErrorNoKernelImageForDevice:
        return "this build has no code for this device: configure with NVCCFLAGS for its compute capability";
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorAssert:
        return "a kernel failed, and all work of this process on the device is lost; MUSCALE_CUDA_SYNC=1 names the "
               "kernel";
    case cudaErrorECCUncorrectable: return "the device itself failed: see nvidia-smi -q and the system's log";
    default: return "see nvidia-smi; train --resume goes on from the last checkpoint";
    }
}

/* A failed call leaves a note that the next check of a launch would take for its own: it is taken away here. */
status k_cuda_status(cudaError_t rc, const char *what, err *e)
{
    if (rc == cudaSuccess) return ST_OK;
    (void)cudaGetLastError();
    if (rc == cudaErrorMemoryAllocation) {
        size_t left = 0, total = 0;
        if (cudaMemGetInfo(&left, &total) != cudaSuccess) (void)cudaGetLastError();
        return err_set(
            e, ST_NOMEM,
            "CUDA: %s: out of memory, %.3f GB of the device's %.3f GB are free; use fewer replicas (max_bank), a "
            "smaller batch or a smaller model",
            what, (double)left * 1e-9, (double)total * 1e-9);
    }
    return err_set(e, ST_DEVICE, "CUDA: %s: %s (%s); %s", what, cudaGetErrorString(rc), cudaGetErrorName(rc),
                   remedy(rc));
}

status k_cuda_launched(k_ctx *ctx, const char *kernel, err *e)
{
    const k_cuda *c = k_cuda_of(ctx);
    CUDA(cudaGetLastError(), kernel);
    return c->each && !c->recording ? k_cuda_status(cudaStreamSynchronize(c->stream), kernel, e) : ST_OK;
}

static status ready(err *e)
{
    int driver = 0, n = 0, major = 0, minor = 0;
    CUDA(cudaDriverGetVersion(&driver), "asking for the driver");
    if (!driver)
        return err_set(e, ST_DEVICE, "CUDA: this machine has no NVIDIA driver; install it, or use backend=cpu");
    const cudaError_t rc = cudaGetDeviceCount(&n);
    CUDA(rc == cudaSuccess && !n ? cudaErrorNoDevice : rc, "looking for a device");
    CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, DEVICE), "asking for compute capability");
    CUDA(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, DEVICE), "asking for compute capability");
    if (major < MIN_MAJOR)
        return err_set(e, ST_DEVICE,
                       "CUDA: the device has compute capability %d.%d, at least %d.0 is needed; use another device "
                       "(CUDA_VISIBLE_DEVICES) or backend=cpu",
                       major, minor, MIN_MAJOR);
    return ST_OK;
}

/* --- context ---------------------------------------------------------------------------------------- */

static status describe(k_cuda *c, err *e)
{
    static const struct {
        cudaDeviceAttr attr;
        size_t at;
    } asked[] = {
        {cudaDevAttrComputeCapabilityMajor, offsetof(k_cuda, major)},
        {cudaDevAttrComputeCapabilityMinor, offsetof(k_cuda, minor)},
        {cudaDevAttrMultiProcessorCount, offsetof(k_cuda, multiprocessors)},
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        CUDA(cudaDeviceGetAttribute((int *)((char *)c + asked[i].at), asked[i].attr, c->device),
             "asking for the device");
    int shared = 0, runtime = 0;
    CUDA(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, c->device),
         "asking for shared memory");
    CUDA(cudaRuntimeGetVersion(&runtime), "asking for CUDA's version");
    cudaDeviceProp p;
    CUDA(cudaGetDeviceProperties(&p, c->device), "asking for the device's name");
    c->shared_max = (size_t)shared;
    char lt[32];
    if (!k_lt_version(lt, sizeof lt, e)) return ST_DEVICE;
    snprintf(c->name, sizeof c->name, "%.80s (sm_%d%d), cuBLASLt %s, CUDA %d.%d", p.name, c->major, c->minor, lt,
             runtime / 1000, runtime / 10 % 100);
    return ST_OK;
}

/* Whose attention: said in the device's name where it was asked for, so that a run's record has it. */
static status attention(k_cuda *c, err *e)
{
    char note[160], version[32];
    const size_t n = strlen(c->name);
    TRY(k_dnn_new(&c->dnn, note, sizeof note, e));
    if (c->dnn && k_dnn_version(version, sizeof version, e))
        snprintf(c->name + n, sizeof c->name - n, ", attention cuDNN %s", version);
    else if (*note) snprintf(c->name + n, sizeof c->name - n, ", attention own (%s)", note);
    return ST_OK;
}

static status fill(k_cuda *c, size_t scratch_bytes, err *e)
{
    char what[96];
    const char *each = getenv("MUSCALE_CUDA_SYNC");
    c->device = DEVICE;
    c->each = each && *each && strcmp(each, "0");
    TRY(ready(e));
    CUDA(cudaSetDevice(c->device), "choosing the device");
    TRY(describe(c, e));
    CUDA(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "making a stream");
    TRY(k_ahead_new_cuda(c, e));
    c->scratch_bytes = scratch_bytes;
    snprintf(what, sizeof what, "asking for %.3f GB of scratch", (double)scratch_bytes * 1e-9);
    if (scratch_bytes) CUDA(cudaMalloc((void **)&c->scratch, scratch_bytes), what);
    TRY(k_lt_new(&c->lt, c->device, e));
    return attention(c, e);
}

status k_cuda_ctx_new(k_ctx **out, size_t scratch_bytes, err *e)
{
    k_cuda *c = (k_cuda *)calloc(1, sizeof *c);
    if (!c) return err_set(e, ST_NOMEM, "kernels: no memory for a context");
    const status s = fill(c, scratch_bytes, e);
    if (s) {
        k_cuda_ctx_free((k_ctx *)(void *)c);
        return s;
    }
    *out = (k_ctx *)(void *)c;
    return ST_OK;
}

void k_cuda_ctx_free(k_ctx *ctx)
{
    if (!ctx) return;
    k_cuda *c = k_cuda_of(ctx);
    k_record_drop_cuda(ctx);
    k_ahead_free_cuda(c);
    if (c->stream) (void)cudaStreamSynchronize(c->stream);
    k_dnn_free(c->dnn);
    k_lt_free(c->lt);
    if (c->scratch) (void)cudaFree(c->scratch);
    if (c->stream) (void)cudaStreamDestroy(c->stream);
    (void)cudaGetLastError(); /* of a context that failed: nobody is left to be told */
    free(c);
}

static size_t ctx_bytes(size_t scratch_bytes)
{
    return scratch_bytes + K_LT_WORKSPACE + (k_dnn_asked() ? K_DNN_WORKSPACE : 0);
}

static bool one_by_one(k_ctx *c) { return k_cuda_of(c)->each; }

/* What slows products down is said here too; it is known once they have run. */
static const char *device_name(k_ctx *ctx)
{
    k_cuda *c = k_cuda_of(ctx);
    const size_t n = k_lt_one_by_one(c->lt);
    if (!n) return c->name;
    snprintf(c->noted, sizeof c->noted, "%s; %zu products of a bank run replica by replica", c->name, n);
    return c->noted;
}

/* --- memory and copies ------------------------------------------------------------------------------ */

status k_cuda_outside(k_ctx *c, const char *what, err *e)
{
    return k_cuda_of(c)->recording ? err_set(e, ST_DEVICE, "CUDA: %s while a graph is recorded", what) : ST_OK;
}

static status mem_new(k_ctx *ctx, void **out, size_t bytes, err *e)
{
    char what[96];
    void *p = NULL;
    TRY(k_cuda_outside(ctx, "memory was asked for", e));
    if (!bytes) bytes = K_ALIGN_DEVICE;
    snprintf(what, sizeof what, "asking for %.3f GB (%zu bytes)", (double)bytes * 1e-9, bytes);
    CUDA(cudaMalloc(&p, bytes), what); /* aligned to 256 bytes and more: CUDA C++ Programming Guide, 5.3.2 */
    const status s = k_cuda_status(cudaMemsetAsync(p, 0, bytes, k_cuda_of(ctx)->stream), "zeroing memory", e);
    if (s) (void)cudaFree(p);
    else *out = p;
    return s;
}

static void mem_free(k_ctx *, void *p)
{
    if (p && cudaFree(p) != cudaSuccess) (void)cudaGetLastError(); /* a lost device has lost its memory too */
}

static status mem_info(k_ctx *, size_t *free_bytes, size_t *total_bytes, err *e)
{
    return k_cuda_status(cudaMemGetInfo(free_bytes, total_bytes), "asking for free memory", e);
}

static status host_new(k_ctx *ctx, void **out, size_t bytes, err *e)
{
    char what[96];
    void *p = NULL;
    TRY(k_cuda_outside(ctx, "memory was asked for", e));
    if (!bytes) bytes = K_ALIGN;
    snprintf(what, sizeof what, "asking for %.3f GB of page-locked host memory", (double)bytes * 1e-9);
    const cudaError_t rc = cudaMallocHost(&p, bytes);
    if (rc == cudaErrorMemoryAllocation) { /* what is free on the device says nothing here */
        (void)cudaGetLastError();
        return err_set(e, ST_NOMEM, "CUDA: %s: out of memory; see ulimit -l and the host's free memory", what);
    }
    CUDA(rc, what);
    *out = p;
    return ST_OK;
}

static void host_free(k_ctx *, void *p)
{
    if (p && cudaFreeHost(p) != cudaSuccess) (void)cudaGetLastError();
}

static status upload(k_ctx *ctx, void *to, const void *from_host, size_t bytes, err *e)
{
    return k_cuda_status(cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice, k_cuda_of(ctx)->stream),
                         "copying to the device", e);
}

static status download(k_ctx *ctx, void *to_host, const void *from, size_t bytes, err *e)
{
    return k_cuda_status(cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, k_cuda_of(ctx)->stream),
                         "copying from the device", e);
}

static status sync(k_ctx *ctx, err *e)
{
    TRY(k_cuda_outside(ctx, "the host waited", e));
    CUDA(cudaStreamSynchronize(k_cuda_of(ctx)->ahead), "waiting for the device");
    return k_cuda_status(cudaStreamSynchronize(k_cuda_of(ctx)->stream), "waiting for the device", e);
}

static constexpr k_device_ops table()
{
    k_device_ops t = {};
    t.ctx_bytes = ctx_bytes;
    t.mem_new = mem_new, t.mem_free = mem_free, t.mem_info = mem_info;
    t.host_new = host_new, t.host_free = host_free;
    t.upload = upload, t.download = download, t.sync = sync;
    t.upload_ahead = k_upload_ahead_cuda, t.join_ahead = k_join_ahead_cuda;
    t.mark_new = k_mark_new_cuda, t.mark_free = k_mark_free_cuda;
    t.mark_set = k_mark_set_cuda, t.mark_wait = k_mark_wait_cuda;
    t.record_begin = k_record_begin_cuda, t.record_end = k_record_end_cuda, t.record_drop = k_record_drop_cuda;
    t.one_by_one = one_by_one;
    t.replay = k_replay_cuda, t.graph_free = k_graph_free_cuda;
    t.bank_outcome = k_bank_outcome_cuda, t.bank_adamw = k_bank_adamw_cuda;
    t.ready = ready, t.device_name = device_name, t.recover = k_recover_cuda;
    return t;
}
extern const k_device_ops k_cuda_device_ops = table();
