/* The bootstrap draws of a fit as a scatter matrix: below the diagonal each pair of parameters, on it each parameter's
 * histogram, above it their correlations. What an interval alone hides: which parameters trade against each other,
 * tails, and clouds in two pieces. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/kinds.h"
#include "plots/sample.h"

enum { MAX_SHOWN = 8, N_BARS = 28, LEAST_DRAWS = 10 };
#define GAP 6.0
#define TOP 12.0
#define CELL_MOST 170.0
#define TAIL 0.005     /* the axes hold the draws between this and one minus this, the rest is counted */
#define LOG_FROM 3.0   /* a positive parameter whose draws span this factor has a log axis */
#define LOG_FLOOR 1e-3 /* unless it reaches down to nothing: then 0 is what matters, and a log axis would hide it */

typedef struct parameter {
    const char *name;
    double *draws;    /* [n_draws] */
    double at, ci[2]; /* NaN: not known */
    bool at_raw;
    axis ax;
    char label[48];
} parameter;

typedef struct cloud {
    size_t n, n_draws, n_outside;
    parameter p[MAX_SHOWN];
    text still;
    size_t n_left_out;
} cloud;

static void cloud_free(cloud *c)
{
    for (size_t k = 0; k < c->n; k++) free(c->p[k].draws);
    text_free(&c->still);
}

/* --- reading ------------------------------------------------------------------------------------------------- */

static status choose_axis(parameter *p, size_t n, err *e)
{
    double *sorted = malloc((n + 1) * sizeof *sorted);
    size_t m = 0;
    if (!sorted) return err_set(e, ST_NOMEM, "no memory for %zu draws", n);
    for (size_t i = 0; i < n; i++)
        if (isfinite(p->draws[i])) sorted[m++] = p->draws[i];
    sample_sort(sorted, m);
    range r = {sample_quantile(sorted, m, TAIL), sample_quantile(sorted, m, 1 - TAIL)};
    double middle = sample_quantile(sorted, m, 0.5);
    bool log = m && sorted[0] > 0 && r.hi > LOG_FROM * r.lo &&
               (r.lo > LOG_FLOOR * middle || r.hi * LOG_FLOOR > middle) && (isnan(p->at) || p->at > 0);
    range_add(&r, p->at);
    for (int k = 0; k < 2; k++)
        if (!log || p->ci[k] > 0) range_add(&r, p->ci[k]);
    p->ax = axis_over(log ? AXIS_LOG10 : AXIS_LINEAR, axis_far(r) ? WORDS_POWER : WORDS_PLAIN, r, 0.08, NULL);
    p->ax.inner = true;
    free(sorted);
    return ST_OK;
}

static bool has_spread(const double *x, size_t n)
{
    range r = range_empty();
    for (size_t i = 0; i < n; i++) range_add(&r, x[i]);
    return r.hi > r.lo;
}

static status add_parameter(cloud *c, const json_t *fit, const char *name, err *e)
{
    bool failed = false;
    parameter *p = &c->p[c->n];
    memset(p, 0, sizeof *p);
    p->draws = js_column(js_member(fit, "bootstrap.samples", name), "", c->n_draws, &failed);
    if (failed) return err_set(e, ST_NOMEM, "no memory for %zu draws", c->n_draws);
    if (!p->draws || !has_spread(p->draws, c->n_draws)) { /* fixed, or tied to a number */
        if (p->draws) text_add(&c->still, "%s%.40s", c->still.n ? ", " : "", name);
        free(p->draws);
        return ST_OK;
    }
    c->n++;
    p->name = name;
    p->at = js_member_num(fit, "params", name);
    p->at_raw = !isfinite(p->at);
    if (p->at_raw) p->at = js_member_num(fit, "raw", name);
    js_member_pair(p->ci, fit, "ci95", name);
    return choose_axis(p, c->n_draws, e);
}

static status read_cloud(cloud *c, const json_t *fit, err *e)
{
    const char *name;
    json_t *value;
    const json_t *samples = js_get(fit, "bootstrap.samples");
    status s = ST_OK;
    json_object_foreach((json_t *)samples, name, value) /* the longest: columns of other lengths are left out */
        if (json_array_size(value) > c->n_draws) c->n_draws = json_array_size(value);
    if (c->n_draws < LEAST_DRAWS)
        return err_set(e, ST_INPUT, "the fit holds %s bootstrap draws; fit with --bootstrap 1000",
                       c->n_draws ? "too few" : "no");
    json_object_foreach((json_t *)samples, name, value) {
        if (c->n == MAX_SHOWN) c->n_left_out++;
        else if (!s) s = add_parameter(c, fit, name, e);
    }
    if (!s && !c->n) s = err_set(e, ST_INPUT, "no parameter differs between the bootstrap draws");
    return s;
}

/* --- blocks -------------------------------------------------------------------------------------------------- */

static void draws_block(figure *f, cloud *c)
{
    text head = {0};
    size_t every = caption_thinned(f, c->n_draws);
    for (size_t k = 0; k < c->n; k++) text_add(&head, "%s%s", k ? "\t" : "", c->p[k].name);
    figure_block(f, "draws", text_str(&head));
    for (size_t i = 0; i < c->n_draws; i++) {
        double row[MAX_SHOWN];
        bool outside = false;
        for (size_t k = 0; k < c->n; k++) {
            row[k] = c->p[k].draws[i];
            outside |= !(row[k] >= c->p[k].ax.lo && row[k] <= c->p[k].ax.hi);
        }
        c->n_outside += outside;
        if (i % every == 0) figure_row(f, row, c->n);
    }
    figure_block(f, "optimum", text_str(&head));
    double at[MAX_SHOWN];
    for (size_t k = 0; k < c->n; k++) at[k] = c->p[k].at;
    figure_row(f, at, c->n);
    text_free(&head);
}

static void histogram_block(figure *f, const cloud *c, size_t k)
{
    const parameter *p = &c->p[k];
    double bars[N_BARS] = {0}, most = 1;
    char name[32];
    for (size_t i = 0; i < c->n_draws; i++) {
        double u = axis_at(&p->ax, p->draws[i]) * N_BARS;
        if (!(u >= 0 && u < N_BARS)) continue;
        double *bar = &bars[(int)u];
        most = fmax(most, ++*bar);
    }
    snprintf(name, sizeof name, "histogram %zu", k + 1);
    figure_block(f, name, "from\tto\tdraws\theight");
    for (int b = 0; b < N_BARS; b++)
        ROW(f, axis_value(&p->ax, (double)b / N_BARS), axis_value(&p->ax, (b + 1.0) / N_BARS), bars[b], bars[b] / most);
}

/* Of what is drawn: of logarithms on a log axis, because products trade there. */
static status correlate(double *out, const cloud *c, size_t i, size_t j, err *e)
{
    double *x = malloc((2 * c->n_draws + 1) * sizeof *x), *y = x + c->n_draws;
    if (!x) return err_set(e, ST_NOMEM, "no memory for %zu draws", c->n_draws);
    for (size_t k = 0; k < c->n_draws; k++) {
        x[k] = c->p[i].ax.scale == AXIS_LINEAR ? c->p[i].draws[k] : log(c->p[i].draws[k]);
        y[k] = c->p[j].ax.scale == AXIS_LINEAR ? c->p[j].draws[k] : log(c->p[j].draws[k]);
    }
    *out = sample_correlation(x, y, c->n_draws);
    free(x);
    return ST_OK;
}

/* --- cells --------------------------------------------------------------------------------------------------- */

static void interval_lines(panel *q, const parameter *p, bool upright)
{
    for (int k = 0; k < 2; k++) {
        if (!isfinite(p->ci[k])) continue;
        if (upright)
            panel_line(q,
                       "set arrow from first %.10g,graph 0 to first %.10g,graph 1 nohead lc rgb '#%06X' lw 0.9 dt "
                       "(4,4)",
                       p->ci[k], p->ci[k], INK_GREY);
        else
            panel_line(q,
                       "set arrow from graph 0,first %.10g to graph 1,first %.10g nohead lc rgb '#%06X' lw 0.9 dt "
                       "(4,4)",
                       p->ci[k], p->ci[k], INK_GREY);
    }
}

static const char *dots(size_t n)
{
    return n > 3000  ? "ps 0.16 lc rgb '#D00072B2'"
           : n > 400 ? "ps 0.22 lc rgb '#A00072B2'"
                     : "ps 0.35 lc rgb '#700072B2'";
}

static void scatter(figure *f, const cloud *c, size_t i, size_t j, rect box)
{
    panel q = {.box = box, .x = c->p[j].ax, .y = c->p[i].ax, .key = CORNER_NONE};
    q.x.bare = i + 1 < c->n;
    q.y.bare = j > 0;
    q.x.label = q.x.bare ? NULL : c->p[j].label;
    q.y.label = q.y.bare ? NULL : c->p[i].label;
    interval_lines(&q, &c->p[j], true);
    interval_lines(&q, &c->p[i], false);
    panel_plot(&q, NULL, "data index 'draws' using %zu:%zu with points pt 7 %s", j + 1, i + 1, dots(c->n_draws));
    if (isfinite(c->p[i].at) && isfinite(c->p[j].at))
        panel_plot(&q, NULL, "data index 'optimum' using %zu:%zu with points pt 13 ps 0.8 lc rgb '#%06X'", j + 1, i + 1,
                   INK_RED);
    panel_close(f, &q);
}

/* A tint of blue for parameters that move together, of orange for those that move against each other. */
static unsigned tint(double r)
{
    unsigned full = r > 0 ? 0x56B4E9 : INK_ORANGE, out = 0;
    for (int shift = 0; shift <= 16; shift += 8) {
        double part = (full >> shift) & 255;
        out |= (unsigned)(255 + fmin(1, fabs(r)) * (part - 255) + 0.5) << shift;
    }
    return out;
}

static status correlations(figure *f, panel *q, const cloud *c, size_t i, double x0, double y, double cell, err *e)
{
    status s = ST_OK;
    (void)f;
    for (size_t j = i + 1; j < c->n && !s; j++) {
        double r, x = x0 + (double)j * (cell + GAP);
        s = correlate(&r, c, i, j, e);
        if (s || !isfinite(r)) continue;
        panel_line(q,
                   "set object rectangle from screen X(%.1f),Y(%.1f) to screen X(%.1f),Y(%.1f) fc rgb '#%06X' fs solid "
                   "noborder behind",
                   x, y, x + cell, y + cell, tint(r));
        panel_line(q, "set label '%s%.2f' at screen X(%.1f),Y(%.1f) center font ',%s'", r < 0 ? "−" : "", fabs(r),
                   x + cell / 2, y + cell / 2, cell > 100 ? "13" : "11");
    }
    return s;
}

static status diagonal(figure *f, const cloud *c, size_t i, rect box, double x0, err *e)
{
    const parameter *p = &c->p[i];
    panel q = {.box = box,
               .x = p->ax,
               .y = {.scale = AXIS_LINEAR, .lo = 0, .hi = 1.2, .tics = "''0"},
               .key = CORNER_NONE};
    q.x.bare = i + 1 < c->n;
    q.x.label = q.x.bare ? NULL : p->label;
    histogram_block(f, c, i);
    interval_lines(&q, p, true);
    if (isfinite(p->at))
        panel_line(&q, "set arrow from first %.10g,graph 0 to first %.10g,graph 1 nohead front lc rgb '#%06X' lw 1.5",
                   p->at, p->at, INK_RED);
    text_put(&q.before, "set label ");
    plot_quote(&q.before, p->label);
    text_put(&q.before, " at graph 0.05,0.91 left front boxed font ',12'\n");
    panel_plot(&q, NULL,
               "data index 'histogram %zu' using (0.5*($1+$2)):(0.5*$4):1:2:(0):4 with boxxyerror fc rgb '#A9CDE6' fs "
               "solid noborder",
               i + 1);
    status s = correlations(f, &q, c, i, x0, box.y, box.h, e);
    panel_close(f, &q);
    return s;
}

static void captions(figure *f, const cloud *c, const json_t *fit)
{
    bool raw = false, log = false;
    for (size_t k = 0; k < c->n; k++) raw |= c->p[k].at_raw, log |= c->p[k].ax.scale != AXIS_LINEAR;
    figure_caption(f, "%zu bootstrap draws%s%s.", c->n_draws, js_str(fit, "bootstrap.cluster") ? " by " : " by row",
                   js_str_or(fit, "bootstrap.cluster", ""));
    figure_caption(f, "Red: the fit%s; dashed: 95 %% intervals. Above the diagonal: correlations%s.",
                   raw ? " (not all of it identified)" : "", log ? " (of logarithms where the axis is one)" : "");
    if (c->n_outside)
        figure_caption(f, "%zu draw%s outside the axes.", c->n_outside, c->n_outside == 1 ? " lies" : "s lie");
    if (c->still.n) figure_caption(f, "The same in all draws: %s.", text_str(&c->still));
    if (c->n_left_out) figure_caption(f, "%zu more parameters are not shown.", c->n_left_out);
    caption_fit(f, fit);
}

static status draw(figure *f, cloud *c, const json_t *fit, err *e)
{
    status s = ST_OK;
    f->width = c->n > 3 ? FIGURE_PAGE : FIGURE_COLUMN;
    double n = (double)c->n, cell = fmin(CELL_MOST, (f->width - FIGURE_LEFT - 14 - GAP * (n - 1)) / n);
    f->height = FIGURE_BOTTOM + n * cell + (n - 1) * GAP + TOP;
    for (size_t k = 0; k < c->n; k++) snprintf(c->p[k].label, sizeof c->p[k].label, "%.40s", c->p[k].name);
    draws_block(f, c);
    text_put(&f->script, "set tics font ',9.5'\nset style textbox opaque noborder fillcolor rgb 'white' margins "
                         "0.3,0.2\n");
    for (size_t i = 0; i < c->n && !s; i++) {
        double y = FIGURE_BOTTOM + (n - 1 - (double)i) * (cell + GAP);
        for (size_t j = 0; j < i; j++)
            scatter(f, c, i, j, (rect){FIGURE_LEFT + (double)j * (cell + GAP), y, cell, cell});
        s = diagonal(f, c, i, (rect){FIGURE_LEFT + (double)i * (cell + GAP), y, cell, cell}, FIGURE_LEFT, e);
    }
    captions(f, c, fit);
    return s;
}

status draw_cloud(figure *f, plot_inputs *in, err *e)
{
    cloud c = {0};
    const plot_input *fit = plot_inputs_find(in, PLOT_FIT);
    if (!fit) return err_set(e, ST_INPUT, "needs a fit.json");
    status s = read_cloud(&c, fit->doc, e);
    if (!s) s = draw(f, &c, fit->doc, e);
    cloud_free(&c);
    return s;
}
