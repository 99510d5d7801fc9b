/* What a bank is made of. Private to trainer/bank*.c: bank.c makes and fills it, bank_step.c computes with it. */
#ifndef TRAINER_BANK_PARTS_H
#define TRAINER_BANK_PARTS_H
#include <stdatomic.h>

#include "kernels/kernels.h"
#include "base/pool.h"
#include "trainer/bank.h"
#include "trainer/model.h"

/* What one thread works with. Activations exist once per thread, not per shard. */
typedef struct worker {
    k_ctx *ctx;
    real *acts, *packed, *shard_grad;
    double *row_loss;
    size_t packed_of; /* replica whose weights `packed` holds; BANK_NOBODY: nobody's */
    status st;
    err e;
} worker;
#define BANK_NOBODY SIZE_MAX

typedef struct replica {
    bank_hparams h;
    mup_tensor *tensors;
    atomic_size_t shards_done; /* this step: shards already in the sum, in order */
} replica;

/* Elements of every buffer; the one place that knows. */
typedef struct sizes { size_t stride, acts, packed, consts, rows, scratch, micro; } sizes;

struct bank {
    bank_opts o;
    char device[96];
    model *m;
    const k_ops *ops;
    pool *pool;
    sizes z;
    size_t n_tensors;
    shape_tensor *tensors;
    real *params, *grads, *mom, *var; /* [R][stride] */
    real *consts, *mults;             /* mults [n_mults][R] */
    double *seq_loss;                 /* [R][batch] */
    size_t *live;                     /* [R] numbers of the active replicas */
    replica *reps;
    worker *workers;
};
#endif
