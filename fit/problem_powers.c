/* A fit of a sum of powers through the fused sums of fit/powers.h. */
#include <math.h>
#include <string.h>

#include "fit/law.h"
#include "fit/problem.h"

static bool fits(const fit_law *law)
{
    size_t floors = 0;
    for (size_t k = 0; k < law->n_terms; k++) floors += law->terms[k].exponent < 0;
    return law->n_terms && law->eval == fit_eval_powers && floors <= 1;
}

static void columns_of(fit_problem *p)
{
    fit_powers *f = &p->fused;
    for (size_t k = 0; k < p->law->n_terms; k++) {
        const fit_term *t = &p->law->terms[k];
        if (t->exponent < 0) continue;
        const size_t j = f->n_terms++;
        const double *z = f->z[j] = p->z[t->column];
        f->z_lo[j] = INFINITY, f->z_hi[j] = -INFINITY;
        for (size_t i = 0; i < p->n; i++) {
            if (!(z[i] >= f->z_lo[j])) f->z_lo[j] = z[i]; /* NaN stays, and refuses */
            if (!(z[i] <= f->z_hi[j])) f->z_hi[j] = z[i];
        }
        p->fused_param[2 * j] = t->amplitude;
        p->fused_param[2 * j + 1] = t->exponent;
    }
    for (size_t k = 0; k < p->law->n_terms; k++)
        if (p->law->terms[k].exponent < 0) {
            f->has_floor = true;
            p->fused_param[2 * f->n_terms] = p->law->terms[k].amplitude;
        }
}

status fit_problem_fuse(fit_problem *p, err *e)
{
    cpu_level level;
    if (!fits(p->law)) return ST_OK;
    status s = cpu_level_chosen(&level, e);
    if (s) return s;
    p->ops = fit_powers_ops_for(level);
    p->fused = (fit_powers){.n = p->n,
                            .target = p->objective->log_residual ? p->ln_y : p->y,
                            .natural = !p->objective->log_residual,
                            .scale = p->objective->squared ? 2 : 1};
    p->fused.below = p->fused.scale * p->objective->overestimate;
    columns_of(p);
    return ST_OK;
}

double fit_problem_fused(const fit_problem *p, const double *theta, double *g, double *h)
{
    double kg[FIT_POWERS_COORDS], kh[FIT_POWERS_HESS];
    const size_t np = p->law->n_params, nc = 2 * p->fused.n_terms + p->fused.has_floor;
    fit_powers k = p->fused;
    k.weight = p->weight;
    k.gauss = p->gauss;
    k.delta = p->objective->has_delta ? p->delta : INFINITY;
    for (size_t j = 0; j < k.n_terms; j++) {
        k.a[j] = theta[p->fused_param[2 * j]];
        k.p[j] = theta[p->fused_param[2 * j + 1]];
    }
    if (k.has_floor) k.floor = theta[p->fused_param[nc - 1]];
    const double f = p->ops->sum(g ? kg : NULL, h ? kh : NULL, &k);
    if (g) memset(g, 0, np * sizeof *g);
    if (h) memset(h, 0, np * (np + 1) / 2 * sizeof *h);
    for (size_t a = 0, at = 0; a < nc && g; a++) {
        const size_t i = (size_t)p->fused_param[a];
        g[i] += kg[a];
        for (size_t b = a; b < nc && h; b++, at++) {
            const size_t j = (size_t)p->fused_param[b], lo = i < j ? i : j, hi = i < j ? j : i;
            h[lo * np - lo * (lo + 1) / 2 + hi] += kh[at];
        }
    }
    return f;
}
