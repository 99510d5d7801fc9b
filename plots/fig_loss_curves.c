/* Loss against tokens with the learning-rate schedule in a thin panel below; and the schedules alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/kinds.h"

enum { MAX_POINTS = 300, MAX_NAMED = 6 };
/* From this ratio of token budgets on, a linear axis would squeeze the short runs into the corner. */
#define LOG_TOKENS 6.0

typedef struct look {  /* how the runs are told apart */
    bool named;        /* few runs: each has a colour of its own and a line in the key */
    bool by_compute;   /* many: colour by compute, or by learning rate when all spent the same */
    bool relative_lr;
    range span;        /* of what the colour means */
    axis x, loss;
} look;

static double value(const run_record *r, run_group g, const char *name) { return attrs_f64(&r->group[g], name); }
static double last_tokens(const run_record *r) { return r->n_train ? r->train[TRAIN_TOKENS][r->n_train - 1] : r->n_val ? r->val[VAL_TOKENS][r->n_val - 1] : NAN; }
/* What the run was set to: one that diverged or still runs has the place of its equals. */
static double planned_tokens(const run_record *r)
{
    double planned = value(r, RUN_CONFIG, "tokens");
    return planned > 0 ? planned : last_tokens(r);
}
static double compute(const run_record *r) { return value(r, RUN_MODEL, "flops_per_token") * planned_tokens(r); }
static bool diverged(const run_record *r) { return !strcmp(run_status_text(r), "diverged"); }

static double peak_lr(const run_record *r)
{
    double top = value(r, RUN_CONFIG, "lr"); /* a diverged run may not have reached its peak */
    if (top > 0) return top;
    top = 0;
    for (size_t i = 0; i < r->n_train; i++) top = fmax(top, r->train[TRAIN_LR][i]);
    return top;
}

static unsigned named_ink(size_t k)
{
    static const unsigned inks[MAX_NAMED] = {INK_BLUE, INK_RED, INK_GREEN, INK_PURPLE, INK_ORANGE, INK_BLACK};
    return inks[k % MAX_NAMED];
}

/* --- what tells runs apart in the key: the settings in which they differ ------------------------------------------- */

static void setting(char out[48], const run_record *r, const char *key)
{
    const attr *a = attrs_get(&r->group[RUN_CONFIG], key);
    char word[AXIS_WORD];
    if (!a) out[0] = 0;
    else if (a->kind == ATTR_TEXT) snprintf(out, 48, "%s", a->text);
    else if (!strcmp(key, "tokens")) snprintf(out, 48, "%s tokens", axis_count(word, attrs_f64(&r->group[RUN_CONFIG], key)));
    else snprintf(out, 48, "%s %.4g", !strcmp(key, "d_model") ? "width" : !strcmp(key, "n_layer") ? "depth" : key, attrs_f64(&r->group[RUN_CONFIG], key));
}

static void run_label(char *out, size_t size, const plot_inputs *in, size_t k)
{
    static const char *const keys[] = {"parametrisation", "d_model", "n_layer", "lr", "tokens", "batch_tokens", "schedule", "seed"};
    char mine[48], other[48];
    out[0] = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        bool differs = false;
        setting(mine, &in->curves[k], keys[i]);
        for (size_t j = 0; j < in->n_curves && !differs; j++) {
            setting(other, &in->curves[j], keys[i]);
            differs = strcmp(mine, other) != 0;
        }
        if (differs && *mine && strlen(out) + strlen(mine) + 3 < size) snprintf(out + strlen(out), size - strlen(out), "%s%s", *out ? ", " : "", mine);
    }
    if (*out) return;
    const char *id = attrs_text(&in->curves[k].group[RUN_ROOT], "run_id");
    snprintf(out, size, "%s", in->n_curves == 1 ? "run" : id ? id : "run");
}

/* --- data -------------------------------------------------------------------------------------------------------- */

/* Means over bins, evenly spaced as the axis is: at most MAX_POINTS, so that 10^5 rows stay a small figure. */
static size_t thin(double *tx, double *ty, const double *x, const double *y, size_t n, const axis *a)
{
    size_t out = 0;
    for (size_t i = 0; i < n;) {
        double sum = 0, at = 0, bin = floor(axis_at(a, x[i]) * MAX_POINTS);
        size_t m = 0;
        for (; i < n && (m == 0 || floor(axis_at(a, x[i]) * MAX_POINTS) == bin); i++, m++) {
            sum += y[i];
            at += x[i];
        }
        if (bin < 0 || out == MAX_POINTS + 2) continue;
        tx[out] = at / (double)m;
        ty[out++] = sum / (double)m;
    }
    return out;
}

static double colour_of(const look *l, const run_record *r, size_t k) { return l->named ? named_ink(k) : l->by_compute ? compute(r) : peak_lr(r); }

static void curve_block(figure *f, const plot_inputs *in, const look *l, const char *name, bool val, bool schedule)
{
    figure_block(f, name, schedule ? "tokens\tlearning rate\tcolour" : "tokens\tloss\tcolour");
    for (size_t k = 0; k < in->n_curves; k++) {
        const run_record *r = &in->curves[k];
        double tx[MAX_POINTS + 2], ty[MAX_POINTS + 2], unit = schedule && l->relative_lr ? peak_lr(r) : 1;
        const double *x = val ? r->val[VAL_TOKENS] : r->train[TRAIN_TOKENS];
        const double *y = val ? r->val[VAL_LOSS] : schedule ? r->train[TRAIN_LR] : r->train[TRAIN_LOSS];
        size_t n = val ? r->n_val : r->n_train;
        if (!x || !y || !n) continue;
        if (val && n <= MAX_POINTS) {
            for (size_t i = 0; i < n; i++) ROW(f, x[i], y[i], colour_of(l, r, k));
        } else {
            n = thin(tx, ty, x, y, n, &l->x);
            for (size_t i = 0; i < n; i++) ROW(f, tx[i], ty[i] / unit, colour_of(l, r, k));
        }
        figure_gap(f);
    }
}

/* Where a run diverged: the last loss that was a number, or the top edge when that is above it. */
static size_t diverged_block(figure *f, const plot_inputs *in, const look *l)
{
    size_t n = 0;
    figure_block(f, "diverged", "tokens\theight (share of the axis)\tcolour");
    for (size_t k = 0; k < in->n_curves; k++) {
        const run_record *r = &in->curves[k];
        if (!diverged(r) || !r->n_train) continue;
        size_t i = r->n_train - 1;
        while (i && !isfinite(r->train[TRAIN_LOSS][i])) i--;
        double h = axis_at(&l->loss, r->train[TRAIN_LOSS][i]);
        ROW(f, r->train[TRAIN_TOKENS][i], h >= 0 && h < 0.985 ? h : 0.985, colour_of(l, r, k));
        n++;
    }
    return n;
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Losses from `from` tokens on, smallest to largest; returns how many. */
static size_t losses(double *out, const plot_inputs *in, const axis *x, double from)
{
    size_t n = 0;
    for (size_t k = 0; k < in->n_curves; k++) {
        const run_record *r = &in->curves[k];
        double tx[MAX_POINTS + 2], ty[MAX_POINTS + 2];
        size_t m = diverged(r) ? 0 : thin(tx, ty, r->train[TRAIN_TOKENS], r->train[TRAIN_LOSS], r->n_train, x);
        for (size_t i = 0; i < m; i++)
            if (tx[i] >= from && isfinite(ty[i])) out[n++] = ty[i];
    }
    qsort(out, n, sizeof *out, by_number);
    return n;
}

/* The first steps and the few runs that are nearly unstable would flatten all others: the axis ends at this share of the losses. */
#define ROOF_SHARE 0.975

static status choose(look *l, const plot_inputs *in, err *e)
{
    range end = range_empty(), c = range_empty(), lr = range_empty(), loss = range_empty(), x;
    for (size_t k = 0; k < in->n_curves; k++) {
        range_add(&end, planned_tokens(&in->curves[k]));
        range_add(&c, compute(&in->curves[k]));
        range_add(&lr, peak_lr(&in->curves[k]));
    }
    l->named = in->n_curves <= MAX_NAMED;
    l->by_compute = c.hi > 1.05 * c.lo || !(lr.hi > lr.lo);
    l->span = l->by_compute ? c : lr;
    l->relative_lr = lr.hi > 1.01 * lr.lo;
    bool logarithmic = end.hi > LOG_TOKENS * end.lo;
    x = (range){logarithmic ? end.lo / 20 : 0, end.hi};
    l->x = axis_over(logarithmic ? AXIS_LOG10 : AXIS_LINEAR, logarithmic ? WORDS_POWER : WORDS_COUNT, x, logarithmic ? 0.02 : 0, plot_label_tokens);
    if (!logarithmic) l->x.hi *= 1.02;
    double from = logarithmic ? x.lo : 0.02 * x.hi, *all = malloc((in->n_curves * (MAX_POINTS + 2) + 1) * sizeof *all);
    if (!all) return err_set(e, ST_NOMEM, "no memory for the curves of %zu runs", in->n_curves);
    size_t n = losses(all, in, &l->x, from);
    if (n) {
        range_add(&loss, all[0]);
        range_add(&loss, all[(size_t)(ROOF_SHARE * (double)(n - 1))]);
    }
    for (size_t k = 0; k < in->n_curves; k++) /* where a run ended is never cut off at the bottom */
        if (in->curves[k].n_val && !diverged(&in->curves[k])) {
            double last = in->curves[k].val[VAL_LOSS][in->curves[k].n_val - 1];
            if (!n || last < loss.hi) range_add(&loss, last);
        }
    free(all);
    l->loss = axis_over(AXIS_LINEAR, WORDS_PLAIN, loss, 0.05, "loss (nats/token)");
    return ST_OK;
}

/* A line covers what lies between its points, too. */
static void ink_curves(panel *q, const plot_inputs *in, const axis *x)
{
    for (size_t k = 0; k < in->n_curves; k++) {
        const run_record *r = &in->curves[k];
        double tx[MAX_POINTS + 2], ty[MAX_POINTS + 2];
        size_t n = thin(tx, ty, r->train[TRAIN_TOKENS], r->train[TRAIN_LOSS], r->n_train, x);
        for (size_t i = 0; i + 1 < n; i++)
            for (int s = 0; s < 8; s++) panel_ink(q, tx[i] + (tx[i + 1] - tx[i]) * s / 8, ty[i] + (ty[i + 1] - ty[i]) * s / 8);
        for (size_t i = 0; i < r->n_val; i++) panel_ink(q, r->val[VAL_TOKENS][i], r->val[VAL_LOSS][i]);
    }
}

static void scale_for(figure *f, rect box, const look *l)
{
    if (l->named) return;
    axis a = axis_over(l->by_compute ? AXIS_LOG10 : AXIS_LOG2, WORDS_POWER, l->span, 0, l->by_compute ? "compute C (FLOPs)" : "peak learning rate");
    figure_scale(f, box, &a);
}

static void keys_of_runs(panel *q, const plot_inputs *in)
{
    char label[96];
    if (in->n_curves < 2) return;
    for (size_t k = 0; k < in->n_curves; k++) {
        run_label(label, sizeof label, in, k);
        panel_plot(q, label, "keyentry with lines lw 2 lc rgb '#%06X'", named_ink(k));
    }
}

static void schedule_panel(figure *f, const plot_inputs *in, const look *l, rect box)
{
    range r = range_empty();
    curve_block(f, in, l, "schedule", false, true);
    for (size_t k = 0; k < in->n_curves; k++) range_add(&r, l->relative_lr ? 1 : peak_lr(&in->curves[k]));
    axis y = axis_over(AXIS_LINEAR, WORDS_PLAIN, (range){0, r.hi > 0 ? r.hi : 1}, 0, l->relative_lr ? "lr / peak" : "lr");
    y.hi *= 1.08;
    panel q = {.box = box, .x = l->x, .y = y, .key = CORNER_NONE};
    panel_plot(&q, NULL, "data index 'schedule' using 1:2:3 with lines lw 1.2 %s", l->named ? "lc rgb variable" : "lc palette");
    panel_close(f, &q);
}

static void caption_runs(figure *f, const plot_inputs *in, bool crosses)
{
    size_t n_diverged = 0, unfinished = 0;
    for (size_t k = 0; k < in->n_curves; k++) {
        n_diverged += diverged(&in->curves[k]);
        unfinished += !run_is_final(&in->curves[k]);
    }
    figure_caption(f, "%zu run%s%s.", in->n_curves, in->n_curves == 1 ? "" : "s", n_diverged ? "" : ", none diverged");
    if (n_diverged) figure_caption(f, crosses ? "Crosses: %zu diverged." : "%zu diverged.", n_diverged);
    if (unfinished) figure_caption(f, "%zu not finished.", unfinished);
}

status draw_loss_curves(figure *f, plot_inputs *in, err *e)
{
    look l = {0};
    status s = plot_inputs_curves(in, e);
    if (s) return s;
    if ((s = choose(&l, in, e))) return s;
    f->height = 370;
    double w = f->width - FIGURE_LEFT - (l.named ? 16 : FIGURE_BAR), low = 64;
    panel q = {.box = {FIGURE_LEFT, FIGURE_BOTTOM + low + 12, w, f->height - FIGURE_BOTTOM - low - 24}, .x = l.x, .y = l.loss, .key = CORNER_TOP_RIGHT};
    q.top_edge = true;
    q.x.bare = true;
    q.x.label = NULL;
    curve_block(f, in, &l, "train", false, false);
    curve_block(f, in, &l, "validation", true, false);
    size_t n_diverged = diverged_block(f, in, &l);
    const char *ink = l.named ? "lc rgb variable" : "lc palette";
    ink_curves(&q, in, &l.x);
    scale_for(f, q.box, &l);
    panel_plot(&q, NULL, "data index 'train' using 1:2:3 with lines lw %s %s", l.named ? "1" : "0.7", ink);
    panel_plot(&q, NULL, "data index 'validation' using 1:2:3 with points pt 7 ps %s %s", l.named ? "0.45" : "0.35", ink);
    if (n_diverged) panel_plot(&q, NULL, "data index 'diverged' using 1:2:3 axes x1y2 with points pt 2 ps 0.7 lw 1.5 %s", ink);
    if (l.named) keys_of_runs(&q, in);
    panel_plot(&q, "training", "keyentry with lines lw 1 lc rgb '#555555'");
    panel_plot(&q, "validation", "keyentry with points pt 7 ps 0.45 lc rgb '#555555'");
    if (n_diverged) panel_plot(&q, "diverged", "keyentry with points pt 2 ps 0.7 lw 1.5 lc rgb '#555555'");
    panel_close(f, &q);
    schedule_panel(f, in, &l, (rect){FIGURE_LEFT, FIGURE_BOTTOM, w, low});
    caption_runs(f, in, true);
    return ST_OK;
}

status draw_schedule(figure *f, plot_inputs *in, err *e)
{
    look l = {0};
    status s = plot_inputs_curves(in, e);
    if (s) return s;
    if ((s = choose(&l, in, e))) return s;
    f->height = 220;
    rect box = {FIGURE_LEFT, FIGURE_BOTTOM, f->width - FIGURE_LEFT - (l.named ? 16 : FIGURE_BAR), f->height - FIGURE_BOTTOM - 14};
    scale_for(f, box, &l);
    schedule_panel(f, in, &l, box);
    caption_runs(f, in, false);
    return ST_OK;
}
