/* What `muscale sweep` shares with commands that train a sweep before they look at it (mup transfer). */
#ifndef CLI_SWEEP_H
#define CLI_SWEEP_H
#include "cli/cli.h"
#include "sweeps/launch_local.h"
#include "sweeps/plan.h"
#include "sweeps/slurm.h"

#define SWEEP_NOT_GIVEN INT64_MIN /* fail_fast, max_bank */

typedef struct sweep_settings {
    const char *out, *device, *csv, *jsonl;
    int64_t workers, max_bank, streams, fail_fast;
    double flops_rate, memory_gib, every_s; /* every_s: NaN when not given */
    bool no_calibrate, no_trunks, amend, failed, missing, diverged, dry_run;
    const char *early_stop; /* instead of the spec's rule; NULL: as it says */
    const bool *only;       /* launch_local.h; not an option */
    bool slurm; /* submit */
    slurm_settings job;
    cli_list job_lines;
    int64_t submission, task; /* work */
    bool help_others;
    bool no_collect; /* set by work: another job does */
    cli_list rest;
} sweep_settings;
sweep_settings sweep_settings_default(void);

/* Reads the spec with n overrides (key=v1,v2) and plans it; notes and runs that cannot be built are said. Free both in
 * any case. */
status sweep_plan_of(cli *c, const sweep_settings *x, const char *path, const char *const *overrides, size_t n,
                     sweep_spec *s, sweep_plan *p, err *e);

/* Trains what is not finished into x->out, with progress on stderr, and collects. result->total is 0 when the sweep did
 * not get to its end. ST_PARTIAL: it did, but some runs failed. */
status sweep_train(sweep_progress *result, cli *c, const sweep_settings *x, const sweep_spec *s, const sweep_plan *p,
                   err *e);
#endif
