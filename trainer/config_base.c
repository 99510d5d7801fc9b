#include "trainer/config_base.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "trainer/config_keys.h"

/* What a difference between base and target means. A key that is not here must be equal. */
typedef enum cover {
    SIZE,    /* the rule scales it */
    HORIZON, /* complete-dp scales it, the others do not */
    CONTEXT, /* no rule; transfers in practice (Yang et al. 2022, arXiv:2203.03466, fig. 4) */
    FREE     /* changes nothing a rule is about */
} cover;
static const struct { const char *key; cover c; } covered[] = {
    {"d_model", SIZE}, {"n_layer", SIZE}, {"head_dim", SIZE}, {"n_kv_head", SIZE}, {"d_ff", SIZE},
    {"batch_tokens", HORIZON}, {"tokens", HORIZON},
    {"seq_len", CONTEXT}, {"warmup_tokens", CONTEXT},
    {"data", FREE}, {"data_dtype", FREE}, {"data_seed", FREE}, {"unique_tokens", FREE}, {"seed", FREE},
    {"parametrisation", FREE}, {"base_width", FREE}, {"base_depth", FREE}, {"base_head_dim", FREE}, {"base_d_ff", FREE},
    {"base_batch_tokens", FREE}, {"base_tokens", FREE}, {"grad_accum", FREE}, {"shards", FREE}, {"val_tokens", FREE},
    {"val_every", FREE}, {"blowup_nats", FREE}, {"flops_rule", FREE},
};

static const cover *cover_of(const char *key)
{
    for (size_t i = 0; i < sizeof covered / sizeof *covered; i++)
        if (!strcmp(covered[i].key, key)) return &covered[i].c;
    return NULL;
}

static void add_note(config_base_note *n, const char *key, const char *from, const char *to, const char *what)
{
    const size_t used = strlen(n->text);
    snprintf(n->text + used, sizeof n->text - used, "%s%s: %s in the base, %s here: %s", used ? "; " : "", key, from,
             to, what);
}

static status differ(const config_key *k, const trainer_config *t, const trainer_config *b, config_base_note *note,
                     err *e)
{
    char from[IO_PATH_MAX], to[IO_PATH_MAX];
    const cover *c = cover_of(k->name);
    const mup_rule *rule = mup_rule_find(t->parametrisation);
    if (k->launch_only || (c && (*c == SIZE || *c == FREE))) return ST_OK;
    if (!strcmp(k->name, "vocab") && (!t->shape.vocab || !b->shape.vocab)) return ST_OK; /* the data's */
    if (!strcmp(config_value(b, k, from), config_value(t, k, to))) return ST_OK;
    if (c && *c == HORIZON && rule && mup_rule_needs_horizon(rule)) return ST_OK;
    if (c) {
        add_note(note, k->name, from, to,
                 *c == HORIZON ? "no rule here covers it, lr may want tuning again (complete-dp has a rule)"
                               : "no rule covers it");
        return ST_OK;
    }
    return err_set(e, ST_INPUT,
                   "%s: %.60s in the base model, %.60s here, which no rule of sizes covers; make them equal",
                   k->name, from, to);
}

/* lr and the rest of the base must be its own, not those of a model it was itself scaled from. */
static status own_base(const trainer_config *b, err *e)
{
    const mup_rule *r = mup_rule_find(b->parametrisation);
    if (!r || !mup_rule_needs_base(r)) return ST_OK;
    if (b->base_width && b->base_width != b->shape.d_model)
        return err_set(e, ST_INPUT,
                       "the base model has d_model %" PRId64 " and base_width %" PRId64
                       ": its lr is that of width %" PRId64 "; take that model as the base",
                       b->shape.d_model, b->base_width, b->base_width);
    if (mup_rule_needs_depth(r) && b->base_depth && b->base_depth != b->shape.n_layer)
        return err_set(e, ST_INPUT,
                       "the base model has n_layer %" PRId64 " and base_depth %" PRId64
                       ": its lr is that of depth %" PRId64 "; take that model as the base",
                       b->shape.n_layer, b->base_depth, b->base_depth);
    return ST_OK;
}

static status check_head_dim(const trainer_config *t, const trainer_config *b, bool said, err *e)
{
    if (b->shape.head_dim == t->shape.head_dim || said || t->base_head_dim == b->shape.head_dim) return ST_OK;
    return err_set(e, ST_INPUT,
                   "head_dim: %" PRId64 " in the base model, %" PRId64
                   " here: the scale of attention changes with it; say so with base_head_dim %" PRId64
                   ", or keep head_dim and let the number of heads grow",
                   b->shape.head_dim, t->shape.head_dim, b->shape.head_dim);
}

status config_set_base(trainer_config *target, const trainer_config *base, bool said_head_dim, config_base_note *note,
                       err *e)
{
    trainer_config b = *base;
    const mup_rule *rule = mup_rule_find(target->parametrisation);
    char from[24], to[24];
    note->text[0] = 0;
    const bool deeper = base->shape.n_layer != target->shape.n_layer;
    if (deeper && rule && !mup_rule_needs_depth(rule) && !mup_rule_absolute(rule)) {
        snprintf(from, sizeof from, "%" PRId64, base->shape.n_layer);
        snprintf(to, sizeof to, "%" PRId64, target->shape.n_layer);
        add_note(note, "n_layer", from, to, "this rule does not cover it, lr may want tuning again (completep does)");
    }
    status s = own_base(base, e);
    for (size_t i = 0; !s && i < config_table_size; i++) s = differ(&config_table[i], target, base, note, e);
    if (!s) s = check_head_dim(target, base, said_head_dim, e);
    if (s) return s;
    /* As a model of its own: what it leaves open is filled, what cannot be is refused. */
    memset(b.data, 0, sizeof b.data);
    if (!b.shape.vocab) b.shape.vocab = target->shape.vocab ? target->shape.vocab : 256; /* no size depends on it */
    strcpy(b.parametrisation, "sp");
    memset(&b.options, 0, sizeof b.options);
    if ((s = config_resolve(&b, e))) return err_prefix(e, "base model");
    target->base_width = b.shape.d_model;
    target->base_depth = b.shape.n_layer;
    target->base_head_dim = b.shape.head_dim;
    target->base_d_ff = b.shape.d_ff;
    if (rule && mup_rule_needs_horizon(rule)) {
        target->base_batch_tokens = b.batch_tokens;
        target->base_tokens = b.tokens;
    }
    return ST_OK;
}

/* What the words leave open: the target's own base where its config names one, else the target's. */
static void start(trainer_config *b, const trainer_config *t)
{
    *b = *t;
    if (t->base_width) b->shape.d_model = t->base_width;
    if (t->base_depth) b->shape.n_layer = t->base_depth;
    if (t->base_head_dim) b->shape.head_dim = t->base_head_dim;
    if (t->base_d_ff) b->shape.d_ff = t->base_d_ff;
    if (t->base_batch_tokens) b->batch_tokens = t->base_batch_tokens;
    if (t->base_tokens) b->tokens = t->base_tokens;
    b->base_width = b->base_depth = b->base_head_dim = b->base_d_ff = b->base_batch_tokens = b->base_tokens = 0;
}

static status set_word(trainer_config *b, const char *word, size_t n, bool given[2], bool *said_head_dim, err *e)
{
    static const char *const alias[][2] = {{"width", "d_model"}, {"depth", "n_layer"}};
    char text[256], *value;
    if (n >= sizeof text || !memchr(word, '=', n))
        return err_set(e, ST_INPUT, "--base: '%.*s' is no key=value, as in width=64,depth=2",
                       n < 60 ? (int)n : 60, word);
    memcpy(text, word, n);
    text[n] = 0;
    *(value = strchr(text, '=')) = 0;
    const char *key = text;
    for (size_t i = 0; i < sizeof alias / sizeof *alias; i++)
        if (!strcmp(key, alias[i][0])) key = alias[i][1];
    static const char *const sizes[] = {"width", "depth"};
    const char *near = config_find(key) ? NULL : num_nearest_word(key, sizes, 2);
    if (near) return err_set(e, ST_INPUT, "--base: unknown key '%.60s'; did you mean '%s'?", key, near);
    given[0] |= !strcmp(key, "d_ff");
    given[1] |= !strcmp(key, "n_kv_head");
    *said_head_dim |= !strcmp(key, "head_dim");
    return config_set(b, key, value + 1, "--base", e);
}

status config_base_words(trainer_config *base, const trainer_config *target, const char *words, bool *said_head_dim,
                         err *e)
{
    bool given[2] = {target->base_d_ff != 0, false};
    const shape *t = &target->shape;
    *said_head_dim = target->base_head_dim != 0;
    start(base, target);
    for (const char *p = words;; p++) {
        const size_t n = strcspn(p, ",");
        status s = set_word(base, p, n, given, said_head_dim, e);
        if (s) return s;
        if (!*(p += n)) break;
    }
    shape *b = &base->shape;
    if (!given[0] && t->d_ff && t->d_model) b->d_ff = (t->d_ff * b->d_model + t->d_model / 2) / t->d_model;
    if (!given[1]) b->n_kv_head = 0; /* no factor depends on it */
    return ST_OK;
}
