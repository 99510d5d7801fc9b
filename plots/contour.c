#include "plots/contour.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* A curve crosses sides of cells. Sides along x come first: (i,j)-(i+1,j) is j*nx + i; then those along y:
 * (i,j)-(i,j+1). Each crossed side has one neighbour on the curve per cell it belongs to: at most two. */
enum { NONE = -1 };
typedef struct tracer {
    const contour_grid *g;
    double level;
    size_t n_sides;
    int (*next)[2];
    double *x, *y;
} tracer;

static double height(const tracer *t, size_t i, size_t j) { return t->g->z[j * t->g->nx + i] - t->level; }

static int side(const tracer *t, size_t i, size_t j, bool along_y)
{
    return (int)((along_y ? t->g->nx * t->g->ny : 0) + j * t->g->nx + i);
}

static void join(tracer *t, int a, int b)
{
    t->next[a][t->next[a][0] != NONE] = b;
    t->next[b][t->next[b][0] != NONE] = a;
}

/* A height of exactly the level counts as above, so every cell has none, two or four crossed sides. */
static void cell(tracer *t, size_t i, size_t j)
{
    double z[4] = {height(t, i, j), height(t, i + 1, j), height(t, i + 1, j + 1), height(t, i, j + 1)};
    int sides[4] = {side(t, i, j, false), side(t, i + 1, j, true), side(t, i, j + 1, false), side(t, i, j, true)},
        cut[4], n = 0;
    for (int k = 0; k < 4; k++)
        if (!isfinite(z[k])) return;
    for (int k = 0; k < 4; k++)
        if ((z[k] < 0) != (z[(k + 1) % 4] < 0)) cut[n++] = sides[k];
    if (n == 2) join(t, cut[0], cut[1]);
    if (n != 4) return;
    bool middle = z[0] + z[1] + z[2] + z[3] < 0; /* a saddle: its middle says which two corners belong together */
    bool with_first = middle == (z[0] < 0);
    join(t, cut[0], cut[with_first ? 1 : 3]);
    join(t, cut[2], cut[with_first ? 3 : 1]);
}

static void point_on(const tracer *t, int s, double *x, double *y)
{
    size_t n = t->g->nx * t->g->ny, at = (size_t)s % n, i = at % t->g->nx, j = at / t->g->nx;
    bool along_y = (size_t)s >= n;
    double a = height(t, i, j), b = height(t, i + !along_y, j + along_y), u = a / (a - b);
    *x = t->g->x[i] + (along_y ? 0 : u * (t->g->x[i + 1] - t->g->x[i]));
    *y = t->g->y[j] + (along_y ? u * (t->g->y[j + 1] - t->g->y[j]) : 0);
}

/* From side s to the curve's other end, taking the joins away. */
static size_t walk(tracer *t, int s)
{
    size_t n = 0;
    while (s != NONE) {
        point_on(t, s, &t->x[n], &t->y[n]);
        n++;
        int to = t->next[s][0];
        if (to == NONE) break;
        t->next[s][0] = t->next[s][1];
        t->next[s][1] = NONE;
        int back = t->next[to][0] == s ? 0 : 1;
        if (back == 0) t->next[to][0] = t->next[to][1];
        t->next[to][1] = NONE;
        s = to;
    }
    return n;
}

status contour_trace(const contour_grid *g, double level, contour_curve_fn *curve, void *who, err *e)
{
    tracer t = {.g = g, .level = level, .n_sides = 2 * g->nx * g->ny};
    t.next = malloc((t.n_sides + 1) * sizeof *t.next);
    t.x = malloc((t.n_sides + 2) * sizeof *t.x);
    t.y = malloc((t.n_sides + 2) * sizeof *t.y);
    status s =
        t.next && t.x && t.y ? ST_OK : err_set(e, ST_NOMEM, "no memory for contours on %zu x %zu points", g->nx, g->ny);
    for (size_t k = 0; k < t.n_sides && !s; k++) t.next[k][0] = t.next[k][1] = NONE;
    for (size_t j = 0; j + 1 < g->ny && !s; j++)
        for (size_t i = 0; i + 1 < g->nx; i++) cell(&t, i, j);
    for (int closed = 0; closed < 2; closed++) /* open curves from their ends; what is left is closed */
        for (size_t k = 0; k < t.n_sides && !s; k++) {
            if (t.next[k][0] == NONE || (!closed && t.next[k][1] != NONE)) continue;
            size_t n = walk(&t, (int)k);
            if (n >= 2) curve(who, level, t.x, t.y, n);
        }
    free(t.next);
    free(t.x);
    free(t.y);
    return s;
}
