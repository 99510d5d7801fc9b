/* gpu-bench --ops on the CUDA-on-CPU layer: a step taken apart has the step's FLOPs, every call is timed, and what the
 * calls compute is still the step. And the harness that steps a bank against the clock. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

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
    cr_assert_eq(ops_watch(&t, &s, 2, 1, backend, true, &e), ST_OK, "%s", e.msg);
    const double want = shape_flops_per_token(&s, FLOPS_EXACT) * 2 * 1 * 5;
    cr_expect_float_eq(t.flops, want, 1e-9 * want, "%s: %g FLOPs, the shape has %g", backend, t.flops, want);
    cr_expect_eq(calls(&t, "attn_fwd"), 1);
    cr_expect_eq(calls(&t, "attn_bwd"), 1);
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
