/* The law as a landscape: contours of the loss over N and D, the runs it was fitted to, the compute-optimal frontier
 * with its bootstrap band, lines of equal compute. Hoffmann et al. 2022 (arXiv:2203.15556), figure 4 left, over (N, D).
 *
 * Solid: N, D and C inside the ranges of the fit's rows (what predict calls no extrapolation); dashed beyond. A refused
 * fit is drawn inside only and without a frontier: DESIGN.md, section 6. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/contour.h"
#include "plots/kinds.h"
#include "plots/law_value.h"
#include "plots/sample.h"

enum {
    GRID = 110,
    FRONTIER_STEPS = 48,
    MAX_LEVELS = 16,
    PATH_STEPS = 400,
    NUMERIC_DRAWS = 200,
    MANY = 400,
    LABEL_LEAST = 10
};
#define AHEAD 10.0       /* the frontier goes to this multiple of the largest C: predictions are made about there */
#define LEVEL_LEAST 27.0 /* pixels from one contour to the next, along the diagonal */
#define LEVEL_MOST 46.0
#define LABEL_WIDTH 15.0 /* pixels around a contour's number that no run may stand in */
#define LABEL_HEIGHT 9.0
#define SEARCH 1e4 /* the optimum is sought this far beyond the sizes of the runs */

typedef struct surface {
    law_value law;
    plot_points p;
    double lo[3], hi[3], k; /* ranges of N, D, C; C = k N D */
    bool refused, of_loss;  /* only a loss has an optimum */
    axis n, d;
    rect box;
    size_t n_levels;
    double levels[MAX_LEVELS];
    double *z, *x, *y; /* the grid; x, y are log10 */
} surface;

static bool inside(const surface *s, double n, double d)
{
    const double at[3] = {n, d, s->k * n * d};
    for (int i = 0; i < 3; i++)
        if (at[i] < s->lo[i] * (1 - 1e-9) || at[i] > s->hi[i] * (1 + 1e-9)) return false;
    return true;
}

/* --- what the fit says --------------------------------------------------------------------------------------- */

static status ranges(surface *s, const json_t *fit, err *e)
{
    static const char *const paths[] = {"domain.N", "domain.D", "domain.C"};
    const plot_points *p = &s->p;
    range r[3] = {range_empty(), range_empty(), range_empty()};
    double *k = malloc((p->n + 1) * sizeof *k);
    size_t n_k = 0;
    if (!k) return err_set(e, ST_NOMEM, "no memory for %zu points", p->n);
    for (size_t i = 0; i < p->n && p->N && p->D; i++) {
        double n = p->N[i], d = p->D[i], c = p->C ? p->C[i] : 6 * n * d;
        if (!(n > 0) || !(d > 0)) continue;
        range_add(&r[0], n);
        range_add(&r[1], d);
        if (!(c > 0)) continue;
        range_add(&r[2], c);
        k[n_k++] = c / (n * d);
    }
    s->k = n_k ? sample_median(k, n_k) : 6;
    free(k);
    for (int i = 0; i < 3; i++) {
        double lohi[2];
        if (js_pair(lohi, fit, paths[i]) && lohi[0] > 0 && lohi[1] >= lohi[0]) r[i] = (range){lohi[0], lohi[1]};
        if (range_is_empty(r[i])) return err_set(e, ST_INPUT, "the fit.json holds no N and D of its points");
        s->lo[i] = r[i].lo;
        s->hi[i] = r[i].hi;
    }
    return ST_OK;
}

static bool optimum(const surface *s, const double *params, double c, double *n, double *d)
{
    return law_value_optimum(n, d, &s->law, params, c / s->k, s->lo[0] / SEARCH, s->hi[0] * SEARCH);
}

static void axes(surface *s, const plot_target *t)
{
    range n = {s->lo[0], s->hi[0]}, d = {s->lo[1], s->hi[1]};
    double on, od;
    range_add(&n, t->N);
    range_add(&d, t->D);
    if (!s->refused && s->of_loss && optimum(s, s->law.params, AHEAD * s->hi[2], &on, &od)) {
        range_add(&n, on);
        range_add(&d, od);
    }
    /* below 2.5 decades there are tics at 2, 2.5 and 5: as powers they would run into the label */
    axis_words words = n.hi / n.lo > 300 && d.hi / d.lo > 300 ? WORDS_POWER : WORDS_COUNT;
    s->n = axis_over(AXIS_LOG10, words, n, 0.06, plot_label_params);
    s->d = axis_over(AXIS_LOG10, words, d, 0.06, plot_label_tokens);
}

/* --- contours ------------------------------------------------------------------------------------------------ */

/* Round losses at even distances along the diagonal of the figure. */
static void choose_levels(surface *s)
{
    double loss[PATH_STEPS + 1], length = hypot(s->box.w, s->box.h);
    for (int i = 0; i <= PATH_STEPS; i++) {
        double u = (double)i / PATH_STEPS;
        loss[i] = law_value_at(&s->law, s->law.params, axis_value(&s->n, u), axis_value(&s->d, u));
    }
    int at = 0, least = (int)(LEVEL_LEAST / length * PATH_STEPS), most = (int)(LEVEL_MOST / length * PATH_STEPS);
    while (s->n_levels < MAX_LEVELS && at + most <= PATH_STEPS) {
        double a = loss[at + least], b = loss[at + most], level = sample_round_between(fmin(a, b), fmax(a, b));
        bool known = !isfinite(level);
        for (size_t k = 0; k < s->n_levels; k++) known |= s->levels[k] == level;
        if (!known) s->levels[s->n_levels++] = level;
        int next = at + least;
        while (next < at + most && (loss[next] - level) * (a - level) > 0) next++;
        at = next;
    }
}

static status make_grid(surface *s, err *e)
{
    s->z = malloc((GRID * GRID + 2 * GRID) * sizeof *s->z);
    if (!s->z) return err_set(e, ST_NOMEM, "no memory for the surface");
    s->x = s->z + GRID * GRID;
    s->y = s->x + GRID;
    for (int i = 0; i < GRID; i++) {
        s->x[i] = log10(axis_value(&s->n, (double)i / (GRID - 1)));
        s->y[i] = log10(axis_value(&s->d, (double)i / (GRID - 1)));
    }
    for (int j = 0; j < GRID; j++)
        for (int i = 0; i < GRID; i++)
            s->z[j * GRID + i] = law_value_at(&s->law, s->law.params, pow(10, s->x[i]), pow(10, s->y[j]));
    return ST_OK;
}

typedef struct sink {
    figure *f;
    const surface *s;
    bool beyond;
} sink;

/* The stretches of a curve inside (or beyond) the data. A point at a change belongs to both, or the line would have
 * holes. */
static void put_curve(void *who, double level, const double *x, const double *y, size_t n)
{
    sink *to = who;
    bool open = false;
    for (size_t i = 0; i < n; i++) {
        double N = pow(10, x[i]), D = pow(10, y[i]);
        bool mine = inside(to->s, N, D) != to->beyond;
        if (mine || open) ROW(to->f, N, D, level);
        if (!mine && i + 1 < n && !open && inside(to->s, pow(10, x[i + 1]), pow(10, y[i + 1])) != to->beyond)
            ROW(to->f, N, D, level), mine = true;
        if (open && !mine) figure_gap(to->f);
        open = mine;
    }
    if (open) figure_gap(to->f);
}

/* A contour is labelled where it comes nearest to the upper left corner, off the runs. Short ones stay without. */
typedef struct label_sink {
    const surface *s;
    double u, v, best;
} label_sink;

static bool on_a_run(const surface *s, double u, double v)
{
    for (size_t i = 0; i < s->p.n && s->p.n <= MANY; i++) {
        double x = (axis_at(&s->n, s->p.N[i]) - u) * s->box.w, y = (axis_at(&s->d, s->p.D[i]) - v) * s->box.h;
        if (fabs(x) < LABEL_WIDTH && fabs(y) < LABEL_HEIGHT) return true;
    }
    return false;
}

static bool has_room(const surface *s, double x, double y)
{
    double n = pow(10, x), d = pow(10, y), u = axis_at(&s->n, n), v = axis_at(&s->d, d);
    return u > 0.05 && u < 0.95 && v > 0.05 && v < 0.95 && (!s->refused || inside(s, n, d));
}

static void find_label(void *who, double level, const double *x, const double *y, size_t n)
{
    label_sink *l = who;
    size_t drawn = 0;
    (void)level;
    for (size_t i = 0; i < n; i++) drawn += has_room(l->s, x[i], y[i]);
    for (size_t i = 0; i < n && drawn > LABEL_LEAST; i++) {
        double u = axis_at(&l->s->n, pow(10, x[i])), v = axis_at(&l->s->d, pow(10, y[i]));
        if (v - u > l->best && has_room(l->s, x[i], y[i]) && !on_a_run(l->s, u, v))
            *l = (label_sink){l->s, u, v, v - u};
    }
}

static status contours(figure *f, surface *s, panel *q, range *shown, err *e)
{
    contour_grid g = {GRID, GRID, s->x, s->y, s->z};
    status rc = ST_OK;
    for (int beyond = 0; beyond < (s->refused ? 1 : 2); beyond++) {
        sink to = {f, s, beyond};
        figure_block(f, beyond ? "contours beyond" : "contours", "N\tD\tloss");
        for (size_t k = 0; k < s->n_levels && !rc; k++) {
            size_t before = f->data.n;
            rc = contour_trace(&g, s->levels[k], put_curve, &to, e);
            if (f->data.n > before) range_add(shown, s->levels[k]);
        }
    }
    for (size_t k = 0; k < s->n_levels && !rc; k++) {
        label_sink l = {.s = s, .best = -INFINITY};
        rc = contour_trace(&g, s->levels[k], find_label, &l, e);
        if (l.best > -INFINITY)
            panel_line(q, "set label '%.6g' at graph %.4f,%.4f center front boxed font ',9' textcolor rgb '#444444'",
                       s->levels[k], l.u, l.v);
    }
    return rc;
}

/* --- equal compute ------------------------------------------------------------------------------------------- */

static void isoflop_lines(figure *f, const surface *s, panel *q)
{
    double least = log10(s->k * s->n.lo * s->d.lo), most = log10(s->k * s->n.hi * s->d.hi);
    int every = 1 + (int)((most - least) / 9);
    double rise = s->box.h / log10(s->d.hi / s->d.lo), run = s->box.w / log10(s->n.hi / s->n.lo),
           angle = atan2(rise, run);
    char word[AXIS_WORD];
    figure_block(f, "isoflop", "N\tD\tC");
    for (int c = (int)ceil(least); c <= most; c++) {
        if (c % every) continue;
        double nd = pow(10, c) / s->k, left = fmax(s->n.lo, nd / s->d.hi), right = fmin(s->n.hi, nd / s->d.lo);
        ROW(f, left, nd / left, pow(10, c));
        ROW(f, right, nd / right, pow(10, c));
        figure_gap(f);
        double length = s->box.w * (axis_at(&s->n, right) - axis_at(&s->n, left)) / cos(angle);
        if (length < 70) continue;
        /* on the line, 20 pixels from its lower end, lifted off it by 6 */
        double u = axis_at(&s->n, right) - (20 * cos(angle) - 6 * sin(angle)) / s->box.w;
        double v = axis_at(&s->d, nd / right) + (20 * sin(angle) + 6 * cos(angle)) / s->box.h;
        if (u > 0.97) continue;
        panel_line(q, "set label '%s' at graph %.4f,%.4f center rotate by %.1f font ',8.5' textcolor rgb '#777777'",
                   axis_power(word, pow(10, c), 1), u, v, -angle * 180 / acos(-1));
    }
}

/* --- the frontier -------------------------------------------------------------------------------------------- */

typedef struct best {
    double c, n, d, lo, hi;
} best; /* lo, hi: 95 % of N over the draws; NaN: none */

/* 95 % of N_opt over the draws; a draw without an optimum at this C has no say, but more than one in ten forbids a
 * band. */
static void band_at(const surface *s, best *at, double *draws)
{
    size_t all = s->law.n_draws, every = s->law.law->optimum || all <= NUMERIC_DRAWS ? 1 : all / NUMERIC_DRAWS, n = 0,
           tried = 0;
    at->lo = at->hi = NAN;
    for (size_t b = 0; b < all; b += every, tried++) {
        double d;
        n += optimum(s, s->law.draws + b * FIT_MAX_PARAMS, at->c, &draws[n], &d);
    }
    if (n < 20 || 10 * n < 9 * tried) return;
    sample_sort(draws, n);
    at->lo = sample_quantile(draws, n, 0.025);
    at->hi = sample_quantile(draws, n, 0.975);
}

static void frontier_blocks(figure *f, const surface *s, const best *at, size_t n, bool beyond)
{
    figure_block(f, beyond ? "frontier beyond" : "frontier", "C\tN\tD\tN 95% low\tN 95% high");
    for (size_t i = 0; i < n; i++) ROW(f, at[i].c, at[i].n, at[i].d, at[i].lo, at[i].hi);
    figure_block(f, beyond ? "band beyond" : "band", "N\tD"); /* around it, along the lines of equal compute */
    for (size_t i = 0; i < n; i++)
        if (isfinite(at[i].lo)) ROW(f, at[i].lo, at[i].c / s->k / at[i].lo);
    for (size_t i = n; i-- > 0;)
        if (isfinite(at[i].hi)) ROW(f, at[i].hi, at[i].c / s->k / at[i].hi);
}

typedef struct drawn {
    size_t n[2];
    bool band;
} drawn;

static status frontier(drawn *out, figure *f, const surface *s, err *e)
{
    double *draws = malloc((s->law.n_draws + 1) * sizeof *draws);
    *out = (drawn){0};
    if (!draws) return err_set(e, ST_NOMEM, "no memory for %zu draws", s->law.n_draws);
    for (int beyond = 0; beyond < 2; beyond++) {
        best at[FRONTIER_STEPS + 1];
        double from = beyond ? s->hi[2] : s->lo[2], to = beyond ? AHEAD * s->hi[2] : s->hi[2];
        size_t n = 0;
        for (int i = 0; i <= FRONTIER_STEPS; i++) {
            at[n].c = from * pow(to / from, (double)i / FRONTIER_STEPS);
            if (!optimum(s, s->law.params, at[n].c, &at[n].n, &at[n].d)) continue;
            band_at(s, &at[n], draws);
            out->band |= isfinite(at[n++].lo);
        }
        frontier_blocks(f, s, at, n, beyond);
        out->n[beyond] = n;
    }
    free(draws);
    return ST_OK;
}

/* --- the figure ---------------------------------------------------------------------------------------------- */

static size_t points_block(figure *f, const surface *s, range *loss)
{
    const plot_points *p = &s->p;
    size_t every = caption_thinned(f, p->n);
    figure_block(f, "points", "N\tD\tmeasured loss");
    for (size_t i = 0; i < p->n; i++) range_add(loss, p->loss[i]);
    for (size_t i = 0; i < p->n; i += every) ROW(f, p->N[i], p->D[i], p->loss[i]);
    return p->n / every;
}

static const char *mark_size(size_t n) { return n > 2000 ? "0.12" : n > MANY ? "0.25" : n > 100 ? "0.42" : "0.6"; }

static void plot_runs(panel *q, size_t n)
{
    if (n <= MANY)
        panel_plot(q, NULL, "data index 'points' using 1:2 with points pt 7 ps %s*1.45 lc rgb 'white'", mark_size(n));
    panel_plot(q, "runs", "data index 'points' using 1:2:3 with points pt 7 ps %s lc palette", mark_size(n));
}

/* Few runs lie on the lines; many would bury them, so there the lines lie on the runs, cased in white. */
static void plot_contours(panel *q, const surface *s, size_t n)
{
    if (n > MANY) panel_plot(q, NULL, "data index 'contours' using 1:2 with lines lw 3.2 lc rgb 'white'");
    panel_plot(q, NULL, "data index 'contours' using 1:2:3 with lines lw 1.3 lc palette");
    if (!s->refused)
        panel_plot(q, NULL, "data index 'contours beyond' using 1:2:3 with lines lw 1 dt (5,4) lc palette");
}

static void plot_frontier(panel *q, const drawn *opt, size_t n)
{
    if (opt->n[0] && n > MANY) panel_plot(q, NULL, "data index 'frontier' using 2:3 with lines lw 4.5 lc rgb 'white'");
    if (opt->n[0])
        panel_plot(q, "optimum", "data index 'frontier' using 2:3 with lines lw 2.2 lc rgb '#%06X'", INK_BLUE);
    if (opt->n[1])
        panel_plot(q, NULL, "data index 'frontier beyond' using 2:3 with lines lw 2.2 dt (6,4) lc rgb '#%06X'",
                   INK_BLUE);
}

static void plot_all(panel *q, const surface *s, const drawn *opt, size_t n, const plot_target *t)
{
    static const char band[] = "using (shade($1)):(shade($2)) with filledcurves closed fs solid noborder fc rgb";
    if (n > MANY) plot_runs(q, n);
    panel_plot(q, NULL, "data index 'isoflop' using 1:2 with lines lw 0.7 lc rgb '#%06X'", INK_PALE);
    if (opt->band) {
        panel_plot(q, NULL, "data index 'band beyond' %s '#DCEBF5'", band);
        panel_plot(q, "95 %", "data index 'band' %s '#A9CDE6'", band);
    }
    plot_contours(q, s, n);
    plot_frontier(q, opt, n);
    if (n <= MANY) plot_runs(q, n);
    if (isfinite(t->N) && isfinite(t->D))
        panel_plot(q, "held-out", "data index 'target' using 1:2 with points pt 5 ps 0.9 lc rgb '#%06X'", INK_RED);
}

static void captions(figure *f, const surface *s, const json_t *fit, const drawn *opt)
{
    char words[96];
    label_of_target(words, "", s->p.target);
    figure_caption(f, "Contours and colours: %s of %s. Grey: equal C = %.3g N D.", words, s->law.formula, s->k);
    if (s->refused)
        figure_caption(f, "The fit is refused: its law is drawn inside the ranges of its rows only, without an "
                          "optimum.");
    else figure_caption(f, "Solid within the ranges of the rows, dashed beyond.");
    if (opt->n[0] + opt->n[1])
        figure_caption(f,
                       opt->band ? "Blue: lowest loss for each C, with the 95 %% interval of N over %zu bootstrap "
                                   "draws, up to %g times the largest C."
                                 : "Blue: lowest loss for each C; without an interval.",
                       s->law.n_draws, AHEAD);
    else if (!s->refused && s->of_loss) figure_caption(f, "The law has no optimum at these budgets.");
    caption_params(f, fit);
    caption_fit(f, fit);
}

static status draw(figure *f, surface *s, plot_inputs *in, const json_t *fit, err *e)
{
    range loss = range_empty();
    plot_target t;
    drawn opt = {0};
    char words[96];
    plot_target_read(&t, in);
    f->height = 352;
    s->box = (rect){FIGURE_LEFT, FIGURE_BOTTOM, f->width - FIGURE_LEFT - FIGURE_BAR, f->height - FIGURE_BOTTOM - 34};
    axes(s, &t);
    panel q = {.box = s->box, .x = s->n, .y = s->d, .key = CORNER_ABOVE};
    choose_levels(s);
    size_t n_points = points_block(f, s, &loss);
    status rc = make_grid(s, e);
    if (!rc) rc = contours(f, s, &q, &loss, e);
    isoflop_lines(f, s, &q);
    if (!rc && !s->refused && s->of_loss) rc = frontier(&opt, f, s, e);
    label_of_target(words, "", s->p.target);
    axis bar = axis_over(AXIS_LOG10, WORDS_PLAIN, loss, 0, words);
    figure_scale(f, s->box, &bar);
    if (isfinite(t.N) && isfinite(t.D)) {
        figure_block(f, "target", "N\tD");
        ROW(f, t.N, t.D);
    }
    panel_line(&q, "set style textbox opaque noborder fillcolor rgb 'white' margins 0.3,0.2");
    plot_all(&q, s, &opt, n_points, &t);
    panel_close(f, &q);
    captions(f, s, fit, &opt);
    return rc;
}

status draw_surface(figure *f, plot_inputs *in, err *e)
{
    surface s = {0};
    const plot_input *fit = plot_inputs_find(in, PLOT_FIT);
    status rc = law_value_read(&s.law, fit ? fit->doc : NULL, e);
    if (!rc) rc = plot_fitted_read(&s.p, in, e);
    if (!rc) rc = ranges(&s, fit->doc, e);
    if (!rc) {
        s.of_loss = !strcmp(s.p.target, "loss");
        s.refused = s.law.raw || !strcmp(js_str_or(fit->doc, "trust.verdict", ""), "refuse");
        rc = draw(f, &s, in, fit->doc, e);
    }
    free(s.z);
    plot_points_free(&s.p);
    law_value_free(&s.law);
    return rc;
}
