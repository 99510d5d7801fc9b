/* CONFIG.yaml [key=value ...] on a command line. */
#ifndef CLI_CONFIG_ARGS_H
#define CLI_CONFIG_ARGS_H
#include "cli/cli.h"
#include "trainer/config.h"

/* words[0] is the config file, the rest are overrides. read: as written; load: resolved. Messages name the file or
 * "command line". */
status cli_read_config(trainer_config *out, const cli_list *words, const char *command, err *e);
status cli_load_config(trainer_config *out, const cli_list *words, const char *command, err *e);
#endif
