/* What a bank is made of. Private to trainer/bank*.c: bank.c is the front, a bank_kind computes. */
#ifndef TRAINER_BANK_PARTS_H
#define TRAINER_BANK_PARTS_H
#include "kernels/device_ops.h"
#include "kernels/kernels.h"
#include "trainer/bank.h"
#include "trainer/model.h"

typedef struct replica {
    bank_hparams h;
    mup_tensor *tensors;
} replica;

/* What a step was asked to do: borrowed from bank_submit until its bank_collect. */
typedef struct bank_order {
    const int32_t *const *tokens;
    const double *lr_factor;
    const uint64_t *step;
    const bool *active;
} bank_order;

/* Where a bank's memory is and who computes: two rows, the host's threads and a device. */
typedef struct bank_kind {
    size_t (*bytes)(const bank_opts *, const model *, const k_ops *);
    status (*make)(bank *, err *); /* sets b->self; fills b->device; raises b->depth where steps overlap */
    void (*free)(void *self);
    real *(*draft)(bank *, size_t r);       /* host memory where r's initial weights may be drawn */
    status (*set)(bank *, size_t r, err *); /* takes the draft, zeroes the moments, follows reps[r] and mults */
    status (*read)(bank *, size_t r, float *params, float *m, float *v, err *);
    status (*write)(bank *, size_t r, const float *params, const float *m, const float *v, err *);
    status (*start)(bank *, size_t slot, err *); /* what order[slot] says */
    status (*wait)(bank *, size_t slot, bank_step_out *, err *);
    status (*eval)(bank *, double *seq_loss, const int32_t *tokens, size_t n_seq, const bool *active, err *);
    size_t (*look_most)(const bank *); /* sequences */
    status (*look)(bank *, size_t r, const int32_t *tokens, size_t n_seq, model_scene *out, err *);
} bank_kind;
extern const bank_kind bank_on_host, bank_on_device;

struct bank {
    bank_opts o;
    char device[384];
    model *m;
    const k_ops *ops;
    const bank_kind *kind;
    void *self; /* the kind's own */
    size_t stride, n_tensors;
    shape_tensor *tensors;
    real *mults; /* [n_mults][R], the host's */
    replica *reps;
    bank_order order[BANK_DEPTH];       /* of the steps under way: `oldest`, then the other.. */
    size_t depth, under_way, oldest;    /* ..and a bank at rest begins with 0: alone, steps use one slot */
};

static inline size_t bank_slices(const bank_opts *o) { return o->shards * (o->grad_accum ? o->grad_accum : 1); }

/* The factor of clipping: 1 when the norm is within the replica's limit, or it has none. */
double bank_clip(const replica *rep, double grad_norm);
#endif
