/* muscale plot and report as commands: output, files, exit codes. */
#include "tests/trainer/scratch.h" /* first: its locals would shadow plots/text.h */

#include <jansson.h>
#include <sys/wait.h>

#include "tests/plots/have_gnuplot.h"
#include "tests/plots/synthetic.h"

static scratch w;
static void make(void) { w = scratch_make(); synthetic_write(w.dir, NULL); }
static void remove_all(void) { scratch_remove(&w); }
TestSuite(plot, .init = make, .fini = remove_all);

/* Runs `muscale ARGS` inside the sandbox, stdout to `out`, stderr to `err`. */
static char *run(const char *before, const char *args, int code)
{
    char line[1024], path[IO_PATH_MAX], *err_text = NULL;
    err e = {0};
    snprintf(line, sizeof line, "%s %s %s >out 2>err", before, getenv("MUSCALE_BIN"), args);
    int rc = scratch_shell(&w, line);
    EXPECT_OK(io_read_file(&err_text, NULL, scratch_path(path, &w, "err"), 1 << 20, &e));
    cr_assert_eq(WEXITSTATUS(rc), code, "muscale %s: exit %d, not %d: %s", args, WEXITSTATUS(rc), code, err_text);
    return err_text;
}

static void expect(const char *args, int code, const char *says)
{
    char *s = run("", args, code);
    EXPECT_HAS(s, says);
    cr_expect(code == 0 || strchr(s, '\n'), "no line on stderr");
    free(s);
}

Test(plot, draws_a_figure_with_script_and_data)
{
    need_gnuplot();
    expect("plot parity fit.json score.json -o p.svg", 0, "");
    cr_expect_eq(scratch_shell(&w, "test -s p.svg && test -s p.gp && test -s p.tsv && grep -q '^p.svg' out && grep -q 'left out: 2' out"), 0);
    expect("plot --json lr-curves lr.json -o l.txt", 0, "");
    char path[IO_PATH_MAX];
    json_t *j = json_load_file(scratch_path(path, &w, "out"), 0, NULL);
    cr_assert(j);
    cr_expect_str_eq(json_string_value(json_object_get(j, "schema")), "muscale.plot/1");
    cr_expect_str_eq(json_object_iter_key(json_object_iter(j)), "schema");
    json_decref(j);
    expect("plot loss-curves campaign -o c.png --where 'd_model >= 64'", 0, "");
    cr_expect_eq(scratch_shell(&w, "grep -q '^9 runs' out"), 0);
}

Test(plot, lists_what_it_can_draw)
{
    expect("plot --list", 0, "");
    cr_expect_eq(scratch_shell(&w, "grep -q '^lr-curves' out && grep -q '^prediction' out"), 0);
    expect("plot --list --json", 0, "");
    cr_expect_eq(scratch_shell(&w, "grep -q muscale.figures/1 out"), 0);
    expect("plot --help", 0, "");
    expect("help report", 0, "");
}

Test(plot, misuse_is_2)
{
    expect("plot", 2, "--list");
    expect("plot lr-curvs lr.json -o a.svg", 2, "did you mean 'lr-curves'?");
    expect("plot sunset fit.json -o a.svg", 2, "loss-compute");
    expect("plot parity fit.json", 2, "-o FILE.svg");
    expect("plot parity -o a.svg", 2, "fit.json");
    expect("plot parity fit.json -o a.jpeg", 2, ".png");
    expect("plot parity fit.json --wher x -o a.svg", 2, "--where");
    expect("report fit.json", 2, "-o DIR");
    expect("report -o d", 2, "campaign");
    cr_expect_neq(scratch_shell(&w, "ls a.* 2>/dev/null"), 0, "misuse left a file");
}

Test(plot, bad_input_is_3)
{
    char path[IO_PATH_MAX];
    scratch_file(path, &w, "cut.json", "{\"schema\":\"muscale.fit/1\",", 26);
    scratch_file(path, &w, "foreign.json", "{\"x\":1}", 7);
    expect("plot parity none.json -o a.svg", 3, "none.json");
    expect("plot parity cut.json -o a.svg", 3, "cut.json:1:");
    expect("plot parity foreign.json -o a.svg", 3, "foreign.json");
    expect("plot parity lr.json -o a.svg", 3, "needs a fit.json");
    expect("plot loss-curves runs.csv -o a.svg", 3, "needs runs with their curves");
    expect("plot isoflop runs.csv -o a.svg --where 'N >'", 3, "--where");
    expect("plot isoflop runs.csv -o a.svg --where 'N > 1e99'", 3, "leaves no run");
    expect("report none -o d", 3, "none");
}

Test(plot, what_the_machine_lacks_is_1)
{
    expect("plot parity fit.json -o no/such/dir/a.svg", 1, "no/such/dir");
    expect("plot parity fit.json -o /proc/a.svg", 1, "/proc");
    expect("report fit.json -o /proc/d", 1, "/proc/d");
    char *s = run("GNUPLOT=/no/gnuplot", "plot parity fit.json -o a.svg", 1);
    EXPECT_HAS(s, "gnuplot-nox");
    free(s);
    s = run("GNUPLOT=/no/gnuplot", "report fit.json -o r", 0); /* the numbers are there: a warning */
    EXPECT_HAS(s, "gnuplot-nox");
    free(s);
    cr_expect_eq(scratch_shell(&w, "test -s r/report.html && test -s r/report.md"), 0);
}

Test(plot, report_says_where_it_is)
{
    need_gnuplot();
    expect("report fit.json prediction.json score.json -o r", 0, "left out");
    cr_expect_eq(scratch_shell(&w, "grep -q '^r/report.html' out"), 0);
    expect("report --json fit.json -o r", 0, "");
    cr_expect_eq(scratch_shell(&w, "grep -q muscale.report/1 out"), 0);
}
