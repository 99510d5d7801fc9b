/* Curves of loss over learning rate, sorted into panels: one per parametrisation and per value of what else varied. */
#ifndef PLOTS_LR_FACETS_H
#define PLOTS_LR_FACETS_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef struct lr_curve {
    double width; /* or depth, or tokens */
    size_t n;     /* runs */
    const json_t *doc;
    size_t facet;
    unsigned ink;
} lr_curve;

/* One panel. */
typedef struct lr_facet {
    const char *par, *fixed; /* borrowed; the other sizes, in words; "" */
    char name[48];           /* of its data blocks */
    char more[96];           /* of `fixed`, what is not the same in all panels */
} lr_facet;

/* One block of panels with one loss axis. */
typedef struct lr_facets {
    const char *size, *x; /* what the curves differ in, what the axis is: "width", "lr"; borrowed */
    const char *prefix;   /* of the names of its data blocks */
    size_t n, n_facets;
    lr_curve *g;
    lr_facet *facet;
    size_t n_widths;
    double *widths; /* rising */
    size_t columns; /* panels side by side */
    bool subtitles; /* some panel has `more` */
} lr_facets;

/* Of groups of muscale.fit/1, method lr-optimum, that may have a key `fixed`; `list` is borrowed. size, x and prefix are
 * set by the caller. Free in any case. */
status lr_facets_collect(lr_facets *all, const json_t *list, err *e);
void lr_facets_free(lr_facets *all);

size_t lr_facets_find(const lr_facets *all, const char *par, const char *fixed); /* n_facets: there is none */
size_t lr_facets_rank(const lr_facets *all, double width);
unsigned lr_facets_ink(const lr_facets *all, double width);

/* Three panels side by side at most, and as even as can be: four are two and two. */
size_t lr_facets_rows(size_t n_facets);
size_t lr_facets_columns(size_t n_facets);
#endif
