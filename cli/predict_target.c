/* What the config of a run adds to a law: counts by the fit's own conventions, the width for an N, the per-tensor table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cli/predict.h"

enum {
    LADDER_EVERY = 24, /* widths up to so many heads one by one, then in steps of about 4 % */
    LADDER_MAX = 400
};
#define LADDER_MAX_WIDTH 131072

status target_counts(double *n, double *flops_per_token, const shape *s, const char *n_rule, const char *c_rule, err *e)
{
    shape_counts c = shape_count(s);
    if (!strcmp(n_rule, "non-embed")) *n = (double)c.n_params_non_embed;
    else if (!strcmp(n_rule, "standard")) *n = (double)(c.n_params_non_embed + s->vocab * s->d_model); /* body + width x vocabulary */
    else if (!strcmp(n_rule, "total") || !strcmp(n_rule, "unstated")) *n = (double)c.n_params_total;
    else return err_set(e, ST_INPUT, "the fit counts parameters by rule '%s', which a config's counts do not know; fit with --count-rule total", n_rule);
    *flops_per_token = strcmp(c_rule, "exact") ? 6 * *n : shape_flops_per_token(s, FLOPS_EXACT);
    return ST_OK;
}

status target_load(prediction *p, err *e)
{
    status s = config_load(&p->base, p->in.config, e);
    for (size_t i = 0; i < p->in.n_overrides && !s; i++) {
        char key[64];
        const char *text = strchr(p->in.overrides[i], '=');
        if (!text || (size_t)(text - p->in.overrides[i]) >= sizeof key)
            return err_set(e, ST_USAGE, "%s: an override is key=value", p->in.overrides[i]);
        memcpy(key, p->in.overrides[i], (size_t)(text - p->in.overrides[i]));
        key[text - p->in.overrides[i]] = 0;
        s = config_set(&p->base, key, text + 1, "command line", e);
    }
    if (s) return s;
    p->target = p->base; /* resolved once with its data: everything later needs the vocabulary */
    s = config_resolve(&p->target, e);
    if (s) {
        err_prefix(e, "%s", p->in.config);
        return s;
    }
    return ST_OK;
}

/* The base config at another width: depth and head_dim stay; what was given explicitly for the MLP and the key/value heads
 * keeps its ratio. No data is opened. ST_INPUT: no such shape (heads do not divide, ...). */
static status at_width(trainer_config *out, const prediction *p, int64_t width, err *e)
{
    const shape *from = &p->target.shape; /* resolved */
    *out = p->base;
    out->data[0] = 0;
    out->shape.vocab = from->vocab;
    out->shape.d_model = width;
    if (p->base.shape.d_ff) out->shape.d_ff = (p->base.shape.d_ff * width + from->d_model / 2) / from->d_model;
    if (p->base.shape.n_kv_head) {
        int64_t kv = (p->base.shape.n_kv_head * width + from->d_model / 2) / from->d_model;
        out->shape.n_kv_head = kv > 0 ? kv : 1;
    }
    return config_resolve(out, e);
}

static status ladder_row(prediction *p, int64_t width, err *e)
{
    predict_ladder *l = &p->ladder;
    trainer_config c;
    const char *count = p->loss ? p->loss->count_rule : "total", *flops = p->loss ? p->loss->flops_rule : "exact";
    if (at_width(&c, p, width, NULL)) return ST_OK; /* no such shape: the ladder has one rung less */
    l->width[l->n_rows] = width;
    status s = target_counts(&l->n[l->n_rows], &l->flops_per_token[l->n_rows], &c.shape, count, flops, e);
    l->n_rows += !s;
    return s;
}

status target_make_ladder(prediction *p, err *e)
{
    predict_ladder *l = &p->ladder;
    int64_t head = p->target.shape.head_dim, heads = 1;
    l->width = calloc(LADDER_MAX, sizeof *l->width);
    l->n = calloc(LADDER_MAX, sizeof *l->n);
    l->flops_per_token = calloc(LADDER_MAX, sizeof *l->flops_per_token);
    if (!l->width || !l->n || !l->flops_per_token) return err_set(e, ST_NOMEM, "predict: no memory");
    while (l->n_rows < LADDER_MAX && heads * head <= LADDER_MAX_WIDTH) {
        status s = ladder_row(p, heads * head, e);
        if (s) return s;
        heads += heads < LADDER_EVERY ? 1 : heads / LADDER_EVERY;
    }
    if (l->n_rows < 2)
        return err_set(e, ST_INPUT, "%s: no width other than %lld gives a valid shape; leave n_kv_head and d_ff to their defaults",
                       p->in.config, (long long)p->target.shape.d_model);
    return ST_OK;
}

/* Nearest width in ln N among the multiples of head_dim, not only the rungs. */
static status nearest_width(trainer_config *out, const prediction *p, double n, err *e)
{
    const predict_ladder *l = &p->ladder;
    size_t rung = 0;
    double best = INFINITY;
    int64_t head = p->target.shape.head_dim, pick = 0;
    for (size_t i = 0; i < l->n_rows; i++)
        if (fabs(log(l->n[i] / n)) < fabs(log(l->n[rung] / n))) rung = i;
    int64_t from = l->width[rung > 0 ? rung - 1 : 0], to = l->width[rung + 1 < l->n_rows ? rung + 1 : rung];
    for (int64_t w = from; w <= to; w += head) {
        double got, flops;
        trainer_config c;
        if (at_width(&c, p, w, NULL)) continue;
        status s = target_counts(&got, &flops, &c.shape, p->loss->count_rule, p->loss->flops_rule, e);
        if (s) return s;
        if (fabs(log(got / n)) >= best) continue;
        best = fabs(log(got / n));
        pick = w;
    }
    if (!pick) return err_set(e, ST_INPUT, "%s: no width of %lld-wide heads gives about %.3g parameters", p->in.config, (long long)head, n);
    return at_width(out, p, pick, e);
}

/* Tokens of the target: the asked budget spent on the shape that exists, in whole steps. */
static status target_tokens(int64_t *tokens, const prediction *p, const shape *s, err *e)
{
    double n, flops, d = p->best.at.d;
    status st = target_counts(&n, &flops, s, p->loss->count_rule, p->loss->flops_rule, e);
    if (st) return st;
    if (!isnan(p->in.ask.c) && isnan(p->in.ask.d)) d = p->in.ask.c / flops;
    if (!(d > 0) || d > 9e15) return err_set(e, ST_DOMAIN, "%.3g training tokens are out of range for a run", d);
    int64_t batch = p->target.batch_tokens, steps = (int64_t)llround(d / (double)batch);
    *tokens = (steps > 0 ? steps : 1) * batch;
    return ST_OK;
}

static void compare_lr(prediction *p)
{
    const predict_lr *r = &p->rate;
    double lr = p->target.base.lr, octaves = log2(lr / r->lr);
    if (!r->known || fabs(octaves) < 0.01) return;
    bool inside = r->ci.lo <= lr && lr <= r->ci.hi;
    prediction_note(p, "the config's lr %.4g is %.2f octaves %s the predicted %.4g%s; the loss law assumes a tuned lr", lr, fabs(octaves),
                    octaves > 0 ? "above" : "below", r->lr, isnan(r->ci.lo) ? "" : inside ? ", inside its interval" : ", outside its 95 % interval");
}

static void rate_notes(prediction *p)
{
    if (!p->rate.known) return;
    double hi = NAN;
    for (size_t i = 0; i < p->lr->lr.n; i++)
        if (!strcmp(p->lr->lr.laws[i].parametrisation, p->target.parametrisation)) hi = p->lr->lr.laws[i].tokens_hi;
    if ((double)p->target.tokens > 1.5 * hi)
        prediction_note(p, "the learning rate was tuned at up to %.3g tokens, the run has %.3g; no law of its drift with tokens was given", hi,
                        (double)p->target.tokens);
    if (p->rate.octaves_beyond > 0)
        prediction_note(p, "the width is %.1f doublings beyond the learning-rate sweep", p->rate.octaves_beyond);
}

status target_choose(prediction *p, err *e)
{
    predict_lr_laws none = {0};
    status s = ST_OK;
    if (!p->exact_run) {
        trainer_config c;
        s = nearest_width(&c, p, p->best.at.n, e);
        if (!s) s = target_tokens(&c.tokens, p, &c.shape, e);
        if (s) return s;
        memcpy(c.data, p->base.data, sizeof c.data);
        c.warmup_tokens = p->base.warmup_tokens;
        p->target = c;
    }
    s = predict_lr_at(&p->rate, p->lr ? &p->lr->lr : &none, p->target.parametrisation, (double)p->target.shape.d_model, e);
    if (s) return s;
    if (!p->exact_run) {
        if (p->rate.known) p->target.base.lr = p->rate.lr;
        p->tensors_lr_predicted = p->rate.known;
        if (!isnan(p->in.unique_tokens)) p->target.unique_tokens = (int64_t)p->in.unique_tokens;
        s = config_resolve(&p->target, e);
        if (s) return err_prefix(e, "%s at width %lld and %lld tokens", p->in.config, (long long)p->target.shape.d_model, (long long)p->target.tokens);
    } else compare_lr(p);
    rate_notes(p);
    double flops;
    s = target_counts(&p->target_n, &flops, &p->target.shape, p->loss ? p->loss->count_rule : "total", p->loss ? p->loss->flops_rule : "exact", e);
    if (s) return s;
    p->target_d = (double)p->target.tokens;
    p->target_c = flops * p->target_d;
    config_id(p->target_id, &p->target);
    p->has_target = true;
    return ST_OK;
}

status target_tensors(prediction *p, err *e)
{
    mup_model model;
    size_t n = shape_tensors(&p->target.shape, NULL, 0);
    p->tensors = calloc(n, sizeof *p->tensors);
    p->hparams = calloc(n, sizeof *p->hparams);
    if (!p->tensors || !p->hparams) return err_set(e, ST_NOMEM, "predict: no memory for %zu tensors", n);
    shape_tensors(&p->target.shape, p->tensors, n);
    status s = config_hparams(&p->target, p->hparams, &model, e);
    if (!s) p->n_tensors = n;
    return s;
}

void target_free(prediction *p)
{
    free(p->ladder.width);
    free(p->ladder.n);
    free(p->ladder.flops_per_token);
    free(p->tensors);
    free(p->hparams);
}
