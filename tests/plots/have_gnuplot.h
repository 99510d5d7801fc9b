/* Figures need gnuplot; where it is not installed the tests that draw are skipped. */
#ifndef TESTS_PLOTS_HAVE_GNUPLOT_H
#define TESTS_PLOTS_HAVE_GNUPLOT_H
#include <criterion/criterion.h>
#include <stdlib.h>

static inline void need_gnuplot(void)
{
    if (system("gnuplot --version >/dev/null 2>&1")) cr_skip_test("no gnuplot on PATH");
}
#endif
