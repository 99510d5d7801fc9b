/* Lines of equal height over a grid: marching squares (Lorensen & Cline 1987, in two dimensions), joined into curves so
 * that dashes run through. Private to plots/. */
#ifndef PLOTS_CONTOUR_H
#define PLOTS_CONTOUR_H
#include <stddef.h>
#include "base/err.h"

/* z[j*nx + i] at x[i], y[j]; borrowed. Heights are linear along each side of a cell. Cells with a height that is not
 * finite have no line. */
typedef struct contour_grid {
    size_t nx, ny;
    const double *x, *y, *z;
} contour_grid;

/* One curve, n >= 2 points; a closed one ends where it began. */
typedef void contour_curve_fn(void *who, double level, const double *x, const double *y, size_t n);
status contour_trace(const contour_grid *g, double level, contour_curve_fn *curve, void *who, err *e);
#endif
