#include "cli/fit_methods.h"

#include <math.h>
#include <string.h>

#include "cli/fit_print.h"

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* " (95 % LO to HI)", or nothing. */
static void print_interval(FILE *f, const json_t *ci)
{
    if (json_array_size(ci) == 2)
        fprintf(f, " (95 %% %.4g to %.4g)", json_number_value(json_array_get(ci, 0)),
                json_number_value(json_array_get(ci, 1)));
}

/* --- isoflop --- */

static void print_budgets(FILE *f, const fit_result *r)
{
    char c[32], n[32], d[32], l[32], sd[32];
    fprintf(f, "  %-12s %5s %12s %9s %12s %10s\n", "C", "runs", "N_opt", "sd ln N", "D_opt", "loss");
    for (size_t k = 0; k < r->n_budgets; k++) {
        const fit_budget *b = &r->budgets[k];
        fprintf(f, "  %-12s %5zu", fit_shown(c, sizeof c, b->C), b->n);
        if (isnan(b->sd_ln_N)) snprintf(sd, sizeof sd, "-");
        else snprintf(sd, sizeof sd, "%.3f", b->sd_ln_N);
        if (b->bracketed)
            fprintf(f, " %12s %9s %12s %10s\n", fit_shown(n, sizeof n, b->N_opt), sd, fit_shown(d, sizeof d, b->D_opt),
                    fit_shown(l, sizeof l, b->loss_opt));
        else fprintf(f, " dropped: %s\n", b->why);
    }
    fprintf(f, "N_opt = N_coef C^a_opt, D_opt = D_coef C^b_opt; minima by %s, resampled: %s\n",
            text(r->extra, "minimum"), text(r->extra, "resampled"));
}

static void print_bias(FILE *f, const fit_result *r)
{
    const json_t *p = json_object_get(r->extra, "parametric"), *b = json_object_get(r->extra, "bias"),
                 *why = json_object_get(p, "reasons");
    const json_t *largest = json_object_get(b, "at_largest"), *ten = json_object_get(b, "at_10x");
    fprintf(f, "beside it, law %s on the same rows: ", text(p, "law"));
    if (!strcmp(text(p, "verdict"), "refuse")) {
        fprintf(f, "refused (%s)\n", json_string_value(json_array_get(why, 0)));
        return;
    }
    fprintf(f, "a_opt %.4g", number(p, "a_opt"));
    print_interval(f, json_object_get(json_object_get(p, "ci95"), "a_opt"));
    fprintf(f, ", verdict %s\n", text(p, "verdict"));
    if (!json_is_object(b)) return;
    fprintf(f, "bias of this method at these N and C, on that law's losses without noise: a_opt %+.2g",
            number(b, "a_opt"));
    print_interval(f, json_object_get(json_object_get(b, "ci95"), "a_opt"));
    fprintf(f, ",\n  N_opt %.3g times the law's at C = %.3g, %.3g times at %.3g\n", number(largest, "N_ratio"),
            number(largest, "C"), number(ten, "N_ratio"), number(ten, "C"));
}

/* --- envelope --- */

static void print_envelope(FILE *f, const fit_result *r)
{
    const json_t *o = json_object_get(r->extra, "envelope"), *range = json_object_get(o, "C"), *sizes = json_object_get(o, "sizes");
    char n[32], lo[32], hi[32];
    if (!o) return;
    fprintf(f, "  %-12s %6s %8s   %s\n", "N", "curves", "values", "lowest from C, to C");
    for (size_t k = 0; k < json_array_size(sizes); k++) {
        const json_t *s = json_array_get(sizes, k), *c = json_object_get(s, "C");
        fprintf(f, "  %-12s %6.0f %8.0f", fit_shown(n, sizeof n, number(s, "N")), number(s, "curves"), number(s, "kept"));
        if (json_is_array(c))
            fprintf(f, "   %s, %s", fit_shown(lo, sizeof lo, json_number_value(json_array_get(c, 0))),
                    fit_shown(hi, sizeof hi, json_number_value(json_array_get(c, 1))));
        fputc('\n', f);
    }
    fprintf(f, "%.0f curves", number(o, "n_curves"));
    if (number(o, "n_short") > 0) fprintf(f, " (%.0f of one point left out)", number(o, "n_short"));
    if (json_is_array(range))
        fprintf(f, "; %.0f values of C, %s to %s: %.0f count, the smallest size there is lowest at %.0f, the largest at %.0f",
                number(o, "n_values"), fit_shown(lo, sizeof lo, json_number_value(json_array_get(range, 0))),
                fit_shown(hi, sizeof hi, json_number_value(json_array_get(range, 1))), number(o, "kept"), number(o, "held_by_smallest"),
                number(o, "held_by_largest"));
    fprintf(f, "\nN_opt = N_coef C^a_opt, D_opt = D_coef C^b_opt. Points inside a decaying schedule lie above what a schedule that\n"
               "ends there would reach: see doc/laws.md.\n");
}

/* --- lr-optimum --- */

static void print_lr_group(FILE *f, const json_t *g)
{
    const json_t *ci = json_object_get(g, "ci95");
    fprintf(f, "  %-12s width %-6g %2d runs  ", text(g, "parametrisation"), number(g, "width"), (int)number(g, "n"));
    if (json_is_true(json_object_get(g, "bracketed")))
        fprintf(f, "lr* %.4g (%.4g to %.4g), loss %.4f\n", exp2(number(g, "log2_lr_opt")),
                exp2(json_number_value(json_array_get(ci, 0))), exp2(json_number_value(json_array_get(ci, 1))),
                number(g, "loss_opt"));
    else fprintf(f, "no optimum: %s\n", text(g, "why"));
}

static void print_lr(FILE *f, const fit_result *r)
{
    const json_t *groups = json_object_get(r->extra, "groups"), *trend = json_object_get(r->extra, "trend");
    for (size_t i = 0; i < json_array_size(groups); i++) print_lr_group(f, json_array_get(groups, i));
    for (size_t i = 0; i < json_array_size(trend); i++) {
        const json_t *t = json_array_get(trend, i), *ci = json_object_get(json_object_get(t, "ci95"), "p");
        if (isnan(number(t, "p"))) continue;
        fprintf(f, "  %-12s lr* = %.4g width^%.3f", text(t, "parametrisation"), number(t, "c"), number(t, "p"));
        if (json_array_size(ci) == 2)
            fprintf(f, "  (exponent %.3f to %.3f)", json_number_value(json_array_get(ci, 0)),
                    json_number_value(json_array_get(ci, 1)));
        fputc('\n', f);
    }
}

static void print_cell(FILE *f, const json_t *c)
{
    const char *name = text(c, "parametrisation");
    double size = number(c, "N");
    fprintf(f, "  %-12s %s %-9.4g", name, isnan(size) ? "width" : "N", isnan(size) ? number(c, "width") : size);
    if (!isnan(number(c, "D"))) fprintf(f, " D %-9.4g", number(c, "D"));
    fprintf(f, " %3.0f runs  ", number(c, "n"));
    if (!json_is_true(json_object_get(c, "bracketed"))) {
        fprintf(f, "no optimum: %s\n", text(c, "why"));
        return;
    }
    fprintf(f, "lr* %.4g", number(c, "lr_opt"));
    print_interval(f, json_object_get(c, "lr_ci95"));
    fprintf(f, ", batch* %.4g", number(c, "batch_opt"));
    print_interval(f, json_object_get(c, "batch_ci95"));
    fprintf(f, ", loss %.4f\n", number(c, "loss_opt"));
}

static void print_power(FILE *f, const json_t *law, const char *key, const char *name)
{
    const json_t *o = json_object_get(law, key), *ci = json_object_get(o, "ci95");
    if (isnan(number(o, "c"))) return;
    fprintf(f, "  %-12s %s = %.4g", text(law, "parametrisation"), name, number(o, "c"));
    for (int k = 0; k < 2; k++) {
        if (isnan(number(o, k ? "D" : "N"))) continue;
        fprintf(f, " %s^%.4f", k ? "D" : "N", number(o, k ? "D" : "N"));
        print_interval(f, json_object_get(ci, k ? "D" : "N"));
    }
    fputc('\n', f);
}

static void print_plateau(FILE *f, const json_t *law)
{
    const json_t *p = json_object_get(law, "plateau");
    char n[32], d[32], b[32];
    if (!p) return;
    fprintf(f, "  exponents by the share of the lowest loss within which runs count:\n  %8s %6s %10s %10s %10s\n",
            "share", "runs", "lr: N", "lr: D", "batch: D");
    for (size_t k = 0; k < json_array_size(p); k++) {
        const json_t *w = json_array_get(p, k);
        fprintf(f, "  %7.2f%% %6.0f %10s %10s %10s\n", 100 * number(w, "share"), number(w, "n_rows"),
                fit_shown(n, sizeof n, number(w, "lr_N")), fit_shown(d, sizeof d, number(w, "lr_D")),
                fit_shown(b, sizeof b, number(w, "batch_D")));
    }
}

static void print_surface(FILE *f, const json_t *s)
{
    const json_t *cells = json_object_get(s, "cells"), *laws = json_object_get(s, "laws");
    for (size_t k = 0; k < json_array_size(cells); k++) print_cell(f, json_array_get(cells, k));
    fprintf(f, "over cells, %s:\n", text(s, "how"));
    for (size_t k = 0; k < json_array_size(laws); k++) {
        const json_t *law = json_array_get(laws, k);
        fprintf(f, "  %-12s %.0f of %.0f cells count\n", text(law, "parametrisation"), number(law, "n_used"),
                number(law, "n_cells"));
        if (*text(law, "curvature_of")) fprintf(f, "  one curvature of %s in all cells\n", text(law, "curvature_of"));
        print_power(f, law, "lr", "lr*");
        print_power(f, law, "batch_tokens", "batch*");
        print_plateau(f, law);
    }
}

void fit_print_methods(FILE *f, const fit_result *r)
{
    if (!strcmp(r->method, "isoflop")) {
        print_budgets(f, r);
        print_bias(f, r);
    } else if (!strcmp(r->method, "envelope")) print_envelope(f, r);
    else if (json_object_get(r->extra, "surface")) print_surface(f, json_object_get(r->extra, "surface"));
    else if (!strcmp(r->method, "lr-optimum")) print_lr(f, r);
}
