/* muscale fit: a table of runs in, a law with intervals and a verdict out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/fit_print.h"
#include "config.h"
#include "fit/fit.h"
#include "fit/lr_optimum.h"

typedef struct args {
    const char *method, *x, *where, *objective, *solver, *starts, *count_rule, *flops_rule, *cluster, *hold_out,
        *out;
    cli_list laws, cols, fix, tie, bound, start, inputs;
    double delta;
    int64_t bootstrap, seed;
    bool list_laws;
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

static status parse_lists(fit_opts *o, const args *a, err *e)
{
    status s = ST_OK;
    for (size_t i = 0; i < a->fix.n && !s; i++) s = fit_opts_fix(o, a->fix.items[i], e);
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

static status options(fit_opts *o, const args *a, err *e)
{
    const fit_law *law = NULL;
    if (!strcmp(a->method, "parametric")) {
        if (a->laws.n > 1)
            return err_set(e, ST_USAGE, "--law %s --law %s: one law a fit; fit each to its own -o FIT.json", a->laws.items[0], a->laws.items[1]);
        if (!a->laws.n)
            return err_set(e, ST_USAGE,
                           "which law? --law chinchilla or --law power --x N|D|C (muscale fit --list-laws)");
        law = fit_law_find(a->laws.items[0], e);
        if (!law) return ST_USAGE;
    }
    *o = fit_opts_default(law ? law : fit_laws[0]);
    o->law = law;
    if (a->bootstrap < 0 || a->bootstrap > 1000000)
        return err_set(e, ST_USAGE, "--bootstrap: between 0 and 1000000 resamples");
    if (a->seed < 0) return err_set(e, ST_USAGE, "--seed: a whole number from 0 on");
    o->bootstrap = (size_t)a->bootstrap;
    o->seed = (uint64_t)a->seed;
    if (!law) {
        if (a->fix.n || a->tie.n || a->bound.n || a->start.n || a->objective || a->solver || a->starts)
            return err_set(e, ST_USAGE,
                           "method %s has no --fix, --tie, --bound, --start, --starts, --objective or --solver",
                           a->method);
        return ST_OK;
    }
    o->delta = a->delta;
    if (a->objective && !(o->objective = fit_objective_find(a->objective, e))) return ST_USAGE;
    if (a->solver && !(o->solver = fit_solver_find(a->solver, e))) return ST_USAGE;
    status s = parse_starts(o, a->starts, e);
    return s ? s : parse_lists(o, a, e);
}

static int list_laws(const cli *c)
{
    if (c->json) return cli_json_out(fit_laws_json());
    for (size_t i = 0; i < fit_n_laws; i++) {
        printf("%-12s %s\n%12s %s\n", fit_laws[i]->name, fit_laws[i]->formula, "", fit_laws[i]->source);
        for (size_t j = 0; j < fit_laws[i]->n_params; j++)
            printf("%12s %-6s %s\n", "", fit_laws[i]->params[j].name, fit_laws[i]->params[j].meaning);
    }
    return 0;
}

/* The learning-rate optimum is its own arithmetic (fit/lr_optimum.h) in the same envelope. */
static status run_lr(fit_result *r, table *t, const args *a, const fit_input_opts *in, const fit_opts *o, cli *c,
                     err *e)
{
    lr_optimum lr = {0};
    lr_opts lo = lr_opts_default();
    size_t before = t->n_rows, kept = before;
    memset(r, 0, sizeof *r);
    status s = fit_input_columns(t, in, say, c, e);
    if (!s && a->where && (s = table_where(t, a->where, &kept, e))) err_prefix(e, "--where");
    lo.n_draws = o->bootstrap;
    lo.seed = o->seed;
    if (!s && !kept)
        return err_set(e, ST_INPUT, "no row is left%s%s", a->where ? " after --where " : "", a->where ? a->where : "");
    if (!s) s = lr_optimum_table(&lr, t, &lo, e);
    if (!s) {
        cli_note(c, "%zu rows read, %zu used", before, kept - lr.n_unfinished);
        s = fit_from_lr_optimum(r, &lr, t, before - kept, e);
    }
    lr_optimum_free(&lr);
    return s;
}

static status run(fit_result *r, table *t, args *a, const fit_opts *o, cli *c, err *e)
{
    fit_data d = {0};
    fit_input_opts in = {a->cols.items, a->cols.n,   a->where,      a->x,
                         a->cluster,    a->hold_out, a->count_rule, a->flops_rule};
    status s = ST_OK;
    for (size_t i = 0; i < a->inputs.n && !s; i++) {
        s = table_read(t, a->inputs.items[i], e);
        if (!s && *t->sources[t->n_sources - 1].note)
            cli_note(c, "%s: %s", a->inputs.items[i], t->sources[t->n_sources - 1].note);
    }
    if (s) return s;
    if (!strcmp(a->method, "lr-optimum")) return run_lr(r, t, a, &in, o, c, e);
    s = fit_input(&d, t, o->law, &in, say, c, e);
    if (!s) s = o->law ? fit_run(r, &d, o, e) : fit_isoflop(r, &d, o, e);
    fit_data_free(&d);
    return s;
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

int cmd_fit(cli *c, int argc, char **argv)
{
    args a = {.method = "parametric", .delta = NAN, .bootstrap = 1000};
    const cli_opt opts[] = {
        {"law", 0, OPT_LIST, &a.laws, "LAW", "chinchilla, power (see --list-laws)"},
        {"x", 0, OPT_TEXT, &a.x, "COL", "the variable of a law of one variable: N, D, C, step, ..."},
        {"method", 0, OPT_TEXT, &a.method, "METHOD", "parametric (default), isoflop, lr-optimum"},
        {"col", 0, OPT_LIST, &a.cols, "NAME=COL", "which column is N, D, C, loss, lr, ..."},
        {"where", 0, OPT_TEXT, &a.where, "EXPR", "rows to use, as in \"loss < 3.4 and C < 1e21\""},
        {"objective", 0, OPT_TEXT, &a.objective, "NAME", "huber-log (default), mse-log, mse, asym-log"},
        {"delta", 0, OPT_F64, &a.delta, "X", "where Huber turns linear, in ln loss (1e-3)"},
        {"starts", 0, OPT_TEXT, &a.starts, "HOW",
         "screen (default), grid (the published one), or a number of random starts"},
        {"solver", 0, OPT_TEXT, &a.solver, "NAME", "newton (default), gsl-bfgs, gsl-lm"},
        {"fix", 0, OPT_LIST, &a.fix, "P=V", "pin a parameter"},
        {"tie", 0, OPT_LIST, &a.tie, "P=Q", "make a parameter equal to another"},
        {"bound", 0, OPT_LIST, &a.bound, "P=LO,HI", "keep a parameter inside bounds"},
        {"start", 0, OPT_LIST, &a.start, "P=V,...", "start here only; may be repeated"},
        {"count-rule", 0, OPT_TEXT, &a.count_rule, "RULE", "what N counts: total, non-embed, standard, effective"},
        {"flops-rule", 0, OPT_TEXT, &a.flops_rule, "RULE", "what C counts: 6N, exact, given"},
        {"bootstrap", 0, OPT_I64, &a.bootstrap, "K", "resamples (1000; 0 = no intervals)"},
        {"cluster", 0, OPT_TEXT, &a.cluster, "COL", "resample groups of rows that share this column"},
        {"hold-out", 0, OPT_TEXT, &a.hold_out, "EXPR", "fit without these rows and score on them; or: largest"},
        {"seed", 0, OPT_I64, &a.seed, "S", "of the bootstrap and of random starts (0)"},
        {"out", 'o', OPT_TEXT, &a.out, "FIT.json", "write the fit (muscale.fit/1)"},
        {"list-laws", 0, OPT_FLAG, &a.list_laws, NULL, "print the laws and their parameters"},
    };
    err e = {0};
    table t = {0};
    fit_result r = {0};
    fit_opts o = {0};
    int rc = 0;
    status s = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &a.inputs, &e);
    if (!s && c->show_help) goto done;
    if (!s && a.list_laws) {
        rc = list_laws(c);
        goto done;
    }
    if (!s && strcmp(a.method, "parametric") && strcmp(a.method, "isoflop") && strcmp(a.method, "lr-optimum"))
        s = err_set(&e, ST_USAGE, "--method '%s': known are parametric, isoflop, lr-optimum", a.method);
    if (!s && !a.inputs.n) s = err_set(&e, ST_USAGE, "no input: give a campaign, run.h5, campaign.h5 or a .csv file");
    if (!s) s = options(&o, &a, &e);
    if (!s) s = cli_check_output(a.out, &a.inputs, &e);
    if (!s) s = run(&r, &t, &a, &o, c, &e);
    rc = !s ? finish(c, &r, &a) : s == ST_USAGE ? cli_usage(c, "fit", &e) : cli_fail(c, &e);
done:
    fit_result_free(&r);
    table_free(&t);
    free(o.given);
    free(a.laws.items);
    free(a.cols.items);
    free(a.fix.items);
    free(a.tie.items);
    free(a.bound.items);
    free(a.start.items);
    free(a.inputs.items);
    return rc;
}
