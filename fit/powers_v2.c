/* The sums of fit/powers.h for x86-64-v2. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "fit/powers.h"

#ifdef CPU_HAVE_LEVELS
#include <immintrin.h>
#pragma GCC optimize("O3")
#pragma GCC target("arch=x86-64-v2")
#define VEC_BYTES 16
#define POWERS_OPS fit_powers_v2
#define POWERS_LEVEL "x86-64-v2"
#include "fit/powers_vec.h"
#include "fit/powers_body.h"
#endif
