/* A bank in the host's memory, computed by its threads. Private to trainer/bank_host*.c. */
#ifndef TRAINER_BANK_HOST_H
#define TRAINER_BANK_HOST_H
#include <stdatomic.h>

#include "base/pool.h"
#include "trainer/bank_parts.h"

/* What one thread works with. Activations exist once per thread, not per shard. */
typedef struct worker {
    k_ctx *ctx;
    real *acts, *packed, *shard_grad;
    double *row_loss;
    size_t packed_of; /* replica whose weights `packed` holds; HOST_NOBODY: nobody's */
    status st;
    err e;
} worker;
#define HOST_NOBODY SIZE_MAX

/* Elements of every buffer; the one place that knows. */
typedef struct host_sizes { size_t stride, acts, packed, consts, rows, scratch, micro; } host_sizes;

typedef struct host_bank {
    host_sizes z;
    const k_ops *ops;
    pool *pool;
    size_t slices;                    /* of the batch, in whose order the gradient is summed */
    int threads;
    real *params, *grads, *mom, *var; /* [R][stride] */
    real *consts;
    double *seq_loss;                 /* [R][batch] */
    size_t *live;                     /* [R] numbers of the active replicas */
    atomic_size_t *shards_done;       /* [R] this step: shards already in the sum, in order */
    worker *workers;
} host_bank;

status host_wait(bank *b, size_t slot, bank_step_out *out, err *e);
status host_look(bank *b, size_t r, const int32_t *tokens, size_t n_seq, model_scene *out, err *e);
status host_eval(bank *b, double *seq_loss, const int32_t *tokens, size_t n_seq, const bool *active, err *e);
#endif
