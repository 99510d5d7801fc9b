/* The two ceilings of this device, measured: the rate of large matrix products through cuBLASLt (bf16 with fp32 sums,
 * and fp32 without TF32) and the bandwidth of a large copy, bytes read plus bytes written. On random data: products of
 * zeros run faster. */
#ifndef BENCH_GPU_PEAK_H
#define BENCH_GPU_PEAK_H
#include <stddef.h>

#include "base/err.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct gpu_peak gpu_peak; /* buffers, and the fastest size and algorithm of each kind */
typedef struct gpu_rates {
    double bf16, fp32, copy;
} gpu_rates; /* FLOP/s, FLOP/s, bytes/s; medians */
typedef struct gpu_size {
    size_t m, n, k;
    double rate;
} gpu_size; /* rate: when it was chosen */

/* Takes about 2.1 GiB of device memory until freed, and about two seconds. ST_DEVICE: no device, with CUDA's message.
 */
status gpu_peak_new(gpu_peak **out, err *e);
void gpu_peak_free(gpu_peak *p);
status gpu_peak_measure(gpu_peak *p, gpu_rates *out, err *e);        /* once more, about 0.1 s */
size_t gpu_peak_sizes(const gpu_peak *p, gpu_size *out, size_t max); /* those tried in bf16, the best rate of each */

/* Name, compute capability, memory, driver and runtime, in one line. */
status gpu_describe(char *out, size_t n, err *e);
#ifdef __cplusplus
}
#endif
#endif
