/* Declarative options: one table per command gives parsing, "did you mean" and the help text. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/num.h"
#include "cli/cli.h"

enum { MAX_OPTS = 64 };

static bool global_option(cli *c, const char *arg, err *e, bool *bad)
{
    if (!strcmp(arg, "--json")) c->json = true;
    else if (!strcmp(arg, "-q") || !strcmp(arg, "--quiet")) c->verbosity = -1;
    else if (!strcmp(arg, "-v") || !strcmp(arg, "--verbose")) c->verbosity = 1;
    else if (!strcmp(arg, "-h") || !strcmp(arg, "--help")) c->show_help = true;
    else if (!strcmp(arg, "--color=auto")) c->color = COLOR_AUTO;
    else if (!strcmp(arg, "--color=always")) c->color = COLOR_ALWAYS;
    else if (!strcmp(arg, "--color=never")) c->color = COLOR_NEVER;
    else if (!strncmp(arg, "--color", 7)) {
        err_set(e, ST_USAGE, "%s: --color takes auto, always or never, as in --color=never", arg);
        *bad = true;
    } else return false;
    return true;
}

int cli_globals(cli *c, int argc, char **argv, err *e)
{
    for (int i = 1; i < argc; i++) {
        bool bad = false;
        if (argv[i][0] != '-' || !argv[i][1]) return i;
        if (!strcmp(argv[i], "--version")) c->show_version = true;
        else if (!global_option(c, argv[i], e, &bad)) {
            err_set(e, ST_USAGE, "unknown option '%s' before the command", argv[i]);
            return -1;
        }
        if (bad) return -1;
    }
    return argc;
}

int cli_globals_after(cli *c, int argc, char **argv, int at, err *e)
{
    bool bad = false;
    while (at + 1 < argc && strcmp(argv[at + 1], "-h") && strcmp(argv[at + 1], "--help") && global_option(c, argv[at + 1], e, &bad)) {
        char *word = argv[at]; /* swapped, not overwritten: the whole command line is recorded with results */
        if (bad) return -1;
        argv[at] = argv[at + 1];
        argv[++at] = word;
    }
    return at;
}

static const cli_opt *find_long(const cli_opt *opts, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (opts[i].name && strlen(opts[i].name) == len && !strncmp(opts[i].name, name, len)) return &opts[i];
    return NULL;
}

static const cli_opt *find_letter(const cli_opt *opts, size_t n, char letter)
{
    for (size_t i = 0; i < n; i++)
        if (opts[i].letter == letter) return &opts[i];
    return NULL;
}

static status unknown_option(const cli_opt *opts, size_t n, const char *arg, err *e)
{
    static const char *const globals[] = {"json", "quiet", "verbose", "help", "color"};
    const char *names[MAX_OPTS + 8];
    char word[64];
    int k = 0;
    for (size_t i = 0; i < n && k < MAX_OPTS; i++)
        if (opts[i].name) names[k++] = opts[i].name;
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) names[k++] = globals[i];
    const char *bare = arg + strspn(arg, "-");
    size_t len = strcspn(bare, "=");
    snprintf(word, sizeof word, "%.*s", (int)(len < 63 ? len : 63), bare);
    const char *near = strlen(word) > 1 ? num_nearest_word(word, names, k) : NULL;
    if (near) return err_set(e, ST_USAGE, "unknown option '%s'; did you mean '--%s'?", arg, near);
    return err_set(e, ST_USAGE, "unknown option '%s'", arg);
}

static status push(cli_list *list, const char *item, err *e)
{
    if ((list->n & (list->n - 1)) == 0) {
        const char **more = realloc(list->items, (list->n ? 2 * list->n : 1) * sizeof *more);
        if (!more) return err_set(e, ST_NOMEM, "no memory for the command line");
        list->items = more;
    }
    list->items[list->n++] = item;
    return ST_OK;
}

static status store(const cli_opt *o, const char *shown, const char *value, err *e)
{
    switch (o->kind) {
    case OPT_FLAG: *(bool *)o->dst = true; return ST_OK;
    case OPT_TEXT: *(const char **)o->dst = value; return ST_OK;
    case OPT_LIST: return push(o->dst, value, e);
    case OPT_F64:
        if (num_parse_f64(value, o->dst)) return ST_OK;
        return err_set(e, ST_USAGE, "%s: '%s' is not a finite number", shown, value);
    case OPT_I64_MAYBE:
        if (!value) value = "1";
        /* fall through */
    case OPT_I64:
        if (num_parse_i64(value, o->dst)) return ST_OK;
        return err_set(e, ST_USAGE, "%s: '%s' is not a whole number", shown, value);
    }
    return ST_OK;
}

static void print_options(const cli_opt *opts, size_t n)
{
    puts(n ? "\noptions:" : "");
    for (size_t i = 0; i < n; i++) {
        char left[64];
        if (opts[i].letter && opts[i].name) snprintf(left, sizeof left, "-%c, --%s %s", opts[i].letter, opts[i].name, opts[i].arg ? opts[i].arg : "");
        else if (opts[i].letter) snprintf(left, sizeof left, "-%c %s", opts[i].letter, opts[i].arg ? opts[i].arg : "");
        else snprintf(left, sizeof left, "--%s %s", opts[i].name, opts[i].arg ? opts[i].arg : "");
        printf("  %-28s %s\n", left, opts[i].help ? opts[i].help : "");
    }
}

status cli_check_output(const char *out, const cli_list *inputs, err *e)
{
    struct stat to, from;
    if (!out || stat(out, &to)) return ST_OK;
    for (size_t i = 0; i < inputs->n; i++)
        if (!stat(inputs->items[i], &from) && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
            return err_set(e, ST_USAGE, "%s: is an input, and would be replaced by the output; write to another file", out);
    return ST_OK;
}

status cli_parse(cli *c, const cli_opt *opts, size_t n_opts, int argc, char **argv, cli_list *rest, err *e)
{
    status s = ST_OK;
    bool only_words = false;
    for (int i = 1; i < argc && !s; i++) {
        const char *arg = argv[i];
        const cli_opt *o = NULL;
        const char *value = NULL;
        bool bad = false;
        if (only_words || arg[0] != '-' || !arg[1]) {
            s = push(rest, arg, e);
            continue;
        }
        if (!strcmp(arg, "--")) {
            only_words = true;
            continue;
        }
        if (arg[1] == '-') {
            size_t len = strcspn(arg + 2, "=");
            o = find_long(opts, n_opts, arg + 2, len);
            if (o && arg[2 + len] == '=') value = arg + 3 + len;
        } else {
            o = find_letter(opts, n_opts, arg[1]);
            if (o && arg[2]) {
                if (o->kind == OPT_FLAG) o = NULL;
                else value = arg + 2 + (arg[2] == '=');
            }
        }
        if (!o) {
            if (global_option(c, arg, e, &bad)) {
                if (bad) s = ST_USAGE;
                continue;
            }
            s = unknown_option(opts, n_opts, arg, e);
        } else if (o->kind == OPT_FLAG) {
            s = value ? err_set(e, ST_USAGE, "%s: takes no value", arg) : store(o, arg, NULL, e);
        } else if (o->kind == OPT_I64_MAYBE) {
            s = store(o, arg, value, e);
        } else {
            if (!value && i + 1 < argc) value = argv[++i];
            s = value ? store(o, arg, value, e) : err_set(e, ST_USAGE, "%s: needs a value (%s)", arg, o->arg ? o->arg : "VALUE");
        }
    }
    if (!s && c->show_help) print_options(opts, n_opts);
    return s;
}
