/* IsoFLOP curves: loss against N for runs of (nearly) one compute budget, a parabola in ln N, its minimum.
 * Hoffmann et al. 2022 (arXiv:2203.15556), approach 2. The minima come from the fit (method isoflop) where it is given; the
 * parabolas drawn are least squares through the points of each budget. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "plots/kinds.h"

/* Runs whose C differ by less than this share one budget: whole steps and whole widths never meet a budget exactly. */
#define SAME_BUDGET 1.2
/* A budget is a crowd: clearly more than so many times the runs of the stretches of C beside it, or all at nearly one
 * C. Runs spread over C, or taken off training curves, have none: parabolas through slices of them mean nothing. */
#define CROWD 2.0
#define TIGHT 0.01 /* sd of ln C */
#define SPARSE 8.0 /* where the runs are so many times those in crowds, the crowds are chance */
enum { PARABOLA_MIN = 3, STEPS = 40, BUDGETS_MAX = 64, OTHERS_MAX = 2000 };
#define NO_BUDGET SIZE_MAX
#define SPENT (SIZE_MAX - 1) /* looked at, and no crowd */

typedef struct iso { double c, n, loss; size_t budget; } iso;
typedef struct parabola { bool ok; double mean, q0, q1, q2, lo, hi; } parabola; /* loss = q0 + q1 u + q2 u^2, u = ln N - mean */

static int by_c(const void *a, const void *b)
{
    const iso *x = a, *y = b;
    return x->c != y->c ? (x->c > y->c) - (x->c < y->c) : (x->n > y->n) - (x->n < y->n);
}

static int by_budget(const void *a, const void *b)
{
    const iso *x = a, *y = b;
    return x->budget != y->budget ? (x->budget > y->budget) - (x->budget < y->budget) : (x->n > y->n) - (x->n < y->n);
}

static parabola through(const iso *r, size_t n)
{
    parabola p = {.lo = r[0].n, .hi = r[n - 1].n};
    double m[3][4] = {{0}};
    for (size_t i = 0; i < n; i++) p.mean += log(r[i].n) / (double)n;
    for (size_t i = 0; i < n; i++) {
        double u = log(r[i].n) - p.mean, row[4] = {1, u, u * u, r[i].loss};
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 4; b++) m[a][b] += row[a] * row[b];
    }
    for (int k = 0; k < 3; k++) { /* centred, three unknowns, symmetric positive: no exchange of rows needed */
        if (!(m[k][k] > 1e-12)) return p;
        for (int a = 0; a < 3; a++)
            for (int b = 3; b >= k && a != k; b--) m[a][b] -= m[a][k] / m[k][k] * m[k][b];
    }
    p.q0 = m[0][3] / m[0][0];
    p.q1 = m[1][3] / m[1][1];
    p.q2 = m[2][3] / m[2][2];
    p.ok = isfinite(p.q0) && isfinite(p.q1) && isfinite(p.q2);
    return p;
}

static double height(const parabola *p, double n)
{
    double u = log(n) - p->mean;
    return p->q0 + u * (p->q1 + u * p->q2);
}

/* The densest window of ln C among the rows that belong to no budget yet; of equals the tightest. Rows rise with C. */
static size_t densest(size_t *from, size_t *to, const iso *r, size_t n)
{
    size_t most = 0;
    double width = INFINITY;
    for (size_t i = 0, j = 0, count = 0; i < n; i++) {
        if (r[i].budget != NO_BUDGET) continue;
        if (j < i) j = i, count = 0;
        while (j < n && r[j].c <= r[i].c * SAME_BUDGET) count += r[j++].budget == NO_BUDGET;
        size_t last = j - 1;
        while (r[last].budget != NO_BUDGET) last--;
        if (count > most || (count == most && r[last].c / r[i].c < width)) {
            most = count;
            width = r[last].c / r[i].c;
            *from = i;
            *to = j;
        }
        count--; /* row i leaves the window */
    }
    return most;
}

static double rows_between(const iso *r, size_t n, double lo, double hi)
{
    double count = 0;
    for (size_t i = 0; i < n; i++) count += r[i].c > lo && r[i].c <= hi;
    return count;
}

/* sd of ln C over a stretch, rows of found budgets left out. */
static double sd_between(const iso *r, size_t n, double lo, double hi)
{
    double k = 0, mean = 0, square = 0;
    for (size_t i = 0; i < n; i++)
        if (r[i].budget >= SPENT && r[i].c > lo && r[i].c <= hi) k++, mean += log(r[i].c);
    mean /= k;
    for (size_t i = 0; i < n; i++)
        if (r[i].budget >= SPENT && r[i].c > lo && r[i].c <= hi) square += (log(r[i].c) - mean) * (log(r[i].c) - mean);
    return sqrt(square / k);
}

static bool is_crowd(const iso *r, size_t n, size_t from, size_t to)
{
    double ln_c = 0, k = 0, half = sqrt(SAME_BUDGET);
    for (size_t i = from; i < to; i++)
        if (r[i].budget == NO_BUDGET) ln_c += log(r[i].c), k++;
    double lo = exp(ln_c / k) / half, hi = exp(ln_c / k) * half;
    double beside = 0.5 * (rows_between(r, n, lo / SAME_BUDGET, lo) + rows_between(r, n, hi, hi * SAME_BUDGET));
    return k >= CROWD * beside + 3 * sqrt(beside) || sd_between(r, n, lo, hi) < TIGHT;
}

static bool enough_sizes(const iso *r, size_t from, size_t to)
{
    double seen[PARABOLA_MIN];
    int sizes = 0;
    for (size_t i = from; i < to && sizes < PARABOLA_MIN; i++) {
        bool again = r[i].budget != NO_BUDGET;
        for (int k = 0; k < sizes && !again; k++) again = fabs(log(r[i].n / seen[k])) < 0.001;
        if (!again) seen[sizes++] = r[i].n;
    }
    return sizes == PARABOLA_MIN;
}

/* Numbers the budgets by rising C; rows end up sorted by budget and N, those of none last. */
static void group(iso *r, size_t n)
{
    size_t budgets = 0, from = 0, to = 0;
    qsort(r, n, sizeof *r, by_c);
    for (size_t i = 0; i < n; i++) r[i].budget = NO_BUDGET;
    for (int tries = 0; tries < 4 * BUDGETS_MAX && budgets < BUDGETS_MAX; tries++) {
        if (densest(&from, &to, r, n) < PARABOLA_MIN) break;
        bool good = enough_sizes(r, from, to) && is_crowd(r, n, from, to);
        for (size_t i = from; i < to; i++)
            if (r[i].budget == NO_BUDGET) r[i].budget = good ? budgets : SPENT;
        budgets += good;
    }
    for (size_t i = 0, seen = 0, last = NO_BUDGET; i < n; i++) { /* found by size, wanted by C */
        if (r[i].budget >= SPENT) r[i].budget = NO_BUDGET;
        else {
            if (r[i].budget != last) last = r[i].budget, seen++;
            r[i].budget = seen - 1;
        }
    }
    qsort(r, n, sizeof *r, by_budget);
}

/* A fit by this method has budgets of its own: rows go to the nearest; one that brackets no minimum is none. */
static void group_by_fit(iso *r, size_t n, const json_t *budgets)
{
    for (size_t i = 0; i < n; i++) {
        double best = log(SAME_BUDGET);
        r[i].budget = NO_BUDGET;
        for (size_t k = 0; k < json_array_size(budgets); k++) {
            const json_t *b = json_array_get(budgets, k);
            double off = fabs(log(js_num(b, "C") / r[i].c));
            if (!(off < best)) continue;
            best = off;
            r[i].budget = json_is_true(js_get(b, "bracketed")) ? k : NO_BUDGET;
        }
    }
    qsort(r, n, sizeof *r, by_budget);
}

typedef struct curve { size_t at, n; double c; parabola p; double n_opt, loss_opt; bool has_minimum; } curve;

/* Budgets with enough sizes. A budget of one or two runs says nothing about a minimum. */
static size_t curves_of(curve *out, const iso *r, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n && r[i].budget != NO_BUDGET;) {
        size_t j = i, sizes = 0;
        double sum = 0;
        while (j < n && r[j].budget == r[i].budget) {
            sizes += j == i || r[j].n > r[j - 1].n * 1.001;
            sum += log(r[j++].c);
        }
        if (sizes >= PARABOLA_MIN) {
            curve *c = &out[k++];
            *c = (curve){.at = i, .n = j - i, .c = exp(sum / (double)(j - i)), .p = through(r + i, j - i)};
            double u = -c->p.q1 / (2 * c->p.q2);
            c->n_opt = exp(c->p.mean + u);
            c->loss_opt = height(&c->p, c->n_opt);
            c->has_minimum = c->p.ok && c->p.q2 > 0 && c->n_opt > c->p.lo && c->n_opt < c->p.hi;
        }
        i = j;
    }
    return k;
}

static void blocks(figure *f, panel *q, const iso *r, const curve *c, size_t n, range *N, range *loss)
{
    figure_block(f, "points", "N\tloss\tC of the budget");
    for (size_t k = 0; k < n; k++)
        for (size_t i = c[k].at; i < c[k].at + c[k].n; i++) {
            ROW(f, r[i].n, r[i].loss, c[k].c);
            range_add(N, r[i].n);
            range_add(loss, r[i].loss);
            panel_ink(q, r[i].n, r[i].loss);
        }
    figure_block(f, "parabolas", "N\tloss\tC of the budget");
    for (size_t k = 0; k < n; k++) {
        if (!c[k].p.ok || !(c[k].p.q2 > 0)) continue; /* a hump through three points that lie close says nothing */
        for (int i = 0; i <= STEPS; i++) {
            double x = c[k].p.lo * pow(c[k].p.hi / c[k].p.lo, (double)i / STEPS), y = height(&c[k].p, x);
            ROW(f, x, y, c[k].c);
            range_add(loss, y);
            panel_ink(q, x, y);
        }
        figure_gap(f);
    }
}

/* Runs of no budget: pale, so that nobody thinks them forgotten. */
static size_t other_runs(figure *f, const iso *r, size_t n, range *N, range *loss)
{
    size_t others = 0;
    figure_block(f, "others", "N\tloss\tC");
    for (size_t i = 0; i < n; i++)
        if (r[i].budget == NO_BUDGET && others++ < OTHERS_MAX) {
            ROW(f, r[i].n, r[i].loss, r[i].c);
            range_add(N, r[i].n);
            range_add(loss, r[i].loss);
        }
    return others;
}

static size_t minima(figure *f, const curve *c, size_t n, const json_t *fit)
{
    size_t found = 0;
    const json_t *budgets = fit ? js_get(fit, "budgets") : NULL;
    figure_block(f, "minima", "optimal N\tloss\tC of the budget");
    for (size_t k = 0; k < json_array_size(budgets); k++) {
        const json_t *b = json_array_get(budgets, k);
        if (!json_is_true(js_get(b, "bracketed")) || !isfinite(js_num(b, "N_opt"))) continue;
        ROW(f, js_num(b, "N_opt"), js_num(b, "loss_opt"), js_num(b, "C"));
        found++;
    }
    for (size_t k = 0; k < n && !budgets; k++)
        if (c[k].has_minimum) {
            ROW(f, c[k].n_opt, c[k].loss_opt, c[k].c);
            found++;
        }
    return found;
}

static size_t diverged_marks(figure *f, panel *q, const plot_points *p)
{
    size_t n = 0;
    figure_block(f, "diverged", "N\theight on the edge");
    for (size_t i = 0; i < p->n_diverged && p->diverged_N; i++)
        if (p->diverged_N[i] >= q->x.lo && p->diverged_N[i] <= q->x.hi) {
            ROW(f, p->diverged_N[i], 0.985);
            n++;
        }
    q->top_edge = n > 0;
    if (n) panel_plot(q, NULL, "data index 'diverged' using 1:2 axes x1y2 with points pt 8 ps 0.75 lw 1.2 lc rgb '#%06X'", INK_BLACK);
    return n;
}

static void allocation_caption(figure *f, const json_t *fit)
{
    double a = js_num(fit, "optimum.a_opt"), ci[2];
    if (!isfinite(a)) return;
    if (js_pair(ci, fit, "optimum.ci95.a_opt"))
        figure_caption(f, "Optimal N grows as C^%.3f [%.3f, %.3f].", a, ci[0], ci[1]);
    else figure_caption(f, "Optimal N grows as C^%.3f.", a);
}

static void scale_of_budgets(figure *f, rect box, const curve *c, size_t n)
{
    range r = range_empty();
    for (size_t k = 0; k < n; k++) range_add(&r, c[k].c);
    axis a = axis_over(AXIS_LOG10, WORDS_POWER, r, 0, plot_label_compute);
    figure_scale(f, box, &a);
}

status draw_isoflop(figure *f, plot_inputs *in, err *e)
{
    plot_points p;
    const plot_input *fit = plot_inputs_find(in, PLOT_FIT);
    status s = plot_points_read(&p, in, e);
    if (s) return s;
    iso *r = malloc((p.n + 1) * sizeof *r);
    curve *c = malloc((p.n + 1) * sizeof *c);
    size_t m = 0, n = 0, used = 0;
    const json_t *budgets = fit ? js_get(fit->doc, "budgets") : NULL;
    if (!r || !c) s = err_set(e, ST_NOMEM, "no memory for %zu runs", p.n);
    else if (!p.N || !(p.C || p.D)) s = err_set(e, ST_INPUT, "needs N and C (or D) of the runs");
    for (size_t i = 0; i < p.n && !s; i++) {
        double compute = p.C ? p.C[i] : 6 * p.N[i] * p.D[i];
        if (p.N[i] > 0 && compute > 0 && isfinite(p.loss[i])) r[m++] = (iso){.c = compute, .n = p.N[i], .loss = p.loss[i]};
    }
    if (!s) {
        if (budgets) group_by_fit(r, m, budgets);
        else group(r, m);
        n = curves_of(c, r, m);
        for (size_t k = 0; k < n; k++) used += c[k].n;
        if (SPARSE * (double)used < (double)m) n = 0; /* chance crowds */
        if (!n)
            s = err_set(e, ST_INPUT, "no compute budget: nowhere do runs of %d sizes or more crowd within %.0f %% of C",
                        PARABOLA_MIN, 100 * (SAME_BUDGET - 1));
    }
    if (!s) {
        range N = range_empty(), loss = range_empty();
        f->height = 320;
        rect box = {FIGURE_LEFT, FIGURE_BOTTOM, f->width - FIGURE_LEFT - FIGURE_BAR, f->height - FIGURE_BOTTOM - 14};
        panel q = {.box = box, .key = CORNER_TOP_RIGHT};
        blocks(f, &q, r, c, n, &N, &loss);
        size_t others = other_runs(f, r, m, &N, &loss);
        size_t of_fit = json_array_size(budgets);
        size_t found = minima(f, c, n, fit ? fit->doc : NULL);
        q.x = axis_over(AXIS_LOG10, WORDS_POWER, N, 0.05, plot_label_params);
        q.y = axis_over(AXIS_LINEAR, WORDS_PLAIN, loss, 0.06, plot_label_loss);
        scale_of_budgets(f, box, c, n);
        if (others)
            panel_plot(&q, "runs of no budget", "data index 'others' using 1:2 with points pt 7 ps 0.25 lc rgb '#%06X'",
                       INK_PALE);
        panel_plot(&q, NULL, "data index 'parabolas' using 1:2:3 with lines lw 1.2 lc palette");
        panel_plot(&q, "runs", "data index 'points' using 1:2:3 with points pt 6 ps 0.6 lw 1.2 lc palette");
        if (found) panel_plot(&q, "minimum of the parabola", "data index 'minima' using 1:2:3 with points pt 7 ps 0.9 lc rgb '#%06X'", INK_RED);
        size_t used_diverged = diverged_marks(f, &q, &p);
        panel_close(f, &q);
        figure_caption(f, "%zu runs in %zu compute budget%s of %d sizes or more;", used, n, n == 1 ? "" : "s",
                       PARABOLA_MIN);
        figure_caption(f, "%zu of %zu minima lie inside their grid.", found, of_fit > n ? of_fit : n);
        if (m > used)
            figure_caption(f, "%zu run%s no budget.", m - used, m - used == 1 ? " belongs to" : "s belong to");
        if (used_diverged) figure_caption(f, "Triangles at the top edge: %zu diverged.", used_diverged);
        figure_caption(f, "Lines: parabola in ln N, where it opens upwards.");
        if (of_fit) allocation_caption(f, fit->doc);
        if (fit) caption_fit(f, fit->doc);
    }
    free(r);
    free(c);
    plot_points_free(&p);
    return s;
}
