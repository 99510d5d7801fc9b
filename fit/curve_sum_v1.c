/* The inner sum of multi-power for any processor. */
#include "base/cpu_level.h"
#include "fit/curve.h"

#ifdef CPU_HAVE_LEVELS
#pragma GCC optimize("O3")
#endif
#define VEC_BYTES 16
#define CURVE_SUM fit_curve_sum_v1
#include "fit/curve_lanes.h"
