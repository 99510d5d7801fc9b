/* Streams that take banks from the plan and train them. One lock guards everything but the training itself: the cells,
 * the stores' opening and closing (HDF5 is not for two threads at once) and the listener. */
#include "sweeps/launch_local.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/device_ops.h"
#include "sweeps/launch_parts.h"

/* What stands on disk before anything starts. */
static void survey(launch *l)
{
    for (size_t i = 0; i < l->p->n_runs; i++) {
        char dir[IO_PATH_MAX];
        store_look look;
        cell *c = &l->cells[i];
        c->left = l->p->runs[i].flops;
        if (launch_run_dir(l, i, dir, NULL) || store_peek(&look, dir, NULL))
            continue; /* taking the run will say what is wrong */
        if (store_is_final(look.state)) launch_finish_cell(l, i, &look);
        else if (look.state != STORE_ABSENT) c->begun = true, c->left = launch_flops_left(&l->p->runs[i], look.step);
        if (c->begun) c->step = train_newest(dir);
        else if (c->state == CELL_WAITING) c->left = l->p->runs[i].own_flops;
    }
}

static void leave_out(launch *l)
{
    for (size_t i = 0; i < l->p->n_runs && l->o->only; i++)
        if (!l->o->only[i] && l->cells[i].state == CELL_WAITING) l->cells[i].state = CELL_LEFT;
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
        if (c->state != CELL_OTHERS || launch_run_dir(l, i, dir, NULL) || store_peek(&look, dir, NULL)) continue;
        if (store_is_final(look.state)) launch_finish_cell(l, i, &look);
        else if (!*look.owner && !c->asked_again) {
            c->state = CELL_WAITING;
            c->begun = c->asked_again = more = true;
            c->step = train_newest(dir);
            launch_trunks_touch(l, i);
        }
    }
    return more;
}

static bool anyone_waits(const launch *l)
{
    for (size_t i = 0; i < l->p->n_runs; i++)
        if (l->cells[i].state == CELL_WAITING) return true;
    return false;
}

static const k_device_ops *device_of(const sweep_plan *p)
{
    const k_ops *ops = NULL;
    for (size_t k = 0; k < p->n_classes; k++)
        if (!k_backend(&ops, p->runs[p->classes[k].example].config.backend, NULL) && ops->device) return ops->device;
    return NULL;
}

/* A device error spoils everything that this process has on the device: the streams come home, then it starts anew.
 * Some errors (a kernel's own fault) only a new process recovers from: then the sweep ends here, and o->handover is
 * what the next process must know. Not ST_OK: the sweep must end. */
static status heal(launch *l, err *e)
{
    err why = {0};
    while (l->device_lost && l->n_at_work) pthread_cond_wait(&l->idle, &l->lock);
    const k_device_ops *dev = device_of(l->p);
    if (!l->device_lost || !dev || !anyone_waits(l)) return ST_OK;
    l->device_lost = false;
    if (launch_device_fails(l))
        return err_set(e, ST_DEVICE,
                       "%s: %zu runs in a row failed with the device and nobody got on: it is the device that fails; "
                       "everything is checkpointed: repair it and run again to go on",
                       l->o->campaign, l->strikes);
    const bool here = !dev->recover(&why);
    launch_say(l, SWEEP_WARN, "%s; its runs go on from their checkpoints in smaller banks", l->device_why.msg);
    if (here) return ST_OK;
    if (l->o->handover) *l->o->handover = launch_handover(l);
    return err_set(e, ST_DEVICE,
                   "%s: only a new process can use the device again (%s); everything is checkpointed: run again to go "
                   "on", l->o->campaign, why.msg);
}

/* One step of a stream: a bank. Not ST_OK: the sweep must end; *more: whether there was anything to do. */
static status next_bank(stream *w, bool *more, err *e)
{
    launch *l = w->l;
    if (l->o->stop && *l->o->stop)
        return err_set(e, ST_INTERRUPTED, "%s: interrupted; everything is checkpointed, run again to go on",
                       l->o->campaign);
    status st = heal(l, e);
    if (st || l->st) return st;
    launch_trunks_settle(l);
    launch_pick(w);
    if (!w->n_picked) {
        *more = look_again(l) || launch_trunks_wait(l);
        return ST_OK;
    }
    if (!launch_has_room(w)) {
        pthread_cond_wait(&l->idle, &l->lock);
        return ST_OK;
    }
    st = launch_fill(w, e);
    if (st) {
        for (size_t i = 0; i < w->n; i++)
            store_run_close(w->seats[i].store, NULL, NULL), l->cells[w->seats[i].run].state = CELL_WAITING;
        return st;
    }
    return w->n ? launch_train(w, e) : ST_OK;
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
    if (started < l->n_streams)
        launch_say(l, SWEEP_WARN, "only %zu of %zu streams could be started", started, l->n_streams);
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
    l->n_streams = l->o->streams ? l->o->streams : l->p->streams;
    l->streams = calloc(l->n_streams, sizeof *l->streams);
    for (size_t i = 0; l->streams && i < l->n_streams; i++) {
        stream *w = &l->streams[i];
        *w = (stream){.l = l,
                      .jobs = calloc(widest, sizeof *w->jobs),
                      .seats = calloc(widest, sizeof *w->seats),
                      .picked = calloc(widest, sizeof *w->picked)};
        if (!w->jobs || !w->seats || !w->picked) return false;
    }
    return l->streams != NULL;
}

static void launch_free(launch *l)
{
    for (size_t i = 0; l->streams && i < l->n_streams; i++) {
        free(l->streams[i].jobs);
        free(l->streams[i].seats);
        free(l->streams[i].picked);
    }
    free(l->streams);
    launch_trunks_free(l);
    early_stop_board_free(l->early);
    free(l->bank_size);
    free(l->marks);
    free(l->cells);
    pthread_cond_destroy(&l->idle);
    pthread_mutex_destroy(&l->lock);
}

status sweep_launch_local(sweep_progress *out, const sweep_plan *p, const sweep_spec *s, const sweep_launch_opts *o,
                          err *e)
{
    launch l = {.p = p, .s = s, .o = o, .e = e, .lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};
    memset(out, 0, sizeof *out);
    if (o->handover) *o->handover = NULL;
    l.cells = calloc(p->n_runs + 1, sizeof *l.cells);
    l.bank_size = calloc(p->n_classes + 1, sizeof *l.bank_size);
    l.marks = calloc(p->n_classes + 1, sizeof *l.marks);
    if (!l.cells || !l.bank_size || !l.marks || !make_streams(&l) || !launch_trunks_new(&l))
        l.st = err_set(e, ST_NOMEM, "%s: no memory for %zu runs", o->campaign, p->n_runs);
    if (!l.st) l.st = early_stop_board_new(&l.early, p, &s->early_stop, o->campaign, e);
    if (!l.st) {
        survey(&l);
        leave_out(&l);
        launch_resume(&l);
        run_streams(&l);
        launch_trunks_settle(&l); /* what nobody needs any more is deleted */
        launch_count(&l, out);
    }
    if (!l.st && out->failed)
        l.st = err_set(e, ST_PARTIAL, "%s: %zu of %zu runs failed%s; run again to try them once more",
                       o->campaign, out->failed, out->total, out->done + out->diverged + out->early_stopped ? "; the others are done" : "");
    launch_free(&l);
    return l.st;
}
