/* Sections of the report made from results; each adds nothing when its input is not there. Private to plots/. */
#ifndef PLOTS_REPORT_H
#define PLOTS_REPORT_H
#include "plots/page.h"
#include "plots/plots.h"

bool report_verdict(page *p, const plot_inputs *in); /* the first lines of the page; true: the prediction missed */
void report_outcome(page *p, const plot_inputs *in);
void report_law(page *p, const plot_inputs *in);
void report_rates(page *p, const plot_inputs *in);
void report_target(page *p, const plot_inputs *in, size_t max_tensors);
#endif
