/* Plans: identity, merging, banks, cost, and every cell that cannot be built named at once. */
#include "fixture.h"
#include "sweeps/campaign.h"
#include "trainer/train.h"

static sweep_plan_opts opts(int workers, size_t max_bank)
{
    sweep_plan_opts o = sweep_plan_opts_default();
    o.workers = workers;
    o.max_bank = max_bank;
    return o;
}

static void make(sweep_spec *s, sweep_plan *p, const fixture *f, const char *text, int workers, size_t max_bank)
{
    err e = {0};
    sweep_plan_opts o = opts(workers, max_bank);
    cr_assert_eq(fixture_spec(s, f, text, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(sweep_plan_make(p, s, &o, &e), ST_OK, "%s", e.msg);
}

Test(plan, equal_cells_are_one_run)
{
    fixture f;
    sweep_spec s;
    sweep_plan p;
    fixture_make(&f, 4000, 16);
    make(&s, &p, &f, FIXTURE_BASE "grid: {lr: [1e-3, 0.001, 2e-3], seed: [0, 1]}\n", 1, 16);
    cr_expect_eq(p.n_cells, 6);
    cr_expect_eq(p.n_runs, 4);
    cr_expect_eq(p.n_merged, 2);
    for (size_t i = 0; i < p.n_runs; i++) {
        char id[SWEEP_ID_SIZE];
        config_id(id, &p.runs[i].config);
        cr_expect_str_eq(id, p.runs[i].id);
        for (size_t k = 0; k < i; k++) cr_expect_str_neq(id, p.runs[k].id);
        cr_expect_eq(p.runs[i].steps, 20);
    }
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    fixture_remove(&f);
}

Test(plan, every_run_sits_in_one_bank_of_its_kind)
{
    fixture f;
    sweep_spec s;
    sweep_plan p;
    fixture_make(&f, 4000, 16);
    make(&s, &p, &f, FIXTURE_BASE "grid: {d_model: [16, 32], lr: [1e-3, 2e-3, 4e-3], seed: [0, 1, 2]}\n", 2, 4);
    cr_expect_eq(p.n_runs, 18);
    cr_expect_eq(p.n_classes, 2);
    int seen[18] = {0};
    size_t sum = 0;
    for (size_t k = 0; k < p.n_banks; k++) {
        const sweep_bank *b = &p.banks[k];
        cr_expect(b->n >= 1 && b->n <= 4);
        cr_expect(k == 0 || b->flops <= p.banks[k - 1].flops, "longest first");
        for (size_t i = 0; i < b->n; i++) {
            size_t r = p.order[b->first + i];
            seen[r]++;
            sum++;
            cr_expect_eq(p.runs[r].bank, k);
            cr_expect(train_same_bank(&p.runs[r].config, &p.runs[p.order[b->first]].config));
        }
    }
    cr_expect_eq(sum, 18);
    for (int i = 0; i < 18; i++) cr_expect_eq(seen[i], 1, "run %d sits in %d banks", i, seen[i]);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    fixture_remove(&f);
}

Test(plan, banks_are_even)
{
    fixture f;
    sweep_spec s;
    sweep_plan p;
    fixture_make(&f, 4000, 16);
    /* 18 runs of at most 16: on two workers 10 + 8, on one 9 + 9 */
    make(&s, &p, &f, FIXTURE_BASE "grid:\n  seed: range(0, 18, 1)\n", 2, 16);
    cr_expect_eq(p.n_banks, 2);
    cr_expect_eq(p.banks[0].n, 10);
    cr_expect_eq(p.banks[1].n, 8);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    make(&s, &p, &f, FIXTURE_BASE "grid:\n  seed: range(0, 18, 1)\n", 1, 16);
    cr_expect_eq(p.banks[0].n, 9);
    sweep_plan_free(&p);
    /* a memory limit below one run still plans banks of one */
    err e = {0};
    sweep_plan_opts o = opts(1, 16);
    o.memory_limit = 1;
    cr_assert_eq(sweep_plan_make(&p, &s, &o, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(p.n_banks, 18);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    fixture_remove(&f);
}

Test(plan, like_lengths_share_a_bank)
{
    fixture f;
    sweep_spec s;
    sweep_plan p;
    fixture_make(&f, 4000, 16);
    make(&s, &p, &f, FIXTURE_BASE "sweeps:\n- grid: {tokens: [640, 1280, 2560], seed: [0, 1]}\n", 1, 2);
    cr_expect_eq(p.n_banks, 3);
    for (size_t k = 0; k < p.n_banks; k++)
        cr_expect_eq(p.runs[p.order[p.banks[k].first]].config.tokens,
                     p.runs[p.order[p.banks[k].first + 1]].config.tokens);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    fixture_remove(&f);
}

Test(plan, cost_is_the_sum_of_its_runs)
{
    fixture f;
    sweep_spec s;
    sweep_plan p;
    fixture_make(&f, 4000, 16);
    make(&s, &p, &f, FIXTURE_BASE "grid: {d_model: [16, 32], seed: [0, 1]}\n", 1, 16);
    shape narrow = p.runs[0].config.shape, wide = p.runs[2].config.shape;
    double flops = 2 * 1280 * (shape_flops_per_token(&narrow, FLOPS_EXACT) + shape_flops_per_token(&wide, FLOPS_EXACT));
    cr_expect_eq(p.flops, flops);
    cr_expect_eq(p.tokens, 4 * 1280);
    cr_expect_eq(p.seconds, 0);
    sweep_plan_rate(&p, 1e6);
    cr_expect_float_eq(p.seconds, flops / 1e6, 1e-9 * flops / 1e6);
    json_t *j = sweep_plan_json(&p, &s, true);
    cr_assert(j);
    cr_expect_str_eq(json_string_value(json_object_get(j, "schema")), "muscale.plan/1");
    cr_expect_eq(json_array_size(json_object_get(j, "runs")), 4);
    cr_expect_eq(json_array_size(json_object_get(j, "banks")), p.n_banks);
    cr_expect_eq(json_number_value(json_object_get(j, "flops")), flops);
    json_decref(j);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    fixture_remove(&f);
}

Test(plan, all_bad_cells_are_listed)
{
    fixture f;
    sweep_spec s;
    sweep_plan p;
    err e = {0};
    sweep_plan_opts o = opts(1, 16);
    fixture_make(&f, 4000, 16);
    const char *text = FIXTURE_BASE
        "sweeps:\n- name: w\n  grid:\n    d_model: [16, 20, 32, 36]\n    lr: [1e-3, 2e-3]\n";
    cr_assert_eq(fixture_spec(&s, &f, text, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(sweep_plan_make(&p, &s, &o, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "spec.yaml: 4 of 8 runs cannot be built"), "%s", e.msg);
    cr_expect_eq(p.n_bad, 4);
    cr_expect(strstr(p.bad[0], "spec.yaml:5:19: w: d_model=20, lr=1e-3: d_model: 20 is not a multiple of head_dim 8"),
              "%s", p.bad[0]);
    cr_expect(strstr(p.bad[3], "spec.yaml:5:27: w: d_model=36, lr=2e-3"), "%s", p.bad[3]);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    /* however many there are */
    cr_assert_eq(
        fixture_spec(&s, &f, FIXTURE_BASE "sweeps:\n- base: {d_model: 20}\n  grid:\n    seed: range(0, 50, 1)\n", &e),
        ST_OK);
    cr_expect_eq(sweep_plan_make(&p, &s, &o, &e), ST_INPUT);
    cr_expect_eq(p.n_bad, 50);
    cr_expect(strstr(p.bad[49], "spec.yaml:3:19:"), "%s", p.bad[49]);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    fixture_remove(&f);
}

Test(plan, excluded_cells_are_counted_by_rule)
{
    fixture f;
    sweep_spec s;
    sweep_plan p;
    err e = {0};
    sweep_plan_opts o = opts(1, 16);
    fixture_make(&f, 4000, 16);
    make(&s, &p, &f, FIXTURE_BASE "grid: {d_model: [16, 20, 32], lr: [1e-3, 1e-3, 2e-3]}\n"
         "exclude: [d_model % head_dim != 0, {lr: 2e-3, d_model: 32}, {lr: 9}, {d_model: 20}]\n", 1, 16);
    cr_expect_eq(p.n_cells, 9);
    cr_expect_eq(p.n_runs, 3);
    cr_expect_eq(p.n_merged, 2);
    cr_expect_eq(p.n_excluded, 4);
    cr_expect_eq(p.rule_cells[0], 3, "the first rule that holds");
    cr_expect_eq(p.rule_cells[1], 1);
    cr_expect_eq(p.rule_cells[2], 0);
    cr_expect_eq(p.rule_cells[3], 0);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    cr_assert_eq(fixture_spec(&s, &f, FIXTURE_BASE "seeds: [0, 1]\nexclude: d_model > 1\n", &e), ST_OK);
    cr_expect_eq(sweep_plan_make(&p, &s, &o, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "exclude leaves no run of 2"), "%s", e.msg);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    fixture_remove(&f);
}

/* Whatever the formula is, the run is the one that a person would have written. */
Test(plan, a_derived_value_and_a_written_one_are_one_run)
{
    fixture f;
    sweep_spec s;
    sweep_plan p;
    fixture_make(&f, 4000, 16);
    make(&s, &p, &f, FIXTURE_BASE "sweeps:\n- derived: {tokens: 80*d_model, d_ff: 4*d_model, lr: 2^-9}\n"
         "- {name: b, base: {tokens: 1280, lr: 0.001953125}}\n", 1, 16);
    cr_expect_eq(p.n_cells, 2);
    cr_expect_eq(p.n_runs, 1);
    cr_expect_eq(p.n_merged, 1);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    fixture_remove(&f);
}

/* The embedding counts, and its size is the data's. */
Test(plan, derived_values_know_the_data)
{
    fixture f;
    sweep_spec s;
    sweep_plan p;
    fixture_make(&f, 4000, 16);
    make(&s, &p, &f, "base: {data: '@', data_dtype: u8, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16,"
         " batch_tokens: 64, val_tokens: 128, base_width: 16}\nderived: {tokens: n_params_total}\n", 1, 16);
    cr_expect_eq(p.n_runs, 1);
    cr_expect_eq(p.runs[0].config.shape.vocab, 16);
    cr_expect_eq(p.runs[0].config.tokens, (12 * 16 * 16 + 2 * 16 * 16) / 64 * 64);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    fixture_remove(&f);
}

Test(plan, data_that_cannot_serve)
{
    fixture f;
    sweep_spec s;
    sweep_plan p;
    err e = {0};
    sweep_plan_opts o = opts(1, 16);
    fixture_make(&f, 4000, 16);
    const char *absent = "base:\n  data: /nowhere/tokens\n  d_model: 16\n  n_layer: 1\n  head_dim: 8\n  tokens: 1280\n"
                         "  base_width: 16\ngrid:\n  seed: range(0, 50, 1)\n";
    cr_assert_eq(fixture_spec(&s, &f, absent, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(sweep_plan_make(&p, &s, &o, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "spec.yaml:2:9: ") && strstr(e.msg, "/nowhere/tokens"), "one line, not fifty: %s", e.msg);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    /* ids >= vocab, sequences longer than the data */
    cr_assert_eq(fixture_spec(&s, &f, FIXTURE_BASE "sweeps:\n- {base: {vocab: 8}}\n", &e), ST_OK);
    cr_expect_eq(sweep_plan_make(&p, &s, &o, &e), ST_INPUT);
    cr_expect(strstr(p.bad[0], "vocab"), "%s", p.bad[0]);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    cr_assert_eq(
        fixture_spec(&s, &f,
                     FIXTURE_BASE
                     "sweeps:\n- {base: {seq_len: 8192, batch_tokens: 16384, tokens: 16384, val_tokens: 16384}}\n",
                     &e),
        ST_OK);
    cr_expect_eq(sweep_plan_make(&p, &s, &o, &e), ST_INPUT);
    cr_expect_eq(p.n_bad, 1);
    cr_expect(strstr(p.bad[0], "seq_len"), "%s", p.bad[0]);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    fixture_remove(&f);
}

/* ---- the campaign folder ---- */

static status open_with(const fixture *f, const char *folder, const char *text, bool amend, char note[512], err *e)
{
    sweep_spec s;
    sweep_plan p;
    sweep_plan_opts o = opts(1, 16);
    cr_assert_eq(fixture_spec(&s, f, text, e), ST_OK, "%s", e->msg);
    cr_assert_eq(sweep_plan_make(&p, &s, &o, e), ST_OK, "%s", e->msg);
    status st = campaign_open(folder, &s, &p, amend, note, e);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    return st;
}

Test(campaign, another_spec_is_refused_with_the_difference)
{
    fixture f;
    err e = {0};
    char folder[IO_PATH_MAX], path[IO_PATH_MAX], note[512], *text = NULL;
    fixture_make(&f, 4000, 16);
    cr_assert_eq(io_join(folder, f.dir, "camp", &e), ST_OK);
    cr_assert_eq(open_with(&f, folder, FIXTURE_BASE "grid: {lr: [1e-3, 2e-3]}\n", false, note, &e), ST_OK, "%s", e.msg);
    cr_expect_str_eq(note, "");
    /* again, and with another comment: the same sweep */
    cr_expect_eq(open_with(&f, folder, FIXTURE_BASE "grid: {lr: [1e-3, 2e-3]}\n", false, note, &e), ST_OK, "%s", e.msg);
    cr_expect_str_eq(note, "");
    cr_expect_eq(open_with(&f, folder, FIXTURE_BASE "grid: {lr: [1e-3, 0.002]} # same\n", false, note, &e), ST_OK, "%s",
                 e.msg);
    cr_expect(strstr(note, "its runs did not"), "%s", note);
    /* other runs */
    const char *other = FIXTURE_BASE "grid: {lr: [1e-3, 4e-3, 8e-3]}\n";
    cr_expect_eq(open_with(&f, folder, other, false, note, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "line 2 is") && strstr(e.msg, "2 runs new, 1 dropped") && strstr(e.msg, "--amend"), "%s",
              e.msg);
    /* which of the two new runs is named first follows their ids, so the data's hash */
    bool one = strstr(e.msg, "first new: lr=4e-3") || strstr(e.msg, "first new: lr=8e-3");
    cr_expect(strstr(e.msg, "first dropped: lr=0.002") && one, "%s", e.msg);
    cr_expect_eq(open_with(&f, folder, other, true, note, &e), ST_OK, "%s", e.msg);
    cr_expect(strstr(note, "amended: 2 runs new, 1 dropped"), "%s", note);
    campaign_plan plan;
    cr_assert_eq(campaign_plan_read(&plan, folder, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(plan.n_runs, 3);
    cr_expect_str_eq(plan.runs[2].name, "lr=8e-3");
    campaign_plan_free(&plan);
    cr_assert_eq(io_join(path, folder, "spec.yaml", &e), ST_OK);
    cr_assert_eq(io_read_file(&text, NULL, path, 1 << 20, &e), ST_OK);
    cr_expect(strstr(text, "grid: {lr: [1e-3, 4e-3, 8e-3]}\n"), "exact copy");
    free(text);
    fixture_remove(&f);
}

Test(campaign, changed_data_is_another_sweep)
{
    fixture f;
    err e = {0};
    char folder[IO_PATH_MAX], note[512];
    fixture_make(&f, 4000, 16);
    cr_assert_eq(io_join(folder, f.dir, "camp", &e), ST_OK);
    cr_assert_eq(open_with(&f, folder, FIXTURE_BASE, false, note, &e), ST_OK, "%s", e.msg);
    static const unsigned char ids[3000] = {1, 2, 3};
    cr_assert_eq(io_publish(f.data, ids, sizeof ids, &e), ST_OK);
    cr_expect_eq(open_with(&f, folder, FIXTURE_BASE, false, note, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "data_sha256"), "%s", e.msg);
    fixture_remove(&f);
}

Test(campaign, foreign_and_damaged_folders)
{
    fixture f;
    err e = {0};
    char folder[IO_PATH_MAX], path[IO_PATH_MAX], note[512];
    campaign_plan plan;
    fixture_make(&f, 4000, 16);
    cr_expect_eq(open_with(&f, f.dir, FIXTURE_BASE, false, note, &e), ST_INPUT, "a folder with other files was taken");
    cr_expect(strstr(e.msg, "tokens.u8") && strstr(e.msg, "not a campaign"), "%s", e.msg);
    cr_expect_eq(campaign_plan_read(&plan, f.dir, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "no campaign"), "%s", e.msg);
    campaign_plan_free(&plan);
    cr_assert_eq(io_join(folder, f.dir, "camp", &e), ST_OK);
    cr_assert_eq(open_with(&f, folder, FIXTURE_BASE, false, note, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(io_join(path, folder, "plan.json", &e), ST_OK);
    static const char *const bad[] = {
        "", "{", "[]", "{\"schema\": \"muscale.plan/2\", \"runs\": []}",
        "{\"schema\": \"muscale.plan/1\", \"runs\": [{\"id\": \"../../etc\", \"name\": \"x\"}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(io_publish(path, bad[i], strlen(bad[i]), &e), ST_OK);
        cr_expect_eq(campaign_plan_read(&plan, folder, &e), ST_INPUT, "taken: %s", bad[i]);
        cr_expect(strstr(e.msg, "plan.json"), "%s", e.msg);
        campaign_plan_free(&plan);
    }
    cr_expect_eq(open_with(&f, folder, FIXTURE_BASE, false, note, &e), ST_INPUT);
    cr_expect_eq(unlink(path), 0);
    cr_expect_eq(open_with(&f, folder, FIXTURE_BASE, false, note, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "--amend"), "%s", e.msg);
    cr_expect_eq(open_with(&f, folder, FIXTURE_BASE, true, note, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(campaign_plan_read(&plan, folder, &e), ST_OK, "%s", e.msg);
    campaign_plan_free(&plan);
    fixture_remove(&f);
}
