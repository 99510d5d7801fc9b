/* The training loop around the step: what gpu_run.h's clock does not see. train_bank itself, with a journal per replica
 * as `muscale sweep` keeps it (a row a step and replica), the batch read from a file; validation only at the end and no
 * checkpoints: those come as seldom as one likes. */
#ifndef BENCH_GPU_LOOP_H
#define BENCH_GPU_LOOP_H
#include "bench/gpu_run.h"

/* Median, least and most of the time from one row of the first replica to its next, over `steps` steps after a warm-up.
 * Files lie in a directory of their own in TMPDIR, or /tmp, meanwhile. */
status gpu_loop_time(gpu_time *out, const gpu_case *c, size_t R, const char *backend, int steps, err *e);
#endif
