/* The scenarios, for crash.c. */
#ifndef TESTS_SWEEPS_CRASH_TABLES_H
#define TESTS_SWEEPS_CRASH_TABLES_H
#include "tests/sweeps/crash.h"
extern const crash_scenario crash_runs[], crash_campaigns[]; /* each ends with a row without a name */
#endif
