/* U-curves: final loss against learning rate, one curve per width, one panel per parametrisation (and per value of what
 * else was varied), one loss axis for all. Optimum and interval come from the lr-optimum fit; given runs only, the same
 * method is run here. A report of mup transfer gives a block of panels for each size (width, depth, horizon) and
 * hyperparameter. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/lr_optimum.h"
#include "plots/kinds.h"
#include "plots/lr_facets.h"

enum { ROW_HEIGHT = 310, KEY_WIDTH = 84, GAP = 14, TITLE = 30, SUBTITLE = 16 };
enum { NAME = 128 };
/* Losses far above the best ones would flatten the valley: the axis ends at this multiple of the middle half's reach. */
#define ROOF 2.5
#define EDGE_STEP 0.034 /* of the panel's height, from one width's marks to the next */

/* Runs are drawn fainter than the means of their levels. */
#define FAINT 0x80000000u

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The loss axis: the valleys, not the cliffs. */
static status ranges(range *lr, range *loss, const lr_facets *all, err *e)
{
    size_t n = 0, cap = 0;
    for (size_t k = 0; k < all->n; k++) cap += all->g[k].n;
    double *y = malloc((cap + 1) * sizeof *y);
    if (!y) return err_set(e, ST_NOMEM, "no memory for %zu runs", cap);
    for (size_t k = 0; k < all->n; k++)
        for (size_t i = 0; i < all->g[k].n; i++) {
            double l = js_at(all->g[k].doc, "loss", i);
            range_add(lr, js_at(all->g[k].doc, "lr", i));
            if (isfinite(l)) y[n++] = l;
        }
    qsort(y, n, sizeof *y, by_number);
    if (n) {
        range_add(loss, y[0]);
        range_add(loss, fmin(y[n - 1], y[0] + ROOF * (y[n - 1 - n / 4] - y[0]) + 1e-9));
    }
    free(y);
    return n ? ST_OK : err_set(e, ST_INPUT, "every run of the learning-rate sweep diverged");
}

static void group_name(char out[NAME], const lr_facets *all, const lr_curve *g)
{
    snprintf(out, NAME, "%s%s %g", all->prefix, all->facet[g->facet].name, g->width);
}

/* Runs at one learning rate, from i on: how many, and their mean; NaN when one diverged. */
static size_t level(double *mean, const lr_curve *g, size_t i)
{
    size_t n = 0;
    const double lr = js_at(g->doc, "lr", i);
    *mean = 0;
    for (; i + n < g->n && js_at(g->doc, "lr", i + n) == lr; n++) *mean += js_at(g->doc, "loss", i + n);
    *mean /= (double)n;
    return n;
}

static bool has_seeds(const lr_facets *all)
{
    double mean;
    for (size_t k = 0; k < all->n; k++)
        for (size_t i = 0, n; i < all->g[k].n; i += n)
            if ((n = level(&mean, &all->g[k], i)) > 1) return true;
    return false;
}

/* y places at the top edge: stacked by width, so that runs diverged at one lr stay apart. */
static double edge(const lr_facets *all, double width)
{
    return 1 - EDGE_STEP * (0.5 + (double)lr_facets_rank(all, width));
}

static void seeds_blocks(figure *f, const lr_facets *all)
{
    char name[NAME];
    for (size_t p = 0; p < all->n_facets; p++) {
        snprintf(name, sizeof name, "%sruns %s", all->prefix, all->facet[p].name);
        figure_block(f, name, "learning rate\tfinal loss\tcolour");
        for (size_t k = 0; k < all->n; k++)
            for (size_t i = 0; i < all->g[k].n && all->g[k].facet == p; i++)
                ROW(f, js_at(all->g[k].doc, "lr", i), js_at(all->g[k].doc, "loss", i), FAINT | all->g[k].ink);
    }
}

static void data_blocks(figure *f, const lr_facets *all, range loss, size_t *n_diverged, size_t *n_above)
{
    char name[NAME];
    for (size_t k = 0; k < all->n; k++) {
        const lr_curve *g = &all->g[k];
        group_name(name, all, g);
        figure_block(f, name, "learning rate\tfinal loss, mean over seeds");
        for (size_t i = 0, n; i < g->n; i += n) {
            double mean;
            n = level(&mean, g, i);
            ROW(f, js_at(g->doc, "lr", i), mean);
        }
    }
    if (has_seeds(all)) seeds_blocks(f, all);
    for (int above = 0; above < 2; above++)
        for (size_t p = 0; p < all->n_facets; p++) {
            snprintf(name, sizeof name, "%s%s %s", all->prefix, above ? "above" : "diverged", all->facet[p].name);
            figure_block(f, name, "learning rate\theight on the edge\tcolour");
            for (size_t k = 0; k < all->n; k++)
                for (size_t i = 0; i < all->g[k].n && all->g[k].facet == p; i++) {
                    double l = js_at(all->g[k].doc, "loss", i);
                    if (above ? !(l > loss.hi) : isfinite(l)) continue;
                    ROW(f, js_at(all->g[k].doc, "lr", i), edge(all, all->g[k].width), all->g[k].ink);
                    ++*(above ? n_above : n_diverged);
                }
        }
}

static size_t optima_block(figure *f, const lr_facets *all, size_t at)
{
    char name[NAME];
    size_t n = 0;
    snprintf(name, sizeof name, "%soptimum %s", all->prefix, all->facet[at].name);
    figure_block(f, name, "learning rate\tloss\t95% low\thigh\tcolour");
    for (size_t k = 0; k < all->n; k++) {
        const lr_curve *g = &all->g[k];
        double ci[2], x = js_num(g->doc, "log2_lr_opt");
        if (g->facet != at || !isfinite(x) || !isfinite(js_num(g->doc, "loss_opt"))) continue;
        if (!js_pair(ci, g->doc, "ci95")) ci[0] = ci[1] = x;
        ROW(f, exp2(x), js_num(g->doc, "loss_opt"), exp2(ci[0]), exp2(ci[1]), g->ink);
        n++;
    }
    return n;
}

static size_t rows_of(const lr_facets *all, size_t at, double roof, bool diverged)
{
    size_t n = 0;
    for (size_t k = 0; k < all->n; k++)
        for (size_t i = 0; i < all->g[k].n && all->g[k].facet == at; i++) {
            double l = js_at(all->g[k].doc, "loss", i);
            n += diverged ? !isfinite(l) : l > roof;
        }
    return n;
}

static void titles(panel *q, const lr_facets *all, const lr_facet *f)
{
    const double height = q->box.h;
    panel_line(q, "set label '%s' at graph 0.5,%.4f center font ',13'", words_parametrisation(f->par),
               1 + ((all->subtitles ? SUBTITLE : 0) + 12) / height);
    if (*f->more)
        panel_line(q, "set label '%s' at graph 0.5,%.4f center font ',10' tc rgb '#555555'", f->more, 1 + 10 / height);
}

static void curves(panel *q, const lr_facets *all, size_t p, double roof)
{
    char name[NAME];
    if (has_seeds(all))
        panel_plot(q, NULL,
                   "data index '%sruns %s' using 1:($2 > %.10g ? NaN : $2):3 with points pt 7 ps 0.25 lc rgb variable",
                   all->prefix, all->facet[p].name, roof);
    for (size_t k = 0; k < all->n; k++) {
        if (all->g[k].facet != p) continue;
        group_name(name, all, &all->g[k]);
        panel_plot(q, NULL,
                   "data index '%s' using 1:($2 > %.10g ? NaN : $2) with linespoints lw 1.5 pt 7 ps 0.4 lc rgb '#%06X'",
                   name, roof, all->g[k].ink);
    }
}

static void key_lines(panel *q, const lr_facets *all)
{
    char key[32];
    snprintf(q->key_title, sizeof q->key_title, "%s", all->size);
    for (size_t w = 0; w < all->n_widths; w++) {
        snprintf(key, sizeof key, "%g", all->widths[w]);
        panel_plot(q, key, "keyentry with linespoints lw 1.5 pt 7 ps 0.4 lc rgb '#%06X'",
                   lr_facets_ink(all, all->widths[w]));
    }
}

/* In the colours of their curves, on whose bottoms they lie: caps end the intervals, a white rim lifts the marks off. */
static void optima(panel *q, const lr_facets *all, size_t p)
{
    const char *prefix = all->prefix, *name = all->facet[p].name;
    panel_plot(q, NULL, "data index '%soptimum %s' using 1:2 with lines lw 1 dt (3,3) lc rgb '#777777'", prefix, name);
    panel_line(q, "set errorbars 1.7");
    panel_plot(q, NULL, "data index '%soptimum %s' using 1:2 with points pt 13 ps 1.3 lc rgb '#FFFFFF'", prefix, name);
    panel_plot(q, NULL, "data index '%soptimum %s' using 1:2:3:4:5 with xerrorbars pt 13 ps 0.1 lw 2 lc rgb variable",
               prefix, name);
    panel_plot(q, NULL, "data index '%soptimum %s' using 1:2:5 with points pt 13 ps 0.9 lc rgb variable", prefix, name);
}

static void draw_panel(figure *f, const lr_facets *all, size_t p, rect box, axis x, axis y, double roof)
{
    panel q = {.box = box, .x = x, .y = y, .top_edge = true, .key = CORNER_NONE, .key_title = ""};
    const bool keyed = p + 1 == (all->columns < all->n_facets ? all->columns : all->n_facets); /* beside the first row */
    q.y.bare = p % all->columns > 0;
    if (q.y.bare) q.y.label = NULL;
    if (keyed) q.key = CORNER_BESIDE;
    titles(&q, all, &all->facet[p]);
    const size_t n_optima = optima_block(f, all, p);
    curves(&q, all, p, roof);
    if (keyed) key_lines(&q, all);
    if (rows_of(all, p, roof, true))
        panel_plot(&q, NULL,
                   "data index '%sdiverged %s' using 1:2:3 axes x1y2 with points pt 8 ps 0.75 lw 1.2 lc rgb variable",
                   all->prefix, all->facet[p].name);
    if (rows_of(all, p, roof, false))
        panel_plot(&q, NULL,
                   "data index '%sabove %s' using 1:2:3 axes x1y2 with points pt 2 ps 0.6 lw 1.2 lc rgb variable",
                   all->prefix, all->facet[p].name);
    if (n_optima) optima(&q, all, p);
    panel_close(f, &q);
}

/* The drift per doubling of the size, the number that says whether a learning rate transfers. */
static void trend_caption(figure *f, const lr_facets *all, const json_t *trend)
{
    for (size_t k = 0; k < json_array_size(trend); k++) {
        const json_t *t = json_array_get(trend, k);
        double ci[2], p = js_num(t, "p");
        const char *rule = js_str_or(t, "parametrisation", "unstated"), *fixed = js_str_or(t, "fixed", "");
        const size_t at = lr_facets_find(all, rule, fixed);
        const char *more = at < all->n_facets ? all->facet[at].more : "";
        char par[160];
        snprintf(par, sizeof par, "%s%s%s%s", words_parametrisation(rule), *more ? " (" : "", more, *more ? ")" : "");
        if (!isfinite(p)) figure_caption(f, "%s: no drift known (%s).", par, js_str_or(t, "why", "too few optima"));
        else if (js_pair(ci, t, "ci95.p"))
            figure_caption(f, "%s: optimum drifts %+.2f [%+.2f, %+.2f] octaves per doubling of the %s.", par, p, ci[0],
                           ci[1], all->size);
        else figure_caption(f, "%s: optimum drifts %+.2f octaves per doubling of the %s.", par, p, all->size);
    }
}

/* "base learning rate" where a rule scales it with the size. */
static const char *label_of(const lr_facets *all, const char *par)
{
    if (strcmp(all->x, "lr")) return all->x;
    return strcmp(par, "sp") && strcmp(par, "unstated") ? "base learning rate" : "peak learning rate";
}

typedef struct counts {
    size_t runs, diverged, above;
} counts;

/* One block of panels whose upper edge is `top`; `columns`: as many as the widest block has. */
static status draw_block(figure *f, lr_facets *all, double top, size_t columns, counts *n, err *e)
{
    range lr = range_empty(), loss = range_empty();
    status s = ranges(&lr, &loss, all, e);
    if (s) return s;
    axis x = axis_over(AXIS_LOG2, WORDS_POWER, lr, 0.06, NULL);
    axis y = axis_over(AXIS_LINEAR, WORDS_PLAIN, loss, 0.07, "final validation loss (nats/token)");
    /* a strip of its own for what stands at the top edge, so that no mark hides in the curves */
    bool strip = false;
    for (size_t p = 0; p < all->n_facets; p++) strip |= rows_of(all, p, y.hi, true) || rows_of(all, p, y.hi, false);
    range shown = {y.lo, y.hi};
    if (strip) y.hi = axis_value(&y, 1 / (1 - EDGE_STEP * ((double)all->n_widths + 0.6)));
    all->columns = lr_facets_columns(all->n_facets);
    const double w = (f->width - FIGURE_LEFT - KEY_WIDTH - GAP * (double)(columns - 1)) / (double)columns;
    const double head = TITLE + (all->subtitles ? SUBTITLE : 0);
    data_blocks(f, all, shown, &n->diverged, &n->above);
    for (size_t p = 0; p < all->n_facets; p++) {
        x.label = label_of(all, all->facet[p].par);
        const rect box = {FIGURE_LEFT + (double)(p % all->columns) * (w + GAP),
                          top - ROW_HEIGHT * (double)(p / all->columns + 1) + FIGURE_BOTTOM, w,
                          ROW_HEIGHT - FIGURE_BOTTOM - head};
        draw_panel(f, all, p, box, x, y, shown.hi);
    }
    for (size_t k = 0; k < all->n; k++) n->runs += all->g[k].n;
    return ST_OK;
}

static void caption(figure *f, const char *sizes, bool seeds, const counts *n)
{
    figure_caption(f, "%zu runs%s. Diamonds: optimum of each %s with its 95 %% interval.", n->runs,
                   seeds ? " (faint dots), lines: mean over seeds" : "", sizes);
    if (n->diverged) figure_caption(f, "Triangles at the top edge: %zu diverged.", n->diverged);
    if (n->above) figure_caption(f, "Crosses at the top edge: %zu above the range.", n->above);
}

static void set_size(figure *f, size_t rows, size_t columns)
{
    f->height = ROW_HEIGHT * (double)rows;
    f->width = columns > 1 ? FIGURE_PAGE : FIGURE_COLUMN;
}

static status draw_groups(figure *f, const json_t *list, const json_t *trend, err *e)
{
    lr_facets all = {.size = "width", .x = "lr", .prefix = ""};
    counts n = {0};
    status s = lr_facets_collect(&all, list, e);
    set_size(f, lr_facets_rows(all.n_facets), lr_facets_columns(all.n_facets));
    if (!s) s = draw_block(f, &all, f->height, lr_facets_columns(all.n_facets), &n, e);
    if (!s) caption(f, "width", has_seeds(&all), &n);
    if (!s) trend_caption(f, &all, trend);
    lr_facets_free(&all);
    return s;
}

/* --- mup transfer ----------------------------------------------------------------------------------------------- */

/* Groups or trends of all lines of a panel of the report as one list, each with what is fixed along its line. */
static status merge(json_t *list, const json_t *row, const char *key, err *e)
{
    const json_t *lines = js_get(row, "lines");
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i), *all = js_get(line, key);
        for (size_t k = 0; k < json_array_size(all); k++) {
            json_t *copy = json_copy(json_array_get(all, k));
            if (!copy || json_object_set_new(copy, "fixed", json_string(js_str_or(line, "fixed", ""))) ||
                json_array_append_new(list, copy))
                return err_set(e, ST_NOMEM, "no memory for the groups");
        }
    }
    return ST_OK;
}

/* A panel of the report: its lists, borrowed by `all`. */
typedef struct block {
    lr_facets all;
    json_t *list, *trend;
    char prefix[48];
} block;

static status read_block(block *b, const json_t *row, err *e)
{
    b->list = json_array();
    b->trend = json_array();
    b->all = (lr_facets){.size = js_str_or(row, "axis", "size"), .x = js_str_or(row, "x", "lr"), .prefix = b->prefix};
    snprintf(b->prefix, sizeof b->prefix, "%.20s %.20s ", b->all.x, b->all.size);
    status s = merge(b->list, row, "groups", e);
    if (!s) s = merge(b->trend, row, "trend", e);
    return s ? s : lr_facets_collect(&b->all, b->list, e);
}

static status draw_blocks(figure *f, block *b, size_t n_blocks, err *e)
{
    size_t rows = 0, columns = 1;
    counts n = {0};
    text sizes = {0};
    bool seeds = false;
    status s = ST_OK;
    for (size_t k = 0; k < n_blocks; k++) {
        const size_t wide = lr_facets_columns(b[k].all.n_facets);
        rows += lr_facets_rows(b[k].all.n_facets);
        columns = wide > columns ? wide : columns;
        seeds |= has_seeds(&b[k].all);
        text_add(&sizes, "%s%s", k ? " or " : "", b[k].all.size);
    }
    set_size(f, rows, columns);
    double top = f->height;
    for (size_t k = 0; k < n_blocks && !s; k++) {
        s = draw_block(f, &b[k].all, top, columns, &n, e);
        top -= ROW_HEIGHT * (double)lr_facets_rows(b[k].all.n_facets);
    }
    if (!s) caption(f, text_str(&sizes), seeds, &n);
    for (size_t k = 0; k < n_blocks && !s; k++) trend_caption(f, &b[k].all, b[k].trend);
    text_free(&sizes);
    return s;
}

static status draw_transfer(figure *f, const json_t *doc, err *e)
{
    const json_t *panels = js_get(doc, "panels");
    const size_t n = json_array_size(panels);
    if (!n) return err_set(e, ST_INPUT, "the report holds no line");
    block *b = calloc(n, sizeof *b);
    status s = b ? ST_OK : err_set(e, ST_NOMEM, "no memory for the groups");
    for (size_t k = 0; k < n && !s; k++) s = read_block(&b[k], json_array_get(panels, k), e);
    if (!s) s = draw_blocks(f, b, n, e);
    for (size_t k = 0; k < n && b; k++) {
        lr_facets_free(&b[k].all);
        json_decref(b[k].list);
        json_decref(b[k].trend);
    }
    free(b);
    return s;
}

status draw_lr_curves(figure *f, plot_inputs *in, err *e)
{
    const plot_input *fit = plot_inputs_find(in, PLOT_LR_FIT), *report = plot_inputs_find(in, PLOT_TRANSFER);
    if (report) return draw_transfer(f, report->doc, e);
    if (fit) return draw_groups(f, js_get(fit->doc, "groups"), js_get(fit->doc, "trend"), e);
    status s = plot_inputs_runs(in, e);
    if (s) return s;
    lr_optimum found = {0};
    lr_opts o = lr_opts_default();
    s = lr_optimum_table(&found, &in->runs, &o, e);
    json_t *list = s ? NULL : lr_optimum_groups_json(&found), *trend = s ? NULL : lr_optimum_trend_json(&found);
    if (!s && (!list || !trend)) s = err_set(e, ST_NOMEM, "no memory for the groups");
    if (!s) s = draw_groups(f, list, trend, e);
    json_decref(list);
    json_decref(trend);
    lr_optimum_free(&found);
    return s;
}
