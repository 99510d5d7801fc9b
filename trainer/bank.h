/* A bank: R models of one shape trained in lock-step. One model is a bank with R = 1.
 *
 * Promise: a replica's numbers (losses, norms, weights) never depend on R, on its neighbours, on its place in the
 * bank or on the number of threads. They depend on its own config, the backend, the build and the CPU level.
 * The gradient of a step is accumulated over `shards` slices of the batch in a fixed order.
 *
 * Owned: everything the bank allocates, until bank_free. All buffers are allocated in bank_new. */
#ifndef TRAINER_BANK_H
#define TRAINER_BANK_H
#include "trainer/shape.h"

typedef struct bank bank;

typedef struct bank_opts {
    shape shape;
    size_t n_replicas;      /* R */
    size_t batch;           /* sequences per optimiser step */
    size_t shards;          /* fixed split of the batch: part of the run's config and hash; divides batch */
    size_t grad_accum;      /* each shard again in so many slices, one after the other; 0 = 1. On a device the batch is
                               cut into these only: shards are for threads */
    int threads;            /* workers of the host; 1.. */
    const char *backend;    /* "cpu", "cuda", "cuda-fp32" */
} bank_opts;

typedef enum decay_mode { DECAY_INDEPENDENT, DECAY_COUPLED } decay_mode;

/* What differs between replicas. `tensors` has one entry per shape tensor (copied). */
typedef struct bank_hparams {
    const mup_tensor *tensors;
    mup_model model;
    double beta1, beta2, clip_norm; /* clip_norm 0: no clipping */
    decay_mode decay;
    uint64_t seed;                  /* of the initial weights */
} bank_hparams;

/* ST_INPUT: a shape that this backend cannot compute, whatever the memory. Needs no device. */
status bank_check_backend(const char *backend, const shape *s, err *e);

/* ST_NOMEM: how much is missing, and on a device how many replicas would fit. ST_DEVICE: unknown backend, no device. */
status bank_new(bank **out, const bank_opts *o, err *e);
void bank_free(bank *b);

/* Bytes that the shapes require (parameters, gradients, moments, saved activations, work) for these options, where the
 * backend computes. 0: the options or the backend are not possible. Needs no device. */
size_t bank_bytes_needed(const bank_opts *o);

status bank_set_replica(bank *b, size_t r, const bank_hparams *h, err *e); /* sets hparams and draws initial weights */

/* Host views of one replica, `stride` floats each: for checkpoints and tests. On a device backend these copy. */
size_t bank_stride(const bank *b);
status bank_read(bank *b, size_t r, float *params, float *m, float *v, err *e);   /* each may be NULL */
status bank_write(bank *b, size_t r, const float *params, const float *m, const float *v, err *e);

/* One optimiser step of all replicas with active[r].
 *   tokens  [R] pointers to (batch, seq_len + 1) ids, all < vocab; equal pointers are fine
 *   lr      [R] schedule value s_t * eta relative to hparams: absolute lr of tensor = lr_factor[r] * tensors[i].lr
 *   step    [R] Adam's step number, from 1
 *   out     [R] mean loss of the batch before the step (nats/token), global gradient norm before clipping, of g/theta
 *           (mup_tensor); the gradient of a readout in Table 3's form so weighs as much as in Table 8's;
 *           loss or norm not finite: that replica's weights are left as they were, `finite` is false */
typedef struct bank_step_out { double loss, grad_norm; bool finite; } bank_step_out;
status bank_step(bank *b, bank_step_out *out, const int32_t *const *tokens, const double *lr_factor,
                 const uint64_t *step, const bool *active, err *e);

/* The same in two halves: a device computes between them, step after step in the order they were submitted. Up to
 * bank_depth() steps may be under way: 1 on the host, whose threads compute in collect, and where MUSCALE_CUDA_SYNC
 * asks for one thing at a time; else BANK_DEPTH. The arguments of submit are borrowed until its collect, which gives the
 * outcome of the oldest. ST_DOMAIN: one too many is submitted, none is there to collect, or a step is under way where
 * the bank must be at rest: in all other functions but bank_free, which drops what is under way. After an error of
 * submit there is nothing to collect for it. A step's outcome is known when the next one may be under way: who ends a
 * run because of it has one step more in its weights, and must not read them. */
enum { BANK_DEPTH = 2 };
size_t bank_depth(const bank *b);
status bank_submit(bank *b, const int32_t *const *tokens, const double *lr_factor, const uint64_t *step,
                   const bool *active, err *e);
status bank_collect(bank *b, bank_step_out *out, err *e);

/* Forward only. seq_loss [R][n_seq]: summed loss of each sequence / seq_len (nats/token). tokens (n_seq, T+1),
 * shared by all replicas; any n_seq. Inactive replicas' rows are left alone. */
status bank_eval(bank *b, double *seq_loss, const int32_t *tokens, size_t n_seq, const bool *active, err *e);

/* What replica r's forward pass makes of `n_seq` sequences, (n_seq, T+1) ids of which the inputs are read: *out is made
 * when NULL, else filled again; model_scene_free frees it. Weights stay as they are. ST_INPUT: more than
 * bank_look_most() sequences. ST_DOMAIN: *out has other rows. */
struct model_scene;
size_t bank_look_most(const bank *b);
status bank_look(bank *b, size_t r, const int32_t *tokens, size_t n_seq, struct model_scene **out, err *e);

/* Name of the CPU level ("x86-64-v3", ...) or device, and of the BLAS core: for /env. After a step a device's also says
 * what slows its products down, if anything does. */
const char *bank_device_name(const bank *b);
#endif
