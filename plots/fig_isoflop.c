/* IsoFLOP curves: loss against N for runs of (nearly) one compute budget, a parabola in ln N, its minimum.
 * Hoffmann et al. 2022 (arXiv:2203.15556), approach 2. The minima come from the fit (method isoflop) where it is given; the
 * parabolas drawn are least squares through the points of each budget. */
#include <math.h>
#include <stdlib.h>

#include "plots/kinds.h"

/* Runs whose C differ by less than this share one budget: whole steps and whole widths never meet a budget exactly. */
#define SAME_BUDGET 1.2
enum { PARABOLA_MIN = 3, STEPS = 40 };

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

/* Budgets from gaps in C. Returns how many; rows end up sorted by budget and N. */
static size_t group(iso *r, size_t n)
{
    size_t budgets = 0;
    double first = 0;
    qsort(r, n, sizeof *r, by_c);
    for (size_t i = 0; i < n; i++) {
        if (!i || r[i].c > first * SAME_BUDGET) {
            budgets += i > 0;
            first = r[i].c;
        }
        r[i].budget = budgets;
    }
    qsort(r, n, sizeof *r, by_budget);
    return n ? budgets + 1 : 0;
}

typedef struct curve { size_t at, n; double c; parabola p; double n_opt, loss_opt; bool has_minimum; } curve;

/* Budgets with enough sizes. A budget of one or two runs says nothing about a minimum. */
static size_t curves_of(curve *out, const iso *r, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n;) {
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
    size_t m = 0, n = 0;
    if (!r || !c) s = err_set(e, ST_NOMEM, "no memory for %zu runs", p.n);
    else if (!p.N || !(p.C || p.D)) s = err_set(e, ST_INPUT, "needs N and C (or D) of the runs");
    for (size_t i = 0; i < p.n && !s; i++) {
        double compute = p.C ? p.C[i] : 6 * p.N[i] * p.D[i];
        if (p.N[i] > 0 && compute > 0 && isfinite(p.loss[i])) r[m++] = (iso){.c = compute, .n = p.N[i], .loss = p.loss[i]};
    }
    if (!s) {
        group(r, m);
        n = curves_of(c, r, m);
        if (!n) s = err_set(e, ST_INPUT, "no compute budget (C within %.0f %%) has %d model sizes or more", 100 * (SAME_BUDGET - 1), PARABOLA_MIN);
    }
    if (!s) {
        range N = range_empty(), loss = range_empty();
        f->height = 320;
        rect box = {FIGURE_LEFT, FIGURE_BOTTOM, f->width - FIGURE_LEFT - FIGURE_BAR, f->height - FIGURE_BOTTOM - 14};
        panel q = {.box = box, .key = CORNER_TOP_RIGHT};
        size_t used = 0;
        for (size_t k = 0; k < n; k++) used += c[k].n;
        blocks(f, &q, r, c, n, &N, &loss);
        size_t found = minima(f, c, n, fit ? fit->doc : NULL);
        q.x = axis_over(AXIS_LOG10, WORDS_POWER, N, 0.05, plot_label_params);
        q.y = axis_over(AXIS_LINEAR, WORDS_PLAIN, loss, 0.06, plot_label_loss);
        scale_of_budgets(f, box, c, n);
        panel_plot(&q, NULL, "data index 'parabolas' using 1:2:3 with lines lw 1.2 lc palette");
        panel_plot(&q, "runs", "data index 'points' using 1:2:3 with points pt 6 ps 0.6 lw 1.2 lc palette");
        if (found) panel_plot(&q, "minimum of the parabola", "data index 'minima' using 1:2:3 with points pt 7 ps 0.9 lc rgb '#%06X'", INK_RED);
        size_t used_diverged = diverged_marks(f, &q, &p);
        panel_close(f, &q);
        figure_caption(f, "%zu runs in %zu compute budgets of %d sizes or more; %zu of %zu minima lie inside their grid.", used, n, PARABOLA_MIN, found, n);
        if (m > used) figure_caption(f, "%zu runs stand in smaller budgets and are not shown.", m - used);
        if (used_diverged) figure_caption(f, "Triangles at the top edge: %zu diverged.", used_diverged);
        figure_caption(f, "Lines: parabola in ln N, where it opens upwards.");
    }
    free(r);
    free(c);
    plot_points_free(&p);
    return s;
}
