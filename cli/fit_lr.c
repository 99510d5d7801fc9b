#include "cli/fit_lr.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fit/lr_optimum.h"
#include "fit/lr_surface.h"

static void say(void *who, int level, const char *line)
{
    if (level > 0) cli_verbose(who, "%s", line);
    else cli_note(who, "%s", line);
}

/* "0.25%" or "0.0025". */
static status parse_share(double *out, const char *text, err *e)
{
    char number[32];
    size_t n = strlen(text);
    bool percent = n && text[n - 1] == '%';
    snprintf(number, sizeof number, "%.*s", (int)(n - percent), text);
    if (n >= sizeof number || !num_parse_f64(number, out) || !(*out > 0) || (percent ? *out / 100 : *out) >= 1)
        return err_set(e, ST_USAGE, "--near-best '%s': a share of the lowest loss, as 0.25%% or 0.0025", text);
    if (percent) *out /= 100;
    return ST_OK;
}

static status write_optima(const fit_lr_args *a, char *text, size_t n, const cli *c, err *e)
{
    status s = io_publish(a->optima, text, n, e);
    if (!s) cli_note(c, "written: %s", a->optima);
    return s;
}

/* Learning rate and batch (fit/lr_surface.h). */
static status run_surface(fit_result *r, const table *t, size_t n_where, const fit_lr_args *a, const fit_input_opts *in,
                          const fit_opts *o, cli *c, err *e)
{
    lr_surface found = {0};
    lr_surface_opts so = {.n_draws = o->bootstrap, .seed = o->seed, .count_rule = in->count_rule};
    char *text = NULL;
    size_t n = 0;
    status s = a->near_best ? parse_share(&so.share, a->near_best, e)
               : a->surface ? lr_how_find(&so.how, a->surface, e)
                            : ST_OK;
    if (a->near_best) so.how = LR_NEAR_BEST;
    if (!s) s = lr_surface_table(&found, t, &so, e);
    if (!s) s = fit_from_lr_surface(r, &found, t, n_where, e);
    if (!s)
        cli_note(c, "%zu rows used, in %zu cells of size and tokens", t->n_rows - found.n_unfinished, found.n_cells);
    if (!s && a->optima) s = lr_surface_csv(&text, &n, &found, e);
    if (!s && a->optima) s = write_optima(a, text, n, c, e);
    free(text);
    lr_surface_free(&found);
    return s;
}

/* Learning rate alone (fit/lr_optimum.h). */
static status run_widths(fit_result *r, const table *t, size_t n_where, const fit_lr_args *a, const fit_opts *o, cli *c,
                         err *e)
{
    lr_optimum lr = {0};
    lr_opts lo = lr_opts_default();
    char *text = NULL;
    size_t n = 0;
    lo.n_draws = o->bootstrap;
    lo.seed = o->seed;
    status s = lr_optimum_table(&lr, t, &lo, e);
    if (!s) cli_note(c, "%zu rows read, %zu used", t->n_rows + n_where, t->n_rows - lr.n_unfinished);
    if (!s) s = fit_from_lr_optimum(r, &lr, t, n_where, e);
    if (!s && a->optima) s = lr_optimum_csv(&text, &n, &lr, e);
    if (!s && a->optima) s = write_optima(a, text, n, c, e);
    free(text);
    lr_optimum_free(&lr);
    return s;
}

/* The learning-rate optimum is its own arithmetic in the same envelope. */
status fit_lr_run(fit_result *r, table *t, const fit_lr_args *a, const fit_input_opts *in, const fit_opts *o, cli *c,
                  err *e)
{
    size_t before = t->n_rows, kept = before;
    memset(r, 0, sizeof *r);
    status s = fit_input_columns(t, in, say, c, e);
    if (!s && in->where && (s = table_where(t, in->where, &kept, e))) err_prefix(e, "--where");
    if (s) return s;
    if (!kept)
        return err_set(e, ST_INPUT, "no row is left%s%s", in->where ? " after --where " : "",
                       in->where ? in->where : "");
    bool surface = a->surface || a->near_best || lr_surface_applies(t);
    return surface ? run_surface(r, t, before - kept, a, in, o, c, e) : run_widths(r, t, before - kept, a, o, c, e);
}
