/* muscale mup transfer: what is shared by the command and what it prints. */
#ifndef CLI_MUP_TRANSFER_H
#define CLI_MUP_TRANSFER_H
#include "cli/cli.h"
#include "fit/transfer.h"
#include "sweeps/lines.h"

typedef struct transfer_report {
    const char *spec, *campaign;
    const sweep_plan *plan;    /* borrowed */
    sweep_lines found;
    transfer_line *lines;      /* [found.n] of the same numbers */
    transfer_result *results;  /* [found.n] */
    transfer_contest *contest; /* [found.n_panels] */
    transfer_opts opts;
    size_t n_runs, n_unfinished, n_diverged;
} transfer_report;

void transfer_print(const transfer_report *r);
json_t *transfer_report_json(const transfer_report *r, const cli *c);
#endif
