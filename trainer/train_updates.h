/* What an optimiser step does to each tensor, measured at the steps that log_updates_every names. Private to trainer/,
 * but for its arithmetic. Reads the bank before and after such a step and changes nothing in it: losses and weights are
 * the same with and without. A device's weights are downloaded for it. */
#ifndef TRAINER_TRAIN_UPDATES_H
#define TRAINER_TRAIN_UPDATES_H
#include "trainer/train_replica.h"

/* before, after [n]: the weights around the step; v [n]: Adam's second moment after it, v / correct = v hat. */
void update_measure(train_update *out, const float *before, const float *after, const float *v, size_t n,
                    double correct, double eps);

/* *out stays NULL when no job logs updates. */
status updates_new(updates **out, const loop *l, err *e);
void updates_free(updates *u);

/* Whether the last step submitted, or the one after it, is measured: no other may be under way beside it. */
bool updates_need_rest(const loop *l);
/* Before a step of a bank at rest: copies the weights of the replicas that are due. */
status updates_before(loop *l, err *e);
/* After it: measures replica r and tells its observer, when it was due. */
status updates_after(loop *l, size_t r, err *e);
#endif
