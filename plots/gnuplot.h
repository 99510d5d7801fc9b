/* The driver: gnuplot is a program, started by posix_spawn with a script file; never through a shell. */
#ifndef PLOTS_GNUPLOT_H
#define PLOTS_GNUPLOT_H
#include "base/err.h"
#include "base/io.h"
#include "plots/text.h"

typedef enum plot_format { PLOT_SVG, PLOT_PDF, PLOT_PNG, PLOT_TXT, PLOT_N_FORMATS } plot_format;
const char *plot_format_name(plot_format f); /* "svg" */

/* Splits "some/dir/name.svg" into dir, name and format. ST_USAGE: no extension we draw (with the list). */
status plot_path_split(char dir[IO_PATH_MAX], char name[IO_PATH_MAX], plot_format *f, const char *path, err *e);

/* Draws dir/name.gp as dir/name.<format>; old content stays until the new one is whole (temporary, rename).
 * The program: environment GNUPLOT, else `gnuplot` on PATH, else the one found by configure.
 * said: what gnuplot wrote on stderr (warnings), may be NULL.
 * ST_SYSTEM: not installed (with the package's name), or it failed (its own words); ST_IO: the figure is not whole. */
status plot_gnuplot(const char *dir, const char *name, plot_format f, text *said, err *e);

/* The script's head: terminals by the variable `format`, size in pixels at 96 per inch, style. */
void plot_gnuplot_head(text *script, const char *name, double width, double height);

/* 'text' in gnuplot's single quotes: quotes doubled, control characters and backquotes replaced. */
void plot_quote(text *out, const char *s);
#endif
