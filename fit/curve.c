/* The curves of a data set and the two laws of whole curves: ln of the predicted loss with exact first and second
 * derivatives. */
#include "fit/curve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void fit_runs_free(fit_runs *r)
{
    if (!r) return;
    for (size_t k = 0; k < r->n_schedules && r->schedule; k++) fit_schedule_free(&r->schedule[k]);
    free(r->schedule);
    free(r->about);
    free(r->run);
    free(r->step);
    free(r);
}

status fit_runs_copy(fit_runs **out, const fit_runs *from, err *e)
{
    size_t n = from->n_schedules;
    fit_runs *r = *out = calloc(1, sizeof *r);
    if (!r) goto nomem;
    *r = *from;
    r->run = r->step = NULL;
    r->schedule = calloc(n + 1, sizeof *r->schedule);
    r->about = calloc(n + 1, sizeof *r->about);
    if (!r->schedule || !r->about) goto nomem;
    if (from->about) memcpy(r->about, from->about, n * sizeof *r->about);
    for (size_t k = 0; k < n; k++) {
        const fit_schedule *s = &from->schedule[k];
        fit_schedule *to = &r->schedule[k];
        *to = *s;
        to->lr = malloc((s->n_steps + 1) * sizeof *to->lr);
        to->s1 = malloc((s->n_steps + 1) * sizeof *to->s1);
        if (!to->lr || !to->s1) goto nomem;
        memcpy(to->lr, s->lr, s->n_steps * sizeof *to->lr);
        memcpy(to->s1, s->s1, s->n_steps * sizeof *to->s1);
    }
    return ST_OK;
nomem:
    return err_set(e, ST_NOMEM, "no memory for %zu schedules", n);
}

void fit_curves_free(fit_curves *c)
{
    free(c->ln_s1);
    free(c->s2);
    free(c->nodes.weight);
    free(c->nodes.t);
    free(c->nodes.s1);
    free(c->row);
    free(c->run);
    memset(c, 0, sizeof *c);
}

static status take_s1(fit_curves *c, const fit_runs *r, err *e)
{
    for (size_t i = 0; i < c->n; i++) {
        if (r->run[i] >= r->n_schedules)
            return err_set(e, ST_INPUT, "row %zu belongs to run %u of %zu", i + 1, (unsigned)r->run[i], r->n_schedules);
        const fit_schedule *s = &r->schedule[r->run[i]];
        if (r->step[i] >= s->n_steps)
            return err_set(e, ST_INPUT, "row %zu: step %u; its schedule ends with step %zu", i + 1,
                           (unsigned)r->step[i], s->n_steps - 1);
        if (!(s->s1[r->step[i]] > 0))
            return err_set(e, ST_INPUT, "row %zu: up to step %u the learning rate is 0", i + 1, (unsigned)r->step[i]);
        c->ln_s1[i] = log(s->s1[r->step[i]]);
    }
    return ST_OK;
}

static status take_s2(fit_curves *c, const fit_runs *r, double lambda, err *e)
{
    size_t longest = 0;
    for (size_t k = 0; k < r->n_schedules; k++)
        if (r->schedule[k].n_steps > longest) longest = r->schedule[k].n_steps;
    double *s2 = malloc((longest + 1) * sizeof *s2);
    if (!s2) return err_set(e, ST_NOMEM, "no memory for a schedule of %zu steps", longest);
    /* The rows of a run usually stand together: one pass over its schedule for each stretch of them. */
    for (size_t i = 0; i < c->n; i++) {
        if (!i || r->run[i] != r->run[i - 1]) fit_schedule_s2(s2, &r->schedule[r->run[i]], lambda);
        c->s2[i] = s2[r->step[i]];
    }
    free(s2);
    return ST_OK;
}

status fit_curves_init(fit_curves *out, const fit_runs *runs, size_t n, double lambda, bool drops, err *e)
{
    memset(out, 0, sizeof *out);
    out->n = n;
    out->ln_s1 = malloc((n + 1) * sizeof *out->ln_s1);
    out->s2 = malloc((n + 1) * sizeof *out->s2);
    status s = out->ln_s1 && out->s2 ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu rows", n);
    if (!s) s = cpu_level_chosen(&out->level, e);
    if (!s) s = take_s1(out, runs, e);
    if (!s) s = take_s2(out, runs, lambda, e);
    if (!s && drops) s = fit_curves_nodes(out, runs, e);
    if (s) fit_curves_free(out);
    return s;
}

/* From L and its derivatives to those of ln L: q_j = L_j/L, q_jk = L_jk/L - q_j q_k. l1[p]; l2 upper triangle, by
 * rows. */
static void put_row(double *ln_pred, double *jac, double *curv, size_t i, size_t n, size_t p, double l,
                    const double *l1, const double *l2)
{
    double q[FIT_MPL_PARAMS];
    if (!(l > 0)) l = NAN;
    ln_pred[i] = log(l);
    for (size_t j = 0; j < p && jac; j++) jac[j * n + i] = q[j] = l1[j] / l;
    if (!curv) return;
    for (size_t j = 0, at = 0; j < p; j++)
        for (size_t k = j; k < p; k++, at++) curv[at * n + i] = l2[at] / l - q[j] * q[k];
}

void fit_anneal_eval(double *ln_pred, double *jac, double *curv, const fit_curves *c, const size_t *row, size_t n,
                     const double *theta)
{
    double l0 = exp(theta[FIT_ANNEAL_L0]), amplitude = exp(theta[FIT_ANNEAL_A]), drop = exp(theta[FIT_ANNEAL_C]);
    for (size_t i = 0; i < n; i++) {
        double z = c->ln_s1[row[i]], power = amplitude * exp(-theta[FIT_ANNEAL_ALPHA] * z);
        double fall = -drop * c->s2[row[i]];
        const double l1[FIT_ANNEAL_PARAMS] = {l0, power, -power * z, fall};
        const double l2[] = {/* L0 */ l0, 0, 0, 0,
                             /* A */ power, -power * z, 0,
                             /* alpha */ power * z * z, 0,
                             /* C */ fall};
        put_row(ln_pred, jac, curv, i, n, FIT_ANNEAL_PARAMS, l0 + power + fall, l1, l2);
    }
}

void fit_mpl_eval(double *ln_pred, double *jac, double *curv, const fit_curves *c, const size_t *row, size_t n,
                  const double *theta)
{
    double l0 = exp(theta[FIT_MPL_L0]), amplitude = exp(theta[FIT_MPL_A]), drop = -exp(theta[FIT_MPL_B]);
    double beta = exp(theta[FIT_MPL_BETA]);
    for (size_t i = 0; i < n; i++) {
        double h[FIT_N_H], z = c->ln_s1[row[i]], power = amplitude * exp(-theta[FIT_MPL_ALPHA] * z);
        fit_curves_h(h, c, row[i], theta[FIT_MPL_C], beta, theta[FIT_MPL_GAMMA], jac != NULL);
        for (size_t j = 0; j < FIT_N_H; j++) h[j] *= drop;
        double b = beta * h[FIT_HB], bb = b + beta * beta * h[FIT_HBB]; /* by ln beta */
        double vb = beta * h[FIT_HVB], vbt = beta * h[FIT_HVBT];
        const double l1[FIT_MPL_PARAMS] = {l0, power, -power * z, h[FIT_H], h[FIT_HV], b, h[FIT_HVT]};
        const double l2[] = {/* L0 */ l0, 0, 0, 0, 0, 0, 0,
                             /* A */ power, -power * z, 0, 0, 0, 0,
                             /* alpha */ power * z * z, 0, 0, 0, 0,
                             /* B */ h[FIT_H], h[FIT_HV], b, h[FIT_HVT],
                             /* C */ h[FIT_HVV], vb, h[FIT_HVVT],
                             /* beta */ bb, vbt,
                             /* gamma */ h[FIT_HVVTT]};
        put_row(ln_pred, jac, curv, i, n, FIT_MPL_PARAMS, l0 + power + h[FIT_H], l1, l2);
    }
}
