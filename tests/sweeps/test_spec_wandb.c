/* W&B sweep files: what each documented key means here, what is drawn, and what is refused. */
#include "spec_help.h"

#include <math.h>

#include "base/num.h"
#include "sweeps/spec_draw.h"

static void load(sweep_spec *s, const char *name)
{
    char path[IO_PATH_MAX];
    err e = {0};
    const char *src = getenv("MUSCALE_SRCDIR");
    cr_assert(src, "run through `make check`");
    snprintf(path, sizeof path, "%s/tests/sweeps/%s", src, name);
    cr_assert_eq(sweep_spec_load(s, path, NULL, 0, &e), ST_OK, "%s", e.msg);
}

Test(spec_wandb, a_grid_with_every_key)
{
    static const char *const ignored[] = {"'program'",     "'entity'", "'project'",
                                          "'description'", "'metric'", "'command'"};
    sweep_spec s;
    trainer_config c;
    size_t out;
    err e = {0};
    load(&s, "wandb_grid.yaml");
    cr_expect_eq(s.n_cells, 48, "%zu", s.n_cells); /* 2 lr, seeds 3 4 5, warm-up 0 128, 2 schedules, 2 activations */
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        cr_expect(spec_noted(&s, ignored[i]), "%s", ignored[i]);
    cr_expect_eq(s.early_stop.kind, EARLY_STOP_HYPERBAND);
    cr_expect_eq(s.early_stop.min_iter, 3);
    cr_expect_eq(s.early_stop.eta, 3);
    cr_expect(s.early_stop.strict);
    cr_expect(spec_noted(&s, "nested parameters"));
    cr_expect_eq(s.n_notes, 7, "one note each, not %zu", s.n_notes);
    cr_assert_eq(spec_cell(&c, &s, 47, &out, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(c.base.lr, 1e-5, "a number without a dot");
    cr_expect_eq(c.seed, 5);
    cr_expect_eq(c.warmup_tokens, 128);
    cr_expect_eq(c.schedule, SCHED_WSD);
    cr_expect_eq(c.shape.act, ACT_SWIGLU);
    cr_expect_eq(c.shape.d_model, 64);
    cr_expect_eq(c.shape.n_layer, 2);
    sweep_spec_free(&s);
}

/* Draws of a key over all rows, as numbers. */
static void column(double *x, const sweep_spec *s, const char *key)
{
    const sweep_factor *f = &s->blocks[0].factors[0];
    for (size_t k = 0; k < f->n_keys; k++)
        for (size_t i = 0; i < f->n_rows && !strcmp(f->keys[k]->text, key); i++)
            if (!num_parse_f64(f->values[k * f->n_rows + i]->text, &x[i])) x[i] = f->values[k * f->n_rows + i]->text[0];
}

typedef struct moments {
    double lo, hi, mean, sd;
} moments;

static moments of(const double *x, size_t n, bool logs)
{
    moments m = {INFINITY, -INFINITY, 0, 0};
    for (size_t i = 0; i < n; i++) {
        double v = logs ? log(x[i]) : x[i];
        m.lo = fmin(m.lo, x[i]);
        m.hi = fmax(m.hi, x[i]);
        m.mean += v / (double)n;
        m.sd += v * v / (double)n;
    }
    m.sd = sqrt(m.sd - m.mean * m.mean);
    return m;
}

/* Mean and standard deviation against those of the distribution, within 5 standard errors of the mean. */
static void expect_moments(const sweep_spec *s, const char *key, bool logs, double lo, double hi, double mean,
                           double sd)
{
    double x[2000];
    column(x, s, key);
    const moments m = of(x, 2000, logs);
    cr_expect(m.lo >= lo && m.hi <= hi, "%s: %g .. %g is outside %g .. %g", key, m.lo, m.hi, lo, hi);
    cr_expect(fabs(m.mean - mean) < 5 * sd / sqrt(2000), "%s: mean %g, not %g", key, m.mean, mean);
    cr_expect(fabs(m.sd / sd - 1) < 0.08, "%s: sd %g, not %g", key, m.sd, sd);
}

static void expect_multiples(const sweep_spec *s, const char *key, double q)
{
    double x[2000];
    column(x, s, key);
    for (size_t i = 0; i < 2000; i++) cr_expect(fabs(remainder(x[i], q)) < 1e-9 * q, "%s: %.17g", key, x[i]);
}

Test(spec_wandb, every_distribution_gives_what_it_says)
{
    sweep_spec s;
    double x[2000];
    const double uniform = 1 / sqrt(12), inf = INFINITY;
    load(&s, "wandb_random.yaml");
    cr_assert_eq(s.n_cells, 2000);
    expect_moments(&s, "seed", false, 3, 5, 4, sqrt(2. / 3));
    expect_moments(&s, "data_seed", false, 0, 1, 0.5, 0.5);
    expect_moments(&s, "beta1", false, 0.8, 0.95, 0.875, 0.15 * uniform);
    expect_moments(&s, "min_lr_ratio", false, 0, 1, 0.5, uniform);
    expect_moments(&s, "warmup_tokens", false, 0, 1000, 500, 1000 * uniform);
    expect_moments(&s, "lr", true, 1e-5, 1e-1, log(1e-3), log(1e4) * uniform);
    expect_moments(&s, "tokens", true, 1e6 - 1024, 1e8 + 1024, log(1e7), log(1e2) * uniform);
    expect_moments(&s, "eps", true, 1e-10, 1e-6, log(1e-8), log(1e4) * uniform);
    expect_moments(&s, "embed_mult", false, 2, 8, 5, 0.5);
    expect_moments(&s, "logit_mult", false, 4, 16, 10, 1);
    expect_moments(&s, "init_std", true, 0, inf, -4, 0.2);
    expect_multiples(&s, "warmup_tokens", 1); /* q is 1 unless given */
    expect_multiples(&s, "tokens", 2048);
    expect_multiples(&s, "logit_mult", 0.25);
    expect_multiples(&s, "unique_tokens", 100);
    column(x, &s, "schedule"); /* by first letters */
    size_t n[3] = {0};
    for (size_t i = 0; i < 2000; i++) n[x[i] == 'c' ? 0 : x[i] == 'l' ? 1 : 2]++;
    cr_expect(abs((int)n[0] - 400) < 90 && abs((int)n[1] - 200) < 70 && abs((int)n[2] - 1400) < 103, "%zu %zu %zu",
              n[0], n[1], n[2]);
    column(x, &s, "activation");
    for (size_t i = n[0] = 0; i < 2000; i++) n[0] += x[i] == 'g';
    cr_expect(abs((int)n[0] - 1000) < 112, "%zu", n[0]);
    sweep_spec_free(&s);
}

#define RANDOM "method: random\nparameters: {lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-1}, "
#define MORE "seed: {min: 0, max: 1000}}\n"

static void draws(char out[4][200], const char *text)
{
    sweep_spec s;
    spec_taken(&s, text);
    for (size_t i = 0; i < 4; i++) sweep_spec_describe(&s, 0, i, out[i], sizeof out[i]);
    sweep_spec_free(&s);
}

Test(spec_wandb, draws_depend_on_seed_key_and_row_alone)
{
    char a[4][200], b[4][200];
    draws(a, RANDOM MORE "run_cap: 4\n");
    draws(b, RANDOM MORE "run_cap: 400\n");
    for (int i = 0; i < 4; i++) cr_expect_str_eq(a[i], b[i], "more runs change none");
    cr_expect_str_neq(a[0], a[1]);
    draws(b, "run_cap: 4\nsample_seed: 0\nmethod: random\nparameters: {n_layer: {min: 1, max: 9}, " MORE);
    for (int i = 0; i < 4; i++) cr_expect(strstr(b[i], strstr(a[i], "seed=")), "%s: another key changes none", b[i]);
    draws(b, RANDOM MORE "run_cap: 4\nsample_seed: 1\n");
    for (int i = 0; i < 4; i++) cr_expect_str_neq(a[i], b[i], "another seed changes all");
    /* known answers, computed apart from this program: cells must not move from version to version, or campaigns would
     * not go on */
    cr_expect_str_eq(a[0], "lr=0.00192077127972, seed=938");
    cr_expect_str_eq(a[3], "lr=0.00719398316621, seed=144");
}

Test(spec_wandb, no_two_keys_share_their_draws)
{
    size_t n;
    const config_key *rows = config_keys(&n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            cr_expect_neq(spec_key_hash(rows[i].name), spec_key_hash(rows[k].name), "%s, %s", rows[i].name,
                          rows[k].name);
}

Test(spec_wandb, run_cap_and_what_multiplies_it)
{
    sweep_spec s;
    cr_expect_eq(spec_cells(RANDOM MORE "run_cap: 7\n"), 7);
    cr_expect_eq(spec_cells(RANDOM "d_model: {value: 64}}\nrun_cap: 7\nseeds: [0, 1, 2]\n"), 21);
    cr_expect_eq(
        spec_cells("method: grid\nrun_cap: 9\nparameters: {lr: {values: [1e-3, 2e-3]}, seed: {min: 0, max: 2}}"), 6);
    spec_taken(&s, "method: grid\nrun_cap: 5\nparameters: {lr: {values: [1e-3, 2e-3]}, seed: {min: 0, max: 2}}\n");
    char name[64];
    cr_expect_eq(s.n_cells, 5);
    cr_expect_str_eq(sweep_spec_describe(&s, 0, 2, name, sizeof name), "lr=1e-3, seed=2");
    cr_expect_str_eq(sweep_spec_describe(&s, 0, 4, name, sizeof name), "lr=2e-3, seed=1", "the last key moves fastest");
    cr_expect(spec_noted(&s, "the first 5 of 6"));
    sweep_spec_free(&s);
    /* the top's words serve a block's parameters */
    cr_expect_eq(spec_cells("method: random\nrun_cap: 5\nsweeps:\n- {name: a, parameters: {seed: {min: 0, max: 9}}}\n"
                            "- {name: b, run_cap: 3, parameters: {seed: {min: 0, max: 9}}}\n"),
                 8);
    spec_refused("method: random\nparameters: {seed: {min: 0, max: 9}}\n", "spec.yaml:1:9:", "run_cap: 50");
    spec_refused("run_cap: 3\ngrid: {seed: [1]}\n", "spec.yaml:1:10:", "about `parameters`");
    spec_refused("method: random\nseeds: [1]\n", "spec.yaml:1:9:", "about `parameters`");
    spec_refused("run_cap: 3\nsweeps: [{grid: {seed: [1]}}]\n", "spec.yaml:1:10:", "about `parameters`");
    spec_refused(RANDOM MORE "run_cap: 0\n", "spec.yaml:3:10:", "from 1 to 100000");
    spec_refused(RANDOM MORE "run_cap: 1.5\n", "spec.yaml:3:10:", "whole number");
    spec_refused(RANDOM MORE "run_cap: 1\nsample_seed: -1\n", "spec.yaml:4:14:", "whole number");
}

Test(spec_wandb, methods_and_stopping_rules)
{
    spec_refused("method: bayes\nparameters: {lr: {value: 1e-3}}\n", "spec.yaml:1:9:", "'bayes' is not offered");
    spec_refused("method: rnadom\nparameters: {lr: {value: 1e-3}}\n", "spec.yaml:1:9:", "did you mean 'random'");
    spec_refused("method: hyperopt\nseeds: [1]\n", "spec.yaml:1:9:", "there are grid and random");
    spec_refused("seeds: [1]\nearly_terminate: {type: envelope}\n", "spec.yaml:2:25:", "'envelope' is not offered");
    spec_refused("seeds: [1]\nearly_terminate: {min_iter: 3}\n", "spec.yaml:2:18:", "is not offered");
    spec_refused("seeds: [1]\nearly_terminate: {type: hyperband}\n", "spec.yaml:2:18:", "min_iter or max_iter");
    spec_refused("seeds: [1]\nearly_terminate: {type: hyperband, min_itr: 3}\n", "spec.yaml:2:36:", "'min_iter'");
    spec_refused("seeds: [1]\nearly_terminate: {type: hyperband, min_iter: 0}\n", "spec.yaml:2:46:", "above 0");
    spec_refused("seeds: [1]\nearly_terminate: {type: hyperband, min_iter: 3, strict: 1}\n",
                 "spec.yaml:2:57:", "true or false");
    spec_refused("seeds: [1]\nearly_terminate: {type: hyperbnd, min_iter: 3}\n", "spec.yaml:2:25:", "mean 'hyperband'");
    spec_refused("seeds: [1]\nearly_terminate: {type: hyperband, max_iter: 9}\n", "spec.yaml:2:18:", "needs s");
    spec_refused("seeds: [1]\nearly_terminate: {type: hyperband, min_iter: 3, eta: 1}\n", "spec.yaml:2:54:", "above 1");
    spec_refused("seeds: [1]\nearly_terminate: {type: hyperband, min_iter: 1.5}\n", "spec.yaml:2:46:", "whole");
    spec_refused("seeds: [1]\nearly_terminate: {type: hyperband, min_iter: 2, min_runs: 2}\n", "spec.yaml:2:49:", "min_runs");
    spec_refused("seeds: [1]\nearly_terminate: {type: median, eta: 2}\n", "spec.yaml:2:33:", "median");
    spec_refused("seeds: [1]\nearly_terminate: {type: median, min_iter: 2, min_tokens: 9}\n", "spec.yaml:2:18:", "leave one");
    spec_refused("sweeps: [{seeds: [1], early_terminate: {type: median}}]\n", "spec.yaml:1:23:", "early_terminate");
    spec_refused("seeds: [1]\nmetric: {name: loss, gaol: minimize}\n", "spec.yaml:2:22:", "did you mean 'goal'");
    spec_refused("seeds: [1]\nmetric: {name: loss, goal: less}\n", "spec.yaml:2:28:", "minimize or maximize");
}

Test(spec_wandb, early_terminate_is_read)
{
    sweep_spec s;
    spec_taken(&s, "seeds: [1]\n");
    cr_expect_eq(s.early_stop.kind, EARLY_STOP_NONE, "off by default");
    sweep_spec_free(&s);
    spec_taken(&s, "seeds: [1]\nearly_terminate: {type: hyperband, min_iter: 2, max_iter: 27, s: 2, eta: 4}\n");
    cr_expect_eq(s.early_stop.max_iter, 27, "as W&B's controller, which looks at max_iter first");
    cr_expect_eq(s.early_stop.min_iter, 0);
    cr_expect_eq(s.early_stop.s, 2);
    cr_expect_eq(s.early_stop.eta, 4);
    cr_expect(spec_noted(&s, "min is ignored"));
    sweep_spec_free(&s);
    spec_taken(&s, "seeds: [1]\nearly_terminate: {type: median, min_tokens: 5e6, min_runs: 7}\n");
    cr_expect_eq(s.early_stop.kind, EARLY_STOP_MEDIAN);
    cr_expect_eq(s.early_stop.min_tokens, 5e6);
    cr_expect_eq(s.early_stop.min_runs, 7);
    sweep_spec_free(&s);
}

#define ONE(text) "method: random\nrun_cap: 3\nparameters:\n  " text "\n"
Test(spec_wandb, parameters_that_are_refused)
{
    spec_refused(ONE("lr: {distribution: log_uniform, min: -9.21034, max: -4.60517}"),
                 "spec.yaml:4:22:", "log_uniform_values with min: 0.0001, max: 0.01");
    spec_refused(ONE("lr: {distribution: q_log_uniform, min: 0, max: 1}"),
                 "spec.yaml:4:22:", "q_log_uniform_values with min: 1, max: 2.718");
    spec_refused(ONE("lr: {distribution: inv_log_uniform, min: 4.60517, max: 9.21034}"),
                 "spec.yaml:4:22:", "inv_log_uniform_values with min: 0.0001, max: 0.01");
    spec_refused(ONE("lr: {distribution: log_uniform}"), "spec.yaml:4:22:", "write log_uniform_values");
    spec_refused(ONE("lr: {distribution: beta, a: 1}"), "spec.yaml:4:28:", "unknown key 'a'");
    spec_refused(ONE("lr: {distribution: beta}"), "spec.yaml:4:22:", "'beta' is not offered");
    spec_refused(ONE("lr: {distribution: unifrom, min: 0, max: 1}"), "spec.yaml:4:22:", "did you mean 'uniform'");
    spec_refused(ONE("lr: {distribution: cauchy}"), "spec.yaml:4:22:", "unknown distribution 'cauchy'");
    spec_refused(ONE("lr: {mn: 1e-4, max: 1e-2}"), "spec.yaml:4:8:", "did you mean 'min'");
    spec_refused(ONE("lr: {min: 1e-4}"), "spec.yaml:4:7:", "value, values, min and max");
    spec_refused(ONE("lr: {value: 1e-4, values: [1e-2]}"), "spec.yaml:4:7:", "exclude each other");
    spec_refused(ONE("lr: [1e-3]"), "spec.yaml:4:7:", "a map is needed");
    spec_refused(ONE("lr: {min: 1e-2, max: 1e-4}"), "spec.yaml:4:24:", "below min");
    spec_refused(ONE("lr: {min: 1e-4x, max: 1}"), "spec.yaml:4:13:", "'1e-4x' is not a finite number");
    spec_refused(ONE("lr: {min: \"1e-4\", max: 1}"), "spec.yaml:4:13:", "not a finite number");
    spec_refused(ONE("lr: {min: 1e-4, max: 1.0, q: 1}"), "spec.yaml:4:32:", "start with q_");
    spec_refused(ONE("lr: {distribution: uniform, min: 1e-4}"), "spec.yaml:4:7:", "needs max");
    spec_refused(ONE("lr: {distribution: log_uniform_values, min: 0, max: 1}"), "spec.yaml:4:47:", "above 0");
    spec_refused(ONE("lr: {distribution: normal, min: 0}"),
                 "spec.yaml:4:35:", "min does not belong to distribution normal");
    spec_refused(ONE("lr: {distribution: normal, sigma: 0}"), "spec.yaml:4:37:", "sigma must be above 0");
    spec_refused(ONE("lr: {distribution: q_normal, q: -1}"), "spec.yaml:4:35:", "q must be above 0");
    spec_refused(ONE("lr: {distribution: normal, mu: 0}"), "spec.yaml:4:7:", "is outside (0,inf)");
    spec_refused(ONE("lr: {values: [1e-3, 1e-2], probabilities: [1]}"), "spec.yaml:4:45:", "one for each");
    spec_refused(ONE("lr: {values: [1e-3, 1e-2], probabilities: [0.5, 0.4]}"), "spec.yaml:4:45:", "sum to 0.9");
    spec_refused(ONE("lr: {values: [1e-3, 1e-2], probabilities: [-1, 2]}"), "spec.yaml:4:46:", "below 0");
    spec_refused(ONE("d_model: {distribution: uniform, min: 64, max: 128}"), "spec.yaml:4:12:", "write int_uniform");
    spec_refused(ONE("d_model: {distribution: int_uniform, min: 64, max: 128.5}"), "spec.yaml:4:45:", "whole numbers");
    spec_refused(ONE("tokens: {distribution: log_uniform_values, min: 1e6, max: 1e8}"),
                 "spec.yaml:4:11:", "q_log_uniform_values with q");
    spec_refused(ONE("tokens: {distribution: q_uniform, min: 1e6, max: 1e8, q: 0.5}"),
                 "spec.yaml:4:11:", "give q as one");
    spec_refused(ONE("schedule: {min: 0, max: 1}"), "spec.yaml:4:13:", "takes words");
    spec_refused(ONE("learning_rate: {min: 0.0, max: 1.0}"), "spec.yaml:4:3:", "here it is 'lr'");
    spec_refused(ONE("lrr: {min: 0.0, max: 1.0}"), "spec.yaml:4:3:", "did you mean 'lr'");
    spec_refused(ONE("a: {parameters: {lr: {value: 1}}, lr: {value: 2}}"), "spec.yaml:4:37:", "unknown key 'lr'");
    spec_refused(ONE("a: {parameters: {}}"), "spec.yaml:4:19:", "a map is needed");
    spec_refused(ONE("a: {parameters: {lr: {value: 1}}}\n  lr: {value: 2}"), "spec.yaml:5:3:", "set twice");
    spec_refused(ONE("a: {parameters: {lr: {values: [1, 2]}}}\n  lr: {values: [2, 3]}"),
                 "spec.yaml:5:3:", "say the same");
    spec_refused("base: {lr: 1e-3}\nparameters: {lr: {value: 1e-3}}\n",
                 "spec.yaml:2:14:", "set twice (first on line 1)");
    spec_refused("method: grid\nparameters: {lr: {min: 1e-4, max: 1e-2}}\n",
                 "spec.yaml:2:18:", "a grid has no uniform");
    spec_refused("parameters: {lr: {distribution: normal}}\n", "spec.yaml:1:18:", "method: random with run_cap");
    spec_refused("parameters: {lr: {values: [1e-3], probabilities: [1]}}\n", "spec.yaml:1:50:", "no probabilities");
    spec_refused("parameters: {seed: {min: 0, max: 1000000}}\n", "spec.yaml:1:20:", "more than 100000");
    spec_refused("parameters: {}\n", "spec.yaml:1:13:", "a map is needed");
}
