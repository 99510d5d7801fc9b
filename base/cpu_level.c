#include "base/cpu_level.h"

#include <stdlib.h>
#include <string.h>

static const struct { const char *name, *word; } levels[CPU_N_LEVELS] = {
    [CPU_GENERIC] = {"generic", "generic"},
    [CPU_V2] = {"x86-64-v2", "v2"},
    [CPU_V3] = {"x86-64-v3", "v3"},
    [CPU_V4] = {"x86-64-v4", "v4"},
};

const char *cpu_level_name(cpu_level l) { return (unsigned)l < CPU_N_LEVELS ? levels[l].name : "?"; }

cpu_level cpu_level_detect(void)
{
#if defined __x86_64__ && defined __GNUC__
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt")) return CPU_GENERIC;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
        return CPU_V2;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return CPU_V3;
    return CPU_V4;
#else
    return CPU_GENERIC;
#endif
}

status cpu_level_chosen(cpu_level *out, err *e)
{
    const cpu_level have = cpu_level_detect();
    const char *word = getenv("MUSCALE_CPU");
    if (!word || !*word) {
        *out = have;
        return ST_OK;
    }
    for (int l = 0; l < CPU_N_LEVELS; l++)
        if (!strcmp(word, levels[l].word)) {
            if ((cpu_level)l > have)
                return err_set(e, ST_INPUT, "MUSCALE_CPU=%s: this processor has only %s; unset it or use a lower level",
                               word, levels[have].name);
            *out = (cpu_level)l;
            return ST_OK;
        }
    return err_set(e, ST_INPUT, "MUSCALE_CPU=%s: unknown level; use generic, v2, v3 or v4", word);
}
