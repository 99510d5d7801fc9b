#include "cli/cli.h"

int cmd_report(cli *c, int argc, char **argv)
{
    (void)argc;
    err e = {0};
    err_set(&e, ST_USAGE, "%s: under construction", argv[0]);
    return cli_fail(c, &e);
}
