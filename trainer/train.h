/* The training loop of a bank: schedules, validation, divergence, checkpoints, resume. Reports through an observer;
 * knows no HDF5, no campaign, no terminal. */
#ifndef TRAINER_TRAIN_H
#define TRAINER_TRAIN_H
#include <signal.h>
#include <stdatomic.h>
#include "trainer/bank.h"
#include "trainer/config.h"
#include "trainer/data.h"

typedef struct train_start {  /* r = replica number in jobs[] */
    const trainer_config *config;
    const char *id;
    const data_info *data;
    shape_counts counts;
    double flops_per_token;
    const char *device;       /* bank_device_name */
    size_t bytes_needed;      /* of the whole bank */
    int64_t from_step;        /* > 0: resumed from this checkpoint */
    size_t bank_size;
} train_start;

typedef struct train_row { int64_t step, tokens; double loss, lr, grad_norm, step_ms, wall_s; } train_row;
/* Of one tensor over one step, w its weights before it and dw their change, decay included: |dw|/|w| (Frobenius); their
 * cosine <dw,w>/(|dw||w|); RMS of sqrt(v hat) over Adam's eps; share of elements whose eps is above 1 % of their own
 * sqrt(v hat). Both over the elements that have had a gradient. NaN: none has, or w or dw is 0. */
typedef struct train_update { double ratio, alignment, v_over_eps, eps_felt; } train_update;
typedef struct train_updates {
    int64_t step, tokens;
    size_t n;
    const shape_tensor *tensors; /* [n], borrowed, like the rest */
    const train_update *of;      /* [n] */
} train_updates;

typedef struct train_val { int64_t step, tokens; double loss, loss_se; int64_t n_seq; } train_val;

typedef enum run_status { RUN_DONE, RUN_FAILED, RUN_DIVERGED, RUN_STOPPED, RUN_PARTIAL, RUN_EARLY_STOPPED } run_status;
const char *run_status_name(run_status s); /* done|failed|diverged|stopped|partial|early-stopped */

/* What a rule from outside found, which compares runs and may end one (sweeps/early_stop.h). */
typedef struct train_verdict {
    bool stop;
    const char *rule, *metric; /* static text */
    int64_t at;                /* step that it compared at */
    double value, threshold;   /* of the metric */
    int64_t n;                 /* runs compared, this one included */
} train_verdict;

typedef struct train_end {
    run_status status;
    int64_t step, tokens, diverged_at;  /* -1: not diverged */
    double final_val_loss, final_val_loss_se, best_val_loss, final_train_loss_ema, flops, wall_s;
    train_verdict verdict;              /* early-stopped: why */
    double stop_val_loss;               /* early-stopped: the validation at its last step; NaN: there was none */
} train_end;

/* Every slot may be NULL. An error returned by a slot stops the bank. `self` belongs to the caller; one observer per job. */
typedef struct train_observer {
    void *self;
    status (*start)(void *self, const train_start *, err *);
    status (*row)(void *self, const train_row *, err *);
    status (*val)(void *self, const train_val *, err *);
    status (*sync)(void *self, err *);  /* just before a checkpoint appears: rows given so far must be durable by then */
    status (*ckpt)(void *self, int64_t step, const char *file, err *);  /* after the checkpoint is durable */
    status (*end)(void *self, const train_end *, err *);
    status (*updates)(void *self, const train_updates *, err *);  /* after the row of its step, if that is logged */
    status (*left)(void *self, int64_t step, const char *file, err *e);  /* of train_job.leave, once it is durable */
    /* Should this run end here? Asked after each step but the last, when all runs of the bank have given their rows of
     * it, and once more where it was validated, when all have given their validations. *v starts zeroed. */
    status (*judge)(void *self, int64_t step, train_verdict *v, err *);
} train_observer;

typedef struct train_job {
    trainer_config config;      /* resolved */
    char ckpt_dir[IO_PATH_MAX]; /* "" = no checkpoints. Two newest are kept */
    const int64_t *leave;       /* [n_leave] steps whose state is kept as ckpt_dir/branch.<step>, for runs that go on from */
    size_t n_leave;             /* there (train_branch_of): in any order; borrowed. None without a ckpt_dir */
    double wall_before;         /* seconds spent in earlier segments (the journal knows); wall_s starts from here */
    train_observer observer;
    train_end result;           /* out */
    char note[256];             /* out: "checkpoint X damaged, resumed from Y", "" if nothing */
} train_job;

typedef struct train_opts {
    int threads;                        /* 0 = jobs[0].config.threads */
    bool resume;                        /* false: a ckpt_dir that already holds checkpoints is refused. true: pick up the newest valid checkpoint of each job */
    const volatile sig_atomic_t *stop;  /* set by a signal handler: checkpoint when what is under way has ended, status stopped */
    const atomic_bool *halt;            /* the same, set by another thread; either may be NULL */
    /* called about once a second with FLOPs done since the start; may be NULL */
    void (*progress)(void *self, double flops_done, double flops_total);
    void *progress_self;
} train_opts;

/* All jobs agree in what train_same_bank looks at (else ST_INPUT). Token budgets, schedules, seeds and the steps they
 * resume from may differ: a replica that is done is masked. Outcomes (diverged, stopped, early-stopped) are in result, not in the status;
 * on an error status the jobs without an end record have result.status RUN_FAILED and keep their checkpoints.
 * Order for one job: start, rows, val (after the row of its step), sync, checkpoint file, ckpt, ..., end. A final
 * validation and a final checkpoint always come before `end` of a run that is done; a diverged or early-stopped run ends
 * at once. */
status train_bank(train_job *jobs, size_t n, const train_opts *o, err *e);

int train_threads(const trainer_config *c, int wanted); /* wanted, else the config's, else one per processor */
bank_opts train_bank_opts(const trainer_config *c, size_t n, int threads); /* of the bank that trains n such runs */
size_t train_bytes_needed(const trainer_config *c, size_t n, int threads); /* of a bank of n such runs, by its shapes */

/* Step of the newest valid checkpoint in dir, 0 when none; *note says what was damaged. ST_CORRUPT: files, none valid.
 * ST_INPUT: the checkpoint is of another config (the difference is in the message). */
status train_resume_step(int64_t *step, const char *ckpt_dir, const trainer_config *c, char note[256], err *e);

/* Branches (trainer/train_branch.c). Last step that a run has in common with any run that differs from it in nothing but
 * tokens and decay, and whose own decay begins no earlier: the first decaying step, which is still at the peak. 0: the
 * schedule is not wsd, or the parametrisation's factors depend on tokens (*why says which). */
int64_t train_shared_steps(const trainer_config *c, const char **why);
/* Makes ckpt_dir/ckpt.<step> of c from the state that the run `of` left in from_dir. ST_CORRUPT: that is damaged. */
status train_branch_of(const char *ckpt_dir, const trainer_config *c, const char *from_dir, const trainer_config *of,
                       int64_t step, char file[IO_PATH_MAX], err *e);
bool train_has_left(const char *dir, int64_t step);
void train_forget(const char *dir, int64_t step); /* deletes it; failing to is no failure */
int64_t train_newest(const char *ckpt_dir);       /* step of the newest checkpoint, by its name; 0: none */

bool train_same_bank(const trainer_config *a, const trainer_config *b); /* may share a bank */
#endif
