/* What trunks save in time: five budgets 2x apart at two learning rates, decay 20 %, trained with trunks and without, by
 * turns on one device in one process. FLOPs are counted by the plan (at most 0.62 of separate runs); the ratio of the times
 * is to be at most 1.1 times that of the FLOPs: what waiting, copying rows and checkpoints, and smaller banks may cost.
 * Shortest of ROUNDS each, so that a neighbour on the machine is heard less. bench_trunk [cpu|cuda|cuda-fp32] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/io.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include "sweeps/campaign.h"
#include "sweeps/launch_local.h"

enum { ROUNDS = 3, IDS = 1 << 20 };

static const char spec_text[] =
    "base: {data: '%s', data_dtype: u8, vocab: 256, d_model: 64, n_layer: 2, head_dim: 32, seq_len: 64, "
    "batch_tokens: 1024, base_width: 64, warmup_tokens: 2048, val_tokens: 8192}\n"
    "grid:\n  lr: [1e-3, 2e-3]\n  tokens: [16384, 32768, 65536, 131072, 262144]\n";

typedef struct took { double wall, cpu, flops_trained, flops; } took;

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static status train(took *out, const char *dir, const char *backend, bool trunks, int round, err *e)
{
    char text[2048], data[IO_PATH_MAX], campaign[IO_PATH_MAX], name[32], note[512];
    static char word[] = "bench_trunk";
    static char *const argv[] = {word, NULL};
    sweep_spec s = {0};
    sweep_plan p = {0};
    sweep_progress result;
    sweep_plan_opts o = sweep_plan_opts_default();
    o.workers = (int)sysconf(_SC_NPROCESSORS_ONLN);
    o.backend = backend;
    o.no_trunks = !trunks;
    snprintf(name, sizeof name, "%s.%d", trunks ? "trunks" : "separate", round);
    status st = io_join(data, dir, "tokens.u8", e);
    if (!st) st = io_join(campaign, dir, name, e);
    const int n = snprintf(text, sizeof text, spec_text, data);
    if (!st) st = sweep_spec_parse(&s, text, (size_t)n, "bench.yaml", e);
    if (!st) st = sweep_plan_make(&p, &s, &o, e);
    if (!st) st = k_backend_ready(backend, e);
    if (!st) st = campaign_open(campaign, &s, &p, false, note, e);
    sweep_launch_opts l = {.campaign = campaign, .threads = o.workers, .argv = argv, .argc = 1};
    const double t0 = io_now(), c0 = cpu_seconds();
    if (!st) st = sweep_launch_local(&result, &p, &s, &l, e);
    *out = (took){io_now() - t0, cpu_seconds() - c0, p.flops_trained, p.flops};
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    return st;
}

static status make_data(const char *dir, err *e)
{
    char path[IO_PATH_MAX];
    unsigned char *ids = malloc(IDS);
    status st = ids ? io_join(path, dir, "tokens.u8", e) : err_set(e, ST_NOMEM, "no memory");
    for (size_t i = 0; ids && i < IDS; i++) ids[i] = (unsigned char)rng_below(256, 1, RNG_TEST, 0, i);
    if (!st) st = io_publish(path, ids, IDS, e);
    free(ids);
    return st;
}

static void report(const char *backend, const took *with, const took *without)
{
    const double flops = with->flops_trained / with->flops, wall = with->wall / without->wall, cpu = with->cpu / without->cpu;
    printf("trunks on %s: FLOPs %.4f of separate runs (to be at most 0.62); time %.2f s of %.2f s: %.3f, that is %.3f times "
           "the FLOPs' ratio (to be at most 1.1); of the processor's %.3f, %.3f times\n", backend, flops, with->wall,
           without->wall, wall, wall / flops, cpu, cpu / flops);
}

int main(int argc, char **argv)
{
    char dir[] = "bench-trunk-XXXXXX", line[64];
    const char *backend = argc > 1 ? argv[1] : "cpu";
    took best[2] = {{.wall = INFINITY, .cpu = INFINITY}, {.wall = INFINITY, .cpu = INFINITY}};
    err e = {0};
    status st = mkdtemp(dir) ? make_data(dir, &e) : err_set(&e, ST_IO, "%s: cannot create", dir);
    for (int i = 0; i < 2 * ROUNDS && !st; i++) {
        took x, *b = &best[i % 2];
        st = train(&x, dir, backend, i % 2 == 0, i / 2, &e);
        b->wall = fmin(b->wall, x.wall);
        b->cpu = fmin(b->cpu, x.cpu);
        b->flops = x.flops;
        b->flops_trained = x.flops_trained;
    }
    if (st) fprintf(stderr, "bench_trunk: %s\n", e.msg);
    else report(backend, &best[0], &best[1]);
    snprintf(line, sizeof line, "rm -rf '%s'", dir);
    return system(line) || st ? 1 : 0;
}
