/* One replica of the bank at work: the store's observer with a memory of who failed. Private to the launcher. */
#ifndef SWEEPS_SEAT_H
#define SWEEPS_SEAT_H
#include <stdbool.h>
#include <stddef.h>
#include "sweeps/early_stop_board.h"
#include "sweeps/store.h"
#include "trainer/train.h"

typedef struct seat {
    size_t run; /* of the plan */
    store_run *store;
    train_observer inner;
    early_stop_board *board; /* NULL: nobody is stopped early */
    err why; /* valid when failed */
    bool failed, kept; /* kept: a checkpoint was written since it sat down */
} seat;

/* Forwards every slot to x->inner; an error it returns is kept in x->why. Valid as long as *x. */
train_observer seat_observer(seat *x);
#endif
