#include "sweeps/coord_check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sweeps/coord_measure.h"
#include "sweeps/coord_trace.h"

/* Enough tokens for every quantity, few enough that four widths take seconds. */
enum { SEQUENCES = 4, LONGEST = 64, SLICES = 2 };

coord_opts coord_opts_default(void) { return (coord_opts){.seeds = 4, .steps = 4, .threads = 1, .backend = "cpu"}; }

/* --- a size ------------------------------------------------------------------------------------------------------- */

static status keep_groups(trainer_config *out, const trainer_config *c, err *e)
{
    const shape *s = &c->shape;
    if (!s->n_kv_head) return ST_OK;
    const int64_t heads = s->d_model / s->head_dim, now = out->shape.d_model / out->shape.head_dim;
    if (now * s->n_kv_head % heads)
        return err_set(e, ST_INPUT,
                       "n_kv_head: %" PRId64 " of %" PRId64 " heads; width %" PRId64 " has %" PRId64
                       " heads, of which that is no whole number; use widths that are multiples of %" PRId64,
                       s->n_kv_head, heads, out->shape.d_model, now, heads / s->n_kv_head * s->head_dim);
    out->shape.n_kv_head = now * s->n_kv_head / heads;
    return ST_OK;
}

static status grow_heads(trainer_config *out, const trainer_config *c, err *e)
{
    const shape *s = &c->shape;
    const int64_t heads = s->d_model / s->head_dim;
    if (out->shape.d_model % (2 * heads))
        return err_set(e, ST_INPUT,
                       "head_dim: width %" PRId64 " and %" PRId64
                       " heads make it no even number; use multiples of %" PRId64,
                       out->shape.d_model, heads, 2 * heads);
    out->shape.head_dim = out->shape.d_model / heads;
    if (!c->base_head_dim && c->base_width) {
        if (c->base_width % heads)
            return err_set(e, ST_INPUT,
                           "base_width: %" PRId64 " is not divisible by the %" PRId64 " heads; set base_head_dim",
                           c->base_width, heads);
        out->base_head_dim = c->base_width / heads;
    }
    return ST_OK;
}

/* The config at another width and depth, with the short context of the check. */
static status sized(trainer_config *out, const trainer_config *c, const coord_opts *o, int64_t width, int64_t depth,
                    err *e)
{
    *out = *c;
    memset(out->data, 0, sizeof out->data);
    out->base.weight_decay = 0; /* independent decay moves weights whatever the lr is, which would be blamed on it */
    out->shape.d_model = width;
    out->shape.n_layer = depth;
    if (c->shape.d_ff) out->shape.d_ff = (c->shape.d_ff * width + c->shape.d_model / 2) / c->shape.d_model;
    status s = o->grow_head_dim ? grow_heads(out, c, e) : ST_OK;
    if (!s) s = keep_groups(out, c, e);
    if (!s) s = config_resolve(out, e);
    if (s) return err_prefix(e, "width %" PRId64 ", depth %" PRId64, width, depth);
    if (out->shape.seq_len > LONGEST) out->shape.seq_len = LONGEST;
    return ST_OK;
}

/* --- the runs of a size ------------------------------------------------------------------------------------------- */

typedef struct runs {
    const coord_opts *o;
    trainer_config c;
    size_t n, seeds, n_seq; /* tensors; replicas; sequences that are looked at */
    shape_tensor *shapes;
    mup_tensor *rule, *tensor;
    coord_size size;
    bank *b;
    size_t stride;
    model_scene **first, **last; /* [seeds] */
    model_scene *now;            /* of a trace */
    float *w0, *w1, *m;          /* [seeds][stride]; one stride each */
    double *grad, *clip;         /* [seeds][n]; [seeds] */
    int32_t *tokens;             /* [seeds][SEQUENCES][T+1] */
} runs;

static void runs_free(runs *x)
{
    for (size_t r = 0; r < x->seeds; r++) {
        if (x->first) model_scene_free(x->first[r]);
        if (x->last) model_scene_free(x->last[r]);
    }
    model_scene_free(x->now);
    bank_free(x->b);
    free(x->shapes), free(x->rule), free(x->tensor), free(x->first), free(x->last), free(x->w0), free(x->w1),
        free(x->m);
    free(x->grad), free(x->clip), free(x->tokens);
}

/* Ids by Zipf's law, p ~ 1/(id + 1): rows of the embedding that many and few tokens train. By inversion of the
 * logarithm, which is that law up to rounding. */
static void draw(int32_t *out, size_t n, int64_t vocab, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        const int64_t id = (int64_t)exp(rng_uniform(seed, RNG_COORD, 0, i) * log((double)vocab + 1)) - 1;
        out[i] = (int32_t)(id < 0 ? 0 : id >= vocab ? vocab - 1 : id);
    }
}

static status set_replicas(runs *x, err *e)
{
    const size_t per = SEQUENCES * ((size_t)x->c.shape.seq_len + 1);
    bank_hparams h = {.tensors = x->tensor, .model = x->size.model, .clip_norm = x->c.clip_norm, .decay = x->c.decay};
    status s = config_betas(&x->c, &h.beta1, &h.beta2, e);
    for (size_t r = 0; r < x->seeds && !s; r++) {
        h.seed = x->c.seed + r;
        draw(x->tokens + r * per, per, x->c.shape.vocab, h.seed);
        s = bank_set_replica(x->b, r, &h, e);
    }
    return s;
}

static status runs_new(runs *x, err *e)
{
    const size_t R = x->seeds = x->o->seeds;
    const bank_opts bo = {.shape = x->c.shape, .n_replicas = R, .batch = SEQUENCES, .shards = SLICES,
                          .threads = x->o->threads, .backend = x->o->backend};
    x->n = shape_tensors(&x->c.shape, NULL, 0);
    x->shapes = calloc(x->n, sizeof *x->shapes);
    x->rule = calloc(x->n, sizeof *x->rule);
    x->tensor = calloc(x->n, sizeof *x->tensor);
    x->first = calloc(R, sizeof *x->first);
    x->last = calloc(R, sizeof *x->last);
    x->grad = calloc(R * x->n, sizeof *x->grad);
    x->clip = calloc(R, sizeof *x->clip);
    x->tokens = calloc(R * SEQUENCES * ((size_t)x->c.shape.seq_len + 1), sizeof *x->tokens);
    if (!x->shapes || !x->rule || !x->tensor || !x->first || !x->last || !x->grad || !x->clip ||
        !x->tokens)
        return err_set(e, ST_NOMEM, "no memory for the runs of the coordinate check");
    shape_tensors(&x->c.shape, x->shapes, x->n);
    x->size = (coord_size){.c = &x->c, .shapes = x->shapes, .n = x->n, .rule = x->rule, .tensor = x->tensor};
    status s = config_hparams(&x->c, x->rule, &x->size.rule_model, e);
    if (s) return s;
    memcpy(x->tensor, x->rule, x->n * sizeof *x->tensor);
    x->size.model = x->size.rule_model;
    if (x->o->alter) x->o->alter(x->o->alter_arg, &x->c, x->shapes, x->n, x->tensor, &x->size.model);
    if ((s = bank_new(&x->b, &bo, e))) return s;
    x->stride = bank_stride(x->b);
    x->w0 = calloc(R * x->stride, sizeof *x->w0);
    x->w1 = calloc(x->stride, sizeof *x->w1);
    x->m = calloc(x->stride, sizeof *x->m);
    if (!x->w0 || !x->w1 || !x->m) return err_set(e, ST_NOMEM, "no memory for the runs of the coordinate check");
    x->n_seq = SEQUENCES / SLICES; /* the same on every backend: what the host's workers look at */
    return set_replicas(x, e);
}

static const int32_t *tokens_of(const runs *x, size_t r)
{
    return x->tokens + r * SEQUENCES * ((size_t)x->c.shape.seq_len + 1);
}

static status look(runs *x, model_scene **at, err *e)
{
    status s = ST_OK;
    for (size_t r = 0; r < x->seeds && !s; r++) s = bank_look(x->b, r, tokens_of(x, r), x->n_seq, &at[r], e);
    return s;
}

/* After one step Adam's m is (1 - beta1) clip g: the gradient of t = 1, as the trainer had it. Entries that are 0
 * (tokens that did not occur) are no gradient. */
static status read_gradients(runs *x, const bank_step_out *out, err *e)
{
    double beta1, beta2;
    status s = config_betas(&x->c, &beta1, &beta2, e);
    for (size_t r = 0; r < x->seeds && !s; r++) {
        const double norm = out[r].grad_norm, limit = x->c.clip_norm,
                     clip = limit > 0 && norm > limit ? limit / norm : 1;
        x->clip[r] = clip;
        s = bank_read(x->b, r, NULL, x->m, NULL, e);
        for (size_t i = 0; i < x->n && !s; i++) {
            double sum = 0, n = 0;
            for (size_t k = 0; k < x->shapes[i].n; k++) {
                const double g = x->m[x->shapes[i].offset + k];
                sum += g * g;
                n += g != 0;
            }
            x->grad[r * x->n + i] = n > 0 ? sqrt(sum / n) / (clip * (1 - beta1)) : 0;
        }
    }
    return s;
}

/* Every replica after `step` steps. */
static status trace(runs *x, coord_axis *a, size_t size, int64_t step, err *e)
{
    status s = ST_OK;
    for (size_t r = 0; x->o->trace && r < x->seeds && !s; r++) {
        const coord_trace_at at = {.size = size, .seed = r, .seeds = x->seeds, .step = step};
        s = bank_look(x->b, r, tokens_of(x, r), x->n_seq, &x->now, e);
        if (!s) s = bank_read(x->b, r, x->w1, NULL, NULL, e);
        if (!s) coord_trace_put(a, &at, &x->size, x->first[r], x->now, x->w0 + r * x->stride, x->w1);
    }
    return s;
}

/* Which replica diverged at which step; seeds when none. */
static status train(runs *x, coord_axis *a, size_t size, size_t *bad, int64_t *when, err *e)
{
    enum { MOST = 256 };
    const int32_t *tokens[MOST];
    double lr[MOST];
    uint64_t step[MOST];
    bool active[MOST];
    bank_step_out out[MOST];
    status s = ST_OK;
    *bad = x->seeds;
    for (*when = 1; *when <= x->o->steps && !s; ++*when) {
        for (size_t r = 0; r < x->seeds; r++) {
            tokens[r] = tokens_of(x, r);
            lr[r] = 1; /* the peak: what a rule is about */
            step[r] = (uint64_t)*when;
            active[r] = true;
        }
        s = bank_step(x->b, out, tokens, lr, step, active, e);
        for (size_t r = 0; r < x->seeds && !s; r++)
            if (!out[r].finite) {
                *bad = r;
                return ST_OK;
            }
        if (!s && *when == 1) s = read_gradients(x, out, e);
        if (!s) s = trace(x, a, size, *when, e);
    }
    return s;
}

static bool finite_rows(const coord_axis *a, size_t size, size_t seeds, size_t seed)
{
    for (size_t i = 0; i < a->n_rows; i++)
        if (!isfinite(a->rows[i].y[size * seeds + seed])) return false;
    return true;
}

static status run_size(coord_result *out, coord_axis *a, size_t i, const trainer_config *c, const coord_opts *o, err *e)
{
    runs x = {.o = o, .c = *c};
    size_t bad = 0;
    int64_t when = 0;
    status s = runs_new(&x, e);
    if (!s) s = look(&x, x.first, e);
    for (size_t r = 0; r < x.seeds && !s; r++) s = bank_read(x.b, r, x.w0 + r * x.stride, NULL, NULL, e);
    if (!s) s = trace(&x, a, i, 0, e);
    if (!s) s = train(&x, a, i, &bad, &when, e);
    if (!s && bad == x.seeds) s = look(&x, x.last, e);
    for (size_t r = 0; r < x.seeds && !s && bad == x.seeds; r++) {
        coord_sheet to = {.axis = a, .size = i, .seed = r, .seeds = x.seeds, .e = e};
        s = bank_read(x.b, r, x.w1, NULL, NULL, e);
        if (s) break;
        coord_measure(&to, &x.size, &(coord_moment){.first = x.first[r], .last = x.last[r], .w0 = x.w0 + r * x.stride,
                                                    .w1 = x.w1, .grad = x.grad + r * x.n, .clip = x.clip[r]});
        s = to.st;
        if (!s && !finite_rows(a, i, x.seeds, r)) bad = r;
    }
    if (!s && bad < x.seeds)
        snprintf(out->diverged, sizeof out->diverged,
                 "width %" PRId64 ", depth %" PRId64 ", seed %zu: not finite after step %" PRId64, c->shape.d_model,
                 c->shape.n_layer, bad + 1, when > o->steps ? o->steps : when);
    out->n_seq = (int64_t)x.n_seq;
    out->seq_len = x.c.shape.seq_len;
    runs_free(&x);
    return s;
}

/* --- slopes ------------------------------------------------------------------------------------------------------- */

/* What has no logarithm: a tensor that starts at 0 has logits of 0 (right), and then no gradient behind it. */
static bool any_zero(const coord_row *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (r->y[i] == 0) return true;
    return false;
}

/* Where eps is idle, how it scales is not seen: below a share at the largest size, a slope passes. */
static bool idle_eps(const coord_row *r, const coord_axis *a, size_t seeds)
{
    double most = 0;
    for (size_t j = 0; j < seeds; j++) most = fmax(most, r->y[(a->n_sizes - 1) * seeds + j]);
    return r->quantity == MUP_COORD_EPS && most < MUP_COORD_EPS_SHARE;
}

/* Where a correct rule has no lower bound, or none at all: the first block changes by its own step, which a rule may
 * make smaller with depth, while later ones change by what came before too. The gradient of a gain has a part of its
 * own, var(logits)/width, that falls faster until width has made it small; in the last norm's it decides how far Adam's
 * steps agree at narrow widths, and so its change. */
static void exempt(mup_coord_bounds *b, const coord_axis *a, const coord_row *r)
{
    if (a->axis == MUP_OVER_DEPTH && !strncmp(r->place, "blocks.first", strlen("blocks.first")))
        b->fail_lo = b->pass_lo = -INFINITY;
    const size_t n = strlen(r->place), tail = strlen("norm");
    const bool last = r->quantity == MUP_COORD_DW_RMS && !strcmp(r->place, "final.norm");
    if (last || (r->quantity == MUP_COORD_GRAD && n > tail && !strcmp(r->place + n - tail, "norm")))
        b->fail_lo = b->pass_lo = -INFINITY, b->fail_hi = b->pass_hi = INFINITY;
}

static status judge(coord_axis *a, size_t seeds, err *e)
{
    for (size_t i = 0; i < a->n_rows; i++) {
        coord_row *r = &a->rows[i];
        mup_coord_slope x, twice;
        double pair[2 * 64];
        r->verdict = MUP_COORD_SHOWN;
        if ((r->zero = any_zero(r, a->n_sizes * seeds))) {
            if (r->quantity == MUP_COORD_LOGITS) r->verdict = MUP_COORD_PASS;
            continue;
        }
        for (size_t k = 0; k < a->n_sizes; k++) pair[2 * k] = pair[2 * k + 1] = r->expect[k];
        status s = mup_coord_fit(&twice, a->sizes, pair, a->n_sizes, 2, e);
        if (!s) s = mup_coord_fit(&x, a->sizes, r->y, a->n_sizes, seeds, e);
        if (s) return err_prefix(e, "%s %s", r->place, mup_coord_name(r->quantity));
        r->fit = x;
        r->bounds = mup_coord_bounds_of(r->quantity, a->axis, twice.slope);
        exempt(&r->bounds, a, r);
        r->verdict = mup_coord_judge(&x, &r->bounds);
        if (r->verdict != MUP_COORD_SHOWN && idle_eps(r, a, seeds)) r->verdict = MUP_COORD_PASS;
    }
    return ST_OK;
}

static mup_coord_verdict worse(mup_coord_verdict a, mup_coord_verdict b)
{
    if (a == MUP_COORD_FAIL || b == MUP_COORD_FAIL) return MUP_COORD_FAIL;
    return b == MUP_COORD_UNDECIDED ? b : a;
}

static status run_axis(coord_result *out, mup_coord_axis axis, const int64_t *sizes, size_t n, const trainer_config *c,
                       const coord_opts *o, err *e)
{
    coord_axis *a = &out->axes[out->n_axes++];
    trainer_config *all = calloc(n, sizeof *all);
    *a = (coord_axis){.axis = axis, .n_sizes = n, .sizes = calloc(n, sizeof *a->sizes)};
    status s = all && a->sizes ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu sizes", n);
    for (size_t i = 0; i < n && !s; i++) { /* all of them before the first trains */
        const bool wide = axis == MUP_OVER_WIDTH;
        a->sizes[i] = (double)sizes[i];
        s = sized(&all[i], c, o, wide ? sizes[i] : out->width_of_depths, wide ? out->depth_of_widths : sizes[i], e);
    }
    if (!s && o->trace) s = coord_trace_new(a, o->seeds, o->steps, e);
    for (size_t i = 0; i < n && !s && !*out->diverged; i++) s = run_size(out, a, i, &all[i], o, e);
    free(all);
    if (!s && !*out->diverged) s = judge(a, out->seeds, e);
    if (s) return s;
    if (*out->diverged) out->verdict = MUP_COORD_FAIL;
    for (size_t i = 0; i < a->n_rows && !*out->diverged; i++) out->verdict = worse(out->verdict, a->rows[i].verdict);
    return ST_OK;
}

/* --- the front ---------------------------------------------------------------------------------------------------- */

static status check_sizes(const int64_t *x, size_t n, const char *what, int64_t least, err *e)
{
    if (n && n < 3)
        return err_set(e, ST_INPUT, "%s: %zu of them; a slope needs at least 3", what, n);
    if (n > 64) return err_set(e, ST_INPUT, "%s: %zu of them; at most 64", what, n);
    for (size_t i = 0; i < n; i++) {
        if (x[i] < least) return err_set(e, ST_INPUT, "%s: %" PRId64 "; at least %" PRId64, what, x[i], least);
        if (i && x[i] <= x[i - 1])
            return err_set(e, ST_INPUT, "%s: %" PRId64 " after %" PRId64 "; each must be larger than the one before",
                           what, x[i], x[i - 1]);
    }
    if (n && x[n - 1] < 4 * x[0])
        return err_set(e, ST_INPUT, "%s: %" PRId64 " to %" PRId64 " is too short for a slope; at least a factor of 4",
                       what, x[0], x[n - 1]);
    return ST_OK;
}

static status check_opts(const coord_opts *o, err *e)
{
    status s = check_sizes(o->widths, o->n_widths, "widths", 2, e);
    if (!s) s = check_sizes(o->depths, o->n_depths, "depths", 2, e);
    if (s) return s;
    if (!o->n_widths && !o->n_depths) return err_set(e, ST_INPUT, "neither widths nor depths to compare");
    if (o->seeds < 3 || o->seeds > 256)
        return err_set(e, ST_INPUT, "seeds: %zu; 3 to 256, an interval comes from them", o->seeds);
    if (o->steps < 1 || o->steps > 1000) return err_set(e, ST_INPUT, "steps: %" PRId64 "; 1 to 1000", o->steps);
    return ST_OK;
}

status coord_check(coord_result **out, const trainer_config *config, const coord_opts *o, err *e)
{
    trainer_config c = *config, resolved = *config;
    status s = check_opts(o, e);
    if (!s) s = config_resolve(&resolved, e); /* the config itself first, and its vocabulary */
    coord_result *r = s ? NULL : calloc(1, sizeof *r);
    if (s || !r) return s ? s : err_set(e, ST_NOMEM, "no memory for a coordinate check");
    c.shape.vocab = resolved.shape.vocab;
    snprintf(r->backend, sizeof r->backend, "%s", o->backend);
    r->config = resolved;
    r->grow_head_dim = o->grow_head_dim;
    r->seeds = o->seeds;
    r->steps = o->steps;
    r->depth_of_widths = resolved.shape.n_layer;
    r->width_of_depths = resolved.base_width ? resolved.base_width : resolved.shape.d_model;
    if (o->n_widths) s = run_axis(r, MUP_OVER_WIDTH, o->widths, o->n_widths, &c, o, e);
    if (!s && o->n_depths && !*r->diverged) s = run_axis(r, MUP_OVER_DEPTH, o->depths, o->n_depths, &c, o, e);
    if (s) {
        coord_result_free(r);
        return s;
    }
    *out = r;
    return ST_OK;
}

void coord_result_free(coord_result *r)
{
    for (size_t a = 0; r && a < r->n_axes; a++) {
        for (size_t i = 0; i < r->axes[a].n_rows; i++) {
            free(r->axes[a].rows[i].y);
            free(r->axes[a].rows[i].expect);
        }
        free(r->axes[a].rows);
        coord_trace_free(&r->axes[a]);
        free(r->axes[a].sizes);
    }
    free(r);
}
