/* The loop on a device, where the next step is under way while the rows of the last are written: the same records, in the
 * same order, with the same bits as one step after the other (MUSCALE_CUDA_SYNC=1), and the same checkpoints. Only over
 * the CUDA-on-CPU layer, which counts calls. */
#include <math.h>

#include "tests/emu/emu.h"
#include "tests/trainer/remember.h"

/* One layer, six steps. */
#define LITTLE(t, ...)                                                                                              \
    TINY(t, "backend", "cuda", "n_layer", "1", "seq_len", "8", "batch_tokens", "16", "tokens", "96", "val_tokens", \
         "32", "warmup_tokens", "32", "shards", "1" __VA_OPT__(, ) __VA_ARGS__)

static void expect_same_course(const memory *whole, const memory *part, const char *what)
{
    cr_assert_eq(part->n, whole->n, "%s: %zu records, not %zu", what, part->n, whole->n);
    for (size_t i = 0; i < whole->n; i++) {
        const event *w = &whole->events[i], *p = &part->events[i];
        cr_expect(p->kind == w->kind && p->step == w->step, "%s: %c %d for %c %d", what, p->kind, (int)p->step, w->kind,
                  (int)w->step);
        cr_expect(same_bits(p->a, w->a) && same_bits(p->b, w->b) && same_bits(p->c, w->c), "%s: %c of step %d differs",
                  what, p->kind, (int)w->step);
    }
}

enum { N = 4 };

/* Ends of all kinds in one bank: validations, checkpoints and steps whose updates are measured at their own times, a shorter budget, a loss that is not
 * finite, one that blows up. */
static void all_ends(const tiny *t, memory m[N], train_job jobs[N], const char *prefix)
{
    const trainer_config c[N] = {
        LITTLE(t, "val_every", "4", "ckpt_every", "5", "log_updates_every", "3"),
        LITTLE(t, "lr", "1e30", "clip_norm", "0", "weight_decay", "0", "blowup_nats", "0"),
        LITTLE(t, "lr", "3", "blowup_nats", "0.25", "clip_norm", "0"),
        LITTLE(t, "tokens", "64", "seed", "3", "unique_tokens", "800", "data_seed", "9"),
    };
    for (int i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%d", prefix, i);
        jobs[i] = job(t, &c[i], name, &m[i]);
    }
    run_jobs(jobs, N, (train_opts){0});
}

Test(cuda_train, records_and_checkpoints_are_those_of_steps_alone)
{
    tiny t = tiny_make(8, 1, 8000);
    memory alone[N], along[N];
    train_job x[N], y[N];
    setenv("MUSCALE_CUDA_SYNC", "1", 1);
    all_ends(&t, alone, x, "alone");
    unsetenv("MUSCALE_CUDA_SYNC");
    all_ends(&t, along, y, "along");
    int n_updates = 0;
    for (size_t k = 0; k < along[0].n; k++) n_updates += along[0].events[k].kind == 'u';
    for (int i = 0; i < N; i++) {
        expect_same_course(&alone[i], &along[i], y[i].ckpt_dir);
        cr_expect_eq(x[i].result.status, y[i].result.status);
        cr_expect_eq(x[i].result.diverged_at, y[i].result.diverged_at);
        cr_expect_eq(x[i].result.step, y[i].result.step);
        free(alone[i].events);
        free(along[i].events);
    }
    cr_expect_eq(y[0].result.status, RUN_DONE);
    cr_expect_eq(y[1].result.status, RUN_DIVERGED);
    cr_expect_eq(y[2].result.status, RUN_DIVERGED);
    cr_expect_lt(y[1].result.diverged_at, 6, "diverged in the last step: nothing was under way");
    cr_expect_lt(y[2].result.diverged_at, 6, "blew up in the last step: nothing was under way");
    cr_expect_eq(y[3].result.step, 4);
    cr_expect_eq(n_updates, 3, "updates of steps 1, 3 and 6, not of %d", n_updates);
    expect_same_final(&t, "alone0", "along0", 5);
    expect_same_final(&t, "alone0", "along0", 6);
    expect_same_final(&t, "alone3", "along3", 4);
    tiny_remove(&t);
}

/* Calls of CUDA until each row. */
typedef struct calls { long at[16]; } calls;

static status count_calls(void *self, const train_row *r, err *e)
{
    calls *c = self;
    (void)e;
    c->at[r->step] = emu_calls();
    return ST_OK;
}

/* When a row is written, the step after it has been given to the device; not so the one after a validation. From row to
 * row a step is sent ahead (4 calls), replayed and marked (2), and the mark of the one before is waited for (1); before
 * a validation only the latter. Nothing else is asked of CUDA: no synchronisation, no memory. */
Test(cuda_train, the_next_step_is_under_way_when_a_row_is_written)
{
    tiny t = tiny_make(8, 1, 8000);
    const trainer_config c = LITTLE(&t, "tokens", "144", "val_every", "6"); /* nine steps */
    calls x = {{0}};
    train_job j = {.config = c, .observer = {.self = &x, .row = count_calls}};
    run_jobs(&j, 1, (train_opts){0});
    cr_expect_eq(x.at[4] - x.at[3], 7, "%ld calls a step", x.at[4] - x.at[3]);
    cr_expect_eq(x.at[5] - x.at[4], 7, "%ld calls a step", x.at[5] - x.at[4]);
    cr_expect_eq(x.at[6] - x.at[5], 1, "a step was submitted before the validation");
    cr_expect_gt(x.at[7] - x.at[6], 14, "a validation and two steps");
    cr_expect_eq(x.at[8] - x.at[7], 7, "before the last step");
    cr_expect_eq(x.at[9] - x.at[8], 1, "no step after the last: its row only waits");
    tiny_remove(&t);
}

/* A signal is seen before the next step is submitted: what is under way is finished, recorded and kept. */
Test(cuda_train, stopped_and_resumed_is_as_never_stopped)
{
    tiny t = tiny_make(8, 1, 8000);
    const trainer_config c = LITTLE(&t, "val_every", "5");
    memory whole, first, rest;
    volatile sig_atomic_t stop = 0;
    train_job a = job(&t, &c, "whole", &whole), b = job(&t, &c, "cut", &first);
    run_jobs(&a, 1, (train_opts){0});
    first.stop = &stop;
    first.stop_at = 2;
    run_jobs(&b, 1, (train_opts){.stop = &stop});
    cr_expect_eq(b.result.status, RUN_STOPPED);
    cr_expect_eq(b.result.step, 3);
    cr_expect_eq(first.events[first.n - 2].kind, 'c');
    train_job d = job(&t, &c, "cut", &rest);
    run_jobs(&d, 1, (train_opts){.resume = true});
    cr_expect_eq(rest.from_step, 3);
    expect_continues(&whole, &rest, 3, "resumed");
    expect_same_final(&t, "whole", "cut", 6);
    free(whole.events);
    free(first.events);
    free(rest.events);
    tiny_remove(&t);
}

/* An observer that fails, with a step under way: nothing is left behind on the device. */
Test(cuda_train, a_full_disk_in_the_middle)
{
    tiny t = tiny_make(8, 1, 8000);
    const trainer_config c = LITTLE(&t);
    memory m;
    const train_opts o = {.threads = 1};
    err e = {0};
    train_job j = job(&t, &c, "run", &m);
    m.fail_at = 3;
    cr_expect_eq(train_bank(&j, 1, &o, &e), ST_IO);
    cr_expect_eq(j.result.status, RUN_FAILED);
    const emu_live n = emu_live_now();
    cr_expect(!n.device && !n.host && !n.streams && !n.events && !n.graphs);
    free(m.events);
    tiny_remove(&t);
}
