/* The layer against NVIDIA's header: this file compiles with either (signatures.sh), so names, types, codes agree. */
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>
#include <stdint.h>

#define EMU_ERROR(name, code, text) static_assert((int)name == code, #name);
#include "tests/emu/errors.h"
#undef EMU_ERROR

#define IS(name, value) static_assert((int)(uintptr_t)(name) == (value), #name)
IS(cudaMemcpyHostToHost, 0);
IS(cudaMemcpyHostToDevice, 1);
IS(cudaMemcpyDeviceToHost, 2);
IS(cudaMemcpyDeviceToDevice, 3);
IS(cudaMemcpyDefault, 4);
IS(cudaStreamCaptureModeGlobal, 0);
IS(cudaStreamCaptureModeThreadLocal, 1);
IS(cudaStreamCaptureModeRelaxed, 2);
IS(cudaStreamCaptureStatusNone, 0);
IS(cudaStreamCaptureStatusActive, 1);
IS(cudaStreamCaptureStatusInvalidated, 2);
IS(cudaFuncAttributeMaxDynamicSharedMemorySize, 8);
IS(cudaFuncAttributePreferredSharedMemoryCarveout, 9);
IS(cudaDevAttrMaxThreadsPerBlock, 1);
IS(cudaDevAttrMaxSharedMemoryPerBlock, 8);
IS(cudaDevAttrWarpSize, 10);
IS(cudaDevAttrClockRate, 13);
IS(cudaDevAttrMultiProcessorCount, 16);
IS(cudaDevAttrMemoryClockRate, 36);
IS(cudaDevAttrGlobalMemoryBusWidth, 37);
IS(cudaDevAttrL2CacheSize, 38);
IS(cudaDevAttrComputeCapabilityMajor, 75);
IS(cudaDevAttrComputeCapabilityMinor, 76);
IS(cudaDevAttrMaxSharedMemoryPerMultiprocessor, 81);
IS(cudaDevAttrMaxSharedMemoryPerBlockOptin, 97);
IS(cudaStreamDefault, 0);
IS(cudaStreamNonBlocking, 1);
IS(cudaEventDefault, 0);
IS(cudaEventBlockingSync, 1);
IS(cudaEventDisableTiming, 2);
IS(cudaEventRecordDefault, 0);
IS(cudaEventWaitDefault, 0);
IS(cudaHostAllocDefault, 0);
IS(cudaHostAllocPortable, 1);
IS(cudaHostAllocMapped, 2);
IS(cudaHostAllocWriteCombined, 4);
IS(cudaDeviceScheduleBlockingSync, 4);

#define F(name, ...) static cudaError_t (*const f_##name)(__VA_ARGS__) = name;
F(cudaGetDeviceCount, int *)
F(cudaGetDevice, int *)
F(cudaSetDevice, int)
F(cudaSetDeviceFlags, unsigned)
F(cudaInitDevice, int, unsigned, unsigned)
F(cudaGetDeviceProperties, cudaDeviceProp *, int)
F(cudaDeviceGetAttribute, int *, cudaDeviceAttr, int)
F(cudaDeviceSynchronize)
F(cudaDeviceReset)
F(cudaRuntimeGetVersion, int *)
F(cudaDriverGetVersion, int *)
F(cudaMalloc, void **, size_t)
F(cudaFree, void *)
F(cudaMallocHost, void **, size_t)
F(cudaHostAlloc, void **, size_t, unsigned)
F(cudaFreeHost, void *)
F(cudaMemGetInfo, size_t *, size_t *)
F(cudaMemcpy, void *, const void *, size_t, cudaMemcpyKind)
F(cudaMemcpyAsync, void *, const void *, size_t, cudaMemcpyKind, cudaStream_t)
F(cudaMemcpy2DAsync, void *, size_t, const void *, size_t, size_t, size_t, cudaMemcpyKind, cudaStream_t)
F(cudaMemset, void *, int, size_t)
F(cudaMemsetAsync, void *, int, size_t, cudaStream_t)
F(cudaStreamCreate, cudaStream_t *)
F(cudaStreamCreateWithFlags, cudaStream_t *, unsigned)
F(cudaStreamCreateWithPriority, cudaStream_t *, unsigned, int)
F(cudaStreamDestroy, cudaStream_t)
F(cudaStreamSynchronize, cudaStream_t)
F(cudaStreamQuery, cudaStream_t)
F(cudaStreamWaitEvent, cudaStream_t, cudaEvent_t, unsigned)
F(cudaLaunchHostFunc, cudaStream_t, cudaHostFn_t, void *)
F(cudaEventCreate, cudaEvent_t *)
F(cudaEventCreateWithFlags, cudaEvent_t *, unsigned)
F(cudaEventDestroy, cudaEvent_t)
F(cudaEventRecord, cudaEvent_t, cudaStream_t)
F(cudaEventQuery, cudaEvent_t)
F(cudaEventSynchronize, cudaEvent_t)
F(cudaEventElapsedTime, float *, cudaEvent_t, cudaEvent_t)
F(cudaStreamBeginCapture, cudaStream_t, cudaStreamCaptureMode)
F(cudaStreamEndCapture, cudaStream_t, cudaGraph_t *)
F(cudaStreamIsCapturing, cudaStream_t, cudaStreamCaptureStatus *)
F(cudaGraphGetNodes, cudaGraph_t, cudaGraphNode_t *, size_t *)
F(cudaGraphInstantiate, cudaGraphExec_t *, cudaGraph_t, unsigned long long)
F(cudaGraphUpload, cudaGraphExec_t, cudaStream_t)
F(cudaGraphLaunch, cudaGraphExec_t, cudaStream_t)
F(cudaGraphExecDestroy, cudaGraphExec_t)
F(cudaGraphDestroy, cudaGraph_t)
F(cudaFuncSetAttribute, const void *, cudaFuncAttribute, int)
F(cudaGetLastError)
F(cudaPeekAtLastError)
static const char *(*const f_string)(cudaError_t) = cudaGetErrorString;
static const char *(*const f_name)(cudaError_t) = cudaGetErrorName;

/* The fields that are asked for, with a type that holds their values. */
static size_t fields(const cudaDeviceProp &p)
{
    return p.totalGlobalMem + p.sharedMemPerBlock + p.sharedMemPerBlockOptin + p.sharedMemPerMultiprocessor +
           sizeof p.name +
           (size_t)(p.regsPerBlock + p.warpSize + p.maxThreadsPerBlock + p.maxThreadsDim[2] + p.maxGridSize[2] +
                    p.major + p.minor + p.multiProcessorCount + p.ECCEnabled + p.unifiedAddressing + p.memoryBusWidth +
                    p.l2CacheSize + p.maxThreadsPerMultiProcessor + p.pciBusID + p.pciDeviceID + p.pciDomainID);
}

#define SIZE(type, size, align) static_assert(sizeof(type) == size && alignof(type) == align, #type)
SIZE(char4, 4, 4);
SIZE(uchar2, 2, 2);
SIZE(short4, 8, 8);
SIZE(ushort2, 4, 4);
SIZE(int2, 8, 8);
SIZE(int3, 12, 4);
SIZE(int4, 16, 16);
SIZE(uint4, 16, 16);
SIZE(float2, 8, 8);
SIZE(float3, 12, 4);
SIZE(float4, 16, 16);
SIZE(double2, 16, 16);
SIZE(longlong2, 16, 16);
SIZE(ulonglong2, 16, 16);
SIZE(dim3, 12, 4);
SIZE(__nv_bfloat16, 2, 2);
SIZE(__nv_bfloat162, 4, 4);
SIZE(__nv_bfloat16_raw, 2, 2);

/* NVIDIA's conversions run on the host too: signatures.sh compares what the two builds print. */
#include <stdio.h>
#include <string.h>
int main()
{
    (void)fields;
    (void)f_string, (void)f_name;
    uint64_t h = 1469598103934665603u, s = 88172645463325252u;
    auto add = [&](uint64_t x) { h = (h ^ x) * 1099511628211u; };
    for (int i = 0; i < 2000000; i++) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        uint32_t u = (uint32_t)(s >> 16);
        if (i % 3 == 0) u = (u & 0xffff0000u) | 0x8000u;                        /* ties */
        if (i % 16 == 1) u |= 0x7f800000u;                                      /* infinities and NaNs */
        if (i % 16 == 2) u &= 0x807fffffu;                                      /* subnormal numbers */
        float f, g;
        double d;
        memcpy(&f, &u, sizeof f);
        memcpy(&d, &s, sizeof d);
        if (i % 2) d = (double)f * (1 + (double)(i % 5 - 2) * 0x1p-40);
        __nv_bfloat16 b = __float2bfloat16_rn(f), c = __double2bfloat16(d);
        __nv_bfloat162 p = __floats2bfloat162_rn(f, (float)(int32_t)u);
        g = __bfloat162float(b);
        uint32_t bits;
        memcpy(&bits, &g, sizeof bits);
        add(bits);
        add(__bfloat16_as_ushort(b));
        add(__bfloat16_as_ushort(c));
        add(__bfloat16_as_ushort(p.x));
        add(__bfloat16_as_ushort(p.y));
        add(__bfloat16_as_ushort(__nv_bfloat16((int)u)));
        __nv_bfloat16 q = __ushort_as_bfloat16((unsigned short)(s >> 48));
        add(__bfloat16_as_ushort(__hneg(q)));
        if (f == f && __bfloat162float(q) == __bfloat162float(q)) {
            add(__bfloat16_as_ushort(__hadd(b, q)));
            add(__bfloat16_as_ushort(__hmul(b, q)));
            add(__bfloat16_as_ushort(__hsub(b, q)));
            add(__bfloat16_as_ushort(__hmax(b, q)));
        }
    }
    printf("%016llx\n", (unsigned long long)h);
    return 0;
}
