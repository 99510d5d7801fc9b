/* The report: what was asked, what was predicted, how it did, and everything needed to check it. Sections whose inputs are
 * missing are left out, and the page says which and why. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/kinds.h"
#include "plots/page.h"
#include "plots/report.h"

enum { RUN_ROWS_MAX = 40, TENSOR_ROWS_MAX = 120 };

typedef struct maker {
    page p;
    plot_inputs *in;
    const char *dir;      /* DIR/figures */
    text left_out;        /* "title\treason\n" */
    report_result *out;
} maker;

static status add_figure(maker *m, const char *kind, err *e)
{
    static const plot_format formats[] = {PLOT_SVG, PLOT_PDF, PLOT_PNG};
    err why = {0};
    text caption = {0};
    const plot_figure *f = plot_figure_find(kind, &why);
    status s = plot_draw(f, m->in, m->dir, kind, formats, 3, &caption, NULL, &why);
    if (!s) {
        page_figure(&m->p, kind, f->title, text_str(&caption));
        m->out->n_figures++;
    } else if (s == ST_INPUT || s == ST_SYSTEM) { /* no inputs for it, or no gnuplot: the numbers are still worth reading */
        const char *reason = why.msg;
        size_t n = strlen(kind) + 9;
        if (!strncmp(reason, "figure ", 7) && strlen(reason) > n) reason += n;
        text_add(&m->left_out, "%s\t%s\n", f->title, reason);
        m->out->n_left_out++;
        if (s == ST_SYSTEM && !m->out->trouble[0]) snprintf(m->out->trouble, sizeof m->out->trouble, "%.*s", (int)sizeof m->out->trouble - 1, why.msg);
        s = ST_OK;
    } else if (e) *e = why;
    text_free(&caption);
    return s;
}

static void left_out(maker *m)
{
    const char *s = text_str(&m->left_out);
    if (!*s) return;
    page_heading(&m->p, "Left out");
    page_table(&m->p, "figure\twhy");
    while (*s) {
        size_t n = strcspn(s, "\t"), k = strcspn(s + n + 1, "\n");
        page_cell(&m->p, "%.*s", (int)n, s);
        page_cell(&m->p, "%.*s", (int)k, s + n + 1);
        page_row(&m->p);
        s += n + k + 2;
    }
}

static bool draws(status *s, maker *m, const char *kind, err *e)
{
    if (!*s) *s = add_figure(m, kind, e);
    return !*s;
}

/* What only some fits hold is no part left out of the others. */
static void fit_figures(status *s, maker *m, err *e)
{
    const plot_input *fit = plot_inputs_find(m->in, PLOT_FIT);
    if (!fit) return;
    if (js_len(fit->doc, "basins") > 1) draws(s, m, "basins", e);
    if (js_get(fit->doc, "bootstrap.samples")) draws(s, m, "cloud", e);
    if (js_len(fit->doc, "profiles")) draws(s, m, "profile", e);
    if (js_len(fit->doc, "backtest.folds") || js_len(fit->doc, "holdout.points.predicted")) draws(s, m, "backtest", e);
}

/* --- sections of runs and provenance; those of results are in report_results.c --------------------------------------- */

static const char *cell_of(char buf[64], const table *t, const char *name, size_t row)
{
    const table_column *c = table_col(t, name);
    if (!c) snprintf(buf, 64, "–");
    else if (c->is_text) snprintf(buf, 64, "%s", table_word(c, row));
    else if (isnan(c->x[row])) snprintf(buf, 64, "–");
    else if (isinf(c->x[row])) snprintf(buf, 64, "diverged");
    else snprintf(buf, 64, "%.6g", c->x[row]);
    return buf;
}

static void count_status(page *p, const table *t)
{
    const table_column *c = table_col(t, "status");
    text line = {0};
    text_add(&line, "%zu runs", t->n_rows);
    for (size_t w = 0; c && c->is_text && w < c->n_words; w++) {
        size_t n = 0;
        for (size_t i = 0; i < t->n_rows; i++) n += !strcmp(table_word(c, i), c->words[w]);
        if (n) text_add(&line, "%s %zu %s", ",", n, c->words[w]);
    }
    page_text(p, "%s.", text_str(&line));
    text_free(&line);
}

static void section_runs(maker *m)
{
    static const char *const names[] = {"run", "parametrisation", "width", "depth", "lr", "N", "D", "C", "seed", "loss", "status"};
    err why = {0};
    char buf[64];
    if (!plot_inputs_find(m->in, PLOT_RUNS)) return;
    page_heading(&m->p, "Runs");
    if (plot_inputs_runs(m->in, &why)) {
        page_text(&m->p, "No table of runs: %s", why.msg);
        return;
    }
    const table *t = &m->in->runs;
    text head = {0};
    count_status(&m->p, t);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (table_col(t, names[k])) text_add(&head, "%s%s", head.n ? "\t" : "", names[k]);
    if (head.n) {
        page_table(&m->p, text_str(&head));
        for (size_t i = 0; i < t->n_rows && i < RUN_ROWS_MAX; i++) {
            for (size_t k = 0; k < sizeof names / sizeof *names; k++)
                if (table_col(t, names[k])) page_cell(&m->p, "%s", cell_of(buf, t, names[k], i));
            page_row(&m->p);
        }
        if (t->n_rows > RUN_ROWS_MAX) page_text(&m->p, "And %zu more.", t->n_rows - RUN_ROWS_MAX);
    }
    text_free(&head);
}

static void command_line(text *out, const json_t *argv)
{
    for (size_t i = 0; i < json_array_size(argv); i++) {
        const char *w = json_string_value(json_array_get(argv, i));
        bool plain = w && *w && strspn(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+=/:,@%") == strlen(w);
        text_add(out, plain ? "%s%s" : "%s'%s'", i ? " " : "", w ? w : "");
    }
    if (json_array_size(argv)) text_put(out, "\n");
}

static void section_provenance(maker *m, char *const *argv, int argc, const char *version)
{
    char spec[IO_PATH_MAX], sha[IO_SHA256_HEX];
    text commands = {0};
    page_heading(&m->p, "Provenance");
    page_table(&m->p, "input\tsha256");
    for (size_t k = 0; k < m->in->n; k++) {
        const plot_input *i = &m->in->item[k];
        err ignored = {0};
        page_cell(&m->p, "%s", i->path);
        if (!i->sha256[0] && !io_join(spec, i->path, "spec.yaml", &ignored) && !io_sha256_file(sha, spec, &ignored)) page_cell(&m->p, "%s (its spec.yaml)", sha);
        else page_cell(&m->p, "%s", i->sha256[0] ? i->sha256 : "a directory");
        page_row(&m->p);
        const json_t *sources = js_get(i->doc, "provenance.inputs");
        for (size_t j = 0; j < json_array_size(sources); j++) {
            page_cell(&m->p, "%s, read by %s", js_str_or(json_array_get(sources, j), "path", "?"), i->path);
            page_cell(&m->p, "%s", js_str_or(json_array_get(sources, j), "sha256", "–"));
            page_row(&m->p);
        }
        command_line(&commands, js_get(i->doc, "provenance.argv"));
    }
    for (int i = 0; i < argc; i++) text_add(&commands, "%s%s", i ? " " : "", argv[i]);
    page_text(&m->p, "Made by muscale %s with these commands:", version);
    page_code(&m->p, text_str(&commands));
    if (m->in->notes.n) {
        page_text(&m->p, "Notes while reading:");
        page_code(&m->p, text_str(&m->in->notes));
    }
    text_free(&commands);
}

static status publish(maker *m, const char *dir, err *e)
{
    text html = {0}, md = {0};
    status s = io_join(m->out->html, dir, "report.html", e);
    if (!s) s = io_join(m->out->md, dir, "report.md", e);
    if (!s) s = page_html(&html, &m->p, dir, e);
    if (!s) page_markdown(&md, &m->p);
    if (!s && md.failed) s = err_set(e, ST_NOMEM, "no memory for the report");
    if (!s) s = io_publish(m->out->html, html.s, html.n, e);
    if (!s) s = io_publish(m->out->md, md.s, md.n, e);
    text_free(&html);
    text_free(&md);
    return s;
}

status report_write(report_result *out, plot_inputs *in, const char *dir, char *const *argv, int argc, const char *version, err *e)
{
    char figures[IO_PATH_MAX];
    memset(out, 0, sizeof *out);
    maker m = {.in = in, .dir = figures, .out = out};
    snprintf(m.p.title, sizeof m.p.title, "muscale report");
    status s = io_join(figures, dir, "figures", e);
    if (!s) s = io_mkdirs(figures, e);
    if (s) return s;
    out->missed = report_verdict(&m.p, in);
    report_outcome(&m.p, in);
    draws(&s, &m, "prediction", e);
    report_law(&m.p, in);
    draws(&s, &m, "loss-compute", e);
    draws(&s, &m, "surface", e);
    draws(&s, &m, "parity", e);
    draws(&s, &m, "residuals", e);
    draws(&s, &m, "isoflop", e);
    fit_figures(&s, &m, e);
    report_rates(&m.p, in);
    draws(&s, &m, "lr-curves", e);
    report_target(&m.p, in, TENSOR_ROWS_MAX);
    section_runs(&m);
    draws(&s, &m, "loss-curves", e);
    draws(&s, &m, "schedule", e);
    left_out(&m);
    section_provenance(&m, argv, argc, version);
    if (!s && m.left_out.failed) s = err_set(e, ST_NOMEM, "no memory for the report");
    if (!s) s = publish(&m, dir, e);
    page_free(&m.p);
    text_free(&m.left_out);
    return s;
}
