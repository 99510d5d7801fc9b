/* Formulas of laws: text in, values and exact first and second derivatives out. `--law 'E + A*N^-alpha + B*D^-beta'`
 * and the rows of the law table go the same way. doc/laws.md, "Formulas", is the grammar for users.
 *
 *   formula   = { name "=" sum ";" } sum                  local variables: once, before use, shadowing nothing
 *   sum       = product { ("+"|"-") product }             product = signed { ("*"|"/") signed }
 *   signed    = ("+"|"-") signed | power                  power = primary [ ("^"|"**") signed ]   right to left
 *   primary   = number | name | function "(" sum { "," sum } ")" | "(" sum ")"
 *
 * -x^2 is -(x^2); N^-alpha needs no parentheses. Functions: exp log ln log2 log10 sqrt abs expm1 log1p tanh erf,
 * pos(x) = max(x, 0), pow(x, y), min and max of two or more. One constant: pi (e is a name like any other).
 *
 * What the numbers are, in the corners:
 *   x^y       exp(y log x): x > 0. An integer constant y with |y| <= 1024 is repeated multiplication: any x. Constant y
 *             +-0.5: sqrt. At x = 0 the limits from above: value 0, 1, inf for y >, =, < 0; d/dx 0, 1, inf, 0, -inf for
 *             y > 1, 1, 0 < y < 1, 0, < 0; d/dy 0 for y > 0, else -inf. Second derivatives likewise, NaN for inf - inf.
 *   min, max  the derivative of the branch taken; a tie takes the first; NaN in either gives NaN. What is inf or NaN
 *             in the branch not taken reaches no derivative, nor does a factor of inf around it (sqrt(pos(x)), x < 0).
 *   abs       derivative 0 at 0.
 *   Else as IEEE has it (0*inf is NaN, 1/0 is inf); nothing traps. Where the value is NaN its derivatives mean nothing.
 * Row arithmetic uses our own exp and log (1 ulp, fit/expr_rows.h): last bits depend on the CPU level. */
#ifndef FIT_EXPR_H
#define FIT_EXPR_H
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

enum {
    EXPR_BLOCK = 64,      /* rows per block */
    EXPR_MAX_PARAMS = 16,
    EXPR_MAX_COLS = 8,
    EXPR_NAME = 24        /* longest parameter name + 1 */
};

typedef struct expr expr;

/* params NULL: every name that is no column, function, constant or local variable is a parameter, in order of first
 * appearance. params given: any other name is an error, and so is a parameter that does not occur. cols: names that may
 * occur. All names are copied. ST_INPUT: "'E + 2 here> N', character 6: ..." (or a
 * wrong MUSCALE_CPU); *out is then NULL. */
status expr_parse(expr **out, const char *text, const char *const *params, size_t n_params, const char *const *cols,
                  size_t n_cols, err *e);
/* The same formula with derivatives in the wanted [n_params] parameters only, those in the others given as 0: cheaper
 * where some are pinned. x may be freed before it. */
status expr_only(expr **out, const expr *x, const bool *wanted, err *e);
void expr_free(expr *x); /* NULL is fine */

size_t expr_n_params(const expr *x);
const char *expr_param(const expr *x, size_t i);
size_t expr_n_cols(const expr *x);            /* columns that occur, in order of first appearance */
const char *expr_col(const expr *x, size_t i);

/* Parameters in which the value is jointly affine, whatever the others are: greedily, in their order. Structural: c*u,
 * u/c, u+v, -u. False when there is none. For these the gradient does not depend on their values, so the value is
 * value(all of them 0) + sum gradient * parameter: what variable projection needs. */
bool expr_linear(const expr *x, bool *linear); /* [n_params] */
/* The parameter stands in an exponent or in exp(...); what stands there in the base of a further power, in a log or
 * a root does not count. Such parameters may well be negative; the others are amplitudes. */
bool expr_in_exponent(const expr *x, size_t param);

/* Doubles that one evaluation needs. Evaluations with different scratch may run at the same time. */
size_t expr_scratch(const expr *x);

/* n rows, any n. Outputs may be NULL.
 *   value  [n]
 *   grad   [n_params][n]                    derivatives in the parameters as they stand in the formula
 *   hess   [n_params*(n_params+1)/2][n]     upper triangle by rows
 *   params [n_params]
 *   cols   [n_cols][n]                      in the order of expr_col */
void expr_eval(const expr *x, double *scratch, double *value, double *grad, double *hess, const double *params,
               const double *const *cols, size_t n);

/* The same in three steps, for who evaluates the same rows again and again: what depends on columns only (log N, ...),
 * once; what depends on parameters only, once for each set of them; then the rest, block by block.
 *   order     highest derivative wanted: 0, 1 or 2. Steps share the scratch; expr_block may take a lower order
 *   features  [n_features][stride] */
size_t expr_n_features(const expr *x);
void expr_features(const expr *x, double *scratch, double *features, size_t stride, const double *const *cols,
                   size_t n);
void expr_begin(const expr *x, double *scratch, const double *params, int order);
/* n <= EXPR_BLOCK rows. features points at the block's first row; outputs are [..][n]. */
void expr_block(const expr *x, double *scratch, double *value, double *grad, double *hess, const double *features,
                size_t stride, size_t n);
#endif
