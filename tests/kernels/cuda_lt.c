/* lt_cuda.cu and a cuBLASLt that is not as one would like: no algorithm for a batch, only algorithms that split k, an
 * error, no library at all; and how often it is asked. Only over the stand-in of the library (tests/emu/). */
#include "kernels/device.h"
#include "tests/emu/emu.h"
#include "tests/kernels/step.h"

static void same(gpu *g, const step *a, gpu *h, const step *b, const char *when)
{
    for (size_t r = 0; r < a->s.R; r++) {
        buf y = gpu_get(g, &a->y), dw = gpu_get(g, &a->dw), y1 = gpu_get(h, &b->y), dw1 = gpu_get(h, &b->dw);
        cr_expect(!memcmp(y.p + r * y.stride, y1.p + r * y1.stride, y.len * sizeof *y.p) &&
                      !memcmp(dw.p + r * dw.stride, dw1.p + r * dw1.stride, dw.len * sizeof *dw.p),
                  "%s: replica %zu, %s", g->ops->name, r, when);
        buf_free(&y), buf_free(&dw), buf_free(&y1), buf_free(&dw1);
    }
}

/* What the library was asked since `then`. */
static void expect_calls(emu_lt_count then, long asked, long checked, long products, const char *when)
{
    const emu_lt_count now = emu_lt_counts();
    cr_expect(now.asked - then.asked == asked && now.checked - then.checked == checked &&
                  now.products - then.products == products,
              "%s: %ld questions, %ld checks, %ld products; not %ld, %ld, %ld", when, now.asked - then.asked,
              now.checked - then.checked, now.products - then.products, asked, checked, products);
}

static void plans(gpu *g)
{
    const step three = step_new(g, 3), one = step_new(g, 1), two = step_new(g, 2);
    emu_lt_count then = emu_lt_counts();
    GPU_OK(g, step_run(g, &three));
    expect_calls(then, 2, 2, 2, "two new shapes");
    then = emu_lt_counts();
    GPU_OK(g, step_run(g, &three));
    expect_calls(then, 0, 0, 2, "known ones");
    then = emu_lt_counts();
    GPU_OK(g, step_run(g, &one));
    expect_calls(then, 0, 0, 2, "one replica of known ones");
    then = emu_lt_counts();
    GPU_OK(g, step_run(g, &two));
    expect_calls(then, 0, 2, 2, "another R of known ones");
}
Test(cuda_lt, plans_are_kept) { gpu_each(plans, 0); }

/* More shapes than there is room for at first. */
static void many(gpu *g)
{
    const k_mult no = {0};
    buf b = buf_new(1, 64 * 64, 1, 1);
    const gbuf x = gpu_act(g, &b), y = gpu_act(g, &b), dw = gpu_real(g, &b);
    for (int pass = 0; pass < 2; pass++) {
        const emu_lt_count then = emu_lt_counts();
        for (size_t n = 1; n <= 50; n++) {
            const k_mm s = {.R = 1, .n = n, .in = 16, .out = 24, .ldx = 16, .ldy = 24};
            GPU_OK(g, g->ops->matmul_wgrad(g->ctx, garr(&dw), gcact(&y), gcact(&x), no, true, &s, &g->e));
        }
        expect_calls(then, pass ? 0 : 50, 0, 50, "fifty shapes");
    }
    buf_free(&b);
}
Test(cuda_lt, many_plans) { gpu_each(many, 0); }

/* Bits do not tell whether the library computes the batch or each replica; nor does a recording. */
static void one_by_one(gpu *g)
{
    const step batched = step_new(g, 3);
    GPU_OK(g, step_run(g, &batched));
    emu_lt(EMU_LT_NO_BATCHES);
    gpu *h = keep(calloc(1, sizeof *h));
    cr_assert_eq(gpu_open(h, g->ops->name, 0), ST_OK, "%s", h->e.msg);
    const step each = step_new(h, 3), replayed = step_new(h, 3);
    const emu_lt_count then = emu_lt_counts();
    GPU_OK(h, step_run(h, &each));
    expect_calls(then, 2, 2, 6, "one by one");
    same(g, &batched, h, &each, "one by one");
    const char *name = h->ops->device->device_name(h->ctx);
    cr_expect(strstr(name, "cuBLASLt 13.1.0") && strstr(name, "; 2 products of a bank run replica by replica"), "%s", name);
    name = g->ops->device->device_name(g->ctx);
    cr_expect(!strstr(name, "replica by replica"), "%s", name);
    k_graph *graph = NULL;
    GPU_OK(h, h->ops->device->record_begin(h->ctx, &h->e));
    GPU_OK(h, step_run(h, &replayed));
    GPU_OK(h, h->ops->device->record_end(h->ctx, &graph, &h->e));
    GPU_OK(h, h->ops->device->replay(h->ctx, graph, &h->e));
    same(g, &batched, h, &replayed, "one by one, replayed");
    h->ops->device->graph_free(graph);
    gpu_close(h);
    emu_lt(0);
}
Test(cuda_lt, one_by_one) { gpu_each(one_by_one, 0); }

/* Nor what a context was asked before: the algorithm of a replica in a bank is that of a replica alone. */
static void in_company(gpu *g)
{
    const step three = step_new(g, 3);
    GPU_OK(g, step_run(g, &three));
    gpu *h = keep(calloc(1, sizeof *h));
    cr_assert_eq(gpu_open(h, g->ops->name, 0), ST_OK, "%s", h->e.msg);
    const step one = step_new(h, 1);
    GPU_OK(h, step_run(h, &one));
    same(h, &one, g, &three, "alone and in company");
    gpu_close(h);
}
Test(cuda_lt, in_company) { gpu_each(in_company, 0); }

static void refused(gpu *g, int how, status what, const char *const words[])
{
    const step t = step_new(g, 2);
    emu_lt(how);
    cr_expect_eq(step_run(g, &t), what);
    for (size_t i = 0; words[i]; i++) cr_expect(strstr(g->e.msg, words[i]), "no '%s' in: %s", words[i], g->e.msg);
    emu_lt(0);
    GPU_OK(g, step_run(g, &t)); /* nothing wrong was kept */
    GPU_OK(g, g->ops->device->sync(g->ctx, &g->e));
}

static void only_splits(gpu *g)
{
    const char *const words[] = {g->half ? "of bf16 (24, 40) and (40, 32)" : "of fp32 (24, 40) and (40, 32)",
                                 "without a split of k", "row strides 40, 40, 32;", NULL};
    refused(g, EMU_LT_ONLY_SPLITS, ST_DOMAIN, words);
}
Test(cuda_lt, only_splits) { gpu_each(only_splits, 0); }

static void broken(gpu *g)
{
    static const char *const words[] = {"cuBLASLt: a matrix product: ", "absent from the device", NULL};
    refused(g, EMU_LT_BROKEN, ST_DEVICE, words);
}
Test(cuda_lt, broken) { gpu_each(broken, 0); }

/* No context without the library; doctor's answer says why. */
static void no_library(int how, const char *word)
{
    k_device_library l[K_DEVICE_LIBRARIES];
    const k_ops *ops = NULL;
    k_ctx *none = NULL;
    err e = {0};
    emu_lt(how);
    cr_assert_eq(k_backend(&ops, "cuda", &e), ST_OK, "%s", e.msg);
    cr_expect_eq(ops->ctx_new(&none, 0, &e), ST_DEVICE);
    cr_expect(strstr(e.msg, word), "%s", e.msg);
    cr_expect_null(none);
    cr_assert_eq(k_device_libraries(l), K_DEVICE_LIBRARIES);
    cr_expect(!*l[1].version && strstr(l[1].why, word), "%s", l[1].why);
    emu_lt(0);
    cr_assert_eq(ops->ctx_new(&none, 0, &e), ST_OK, "%s", e.msg);
    ops->ctx_free(none);
}
Test(cuda_lt, not_installed) { no_library(EMU_LT_ABSENT, "No such file or directory; install it or put its folder into"); }
Test(cuda_lt, another_version) { no_library(EMU_LT_OLD, "libcublasLt.so.13 has no cublasLtMatmulAlgoCheck: another version"); }

Test(cuda_lt, version)
{
    k_device_library l[K_DEVICE_LIBRARIES];
    cr_assert_eq(k_device_libraries(l), K_DEVICE_LIBRARIES);
    cr_expect_str_eq(l[1].name, "cublaslt");
    cr_expect_str_eq(l[1].version, "13.1.0");
}
