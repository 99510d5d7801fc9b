/* plots/gnuplot.c: the driver, its failures, and what stays on disk after them. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/trainer/scratch.h" /* first: its locals would shadow plots/text.h */

#include "plots/gnuplot.h"
#include "tests/plots/have_gnuplot.h"

static void script(const scratch *w, const char *name, const char *body)
{
    char path[IO_PATH_MAX];
    text t = {0};
    plot_gnuplot_head(&t, "x", 200, 120);
    text_put(&t, body);
    scratch_file(path, w, name, t.s, t.n);
    text_free(&t);
}

/* A program that stands in for gnuplot. */
static void stand_in(const scratch *w, const char *body)
{
    char path[IO_PATH_MAX], s[512];
    snprintf(s, sizeof s, "#!/bin/sh\n%s\n", body);
    scratch_file(path, w, "fake", s, strlen(s));
    cr_assert_eq(chmod(path, 0755), 0);
    cr_assert_eq(setenv("GNUPLOT", path, 1), 0);
}

Test(gnuplot, path_says_the_format)
{
    char dir[IO_PATH_MAX], name[IO_PATH_MAX];
    plot_format f;
    err e = {0};
    cr_assert_eq(plot_path_split(dir, name, &f, "a/b.c/d.x.pdf", &e), ST_OK);
    cr_expect_str_eq(dir, "a/b.c");
    cr_expect_str_eq(name, "d.x");
    cr_expect_eq(f, PLOT_PDF);
    cr_assert_eq(plot_path_split(dir, name, &f, "d.txt", &e), ST_OK);
    cr_expect_str_eq(dir, ".");
    static const char *const bad[] = {"d", "d.", "d.jpg", ".svg", "a.svg/d", "d.svgz"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(plot_path_split(dir, name, &f, bad[i], &e), ST_USAGE, "%s", bad[i]);
        EXPECT_HAS(e.msg, ".png");
    }
    plot_path_split(dir, name, &f, "d.pnf", &e);
    EXPECT_HAS(e.msg, "did you mean '.p");
}

Test(gnuplot, quoting_leaves_no_way_out)
{
    text t = {0};
    plot_quote(&t, "it's `rm -rf`\n@x \\' {a_b^2}");
    cr_expect_str_eq(t.s, "'it''s  rm -rf  @x \\'' {a_b^2}'");
    text_free(&t);
}

Test(gnuplot, draws_every_format)
{
    need_gnuplot();
    err e = {0};
    scratch w = scratch_make();
    script(&w, "x.gp", "set label 'a_b^c {d} ⁻⁹ μP' at 1,1\nplot [0:2] x\nunset output\n");
    for (int f = 0; f < PLOT_N_FORMATS; f++) {
        text said = {0};
        char file[16], path[IO_PATH_MAX];
        EXPECT_OK(plot_gnuplot(w.dir, "x", (plot_format)f, &said, &e));
        cr_expect_eq(said.n, 0, "%s", text_str(&said));
        snprintf(file, sizeof file, "x.%s", plot_format_name((plot_format)f));
        cr_expect(io_exists(scratch_path(path, &w, file)));
        text_free(&said);
    }
    cr_expect_eq(scratch_shell(&w, "test -z \"$(ls -A | grep tmp)\""), 0, "a temporary is left");
    cr_expect_eq(scratch_shell(&w, "grep -q 'a_b^c {d}' x.svg"), 0, "markup in a label");
    scratch_remove(&w);
}

Test(gnuplot, its_own_words_are_shown_and_the_old_figure_stays)
{
    need_gnuplot();
    char path[IO_PATH_MAX];
    err e = {0};
    scratch w = scratch_make();
    scratch_file(path, &w, "x.svg", "old", 3);
    script(&w, "x.gp", "plot 'no-such-file' using 1:2\nset nonsense\n");
    cr_expect_eq(plot_gnuplot(w.dir, "x", PLOT_SVG, NULL, &e), ST_SYSTEM);
    EXPECT_HAS(e.msg, "no-such-file");
    cr_expect(!strchr(e.msg, '\n'));
    cr_expect_eq(scratch_shell(&w, "test \"$(cat x.svg)\" = old && test -z \"$(ls -A | grep tmp)\""), 0);
    scratch_remove(&w);
}

Test(gnuplot, a_missing_program_names_its_package)
{
    err e = {0};
    scratch w = scratch_make();
    script(&w, "x.gp", "plot x\n");
    setenv("GNUPLOT", "/no/such/gnuplot", 1);
    cr_expect_eq(plot_gnuplot(w.dir, "x", PLOT_SVG, NULL, &e), ST_SYSTEM);
    EXPECT_HAS(e.msg, "gnuplot-nox");
    EXPECT_HAS(e.msg, "/no/such/gnuplot");
    scratch_remove(&w);
}

/* On a full disk gnuplot writes a part and exits 0. */
Test(gnuplot, a_figure_cut_short_is_an_error)
{
    char path[IO_PATH_MAX];
    err e = {0};
    scratch w = scratch_make();
    script(&w, "x.gp", "plot x\n");
    scratch_file(path, &w, "x.svg", "old</svg>", 9);
    stand_in(&w, "printf '<svg half' > \"$(printf %s \"$3\" | sed \"s/.*out='//;s/'$//\")\"");
    cr_expect_eq(plot_gnuplot(w.dir, "x", PLOT_SVG, NULL, &e), ST_IO);
    EXPECT_HAS(e.msg, "cut short");
    cr_expect_eq(scratch_shell(&w, "grep -q old x.svg"), 0);
    stand_in(&w, "exit 0"); /* and one that wrote nothing at all */
    cr_expect_eq(plot_gnuplot(w.dir, "x", PLOT_SVG, NULL, &e), ST_IO);
    stand_in(&w, "kill -9 $$");
    cr_expect_eq(plot_gnuplot(w.dir, "x", PLOT_SVG, NULL, &e), ST_SYSTEM);
    stand_in(&w, "printf '<svg></svg>' > \"$(printf %s \"$3\" | sed \"s/.*out='//;s/'$//\")\""); /* the twin: whole */
    cr_expect_eq(plot_gnuplot(w.dir, "x", PLOT_SVG, NULL, &e), ST_OK, "%s", e.msg);
    scratch_remove(&w);
}
