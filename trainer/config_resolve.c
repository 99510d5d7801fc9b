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

static status check_values(const trainer_config *c, err *e)
{
    char why[512];
    for (size_t i = 0; i < config_table_size; i++) {
        const config_key *k = &config_table[i];
        if (config_in_range(c, k, why, sizeof why)) continue;
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
    return ST_OK;
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

static status check_data(trainer_config *c, data_set *d, err *e)
{
    const data_info *info = data_about(d);
    int64_t seq = c->shape.seq_len, vocab = c->shape.vocab;
    status s = ST_OK;
    if (info->max_id < 0 && (s = data_scan(d, 0, e))) return s; /* an id beyond the table would be read out of bounds */
    if (!vocab) c->shape.vocab = vocab = info->vocab ? info->vocab : (int64_t)info->max_id + 1;
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

status config_resolve_with(trainer_config *c, data_set *d, err *e)
{
    status s = ST_OK;
    c->note[0] = 0;
    if ((s = check_values(c, e)) || (s = check_rule(c, e)) || (s = check_batch(c, e)) || (s = check_schedule(c, e)) ||
        (s = check_val(c, e)))
        return s;
    if (d && (s = check_data(c, d, e))) return s;
    if (!c->shape.vocab)
        return err_set(e, ST_INPUT, "vocab: 0 takes the data's, but no data is given; set data or vocab");
    if ((s = check_model(c, e))) return s;
    /* The rule has the last word: every tensor must get finite hyperparameters. */
    size_t n = shape_tensors(&c->shape, NULL, 0);
    mup_tensor *tensors = calloc(n, sizeof *tensors);
    mup_model model;
    if (!tensors) return err_set(e, ST_NOMEM, "no memory for %zu tensors", n);
    s = config_hparams(c, tensors, &model, e);
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

/* The base model has this model's proportions (d_ff and heads scale with the width), so one width ratio serves all
 * matrices whose fan_in grows. The embedding's fan_in (a one-hot row) and a gain's do not. */
static double fan_in_ratio(const trainer_config *c, mup_role role)
{
    if (role != MUP_HIDDEN && role != MUP_READOUT) return 1;
    return c->base_width ? (double)c->shape.d_model / (double)c->base_width : 1;
}

status config_hparams(const trainer_config *c, mup_tensor *tensors, mup_model *model, err *e)
{
    const mup_rule *rule = mup_rule_find(c->parametrisation);
    if (!rule) return check_rule(c, e);
    mup_ratios ratios = {
        .width = c->base_width ? (double)c->shape.d_model / (double)c->base_width : 1,
        .depth = c->base_depth ? (double)c->shape.n_layer / (double)c->base_depth : 1,
        .head_dim = c->base_head_dim ? (double)c->shape.head_dim / (double)c->base_head_dim : 1,
        .fan_in = fan_in_ratio(c, MUP_HIDDEN),
    };
    mup_base base = c->base;
    base.decay_independent = c->decay == DECAY_INDEPENDENT;
    if (c->shape.tied_head) base.tied_width = (double)(mup_rule_needs_base(rule) ? c->base_width : c->shape.d_model);
    status s = mup_apply_model(model, rule, (double)c->shape.head_dim, &base, &ratios, e);
    size_t n = shape_tensors(&c->shape, NULL, 0);
    shape_tensor *t = s ? NULL : calloc(n, sizeof *t);
    if (!s && !t) return err_set(e, ST_NOMEM, "no memory for %zu tensors", n);
    if (t) shape_tensors(&c->shape, t, n);
    for (size_t i = 0; !s && i < n; i++) {
        ratios.fan_in = fan_in_ratio(c, t[i].role);
        s = mup_apply_tensor(&tensors[i], rule, t[i].role, t[i].name, (double)t[i].fan_in, &base, &ratios, e);
    }
    free(t);
    return s;
}
