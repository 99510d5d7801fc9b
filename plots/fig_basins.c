/* The distinct minima that the starts ended in: how much worse each objective is, and where its parameters lie. Two
 * minima of nearly one objective and far apart are two answers; which of them a solver returns is an accident of its
 * start. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/kinds.h"

enum { MAX_BASINS = 16, MAX_SHOWN = 8 };
#define ROW_H 32.0
#define NAMES 104.0 /* left of the first panel: "1 (100 starts)" */
#define OBJECTIVE_W 150.0
#define GAP 10.0
#define LOG_FROM 10.0

typedef struct strip {
    const char *name;
    double at[MAX_BASINS], ci[2];
    axis ax;
} strip;
typedef struct basins {
    size_t n, n_params, n_left_out;
    double excess[MAX_BASINS], starts[MAX_BASINS], best;
    strip p[MAX_SHOWN];
} basins;

static void choose_axis(strip *p, size_t n)
{
    range r = range_empty();
    for (size_t b = 0; b < n; b++) range_add(&r, p->at[b]);
    for (int k = 0; k < 2; k++) range_add(&r, p->ci[k]);
    bool log = r.lo > 0 && r.hi > LOG_FROM * r.lo;
    p->ax = axis_over(log ? AXIS_LOG10 : AXIS_LINEAR, WORDS_PLAIN, r, 0.28, NULL); /* wide enough for the numbers */
    p->ax.bare = true;
}

static status read_basins(basins *out, const json_t *fit, err *e)
{
    const json_t *all = js_get(fit, "basins");
    const char *name;
    json_t *value;
    out->n = json_array_size(all) < MAX_BASINS ? json_array_size(all) : MAX_BASINS;
    if (!out->n)
        return err_set(e, ST_INPUT, "the fit holds no minima: no start ended in one, or its method searches none");
    out->best = js_num(json_array_get(all, 0), "objective_value");
    if (!isfinite(out->best)) return err_set(e, ST_INPUT, "the fit's best minimum has no objective_value");
    for (size_t b = 0; b < out->n; b++) {
        const json_t *one = json_array_get(all, b);
        out->excess[b] = 100 * (js_num(one, "objective_value") / out->best - 1);
        out->starts[b] = js_num(one, "n_starts");
    }
    json_object_foreach((json_t *)js_get(json_array_get(all, 0), "params"), name, value) {
        if (!json_is_number(value)) continue;
        if (out->n_params == MAX_SHOWN) {
            out->n_left_out++;
            continue;
        }
        strip *p = &out->p[out->n_params++];
        p->name = name;
        for (size_t b = 0; b < out->n; b++) p->at[b] = js_member_num(json_array_get(all, b), "params", name);
        js_member_pair(p->ci, fit, "ci95", name);
        choose_axis(p, out->n);
    }
    return ST_OK;
}

static void block(figure *f, const basins *all)
{
    text head = {0};
    text_put(&head, "row\tobjective above the best, percent\tstarts");
    for (size_t k = 0; k < all->n_params; k++) text_add(&head, "\t%s", all->p[k].name);
    figure_block(f, "basins", text_str(&head));
    for (size_t b = 0; b < all->n; b++) {
        double row[MAX_SHOWN + 3] = {(double)(all->n - b), all->excess[b], all->starts[b]};
        for (size_t k = 0; k < all->n_params; k++) row[k + 3] = all->p[k].at[b];
        figure_row(f, row, all->n_params + 3);
    }
    text_free(&head);
}

static axis rows_axis(const char *tics, size_t n)
{
    return (axis){.scale = AXIS_LINEAR, .lo = 0.4, .hi = (double)n + 0.75, .tics = tics};
}

static void objective_panel(figure *f, const basins *all, rect box)
{
    text tics = {0};
    range r = {0, 0.05};
    for (size_t b = 0; b < all->n; b++) {
        range_add(&r, all->excess[b]);
        text_add(&tics, "%s'%zu", b ? ", " : "", b + 1);
        if (all->starts[b] == 0) text_add(&tics, " (a probe)");
        else if (isfinite(all->starts[b]))
            text_add(&tics, " (%.0f start%s)", all->starts[b], all->starts[b] == 1 ? "" : "s");
        text_add(&tics, "' %zu", all->n - b);
    }
    panel q = {.box = box,
               .x = axis_over(AXIS_LINEAR, WORDS_PLAIN, r, 0.12, "above the best (%)"),
               .y = rows_axis(text_str(&tics), all->n),
               .key = CORNER_NONE};
    panel_line(&q, "set ytics font ',10.5'");
    panel_line(&q, "set xtics font ',10.5'");
    panel_line(&q, "set arrow from 0,graph 0 to 0,graph 1 nohead lc rgb '#%06X' lw 1 dt (4,4)", INK_GREY);
    panel_plot(&q, NULL, "data index 'basins' using 2:1 with points pt 7 ps 0.9 lc rgb '#%06X'", INK_BLUE);
    panel_plot(&q, NULL, "data index 'basins' every ::0::0 using 2:1 with points pt 13 ps 1.1 lc rgb '#%06X'", INK_RED);
    panel_close(f, &q);
    text_free(&tics);
}

static void strip_panel(figure *f, const basins *all, size_t k, rect box)
{
    const strip *p = &all->p[k];
    panel q = {.box = box, .x = p->ax, .y = rows_axis("''0", all->n), .key = CORNER_NONE};
    text_put(&q.before, "set label ");
    plot_quote(&q.before, p->name);
    text_put(&q.before, " at graph 0.5,1.0 center offset 0,0.7 font ',12'\n");
    if (isfinite(p->ci[0]))
        panel_line(&q,
                   "set object rectangle from first %.10g,graph 0 to first %.10g,graph 1 fc rgb '#DCEBF5' fs solid "
                   "noborder behind",
                   p->ci[0], p->ci[1]);
    panel_plot(&q, NULL, "data index 'basins' using %zu:1 with points pt 7 ps 0.9 lc rgb '#%06X'", k + 4, INK_BLUE);
    panel_plot(&q, NULL, "data index 'basins' every ::0::0 using %zu:1 with points pt 13 ps 1.1 lc rgb '#%06X'", k + 4,
               INK_RED);
    for (size_t b = 0; b < all->n; b++) {
        char word[AXIS_WORD];
        if (isfinite(p->at[b]))
            panel_line(&q, "set label '%s' at first %.10g,first %zu center offset 0,0.75 font ',9.5'",
                       axis_short(word, p->at[b], box.w < 80 ? 3 : 4), p->at[b], all->n - b);
    }
    panel_close(f, &q);
}

static void captions(figure *f, const basins *all, const json_t *fit)
{
    char word[AXIS_WORD];
    double n = js_num(fit, "starts.n"), rejected = js_num(fit, "starts.rejected"), cut = js_num(fit, "starts.cut"),
           ended = 0;
    const char *objective = js_str_or(fit, "objective", "objective");
    for (size_t b = 0; b < all->n; b++) ended += isfinite(all->starts[b]) ? all->starts[b] : 0;
    if (all->n == 1)
        figure_caption(f, "One minimum: no other lies within 1 %% of its %s, %s.", objective,
                       axis_power(word, all->best, 6));
    else
        figure_caption(f, "%zu minima within 1 %% of the best %s, %s (red).", all->n, objective,
                       axis_power(word, all->best, 6));
    if (isfinite(n)) {
        double elsewhere = n - ended - (isfinite(rejected) ? rejected : 0) - (isfinite(cut) ? cut : 0);
        figure_caption(f, "Of %.0f starts %.0f ended %s", n, ended, all->n == 1 ? "there" : "in them");
        if (rejected > 0) text_add(&f->caption, ", %.0f were rejected (a term dead or not stationary)", rejected);
        if (cut > 0) text_add(&f->caption, ", %.0f were left far from the best", cut);
        if (elsewhere > 0.5) text_add(&f->caption, ", %.0f ended in worse ones", elsewhere);
        text_put(&f->caption, ".");
    }
    figure_caption(f, "Shaded: 95 %% interval of the fit.");
    if (all->n_left_out) figure_caption(f, "%zu more parameters are not shown.", all->n_left_out);
    caption_fit(f, fit);
}

status draw_basins(figure *f, plot_inputs *in, err *e)
{
    basins all = {0};
    const plot_input *fit = plot_inputs_find(in, PLOT_FIT);
    status s = fit ? read_basins(&all, fit->doc, e) : err_set(e, ST_INPUT, "needs a fit.json");
    if (s) return s;
    double h = ROW_H * (double)all.n + 12, n = (double)all.n_params;
    f->width = FIGURE_PAGE;
    f->height = FIGURE_BOTTOM + h + 24;
    block(f, &all);
    objective_panel(f, &all, (rect){NAMES, FIGURE_BOTTOM, OBJECTIVE_W, h});
    double x = NAMES + OBJECTIVE_W + 14, w = fmin(130, (f->width - x - 8 - GAP * (n - 1)) / n);
    for (size_t k = 0; k < all.n_params; k++)
        strip_panel(f, &all, k, (rect){x + (double)k * (w + GAP), FIGURE_BOTTOM, w, h});
    captions(f, &all, fit->doc);
    return ST_OK;
}
