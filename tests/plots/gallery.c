/* Every figure and the report from synthetic results, for eyes: gallery DIR. */
#include <stdio.h>
#include <string.h>

#include "plots/plots.h"
#include "tests/plots/synthetic.h"

static int add(plot_inputs *in, const char *dir, const char *const *names)
{
    err e = {0};
    char path[IO_PATH_MAX];
    for (; *names; names++)
        if (io_join(path, dir, *names, &e) || plot_inputs_add(in, path, &e)) {
            fprintf(stderr, "gallery: %s\n", e.msg);
            return 1;
        }
    return 0;
}

static int draw(const char *dir, const char *kind, const char *name, const char *const *names)
{
    static const plot_format formats[] = {PLOT_PNG, PLOT_SVG, PLOT_PDF, PLOT_TXT};
    plot_inputs in = {0};
    err e = {0};
    text said = {0}, caption = {0};
    int bad = add(&in, dir, names);
    const plot_figure *k = bad ? NULL : plot_figure_find(kind, &e);
    if (k && plot_draw(k, &in, dir, name, formats, 4, &caption, &said, &e)) fprintf(stderr, "gallery: %s\n", e.msg), bad = 1;
    printf("%s: %s\n%s", name, text_str(&caption), text_str(&said));
    text_free(&said);
    text_free(&caption);
    plot_inputs_free(&in);
    return bad || !k;
}

int main(int argc, char **argv)
{
    if (argc != 2) return fprintf(stderr, "usage: gallery DIR\n"), 2;
    const char *d = argv[1];
    synthetic_write(d, &(synthetic){.more = true});
#define ALL (const char *const[]){"fit.json", "prediction.json", "score.json", NULL}
#define FIT (const char *const[]){"fit.json", NULL}
    int bad = draw(d, "surface", "surface", ALL) + draw(d, "cloud", "cloud", FIT) + draw(d, "basins", "basins", FIT) +
              draw(d, "profile", "profile", FIT) + draw(d, "backtest", "backtest", FIT) +
              draw(d, "parity", "parity", ALL) + draw(d, "residuals", "residuals", ALL) + draw(d, "prediction", "prediction", ALL) +
              draw(d, "loss-compute", "loss-compute", (const char *const[]){"fit.json", "prediction.json", "score.json", "campaign", NULL}) +
              draw(d, "loss-compute", "loss-compute-runs", (const char *const[]){"runs.csv", NULL}) +
              draw(d, "isoflop", "isoflop", (const char *const[]){"fit.json", "runs.csv", NULL}) + draw(d, "lr-curves", "lr-curves", (const char *const[]){"lr.json", NULL}) +
              draw(d, "lr-curves", "lr-curves-runs", (const char *const[]){"lr.csv", NULL}) +
              draw(d, "loss-curves", "loss-curves", (const char *const[]){"campaign", NULL}) +
              draw(d, "loss-curves", "loss-curve", (const char *const[]){"one", NULL}) + draw(d, "schedule", "schedule", (const char *const[]){"campaign", NULL});
    return bad != 0;
}
