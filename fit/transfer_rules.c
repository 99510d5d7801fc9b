/* What would have been predicted for the largest size without its runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/lr_parts.h"
#include "fit/problem.h"
#include "fit/transfer.h"

enum { MOST = 3 };
/* ln N and ln D closer to one line than this cannot be told apart by few optima. */
#define COLLINEAR 0.999

/* One optimum: what the law sees of its size, and itself. */
typedef struct cell {
    const lr_group *g;
    double z[MOST];
} cell;
typedef struct design {
    cell *c;
    size_t n, k;
    int at_n, at_d;
} design; /* at: place of the exponent, 0 = not in it */

static bool varies(const cell *c, size_t n, size_t at)
{
    for (size_t i = 1; i < n; i++)
        if (fabs(c[i].z[at] - c[0].z[at]) > 1e-6) return true;
    return false;
}

static double correlation(const cell *c, size_t n)
{
    double m[2] = {0}, s[3] = {0};
    for (size_t i = 0; i < n; i++) m[0] += c[i].z[1] / (double)n, m[1] += c[i].z[2] / (double)n;
    for (size_t i = 0; i < n; i++) {
        const double a = c[i].z[1] - m[0], b = c[i].z[2] - m[1];
        s[0] += a * a, s[1] += b * b, s[2] += a * b;
    }
    return fabs(s[2]) / sqrt(s[0] * s[1]);
}

static void features(double z[MOST], transfer_form form, const transfer_row *mean)
{
    z[0] = 1;
    z[1] = form == TRANSFER_C ? log2(mean->C) : log2(mean->N);
    z[2] = log2(mean->D);
}

/* Bracketed optima of the smaller sizes but `without`: for a constant that of the smallest size, which is carried over;
 * for laws all, also of the other lines of the bundle. */
static void gather(design *d, transfer_form form, const transfer_result *out, const transfer_line *lines, size_t n,
                   size_t line, double without)
{
    const lr_optimum *own = &out[line].opt;
    const double largest = own->groups[own->n_groups - 1].width;
    d->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (i != line && (form == TRANSFER_CONSTANT || lines[i].bundle != lines[line].bundle)) continue;
        for (size_t g = 0; g < (form == TRANSFER_CONSTANT ? 1 : out[i].opt.n_groups); g++) {
            const lr_group *group = &out[i].opt.groups[g];
            const transfer_row mean = transfer_size_mean(&lines[i], group->width);
            if (!group->bracketed || group->width >= largest || group->width == without) continue;
            d->c[d->n].g = group;
            features(d->c[d->n++].z, form, &mean);
        }
    }
}

/* What of N and D (or C) the law has: what varies, and can be told apart. */
static void shape(design *d, transfer_form form, char text[TRANSFER_TEXT])
{
    bool has[MOST] = {true, form != TRANSFER_CONSTANT && varies(d->c, d->n, 1),
                      form == TRANSFER_ND && varies(d->c, d->n, 2)};
    if (has[1] && has[2] && (d->n < MOST || correlation(d->c, d->n) > COLLINEAR)) has[2] = false;
    d->k = 1;
    d->at_n = has[1] ? (int)d->k++ : 0;
    d->at_d = has[2] ? (int)d->k++ : 0;
    if (has[2] && !has[1])
        for (size_t i = 0; i < d->n; i++) d->c[i].z[1] = d->c[i].z[2];
    if (d->k == 1 && form == TRANSFER_ND) has[1] = has[2] = true; /* not determined: its full name */
    snprintf(text, TRANSFER_TEXT, "%s%s%s", form == TRANSFER_CONSTANT ? "constant" : "c",
             form == TRANSFER_C ? " C^p"
             : has[1]           ? " N^p"
                                : "",
             has[2] ? " D^q" : "");
}

/* Weighted least squares of y on the first k features; false when they do not determine it. */
static bool solve(double b[MOST], const design *d, const double *y)
{
    double m[MOST * MOST] = {0}, r[MOST] = {0};
    for (size_t i = 0; i < d->n; i++) {
        const double w = 1 / (d->c[i].g->sd * d->c[i].g->sd);
        for (size_t a = 0; a < d->k; a++) {
            r[a] += w * d->c[i].z[a] * y[i];
            for (size_t c = 0; c < d->k; c++) m[a * d->k + c] += w * d->c[i].z[a] * d->c[i].z[c];
        }
    }
    return fit_cholesky_solve(m, b, r, d->k);
}

static double value(const double b[MOST], const double z[MOST], size_t k)
{
    double sum = 0;
    for (size_t a = 0; a < k; a++) sum += b[a] * z[a];
    return sum;
}

/* The form through the cells of d, and z of the size to predict; NULL, or what is missing. */
static const char *determine(double b[MOST], double z[MOST], design *d, transfer_form form, char text[TRANSFER_TEXT],
                             const transfer_row *target, double *y)
{
    shape(d, form, text);
    if (d->n < d->k || (d->k == 1 && form != TRANSFER_CONSTANT)) return "too few";
    features(z, form, target);
    if (d->at_d && !d->at_n) z[1] = z[2];
    for (size_t i = 0; i < d->n; i++) y[i] = d->c[i].g->log2_lr_opt;
    return solve(b, d, y) && isfinite(value(b, z, d->k)) ? NULL : "they do not determine it";
}

/* How well the form does without the largest size: each of the smaller ones is left out and predicted by the others (a
 * constant: by the smallest). What rules are chosen by, so that the largest size stays a test of the choice too. */
static void leave_out(transfer_rule *rule, design *d, const transfer_result *out, const transfer_line *lines, size_t n,
                      size_t line, double *y)
{
    const lr_optimum *own = &out[line].opt;
    double b[MOST], z[MOST], ss = 0;
    char text[TRANSFER_TEXT];
    for (size_t g = 0; g + 1 < own->n_groups; g++) {
        const lr_group *left = &own->groups[g];
        const transfer_row target = transfer_size_mean(&lines[line], left->width);
        if (!left->bracketed) continue;
        gather(d, rule->form, out, lines, n, line, left->width);
        if (determine(b, z, d, rule->form, text, &target, y)) continue;
        const double off = value(b, z, d->k) - left->log2_lr_opt;
        ss += off * off;
        rule->n_left_out++;
    }
    if (rule->n_left_out) rule->left_out = sqrt(ss / (double)rule->n_left_out);
}

static status resample(transfer_rule *rule, double *predicted, const design *d, const double z[MOST],
                       const lr_group *held, size_t n_draws, double *y, err *e)
{
    double b[MOST];
    rule->errors = malloc(n_draws * sizeof *rule->errors);
    status s = rule->errors ? ST_OK : err_set(e, ST_NOMEM, "transfer: no memory for %zu resamples", n_draws);
    for (size_t i = 0; i < n_draws && !s; i++) {
        for (size_t j = 0; j < d->n; j++) y[j] = d->c[j].g->draws[i];
        predicted[i] = solve(b, d, y) ? value(b, z, d->k) : rule->log2_x;
        rule->errors[i] = predicted[i] - (held ? held->draws[i] : 0);
    }
    if (!s) s = lr_interval(rule->ci95, predicted, n_draws, e);
    if (!s && held) s = lr_interval(rule->error_ci95, rule->errors, n_draws, e);
    return s;
}

static status fit_rule(transfer_rule *rule, design *d, const transfer_result *r, const transfer_line *line, double *y,
                       err *e)
{
    const size_t last = r->opt.n_groups - 1;
    const lr_group *held = &r->opt.groups[last];
    const transfer_row mean = transfer_size_mean(line, held->width);
    double b[MOST], z[MOST];
    const char *missing = determine(b, z, d, rule->form, rule->text, &mean, y);
    if (missing && rule->form == TRANSFER_CONSTANT)
        snprintf(rule->why, LR_WHY, "no bracketed optimum at %s %g", line->size, r->opt.groups[0].width);
    else if (missing) snprintf(rule->why, LR_WHY, "bracketed optima of smaller sizes: %zu, %s", d->n, missing);
    if (missing) return ST_OK;
    rule->log2_x = value(b, z, d->k);
    rule->n_cells = d->n;
    if (d->at_n) rule->p = b[d->at_n];
    if (d->at_d) rule->q = b[d->at_d];
    double *predicted = malloc(r->opt.n_draws * sizeof *predicted);
    status s = predicted ? ST_OK : err_set(e, ST_NOMEM, "transfer: no memory for %zu resamples", r->opt.n_draws);
    if (!s) s = resample(rule, predicted, d, z, held->bracketed ? held : NULL, r->opt.n_draws, y, e);
    if (!s && held->bracketed) {
        rule->error = rule->log2_x - held->log2_lr_opt;
        s = transfer_cost(&rule->penalty, &r->opt, last, rule->log2_x, predicted, e);
    } else if (!s) {
        free(rule->errors);
        rule->errors = NULL;
        snprintf(rule->why, LR_WHY, "nothing to compare with: %s %g has no bracketed optimum", line->size, held->width);
    }
    free(predicted);
    return s;
}

status transfer_rules(transfer_result *out, const transfer_line *lines, size_t n, size_t line, err *e)
{
    transfer_result *r = &out[line];
    size_t room = 1;
    status s = ST_OK;
    for (size_t i = 0; i < n; i++) room += out[i].opt.n_groups;
    design d = {.c = calloc(room, sizeof *d.c)};
    double *y = calloc(room, sizeof *y);
    if (!d.c || !y) s = err_set(e, ST_NOMEM, "transfer: no memory for %zu optima", room);
    for (int k = 0; k < TRANSFER_FORMS && !s; k++) {
        transfer_rule *rule = &r->rules[k];
        *rule = (transfer_rule){.form = (transfer_form)k,
                                .p = NAN,
                                .q = NAN,
                                .log2_x = NAN,
                                .left_out = NAN,
                                .ci95 = {NAN, NAN},
                                .error = NAN,
                                .error_ci95 = {NAN, NAN},
                                .penalty = {NAN, {NAN, NAN}, ""}};
        leave_out(rule, &d, out, lines, n, line, y);
        gather(&d, rule->form, out, lines, n, line, NAN);
        s = fit_rule(rule, &d, r, &lines[line], y, e);
    }
    free(d.c);
    free(y);
    return s;
}

/* --- who is nearer ---------------------------------------------------------------------------------------------- */

/* The side's rule that predicts the smaller sizes best from each other; where none can be left out, the first. */
static const transfer_rule *choose(const transfer_result *r, const transfer_line *lines, const bool *in, size_t n,
                                   bool constant, bool any, size_t *line)
{
    const transfer_rule *best = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!in[i] || (!any && lines[i].ruled != constant)) continue;
        for (int k = 0; k < TRANSFER_FORMS; k++) {
            const transfer_rule *rule = &r[i].rules[k];
            if ((rule->form == TRANSFER_CONSTANT) != constant || !rule->errors) continue;
            if (best && !(rule->left_out < (isnan(best->left_out) ? INFINITY : best->left_out))) continue;
            best = rule;
            *line = i;
        }
    }
    return best;
}

/* What an error costs at the largest size, by the bend of its curve at the optimum: known wherever the error is, which
 * the runs' own losses (penalty) are not. */
static double nats(const transfer_result *r, double octaves)
{
    return r->opt.groups[r->opt.n_groups - 1].curvature / 2 * octaves * octaves;
}

void transfer_compare(transfer_contest *out, const transfer_result *r, const transfer_line *lines, const bool *in,
                      size_t n)
{
    bool unruled = false;
    for (size_t i = 0; i < n; i++) unruled |= in[i] && !lines[i].ruled;
    memset(out, 0, sizeof *out);
    const transfer_rule *a = choose(r, lines, in, n, true, false, &out->line[0]);
    const transfer_rule *b = choose(r, lines, in, n, false, !unruled, &out->line[1]);
    out->held = a && b;
    if (!out->held) return;
    const transfer_result *ra = &r[out->line[0]], *rb = &r[out->line[1]];
    const size_t n_draws = ra->opt.n_draws;
    out->form[0] = a->form, out->form[1] = b->form;
    out->nats[0] = nats(ra, a->error), out->nats[1] = nats(rb, b->error);
    for (size_t i = 0; i < n_draws; i++) {
        out->share += fabs(a->errors[i]) < fabs(b->errors[i]);
        out->share_nats += nats(ra, a->errors[i]) < nats(rb, b->errors[i]);
    }
    out->share /= (double)n_draws;
    out->share_nats /= (double)n_draws;
}
