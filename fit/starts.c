/* Starts. Default ("screen"): a grid over the parameters that are not linear, the linear ones by variable projection. For
 * sums of powers every one of them is then run to its end, so nothing rests on the screening's order. "grid": the published grid, all of it. */
#include "fit/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* From nearly flat through all published exponents to where a term lives in the smallest rows only, which outliers can make
 * the best (tests/fit/test_basins.c). Twelve values: with two exponents 144 starts, some 60 us each on 240 rows. On the Chinchilla points all end in the optimum (tests/fit/test_reference.c), where 221 of 500 raw ones do (BFGS with
 * exact gradient, 500 starts of the published grid's spacing). */
static const double exponent_grid[] = {.03, .08, .15, .25, .37, .5, .7, 1, 1.5, 2.5, 5, 10};
enum { N_EXPONENT = sizeof exponent_grid / sizeof *exponent_grid, MAX_STARTS = 1 << 20 };
/* Other laws: their own grid over the parameters that are not linear, or as many random points of its box when the grid
 * is larger; of these the best by projection are run to their ends. */
enum { SCREENED_FROM = 1024, SCREENED = 64 };

void fit_starts_free(fit_start_list *l)
{
    free(l->s);
    l->s = NULL;
    l->n = 0;
}

static status room(fit_start_list *l, size_t n, err *e)
{
    if (n > MAX_STARTS) return err_set(e, ST_USAGE, "%zu starts: more than %d are not run", n, MAX_STARTS);
    l->s = calloc(n + 1, sizeof *l->s);
    return l->s ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu starts", n);
}

static int by_value(const void *a, const void *b)
{
    double x = ((const fit_start *)a)->value, y = ((const fit_start *)b)->value;
    return (x > y) - (x < y);
}

static status values(fit_start_list *l, fit_problem *p, err *e)
{
    fit_screen *screen = NULL;
    double *gram = malloc(FIT_SCREEN_GRAM * sizeof *gram);
    status s = gram ? fit_screen_make(&screen, p, l, e) : err_set(e, ST_NOMEM, "no memory for %zu starts", l->n);
    if (!s && screen) fit_screen_rows(gram, screen, p);
    for (size_t i = 0; i < l->n && !s; i++) {
        double phi[FIT_MAX_PARAMS];
        if (screen) l->s[i].value = fit_screen_value(phi, screen, gram, p, i), memcpy(l->s[i].phi, phi, sizeof phi);
        else l->s[i].value = fit_varpro(p, l->s[i].phi);
    }
    fit_screen_free(screen);
    free(gram);
    return s;
}

static status screened_terms(fit_start_list *l, fit_problem *p, err *e)
{
    size_t total = 1;
    bool is_exponent[FIT_MAX_PARAMS] = {0};
    for (size_t k = 0; k < p->law->n_terms; k++) {
        int x = p->law->terms[k].exponent;
        if (x >= 0 && p->slot[x] >= 0 && !is_exponent[p->slot[x]]) is_exponent[p->slot[x]] = true, total *= N_EXPONENT;
    }
    status s = room(l, total, e);
    for (size_t i = 0; i < total && !s; i++) {
        size_t digits = i;
        fit_start *start = &l->s[l->n++];
        for (size_t f = 0; f < p->n_free; f++)
            if (is_exponent[f]) start->phi[f] = exponent_grid[digits % N_EXPONENT], digits /= N_EXPONENT;
        fit_problem_clip(p, start->phi);
    }
    if (!s) s = values(l, p, e);
    return s;
}

/* Coordinates of the published grid are uncentred: ln A, not the centred one. */
static void from_coordinates(const fit_problem *p, double *phi, const double *theta)
{
    double natural[FIT_MAX_PARAMS];
    for (size_t j = 0; j < p->law->n_params; j++) natural[j] = p->law->params[j].log ? exp(theta[j]) : theta[j];
    fit_problem_phi(p, phi, natural);
}

static status published_grid(fit_start_list *l, fit_problem *p, err *e)
{
    size_t total = 1;
    for (size_t f = 0; f < p->n_free; f++) total *= p->law->params[p->first[f]].n_grid;
    status s = room(l, total, e);
    for (size_t i = 0; i < total && !s; i++) {
        size_t digits = i;
        double theta[FIT_MAX_PARAMS] = {0};
        for (size_t f = 0; f < p->n_free; f++) {
            const fit_param *q = &p->law->params[p->first[f]];
            for (size_t j = 0; j < p->law->n_params; j++)
                if (p->slot[j] == (int)f) theta[j] = q->grid[digits % q->n_grid];
            digits /= q->n_grid;
        }
        for (size_t j = 0; j < p->law->n_params; j++)
            if (p->slot[j] < 0) theta[j] = p->fixed[j];
        from_coordinates(p, l->s[l->n++].phi, theta);
    }
    return s;
}

static void random_point(fit_problem *p, double *phi, uint64_t seed, size_t i)
{
    double theta[FIT_MAX_PARAMS];
    for (size_t j = 0; j < p->law->n_params; j++) {
        const fit_param *q = &p->law->params[j];
        double lo = q->grid[0], hi = q->grid[q->n_grid - 1];
        theta[j] = lo + (hi - lo) * rng_uniform(seed, RNG_FIT_START,
                                                (uint32_t)(p->slot[j] < 0 ? (int)j : p->first[p->slot[j]]), i);
        if (p->slot[j] < 0) theta[j] = p->fixed[j];
    }
    from_coordinates(p, phi, theta);
}

static status random_starts(fit_start_list *l, fit_problem *p, size_t n, uint64_t seed, err *e)
{
    status s = room(l, n, e);
    for (size_t i = 0; i < n && !s; i++) random_point(p, l->s[l->n++].phi, seed, i);
    return s;
}

static bool is_linear(const fit_problem *p, size_t f)
{
    for (size_t k = 0; k < p->n_linear; k++)
        if (p->slot[p->linear[k]] == (int)f) return true;
    return false;
}

double fit_start_value(fit_problem *p, double *phi)
{
    double v = p->n_linear || p->law->n_terms ? fit_varpro(p, phi) : NAN;
    if (p->law->n_terms) return v;
    v = fit_problem_eval(p, phi, NULL, NULL);
    return v;
}

/* The law's grid over what is not linear; SCREENED_FROM random points where that is larger. */
static status screened_other(fit_start_list *l, fit_problem *p, uint64_t seed, err *e)
{
    size_t total = 1;
    for (size_t f = 0; f < p->n_free && total <= SCREENED_FROM; f++)
        if (!is_linear(p, f)) total *= p->law->params[p->first[f]].n_grid;
    bool grid = total <= SCREENED_FROM;
    status s = room(l, grid ? total : SCREENED_FROM, e);
    for (size_t i = 0; i < (grid ? total : SCREENED_FROM) && !s; i++) {
        fit_start *start = &l->s[l->n++];
        random_point(p, start->phi, seed, i); /* linear ones: somewhere, for when projection finds nothing */
        size_t digits = i;
        for (size_t f = 0; f < p->n_free && grid; f++) {
            const fit_param *q = &p->law->params[p->first[f]];
            if (is_linear(p, f)) continue;
            start->phi[f] = q->grid[digits % q->n_grid], digits /= q->n_grid;
        }
        fit_problem_clip(p, start->phi);
        start->value = fit_start_value(p, start->phi);
    }
    return s;
}

status fit_starts_make(fit_start_list *out, fit_problem *p, const fit_opts *o, err *e)
{
    status s = ST_OK;
    out->n = 0;
    out->s = NULL;
    switch (o->starts) {
    case FIT_STARTS_GIVEN:
        s = room(out, o->n_given, e);
        for (size_t i = 0; i < o->n_given && !s; i++) fit_problem_phi(p, out->s[out->n++].phi, o->given[i]);
        return s;
    case FIT_STARTS_RANDOM: return random_starts(out, p, o->n_starts, o->seed, e);
    case FIT_STARTS_GRID: return published_grid(out, p, e);
    case FIT_STARTS_SCREEN: break;
    }
    if (p->law->n_terms) s = screened_terms(out, p, e);
    else s = screened_other(out, p, o->seed, e);
    if (s) return s;
    qsort(out->s, out->n, sizeof *out->s, by_value);
    if (!p->law->n_terms && out->n > SCREENED) out->n = SCREENED;
    return ST_OK;
}
