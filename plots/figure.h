/* A figure under construction: data blocks (FIGURE.tsv), panels (FIGURE.gp) and a caption. Private to plots/.
 *
 * Places are pixels at 96 per inch, origin at the bottom left of the drawing, caption not counted: 432 wide is one column
 * of a paper, 720 two. */
#ifndef PLOTS_FIGURE_H
#define PLOTS_FIGURE_H
#include "base/err.h"
#include "plots/axis.h"
#include "plots/colour.h"
#include "plots/gnuplot.h"
#include "plots/text.h"

enum { FIGURE_COLUMN = 432, FIGURE_PAGE = 720, FIGURE_LEFT = 66, FIGURE_BOTTOM = 48, FIGURE_BAR = 98 };

typedef struct figure {
    double width, height;
    text data, script, caption;
    char title[96];   /* for readers of the page; papers put it into the caption */
} figure;

void figure_free(figure *f);

/* --- data: FIGURE.tsv holds named blocks, `index 'name'` in the script -------------------------------- */
void figure_block(figure *f, const char *name, const char *columns); /* columns separated by tabs */
void figure_row(figure *f, const double *x, size_t n);               /* not finite: NaN, which gnuplot leaves out */
void figure_gap(figure *f);                                          /* a line ends here; once is enough */
#define ROW(f, ...) figure_row((f), (const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

/* --- panels ------------------------------------------------------------------------------------------- */
typedef struct rect { double x, y, w, h; } rect;
typedef enum corner { CORNER_NONE, CORNER_TOP_RIGHT, CORNER_TOP_LEFT, CORNER_BOTTOM_LEFT, CORNER_BOTTOM_RIGHT,
               CORNER_BESIDE, CORNER_ABOVE } corner;

typedef struct panel {
    rect box;
    axis x, y;
    corner key;          /* the corner to try first; BESIDE: right of the panel; ABOVE: a line over it; NONE: no key */
    char key_title[48];
    bool top_edge;       /* has a second y axis 0..1 for marks at the top edge */
    text before, plots;
    size_t n_plots, n_keys, longest_key;
    double *ink; size_t n_ink, cap_ink; /* pairs in data coordinates: what the key must not cover */
} panel;

/* Draw order is call order. `with`: gnuplot's plot element without title, e.g. "data index 'points' using 1:2 with points". */
void panel_plot(panel *p, const char *key, const char *with, ...) __attribute__((format(printf, 3, 4)));
void panel_line(panel *p, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* a command before the plot */
void panel_ink(panel *p, double x, double y);
void panel_close(figure *f, panel *p); /* writes it into the script; frees p's memory */

/* A colour scale right of `box` for plots `lc palette`; call before the panel that uses it is closed. */
void figure_scale(figure *f, rect box, const axis *a);

void figure_caption(figure *f, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* appends a sentence */

/* Writes dir/name.gp and dir/name.tsv. */
status figure_write(const figure *f, const char *dir, const char *name, err *e);
#endif
