/* Families of a plan while it is launched: who waits for whose trunk, what a trunk has to leave, and who goes on from
 * there. A branch waits for the first of its family that is on its way past the branch; if that one fails or is done
 * without having left the state (a campaign that was amended, or begun without trunks), for the next; and where nobody is
 * on the way it trains all of its steps, as a trunk for those behind it. */
#include <stdlib.h>
#include <time.h>

#include "sweeps/launch_parts.h"

enum { NOBODY = -1, LONGEST_PAUSE_S = 4 };

typedef struct trunks {
    int64_t **leave; /* per run: of its job, while it is in a bank */
    bool *stale;     /* per family: a member's state has changed */
    int pause;       /* seconds until others' trunks are looked at again */
} trunks;

static size_t member(const launch *l, const sweep_family *f, size_t i) { return l->p->members[f->first + i]; }

static bool is_final(const cell *c)
{
    return c->state == CELL_DONE || c->state == CELL_DIVERGED || c->state == CELL_EARLY_STOPPED;
}

/* Whether a run still has to come to its branch: somebody's state at that step is for it. */
static bool needs_branch(const launch *l, size_t run)
{
    const cell *c = &l->cells[run];
    return !is_final(c) && !c->apart && c->step < l->p->runs[run].branch_step;
}

/* ---- who has it, who will have it ----------------------------------------------------------------------------- */

typedef enum offer { OFFER_NONE, OFFER_LATER, OFFER_STATE, OFFER_END } offer;

/* Another process's run: on its way there, as far as its journal shows. A state appears before the rows behind it. */
static bool other_is_on_its_way(const char *dir, int64_t step)
{
    store_look look;
    return !store_peek(&look, dir, NULL) && *look.owner && look.step <= step;
}

static offer offer_of(const launch *l, size_t run, int64_t step)
{
    const cell *c = &l->cells[run];
    char dir[IO_PATH_MAX];
    if (launch_run_dir(l, run, dir, NULL)) return OFFER_NONE;
    if (c->state == CELL_DIVERGED && c->step <= step) return OFFER_END;
    const bool coming = c->state == CELL_OTHERS && other_is_on_its_way(dir, step); /* before its state is looked for */
    if (store_trunk_left(dir, step)) return OFFER_STATE;
    const bool ours = (c->state == CELL_WAITING || c->state == CELL_RUNNING) && c->step < step;
    return coming || ours ? OFFER_LATER : OFFER_NONE;
}

/* Of a run that has not begun, or not got to its branch. */
static void find_source(const launch *l, const sweep_family *f, size_t i)
{
    const size_t run = member(l, f, i);
    const int64_t step = l->p->runs[run].branch_step;
    cell *c = &l->cells[run];
    c->source = NOBODY;
    c->blocked = false;
    if (!step || c->state != CELL_WAITING || !needs_branch(l, run)) return;
    for (size_t k = 0; k < i; k++) {
        const size_t of = member(l, f, k);
        const cell *s = &l->cells[of];
        /* one that goes on from a trunk itself begins behind this step, or at it */
        const bool late = s->state == CELL_WAITING && (s->blocked || s->source != NOBODY);
        const offer x = offer_of(l, of, step);
        if (x == OFFER_NONE || (x == OFFER_LATER && (late || c->blocked))) continue;
        c->blocked = x == OFFER_LATER;
        if (c->blocked) continue; /* somebody else may have it already */
        c->source = (ptrdiff_t)of;
        return;
    }
}

/* Deletes states that nobody is going to begin with. */
static void tidy(const launch *l, const sweep_family *f)
{
    char dir[IO_PATH_MAX];
    for (size_t i = 1; i < f->n; i++) {
        const int64_t step = l->p->runs[member(l, f, i)].branch_step;
        bool needed = false;
        for (size_t k = 1; k < f->n && !needed; k++)
            needed = l->p->runs[member(l, f, k)].branch_step == step && needs_branch(l, member(l, f, k));
        for (size_t k = 0; k < i && !needed; k++)
            if (!launch_run_dir(l, member(l, f, k), dir, NULL)) train_forget(dir, step);
    }
}

void launch_trunks_settle(launch *l)
{
    for (size_t k = 0; l->trunks && k < l->p->n_families; k++) {
        if (!l->trunks->stale[k]) continue;
        l->trunks->stale[k] = false;
        for (size_t i = 0; i < l->p->families[k].n; i++) find_source(l, &l->p->families[k], i);
        tidy(l, &l->p->families[k]);
    }
}

void launch_trunks_touch(launch *l, size_t run)
{
    if (l->trunks && l->p->runs[run].family != SWEEP_NO_FAMILY) l->trunks->stale[l->p->runs[run].family] = true;
}

/* ---- a run takes its seat ------------------------------------------------------------------------------------- */

/* Until all that has to come by is left, a trunk leaves it again after every start: those steps are made again, and a
 * state whose record was cut off is not believed. */
static void set_leave(launch *l, size_t run, int64_t step, train_job *job)
{
    const sweep_family *f = &l->p->families[l->p->runs[run].family];
    size_t at = 0;
    while (member(l, f, at) != run) at++;
    free(l->trunks->leave[run]);
    int64_t *leave = l->trunks->leave[run] = calloc(f->n, sizeof *leave);
    job->leave = leave;
    for (size_t i = at + 1; leave && i < f->n; i++) {
        const int64_t to = l->p->runs[member(l, f, i)].branch_step;
        if (to > step && needs_branch(l, member(l, f, i)) && (!job->n_leave || leave[job->n_leave - 1] != to))
            leave[job->n_leave++] = to;
    }
}

/* From the trunk's state, or to its end. */
static status join(launch *l, size_t run, store_run *store, const char *dir, int64_t *step, bool *ended, err *e)
{
    cell *c = &l->cells[run];
    const sweep_run *r = &l->p->runs[run], *of = &l->p->runs[c->source];
    char from[IO_PATH_MAX], name[600];
    err why = {0};
    if (c->source == NOBODY || *step >= r->branch_step || train_newest(dir) >= r->branch_step) return ST_OK;
    status st = launch_run_dir(l, (size_t)c->source, from, e);
    if (st) return st;
    const store_trunk t = {.dir = from, .id = of->id, .config = &of->config, .step = r->branch_step};
    st = store_run_branch(store, &t, ended, &why);
    if (st == ST_CORRUPT) {
        c->apart = true;
        launch_say(l, SWEEP_WARN, "run %s trains all of its steps: of its trunk %s", launch_run_name(l, run, name),
                   why.msg);
        return ST_OK;
    }
    if (st && e) *e = why;
    if (!st && !*ended) *step = r->branch_step;
    return st;
}

status launch_trunks_seat(launch *l, size_t run, store_run *store, train_job *job, int64_t *step, bool *ended, err *e)
{
    *ended = false;
    if (!l->trunks || l->p->runs[run].family == SWEEP_NO_FAMILY) return ST_OK;
    const status st = join(l, run, store, job->ckpt_dir, step, ended, e);
    if (st) return st;
    l->cells[run].step = *ended ? store_run_look(store)->step : *step;
    set_leave(l, run, *step, job);
    launch_trunks_touch(l, run);
    return ST_OK;
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

bool launch_trunks_wait(launch *l)
{
    bool any = false;
    struct timespec until;
    for (size_t i = 0; l->trunks && i < l->p->n_runs; i++) {
        if (l->cells[i].state != CELL_WAITING || !l->cells[i].blocked) continue;
        any = true;
        launch_trunks_touch(l, i);
    }
    if (!any) return false;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += l->trunks->pause;
    if (l->n_at_work) until.tv_sec = time(NULL) + 1; /* a stream beside this one leaves states while it trains */
    else if (l->trunks->pause < LONGEST_PAUSE_S) l->trunks->pause *= 2;
    pthread_cond_timedwait(&l->idle, &l->lock, &until);
    return true;
}

/* ---- the launch ----------------------------------------------------------------------------------------------- */

void launch_trunks_free(launch *l)
{
    if (!l->trunks) return;
    for (size_t i = 0; l->trunks->leave && i < l->p->n_runs; i++) free(l->trunks->leave[i]);
    free(l->trunks->leave);
    free(l->trunks->stale);
    free(l->trunks);
    l->trunks = NULL;
}

bool launch_trunks_new(launch *l)
{
    for (size_t i = 0; i < l->p->n_runs; i++) l->cells[i].source = NOBODY;
    if (!l->p->n_families) return true;
    trunks *t = l->trunks = calloc(1, sizeof *t);
    if (!t) return false;
    t->pause = 1;
    t->leave = calloc(l->p->n_runs, sizeof *t->leave);
    t->stale = calloc(l->p->n_families, sizeof *t->stale);
    for (size_t k = 0; t->stale && k < l->p->n_families; k++) t->stale[k] = true;
    return t->leave && t->stale;
}
