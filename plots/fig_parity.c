/* Measured against fitted loss with residuals below. Residuals are logarithms, in percent:
 * the fit's own measure (sum-Huber on ln loss). */
#include <math.h>

#include "plots/kinds.h"

static void around_zero(range *r)
{
    double most = fmax(fmax(fabs(r->lo), fabs(r->hi)), 0.05);
    *r = (range){-most, most};
}

static void parity_data(figure *f, const plot_points *p, const plot_target *t, range *loss, range *res)
{
    figure_block(f, "points", "fitted loss\tmeasured loss\t100 ln(measured/fitted)");
    for (size_t i = 0; i < p->n; i++) {
        ROW(f, p->fitted[i], p->loss[i], percent_off(p->loss[i], p->fitted[i]));
        range_add(loss, p->fitted[i]);
        range_add(loss, p->loss[i]);
        range_add(res, percent_off(p->loss[i], p->fitted[i]));
    }
    if (!isfinite(t->measured) || !isfinite(t->loss)) return;
    figure_block(f, "held-out", "predicted loss\tmeasured loss\t95% low\t95% high\t100 ln(measured/predicted)\tlow\thigh");
    ROW(f, t->loss, t->measured, t->pi[0], t->pi[1], percent_off(t->measured, t->loss), percent_off(t->pi[0], t->loss),
        percent_off(t->pi[1], t->loss));
    const double lo_hi[] = {t->loss, t->measured, t->pi[0], t->pi[1]};
    for (int i = 0; i < 4; i++) {
        range_add(loss, lo_hi[i]);
        if (i) range_add(res, percent_off(lo_hi[i], t->loss));
    }
}

status draw_parity(figure *f, plot_inputs *in, err *e)
{
    plot_points p;
    plot_target t;
    range loss = range_empty(), res = range_empty();
    status s = plot_fitted_read(&p, in, e);
    if (s) return s;
    plot_target_read(&t, in);
    bool held = isfinite(t.measured) && isfinite(t.loss), band = held && isfinite(t.pi[0]);
    parity_data(f, &p, &t, &loss, &res);
    around_zero(&res);
    f->height = 390;
    char fitted[96], measured[96];
    label_of_target(fitted, "fitted", p.target);
    label_of_target(measured, "measured", p.target);
    bool log = loss.lo > 0 && loss.hi > 20 * loss.lo; /* learning rates, batches */
    axis_scale scale = log ? AXIS_LOG10 : AXIS_LINEAR;
    axis_words words = log ? WORDS_POWER : WORDS_PLAIN;
    axis x = axis_over(scale, words, loss, 0.06, fitted), bare = x;
    bare.bare = true;
    bare.label = NULL;
    panel top = {.box = {FIGURE_LEFT, 150, f->width - FIGURE_LEFT - 14, 228}, .x = bare,
                 .y = axis_over(scale, words, loss, 0.06, measured),
                 .key = CORNER_TOP_LEFT};
    panel_line(&top, "set arrow 1 from %.12g,%.12g to %.12g,%.12g nohead lc rgb '#777777' lw 1 dt 2", x.lo, x.lo, x.hi, x.hi);
    for (size_t i = 0; i < p.n; i++) panel_ink(&top, p.fitted[i], p.loss[i]);
    for (int i = 0; i <= 40; i++) panel_ink(&top, axis_value(&x, i / 40.0), axis_value(&x, i / 40.0));
    panel_plot(&top, "runs of the fit", "data index 'points' using 1:2 with points %s", marks_of_runs(p.n));
    if (band) panel_plot(&top, NULL, "data index 'held-out' using 1:2:3:4 with xerrorbars pt 5 ps 0.8 lw 1.6 lc rgb '#%06X'", INK_RED);
    if (held) {
        panel_ink(&top, t.loss, t.measured);
        panel_plot(&top, band ? "held-out run, 95 % predictive" : "held-out run", "data index 'held-out' using 1:2 with points pt 5 ps 0.8 lc rgb '#%06X'", INK_RED);
    }
    panel_close(f, &top);
    panel low = {.box = {FIGURE_LEFT, FIGURE_BOTTOM, top.box.w, 88}, .x = x, .y = axis_over(AXIS_LINEAR, WORDS_PLAIN, res, 0.12, "residual (%)"), .key = CORNER_NONE};
    panel_line(&low, "set arrow 1 from graph 0,first 0 to graph 1,first 0 nohead lc rgb '#777777' lw 1 dt 2");
    panel_plot(&low, NULL, "data index 'points' using 1:3 with points %s", marks_of_runs(p.n));
    if (held) panel_plot(&low, NULL, "data index 'held-out' using 1:5 with points pt 5 ps 0.8 lc rgb '#%06X'", INK_RED);
    if (band) panel_plot(&low, NULL, "data index 'held-out' using 1:6:(0):($7-$6) with vectors nohead lw 1.6 lc rgb '#%06X'", INK_RED);
    panel_close(f, &low);
    figure_caption(f, "Residual: 100 ln(measured/fitted).");
    caption_fit(f, plot_inputs_find(in, PLOT_FIT)->doc);
    plot_points_free(&p);
    return ST_OK;
}
