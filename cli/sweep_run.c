/* muscale sweep run: trains what is not finished, with progress on stderr */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/relaunch.h"
#include "cli/sweep_parts.h"
#include "kernels/kernels.h"
#include "sweeps/campaign.h"

typedef struct screen {
    const cli *c;
    bool tty, drawn;
    double last, every;
} screen;

static void clear_line(screen *x)
{
    if (x->drawn) fputs("\r\033[K", stderr);
    x->drawn = false;
}

static void on_progress(void *self, const sweep_progress *now)
{
    screen *x = self;
    char line[320], rate[96] = "", left[32], stopped[48] = "";
    double t = io_now();
    if (x->c->verbosity < 0 || (x->last > 0 && t - x->last < x->every)) return;
    x->last = t;
    if (now->flops_done > 0)
        snprintf(rate, sizeof rate, ", %.3g FLOP/s, %s left", now->flops_per_s,
                 sweep_duration(now->seconds_left, left));
    if (now->early_stopped) snprintf(stopped, sizeof stopped, ", %zu stopped early", now->early_stopped);
    snprintf(line, sizeof line, "%zu/%zu done (%zu diverged%s), %zu running, %zu failed%s%s",
             now->done + now->diverged + now->early_stopped, now->total, now->diverged, stopped, now->running,
             now->failed, now->others ? ", some run elsewhere" : "", rate);
    if (!x->tty) {
        cli_note(x->c, "%s", line);
        return;
    }
    clear_line(x);
    fprintf(stderr, "%s", line);
    fflush(stderr);
    x->drawn = true;
}

static void on_say(void *self, sweep_say kind, const char *line)
{
    screen *x = self;
    err one = {0};
    cli plain = *x->c;
    plain.json = false;
    clear_line(x);
    if (kind == SWEEP_NOTE) cli_note(x->c, "%s", line);
    else if (kind == SWEEP_WARN) cli_warn(x->c, "%s", line);
    else {
        err_set(&one, ST_PARTIAL, "%s", line);
        cli_fail(&plain, &one);
    }
}

void sweep_print_result(const cli *c, const char *campaign, const sweep_progress *r)
{
    if (c->json) {
        cli_json_out(json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "schema", "muscale.sweep/1",
                               "campaign", campaign, "n_runs", (json_int_t)r->total, "done", (json_int_t)r->done,
                               "diverged", (json_int_t)r->diverged, "early_stopped", (json_int_t)r->early_stopped,
                               "failed", (json_int_t)r->failed, "others",
                               (json_int_t)r->others, "waiting", (json_int_t)r->waiting, "flops_done", r->flops_done,
                               "flops_per_s", r->flops_per_s));
        return;
    }
    printf("%s: %zu runs: %zu done, %zu diverged, %zu failed", campaign, r->total, r->done, r->diverged, r->failed);
    if (r->early_stopped) printf(", %zu stopped early", r->early_stopped);
    if (r->others) printf(", %zu run by other processes", r->others);
    if (r->waiting) printf(", %zu not finished", r->waiting);
    putchar('\n');
}

/* Said once, before anything is made on disk; a plan for another machine may name any backend. */
static status check_backends(const sweep_plan *p, err *e)
{
    status st = ST_OK;
    for (size_t i = 0; i < p->n_runs && !st; i++)
        if (!i || strcmp(p->runs[i].config.backend, p->runs[i - 1].config.backend))
            st = k_backend_ready(p->runs[i].config.backend, e);
    return st;
}

/* A pipe cannot be read twice. */
static bool is_file(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* After a fault that only a new process recovers from: this one becomes it. Returns when it cannot. */
static void go_on_anew(const cli *c, const char *spec, const char *handover)
{
    err why = {0};
    if (!handover || !is_file(spec)) return;
    cli_note(c, "only a new process can use the device again: going on as one");
    if (cli_relaunch(c, SWEEP_GOES_ON, handover, &why) != ST_INTERRUPTED) cli_warn(c, "%s", why.msg);
}

status sweep_train(sweep_progress *result, cli *c, const sweep_settings *x, const sweep_spec *s, const sweep_plan *p,
                   err *e)
{
    char note[512], *handover = NULL;
    status st = check_backends(p, e);
    if (!st) st = campaign_open(x->out, s, p, x->amend, note, e);
    if (st) return st;
    if (*note) cli_note(c, "%s", note);
    screen view = {.c = c, .tty = isatty(STDERR_FILENO) && c->verbosity < 1};
    view.every = view.tty ? 0.9 : 60;
    sweep_launch_opts o = {.campaign = x->out,
                           .threads = p->workers,
                           .only = x->only,
                           .fail_fast = x->fail_fast == SWEEP_NOT_GIVEN ? 0 : (size_t)x->fail_fast,
                           .stop = cli_catch_signals(),
                           .argv = c->argv0,
                           .argc = c->argc0,
                           .resumed = getenv(SWEEP_GOES_ON),
                           .handover = &handover,
                           .listener = {&view, on_progress, on_say}};
    st = sweep_launch_local(result, p, s, &o, e);
    clear_line(&view);
    go_on_anew(c, s->doc.path, handover);
    free(handover);
    if (st == ST_INTERRUPTED && cli_caught_signal() != SIGINT) {
        if (e) e->code = ST_TERMINATED;
        st = ST_TERMINATED;
    }
    if (st && st != ST_PARTIAL) return result->total = 0, st;
    if (x->no_collect) return st;
    campaign_counts counts;
    err why = {0};
    status collected = campaign_collect(&counts, x->out, &why);
    if (!collected) sweep_warn_of(c, &counts);
    if (collected && !st) {
        *e = why;
        st = collected;
    }
    return st;
}

status sweep_check_fail_fast(const sweep_settings *x, err *e)
{
    if (x->fail_fast >= 1 || x->fail_fast == SWEEP_NOT_GIVEN) return ST_OK;
    return err_set(e, ST_USAGE, "--fail-fast=%lld: a positive number of failures", (long long)x->fail_fast);
}

status sweep_run_cmd(cli *c, const sweep_settings *x, err *e)
{
    sweep_spec s = {0};
    sweep_plan p = {0};
    sweep_progress result = {0};
    status st = x->out ? ST_OK
                       : err_set(e, ST_USAGE,
                                 "sweep run: -o CAMPAIGN is missing: the folder for runs, journals and results");
    if (!st) st = sweep_check_fail_fast(x, e);
    if (!st) st = sweep_plan_words(c, x, &s, &p, e);
    if (!st) st = sweep_train(&result, c, x, &s, &p, e);
    if (result.total && (!c->json || !st || st == ST_PARTIAL)) sweep_print_result(c, x->out, &result);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    return st;
}
