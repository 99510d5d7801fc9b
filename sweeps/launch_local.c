#include "sweeps/launch_local.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sweeps/campaign.h"
#include "sweeps/seat.h"
#include "sweeps/store.h"
#include "trainer/train.h"

typedef enum cell_state {
    CELL_WAITING,
    CELL_RUNNING,
    CELL_DONE,
    CELL_DIVERGED,
    CELL_FAILED,
    CELL_OTHERS,
    CELL_STOPPED
} cell_state;

typedef struct cell {
    cell_state state;
    bool begun;       /* has a journal: look for checkpoints before it joins a bank */
    bool alone;       /* its bank failed and nobody was named: tried once more by itself */
    bool asked_again; /* was another's, who left it unfinished */
    double left;      /* FLOPs */
} cell;

typedef struct launch {
    const sweep_plan *p;
    const sweep_spec *s;
    const sweep_launch_opts *o;
    cell *cells;
    size_t *bank_size; /* per class; halved when memory runs out */
    size_t n_failed;
    double trained_s, flops_done; /* of finished banks */
    double bank_done, bank_start; /* of the bank at work */
    train_job *jobs;              /* [n] of the bank being filled */
    seat *seats;
    size_t n;
} launch;

/* ---- talk ----------------------------------------------------------------------------------------------------- */

static void say(const launch *l, sweep_say kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(const launch *l, sweep_say kind, const char *fmt, ...)
{
    char line[1600];
    va_list ap;
    if (!l->o->listener.say) return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    l->o->listener.say(l->o->listener.self, kind, line);
}

static const char *run_name(const launch *l, size_t run, char buf[600])
{
    const sweep_run *r = &l->p->runs[run];
    char what[512];
    sweep_spec_describe(l->s, r->block, r->cell, what, sizeof what);
    snprintf(buf, 600, "%s%s%s%s", r->id, *what ? " (" : "", what, *what ? ")" : "");
    return buf;
}

static void count(const launch *l, sweep_progress *out)
{
    memset(out, 0, sizeof *out);
    out->total = l->p->n_runs;
    for (size_t i = 0; i < l->p->n_runs; i++) {
        const cell *c = &l->cells[i];
        out->done += c->state == CELL_DONE;
        out->diverged += c->state == CELL_DIVERGED;
        out->failed += c->state == CELL_FAILED;
        out->running += c->state == CELL_RUNNING;
        out->others += c->state == CELL_OTHERS;
        out->waiting += c->state == CELL_WAITING || c->state == CELL_STOPPED;
        if (c->state == CELL_WAITING || c->state == CELL_RUNNING || c->state == CELL_STOPPED)
            out->flops_left += c->left;
    }
    double seconds = l->trained_s + (l->bank_start > 0 ? io_now() - l->bank_start : 0);
    out->flops_done = l->flops_done + l->bank_done;
    out->flops_left -= l->bank_done < out->flops_left ? l->bank_done : out->flops_left;
    out->flops_per_s = seconds > 0 ? out->flops_done / seconds : 0;
    out->seconds_left = out->flops_per_s > 0 ? out->flops_left / out->flops_per_s : -1;
}

static void report(const launch *l)
{
    sweep_progress now;
    if (!l->o->listener.progress) return;
    count(l, &now);
    l->o->listener.progress(l->o->listener.self, &now);
}

static void bank_progress(void *self, double flops_done, double flops_total)
{
    launch *l = self;
    (void)flops_total;
    l->bank_done = flops_done;
    report(l);
}

/* ---- failures ------------------------------------------------------------------------------------------------- */

/* One run that cannot write is that run's failure; a campaign that cannot be written ends the sweep. */
static status campaign_writable(const launch *l, err *e)
{
    static const char probe[4096] = "muscale: can this folder be written?\n";
    char path[IO_PATH_MAX];
    status st = io_join(path, l->o->campaign, "runs/.probe", e);
    if (!st) st = io_publish(path, probe, sizeof probe, e);
    if (!st) unlink(path);
    else err_prefix(e, "the sweep stops; finished runs are safe; make room and run again");
    return st;
}

/* Records a failure. Not ST_OK: the sweep must end (*e says why). */
static status fail_run(launch *l, size_t run, const err *why, err *e)
{
    char name[600];
    l->cells[run].state = CELL_FAILED;
    l->n_failed++;
    say(l, SWEEP_FAILURE, "run %s failed: %s", run_name(l, run, name), why->msg[0] ? why->msg : status_text(why->code));
    if (why->code == ST_IO) {
        status st = campaign_writable(l, e);
        if (st) return st;
    }
    if (l->o->fail_fast && l->n_failed >= l->o->fail_fast)
        return err_set(e, ST_PARTIAL, "%s: stopped by --fail-fast after %zu failed run%s", l->o->campaign, l->n_failed,
                       l->n_failed > 1 ? "s" : "");
    return ST_OK;
}

/* ---- filling a bank ------------------------------------------------------------------------------------------- */

static status run_dir(const launch *l, size_t run, char out[IO_PATH_MAX], err *e)
{
    return campaign_run_dir(out, l->o->campaign, l->p->runs[run].id, e);
}

static void finish_cell(launch *l, size_t run, const store_look *look)
{
    l->cells[run].state = look->state == STORE_DIVERGED ? CELL_DIVERGED : CELL_DONE;
    l->cells[run].left = 0;
}

static double flops_left(const sweep_run *r, int64_t step)
{
    double share = r->steps > 0 ? 1 - (double)step / (double)r->steps : 0;
    return r->flops * (share > 0 ? share : 0);
}

/* What stands on disk before anything starts. */
static void survey(launch *l)
{
    for (size_t i = 0; i < l->p->n_runs; i++) {
        char dir[IO_PATH_MAX];
        store_look look;
        cell *c = &l->cells[i];
        c->left = l->p->runs[i].flops;
        if (run_dir(l, i, dir, NULL) || store_peek(&look, dir, NULL))
            continue; /* taking the run will say what is wrong */
        if (store_is_final(look.state)) finish_cell(l, i, &look);
        else if (look.state != STORE_ABSENT) c->begun = true, c->left = flops_left(&l->p->runs[i], look.step);
    }
}

/* Takes a run for the bank. It may turn out finished or another's: then it is no longer waiting and takes no seat.
 * Not ST_OK: the sweep must end. */
static status take(launch *l, size_t run, err *e)
{
    const sweep_run *r = &l->p->runs[run];
    char dir[IO_PATH_MAX], note[256] = "", name[600], campaign_id[SWEEP_ID_SIZE];
    err why = {0};
    int64_t step = 0;
    seat *x = &l->seats[l->n];
    train_job *job = &l->jobs[l->n];
    memset(x, 0, sizeof *x);
    memset(job, 0, sizeof *job);
    snprintf(campaign_id, sizeof campaign_id, "%.16s", l->s->sha256);
    store_opts so = {.dir = dir,
                     .config = &r->config,
                     .resume = true,
                     .campaign_id = campaign_id,
                     .argv = l->o->argv,
                     .argc = l->o->argc,
                     .threads = l->o->threads};
    status st = run_dir(l, run, dir, &why);
    if (!st) st = store_run_open(&x->store, &so, &why);
    if (st == ST_BUSY) {
        l->cells[run].state = CELL_OTHERS;
        say(l, SWEEP_NOTE, "run %s is left to its owner: %s", run_name(l, run, name), why.msg);
        return ST_OK;
    }
    if (st) return fail_run(l, run, &why, e);
    const store_look *look = store_run_look(x->store);
    if (*store_run_note(x->store)) say(l, SWEEP_WARN, "run %s: %s", run_name(l, run, name), store_run_note(x->store));
    if (store_is_final(look->state)) { /* another process finished it since we looked */
        finish_cell(l, run, look);
        st = store_run_close(x->store, NULL, &why);
        return st ? fail_run(l, run, &why, e) : ST_OK;
    }
    /* A run without a valid checkpoint left must not take its bank down with it. */
    if (l->cells[run].begun) st = train_resume_step(&step, dir, &r->config, note, &why);
    if (st) {
        store_run_close(x->store, &why, NULL);
        return fail_run(l, run, &why, e);
    }
    x->run = run;
    x->inner = store_run_observer(x->store);
    job->config = r->config;
    job->observer = seat_observer(x);
    memcpy(job->ckpt_dir, dir, sizeof job->ckpt_dir);
    job->wall_before = look->wall_s;
    l->cells[run].state = CELL_RUNNING;
    l->cells[run].left = flops_left(r, step);
    l->n++;
    return ST_OK;
}

/* Next waiting run in the plan's order and what fits beside it. l->n == 0: nothing is left. */
static status fill(launch *l, err *e)
{
    const sweep_plan *p = l->p;
    status st = ST_OK;
    size_t class = 0, limit = 1;
    l->n = 0;
    for (size_t b = 0; b < p->n_banks && !st && l->n < limit; b++) {
        if (l->n && p->runs[p->order[p->banks[b].first]].class != class) continue;
        for (size_t i = 0; i < p->banks[b].n && !st && l->n < limit; i++) {
            size_t run = p->order[p->banks[b].first + i];
            if (l->cells[run].state != CELL_WAITING || (l->n && l->cells[run].alone)) continue;
            class = p->runs[run].class;
            limit = l->cells[run].alone ? 1 : l->bank_size[class];
            st = take(l, run, e);
        }
    }
    return st;
}

/* ---- one bank ------------------------------------------------------------------------------------------------- */

/* Closes a seat: publishes run.h5 of an ended run, gives the directory back. Not ST_OK: the sweep must end. */
static status leave(launch *l, seat *x, cell_state state, const err *why, err *e)
{
    err close_why = {0};
    cell *c = &l->cells[x->run];
    status st = store_run_close(x->store, state == CELL_FAILED ? why : NULL, &close_why);
    x->store = NULL;
    c->state = state;
    if (state == CELL_DONE || state == CELL_DIVERGED) c->left = 0;
    if (state == CELL_FAILED) return fail_run(l, x->run, why, e);
    return st ? fail_run(l, x->run, &close_why, e) : ST_OK;
}

static cell_state outcome(const train_job *job)
{
    switch (job->result.status) {
    case RUN_DONE: return CELL_DONE;
    case RUN_DIVERGED: return CELL_DIVERGED;
    case RUN_STOPPED: return CELL_STOPPED;
    default: return CELL_WAITING;
    }
}

/* After a failed bank: who is to blame fails, who has ended stays ended, the others wait for the next bank. */
static status sort_out(launch *l, const err *why, err *e)
{
    size_t blamed = 0;
    status st = ST_OK;
    for (size_t i = 0; i < l->n; i++) {
        seat *x = &l->seats[i];
        const char *dir = l->jobs[i].ckpt_dir;
        if (!x->failed && (l->n == 1 || l->cells[x->run].alone || strstr(why->msg, dir)))
            x->failed = true, x->why = *why;
        blamed += x->failed;
    }
    size_t class = l->p->runs[l->seats[0].run].class;
    if (!blamed && why->code == ST_NOMEM) {
        l->bank_size[class] = (l->n + 1) / 2;
        say(l, SWEEP_WARN, "%s; going on with banks of %zu", why->msg, l->bank_size[class]);
    }
    for (size_t i = 0; i < l->n; i++) {
        seat *x = &l->seats[i];
        cell_state state = x->failed ? CELL_FAILED : outcome(&l->jobs[i]);
        err ignored = {0};
        if (state == CELL_WAITING && !blamed && why->code != ST_NOMEM) l->cells[x->run].alone = true;
        l->cells[x->run].begun = true;
        status one = leave(l, x, state, &x->why, st ? &ignored : e);
        if (!st) st = one;
    }
    return st;
}

static status train(launch *l, err *e)
{
    char name[600];
    err why = {0};
    train_opts t = {
        .threads = l->o->threads, .resume = true, .stop = l->o->stop, .progress = bank_progress, .progress_self = l};
    l->bank_done = 0;
    l->bank_start = io_now();
    report(l);
    double before = 0, after = 0;
    for (size_t i = 0; i < l->n; i++) before += l->cells[l->seats[i].run].left;
    status st = train_bank(l->jobs, l->n, &t, &why);
    l->trained_s += io_now() - l->bank_start;
    l->bank_start = 0;
    for (size_t i = 0; i < l->n; i++) {
        cell *c = &l->cells[l->seats[i].run];
        if (*l->jobs[i].note) say(l, SWEEP_WARN, "run %s: %s", run_name(l, l->seats[i].run, name), l->jobs[i].note);
        c->left = flops_left(&l->p->runs[l->seats[i].run], l->jobs[i].result.step);
        after += c->left;
    }
    l->bank_done = 0;
    l->flops_done += before > after ? before - after : 0;
    if (st) return sort_out(l, &why, e);
    for (size_t i = 0; i < l->n; i++) {
        err ignored = {0};
        status one = leave(l, &l->seats[i], outcome(&l->jobs[i]), NULL, st ? &ignored : e);
        if (!st) st = one;
    }
    return st;
}

/* ---- the sweep ------------------------------------------------------------------------------------------------ */

/* Runs that were others' when we came by: finished by now, or left unfinished (then ours, once). */
static bool look_again(launch *l)
{
    bool more = false;
    for (size_t i = 0; i < l->p->n_runs; i++) {
        char dir[IO_PATH_MAX];
        store_look look;
        cell *c = &l->cells[i];
        if (c->state != CELL_OTHERS || run_dir(l, i, dir, NULL) || store_peek(&look, dir, NULL)) continue;
        if (store_is_final(look.state)) finish_cell(l, i, &look);
        else if (!*look.owner && !c->asked_again) {
            c->state = CELL_WAITING;
            c->begun = c->asked_again = more = true;
        }
    }
    return more;
}

static status go(launch *l, err *e)
{
    status st;
    do {
        for (;;) {
            if (l->o->stop && *l->o->stop)
                return err_set(e, ST_INTERRUPTED, "%s: interrupted; everything is checkpointed, run again to go on",
                               l->o->campaign);
            st = fill(l, e);
            if (st) {
                for (size_t i = 0; i < l->n; i++)
                    store_run_close(l->seats[i].store, NULL, NULL), l->cells[l->seats[i].run].state = CELL_WAITING;
                return st;
            }
            if (!l->n) break;
            if ((st = train(l, e))) return st;
        }
    } while (look_again(l));
    return ST_OK;
}

status sweep_launch_local(sweep_progress *out, const sweep_plan *p, const sweep_spec *s, const sweep_launch_opts *o,
                          err *e)
{
    launch l = {.p = p, .s = s, .o = o};
    size_t widest = 1;
    memset(out, 0, sizeof *out);
    l.cells = calloc(p->n_runs + 1, sizeof *l.cells);
    l.bank_size = calloc(p->n_classes + 1, sizeof *l.bank_size);
    status st = l.cells && l.bank_size ? ST_OK : ST_NOMEM;
    for (size_t k = 0; k < p->n_classes && !st; k++) {
        l.bank_size[k] = p->classes[k].bank_size;
        if (l.bank_size[k] > widest) widest = l.bank_size[k];
    }
    if (!st) {
        l.jobs = calloc(widest, sizeof *l.jobs);
        l.seats = calloc(widest, sizeof *l.seats);
        if (!l.jobs || !l.seats) st = ST_NOMEM;
    }
    if (st) err_set(e, ST_NOMEM, "%s: no memory for %zu runs", o->campaign, p->n_runs);
    if (!st) {
        survey(&l);
        st = go(&l, e);
        count(&l, out);
    }
    if (!st && out->failed)
        st = err_set(e, ST_PARTIAL, "%s: %zu of %zu runs failed%s; run again to try them once more",
                     o->campaign, out->failed, out->total, out->done + out->diverged ? "; the others are done" : "");
    free(l.jobs);
    free(l.seats);
    free(l.bank_size);
    free(l.cells);
    return st;
}
