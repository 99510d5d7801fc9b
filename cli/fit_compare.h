/* muscale fit --law A --law B ...: laws ranked on the same rows. */
#ifndef CLI_FIT_COMPARE_H
#define CLI_FIT_COMPARE_H
#include <jansson.h>
#include <stdio.h>
#include "fit/fit.h"

/* Best first by held-out error, then by BIC, then by parameters; `order` gets the places in r[n]. */
void fit_compare_rank(size_t *order, const fit_result *const *r, size_t n);
void fit_compare_print(FILE *f, const fit_result *const *r, const size_t *order, size_t n);
/* Were all laws of r[n] scored on the same rows of the same folds? */
bool fit_compare_same_folds(const fit_result *r, size_t n);
/* muscale.compare/1 (doc/formats.md). fits: taken over. */
json_t *fit_compare_json(const fit_result *const *r, const size_t *order, size_t n, size_t n_unusable, json_t *fits);
#endif
