/* Measured against fitted loss with residuals below; and residuals against N, D, C. Residuals are logarithms, in percent:
 * the fit's own measure (sum-Huber on ln loss). */
#include <math.h>

#include "plots/kinds.h"

static double percent(double measured, double fitted) { return 100 * log(measured / fitted); }

static const char *marks(size_t n) { return n > 120 ? "ps 0.45 lw 0.9" : "ps 0.7 lw 1.2"; }

static status with_fitted(plot_points *p, plot_inputs *in, err *e)
{
    status s = plot_inputs_find(in, PLOT_FIT) ? plot_points_read(p, in, e) : err_set(e, ST_INPUT, "needs a fit.json");
    if (!s && !p->fitted) s = err_set(e, ST_INPUT, "the fit.json holds no fitted losses (method isoflop has none)");
    return s;
}

static void around_zero(range *r)
{
    double most = fmax(fmax(fabs(r->lo), fabs(r->hi)), 0.05);
    *r = (range){-most, most};
}

static void parity_data(figure *f, const plot_points *p, const plot_target *t, range *loss, range *res)
{
    figure_block(f, "points", "fitted loss\tmeasured loss\t100 ln(measured/fitted)");
    for (size_t i = 0; i < p->n; i++) {
        ROW(f, p->fitted[i], p->loss[i], percent(p->loss[i], p->fitted[i]));
        range_add(loss, p->fitted[i]);
        range_add(loss, p->loss[i]);
        range_add(res, percent(p->loss[i], p->fitted[i]));
    }
    if (!isfinite(t->measured) || !isfinite(t->loss)) return;
    figure_block(f, "held-out", "predicted loss\tmeasured loss\t95% low\t95% high\t100 ln(measured/predicted)\tlow\thigh");
    ROW(f, t->loss, t->measured, t->pi[0], t->pi[1], percent(t->measured, t->loss), percent(t->pi[0], t->loss), percent(t->pi[1], t->loss));
    const double lo_hi[] = {t->loss, t->measured, t->pi[0], t->pi[1]};
    for (int i = 0; i < 4; i++) {
        range_add(loss, lo_hi[i]);
        if (i) range_add(res, percent(lo_hi[i], t->loss));
    }
}

status draw_parity(figure *f, plot_inputs *in, err *e)
{
    plot_points p;
    plot_target t;
    range loss = range_empty(), res = range_empty();
    status s = with_fitted(&p, in, e);
    if (s) return s;
    plot_target_read(&t, in);
    bool held = isfinite(t.measured) && isfinite(t.loss), band = held && isfinite(t.pi[0]);
    parity_data(f, &p, &t, &loss, &res);
    around_zero(&res);
    f->height = 390;
    axis x = axis_over(AXIS_LINEAR, WORDS_PLAIN, loss, 0.06, "fitted loss (nats/token)"), bare = x;
    bare.bare = true;
    bare.label = NULL;
    panel top = {.box = {FIGURE_LEFT, 150, f->width - FIGURE_LEFT - 14, 228}, .x = bare, .y = axis_over(AXIS_LINEAR, WORDS_PLAIN, loss, 0.06, "measured loss (nats/token)"),
                 .key = CORNER_TOP_LEFT};
    panel_line(&top, "set arrow 1 from %.12g,%.12g to %.12g,%.12g nohead lc rgb '#777777' lw 1 dt 2", x.lo, x.lo, x.hi, x.hi);
    for (size_t i = 0; i < p.n; i++) panel_ink(&top, p.fitted[i], p.loss[i]);
    for (int i = 0; i <= 40; i++) panel_ink(&top, x.lo + (x.hi - x.lo) * i / 40, x.lo + (x.hi - x.lo) * i / 40);
    panel_plot(&top, "runs of the fit", "data index 'points' using 1:2 with points pt 6 %s lc rgb '#%06X'", marks(p.n), INK_BLUE);
    if (band) panel_plot(&top, NULL, "data index 'held-out' using 1:2:3:4 with xerrorbars pt 5 ps 0.8 lw 1.6 lc rgb '#%06X'", INK_RED);
    if (held) {
        panel_ink(&top, t.loss, t.measured);
        panel_plot(&top, band ? "held-out run, 95 % predictive" : "held-out run", "data index 'held-out' using 1:2 with points pt 5 ps 0.8 lc rgb '#%06X'", INK_RED);
    }
    panel_close(f, &top);
    panel low = {.box = {FIGURE_LEFT, FIGURE_BOTTOM, top.box.w, 88}, .x = x, .y = axis_over(AXIS_LINEAR, WORDS_PLAIN, res, 0.12, "residual (%)"), .key = CORNER_NONE};
    panel_line(&low, "set arrow 1 from graph 0,first 0 to graph 1,first 0 nohead lc rgb '#777777' lw 1 dt 2");
    panel_plot(&low, NULL, "data index 'points' using 1:3 with points pt 6 %s lc rgb '#%06X'", marks(p.n), INK_BLUE);
    if (held) panel_plot(&low, NULL, "data index 'held-out' using 1:5 with points pt 5 ps 0.8 lc rgb '#%06X'", INK_RED);
    if (band) panel_plot(&low, NULL, "data index 'held-out' using 1:6:(0):($7-$6) with vectors nohead lw 1.6 lc rgb '#%06X'", INK_RED);
    panel_close(f, &low);
    figure_caption(f, "Residual: 100 ln(measured/fitted).");
    caption_fit(f, plot_inputs_find(in, PLOT_FIT)->doc);
    plot_points_free(&p);
    return ST_OK;
}

/* --- residuals --------------------------------------------------------------------------------------------------- */

status draw_residuals(figure *f, plot_inputs *in, err *e)
{
    plot_points p;
    plot_target t;
    status s = with_fitted(&p, in, e);
    if (s) return s;
    plot_target_read(&t, in);
    const struct { const double *x; double target; const char *label; } all[3] = {
        {p.N, t.N, plot_label_params}, {p.D, t.D, plot_label_tokens}, {p.C, t.C, plot_label_compute}};
    int use[3], n = 0;
    for (int k = 0; k < 3; k++) {
        range r = range_empty();
        for (size_t i = 0; all[k].x && i < p.n; i++) range_add(&r, all[k].x[i]);
        if (!range_is_empty(r) && r.lo > 0) use[n++] = k;
    }
    if (!n) {
        plot_points_free(&p);
        return err_set(e, ST_INPUT, "the fit.json holds neither N nor D nor C of its points");
    }
    double held = percent(t.measured, t.loss);
    range res = range_empty();
    figure_block(f, "points", "N\tD\tC\t100 ln(measured/fitted)");
    for (size_t i = 0; i < p.n; i++) {
        ROW(f, p.N ? p.N[i] : NAN, p.D ? p.D[i] : NAN, p.C ? p.C[i] : NAN, percent(p.loss[i], p.fitted[i]));
        range_add(&res, percent(p.loss[i], p.fitted[i]));
    }
    range_add(&res, held);
    if (isfinite(held)) {
        figure_block(f, "held-out", "N\tD\tC\t100 ln(measured/predicted)");
        ROW(f, t.N, t.D, t.C, held);
    }
    around_zero(&res);
    f->width = n > 1 ? FIGURE_PAGE : FIGURE_COLUMN;
    f->height = 230;
    double gap = 16, w = (f->width - FIGURE_LEFT - 16 - gap * (n - 1)) / n;
    for (int k = 0; k < n; k++) {
        range r = range_empty();
        const double *x = all[use[k]].x;
        for (size_t i = 0; i < p.n; i++) range_add(&r, x[i]);
        if (isfinite(held)) range_add(&r, all[use[k]].target);
        panel q = {.box = {FIGURE_LEFT + k * (w + gap), FIGURE_BOTTOM, w, 170}, .x = axis_over(AXIS_LOG10, WORDS_POWER, r, 0.06, all[use[k]].label),
                   .y = axis_over(AXIS_LINEAR, WORDS_PLAIN, res, 0.12, k ? NULL : "residual (%)"), .key = CORNER_NONE};
        q.y.bare = k > 0;
        panel_line(&q, "set arrow 1 from graph 0,first 0 to graph 1,first 0 nohead lc rgb '#777777' lw 1 dt 2");
        panel_plot(&q, NULL, "data index 'points' using %d:4 with points pt 6 %s lc rgb '#%06X'", use[k] + 1, marks(p.n), INK_BLUE);
        if (isfinite(held)) panel_plot(&q, NULL, "data index 'held-out' using %d:4 with points pt 5 ps 0.8 lc rgb '#%06X'", use[k] + 1, INK_RED);
        panel_close(f, &q);
    }
    figure_caption(f, "Residual: 100 ln(measured/fitted)%s.", isfinite(held) ? "; square: the held-out run against its prediction" : "");
    caption_fit(f, plot_inputs_find(in, PLOT_FIT)->doc);
    plot_points_free(&p);
    return ST_OK;
}
