/* Verdict, penalties, driver. */
#include "fit/transfer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/lr_parts.h"

enum { REACH = 2 }; /* levels on each side of the nearest one: the window of an optimum */
#define SURE 0.5    /* grid steps outside the grid that a local polynomial may be trusted for */

transfer_opts transfer_opts_default(void)
{
    /* A quarter of an octave per doubling is 0.75 octaves over a factor of 8, where SP moves by 2 to 3. */
    return (transfer_opts){.beyond = 0.25, .n_draws = 1000, .seed = 1};
}

const char *transfer_word(transfer_verdict v)
{
    static const char *const words[] = {"excluded", "drifts", "undecided"};
    return words[v];
}

/* --- penalty ------------------------------------------------------------------------------------------------- */

typedef struct curve {
    lr_level *l;
    double *y, *weight;
    size_t n;
    double step;
} curve;

/* Level nearest to x; with `finite` of those that did not diverge, of which an optimum has some. */
static size_t nearest(const curve *c, double x, bool finite)
{
    size_t k = c->n;
    for (size_t i = 0; i < c->n; i++)
        if (!(finite && c->l[i].diverged) && (k == c->n || fabs(c->l[i].x - x) < fabs(c->l[k].x - x))) k = i;
    return k;
}

/* Local polynomial in the distance from x by the levels around it, cubic where there are two or more on each side (as
 * the optimum's), else a parabola through the nearest; false: it is singular. Beside a level that diverged it is
 * one-sided. */
static bool local(double q[LR_COEF], const curve *c, double x)
{
    size_t k = nearest(c, x, true), lo, hi, below = 0, above = 0;
    const double reach = LR_REACH * c->step;
    for (lo = k; lo > 0 && x - c->l[lo - 1].x < reach && !c->l[lo - 1].diverged;) lo--;
    for (hi = k; hi + 1 < c->n && c->l[hi + 1].x - x < reach && !c->l[hi + 1].diverged;) hi++;
    for (size_t i = lo; i <= hi; i++) {
        c->weight[i] = lr_within(&c->l[i], x, reach);
        below += c->l[i].x < x, above += c->l[i].x > x;
    }
    if (below >= REACH && above >= REACH && below + above > LR_COEF)
        return lr_polynomial(q, 3, c->l, c->y, c->weight, lo, hi, x);
    for (lo = k; lo > 0 && k - lo < REACH && !c->l[lo - 1].diverged;) lo--;
    for (hi = k; hi + 1 < c->n && hi - k < REACH && !c->l[hi + 1].diverged;) hi++;
    for (size_t i = lo; i <= hi; i++) c->weight[i] = lr_near(&c->l[i], x, c->step);
    return hi - lo >= 2 && lr_polynomial(q, 2, c->l, c->y, c->weight, lo, hi, x);
}

/* What x costs beyond the optimum at `opt`, by the polynomial at x; 0 at the optimum itself. +INFINITY where the
 * nearest level diverged, NaN outside the grid. `lowest`: the loss at the optimum by the polynomial that found it; NaN:
 * the lowest near it, by the one there (in a resample it lies beside it). Never below 0: what is left there is the two
 * polynomials' difference. */
static double cost_at(const curve *c, double x, double opt, double lowest)
{
    double q[LR_COEF], at[LR_COEF];
    if (!isnan(lowest) && fabs(x - opt) < 1e-9) return 0; /* also where it lies nearer to a level that diverged */
    if (x < c->l[0].x - SURE * c->step || x > c->l[c->n - 1].x + SURE * c->step) return NAN;
    if (c->l[nearest(c, x, false)].diverged) return INFINITY;
    if (!local(q, c, x)) return NAN;
    if (isnan(lowest) && local(at, c, opt)) lowest = at[0] - (at[2] > 0 ? at[1] * at[1] / (4 * at[2]) : 0);
    return fmax(q[0] - lowest, 0);
}

static void no_penalty(transfer_penalty *out, const char *why)
{
    out->nats = out->ci95[0] = out->ci95[1] = NAN;
    snprintf(out->why, sizeof out->why, "%s", why);
}

static status cost_interval(transfer_penalty *out, const curve *c, const lr_optimum *r, size_t g, const double *draws,
                            err *e)
{
    const lr_group *group = &r->groups[g];
    const lr_noise *noise = r->noise;
    const bool seeds = lr_from_seeds(noise);
    double *cost = malloc(r->n_draws * sizeof *cost);
    const double never = 1e300; /* for infinity, which percentiles cannot be drawn between */
    size_t n = 0;
    if (!cost) return err_set(e, ST_NOMEM, "transfer: no memory for %zu resamples", r->n_draws);
    for (size_t b = 0; b < r->n_draws; b++) {
        uint64_t at = (uint64_t)(r->n_groups + g) << 32; /* past the numbers that the optima were drawn with */
        double sd = lr_draw_sd(noise, r->seed, (uint32_t)b, &at);
        for (size_t i = 0; i < c->n; i++)
            c->y[i] = c->l[i].loss + sd / (seeds ? sqrt((double)c->l[i].n) : 1) *
                                         rng_normal(r->seed, RNG_BOOTSTRAP, (uint32_t)b, at++);
        double x = cost_at(c, draws[b], group->log2_lr_opt, NAN);
        if (!isnan(x)) cost[n++] = fmin(x, never);
    }
    /* a resample beyond the grid costs something unknown; many of them, and so does the whole */
    status s = ST_OK;
    if (n < r->n_draws - r->n_draws / 40)
        snprintf(out->why, sizeof out->why, "no interval: it reaches beyond the grid");
    else s = lr_interval(out->ci95, cost, n, e);
    for (int k = 0; k < 2; k++)
        if (out->ci95[k] > never / 1e9) out->ci95[k] = INFINITY;
    free(cost);
    return s;
}

status transfer_cost(transfer_penalty *out, const lr_optimum *r, size_t g, double log2_x, const double *draws, err *e)
{
    const lr_group *group = &r->groups[g];
    curve c = {.step = group->grid_step};
    *out = (transfer_penalty){NAN, {NAN, NAN}, ""};
    status s = lr_levels(&c.l, &c.n, group, e);
    c.y = calloc(2 * group->n + 2, sizeof *c.y);
    if (!s && !c.y) s = err_set(e, ST_NOMEM, "transfer: no memory for %zu levels", c.n);
    if (!s) {
        c.weight = c.y + c.n;
        for (size_t i = 0; i < c.n; i++) c.y[i] = c.l[i].loss;
        out->nats = cost_at(&c, log2_x, group->log2_lr_opt, group->loss_opt);
        if (isinf(out->nats)) snprintf(out->why, sizeof out->why, "runs diverge there");
        else if (isnan(out->nats)) no_penalty(out, "outside the grid");
        else if (draws) s = cost_interval(out, &c, r, g, draws, e);
    }
    free(c.l);
    free(c.y);
    return s;
}

/* Of the smallest size's optimum, at every size. */
static status penalties(transfer_result *r, const transfer_line *line, err *e)
{
    const lr_group *first = r->opt.groups;
    char why[LR_WHY];
    status s = ST_OK;
    r->penalty = calloc(r->opt.n_groups, sizeof *r->penalty);
    if (!r->penalty) s = err_set(e, ST_NOMEM, "transfer: no memory for %zu sizes", r->opt.n_groups);
    for (size_t g = 0; g < r->opt.n_groups && !s; g++) {
        const lr_group *here = &r->opt.groups[g];
        snprintf(why, sizeof why, "no bracketed optimum at %s %g", line->size,
                 first->bracketed ? here->width : first->width);
        if (!first->bracketed || !here->bracketed) {
            no_penalty(&r->penalty[g], why);
            continue;
        }
        s = transfer_cost(&r->penalty[g], &r->opt, g, first->log2_lr_opt, g ? first->draws : NULL, e); /* own size: 0 */
    }
    return s;
}

/* --- verdict, driver ------------------------------------------------------------------------------------------ */

static void judge(transfer_result *r, double beyond)
{
    const lr_trend *t = r->opt.trends;
    r->verdict = TRANSFER_UNDECIDED;
    r->excluded_beyond = NAN;
    if (!t->has_ci) return;
    r->excluded_beyond = fmax(-t->ci_p[0], t->ci_p[1]);
    if (r->excluded_beyond <= beyond) r->verdict = TRANSFER_EXCLUDED;
    else if (t->ci_p[0] > 0 || t->ci_p[1] < 0) r->verdict = TRANSFER_DRIFTS;
}

transfer_row transfer_size_mean(const transfer_line *line, double size)
{
    transfer_row sum = {.x = NAN, .size = size, .loss = NAN};
    double n = 0;
    for (size_t i = 0; i < line->n; i++) {
        const transfer_row *row = &line->rows[i];
        if (row->size != size || isinf(row->loss)) continue; /* a diverged run ended early: its D and C are others */
        sum.N += row->N, sum.D += row->D, sum.C += row->C;
        n++;
    }
    sum.N /= n, sum.D /= n, sum.C /= n;
    return sum;
}

/* `number` of the line: lines draw numbers of their own, so that they can be compared with each other. */
static status optima(transfer_result *r, const transfer_line *line, size_t number, const transfer_opts *o, err *e)
{
    const char *const names[] = {line->parametrisation};
    const lr_opts lo = {.n_draws = o->n_draws, .seed = o->seed + number, .x = line->x, .size = line->size};
    lr_row *rows = calloc(line->n + 1, sizeof *rows);
    if (!rows) return err_set(e, ST_NOMEM, "transfer: no memory for %zu runs", line->n);
    for (size_t i = 0; i < line->n; i++)
        rows[i] = (lr_row){.lr = line->rows[i].x, .width = line->rows[i].size, .loss = line->rows[i].loss,
                           .seed = line->rows[i].seed};
    status s = lr_optimum_run(&r->opt, rows, line->n, names, 1, &lo, e);
    for (size_t g = 0; g < r->opt.n_groups && !s; g++) {
        const transfer_row mean = transfer_size_mean(line, r->opt.groups[g].width);
        r->opt.groups[g].N = mean.N, r->opt.groups[g].D = mean.D;
    }
    free(rows);
    return s;
}

status transfer_analyse(transfer_result *out, const transfer_line *lines, size_t n, const transfer_opts *o, err *e)
{
    status s = ST_OK;
    memset(out, 0, n * sizeof *out);
    for (size_t i = 0; i < n && !s; i++) {
        s = optima(&out[i], &lines[i], i, o, e);
        if (!s) judge(&out[i], o->beyond);
        if (!s) s = penalties(&out[i], &lines[i], e);
    }
    for (size_t i = 0; i < n && !s; i++) s = transfer_rules(out, lines, n, i, e);
    return s;
}

void transfer_free(transfer_result *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lr_optimum_free(&out[i].opt);
        free(out[i].penalty);
        for (int k = 0; k < TRANSFER_FORMS; k++) free(out[i].rules[k].errors);
    }
    if (n) memset(out, 0, n * sizeof *out);
}
