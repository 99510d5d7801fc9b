#include "sweeps/seat.h"

static status remember(seat *x, status st, const err *why, err *e)
{
    if (st) {
        x->failed = true;
        x->why = *why;
        if (e) *e = *why;
    }
    return st;
}

#define FORWARD(slot, params, ...)                                                                                     \
    static status seat_##slot params                                                                                   \
    {                                                                                                                  \
        seat *x = self;                                                                                                \
        err why = {0};                                                                                                 \
        return remember(x, x->inner.slot(x->inner.self, __VA_ARGS__), &why, e);                                        \
    }
FORWARD(start, (void *self, const train_start *a, err *e), a, &why)
FORWARD(end, (void *self, const train_end *a, err *e), a, &why)
FORWARD(updates, (void *self, const train_updates *a, err *e), a, &why)
#undef FORWARD

static status seat_row(void *self, const train_row *row, err *e)
{
    seat *x = self;
    err why = {0};
    const status st = remember(x, x->inner.row(x->inner.self, row, &why), &why, e);
    return st ? st : early_stop_board_row(x->board, x->run, row, e);
}

static status seat_val(void *self, const train_val *val, err *e)
{
    seat *x = self;
    err why = {0};
    const status st = remember(x, x->inner.val(x->inner.self, val, &why), &why, e);
    return st ? st : early_stop_board_val(x->board, x->run, val, e);
}

static status seat_judge(void *self, int64_t step, train_verdict *v, err *e)
{
    seat *x = self;
    (void)step;
    return early_stop_board_judge(x->board, x->run, v, e);
}

static status seat_ckpt(void *self, int64_t step, const char *file, err *e)
{
    seat *x = self;
    err why = {0};
    const status st = remember(x, x->inner.ckpt(x->inner.self, step, file, &why), &why, e);
    x->kept |= !st;
    return st;
}

/* Not `kept`: a run that is started again does not go on from there, so nobody got on. */
static status seat_left(void *self, int64_t step, const char *file, err *e)
{
    seat *x = self;
    err why = {0};
    return remember(x, x->inner.left(x->inner.self, step, file, &why), &why, e);
}

static status seat_sync(void *self, err *e)
{
    seat *x = self;
    err why = {0};
    return remember(x, x->inner.sync(x->inner.self, &why), &why, e);
}

train_observer seat_observer(seat *x)
{
    const train_observer *in = &x->inner;
    return (train_observer){.self = x,
                            .start = in->start ? seat_start : NULL,
                            .row = in->row ? seat_row : NULL,
                            .val = in->val ? seat_val : NULL,
                            .sync = in->sync ? seat_sync : NULL,
                            .ckpt = in->ckpt ? seat_ckpt : NULL,
                            .end = in->end ? seat_end : NULL,
                            .updates = in->updates ? seat_updates : NULL,
                             .left = in->left ? seat_left : NULL,
                             .judge = x->board ? seat_judge : NULL};
}
