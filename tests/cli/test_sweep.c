/* muscale sweep as a command: output, exit codes, signals, the shipped examples. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/rng.h"

static char dir[64];

static void sandbox(void)
{
    enum { N = 300000 };
    static unsigned char ids[N];
    char path[IO_PATH_MAX];
    err e = {0};
    strcpy(dir, "/tmp/muscale.cli.XXXXXX");
    cr_assert(mkdtemp(dir));
    for (size_t i = 0; i < N; i++) ids[i] = (unsigned char)(97 + rng_below(16, 5, RNG_TEST, 9, i));
    cr_assert_eq(io_join(path, dir, "text", &e), ST_OK);
    cr_assert_eq(io_publish(path, ids, N, &e), ST_OK, "%s", e.msg);
}

static void clean(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf '%s'", dir);
    cr_expect_eq(system(line), 0);
}

/* Runs a shell line inside the sandbox with $M = muscale and $S = the source tree; stdout and stderr together. */
static int shell(const char *command, char **out)
{
    char line[4096];
    size_t n = 0, cap = 1 << 16, got;
    const char *bin = getenv("MUSCALE_BIN"), *src = getenv("MUSCALE_SRCDIR");
    cr_assert(bin && src, "run through `make check`");
    snprintf(line, sizeof line, "cd %s; M='%s'; S='%s'; { %s\n} 2>&1", dir, bin, src, command);
    FILE *f = popen(line, "r");
    cr_assert(f);
    char *text = malloc(cap + 1);
    while ((got = fread(text + n, 1, cap - n, f)) > 0)
        if ((n += got) == cap) text = realloc(text, (cap *= 2) + 1);
    text[n] = 0;
    int rc = pclose(f);
    *out = text;
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : 128;
}

static void expect(const char *command, int code, const char *says)
{
    char *out;
    int rc = shell(command, &out);
    cr_expect_eq(rc, code, "%s: exit %d, not %d\n%s", command, rc, code, out);
    cr_expect(strstr(out, says), "%s: no '%s' in\n%s", command, says, out);
    free(out);
}

static void write_text(const char *name, const char *text)
{
    char path[IO_PATH_MAX];
    err e = {0};
    cr_assert_eq(io_join(path, dir, name, &e), ST_OK);
    cr_assert_eq(io_publish(path, text, strlen(text), &e), ST_OK, "%s", e.msg);
}

static json_t *json_of(const char *command, const char *schema)
{
    char *out;
    int rc = shell(command, &out);
    json_t *j = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_eq(rc, 0, "%s: %s", command, out);
    cr_assert(j, "%s: not one JSON object:\n%s", command, out);
    cr_expect_str_eq(json_string_value(json_object_get(j, "schema")), schema);
    free(out);
    return j;
}

static long whole(const json_t *j, const char *key) { return (long)json_integer_value(json_object_get(j, key)); }

#define BASE                                                                                                           \
    "base: {data: text, data_dtype: u8, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16, batch_tokens: 64,\n"        \
    "       tokens: 1280, val_tokens: 128, base_width: 16}\n"

Test(sweep, usage, .init = sandbox, .fini = clean)
{
    write_text("s.yaml", BASE "seeds: [0, 1]\n");
    expect("$M sweep", 2, "a sub-command is missing");
    expect("$M sweep paln s.yaml", 2, "did you mean 'plan'");
    expect("$M sweep plan", 2, "SPEC.yaml is missing");
    expect("$M sweep plan s.yaml t.yaml", 2, "'t.yaml' is one argument too many");
    expect("$M sweep plan --no-calibrat s.yaml", 2, "did you mean '--no-calibrate'");
    expect("$M sweep plan --amend s.yaml", 2, "unknown option '--amend'");
    expect("$M sweep run s.yaml", 2, "-o CAMPAIGN is missing");
    expect("$M sweep run s.yaml -o c -j 100000", 2, "-j: 100000");
    expect("$M sweep run s.yaml -o c -j two", 2, "'two' is not a whole number");
    expect("$M sweep run s.yaml -o c --max-bank 0", 2, "--max-bank");
    expect("$M sweep run s.yaml -o c --fail-fast=0", 2, "--fail-fast");
    expect("$M sweep run s.yaml -o c --streams 2", 2, "--streams is for a device");
    expect("$M sweep run s.yaml -o c --device cuda --streams 0", 2, "between 1 and 64");
    expect("$M sweep run s.yaml -o c --device gpu", 2, "'gpu'");
    expect("$M sweep plan s.yaml --early-stop medain", 2, "did you mean 'median'");
    expect("$M sweep plan s.yaml --early-stop bayes", 2, "there are median, hyperband and off");
    expect("$M help sweep", 0, "muscale sweep run sweep.yaml -o campaign");
    expect("$M help sweep", 0, "--fail-fast");
}

Test(sweep, plan, .init = sandbox, .fini = clean)
{
    write_text("s.yaml", BASE "grid: {lr: [1e-3, 2e-3, 0.001], d_model: [16, 32]}\n");
    expect("$M sweep plan s.yaml --no-calibrate", 0, "s.yaml: 4 runs in 2 banks");
    expect("$M sweep plan s.yaml --no-calibrate", 0, "2 cells describe a run that is already there");
    expect("$M sweep plan s.yaml --no-calibrate", 0, "time: not estimated");
    expect("$M sweep plan s.yaml --flops-rate 1e6 -j 1", 0, "at 1e+06 FLOP/s as given");
    expect("$M sweep plan s.yaml", 0, "measured here");
    expect("test ! -e runs -a ! -e plan.json", 0, "");
    expect("$M sweep plan s.yaml --no-calibrate | grep -A2 schedule:", 0, "of the peak)\n  peak |");
    json_t *j = json_of("$M --json -q sweep plan s.yaml --flops-rate 1e6", "muscale.plan/1");
    cr_expect_gt(json_array_size(json_object_get(j, "schedules")), 0);
    cr_expect_eq(whole(j, "n_cells"), 6);
    cr_expect_eq(whole(j, "n_runs"), 4);
    cr_expect_eq(whole(j, "n_merged"), 2);
    cr_expect_eq(whole(j, "n_banks"), 2);
    double hours = json_number_value(json_object_get(j, "hours")),
           flops = json_number_value(json_object_get(j, "flops"));
    cr_expect_float_eq(hours, flops / 1e6 / 3600, 1e-9 * hours);
    json_decref(j);
}

/* By hand: 20, 40, 80, 160, 320 steps, the longest whole, of the others the last fifth without its first step. */
Test(sweep, trunks, .init = sandbox, .fini = clean)
{
    write_text("s.yaml", BASE "grid: {tokens: [1280, 2560, 5120, 10240, 20480]}\n");
    expect("$M sweep plan s.yaml --no-calibrate", 0, "trunks: 4 runs branch off 1 other");
    expect("$M sweep plan s.yaml --no-calibrate", 0, "0.6065 of separate runs");
    expect("$M sweep plan s.yaml --no-calibrate --no-trunks | grep -c trunk", 1, "0");
    expect("$M sweep plan s.yaml --no-calibrate tokens=1280,2560 schedule=cosine", 0,
           "no trunk for 2 runs: schedule is not wsd");
    expect("$M sweep run s.yaml tokens=640,1280 -o c && $M sweep run s.yaml tokens=640,1280 -o d --no-trunks", 0, "2 done");
    expect("for r in c/runs/*; do cmp $r/ckpt.[12]0 d/runs/${r##*/}/ckpt.[12]0; done", 0, "");
    expect("ls c/runs/*/branch.*", 2, "");
    expect("$M sweep status c && $M sweep status d", 0, "100 % of");
}

Test(sweep, overrides_and_rules, .init = sandbox, .fini = clean)
{
    write_text("s.yaml", BASE "grid: {d_model: [16, 32]}\nexclude: [\"lr > 1e-2 and d_model > 16\", {d_model: 64}]\n");
    expect("$M sweep plan s.yaml --no-calibrate", 0, "s.yaml: 2 runs in 2 banks");
    expect("$M sweep plan s.yaml --no-calibrate", 0, "s.yaml:4:41: this rule of exclude leaves out no cell");
    expect("$M sweep plan s.yaml lr=1e-3,2e-2 seed=0,1 --no-calibrate", 0, "s.yaml: 6 runs in 2 banks");
    expect("$M sweep plan s.yaml lr=1e-3,2e-2 seed=0,1 --no-calibrate", 0, "2 of 8 cells are excluded");
    expect("$M sweep plan s.yaml lrr=1", 3, "command line: unknown config key 'lrr'; did you mean 'lr'?");
    expect("$M sweep plan lr=1e-3", 2, "SPEC.yaml is missing");
    expect("$M sweep plan s.yaml d_model=20,64", 3, "command line: d_model=20: d_model: 20 is not a multiple of");
    expect("$M sweep plan s.yaml d_model=64", 3, "exclude leaves no run of 1");
    expect("$M sweep plan s.yaml d_model=20 'seed=range(0,150,1)'", 3, "50 more cells that cannot be built (-v ");
    expect("$M -v sweep plan s.yaml d_model=20 'seed=range(0,150,1)' 2>&1 | grep -c 'is not a multiple'", 0, "150");
    json_t *j = json_of("$M --json -q sweep plan s.yaml lr=1e-3,2e-2 --no-calibrate 2>/dev/null", "muscale.plan/1");
    cr_expect_eq(whole(j, "n_cells"), 4);
    cr_expect_eq(whole(j, "n_excluded"), 1);
    cr_expect_eq(whole(j, "n_runs"), 3);
    json_decref(j);
    /* the campaign's copy of the spec says by itself what was run */
    expect("$M -q sweep run s.yaml lr=1e-3,2e-3 -o c", 0, "c: 4 runs: 4 done");
    expect("$M -q sweep run c/spec.yaml -o c", 0, "c: 4 runs: 4 done");
    expect("cat c/spec.yaml", 0, "overrides: [\"lr=1e-3,2e-3\"]");
    expect("$M -q sweep run s.yaml -o c", 3, "holds another sweep");
    expect("$M -q sweep run s.yaml lr=1e-3 -o c", 3, "holds another sweep");
}

Test(sweep, wandb_files, .init = sandbox, .fini = clean)
{
    write_text("s.yaml", BASE "method: random\nproject: p\nearly_terminate: {type: hyperband, min_iter: 3}\n"
                              "parameters: {lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}}\n");
    expect("$M sweep plan s.yaml --no-calibrate", 3, "run_cap=50 on the command line");
    expect("$M sweep plan s.yaml --no-calibrate run_cap=7", 0, "s.yaml: 7 runs");
    expect("$M sweep plan s.yaml --no-calibrate run_cap=7", 0, "s.yaml:4:1: 'project' is accepted and ignored");
    expect("$M sweep plan s.yaml --no-calibrate run_cap=7", 0, "early stopping: hyperband compares smoothed training losses of 7");
}

Test(sweep, bad_specs, .init = sandbox, .fini = clean)
{
    expect("$M sweep plan absent.yaml", 3, "absent.yaml");
    write_text("s.yaml", BASE "grid: {lr: []}\n");
    expect("$M sweep plan s.yaml", 3, "s.yaml:3:12: lr: empty list");
    write_text("s.yaml", BASE "grid: {d_model: [16, 20, 24, 28], seed: [0, 1]}\n");
    expect("$M sweep plan s.yaml", 3, "s.yaml:3:22: d_model=20, seed=0: d_model: 20 is not a multiple of head_dim 8");
    expect("$M sweep plan s.yaml", 3, "s.yaml:3:30: d_model=28, seed=1");
    expect("$M sweep plan s.yaml", 3, "4 of 8 runs cannot be built");
    expect("$M sweep run s.yaml -o c", 3, "4 of 8 runs cannot be built");
    expect("test ! -e c", 0, ""); /* nothing was made */
    expect("$M sweep status c", 3, "no campaign");
    expect("$M sweep status .", 3, "no campaign");
    expect("$M sweep run s.yaml -o text/c", 3, "cannot be built");
    write_text("s.yaml", BASE);
    expect("$M sweep run s.yaml -o text/c", 1, "text/c");
    expect("$M sweep run s.yaml -o .", 3, "not a campaign");
    expect("$M --json sweep plan absent.yaml 2>/dev/null", 3, "muscale.error/1");
}

Test(sweep, run_status_collect, .init = sandbox, .fini = clean)
{
    write_text("s.yaml", BASE "seeds: [0, 1, 2]\n");
    write_text("t.yaml", BASE "seeds: [0, 1, 3]\n");
    expect("$M sweep run s.yaml -o c -j 2", 0, "c: 3 runs: 3 done, 0 diverged, 0 failed");
    expect("cmp s.yaml c/spec.yaml && test -e c/campaign.h5 && echo same", 0, "same");
    expect("ls c/runs/*/run.h5 | wc -l", 0, "3");
    expect("sum=$(cat c/runs/*/journal.jsonl | cksum); $M -q sweep run s.yaml -o c; test \"$sum\" = \"$(cat "
           "c/runs/*/journal.jsonl | cksum)\"",
           0, "");
    expect("$M sweep status c", 0, "c: 3 runs: 3 done; 100 %");
    expect("$M sweep status c -v", 0, "seed=2");
    json_t *j = json_of("$M --json sweep status c", "muscale.status/1");
    cr_expect_eq(whole(json_object_get(j, "counts"), "done"), 3);
    json_decref(j);
    j = json_of("$M --json -q sweep run s.yaml -o c", "muscale.sweep/1");
    cr_expect_eq(whole(j, "done"), 3);
    json_decref(j);
    expect("rm c/campaign.h5 c/runs/*/run.h5; $M sweep collect c", 0, "3 run.h5 written now");
    expect("test -e c/campaign.h5", 0, "");
    expect("$M sweep run t.yaml -o c", 3, "line 3 is 'seeds: [0, 1, 2]' there and 'seeds: [0, 1, 3]' here");
    expect("$M sweep run t.yaml -o c", 3, "--amend");
    expect("cmp -s s.yaml c/spec.yaml", 0, "");
    expect("$M sweep run t.yaml -o c --amend", 0, "1 runs new, 1 dropped");
    expect("$M sweep status c", 0, "3 runs: 3 done");
    expect("$M sweep status c", 0, "1 more in runs/");
}

Test(sweep, failed_runs_exit_4, .init = sandbox, .fini = clean)
{
    write_text("s.yaml", BASE "seeds: [0, 1, 2]\n");
    expect("$M -q sweep run s.yaml -o c && id=$(ls c/runs | head -1) && rm -r c/runs/$id && echo x >c/runs/$id", 0, "");
    expect("$M sweep run s.yaml -o c", 4, "1 of 3 runs failed");
    expect("$M -q sweep run s.yaml -o c", 4, "c: 3 runs: 2 done, 0 diverged, 1 failed");
    expect("$M sweep run s.yaml -o c --fail-fast", 4, "stopped by --fail-fast after 1 failed run");
    expect("rm c/runs/$(cd c/runs; for f in *; do test -f $f && echo $f; done); $M sweep run s.yaml -o c", 0, "3 done");
}

Test(sweep, divergence_is_exit_0, .init = sandbox, .fini = clean)
{
    write_text("s.yaml", BASE "grid: {lr: [1e-3, 100]}\n");
    expect("$M sweep run s.yaml -o c", 0, "2 runs: 1 done, 1 diverged, 0 failed");
}

Test(sweep, early_stopping_is_seen_everywhere, .init = sandbox, .fini = clean)
{
    write_text("s.yaml", "base: {data: text, data_dtype: u8, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16, batch_tokens: 64,\n"
                         "  tokens: 768, val_tokens: 128, base_width: 16, log_every: 1, val_every: 2}\n"
                         "grid: {lr: [1e-4, 1e-3, 2e-2]}\nearly_terminate: {type: hyperband, min_iter: 2, eta: 6}\n");
    expect("$M sweep plan s.yaml --no-calibrate", 0, "early stopping: hyperband of val_loss; the longest run, of 12 steps, is judged at step 4;");
    expect("$M sweep plan s.yaml --no-calibrate --early-stop off | grep -c early", 1, "0");
    expect("$M sweep plan s.yaml --no-calibrate tokens=128", 0, "hyperband never judges 3 of 3 runs");
    json_t *j = json_of("$M --json -q sweep plan s.yaml --no-calibrate", "muscale.plan/1");
    const json_t *rule = json_object_get(j, "early_stop");
    cr_expect_str_eq(json_string_value(json_object_get(rule, "metric")), "val_loss");
    cr_expect_eq(json_integer_value(json_array_get(json_object_get(rule, "steps"), 0)), 4);
    json_decref(j);
    expect("$M -q sweep run s.yaml -o c", 0, "c: 3 runs: 1 done, 0 diverged, 0 failed, 2 stopped early");
    expect("$M sweep status c -v", 0, "c: 3 runs: 1 done, 2 early-stopped;");
    expect("$M sweep status c -v", 0, "hyperband at step 4: val_loss ");
    expect("$M sweep collect c", 0, "(1 done, 0 diverged, 2 stopped early)");
    expect("rm c/campaign.h5 && $M -q sweep run s.yaml -o c --early-stop off", 0, "1 done, 0 diverged, 0 failed, 2 stopped early");
    expect("$M fit c --law power --x lr 2>&1; true", 0, "dropped: 2 early-stopped");
    expect("$M fit c --law power --x lr --include-early-stopped 2>&1; true", 0, "3 rows read, 3 used");
    expect("$M fit c --method lr-optimum --include-early-stopped", 2, "runs of one length");
}

Test(sweep, signals, .init = sandbox, .fini = clean)
{
    write_text("s.yaml", BASE "sweeps: [{base: {tokens: 64e6}, seeds: [0, 1]}]\n");
    expect("$M sweep run s.yaml -o c & p=$!; while ! ls c/runs/*/journal.jsonl >/dev/null 2>&1; do sleep 0.05; done; "
           "sleep 0.3\n"
           "kill -TERM $p; wait $p",
           143, "everything is checkpointed");
    expect("$M sweep status c", 0, "2 runs: 2 stopped");
    /* a background job of a non-interactive shell ignores SIGINT, so ask env to give it back */
    expect("env --default-signal=INT $M sweep run s.yaml -o c & p=$!; sleep 0.6; kill -INT $p; wait $p", 130,
           "everything is checkpointed");
    expect("$M sweep status c -v", 0, "stopped");
}

Test(sweep, examples_are_planned, .init = sandbox, .fini = clean)
{
    expect("$M -q data pack -o corpus text", 0, "");
    expect("$M sweep plan $S/examples/lr_widths.yaml --no-calibrate", 0, "64 runs");
    expect("$M sweep plan $S/examples/isoflop_small.yaml --no-calibrate", 0, "16 runs");
    /* the budgets hold: every block's runs cost the same to 3 % */
    json_t *j = json_of("$M --json -q sweep plan $S/examples/isoflop_small.yaml --no-calibrate", "muscale.plan/1");
    size_t i;
    json_t *run;
    json_array_foreach(json_object_get(j, "runs"), i, run)
    {
        double budget = atof(json_string_value(json_object_get(run, "block"))),
               flops = json_number_value(json_object_get(run, "flops"));
        cr_expect(flops > 0.97 * budget && flops < 1.03 * budget, "%s: %g",
                  json_string_value(json_object_get(run, "name")), flops);
    }
    json_decref(j);
}

Test(sweep, experiments_are_planned, .init = sandbox, .fini = clean)
{
    /* epochs.yaml asks for pools of up to 8,388,609 unique tokens */
    expect("$M -q data gen -o source --source markov --vocab 64 --order 1 --tokens 8850000 --seed 1", 0, "");
    expect("$M sweep plan $S/examples/markov.yaml --no-calibrate", 0, "35 runs");
    expect("mv source corpus && $M sweep plan $S/examples/epochs.yaml --no-calibrate", 0, "74 runs");
    expect("$M sweep plan $S/examples/study_mup.yaml --no-calibrate", 0, "396 runs");
    expect("$M sweep plan $S/examples/study_mup_short.yaml --no-calibrate", 0, "207 runs");
    expect("$M sweep plan $S/examples/study_mup_readout.yaml --no-calibrate", 0, "46 runs");
    /* the runs left out share with the sweep all but their size, length and rate, and are none of its runs */
    expect("sed 's/ *#.*//; s/^ *//' $S/examples/epochs.yaml >all; sed 's/ *#.*//' $S/examples/epochs_held_out.yaml | "
           "grep -v '^d_model\\|^tokens\\|^lr\\|^unique_tokens\\|^$' >shared; wc -l <shared; grep -vxF -f all shared",
           1, "12");
    expect("grep -c 'unique_tokens: 131073' $S/examples/epochs.yaml $S/examples/epochs_held_out.yaml", 0, "held_out.yaml:1");
    expect("grep 3145728 $S/examples/epochs.yaml", 1, "");
}
