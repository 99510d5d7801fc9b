/* What fit_run's parts pass each other. */
#ifndef FIT_RUN_H
#define FIT_RUN_H
#include "fit/search.h"

/* What was found out beside the optimum, for the verdict. */
typedef struct fit_evidence {
    size_t n_free;
    bool found;                         /* some start ended in a stationary point with all terms alive */
    double gain[FIT_MAX_TERMS];         /* ln-likelihood gained by having the term; NaN = not tested (pinned) */
    size_t distinct[FIT_MAX_COLS];      /* values of each column of the law */
    double collinear;       /* share of the variance of ln col 1 that ln col 0 does not explain; NaN: one column */
    double holdout_decades; /* furthest held-out row beyond the data, in decades of the law's columns or C; NaN none */
} fit_evidence;

/* Resamples rows (or clusters), refits from the optimum, the other basins and some of the screened starts. */
status fit_bootstrap(fit_result *out, fit_problem *p, const fit_data *data, const fit_opts *o, const fit_search *search,
                     const fit_start_list *starts, err *e);
/* se and percentile interval from samples; intervals of a_opt, b_opt, G. */
void fit_intervals(fit_result *r, const fit_law *law);
void fit_percentiles(fit_estimate *out, double *values, size_t n); /* sorts values */

void fit_judge(fit_result *r, const fit_law *law, const fit_evidence *ev);
void fit_judge_conventions(fit_result *r, bool uses_n, bool uses_c);

/* Common ends. */
void fit_result_rules(fit_result *r, const fit_data *data);
status fit_result_points(fit_result *r, const fit_data *data, err *e);
const double *fit_data_column(const fit_data *d, const char *name); /* NULL when absent */
#endif
