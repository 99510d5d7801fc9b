/* Specs: what they mean, and that what is wrong in them is named with its place. */
#include "fixture.h"

static size_t cells(const char *text)
{
    sweep_spec s;
    err e = {0};
    status st = sweep_spec_parse(&s, text, strlen(text), "spec.yaml", &e);
    cr_assert_eq(st, ST_OK, "%s\n%s", e.msg, text);
    size_t n = s.n_cells;
    sweep_spec_free(&s);
    return n;
}

static void refused(const char *text, const char *place, const char *word)
{
    sweep_spec s;
    err e = {0};
    status st = sweep_spec_parse(&s, text, strlen(text), "spec.yaml", &e);
    cr_expect_eq(st, ST_INPUT, "taken: %s", text);
    cr_expect_eq(strncmp(e.msg, place, strlen(place)), 0, "place %s is not in: %s", place, e.msg);
    cr_expect(strstr(e.msg, word), "'%s' is not in: %s", word, e.msg);
    sweep_spec_free(&s);
}

static void expect_lr(const char *text, size_t block, const double *lr, size_t n)
{
    sweep_spec s;
    err e = {0};
    cr_assert_eq(sweep_spec_parse(&s, text, strlen(text), "spec.yaml", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(s.blocks[block].n_cells, n, "%zu cells in: %s", s.blocks[block].n_cells, text);
    for (size_t i = 0; i < n; i++) {
        trainer_config c;
        cr_assert_eq(sweep_spec_base(&s, block, &c, &e), ST_OK, "%s", e.msg);
        cr_assert_eq(sweep_spec_cell(&s, block, i, &c, &e), ST_OK, "%s", e.msg);
        cr_expect_eq(c.base.lr, lr[i], "cell %zu: %.17g, not %.17g, in: %s", i, c.base.lr, lr[i], text);
    }
    sweep_spec_free(&s);
}

Test(spec, a_product_counts_its_cells)
{
    cr_expect_eq(cells("base: {d_model: 64}"), 1);
    cr_expect_eq(cells("grid: {lr: [1e-3, 2e-3], d_model: [32, 64, 128]}"), 6);
    cr_expect_eq(cells("grid: {lr: [1e-3, 2e-3]}\nzip: [{d_model: [64, 128, 256], n_layer: [2, 4, 4]}]\nseeds: [0, 1]"),
                 12);
    cr_expect_eq(cells("zip: {d_model: [64, 128], n_layer: [2, 4]}"), 2);
    cr_expect_eq(
        cells("base: {d_model: 64}\nseeds: [0, 1]\nsweeps:\n- {name: a, grid: {lr: [1e-3]}}\n- {name: b, seeds: [7]}"),
        3);
}

Test(spec, the_last_key_moves_fastest)
{
    sweep_spec s;
    trainer_config c;
    err e = {0};
    const char *text = "grid:\n  d_model: [32, 64]\n  lr: [1e-3, 2e-3, 4e-3]\n";
    static const int64_t widths[] = {32, 32, 32, 64, 64, 64};
    static const double lrs[] = {1e-3, 2e-3, 4e-3, 1e-3, 2e-3, 4e-3};
    cr_assert_eq(sweep_spec_parse(&s, text, strlen(text), "spec.yaml", &e), ST_OK, "%s", e.msg);
    for (size_t i = 0; i < 6; i++) {
        cr_assert_eq(sweep_spec_base(&s, 0, &c, &e), ST_OK);
        cr_assert_eq(sweep_spec_cell(&s, 0, i, &c, &e), ST_OK);
        cr_expect_eq(c.shape.d_model, widths[i]);
        cr_expect_eq(c.base.lr, lrs[i]);
    }
    char name[64];
    cr_expect_str_eq(sweep_spec_describe(&s, 0, 4, name, sizeof name), "d_model=64, lr=2e-3");
    cr_expect_str_eq(sweep_spec_describe(&s, 0, 4, name, 6), "d_mod");
    sweep_spec_free(&s);
}

Test(spec, a_zip_group_moves_together)
{
    sweep_spec s;
    trainer_config c;
    err e = {0};
    const char *text = "zip: [{d_model: [64, 128], n_layer: [2, 4]}]\nseeds: [0, 1]\n";
    cr_assert_eq(sweep_spec_parse(&s, text, strlen(text), "spec.yaml", &e), ST_OK, "%s", e.msg);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(sweep_spec_base(&s, 0, &c, &e), ST_OK);
        cr_assert_eq(sweep_spec_cell(&s, 0, i, &c, &e), ST_OK);
        cr_expect_eq(c.shape.d_model, i < 2 ? 64 : 128);
        cr_expect_eq(c.shape.n_layer, i < 2 ? 2 : 4);
        cr_expect_eq(c.seed, i % 2);
    }
    sweep_spec_free(&s);
}

Test(spec, range_and_logspace)
{
    static const double powers[] = {0x1p-9, 0x1p-8, 0x1p-7, 0x1p-6}, decades[] = {1e-4, 1e-3, 1e-2},
                        steps[] = {0.1, 0.2, 0.3};
    expect_lr("grid:\n  lr: logspace(0.001953125, 0.015625, 4)\n", 0, powers, 4);
    expect_lr("grid: {lr: \"logspace(1e-4,1e-2,3)\"}", 0, decades, 3);
    expect_lr("grid:\n  lr: range(0.1, 0.4, 0.1)\n", 0, steps, 3);
    expect_lr("grid:\n  lr: logspace(1e-4, 1e-2, 1)\n", 0, decades, 1);
    cr_expect_eq(cells("grid:\n  tokens: logspace(1e6, 3e6, 4)\n"), 4); /* rounded to whole tokens */
    cr_expect_eq(cells("grid:\n  d_model: range(32, 129, 32)\n"), 4);
    refused("grid:\n  lr: logspace(-4, -2, 3)\n", "spec.yaml:2:7:", "not exponents");
    refused("grid:\n  lr: logspace(1e-4, 1e-2)\n", "spec.yaml:2:7:", "logspace(a, b, n)");
    refused("grid:\n  lr: logspace(1e-4, 1e-2, 0)\n", "spec.yaml:2:7:", "no values");
    refused("grid:\n  lr: range(1, 1, 1)\n", "spec.yaml:2:7:", "no values");
    refused("grid:\n  lr: range(1, 2, 0)\n", "spec.yaml:2:7:", "no values");
    refused("grid:\n  lr: range(1, 2, 1e-9)\n", "spec.yaml:2:7:", "more than");
    refused("grid:\n  lr: range(1, 2, x)\n", "spec.yaml:2:7:", "not a list");
    refused("grid:\n  lr: range(1, 2, 1) and more\n", "spec.yaml:2:7:", "not a list");
}

Test(spec, blocks_share_and_replace)
{
    static const char *const text = "base: {lr: 1e-3, parametrisation: mup, base_width: 64}\n"
                                    "grid: {d_model: [64, 128]}\n"
                                    "sweeps:\n"
                                    "  - name: mup\n"
                                    "    grid: {lr: [1e-3, 2e-3]}\n" /* replaces the shared single value */
                                    "  - name: sp\n"
                                    "    base: {parametrisation: sp, d_model: 32}\n"; /* replaces the shared axis */
    static const double mup[] = {1e-3, 2e-3, 1e-3, 2e-3}, sp[] = {1e-3};
    expect_lr(text, 0, mup, 4);
    expect_lr(text, 1, sp, 1);
    expect_lr("base: {lr: 5e-3}\ngrid: {lr: [1e-3]}\n", 0, sp, 1); /* a grid replaces base */
    expect_lr("grid: {lr: [1e-3]}\nbase: {lr: 5e-3}\n", 0, sp, 1);
    expect_lr("grid: {lr: [1e-3]}\nbase: {lr: 5e-3}\nsweeps: [{name: a}]\n", 0, sp, 1);
    sweep_spec s;
    trainer_config c;
    err e = {0};
    cr_assert_eq(sweep_spec_parse(&s, text, strlen(text), "spec.yaml", &e), ST_OK);
    cr_assert_eq(sweep_spec_base(&s, 1, &c, &e), ST_OK);
    cr_expect_eq(c.shape.d_model, 32);
    cr_expect_str_eq(c.parametrisation, "sp");
    sweep_spec_free(&s);
    refused("zip: [{d_model: [64, 128], n_layer: [2, 4]}]\nsweeps:\n- base: {n_layer: 3}\n",
            "spec.yaml:3:10:", "shared group on line 1");
    refused("base: {lr: 1e-3}\nsweeps:\n- {name: a}\n- {name: a}\n", "spec.yaml:4:10:", "two sweeps");
}

Test(spec, what_is_wrong_has_a_place)
{
    refused("", "spec.yaml:1:1:", "no run is described");
    refused("base: {}", "spec.yaml:1:1:", "no run is described");
    refused("- a\n", "spec.yaml:1:1:", "a map is needed");
    refused("gird: {lr: [1e-3]}\n", "spec.yaml:1:1:", "did you mean 'grid'");
    refused("lr: 1e-3\n", "spec.yaml:1:1:", "belongs under base");
    refused("base: {}\nbase: {}\n", "spec.yaml:2:1:", "duplicate key 'base'");
    refused("grid: {}\n", "spec.yaml:1:7:", "grid: empty");
    refused("grid: {lr: []}\n", "spec.yaml:1:12:", "empty list");
    refused("grid: {lr: 1e-3}\n", "spec.yaml:1:12:", "belongs under base");
    refused("grid: {lr: [[1e-3]]}\n", "spec.yaml:1:13:", "a number or a word");
    refused("grid: {lrr: [1e-3]}\n", "spec.yaml:1:8:", "did you mean 'lr'");
    refused("base:\n  d_modl: 64\n", "spec.yaml:2:3:", "did you mean 'd_model'");
    refused("base: {lr: 1e-5x}\n", "spec.yaml:1:12:", "1e-5x");
    refused("grid: {lr: [1e-3, nan]}\n", "spec.yaml:1:19:", "nan");
    refused("grid: {lr: [1e999]}\n", "spec.yaml:1:13:", "1e999");
    refused("base: {tokens: 2_000}\n", "spec.yaml:1:16:", "2_000");
    refused("base: {d_model: 64.5}\n", "spec.yaml:1:17:", "64.5");
    refused("base: {d_model: &a 64}\n", "spec.yaml:1:17:", "anchor");
    refused("zip: {lr: [1e-3]}\ngrid: {lr: [1e-3]}\n", "spec.yaml:2:8:", "set twice (first on line 1)");
    refused("base: {lr: 1e-3}\nparameters: {lr: {value: 1e-3}}\n", "spec.yaml:2:14:", "set twice (first on line 1)");
    refused("grid: {seed: [1]}\nseeds: [2]\n", "spec.yaml:2:8:", "set twice");
    refused("zip: [{d_model: [64, 128], n_layer: [2]}]\n", "spec.yaml:1:37:", "equally long");
    refused("zip: []\n", "spec.yaml:1:6:", "a list of groups");
    refused("zip: [{}]\n", "spec.yaml:1:7:", "a map of lists");
    refused("grid: {threads: [1, 2]}\n", "spec.yaml:1:8:", "does not change");
    refused("sweeps: []\n", "spec.yaml:1:9:", "a list of blocks");
    refused("sweeps:\n- sweeps: []\n", "spec.yaml:2:3:", "unknown key 'sweeps'");
    refused("grid:\n  lr: range(0, 90000, 1)\n  eps: range(0, 90000, 1)\n", "spec.yaml:", "");
}

Test(spec, too_many_cells)
{
    refused("grid:\n  data_seed: range(0, 2000, 1)\n  seed: range(0, 2000, 1)\n",
            "spec.yaml:1:1:", "more than 1000000 runs");
}

Test(spec, the_file_is_kept_as_it_is)
{
    sweep_spec s;
    err e = {0};
    const char *text = "# why\ngrid: {lr: [1e-3]}   \n\n";
    cr_assert_eq(sweep_spec_parse(&s, text, strlen(text), "spec.yaml", &e), ST_OK);
    cr_expect_eq(s.text_size, strlen(text));
    cr_expect_str_eq(s.text, text);
    sweep_spec_free(&s);
    cr_expect_eq(sweep_spec_load(&s, "/nowhere/spec.yaml", NULL, 0, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "/nowhere/spec.yaml"));
    sweep_spec_free(&s);
}
