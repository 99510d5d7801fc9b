/* The arithmetic of multi-power's inner sum: for each node u = e^(v + gamma t) S, G = 1 - (1 + u)^-beta and its
 * derivatives, two exponentials and one logarithm. All of multi-power's time is spent here, so it is written in vectors
 * (GCC's extension) with its own exp and log, once for each of three levels. Nothing here tests for NaN: a coordinate
 * that overflows gives infinities or NaN, as it should. */
#include <math.h>
#include <stdint.h>

#include "base/cpu_level.h"
#include "fit/curve.h"

#ifdef CPU_HAVE_LEVELS
#pragma GCC optimize("O3")
#endif

#define NAME(x) x##_plain
#define VB 16
#include "fit/curve_lanes.h"

#ifdef CPU_HAVE_LEVELS
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define NAME(x) x##_v3
#define VB 32
#include "fit/curve_lanes.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#define NAME(x) x##_v4
#define VB 64
#include "fit/curve_lanes.h"
#pragma GCC pop_options
#endif

void fit_curve_sum(double *h, const double *weight, const double *t, const double *s, size_t n, double v, double beta,
                   double gamma, bool all, cpu_level level)
{
    switch (level) {
#ifdef CPU_HAVE_LEVELS
    case CPU_V4: (all ? derivatives_v4 : value_v4)(h, weight, t, s, n, v, beta, gamma); break;
    case CPU_V3: (all ? derivatives_v3 : value_v3)(h, weight, t, s, n, v, beta, gamma); break;
#endif
    default: (all ? derivatives_plain : value_plain)(h, weight, t, s, n, v, beta, gamma);
    }
}
