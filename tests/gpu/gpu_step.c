/* Whole training steps on a device, for gpu-check: against the CPU, and against themselves. A plain program, no test
 * framework: it starts no other process, so compute-sanitizer sees all of it, and it needs nothing but the device.
 *
 *   gpu_step [CHECK...]     all checks, or those named; a line PASS or FAIL for each
 *   gpu_step --smallest     some steps and an evaluation of the smallest models, and of one with long sequences and
 *                           wide heads: for compute-sanitizer
 *   gpu_step --bits         a digest of weights and losses after some steps: two processes must print the same
 *
 * Exit 0, 1, or 77 where there is no device. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/rng.h"
#include "bench/gpu_run.h"
#include "kernels/kernels.h"
#include "trainer/bank.h"

enum { BATCH = 6, STEPS = 10, MAX_R = 64, MAX_TENSORS = 64, SKIPPED = 77 };
#ifndef GPU_STEP_EMULATED
#define GPU_STEP_EMULATED 0 /* on the CUDA-on-CPU layer: what would take it hours is left out unless named */
#endif

/* Relative difference of a loss from the CPU's that ten steps may show.
 *
 * cuda-fp32: each op is within 1e-5 relative of its definition, so a loss of one step is within a few 1e-6. AdamW
 * divides by the gradient's own size: a weight whose gradient is all rounding may go the other way, by one learning
 * rate; its effect on the loss is that gradient times the step, as small as the rounding. So the difference grows about
 * linearly with the steps: 10 x 1e-5, and no less than the 1e-4 which tests/trainer/test_curve.c allows CPUs among
 * themselves.
 *
 * cuda (bf16): activations and the products' weights are rounded to 8 bits, 2^-9 = 0.2 % at most and 0.11 % rms each,
 * independent over tokens and channels. A logit collects a few dozen such roundings, mostly averaged over channels:
 * about 0.5 % of its size; the loss of a token follows its logits, and the mean over a batch of 120 tokens averages
 * again. That is 1e-3 of the loss at one step; the trained weights differ as the gradients do, which over ten steps is
 * no more than the same again per step in a loss that falls by a quarter. 1e-2, and the curves must fall by ten times
 * that.
 *
 * On the CUDA-on-CPU layer (tests/gpu/emu_step curve) the three shapes are within 3e-6 in fp32 and 3e-3 in bf16. */
#define TOL_FP32 1e-4
#define TOL_BF16 1e-2

typedef struct backend {
    const char *name;
    double tol;
} backend;
static const backend both[] = {{"cuda-fp32", TOL_FP32}, {"cuda", TOL_BF16}};

typedef struct check {
    const char *name;
    bool failed;
} check;

__attribute__((format(printf, 3, 4))) static void expect(check *c, bool good, const char *fmt, ...)
{
    if (good) return;
    va_list ap;
    va_start(ap, fmt);
    printf("%s: ", c->name);
    vprintf(fmt, ap);
    puts("");
    va_end(ap);
    c->failed = true;
}

/* ---- the world of these tests ------------------------------------------------------------------------------------ */
enum { PLAIN, RICH, REGULAR, N_SHAPES, LONG = N_SHAPES, D256, D128, GPT2_LAYER };
static const char *const shape_names[] = {
    "gelu tied", "swiglu gqa qk-norm gain", "regular", "long", "d256", "d128", "a layer of 124M"};

static shape shape_of(int i)
{
    if (i == D256) return gpu_case_shape(gpu_case_find("d256"));
    if (i == D128) return gpu_case_shape(gpu_case_find("d128"));
    if (i == GPT2_LAYER) {
        shape one = gpu_case_shape(gpu_case_find("124M"));
        one.n_layer = 1;
        return one;
    }
    shape s = {.vocab = 61,
               .d_model = 24,
               .n_layer = 2,
               .n_head = 3,
               .n_kv_head = 1,
               .head_dim = 8,
               .d_ff = 40,
               .seq_len = 20,
               .act = ACT_GELU,
               .tied_head = true,
               .rope_theta = 10000};
    if (i == RICH) {
        s.d_model = 64, s.n_head = 4, s.n_kv_head = 2, s.head_dim = 16, s.d_ff = 88;
        s.act = ACT_SWIGLU, s.tied_head = false, s.qk_norm = s.norm_gain = true;
    }
    if (i == REGULAR)
        s.d_model = 128, s.n_head = s.n_kv_head = 4, s.head_dim = 32, s.d_ff = 512, s.vocab = 256, s.seq_len = 64;
    if (i == LONG) /* attention takes blocks of 128 rows from T = 257 on, two of three full; GQA */
        s.d_model = 128, s.n_layer = 1, s.n_head = 2, s.head_dim = 64, s.d_ff = 136, s.seq_len = 320;
    return s;
}

/* How a replica of the test's world differs from the next: its number alone decides. Where the multipliers of all are
 * equal, a product of the bank is one batched call, else a call per replica (matmul_cuda.cu): both must be seen. */
enum { OWN_MULTIPLIERS, EQUAL_MULTIPLIERS, VARIANTS };
static const char *const variant_names[] = {"own multipliers", "equal multipliers"};
static status set(bank *b, size_t place, size_t k, const shape *s, double lr, int variant, err *e)
{
    mup_tensor t[MAX_TENSORS];
    const size_t n = shape_tensors(s, NULL, 0);
    for (size_t i = 0; i < n && i < MAX_TENSORS; i++)
        t[i] = (mup_tensor){.init_std = 1.5 / sqrt((double)s->d_model),
                            .forward_mult = variant == EQUAL_MULTIPLIERS ? 1.25 : 1 + 0.125 * (double)(k % 5),
                            .lr = lr * (1 + 0.25 * (double)(k % 7)),
                            .eps = 1e-8,
                            .weight_decay = 0.01 * (double)(k % 3)};
    const bank_hparams h = {.tensors = t,
                            .model = {1.5, 1 / sqrt((double)s->head_dim), 0.75, 0.9},
                            .beta1 = 0.9,
                            .beta2 = 0.95,
                            .clip_norm = k % 2 ? 0.5 : 0,
                            .decay = k % 2 ? DECAY_COUPLED : DECAY_INDEPENDENT,
                            .seed = 77 + k};
    return bank_set_replica(b, place, &h, e);
}

static void tokens_of(int32_t *x, size_t n, uint64_t seed, int64_t ids)
{
    for (size_t i = 0; i < n; i++) x[i] = (int32_t)rng_below((uint64_t)ids, seed, RNG_TEST, 1, i / 2);
}

typedef struct run {
    const char *backend;
    int shape;
    size_t R, first; /* replicas first .. first + R - 1 */
    size_t watch;    /* the one that is recorded */
    int steps;
    double lr;
    int variant;
    size_t batch; /* 0: BATCH */
    size_t grad_accum;
    bool own_tokens; /* each replica gets a copy of its own of the same batch */
} run;

typedef struct trace {
    bank_step_out out[STEPS];
    double eval[BATCH + 1];
    float *weights;
    size_t stride;
} trace;

typedef struct world { /* what a step is given */
    shape s;
    size_t n, R;
    int64_t ids;     /* tokens in use */
    int32_t *tokens; /* [R][n] */
    const int32_t *ptr[MAX_R];
    double lr[MAX_R];
    uint64_t step[MAX_R];
    bool active[MAX_R];
    bank_step_out out[MAX_R];
} world;

static size_t batch_of(const run *x) { return x->batch ? x->batch : BATCH; }

/* Small shapes see 16 ids, which ten steps can learn something about; the others all they have. */
static status world_new(world *w, const shape *s, const run *x, err *e)
{
    *w = (world){.s = *s, .n = batch_of(x) * (size_t)(s->seq_len + 1), .R = x->R};
    w->ids = x->shape > LONG ? s->vocab : 16;
    const size_t R = x->R;
    w->tokens = malloc(R * w->n * sizeof *w->tokens);
    return w->tokens ? ST_OK : err_set(e, ST_NOMEM, "out of memory");
}

static status world_step(world *w, bank *b, int step, bool own_tokens, err *e)
{
    for (size_t r = 0; r < w->R; r++) {
        if (!r || own_tokens) tokens_of(w->tokens + r * w->n, w->n, 100 + (uint64_t)step, w->ids);
        w->ptr[r] = w->tokens + (own_tokens ? r * w->n : 0);
        w->lr[r] = 1.0 / (1 + 0.1 * step), w->step[r] = (uint64_t)step + 1, w->active[r] = true;
    }
    return bank_step(b, w->out, w->ptr, w->lr, w->step, w->active, e);
}

static status world_eval(const world *w, bank *b, double *seq, err *e)
{
    const size_t n = (BATCH + 1) * (size_t)(w->s.seq_len + 1);
    int32_t *val = malloc(n * sizeof *val);
    if (!val) return err_set(e, ST_NOMEM, "out of memory");
    tokens_of(val, n, 5, w->ids);
    status s = bank_eval(b, seq, val, BATCH + 1, w->active, e);
    free(val);
    return s;
}

static status read_weights(trace *t, bank *b, size_t r, err *e)
{
    t->stride = bank_stride(b);
    t->weights = calloc(3 * t->stride, sizeof(float));
    if (!t->weights) return err_set(e, ST_NOMEM, "out of memory");
    return bank_read(b, r, t->weights, t->weights + t->stride, t->weights + 2 * t->stride, e);
}

static status bank_of(bank **b, const run *x, const shape *s, err *e)
{
    const bank_opts o = {.shape = *s,
                         .n_replicas = x->R,
                         .batch = batch_of(x),
                         .shards = 2,
                         .threads = 1,
                         .grad_accum = x->grad_accum ? x->grad_accum : 1,
                         .backend = x->backend};
    status st = bank_new(b, &o, e);
    for (size_t r = 0; r < x->R && !st; r++) st = set(*b, r, x->first + r, s, x->lr > 0 ? x->lr : 3e-3, x->variant, e);
    return st;
}

static status train(trace *t, const run *x, err *e)
{
    const shape s = shape_of(x->shape);
    const size_t at = x->watch - x->first;
    double seq[MAX_R * (BATCH + 1)] = {0};
    bank *b = NULL;
    world w;
    *t = (trace){0};
    status st = world_new(&w, &s, x, e);
    if (!st) st = bank_of(&b, x, &s, e);
    for (int i = 0; i < x->steps && !st; i++) {
        st = world_step(&w, b, i, x->own_tokens, e);
        if (!st) t->out[i] = w.out[at];
    }
    if (!st) st = world_eval(&w, b, seq, e);
    if (!st) st = read_weights(t, b, at, e);
    memcpy(t->eval, seq + at * (BATCH + 1), sizeof t->eval);
    bank_free(b);
    free(w.tokens);
    return st;
}

static bool same(const trace *a, const trace *b)
{
    for (int i = 0; i < STEPS; i++)
        if (memcmp(&a->out[i].loss, &b->out[i].loss, sizeof(double)) ||
            memcmp(&a->out[i].grad_norm, &b->out[i].grad_norm, sizeof(double)) || a->out[i].finite != b->out[i].finite)
            return false;
    return !memcmp(a->eval, b->eval, sizeof a->eval) && a->stride == b->stride &&
           !memcmp(a->weights, b->weights, 3 * a->stride * sizeof(float));
}

static double farthest(const trace *a, const trace *b) /* of ten losses, relative */
{
    double worst = 0;
    for (int i = 0; i < STEPS; i++) {
        const double off = fabs(a->out[i].loss / b->out[i].loss - 1);
        worst = off > worst || !isfinite(off) ? off : worst;
    }
    return worst;
}

/* ---- the checks: each on every backend, false when it could not run -----------------------------------------------
 */
static status curve(check *c, const backend *k, err *e)
{
    for (int i = 0; i < N_SHAPES; i++) {
        trace cpu, gpu, twin;
        const run x = {.backend = "cpu", .shape = i, .R = 1, .first = 4, .watch = 4, .steps = STEPS};
        run y = x;
        status s = train(&cpu, &x, e);
        y.backend = k->name;
        if (!s) s = train(&gpu, &y, e);
        y.lr = 3e-3 * 1.3; /* the twin: another learning rate must show */
        if (!s) s = train(&twin, &y, e);
        if (s) return s;
        const double off = farthest(&gpu, &cpu), fall = 1 - cpu.out[STEPS - 1].loss / cpu.out[0].loss;
        printf("  %s, %s: losses within %.2g of the CPU's (allowed %.0e); they fall by %.0f %%; other rate: %.2g\n",
               k->name, shape_names[i], off, k->tol, 100 * fall, farthest(&twin, &cpu));
        expect(c, off <= k->tol, "%s, %s: a loss is off by %g, allowed %g", k->name, shape_names[i], off, k->tol);
        expect(c, fall > 10 * k->tol, "%s: ten steps tell nothing: losses fall by %g", shape_names[i], fall);
        expect(c, farthest(&twin, &cpu) > k->tol, "%s, %s: another learning rate is not seen", k->name, shape_names[i]);
        free(cpu.weights), free(gpu.weights), free(twin.weights);
    }
    return ST_OK;
}

/* Replica `me` trained alone, then in banks of other sizes at other places: the same bits. A size 0 ends the list. */
static status company(check *c, const run *alone_in, const size_t *sizes, const size_t *places, err *e)
{
    const char *where = shape_names[alone_in->shape], *how = variant_names[alone_in->variant];
    const size_t me = alone_in->watch;
    trace alone = {0}, t = {0};
    run x = *alone_in;
    status s = train(&alone, &x, e);
    for (; *sizes && !s; sizes++, places++) {
        x.R = *sizes, x.first = me - *places;
        s = train(&t, &x, e);
        expect(c, s || same(&alone, &t), "%s, %s, %s: a bank of %zu gives a replica other bits than it has alone",
               x.backend, where, how, x.R);
        free(t.weights);
    }
    expect(c, s || alone.out[x.steps - 1].finite, "%s, %s, %s: not finite", x.backend, where, how);
    x.R = 1, x.first = x.watch = me + 1;
    if (!s) s = train(&t, &x, e);
    expect(c, s || !same(&alone, &t), "another replica has the same bits: the comparison is blind");
    if (!s) free(t.weights);
    free(alone.weights);
    return s;
}

static status banks(check *c, const backend *k, err *e)
{
    static const size_t sizes[] = {2, 7, 32, 0}, places[] = {1, 4, 19};
    static const size_t few[] = {7, 0}, few_places[] = {4};
    for (int v = 0; v < VARIANTS; v++)
        for (int i = 0; i < N_SHAPES; i++) {
            const run x = {
                .backend = k->name, .shape = i, .R = 1, .first = 19, .watch = 19, .steps = 5, .variant = v};
            const bool all = !GPU_STEP_EMULATED || v == OWN_MULTIPLIERS;
            status s = company(c, &x, all ? sizes : few, all ? places : few_places, e);
            if (s) return s;
        }
    return ST_OK;
}

/* The same at gpu-bench's shapes, with all the tokens of their steps: other tiles, other algorithms of cuBLASLt. */
static status bench_banks(check *c, const backend *k, err *e)
{
    static const struct {
        int shape;
        size_t batch, sizes[2], place[1];
    } at[] = {{D256, 8, {32, 0}, {19}}, {D128, 16, {64, 0}, {41}}, {GPT2_LAYER, 4, {2, 0}, {1}}};
    for (int v = 0; v < VARIANTS; v++)
        for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
            const run x = {.backend = k->name,
                           .shape = at[i].shape,
                           .batch = at[i].batch,
                           .R = 1,
                           .first = 42,
                           .watch = 42,
                           .steps = 3,
                           .variant = v};
            status s = company(c, &x, at[i].sizes, at[i].place, e);
            if (s) return s;
        }
    return ST_OK;
}

static status twice(check *c, const backend *k, err *e)
{
    for (int v = 0; v < VARIANTS; v++)
        for (int i = 0; i < N_SHAPES; i++) {
            trace a = {0}, b = {0}, own = {0};
            run x = {
                .backend = k->name, .shape = i, .R = 3, .first = 2, .watch = 3, .steps = STEPS, .variant = v};
            status s = train(&a, &x, e);
            if (!s) s = train(&b, &x, e);
            x.own_tokens = true;
            if (!s) s = train(&own, &x, e);
            expect(c, s || same(&a, &b), "%s, %s, %s: two runs differ", k->name, shape_names[i], variant_names[v]);
            expect(c, s || same(&a, &own), "%s, %s, %s: a batch of its own, equal to the shared one, gives other bits",
                   k->name, shape_names[i], variant_names[v]);
            free(a.weights), free(b.weights), free(own.weights);
            if (s) return s;
        }
    return ST_OK;
}

/* |a - b| over |b| for the largest tensor-wise difference of the first moments, which after one unclipped step are
 * (1 - beta1) times the gradient. */
static double moments_off(const trace *a, const trace *b, const shape *s, const char **where)
{
    static shape_tensor t[MAX_TENSORS];
    const size_t n = shape_tensors(s, t, MAX_TENSORS);
    double worst = 0;
    for (size_t i = 0; i < n && i < MAX_TENSORS; i++) {
        const float *x = a->weights + a->stride + t[i].offset, *y = b->weights + b->stride + t[i].offset;
        double off = 0, size = 0;
        for (size_t j = 0; j < t[i].n; j++) off += pow((double)x[j] - y[j], 2), size += pow(y[j], 2);
        off = sqrt(off / size);
        if (off > worst || !isfinite(off)) worst = off, *where = t[i].name;
    }
    return worst;
}

/* A layer of 124M at 4096 tokens against the CPU: every product, attention and the head at the size of the table.
 * Losses of three steps, and each tensor's gradient after one as a whole. What may differ: fp32 sums of 4096 terms in
 * other orders, some 1e-6 a tensor; in bf16 each factor of a gradient's terms carries a few roundings of 0.11 % rms,
 * which add up like the terms themselves: 1 %; what goes through softmax's gradient, a difference, thrice that. On the
 * CUDA-on-CPU layer a layer of d192 T96 V999 is within 2e-6 and 3e-2 (attn.k), losses within 2e-7 and 2e-4. */
static status layer_against_cpu(check *c, const backend *k, err *e)
{
    const double tol = k->tol < 1e-3 ? 1e-4 : 1e-1;
    const shape s = shape_of(GPT2_LAYER);
    trace cpu[2] = {{.stride = 0}}, gpu[2] = {{.stride = 0}};
    const char *where = "", *elsewhere = "";
    status st = ST_OK;
    for (int i = 0; i < 2 && !st; i++) { /* one step, three steps */
        run x = {.backend = "cpu", .shape = GPT2_LAYER, .batch = 4, .R = 1, .first = 4, .watch = 4, .steps = 1 + 2 * i};
        st = train(&cpu[i], &x, e);
        x.backend = k->name;
        if (!st) st = train(&gpu[i], &x, e);
    }
    if (!st) {
        const double off = moments_off(&gpu[0], &cpu[0], &s, &where);
        const double twin = moments_off(&gpu[1], &cpu[0], &s, &elsewhere);
        double loss = 0;
        for (int i = 0; i < 3; i++) loss = fmax(loss, fabs(gpu[1].out[i].loss / cpu[1].out[i].loss - 1));
        printf("  %s, a layer of 124M: losses within %.2g of the CPU's, gradients within %.2g (%s; allowed %.0e); "
               "other steps: %.2g\n",
               k->name, loss, off, where, tol, twin);
        expect(c, loss <= k->tol && isfinite(loss), "%s: a loss is off by %g, allowed %g", k->name, loss, k->tol);
        expect(c, off <= tol, "%s: the gradient of %s is off by %g, allowed %g", k->name, where, off, tol);
        expect(c, twin > 4 * tol, "%s: moments of other steps differ by %g only: it is blind", k->name, twin);
    }
    for (int i = 0; i < 2; i++) free(cpu[i].weights), free(gpu[i].weights);
    return st;
}

/* Slices of the batch one after the other: another order of sums, the same step. */
static status slices(check *c, const backend *k, err *e)
{
    trace one, three;
    run x = {.backend = k->name, .shape = RICH, .R = 2, .first = 2, .watch = 3, .steps = STEPS};
    status s = train(&one, &x, e);
    x.grad_accum = 3;
    if (!s) s = train(&three, &x, e);
    if (s) return s;
    const double off = farthest(&one, &three);
    expect(c, off <= k->tol, "%s: grad_accum 3 moves the losses by %g", k->name, off);
    free(one.weights), free(three.weights);
    return ST_OK;
}

/* Half a run here, half there, by the state that a checkpoint holds. */
static status half(trace *t, bank **b, world *w, const run *x, const char *then, err *e)
{
    const shape s = shape_of(x->shape);
    trace mid = {0};
    status st = world_new(w, &s, x, e);
    if (!st) st = bank_of(b, x, &s, e);
    for (int i = 0; i < STEPS / 2 && !st; i++) {
        st = world_step(w, *b, i, false, e);
        if (!st) t->out[i] = w->out[0];
    }
    if (!st) st = read_weights(&mid, *b, 0, e);
    bank_free(*b);
    *b = NULL;
    run y = *x;
    y.backend = then;
    if (!st) st = bank_of(b, &y, &s, e);
    if (!st) st = bank_write(*b, 0, mid.weights, mid.weights + mid.stride, mid.weights + 2 * mid.stride, e);
    free(mid.weights);
    for (int i = STEPS / 2; i < STEPS && !st; i++) {
        st = world_step(w, *b, i, false, e);
        if (!st) t->out[i] = w->out[0];
    }
    if (!st) st = world_eval(w, *b, t->eval, e);
    return st ? st : read_weights(t, *b, 0, e);
}

static status moved_once(trace *t, int shape_number, const char *from, const char *to, err *e)
{
    const run x = {.backend = from, .shape = shape_number, .R = 1, .first = 4, .watch = 4};
    bank *b = NULL;
    world w = {0};
    *t = (trace){0};
    status s = half(t, &b, &w, &x, to, e);
    bank_free(b);
    free(w.tokens);
    return s;
}

static status moved(check *c, const backend *k, err *e)
{
    for (int i = 0; i < N_SHAPES; i++) {
        trace cpu, stay, there, back, half_way;
        run x = {.backend = "cpu", .shape = i, .R = 1, .first = 4, .watch = 4, .steps = STEPS};
        status s = train(&cpu, &x, e);
        x.backend = k->name;
        if (!s) s = train(&stay, &x, e);
        if (!s) s = moved_once(&half_way, i, k->name, k->name, e);
        if (!s) s = moved_once(&there, i, "cpu", k->name, e);
        if (!s) s = moved_once(&back, i, k->name, "cpu", e);
        if (s) return s;
        expect(c, same(&stay, &half_way), "%s, %s: stopped, read, written, continued: other bits than undisturbed",
               k->name, shape_names[i]);
        expect(c, farthest(&there, &cpu) <= k->tol, "%s, %s: cpu then device is off by %g", k->name, shape_names[i],
               farthest(&there, &cpu));
        expect(c, farthest(&back, &cpu) <= k->tol, "%s, %s: device then cpu is off by %g", k->name, shape_names[i],
               farthest(&back, &cpu));
        free(cpu.weights), free(stay.weights), free(there.weights), free(back.weights), free(half_way.weights);
    }
    return ST_OK;
}

/* Evaluation sees the model that the next step trains on. */
static status evaluation(check *c, const backend *k, err *e)
{
    const shape s = shape_of(RICH);
    const run x = {.backend = k->name, .shape = RICH, .R = 2, .first = 2, .watch = 2};
    bank *b = NULL;
    world w;
    double seq[2 * BATCH], mean[2] = {0};
    status st = world_new(&w, &s, &x, e);
    if (!st) st = bank_of(&b, &x, &s, e);
    for (int i = 0; i < 3 && !st; i++) st = world_step(&w, b, i, false, e);
    tokens_of(w.tokens, w.n, 100 + 3, w.ids);
    if (!st) st = bank_eval(b, seq, w.tokens, BATCH, w.active, e);
    if (!st) st = world_step(&w, b, 3, false, e);
    for (size_t i = 0; i < 2 * BATCH && !st; i++) mean[i / BATCH] += seq[i] / BATCH;
    for (int r = 0; r < 2 && !st; r++)
        expect(c, fabs(mean[r] / w.out[r].loss - 1) < 1e-6, "%s: evaluation %.9g, the step's loss %.9g", k->name,
               mean[r], w.out[r].loss);
    bank_free(b);
    free(w.tokens);
    return st;
}

/* A replica that has diverged and one that is masked stay as they are; the third does not notice. */
static status frozen_as(check *c, const backend *k, int variant, err *e)
{
    const shape s = shape_of(PLAIN);
    const run x = {.backend = k->name, .shape = PLAIN, .R = 3, .first = 2, .watch = 3, .variant = variant};
    run one = x;
    one.R = 1, one.first = 3, one.steps = 5;
    trace alone = {0}, bad = {0}, masked = {0}, after[3] = {{.stride = 0}};
    bank *b = NULL;
    world w;
    status st = world_new(&w, &s, &x, e);
    if (!st) st = train(&alone, &one, e);
    if (!st) st = bank_of(&b, &x, &s, e);
    if (!st) st = read_weights(&bad, b, 0, e);
    for (size_t i = 0; i < bad.stride && !st; i += 7) bad.weights[i] = INFINITY;
    if (!st) st = bank_write(b, 0, bad.weights, NULL, NULL, e);
    if (!st) st = read_weights(&masked, b, 2, e);
    for (int i = 0; i < 5 && !st; i++) {
        tokens_of(w.tokens, w.n, 100 + (uint64_t)i, w.ids);
        for (size_t r = 0; r < 3; r++)
            w.ptr[r] = r == 2 ? NULL : w.tokens, w.lr[r] = 1.0 / (1 + 0.1 * i), w.step[r] = (uint64_t)i + 1,
            w.active[r] = r != 2;
        st = bank_step(b, w.out, w.ptr, w.lr, w.step, w.active, e);
        expect(c, st || (!w.out[0].finite && w.out[1].finite && w.out[1].loss == alone.out[i].loss),
               "%s: step %d: finite %d %d, loss %.9g, alone %.9g", k->name, i, w.out[0].finite, w.out[1].finite,
               w.out[1].loss, alone.out[i].loss);
    }
    for (size_t r = 0; r < 3 && !st; r++) st = read_weights(&after[r], b, r, e);
    if (!st) {
        const size_t all = 3 * bad.stride * sizeof(float);
        expect(c, !memcmp(after[0].weights, bad.weights, all), "%s: the diverged replica moved", k->name);
        expect(c, !memcmp(after[1].weights, alone.weights, all), "%s: its neighbour noticed", k->name);
        expect(c, !memcmp(after[2].weights, masked.weights, all), "%s: the masked replica moved", k->name);
    }
    for (int r = 0; r < 3; r++) free(after[r].weights);
    free(alone.weights), free(bad.weights), free(masked.weights), free(w.tokens);
    bank_free(b);
    return st;
}

static status frozen(check *c, const backend *k, err *e)
{
    status s = frozen_as(c, k, OWN_MULTIPLIERS, e);
    return s ? s : frozen_as(c, k, EQUAL_MULTIPLIERS, e);
}

/* Too large a bank is refused before anything is allocated, with what is missing, and the device goes on. */
static status too_large(check *c, const backend *k, err *e)
{
    shape s = shape_of(REGULAR);
    s.vocab = 1 << 17, s.d_model = 4096, s.n_head = s.n_kv_head = 32, s.head_dim = 128, s.d_ff = 16384;
    const bank_opts o = {.shape = s, .n_replicas = 512, .batch = BATCH, .shards = 1, .threads = 1, .backend = k->name};
    bank *b = NULL;
    err why = {0};
    const status st = bank_new(&b, &o, &why);
    expect(c, st == ST_NOMEM && !b && strstr(why.msg, "MB are missing") && strstr(why.msg, "fit"), "%s: 5 TB: %s",
           k->name, why.msg);
    bank_free(b);
    trace t;
    const run x = {.backend = k->name, .shape = PLAIN, .R = 1, .first = 1, .watch = 1, .steps = 2};
    status after = train(&t, &x, e);
    if (!after) free(t.weights);
    return after;
}

typedef status (*check_fn)(check *, const backend *, err *);
static const struct {
    const char *name;
    check_fn run;
    bool large; /* left out on the CUDA-on-CPU layer, unless named */
} checks[] = {
    {"curve", curve, false},   {"banks", banks, false},         {"twice", twice, false},
    {"slices", slices, false}, {"moved", moved, false},         {"evaluation", evaluation, false},
    {"frozen", frozen, false}, {"too_large", too_large, false}, {"layer_against_cpu", layer_against_cpu, true},
    {"bench_banks", bench_banks, true},
};
enum { N_CHECKS = sizeof checks / sizeof *checks };

static bool run_check(int i)
{
    bool good = true;
    for (size_t k = 0; k < 2; k++) {
        char name[64];
        err e = {0};
        snprintf(name, sizeof name, "%s on %s", checks[i].name, both[k].name);
        check c = {.name = name};
        const status s = checks[i].run(&c, &both[k], &e);
        expect(&c, !s, "%s", e.msg);
        printf("%s: step: %s\n", c.failed ? "FAIL" : "PASS", name);
        fflush(stdout);
        good &= !c.failed;
    }
    return good;
}

static int smallest(void)
{
    static const int shapes[] = {PLAIN, RICH, LONG};
    for (size_t k = 0; k < 2; k++)
        for (size_t j = 0; j < sizeof shapes / sizeof *shapes; j++) {
            const int i = shapes[j];
            err e = {0};
            trace t = {0};
            /* Equal multipliers, too: products of the whole bank. */
            const run x = {.backend = both[k].name,
                           .shape = i,
                           .batch = i == LONG ? 2 : BATCH,
                           .R = 2,
                           .watch = 1,
                           .steps = i == LONG ? 1 : 3,
                           .variant = i == PLAIN ? OWN_MULTIPLIERS : EQUAL_MULTIPLIERS};
            if (train(&t, &x, &e)) {
                printf("gpu_step: %s\n", e.msg);
                return 1;
            }
            free(t.weights);
        }
    return 0;
}

static int bits(void)
{
    for (size_t k = 0; k < 2; k++)
        for (int i = 0; i < N_SHAPES; i++) {
            char weights[IO_SHA256_HEX], losses[IO_SHA256_HEX];
            err e = {0};
            trace t = {0};
            const run x = {.backend = both[k].name, .shape = i, .R = 2, .first = 0, .watch = 1, .steps = STEPS};
            if (train(&t, &x, &e)) {
                printf("gpu_step: %s\n", e.msg);
                return 1;
            }
            double loss[STEPS];
            for (int j = 0; j < STEPS; j++) loss[j] = t.out[j].loss;
            io_sha256(weights, t.weights, 3 * t.stride * sizeof(float));
            io_sha256(losses, loss, sizeof loss);
            printf("%s, %s: weights and moments %.16s, losses %.16s\n", both[k].name, shape_names[i], weights, losses);
            free(t.weights);
        }
    return 0;
}

static int find(const char *name)
{
    for (int i = 0; i < N_CHECKS; i++)
        if (!strcmp(checks[i].name, name)) return i;
    return -1;
}

int main(int argc, char **argv)
{
    err e = {0};
    const status s = k_backend_ready("cuda", &e);
    if (s) {
        printf("SKIP: %s\n", e.msg);
        return s == ST_DEVICE ? SKIPPED : 1;
    }
    if (argc > 1 && !strcmp(argv[1], "--smallest")) return smallest();
    if (argc > 1 && !strcmp(argv[1], "--bits")) return bits();
    bool good = true;
    for (int i = 1; i < argc; i++) {
        if (find(argv[i]) < 0) {
            fprintf(stderr, "gpu_step: no check '%s'\n", argv[i]);
            return 2;
        }
        good &= run_check(find(argv[i]));
    }
    for (int i = 0; i < N_CHECKS && argc == 1; i++)
        if (!checks[i].large || !GPU_STEP_EMULATED) good &= run_check(i);
    return good ? 0 : 1;
}
