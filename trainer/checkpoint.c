#include "trainer/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "trainer/checkpoint_file.h"

static int64_t step_of(const char *name)
{
    int64_t step;
    if (strncmp(name, "ckpt.", 5) || !name[5] || strspn(name + 5, "0123456789") != strlen(name + 5)) return -1;
    return num_parse_i64(name + 5, &step) ? step : -1;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Steps of the checkpoints in dir, newest first; a missing directory has none. */
static status list_steps(int64_t **steps, size_t *n, const char *dir, err *e)
{
    size_t cap = 0;
    const struct dirent *f;
    *steps = NULL;
    *n = 0;
    DIR *d = opendir(dir);
    if (!d && (errno == ENOENT || errno == ENOTDIR)) return ST_OK;
    if (!d) return err_set(e, ST_IO, "%s: cannot read directory: %s", dir, strerror(errno));
    while ((f = readdir(d))) {
        int64_t step = step_of(f->d_name);
        if (step < 0) continue;
        if (*n == cap) {
            int64_t *more = realloc(*steps, (cap = 2 * cap + 8) * sizeof *more);
            if (!more) {
                free(*steps);
                closedir(d);
                return err_set(e, ST_NOMEM, "%s: no memory", dir);
            }
            *steps = more;
        }
        (*steps)[(*n)++] = step;
    }
    closedir(d);
    if (*n) qsort(*steps, *n, sizeof **steps, newest_first);
    return ST_OK;
}

static status step_path(char *path, const char *dir, int64_t step, err *e)
{
    char name[32];
    snprintf(name, sizeof name, "ckpt.%" PRId64, step);
    return io_join(path, dir, name, e);
}

status ckpt_branch_path(char *path, const char *dir, int64_t step, err *e)
{
    char name[32];
    snprintf(name, sizeof name, "branch.%" PRId64, step);
    return io_join(path, dir, name, e);
}

/* Keeps `step` and the newest before it. Files of later steps are of a future that a damaged checkpoint took away: the
 * run went back and is about to write them anew. Failing to delete is no failure of the run. */
static void prune(const char *dir, int64_t step)
{
    int64_t *steps;
    size_t n, kept = 0;
    char path[IO_PATH_MAX];
    if (list_steps(&steps, &n, dir, NULL)) return;
    for (size_t i = 0; i < n; i++) {
        if (steps[i] <= step && kept++ < 2) continue;
        if (!step_path(path, dir, steps[i], NULL)) unlink(path);
    }
    free(steps);
}

bool ckpt_any(const char *dir)
{
    int64_t *steps;
    size_t n;
    if (list_steps(&steps, &n, dir, NULL)) return false;
    free(steps);
    return n > 0;
}

int64_t ckpt_newest(const char *dir)
{
    int64_t *steps;
    size_t n;
    if (list_steps(&steps, &n, dir, NULL)) return 0;
    const int64_t newest = n ? steps[0] : 0;
    free(steps);
    return newest;
}

void ckpt_remove_temps(const char *dir)
{
    char path[IO_PATH_MAX];
    const struct dirent *f;
    DIR *d = opendir(dir);
    if (!d) return;
    while ((f = readdir(d))) {
        size_t n = strlen(f->d_name);
        if (strncmp(f->d_name, ".ckpt.", 6) || n < 10 || strcmp(f->d_name + n - 4, ".tmp")) continue;
        if (!io_join(path, dir, f->d_name, NULL)) unlink(path);
    }
    closedir(d);
}

status ckpt_write(char *file, const char *dir, bank *b, size_t r, const trainer_config *c, const ckpt_state *st,
                  err *e)
{
    status s = step_path(file, dir, st->step, e);
    if (!s) s = ckpt_file_write(file, b, r, c, st, e);
    if (!s) prune(dir, st->step);
    return s;
}

status ckpt_leave(char *file, const char *dir, bank *b, size_t r, const trainer_config *c, const ckpt_state *st,
                  err *e)
{
    status s = ckpt_branch_path(file, dir, st->step, e);
    return s ? s : ckpt_file_write(file, b, r, c, st, e);
}

status ckpt_adopt(char *file, const char *dir, const trainer_config *c, const char *from, const trainer_config *of,
                  int64_t step, err *e)
{
    char left[IO_PATH_MAX];
    status s = ckpt_branch_path(left, from, step, e);
    if (!s) s = step_path(file, dir, step, e);
    if (!s) s = ckpt_file_copy(file, c, left, of, step, e);
    if (!s) prune(dir, step);
    return s;
}

status ckpt_read(ckpt_state *st, bank *b, size_t r, const char *file, const trainer_config *c, err *e)
{
    return ckpt_file_read(st, b, r, file, c, e);
}

status ckpt_find(int64_t *step, char *file, char note[CKPT_NOTE_MAX], const char *dir, const trainer_config *c, err *e)
{
    int64_t *steps;
    size_t n, i;
    ckpt_state st = {0};
    err why = {0};
    char first[sizeof why.msg] = "";
    status s = list_steps(&steps, &n, dir, e);
    *step = 0;
    file[0] = note[0] = 0;
    if (s || !n) return s;
    for (i = 0; i < n; i++) {
        if ((s = step_path(file, dir, steps[i], e))) break;
        s = ckpt_file_read(&st, NULL, 0, file, c, &why);
        if (!s && st.step != steps[i]) s = err_set(&why, ST_CORRUPT, "%s: holds step %" PRId64, file, st.step);
        if (s != ST_CORRUPT) break; /* good; or a reason that an older file would not cure */
        if (!*first) memcpy(first, why.msg, sizeof first);
    }
    if (s == ST_OK) {
        *step = st.step;
        if (*first) snprintf(note, CKPT_NOTE_MAX, "%.180s; resumed from ckpt.%" PRId64, first, st.step);
    } else if (i == n) {
        s = err_set(e, ST_CORRUPT, "%s: no valid checkpoint is left among %zu (%s); start again in a new directory",
                    dir, n, first);
    } else if (e && why.code) {
        *e = why;
    }
    if (s) file[0] = 0;
    free(steps);
    return s;
}
