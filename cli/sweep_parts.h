/* The sub-commands of `muscale sweep`, a file each, and what they share. Private to cli/cmd_sweep.c, cli/sweep_*.c. */
#ifndef CLI_SWEEP_PARTS_H
#define CLI_SWEEP_PARTS_H
#include "cli/sweep.h"
#include "sweeps/store.h"

status sweep_plan_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_run_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_status_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_collect_cmd(cli *c, const sweep_settings *x, err *e);

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

/* ---- sweep_collect.c ---- */
void sweep_warn_of(const cli *c, const campaign_counts *n); /* what collecting met */
#endif
