/* What the context does when CUDA fails: each call of a life with a context fails once, in turn, with each kind of
 * error. Only over the CUDA-on-CPU layer, which can be told to fail. */
#include <stdio.h>

#include "tests/emu/emu.h"
#include "tests/kernels/gpu.h"

enum { OUT_OF_MEMORY = 2, NOT_SUPPORTED = 801, ILLEGAL_ADDRESS = 700, CAPTURE_INVALID = 901 }; /* cudaError_t */
static const int errors[] = {OUT_OF_MEMORY, NOT_SUPPORTED, ILLEGAL_ADDRESS, CAPTURE_INVALID};
enum { N_ERRORS = sizeof errors / sizeof *errors };

/* A life: a context, memory, a step directly and recorded, the way back. Returns the first failure. */
typedef struct life {
    const k_ops *ops;
    k_ctx *ctx;
    k_graph *graph;
    k_mark *mark;
    void *dev[5], *host;
    err e;
} life;

static status work(life *l)
{
    static const k_mm s = {.R = 2, .n = 4, .in = 8, .out = 8, .ldx = 8, .ldy = 8};
    const k_device_ops *d = l->ops->device;
    err *e = &l->e;
    enum { STRIDE = 128, BYTES = 2 * STRIDE * sizeof(float) }; /* 256 bytes of bf16 */
    status st = l->ops->ctx_new(&l->ctx, 4096, e);
    for (size_t i = 0; i < 4 && !st; i++) st = d->mem_new(l->ctx, &l->dev[i], BYTES, e);
    if (!st) st = d->host_new(l->ctx, &l->host, BYTES, e);
    if (!st) st = d->mark_new(l->ctx, &l->mark, e);
    if (st) return st;
    for (size_t i = 0; i < BYTES / sizeof(float); i++) ((float *)l->host)[i] = 0.25f;
    const k_act y = {l->dev[0], STRIDE};
    const k_cact x = {l->dev[1], STRIDE}, dy = {l->dev[0], STRIDE};
    const k_weight w = {{l->dev[2], STRIDE}, {l->dev[2], STRIDE / 2}};
    const k_arr dw = {l->dev[3], STRIDE};
    const k_mult one = {0};
    if ((st = d->upload(l->ctx, l->dev[1], l->host, BYTES, e))) return st;
    if ((st = d->sync(l->ctx, e))) return st; /* the memory is zeroed by now */
    if ((st = d->upload_ahead(l->ctx, l->dev[2], l->host, BYTES, e))) return st;
    if ((st = d->join_ahead(l->ctx, e))) return st;
    if ((st = l->ops->matmul_fwd(l->ctx, y, x, w, one, false, &s, e))) return st;
    if ((st = d->record_begin(l->ctx, e))) return st;
    st = l->ops->matmul_fwd(l->ctx, y, x, w, one, false, &s, e);
    if (!st) st = l->ops->matmul_wgrad(l->ctx, dw, dy, x, one, true, &s, e);
    if (st) return d->record_drop(l->ctx), st;
    if ((st = d->record_end(l->ctx, &l->graph, e))) return st;
    if ((st = d->replay(l->ctx, l->graph, e))) return st;
    if ((st = d->download(l->ctx, l->host, l->dev[3], BYTES, e))) return st;
    if ((st = d->mark_set(l->ctx, l->mark, e))) return st;
    return d->mark_wait(l->mark, e);
}

static void end(life *l)
{
    const k_device_ops *d = l->ops->device;
    d->graph_free(l->graph);
    d->mark_free(l->mark);
    for (size_t i = 0; i < 5 && l->ctx; i++) d->mem_free(l->ctx, l->dev[i]);
    if (l->ctx) d->host_free(l->ctx, l->host);
    l->ops->ctx_free(l->ctx);
}

static bool nothing_lives(void)
{
    const emu_live n = emu_live_now();
    return !n.device && !n.device_bytes && !n.host && !n.streams && !n.events && !n.graphs;
}

static long calls_of_a_life(const char *backend)
{
    life l = {0};
    cr_assert_eq(k_backend(&l.ops, backend, NULL), ST_OK);
    const long before = emu_calls();
    cr_assert_eq(work(&l), ST_OK, "%s", l.e.msg);
    const long calls = emu_calls() - before;
    if (!strcmp(backend, "cuda-fp32")) cr_expect_float_eq(((float *)l.host)[0], 0.5f, 1e-6); /* 4 of 8 / 16 of 1 / 4 */
    end(&l);
    cr_assert(nothing_lives(), "a life without failures leaves something behind");
    return calls;
}

static void fail_each(const char *backend)
{
    const long calls = calls_of_a_life(backend);
    cr_assert_gt(calls, 25);
    for (int k = 0; k < N_ERRORS; k++) {
        int unheard = 0; /* failures to destroy what has served: nothing is lost by them but that */
        for (long n = 1; n <= calls; n++) {
            life l = {0};
            cr_assert_eq(k_backend(&l.ops, backend, NULL), ST_OK);
            emu_fail_at(n, errors[k]);
            const status s = work(&l);
            emu_fail_at(0, 0);
            const k_device_ops *d = l.ops->device;
            if (!s && errors[k] != ILLEGAL_ADDRESS) {
                unheard++;
                end(&l);
                cr_assert_eq(d->recover(NULL), ST_OK);
                cr_assert(nothing_lives());
                continue;
            }
            cr_expect(s == ST_DEVICE || (s == ST_NOMEM && errors[k] == OUT_OF_MEMORY),
                      "%s: call %ld of %ld, error %d: %s (%s)", backend, n, calls, errors[k], status_name(s), l.e.msg);
            cr_expect(strstr(l.e.msg, "CUDA: ") && strstr(l.e.msg, ": ") && !strchr(l.e.msg, '\n'), "call %ld: '%s'", n,
                      l.e.msg);
            if (errors[k] == ILLEGAL_ADDRESS)
                cr_expect(strstr(l.e.msg, "cudaErrorIllegalAddress"), "call %ld: %s", n, l.e.msg);
            end(&l);
            if (errors[k] == ILLEGAL_ADDRESS) cr_assert_eq(d->recover(&l.e), ST_OK, "call %ld: %s", n, l.e.msg);
            cr_assert(nothing_lives(), "%s: call %ld of %ld, error %d leaves something behind", backend, n, calls,
                      errors[k]);
        }
        cr_expect_leq(unheard, 1, "%d failures of error %d are not reported", unheard, errors[k]);
    }
    calls_of_a_life(backend); /* all is well again */
}
Test(cuda_faults, every_call_fp32) { fail_each("cuda-fp32"); }
Test(cuda_faults, every_call_bf16) { fail_each("cuda"); }

static void not_ready(const char *word)
{
    static const char *const names[] = {"cuda", "cuda-fp32"};
    for (size_t i = 0; i < 2; i++) {
        const k_ops *ops = NULL;
        k_ctx *none = NULL;
        err e = {0}, f = {0};
        cr_assert_eq(k_backend(&ops, names[i], &e), ST_OK, "a table needs no device");
        cr_expect_eq(k_backend_ready(names[i], &e), ST_DEVICE);
        cr_expect(strstr(e.msg, word) && strstr(e.msg, "backend=cpu"), "%s", e.msg);
        cr_expect_eq(ops->ctx_new(&none, 0, &f), ST_DEVICE);
        cr_expect_str_eq(e.msg, f.msg);
        cr_expect_null(none);
    }
    cr_expect(nothing_lives());
}
Test(cuda_faults, no_driver) { emu_devices(-1), not_ready("no NVIDIA driver"); }
Test(cuda_faults, no_device) { emu_devices(0), not_ready("no device is visible"); }
Test(cuda_faults, an_old_device) { emu_capability(7, 5), not_ready("compute capability 7.5"); }

Test(cuda_faults, the_oldest_that_will_do)
{
    emu_capability(8, 0);
    cr_expect_eq(k_backend_ready("cuda", NULL), ST_OK);
}

Test(cuda_faults, little_memory)
{
    const k_ops *ops = NULL;
    k_ctx *ctx = NULL;
    err e = {0};
    void *p = NULL;
    emu_memory(40000000);
    cr_assert_eq(k_backend(&ops, "cuda", &e), ST_OK);
    cr_expect_eq(ops->ctx_new(&ctx, 50000000, &e), ST_NOMEM);
    cr_expect(strstr(e.msg, "0.050 GB of scratch") && strstr(e.msg, "0.040 GB"), "%s", e.msg);
    cr_expect_null(ctx);
    cr_expect(nothing_lives());
    cr_expect_eq(ops->ctx_new(&ctx, 10000000, &e), ST_NOMEM); /* and 32 MiB */
    cr_expect(strstr(e.msg, "cuBLASLt's workspace") && strstr(e.msg, "0.030 GB"), "%s", e.msg);
    cr_expect_null(ctx);
    cr_expect(nothing_lives());
    cr_assert_eq(ops->ctx_new(&ctx, 1000000, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(ops->device->mem_new(ctx, &p, 7500000, &e), ST_NOMEM);
    cr_expect(strstr(e.msg, "7500000 bytes") && strstr(e.msg, "free"), "%s", e.msg);
    ops->ctx_free(ctx);
    cr_expect(nothing_lives());
}

/* MUSCALE_CUDA_SYNC: the call that caused an error reports it; without, whatever waits does. */
static status when(bool each, const char **who, err *e)
{
    life l = {0};
    static const k_mm s = {.R = 1, .n = 4, .in = 8, .out = 8, .ldx = 8, .ldy = 8};
    const k_mult one = {0};
    if (each) setenv("MUSCALE_CUDA_SYNC", "1", 1);
    else unsetenv("MUSCALE_CUDA_SYNC");
    cr_assert_eq(k_backend(&l.ops, "cuda-fp32", NULL), ST_OK);
    cr_assert_eq(l.ops->ctx_new(&l.ctx, 0, e), ST_OK);
    for (size_t i = 0; i < 3; i++) cr_assert_eq(l.ops->device->mem_new(l.ctx, &l.dev[i], 256, e), ST_OK);
    const k_act y = {l.dev[0], 64};
    const k_cact x = {l.dev[1], 64};
    const k_weight w = {{l.dev[2], 64}, {0}};
    cr_assert_eq(l.ops->matmul_fwd(l.ctx, y, x, w, one, false, &s, e), ST_OK); /* the first one loads code */
    cr_assert_eq(l.ops->device->sync(l.ctx, e), ST_OK);
    emu_fail_at(2, ILLEGAL_ADDRESS); /* the launch: 1 is the capture's mode */
    *who = "matmul";
    status st = l.ops->matmul_fwd(l.ctx, y, x, w, one, false, &s, e);
    if (!st) *who = "sync", st = l.ops->device->sync(l.ctx, e);
    end(&l);
    cr_assert_eq(l.ops->device->recover(NULL), ST_OK);
    return st;
}

Test(cuda_faults, who_reports_a_failed_kernel)
{
    const char *who = NULL;
    err e = {0};
    cr_expect_eq(when(true, &who, &e), ST_DEVICE);
    cr_expect(!strcmp(who, "matmul") && strstr(e.msg, "matmul"), "%s: %s", who, e.msg);
    cr_expect_eq(when(false, &who, &e), ST_DEVICE);
    cr_expect_str_eq(who, "sync");
    cr_expect(strstr(e.msg, "MUSCALE_CUDA_SYNC=1"), "%s", e.msg);
}
