/* The familiar panels of a coordinate check: RMS of activations and of their change since t = 1 over the width (or
 * depth), a curve per step, parametrisations below each other on the same axes. Slopes, intervals and verdicts are
 * those of the check's own rows: nothing is fitted here, so that picture and verdict cannot differ. */
#include <math.h>
#include <string.h>

#include "plots/kinds.h"

enum { MAX_CHECKS = 4, N_PLACES = 5, MAX_SIZES = 64, MAX_STEPS = 64 };
#define PANEL_H 104.0
#define GAP 9.0
#define HEAD 26.0
#define BESIDE 66.0

typedef struct check {
    const json_t *doc, *axis; /* the axis that is drawn */
    const char *par;
    size_t n_sizes, n_steps;  /* n_steps: curves, t = 1 included */
    double size[MAX_SIZES];
} check;

typedef struct checks { size_t n; check c[MAX_CHECKS]; const char *over; range y[2]; } checks;

static const struct { const char *name, *title; } places[N_PLACES] = {
    {"embed", "embedding"}, {"attn", "attention"}, {"ffn", "MLP"}, {"stream", "residual stream"}, {"logits", "logits"}};
static const char *const members[2] = {"x", "dx"};

static const json_t *axis_of(const json_t *doc, const char *over)
{
    const json_t *axes = js_get(doc, "axes");
    for (size_t i = 0; i < json_array_size(axes); i++)
        if (!strcmp(js_str_or(json_array_get(axes, i), "axis", ""), over)) return json_array_get(axes, i);
    return NULL;
}

static const json_t *grid_of(const check *c, size_t place, size_t member)
{
    const json_t *traces = js_get(c->axis, "trace");
    for (size_t i = 0; i < json_array_size(traces); i++)
        if (!strcmp(js_str_or(json_array_get(traces, i), "place", ""), places[place].name))
            return js_get(json_array_get(traces, i), members[member]);
    return NULL;
}

/* NaN where there is no number, or one without a logarithm. */
static double value_at(const check *c, size_t place, size_t member, size_t t, size_t size)
{
    const double y = json_number_value(json_array_get(json_array_get(grid_of(c, place, member), t), size));
    return y > 0 && isfinite(y) ? y : NAN;
}

/* The row that judges a panel: of branches the last block's; logits have names of their own. */
static const json_t *row_of(const check *c, size_t place, size_t member)
{
    static const char *const quantities[2][2] = {{"x", "dx"}, {"logits", "dlogits"}};
    const char *quantity = quantities[!strcmp(places[place].name, "logits")][member], *name = places[place].name;
    const double depth = js_num(c->axis, "depth"); /* over depth: absent */
    const json_t *rows = js_get(c->axis, "rows");
    char at[64];
    if (strcmp(name, "attn") && strcmp(name, "ffn")) snprintf(at, sizeof at, "%s", name);
    else if (depth >= 1) snprintf(at, sizeof at, "blocks.%.0f.%s", depth - 1, name);
    else snprintf(at, sizeof at, "blocks.last.%s", name);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *r = json_array_get(rows, i);
        if (!strcmp(js_str_or(r, "place", ""), at) && !strcmp(js_str_or(r, "quantity", ""), quantity)) return r;
    }
    return NULL;
}

/* A row that can be shown: a slope with its interval, or 0 at every size. */
static bool judged(const json_t *row)
{
    double ci[2];
    if (!js_str(row, "verdict")) return false;
    return json_is_true(js_get(row, "zero")) || (isfinite(js_num(row, "slope")) && js_pair(ci, row, "ci95"));
}

/* --- reading ------------------------------------------------------------------------------------------------- */

static status read_check(check *c, const plot_input *in, const char *over, err *e)
{
    c->doc = in->doc;
    c->par = js_str_or(in->doc, "parametrisation", "unstated");
    const char *diverged = js_str_or(in->doc, "diverged", "");
    if (*diverged) return err_set(e, ST_INPUT, "%s: a run of this check diverged (%s): there are no curves; lower lr", in->path, diverged);
    if (!(c->axis = axis_of(in->doc, over)))
        return err_set(e, ST_INPUT, "%s: holds no sizes over %s, which another check does; draw them apart", in->path, over);
    c->n_sizes = js_len(c->axis, "sizes");
    c->n_steps = json_array_size(grid_of(c, 0, 0));
    if (c->n_sizes < 2 || c->n_sizes > MAX_SIZES || c->n_steps < 2 || c->n_steps > MAX_STEPS)
        return err_set(e, ST_INPUT, "%s: holds no curves of activations that can be drawn (%zu sizes, %zu steps); make it again with "
                       "`muscale --json mup check CONFIG`", in->path, c->n_sizes, c->n_steps);
    for (size_t p = 0; p < N_PLACES; p++)
        for (size_t m = 0; m < 2; m++)
            if (!judged(row_of(c, p, m)))
                return err_set(e, ST_INPUT,
                               "%s: holds no slope with interval and verdict for %s of %s; make it again with "
                               "`muscale --json mup check CONFIG`",
                               in->path, members[m], places[p].title);
    for (size_t i = 0; i < c->n_sizes; i++) {
        c->size[i] = js_at(c->axis, "sizes", i);
        if (!(c->size[i] > 0)) return err_set(e, ST_INPUT, "%s: a size of its sizes is not a number above 0", in->path);
    }
    return ST_OK;
}

static status read_checks(checks *all, const plot_inputs *in, err *e)
{
    const plot_input *mine[MAX_CHECKS];
    size_t n = 0;
    bool wide = true;
    for (size_t k = 0; k < in->n; k++) {
        if (in->item[k].what != PLOT_MUP_CHECK) continue;
        if (n == MAX_CHECKS) return err_set(e, ST_INPUT, "more than %d checks do not fit on a page", MAX_CHECKS);
        mine[n++] = &in->item[k];
        wide &= axis_of(in->item[k].doc, "width") != NULL;
    }
    if (!n) return err_set(e, ST_INPUT, "needs the JSON of a check: `muscale --json mup check CONFIG > check.json`");
    all->over = wide ? "width" : "depth";
    all->y[0] = all->y[1] = range_empty();
    for (size_t k = 0; k < n; k++) {
        status s = read_check(&all->c[k], mine[k], all->over, e);
        if (s) return s;
        for (size_t m = 0; m < 2; m++)
            for (size_t p = 0; p < N_PLACES; p++)
                for (size_t t = 0; t < all->c[k].n_steps; t++)
                    for (size_t i = 0; i < all->c[k].n_sizes; i++) range_add(&all->y[m], value_at(&all->c[k], p, m, t, i));
    }
    all->n = n;
    if (range_is_empty(all->y[0]) || range_is_empty(all->y[1]))
        return err_set(e, ST_INPUT, "the checks hold no activations above 0");
    return ST_OK;
}

/* --- drawing ------------------------------------------------------------------------------------------------- */

static const char *sign_of(double x) { return x < 0 ? "−" : "+"; }

static void label(panel *p, double y, unsigned ink, const char *words)
{
    panel_line(p, "set label '%s' at graph 0.04,%g left font ',8' textcolor rgb '#%06X'", words, y, ink);
}

/* What the check found and says, in the colour of the verdict. */
static void label_verdict(panel *p, const check *c, size_t place, size_t member)
{
    static const struct { const char *verdict; unsigned ink; } inks[] = {
        {"fail", INK_RED}, {"undecided", INK_ORANGE}, {"pass", INK_GREY}};
    const json_t *row = row_of(c, place, member);
    const char *verdict = "not judged";
    unsigned ink = INK_GREY;
    double ci[2];
    for (size_t i = 0; i < sizeof inks / sizeof *inks; i++) /* no word of the file is drawn */
        if (!strcmp(js_str_or(row, "verdict", ""), inks[i].verdict)) verdict = inks[i].verdict, ink = inks[i].ink;
    const double slope = js_num(row, "slope");
    const size_t step = member ? c->n_steps - 1 : 0;
    char words[96];
    if (json_is_true(js_get(row, "zero"))) snprintf(words, sizeof words, "step %zu: 0, %s", step, verdict);
    else snprintf(words, sizeof words, "step %zu: %s%.2f, %s", step, sign_of(slope), fabs(slope), verdict);
    label(p, 0.92, ink, words);
    if (!js_pair(ci, row, "ci95")) return;
    snprintf(words, sizeof words, "[%s%.2f, %s%.2f]", sign_of(ci[0]), fabs(ci[0]), sign_of(ci[1]), fabs(ci[1]));
    label(p, 0.81, ink, words);
}

/* By number: the name of a parametrisation comes from a file. */
static void block_name(char out[64], size_t k, size_t place, size_t member)
{
    snprintf(out, 64, "check %zu %s %s", k + 1, places[place].name, members[member]);
}

static void data_blocks(figure *f, const checks *all)
{
    char name[64];
    for (size_t k = 0; k < all->n; k++)
        for (size_t p = 0; p < N_PLACES; p++)
            for (size_t m = 0; m < 2; m++) {
                const check *c = &all->c[k];
                text head = {0};
                double row[MAX_STEPS + 1];
                text_put(&head, all->over);
                for (size_t t = 0; t < c->n_steps; t++) text_add(&head, "\tt = %zu", t + 1);
                block_name(name, k, p, m);
                figure_block(f, name, text_str(&head));
                for (size_t i = 0; i < c->n_sizes; i++) {
                    row[0] = c->size[i];
                    for (size_t t = 0; t < c->n_steps; t++) row[t + 1] = value_at(c, p, m, t, i);
                    figure_row(f, row, c->n_steps + 1);
                }
                text_free(&head);
            }
}

/* A power of ten with a factor is as wide as the label beside it leaves room for. */
static axis_words words_of(range r) { return r.lo >= 1e-4 && r.hi < 1e5 ? WORDS_PLAIN : WORDS_POWER; }

static unsigned ink_of(const check *c, size_t t) { return colour_sequence((double)t / (double)(c->n_steps - 1)); }

static void draw_panel(figure *f, const checks *all, size_t k, size_t place, size_t member, rect box, axis x, axis y, bool key)
{
    const check *c = &all->c[k];
    panel p = {.box = box, .x = x, .y = y, .key = key ? CORNER_BESIDE : CORNER_NONE, .key_title = "step"};
    char name[64], label[32];
    block_name(name, k, place, member);
    if (!k && !member) panel_line(&p, "set label '%s' at graph 0.5,1.09 center", places[place].title);
    label_verdict(&p, c, place, member);
    for (size_t t = member; t < c->n_steps; t++) { /* at t = 1 nothing has changed */
        panel_plot(&p, NULL, "data index '%s' using 1:%zu with linespoints lw 1.3 pt 7 ps 0.35 lc rgb '#%06X'", name, t + 2, ink_of(c, t));
    }
    for (size_t t = 0; key && t < c->n_steps; t++) {
        snprintf(label, sizeof label, "%zu", t);
        panel_plot(&p, label, "keyentry with linespoints lw 1.3 pt 7 ps 0.35 lc rgb '#%06X'", ink_of(c, t));
    }
    panel_close(f, &p);
}

static void captions(figure *f, const checks *all)
{
    const check *c = &all->c[0];
    const bool wide = !strcmp(all->over, "width");
    figure_caption(f, "RMS of activations, and of their change since before the first step, over the %s at %s %g; mean over %g seeds, lr %g.",
                   all->over, wide ? "depth" : "width", js_num(c->axis, wide ? "depth" : "width"), js_num(c->doc, "seeds"), js_num(c->doc, "lr"));
    figure_caption(f, "Attention and MLP: branches of the last block. Colour: steps taken. Numbers: the check's "
                      "log-log slopes, 95 %% intervals and verdicts, of x before the first step, of its change after "
                      "the last.");
    if (wide) figure_caption(f, "Right is flat; logits before the first step fall as width^−1/2 where they are right.");
    for (size_t k = 0; k < all->n; k++)
        figure_caption(f, "%s: the check says %s.", words_parametrisation(all->c[k].par), js_str_or(all->c[k].doc, "verdict", "nothing"));
}

status draw_coord_check(figure *f, plot_inputs *in, err *e)
{
    checks all = {0};
    status s = read_checks(&all, in, e);
    if (s) return s;
    const size_t rows = 2 * all.n;
    range sizes = range_empty();
    for (size_t k = 0; k < all.n; k++)
        for (size_t i = 0; i < all.c[k].n_sizes; i++) range_add(&sizes, all.c[k].size[i]);
    data_blocks(f, &all);
    f->width = FIGURE_PAGE;
    f->height = FIGURE_BOTTOM + (double)rows * (PANEL_H + GAP) + HEAD - GAP;
    const double w = (f->width - FIGURE_LEFT - BESIDE - GAP * (N_PLACES - 1)) / N_PLACES;
    for (size_t row = 0; row < rows; row++)
        for (size_t p = 0; p < N_PLACES; p++) {
            const size_t k = row / 2, m = row % 2;
            char label[64];
            snprintf(label, sizeof label, "%s: %s", words_parametrisation(all.c[k].par), m ? "Δx" : "x");
            axis x = axis_over(AXIS_LOG2, WORDS_PLAIN, sizes, 0.08, row + 1 == rows ? all.over : NULL);
            const range seen = all.y[m], above = {seen.lo, seen.hi * pow(seen.hi / seen.lo, 0.3)}; /* room for words */
            axis y = axis_over(AXIS_LOG10, words_of(seen), above, 0.1, p ? NULL : label);
            x.bare = row + 1 < rows;
            y.bare = p > 0;
            draw_panel(f, &all, k, p, m,
                       (rect){FIGURE_LEFT + (double)p * (w + GAP), FIGURE_BOTTOM + (double)(rows - 1 - row) * (PANEL_H + GAP), w, PANEL_H},
                       x, y, !row && p + 1 == N_PLACES);
        }
    captions(f, &all);
    return ST_OK;
}
