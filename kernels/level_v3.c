/* The kernels of kernels/fast/ for x86-64-v3. */
#include "kernels/fast/includes.h"

#ifdef K_HAVE_LEVELS
#pragma GCC optimize("O3")
#pragma GCC target("arch=x86-64-v3")
#define K_VB 32
#define K_MR 6
#define K_NV 2
#define K_OPS_NAME k_ops_v3
#define K_LEVEL_NAME "x86-64-v3"
#include "kernels/fast/table.h"
#endif
