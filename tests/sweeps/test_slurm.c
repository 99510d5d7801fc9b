/* What Slurm is asked for: settings of spec and command line, and which runs make a task. */
#include "fixture.h"
#include "spec_help.h"
#include "sweeps/slurm.h"

typedef struct world {
    fixture f;
    sweep_spec s;
    sweep_plan p;
    slurm_tasks t;
    bool *finished;
} world;

static void make(world *w, const char *text, size_t max_bank)
{
    err e = {0};
    sweep_plan_opts o = sweep_plan_opts_default();
    memset(w, 0, sizeof *w);
    o.max_bank = max_bank;
    fixture_make(&w->f, 4000, 16);
    cr_assert_eq(fixture_spec(&w->s, &w->f, text, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(sweep_plan_make(&w->p, &w->s, &o, &e), ST_OK, "%s", e.msg);
    cr_assert((w->finished = calloc(w->p.n_runs + 1, sizeof *w->finished)));
}

static void pack(world *w, int64_t runs_per_task)
{
    err e = {0};
    slurm_tasks_free(&w->t);
    cr_assert_eq(slurm_tasks_make(&w->t, &w->p, w->finished, runs_per_task, &e), ST_OK, "%s", e.msg);
    int *seen = calloc(w->p.n_runs + 1, sizeof *seen);
    for (size_t i = 0; i < w->t.n_runs; i++) seen[w->t.runs[i]]++;
    for (size_t i = 0; i < w->p.n_runs; i++) cr_expect_eq(seen[i], !w->finished[i], "every unfinished run once");
    for (size_t k = 0; k < w->t.n; k++) cr_expect_lt(w->t.first[k], w->t.first[k + 1], "no task is empty");
    cr_expect_eq(w->t.first[w->t.n], w->t.n_runs);
    free(seen);
}

static void drop(world *w)
{
    slurm_tasks_free(&w->t);
    free(w->finished);
    sweep_plan_free(&w->p);
    sweep_spec_free(&w->s);
    fixture_remove(&w->f);
}

static size_t size_of(const world *w, size_t task) { return w->t.first[task + 1] - w->t.first[task]; }

/* Two shapes, the large one four times as dear: its banks are tasks of their own, the small ones share. */
Test(slurm, tasks_are_whole_banks_of_about_the_same_cost)
{
    world w;
    make(&w, FIXTURE_BASE "grid: {d_model: [16, 32], lr: [1e-3, 2e-3, 4e-3], seed: [0, 1, 2]}\n", 3);
    cr_assert_eq(w.p.n_banks, 6);
    pack(&w, SLURM_NOT_GIVEN);
    double longest = w.p.banks[0].flops;
    cr_expect_lt(w.t.n, 6);
    for (size_t k = 0; k < w.t.n; k++) {
        double flops = 0;
        for (size_t i = w.t.first[k]; i < w.t.first[k + 1]; i++) flops += w.p.runs[w.t.runs[i]].flops;
        cr_expect_leq(flops, longest * 1.0001);
        cr_expect_eq(size_of(&w, k) % 3, 0, "a bank is cut");
    }
    cr_expect_eq(size_of(&w, 0), 3);
    cr_expect_gt(size_of(&w, w.t.n - 1), 3);
    drop(&w);
}

Test(slurm, runs_per_task_cuts_banks_evenly)
{
    world w;
    make(&w, FIXTURE_BASE "grid: {lr: [1e-3, 2e-3], seed: [0, 1, 2, 3, 4]}\n", 10);
    cr_assert_eq(w.p.n_banks, 1);
    pack(&w, 4);
    cr_assert_eq(w.t.n, 3);
    cr_expect(size_of(&w, 0) == 4 && size_of(&w, 1) == 3 && size_of(&w, 2) == 3);
    pack(&w, 1);
    cr_expect_eq(w.t.n, 10);
    pack(&w, 100);
    cr_expect_eq(w.t.n, 1);
    drop(&w);
}

Test(slurm, finished_runs_are_in_no_task)
{
    world w;
    make(&w, FIXTURE_BASE "grid: {lr: [1e-3, 2e-3], seed: [0, 1, 2, 3, 4]}\n", 5);
    for (size_t i = 0; i < 7; i++) w.finished[w.p.order[i]] = true;
    pack(&w, 2);
    cr_expect_eq(w.t.n, 2);
    for (size_t i = 0; i < 10; i++) w.finished[i] = true;
    pack(&w, SLURM_NOT_GIVEN);
    cr_expect_eq(w.t.n, 0);
    drop(&w);
}

Test(slurm, arrays_are_cut_and_throttled)
{
    char buf[64];
    err e = {0};
    slurm_settings x = slurm_settings_unset();
    slurm_tasks t = {.n = 2500};
    slurm_submission s = {.x = &x, .tasks = &t};
    x.array_parallelism = 32;
    cr_assert_eq(slurm_split(&s, 1001, &e), ST_OK);
    cr_assert_eq(s.n_arrays, 3);
    cr_expect_str_eq(slurm_range(&s, 0, buf), "0-1000%32");
    cr_expect_str_eq(slurm_range(&s, 2, buf), "0-497%32");
    cr_expect_eq(s.arrays[2].first_task, 2002);
    x.array_parallelism = 2500;
    cr_expect_str_eq(slurm_range(&s, 2, buf), "0-497", "no throttle where none is needed");
    free(s.arrays);
    t.n = 1001;
    cr_assert_eq(slurm_split(&s, 1001, &e), ST_OK);
    cr_expect_eq(s.n_arrays, 1);
    free(s.arrays);
}

#define BASE "base: {d_model: 16, tokens: 640}\n"

Test(slurm, settings_of_the_spec_fill_what_the_command_line_left)
{
    sweep_spec s;
    err e = {0};
    slurm_settings x = slurm_settings_unset();
    spec_taken(&s, BASE "slurm: {timeout_min: 30, runs_per_task: 8, partition: low, sbatch: [--mem=4G, \"--qos=x\"]}\n");
    x.timeout_min = 60;
    x.lines[x.n_lines++] = "--mem=8G";
    cr_assert_eq(slurm_settings_fill(&x, &s, true, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(x.timeout_min, 60);
    cr_expect_eq(x.runs_per_task, 8);
    cr_expect_eq(x.max_num_timeout, 3);
    cr_expect_eq(x.gpus_per_node, 1, "a device wants one");
    cr_expect_str_eq(x.partition, "low");
    cr_assert_eq(x.n_lines, 3);
    cr_expect_str_eq(x.lines[2], "--mem=8G", "sbatch takes the last");
    sweep_spec_free(&s);
    x = slurm_settings_unset();
    spec_taken(&s, BASE);
    cr_assert_eq(slurm_settings_fill(&x, &s, false, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(x.gpus_per_node, 0);
    cr_expect_eq(x.timeout_min, SLURM_NOT_GIVEN);
    x.timeout_min = 2;
    cr_expect_eq(slurm_settings_fill(&x, &s, false, &e), ST_INPUT, "a warning before the beginning");
    sweep_spec_free(&s);
}

Test(slurm, bad_settings_are_named_with_their_place)
{
    spec_refused(BASE "slurm: 3\n", "spec.yaml:2:8: ", "a map");
    spec_refused(BASE "slurm: {time_out_min: 3}\n", "spec.yaml:2:9: ", "did you mean 'timeout_min'?");
    spec_refused(BASE "slurm: {timeout_min: 0}\n", "spec.yaml:2:22: ", "between 1 and");
    spec_refused(BASE "slurm: {timeout_min: \"5\"}\n", "spec.yaml:2:22: ", "whole number");
    spec_refused(BASE "slurm: {partition: a b}\n", "spec.yaml:2:20: ", "plain word");
    spec_refused(BASE "slurm: {sbatch: --mem=1}\n", "spec.yaml:2:17: ", "a list");
    spec_refused(BASE "slurm: {sbatch: [mem=1]}\n", "spec.yaml:2:18: ", "an option of sbatch");
    spec_refused(BASE "slurm: {sbatch: [--array=0-3]}\n", "spec.yaml:2:18: ", "rely on it");
    spec_refused(BASE "slurm: {sbatch: [\"--mem=1\\n#SBATCH --x\"]}\n", "spec.yaml:2:18: ", "control character");
    spec_refused("slurm: {timeout_min: 3}\n", "spec.yaml:1:1: ", "no run is described");
    err e = {0};
    slurm_settings x = slurm_settings_unset();
    cr_expect_eq(slurm_settings_check(&x, &e), ST_OK);
    x.max_num_timeout = -1;
    cr_expect_eq(slurm_settings_check(&x, &e), ST_USAGE);
    cr_expect(strstr(e.msg, "--max-num-timeout"), "%s", e.msg);
    x = slurm_settings_unset();
    x.account = "a;b";
    cr_expect_eq(slurm_settings_check(&x, &e), ST_USAGE);
}

Test(slurm, a_path_that_a_job_cannot_name_is_refused)
{
    err e = {0};
    cr_expect_eq(slurm_check_path("/a b/50%", &e), ST_OK);
    cr_expect_eq(slurm_check_path("/a\nb", &e), ST_INPUT);
    cr_expect_eq(slurm_check_path("/a\"b", &e), ST_INPUT);
}
