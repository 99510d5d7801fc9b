#include "fit/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double STATIONARY = 1e-9;       /* Newton decrement over F */
const double fit_basin_same_f = 1e-6, fit_basin_within = 1e-2;
static const double FLAT = 1e-9;             /* of F */
static const double SAME_COORDINATE = 1e-2;  /* two ends nearer than this in every coordinate are one basin, ... */
static const double SAME_PREDICTION = 1e-6; /* ... or whose ln L differ by no more on any row: a flat valley, not two */

static bool ended_well(fit_end *out, fit_problem *p)
{
    double decrement = fit_decrement(p, out->phi, &out->f);
    return isfinite(out->f) && fit_problem_dead(p, out->phi) < 0 &&
           (decrement <= STATIONARY * out->f || out->f <= 4 * p->floor);
}

status fit_solve_from(fit_end *out, fit_problem *p, const fit_solver *solver, const double *start, err *e)
{
    /* Far from the data every residual is in Huber's linear part, where it has no curvature; the terms of a sum of powers
     * have enough of their own, a law that is a straight line in logs has none. A wider delta has: from there inwards. */
    static const double widen[] = {1000, 30, 1};
    fit_solved r = {0};
    const double delta = p->delta;
    memset(out, 0, sizeof *out);
    memcpy(out->phi, start, p->n_free * sizeof *start);
    status s = p->n_free ? solver->run(&r, p, out->phi, e) : ST_OK;
    if (s) return s;
    out->ok = ended_well(out, p);
    /* Curves: projected starts lie near the data; what does not end is a valley without an end, wider delta or not. */
    if (out->ok || p->law->n_terms || p->law->curves || !p->objective->has_delta) return ST_OK;
    memcpy(out->phi, start, p->n_free * sizeof *start);
    for (size_t k = 0; k < sizeof widen / sizeof *widen && !s; k++) {
        p->delta = delta * widen[k];
        s = solver->run(&r, p, out->phi, e);
    }
    p->delta = delta;
    if (!s) out->ok = ended_well(out, p);
    return s;
}

/* Equally good and nothing between them: a flat valley, which is one basin however long. */
static bool no_barrier(fit_problem *p, const fit_end *a, const fit_end *b)
{
    enum { STEPS = 8 };
    double phi[FIT_MAX_PARAMS];
    if (fabs(a->f - b->f) > FLAT * fmax(a->f, p->floor)) return false;
    for (int k = 1; k < STEPS; k++) {
        for (size_t f = 0; f < p->n_free; f++) phi[f] = a->phi[f] + (b->phi[f] - a->phi[f]) * k / STEPS;
        if (fit_problem_eval(p, phi, NULL, NULL) > fmax(a->f, b->f) * (1 + fit_basin_same_f)) return false;
    }
    return true;
}

bool fit_same_basin(fit_problem *p, const fit_end *a, const fit_end *b, double *scratch)
{
    bool near = true;
    for (size_t f = 0; f < p->n_free; f++) {
        bool log_scale = p->law->params[p->first[f]].log;
        double unit = log_scale ? 1 : fmax(.1, fabs(a->phi[f]));
        if (fabs(a->phi[f] - b->phi[f]) > SAME_COORDINATE * unit) near = false;
    }
    if (near || no_barrier(p, a, b)) return true;
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

static void collect(fit_search *out, fit_problem *p, const fit_end *end, size_t n, double *scratch)
{
    double best = end[0].f;
    for (size_t i = 0; i < n && end[i].ok; i++) {
        if (end[i].f > best * (1 + fit_basin_within) && end[i].f > p->floor * 4) break;
        if (end[i].f <= best * (1 + fit_basin_same_f) || end[i].f <= p->floor * 4) out->n_reached++;
        size_t b = 0;
        while (b < out->n_basins && !fit_same_basin(p, &out->basin[b], &end[i], scratch)) b++;
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

static int by_f_alone(const void *a, const void *b)
{
    double x = ((const fit_end *)a)->f, y = ((const fit_end *)b)->f;
    return (x > y) - (x < y);
}

/* Laws with dear rows and many starts: a short run of each, then only those to the end that have come near the best. */
enum { SHORT_RUN = 30, SHORT_KEEP = 12 };
static const double SHORT_FACTOR = 2; /* of the best F so far: far outside what is named as a basin */

static status run_short(void *self, fit_problem *p, size_t i, err *e)
{
    ends *x = self;
    fit_solved r = {0};
    fit_end *end = &x->end[i];
    p->max_iterations = SHORT_RUN;
    memcpy(end->phi, x->starts->s[i].phi, p->n_free * sizeof *end->phi);
    status s = x->solver->run(&r, p, end->phi, e);
    end->f = isfinite(r.f) ? r.f : INFINITY;
    p->max_iterations = 0;
    return s;
}

static status cut_short(fit_start_list *out, fit_search *search, fit_problem *p, ends *x, size_t threads, err *e)
{
    size_t n = x->starts->n;
    out->s = malloc(n * sizeof *out->s);
    out->n = 0;
    if (!out->s) return err_set(e, ST_NOMEM, "no memory for %zu starts", n);
    status s = fit_in_parallel(p, n, threads, run_short, x, e);
    if (s) return s;
    qsort(x->end, n, sizeof *x->end, by_f_alone);
    while (out->n < n && (out->n < SHORT_KEEP || x->end[out->n].f <= SHORT_FACTOR * x->end[0].f)) {
        memcpy(out->s[out->n].phi, x->end[out->n].phi, sizeof out->s->phi);
        out->n++;
    }
    search->n_cut = n - out->n;
    return ST_OK;
}

status fit_search_run(fit_search *out, fit_problem *p, const fit_solver *solver, const fit_start_list *starts, size_t threads,
                      err *e)
{
    memset(out, 0, sizeof *out);
    fit_end *end = calloc(starts->n + 1, sizeof *end);
    double *scratch = malloc((2 * p->n + 1) * sizeof *scratch);
    fit_start_list kept = {0};
    ends x = {solver, starts, end};
    threads = fit_threads(solver, threads);
    status s = end && scratch ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu starts", starts->n);
    if (!s && !p->law->n_terms && starts->n > SHORT_KEEP) {
        s = cut_short(&kept, out, p, &x, threads, e);
        x.starts = &kept;
    }
    if (!s) s = fit_in_parallel(p, x.starts->n, threads, run_start, &x, e);
    out->n_starts = starts->n;
    size_t n = x.starts->n;
    for (size_t i = 0; i < n && !s; i++) out->n_rejected += !end[i].ok;
    if (!s && n) {
        qsort(end, n, sizeof *end, by_f);
        out->found = end[0].ok;
        collect(out, p, end, n, scratch);
    }
    fit_starts_free(&kept);
    free(scratch);
    free(end);
    return s;
}
