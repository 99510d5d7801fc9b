/* Formulas: derivatives against finite differences on every CPU level, corners (0, inf, dead branches), published
 * values, the same numbers however the rows are cut into blocks. */
#include "tests/fit/expr_help.h"

/* --- derivatives ------------------------------------------------------------------------------------------------- */

/* Central differences of order 4 of what expr_eval gives (value, or gradient) in parameter j: out [rows][n]. */
static void numeric(double *out, const expr *x, bool of_gradient, const double *params, size_t j, const double *all,
                    size_t n)
{
    static const double weight[] = {1 / 12., -8 / 12., 8 / 12., -1 / 12.}, place[] = {-2, -1, 1, 2};
    const double step = 2e-4 * fabs(params[j]), *cols[N_COLS];
    size_t p = expr_n_params(x), rows = of_gradient ? p : 1;
    double *scratch = malloc(expr_scratch(x) * sizeof *scratch), *f = malloc(rows * n * sizeof *f),
           moved[EXPR_MAX_PARAMS];
    memcpy(moved, params, p * sizeof *moved);
    memset(out, 0, rows * n * sizeof *out);
    pick_cols(cols, x, all, n);
    for (int k = 0; k < 4; k++) {
        moved[j] = params[j] + place[k] * step;
        expr_eval(x, scratch, of_gradient ? NULL : f, of_gradient ? f : NULL, NULL, moved, cols, n);
        for (size_t i = 0; i < rows * n; i++) out[i] += weight[k] * f[i] / step;
    }
    free(scratch);
    free(f);
}

static bool near(double exact, double approx, double scale, double tol)
{
    return fabs(exact - approx) <= tol * (fabs(exact) + fabs(scale));
}

/* How many first and second derivatives of `of` disagree with finite differences of `value` (for the second: of its
 * gradient). The two differ only where the test tests itself. */
static size_t mismatches(char *first, const expr *of, const expr *value, const double *params, const double *all,
                         size_t n, double tol)
{
    size_t p = expr_n_params(of), bad = 0;
    const double *cols[N_COLS];
    double *scratch = malloc(expr_scratch(of) * sizeof *scratch), *f = malloc(n * sizeof *f),
           *d = malloc(n * p * sizeof *d);
    double *g = malloc(n * p * sizeof *g), *h = malloc(n * p * (p + 1) / 2 * sizeof *h);
    pick_cols(cols, of, all, n);
    expr_eval(of, scratch, f, g, h, params, cols, n);
    *first = 0;
    for (size_t j = 0; j < p; j++) {
        numeric(d, value, false, params, j, all, n);
        for (size_t i = 0; i < n; i++)
            if (!near(g[j * n + i], d[i], f[i] / params[j], tol) && !bad++)
                sprintf(first, "d/d%s, row %zu: %.12g, numerically %.12g", expr_param(of, j), i, g[j * n + i], d[i]);
        numeric(d, value, true, params, j, all, n);
        for (size_t a = 0, at = 0; a < p; a++)
            for (size_t b = a; b < p; b++, at++) {
                if (a != j && b != j) continue;
                size_t other = a == j ? b : a;
                for (size_t i = 0; i < n; i++)
                    if (!near(h[at * n + i], d[other * n + i], g[other * n + i] / params[j], tol) && !bad++)
                        sprintf(first, "d2/d%s d%s, row %zu: %.12g, numerically %.12g", expr_param(of, a),
                                expr_param(of, b), i, h[at * n + i], d[other * n + i]);
            }
    }
    free(scratch), free(f), free(d), free(g), free(h);
    return bad;
}

Test(expr_diff, derivatives_match_finite_differences)
{
    for (size_t l = 0; l < N_LEVELS; l++) {
        if (!use_level(l)) continue;
        for (size_t i = 0; i < sizeof formulas / sizeof *formulas; i++) {
            char first[200];
            expr *x = parsed(formulas[i]);
            size_t bad = mismatches(first, x, x, fd_params, fd_rows(), FD_ROWS, 2e-10);
            cr_expect_eq(bad, 0, "%s (%s): %zu derivatives are wrong: %s", formulas[i], levels[l].word, bad, first);
            expr_free(x);
        }
    }
}

/* The comparison can fail: a formula that differs a little from the one whose value is taken is caught. */
Test(expr_diff, a_wrong_derivative_is_caught)
{
    static const char *const twins[][2] = {
        {"a*N^b", "a*N^b*1.0000001"},     {"a+exp(-b*N)", "a+exp(-b*N*1.000001)"},
        {"min(a*N,b*D)", "max(a*N,b*D)"}, {"a*tanh(b*S)", "a*erf(b*S)"},
        {"abs(a-b*N)", "a-b*N"},          {"pos(a-b*N)", "abs(a-b*N)/2+(a-b*N)/2.00001"},
        {"a+b*N^2", "a+b*N^2.0000001"},   {"(a+N)^b", "(a+N)^b+1e-7*a*b"}};
    for (size_t i = 0; i < sizeof twins / sizeof *twins; i++) {
        char first[200];
        expr *x = parsed(twins[i][0]), *y = parsed(twins[i][1]);
        cr_expect_gt(mismatches(first, y, x, fd_params, fd_rows(), FD_ROWS, 2e-10), 0, "%s", twins[i][1]);
        expr_free(x);
        expr_free(y);
    }
}

/* Values of functions against the library's, on every level: our own exp and log within 1 ulp of the true value. */
Test(expr_diff, exp_and_log_are_within_one_ulp)
{
    enum { MANY = 20000 };
    static double in[MANY], out[MANY];
    const double *cols[] = {in};
    for (size_t l = 0; l < N_LEVELS; l++) {
        if (!use_level(l)) continue;
        for (int f = 0; f < 2; f++) {
            expr *x = parsed(f ? "log(N)" : "exp(N)");
            double *scratch = malloc(expr_scratch(x) * sizeof *scratch), worst = 0, worst_at = 0;
            for (int i = 0; i < MANY; i++) {
                double u = fmod(i * .61803398874989485 + .13, 1); /* spread evenly, no pattern */
                in[i] = !f ? -708 + 1417 * u : i % 3 ? ldexp(1 + u, i % 2000 - 1000) : .6 + .9 * u;
                if (!f && i % 2) in[i] /= 1000;
            }
            expr_eval(x, scratch, out, NULL, NULL, NULL, cols, MANY);
            for (int i = 0; i < MANY; i++) {
                long double truth = f ? logl((long double)in[i]) : expl((long double)in[i]);
                double ulp = nextafter(fabs((double)truth), INFINITY) - fabs((double)truth);
                double off = fabs((double)((long double)out[i] - truth) / ulp);
                if (!(off <= worst)) worst = off, worst_at = in[i];
            }
            cr_expect_lt(worst, 1, "%s, %s: %.3f ulp at %.17g", f ? "log" : "exp", levels[l].word, worst, worst_at);
            free(scratch);
            expr_free(x);
        }
    }
}

Test(expr_diff, exp_and_log_at_the_ends)
{
    static const struct { const char *text; double x, y;
    } rows[] = {{"exp(N)", 0, 1},
                {"exp(N)", INFINITY, INFINITY},
                {"exp(N)", -INFINITY, 0},
                {"exp(N)", 709.78, 1.7928227943945155e308},
                {"exp(N)", 709.79, INFINITY},
                {"exp(N)", -745.2, 0},
                {"exp(N)", -745.1, 0x1p-1074},
                {"exp(N)", 1e300, INFINITY},
                {"exp(N)", -1e300, 0},
                {"exp(N)", NAN, NAN},
                {"log(N)", 0, -INFINITY},
                {"log(N)", -0., -INFINITY},
                {"log(N)", 1, 0},
                {"log(N)", -1.5, NAN},
                {"log(N)", NAN, NAN},
                {"log(N)", INFINITY, INFINITY},
                {"log(N)", 0x1p-1074, -744.44007192138126},
                {"log(N)", 0x1.8p-1060, -734.33054628543391},
                {"log(N)", 0x1.fffffffffffffp1023, 709.78271289338397},
                {"N^2.5", 0, 0},
                {"N^-2.5", 0, INFINITY},
                {"N^2.5", -1.3, NAN},
                {"N^-3", 0, INFINITY}};
    for (size_t l = 0; l < N_LEVELS; l++) {
        if (!use_level(l)) continue;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            expr *x = parsed(rows[i].text);
            double v = at_row(x, NULL, NULL, NULL, &rows[i].x);
            cr_expect(isnan(rows[i].y) ? isnan(v) : v == rows[i].y || fabs(v - rows[i].y) <= 2.3e-16 * fabs(rows[i].y),
                      "%s at %.17g on %s: %.17g, not %.17g", rows[i].text, rows[i].x, levels[l].word, v, rows[i].y);
            expr_free(x);
        }
    }
}

/* --- corners ----------------------------------------------------------------------------------------------------- */

/* Value, first and second derivative in z where the stated conventions decide. */
Test(expr_diff, corners_follow_the_conventions)
{
    const double inf = INFINITY;
    const struct { const char *text; double z, value, first, second; } rows[] = {
        {"abs(z)*2.5", 0, 0, 0, 0},
        {"min(2*z, 3*z-z^2)", 1, 2, 2, 0},          /* a tie: the first */
        {"min(3*z-z^2, 2*z)", 1, 2, 1, -2},
        {"max(2*z, 3*z-z^2)", 1, 2, 2, 0},
        {"max(3*z-z^2, 2*z)", 1, 2, 1, -2},
        {"pos(z)*2.5", 0, 0, 2.5, 0},
        {"pos(z)*2.5", -1.3, 0, 0, 0},
        {"sqrt(pos(z))", -1.3, 0, 0, 0},            /* slope inf, tangent 0 */
        {"pos(z)^.3", -1.3, 0, 0, 0},
        {"pos(z)^1.7", -1.3, 0, 0, 0},
        {"pos(z)/pos(z-9)+1", 12, 5, -1, 2 / 3.},
        {"min(z, exp(1000*z))", 1.5, 1.5, 1, 0},    /* inf in the branch not taken */
        {"min(exp(1000*z), z)", 1.5, 1.5, 1, 0},
        {"max(-exp(1000*z), z*z)", 1.5, 2.25, 3, 2},
        {"max(1, log(z-2))", 1.5, NAN, 0, 0},   /* NaN in a branch is told */
        {"max(log(z-2), 1)", 1.5, NAN, 0, 0},
        {"min(1, log(z-2))", 1.5, NAN, 0, 0},
        {"min(log(z-2), 1)", 1.5, NAN, 0, 0},
        {"min(1, log(pos(z)))", -1, -inf, 0, 0},
        {"(z)^1.5", 0, 0, 0, inf},
        {"(z)^2.5", 0, 0, 0, 0},
        {"(z)^.5", 0, 0, inf, -inf},
        {"(z)^.7", 0, 0, inf, -inf},
        {"(z)^-1.5", 0, inf, -inf, inf},
        {"z^2", 0, 0, 0, 2},
        {"z^3", -1.5, -3.375, 6.75, -9},
        {"z^-1", 0, inf, -inf, inf},
        {"0*exp(1000*z)", 1.5, NAN, 0, 0},
        {"exp(1000*z)-exp(1000*z)", 1.5, NAN, 0, 0},
        {"1/(z-1.5)", 1.5, inf, -inf, inf},
        {"tanh(z)", 30, 1, 4 * 8.7565107626965204e-27, -8 * 8.7565107626965204e-27},
        {"expm1(z)", 1e-12, 1.0000000000005e-12, 1 + 1e-12, 1 + 1e-12},
    };
    for (size_t l = 0; l < N_LEVELS; l++) {
        if (!use_level(l)) continue;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            for (int by_row = 0; by_row < 2; by_row++) { /* z alone (a scalar), z with a column that is 0 */
                char text[128], *p = text;
                for (const char *q = rows[i].text; *q; q++) {
                    if (*q == 'z' && by_row) p = stpcpy(p, "(z+S)");
                    else *p++ = *q, *p = 0;
                }
                expr *x = parsed(text);
                const double row[N_COLS] = {1, 1, 1, 0}, want[] = {rows[i].value, rows[i].first, rows[i].second};
                double got[3];
                got[0] = at_row(x, &got[1], &got[2], &rows[i].z, row);
                for (int k = 0; k < (isnan(want[0]) ? 1 : 3); k++)
                    cr_expect((isnan(want[k]) && isnan(got[k])) || got[k] == want[k] ||
                                  fabs(got[k] - want[k]) <= 1e-15 * fabs(want[k]),
                              "%s at z = %g on %s, derivative %d: %.17g, not %.17g", text, rows[i].z, levels[l].word, k,
                              got[k], want[k]);
                expr_free(x);
            }
    }
}

/* x^y at x = 0 where y is a parameter: value, d/dx, d/dy and d2/dx2, d2/dxdy, d2/dy2 of the limits from above. */
Test(expr_diff, powers_of_zero)
{
    const double inf = INFINITY;
    const struct { double y, want[6]; } rows[] = {
        {2.37, {0, 0, 0, 0, 0, 0}},          {2, {0, 0, 0, 2, 0, 0}},       {1.5, {0, 0, 0, inf, 0, 0}},
        {1, {0, 1, 0, 0, -inf, 0}},          {.37, {0, inf, 0, -inf, NAN, 0}}, {0, {1, 0, -inf, 0, inf, inf}},
        {-1.5, {inf, -inf, -inf, inf, inf, inf}}};
    static const char *const texts[] = {"x^y", "(x+S)^y", "(x+S)^(y+S)", "(x+S)^(y*U)", "pow(x*U, y+S)"};
    const double row[N_COLS] = {1, 1, 1, 0};
    for (size_t l = 0; l < N_LEVELS; l++) {
        if (!use_level(l)) continue;
        for (size_t t = 0; t < sizeof texts / sizeof *texts; t++)
            for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                const double params[] = {0, rows[i].y};
                double got[6];
                expr *x = parsed(texts[t]);
                got[0] = at_row(x, &got[1], &got[3], params, row);
                for (int k = 0; k < 6; k++)
                    cr_expect(got[k] == rows[i].want[k] || (isnan(got[k]) && isnan(rows[i].want[k])),
                              "%s at x = 0, y = %g on %s, output %d: %g, not %g", texts[t], rows[i].y,
                              levels[l].word, k, got[k], rows[i].want[k]);
                expr_free(x);
            }
    }
    /* A column that is 0. */
    expr *x = parsed("a*N^b");
    const double zero[N_COLS] = {0}, params[] = {1.7, .4371};
    double g[2], h[3];
    cr_expect_eq(at_row(x, g, h, params, zero), 0);
    for (int k = 0; k < 2; k++) cr_expect_eq(g[k], 0);
    for (int k = 0; k < 3; k++) cr_expect_eq(h[k], 0);
    expr_free(x);
}

/* --- published values ------------------------------------------------------------------------------------------- */

/* The check values of the data-constrained law, from the unrounded constants of huggingface/datablations
 * (utils/parametric_fit.ipynb). */
Test(expr_diff, data_constrained_law_gives_the_published_losses)
{
    static const char *const names[] = {"E", "A", "B", "alpha", "beta", "R_D_star", "R_N_star"};
    const double p[] = {exp(.6254804), exp(6.255414), exp(7.3049974), .3526596, .3526596, 15.387756, 5.309743};
    static const struct { double row[N_COLS], loss; } rows[] = {{{6.34e9, 242e9, 25e9}, 2.2256440889984477},
                                                                {{8.67e9, 178e9, 25e9}, 2.2269634075087867}};
    for (size_t l = 0; l < N_LEVELS; l++) {
        if (!use_level(l)) continue;
        err e = {0};
        expr *x;
        cr_assert_eq(expr_parse(&x, DATA_CONSTRAINED, names, 7, col_names, N_COLS, &e), ST_OK, "%s", e.msg);
        for (size_t i = 0; i < 2; i++) {
            double loss = at_row(x, NULL, NULL, p, rows[i].row);
            cr_expect_float_eq(loss, rows[i].loss, 1e-12, "%.17g, not %.17g", loss, rows[i].loss);
        }
        expr_free(x);
    }
}

/* Other laws at published parameters (order of appearance) and at real sizes; check values where there are some.
 * Sparsity: Frantar et al. 2023 (arXiv:2309.08520), T5: 1.4683 at S .75, N 604 (millions), D 5 (1e5 steps). Kaplan et
 * al. 2020 (arXiv:2001.08361). Precision: Kumar et al. 2024 (arXiv:2411.04330). Chinchilla: Besiroglu et al. 2024. */
Test(expr_diff, laws_at_published_parameters)
{
    static const struct { const char *text; double params[9], rows[N_COLS * 3]; double loss;
    } laws[] = {
        {SPARSITY,
         {.5678, .7216, 1.5227, .2451, .6336, .2027, .6507},
         {604, 85, 3.7, 5, 2.5, 10, 0, 0, 0, .75, .5, .875},
         1.4683},
        {KAPLAN, {6.4e13, .076, .103, 1.8e13}, {1.08e8, 7.7e5, 1.5e9, 2.3e10, 1.1e9, 2.2e10}, NAN},
        {CHINCHILLA,
         {1.8172, 482.01, .3478, 2085.43, .3658},
         {8.05319e7, 7.22487e10, 1e9, 2.06959e9, 1.32873e12, 2e10},
         3.490492},
        {PRECISION,
         {4299, 2.6745, .3037, 2.2102, 1.4072, .4965, 18060, 2.7648},
         {1.1e8, 2.2e8, 3e7, 16, 8, 6, 16, 4.5, 3.3},
         NAN},
        {DATA_CONSTRAINED,
         {.3526596, 520.8, .3526596, 1487.7, 1.8691, 5.309743, 15.387756},
         {6.34e9, 8.67e9, 1.7e7, 242e9, 178e9, 9e11, 25e9, 25e9, 1e8},
         2.2256}, /* A, B, E as the authors round them */
    };
    for (size_t i = 0; i < sizeof laws / sizeof *laws; i++) {
        char first[200];
        expr *x = parsed(laws[i].text);
        double row[N_COLS] = {0};
        for (size_t k = 0; k < N_COLS; k++) row[k] = laws[i].rows[3 * k];
        if (!isnan(laws[i].loss))
            cr_expect_float_eq(at_row(x, NULL, NULL, laws[i].params, row), laws[i].loss, 5e-5, "%s", laws[i].text);
        /* 5e-9: terms of the size of the loss cancel in some second derivatives of the data-constrained law. */
        size_t bad = mismatches(first, x, x, laws[i].params, laws[i].rows, 3, 5e-9);
        cr_expect_eq(bad, 0, "%s: %zu derivatives are wrong: %s", laws[i].text, bad, first);
        expr_free(x);
    }
}

/* --- rows, blocks, features -------------------------------------------------------------------------------------- */

static const double guard = 8.31446e77;

Test(expr_diff, any_number_of_rows_gives_the_same_numbers)
{
    enum { MAX = 201 };
    static const size_t sizes[] = {1, 7, 8, 9, 63, 64, 65, 128, MAX};
    static double all[N_COLS * MAX];
    for (size_t l = 0; l < N_LEVELS; l++) {
        if (!use_level(l)) continue;
        expr *x = parsed(DATA_CONSTRAINED);
        size_t p = expr_n_params(x), h = p * (p + 1) / 2, f = expr_n_features(x), need = expr_scratch(x);
        double *scratch = malloc((need + 1) * sizeof *scratch), *features = malloc(f * MAX * sizeof *features);
        double *out = malloc((1 + p + h) * MAX * sizeof *out + sizeof *out), *one = malloc((1 + p + h) * sizeof *one);
        double *block = malloc((1 + p + h) * EXPR_BLOCK * sizeof *block);
        scratch[need] = guard;
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            size_t n = sizes[s];
            const double *cols[N_COLS];
            for (size_t k = 0; k < N_COLS; k++)
                for (size_t i = 0; i < n; i++)
                    all[k * n + i] = fd_rows()[k * FD_ROWS + i % FD_ROWS] * (1 + .013 * (double)i);
            pick_cols(cols, x, all, n);
            out[(1 + p + h) * n] = guard;
            expr_eval(x, scratch, out, out + n, out + (1 + p) * n, fd_params, cols, n);
            cr_expect_eq(out[(1 + p + h) * n], guard);
            cr_expect_eq(scratch[need], guard);
            expr_features(x, scratch, features, n, cols, n);
            expr_begin(x, scratch, fd_params, 2);
            for (size_t i = 0; i < n; i++) {
                double row[N_COLS];
                for (size_t k = 0; k < N_COLS; k++) row[k] = all[k * n + i];
                one[0] = at_row(x, one + 1, one + 1 + p, fd_params, row);
                size_t b = i / EXPR_BLOCK * EXPR_BLOCK, m = n - b < EXPR_BLOCK ? n - b : EXPR_BLOCK;
                if (i == b) expr_block(x, scratch, block, block + m, block + (1 + p) * m, features + b, n, m);
                for (size_t k = 0; k < 1 + p + h; k++) {
                    cr_assert_eq(out[k * n + i], one[k], "n %zu, row %zu, output %zu", n, i, k);
                    cr_assert_eq(block[k * m + i - b], one[k], "block of %zu, row %zu, output %zu", n, i, k);
                }
            }
            /* Without some outputs: the others do not change. */
            double *value = block, *grad = block + 2, *hess = block + 2 + p;
            size_t few = n < 2 ? n : 2;
            expr_eval(x, scratch, value, NULL, NULL, fd_params, cols, few);
            expr_eval(x, scratch, NULL, grad, NULL, fd_params, cols, 1);
            expr_eval(x, scratch, NULL, NULL, hess, fd_params, cols, 1);
            cr_expect_eq(value[0], out[0]);
            for (size_t k = 0; k < p; k++) cr_expect_eq(grad[k], out[(1 + k) * n]);
            for (size_t k = 0; k < h; k++) cr_expect_eq(hess[k], out[(1 + p + k) * n]);
        }
        free(scratch), free(features), free(out), free(one), free(block);
        expr_free(x);
    }
}

Test(expr_diff, only_the_wanted_derivatives)
{
    expr *x = parsed(DATA_CONSTRAINED), *y;
    size_t p = expr_n_params(x);
    bool wanted[EXPR_MAX_PARAMS];
    double row[N_COLS], g[2][EXPR_MAX_PARAMS], h[2][EXPR_MAX_PARAMS * (EXPR_MAX_PARAMS + 1) / 2];
    err e = {0};
    for (size_t j = 0; j < p; j++)
        wanted[j] = !strcmp(expr_param(x, j), "R_D_star") || !strcmp(expr_param(x, j), "beta");
    for (size_t k = 0; k < N_COLS; k++) row[k] = fd_rows()[k * FD_ROWS];
    cr_assert_eq(expr_only(&y, x, wanted, &e), ST_OK, "%s", e.msg);
    double v = at_row(x, g[0], h[0], fd_params, row);
    expr_free(x);
    cr_expect_eq(at_row(y, g[1], h[1], fd_params, row), v);
    size_t n_nonzero = 0;
    for (size_t a = 0, at = 0; a < p; a++) {
        cr_expect_eq(g[1][a], wanted[a] ? g[0][a] : 0);
        for (size_t b = a; b < p; b++, at++) {
            cr_expect_eq(h[1][at], wanted[a] && wanted[b] ? h[0][at] : 0);
            n_nonzero += h[1][at] != 0;
        }
    }
    cr_expect_eq(n_nonzero, 3);
    expr_free(y);
}
