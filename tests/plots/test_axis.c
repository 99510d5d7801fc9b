/* plots/axis.c and plots/colour.c: ranges, tics and numbers as people read them. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "plots/axis.h"
#include "plots/colour.h"

static char *tics(axis_scale scale, axis_words words, double lo, double hi, double px)
{
    static text t;
    axis a = {.scale = scale, .words = words, .lo = lo, .hi = hi};
    text_free(&t);
    axis_tics(&t, "x", &a, px, true);
    return t.s;
}

#define HAS(s, part) cr_expect(strstr((s), (part)), "no %s in %s", (part), (s))
#define HAS_NOT(s, part) cr_expect(!strstr((s), (part)), "%s in %s", (part), (s))

Test(axis, numbers_for_people)
{
    static const struct { double x; int digits; const char *word; } powers[] = {
        {1e6, 3, "10⁶"}, {2e-9, 3, "2×10⁻⁹"}, {3.24e14, 3, "3.24×10¹⁴"}, {9.999e5, 2, "10⁶"}, {0, 3, "0"}};
    static const struct { double x; const char *word; } counts[] = {{85000, "85k"}, {1.2e6, "1.2M"}, {999950, "1M"}, {3.4e9, "3.4B"}, {212, "212"}, {-0.0, "0"}, {2.1e12, "2.1T"}};
    char buf[AXIS_WORD];
    for (size_t i = 0; i < sizeof powers / sizeof *powers; i++) cr_expect_str_eq(axis_power(buf, powers[i].x, powers[i].digits), powers[i].word);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) cr_expect_str_eq(axis_count(buf, counts[i].x), counts[i].word);
    cr_expect_str_eq(axis_pow2(buf, -10), "2⁻¹⁰");
}

Test(axis, a_learning_rate_axis_has_powers_of_two)
{
    char *s = tics(AXIS_LOG2, WORDS_POWER, exp2(-11.5), exp2(-2.5), 300);
    HAS(s, "\"2⁻⁴\" 0.0625");
    HAS_NOT(s, "\"0.01");
    s = tics(AXIS_LOG2, WORDS_PLAIN, 30, 300, 300);
    HAS(s, "\"32\" 32");
    HAS(s, "\"256\" 256");
}

Test(axis, decades_have_minor_tics_and_narrow_axes_have_labels)
{
    char *s = tics(AXIS_LOG10, WORDS_POWER, 4e11, 6e14, 300);
    HAS(s, "\"10¹³\" 1e+13");
    HAS(s, "\"\" 2e+13 1");
    s = tics(AXIS_LOG10, WORDS_POWER, 1e6, 4e6, 300); /* gnuplot itself would leave this axis without a label */
    HAS(s, "\"2×10⁶\" 2000000");
    s = tics(AXIS_LOG10, WORDS_PLAIN, 2.1, 2.9, 300);
    HAS(s, "\"2.4\" 2.4");
    s = tics(AXIS_LOG10, WORDS_POWER, 1e3, 1e21, 300); /* eighteen decades: few labels, no crowd */
    size_t labels = 0;
    for (const char *p = s; (p = strstr(p, "\"10")); p++) labels++;
    cr_expect(labels >= 3 && labels <= 8, "%zu labels: %s", labels, s);
}

Test(axis, linear_steps_are_round_and_negative_numbers_have_a_minus)
{
    char *s = tics(AXIS_LINEAR, WORDS_PLAIN, -1.8, 1.8, 200);
    HAS(s, "\"−1\" -1");
    HAS(s, "\"0\" 0");
    s = tics(AXIS_LINEAR, WORDS_COUNT, 0, 2.5e6, 300);
    HAS(s, "\"0\" 0");
    HAS(s, "\"500k\" 500000");
    HAS(s, "\"2M\" 2000000");
}

Test(axis, a_range_is_never_empty)
{
    static const range ranges[] = {{2, 2}, {0, 0}, {INFINITY, -INFINITY}, {-3, 5}, {1e-300, 1e-300}, {1e15, 1e15}};
    for (int scale = AXIS_LINEAR; scale <= AXIS_LOG2; scale++)
        for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
            axis a = axis_over((axis_scale)scale, WORDS_PLAIN, ranges[i], 0.05, NULL);
            cr_expect(a.lo < a.hi && isfinite(a.lo) && isfinite(a.hi), "scale %d range %zu: %g %g", scale, i, a.lo, a.hi);
            cr_expect(scale == AXIS_LINEAR || a.lo > 0);
            text t = {0};
            axis_tics(&t, "y", &a, 100, false);
            cr_expect(!t.failed && t.n > 10);
            text_free(&t);
        }
    range r = range_empty();
    range_add(&r, NAN);
    range_add(&r, INFINITY);
    cr_expect(range_is_empty(r));
    range_add(&r, 3);
    cr_expect_eq(r.lo, 3);
}

Test(axis, places_and_values_are_inverse)
{
    for (int scale = AXIS_LINEAR; scale <= AXIS_LOG2; scale++) {
        axis a = {.scale = (axis_scale)scale, .lo = 2, .hi = 50};
        for (double u = 0; u <= 1.001; u += 0.1) cr_expect_float_eq(axis_at(&a, axis_value(&a, u)), u, 1e-12);
    }
}

Test(axis, a_sequence_of_colours_goes_from_dark_to_light)
{
    double last = -1;
    for (int i = 0; i <= 10; i++) {
        unsigned c = colour_sequence(i / 10.0);
        double light = 0.2126 * ((c >> 16) & 255) + 0.7152 * ((c >> 8) & 255) + 0.0722 * (c & 255);
        cr_expect_gt(light, last);
        last = light;
    }
    cr_expect_eq(colour_sequence(-1), colour_sequence(0));
    cr_expect_eq(colour_sequence(2), colour_sequence(1));
    cr_expect_eq(colour_sequence(NAN), colour_sequence(0));
}
