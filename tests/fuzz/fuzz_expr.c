/* The formula parser: any text. What parses is evaluated, with both derivatives, in whole and by blocks; the two must
 * agree bit for bit and every output be written. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/expr.h"
#include "tests/fuzz/fuzz.h"

const char fuzz_name[] = "expr";

enum { ROWS = 11, COLS = 3 };

static void require(int ok)
{
    if (!ok) abort();
}

static void evaluate(const expr *x)
{
    static const double odd[] = {.3527, -1.7, 0, 1e300, -1e-300, INFINITY, 15.39, 2.0};
    static const double rows[COLS][ROWS] = {{1e6, 2.5e9, 3.71, 0, -2, 1e300, 7.7e7, .37, INFINITY, 1, 1e-300},
                                            {2e9, 1.3e11, .913, 1, 0, -1e300, 6e8, 2.3, 17, 1, 1e-310},
                                            {1e9, 1.3e11, 1.713, 2, -7, 1e-300, 6e9, 23, 1, 1, NAN}};
    size_t p = expr_n_params(x), h = p * (p + 1) / 2, n_out = (1 + p + h) * ROWS;
    double params[EXPR_MAX_PARAMS], *scratch = malloc(expr_scratch(x) * sizeof *scratch);
    double *a = malloc(n_out * sizeof *a), *b = malloc(n_out * sizeof *b);
    double *features = malloc((expr_n_features(x) + 1) * ROWS * sizeof *features);
    const double *cols[EXPR_MAX_COLS] = {rows[0], rows[1], rows[2]};
    require(scratch && a && b && features && expr_n_cols(x) <= COLS && p <= EXPR_MAX_PARAMS);
    for (size_t j = 0; j < p; j++) params[j] = odd[j % (sizeof odd / sizeof *odd)];
    memset(a, 0x5a, n_out * sizeof *a);
    memset(b, 0xa5, n_out * sizeof *b);
    expr_eval(x, scratch, a, a + ROWS, a + (1 + p) * ROWS, params, cols, ROWS);
    expr_features(x, scratch, features, ROWS, cols, ROWS);
    expr_begin(x, scratch, params, 2);
    expr_block(x, scratch, b, b + ROWS, b + (1 + p) * ROWS, features, ROWS, ROWS);
    require(!memcmp(a, b, n_out * sizeof *a));
    bool linear[EXPR_MAX_PARAMS];
    expr_linear(x, linear);
    for (size_t j = 0; j < p; j++) (void)expr_in_exponent(x, j);
    free(features), free(b), free(a), free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const cols[COLS] = {"N", "D", "U"}, *const params[] = {"E", "A", "alpha"};
    char *text = malloc(size + 1);
    require(text != NULL);
    if (size) memcpy(text, data, size);
    text[size] = 0;
    for (int given = 0; given < 2; given++) {
        err e = {0};
        expr *x;
        status s = expr_parse(&x, text, given ? params : NULL, given ? 3 : 0, cols, COLS, &e);
        require(s ? !x && *e.msg && !strchr(e.msg, '\n') : x != NULL);
        if (!s) evaluate(x);
        expr_free(x);
    }
    free(text);
    return 0;
}
