/* journal.jsonl -> run record. Reads up to the first line that is torn or damaged; what follows is only counted.
 *
 * A resume record at step s takes back every row after s: those were computed by a process that died after its last
 * checkpoint, and are computed again. So the last record of each step after the newest resume wins. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/jline.h"
#include "base/run_updates.h"

static const size_t JOURNAL_MAX = (size_t)4 << 30;

typedef struct reader {
    run_record *r;
    size_t cap_train, cap_val, n_records;
    int restarts;
    bool started, ended;
    bool branching;      /* a branch record, and no resume since */
    json_t *branch;      /* the newest branch record, while it stands */
    char segments[1024]; /* "0 cpu x86-64-v3; 120 cpu x86-64-v4": which device from which step */
} reader;

static status no_memory(const run_record *r, err *e) { return err_set(e, ST_NOMEM, "%s: no memory to read the journal", r->path); }

/* --- rows ---- */

static status grow(double **cols, size_t n_cols, size_t n, size_t *cap, const run_record *r, err *e)
{
    if (n < *cap) return ST_OK;
    size_t want = *cap ? 2 * *cap : 256;
    for (size_t c = 0; c < n_cols; c++) {
        double *more = realloc(cols[c], want * sizeof *more);
        if (!more) return no_memory(r, e);
        cols[c] = more;
    }
    *cap = want;
    return ST_OK;
}

/* Absent or null is NaN. The loss's kind of non-finite stands beside it. */
static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_number(v)) return json_number_value(v);
    if (strcmp(key, "loss")) return NAN;
    const char *state = json_string_value(json_object_get(o, "loss_state"));
    if (state && !strcmp(state, "inf")) return INFINITY;
    if (state && !strcmp(state, "-inf")) return -INFINITY;
    return NAN;
}

static void drop_after(run_record *r, double step)
{
    while (r->n_train && r->train[TRAIN_STEP][r->n_train - 1] > step) r->n_train--;
    while (r->n_val && r->val[VAL_STEP][r->n_val - 1] > step) r->n_val--;
    run_updates_drop_after(&r->updates, step);
}

static status take_row(reader *d, const json_t *o, bool is_train, err *e)
{
    run_record *r = d->r;
    const run_column *names = is_train ? run_train_columns : run_val_columns;
    double **cols = is_train ? r->train : r->val;
    size_t n_cols = is_train ? (size_t)TRAIN_N_COLS : (size_t)VAL_N_COLS, *n = is_train ? &r->n_train : &r->n_val;
    double step = number(o, "step");
    if (!isfinite(step)) return ST_OK; /* a row of a later version */
    while (*n && cols[0][*n - 1] >= step) --*n;
    status s = grow(cols, n_cols, *n, is_train ? &d->cap_train : &d->cap_val, r, e);
    if (s) return s;
    for (size_t c = 0; c < n_cols; c++) cols[c][*n] = number(o, names[c].name);
    ++*n;
    return ST_OK;
}

/* --- events ---- */

static status take_value(attrs *g, const char *key, const json_t *v, err *e)
{
    if (json_is_integer(v)) return attrs_set_i64(g, key, json_integer_value(v), e);
    if (json_is_real(v)) return attrs_set_f64(g, key, json_real_value(v), e);
    if (json_is_boolean(v)) return attrs_set_i64(g, key, json_is_true(v), e);
    if (json_is_string(v)) return attrs_set_text(g, key, json_string_value(v), e);
    if (json_is_null(v)) return attrs_set_f64(g, key, NAN, e);
    return ST_OK; /* objects and arrays of a later version */
}

static status take_object(attrs *g, json_t *o, err *e)
{
    const char *key;
    json_t *v;
    status s = ST_OK;
    json_object_foreach(o, key, v)
        if (!s) s = take_value(g, key, v, e);
    return s;
}

static void add_segment(reader *d, json_t *o, long long step)
{
    const char *device = json_string_value(json_object_get(json_object_get(o, "env"), "device"));
    size_t n = strlen(d->segments);
    snprintf(d->segments + n, sizeof d->segments - n, "%s%lld %s", n ? "; " : "", step, device ? device : "?");
}

static status take_start(reader *d, json_t *o, err *e)
{
    static const char *const root[] = {"run_id", "campaign_id", "created_by", "prediction_sha256", "prediction"};
    run_record *r = d->r;
    const char *schema = json_string_value(json_object_get(o, "schema"));
    if (schema && strncmp(schema, "muscale.journal/1", 17))
        return err_set(e, ST_INPUT, "%s: schema is '%s', this muscale reads muscale.journal/1; use the version that wrote it", r->path, schema);
    if (d->started) return ST_OK; /* the first start counts; a second one can only come from a foreign hand */
    d->started = true;
    status s = ST_OK;
    for (size_t i = 0; i < sizeof root / sizeof *root && !s; i++) {
        json_t *v = json_object_get(o, root[i]);
        if (v) s = take_value(&r->group[RUN_ROOT], root[i], v, e);
    }
    for (int g = RUN_CONFIG; g <= RUN_ENV && !s; g++)
        s = take_object(&r->group[g], json_object_get(o, run_group_name((run_group)g)), e);
    add_segment(d, o, 0);
    return s;
}

static status take_end(reader *d, json_t *o, err *e)
{
    static const char *const root[] = {"status", "why"};
    const char *key;
    json_t *v;
    run_record *r = d->r;
    status s = ST_OK;
    d->ended = true;
    json_object_foreach(o, key, v) {
        if (s || !strcmp(key, "event") || !strcmp(key, "crc")) continue;
        bool is_root = !strcmp(key, root[0]) || !strcmp(key, root[1]);
        s = take_value(&r->group[is_root ? RUN_ROOT : RUN_SUMMARY], key, v, e);
    }
    return s;
}

/* What an earlier end said is superseded. */
static status begin_again(reader *d, err *e)
{
    attrs *root = &d->r->group[RUN_ROOT];
    attrs_free(&d->r->group[RUN_SUMMARY]);
    d->ended = false;
    return attrs_get(root, "why") ? attrs_set_text(root, "why", "", e) : ST_OK;
}

static void forget_branch(reader *d)
{
    json_decref(d->branch);
    d->branch = NULL;
}

/* The rows that follow are the trunk's, from the first step on. */
static status take_branch(reader *d, json_t *o, err *e)
{
    drop_after(d->r, 0);
    forget_branch(d);
    d->branch = json_incref(o);
    d->branching = true;
    return begin_again(d, e);
}

/* What of the run is its trunk's: counted once, where it was computed. */
static status branch_summary(reader *d, err *e)
{
    static const char *const names[][2] = {{"from_run", "branched_from"}, {"step", "branch_step"},
                                           {"flops", "shared_flops"}, {"wall_s", "shared_wall_s"}};
    status s = ST_OK;
    for (size_t i = 0; d->branch && i < sizeof names / sizeof *names && !s; i++)
        s = take_value(&d->r->group[RUN_SUMMARY], names[i][1], json_object_get(d->branch, names[i][0]), e);
    return s;
}

static status take_resume(reader *d, json_t *o, err *e)
{
    long long from = json_integer_value(json_object_get(o, "from_step"));
    const long long branch = json_integer_value(json_object_get(d->branch, "step"));
    drop_after(d->r, (double)from);
    /* A branch begins by going on from its trunk's state: nothing was interrupted. */
    if (!d->branching || from != branch) d->restarts++;
    d->branching = false;
    if (d->branch && from < branch) forget_branch(d);
    add_segment(d, o, from);
    return begin_again(d, e);
}

static status take_record(reader *d, json_t *o, err *e)
{
    const char *k = json_string_value(json_object_get(o, "k"));
    const char *event = json_string_value(json_object_get(o, "event"));
    if (k && !strcmp(k, "train")) return take_row(d, o, true, e);
    if (k && !strcmp(k, "val")) return take_row(d, o, false, e);
    if (k && !strcmp(k, "updates")) return run_updates_take(&d->r->updates, o, d->r->path, e);
    if (!event) return ST_OK;
    if (!strcmp(event, "start")) return take_start(d, o, e);
    if (!strcmp(event, "resume")) return take_resume(d, o, e);
    if (!strcmp(event, "branch")) return take_branch(d, o, e);
    if (!strcmp(event, "end")) return take_end(d, o, e);
    return ST_OK;
}

/* --- what the rows say where no end record does ---- */

static status running_summary(run_record *r, err *e)
{
    attrs *g = &r->group[RUN_SUMMARY];
    double best = NAN, flops_per_token = attrs_f64(&r->group[RUN_MODEL], "flops_per_token");
    for (size_t i = 0; i < r->n_val; i++)
        if (!(r->val[VAL_LOSS][i] >= best)) best = r->val[VAL_LOSS][i];
    bool any = r->n_train > 0;
    double tokens = any ? r->train[TRAIN_TOKENS][r->n_train - 1] : 0;
    double step = any ? r->train[TRAIN_STEP][r->n_train - 1] : 0;
    status s = attrs_set_i64(g, "step", isfinite(step) ? (int64_t)step : 0, e);
    if (!s) s = attrs_set_i64(g, "tokens", isfinite(tokens) ? (int64_t)tokens : 0, e);
    if (!s) s = attrs_set_i64(g, "diverged_at", -1, e);
    if (!s) s = attrs_set_f64(g, "final_val_loss", NAN, e);
    if (!s) s = attrs_set_f64(g, "final_val_loss_se", NAN, e);
    if (!s) s = attrs_set_f64(g, "best_val_loss", best, e);
    if (!s) s = attrs_set_f64(g, "final_train_loss_ema", NAN, e);
    if (!s) s = attrs_set_f64(g, "flops", tokens * flops_per_token, e);
    if (!s) s = attrs_set_f64(g, "wall_s", any ? r->train[TRAIN_WALL_S][r->n_train - 1] : 0, e);
    return s;
}

static status finish(reader *d, const char *text, err *e)
{
    run_record *r = d->r;
    attrs *root = &r->group[RUN_ROOT];
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)XXH64(text, r->journal_bytes, 0));
    status s = d->ended ? ST_OK : attrs_set_text(root, "status", "partial", e);
    /* a failed run's end knows only why */
    if (!s && !attrs_get(&r->group[RUN_SUMMARY], "tokens")) s = running_summary(r, e);
    if (!s) s = branch_summary(d, e);
    if (!s) s = run_updates_summary(&r->group[RUN_SUMMARY], &r->updates, e);
    if (!s) s = attrs_set_text(root, "schema", "muscale.run/1", e);
    if (!s) s = attrs_set_i64(root, "journal_rows", (int64_t)d->n_records, e);
    if (!s) s = attrs_set_text(root, "journal_xxh64", hash, e);
    if (!s && d->started) s = attrs_set_i64(&r->group[RUN_ENV], "restarts", d->restarts, e);
    if (!s && d->started) s = attrs_set_text(&r->group[RUN_ENV], "segments", d->segments, e);
    return s;
}

static status scan(reader *d, const char *text, size_t n, err *e)
{
    run_record *r = d->r;
    status s = ST_OK;
    for (size_t at = 0; at < n && !s;) {
        const char *newline = memchr(text + at, '\n', n - at);
        size_t len = newline ? (size_t)(newline - (text + at)) : 0;
        if (!newline || !jline_valid(text + at, len)) break;
        json_error_t why;
        json_t *o = json_loadb(text + at, len, JSON_REJECT_DUPLICATES, &why);
        if (!json_is_object(o)) {
            json_decref(o);
            break;
        }
        s = take_record(d, o, e);
        json_decref(o);
        at += len + 1;
        d->n_records++;
        r->journal_bytes = at;
    }
    r->torn_bytes = n - r->journal_bytes;
    return s;
}

status run_read_journal(run_record *out, const char *path, err *e)
{
    run_record r;
    memset(&r, 0, sizeof r);
    r.from_journal = true;
    snprintf(r.path, sizeof r.path, "%s", path);
    reader d = {.r = &r};
    char *text = NULL;
    size_t n = 0;
    status s = io_read_file(&text, &n, path, JOURNAL_MAX, e);
    if (!s) s = scan(&d, text, n, e);
    if (!s && !d.started && r.journal_bytes)
        s = err_set(e, ST_INPUT, "%s: not a muscale journal: it has no start record", path);
    /* A start record cut short is a run that never began (zeros: a power loss). Anything else was never ours. */
    if (!s && !d.started && n && text[0] && memcmp(text, "{\"event\":\"start\"", n < 16 ? n : 16))
        s = err_set(e, ST_INPUT, "%s:1: not a muscale journal, or damaged in its first line; restore it, or move the directory away and train again", path);
    if (!s) s = finish(&d, text, e);
    free(text);
    forget_branch(&d);
    if (s) {
        run_free(&r);
        return s;
    }
    *out = r;
    return ST_OK;
}
