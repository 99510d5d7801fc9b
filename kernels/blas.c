#include "kernels/blas.h"

#include <stddef.h>
#include <string.h>

#include "config.h"

#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
void openblas_set_num_threads(int); /* only OpenBLAS's own cblas.h declares these */
#endif
#ifdef HAVE_OPENBLAS_GET_CORENAME
char *openblas_get_corename(void);
#endif

const char *k_blas_core_for_level(cpu_level l)
{
    static const char *const core[CPU_N_LEVELS] = {
        [CPU_V2] = "Nehalem", [CPU_V3] = "Haswell", [CPU_V4] = "SkylakeX"};
    return (unsigned)l < CPU_N_LEVELS ? core[l] : NULL;
}

int k_blas_core_fits(const char *name, cpu_level l)
{
    static const char *const old[] = {"Prescott",     "Core2",     "Penryn", "Dunnington", "Atom",      "Opteron",
                                      "Opteron_SSE3", "Barcelona", "Katmai", "Coppermine", "Northwood", "Banias",
                                      "Athlon",       "Bobcat",    "Nano",   "Generic"};
    static const char *const v2[] = {"Nehalem"};
    static const char *const v3[] = {"Sandybridge", "Haswell",    "Zen",      "Excavator",
                                     "Steamroller", "Piledriver", "Bulldozer"};
    if (l >= CPU_V2)
        for (size_t i = 0; i < sizeof old / sizeof *old; i++)
            if (!strcmp(name, old[i])) return 0;
    if (l >= CPU_V3)
        for (size_t i = 0; i < sizeof v2 / sizeof *v2; i++)
            if (!strcmp(name, v2[i])) return 0;
    if (l >= CPU_V4)
        for (size_t i = 0; i < sizeof v3 / sizeof *v3; i++)
            if (!strcmp(name, v3[i])) return 0;
    return 1;
}

const char *k_blas_core_name(void)
{
#ifdef HAVE_OPENBLAS_GET_CORENAME
    return openblas_get_corename();
#else
    return "";
#endif
}

void k_blas_one_thread(void)
{
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
    openblas_set_num_threads(1);
#endif
}
