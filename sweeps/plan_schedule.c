#include "sweeps/plan_schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 33, MOST_CURVES = 64 };

/* What the shape of a schedule depends on, and nothing else: a hundred thousand of them are sorted. */
typedef struct shape_key {
    int64_t tokens, warmup_tokens, batch_tokens;
    double min_lr_ratio, decay_fraction;
    int schedule, decay_shape;
    size_t run;
} shape_key;

static shape_key key_of(const sweep_plan *p, size_t run)
{
    const trainer_config *c = &p->runs[run].config;
    const bool wsd = c->schedule == SCHED_WSD;
    return (shape_key){.tokens = c->tokens,
                       .warmup_tokens = c->warmup_tokens,
                       .batch_tokens = c->batch_tokens,
                       .min_lr_ratio = c->schedule == SCHED_CONSTANT ? 0 : c->min_lr_ratio,
                       .decay_fraction = wsd ? c->decay_fraction : 0,
                       .schedule = (int)c->schedule,
                       .decay_shape = wsd ? (int)c->decay_shape : 0,
                       .run = run};
}

#define BY(field)                                                                                                      \
    if (x->field != y->field) return x->field < y->field ? -1 : 1
static int by_shape(const void *a, const void *b)
{
    const shape_key *x = a, *y = b;
    BY(tokens);
    BY(warmup_tokens);
    BY(batch_tokens);
    BY(schedule);
    BY(decay_shape);
    BY(min_lr_ratio);
    BY(decay_fraction);
    return 0;
}

static int by_shape_and_run(const void *a, const void *b)
{
    const shape_key *x = a, *y = b;
    const int order = by_shape(a, b);
    if (order) return order;
    BY(run);
    return 0;
}
#undef BY

static int most_runs_first(const void *a, const void *b, void *runs)
{
    const sweep_schedule *x = a, *y = b;
    const sweep_run *r = runs;
    if (x->n_runs != y->n_runs) return x->n_runs < y->n_runs ? 1 : -1;
    const int64_t l = r[x->example].config.tokens, m = r[y->example].config.tokens;
    if (l != m) return l < m ? 1 : -1;
    return x->example < y->example ? -1 : x->example > y->example;
}

/* The first step below the one before it, behind the warm-up. lr only falls there. */
static int64_t first_decaying(const trainer_config *c)
{
    const int64_t n = config_steps(c);
    const double peak = schedule_factor(c, n) < 1 ? 1 : 0;
    int64_t lo = c->warmup_tokens / c->batch_tokens + 1, hi = n + 1;
    if (!(peak > 0) || lo > n || c->warmup_tokens >= c->tokens) return n + 1;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (schedule_factor(c, mid) < 1) hi = mid;
        else lo = mid + 1;
    }
    return lo;
}

static sweep_schedule one_of(const sweep_plan *p, const shape_key *keys, size_t n)
{
    const trainer_config *c = &p->runs[keys[0].run].config;
    sweep_schedule s = {.example = keys[0].run, .n_runs = n, .peak_min = INFINITY, .peak_max = -INFINITY};
    for (size_t i = 0; i < n; i++) {
        const double lr = p->runs[keys[i].run].config.base.lr;
        s.peak_min = fmin(s.peak_min, lr);
        s.peak_max = fmax(s.peak_max, lr);
    }
    s.last = schedule_factor(c, config_steps(c));
    /* the step before the first that is lower is at the peak still, and is where the decay begins */
    const int64_t first = first_decaying(c);
    s.decay_from = first > config_steps(c) ? c->tokens : (first > 1 ? first - 2 : 0) * c->batch_tokens;
    return s;
}

status sweep_schedules_find(sweep_schedules *out, const sweep_plan *p, err *e)
{
    *out = (sweep_schedules){0};
    shape_key *keys = calloc(p->n_runs + 1, sizeof *keys);
    size_t distinct = 0;
    for (size_t i = 0; keys && i < p->n_runs; i++) keys[i] = key_of(p, i);
    if (keys) qsort(keys, p->n_runs, sizeof *keys, by_shape_and_run);
    for (size_t i = 0; keys && i < p->n_runs; i++) distinct += !i || by_shape(&keys[i - 1], &keys[i]);
    out->list = calloc(distinct + 1, sizeof *out->list);
    if (!keys || !out->list) {
        free(keys);
        return err_set(e, ST_NOMEM, "no memory for the schedules of %zu runs", p->n_runs);
    }
    for (size_t i = 0, first = 0; i < p->n_runs; i++) {
        if (i + 1 < p->n_runs && !by_shape(&keys[i], &keys[i + 1])) continue;
        out->list[out->n++] = one_of(p, &keys[first], i + 1 - first);
        first = i + 1;
        if (keys[i].tokens > out->longest) out->longest = keys[i].tokens;
    }
    free(keys);
    qsort_r(out->list, out->n, sizeof *out->list, most_runs_first, p->runs);
    return ST_OK;
}

void sweep_schedules_free(sweep_schedules *s)
{
    free(s->list);
    *s = (sweep_schedules){0};
}

double sweep_schedule_at(const trainer_config *c, double tokens)
{
    const int64_t n = config_steps(c), step = (int64_t)(tokens / (double)c->batch_tokens) + 1;
    return schedule_factor(c, step < n ? step : n);
}

/* A column is as high as the lr in the middle of its tokens; a cell that it fills by thirds shows how far. */
void sweep_schedule_draw(char rows[SWEEP_DRAW_ROWS][SWEEP_DRAW_WIDTH + 1], const trainer_config *c, int64_t longest)
{
    static const char fill[] = " .:#";
    for (int x = 0; x < SWEEP_DRAW_WIDTH; x++) {
        const double tokens = ((double)x + 0.5) * (double)longest / SWEEP_DRAW_WIDTH;
        const double high = tokens < (double)c->tokens ? SWEEP_DRAW_ROWS * sweep_schedule_at(c, tokens) : 0;
        for (int y = 0; y < SWEEP_DRAW_ROWS; y++) {
            const double part = high - (SWEEP_DRAW_ROWS - 1 - y);
            rows[y][x] = fill[part <= 0 ? 0 : part >= 1 ? 3 : (int)(part * 3 + 0.5)];
        }
    }
    for (int y = 0; y < SWEEP_DRAW_ROWS; y++) {
        int n = SWEEP_DRAW_WIDTH;
        while (n && rows[y][n - 1] == ' ') n--;
        rows[y][n] = 0;
    }
}

static json_t *curve_json(const trainer_config *c)
{
    json_t *tokens = json_array(), *factor = json_array();
    for (int i = 0; i < POINTS; i++) {
        const double at = (double)c->tokens * i / (POINTS - 1);
        json_array_append_new(tokens, json_real(at));
        json_array_append_new(factor, json_real(sweep_schedule_at(c, at)));
    }
    return json_pack("{s:o, s:o}", "tokens", tokens, "lr_of_peak", factor);
}

json_t *sweep_schedules_json(const sweep_schedules *s, const sweep_plan *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n; i++) {
        const sweep_schedule *x = &s->list[i];
        const trainer_config *c = &p->runs[x->example].config;
        json_t *j = json_pack("{s:s, s:I, s:[f,f], s:I, s:I, s:I, s:f}", "schedule", schedule_names[c->schedule],
                              "n_runs", (json_int_t)x->n_runs, "peak_lr", x->peak_min, x->peak_max, "tokens",
                              (json_int_t)c->tokens, "warmup_tokens", (json_int_t)c->warmup_tokens, "decay_from",
                              (json_int_t)x->decay_from, "last_of_peak", x->last);
        if (j && c->schedule == SCHED_WSD)
            json_object_set_new(j, "decay_shape", json_string(decay_shape_names[c->decay_shape]));
        if (j && i < MOST_CURVES) json_object_set_new(j, "curve", curve_json(c));
        json_array_append_new(list, j);
    }
    return list;
}
