/* The figures' own header: their draw functions and what several of them share. Private to plots/. */
#ifndef PLOTS_KINDS_H
#define PLOTS_KINDS_H
#include "fit/predict.h"
#include "plots/figure.h"
#include "plots/json.h"
#include "plots/plots.h"

status draw_loss_curves(figure *f, plot_inputs *in, err *e);
status draw_schedule(figure *f, plot_inputs *in, err *e);
status draw_lr_curves(figure *f, plot_inputs *in, err *e);
status draw_coord_check(figure *f, plot_inputs *in, err *e);
status draw_updates(figure *f, plot_inputs *in, err *e);
status draw_isoflop(figure *f, plot_inputs *in, err *e);
status draw_loss_compute(figure *f, plot_inputs *in, err *e);
status draw_parity(figure *f, plot_inputs *in, err *e);
status draw_residuals(figure *f, plot_inputs *in, err *e);
status draw_prediction(figure *f, plot_inputs *in, err *e);
status draw_surface(figure *f, plot_inputs *in, err *e);
status draw_cloud(figure *f, plot_inputs *in, err *e);
status draw_basins(figure *f, plot_inputs *in, err *e);
status draw_profile(figure *f, plot_inputs *in, err *e);
status draw_backtest(figure *f, plot_inputs *in, err *e);

/* --- shared (plots/common.c) ----------------------------------------------------------------------------------- */

/* Rows of a fit, or of a table of runs: what both can give. Columns are NULL when absent; entries may be NaN. */
typedef struct plot_points {
    size_t n, n_diverged;
    double *N, *D, *C, *loss, *fitted;
    char target[24];                 /* what `loss` holds: "loss" unless the fit is of another column */
    double *diverged_N, *diverged_C; /* [n_diverged], from the runs; NULL when the input holds no runs */
    bool from_fit;
} plot_points;
/* From the loss fit when there is one, else from the runs (diverged and unfinished rows left out and counted). ST_INPUT
 * also for a fit of another column than the loss. */
status plot_points_read(plot_points *p, plot_inputs *in, err *e);
/* The points of a fit, whatever its target, with what was fitted to them; ST_INPUT without. */
status plot_fitted_read(plot_points *p, plot_inputs *in, err *e);
void plot_points_free(plot_points *p);
const char *marks_of_runs(size_t n); /* gnuplot's style of n points, in the law's blue */
double percent_off(double measured, double fitted); /* a residual: 100 ln(measured/fitted) */

/* The held-out run: what was predicted and what came out. NaN where no input says so. */
typedef struct plot_target {
    bool has_prediction, has_score;
    double N, D, C, loss, ci[2], pi[2];
    double measured, measured_se, naive;
} plot_target;
void plot_target_read(plot_target *t, const plot_inputs *in);

/* The law of the loss fit. ST_INPUT: no fit given, or one that predicts nothing. predict_fit_free by the caller. */
status plot_law_read(predict_fit *law, const plot_inputs *in, err *e);

/* "Law chinchilla fitted to 24 runs, C from 1.1×10¹² to 4×10¹⁴ FLOPs; left out: 2 diverged." */
void caption_fit(figure *f, const json_t *fit);
void caption_points(figure *f, const plot_points *p);
/* "E 1.817 [1.77, 1.868], A 477.8 [293.5, 721.9], ...; in brackets: 95 %." */
void caption_params(figure *f, const json_t *fit);
/* Above this many points only every k-th is drawn; returns k and says so in the caption. */
size_t caption_thinned(figure *f, size_t n);
const char *words_percent(char buf[AXIS_WORD], double x, bool sign); /* "−2.47", "+1.3×10⁻⁷"; without the % */
/* The unit in which an axis up to `most` percent counts, and its label: "residual (%)", or "residual (10⁻⁷ %)" for data
 * made by a formula. */
double percent_unit(char label[64], const char *what, double most);
const char *words_dropped(const char *why);           /* "not selected by --where" for where */
const char *words_parametrisation(const char *name); /* "μP" for mup, "SP" for sp */

/* "measured loss (nats/token)", "fitted learning rate": of a fit's target. */
void label_of_target(char out[96], const char *before, const char *target);
const char *label_of_column(const char *name); /* "training tokens D" for D; an unknown name as it is */

extern const char plot_label_loss[], plot_label_compute[], plot_label_tokens[], plot_label_params[];
#endif
