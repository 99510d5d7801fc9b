/* muscale fit: a table of runs in, a law with intervals and a verdict out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/fit_compare.h"
#include "cli/fit_lr.h"
#include "cli/fit_print.h"
#include "base/jdoc.h"
#include "config.h"
#include "fit/fit.h"

enum { MAX_LAWS = 16 };

typedef struct args {
    const char *method, *x, *where, *objective, *solver, *starts, *count_rule, *flops_rule, *cluster, *hold_out,
        *out, *target, *fix_from, *embedding, *curve, *warmup;
    cli_list schedules, laws, cols, fix, tie, bound, start, at, inputs;
    double delta, lambda;
    const char *minimum, *noise; /* isoflop */
    fit_lr_args lr;              /* lr-optimum */
    int64_t bootstrap, seed, threads;
    bool list_laws, warm, profile, include_early_stopped;
    size_t n_unusable, most_params; /* found out: rows that not all laws to be compared can use; parameters of the largest of them */
} args;

static void say(void *who, int level, const char *line)
{
    const cli *c = who;
    if (level > 0) cli_verbose(c, "%s", line);
    else cli_note(c, "%s", line);
}

static status parse_starts(fit_opts *o, const char *text, err *e)
{
    char *end;
    if (!text || !strcmp(text, "screen")) return ST_OK;
    if (!strcmp(text, "grid")) {
        o->starts = FIT_STARTS_GRID;
        return ST_OK;
    }
    long n = strtol(text, &end, 10);
    if (*end || n < 1 || n > 1000000)
        return err_set(e, ST_USAGE, "--starts '%s': screen, grid, or a number of random starts", text);
    o->starts = FIT_STARTS_RANDOM;
    o->n_starts = (size_t)n;
    return ST_OK;
}

/* Draw k of the earlier fit's parameters; those it has no draws of stay pinned. */
static status take_draws(fit_opts *o, const json_t *root, const bool *pinned, err *e)
{
    const json_t *samples = json_object_get(json_object_get(root, "bootstrap"), "samples");
    size_t n = 0;
    for (size_t j = 0; j < o->law->n_params; j++)
        if (pinned[j] && json_array_size(json_object_get(samples, o->law->params[j].name)) > n)
            n = json_array_size(json_object_get(samples, o->law->params[j].name));
    if (!n) return ST_OK;
    double (*draws)[FIT_MAX_PARAMS] = malloc(n * sizeof *draws);
    if (!draws) return err_set(e, ST_NOMEM, "no memory for %zu draws", n);
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < o->law->n_params; j++) {
            const json_t *v = pinned[j] ? json_array_get(json_object_get(samples, o->law->params[j].name), k) : NULL;
            draws[k][j] = json_is_number(v) ? json_number_value(v) : NAN;
        }
    o->fix_draws = (const double (*)[FIT_MAX_PARAMS])draws;
    o->n_fix_draws = n;
    return ST_OK;
}

/* An earlier fit in other units of N is another law. */
static status same_rules(const json_t *root, const char *path, const args *a, const cli *c, err *e)
{
    const char *count = json_string_value(json_object_get(root, "count_rule")), *verdict = json_string_value(json_object_get(json_object_get(root, "trust"), "verdict"));
    if (count && a->count_rule && strcmp(count, "unstated") && strcmp(count, a->count_rule))
        return err_set(e, ST_INPUT, "%s counts N by rule '%s', this fit by '%s': its A and alpha belong to other numbers; fit both by one rule (--count-rule, --embedding)",
                       path, count, a->count_rule);
    if (verdict && !strcmp(verdict, "refuse")) cli_warn(c, "%s was refused; its values are taken all the same", path);
    return ST_OK;
}

/* Every parameter of this name that an earlier fit found is pinned there, and drawn anew from its draws in each resample: the second
 * stage of a two-stage fit. */
static status fix_from(fit_opts *o, const args *a, const cli *c, err *e)
{
    json_t *root;
    size_t n = 0;
    bool pinned[FIT_MAX_PARAMS] = {0};
    const char *path = a->fix_from;
    status s = jdoc_read(&root, NULL, path, "muscale.fit/1", 64 << 20, "--fix-from takes what muscale fit -o wrote", e);
    if (s) return s;
    s = same_rules(root, path, a, c, e);
    const json_t *params = json_object_get(root, "params");
    for (size_t j = 0; j < o->law->n_params && !s; j++) {
        const json_t *v = json_object_get(params, o->law->params[j].name);
        if (!v || !isnan(o->fix[j])) continue;
        if (!json_is_number(v))
            s = err_set(e, ST_INPUT, "%s: %s was not identified there; give it with --fix", path, o->law->params[j].name);
        else o->fix[j] = json_number_value(v), pinned[j] = true, n++;
    }
    if (!s && !n) s = err_set(e, ST_INPUT, "%s: law %s has no parameter that this fit has", path, o->law->name);
    if (!s) s = take_draws(o, root, pinned, e);
    if (!s) cli_note(c, "%zu parameters pinned at those of %s%s", n, path,
                     o->fix_draws ? "; resamples draw them from its resamples" : ", exactly: it has no bootstrap draws");
    json_decref(root);
    return s;
}

static status parse_lists(fit_opts *o, const args *a, const cli *c, err *e)
{
    status s = ST_OK;
    for (size_t i = 0; i < a->fix.n && !s; i++) s = fit_opts_fix(o, a->fix.items[i], e);
    if (!s && a->fix_from) s = fix_from(o, a, c, e);
    for (size_t i = 0; i < a->tie.n && !s; i++) s = fit_opts_tie(o, a->tie.items[i], e);
    for (size_t i = 0; i < a->bound.n && !s; i++) s = fit_opts_bound(o, a->bound.items[i], e);
    if (s || !a->start.n) return s;
    o->given = malloc(a->start.n * sizeof *o->given);
    if (!o->given) return err_set(e, ST_NOMEM, "no memory for starts");
    o->starts = FIT_STARTS_GIVEN;
    for (size_t i = 0; i < a->start.n && !s; i++, o->n_given++)
        s = fit_start_parse(o->given[i], o->law, a->start.items[i], e);
    return s;
}

static status parse_at(fit_opts *o, const args *a, const fit_input_opts *in, err *e)
{
    status s = ST_OK;
    if (!a->at.n) return ST_OK;
    o->at = malloc(a->at.n * sizeof *o->at);
    if (!o->at) return err_set(e, ST_NOMEM, "no memory for %zu points", a->at.n);
    for (size_t i = 0; i < a->at.n && !s; i++, o->n_at++) s = fit_at_parse(o->at[i], o->law, in->x ? in->x : "", a->at.items[i], e);
    return s;
}

/* What can be said wrong before any file is read. */
static status check_args(const args *a, err *e)
{
    bool parametric = !strcmp(a->method, "parametric");
    if (!parametric && strcmp(a->method, "isoflop") && strcmp(a->method, "envelope") && strcmp(a->method, "lr-optimum"))
        return err_set(e, ST_USAGE, "--method '%s': known are parametric, isoflop, envelope, lr-optimum", a->method);
    if (!a->inputs.n)
        return err_set(e, ST_USAGE, "no input: give a campaign, run.h5, campaign.h5 or a file of rows (CSV, JSON, JSONL, log)");
    if (a->bootstrap < 0 || a->bootstrap > 1000000)
        return err_set(e, ST_USAGE, "--bootstrap: between 0 and 1000000 resamples");
    if (a->seed < 0) return err_set(e, ST_USAGE, "--seed: a whole number from 0 on");
    if (a->threads < 0 || a->threads > 256) return err_set(e, ST_USAGE, "--threads: between 1 and 256, or 0 for all processors");
    if (!parametric && (a->fix.n || a->tie.n || a->bound.n || a->start.n || a->objective || a->solver || a->starts || a->laws.n || a->at.n))
        return err_set(e, ST_USAGE, "method %s has no --law, --fix, --tie, --bound, --start, --starts, --at, --objective or --solver",
                       a->method);
    if (strcmp(a->method, "isoflop") && (a->minimum || a->noise))
        return err_set(e, ST_USAGE, "--minimum and --noise belong to --method isoflop");
    if (strcmp(a->method, "lr-optimum") && (a->lr.surface || a->lr.near_best || a->lr.optima))
        return err_set(e, ST_USAGE, "--surface, --near-best and --optima belong to --method lr-optimum");
    if (a->lr.surface && a->lr.near_best) return err_set(e, ST_USAGE, "--surface and --near-best exclude each other");
    if (a->noise && !a->bootstrap) return err_set(e, ST_USAGE, "--noise is for resamples: it needs --bootstrap above 0");
    if (!parametric) return ST_OK;
    if (a->laws.n > MAX_LAWS) return err_set(e, ST_USAGE, "%zu laws: at most %d are compared", a->laws.n, MAX_LAWS);
    if (a->laws.n > 1 && (a->fix.n || a->tie.n || a->bound.n || a->start.n || a->fix_from || a->at.n))
        return err_set(e, ST_USAGE, "--fix, --tie, --bound, --start, --fix-from and --at are for one law; fit each law to its own -o FIT.json");
    if (!a->laws.n)
        return err_set(e, ST_USAGE, "which law? --law chinchilla, --law power --x N|D|C, --law 'E + A*N^-alpha' (muscale fit --list-laws)");
    for (size_t i = 0; i < a->laws.n; i++)
        if (!fit_law_is_formula(a->laws.items[i]) && !fit_law_find(a->laws.items[i], e)) return ST_USAGE;
    return ST_OK;
}

static void say_formula(const cli *c, const fit_law *law)
{
    char cols[256] = "", params[512] = "";
    for (size_t i = 0; i < law->n_cols; i++) {
        size_t n = strlen(cols);
        snprintf(cols + n, sizeof cols - n, "%s%s", i ? ", " : "", law->cols[i]);
    }
    for (size_t j = 0; j < law->n_params; j++) {
        size_t n = strlen(params);
        snprintf(params + n, sizeof params - n, "%s%s%s", j ? ", " : "", law->params[j].name, law->params[j].log ? " > 0" : "");
    }
    cli_note(c, "formula: columns %s; parameters %s", cols, params);
}

/* --law NAME or --law 'FORMULA': the latter needs the table, whose columns its names may be. *typed is owned. */
static status find_law(const fit_law **law, fit_law **typed, const char *text, const args *a, const table *t,
                       const fit_input_opts *in, const cli *c, err *e)
{
    const char **names;
    size_t n;
    if (!fit_law_is_formula(text)) {
        *law = fit_law_find(text, e);
        if (*law && a->target) return err_set(e, ST_USAGE, "--target: law %s predicts %s; only a formula takes another target", text, (*law)->target ? (*law)->target : "loss");
        return *law ? ST_OK : ST_USAGE;
    }
    status s = fit_column_names(&names, &n, t, in, e);
    if (!s) s = fit_law_typed(typed, text, names, n, e);
    free(names);
    if (s) return s;
    (*typed)->target = a->target;
    for (size_t j = 0; j < (*typed)->n_params; j++) {
        const char *role = fit_column_role(t, (*typed)->params[j].name);
        if (role) return err_set(e, ST_INPUT, "--law '%s': '%s' is no column of the input and would be a parameter; write %s for that column (or --col %s=COLUMN)", text,
                                 (*typed)->params[j].name, role, (*typed)->params[j].name);
    }
    for (size_t i = 0; i < a->bound.n && !s; i++) s = fit_opts_domain(*typed, a->bound.items[i], e);
    if (!s && !in->again) say_formula(c, *typed);
    *law = *typed;
    return s;
}

static status options(fit_opts *o, const fit_law *law, const args *a, const fit_input_opts *in, const cli *c, err *e)
{
    *o = fit_opts_default(law ? law : fit_laws[0]);
    o->law = law;
    o->bootstrap = (size_t)a->bootstrap;
    o->seed = (uint64_t)a->seed;
    o->threads = (size_t)a->threads;
    o->warm = a->warm;
    o->profile = a->profile;
    o->rolling = in->hold_out && !strcmp(in->hold_out, "rolling");
    if (a->minimum && !(o->minimum = fit_minimum_find(a->minimum, e))) return ST_USAGE;
    if (!law) return a->noise ? fit_opts_noise(o, a->noise, e) : ST_OK;
    o->delta = a->delta;
    if (a->objective && !(o->objective = fit_objective_find(a->objective, e))) return ST_USAGE;
    if (a->solver && !(o->solver = fit_solver_find(a->solver, e))) return ST_USAGE;
    status s = parse_starts(o, a->starts, e);
    if (!s) s = parse_lists(o, a, c, e);
    return s ? s : parse_at(o, a, in, e);
}

static int list_laws(const cli *c)
{
    if (c->json) return cli_json_out(fit_laws_json());
    for (size_t i = 0; i < fit_n_laws; i++) {
        const fit_law *law = fit_laws[i];
        printf("%s\n    %s\n    %s\n    columns:", law->name, law->formula, law->source);
        for (size_t k = 0; k < law->n_cols; k++) printf(" %s", strcmp(law->cols[k], "x") ? law->cols[k] : "x (--x COL)");
        printf("; predicts %s\n", law->target ? law->target : "loss");
        for (size_t j = 0; j < law->n_params; j++) printf("    %-9s %s\n", law->params[j].name, law->params[j].meaning);
    }
    return 0;
}

static status run_law(fit_result *r, table *t, const char *name, args *a, const fit_input_opts *in, cli *c, err *e)
{
    fit_data d = {0};
    fit_opts o = {0};
    fit_law *typed = NULL;
    const fit_law *law = NULL;
    status s = name ? find_law(&law, &typed, name, a, t, in, c, e) : ST_OK;
    if (!s) s = options(&o, law, a, in, c, e);
    if (!s) s = fit_input(&d, t, law, in, say, c, e);
    if (!s && !r) {
        if (law->n_params > a->most_params) a->most_params = law->n_params;
        goto done; /* rows selected: all that was asked */
    }
    if (a->most_params) o.fold_rows = a->most_params + 2;
    if (!s) s = law ? fit_run(r, &d, &o, e) : in->by_curve ? fit_envelope(r, &d, &o, e) : fit_isoflop(r, &d, &o, e);
done:
    fit_data_free(&d);
    free(o.given);
    free((void *)o.fix_draws);
    free(o.at);
    fit_law_typed_free(typed);
    return s;
}

/* Every law first says which rows it can use; then all are fitted on those that are left. */
static status run_compare(fit_result *r, table *t, args *a, const fit_input_opts *given, cli *c, err *e)
{
    fit_input_opts in = *given;
    struct fit_runs *runs = NULL;
    status s = ST_OK;
    in.x_optional = true;
    in.runs = &runs;
    if (!in.hold_out) {
        in.hold_out = "rolling";
        cli_note(c, "ranked by a back-test over compute scales (--hold-out rolling; or EXPR, largest)");
    }
    for (size_t i = 0; i < a->laws.n && !s; i++, in.again = true) {
        size_t before = t->n_rows;
        s = run_law(NULL, t, a->laws.items[i], a, &in, c, e);
        if (s || !i || before == t->n_rows) continue; /* the first tells its own */
        cli_note(c, "%zu rows dropped for all laws: %s cannot use them", before - t->n_rows, a->laws.items[i]);
        a->n_unusable += before - t->n_rows;
    }
    for (size_t i = 0; i < a->laws.n && !s; i++) {
        s = run_law(&r[i], t, a->laws.items[i], a, &in, c, e);
        if (!s && strcmp(r[i].points.target, r[0].points.target))
            s = err_set(e, ST_USAGE, "law %s predicts %s, law %s predicts %s: they cannot be compared", r[0].law, r[0].points.target, r[i].law, r[i].points.target);
    }
    fit_runs_free(runs);
    if (!s && !fit_compare_same_folds(r, a->laws.n))
        cli_note(c, "the laws have no scale of compute in common: their back-tests cut the rows at different places; give C (or N and D)");
    return s;
}

/* A run of a store is a row, or its curve: its validations; laws of whole curves want the learning rate of every step too. */
static status read_input(table *t, const char *path, const args *a, err *e)
{
    bool whole = false;
    for (size_t i = 0; i < a->laws.n; i++) {
        const fit_law *law = fit_law_is_formula(a->laws.items[i]) ? NULL : fit_law_find(a->laws.items[i], NULL);
        whole |= law && law->curves;
    }
    if (whole) return table_read_curves(t, path, TABLE_ALL_STEPS, e);
    return strcmp(a->method, "envelope") ? table_read(t, path, e) : table_read_curves(t, path, TABLE_VALIDATIONS, e);
}

static status run(fit_result *r, table *t, args *a, cli *c, err *e)
{
    fit_input_opts in = {.cols = a->cols.items,
                         .n_cols = a->cols.n,
                         .where = a->where,
                         .x = a->x,
                         .cluster = a->cluster,
                         .hold_out = a->hold_out,
                         .count_rule = a->count_rule,
                         .flops_rule = a->flops_rule,
                         .embedding = a->embedding,
                         .include_early_stopped = a->include_early_stopped,
                         .curve = a->curve,
                         .by_curve = !strcmp(a->method, "envelope"),
                         .warmup = a->warmup,
                         .schedules = a->schedules.items,
                         .n_schedules = a->schedules.n,
                         .lambda = a->lambda};
    fit_opts o;
    status s = check_args(a, e);
    for (size_t i = 0; i < a->inputs.n && !s; i++) {
        s = read_input(t, a->inputs.items[i], a, e);
        if (!s && *t->sources[t->n_sources - 1].note)
            cli_note(c, "%s: %s", a->inputs.items[i], t->sources[t->n_sources - 1].note);
    }
    if (!s && a->laws.n > 1) return run_compare(r, t, a, &in, c, e);
    if (!s && a->include_early_stopped && !strcmp(a->method, "lr-optimum"))
        return err_set(e, ST_USAGE, "--include-early-stopped: method lr-optimum compares runs of one length; train them to their end");
    if (s || strcmp(a->method, "lr-optimum")) return s ? s : run_law(r, t, a->laws.n ? a->laws.items[0] : NULL, a, &in, c, e);
    s = options(&o, NULL, a, &in, c, e);
    return s ? s : fit_lr_run(r, t, &a->lr, &in, &o, c, e);
}

static int finish(cli *c, const fit_result *r, const args *a)
{
    err e = {0};
    json_t *json = fit_json(r, c->argv0, c->argc0, PACKAGE_VERSION);
    if (a->out && fit_save(json, a->out, &e)) {
        json_decref(json);
        return cli_fail(c, &e);
    }
    if (c->json) {
        int rc = cli_json_out(json);
        if (rc) return rc;
    } else {
        json_decref(json);
        fit_print(stdout, r);
        if (a->out) cli_note(c, "written: %s", a->out);
    }
    return r->trust.verdict == FIT_REFUSE ? status_exit(ST_REFUSED) : 0;
}

static int finish_compare(cli *c, const fit_result *r, const args *a)
{
    err e = {0};
    const fit_result *list[MAX_LAWS];
    size_t order[MAX_LAWS], n = a->laws.n;
    json_t *fits = json_array();
    for (size_t i = 0; i < n; i++) list[i] = &r[i];
    fit_compare_rank(order, list, n);
    for (size_t k = 0; k < n; k++) json_array_append_new(fits, fit_json(list[order[k]], c->argv0, c->argc0, PACKAGE_VERSION));
    json_t *json = fit_compare_json(list, order, n, a->n_unusable, fits);
    int rc = 0;
    if (a->out && fit_save(json, a->out, &e)) rc = cli_fail(c, &e);
    if (!rc && c->json) rc = cli_json_out(json_incref(json));
    else if (!rc) fit_compare_print(stdout, list, order, n);
    json_decref(json);
    return rc ? rc : list[order[0]]->trust.verdict == FIT_REFUSE ? status_exit(ST_REFUSED) : 0;
}

int cmd_fit(cli *c, int argc, char **argv)
{
    args a = {.method = "parametric", .delta = NAN, .bootstrap = 1000};
    const cli_opt opts[] = {
        {"law", 0, OPT_LIST, &a.laws, "LAW", "a law by name (--list-laws), or a formula: 'E + A*N^-alpha + B*D^-beta'"},
        {"x", 0, OPT_TEXT, &a.x, "COL", "the variable of a law of one variable: N, D, C, step, ..."},
        {"method", 0, OPT_TEXT, &a.method, "METHOD", "parametric (default), isoflop, envelope, lr-optimum"},
        {"minimum", 0, OPT_TEXT, &a.minimum, "HOW", "isoflop: parabola (default), akima, lowest"},
        {"noise", 0, OPT_TEXT, &a.noise, "SD", "isoflop: sd of the loss between seeds, nats, or SD@LOSS,SD@LOSS; resamples add it"},
        {"surface", 0, OPT_TEXT, &a.lr.surface, "HOW",
         "lr-optimum, where lr and batch vary: per-cell (default) or pooled quadratic surfaces"},
        {"near-best", 0, OPT_TEXT, &a.lr.near_best, "SHARE", "lr-optimum: lines through runs so near their cell's lowest loss, as 0.25%"},
        {"optima", 0, OPT_TEXT, &a.lr.optima, "FILE.csv", "lr-optimum: write the optima found, for --law lr-power and batch-power"},
        {"col", 0, OPT_LIST, &a.cols, "NAME=COL", "which column is N, D, C, loss, lr, ..."},
        {"where", 0, OPT_TEXT, &a.where, "EXPR", "rows to use, as in \"loss < 3.4 and C < 1e21\""},
        {"include-early-stopped", 0, OPT_FLAG, &a.include_early_stopped, NULL,
         "runs that a rule stopped count too, at their last validation loss"},
        {"objective", 0, OPT_TEXT, &a.objective, "NAME", "huber-log (default), mse-log, mse, asym-log"},
        {"delta", 0, OPT_F64, &a.delta, "X", "where Huber turns linear, in ln loss (1e-3)"},
        {"starts", 0, OPT_TEXT, &a.starts, "HOW",
         "screen (default), grid (the published one), or a number of random starts"},
        {"solver", 0, OPT_TEXT, &a.solver, "NAME", "newton (default), gsl-bfgs, gsl-lm"},
        {"fix", 0, OPT_LIST, &a.fix, "P=V", "pin a parameter"},
        {"fix-from", 0, OPT_TEXT, &a.fix_from, "FIT.json", "pin the parameters of an earlier fit: the second stage"},
        {"target", 0, OPT_TEXT, &a.target, "COL", "what a formula predicts (loss)"},
        {"tie", 0, OPT_LIST, &a.tie, "P=Q", "make a parameter equal to another"},
        {"bound", 0, OPT_LIST, &a.bound, "P=LO,HI", "keep a parameter inside bounds"},
        {"start", 0, OPT_LIST, &a.start, "P=V,...", "start here only; may be repeated"},
        {"count-rule", 0, OPT_TEXT, &a.count_rule, "RULE", "what N counts: total, non-embed, standard, effective"},
        {"embedding", 0, OPT_TEXT, &a.embedding, "V,ASPECT", "add the embeddings of models of vocabulary V and d_model/n_layer ASPECT to N; -V,ASPECT takes them out"},
        {"flops-rule", 0, OPT_TEXT, &a.flops_rule, "RULE", "what C counts: 6N, exact, given"},
        {"bootstrap", 0, OPT_I64, &a.bootstrap, "K", "resamples (1000; 0 = no intervals)"},
        {"profile", 0, OPT_FLAG, &a.profile, NULL, "profile likelihood of each parameter, with its 95 % interval"},
        {"at", 0, OPT_LIST, &a.at, "N=..,D=..", "predict at this point, with both intervals; may be repeated"},
        {"warm", 0, OPT_FLAG, &a.warm, NULL, "resamples start from the optimum only; the default searches globally in each"},
        {"threads", 0, OPT_I64, &a.threads, "T", "processors to use (all); results do not depend on it"},
        {"cluster", 0, OPT_TEXT, &a.cluster, "COL", "resample groups of rows that share this column"},
        {"hold-out", 0, OPT_TEXT, &a.hold_out, "EXPR", "fit without these rows and score on them; or: largest, rolling"},
        {"curve", 0, OPT_TEXT, &a.curve, "COL", "laws of curves, envelope: column that names a row's curve (run, else one per input)"},
        {"schedule", 0, OPT_LIST, &a.schedules, "[NAME:]SHAPE…",
         "laws of curves: learning rate of curve NAME or of all, as in 'cosine peak=3e-4 warmup=2000 steps=24000'"},
        {"warmup", 0, OPT_TEXT, &a.warmup, "linear[:STEPS]|constant|none", "laws of curves: the warm-up that the logs do not show"},
        {"lambda", 0, OPT_F64, &a.lambda, "X", "lr-anneal: decay of its momentum (0.999)"},
        {"seed", 0, OPT_I64, &a.seed, "S", "of the bootstrap and of random starts (0)"},
        {"out", 'o', OPT_TEXT, &a.out, "FIT.json", "write the fit (muscale.fit/1)"},
        {"list-laws", 0, OPT_FLAG, &a.list_laws, NULL, "print the laws and their parameters"},
    };
    err e = {0};
    table t = {0};
    fit_result r[MAX_LAWS] = {0};
    int rc = 0;
    status s = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &a.inputs, &e);
    if (!s && c->show_help) goto done;
    if (!s && a.list_laws) {
        rc = list_laws(c);
        goto done;
    }
    if (!s) s = cli_check_output(a.out, &a.inputs, &e);
    if (!s) s = cli_check_output(a.lr.optima, &a.inputs, &e);
    if (!s) s = run(r, &t, &a, c, &e);
    rc = !s ? a.laws.n > 1 ? finish_compare(c, r, &a) : finish(c, r, &a) : s == ST_USAGE ? cli_usage(c, "fit", &e) : cli_fail(c, &e);
done:
    for (size_t i = 0; i < MAX_LAWS; i++) fit_result_free(&r[i]);
    table_free(&t);
    free(a.laws.items);
    free(a.cols.items);
    free(a.fix.items);
    free(a.tie.items);
    free(a.bound.items);
    free(a.start.items);
    free(a.at.items);
    free(a.inputs.items);
    return rc;
}
