/* Tables of curves from the run store: a row for each validation (and, where asked, each training step) of a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/h5.h"
#include "base/runs_table.h"

/* Columns whose cells differ from row to row; the others are those of the run (runs_add). */
enum { AT_STEP, AT_D, AT_C, AT_LR, AT_LOSS, AT_LOSS_SE, AT_TRAIN_LOSS, N_AT };
static const char *const names[N_AT] = {"step", "D", "C", "lr", "loss", "loss_se", "train_loss"};

typedef struct point { double cell[N_AT]; } point;

static status add_point(table *t, const run_record *r, const point *p, err *e)
{
    size_t row, col;
    status s = table_add_row(t, 0, &row, e);
    if (!s) s = runs_add(t, row, r, e);
    for (int k = 0; k < N_AT && !s; k++) {
        s = table_col_index(t, names[k], &col, e);
        if (!s) table_set(t, col, row, p->cell[k]);
    }
    return s;
}

/* In the order of steps, a validation before the training row of its step. Of a validation the learning rate is that of
 * its step where the step was logged, else absent: what was in between is for the reader to assume. */
static status add_run(table *t, const run_record *r, table_curve_rows which, err *e)
{
    double per_token = attrs_f64(&r->group[RUN_MODEL], "flops_per_token");
    status s = ST_OK;
    for (size_t v = 0, k = 0; (v < r->n_val || k < r->n_train) && !s;) {
        double at_val = v < r->n_val ? r->val[VAL_STEP][v] : INFINITY, at_train = k < r->n_train ? r->train[TRAIN_STEP][k] : INFINITY;
        bool is_val = at_val <= at_train, logged = isfinite(at_train) && at_val >= at_train;
        double tokens = is_val ? r->val[VAL_TOKENS][v] : r->train[TRAIN_TOKENS][k];
        point p = {{[AT_STEP] = is_val ? at_val : at_train, [AT_D] = tokens, [AT_C] = per_token * tokens, [AT_LR] = NAN,
                    [AT_LOSS] = NAN, [AT_LOSS_SE] = NAN, [AT_TRAIN_LOSS] = NAN}};
        if (logged) p.cell[AT_LR] = r->train[TRAIN_LR][k];
        if (is_val) {
            double loss = r->val[VAL_LOSS][v];
            p.cell[AT_LOSS] = isfinite(loss) ? loss : TABLE_DIVERGED;
            p.cell[AT_LOSS_SE] = r->val[VAL_LOSS_SE][v];
            v++;
        } else {
            p.cell[AT_TRAIN_LOSS] = isfinite(r->train[TRAIN_LOSS][k]) ? r->train[TRAIN_LOSS][k] : TABLE_DIVERGED;
            k++;
        }
        if (tokens > 0 && (is_val || which == TABLE_ALL_STEPS)) s = add_point(t, r, &p, e);
    }
    return s;
}

static status add_source(table *t, const char *shown, err *e)
{
    size_t first;
    return table_grow(t, shown, NULL, 0, &first, e);
}

static status read_campaign(table *t, const char *campaign, table_curve_rows which, err *e)
{
    char **dirs = NULL;
    size_t n = 0, first = t->n_rows;
    status s = run_list(&dirs, &n, campaign, e);
    if (!s && n == 0) s = err_set(e, ST_INPUT, "%s: this campaign has no runs yet; start them with `muscale sweep run`", campaign);
    if (!s) s = add_source(t, campaign, e);
    for (size_t i = 0; i < n && !s; i++) {
        run_record r;
        s = run_read(&r, dirs[i], RUN_ALL, e);
        if (s) break;
        s = add_run(t, &r, which, e);
        run_free(&r);
    }
    if (!s) runs_digest(t->sources[t->n_sources - 1].sha256, t, first);
    run_list_free(dirs, n);
    return s;
}

static status read_one(table *t, const char *path, table_curve_rows which, err *e)
{
    run_record r;
    status s = run_read(&r, path, RUN_ALL, e);
    if (s) return s;
    s = add_source(t, path, e);
    if (!s) s = io_sha256_file(t->sources[t->n_sources - 1].sha256, r.path, e);
    if (!s) s = add_run(t, &r, which, e);
    run_free(&r);
    return s;
}

status table_read_curves(table *t, const char *path, table_curve_rows which, err *e)
{
    char runs[IO_PATH_MAX];
    struct stat st;
    h5_file f;
    err why = {0};
    if (stat(path, &st)) return table_read(t, path, e); /* says what is wrong */
    if (S_ISDIR(st.st_mode)) {
        status s = io_join(runs, path, "runs", e);
        if (s) return s;
        return !stat(runs, &st) && S_ISDIR(st.st_mode) ? read_campaign(t, path, which, e) : read_one(t, path, which, e);
    }
    if (!S_ISREG(st.st_mode) || !table_is_hdf5(path)) return table_read(t, path, e);
    if (!h5_open(&f, path, "muscale.campaign/1", &why)) {
        h5_close(&f);
        return err_set(e, ST_INPUT, "%s: campaign.h5 holds a row a run, no curves; give the campaign's directory", path);
    }
    return read_one(t, path, which, e);
}
