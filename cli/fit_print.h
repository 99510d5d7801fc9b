/* A fit as a page for people. */
#ifndef CLI_FIT_PRINT_H
#define CLI_FIT_PRINT_H
#include <stdio.h>
#include "fit/fit.h"
void fit_print(FILE *f, const fit_result *r);
const char *fit_shown(char *buf, size_t size, double x); /* a number as the page shows it; NaN: - */
#endif
