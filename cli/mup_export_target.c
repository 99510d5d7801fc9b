/* The large model that `mup export` writes: the tuned config at other sizes, and its base. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "cli/mup_export.h"
#include "trainer/config_base.h"

enum { MAX_WIDTH = 131072 };

typedef struct asked {
    int64_t n;
    bool d_ff, n_kv_head, width, head_dim;
} asked;

/* What --target may change: sizes, which rules of sizes are about. */
static status set_word(trainer_config *c, asked *a, const char *word, size_t len, err *e)
{
    static const char *const names[][2] = {{"N", "N"},
                                           {"width", "d_model"},
                                           {"depth", "n_layer"},
                                           {"d_model", "d_model"},
                                           {"n_layer", "n_layer"},
                                           {"head_dim", "head_dim"},
                                           {"d_ff", "d_ff"},
                                           {"n_kv_head", "n_kv_head"},
                                           {"seq_len", "seq_len"},
                                           {"batch_tokens", "batch_tokens"},
                                           {"tokens", "tokens"},
                                           {"warmup_tokens", "warmup_tokens"}};
    enum { N = sizeof names / sizeof *names };
    char text[256], *value;
    if (len >= sizeof text || !memchr(word, '=', len))
        return err_set(e, ST_INPUT, "--target: '%.*s' is no key=value, as in width=4096,depth=32",
                       len < 60 ? (int)len : 60, word);
    memcpy(text, word, len);
    text[len] = 0;
    *(value = strchr(text, '=')) = 0;
    const char *key = NULL, *list[N];
    for (size_t i = 0; i < N; i++) {
        list[i] = names[i][0];
        if (!strcmp(text, names[i][0])) key = names[i][1];
    }
    if (!key && config_find(text))
        return err_set(
            e, ST_INPUT,
            "--target: %s is no size: no rule of sizes covers a base and a target that differ in it; tune the "
            "small model with it, or leave it",
            text);
    if (!key) {
        const char *near = num_nearest_word(text, list, N);
        return err_set(e, ST_INPUT, "--target: '%s' is unknown%s%s%s; use N=... or width=...,depth=...", text,
                       near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    a->d_ff |= !strcmp(key, "d_ff");
    a->n_kv_head |= !strcmp(key, "n_kv_head");
    a->width |= !strcmp(key, "d_model");
    a->head_dim |= !strcmp(key, "head_dim");
    if (strcmp(key, "N") != 0) return config_set(c, key, value + 1, "--target", e);
    if (num_parse_i64(value + 1, &a->n) && a->n > 0) return ST_OK;
    return err_set(e, ST_INPUT, "--target: N=%.40s is no number of parameters", value + 1);
}

/* d_ff and key/value heads that were written out keep their proportion. */
static void at_width(trainer_config *out, const trainer_config *t, const trainer_config *small, const asked *a,
                     int64_t width)
{
    const int64_t from = small->shape.d_model;
    *out = *t;
    out->shape.d_model = width;
    if (!a->d_ff && small->shape.d_ff) out->shape.d_ff = (small->shape.d_ff * width + from / 2) / from;
    if (!a->n_kv_head && small->shape.n_kv_head) {
        const int64_t kv = (small->shape.n_kv_head * width + from / 2) / from;
        out->shape.n_kv_head = kv > 0 ? kv : 1;
    }
}

/* The width whose total parameters come nearest N, at the depth asked for. */
static status width_for(int64_t *width, const trainer_config *t, const trainer_config *small, const asked *a, err *e)
{
    const int64_t head = t->shape.head_dim;
    double best = HUGE_VAL;
    *width = 0;
    for (int64_t w = head; w <= MAX_WIDTH; w += head) {
        trainer_config c;
        at_width(&c, t, small, a, w);
        c.data[0] = 0;
        strcpy(c.parametrisation, "sp"); /* only a shape is asked for */
        memset(&c.options, 0, sizeof c.options);
        if (config_resolve(&c, NULL)) continue;
        const double n = (double)shape_count(&c.shape).n_params_total, off = fabs(log(n / (double)a->n));
        if (off < best) best = off, *width = w;
        if (n > (double)a->n) break;
    }
    if (*width && best < 0.25) return ST_OK;
    return err_set(e, ST_INPUT,
                   "--target: no multiple of head_dim %" PRId64 " gives about N=%" PRId64
                   " parameters at n_layer %" PRId64 "; give another depth",
                   head, a->n, t->shape.n_layer);
}

/* Base: what the config names, else the config itself. */
static status set_base(trainer_config *t, const trainer_config *small, const char *base, config_base_note *note, err *e)
{
    trainer_config b;
    bool said = false;
    char words[48];
    status s;
    if (base) {
        if ((s = config_load(&b, base, e))) err_prefix(e, "--base");
    } else {
        snprintf(words, sizeof words, "width=%" PRId64, small->base_width ? small->base_width : small->shape.d_model);
        s = config_base_words(&b, small, words, &said, e);
        if (!s && !small->base_width) b.shape.n_kv_head = small->shape.n_kv_head;
    }
    return s ? s : config_set_base(t, &b, said, note, e);
}

status mup_export_target_of(trainer_config *out, const trainer_config *small, const char *words, const char *base,
                            config_base_note *note, err *e)
{
    asked a = {0};
    trainer_config resolved = *small, t = *small;
    const mup_rule *rule = mup_rule_find(small->parametrisation);
    note->text[0] = 0;
    if (rule && mup_rule_needs_base(rule) && !resolved.base_width) { /* it is its own base */
        resolved.base_width = small->shape.d_model;
        resolved.base_depth = small->shape.n_layer;
        resolved.base_batch_tokens = small->batch_tokens;
        resolved.base_tokens = small->tokens;
    }
    if (rule && base && !mup_rule_needs_base(rule))
        return err_set(e, ST_INPUT, "--base: parametrisation %s has no base model; leave it out",
                       small->parametrisation);
    status s = config_resolve(&resolved, e); /* its own faults first; and the data's vocabulary */
    if (s) return s;
    for (const char *p = words; p && *p;) {
        const size_t n = strcspn(p, ",");
        if ((s = set_word(&t, &a, p, n, e))) return s;
        p += n + (p[n] == ',');
    }
    t.shape.vocab = resolved.shape.vocab;
    if (a.n && a.width) return err_set(e, ST_INPUT, "--target: N and width both say how wide; give one");
    if (t.shape.head_dim != small->shape.head_dim && !t.base_head_dim)
        return err_set(e, ST_INPUT,
                       "--target: head_dim %" PRId64 " here, %" PRId64
                       " in the tuned model: the scale of attention changes with "
                       "it; say so with base_head_dim=%" PRId64 ", or let the number of heads grow",
                       t.shape.head_dim, small->shape.head_dim, small->shape.head_dim);
    int64_t width = t.shape.d_model;
    if (a.n && (s = width_for(&width, &t, small, &a, e))) return s;
    at_width(out, &t, small, &a, width);
    if (rule && mup_rule_needs_base(rule) && (s = set_base(out, small, base, note, e))) return s;
    return config_resolve(out, e);
}
