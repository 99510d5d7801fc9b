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
    cr_assert_eq(table_number_col(&t, "a", &x, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "runs:1:3: 'run-1' is not a number"), "%s", e.msg);
    cr_assert_eq(table_number_col(&t, "b", &x, &e), ST_INPUT);
    table_set(&t, a, 5, 42);
    cr_assert_str_eq(table_word(table_col(&t, "a"), 5), "42");
    table_free(&t);
}

/* A word is named where it stood, in its own file, whatever else was read or dropped. */
Test(table, places_survive_other_sources_and_dropped_rows)
{
    static const char one[] = "N,loss\n1,2\n3,4\n", two[] = "loss,N\n5,6\n7,oops\n9,oops\n";
    table t = {0};
    err e = {0};
    const double *x;
    char where[IO_PATH_MAX + 32];
    cr_assert_eq(table_parse(&t, "one", one, strlen(one), &e), ST_OK, "%s", e.msg);
    cr_assert_eq(table_parse(&t, "two", two, strlen(two), &e), ST_OK, "%s", e.msg);
    cr_assert_eq(table_number_col(&t, "N", &x, &e), ST_INPUT);
    cr_assert_str_eq(e.msg, "two:3:3: 'oops' is not a number (column 'N')");
    const bool keep[] = {false, true, true, false, true};
    table_keep(&t, keep);
    cr_assert_str_eq(table_where_row(&t, 0, where), "one:3");
    cr_assert_str_eq(table_where_row(&t, 2, where), "two:4");
    t.row_line[2] = 0;
    cr_assert_str_eq(table_where_row(&t, 2, where), "two, row 3");
    t.row_line[2] = 4;
    t.sources[1].shares_lines = true;
    cr_assert_str_eq(table_where_row(&t, 2, where), "two:4, row 3");
    table_free(&t);
}

Test(table, rows_one_by_one_and_notes)
{
    table t = {0};
    err e = {0};
    size_t first, row, a;
    cr_assert_eq(table_col_index(&t, "a", &a, &e), ST_OK);
    cr_assert_eq(table_grow(&t, "s", "", 0, &first, &e), ST_OK);
    for (size_t i = 0; i < 1000; i++) {
        cr_assert_eq(table_add_row(&t, i + 2, &row, &e), ST_OK);
        cr_assert_eq(row, i);
        cr_assert(isnan(t.cols[a].x[row]));
        table_set(&t, a, row, (double)i);
    }
    cr_assert_eq(t.n_rows, 1000);
    cr_assert_eq(t.sources[0].n_rows, 1000);
    cr_assert_eq(t.row_number[999], 1000);
    cr_assert_eq(t.row_line[999], 1001);
    cr_assert_eq(t.cols[a].x[999], 999);
    table_note(&t, "one %d", 1);
    table_note(&t, "two");
    cr_assert_str_eq(t.sources[0].note, "one 1; two");
    for (int i = 0; i < 200; i++) table_note(&t, "more");
    cr_assert_lt(strlen(t.sources[0].note), TABLE_NOTE_MAX);
    table_free(&t);
}

Test(table, cells_as_written)
{
    table t = {0};
    err e = {0};
    size_t first, a;
    static const struct { const char *text; double x; } cells[] = {
        {"", NAN}, {"1e-5", 1e-5}, {"-Infinity", TABLE_DIVERGED}, {"NaN", TABLE_DIVERGED}, {"12", 12}};
    cr_assert_eq(table_grow(&t, "s", "", 6, &first, &e), ST_OK);
    cr_assert_eq(table_col_index(&t, "a", &a, &e), ST_OK);
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(table_set_field(&t, a, i, cells[i].text, 1, 1, &e), ST_OK);
        cr_assert(isnan(cells[i].x) ? isnan(t.cols[a].x[i]) : t.cols[a].x[i] == cells[i].x, "'%s'", cells[i].text);
    }
    cr_assert_eq(table_set_field(&t, a, 5, "1e-5x", 1, 1, &e), ST_OK);
    cr_assert_str_eq(table_word(table_col(&t, "a"), 5), "1e-5x");
    cr_assert_str_eq(table_word(table_col(&t, "a"), 1), "1e-05");
    table_free(&t);
}
