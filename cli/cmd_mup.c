/* muscale mup ACTION. */
#include <string.h>

#include "base/num.h"
#include "cli/mup.h"

static const struct { const char *name; int (*run)(cli *, int, char **); } actions[] = {
    {"table", mup_table_cmd},
    {"check", mup_check_cmd},
    {"transfer", mup_transfer_cmd},
    {"export", mup_export_cmd},
};
enum { N_ACTIONS = sizeof actions / sizeof *actions };

int cmd_mup(cli *c, int argc, char **argv)
{
    const char *names[N_ACTIONS];
    char list[256] = "";
    err e = {0};
    for (size_t i = 0; i < N_ACTIONS; i++) {
        if (argc > 1 && !strcmp(argv[1], actions[i].name)) return actions[i].run(c, argc - 1, argv + 1);
        names[i] = actions[i].name;
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    }
    if (c->show_help || (argc > 1 && !strcmp(argv[1], "--help"))) return 0;
    const char *near = argc > 1 ? num_nearest_word(argv[1], names, N_ACTIONS) : NULL;
    if (argc < 2) err_set(&e, ST_USAGE, "mup: an action is missing: %s", list);
    else if (near) err_set(&e, ST_USAGE, "mup: unknown action '%s'; did you mean '%s'?", argv[1], near);
    else err_set(&e, ST_USAGE, "mup: unknown action '%s'; there is: %s", argv[1], list);
    return cli_usage(c, "mup", &e);
}
