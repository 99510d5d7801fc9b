#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/table.h"

static status parse(table *t, const char *text, err *e)
{
    memset(t, 0, sizeof *t);
    return table_parse(t, "main.log", text, strlen(text), e);
}

static double cell(const table *t, const char *name, size_t row)
{
    const table_column *c = table_col(t, name);
    cr_assert_not_null(c, "no column %s", name);
    return c->x[row];
}

Test(llmc_log, a_row_a_step)
{
    table t;
    err e = {0};
    cr_assert_eq(parse(&t,
                       "s:0 tel:11.0312\r\n"
                       "s:0 trl:10.9876 lr:0.000300 norm:15.31\n\n"
                       "s:1 trl:9.5000 lr:0.000600 norm:inf\n"
                       "s:250 eval:0.2712\n"
                       "s:250 tel:-nan\n", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_rows, 3);
    cr_assert_eq(t.n_cols, 6);
    cr_assert(cell(&t, "step", 0) == 0 && cell(&t, "step", 1) == 1 && cell(&t, "step", 2) == 250);
    cr_assert(cell(&t, "tel", 0) == 11.0312 && isnan(cell(&t, "tel", 1)) && cell(&t, "tel", 2) == TABLE_DIVERGED);
    cr_assert(cell(&t, "trl", 0) == 10.9876 && cell(&t, "trl", 1) == 9.5 && isnan(cell(&t, "trl", 2)));
    cr_assert(cell(&t, "lr", 1) == 0.0006 && cell(&t, "norm", 0) == 15.31 && cell(&t, "norm", 1) == TABLE_DIVERGED);
    cr_assert(cell(&t, "eval", 2) == 0.2712);
    cr_assert_eq(t.row_line[0], 2);
    cr_assert_eq(t.row_line[2], 6);
    cr_assert_str_empty(t.sources[0].note, "%s", t.sources[0].note);
    cr_assert_eq(strlen(t.sources[0].sha256), 64);
    table_free(&t);
}

/* Resumed at 2 after 4: the last record of a step and kind stands, others of that step stay; rows in the order of
 * steps. */
Test(llmc_log, after_a_resume_the_last_record_stands)
{
    table t;
    err e = {0};
    cr_assert_eq(
        parse(
            &t,
            "s:1 trl:5.0\ns:2 trl:4.0\ns:2 tel:4.5\ns:4 trl:3.0\ns:2 trl:4.1\ns:3 trl:3.5\ns:4 trl:3.1\ns:5 trl:2.5\n",
            &e),
        ST_OK, "%s", e.msg);
    static const double step[] = {1, 2, 3, 4, 5}, trl[] = {5, 4.1, 3.5, 3.1, 2.5};
    cr_assert_eq(t.n_rows, 5);
    for (size_t i = 0; i < 5; i++)
        cr_assert(cell(&t, "step", i) == step[i] && cell(&t, "trl", i) == trl[i], "row %zu", i);
    cr_assert_eq(cell(&t, "tel", 1), 4.5);
    cr_assert(strstr(t.sources[0].note, "2 values stand again at a later line"), "%s", t.sources[0].note);
    table_free(&t);
}

Test(llmc_log, torn_line_and_short_rates_are_said)
{
    table t;
    err e = {0};
    cr_assert_eq(parse(&t, "s:1 trl:5.0000 lr:0.000030 norm:1.00\ns:2 trl:4.", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_rows, 1);
    cr_assert(strstr(t.sources[0].note, "the last line is cut short"), "%s", t.sources[0].note);
    cr_assert(strstr(t.sources[0].note, "lr is printed with six decimals"), "%s", t.sources[0].note);
    table_free(&t);
    cr_assert_eq(parse(&t, "s:1 trl:5.0000 lr:0.000300 norm:1.00", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_rows, 1);
    cr_assert_str_empty(t.sources[0].note);
    table_free(&t);
}

Test(llmc_log, what_is_refused_names_its_place_and_the_remedy)
{
    static const struct { const char *text, *says;
    } bad[] = {
        {"s:1 trl:5\nstep 2/100 | loss 4\n",
         "main.log:2:1: not a record of an llm.c log; each is s:STEP and then key:number"},
        {"s:1 trl:5\ns:2 trl:\n", "main.log:2:5: not a record"},
        {"s:1 trl:5\n:2 trl:4\n", "main.log:2:1: not a record"},
        {"s:1 trl:5\ntrl:4 s:2\n", "main.log:2:1: a line of an llm.c log begins with s:STEP"},
        {"s:1 trl:5\ns:x trl:4\n", "main.log:2:3: step 'x' is not a whole number from 0 on; take the line out"},
        {"s:1 trl:5\ns:-2 trl:4\n", "main.log:2:3: step '-2'"},
        {"s:1 trl:5\ns:1.5 trl:4\n", "main.log:2:3: step '1.5'"},
        {"s:1 trl:5\ns:2 trl:4x\n", "main.log:2:9: '4x' is not a number (trl); take the line out"},
        {"s:1 trl:5\ns:2 trl:4 trl:5\n", "main.log:2:11: this key stands twice on its line"},
        {"s:1 trl:5\ns:2 trl:4 s:5\n", "main.log:2:11: the step stands once"},
        {"s:1 trl:5\ns:2 trl:4 step:5\n", "main.log:2:11: the step stands once"},
        {"s:1 trl:5\ns:2\n", "main.log:2:4: a step without a value; take the line out"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        table t;
        err e = {0};
        cr_expect_eq(parse(&t, bad[i].text, &e), ST_INPUT, "'%s' was read", bad[i].text);
        cr_expect(strstr(e.msg, bad[i].says), "%s: '%s' does not say '%s'", bad[i].text, e.msg, bad[i].says);
        table_free(&t);
    }
    char text[2000] = "s:1";
    size_t n = 3;
    table t;
    err e = {0};
    for (int i = 0; i < 65; i++) n += (size_t)sprintf(text + n, " k%d:1", i);
    memcpy(text + n, "\n", 2);
    cr_assert_eq(parse(&t, text, &e), ST_INPUT); /* keys with digits: not taken for a log, so CSV speaks */
    table_free(&t);
    memmove(text + 9, text + 3, n - 1);
    memcpy(text, "s:0 tel:2", 9);
    cr_assert_eq(parse(&t, text, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "more than 64 different keys"), "%s", e.msg);
    table_free(&t);
}

/* What only looks a little like one is CSV. */
Test(llmc_log, is_told_by_its_content)
{
    table t;
    err e = {0};
    cr_assert_eq(parse(&t, "s:1,trl:2\n1,2\n", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(cell(&t, "s:1", 0), 1);
    table_free(&t);
    cr_assert_eq(parse(&t, "s:1 trl\n1\n", &e), ST_OK, "%s", e.msg);
    cr_assert_str_eq(t.cols[0].name, "s:1 trl");
    table_free(&t);
}
