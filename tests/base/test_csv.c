#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/table.h"

static status read_bytes(table *t, const char *bytes, size_t n, err *e)
{
    char path[] = "/tmp/muscale-csv-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(io_write_all(fd, bytes, n, path, e), ST_OK);
    close(fd);
    memset(t, 0, sizeof *t);
    status s = table_read(t, path, e);
    unlink(path);
    return s;
}

static status read_text(table *t, const char *text, err *e) { return read_bytes(t, text, strlen(text), e); }

static double cell(const table *t, const char *name, size_t row) { return table_col(t, name)->x[row]; }

Test(csv, line_ends_bom_blanks_and_quotes)
{
    static const char *const same[] = {
        "N,a b,loss\n1e6,2,3.25\n7,8,9\n",
        "N,a b,loss\r\n1e6,2,3.25\r\n7,8,9\r\n",
        "\xef\xbb\xbfN,a b,loss\n1e6,2,3.25\n7,8,9",
        "\"N\",\"a b\",\"loss\"\n\"1e6\",\"2\",\"3.25\"\n7,\"8\",9\n",
        " N , a b ,loss\n 1e6 ,\t2,3.25\n\n7,8,9\n  \n\n",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        table t;
        err e = {0};
        cr_assert_eq(read_text(&t, same[i], &e), ST_OK, "%zu: %s", i, e.msg);
        cr_assert_eq(t.n_rows, 2);
        cr_assert_eq(t.n_cols, 3);
        cr_assert_eq(cell(&t, "N", 0), 1e6);
        cr_assert_eq(cell(&t, "a b", 1), 8);
        cr_assert_eq(cell(&t, "loss", 0), 3.25);
        cr_assert_eq(t.row_line[0], 2);
        cr_assert_eq(strlen(t.sources[0].sha256), 64);
        table_free(&t);
    }
}

Test(csv, cells_absent_diverged_words_and_hash_signs)
{
    table t;
    err e = {0};
    cr_assert_eq(read_text(&t, "x,loss,name,q\n,nan,#a,\"say \"\"hi\"\", you\"\n1,-Inf,,\"two\nlines\"\n2,3,7,\n", &e),
                 ST_OK, "%s", e.msg);
    cr_assert(isnan(cell(&t, "x", 0)));
    cr_assert_eq(cell(&t, "loss", 0), TABLE_DIVERGED);
    cr_assert_eq(cell(&t, "loss", 1), TABLE_DIVERGED);
    cr_assert_str_eq(table_word(table_col(&t, "name"), 0), "#a");
    cr_assert_str_eq(table_word(table_col(&t, "name"), 1), "");
    cr_assert_str_eq(table_word(table_col(&t, "name"), 2), "7");
    cr_assert_str_eq(table_word(table_col(&t, "q"), 0), "say \"hi\", you");
    cr_assert_str_eq(table_word(table_col(&t, "q"), 1), "two\nlines");
    cr_assert_eq(t.row_line[2], 5); /* the quoted line end counts */
    table_free(&t);
}

Test(csv, what_is_refused_names_its_place)
{
    static const struct { const char *text, *says;
    } bad[] = {{"", "empty"},
               {"\n\n", "empty"},
               {"a,b\n1,2\n3\n", ":3:1: 1 field, the header has 2; an absent cell still needs its comma"},
               {"a,b\n1,2,3\n", ":2:5: 3 fields, the header has 2; a field with a comma in it needs quotes"},
               {"a,b\n1,\"2\n\",3\n", ":2:1: 3 fields"},
               {"a,a\n1,2\n", ":1:3: column name 'a' stands twice"},
               {"1,2\n3,4\n", "must name the columns"},
               {"a,b\n1,\"2\n3,4\n", ":2:3: this quote is never closed"},
               {"a,b\n1,2\"3\n", ":2:4: quote inside"},
               {"a,b\n1,\"2\"3\n", ":2:6: text after a closing quote"},
               {"a,b\n1\r2,3\n", ":2:2: carriage return without line feed"},
               {"a,\"b\nc\",\"b c\"\n1,2,3\n", ":2:4: column name 'b c' stands twice"},
               {"\n\n1,2\n3,4\n", ":3:1: the first line must name"},
               {"a;b\n1;2\n", ":1: one column, named 'a;b'; put commas between the fields, not semicolons"},
               {"\na\tb\n1\t2\n", ":2: one column, named 'a b'; put commas between the fields, not tabs"},
               {"a,b\n1,\xe9\n", ":2:3: byte 0xe9 is not UTF-8"},
               {"a,b\n1,xxxxxxxxxxxxxxxx\xed\xa0\x80\n", ":2:19: byte 0xed is not UTF-8"},
               {"a,b\n1,\xc0\x80\n", "is not UTF-8"},
               {"a,b\n1,\xe0\x80\x80\n", ":2:3: byte 0xe0 is not UTF-8"},
               {"a,b\n1,\xf0\x80\x80\x80\n", ":2:3: byte 0xf0 is not UTF-8"},
               {"a,b\n1,\xf5\x80\x80\x80\n", "is not UTF-8"},
               {"a,b\n1,\xe2\x82", "is not UTF-8"},
               {"\xff\xfe""a,b", "UTF-16"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        table t;
        err e = {0};
        cr_assert_eq(read_text(&t, bad[i].text, &e), ST_INPUT, "'%s' was read", bad[i].text);
        cr_assert(strstr(e.msg, bad[i].says), "'%s' does not say '%s'", e.msg, bad[i].says);
        cr_assert(strstr(e.msg, "muscale-csv-"), "%s", e.msg);
        table_free(&t);
    }
    table t;
    err e = {0};
    cr_assert_eq(read_bytes(&t, "a,b\n1,\0\n", 8, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "not a text file"), "%s", e.msg);
    table_free(&t);
    memset(&t, 0, sizeof t);
    cr_assert_eq(table_read(&t, "/nonexistent/file.csv", &e), ST_INPUT);
    cr_assert(strstr(e.msg, "/nonexistent/file.csv: No such file"), "%s", e.msg);
    table_free(&t);
}

Test(csv, limits_are_said)
{
    char text[7 * 4200];
    size_t n = 0;
    table t;
    err e = {0};
    for (int i = 0; i < 4097; i++) n += (size_t)sprintf(text + n, "%sx%d", i ? "," : "", i);
    memcpy(text + n, "\n1\n", 4);
    cr_assert_eq(read_text(&t, text, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "more than 4096 columns"), "%s", e.msg);
    table_free(&t);
    memset(text, 'n', 200);
    strcpy(text + 200, ",b\n1,2\n");
    cr_assert_eq(read_text(&t, text, &e), ST_INPUT);
    cr_assert(strstr(e.msg, ":1:1: column name longer than 127 bytes"), "%s", e.msg);
    table_free(&t);
}

/* Names with wrapped lines and without any; UTF-8 of every length; the place of a word in a row of several lines. */
Test(csv, names_and_places)
{
    table t;
    err e = {0};
    const double *x;
    cr_assert_eq(read_text(&t, "\"model\r\nsize\",,\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n1,2,\"a\nb\"\n,,x y z\n", &e),
                 ST_OK, "%s", e.msg);
    cr_assert_str_eq(t.cols[0].name, "model  size");
    cr_assert_str_eq(t.cols[1].name, "#2");
    cr_assert_str_eq(t.cols[2].name, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    cr_assert_eq(table_number_col(&t, t.cols[2].name, &x, &e), ST_INPUT);
    cr_assert(strstr(e.msg, ":3:5: 'a' is not a number"), "%s", e.msg);
    cr_assert(!strchr(e.msg, '\n'), "%s", e.msg);
    table_free(&t);
}

/* A pipe can be read once: nothing may be lost to a look at its first bytes. */
Test(csv, from_a_pipe)
{
    int ends[2];
    char path[64];
    table t = {0};
    err e = {0};
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], "N,loss\n1e6,3\n", 13), 13);
    close(ends[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    cr_assert_eq(table_read(&t, path, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(cell(&t, "N", 0), 1e6);
    close(ends[0]);
    table_free(&t);
}

/* Every prefix of a file, and the file with every byte replaced, is read or refused; never worse (ASan builds look). */
Test(csv, damaged_files_do_no_harm)
{
    static const char good[] = "\xef\xbb\xbfN,\"a b\",loss\r\n1e6,\"x \"\"y\"\"\",3.25\r\n,,nan\r\n";
    static const char junk[] = "\",\n\r x9\xff";
    for (size_t n = 0; n < sizeof good - 1; n++) {
        table t;
        err e = {0};
        read_bytes(&t, good, n, &e);
        table_free(&t);
        for (size_t k = 0; k < sizeof junk - 1; k++) {
            char copy[sizeof good];
            memcpy(copy, good, sizeof good);
            copy[n] = junk[k];
            read_bytes(&t, copy, sizeof good - 1, &e);
            table_free(&t);
        }
    }
}
