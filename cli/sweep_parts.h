/* The sub-commands of `muscale sweep`, a file each, and what they share. Private to cli/cmd_sweep.c, cli/sweep_*.c. */
#ifndef CLI_SWEEP_PARTS_H
#define CLI_SWEEP_PARTS_H
#include "cli/sweep.h"
#include "sweeps/status.h"
#include "sweeps/store.h"

#define SWEEP_GOES_ON "MUSCALE_SWEEP_GOES_ON" /* launch_local.h's `resumed`, of the process that this one goes on for */

status sweep_plan_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_run_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_status_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_watch_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_retry_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_collect_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_submit_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_work_cmd(cli *c, const sweep_settings *x, err *e);

/* ---- sweep_run.c ---- */
void sweep_print_result(const cli *c, const char *campaign, const sweep_progress *r);

/* ---- cmd_sweep.c ---- */
const char *sweep_duration(double seconds, char buf[32]);
/* The only word after the sub-command's; ST_USAGE says that `what` is missing, or what is too much. */
status sweep_one_argument(const sweep_settings *x, const char *what, const char **out, err *e);
/* The words SPEC.yaml key=v1,v2 ... after the sub-command's, read and planned. Free both in any case. */
status sweep_plan_words(cli *c, const sweep_settings *x, sweep_spec *s, sweep_plan *p, err *e);

/* ---- sweep_early_stop.c ---- */
void sweep_note_early_stop(const cli *c, const sweep_spec *s, const sweep_plan *p); /* what a rule cannot do here */
void sweep_print_early_stop(const sweep_spec *s, const sweep_plan *p);

/* ---- sweep_schedule.c ---- */
status sweep_print_schedules(const cli *c, const sweep_plan *p, err *e);

/* ---- sweep_run.c ---- */
status sweep_check_fail_fast(const sweep_settings *x, err *e);

/* ---- sweep_status.c ---- */
void sweep_counts_text(char *out, size_t size, const sweep_status *s); /* "3 done, 1 failed" */
/* What may be asked for next, "" when nothing is. */
const char *sweep_retry_hint(char out[256], const sweep_status *s, const char *campaign);

/* ---- sweep_collect.c ---- */
void sweep_warn_of(const cli *c, const campaign_counts *n); /* what collecting met */
#endif
