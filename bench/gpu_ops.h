/* A training step taken apart: the trainer's own model runs through an ops table that counts every call, and on a
 * device times it, on the step's own buffers. So the calls, sizes, strides and fused slots are the trainer's, whatever
 * they become. Operands of small banks stay in the device's cache between repetitions. */
#ifndef BENCH_GPU_OPS_H
#define BENCH_GPU_OPS_H
#include <stddef.h>

#include "trainer/shape.h"

typedef struct op_row { /* calls of one slot with one set of sizes */
    const char *slot;
    char sizes[64];
    size_t calls;        /* in a step */
    double flops, bytes; /* of one call: useful products; each operand read once, each result written once */
    double seconds;      /* of one call, median; 0: not timed */
} op_row;

enum { OPS_MAX_ROWS = 96 };
typedef struct op_rows {
    op_row row[OPS_MAX_ROWS];
    size_t n;
    double flops, bytes, seconds;
} op_rows; /* sums: of a step */

/* One step of R replicas on `backend`. Counted: no op is called and no memory touched, so any size is quick and a
 * device is not needed. Timed: only where ops->device is. */
typedef enum ops_mode { OPS_COUNTED, OPS_CALLED, OPS_TIMED } ops_mode;
status ops_watch(op_rows *out, const shape *s, size_t R, size_t batch, const char *backend, ops_mode mode, err *e);
#endif
