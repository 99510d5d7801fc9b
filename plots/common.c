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
    static const char *const words[][2] = {{"mup", "μP"}, {"sp", "SP"}, {"mup-table3", "μP (Table 3)"},
                                           {"completep", "CompleteP"}, {"depth-mup", "depth-μP"}, {"u-mup", "u-μP"},
                                           {"complete-dp", "Complete(d)P"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(name, words[i][0])) return words[i][1];
    return name;
}

const char *words_percent(char buf[AXIS_WORD], double x, bool sign)
{
    char word[AXIS_WORD];
    if (fabs(x) < 0.005 && x != 0) axis_power(word, fabs(x), 2);
    else snprintf(word, sizeof word, "%.2f", fabs(x));
    snprintf(buf, AXIS_WORD, "%s%.40s", x < 0 ? "−" : sign ? "+" : "", word);
    return buf;
}

double percent_unit(char label[64], const char *what, double most)
{
    char word[AXIS_WORD];
    double unit = most < 0.01 && most > 0 ? pow(10, floor(log10(most))) : 1;
    if (unit == 1) snprintf(label, 64, "%.30s (%%)", what);
    else snprintf(label, 64, "%.30s (%.20s %%)", what, axis_power(word, unit, 1));
    return unit;
}

const char *label_of_column(const char *name)
{
    static const struct { const char *name, *label; } known[] = {
        {"N", plot_label_params}, {"D", plot_label_tokens}, {"C", plot_label_compute}, {"U", "unique tokens U"},
        {"M", "tokens per parameter"}, {"lr", "learning rate"}, {"batch_tokens", "batch (tokens)"}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (!strcmp(known[k].name, name)) return known[k].label;
    return name;
}

void label_of_target(char out[96], const char *before, const char *target)
{
    const char *words = strcmp(target, "loss") ? label_of_column(target) : "loss (nats/token)";
    snprintf(out, 96, "%.20s%s%.60s", before, *before ? " " : "", words);
}

const char *words_dropped(const char *why)
{
    if (!strcmp(why, "where")) return "not selected by --where";
    if (!strcmp(why, "hold_out") || !strcmp(why, "hold-out")) return "held out";
    return why;
}

/* --- points --------------------------------------------------------------------------------------------------- */

static status points_of_fit(plot_points *p, const plot_input *fit, err *e)
{
    bool failed = false;
    p->from_fit = true;
    snprintf(p->target, sizeof p->target, "%s", js_str_or(fit->doc, "target", "loss"));
    p->n = json_array_size(js_member(fit->doc, "points", p->target));
    if (!p->n) return err_set(e, ST_INPUT, "%s: holds no points; fit again with this version of muscale", fit->path);
    p->loss = js_column(js_member(fit->doc, "points", p->target), "", p->n, &failed);
    p->fitted = js_column(fit->doc, "points.fitted", p->n, &failed);
    p->N = js_column(fit->doc, "points.N", p->n, &failed);
    p->D = js_column(fit->doc, "points.D", p->n, &failed);
    p->C = js_column(fit->doc, "points.C", p->n, &failed);
    /* a power law calls its column x */
    const char *x = js_str_or(fit->doc, "x", "");
    double **slot = !strcmp(x, "N") ? &p->N : !strcmp(x, "D") ? &p->D : !strcmp(x, "C") ? &p->C : NULL;
    if (slot && !*slot) *slot = js_column(fit->doc, "points.x", p->n, &failed);
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
    snprintf(p->target, sizeof p->target, "loss");
    status s = fit ? points_of_fit(p, fit, e) : points_of_runs(p, in, e);
    err ignored = {0};
    if (!s && strcmp(p->target, "loss"))
        s = err_set(e, ST_INPUT, "%s: a fit of %s, not of a loss", fit->path, p->target);
    if (!s && fit && plot_inputs_find(in, PLOT_RUNS) && points_of_runs(p, in, &ignored) == ST_NOMEM) s = err_set(e, ST_NOMEM, "%s", ignored.msg);
    if (s) plot_points_free(p);
    return s;
}

status plot_fitted_read(plot_points *p, plot_inputs *in, err *e)
{
    const plot_input *fit = plot_inputs_find(in, PLOT_FIT);
    memset(p, 0, sizeof *p);
    status s = fit ? points_of_fit(p, fit, e) : err_set(e, ST_INPUT, "needs a fit.json");
    if (!s && p->fitted) return ST_OK;
    plot_points_free(p);
    if (s) return s;
    return err_set(e, ST_INPUT, "the fit.json holds no fitted losses (method isoflop has none)");
}

/* Thousands of rings would be one blot: filled, small and seen through (#AARRGGBB). */
const char *marks_of_runs(size_t n)
{
    return n > 2000 ? "pt 7 ps 0.22 lc rgb '#B00072B2'" : n > 600 ? "pt 7 ps 0.3 lc rgb '#800072B2'"
         : n > 120  ? "pt 6 ps 0.45 lw 0.9 lc rgb '#0072B2'" : "pt 6 ps 0.7 lw 1.2 lc rgb '#0072B2'";
}

double percent_off(double measured, double fitted) { return 100 * log(measured / fitted); }

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
    const char *formula = js_str(fit, "formula"); /* of a law that the user typed: its name says nothing */
    text_add(&t, "Law: %.200s, fitted to %.0f runs", formula ? formula : js_str_or(fit, "law", "?"),
             js_num(fit, "n_points"));
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

/* Digits that the interval leaves meaning in: two of its width, at most six of the value; without one four. */
static int decimals_of(double x, double lo, double hi)
{
    double unit = isfinite(lo) && isfinite(hi) && hi > lo ? (hi - lo) / 10 : fabs(x) / 1000;
    int n = unit > 0 ? (int)ceil(-log10(unit)) : 4, most = x != 0 ? 5 - (int)floor(log10(fabs(x))) : 6;
    return n > most ? (most > 0 ? most : 0) : n > 0 ? n : 0;
}

static const char *plain_or_power(char buf[AXIS_WORD], double x, int decimals)
{
    if (fabs(x) >= 1e6 || (x != 0 && fabs(x) < 1e-4)) return axis_power(buf, x, 3);
    snprintf(buf, AXIS_WORD, "%s%.*f", x < 0 ? "−" : "", decimals, fabs(x));
    return buf;
}

void caption_params(figure *f, const json_t *fit)
{
    const char *name;
    json_t *value;
    text t = {0};
    bool intervals = false, raw = false;
    json_object_foreach(json_object_get(fit, "params"), name, value) {
        char a[AXIS_WORD], b[AXIS_WORD], c[AXIS_WORD];
        double ci[2], x = json_is_number(value) ? json_number_value(value) : NAN;
        js_member_pair(ci, fit, "ci95", name);
        if (!isfinite(x)) {
            x = js_member_num(fit, "raw", name);
            raw |= isfinite(x);
        }
        if (!isfinite(x)) continue;
        int k = decimals_of(x, ci[0], ci[1]);
        text_add(&t, "%s%.40s %s", t.n ? ", " : "", name, plain_or_power(a, x, k));
        if (isfinite(ci[0])) text_add(&t, " [%s, %s]", plain_or_power(b, ci[0], k), plain_or_power(c, ci[1], k));
        intervals |= isfinite(ci[0]);
    }
    if (t.n)
        figure_caption(f, "%s%s%s.", text_str(&t), intervals ? " (95 % in brackets)" : "",
                       raw ? "; not all of them are identified" : "");
    text_free(&t);
}

enum { DRAWN_MAX = 20000 };

size_t caption_thinned(figure *f, size_t n)
{
    size_t every = n > DRAWN_MAX ? (n + DRAWN_MAX - 1) / DRAWN_MAX : 1;
    if (every > 1) figure_caption(f, "Of %zu points one in %zu is drawn.", n, every);
    return every;
}
