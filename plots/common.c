#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/kinds.h"

const char plot_label_loss[] = "validation loss (nats/token)";
const char plot_label_compute[] = "training compute C (FLOPs)";
const char plot_label_tokens[] = "training tokens D";
const char plot_label_params[] = "parameters N";

const char *words_parametrisation(const char *name)
{
    if (!strcmp(name, "mup")) return "μP";
    if (!strcmp(name, "sp")) return "SP";
    return name;
}

const char *words_dropped(const char *why)
{
    if (!strcmp(why, "where")) return "not selected by --where";
    if (!strcmp(why, "hold_out") || !strcmp(why, "hold-out")) return "held out";
    return why;
}

/* --- points --------------------------------------------------------------------------------------------------- */

static double *column(const json_t *doc, const char *path, size_t n, bool *failed)
{
    if (js_len(doc, path) != n || !n) return NULL;
    double *x = malloc(n * sizeof *x);
    if (!x) *failed = true;
    for (size_t i = 0; x && i < n; i++) x[i] = js_at(doc, path, i);
    return x;
}

static status points_of_fit(plot_points *p, const plot_input *fit, err *e)
{
    bool failed = false;
    p->from_fit = true;
    p->n = js_len(fit->doc, "points.loss");
    if (!p->n) return err_set(e, ST_INPUT, "%s: holds no points; fit again with this version of muscale", fit->path);
    p->loss = column(fit->doc, "points.loss", p->n, &failed);
    p->fitted = column(fit->doc, "points.fitted", p->n, &failed);
    p->N = column(fit->doc, "points.N", p->n, &failed);
    p->D = column(fit->doc, "points.D", p->n, &failed);
    p->C = column(fit->doc, "points.C", p->n, &failed);
    /* a power law calls its column x */
    const char *x = js_str_or(fit->doc, "x", "");
    double **slot = !strcmp(x, "N") ? &p->N : !strcmp(x, "D") ? &p->D : !strcmp(x, "C") ? &p->C : NULL;
    if (slot && !*slot) *slot = column(fit->doc, "points.x", p->n, &failed);
    return failed ? err_set(e, ST_NOMEM, "no memory for %zu points", p->n) : ST_OK;
}

static double *copy(const table *t, const char *name, const bool *keep, size_t n, bool *failed)
{
    const table_column *c = table_col(t, name);
    if (!c || c->is_text) return NULL;
    double *x = malloc(n * sizeof *x);
    if (!x) {
        *failed = true;
        return NULL;
    }
    size_t at = 0;
    for (size_t i = 0; i < t->n_rows; i++)
        if (keep[i]) x[at++] = c->x[i];
    return x;
}

/* With a fit the points are the fit's; the runs then only say which of them diverged. */
static status points_of_runs(plot_points *p, plot_inputs *in, err *e)
{
    size_t n = 0;
    status s = plot_inputs_runs(in, e);
    if (s) return s;
    const table *t = &in->runs;
    const table_column *loss = table_col(t, "loss"), *how = table_col(t, "status");
    if (!loss || loss->is_text) return err_set(e, ST_INPUT, "the runs have no column 'loss' (of a CSV file, name it so)");
    bool *keep = calloc(t->n_rows + 1, sizeof *keep), *diverged = calloc(t->n_rows + 1, sizeof *diverged), failed = !keep || !diverged;
    for (size_t i = 0; !failed && i < t->n_rows; i++) {
        const char *w = how ? table_word(how, i) : "";
        diverged[i] = !strcmp(w, "diverged") || isinf(loss->x[i]);
        keep[i] = !diverged[i] && isfinite(loss->x[i]) && (!*w || !strcmp(w, "done"));
        p->n_diverged += diverged[i];
        n += keep[i];
    }
    if (!failed && p->n_diverged) {
        p->diverged_N = copy(t, "N", diverged, p->n_diverged, &failed);
        p->diverged_C = copy(t, "C", diverged, p->n_diverged, &failed);
    }
    if (!failed && !p->from_fit && (p->n = n)) {
        p->loss = copy(t, "loss", keep, p->n, &failed);
        p->N = copy(t, "N", keep, p->n, &failed);
        p->D = copy(t, "D", keep, p->n, &failed);
        p->C = copy(t, "C", keep, p->n, &failed);
    }
    free(keep);
    free(diverged);
    if (failed) return err_set(e, ST_NOMEM, "no memory for %zu runs", t->n_rows);
    return p->n ? ST_OK : err_set(e, ST_INPUT, "no finished run with a finite loss in the input");
}

status plot_points_read(plot_points *p, plot_inputs *in, err *e)
{
    const plot_input *fit = plot_inputs_find(in, PLOT_FIT);
    memset(p, 0, sizeof *p);
    status s = fit ? points_of_fit(p, fit, e) : points_of_runs(p, in, e);
    err ignored = {0};
    if (!s && fit && plot_inputs_find(in, PLOT_RUNS) && points_of_runs(p, in, &ignored) == ST_NOMEM) s = err_set(e, ST_NOMEM, "%s", ignored.msg);
    if (s) plot_points_free(p);
    return s;
}

void plot_points_free(plot_points *p)
{
    free(p->N);
    free(p->D);
    free(p->C);
    free(p->loss);
    free(p->fitted);
    free(p->diverged_N);
    free(p->diverged_C);
    memset(p, 0, sizeof *p);
}

/* --- law and target --------------------------------------------------------------------------------------------- */

status plot_law_read(predict_fit *law, const plot_inputs *in, err *e)
{
    const plot_input *fit = plot_inputs_find(in, PLOT_FIT);
    memset(law, 0, sizeof *law);
    if (!fit) return err_set(e, ST_INPUT, "needs a fit.json of a loss law");
    status s = predict_fit_read(law, fit->path, e);
    if (s) predict_fit_free(law);
    return s;
}

void plot_target_read(plot_target *t, const plot_inputs *in)
{
    const plot_input *p = plot_inputs_find(in, PLOT_PREDICTION), *sc = plot_inputs_find(in, PLOT_SCORE);
    *t = (plot_target){.N = NAN, .D = NAN, .C = NAN, .loss = NAN, .ci = {NAN, NAN}, .pi = {NAN, NAN}, .measured = NAN, .measured_se = NAN, .naive = NAN};
    if (p) {
        /* `target` is the run that will be trained, `optimum` the answer it was rounded from */
        const json_t *at = js_get(p->doc, "target.loss") ? js_get(p->doc, "target") : js_get(p->doc, "optimum");
        const json_t *from = js_get(p->doc, "target.loss") ? at : p->doc;
        t->has_prediction = true;
        t->N = js_num(at, "N");
        t->D = js_num(at, "D");
        t->C = js_num(at, "C");
        t->loss = js_num(at, "loss");
        js_pair(t->ci, from, "ci95.loss");
        js_pair(t->pi, from, "pi95.loss");
        t->naive = js_num(p->doc, "naive.loss");
    }
    if (!sc) return;
    t->has_score = true;
    t->measured = js_num(sc->doc, "loss.measured");
    t->measured_se = js_num(sc->doc, "loss.measured_se");
    if (isnan(t->loss)) t->loss = js_num(sc->doc, "loss.predicted");
    if (isnan(t->pi[0])) js_pair(t->pi, sc->doc, "loss.pi95");
    if (isnan(t->naive)) t->naive = js_num(sc->doc, "naive.loss");
    if (isnan(t->N)) t->N = js_num(sc->doc, "run.N");
    if (isnan(t->D)) t->D = js_num(sc->doc, "run.D");
    if (isnan(t->C)) t->C = js_num(sc->doc, "run.C");
}

/* --- captions --------------------------------------------------------------------------------------------------- */

void caption_fit(figure *f, const json_t *fit)
{
    static const struct { const char *key, *name, *unit; } axes[] = {{"C", "C", " FLOPs"}, {"N", "N", ""}, {"D", "D", " tokens"}, {"x", "x", ""}};
    char a[AXIS_WORD], b[AXIS_WORD], path[32];
    text t = {0};
    double lohi[2];
    text_add(&t, "Law: %s, fitted to %.0f runs", js_str_or(fit, "law", "?"), js_num(fit, "n_points"));
    int shown = 0;
    for (size_t i = 0; i < sizeof axes / sizeof *axes; i++) {
        snprintf(path, sizeof path, "domain.%s", axes[i].key);
        if (js_pair(lohi, fit, path) && shown < 3)
            text_add(&t, "%s%s %s–%s%s", shown++ ? ", " : ": ", axes[i].name, axis_power(a, lohi[0], 2), axis_power(b, lohi[1], 2), axes[i].unit);
    }
    const json_t *dropped = js_get(fit, "dropped");
    for (size_t i = 0; i < json_array_size(dropped); i++)
        text_add(&t, "%s %.0f %s", i ? "," : "; left out:", js_num(json_array_get(dropped, i), "n"), words_dropped(js_str_or(json_array_get(dropped, i), "why", "?")));
    const char *verdict = js_str_or(fit, "trust.verdict", "");
    if (*verdict && strcmp(verdict, "ok")) text_add(&t, "; verdict: %s", verdict);
    figure_caption(f, "%s.", text_str(&t));
    text_free(&t);
}

void caption_points(figure *f, const plot_points *p)
{
    figure_caption(f, "%zu finished run%s%s.", p->n, p->n == 1 ? "" : "s", p->n_diverged ? "" : ", none diverged");
}
