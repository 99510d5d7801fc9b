/* Streams that take banks from the plan and train them. One lock guards everything but the training itself: the cells,
 * the stores' opening and closing (HDF5 is not for two threads at once) and the listener. */
#include "sweeps/launch_local.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/device_ops.h"
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
    size_t at_most;   /* its bank failed and nobody was named: banks of at most so many from now on; 0 = any */
    bool asked_again; /* was another's, who left it unfinished */
    double left;      /* FLOPs */
} cell;

typedef struct launch launch;

/* One bank at a time. A sweep has one stream, on a device as many as were asked for. */
typedef struct stream {
    launch *l;
    train_job *jobs; /* [n] of the bank being filled or trained */
    seat *seats;
    size_t n;
    double bank_done; /* FLOPs of the bank at work */
    bool at_work;
    pthread_t thread;
} stream;

struct launch {
    const sweep_plan *p;
    const sweep_spec *s;
    const sweep_launch_opts *o;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* a bank has ended */
    cell *cells;
    size_t *bank_size; /* per class; halved when memory runs out */
    size_t n_failed, n_streams, n_at_work;
    double trained_s, at_work_since, flops_done; /* wall time with any bank at work; FLOPs of finished banks */
    stream *streams;
    bool device_lost;  /* a bank ended in ST_DEVICE: recover when no bank is left on it */
    atomic_bool halt;  /* the sweep ends: banks at work checkpoint and stop */
    status st;         /* why it ends */
    err *e;
};

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
    double seconds = l->trained_s + (l->n_at_work ? io_now() - l->at_work_since : 0), now = 0;
    for (size_t i = 0; i < l->n_streams; i++) now += l->streams[i].bank_done;
    out->flops_done = l->flops_done + now;
    out->flops_left -= now < out->flops_left ? now : out->flops_left;
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
    stream *x = self;
    (void)flops_total;
    pthread_mutex_lock(&x->l->lock);
    x->bank_done = flops_done;
    report(x->l);
    pthread_mutex_unlock(&x->l->lock);
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
static status take(stream *w, size_t run, err *e)
{
    launch *l = w->l;
    const sweep_run *r = &l->p->runs[run];
    char dir[IO_PATH_MAX], note[256] = "", name[600], campaign_id[SWEEP_ID_SIZE];
    err why = {0};
    int64_t step = 0;
    seat *x = &w->seats[w->n];
    train_job *job = &w->jobs[w->n];
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
    w->n++;
    return ST_OK;
}

/* Next waiting run in the plan's order and what fits beside it. w->n == 0: nothing is left. */
static status fill(stream *w, err *e)
{
    const launch *l = w->l;
    const sweep_plan *p = l->p;
    status st = ST_OK;
    size_t class = 0, limit = 1;
    w->n = 0;
    for (size_t b = 0; b < p->n_banks && !st && w->n < limit; b++) {
        if (w->n && p->runs[p->order[p->banks[b].first]].class != class) continue;
        for (size_t i = 0; i < p->banks[b].n && !st && w->n < limit; i++) {
            size_t run = p->order[p->banks[b].first + i];
            const size_t at_most = l->cells[run].at_most;
            if (l->cells[run].state != CELL_WAITING || (w->n && at_most && at_most < limit)) continue;
            class = p->runs[run].class;
            if (!w->n) limit = at_most && at_most < l->bank_size[class] ? at_most : l->bank_size[class];
            st = take(w, run, e);
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

/* After a failed bank: who is to blame fails, who has ended stays ended, the others wait for the next bank. An error of
 * nobody is looked for in halves of the bank: one that was not a run's (a device that failed once) costs one restart,
 * one that a run brings with it is found in log2(n) of them. Memory that a neighbour holds is nobody's fault at all. */
static status sort_out(stream *w, const err *why, err *e)
{
    launch *l = w->l;
    const bool crowded = why->code == ST_NOMEM && l->n_at_work;
    size_t blamed = 0;
    status st = ST_OK;
    for (size_t i = 0; i < w->n; i++) {
        seat *x = &w->seats[i];
        const char *dir = w->jobs[i].ckpt_dir;
        if (!x->failed && !crowded && (w->n == 1 || strstr(why->msg, dir)))
            x->failed = true, x->why = *why;
        blamed += x->failed;
    }
    size_t class = l->p->runs[w->seats[0].run].class;
    if (!blamed && why->code == ST_NOMEM && !crowded) {
        l->bank_size[class] = (w->n + 1) / 2;
        say(l, SWEEP_WARN, "%s; going on with banks of %zu", why->msg, l->bank_size[class]);
    }
    for (size_t i = 0; i < w->n; i++) {
        seat *x = &w->seats[i];
        cell_state state = x->failed ? CELL_FAILED : outcome(&w->jobs[i]);
        err ignored = {0};
        if (state == CELL_WAITING && !blamed && why->code != ST_NOMEM) l->cells[x->run].at_most = (w->n + 1) / 2;
        l->cells[x->run].begun = true;
        status one = leave(l, x, state, &x->why, st ? &ignored : e);
        if (!st) st = one;
    }
    return st;
}

static void clock_in(launch *l)
{
    if (!l->n_at_work++) l->at_work_since = io_now();
}

static void clock_out(launch *l)
{
    if (!--l->n_at_work) l->trained_s += io_now() - l->at_work_since;
    pthread_cond_broadcast(&l->idle);
}

/* Trains the bank in the seats, without the lock. Not ST_OK: the sweep must end. */
static status train(stream *w, err *e)
{
    launch *l = w->l;
    char name[600];
    err why = {0};
    train_opts t = {.threads = l->o->threads, .resume = true, .stop = l->o->stop, .halt = &l->halt,
                    .progress = bank_progress, .progress_self = w};
    double before = 0, after = 0;
    for (size_t i = 0; i < w->n; i++) before += l->cells[w->seats[i].run].left;
    w->bank_done = 0;
    clock_in(l);
    report(l);
    pthread_mutex_unlock(&l->lock);
    status st = train_bank(w->jobs, w->n, &t, &why);
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < w->n; i++) {
        cell *c = &l->cells[w->seats[i].run];
        if (*w->jobs[i].note) say(l, SWEEP_WARN, "run %s: %s", run_name(l, w->seats[i].run, name), w->jobs[i].note);
        c->left = flops_left(&l->p->runs[w->seats[i].run], w->jobs[i].result.step);
        after += c->left;
    }
    w->bank_done = 0;
    l->flops_done += before > after ? before - after : 0;
    l->device_lost |= st == ST_DEVICE;
    clock_out(l);
    if (st) {
        const bool crowded = st == ST_NOMEM && l->n_at_work;
        st = sort_out(w, &why, e);
        if (!st && crowded) pthread_cond_wait(&l->idle, &l->lock); /* tried again when a neighbour has gone */
        return st;
    }
    for (size_t i = 0; i < w->n; i++) {
        err ignored = {0};
        status one = leave(l, &w->seats[i], outcome(&w->jobs[i]), NULL, st ? &ignored : e);
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

/* A device error spoils everything that this process has on the device: the streams come home, then it starts anew.
 * Some errors (a kernel's own fault) only a new process recovers from: then the sweep ends, and what waits goes on
 * waiting. Not ST_OK: the sweep must end. */
static status heal(launch *l, err *e)
{
    const k_ops *ops = NULL;
    err why = {0};
    while (l->device_lost && l->n_at_work) pthread_cond_wait(&l->idle, &l->lock);
    if (!l->device_lost) return ST_OK;
    l->device_lost = false;
    for (size_t k = 0; k < l->p->n_classes; k++)
        if (!k_backend(&ops, l->p->runs[l->p->classes[k].example].config.backend, NULL) && ops->device) break;
    if (!ops || !ops->device || !ops->device->recover(&why)) return ST_OK;
    return err_set(e, ST_DEVICE,
                   "%s: the device failed and this process cannot start it anew (%s); everything is checkpointed: run "
                   "again to go on",
                   l->o->campaign, why.msg);
}

/* One step of a stream: a bank. Not ST_OK: the sweep must end; *more: whether there was anything to do. */
static status next_bank(stream *w, bool *more, err *e)
{
    launch *l = w->l;
    if (l->o->stop && *l->o->stop)
        return err_set(e, ST_INTERRUPTED, "%s: interrupted; everything is checkpointed, run again to go on",
                       l->o->campaign);
    status st = heal(l, e);
    if (st) return st;
    st = fill(w, e);
    if (st) {
        for (size_t i = 0; i < w->n; i++)
            store_run_close(w->seats[i].store, NULL, NULL), l->cells[w->seats[i].run].state = CELL_WAITING;
        return st;
    }
    if (w->n) return train(w, e);
    *more = look_again(l);
    return ST_OK;
}

static void *go(void *self)
{
    stream *w = self;
    launch *l = w->l;
    bool more = true;
    pthread_mutex_lock(&l->lock);
    while (more && !l->st) {
        err why = {0};
        status st = next_bank(w, &more, &why);
        if (!st || l->st) continue;
        l->st = st; /* the first reason is the sweep's */
        if (l->e) *l->e = why;
        l->halt = true;
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* The first stream is the caller's thread. A thread that cannot be had is a stream less. */
static void run_streams(launch *l)
{
    size_t started = 1;
    while (started < l->n_streams &&
           !pthread_create(&l->streams[started].thread, NULL, go, &l->streams[started])) started++;
    if (started < l->n_streams) say(l, SWEEP_WARN, "only %zu of %zu streams could be started", started, l->n_streams);
    go(&l->streams[0]);
    for (size_t i = 1; i < started; i++) pthread_join(l->streams[i].thread, NULL);
}

static bool make_streams(launch *l)
{
    size_t widest = 1;
    for (size_t k = 0; k < l->p->n_classes; k++) {
        l->bank_size[k] = l->p->classes[k].bank_size;
        if (l->bank_size[k] > widest) widest = l->bank_size[k];
    }
    l->n_streams = l->o->streams ? l->o->streams : 1;
    l->streams = calloc(l->n_streams, sizeof *l->streams);
    for (size_t i = 0; l->streams && i < l->n_streams; i++) {
        stream *w = &l->streams[i];
        *w = (stream){.l = l, .jobs = calloc(widest, sizeof *w->jobs), .seats = calloc(widest, sizeof *w->seats)};
        if (!w->jobs || !w->seats) return false;
    }
    return l->streams != NULL;
}

static void launch_free(launch *l)
{
    for (size_t i = 0; l->streams && i < l->n_streams; i++) {
        free(l->streams[i].jobs);
        free(l->streams[i].seats);
    }
    free(l->streams);
    free(l->bank_size);
    free(l->cells);
    pthread_cond_destroy(&l->idle);
    pthread_mutex_destroy(&l->lock);
}

status sweep_launch_local(sweep_progress *out, const sweep_plan *p, const sweep_spec *s, const sweep_launch_opts *o,
                          err *e)
{
    launch l = {.p = p, .s = s, .o = o, .e = e, .lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};
    memset(out, 0, sizeof *out);
    l.cells = calloc(p->n_runs + 1, sizeof *l.cells);
    l.bank_size = calloc(p->n_classes + 1, sizeof *l.bank_size);
    if (!l.cells || !l.bank_size || !make_streams(&l))
        l.st = err_set(e, ST_NOMEM, "%s: no memory for %zu runs", o->campaign, p->n_runs);
    if (!l.st) {
        survey(&l);
        run_streams(&l);
        count(&l, out);
    }
    if (!l.st && out->failed)
        l.st = err_set(e, ST_PARTIAL, "%s: %zu of %zu runs failed%s; run again to try them once more",
                       o->campaign, out->failed, out->total, out->done + out->diverged ? "; the others are done" : "");
    launch_free(&l);
    return l.st;
}
