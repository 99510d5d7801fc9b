/* The arithmetic of multi-power's inner sum: for each node u = e^(v + gamma t) S, G = 1 - (1 + u)^-beta and its
 * derivatives, two exponentials and one logarithm. All of multi-power's time is spent here, so it is written in vectors
 * (GCC's extension) with its own exp and log, once for each of three levels. Nothing here tests for NaN: a coordinate
 * that overflows gives infinities or NaN, as it should. */
#include <math.h>
#include <stdint.h>

#include "fit/curve.h"

#if defined __GNUC__ && !defined __clang__
#pragma GCC optimize("O3")
#endif

#define NAME(x) x##_plain
#define VB 16
#include "fit/curve_lanes.h"

#if defined __x86_64__ && defined __GNUC__ && !defined __clang__
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

typedef void sum_fn(double *, const double *, const double *, const double *, size_t, double, double, double);
static sum_fn *const levels[][2] = {
    {value_plain, derivatives_plain},
#if defined __x86_64__ && defined __GNUC__ && !defined __clang__
    {value_v3, derivatives_v3},
    {value_v4, derivatives_v4},
#endif
};

int fit_curve_level(void)
{
#if defined __x86_64__ && defined __GNUC__ && !defined __clang__
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) return 0;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl")
               ? 2
               : 1;
#else
    return 0;
#endif
}

void fit_curve_sum(double *h, const double *weight, const double *t, const double *s, size_t n, double v, double beta,
                   double gamma, bool all, int level)
{
    levels[level][all](h, weight, t, s, n, v, beta, gamma);
}
