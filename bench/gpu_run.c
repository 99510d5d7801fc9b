#include "bench/gpu_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/rng.h"
#include "kernels/device_ops.h"

#define TRY(call)                \
    do {                         \
        status try_s = (call);   \
        if (try_s) return try_s; \
    } while (0)

const gpu_case gpu_cases[] = {
    {"124M", 12, 768, 64, 50304, 1024, 32, 1, 0.50, 1.15, 0},
    {"d256", 4, 256, 64, 4096, 256, 8, 32, 0.60, 15, 1.5},
    {"d128", 4, 128, 32, 256, 128, 16, 64, 0.60, 15, 0},
};
const size_t gpu_n_cases = sizeof gpu_cases / sizeof *gpu_cases;

const gpu_case *gpu_case_find(const char *name)
{
    for (size_t i = 0; i < gpu_n_cases; i++)
        if (!strcmp(gpu_cases[i].name, name)) return &gpu_cases[i];
    return NULL;
}

shape gpu_case_shape(const gpu_case *c)
{
    return (shape){.vocab = c->vocab,
                   .d_model = c->d_model,
                   .n_layer = c->n_layer,
                   .n_head = c->d_model / c->head_dim,
                   .n_kv_head = c->d_model / c->head_dim,
                   .head_dim = c->head_dim,
                   .d_ff = 4 * c->d_model,
                   .seq_len = c->seq_len,
                   .act = ACT_GELU,
                   .tied_head = true,
                   .rope_theta = 10000};
}

enum { BATCHES = 4, WARM_UP = 5, MOST_REPS = 101 };

struct gpu_run {
    bank *b;
    size_t R, per_batch;
    uint64_t step;
    int32_t *tokens; /* [BATCHES][batch * (T + 1)]: in turns, so that no batch is learnt by heart */
    const int32_t **ptr[BANK_DEPTH]; /* of the steps under way, in turns */
    uint64_t *steps[BANK_DEPTH];
    double *lr;
    bool *active;
    bank_step_out *out;
};

static status set_replicas(gpu_run *r, const shape *s, err *e)
{
    const size_t n = shape_tensors(s, NULL, 0);
    mup_tensor *t = calloc(n, sizeof *t);
    status st = t ? ST_OK : err_set(e, ST_NOMEM, "bench: out of memory");
    for (size_t i = 0; i < r->R && !st; i++) {
        for (size_t k = 0; k < n; k++)
            t[k] = (mup_tensor){.init_std = 0.02,
                                .forward_mult = 1,
                                .lr = 1e-4 * (1 + (double)(i % 8)),
                                .eps = 1e-8,
                                .weight_decay = 1e-4};
        const bank_hparams h = {.tensors = t,
                                .model = {1, 1 / sqrt((double)s->head_dim), 1, 1},
                                .beta1 = 0.9,
                                .beta2 = 0.95,
                                .clip_norm = 1,
                                .seed = 1 + i};
        st = bank_set_replica(r->b, i, &h, e);
    }
    free(t);
    return st;
}

status gpu_run_new(gpu_run **out, const gpu_case *c, size_t R, const char *backend, err *e)
{
    const shape s = gpu_case_shape(c);
    const bank_opts o = {.shape = s, .n_replicas = R, .batch = c->batch, .shards = 1, .threads = 1, .backend = backend};
    gpu_run *r = calloc(1, sizeof *r);
    if (!r) return err_set(e, ST_NOMEM, "bench: out of memory");
    r->R = R;
    r->per_batch = c->batch * (size_t)(c->seq_len + 1);
    r->tokens = malloc(BATCHES * r->per_batch * sizeof *r->tokens);
    r->lr = calloc(R, sizeof *r->lr);
    r->active = calloc(R, sizeof *r->active);
    r->out = calloc(R, sizeof *r->out);
    bool made = r->tokens && r->lr && r->active && r->out;
    for (size_t k = 0; k < BANK_DEPTH; k++) {
        r->ptr[k] = calloc(R, sizeof *r->ptr[k]);
        r->steps[k] = calloc(R, sizeof *r->steps[k]);
        made = made && r->ptr[k] && r->steps[k];
    }
    status st = made ? ST_OK : err_set(e, ST_NOMEM, "bench: out of memory");
    for (size_t i = 0; i < BATCHES * r->per_batch && !st; i++)
        r->tokens[i] = (int32_t)rng_below((uint64_t)c->vocab, 3, RNG_TEST, 0, i);
    if (!st) st = bank_new(&r->b, &o, e);
    if (!st) st = set_replicas(r, &s, e);
    if (st) gpu_run_free(r);
    else *out = r;
    return st;
}

void gpu_run_free(gpu_run *r)
{
    if (!r) return;
    bank_free(r->b);
    free(r->tokens);
    for (size_t k = 0; k < BANK_DEPTH; k++) {
        free(r->ptr[k]);
        free(r->steps[k]);
    }
    free(r->lr);
    free(r->active);
    free(r->out);
    free(r);
}

static status submit(gpu_run *r, err *e)
{
    const size_t k = ++r->step % BANK_DEPTH;
    for (size_t i = 0; i < r->R; i++) {
        r->ptr[k][i] = r->tokens + r->step % BATCHES * r->per_batch;
        r->lr[i] = 1, r->steps[k][i] = r->step, r->active[i] = true;
    }
    return bank_submit(r->b, r->ptr[k], r->lr, r->steps[k], r->active, e);
}

/* As the trainer's loop does it: the next step is queued when the last one's outcome is waited for. */
status gpu_run_steps(gpu_run *r, int n, err *e)
{
    for (int asked = 0, done = 0; done < n;) {
        for (; asked < n && asked - done < (int)bank_depth(r->b); asked++) TRY(submit(r, e));
        TRY(bank_collect(r->b, r->out, e));
        done++;
    }
    for (size_t i = 0; i < r->R && n; i++)
        if (!r->out[i].finite)
            return err_set(e, ST_DOMAIN, "bench: the loss of replica %zu is not finite at step %llu", i,
                           (unsigned long long)r->step);
    return ST_OK;
}

const char *gpu_run_device(const gpu_run *r) { return bank_device_name(r->b); }

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

status gpu_run_time(gpu_time *out, gpu_run *r, int reps, err *e)
{
    double x[MOST_REPS];
    if (reps < 1 || reps > MOST_REPS) return err_set(e, ST_INPUT, "repetitions: %d; use 1 to %d", reps, MOST_REPS);
    TRY(gpu_run_steps(r, WARM_UP, e)); /* plans, loading, recording */
    double from = io_now();
    TRY(gpu_run_steps(r, 2, e));
    const double once = (io_now() - from) / 2;
    const int steps = once > 0 && 0.1 / once > 3 ? (int)(0.1 / once) : 3;
    TRY(gpu_run_steps(r, steps, e)); /* clocks rise */
    for (int i = 0; i < reps; i++) {
        from = io_now();
        TRY(gpu_run_steps(r, steps, e));
        x[i] = (io_now() - from) / steps;
    }
    qsort(x, (size_t)reps, sizeof *x, ascending);
    *out = (gpu_time){reps % 2 ? x[reps / 2] : 0.5 * (x[reps / 2 - 1] + x[reps / 2]), x[0], x[reps - 1], reps, steps};
    return ST_OK;
}

/* Free bytes of the device before the bank, with it after two recorded steps. */
static status taken(double *out, const k_ops *ops, k_ctx *ctx, const gpu_case *c, size_t R, const char *backend, err *e)
{
    size_t before = 0, after = 0, total = 0;
    gpu_run *r = NULL;
    TRY(ops->device->mem_info(ctx, &before, &total, e));
    TRY(gpu_run_new(&r, c, R, backend, e));
    status st = gpu_run_steps(r, 3, e);
    if (!st) st = ops->device->mem_info(ctx, &after, &total, e);
    gpu_run_free(r);
    *out = (double)before - (double)after;
    return st;
}

status gpu_run_memory(gpu_memory *out, const gpu_case *c, size_t R, const char *backend, err *e)
{
    const k_ops *ops = NULL;
    k_ctx *ctx = NULL;
    const bank_opts o = {
        .shape = gpu_case_shape(c), .n_replicas = R, .batch = c->batch, .shards = 1, .threads = 1, .backend = backend};
    TRY(k_backend(&ops, backend, e));
    if (!ops->device) return err_set(e, ST_DEVICE, "backend '%s' has no memory of its own", backend);
    TRY(ops->ctx_new(&ctx, 1 << 16, e));
    status st = taken(&out->taken, ops, ctx, c, R, backend, e);
    if (!st) st = taken(&out->taken, ops, ctx, c, R, backend, e);
    out->needed = (double)bank_bytes_needed(&o);
    ops->ctx_free(ctx);
    return st;
}
