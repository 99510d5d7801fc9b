#include "fit/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double STATIONARY = 1e-9;       /* Newton decrement over F */
static const double SAME_F = 1e-6;           /* "reached the best" */
static const double BASIN_WITHIN = 1e-2;     /* basins worth naming */
static const double SAME_COORDINATE = 1e-2;  /* two ends nearer than this in every coordinate are one basin, ... */
static const double SAME_PREDICTION = 1e-6; /* ... or whose ln L differ by no more on any row: a flat valley, not two */

status fit_solve_from(fit_end *out, fit_problem *p, const fit_solver *solver, const double *start, err *e)
{
    fit_solved r = {0};
    memset(out, 0, sizeof *out);
    memcpy(out->phi, start, p->n_free * sizeof *start);
    status s = p->n_free ? solver->run(&r, p, out->phi, e) : ST_OK;
    if (s) return s;
    double decrement = fit_decrement(p, out->phi, &out->f);
    out->ok = isfinite(out->f) && fit_problem_alive(p, out->phi) && (decrement <= STATIONARY * out->f || out->f <= 4 * p->floor);
    return ST_OK;
}

static bool same_place(fit_problem *p, const fit_end *a, const fit_end *b, double *scratch)
{
    bool near = true;
    for (size_t f = 0; f < p->n_free; f++) {
        bool log_scale = p->law->params[p->first[f]].log;
        double unit = log_scale ? 1 : fmax(.1, fabs(a->phi[f]));
        if (fabs(a->phi[f] - b->phi[f]) > SAME_COORDINATE * unit) near = false;
    }
    if (near) return true;
    double *other = scratch + p->n;
    fit_problem_predict(p, a->phi, scratch, NULL);
    fit_problem_predict(p, b->phi, other, NULL);
    for (size_t i = 0; i < p->n; i++)
        if (fabs(scratch[i] - other[i]) > SAME_PREDICTION) return false;
    return true;
}

static int by_f(const void *a, const void *b)
{
    const fit_end *x = a, *y = b;
    if (x->ok != y->ok) return x->ok ? -1 : 1;
    return (x->f > y->f) - (x->f < y->f);
}

static void collect(fit_search *out, fit_problem *p, const fit_end *end, double *scratch)
{
    double best = end[0].f;
    for (size_t i = 0; i < out->n_starts && end[i].ok; i++) {
        if (end[i].f > best * (1 + BASIN_WITHIN) && end[i].f > p->floor * 4) break;
        if (end[i].f <= best * (1 + SAME_F) || end[i].f <= p->floor * 4) out->n_reached++;
        size_t b = 0;
        while (b < out->n_basins && !same_place(p, &out->basin[b], &end[i], scratch)) b++;
        if (b == FIT_MAX_BASINS) continue;
        if (b == out->n_basins) out->basin[out->n_basins++] = end[i];
        out->basin_starts[b]++;
    }
    if (!out->n_basins) out->basin[out->n_basins++] = end[0]; /* nothing ended well */
}

typedef struct ends { const fit_solver *solver; const fit_start_list *starts; fit_end *end; } ends;

static status run_start(void *self, fit_problem *p, size_t i, err *e)
{
    ends *x = self;
    status s = fit_solve_from(&x->end[i], p, x->solver, x->starts->s[i].phi, e);
    if (!isfinite(x->end[i].f)) x->end[i].f = INFINITY;
    return s;
}

status fit_search_run(fit_search *out, fit_problem *p, const fit_solver *solver, const fit_start_list *starts, size_t threads,
                      err *e)
{
    memset(out, 0, sizeof *out);
    fit_end *end = calloc(starts->n + 1, sizeof *end);
    double *scratch = malloc((2 * p->n + 1) * sizeof *scratch);
    ends x = {solver, starts, end};
    status s = end && scratch ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu starts", starts->n);
    if (!s) s = fit_in_parallel(p, starts->n, fit_threads(solver, threads), run_start, &x, e);
    out->n_starts = starts->n;
    for (size_t i = 0; i < starts->n && !s; i++) out->n_rejected += !end[i].ok;
    if (!s && starts->n) {
        qsort(end, starts->n, sizeof *end, by_f);
        out->found = end[0].ok;
        collect(out, p, end, scratch);
    }
    free(scratch);
    free(end);
    return s;
}
