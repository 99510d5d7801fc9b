#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>
#include <zlib.h>

#include "base/jline.h"
#include "sweeps/journal.h"
#include "tests/sweeps/store_fixture.h"

static char dir[IO_PATH_MAX], path[IO_PATH_MAX], h5[IO_PATH_MAX];
static err e;

static void setup(void)
{
    fx_tempdir(dir);
    snprintf(path, sizeof path, "%.900s/journal.jsonl", dir);
    snprintf(h5, sizeof h5, "%.900s/run.h5", dir);
}
TestSuite(journal, .init = setup);

#define ok(call) do { memset(&e, 0, sizeof e); status s_ = (call); cr_assert_eq(s_, ST_OK, "%s", e.msg); } while (0)

static store_run *open_run(const trainer_config *c, bool resume)
{
    store_run *run = NULL;
    store_opts o = {.dir = dir, .config = c, .resume = resume, .threads = 2};
    ok(store_run_open(&run, &o, &e));
    return run;
}

/* The line as documented, checked with zlib and nothing of ours. */
Test(journal, every_line_carries_its_crc)
{
    trainer_config c;
    fx_config(&c, 1);
    ok(fx_run(dir, &c, 5, RUN_DONE, &e));
    size_t n, lines = 0;
    char *text = fx_read(path, &n);
    for (char *line = text; *line; lines++) {
        char *end = strchr(line, '\n'), want[24];
        cr_assert_not_null(end, "no newline at the end");
        size_t body = (size_t)(end - line) - JLINE_TAIL;
        snprintf(want, sizeof want, ",\"crc\":\"%08lx\"}", crc32(0, (const Bytef *)line, (uInt)body));
        cr_assert_eq(strncmp(line + body, want, JLINE_TAIL), 0, "line %zu", lines + 1);
        *end = 0;
        json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        cr_assert(json_is_object(o), "line %zu is no JSON", lines + 1);
        json_decref(o);
        line = end + 1;
    }
    cr_expect_eq(lines, 1 + 5 + 1 + 1 + 1, "start, rows, val, ckpt, end: %zu", lines);
    free(text);
}

Test(journal, numbers_come_back_bit_for_bit)
{
    trainer_config c;
    run_record r;
    fx_config(&c, 1);
    ok(fx_run(dir, &c, 50, RUN_DONE, &e));
    ok(run_read_journal(&r, path, &e));
    cr_assert_eq(r.n_train, 50);
    for (size_t i = 0; i < 50; i++) {
        train_row w = fx_row((int64_t)i + 1, 0);
        const double want[] = {(double)w.step, (double)w.tokens, w.loss, w.lr, w.grad_norm, w.step_ms, w.wall_s};
        for (int k = 0; k < TRAIN_N_COLS; k++) cr_assert_eq(r.train[k][i], want[k], "row %zu column %d", i, k);
    }
    cr_expect_eq(r.val[VAL_LOSS][0], fx_val(50, 0).loss);
    cr_expect_eq(attrs_f64(&r.group[RUN_CONFIG], "lr"), 0.0137);
    cr_expect_eq(attrs_i64(&r.group[RUN_CONFIG], "d_model", 0), 64);
    cr_expect_str_eq(attrs_text(&r.group[RUN_CONFIG], "parametrisation"), "sp");
    cr_expect_eq(attrs_f64(&r.group[RUN_SUMMARY], "final_val_loss"), fx_val(50, 0).loss);
    cr_expect_str_eq(run_status_text(&r), "done");
    cr_expect_eq(r.torn_bytes, 0);
    run_free(&r);
}

Test(journal, a_loss_that_is_no_number_is_told_by_kind)
{
    trainer_config c;
    run_record r;
    fx_config(&c, 1);
    store_run *run = open_run(&c, false);
    train_observer o = store_run_observer(run);
    ok(fx_drive(o, &c, 0, 2, 0, RUN_PARTIAL, &e));
    train_row nan_row = fx_row(3, 0), inf_row = fx_row(4, 0);
    nan_row.loss = NAN;
    nan_row.grad_norm = INFINITY;
    inf_row.loss = INFINITY;
    ok(o.row(o.self, &nan_row, &e));
    ok(o.row(o.self, &inf_row, &e));
    train_end end = fx_end(RUN_DIVERGED, 4);
    ok(o.end(o.self, &end, &e));
    ok(store_run_close(run, NULL, &e));
    ok(run_read_journal(&r, path, &e));
    cr_expect(isnan(r.train[TRAIN_LOSS][2]));
    cr_expect(isnan(r.train[TRAIN_GRAD_NORM][2]));
    cr_expect(isinf(r.train[TRAIN_LOSS][3]));
    cr_expect_str_eq(run_status_text(&r), "diverged");
    cr_expect_eq(attrs_i64(&r.group[RUN_SUMMARY], "diverged_at", 0), 4);
    run_free(&r);
    ok(run_read_h5(&r, h5, RUN_ALL, &e));
    cr_expect(isinf(r.train[TRAIN_LOSS][3]));
    run_free(&r);
}

/* Cut after every byte: the valid part is whole lines, the rest is reported, resume cuts exactly it. */
Test(journal, torn_at_every_byte)
{
    trainer_config c;
    fx_config(&c, 1);
    store_run *run = open_run(&c, false);
    ok(fx_drive(store_run_observer(run), &c, 0, 3, 0, RUN_PARTIAL, &e));
    ok(store_run_close(run, NULL, &e));
    size_t n, first;
    char *text = fx_read(path, &n);
    first = (size_t)(strchr(text, '\n') - text) + 1;
    for (size_t cut = 0; cut < n; cut++) {
        size_t whole = 0;
        run_record r;
        if (cut > 40 && cut < first - 40 && cut % 61) continue; /* the long start line: every byte near its ends */
        for (size_t i = 0; i < cut; i++)
            if (text[i] == '\n') whole = i + 1;
        fx_write(path, text, cut);
        ok(run_read_journal(&r, path, &e));
        cr_assert_eq(r.journal_bytes, whole, "cut %zu", cut);
        cr_assert_eq(r.torn_bytes, cut - whole, "cut %zu", cut);
        run_free(&r);
        if (cut % 97 && cut + 30 < n) continue;
        run = open_run(&c, true);
        cr_assert_eq(store_run_note(run)[0] != 0, cut != whole, "cut %zu: note '%s'", cut, store_run_note(run));
        ok(store_run_close(run, NULL, &e));
        cr_assert_eq(fx_file_size(path), whole, "cut %zu", cut);
    }
    free(text);
}

/* Negative twin of the CRC: every single-bit flip of a row is noticed, and reading stops before it. */
Test(journal, a_flipped_bit_ends_the_valid_part)
{
    trainer_config c;
    run_record r;
    fx_config(&c, 1);
    store_run *run = open_run(&c, false);
    ok(fx_drive(store_run_observer(run), &c, 0, 4, 0, RUN_PARTIAL, &e));
    ok(store_run_close(run, NULL, &e));
    size_t n, start = 0, end;
    char *text = fx_read(path, &n);
    for (int lines = 0; lines < 2; start++) lines += text[start] == '\n';
    end = (size_t)(strchr(text + start, '\n') - text);
    for (size_t i = start; i <= end; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            text[i] = (char)(text[i] ^ (1 << bit));
            fx_write(path, text, n);
            ok(run_read_journal(&r, path, &e));
            cr_assert_eq(r.journal_bytes, start, "byte %zu bit %d", i, bit);
            cr_assert_eq(r.n_train, 1);
            run_free(&r);
            text[i] = (char)(text[i] ^ (1 << bit));
        }
    free(text);
}

/* Rows after the checkpoint belong to the process that died. */
Test(journal, the_newest_resume_wins)
{
    trainer_config c;
    run_record r;
    fx_config(&c, 1);
    store_run *run = open_run(&c, false);
    ok(fx_drive(store_run_observer(run), &c, 0, 9, 0, RUN_PARTIAL, &e));
    ok(store_run_close(run, NULL, &e));
    run = open_run(&c, true);
    cr_expect_eq(store_run_look(run)->state, STORE_PARTIAL);
    cr_expect_eq(store_run_look(run)->step, 9);
    ok(fx_drive(store_run_observer(run), &c, 6, 8, 1, RUN_PARTIAL, &e));
    ok(store_run_close(run, NULL, &e));
    ok(run_read_journal(&r, path, &e));
    cr_assert_eq(r.n_train, 8, "%zu rows", r.n_train);
    for (size_t i = 0; i < 8; i++) cr_expect_eq(r.train[TRAIN_LOSS][i], fx_row((int64_t)i + 1, i >= 6).loss, "row %zu", i);
    cr_expect_eq(r.n_val, 1);
    cr_expect_eq(r.val[VAL_STEP][0], 8);
    cr_expect_eq(attrs_i64(&r.group[RUN_ENV], "restarts", -1), 1);
    cr_expect_str_eq(run_status_text(&r), "partial");
    run_free(&r);
    run = open_run(&c, true);
    ok(fx_drive(store_run_observer(run), &c, 0, 10, 2, RUN_DONE, &e));
    ok(store_run_close(run, NULL, &e));
    ok(run_read_journal(&r, path, &e));
    cr_expect_eq(r.n_train, 10);
    cr_expect_eq(r.train[TRAIN_LOSS][0], fx_row(1, 2).loss, "resumed from the beginning");
    cr_expect_str_eq(attrs_text(&r.group[RUN_ENV], "segments"), "0 cpu baseline, test core; 6 cpu baseline, test core; 0 cpu baseline, test core");
    run_free(&r);
}

/* No space: the record that did not fit is taken back, the error names the file, what was written stays whole. */
Test(journal, no_space_leaves_whole_lines)
{
    trainer_config c;
    run_record r;
    fx_config(&c, 1);
    signal(SIGXFSZ, SIG_IGN);
    store_run *run = open_run(&c, false);
    train_observer o = store_run_observer(run);
    ok(fx_drive(o, &c, 0, 3, 0, RUN_PARTIAL, &e));
    size_t before = fx_file_size(path);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = before + 100; /* a row is longer: the write comes short, as on a full disk */
    setrlimit(RLIMIT_FSIZE, &small);
    train_row row = fx_row(4, 0);
    memset(&e, 0, sizeof e);
    status s = o.row(o.self, &row, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    cr_expect_eq(s, ST_IO);
    cr_expect_not_null(strstr(e.msg, path), "%s", e.msg);
    cr_expect_eq(fx_file_size(path), before, "half a line was left");
    ok(o.row(o.self, &row, &e)); /* room again: the same record goes through */
    ok(store_run_close(run, NULL, &e));
    ok(run_read_journal(&r, path, &e));
    cr_expect_eq(r.n_train, 4);
    cr_expect_eq(r.torn_bytes, 0);
    run_free(&r);
}

Test(journal, foreign_files_are_refused)
{
    static const char *const foreign[] = {"hello\n", "{\"a\":1}\n", "step,loss\n1,2\n"};
    run_record r;
    for (size_t i = 0; i < 3; i++) {
        fx_write(path, foreign[i], strlen(foreign[i]));
        memset(&e, 0, sizeof e);
        cr_expect_eq(run_read_journal(&r, path, &e), ST_INPUT);
        cr_expect_not_null(strstr(e.msg, path), "%s", e.msg);
    }
    fx_write(path, "", 0);
    ok(run_read_journal(&r, path, &e)); /* killed before its first record */
    cr_expect_null(attrs_text(&r.group[RUN_ROOT], "run_id"));
    run_free(&r);
}

Test(journal, argv_survives_a_shell)
{
    trainer_config c;
    run_record r;
    fx_config(&c, 1);
    char a[] = "muscale", b[] = "it's a run", d[] = "lr=1e-3";
    char *argv[] = {a, b, d};
    store_run *run = NULL;
    store_opts o = {.dir = dir, .config = &c, .argv = argv, .argc = 3};
    ok(store_run_open(&run, &o, &e));
    ok(fx_drive(store_run_observer(run), &c, 0, 1, 0, RUN_DONE, &e));
    ok(store_run_close(run, NULL, &e));
    ok(run_read_h5(&r, h5, RUN_HEADER, &e));
    cr_expect_str_eq(attrs_text(&r.group[RUN_CONFIG], "argv"), "muscale 'it'\\''s a run' lr=1e-3");
    run_free(&r);
}
