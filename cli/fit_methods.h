/* What methods other than parametric add to the page of a fit. */
#ifndef CLI_FIT_METHODS_H
#define CLI_FIT_METHODS_H
#include <stdio.h>
#include "fit/fit.h"
void fit_print_methods(FILE *f, const fit_result *r);
#endif
