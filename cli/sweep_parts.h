/* The sub-commands of `muscale sweep`, a file each, and what they share. Private to cli/cmd_sweep.c, cli/sweep_*.c. */
#ifndef CLI_SWEEP_PARTS_H
#define CLI_SWEEP_PARTS_H
#include "cli/sweep.h"
#include "sweeps/store.h"

status sweep_plan_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_run_cmd(cli *c, const sweep_settings *x, err *e);
status sweep_status_cmd(cli *c, const sweep_settings *x, err *e);
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

/* ---- sweep_collect.c ---- */
void sweep_warn_of(const cli *c, const campaign_counts *n); /* what collecting met */
#endif
