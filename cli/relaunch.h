/* This program once more, in the place of this process. */
#ifndef CLI_RELAUNCH_H
#define CLI_RELAUNCH_H
#include "cli/cli.h"

/* Runs the same command line anew with NAME=VALUE in the environment; same process number, terminal, parent. Returns
 * only when that cannot be done: ST_SYSTEM, or ST_INTERRUPTED when a signal came first. A signal that comes while the
 * new program starts is not lost: it waits for its cli_catch_signals. */
status cli_relaunch(const cli *c, const char *name, const char *value, err *e);
#endif
