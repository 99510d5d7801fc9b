/* A law typed by the user becomes a row like any other: names and structure come from the formula (fit/expr.h), domains from
 * where a parameter stands, or from --bound. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/expr.h"
#include "fit/law.h"

typedef struct typed {
    fit_law law; /* first: a pointer to it is a pointer to this */
    char body[FIT_FORMULA];
    char names[FIT_MAX_PARAMS][FIT_NAME], cols[FIT_MAX_COLS][TABLE_NAME_MAX];
} typed;

/* From e^-6 to e^24 covers an E of a hundredth of a nat and a B of 1e10; exponents from -2 to 2. */
static const double amplitude_grid[] = {-6, -1, 0, 1, 6, 12, 18, 24}, exponent_grid[] = {-1.5, -.7, -.3, -.1, .1, .3, .7, 1.5};
_Static_assert(sizeof amplitude_grid / sizeof(double) <= FIT_MAX_GRID, "grid");
enum { GRID = sizeof exponent_grid / sizeof *exponent_grid };
static const double EXPONENT_MOST = 10; /* as in the table's own laws */

static void describe_param(fit_param *q, const char *name, bool exponent)
{
    *q = (fit_param){.name = name, .n_grid = GRID, .log = !exponent};
    q->meaning = exponent ? "stands in an exponent: any sign" : "positive (another domain: --bound)";
    q->lo = exponent ? -EXPONENT_MOST : 0;
    q->hi = exponent ? EXPONENT_MOST : INFINITY;
    memcpy(q->grid, exponent ? exponent_grid : amplitude_grid, sizeof exponent_grid);
}

/* The floor: a parameter that is simply added, so that its derivative is 1 on every row whatever the rest is. */
static int find_floor(const expr *x, const bool *linear)
{
    enum { TRIES = 3 };
    size_t np = expr_n_params(x), nc = expr_n_cols(x);
    double *scratch = malloc((expr_scratch(x) + 1) * sizeof *scratch), value, grad[FIT_MAX_PARAMS];
    bool one[FIT_MAX_PARAMS];
    for (size_t j = 0; j < np; j++) one[j] = linear[j] && scratch;
    for (int t = 0; t < TRIES && scratch; t++) {
        double params[FIT_MAX_PARAMS], col[FIT_MAX_COLS];
        const double *cols[FIT_MAX_COLS];
        for (size_t j = 0; j < np; j++) params[j] = .37 + .21 * (double)((j * 7 + (size_t)t * 5) % 11);
        for (size_t c = 0; c < nc; c++) col[c] = 1.7 + .9 * (double)((c * 5 + (size_t)t * 3) % 7), cols[c] = &col[c];
        expr_eval(x, scratch, &value, grad, NULL, params, cols, 1);
        for (size_t j = 0; j < np; j++) one[j] = one[j] && grad[j] == 1;
    }
    free(scratch);
    for (size_t j = 0; j < np; j++)
        if (one[j]) return (int)j;
    return -1;
}

static void fill(typed *t, const expr *x, const char *text)
{
    bool linear[FIT_MAX_PARAMS] = {0};
    fit_law *law = &t->law;
    snprintf(t->body, sizeof t->body, "%s", text);
    *law = (fit_law){.name = "custom", .formula = t->body, .source = "typed on the command line", .body = t->body, .typed = true, LAW_OF_FORMULA};
    law->n_params = expr_n_params(x);
    law->n_cols = expr_n_cols(x);
    for (size_t c = 0; c < law->n_cols; c++) {
        snprintf(t->cols[c], TABLE_NAME_MAX, "%s", expr_col(x, c));
        law->cols[c] = t->cols[c];
    }
    for (size_t j = 0; j < law->n_params; j++) {
        snprintf(t->names[j], FIT_NAME, "%s", expr_param(x, j));
        describe_param(&law->params[j], t->names[j], expr_in_exponent(x, j));
    }
    expr_linear(x, linear);
    int floor = find_floor(x, linear);
    if (floor >= 0) law->floor = t->names[floor];
}

bool fit_law_is_formula(const char *text) { return strpbrk(text, "+*/^()=;") || strstr(text, " - "); }

status fit_law_typed(fit_law **out, const char *text, const char *const *cols, size_t n_cols, err *e)
{
    expr *x;
    *out = NULL;
    if (strlen(text) >= FIT_FORMULA)
        return err_set(e, ST_USAGE, "--law: the formula has %zu characters, at most %d are taken", strlen(text), FIT_FORMULA - 1);
    status s = expr_parse(&x, text, NULL, 0, cols, n_cols, e);
    if (s) return s;
    typed *t = NULL;
    if (!expr_n_params(x)) s = err_set(e, ST_INPUT, "--law '%s': there is no parameter to fit, only columns and numbers", text);
    else if (!expr_n_cols(x)) s = err_set(e, ST_INPUT, "--law '%s': no column stands in it (columns are N, D, C, ... and those of the input)", text);
    else if (!(t = calloc(1, sizeof *t))) s = err_set(e, ST_NOMEM, "no memory for a law");
    if (t) {
        fill(t, x, text);
        *out = &t->law;
    }
    expr_free(x);
    return s;
}

void fit_law_typed_domain(fit_law *law, int param, double lo, double hi)
{
    fit_param *q = &law->params[param];
    q->log = lo >= 0 && (q->log || lo > 0);
    q->lo = lo, q->hi = hi;
    for (size_t k = 0; k < q->n_grid; k++) {
        double at = ((double)k + .5) / (double)q->n_grid, low = q->log ? log(fmax(lo, hi * 1e-8)) : lo, high = q->log ? log(hi) : hi;
        q->grid[k] = low + (high - low) * at;
    }
}

void fit_law_typed_free(fit_law *law) { free(law); }
