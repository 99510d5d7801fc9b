/* A run that begins with what its trunk has computed: the trunk's journal up to the branch, line by line as it stands
 * there, and its state. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jline.h"
#include "sweeps/store_record.h"
#include "sweeps/store_run.h"

static const size_t JOURNAL_MAX = (size_t)4 << 30;

/* Kinds of rows, in the order in which those of one step are written. */
enum { ROWS_TRAIN, ROWS_UPDATES, ROWS_VAL, KINDS };
static const char *const kinds[KINDS] = {"train", "updates", "val"};

typedef struct line { int64_t step; size_t at, n; } line;   /* n: with its newline */
typedef struct stack { line *of; size_t n, room; } stack;   /* steps strictly rising */

/* What a trunk's journal says up to some place: the reader's rules (base/run_journal.c) on lines instead of numbers. */
typedef struct trunk_rows {
    char *text;
    size_t n;
    stack rows[KINDS];
    json_t *start, *end;   /* the newest end; NULL: none since the last resume */
    line end_line;
    double wall_s;         /* of the last row */
} trunk_rows;

static void rows_free(trunk_rows *t)
{
    for (int k = 0; k < KINDS; k++) free(t->rows[k].of);
    json_decref(t->start);
    json_decref(t->end);
    free(t->text);
}

/* The next whole, undamaged line from *at on; NULL: no more. *at is moved behind it. */
static json_t *next_line(const trunk_rows *t, size_t *at, line *out)
{
    const char *from = t->text + *at, *newline = *at < t->n ? memchr(from, '\n', t->n - *at) : NULL;
    if (!newline || !jline_valid(from, (size_t)(newline - from))) return NULL;
    json_t *o = json_loadb(from, (size_t)(newline - from), JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(o)) {
        json_decref(o);
        return NULL;
    }
    *out = (line){json_integer_value(json_object_get(o, "step")), *at, (size_t)(newline - from) + 1};
    *at += out->n;
    return o;
}

static bool is_event(const json_t *o, const char *name)
{
    const char *event = json_string_value(json_object_get(o, "event"));
    return event && !strcmp(event, name);
}

static void drop_after(trunk_rows *t, int64_t step)
{
    for (int k = 0; k < KINDS; k++)
        while (t->rows[k].n && t->rows[k].of[t->rows[k].n - 1].step > step) t->rows[k].n--;
}

static bool push(stack *s, const line *x)
{
    while (s->n && s->of[s->n - 1].step >= x->step) s->n--;
    if (s->n == s->room) {
        line *more = realloc(s->of, (2 * s->room + 64) * sizeof *more);
        if (!more) return false;
        s->of = more;
        s->room = 2 * s->room + 64;
    }
    s->of[s->n++] = *x;
    return true;
}

static void set(json_t **to, json_t *o)
{
    json_decref(*to);
    *to = json_incref(o);
}

static bool take(trunk_rows *t, json_t *o, const line *x)
{
    const char *k = json_string_value(json_object_get(o, "k"));
    if (is_event(o, "start") && !t->start) set(&t->start, o);
    if (is_event(o, "resume")) drop_after(t, json_integer_value(json_object_get(o, "from_step")));
    if (is_event(o, "branch")) drop_after(t, 0);
    if (is_event(o, "resume") || is_event(o, "branch")) set(&t->end, NULL);
    if (is_event(o, "end")) set(&t->end, o), t->end_line = *x;
    for (int i = 0; k && i < KINDS; i++)
        if (!strcmp(k, kinds[i]) && !push(&t->rows[i], x)) return false;
    if (k && !strcmp(k, kinds[ROWS_TRAIN])) t->wall_s = json_number_value(json_object_get(o, "wall_s"));
    return true;
}

/* Byte behind the newest record `left` of that step; 0: there is none. */
static size_t place_left(const trunk_rows *t, int64_t step)
{
    size_t at = 0, found = 0;
    line x;
    for (json_t *o; (o = next_line(t, &at, &x)); json_decref(o))
        if (x.step == step && is_event(o, "left")) found = at;
    return found;
}

static status open_trunk(trunk_rows *t, const char *dir, char path[IO_PATH_MAX], err *e)
{
    memset(t, 0, sizeof *t);
    t->wall_s = NAN;
    status s = io_join(path, dir, "journal.jsonl", e);
    if (!s && !io_exists(path)) s = err_set(e, ST_CORRUPT, "%s: is not there", path);
    return s ? s : io_read_file(&t->text, &t->n, path, JOURNAL_MAX, e);
}

/* What was written after the state was left is of no concern: the trunk may have gone back since, and be on its way again
 * on another machine. Without a state the whole journal counts. */
static status read_trunk(trunk_rows *t, const store_trunk *from, bool *diverged, err *e)
{
    char path[IO_PATH_MAX];
    size_t at = 0, stop = 0;
    line x;
    status s = open_trunk(t, from->dir, path, e);
    if (s) return s;
    stop = place_left(t, from->step);
    for (json_t *o; !s && (!stop || at < stop) && (o = next_line(t, &at, &x)); json_decref(o))
        if (!take(t, o, &x)) s = err_set(e, ST_NOMEM, "%s: no memory to read the journal", path);
    if (s) return s;
    const char *id = json_string_value(json_object_get(t->start, "run_id"));
    const char *how = json_string_value(json_object_get(t->end, "status"));
    *diverged = !stop && how && !strcmp(how, "diverged") && t->end_line.step <= from->step;
    if (!id || strcmp(id, from->id)) return err_set(e, ST_CORRUPT, "%s: is not the journal of run %s", path, from->id);
    if (!stop && !*diverged)
        return err_set(e, ST_CORRUPT, "%s: left no state at step %lld", path, (long long)from->step);
    return ST_OK;
}

bool store_trunk_left(const char *dir, int64_t step)
{
    char path[IO_PATH_MAX];
    trunk_rows t;
    const bool left = train_has_left(dir, step) && !open_trunk(&t, dir, path, NULL);
    const bool said = left && place_left(&t, step);
    if (left) rows_free(&t);
    return said;
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

static status copy_rows(store_run *run, const trunk_rows *t, int64_t step, err *e)
{
    size_t at[KINDS] = {0};
    status s = ST_OK;
    for (;;) {
        int next = KINDS;
        for (int k = KINDS; k-- > 0;) {
            const stack *of = &t->rows[k];
            if (at[k] < of->n && of->of[at[k]].step <= step &&
                (next == KINDS || of->of[at[k]].step <= t->rows[next].of[at[next]].step))
                next = k;
        }
        if (s || next == KINDS) return s;
        const line *x = &t->rows[next].of[at[next]++];
        s = journal_copy(run->journal, t->text + x->at, x->n, e);
    }
}

static status write_journal(store_run *run, const trunk_rows *t, const store_trunk *from, int64_t step, err *e)
{
    const record_origin o = {run->campaign_id, "", "", run->argv, run->threads};
    const double per_token = json_number_value(json_object_get(json_object_get(t->start, "model"), "flops_per_token"));
    const int64_t tokens = step * run->config.batch_tokens;
    status s = ST_OK;
    if (!run->has_start) s = journal_event(run->journal, record_start_as(t->start, &run->config, &o), e);
    if (s) return s;
    run->has_start = true;
    s = journal_event(run->journal, record_branch(from->id, step, tokens, per_token * (double)tokens, t->wall_s), e);
    return s ? s : copy_rows(run, t, step, e);
}

/* The rows are on disk before the checkpoint that stands for them. */
static status take_state(store_run *run, const store_trunk *from, err *e)
{
    char file[IO_PATH_MAX];
    status s = owner_check(&run->owner, e);
    if (!s) s = journal_sync(run->journal, e);
    if (!s) s = train_branch_of(run->dir, &run->config, from->dir, from->config, from->step, file, e);
    return s ? s : journal_event(run->journal, record_ckpt(from->step, file), e);
}

static status take_end(store_run *run, const trunk_rows *t, err *e)
{
    status s = journal_copy(run->journal, t->text + t->end_line.at, t->end_line.n, e);
    if (!s) s = journal_sync(run->journal, e);
    if (s) return s;
    run->publish = run->ended = true;
    run->look.state = STORE_DIVERGED;
    return ST_OK;
}

status store_run_branch(store_run *run, const store_trunk *from, bool *ended, err *e)
{
    trunk_rows t;
    *ended = false;
    status s = read_trunk(&t, from, ended, e);
    const int64_t step = !s && *ended ? t.end_line.step : from->step;
    if (!s) s = write_journal(run, &t, from, step, e);
    if (!s) s = *ended ? take_end(run, &t, e) : take_state(run, from, e);
    if (!s) {
        run->look.step = step;
        run->look.tokens = step * run->config.batch_tokens;
        run->look.wall_s = isfinite(t.wall_s) ? t.wall_s : 0;
    }
    rows_free(&t);
    return s;
}
