/* plots/report*.c, plots/page*.c: one self-contained page; the verdict first; missing parts named. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/trainer/scratch.h" /* first: its locals would shadow plots/text.h */

#include "plots/page.h"
#include "plots/plots.h"
#include "tests/plots/have_gnuplot.h"
#include "tests/plots/synthetic.h"

static char *make(const scratch *w, const char *names, report_result *r)
{
    static char word[] = "muscale", report[] = "report";
    char path[IO_PATH_MAX], list[256], *save = NULL, *html = NULL, *argv[] = {word, report, NULL};
    plot_inputs in = {0};
    err e = {0};
    snprintf(list, sizeof list, "%s", names);
    for (char *n = strtok_r(list, " ", &save); n; n = strtok_r(NULL, " ", &save)) EXPECT_OK(plot_inputs_add(&in, scratch_path(path, w, n), &e));
    EXPECT_OK(report_write(r, &in, scratch_path(path, w, "out"), argv, 2, "0", &e));
    EXPECT_OK(io_read_file(&html, NULL, scratch_path(path, w, "out/report.html"), 1 << 28, &e));
    plot_inputs_free(&in);
    return html;
}

static size_t count(const char *s, const char *what)
{
    size_t n = 0;
    for (; (s = strstr(s, what)); s++) n++;
    return n;
}

/* Anything a browser would fetch or run. A test of the test below plants each. */
static const char *outside(const char *html)
{
    static const char *const bad[] = {"http:", "https:", "//", " src=", "<script", "<link", "<iframe", "@import", "javascript:", " onload", " onclick", "xlink:", "<image", "<object"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (strcasestr(html, bad[i])) return bad[i];
    for (const char *s = html; (s = strstr(s, "url(")); s += 4)
        if (s[4] != '#') return "url(";
    for (const char *s = html; (s = strstr(s, "href=")); s += 5)
        if (s[6] != '#') return "href=";
    return NULL;
}

/* Every id once, every reference to an id that exists. Returns how many ids. */
static size_t check_ids(const char *html)
{
    size_t n = 0;
    for (const char *s = html; (s = strstr(s, " id=")); s++, n++) {
        char id[96];
        size_t len = strcspn(s + 5, "\"'");
        cr_assert_lt(len, 80);
        snprintf(id, sizeof id, " id=%c%.*s%c", s[4], (int)len, s + 5, s[4]);
        cr_expect_eq(count(html, id), 1, "%s stands %zu times", id, count(html, id));
    }
    for (const char *s = html; (s = strstr(s, "href='#")); s++) {
        char id[96];
        snprintf(id, sizeof id, " id='%.*s'", (int)strcspn(s + 7, "'"), s + 7);
        cr_expect(strstr(html, id), "reference without%s", id);
    }
    return n;
}

Test(report, is_one_self_contained_page)
{
    need_gnuplot();
    report_result r;
    scratch w = scratch_make();
    synthetic_write(w.dir, NULL);
    char *html = make(&w, "campaign fit.json lr.json prediction.json score.json", &r);
    cr_expect_eq(r.n_figures, 10);
    cr_expect_eq(r.n_left_out, 0);
    cr_expect(!r.missed);
    cr_expect_eq(count(html, "<svg"), 10);
    cr_expect_eq(count(html, "</svg>"), 10);
    cr_expect_null(outside(html), "the page refers to the outside: %s", outside(html));
    cr_expect_gt(check_ids(html), 100);
    EXPECT_HAS(html, "The prediction held.");
    EXPECT_HAS(html, "muscale fit campaign --law chinchilla");
    EXPECT_HAS(html, "layer.0.wq");
    EXPECT_HAS(html, "no batch law was given");
    cr_expect_eq(scratch_shell(&w, "cd out/figures && for k in prediction loss-compute parity residuals isoflop lr-curves loss-curves schedule; do "
                                   "for x in svg pdf png gp tsv; do test -s $k.$x || exit 1; done; done"), 0);
    cr_expect_eq(scratch_shell(&w, "grep -q 'figures/parity.svg' out/report.md && grep -q '^| alpha |' out/report.md"), 0);
    free(html);
    scratch_remove(&w);
}

Test(report, the_check_for_outside_references_can_fail)
{
    static const char *const planted[] = {"<a href=\"x.html\">", "<img src=a>", "<p style='background:url(x)'>", "<script>", "http://x", "<use xlink:href='#a'/>"};
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) cr_expect_not_null(outside(planted[i]), "%s", planted[i]);
    cr_expect_null(outside("<use href='#f1-gpPt0'/><p style='fill:url(#a)'>"));
}

/* What only some fits hold: minima, profiles, a back-test. The others' reports do not miss it. */
Test(report, a_fit_shows_what_it_holds)
{
    need_gnuplot();
    static const char *const titles[] = {"Minima of the objective", "Profiles", "Back-test"};
    report_result r;
    scratch w = scratch_make();
    synthetic_write(w.dir, &(synthetic){.more = true, .no_runs = true});
    char *html = make(&w, "fit.json", &r);
    cr_expect_eq(r.n_figures, 9);
    for (int k = 0; k < 3; k++) EXPECT_HAS(html, titles[k]);
    check_ids(html);
    cr_expect_null(outside(html), "the page refers to the outside: %s", outside(html));
    free(html);
    synthetic_write(w.dir, &(synthetic){.no_runs = true});
    setenv("GNUPLOT", "/no/such/gnuplot", 1);
    html = make(&w, "fit.json", &r);
    for (int k = 0; k < 3; k++) cr_expect(!strstr(html, titles[k]), "%s is missed", titles[k]);
    free(html);
    scratch_remove(&w);
}

/* The words are what matters below: without figures they are made fast. */
static void no_figures(void) { setenv("GNUPLOT", "/no/such/gnuplot", 1); }

Test(report, says_first_that_it_missed)
{
    no_figures();
    report_result r;
    scratch w = scratch_make();
    synthetic_write(w.dir, &(synthetic){.miss = true, .refused = true, .no_runs = true});
    char *html = make(&w, "fit.json prediction.json score.json", &r);
    const char *missed = strstr(html, "The prediction missed."), *first = strstr(html, "<h2>");
    cr_expect(r.missed);
    cr_assert(missed && first && missed < first, "not at the top");
    cr_expect(!strstr(html, "prediction held"));
    EXPECT_HAS(html, "outside the interval");
    EXPECT_HAS(html, "is refused");
    EXPECT_HAS(html, "(not identified)");
    free(html);
    scratch_remove(&w);
}

Test(report, missing_parts_are_left_out_with_a_sentence)
{
    report_result r;
    need_gnuplot();
    scratch w = scratch_make();
    synthetic_write(w.dir, NULL);
    char *html = make(&w, "fit.json", &r);
    EXPECT_HAS(html, "No prediction is part of this report.");
    EXPECT_HAS(html, "Left out");
    EXPECT_HAS(html, "needs a prediction.json");
    cr_expect_eq(r.n_figures, 6);
    cr_expect_eq(r.n_left_out, 4);
    free(html);
    no_figures();
    html = make(&w, "campaign", &r);
    EXPECT_HAS(html, "12 runs");
    EXPECT_HAS(html, "1 diverged");
    free(html);
    html = make(&w, "fit.json prediction.json", &r);
    EXPECT_HAS(html, "Not measured yet.");
    cr_expect(!r.missed);
    free(html);
    scratch_remove(&w);
}

/* Results of two experiments on one page must not look like one. */
Test(report, results_that_do_not_belong_together_are_named)
{
    no_figures();
    report_result r;
    scratch w = scratch_make();
    synthetic_write(w.dir, NULL);
    cr_assert_eq(scratch_shell(&w, "sed -i 's/\"version\": \"0.1.0\"/\"version\": \"0.1.1\"/' prediction.json fit.json"), 0);
    char *html = make(&w, "fit.json prediction.json score.json", &r);
    EXPECT_HAS(html, "was made for another prediction");
    EXPECT_HAS(html, "is not a fit that the prediction was made from");
    free(html);
    scratch_remove(&w);
}

Test(report, without_gnuplot_the_numbers_are_there)
{
    report_result r;
    scratch w = scratch_make();
    synthetic_write(w.dir, NULL);
    no_figures();
    char *html = make(&w, "fit.json prediction.json score.json", &r);
    cr_expect_eq(r.n_figures, 0);
    EXPECT_HAS(r.trouble, "gnuplot-nox");
    EXPECT_HAS(html, "The prediction held.");
    free(html);
    scratch_remove(&w);
}

Test(report, hostile_words_stay_words)
{
    need_gnuplot();
    static const char evil[] = "<script>alert(1)</script>\" onload=\"x' | `a` [b](http:c) & \x01 tab\there";
    report_result r;
    scratch w = scratch_make();
    synthetic_write(w.dir, &(synthetic){.name = evil});
    char *html = make(&w, "one fit.json prediction.json score.json", &r);
    cr_expect(!strstr(html, "<script"), "markup from a name");
    EXPECT_HAS(html, "&lt;script&gt;alert");
    cr_expect_eq(scratch_shell(&w, "! sed '/^```/,/^```/d' out/report.md | grep -q '[^\\\\]<script'"), 0);
    free(html);
    scratch_remove(&w);
}

Test(report, svg_goes_into_a_page)
{
    static const char svg[] = "<?xml version=\"1.0\"?><!DOCTYPE svg><svg \n width=\"20\" height=\"10\"\n viewBox=\"0 0 20 10\"\n xmlns=\"http://www.w3.org/2000/svg\">"
                              "<title>Gnuplot</title><desc>d</desc><g id=\"a\"><circle id='b' r='1'/><use xlink:href='#b' fill=\"url(#g)\"/><text>x &lt; id='b'</text></g></svg>\n";
    text t = {0};
    page_inline_svg(&t, svg, sizeof svg - 1, "f7", "A & B");
    cr_expect_str_eq(t.s, "<svg viewBox=\"0 0 20 10\" style=\"max-width:27px\" role=\"img\"><title>A &amp; B</title><g id=\"f7-a\"><circle id='f7-b' r='1'/>"
                          "<use href='#f7-b' fill=\"url(#f7-g)\"/><text>x &lt; id='b'</text></g></svg>\n");
    text_free(&t);
    page_inline_svg(&t, "not svg", 7, "f7", "x"); /* nothing rather than rubbish */
    cr_expect_eq(t.n, 0);
    text_free(&t);
}
