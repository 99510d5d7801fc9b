#include "sweeps/status.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sweeps/store.h"

const sweep_state_row sweep_states[SWEEP_N_STATES] = {
#define SWEEP_STATE_ROW(code, word, again, end, shown, text) [code] = {word, again, end, shown},
    SWEEP_STATE_LIST(SWEEP_STATE_ROW)
#undef SWEEP_STATE_ROW
};

const char *sweep_state_name(sweep_state s) { return (unsigned)s < SWEEP_N_STATES ? sweep_states[s].word : "unknown"; }

/* Of a run that no live process owns. */
static sweep_state state_of(const store_look *look)
{
    static const sweep_state of[] = {
        [STORE_ABSENT] = SWEEP_WAITING, [STORE_PARTIAL] = SWEEP_PARTIAL, [STORE_STOPPED] = SWEEP_STOPPED,
        [STORE_FAILED] = SWEEP_FAILED,  [STORE_DONE] = SWEEP_DONE,       [STORE_DIVERGED] = SWEEP_DIVERGED,
        [STORE_EARLY_STOPPED] = SWEEP_EARLY_STOPPED,
    };
    return *look->owner && !store_is_final(look->state) ? SWEEP_RUNNING : of[look->state];
}

static double flops_at(const campaign_entry *run, sweep_state state, int64_t step)
{
    const double share = run->steps > 0 ? (double)step / (double)run->steps : 0;
    return state == SWEEP_DONE || share > 1 ? run->flops : run->flops * share;
}

/* What is counted at a run's trunk. The end of a journal does not say it; a run that is done without a trunk, against
 * the plan, had none. */
static double shared_of(const campaign_entry *run, const char *dir, const store_glance *g)
{
    const double planned = run->flops - run->own_flops;
    store_look look = g->look;
    if (!(planned > 0)) return 0;
    const bool as_planned = !store_is_final(look.state) || store_peek(&look, dir, NULL);
    return as_planned ? planned : look.shared_flops;
}

static void take_glance(sweep_row *row, const campaign_entry *run, const char *dir, const store_glance *g)
{
    row->state = state_of(&g->look);
    row->step = g->look.step;
    row->loss = isnan(g->look.loss) && row->state != SWEEP_DONE ? g->train_loss : g->look.loss;
    row->flops = flops_at(run, row->state, row->step);
    row->shared = shared_of(run, dir, g);
    row->flops -= row->shared < row->flops ? row->shared : row->flops;
    memcpy(row->owner, g->look.owner, sizeof row->owner);
    if (row->state == SWEEP_FAILED || row->state == SWEEP_EARLY_STOPPED)
        snprintf(row->message, sizeof row->message, "%s", g->why);
    if (row->state == SWEEP_DIVERGED && g->diverged_at >= 0)
        snprintf(row->message, sizeof row->message, "the loss blew up at step %lld", (long long)g->diverged_at);
}

static void look_at(sweep_row *row, const campaign_entry *run, const char *dir, const sweep_stamp *stamp)
{
    store_glance g;
    err why = {0};
    *row = (sweep_row){.loss = NAN, .seen = true, .stamp = *stamp, .shared = run->flops - run->own_flops};
    if (!store_glance_at(&g, dir, &why)) take_glance(row, run, dir, &g);
    else {
        row->state = SWEEP_DAMAGED;
        snprintf(row->message, sizeof row->message, "%.500s", why.msg);
    }
}

static bool stamp_of(sweep_stamp *out, const char *dir)
{
    char path[IO_PATH_MAX];
    struct stat st;
    *out = (sweep_stamp){.size = -1};
    if (io_join(path, dir, "journal.jsonl", NULL)) return false;
    if (!stat(path, &st))
        *out = (sweep_stamp){.size = st.st_size, .mtime_s = st.st_mtim.tv_sec, .mtime_ns = st.st_mtim.tv_nsec};
    out->owned = !io_join(path, dir, "owner", NULL) && io_exists(path);
    return true;
}

static bool same_stamp(const sweep_stamp *a, const sweep_stamp *b)
{
    return a->size == b->size && a->mtime_s == b->mtime_s && a->mtime_ns == b->mtime_ns && a->owned == b->owned;
}

/* The stamp is taken before the look: what is written in between is seen the next time. */
static void look_again_at(sweep_row *row, const campaign_entry *run, const char *campaign)
{
    char dir[IO_PATH_MAX];
    sweep_stamp now;
    if (row->seen && row->state == SWEEP_DONE) return; /* for good */
    if (campaign_run_dir(dir, campaign, run->id, NULL) || !stamp_of(&now, dir)) now = (sweep_stamp){.size = -1};
    const bool quiet = row->seen && row->state != SWEEP_RUNNING && row->state != SWEEP_DAMAGED;
    if (quiet && same_stamp(&now, &row->stamp)) return;
    look_at(row, run, dir, &now);
}

void sweep_status_again(sweep_status *s, const char *campaign)
{
    memset(s->counts, 0, sizeof s->counts);
    double through = 0;
    s->flops_done = s->flops_left = s->flops_total = 0;
    for (size_t i = 0; i < s->plan.n_runs; i++) {
        sweep_row *row = &s->rows[i];
        look_again_at(row, &s->plan.runs[i], campaign);
        const double whole = s->plan.runs[i].flops - row->shared;
        s->counts[row->state]++;
        s->flops_done += row->flops;
        s->flops_total += whole;
        const sweep_end end = sweep_states[row->state].end;
        if (end == SWEEP_OPEN) s->flops_left += whole - row->flops;
        through += end == SWEEP_FINAL ? whole : row->flops;
    }
    s->progress = s->flops_total > 0 ? through / s->flops_total : 0;
}

bool sweep_status_settled(const sweep_status *s)
{
    size_t settled = 0;
    for (int k = 0; k < SWEEP_N_STATES; k++) settled += sweep_states[k].end == SWEEP_OPEN ? 0 : s->counts[k];
    return settled == s->plan.n_runs;
}

static int by_id(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static status count_outside(sweep_status *s, const char *campaign, err *e)
{
    char path[IO_PATH_MAX];
    status st = io_join(path, campaign, "runs", e);
    DIR *d = st ? NULL : opendir(path);
    if (!d) return st; /* no run was begun */
    const char **ids = malloc((s->plan.n_runs + 1) * sizeof *ids);
    if (!ids) {
        closedir(d);
        return err_set(e, ST_NOMEM, "%s: no memory", campaign);
    }
    for (size_t i = 0; i < s->plan.n_runs; i++) ids[i] = s->plan.runs[i].id;
    qsort(ids, s->plan.n_runs, sizeof *ids, by_id);
    for (struct dirent *x; (x = readdir(d));) {
        const char *name = x->d_name;
        if (*name != '.' && !bsearch(&name, ids, s->plan.n_runs, sizeof *ids, by_id)) s->outside++;
    }
    free(ids);
    closedir(d);
    return ST_OK;
}

static size_t count_attempts(const char *campaign)
{
    char path[IO_PATH_MAX];
    size_t n = 0;
    DIR *d = io_join(path, campaign, "attempts", NULL) ? NULL : opendir(path);
    for (struct dirent *x; d && (x = readdir(d));) n += x->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

status sweep_status_read(sweep_status *out, const char *campaign, err *e)
{
    memset(out, 0, sizeof *out);
    status st = campaign_plan_read(&out->plan, campaign, e);
    if (st) return st;
    out->rows = calloc(out->plan.n_runs + 1, sizeof *out->rows);
    if (!out->rows) return err_set(e, ST_NOMEM, "%s: no memory", campaign);
    sweep_status_again(out, campaign);
    out->attempts = count_attempts(campaign);
    return count_outside(out, campaign, e);
}

void sweep_status_free(sweep_status *s)
{
    campaign_plan_free(&s->plan);
    free(s->rows);
    memset(s, 0, sizeof *s);
}

static json_t *text_or_null(const char *text) { return *text ? json_string(text) : json_null(); }

json_t *sweep_status_json(const sweep_status *s, const char *campaign)
{
    json_t *counts = json_object(), *runs = json_array();
    for (int k = 0; k < SWEEP_N_STATES; k++)
        json_object_set_new(counts, sweep_state_name((sweep_state)k), json_integer((json_int_t)s->counts[k]));
    for (size_t i = 0; i < s->plan.n_runs; i++) {
        const sweep_row *r = &s->rows[i];
        json_t *j = json_pack("{s:s, s:s, s:s, s:I, s:I}", "id", s->plan.runs[i].id, "name", s->plan.runs[i].name,
                              "state", sweep_state_name(r->state), "step", (json_int_t)r->step, "steps",
                              (json_int_t)s->plan.runs[i].steps);
        json_object_set_new(j, "loss", isfinite(r->loss) ? json_real(r->loss) : json_null());
        json_object_set_new(j, "owner", text_or_null(r->owner));
        json_object_set_new(j, "message", text_or_null(r->message));
        json_array_append_new(runs, j);
    }
    return json_pack("{s:s, s:s, s:I, s:o, s:b, s:I, s:I, s:f, s:f, s:f, s:o}", "schema", "muscale.status/1",
                     "campaign", campaign, "n_runs", (json_int_t)s->plan.n_runs, "counts", counts, "settled",
                     sweep_status_settled(s), "n_outside_plan", (json_int_t)s->outside, "n_attempts",
                     (json_int_t)s->attempts, "flops_done", s->flops_done, "flops_left", s->flops_left, "flops_total",
                     s->flops_total, "runs", runs);
}
