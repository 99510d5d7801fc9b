/* The run store: who writes a run directory, what is in it, and the observer that fills it while a bank trains.
 *
 *   RUNDIR/config.yaml    resolved config, loadable
 *   RUNDIR/owner          while a process is at work here
 *   RUNDIR/journal.jsonl  append-only, CRC per line: the truth
 *   RUNDIR/ckpt.<step>    the trainer's
 *   RUNDIR/run.h5         published from the journal after the end
 *
 * A training process never opens HDF5 before the run has ended. Reading runs needs none of this: base/run.h. */
#ifndef SWEEPS_STORE_H
#define SWEEPS_STORE_H
#include "base/run.h"
#include "base/table.h"
#include "trainer/train.h"

/* --- one run ------------------------------------------------------------------------------------------------- */

typedef enum store_state {
    STORE_ABSENT,   /* no directory, or nothing valid in its journal */
    STORE_PARTIAL,  /* started, no end: killed, or still at work (then `owner` says who) */
    STORE_STOPPED,  /* by a signal, checkpoint written */
    STORE_FAILED,   /* an error at run time; may be resumed */
    STORE_DONE,
    STORE_DIVERGED, /* final like DONE: a result */
    STORE_EARLY_STOPPED, /* final: by a rule (sweeps/early_stop.h) */
    STORE_N_STATES
} store_state;
const char *store_state_name(store_state s);       /* absent|partial|stopped|failed|done|diverged|early-stopped */
bool store_is_final(store_state s);                /* DONE, DIVERGED or EARLY_STOPPED */

typedef struct store_look {
    store_state state;
    char id[17];               /* config id in the record; "" when absent */
    int64_t step, tokens;      /* reached */
    double loss;               /* final validation loss; NaN when there is none */
    double flops, wall_s;
    double shared_flops;       /* of these, the trunk's (a branch); else 0 */
    char owner[160];           /* "pid 123 on host" of a live (or unjudgeable) owner, else "" */
    char note[256];            /* "journal: torn tail of 17 bytes at byte 4711", "" if nothing */
} store_look;

/* Looks, changes nothing. A missing directory is STORE_ABSENT. ST_INPUT: a foreign or damaged file without journal. */
status store_peek(store_look *out, const char *dir, err *e);

/* The same from the last lines of the journal, with what a person asks next; opens no HDF5 unless these lines leave
 * something open. `id` and `note` stay empty, `flops` is NaN before an end; damage before those lines is not seen. */
typedef struct store_glance {
    store_look look;
    double train_loss;   /* of the last row; NaN when there is none */
    int64_t diverged_at; /* step; -1: it did not */
    char why[512];       /* of a failure */
} store_glance;
status store_glance_at(store_glance *out, const char *dir, err *e);

typedef struct store_opts {
    const char *dir;               /* made when absent */
    const trainer_config *config;  /* resolved; copied */
    bool resume;                   /* an unfinished run may be continued */
    const char *campaign_id;       /* "" or NULL: none */
    const char *prediction;        /* path of prediction.json, or NULL */
    char *const *argv; int argc;   /* for provenance; copied */
    int threads;
} store_opts;

typedef struct store_run store_run;

/* Takes ownership of the directory and opens the journal (a torn tail is cut: see store_run_note).
 *   ST_BUSY   another live process owns it; the message names host and pid
 *   ST_INPUT  it holds another config (the difference is shown), or an unfinished run and !resume (the remedy is shown),
 *             or the prediction is not the one recorded or not for this config
 * A final run of the same config is ST_OK with store_run_look()->state final: do not train, just close. */
status store_run_open(store_run **out, const store_opts *o, err *e);
const store_look *store_run_look(const store_run *run); /* as found at open */
const char *store_run_note(const store_run *run);       /* what was recovered, "" if nothing: for a warning */
const train_row *store_run_last_row(const store_run *run); /* of this process; step 0 before the first */

/* For train_job.observer (train_job.wall_before = store_run_look(run)->wall_s); valid until store_run_close. Its `start` slot writes the start record, or the resume record when
 * the journal already has a start. */
train_observer store_run_observer(store_run *run);

/* --- a run that goes on from its trunk (sweeps/store_branch.c) --- */

typedef struct store_trunk {
    const char *dir, *id;         /* of the trunk's run */
    const trainer_config *config;
    int64_t step;                 /* last step that the two have in common */
} store_trunk;

/* Whether the trunk left the state of that step, and its journal holds what was before it. Opens nothing for writing. */
bool store_trunk_left(const char *dir, int64_t step);

/* What the trunk has until that step becomes the run's own: a start record, a record `branch`, every row of the trunk up to
 * there, then its checkpoint. Killed anywhere, it is done again. *ended: the trunk diverged before that step, so this run
 * has: its end is recorded, nothing is left to train. ST_CORRUPT: the trunk has not got it (any more); train alone. */
status store_run_branch(store_run *run, const store_trunk *t, bool *ended, err *e);

/* Ends it: when `why` is not NULL and the run has no end record, records status failed with why->msg; publishes run.h5 if
 * the journal has an end; gives the directory back; frees. Accepts NULL. On error the journal is still whole. */
status store_run_close(store_run *run, const err *why, err *e);

/* --- a campaign ---------------------------------------------------------------------------------------------- */

typedef struct campaign_counts {
    size_t n_runs;
    size_t by_state[STORE_N_STATES];
    size_t n_published;        /* run.h5 made now, from journals that had ended without one */
    size_t n_damaged;          /* directories that could not be read; `note` names the first */
    char note[512];
    size_t n_eps;              /* runs with an eps that is felt (sweeps/eps_share.h); eps_note of the worst */
    double eps_worst;
    char eps_note[512];
} campaign_counts;

/* CAMPAIGN/campaign.h5, a cache of one row per run: publishes what is missing, then rebuilds it (temporary, rename).
 * Deletable at any time; the readers of base/table.h do without it. */
status campaign_collect(campaign_counts *out, const char *campaign, err *e);
/* The same; the rows it wrote, in the order of the ids, in t (zeroed; table_free it in any case). */

status campaign_collect_table(campaign_counts *out, table *t, const char *campaign, err *e);

/* --- a prediction, written before the run -------------------------------------------------------------------- */

/* sha256 of the file, after checking that it is muscale.predict/1 and made for `config_id`. */
status store_prediction(char sha256[IO_SHA256_HEX], const char *path, const char *config_id, err *e);
#endif
