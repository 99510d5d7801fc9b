/* Basins that the starts passed by. Huber's objective of a law with few parameters is bent at every row whose residual changes
 * sides: narrow minima lie side by side along a valley, and a grid of starts that lands beside one runs down into its
 * neighbour. So the lines between any two ends are walked, and the surroundings of each, until a round finds nothing new. */
#include "fit/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 8, ROUNDS = 8 };                       /* of a line; a round that finds nothing is the last */
static const double STEPS[] = {.03, -.03, .1, -.1, .3, -.3}; /* in ln of a scale, in parts of an exponent */
enum { N_STEPS = sizeof STEPS / sizeof *STEPS };

typedef struct probes { const fit_solver *solver; fit_start_list at; fit_end *end; } probes;

static status run_probe(void *self, fit_problem *p, size_t i, err *e)
{
    probes *x = self;
    status s = fit_solve_from(&x->end[i], p, x->solver, x->at.s[i].phi, e);
    if (!isfinite(x->end[i].f)) x->end[i].f = INFINITY;
    return s;
}

static void line(probes *x, fit_problem *p, const double *a, const double *b)
{
    for (int k = 1; k < PARTS; k++) {
        double *phi = x->at.s[x->at.n++].phi;
        for (size_t f = 0; f < p->n_free; f++) phi[f] = a[f] + (b[f] - a[f]) * k / PARTS;
    }
}

static void around(probes *x, fit_problem *p, const double *centre)
{
    for (size_t f = 0; f < p->n_free; f++)
        for (size_t k = 0; k < N_STEPS; k++) {
            double *phi = x->at.s[x->at.n++].phi;
            memcpy(phi, centre, p->n_free * sizeof *phi);
            phi[f] += STEPS[k] * (p->law->params[p->first[f]].log ? 1 : fmax(.1, fabs(centre[f])));
            fit_problem_clip(p, phi);
        }
}

/* Fresh basins: not there before the last round. Curves are dear, and their ends few: only the lines. */
static status place(probes *x, fit_problem *p, const fit_search *search, const bool *fresh, err *e)
{
    size_t room = search->n_basins * search->n_basins * PARTS + search->n_basins * p->n_free * N_STEPS;
    x->at = (fit_start_list){0, calloc(room + 1, sizeof *x->at.s)};
    x->end = calloc(room + 1, sizeof *x->end);
    if (!x->at.s || !x->end) return err_set(e, ST_NOMEM, "no memory for %zu starts", room);
    for (size_t b = 0; b < search->n_basins; b++) {
        for (size_t a = 0; a < b; a++)
            if (fresh[a] || fresh[b]) line(x, p, search->basin[a].phi, search->basin[b].phi);
        if (fresh[b] && !p->law->curves) around(x, p, search->basin[b].phi);
    }
    return ST_OK;
}

static void drop_far(fit_search *search)
{
    while (search->n_basins > 1 && search->basin[search->n_basins - 1].f > search->basin[0].f * (1 + fit_basin_within))
        search->n_basins--;
}

static bool enter(fit_search *search, bool *fresh, fit_problem *p, const fit_end *end, double *scratch)
{
    size_t at = 0;
    if (end->f > search->basin[0].f * (1 + fit_basin_within)) return false;
    for (size_t b = 0; b < search->n_basins; b++) {
        if (fit_same_basin(p, &search->basin[b], end, scratch)) return false;
        if (search->basin[b].f <= end->f) at = b + 1;
    }
    if (at == FIT_MAX_BASINS) return false;
    if (search->n_basins < FIT_MAX_BASINS) search->n_basins++;
    for (size_t b = search->n_basins - 1; b > at; b--) {
        search->basin[b] = search->basin[b - 1];
        search->basin_starts[b] = search->basin_starts[b - 1];
        fresh[b] = fresh[b - 1];
    }
    if (!at && end->f < search->basin[0].f * (1 - fit_basin_same_f)) search->n_reached = 0;
    search->basin[at] = *end;
    search->basin_starts[at] = 0;
    fresh[at] = true;
    drop_far(search);
    return true;
}

static status round_of(fit_search *search, bool *fresh, bool *any, fit_problem *p, probes *x, size_t threads, err *e)
{
    double *scratch = malloc((2 * p->n + 1) * sizeof *scratch);
    status s = scratch ? place(x, p, search, fresh, e) : err_set(e, ST_NOMEM, "no memory for %zu rows", p->n);
    if (!s) s = fit_in_parallel(p, x->at.n, threads, run_probe, x, e);
    memset(fresh, 0, FIT_MAX_BASINS * sizeof *fresh);
    *any = false;
    for (size_t i = 0; i < x->at.n && !s; i++)
        if (x->end[i].ok) *any |= enter(search, fresh, p, &x->end[i], scratch);
    search->n_probes += x->at.n;
    free(scratch);
    free(x->end);
    fit_starts_free(&x->at);
    return s;
}

status fit_search_probe(fit_search *search, fit_problem *p, const fit_solver *solver, size_t threads, err *e)
{
    bool fresh[FIT_MAX_BASINS], any = search->found && p->n_free && search->basin[0].f > 4 * p->floor;
    for (size_t b = 0; b < FIT_MAX_BASINS; b++) fresh[b] = true;
    status s = ST_OK;
    for (int k = 0; k < ROUNDS && any && !s; k++) {
        probes x = {.solver = solver};
        s = round_of(search, fresh, &any, p, &x, fit_threads(solver, threads), e);
    }
    return s;
}
