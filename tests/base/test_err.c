#include <criterion/criterion.h>
#include <string.h>

#include "base/err.h"

Test(err, codes_names_and_exits)
{
    static const struct { status s; const char *name; int exit_code;
    } rows[] = {
        {ST_OK, "ST_OK", 0},
        {ST_USAGE, "ST_USAGE", 2},
        {ST_INPUT, "ST_INPUT", 3},
        {ST_DOMAIN, "ST_DOMAIN", 3},
        {ST_NOMEM, "ST_NOMEM", 1},
        {ST_IO, "ST_IO", 1},
        {ST_BUSY, "ST_BUSY", 1},
        {ST_CORRUPT, "ST_CORRUPT", 1},
        {ST_DEVICE, "ST_DEVICE", 1},
        {ST_SYSTEM, "ST_SYSTEM", 1},
        {ST_PARTIAL, "ST_PARTIAL", 4},
        {ST_REFUSED, "ST_REFUSED", 5},
        {ST_INTERRUPTED, "ST_INTERRUPTED", 130},
        {ST_TERMINATED, "ST_TERMINATED", 143},
    };
    cr_expect_eq(sizeof rows / sizeof *rows, (size_t)ST_COUNT, "every code has a row here");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_str_eq(status_name(rows[i].s), rows[i].name);
        cr_expect_eq(status_exit(rows[i].s), rows[i].exit_code, "%s", rows[i].name);
        cr_expect_gt(strlen(status_text(rows[i].s)), 1u);
    }
    cr_expect_str_eq(status_name((status)999), "ST_?");
    cr_expect_eq(status_exit((status)999), 1, "never 0 for what is unknown");
}

Test(err, carries_message_and_place)
{
    err e = {0};
    cr_expect_eq(err_set(&e, ST_INPUT, "%s:%d: bad", "x.yaml", 3), ST_INPUT);
    cr_expect_str_eq(e.msg, "x.yaml:3: bad");
    cr_expect_eq(e.code, ST_INPUT);
    cr_expect(strstr(e.file, "test_err.c") && e.line > 0);
    cr_expect_eq(err_set(NULL, ST_IO, "nobody listens"), ST_IO);
    cr_expect_eq(err_prefix(&e, "spec %d", 7), ST_INPUT);
    cr_expect_str_eq(e.msg, "spec 7: x.yaml:3: bad");
    /* a message may wrap itself */
    err_set(&e, ST_IO, "(%s)", e.msg);
    cr_expect_str_eq(e.msg, "(spec 7: x.yaml:3: bad)");
}

Test(err, long_messages_are_cut_not_overrun)
{
    err e = {0};
    char longer[4000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    err_set(&e, ST_INPUT, "%s", longer);
    cr_expect_eq(strlen(e.msg), sizeof e.msg - 1);
    err_prefix(&e, "%s", longer);
    cr_expect_eq(strlen(e.msg), sizeof e.msg - 1);
}
