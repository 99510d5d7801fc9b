/* The inner sum of multi-power for x86-64-v3. */
#include "base/cpu_level.h"
#include "fit/curve.h"

#ifdef CPU_HAVE_LEVELS
#pragma GCC optimize("O3")
#pragma GCC target("arch=x86-64-v3")
#define VEC_BYTES 32
#define CURVE_SUM fit_curve_sum_v3
#include "fit/curve_lanes.h"
#endif
