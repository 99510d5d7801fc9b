/* From a table of logged steps to runs with schedules: which rows are one curve, what its learning rate was at every
 * step. What is assumed is said, and stands in the fit. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fit/curve.h"
#include "fit/input.h"

static const char INDEX[] = "curve_index"; /* column of a row's run, so that it survives --where */

typedef struct keyed { double key; size_t row; } keyed;

static int by_key_then_row(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int by_row(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

/* The column that names the curves, NULL: one file is one curve. */
static status naming_column(const table_column **out, const table *t, const fit_input_opts *o, err *e)
{
    char columns[640];
    *out = table_col(t, o->curve ? o->curve : "run");
    if (*out || !o->curve) return ST_OK;
    fit_list_columns(columns, sizeof columns, t);
    return err_set(e, ST_INPUT, "--curve: no column '%s'; it has: %s", o->curve, columns);
}

/* Curves in the order of their first rows. run[n_rows], first[n_runs]: a row of each. */
static status number_runs(double *run, size_t *first, size_t *n_runs, const table *t, const table_column *by, err *e)
{
    char where[IO_PATH_MAX + 32];
    size_t n = t->n_rows, groups = 0;
    keyed *k = malloc((2 * n + 1) * sizeof *k), *group = k ? k + n : NULL;
    if (!k) return err_set(e, ST_NOMEM, "no memory for %zu rows", n);
    for (size_t i = 0; i < n; i++) {
        k[i] = (keyed){by ? by->x[i] : (double)t->row_source[i], i};
        if (!isfinite(k[i].key)) {
            free(k);
            return err_set(e, ST_INPUT, "%s: column '%s' does not say which curve this row belongs to",
                           table_where_row(t, i, where), by->name);
        }
    }
    qsort(k, n, sizeof *k, by_key_then_row);
    for (size_t i = 0; i < n; i++)
        if (!i || k[i].key != k[i - 1].key) group[groups++] = k[i];
    qsort(group, groups, sizeof *group, by_row);
    for (size_t g = 0; g < groups; g++) run[first[g] = group[g].row] = (double)g;
    for (size_t i = 1; i < n; i++)
        if (k[i].key == k[i - 1].key) run[k[i].row] = run[k[i - 1].row];
    free(k);
    *n_runs = groups;
    return ST_OK;
}

static void base_name(char *out, const char *path)
{
    const char *slash = strrchr(path, '/');
    snprintf(out, TABLE_NAME_MAX, "%.*s", TABLE_NAME_MAX - 1, slash ? slash + 1 : path);
    char *dot = strrchr(out, '.');
    if (dot && dot != out) *dot = 0;
}

static void name_runs(fit_runs *r, const table *t, const table_column *by, const size_t *first)
{
    for (size_t k = 0; k < r->n_schedules; k++) {
        char *name = r->about[k].name, buf[32];
        const char *path = t->sources[t->row_source[first[k]]].path;
        if (by && by->is_text) snprintf(name, TABLE_NAME_MAX, "%s", table_word(by, first[k]));
        else if (by) snprintf(name, TABLE_NAME_MAX, "%s", num_text(by->x[first[k]], buf));
        else base_name(name, path);
        for (size_t j = 0; j < k && !by; j++)
            if (!strcmp(name, r->about[j].name)) snprintf(name, TABLE_NAME_MAX, "%.*s", TABLE_NAME_MAX - 1, path);
    }
}

/* Column "curve" with the names, so that --hold-out and --where can speak of them, and the index. */
static status add_columns(table *t, const fit_runs *r, const table_column *by, const double *run, err *e)
{
    size_t at;
    bool there = by && !strcmp(by->name, "curve"); /* `by` moves when a column is added */
    status s = table_add_col(t, INDEX, run, e);
    if (s || there) return s;
    if (table_col(t, "curve"))
        return err_set(e, ST_INPUT, "there is a column 'curve' already: take it with --curve curve, or rename it");
    s = table_add_col(t, "curve", NULL, e);
    if (!s) s = table_col_index(t, "curve", &at, e);
    for (size_t i = 0; i < t->n_rows && !s; i++) s = table_set_word(t, at, i, r->about[(size_t)run[i]].name, 0, 0, e);
    return s;
}

status fit_curves_number(const char **column, const char **shown, table *t, const fit_input_opts *o, err *e)
{
    const table_column *by;
    double *run = malloc((t->n_rows + 1) * sizeof *run);
    size_t *first = malloc((t->n_rows + 1) * sizeof *first), n = 0;
    status s = run && first ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    if (!s) s = naming_column(&by, t, o, e);
    if (!s) s = number_runs(run, first, &n, t, by, e);
    if (!s) {
        *column = INDEX;
        *shown = !by ? "input" : o->curve ? o->curve : "run";
        s = table_add_col(t, INDEX, run, e);
    }
    free(run);
    free(first);
    return s;
}

/* --- schedules ------------------------------------------------------------------------------------------------ */

/* "linear", "linear:2160", "constant", "none". */
static status parse_warmup(fit_warmup *out, size_t *steps, const char *text, err *e)
{
    char name[32];
    int64_t n = 0;
    const char *colon = text ? strchr(text, ':') : NULL;
    *steps = 0;
    *out = FIT_WARMUP_LINEAR;
    if (!text) return ST_OK;
    snprintf(name, sizeof name, "%.*s", (int)(colon ? colon - text : 31), text);
    if (colon && (!num_parse_i64(colon + 1, &n) || n < 1))
        return err_set(e, ST_USAGE, "--warmup '%s': after the colon stands the number of its steps", text);
    *steps = (size_t)n;
    return fit_warmup_find(out, name, e);
}

/* The --schedule for this curve: one that names it, else one for all; NULL: none. */
static const char *stated_schedule(const fit_input_opts *o, const char *name)
{
    const char *found = NULL;
    for (size_t k = 0; k < o->n_schedules; k++) {
        const char *text = o->schedules[k], *colon = strchr(text, ':');
        if (!colon) found = found ? found : text;
        else if ((size_t)(colon - text) == strlen(name) && !strncmp(text, name, strlen(name))) return colon + 1;
    }
    return found;
}

static status check_stated(const fit_input_opts *o, const fit_runs *r, err *e)
{
    for (size_t k = 0; k < o->n_schedules; k++) {
        const char *text = o->schedules[k], *colon = strchr(text, ':');
        bool known = !colon;
        for (size_t j = 0; j < r->n_schedules && colon; j++)
            known |= (size_t)(colon - text) == strlen(r->about[j].name) &&
                     !strncmp(text, r->about[j].name, (size_t)(colon - text));
        if (!known)
            return err_set(e, ST_USAGE, "--schedule '%s': no curve '%.*s'; the first is '%s'", text,
                           (int)(colon - text), text, r->n_schedules ? r->about[0].name : "");
    }
    return ST_OK;
}

typedef struct sample { double step, lr; size_t row; } sample;

static int by_step(const void *a, const void *b)
{
    const sample *x = a, *y = b;
    if (x->step != y->step) return x->step < y->step ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* Sorted by step; rows that repeat a step with the same learning rate (training and validation) count once. */
static status order_samples(sample *s, size_t *n, const table *t, err *e)
{
    char here[IO_PATH_MAX + 32], there[IO_PATH_MAX + 32];
    size_t kept = 0;
    qsort(s, *n, sizeof *s, by_step);
    for (size_t i = 0; i < *n; i++) {
        if (kept && s[i].step == s[kept - 1].step) {
            if (s[i].lr == s[kept - 1].lr) continue;
            return err_set(e, ST_INPUT,
                           "%s: step %.10g has the learning rate %g, in %s %g: two curves in one? (--curve names the "
                           "column that tells them apart)",
                           table_where_row(t, s[i].row, here), s[i].step, s[i].lr,
                           table_where_row(t, s[kept - 1].row, there), s[kept - 1].lr);
        }
        s[kept++] = s[i];
    }
    *n = kept;
    return ST_OK;
}

/* Flat, a change of a tenth of the peak, flat again: a step whose place the log does not tell. */
static void tell_jumps(const char *name, const double *step, const double *lr, size_t n, const fit_teller *tl)
{
    static const double TENTH = .1;
    double peak = 0;
    for (size_t i = 0; i < n; i++) peak = fmax(peak, lr[i]);
    for (size_t i = 1; i + 2 < n; i++) {
        if (step[i + 1] - step[i] < 2 || lr[i - 1] != lr[i] || lr[i + 1] != lr[i + 2]) continue;
        if (fabs(lr[i + 1] - lr[i]) > TENTH * peak)
            fit_tell(tl, 0,
                     "%s: the learning rate jumps from %g to %g between steps %.0f and %.0f: taken as a ramp, which "
                     "moves the parameters; state it with --schedule '%s:two-stage ...'",
                     name, lr[i], lr[i + 1], step[i], step[i + 1], name);
    }
}

static status sampled(fit_schedule *out, sample *s, size_t n, const table *t, const fit_runs *r, const char *name,
                      size_t warmup_steps, double *gap, const fit_teller *tl, err *e)
{
    status st = order_samples(s, &n, t, e);
    if (st) return st;
    if (!n) return err_set(e, ST_INPUT, "curve %s: no row has a learning rate; state --schedule for it", name);
    double *step = malloc(2 * n * sizeof *step), *lr = step ? step + n : NULL;
    if (!step) return err_set(e, ST_NOMEM, "no memory for %zu rows", n);
    for (size_t i = 0; i < n; i++) {
        step[i] = s[i].step, lr[i] = s[i].lr;
        if (i) *gap = fmax(*gap, step[i] - step[i - 1]);
    }
    st = fit_schedule_sampled(out, step, lr, n, r->warmup, warmup_steps, e);
    if (st) err_prefix(e, "curve %s", name);
    else tell_jumps(name, step, lr, n, tl);
    free(step);
    return st;
}

typedef struct logged { size_t n; double gap, first; } logged; /* what was taken from logs */

static status one_schedule(fit_runs *r, size_t k, const table *t, const double *run, const fit_input_opts *o,
                           size_t warmup_steps, sample *room, logged *log, const fit_teller *tl, err *e)
{
    fit_run_about *about = &r->about[k];
    const char *text = stated_schedule(o, about->name);
    fit_schedule_spec spec;
    if (text) {
        snprintf(about->schedule, sizeof about->schedule, "%s", text);
        status s = fit_schedule_parse(&spec, text, e);
        if (!s) s = fit_schedule_named(&r->schedule[k], &spec, r->warmup, e);
        return s ? err_prefix(e, "curve %s", about->name) : ST_OK;
    }
    const double *step, *lr;
    size_t n = 0;
    if (!table_col(t, "lr"))
        return err_set(e, ST_INPUT, "curve %s: no column for lr; name one with --col lr=COLUMN, or state --schedule "
                                    "'%s:cosine peak=.. warmup=.. steps=..'", about->name, about->name);
    status s = table_number_col(t, "step", &step, e);
    if (!s) s = table_number_col(t, "lr", &lr, e);
    for (size_t i = 0; i < t->n_rows && !s; i++)
        if (run[i] == (double)k && !isnan(lr[i]) && !isnan(step[i])) room[n++] = (sample){step[i], lr[i], i};
    if (!s) s = sampled(&r->schedule[k], room, n, t, r, about->name, warmup_steps, &log->gap, tl, e);
    if (s) return s;
    log->n++;
    if (room[0].step > 0) {
        log->first = fmin(log->first, room[0].step);
        r->assumed |= !o->warmup;
    }
    return ST_OK;
}

static void tell_schedules(const fit_runs *r, const logged *log, const table_column *by, const fit_teller *tl)
{
    static const char *const taken[] = {"a straight rise from 0", "steps at the peak", "not there"};
    fit_tell(tl, 0, "%zu curves, %s%s", r->n_schedules, by ? "by column " : "one per input", by ? by->name : "");
    if (log->n && log->gap > 1)
        fit_tell(tl, 0,
                 "learning rate of %zu curves from their logs: between logged steps (up to %.0f apart) it is taken as "
                 "linear; --schedule NAME:SHAPE states it exactly",
                 log->n, log->gap);
    if (isfinite(log->first))
        fit_tell(tl, 0, "logs begin at step %.0f or later: the warm-up before is taken as %s%s", log->first,
                 taken[r->warmup], r->assumed ? "; --warmup linear|constant|none states it (it moves alpha)" : "");
}

static status all_schedules(fit_runs *r, const table *t, const table_column *by, const double *run,
                            const fit_input_opts *o, const fit_teller *tl, err *e)
{
    size_t warmup_steps;
    logged log = {.first = INFINITY};
    sample *room = malloc((t->n_rows + 1) * sizeof *room);
    status s = room ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    r->lambda = o->lambda > 0 ? o->lambda : FIT_LAMBDA;
    if (!s && r->lambda >= 1) s = err_set(e, ST_USAGE, "lambda %g: it must lie below 1", r->lambda);
    if (!s) s = parse_warmup(&r->warmup, &warmup_steps, o->warmup, e);
    if (!s) s = check_stated(o, r, e);
    for (size_t k = 0; k < r->n_schedules && !s; k++)
        s = one_schedule(r, k, t, run, o, warmup_steps, room, &log, tl, e);
    free(room);
    if (!s) tell_schedules(r, &log, by, tl);
    return s;
}

status fit_runs_read(fit_runs **out, table *t, const fit_input_opts *o, const fit_teller *tl, err *e)
{
    if (o->runs && *o->runs) return fit_runs_copy(out, *o->runs, e); /* the columns stand in the table since then */
    const table_column *by;
    fit_runs *r = *out = calloc(1, sizeof *r);
    double *run = malloc((t->n_rows + 1) * sizeof *run);
    size_t *first = malloc((t->n_rows + 1) * sizeof *first), n = 0;
    status s = r && run && first ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    if (!s) s = naming_column(&by, t, o, e);
    if (!s) s = number_runs(run, first, &n, t, by, e);
    if (!s) {
        r->schedule = calloc(n + 1, sizeof *r->schedule);
        r->about = calloc(n + 1, sizeof *r->about);
        if (!r->schedule || !r->about) s = err_set(e, ST_NOMEM, "no memory for %zu curves", n);
        else r->n_schedules = n;
    }
    if (!s) name_runs(r, t, by, first);
    if (!s) s = all_schedules(r, t, by, run, o, tl, e);
    if (!s) s = add_columns(t, r, by, run, e);
    if (!s && o->runs) s = fit_runs_copy(o->runs, r, e);
    free(run);
    free(first);
    return s;
}

/* --- rows ------------------------------------------------------------------------------------------------------- */

status fit_runs_drop(const fit_runs *r, table *t, bool *keep, size_t *warming, size_t *beyond, err *e)
{
    const double *run, *step;
    char where[IO_PATH_MAX + 32];
    *warming = *beyond = 0;
    status s = table_number_col(t, INDEX, &run, e);
    if (!s) s = table_number_col(t, "step", &step, e);
    for (size_t i = 0; i < t->n_rows && !s; i++) {
        const fit_schedule *f = &r->schedule[(size_t)run[i]];
        if (!(step[i] >= 0) || step[i] != floor(step[i]))
            return err_set(e, ST_INPUT, "%s: step %.10g; steps are whole numbers from 0 on",
                           table_where_row(t, i, where), step[i]);
        bool early = step[i] < (double)f->warmup, late = step[i] >= (double)f->n_steps;
        *warming += early, *beyond += late;
        keep[i] = !early && !late;
    }
    if (!s) table_keep(t, keep);
    return s;
}

status fit_runs_take(fit_runs *r, const table *t, err *e)
{
    const double *run, *step;
    status s = table_number_col(t, INDEX, &run, e);
    if (!s) s = table_number_col(t, "step", &step, e);
    if (s) return s;
    r->run = malloc((t->n_rows + 1) * sizeof *r->run);
    r->step = malloc((t->n_rows + 1) * sizeof *r->step);
    if (!r->run || !r->step) return err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    for (size_t i = 0; i < t->n_rows; i++) r->run[i] = (uint32_t)run[i], r->step[i] = (uint32_t)step[i];
    return ST_OK;
}

json_t *fit_runs_json(const fit_runs *r)
{
    json_t *curves = json_array();
    for (size_t k = 0; k < r->n_schedules && r->about; k++)
        json_array_append_new(curves, json_pack("{s:s,s:o?,s:I,s:I,s:f}", "name", r->about[k].name, "schedule",
                                                r->about[k].schedule[0] ? json_string(r->about[k].schedule) : NULL,
                                                "steps", (json_int_t)r->schedule[k].n_steps, "warmup_steps",
                                                (json_int_t)r->schedule[k].warmup, "peak", r->schedule[k].peak));
    return json_pack("{s:{s:s,s:b,s:f,s:o}}", "schedules", "warmup", fit_warmup_name(r->warmup), "warmup_assumed",
                     r->assumed, "lambda", r->lambda, "curves", curves);
}
