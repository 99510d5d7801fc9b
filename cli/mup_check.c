/* muscale mup check: does the parametrisation hold on this model? Slopes over width and depth with a verdict each. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "cli/config_args.h"
#include "cli/config_json.h"
#include "cli/mup.h"
#include "config.h"
#include "kernels/kernels.h"
#include "sweeps/coord_check.h"

enum { MAX_SIZES = 64 };

/* "64,128,256" */
static status read_sizes(int64_t *out, size_t *n, const char *text, const char *option, err *e)
{
    *n = 0;
    for (const char *p = text;; p++) {
        char word[32], *end;
        const size_t len = strcspn(p, ",");
        snprintf(word, sizeof word, "%.*s", len < sizeof word ? (int)len : (int)sizeof word - 1, p);
        out[*n] = strtoll(word, &end, 10);
        if (!len || *end || len >= sizeof word || out[*n] <= 0)
            return err_set(e, ST_USAGE, "--%s: '%s' is no whole number above 0; write them as 64,128,256,512", option,
                           word);
        ++*n;
        if (!*(p += len)) return ST_OK;
        if (*n == MAX_SIZES) return err_set(e, ST_USAGE, "--%s: more than %d", option, MAX_SIZES);
    }
}

/* 64 ... 512, in whole heads. */
static size_t default_widths(int64_t *out, const trainer_config *c, bool grow_head_dim)
{
    const int64_t head = c->shape.head_dim > 0 ? c->shape.head_dim : 1, heads = c->shape.d_model / head;
    const int64_t unit = grow_head_dim ? 2 * (heads > 0 ? heads : 1) : head;
    const int64_t group = c->shape.n_kv_head > 0 && !grow_head_dim ? heads / c->shape.n_kv_head : 1;
    const int64_t step = unit * (group > 0 ? group : 1);
    const int64_t first = (64 + step - 1) / step * step;
    for (size_t i = 0; i < 4; i++) out[i] = first << i;
    return 4;
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static json_t *bound(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *row_json(const coord_axis *a, const coord_row *r, size_t seeds)
{
    json_t *values = json_array();
    for (size_t i = 0; i < a->n_sizes; i++) {
        json_t *at = json_array();
        for (size_t j = 0; j < seeds; j++) json_array_append_new(at, json_real(r->y[i * seeds + j]));
        json_array_append_new(values, at);
    }
    json_t *o = json_pack("{s:s, s:s, s:s}", "place", r->place, "quantity", mup_coord_name(r->quantity), "verdict",
                          mup_coord_word(r->verdict));
    if (r->zero) json_object_set_new(o, "zero", json_true());
    else
        json_object_update_new(o, json_pack("{s:f, s:f, s:[f,f], s:f, s:[o,o], s:[o,o]}", "expected",
                                            r->bounds.expected, "slope", r->fit.slope, "ci95", r->fit.lo, r->fit.hi,
                                            "r2", r->fit.r2, "pass", bound(r->bounds.pass_lo), bound(r->bounds.pass_hi),
                                            "fail", bound(r->bounds.fail_lo), bound(r->bounds.fail_hi)));
    json_object_set_new(o, "values", values);
    return o;
}

/* Mean over seeds, [t][size]. */
static json_t *grid_json(const double *y, int64_t steps, size_t sizes, size_t seeds)
{
    json_t *all = json_array();
    for (size_t t = 0; t <= (size_t)steps; t++) {
        json_t *at = json_array();
        for (size_t i = 0; i < sizes; i++) {
            double sum = 0;
            for (size_t j = 0; j < seeds; j++) sum += y[(t * sizes + i) * seeds + j];
            json_array_append_new(at, bound(sum / (double)seeds));
        }
        json_array_append_new(all, at);
    }
    return all;
}

static json_t *traces_json(const coord_axis *a, const coord_result *x)
{
    json_t *all = json_array();
    for (size_t p = 0; p < COORD_N_TRACES && a->trace[p].x && !*x->diverged; p++)
        json_array_append_new(all, json_pack("{s:s, s:o, s:o}", "place", coord_trace_name(p), "x",
                                             grid_json(a->trace[p].x, x->steps, a->n_sizes, x->seeds), "dx",
                                             grid_json(a->trace[p].dx, x->steps, a->n_sizes, x->seeds)));
    return all;
}

static json_t *axis_json(const coord_axis *a, const coord_result *x)
{
    json_t *rows = json_array(), *sizes = json_array();
    const bool wide = a->axis == MUP_OVER_WIDTH;
    for (size_t i = 0; i < a->n_sizes; i++) json_array_append_new(sizes, json_integer((json_int_t)a->sizes[i]));
    for (size_t i = 0; i < a->n_rows && !*x->diverged; i++)
        json_array_append_new(rows, row_json(a, &a->rows[i], x->seeds));
    return json_pack("{s:s, s:o, s:I, s:o, s:o}", "axis", wide ? "width" : "depth", "sizes", sizes,
                     wide ? "depth" : "width", (json_int_t)(wide ? x->depth_of_widths : x->width_of_depths), "rows",
                     rows, "trace", traces_json(a, x));
}

/* The record says of which model it is: `mup export --check` takes it as evidence for that one only. */
static int print_json(const cli *c, const coord_result *x)
{
    json_t *axes = json_array(), *argv = json_array();
    for (size_t k = 0; k < x->n_axes; k++) json_array_append_new(axes, axis_json(&x->axes[k], x));
    for (int i = 0; i < c->argc0; i++) json_array_append_new(argv, json_string(c->argv0[i]));
    return cli_json_out(json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:f, s:f, s:I, s:s, s:s, s:o, s:o, s:{s:o, s:s}}", "schema",
        "muscale.mup-check/1", "parametrisation", x->config.parametrisation, "backend", x->backend, "verdict",
        mup_coord_word(x->verdict), "seeds", (json_int_t)x->seeds, "steps", (json_int_t)x->steps, "lr",
        x->config.base.lr, "weight_decay", 0.0, "seq_len", (json_int_t)x->seq_len,
        "grow", x->grow_head_dim ? "head_dim" : "heads", "diverged", x->diverged, "axes", axes, "config",
        cli_config_json(&x->config), "provenance", "argv", argv, "version", PACKAGE_VERSION));
}

/* --- text: of equal places in all blocks the worst ---------------------------------------------------------------- */

/* "blocks.*.attn.q" */
static void group_name(char *out, size_t n, const coord_row *r)
{
    const char *tail = strncmp(r->place, "blocks.", 7) ? NULL : strchr(r->place + 7, '.');
    if (tail && r->place[7] >= '0' && r->place[7] <= '9') snprintf(out, n, "blocks.*%s", tail);
    else snprintf(out, n, "%s", r->place);
}

static bool worse(const coord_row *a, const coord_row *b)
{
    static const int rank[] = {
        [MUP_COORD_PASS] = 1, [MUP_COORD_FAIL] = 3, [MUP_COORD_UNDECIDED] = 2, [MUP_COORD_SHOWN] = 0};
    if (a->verdict != b->verdict) return rank[a->verdict] > rank[b->verdict];
    return fabs(a->fit.slope - a->bounds.expected) > fabs(b->fit.slope - b->bounds.expected);
}

static const coord_row *worst_of(const coord_axis *a, size_t i, size_t *count)
{
    const coord_row *worst = &a->rows[i];
    char name[48], other[48];
    group_name(name, sizeof name, worst);
    *count = 0;
    for (size_t k = 0; k < a->n_rows; k++) {
        group_name(other, sizeof other, &a->rows[k]);
        if (a->rows[k].quantity != worst->quantity || strcmp(name, other)) continue;
        if (k < i) return NULL; /* printed */
        if (worse(&a->rows[k], worst)) worst = &a->rows[k];
        ++*count;
    }
    return worst;
}

static double mean_at(const coord_row *r, size_t size, size_t seeds)
{
    double sum = 0;
    for (size_t j = 0; j < seeds; j++) sum += r->y[size * seeds + j];
    return sum / (double)seeds;
}

static void print_row(const coord_axis *a, const coord_row *r, size_t seeds)
{
    printf("%-24s %-8s", r->place, mup_coord_name(r->quantity));
    if (r->zero) printf(" %8s %8s %16s %6s", "0", "", "", "");
    else
        printf(" %+8.2f %+8.2f   [%+5.2f, %+5.2f] %6.3f", r->bounds.expected, r->fit.slope, r->fit.lo, r->fit.hi,
               r->fit.r2);
    printf("  %9.3g %9.3g  %s\n", mean_at(r, 0, seeds), mean_at(r, a->n_sizes - 1, seeds), mup_coord_word(r->verdict));
}

static void print_axis(const cli *c, const coord_result *x, const coord_axis *a)
{
    const bool wide = a->axis == MUP_OVER_WIDTH;
    size_t folded = 0;
    printf("over %s", wide ? "width" : "depth");
    for (size_t i = 0; i < a->n_sizes; i++) printf("%s %.10g", i ? "," : "", a->sizes[i]);
    printf(" at %s %" PRId64 "\n", wide ? "depth" : "width", wide ? x->depth_of_widths : x->width_of_depths);
    printf("%-24s %-8s %8s %8s   %-14s %6s  %9s %9s\n", "place", "quantity", "expected", "slope", "95 %", "R2",
           "smallest", "largest");
    for (size_t i = 0; i < a->n_rows; i++) {
        size_t n = 1;
        const coord_row *r = c->verbosity > 0 ? &a->rows[i] : worst_of(a, i, &n);
        if (!r) continue;
        print_row(a, r, x->seeds);
        folded += n > 1 ? n - 1 : 0;
    }
    if (folded) printf("(of each quantity in the blocks the worst; %zu more with -v)\n", folded);
}

/* Of each quantity that fails the worst row, and where to look. */
static void print_causes(const coord_axis *a)
{
    for (int q = 0; q < MUP_COORD_N; q++) {
        const coord_row *worst = NULL;
        for (size_t i = 0; i < a->n_rows; i++) {
            const coord_row *r = &a->rows[i];
            if ((int)r->quantity == q && r->verdict == MUP_COORD_FAIL && (!worst || worse(r, worst))) worst = r;
        }
        if (!worst) continue;
        printf("fails: %s of %s: slope %+.2f, right is", mup_coord_name(worst->quantity), worst->place, worst->fit.slope);
        if (isfinite(worst->bounds.pass_lo)) printf(" %+.2f to", worst->bounds.pass_lo);
        else printf(" up to");
        printf(" %+.2f; look at %s\n", worst->bounds.pass_hi, mup_coord_cause(worst->quantity));
    }
}

static int print_text(const cli *c, const trainer_config *config, const coord_result *x)
{
    size_t n[4] = {0};
    const bool host = !strcmp(x->backend, "cpu");
    printf("coordinate check of %s: %zu seeds, %" PRId64 " steps at lr %g, without weight decay%s%s\n", config->parametrisation, x->seeds,
           x->steps, config->base.lr, host ? "" : " on ", host ? "" : x->backend);
    for (size_t k = 0; k < x->n_axes; k++) {
        for (size_t i = 0; i < x->axes[k].n_rows; i++) n[x->axes[k].rows[i].verdict]++;
        if (!*x->diverged) print_axis(c, x, &x->axes[k]);
    }
    for (size_t k = 0; k < x->n_axes && !*x->diverged; k++) print_causes(&x->axes[k]);
    if (n[MUP_COORD_UNDECIDED] && !*x->diverged) puts("undecided: more seeds (--seeds 8) or larger sizes would tell");
    if (*x->diverged) printf("verdict: fail: %s; at a smaller lr the slopes say why\n", x->diverged);
    else
        printf("verdict: %s (%zu pass, %zu fail, %zu undecided)\n", mup_coord_word(x->verdict), n[MUP_COORD_PASS],
               n[MUP_COORD_FAIL], n[MUP_COORD_UNDECIDED]);
    return 0;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

typedef struct words { const char *widths, *depths, *grow, *device; int64_t seeds, steps; } words;

/* Known, and able to compute here. */
static status choose_device(coord_opts *o, const char *device, err *e)
{
    trainer_config scratch;
    if (!device) return ST_OK;
    config_default(&scratch);
    if (config_set(&scratch, "backend", device, "--device", e)) {
        if (e) e->code = ST_USAGE;
        return ST_USAGE;
    }
    o->backend = device;
    return k_backend_ready(device, e);
}

static status read_opts(coord_opts *o, int64_t *widths, int64_t *depths, const words *w, const trainer_config *c,
                        err *e)
{
    status s = ST_OK;
    if (w->grow && strcmp(w->grow, "heads") && strcmp(w->grow, "head_dim"))
        return err_set(e, ST_USAGE, "--grow: '%s' is none of heads, head_dim", w->grow);
    o->grow_head_dim = w->grow && !strcmp(w->grow, "head_dim");
    if (w->widths) s = read_sizes(widths, &o->n_widths, w->widths, "widths", e);
    else if (!w->depths) o->n_widths = default_widths(widths, c, o->grow_head_dim);
    if (!s && w->depths) s = read_sizes(depths, &o->n_depths, w->depths, "depths", e);
    if (s) return s;
    if (w->seeds < 3 || w->seeds > 256) return err_set(e, ST_USAGE, "--seeds: %" PRId64 "; 3 to 256", w->seeds);
    if (w->steps < 1 || w->steps > 1000) return err_set(e, ST_USAGE, "--steps: %" PRId64 "; 1 to 1000", w->steps);
    o->seeds = (size_t)w->seeds;
    o->steps = w->steps;
    o->widths = widths;
    o->depths = depths;
    return ST_OK;
}

static int threads_of(const trainer_config *c)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return c->threads > 0 ? (int)c->threads : cores > 0 ? (int)cores : 1;
}

static void say(const cli *c, const trainer_config *config, const coord_opts *o)
{
    const mup_rule *r = mup_rule_find(config->parametrisation);
    if (r && mup_rule_needs_depth(r) && !o->n_depths)
        cli_note(c, "%s has a rule for depth, which widths do not show; add --depths 2,4,8,16",
                 config->parametrisation);
}

int mup_check_cmd(cli *c, int argc, char **argv)
{
    coord_opts o = coord_opts_default();
    words w = {.seeds = (int64_t)o.seeds, .steps = o.steps};
    const cli_opt opts[] = {
        {"widths", 0, OPT_TEXT, &w.widths, "W1,W2,W3,...",
         "default: 64,128,256,512 in whole heads, unless --depths is given"},
        {"depths", 0, OPT_TEXT, &w.depths, "L1,L2,L3,...", "layers, at the base width; default: none"},
        {"seeds", 0, OPT_I64, &w.seeds, "K", "replicas at every size; default 4"},
        {"steps", 0, OPT_I64, &w.steps, "K", "of the optimiser, on one batch; default 4"},
        {"device", 0, OPT_TEXT, &w.device, "D", "what computes: cpu (default), cuda (bf16) or cuda-fp32"},
        {"grow", 0, OPT_TEXT, &w.grow, "heads|head_dim", "what grows with the width; default heads"},
    };
    int64_t widths[MAX_SIZES], depths[MAX_SIZES];
    cli_list rest = {0};
    trainer_config config;
    coord_result *x = NULL;
    err e = {0};
    int rc = 0;
    status s = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &rest, &e);
    if (!c->show_help || s) {
        if (!s) s = cli_read_config(&config, &rest, "mup check", &e);
        if (!s) s = read_opts(&o, widths, depths, &w, &config, &e);
        if (!s) s = choose_device(&o, w.device, &e);
        if (!s) {
            o.threads = threads_of(&config);
            o.trace = c->json;
            if ((s = coord_check(&x, &config, &o, &e))) err_prefix(&e, "%s", rest.items[0]);
        }
        if (!s) say(c, &config, &o);
        rc = s ? cli_usage(c, "mup", &e) : c->json ? print_json(c, x) : print_text(c, &config, x);
        if (!rc && x && x->verdict == MUP_COORD_FAIL) rc = 1;
    }
    coord_result_free(x);
    free(rest.items);
    return rc;
}
