#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/h5.h"
#include "base/table.h"
#include "tests/sweeps/store_fixture.h"

static char top[IO_PATH_MAX], index_path[IO_PATH_MAX];
static err e;

#define ok(call) do { memset(&e, 0, sizeof e); status s_ = (call); cr_assert_eq(s_, ST_OK, "%s", e.msg); } while (0)

static void member(const char *name, uint64_t seed, int64_t steps, run_status how)
{
    char dir[IO_PATH_MAX];
    trainer_config c;
    fx_config(&c, seed);
    snprintf(dir, sizeof dir, "%.900s/runs/%s", top, name);
    ok(fx_run(dir, &c, steps, how, &e));
}

static char *in_run(char *out, const char *name, const char *file)
{
    snprintf(out, IO_PATH_MAX, "%.900s/runs/%s/%s", top, name, file);
    return out;
}

static void setup(void)
{
    fx_tempdir(top);
    snprintf(index_path, sizeof index_path, "%.900s/campaign.h5", top);
    member("a", 1, 10, RUN_DONE);
    member("b", 2, 20, RUN_DONE);
    member("c", 3, 7, RUN_DIVERGED);
    member("d", 4, 5, RUN_STOPPED);
    member("e", 5, 3, RUN_PARTIAL);
}
TestSuite(campaign, .init = setup);

static void read_both(table *scanned, table *cached)
{
    campaign_counts n;
    memset(scanned, 0, sizeof *scanned);
    memset(cached, 0, sizeof *cached);
    unlink(index_path);
    ok(table_read(scanned, top, &e));
    cr_assert_not_null(strstr(scanned->sources[0].note, "no campaign.h5"), "%s", scanned->sources[0].note);
    ok(campaign_collect(&n, top, &e));
    ok(table_read(cached, top, &e));
    cr_assert_str_empty(cached->sources[0].note, "%s", cached->sources[0].note);
}

/* The cache adds nothing and loses nothing. */
Test(campaign, index_equals_scan)
{
    table a, b;
    read_both(&a, &b);
    cr_assert_eq(a.n_rows, 5);
    cr_assert_eq(b.n_rows, 5);
    cr_expect_eq(a.n_cols, b.n_cols, "%zu and %zu columns", a.n_cols, b.n_cols);
    for (size_t c = 0; c < a.n_cols; c++) {
        const table_column *x = &a.cols[c], *y = table_col(&b, x->name);
        cr_assert_not_null(y, "%s is lost", x->name);
        cr_assert_eq(x->is_text, y->is_text, "%s", x->name);
        for (size_t i = 0; i < 5; i++) {
            if (x->is_text) cr_expect_str_eq(table_word(x, i), table_word(y, i));
            else cr_expect(x->x[i] == y->x[i] || (isnan(x->x[i]) && isnan(y->x[i])), "%s[%zu]: %g %g", x->name, i, x->x[i], y->x[i]);
        }
    }
    cr_expect_str_eq(a.sources[0].sha256, b.sources[0].sha256);
    table_free(&a);
    table_free(&b);
}

Test(campaign, canonical_columns)
{
    table t = {0};
    ok(table_read(&t, top, &e));
    shape_counts n;
    trainer_config c;
    fx_config(&c, 1);
    n = shape_count(&c.shape);
#define cell(name, row) (table_col(&t, name) ? table_col(&t, name)->x[row] : -12345)
    cr_expect_eq(cell("loss", 0), fx_val(10, 0).loss);
    cr_expect_eq(cell("loss_se", 0), 0.0123);
    cr_expect(isinf(cell("loss", 2)), "diverged is an observation");
    cr_expect(isnan(cell("loss", 3)) == 0, "the fixture's stopped run has a loss in its end record");
    cr_expect(isnan(cell("loss", 4)), "an unfinished run has no final loss");
    cr_expect_eq(cell("N", 0), (double)n.n_params_total);
    cr_expect_eq(cell("N_nonembed", 0), (double)n.n_params_non_embed);
    cr_expect_eq(cell("D", 1), 20 * 256.0);
    cr_expect_eq(cell("C", 1), 1.7e6 * 256 * 20);
    cr_expect_eq(cell("U", 1), 1000000.0, "all tokens of the data");
    cr_expect_eq(cell("lr", 0), 0.0137);
    cr_expect_eq(cell("width", 0), 64.0);
    cr_expect_eq(cell("depth", 0), 2.0);
    cr_expect_eq(cell("seed", 1), 2.0);
    cr_expect_eq(cell("batch_tokens", 0), 256.0);
    cr_expect_eq(cell("tokens", 0), 25600.0, "the budget, not what was trained");
    cr_expect_str_eq(table_word(table_col(&t, "parametrisation"), 0), "sp");
    static const char *const status_of[] = {"done", "done", "diverged", "stopped", "partial"};
    for (size_t i = 0; i < 5; i++) cr_expect_str_eq(table_word(table_col(&t, "status"), i), status_of[i]);
    table_free(&t);
}

Test(campaign, one_run_by_all_its_names)
{
    char path[IO_PATH_MAX];
    static const char *const files[] = {"", "run.h5"};
    for (size_t i = 0; i < 2; i++) {
        table t = {0};
        ok(table_read(&t, in_run(path, "b", files[i]), &e));
        cr_assert_eq(t.n_rows, 1);
        cr_expect_eq(table_col(&t, "loss")->x[0], fx_val(20, 0).loss);
        table_free(&t);
    }
    table t = {0}; /* read after one another: rows are appended */
    ok(table_read(&t, in_run(path, "a", "run.h5"), &e));
    ok(table_read(&t, top, &e));
    ok(table_read(&t, in_run(path, "c", ""), &e));
    cr_expect_eq(t.n_rows, 7);
    cr_expect_eq(t.n_sources, 3);
    table_free(&t);
}

/* A row a validation; all steps: and a row a logged step, whose learning rate laws of whole curves want. */
Test(campaign, curves)
{
    trainer_config c;
    char path[IO_PATH_MAX];
    table t = {0};
    store_run *run = NULL;
    fx_config(&c, 6);
    store_opts o = {.dir = in_run(path, "f", ""), .config = &c, .threads = 1, .resume = true};
    ok(io_mkdirs(path, &e));
    ok(store_run_open(&run, &o, &e));
    ok(fx_drive(store_run_observer(run), &c, 0, 4, 0, RUN_PARTIAL, &e));
    ok(fx_drive(store_run_observer(run), &c, 4, 9, 0, RUN_DONE, &e));
    ok(store_run_close(run, NULL, &e));
    ok(table_read_curves(&t, top, TABLE_VALIDATIONS, &e));
    cr_assert_eq(t.n_rows, 7, "%zu rows", t.n_rows);
    cr_expect_eq(t.sources[0].n_rows, 7);
    cr_expect_str_eq(table_word(table_col(&t, "run"), 5), table_word(table_col(&t, "run"), 6));
    for (size_t i = 5; i < 7; i++) {
        int64_t step = i == 5 ? 4 : 9;
        cr_expect_eq(cell("step", i), (double)step);
        cr_expect_eq(cell("loss", i), fx_val(step, 0).loss);
        cr_expect_eq(cell("lr", i), fx_row(step, 0).lr, "of the step, not the peak");
        cr_expect_eq(cell("D", i), 256.0 * (double)step);
        cr_expect_eq(cell("C", i), 1.7e6 * 256 * (double)step);
        cr_expect_eq(cell("d_model", i), 64.0);
        cr_expect_gt(cell("N", i), 0);
    }
    table_free(&t);
    ok(table_read_curves(&t, in_run(path, "f", "run.h5"), TABLE_ALL_STEPS, &e));
    cr_assert_eq(t.n_rows, 9 + 2);
    cr_expect_eq(cell("step", 3), 4.0);
    cr_expect_eq(cell("step", 4), 4.0, "the validation stands before its step");
    cr_expect_eq(cell("loss", 3), fx_val(4, 0).loss);
    cr_expect(isnan(cell("loss", 4)) && isnan(cell("train_loss", 3)));
    cr_expect_eq(cell("train_loss", 4), fx_row(4, 0).loss);
    cr_expect_eq(cell("lr", 7), fx_row(7, 0).lr);
    table_free(&t);
    campaign_counts n;
    ok(campaign_collect(&n, top, &e));
    memset(&e, 0, sizeof e);
    cr_expect_eq(table_read_curves(&t, index_path, TABLE_VALIDATIONS, &e), ST_INPUT);
    cr_expect_not_null(strstr(e.msg, "no curves"), "%s", e.msg);
    table_free(&t);
    snprintf(path, sizeof path, "%.900s/text.csv", top);
    fx_write(path, "run,loss\na,3\na,2\n", 17);
    ok(table_read_curves(&t, path, TABLE_VALIDATIONS, &e));
    cr_expect_eq(t.n_rows, 2, "texts are what table_read makes of them");
    table_free(&t);
}

Test(campaign, counts_sum)
{
    campaign_counts n;
    char path[IO_PATH_MAX];
    unlink(in_run(path, "b", "run.h5"));
    ok(campaign_collect(&n, top, &e));
    size_t sum = n.n_damaged;
    for (int s = 0; s < STORE_N_STATES; s++) sum += n.by_state[s];
    cr_expect_eq(sum, 5);
    cr_expect_eq(n.n_runs, 5);
    cr_expect_eq(n.by_state[STORE_DONE], 2);
    cr_expect_eq(n.by_state[STORE_DIVERGED], 1);
    cr_expect_eq(n.by_state[STORE_STOPPED], 1);
    cr_expect_eq(n.by_state[STORE_PARTIAL], 1);
    cr_expect_eq(n.n_published, 1, "run.h5 of b is made again");
    cr_expect(io_exists(path));
    ok(campaign_collect(&n, top, &e));
    cr_expect_eq(n.n_published, 0);
}

Test(campaign, same_runs_same_bytes)
{
    campaign_counts n;
    size_t n1, n2;
    ok(campaign_collect(&n, top, &e));
    char *a = fx_read(index_path, &n1);
    unlink(index_path);
    ok(campaign_collect(&n, top, &e));
    char *b = fx_read(index_path, &n2);
    cr_expect(n1 == n2 && !memcmp(a, b, n1));
    free(a);
    free(b);
}

/* Each way an index grows old is noticed, told, and harmless. */
Test(campaign, an_old_index_is_not_believed)
{
    campaign_counts n;
    char path[IO_PATH_MAX];
    for (int how = 0; how < 5; how++) {
        table t = {0};
        ok(campaign_collect(&n, top, &e));
        trainer_config c;
        fx_config(&c, 5);
        if (how == 0) member("f", 6, 4, RUN_DONE);
        if (how == 1) { /* the stopped run goes on */
            store_run *run = NULL;
            fx_config(&c, 4);
            snprintf(path, sizeof path, "%.900s/runs/d", top);
            store_opts o = {.dir = path, .config = &c, .resume = true};
            ok(store_run_open(&run, &o, &e));
            ok(fx_drive(store_run_observer(run), &c, 5, 9, 0, RUN_DONE, &e));
            ok(store_run_close(run, NULL, &e));
        }
        if (how == 2) { /* another run.h5 of the same name, restored from elsewhere */
            size_t len;
            char *text = fx_read(in_run(path, "a", "run.h5"), &len);
            unlink(path);
            fx_write(path, text, len);
            free(text);
        }
        if (how == 3) fx_write(index_path, "rubbish", 7);
        if (how == 4) { /* a run is moved away */
            char to[IO_PATH_MAX];
            snprintf(to, sizeof to, "%.900s/away", top);
            cr_assert_eq(rename(in_run(path, "f", "."), to), -1);
            snprintf(path, sizeof path, "%.900s/runs/f", top);
            cr_assert_eq(rename(path, to), 0);
        }
        ok(table_read(&t, top, &e));
        cr_expect_not_null(strstr(t.sources[0].note, "one by one"), "case %d: '%s'", how, t.sources[0].note);
        cr_expect_eq(t.n_rows, how < 4 ? 6 : 5, "case %d: %zu rows", how, t.n_rows);
        if (how >= 1) cr_expect_str_eq(table_word(table_col(&t, "status"), 3), "done");
        table_free(&t);
    }
}

/* A run that cannot be read: with a journal it speaks through that; without, it is named, not passed over in silence. */
Test(campaign, damage_is_named)
{
    campaign_counts n;
    char path[IO_PATH_MAX];
    table t = {0};
    fx_write(in_run(path, "a", "run.h5"), "\211HDF\r\n\032\nrubbish", 15);
    ok(table_read(&t, top, &e));
    cr_expect_eq(table_col(&t, "loss")->x[0], fx_val(10, 0).loss, "from the journal");
    table_free(&t);
    ok(campaign_collect(&n, top, &e));
    cr_expect_eq(n.n_published, 1, "made again from the journal");
    unlink(in_run(path, "a", "journal.jsonl"));
    fx_write(in_run(path, "a", "run.h5"), "\211HDF\r\n\032\nrubbish", 15);
    ok(campaign_collect(&n, top, &e));
    cr_expect_eq(n.n_damaged, 1);
    cr_expect_not_null(strstr(n.note, path), "%s", n.note);
    memset(&e, 0, sizeof e);
    memset(&t, 0, sizeof t);
    cr_expect_eq(table_read(&t, top, &e), ST_INPUT);
    cr_expect_not_null(strstr(e.msg, path), "%s", e.msg);
    table_free(&t);
}

Test(campaign, what_is_no_campaign)
{
    table t = {0};
    campaign_counts n;
    char path[IO_PATH_MAX];
    memset(&e, 0, sizeof e);
    cr_expect_eq(campaign_collect(&n, "/nowhere", &e), ST_INPUT);
    snprintf(path, sizeof path, "%.900s/empty", top);
    ok(io_mkdirs(path, &e));
    cr_expect_eq(table_read(&t, path, &e), ST_INPUT);
    cr_expect_not_null(strstr(e.msg, path), "%s", e.msg);
    table_free(&t);
    /* an index that lies about its size */
    hid_t f = H5Fcreate(index_path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    attrs root = {0};
    attrs_set_text(&root, "schema", "muscale.campaign/1", NULL);
    attrs_set_i64(&root, "n_runs", 1000000000000, NULL);
    ok(h5_write_attrs(f, "/", &root, index_path, &e));
    ok(h5_make_group(f, "/runs", index_path, &e));
    attrs_free(&root);
    H5Fclose(f);
    cr_expect_eq(table_read(&t, index_path, &e), ST_INPUT);
    cr_expect_not_null(strstr(e.msg, "1000000000000"), "%s", e.msg);
    table_free(&t);
    ok(table_read(&t, top, &e)); /* the runs themselves are untouched */
    cr_expect_eq(t.n_rows, 5);
    table_free(&t);
}

/* A run that another process is writing is counted, not touched. */
Test(campaign, a_live_run_is_left_alone)
{
    campaign_counts n;
    store_run *run = NULL;
    trainer_config c;
    char path[IO_PATH_MAX], owner_path[IO_PATH_MAX];
    store_look look;
    fx_config(&c, 9);
    snprintf(path, sizeof path, "%.900s/runs/live", top);
    store_opts o = {.dir = path, .config = &c};
    ok(store_run_open(&run, &o, &e));
    ok(fx_drive(store_run_observer(run), &c, 0, 3, 0, RUN_DONE, &e)); /* ended, not yet published */
    ok(store_peek(&look, path, &e));
    cr_expect_neq(look.owner[0], 0);
    ok(campaign_collect(&n, top, &e));
    cr_expect_eq(n.n_published, 0);
    cr_expect(io_exists(in_run(owner_path, "live", "owner")));
    ok(store_run_close(run, NULL, &e));
    cr_expect(io_exists(in_run(owner_path, "live", "run.h5")));
}
