/* One run directory being written: opening it, the observer, closing it. */
#include "sweeps/store.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sweeps/publish.h"
#include "sweeps/store_private.h"
#include "sweeps/store_record.h"
#include "sweeps/store_run.h"

const store_look *store_run_look(const store_run *run) { return &run->look; }
const char *store_run_note(const store_run *run) { return run->note; }

const train_row *store_run_last_row(const store_run *run) { return &run->last; }

static void add_note(store_run *run, const char *text)
{
    size_t n = strlen(run->note);
    snprintf(run->note + n, sizeof run->note - n, "%s%s", n ? "; " : "", text);
}

/* --- opening ------------------------------------------------------------------------------------------------- */

/* A process that died while publishing leaves its temporary; the directory is ours, so nobody is writing one. */
static void sweep_temporaries(const char *dir)
{
    char path[IO_PATH_MAX];
    DIR *d = opendir(dir);
    const struct dirent *f;
    while (d && (f = readdir(d))) {
        size_t n = strlen(f->d_name);
        if (f->d_name[0] == '.' && n > 4 && !strcmp(f->d_name + n - 4, ".tmp") && !io_join(path, dir, f->d_name, NULL)) unlink(path);
    }
    if (d) closedir(d);
}

static void one_line(char *out, size_t size, const char *lines)
{
    for (size_t at = 0; lines && *lines && at + 1 < size;) {
        size_t n = strcspn(lines, "\n");
        int wrote = snprintf(out + at, size - at, "%s%.*s", at ? ", " : "", (int)n, lines);
        at += wrote > 0 ? (size_t)wrote : size;
        if (at + 1 >= size) memcpy(out + size - 4, "...", 4);
        lines += n + (lines[n] == '\n');
    }
}

static status other_config(const store_run *run, const run_record *r, err *e)
{
    const char *theirs = attrs_text(&r->group[RUN_CONFIG], "canonical");
    char *ours = config_canonical(&run->config);
    char *diff = theirs && ours ? config_diff(theirs, ours) : NULL;
    status s = ST_OK;
    if (!ours) s = err_set(e, ST_NOMEM, "%s: no memory to compare configs", run->dir);
    else if (!theirs || strcmp(theirs, ours)) {
        char shown[720] = "the difference is not recorded"; /* the remedy behind it must still fit the message */
        one_line(shown, sizeof shown, diff);
        s = err_set(e, ST_INPUT, "%s: holds a run of another config (%s): %s; use another directory, or the config in %s/config.yaml",
                    run->dir, attrs_text(&r->group[RUN_ROOT], "run_id"), shown, run->dir);
    }
    free(diff);
    free(ours);
    return s;
}

/* The prediction comes before the run and does not change while it runs: that is what makes its score worth anything. */
static status check_prediction(store_run *run, const store_opts *o, const run_record *r, err *e)
{
    const char *recorded = r ? attrs_text(&r->group[RUN_ROOT], "prediction_sha256") : NULL;
    const char *recorded_path = r ? attrs_text(&r->group[RUN_ROOT], "prediction") : NULL;
    const char *path = o->prediction ? o->prediction : recorded && recorded_path && io_exists(recorded_path) ? recorded_path : NULL;
    if (!path) return ST_OK;
    if (r && !recorded)
        return err_set(e, ST_INPUT, "%s: this run started without a prediction, %s comes after it; train in a new directory to score it",
                       run->dir, path);
    char now[IO_SHA256_HEX];
    status s = o->prediction ? store_prediction(now, path, run->id, e) : io_sha256_file(now, path, e);
    if (s) return s;
    if (recorded && strcmp(recorded, now))
        return err_set(e, ST_INPUT, "%s: changed since this run started (sha256 is %.12s..., %s records %.12s...); restore it, or train in a new directory",
                       path, now, run->journal_path, recorded);
    if (!r) {
        memcpy(run->prediction_sha256, now, sizeof now);
        char *real = realpath(path, NULL);
        snprintf(run->prediction, sizeof run->prediction, "%s", real ? real : path);
        free(real);
    }
    return ST_OK;
}

/* There is a run here: may it be continued, and is it this one? */
static status check_existing(store_run *run, const store_opts *o, const run_record *r, err *e)
{
    store_look_at(&run->look, r);
    status s = other_config(run, r, e);
    if (!s) s = check_prediction(run, o, r, e);
    if (s || store_is_final(run->look.state)) {
        if (!s && r->from_journal) run->publish = !h5_shows(run->dir, r);
        return s;
    }
    if (!o->resume)
        return err_set(e, ST_INPUT, "%s: holds an unfinished run of this config (%s at step %lld); continue it with --resume, or use another directory",
                       run->dir, store_state_name(run->look.state), (long long)run->look.step);
    return ST_OK;
}

/* A kill tears the last line. Damage with records behind it is something else: they are put aside, not thrown away. */
static status keep_damaged(store_run *run, size_t from, bool *kept, err *e)
{
    char path[IO_PATH_MAX], *all;
    size_t n;
    status s = io_join(path, run->dir, "journal.damaged", e);
    if (!s) s = io_read_file(&all, &n, run->journal_path, SIZE_MAX / 2, e); /* it was read whole already */
    if (s) return s;
    const char *line = n > from ? memchr(all + from, '\n', n - from) : NULL;
    *kept = line && line + 1 < all + n;
    if (*kept) s = io_publish(path, all + from, n - from, e);
    free(all);
    return s;
}

static status open_journal(store_run *run, const run_record *r, err *e)
{
    char text[200];
    size_t keep = r ? r->journal_bytes : 0;
    bool kept = false;
    if (r && r->torn_bytes) {
        status s = keep_damaged(run, keep, &kept, e);
        if (s) return s;
        if (kept)
            snprintf(text, sizeof text, "journal.jsonl: damaged at byte %zu; the %zu bytes from there are now in journal.damaged, and the record may lack steps",
                     keep, r->torn_bytes);
        else snprintf(text, sizeof text, "journal.jsonl: cut a torn tail of %zu bytes at byte %zu", r->torn_bytes, keep);
        add_note(run, text);
    }
    return journal_open(&run->journal, run->journal_path, keep, e);
}

static status publish_config(const store_run *run, err *e)
{
    char path[IO_PATH_MAX];
    status s = io_join(path, run->dir, "config.yaml", e);
    if (s || io_exists(path)) return s;
    char *yaml = config_yaml(&run->config);
    if (!yaml) return err_set(e, ST_NOMEM, "%s: no memory", path);
    s = io_publish(path, yaml, strlen(yaml), e);
    free(yaml);
    return s;
}

/* A finished run whose journal was damaged later: run.h5 has it whole. *r is replaced then. */
static status believe_h5(store_run *run, run_record *r, err *e)
{
    char text[200];
    run_record whole;
    if (!io_exists(run->h5_path) || run_read_h5(&whole, run->h5_path, RUN_HEADER, NULL)) return ST_OK;
    const char *theirs = attrs_text(&whole.group[RUN_CONFIG], "canonical");
    char *ours = config_canonical(&run->config);
    bool same = theirs && ours && !strcmp(theirs, ours);
    status s = ours ? ST_OK : err_set(e, ST_NOMEM, "%s: no memory to compare configs", run->dir);
    free(ours);
    if (!same || !run_is_final(&whole)) {
        run_free(&whole);
        return s;
    }
    snprintf(text, sizeof text, "journal.jsonl: damaged at byte %zu; run.h5 holds the whole run", r->journal_bytes);
    add_note(run, text);
    run_free(r);
    *r = whole;
    return ST_OK;
}

/* Under ownership. */
static status settle(store_run *run, const store_opts *o, err *e)
{
    run_record r;
    bool have = false;
    status s = ST_OK;
    sweep_temporaries(run->dir);
    if (io_exists(run->journal_path)) {
        s = run_read_journal(&r, run->journal_path, e);
        have = !s;
        if (have && !run_is_final(&r) && r.torn_bytes) s = believe_h5(run, &r, e);
    } else if (io_exists(run->h5_path)) {
        s = run_read_h5(&r, run->h5_path, RUN_HEADER, e);
        have = !s;
        if (!s && !run_is_final(&r))
            s = err_set(e, ST_INPUT, "%s: has run.h5 of an unfinished run but no journal.jsonl to continue; use another directory", run->dir);
    }
    run->has_start = have && attrs_text(&r.group[RUN_ROOT], "run_id");
    if (!s && run->has_start) s = check_existing(run, o, &r, e);
    else if (!s) s = check_prediction(run, o, NULL, e);
    if (!s && !store_is_final(run->look.state)) s = publish_config(run, e);
    if (!s && !store_is_final(run->look.state)) s = open_journal(run, have ? &r : NULL, e);
    if (have) run_free(&r);
    return s;
}

static void free_run(store_run *run)
{
    journal_close(run->journal);
    owner_release(&run->owner);
    free(run->argv);
    free(run);
}

status store_run_open(store_run **out, const store_opts *o, err *e)
{
    store_run *run = calloc(1, sizeof *run);
    if (!run) return err_set(e, ST_NOMEM, "%s: no memory", o->dir);
    run->config = *o->config;
    run->threads = o->threads;
    run->look.loss = NAN;
    config_id(run->id, o->config);
    snprintf(run->campaign_id, sizeof run->campaign_id, "%s", o->campaign_id ? o->campaign_id : "");
    snprintf(run->dir, sizeof run->dir, "%s", o->dir);
    run->argv = record_argv(o->argv, o->argc);
    status s = run->argv ? ST_OK : err_set(e, ST_NOMEM, "%s: no memory", o->dir);
    if (!s) s = io_join(run->journal_path, o->dir, "journal.jsonl", e);
    if (!s) s = io_join(run->h5_path, o->dir, "run.h5", e);
    if (!s) s = io_mkdirs(o->dir, e);
    if (!s) s = owner_take(&run->owner, o->dir, e);
    if (!s && run->owner.took_over[0]) {
        char text[256];
        snprintf(text, sizeof text, "took the directory over from %s, which is dead", run->owner.took_over);
        add_note(run, text);
    }
    if (!s) s = settle(run, o, e);
    if (s) {
        free_run(run);
        return s;
    }
    *out = run;
    return ST_OK;
}

/* --- the observer -------------------------------------------------------------------------------------------- */

/* Every few seconds, not every row: is the directory still ours, and are the rows durable? */
static status after_row(store_run *run, err *e)
{
    if (!journal_sync_due(run->journal)) return ST_OK;
    status s = owner_check(&run->owner, e);
    return s ? s : journal_sync(run->journal, e);
}

static status on_start(void *self, const train_start *start, err *e)
{
    store_run *run = self;
    record_origin o = {run->campaign_id, run->prediction, run->prediction_sha256, run->argv, run->threads};
    status s = ST_OK;
    run->ended = false;
    if (run->has_start || start->from_step > 0) {
        if (!run->has_start) s = journal_event(run->journal, record_start(start, &o), e);
        if (!s) s = journal_event(run->journal, record_resume(start, &o), e);
    } else s = journal_event(run->journal, record_start(start, &o), e);
    run->has_start = run->has_start || !s;
    return s ? s : journal_sync(run->journal, e);
}

static status on_row(void *self, const train_row *row, err *e)
{
    store_run *run = self;
    status s = journal_row(run->journal, row, e);
    run->last = *row;
    return s ? s : after_row(run, e);
}

static status on_val(void *self, const train_val *val, err *e)
{
    store_run *run = self;
    status s = journal_val(run->journal, val, e);
    return s ? s : after_row(run, e);
}

static status on_updates(void *self, const train_updates *updates, err *e)
{
    store_run *run = self;
    status s = journal_updates(run->journal, updates, e);
    return s ? s : after_row(run, e);
}

static status on_sync(void *self, err *e)
{
    store_run *run = self;
    status s = owner_check(&run->owner, e);
    return s ? s : journal_sync(run->journal, e);
}

static status on_ckpt(void *self, int64_t step, const char *file, err *e)
{
    store_run *run = self;
    return journal_event(run->journal, record_ckpt(step, file), e);
}

static status on_left(void *self, int64_t step, const char *file, err *e)
{
    store_run *run = self;
    return journal_event(run->journal, record_left(step, file), e);
}

static status on_end(void *self, const train_end *end, err *e)
{
    store_run *run = self;
    status s = journal_event(run->journal, record_end(end), e);
    if (!s) s = journal_sync(run->journal, e);
    if (!s) {
        run->publish = true;
        run->ended = true;
    }
    return s;
}

train_observer store_run_observer(store_run *run)
{
    return (train_observer){.self = run, .start = on_start, .row = on_row, .val = on_val, .sync = on_sync, .ckpt = on_ckpt, .end = on_end,
                            .updates = on_updates, .left = on_left};
}

/* --- closing ------------------------------------------------------------------------------------------------- */

status store_run_close(store_run *run, const err *why, err *e)
{
    if (!run) return ST_OK;
    status s = ST_OK;
    bool ours = owner_check(&run->owner, NULL) == ST_OK;
    /* a failure before the first row counts too: nothing valid left to resume from, for one */
    bool open_end = !run->ended && !store_is_final(run->look.state);
    if (why && open_end && run->has_start && ours) {
        s = journal_event(run->journal, record_failed(why->msg), e);
        if (!s) s = journal_sync(run->journal, e);
        run->publish = !s;
    }
    if (run->publish && ours) s = publish_run(run->dir, NULL, e);
    free_run(run);
    return s;
}
