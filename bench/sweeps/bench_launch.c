/* What the launcher costs: a campaign run by the launcher of `sweep run` against the same banks trained bare, without
 * journal, checkpoints, owner files and run.h5. Wall time and processor's time, of this process.
 *
 *   bench_launch [CELLS [REAL [REPEATS]]]
 *
 * CELLS tiny cells (10000), REAL cells that train for seconds (8), in turns (1). The tiny ones train for nothing, nearly:
 * what is left is the time of the launcher per cell. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/io.h"
#include "base/rng.h"
#include "sweeps/campaign.h"
#include "sweeps/launch_local.h"
#include "sweeps/store.h"

enum { THREADS = 2 };

/* After "base: {data: '" and the path; then the number of cells. */
static const char tiny_text[] =
    "', data_dtype: u8, vocab: 64, d_model: 16, n_layer: 1, head_dim: 16, seq_len: 16, batch_tokens: 64, tokens: 640,"
    " val_tokens: 64, base_width: 16}\ngrid: {seed: \"range(0, %zu, 1)\"}\n";
/* As small and as short as a cell may be before nobody wants to fit it: 0.1 M parameters, 160 k tokens. */
static const char real_text[] =
    "', data_dtype: u8, vocab: 256, d_model: 64, n_layer: 2, head_dim: 32, seq_len: 128, batch_tokens: 4096,"
    " tokens: 163840, warmup_tokens: 8192, val_tokens: 16384, val_every: 20, base_width: 64}\n"
    "grid: {seed: \"range(0, %zu, 1)\"}\n";

typedef struct took {
    double wall, cpu;
} took;

static took now(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (took){io_now(), (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                                1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec)};
}

static took since(took t)
{
    const took n = now();
    return (took){n.wall - t.wall, n.cpu - t.cpu};
}

static status bare(took *out, const sweep_plan *p, err *e)
{
    status st = ST_OK;
    size_t widest = 1;
    const train_opts o = {.threads = THREADS};
    for (size_t k = 0; k < p->n_banks; k++) widest = p->banks[k].n > widest ? p->banks[k].n : widest;
    train_job *jobs = calloc(widest, sizeof *jobs);
    if (!jobs) return err_set(e, ST_NOMEM, "no memory");
    const took t = now();
    for (size_t k = 0; k < p->n_banks && !st; k++) {
        const sweep_bank *b = &p->banks[k];
        memset(jobs, 0, widest * sizeof *jobs);
        for (size_t i = 0; i < b->n; i++) jobs[i].config = p->runs[p->order[b->first + i]].config;
        st = train_bank(jobs, b->n, &o, e);
    }
    *out = since(t);
    free(jobs);
    return st;
}

static status launched(took *out, took *again, took *collect, const sweep_spec *s, const sweep_plan *p,
                       const char *campaign, err *e)
{
    char note[512];
    sweep_progress r;
    campaign_counts counts;
    const sweep_launch_opts o = {.campaign = campaign, .threads = THREADS};
    took t = now();
    status st = campaign_open(campaign, s, p, false, note, e);
    if (!st) st = sweep_launch_local(&r, p, s, &o, e);
    *out = since(t);
    t = now();
    if (!st) st = sweep_launch_local(&r, p, s, &o, e);
    *again = since(t);
    t = now();
    if (!st) st = campaign_collect(&counts, campaign, e);
    *collect = since(t);
    if (!st && r.done != p->n_runs) st = err_set(e, ST_PARTIAL, "%zu of %zu runs are done", r.done, p->n_runs);
    return st;
}

static double least(double a, double b) { return a < b ? a : b; }

/* In turns, the least of each: whoever shares the machine adds to both. */
static status compare(const char *what, const char *text, const char *data, size_t cells, int repeats, err *e)
{
    char head[1024], full[2048], campaign[IO_PATH_MAX], line[IO_PATH_MAX + 32];
    sweep_spec s = {0};
    sweep_plan p = {0};
    sweep_plan_opts o = sweep_plan_opts_default();
    took b = {1e300, 1e300}, l = b, again = b, collect = b;
    o.workers = THREADS;
    snprintf(head, sizeof head, "base: {data: '%s", data);
    size_t n = strlen(head);
    memcpy(full, head, n);
    const char *at = strstr(text, "%zu");
    n += (size_t)snprintf(full + n, sizeof full - n, "%.*s%zu%s", (int)(at - text), text, cells, at + 3);
    status st = sweep_spec_parse(&s, full, n, "bench.yaml", e);
    if (!st) st = sweep_plan_make(&p, &s, &o, e);
    for (int k = 0; k < repeats && !st; k++) {
        took x = {0}, y = {0}, z = {0}, w = {0};
        snprintf(campaign, sizeof campaign, "%s.%s%d", data, what, k);
        st = bare(&x, &p, e);
        if (!st) st = launched(&y, &z, &w, &s, &p, campaign, e);
        snprintf(line, sizeof line, "rm -rf '%s'", campaign);
        if (system(line)) st = st ? st : err_set(e, ST_IO, "%s: cannot remove", campaign);
        b = (took){least(b.wall, x.wall), least(b.cpu, x.cpu)};
        l = (took){least(l.wall, y.wall), least(l.cpu, y.cpu)};
        again = (took){least(again.wall, z.wall), least(again.cpu, z.cpu)};
        collect = (took){least(collect.wall, w.wall), least(collect.cpu, w.cpu)};
    }
    if (!st)
        printf("%s: %zu cells of %lld steps in %zu banks: bare %.2f s (%.2f of the processors'), "
               "launched %.2f s (%.2f): %.2f ms a cell more (%.2f), %.2f %% of bare (%.2f %%)\n"
               "  run again, nothing to do: %.3f s (%.3f); collect %.2f s (%.2f)\n",
               what, p.n_runs, (long long)p.runs[0].steps, p.n_banks, b.wall, b.cpu, l.wall, l.cpu,
               1e3 * (l.wall - b.wall) / (double)cells, 1e3 * (l.cpu - b.cpu) / (double)cells,
               100 * (l.wall - b.wall) / b.wall, 100 * (l.cpu - b.cpu) / b.cpu, again.wall, again.cpu, collect.wall,
               collect.cpu);
    fflush(stdout);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    return st;
}

int main(int argc, char **argv)
{
    enum { IDS = 1 << 21 };
    char path[] = "bench-launch-XXXXXX", data[IO_PATH_MAX];
    const size_t tiny = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000,
                 real = argc > 2 ? strtoull(argv[2], NULL, 10) : 8;
    const int repeats = argc > 3 ? atoi(argv[3]) : 1;
    unsigned char *ids = malloc(IDS);
    err e = {0};
    int fd = mkstemp(path);
    status st = ids && fd >= 0 && realpath(path, data) ? ST_OK : err_set(&e, ST_IO, "%s: cannot create", path);
    for (size_t i = 0; ids && i < IDS; i++) ids[i] = (unsigned char)rng_below(64, 1, RNG_TEST, 0, i);
    if (!st) st = io_write_all(fd, ids, IDS, path, &e);
    if (!st && tiny) st = compare("tiny", tiny_text, data, tiny, repeats, &e);
    if (!st && real) st = compare("real", real_text, data, real, repeats, &e);
    if (st) fprintf(stderr, "bench_launch: %s\n", e.msg);
    unlink(path);
    if (fd >= 0) close(fd);
    free(ids);
    return st ? 1 : 0;
}
