/* muscale report: everything that is known about a sweep and its prediction on one page. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "config.h"
#include "plots/plots.h"

static void say_lines(const cli *c, const char *lines)
{
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        if (n) cli_note(c, "%.*s", (int)n, lines);
        lines += n + (lines[n] == '\n');
    }
}

static status make(const cli *c, plot_inputs *in, const cli_list *rest, const char *dir, report_result *out, err *e)
{
    status s = ST_OK;
    if (!rest->n) return err_set(e, ST_USAGE, "report: of what? give a campaign, fit.json, prediction.json, score.json, or several of them");
    if (!dir) return err_set(e, ST_USAGE, "report: where to? give -o DIR");
    for (size_t i = 0; i < rest->n && !s; i++) s = plot_inputs_add(in, rest->items[i], e);
    if (!s) s = report_write(out, in, dir, c->argv0, c->argc0, PACKAGE_VERSION, e);
    say_lines(c, text_str(&in->notes));
    return s;
}

static int print(const cli *c, const report_result *r)
{
    if (c->json)
        return cli_json_out(json_pack("{s:s,s:s,s:s,s:I,s:I,s:b}", "schema", "muscale.report/1", "html", r->html, "markdown", r->md, "figures", (json_int_t)r->n_figures,
                                      "left_out", (json_int_t)r->n_left_out, "missed", r->missed));
    if (c->verbosity >= 0) printf("%s\n", r->html);
    if (r->n_left_out) cli_note(c, "%zu figures, %zu left out (the report says why)", r->n_figures, r->n_left_out);
    return 0;
}

int cmd_report(cli *c, int argc, char **argv)
{
    const char *dir = NULL, *where = NULL;
    const cli_opt opts[] = {
        {"output", 'o', OPT_TEXT, &dir, "DIR", "report.html, report.md and figures/ (svg, pdf, png, with script and data); made when absent"},
        {"where", 0, OPT_TEXT, &where, "EXPR", "only these runs in the figures and tables of runs"},
    };
    cli_list rest = {0};
    plot_inputs in = {0};
    report_result out = {0};
    err e = {0};
    int rc;
    status s = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &rest, &e);
    in.where = where;
    if (s || c->show_help) rc = s ? cli_usage(c, "report", &e) : 0;
    else if ((s = make(c, &in, &rest, dir, &out, &e))) rc = s == ST_USAGE ? cli_usage(c, "report", &e) : cli_fail(c, &e);
    else {
        if (out.trouble[0]) cli_warn(c, "the report has no figures: %s", out.trouble);
        rc = print(c, &out);
    }
    plot_inputs_free(&in);
    free(rest.items);
    return rc;
}
