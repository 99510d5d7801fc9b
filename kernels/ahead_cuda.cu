/* What lets the host run ahead of the device: copies in a stream of their own, and marks in the context's.
 *
 * A batch that goes up in the context's stream goes up between two steps, when nothing else runs: 10 us and more of a
 * step that may take 400. In a stream of its own the copy engine brings it while the step before is computed; one event
 * a step makes the context's stream wait for it. Neither stream waits for the other otherwise: what a copy overwrites
 * must have been read already, which the host knows when a mark behind its reader has been passed. */
#include "kernels/ctx_cuda.h"

status k_ahead_new_cuda(k_cuda *c, err *e)
{
    const status s = k_cuda_status(cudaStreamCreateWithFlags(&c->ahead, cudaStreamNonBlocking), "making a stream", e);
    return s ? s : k_cuda_status(cudaEventCreateWithFlags(&c->arrived, cudaEventDisableTiming), "making an event", e);
}

void k_ahead_free_cuda(k_cuda *c)
{
    if (c->ahead) (void)cudaStreamSynchronize(c->ahead);
    if (c->arrived) (void)cudaEventDestroy(c->arrived);
    if (c->ahead) (void)cudaStreamDestroy(c->ahead);
}

status k_upload_ahead_cuda(k_ctx *ctx, void *to, const void *from_host, size_t bytes, err *e)
{
    const status s = k_cuda_outside(ctx, "a copy was sent ahead", e);
    return s ? s
             : k_cuda_status(cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice, k_cuda_of(ctx)->ahead),
                             "copying to the device", e);
}

status k_join_ahead_cuda(k_ctx *ctx, err *e)
{
    k_cuda *c = k_cuda_of(ctx);
    status s = k_cuda_outside(ctx, "copies were waited for", e);
    if (!s) s = k_cuda_status(cudaEventRecord(c->arrived, c->ahead), "marking the end of copies", e);
    return s ? s : k_cuda_status(cudaStreamWaitEvent(c->stream, c->arrived, 0), "waiting for copies", e);
}

/* A k_mark is a CUDA event, nothing more. */
static cudaEvent_t event_of(k_mark *m) { return (cudaEvent_t)(void *)m; }

status k_mark_new_cuda(k_ctx *ctx, k_mark **out, err *e)
{
    cudaEvent_t event = NULL;
    status s = k_cuda_outside(ctx, "a mark was made", e);
    if (!s) s = k_cuda_status(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event", e);
    if (!s) *out = (k_mark *)(void *)event;
    return s;
}

void k_mark_free_cuda(k_mark *m)
{
    if (m && cudaEventDestroy(event_of(m)) != cudaSuccess) (void)cudaGetLastError();
}

status k_mark_set_cuda(k_ctx *ctx, k_mark *m, err *e)
{
    const status s = k_cuda_outside(ctx, "a mark was set", e);
    return s ? s : k_cuda_status(cudaEventRecord(event_of(m), k_cuda_of(ctx)->stream), "marking the end of a step", e);
}

status k_mark_wait_cuda(k_mark *m, err *e)
{
    return k_cuda_status(cudaEventSynchronize(event_of(m)), "waiting for the device", e);
}
