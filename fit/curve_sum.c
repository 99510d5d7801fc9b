/* The arithmetic of multi-power's inner sum: for each node u = e^(v + gamma t) S, G = 1 - (1 + u)^-beta and its
 * derivatives, two exponentials and one logarithm. All of multi-power's time is spent here, so it is written in vectors,
 * once for each of three levels (curve_lanes.h). This file chooses. */
#include "base/cpu_level.h"
#include "fit/curve.h"

void fit_curve_sum(double *h, const double *weight, const double *t, const double *s, size_t n, double v, double beta,
                   double gamma, bool all, cpu_level level)
{
    switch (level) {
#ifdef CPU_HAVE_LEVELS
    case CPU_V4: fit_curve_sum_v4(h, weight, t, s, n, v, beta, gamma, all); break;
    case CPU_V3: fit_curve_sum_v3(h, weight, t, s, n, v, beta, gamma, all); break;
#endif
    default: fit_curve_sum_v1(h, weight, t, s, n, v, beta, gamma, all);
    }
}
