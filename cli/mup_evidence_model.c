/* Is evidence about the model that is exported? What was measured is of a rule, its base and its options; the sizes it
 * was measured at are not those of the target, and need not be. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "cli/config_json.h"
#include "cli/mup_evidence.h"

/* What may differ: sizes, which the rule is for (head_dim only where the check let it grow); the base, which is
 * compared as it is in force; how long, on what and in which order a model is trained; schedule and decay in a check,
 * which leaves them out. lr may: it is warned about. All else must be equal. */
static bool free_key(const char *key, mup_evidence_kind kind)
{
    static const char *const untrained[] = {"schedule", "min_lr_ratio", "decay_fraction", "decay_shape",
                                            "weight_decay"};
    static const char *const keys[] = {
        "d_model", "n_layer", "n_kv_head", "d_ff", "seq_len", "batch_tokens", "tokens",
        "base_width", "base_depth", "base_head_dim", "base_d_ff", "base_batch_tokens", "base_tokens",
        "data_dtype", "unique_tokens", "data_seed", "seed", "grad_accum", "shards",
        "warmup_tokens", "val_tokens", "val_every", "blowup_nats", "flops_rule", "lr"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(keys[i], key)) return true;
    for (size_t i = 0; i < sizeof untrained / sizeof *untrained && !kind.trained; i++)
        if (!strcmp(untrained[i], key)) return true;
    return kind.head_dim_grew && !strcmp(key, "head_dim");
}

typedef struct differences { char text[160]; size_t n; } differences;

static void differ(differences *d, const char *key, const char *there, const char *here)
{
    const size_t used = strlen(d->text);
    d->n++;
    if (used < 100) /* one line: the first few */
        snprintf(d->text + used, sizeof d->text - used, "%s%s %.24s there, %.24s here", used ? "; " : "", key, there,
                 here);
}

/* The base as the rule sees it: a head_dim and a d_ff left open are those of the proportions. */
static mup_size base_of(const trainer_config *c, mup_evidence_kind kind)
{
    mup_size b = config_mup(c).base_size;
    const double width = (double)c->shape.d_model, head = (double)c->shape.head_dim;
    if (!(b.head_dim > 0)) b.head_dim = kind.head_dim_grew ? b.width * head / width : head;
    if (!(b.d_ff > 0)) b.d_ff = (double)c->shape.d_ff * b.width / width;
    return b;
}

static void compare_bases(differences *d, const trainer_config *there, const trainer_config *here,
                          mup_evidence_kind kind)
{
    enum { ROUNDED = 32 }; /* a default d_ff is a multiple of it */
    const mup_rule *rule = mup_rule_find(here->parametrisation);
    const mup_size a = base_of(there, kind), b = base_of(here, (mup_evidence_kind){0});
    const bool base = mup_rule_needs_base(rule), depth = mup_rule_needs_depth(rule),
               horizon = mup_rule_needs_horizon(rule);
    const struct { const char *key; bool matters; double there, here, within; } rows[] = {
        {"base_width", base, a.width, b.width, 0},       {"base_head_dim", base, a.head_dim, b.head_dim, 0},
        {"base_d_ff", base, a.d_ff, b.d_ff, ROUNDED},    {"base_depth", depth, a.depth, b.depth, 0},
        {"base_batch_tokens", horizon, a.batch, b.batch, 0}, {"base_tokens", horizon, a.tokens, b.tokens, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char from[32], to[32];
        if (rows[i].matters && !(fabs(rows[i].there - rows[i].here) <= rows[i].within))
            differ(d, rows[i].key, num_text(rows[i].there, from), num_text(rows[i].here, to));
    }
}

status mup_evidence_same_model(const json_t *config, mup_evidence_kind kind, const trainer_config *target,
                               const char *where, err *e)
{
    trainer_config made;
    differences d = {0};
    size_t n;
    const config_key *k = config_keys(&n);
    if (!config)
        return err_set(e, ST_INPUT,
                       "%s: does not say of which model it is (made by a muscale that did not record it); make it "
                       "again", where);
    status s = cli_config_from_json(&made, config, where, e);
    if (!s && (s = config_resolve(&made, e))) err_prefix(e, "%s", where);
    if (s) return s;
    for (size_t i = 0; i < n; i++) {
        char from[IO_PATH_MAX], to[IO_PATH_MAX];
        if (k[i].launch_only || free_key(k[i].name, kind)) continue;
        config_value(&made, &k[i], from);
        config_value(target, &k[i], to);
        if (strcmp(from, to) != 0) differ(&d, k[i].name, from, to);
    }
    if (!strcmp(target->parametrisation, made.parametrisation)) compare_bases(&d, &made, target, kind);
    if (!d.n) return ST_OK;
    return err_set(e, ST_INPUT, "%s: of another model: %s%s; check the config that is exported", where, d.text,
                   d.n > 1 && strlen(d.text) >= 100 ? ", ..." : "");
}
