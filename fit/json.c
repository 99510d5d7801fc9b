/* Writing muscale.fit/1. JSON has no NaN: null. Keys in the order of doc/formats.md. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/run.h"

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }
static json_t *text_or_null(const char *s) { return s[0] ? json_string(s) : json_null(); }
static json_t *pair(double a, double b) { return isfinite(a) && isfinite(b) ? json_pack("[f,f]", a, b) : json_null(); }
static json_t *count(size_t n) { return json_integer((json_int_t)n); }

static json_t *column(const double *x, size_t n, size_t stride)
{
    if (!x) return json_null();
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(a, number(x[i * stride]));
    return a;
}

static json_t *params(const fit_result *r, const double *values)
{
    json_t *o = json_object();
    for (size_t j = 0; j < r->n_params; j++)
        json_object_set_new(o, r->names[j], number(values ? values[j] : r->params[j].value));
    return o;
}

static void put_params(json_t *root, const fit_result *r)
{
    json_t *se = json_object(), *ci = json_object(), *raw = json_object(), *fixed = json_array(), *bound = json_array();
    for (size_t j = 0; j < r->n_params; j++) {
        const fit_estimate *p = &r->params[j];
        json_object_set_new(se, r->names[j], number(p->se));
        json_object_set_new(ci, r->names[j], pair(p->lo, p->hi));
        if (isnan(p->value) && !isnan(p->raw)) json_object_set_new(raw, r->names[j], number(p->raw));
        if (p->fixed) json_array_append_new(fixed, json_string(r->names[j]));
        if (p->at_bound) json_array_append_new(bound, json_string(r->names[j]));
    }
    json_object_set_new(root, "params", params(r, NULL));
    json_object_set_new(root, "se", se);
    json_object_set_new(root, "ci95", ci);
    json_object_set_new(root, "raw", raw);
    json_object_set_new(root, "fixed", fixed);
    json_object_set_new(root, "at_bound", bound);
}

static json_t *basins(const fit_result *r)
{
    json_t *a = json_array();
    for (size_t b = 0; b < r->n_basins; b++)
        json_array_append_new(a, json_pack("{s:o,s:o,s:o}", "params", params(r, r->basins[b].params), "objective_value",
                                           number(r->basins[b].objective_value), "n_starts",
                                           count(r->basins[b].n_starts)));
    return a;
}

static json_t *optimum(const fit_result *r)
{
    const fit_estimate *of[3] = {&r->a_opt, &r->b_opt, &r->G};
    static const char *const names[3] = {"a_opt", "b_opt", "G"};
    json_t *o = json_object(), *se = json_object(), *ci = json_object(), *raw = json_object();
    for (int k = 0; k < 3; k++) {
        json_object_set_new(o, names[k], number(of[k]->value));
        json_object_set_new(se, names[k], number(of[k]->se));
        json_object_set_new(ci, names[k], pair(of[k]->lo, of[k]->hi));
        if (isnan(of[k]->value) && !isnan(of[k]->raw)) json_object_set_new(raw, names[k], number(of[k]->raw));
    }
    json_object_set_new(o, "se", se);
    json_object_set_new(o, "ci95", ci);
    json_object_set_new(o, "raw", raw);
    return o;
}

static json_t *derived(const fit_result *r)
{
    json_t *o = json_object();
    for (size_t k = 0; k < r->n_derived; k++) {
        const fit_estimate *d = &r->derived[k];
        json_object_set_new(o, r->derived_names[k], json_pack("{s:o,s:o,s:o}", "value", number(d->value), "se", number(d->se), "ci95", pair(d->lo, d->hi)));
    }
    return o;
}

static json_t *domain(const fit_result *r)
{
    const char *names[4 + FIT_MAX_COLS + 1] = {"N", "D", "C", "x"};
    size_t n = 4;
    for (size_t k = 0; k < r->points.n_more; k++) names[n++] = r->points.more[k].name;
    names[n++] = r->points.target;
    json_t *o = json_object();
    for (size_t c = 0; c < n; c++) {
        const double *x = c + 1 < n ? fit_data_column(&r->points, names[c]) : r->points.y;
        double lo = INFINITY, hi = -INFINITY;
        for (size_t i = 0; x && i < r->points.n; i++)
            if (isfinite(x[i])) lo = fmin(lo, x[i]), hi = fmax(hi, x[i]);
        if (lo <= hi) json_object_set_new(o, names[c], pair(lo, hi));
    }
    return o;
}

static json_t *points(const fit_result *r)
{
    const fit_data *p = &r->points;
    json_t *o = json_object();
    json_object_set_new(o, "N", column(p->N, p->n, 1));
    json_object_set_new(o, "D", column(p->D, p->n, 1));
    json_object_set_new(o, "C", column(p->C, p->n, 1));
    if (p->x) json_object_set_new(o, "x", column(p->x, p->n, 1));
    for (size_t k = 0; k < p->n_more; k++) json_object_set_new(o, p->more[k].name, column(p->more[k].x, p->n, 1));
    json_object_set_new(o, p->target, column(p->y, p->n, 1));
    json_object_set_new(o, "fitted", column(r->fitted, p->n, 1));
    return o;
}

static json_t *scored(const fit_result *r, const fit_scored *s, size_t n)
{
    size_t stride = sizeof *s / sizeof(double);
    json_t *p = json_object();
    if (r->points.N) json_object_set_new(p, "N", column(&s->N, n, stride));
    if (r->points.D) json_object_set_new(p, "D", column(&s->D, n, stride));
    if (r->points.C) json_object_set_new(p, "C", column(&s->C, n, stride));
    if (r->points.x) json_object_set_new(p, "x", column(&s->x, n, stride));
    json_object_set_new(p, r->points.target, column(&s->y, n, stride));
    json_object_set_new(p, "predicted", column(&s->predicted, n, stride));
    json_object_set_new(p, "lo", column(&s->lo, n, stride));
    json_object_set_new(p, "hi", column(&s->hi, n, stride));
    return p;
}

static const char *by(const fit_result *r)
{
    const fit_data *p = &r->points;
    return p->C ? "C" : p->x && !(p->common_scale && p->N && p->D) ? "x" : "N D";
}

static json_t *backtest(const fit_result *r)
{
    json_t *folds = json_array();
    for (size_t k = 0; k < r->n_folds; k++) {
        const fit_fold *f = &r->folds[k];
        json_array_append_new(folds, json_pack("{s:f,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:o}", "cut", f->cut, "n_train", count(f->n_train), "n_test",
                                               count(f->n_test), "mean_abs_rel_err", number(f->mean), "max_abs_rel_err", number(f->max), "bias",
                                               number(f->bias), "covered", number(f->covered), "verdict", fit_verdict_name(f->verdict), "points",
                                               scored(r, f->rows, f->n_test)));
    }
    fit_beyond q[FIT_MAX_BEYOND];
    size_t n = fit_backtest_beyond(q, r);
    json_t *beyond = json_array();
    for (size_t k = 0; k < n; k++)
        json_array_append_new(beyond, json_pack("{s:[f,o],s:o,s:o,s:o,s:o,s:o}", "decades", q[k].from, number(q[k].to), "n", count(q[k].n),
                                                "mean_abs_rel_err", number(q[k].mean), "max_abs_rel_err", number(q[k].max), "bias",
                                                number(q[k].bias), "covered", number(q[k].covered)));
    return json_pack("{s:s,s:o,s:o}", "by", by(r), "folds", folds, "beyond", beyond);
}

static json_t *holdout(const fit_result *r)
{
    size_t n = r->holdout_n;
    if (!n) return json_null();
    return json_pack("{s:o,s:o,s:o,s:o,s:o}", "n", count(n), "mean_abs_rel_err", number(r->holdout_mean),
                     "max_abs_rel_err", number(r->holdout_max), "bias", number(r->holdout_bias), "points", scored(r, r->holdout, n));
}

static json_t *dropped(const fit_result *r)
{
    json_t *a = json_array();
    for (size_t k = 0; k < r->points.n_dropped; k++)
        json_array_append_new(
            a, json_pack("{s:s,s:o}", "why", r->points.dropped[k].why, "n", count(r->points.dropped[k].n)));
    return a;
}

static json_t *bootstrap(const fit_result *r)
{
    json_t *samples = json_object();
    for (size_t j = 0; j < r->n_params; j++)
        json_object_set_new(samples, r->names[j],
                            r->samples ? column(r->samples + j, r->boot_ok, r->n_params) : json_array());
    return json_pack("{s:o,s:o,s:I,s:o,s:o}", "n", count(r->boot_n), "n_ok", count(r->boot_ok), "seed",
                     (json_int_t)r->seed, "cluster", text_or_null(r->points.cluster_name), "samples", samples);
}

static json_t *profile(const fit_profile *p)
{
    return json_pack("{s:o,s:o,s:o,s:[o,o],s:o,s:[o,o]}", "value", column(p->value, FIT_PROFILE_POINTS, 1), "objective",
                     column(p->objective, FIT_PROFILE_POINTS, 1), "log_likelihood", column(p->log_likelihood, FIT_PROFILE_POINTS, 1), "ci95",
                     number(p->lo), number(p->hi), "inflation", number(p->inflation), "ci95_robust", number(p->robust_lo), number(p->robust_hi));
}

static json_t *profiles(const fit_result *r)
{
    json_t *a = json_array();
    for (size_t k = 0; k < r->n_profiles; k++) {
        json_t *o = json_pack("{s:s}", "param", r->names[r->profiles[k].param]), *rest = profile(&r->profiles[k]);
        json_object_update(o, rest);
        json_decref(rest);
        json_array_append_new(a, o);
    }
    return a;
}

static json_t *predictions(const fit_result *r)
{
    json_t *a = json_array();
    for (size_t k = 0; k < r->n_asked; k++) {
        const fit_asked *q = &r->asked[k];
        json_t *at = json_object(), *o;
        for (size_t c = 0; c < r->n_cols; c++) json_object_set_new(at, r->cols[c], number(q->x[c]));
        o = json_pack("{s:o,s:o,s:o,s:o,s:o}", "at", at, "predicted", number(q->predicted), "ci95", pair(q->ci[0], q->ci[1]), "pi95",
                      pair(q->pi[0], q->pi[1]), "decades_beyond", number(q->decades));
        if (q->profiled) json_object_set_new(o, "profile", profile(&q->profile));
        json_array_append_new(a, o);
    }
    return a;
}

static json_t *budgets(const fit_result *r)
{
    json_t *a = json_array();
    for (size_t k = 0; k < r->n_budgets; k++) {
        const fit_budget *b = &r->budgets[k];
        json_array_append_new(a, json_pack("{s:o,s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:o}", "C", number(b->C), "n", count(b->n),
                                           "bracketed", b->bracketed, "N_opt", number(b->N_opt), "sd_ln_N",
                                           number(b->sd_ln_N), "D_opt", number(b->D_opt), "loss_opt", number(b->loss_opt),
                                           "curvature", number(b->curvature), "why", text_or_null(b->why)));
    }
    return a;
}

static json_t *trust(const fit_trust *t)
{
    json_t *reasons = json_array();
    for (size_t k = 0; k < t->n; k++)
        json_array_append_new(reasons, json_pack("{s:s,s:s,s:o}", "code", t->reasons[k].code, "message",
                                                 t->reasons[k].message, "value", number(t->reasons[k].value)));
    return json_pack("{s:s,s:o}", "verdict", fit_verdict_name(t->verdict), "reasons", reasons);
}

static json_t *provenance(const fit_result *r, char *const *argv, int argc, const char *version)
{
    json_t *inputs = json_array(), *words = json_array();
    for (size_t k = 0; k < r->points.n_inputs; k++) {
        const table_source *s = &r->points.inputs[k];
        json_array_append_new(
            inputs, json_pack("{s:s,s:s,s:o}", "path", s->path, "sha256", s->sha256, "rows", count(s->n_rows)));
    }
    for (int i = 0; i < argc; i++) {
        json_t *word = json_string(argv[i]); /* NULL for what is not UTF-8 */
        json_array_append_new(words, word ? word : json_string("(not UTF-8)"));
    }
    return json_pack("{s:o,s:o,s:s}", "inputs", inputs, "argv", words, "version", version);
}

json_t *fit_json(const fit_result *r, char *const *argv, int argc, const char *version)
{
    json_t *root = json_object();
    json_object_set_new(root, "schema", json_string("muscale.fit/1"));
    json_object_set_new(root, "law", json_string(r->law));
    if (r->formula[0]) json_object_set_new(root, "formula", json_string(r->formula));
    json_object_set_new(root, "method", json_string(r->method));
    json_object_set_new(root, "target", json_string(r->points.target[0] ? r->points.target : "loss"));
    if (r->x[0]) json_object_set_new(root, "x", json_string(r->x));
    json_object_set_new(root, "objective", text_or_null(r->objective));
    json_object_set_new(root, "delta", number(r->delta));
    json_object_set_new(root, "solver", text_or_null(r->solver));
    json_object_set_new(root, "n_points", count(r->n_points));
    json_object_set_new(root, "n_dropped", count(r->n_dropped));
    if (r->n_cols) json_object_set_new(root, "n_free", count(r->n_free));
    json_object_set_new(root, "count_rule", json_string(r->count_rule));
    json_object_set_new(root, "flops_rule", json_string(r->flops_rule));
    put_params(root, r);
    json_object_set_new(root, "objective_value", number(r->objective_value));
    json_object_set_new(root, "starts",
                        json_pack("{s:o,s:o,s:o,s:o,s:o}", "n", count(r->n_starts), "reached_best", count(r->n_reached),
                                  "rejected", count(r->n_rejected), "cut", count(r->n_cut), "probes", count(r->n_probes)));
    json_object_set_new(root, "basins", basins(r));
    json_object_set_new(root, "optimum", optimum(r));
    if (r->n_derived) json_object_set_new(root, "derived", derived(r));
    json_object_set_new(root, "holdout", holdout(r));
    if (r->n_folds) json_object_set_new(root, "backtest", backtest(r));
    json_object_set_new(root, "domain", domain(r));
    json_object_set_new(root, "noise",
                        json_pack("{s:o,s:o}", "residual_sd", number(r->residual_sd), "seed_sd", number(r->seed_sd)));
    if (!isnan(r->log_likelihood))
        json_object_set_new(root, "likelihood",
                            json_pack("{s:o,s:o,s:o,s:o,s:o}", "log_likelihood", number(r->log_likelihood), "scale", number(r->scale),
                                      "aic", number(r->aic), "aicc", number(r->aicc), "bic", number(r->bic)));
    if (r->n_profiles) json_object_set_new(root, "profiles", profiles(r));
    if (r->n_asked) json_object_set_new(root, "predictions", predictions(r));
    json_object_set_new(root, "trust", trust(&r->trust));
    if (r->n_budgets) json_object_set_new(root, "budgets", budgets(r));
    if (r->extra) json_object_update(root, r->extra);
    json_object_set_new(root, "points", points(r));
    json_object_set_new(root, "dropped", dropped(r));
    json_object_set_new(root, "bootstrap", bootstrap(r));
    json_object_set_new(root, "provenance", provenance(r, argv, argc, version));
    return root;
}

json_t *fit_laws_json(void)
{
    json_t *laws = json_array();
    for (size_t i = 0; i < fit_n_laws; i++) {
        const fit_law *law = fit_laws[i];
        json_t *p = json_array(), *cols = json_array();
        for (size_t j = 0; j < law->n_params; j++)
            json_array_append_new(p, json_pack("{s:s,s:s,s:[o,o]}", "name", law->params[j].name, "meaning",
                                               law->params[j].meaning, "domain", number(law->params[j].lo),
                                               number(law->params[j].hi)));
        for (size_t c = 0; c < law->n_cols; c++) json_array_append_new(cols, json_string(law->cols[c]));
        json_array_append_new(laws, json_pack("{s:s,s:s,s:o,s:o,s:s}", "name", law->name, "formula", law->formula,
                                              "columns", cols, "params", p, "source", law->source));
    }
    return json_pack("{s:s,s:o}", "schema", "muscale.laws/1", "laws", laws);
}

status fit_save(const json_t *fit, const char *path, err *e)
{
    char *text = json_dumps(fit, JSON_INDENT(1) | JSON_REAL_PRECISION(17) | JSON_PRESERVE_ORDER);
    if (!text) return err_set(e, ST_NOMEM, "%s: no memory to write the fit", path);
    size_t n = strlen(text);
    text[n] = '\n'; /* in place of the closing zero, which io_publish does not need */
    status s = io_publish(path, text, n + 1, e);
    free(text);
    return s;
}
