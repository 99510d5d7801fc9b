/* campaign.h5: one row per run, a cache of what the runs say. Rebuilt whole, published by rename, deletable at any time. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/h5.h"
#include "base/runs_table.h"
#include "sweeps/eps_share.h"
#include "sweeps/owner.h"
#include "sweeps/publish.h"
#include "sweeps/store_private.h"

/* --- the file ------------------------------------------------------------------------------------------------ */

static status write_text_column(hid_t file, const char *name, const table_column *c, size_t n, const char *path, err *e)
{
    const char **x = calloc(n ? n : 1, sizeof *x);
    if (!x) return err_set(e, ST_NOMEM, "%s: no memory for %zu texts", path, n);
    for (size_t i = 0; i < n; i++) x[i] = table_word(c, i);
    status s = h5_write_texts(file, name, x, n, path, e);
    free(x);
    return s;
}

static bool all_whole(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(x[i]) < 0x1p53) || x[i] != floor(x[i])) return false;
    return true;
}

static status write_table(hid_t file, const table *t, const char *path, err *e)
{
    status s = ST_OK;
    for (size_t c = 0; c < t->n_cols && !s; c++) {
        char name[TABLE_NAME_MAX + 8];
        if (strchr(t->cols[c].name, '/')) continue; /* HDF5's separator: no setting of ours */
        snprintf(name, sizeof name, "/runs/%s", t->cols[c].name);
        if (t->cols[c].is_text) s = write_text_column(file, name, &t->cols[c], t->n_rows, path, e);
        else s = h5_write_numbers(file, name, t->cols[c].x, t->n_rows, all_whole(t->cols[c].x, t->n_rows), NULL, path, e);
    }
    return s;
}

static status build(void **bytes, size_t *n, const table *t, const char *path, err *e)
{
    attrs root = {0};
    hid_t file = h5_create_image();
    if (file < 0) return h5_fail(e, ST_IO, path, "HDF5 cannot make a file in memory", "");
    status s = attrs_set_text(&root, "schema", "muscale.campaign/1", e);
    if (!s) s = attrs_set_i64(&root, "n_runs", (int64_t)t->n_rows, e);
    if (!s) s = h5_write_attrs(file, "/", &root, path, e);
    if (!s) s = h5_make_group(file, "/runs", path, e);
    if (!s) s = write_table(file, t, path, e);
    if (!s) s = h5_take_image(file, bytes, n, path, e);
    attrs_free(&root);
    H5Fclose(file);
    return s;
}

/* --- the rows ------------------------------------------------------------------------------------------------ */

/* A run that ended but was killed before run.h5 appeared. Who is at work there will publish it. */
static bool needs_publishing(const char *dir, const run_record *r)
{
    return r->from_journal && strcmp(run_status_text(r), "partial") && !h5_shows(dir, r);
}

static bool publish_here(const char *dir)
{
    owner o;
    if (owner_take(&o, dir, NULL)) return false;
    bool ok = publish_run(dir, NULL, NULL) == ST_OK; /* a full disk leaves the journal, which is enough */
    owner_release(&o);
    return ok;
}

static void damaged(campaign_counts *out, const err *why)
{
    if (!out->n_damaged++) snprintf(out->note, sizeof out->note, "%.500s", why->msg);
}

static void count_eps(campaign_counts *out, const run_record *r)
{
    char text[sizeof out->eps_note];
    const double share = attrs_f64(&r->group[RUN_SUMMARY], "eps_share");
    if (!eps_share_warning(text, sizeof text, r)) return;
    if (!out->n_eps++ || share > out->eps_worst) {
        out->eps_worst = share;
        memcpy(out->eps_note, text, sizeof text);
    }
}

static status add_run(table *t, campaign_counts *out, const char *dir, size_t row, err *e)
{
    char stamp[RUN_STAMP_MAX];
    run_record r;
    store_look look = {0};
    size_t col;
    runs_stamp(stamp, dir); /* before reading: what changes meanwhile makes the row stale, not wrong */
    status s = run_read(&r, dir, RUN_HEADER, e);
    if (s) return s;
    if (needs_publishing(dir, &r) && publish_here(dir)) {
        run_free(&r);
        out->n_published++;
        runs_stamp(stamp, dir);
        s = run_read(&r, dir, RUN_HEADER, e);
        if (s) return s;
    }
    store_look_at(&look, &r);
    out->by_state[look.state]++;
    count_eps(out, &r);
    s = runs_add(t, row, &r, e);
    if (!s) s = table_col_index(t, RUNS_STAMP_COLUMN, &col, e);
    if (!s) s = table_set_word(t, col, row, stamp, 0, 0, e);
    run_free(&r);
    return s;
}

static status read_runs(table *t, campaign_counts *out, char *const *dirs, size_t n, const char *campaign, err *e)
{
    bool *keep = calloc(n ? n : 1, sizeof *keep);
    size_t first = 0;
    status s = keep ? table_grow(t, campaign, NULL, n, &first, e) : err_set(e, ST_NOMEM, "%s: no memory for %zu runs", campaign, n);
    for (size_t i = 0; i < n && !s; i++) {
        err why = {0};
        s = add_run(t, out, dirs[i], first + i, &why);
        keep[i] = !s;
        if (s == ST_NOMEM && e) *e = why;
        else if (s) {
            damaged(out, &why);
            s = ST_OK;
        }
    }
    if (!s) table_keep(t, keep);
    free(keep);
    return s;
}

/* What a killed collect left. Another one may be at work, perhaps on another machine: only old ones. */
static void sweep_old_temporaries(const char *campaign)
{
    enum { HOUR_S = 3600 };
    char path[IO_PATH_MAX];
    struct stat st;
    DIR *d = opendir(campaign);
    const struct dirent *f;
    while (d && (f = readdir(d))) {
        if (strncmp(f->d_name, ".campaign.h5.", 13) || io_join(path, campaign, f->d_name, NULL)) continue;
        if (!stat(path, &st) && time(NULL) - st.st_mtime > HOUR_S) unlink(path);
    }
    if (d) closedir(d);
}

status campaign_collect_table(campaign_counts *out, table *t, const char *campaign, err *e)
{
    char path[IO_PATH_MAX], **dirs = NULL;
    void *bytes = NULL;
    size_t n = 0, size = 0;
    memset(out, 0, sizeof *out);
    status s = io_join(path, campaign, "campaign.h5", e);
    if (!s) s = run_list(&dirs, &n, campaign, e);
    if (!s) s = read_runs(t, out, dirs, n, campaign, e);
    if (!s) s = build(&bytes, &size, t, path, e);
    if (!s) s = publish_bytes(path, bytes, size, e);
    if (!s) sweep_old_temporaries(campaign);
    out->n_runs = n;
    free(bytes);
    run_list_free(dirs, n);
    return s;
}

status campaign_collect(campaign_counts *out, const char *campaign, err *e)
{
    table t = {0};
    status s = campaign_collect_table(out, &t, campaign, e);
    table_free(&t);
    return s;
}
