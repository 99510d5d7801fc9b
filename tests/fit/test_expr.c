/* Formulas: grammar against hand-computed numbers, every refusal with its column, limits, structure. */
#include "fit/expr_program.h" /* private: one test looks at the programs */
#include "tests/fit/expr_help.h"

/* --- grammar ---------------------------------------------------------------------------------------------------- */

Test(expr, precedence_and_functions)
{
    const double N = plain_row[0], D = plain_row[1], U = plain_row[2], S = plain_row[3];
    const struct { const char *text; double is;
    } rows[] = {
        {"-2^2", -4},
        {"2^3^2", 512},
        {"2**3**2", 512},
        {"2^-1", .5},
        {"2^-N^2", pow(2, -N * N)},
        {"-N^-2", -1 / (N * N)},
        {"(-2)^3", -8},
        {"(-N)^3", -N * N * N},
        {"(-N)^-2", 1 / (N * N)},
        {"--N", N},
        {"N--D", N + D},
        {"N+-D*U", N - D * U},
        {"-N*D", -N * D},
        {"7-3-2", 2},
        {"16/4/2", 2},
        {"7-(3-2)", 6},
        {"16/(4/2)", 8},
        {"N-D-U", N - D - U},
        {"N/D/U", N / D / U},
        {"N/D*U", N / D * U},
        {"2*N^2*D", 2 * N * N * D},
        {"1e-5*N", 1e-5 * N},
        {".5*N", .5 * N},
        {"5.*N", 5 * N},
        {"1.5E+2*N", 150 * N},
        {" \t\n N\n+\tD ", N + D},
        {"((N))", N},
        {"N^0", 1},
        {"0^0", 1},
        {"N^1", N},
        {"N^10", pow(N, 10)},
        {"N^-7", pow(N, -7)},
        {"N^.5", sqrt(N)},
        {"N^-0.5", 1 / sqrt(N)},
        {"N^2.5", pow(N, 2.5)},
        {"2^N", pow(2, N)},
        {"N^S", pow(N, S)},
        {"exp(-S)", exp(-S)},
        {"log(N)", log(N)},
        {"ln(N)", log(N)},
        {"log2(8)", 3},
        {"log2(N)", log2(N)},
        {"log10(1000)", 3},
        {"log10(N)", log10(N)},
        {"sqrt(N)", sqrt(N)},
        {"abs(-N)", N},
        {"abs(N)", N},
        {"min(N,D,U,S)", S},
        {"max(N,D,U,S)", D},
        {"max(S,N)", N},
        {"pow(N,S)", pow(N, S)},
        {"pow(-2,3)", -8},
        {"expm1(S)", expm1(S)},
        {"log1p(S)", log1p(S)},
        {"tanh(S)", tanh(S)},
        {"erf(S)", erf(S)},
        {"pos(N-D)", 0},
        {"pos(D-N)", D - N},
        {"pi*N", 3.14159265358979323846 * N},
        {"x = N*D; y = x+1; x/y", N * D / (N * D + 1)},
        {"a=2 ; a*a", 4},
        {"exp (S) * 2", 2 * exp(S)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        expr *x = parsed(rows[i].text);
        double v = at_row(x, NULL, NULL, NULL, plain_row);
        cr_expect(fabs(v - rows[i].is) <= 4e-16 * fabs(rows[i].is), "%s is %.17g, not %.17g", rows[i].text, v,
                  rows[i].is);
        cr_expect_eq(expr_n_params(x), 0, "%s", rows[i].text);
        expr_free(x);
    }
}

Test(expr, names_appear_in_order)
{
    expr *x = parsed("c0 = A*D^-beta; E + e*N^-alpha + c0 + A*_k1");
    static const char *const params[] = {"A", "beta", "E", "e", "alpha", "_k1"};
    cr_assert_eq(expr_n_params(x), 6);
    for (size_t i = 0; i < 6; i++) cr_expect_str_eq(expr_param(x, i), params[i]);
    cr_assert_eq(expr_n_cols(x), 2); /* U and S do not occur */
    cr_expect_str_eq(expr_col(x, 0), "D");
    cr_expect_str_eq(expr_col(x, 1), "N");
    expr_free(x);

    static const char *const given[] = {"alpha", "E", "A"};
    const double p[] = {.3173, 1.7301, 391.7};
    double g[3];
    err e = {0};
    cr_assert_eq(expr_parse(&x, "E + A*N^-alpha", given, 3, col_names, N_COLS, &e), ST_OK, "%s", e.msg);
    double v = at_row(x, g, NULL, p, plain_row), t = pow(plain_row[0], -p[0]);
    cr_expect_str_eq(expr_param(x, 0), "alpha");
    cr_expect_float_eq(v, p[1] + p[2] * t, 1e-12);
    cr_expect_float_eq(g[0], -p[2] * t * log(plain_row[0]), 1e-12);
    cr_expect_float_eq(g[1], 1, 0);
    cr_expect_float_eq(g[2], t, 1e-15);
    expr_free(x);
    expr_free(NULL);
}

Test(expr, errors_point_at_the_character)
{
    static const struct { const char *text; int at; const char *says; } bad[] = {
        {"", 1, "the formula is empty"},
        {" \n ", 4, "the formula is empty"},
        {"E + ", 5, "ends too early"},
        {"E + A*N^", 9, "'E + A*N^ here>', character 9: the formula ends too early"},
        {"(E + A", 1, "this '(' is never closed"},
        {"E*(A + (N)", 3, "this '(' is never closed"},
        {"exp(N", 4, "this '(' is never closed"},
        {"E + A)", 6, "this ')' closes nothing"},
        {")", 1, "this ')' closes nothing"},
        {"()", 2, "expected before ')'"},
        {"exp()", 5, "expected before ')'"},
        {"(E; A)", 3, "')' is expected"},
        {"2N", 2, "write 2*N"},
        {"E + 2N", 6, "'E + 2 here> N', character 6: an operator is missing; for a product write 2*N"},
        {"1e-5x", 5, "write 1e-5*x"},
        {"2e", 2, "write 2*e"},
        {"2.5(N)", 4, "write 2.5*("},
        {"(N)(D)", 4, "write )*("},
        {"(N)2", 4, "write )*2"},
        {"N D", 3, "write N*D"},
        {"exp(N)D", 7, "write )*D"},
        {"N 2", 3, "write N*2"},
        {"N(2)", 2, "write N*("},
        {"x = N; x(2)", 9, "write x*("},
        {"foobarbaz(2)", 1, "no function 'foobarbaz'; for a product"},
        {"E + expo(N)", 5, "did you mean 'exp'"},
        {"Log(N)", 1, "did you mean 'log'"},
        {"exp + 1", 1, "write exp(...)"},
        {"E*log", 3, "write log(...)"},
        {"exp(N, D)", 1, "exp takes 1 argument, not 2"},
        {"E + pow(N)", 5, "pow takes 2 arguments, not 1"},
        {"pow(1,2,3)", 1, "pow takes 2 arguments, not 3"},
        {"max(N)", 1, "max takes at least 2 arguments, not 1"},
        {"1,000*N", 2, "a ',' only separates"},
        {"(N, D)", 3, "a ',' only separates"},
        {"E + 1e999", 5, "1e999 is too large"},
        {"1e-999", 1, "1e-999 is too small"},
        {"2_000", 2, "without '_'"},
        {"1.2.3", 4, "a second '.'"},
        {".", 1, "a '.' needs a digit"},
        {"N.x", 2, "an operator is missing"},
        {"* N", 1, "expected before '*'"},
        {"N*/D", 3, "expected before '/'"},
        {"N***D", 4, "expected before '*'"},
        {"E + \u03b1*N", 5, "write 'alpha'"},
        {"E*\u03c9", 3, "write 'omega'"},
        {"E \u2212 N", 3, "write '-'"},
        {"E\u00d7N", 2, "write '*'"},
        {"N\u00b2", 2, "write '^2'"},
        {"E*\u0416", 3, "not an ASCII character"},
        {"N\xff", 2, "'N here> ?', character 2: not an ASCII"},
        {"N\xe2\x88", 2, "here> \?\?'"},
        {"N[0]", 2, "only ( and ) group"},
        {"N > 2", 3, "no comparisons"},
        {"N % 2", 3, "'%' means nothing here"},
        {"$N", 1, "'$' means nothing here"},
        {"N\x01", 2, "an operator"},
        {"N == 2", 3, "no comparisons"},
        {"E + N = 2", 7, "a '=' only stands"},
        {"L = E + A*N^-alpha", 1, "leave 'L =' away"},
        {"x = N;", 7, "the value is missing"},
        {"E*N;", 4, "nothing follows the value"},
        {"E; N", 2, "nothing follows the value"},
        {"x = N; E", 1, "'x' is defined and never used"},
        {"x = N; x = D; x", 8, "'x' is defined twice"},
        {"E*x; x = N; E", 4, "nothing follows the value"},
        {"y = x*N; x = 2; x*y", 5, "'x' is used before it is defined"},
        {"N = 2; N", 1, "'N' is a column"},
        {"exp = 2; N", 1, "'exp' is a function"},
        {"pi = 3; pi", 1, "'pi' is the constant"},
        {"nan*N", 1, "'nan' is no number"},
        {"E + inf", 5, "'inf' is no number"},
        {"Infinity = 2; 1", 1, "'Infinity' is no number"},
        {"1/0", 2, "the constant part here is infinite"},
        {"E + log(0)*N", 5, "infinite"},
        {"E*sqrt(-1)", 3, "not a number"},
        {"(-8)^(1/3)*E", 5, "not a number"},
        {"1e308*10*N", 6, "infinite"},
        {"a_name_of_more_than_23_ch*N", 1, "more than 23 characters"},
        {"a_name_of_more_than_23_ch = N; 1", 1, "more than 23 characters"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err e = {0};
        char at[32];
        expr *x;
        status s = expr_parse(&x, bad[i].text, NULL, 0, col_names, N_COLS, &e);
        cr_expect_eq(s, ST_INPUT, "'%s' was taken", bad[i].text);
        cr_expect_null(x);
        cr_expect_eq(status_exit(s), 3);
        snprintf(at, sizeof at, "character %d: ", bad[i].at);
        cr_expect(strstr(e.msg, at) && strstr(e.msg, bad[i].says), "\"%s\" should say \"%s%s\"", e.msg, at,
                  bad[i].says);
        cr_expect_null(strchr(e.msg, '\n'), "%s", e.msg);
        cr_expect_eq(expr_parse(&x, bad[i].text, NULL, 0, col_names, N_COLS, NULL), ST_INPUT); /* no err */
    }
}

Test(expr, given_names_are_checked)
{
    static const char *const names[] = {"E", "A", "alpha"};
    static const struct { const char *text, *says;
    } bad[] = {
        {"E + A*N^-alhpa",
         "'E + A*N^- here> alhpa', character 10: there is no parameter or column 'alhpa'; did you mean 'alpha'?"},
        {"E + A*n^-alpha", "did you mean 'N'?"},
        {"E + A*N^-alpha + somethingelse", "no parameter or column 'somethingelse'"},
        {"E + A*N", "parameter 'alpha' does not occur"},
        {"A = 2; E*A^alpha", "'A' is a parameter"},
    };
    err e = {0};
    expr *x;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(expr_parse(&x, bad[i].text, names, 3, col_names, N_COLS, &e), ST_INPUT);
        cr_expect(strstr(e.msg, bad[i].says), "%s", e.msg);
    }
    static const char *const wrong[][2] = {{"E", "E"}, {"E", "N"}, {"E", "exp"}, {"E", "pi"}, {"E", "2x"}, {"E", ""},
                                           {"E", "a b"}, {"E", "a_name_of_24_characters_"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_expect_eq(expr_parse(&x, "E", wrong[i], 2, col_names, N_COLS, &e), ST_INPUT, "%s", wrong[i][1]);
        cr_expect(strstr(e.msg, "'") && strstr(e.msg, wrong[i][1]), "%s", e.msg);
    }
    static const char *const odd_cols[] = {"pi", "max", "N"};
    cr_expect_eq(expr_parse(&x, "pi*N", NULL, 0, odd_cols, 3, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "give the column another name"), "%s", e.msg);
    cr_expect_eq(expr_parse(&x, "E*N", NULL, 0, odd_cols, 3, &e), ST_OK); /* not used: no matter */
    expr_free(x);
}

static char *repeated(const char *head, const char *unit, size_t n, const char *tail)
{
    char *text = malloc(strlen(head) + n * strlen(unit) + strlen(tail) + 1), *p = stpcpy(text, head);
    for (size_t i = 0; i < n; i++) p = stpcpy(p, unit);
    stpcpy(p, tail);
    return text;
}

Test(expr, an_unknown_cpu_level_is_refused)
{
    err e = {0};
    expr *x;
    setenv("MUSCALE_CPU", "v9", 1);
    cr_expect_eq(expr_parse(&x, "E*N", NULL, 0, col_names, N_COLS, &e), ST_INPUT);
    cr_expect(!x && strstr(e.msg, "MUSCALE_CPU=v9"), "%s", e.msg);
}

Test(expr, size_is_limited)
{
    static const struct { const char *head, *unit; size_t n; const char *tail, *says; } rows[] = {
        {"", "(", 64, "N", "never closed"},
        {"", "(", 65, "N", "more than 64 levels"},
        {"", "exp(", 65, "N", "more than 64 levels"},
        {"N", "^a", 65, "", "more than 64 levels"},
        {"", "-", 4000, "N", NULL},
        {"N", "\x80", 100, "", "character 2: not an ASCII character"},
        {"N", "\xce\xb1", 100, "", "\xce\xb1...', character 2: not an ASCII character; write 'alpha'"},
        {"", "-", 4096, "N", "more than 4096 characters"},
        {"N", "+N", 900, "", NULL},
        {"N", "*.9*N", 800, "", "more than 1000 operations"},
        {"E + ", "0", 60, "1", NULL},
        {"E + ", "0", 64, "1", "a number of more than 63"},
        {"E*", "x", 70, "", "a name of 70 characters"},
        {"q=a+b+c+d+f+g+h+i+j+k+l+m+n+o+p; q^p", "*(1+q^p)^q", 60, "", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = repeated(rows[i].head, rows[i].unit, rows[i].n, rows[i].tail);
        err e = {0};
        expr *x;
        status s = expr_parse(&x, text, NULL, 0, col_names, N_COLS, &e);
        if (rows[i].says) cr_expect(s == ST_INPUT && strstr(e.msg, rows[i].says), "%zu: \"%s\"", i, e.msg);
        else cr_expect_eq(s, ST_OK, "%zu: %s", i, e.msg);
        expr_free(x);
        free(text);
    }
    char many[600] = "0", *p = many + 1;
    err e = {0};
    expr *x;
    for (int i = 0; i < 16; i++) p += sprintf(p, "+p%d", i);
    cr_expect_eq(expr_parse(&x, many, NULL, 0, col_names, N_COLS, &e), ST_OK, "%s", e.msg);
    expr_free(x);
    strcpy(p, "+p16");
    cr_expect_eq(expr_parse(&x, many, NULL, 0, col_names, N_COLS, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "more than 16 parameters"), "%s", e.msg);
    static const char *const nine[] = {"c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"};
    cr_expect_eq(expr_parse(&x, "c1+c2+c3+c4+c5+c6+c7+c9", NULL, 0, nine, 9, &e), ST_OK);
    expr_free(x);
    cr_expect_eq(expr_parse(&x, "c1+c2+c3+c4+c5+c6+c7+c8+c9", NULL, 0, nine, 9, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "character 25: more than 8 columns"), "%s", e.msg);
}

/* The largest tapes: every pair of 16 parameters meets in every factor. Either compiled or refused, never a crash. */
Test(expr, derivatives_of_a_monster)
{
    char text[4000] = "s = a*N", *p = text + strlen(text);
    for (char c = 'b'; c <= 'p'; c++) p += sprintf(p, "+%c*N^%c", c, c);
    p += sprintf(p, "; 1");
    for (int i = 0; i < 120; i++) p += sprintf(p, "*(%d+s)^(s/%d)", i + 2, i + 3);
    err e = {0};
    expr *x;
    cr_expect_eq(expr_parse(&x, text, NULL, 0, col_names, N_COLS, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "too large: its derivatives need more than 65536"), "%s", e.msg);
}

/* --- structure ------------------------------------------------------------ */

static void expect_sets(const char *text, const char *linear, const char *exponents)
{
    expr *x = parsed(text);
    bool is[EXPR_MAX_PARAMS] = {0};
    char got[2][400] = {" ", " "};
    bool any = expr_linear(x, is);
    cr_expect_eq(any, strlen(linear) > 1, "%s", text);
    for (size_t j = 0; j < expr_n_params(x); j++) {
        if (is[j]) sprintf(got[0] + strlen(got[0]), "%s ", expr_param(x, j));
        if (expr_in_exponent(x, j)) sprintf(got[1] + strlen(got[1]), "%s ", expr_param(x, j));
    }
    cr_expect_str_eq(got[0], linear, "%s is linear in%s, not%s", text, got[0], linear);
    cr_expect_str_eq(got[1], exponents, "%s has%sin exponents, not%s", text, got[1], exponents);
    expr_free(x);
}

Test(expr, linear_parameters_and_exponents)
{
    expect_sets(CHINCHILLA, " E A B ", " alpha beta ");
    expect_sets("E + A/N^alpha + B/D^beta", " E A B ", " alpha beta ");
    expect_sets(SPARSITY, " a c e g ", " b d f ");
    expect_sets(KAPLAN, " ", " alpha_N alpha_D ");
    expect_sets(DATA_CONSTRAINED, " E ", " alpha beta R_N_star R_D_star ");
    expect_sets("a*b*N", " a ", " ");             /* jointly: b only if a is not */
    expect_sets("a*b + b*N", " a ", " ");
    expect_sets("(a+b*N)/c - d", " a b d ", " ");
    expect_sets("N/(a+b)", " ", " ");
    expect_sets("-(a-N)*-(2*b)", " a ", " ");
    expect_sets("min(a,N)+b", " b ", " ");
    expect_sets("a^1 + b^2", " a ", " ");
    expect_sets("sqrt(a)+abs(b)+exp(c)+log(d)", " ", " c ");
    expect_sets("x = a*N; y = x + b; y*c", " a b ", " ");
    expect_sets("a*exp(-(b*N)^c)", " a ", " c "); /* b stands in the base */
    expect_sets("exp(log(a)-b*N)", " ", " b ");
    expect_sets("2^(a+b*log(c*N))", " ", " a b ");
    expect_sets("N*D", " ", " ");
}

/* What the set promises: the gradient in it does not move with it, and the value is affine. */
Test(expr, the_linear_set_is_linear)
{
    for (size_t i = 0; i < sizeof formulas / sizeof *formulas; i++) {
        expr *x = parsed(formulas[i]);
        bool linear[EXPR_MAX_PARAMS];
        double other[EXPR_MAX_PARAMS], g[2][EXPR_MAX_PARAMS], sum = 0;
        size_t p = expr_n_params(x);
        if (expr_linear(x, linear)) {
            double row[N_COLS];
            for (size_t k = 0; k < N_COLS; k++) row[k] = fd_rows()[k * FD_ROWS + 3];
            double v = at_row(x, g[0], NULL, fd_params, row);
            for (size_t j = 0; j < p; j++) other[j] = linear[j] ? 0 : fd_params[j];
            double v0 = at_row(x, g[1], NULL, other, row);
            for (size_t j = 0; j < p; j++)
                if (linear[j]) {
                    sum += g[0][j] * fd_params[j];
                    cr_expect(fabs(g[0][j] - g[1][j]) <= 1e-14 * fabs(g[0][j]), "%s: d/d%s moves", formulas[i],
                              expr_param(x, j));
                }
            cr_expect_float_eq(v0 + sum, v, 1e-12 * (fabs(v) + fabs(v0)), "%s", formulas[i]);
        }
        expr_free(x);
    }
}

/* Sharing and sparsity: what the programs hold. Two powers, two products, two sums; then N^-alpha log N and its product
 * for each exponent, and E's constant 1. */
Test(expr, programs_hold_no_more_than_they_must)
{
    expr *x = parsed(CHINCHILLA), *y = parsed("E + A/N^alpha + B/D^beta"), *z = parsed("a*exp(-b*N)+a*exp(-b*N)*D");
    cr_expect_eq(x->rows[0].n, 6);
    cr_expect_eq(x->rows[1].n, 11);
    cr_expect_eq(y->rows[1].n, 11);
    cr_expect_eq(x->n_features, 2); /* log N, log D */
    size_t n_exp = 0;
    for (size_t i = 0; i < z->rows[2].n; i++) n_exp += z->rows[2].ins[i].op == OP_EXP;
    cr_expect_eq(n_exp, 1);
    expr_free(x);
    expr_free(y);
    expr_free(z);
}
