/* Figures and reports. Pure: reads run records and results from disk, knows no trainer; gnuplot draws.
 *
 * A figure is a row of plot_figures[] and one file fig_*.c. To add one: write draw_x(), declare it in plots/kinds.h, add the
 * row in plots/kinds.c, list the file in plots/module.am, test it in tests/plots/test_figures.c, describe it in
 * doc/figures.md. */
#ifndef PLOTS_PLOTS_H
#define PLOTS_PLOTS_H
#include <jansson.h>
#include "base/err.h"
#include "base/io.h"
#include "base/run.h"
#include "base/table.h"
#include "plots/gnuplot.h"

/* --- inputs ------------------------------------------------------------------------------------------------- */

typedef enum plot_what { PLOT_RUNS, PLOT_FIT, PLOT_LR_FIT, PLOT_TRANSFER, PLOT_PREDICTION, PLOT_SCORE, PLOT_MUP_CHECK } plot_what;

typedef struct plot_input {
    char path[IO_PATH_MAX];
    char sha256[IO_SHA256_HEX]; /* of a file; "" for a directory */
    plot_what what;
    json_t *doc;                /* owned; NULL for runs */
} plot_input;

typedef struct plot_inputs {
    size_t n;
    plot_input *item;
    const char *where;          /* --where of the command line, or NULL; borrowed */
    table runs;                 /* of all PLOT_RUNS inputs; read by plot_inputs_runs */
    bool has_runs;
    run_record *curves;         /* their curves; read by plot_inputs_curves */
    size_t n_curves;
    bool has_curves;
    text notes;                 /* lines for the user: runs that could not be read, stale indices */
} plot_inputs;

/* One command-line argument: fit.json, prediction.json, score.json (by their `schema`), else whatever table_read takes.
 * Unreadable, damaged or foreign: ST_INPUT. `in` starts zeroed and is freed by the caller also after an error. */
status plot_inputs_add(plot_inputs *in, const char *path, err *e);
void plot_inputs_free(plot_inputs *in);

/* The first input of a kind; NULL. A fit that a prediction names by sha256 goes before others of its kind. */
const plot_input *plot_inputs_find(const plot_inputs *in, plot_what what);

/* Lazy readers. ST_INPUT when there is no such input: "needs a campaign ...". */
status plot_inputs_runs(plot_inputs *in, err *e);
status plot_inputs_curves(plot_inputs *in, err *e);

/* --- figures ------------------------------------------------------------------------------------------------- */

struct figure;
typedef struct plot_figure {
    const char *kind, *title, *needs, *shows;
    /* ST_INPUT: these inputs do not hold what the figure shows; the message is a sentence for the report. */
    status (*draw)(struct figure *f, plot_inputs *in, err *e);
} plot_figure;

extern const plot_figure plot_figures[];
extern const size_t plot_n_figures;
const plot_figure *plot_figure_find(const char *kind, err *e); /* NULL: ST_USAGE with "did you mean" and the list */

/* Draws one figure: FILE, and beside it its script (.gp) and data (.tsv). caption (may be NULL) gets the caption's text,
 * said (may be NULL) gnuplot's warnings. */
status plot_draw(const plot_figure *kind, plot_inputs *in, const char *dir, const char *name, const plot_format *formats,
                 size_t n_formats, text *caption, text *said, err *e);

/* --- report -------------------------------------------------------------------------------------------------- */

typedef struct report_result {
    size_t n_figures, n_left_out;
    bool missed;                /* the measured loss lies outside the predicted interval */
    char trouble[512];          /* why figures could not be drawn (no gnuplot), "" if nothing: for a warning */
    char html[IO_PATH_MAX], md[IO_PATH_MAX];
} report_result;

/* DIR/report.html (self-contained), DIR/report.md, DIR/figures/. Parts whose inputs are missing are left out with a
 * sentence. argv: for provenance. */
status report_write(report_result *out, plot_inputs *in, const char *dir, char *const *argv, int argc, const char *version, err *e);
#endif
