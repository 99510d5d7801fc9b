/* The bound that gpu-bench measures against: its FLOPs are the trainer's own count, its bytes a count by hand. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "bench/gpu_count.h"
#include "bench/gpu_table.h"

static shape small(void)
{
    return (shape){.vocab = 11,
                   .d_model = 6,
                   .n_layer = 2,
                   .n_head = 3,
                   .n_kv_head = 1,
                   .head_dim = 2,
                   .d_ff = 5,
                   .seq_len = 7,
                   .act = ACT_GELU,
                   .tied_head = true,
                   .rope_theta = 10000};
}

Test(count, flops_are_the_trainers)
{
    for (int k = 0; k < 4; k++) {
        shape s = small();
        s.act = k & 1 ? ACT_SWIGLU : ACT_GELU;
        s.tied_head = k & 2;
        const count c = count_step(&s, 3, 4, 2, 2);
        const double want = shape_flops_per_token(&s, FLOPS_EXACT) * 3 * 4 * 7;
        cr_expect_float_eq(c.flops, want, 1e-9 * want, "%g, %g", c.flops, want);
        s.seq_len++; /* the twin: another shape has another count */
        cr_expect_neq(count_step(&s, 3, 4, 2, 2).flops, c.flops);
    }
}

Test(count, bytes_by_hand)
{
    const shape s = small();
    const count c = count_step(&s, 1, 1, 2, 2); /* 7 tokens; q 6, kv 2, qkv 10, two layers */
    const double d = 7 * 2 * 6, q = d, kqv = 7 * 2 * 10, f = 7 * 2 * 5, V = 7 * 2 * 11;
    const double by_hand[COUNT_ROWS] = {
        [COUNT_EMBED] = 2 * 7 * 6 * 4 + 2 * d,
        [COUNT_NORM] = 5 * (4 * d + 2 * 7 * 4),
        [COUNT_QKV] = 2 * (3 * d + 2 * kqv + 60 * 8),
        [COUNT_ATTENTION] = 2 * (3 * kqv + 3 * q + 2 * 7 * 3 * 4),
        [COUNT_ATTN_OUT] = 2 * (3 * q + 3 * d + 36 * 8),
        [COUNT_FFN_IN] = 2 * (3 * d + 3 * f + 30 * 8),
        [COUNT_FFN_OUT] = 2 * (3 * d + 4 * f + 30 * 8),
        [COUNT_HEAD] = 3 * d + 2 * V + 66 * 8,
        [COUNT_XENT] = 2 * V + 7 * 8,
        [COUNT_OPTIMISER] = 378 * 34,
    };
    cr_assert_eq(shape_count(&s).n_params_total, 378);
    double sum = 0;
    for (int i = 0; i < COUNT_ROWS; i++) {
        cr_expect_eq(c.row[i].bytes, by_hand[i], "%s: %g, by hand %g", c.row[i].what, c.row[i].bytes, by_hand[i]);
        sum += by_hand[i];
    }
    cr_expect_eq(c.bytes, sum);
}

Test(count, a_bank_scales_and_the_bound_is_the_larger_time)
{
    const shape s = small();
    const count one = count_step(&s, 1, 4, 2, 2), five = count_step(&s, 5, 4, 2, 2);
    cr_expect_float_eq(five.flops, 5 * one.flops, 1e-6);
    cr_expect_float_eq(five.bytes, 5 * one.bytes, 1e-6);
    const bound fast = count_bound(&one, 1e12, 1e3), slow = count_bound(&one, 1e3, 1e12);
    cr_expect_eq(fast.seconds, one.bytes / 1e3);
    cr_expect_eq(slow.seconds, one.flops / 1e3);
    cr_expect_gt(count_memory(&s, 2, 4, 2, 2), 2 * 378 * 18);
}

/* What --strict exits by: rows that reach their target, miss it, or lack a peer. */
Test(table, verdicts_are_counted)
{
    const gpu_case *c = gpu_case_find("d128");
    const shape s = gpu_case_shape(c);
    const gpu_rates rates = {1e15, 5e13, 3e12};
    gpu_result x = {.c = c,
                    .rates = rates,
                    .counted = count_step(&s, c->R, c->batch, 2, 2),
                    .called = 17.7e9,
                    .memory = {1.1e9, 1e9},
                    .kernels = 1e-3,
                    .kernels_by = "hand",
                    .one = {.median = 1.2e-3}};
    x.bound = count_bound(&x.counted, rates.bf16, rates.copy);
    x.bank.median = x.bound.seconds / 0.61;
    gpu_tally t = gpu_table_markdown(&x, 1, "none", &rates, &rates);
    cr_expect(t.met == 3 && t.missed == 0 && t.open == 1, "%d %d %d", t.met, t.missed, t.open);
    x.torch = (gpu_peer){(double)c->R * 2048 / x.bank.median / 15.1, "default"};
    t = gpu_table_markdown(&x, 1, "none", &rates, &rates);
    cr_expect(t.met == 4 && t.missed == 0 && t.open == 0, "%d %d %d", t.met, t.missed, t.open);
    x.torch.rate *= 1.1, x.one.median = 1.4e-3, x.memory.taken = 1.2e9, x.bank.median *= 1.1;
    t = gpu_table_markdown(&x, 1, "none", &rates, &rates);
    cr_expect(t.met == 0 && t.missed == 4 && t.open == 0, "%d %d %d", t.met, t.missed, t.open);
}

Test(table, a_peers_last_line_counts_and_says_how_it_ran)
{
    static const char lines[] = "torch_step: d128, max-autotune: RuntimeError: no\n"
                                "{\"peer\":\"torch-way\",\"case\":\"d128\",\"mode\":\"a\",\"tokens_per_s\":9}\n"
                                "{\"peer\":\"torch-compile\",\"case\":\"d128\",\"mode\":\"b\",\"tokens_per_s\":7}\n"
                                "{\"peer\":\"jax-vmap\",\"case\":\"d128\",\"tokens_per_s\":5}\n";
    char file[] = "/tmp/muscale-test-XXXXXX";
    gpu_peer x;
    err e = {0};
    const int fd = mkstemp(file);
    cr_assert(fd >= 0 && !io_write_all(fd, lines, strlen(lines), file, &e));
    close(fd);
    cr_assert_eq(gpu_peer_rate(&x, file, "torch-compile", "d128", &e), ST_OK, "%s", e.msg);
    cr_expect(x.rate == 7 && !strcmp(x.mode, "b"));
    cr_assert_eq(gpu_peer_rate(&x, file, "jax-vmap", "d128", &e), ST_OK, "%s", e.msg);
    cr_expect(x.rate == 5 && !*x.mode);
    cr_assert_eq(gpu_peer_rate(&x, file, "torch-compile", "124M", &e), ST_OK, "%s", e.msg);
    cr_expect(x.rate == 0 && !*x.mode);
    unlink(file);
}
