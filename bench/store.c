/* The run store's cost: journal per training step, collect and reading of 1,000 finished runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/table.h"
#include "sweeps/store.h"

enum { RUNS = 1000, ROWS = 200, STEPS = 30, REPEATS = 3 };

static void die(const err *e)
{
    fprintf(stderr, "bench/store: %s\n", e->msg);
    exit(1);
}
#define ok(call) do { if (call) die(&e); } while (0)

static void remove_tree(const char *dir)
{
    char command[IO_PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -rf '%.900s'", dir);
    if (system(command)) fprintf(stderr, "bench/store: %s is left\n", dir);
}

static void set_all(trainer_config *c, const char *const (*pairs)[2], size_t n)
{
    err e = {0};
    config_default(c);
    for (size_t i = 0; i < n; i++) ok(config_set(c, pairs[i][0], pairs[i][1], "bench", &e));
}

/* --- one run, invented ---- */

static void write_run(const char *dir, trainer_config *c)
{
    err e = {0};
    char id[17];
    store_run *run;
    config_id(id, c);
    store_opts o = {.dir = dir, .config = c, .threads = 1};
    train_start start = {.config = c, .id = id, .counts = shape_count(&c->shape), .flops_per_token = 1e6, .device = "none", .bank_size = 1};
    train_end end = {.status = RUN_DONE, .step = ROWS, .tokens = 256 * ROWS, .diverged_at = -1, .final_val_loss = 3.25, .final_val_loss_se = 0.01};
    ok(store_run_open(&run, &o, &e));
    train_observer x = store_run_observer(run);
    ok(x.start(x.self, &start, &e));
    for (int64_t i = 1; i <= ROWS; i++) {
        train_row row = {i, 256 * i, 5.0 / (double)i, 0.001, 1.0 / (double)i, 3.1, 0.003 * (double)i};
        ok(x.row(x.self, &row, &e));
    }
    ok(x.end(x.self, &end, &e));
    ok(store_run_close(run, NULL, &e));
}

static double best(double (*once)(const char *), const char *arg)
{
    double t = once(arg);
    for (int i = 1; i < REPEATS; i++) {
        double again = once(arg);
        if (again < t) t = again;
    }
    return t;
}

static double collect(const char *dir)
{
    campaign_counts n;
    err e = {0};
    double t = io_now();
    ok(campaign_collect(&n, dir, &e));
    if (n.by_state[STORE_DONE] != RUNS) fprintf(stderr, "bench/store: %zu of %d runs are done\n", n.by_state[STORE_DONE], (int)RUNS);
    return io_now() - t;
}

static double read_table(const char *dir)
{
    table t = {0};
    err e = {0};
    double at = io_now();
    ok(table_read(&t, dir, &e));
    at = io_now() - at;
    table_free(&t);
    return at;
}

static void campaign(const char *top)
{
    static const char *const pairs[][2] = {{"vocab", "256"}, {"d_model", "64"}, {"n_layer", "2"}, {"head_dim", "32"}, {"seq_len", "32"},
                                           {"batch_tokens", "256"}, {"tokens", "51200"}, {"lr", "0.01"}, {"parametrisation", "sp"},
                                           {"warmup_tokens", "512"}, {"val_tokens", "512"}};
    char dir[IO_PATH_MAX], index[IO_PATH_MAX];
    trainer_config c;
    err e = {0};
    set_all(&c, pairs, sizeof pairs / sizeof *pairs);
    double t = io_now();
    for (int i = 0; i < RUNS; i++) {
        c.seed = (uint64_t)i;
        ok(config_resolve_with(&c, NULL, &e));
        snprintf(dir, sizeof dir, "%.900s/runs/%04d", top, i);
        write_run(dir, &c);
    }
    t = io_now() - t;
    printf("writing one run (%d rows, 2 syncs, publish)   %8.2f ms\n", (int)ROWS, 1e3 * t / RUNS);
    printf("collect of %d finished runs                 %8.2f s   (aim: below 2)\n", (int)RUNS, best(collect, top));
    printf("reading the campaign through campaign.h5      %8.2f ms\n", 1e3 * best(read_table, top));
    snprintf(index, sizeof index, "%.900s/campaign.h5", top);
    unlink(index);
    printf("reading it run by run, without campaign.h5    %8.2f ms\n", 1e3 * best(read_table, top));
}

/* --- the journal beside real steps ---- */

typedef struct clocked { train_observer in; double spent; int64_t rows; } clocked;

static status on_start(void *self, const train_start *s, err *e)
{
    clocked *k = self;
    return k->in.start(k->in.self, s, e);
}
static status on_row(void *self, const train_row *r, err *e)
{
    clocked *k = self;
    double t = io_now();
    status s = k->in.row(k->in.self, r, e);
    k->spent += io_now() - t;
    k->rows++;
    return s;
}
static status on_end(void *self, const train_end *end, err *e)
{
    clocked *k = self;
    return k->in.end(k->in.self, end, e);
}

static void journal(const char *top, const char *d_model, const char *batch)
{
    const char *const pairs[][2] = {{"d_model", d_model}, {"n_layer", "2"}, {"head_dim", "16"}, {"seq_len", "128"}, {"batch_tokens", batch},
                                    {"lr", "0.01"}, {"parametrisation", "sp"}, {"warmup_tokens", "0"}, {"val_tokens", "512"}, {"log_every", "1"}};
    char data[IO_PATH_MAX], dir[IO_PATH_MAX], tokens[32];
    data_info info;
    err e = {0};
    train_job job = {0};
    store_run *run;
    snprintf(data, sizeof data, "%.900s/data", top);
    data_gen_opts g = {.out_dir = data, .vocab = 64, .order = 1, .tokens = 200000, .seed = 1, .val_fraction = 0.05};
    if (!io_exists(data)) ok(data_gen(&g, &info, &e));
    set_all(&job.config, pairs, sizeof pairs / sizeof *pairs);
    snprintf(tokens, sizeof tokens, "%lld", STEPS * atoll(batch));
    ok(config_set(&job.config, "tokens", tokens, "bench", &e));
    snprintf(job.config.data, sizeof job.config.data, "%.900s", data);
    ok(config_resolve(&job.config, &e));
    snprintf(dir, sizeof dir, "%.900s/train-%s", top, d_model);
    store_opts o = {.dir = dir, .config = &job.config, .threads = 1};
    ok(store_run_open(&run, &o, &e));
    clocked k = {.in = store_run_observer(run)};
    job.observer = (train_observer){.self = &k, .start = on_start, .row = on_row, .end = on_end};
    train_opts how = {.threads = 1};
    double t = io_now();
    ok(train_bank(&job, 1, &how, &e));
    t = io_now() - t;
    ok(store_run_close(run, NULL, &e));
    printf("journal at d_model %3s, %5s tokens a step       %7.1f us a row, step %7.2f ms: %.3f %% (aim: below 1)\n", d_model, batch,
           1e6 * k.spent / (double)k.rows, 1e3 * t / STEPS, 100 * k.spent / t);
}

int main(void)
{
    char top[IO_PATH_MAX];
    const char *base = getenv("TMPDIR");
    snprintf(top, sizeof top, "%.900s/muscale-bench-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(top)) return 1;
    journal(top, "32", "1024");
    journal(top, "64", "2048");
    campaign(top);
    remove_tree(top);
    return 0;
}
