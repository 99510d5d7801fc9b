/* The back-test: the law fitted to the runs below a cut predicts those above it. Left: predicted against measured;
 * right: the error against how far beyond the cut the run lies, with the band that the predictive intervals allow.
 * Whether a law extrapolates is seen here or nowhere: residuals of the rows it was fitted to do not say. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/kinds.h"
#include "plots/sample.h"

enum { MAX_FOLDS = 8, MAX_BINS = 12, BIN_LEAST = 6, BARS_MAX = 1200, MANY = 300 };
#define BESIDE 178.0
#define GAP 74.0

typedef struct fold {
    double cut, n_train;
    size_t n, n_inside, n_interval;
    double *loss, *predicted, *lo, *hi, *by;
    double mean, most, bias; /* of predicted/measured - 1, in percent; mean and most of its size */
    unsigned ink;
    bool refused; /* the verdict on the fit below the cut */
} fold;
typedef struct backtest {
    const char *by, *target;
    size_t n, n_rows, n_left_out;
    fold f[MAX_FOLDS];
    bool one;    /* a hold-out, not folds */
    double unit; /* percent, of the axis of errors */
    char label[64];
} backtest;

static void backtest_free(backtest *b)
{
    for (size_t k = 0; k < b->n; k++) {
        fold *f = &b->f[k];
        free(f->loss);
        free(f->predicted);
        free(f->lo);
        free(f->hi);
        free(f->by);
    }
}

/* --- reading ------------------------------------------------------------------------------------------------- */

static void measure(fold *f)
{
    double sum = 0, bias = 0, n = 0;
    for (size_t i = 0; i < f->n; i++) {
        double off = f->predicted[i] / f->loss[i] - 1;
        if (!isfinite(off)) continue;
        n++, sum += fabs(off), bias += off;
        f->most = fmax(f->most, 100 * fabs(off));
        if (!f->lo || !f->hi || !isfinite(f->lo[i]) || !isfinite(f->hi[i])) continue;
        f->n_interval++;
        f->n_inside += f->loss[i] >= f->lo[i] && f->loss[i] <= f->hi[i];
    }
    f->mean = 100 * sum / n;
    f->bias = 100 * bias / n;
}

/* The column that the cut is in. Tables without C are cut in the product of N and D, which has no column. */
static double *sizes(const backtest *b, const json_t *doc, size_t n, bool *failed)
{
    if (strcmp(b->by, "N D")) return js_column(js_member(doc, "points", b->by), "", n, failed);
    double *size = js_column(doc, "points.N", n, failed), *d = js_column(doc, "points.D", n, failed);
    for (size_t i = 0; i < n && size; i++) size[i] *= d ? d[i] : NAN;
    free(d);
    return size;
}

/* doc holds `points`. A fold without points is left out. */
static status add_fold(backtest *b, const json_t *doc, double cut, double n_train, err *e)
{
    bool failed = false;
    const json_t *measured = js_member(doc, "points", b->target);
    size_t n = json_array_size(measured);
    if (b->n == MAX_FOLDS) {
        b->n_left_out++;
        return ST_OK;
    }
    fold *f = &b->f[b->n++]; /* backtest_free takes it from here, also half-read */
    *f = (fold){.cut = cut, .n_train = n_train, .n = n};
    f->loss = js_column(measured, "", n, &failed);
    f->predicted = js_column(doc, "points.predicted", n, &failed);
    f->lo = js_column(doc, "points.lo", n, &failed);
    f->hi = js_column(doc, "points.hi", n, &failed);
    f->by = sizes(b, doc, n, &failed);
    f->refused = !b->one && !strcmp(js_str_or(doc, "verdict", ""), "refuse");
    if (failed) return err_set(e, ST_NOMEM, "no memory for %zu points", n);
    if (f->loss && f->predicted) {
        measure(f);
        b->n_rows += n;
        return ST_OK;
    }
    free(f->loss), free(f->predicted), free(f->lo), free(f->hi), free(f->by);
    b->n--;
    return ST_OK;
}

static status read_backtest(backtest *b, const json_t *fit, err *e)
{
    const json_t *folds = js_get(fit, "backtest.folds"), *holdout = js_get(fit, "holdout");
    status s = ST_OK;
    b->by = js_str_or(fit, "backtest.by", "C");
    b->target = js_str_or(fit, "target", "loss");
    for (size_t k = 0; k < json_array_size(folds) && !s; k++) {
        const json_t *one = json_array_get(folds, k);
        s = add_fold(b, one, js_num(one, "cut"), js_num(one, "n_train"), e);
    }
    if (!s && !b->n && json_is_object(holdout)) { /* one cut: the largest run that was fitted */
        b->one = true;
        s = add_fold(b, holdout, js_at(js_member(fit, "domain", b->by), "", 1), js_num(fit, "n_points"), e);
    }
    if (!s && !b->n)
        s = err_set(e, ST_INPUT, "the fit holds no predictions of held-out runs; fit with --hold-out rolling");
    for (size_t k = 0; k < b->n; k++)
        b->f[k].ink = b->n > 1 ? colour_sequence((double)k / (double)(b->n - 1)) : INK_BLUE;
    return s;
}

/* --- blocks -------------------------------------------------------------------------------------------------- */

static double rel(const backtest *b, double predicted, double loss) { return 100 * (predicted / loss - 1) / b->unit; }

/* err lo..err hi: where the error would have to be for the interval to hold the measured loss. */
static void fold_block(figure *f, const backtest *b, size_t at, size_t every, range *loss, range *factor)
{
    const fold *k = &b->f[at];
    char name[32];
    snprintf(name, sizeof name, "fold %zu", at + 1);
    figure_block(f, name, "measured\tpredicted\t95% low\thigh\ttimes the cut\terror, as drawn\tallowed low\thigh");
    for (size_t i = 0; i < k->n; i++) {
        double lo = k->lo ? k->lo[i] : NAN, hi = k->hi ? k->hi[i] : NAN, times = k->by ? k->by[i] / k->cut : NAN;
        range_add(loss, k->loss[i]);
        range_add(loss, k->predicted[i]);
        range_add(factor, times);
        if (i % every == 0)
            ROW(f, k->loss[i], k->predicted[i], lo, hi, times, rel(b, k->predicted[i], k->loss[i]),
                rel(b, k->predicted[i], hi), rel(b, k->predicted[i], lo));
    }
}

typedef struct allowed {
    double times, lo, hi;
} allowed;

static int by_times(const void *a, const void *b)
{
    const allowed *x = a, *y = b;
    return (x->times > y->times) - (x->times < y->times);
}

/* Medians over bins of the factor, of all folds together. */
static status band_block(figure *f, const backtest *b, size_t *n_bins, err *e)
{
    size_t n = 0, first[MAX_BINS + 1];
    double *x = malloc((3 * b->n_rows + 3) * sizeof *x), *part = x + b->n_rows, *other = part + b->n_rows;
    allowed *all = malloc((b->n_rows + 1) * sizeof *all);
    size_t *order = malloc((b->n_rows + 1) * sizeof *order);
    status s = x && all && order ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu points", b->n_rows);
    for (size_t k = 0; k < b->n && !s; k++)
        for (size_t i = 0; i < b->f[k].n && b->f[k].lo && b->f[k].hi && b->f[k].by; i++) {
            const fold *w = &b->f[k];
            allowed one = {w->by[i] / w->cut, rel(b, w->predicted[i], w->hi[i]), rel(b, w->predicted[i], w->lo[i])};
            if (isfinite(one.times) && isfinite(one.lo) && isfinite(one.hi)) all[n++] = one;
        }
    if (!s) qsort(all, n, sizeof *all, by_times);
    for (size_t i = 0; i < n && !s; i++) x[i] = all[i].times;
    *n_bins = s ? 0 : sample_bins(first, order, x, n, MAX_BINS, BIN_LEAST);
    figure_block(f, "allowed", "times the cut\terror allowed low, as drawn\thigh");
    for (size_t k = 0; k < *n_bins; k++) {
        size_t m = first[k + 1] - first[k];
        for (size_t i = 0; i < m; i++) part[i] = all[first[k] + i].lo, other[i] = all[first[k] + i].hi;
        double lo = sample_median(part, m), hi = sample_median(other, m);
        if (k == 0) ROW(f, all[0].times, lo, hi); /* the band reaches to the outermost runs */
        ROW(f, sample_quantile(x + first[k], m, 0.5), lo, hi);
        if (k + 1 == *n_bins) ROW(f, all[n - 1].times, lo, hi);
    }
    free(x);
    free(all);
    free(order);
    return s;
}

/* --- panels -------------------------------------------------------------------------------------------------- */

static const char *mark(size_t n) { return n > 2000 ? "pt 7 ps 0.18" : n > MANY ? "pt 7 ps 0.35" : "pt 7 ps 0.6"; }

/* Alpha of gnuplot's #AARRGGBB, 00 being opaque: points of many rows lie on each other. */
static const char *see_through(const backtest *b) { return b->n_rows > MANY ? "60" : ""; }

static void parity_panel(figure *f, const backtest *b, rect box, range loss)
{
    char measured[96], predicted[96];
    label_of_target(measured, "measured", b->target);
    label_of_target(predicted, "predicted", b->target);
    bool log = loss.lo > 0 && loss.hi > 20 * loss.lo; /* learning rates, batches */
    axis x = axis_over(log ? AXIS_LOG10 : AXIS_LINEAR, log ? WORDS_POWER : WORDS_PLAIN, loss, 0.06, measured), y = x;
    y.label = predicted;
    panel q = {.box = box, .x = x, .y = y, .key = CORNER_NONE};
    panel_line(&q, "set arrow from %.12g,%.12g to %.12g,%.12g nohead lc rgb '#%06X' lw 1 dt (4,4)", x.lo, x.lo, x.hi,
               x.hi, INK_GREY);
    for (size_t k = 0; k < b->n; k++)
        if (b->f[k].n_interval && b->n_rows <= BARS_MAX)
            panel_plot(&q, NULL,
                       "data index 'fold %zu' using 1:($4 > $3 ? $3 : NaN):(0):($4-$3) with vectors nohead lw 0.8 lc "
                       "rgb '#%s%06X'",
                       k + 1, b->n_rows > MANY ? "C0" : "80", b->f[k].ink);
    for (size_t k = 0; k < b->n; k++)
        panel_plot(&q, NULL, "data index 'fold %zu' using 1:2 with points %s lc rgb '#%s%06X'", k + 1, mark(b->n_rows),
                   see_through(b), b->f[k].ink);
    panel_close(f, &q);
}

static void key_of(char *key, size_t size, const fold *f, bool one)
{
    char word[AXIS_WORD], mean[AXIS_WORD], inside[48] = "";
    if (f->mean < 0.005) axis_power(mean, f->mean, 1);
    else words_percent(mean, f->mean, false);
    if (f->n_interval) snprintf(inside, sizeof inside, ", %.0f %%", 100 * (double)f->n_inside / (double)f->n_interval);
    if (one || !isfinite(f->cut)) snprintf(key, size, "%s %%%s", mean, inside);
    else snprintf(key, size, "%.20s: %.20s %%%.40s", axis_power(word, f->cut, 2), mean, inside);
}

static void error_panel(figure *f, const backtest *b, rect box, double most, range factor, size_t n_bins)
{
    char label[80], key[96];
    snprintf(label, sizeof label, "%.40s as a multiple of the cut", b->by);
    if (range_is_empty(factor) || factor.lo <= 0) factor = (range){1, 10};
    factor.lo = fmin(factor.lo, 1);
    range shown = {-most / b->unit, most / b->unit};
    panel q = {.box = box,
               .key = CORNER_BESIDE,
               .x = axis_over(AXIS_LOG10, factor.hi > 2000 ? WORDS_POWER : WORDS_PLAIN, factor, 0.05, label),
               .y = axis_over(AXIS_LINEAR, WORDS_PLAIN, shown, 0.08, b->label)};
    snprintf(q.key_title, sizeof q.key_title, "%s", b->one ? "error, inside 95 %" : "cut: error, inside 95 %");
    if (n_bins)
        panel_plot(&q, NULL, "data index 'allowed' using 1:2:3 with filledcurves fc rgb '#E6E6E6' fs solid noborder");
    panel_line(&q, "set arrow from graph 0,first 0 to graph 1,first 0 nohead lc rgb '#%06X' lw 1 dt (4,4)", INK_GREY);
    for (size_t k = 0; k < b->n; k++) {
        panel_plot(&q, NULL, "data index 'fold %zu' using 5:6 with points %s lc rgb '#%s%06X'", k + 1, mark(b->n_rows),
                   see_through(b), b->f[k].ink);
        key_of(key, sizeof key, &b->f[k], b->one);
        panel_plot(&q, key, "keyentry with points pt 7 ps 0.8 lc rgb '#%06X'", b->f[k].ink);
    }
    for (int edge = 2; edge <= 3 && n_bins; edge++)
        panel_plot(&q, NULL, "data index 'allowed' using 1:%d with lines lw 1 lc rgb '#%06X'", edge, INK_GREY);
    panel_close(f, &q);
}

static void captions(figure *f, const backtest *b, const json_t *fit, size_t n_bins)
{
    char word[AXIS_WORD];
    size_t inside = 0, of = 0;
    for (size_t k = 0; k < b->n; k++) inside += b->f[k].n_inside, of += b->f[k].n_interval;
    if (b->one)
        figure_caption(f, "%zu held-out run%s, predicted by the law fitted to the other %.0f.", b->n_rows,
                       b->n_rows == 1 ? "" : "s", b->f[0].n_train);
    else {
        figure_caption(f,
                       "Each fold: the law fitted to the runs up to a cut in %.40s predicts those beyond. Rows fitted, "
                       "predicted, bias:",
                       b->by);
        for (size_t k = 0; k < b->n; k++) {
            char cut[AXIS_WORD];
            double bias = b->unit == 1 && fabs(b->f[k].bias) < 0.005 ? 0 : b->f[k].bias;
            text_add(&f->caption, "%s %s: %.0f, %zu, %s %%", k ? ";" : "", axis_power(cut, b->f[k].cut, 2),
                     b->f[k].n_train, b->f[k].n, words_percent(word, bias, true));
        }
        text_put(&f->caption, ".");
    }
    for (size_t k = 0; k < b->n; k++)
        if (b->f[k].refused) figure_caption(f, "The fit up to %s is refused.", axis_power(word, b->f[k].cut, 2));
    if (of)
        figure_caption(f, "%zu of %zu measured values lie inside their 95 %% interval%s.", inside, of,
                       b->n_rows <= BARS_MAX ? " (bars)" : "");
    if (n_bins) figure_caption(f, "Grey: the error that the intervals allow, medians over bins.");
    if (b->n_left_out) figure_caption(f, "%zu more folds are not shown.", b->n_left_out);
    caption_fit(f, fit);
}

status draw_backtest(figure *f, plot_inputs *in, err *e)
{
    backtest b = {0};
    const plot_input *fit = plot_inputs_find(in, PLOT_FIT);
    range loss = range_empty(), factor = range_empty();
    double most = 1e-12; /* percent */
    size_t n_bins = 0;
    status s = fit ? read_backtest(&b, fit->doc, e) : err_set(e, ST_INPUT, "needs a fit.json");
    if (!s) {
        size_t every = caption_thinned(f, b.n_rows);
        for (size_t k = 0; k < b.n; k++) most = fmax(most, b.f[k].most);
        b.unit = percent_unit(b.label, "predicted/measured − 1", most);
        for (size_t k = 0; k < b.n; k++) fold_block(f, &b, k, every, &loss, &factor);
        s = band_block(f, &b, &n_bins, e);
    }
    if (!s) {
        f->width = FIGURE_PAGE;
        f->height = 280;
        double w = (f->width - FIGURE_LEFT - GAP - BESIDE) / 2, h = f->height - FIGURE_BOTTOM - 14;
        parity_panel(f, &b, (rect){FIGURE_LEFT, FIGURE_BOTTOM, w, h}, loss);
        error_panel(f, &b, (rect){FIGURE_LEFT + w + GAP, FIGURE_BOTTOM, w, h}, most, factor, n_bins);
        captions(f, &b, fit->doc, n_bins);
    }
    backtest_free(&b);
    return s;
}
