/* Activations at every step of a coordinate check, for the figure: RMS x_t and RMS of x_t - x_1, at a few places.
 * Nothing is judged by them. Private to sweeps/coord_*.c. */
#ifndef SWEEPS_COORD_TRACE_H
#define SWEEPS_COORD_TRACE_H
#include "sweeps/coord_measure.h"

status coord_trace_new(coord_axis *a, size_t seeds, int64_t steps, err *e);
void coord_trace_free(coord_axis *a);

/* After `step` steps (0: before any) of one replica; w0, w1: weights then and now. */
typedef struct coord_trace_at { size_t size, seed, seeds; int64_t step; } coord_trace_at;
void coord_trace_put(coord_axis *a, const coord_trace_at *at, const coord_size *z, const model_scene *first,
                     const model_scene *now, const float *w0, const float *w1);
#endif
