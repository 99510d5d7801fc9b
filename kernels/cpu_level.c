#include "kernels/cpu_level.h"

#include <stdlib.h>
#include <string.h>

#include "config.h"

#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
void openblas_set_num_threads(int); /* only OpenBLAS's own cblas.h declares these */
#endif
#ifdef HAVE_OPENBLAS_GET_CORENAME
char *openblas_get_corename(void);
#endif

static const struct { const char *name, *word, *blas_core; } levels[K_N_LEVELS] = {
    [K_GENERIC] = {"generic", "generic", NULL},
    [K_V2] = {"x86-64-v2", "v2", "Nehalem"},
    [K_V3] = {"x86-64-v3", "v3", "Haswell"},
    [K_V4] = {"x86-64-v4", "v4", "SkylakeX"},
};

const char *k_level_name(k_level l) { return (unsigned)l < K_N_LEVELS ? levels[l].name : "?"; }
const char *k_blas_core_for_level(k_level l) { return (unsigned)l < K_N_LEVELS ? levels[l].blas_core : NULL; }

k_level k_level_detect(void)
{
#if defined __x86_64__ && defined __GNUC__
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt")) return K_GENERIC;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
        return K_V2;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return K_V3;
    return K_V4;
#else
    return K_GENERIC;
#endif
}

status k_level_chosen(k_level *out, err *e)
{
    const k_level have = k_level_detect();
    const char *word = getenv("MUSCALE_CPU");
    if (!word || !*word) {
        *out = have;
        return ST_OK;
    }
    for (int l = 0; l < K_N_LEVELS; l++)
        if (!strcmp(word, levels[l].word)) {
            if ((k_level)l > have)
                return err_set(e, ST_INPUT, "MUSCALE_CPU=%s: this processor has only %s; unset it or use a lower level",
                               word, levels[have].name);
            *out = (k_level)l;
            return ST_OK;
        }
    return err_set(e, ST_INPUT, "MUSCALE_CPU=%s: unknown level; use generic, v2, v3 or v4", word);
}

int k_blas_core_fits(const char *name, k_level l)
{
    static const char *const old[] = {"Prescott",     "Core2",     "Penryn", "Dunnington", "Atom",      "Opteron",
                                      "Opteron_SSE3", "Barcelona", "Katmai", "Coppermine", "Northwood", "Banias",
                                      "Athlon",       "Bobcat",    "Nano",   "Generic"};
    static const char *const v2[] = {"Nehalem"};
    static const char *const v3[] = {"Sandybridge", "Haswell",    "Zen",      "Excavator",
                                     "Steamroller", "Piledriver", "Bulldozer"};
    if (l >= K_V2)
        for (size_t i = 0; i < sizeof old / sizeof *old; i++)
            if (!strcmp(name, old[i])) return 0;
    if (l >= K_V3)
        for (size_t i = 0; i < sizeof v2 / sizeof *v2; i++)
            if (!strcmp(name, v2[i])) return 0;
    if (l >= K_V4)
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
