/* Sections made from fit.json, prediction.json and score.json: numbers with their intervals, verdicts with their reasons. */
#include <math.h>
#include <string.h>

#include "plots/kinds.h"
#include "plots/report.h"

enum { NUMBER = 64 };

/* fmt is one of printf's for a double, "%.4f" or "%+.3g", taken apart here so that a table can hold it; or "count": 2.4M. */
static void put(char *buf, size_t size, const char *fmt, double x)
{
    const char *dot = strchr(fmt, '.');
    char word[AXIS_WORD];
    if (!strcmp(fmt, "count")) {
        snprintf(buf, size, "%s", axis_count(word, x));
        return;
    }
    int digits = dot ? dot[1] - '0' : 6;
    bool sign = fmt[1] == '+', fixed = fmt[strlen(fmt) - 1] == 'f';
    if (fixed) snprintf(buf, size, sign ? "%+.*f" : "%.*f", digits, x);
    else snprintf(buf, size, sign ? "%+.*g" : "%.*g", digits, x);
}

static const char *num(char buf[NUMBER], double x, const char *fmt)
{
    if (isfinite(x)) put(buf, NUMBER, fmt, x);
    else snprintf(buf, NUMBER, "–");
    return buf;
}

static const char *pair(char buf[NUMBER], const double x[2], const char *fmt)
{
    char lo[24], hi[24];
    if (!isfinite(x[0]) || !isfinite(x[1])) return snprintf(buf, NUMBER, "–"), buf;
    put(lo, sizeof lo, fmt, x[0]);
    put(hi, sizeof hi, fmt, x[1]);
    snprintf(buf, NUMBER, "[%s, %s]", lo, hi);
    return buf;
}

/* name, value, interval or remark */
static void row(page *p, const char *name, double x, const double *ci, const char *fmt, const char *remark)
{
    char a[NUMBER], b[NUMBER];
    const double none[2] = {NAN, NAN};
    page_cell(p, "%s", name);
    page_cell(p, "%s", num(a, x, fmt));
    page_cell(p, "%s", pair(b, ci ? ci : none, fmt));
    page_cell(p, "%s", remark);
    page_row(p);
}

static void reasons(page *p, const json_t *doc, const char *what)
{
    const json_t *all = js_get(doc, "trust.reasons");
    const char *verdict = js_str(doc, "trust.verdict");
    if (!verdict) return;
    page_text(p, "Trust in %s: %s%s", what, verdict, json_array_size(all) ? ", because:" : ".");
    if (!json_array_size(all)) return;
    page_table(p, "code\treason\tvalue");
    for (size_t i = 0; i < json_array_size(all); i++) {
        char a[NUMBER];
        const json_t *r = json_array_get(all, i);
        page_cell(p, "%s", js_str_or(r, "code", "?"));
        page_cell(p, "%s", js_str_or(r, "message", ""));
        page_cell(p, "%s", num(a, js_num(r, "value"), "%.4g"));
        page_row(p);
    }
}

/* --- the first lines ------------------------------------------------------------------------------------------------ */

static void refusals(page *p, const plot_inputs *in)
{
    for (size_t k = 0; k < in->n; k++) {
        const plot_input *i = &in->item[k];
        const json_t *why = js_get(i->doc, "trust.reasons");
        if (strcmp(js_str_or(i->doc, "trust.verdict", ""), "refuse")) continue;
        page_callout(p, TONE_BAD, "%s is refused: %s. Its numbers are shown, but they are not to be relied on.", i->path,
                     json_array_size(why) ? js_str_or(json_array_get(why, 0), "message", "no reason given") : "no reason given");
    }
}

/* Results that were not made from each other must not stand on one page as if they were. */
static void mismatches(page *p, const plot_inputs *in)
{
    const plot_input *pred = plot_inputs_find(in, PLOT_PREDICTION), *score = plot_inputs_find(in, PLOT_SCORE);
    if (pred && score && strcmp(js_str_or(score->doc, "prediction.sha256", pred->sha256), pred->sha256))
        page_callout(p, TONE_BAD, "%s was made for another prediction than %s: the sha256 differ.", score->path, pred->path);
    const json_t *fits = pred ? js_get(pred->doc, "fits") : NULL;
    for (size_t k = 0; k < in->n && json_array_size(fits); k++) {
        const plot_input *i = &in->item[k];
        bool found = i->what != PLOT_FIT && i->what != PLOT_LR_FIT;
        for (size_t j = 0; j < json_array_size(fits); j++) found |= !strcmp(js_str_or(json_array_get(fits, j), "sha256", ""), i->sha256);
        if (!found) page_callout(p, TONE_PLAIN, "%s is not a fit that the prediction was made from.", i->path);
    }
}

bool report_verdict(page *p, const plot_inputs *in)
{
    plot_target t;
    bool missed = false;
    plot_target_read(&t, in);
    double half = (t.pi[1] - t.pi[0]) / 2, error = t.measured - t.loss;
    char naive[96] = "", interval[NUMBER];
    pair(interval, t.pi, "%.4f");
    if (isfinite(t.naive) && isfinite(t.measured)) snprintf(naive, sizeof naive, " The naive predictor, the lowest loss of the sweep, errs by %+.4f.", t.measured - t.naive);
    if (isfinite(t.measured) && isfinite(t.pi[0])) {
        missed = t.measured < t.pi[0] || t.measured > t.pi[1];
        page_callout(p, missed ? TONE_BAD : TONE_GOOD,
                     "%s Predicted before training: %.4f nats/token, 95 %% interval for one run %s (half-width %.4f). Measured: %.4f, %s the interval, error %+.4f.%s",
                     missed ? "The prediction missed." : "The prediction held.", t.loss, interval, half, t.measured, missed ? "outside" : "inside", error, naive);
    } else if (isfinite(t.measured) && isfinite(t.loss))
        page_callout(p, TONE_PLAIN, "Predicted %.4f nats/token without an interval; measured %.4f, error %+.4f.%s", t.loss, t.measured, error, naive);
    else if (t.has_score) page_callout(p, TONE_BAD, "The held-out run gave no loss to compare the prediction with: it %s.",
                                       strcmp(js_str_or(plot_inputs_find(in, PLOT_SCORE)->doc, "run.status", ""), "diverged") ? "is not finished" : "diverged");
    else if (t.has_prediction && isfinite(t.loss)) page_callout(p, TONE_PLAIN, "Predicted: %.4f nats/token, 95 %% interval for one run %s. Not measured yet.", t.loss, interval);
    else page_text(p, "No prediction is part of this report.");
    refusals(p, in);
    mismatches(p, in);
    return missed || (t.has_score && !isfinite(t.measured));
}

/* --- prediction and outcome --------------------------------------------------------------------------------------------- */

static void penalties(page *p, const json_t *score)
{
    const json_t *all = js_get(score, "lr_penalty");
    if (!json_array_size(all)) return;
    page_text(p, "The same width trained shortly at other learning rates (loss minus the loss at the predicted one):");
    page_table(p, "factor\tlearning rate\tpenalty (nats/token)");
    for (size_t i = 0; i < json_array_size(all); i++) {
        char a[NUMBER], b[NUMBER], c[NUMBER];
        const json_t *r = json_array_get(all, i);
        page_cell(p, "%s", num(a, js_num(r, "factor"), "%g"));
        page_cell(p, "%s", num(b, js_num(r, "lr"), "%.4g"));
        page_cell(p, "%s", json_is_true(js_get(r, "diverged")) ? "diverged" : num(c, js_num(r, "loss_minus_base"), "%+.4f"));
        page_row(p);
    }
}

void report_outcome(page *p, const plot_inputs *in)
{
    plot_target t;
    double lr_ci[2], se[2];
    plot_target_read(&t, in);
    if (!t.has_prediction && !t.has_score) return;
    const plot_input *pred = plot_inputs_find(in, PLOT_PREDICTION), *score = plot_inputs_find(in, PLOT_SCORE);
    page_heading(p, "Prediction and outcome");
    page_table(p, "quantity\tvalue\t95 % interval\tremark");
    row(p, "loss of the law's mean", t.loss, t.ci, "%.4f", "interval: bootstrap of the law");
    row(p, "loss of one run", t.loss, t.pi, "%.4f", "interval: law, residuals and seed noise");
    if (score) {
        se[0] = t.measured - 1.96 * t.measured_se;
        se[1] = t.measured + 1.96 * t.measured_se;
        row(p, "measured loss", t.measured, se, "%.4f", "interval: of the validation set");
        row(p, "error", t.measured - t.loss, NULL, "%+.4f", "measured minus predicted");
    }
    row(p, "naive predictor", t.naive, NULL, "%.4f", "lowest loss of the sweep");
    if (score) row(p, "its error", t.measured - t.naive, NULL, "%+.4f", "measured minus naive");
    const json_t *doc = pred ? pred->doc : score->doc;
    js_pair(lr_ci, doc, pred ? "ci95.lr" : "lr.ci95");
    row(p, "learning rate", js_num(doc, pred ? "optimum.lr" : "lr.predicted"), lr_ci, "%.4g", "predicted");
    if (score && isfinite(js_num(score->doc, "lr.used"))) row(p, "learning rate used", js_num(score->doc, "lr.used"), NULL, "%.4g", "");
    if (score) penalties(p, score->doc);
    if (pred) reasons(p, pred->doc, "the prediction");
    if (pred && json_is_true(js_get(pred->doc, "forced"))) page_callout(p, TONE_BAD, "This prediction was forced: its fit is refused and it lies beyond the data.");
}

/* --- the law ------------------------------------------------------------------------------------------------------------- */

static void parameters(page *p, const json_t *fit)
{
    const char *key;
    json_t *value;
    json_t *params = json_object_get(fit, "params"), *raw = json_object_get(fit, "raw"), *inner = json_object_get(raw, "params");
    bool unsure = !json_is_object(params) || !json_object_size(params);
    if (unsure) params = json_is_object(inner) ? inner : raw;
    page_table(p, "parameter\tvalue\tstandard error\t95 % interval");
    json_object_foreach(params, key, value) {
        char path[64], a[NUMBER], b[NUMBER], c[NUMBER];
        double ci[2], x = json_is_number(value) ? json_number_value(value) : NAN;
        bool from_raw = unsure || !isfinite(x);
        if (!isfinite(x)) x = js_num(json_is_object(inner) ? inner : raw, key);
        page_cell(p, "%s", key);
        page_cell(p, "%s%s", num(a, x, "%.5g"), from_raw && isfinite(x) ? " (not identified)" : "");
        snprintf(path, sizeof path, "se.%s", key);
        page_cell(p, "%s", num(b, js_num(fit, path), "%.3g"));
        snprintf(path, sizeof path, "ci95.%s", key);
        js_pair(ci, fit, path);
        page_cell(p, "%s", pair(c, ci, "%.5g"));
        page_row(p);
    }
}

static void budgets(page *p, const json_t *fit)
{
    const json_t *all = js_get(fit, "budgets");
    if (!json_array_size(all)) return;
    page_table(p, "budget C (FLOPs)\truns\toptimal N\toptimal D\tloss there\tremark");
    for (size_t i = 0; i < json_array_size(all); i++) {
        char a[NUMBER], b[NUMBER], c[NUMBER], d[NUMBER], n[NUMBER];
        const json_t *r = json_array_get(all, i);
        page_cell(p, "%s", num(a, js_num(r, "C"), "%.3g"));
        page_cell(p, "%s", num(n, js_num(r, "n"), "%.0f"));
        page_cell(p, "%s", num(b, js_num(r, "N_opt"), "%.4g"));
        page_cell(p, "%s", num(c, js_num(r, "D_opt"), "%.4g"));
        page_cell(p, "%s", num(d, js_num(r, "loss_opt"), "%.4f"));
        page_cell(p, "%s", js_str_or(r, "why", ""));
        page_row(p);
    }
}

static void one_law(page *p, const plot_input *i)
{
    const json_t *fit = i->doc, *drop = js_get(fit, "dropped");
    text line = {0};
    page_heading(p, "The law: %s (%s)", js_str_or(fit, "law", "?"), i->path);
    text_add(&line, "Method %s on %.0f runs", js_str_or(fit, "method", "?"), js_num(fit, "n_points"));
    if (js_str(fit, "objective")) text_add(&line, ", objective %s = %.6g", js_str(fit, "objective"), js_num(fit, "objective_value"));
    text_add(&line, ". N counted by rule %s, FLOPs by rule %s.", js_str_or(fit, "count_rule", "unstated"), js_str_or(fit, "flops_rule", "unstated"));
    for (size_t k = 0; k < json_array_size(drop); k++)
        text_add(&line, "%s %.0f %s", k ? "," : " Left out:", js_num(json_array_get(drop, k), "n"), words_dropped(js_str_or(json_array_get(drop, k), "why", "?")));
    if (json_array_size(drop)) text_put(&line, ".");
    if (isfinite(js_num(fit, "optimum.a_opt")))
        text_add(&line, " Compute-optimal N grows as C^%.3f, D as C^%.3f.", js_num(fit, "optimum.a_opt"), js_num(fit, "optimum.b_opt"));
    if (js_num(fit, "holdout.n") > 0)
        text_add(&line, " Hold-out of %.0f runs: mean error %.2f %%, largest %.2f %%.", js_num(fit, "holdout.n"), 100 * js_num(fit, "holdout.mean_abs_rel_err"),
                 100 * js_num(fit, "holdout.max_abs_rel_err"));
    if (isfinite(js_num(fit, "noise.residual_sd"))) text_add(&line, " Residuals: sd %.2f %% of the loss", 100 * js_num(fit, "noise.residual_sd"));
    if (isfinite(js_num(fit, "noise.seed_sd"))) text_add(&line, "; seeds alone: %.2f %%", 100 * js_num(fit, "noise.seed_sd"));
    if (isfinite(js_num(fit, "noise.residual_sd"))) text_put(&line, ".");
    page_text(p, "%s", text_str(&line));
    text_free(&line);
    parameters(p, fit);
    budgets(p, fit);
    reasons(p, fit, "this fit");
}

void report_law(page *p, const plot_inputs *in)
{
    for (size_t k = 0; k < in->n; k++)
        if (in->item[k].what == PLOT_FIT) one_law(p, &in->item[k]);
}

/* --- learning rates ------------------------------------------------------------------------------------------------------ */

static void trends(page *p, const json_t *all)
{
    if (!json_array_size(all)) return;
    page_text(p, "Drift of the optimum with the width, in octaves per doubling (0: the learning rate transfers):");
    page_table(p, "parametrisation\tdrift\t95 % interval\twidths\tremark");
    for (size_t i = 0; i < json_array_size(all); i++) {
        char a[NUMBER], b[NUMBER], n[NUMBER];
        double ci[2];
        const json_t *t = json_array_get(all, i);
        js_pair(ci, t, "ci95.p");
        page_cell(p, "%s", words_parametrisation(js_str_or(t, "parametrisation", "?")));
        page_cell(p, "%s", num(a, js_num(t, "p"), "%+.3f"));
        page_cell(p, "%s", pair(b, ci, "%+.3f"));
        page_cell(p, "%s", num(n, js_num(t, "n_groups"), "%.0f"));
        page_cell(p, "%s", js_str_or(t, "why", ""));
        page_row(p);
    }
}

void report_rates(page *p, const plot_inputs *in)
{
    const plot_input *fit = plot_inputs_find(in, PLOT_LR_FIT);
    const json_t *all = fit ? js_get(fit->doc, "groups") : NULL;
    if (!fit) return;
    page_heading(p, "Learning rates (%s)", fit->path);
    page_table(p, "parametrisation\twidth\truns\toptimum\t95 % interval\tloss there\tremark");
    for (size_t i = 0; i < json_array_size(all); i++) {
        char a[NUMBER], b[NUMBER], c[NUMBER], n[NUMBER], w[NUMBER];
        double ci[2];
        const json_t *g = json_array_get(all, i);
        js_pair(ci, g, "ci95");
        ci[0] = exp2(ci[0]);
        ci[1] = exp2(ci[1]);
        page_cell(p, "%s", words_parametrisation(js_str_or(g, "parametrisation", "?")));
        page_cell(p, "%s", num(w, js_num(g, "width"), "%.0f"));
        page_cell(p, "%s", num(n, js_num(g, "n"), "%.0f"));
        page_cell(p, "%s", num(a, exp2(js_num(g, "log2_lr_opt")), "%.4g"));
        page_cell(p, "%s", pair(b, ci, "%.4g"));
        page_cell(p, "%s", num(c, js_num(g, "loss_opt"), "%.4f"));
        page_cell(p, "%s", js_str_or(g, "why", ""));
        page_row(p);
    }
    trends(p, js_get(fit->doc, "trend"));
    reasons(p, fit->doc, "the optima");
}

/* --- the target ------------------------------------------------------------------------------------------------------------ */

static void tensors(page *p, const json_t *all, size_t most)
{
    if (!json_array_size(all)) return;
    page_text(p, "Hyperparameters per tensor:");
    page_table(p, "tensor\trole\tshape\tinit std\tlearning rate\tepsilon\tweight decay");
    for (size_t i = 0; i < json_array_size(all) && i < most; i++) {
        char a[NUMBER], b[NUMBER], c[NUMBER], d[NUMBER], r[NUMBER], k[NUMBER];
        const json_t *t = json_array_get(all, i);
        page_cell(p, "%s", js_str_or(t, "name", "?"));
        page_cell(p, "%s", js_str_or(t, "role", "?"));
        if (js_len(t, "shape") == 2) page_cell(p, "%s × %s", num(r, js_at(t, "shape", 0), "%.0f"), num(k, js_at(t, "shape", 1), "%.0f"));
        else page_cell(p, "–");
        page_cell(p, "%s", num(a, js_num(t, "init_std"), "%.4g"));
        page_cell(p, "%s", num(b, js_num(t, "lr"), "%.4g"));
        page_cell(p, "%s", num(c, js_num(t, "eps"), "%.3g"));
        page_cell(p, "%s", num(d, js_num(t, "weight_decay"), "%.3g"));
        page_row(p);
    }
    if (json_array_size(all) > most) page_text(p, "And %zu more.", json_array_size(all) - most);
}

void report_target(page *p, const plot_inputs *in, size_t max_tensors)
{
    static const struct { const char *key, *name, *fmt; } rows[] = {
        {"N", "parameters N", "count"}, {"D", "tokens D", "count"}, {"C", "compute C (FLOPs)", "%.4g"}, {"tokens_per_param", "tokens per parameter", "%.4g"},
        {"epochs", "epochs", "%.3g"}, {"loss", "loss (nats/token)", "%.4f"}, {"lr", "learning rate", "%.4g"}, {"batch_tokens", "batch (tokens)", "%.0f"},
        {"width", "width", "%.0f"}, {"depth", "depth", "%.0f"}};
    const plot_input *pred = plot_inputs_find(in, PLOT_PREDICTION);
    if (!pred) return;
    page_heading(p, "The target run");
    if (js_str(pred->doc, "target.config_id")) page_text(p, "Config %s. The prediction is bound to it.", js_str(pred->doc, "target.config_id"));
    page_table(p, "quantity\tvalue\t95 % interval\tremark");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[64];
        double ci[2];
        snprintf(path, sizeof path, "ci95.%s", rows[i].key);
        js_pair(ci, pred->doc, path);
        snprintf(path, sizeof path, "why.%s", rows[i].key);
        const char *why = js_str_or(pred->doc, path, "");
        snprintf(path, sizeof path, "optimum.%s", rows[i].key);
        row(p, rows[i].name, js_num(pred->doc, path), ci, rows[i].fmt, why);
    }
    if (isfinite(js_num(pred->doc, "extrapolation_decades"))) page_text(p, "The target lies %.2f decades beyond the data of the fit.", js_num(pred->doc, "extrapolation_decades"));
    tensors(p, js_get(pred->doc, "optimum.tensors"), max_tensors);
}
