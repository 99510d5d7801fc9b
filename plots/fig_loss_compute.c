/* Loss against compute: runs, their lower envelope, the law's compute-optimal frontier; and the prediction of one run along
 * the line of constant tokens per parameter that goes through it. */
#include <math.h>
#include <stdlib.h>

#include "plots/kinds.h"

enum { LAW_STEPS = 72 };

typedef struct band { double c, mean, ci[2], pi[2]; } band;

/* Largest and smallest C of the points; C = 6ND stands in when the table has none. */
static void fill_compute(plot_points *p)
{
    if (p->C || !p->N || !p->D || !(p->C = malloc(p->n * sizeof *p->C))) return;
    for (size_t i = 0; i < p->n; i++) p->C[i] = 6 * p->N[i] * p->D[i];
}

static range of(const double *x, size_t n)
{
    range r = range_empty();
    for (size_t i = 0; x && i < n; i++)
        if (x[i] > 0) range_add(&r, x[i]);
    return r;
}

/* Where the law is evaluated at compute c: on the frontier, or at a fixed number of tokens per parameter. */
static bool place(predict_point *at, const predict_law *law, double c, double tokens_per_param, double k)
{
    err ignored = {0};
    if (predict_law_axis(law) == PREDICT_C) {
        *at = (predict_point){.n = NAN, .d = NAN, .c = c};
    } else if (tokens_per_param > 0) {
        double n = sqrt(c / (k * tokens_per_param));
        *at = (predict_point){.n = n, .d = n * tokens_per_param, .c = c};
    } else {
        predict_cost cost = {.k = k};
        predict_ask ask = predict_ask_nothing();
        ask.c = c;
        if (predict_solve(at, law, law->theta, &cost, &ask, &ignored)) return false;
    }
    at->loss = predict_law_loss(law, law->theta, at->n, at->d, at->c);
    return isfinite(at->loss);
}

static size_t law_line(band *out, const predict_law *law, range c, double tokens_per_param, double k)
{
    size_t n = 0;
    for (int i = 0; i <= LAW_STEPS; i++) {
        predict_point at;
        predict_result r = {0};
        err ignored = {0};
        double x = c.lo * pow(c.hi / c.lo, (double)i / LAW_STEPS);
        if (!place(&at, law, x, tokens_per_param, k)) continue;
        bool ok = !predict_at(&r, law, &at, 1, &ignored) && isfinite(r.ci_loss.lo);
        out[n++] = (band){x, at.loss, {ok ? r.ci_loss.lo : NAN, ok ? r.ci_loss.hi : NAN}, {ok ? r.pi_loss.lo : NAN, ok ? r.pi_loss.hi : NAN}};
    }
    return n;
}

/* Two blocks, so that the part beyond the data is dashed; the joint belongs to both. */
static void law_blocks(figure *f, const band *b, size_t n, double edge)
{
    for (int beyond = 0; beyond < 2; beyond++) {
        figure_block(f, beyond ? "law beyond" : "law", "C\tloss\t95% mean low\thigh\t95% one run low\thigh");
        for (size_t i = 0; i < n; i++) {
            bool in = beyond ? i + 1 >= n || b[i + 1].c > edge : b[i].c <= edge;
            if (in) ROW(f, b[i].c, b[i].mean, b[i].ci[0], b[i].ci[1], b[i].pi[0], b[i].pi[1]);
        }
    }
}

static const struct { const char *word; int lo, hi; unsigned ink; } shades[] = {{"pi", 5, 6, 0xDCEBF5}, {"ci", 3, 4, 0xA9CDE6}};

typedef struct line { const band *b; size_t n; double edge; bool predictive; } line;

static bool has_beyond(const line *l) { return l->n && l->b[l->n - 1].c > l->edge * 1.02; }
static bool has_band(const line *l) { return l->n && isfinite(l->b[0].ci[0]); }

/* Shades lie below the runs, lines above them. */
static void law_shades(panel *q, const line *l)
{
    for (int k = l->predictive ? 0 : 1; k < 2 && has_band(l); k++)
        for (int beyond = 0; beyond <= has_beyond(l); beyond++)
            panel_plot(q, beyond ? NULL : k ? "95 % of the mean" : "95 % of one run",
                       "data index '%s' using 1:(shade($%d)):(shade($%d)) with filledcurves fc rgb '#%06X' fs solid noborder",
                       beyond ? "law beyond" : "law", shades[k].lo, shades[k].hi, shades[k].ink);
}

static void law_lines(panel *q, const line *l, const char *key)
{
    bool one = l->predictive && has_band(l);
    panel_plot(q, key, "data index 'law' using 1:2 with lines lw 1.8 lc rgb '#%06X'", INK_BLUE);
    if (has_beyond(l)) panel_plot(q, l->predictive ? "extrapolation" : NULL, "data index 'law beyond' using 1:2 with lines lw 1.8 dt (6,4) lc rgb '#%06X'", INK_BLUE);
    for (size_t i = 0; i < l->n; i++) {
        panel_ink(q, l->b[i].c, l->b[i].mean);
        panel_ink(q, l->b[i].c, one ? l->b[i].pi[1] : l->b[i].ci[1]);
        panel_ink(q, l->b[i].c, one ? l->b[i].pi[0] : l->b[i].ci[0]);
    }
}

/* Hundreds of runs as large marks are one blot. */
static const char *mark_size(size_t n) { return n > 120 ? "ps 0.4" : "ps 0.6"; }

/* --- runs ------------------------------------------------------------------------------------------------------- */

typedef struct by_c { double c, loss; } by_c;

static int compare(const void *a, const void *b)
{
    const by_c *x = a, *y = b;
    return x->c != y->c ? (x->c > y->c) - (x->c < y->c) : (x->loss > y->loss) - (x->loss < y->loss);
}

/* Runs that no cheaper run beats. */
static status envelope_block(figure *f, const plot_points *p, err *e)
{
    by_c *all = malloc((p->n + 1) * sizeof *all);
    double best = INFINITY;
    if (!all) return err_set(e, ST_NOMEM, "no memory for %zu runs", p->n);
    for (size_t i = 0; i < p->n; i++) all[i] = (by_c){p->C[i], p->loss[i]};
    qsort(all, p->n, sizeof *all, compare);
    figure_block(f, "envelope", "C\tlowest loss so far");
    for (size_t i = 0; i < p->n; i++)
        if (all[i].loss < best) {
            best = all[i].loss;
            ROW(f, all[i].c, all[i].loss);
        }
    free(all);
    return ST_OK;
}

static void points_block(figure *f, const plot_points *p, range *loss, panel *q)
{
    figure_block(f, "points", "C\tloss\tN\tD");
    for (size_t i = 0; i < p->n; i++) {
        ROW(f, p->C[i], p->loss[i], p->N ? p->N[i] : NAN, p->D ? p->D[i] : NAN);
        range_add(loss, p->loss[i]);
        panel_ink(q, p->C[i], p->loss[i]);
    }
}

static void band_range(range *loss, const band *b, size_t n, double from)
{
    for (size_t i = 0; i < n; i++)
        if (b[i].c >= from) {
            range_add(loss, b[i].mean);
            range_add(loss, b[i].pi[0]);
            range_add(loss, b[i].ci[1]);
        }
}

/* Diverged runs have a place on the axis of compute, but no loss: they stand at the top edge. */
static void diverged_marks(figure *f, panel *q, const plot_points *p)
{
    size_t n = 0;
    figure_block(f, "diverged", "C\theight on the edge");
    for (size_t i = 0; i < p->n_diverged && p->diverged_C; i++)
        if (p->diverged_C[i] >= q->x.lo && p->diverged_C[i] <= q->x.hi) {
            ROW(f, p->diverged_C[i], 0.985);
            n++;
        }
    if (n) {
        q->top_edge = true;
        panel_plot(q, NULL, "data index 'diverged' using 1:2 axes x1y2 with points pt 8 ps 0.75 lw 1.2 lc rgb '#%06X'", INK_BLACK);
        figure_caption(f, "Triangles at the top edge: %zu diverged.", n);
    }
    if (p->n_diverged > n && !p->from_fit) figure_caption(f, "%zu diverged without a known place on the axis.", p->n_diverged - n);
}

/* Training curves behind the runs: loss against the compute spent so far. */
static bool curves_block(figure *f, panel *q, plot_inputs *in, range c, range loss)
{
    err ignored = {0};
    if (plot_inputs_curves(in, &ignored)) return false;
    figure_block(f, "curves", "C so far\tvalidation loss\tN");
    size_t rows = 0;
    for (size_t k = 0; k < in->n_curves; k++) {
        const run_record *r = &in->curves[k];
        double per_token = attrs_f64(&r->group[RUN_MODEL], "flops_per_token"), n = attrs_f64(&r->group[RUN_MODEL], "n_params_total");
        size_t mine = 0;
        if (!(per_token > 0) || !(n > 0)) continue;
        for (size_t i = 0; i < r->n_val; i++) {
            double x = per_token * r->val[VAL_TOKENS][i], y = r->val[VAL_LOSS][i];
            if (x < c.lo || !isfinite(y) || y > loss.hi) continue;
            ROW(f, x, y, n);
            panel_ink(q, x, y);
            mine++;
        }
        if (mine) figure_gap(f);
        rows += mine;
    }
    return rows > 0;
}

static bool colour_by_n(figure *f, const plot_points *p, rect box)
{
    range r = of(p->N, p->n);
    if (range_is_empty(r)) return false;
    axis a = axis_over(AXIS_LOG10, WORDS_POWER, r, 0, plot_label_params);
    figure_scale(f, box, &a);
    return true;
}

status draw_loss_compute(figure *f, plot_inputs *in, err *e)
{
    plot_points p;
    plot_target t;
    predict_fit law = {0};
    err why = {0};
    band b[LAW_STEPS + 1];
    size_t n = 0;
    status s = plot_points_read(&p, in, e);
    if (s) return s;
    fill_compute(&p);
    range c = of(p.C, p.n), span = c, loss = range_empty();
    if (range_is_empty(c)) {
        plot_points_free(&p);
        return err_set(e, ST_INPUT, "no column C, and not both N and D");
    }
    plot_target_read(&t, in);
    range_add(&span, t.C);
    for (size_t i = 0; i < p.n_diverged && p.diverged_C; i++)
        if (p.diverged_C[i] > 0.1 * c.lo) range_add(&span, p.diverged_C[i]); /* one that died in its first steps does not stretch the axis */
    bool has_law = plot_inputs_find(in, PLOT_FIT) && !plot_law_read(&law, in, &why);
    if (has_law) {
        span.hi *= 2;
        double k = law.loss.flops_per_param_token;
        n = law_line(b, &law.loss, span, 0, isfinite(k) ? k : 6);
    }
    f->height = 320;
    rect box = {FIGURE_LEFT, FIGURE_BOTTOM, f->width - FIGURE_LEFT - FIGURE_BAR, f->height - FIGURE_BOTTOM - 14};
    panel q = {.box = box, .key = CORNER_TOP_RIGHT};
    points_block(f, &p, &loss, &q);
    s = envelope_block(f, &p, e);
    if (n) {
        law_blocks(f, b, n, c.hi);
        band_range(&loss, b, n, c.lo);
    }
    range_add(&loss, t.measured);
    q.x = axis_over(AXIS_LOG10, WORDS_POWER, span, 0.04, plot_label_compute);
    q.y = axis_over(AXIS_LOG10, WORDS_PLAIN, loss, 0.06, plot_label_loss);
    bool coloured = colour_by_n(f, &p, box);
    if (curves_block(f, &q, in, span, loss)) panel_plot(&q, NULL, "data index 'curves' using 1:2:3 with lines lw 0.5 %s", coloured ? "lc palette" : "lc rgb '#bbbbbb'");
    line l = {b, n, c.hi, false};
    law_shades(&q, &l);
    panel_plot(&q, "runs", "data index 'points' using 1:2%s with points pt 7 %s %s", coloured ? ":3" : "", mark_size(p.n), coloured ? "lc palette" : "lc rgb '#0072B2'");
    panel_plot(&q, "lower envelope of the runs", "data index 'envelope' using 1:2 with lines lw 1.2 lc rgb '#%06X'", INK_BLACK);
    if (n) law_lines(&q, &l, "compute-optimal loss");
    diverged_marks(f, &q, &p);
    if (isfinite(t.measured) && isfinite(t.C)) {
        figure_block(f, "held-out", "C\tmeasured loss");
        ROW(f, t.C, t.measured);
        panel_ink(&q, t.C, t.measured);
        panel_plot(&q, "held-out run, measured", "data index 'held-out' using 1:2 with points pt 5 ps 0.9 lc rgb '#%06X'", INK_RED);
    }
    panel_close(f, &q);
    if (has_law) caption_fit(f, law.root);
    else if (plot_inputs_find(in, PLOT_FIT)) figure_caption(f, "No law is drawn: %s.", why.msg);
    if (!p.from_fit) caption_points(f, &p);
    if (n) figure_caption(f, "Dashed: beyond the data of the fit. A run with other tokens per parameter than the optimum lies above the line.");
    predict_fit_free(&law);
    plot_points_free(&p);
    return s;
}

/* --- the prediction of one run ------------------------------------------------------------------------------------ */

/* Right panel: the outcome on its own scale; on the left one it is a dot. */
static void outcome(figure *f, const plot_target *t, rect box)
{
    range loss = range_empty();
    const double all[] = {t->loss, t->pi[0], t->pi[1], t->ci[0], t->ci[1], t->measured, t->measured - 2 * t->measured_se, t->measured + 2 * t->measured_se};
    char word[64];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) range_add(&loss, all[i]);
    bool measured = isfinite(t->measured), near = t->naive < loss.hi + 3 * (loss.hi - loss.lo) && t->naive > loss.lo - 3 * (loss.hi - loss.lo);
    if (near) range_add(&loss, t->naive);
    panel q = {.box = box, .key = CORNER_NONE, .x = {.lo = 0.4, .hi = measured ? 3.6 : 2.6, .scale = AXIS_LINEAR}, .y = axis_over(AXIS_LINEAR, WORDS_PLAIN, loss, 0.12, plot_label_loss)};
    q.x.tics = measured ? "'predicted' 1, 'measured' 2, 'naive' 3" : "'predicted' 1, 'naive' 2";
    int naive_at = measured ? 3 : 2;
    if (isfinite(t->pi[0])) panel_plot(&q, NULL, "data index 'target' using (1):2:(0.75):(1.25):3:4 with boxxyerror lc rgb '#DCEBF5' fs solid noborder");
    if (isfinite(t->ci[0])) panel_plot(&q, NULL, "data index 'target' using (1):2:(0.75):(1.25):5:6 with boxxyerror lc rgb '#A9CDE6' fs solid noborder");
    panel_plot(&q, NULL, "data index 'target' using (0.75):2:(0.5):(0) with vectors nohead lw 2 lc rgb '#%06X'", INK_BLUE);
    if (measured && isfinite(t->measured_se)) panel_plot(&q, NULL, "data index 'target' using (2):7:(2*$8) with yerrorbars pt 5 ps 0.8 lw 1.4 lc rgb '#%06X'", INK_RED);
    else if (measured) panel_plot(&q, NULL, "data index 'target' using (2):7 with points pt 5 ps 0.8 lc rgb '#%06X'", INK_RED);
    if (near) panel_plot(&q, NULL, "data index 'target' using (%.2f):9:(0.5):(0) with vectors nohead lw 2 lc rgb '#%06X'", naive_at - 0.25, INK_GREEN);
    if (!near && isfinite(t->naive)) {
        snprintf(word, sizeof word, "%.3f %s", t->naive, t->naive > t->loss ? "↑" : "↓");
        panel_line(&q, "set label '%s' at first %d, graph %s center font ',10.5' textcolor rgb '#%06X'", word, naive_at, t->naive > t->loss ? "0.96" : "0.04", INK_GREEN);
    }
    panel_line(&q, "set xtics font ',10.5'");
    panel_close(f, &q);
    text_put(&f->script, "set xtics font ',12'\n");
}

static void target_block(figure *f, const plot_target *t)
{
    figure_block(f, "target", "C\tpredicted\t95% one run low\thigh\t95% mean low\thigh\tmeasured\tmeasured se\tnaive");
    ROW(f, t->C, t->loss, t->pi[0], t->pi[1], t->ci[0], t->ci[1], t->measured, t->measured_se, t->naive);
}

static void target_plots(panel *q, const plot_target *t)
{
    if (isfinite(t->naive)) {
        panel_plot(q, "naive: lowest of the sweep", "data index 'target' using (%.6g):9:(%.6g):(0) with vectors nohead lw 1.4 dt (2,2) lc rgb '#%06X'", q->x.lo, q->x.hi - q->x.lo, INK_GREEN);
        for (int i = 0; i <= 60; i++) panel_ink(q, axis_value(&q->x, i / 60.0), t->naive);
    }
    panel_plot(q, "predicted", "data index 'target' using 1:2 with points pt 6 ps 1.1 lw 1.6 lc rgb '#%06X'", INK_BLACK);
    if (isfinite(t->measured)) panel_plot(q, "measured", "data index 'target' using 1:7 with points pt 5 ps 0.55 lc rgb '#%06X'", INK_RED);
    panel_ink(q, t->C, t->loss);
    panel_ink(q, t->C, t->measured);
}

static void prediction_caption(figure *f, const plot_target *t, const char *where)
{
    if (isfinite(t->pi[0])) figure_caption(f, "Predicted %.4f [%.4f, %.4f] nats/token.", t->loss, t->pi[0], t->pi[1]);
    else figure_caption(f, "Predicted %.4f nats/token, without an interval.", t->loss);
    if (isfinite(t->measured))
        figure_caption(f, "Measured %.4f: %s (error %+.4f%s).", t->measured, !isfinite(t->pi[0]) ? "no interval to hit" : t->measured >= t->pi[0] && t->measured <= t->pi[1] ? "inside the interval" : "OUTSIDE the interval",
                       t->measured - t->loss, isfinite(t->naive) ? "" : " nats");
    if (isfinite(t->measured) && isfinite(t->naive)) figure_caption(f, "The naive predictor (lowest loss of the sweep) errs by %+.4f.", t->measured - t->naive);
    figure_caption(f, "%s", where);
}

status draw_prediction(figure *f, plot_inputs *in, err *e)
{
    plot_points p = {0};
    plot_target t;
    predict_fit law = {0};
    band b[LAW_STEPS + 1];
    char where[160];
    plot_target_read(&t, in);
    if (!t.has_prediction && !t.has_score) return err_set(e, ST_INPUT, "needs a prediction.json or score.json");
    if (!isfinite(t.loss)) return err_set(e, ST_INPUT, "the prediction holds no loss");
    status s = plot_law_read(&law, in, e);
    if (!s) s = plot_points_read(&p, in, e);
    if (!s) fill_compute(&p);
    range c = of(p.C, p.n), span, loss = range_empty();
    double k = t.C / (t.N * t.D), ratio = t.D / t.N;
    if (!isfinite(k)) k = isfinite(law.loss.flops_per_param_token) ? law.loss.flops_per_param_token : 6;
    if (!s && !(t.C > 0)) t.C = k * t.N * t.D;
    if (!s && (!(t.C > 0) || range_is_empty(c))) s = err_set(e, ST_INPUT, range_is_empty(c) ? "the points of the fit have neither C nor both N and D" : "N, D and C of the target are not known; give the prediction.json too");
    if (s) goto done;
    span = c;
    range_add(&span, t.C);
    span.hi *= 1.6;
    size_t n = law_line(b, &law.loss, span, isfinite(ratio) ? ratio : 0, k);
    f->width = FIGURE_PAGE;
    f->height = 310;
    const double right = 190, top = f->height - FIGURE_BOTTOM - 14;
    panel q = {.box = {FIGURE_LEFT, FIGURE_BOTTOM, f->width - 2 * FIGURE_LEFT - right - 22, top}, .key = CORNER_TOP_RIGHT};
    points_block(f, &p, &loss, &q);
    law_blocks(f, b, n, c.hi);
    target_block(f, &t);
    band_range(&loss, b, n, c.lo);
    range_add(&loss, t.measured);
    range_add(&loss, t.pi[0]);
    range_add(&loss, t.pi[1]);
    q.x = axis_over(AXIS_LOG10, WORDS_POWER, span, 0.04, plot_label_compute);
    q.y = axis_over(AXIS_LOG10, WORDS_PLAIN, loss, 0.06, plot_label_loss);
    line l = {b, n, c.hi, true};
    law_shades(&q, &l);
    panel_plot(&q, "runs of the sweep", "data index 'points' using 1:2 with points pt 6 %s lw %s lc rgb '#%06X'", mark_size(p.n), p.n > 120 ? "0.8" : "1.1", INK_GREY);
    law_lines(&q, &l, "law through the target");
    target_plots(&q, &t);
    panel_close(f, &q);
    outcome(f, &t, (rect){f->width - right - 12, FIGURE_BOTTOM, right, top});
    if (isfinite(ratio)) snprintf(where, sizeof where, "Line: the law at the target's %.3g tokens per parameter; the runs have ratios of their own.", ratio);
    else snprintf(where, sizeof where, "Line: the law.");
    prediction_caption(f, &t, where);
    caption_fit(f, law.root);
done:
    predict_fit_free(&law);
    plot_points_free(&p);
    return s;
}
