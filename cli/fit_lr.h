/* muscale fit --method lr-optimum: which of the two arithmetics, and the table of optima. */
#ifndef CLI_FIT_LR_H
#define CLI_FIT_LR_H
#include "cli/cli.h"
#include "fit/fit.h"

typedef struct fit_lr_args { const char *surface, *near_best, *optima; } fit_lr_args; /* NULL: not given */

status fit_lr_run(fit_result *r, table *t, const fit_lr_args *a, const fit_input_opts *in, const fit_opts *o, cli *c, err *e);
#endif
