/* The sums of fit/powers.h for x86-64-v4. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "fit/powers.h"

#ifdef CPU_HAVE_LEVELS
#include <immintrin.h>
#pragma GCC optimize("O3")
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define VEC_BYTES 64
#define POWERS_OPS fit_powers_v4
#define POWERS_LEVEL "x86-64-v4"
#include "fit/powers_vec.h"
#include "fit/powers_body.h"
#endif
