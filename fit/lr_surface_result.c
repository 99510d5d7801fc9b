/* The surface of learning rate and batch in the envelope of muscale.fit/1: cells, laws, verdict; tables of optima. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fit/lr_surface.h"
#include "fit/run.h"

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }
static json_t *text(const char *s) { return *s ? json_string(s) : json_null(); }
static json_t *pair(double a, double b) { return isfinite(a) && isfinite(b) ? json_pack("[f,f]", a, b) : json_null(); }

static json_t *numbers(const double *x, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n && a; i++) json_array_append_new(a, number(x[i]));
    return a;
}

/* --- JSON -----------------------------------------------------------------------------------------------------------
 */

static json_t *cell_json(const lr_cell *c)
{
    json_t *o = json_pack("{s:s,s:o,s:o,s:o,s:I,s:I,s:b,s:o}", "parametrisation", c->parametrisation, "N", number(c->N),
                          "width", number(c->width), "D", number(c->D), "n", (json_int_t)c->n, "n_diverged",
                          (json_int_t)c->n_diverged, "bracketed", c->bracketed, "why", text(c->why));
    if (!o) return NULL;
    json_object_set_new(o, "lr_opt", number(exp2(c->log2_lr)));
    json_object_set_new(o, "lr_ci95", pair(exp2(c->ci_lr[0]), exp2(c->ci_lr[1])));
    json_object_set_new(o, "sd_log2_lr", number(c->sd_lr));
    json_object_set_new(o, "batch_opt", number(exp2(c->log2_batch)));
    json_object_set_new(o, "batch_ci95", pair(exp2(c->ci_batch[0]), exp2(c->ci_batch[1])));
    json_object_set_new(o, "sd_log2_batch", number(c->sd_batch));
    json_object_set_new(o, "loss_opt", number(c->loss_opt));
    json_object_set_new(o, "curvature", c->bracketed ? numbers(c->curvature, 3) : json_null());
    json_object_set_new(o, "argmin",
                        json_pack("{s:o,s:o,s:o}", "lr", number(c->argmin_lr), "batch_tokens", number(c->argmin_batch),
                                  "loss", number(c->argmin_loss)));
    json_object_set_new(o, "lr", numbers(c->lr, c->n));
    json_object_set_new(o, "batch_tokens", numbers(c->batch, c->n));
    json_object_set_new(o, "loss", numbers(c->loss, c->n));
    return o;
}

static json_t *coefs_json(const fit_estimate *of)
{
    static const char *const names[] = {"c", "N", "D"};
    json_t *o = json_object(), *se = json_object(), *ci = json_object();
    for (int k = 0; k < 3; k++) {
        json_object_set_new(o, names[k], number(of[k].value));
        json_object_set_new(se, names[k], number(of[k].se));
        json_object_set_new(ci, names[k], pair(of[k].lo, of[k].hi));
    }
    json_object_set_new(o, "se", se);
    json_object_set_new(o, "ci95", ci);
    return o;
}

static json_t *plateau_json(const lr_law *law)
{
    json_t *all = json_array();
    for (int p = 0; p < LR_SHARES; p++) {
        const lr_plateau *w = &law->plateau[p];
        json_array_append_new(all, json_pack("{s:f,s:I,s:o,s:o,s:o}", "share", w->share, "n_rows",
                                             (json_int_t)w->n_rows, "lr_N", number(w->coef[LR_P]), "lr_D",
                                             number(w->coef[LR_Q]), "batch_D", number(w->coef[BATCH_Q])));
    }
    return all;
}

static json_t *law_json(const lr_surface *s, size_t p)
{
    const lr_law *law = &s->laws[p];
    const lr_noise *z = &s->noise[p];
    json_t *o = json_pack("{s:s,s:I,s:I,s:o,s:o,s:o,s:{s:o,s:o,s:s}}", "parametrisation", law->parametrisation,
                          "n_cells", (json_int_t)law->n_cells, "n_used", (json_int_t)law->n_used, "why", text(law->why),
                          "lr", coefs_json(law->coef + LR_C), "batch_tokens", coefs_json(law->coef + BATCH_C), "noise",
                          "sd", number(z->sd), "dof", number(z->dof), "source", z->source);
    if (o && s->how == LR_PER_CELL)
        json_object_set_new(o, "birge", json_pack("[f,f]", law->birge_lr, law->birge_batch));
    if (o && s->how == LR_POOLED)
        json_object_set_new(o, "curvature_of", json_string(law->in_nats ? "loss" : "ln loss"));
    if (o && s->how == LR_NEAR_BEST) {
        json_object_set_new(o, "n_rows", json_integer((json_int_t)law->n_rows));
        json_object_set_new(o, "plateau", plateau_json(law));
    }
    return o;
}

static json_t *surface_json(const lr_surface *s)
{
    json_t *cells = json_array(), *laws = json_array();
    for (size_t k = 0; k < s->n_cells; k++) json_array_append_new(cells, cell_json(&s->cells[k]));
    for (size_t p = 0; p < s->n_laws; p++) json_array_append_new(laws, law_json(s, p));
    return json_pack("{s:s,s:o,s:o,s:o}", "how", lr_how_name(s->how), "share",
                     s->how == LR_NEAR_BEST ? number(s->share) : json_null(), "cells", cells, "laws", laws);
}

/* --- verdict --------------------------------------------------------------------------------------------------------
 */

static void cell_name(char *out, size_t room, const lr_cell *c)
{
    char d[32] = "";
    if (!isnan(c->D)) snprintf(d, sizeof d, ", D %.4g", c->D);
    snprintf(out, room, "%s, %s %.4g%s", c->parametrisation, isnan(c->N) ? "width" : "N", isnan(c->N) ? c->width : c->N,
             d);
}

static void judge_cells(fit_result *r, const lr_surface *s)
{
    enum { NAMED = 4 };
    size_t used = 0, missing = 0;
    char name[128];
    for (size_t p = 0; p < s->n_laws; p++) used += s->laws[p].n_used;
    if (!used)
        fit_trust_add(&r->trust, FIT_REFUSE, "no_interior_minimum", 0,
                      "no cell brackets its learning rate and its batch; %s", s->cells[0].why);
    for (size_t k = 0; k < s->n_cells && used; k++) {
        const lr_cell *c = &s->cells[k];
        if (s->how == LR_NEAR_BEST ? c->inside : c->bracketed) continue;
        cell_name(name, sizeof name, c);
        if (++missing <= NAMED)
            fit_trust_add(&r->trust, FIT_WARN, "no_interior_minimum", (double)missing, "%s: no optimum (%s)", name,
                          c->why);
    }
    if (missing > NAMED)
        fit_trust_add(&r->trust, FIT_WARN, "no_interior_minimum", (double)missing,
                      "%zu of %zu cells have no optimum; the table names all", missing, s->n_cells);
}

static void judge_laws(fit_result *r, const lr_surface *s)
{
    for (size_t p = 0; p < s->n_laws; p++) {
        const lr_law *law = &s->laws[p];
        if (!law->n_used) continue;
        if (law->why[0])
            fit_trust_add(&r->trust, FIT_WARN, isnan(law->coef[LR_C].value) ? "not_separable" : "flat_direction",
                          (double)law->n_used, "%s: %s", law->parametrisation, law->why);
        else if (law->n_draws < s->n_draws - s->n_draws / 10)
            fit_trust_add(&r->trust, FIT_WARN, "flat_direction", 1 - (double)law->n_draws / (double)s->n_draws,
                          "%s: %zu of %zu resamples of cells determine no law", law->parametrisation,
                          s->n_draws - law->n_draws, s->n_draws);
    }
    if (s->confounded[0])
        fit_trust_add(&r->trust, FIT_WARN, "not_separable", NAN,
                      "size and tokens do not change alone: %s change with them", s->confounded);
    if (!s->parametrisation_stated)
        fit_trust_add(&r->trust, FIT_WARN, "convention_unstated", NAN,
                      "which parametrisation? Without a column of that name all rows are taken as one");
}

/* --- result ---------------------------------------------------------------------------------------------------------
 */

/* The law's coefficients as the fit's parameters, where there is one parametrisation. */
static status put_params(fit_result *r, const lr_surface *s, err *e)
{
    if (s->n_laws != 1) return ST_OK;
    const lr_law *law = &s->laws[0];
    r->n_params = LR_COEFS;
    r->boot_ok = law->n_draws;
    r->samples = malloc((law->n_draws + 1) * LR_COEFS * sizeof *r->samples);
    if (!r->samples) return err_set(e, ST_NOMEM, "no memory for %zu resamples", law->n_draws);
    memcpy(r->samples, law->draws, law->n_draws * LR_COEFS * sizeof *r->samples);
    for (int c = 0; c < LR_COEFS; c++) {
        snprintf(r->names[c], FIT_NAME, "%s", lr_coef_names[c]);
        r->params[c] = law->coef[c];
        r->params[c].raw = NAN;
    }
    return ST_OK;
}

/* Runs that did not diverge as points, with lr and batch_tokens as columns of their own. */
static status put_points(fit_result *r, const lr_surface *s, const table *t, err *e)
{
    size_t n = 0, at = 0;
    fit_data *p = &r->points;
    for (size_t k = 0; k < s->n_cells; k++) n += s->cells[k].n - s->cells[k].n_diverged;
    p->N = malloc((n + 1) * sizeof *p->N), p->D = malloc((n + 1) * sizeof *p->D), p->y = malloc((n + 1) * sizeof *p->y);
    p->n_more = 2;
    for (int m = 0; m < 2; m++) {
        snprintf(p->more[m].name, sizeof p->more[m].name, "%s", m ? "batch_tokens" : "lr");
        p->more[m].x = malloc((n + 1) * sizeof *p->more[m].x);
    }
    r->fitted = malloc((n + 1) * sizeof *r->fitted);
    p->inputs = malloc((t->n_sources + 1) * sizeof *p->inputs);
    if (!p->N || !p->D || !p->y || !p->more[0].x || !p->more[1].x || !r->fitted || !p->inputs)
        return err_set(e, ST_NOMEM, "no memory for %zu rows", n);
    for (size_t k = 0; k < s->n_cells; k++)
        for (size_t i = 0; i < s->cells[k].n; i++) {
            const lr_cell *c = &s->cells[k];
            if (!isfinite(c->loss[i])) continue;
            p->N[at] = c->N, p->D[at] = c->D, p->y[at] = c->loss[i], r->fitted[at] = NAN;
            p->more[0].x[at] = c->lr[i], p->more[1].x[at++] = c->batch[i];
        }
    p->n = r->n_points = n;
    snprintf(p->target, sizeof p->target, "loss");
    memcpy(p->inputs, t->sources, t->n_sources * sizeof *p->inputs);
    p->n_inputs = t->n_sources;
    return ST_OK;
}

static void put_dropped(fit_result *r, const lr_surface *s, size_t n_where)
{
    fit_data *p = &r->points;
    size_t diverged = 0;
    for (size_t k = 0; k < s->n_cells; k++) diverged += s->cells[k].n_diverged;
    const struct {
        const char *why;
        size_t n;
    } of[] = {{"where", n_where}, {"not finished", s->n_unfinished}, {"diverged", diverged}};
    for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
        if (!of[k].n) continue;
        snprintf(p->dropped[p->n_dropped].why, sizeof p->dropped[0].why, "%s", of[k].why);
        p->dropped[p->n_dropped++].n = of[k].n;
        r->n_dropped += of[k].n;
    }
}

status fit_from_lr_surface(fit_result *r, const lr_surface *s, const table *t, size_t n_where, err *e)
{
    snprintf(r->law, sizeof r->law, "lr-optimum");
    snprintf(r->method, sizeof r->method, "lr-optimum");
    snprintf(r->count_rule, sizeof r->count_rule, "%s", s->count_rule);
    snprintf(r->flops_rule, sizeof r->flops_rule, "unstated");
    r->log_likelihood = NAN;
    r->delta = r->objective_value = r->residual_sd = r->seed_sd = r->holdout_mean = r->holdout_max = NAN;
    r->a_opt = r->b_opt = r->G = (fit_estimate){NAN, NAN, NAN, NAN, NAN, false, false, false};
    r->boot_n = r->boot_ok = s->n_draws;
    r->seed = s->seed;
    /* groups and trend are those of one batch (lr_result.c); readers of them find none */
    r->extra = json_pack("{s:o,s:[],s:[],s:s}", "surface", surface_json(s), "groups", "trend", "resampled",
                         s->how == LR_PER_CELL ? "noise at the points of cells" : "cells");
    if (!r->extra) return err_set(e, ST_NOMEM, "no memory for %zu cells", s->n_cells);
    status st = put_points(r, s, t, e);
    if (!st) st = put_params(r, s, e);
    if (st) return st;
    put_dropped(r, s, n_where);
    judge_cells(r, s);
    judge_laws(r, s);
    fit_judge_conventions(r, !isnan(s->cells[0].N), false);
    return ST_OK;
}

/* --- tables of optima -----------------------------------------------------------------------------------------------
 */

typedef struct csv {
    char *text;
    size_t n, room;
} csv;

static bool put(csv *c, const char *s)
{
    size_t n = strlen(s);
    if (c->n + n + 1 > c->room) {
        size_t room = 2 * (c->room + n) + 256;
        char *more = realloc(c->text, room);
        if (!more) return false;
        c->text = more, c->room = room;
    }
    memcpy(c->text + c->n, s, n + 1);
    c->n += n;
    return true;
}

/* RFC 4180: quoted, quotes doubled. */
static bool put_word(csv *c, const char *s)
{
    bool ok = put(c, "\"");
    for (; *s && ok; s++) ok = put(c, *s == '"' ? "\"\"" : (const char[]){*s, 0});
    return ok && put(c, "\"");
}

static bool put_numbers(csv *c, const double *x, size_t n)
{
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        char buf[32];
        ok = put(c, ",") && (!isfinite(x[i]) || put(c, num_text(x[i], buf))); /* nothing: unknown */
    }
    return ok && put(c, "\n");
}

static status done(char **text, size_t *n, csv *c, bool ok, err *e)
{
    if (!ok) {
        free(c->text);
        return err_set(e, ST_NOMEM, "no memory for the table of optima");
    }
    *text = c->text;
    *n = c->n;
    return ST_OK;
}

status lr_surface_csv(char **text, size_t *n, const lr_surface *s, err *e)
{
    csv c = {0};
    bool ok = put(&c, "parametrisation,N,width,D,lr,batch_tokens,loss,lr_lo,lr_hi,batch_lo,batch_hi,runs\n");
    for (size_t k = 0; k < s->n_cells && ok; k++) {
        const lr_cell *q = &s->cells[k];
        if (!q->bracketed) continue;
        const double x[] = {q->N,
                            q->width,
                            q->D,
                            exp2(q->log2_lr),
                            exp2(q->log2_batch),
                            q->loss_opt,
                            exp2(q->ci_lr[0]),
                            exp2(q->ci_lr[1]),
                            exp2(q->ci_batch[0]),
                            exp2(q->ci_batch[1]),
                            (double)q->n};
        ok = put_word(&c, q->parametrisation) && put_numbers(&c, x, sizeof x / sizeof *x);
    }
    return done(text, n, &c, ok, e);
}

status lr_optimum_csv(char **text, size_t *n, const lr_optimum *r, err *e)
{
    csv c = {0};
    bool ok = put(&c, "parametrisation,N,width,D,lr,loss,lr_lo,lr_hi,runs\n");
    for (size_t k = 0; k < r->n_groups && ok; k++) {
        const lr_group *g = &r->groups[k];
        if (!g->bracketed) continue;
        const double x[] = {
            g->N, g->width, g->D, exp2(g->log2_lr_opt), g->loss_opt, exp2(g->ci95[0]), exp2(g->ci95[1]), (double)g->n};
        ok = put_word(&c, g->parametrisation) && put_numbers(&c, x, sizeof x / sizeof *x);
    }
    return done(text, n, &c, ok, e);
}
