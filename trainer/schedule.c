/* Learning-rate schedules: lr(step) / peak lr.
 *
 * Everything is counted in tokens, so that a run with twice the tokens shares its warm-up (and, under wsd, its whole
 * stable part) with the shorter one. Step s sees the tokens from (s-1)*batch to s*batch. The conventions are llm.c's
 * (llmc/schedulers.h):
 *   warm-up  min(1, s*batch / warmup_tokens): by the tokens *after* the step, so step 1 is never wasted on lr 0;
 *   decay    by the tokens *before* the step, so the first decaying step is at the peak and the last one is just above
 *            its floor: no step is wasted on lr 0 there either.
 * Rows: constant; cosine (Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, one cycle); linear; wsd = stable, then a
 * decay over the last decay_fraction of the tokens (Hu et al. 2024, arXiv:2404.06395, sec. 4.2). Decay shapes: linear,
 * 1-sqrt (Haegele et al. 2024, arXiv:2405.18392, sec. 3), cosine, exponential = min_lr_ratio^x. */
#include <math.h>

#include "trainer/config.h"

/* Shapes fall from 1 at x = 0 to `floor_` at x = 1. */
typedef double (*shape_fn)(double x, double floor_);

static double fall(double y, double floor_) { return floor_ + (1 - floor_) * y; }
static double shape_linear(double x, double floor_) { return fall(1 - x, floor_); }
static double shape_1_sqrt(double x, double floor_) { return fall(1 - sqrt(x), floor_); }
static double shape_cosine(double x, double floor_) { return fall(0.5 * (1 + cos(M_PI * x)), floor_); }
static double shape_exponential(double x, double floor_) { return pow(floor_, x); }

static const shape_fn shapes[] = {
    [SHAPE_LINEAR] = shape_linear, [SHAPE_1_SQRT] = shape_1_sqrt,
    [SHAPE_COSINE] = shape_cosine, [SHAPE_EXP] = shape_exponential,
};
const char *const decay_shape_names[] = {
    [SHAPE_LINEAR] = "linear", [SHAPE_1_SQRT] = "1-sqrt", [SHAPE_COSINE] = "cosine", [SHAPE_EXP] = "exponential", NULL,
};

/* Share of the way from `start` to the last token, 0 before it. */
static double progress(const trainer_config *c, double seen, double start)
{
    double length = (double)c->tokens - start;
    return length > 0 && seen > start ? fmin(1, (seen - start) / length) : 0;
}

static double constant(const trainer_config *c, double seen)
{
    (void)c;
    (void)seen;
    return 1;
}

static double cosine(const trainer_config *c, double seen)
{
    return shape_cosine(progress(c, seen, (double)c->warmup_tokens), c->min_lr_ratio);
}

static double linear(const trainer_config *c, double seen)
{
    return shape_linear(progress(c, seen, (double)c->warmup_tokens), c->min_lr_ratio);
}

static double wsd(const trainer_config *c, double seen)
{
    /* Whole tokens: a start 1e-13 too early would move the first step of 1-sqrt by 1e-8. */
    int64_t decay_start = c->tokens - llround(c->decay_fraction * (double)c->tokens);
    return shapes[c->decay_shape](progress(c, seen, (double)decay_start), c->min_lr_ratio);
}

/* `seen`: tokens before the step. */
static double (*const schedules[])(const trainer_config *c, double seen) = {
    [SCHED_CONSTANT] = constant, [SCHED_COSINE] = cosine, [SCHED_LINEAR] = linear, [SCHED_WSD] = wsd,
};
const char *const schedule_names[] = {
    [SCHED_CONSTANT] = "constant", [SCHED_COSINE] = "cosine", [SCHED_LINEAR] = "linear", [SCHED_WSD] = "wsd", NULL,
};

int64_t config_steps(const trainer_config *c) { return c->batch_tokens > 0 ? c->tokens / c->batch_tokens : 0; }

double schedule_factor(const trainer_config *c, int64_t step)
{
    double after = (double)step * (double)c->batch_tokens, before = (double)(step - 1) * (double)c->batch_tokens;
    if (after < (double)c->warmup_tokens) return after / (double)c->warmup_tokens;
    return schedules[c->schedule](c, before);
}
