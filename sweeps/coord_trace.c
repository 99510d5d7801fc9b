#include "sweeps/coord_trace.h"

#include <math.h>
#include <stdlib.h>

const char *coord_trace_name(size_t place)
{
    static const char *const names[COORD_N_TRACES] = {"embed", "attn", "ffn", "stream", "logits"};
    return names[place];
}

status coord_trace_new(coord_axis *a, size_t seeds, int64_t steps, err *e)
{
    const size_t n = ((size_t)steps + 1) * a->n_sizes * seeds;
    for (size_t i = 0; i < COORD_N_TRACES; i++) {
        a->trace[i] = (coord_trace){.x = calloc(n, sizeof(double)), .dx = calloc(n, sizeof(double))};
        if (!a->trace[i].x || !a->trace[i].dx) return err_set(e, ST_NOMEM, "no memory for %zu activations", n);
    }
    return ST_OK;
}

void coord_trace_free(coord_axis *a)
{
    for (size_t i = 0; i < COORD_N_TRACES; i++) {
        free(a->trace[i].x);
        free(a->trace[i].dx);
    }
}

typedef struct sums { double x, dx; } sums;

/* of now[i] - minus_now[i], and of its change; minus NULL: 0 */
static sums squares(const real *first, const real *now, const real *minus_first, const real *minus_now, size_t n)
{
    sums s = {0, 0};
    for (size_t i = 0; i < n; i++) {
        const double x0 = (double)first[i] - (minus_first ? (double)minus_first[i] : 0),
                     x1 = (double)now[i] - (minus_now ? (double)minus_now[i] : 0);
        s.x += x1 * x1;
        s.dx += (x1 - x0) * (x1 - x0);
    }
    return s;
}

static sums logits(const coord_size *z, const model_scene *first, const model_scene *now, const float *w0, const float *w1)
{
    size_t head = 0; /* tied: the embedding */
    for (size_t i = 0; i < z->n; i++)
        if (z->shapes[i].role == MUP_READOUT) head = i;
    const shape_tensor *t = &z->shapes[head];
    const size_t d = (size_t)t->cols;
    sums s = {0, 0};
    for (size_t v = 0; v < (size_t)t->rows; v++) {
        const float *u0 = w0 + t->offset + v * d, *u1 = w1 + t->offset + v * d;
        for (size_t i = 0; i < now->rows; i++) {
            double y0 = 0, y1 = 0;
            for (size_t k = 0; k < d; k++) {
                y0 += (double)u0[k] * first->normed[i * d + k];
                y1 += (double)u1[k] * now->normed[i * d + k];
            }
            s.x += y1 * y1;
            s.dx += (y1 - y0) * (y1 - y0);
        }
    }
    return s;
}

void coord_trace_put(coord_axis *a, const coord_trace_at *at, const coord_size *z, const model_scene *first,
                     const model_scene *now, const float *w0, const float *w1)
{
    const size_t each = now->rows * now->d, end = 2 * (size_t)z->c->shape.n_layer;
    const real *s0 = first->stream, *s1 = now->stream;
    const size_t to = ((size_t)at->step * a->n_sizes + at->size) * at->seeds + at->seed;
    for (size_t p = 0; p < COORD_N_TRACES; p++) {
        double scale = 1, n = (double)each;
        sums s = {0, 0};
        if (p == COORD_TRACE_EMBED) s = squares(s0, s1, NULL, NULL, each);
        else if (p == COORD_TRACE_STREAM) s = squares(s0 + end * each, s1 + end * each, NULL, NULL, each);
        else if (p == COORD_TRACE_LOGITS) {
            s = logits(z, first, now, w0, w1);
            scale = z->model.logit_mult;
            n = (double)now->rows * (double)z->c->shape.vocab;
        } else { /* the last block's branch, before its multiplier */
            const size_t after = (p == COORD_TRACE_FFN ? end : end - 1) * each;
            s = squares(s0 + after, s1 + after, s0 + after - each, s1 + after - each, each);
            scale = 1 / z->model.residual_mult;
        }
        a->trace[p].x[to] = scale * sqrt(s.x / n);
        a->trace[p].dx[to] = scale * sqrt(s.dx / n);
    }
}
