/* A campaign through Slurm: what is asked of it, which runs make a task, the scripts, and submitting them by sbatch.
 *
 *   CAMPAIGN/slurm/array.sh           one task: `muscale sweep work`, its checkpoint before the end, its requeue
 *   CAMPAIGN/slurm/collect.sh         after all tasks, whatever became of them
 *   CAMPAIGN/slurm/submission-N.json  muscale.slurm/1: the runs of every task, and the jobs once they are submitted
 *   CAMPAIGN/slurm/log/               what the jobs say
 *
 * Tasks are the unit of queueing, runs of owning: who has a run is its owner file, so tasks, tasks of an earlier
 * submission and local processes may overlap without training anything twice. */
#ifndef SWEEPS_SLURM_H
#define SWEEPS_SLURM_H
#include <jansson.h>
#include <stdio.h>
#include "sweeps/plan.h"

enum { SLURM_WORD = 128, SLURM_MAX_LINES = 32 };
#define SLURM_NOT_GIVEN INT64_MIN

/* The names are submitit's. */
typedef struct slurm_settings {
    int64_t timeout_min;       /* of a task; not given: the partition's */
    int64_t cpus_per_task, gpus_per_node;
    int64_t array_parallelism; /* tasks at a time */
    int64_t max_num_timeout;   /* times that a task is started again after its time limit or a signal's death */
    int64_t signal_delay_s;    /* the warning comes so long before the end */
    int64_t runs_per_task;     /* at most; not given: by cost */
    const char *partition, *account; /* borrowed; NULL: Slurm's choice */
    const char *lines[SLURM_MAX_LINES];
    size_t n_lines; /* further options of sbatch, "--mem=4G"; borrowed */
} slurm_settings;
slurm_settings slurm_settings_unset(void);

/* What the spec's map `slurm:` says fills what is still unset, and the lines before those that are there; then defaults;
 * on_device: one GPU. ST_INPUT with the place. `said`: of a command line; ST_USAGE names the option. */
status slurm_settings_fill(slurm_settings *x, const sweep_spec *s, bool on_device, err *e);
status slurm_settings_check(const slurm_settings *said, err *e);

/* ---- tasks (slurm_tasks.c) -------------------------------------------------------------------------------------- */

typedef struct slurm_tasks {
    size_t *runs;  /* of the plan, [n_runs] */
    size_t *first; /* [n + 1]: task k is runs[first[k]] .. runs[first[k + 1] - 1] */
    size_t n_runs, n;
} slurm_tasks;

/* Whole banks, in the plan's order: as many as cost no more than the longest bank, or hold at most runs_per_task runs; a bank of more is
 * cut evenly. `finished` runs are left out. Free in any case. */
status slurm_tasks_make(slurm_tasks *out, const sweep_plan *p, const bool *finished, int64_t runs_per_task, err *e);
void slurm_tasks_free(slurm_tasks *t);

/* ---- what is to be submitted (slurm_script.c) ------------------------------------------------------------------------- */

/* Arrays have indices 0 .. n_tasks - 1 and, as the script's argument, the number of their first task. */
typedef struct slurm_array {
    size_t first_task, n_tasks;
    char job[32]; /* "" before it is submitted */
} slurm_array;

typedef struct slurm_submission {
    const char *campaign;  /* absolute path */
    const char *directory; /* where jobs start: paths of the spec are relative to it */
    const char *muscale;   /* this program */
    const char *const *worker_args; /* further options of every worker, [n_worker_args] */
    size_t n_worker_args;
    const slurm_settings *x;
    const slurm_tasks *tasks;
    const sweep_plan *plan;
    int64_t number;
    slurm_array *arrays;
    size_t n_arrays;
    char collect[32];
} slurm_submission;

/* Cuts tasks into arrays of at most `largest` (of scontrol's MaxArraySize, at least 1). Free s->arrays. */
status slurm_split(slurm_submission *s, size_t largest, err *e);
/* "0-7%3": the array's option; where arrays run at most so many tasks they come one after another. */
const char *slurm_range(const slurm_submission *s, size_t array, char buf[64]);
/* The scripts; malloc'ed; NULL: no memory. */
char *slurm_array_script(const slurm_submission *s);
char *slurm_collect_script(const slurm_submission *s);
/* ST_INPUT: a path that a script's #SBATCH lines cannot name. */
status slurm_check_path(const char *path, err *e);

/* ---- submitting (slurm_submit.c) --------------------------------------------------------------------------------- */

/* MaxArraySize by scontrol; 1001, Slurm's own default, where scontrol is missing or silent. ST_SYSTEM: no arrays. */
status slurm_max_array_size(size_t *out, err *e);
/* Takes the next number, writes scripts and submission; nothing is queued. Earlier scripts stay as array.N.sh. */
status slurm_write(slurm_submission *s, err *e);
/* sbatch, array by array, then the collecting job. ST_SYSTEM with sbatch's words; what was queued is written down. */
status slurm_submit(slurm_submission *s, err *e);

/* ---- looking at one ------------------------------------------------------------------------------------------- */

/* The submission's record; ST_INPUT: there is none, or it is damaged. *out: decref. number 0: the newest; *out is NULL
 * and ST_OK when none was ever made. */
status slurm_read(json_t **out, const char *campaign, int64_t number, err *e);
int64_t slurm_newest(const char *campaign); /* its number; 0: nothing was ever submitted */
/* "jobs 17, 18, collect 19" of the newest submission; "" when there is none or it cannot be read. */
const char *slurm_jobs(const char *campaign, char buf[256]);
/* mine[i] of the plan's runs that are task `task`'s. *gone: runs of it that the plan does not have (any more). */
status slurm_task_runs(bool *mine, size_t *n_mine, size_t *gone, const char *campaign, int64_t number, int64_t task,
                       const sweep_plan *p, err *e);
#endif
