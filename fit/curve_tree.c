/* multi-power's sum H(s) over the steps before s, for every row: rows x steps terms if written out (11 million for one
 * cosine of 72,000 steps with 546 rows). A summand drop_k f(k), f(k) = G(eta_k^-gamma S_k(s)), is a drop, which the
 * schedule alone decides, times a function of k that is smooth where k is far below s: its nearest singularity lies
 * behind s, where 1 + C x = 0. So over a block of m steps that ends at least m steps before s, f is its interpolating
 * polynomial through 16 Chebyshev points, and the block's sum becomes sum_j W_j f(k_j) with W_j = sum_k drop_k l_j(k),
 * which depends on neither the parameters nor the row. Blocks are dyadic; a parent's W follow from its children's.
 * (Barnes & Hut 1986, Nature 324:446; by interpolation: Fong & Darve 2009, J. Comput. Phys. 228:8712, section 2.)
 *
 * Accuracy: with the singularity a block length away Chebyshev's error falls as (3 + sqrt 8)^-16 = 6e-13. f also needs
 * eta^-gamma to be smooth over the block, which is tried out when the block is made: a block over a kink, a jump or the
 * last steps before eta = 0 is never used, its halves are. Nodes are whole steps, so eta and S1 are never interpolated
 * themselves, and the 16-step blocks at the bottom are the plain sum. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/curve.h"

enum { P = FIT_NODES, MAX_LEVELS = 32, NO_BLOCK = -1, EMPTY_BLOCK = -2 };
static const double SMOOTH = 1e-12; /* of the interpolated function: rounding of eta, times 16 weights */

/* One level of one segment. Block b covers steps begin + b m .. begin + (b + 1) m - 1, m = 16 * 2^level. */
typedef struct level { size_t n_blocks; int64_t *first; } level; /* first node, or NO_BLOCK, EMPTY_BLOCK */
typedef struct segment { size_t begin, end, n_levels; level level[MAX_LEVELS]; } segment;
typedef struct tree { const fit_schedule *s; size_t n; segment segment[FIT_MAX_BREAKS + 1]; } tree;

static size_t block_size(size_t l) { return (size_t)P << l; }

/* Chebyshev points of [0, m - 1], rounded to distinct whole numbers, symmetric. */
static void offsets(size_t *out, size_t m)
{
    for (size_t j = 0; j < P / 2; j++) {
        double x = (double)(m - 1) / 2 * (1 - cos(M_PI * (2 * (double)j + 1) / (2 * P)));
        out[j] = (size_t)llround(x);
        if (j && out[j] <= out[j - 1]) out[j] = out[j - 1] + 1;
        out[P - 1 - j] = m - 1 - out[j];
    }
}

/* l[j]: the Lagrange polynomials of the nodes at x, by the barycentric formula (Berrut & Trefethen 2004, eq. 4.2). */
static void lagrange(double *l, const size_t *node, size_t x)
{
    double sum = 0, scale = (double)(node[P - 1] - node[0]) / 4; /* keeps the products near 1 */
    for (size_t j = 0; j < P; j++) {
        double w = 1;
        if (node[j] == x) {
            for (size_t i = 0; i < P; i++) l[i] = i == j;
            return;
        }
        for (size_t i = 0; i < P; i++)
            if (i != j) w *= ((double)node[j] - (double)node[i]) / scale;
        sum += l[j] = 1 / (w * ((double)x - (double)node[j]));
    }
    for (size_t j = 0; j < P; j++) l[j] /= sum;
}

static double drop_of(const fit_schedule *s, size_t k)
{
    return k >= s->first_drop && k < s->n_steps ? s->lr[k - 1] - s->lr[k] : 0;
}

static status new_block(fit_nodes *d, int64_t *first, err *e)
{
    if (d->n + P > d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 1024;
        double *w = realloc(d->weight, cap * sizeof *w);
        if (w) d->weight = w;
        double *t = realloc(d->t, cap * sizeof *t);
        if (t) d->t = t;
        double *s1 = realloc(d->s1, cap * sizeof *s1);
        if (s1) d->s1 = s1;
        if (!w || !t || !s1 || cap > UINT32_MAX) return err_set(e, ST_NOMEM, "no memory for %zu schedule nodes", cap);
        d->cap = cap;
    }
    *first = (int64_t)d->n;
    d->n += P;
    return ST_OK;
}

static void set_node(fit_nodes *d, size_t at, const fit_schedule *s, size_t k, double weight)
{
    bool off = s->lr[k] <= 0; /* its drop is in `saturated` */
    d->weight[at] = off ? 0 : weight;
    d->t[at] = off ? 0 : -log(s->lr[k]);
    d->s1[at] = k ? s->s1[k - 1] : 0;
}

static status bottom(fit_curves *c, const fit_schedule *s, segment *g, err *e)
{
    level *v = &g->level[0];
    for (size_t b = 0; b < v->n_blocks; b++) {
        size_t at = g->begin + b * P;
        bool any = false;
        for (size_t j = 0; j < P; j++) any |= at + j < g->end && drop_of(s, at + j) != 0;
        v->first[b] = EMPTY_BLOCK;
        if (!any) continue;
        status st = new_block(&c->nodes, &v->first[b], e);
        if (st) return st;
        for (size_t j = 0; j < P; j++) { /* beyond the segment: the last step again with weight 0, so that S >= 0 */
            size_t k = at + j < g->end ? at + j : g->end - 1;
            set_node(&c->nodes, (size_t)v->first[b] + j, s, k, at + j < g->end ? drop_of(s, k) : 0);
        }
    }
    return ST_OK;
}

/* Does interpolation from the block's nodes give 1/eta at the children's? (gamma 1: steeper than what is fitted. S1,
 * the sum of eta, is smoother still.) */
static bool smooth(const fit_schedule *s, size_t begin, const size_t *node, const size_t *at, const double (*l)[P])
{
    for (size_t i = 0; i < 2 * P; i++) {
        double inverse = 0;
        for (size_t j = 0; j < P; j++) inverse += l[i][j] / s->lr[begin + node[j]];
        if (!(fabs(inverse * s->lr[begin + at[i]] - 1) <= SMOOTH)) return false; /* also where eta = 0 */
    }
    return true;
}

static status parents(fit_curves *c, const fit_schedule *s, segment *g, size_t lv, err *e)
{
    size_t m = block_size(lv), child[P], node[P], at[2 * P];
    double l[2 * P][P];
    level *v = &g->level[lv], *below = &g->level[lv - 1];
    fit_nodes *d = &c->nodes;
    offsets(node, m);
    if (lv > 1) offsets(child, m / 2);
    for (size_t i = 0; i < 2 * P; i++) {
        at[i] = (lv > 1 ? child[i % P] : i % P) + (i >= P) * (m / 2);
        lagrange(l[i], node, at[i]);
    }
    for (size_t b = 0; b < v->n_blocks; b++) {
        size_t begin = g->begin + b * m;
        int64_t half[2] = {below->first[2 * b], 2 * b + 1 < below->n_blocks ? below->first[2 * b + 1] : NO_BLOCK};
        v->first[b] = half[0] == EMPTY_BLOCK && half[1] == EMPTY_BLOCK ? EMPTY_BLOCK : NO_BLOCK;
        if (half[0] == NO_BLOCK || half[1] == NO_BLOCK || (half[0] < 0 && half[1] < 0) || begin + m > g->end) continue;
        if (!smooth(s, begin, node, at, (const double (*)[P])l)) continue;
        status st = new_block(d, &v->first[b], e);
        if (st) return st;
        for (size_t j = 0; j < P; j++) {
            double w = 0;
            for (size_t i = 0; i < 2 * P; i++)
                if (half[i / P] >= 0) w += l[i][j] * d->weight[(size_t)half[i / P] + i % P];
            set_node(d, (size_t)v->first[b] + j, s, begin + node[j], w);
        }
    }
    return ST_OK;
}

static status grow_segment(fit_curves *c, const fit_schedule *s, segment *g, err *e)
{
    for (g->n_levels = 0; g->n_levels < MAX_LEVELS; g->n_levels++) {
        size_t m = block_size(g->n_levels), n = (g->end - g->begin + m - 1) / m, lv = g->n_levels;
        if (lv && n == 1 && g->level[lv - 1].n_blocks == 1) break;
        g->level[lv].n_blocks = n;
        g->level[lv].first = malloc(n * sizeof *g->level[lv].first);
        if (!g->level[lv].first) return err_set(e, ST_NOMEM, "no memory for a schedule of %zu steps", s->n_steps);
        status st = lv ? parents(c, s, g, lv, e) : bottom(c, s, g, e);
        if (st) return st;
    }
    return ST_OK;
}

static void tree_free(tree *t)
{
    for (size_t i = 0; i < t->n; i++)
        for (size_t l = 0; l < MAX_LEVELS; l++) free(t->segment[i].level[l].first);
    t->n = 0;
}

static status tree_grow(tree *t, fit_curves *c, const fit_schedule *s, err *e)
{
    memset(t, 0, sizeof *t);
    t->s = s;
    for (size_t i = 0, begin = 0; i <= s->n_breaks; i++) {
        size_t end = i < s->n_breaks ? s->breaks[i] : s->n_steps;
        segment *g = &t->segment[t->n++];
        g->begin = begin;
        g->end = begin = end;
        status st = grow_segment(c, s, g, e);
        if (st) return st;
    }
    return ST_OK;
}

static status add_run(fit_curves *c, fit_node_row *row, int64_t first, size_t count, err *e)
{
    if (c->n_run == c->cap_run) {
        size_t cap = c->cap_run ? 2 * c->cap_run : 1024;
        uint32_t *run = realloc(c->run, cap * sizeof *run);
        if (!run) return err_set(e, ST_NOMEM, "no memory for the runs of %zu rows", c->n);
        c->run = run;
        c->cap_run = cap;
    }
    c->run[c->n_run++] = (uint32_t)first;
    row->n_runs++;
    row->last = (unsigned char)count; /* only the last run of a row can be shorter than a block */
    return ST_OK;
}

/* The blocks that make up the steps up to s, in ascending order: the one with step s comes last. */
static status cover(fit_curves *c, fit_node_row *row, const segment *g, size_t lv, size_t b, size_t s, err *e)
{
    size_t m = block_size(lv), begin = g->begin + b * m, last = begin + m - 1;
    int64_t first = b < g->level[lv].n_blocks ? g->level[lv].first[b] : EMPTY_BLOCK;
    if (first == EMPTY_BLOCK || begin > s || begin >= g->end) return ST_OK;
    if (!lv) return add_run(c, row, first, last <= s ? P : s - begin + 1, e);
    if (first != NO_BLOCK && last < s && s + 1 - last >= m) return add_run(c, row, first, P, e);
    status st = cover(c, row, g, lv - 1, 2 * b, s, e);
    return st ? st : cover(c, row, g, lv - 1, 2 * b + 1, s, e);
}

/* Steps at eta = 0: eta^-gamma S is infinite and G is 1, as soon as there is any learning rate behind them; before that
 * x = 0 (for gamma < 1) and G is 0. Per step, summed up. */
static double *saturated(const fit_schedule *s, err *e)
{
    double *sum = calloc(s->n_steps + 1, sizeof *sum), waiting = 0, total = 0;
    if (!sum) {
        err_set(e, ST_NOMEM, "no memory for a schedule of %zu steps", s->n_steps);
        return NULL;
    }
    for (size_t k = 1; k < s->n_steps; k++) {
        if (s->lr[k] > 0) total += waiting, waiting = 0;
        else waiting += drop_of(s, k);
        sum[k] = total;
    }
    return sum;
}

static status rows_of(fit_curves *c, const fit_runs *runs, const tree *t, uint32_t run, err *e)
{
    double *sat = saturated(t->s, e);
    status st = sat ? ST_OK : ST_NOMEM;
    for (size_t i = 0; i < c->n && !st; i++) {
        if (runs->run[i] != run) continue;
        fit_node_row *row = &c->row[i];
        *row = (fit_node_row){.first = c->n_run, .last = P};
        row->s1 = t->s->s1[runs->step[i]];
        row->saturated = sat[runs->step[i]];
        for (size_t k = 0; k < t->n && !st; k++)
            st = cover(c, row, &t->segment[k], t->segment[k].n_levels - 1, 0, runs->step[i], e);
    }
    free(sat);
    return st;
}

status fit_curves_nodes(fit_curves *c, const fit_runs *runs, err *e)
{
    status st = ST_OK;
    c->row = calloc(c->n + 1, sizeof *c->row);
    if (!c->row) return err_set(e, ST_NOMEM, "no memory for %zu rows", c->n);
    for (size_t k = 0; k < runs->n_schedules && !st; k++) {
        tree t;
        st = tree_grow(&t, c, &runs->schedule[k], e);
        if (!st) st = rows_of(c, runs, &t, (uint32_t)k, e);
        tree_free(&t);
    }
    return st;
}

void fit_curves_h(double *h, const fit_curves *c, size_t row, double v, double beta, double gamma, bool all)
{
    enum { CHUNK = 32 };
    double weight[CHUNK * P], t[CHUNK * P], s[CHUNK * P];
    const fit_node_row *r = &c->row[row];
    for (size_t j = 0; j < FIT_N_H; j++) h[j] = 0;
    for (size_t from = 0; from < r->n_runs; from += CHUNK) {
        size_t n = r->n_runs - from < CHUNK ? r->n_runs - from : CHUNK;
        for (size_t k = 0; k < n; k++) {
            size_t at = c->run[r->first + from + k], used = from + k + 1 < r->n_runs ? P : r->last;
            for (size_t j = 0; j < P; j++) {
                weight[k * P + j] = j < used ? c->nodes.weight[at + j] : 0;
                t[k * P + j] = c->nodes.t[at + j];
                s[k * P + j] = j < used ? r->s1 - c->nodes.s1[at + j] : 0;
            }
        }
        fit_curve_sum(h, weight, t, s, n * P, v, beta, gamma, all, c->level);
    }
    h[FIT_H] += r->saturated;
}
