/* Strict numbers: the whole text must be one finite number. `2_000`, `1e-5x`, `nan`, `1e999`, "" are refused.
 * Locale is never set, so the decimal point is '.'. */
#ifndef BASE_NUM_H
#define BASE_NUM_H
#include <stdbool.h>
#include <stdint.h>

bool num_parse_f64(const char *text, double *out); /* `1e-5` without a dot is a number */
bool num_parse_i64(const char *text, int64_t *out); /* also 1e6 and 2.5e3: exact integers below 2^53 */
bool num_is_nonfinite_word(const char *text); /* nan, NaN, inf, -inf, Infinity, any case: a diverged loss in a log */

/* Shortest text that parses back to the same double ("%.17g" at worst). buf holds at least 32 bytes. */
const char *num_text(double x, char *buf);

/* Closest of n candidate words to `word` by edit distance, or NULL when none is near: "did you mean". */
const char *num_nearest_word(const char *word, const char *const *candidates, int n);
#endif
