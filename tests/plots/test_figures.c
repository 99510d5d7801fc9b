/* Every figure from synthetic results: it is drawn without a warning, its data are the input's, its script runs again. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tests/trainer/scratch.h" /* first: its locals would shadow plots/text.h */

#include "base/jline.h"
#include "plots/figure.h"
#include "plots/kinds.h"
#include "plots/plots.h"
#include "tests/plots/have_gnuplot.h"
#include "tests/plots/synthetic.h"

static void add(plot_inputs *in, const scratch *w, const char *names)
{
    char path[IO_PATH_MAX], list[256], *save = NULL;
    err e = {0};
    snprintf(list, sizeof list, "%s", names);
    for (char *n = strtok_r(list, " ", &save); n; n = strtok_r(NULL, " ", &save)) EXPECT_OK(plot_inputs_add(in, scratch_path(path, w, n), &e));
}

static status draw(const scratch *w, const char *kind, const char *names, text *caption, text *said, err *e)
{
    static const plot_format formats[] = {PLOT_SVG};
    plot_inputs in = {0};
    add(&in, w, names);
    status s = plot_draw(plot_figure_find(kind, e), &in, w->dir, kind, formats, 1, caption, said, e);
    plot_inputs_free(&in);
    return s;
}

static char *slurp(const scratch *w, const char *name)
{
    char path[IO_PATH_MAX], *s = NULL;
    err e = {0};
    EXPECT_OK(io_read_file(&s, NULL, scratch_path(path, w, name), 1 << 26, &e));
    return s;
}

static size_t rows_of(const char *tsv, const char *block)
{
    char head[96];
    snprintf(head, sizeof head, "# %s\n#", block);
    const char *s = strstr(tsv, head);
    size_t n = 0;
    if (!s) return 0;
    s = strchr(strchr(s, '\n') + 1, '\n') + 1;
    for (; *s && *s != '#'; s = strchr(s, '\n') + 1) n += *s != '\n';
    return n;
}

Test(figures, all_are_drawn_without_a_warning)
{
    static const struct { const char *kind, *inputs, *says, *block; size_t rows; } all[] = {
        {"prediction", "fit.json prediction.json score.json", "inside the interval", "points", 25},
        {"prediction", "fit.json prediction.json", "[2.0", "target", 1},
        {"loss-compute", "fit.json prediction.json score.json campaign", "Triangles at the top edge: 1 diverged", "points", 25},
        {"loss-compute", "runs.csv", "25 finished runs", "envelope", 8},
        {"parity", "fit.json score.json", "25 runs", "held-out", 1},
        {"residuals", "fit.json", "25 runs", "points", 25},
        {"isoflop", "fit.json", "5 of 5 minima", "minima", 5},
        {"isoflop", "runs.csv", "1 diverged", "points", 25},
        {"lr-curves", "lr.json", "19 diverged", "optimum sp", 4},
        {"lr-curves", "lr.csv", "72 runs", "mup 32", 9},
        {"loss-curves", "campaign", "Crosses: 1 diverged", "validation", 88},
        {"loss-curves", "one", "1 run", "validation", 8},
        {"schedule", "campaign", "12 runs", NULL, 0},
    };
    need_gnuplot();
    scratch w = scratch_make();
    synthetic_write(w.dir, NULL);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        text said = {0}, caption = {0};
        char name[64];
        err e = {0};
        status s = draw(&w, all[i].kind, all[i].inputs, &caption, &said, &e);
        cr_assert_eq(s, ST_OK, "%s of %s: %s", all[i].kind, all[i].inputs, e.msg);
        cr_expect_eq(said.n, 0, "%s of %s: gnuplot says %s", all[i].kind, all[i].inputs, text_str(&said));
        EXPECT_HAS(text_str(&caption), all[i].says);
        snprintf(name, sizeof name, "%s.tsv", all[i].kind);
        char *tsv = slurp(&w, name);
        if (all[i].block) cr_expect_eq(rows_of(tsv, all[i].block), all[i].rows, "%s: block %s has %zu rows", all[i].kind, all[i].block, rows_of(tsv, all[i].block));
        snprintf(name, sizeof name, "%s.svg", all[i].kind);
        char *svg = slurp(&w, name);
        cr_expect(!strstr(svg, "nan"), "%s: NaN in the drawing", all[i].kind);
        free(svg);
        free(tsv);
        text_free(&said);
        text_free(&caption);
    }
    scratch_remove(&w);
}

/* One valley of a report: `width` has its optimum at 2^`opt`. */
static json_t *valley(const char *par, double width, double opt)
{
    json_t *lr = json_array(), *loss = json_array();
    for (int i = 0; i < 9; i++) {
        const double x = -8 + 0.5 * i;
        json_array_append_new(lr, json_real(exp2(x)));
        const double y = 2.3 - 0.1 * log2(width / 32) + 0.07 * (x - opt) * (x - opt);
        json_array_append_new(loss, i < 8 ? json_real(y) : json_null());
    }
    return json_pack("{s:s, s:f, s:o, s:o, s:f, s:[f,f], s:f}", "parametrisation", par, "width", width, "lr", lr, "loss",
                     loss, "log2_lr_opt", opt, "ci95", opt - 0.2, opt + 0.2, "loss_opt", 2.3 - 0.1 * log2(width / 32));
}

static json_t *valleys(const char *par, const char *fixed)
{
    json_t *groups = json_array();
    for (int g = 0; g < 3; g++) json_array_append_new(groups, valley(par, 32 << g, -6 + 0.2 * g));
    return json_pack("{s:s, s:s, s:o, s:[{s:s, s:f, s:{s:[f,f]}}]}", "parametrisation", par, "fixed", fixed, "groups",
                     groups, "trend", "parametrisation", par, "p", 0.2, "ci95", "p", 0.1, 0.3);
}

/* A panel for every line of a report of mup transfer, however many there are and also when two are of one rule; optima are
 * drawn in the colour of their curve. */
Test(figures, a_report_loses_no_line)
{
    static const char *const names[] = {"mup", "mup #2", "sp", "completep", "depth-mup", "u-mup", "complete-dp"};
    need_gnuplot();
    scratch w = scratch_make();
    char path[IO_PATH_MAX], block[128];
    text said = {0}, caption = {0};
    err e = {0};
    json_t *lines = json_array();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        json_array_append_new(lines, i == 1 ? valleys("mup", "n_layer 4, tokens 8192")
                                            : valleys(names[i], "n_layer 4, tokens 4096"));
    json_t *doc = json_pack("{s:s, s:[{s:s, s:s, s:o}]}", "schema", "muscale.mup-transfer/1", "panels", "axis", "width",
                            "x", "lr", "lines", lines);
    cr_assert_eq(json_dump_file(doc, scratch_path(path, &w, "report.json"), 0), 0);
    json_decref(doc);
    cr_assert_eq(draw(&w, "lr-curves", "report.json", &caption, &said, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(said.n, 0, "gnuplot says %s", text_str(&said));
    EXPECT_HAS(text_str(&caption), "189 runs");
    EXPECT_HAS(text_str(&caption), "21 diverged");
    EXPECT_HAS(text_str(&caption), "(tokens 8192): optimum drifts +0.20");
    char *tsv = slurp(&w, "lr-curves.tsv"), *gp = slurp(&w, "lr-curves.gp");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(block, sizeof block, "lr width optimum %s", names[i]);
        cr_expect_eq(rows_of(tsv, block), 3, "%s has %zu rows", block, rows_of(tsv, block));
        snprintf(block, sizeof block,
                 "'lr width optimum %s' using 1:2:3:4:5 with xerrorbars pt 13 ps 0.1 lw 2 lc rgb variable", names[i]);
        cr_expect(strstr(gp, block), "the script lacks %s", block);
    }
    free(tsv);
    free(gp);
    text_free(&said);
    text_free(&caption);
    scratch_remove(&w);
}

Test(figures, a_script_draws_its_figure_again)
{
    need_gnuplot();
    err e = {0};
    scratch w = scratch_make();
    synthetic_write(w.dir, NULL);
    EXPECT_OK(draw(&w, "parity", "fit.json", NULL, NULL, &e));
    cr_expect_eq(scratch_shell(&w, "cp parity.svg before.svg && rm parity.svg && gnuplot parity.gp && cmp parity.svg before.svg"), 0);
    cr_expect_eq(scratch_shell(&w, "gnuplot -e \"format='txt'\" parity.gp && grep -q 'measured loss' parity.txt && grep -q 'Residual: 100 ln' parity.txt"), 0);
    scratch_remove(&w);
}

/* The two places where a figure could quietly say too much. */
Test(figures, a_miss_and_a_refusal_are_said)
{
    need_gnuplot();
    text caption = {0};
    err e = {0};
    scratch w = scratch_make();
    synthetic_write(w.dir, &(synthetic){.miss = true, .refused = true, .no_runs = true});
    EXPECT_OK(draw(&w, "prediction", "fit.json prediction.json score.json", &caption, NULL, &e));
    EXPECT_HAS(caption.s, "OUTSIDE the interval");
    EXPECT_HAS(caption.s, "verdict: refuse");
    text_free(&caption);
    scratch_remove(&w);
}

Test(figures, hostile_words_stay_words)
{
    need_gnuplot();
    static const char evil[] = "x'; system('touch pwned'); `touch pwned` <script>alert(1)</script> {/=40 a}_b^c %s%n \"q\" & é";
    static const char *const kinds[] = {"prediction", "loss-compute", "loss-curves"};
    static const char *const inputs[] = {"fit.json prediction.json score.json", "fit.json", "one campaign"};
    err e = {0};
    scratch w = scratch_make();
    synthetic_write(w.dir, &(synthetic){.name = evil});
    for (int i = 0; i < 3; i++) {
        text said = {0};
        EXPECT_OK(draw(&w, kinds[i], inputs[i], NULL, &said, &e));
        cr_expect_eq(said.n, 0, "%s: %s", kinds[i], text_str(&said));
        text_free(&said);
    }
    cr_expect_eq(scratch_shell(&w, "test ! -e pwned"), 0, "a word was run");
    cr_expect_neq(scratch_shell(&w, "grep -q '<script' *.svg"), 0, "markup got into the drawing");
    cr_expect_eq(scratch_shell(&w, "grep -q '&lt;script' prediction.svg"), 0, "the word is not there at all");
    scratch_remove(&w);
}

Test(figures, what_is_missing_is_named)
{
    static const struct { const char *kind, *inputs, *says; } all[] = {
        {"prediction", "fit.json", "needs a prediction.json"}, {"prediction", "prediction.json", "needs a fit.json"},
        {"parity", "lr.json", "needs a fit.json"},             {"lr-curves", "fit.json", "needs runs"},
        {"loss-curves", "fit.json", "needs runs"},             {"isoflop", "lr.csv", "needs N and C"},
        {"lr-curves", "runs.csv", "lr"},                        {"coord-check", "fit.json", "needs the JSON of a check"},
    };
    scratch w = scratch_make();
    synthetic_write(w.dir, NULL);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        err e = {0};
        cr_expect_eq(draw(&w, all[i].kind, all[i].inputs, NULL, NULL, &e), ST_INPUT, "%s of %s", all[i].kind, all[i].inputs);
        EXPECT_HAS(e.msg, all[i].says);
    }
    scratch_remove(&w);
}

/* Results with a key missing, null or of another type: a message or a figure, never a crash. */
Test(figures, damaged_results_are_survived)
{
    need_gnuplot();
    static const char *const cuts[] = {"points", "params", "bootstrap", "domain", "trust", "noise", "dropped", "target", "optimum", "pi95", "ci95", "naive", "loss", "groups", "trend", "fits"};
    static const char *const files[] = {"fit.json", "prediction.json", "score.json", "lr.json"};
    scratch w = scratch_make();
    for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++)
        for (int how = 0; how < 2; how++) {
            synthetic_write(w.dir, &(synthetic){.no_runs = true});
            for (int i = 0; i < 4; i++) {
                char path[IO_PATH_MAX];
                json_t *j = json_load_file(scratch_path(path, &w, files[i]), 0, NULL);
                if (!json_object_get(j, cuts[k])) { json_decref(j); continue; }
                json_object_set_new(j, cuts[k], how ? json_string("what?") : json_null());
                cr_assert_eq(json_dump_file(j, path, 0), 0);
                json_decref(j);
            }
            for (size_t f = 0; f < 5; f++) {
                static const char *const kinds[] = {"prediction", "loss-compute", "parity", "isoflop", "lr-curves"};
                plot_inputs in = {0};
                err e = {0};
                figure fig = {.width = FIGURE_COLUMN, .height = 300};
                add(&in, &w, f == 4 ? "lr.json" : "fit.json prediction.json score.json");
                status s = plot_figure_find(kinds[f], &e)->draw(&fig, &in, &e);
                cr_expect(s == ST_OK || s == ST_INPUT, "%s without %s: %s", kinds[f], cuts[k], e.msg);
                figure_free(&fig);
                plot_inputs_free(&in);
            }
        }
    scratch_remove(&w);
}

/* Rows of a check: slopes that are not those of its curves. Logits start at 0. */
static json_t *check_rows(bool wide)
{
    static const struct { const char *wide, *deep, *quantity, *verdict; double slope; } all[] = {
        {"embed", "embed", "x", "pass", 0.01},         {"embed", "embed", "dx", "pass", -0.02},
        {"blocks.0.attn", "blocks.first.attn", "x", "fail", 9}, {"blocks.0.attn", "blocks.first.attn", "dx", "fail", 9},
        {"blocks.1.attn", "blocks.last.attn", "x", "undecided", 0.17},
        {"blocks.1.attn", "blocks.last.attn", "dx", "fail", 0.83},
        {"blocks.1.ffn", "blocks.last.ffn", "x", "pass", 0.04}, {"blocks.1.ffn", "blocks.last.ffn", "dx", "pass", 0.05},
        {"stream", "stream", "x", "pass", 0.06},       {"stream", "stream", "dx", "pass", 0.07},
        {"logits", "logits", "dlogits", "pass", -0.31},
    };
    json_t *rows = json_pack("[{s:s,s:s,s:s,s:b}]", "place", "logits", "quantity", "logits", "verdict", "pass", "zero",
                             1);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:f,s:[f,f]}", "place", wide ? all[i].wide : all[i].deep,
                                              "quantity", all[i].quantity, "verdict", all[i].verdict, "slope",
                                              all[i].slope, "ci95", all[i].slope - 0.03, all[i].slope + 0.05));
    return rows;
}

/* A check whose activations are 2 width^0.5 t and whose changes are width^-0.25 (t - 1). */
static json_t *check_json(const char *par, const char *over)
{
    static const char *const names[] = {"embed", "attn", "ffn", "stream", "logits"};
    json_t *traces = json_array(), *sizes = json_array();
    for (int p = 0; p < 5; p++) {
        json_t *x = json_array(), *dx = json_array();
        for (int t = 1; t <= 3; t++) {
            json_t *a = json_array(), *b = json_array();
            for (int w = 64; w <= 512; w *= 2) {
                json_array_append_new(a, json_real(2 * sqrt(w) * t));
                json_array_append_new(b, json_real(pow(w, -0.25) * (t - 1)));
            }
            json_array_append_new(x, a);
            json_array_append_new(dx, b);
        }
        json_array_append_new(traces, json_pack("{s:s,s:o,s:o}", "place", names[p], "x", x, "dx", dx));
    }
    for (int w = 64; w <= 512; w *= 2) json_array_append_new(sizes, json_integer(w));
    return json_pack("{s:s,s:s,s:s,s:i,s:i,s:f,s:s,s:[{s:s,s:o,s:i,s:o,s:o}]}", "schema", "muscale.mup-check/1", "parametrisation", par, "verdict", "pass",
                     "seeds", 4, "steps", 2, "lr", 0.004, "diverged", "", "axes", "axis", over, "sizes", sizes,
                     strcmp(over, "width") ? "width" : "depth", 2, "rows", check_rows(!strcmp(over, "width")), "trace", traces);
}

static void put_check(const scratch *w, const char *name, json_t *o)
{
    char path[IO_PATH_MAX];
    cr_assert_eq(json_dump_file(o, scratch_path(path, w, name), JSON_PRESERVE_ORDER), 0);
    json_decref(o);
}

Test(figures, coordinate_checks)
{
    need_gnuplot();
    static const char evil[] = "x'; system('touch pwned'); `touch pwned` {/=40 a} %s%n";
    scratch w = scratch_make();
    text caption = {0}, said = {0};
    err e = {0};
    put_check(&w, "mup.json", check_json("mup", "width"));
    put_check(&w, "evil.json", check_json(evil, "width"));
    EXPECT_OK(draw(&w, "coord-check", "mup.json evil.json", &caption, &said, &e));
    cr_expect_eq(said.n, 0, "gnuplot says %s", text_str(&said));
    EXPECT_HAS(text_str(&caption), "over the width at depth 2; mean over 4 seeds, lr 0.004");
    EXPECT_HAS(text_str(&caption), "μP: the check says pass");
    char *tsv = slurp(&w, "coord-check.tsv"), *gp = slurp(&w, "coord-check.gp");
    cr_expect_eq(rows_of(tsv, "check 2 logits dx"), 4);
    EXPECT_HAS(tsv, "64\tNaN\t0.3535533906\t0.7071067812\n"); /* no logarithm before the first step */
    /* the check's own slopes, intervals and verdicts, of the last block; not those of the curves, +0.50 and -0.25 */
    EXPECT_HAS(gp, "set label 'step 0: +0.17, undecided'");
    EXPECT_HAS(gp, "set label 'step 2: +0.83, fail'");
    EXPECT_HAS(gp, "set label '[+0.80, +0.88]'");
    EXPECT_HAS(gp, "set label 'step 0: 0, pass'");
    EXPECT_HAS(gp, "set label 'step 2: −0.31, pass'");
    cr_expect_null(strstr(gp, "0.50,"));
    cr_expect_null(strstr(gp, "0.25,"));
    cr_expect_null(strstr(gp, "9.00"));
    cr_expect_eq(scratch_shell(&w, "test ! -e pwned"), 0, "a word was run");
    free(tsv);
    free(gp);
    text_free(&caption);
    text_free(&said);
    scratch_remove(&w);
}

Test(figures, checks_that_cannot_be_drawn_say_why)
{
    scratch w = scratch_make();
    put_check(&w, "mup.json", check_json("mup", "width"));
    put_check(&w, "deep.json", check_json("mup", "depth"));
    json_t *o = check_json("sp", "width");
    json_object_set_new(o, "diverged", json_string("width 512, seed 2: not finite after step 3"));
    put_check(&w, "diverged.json", o);
    o = check_json("sp", "width");
    json_object_del(json_array_get(json_object_get(o, "axes"), 0), "trace");
    put_check(&w, "old.json", o);
    o = check_json("sp", "width");
    json_t *rows = json_object_get(json_array_get(json_object_get(o, "axes"), 0), "rows");
    json_object_del(json_array_get(rows, 6), "ci95"); /* of the last block's attention */
    put_check(&w, "bare.json", o);
    static const struct { const char *inputs, *says; } all[] = {
        {"diverged.json", "width 512, seed 2"}, {"old.json", "make it again with `muscale --json mup check"},
        {"bare.json", "bare.json: holds no slope with interval and verdict for dx of attention"},
        {"mup.json deep.json", "mup.json: holds no sizes over depth"}, {"mup.json mup.json mup.json mup.json mup.json", "more than 4"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        err e = {0};
        cr_expect_eq(draw(&w, "coord-check", all[i].inputs, NULL, NULL, &e), ST_INPUT, "%s", all[i].inputs);
        EXPECT_HAS(e.msg, all[i].says);
    }
    /* a key missing, null or of another type: a message or a figure, never a crash */
    static const char *const cuts[] = {"parametrisation", "verdict", "seeds", "lr", "diverged", "axes", "axis", "sizes", "trace", "depth", "rows", "place", "x", "dx"};
    for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
        err e = {0};
        figure fig = {.width = FIGURE_COLUMN, .height = 300};
        plot_inputs in = {0};
        o = check_json("mup", "width");
        json_t *sizes = json_array_get(json_object_get(o, "axes"), 0), *at = o;
        if (json_object_get(sizes, cuts[k])) at = sizes;
        else if (!json_object_get(o, cuts[k])) at = json_array_get(json_object_get(sizes, "trace"), 1);
        json_object_set_new(at, cuts[k], k % 2 ? json_string("what?") : json_null());
        put_check(&w, "cut.json", o);
        add(&in, &w, "cut.json");
        status s = plot_figure_find("coord-check", &e)->draw(&fig, &in, &e);
        cr_expect(s == ST_OK || s == ST_INPUT, "without %s: %s", cuts[k], e.msg);
        figure_free(&fig);
        plot_inputs_free(&in);
    }
    scratch_remove(&w);
}

/* A journal as a run writes it: two tensors, three steps. */
static void put_updates(const scratch *w, const char *dir, int steps)
{
    char path[IO_PATH_MAX], command[128], line[512];
    snprintf(command, sizeof command, "mkdir -p %s", dir);
    cr_assert_eq(scratch_shell(w, command), 0);
    snprintf(command, sizeof command, "%s/journal.jsonl", dir);
    FILE *f = fopen(scratch_path(path, w, command), "w");
    cr_assert_not_null(f);
    for (int t = 0; t <= steps; t++) {
        if (!t) snprintf(line, sizeof line, "{\"event\":\"start\",\"schema\":\"muscale.journal/1\",\"run_id\":\"0123456789abcdef\"");
        else
            snprintf(line, sizeof line, "{\"k\":\"updates\",\"step\":%d,\"tokens\":%d,\"tensors\":[\"embed\",\"blocks.0.attn.q\"],\"ratio\":[0.01,0.02],"
                     "\"alignment\":[null,-0.5],\"v_over_eps\":[2e5,%d],\"eps_felt\":[0,0]", 10 * t, 100 * t, 50 * t);
        fwrite(line, 1, jline_seal(line, strlen(line)), f);
    }
    cr_assert_eq(fclose(f), 0);
}

Test(figures, updates)
{
    need_gnuplot();
    scratch w = scratch_make();
    text caption = {0}, said = {0};
    err e = {0};
    put_updates(&w, "run", 3);
    put_updates(&w, "short", 1);
    EXPECT_OK(draw(&w, "updates", "run short", &caption, &said, &e));
    cr_expect_eq(said.n, 0, "gnuplot says %s", text_str(&said));
    EXPECT_HAS(text_str(&caption), "Run 0123456789abcdef: 3 steps");
    EXPECT_HAS(text_str(&caption), "ε was at most 2 % of √v (blocks.0.attn.q)");
    char *tsv = slurp(&w, "updates.tsv");
    cr_expect_eq(rows_of(tsv, "embedding"), 3);
    EXPECT_HAS(tsv, "# attention\n# step\t|dW|/|W| in %\tcos(dW, W)\tsqrt(v)/eps\n10\t2\t-0.5\t50\n20\t2\t-0.5\t100\n");
    free(tsv);
    cr_expect_eq(draw(&w, "updates", "short", NULL, NULL, &e), ST_INPUT);
    EXPECT_HAS(e.msg, "train with log_updates_every=100");
    cr_expect_eq(draw(&w, "updates", "run run", NULL, NULL, &e), ST_INPUT);
    EXPECT_HAS(e.msg, "2 runs logged updates, one is drawn");
    text_free(&caption);
    text_free(&said);
    scratch_remove(&w);
}

Test(figures, foreign_files_are_refused)
{
    static const struct { const char *name, *body, *says; } all[] = {
        {"a.json", "{\"schema\":\"muscale.fit/1\",", ":1:"}, {"b.json", "[1,2]", "not a JSON object"}, {"c.json", "{\"x\":1}", "schema"},
        {"d.json", "", "not a JSON object"}, {"e.json", "{\"schema\":\"muscale.fit/2\"}", "muscale.fit/2"}};
    scratch w = scratch_make();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char path[IO_PATH_MAX];
        plot_inputs in = {0};
        err e = {0};
        scratch_file(path, &w, all[i].name, all[i].body, strlen(all[i].body));
        cr_expect_eq(plot_inputs_add(&in, path, &e), ST_INPUT, "%s", all[i].name);
        EXPECT_HAS(e.msg, all[i].says);
        EXPECT_HAS(e.msg, all[i].name);
        plot_inputs_free(&in);
    }
    scratch_remove(&w);
}

Test(figures, where_keeps_curves_and_points_alike)
{
    scratch w = scratch_make();
    err e = {0};
    plot_inputs in = {.where = "d_model >= 64"};
    synthetic_write(w.dir, NULL);
    add(&in, &w, "campaign");
    EXPECT_OK(plot_inputs_curves(&in, &e));
    EXPECT_OK(plot_inputs_runs(&in, &e));
    cr_expect_eq(in.n_curves, 9);
    cr_expect_eq(in.runs.n_rows, 9);
    plot_inputs_free(&in);
    scratch_remove(&w);
}

Test(figures, a_damaged_run_does_not_take_the_others_away)
{
    scratch w = scratch_make();
    char path[IO_PATH_MAX];
    err e = {0};
    plot_inputs in = {0};
    synthetic_write(w.dir, NULL);
    scratch_file(path, &w, "campaign/runs/000000000000ab01/journal.jsonl", "rubbish\n", 8);
    add(&in, &w, "campaign");
    EXPECT_OK(plot_inputs_curves(&in, &e));
    cr_expect_eq(in.n_curves, 11);
    EXPECT_HAS(text_str(&in.notes), "ab01");
    plot_inputs_free(&in);
    scratch_remove(&w);
}

/* The key must not hide data: a panel full of points raises its roof. */
Test(figures, a_key_makes_room_for_itself)
{
    figure f = {.width = 400, .height = 300};
    range r = {0, 10};
    panel p = {.box = {60, 40, 300, 240}, .x = axis_over(AXIS_LINEAR, WORDS_PLAIN, r, 0, "x"), .y = axis_over(AXIS_LINEAR, WORDS_PLAIN, r, 0, "y"), .key = CORNER_TOP_RIGHT};
    for (int i = 0; i <= 20; i++)
        for (int k = 0; k <= 20; k++) panel_ink(&p, i / 2.0, k / 2.0);
    panel_plot(&p, "a key", "x");
    panel_close(&f, &p);
    double lo = 0, hi = 0;
    const char *at = strstr(f.script.s, "set yrange");
    cr_assert(at && sscanf(at, "set yrange [%lf:%lf]", &lo, &hi) == 2);
    cr_expect(hi > 11 && hi < 16, "roof at %g", hi);
    figure_free(&f);
    panel q = {.box = {60, 40, 300, 240}, .x = axis_over(AXIS_LINEAR, WORDS_PLAIN, r, 0, "x"), .y = axis_over(AXIS_LINEAR, WORDS_PLAIN, r, 0, "y"), .key = CORNER_TOP_RIGHT};
    f = (figure){.width = 400, .height = 300};
    panel_ink(&q, 9, 9); /* the twin: only one corner taken */
    panel_plot(&q, "a key", "x");
    panel_close(&f, &q);
    EXPECT_HAS(f.script.s, "set yrange [0:10]");
    EXPECT_HAS(f.script.s, "left top");
    figure_free(&f);
}
