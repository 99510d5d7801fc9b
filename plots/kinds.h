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
status draw_isoflop(figure *f, plot_inputs *in, err *e);
status draw_loss_compute(figure *f, plot_inputs *in, err *e);
status draw_parity(figure *f, plot_inputs *in, err *e);
status draw_residuals(figure *f, plot_inputs *in, err *e);
status draw_prediction(figure *f, plot_inputs *in, err *e);

/* --- shared (plots/common.c) ----------------------------------------------------------------------------------- */

/* Rows of a fit, or of a table of runs: what both can give. Columns are NULL when absent; entries may be NaN. */
typedef struct plot_points {
    size_t n, n_diverged;
    double *N, *D, *C, *loss, *fitted;
    double *diverged_N, *diverged_C; /* [n_diverged], from the runs; NULL when the input holds no runs */
    bool from_fit;
} plot_points;
/* From the loss fit when there is one, else from the runs (diverged and unfinished rows left out and counted). */
status plot_points_read(plot_points *p, plot_inputs *in, err *e);
void plot_points_free(plot_points *p);

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
const char *words_dropped(const char *why);           /* "not selected by --where" for where */
const char *words_parametrisation(const char *name); /* "μP" for mup, "SP" for sp */

extern const char plot_label_loss[], plot_label_compute[], plot_label_tokens[], plot_label_params[];
#endif
