/* muscale mup transfer: does the best learning rate stay where it is when models grow? Trains the sweep, then looks. */
#include "cli/mup_transfer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/mup.h"
#include "cli/sweep.h"

typedef struct words {
    sweep_settings sweep;
    const char *report;
    double beyond;
    int64_t bootstrap, seed;
    bool no_run;
} words;

/* ---- from the campaign ----------------------------------------------------------------------------------------- */

/* Where each run of the plan stands in the campaign's table; SIZE_MAX: not there. */
typedef struct place {
    const char *id;
    size_t row;
} place;

static int by_id(const void *a, const void *b) { return strcmp(((const place *)a)->id, ((const place *)b)->id); }

static status find_rows(size_t *row, const sweep_plan *p, const table *t, err *e)
{
    const table_column *run = table_col(t, "run");
    place *at = calloc(t->n_rows + 1, sizeof *at);
    if (!at) return err_set(e, ST_NOMEM, "mup transfer: no memory for %zu runs", t->n_rows);
    for (size_t i = 0; i < t->n_rows; i++) at[i] = (place){run ? table_word(run, i) : "", i};
    qsort(at, t->n_rows, sizeof *at, by_id);
    for (size_t i = 0; i < p->n_runs; i++) {
        const place key = {p->runs[i].id, 0};
        const place *found = bsearch(&key, at, t->n_rows, sizeof *at, by_id);
        row[i] = found ? found->row : SIZE_MAX;
    }
    free(at);
    return ST_OK;
}

static double cell(const table *t, const char *name, size_t row)
{
    const table_column *c = table_col(t, name);
    return c && !c->is_text ? c->x[row] : NAN;
}

/* Finished runs of a line as rows; those that are not are left out. */
static status read_line(transfer_line *out, const sweep_line *l, const table *t, const size_t *row, err *e)
{
    transfer_row *rows = calloc(l->n_points + 1, sizeof *rows);
    if (!rows) return err_set(e, ST_NOMEM, "mup transfer: no memory for %zu runs", l->n_points);
    *out = (transfer_line){.parametrisation = l->parametrisation,
                           .x = l->x,
                           .size = sweep_axis_names[l->axis],
                           .ruled = sweep_rule_covers(l->parametrisation, l->axis),
                           .rows = rows,
                           .bundle = l->bundle};
    for (size_t i = 0; i < l->n_points; i++) {
        const size_t at = row[l->points[i].run];
        const char *state = at == SIZE_MAX ? "" : table_word(table_col(t, "status"), at);
        const bool diverged = !strcmp(state, "diverged");
        if (!diverged && strcmp(state, "done")) continue;
        const double loss = cell(t, "loss", at);
        rows[out->n++] = (transfer_row){.x = l->points[i].x,
                                        .size = l->points[i].size,
                                        .loss = diverged || !isfinite(loss) ? INFINITY : loss,
                                        .N = cell(t, "N", at),
                                        .D = cell(t, "D", at),
                                        .C = cell(t, "C", at),
                                        .seed = lr_seed_of(t, at)};
    }
    if (!out->n)
        return err_set(e, ST_REFUSED, "%s over %s (%s): no run is finished yet; leave --no-run out to train them",
                       l->parametrisation, out->size, l->fixed);
    return ST_OK;
}

static void count(transfer_report *r, const sweep_plan *p, const table *t, const size_t *row)
{
    r->n_runs = p->n_runs;
    for (size_t i = 0; i < p->n_runs; i++) {
        const char *state = row[i] == SIZE_MAX ? "" : table_word(table_col(t, "status"), row[i]);
        r->n_diverged += !strcmp(state, "diverged");
        r->n_unfinished += strcmp(state, "diverged") && strcmp(state, "done");
    }
}

static status read_runs(transfer_report *r, const sweep_plan *p, err *e)
{
    table t = {0};
    size_t *row = calloc(p->n_runs + 1, sizeof *row);
    r->lines = calloc(r->found.n + 1, sizeof *r->lines);
    status s = row && r->lines ? ST_OK : err_set(e, ST_NOMEM, "mup transfer: no memory for %zu runs", p->n_runs);
    if (!s) s = table_read(&t, r->campaign, e);
    if (!s) s = find_rows(row, p, &t, e);
    if (!s) count(r, p, &t, row);
    for (size_t i = 0; i < r->found.n && !s; i++) s = read_line(&r->lines[i], &r->found.lines[i], &t, row, e);
    table_free(&t);
    free(row);
    return s;
}

/* ---- analysis -------------------------------------------------------------------------------------------------- */

static status analyse(transfer_report *r, err *e)
{
    const size_t n = r->found.n;
    bool *in = calloc(n + 1, sizeof *in);
    r->results = calloc(n + 1, sizeof *r->results);
    r->contest = calloc(r->found.n_panels + 1, sizeof *r->contest);
    status s = in && r->results && r->contest ? ST_OK : err_set(e, ST_NOMEM, "mup transfer: no memory");
    if (!s) s = transfer_analyse(r->results, r->lines, n, &r->opts, e);
    for (size_t k = 0; k < r->found.n_panels && !s; k++) {
        for (size_t i = 0; i < n; i++) in[i] = r->found.lines[i].panel == k;
        transfer_compare(&r->contest[k], r->results, r->lines, in, n);
    }
    free(in);
    return s;
}

/* What the report leaves open: nothing bracketed at all, or an optimum on the edge of the grid. The report is out by
 * then. */
static status judge(const transfer_report *r, err *e)
{
    size_t n_edge = 0, line = 0, group = 0, n_bracketed = 0;
    for (size_t i = 0; i < r->found.n; i++)
        for (size_t g = 0; g < r->results[i].opt.n_groups; g++) {
            n_bracketed += r->results[i].opt.groups[g].bracketed;
            if (r->results[i].opt.groups[g].edge && !n_edge++) line = i, group = g;
        }
    if (n_edge && !r->n_unfinished) {
        const lr_group *g = &r->results[line].opt.groups[group];
        char more[48] = "";
        if (n_edge > 1) snprintf(more, sizeof more, "; %zu more like it", n_edge - 1);
        return err_set(e, ST_INPUT, "%s: %s, %s %g: %s and run again with --amend; it counts nowhere%s", r->spec,
                       g->parametrisation, r->lines[line].size, g->width, g->why, more);
    }
    if (!n_bracketed) return err_set(e, ST_REFUSED, "%s: no size has a bracketed optimum", r->spec);
    return ST_OK;
}

static void report_free(transfer_report *r)
{
    if (r->results) transfer_free(r->results, r->found.n);
    for (size_t i = 0; i < r->found.n && r->lines; i++) free((transfer_row *)r->lines[i].rows);
    free(r->lines);
    free(r->results);
    free(r->contest);
    sweep_lines_free(&r->found);
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

static status read_words(transfer_opts *o, const words *w, err *e)
{
    if (w->sweep.rest.n < 1)
        return err_set(e, ST_USAGE, "mup transfer: SPEC.yaml is missing: a sweep over learning rates and sizes");
    if (w->sweep.rest.n > 1)
        return err_set(e, ST_USAGE, "mup transfer: '%s' is one argument too many", w->sweep.rest.items[1]);
    if (!w->sweep.out)
        return err_set(e, ST_USAGE, "mup transfer: -o CAMPAIGN is missing: the folder for runs, as of sweep run");
    if (!(w->beyond > 0)) return err_set(e, ST_USAGE, "--beyond: octaves per doubling, above 0, as in --beyond 0.25");
    if (w->bootstrap < 40 || w->bootstrap > 1000000)
        return err_set(e, ST_USAGE, "--bootstrap: %lld; 40 to 1000000 resamples", (long long)w->bootstrap);
    if (w->seed < 0) return err_set(e, ST_USAGE, "--seed: %lld is below 0", (long long)w->seed);
    *o = (transfer_opts){.beyond = w->beyond, .n_draws = (size_t)w->bootstrap, .seed = (uint64_t)w->seed};
    return ST_OK;
}

static status show(const transfer_report *r, const words *w, const cli *c, err *e)
{
    status s = ST_OK;
    char *text = NULL;
    json_t *doc = c->json || w->report ? transfer_report_json(r, c) : NULL;
    if ((c->json || w->report) && !doc) return err_set(e, ST_NOMEM, "mup transfer: no memory for the report");
    if (w->report) {
        text = json_dumps(doc, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
        s = text ? io_publish(w->report, text, strlen(text), e) : err_set(e, ST_NOMEM, "mup transfer: no memory");
        free(text);
        if (!s) cli_note(c, "written: %s", w->report);
    }
    if (s || !c->json) json_decref(doc);
    if (!s && c->json) cli_json_out(doc);
    else if (!s) transfer_print(r);
    return s;
}

static status run(transfer_report *r, const words *w, cli *c, bool *shown, err *e)
{
    sweep_spec spec = {0};
    sweep_plan plan = {0};
    sweep_progress trained = {0};
    status partial = ST_OK;
    err failed = {0};
    r->spec = w->sweep.rest.items[0];
    r->campaign = w->sweep.out;
    status s = sweep_plan_of(c, &w->sweep, r->spec, NULL, 0, &spec, &plan, e);
    r->plan = &plan;
    if (!s && (s = sweep_lines_find(&r->found, &plan, e))) err_prefix(e, "%s", r->spec);
    for (size_t i = 0; i < r->found.n && !s; i++)
        if (*r->found.lines[i].note)
            cli_warn(c, "%s over %s: %s", r->found.lines[i].parametrisation, sweep_axis_names[r->found.lines[i].axis],
                     r->found.lines[i].note);
    if (!s && r->found.n_left)
        cli_note(c, "%zu of %zu runs are of no line; they are trained and not looked at", r->found.n_left, plan.n_runs);
    if (!s && !w->no_run) {
        s = sweep_train(&trained, c, &w->sweep, &spec, &plan, &failed);
        if (s && s != ST_PARTIAL) *e = failed;
        if (s == ST_PARTIAL) partial = s, s = ST_OK;
    }
    if (!s) s = read_runs(r, &plan, e);
    if (!s && r->n_unfinished)
        cli_warn(c, "%zu of %zu runs are not finished: this is what the others say", r->n_unfinished, r->n_runs);
    if (!s) s = analyse(r, e);
    if (!s) s = show(r, w, c, e);
    if (!s) *shown = true;
    if (!s) s = judge(r, e);
    if (!s && partial) *e = failed, s = partial;
    sweep_plan_free(&plan);
    sweep_spec_free(&spec);
    return s;
}

int mup_transfer_cmd(cli *c, int argc, char **argv)
{
    transfer_opts o = transfer_opts_default();
    words w = {.sweep = sweep_settings_default(),
               .beyond = o.beyond,
               .bootstrap = (int64_t)o.n_draws,
               .seed = (int64_t)o.seed};
    const cli_opt opts[] = {
        {"output", 'o', OPT_TEXT, &w.sweep.out, "CAMPAIGN",
         "folder of the sweep's runs, made when absent; finished runs are taken as they are"},
        {"no-run", 0, OPT_FLAG, &w.no_run, NULL, "train nothing: look at what is finished"},
        {"beyond", 0, OPT_F64, &w.beyond, "X", "octaves per doubling that the verdict is about (default 0.25)"},
        {"bootstrap", 0, OPT_I64, &w.bootstrap, "K", "resamples behind the intervals (default 1000)"},
        {"seed", 0, OPT_I64, &w.seed, "S", "of the resamples"},
        {"report", 0, OPT_TEXT, &w.report, "FILE.json",
         "also write the report as JSON (muscale plot lr-curves draws it)"},
        {"jobs", 'j', OPT_I64, &w.sweep.workers, "N", "worker threads (default: processors)"},
        {"max-bank", 0, OPT_I64, &w.sweep.max_bank, "R", "at most R runs train in lock-step"},
        {"memory", 0, OPT_F64, &w.sweep.memory_gib, "GIB", "memory a bank may need (default: half)"},
        {"device", 0, OPT_TEXT, &w.sweep.device, "D", "backend of every run: cpu, cuda (bf16) or cuda-fp32"},
        {"streams", 0, OPT_I64, &w.sweep.streams, "K", "banks at a time on a device (default 1)"},
        {"amend", 0, OPT_FLAG, &w.sweep.amend, NULL, "replace the campaign's plan by this spec; no run is deleted"},
    };
    transfer_report r = {0};
    bool shown = false;
    err e = {0};
    status s = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &w.sweep.rest, &e);
    if (!s && !c->show_help) s = read_words(&r.opts, &w, &e);
    if (!s && !c->show_help) s = cli_check_output(w.report, &w.sweep.rest, &e);
    if (!s && !c->show_help) s = run(&r, &w, c, &shown, &e);
    report_free(&r);
    free(w.sweep.rest.items);
    cli plain = *c;
    if (shown) plain.json = false; /* the report is out already, and there is only one object */
    return s ? cli_usage(&plain, "mup", &e) : 0;
}
