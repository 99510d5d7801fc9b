/* Is Adam's eps felt? The logged updates of a run (base/run.h) know, and say so in one line. */
#ifndef SWEEPS_EPS_SHARE_H
#define SWEEPS_EPS_SHARE_H
#include "base/run.h"

/* False, and text untouched, when eps stayed below 1 % of the RMS of sqrt(v hat) in every tensor, or nobody logged it. */
bool eps_share_warning(char *text, size_t size, const run_record *r);
#endif
