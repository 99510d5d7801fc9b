#include "sweeps/coord_measure.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

double coord_rms(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sqrt(sum / (double)n);
}

static bool grow(coord_axis *a, size_t seeds)
{
    if (a->n_rows == a->room) {
        const size_t room = a->room ? 2 * a->room : 64;
        coord_row *more = realloc(a->rows, room * sizeof *more);
        if (!more) return false;
        a->rows = more;
        a->room = room;
    }
    coord_row *r = &a->rows[a->n_rows];
    *r = (coord_row){.y = calloc(a->n_sizes * seeds, sizeof *r->y), .expect = calloc(a->n_sizes, sizeof *r->expect)};
    a->n_rows++; /* its buffers are freed with the axis, also when one is missing */
    return r->y && r->expect;
}

static void put(coord_sheet *to, const char *place, mup_coord_quantity q, double y, double expect)
{
    coord_axis *a = to->axis;
    if (to->st) return;
    if (to->row == a->n_rows) {
        if (!grow(a, to->seeds)) {
            to->st = err_set(to->e, ST_NOMEM, "no memory for the coordinate check of %s", place);
            return;
        }
        snprintf(a->rows[to->row].place, sizeof a->rows->place, "%s", place);
        a->rows[to->row].quantity = q;
    }
    coord_row *r = &a->rows[to->row++];
    r->y[to->size * to->seeds + to->seed] = y;
    r->expect[to->size] = expect;
}

/* RMS of scale * (a - b) and of the difference of two such, a0 - b0 and a1 - b1; b NULL: 0. */
typedef struct pair { double first, change; } pair;
static pair rms_pair(const real *a0, const real *b0, const real *a1, const real *b1, size_t n, double scale)
{
    double first = 0, change = 0;
    for (size_t i = 0; i < n; i++) {
        const double x0 = (double)a0[i] - (b0 ? (double)b0[i] : 0), x1 = (double)a1[i] - (b1 ? (double)b1[i] : 0);
        first += x0 * x0;
        change += (x1 - x0) * (x1 - x0);
    }
    return (pair){scale * sqrt(first / (double)n), scale * sqrt(change / (double)n)};
}

static double dot(const real *a, const real *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

/* Attention logits of block l over all heads and causal pairs. */
static pair attention(const coord_size *z, const coord_moment *x, size_t l)
{
    const shape *s = &z->c->shape;
    const model_scene *f = x->first;
    const size_t T = (size_t)s->seq_len, D = (size_t)s->head_dim, group = (size_t)(s->n_head / s->n_kv_head);
    double first = 0, change = 0, n = 0;
    for (size_t i = 0; i < f->rows; i++)
        for (size_t j = i / T * T; j <= i; j++)
            for (size_t h = 0; h < (size_t)s->n_head; h++) {
                const size_t q = (l * f->rows + i) * f->qkv + h * D,
                             k = (l * f->rows + j) * f->qkv + f->q + h / group * D;
                const double y0 = dot(f->heads + q, f->heads + k, D),
                             y1 = dot(x->last->heads + q, x->last->heads + k, D);
                first += y0 * y0;
                change += (y1 - y0) * (y1 - y0);
                n++;
            }
    return (pair){z->model.attn_scale * sqrt(first / n), z->model.attn_scale * sqrt(change / n)};
}

/* Over depth there is no block of the same number everywhere, but a first and a last. */
static bool shown(const coord_sheet *to, const coord_size *z, int64_t l)
{
    return to->axis->axis == MUP_OVER_WIDTH || l <= 0 || l == z->c->shape.n_layer - 1;
}

static void name_block(char *out, size_t n, const coord_sheet *to, const coord_size *z, int64_t l, const char *tail)
{
    if (to->axis->axis == MUP_OVER_WIDTH) snprintf(out, n, "blocks.%" PRId64 ".%s", l, tail);
    else snprintf(out, n, "blocks.%s.%s", l == z->c->shape.n_layer - 1 ? "last" : "first", tail);
}

/* At first q and k are independent: a sum of head_dim terms over 1/head_dim. So are gradients through it. */
static double unlearnt(const coord_size *z, const shape_tensor *t)
{
    const bool q_or_k = strstr(t->name, ".attn.q") || strstr(t->name, ".attn.k");
    return q_or_k ? 1 / sqrt((double)z->c->shape.head_dim) : 1;
}

static void put_pair(coord_sheet *to, const char *place, mup_coord_quantity first, mup_coord_quantity change, pair p,
                     double expect)
{
    put(to, place, first, p.first, 1);
    put(to, place, change, p.change, expect);
}

static void activations(coord_sheet *to, const coord_size *z, const coord_moment *x)
{
    const model_scene *a = x->first, *b = x->last;
    const size_t each = a->rows * a->d, embed = 0;
    const int64_t L = z->c->shape.n_layer;
    const bool deep = to->axis->axis == MUP_OVER_DEPTH;
    const double embed_lr = z->c->shape.tied_head ? 1 : z->rule[embed].lr * z->rule_model.embed_mult;
    char place[48];
    put_pair(to, "embed", MUP_COORD_ACT, MUP_COORD_DEMB, rms_pair(a->stream, NULL, b->stream, NULL, each, 1), embed_lr);
    for (int64_t i = 0; i < (deep ? 2 : L); i++) {
        const int64_t l = deep && i ? L - 1 : i;
        for (size_t half = 0; half < 2; half++) { /* the branch alone, before its multiplier */
            const size_t before = (2 * (size_t)l + half) * each, after = before + each;
            if (deep) snprintf(place, sizeof place, "blocks.%s.%s", i ? "last" : "first", half ? "ffn" : "attn");
            else name_block(place, sizeof place, to, z, l, half ? "ffn" : "attn");
            put_pair(to, place, MUP_COORD_ACT, MUP_COORD_DACT,
                     rms_pair(a->stream + after, a->stream + before, b->stream + after, b->stream + before, each,
                              1 / z->model.residual_mult), 1);
            if (half) continue;
            const pair qk = attention(z, x, (size_t)l);
            put(to, place, MUP_COORD_ATTN, qk.first, 1 / sqrt((double)z->c->shape.head_dim));
            put(to, place, MUP_COORD_DATTN, qk.change, 1);
        }
    }
    const size_t end = 2 * (size_t)L * each;
    put_pair(to, "stream", MUP_COORD_ACT, MUP_COORD_DACT,
             rms_pair(a->stream + end, NULL, b->stream + end, NULL, each, 1), 1);
}

/* logits = mult U h, and their change in two: of the readout, and of what it reads. */
static void logits(coord_sheet *to, const coord_size *z, const coord_moment *x, size_t head)
{
    const shape_tensor *t = &z->shapes[head];
    const size_t V = (size_t)t->rows, d = (size_t)t->cols, n = x->first->rows;
    double first = 0, change = 0, du_h = 0, u_dh = 0;
    for (size_t v = 0; v < V; v++) {
        const float *u0 = x->w0 + t->offset + v * d, *u1 = x->w1 + t->offset + v * d;
        for (size_t i = 0; i < n; i++) {
            const real *h0 = x->first->normed + i * d, *h1 = x->last->normed + i * d;
            double a = 0, b = 0, c = 0;
            for (size_t k = 0; k < d; k++) {
                a += (double)u0[k] * h0[k];
                b += ((double)u1[k] - u0[k]) * h1[k];
                c += u0[k] * ((double)h1[k] - h0[k]);
            }
            first += a * a;
            du_h += b * b;
            u_dh += c * c;
            change += (b + c) * (b + c);
        }
    }
    const double scale = z->model.logit_mult / sqrt((double)(V * n));
    put(to, "logits", MUP_COORD_LOGITS, scale * sqrt(first), 1 / sqrt((double)d));
    put(to, "logits", MUP_COORD_DLOGITS, scale * sqrt(change), 1);
    put(to, "logits", MUP_COORD_DU_H, scale * sqrt(du_h), 1);
    put(to, "logits", MUP_COORD_U_DH, scale * sqrt(u_dh), 1);
}

/* In eight sums, which the compiler keeps in two registers: most of the check's own time is here. */
static float dot8(const float *a, const float *b, size_t n)
{
    float sum[8] = {0}, all = 0;
    size_t k = 0;
    for (; k + 8 <= n; k += 8)
        for (size_t j = 0; j < 8; j++) sum[j] += a[k + j] * b[k + j];
    for (; k < n; k++) all += a[k] * b[k];
    for (size_t j = 0; j < 8; j++) all += sum[j];
    return all;
}

/* Largest singular value by power iteration; about 1 % is plenty for a slope over a factor of 8. work: 2 cols. */
static double spectral(const float *w, size_t rows, size_t cols, float *work)
{
    enum { MOST = 16 };
    float *v = work, *next = work + cols;
    double norm = 0;
    rng_fill_normal(v, cols, 1, 1, RNG_COORD, 1, 0);
    for (int it = 0; it < MOST; it++) {
        const double size = coord_rms(v, cols) * sqrt((double)cols), before = norm;
        double sum = 0;
        if (!(size > 0)) break;
        for (size_t k = 0; k < cols; k++) v[k] = (float)(v[k] / size), next[k] = 0;
        for (size_t i = 0; i < rows; i++) {
            const float u = dot8(w + i * cols, v, cols);
            sum += (double)u * u;
            for (size_t k = 0; k < cols; k++) next[k] += w[i * cols + k] * u;
        }
        norm = sqrt(sum);
        if (fabs(norm - before) < 2e-3 * norm) break;
        memcpy(v, next, cols * sizeof *v);
    }
    return norm;
}

static void tensor(coord_sheet *to, const coord_size *z, const coord_moment *x, size_t i, const char *place)
{
    const shape_tensor *t = &z->shapes[i];
    const double width = (double)z->c->shape.d_model;
    const bool block = t->layer >= 0, tied = z->c->shape.tied_head && t->role == MUP_EMBEDDING;
    float *d = malloc(t->n * sizeof *d);
    float *work = malloc(2 * (size_t)t->cols * sizeof *work);
    if (!d || !work) {
        if (!to->st) to->st = err_set(to->e, ST_NOMEM, "no memory to measure %s", t->name);
        free(d);
        free(work);
        return;
    }
    for (size_t k = 0; k < t->n; k++) d[k] = x->w1[t->offset + k] - x->w0[t->offset + k];
    const bool hidden = t->role == MUP_HIDDEN, matrix = hidden || t->role == MUP_READOUT;
    const double mult = hidden                     ? z->tensor[i].forward_mult
                        : t->role == MUP_READOUT   ? z->model.logit_mult
                        : t->role == MUP_EMBEDDING ? z->model.embed_mult
                                                   : 1;
    const double rms = matrix ? 1 / (double)t->fan_in
                       : t->role == MUP_EMBEDDING && !tied ? z->rule[i].lr * z->rule_model.embed_mult : 1;
    if (hidden)
        put(to, place, MUP_COORD_DW_NORM, mult * spectral(d, (size_t)t->rows, (size_t)t->cols, work),
            sqrt((double)t->rows / (double)t->cols));
    put(to, place, MUP_COORD_DW_RMS, mult * coord_rms(d, t->n), rms);
    const double theta = mup_theta(&z->tensor[i]), g = x->grad[i], seen = g * x->clip;
    put(to, place, MUP_COORD_GRAD, g,
        unlearnt(z, t) * (hidden ? z->rule[i].forward_mult : 1) * (block ? z->rule_model.residual_mult : 1) / width);
    put(to, place, MUP_COORD_EPS, seen > 0 ? z->tensor[i].eps / theta / seen : 0, 1);
    free(d);
    free(work);
}

void coord_measure(coord_sheet *to, const coord_size *z, const coord_moment *x)
{
    char place[48];
    size_t head = 0; /* tied: the embedding, the first tensor */
    to->row = 0;
    for (size_t i = 0; i < z->n; i++)
        if (z->shapes[i].role == MUP_READOUT) head = i;
    activations(to, z, x);
    logits(to, z, x, head);
    for (size_t i = 0; i < z->n; i++) {
        const shape_tensor *t = &z->shapes[i];
        if (!shown(to, z, t->layer)) continue;
        const char *tail = t->layer >= 0 ? strchr(t->name + strlen("blocks."), '.') + 1 : NULL;
        if (tail) name_block(place, sizeof place, to, z, t->layer, tail);
        else snprintf(place, sizeof place, "%s", t->name);
        tensor(to, z, x, i, place);
    }
}
