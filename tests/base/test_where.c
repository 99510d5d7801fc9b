#include <criterion/criterion.h>
#include <stdio.h>
#include <math.h>
#include <string.h>

#include "base/table.h"

static void make(table *t)
{
    static const double n[] = {1e6, 2e6, 3e6, NAN}, loss[] = {3.5, 3.1, INFINITY, 2.9}, d[] = {2e6, 1e6, 3e6, 1};
    static const char *const par[] = {"mup", "sp", "mup", "and"};
    err e = {0};
    size_t first, col;
    memset(t, 0, sizeof *t);
    cr_assert_eq(table_grow(t, "t", "", 4, &first, &e), ST_OK);
    table_add_col(t, "Model Size", n, &e);
    table_add_col(t, "loss", loss, &e);
    table_add_col(t, "D", d, &e);
    cr_assert_eq(table_col_index(t, "parametrisation", &col, &e), ST_OK);
    for (size_t i = 0; i < 4; i++) table_set_word(t, col, i, par[i], 0, 0, &e);
}

Test(where, selects)
{
    static const struct { const char *expr, *kept;
    } rows[] = {{"loss < 3.2", "0111"},
                {"loss<=3.5", "1111"},
                {"loss > 3.2", "1010"},
                {"loss == 3.1", "0110"},
                {"loss = 3.10", "0110"},
                {"loss != 3.1", "1011"},
                {"3.2 > loss", "0111"},
                {"'Model Size' >= 2e6", "0110"},
                {"\"Model Size\" < 2e6", "1000"},
                {"'Model Size' < D", "1000"},
                {"parametrisation == mup", "1010"},
                {"parametrisation != mup", "0101"},
                {"mup == parametrisation", "1010"},
                {"parametrisation == 'and'", "0001"},
                {"loss < 3.2 and D > 1", "0110"},
                {"D > 2e6 or D < 1e6", "0011"},
                {"D == 1 or D == 1e6 and loss > 3", "0101"},
                {"(D == 1 or D == 1e6) and loss > 3", "0100"},
                {"((D > 0))", "1111"},
                {"parametrisation == nosuch", "0000"},
                {"'Model Size' > 0", "1110"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        table t;
        err e = {0};
        bool match[4];
        make(&t);
        cr_assert_eq(table_match(&t, rows[i].expr, match, &e), ST_OK, "%s: %s", rows[i].expr, e.msg);
        for (size_t k = 0; k < 4; k++) cr_assert_eq(match[k], rows[i].kept[k] == '1', "%s, row %zu", rows[i].expr, k);
        table_free(&t);
    }
    table t;
    err e = {0};
    size_t n;
    make(&t);
    cr_assert_eq(table_where(&t, "D > 1e6", &n, &e), ST_OK);
    cr_assert_eq(n, 2);
    cr_assert_eq(t.n_rows, 2);
    table_free(&t);
}

Test(where, errors_point_at_the_character)
{
    static const struct { const char *expr; int at; const char *says;
    } bad[] = {{"", 1, "too early"},
               {"loss", 5, "is expected"},
               {"loss <", 7, "too early"},
               {"loss < 3 and", 13, "too early"},
               {"loss < 3 D", 10, "'and', 'or'"},
               {"los < 3", 1, "did you mean 'loss'"},
               {"3 < 4", 1, "no column"},
               {"(loss < 3", 10, "')'"},
               {"loss < 3)", 9, "'and', 'or'"},
               {"parametrisation < mup", 1, "== and !="},
               {"parametrisation == D", 20, "do not compare"},
               {"'loss < 3", 1, "never closed"},
               {"loss < x3", 8, "no column"},
               {"loss ! 3", 6, "is expected"},
               {"not loss < 3", 5, "is expected"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        table t;
        err e = {0};
        bool match[4];
        char at[32];
        make(&t);
        cr_assert_eq(table_match(&t, bad[i].expr, match, &e), ST_INPUT, "'%s' was taken", bad[i].expr);
        snprintf(at, sizeof at, "character %d:", bad[i].at);
        cr_assert(strstr(e.msg, at) && strstr(e.msg, bad[i].says), "'%s' should say %s %s", e.msg, at, bad[i].says);
        table_free(&t);
    }
}

Test(where, nesting_is_limited)
{
    table t;
    err e = {0};
    bool match[4];
    char deep[400];
    make(&t);
    memset(deep, '(', 200);
    strcpy(deep + 200, "loss < 3");
    cr_assert_eq(table_match(&t, deep, match, &e), ST_INPUT);
    table_free(&t);
}
