#include "sweeps/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/run_updates.h"

/* --- building ------------------------------------------------------------------------------------------------ */

/* An attribute must fit one object header message (64 KiB in the formats every HDF5 reads). */
enum { TEXT_MAX = 60000 };

static status write_group(hid_t file, const run_record *r, run_group g, err *e)
{
    char name[32];
    snprintf(name, sizeof name, "/%s", run_group_name(g));
    for (size_t i = 0; i < r->group[g].n; i++)
        if (r->group[g].a[i].kind == ATTR_TEXT && strlen(r->group[g].a[i].text) > TEXT_MAX) r->group[g].a[i].text[TEXT_MAX] = 0;
    status s = g == RUN_ROOT ? ST_OK : h5_make_group(file, name, r->path, e);
    return s ? s : h5_write_attrs(file, name, &r->group[g], r->path, e);
}

static status write_columns(hid_t file, double *const *cols, size_t n, const run_column *names, size_t n_cols, const char *group,
                            const char *path, err *e)
{
    status s = h5_make_group(file, group, path, e);
    for (size_t c = 0; c < n_cols && !s; c++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%s", group, names[c].name);
        s = h5_write_numbers(file, name, cols[c], n, names[c].whole, names[c].units, path, e);
    }
    return s;
}

status publish_image(void **bytes, size_t *n, const run_record *r, err *e)
{
    hid_t file = h5_create_image();
    if (file < 0) return h5_fail(e, ST_IO, r->path, "HDF5 cannot make a file in memory", "");
    status s = ST_OK;
    for (int g = 0; g < RUN_N_GROUPS && !s; g++) s = write_group(file, r, (run_group)g, e);
    if (!s) s = write_columns(file, r->train, r->n_train, run_train_columns, TRAIN_N_COLS, "/train", r->path, e);
    if (!s) s = write_columns(file, r->val, r->n_val, run_val_columns, VAL_N_COLS, "/val", r->path, e);
    if (!s) s = run_updates_write_h5(file, &r->updates, r->path, e);
    if (!s) s = h5_take_image(file, bytes, n, r->path, e);
    H5Fclose(file);
    return s;
}

/* --- writing ------------------------------------------------------------------------------------------------- */

static status write_temp(const char *temp, const char *path, const void *bytes, size_t n, err *e)
{
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return err_set(e, ST_IO, "%s: cannot create: %s", path, strerror(errno));
    status s = io_write_all(fd, bytes, n, path, e);
    if (close(fd) && !s) s = err_set(e, ST_IO, "%s: close: %s", path, strerror(errno));
    return s;
}

/* What lies on disk is what was meant, before it takes the name. */
static status verify(const char *temp, const char *path, const void *bytes, size_t n, err *e)
{
    char *back = NULL;
    size_t m = 0;
    status s = io_read_file(&back, &m, temp, n + 1, e);
    if (!s && (m != n || memcmp(back, bytes, n))) s = err_set(e, ST_IO, "%s: reads back other than it was written: disk or file system is failing", path);
    free(back);
    return s;
}

status publish_bytes(const char *path, const void *bytes, size_t n, err *e)
{
    char temp[IO_PATH_MAX];
    status s = io_temp_name(temp, path, e);
    if (s) return s;
    s = write_temp(temp, path, bytes, n, e);
    if (!s) s = verify(temp, path, bytes, n, e);
    if (s) {
        unlink(temp);
        return s;
    }
    return io_publish_temp(temp, path, e);
}

static bool same_columns(double *const *a, double *const *b, size_t n, size_t n_cols)
{
    for (size_t c = 0; c < n_cols; c++)
        for (size_t i = 0; i < n; i++)
            if (a[c][i] != b[c][i] && !(isnan(a[c][i]) && isnan(b[c][i]))) return false;
    return true;
}

/* The published file read by the reader everyone uses. */
static status check_reader(const char *path, const run_record *r, err *e)
{
    run_record back;
    status s = run_read_h5(&back, path, RUN_ALL, e);
    if (s) return s;
    if (back.n_train != r->n_train || back.n_val != r->n_val || !same_columns(back.train, r->train, r->n_train, TRAIN_N_COLS) ||
        !same_columns(back.val, r->val, r->n_val, VAL_N_COLS) || !run_updates_equal(&back.updates, &r->updates))
        s = err_set(e, ST_IO, "%s: rows read back differ from the journal; the journal is whole", path);
    run_free(&back);
    return s;
}

status publish_run(const char *dir, run_record *out, err *e)
{
    char journal[IO_PATH_MAX], path[IO_PATH_MAX], temp[IO_PATH_MAX];
    run_record r;
    void *bytes = NULL;
    size_t n = 0;
    status s = io_join(journal, dir, "journal.jsonl", e);
    if (!s) s = io_join(path, dir, "run.h5", e);
    if (!s) s = io_temp_name(temp, path, e);
    if (!s) s = run_read_journal(&r, journal, e);
    if (s) return s;
    snprintf(r.path, sizeof r.path, "%s", path);
    s = publish_image(&bytes, &n, &r, e);
    if (!s) s = write_temp(temp, path, bytes, n, e);
    if (!s) s = verify(temp, path, bytes, n, e);
    if (!s) s = check_reader(temp, &r, e);
    if (s) unlink(temp);
    else s = io_publish_temp(temp, path, e);
    free(bytes);
    if (!s && out) *out = r;
    else run_free(&r);
    return s;
}
