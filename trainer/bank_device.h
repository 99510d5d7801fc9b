/* A bank in a device's memory: every op acts on all replicas at once, and a step is one recorded sequence. Private to
 * trainer/bank_device*.c. */
#ifndef TRAINER_BANK_DEVICE_H
#define TRAINER_BANK_DEVICE_H
#include "trainer/bank_parts.h"

/* Elements of every buffer; the one place that knows. */
typedef struct device_sizes { size_t stride, acts, packed, consts, mults, rows, scratch, micro, tokens; } device_sizes;

/* What a step under way has for itself, so that the next one can be staged, sent ahead and queued behind it. Free again
 * when the host has passed `done`: then nothing queued reads or writes any of it. */
typedef struct device_slot {
    int32_t *up_tokens; /* of the host, as copies want them */
    k_step_in *up_in;
    k_step_out *down_out;
    int32_t *tokens;    /* [R][batch * (seq_len + 1)]; the first alone when shared */
    k_step_in *in;
    k_graph *step[2];   /* [shared] */
    k_mark *done;       /* down_out is there */
} device_slot;

typedef struct device_bank {
    device_sizes z;
    const k_ops *ops;
    const k_device_ops *dev;
    k_ctx *ctx;
    real *params, *grads, *mom, *var, *packed, *acts, *consts, *mults;
    double *row_loss, *seq_loss, *partial;
    k_span *spans;
    k_adam_fixed *fixed;
    k_step_out *out;
    device_slot slot[BANK_DEPTH];
    /* of the host, as copies want them */
    double *down_seq; /* [R][micro] */
    real *draft;      /* [stride] */
    k_adam_fixed *draft_fixed; /* [n_tensors] */
    size_t live;      /* the first so many replicas are computed: see shrink */
    bool warm, packed_stale;
} device_bank;

void device_say(bank *b);          /* fills b->device */
void device_forget(device_bank *); /* what is recorded no longer holds; nothing of it may be under way */
status device_start(bank *b, size_t slot, err *e);
status device_wait(bank *b, size_t slot, bank_step_out *out, err *e);
status device_eval(bank *b, double *seq_loss, const int32_t *tokens, size_t n_seq, const bool *active, err *e);
size_t device_look_most(const bank *b);
status device_look(bank *b, size_t r, const int32_t *tokens, size_t n_seq, model_scene *out, err *e);
#endif
