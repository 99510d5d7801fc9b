/* From what a person wrote to what will run: derived values, checks that span several keys, the data.
 * Every message says key, value and remedy. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "trainer/config_keys.h"

/* Below it a learning rate was meant for a rule that has a base: unit-scaling's demonstration sweeps 2^-3 to 2^4. */
static const double UNIT_LR = 0.02;

static void add_note(trainer_config *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add_note(trainer_config *c, const char *fmt, ...)
{
    size_t used = strlen(c->note);
    va_list ap;
    if (used && used + 3 < sizeof c->note) used += (size_t)snprintf(c->note + used, sizeof c->note - used, "; ");
    va_start(ap, fmt);
    vsnprintf(c->note + used, sizeof c->note - used, fmt, ap);
    va_end(ap);
}

/* Of the keys whose field lies in [from, to). */
static status check_values(const trainer_config *c, size_t from, size_t to, err *e)
{
    char why[512];
    for (size_t i = 0; i < config_table_size; i++) {
        const config_key *k = &config_table[i];
        if (k->offset < from || k->offset >= to || config_in_range(c, k, why, sizeof why)) continue;
        if (k->fallback) return err_set(e, ST_INPUT, "%s", why);
        return err_set(e, ST_INPUT, "%s is missing (%s); add a line '%s: ...'", k->name, k->doc, k->name);
    }
    return ST_OK;
}

static status check_model(trainer_config *c, err *e)
{
    shape *s = &c->shape;
    if (s->d_model % s->head_dim) {
        int64_t below = s->d_model / s->head_dim * s->head_dim;
        return err_set(e, ST_INPUT,
                       "d_model: %" PRId64 " is not a multiple of head_dim %" PRId64 "; use d_model %" PRId64
                       " or a head_dim that divides it",
                       s->d_model, s->head_dim, below ? below : s->head_dim);
    }
    s->n_head = s->d_model / s->head_dim;
    if (!s->n_kv_head) s->n_kv_head = s->n_head;
    if (!s->d_ff) s->d_ff = s->act == ACT_SWIGLU ? (8 * s->d_model / 3 + 31) / 32 * 32 : 4 * s->d_model;
    return shape_check(s, e);
}

static status check_rule(const trainer_config *c, err *e)
{
    enum { MAX = 32 };
    const mup_rule *rule = mup_rule_find(c->parametrisation);
    if (!rule) {
        const char *names[MAX];
        char list[256] = "";
        int n = 0;
        for (; n < (int)mup_rule_count() && n < MAX; n++) {
            names[n] = mup_rule_name(mup_rule_at((size_t)n));
            size_t used = strlen(list);
            snprintf(list + used, sizeof list - used, "%s%s", n ? ", " : "", names[n]);
        }
        const char *near = num_nearest_word(c->parametrisation, names, n);
        return err_set(e, ST_INPUT, "parametrisation: '%s' is none of %s%s%s%s", c->parametrisation, list,
                       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    if (mup_rule_needs_base(rule) && !c->base_width)
        return err_set(e, ST_INPUT,
                       "base_width: 0, but parametrisation '%s' scales from the width at which lr was tuned; "
                       "set base_width to that d_model (or use parametrisation: sp)",
                       c->parametrisation);
    if (mup_rule_needs_depth(rule) && !c->base_depth)
        return err_set(e, ST_INPUT,
                       "base_depth: 0, but parametrisation '%s' scales from the depth at which lr was tuned; "
                       "set base_depth to that n_layer (or use parametrisation: mup)",
                       c->parametrisation);
    if (mup_rule_needs_horizon(rule) && (!c->base_batch_tokens || !c->base_tokens))
        return err_set(e, ST_INPUT,
                       "%s: 0, but parametrisation '%s' scales from the batch and the tokens with which lr was tuned; "
                       "set base_batch_tokens and base_tokens (or use parametrisation: completep)",
                       c->base_batch_tokens ? "base_tokens" : "base_batch_tokens", c->parametrisation);
    return ST_OK;
}

/* A base width that no whole number of this head_dim makes: the base model had another, and attention's scale with it. */
static status check_base_heads(const trainer_config *c, err *e)
{
    const int64_t head = c->base_head_dim ? c->base_head_dim : c->shape.head_dim;
    if (!mup_rule_needs_base(mup_rule_find(c->parametrisation)) || c->base_width % head == 0) return ST_OK;
    if (c->base_head_dim)
        return err_set(e, ST_INPUT, "base_head_dim: %" PRId64 " does not divide base_width %" PRId64 "; use one that does",
                       head, c->base_width);
    return err_set(e, ST_INPUT,
                   "base_width: %" PRId64 " is not a multiple of head_dim %" PRId64
                   ", so the base model had another; say which: base_head_dim",
                   c->base_width, head);
}

static status check_batch(trainer_config *c, err *e)
{
    int64_t unit = c->shape.seq_len * c->grad_accum * c->shards, up = (c->batch_tokens + unit - 1) / unit * unit;
    if (c->batch_tokens % unit)
        return err_set(e, ST_INPUT,
                       "batch_tokens: %" PRId64 " is not a multiple of seq_len * shards * grad_accum = %" PRId64
                       " * %" PRId64 " * %" PRId64 " = %" PRId64 "; use %" PRId64,
                       c->batch_tokens, c->shape.seq_len, c->shards, c->grad_accum, unit, up);
    if (c->tokens < c->batch_tokens)
        return err_set(e, ST_INPUT,
                       "tokens: %" PRId64 " is less than one step of batch_tokens %" PRId64
                       "; raise tokens or lower batch_tokens",
                       c->tokens, c->batch_tokens);
    int64_t whole = c->tokens / c->batch_tokens * c->batch_tokens;
    if (whole != c->tokens)
        add_note(c, "tokens: %" PRId64 " rounded down to %" PRId64 ", whole steps", c->tokens, whole);
    c->tokens = whole;
    return ST_OK;
}

static status check_schedule(const trainer_config *c, err *e)
{
    bool wsd = c->schedule == SCHED_WSD;
    int64_t decay = wsd ? llround(c->decay_fraction * (double)c->tokens) : 0;
    if (c->warmup_tokens > c->tokens - decay)
        return err_set(e, ST_INPUT,
                       "warmup_tokens: %" PRId64 " do not fit before %s %" PRId64 "; use at most %" PRId64,
                       c->warmup_tokens, wsd ? "the decay, which starts at token" : "the end at token",
                       c->tokens - decay, c->tokens - decay);
    if (wsd && c->decay_shape == SHAPE_EXP && c->min_lr_ratio == 0)
        return err_set(e, ST_INPUT,
                       "min_lr_ratio: 0 cannot be reached by decay_shape exponential; use 0.01 or another shape");
    return ST_OK;
}

static status check_val(trainer_config *c, err *e)
{
    int64_t least = 2 * c->shape.seq_len, whole = c->val_tokens / c->shape.seq_len * c->shape.seq_len;
    if (c->val_tokens < least)
        return err_set(e, ST_INPUT,
                       "val_tokens: %" PRId64 " is less than two sequences of %" PRId64
                       " tokens, which a standard error needs; use %" PRId64 " or more",
                       c->val_tokens, c->shape.seq_len, least);
    if (whole != c->val_tokens) add_note(c, "val_tokens: %" PRId64 " rounded down to %" PRId64, c->val_tokens, whole);
    c->val_tokens = whole;
    return ST_OK;
}

static status fill_vocab(trainer_config *c, data_set *d, err *e)
{
    const data_info *info = data_about(d);
    status s = ST_OK;
    if (info->max_id < 0 && (s = data_scan(d, 0, e))) return s; /* an id beyond the table would be read out of bounds */
    if (!c->shape.vocab) c->shape.vocab = info->vocab ? info->vocab : (int64_t)info->max_id + 1;
    return ST_OK;
}

static status check_vocab(const trainer_config *c, err *e)
{
    if (c->shape.vocab) return ST_OK;
    return err_set(e, ST_INPUT, "vocab: 0 takes the data's, but no data is given; set data or vocab");
}

static status check_data(trainer_config *c, data_set *d, err *e)
{
    const data_info *info = data_about(d);
    status s = fill_vocab(c, d, e);
    if (s) return s;
    int64_t seq = c->shape.seq_len, vocab = c->shape.vocab;
    if (info->max_id >= vocab) return data_scan(d, vocab, e); /* names the file and the token */
    if (c->unique_tokens > info->train_tokens)
        return err_set(e, ST_INPUT,
                       "unique_tokens: %" PRId64 " is more than the %" PRId64 " training tokens of %s; use 0 for all",
                       c->unique_tokens, info->train_tokens, c->data);
    if (data_windows(d, seq, c->unique_tokens) < 1)
        return err_set(e, ST_INPUT,
                       "seq_len: %" PRId64 " is longer than the data: a sequence and its targets need %" PRId64
                       " tokens, %s has %" PRId64 "; lower seq_len",
                       seq, seq + 1, c->unique_tokens ? "unique_tokens" : c->data,
                       c->unique_tokens ? c->unique_tokens : info->train_tokens);
    int64_t want = c->val_tokens / seq, have = data_val_windows(d, NULL, want, seq);
    if (have < 2)
        return err_set(e, ST_INPUT,
                       "seq_len: %" PRId64 ": the validation part of %s holds %" PRId64 " sequences, two are needed; "
                       "lower seq_len or pack with a larger --val-fraction",
                       seq, c->data, have);
    if (have < want)
        add_note(c, "val_tokens: the data has %" PRId64 " validation sequences of %" PRId64 ", not %" PRId64, have, seq,
                 want);
    memcpy(c->data_sha256, info->sha256, sizeof c->data_sha256);
    return ST_OK;
}

status config_shape(trainer_config *c, data_set *d, err *e)
{
    const size_t from = offsetof(trainer_config, shape);
    status s = check_values(c, from, from + sizeof c->shape, e);
    if (!s && d) s = fill_vocab(c, d, e);
    if (!s) s = check_vocab(c, e);
    return s ? s : check_model(c, e);
}

status config_resolve_with(trainer_config *c, data_set *d, err *e)
{
    status s = ST_OK;
    c->note[0] = 0;
    if ((s = check_values(c, 0, sizeof *c, e)) || (s = check_rule(c, e)) || (s = check_base_heads(c, e)) ||
        (s = check_batch(c, e)) || (s = check_schedule(c, e)) ||
        (s = check_val(c, e)))
        return s;
    if (d && (s = check_data(c, d, e))) return s;
    if ((s = check_vocab(c, e)) || (s = check_model(c, e))) return s;
    /* The rule has the last word: every tensor must get finite hyperparameters. */
    size_t n = shape_tensors(&c->shape, NULL, 0);
    mup_tensor *tensors = calloc(n, sizeof *tensors);
    mup_model model;
    if (!tensors) return err_set(e, ST_NOMEM, "no memory for %zu tensors", n);
    if (mup_rule_absolute(mup_rule_find(c->parametrisation)) && c->base.lr < UNIT_LR)
        add_note(c, "lr: %g is small for %s, whose learning rates are of order 1 (0.1 to 10)", c->base.lr,
                 c->parametrisation);
    double betas[2];
    s = config_hparams(c, tensors, &model, e);
    if (!s) s = config_betas(c, &betas[0], &betas[1], e);
    free(tensors);
    return s;
}

status config_resolve(trainer_config *c, err *e)
{
    data_set *d = NULL;
    if (*c->data) {
        char *full = realpath(c->data, NULL);
        if (full && strlen(full) < sizeof c->data) strcpy(c->data, full);
        free(full);
        status s = data_open(&d, c->data, c->data_dtype, e);
        if (s) return s;
    }
    status s = config_resolve_with(c, d, e);
    data_close(d);
    return s;
}

mup_setup config_mup(const trainer_config *c)
{
    const shape *x = &c->shape;
    mup_setup s = {.rule = mup_rule_find(c->parametrisation), .base = c->base, .opt = c->options, .tied = x->tied_head,
                   .swiglu = x->act == ACT_SWIGLU};
    s.base.decay_independent = c->decay == DECAY_INDEPENDENT;
    s.size = (mup_size){.width = (double)x->d_model, .depth = (double)x->n_layer, .head_dim = (double)x->head_dim,
                        .d_ff = (double)x->d_ff, .seq_len = (double)x->seq_len, .batch = (double)c->batch_tokens,
                        .tokens = (double)c->tokens};
    s.base_size = (mup_size){.width = (double)c->base_width, .depth = (double)c->base_depth,
                             .head_dim = (double)c->base_head_dim, .d_ff = (double)c->base_d_ff,
                             .batch = (double)c->base_batch_tokens, .tokens = (double)c->base_tokens};
    return s;
}

mup_place config_place(const shape_tensor *t)
{
    return (mup_place){.name = t->name, .role = t->role, .part = t->part, .block = t->layer >= 0,
                       .fan_in = (double)t->fan_in};
}

status config_hparams(const trainer_config *c, mup_tensor *tensors, mup_model *model, err *e)
{
    const mup_setup setup = config_mup(c);
    if (!setup.rule) return check_rule(c, e);
    status s = mup_check(&setup, e);
    if (!s) s = mup_apply_model(model, &setup, e);
    size_t n = shape_tensors(&c->shape, NULL, 0);
    shape_tensor *t = s ? NULL : calloc(n, sizeof *t);
    if (!s && !t) return err_set(e, ST_NOMEM, "no memory for %zu tensors", n);
    if (t) shape_tensors(&c->shape, t, n);
    for (size_t i = 0; !s && i < n; i++) {
        const mup_place p = config_place(&t[i]);
        s = mup_apply_tensor(&tensors[i], &setup, &p, e);
    }
    free(t);
    return s;
}

status config_betas(const trainer_config *c, double *beta1, double *beta2, err *e)
{
    const mup_setup setup = config_mup(c);
    if (!setup.rule) return check_rule(c, e);
    status s = mup_apply_beta(beta1, &setup, c->beta1, "beta1", e);
    return s ? s : mup_apply_beta(beta2, &setup, c->beta2, "beta2", e);
}
