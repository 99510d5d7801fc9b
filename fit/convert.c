#include "fit/convert.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

status fit_embedding_gamma(double *gamma, const char *text, err *e)
{
    double v[2];
    char first[64];
    const char *comma = strchr(text, ',');
    size_t n = comma ? (size_t)(comma - text) : sizeof first;
    if (n < sizeof first) snprintf(first, sizeof first, "%.*s", (int)n, text);
    if (n >= sizeof first || !num_parse_f64(first, &v[0]) || !num_parse_f64(comma + 1, &v[1]) || !(v[0] > 0 && v[1] > 0))
        return err_set(e, ST_USAGE, "--embedding '%s': write VOCAB,ASPECT, as in 32000,39.2 (aspect: d_model/n_layer); a minus before it takes "
                       "embeddings out", text);
    *gamma = v[0] * cbrt(v[1] / 12);
    return ST_OK;
}

double fit_n_total(double n_non_embed, double gamma) { return n_non_embed + gamma * cbrt(n_non_embed); }

/* u^3 + gamma u = N_T has one real root, u = N_E^(1/3); Newton from above (the function is convex there). */
double fit_n_non_embed(double n_total, double gamma)
{
    double u = cbrt(n_total);
    for (int k = 0; k < 100; k++) {
        double step = (u * u * u + gamma * u - n_total) / (3 * u * u + gamma);
        u -= step;
        if (fabs(step) <= 1e-16 * u) break;
    }
    return u * u * u;
}

double fit_frontier_exponent(double n_non_embed, double gamma, double alpha, double beta)
{
    double x = cbrt(n_non_embed) * cbrt(n_non_embed);
    double inverse = 1 - (x + gamma / 9) / (x + gamma / 3) / beta + (alpha + 1) / beta * (x + gamma / 3) / (x + gamma);
    return 1 / inverse;
}
