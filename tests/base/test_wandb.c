#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

static status parse(table *t, const char *text, err *e)
{
    memset(t, 0, sizeof *t);
    return table_parse(t, "chart.csv", text, strlen(text), e);
}

static double cell(const table *t, const char *name, size_t row)
{
    const table_column *c = table_col(t, name);
    cr_assert_not_null(c, "no column %s", name);
    return c->x[row];
}

static const char *run_of(const table *t, size_t row) { return table_word(table_col(t, "run"), row); }

Test(wandb, chart_of_several_runs_becomes_long)
{
    table t;
    err e = {0};
    cr_assert_eq(parse(&t,
                       "\"Step\",\"a - b-1 - train/loss\",\"a - b-1 - train/loss__MIN\",\"a - b-1 - train/loss__MAX\","
                       "\"calm-2 - train/loss\",\"calm-2 - train/loss__MIN\",\"calm-2 - train/loss__MAX\","
                       "\"a - b-1 - lr\",\"a - b-1 - lr__MIN\",\"a - b-1 - lr__MAX\"\n"
                       "\"0\",\"4.5\",\"4.5\",\"4.5\",\"\",\"\",\"\",\"0.1\",\"0.1\",\"0.1\"\n"
                       "\"10\",\"4.25\",\"4\",\"4.5\",\"5.5\",\"5.5\",\"5.5\",\"\",\"\",\"\"\n"
                       "\"20\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\"\n"
                       "\"30\",\"\",\"\",\"\",\"NaN\",\"NaN\",\"NaN\",\"\",\"\",\"\"\n",
                       &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_rows, 4);
    cr_assert_eq(t.n_cols, 4); /* run, _step, train/loss, lr */
    static const struct { const char *run; double step, loss, lr; } want[] = {
        {"a - b-1", 0, 4.5, 0.1}, {"a - b-1", 10, 4.25, NAN}, {"calm-2", 10, 5.5, NAN}, {"calm-2", 30, INFINITY, NAN}};
    for (size_t i = 0; i < 4; i++) {
        cr_assert_str_eq(run_of(&t, i), want[i].run);
        cr_assert(cell(&t, "_step", i) == want[i].step && cell(&t, "train/loss", i) == want[i].loss, "row %zu", i);
        cr_assert(isnan(want[i].lr) ? isnan(cell(&t, "lr", i)) : cell(&t, "lr", i) == want[i].lr, "row %zu", i);
    }
    cr_assert_eq(t.row_line[3], 5);
    char where[IO_PATH_MAX + 32];
    cr_assert_str_eq(table_where_row(&t, 2, where), "chart.csv:3, row 3");
    cr_assert_eq(t.sources[0].n_rows, 4);
    cr_assert_eq(strlen(t.sources[0].sha256), 64);
    cr_assert(strstr(t.sources[0].note, "1 of 5 points average over several steps or runs"), "%s", t.sources[0].note);
    table_free(&t);
}

Test(wandb, other_charts)
{
    table t;
    err e = {0};
    /* on a run's own page columns bear no run */
    cr_assert_eq(parse(&t, "Step,train_loss,train_loss__MIN,train_loss__MAX\n1,3,3,3\n2,2.5,2.5,2.5\n", &e), ST_OK,
                 "%s", e.msg);
    cr_assert_eq(t.n_cols, 2);
    cr_assert(cell(&t, "_step", 1) == 2 && cell(&t, "train_loss", 1) == 2.5);
    cr_assert_null(table_col(&t, "run"));
    cr_assert_str_empty(t.sources[0].note);
    table_free(&t);
    /* another axis, with _step beside it */
    cr_assert_eq(parse(&t,
                       "epoch,r - _step,r - _step__MIN,r - _step__MAX,r - loss,r - loss__MIN,r - loss__MAX\n"
                       "1,100,100,100,3,3,3\n", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_cols, 4);
    cr_assert(cell(&t, "epoch", 0) == 1 && cell(&t, "_step", 0) == 100 && cell(&t, "loss", 0) == 3);
    char where[IO_PATH_MAX + 32];
    cr_assert_str_eq(table_where_row(&t, 0, where), "chart.csv:2");
    table_free(&t);
    /* _step logged by hand beside the page's own: both stay */
    cr_assert_eq(parse(&t, "Step,_step,_step__MIN,_step__MAX\n7,100,100,100\n", &e), ST_OK, "%s", e.msg);
    cr_assert(cell(&t, "Step", 0) == 7 && cell(&t, "_step", 0) == 100);
    table_free(&t);
    /* the extremes taken out by hand */
    cr_assert_eq(parse(&t, "Step,r1 - loss,r2 - loss\n1,3,4\n", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_rows, 2);
    cr_assert_str_eq(run_of(&t, 1), "r2");
    cr_assert_eq(cell(&t, "loss", 1), 4);
    table_free(&t);
    /* no chart: an ordinary table that has a dash or an extreme somewhere */
    cr_assert_eq(parse(&t, "N,r1 - loss,r2 - loss\n1,3,4\n", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_cols, 3);
    table_free(&t);
    cr_assert_eq(parse(&t, "Step,loss,loss__MIN\n1,3,4\n", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_cols, 3);
    cr_assert_not_null(table_col(&t, "Step"));
    table_free(&t);
    /* a word at a step without points takes nothing from the others */
    cr_assert_eq(parse(&t, "Step,r1 - loss,r2 - loss\n1,3,4\nend,,\n", &e), ST_OK, "%s", e.msg);
    cr_assert(!table_col(&t, "_step")->is_text && cell(&t, "_step", 1) == 1);
    table_free(&t);
    /* runs are words, whatever they are called */
    const double *x;
    cr_assert_eq(parse(&t, "Step,1 - loss,2 - loss\n1,3,4\n", &e), ST_OK, "%s", e.msg);
    cr_assert_str_eq(run_of(&t, 1), "2");
    cr_assert_eq(table_number_col(&t, "run", &x, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "chart.csv: column 'run' holds words"), "%s", e.msg);
    table_free(&t);
    /* nothing was logged */
    cr_assert_eq(parse(&t, "Step,r1 - loss,r2 - loss\n1,,\n", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(t.n_rows, 0);
    table_free(&t);
}

Test(wandb, a_metric_named_run_is_refused)
{
    static const char *const bad[] = {"Step,r - run,r - run__MIN,r - run__MAX\n1,2,3,4\n",
                                      "run,r - x,r - x__MIN,r - x__MAX\n1,2,3,4\n"};
    for (size_t i = 0; i < 2; i++) {
        table t;
        err e = {0};
        cr_assert_eq(parse(&t, bad[i], &e), ST_INPUT);
        cr_assert(strstr(e.msg, "chart.csv:1: 'run' is to hold the names of the runs"), "%s", e.msg);
        table_free(&t);
    }
}

/* n rows of a history as scan_history or history give it; `gap` says the stride after row i. */
static char *history(size_t n, size_t (*gap)(size_t), bool jsonl)
{
    char *text = malloc(n * 64 + 64);
    cr_assert_not_null(text);
    size_t at = jsonl ? 0 : (size_t)sprintf(text, ",_step,_runtime,train/loss\n"), step = 0;
    for (size_t i = 0; i < n; i++, step += gap(i))
        at += (size_t)sprintf(text + at, jsonl ? "{\"_step\":%zu,\"train/loss\":3}\n" : "%2$zu,%1$zu,2,3\n", step, i);
    return text;
}

static size_t even(size_t i) { return i == 0 ? 1 : 10; }                /* 0, 1, 11, 21, ... */
static size_t drawn(size_t i) { return 1 + (i * 2654435761u >> 7) % 39; } /* as of 10,000 steps */

Test(wandb, a_sample_of_history_is_noted)
{
    static const struct { size_t n; size_t (*gap)(size_t); bool warns;
    } cases[] = {{500, drawn, true},  {490, drawn, true}, {510, drawn, true},  {489, drawn, false},
                 {511, drawn, false}, {500, even, false}, {2000, drawn, false}};
    for (size_t k = 0; k < 2 * (sizeof cases / sizeof *cases); k++) {
        table t;
        err e = {0};
        char *text = history(cases[k / 2].n, cases[k / 2].gap, k & 1);
        cr_assert_eq(parse(&t, text, &e), ST_OK, "%s", e.msg);
        cr_assert_eq(t.n_rows, cases[k / 2].n);
        const char *note = t.sources[0].note;
        cr_assert_eq(strstr(note, "run.scan_history()") != NULL, cases[k / 2].warns, "%zu: '%s'", k, note);
        table_free(&t);
        free(text);
    }
}

/* Runs are judged one by one, and only those of the newest source. */
Test(wandb, samples_are_told_apart_by_run)
{
    char *text = malloc(200000);
    cr_assert_not_null(text);
    table t = {0};
    err e = {0};
    size_t n = 0, a = 0;
    for (size_t i = 0; i < 500; i++, a += drawn(i))
        n += (size_t)sprintf(
            text + n, "{\"run\":\"a\",\"_step\":%zu}\n{\"run\":\"b\",\"_step\":%zu}\n{\"run\":\"c\",\"_step\":%zu}\n",
            a, 10 * i, a + i);
    cr_assert_eq(table_parse(&t, "h", text, n, &e), ST_OK, "%s", e.msg);
    cr_assert(strstr(t.sources[0].note, "2 runs have about 500 rows"), "%s", t.sources[0].note);
    static const char more[] = "_step,run\n1,a\n";
    cr_assert_eq(table_parse(&t, "more", more, strlen(more), &e), ST_OK);
    cr_assert_str_empty(t.sources[1].note, "%s", t.sources[1].note);
    table_free(&t);
    free(text);
}
