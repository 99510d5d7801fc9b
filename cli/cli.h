/* What every command shares: the context, declarative options, output. A command is a row in cli/commands.c and one
 * file cmd_x.c with `int cmd_x(cli *c, int argc, char **argv)`; argv[0] is the command's name.
 *
 * To add a command: write cmd_x.c, declare it below, add a row to cli_commands in commands.c, list it in cli/module.am,
 * describe it in doc/muscale.1, test it in tests/cli/. */
#ifndef CLI_CLI_H
#define CLI_CLI_H
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/err.h"

typedef enum cli_color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER } cli_color;
typedef struct cli {
    bool json;
    int verbosity;      /* -1 quiet, 0, 1 verbose */
    cli_color color;
    bool show_help, show_version;
    char *const *argv0; /* the whole command line, for provenance */
    int argc0;
} cli;

/* OPT_I64_MAYBE: `--name` alone is 1, a value needs '=' */
typedef enum cli_kind { OPT_FLAG, OPT_TEXT, OPT_F64, OPT_I64, OPT_I64_MAYBE, OPT_LIST } cli_kind;
typedef struct cli_list { const char **items; size_t n; } cli_list; /* items borrowed from argv; free(items) */
typedef struct cli_opt {
    const char *name;   /* "bootstrap": --bootstrap K; one letter is -o */
    char letter;        /* or 0 */
    cli_kind kind;
    void *dst;          /* bool*, const char**, double*, int64_t*, cli_list* */
    const char *arg;    /* "K", for the help text */
    const char *help;
} cli_opt;

/* Parses argv[1..]; positionals go to *rest in order ("--" ends options). Global options are accepted anywhere. Unknown
 * options: ST_USAGE with "did you mean". After --help (c->show_help set, options printed on stdout) the command returns 0. */
status cli_parse(cli *c, const cli_opt *opts, size_t n_opts, int argc, char **argv, cli_list *rest, err *e);

/* Reads the global options that stand before the command; index of the command in argv, argc when there is none, -1 on error. */
int cli_globals(cli *c, int argc, char **argv, err *e);
/* The same for those right behind the command argv[at], which changes places with them: its new index, -1 on error. So a
 * command that has actions finds the action's name in argv[1]. */
int cli_globals_after(cli *c, int argc, char **argv, int at, err *e);

/* ST_USAGE when -o would replace one of the inputs (the same file, whatever its name). `out` may be NULL. */
status cli_check_output(const char *out, const cli_list *inputs, err *e);

/* Prints e ("muscale: ..." on stderr; with --json also {"schema":"muscale.error/1",...} on stdout) and gives its exit code. */
int cli_fail(const cli *c, const err *e);
int cli_usage(const cli *c, const char *command, const err *e); /* cli_fail + "see muscale help COMMAND" */

/* stdout, unless quiet where it is only talk. cli_note and cli_warn go to stderr. */
void cli_note(const cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));  /* silent with -q */
void cli_verbose(const cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* only with -v */
void cli_warn(const cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prints one JSON object on stdout (17 significant digits, keys in insertion order), then decref's it. */
int cli_json_out(json_t *object);

/* Set by SIGINT / SIGTERM / SIGUSR1; installed by cli_catch_signals(), which returns the flag to poll. */
const volatile sig_atomic_t *cli_catch_signals(void);
int cli_caught_signal(void); /* the signal number, 0 when none */

int cmd_data(cli *, int, char **);
int cmd_train(cli *, int, char **);
int cmd_sweep(cli *, int, char **);
int cmd_fit(cli *, int, char **);
int cmd_predict(cli *, int, char **);
int cmd_score(cli *, int, char **);
int cmd_mup(cli *, int, char **);
int cmd_plot(cli *, int, char **);
int cmd_report(cli *, int, char **);
int cmd_doctor(cli *, int, char **);
#endif
