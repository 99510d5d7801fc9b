/* Profiles: each parameter held at values of its own while all others are fitted again. Where twice the loss of
 * log-likelihood crosses 3.84 (95 % of chi-square with one degree of freedom; Venzon & Moolgavkar 1988, Appl. Statist.
 * 37:87) the interval ends; where it never does, the data set no bound. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/kinds.h"

enum { MAX_SHOWN = 9, PER_ROW = 3 };
#define CUT 3.841458820694124
#define PANEL_H 160.0
#define ROW_H 226.0
#define LOG_FROM 3.0
#define NARROW 1e-6  /* exact data: an interval of this share of its value is a point on any axis */
#define ROOF 9.0     /* 2 x loss of log-likelihood: three sd, where it is quadratic */
#define BELOW (-0.9) /* the bootstrap's interval is a bar under the curve */

typedef struct curve {
    const char *name;
    size_t n;
    double *x, *y, ci[2], boot[2], at;
    axis ax;
    bool narrow;
} curve;
typedef struct profiles {
    size_t n, n_left_out;
    curve c[MAX_SHOWN];
    bool likelihood;
    double hi;
} profiles;

static void profiles_free(profiles *p)
{
    for (size_t k = 0; k < p->n; k++) {
        free(p->c[k].x);
        free(p->c[k].y);
    }
}

/* --- reading ------------------------------------------------------------------------------------------------- */

static status add_curve(profiles *p, const json_t *doc, const json_t *fit, err *e)
{
    bool failed = false;
    curve *c = &p->c[p->n];
    const char *key = p->likelihood ? "log_likelihood" : "objective";
    *c = (curve){.name = js_str(doc, "param"), .n = js_len(doc, "value")};
    if (!c->name) return ST_OK;
    c->x = js_column(doc, "value", c->n, &failed);
    c->y = js_column(doc, key, c->n, &failed);
    if (failed || !c->x || !c->y) {
        free(c->x);
        free(c->y);
        return failed ? err_set(e, ST_NOMEM, "no memory for a profile of %zu values", c->n) : ST_OK;
    }
    for (int k = 0; k < 2; k++) c->ci[k] = js_at(doc, "ci95", (size_t)k);
    js_member_pair(c->boot, fit, "ci95", c->name);
    c->at = js_member_num(fit, "params", c->name);
    if (!isfinite(c->at)) c->at = js_member_num(fit, "raw", c->name);
    p->n++;
    return ST_OK;
}

/* The log-likelihood of the fit: its own, or what the profiles have at its parameters; failing both, their best. The
 * fit minimises its objective, so a profile may lie a little above it. */
static double likelihood_of_fit(const profiles *p, const json_t *fit)
{
    double best = -INFINITY, own = js_num(fit, "likelihood.log_likelihood");
    if (isfinite(own)) return own;
    for (size_t k = 0; k < p->n; k++)
        for (size_t i = 0; i < p->c[k].n; i++) {
            if (isfinite(p->c[k].y[i])) best = fmax(best, p->c[k].y[i]);
            if (fabs(p->c[k].x[i] - p->c[k].at) <= 1e-9 * fabs(p->c[k].at)) own = p->c[k].y[i];
        }
    return isfinite(own) ? own : best;
}

static double least_objective(const profiles *p)
{
    double best = INFINITY;
    for (size_t k = 0; k < p->n; k++)
        for (size_t i = 0; i < p->c[k].n; i++)
            if (isfinite(p->c[k].y[i])) best = fmin(best, p->c[k].y[i]);
    return best;
}

static void heights(profiles *p, const json_t *fit)
{
    double best = p->likelihood ? likelihood_of_fit(p, fit) : least_objective(p);
    p->hi = 0;
    for (size_t k = 0; k < p->n; k++)
        for (size_t i = 0; i < p->c[k].n; i++) {
            double *y = &p->c[k].y[i];
            *y = p->likelihood ? 2 * (best - *y) : 100 * (*y / best - 1);
            if (isfinite(*y)) p->hi = fmax(p->hi, *y);
        }
    if (p->likelihood) p->hi = fmin(fmax(p->hi, 1.3 * CUT), ROOF);
}

static void choose_axis(const profiles *p, curve *c)
{
    range r = range_empty();
    size_t inside = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->y[i] <= p->hi) range_add(&r, c->x[i]), inside++;
    for (size_t i = 0; i < c->n && inside < 3; i++) range_add(&r, c->x[i]); /* all of it is too steep */
    for (int k = 0; k < 2; k++) range_add(&r, c->boot[k]), range_add(&r, c->ci[k]);
    range_add(&r, c->at);
    bool log = r.lo > 0 && r.hi > LOG_FROM * r.lo;
    c->ax = axis_over(log ? AXIS_LOG10 : AXIS_LINEAR, axis_far(r) ? WORDS_POWER : WORDS_PLAIN, r, 0.05, c->name);
    c->narrow = r.hi - r.lo < NARROW * fabs(r.hi);
}

static status read_profiles(profiles *p, const json_t *fit, err *e)
{
    const json_t *all = js_get(fit, "profiles");
    status s = ST_OK;
    size_t n = json_array_size(all);
    if (!n) return err_set(e, ST_INPUT, "the fit holds no profiles");
    p->likelihood = true;
    for (size_t k = 0; k < n; k++) p->likelihood &= js_len(json_array_get(all, k), "log_likelihood") > 0;
    for (size_t k = 0; k < n && !s; k++) {
        if (p->n == MAX_SHOWN) p->n_left_out++;
        else s = add_curve(p, json_array_get(all, k), fit, e);
    }
    if (!s && !p->n) s = err_set(e, ST_INPUT, "the fit's profiles hold no values");
    if (s) return s;
    heights(p, fit);
    for (size_t k = 0; k < p->n; k++) choose_axis(p, &p->c[k]);
    return ST_OK;
}

/* --- drawing ------------------------------------------------------------------------------------------------- */

/* The cut and the interval it makes; the bootstrap's below the curve, to be compared. */
static void intervals(panel *q, const profiles *p, const curve *c)
{
    if (p->likelihood) {
        panel_line(q, "set arrow from graph 0,first %.6f to graph 1,first %.6f nohead lc rgb '#%06X' lw 1 dt (4,4)",
                   CUT, CUT, INK_GREY);
        for (int end = 0; end < 2; end++)
            if (isfinite(c->ci[end]))
                panel_line(q,
                           "set arrow from first %.10g,graph 0 to first %.10g,first %.6f nohead lc rgb '#%06X' lw 1.2",
                           c->ci[end], c->ci[end], CUT, INK_BLUE);
    }
    if (isfinite(c->boot[0])) {
        double at = p->likelihood ? BELOW / 2 : BELOW / 2 * p->hi / ROOF;
        panel_line(q, "set arrow from first %.10g,first %.6g to first %.10g,first %.6g nohead lc rgb '#A9CDE6' lw 5",
                   c->boot[0], at, c->boot[1], at);
    }
    panel_line(q, "set arrow from graph 0,first 0 to graph 1,first 0 nohead lc rgb '#%06X' lw 0.8", INK_PALE);
}

static void draw_curve(figure *f, const profiles *p, size_t k, rect box, bool first)
{
    const curve *c = &p->c[k];
    char name[32];
    axis y = {.scale = AXIS_LINEAR,
              .words = WORDS_PLAIN,
              .lo = p->likelihood ? BELOW : BELOW * p->hi / ROOF,
              .hi = p->hi * 1.02,
              .bare = !first};
    y.label = !first ? NULL : p->likelihood ? "2 × lost log-likelihood" : "objective above best (%)";
    panel q = {.box = box, .x = c->ax, .y = y, .key = CORNER_NONE};
    intervals(&q, p, c);
    snprintf(name, sizeof name, "profile %zu", k + 1);
    figure_block(f, name,
                 p->likelihood ? "value\t2 x lost log-likelihood" : "value\tobjective above the best, percent");
    for (size_t i = 0; i < c->n; i++) ROW(f, c->x[i], c->y[i]);
    panel_plot(&q, NULL, "data index '%s' using 1:2 with linespoints lw 1.6 pt 7 ps 0.35 lc rgb '#%06X'", name,
               INK_BLACK);
    if (isfinite(c->at)) {
        snprintf(name, sizeof name, "optimum %zu", k + 1);
        figure_block(f, name, "value\theight");
        ROW(f, c->at, 0);
        panel_plot(&q, NULL, "data index '%s' using 1:2 with points pt 13 ps 1.1 lc rgb '#%06X'", name, INK_RED);
    }
    panel_close(f, &q);
}

static void captions(figure *f, const profiles *p, const json_t *fit)
{
    if (p->likelihood)
        figure_caption(f, "Each parameter held, the others fitted again. Dashed: 3.84, where the 95 %% interval ends "
                          "(blue). Pale bar: 95 %% of the bootstrap. Red: the fit.");
    else
        figure_caption(f, "Each parameter held, the others fitted again. Pale bar: 95 %% of the bootstrap. Red: the "
                          "fit.");
    for (size_t k = 0; k < p->n && p->likelihood; k++) {
        const curve *c = &p->c[k];
        char a[AXIS_WORD], b[AXIS_WORD];
        if (isfinite(c->ci[0]) && isfinite(c->ci[1]))
            figure_caption(f, "%.40s: %s to %s.", c->name, axis_short(a, c->ci[0], 4), axis_short(b, c->ci[1], 4));
        else if (isfinite(c->ci[0]))
            figure_caption(f, "%.40s: above %s, no upper bound.", c->name, axis_short(a, c->ci[0], 4));
        else if (isfinite(c->ci[1]))
            figure_caption(f, "%.40s: below %s, no lower bound.", c->name, axis_short(a, c->ci[1], 4));
        else figure_caption(f, "%.40s: no bound.", c->name);
    }
    text narrow = {0};
    for (size_t k = 0; k < p->n; k++)
        if (p->c[k].narrow) text_add(&narrow, "%s%.40s", narrow.n ? ", " : "", p->c[k].name);
    if (narrow.n) figure_caption(f, "Known too well for an axis to show: %s.", text_str(&narrow));
    text_free(&narrow);
    if (p->n_left_out) figure_caption(f, "%zu more profiles are not shown.", p->n_left_out);
    caption_fit(f, fit);
}

status draw_profile(figure *f, plot_inputs *in, err *e)
{
    profiles p = {0};
    const plot_input *fit = plot_inputs_find(in, PLOT_FIT);
    status s = fit ? read_profiles(&p, fit->doc, e) : err_set(e, ST_INPUT, "needs a fit.json");
    if (!s) {
        size_t across = p.n < PER_ROW ? p.n : PER_ROW, down = (p.n + PER_ROW - 1) / PER_ROW;
        f->width = across > 1 ? FIGURE_PAGE : FIGURE_COLUMN;
        f->height = ROW_H * (double)down - 6;
        double gap = 18, w = fmin(330, (f->width - FIGURE_LEFT - 16 - gap * (double)(across - 1)) / (double)across);
        for (size_t k = 0; k < p.n; k++) {
            size_t i = k % PER_ROW, j = k / PER_ROW;
            draw_curve(f, &p, k,
                       (rect){FIGURE_LEFT + (double)i * (w + gap), FIGURE_BOTTOM + ROW_H * (double)(down - 1 - j), w,
                              PANEL_H},
                       !i);
        }
        captions(f, &p, fit->doc);
    }
    profiles_free(&p);
    return s;
}
