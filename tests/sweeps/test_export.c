/* A table that is written as text and read again is the same table, bit for bit. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sweeps/export.h"
#include "tests/sweeps/store_fixture.h"

static err e;

#define ok(call) do { memset(&e, 0, sizeof e); status s_ = (call); cr_assert_eq(s_, ST_OK, "%s", e.msg); } while (0)

static void same_column(const table *t, const table *back, const char *name)
{
    const table_column *a = table_col(t, name), *b = table_col(back, name);
    cr_assert(a && b, "%s is lost", name);
    cr_assert_eq(a->is_text, b->is_text, "%s", name);
    for (size_t i = 0; i < t->n_rows; i++) {
        if (a->is_text) cr_expect_str_eq(table_word(a, i), table_word(b, i), "%s[%zu]", name, i);
        else if (isnan(a->x[i])) cr_expect(isnan(b->x[i]), "%s[%zu]: %.17g was absent", name, i, b->x[i]);
        else cr_expect(!memcmp(&a->x[i], &b->x[i], sizeof(double)), "%s[%zu]: %.17g became %.17g", name, i, a->x[i], b->x[i]);
    }
}

static void there_and_back(table *back, const table *t, export_form form)
{
    char *text = NULL;
    size_t n = 0;
    memset(back, 0, sizeof *back);
    ok(export_text(&text, &n, t, form, &e));
    ok(table_parse(back, "text", text, n, &e));
    cr_assert_eq(back->n_rows, t->n_rows, "%s", text);
    free(text);
}

/* Numbers that a shorter print loses, words that need quotes, cells that are not there. */
Test(export, numbers_and_words)
{
    static const double x[] = {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 9007199254740991.0, 6.02214076e23, NAN, INFINITY, -2.385};
    static const char *const words[] = {"plain", "a, b", "say \"x\"", "", "two\nlines", " blank ", "1e5 then", "back\\slash", "tab\there", "\303\251t\303\251"};
    enum { N = sizeof x / sizeof *x };
    table t = {0}, back;
    size_t first, numbers, texts;
    ok(table_grow(&t, "made", NULL, N, &first, &e));
    ok(table_col_index(&t, "x", &numbers, &e));
    ok(table_col_index(&t, "word, \"quoted\"", &texts, &e));
    for (size_t i = 0; i < N; i++) {
        table_set(&t, numbers, i, x[i]);
        if (*words[i]) ok(table_set_word(&t, texts, i, words[i], 0, 0, &e));
    }
    for (int form = EXPORT_CSV; form <= EXPORT_JSONL; form++) {
        there_and_back(&back, &t, (export_form)form);
        cr_expect_eq(back.n_cols, 2);
        same_column(&t, &back, "x");
        same_column(&t, &back, "word, \"quoted\"");
        table_free(&back);
    }
    table_free(&t);
}

Test(export, a_campaign)
{
    static const run_status how[] = {RUN_DONE, RUN_DIVERGED, RUN_STOPPED, RUN_PARTIAL};
    char top[IO_PATH_MAX], dir[IO_PATH_MAX], path[IO_PATH_MAX];
    campaign_counts n;
    struct stat before, after;
    table t = {0}, back;
    trainer_config c;
    fx_tempdir(top);
    for (int i = 0; i < 4; i++) {
        fx_config(&c, (uint64_t)i);
        snprintf(dir, sizeof dir, "%.900s/runs/%d", top, i);
        ok(fx_run(dir, &c, 5 + i, how[i], &e));
    }
    ok(campaign_collect_table(&n, &t, top, &e));
    for (int form = EXPORT_CSV; form <= EXPORT_JSONL; form++) {
        size_t settings = 0, n_keys;
        const config_key *keys = config_keys(&n_keys);
        there_and_back(&back, &t, (export_form)form);
        for (size_t k = 0; k < n_keys; k++) settings += table_col(&back, keys[k].name) != NULL;
        cr_expect_eq(settings, 7, "%zu settings: seed differs, a fit asks for six more", settings);
        for (size_t k = 0; k < t.n_cols; k++)
            if (!config_find(t.cols[k].name) && strcmp(t.cols[k].name, "source_stamp")) same_column(&t, &back, t.cols[k].name);
        same_column(&t, &back, "seed");
        same_column(&t, &back, "lr");
        cr_expect(isinf(table_col(&back, "loss")->x[1]), "diverged");
        table_free(&back);
    }
    /* replaced, not written into: who reads the old one goes on reading it */
    snprintf(path, sizeof path, "%.900s/out.csv", top);
    ok(export_write(path, &t, EXPORT_CSV, &e));
    cr_assert_eq(stat(path, &before), 0);
    ok(export_write(path, &t, EXPORT_CSV, &e));
    cr_assert_eq(stat(path, &after), 0);
    cr_expect_neq(before.st_ino, after.st_ino);
    cr_expect_eq(before.st_size, after.st_size);
    table_free(&t);
}
