/* Updates from the observer to journal.jsonl, run.h5 and the campaign: nothing lost, nothing believed too easily. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/run_updates.h"
#include "base/jline.h"
#include "sweeps/eps_share.h"
#include "sweeps/publish.h"
#include "tests/sweeps/store_fixture.h"

static char dir[IO_PATH_MAX], journal[IO_PATH_MAX], h5[IO_PATH_MAX];
static err e;

static void setup(void)
{
    fx_tempdir(dir);
    snprintf(journal, sizeof journal, "%.900s/journal.jsonl", dir);
    snprintf(h5, sizeof h5, "%.900s/run.h5", dir);
}
TestSuite(updates_store, .init = setup);

#define ok(call) do { memset(&e, 0, sizeof e); status s_ = (call); cr_assert_eq(s_, ST_OK, "%s", e.msg); } while (0)

static trainer_config config(int64_t every)
{
    trainer_config c;
    fx_config(&c, 3);
    c.log_updates_every = every;
    return c;
}

static bool same_bits(double a, double b) { return !memcmp(&a, &b, sizeof a) || (isnan(a) && isnan(b)); }

static void expect_step(const run_updates *u, size_t row, int64_t step, int64_t salt)
{
    train_update of[64];
    cr_assert_lt(row, u->n);
    cr_expect_eq(u->step[row], (double)step);
    cr_expect_eq(u->tokens[row], 256.0 * (double)step);
    fx_updates(of, u->n_tensors, step, salt);
    for (size_t i = 0; i < u->n_tensors; i++) {
        const size_t at = row * u->n_tensors + i;
        cr_expect(same_bits(u->of[UPDATE_RATIO][at], of[i].ratio) && same_bits(u->of[UPDATE_ALIGNMENT][at], of[i].alignment) &&
                      same_bits(u->of[UPDATE_V_OVER_EPS][at], of[i].v_over_eps) && same_bits(u->of[UPDATE_EPS_FELT][at], of[i].eps_felt),
                  "step %d, %s", (int)step, run_updates_tensor(u, i));
    }
}

Test(updates_store, journal_and_h5_give_the_same_bits)
{
    trainer_config c = config(5);
    run_record j, h;
    ok(fx_run(dir, &c, 20, RUN_DONE, &e));
    ok(run_read_journal(&j, journal, &e));
    ok(run_read_h5(&h, h5, RUN_ALL, &e));
    cr_assert_eq(j.updates.n, 4);
    cr_expect_eq(j.updates.n_tensors, shape_tensors(&c.shape, NULL, 0));
    cr_expect_str_eq(run_updates_tensor(&j.updates, 0), "embed");
    cr_expect(run_updates_equal(&j.updates, &h.updates));
    for (size_t i = 0; i < 4; i++) expect_step(&j.updates, i, 5 * (int64_t)(i + 1), 0);
    h.updates.of[UPDATE_ALIGNMENT][3] += 1e-15;
    cr_expect(!run_updates_equal(&j.updates, &h.updates), "or publishing would check nothing");
    run_free(&j);
    run_free(&h);
    ok(run_read_h5(&h, h5, RUN_HEADER, &e));
    cr_expect_eq(h.updates.n, 0);
    cr_expect(attrs_f64(&h.group[RUN_SUMMARY], "eps_share") > 0, "the header knows without the columns");
    run_free(&h);
}

/* What nobody logged leaves no trace: files of runs without are what they were. */
Test(updates_store, none_leaves_no_trace)
{
    trainer_config c = config(0);
    run_record r;
    size_t n;
    ok(fx_run(dir, &c, 20, RUN_DONE, &e));
    char *text = fx_read(journal, &n);
    cr_expect_null(strstr(text, "\"k\":\"updates\""));
    free(text);
    ok(run_read_h5(&r, h5, RUN_ALL, &e));
    cr_expect_eq(r.updates.n, 0);
    cr_expect_null(attrs_get(&r.group[RUN_SUMMARY], "eps_share"));
    run_free(&r);
    h5_file f;
    ok(h5_open(&f, h5, "muscale.run/1", &e));
    cr_expect_eq(H5Lexists(f.id, "/updates", H5P_DEFAULT), 0);
    h5_close(&f);
}

Test(updates_store, a_resume_takes_back_what_was_after_it)
{
    trainer_config c = config(5);
    store_run *run = NULL;
    run_record r;
    store_opts o = {.dir = dir, .config = &c, .threads = 1};
    ok(store_run_open(&run, &o, &e));
    ok(fx_drive(store_run_observer(run), &c, 0, 17, 0, RUN_PARTIAL, &e));
    ok(store_run_close(run, NULL, &e));
    o.resume = true;
    ok(store_run_open(&run, &o, &e));
    ok(fx_drive(store_run_observer(run), &c, 8, 20, 3, RUN_DONE, &e));
    ok(store_run_close(run, NULL, &e));
    ok(run_read(&r, dir, RUN_ALL, &e));
    cr_assert_eq(r.updates.n, 4);
    expect_step(&r.updates, 0, 5, 0);
    expect_step(&r.updates, 1, 10, 3);
    expect_step(&r.updates, 3, 20, 3);
    run_free(&r);
}

/* Lines a later version might write, sealed as ours: passed over, not misread. */
Test(updates_store, records_of_another_kind_are_passed_over)
{
    static const char *const odd[] = {
        "{\"k\":\"updates\",\"step\":21,\"tensors\":[\"a\",\"b\"],\"ratio\":[1,2],\"alignment\":[1,2],\"v_over_eps\":[1,2],\"eps_felt\":[1,2]",
        "{\"k\":\"updates\",\"step\":21",
        "{\"k\":\"updates\",\"tensors\":[\"embed\"]",
        "{\"k\":\"updates\",\"step\":21,\"tensors\":\"embed\",\"ratio\":[1]",
        "{\"k\":\"updates\",\"step\":21,\"tensors\":[],\"ratio\":[],\"alignment\":[],\"v_over_eps\":[],\"eps_felt\":[]",
        "{\"k\":\"updates\",\"step\":21,\"tensors\":[7],\"ratio\":[1],\"alignment\":[1],\"v_over_eps\":[1],\"eps_felt\":[1]",
    };
    trainer_config c = config(5);
    run_record r;
    ok(fx_run(dir, &c, 20, RUN_PARTIAL, &e));
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char line[512];
        strcpy(line, odd[i]);
        const size_t n = jline_seal(line, strlen(line));
        FILE *f = fopen(journal, "a");
        cr_assert(f && fwrite(line, 1, n, f) == n && !fclose(f));
    }
    ok(run_read_journal(&r, journal, &e));
    cr_expect_eq(r.torn_bytes, 0);
    cr_assert_eq(r.updates.n, 4);
    for (size_t i = 0; i < 4; i++) expect_step(&r.updates, i, 5 * (int64_t)(i + 1), 0);
    run_free(&r);
}

/* A file without our checksum, whose columns are not of one length. */
Test(updates_store, columns_that_do_not_fit_together_are_refused)
{
    trainer_config c = config(5);
    run_record r, back;
    void *bytes;
    size_t n;
    ok(fx_run(dir, &c, 20, RUN_DONE, &e));
    ok(run_read_journal(&r, journal, &e));
    hid_t file = h5_create_image();
    attrs root = {0};
    ok(attrs_set_text(&root, "schema", "muscale.run/1", &e));
    ok(h5_write_attrs(file, "/", &root, h5, &e));
    ok(h5_make_group(file, "/updates", h5, &e));
    ok(run_updates_write_h5(file, &(run_updates){0}, h5, &e));
    ok(h5_write_numbers(file, "/updates/step", r.updates.step, 4, true, NULL, h5, &e));
    ok(h5_write_numbers(file, "/updates/tokens", r.updates.tokens, 4, true, NULL, h5, &e));
    ok(h5_write_texts(file, "/updates/tensor", (const char *const[]){"embed", "head"}, 2, h5, &e));
    ok(h5_write_grid(file, "/updates/ratio", r.updates.of[0], 3, 2, NULL, h5, &e));
    ok(h5_take_image(file, &bytes, &n, h5, &e));
    H5Fclose(file);
    fx_write(h5, bytes, n);
    memset(&back, 0, sizeof back);
    h5_file f;
    ok(h5_open(&f, h5, "muscale.run/1", &e));
    memset(&e, 0, sizeof e);
    cr_expect_eq(run_updates_read_h5(&back.updates, &f, &e), ST_INPUT);
    cr_expect_not_null(strstr(e.msg, "/updates/ratio has 3 rows of 2, there are 4 steps and 2 tensors"), "%s", e.msg);
    h5_close(&f);
    run_updates_free(&back.updates);
    run_free(&r);
    attrs_free(&root);
    free(bytes);
}

/* The worst tensor of the worst step; the bound is 1 %. */
Test(updates_store, an_eps_that_is_felt_is_said)
{
    double v_over_eps[] = {5000, 101, NAN, 250, 300, 4000}, step[] = {10, 20}, tokens[] = {1, 2}, rest[6] = {0};
    char names[] = "embed\0xxhead\0xxxgain\0xx", text[512] = "untouched";
    run_record r = {.updates = {.n = 2, .n_tensors = 3, .tensors = names, .width = 8, .step = step, .tokens = tokens,
                                .of = {rest, rest, v_over_eps, rest}}};
    ok(run_updates_summary(&r.group[RUN_SUMMARY], &r.updates, &e));
    cr_expect_float_eq(attrs_f64(&r.group[RUN_SUMMARY], "eps_share"), 1 / 101.0, 1e-15);
    cr_expect(!eps_share_warning(text, sizeof text, &r));
    cr_expect_str_eq(text, "untouched");
    v_over_eps[3] = 98;
    ok(run_updates_summary(&r.group[RUN_SUMMARY], &r.updates, &e));
    cr_expect(eps_share_warning(text, sizeof text, &r));
    cr_expect_not_null(strstr(text, "eps is 1 % of sqrt(v) in embed at step 20"), "%s", text);
    for (int g = 0; g < RUN_N_GROUPS; g++) attrs_free(&r.group[g]);
}

Test(updates_store, a_campaign_counts_them)
{
    campaign_counts n;
    for (int i = 0; i < 3; i++) {
        char sub[IO_PATH_MAX];
        trainer_config c;
        fx_config(&c, (uint64_t)i);
        c.log_updates_every = i == 2 ? 0 : i == 1 ? 1 : 1200; /* v_over_eps is 1000 step / tensor's number: 15 and less at step 1.. */
        snprintf(sub, sizeof sub, "%.900s/runs/%d", dir, i);
        ok(fx_run(sub, &c, i == 0 ? 1200 : 10, RUN_DONE, &e));
    }
    ok(campaign_collect(&n, dir, &e));
    cr_expect_eq(n.n_runs, 3);
    cr_expect_eq(n.n_eps, 1);
    cr_expect_not_null(strstr(n.eps_note, "at step 1,"), "%s", n.eps_note);
}
