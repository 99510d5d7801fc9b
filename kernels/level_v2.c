/* The kernels of kernels/fast/ for x86-64-v2. */
#include "kernels/fast/includes.h"

#ifdef K_HAVE_LEVELS
#pragma GCC optimize("O3")
#pragma GCC target("arch=x86-64-v2")
#define K_VB 16
#define K_MR 4
#define K_NV 2
#define K_OPS_NAME k_ops_v2
#define K_LEVEL_NAME "x86-64-v2"
#include "kernels/fast/table.h"
#endif
