/* What W&B's exports need beyond CSV and JSON: the chart export of its web page, and the warning that a history is but
 * a sample. Layouts: doc/formats.md. Keys keep their slashes ("train/loss"). */
#include <stdlib.h>
#include <string.h>

#include "base/readers.h"

/* --- chart export ---------------------------------------------------------------------------------------------- */

static const char DASH[] = " - ", MIN[] = "__MIN", MAX[] = "__MAX", RUN[] = "run";
enum { SUFFIX = sizeof MIN - 1 };

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name);
    return n > SUFFIX && !strcmp(name + n - SUFFIX, suffix);
}

/* The last " - ": names of runs may hold one themselves, names of metrics do not. NULL when there is none. */
static const char *last_dash(const char *name)
{
    const char *found = NULL;
    for (const char *p = name; (p = strstr(p, DASH)); p++) found = p;
    return found && found > name && found[sizeof DASH - 1] ? found : NULL;
}

static bool is_line_of(const char *name, const char *line, const char *suffix)
{
    size_t n = strlen(line);
    return !strncmp(name, line, n) && !strcmp(name + n, suffix);
}

bool wandb_is_chart(char (*names)[TABLE_NAME_MAX], size_t n)
{
    size_t lines = 0, triples = 0, runs = 0;
    for (size_t i = 1; i < n; i++) {
        if (ends_with(names[i], MIN) || ends_with(names[i], MAX)) continue;
        lines++;
        runs += last_dash(names[i]) != NULL;
        /* the exporter writes the three side by side */
        triples += i + 2 < n && is_line_of(names[i + 1], names[i], MIN) && is_line_of(names[i + 2], names[i], MAX);
    }
    if (!lines || 3 * triples + 1 == n) return lines > 0;
    /* the extremes taken out by hand */
    return lines + 1 == n && runs == lines && (!strcmp(names[0], "Step") || !strcmp(names[0], "_step"));
}

/* One line of the chart: a column of `wide` and where it goes. */
typedef struct line { const table_column *value, *low, *high; const char *run; size_t run_length, target; } line;
typedef struct chart { line *lines; size_t n; size_t averaged, points; } chart;

static void find_line(line *l, const table *wide, size_t col)
{
    const table_column *c = &wide->cols[col];
    const char *dash = last_dash(c->name);
    memset(l, 0, sizeof *l);
    l->value = c;
    l->run = dash ? c->name : "";
    l->run_length = dash ? (size_t)(dash - c->name) : 0;
    if (col + 2 < wide->n_cols && is_line_of(c[1].name, c->name, MIN)) l->low = &c[1], l->high = &c[2];
}

static bool same_run(const line *a, const line *b)
{
    return a->run_length == b->run_length && !memcmp(a->run, b->run, a->run_length);
}

/* Lines grouped by run, runs in the order of their first line. */
static void group(line *lines, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        size_t to = i;
        for (size_t k = 0; k < i; k++)
            if (same_run(&lines[k], &lines[i])) to = k + 1;
        line moved = lines[i];
        memmove(lines + to + 1, lines + to, (i - to) * sizeof *lines);
        lines[to] = moved;
    }
}

static status copy_cell(table *t, size_t col, size_t row, const table_column *from, size_t at, err *e)
{
    if (!from->is_text) {
        table_set(t, col, row, from->x[at]);
        return ST_OK;
    }
    size_t k = (size_t)from->x[at];
    /* as a field: the words that made this column one of words may stand in rows without a point */
    return table_set_field(t, col, row, from->words[k], from->word_line[k], from->word_at[k], e);
}

/* A point whose extremes differ stands for several: of steps that were binned, or of runs that were grouped. */
static void count_point(chart *c, const line *l, size_t at)
{
    c->points++;
    if (l->low && !l->low->is_text && !l->high->is_text) c->averaged += l->low->x[at] < l->high->x[at];
}

static status add_point(table *t, chart *c, size_t first, size_t last, const table *wide, size_t at, size_t axis,
                        size_t run, err *e)
{
    char name[TABLE_NAME_MAX];
    const line *l = c->lines + first;
    size_t row;
    status s = table_add_row(t, wide->row_line[at], &row, e);
    if (!s && !isnan(wide->cols[0].x[at])) s = copy_cell(t, axis, row, &wide->cols[0], at, e);
    if (!s && l->run_length) {
        memcpy(name, l->run, l->run_length);
        name[l->run_length] = 0;
        s = table_set_word(t, run, row, name, 0, 0, e);
    }
    for (; l < c->lines + last && !s; l++) {
        if (isnan(l->value->x[at])) continue;
        s = copy_cell(t, l->target, row, l->value, at, e);
        count_point(c, l, at);
    }
    return s;
}

static status fill(table *t, chart *c, const table *wide, size_t axis, size_t run, err *e)
{
    for (size_t at = 0; at < wide->n_rows; at++)
        for (size_t first = 0, last; first < c->n; first = last) {
            bool any = false;
            for (last = first; last < c->n && same_run(&c->lines[first], &c->lines[last]); last++)
                any |= !isnan(c->lines[last].value->x[at]);
            status s = any ? add_point(t, c, first, last, wide, at, axis, run, e) : ST_OK;
            if (s) return s;
        }
    return ST_OK;
}

/* The columns of t: run (where lines have one), the axis, each metric. "Step" on the web page is _step in a history. */
static status make_columns(table *t, chart *c, const table *wide, size_t *axis, size_t *run, const text_input *in,
                           err *e)
{
    const char *name = wide->cols[0].name;
    bool has_step = false, has_run = false, named = false;
    status s = ST_OK;
    for (size_t i = 0; i < c->n; i++) {
        const line *l = &c->lines[i];
        const char *metric = l->value->name + (l->run_length ? l->run_length + sizeof DASH - 1 : 0);
        has_step |= !strcmp(metric, "_step");
        has_run |= !strcmp(metric, RUN);
        named |= l->run_length > 0;
    }
    if (has_run || !strcmp(name, RUN))
        return err_set(e, ST_INPUT,
                       "%s:1: '%s' is to hold the names of the runs, so nothing else may have that name; rename it",
                       in->name, RUN);
    if (!strcmp(name, "Step") && !has_step) name = "_step";
    if (named) s = table_col_index(t, RUN, run, e);
    if (!s) s = table_col_index(t, name, axis, e);
    for (size_t i = 0; i < c->n && !s; i++) {
        line *l = &c->lines[i];
        s = table_col_index(t, l->value->name + (l->run_length ? l->run_length + sizeof DASH - 1 : 0), &l->target, e);
    }
    return s;
}

status wandb_unpivot(table *t, const table *wide, const text_input *in, err *e)
{
    chart c = {.lines = malloc(wide->n_cols * sizeof *c.lines)};
    size_t axis = 0, run = 0, first = 0;
    if (!c.lines) return err_set(e, ST_NOMEM, "%s: no memory", in->name);
    for (size_t col = 1; col < wide->n_cols; col++)
        if (!ends_with(wide->cols[col].name, MIN) && !ends_with(wide->cols[col].name, MAX))
            find_line(&c.lines[c.n++], wide, col);
    group(c.lines, c.n);
    status s = table_grow(t, in->name, in->sha256, 0, &first, e);
    if (!s) s = make_columns(t, &c, wide, &axis, &run, in, e);
    if (!s) s = fill(t, &c, wide, axis, run, e);
    if (!s) t->sources[t->n_sources - 1].shares_lines = !same_run(&c.lines[0], &c.lines[c.n - 1]);
    free(c.lines);
    if (!s && c.averaged)
        table_note(t, "W&B chart: %zu of %zu points average over several steps or runs (their __MIN and __MAX differ); "
                      "export the history with run.scan_history() for the values as they were logged",
                   c.averaged, c.points);
    return s;
}

/* --- run.history()'s sample ------------------------------------------------------------------------------------ */

/* run.history() draws 500 points unless told otherwise, other ones at every call (wandb issues 1783, 5219). A history
 * that was logged at a constant stride has that stride nearly everywhere; a sample of it has not. */
enum { SAMPLE_LOW = 490, SAMPLE_HIGH = 510 };
static const double UNEVEN = 0.9; /* share of the strides that must be alike in a full history */

typedef struct steps { size_t n, votes, alike; double last, stride; } steps;

/* Majority vote (Boyer and Moore 1981): the one stride that more than half have, if any has. */
static void vote(steps *h, double step)
{
    double stride = step - h->last;
    if (h->n++) {
        if (!h->votes) h->stride = stride;
        if (stride == h->stride) h->votes++;
        else h->votes--;
    }
    h->last = step;
}

static void count_alike(steps *h, double step)
{
    if (h->n++) h->alike += step - h->last == h->stride;
    h->last = step;
}

static bool looks_sampled(const steps *h)
{
    return h->n >= SAMPLE_LOW && h->n <= SAMPLE_HIGH && (double)h->alike < UNEVEN * (double)(h->n - 1);
}

void wandb_note_sample(table *t, size_t first)
{
    const table_column *step = table_col(t, "_step"), *run = table_col(t, RUN);
    size_t sampled = 0, rows = 0;
    if (!step || step->is_text) return;
    if (run && !run->is_text) run = NULL;
    size_t n = run ? run->n_words + 1 : 1;
    steps *h = calloc(n, sizeof *h);
    if (!h) return; /* a warning less, no harm */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t k = 0; pass && k < n; k++) h[k].n = 0;
        for (size_t i = first; i < t->n_rows; i++) {
            size_t k = run && !isnan(run->x[i]) ? (size_t)run->x[i] + 1 : 0;
            if (isnan(step->x[i])) continue;
            if (pass) count_alike(&h[k], step->x[i]);
            else vote(&h[k], step->x[i]);
        }
    }
    for (size_t k = 0; k < n; k++)
        if (looks_sampled(&h[k])) sampled++, rows = h[k].n;
    free(h);
    if (sampled)
        table_note(t,
                   "%zu run%s %s about 500 rows at uneven steps (%zu): this looks like the sample that W&B's "
                   "run.history() draws, another one at every call; export all rows with run.scan_history()",
                   sampled, sampled == 1 ? "" : "s", sampled == 1 ? "has" : "have", rows);
}
