/* What a coordinate check reads off one replica. Private to sweeps/coord_*.c. */
#ifndef SWEEPS_COORD_MEASURE_H
#define SWEEPS_COORD_MEASURE_H
#include "sweeps/coord_check.h"
#include "trainer/model.h"

/* One size of an axis. rule: what the parametrisation says, which expectations come from; tensor, model: what the bank
 * was given. */
typedef struct coord_size {
    const trainer_config *c;
    const shape_tensor *shapes;
    size_t n;
    const mup_tensor *rule, *tensor;
    mup_model rule_model, model;
} coord_size;

/* One replica at t = 1 and after the last step. grad: RMS of g/theta at t = 1 over entries that are not 0, by
 * tensor; clip: what the step made of it. */
typedef struct coord_moment {
    const model_scene *first, *last;
    const float *w0, *w1;
    const double *grad;
    double clip;
} coord_moment;

/* Where values go: the same calls in the same order for every size and seed make the same rows. */
typedef struct coord_sheet { coord_axis *axis; size_t size, seed, seeds, row; status st; err *e; } coord_sheet;

void coord_measure(coord_sheet *to, const coord_size *z, const coord_moment *x);
double coord_rms(const float *x, size_t n);
#endif
