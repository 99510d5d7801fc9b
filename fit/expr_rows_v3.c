/* Row arithmetic for x86-64-v3. */
#include "base/cpu_level.h"
#include "fit/expr_program.h"

#ifdef CPU_HAVE_LEVELS
#pragma GCC target("arch=x86-64-v3")
#define VEC_BYTES 32
#define EXPR_RUN expr_run_v3
#include "fit/expr_rows.h"
#endif
