/* muscale: finds the command's row and runs it. Global options are accepted before or after the command. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

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

static int help(cli *c, int argc, char **argv)
{
    err e = {0};
    if (argc < 2) {
        print_help(stdout);
        return 0;
    }
    const cli_command *row = find(argv[1]);
    if (!row) {
        unknown(argv[1], &e);
        return cli_fail(c, &e);
    }
    print_command_help(row);
    char option[] = "--help";
    char *args[] = {argv[1], option, NULL};
    return row->run(c, 2, args); /* the command's own option table */
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

int main(int argc, char **argv)
{
    cli c = {.argv0 = argv, .argc0 = argc};
    err e = {0};
    int at = cli_globals(&c, argc, argv, &e);
    if (at < 0) return cli_usage(&c, NULL, &e);
    if (c.show_version) {
        if (c.json) return flush_stdout(&c, cli_json_out(json_pack("{s:s,s:s}", "schema", "muscale.version/1", "version", PACKAGE_VERSION)));
        puts("muscale " PACKAGE_VERSION);
        return flush_stdout(&c, 0);
    }
    if (at == argc || c.show_help) {
        if (at < argc && find(argv[at])) {
            char word[] = "help";
            char *args[] = {word, argv[at], NULL};
            return flush_stdout(&c, help(&c, 2, args));
        }
        print_help(c.show_help ? stdout : stderr);
        return flush_stdout(&c, c.show_help ? 0 : 2);
    }
    if (!strcmp(argv[at], "help")) return flush_stdout(&c, help(&c, argc - at, argv + at));
    const cli_command *row = find(argv[at]);
    if (!row) {
        unknown(argv[at], &e);
        return cli_fail(&c, &e);
    }
    return flush_stdout(&c, row->run(&c, argc - at, argv + at));
}
