/* The bank's promises: equal bits whoever shares the bank and however many threads work; a diverged replica is left
 * alone. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "trainer/bank.h"

enum { BATCH = 6, T = 20, STEPS = 5, MAX_TENSORS = 64 };

static shape small(void)
{
    return (shape){.vocab = 61,
                   .d_model = 24,
                   .n_layer = 2,
                   .n_head = 3,
                   .n_kv_head = 1,
                   .head_dim = 8,
                   .d_ff = 40,
                   .seq_len = T,
                   .act = ACT_GELU,
                   .tied_head = true,
                   .rope_theta = 10000};
}

static bank_opts opts(shape s, size_t R, int threads)
{
    return (bank_opts){.shape = s, .n_replicas = R, .batch = BATCH, .shards = 2, .threads = threads, .backend = "cpu"};
}

static void tokens_of(int32_t *x, uint64_t seed, int64_t vocab)
{
    for (size_t i = 0; i < BATCH * (T + 1); i++) x[i] = (int32_t)rng_below((uint64_t)vocab, seed, RNG_TEST, 1, i / 2);
}

/* Replica number k of the test's world: its own learning rate, seed, decay and multipliers. */
static void set(bank *b, size_t place, size_t k, const shape *s)
{
    mup_tensor t[MAX_TENSORS];
    shape_tensor st[MAX_TENSORS];
    err e = {0};
    const size_t n = shape_tensors(s, st, MAX_TENSORS);
    for (size_t i = 0; i < n; i++)
        t[i] = (mup_tensor){.init_std = 0.2,
                            .forward_mult = 1 + 0.125 * (double)k,
                            .lr = 1e-2 * (1 + (double)k),
                            .eps = 1e-8,
                            .weight_decay = 0.01 * (double)k};
    bank_hparams h = {.tensors = t,
                      .model = {1.5, 0.3535, 0.75, 0.9},
                      .beta1 = 0.9,
                      .beta2 = 0.95,
                      .clip_norm = k % 2 ? 0.5 : 0,
                      .decay = k % 2 ? DECAY_COUPLED : DECAY_INDEPENDENT,
                      .seed = 77 + k};
    cr_assert_eq(bank_set_replica(b, place, &h, &e), ST_OK, "%s", e.msg);
}

typedef struct trace { bank_step_out out[STEPS]; double eval[BATCH + 1]; float *weights; size_t stride; } trace;

/* Trains a bank of replicas `first .. first + R - 1` and records replica `watch`. */
static trace train(shape s, size_t R, size_t first, size_t watch, int threads)
{
    bank *b = NULL;
    err e = {0};
    bank_opts o = opts(s, R, threads);
    cr_assert_eq(bank_new(&b, &o, &e), ST_OK, "%s", e.msg);
    for (size_t r = 0; r < R; r++) set(b, r, first + r, &s);
    int32_t tok[BATCH * (T + 1)];
    const int32_t *ptr[8];
    double lr[8], seq[8 * (BATCH + 1)];
    uint64_t step[8];
    bool active[8];
    trace tr = {.stride = bank_stride(b)};
    const size_t at = watch - first;
    for (int i = 0; i < STEPS; i++) {
        bank_step_out out[8] = {0};
        tokens_of(tok, 100 + (uint64_t)i, s.vocab);
        for (size_t r = 0; r < R; r++) ptr[r] = tok, lr[r] = 1.0 / (1 + i), step[r] = (uint64_t)i + 1, active[r] = true;
        cr_assert_eq(bank_step(b, out, ptr, lr, step, active, &e), ST_OK, "%s", e.msg);
        tr.out[i] = out[at];
    }
    int32_t val[(BATCH + 1) * (T + 1)];
    for (size_t i = 0; i < (BATCH + 1) * (T + 1); i++)
        val[i] = (int32_t)rng_below((uint64_t)s.vocab, 5, RNG_TEST, 2, i);
    cr_assert_eq(bank_eval(b, seq, val, BATCH + 1, active, &e), ST_OK, "%s", e.msg);
    memcpy(tr.eval, seq + at * (BATCH + 1), sizeof tr.eval);
    tr.weights = calloc(3 * tr.stride, sizeof(float));
    cr_assert_eq(bank_read(b, at, tr.weights, tr.weights + tr.stride, tr.weights + 2 * tr.stride, &e), ST_OK);
    bank_free(b);
    return tr;
}

static bool same(const trace *a, const trace *b)
{
    for (int i = 0; i < STEPS; i++)
        if (a->out[i].loss != b->out[i].loss || a->out[i].grad_norm != b->out[i].grad_norm) return false;
    return !memcmp(a->eval, b->eval, sizeof a->eval) && !memcmp(a->weights, b->weights, 3 * a->stride * sizeof(float));
}

static void all_banks_agree(shape s)
{
    trace alone = train(s, 1, 3, 3, 1);
    cr_expect(alone.out[0].finite && isfinite(alone.eval[0]));
    for (size_t R = 1; R <= 5; R += R == 1 ? 1 : 3)
        for (int threads = 1; threads <= 2; threads++) {
            trace t = train(s, R, R == 5 ? 1 : 3, 3, threads);
            cr_expect(same(&alone, &t), "R=%zu threads=%d gives other bits", R, threads);
            free(t.weights);
        }
    trace other = train(s, 1, 4, 4, 1); /* negative twin: another replica differs */
    cr_expect_not(same(&alone, &other));
    free(other.weights);
    free(alone.weights);
}

Test(bank, bits_do_not_depend_on_company) { all_banks_agree(small()); }

Test(bank, bits_do_not_depend_on_company_other_shapes)
{
    shape s = small();
    s.act = ACT_SWIGLU;
    s.tied_head = false;
    s.qk_norm = s.norm_gain = true;
    all_banks_agree(s);
    s.d_model = 64;
    s.n_head = s.n_kv_head = 2;
    s.head_dim = 32;
    s.d_ff = 256;
    s.vocab = 256;
    all_banks_agree(s);
}

Test(bank, learns)
{
    shape s = small();
    bank *b = NULL;
    err e = {0};
    bank_opts o = opts(s, 1, 2);
    cr_assert_eq(bank_new(&b, &o, &e), ST_OK);
    set(b, 0, 0, &s);
    int32_t tok[BATCH * (T + 1)];
    tokens_of(tok, 3, s.vocab); /* each id twice in a row: half of the text can be known */
    const int32_t *ptr[1] = {tok};
    bank_step_out first = {0}, out = {0};
    for (uint64_t i = 1; i <= 60; i++) {
        cr_assert_eq(bank_step(b, &out, ptr, (double[]){1}, &i, (bool[]){true}, &e), ST_OK);
        if (i == 1) first = out;
    }
    cr_expect_gt(first.loss, 3.5);
    cr_expect_lt(out.loss, 1.5, "memorises one batch: %g -> %g", first.loss, out.loss);
    double seq[BATCH], mean = 0;
    cr_assert_eq(bank_eval(b, seq, tok, BATCH, (bool[]){true}, &e), ST_OK);
    for (int i = 0; i < BATCH; i++) mean += seq[i] / BATCH;
    uint64_t next = 61;
    cr_assert_eq(bank_step(b, &out, ptr, (double[]){0}, &next, (bool[]){true}, &e), ST_OK);
    cr_expect_float_eq(mean, out.loss, 1e-5, "evaluation and training see one model: %g, %g", mean, out.loss);
    bank_free(b);
}

Test(bank, diverged_and_masked_replicas_are_left_alone)
{
    shape s = small();
    err e = {0};
    bank *b = NULL;
    bank_opts o = opts(s, 3, 2);
    cr_assert_eq(bank_new(&b, &o, &e), ST_OK);
    for (size_t r = 0; r < 3; r++) set(b, r, r + 2, &s);
    const size_t P = bank_stride(b);
    float *bad = calloc(6 * P, sizeof *bad), *masked = bad + P, *after = bad + 2 * P;
    cr_assert_eq(bank_read(b, 0, bad, NULL, NULL, &e), ST_OK);
    for (size_t i = 0; i < P; i += 7) bad[i] = INFINITY;
    cr_assert_eq(bank_write(b, 0, bad, NULL, NULL, &e), ST_OK);
    cr_assert_eq(bank_read(b, 2, masked, NULL, NULL, &e), ST_OK);
    int32_t tok[BATCH * (T + 1)];
    bank_step_out out[3] = {0};
    trace alone = train(s, 1, 3, 3, 1);
    for (int i = 0; i < STEPS; i++) {
        tokens_of(tok, 100 + (uint64_t)i, s.vocab);
        const int32_t *ptr[3] = {tok, tok, NULL};
        const double lr = 1.0 / (1 + i);
        const uint64_t step = (uint64_t)i + 1;
        cr_assert_eq(bank_step(b, out, ptr, (double[]){lr, lr, lr}, (uint64_t[]){step, step, step},
                               (bool[]){true, true, false}, &e),
                     ST_OK);
        cr_expect_not(out[0].finite);
        cr_expect(out[1].finite);
        cr_expect_eq(out[1].loss, alone.out[i].loss);
    }
    cr_assert_eq(bank_read(b, 0, after, after + P, after + 2 * P, &e), ST_OK);
    cr_expect_arr_eq(after, bad, P * sizeof *bad);
    for (size_t i = P; i < 3 * P; i++) cr_assert_eq(after[i], 0, "moments moved");
    cr_assert_eq(bank_read(b, 2, after, NULL, NULL, &e), ST_OK);
    cr_expect_arr_eq(after, masked, P * sizeof *bad);
    cr_assert_eq(bank_read(b, 1, after, after + P, after + 2 * P, &e), ST_OK);
    cr_expect_arr_eq(after, alone.weights, 3 * P * sizeof *bad);
    free(bad);
    free(alone.weights);
    bank_free(b);
}

Test(bank, odd_requests_are_errors)
{
    shape s = small();
    err e = {0};
    bank *b = NULL;
#define BAD(change, code)                                    \
    do {                                                     \
        bank_opts o = opts(s, 2, 1);                         \
        change;                                              \
        cr_expect_eq(bank_new(&b, &o, &e), code, #change);   \
        cr_expect_null(b);                                   \
    } while (0)
    BAD(o.n_replicas = 0, ST_INPUT);
    BAD(o.batch = 0, ST_INPUT);
    BAD(o.shards = 4, ST_INPUT);
    BAD(o.threads = 0, ST_INPUT);
    BAD(o.shape.seq_len = 0, ST_INPUT);
    BAD(o.backend = "cuda", ST_DEVICE);
    BAD(o.backend = "tpu", ST_DEVICE);
    BAD((o.n_replicas = 1 << 20, o.shape.vocab = 1 << 20, o.shape.d_model = 1 << 10, o.shape.head_dim = 1 << 10,
         o.shape.n_head = 1),
        ST_NOMEM);
    bank_opts o = opts(s, 1, 1);
    cr_assert_eq(bank_new(&b, &o, &e), ST_OK);
    set(b, 0, 0, &s);
    cr_expect_eq(bank_read(b, 1, NULL, NULL, NULL, &e), ST_DOMAIN);
    int32_t tok[BATCH * (T + 1)] = {0};
    tok[40] = (int32_t)s.vocab;
    const int32_t *ptr[1] = {tok};
    bank_step_out out = {0};
    cr_expect_eq(bank_step(b, &out, ptr, (double[]){1}, (uint64_t[]){1}, (bool[]){true}, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "token 40 of the batch has id 61"), "%s", e.msg);
    tok[40] = -1;
    cr_expect_eq(bank_eval(b, &out.loss, tok, BATCH, (bool[]){true}, &e), ST_INPUT);
    double none;
    cr_expect_eq(bank_eval(b, &none, tok, 0, (bool[]){true}, &e), ST_OK);
    bank_free(b);
}

static double resident(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*s %ld", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

Test(bank, takes_the_memory_it_announces)
{
#ifdef __SANITIZE_ADDRESS__
    cr_skip("the sanitizer's own memory is counted too");
#endif
    shape s = small();
    s.d_model = s.d_ff = 256;
    s.n_head = s.n_kv_head = 4;
    s.head_dim = 64;
    s.vocab = 4096;
    bank_opts o = opts(s, 3, 2);
    bank *b = NULL;
    err e = {0};
    const double needed = (double)bank_bytes_needed(&o), before = resident();
    cr_expect_gt(needed, 16.0 * 3 * (double)shape_count(&s).n_params_total);
    cr_assert_eq(bank_new(&b, &o, &e), ST_OK);
    for (size_t r = 0; r < 3; r++) set(b, r, r, &s);
    int32_t tok[BATCH * (T + 1)];
    tokens_of(tok, 3, s.vocab);
    bank_step_out out[3] = {0};
    cr_assert_eq(bank_step(b, out, (const int32_t *[]){tok, tok, tok}, (double[]){1, 1, 1}, (uint64_t[]){1, 1, 1},
                           (bool[]){true, true, true}, &e), ST_OK);
    const double used = resident() - before;
    cr_expect_lt(used, 1.3 * needed, "%.1f MB for %.1f announced", used / 1e6, needed / 1e6);
    cr_expect_gt(used, 0.5 * needed, "%.1f MB for %.1f announced", used / 1e6, needed / 1e6);
    bank_free(b);
}
