#include "bench/blas_core.h"

#include <stdlib.h>
#include <unistd.h>

#include "kernels/blas.h"

static const char VARIABLE[] = "OPENBLAS_CORETYPE";

void blas_core_fit(char **argv)
{
    cpu_level level;
    if (getenv(VARIABLE) || cpu_level_chosen(&level, NULL)) return; /* a bad MUSCALE_CPU is reported where it is used */
    const char *want = k_blas_core_for_level(level), *have = k_blas_core_name();
    if (!want || !*have || k_blas_core_fits(have, level)) return;
    if (setenv(VARIABLE, want, 0)) return;
    execv("/proc/self/exe", argv);
    unsetenv(VARIABLE); /* no /proc: go on with the slower core */
}
