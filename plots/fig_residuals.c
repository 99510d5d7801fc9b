/* Residuals against every column of the law and against C: whether the law bends away from the runs somewhere, whether
 * the scatter is the same everywhere, and which rows stand out. Residuals are logarithms, in percent, as in the parity
 * figure. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/kinds.h"
#include "plots/sample.h"

enum { MAX_PANELS = 6, PER_ROW = 3, N_WORST = 5, MAX_BINS = 16, BIN_LEAST = 5 };
#define PANEL_H 170.0
#define ROW_H 236.0
/* Rows far outside the others would flatten them: beyond this many sd the axis ends and rows stand at its edge. */
#define ROOF_FROM 9.0
#define ROOF 6.0

typedef struct column {
    const char *name, *label;
    const double *x;
    double target;
    bool log;
} column;

typedef struct residuals {
    plot_points p;
    const json_t *points;
    column col[MAX_PANELS];
    double *own[MAX_PANELS]; /* columns beside N, D, C */
    size_t n_cols;
    double *r, sd, roof, unit; /* percent; the axis ends at roof and counts in units */
    char label[64];
    size_t worst[N_WORST], n_worst, n_beyond, every;
} residuals;

static void free_residuals(residuals *q)
{
    for (int k = 0; k < MAX_PANELS; k++) free(q->own[k]);
    free(q->r);
    plot_points_free(&q->p);
}

/* --- columns ------------------------------------------------------------------------------------------------- */

/* A column of one value (a data set of one size) shows nothing and is left out. */
static void add_column(residuals *q, const char *name, const char *label, const double *x, double target)
{
    range r = range_empty();
    for (size_t i = 0; x && i < q->p.n; i++) range_add(&r, x[i]);
    if (q->n_cols == MAX_PANELS || range_is_empty(r) || r.lo == r.hi) return;
    q->col[q->n_cols++] = (column){name, label, x, target, r.lo > 0 && r.hi / r.lo > 3};
}

static status columns(residuals *q, const plot_target *t, err *e)
{
    static const char *const taken[] = {"N", "D", "C", "x", "fitted"};
    const char *name;
    json_t *value;
    bool failed = false;
    add_column(q, "N", plot_label_params, q->p.N, t->N);
    add_column(q, "D", plot_label_tokens, q->p.D, t->D);
    add_column(q, "C", plot_label_compute, q->p.C, t->C);
    json_object_foreach((json_t *)q->points, name, value) {
        bool known = !strcmp(name, q->p.target);
        for (size_t k = 0; k < sizeof taken / sizeof *taken; k++) known |= !strcmp(taken[k], name);
        if (known || q->n_cols == MAX_PANELS) continue;
        double *x = js_column(json_object_get(q->points, name), "", q->p.n, &failed);
        size_t before = q->n_cols;
        add_column(q, name, label_of_column(name), x, NAN);
        if (q->n_cols > before) q->own[before] = x;
        else free(x);
    }
    if (failed) return err_set(e, ST_NOMEM, "no memory for %zu points", q->p.n);
    return q->n_cols ? ST_OK : err_set(e, ST_INPUT, "no column of the fit's points has two values");
}

/* --- residuals ----------------------------------------------------------------------------------------------- */

static void find_worst(residuals *q)
{
    for (size_t i = 0; i < q->p.n; i++) {
        size_t k = q->n_worst;
        if (!isfinite(q->r[i])) continue;
        while (k > 0 && fabs(q->r[q->worst[k - 1]]) < fabs(q->r[i])) k--;
        if (k == N_WORST) continue;
        if (q->n_worst < N_WORST) q->n_worst++;
        memmove(q->worst + k + 1, q->worst + k, (q->n_worst - 1 - k) * sizeof *q->worst);
        q->worst[k] = i;
    }
    if (q->n_worst * 4 > q->p.n) q->n_worst = q->p.n / 4; /* of a handful of rows not all are worst */
}

static status measure(residuals *q, const json_t *fit, double held, err *e)
{
    double square = 0, most = 0;
    size_t m = 0;
    q->r = malloc((q->p.n + 1) * sizeof *q->r);
    if (!q->r) return err_set(e, ST_NOMEM, "no memory for %zu points", q->p.n);
    for (size_t i = 0; i < q->p.n; i++) {
        q->r[i] = percent_off(q->p.loss[i], q->p.fitted[i]);
        if (!isfinite(q->r[i])) continue;
        square += q->r[i] * q->r[i];
        most = fmax(most, fabs(q->r[i]));
        m++;
    }
    q->sd = 100 * js_num(fit, "noise.residual_sd");
    if (!isfinite(q->sd) && m) q->sd = sqrt(square / (double)m);
    q->roof = most > ROOF_FROM * q->sd ? ROOF * q->sd : most;
    q->roof = fmax(fmax(q->roof, 2.2 * q->sd), 1e-12);
    if (isfinite(held)) q->roof = fmax(q->roof, fabs(held));
    for (size_t i = 0; i < q->p.n; i++) q->n_beyond += fabs(q->r[i]) > q->roof;
    find_worst(q);
    q->unit = percent_unit(q->label, "residual", q->roof);
    return m ? ST_OK : err_set(e, ST_INPUT, "the fit.json holds no finite residual");
}

static void row_of(figure *f, const residuals *q, size_t i)
{
    double row[MAX_PANELS + 3];
    for (size_t k = 0; k < q->n_cols; k++) row[k] = q->col[k].x[i];
    row[q->n_cols] = q->r[i];
    row[q->n_cols + 1] = fmax(-q->roof, fmin(q->roof, q->r[i])) / q->unit;
    row[q->n_cols + 2] = (double)i + 1;
    figure_row(f, row, q->n_cols + 3);
}

/* Rows inside, rows beyond the roof, the worst: three blocks with the same columns. */
static void blocks(figure *f, residuals *q)
{
    text head = {0};
    for (size_t k = 0; k < q->n_cols; k++) text_add(&head, "%s\t", q->col[k].name);
    text_put(&head, "100 ln(measured/fitted)\tdrawn at\trow");
    q->every = caption_thinned(f, q->p.n);
    figure_block(f, "points", text_str(&head));
    for (size_t i = 0; i < q->p.n; i += q->every)
        if (!(fabs(q->r[i]) > q->roof)) row_of(f, q, i);
    figure_block(f, "beyond", text_str(&head));
    for (size_t i = 0; i < q->p.n; i++)
        if (fabs(q->r[i]) > q->roof) row_of(f, q, i);
    figure_block(f, "worst", text_str(&head));
    for (size_t k = 0; k < q->n_worst; k++) row_of(f, q, q->worst[k]);
    text_free(&head);
}

/* Medians over bins of equally many rows along one column: "median N" and so on. */
static status medians(figure *f, const residuals *q, size_t k, size_t *n_bins, err *e)
{
    size_t n = 0, first[MAX_BINS + 1];
    double *x = malloc((q->p.n + 1) * sizeof *x), *r = malloc((q->p.n + 1) * sizeof *r),
           *part = malloc((q->p.n + 1) * sizeof *part);
    size_t *order = malloc((q->p.n + 1) * sizeof *order), *from = malloc((q->p.n + 1) * sizeof *from);
    status s = x && r && part && order && from ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu points", q->p.n);
    for (size_t i = 0; i < q->p.n && !s; i++)
        if (isfinite(q->col[k].x[i]) && isfinite(q->r[i])) x[n] = q->col[k].x[i], r[n++] = q->r[i];
    char name[32];
    snprintf(name, sizeof name, "median %zu", k + 1);
    figure_block(f, name, "median of the column\tmedian residual, as drawn\trows");
    *n_bins = s ? 0 : sample_bins(first, order, x, n, MAX_BINS, BIN_LEAST);
    for (size_t b = 0; b < *n_bins; b++) {
        size_t m = first[b + 1] - first[b];
        for (size_t i = 0; i < m; i++) part[i] = x[order[first[b] + i]], from[i] = order[first[b] + i];
        double mx = sample_median(part, m);
        for (size_t i = 0; i < m; i++) part[i] = r[from[i]];
        ROW(f, mx, sample_median(part, m) / q->unit, (double)m);
    }
    free(x);
    free(r);
    free(part);
    free(order);
    free(from);
    return s;
}

/* --- panels -------------------------------------------------------------------------------------------------- */

static void level_line(panel *p, int tag, double y, const char *style)
{
    panel_line(p, "set arrow %d from graph 0,first %.8g to graph 1,first %.8g nohead lc rgb '#%06X' %s", tag, y, y,
               INK_GREY, style);
}

static void draw_panel(figure *f, const residuals *q, size_t k, rect box, axis y, size_t n_bins, bool held)
{
    const column *c = &q->col[k];
    range r = range_empty();
    for (size_t i = 0; i < q->p.n; i++) range_add(&r, c->x[i]);
    if (held) range_add(&r, c->target);
    axis_words words = c->log ? WORDS_POWER : r.hi >= 1e4 ? WORDS_COUNT : WORDS_PLAIN;
    panel p = {.box = box,
               .x = axis_over(c->log ? AXIS_LOG10 : AXIS_LINEAR, words, r, 0.06, c->label),
               .y = y,
               .key = CORNER_NONE};
    int at = (int)k + 1, res = (int)q->n_cols + 1;
    level_line(&p, 1, 0, "lw 1");
    level_line(&p, 2, 2 * q->sd / q->unit, "lw 1 dt (4,4)");
    level_line(&p, 3, -2 * q->sd / q->unit, "lw 1 dt (4,4)");
    panel_plot(&p, NULL, "data index 'points' using %d:%d with points %s", at, res + 1, marks_of_runs(q->p.n));
    if (q->n_beyond) {
        static const char edge[] = "with points ps 0.7 lw 1.1 lc rgb '#0072B2' pt";
        panel_plot(&p, NULL, "data index 'beyond' using %d:($%d > 0 ? $%d : NaN) %s 8", at, res, res + 1, edge);
        panel_plot(&p, NULL, "data index 'beyond' using %d:($%d < 0 ? $%d : NaN) %s 10", at, res, res + 1, edge);
    }
    if (n_bins > 1) {
        panel_plot(&p, NULL, "data index 'median %d' using 1:2 with lines lw 3.4 lc rgb 'white'", at);
        panel_plot(&p, NULL, "data index 'median %d' using 1:2 with linespoints lw 1.7 pt 7 ps 0.35 lc rgb '#%06X'", at,
                   INK_BLACK);
    }
    static const char *const sides[] = {"left offset 0.6,0.35", "left offset 0.6,-0.4", "right offset -0.6,0.35",
                                        "right offset -0.6,-0.4"};
    for (size_t side = 0; side < 4 && side < q->n_worst; side++) /* neighbours' numbers stand on different sides */
        panel_plot(&p, NULL,
                   "data index 'worst' every 4::%zu using %d:%d:(sprintf('%%.0f', $%d)) with labels point pt 6 ps 1.3 "
                   "lw 1.3 "
                   "lc rgb '#%06X' %s font ',8.5' textcolor rgb '#8A5F00'",
                   side, at, res + 1, res + 2, INK_ORANGE, sides[side]);
    if (held)
        panel_plot(&p, NULL, "data index 'held-out' using %d:%d with points pt 5 ps 0.8 lc rgb '#%06X'", at, res,
                   INK_RED);
    panel_close(f, &p);
}

static void captions(figure *f, const residuals *q, const json_t *fit, bool held, bool lines)
{
    char word[AXIS_WORD];
    text t = {0};
    for (size_t k = 0; k < q->n_worst; k++)
        text_add(&t, "%s%zu (%s %%)", k ? ", " : "", q->worst[k] + 1, words_percent(word, q->r[q->worst[k]], true));
    figure_caption(f, "Residual: 100 ln(measured/fitted); dashed: ±2 sd, sd %s %%.", words_percent(word, q->sd, false));
    if (lines) figure_caption(f, "Black: medians over bins of equally many rows.");
    if (q->n_beyond) figure_caption(f, "Triangles: %zu rows beyond ±%.2g %%.", q->n_beyond, q->roof);
    if (q->n_worst)
        figure_caption(f, "Ringed: the largest, row%s %s of the fit's points.", q->n_worst > 1 ? "s" : "",
                       text_str(&t));
    if (held) figure_caption(f, "Square: the held-out run against its prediction.");
    caption_fit(f, fit);
    text_free(&t);
}

static status draw(figure *f, residuals *q, const json_t *fit, const plot_target *t, err *e)
{
    double held = percent_off(t->measured, t->loss);
    bool has_held = isfinite(held), lines = false;
    status s = columns(q, t, e);
    if (!s) s = measure(q, fit, held, e);
    if (s) return s;
    size_t across = q->n_cols < PER_ROW ? q->n_cols : PER_ROW, down = (q->n_cols + PER_ROW - 1) / PER_ROW;
    blocks(f, q);
    if (has_held) {
        double row[MAX_PANELS + 1];
        for (size_t k = 0; k < q->n_cols; k++) row[k] = q->col[k].target;
        row[q->n_cols] = held / q->unit;
        figure_block(f, "held-out", "the same columns, as drawn");
        figure_row(f, row, q->n_cols + 1);
    }
    f->width = q->n_cols > 1 ? FIGURE_PAGE : FIGURE_COLUMN;
    f->height = ROW_H * (double)down - 6;
    double gap = 16, w = (f->width - FIGURE_LEFT - 16 - gap * (double)(across - 1)) / (double)across;
    for (size_t k = 0; k < q->n_cols && !s; k++) {
        size_t n_bins = 0, i = k % PER_ROW, j = k / PER_ROW;
        axis y = axis_over(AXIS_LINEAR, WORDS_PLAIN, (range){-q->roof / q->unit, q->roof / q->unit}, 0.1,
                           i ? NULL : q->label);
        y.bare = i > 0;
        s = medians(f, q, k, &n_bins, e);
        lines |= n_bins > 1;
        draw_panel(f, q, k,
                   (rect){FIGURE_LEFT + (double)i * (w + gap), FIGURE_BOTTOM + ROW_H * (double)(down - 1 - j), w,
                          PANEL_H},
                   y, n_bins, has_held);
    }
    captions(f, q, fit, has_held, lines);
    return s;
}

status draw_residuals(figure *f, plot_inputs *in, err *e)
{
    residuals q = {0};
    plot_target t;
    status s = plot_fitted_read(&q.p, in, e);
    if (s) return s;
    const json_t *fit = plot_inputs_find(in, PLOT_FIT)->doc;
    q.points = js_get(fit, "points");
    plot_target_read(&t, in);
    s = draw(f, &q, fit, &t, e);
    free_residuals(&q);
    return s;
}
