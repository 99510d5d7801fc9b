/* The runtime API of the layer: what is late, what is refused, what a fault does. */
#include <cuda_runtime.h>
#include <stdlib.h>
#include <string.h>
#include <thread>
#include <vector>

#include "tests/emu/died.h"

#define OK(call) cr_assert_eq((call), cudaSuccess)
#define IS(call, want) cr_assert_eq((call), (want))

static __global__ void add(float *x, int n, float by)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n) x[i] += by;
}
#define ADD(stream, x, n, by) emu::launch("add", 2, 32, 0, stream, add, x, n, by)

struct bench { /* a stream, 40 floats on the device, 40 page-locked ones */
    cudaStream_t s = nullptr;
    float *d = nullptr, *h = nullptr;
    bench()
    {
        OK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
        OK(cudaMalloc(&d, 160));
        OK(cudaMallocHost(&h, 160));
        for (int i = 0; i < 40; i++) h[i] = (float)i;
    }
    ~bench()
    {
        cudaFree(d);
        cudaFreeHost(h);
        cudaStreamDestroy(s);
    }
};

Test(runtime, work_is_late)
{
    bench b;
    OK(cudaMemcpyAsync(b.d, b.h, 160, cudaMemcpyHostToDevice, b.s));
    b.h[3] = 100; /* too early: the copy reads it */
    ADD(b.s, b.d, 40, 1.0f);
    OK(cudaMemcpyAsync(b.h, b.d, 160, cudaMemcpyDeviceToHost, b.s));
    cr_expect_eq(b.h[3], 100, "a result before it was waited for");
    OK(cudaStreamSynchronize(b.s));
    cr_expect_eq(b.h[3], 101);
    cr_expect_eq(b.h[39], 40);

    float pageable[40] = {5};
    OK(cudaMemcpyAsync(b.d, pageable, 160, cudaMemcpyHostToDevice, b.s));
    pageable[0] = 6; /* was read already */
    float back[40];
    OK(cudaMemcpyAsync(back, b.d, 160, cudaMemcpyDeviceToHost, b.s));
    cr_expect_eq(back[0], 5);

    OK(cudaMemsetAsync(b.d, 0, 160, b.s));
    OK(cudaMemcpy2DAsync(b.d + 1, 16, b.h + 2, 8, 8, 3, cudaMemcpyHostToDevice, b.s));
    OK(cudaMemcpyAsync(back, b.d, 160, cudaMemcpyDeviceToHost, b.s));
    cr_expect(back[1] == 3 && back[2] == 101 && back[3] == 0 && back[5] == 5 && back[9] == 7 && back[10] == 8 &&
              back[11] == 0);
}

/* One stream adds to what it finds, another overwrites that, nothing orders them: each extreme shows one order. */
static float unordered(const char *mode)
{
    setenv("EMU_STREAMS", mode, 1);
    bench a, b;
    OK(cudaMemcpyAsync(a.d, a.h, 160, cudaMemcpyHostToDevice, a.s));
    OK(cudaStreamSynchronize(a.s));
    ADD(a.s, a.d, 40, 100.0f);
    OK(cudaMemcpyAsync(a.h, a.d, 160, cudaMemcpyDeviceToHost, a.s));
    OK(cudaMemsetAsync(a.d, 0, 160, b.s));
    OK(cudaStreamSynchronize(a.s));
    return a.h[7];
}
Test(runtime, what_is_not_waited_for_is_late) { cr_expect_eq(unordered("late"), 107); }
Test(runtime, what_is_not_waited_for_is_early_when_crossed) { cr_expect_eq(unordered("crossed"), 100); }
Test(runtime, crossed_streams_keep_to_their_order)
{
    setenv("EMU_STREAMS", "crossed", 1);
    bench a, b;
    cudaEvent_t e;
    OK(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
    OK(cudaMemcpyAsync(a.d, a.h, 160, cudaMemcpyHostToDevice, a.s));
    ADD(a.s, a.d, 40, 100.0f);
    OK(cudaEventRecord(e, a.s));
    OK(cudaStreamWaitEvent(b.s, e, 0));
    ADD(b.s, a.d, 40, 1000.0f);
    OK(cudaEventRecord(e, b.s));
    OK(cudaStreamWaitEvent(a.s, e, 0));
    OK(cudaMemcpyAsync(a.h, a.d, 160, cudaMemcpyDeviceToHost, a.s));
    OK(cudaStreamSynchronize(a.s));
    cr_expect_eq(a.h[7], 1107);
    OK(cudaEventDestroy(e));
}

Test(runtime, copies_that_cuda_refuses)
{
    bench b;
    float x[41];
    IS(cudaMemcpyAsync(b.d, x, 164, cudaMemcpyHostToDevice, b.s), cudaErrorInvalidValue);
    IS(cudaMemcpyAsync(b.d + 1, x, 160, cudaMemcpyHostToDevice, b.s), cudaErrorInvalidValue);
    IS(cudaMemcpyAsync(x, b.h, 8, cudaMemcpyDeviceToHost, b.s), cudaErrorInvalidValue);
    IS(cudaMemcpyAsync(b.d, b.d, 8, cudaMemcpyHostToDevice, b.s), cudaErrorInvalidValue);
    IS(cudaMemsetAsync(x, 0, 4, b.s), cudaErrorInvalidValue);
    IS(cudaFree(b.d + 1), cudaErrorInvalidValue);
    IS(cudaFree(x), cudaErrorInvalidValue);
    IS(cudaPeekAtLastError(), cudaErrorInvalidValue);
    IS(cudaGetLastError(), cudaErrorInvalidValue);
    IS(cudaGetLastError(), cudaSuccess);
    OK(cudaMemcpyAsync(b.d + 1, x, 156, cudaMemcpyDefault, b.s));
}

Test(runtime, memory)
{
    emu_live before = emu_live_now();
    emu_memory(1 << 20);
    size_t free_bytes, total;
    void *p, *q;
    OK(cudaMalloc(&p, 1000));
    cr_expect_eq((uintptr_t)p % 256, 0);
    OK(cudaMemGetInfo(&free_bytes, &total));
    cr_expect(total == 1 << 20 && free_bytes == total - 1000);
    IS(cudaMalloc(&q, free_bytes + 1), cudaErrorMemoryAllocation);
    cr_expect_null(q);
    OK(cudaMalloc(&q, free_bytes));
    emu_live l = emu_live_now();
    cr_expect(l.device == before.device + 2 && l.device_bytes == total);
    OK(cudaFree(p));
    OK(cudaFree(q));
    OK(cudaFree(nullptr));
    OK(cudaMalloc(&p, 0));
    cr_expect_null(p);
    cr_expect_eq(emu_live_now().device_bytes, before.device_bytes);
}

Test(runtime, no_device)
{
    int n = 5;
    void *p;
    emu_devices(0);
    IS(cudaGetDeviceCount(&n), cudaErrorNoDevice);
    cr_expect_eq(n, 0);
    IS(cudaMalloc(&p, 4), cudaErrorNoDevice);
    emu_devices(-1);
    IS(cudaGetDeviceCount(&n), cudaErrorInsufficientDriver);
    cr_expect_str_eq(cudaGetErrorString(cudaErrorInsufficientDriver),
                     "CUDA driver version is insufficient for CUDA runtime version");
    emu_devices(2);
    OK(cudaGetDeviceCount(&n));
    cr_expect_eq(n, 2);
    OK(cudaSetDevice(1));
    IS(cudaSetDevice(2), cudaErrorInvalidDevice);
    cudaDeviceProp prop;
    emu_capability(7, 5);
    OK(cudaGetDeviceProperties(&prop, 0));
    cr_expect(prop.major == 7 && prop.minor == 5);
}

Test(runtime, a_failed_kernel_takes_the_device_with_it)
{
    bench b;
    emu_fail_at(2, cudaErrorIllegalAddress);
    OK(cudaMemcpyAsync(b.d, b.h, 160, cudaMemcpyHostToDevice, b.s));
    ADD(b.s, b.d, 40, 1.0f);
    OK(cudaGetLastError()); /* the launch was accepted */
    IS(cudaStreamSynchronize(b.s), cudaErrorIllegalAddress);
    void *p;
    IS(cudaMalloc(&p, 4), cudaErrorIllegalAddress);
    IS(cudaGetLastError(), cudaErrorIllegalAddress);
    IS(cudaGetLastError(), cudaErrorIllegalAddress);
    IS(cudaFree(b.d), cudaErrorIllegalAddress);
    OK(cudaDeviceReset());
    IS(cudaStreamDestroy(b.s), cudaErrorInvalidResourceHandle);
    emu_live l = emu_live_now();
    cr_expect(l.device == 0 && l.host == 0 && l.streams == 0);
    cudaGetLastError();
    OK(cudaMalloc(&p, 4));
    OK(cudaFree(p));
    b.d = b.h = nullptr;
}

Test(runtime, a_call_fails_by_order)
{
    bench b;
    void *p = nullptr;
    emu_fail_at(2, cudaErrorMemoryAllocation);
    long before = emu_calls();
    OK(cudaMemsetAsync(b.d, 0, 160, b.s));
    IS(cudaMalloc(&p, 4), cudaErrorMemoryAllocation);
    cr_expect_eq(emu_calls(), before + 2);
    OK(cudaMalloc(&p, 4));
    OK(cudaFree(p));
    emu_fail_at(1, cudaErrorLaunchOutOfResources);
    cudaGetLastError();
    ADD(b.s, b.d, 40, 1.0f);
    IS(cudaGetLastError(), cudaErrorLaunchOutOfResources);
    OK(cudaStreamSynchronize(b.s));
    emu_fail_at(0, 0);
}

Test(runtime, graph)
{
    bench b;
    long ran = emu_launches();
    OK(cudaStreamBeginCapture(b.s, cudaStreamCaptureModeThreadLocal));
    OK(cudaMemcpyAsync(b.d, b.h, 160, cudaMemcpyHostToDevice, b.s));
    {
        float by = 2; /* the argument is copied: this object is gone at replay */
        int n = 40;
        ADD(b.s, b.d, n, by);
        by = 1000;
        n = 0;
    }
    float twice = 0;
    OK(emu::enqueue(b.s, "library", [&] { twice += b.d[4]; return cudaSuccess; }));
    OK(cudaMemcpyAsync(b.h, b.d, 160, cudaMemcpyDeviceToHost, b.s));
    cudaStreamCaptureStatus status;
    OK(cudaStreamIsCapturing(b.s, &status));
    cr_expect_eq(status, cudaStreamCaptureStatusActive);
    cudaGraph_t g;
    cudaGraphExec_t exec;
    OK(cudaStreamEndCapture(b.s, &g));
    OK(cudaStreamSynchronize(b.s));
    cr_expect(b.h[5] == 5 && emu_launches() == ran, "a capture runs nothing");
    size_t nodes = 0;
    OK(cudaGraphGetNodes(g, nullptr, &nodes));
    cr_expect_eq(nodes, 4);
    OK(cudaGraphInstantiate(&exec, g, 0));
    OK(cudaGraphDestroy(g));
    for (int i = 0; i < 3; i++) OK(cudaGraphLaunch(exec, b.s));
    OK(cudaGraphExecDestroy(exec)); /* what is under way goes on */
    cr_expect_eq(b.h[5], 5);
    OK(cudaStreamSynchronize(b.s));
    cr_expect_eq(b.h[5], 11);
    cr_expect_eq(twice, 6 + 8 + 10);
    cr_expect_eq(emu_launches(), ran + 3);
    IS(cudaGraphLaunch(exec, b.s), cudaErrorInvalidResourceHandle);
}

Test(runtime, what_a_capture_forbids)
{
    bench b;
    void *p;
    cudaGraph_t g;
    struct { cudaError_t (*call)(bench *); cudaError_t want;
    } table[] = {
        {[](bench *) {
             void *q;
             return cudaMalloc(&q, 4);
         },
         cudaErrorStreamCaptureUnsupported},
        {[](bench *x) { return cudaFree(x->d); }, cudaErrorStreamCaptureUnsupported},
        {[](bench *) {
             void *q;
             return cudaMallocHost(&q, 4);
         },
         cudaErrorStreamCaptureUnsupported},
        {[](bench *x) { return cudaStreamSynchronize(x->s); }, cudaErrorStreamCaptureUnsupported},
        {[](bench *) { return cudaDeviceSynchronize(); }, cudaErrorStreamCaptureUnsupported},
        {[](bench *x) { return cudaMemcpy(x->h, x->d, 4, cudaMemcpyDeviceToHost); }, cudaErrorStreamCaptureUnsupported},
        {[](bench *x) {
             float y[2];
             return cudaMemcpyAsync(y, x->d, 8, cudaMemcpyDeviceToHost, x->s);
         },
         cudaErrorStreamCaptureUnsupported},
    };
    for (auto &t : table) {
        OK(cudaStreamBeginCapture(b.s, cudaStreamCaptureModeThreadLocal));
        IS(t.call(&b), t.want);
        IS(cudaMemsetAsync(b.d, 0, 4, b.s), cudaErrorStreamCaptureInvalidated);
        IS(cudaStreamEndCapture(b.s, &g), cudaErrorStreamCaptureInvalidated);
        cr_expect_null(g);
        OK(cudaMalloc(&p, 4));
        OK(cudaFree(p));
    }
    IS(cudaStreamEndCapture(b.s, &g), cudaErrorIllegalState);
    OK(cudaStreamBeginCapture(b.s, cudaStreamCaptureModeThreadLocal));
    IS(cudaStreamBeginCapture(b.s, cudaStreamCaptureModeThreadLocal), cudaErrorIllegalState);
    std::thread([&] { /* thread-local: others may allocate, but not end it */
        void *q;
        OK(cudaMalloc(&q, 4));
        OK(cudaFree(q));
        cudaGraph_t h;
        IS(cudaStreamEndCapture(b.s, &h), cudaErrorStreamCaptureWrongThread);
    }).join();
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed; /* a thread may ask to be forbidden nothing */
    OK(cudaThreadExchangeStreamCaptureMode(&mode));
    cr_expect_eq(mode, cudaStreamCaptureModeGlobal);
    OK(cudaMalloc(&p, 4));
    OK(cudaFree(p));
    OK(cudaThreadExchangeStreamCaptureMode(&mode));
    cr_expect_eq(mode, cudaStreamCaptureModeRelaxed);
    OK(cudaStreamEndCapture(b.s, &g));
    OK(cudaGraphDestroy(g));
    OK(cudaStreamBeginCapture(b.s, cudaStreamCaptureModeThreadLocal));
    IS(cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported);
    IS(cudaStreamEndCapture(b.s, &g), cudaErrorStreamCaptureInvalidated);
    mode = (cudaStreamCaptureMode)3;
    IS(cudaThreadExchangeStreamCaptureMode(&mode), cudaErrorInvalidValue);
    OK(cudaStreamBeginCapture(b.s, cudaStreamCaptureModeGlobal)); /* forbids all threads but those that care for theirs only */
    std::thread([] {
        void *q;
        cudaStreamCaptureMode own = cudaStreamCaptureModeThreadLocal;
        OK(cudaThreadExchangeStreamCaptureMode(&own));
        OK(cudaMalloc(&q, 4));
        OK(cudaFree(q));
        OK(cudaThreadExchangeStreamCaptureMode(&own));
        IS(cudaMalloc(&q, 4), cudaErrorStreamCaptureUnsupported);
    }).join();
    IS(cudaStreamEndCapture(b.s, &g), cudaErrorStreamCaptureInvalidated);
}

Test(runtime, events_order_streams)
{
    bench a, b;
    cudaEvent_t e;
    OK(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
    OK(cudaMemsetAsync(a.d, 0, 160, a.s));
    ADD(a.s, a.d, 40, 3.0f);
    OK(cudaEventRecord(e, a.s));
    ADD(a.s, a.d, 40, 100.0f); /* behind the event: not waited for */
    OK(cudaStreamWaitEvent(b.s, e, 0));
    OK(cudaMemcpyAsync(b.h, a.d, 160, cudaMemcpyDeviceToHost, b.s));
    OK(cudaStreamSynchronize(b.s));
    cr_expect_eq(b.h[7], 3);
    OK(cudaEventRecord(e, a.s));
    IS(cudaEventQuery(e), cudaErrorNotReady);
    OK(cudaEventQuery(e)); /* it comes about by itself */
    OK(cudaEventSynchronize(e));
    OK(cudaMemcpyAsync(b.h, a.d, 160, cudaMemcpyDeviceToHost, b.s));
    OK(cudaDeviceSynchronize());
    cr_expect_eq(b.h[7], 103);

    cudaEvent_t from, to;
    float ms = -1;
    OK(cudaEventCreate(&from));
    OK(cudaEventCreate(&to));
    OK(cudaEventRecord(from, a.s));
    ADD(a.s, a.d, 40, 1.0f);
    OK(cudaEventRecord(to, a.s));
    IS(cudaEventElapsedTime(&ms, from, to), cudaErrorNotReady);
    OK(cudaEventSynchronize(to));
    OK(cudaEventElapsedTime(&ms, from, to));
    cr_expect_gt(ms, 0);

    /* a capture that forks into the other stream must come back */
    cudaGraph_t g;
    OK(cudaStreamBeginCapture(a.s, cudaStreamCaptureModeThreadLocal));
    OK(cudaEventRecord(e, a.s));
    OK(cudaStreamWaitEvent(b.s, e, 0));
    ADD(b.s, a.d, 40, 1.0f);
    IS(cudaStreamEndCapture(a.s, &g), cudaErrorStreamCaptureUnjoined);
    OK(cudaStreamBeginCapture(a.s, cudaStreamCaptureModeThreadLocal));
    OK(cudaEventRecord(e, a.s));
    OK(cudaStreamWaitEvent(b.s, e, 0));
    ADD(b.s, a.d, 40, 1.0f);
    OK(cudaEventRecord(from, b.s));
    OK(cudaStreamWaitEvent(a.s, from, 0));
    OK(cudaStreamEndCapture(a.s, &g));
    OK(cudaGraphDestroy(g));
    for (cudaEvent_t x : {e, from, to}) OK(cudaEventDestroy(x));
}

Test(runtime, a_stream_per_thread)
{
    std::vector<std::thread> threads;
    float sums[4] = {};
    for (int t = 0; t < 4; t++)
        threads.emplace_back([t, &sums] {
            bench b;
            OK(cudaMemcpyAsync(b.d, b.h, 160, cudaMemcpyHostToDevice, b.s));
            for (int i = 0; i < 50; i++) {
                ADD(b.s, b.d, 40, (float)t);
                if (i % 7 == t) OK(cudaStreamSynchronize(b.s));
            }
            OK(cudaMemcpyAsync(b.h, b.d, 160, cudaMemcpyDeviceToHost, b.s));
            OK(cudaStreamSynchronize(b.s));
            for (int i = 0; i < 40; i++) sums[t] += b.h[i];
        });
    for (auto &t : threads) t.join();
    for (int t = 0; t < 4; t++) cr_expect_eq(sums[t], 780.0f + 40 * 50 * (float)t);
}

/* What is never freed, LeakSanitizer reports at the end of the process. */
Test(runtime, leaked_device_memory_is_a_leak)
{
    int how;
    std::string said = last_words([] {
        void *volatile p;
        cudaMalloc((void **)&p, 1234);
        p = nullptr;
        exit(0);
    }, &how);
    if (said.find("LeakSanitizer has encountered a fatal error") != std::string::npos) cr_skip("no LeakSanitizer here");
    cr_expect(!(WIFEXITED(how) && WEXITSTATUS(how) == 0) && said.find("1234 byte(s) leaked") != std::string::npos, "%s",
              said.c_str());
}
