/* U-curves: final loss against learning rate, one curve per width, one panel per parametrisation, one loss axis for all.
 * Optimum and interval come from the lr-optimum fit; given runs only, the same method is run here. A report of mup
 * transfer gives a row of panels for each size (width, depth, horizon) and hyperparameter. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/lr_optimum.h"
#include "plots/kinds.h"

enum { MAX_PANELS = 4, ROW_HEIGHT = 310, KEY_WIDTH = 84, GAP = 14 };
/* Losses far above the best ones would flatten the valley: the axis ends at this multiple of the middle half's reach. */
#define ROOF 2.5
#define EDGE_STEP 0.034 /* of the panel's height, from one width's marks to the next */

typedef struct group { const char *par; double width; size_t n; const json_t *doc; int panel; unsigned ink; } group;

/* One row of panels. */
typedef struct groups {
    const char *size, *x;         /* what the curves differ in, what the axis is: "width", "lr" */
    const char *prefix;           /* of the names of its data blocks */
    size_t n, n_panels;
    group *g;
    const char *panel[MAX_PANELS];
    size_t n_widths;
    double widths[64];
} groups;

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void add_width(groups *all, double w)
{
    for (size_t i = 0; i < all->n_widths; i++)
        if (all->widths[i] == w) return;
    if (all->n_widths < 64) all->widths[all->n_widths++] = w;
}

static int find_panel(groups *all, const char *name)
{
    for (size_t i = 0; i < all->n_panels; i++)
        if (!strcmp(all->panel[i], name)) return (int)i;
    if (all->n_panels == MAX_PANELS) return -1;
    all->panel[all->n_panels] = name;
    return (int)all->n_panels++;
}

static size_t width_rank(const groups *all, double w)
{
    size_t k = 0;
    while (k + 1 < all->n_widths && all->widths[k] != w) k++;
    return k;
}

/* μP first: the claim stands left, what it is compared with right. */
static status collect(groups *all, const json_t *list, err *e)
{
    all->g = calloc(json_array_size(list) + 1, sizeof *all->g);
    if (!all->g) return err_set(e, ST_NOMEM, "no memory for the groups");
    for (size_t k = 0; k < json_array_size(list); k++)
        if (!strcmp(js_str_or(json_array_get(list, k), "parametrisation", ""), "mup") && strcmp(all->size, "depth"))
            find_panel(all, "mup");
    for (size_t k = 0; k < json_array_size(list); k++) {
        const json_t *doc = json_array_get(list, k);
        group g = {.par = js_str_or(doc, "parametrisation", "unstated"), .width = js_num(doc, "width"), .n = js_len(doc, "lr"), .doc = doc};
        if (!(g.width > 0) || !g.n || js_len(doc, "loss") != g.n) continue;
        g.panel = find_panel(all, g.par);
        if (g.panel < 0) continue;
        add_width(all, g.width);
        all->g[all->n++] = g;
    }
    qsort(all->widths, all->n_widths, sizeof *all->widths, by_number);
    for (size_t k = 0; k < all->n; k++)
        all->g[k].ink = colour_sequence(all->n_widths > 1 ? (double)width_rank(all, all->g[k].width) / (double)(all->n_widths - 1) : 0.35);
    return all->n ? ST_OK : err_set(e, ST_INPUT, "the fit holds no group of learning rates");
}

/* The loss axis: the valleys, not the cliffs. */
static status ranges(range *lr, range *loss, const groups *all, err *e)
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

static void group_name(char out[64], const groups *all, const group *g)
{
    snprintf(out, 64, "%s%s %g", all->prefix, g->par, g->width);
}

/* Runs at one learning rate, from i on: how many, and their mean; NaN when one diverged. */
static size_t level(double *mean, const group *g, size_t i)
{
    size_t n = 0;
    const double lr = js_at(g->doc, "lr", i);
    *mean = 0;
    for (; i + n < g->n && js_at(g->doc, "lr", i + n) == lr; n++) *mean += js_at(g->doc, "loss", i + n);
    *mean /= (double)n;
    return n;
}

static bool has_seeds(const groups *all)
{
    double mean;
    for (size_t k = 0; k < all->n; k++)
        for (size_t i = 0, n; i < all->g[k].n; i += n)
            if ((n = level(&mean, &all->g[k], i)) > 1) return true;
    return false;
}

/* y places at the top edge: stacked by width, so that runs diverged at one lr stay apart. */
static double edge(const groups *all, double width) { return 1 - EDGE_STEP * (0.5 + (double)width_rank(all, width)); }

static void seeds_blocks(figure *f, const groups *all)
{
    char name[64];
    for (size_t p = 0; p < all->n_panels; p++) {
        snprintf(name, sizeof name, "%sruns %s", all->prefix, all->panel[p]);
        figure_block(f, name, "learning rate\tfinal loss\tcolour");
        for (size_t k = 0; k < all->n; k++)
            for (size_t i = 0; i < all->g[k].n && all->g[k].panel == (int)p; i++)
                ROW(f, js_at(all->g[k].doc, "lr", i), js_at(all->g[k].doc, "loss", i), all->g[k].ink);
    }
}

static void data_blocks(figure *f, const groups *all, range loss, size_t *n_diverged, size_t *n_above)
{
    char name[64];
    for (size_t k = 0; k < all->n; k++) {
        const group *g = &all->g[k];
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
        for (size_t p = 0; p < all->n_panels; p++) {
            snprintf(name, sizeof name, "%s%s %s", all->prefix, above ? "above" : "diverged", all->panel[p]);
            figure_block(f, name, "learning rate\theight on the edge\tcolour");
            for (size_t k = 0; k < all->n; k++)
                for (size_t i = 0; i < all->g[k].n && all->g[k].panel == (int)p; i++) {
                    double l = js_at(all->g[k].doc, "loss", i);
                    if (above ? !(l > loss.hi) : isfinite(l)) continue;
                    ROW(f, js_at(all->g[k].doc, "lr", i), edge(all, all->g[k].width), all->g[k].ink);
                    ++*(above ? n_above : n_diverged);
                }
        }
}

static size_t optima_block(figure *f, const groups *all, size_t at)
{
    char name[64];
    size_t n = 0;
    snprintf(name, sizeof name, "%soptimum %s", all->prefix, all->panel[at]);
    figure_block(f, name, "learning rate\tloss\t95% low\thigh\tcolour");
    for (size_t k = 0; k < all->n; k++) {
        const group *g = &all->g[k];
        double ci[2], x = js_num(g->doc, "log2_lr_opt");
        if (g->panel != (int)at || !isfinite(x) || !isfinite(js_num(g->doc, "loss_opt"))) continue;
        if (!js_pair(ci, g->doc, "ci95")) ci[0] = ci[1] = x;
        ROW(f, exp2(x), js_num(g->doc, "loss_opt"), exp2(ci[0]), exp2(ci[1]), g->ink);
        n++;
    }
    return n;
}

static size_t rows_of(const groups *all, size_t at, double roof, bool diverged)
{
    size_t n = 0;
    for (size_t k = 0; k < all->n; k++)
        for (size_t i = 0; i < all->g[k].n && all->g[k].panel == (int)at; i++) {
            double l = js_at(all->g[k].doc, "loss", i);
            n += diverged ? !isfinite(l) : l > roof;
        }
    return n;
}

static void draw_panel(figure *f, const groups *all, size_t p, rect box, axis x, axis y, double roof, bool last)
{
    panel q = {.box = box, .x = x, .y = y, .top_edge = true, .key = last ? CORNER_BESIDE : CORNER_NONE, .key_title = ""};
    char name[64], key[32];
    snprintf(q.key_title, sizeof q.key_title, "%s", all->size);
    q.y.bare = p > 0;
    if (p) q.y.label = NULL;
    panel_line(&q, "set label '%s' at graph 0.5,1.045 center font ',13'", words_parametrisation(all->panel[p]));
    size_t optima = optima_block(f, all, p);
    if (has_seeds(all))
        panel_plot(&q, NULL, "data index '%sruns %s' using 1:($2 > %.10g ? NaN : $2):3 with points pt 7 ps 0.22 lc rgb variable", all->prefix, all->panel[p], roof);
    for (size_t k = 0; k < all->n; k++) {
        if (all->g[k].panel != (int)p) continue;
        group_name(name, all, &all->g[k]);
        panel_plot(&q, NULL, "data index '%s' using 1:($2 > %.10g ? NaN : $2) with linespoints lw 1.3 pt 7 ps 0.45 lc rgb '#%06X'", name, roof, all->g[k].ink);
    }
    for (size_t w = 0; w < all->n_widths && last; w++) {
        snprintf(key, sizeof key, "%g", all->widths[w]);
        panel_plot(&q, key, "keyentry with linespoints lw 1.3 pt 7 ps 0.45 lc rgb '#%06X'",
                   colour_sequence(all->n_widths > 1 ? (double)w / (double)(all->n_widths - 1) : 0.35));
    }
    if (rows_of(all, p, roof, true)) panel_plot(&q, NULL, "data index '%sdiverged %s' using 1:2:3 axes x1y2 with points pt 8 ps 0.75 lw 1.2 lc rgb variable", all->prefix, all->panel[p]);
    if (rows_of(all, p, roof, false)) panel_plot(&q, NULL, "data index '%sabove %s' using 1:2:3 axes x1y2 with points pt 2 ps 0.6 lw 1.2 lc rgb variable", all->prefix, all->panel[p]);
    if (optima) {
        panel_plot(&q, NULL, "data index '%soptimum %s' using 1:2 with lines lw 1 dt (3,3) lc rgb '#777777'", all->prefix, all->panel[p]);
        panel_plot(&q, NULL, "data index '%soptimum %s' using 1:2:3:4 with xerrorbars pt 13 ps 1.1 lw 2 lc rgb '#%06X'", all->prefix, all->panel[p], INK_RED);
    }
    panel_close(f, &q);
}

/* The drift per doubling of the size, the number that says whether a learning rate transfers. */
static void trend_caption(figure *f, const groups *all, const json_t *trend)
{
    for (size_t k = 0; k < json_array_size(trend); k++) {
        const json_t *t = json_array_get(trend, k);
        double ci[2], p = js_num(t, "p");
        const char *par = words_parametrisation(js_str_or(t, "parametrisation", "?"));
        if (!isfinite(p)) figure_caption(f, "%s: no drift known (%s).", par, js_str_or(t, "why", "too few optima"));
        else if (js_pair(ci, t, "ci95.p"))
            figure_caption(f, "%s: optimum drifts %+.2f [%+.2f, %+.2f] octaves per doubling of the %s.", par, p, ci[0],
                           ci[1], all->size);
        else figure_caption(f, "%s: optimum drifts %+.2f octaves per doubling of the %s.", par, p, all->size);
    }
}

/* "base learning rate" where a rule scales it with the size. */
static const char *label_of(const groups *all, const char *par)
{
    if (strcmp(all->x, "lr")) return all->x;
    return strcmp(par, "sp") && strcmp(par, "unstated") ? "base learning rate" : "peak learning rate";
}

typedef struct counts {
    size_t runs, diverged, above;
} counts;

/* One row whose lower edge is `bottom`; `panels`: as many as the widest row has. */
static status draw_row(figure *f, groups *all, const json_t *list, double bottom, size_t panels, counts *n, err *e)
{
    range lr = range_empty(), loss = range_empty();
    status s = collect(all, list, e);
    if (!s) s = ranges(&lr, &loss, all, e);
    if (s) return s;
    axis x = axis_over(AXIS_LOG2, WORDS_POWER, lr, 0.06, NULL);
    axis y = axis_over(AXIS_LINEAR, WORDS_PLAIN, loss, 0.07, "final validation loss (nats/token)");
    /* a strip of its own for what stands at the top edge, so that no mark hides in the curves */
    bool strip = false;
    for (size_t p = 0; p < all->n_panels; p++) strip |= rows_of(all, p, y.hi, true) || rows_of(all, p, y.hi, false);
    range shown = {y.lo, y.hi};
    if (strip) y.hi = axis_value(&y, 1 / (1 - EDGE_STEP * ((double)all->n_widths + 0.6)));
    panels = panels > all->n_panels ? panels : all->n_panels;
    f->width = panels > 1 ? FIGURE_PAGE : FIGURE_COLUMN;
    const double w = (f->width - FIGURE_LEFT - KEY_WIDTH - GAP * (double)(panels - 1)) / (double)panels;
    data_blocks(f, all, shown, &n->diverged, &n->above);
    for (size_t p = 0; p < all->n_panels; p++) {
        x.label = label_of(all, all->panel[p]);
        const rect box = {FIGURE_LEFT + (double)p * (w + GAP), bottom + FIGURE_BOTTOM, w,
                          ROW_HEIGHT - FIGURE_BOTTOM - 30};
        draw_panel(f, all, p, box, x, y, shown.hi, p + 1 == all->n_panels);
    }
    for (size_t k = 0; k < all->n; k++) n->runs += all->g[k].n;
    return ST_OK;
}

static void caption(figure *f, const char *sizes, bool seeds, const counts *n)
{
    figure_caption(f, "%zu runs%s. Diamonds: optimum of each %s with its 95 %% interval.", n->runs,
                   seeds ? ", lines: mean over seeds" : "", sizes);
    if (n->diverged) figure_caption(f, "Triangles at the top edge: %zu diverged.", n->diverged);
    if (n->above) figure_caption(f, "Crosses at the top edge: %zu above the range.", n->above);
}

static status draw_groups(figure *f, const json_t *list, const json_t *trend, err *e)
{
    groups all = {.size = "width", .x = "lr", .prefix = ""};
    counts n = {0};
    f->height = ROW_HEIGHT;
    status s = draw_row(f, &all, list, 0, 1, &n, e);
    if (!s) caption(f, "width", has_seeds(&all), &n);
    if (!s) trend_caption(f, &all, trend);
    free(all.g);
    return s;
}

/* --- mup transfer ----------------------------------------------------------------------------------------------- */

/* All lines of a panel of the report as one list. A second line of the same parametrisation would lie on the first. */
static status merge(json_t *list, json_t *trend, const json_t *row, err *e)
{
    const json_t *lines = js_get(row, "lines");
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i);
        const char *par = js_str_or(line, "parametrisation", "unstated");
        for (size_t k = 0; k < i; k++)
            if (!strcmp(js_str_or(json_array_get(lines, k), "parametrisation", "unstated"), par))
                return err_set(e, ST_INPUT, "two lines over %s are of '%s' (%s; %s); make a report of one of them",
                               js_str_or(row, "axis", "?"), par, js_str_or(json_array_get(lines, k), "fixed", ""),
                               js_str_or(line, "fixed", ""));
        json_t *g = (json_t *)js_get(line, "groups"), *t = (json_t *)js_get(line, "trend");
        if (json_is_array(g)) json_array_extend(list, g);
        if (json_is_array(t)) json_array_extend(trend, t);
    }
    return ST_OK;
}

static size_t most_lines(const json_t *panels)
{
    size_t most = 0;
    for (size_t k = 0; k < json_array_size(panels); k++) {
        size_t n = js_len(json_array_get(panels, k), "lines");
        most = n > most ? n : most;
    }
    return most < MAX_PANELS ? most : MAX_PANELS;
}

static status draw_transfer(figure *f, const json_t *doc, err *e)
{
    const json_t *panels = js_get(doc, "panels");
    const size_t n_rows = json_array_size(panels);
    counts n = {0};
    text sizes = {0}, drifts = {0};
    bool seeds = false;
    status s = n_rows ? ST_OK : err_set(e, ST_INPUT, "the report holds no line");
    f->height = ROW_HEIGHT * (double)n_rows;
    for (size_t k = 0; k < n_rows && !s; k++) {
        const json_t *row = json_array_get(panels, k);
        char prefix[48];
        json_t *list = json_array(), *trend = json_array();
        groups all = {.size = js_str_or(row, "axis", "size"), .x = js_str_or(row, "x", "lr"), .prefix = prefix};
        snprintf(prefix, sizeof prefix, "%s %s ", all.x, all.size);
        s = list && trend ? merge(list, trend, row, e) : err_set(e, ST_NOMEM, "no memory for the groups");
        if (!s) s = draw_row(f, &all, list, ROW_HEIGHT * (double)(n_rows - 1 - k), most_lines(panels), &n, e);
        if (!s) {
            figure rest = {0}; /* drifts stand after the counts of all rows */
            trend_caption(&rest, &all, trend);
            text_add(&drifts, "%s%s", k ? " " : "", text_str(&rest.caption));
            figure_free(&rest);
            text_add(&sizes, "%s%s", k ? " or " : "", all.size);
            seeds |= has_seeds(&all);
        }
        free(all.g);
        json_decref(list);
        json_decref(trend);
    }
    if (!s) caption(f, text_str(&sizes), seeds, &n);
    if (!s) figure_caption(f, "%s", text_str(&drifts));
    text_free(&sizes);
    text_free(&drifts);
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
