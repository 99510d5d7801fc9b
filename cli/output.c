/* The only place that prints diagnostics: results on stdout, everything else on stderr. */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static bool use_color(const cli *c)
{
    if (c->color != COLOR_AUTO) return c->color == COLOR_ALWAYS;
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDERR_FILENO) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

__attribute__((format(printf, 4, 0)))
static void say(const cli *c, const char *color, const char *label, const char *fmt, va_list ap)
{
    bool colored = *label && use_color(c);
    fflush(stdout);
    fprintf(stderr, "muscale: %s%s%s", colored ? color : "", label, colored ? "\033[0m" : "");
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

void cli_note(const cli *c, const char *fmt, ...)
{
    va_list ap;
    if (c->verbosity < 0) return;
    va_start(ap, fmt);
    say(c, "", "", fmt, ap);
    va_end(ap);
}

void cli_verbose(const cli *c, const char *fmt, ...)
{
    va_list ap;
    if (c->verbosity < 1) return;
    va_start(ap, fmt);
    say(c, "", "", fmt, ap);
    va_end(ap);
}

void cli_warn(const cli *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(c, "\033[33m", "warning: ", fmt, ap);
    va_end(ap);
}

static void say_error(const cli *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(c, "\033[31m", "error: ", fmt, ap);
    va_end(ap);
}

/* JSON is UTF-8; a message quotes names and lines that need not be, and may be cut within a character: '?' for such bytes. */
static json_t *message_json(const char *msg)
{
    char clean[sizeof((err *)0)->msg];
    size_t n = 0;
    json_t *whole = json_string(msg);
    if (whole) return whole;
    while (*msg && n + 1 < sizeof clean) {
        size_t len = 1; /* of the character that starts here: the shortest prefix that is UTF-8 */
        json_t *one = NULL;
        for (size_t k = 1; k <= 4 && msg[k - 1] && !one; k++)
            if ((one = json_stringn(msg, k))) len = k;
        if (n + len >= sizeof clean) len = 0;
        if (one) memcpy(clean + n, msg, len);
        else clean[n] = '?';
        json_decref(one);
        if (!len) break;
        n += len;
        msg += len;
    }
    return json_stringn(clean, n);
}

int cli_fail(const cli *c, const err *e)
{
    say_error(c, "%s", e->msg[0] ? e->msg : status_text(e->code));
    if (c->verbosity > 0 && e->file) cli_verbose(c, "(raised at %s:%d, %s)", e->file, e->line, status_name(e->code));
    if (c->json)
        cli_json_out(json_pack("{s:s,s:s,s:i,s:o}", "schema", "muscale.error/1", "status", status_name(e->code), "exit",
                               status_exit(e->code), "message", message_json(e->msg)));
    return status_exit(e->code);
}

int cli_usage(const cli *c, const char *command, const err *e)
{
    int rc = cli_fail(c, e);
    if (e->code == ST_USAGE) cli_note(c, "see `muscale help%s%s`", command ? " " : "", command ? command : "");
    return rc;
}

int cli_json_out(json_t *object)
{
    err e = {0};
    cli plain = {0};
    char *text = object ? json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(17) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(object);
    if (!text) {
        err_set(&e, ST_NOMEM, "cannot write the JSON result (no memory, a number that JSON has no word for, or a file name that is not UTF-8)");
        return cli_fail(&plain, &e);
    }
    puts(text);
    free(text);
    return 0;
}

/* A handler can reach nothing but a file-scope flag: the one exception to "no mutable globals". */
static volatile sig_atomic_t caught;
static void on_signal(int sig) { caught = sig; }

const volatile sig_atomic_t *cli_catch_signals(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    a.sa_flags = (int)SA_RESETHAND; /* a second signal ends the program at once */
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGUSR1, &a, NULL);
    sigset_t held; /* by the process that this one goes on for: cli_relaunch */
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &held, NULL);
    return &caught;
}

int cli_caught_signal(void) { return (int)caught; }
