/* The table of speeds: what was measured of each case, a JSON line each, and the Markdown rows with their verdicts. */
#ifndef BENCH_GPU_TABLE_H
#define BENCH_GPU_TABLE_H
#include "bench/gpu_count.h"
#include "bench/gpu_peak.h"
#include "bench/gpu_peers.h"
#include "bench/gpu_run.h"

#define GPU_BENCH_SCHEMA "\"schema\":\"muscale.gpu_bench/1\""

typedef struct gpu_result {
    const gpu_case *c;
    gpu_time bank, one, loop; /* R replicas, and one; train_bank around R */
    bound bound, bound_one;   /* at the rates measured around it */
    count counted, counted_one;
    double called; /* bytes that the ops move as they are called */
    gpu_rates rates;
    gpu_memory memory;
    double memory_by_shape; /* counted apart from the trainer, without workspaces */
    double kernels;         /* seconds of the kernels of a step at R = 1; 0: not measured */
    const char *kernels_by;
    gpu_peer torch, jax; /* rate 0: not measured */
} gpu_result;

typedef struct gpu_tally {
    int met, missed, open; /* rows that have a target; open: the peer was not measured */
} gpu_tally;

void gpu_table_json(const gpu_result *x);
gpu_tally gpu_table_markdown(const gpu_result *x, size_t n, const char *device, const gpu_rates *least,
                             const gpu_rates *most);
#endif
