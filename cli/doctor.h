/* What `muscale doctor` measures and asks. Private to cli/. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H
#include <stddef.h>
#include "base/err.h"

/* Single-thread peak of sgemm (n^3 of 768, best of what fits in `seconds`), GFLOP/s. */
status doctor_sgemm(double *gflops, double seconds, err *e);
/* Copy bandwidth of memory far larger than the caches, GB/s read plus written, best of what fits in `seconds`. */
status doctor_copy(double *gb_per_s, double seconds, err *e);

/* First line that `program --version` prints, without a shell; "" when there is no such program. */
void doctor_version_of(char *out, size_t size, const char *program);
void doctor_cpu_model(char *out, size_t size); /* of /proc/cpuinfo; "unknown" */
#endif
