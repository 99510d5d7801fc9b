/* muscale: finds the command's row and runs it. Global options are accepted before or after the command. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "config.h"

static void print_help(FILE *f)
{
    fputs("muscale: what do my small runs say about the large one, and how sure am I?\n\n"
          "usage: muscale [--json] [-q|-v] [--color=auto|always|never] COMMAND ...\n\n", f);
    for (size_t i = 0; i < cli_n_commands; i++)
        fprintf(f, "  %-9s %s\n", cli_commands[i].name, cli_commands[i].summary);
    fputs("  help      examples and usage of a command: muscale help fit\n\n"
          "exit codes: 0 done (also when runs diverged), 1 failed at run time, 2 usage, 3 bad input,\n"
          "            4 some runs failed, 5 fit refused, 130/143 signals\n", f);
}

static const cli_command *find(const char *name)
{
    for (size_t i = 0; i < cli_n_commands; i++)
        if (!strcmp(cli_commands[i].name, name)) return &cli_commands[i];
    return NULL;
}

static status unknown(const char *name, err *e)
{
    const char *names[64];
    int n = 0;
    for (size_t i = 0; i < cli_n_commands && n < 63; i++) names[n++] = cli_commands[i].name;
    names[n++] = "help";
    const char *near = num_nearest_word(name, names, n);
    if (near) return err_set(e, ST_USAGE, "unknown command '%s'; did you mean '%s'?", name, near);
    return err_set(e, ST_USAGE, "unknown command '%s'; `muscale help` lists them", name);
}

static void print_command_help(const cli_command *c)
{
    printf("muscale %s: %s\n\nexamples:\n%s\nusage:\n", c->name, c->summary, c->examples);
    for (const char *line = c->usage; *line;) {
        size_t n = strcspn(line, "\n");
        printf("  muscale %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

/* The lines of `text` without their indentation. */
static json_t *lines_json(const char *text)
{
    json_t *all = json_array();
    while (*text) {
        text += strspn(text, " ");
        size_t n = strcspn(text, "\n");
        json_array_append_new(all, json_stringn(text, n));
        text += n + (text[n] == '\n');
    }
    return all;
}

static int help_json(const cli_command *row)
{
    if (row)
        return cli_json_out(json_pack("{s:s,s:s,s:s,s:o,s:o}", "schema", "muscale.help/1", "command", row->name, "summary", row->summary, "examples",
                                      lines_json(row->examples), "usage", lines_json(row->usage)));
    json_t *all = json_array();
    for (size_t i = 0; i < cli_n_commands; i++)
        json_array_append_new(all, json_pack("{s:s,s:s}", "name", cli_commands[i].name, "summary", cli_commands[i].summary));
    return cli_json_out(json_pack("{s:s,s:o}", "schema", "muscale.help/1", "commands", all));
}

/* Help of argv[0]; a word after it is the action whose options are shown. */
static int help_command(cli *c, const cli_command *row, int argc, char **argv)
{
    char option[] = "--help";
    char *args[] = {argv[0], option, NULL, NULL};
    if (c->json) return help_json(row);
    print_command_help(row);
    for (int i = 1; i < argc && !args[2]; i++)
        if (argv[i][0] != '-') args[1] = argv[i], args[2] = option;
    return row->run(c, args[2] ? 3 : 2, args); /* the command's own option table */
}

static int help(cli *c, int argc, char **argv)
{
    err e = {0};
    const cli_command *row = argc < 2 ? NULL : find(argv[1]);
    if (row) return help_command(c, row, argc - 1, argv + 1);
    if (argc >= 2) {
        unknown(argv[1], &e);
        return cli_fail(c, &e);
    }
    if (c->json) return help_json(NULL);
    print_help(stdout);
    return 0;
}

/* A full disk behind stdout is a failure. */
static int flush_stdout(const cli *c, int rc)
{
    err e = {0};
    if (fflush(stdout) == 0 && !ferror(stdout)) return rc;
    err_set(&e, ST_IO, "standard output: cannot write; results are incomplete");
    cli_fail(c, &e);
    return rc ? rc : 1;
}

/* A standard stream that the caller closed would be the next file that is opened: the journal, with our notes in it. What
 * stands in for it fails as a closed one does, except that notes are dropped. */
static void hold_standard_streams(void)
{
    static const int mode[3] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", mode[fd]) < 0) _exit(1);
}

/* Looked for before anything else, so that a mistake further left is reported as JSON too. */
static bool asked(int argc, char **argv, const char *a, const char *b)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], a) || !strcmp(argv[i], b)) return true;
    return false;
}

static int dispatch(cli *c, int argc, char **argv)
{
    err e = {0};
    int at = cli_globals(c, argc, argv, &e);
    if (at < 0) return cli_usage(c, NULL, &e);
    if (c->show_version) {
        if (c->json) return cli_json_out(json_pack("{s:s,s:s}", "schema", "muscale.version/1", "version", PACKAGE_VERSION));
        puts("muscale " PACKAGE_VERSION);
        return 0;
    }
    if (at == argc) {
        if (c->show_help) return help(c, 0, NULL);
        if (c->json) err_set(&e, ST_USAGE, "a command is missing; `muscale help` lists them");
        if (c->json) return cli_fail(c, &e);
        print_help(stderr);
        return 2;
    }
    const cli_command *row = find(argv[at]);
    if (!row && strcmp(argv[at], "help")) {
        unknown(argv[at], &e);
        return cli_fail(c, &e);
    }
    if ((at = cli_globals_after(c, argc, argv, at, &e)) < 0) return cli_usage(c, row ? row->name : NULL, &e);
    if (!row) return help(c, argc - at, argv + at);
    if (c->show_help || asked(argc - at, argv + at, "-h", "--help")) return help_command(c, row, argc - at, argv + at);
    return row->run(c, argc - at, argv + at);
}

int main(int argc, char **argv)
{
    hold_standard_streams();
    cli c = {.argv0 = argv, .argc0 = argc, .json = asked(argc, argv, "--json", "--json")};
    return flush_stdout(&c, dispatch(&c, argc, argv));
}
