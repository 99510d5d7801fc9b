/* What a fit says of its own certainty, as lines for people: profiles, held-out rows, the back-test, predictions at points. */
#ifndef CLI_FIT_UNCERTAINTY_H
#define CLI_FIT_UNCERTAINTY_H
#include <stdio.h>
#include "fit/fit.h"
void fit_print_profiles(FILE *f, const fit_result *r);
void fit_print_holdout(FILE *f, const fit_result *r);
void fit_print_backtest(FILE *f, const fit_result *r);
void fit_print_asked(FILE *f, const fit_result *r);
#endif
