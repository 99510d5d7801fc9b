#include "bench/gpu_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/rng.h"
#include "sweeps/journal.h"
#include "trainer/train.h"

enum { WARM_UP = 8, BATCHES = 80 }; /* batches in the file: a twentieth of them is for validation */

#define TRY(call)                \
    do {                         \
        status try_s = (call);   \
        if (try_s) return try_s; \
    } while (0)

typedef struct watched_journal { /* an observer's self */
    journal *j;
    char path[IO_PATH_MAX];
    double *at; /* when each step's row was written; NULL: not watched */
} watched_journal;

typedef struct loop {
    char dir[IO_PATH_MAX], data[IO_PATH_MAX];
    size_t R;
    int steps;
    double *at;
    watched_journal *journals;
    train_job *jobs;
} loop;

static status on_row(void *self, const train_row *row, err *e)
{
    watched_journal *w = self;
    TRY(journal_row(w->j, row, e));
    if (w->at) w->at[row->step - 1] = io_now();
    return ST_OK;
}

/* Ids below the vocabulary as 16-bit numbers: a file without a header. */
static status write_data(loop *l, const gpu_case *c, err *e)
{
    const size_t n = BATCHES * c->batch * (size_t)c->seq_len + 1;
    uint16_t *x = malloc(n * sizeof *x);
    if (!x) return err_set(e, ST_NOMEM, "bench: out of memory");
    for (size_t i = 0; i < n; i++) x[i] = (uint16_t)rng_below((uint64_t)c->vocab, 3, RNG_TEST, 0, i);
    const status s = io_publish(l->data, x, n * sizeof *x, e);
    free(x);
    return s;
}

static status set(trainer_config *c, const char *key, int64_t value, err *e)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return config_set(c, key, text, "bench", e);
}

static status configure(trainer_config *out, const loop *l, const gpu_case *c, const char *backend, err *e)
{
    const int64_t T = c->seq_len, batch = (int64_t)c->batch * T;
    static const char *const words[][2] = {{"data_dtype", "u16"}, {"activation", "gelu"},    {"tied_head", "true"},
                                           {"lr", "0.0001"},      {"parametrisation", "sp"}, {"blowup_nats", "0"}};
    const struct {
        const char *key;
        int64_t value;
    } sizes[] = {{"vocab", c->vocab},       {"d_model", c->d_model},
                 {"n_layer", c->n_layer},   {"head_dim", c->head_dim},
                 {"d_ff", 4 * c->d_model},  {"seq_len", T},
                 {"batch_tokens", batch},   {"tokens", batch * l->steps},
                 {"warmup_tokens", batch},  {"val_tokens", 2 * T},
                 {"shards", 1},             {"ckpt_every", 1000000},
                 {"log_every", 1},          {"threads", 1}};
    config_default(out);
    snprintf(out->data, sizeof out->data, "%s", l->data);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        TRY(config_set(out, words[i][0], words[i][1], "bench", e));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) TRY(set(out, sizes[i].key, sizes[i].value, e));
    TRY(config_set(out, "backend", backend, "bench", e));
    return config_resolve(out, e);
}

static status prepare(loop *l, const gpu_case *c, const char *backend, err *e)
{
    const char *tmp = getenv("TMPDIR");
    trainer_config config;
    TRY(io_join(l->dir, tmp && *tmp ? tmp : "/tmp", "muscale-bench-XXXXXX", e));
    if (!mkdtemp(l->dir)) {
        const status s = err_set(e, ST_IO, "%s: cannot be made", l->dir);
        l->dir[0] = 0;
        return s;
    }
    TRY(io_join(l->data, l->dir, "tokens", e));
    TRY(write_data(l, c, e));
    TRY(configure(&config, l, c, backend, e));
    l->at = calloc((size_t)l->steps, sizeof *l->at);
    l->journals = calloc(l->R, sizeof *l->journals);
    l->jobs = calloc(l->R, sizeof *l->jobs);
    if (!l->at || !l->journals || !l->jobs) return err_set(e, ST_NOMEM, "bench: out of memory");
    for (size_t r = 0; r < l->R; r++) {
        watched_journal *w = &l->journals[r];
        char name[32];
        snprintf(name, sizeof name, "journal.%zu", r);
        TRY(io_join(w->path, l->dir, name, e));
        TRY(journal_open(&w->j, w->path, 0, e));
        w->at = r ? NULL : l->at;
        l->jobs[r].config = config;
        l->jobs[r].config.seed = 1 + r;
        l->jobs[r].observer = (train_observer){.self = w, .row = on_row};
    }
    return ST_OK;
}

static void clear(loop *l)
{
    for (size_t r = 0; l->journals && r < l->R; r++) {
        journal_close(l->journals[r].j);
        if (*l->journals[r].path) unlink(l->journals[r].path);
    }
    if (*l->data) unlink(l->data);
    if (*l->dir) rmdir(l->dir);
    free(l->journals);
    free(l->jobs);
    free(l->at);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

status gpu_loop_time(gpu_time *out, const gpu_case *c, size_t R, const char *backend, int steps, err *e)
{
    loop l = {.R = R, .steps = WARM_UP + steps};
    if (steps < 1) return err_set(e, ST_INPUT, "steps: %d", steps);
    const train_opts o = {.threads = 1};
    status s = prepare(&l, c, backend, e);
    if (!s) s = train_bank(l.jobs, R, &o, e);
    if (!s && l.jobs[0].result.status != RUN_DONE)
        s = err_set(e, ST_DOMAIN, "bench: the first run of the loop is %s", run_status_name(l.jobs[0].result.status));
    if (!s) {
        double *x = l.at + WARM_UP;
        for (int i = steps - 1; i >= 0; i--) x[i] -= x[i - 1];
        qsort(x, (size_t)steps, sizeof *x, ascending);
        const double median = steps % 2 ? x[steps / 2] : 0.5 * (x[steps / 2 - 1] + x[steps / 2]);
        *out = (gpu_time){median, x[0], x[steps - 1], 1, steps};
    }
    clear(&l);
    return s;
}
