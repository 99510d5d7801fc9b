/* Where a run stands, from the last lines of its journal: a campaign of thousands of runs is looked at in the time that
 * reading a few whole journals takes. Whatever these lines leave open (torn, damaged, records of a later version, an
 * end without run.h5) is decided by store_peek. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/jline.h"
#include "sweeps/early_stop.h"
#include "sweeps/owner.h"
#include "sweeps/store_private.h"

/* Ten rows or so; then 16 times as much, as long as that is not most of what one would read anyway. */
static const size_t FIRST_BYTES = 4096, MOST_BYTES = (size_t)1 << 20;

typedef struct tail {
    store_glance *out;
    double taken_back; /* rows after this step were: by a resume behind them */
    bool known;        /* how it stands: the newest record that says so was met */
    bool started;      /* the first record was met */
    bool row;          /* its last row was met */
    bool unclear;
} tail;

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static double loss_of(const json_t *row)
{
    const char *state = json_string_value(json_object_get(row, "loss_state"));
    if (!state) return number(row, "loss");
    return !strcmp(state, "inf") ? INFINITY : !strcmp(state, "-inf") ? -INFINITY : NAN;
}

static void take_end(tail *t, const json_t *o)
{
    store_look *look = &t->out->look;
    const char *how = json_string_value(json_object_get(o, "status"));
    const char *why = json_string_value(json_object_get(o, "why"));
    t->known = true;
    look->state = STORE_ABSENT;
    for (int s = STORE_STOPPED; s < STORE_N_STATES && how; s++)
        if (!strcmp(how, store_state_name((store_state)s))) look->state = (store_state)s;
    t->unclear |= look->state == STORE_ABSENT || look->state == STORE_EARLY_STOPPED; /* by which rule: by_peek */
    if (why) snprintf(t->out->why, sizeof t->out->why, "%s", why);
    if (!json_object_get(o, "step")) return; /* a failed run's end knows only why */
    look->step = json_integer_value(json_object_get(o, "step"));
    look->tokens = json_integer_value(json_object_get(o, "tokens"));
    look->loss = number(o, "final_val_loss");
    look->flops = number(o, "flops");
    look->wall_s = number(o, "wall_s");
    t->out->diverged_at = json_integer_value(json_object_get(o, "diverged_at"));
    t->row = look->state == STORE_DONE; /* the training loss is not asked of it */
}

static void take_row(tail *t, const json_t *o)
{
    store_look *look = &t->out->look;
    const double step = number(o, "step");
    t->known = true;
    if (!(step <= t->taken_back)) return;
    t->row = true;
    t->out->train_loss = loss_of(o);
    if (look->step) return; /* its end said more */
    look->step = (int64_t)step;
    look->tokens = json_integer_value(json_object_get(o, "tokens"));
    look->wall_s = number(o, "wall_s");
}

/* Records are met newest first. */
static void take(tail *t, const json_t *o)
{
    const char *kind = json_string_value(json_object_get(o, "k"));
    const char *event = json_string_value(json_object_get(o, "event"));
    const double from = number(o, "from_step");
    if (kind && !strcmp(kind, "train")) take_row(t, o);
    else if (kind) t->known = true;
    else if (!event) t->unclear = true;
    else if (!strcmp(event, "end") && !t->known) take_end(t, o);
    else if (!strcmp(event, "start")) t->started = t->known = true;
    else if (!strcmp(event, "resume")) {
        t->known = true;
        t->unclear |= isnan(from);
        if (from < t->taken_back) t->taken_back = from;
    } else if (!strcmp(event, "branch")) t->known = true;
    else if (strcmp(event, "end") && strcmp(event, "ckpt") && strcmp(event, "left")) t->unclear = true;
}

/* text: the last n bytes; whole: all there are. True when everything is known. */
static bool scan(tail *t, const char *text, size_t n, bool whole)
{
    while (n && !t->row && !t->started && !t->unclear) {
        const char *before = memrchr(text, '\n', n - 1);
        const char *line = before ? before + 1 : text;
        const size_t len = (size_t)(text + n - 1 - line);
        if (!before && !whole) return false;
        const bool valid = text[n - 1] == '\n' && jline_valid(line, len);
        json_t *o = valid ? json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
        if (json_is_object(o)) take(t, o);
        else t->unclear = true;
        json_decref(o);
        n = (size_t)(line - text);
    }
    return t->known && (t->row || t->started) && !t->unclear;
}

static bool read_at(int fd, char *to, size_t n, off_t at)
{
    while (n) {
        const ssize_t got = pread(fd, to, n, at);
        if (got <= 0) return false;
        to += got;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

/* Of a run that has begun. */
static void begin(store_glance *out, const char *who)
{
    *out = (store_glance){.look = {.state = STORE_PARTIAL, .loss = NAN, .flops = NAN, .wall_s = NAN},
                          .train_loss = NAN, .diverged_at = -1};
    snprintf(out->look.owner, sizeof out->look.owner, "%s", who);
}

static bool by_tail(store_glance *out, const char *who, int fd)
{
    struct stat st;
    bool sure = false, enough = false;
    if (fstat(fd, &st) || st.st_size <= 0) return false;
    const size_t size = (size_t)st.st_size;
    for (size_t n = FIRST_BYTES; !sure && !enough; n *= 16) {
        tail t = {.out = out, .taken_back = INFINITY};
        if (n > size) n = size;
        char *text = malloc(n);
        if (!text || !read_at(fd, text, n, (off_t)(size - n))) enough = true;
        begin(out, who);
        sure = !enough && scan(&t, text, n, n == size);
        enough |= t.unclear || n == size || n >= MOST_BYTES;
        free(text);
    }
    return sure;
}

/* By all that is there. */
static status by_peek(store_glance *out, const char *dir, const char *journal, err *e)
{
    run_record r;
    begin(out, "");
    status s = store_peek(&out->look, dir, e);
    if (s || out->look.state == STORE_ABSENT || run_read_journal(&r, journal, NULL)) return s;
    const char *why = attrs_text(&r.group[RUN_ROOT], "why");
    if (why) snprintf(out->why, sizeof out->why, "%s", why);
    if (out->look.state == STORE_EARLY_STOPPED) {
        early_stop_why(out->why, sizeof out->why, &r.group[RUN_SUMMARY]);
        out->look.loss = attrs_f64(&r.group[RUN_SUMMARY], "stop_val_loss");
    }
    if (r.n_train) out->train_loss = r.train[TRAIN_LOSS][r.n_train - 1];
    out->diverged_at = attrs_i64(&r.group[RUN_SUMMARY], "diverged_at", -1);
    run_free(&r);
    return s;
}

status store_glance_at(store_glance *out, const char *dir, err *e)
{
    char journal[IO_PATH_MAX], h5[IO_PATH_MAX], who[sizeof out->look.owner];
    begin(out, "");
    status s = io_join(journal, dir, "journal.jsonl", e);
    if (!s) s = io_join(h5, dir, "run.h5", e);
    if (s) return s;
    owner_look(who, dir); /* first: who ends meanwhile has ended, not vanished */
    const int fd = open(journal, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && !io_exists(h5)) {
        out->look.state = STORE_ABSENT;
        memcpy(out->look.owner, who, sizeof who);
        return ST_OK;
    }
    const bool sure = fd >= 0 && by_tail(out, who, fd);
    if (fd >= 0) close(fd);
    if (!sure || (store_is_final(out->look.state) && !io_exists(h5))) return by_peek(out, dir, journal, e);
    return ST_OK;
}
