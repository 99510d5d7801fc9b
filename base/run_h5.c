/* run.h5 -> run record. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/run_updates.h"

static status read_columns(double **cols, size_t *n, const run_column *names, size_t n_cols, const char *group,
                           const h5_file *f, err *e)
{
    status s = ST_OK;
    for (size_t c = 0; c < n_cols && !s; c++) {
        char name[64];
        size_t rows = 0;
        snprintf(name, sizeof name, "/%s/%s", group, names[c].name);
        s = h5_read_numbers(&cols[c], &rows, f, name, e);
        if (!s && c && rows != *n)
            s = err_set(e, ST_INPUT, "%s: %s has %zu rows, %s has %zu: columns of a group must be equally long", f->path, name, rows,
                        names[0].name, *n);
        if (!s) *n = rows;
    }
    for (size_t i = 1; i < *n && !s; i++)
        if (!(cols[0][i] > cols[0][i - 1]))
            s = err_set(e, ST_INPUT, "%s: /%s/step[%zu] = %g does not rise above %g", f->path, group, i, cols[0][i], cols[0][i - 1]);
    return s;
}

status run_read_h5(run_record *out, const char *path, run_what what, err *e)
{
    h5_file f;
    run_record r;
    memset(&r, 0, sizeof r);
    snprintf(r.path, sizeof r.path, "%s", path);
    status s = h5_open(&f, path, "muscale.run/1", e);
    if (s) return s;
    for (int g = 0; g < RUN_N_GROUPS && !s; g++) {
        char name[32];
        snprintf(name, sizeof name, "/%s", run_group_name((run_group)g));
        s = h5_read_attrs(&r.group[g], &f, name, e);
    }
    if (!s && what == RUN_ALL) s = read_columns(r.train, &r.n_train, run_train_columns, TRAIN_N_COLS, "train", &f, e);
    if (!s && what == RUN_ALL) s = read_columns(r.val, &r.n_val, run_val_columns, VAL_N_COLS, "val", &f, e);
    if (!s && what == RUN_ALL) s = run_updates_read_h5(&r.updates, &f, e);
    h5_close(&f);
    if (s) {
        run_free(&r);
        return s;
    }
    *out = r;
    return ST_OK;
}
