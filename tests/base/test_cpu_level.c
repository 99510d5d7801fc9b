/* The CPU level: detected, forced downwards by MUSCALE_CPU, never upwards. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu_level.h"

Test(cpu_level, environment_lowers_it)
{
    cpu_level l = CPU_N_LEVELS;
    err e = {0};
    unsetenv("MUSCALE_CPU");
    cr_assert_eq(cpu_level_chosen(&l, &e), ST_OK);
    cr_expect_eq(l, cpu_level_detect());
    setenv("MUSCALE_CPU", "generic", 1);
    cr_assert_eq(cpu_level_chosen(&l, &e), ST_OK);
    cr_expect_eq(l, CPU_GENERIC);
    setenv("MUSCALE_CPU", "v9", 1);
    cr_expect_eq(cpu_level_chosen(&l, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "MUSCALE_CPU=v9"), "%s", e.msg);
}

Test(cpu_level, more_than_the_processor_has_is_refused)
{
    static const char *const word[CPU_N_LEVELS] = {"generic", "v2", "v3", "v4"};
    for (int i = 0; i < CPU_N_LEVELS; i++) {
        cpu_level l = CPU_N_LEVELS;
        setenv("MUSCALE_CPU", word[i], 1);
        const status want = (cpu_level)i > cpu_level_detect() ? ST_INPUT : ST_OK;
        cr_expect_eq(cpu_level_chosen(&l, NULL), want, "%s", word[i]);
        cr_expect(want || l == (cpu_level)i, "%s", word[i]);
    }
    cr_expect_str_eq(cpu_level_name(CPU_V3), "x86-64-v3");
    cr_expect_str_eq(cpu_level_name(CPU_N_LEVELS), "?");
}
