/* Private to trainer/: the state of a running bank, and what happens to one replica of it. */
#ifndef TRAINER_TRAIN_REPLICA_H
#define TRAINER_TRAIN_REPLICA_H
#include "trainer/checkpoint.h"
#include "trainer/train.h"

enum { CKPT_SECONDS = 60 }; /* ckpt_every 0 */

typedef struct replica {
    ckpt_state state;         /* what a checkpoint holds */
    int64_t from_step, n_steps;
    int64_t ckpt_step;        /* of the newest checkpoint, 0: none */
    double flops_per_token;
    double val, val_se;       /* of the last validation */
    int64_t val_step;         /* whose step that was */
    train_verdict verdict;    /* that ended it */
    int64_t diverged_at;      /* -1 */
    int32_t *own_tokens[BANK_DEPTH]; /* a batch each, where no earlier replica has the same: see asked */
} replica;

typedef struct updates updates; /* trainer/train_updates.c */

/* What was asked of the bank for a step: its own until its outcome is collected. [n] each. */
typedef struct asked {
    const int32_t **tokens;
    double *lr;
    uint64_t *step;
    bool *active;
    double at; /* when */
} asked;

typedef struct loop {
    train_job *jobs;
    size_t n;
    const train_opts *opts;
    bank *bank;
    data_set *data;
    int32_t *val;             /* (n_val, T+1) */
    size_t n_val, batch, bytes_needed;
    replica *reps;            /* the rest: [n] */
    bool *active, *due;
    asked asked[BANK_DEPTH];  /* used in turn */
    size_t turn;              /* whose the next step is */
    size_t under_way;         /* steps submitted and not collected: those of the turns before */
    bool filled;              /* asked[turn].tokens are read already */
    bank_step_out *out;
    double *seq_loss;         /* [n][n_val] */
    updates *updates;         /* NULL: nobody logs them */
    bool stop;
    double started, step_ms, last_step, last_ckpt, last_progress;
} loop;

/* Initial weights or the newest checkpoint; tells the observer; makes the replica active. */
status replica_start(loop *l, size_t r, err *e);
/* The step's outcome, of what was asked: smoothed loss, divergence, row. */
status replica_after_step(loop *l, size_t r, const asked *q, err *e);
status replica_after_val(loop *l, size_t r, err *e);
status replica_leave(loop *l, size_t r, err *e); /* the state for branches, when one is due */
status replica_checkpoint(loop *l, size_t r, err *e);
/* Asks the observer whether it is to end here, and ends it. */
status replica_judge(loop *l, size_t r, err *e);
/* Fills the job's result, tells the observer, masks the replica. */
status replica_end(loop *l, size_t r, run_status why, err *e);

bool replica_is_done(const loop *l, size_t r);
bool replica_val_due(const loop *l, size_t r);
bool replica_ckpt_due(const loop *l, size_t r, bool by_time);
/* Whether the bank has to rest after this step to come of r: it is r's last, or a validation or checkpoint is due. */
bool replica_rests(const loop *l, size_t r, int64_t step, bool by_time);
#endif
