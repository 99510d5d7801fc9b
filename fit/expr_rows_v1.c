/* Row arithmetic for any processor (x86-64: SSE2). */
#include "fit/expr_program.h"

#define EXPR_VB 16
#define EXPR_RUN expr_run_v1
#include "fit/expr_rows.h"
