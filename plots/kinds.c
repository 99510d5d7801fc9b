/* The table of figures, and how one is drawn. */
#include "plots/kinds.h"

#include <string.h>

#include "base/num.h"

const plot_figure plot_figures[] = {
    {"prediction", "Prediction and outcome", "a fit.json and a prediction.json; score.json for the outcome",
     "the law along C through the target run, its intervals, the sweep's runs, what was predicted and what was measured", draw_prediction},
    {"loss-compute", "Loss against compute", "a fit.json or runs with N and C",
     "runs coloured by N, their lower envelope, the fitted compute-optimal frontier and its extrapolation", draw_loss_compute},
    {"parity", "Measured against fitted loss", "a fit.json", "every run of the fit, residuals below, the held-out run in another mark", draw_parity},
    {"residuals", "Residuals", "a fit.json",
     "ln(measured/fitted) against N, D, C and the law's other columns, with medians, ±2 sd and the worst rows",
     draw_residuals},
    {"cloud", "Bootstrap draws", "a fit.json with bootstrap draws",
     "each pair of parameters over the draws, histograms, correlations", draw_cloud},
    {"basins", "Minima of the objective", "a fit.json",
     "the distinct minima: objective above the best, starts that ended there, parameters of each", draw_basins},
    {"profile", "Profiles", "a fit.json with profiles",
     "lost likelihood against each parameter, with the 95 % cut and its interval", draw_profile},
    {"backtest", "Back-test", "a fit.json with held-out predictions",
     "predicted against measured loss beyond each cut, error against distance from it", draw_backtest},
    {"surface", "Loss over N and D", "a fit.json of a law of N and D",
     "contours of the loss, the runs, the compute-optimal frontier with its interval, lines of equal compute; "
     "dashed beyond the data", draw_surface},
    {"isoflop", "IsoFLOP curves", "a fit.json or runs with N and C in a few budgets",
     "loss against N per compute budget, with parabola and minimum", draw_isoflop},
    {"lr-curves", "Learning-rate curves", "an lr-optimum fit.json, a report of mup transfer, or runs over learning rates",
     "final loss against learning rate per width (depth, horizon), parametrisations side by side, optima with intervals", draw_lr_curves},
    {"coord-check", "Coordinate check", "the JSON of mup check, one or several",
     "RMS of activations and of their change over the width, a curve per step, parametrisations on the same axes", draw_coord_check},
    {"loss-curves", "Loss curves", "runs with their curves", "training and validation loss against tokens, the lr schedule below", draw_loss_curves},
    {"updates", "Updates", "a run with log_updates_every", "|dW|/|W|, its alignment with W and sqrt(v)/eps of each tensor over the steps", draw_updates},
    {"schedule", "Learning-rate schedules", "runs with their curves", "lr/peak against tokens", draw_schedule},
};
const size_t plot_n_figures = sizeof plot_figures / sizeof *plot_figures;

const plot_figure *plot_figure_find(const char *kind, err *e)
{
    const char *names[sizeof plot_figures / sizeof *plot_figures];
    text list = {0};
    for (size_t i = 0; i < plot_n_figures; i++) {
        if (!strcmp(plot_figures[i].kind, kind)) {
            text_free(&list);
            return &plot_figures[i];
        }
        names[i] = plot_figures[i].kind;
        text_add(&list, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = num_nearest_word(kind, names, (int)plot_n_figures);
    err_set(e, ST_USAGE, "unknown figure '%s'%s%s%s figures: %s", kind, near ? "; did you mean '" : ";", near ? near : "", near ? "'?" : "", text_str(&list));
    text_free(&list);
    return NULL;
}

status plot_draw(const plot_figure *kind, plot_inputs *in, const char *dir, const char *name, const plot_format *formats,
                 size_t n_formats, text *caption, text *said, err *e)
{
    figure f = {.width = FIGURE_COLUMN, .height = 300};
    status s = kind->draw(&f, in, e);
    if (s == ST_INPUT) err_prefix(e, "figure %s", kind->kind);
    if (!s) s = figure_write(&f, dir, name, e);
    for (size_t i = 0; i < n_formats && !s; i++) s = plot_gnuplot(dir, name, formats[i], said, e);
    if (!s && caption) text_put(caption, text_str(&f.caption));
    figure_free(&f);
    return s;
}
