/* Profile likelihoods: a parameter held at a value, the others fitted anew, from the neighbouring value's fit and from every basin, so
 * that a jump from one basin to another is seen. The 95 % interval is where 2 ln L lies within 3.84 of its best (chi-square, one degree
 * of freedom); an end that the law's domain or +-12 in the coordinate cuts is unbounded. */
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/likelihood.h"
#include "fit/run.h"

enum { SIDE = 10, HALVINGS = 40, DOUBLINGS = 24 };
static const double FURTHEST = 12;  /* of a coordinate: e^12 in an amplitude */
static const double FIRST_STEP = .01, BEYOND = 1.3; /* the grid goes on for this much past the interval */

typedef struct held {               /* one parameter held */
    fit_problem p;
    const fit_opts *o;
    const fit_search *search;
    int param;
    double centre[FIT_MAX_BASINS][FIT_MAX_PARAMS]; /* phi of each basin without the parameter */
    double last[FIT_MAX_PARAMS];    /* the neighbour's fit */
    double best;                    /* ln L at the optimum */
} held;

static double coordinate(const fit_param *q, double x) { return q->log ? log(x) : x; }
static double natural(const fit_param *q, double x) { return q->log ? exp(x) : x; }

/* ln L with the parameter at this coordinate; *f the objective. */
static status at(double *f, double *log_likelihood, held *h, double x, err *e)
{
    fit_end best = {.f = INFINITY}, end;
    status s = ST_OK;
    h->p.fixed[h->param] = x;
    for (size_t b = 0; b <= h->search->n_basins && !s; b++) {
        s = fit_solve_from(&end, &h->p, h->o->solver, b ? h->centre[b - 1] : h->last, e);
        if (!s && end.f < best.f) best = end;
    }
    *f = best.f;
    *log_likelihood = -INFINITY;
    if (s || !isfinite(best.f)) return s;
    memcpy(h->last, best.phi, sizeof h->last);
    return fit_log_likelihood_at(log_likelihood, NULL, &h->p, best.phi, e);
}

/* The coordinate on one side at which ln L has fallen by `drop`; NaN: nowhere inside the domain. */
static status edge(double *out, held *h, double from, double sign, double limit, double drop, err *e)
{
    double in = from, f, l, step = FIRST_STEP;
    status s = ST_OK;
    bool outside = false;
    *out = NAN;
    memcpy(h->last, h->centre[0], sizeof h->last);
    double x = from;
    for (int k = 0; k < DOUBLINGS && !outside && !s; k++, step *= 2) {
        bool end = sign * (from + sign * step - limit) >= 0;
        x = end ? limit : from + sign * step;
        s = at(&f, &l, h, x, e);
        outside = h->best - l > drop;
        if (!outside) in = x;
        if (end) break;
    }
    if (s || !outside) return s;
    for (int k = 0; k < HALVINGS && fabs(x - in) > 1e-9 * (1 + fabs(x)) && !s; k++) {
        double mid = (in + x) / 2;
        s = at(&f, &l, h, mid, e);
        if (h->best - l > drop) x = mid;
        else in = mid;
    }
    *out = (in + x) / 2;
    return s;
}

static status open_held(held *h, const fit_data *data, const fit_opts *o, const fit_problem *all, const fit_search *search, int param, err *e)
{
    fit_opts fixed = *o;
    double v[FIT_MAX_PARAMS];
    *h = (held){.search = search, .param = param, .o = o};
    fit_problem_natural(all, v, search->basin[0].phi);
    fixed.fix[param] = v[param];
    status s = fit_problem_init(&h->p, data, &fixed, e);
    for (size_t b = 0; b < search->n_basins && !s; b++) {
        fit_problem_natural(all, v, search->basin[b].phi);
        fit_problem_phi(&h->p, h->centre[b], v);
    }
    return s;
}

static status one_profile(fit_profile *out, held *h, const fit_problem *all, err *e)
{
    const fit_param *q = &h->p.law->params[h->param];
    const double drop = gsl_cdf_chisq_Pinv(.95, 1) / 2;
    double v[FIT_MAX_PARAMS], lo, hi;
    fit_problem_natural(all, v, h->search->basin[0].phi);
    double x = coordinate(q, v[h->param]);
    int slot = all->slot[h->param];
    double low = fmax(x - FURTHEST, q->log ? coordinate(q, q->lo) : all->lo[slot]), high = fmin(x + FURTHEST, q->log ? coordinate(q, q->hi) : all->hi[slot]);
    status s = edge(&lo, h, x, -1, low, drop, e);
    if (!s) s = edge(&hi, h, x, 1, high, drop, e);
    if (s) return s;
    out->param = h->param;
    out->lo = isnan(lo) ? NAN : natural(q, lo), out->hi = isnan(hi) ? NAN : natural(q, hi);
    double left = isnan(lo) ? fmax(low, x - 3) : fmax(low, x + BEYOND * (lo - x)), right = isnan(hi) ? fmin(high, x + 3) : fmin(high, x + BEYOND * (hi - x));
    for (int side = 0; side < 2 && !s; side++) {
        memcpy(h->last, h->centre[0], sizeof h->last);
        for (int k = side; k <= SIDE && !s; k++) { /* outwards, so that each starts from its neighbour */
            int place = side ? SIDE + k : SIDE - k;
            double c = x + (side ? right - x : left - x) * k / SIDE;
            out->value[place] = natural(q, c);
            s = at(&out->objective[place], &out->log_likelihood[place], h, c, e);
        }
    }
    return s;
}

_Static_assert(2 * SIDE + 1 == FIT_PROFILE_POINTS, "grid of a profile");

status fit_profiles(fit_result *r, const fit_problem *p, const fit_data *data, const fit_opts *o, const fit_search *search, err *e)
{
    status s = ST_OK;
    r->profiles = calloc(p->n_free + 1, sizeof *r->profiles);
    if (!r->profiles) return err_set(e, ST_NOMEM, "no memory for profiles");
    for (size_t f = 0; f < p->n_free && !s; f++) {
        held h;
        s = open_held(&h, data, o, p, search, p->first[f], e);
        h.best = r->log_likelihood;
        if (!s) s = one_profile(&r->profiles[r->n_profiles], &h, p, e);
        if (!s) r->n_profiles++;
        fit_problem_free(&h.p);
    }
    return s;
}
