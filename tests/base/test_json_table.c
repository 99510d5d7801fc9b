#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

static status parse(table *t, const char *text, err *e)
{
    memset(t, 0, sizeof *t);
    return table_parse(t, "in", text, strlen(text), e);
}

static double cell(const table *t, const char *name, size_t row)
{
    const table_column *c = table_col(t, name);
    cr_assert_not_null(c, "no column %s", name);
    return c->x[row];
}

/* One table in every form. */
Test(json, forms)
{
    static const char *const same[] = {
        "[{\"N\": 1e6, \"loss\": 3.25}, {\"N\": 7, \"loss\": 9}]",
        "\xef\xbb\xbf\n [\n {\"N\":1000000,\"loss\":3.25},\n {\"loss\":9.0,\"N\":7}\n]\n",
        "{\"N\":1e6,\"loss\":3.25}\n{\"N\":7,\"loss\":9}\n",
        "{\"N\":1e6,\"loss\":3.25}\r\n\r\n  {\"loss\":9,\"N\":7}",
        "{\"N\": [1e6, 7], \"loss\": [3.25, 9]}",
        "{\"N\": [1e6,\n 7],\n \"loss\": [3.25,\n 9]}\n",
        "{\"\\u004e\":\"1e6\",\"loss\":\"3.25\"}\n{\"N\":\"7\",\"loss\":9}\n",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        table t;
        err e = {0};
        cr_assert_eq(parse(&t, same[i], &e), ST_OK, "%zu: %s", i, e.msg);
        cr_assert_eq(t.n_rows, 2, "%zu: %zu rows", i, t.n_rows);
        cr_assert_eq(t.n_cols, 2);
        cr_assert_eq(t.sources[0].n_rows, 2);
        cr_assert_eq(strlen(t.sources[0].sha256), 64);
        cr_assert_str_empty(t.sources[0].note);
        cr_assert(cell(&t, "N", 0) == 1e6 && cell(&t, "N", 1) == 7, "%zu", i);
        cr_assert(cell(&t, "loss", 0) == 3.25 && cell(&t, "loss", 1) == 9, "%zu", i);
        cr_assert_gt(t.row_line[0], 0); /* rows of a text are not rows of a store */
        table_free(&t);
    }
}

Test(json, values)
{
    table t;
    err e = {0};
    cr_assert_eq(parse(&t,
                       "{\"a\":0.1,\"b\":NaN,"
                       "\"train/loss\":\"NaN\",\"config\":{\"lr\":4.2e-4,\"opt\":{\"name\":\"adam\"}},\"f\":true}\n"
                       "{\"a\":null,\"b\":-Infinity,"
                       "\"train/loss\":\"Infinity\",\"new\":-0.0,\"f\":false,\"list\":[1,[2,{\"x\":3}]]}\n"
                       "{\"a\":17179869185.123456,\"b\":3,\"train/loss\":2.5,\"word\":\"say "
                       "\\\"hi\\\"\\u00e9\\n\",\"empty\":\"\",\"list\":[]}\n",
                       &e),
                 ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_rows, 3);
    cr_assert_eq(cell(&t, "a", 0), 0.1);
    cr_assert(isnan(cell(&t, "a", 1)));
    cr_assert_eq(cell(&t, "a", 2), 17179869185.123456);
    cr_assert(cell(&t, "b", 0) == TABLE_DIVERGED && cell(&t, "b", 1) == TABLE_DIVERGED && cell(&t, "b", 2) == 3);
    cr_assert(cell(&t, "train/loss", 0) == TABLE_DIVERGED && cell(&t, "train/loss", 1) == TABLE_DIVERGED);
    cr_assert_eq(cell(&t, "config.lr", 0), 4.2e-4);
    cr_assert_str_eq(table_word(table_col(&t, "config.opt.name"), 0), "adam");
    cr_assert(isnan(cell(&t, "config.lr", 1)) && isnan(cell(&t, "new", 0)) && isnan(cell(&t, "empty", 2)));
    cr_assert(cell(&t, "f", 0) == 1 && cell(&t, "f", 1) == 0 && isnan(cell(&t, "f", 2)));
    cr_assert_str_eq(table_word(table_col(&t, "word"), 2), "say \"hi\"\xc3\xa9\n");
    cr_assert_null(table_col(&t, "list"));
    cr_assert_str_eq(t.sources[0].note, "2 cells held a list and were left out, 'list' first");
    cr_assert_eq(t.row_line[2], 3);
    table_free(&t);
}

/* Every double comes back bit for bit from its seventeen digits. */
Test(json, full_precision)
{
    char text[128];
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 2000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17; /* xorshift64 */
        double want;
        memcpy(&want, &x, sizeof want);
        if (!isfinite(want)) continue;
        table t;
        err e = {0};
        snprintf(text, sizeof text, "[{\"x\":%.17g}]", want);
        cr_assert_eq(parse(&t, text, &e), ST_OK, "%s", e.msg);
        cr_assert_eq(memcmp(&t.cols[0].x[0], &want, sizeof want), 0, "%s", text);
        table_free(&t);
    }
}

Test(json, one_record_and_columns_of_words)
{
    table t;
    err e = {0};
    cr_assert_eq(parse(&t, "{\n \"N\": 5,\n \"ci\": [1, 2]\n}", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_rows, 1);
    cr_assert_eq(cell(&t, "N", 0), 5);
    table_free(&t);
    cr_assert_eq(parse(&t, "{\"run\":[\"a\",null,\"b\"],\"loss\":[1,NaN,null]}", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_rows, 3);
    cr_assert_str_eq(table_word(table_col(&t, "run"), 2), "b");
    cr_assert_str_eq(table_word(table_col(&t, "run"), 1), "");
    cr_assert(cell(&t, "loss", 1) == TABLE_DIVERGED && isnan(cell(&t, "loss", 2)));
    char where[IO_PATH_MAX + 32];
    cr_assert_str_eq(table_where_row(&t, 2, where), "in:1, row 3");
    table_free(&t);
}

/* Keys may differ from record to record, in any order, and a file may follow another. */
Test(json, sparse_records_and_several_files)
{
    table t = {0};
    err e = {0};
    static const char csv[] = "step,loss\n1,2\n",
                      jsonl[] = "{\"_step\":3}\n{\"loss\":4,\"step\":5}\n{\"step\":6,\"_step\":7}\n";
    cr_assert_eq(table_parse(&t, "a", csv, strlen(csv), &e), ST_OK);
    cr_assert_eq(table_parse(&t, "b", jsonl, strlen(jsonl), &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_rows, 4);
    cr_assert_eq(t.n_cols, 3);
    cr_assert(isnan(cell(&t, "_step", 0)) && cell(&t, "_step", 1) == 3 && isnan(cell(&t, "loss", 1)));
    cr_assert(cell(&t, "step", 2) == 5 && cell(&t, "loss", 2) == 4 && cell(&t, "_step", 3) == 7 &&
              cell(&t, "step", 3) == 6);
    cr_assert_eq(t.row_source[3], 1);
    cr_assert_eq(t.row_number[3], 3);
    table_free(&t);
}

Test(json, rows_that_share_a_line_are_numbered)
{
    table t;
    err e = {0};
    char where[IO_PATH_MAX + 32];
    cr_assert_eq(parse(&t, "[{\"a\":1},{\"a\":2}]", &e), ST_OK, "%s", e.msg);
    cr_assert_str_eq(table_where_row(&t, 1, where), "in:1, row 2");
    table_free(&t);
    cr_assert_eq(parse(&t, "[{\"a\":1},\n {\"a\":2}]", &e), ST_OK, "%s", e.msg);
    cr_assert_str_eq(table_where_row(&t, 1, where), "in:2");
    table_free(&t);
}

Test(json, words_are_named_where_they_stand)
{
    table t;
    err e = {0};
    const double *x;
    cr_assert_eq(parse(&t, "[\n {\n  \"N\": 5,\n  \"D\": \"2_000\"}]", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(table_number_col(&t, "D", &x, &e), ST_INPUT);
    cr_assert_str_eq(e.msg, "in:4:8: '2_000' is not a number (column 'D')");
    table_free(&t);
}

Test(json, torn_last_line_is_dropped_and_said)
{
    static const char *const torn[] = {"{\"a\":1}\n{\"a\":2,\"b\":\"x\",\"c\":",
                                       "{\"a\":1}\n{\"a\":2",
                                       "{\"a\":1}\n{\"a\":\"2",
                                       "{\"a\":1}\n{",
                                       "{\"a\":1}\n{\"a\":tr",
                                       "{\"a\":1}\n{\"a\"",
                                       "{\"a\":1}\n{\"a\":{\"b\":[1,"};
    for (size_t i = 0; i < sizeof torn / sizeof *torn; i++) {
        table t;
        err e = {0};
        cr_assert_eq(parse(&t, torn[i], &e), ST_OK, "'%s': %s", torn[i], e.msg);
        cr_assert_eq(t.n_rows, 1, "%s", torn[i]);
        cr_assert_eq(t.n_cols, 1);
        cr_assert(strstr(t.sources[0].note, "the last line is cut short"), "'%s'", t.sources[0].note);
        table_free(&t);
    }
}

static const char DEEP[] = "[{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{"
                           "\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
                           "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
                           "{\"a\":{\"a\":{\"a\":{\"a\":1";
static const char DEEP_LIST[] =
    "[{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[";
#define LONG_64 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

Test(json, what_is_refused_names_its_place_and_the_remedy)
{
    static const struct { const char *text, *says;
    } bad[] = {
        {"[]", "in: no records; one object a row is needed"},
        {"{\"a\":[]}", "in: no records"},
        {"[{}]", "in: no columns; records must hold numbers or words by name"},
        {"[1]", "in:1:2: a record {\"name\": value, ..} must stand here (pandas: to_json(orient='records'))"},
        {"[{\"a\":1}] 2", "in:1:11: text after the list; a file holds one"},
        {"{\"a\":1}\n[2]\n", "in:2:1: each line must be an object"},
        {"{\"a\":1}\n{\"a\":1},\n", "in:2:8: text after the object; JSONL has one a line"},
        {"{\"a\":1}\n{\"a\":\n1}\n",
         "in:2:6: the line ends inside a value: cut short, or not one object a line (jq -c . makes it so)"},
        {"{\"a\":1}\n{\"a\":1,}", "in:2:7: no comma may stand before the end"},
        {"{\n\"a\":1}\n{\"a\":2}\n",
         "in:3:1: text after the object; put one object on each line (jq -c .) or all into a list"},
        {"{\"a\":1} {\"a\":2}", "in:1:9: text after the object; put one object"},
        {"{\"a\":1,\n", "in:2:1: the file ends inside a value; was it cut short?"},
        {"[{\"a\":1", "in:1:8: the file ends inside a value"},
        {"[{\"a\"", "in:1:6: the file ends inside a value"},
        {"[{\"a\":", "in:1:7: the file ends inside a value"},
        {"[", "in:1:2: the file ends inside a value"},
        {"[{\"a\":1},", "in:1:10: the file ends inside a value"},
        {"[{\"a\" 1}]", "in:1:7: a colon must stand between key and value"},
        {"[{a:1}]", "in:1:3: 'a' is not a JSON value; words need double quotes"},
        {"[{1:1}]", "in:1:3: a key in double quotes must stand here"},
        {"[{'a':1}]", "in:1:3: single quotes; JSON needs double ones"},
        {"[{\"a\":1 \"b\":2}]", "in:1:9: a comma or } must stand here"},
        {"[{\"a\":[1 2]}]", "in:1:10: a comma or ] must stand here"},
        {"[{\"a\":1}\n{\"a\":2}]", "in:2:1: a comma or ] must stand here"},
        {"[{\"a\":1},]", "in:1:9: no comma may stand before the end of a list or object"},
        {"[{\"a\":,}]", "in:1:7: a value must stand here; what is absent is null"},
        {"[{\"a\":#}]", "in:1:7: no JSON value begins with this character"},
        {"[{\"a\":01}]", "in:1:7: '01' is not a JSON value"},
        {"[{\"a\":+1}]", "in:1:7: '+1' is not a JSON value"},
        {"[{\"a\":1.}]", "in:1:7: '1.' is not a JSON value"},
        {"[{\"a\":.5}]", "in:1:7: '.5' is not a JSON value"},
        {"[{\"a\":1e}]", "in:1:7: '1e' is not a JSON value"},
        {"[{\"a\":2_000}]", "in:1:7: '2_000' is not a JSON value"},
        {"[{\"a\":NA}]", "in:1:7: 'NA' is not a JSON value; words need double quotes, what is absent is null"},
        {"[{\"a\":1e999}]", "in:1:7: 1e999 is beyond double precision"},
        {"[{\"a\":1e-999}]", "in:1:7: 1e-999 is beyond double precision"},
        {"[{\"a\":\"b}]", "in:1:7: this quote is never closed"},
        {"[{\"a\":\"b\n\"}]", "in:1:7: this quote is not closed on its line; write a line end as \\n"},
        {"[{\"a\":\"b\\\n\"}]", "in:1:7: this quote is not closed on its line"},
        {"[{\"a\":\"b\tc\"}]", "in:1:7: control character in a string; write it as an escape"},
        {"[{\"a\":\"\\q\"}]", "in:1:7: not a JSON string (invalid escape"},
        {"[{\"a\":\"\\ud800\"}]", "in:1:7: not a JSON string"},
        {"[{\"a\":\"\\u0000\"}]", "in:1:7: not a JSON string"},
        {"[{\"a\":1,\n\"a\":2}]", "in:2:1: key 'a' stands twice in one record; rename one"},
        {"[{\"a\":{\"b\":1},\"a.b\":2}]", "in:1:15: key 'a.b' stands twice in one record"},
        {"{\"a\":[1],\"a\":[2]}", "in:1:10: key 'a' stands twice"},
        {"{\"a\":[1,2],\"b\":[1]}", "in:1:12: column 'b' has fewer values than the first one, which has 2"},
        {"{\"a\":[1,2],\"b\":[1,2,3]}", "in:1:12: column 'b' has more values than the first one, which has 2"},
        {"{\"runs\":[{\"a\":1}]}",
         "in:1:10: a list of records must stand by itself, not inside an object (jq '.name')"},
        {"{\"columns\":[\"a\"],\"data\":[[1]]}", "in:1:26: a list of lists is no column"},
        {"{\"a\":{\"0\":1,\"1\":2},\"b\":{\"0\":1,\"1\":2}}",
         "in:1:1: columns by row number, as pandas writes them; use to_json(orient='records')"},
        {"{\"schema\":\"muscale.fit/1\",\"a\":1}",
         "in: a muscale.fit/1 document, no table of runs; give the campaign or the table it was made from"},
        {"{\"event\":\"start\",\"schema\":\"muscale.journal/1\"}\n{\"k\":1}\n",
         "in: a muscale.journal/1 document, no table of runs; give the run's directory"},
        {"[{\"" LONG_64 LONG_64 "\":1}]", "in:1:3: column name longer than 126 bytes"},
        {"{\"" LONG_64 LONG_64 "\":[1]}", "in:1:2: column name longer than 126 bytes"},
        {"[{\"" LONG_64 "\":{\"" LONG_64 "\":1}}]", "column name longer than 126 bytes"},
        {DEEP, "nested deeper than 32"},
        {DEEP_LIST, "nested deeper than 64"},
        {"[{\"a\":\"\xff\"}]", "in:1:8: byte 0xff is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        table t;
        err e = {0};
        cr_expect_eq(parse(&t, bad[i].text, &e), ST_INPUT, "'%s' was read", bad[i].text);
        cr_expect(strstr(e.msg, bad[i].says), "%s: '%s' does not say '%s'", bad[i].text, e.msg, bad[i].says);
        table_free(&t);
    }
}

Test(json, limits_are_said)
{
    size_t n = 0;
    char *text = malloc(4200 * 12);
    table t;
    err e = {0};
    cr_assert_not_null(text);
    for (int i = 0; i < 4097; i++) n += (size_t)sprintf(text + n, "%s\"x%d\":1", i ? "," : "[{", i);
    strcpy(text + n, "}]");
    cr_assert_eq(parse(&t, text, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "more than 4096 different keys"), "%s", e.msg);
    table_free(&t);
    free(text);
}
