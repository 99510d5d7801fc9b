/* A step as a graph of CUDA: ops are recorded by capturing the context's stream, and replayed by one launch. At R = 1
 * the launches of a step cost the host more than the device needs for them (3 us each, some hundred of them); a graph
 * of them costs one. The capture is of this thread only: other threads may allocate and wait meanwhile, their streams
 * are theirs. */
#include <stdlib.h>

#include "kernels/ctx_cuda.h"

struct k_graph {
    cudaGraphExec_t exec;
};

status k_record_begin_cuda(k_ctx *ctx, err *e)
{
    k_cuda *c = k_cuda_of(ctx);
    if (c->recording) return err_set(e, ST_DEVICE, "CUDA: a graph is recorded already");
    const status s = k_cuda_status(cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal),
                                   "beginning to record a graph", e);
    c->recording = !s;
    return s;
}

static void destroy(cudaGraph_t graph)
{
    if (graph && cudaGraphDestroy(graph) != cudaSuccess) (void)cudaGetLastError();
}

/* A capture that goes on after its end has failed would forbid all that comes after it: it is ended once more. */
static cudaError_t end_capture(k_cuda *c, cudaGraph_t *graph)
{
    const cudaError_t rc = cudaStreamEndCapture(c->stream, graph);
    cudaGraph_t none = NULL;
    c->recording = false;
    if (rc != cudaSuccess && cudaStreamEndCapture(c->stream, &none) == cudaSuccess) destroy(none);
    return rc;
}

static status instantiate(k_graph **out, cudaGraph_t graph, cudaStream_t stream, err *e)
{
    k_graph *g = (k_graph *)calloc(1, sizeof *g);
    if (!g) return err_set(e, ST_NOMEM, "kernels: no memory for a graph");
    status s = k_cuda_status(cudaGraphInstantiate(&g->exec, graph, 0), "making a graph", e);
    if (!s)
        s = k_cuda_status(cudaGraphUpload(g->exec, stream), "putting a graph on the device",
                          e); /* not at first replay */
    if (s) k_graph_free_cuda(g);
    else *out = g;
    return s;
}

status k_record_end_cuda(k_ctx *ctx, k_graph **out, err *e)
{
    k_cuda *c = k_cuda_of(ctx);
    cudaGraph_t graph = NULL;
    if (!c->recording) return err_set(e, ST_DEVICE, "CUDA: no graph is being recorded");
    status s = k_cuda_status(end_capture(c, &graph), "recording a graph", e);
    if (!s) s = instantiate(out, graph, c->stream, e);
    destroy(graph);
    return s;
}

void k_record_drop_cuda(k_ctx *ctx)
{
    k_cuda *c = k_cuda_of(ctx);
    cudaGraph_t graph = NULL;
    if (!c->recording) return;
    if (end_capture(c, &graph) != cudaSuccess) (void)cudaGetLastError();
    destroy(graph);
}

status k_replay_cuda(k_ctx *ctx, k_graph *g, err *e)
{
    k_cuda *c = k_cuda_of(ctx);
    const status s = k_cuda_status(cudaGraphLaunch(g->exec, c->stream), "running a graph", e);
    return s || !c->each ? s : k_cuda_status(cudaStreamSynchronize(c->stream), "running a graph", e);
}

void k_graph_free_cuda(k_graph *g)
{
    if (!g) return;
    if (g->exec && cudaGraphExecDestroy(g->exec) != cudaSuccess) (void)cudaGetLastError();
    free(g);
}

/* CUDA promises no life after a failed kernel, only that it may be tried: the second call finds out. */
status k_recover_cuda(err *e)
{
    const status s = k_cuda_status(cudaDeviceReset(), "resetting the device for this process", e);
    return s ? s : k_cuda_status(cudaFree(NULL), "using the device after a reset", e);
}
