#include "sweeps/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/jline.h"
#include "base/run.h"

struct journal {
    int fd;
    off_t size;        /* where the next record starts: we are the only writer */
    double synced_at;
    bool unsynced;
    bool broken;       /* half a line could not be taken back: no record may follow it */
    char path[IO_PATH_MAX];
};

status journal_open(journal **out, const char *path, size_t keep, err *e)
{
    journal *j = calloc(1, sizeof *j);
    struct stat st;
    if (!j) return err_set(e, ST_NOMEM, "%s: no memory", path);
    snprintf(j->path, sizeof j->path, "%s", path);
    const bool is_new = !io_exists(path);
    j->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    status s = j->fd < 0 ? err_set(e, ST_IO, "%s: cannot open: %s", path, strerror(errno)) : ST_OK;
    if (!s && is_new) s = io_sync_dir_of(path, e); /* what fdatasync will say is durable needs its name */
    if (!s && fstat(j->fd, &st)) s = err_set(e, ST_IO, "%s: cannot stat: %s", path, strerror(errno));
    if (!s && (size_t)st.st_size < keep) s = err_set(e, ST_IO, "%s: became shorter while it was read", path);
    if (!s && (size_t)st.st_size > keep && (ftruncate(j->fd, (off_t)keep) || fdatasync(j->fd)))
        s = err_set(e, ST_IO, "%s: cannot cut the torn tail at byte %zu: %s", path, keep, strerror(errno));
    if (s) {
        journal_close(j);
        return s;
    }
    j->size = (off_t)keep;
    j->synced_at = io_now();
    *out = j;
    return ST_OK;
}

void journal_close(journal *j)
{
    if (!j) return;
    if (j->fd >= 0) close(j->fd);
    free(j);
}

/* write(2) of a regular file is whole or short by want of space (or a signal, for the few bytes we write: never seen, but
 * handled alike: taken back and tried again). */
static status append(journal *j, const char *line, size_t n, err *e)
{
    if (j->broken) return err_set(e, ST_IO, "%s: not written: an earlier record is torn; run again with --resume", j->path);
    for (int attempt = 0;; attempt++) {
        ssize_t w = write(j->fd, line, n);
        int why = w < 0 ? errno : ENOSPC;
        if (w == (ssize_t)n) break;
        if (w < 0 && why == EINTR && attempt < 100) continue;
        if (w > 0 && ftruncate(j->fd, j->size)) {
            j->broken = true;
            return err_set(e, ST_IO, "%s: %s, and half a record at byte %lld could not be taken back (%s); make room and run again with --resume",
                           j->path, strerror(why), (long long)j->size, strerror(errno));
        }
        if (w > 0 && attempt == 0) continue;
        return err_set(e, ST_IO, "%s: cannot write: %s; what was written is whole: make room and run again with --resume", j->path,
                       strerror(why));
    }
    j->size += (off_t)n;
    j->unsynced = true;
    return ST_OK;
}

status journal_event(journal *j, json_t *record, err *e)
{
    char *text = record ? json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(17) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(record);
    size_t n = text ? strlen(text) : 0;
    char *line = n > 2 ? malloc(n + JLINE_TAIL + 2) : NULL;
    status s = line ? ST_OK : err_set(e, ST_NOMEM, "%s: no memory for a record, or a number JSON has no word for", j->path);
    if (!s) {
        memcpy(line, text, n - 1); /* without the closing brace */
        s = append(j, line, jline_seal(line, n - 1), e);
    }
    free(line);
    free(text);
    return s;
}

status journal_copy(journal *j, const char *line, size_t n, err *e) { return append(j, line, n, e); }

json_t *journal_real(double x) { return isfinite(x) ? json_real(x) : json_null(); }

/* --- rows: every step writes one, so they are printed without jansson ---- */

typedef struct line { char text[640]; size_t n; } line;

static void put_real(line *l, const char *key, double x)
{
    int n = isfinite(x) ? snprintf(l->text + l->n, 64, ",\"%s\":%.17g", key, x) : snprintf(l->text + l->n, 64, ",\"%s\":null", key);
    l->n += (size_t)n;
}

static void put_loss(line *l, double x)
{
    put_real(l, "loss", x);
    if (isfinite(x)) return;
    l->n += (size_t)snprintf(l->text + l->n, 32, ",\"loss_state\":\"%s\"", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
}

static void put_place(line *l, const char *kind, int64_t step, int64_t tokens)
{
    l->n = (size_t)snprintf(l->text, 96, "{\"k\":\"%s\",\"step\":%" PRId64 ",\"tokens\":%" PRId64, kind, step, tokens);
}

status journal_row(journal *j, const train_row *r, err *e)
{
    line l;
    put_place(&l, "train", r->step, r->tokens);
    put_loss(&l, r->loss);
    put_real(&l, "lr", r->lr);
    put_real(&l, "grad_norm", r->grad_norm);
    put_real(&l, "step_ms", r->step_ms);
    put_real(&l, "wall_s", r->wall_s);
    return append(j, l.text, jline_seal(l.text, l.n), e);
}

status journal_val(journal *j, const train_val *v, err *e)
{
    line l;
    put_place(&l, "val", v->step, v->tokens);
    put_loss(&l, v->loss);
    put_real(&l, "loss_se", v->loss_se);
    l.n += (size_t)snprintf(l.text + l.n, 48, ",\"n_seq\":%" PRId64, v->n_seq);
    return append(j, l.text, jline_seal(l.text, l.n), e);
}

/* Few steps write one, and it is long: jansson prints it. */
status journal_updates(journal *j, const train_updates *u, err *e)
{
    json_t *names = json_array();
    bool ok = names != NULL;
    for (size_t i = 0; i < u->n; i++) ok = ok && !json_array_append_new(names, json_string(u->tensors[i].name));
    json_t *o = json_pack("{s:s,s:I,s:I,s:o}", "k", "updates", "step", (json_int_t)u->step, "tokens", (json_int_t)u->tokens,
                          "tensors", names);
    for (int c = 0; c < UPDATE_N_COLS; c++) {
        json_t *of = json_array();
        ok = ok && o && !json_object_set_new(o, run_update_columns[c].name, of);
        for (size_t i = 0; i < u->n && ok; i++) {
            const double x[UPDATE_N_COLS] = {[UPDATE_RATIO] = u->of[i].ratio, [UPDATE_ALIGNMENT] = u->of[i].alignment,
                                             [UPDATE_V_OVER_EPS] = u->of[i].v_over_eps, [UPDATE_EPS_FELT] = u->of[i].eps_felt};
            ok = !json_array_append_new(of, journal_real(x[c]));
        }
    }
    if (!ok) {
        json_decref(o);
        o = NULL;
    }
    return journal_event(j, o, e);
}

/* --- durability ---- */

status journal_sync(journal *j, err *e)
{
    if (!j->unsynced) return ST_OK;
    /* After a failed sync the kernel may have dropped the pages: what is not known to be durable is not said to be. */
    if (fdatasync(j->fd)) return err_set(e, ST_IO, "%s: fdatasync: %s", j->path, strerror(errno));
    j->unsynced = false;
    j->synced_at = io_now();
    return ST_OK;
}

bool journal_sync_due(const journal *j) { return j->unsynced && io_now() - j->synced_at >= JOURNAL_SYNC_S; }
