/* What acts on a cell after its factors: derived values, flops, isoflop, exclude; and the command line's overrides. */
#include "spec_help.h"

#include <math.h>

#define SMALL "base: {vocab: 16, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16, batch_tokens: 64, base_width: 16"

static trainer_config cell(const char *text, size_t i)
{
    sweep_spec s;
    trainer_config c;
    size_t out;
    err e = {0};
    spec_taken(&s, text);
    cr_assert_eq(spec_cell(&c, &s, i, &out, &e), ST_OK, "%s\n%s", e.msg, text);
    cr_expect_eq(out, SIZE_MAX);
    sweep_spec_free(&s);
    return c;
}

/* The cell cannot be built; the message names the key. */
static void unbuilt(const char *text, const char *word)
{
    sweep_spec s;
    trainer_config c;
    size_t out;
    err e = {0};
    spec_taken(&s, text);
    cr_expect_eq(spec_cell(&c, &s, 0, &out, &e), ST_INPUT, "built: %s", text);
    cr_expect(strstr(e.msg, word), "'%s' is not in: %s", word, e.msg);
    sweep_spec_free(&s);
}

Test(spec_cells, derived_values)
{
    trainer_config c = cell(SMALL "}\ngrid: {d_model: [16, 24]}\nderived: {d_ff: 3*d_model, base_depth: n_layer}\n", 1);
    cr_expect_eq(c.shape.d_ff, 72);
    cr_expect_eq(c.base_depth, 1);
    /* 20 tokens per parameter, whatever the shape's open keys turn out to be: 4 d^2 attention + 8 d^2 MLP */
    c = cell(SMALL "}\nderived: {tokens: 20*n_params_non_embed}\n", 0);
    cr_expect_eq(c.tokens, 20 * 12 * 16 * 16);
    c = cell(SMALL "}\nderived: {tokens: n_params_total, val_tokens: n_params_embed, clip_norm: n_head}\n", 0);
    cr_expect_eq(c.tokens, 12 * 16 * 16 + 2 * 16 * 16);
    cr_expect_eq(c.val_tokens, 2 * 16 * 16);
    cr_expect_eq(c.clip_norm, 2);
    /* in whatever order they are written */
    c = cell(SMALL "}\nderived: {warmup_tokens: 0.1*tokens, tokens: 20*n_params_non_embed, d_ff: 2*d_model}\n", 0);
    cr_expect_eq(c.tokens, 20 * 8 * 16 * 16);
    cr_expect_eq(c.warmup_tokens, 2 * 8 * 16 * 16);
    c = cell(SMALL "}\nderived: {warmup_tokens: 0.1*tokens, tokens: 12347}\n", 0);
    cr_expect_eq(c.warmup_tokens, 1235, "tokens may be rounded: %lld", (long long)c.warmup_tokens);
    /* 0 stands for what the shape says */
    c = cell(SMALL "}\nderived: {tokens: 1000*d_ff}\n", 0);
    cr_expect_eq(c.tokens, 64000);
    c = cell(SMALL "}\nsweeps: [{derived: {tokens: 1000*d_ff, d_model: 16*2}}]\n", 0);
    cr_expect_eq(c.tokens, 128000, "d_ff follows d_model, which is derived too: %lld", (long long)c.tokens);
    c = cell(SMALL "}\nderived: {lr: 1/d_model^0.5}\n", 0);
    cr_expect_eq(c.base.lr, 0.25);
    c = cell(SMALL "}\nderived: {lr: 1/3}\n", 0);
    cr_expect_eq(c.base.lr, 0.333333333333, "12 digits, like every number that is made");
    unbuilt(SMALL "}\nderived: {d_ff: 8*d_model/3}\n",
            "d_ff: 8*d_model/3 gives 42.66666667, not a whole number; write round");
    unbuilt(SMALL "}\nderived: {lr: 0*d_model}\n", "lr: 0 is outside (0,inf)");
    unbuilt(SMALL "}\nderived: {lr: 1/(d_model - 16)}\n", "lr: the formula gives no finite number");
    unbuilt("base: {vocab: 16, n_layer: 1, head_dim: 8}\ngrid: {d_model: [20]}\nderived: {tokens: n_params_total}\n",
            "d_model: 20 is not a multiple of head_dim 8");
    unbuilt("base: {d_model: 16, n_layer: 1, head_dim: 8}\nderived: {tokens: n_params_total}\n",
            "vocab: 0 takes the data's");
}

Test(spec_cells, derived_is_checked)
{
    spec_refused("derived: []\n", "spec.yaml:1:10:", "a map of formulas");
    spec_refused("derived:\n  d_ff: 4*d_modl\n", "spec.yaml:2:11:", "did you mean 'd_model'");
    spec_refused("derived:\n  d_ff: \"4*d_modl\"\n", "spec.yaml:2:12:", "did you mean 'd_model'");
    spec_refused("derived:\n  d_ff: 4*\n", "spec.yaml:2:11:", "too early");
    spec_refused("derived: {d_fff: 4}\n", "spec.yaml:1:11:", "did you mean 'd_ff'");
    spec_refused("derived: {schedule: 4}\n", "spec.yaml:1:11:", "takes a word");
    spec_refused("derived: {threads: 4}\n", "spec.yaml:1:11:", "does not change a run's result");
    spec_refused("derived: {d_ff: [4]}\n", "spec.yaml:1:17:", "a formula is needed");
    spec_refused("derived:\n  d_ff: schedule\n",
                 "spec.yaml:2:9:", "a rule about it is a map, as in {schedule: constant}");
    spec_refused("derived: {d_ff: d_model > 3}\n", "spec.yaml:1:17:", "a number is needed");
    spec_refused("base: {d_ff: 64}\nderived: {d_ff: 4*d_model}\n", "spec.yaml:2:11:", "set twice (first on line 1)");
    spec_refused("derived: {d_ff: 4*d_model}\ngrid: {d_ff: [64]}\n", "spec.yaml:1:11:", "set twice (first on line 2)");
    spec_refused("derived: {d_ff: 2*d_ff}\n", "spec.yaml:1:17:", "d_ff needs its own value");
    spec_refused("derived: {d_ff: n_params_total}\n", "spec.yaml:1:17:", "d_ff needs its own value");
    spec_refused("derived: {lr: eps, eps: lr}\n", "spec.yaml:1:15:", "lr needs eps, and so on in a circle");
    /* a block's word about a key replaces the shared formula, and the other way round */
    trainer_config c = cell(SMALL "}\nderived: {d_ff: 4*d_model}\nsweeps: [{base: {d_ff: 24}}]\n", 0);
    cr_expect_eq(c.shape.d_ff, 24);
    c = cell(SMALL ", d_ff: 24}\nsweeps: [{derived: {d_ff: 4*d_model}}]\n", 0);
    cr_expect_eq(c.shape.d_ff, 64);
    c = cell(SMALL "}\ngrid: {d_ff: [8, 16]}\nsweeps: [{derived: {d_ff: 4*d_model}}]\n", 0);
    cr_expect_eq(c.shape.d_ff, 64);
}

static double cost(const trainer_config *c)
{
    trainer_config full = *c;
    err e = {0};
    cr_assert_eq(config_shape(&full, NULL, &e), ST_OK, "%s", e.msg);
    return shape_flops_per_token(&full.shape, strcmp(c->flops_rule, "6N") ? FLOPS_EXACT : FLOPS_6N) * (double)c->tokens;
}

Test(spec_cells, flops_solve_tokens)
{
    static const char *const where[] = {SMALL ", flops: 1e9}\n",
                                        SMALL "}\ngrid: {flops: [1e9]}\n",
                                        SMALL "}\nderived: {flops: 1e9}\n",
                                        SMALL "}\nderived: {flops: 62500000*d_model}\n",
                                        SMALL ", tokens: 99}\ngrid: {flops: [1e9]}\n",
                                        SMALL ", flops_rule: 6N, flops: 1e9}\n",
                                        SMALL ", tokens: 99}\nsweeps: [{base: {flops: 1e9}}]\n",
                                        SMALL "}\nparameters: {flops: {value: 1e9}}\n"};
    for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
        trainer_config c = cell(where[i], 0);
        const double step = cost(&c) / (double)c.tokens * 64;
        cr_expect_eq(c.tokens % 64, 0);
        cr_expect(fabs(cost(&c) - 1e9) <= step / 2, "%s: %lld tokens cost %g", where[i], (long long)c.tokens, cost(&c));
    }
    trainer_config c = cell(SMALL ", flops: 1e9}\nsweeps: [{base: {tokens: 640}}]\n", 0);
    cr_expect_eq(c.tokens, 640, "a block's tokens replace shared flops");
    c = cell(SMALL ", flops: 1e9}\nderived: {warmup_tokens: tokens/4, d_ff: 32}\n", 0);
    cr_expect(llabs(4 * c.warmup_tokens - c.tokens) < 4);
    cr_expect(fabs(cost(&c) / 1e9 - 1) < 0.01);
    c = cell(SMALL "}\nsweeps: [{derived: {flops: 1e9, d_ff: 32, batch_tokens: 8*seq_len}}]\n", 0);
    cr_expect_eq(c.tokens % 128, 0, "after the batch and the shape");
    cr_expect(fabs(cost(&c) - 1e9) <= cost(&c) / (double)c.tokens * 64, "%g", cost(&c));
    unbuilt(SMALL ", flops: 1e3}\n", "flops: 1000 is less than one step of batch_tokens 64");
    unbuilt(SMALL "}\nderived: {flops: 0*lr}\n", "not a positive cost");
    unbuilt(SMALL ", flops: 1e30}\n", "more than 9e15 tokens");
    spec_refused("base: {flops: 1e9, tokens: 3}\n",
                 "spec.yaml:1:20:", "'tokens' and 'flops' (on line 1) say the same thing");
    spec_refused("grid: {flops: [1e9], tokens: [3]}\n", "spec.yaml:1:22:", "say the same thing");
    spec_refused("zip: {flops: [1e9], tokens: [3]}\n", "spec.yaml:1:21:", "say the same thing");
    spec_refused("grid: {tokens: [3]}\nderived: {flops: 1e9}\n", "spec.yaml:2:11:", "say the same thing");
    spec_refused("base: {flops: 0}\n", "spec.yaml:1:15:", "not a training cost");
    spec_refused("base: {flops: much}\n", "spec.yaml:1:15:", "not a training cost");
    spec_refused("flops: 1e9\n", "spec.yaml:1:1:", "belongs under base");
}

Test(spec_cells, isoflop)
{
    static const char *const texts[] = {
        SMALL "}\nisoflop: {budgets: [1e9, 4e9], sizes: {d_model: [16, 32, 64], n_layer: [1, 2, 2]}}\n",
        SMALL "}\nisoflop:\n  budgets: [1e9, 4e9]\n  sizes: [{d_model: 16, n_layer: 1}, {n_layer: 2, d_model: 32},"
              " {d_model: 64, n_layer: 2}]\n",
        SMALL "}\nisoflop:\n- {budgets: [1e9], sizes: {d_model: [16, 32, 64], n_layer: [1, 2, 2]}}\n"
              "- {budgets: [4e9], sizes: {n_layer: [1, 2, 2], d_model: [16, 32, 64]}}\n"};
    for (size_t k = 0; k < 3; k++) {
        cr_assert_eq(spec_cells(texts[k]), 6, "%s", texts[k]);
        for (size_t i = 0; i < 6; i++) {
            trainer_config c = cell(texts[k], i);
            const double budget = i < 3 ? 1e9 : 4e9, step = cost(&c) / (double)c.tokens * 64;
            cr_expect_eq(c.shape.d_model, 16 << i % 3);
            cr_expect_eq(c.shape.n_layer, i % 3 ? 2 : 1);
            cr_expect(fabs(cost(&c) - budget) <= step / 2, "%zu: %g", i, cost(&c));
        }
    }
    cr_expect_eq(
        spec_cells("isoflop:\n  budgets: logspace(1e9, 1e12, 4)\n  sizes: {d_model: [16, 32]}\nseeds: [0, 1]\n"), 16);
    spec_refused("isoflop: {budgets: [1e9]}\n", "spec.yaml:1:10:", "budgets and sizes are needed");
    spec_refused("isoflop: {budgets: [1e9], size: [{d_model: 16}]}\n", "spec.yaml:1:27:", "did you mean 'sizes'");
    spec_refused("isoflop: []\n", "spec.yaml:1:10:", "empty");
    spec_refused("isoflop: 3\n", "spec.yaml:1:10:", "budgets and sizes");
    spec_refused("isoflop: {budgets: [], sizes: {d_model: [16]}}\n", "spec.yaml:1:20:", "empty list");
    spec_refused("isoflop: {budgets: [0], sizes: {d_model: [16]}}\n", "spec.yaml:1:21:", "not a training cost");
    spec_refused("isoflop: {budgets: [1e9], sizes: {d_model: [16], n_layer: [1, 2]}}\n",
                 "spec.yaml:1:59:", "equally long");
    spec_refused("isoflop: {budgets: [1e9], sizes: {d_modl: [16]}}\n", "spec.yaml:1:35:", "did you mean 'd_model'");
    spec_refused("isoflop: {budgets: [1e9], sizes: [{d_model: 16}, {n_layer: 1}]}\n",
                 "spec.yaml:1:50:", "lacks d_model");
    spec_refused("isoflop: {budgets: [1e9], sizes: [{d_model: 16}, {d_model: 16, n_layer: 1}]}\n",
                 "spec.yaml:1:50:", "keys of the first");
    spec_refused("isoflop: {budgets: [1e9], sizes: [16]}\n", "spec.yaml:1:35:", "a size is a map");
    spec_refused("isoflop: {budgets: [1e9], sizes: []}\n", "spec.yaml:1:34:", "lists that move together");
    spec_refused("isoflop: {budgets: [1e9], sizes: {tokens: [16]}}\n", "spec.yaml:1:35:", "say the same thing");
    spec_refused("isoflop: {budgets: [1e9], sizes: {d_model: [16]}}\ngrid: {d_model: [3]}\n",
                 "spec.yaml:2:8:", "set twice");
    spec_refused("isoflop:\n- {budgets: [1], sizes: {d_model: [16]}}\n- {budgets: [1], sizes: {n_layer: [1]}}\n",
                 "spec.yaml:3:26:", "not in the first's");
    spec_refused(
        "isoflop:\n- {budgets: [1], sizes: {d_model: [16]}}\n- {budgets: [1], sizes: {d_model: [16], n_layer: [1]}}\n",
        "spec.yaml:3:3:", "keys of the first");
}

/* Numbers of the cells that are left, as a word of bits. */
static unsigned left(const char *text)
{
    sweep_spec s;
    trainer_config c;
    unsigned bits = 0;
    err e = {0};
    spec_taken(&s, text);
    for (size_t i = 0; i < s.n_cells; i++) {
        size_t out;
        cr_assert_eq(spec_cell(&c, &s, i, &out, &e), ST_OK, "%s\n%s", e.msg, text);
        if (out == SIZE_MAX) bits |= 1u << i;
    }
    sweep_spec_free(&s);
    return bits;
}

Test(spec_cells, exclude)
{
#define GRID SMALL ", tokens: 6400}\ngrid: {d_model: [16, 32], lr: [1e-3, 4e-3, 8e-3]}\n"
    cr_expect_eq(left(GRID), 077);
    cr_expect_eq(left(GRID "exclude: [{d_model: 32, lr: 0.004}]\n"), 057, "numbers, not their text");
    cr_expect_eq(left(GRID "exclude: {d_model: 32, lr: [4e-3, 8e-3]}\n"), 017);
    cr_expect_eq(left(GRID "exclude: [{d_model: 32}, {lr: 1e-3}]\n"), 006, "any rule");
    cr_expect_eq(left(GRID "exclude: d_model >= 32 and lr > 2e-3\n"), 017);
    cr_expect_eq(left(GRID "exclude: [\"d_model >= 32 and lr > 2e-3\", {lr: 1e-3}]\n"), 006);
    cr_expect_eq(left(GRID "exclude: tokens < 1*n_params_total\n"), 007, "what the shape adds up to");
    cr_expect_eq(left(GRID "exclude: {schedule: wsd, d_model: 16}\n"), 070, "words, and what no axis sets");
    cr_expect_eq(left(GRID "exclude: {schedule: cosine, d_model: 16}\n"), 077);
    cr_expect_eq(left(GRID "exclude: {tied_head: false, d_model: 16}\n"), 070);
    cr_expect_eq(left(GRID "exclude: {lr: 1e-3}\nsweeps: [{exclude: {lr: 4e-3}}]\n"), 044, "rules add up");
    cr_expect_eq(
        left(SMALL
             "}\nisoflop: {budgets: [1e9, 4e9], sizes: {d_model: [16, 32]}}\nexclude: {flops: 4e9, d_model: 32}\n"),
        07);
    cr_expect_eq(
        left(SMALL "}\nisoflop: {budgets: [1e9, 4e9], sizes: {d_model: [16, 32]}}\nexclude: tokens > 100000\n"), 013);
    cr_expect_eq(
        left(SMALL ", tokens: 6400}\ngrid: {lr: \"logspace(1e-4, 1e-2, 5)\"}\nexclude: {lr: 0.000316227766017}\n"),
        035);
    /* a rule may remove a cell of which nothing can be derived */
    cr_expect_eq(
        left(SMALL
             "}\ngrid: {d_model: [16, 20]}\nderived: {tokens: n_params_total}\nexclude: d_model % head_dim != 0\n"),
        1);
    cr_expect_eq(left(SMALL "}\nderived: {flops: 1e9, d_ff: 2*d_model}\nexclude: d_ff > 40\n"), 1,
                 "after what is derived");
    cr_expect_eq(left(SMALL "}\nderived: {flops: 1e9, d_ff: 3*d_model}\nexclude: d_ff > 40\n"), 0);
    unbuilt(GRID "exclude: 1/(d_model - 16) > 2\n",
            "exclude: 1/(d_model - 16) > 2: the formula gives no finite number");
    spec_refused("exclude: []\nseeds: [1]\n", "spec.yaml:1:10:", "empty");
    spec_refused("exclude: [[1]]\nseeds: [1]\n", "spec.yaml:1:11:", "a rule is");
    spec_refused("exclude: {}\nseeds: [1]\n", "spec.yaml:1:10:", "a rule is");
    spec_refused("exclude: {lr: []}\nseeds: [1]\n", "spec.yaml:1:15:", "leave out nothing");
    spec_refused("exclude: {lr: {a: 1}}\nseeds: [1]\n", "spec.yaml:1:15:", "a list of values");
    spec_refused("exclude: {lr: x}\nseeds: [1]\n", "spec.yaml:1:15:", "'x' is not a finite number");
    spec_refused("exclude: {schedule: wsdd}\nseeds: [1]\n", "spec.yaml:1:21:", "did you mean 'wsd'");
    spec_refused("exclude: {lrr: 1}\nseeds: [1]\n", "spec.yaml:1:11:", "did you mean 'lr'");
    spec_refused("exclude: lr\nseeds: [1]\n", "spec.yaml:1:10:", "a comparison is needed");
    spec_refused("exclude: lr > 1e-3 adn seed = 1\nseeds: [1]\n", "spec.yaml:1:20:", "should end here");
    spec_refused("exclude: lr > lrs\nseeds: [1]\n", "spec.yaml:1:15:", "did you mean 'lr'");
}

/* ---- overrides ----------------------------------------------------------------------------------------------------
 */

static fixture dir;
static void make_dir(void) { fixture_make(&dir, 4, 4); }
static void remove_dir(void) { fixture_remove(&dir); }

static status load(sweep_spec *s, const char *text, const char *const *words, size_t n, err *e)
{
    char path[IO_PATH_MAX];
    cr_assert_eq(io_join(path, dir.dir, "s.yaml", e), ST_OK);
    cr_assert_eq(io_publish(path, text, strlen(text), e), ST_OK);
    return sweep_spec_load(s, path, words, n, e);
}

static void expect_names(const char *text, const char *const *words, size_t n, const char *want)
{
    sweep_spec s, again;
    char all[1000] = "", name[200];
    err e = {0};
    cr_assert_eq(load(&s, text, words, n, &e), ST_OK, "%s", e.msg);
    for (size_t b = 0; b < s.n_blocks; b++)
        for (size_t i = 0; i < s.blocks[b].n_cells; i++)
            strcat(strcat(all, sweep_spec_describe(&s, b, i, name, sizeof name)), "; ");
    cr_expect_str_eq(all, want);
    /* the text that a campaign keeps means the same by itself */
    cr_assert_eq(sweep_spec_parse(&again, s.text, s.text_size, "copy.yaml", &e), ST_OK, "%s\n%s", e.msg, s.text);
    cr_expect_eq(again.n_cells, s.n_cells);
    cr_expect_str_eq(sweep_spec_describe(&again, 0, s.blocks[0].n_cells - 1, name, sizeof name),
                     sweep_spec_describe(&s, 0, s.blocks[0].n_cells - 1, all, sizeof all));
    cr_expect_eq(strncmp(s.text, text, strlen(text)), 0, "the user's lines stay as they are");
    sweep_spec_free(&again);
    sweep_spec_free(&s);
}

static void override_refused(const char *text, const char *word, const char *says)
{
    sweep_spec s;
    err e = {0};
    cr_expect_eq(load(&s, text, &word, 1, &e), ST_INPUT, "taken: %s", word);
    cr_expect(strstr(e.msg, says), "'%s' is not in: %s", says, e.msg);
    sweep_spec_free(&s);
}

#define WORDS(...) (const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)
Test(spec_cells, overrides, .init = make_dir, .fini = remove_dir)
{
    static const char *const one = "base: {d_model: 64, lr: 1e-3}\ngrid: {n_layer: [2, 4]}\n";
    expect_names(one, WORDS("lr=1e-3,3e-4"),
                 "n_layer=2, lr=1e-3; n_layer=2, lr=3e-4; n_layer=4, lr=1e-3; n_layer=4, lr=3e-4; ");
    expect_names(one, WORDS("n_layer=3", "lr=2e-3"), "; ");
    expect_names(one, WORDS("n_layer=range(2, 5, 1)"), "n_layer=2; n_layer=3; n_layer=4; ");
    expect_names("sweeps:\n- {name: a, grid: {lr: [1]}}\n- {name: b, base: {lr: 2}}", WORDS("lr=4,5"),
                 "a: lr=4; a: lr=5; b: lr=4; b: lr=5; "); /* no newline at the end of the file */
    expect_names("method: random\nrun_cap: 9\nparameters: {seed: {min: 0, max: 9999}}\n", WORDS("run_cap=2"),
                 "seed=9371; seed=4934; ");
    expect_names("method: random\nparameters: {seed: {min: 0, max: 9999}}\n", WORDS("run_cap=1", "sample_seed=5"),
                 "seed=1235; ");
    expect_names("base: {schedule: wsd}\n", WORDS("schedule=cosine,linear"), "schedule=cosine; schedule=linear; ");
    expect_names("derived: {d_ff: 4*d_model}\nbase: {d_model: 64}\n", WORDS("d_ff=32,64"), "d_ff=32; d_ff=64; ");
    expect_names("base: {d_model: 64}\n", WORDS("data=a \"b\" \\c"), "; ");
    override_refused(one, "lrr=1", "command line: unknown config key 'lrr'; did you mean 'lr'?");
    override_refused(one, "lr=1,x", "command line: lr: 'x' is not a finite number");
    override_refused(one, "lr=", "command line: 'lr=': a value is missing");
    override_refused(one, "lr=1,,2", "a value is missing");
    override_refused(one, "lr=1,", "a value is missing");
    override_refused(one, "=1", "'=1' is no override");
    override_refused(one, "lr=spread(1, 2, 3)", "command line: lr: 'spread(1, 2, 3)' is not a list");
    override_refused(one, "run_cap=3", "command line: run_cap and sample_seed are about `parameters`");
    override_refused(one, "threads=1,2", "command line: threads does not change a run's result");
    override_refused(one, "data=a\nb", "control character");
    override_refused("zip: {d_model: [64, 128], n_layer: [2, 4]}\n", "n_layer=3",
                     "command line: 'n_layer' is part of the shared group");
    override_refused("{base: {lr: 1}}\n", "lr=2", "write it as lines");
    override_refused("base: {lr: 1}\noverrides: [lr=2]\n", "lr=3", "has overrides of its own");
    sweep_spec s;
    err e = {0};
    cr_expect_eq(load(&s, one, (const char *[]){"lr=1", "lr=2"}, 2, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "command line: 'lr' is overridden twice"), "%s", e.msg);
    sweep_spec_free(&s);
    spec_refused("base: {lr: 1}\noverrides: lr=2\n", "spec.yaml:2:12:", "a list is needed");
    spec_refused("base: {lr: 1}\noverrides: [lr]\n", "spec.yaml:2:13:", "'lr' is no override");
    spec_refused("base: {lr: 1}\noverrides: [lr=x]\n", "spec.yaml:2:13:", "'x' is not a finite number");
}
