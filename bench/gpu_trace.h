/* The kernels of a stretch of work and their own durations, as CUPTI's activity records give them: also for kernels of
 * a replayed graph, without the gaps between them. CUPTI is opened at run time; where it is missing, ST_DEVICE says so.
 * It slows the process, so timings are taken in another one. */
#ifndef BENCH_GPU_TRACE_H
#define BENCH_GPU_TRACE_H
#include <stddef.h>

#include "base/err.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct trace_row {
    char name[200];
    size_t n;
    double seconds;
} trace_row;
typedef struct trace {
    trace_row *row;
    size_t n;
    double kernels, copies;
} trace; /* rows by falling time; seconds */

status trace_begin(err *e);           /* before the first CUDA call of the process */
void trace_clear(void);               /* forget what ran so far; the device must be idle */
status trace_end(trace *out, err *e); /* the device must be idle. The rows live until trace_free */
void trace_free(trace *t);
#ifdef __cplusplus
}
#endif
#endif
