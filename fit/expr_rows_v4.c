/* Row arithmetic for x86-64-v4. */
#include "base/cpu_level.h"
#include "fit/expr_program.h"

#ifdef CPU_HAVE_LEVELS
#pragma GCC target("arch=x86-64-v4")
#define VEC_BYTES 64
#define EXPR_RUN expr_run_v4
#include "fit/expr_rows.h"
#endif
