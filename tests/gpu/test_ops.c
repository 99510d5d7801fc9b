/* gpu-bench --ops on the CUDA-on-CPU layer: a step taken apart has the step's FLOPs, every call is timed, and what the
 * calls compute is still the step. And the harness that steps a bank against the clock. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "bench/gpu_count.h"
#include "bench/gpu_loop.h"
#include "bench/gpu_ops.h"
#include "bench/gpu_run.h"

static shape small(bool swiglu)
{
    shape s = {.vocab = 29,
               .d_model = 24,
               .n_layer = 1,
               .n_head = 3,
               .n_kv_head = 1,
               .head_dim = 8,
               .d_ff = 40,
               .seq_len = 5,
               .act = ACT_GELU,
               .tied_head = true,
               .rope_theta = 10000};
    if (swiglu) s.act = ACT_SWIGLU, s.tied_head = false, s.qk_norm = s.norm_gain = true;
    return s;
}

static size_t calls(const op_rows *t, const char *slot)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->row[i].slot, slot)) n += t->row[i].calls;
    return n;
}

static void taken_apart(const char *backend, bool swiglu)
{
    static op_rows t;
    const shape s = small(swiglu);
    err e = {0};
    cr_assert_eq(ops_watch(&t, &s, 2, 1, backend, OPS_TIMED, &e), ST_OK, "%s", e.msg);
    const double want = shape_flops_per_token(&s, FLOPS_EXACT) * 2 * 1 * 5;
    cr_expect_float_eq(t.flops, want, 1e-9 * want, "%s: %g FLOPs, the shape has %g", backend, t.flops, want);
    const bool host = !strcmp(backend, "cpu"); /* where RoPE is an op of its own */
    cr_expect_eq(calls(&t, host ? "attn_fwd" : "attn_rope_fwd"), 1);
    cr_expect_eq(calls(&t, host ? "attn_bwd" : "attn_rope_bwd"), 1);
    cr_expect_eq(calls(&t, "rope_fwd") + calls(&t, "rope_bwd"), host ? 2 : 0);
    cr_expect_eq(calls(&t, "rmsnorm_fwd"), 3);
    /* In fp32 q, k, v and SwiGLU's halves lie back to back and are one product each; the packed copies of this shape's
     * do not, and the host joins nothing. */
    cr_expect_eq(calls(&t, "matmul_wgrad"), (swiglu ? 8u : 7u) - (strcmp(backend, "cuda-fp32") ? 0u : 3u));
    cr_expect_eq(calls(&t, "xent"), 1);
    cr_expect_eq(calls(&t, "gain_bwd"), swiglu ? 3 : 0);
    for (size_t i = 0; i < t.n; i++)
        cr_expect(t.row[i].bytes > 0 && (!strcmp(backend, "cpu") || t.row[i].seconds > 0), "%s of %s: %g bytes, %g s",
                  t.row[i].slot, backend, t.row[i].bytes, t.row[i].seconds);
    cr_expect_eq(calls(&t, "bank_adamw"), strcmp(backend, "cpu") ? 1 : 0);
}

Test(ops, a_step_taken_apart_on_the_cpu) { taken_apart("cpu", false), taken_apart("cpu", true); }
Test(ops, a_step_taken_apart_in_fp32) { taken_apart("cuda-fp32", true); }
Test(ops, a_step_taken_apart_in_bf16) { taken_apart("cuda", false); }

static double called(const char *backend, const shape *s, size_t R, size_t batch, double *flops)
{
    static op_rows t;
    err e = {0};
    cr_assert_eq(ops_watch(&t, s, R, batch, backend, OPS_COUNTED, &e), ST_OK, "%s", e.msg);
    if (flops) *flops = t.flops;
    return t.bytes;
}

/* Nothing is called, and the count is that of a step that is. */
Test(ops, counted_is_as_called)
{
    static op_rows real;
    for (int swiglu = 0; swiglu < 2; swiglu++) {
        const shape s = small(swiglu);
        double flops;
        err e = {0};
        cr_assert_eq(ops_watch(&real, &s, 2, 1, "cuda", OPS_CALLED, &e), ST_OK, "%s", e.msg);
        cr_expect_eq(called("cuda", &s, 2, 1, &flops), real.bytes);
        cr_expect_eq(flops, real.flops);
    }
}

/* What doc/performance.md says of the cases: GB that a step moves as its ops are called today, the least, and so the
 * share of the bound in reach with every op at copy bandwidth. A change of these is a change of the document. */
Test(ops, the_share_within_reach_is_the_documents)
{
    static const struct {
        const char *name;
        double called, least, share;
    } said[] = {{"d256", 21.5, 17.5, 0.81}, {"d128", 15.7, 12.1, 0.77}, {"124M", 82.1, 60.8, 0.74}};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        const gpu_case *c = gpu_case_find(said[i].name);
        const shape s = gpu_case_shape(c);
        const double bytes = called("cuda", &s, c->R, c->batch, NULL);
        const double least = count_step(&s, c->R, c->batch, 2, 2).bytes;
        cr_expect_float_eq(1e-9 * bytes, said[i].called, 0.051, "%s: %g GB", c->name, 1e-9 * bytes);
        cr_expect_float_eq(1e-9 * least, said[i].least, 0.051, "%s: least %g GB", c->name, 1e-9 * least);
        cr_expect_float_eq(least / bytes, said[i].share, 0.0051, "%s: share %g", c->name, least / bytes);
    }
}

/* Elements of activations a layer and token in units of d: 94 as called, 69 the least. Weights do not grow with the
 * batch; the rest of what does are statistics, 4 bytes a norm or head. */
Test(ops, a_layer_moves_what_the_document_says)
{
    shape s = gpu_case_shape(gpu_case_find("d256"));
    const double unit = 8 * (double)s.seq_len * (double)s.d_model * 2;
    double moved = 0, least = 0;
    for (int layers = 1; layers < 3; layers++)
        for (int twice = 0; twice < 2; twice++) {
            const double sign = (layers == 2 ? 1 : -1) * (twice ? 1 : -1);
            s.n_layer = layers;
            moved += sign * called("cuda", &s, 1, twice ? 16 : 8, NULL) / unit;
            least += sign * count_step(&s, 1, twice ? 16 : 8, 2, 2).bytes / unit;
        }
    cr_expect(moved > 94 && moved < 94.2, "%g d as called", moved);
    cr_expect(least > 69 && least < 69.2, "%g d at least", least);
}

Test(run, a_bank_is_stepped_against_the_clock)
{
    const gpu_case tiny = {"tiny", 1, 16, 8, 31, 4, 1, 1, 0, 0, 0};
    gpu_run *r = NULL;
    gpu_time t = {0};
    err e = {0};
    cr_assert_eq(gpu_run_new(&r, &tiny, 1, "cuda", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(gpu_run_time(&t, r, 2, &e), ST_OK, "%s", e.msg);
    cr_expect(t.min > 0 && t.min <= t.median && t.median <= t.max && t.reps == 2 && t.steps >= 3);
    gpu_run_free(r);
    cr_expect_not_null(gpu_case_find("124M"));
    cr_expect_null(gpu_case_find("none"));
    for (size_t i = 0; i < gpu_n_cases; i++) {
        const shape s = gpu_case_shape(&gpu_cases[i]);
        cr_expect_eq(shape_check(&s, &e), ST_OK, "%s: %s", gpu_cases[i].name, e.msg);
    }
    const shape big = gpu_case_shape(gpu_case_find("124M"));
    cr_expect(llabs(shape_count(&big).n_params_total - 124000000) < 1000000);
}

/* The layer's products need no workspace, so only what the shape requires is sure to be taken. */
Test(run, memory_taken_is_what_the_bank_announces)
{
    const gpu_case tiny = {"tiny", 1, 16, 8, 31, 4, 1, 1, 0, 0, 0};
    gpu_memory m = {0};
    err e = {0};
    cr_assert_eq(gpu_run_memory(&m, &tiny, 1, "cuda", &e), ST_OK, "%s", e.msg);
    const shape s = gpu_case_shape(&tiny);
    const double state = 16.0 * (double)shape_param_stride(&s);
    cr_expect(m.taken > state && m.taken < 1.15 * m.needed, "%g taken, %g announced", m.taken, m.needed);
}

Test(run, the_loop_is_timed)
{
    const gpu_case tiny = {"tiny", 1, 16, 8, 31, 4, 1, 2, 0, 0, 0};
    gpu_time t = {0};
    err e = {0};
    cr_assert_eq(gpu_loop_time(&t, &tiny, 2, "cuda", 3, &e), ST_OK, "%s", e.msg);
    cr_expect(t.min > 0 && t.min <= t.median && t.median <= t.max && t.steps == 3);
}
