/* From many starts to the global optimum and the list of basins. */
#ifndef FIT_SEARCH_H
#define FIT_SEARCH_H
#include "fit/solver.h"

typedef struct fit_start { double phi[FIT_MAX_PARAMS], value; } fit_start;
typedef struct fit_start_list { size_t n; fit_start *s; } fit_start_list;

/* Starts as o->starts says; screened ones best first. */
status fit_starts_make(fit_start_list *out, fit_problem *p, const fit_opts *o, err *e);
/* Linear parameters by projection for the rows' present weights, and how good that is: the order of screening. */
double fit_start_value(fit_problem *p, double *phi);
void fit_starts_free(fit_start_list *l);

/* The same values for all starts of a sum of powers from one pass over the rows (fit/screen.c). NULL where it cannot be
 * had: other laws, or too many exponents among the starts. Constant once made: threads share it. The list is borrowed. */
typedef struct fit_screen fit_screen;
status fit_screen_make(fit_screen **out, const fit_problem *p, const fit_start_list *starts, err *e);
void fit_screen_free(fit_screen *s);
enum { FIT_SCREEN_GRAM = (FIT_GRAM_MAX + 1) * (FIT_GRAM_MAX + 1) };
void fit_screen_rows(double *gram, const fit_screen *s, const fit_problem *p); /* gram[FIT_SCREEN_GRAM], at p's weights */
/* Value of start i; its linear parameters into phi. INFINITY for one that repeats an earlier one. */
double fit_screen_value(double *phi, const fit_screen *s, const double *gram, const fit_problem *p, size_t i);

typedef struct fit_end {
    double phi[FIT_MAX_PARAMS], f;
    bool ok;                     /* stationary, and every term alive */
} fit_end;

/* One start run to its end and judged. */
status fit_solve_from(fit_end *out, fit_problem *p, const fit_solver *solver, const double *start, err *e);

typedef struct fit_search {
    size_t n_starts, n_reached, n_rejected, n_cut; /* cut: left after a short run, far from the best */
    bool found;                  /* some start ended well; else basin 0 is the lowest of the rejected, for `raw` */
    size_t n_basins;             /* best first, all within 1 % of the best */
    fit_end basin[FIT_MAX_BASINS];
    size_t basin_starts[FIT_MAX_BASINS]; /* 0: found by a probe */
    size_t n_probes;
} fit_search;

status fit_search_run(fit_search *out, fit_problem *p, const fit_solver *solver, const fit_start_list *starts, size_t threads,
                      err *e);
/* Looks between and around the basins of a finished search for such as its starts passed by (fit/probe.c). */
status fit_search_probe(fit_search *search, fit_problem *p, const fit_solver *solver, size_t threads, err *e);
/* Are these two ends one basin? scratch[2 * rows]. */
bool fit_same_basin(fit_problem *p, const fit_end *a, const fit_end *b, double *scratch);
extern const double fit_basin_within, fit_basin_same_f; /* of the best F: worth naming, "reached the best" */

/* Threads to use: what was asked, or one per processor; one for solvers that keep global state. */
size_t fit_threads(const fit_solver *solver, size_t asked);

/* Runs fn for every item, on copies of p, one per thread; each item must write to its own place. The first error by
 * item is returned. */
typedef status fit_item_fn(void *self, fit_problem *p, size_t item, err *e);
status fit_in_parallel(fit_problem *p, size_t n, size_t threads, fit_item_fn *fn, void *self, err *e);
#endif
