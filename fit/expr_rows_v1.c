/* Row arithmetic for any processor (x86-64: SSE2). */
#include "fit/expr_program.h"

#define VEC_BYTES 16
#define EXPR_RUN expr_run_v1
#include "fit/expr_rows.h"
