/* The table of config keys: the one list that reading, checking, hashing, writing and documenting a config share.
 * To add a key: a field in trainer_config, a row here, a line in examples/train.yaml. */
#include "trainer/config_keys.h"

static const char *const activations[] = {"gelu", "swiglu", NULL};
static const char *const decay_modes[] = {"independent", "coupled", NULL};
static const char *const dtypes[] = {"", "u8", "u16", "u32", NULL};
static const char *const flops_rules[] = {"6N", "exact", NULL};
static const char *const backends[] = {"cpu", "cuda", "cuda-fp32", NULL};

#define AT(field) offsetof(trainer_config, field), sizeof(((trainer_config *)0)->field)
#define REQUIRED NULL
#define HASHED false, false
#define LAUNCH_ONLY true, false
#define LATE false, true /* see config_key */

const config_key config_table[] = {
    /* data */
    {"data", CFG_TEXT, AT(data), NULL, NULL, "", LAUNCH_ONLY,
     "directory made by `muscale data pack`, or a token file; its content is part of the identity, its place is not"},
    {"data_dtype", CFG_TEXT, AT(data_dtype), dtypes, NULL, "", HASHED,
     "width of the ids in a file without a header: u8, u16, u32; empty: by header"},
    {"unique_tokens", CFG_I64, AT(unique_tokens), NULL, "[0,9e15]", "0", HASHED,
     "tokens; train on the first so many only, repeated in epochs; 0 = all"},
    {"data_seed", CFG_U64, AT(data_seed), NULL, "[0,9e15]", "0", HASHED, "order of the training windows"},

    /* model */
    {"vocab", CFG_I64, AT(shape.vocab), NULL, "[0,2147483647]", "0", HASHED, "token ids; 0 = the data's"},
    {"d_model", CFG_I64, AT(shape.d_model), NULL, "[1,1e6]", REQUIRED, HASHED, "width; a multiple of head_dim"},
    {"n_layer", CFG_I64, AT(shape.n_layer), NULL, "[1,1e4]", REQUIRED, HASHED, "depth in blocks"},
    {"head_dim", CFG_I64, AT(shape.head_dim), NULL, "[2,1e4]", "32", HASHED,
     "size of one attention head, even; the number of heads is d_model / head_dim"},
    {"n_kv_head", CFG_I64, AT(shape.n_kv_head), NULL, "[0,1e6]", "0", HASHED, "key/value heads; 0 = one per head"},
    {"d_ff", CFG_I64, AT(shape.d_ff), NULL, "[0,1e7]", "0", HASHED,
     "width of the MLP; 0 = 4 d_model (swiglu: 8/3 d_model, rounded up to a multiple of 32)"},
    {"seq_len", CFG_I64, AT(shape.seq_len), NULL, "[1,1e6]", "128", HASHED, "tokens per sequence"},
    {"activation", CFG_ENUM, AT(shape.act), activations, NULL, "gelu", HASHED, "of the MLP: gelu, swiglu"},
    {"tied_head", CFG_BOOL, AT(shape.tied_head), NULL, NULL, "false", HASHED, "readout shares the embedding's tensor"},
    {"qk_norm", CFG_BOOL, AT(shape.qk_norm), NULL, NULL, "false", HASHED, "RMSNorm on queries and keys, per head"},
    {"norm_gain", CFG_BOOL, AT(shape.norm_gain), NULL, NULL, "false", HASHED,
     "trainable gains in RMSNorm; they hurt transfer"},
    {"rope_theta", CFG_F64, AT(shape.rope_theta), NULL, "(0,inf)", "10000", HASHED, "base of the rotary frequencies"},

    /* parametrisation */
    {"parametrisation", CFG_TEXT, AT(parametrisation), NULL, NULL, "mup", HASHED,
     "rule of sizes: sp, mup, mup-table3, completep, depth-mup, u-mup, complete-dp; see doc/mup.md"},
    {"base_width", CFG_I64, AT(base_width), NULL, "[0,1e6]", "0", HASHED,
     "d_model at which lr, init_std ... were tuned; all but sp and u-mup need it; 0 = none"},
    {"base_depth", CFG_I64, AT(base_depth), NULL, "[0,1e4]", "0", HASHED, "n_layer of the base model; 0 = this one's"},
    {"base_head_dim", CFG_I64, AT(base_head_dim), NULL, "[0,1e4]", "0", HASHED,
     "head_dim of the base model; 0 = this one's"},
    {"base_d_ff", CFG_I64, AT(base_d_ff), NULL, "[0,1e7]", "0", LATE,
     "d_ff of the base model; 0 = in this one's proportion to the width"},
    {"base_batch_tokens", CFG_I64, AT(base_batch_tokens), NULL, "[0,1e12]", "0", LATE,
     "batch_tokens of the base model; complete-dp needs it; 0 = this one's"},
    {"base_tokens", CFG_I64, AT(base_tokens), NULL, "[0,9e15]", "0", LATE,
     "training tokens of the base model; complete-dp needs it; 0 = this one's"},
    {"depth_alpha", CFG_F64, AT(options.alpha), NULL, "[0,1]", "0", LATE,
     "residual branches x m_L^-alpha; 0 = the rule's: completep and complete-dp 1, depth-mup 0.5"},
    {"eps_rule", CFG_ENUM, AT(options.eps), mup_eps_words, NULL, "exact", LATE,
     "which tensors' eps follows the gradients' size: exact (all), hidden (Megatron), blocks (CompleteP), none"},
    {"decay_rule", CFG_ENUM, AT(options.decay), mup_decay_words, NULL, "m", LATE,
     "factor of coupled weight decay on hidden matrices: m, sqrt-m, constant; independent decay has none"},
    {"embed_lr_rule", CFG_ENUM, AT(options.embed_lr), mup_embed_lr_words, NULL, "rule", LATE,
     "embedding's learning rate with the width: rule (u-mup sqrt, else constant), constant, sqrt (m^-1/2)"},
    {"attention_scale", CFG_ENUM, AT(options.attention), mup_attention_words, NULL, "rule", LATE,
     "on q.k: rule, sqrt (1/sqrt(d)), aligned (sqrt(base head_dim)/head_dim: mup), inverse (1/head_dim: u-mup)"},
    {"zero_init", CFG_ENUM, AT(options.zero), mup_zero_words, NULL, "none", LATE,
     "initial zeros: none, readout, query (W_q), both"},
    {"branch_init", CFG_ENUM, AT(options.branch_init), mup_branch_words, NULL, "plain", LATE,
     "std of the matrices that end a branch: plain, gpt2 (divided by sqrt(2 n_layer))"},
    {"attn_mult", CFG_F64, AT(base.attn_mult), NULL, "(0,inf)", "1", LATE, "multiplier on the attention logits"},
    {"residual_mult", CFG_F64, AT(base.residual_mult), NULL, "(0,inf)", "1", LATE, "multiplier on every residual branch"},
    {"residual_attn_ratio", CFG_F64, AT(base.residual_attn_ratio), NULL, "(0,inf)", "1", LATE,
     "attention branches over MLP branches; both multipliers change, their mean square does not"},
    {"init_std", CFG_F64, AT(base.init_std), NULL, "[0,inf)", "0", HASHED,
     "standard deviation of hidden matrices at the base width; 0 = 1/sqrt(fan_in) there"},
    {"embed_std", CFG_F64, AT(base.embed_std), NULL, "[0,inf)", "0", HASHED,
     "standard deviation of the embedding; 0 = the rule's own"},
    {"embed_mult", CFG_F64, AT(base.embed_mult), NULL, "(0,inf)", "1", HASHED, "multiplier on the embedding's output"},
    {"logit_mult", CFG_F64, AT(base.logit_mult), NULL, "(0,inf)", "1", HASHED, "multiplier on the logits"},

    /* optimiser */
    {"lr", CFG_F64, AT(base.lr), NULL, "(0,inf)", "0.002", HASHED,
     "peak learning rate at the base width; under mup the same number serves all widths"},
    {"eps", CFG_F64, AT(base.eps), NULL, "(0,inf)", "1e-8", HASHED, "of AdamW, at the base width"},
    {"beta1", CFG_F64, AT(beta1), NULL, "[0,1)", "0.9", HASHED, "of AdamW"},
    {"beta2", CFG_F64, AT(beta2), NULL, "[0,1)", "0.95", HASHED, "of AdamW"},
    {"weight_decay", CFG_F64, AT(base.weight_decay), NULL, "[0,inf)", "1e-4", HASHED,
     "independent: share of a weight lost per step at the peak of the schedule; coupled: that over lr"},
    {"weight_decay_mode", CFG_ENUM, AT(decay), decay_modes, NULL, "independent", HASHED,
     "independent (of lr) or coupled (PyTorch's AdamW)"},
    {"clip_norm", CFG_F64, AT(clip_norm), NULL, "[0,inf)", "1", HASHED, "bound on the gradient's norm; 0 = none"},
    {"batch_tokens", CFG_I64, AT(batch_tokens), NULL, "[1,1e12]", "2048", HASHED,
     "tokens per optimiser step; a multiple of seq_len * shards * grad_accum"},
    {"grad_accum", CFG_I64, AT(grad_accum), NULL, "[1,65536]", "1", HASHED,
     "micro-batches per step, summed in a fixed order: less memory, same step"},
    {"shards", CFG_I64, AT(shards), NULL, "[1,1024]", "2", HASHED,
     "slices of a micro-batch, summed in a fixed order: what several threads may share"},
    {"seed", CFG_U64, AT(seed), NULL, "[0,9e15]", "0", HASHED, "of the initial weights"},

    /* schedule */
    {"tokens", CFG_I64, AT(tokens), NULL, "[1,9e15]", REQUIRED, HASHED,
     "training tokens; rounded down to whole steps"},
    {"warmup_tokens", CFG_I64, AT(warmup_tokens), NULL, "[0,9e15]", "0", HASHED, "tokens of linear warm-up"},
    {"schedule", CFG_ENUM, AT(schedule), schedule_names, NULL, "wsd", HASHED,
     "after the warm-up: constant, cosine, linear, wsd (stable, then decay)"},
    {"min_lr_ratio", CFG_F64, AT(min_lr_ratio), NULL, "[0,1]", "0.1", HASHED,
     "final over peak learning rate of cosine, linear and wsd"},
    {"decay_fraction", CFG_F64, AT(decay_fraction), NULL, "(0,1]", "0.2", HASHED,
     "wsd: share of `tokens` that decays"},
    {"decay_shape", CFG_ENUM, AT(decay_shape), decay_shape_names, NULL, "1-sqrt", HASHED,
     "wsd: linear, 1-sqrt, cosine, exponential"},

    /* evaluation and outcome */
    {"val_tokens", CFG_I64, AT(val_tokens), NULL, "[1,1e12]", "32768", HASHED,
     "size of the fixed validation set; two sequences or more"},
    {"val_every", CFG_I64, AT(val_every), NULL, "[0,9e15]", "0", HASHED,
     "steps between validations; 0 = at the end only"},
    {"blowup_nats", CFG_F64, AT(blowup_nats), NULL, "[0,inf)", "2", HASHED,
     "diverged when the smoothed loss is so far above its minimum; 0 = only when it is not finite"},
    {"flops_rule", CFG_TEXT, AT(flops_rule), flops_rules, NULL, "exact", HASHED, "how FLOPs are counted: 6N, exact"},

    /* launch-only: changes no result */
    {"log_every", CFG_I64, AT(log_every), NULL, "[1,9e15]", "10", LAUNCH_ONLY, "steps between rows of the journal"},
    {"log_updates_every", CFG_I64, AT(log_updates_every), NULL, "[0,9e15]", "0", LAUNCH_ONLY,
     "steps between records of what a step does to each tensor (also the first and the last); 0 = never"},
    {"ckpt_every", CFG_I64, AT(ckpt_every), NULL, "[0,9e15]", "0", LAUNCH_ONLY,
     "steps between checkpoints; 0 = one a minute"},
    {"threads", CFG_I64, AT(threads), NULL, "[0,4096]", "0", LAUNCH_ONLY, "worker threads; 0 = one per processor"},
    {"backend", CFG_TEXT, AT(backend), backends, NULL, "cpu", LAUNCH_ONLY, "what computes: cpu, cuda (bf16 products and activations), cuda-fp32"},
};
const size_t config_table_size = sizeof config_table / sizeof *config_table;
