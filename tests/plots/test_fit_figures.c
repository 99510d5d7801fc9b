/* The figures of a fit: surface, residuals, cloud, basins, profile, backtest. What they show is the fit's, and what
 * they must not show is refused. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tests/trainer/scratch.h" /* first: its locals would shadow plots/text.h */

#include "base/rng.h"
#include "plots/figure.h"
#include "plots/kinds.h"
#include "plots/law_value.h"
#include "plots/plots.h"
#include "tests/plots/have_gnuplot.h"
#include "tests/plots/synthetic.h"

static json_t *fit_of(const scratch *w, const synthetic *o)
{
    char path[IO_PATH_MAX];
    synthetic_write(w->dir, o);
    json_t *j = json_load_file(scratch_path(path, w, "fit.json"), 0, NULL);
    cr_assert_not_null(j);
    return j;
}

static const synthetic MORE = {.more = true, .no_runs = true};

/* Draws without gnuplot: f holds data, script and caption. Takes fit. */
static status draw(figure *f, const scratch *w, const char *kind, json_t *fit, err *e)
{
    plot_inputs in = {.n = 1, .item = calloc(1, sizeof *in.item)};
    (void)w;
    *f = (figure){.width = FIGURE_COLUMN, .height = 300};
    *e = (err){0};
    in.item[0] = (plot_input){.path = "fit.json", .what = PLOT_FIT, .doc = fit};
    const plot_figure *k = plot_figure_find(kind, e);
    cr_assert_not_null(k);
    status s = k->draw(f, &in, e);
    plot_inputs_free(&in);
    return s;
}

/* The rows of a block, up to `most` of `columns` numbers each; gaps are left out. */
static size_t rows(double *out, size_t columns, size_t most, const figure *f, const char *block)
{
    char head[64];
    size_t n = 0;
    snprintf(head, sizeof head, "# %s\n#", block);
    const char *s = strstr(text_str(&f->data), head);
    if (!s) return 0;
    s = strchr(strchr(s, '\n') + 1, '\n') + 1;
    for (; *s && *s != '#' && n < most; s = strchr(s, '\n') + 1) {
        if (*s == '\n') continue;
        const char *at = s;
        for (size_t c = 0; c < columns; c++) {
            char *end;
            out[n * columns + c] = strtod(at, &end);
            at = end;
        }
        n++;
    }
    return n;
}

static void set(json_t *fit, const char *key, json_t *value) { json_object_set_new(fit, key, value); }

/* --- all ----------------------------------------------------------------------------------------------------- */

Test(fit_figures, all_are_drawn_without_a_warning)
{
    static const struct {
        const char *kind, *says;
    } all[] = {{"surface", "200 bootstrap draws"}, {"residuals", "±2 sd"},
               {"cloud", "200 bootstrap draws"},   {"basins", "2 minima within 1 %"},
               {"profile", "no lower bound"},      {"backtest", "Rows fitted, predicted, bias"}};
    static const plot_format formats[] = {PLOT_SVG};
    need_gnuplot();
    scratch w = scratch_make();
    synthetic_write(w.dir, &MORE);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char path[IO_PATH_MAX], name[64], *svg = NULL;
        plot_inputs in = {0};
        err e = {0};
        text said = {0}, caption = {0};
        EXPECT_OK(plot_inputs_add(&in, scratch_path(path, &w, "fit.json"), &e));
        status s =
            plot_draw(plot_figure_find(all[i].kind, &e), &in, w.dir, all[i].kind, formats, 1, &caption, &said, &e);
        cr_assert_eq(s, ST_OK, "%s: %s", all[i].kind, e.msg);
        cr_expect_eq(said.n, 0, "%s: gnuplot says %s", all[i].kind, text_str(&said));
        EXPECT_HAS(text_str(&caption), all[i].says);
        EXPECT_HAS(text_str(&caption), "Law: chinchilla, fitted to 25 runs");
        EXPECT_HAS(text_str(&caption), "2 diverged");
        snprintf(name, sizeof name, "%s.svg", all[i].kind);
        EXPECT_OK(io_read_file(&svg, NULL, scratch_path(path, &w, name), 1 << 26, &e));
        cr_expect(!strstr(svg, "nan"), "%s: NaN in the drawing", all[i].kind);
        free(svg);
        text_free(&said);
        text_free(&caption);
        plot_inputs_free(&in);
    }
    scratch_remove(&w);
}

/* Keys missing, null, of another type, or lists of rubbish: a message or a figure, never a crash. */
Test(fit_figures, damaged_fits_are_survived)
{
    static const char *const cuts[] = {"points",  "params", "bootstrap", "domain",   "trust",
                                       "noise",   "basins", "starts",    "profiles", "backtest",
                                       "holdout", "ci95",   "objective", "law",      "likelihood"};
    static const char *const kinds[] = {"surface", "residuals", "cloud", "basins", "profile", "backtest"};
    scratch w = scratch_make();
    json_t *whole = fit_of(&w, &MORE);
    for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++)
        for (int how = 0; how < 5; how++)
            for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
                figure f;
                err e;
                json_t *fit = json_deep_copy(whole);
                if (how == 0) set(fit, cuts[k], json_null());
                if (how == 1) set(fit, cuts[k], json_string("what?"));
                if (how == 2) set(fit, cuts[k], json_pack("[n,i,s,{},[]]", 7, "x"));
                if (how == 3)
                    set(fit, cuts[k], json_pack("{s:n,s:[],s:{s:[]},s:[{}]}", "E", "loss", "samples", "E", "folds"));
                if (how == 4) json_object_del(fit, cuts[k]);
                status s = draw(&f, &w, kinds[i], fit, &e);
                cr_expect(s == ST_OK || s == ST_INPUT, "%s with %s damaged (%d): %s", kinds[i], cuts[k], how, e.msg);
                if (s == ST_INPUT) cr_expect_gt(strlen(e.msg), 10);
                figure_free(&f);
            }
    json_decref(whole);
    scratch_remove(&w);
}

/* Names of parameters and columns come from formulas and files of others. */
Test(fit_figures, hostile_names_stay_names)
{
    static const char evil[] = "A'; system('touch pwned'); `touch pwned` \n\n\n# points\n1\t2\n %s%n {/=40 a}_b";
    static const char *const kinds[] = {"residuals", "cloud", "basins", "profile"};
    static const plot_format formats[] = {PLOT_SVG};
    need_gnuplot();
    scratch w = scratch_make();
    json_t *fit = fit_of(&w, &MORE);
    char path[IO_PATH_MAX];
    set(json_object_get(fit, "params"), evil, json_real(3.25));
    json_t *samples = json_object_get(json_object_get(fit, "bootstrap"), "samples");
    set(samples, evil, json_deep_copy(json_object_get(samples, "A")));
    set(json_object_get(fit, "points"), evil, json_deep_copy(json_object_get(json_object_get(fit, "points"), "D")));
    set(json_object_get(json_array_get(json_object_get(fit, "basins"), 0), "params"), evil, json_real(3.25));
    set(json_array_get(json_object_get(fit, "profiles"), 0), "param", json_string(evil));
    cr_assert_eq(json_dump_file(fit, scratch_path(path, &w, "evil.json"), 0), 0);
    json_decref(fit);
    for (int i = 0; i < 4; i++) {
        plot_inputs in = {0};
        text said = {0};
        err e = {0};
        EXPECT_OK(plot_inputs_add(&in, path, &e));
        EXPECT_OK(plot_draw(plot_figure_find(kinds[i], &e), &in, w.dir, kinds[i], formats, 1, NULL, &said, &e));
        cr_expect_eq(said.n, 0, "%s: %s", kinds[i], text_str(&said));
        text_free(&said);
        plot_inputs_free(&in);
    }
    cr_expect_eq(scratch_shell(&w, "test ! -e pwned"), 0, "a name was run");
    cr_expect_eq(scratch_shell(&w, "test $(grep -c '^# points' residuals.tsv) = 1"), 0, "a name became a block");
    scratch_remove(&w);
}

/* --- surface ------------------------------------------------------------------------------------------------- */

static bool in_domain(const json_t *fit, double n, double d, double slack)
{
    const double at[3] = {n, d, 6 * n * d};
    static const char *const paths[] = {"domain.N", "domain.D", "domain.C"};
    for (int i = 0; i < 3; i++) {
        double lohi[2];
        js_pair(lohi, fit, paths[i]);
        if (at[i] < lohi[0] / slack || at[i] > lohi[1] * slack) return false;
    }
    return true;
}

Test(fit_figures, contours_lie_on_the_law_and_are_dashed_beyond_the_data)
{
    static double r[40000][3];
    figure f;
    err e;
    scratch w = scratch_make();
    json_t *fit = fit_of(&w, &MORE);
    cr_assert_eq(draw(&f, &w, "surface", json_deep_copy(fit), &e), ST_OK, "%s", e.msg);
    for (int beyond = 0; beyond < 2; beyond++) {
        size_t n = rows(r[0], 3, 40000, &f, beyond ? "contours beyond" : "contours"), wrong = 0;
        cr_expect_gt(n, 200);
        for (size_t i = 0; i < n; i++) {
            cr_expect_float_eq(synthetic_loss(r[i][0], r[i][1]) / r[i][2], 1, 5e-4, "%g %g: %g", r[i][0], r[i][1],
                               r[i][2]);
            /* one vertex of each stretch may lie on the other side; a cell is a few percent wide */
            wrong += in_domain(fit, r[i][0], r[i][1], beyond ? 0.9 : 1.1) == (beyond == 1);
        }
        cr_expect_eq(wrong, 0, "%zu of %zu on the wrong side", wrong, n);
    }
    EXPECT_HAS(f.script.s, "'contours beyond' using 1:2:3 with lines lw 1 dt");
    cr_expect(!strstr(f.script.s, "'contours' using 1:2:3 with lines lw 1.3 dt"));
    EXPECT_HAS(f.caption.s, "L = E + A/N^alpha + B/D^beta");
    EXPECT_HAS(f.caption.s, "alpha\u00a00.36");
    json_decref(fit);
    figure_free(&f);
    scratch_remove(&w);
}

/* Closed form of Hoffmann et al. 2022, eq. 4, written out anew; the band is around the line and on the same C. */
Test(fit_figures, the_frontier_is_the_closed_form_and_its_band_holds_it)
{
    static double r[200][5];
    figure f;
    err e;
    scratch w = scratch_make();
    cr_assert_eq(draw(&f, &w, "surface", fit_of(&w, &MORE), &e), ST_OK, "%s", e.msg);
    double g = pow(0.36 * 60 / (0.40 * 520), 1 / 0.76), last = 0;
    for (int beyond = 0; beyond < 2; beyond++) {
        size_t n = rows(r[0], 5, 200, &f, beyond ? "frontier beyond" : "frontier");
        cr_assert_gt(n, 20);
        for (size_t i = 0; i < n; i++) {
            double k = r[i][0] / (r[i][1] * r[i][2]); /* C/(N D) of the points is 6 within 4 %, by their design */
            cr_expect_float_eq(k, 6, 0.15);
            cr_expect_float_eq(r[i][1] / (g * pow(r[i][0] / k, 0.40 / 0.76)), 1, 1e-8);
            cr_expect(r[i][3] < r[i][1] && r[i][1] < r[i][4], "%g [%g, %g]", r[i][1], r[i][3], r[i][4]);
            cr_expect_geq(r[i][0], last * (1 - 1e-9));
            last = r[i][0];
        }
    }
    cr_expect_float_eq(last / (10 * 4.9e13), 1, 1e-6, "ten times the largest C: %g", last);
    figure_free(&f);
    scratch_remove(&w);
}

Test(fit_figures, a_refused_law_is_not_drawn_beyond_its_data)
{
    double r[5];
    figure f;
    err e;
    scratch w = scratch_make();
    cr_assert_eq(draw(&f, &w, "surface", fit_of(&w, &(synthetic){.refused = true, .no_runs = true}), &e), ST_OK, "%s",
                 e.msg);
    cr_expect_eq(rows(r, 5, 1, &f, "contours"), 1);
    cr_expect_eq(rows(r, 5, 1, &f, "contours beyond"), 0);
    cr_expect_eq(rows(r, 5, 1, &f, "frontier"), 0);
    cr_expect(!strstr(f.script.s, "frontier") && !strstr(f.script.s, "contours beyond"));
    EXPECT_HAS(f.caption.s, "The fit is refused");
    EXPECT_HAS(f.caption.s, "verdict: refuse");
    figure_free(&f);
    scratch_remove(&w);
}

Test(fit_figures, a_surface_needs_a_law_of_n_and_d)
{
    static const struct {
        const char *key, *value, *says;
    } all[] = {{"law", "power", "a function of C: a surface over N and D needs a law of just these two"},
               {"law", "no-such-law", "law 'no-such-law' is not known here"},
               {"method", "isoflop", "method isoflop fits no law of N and D"},
               {"params", NULL, "the fit holds no value of E"},
               {"points", NULL, "holds no points"}};
    scratch w = scratch_make();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        figure f;
        err e;
        json_t *fit = fit_of(&w, &MORE);
        set(fit, "x", json_string("C"));
        set(fit, all[i].key, all[i].value ? json_string(all[i].value) : json_null());
        cr_expect_eq(draw(&f, &w, "surface", fit, &e), ST_INPUT, "%s", all[i].says);
        EXPECT_HAS(e.msg, all[i].says);
        figure_free(&f);
    }
    scratch_remove(&w);
}

/* A law that the user typed is drawn like the row of the table that it equals; one of another column has no optimum. */
Test(fit_figures, typed_laws_and_other_targets_have_a_surface)
{
    static double typed[200][5], row[200][5];
    figure f;
    err e;
    scratch w = scratch_make();
    json_t *fit = fit_of(&w, &MORE);
    cr_assert_eq(draw(&f, &w, "surface", json_deep_copy(fit), &e), ST_OK, "%s", e.msg);
    size_t n = rows(row[0], 5, 200, &f, "frontier");
    figure_free(&f);
    set(fit, "law", json_string("custom"));
    set(fit, "formula", json_string("E + A*N^-alpha + B*D^-beta"));
    cr_assert_eq(draw(&f, &w, "surface", json_deep_copy(fit), &e), ST_OK, "%s", e.msg);
    cr_assert_eq(rows(typed[0], 5, 200, &f, "frontier"), n);
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < 5; c++)
            cr_expect_float_eq(typed[i][c] / row[i][c], 1, 1e-4, "%g for %g", typed[i][c], row[i][c]);
    EXPECT_HAS(f.caption.s, "Law: E + A*N^-alpha + B*D^-beta, fitted");
    figure_free(&f);
    json_t *points = json_object_get(fit, "points");
    set(points, "lr", json_deep_copy(json_object_get(points, "loss")));
    json_object_del(points, "loss");
    set(fit, "target", json_string("lr"));
    cr_assert_eq(draw(&f, &w, "surface", json_deep_copy(fit), &e), ST_OK, "%s", e.msg);
    EXPECT_HAS(f.caption.s, "learning rate of E + A*N");
    cr_expect(!strstr(f.script.s, "frontier"), "a learning rate has no optimum");
    figure_free(&f);
    cr_assert_eq(draw(&f, &w, "residuals", json_deep_copy(fit), &e), ST_OK, "%s", e.msg);
    figure_free(&f);
    cr_expect_eq(draw(&f, &w, "isoflop", json_deep_copy(fit), &e), ST_INPUT);
    EXPECT_HAS(e.msg, "a fit of lr, not of a loss");
    figure_free(&f);
    set(fit, "formula", json_string("E + A*N^-alpha + ("));
    cr_expect_eq(draw(&f, &w, "surface", fit, &e), ST_INPUT);
    EXPECT_HAS(e.msg, "the fit's formula: ");
    figure_free(&f);
    scratch_remove(&w);
}

/* The search for laws without a closed form, held against the closed form. */
Test(fit_figures, an_optimum_is_found_without_a_closed_form)
{
    fit_law plain;
    law_value l;
    err e = {0};
    double n = 0, d = 0, exact_n = 0, exact_d = 0;
    scratch w = scratch_make();
    json_t *fit = fit_of(&w, &MORE);
    EXPECT_OK(law_value_read(&l, fit, &e));
    cr_expect_eq(l.n_draws, 200);
    cr_expect_float_eq(law_value_at(&l, l.params, 3.1e5, 2.7e7) / synthetic_loss(3.1e5, 2.7e7), 1, 1e-12);
    cr_assert(law_value_optimum(&exact_n, &exact_d, &l, l.params, 3.7e12, 1e2, 1e10));
    plain = *l.law;
    plain.optimum = NULL;
    l.law = &plain;
    cr_assert(law_value_optimum(&n, &d, &l, l.params, 3.7e12, 1e2, 1e10));
    cr_expect_float_eq(n / exact_n, 1, 1e-5);
    cr_expect_float_eq(n * d / 3.7e12, 1, 1e-12);
    cr_expect(!law_value_optimum(&n, &d, &l, l.params, 3.7e12, 1e2, exact_n / 5), "an end of the search is no optimum");
    law_value_free(&l);
    json_decref(fit);
    scratch_remove(&w);
}

/* --- residuals ----------------------------------------------------------------------------------------------- */

/* losses[i] = fitted[i] exp(off(i)) over n rows of a square in N and D. */
static json_t *with_residuals(const scratch *w, size_t n, double (*off)(size_t), bool with_u)
{
    json_t *fit = fit_of(w, &MORE), *col[6];
    static const char *const names[] = {"N", "D", "C", "loss", "fitted", "U"};
    double square = 0;
    for (int c = 0; c < 6; c++) col[c] = json_array();
    for (size_t i = 0; i < n; i++) {
        double N = 1e6 * pow(1.5, (double)(i % 10)), D = 1e8 * pow(1.7, (double)(i / 10 % 8)),
               fitted = synthetic_loss(N, D);
        const double x[] = {N, D, 6 * N * D, fitted * exp(off(i)), fitted, 1e7 * (1 + (double)(i % 3))};
        for (int c = 0; c < 6; c++) json_array_append_new(col[c], json_real(x[c]));
        square += off(i) * off(i);
    }
    json_t *points = json_object();
    for (int c = 0; c < 6; c++) set(points, names[c], col[c]);
    if (!with_u) json_object_del(points, "U");
    set(fit, "points", points);
    set(fit, "noise", json_pack("{s:f}", "residual_sd", sqrt(square / (double)n)));
    return fit;
}

static double bend(size_t i)
{
    return 0.004 * ((double)(i % 10) - 4.5) / 4.5 + 0.001 * rng_normal(3, RNG_TEST, 0, i);
} /* rises with N */
static double spikes(size_t i) { return i == 17 ? 0.21 : i == 40 ? -0.05 : 0.001 * rng_normal(3, RNG_TEST, 0, i); }
static double tiny(size_t i) { return 3e-10 * rng_normal(3, RNG_TEST, 0, i); }

Test(fit_figures, medians_show_where_the_law_bends_away)
{
    double r[16][3];
    figure f;
    err e;
    scratch w = scratch_make();
    cr_assert_eq(draw(&f, &w, "residuals", with_residuals(&w, 80, bend, true), &e), ST_OK, "%s", e.msg);
    size_t n = rows(r[0], 3, 16, &f, "median 1");
    cr_assert_geq(n, 5);
    cr_expect(r[0][1] < -0.2 && r[n - 1][1] > 0.2, "along N: %g to %g", r[0][1], r[n - 1][1]);
    double total = 0;
    for (size_t i = 0; i < n; i++) total += r[i][2];
    cr_expect_eq(total, 80);
    n = rows(r[0], 3, 16, &f, "median 2");
    for (size_t i = 0; i < n; i++) cr_expect_lt(fabs(r[i][1]), 0.2, "along D: %g", r[i][1]);
    EXPECT_HAS(f.data.s, "# N\tD\tC\tU\t100 ln(measured/fitted)");
    EXPECT_HAS(f.script.s, "unique tokens U");
    figure_free(&f);
    scratch_remove(&w);
}

Test(fit_figures, the_worst_rows_are_named_and_stand_at_the_edge)
{
    double r[8][6];
    figure f;
    err e;
    scratch w = scratch_make();
    cr_assert_eq(draw(&f, &w, "residuals", with_residuals(&w, 80, spikes, false), &e), ST_OK, "%s", e.msg);
    cr_expect_eq(rows(r[0], 6, 8, &f, "worst"), 5);
    cr_expect_eq(r[0][5], 18);
    cr_expect_float_eq(r[0][3], 21, 1e-8);
    cr_expect_eq(r[1][5], 41);
    cr_expect_eq(rows(r[0], 6, 8, &f, "beyond"), 0, "8.7 sd: all are drawn in place");
    EXPECT_HAS(f.caption.s, "18 (+21.00\u00a0%), 41 (−5.00\u00a0%)");
    figure_free(&f);
    json_t *fit = with_residuals(&w, 80, spikes, false);
    set(fit, "noise", json_pack("{s:f}", "residual_sd", 0.01));
    cr_assert_eq(draw(&f, &w, "residuals", fit, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(rows(r[0], 6, 8, &f, "beyond"), 1);
    cr_expect_eq(r[0][5], 18);
    cr_expect_float_eq(r[0][4], 6, 1e-9, "drawn at %g", r[0][4]);
    EXPECT_HAS(f.caption.s, "Triangles: 1 rows beyond ±6 %");
    figure_free(&f);
    scratch_remove(&w);
}

Test(fit_figures, exact_data_have_an_axis_of_their_own)
{
    figure f;
    err e;
    scratch w = scratch_make();
    cr_assert_eq(draw(&f, &w, "residuals", with_residuals(&w, 80, tiny, false), &e), ST_OK, "%s", e.msg);
    EXPECT_HAS(f.script.s, "residual (10⁻⁸ %)");
    cr_expect(!strstr(f.script.s, "0.00000"), "tics of many zeros");
    figure_free(&f);
    scratch_remove(&w);
}

/* --- cloud --------------------------------------------------------------------------------------------------- */

Test(fit_figures, the_cloud_says_how_parameters_trade)
{
    figure f;
    err e;
    scratch w = scratch_make();
    json_t *fit = fit_of(&w, &MORE), *samples = json_object(), *a = json_array(), *alpha = json_array(),
           *E = json_array(), *fixed = json_array();
    for (int i = 0; i < 500; i++) { /* ln A = 4 + 40 (alpha - 0.36); E apart */
        double z = rng_normal(2, RNG_TEST, 0, (uint64_t)i), u = rng_normal(2, RNG_TEST, 1, (uint64_t)i);
        json_array_append_new(alpha, json_real(0.36 + 0.02 * z));
        json_array_append_new(a, json_real(exp(4 + 40 * 0.02 * z)));
        json_array_append_new(E, json_real(1.2 - 0.01 * z + 0.02 * u));
        json_array_append_new(fixed, json_real(0.5));
    }
    set(samples, "E", E);
    set(samples, "A", a);
    set(samples, "alpha", alpha);
    set(samples, "beta", fixed);
    set(fit, "bootstrap", json_pack("{s:i,s:o,s:s}", "n", 500, "samples", samples, "cluster", "size"));
    cr_assert_eq(draw(&f, &w, "cloud", fit, &e), ST_OK, "%s", e.msg);
    EXPECT_HAS(f.script.s, "set label '1.00' at screen"); /* exact only in ln A: the axis is logarithmic */
    EXPECT_HAS(f.script.s, "set label '−0.4");            /* -0.447 in expectation */
    EXPECT_HAS(f.script.s, "set logscale y 10");
    EXPECT_HAS(f.data.s, "# E\tA\talpha\n");
    EXPECT_HAS(f.caption.s, "500 bootstrap draws by size");
    EXPECT_HAS(f.caption.s, "The same in all draws: beta");
    EXPECT_HAS(f.caption.s, "of logarithms");
    double r[28][4], sum = 0;
    cr_expect_eq(rows(r[0], 4, 28, &f, "histogram 3"), 28);
    for (int i = 0; i < 28; i++) sum += r[i][2];
    cr_expect(sum >= 490 && sum <= 500, "%g of 500 in the bars", sum);
    figure_free(&f);
    scratch_remove(&w);
}

Test(fit_figures, a_cloud_needs_draws)
{
    static const struct {
        int n;
        const char *says;
    } all[] = {{0, "no bootstrap draws; fit with --bootstrap"},
               {5, "too few bootstrap draws"},
               {50, "no parameter differs"}};
    scratch w = scratch_make();
    for (int k = 0; k < 3; k++) {
        figure f;
        err e;
        json_t *fit = fit_of(&w, &MORE), *x = json_array();
        for (int i = 0; i < all[k].n; i++) json_array_append_new(x, json_real(2.25));
        set(fit, "bootstrap", json_pack("{s:{s:o}}", "samples", "E", x));
        cr_expect_eq(draw(&f, &w, "cloud", fit, &e), ST_INPUT);
        EXPECT_HAS(e.msg, all[k].says);
        figure_free(&f);
    }
    scratch_remove(&w);
}

/* --- basins, profile ----------------------------------------------------------------------------------------- */

Test(fit_figures, minima_are_counted_and_one_is_said_to_be_one)
{
    double r[4][8];
    figure f;
    err e;
    scratch w = scratch_make();
    json_t *fit = fit_of(&w, &MORE);
    cr_assert_eq(draw(&f, &w, "basins", json_deep_copy(fit), &e), ST_OK, "%s", e.msg);
    cr_assert_eq(rows(r[0], 8, 4, &f, "basins"), 2);
    cr_expect_float_eq(r[1][1], 0.4, 1e-6, "percent above the best: %g", r[1][1]);
    cr_expect_eq(r[1][2], 12);
    cr_expect_float_eq(r[1][4], 180, 1e-9);
    EXPECT_HAS(f.script.s, "'1 (71 starts)' 2, '2 (12 starts)' 1");
    EXPECT_HAS(f.caption.s, "Of 100 starts 83 ended in them, 9 were rejected (a term dead or not stationary), 8 ended "
                            "in worse ones.");
    figure_free(&f);
    json_array_remove(json_object_get(fit, "basins"), 1);
    cr_assert_eq(draw(&f, &w, "basins", json_deep_copy(fit), &e), ST_OK, "%s", e.msg);
    EXPECT_HAS(f.caption.s, "One minimum: no other lies within 1 %");
    figure_free(&f);
    set(fit, "basins", json_array());
    cr_expect_eq(draw(&f, &w, "basins", fit, &e), ST_INPUT);
    EXPECT_HAS(e.msg, "no minima");
    figure_free(&f);
    scratch_remove(&w);
}

Test(fit_figures, a_profile_is_cut_where_the_interval_ends)
{
    double r[21][2];
    figure f;
    err e;
    scratch w = scratch_make();
    json_t *fit = fit_of(&w, &MORE);
    cr_assert_eq(draw(&f, &w, "profile", json_deep_copy(fit), &e), ST_OK, "%s", e.msg);
    cr_assert_eq(rows(r[0], 2, 21, &f, "profile 1"), 21);
    cr_expect_float_eq(r[10][1], 0, 1e-12);
    cr_expect_float_eq(r[18][1], 4, 1e-9, "two se above: %g", r[18][1]);
    cr_expect_float_eq(r[18][0], 1.2 * 1.04, 1e-12);
    EXPECT_HAS(f.script.s, "first 3.841459");
    EXPECT_HAS(f.caption.s, "E: 1.153\u00a0to\u00a01.247.");
    EXPECT_HAS(f.caption.s, "B: below 642.3, no lower bound.");
    figure_free(&f);
    set(fit, "likelihood",
        json_pack("{s:f}", "log_likelihood", 812.25)); /* the fit's own: below its profiles' best by 0.25 */
    cr_assert_eq(draw(&f, &w, "profile", json_deep_copy(fit), &e), ST_OK, "%s", e.msg);
    cr_assert_eq(rows(r[0], 2, 21, &f, "profile 1"), 21);
    cr_expect_float_eq(r[10][1], -0.5, 1e-9, "%g", r[10][1]);
    figure_free(&f);
    for (size_t k = 0; k < 5; k++)
        json_object_del(json_array_get(json_object_get(fit, "profiles"), k), "log_likelihood");
    cr_assert_eq(draw(&f, &w, "profile", fit, &e), ST_OK, "%s", e.msg);
    cr_expect(!strstr(f.script.s, "3.841459"), "a cut without a likelihood");
    cr_assert_eq(rows(r[0], 2, 21, &f, "profile 1"), 21);
    cr_expect_float_eq(r[18][1], 100 * expm1(0.04), 1e-6);
    EXPECT_HAS(f.script.s, "objective above best (%)");
    figure_free(&f);
    fit = fit_of(&w, &(synthetic){.no_runs = true});
    cr_expect_eq(draw(&f, &w, "profile", fit, &e), ST_INPUT);
    EXPECT_HAS(e.msg, "no profiles");
    figure_free(&f);
    scratch_remove(&w);
}

/* --- backtest ------------------------------------------------------------------------------------------------ */

Test(fit_figures, a_backtest_counts_its_hits_and_measures_from_its_cut)
{
    double r[32][8];
    figure f;
    err e;
    scratch w = scratch_make();
    json_t *fit = fit_of(&w, &MORE),
           *points =
               json_object_get(json_array_get(json_object_get(json_object_get(fit, "backtest"), "folds"), 1), "points");
    json_t *loss = json_object_get(points, "loss"), *predicted = json_object_get(points, "predicted");
    size_t m = json_array_size(loss), inside = 0, all = 0;
    for (size_t i = 0; i < m; i++)
        json_array_set_new(loss, i,
                           json_real(json_number_value(json_array_get(predicted, i)) * (i == 3 ? 1.04 : 1.002)));
    cr_assert_eq(draw(&f, &w, "backtest", json_deep_copy(fit), &e), ST_OK, "%s", e.msg);
    cr_assert_eq(rows(r[0], 8, 32, &f, "fold 2"), m);
    cr_expect_float_eq(r[3][5], 100 * (1 / 1.04 - 1), 1e-6);
    cr_expect_float_eq(r[0][4], js_at(points, "C", 0) / 8e12, 1e-6);
    cr_expect_float_eq(r[0][6], 100 * (1 / 1.01 - 1), 1e-6, "the error at which the interval's upper end is met: %g",
                       r[0][6]);
    for (size_t k = 1; k <= 2; k++) {
        size_t n = rows(r[0], 8, 32, &f, k == 1 ? "fold 1" : "fold 2");
        for (size_t i = 0; i < n; i++, all++) inside += r[i][0] >= r[i][2] && r[i][0] <= r[i][3];
    }
    char says[96];
    snprintf(says, sizeof says, "%zu of %zu measured values lie inside their 95 %% interval", inside, all);
    EXPECT_HAS(f.caption.s, says);
    EXPECT_HAS(f.script.s, "8×10¹²: "); /* the key */
    EXPECT_HAS(f.script.s, ", 90 %");   /* nine of its ten */
    EXPECT_HAS(f.script.s, "C as a multiple of the cut");
    figure_free(&f);
    json_decref(fit);
    scratch_remove(&w);
}

/* A table without C is cut in N D; a fold whose fit is refused is named. */
Test(fit_figures, a_backtest_may_be_cut_in_the_product_of_n_and_d)
{
    double r[32][8];
    figure f;
    err e;
    scratch w = scratch_make();
    json_t *fit = fit_of(&w, &MORE), *back = json_object_get(fit, "backtest"),
           *fold = json_array_get(json_object_get(back, "folds"), 0), *points = json_object_get(fold, "points");
    double n = js_at(points, "N", 2), d = js_at(points, "D", 2);
    set(back, "by", json_string("N D"));
    set(fold, "cut", json_real(4e11));
    set(fold, "verdict", json_string("refuse"));
    json_object_del(points, "C");
    cr_assert_eq(draw(&f, &w, "backtest", fit, &e), ST_OK, "%s", e.msg);
    cr_assert_gt(rows(r[0], 8, 32, &f, "fold 1"), 3);
    cr_expect_float_eq(r[2][4] / (n * d / 4e11), 1, 1e-8, "%g", r[2][4]);
    EXPECT_HAS(f.script.s, "N D as a multiple of the cut");
    EXPECT_HAS(f.caption.s, "The fit up to 4×10¹¹ is refused.");
    cr_expect(!strstr(f.caption.s, "The fit up to 8×10¹² is refused."));
    figure_free(&f);
    scratch_remove(&w);
}

Test(fit_figures, a_hold_out_is_a_backtest_of_one_cut)
{
    double r[32][8];
    figure f;
    err e;
    scratch w = scratch_make();
    json_t *fit = fit_of(&w, &MORE);
    json_object_del(fit, "backtest");
    cr_assert_eq(draw(&f, &w, "backtest", json_deep_copy(fit), &e), ST_OK, "%s", e.msg);
    cr_expect_eq(rows(r[0], 8, 32, &f, "fold 1"), 5);
    EXPECT_HAS(f.caption.s, "5 held-out runs, predicted by the law fitted to the other 25.");
    figure_free(&f);
    set(fit, "holdout",
        json_pack("{s:i,s:f,s:f}", "n", 5, "mean_abs_rel_err", 0.01, "max_abs_rel_err",
                  0.02)); /* of an older version */
    cr_expect_eq(draw(&f, &w, "backtest", fit, &e), ST_INPUT);
    EXPECT_HAS(e.msg, "fit with --hold-out");
    figure_free(&f);
    scratch_remove(&w);
}

/* --- isoflop: what is a budget ------------------------------------------------------------------------------- */

static json_t *runs_at(const scratch *w, size_t n, double (*compute)(size_t))
{
    json_t *fit = fit_of(w, &MORE), *N = json_array(), *D = json_array(), *C = json_array(), *loss = json_array();
    for (size_t i = 0; i < n; i++) {
        double c = compute(i), size = sqrt(c / 120) * pow(1.4, (double)(i % 7) - 3), d = c / 6 / size;
        json_array_append_new(N, json_real(size));
        json_array_append_new(D, json_real(d));
        json_array_append_new(C, json_real(c));
        json_array_append_new(loss, json_real(synthetic_loss(size, d)));
    }
    set(fit, "points", json_pack("{s:o,s:o,s:o,s:o}", "N", N, "D", D, "C", C, "loss", loss));
    return fit;
}

static double spread(size_t i)
{
    return 1e12 * exp(9 * fmod(0.6180339887 * (double)i, 1));
} /* evenly, whatever the number */
static double in_crowds(size_t i) /* two of three runs at four budgets, missed by up to 8 % as if read off a picture */
{
    return i % 3 == 2 ? spread(i)
                      : 2e12 * pow(6, (double)(i % 4)) * exp(0.08 * (2.0 * (double)((i * 29) % 23) / 23 - 1));
}

Test(fit_figures, budgets_are_crowds_and_not_slices)
{
    static double r[200][3];
    figure f;
    err e;
    scratch w = scratch_make();
    cr_assert_eq(draw(&f, &w, "isoflop", runs_at(&w, 180, in_crowds), &e), ST_OK, "%s", e.msg);
    size_t n = rows(r[0], 3, 200, &f, "points"), others = rows(r[0], 3, 200, &f, "others");
    cr_expect_eq(n + others, 180);
    cr_expect(n >= 110 && others >= 25, "%zu in budgets, %zu beside", n, others);
    EXPECT_HAS(f.caption.s, "4 compute budgets");
    figure_free(&f);
    cr_expect_eq(draw(&f, &w, "isoflop", runs_at(&w, 180, spread), &e), ST_INPUT,
                 "parabolas through slices of runs spread over C");
    EXPECT_HAS(e.msg, "no compute budget");
    figure_free(&f);
    scratch_remove(&w);
}
