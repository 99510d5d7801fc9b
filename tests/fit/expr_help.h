/* Shared by the tests of formulas: parse, evaluate, laws to try. */
#ifndef TESTS_FIT_EXPR_HELP_H
#define TESTS_FIT_EXPR_HELP_H
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu_level.h"
#include "fit/expr.h"

static const char *const col_names[] = {"N", "D", "U", "S"};
enum { N_COLS = 4 };

static const struct { const char *word; cpu_level level; } levels[] = {
    {"generic", CPU_GENERIC}, {"v3", CPU_V3}, {"v4", CPU_V4}};
enum { N_LEVELS = sizeof levels / sizeof *levels };

/* Formulas parsed from now on run at the level. False: this processor has less. */
static inline bool use_level(size_t l)
{
    if (cpu_level_detect() < levels[l].level) return false;
    setenv("MUSCALE_CPU", levels[l].word, 1);
    return true;
}

static inline expr *parsed(const char *text)
{
    err e = {0};
    expr *x;
    cr_assert_eq(expr_parse(&x, text, NULL, 0, col_names, N_COLS, &e), ST_OK, "%s: %s", text, e.msg);
    cr_assert_not_null(x);
    return x;
}

/* Columns of a formula out of N, D, U, S, [..][n]. */
static inline void pick_cols(const double **out, const expr *x, const double *all, size_t n)
{
    for (size_t c = 0; c < expr_n_cols(x); c++)
        for (size_t k = 0; k < N_COLS; k++)
            if (!strcmp(expr_col(x, c), col_names[k])) out[c] = all + k * n;
}

/* One row; grad and hess may be NULL. */
static inline double at_row(const expr *x, double *grad, double *hess, const double *params, const double *row)
{
    const double *cols[N_COLS];
    double value, *scratch = malloc(expr_scratch(x) * sizeof *scratch);
    pick_cols(cols, x, row, 1);
    expr_eval(x, scratch, &value, grad, hess, params, cols, 1);
    free(scratch);
    return value;
}

static const double plain_row[N_COLS] = {2.385, 7.193, 1.4707, .3719};

enum { FD_ROWS = 11 };

/* N, D, U, S of eleven rows: large and small, D below and above U. */
static inline const double *fd_rows(void)
{
    static const double rows[N_COLS * FD_ROWS] = {
        2.385, .7319, 5.371, 3.917, 1.1371, 5.237, 4.193, .2317, 6.191, 2.719, 2.913,
        7.193, 1.417, .8311, 2.319, 3.371, 9.137, 1.733, 6.113, .4391, 3.907, 12.91,
        1.471, 2.319, .6173, 11.13, 3.917, 17.73, .9137, 4.391, 2.153, 7.717, 5.311,
        .3719, .5173, .1937, .7391, .2713, .6179, .4327, .8713, .0937, .3391, .5711};
    return rows;
}

/* Parameters by their order of appearance. */
static const double fd_params[] = {1.7301, .4371, 2.1133, .3617, .8719, 1.2173, .5939, 3.1371};

#define KAPLAN "((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D"
#define CHINCHILLA "E + A*N^-alpha + B*D^-beta"
#define DATA_CONSTRAINED                                                                                    \
    "G=(alpha*A/(beta*B))^(1/(alpha+beta)); UN=min(N, G*(U*G)^(beta/alpha)); RN=pos(N/UN-1); RD=pos(D/U-1); " \
    "E + A/(UN+UN*R_N_star*(1-exp(-RN/R_N_star)))^alpha + B/(U+U*R_D_star*(1-exp(-RD/R_D_star)))^beta"
#define SPARSITY "(a*(1-S)^b + c)*N^-d + e*D^-f + g"
#define PRECISION "A*(N*(1-exp(-U/gamma_w+n_w))*(1-exp(-D/gamma_a+n_a)))^-alpha + B*D^-alpha + E"

static const char *const formulas[] = {
    "a+b*N", "a-b-N*a", "a*b*N*a", "a*N/b", "N/(a+b*D)", "(a-N)/(b+D*a)", "-a*-b*N", "-(a-N*b)", "N*(-a)-(-b*D)",
    "N^a", "N^-a", "a^N", "a^b*N", "(a+N)^b", "(a*N+b)^(b*D)", "(a+N)^2.37", "(a+N)^-.71", "N/(a+N)^b", "(b*N)^(a*b)",
    "(a-N)^3", "(a-N)^-2", "(a*N+b)^7", "(a+b*N)^.5", "(a+b*N)^-.5", "a^2*N^2", "2.31^(a*N)", "(N+a)^(N+b)",
    "exp(-a*N)", "a*exp(-N/b)", "exp(a*b*S)^a", "log(a+b*N)", "ln(1.5+a*N)^b", "log2(a+N*b)", "log10(a*b+N)",
    "sqrt(a*N+b*b)", "abs(a-b*N)", "abs(a*N)*b", "min(a*N,b*D)", "max(a*N,b*D)", "min(a*N,D,b*U)^a",
    "max(a*N,1.17,b*D*a)", "pow(a+N,b)", "expm1(a*S-b)", "log1p(a*b*S)", "tanh(a*S-b)", "tanh(a*S-b*N)*a",
    "erf(b*S-a*b)", "erf(a*(S-b))^2", "pos(a*N-b*D)", "pos(a*N-b*D)^2.5*b", "b*pos(N-a)", "x=a*N^b; x+x*x-1/x",
    "a*exp(-exp(-b*S))", "a+0*b*N", "log(exp(a*S)+exp(b*N)+1)", "a/(1+exp(-b*(S-a)))", "a*b", "a", "a^b^a*N", "N*D",
    "max(N,a)-min(a,N)", CHINCHILLA, "E + A/N^alpha + B/D^beta", KAPLAN, DATA_CONSTRAINED, SPARSITY,
    "L0 + A*N^-a - B*(1-(1+C*D)^-b)*U^-g",
};

#endif
