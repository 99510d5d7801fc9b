/* What the parts of method isoflop share. */
#ifndef FIT_ISOFLOP_H
#define FIT_ISOFLOP_H
#include "fit/run.h"

enum { ISO_N_COEF, ISO_A, ISO_D_COEF, ISO_B, ISO_PARAMS };
enum { ISO_LEAST_SIZES = 3, ISO_LEAST_BUDGETS = 3 };

typedef struct iso_row { double ln_c, ln_n, ln_d, loss; size_t at; } iso_row; /* at: place in the fit's points */

/* Rows sorted by budget, then by size. */
typedef struct iso {
    const fit_minimum *minimum;
    size_t n_budgets, n_rows, *first;  /* first[n_budgets + 1] */
    iso_row *row;
    double *weight;                    /* [n_rows] a resample's counts; 0: not in it */
    double *sd;                        /* [n_budgets] of ln N_opt, weighs the lines; NULL: all alike */
} iso;

/* One way to find a budget's minimum. Gets rows of one budget by size, of at least ISO_LEAST_SIZES sizes, and sets ln_n
 * and loss of the minimum and, where it has one, the curvature d2 loss / d(ln N)2; or *why, a literal. fitted: NULL, or
 * by iso_row.at the loss that the curve has there. */
struct fit_minimum {
    const char *name, *meaning;
    /* Takes all rows, and rows may be resampled; else the lowest run of each size only, and intervals come from noise
     * added to the losses. */
    bool smooths;
    status (*find)(double *ln_n, double *loss, double *curvature, const char **why, double *fitted, const iso_row *row,
                   const double *weight, size_t n, err *e);
};

extern const fit_minimum fit_minima[]; /* parabola, akima, lowest */
extern const size_t fit_n_minima;

status iso_init(iso *q, const fit_data *d, const fit_minimum *m, err *e);
void iso_free(iso *q);
/* budgets[n_budgets]; fitted by iso_row.at, or NULL. */
status iso_budgets(fit_budget *budgets, double *fitted, const iso *q, err *e);
/* N_coef, a_opt, D_coef, b_opt through the bracketed budgets; false: fewer than ISO_LEAST_BUDGETS. */
bool iso_lines(double *v, const fit_budget *b, const double *sd, size_t n);
/* D of a row of the points: its column, else C/(6N) unless C is counted by another rule; NaN: unknown. */
double iso_tokens(const fit_data *d, size_t i);
/* ln D at ln N on a budget's line of ln D over ln N. */
double iso_ln_d_at(double *slope, const iso_row *row, const double *weight, size_t n, double ln_n);

/* fit/isoflop_bias.c: the parametric law on the same rows; then what the method makes of that law's losses, without
 * noise, at the very same N and C. Keys "parametric" and "bias" of the result. */
status iso_parametric(fit_result *law, fit_result *out, const fit_opts *o, err *e);
status iso_bias(fit_result *out, const fit_result *law, iso *q, err *e); /* overwrites the losses of q */
#endif
