/* plots/contour.c: lines of equal height. */
#include <criterion/criterion.h>
#include <math.h>

#include "plots/contour.h"

enum { NX = 41, NY = 33, KEEP = 2000 };
static double gx[NX], gy[NY], gz[NX * NY];

typedef struct kept {
    size_t n_curves, n;
    double x[KEEP], y[KEEP];
    bool closed, open;
} kept;

static void keep(void *who, double level, const double *x, const double *y, size_t n)
{
    kept *k = who;
    (void)level;
    bool closed = x[0] == x[n - 1] && y[0] == y[n - 1];
    k->n_curves++;
    k->closed |= closed;
    k->open |= !closed;
    for (size_t i = 0; i < n && k->n < KEEP; i++) k->x[k->n] = x[i], k->y[k->n++] = y[i];
}

static kept trace(double (*height)(double, double), double level)
{
    static kept k;
    contour_grid g = {NX, NY, gx, gy, gz};
    err e = {0};
    k = (kept){0};
    for (int i = 0; i < NX; i++) gx[i] = -2 + 4.0 * i / (NX - 1);
    for (int j = 0; j < NY; j++) gy[j] = -1.7 + 3.4 * j / (NY - 1);
    for (int j = 0; j < NY; j++)
        for (int i = 0; i < NX; i++) gz[j * NX + i] = height(gx[i], gy[j]);
    cr_assert_eq(contour_trace(&g, level, keep, &k, &e), ST_OK, "%s", e.msg);
    return k;
}

static double bowl(double x, double y) { return x * x + 2 * y * y; }
static double plane(double x, double y) { return 3 * x - y; }
static double saddle(double x, double y) { return (x - 0.013) * (y + 0.021); }
static double torn(double x, double y) { return x < 0.4 ? plane(x, y) : NAN; }

Test(contour, a_closed_curve_closes_and_lies_on_its_level)
{
    kept k = trace(bowl, 1.3);
    cr_expect_eq(k.n_curves, 1);
    cr_expect(k.closed && !k.open);
    cr_expect_gt(k.n, 40);
    for (size_t i = 0; i < k.n; i++)
        cr_expect_float_eq(bowl(k.x[i], k.y[i]), 1.3, 0.02, "%g at %g %g", bowl(k.x[i], k.y[i]), k.x[i], k.y[i]);
    cr_expect_eq(trace(bowl, -0.5).n_curves, 0);
}

Test(contour, an_open_curve_is_one_and_exact_on_a_plane)
{
    kept k = trace(plane, 0.37);
    cr_expect_eq(k.n_curves, 1, "%zu pieces: dashes would start anew at each", k.n_curves);
    cr_expect(k.open && !k.closed);
    for (size_t i = 0; i < k.n; i++) cr_expect_float_eq(plane(k.x[i], k.y[i]), 0.37, 1e-12);
    for (size_t i = 1; i < k.n; i++) cr_expect_lt(hypot(k.x[i] - k.x[i - 1], k.y[i] - k.y[i - 1]), 0.2, "a jump");
    k = trace(plane, plane(gx[7], gy[9])); /* a level that corners have */
    cr_expect_eq(k.n_curves, 1);
}

Test(contour, a_saddle_has_two_branches_that_do_not_cross)
{
    kept k = trace(saddle, 0.0004);
    cr_expect_eq(k.n_curves, 2);
    size_t low = 0, high = 0;
    for (size_t i = 0; i < k.n; i++) {
        cr_expect((k.x[i] > 0.013) == (k.y[i] > -0.021), "%g %g is on no branch", k.x[i], k.y[i]);
        *(k.x[i] > 0.013 ? &high : &low) += 1;
    }
    cr_expect(low > 10 && high > 10);
}

Test(contour, where_there_is_no_height_there_is_no_line)
{
    kept k = trace(torn, 0.37);
    cr_expect_eq(k.n_curves, 1);
    for (size_t i = 0; i < k.n; i++) cr_expect(isfinite(k.x[i]) && k.x[i] <= 0.4 + 1e-9);
}
