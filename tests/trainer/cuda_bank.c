/* A bank on a device against the same bank on the CPU, and its promises there: equal bits in any company, recorded or
 * not, and a replica that diverged left alone. Runs on a GPU (make gpu-check) and on the CUDA-on-CPU layer (make
 * check). MUSCALE_TEST_WIDE=1 adds banks of 7 and 32. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/kernels.h"
#include "trainer/bank_parts.h"
#include "trainer/model_plan.h"

enum { BATCH = 2, T = 10, STEPS = 3, MAX_R = 32, MAX_TENSORS = 64, N_VAL = BATCH + 3 };

static const char *const backends[] = {"cuda-fp32", "cuda"};

static bool here(void) /* no device: the test is skipped, and says so */
{
    err e = {0};
    const bool ready = k_backend_ready("cuda", &e) == ST_OK;
    if (!ready) cr_skip_test("%s", e.msg);
    return ready;
}

static shape small(void)
{
    return (shape){.vocab = 61, .d_model = 16, .n_layer = 2, .n_head = 2, .n_kv_head = 1, .head_dim = 8, .d_ff = 40,
                   .seq_len = T, .act = ACT_GELU, .tied_head = true, .rope_theta = 10000};
}

static shape other(void)
{
    shape s = small();
    s.act = ACT_SWIGLU;
    s.tied_head = false;
    s.qk_norm = s.norm_gain = true;
    s.d_model = 64;
    s.n_head = s.n_kv_head = 2;
    s.head_dim = 32;
    s.d_ff = 96;
    return s;
}

static bank *make(const char *backend, shape s, size_t R, size_t accum)
{
    bank *b = NULL;
    err e = {0};
    const bank_opts o = {.shape = s, .n_replicas = R, .batch = BATCH, .shards = 1, .grad_accum = accum, .threads = 1,
                         .backend = backend};
    cr_assert_eq(bank_new(&b, &o, &e), ST_OK, "%s", e.msg);
    return b;
}

/* Replica number k of the test's world: its own learning rate, seed, decay, clipping and multipliers. `equal`: one
 * multiplier for all, as most sweeps have it: then a bank's products are one batch, else one product per replica. */
static void set_as(bank *b, size_t place, size_t k, shape s, bool equal)
{
    mup_tensor t[MAX_TENSORS];
    err e = {0};
    const size_t n = shape_tensors(&s, NULL, 0);
    cr_assert_leq(n, MAX_TENSORS);
    for (size_t i = 0; i < n; i++)
        t[i] = (mup_tensor){.init_std = 0.2, .forward_mult = equal ? 1.25 : 1 + 0.125 * (double)(k % 5),
                            .lr = 2e-3 * (1 + (double)(k % 7)), .eps = 1e-6, .weight_decay = 0.01 * (double)(k % 3)};
    const bank_hparams h = {.tensors = t, .model = {1.5, 0.3535, 0.75, 0.9}, .beta1 = 0.9, .beta2 = 0.95,
                            .clip_norm = k % 2 ? 0.5 : 0, .decay = k % 2 ? DECAY_COUPLED : DECAY_INDEPENDENT,
                            .seed = 77 + k};
    cr_assert_eq(bank_set_replica(b, place, &h, &e), ST_OK, "%s", e.msg);
}

static void draw(int32_t *x, size_t n_seq, uint64_t seed)
{
    for (size_t i = 0; i < n_seq * (T + 1); i++) x[i] = (int32_t)rng_below(61, seed, RNG_TEST, 1, i / 2);
}

static void set(bank *b, size_t place, size_t k, shape s) { set_as(b, place, k, s, false); }

typedef struct trace { bank_step_out out[STEPS]; double eval[N_VAL]; size_t stride; float *weights; } trace;

typedef struct world { const char *backend; shape s; size_t R, first, accum; bool own_batches, equal; } world;

/* Trains replicas first .. first + R - 1 of the world for STEPS steps; what became of replica `watch`. */
static trace train(world w, size_t watch)
{
    bank *b = make(w.backend, w.s, w.R, w.accum);
    err e = {0};
    static int32_t tok[MAX_R][BATCH * (T + 1)];
    const int32_t *ptr[MAX_R];
    double lr[MAX_R], seq[MAX_R * N_VAL];
    uint64_t step[MAX_R];
    bool active[MAX_R];
    int32_t val[N_VAL * (T + 1)];
    trace tr = {.stride = bank_stride(b)};
    const size_t at = watch - w.first;
    for (size_t r = 0; r < w.R; r++) set_as(b, r, w.first + r, w.s, w.equal);
    for (size_t i = 0; i < STEPS; i++) {
        bank_step_out out[MAX_R] = {0};
        for (size_t r = 0; r < w.R; r++) {
            const size_t own = w.own_batches ? r : 0;
            draw(tok[own], BATCH, 100 + i);
            ptr[r] = tok[own], lr[r] = 1.0 / (1 + (double)i), step[r] = i + 1, active[r] = true;
        }
        cr_assert_eq(bank_step(b, out, ptr, lr, step, active, &e), ST_OK, "%s", e.msg);
        tr.out[i] = out[at];
    }
    draw(val, N_VAL, 5);
    cr_assert_eq(bank_eval(b, seq, val, N_VAL, active, &e), ST_OK, "%s", e.msg);
    memcpy(tr.eval, seq + at * N_VAL, sizeof tr.eval);
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

/* Largest relative difference of losses and of gradient norms. */
static void apart(const trace *a, const trace *b, double *loss, double *norm)
{
    *loss = *norm = 0;
    for (int i = 0; i < STEPS; i++) {
        *loss = fmax(*loss, fabs(a->out[i].loss / b->out[i].loss - 1));
        *norm = fmax(*norm, fabs(a->out[i].grad_norm / b->out[i].grad_norm - 1));
    }
    for (int i = 0; i < N_VAL; i++) *loss = fmax(*loss, fabs(a->eval[i] / b->eval[i] - 1));
}

/* Rounding of fp32 sums in another order; with bf16, 2^-9 a stored activation, which averages over rows and tokens:
 * a wrong factor or a lost term is off by more than 5 %. Adam divides small gradients by their own size, so that a
 * few weights move the other way: losses are compared, not weights. */
static const double loss_tol[] = {1e-5, 1e-2}, norm_tol[] = {1e-4, 5e-2};

static void follows_the_cpu(shape s, size_t accum)
{
    trace cpu = train((world){"cpu", s, 3, 2, accum, false, false}, 3);
    for (int k = 0; k < 2; k++) {
        double loss, norm;
        trace t = train((world){backends[k], s, 3, 2, accum, false, false}, 3);
        apart(&t, &cpu, &loss, &norm);
        cr_expect_lt(loss, loss_tol[k], "%s: losses are off by %g", backends[k], loss);
        cr_expect_lt(norm, norm_tol[k], "%s: gradient norms are off by %g", backends[k], norm);
        cr_expect_gt(loss, 0, "%s is the CPU", backends[k]);
        free(t.weights);
    }
    trace twin = train((world){"cpu", s, 3, 3, accum, false, false}, 4); /* negative twin: another replica is further away */
    double loss, norm;
    apart(&twin, &cpu, &loss, &norm);
    cr_expect_gt(loss, loss_tol[1]);
    free(twin.weights);
    free(cpu.weights);
}

Test(cuda_bank, follows_the_cpu)
{
    if (here()) follows_the_cpu(small(), 1);
}

Test(cuda_bank, follows_the_cpu_in_another_shape_and_in_slices)
{
    if (here()) follows_the_cpu(other(), 2);
}

/* cuDNN's attention takes heads that are turned: where it is asked for, there or not, RoPE is an op of its own. */
Test(cuda_bank, rope_apart_trains_the_same)
{
    if (!here()) return;
    const k_ops *ops;
    double loss, norm;
    const shape s = small();
    trace fused = train((world){"cuda", s, 1, 2, 1, false, true}, 2);
    setenv("MUSCALE_ATTENTION", "cudnn", 1);
    trace t = train((world){"cuda", s, 1, 2, 1, false, true}, 2);
    cr_assert_eq(k_backend(&ops, "cuda", NULL), ST_OK);
    cr_expect(!ops->attn_rope_fwd && !ops->attn_rope_bwd);
    unsetenv("MUSCALE_ATTENTION");
    cr_assert_eq(k_backend(&ops, "cuda", NULL), ST_OK);
    cr_expect(ops->attn_rope_fwd && ops->attn_rope_bwd);
    apart(&t, &fused, &loss, &norm);
    cr_expect(loss < loss_tol[1] && norm < norm_tol[1], "losses are off by %g, gradient norms by %g", loss, norm);
    free(t.weights), free(fused.weights);
}

static void agrees(shape s, bool equal)
{
    for (int k = 0; k < 2; k++) {
        static const size_t company[][2] = {{2, 3}, {5, 0}, {7, 2}, {32, 0}};
        const char *wide = getenv("MUSCALE_TEST_WIDE");
        trace alone = train((world){backends[k], s, 1, 3, 1, false, equal}, 3);
        cr_expect(alone.out[STEPS - 1].finite);
        for (size_t i = 0; i < (wide && *wide == '1' ? 4u : 2u); i++) {
            trace t = train((world){backends[k], s, company[i][0], company[i][1], 1, i % 2 == 0, equal}, 3);
            cr_expect(same(&alone, &t), "%s: a bank of %zu gives other bits (%s multipliers)", backends[k],
                      company[i][0], equal ? "equal" : "own");
            free(t.weights);
        }
        trace twin = train((world){backends[k], s, 1, 4, 1, false, equal}, 4);
        cr_expect_not(same(&alone, &twin));
        free(twin.weights);
        free(alone.weights);
    }
}

Test(cuda_bank, bits_do_not_depend_on_company)
{
    if (here()) agrees(small(), true);
}

Test(cuda_bank, bits_do_not_depend_on_company_of_other_multipliers)
{
    const char *wide = getenv("MUSCALE_TEST_WIDE"); /* on the host's layer the other shape has them */
    if (here() && wide && *wide == '1') agrees(small(), false), agrees(other(), true);
}

Test(cuda_bank, bits_do_not_depend_on_company_in_another_shape)
{
    if (here()) agrees(other(), false);
}

static void a_diverged_replica_is_left_alone(const char *backend)
{
    const shape s = small();
    bank *b = make(backend, s, 3, 1);
    err e = {0};
    const size_t P = bank_stride(b);
    float *bad = calloc(P, sizeof *bad), *masked = calloc(P, sizeof *masked), *after = calloc(3 * P, sizeof *after);
    int32_t tok[BATCH * (T + 1)];
    const int32_t *ptr[3] = {tok, tok, NULL};
    for (size_t r = 0; r < 3; r++) set(b, r, r, s);
    draw(tok, BATCH, 9);
    cr_assert_eq(bank_read(b, 0, bad, NULL, NULL, &e), ST_OK);
    bad[5] = NAN;
    cr_assert_eq(bank_write(b, 0, bad, NULL, NULL, &e), ST_OK);
    cr_assert_eq(bank_read(b, 2, masked, NULL, NULL, &e), ST_OK);
    bank_step_out out[3] = {{0}};
    for (uint64_t step = 1; step <= 3; step++)
        cr_assert_eq(bank_step(b, out, ptr, (double[]){1, 1, 1}, (uint64_t[]){step, step, step},
                               (bool[]){true, true, false}, &e), ST_OK, "%s", e.msg);
    cr_expect_not(out[0].finite);
    cr_expect(out[1].finite);
    cr_expect_eq(out[2].loss, 0, "a masked replica's outcome was written");
    cr_assert_eq(bank_read(b, 0, after, after + P, after + 2 * P, &e), ST_OK);
    cr_expect(!memcmp(after, bad, P * sizeof *bad), "%s: weights of a diverged replica moved", backend);
    for (size_t i = 0; i < 2 * P; i++) cr_assert_eq(after[P + i], 0, "%s: its moments moved", backend);
    cr_assert_eq(bank_read(b, 2, after, NULL, NULL, &e), ST_OK);
    cr_expect(!memcmp(after, masked, P * sizeof *masked), "%s: a masked replica moved", backend);
    bank_free(b);

    /* the healthy one went its way as if alone */
    bank *lone = make(backend, s, 1, 1);
    bank_step_out one = {0};
    set(lone, 0, 1, s);
    for (uint64_t step = 1; step <= 3; step++)
        cr_assert_eq(bank_step(lone, &one, ptr, (double[]){1}, &step, (bool[]){true}, &e), ST_OK);
    cr_expect_eq(one.loss, out[1].loss);
    cr_expect_eq(one.grad_norm, out[1].grad_norm);
    bank_free(lone);
    free(bad);
    free(masked);
    free(after);
}

Test(cuda_bank, a_diverged_replica_is_left_alone)
{
    for (int k = 0; k < 2 && here(); k++) a_diverged_replica_is_left_alone(backends[k]);
}

/* Runs of a bank end one after the other: what is left is computed by fewer, and keeps its bits. One that sits a step out
 * and comes back (a bank is asked for some of its replicas) goes on from where it was. */
static void fewer_and_fewer(const char *backend)
{
    static const bool asked[4][4] = {{1, 1, 1, 1}, {1, 1, 1, 0}, {1, 0, 0, 0}, {1, 1, 0, 0}};
    const shape s = small();
    err e = {0};
    int32_t tok[BATCH * (T + 1)];
    const int32_t *ptr[4] = {tok, tok, tok, tok};
    bank_step_out out[4][4] = {{{0}}}, alone[2][4] = {{{0}}};
    bank *b = make(backend, s, 4, 1);
    for (size_t r = 0; r < 4; r++) set_as(b, r, r, s, true);
    for (size_t i = 0; i < 4; i++) {
        draw(tok, BATCH, 40 + i);
        cr_assert_eq(bank_step(b, out[i], ptr, (double[]){1, 1, 1, 1}, (uint64_t[]){i + 1, i + 1, i + 1, i + 1},
                               asked[i], &e), ST_OK, "%s", e.msg);
    }
    bank_free(b);
    for (size_t r = 0; r < 2; r++) {
        b = make(backend, s, 1, 1);
        set_as(b, 0, r, s, true);
        for (size_t i = 0; i < 4; i++) {
            draw(tok, BATCH, 40 + i);
            cr_assert_eq(bank_step(b, &alone[r][i], ptr, (double[]){1}, (uint64_t[]){i + 1}, &asked[i][r], &e), ST_OK);
        }
        bank_free(b);
        for (size_t i = 0; i < 4; i++) {
            cr_expect_eq(out[i][r].loss, alone[r][i].loss, "%s: replica %zu, step %zu", backend, r, i + 1);
            cr_expect_eq(out[i][r].grad_norm, alone[r][i].grad_norm);
        }
    }
    cr_expect_eq(out[2][1].loss, 0, "a replica that was not asked for was written");
    cr_expect_neq(out[3][0].loss, out[3][1].loss);
}

Test(cuda_bank, fewer_and_fewer)
{
    for (int k = 0; k < 2 && here(); k++) fewer_and_fewer(backends[k]);
}

/* A head too large for one block of logits (2^28 of them) goes through in several: here 20 rows in blocks of 8, in an
 * evaluation of half as many where activations are bf16. The sums' order changes, nothing else; what that is in fp32,
 * some 1e-7, Adam's first step makes more of where a gradient is small. */
static void head_in_blocks(const char *backend, double tol)
{
    const shape s = other();
    err e = {0};
    int32_t tok[BATCH * (T + 1)];
    const int32_t *ptr[2] = {tok, tok};
    bank_step_out out[2][2];
    double seq[2][2 * BATCH];
    draw(tok, BATCH, 61);
    for (int blocks = 0; blocks < 2; blocks++) {
        bank *b = make(backend, s, 2, 1);
        if (blocks) b->m->head_rows = 8;
        for (size_t r = 0; r < 2; r++) set_as(b, r, r, s, true);
        for (uint64_t i = 1; i <= 2; i++)
            cr_assert_eq(bank_step(b, out[blocks], ptr, (double[]){1, 1}, (uint64_t[]){i, i}, (bool[]){true, true}, &e),
                         ST_OK, "%s", e.msg);
        cr_assert_eq(bank_eval(b, seq[blocks], tok, BATCH, (bool[]){true, true}, &e), ST_OK, "%s", e.msg);
        bank_free(b);
    }
    for (size_t r = 0; r < 2; r++) {
        cr_expect_float_eq(out[1][r].loss, out[0][r].loss, tol * out[0][r].loss, "%s: %.9g, in one block %.9g", backend,
                           out[1][r].loss, out[0][r].loss);
        cr_expect_float_eq(out[1][r].grad_norm, out[0][r].grad_norm, tol * out[0][r].grad_norm,
                           "%s: gradient norm %.9g, in one block %.9g", backend, out[1][r].grad_norm,
                           out[0][r].grad_norm);
        for (size_t i = 0; i < BATCH; i++)
            cr_expect_float_eq(seq[1][r * BATCH + i], seq[0][r * BATCH + i], tol * seq[0][r * BATCH + i]);
    }
}

Test(cuda_bank, head_in_blocks)
{
    for (int k = 0; k < 2 && here(); k++) head_in_blocks(backends[k], k ? 2e-3 : 3e-6);
}

/* An evaluation's loss does not carry the rounding of bf16 logits: with weights that bf16 holds exactly and logits of some
 * tens it is much closer to the CPU's than logits rounded to 2^-9 of themselves would be. */
Test(cuda_bank, an_evaluation_keeps_its_logits)
{
    if (!here()) return;
    const shape s = small();
    err e = {0};
    int32_t tok[BATCH * (T + 1)];
    const int32_t *ptr[1] = {tok};
    double seq[2][BATCH], off = 0;
    bank_step_out out;
    draw(tok, BATCH, 71);
    for (int k = 0; k < 2; k++) {
        bank *b = make(k ? "cuda" : "cpu", s, 1, 1);
        set(b, 0, 0, s);
        const size_t P = bank_stride(b);
        float *x = calloc(P, sizeof *x);
        cr_assert_eq(bank_read(b, 0, x, NULL, NULL, &e), ST_OK);
        for (size_t i = 0; i < P; i++) x[i] = (float)(int)lrintf(x[i] * 40) / 8; /* few bits, large logits */
        cr_assert_eq(bank_write(b, 0, x, NULL, NULL, &e), ST_OK);
        cr_assert_eq(bank_eval(b, seq[k], tok, BATCH, (bool[]){true}, &e), ST_OK);
        if (k) { /* the step's own loss is of rounded logits: the twin that shows what the evaluation is spared */
            double mean = 0;
            cr_assert_eq(bank_step(b, &out, ptr, (double[]){0}, (uint64_t[]){1}, (bool[]){true}, &e), ST_OK);
            for (int i = 0; i < BATCH; i++) mean += seq[1][i] / BATCH;
            cr_expect_neq(out.loss, mean, "training and evaluation see the same logits");
            cr_expect_float_eq(out.loss, mean, 2e-2 * mean);
        }
        free(x);
        bank_free(b);
    }
    for (int i = 0; i < BATCH; i++) off = fmax(off, fabs(seq[1][i] / seq[0][i] - 1));
    cr_expect_lt(off, 2e-2, "off by %g", off);
}

/* Products of "cuda" read copies of the weights that AdamW wrote: reading the weights and writing them back makes the
 * copies anew, which may change nothing; other weights must be seen. */
static void weights_and_their_copies_agree(const char *backend)
{
    const shape s = small();
    bank *b = make(backend, s, 2, 1);
    err e = {0};
    const size_t P = bank_stride(b);
    float *x = calloc(3 * P, sizeof *x);
    int32_t tok[BATCH * (T + 1)];
    const int32_t *ptr[2] = {tok, tok};
    double first[2 * BATCH], again[2 * BATCH];
    bank_step_out out[2];
    for (size_t r = 0; r < 2; r++) set(b, r, r, s);
    draw(tok, BATCH, 9);
    for (uint64_t step = 1; step <= 3; step++)
        cr_assert_eq(bank_step(b, out, ptr, (double[]){1, 1}, (uint64_t[]){step, step}, (bool[]){true, true}, &e),
                     ST_OK);
    cr_assert_eq(bank_eval(b, first, tok, BATCH, (bool[]){true, true}, &e), ST_OK);
    for (size_t r = 0; r < 2; r++) {
        cr_assert_eq(bank_read(b, r, x, x + P, x + 2 * P, &e), ST_OK);
        cr_assert_eq(bank_write(b, r, x, x + P, x + 2 * P, &e), ST_OK);
    }
    cr_assert_eq(bank_eval(b, again, tok, BATCH, (bool[]){true, true}, &e), ST_OK);
    cr_expect(!memcmp(first, again, sizeof first), "%s: AdamW's copies are not those of the weights", backend);
    for (size_t i = 0; i < P; i++) x[i] *= 1.25f;
    cr_assert_eq(bank_write(b, 1, x, NULL, NULL, &e), ST_OK);
    cr_assert_eq(bank_eval(b, again, tok, BATCH, (bool[]){true, true}, &e), ST_OK);
    cr_expect(!memcmp(first, again, BATCH * sizeof *first));
    cr_expect_neq(first[BATCH], again[BATCH], "%s: new weights were not seen", backend);
    /* and by the recorded step */
    cr_assert_eq(bank_step(b, out, ptr, (double[]){0, 0}, (uint64_t[]){4, 4}, (bool[]){true, true}, &e), ST_OK);
    double mean = 0;
    for (int i = 0; i < BATCH; i++) mean += again[BATCH + i] / BATCH;
    /* (a step's logits are bf16 where activations are, an evaluation's are not) */
    cr_expect_float_eq(out[1].loss, mean, (strcmp(backend, "cuda") ? 1e-6 : 2e-3) * mean);
    bank_free(b);
    free(x);
}

Test(cuda_bank, weights_and_their_copies_agree)
{
    for (int k = 0; k < 2 && here(); k++) weights_and_their_copies_agree(backends[k]);
}

Test(cuda_bank, learns)
{
    for (int k = 0; k < 2 && here(); k++) {
        const shape s = small();
        bank *b = make(backends[k], s, 1, 1);
        err e = {0};
        int32_t tok[BATCH * (T + 1)];
        const int32_t *ptr[1] = {tok};
        bank_step_out first = {0}, out = {0};
        set(b, 0, 6, s);
        draw(tok, BATCH, 3);
        for (uint64_t i = 1; i <= 10; i++) {
            cr_assert_eq(bank_step(b, &out, ptr, (double[]){2}, &i, (bool[]){true}, &e), ST_OK);
            if (i == 1) first = out;
        }
        cr_expect_gt(first.loss, 3.5);
        cr_expect_lt(out.loss, first.loss - 1, "%s: %g -> %g", backends[k], first.loss, out.loss);
        bank_free(b);
    }
}

/* q, k and v are one product on a device: factors that forbid it are refused, not ignored. */
Test(cuda_bank, parts_of_a_product_have_one_factor)
{
    if (!here()) return;
    const shape s = other();
    bank *b = make("cuda", s, 1, 1);
    err e = {0};
    shape_tensor at[MAX_TENSORS];
    mup_tensor t[MAX_TENSORS];
    const size_t n = shape_tensors(&s, at, MAX_TENSORS);
    for (size_t i = 0; i < n; i++)
        t[i] = (mup_tensor){.init_std = 0.1, .forward_mult = strstr(at[i].name, "attn.k") ? 2 : 1, .lr = 1e-3, .eps = 1e-8};
    const bank_hparams h = {.tensors = t, .model = {1, 1, 1, 1}, .beta1 = 0.9, .beta2 = 0.95};
    cr_expect_eq(bank_set_replica(b, 0, &h, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "q, k and v"), "%s", e.msg);
    bank_free(b);
}

Test(cuda_bank, tokens_outside_the_table_are_refused)
{
    if (!here()) return;
    bank *b = make("cuda", small(), 1, 1);
    err e = {0};
    int32_t tok[BATCH * (T + 1)];
    const int32_t *ptr[1] = {tok};
    bank_step_out out;
    set(b, 0, 0, small());
    draw(tok, BATCH, 3);
    tok[7] = 61;
    cr_expect_eq(bank_step(b, &out, ptr, (double[]){1}, (uint64_t[]){1}, (bool[]){true}, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "token 7 of the batch has id 61"), "%s", e.msg);
    bank_free(b);
}

/* ---- steps under way -------------------------------------------------------------------------------------------- */

enum { LONG = 7, FEW = 3 };

/* Of step i: batches of their own in every third step, in the others one for all; the last replica ends early, then the
 * middle one sits out. */
typedef struct asked {
    int32_t tok[FEW][BATCH * (T + 1)];
    const int32_t *ptr[FEW];
    double lr[FEW];
    uint64_t step[FEW];
    bool active[FEW];
} asked;

static void ask(asked *q, size_t i)
{
    for (size_t r = 0; r < FEW; r++) {
        const size_t own = i % 3 == 1 ? r : 0;
        draw(q->tok[own], BATCH, 500 + 10 * i + own);
        q->ptr[r] = q->tok[own];
        q->lr[r] = 1.0 / (1 + (double)i);
        q->step[r] = i + 1;
        q->active[r] = r == 0 || (r == 1 && i != 4) || (r == 2 && i < 3);
    }
}

typedef struct course { bank_step_out out[LONG][FEW]; double eval[FEW * N_VAL]; float *weights; size_t n; } course;

/* `under_way`: how many steps the caller lets run; what it asked for a step is overwritten when that is collected. */
static course run(const char *backend, size_t under_way)
{
    shape s = small();
    s.n_layer = 1;
    bank *b = make(backend, s, FEW, 1);
    err e = {0};
    asked q[BANK_DEPTH];
    int32_t val[N_VAL * (T + 1)];
    course c = {.n = FEW * 3 * bank_stride(b)};
    const size_t P = bank_stride(b);
    if (!strcmp(backend, "cpu")) cr_assert_eq(bank_depth(b), 1);
    else cr_assert_eq(bank_depth(b), BANK_DEPTH);
    for (size_t r = 0; r < FEW; r++) set_as(b, r, r, s, true);
    for (size_t submitted = 0, collected = 0; collected < LONG;) {
        if (submitted < LONG && submitted - collected < under_way) {
            asked *x = &q[submitted % BANK_DEPTH];
            ask(x, submitted++);
            cr_assert_eq(bank_submit(b, x->ptr, x->lr, x->step, x->active, &e), ST_OK, "%s", e.msg);
        } else {
            cr_assert_eq(bank_collect(b, c.out[collected], &e), ST_OK, "%s", e.msg);
            memset(&q[collected++ % BANK_DEPTH], 0x41, sizeof *q);
        }
    }
    draw(val, N_VAL, 5);
    cr_assert_eq(bank_eval(b, c.eval, val, N_VAL, (bool[]){true, true, true}, &e), ST_OK, "%s", e.msg);
    c.weights = calloc(c.n, sizeof *c.weights);
    for (size_t r = 0; r < FEW; r++) {
        float *x = c.weights + 3 * r * P;
        cr_assert_eq(bank_read(b, r, x, x + P, x + 2 * P, &e), ST_OK);
    }
    bank_free(b);
    return c;
}

static void follow_each_other(const char *backend)
{
    if (!here()) return;
    course alone = run(backend, 1), along = run(backend, 2);
    for (size_t i = 0; i < LONG; i++)
        for (size_t r = 0; r < FEW; r++) {
            const bank_step_out *x = &along.out[i][r], *y = &alone.out[i][r];
            cr_expect(x->loss == y->loss && x->grad_norm == y->grad_norm && x->finite == y->finite,
                      "%s: step %zu of replica %zu: loss %.9g, norm %.9g; one after the other %.9g, %.9g", backend,
                      i + 1, r, x->loss, x->grad_norm, y->loss, y->grad_norm);
        }
    cr_expect(!memcmp(along.eval, alone.eval, sizeof along.eval), "%s: another evaluation", backend);
    cr_expect(!memcmp(along.weights, alone.weights, along.n * sizeof *along.weights), "%s: other weights", backend);
    cr_expect_neq(along.out[0][0].loss, along.out[1][0].loss);
    free(alone.weights);
    free(along.weights);
}

Test(cuda_bank, steps_follow_each_other) { follow_each_other("cuda-fp32"); }

/* On the CUDA-on-CPU layer: copies sent ahead run as early as nothing forbids it, above as late. */
Test(cuda_bank, steps_follow_each_other_and_copies_are_early)
{
    setenv("EMU_STREAMS", "crossed", 1);
    follow_each_other("cuda");
}

/* What a step under way still changes is not shown; who stops in the middle leaves nothing behind. */
Test(cuda_bank, a_bank_that_is_not_at_rest)
{
    if (!here()) return;
    bank *b = make("cuda", small(), 1, 1);
    err e = {0};
    asked q[BANK_DEPTH];
    bank_step_out out[FEW];
    double seq[BATCH];
    float *x = calloc(bank_stride(b), sizeof *x);
    set(b, 0, 0, small());
    cr_expect_eq(bank_collect(b, out, &e), ST_DOMAIN);
    for (size_t i = 0; i < BANK_DEPTH; i++) {
        ask(&q[i], i);
        cr_assert_eq(bank_submit(b, q[i].ptr, q[i].lr, q[i].step, q[i].active, &e), ST_OK);
    }
    cr_expect_eq(bank_submit(b, q[0].ptr, q[0].lr, q[0].step, q[0].active, &e), ST_DOMAIN);
    cr_expect(strstr(e.msg, "2 steps are under way"), "%s", e.msg);
    cr_expect_eq(bank_step(b, out, q[0].ptr, q[0].lr, q[0].step, q[0].active, &e), ST_DOMAIN);
    cr_expect_eq(bank_read(b, 0, x, NULL, NULL, &e), ST_DOMAIN);
    cr_expect_eq(bank_write(b, 0, x, NULL, NULL, &e), ST_DOMAIN);
    cr_expect_eq(bank_eval(b, seq, q[0].tok[0], BATCH, q[0].active, &e), ST_DOMAIN);
    cr_assert_eq(bank_collect(b, out, &e), ST_OK);
    cr_expect_eq(bank_read(b, 0, x, NULL, NULL, &e), ST_DOMAIN);
    cr_expect(strstr(e.msg, "1 steps are under way; collect them first"), "%s", e.msg);
    bank_free(b);
    free(x);
}

/* One thing at a time, so that an error names its step: then nothing runs ahead either. */
Test(cuda_bank, nothing_overlaps_when_asked_not_to)
{
    if (!here()) return;
    setenv("MUSCALE_CUDA_SYNC", "1", 1);
    bank *b = make("cuda", small(), 1, 1);
    cr_expect_eq(bank_depth(b), 1);
    bank_free(b);
}
