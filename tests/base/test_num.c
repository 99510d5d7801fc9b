#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

Test(num, f64_takes_plain_finite_decimals_only)
{
    static const struct { const char *text; double want;
    } good[] = {
        {"0", 0},
        {"-0.5", -0.5},
        {"1e-5", 1e-5},
        {"1E6", 1e6},
        {"+3", 3},
        {".5", 0.5},
        {"5.", 5},
        {"2.385e-3", 2.385e-3},
        {"4.9e-324", 4.9406564584124654e-324},
        {"1.7976931348623157e308", 1.7976931348623157e308},
        {"0e5", 0},
    };
    static const char *const bad[] = {
        "",   " ",   "1e-5x", "2_000", "nan", "NaN", "inf", "-Infinity", "1e999", "-1e999", "1e-999", "0x10", "1 ",
        " 1", "1,5", "--1",   "1e",    "e5",  ".",   "+",   "1.2.3",     "1e5.5", "nan(1)", "1d5",    "one"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double x = 77;
        cr_expect(num_parse_f64(good[i].text, &x) && x == good[i].want, "%s: %.17g", good[i].text, x);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double x = 77;
        cr_expect_not(num_parse_f64(bad[i], &x), "'%s' was taken as %g", bad[i], x);
        cr_expect_eq(x, 77, "untouched on failure");
    }
}

Test(num, i64_takes_exact_integers_only)
{
    static const struct { const char *text; int64_t want;
    } good[] = {
        {"0", 0},
        {"-12", -12},
        {"1e6", 1000000},
        {"2.5e3", 2500},
        {"9007199254740992", 9007199254740992},
        {"1.2e+10", 12000000000},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"007", 7},
    };
    static const char *const bad[] = {"",     "1.5", "1e-1", "2_000", "1e17", "9223372036854775808",
                                      "0x10", "nan", "inf",  "1e999", "12k",  "1 2"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t x = 77;
        cr_expect(num_parse_i64(good[i].text, &x) && x == good[i].want, "%s: %lld", good[i].text, (long long)x);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t x = 77;
        cr_expect_not(num_parse_i64(bad[i], &x), "'%s' was taken as %lld", bad[i], (long long)x);
    }
}

Test(num, text_parses_back_and_is_short)
{
    static const struct { double x; const char *want;
    } rows[] = {
        {0.1, "0.1"},      {1e-5, "1e-05"}, {2000, "2000"}, {0.002, "0.002"}, {1.0 / 3, "0.3333333333333333"},
        {1e300, "1e+300"}, {-2.5, "-2.5"},
    };
    char buf[32];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_str_eq(num_text(rows[i].x, buf), rows[i].want, "%s", buf);
    for (int i = 1; i < 2000; i++) {
        double x = exp(0.37 * i - 300) * (i % 2 ? 1 : -1), back;
        cr_expect(num_parse_f64(num_text(x, buf), &back) && back == x, "%s", buf);
    }
}

/* Identities of runs rest on it. */
Test(num, text_is_what_the_fewest_digits_print)
{
    char buf[32], want[32], name[32];
    for (int i = 0; i < 4000; i++) {
        double x = strtod((snprintf(name, sizeof name, "%.*g", 1 + i % 17, exp(0.35 * i - 700)), name), NULL);
        for (int digits = 6; digits <= 17; digits++) {
            snprintf(want, sizeof want, "%.*g", digits, x);
            if (strtod(want, NULL) == x) break;
        }
        if (isfinite(x)) cr_expect_str_eq(num_text(x, buf), want, "%s is not %s", buf, want);
    }
    cr_expect_str_eq(num_text(123456700, buf), "1.234567e+08", "%s", buf); /* 7 digits, not the 9 that 15 would print */
    cr_expect_str_eq(num_text(1234567, buf), "1234567", "%s", buf);
}

Test(num, words_of_divergence)
{
    static const char *const yes[] = {"nan", "NaN", "inf", "-inf", "+Inf", "Infinity", "-INFINITY"},
                             *const no[] = {"", "-", "na", "nans", "1", "infinit"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) cr_expect(num_is_nonfinite_word(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) cr_expect_not(num_is_nonfinite_word(no[i]), "%s", no[i]);
}

Test(num, nearest_word)
{
    static const char *const words[] = {"d_model", "n_layer", "lr", "schedule"};
    cr_expect_str_eq(num_nearest_word("d_modle", words, 4), "d_model");
    cr_expect_str_eq(num_nearest_word("Schedul", words, 4), "schedule");
    cr_expect_null(num_nearest_word("temperature", words, 4));
    cr_expect_null(num_nearest_word("", words, 0));
    char huge[5000];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = 0;
    cr_expect_null(num_nearest_word(huge, words, 4), "longer than any word");
}
