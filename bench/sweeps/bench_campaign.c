/* A campaign of 10,000 invented runs: how long status, the next look of watch, collect and the exports take. Usage:
 *   bench_campaign [RUNS [DIR]]      DIR is made, what is in it used again, and left: to try the commands by hand */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "sweeps/campaign.h"
#include "sweeps/export.h"
#include "sweeps/status.h"
#include "sweeps/store.h"

enum { DEFAULT_RUNS = 10000, ROWS = 50, REPEATS = 3 };

static void die(const err *e)
{
    fprintf(stderr, "bench_campaign: %s\n", e->msg);
    exit(1);
}
#define ok(call) do { if (call) die(&e); } while (0)

static double cpu(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* ---- the campaign --------------------------------------------------------------------------------------------- */

static void drive(train_observer x, const trainer_config *c, int64_t rows)
{
    err e = {0};
    char id[17];
    config_id(id, c);
    train_start start = {.config = c, .id = id, .counts = shape_count(&c->shape), .flops_per_token = 1e6, .device = "none", .bank_size = 1};
    ok(x.start(x.self, &start, &e));
    for (int64_t i = 1; i <= rows; i++) {
        train_row row = {i, 256 * i, 5.0 / (double)i, 0.001, 1.0 / (double)i, 3.1, 0.003 * (double)i};
        ok(x.row(x.self, &row, &e));
    }
}

/* Of a hundred runs: one failed, two diverged, one is partial, one is not begun, the others are done. */
static void write_run(const char *dir, const trainer_config *c, size_t i)
{
    err e = {0}, why = {.code = ST_IO, .msg = "journal.jsonl: cannot write: No space left on device"};
    store_run *run;
    store_opts o = {.dir = dir, .config = c, .threads = 1};
    const size_t kind = i % 100;
    train_end end = {.status = kind == 1 || kind == 2 ? RUN_DIVERGED : RUN_DONE, .step = ROWS, .tokens = 256 * ROWS,
                     .diverged_at = kind == 1 || kind == 2 ? ROWS : -1, .final_val_loss = 3.25 + 1e-7 * (double)i, .final_val_loss_se = 0.01};
    if (kind == 4) return;
    ok(store_run_open(&run, &o, &e));
    train_observer x = store_run_observer(run);
    drive(x, c, kind == 0 || kind == 3 ? ROWS / 2 : ROWS);
    if (kind != 0 && kind != 3) ok(x.end(x.self, &end, &e));
    ok(store_run_close(run, kind == 0 ? &why : NULL, &e));
}

static void make(const char *top, size_t runs, sweep_spec *s, sweep_plan *p)
{
    enum { IDS = 1 << 16 };
    static unsigned char ids[IDS];
    char data[IO_PATH_MAX], text[IO_PATH_MAX + 512], dir[IO_PATH_MAX], note[512];
    err e = {0};
    for (size_t i = 0; i < IDS; i++) ids[i] = (unsigned char)rng_below(16, 1, RNG_TEST, 0, i);
    ok(io_mkdirs(top, &e));
    ok(io_join(data, top, ".tokens.u8", &e));
    ok(io_publish(data, ids, IDS, &e));
    int n = snprintf(text, sizeof text,
                     "base: {data: '%s', data_dtype: u8, vocab: 16, d_model: 64, n_layer: 2, head_dim: 32, seq_len: 32, batch_tokens: 256, "
                     "tokens: %d, warmup_tokens: 512, val_tokens: 512, parametrisation: sp}\n"
                     "grid: {lr: 'logspace(1e-4, 1e-1, 100)', seed: 'range(0, %zu, 1)'}\n",
                     data, 256 * ROWS, (runs + 99) / 100);
    ok(sweep_spec_parse(s, text, (size_t)n, "bench.yaml", &e));
    sweep_plan_opts o = sweep_plan_opts_default();
    o.workers = 1;
    ok(sweep_plan_make(p, s, &o, &e));
    ok(campaign_open(top, s, p, false, note, &e));
    for (size_t i = 0; i < p->n_runs; i++) {
        ok(campaign_run_dir(dir, top, p->runs[i].id, &e));
        if (!io_exists(dir)) write_run(dir, &p->runs[i].config, i);
    }
}

/* ---- what is timed -------------------------------------------------------------------------------------------- */

typedef struct took {
    double wall, cpu;
} took;

static took best(took (*once)(void *), void *arg)
{
    took t = once(arg);
    for (int i = 1; i < REPEATS; i++) {
        const took again = once(arg);
        if (again.wall < t.wall) t = again;
    }
    return t;
}

static took status_once(void *top)
{
    sweep_status s = {0};
    err e = {0};
    const took t = {io_now(), cpu()};
    ok(sweep_status_read(&s, top, &e));
    json_t *j = sweep_status_json(&s, top);
    char *text = json_dumps(j, JSON_INDENT(1));
    const took end = {io_now() - t.wall, cpu() - t.cpu};
    free(text);
    json_decref(j);
    sweep_status_free(&s);
    return end;
}

typedef struct looked {
    sweep_status s;
    const char *top;
} looked;

static took again_once(void *self)
{
    looked *l = self;
    const took t = {io_now(), cpu()};
    sweep_status_again(&l->s, l->top);
    return (took){io_now() - t.wall, cpu() - t.cpu};
}

static took collect_once(void *top)
{
    campaign_counts n;
    table t = {0};
    err e = {0};
    const took from = {io_now(), cpu()};
    ok(campaign_collect_table(&n, &t, top, &e));
    const took end = {io_now() - from.wall, cpu() - from.cpu};
    table_free(&t);
    return end;
}

static void print(const char *what, took t, double aim)
{
    printf("%-58s %8.3f s wall %8.3f s of the processor", what, t.wall, t.cpu);
    if (aim > 0) printf("   %5.2f of the aim of %g s", t.wall / aim, aim);
    putchar('\n');
}

static void exports(const char *top)
{
    static const char *const names[] = {[EXPORT_CSV] = "CSV", [EXPORT_JSONL] = "JSON lines"};
    campaign_counts n;
    table t = {0};
    err e = {0};
    ok(campaign_collect_table(&n, &t, top, &e));
    for (int form = EXPORT_CSV; form <= EXPORT_JSONL; form++) {
        char path[IO_PATH_MAX], line[96];
        table back = {0};
        ok(io_join(path, top, form == EXPORT_CSV ? ".bench.csv" : ".bench.jsonl", &e));
        const took from = {io_now(), cpu()};
        ok(export_write(path, &t, (export_form)form, &e));
        const took end = {io_now() - from.wall, cpu() - from.cpu};
        ok(table_read(&back, path, &e));
        snprintf(line, sizeof line, "export of %zu rows as %s", back.n_rows, names[form]);
        print(line, end, 0);
        table_free(&back);
        unlink(path);
    }
    table_free(&t);
}

int main(int argc, char **argv)
{
    char made[] = "bench-campaign-XXXXXX", line[96];
    const size_t runs = argc > 1 ? strtoull(argv[1], NULL, 10) : DEFAULT_RUNS;
    char *top = argc > 2 ? argv[2] : mkdtemp(made);
    sweep_spec s = {0};
    sweep_plan p = {0};
    looked look = {.top = top};
    err e = {0};
    if (!top || !runs) return 1;
    const took from = {io_now(), cpu()};
    make(top, runs, &s, &p);
    snprintf(line, sizeof line, "making %zu runs of %d rows", p.n_runs, (int)ROWS);
    print(line, (took){io_now() - from.wall, cpu() - from.cpu}, 0);
    print("status: read, count, JSON", best(status_once, top), 1);
    ok(sweep_status_read(&look.s, top, &e));
    print("the next look of watch, nothing written since", best(again_once, &look), 0);
    for (size_t i = 0; i < look.s.plan.n_runs; i++) /* done runs are not looked at again: the most there can be to do */
        if (look.s.rows[i].state == SWEEP_DONE) look.s.rows[i].state = SWEEP_PARTIAL;
    print("the same, when no run is done", best(again_once, &look), 0);
    print("collect, the first", collect_once(top), 15);
    print("collect", best(collect_once, top), 15);
    exports(top);
    sweep_status_free(&look.s);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    if (argc <= 2) {
        char command[64];
        snprintf(command, sizeof command, "rm -rf '%s'", top);
        if (system(command)) fprintf(stderr, "bench_campaign: %s is left\n", top);
    }
    return 0;
}
