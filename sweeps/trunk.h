/* Trunks: runs that differ in nothing but their budget and its decay are one run until the decay of the shorter begins
 * (trainer/train.h, train_shared_steps). A family is such runs; its first member, the one that shares longest, is the
 * trunk, an ordinary run that leaves its state where the others branch off. Private to sweeps/. */
#ifndef SWEEPS_TRUNK_H
#define SWEEPS_TRUNK_H
#include "sweeps/plan.h"

/* After the runs, before the banks: fills families, members, apart, and of each run family, branch_step, own_flops.
 * wanted false: every run trains for itself, and nothing is said about why. */
status trunks_find(sweep_plan *p, bool wanted, err *e);
#endif
