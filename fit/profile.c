/* Profile likelihoods: a parameter, or the prediction at a point, held at a value, the others fitted anew, from the neighbouring
 * value's fit and from every basin, so that a jump from one basin to another is seen. The 95 % interval is where 2 ln L lies within 3.84
 * of its best (chi-square, one degree of freedom), and, robust, within 3.84 c (fit/sandwich.h); an end that the law's domain or +-12
 * in the coordinate cuts is unbounded.
 *
 * A prediction is held without solving for it: a further row at that point, measured as the wanted value, of great weight. Its
 * penalty depends on nothing but the prediction there, so the fit that minimises objective + penalty minimises the objective among all
 * fits with the prediction that it ends at: it lies on the profile, a hair beside the wanted value, and is noted where it lies. */
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/likelihood.h"
#include "fit/run.h"
#include "fit/sandwich.h"

enum { SIDE = 10, HALVINGS = 40, DOUBLINGS = 24, HELD_WEIGHT = 100 };
static const double FURTHEST = 12;  /* of a coordinate: e^12 in an amplitude */
static const double FIRST_STEP = .01, BEYOND = 1.3; /* the grid goes on for this much past the interval */

typedef struct held {               /* one parameter held, or one prediction */
    fit_problem p;
    const fit_solver *solver;
    size_t n_basins;
    int param;                      /* -1: the prediction at the last row */
    double *weight;                 /* of rows, for a prediction */
    double *r;                      /* [p.n] */
    double centre[FIT_MAX_BASINS][FIT_MAX_PARAMS]; /* phi of each basin without the parameter */
    double last[FIT_MAX_PARAMS];    /* the neighbour's fit */
    double best;                    /* ln L at the optimum */
    double from, low, high;         /* coordinate at the optimum, and its domain */
    bool log;                       /* the coordinate is a logarithm */
} held;

static double natural(const held *h, double x) { return h->log ? exp(x) : x; }

/* What is at hand at x: *place the coordinate where the fit ended, *f the objective, *l ln L, both of the data alone. */
static status at(double *place, double *f, double *l, held *h, double x, err *e)
{
    fit_problem *p = &h->p;
    size_t n = p->n - (h->param < 0);
    fit_end best = {.f = INFINITY}, end;
    status s = ST_OK;
    if (h->param >= 0) p->fixed[h->param] = x;
    else p->ln_y[n] = x, p->y[n] = exp(x);
    for (size_t b = 0; b <= h->n_basins && !s; b++) {
        s = fit_solve_from(&end, p, h->solver, b ? h->centre[b - 1] : h->last, e);
        if (!s && end.f < best.f) best = end;
    }
    *place = x;
    *f = best.f;
    *l = -INFINITY;
    if (s || !isfinite(best.f)) return s;
    memcpy(h->last, best.phi, sizeof h->last);
    fit_problem_predict(p, best.phi, NULL, h->r);
    *l = fit_log_likelihood(NULL, p, h->r, n);
    if (h->param >= 0) return ST_OK;
    *place = p->objective->log_residual ? x - h->r[n] : log(p->y[n] - h->r[n]);
    h->weight[n] = 0;
    *f = fit_problem_eval(p, best.phi, NULL, NULL);
    h->weight[n] = HELD_WEIGHT * (double)n;
    return ST_OK;
}

/* The coordinate on one side at which ln L has fallen by `drop`; NaN: nowhere inside the domain. */
static status edge(double *out, held *h, double sign, double drop, err *e)
{
    double in = h->from, limit = sign < 0 ? h->low : h->high, f, l, step = FIRST_STEP, place = NAN;
    status s = ST_OK;
    bool outside = false;
    *out = NAN;
    memcpy(h->last, h->centre[0], sizeof h->last);
    double x = h->from;
    for (int k = 0; k < DOUBLINGS && !outside && !s; k++, step *= 2) {
        bool end = sign * (h->from + sign * step - limit) >= 0;
        x = end ? limit : h->from + sign * step;
        s = at(&place, &f, &l, h, x, e);
        outside = h->best - l > drop;
        if (!outside) in = x;
        if (end) break;
    }
    if (s || !outside) return s;
    for (int k = 0; k < HALVINGS && fabs(x - in) > 1e-9 * (1 + fabs(x)) && !s; k++) {
        double mid = (in + x) / 2;
        s = at(&place, &f, &l, h, mid, e);
        if (h->best - l > drop) x = mid;
        else in = mid;
    }
    *out = natural(h, place);
    return s;
}

static status take_basins(held *h, const fit_problem *all, const fit_search *search, err *e)
{
    double v[FIT_MAX_PARAMS];
    h->n_basins = search->n_basins;
    for (size_t b = 0; b < search->n_basins; b++) {
        fit_problem_natural(all, v, search->basin[b].phi);
        fit_problem_phi(&h->p, h->centre[b], v);
    }
    h->r = malloc((h->p.n + 1) * sizeof *h->r);
    return h->r ? ST_OK : err_set(e, ST_NOMEM, "no memory for a profile");
}

static void close_held(held *h)
{
    fit_problem_free(&h->p);
    free(h->weight);
    free(h->r);
}

static status open_param(held *h, const fit_data *data, const fit_opts *o, const fit_problem *all, const fit_search *search, int param, err *e)
{
    const fit_param *q = &all->law->params[param];
    fit_opts fixed = *o;
    double v[FIT_MAX_PARAMS];
    int slot = all->slot[param];
    h->param = param, h->log = q->log;
    fit_problem_natural(all, v, search->basin[0].phi);
    fixed.fix[param] = v[param];
    h->from = q->log ? log(v[param]) : v[param];
    h->low = fmax(h->from - FURTHEST, all->lo[slot]);
    h->high = fmin(h->from + FURTHEST, all->hi[slot]);
    status s = fit_problem_init(&h->p, data, &fixed, e);
    return s ? s : take_basins(h, all, search, e);
}

static status widened(double **x, size_t n, double last, err *e)
{
    double *more = *x ? realloc(*x, (n + 1) * sizeof *more) : NULL;
    if (*x && !more) return err_set(e, ST_NOMEM, "no memory for %zu rows", n + 1);
    if (more) more[n] = last, *x = more;
    return ST_OK;
}

/* The rows of a result and one more: y at x[law->n_cols]. */
static status with_row(fit_data *out, const fit_result *r, const fit_law *law, const double *x, double y, err *e)
{
    fit_result copy = {0};
    status s = fit_result_points(&copy, &r->points, e);
    size_t n = r->points.n;
    free(copy.fitted);
    *out = copy.points;
    double **columns[4 + FIT_MAX_COLS] = {&out->N, &out->D, &out->C, &out->x};
    for (size_t k = 0; k < out->n_more; k++) columns[4 + k] = &out->more[k].x;
    for (size_t k = 0; k < 4 + out->n_more && !s; k++) {
        double last = NAN;
        for (size_t c = 0; c < law->n_cols && *columns[k]; c++)
            if (fit_data_column(out, law->cols[c]) == *columns[k]) last = x[c];
        s = widened(columns[k], n, last, e);
    }
    if (!s) s = widened(&out->y, n, y, e);
    out->n = n + 1;
    return s;
}

static status open_prediction(held *h, const fit_result *r, const fit_opts *o, const fit_problem *all, const fit_search *search,
                              const double *x, double predicted, err *e)
{
    fit_data d = {0};
    size_t n = all->n;
    h->param = -1, h->log = true, h->from = log(predicted);
    h->low = h->from - FURTHEST, h->high = h->from + FURTHEST;
    status s = with_row(&d, r, all->law, x, predicted, e);
    if (!s) s = fit_problem_init(&h->p, &d, o, e);
    fit_data_free(&d);
    if (s) return s;
    h->weight = malloc((n + 1) * sizeof *h->weight);
    if (!h->weight) return err_set(e, ST_NOMEM, "no memory for a profile");
    for (size_t i = 0; i <= n; i++) h->weight[i] = i < n ? 1 : HELD_WEIGHT * (double)n;
    h->p.weight = h->weight;
    return take_basins(h, all, search, e);
}

/* How the parameter's coordinate changes with all's: ln A is no coordinate of a centred problem but a sum of two. */
static void direction(double *v, const fit_problem *all, const double *best, int param)
{
    bool log_scale = all->law->params[param].log;
    double here[FIT_MAX_PARAMS], there[FIT_MAX_PARAMS], phi[FIT_MAX_PARAMS];
    fit_problem_natural(all, here, best);
    for (size_t f = 0; f < all->n_free; f++) { /* linear: any step will do */
        memcpy(phi, best, all->n_free * sizeof *phi);
        phi[f] += .5;
        fit_problem_natural(all, there, phi);
        v[f] = 2 * (log_scale ? log(there[param] / here[param]) : there[param] - here[param]);
    }
}

static void direction_of_prediction(double *v, const fit_problem *all, const double *best, const fit_model *m, const double *x)
{
    static const double step = 1e-4;
    double natural_at[FIT_MAX_PARAMS], phi[FIT_MAX_PARAMS];
    for (size_t f = 0; f < all->n_free; f++) {
        v[f] = 0;
        for (int side = -1; side < 2; side += 2) {
            memcpy(phi, best, all->n_free * sizeof *phi);
            phi[f] += side * step;
            fit_problem_natural(all, natural_at, phi);
            v[f] += side * log(fit_model_value(m, natural_at, x)) / (2 * step);
        }
    }
}

static status sandwich_at(fit_sandwich *out, const fit_problem *p, const fit_data *data, const double *best, err *e)
{
    fit_problem copy;
    status s = fit_problem_share(&copy, p, e);
    if (s) return s;
    s = fit_sandwich_make(out, &copy, best, data->cluster, e);
    fit_problem_free(&copy);
    return s;
}

static status one_profile(fit_profile *out, held *h, double inflation, err *e)
{
    const double drop = gsl_cdf_chisq_Pinv(.95, 1) / 2;
    double place;
    status s = edge(&out->lo, h, -1, drop, e);
    if (!s) s = edge(&out->hi, h, 1, drop, e);
    out->inflation = inflation;
    out->robust_lo = out->robust_hi = NAN;
    if (inflation > 1) {
        if (!s) s = edge(&out->robust_lo, h, -1, drop * inflation, e);
        if (!s) s = edge(&out->robust_hi, h, 1, drop * inflation, e);
    } else if (inflation == 1) out->robust_lo = out->lo, out->robust_hi = out->hi;
    if (s) return s;
    out->param = h->param;
    double lo = h->log ? log(out->lo) : out->lo, hi = h->log ? log(out->hi) : out->hi, x = h->from;
    double left = isnan(lo) ? fmax(h->low, x - 3) : fmax(h->low, x + BEYOND * (lo - x));
    double right = isnan(hi) ? fmin(h->high, x + 3) : fmin(h->high, x + BEYOND * (hi - x));
    for (int side = 0; side < 2 && !s; side++) {
        memcpy(h->last, h->centre[0], sizeof h->last);
        for (int k = side; k <= SIDE && !s; k++) { /* outwards, so that each starts from its neighbour */
            int i = side ? SIDE + k : SIDE - k;
            s = at(&place, &out->objective[i], &out->log_likelihood[i], h, x + (side ? right - x : left - x) * k / SIDE, e);
            out->value[i] = natural(h, place);
        }
    }
    return s;
}

_Static_assert(2 * SIDE + 1 == FIT_PROFILE_POINTS, "grid of a profile");

status fit_profiles(fit_result *r, const fit_problem *p, const fit_data *data, const fit_opts *o, const fit_search *search, err *e)
{
    fit_sandwich sandwich;
    const double *best = search->basin[0].phi;
    double v[FIT_MAX_PARAMS];
    status s = sandwich_at(&sandwich, p, data, best, e);
    r->profiles = calloc(p->n_free + 1, sizeof *r->profiles);
    if (!s && !r->profiles) s = err_set(e, ST_NOMEM, "no memory for profiles");
    for (size_t f = 0; f < p->n_free && !s; f++) {
        held h = {.solver = o->solver, .best = r->log_likelihood};
        direction(v, p, best, p->first[f]);
        s = open_param(&h, data, o, p, search, p->first[f], e);
        if (!s) s = one_profile(&r->profiles[r->n_profiles], &h, fit_sandwich_inflation(&sandwich, v), e);
        if (!s) r->n_profiles++;
        close_held(&h);
    }
    return s;
}

status fit_profile_prediction(fit_profile *out, const fit_result *r, const fit_problem *p, const fit_data *data, const fit_opts *o,
                              const fit_search *search, const fit_model *m, const double *x, double predicted, err *e)
{
    fit_sandwich sandwich;
    double v[FIT_MAX_PARAMS];
    held h = {.solver = o->solver, .best = r->log_likelihood};
    status s = sandwich_at(&sandwich, p, data, search->basin[0].phi, e);
    direction_of_prediction(v, p, search->basin[0].phi, m, x);
    if (!s) s = open_prediction(&h, r, o, p, search, x, predicted, e);
    if (!s) s = one_profile(out, &h, fit_sandwich_inflation(&sandwich, v), e);
    close_held(&h);
    return s;
}
