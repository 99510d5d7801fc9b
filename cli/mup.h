/* The actions of `muscale mup`, one file each. */
#ifndef CLI_MUP_H
#define CLI_MUP_H
#include "cli/cli.h"

int mup_table_cmd(cli *c, int argc, char **argv);
int mup_check_cmd(cli *c, int argc, char **argv);
int mup_transfer_cmd(cli *c, int argc, char **argv);
int mup_export_cmd(cli *c, int argc, char **argv);
#endif
