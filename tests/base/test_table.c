#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/table.h"

Test(table, sources_append_by_column_name)
{
    table t = {0};
    err e = {0};
    size_t first, a, b;
    cr_assert_eq(table_grow(&t, "one.csv", "aa", 2, &first, &e), ST_OK);
    cr_assert_eq(table_col_index(&t, "a", &a, &e), ST_OK);
    table_set(&t, a, 0, 1.5);
    table_set(&t, a, 1, 2.5);
    cr_assert_eq(table_grow(&t, "two.csv", "bb", 3, &first, &e), ST_OK);
    cr_assert_eq(first, 2);
    cr_assert_eq(table_col_index(&t, "b", &b, &e), ST_OK);
    table_set(&t, b, 4, 7);
    cr_assert_eq(t.n_rows, 5);
    cr_assert_eq(table_col(&t, "a")->x[1], 2.5);
    cr_assert(isnan(table_col(&t, "a")->x[2]) && isnan(table_col(&t, "b")->x[0]));
    cr_assert_eq(t.row_source[1], 0);
    cr_assert_eq(t.row_source[2], 1);
    cr_assert_null(table_col(&t, "c"));
    const bool keep[] = {false, true, false, false, true};
    table_keep(&t, keep);
    cr_assert_eq(t.n_rows, 2);
    cr_assert_eq(table_col(&t, "a")->x[0], 2.5);
    cr_assert_eq(table_col(&t, "b")->x[1], 7);
    cr_assert_eq(t.row_source[1], 1);
    table_free(&t);
}

/* A word makes words of the numbers before it; ten thousand names stay distinct. */
Test(table, words)
{
    table t = {0};
    err e = {0};
    size_t first, a;
    char name[32];
    const double *x;
    cr_assert_eq(table_grow(&t, "runs", "", 10000, &first, &e), ST_OK);
    cr_assert_eq(table_col_index(&t, "a", &a, &e), ST_OK);
    table_set(&t, a, 0, 1e-3);
    cr_assert_eq(table_number_col(&t, "a", &x, &e), ST_OK);
    for (size_t i = 1; i < 10000; i++) {
        snprintf(name, sizeof name, "run-%zu", i % 9000);
        cr_assert_eq(table_set_word(&t, a, i, name, i, 3, &e), ST_OK);
    }
    cr_assert_str_eq(table_word(table_col(&t, "a"), 0), "0.001");
    cr_assert_str_eq(table_word(table_col(&t, "a"), 9001), "run-1");
    cr_assert_eq(table_col(&t, "a")->n_words, 9001);
    t.row_line[1] = 2;
    cr_assert_eq(table_number_col(&t, "a", &x, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "runs:2:3: 'run-1' is not a number"), "%s", e.msg);
    cr_assert_eq(table_number_col(&t, "b", &x, &e), ST_INPUT);
    table_set(&t, a, 5, 42);
    cr_assert_str_eq(table_word(table_col(&t, "a"), 5), "42");
    table_free(&t);
}
