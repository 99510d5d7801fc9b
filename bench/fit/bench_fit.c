/* Time of a whole fit and of a bootstrap, on 240 rows of the size and spread of the Chinchilla points (synthetic,
 * seeded; the reference points themselves where MUSCALE_REFERENCE is set). One line each;
 * bench/peers/scipy_chinchilla.py is the published procedure in scipy, on the same file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fit/synthetic.h"

static status reference(fit_data *d, err *e)
{
    static const char *const cols[] = {"N=Model Size", "C=Training FLOP", "loss=loss"};
    char path[IO_PATH_MAX];
    table t = {0};
    fit_input_opts in = {
        .cols = cols, .n_cols = 3, .where = "loss < 3.4469", .count_rule = "total", .flops_rule = "6N"};
    snprintf(path, sizeof path, "%s/chinchilla_svg/svg_extracted_data.csv", getenv("MUSCALE_REFERENCE"));
    status s = table_read(&t, path, e);
    if (!s) s = fit_input(d, &t, fit_laws[0], &in, NULL, NULL, e);
    table_free(&t);
    return s;
}

static int timed(const char *what, fit_data *d, const fit_opts *o)
{
    fit_result r;
    err e = {0};
    double t0 = io_now();
    if (fit_run(&r, d, o, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    printf("%-34s %8.3f s   F %.13g, %zu of %zu starts reached it, %zu resamples\n", what, io_now() - t0,
           r.objective_value, r.n_reached, r.n_starts, r.boot_ok);
    fit_result_free(&r);
    return 0;
}

int main(void)
{
    fit_data d;
    err e = {0};
    bool real = getenv("MUSCALE_REFERENCE") != NULL;
    if (real && reference(&d, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    if (!real) grid_data(&d, &plain_truth, 20, 12, 2.5, .006, 1);
    printf("chinchilla, %zu rows (%s), one thread\n", d.n, real ? "reference points" : "synthetic");
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 0;
    int rc = timed("fit, screened starts", &d, &o);
    o.starts = FIT_STARTS_GRID;
    rc |= timed("fit, published grid of 4500", &d, &o);
    o.starts = FIT_STARTS_SCREEN;
    o.bootstrap = 1000;
    rc |= timed("fit and 1000 resamples", &d, &o);
    fit_data_free(&d);
    return rc;
}
