/* The shapes of the speed table, and a bank of one of them that is stepped against the clock. */
#ifndef BENCH_GPU_RUN_H
#define BENCH_GPU_RUN_H
#include "trainer/bank.h"

typedef struct gpu_case {
    const char *name; /* also in bench/peers/ */
    int64_t n_layer, d_model, head_dim, vocab, seq_len;
    size_t batch, R;
    double share;      /* required: of the matrix peak (R 1) or of the counted bound */
    double torch, jax; /* required: times the peer's model-tokens/s; 0: nothing */
} gpu_case;
extern const gpu_case gpu_cases[];
extern const size_t gpu_n_cases;
const gpu_case *gpu_case_find(const char *name); /* NULL: none; the names are in gpu_cases */
shape gpu_case_shape(const gpu_case *c);         /* GELU 4d, tied head, RoPE, no biases, gainless norms */

typedef struct gpu_run gpu_run; /* a bank on a backend, its batch, where it is */
status gpu_run_new(gpu_run **out, const gpu_case *c, size_t R, const char *backend, err *e);
void gpu_run_free(gpu_run *r);
status gpu_run_steps(gpu_run *r, int n, err *e); /* ST_DOMAIN when a loss is not finite */
const char *gpu_run_device(const gpu_run *r);

/* Median over `reps` stretches of so many steps as fill a tenth of a second each, after a warm-up; by the host's clock,
 * which sees everything that a training loop sees. */
typedef struct gpu_time {
    double median, min, max;
    int reps, steps;
} gpu_time; /* seconds of a step */
status gpu_run_time(gpu_time *out, gpu_run *r, int reps, err *e);

/* Bytes that the bank takes from the device's memory, and those it announces. The first bank of the process only loads
 * kernels and makes handles, which are the context's; the second is counted. */
typedef struct gpu_memory {
    double taken, needed;
} gpu_memory;
status gpu_run_memory(gpu_memory *out, const gpu_case *c, size_t R, const char *backend, err *e);
#endif
