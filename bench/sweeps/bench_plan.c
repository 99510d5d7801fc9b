/* Time to plan: parse, resolve, identify, merge, bank, JSON. 10,000 runs of a grid are to take less than a second, 100,000
 * cells, drawn, derived and excluded, a few. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/rng.h"
#include "sweeps/plan.h"
#include "sweeps/plan_schedule.h"

/* After "base: {data: '" and the path. */
static const char grid_text[] =
    "', data_dtype: u8, head_dim: 32, batch_tokens: 2048, base_width: 64, warmup_tokens: 20480}\n"
    "grid:\n  lr: logspace(1e-4, 1e-1, 50)\n  seed: range(0, 10, 1)\n  tokens: [1e6, 2e6, 4e6, 8e6, 16e6]\n"
    "zip: [{d_model: [64, 128, 256, 512], n_layer: [2, 2, 4, 4]}]\n";
static const char drawn_text[] =
    "', data_dtype: u8, head_dim: 32, batch_tokens: 2048, base_width: 64, n_layer: 2}\n"
    "method: random\nrun_cap: 100000\nparameters:\n"
    "  lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-1}\n"
    "  d_model: {distribution: q_uniform, min: 64, max: 512, q: 64}\n  weight_decay: {min: 0.0, max: 0.1}\n"
    "derived: {d_ff: 4*d_model, tokens: 20*n_params_non_embed, warmup_tokens: 0.01*tokens}\n"
    "exclude: [lr > 5e-2 and d_model >= 256, {d_model: 448}]\n";

static status bench(const char *spec_text, const char *data, double budget)
{
    char text[1024];
    sweep_spec s = {0};
    sweep_plan p = {0};
    err e = {0};
    int n = snprintf(text, sizeof text, "%s%s%s", "base: {data: '", data, spec_text);
    sweep_plan_opts o = sweep_plan_opts_default();
    o.workers = 2;
    clock_t c0 = clock();
    double t0 = io_now();
    status st = sweep_spec_parse(&s, text, (size_t)n, "bench.yaml", &e);
    double t1 = io_now();
    if (!st) st = sweep_plan_make(&p, &s, &o, &e);
    double t2 = io_now();
    json_t *j = st ? NULL : sweep_plan_json(&p, &s, false);
    char *dump = j ? json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    double t3 = io_now();
    clock_t c1 = clock();
    sweep_schedules drawn = {0};
    if (!st) st = sweep_schedules_find(&drawn, &p, &e);
    const size_t n_drawn = drawn.n;
    sweep_schedules_free(&drawn);
    clock_t c2 = clock();
    if (!st)
        printf("plan %zu cells, %zu runs in %zu banks: parse %.3f s, plan %.3f s, json %.3f s (%.1f MB): total %.3f s, "
               "of the processor's %.3f s, %.2f of the budget of %g s; %zu schedules: %.2f %% more of the processor's\n",
               p.n_cells, p.n_runs, p.n_banks, t1 - t0, t2 - t1, t3 - t2, dump ? (double)strlen(dump) / 1e6 : 0.0,
               t3 - t0, (double)(c1 - c0) / CLOCKS_PER_SEC, (t3 - t0) / budget, budget, n_drawn,
               100 * (double)(c2 - c1) / (double)(c1 - c0));
    else fprintf(stderr, "bench_plan: %s%s%s\n", e.msg, p.n_bad ? "; first: " : "", p.n_bad ? p.bad[0] : "");
    free(dump);
    json_decref(j);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    return st;
}

int main(void)
{
    enum { IDS = 1 << 20 };
    char path[] = "bench-plan-XXXXXX";
    unsigned char *ids = malloc(IDS);
    err e = {0};
    int fd = mkstemp(path);
    status st = ids && fd >= 0 ? ST_OK : err_set(&e, ST_IO, "%s: cannot create", path);
    for (size_t i = 0; ids && i < IDS; i++) ids[i] = (unsigned char)rng_below(200, 1, RNG_TEST, 0, i);
    if (!st) st = io_write_all(fd, ids, IDS, path, &e);
    if (st) fprintf(stderr, "bench_plan: %s\n", e.msg);
    if (!st) st = bench(grid_text, path, 1);
    if (!st) st = bench(drawn_text, path, 5);
    unlink(path);
    if (fd >= 0) close(fd);
    free(ids);
    return st ? 1 : 0;
}
