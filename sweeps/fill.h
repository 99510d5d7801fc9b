/* How much of a device a bank keeps at work, counted from its shape: what the planner chooses the size of banks and the
 * number of streams by. No timing, and no measurement behind it yet: doc/performance.md, "How large a bank". */
#ifndef SWEEPS_FILL_H
#define SWEEPS_FILL_H
#include "trainer/bank.h"

/* From here on a larger bank, or another beside it, wins less than a twentieth. */
#define FILL_ENOUGH 0.95

/* Between 0 and 1: the time that R replicas' work takes a device whose every multiprocessor is always at work, over the
 * time that R replicas in one bank take. o: a device's backend; multiprocessors > 0. */
double fill_of(const bank_opts *o, int multiprocessors);

/* The smallest bank of FILL_ENOUGH, at most `most`; o->n_replicas is not looked at. */
size_t fill_replicas(const bank_opts *o, int multiprocessors, size_t most);
#endif
