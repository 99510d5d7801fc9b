/* muscale plot: one figure, with the script and data that draw it again. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "plots/plots.h"

static int list_figures(const cli *c)
{
    if (!c->json) {
        for (size_t i = 0; i < plot_n_figures; i++)
            printf("%-13s %s\n              from %s\n", plot_figures[i].kind, plot_figures[i].shows, plot_figures[i].needs);
        return 0;
    }
    json_t *all = json_array();
    for (size_t i = 0; i < plot_n_figures; i++)
        json_array_append_new(all, json_pack("{s:s,s:s,s:s}", "kind", plot_figures[i].kind, "shows", plot_figures[i].shows, "needs", plot_figures[i].needs));
    return cli_json_out(json_pack("{s:s,s:o}", "schema", "muscale.figures/1", "figures", all));
}

/* gnuplot reports a directory it cannot write to only after the work; and then in its own words. */
static status check_writable(const char *dir, err *e)
{
    if (!io_exists(dir)) return err_set(e, ST_IO, "-o: no directory %s; make it first", dir);
    if (access(dir, W_OK | X_OK)) return err_set(e, ST_IO, "-o: directory %s is not writable", dir);
    return ST_OK;
}

static void say_lines(const cli *c, const char *lines)
{
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        if (n) cli_verbose(c, "%.*s", (int)n, lines);
        lines += n + (lines[n] == '\n');
    }
}

static status draw(const cli *c, plot_inputs *in, const cli_list *rest, const char *out, err *e)
{
    char dir[IO_PATH_MAX], name[IO_PATH_MAX];
    plot_format format;
    text caption = {0}, said = {0};
    const plot_figure *kind = plot_figure_find(rest->items[0], e);
    if (!kind) return ST_USAGE;
    if (rest->n < 2) return err_set(e, ST_USAGE, "plot %s: no input given; it needs %s", kind->kind, kind->needs);
    if (!out) return err_set(e, ST_USAGE, "plot %s: where to? give -o FILE.svg (or .pdf, .png, .txt)", kind->kind);
    status s = plot_path_split(dir, name, &format, out, e);
    if (!s) s = check_writable(dir, e);
    for (size_t i = 1; i < rest->n && !s; i++) s = plot_inputs_add(in, rest->items[i], e);
    if (!s) s = plot_draw(kind, in, dir, name, &format, 1, &caption, &said, e);
    say_lines(c, text_str(&in->notes));
    say_lines(c, text_str(&said));
    if (!s && c->json)
        cli_json_out(json_pack("{s:s,s:s,s:s,s:s,s:s}", "schema", "muscale.plot/1", "kind", kind->kind, "file", out, "format", plot_format_name(format), "caption",
                               text_str(&caption)));
    else if (!s && c->verbosity >= 0) printf("%s\n%s\n", out, text_str(&caption));
    text_free(&caption);
    text_free(&said);
    return s;
}

int cmd_plot(cli *c, int argc, char **argv)
{
    const char *out = NULL, *where = NULL;
    bool list = false;
    const cli_opt opts[] = {
        {"output", 'o', OPT_TEXT, &out, "FILE", "the figure; its extension says the format: svg, pdf, png or txt. FILE's .gp and .tsv stand beside it"},
        {"where", 0, OPT_TEXT, &where, "EXPR", "only these runs, as in --where \"parametrisation == mup and d_model >= 64\""},
        {"list", 0, OPT_FLAG, &list, NULL, "the figures, what they show and what they need"},
    };
    cli_list rest = {0};
    plot_inputs in = {0};
    err e = {0};
    int rc = 0;
    status s = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &rest, &e);
    in.where = where;
    if (s || c->show_help) rc = s ? cli_usage(c, "plot", &e) : 0;
    else if (list) rc = list_figures(c);
    else if (!rest.n) {
        err_set(&e, ST_USAGE, "plot: which figure? `muscale plot --list` shows them");
        rc = cli_usage(c, "plot", &e);
    } else {
        s = draw(c, &in, &rest, out, &e);
        rc = !s ? 0 : s == ST_USAGE ? cli_usage(c, "plot", &e) : cli_fail(c, &e);
    }
    plot_inputs_free(&in);
    free(rest.items);
    return rc;
}
