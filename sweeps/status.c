#include "sweeps/status.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/run.h"
#include "sweeps/early_stop.h"
#include "sweeps/store.h"

const char *sweep_state_name(sweep_state s)
{
    static const char *const names[] = {
#define SWEEP_STATE_NAME(code, word, text) word,
        SWEEP_STATE_LIST(SWEEP_STATE_NAME)
#undef SWEEP_STATE_NAME
    };
    return (unsigned)s < SWEEP_N_STATES ? names[s] : "unknown";
}

static sweep_state state_of(const store_look *look)
{
    if (look->state == STORE_DONE) return SWEEP_DONE;
    if (look->state == STORE_DIVERGED) return SWEEP_DIVERGED;
    if (look->state == STORE_EARLY_STOPPED) return SWEEP_EARLY_STOPPED;
    if (*look->owner) return SWEEP_RUNNING;
    if (look->state == STORE_STOPPED) return SWEEP_STOPPED;
    if (look->state == STORE_FAILED) return SWEEP_FAILED;
    return look->state == STORE_PARTIAL ? SWEEP_PARTIAL : SWEEP_WAITING;
}

/* A journal that moves while it is read is normal: what cannot be had is left out. */
static void add_details(sweep_row *row, const char *dir)
{
    char path[IO_PATH_MAX];
    run_record r;
    if (row->state == SWEEP_WAITING || row->state == SWEEP_DONE || row->state == SWEEP_DAMAGED) return;
    if (io_join(path, dir, "journal.jsonl", NULL) || run_read_journal(&r, path, NULL)) return;
    const char *why = attrs_text(&r.group[RUN_ROOT], "why");
    if (row->state == SWEEP_EARLY_STOPPED) row->loss = attrs_f64(&r.group[RUN_SUMMARY], "stop_val_loss");
    if (row->state == SWEEP_EARLY_STOPPED) early_stop_why(row->message, sizeof row->message, &r.group[RUN_SUMMARY]);
    if (row->state == SWEEP_FAILED && why) snprintf(row->message, sizeof row->message, "%s", why);
    if (isnan(row->loss) && r.n_train) row->loss = r.train[TRAIN_LOSS][r.n_train - 1];
    run_free(&r);
}

static void look_at(sweep_row *row, const campaign_entry *run, const char *campaign, bool details)
{
    char dir[IO_PATH_MAX];
    store_look look;
    err why = {0};
    row->loss = NAN;
    row->shared = run->flops - run->own_flops;
    if (campaign_run_dir(dir, campaign, run->id, &why) || store_peek(&look, dir, &why)) {
        row->state = SWEEP_DAMAGED;
        snprintf(row->message, sizeof row->message, "%.255s", why.msg);
        return;
    }
    row->state = state_of(&look);
    if (row->state == SWEEP_WAITING) return;
    row->step = look.step;
    row->loss = look.loss;
    row->flops = row->state == SWEEP_DONE ? run->flops
                 : run->steps > 0         ? run->flops * (double)look.step / (double)run->steps
                                          : 0;
    if (row->flops > run->flops) row->flops = run->flops;
    /* Counted once, where they were computed. A run that is done without a trunk, against the plan, had none. */
    if (look.shared_flops > 0 || store_is_final(look.state)) row->shared = look.shared_flops;
    row->flops -= look.shared_flops < row->flops ? look.shared_flops : row->flops;
    memcpy(row->owner, look.owner, sizeof row->owner);
    if (details) add_details(row, dir);
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

status sweep_status_read(sweep_status *out, const char *campaign, bool details, err *e)
{
    memset(out, 0, sizeof *out);
    status st = campaign_plan_read(&out->plan, campaign, e);
    if (st) return st;
    out->rows = calloc(out->plan.n_runs + 1, sizeof *out->rows);
    if (!out->rows) return err_set(e, ST_NOMEM, "%s: no memory", campaign);
    for (size_t i = 0; i < out->plan.n_runs; i++) {
        look_at(&out->rows[i], &out->plan.runs[i], campaign, details);
        out->counts[out->rows[i].state]++;
        out->flops_done += out->rows[i].flops;
        out->flops_total += out->plan.runs[i].flops - out->rows[i].shared;
    }
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
    return json_pack("{s:s, s:s, s:I, s:o, s:I, s:f, s:f, s:o}", "schema", "muscale.status/1", "campaign", campaign,
                     "n_runs", (json_int_t)s->plan.n_runs, "counts", counts, "n_outside_plan", (json_int_t)s->outside,
                     "flops_done", s->flops_done, "flops_total", s->flops_total, "runs", runs);
}
