/* What steps did to the tensors of a run (log_updates_every): |dW|/|W|, its alignment with W, and sqrt(v)/eps over the
 * steps, a line per tensor, a colour per kind. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/kinds.h"

enum { N_PANELS = 3 };
#define PANEL_H 128.0
#define GAP 12.0
#define BESIDE 116.0 /* the key */
#define EPS_FELT_BELOW 100.0 /* eps above 1 % of sqrt(v): doc/mup.md, section 11 */

static const struct { const char *part, *key; unsigned ink; } kinds[] = {
    {"norm", "gains", INK_GREY}, {"embed", "embedding", INK_GREEN}, {".attn.", "attention", INK_BLUE},
    {".ffn.", "MLP", INK_ORANGE}, {"head", "readout", INK_RED},     {"", "other", INK_BLACK},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* The ratio in percent: tics of few digits. */
static const struct { update_col column; axis_scale scale; double unit; const char *label; } panels[N_PANELS] = {
    {UPDATE_RATIO, AXIS_LOG10, 0.01, "|ΔW| / |W| (%)"},
    {UPDATE_ALIGNMENT, AXIS_LINEAR, 1, "cos(ΔW, W)"},
    {UPDATE_V_OVER_EPS, AXIS_LOG10, 1, "√v / ε"},
};

static size_t kind_of(const char *tensor)
{
    size_t k = 0;
    while (k + 1 < N_KINDS && !strstr(tensor, kinds[k].part)) k++;
    return k;
}

static double value(const run_updates *u, size_t at, size_t step, size_t tensor)
{
    const double y = u->of[panels[at].column][step * u->n_tensors + tensor] / panels[at].unit;
    return panels[at].scale == AXIS_LOG10 && !(y > 0) ? NAN : y;
}

static status find_run(const run_record **out, plot_inputs *in, err *e)
{
    size_t n = 0;
    status s = plot_inputs_curves(in, e);
    for (size_t k = 0; !s && k < in->n_curves; k++)
        if (in->curves[k].updates.n > 1) n++, *out = &in->curves[k];
    if (s || n == 1) return s;
    if (n) return err_set(e, ST_INPUT, "%zu runs logged updates, one is drawn; name its directory, or choose with --where", n);
    return err_set(e, ST_INPUT, "no run here logged updates at two steps or more; train with log_updates_every=100");
}

/* A block per kind, a line per tensor. */
static void blocks(figure *f, const run_updates *u)
{
    for (size_t k = 0; k < N_KINDS; k++) {
        bool any = false;
        for (size_t i = 0; i < u->n_tensors; i++) {
            if (kind_of(run_updates_tensor(u, i)) != k) continue;
            if (!any) figure_block(f, kinds[k].key, "step\t|dW|/|W| in %\tcos(dW, W)\tsqrt(v)/eps");
            else figure_gap(f);
            any = true;
            for (size_t t = 0; t < u->n; t++) ROW(f, u->step[t], value(u, 0, t, i), value(u, 1, t, i), value(u, 2, t, i));
        }
    }
}

static void draw_panel(figure *f, const run_updates *u, size_t at, double width)
{
    range x = range_empty(), y = range_empty();
    bool drawn[N_KINDS] = {false}; /* some kind may have no number here */
    for (size_t t = 0; t < u->n; t++) {
        range_add(&x, u->step[t]);
        for (size_t i = 0; i < u->n_tensors; i++) {
            range_add(&y, value(u, at, t, i));
            drawn[kind_of(run_updates_tensor(u, i))] |= isfinite(value(u, at, t, i));
        }
    }
    if (panels[at].column == UPDATE_V_OVER_EPS) range_add(&y, EPS_FELT_BELOW);
    else if (panels[at].scale == AXIS_LINEAR) range_add(&y, 0);
    panel p = {.box = {FIGURE_LEFT, FIGURE_BOTTOM + (N_PANELS - 1 - (double)at) * (PANEL_H + GAP), width, PANEL_H},
               .x = axis_over(AXIS_LINEAR, WORDS_COUNT, x, 0.02, at + 1 == N_PANELS ? "step" : NULL),
               .y = axis_over(panels[at].scale, y.hi >= 1e4 || y.lo < 1e-4 ? WORDS_POWER : WORDS_PLAIN, y, 0.06, panels[at].label),
               .key = at ? CORNER_NONE : CORNER_BESIDE};
    p.x.bare = at + 1 < N_PANELS;
    const double level = panels[at].column == UPDATE_V_OVER_EPS ? EPS_FELT_BELOW : 0;
    if (panels[at].column != UPDATE_RATIO)
        panel_line(&p, "set arrow from graph 0,first %g to graph 1,first %g nohead lc rgb '#%06X' lw 1 dt (4,4)", level, level, INK_GREY);
    for (size_t k = 0; k < N_KINDS; k++)
        if (drawn[k])
            panel_plot(&p, kinds[k].key, "data index '%s' using 1:%zu with lines lw 1.2 lc rgb '#%06X'", kinds[k].key, at + 2, kinds[k].ink);
    panel_close(f, &p);
}

status draw_updates(figure *f, plot_inputs *in, err *e)
{
    const run_record *r = NULL;
    status s = find_run(&r, in, e);
    if (s) return s;
    const run_updates *u = &r->updates;
    const double share = attrs_f64(&r->group[RUN_SUMMARY], "eps_share");
    const char *id = attrs_text(&r->group[RUN_ROOT], "run_id"), *tensor = attrs_text(&r->group[RUN_SUMMARY], "eps_share_tensor");
    char word[AXIS_WORD];
    f->height = FIGURE_BOTTOM + N_PANELS * (PANEL_H + GAP);
    blocks(f, u);
    for (size_t p = 0; p < N_PANELS; p++) draw_panel(f, u, p, f->width - FIGURE_LEFT - BESIDE);
    figure_caption(f, "Run %s: %zu steps of which the updates were logged, a line per tensor.", id ? id : "?", u->n);
    figure_caption(f, "Dotted: no alignment; ε at 1 %% of √v (RMS over a tensor), below which it is felt.");
    if (share > 0 && tensor) figure_caption(f, "ε was at most %s %% of √v (%s).", axis_short(word, 100 * share, 2), tensor);
    return ST_OK;
}
