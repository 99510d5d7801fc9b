/* Formulas of a spec: values, precedence, what is refused and where. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sweeps/spec_expr.h"

static int find(const char *name, char *why, size_t size)
{
    static const char *const names[] = {"x", "y", "n_layer"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(names[i], name)) return i;
    snprintf(why, size, "unknown name '%s'", name);
    return -1;
}

static status value(double *out, void *ctx, int name, err *e)
{
    (void)e;
    *out = ((const double *)ctx)[name];
    return ST_OK;
}

static double eval(const char *text, bool truth)
{
    double names[] = {2.5, -3, 4}, out = NAN;
    spec_expr *x;
    size_t at;
    err e = {0};
    cr_assert_eq(spec_expr_parse(&x, text, truth, find, &at, &e), ST_OK, "%s: %s", text, e.msg);
    cr_expect_eq(spec_expr_eval(&out, x, value, names, &e), ST_OK, "%s: %s", text, e.msg);
    spec_expr_free(x);
    return out;
}

Test(spec_expr, values)
{
    static const struct {
        const char *text;
        double want;
    } rows[] = {
        {"1e15", 1e15},         {" 4 * n_layer ", 16},  {"1 + 2*3", 7},
        {"(1 + 2)*3", 9},       {"8 - 3 - 2", 3},       {"8/4/2", 1},
        {"7 % 4", 3},           {"-x^2", -6.25},        {"2^3^2", 512},
        {"2**-1", 0.5},         {"--x", 2.5},           {"+x", 2.5},
        {"min(x, y)", -3},      {"max(x, y)", 2.5},     {"round(x)", 3},
        {"floor(y/2)", -2},     {"ceil(y/2)", -1},      {"round(170.67, 32)", 160},
        {"floor(100, 32)", 96}, {"ceil(100, 32)", 128}, {"sqrt(16)", 4},
        {"log2(8)", 3},         {"ln(exp(2))", 2},      {"2*-3", -6},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_float_eq(eval(rows[i].text, false), rows[i].want, 1e-12, "%s: %g", rows[i].text,
                           eval(rows[i].text, false));
}

Test(spec_expr, truths)
{
    static const struct {
        const char *text;
        int want;
    } rows[] = {
        {"x > 2", 1},
        {"x >= 2.5", 1},
        {"x < 2.5", 0},
        {"x <= 2.5", 1},
        {"x = 2.5", 1},
        {"x == 2.5", 1},
        {"x != 2.5", 0},
        {"x > 2 and y > 0", 0},
        {"x > 2 or y > 0", 1},
        {"not y > 0", 1},
        {"not (x > 2 or y > 0)", 0},
        {"x > 9 and x > 9 or x > 1", 1},
        {"x > 1 or x > 9 and x > 9", 1},
        {"0.1 + 0.2 == 0.3", 1},
        {"n_layer % 2 = 0", 1},
        {"0.0031622776602 = 0.00316227766017", 1},
        {"0.00316 = 0.00316227766017", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(eval(rows[i].text, true) != 0, rows[i].want, "%s", rows[i].text);
}

Test(spec_expr, what_is_wrong_has_a_place)
{
    static const struct {
        const char *text;
        bool truth;
        size_t at;
        const char *word;
    } rows[] = {
        {"", false, 0, "too early"},
        {"4*", false, 2, "too early"},
        {"4*d", false, 2, "unknown name 'd'"},
        {"4 x", false, 2, "should end"},
        {"(4", false, 2, "')'"},
        {"4*(x))", false, 5, "should end"},
        {"1e5x", false, 0, "not a number"},
        {"1.2.3", false, 0, "not a number"},
        {"$", false, 0, "expected here"},
        {"f(x)", false, 0, "unknown function"},
        {"min(x)", false, 0, "number of arguments"},
        {"sqrt(x, 2)", false, 0, "number of arguments"},
        {"x > 2", false, 0, "a number is needed"},
        {"x", true, 0, "a comparison is needed"},
        {"1 + (x > 2)", false, 4, "a number is needed"},
        {"x and y > 2", true, 0, "a comparison is needed"},
        {"not x", true, 4, "a comparison is needed"},
        {"x < 2 < 3", true, 6, "should end"},
        {"1e999", false, 0, "not a number"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        spec_expr *x;
        size_t at;
        err e = {0};
        cr_expect_eq(spec_expr_parse(&x, rows[i].text, rows[i].truth, find, &at, &e), ST_INPUT, "taken: %s",
                     rows[i].text);
        cr_expect_eq(at, rows[i].at, "%s: at %zu: %s", rows[i].text, at, e.msg);
        cr_expect(strstr(e.msg, rows[i].word), "%s: %s", rows[i].text, e.msg);
        spec_expr_free(x);
    }
}

Test(spec_expr, no_finite_number)
{
    static const char *const texts[] = {"1/0", "0/0", "sqrt(-1)", "ln(0)", "1e300*1e300", "(-8)^0.5", "5 % 0"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        spec_expr *x;
        size_t at;
        double out;
        err e = {0};
        cr_assert_eq(spec_expr_parse(&x, texts[i], false, find, &at, &e), ST_OK, "%s", e.msg);
        cr_expect_eq(spec_expr_eval(&out, x, value, NULL, &e), ST_INPUT, "%s gave %g", texts[i], out);
        cr_expect(strstr(e.msg, "no finite number"), "%s", e.msg);
        spec_expr_free(x);
    }
}

/* Hostile text: deep, long, cut anywhere. */
Test(spec_expr, limits)
{
    char text[4096];
    spec_expr *x;
    size_t at;
    err e = {0};
    memset(text, '(', sizeof text - 1);
    text[sizeof text - 1] = 0;
    cr_expect_eq(spec_expr_parse(&x, text, false, find, &at, &e), ST_INPUT);
    memset(text, '-', sizeof text - 1);
    cr_expect_eq(spec_expr_parse(&x, text, false, find, &at, &e), ST_INPUT);
    for (size_t i = 0; i + 2 < sizeof text; i += 2) memcpy(text + i, "x+", 2);
    cr_expect_eq(spec_expr_parse(&x, text, false, find, &at, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "too long"), "%s", e.msg);
    memset(text, 'a', sizeof text - 1);
    cr_expect_eq(spec_expr_parse(&x, text, false, find, &at, &e), ST_INPUT);
    const char *whole = "round(8*x/3, 32) >= min(x, y)^2 and not (x = 1e3 or y != -2)";
    for (size_t n = 0; n < strlen(whole); n++) {
        snprintf(text, sizeof text, "%.*s", (int)n, whole);
        if (spec_expr_parse(&x, text, true, find, &at, &e) == ST_OK) spec_expr_free(x);
    }
}
