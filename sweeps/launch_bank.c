/* One bank: who is in it, whether there is room for it, its training, and who is to blame when it fails. */
#include <stdio.h>
#include <string.h>

#include "sweeps/campaign.h"
#include "sweeps/fill.h"
#include "sweeps/launch_parts.h"

/* ---- failures ------------------------------------------------------------------------------------------------- */

/* One run that cannot write is that run's failure; a campaign that cannot be written ends the sweep, and so does one that
 * has no room for a checkpoint of the run that failed: the others would train up to theirs in vain. */
static status campaign_writable(const launch *l, size_t run, err *e)
{
    char path[IO_PATH_MAX];
    const shape_counts n = shape_count(&l->p->runs[run].config.shape);
    status st = io_join(path, l->o->campaign, "runs", e);
    if (!st) st = io_room_for(path, 3 * sizeof(float) * (size_t)n.n_params_total, e); /* weights and two moments */
    if (st) err_prefix(e, "the sweep stops; finished runs are safe; make room and run again");
    return st;
}

/* Records a failure. Not ST_OK: the sweep must end (*e says why). */
static status fail_run(launch *l, size_t run, const err *why, err *e)
{
    char name[600];
    l->cells[run].state = CELL_FAILED;
    l->n_failed++;
    launch_say(l, SWEEP_FAILURE, "run %s failed: %s", launch_run_name(l, run, name),
               why->msg[0] ? why->msg : status_text(why->code));
    if (why->code == ST_IO) {
        status st = campaign_writable(l, run, e);
        if (st) return st;
    }
    if (l->o->fail_fast && l->n_failed >= l->o->fail_fast)
        return err_set(e, ST_PARTIAL, "%s: stopped by --fail-fast after %zu failed run%s", l->o->campaign, l->n_failed,
                       l->n_failed > 1 ? "s" : "");
    return ST_OK;
}

/* ---- filling a bank ------------------------------------------------------------------------------------------- */

status launch_run_dir(const launch *l, size_t run, char out[IO_PATH_MAX], err *e)
{
    return campaign_run_dir(out, l->o->campaign, l->p->runs[run].id, e);
}

void launch_finish_cell(launch *l, size_t run, const store_look *look)
{
    l->cells[run].state = look->state == STORE_DIVERGED        ? CELL_DIVERGED
                          : look->state == STORE_EARLY_STOPPED ? CELL_EARLY_STOPPED
                                                               : CELL_DONE;
    l->cells[run].left = 0;
    l->cells[run].step = look->step;
    launch_trunks_touch(l, run);
}

double launch_flops_left(const sweep_run *r, int64_t step)
{
    double share = r->steps > 0 ? 1 - (double)step / (double)r->steps : 0;
    return r->flops * (share > 0 ? share : 0);
}

static claim claim_of(const stream *w, const size_t *runs, size_t n)
{
    const launch *l = w->l;
    const sweep_run *r = &l->p->runs[runs[0]];
    if (!l->p->classes[r->class].on_device) return (claim){0};
    const bank_opts o = train_bank_opts(&r->config, n, train_threads(&r->config, l->o->threads));
    return (claim){.bytes = bank_bytes_needed(&o), .fill = fill_of(&o, l->p->device.multiprocessors),
                   .alone = l->cells[runs[0]].alone};
}

/* A bank that is alone always has: what does not even fit then, bank_new refuses with what would. */
bool launch_has_room(const stream *w)
{
    const launch *l = w->l;
    const claim want = claim_of(w, w->picked, w->n_picked);
    const size_t budget = l->p->device.budget, left = budget > l->taken.bytes ? budget - l->taken.bytes : 0;
    if (!l->n_at_work) return true;
    if (l->taken.alone || want.alone || (want.bytes && want.bytes > left)) return false;
    return !want.bytes || !l->p->streams_chosen || l->taken.fill < FILL_ENOUGH;
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
    bool ended;
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
    status st = launch_run_dir(l, run, dir, &why);
    if (!st) st = store_run_open(&x->store, &so, &why);
    if (st == ST_BUSY) {
        l->cells[run].state = CELL_OTHERS;
        launch_trunks_touch(l, run);
        launch_say(l, SWEEP_NOTE, "run %s is left to its owner: %s", launch_run_name(l, run, name), why.msg);
        return ST_OK;
    }
    if (st) return fail_run(l, run, &why, e);
    const store_look *look = store_run_look(x->store);
    if (*store_run_note(x->store))
        launch_say(l, SWEEP_WARN, "run %s: %s", launch_run_name(l, run, name), store_run_note(x->store));
    if (store_is_final(look->state)) { /* another process finished it since we looked */
        launch_finish_cell(l, run, look);
        st = store_run_close(x->store, NULL, &why);
        return st ? fail_run(l, run, &why, e) : ST_OK;
    }
    l->cells[run].begun |= look->state != STORE_ABSENT;
    /* A run without a valid checkpoint left must not take its bank down with it. */
    if (l->cells[run].begun) st = train_resume_step(&step, dir, &r->config, note, &why);
    memcpy(job->ckpt_dir, dir, sizeof job->ckpt_dir);
    if (!st) st = launch_trunks_seat(l, run, x->store, job, &step, &ended, &why);
    if (!st && ended) { /* its trunk's end is its own */
        launch_finish_cell(l, run, look);
        st = store_run_close(x->store, NULL, &why);
        return st ? fail_run(l, run, &why, e) : ST_OK;
    }
    if (!st) st = early_stop_board_sit(l->early, run, step, &why);
    if (st) {
        store_run_close(x->store, &why, NULL);
        return fail_run(l, run, &why, e);
    }
    x->run = run;
    x->inner = store_run_observer(x->store);
    x->board = l->early;
    job->config = r->config;
    job->observer = seat_observer(x);
    job->wall_before = look->wall_s;
    l->cells[run].state = CELL_RUNNING;
    l->cells[run].left = launch_flops_left(r, step);
    w->n++;
    return ST_OK;
}

status launch_fill(stream *w, err *e)
{
    status st = ST_OK;
    w->n = 0;
    for (size_t i = 0; i < w->n_picked && !st; i++) st = take(w, w->picked[i], e);
    if (w->n) w->claim = claim_of(w, &w->seats[0].run, w->n);
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
    const bool ended = state == CELL_DONE || state == CELL_DIVERGED || state == CELL_EARLY_STOPPED;
    launch_trunks_touch(l, x->run);
    early_stop_board_leave(l->early, x->run, ended);
    if (ended) c->left = 0;
    if (state == CELL_FAILED) return fail_run(l, x->run, why, e);
    return st ? fail_run(l, x->run, &close_why, e) : ST_OK;
}

static cell_state outcome(const train_job *job)
{
    switch (job->result.status) {
    case RUN_DONE: return CELL_DONE;
    case RUN_DIVERGED: return CELL_DIVERGED;
    case RUN_STOPPED: return CELL_STOPPED;
    case RUN_EARLY_STOPPED: return CELL_EARLY_STOPPED;
    default: return CELL_WAITING;
    }
}

/* Who got on: a device that lets runs get on is not what makes them fail. */
static bool anyone_got_on(const stream *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const run_status end = w->jobs[i].result.status;
        if (w->seats[i].kept || end == RUN_DONE || end == RUN_DIVERGED || end == RUN_EARLY_STOPPED) return true;
    }
    return false;
}

/* The runs that the error itself names, or the only one there was. Memory that a neighbour holds, and a device that a
 * neighbour may have spoilt, is nobody's fault. */
static size_t blame(stream *w, const err *why, bool beside_others)
{
    const bool others_too = beside_others && (why->code == ST_NOMEM || why->code == ST_DEVICE);
    size_t blamed = 0;
    for (size_t i = 0; i < w->n; i++) {
        seat *x = &w->seats[i];
        if (!x->failed && !others_too && (w->n == 1 || strstr(why->msg, w->jobs[i].ckpt_dir)))
            x->failed = true, x->why = *why;
        blamed += x->failed;
    }
    return blamed;
}

/* After a failed bank: who is to blame fails, who has ended stays ended, the others wait for the next bank. An error of
 * nobody is looked for in halves of the bank: one that was not a run's (a device that failed once) costs one restart,
 * one that a run brings with it is found in log2(n) of them. */
static status sort_out(stream *w, const err *why, bool beside_others, err *e)
{
    launch *l = w->l;
    status st = ST_OK;
    const size_t blamed = blame(w, why, beside_others), class = l->p->runs[w->seats[0].run].class;
    if (blamed && why->code == ST_DEVICE) launch_strike(l, class, blamed);
    if (!blamed && why->code == ST_NOMEM && !beside_others) {
        l->bank_size[class] = (w->n + 1) / 2;
        launch_say(l, SWEEP_WARN, "%s; going on with banks of %zu", why->msg, l->bank_size[class]);
    }
    for (size_t i = 0; i < w->n; i++) {
        seat *x = &w->seats[i];
        cell *c = &l->cells[x->run];
        const cell_state state = x->failed ? CELL_FAILED : outcome(&w->jobs[i]);
        err ignored = {0};
        if (state == CELL_WAITING && !blamed && why->code != ST_NOMEM) {
            c->at_most = (w->n + 1) / 2;
            c->alone = w->n == 1;
        }
        c->begun = true;
        status one = leave(l, x, state, &x->why, st ? &ignored : e);
        if (!st) st = one;
    }
    return st;
}

static void clock_in(stream *w)
{
    launch *l = w->l;
    if (!l->n_at_work++) l->at_work_since = io_now();
    l->taken.bytes += w->claim.bytes;
    l->taken.fill += w->claim.fill;
    l->taken.alone |= w->claim.alone;
}

static void clock_out(stream *w)
{
    launch *l = w->l;
    l->taken.bytes -= w->claim.bytes;
    l->taken.fill -= w->claim.fill;
    if (!--l->n_at_work) {
        l->trained_s += io_now() - l->at_work_since;
        l->taken = (claim){0};
    }
    pthread_cond_broadcast(&l->idle);
}

static void bank_progress(void *self, double flops_done, double flops_total)
{
    stream *x = self;
    (void)flops_total;
    pthread_mutex_lock(&x->l->lock);
    x->bank_done = flops_done;
    launch_report(x->l);
    pthread_mutex_unlock(&x->l->lock);
}

/* Trains the bank in the seats. */
status launch_train(stream *w, err *e)
{
    launch *l = w->l;
    char name[600];
    err why = {0};
    train_opts t = {.threads = l->o->threads, .resume = true, .stop = l->o->stop, .halt = &l->halt,
                    .progress = bank_progress, .progress_self = w};
    double before = 0, after = 0;
    for (size_t i = 0; i < w->n; i++) before += l->cells[w->seats[i].run].left;
    w->bank_done = 0;
    clock_in(w);
    launch_report(l);
    pthread_mutex_unlock(&l->lock);
    status st = train_bank(w->jobs, w->n, &t, &why);
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < w->n; i++) {
        cell *c = &l->cells[w->seats[i].run];
        if (*w->jobs[i].note)
            launch_say(l, SWEEP_WARN, "run %s: %s", launch_run_name(l, w->seats[i].run, name), w->jobs[i].note);
        c->left = launch_flops_left(&l->p->runs[w->seats[i].run], w->jobs[i].result.step);
        if (w->jobs[i].result.step > c->step) c->step = w->jobs[i].result.step;
        after += c->left;
    }
    w->bank_done = 0;
    l->flops_done += before > after ? before - after : 0;
    const bool lost_before = l->device_lost;
    if (st == ST_DEVICE) l->device_why = why;
    l->device_lost |= st == ST_DEVICE;
    if (anyone_got_on(w)) launch_got_on(l);
    clock_out(w);
    if (st) {
        const bool beside_others = l->n_at_work || lost_before, crowded = st == ST_NOMEM && l->n_at_work;
        st = sort_out(w, &why, beside_others, e);
        if (!st && crowded) pthread_cond_wait(&l->idle, &l->lock); /* tried again when a neighbour has gone */
        return st;
    }
    if (w->n) launch_acquit(l, l->p->runs[w->seats[0].run].class);
    for (size_t i = 0; i < w->n; i++) {
        err ignored = {0};
        status one = leave(l, &w->seats[i], outcome(&w->jobs[i]), NULL, st ? &ignored : e);
        if (!st) st = one;
    }
    return st;
}
