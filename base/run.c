/* Run records: the column tables, which file of a directory speaks, and the row a run gives to a table of observations. */
#include "base/run.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/run_updates.h"

const run_column run_train_columns[TRAIN_N_COLS] = {
    [TRAIN_STEP] = {"step", "steps", true},
    [TRAIN_TOKENS] = {"tokens", "tokens", true},
    [TRAIN_LOSS] = {"loss", "nats/token", false},
    [TRAIN_LR] = {"lr", "1", false},
    [TRAIN_GRAD_NORM] = {"grad_norm", "nats/token", false},
    [TRAIN_STEP_MS] = {"step_ms", "ms", false},
    [TRAIN_WALL_S] = {"wall_s", "s", false},
};
const run_column run_val_columns[VAL_N_COLS] = {
    [VAL_STEP] = {"step", "steps", true},
    [VAL_TOKENS] = {"tokens", "tokens", true},
    [VAL_LOSS] = {"loss", "nats/token", false},
    [VAL_LOSS_SE] = {"loss_se", "nats/token", false},
};

const char *run_group_name(run_group g)
{
    static const char *const names[RUN_N_GROUPS] = {"", "config", "model", "data", "env", "summary"};
    return names[g];
}

void run_free(run_record *r)
{
    for (int g = 0; g < RUN_N_GROUPS; g++) attrs_free(&r->group[g]);
    for (int c = 0; c < TRAIN_N_COLS; c++) free(r->train[c]);
    for (int c = 0; c < VAL_N_COLS; c++) free(r->val[c]);
    run_updates_free(&r->updates);
    memset(r, 0, sizeof *r);
}

const char *run_status_text(const run_record *r)
{
    const char *s = attrs_text(&r->group[RUN_ROOT], "status");
    return s ? s : "partial";
}

bool run_is_final(const run_record *r)
{
    const char *s = run_status_text(r);
    return !strcmp(s, "done") || !strcmp(s, "diverged") || !strcmp(s, "early-stopped");
}

/* A directory: a final run.h5 speaks for itself. Any other run.h5 may be behind its journal, and one that cannot be read
 * can be made again from it. */
static status read_dir(run_record *r, const char *dir, run_what what, err *e)
{
    char h5[IO_PATH_MAX], journal[IO_PATH_MAX];
    err first = {0};
    status s = io_join(h5, dir, "run.h5", e);
    if (!s) s = io_join(journal, dir, "journal.jsonl", e);
    if (s) return s;
    bool has_h5 = io_exists(h5), has_journal = io_exists(journal);
    if (!has_h5 && !has_journal)
        return err_set(e, ST_INPUT, "%s: not a run directory: it holds neither run.h5 nor journal.jsonl", dir);
    if (has_h5) {
        s = run_read_h5(r, h5, what, &first);
        if (!s && (!has_journal || run_is_final(r))) return ST_OK;
        if (!has_journal) return e ? (*e = first, s) : s;
        if (!s) run_free(r);
    }
    return run_read_journal(r, journal, e);
}

status run_read(run_record *r, const char *path, run_what what, err *e)
{
    struct stat st;
    if (stat(path, &st)) return err_set(e, ST_INPUT, "%s: cannot open: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) return read_dir(r, path, what, e);
    size_t n = strlen(path);
    if (n > 6 && !strcmp(path + n - 6, ".jsonl")) return run_read_journal(r, path, e);
    return run_read_h5(r, path, what, e);
}

/* --- a campaign's runs --------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool holds_run(const char *dir)
{
    char file[IO_PATH_MAX];
    return (!io_join(file, dir, "journal.jsonl", NULL) && io_exists(file)) || (!io_join(file, dir, "run.h5", NULL) && io_exists(file));
}

void run_list_free(char **dirs, size_t n)
{
    for (size_t i = 0; i < n; i++) free(dirs[i]);
    free(dirs);
}

status run_list(char ***dirs, size_t *n, const char *campaign, err *e)
{
    char runs[IO_PATH_MAX], dir[IO_PATH_MAX];
    char **list = NULL;
    size_t k = 0, cap = 0;
    status s = io_join(runs, campaign, "runs", e);
    if (s) return s;
    DIR *d = opendir(runs);
    if (!d) return err_set(e, ST_INPUT, "%s: not a campaign: cannot open %s: %s", campaign, runs, strerror(errno));
    const struct dirent *f;
    while (!s && (f = readdir(d))) {
        if (f->d_name[0] == '.') continue;
        s = io_join(dir, runs, f->d_name, e);
        if (s || !holds_run(dir)) continue;
        if (k == cap) {
            char **more = realloc(list, (cap ? 2 * cap : 64) * sizeof *more);
            if (more) list = more, cap = cap ? 2 * cap : 64;
        }
        if (k == cap || !(list[k] = strdup(dir))) s = err_set(e, ST_NOMEM, "%s: no memory to list the runs", runs);
        else k++;
    }
    closedir(d);
    if (s) {
        run_list_free(list, k);
        return s;
    }
    if (k) qsort(list, k, sizeof *list, by_name);
    *dirs = list;
    *n = k;
    return ST_OK;
}

/* --- a run as a row ------------------------------------------------------------------------------------------ */

static status copy(attrs *row, const char *name, const attr *a, err *e)
{
    if (a->kind == ATTR_I64) return attrs_set_i64(row, name, a->i, e);
    if (a->kind == ATTR_F64) return attrs_set_f64(row, name, a->f, e);
    return attrs_set_text(row, name, a->text, e);
}

/* Texts about the run as a whole, not settings one could select rows by. */
static bool is_document(const char *name)
{
    static const char *const names[] = {"yaml", "canonical", "argv", "data"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

static status copy_group(attrs *row, const attrs *g, err *e)
{
    status s = ST_OK;
    for (size_t i = 0; i < g->n && !s; i++)
        if (!is_document(g->a[i].name) && !attrs_get(row, g->a[i].name)) s = copy(row, g->a[i].name, &g->a[i], e);
    return s;
}

status run_fields(attrs *row, const run_record *r, err *e)
{
    static const struct { const char *name; run_group group; const char *from; } canonical[] = {
        {"loss", RUN_SUMMARY, "final_val_loss"}, {"loss_se", RUN_SUMMARY, "final_val_loss_se"},
        {"N", RUN_MODEL, "n_params_total"},      {"N_nonembed", RUN_MODEL, "n_params_non_embed"},
        {"D", RUN_SUMMARY, "tokens"},            {"C", RUN_SUMMARY, "flops"},
        {"width", RUN_CONFIG, "d_model"},        {"depth", RUN_CONFIG, "n_layer"},
    };
    const char *id = attrs_text(&r->group[RUN_ROOT], "run_id"), *hash = attrs_text(&r->group[RUN_ROOT], "journal_xxh64");
    status s = attrs_set_text(row, "run", id ? id : r->path, e);
    if (!s) s = attrs_set_text(row, "status", run_status_text(r), e);
    for (size_t i = 0; i < sizeof canonical / sizeof *canonical && !s; i++)
        s = attrs_set_f64(row, canonical[i].name, attrs_f64(&r->group[canonical[i].group], canonical[i].from), e);
    /* A run that diverged has no final loss; that it blew up is an observation (base/table.h). */
    if (!s && !strcmp(run_status_text(r), "diverged")) s = attrs_set_f64(row, "loss", INFINITY, e);
    double u = attrs_f64(&r->group[RUN_CONFIG], "unique_tokens"), all = attrs_f64(&r->group[RUN_DATA], "tokens_available");
    if (!s) s = attrs_set_f64(row, "U", u > 0 ? u : all, e);
    if (!s) s = copy_group(row, &r->group[RUN_CONFIG], e);
    if (!s) s = copy_group(row, &r->group[RUN_MODEL], e);
    if (!s) s = copy_group(row, &r->group[RUN_SUMMARY], e);
    if (!s) s = attrs_set_text(row, "journal_xxh64", hash ? hash : "", e);
    return s;
}
