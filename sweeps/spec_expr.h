/* Small formulas of a spec: `4*d_model`, `round(8*d_model/3, 32)`, `d_model >= 512 and lr > 2e-3`.
 *
 *   truth  = and { "or" and }        and = not { "and" not }        not = "not" not | sum [ cmp sum ]
 *   sum    = product { ("+"|"-") product }                          product = signed { ("*"|"/"|"%") signed }
 *   signed = ("+"|"-") signed | power                               power = primary [ ("^"|"**") signed ]
 *   primary = number | name | function "(" sum { "," sum } ")" | "(" truth ")"
 *   cmp    = < <= > >= == = !=      function = min max round floor ceil sqrt log2 ln exp
 *
 * round, floor and ceil take a second argument: to a multiple of it. Equality is to 1e-9 relative, so that a value of
 * logspace() can be named by its digits. Not fit/expr.h: that one computes derivatives, with last bits that depend on
 * the CPU level; what a run is must not. */
#ifndef SWEEPS_SPEC_EXPR_H
#define SWEEPS_SPEC_EXPR_H
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

typedef struct spec_expr spec_expr;

/* Number of a name, -1 when there is none; `why` then holds what to say. */
typedef int spec_expr_find(const char *name, char *why, size_t size);
/* Value of name number `name`. */
typedef status spec_expr_value(double *out, void *ctx, int name, err *e);

/* truth: a comparison is wanted, else a number. ST_INPUT: e->msg is the complaint without a place, *at where in the
 * text. */
status spec_expr_parse(spec_expr **out, const char *text, bool truth, spec_expr_find *find, size_t *at, err *e);
void spec_expr_free(spec_expr *x); /* NULL is fine */

bool spec_expr_uses(const spec_expr *x, int name);

/* ST_INPUT when the value is not finite (a division by zero, ...), or what value() says. */
status spec_expr_eval(double *out, const spec_expr *x, spec_expr_value *value, void *ctx, err *e);
bool spec_expr_equal(double a, double b);
#endif
