/* The command table: one row per command. Help text lives here, examples first. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H
#include <stddef.h>
#include "cli/cli.h"

typedef struct cli_command {
    const char *name;
    int (*run)(cli *, int, char **);
    const char *summary;
    const char *examples; /* shown first by `muscale help NAME` */
    const char *usage;
} cli_command;

extern const cli_command cli_commands[];
extern const size_t cli_n_commands;
#endif
