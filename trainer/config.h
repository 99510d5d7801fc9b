/* The config of one run: a flat table of typed keys. The same table serves `train`, `sweep` and `predict`.
 *
 * Resolved = every key has its value, defaults filled, n_head etc. derived. Canonical text: "key=value\n" sorted by key,
 * numbers as num_text() of the parsed double, launch-only keys and late keys at their default left out, plus `data_sha256`. Identity of a run =
 * first 16 hex digits of sha256 of the canonical text; on equal ids the text is compared too. */
#ifndef TRAINER_CONFIG_H
#define TRAINER_CONFIG_H
#include <stddef.h>
#include "base/err.h"
#include "base/io.h"
#include "base/yaml.h"
#include "trainer/bank.h"
#include "trainer/data.h"
#include "trainer/shape.h"

typedef enum sched_kind { SCHED_CONSTANT, SCHED_COSINE, SCHED_LINEAR, SCHED_WSD } sched_kind;
typedef enum decay_shape { SHAPE_LINEAR, SHAPE_1_SQRT, SHAPE_COSINE, SHAPE_EXP } decay_shape;

typedef struct trainer_config {
    /* data */
    char data[IO_PATH_MAX];     /* directory made by `data pack`, or a token file; launch-only, its content is hashed */
    char data_sha256[IO_SHA256_HEX];
    char data_dtype[8];         /* "" = by header; u8|u16|u32 for headerless files */
    int64_t unique_tokens;      /* 0 = all; else only the first so many training tokens, repeated */
    uint64_t data_seed;         /* order of the windows */
    /* model: shape keys vocab (0 = the data's), d_model, n_layer, head_dim, n_kv_head, d_ff (0 = 4*d_model; SwiGLU 8/3 rounded
     * to 32), seq_len, activation, tied_head, qk_norm, norm_gain, rope_theta */
    shape shape;
    /* parametrisation */
    char parametrisation[16];
    int64_t base_width, base_depth, base_head_dim, base_d_ff, base_batch_tokens, base_tokens; /* 0: the rule must not
                                 * need it */
    mup_base base;              /* keys init_std, embed_std, lr, eps, weight_decay, embed_mult, logit_mult, attn_mult, ... */
    mup_options options;        /* keys depth_alpha, eps_rule, decay_rule, embed_lr_rule, attention_scale, ... */
    /* optimiser */
    double beta1, beta2, clip_norm;
    decay_mode decay;           /* key weight_decay_mode: independent | coupled */
    int64_t batch_tokens;       /* tokens per optimiser step; a multiple of seq_len * grad_accum * shards */
    int64_t grad_accum, shards;
    uint64_t seed;              /* initial weights */
    /* schedule: all in tokens */
    int64_t tokens;             /* D; whole steps: rounded down to a multiple of batch_tokens at resolve, never silently 0 */
    int64_t warmup_tokens;
    sched_kind schedule;
    double min_lr_ratio;        /* final lr / peak lr of cosine and linear, and of the WSD decay */
    double decay_fraction;      /* WSD: share of `tokens` that decays */
    decay_shape decay_shape;
    /* evaluation and outcome */
    int64_t val_tokens;         /* size of the fixed validation set */
    int64_t val_every;          /* steps; 0 = only at the end */
    double blowup_nats;         /* diverged when loss EMA > its minimum + this; 0 = only non-finite */
    char flops_rule[8];         /* 6N | exact */
    /* launch-only: not hashed */
    int64_t log_every, ckpt_every; /* steps; ckpt_every 0 = by time (every 60 s) */
    int64_t log_updates_every;  /* steps; 0 = never */
    int64_t threads;            /* 0 = as many as the machine has processors */
    char backend[16];
    /* not a key: what config_resolve changed and a person should know ("tokens rounded down ..."), "" if nothing */
    char note[256];
} trainer_config;

typedef enum config_type { CFG_I64, CFG_U64, CFG_F64, CFG_BOOL, CFG_TEXT, CFG_ENUM } config_type;
typedef struct config_key {
    const char *name;
    config_type type;
    size_t offset, size;       /* of the field in trainer_config */
    const char *const *words;  /* CFG_ENUM: NULL-terminated names in enum order; CFG_TEXT: the words accepted, or NULL */
    const char *range;         /* numbers: an interval, "[1,1e6]" or "(0,inf)"; NULL for the rest */
    const char *fallback;      /* default as text; NULL = required */
    bool launch_only;
    bool late;                 /* came after runs were stored: at its default it is no part of the canonical text, so that
                                * those keep their identity */
    const char *doc;           /* unit and meaning, one line */
} config_key;
const config_key *config_keys(size_t *n);
const config_key *config_find(const char *name);

void config_default(trainer_config *c); /* every default set; required keys empty */
/* Value of a key as canonical text ("0.001", "wsd", "true"); buf holds IO_PATH_MAX bytes. */
const char *config_value(const trainer_config *c, const config_key *k, char *buf);
/* Sets one key from text; `where` ("spec.yaml:3:5" or "command line") starts the message. */
status config_set(trainer_config *c, const char *key, const char *text, const char *where, err *e);
status config_set_node(trainer_config *c, const yaml_doc *doc, const yaml_node *key, const yaml_node *value, err *e);
status config_load(trainer_config *c, const char *path, err *e); /* defaults + a flat YAML map */

/* Fills derived values, checks everything (shape_check, divisibility, base widths, ranges). Opens the data (header,
 * vocab, length, sha256) unless data is "" ; ids >= vocab and seq_len longer than the data are found here. Makes the
 * data path absolute. Resolving again changes nothing. Messages: key, value, remedy; the caller prefixes the file.
 * config_resolve_with: the same with data already open (a sweep of thousands opens each data set once); NULL = no data. */
status config_resolve(trainer_config *c, err *e);
status config_resolve_with(trainer_config *c, data_set *d, err *e);
/* The shape alone: its keys checked, vocab, n_head, n_kv_head and d_ff filled. What a budget in FLOPs or in parameters
 * needs before `tokens` is known. */
status config_shape(trainer_config *c, data_set *d, err *e);

char *config_canonical(const trainer_config *c); /* malloc'ed; NULL = no memory */
void config_id(char id[17], const trainer_config *c);
char *config_yaml(const trainer_config *c);      /* all keys, loadable by config_load; malloc'ed */
/* Lines "key: old -> new" of what differs, launch-only keys left out; "" when equal. malloc'ed. */
char *config_diff(const char *canonical_old, const char *canonical_new);

/* lr(step)/peak of step 1.. n_steps; the only place that knows schedules (trainer/schedule.c). Warm-up counts the tokens
 * after the step (step 1 is never 0), decay those before it (the first decaying step is still at the peak). */
double schedule_factor(const trainer_config *c, int64_t step);
extern const char *const schedule_names[];    /* NULL-terminated, in enum order */
extern const char *const decay_shape_names[];
int64_t config_steps(const trainer_config *c); /* tokens / batch_tokens */

/* What the parametrisation is asked; the config must be resolved. And a tensor as it sees it. */
mup_setup config_mup(const trainer_config *c);
mup_place config_place(const shape_tensor *t);
/* Per-tensor hyperparameters by the parametrisation: out[shape_tensors()]. */
status config_hparams(const trainer_config *c, mup_tensor *tensors, mup_model *model, err *e);
status config_betas(const trainer_config *c, double *beta1, double *beta2, err *e); /* of Adam, by the parametrisation */
#endif
