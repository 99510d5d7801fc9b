/* A device's context: memory, copies, recorded steps, several contexts, too little memory. */
#include <stdio.h>

#include "tests/kernels/step.h"

static bool said(const gpu *g, const char *word) { return strstr(g->e.msg, word) != NULL; }

static void names(gpu *g)
{
    const char *name = g->ops->device->device_name(g->ctx);
    cr_expect(strstr(name, "sm_") && strstr(name, "cuBLASLt") && strstr(name, "CUDA"), "%s", name);
    cr_expect_eq(g->ops->act_bytes, strcmp(g->ops->name, "cuda") ? sizeof(float) : 2);
    cr_expect_str_eq(g->ops->level, g->half ? "bf16" : "fp32");
    cr_expect_eq(g->ops->pack_len != NULL, g->half, "bf16 has packed weights, fp32 its own");
    cr_expect_eq(g->ops->pack != NULL, g->half);
    GPU_OK(g, k_backend_ready(g->ops->name, &g->e));
    g->ops->ctx_free(NULL);
}
Test(cuda_context, names) { gpu_each(names, 0); }

/* MUSCALE_ATTENTION is a wish: without cuDNN, or a plan of it, attention is our own and the name says why. */
static void attention(gpu *g)
{
    k_ctx *c = NULL;
    setenv("MUSCALE_ATTENTION", "cudnn", 1);
    GPU_OK(g, g->ops->ctx_new(&c, 0, &g->e));
    const char *name = g->ops->device->device_name(c);
    cr_expect(strstr(name, "attention cuDNN") || strstr(name, "attention own (this muscale was built without cuDNN)") ||
                  strstr(name, "attention own (cuDNN"),
              "%s", name);
    g->ops->ctx_free(c);
    setenv("MUSCALE_ATTENTION", "cudn", 1);
    c = NULL;
    cr_expect_eq(g->ops->ctx_new(&c, 0, &g->e), ST_INPUT);
    cr_expect(c == NULL && said(g, "cudn") && said(g, "own or cudnn"), "%s", g->e.msg);
    unsetenv("MUSCALE_ATTENTION");
}
Test(cuda_context, attention) { gpu_each(attention, 0); }

Test(cuda_context, unknown_backend)
{
    const k_ops *ops = NULL;
    err e = {0};
    cr_expect_eq(k_backend(&ops, "cuda-fp64", &e), ST_DEVICE);
    cr_expect(strstr(e.msg, "cuda-fp64") && strstr(e.msg, "cuda-fp32"), "%s", e.msg);
}

static void memory(gpu *g)
{
    const k_device_ops *d = g->ops->device;
    static const size_t sizes[] = {0, 1, 255, 256, 257, 100003};
    enum { N = sizeof sizes / sizeof *sizes };
    void *p[N] = {0};
    size_t left = 0, total = 0;
    for (size_t i = 0; i < N; i++) {
        GPU_OK(g, d->mem_new(g->ctx, &p[i], sizes[i], &g->e));
        cr_assert_not_null(p[i]);
        cr_expect_eq((uintptr_t)p[i] % K_ALIGN_DEVICE, 0);
        for (size_t j = 0; j < i; j++) cr_expect_neq(p[i], p[j]);
        char *host = malloc(sizes[i] + 1);
        memset(host, 0x5a, sizes[i] + 1);
        gpu_take(g, host, p[i], sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++) cr_assert_eq(host[j], 0, "byte %zu of %zu is not zero", j, sizes[i]);
        cr_assert_eq(host[sizes[i]], 0x5a);
        free(host);
    }
    GPU_OK(g, d->mem_info(g->ctx, &left, &total, &g->e));
    cr_expect(left > 0 && left < total, "%zu of %zu", left, total);
    for (size_t i = 0; i < N; i++) d->mem_free(g->ctx, p[i]);
    d->mem_free(g->ctx, NULL);
    void *h = NULL;
    GPU_OK(g, d->host_new(g->ctx, &h, 0, &g->e));
    cr_assert_not_null(h);
    d->host_free(g->ctx, h);
    d->host_free(g->ctx, NULL);
}
Test(cuda_context, memory) { gpu_each(memory, 1000); }

static void copies(gpu *g)
{
    const k_device_ops *d = g->ops->device;
    enum { N = 5001 };
    int32_t *a, *b;
    void *p, *host[2];
    for (int i = 0; i < 2; i++) GPU_OK(g, d->host_new(g->ctx, &host[i], N * sizeof *a, &g->e));
    a = host[0], b = host[1];
    GPU_OK(g, d->mem_new(g->ctx, &p, N * sizeof *a, &g->e));
    for (int i = 0; i < N; i++) a[i] = i * 7919, b[i] = -1;
    GPU_OK(g, d->upload(g->ctx, p, a, N * sizeof *a, &g->e));
    GPU_OK(g,
           d->download(g->ctx, b + 1, (char *)p + sizeof *a, (N - 2) * sizeof *a, &g->e)); /* in the stream's order */
    GPU_OK(g, d->sync(g->ctx, &g->e));
    cr_expect(b[0] == -1 && b[N - 1] == -1 && !memcmp(a + 1, b + 1, (N - 2) * sizeof *a));
    d->mem_free(g->ctx, p);
    for (int i = 0; i < 2; i++) d->host_free(g->ctx, host[i]);
}
Test(cuda_context, copies) { gpu_each(copies, 0); }

/* --- recorded steps --------------------------------------------------------------------------------- */

static void too_much(gpu *g)
{
    const k_device_ops *d = g->ops->device;
    int here = 0;
    void *p = &here;
    cr_expect_eq(d->mem_new(g->ctx, &p, (size_t)1 << 50, &g->e), ST_NOMEM);
    cr_expect_eq(p, (void *)&here, "written in spite of the failure");
    cr_expect(said(g, "1125899.907 GB") && said(g, "free"), "%s", g->e.msg);
    step t = step_new(g, 2);
    cr_expect_eq(d->mem_new(g->ctx, &p, (size_t)1 << 50, &g->e), ST_NOMEM);
    GPU_OK(g, step_run(g, &t)); /* the next launch does not take that failure for its own */
    GPU_OK(g, d->mem_new(g->ctx, &p, 4096, &g->e));
    d->mem_free(g->ctx, p);
    k_ctx *none = NULL;
    cr_expect_eq(g->ops->ctx_new(&none, (size_t)1 << 50, &g->e), ST_NOMEM);
    cr_expect(none == NULL && said(g, "scratch"), "%s", g->e.msg);
}
Test(cuda_context, too_much) { gpu_each(too_much, 0); }

static void same(gpu *g, const step *a, const step *b, const char *when)
{
    for (size_t r = 0; r < 2; r++)
        cr_expect(gpu_same(g, &a->y, r, &b->y, r) && gpu_same(g, &a->dw, r, &b->dw, r), "%s: %s", g->ops->name, when);
}

static void recorded(gpu *g)
{
    const k_device_ops *d = g->ops->device;
    step direct = step_new(g, 2), replayed = step_new(g, 2);
    k_graph *graph = NULL;
    GPU_OK(g, d->record_begin(g->ctx, &g->e));
    GPU_OK(g, step_run(g, &replayed));
    GPU_OK(g, d->record_end(g->ctx, &graph, &g->e));
    cr_assert_not_null(graph);
    same(g, &direct, &replayed, "recording ran nothing");
    for (int i = 0; i < 3; i++) {
        GPU_OK(g, step_run(g, &direct));
        GPU_OK(g, d->replay(g->ctx, graph, &g->e));
        same(g, &direct, &replayed, "a replay is the step");
    }
    d->graph_free(graph);
    d->graph_free(NULL);
}
Test(cuda_context, a_replay_has_the_bits_of_the_step) { gpu_each(recorded, 0); }

/* A copy in a graph reads what its host memory holds when it is replayed. */
static void recorded_copies(gpu *g)
{
    const k_device_ops *d = g->ops->device;
    k_graph *graph = NULL;
    void *in, *out, *at;
    GPU_OK(g, d->host_new(g->ctx, &in, sizeof(int), &g->e));
    GPU_OK(g, d->host_new(g->ctx, &out, sizeof(int), &g->e));
    GPU_OK(g, d->mem_new(g->ctx, &at, sizeof(int), &g->e));
    GPU_OK(g, d->sync(g->ctx, &g->e));
    *(int *)in = 1, *(int *)out = -1;
    GPU_OK(g, d->record_begin(g->ctx, &g->e));
    GPU_OK(g, d->upload(g->ctx, at, in, sizeof(int), &g->e));
    GPU_OK(g, d->download(g->ctx, out, at, sizeof(int), &g->e));
    GPU_OK(g, d->record_end(g->ctx, &graph, &g->e));
    for (int i = 41; i < 44; i++) {
        *(int *)in = i;
        GPU_OK(g, d->replay(g->ctx, graph, &g->e));
        GPU_OK(g, d->sync(g->ctx, &g->e));
        cr_expect_eq(*(int *)out, i);
    }
    d->graph_free(graph);
    d->mem_free(g->ctx, at);
    d->host_free(g->ctx, in), d->host_free(g->ctx, out);
}
Test(cuda_context, recorded_copies) { gpu_each(recorded_copies, 0); }

/* A copy sent ahead is there for what is put on the stream after join_ahead; a mark is passed when what stood before it
 * is done, and tells nothing of what stands behind. */
static void ahead(gpu *g)
{
    const k_device_ops *d = g->ops->device;
    k_mark *mark = NULL;
    void *in, *out, *at;
    GPU_OK(g, d->host_new(g->ctx, &in, 2 * sizeof(int), &g->e));
    GPU_OK(g, d->host_new(g->ctx, &out, 2 * sizeof(int), &g->e));
    GPU_OK(g, d->mem_new(g->ctx, &at, 2 * sizeof(int), &g->e));
    GPU_OK(g, d->mark_new(g->ctx, &mark, &g->e));
    cr_assert_not_null(mark);
    GPU_OK(g, d->mark_wait(mark, &g->e)); /* never set: nothing to wait for */
    GPU_OK(g, d->sync(g->ctx, &g->e));
    for (int i = 3; i < 6; i++) {
        ((int *)in)[0] = i, ((int *)in)[1] = -i;
        GPU_OK(g, d->upload_ahead(g->ctx, at, in, sizeof(int), &g->e));
        GPU_OK(g, d->upload_ahead(g->ctx, (char *)at + sizeof(int), (char *)in + sizeof(int), sizeof(int), &g->e));
        GPU_OK(g, d->join_ahead(g->ctx, &g->e));
        GPU_OK(g, d->download(g->ctx, out, at, 2 * sizeof(int), &g->e));
        GPU_OK(g, d->mark_set(g->ctx, mark, &g->e));
        GPU_OK(g, d->download(g->ctx, in, at, sizeof(int), &g->e)); /* behind the mark */
        GPU_OK(g, d->mark_wait(mark, &g->e));
        cr_expect_eq(((int *)out)[0], i);
        cr_expect_eq(((int *)out)[1], -i);
        GPU_OK(g, d->sync(g->ctx, &g->e));
    }
    ((int *)in)[0] = 6;
    GPU_OK(g, d->upload_ahead(g->ctx, at, in, sizeof(int), &g->e)); /* joined by nothing: sync waits for it */
    GPU_OK(g, d->sync(g->ctx, &g->e));
    ((int *)in)[0] = 77;
    GPU_OK(g, d->download(g->ctx, out, at, sizeof(int), &g->e));
    GPU_OK(g, d->sync(g->ctx, &g->e));
    cr_expect_eq(((int *)out)[0], 6);
    d->mark_free(mark);
    d->mark_free(NULL);
    d->mem_free(g->ctx, at);
    d->host_free(g->ctx, in), d->host_free(g->ctx, out);
}
Test(cuda_context, copies_ahead_and_marks) { gpu_each(ahead, 0); }

#define REFUSED(g, call, word)                                     \
    do {                                                           \
        (g)->e.msg[0] = 0;                                         \
        cr_expect_eq((call), ST_DEVICE, #call " was not refused"); \
        cr_expect(said((g), (word)), #call ": %s", (g)->e.msg);    \
    } while (0)

static void refused(gpu *g)
{
    const k_device_ops *d = g->ops->device;
    step t = step_new(g, 2), direct = step_new(g, 2);
    k_graph *graph = NULL;
    k_mark *mark = NULL, *none = NULL;
    void *p = NULL;
    int32_t host = 0;
    GPU_OK(g, d->mark_new(g->ctx, &mark, &g->e));
    REFUSED(g, d->record_end(g->ctx, &graph, &g->e), "no graph");
    d->record_drop(g->ctx); /* nothing to drop */
    GPU_OK(g, d->record_begin(g->ctx, &g->e));
    REFUSED(g, d->mem_new(g->ctx, &p, 64, &g->e), "recorded");
    REFUSED(g, d->host_new(g->ctx, &p, 64, &g->e), "recorded");
    REFUSED(g, d->sync(g->ctx, &g->e), "recorded");
    REFUSED(g, d->record_begin(g->ctx, &g->e), "already");
    REFUSED(g, d->upload_ahead(g->ctx, t.y.p, &host, sizeof host, &g->e), "recorded");
    REFUSED(g, d->join_ahead(g->ctx, &g->e), "recorded");
    REFUSED(g, d->mark_set(g->ctx, mark, &g->e), "recorded");
    REFUSED(g, d->mark_new(g->ctx, &none, &g->e), "recorded");
    cr_expect(p == NULL && none == NULL);
    d->mark_free(mark);
    GPU_OK(g, step_run(g, &t)); /* none of that has spoilt the recording */
    GPU_OK(g, d->record_end(g->ctx, &graph, &g->e));
    GPU_OK(g, d->replay(g->ctx, graph, &g->e));
    GPU_OK(g, step_run(g, &direct));
    same(g, &direct, &t, "after refusals");
    d->graph_free(graph);
    GPU_OK(g, d->record_begin(g->ctx, &g->e));
    GPU_OK(g, step_run(g, &t));
    d->record_drop(g->ctx);
    same(g, &direct, &t, "a dropped recording ran nothing");
    GPU_OK(g, step_run(g, &t)); /* and the stream is free again */
    GPU_OK(g, step_run(g, &direct));
    same(g, &direct, &t, "after a dropped recording");
}
Test(cuda_context, refused_while_recording) { gpu_each(refused, 0); }

/* Freed in the middle of a recording. */
static void freed(gpu *g)
{
    gpu *h = keep(calloc(1, sizeof *h));
    cr_assert_eq(gpu_open(h, g->ops->name, 4096), ST_OK, "%s", h->e.msg);
    GPU_OK(h, h->ops->device->record_begin(h->ctx, &h->e));
    h->ops->ctx_free(h->ctx);
    step t = step_new(g, 2);
    GPU_OK(g, step_run(g, &t));
    GPU_OK(g, g->ops->device->sync(g->ctx, &g->e));
}
Test(cuda_context, freed_while_recording) { gpu_each(freed, 0); }

/* Two contexts: one records while the other works and allocates. */
static void two(gpu *g)
{
    gpu *h = keep(calloc(1, sizeof *h));
    cr_assert_eq(gpu_open(h, g->ops->name, 0), ST_OK, "%s", h->e.msg);
    step a = step_new(g, 2), b = step_new(h, 2);
    GPU_OK(g, g->ops->device->sync(g->ctx, &g->e));
    GPU_OK(h, h->ops->device->sync(h->ctx, &h->e));
    GPU_OK(g, step_run(g, &a));
    GPU_OK(h, step_run(h, &b));
    GPU_OK(g, g->ops->device->sync(g->ctx, &g->e));
    GPU_OK(h, h->ops->device->sync(h->ctx, &h->e));
    same(g, &a, &b, "two contexts");
    gpu_close(h);
    GPU_OK(g, step_run(g, &a));
}
Test(cuda_context, two_contexts) { gpu_each(two, 0); }
