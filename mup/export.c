/* The targets, what their configs carry, and what is folded into tensors for the rest. */
#include "mup/export_target.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- names ------------------------------------------------------------------------------------------------------- */

static const mup_export_names own_names[] = {{"embed", "embed"},
                                             {"attn.norm", "blocks\\.\\d+\\.attn\\.norm"},
                                             {"attn.q", "blocks\\.\\d+\\.attn\\.q"},
                                             {"attn.k", "blocks\\.\\d+\\.attn\\.k"},
                                             {"attn.v", "blocks\\.\\d+\\.attn\\.v"},
                                             {"attn.out", "blocks\\.\\d+\\.attn\\.out"},
                                             {"ffn.norm", "blocks\\.\\d+\\.ffn\\.norm"},
                                             {"ffn.in", "blocks\\.\\d+\\.ffn\\.in"},
                                             {"ffn.gate", "blocks\\.\\d+\\.ffn\\.gate"},
                                             {"ffn.out", "blocks\\.\\d+\\.ffn\\.out"},
                                             {"final.norm", "final\\.norm"},
                                             {"head", "head"},
                                             {NULL, NULL}};

static const mup_export_names torch_names[] = {{"embed", "embed\\.weight"},
                                               {"attn.norm", "blocks\\.\\d+\\.attn\\.norm\\.weight"},
                                               {"attn.q", "blocks\\.\\d+\\.attn\\.q\\.weight"},
                                               {"attn.k", "blocks\\.\\d+\\.attn\\.k\\.weight"},
                                               {"attn.v", "blocks\\.\\d+\\.attn\\.v\\.weight"},
                                               {"attn.out", "blocks\\.\\d+\\.attn\\.out\\.weight"},
                                               {"ffn.norm", "blocks\\.\\d+\\.ffn\\.norm\\.weight"},
                                               {"ffn.in", "blocks\\.\\d+\\.ffn\\.in\\.weight"},
                                               {"ffn.gate", "blocks\\.\\d+\\.ffn\\.gate\\.weight"},
                                               {"ffn.out", "blocks\\.\\d+\\.ffn\\.out\\.weight"},
                                               {"final.norm", "final\\.norm\\.weight"},
                                               {"head", "head\\.weight"},
                                               {NULL, NULL}};

#define HF_LAYER "model\\.layers\\.\\d+\\."
static const mup_export_names hf_names[] = {{"embed", "model\\.embed_tokens\\.weight"},
                                            {"attn.norm", HF_LAYER "input_layernorm\\.weight"},
                                            {"attn.q", HF_LAYER "self_attn\\.q_proj\\.weight"},
                                            {"attn.k", HF_LAYER "self_attn\\.k_proj\\.weight"},
                                            {"attn.v", HF_LAYER "self_attn\\.v_proj\\.weight"},
                                            {"attn.out", HF_LAYER "self_attn\\.o_proj\\.weight"},
                                            {"ffn.norm", HF_LAYER "post_attention_layernorm\\.weight"},
                                            {"ffn.in", HF_LAYER "mlp\\.up_proj\\.weight"},
                                            {"ffn.gate", HF_LAYER "mlp\\.gate_proj\\.weight"},
                                            {"ffn.out", HF_LAYER "mlp\\.down_proj\\.weight"},
                                            {"final.norm", "model\\.norm\\.weight"},
                                            {"head", "lm_head\\.weight"},
                                            {NULL, NULL}};

/* Wrappers put "module." in front; with Transformer Engine a norm's gain belongs to the matrix behind it. */
#define MEGATRON_LAYER "(?:module\\.)*decoder\\.layers\\.\\d+\\."
static const mup_export_names megatron_names[] = {
    {"embed", "(?:module\\.)*embedding\\.word_embeddings\\.weight"},
    {"attn.norm", MEGATRON_LAYER "(?:input_layernorm\\.weight|self_attention\\.linear_qkv\\.layer_norm_weight)"},
    {"attn.qkv", MEGATRON_LAYER "self_attention\\.linear_qkv\\.weight"},
    {"attn.q_norm", MEGATRON_LAYER "self_attention\\.q_layernorm\\.weight"},
    {"attn.k_norm", MEGATRON_LAYER "self_attention\\.k_layernorm\\.weight"},
    {"attn.out", MEGATRON_LAYER "self_attention\\.linear_proj\\.weight"},
    {"ffn.norm", MEGATRON_LAYER "(?:pre_mlp_layernorm\\.weight|mlp\\.linear_fc1\\.layer_norm_weight)"},
    {"ffn.fc1", MEGATRON_LAYER "mlp\\.linear_fc1\\.weight"},
    {"ffn.out", MEGATRON_LAYER "mlp\\.linear_fc2\\.weight"},
    {"final.norm", "(?:module\\.)*decoder\\.final_layernorm\\.weight"},
    {"head", "(?:module\\.)*output_layer\\.weight"},
    {NULL, NULL}};

/* --- configs ----------------------------------------------------------------------------------------------------- */

static mup_export_item *item(mup_export *x, const char *key, mup_export_type type)
{
    mup_export_item *i = &x->items[x->n_items < MUP_EXPORT_MAX_ITEMS ? x->n_items++ : MUP_EXPORT_MAX_ITEMS - 1];
    *i = (mup_export_item){.key = key, .type = type, .text = ""};
    return i;
}
static void add_text(mup_export *x, const char *key, const char *v) { item(x, key, MUP_EXPORT_TEXT)->text = v; }
static void add_int(mup_export *x, const char *key, int64_t v) { item(x, key, MUP_EXPORT_INT)->i = v; }
static void add_real(mup_export *x, const char *key, double v) { item(x, key, MUP_EXPORT_REAL)->x = v; }
static void add_bool(mup_export *x, const char *key, bool v) { item(x, key, MUP_EXPORT_BOOL)->i = v; }

double mup_export_width_ratio(const mup_export_in *in)
{
    const double base = in->setup->base_size.width;
    return mup_rule_needs_base(in->setup->rule) && base > 0 ? (double)in->d_model / base : 1;
}

static void carry_all(mup_export *x, const mup_export_in *in) { x->forward = in->model; }

static void carry_minicpm(mup_export *x, const mup_export_in *in)
{
    x->forward = in->model;
    x->forward.attn_scale = 1 / sqrt((double)in->head_dim); /* it has no key for it */
}

static void carry_megatron(mup_export *x, const mup_export_in *in)
{
    x->forward = in->model;
    x->forward.residual_mult = 1; /* it has no flag for it */
}

/* One that every shape has (gate: every gated one). */
static const mup_export_tensor *find(const mup_export_in *in, const char *kind)
{
    size_t i = 0;
    while (i + 1 < in->n_tensors && strcmp(in->tensors[i].kind, kind) != 0) i++;
    return &in->tensors[i];
}

static void config_torch(mup_export *x, const mup_export_in *in)
{
    add_text(x, "schema", "muscale.mup-model/1");
    add_int(x, "vocab", in->vocab);
    add_int(x, "d_model", in->d_model);
    add_int(x, "n_layer", in->n_layer);
    add_int(x, "n_head", in->n_head);
    add_int(x, "n_kv_head", in->n_kv_head);
    add_int(x, "head_dim", in->head_dim);
    add_int(x, "d_ff", in->d_ff);
    add_int(x, "seq_len", in->seq_len);
    add_text(x, "activation", in->setup->swiglu ? "swiglu" : "gelu_tanh");
    add_bool(x, "tied_head", in->setup->tied);
    add_bool(x, "qk_norm", in->qk_norm);
    add_bool(x, "norm_gain", in->norm_gain);
    add_real(x, "rope_theta", in->rope_theta);
    add_real(x, "norm_eps", in->norm_eps);
    add_real(x, "embedding_multiplier", x->forward.embed_mult);
    add_real(x, "attention_multiplier", x->forward.attn_scale);
    add_real(x, "residual_multiplier", x->forward.residual_mult);
    add_real(x, "logits_multiplier", x->forward.logit_mult);
}

static void config_hf(mup_export *x, const mup_export_in *in)
{
    add_int(x, "vocab_size", in->vocab);
    add_int(x, "hidden_size", in->d_model);
    add_int(x, "intermediate_size", in->d_ff);
    add_int(x, "num_hidden_layers", in->n_layer);
    add_int(x, "num_attention_heads", in->n_head);
    add_int(x, "num_key_value_heads", in->n_kv_head);
    add_text(x, "hidden_act", "silu");
    add_int(x, "max_position_embeddings", in->seq_len);
    add_real(x, "rms_norm_eps", in->norm_eps);
    add_real(x, "rope_theta", in->rope_theta);
    add_bool(x, "attention_bias", false);
    add_real(x, "attention_dropout", 0);
    add_bool(x, "tie_word_embeddings", in->setup->tied);
    add_real(x, "initializer_range", find(in, "attn.k")->h.init_std); /* one for all: NOT_CARRIED.md says the rest */
}

/* transformers, models/granite: x0 = e * embedding_multiplier; x += branch * residual_multiplier; softmax(q.k *
 * attention_multiplier), default 1; logits / logits_scaling. */
static void config_granite(mup_export *x, const mup_export_in *in)
{
    add_text(x, "model_type", "granite");
    add_text(x, "architectures", "GraniteForCausalLM");
    config_hf(x, in);
    add_bool(x, "mlp_bias", false);
    add_real(x, "embedding_multiplier", x->forward.embed_mult);
    add_real(x, "attention_multiplier", x->forward.attn_scale);
    add_real(x, "residual_multiplier", x->forward.residual_mult);
    add_real(x, "logits_scaling", 1 / x->forward.logit_mult);
}

/* modeling_minicpm.py: x0 = e * scale_emb; x += branch * scale_depth / sqrt(layers); softmax(q.k / sqrt(head_dim));
 * head(h / (hidden_size / dim_model_base)). */
static void config_minicpm(mup_export *x, const mup_export_in *in)
{
    add_text(x, "model_type", "minicpm");
    add_text(x, "architectures", "MiniCPMForCausalLM");
    config_hf(x, in);
    add_real(x, "scale_emb", x->forward.embed_mult);
    add_real(x, "scale_depth", x->forward.residual_mult * sqrt((double)in->n_layer));
    add_real(x, "dim_model_base", x->forward.logit_mult * (double)in->d_model);
}

static void megatron_schedule(mup_export *x, const mup_export_in *in)
{
    const char *const style[][2] = {
        {"constant", "constant"}, {"cosine", "cosine"}, {"linear", "linear"}, {"wsd", "WSD"}};
    const char *const wsd[][2] = {
        {"linear", "linear"}, {"1-sqrt", "minus_sqrt"}, {"cosine", "cosine"}, {"exponential", "exponential"}};
    add_int(x, "--train-iters", in->steps);
    add_int(x, "--lr-decay-iters", in->steps);
    add_int(x, "--lr-warmup-iters", in->warmup_steps);
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(in->schedule, style[i][0])) add_text(x, "--lr-decay-style", style[i][1]);
    if (strcmp(in->schedule, "wsd")) return;
    add_int(x, "--lr-wsd-decay-iters", in->decay_steps);
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(in->decay_shape, wsd[i][0])) add_text(x, "--lr-wsd-decay-style", wsd[i][1]);
}

/* Megatron divides lr and eps of every hidden matrix by m and its std by sqrt(m), m = hidden size over base. Where that
 * is what we want it may; else its base is the model itself (m = 1: it overrides nothing) and all is said tensor by
 * tensor. */
static bool megatron_rule_holds(const mup_export *x, const mup_export_in *in)
{
    const double m = mup_export_width_ratio(in), lr = in->setup->base.lr / m, eps = in->setup->base.eps / m;
    for (size_t i = 0; i < x->n_groups; i++) {
        const mup_export_group *g = &x->groups[i];
        if (g->role == MUP_HIDDEN && (fabs(g->h.lr / lr - 1) > 1e-12 || fabs(g->h.eps / eps - 1) > 1e-12)) return false;
    }
    return true;
}

bool mup_export_scaled(const mup_export *x)
{
    for (size_t i = 0; i < x->n_groups; i++)
        if (fabs(x->groups[i].h.theta - 1) > 1e-12) return true;
    return false;
}

const mup_export_group *mup_export_hidden(const mup_export *x)
{
    for (size_t i = 0; i < x->n_groups; i++)
        if (x->groups[i].role == MUP_HIDDEN) return &x->groups[i];
    return &x->groups[0];
}

/* Megatron-LM, core: softmax scale sqrt(mup_base_head_dim) / head_dim^power, any positive number; an output multiplier
 * of exactly 1 means "1/m", so one that must be 1 is written one part in 1e12 larger. */
static void config_megatron(mup_export *x, const mup_export_in *in)
{
    const double d = (double)in->head_dim, s = x->forward.attn_scale, eta = in->setup->base.lr;
    const mup_export_tensor *embed = find(in, "embed");
    x->own_rule = megatron_rule_holds(x, in);
    const double m = x->own_rule ? mup_export_width_ratio(in) : 1, out = x->forward.logit_mult;
    add_bool(x, "--use-mup", true);
    add_int(x, "--mup-base-hidden-size", x->own_rule ? llround((double)in->d_model / m) : in->d_model);
    add_real(x, "--mup-embedding-mult", x->forward.embed_mult);
    add_real(x, "--mup-output-mult", out == 1 && m != 1 ? 1 + 1e-12 : out);
    add_real(x, "--mup-base-head-dim", s * d * (s * d));
    add_real(x, "--mup-attn-scale-power", 1);
    add_int(x, "--num-layers", in->n_layer);
    add_int(x, "--hidden-size", in->d_model);
    add_int(x, "--ffn-hidden-size", in->d_ff);
    add_int(x, "--num-attention-heads", in->n_head);
    add_int(x, "--kv-channels", in->head_dim);
    if (in->n_kv_head != in->n_head) {
        add_bool(x, "--group-query-attention", true);
        add_int(x, "--num-query-groups", in->n_kv_head);
    }
    add_int(x, "--seq-length", in->seq_len);
    add_int(x, "--max-position-embeddings", in->seq_len);
    add_text(x, "--position-embedding-type", "rope");
    add_real(x, "--rotary-base", in->rope_theta);
    add_text(x, "--normalization", "RMSNorm");
    add_real(x, "--norm-epsilon", in->norm_eps);
    if (in->qk_norm) add_bool(x, "--qk-layernorm", true);
    add_bool(x, "--swiglu", true);
    add_bool(x, "--disable-bias-linear", true);
    if (!in->setup->tied) add_bool(x, "--untie-embeddings-and-output-weights", true);
    add_int(x, "--vocab-size", in->vocab);
    add_int(x, "--make-vocab-size-divisible-by", 1);
    add_real(x, "--attention-dropout", 0);
    add_real(x, "--hidden-dropout", 0);
    add_real(x, "--init-method-std", mup_export_hidden(x)->h.init_std * sqrt(m));
    add_real(x, "--embedding-init-method-std", embed->h.init_std);
    add_text(x, "--optimizer", "adam");
    add_real(x, "--lr", eta);
    add_real(x, "--min-lr", !strcmp(in->schedule, "constant") ? eta : eta * in->min_lr_ratio);
    add_real(x, "--adam-beta1", in->beta1);
    add_real(x, "--adam-beta2", in->beta2);
    add_real(x, "--adam-eps", in->setup->base.eps);
    add_real(x, "--weight-decay", mup_export_hidden(x)->decay_coupled);   /* others: wd_mult, NOT_CARRIED.md */
    add_real(x, "--clip-grad", mup_export_scaled(x) ? 0 : in->clip_norm); /* NOT_CARRIED.md has the other norm */
    add_int(x, "--global-batch-size", in->batch);
    megatron_schedule(x, in);
}

static void config_none(mup_export *x, const mup_export_in *in) { (void)x, (void)in; } /* muscale: the caller's own */

#define GATED "its MLP is gated (SwiGLU) and has no other form; use activation: swiglu"
static const mup_export_target targets[] = {
    {.name = "torch-json",
     .file = "model.json",
     .names = torch_names,
     .fold = true,
     .carry = carry_all,
     .config = config_torch},
    {.name = "hf-granite",
     .file = "config.json",
     .names = hf_names,
     .fold = true,
     .always_gains = true,
     .no_gelu = GATED,
     .no_qk_norm = "Granite has no norm on queries and keys",
     .carry = carry_all,
     .config = config_granite},
    {.name = "hf-minicpm",
     .file = "config.json",
     .names = hf_names,
     .fold = true,
     .always_gains = true,
     .no_gelu = GATED,
     .no_qk_norm = "MiniCPM has no norm on queries and keys",
     .carry = carry_minicpm,
     .config = config_minicpm},
    {.name = "megatron",
     .file = "megatron.args",
     .names = megatron_names,
     .fold = true,
     .always_gains = true,
     .fused = true,
     .no_gelu = "without biases Megatron's GELU is the erf form, ours the tanh form; use activation: swiglu",
     .carry = carry_megatron,
     .config = config_megatron},
    {.name = "muscale", .file = "config.yaml", .names = own_names, .carry = carry_all, .config = config_none},
};

size_t mup_export_count(void) { return sizeof targets / sizeof *targets; }
const mup_export_target *mup_export_at(size_t i) { return i < mup_export_count() ? &targets[i] : NULL; }
const char *mup_export_name(const mup_export_target *t) { return t->name; }
const char *mup_export_file(const mup_export_target *t) { return t->file; }

/* --- groups ------------------------------------------------------------------------------------------------------ */

/* A / T: what the target does not put in front of this tensor. */
static double rest(const mup_export *x, const mup_export_in *in, const mup_export_tensor *t)
{
    const mup_model *a = &in->model, *b = &x->forward;
    if (!x->target->fold) return 1;
    switch (t->place.role) {
    case MUP_EMBEDDING: return a->embed_mult / b->embed_mult;
    case MUP_READOUT: return a->logit_mult / b->logit_mult;
    case MUP_HIDDEN: break;
    default: return 1;
    }
    if (t->place.part == MUP_QUERY) return t->h.forward_mult * a->attn_scale / b->attn_scale;
    const bool branch = t->place.part == MUP_ATTN_OUT || t->place.part == MUP_FFN_OUT;
    return t->h.forward_mult * (branch ? a->residual_mult / b->residual_mult : 1);
}

static void fold(mup_export_group *g, const mup_export_in *in, double r)
{
    const mup_base *base = &in->setup->base;
    g->weight_scale = r;
    g->h.forward_mult /= r;
    g->h.init_std *= r;
    g->h.lr *= r;
    g->h.lr_scale *= r;
    g->h.eps /= r;
    g->h.theta = mup_theta(&g->h) / r;
    if (!base->decay_independent) g->h.weight_decay /= r;
    g->decay_coupled = base->decay_independent ? g->h.weight_decay / g->h.lr : g->h.weight_decay;
}

static const char *match_of(const mup_export_target *t, const char *kind)
{
    for (const mup_export_names *n = t->names; n->kind; n++)
        if (!strcmp(n->kind, kind)) return n->match;
    return NULL;
}

static mup_export_group *group(mup_export *x, const char *kind, bool block, const mup_export_in *in)
{
    mup_export_group *g = &x->groups[x->n_groups++];
    *g = (mup_export_group){.kind = kind, .count = block ? in->n_layer : 1, .weight_scale = 1, .layout = ""};
    snprintf(g->match, sizeof g->match, "^%s$", match_of(x->target, kind));
    return g;
}

static mup_export_group *tensor_group(mup_export *x, const mup_export_in *in, const mup_export_tensor *t,
                                      const char *kind)
{
    mup_export_group *g = group(x, kind, t->place.block, in);
    g->role = t->place.role;
    g->fan_in = t->place.fan_in;
    g->rows = t->rows;
    g->cols = t->cols;
    g->h = t->h;
    fold(g, in, rest(x, in, t));
    return g;
}

/* A gain of the target that ours is without: 1, and never trained. */
static void frozen_group(mup_export *x, const mup_export_in *in, const char *kind, bool block, int64_t n)
{
    mup_export_group *g = group(x, kind, block, in);
    g->role = MUP_GAIN;
    g->fan_in = 1;
    g->rows = 1;
    g->cols = n;
    g->frozen = true;
    g->h = (mup_tensor){.forward_mult = 1, .eps = in->setup->base.eps, .theta = 1};
}

static void add_part(mup_export_group *g, const mup_export *x, const mup_export_in *in, const char *kind)
{
    const mup_export_tensor *t = find(in, kind);
    g->parts[g->n_parts++] = (mup_export_part){kind, t->rows, t->h.init_std * rest(x, in, t)};
}

/* Fused matrices share role, fan-in and multiplier, so one group says all but an initial zero of the queries. */
static void fused_group(mup_export *x, const mup_export_in *in, const mup_export_tensor *t)
{
    const bool attn = !strcmp(t->kind, "attn.q");
    if (!attn && strcmp(t->kind, "ffn.in") != 0) return; /* k, v, gate: in another's group */
    const mup_export_tensor *other = find(in, attn ? "attn.k" : "ffn.gate");
    mup_export_group *g = tensor_group(x, in, other, attn ? "attn.qkv" : "ffn.fc1");
    if (attn) {
        add_part(g, x, in, "attn.q");
        add_part(g, x, in, "attn.k");
        add_part(g, x, in, "attn.v");
        g->rows = t->rows + 2 * other->rows;
        g->layout = "per key/value head: rows of its query heads, of its key, of its value";
    } else {
        add_part(g, x, in, "ffn.gate");
        add_part(g, x, in, "ffn.in");
        g->rows = 2 * t->rows;
        g->layout = "rows of ffn.gate, then of ffn.in";
    }
}

static void all_groups(mup_export *x, const mup_export_in *in)
{
    const mup_export_target *t = x->target;
    for (size_t i = 0; i < in->n_tensors; i++) {
        const mup_export_tensor *a = &in->tensors[i];
        const bool part = a->place.role == MUP_HIDDEN && a->place.part != MUP_ATTN_OUT && a->place.part != MUP_FFN_OUT;
        if (t->fused && part) fused_group(x, in, a);
        else tensor_group(x, in, a, a->kind);
    }
    if (t->always_gains && !in->norm_gain) {
        frozen_group(x, in, "attn.norm", true, in->d_model);
        frozen_group(x, in, "ffn.norm", true, in->d_model);
        frozen_group(x, in, "final.norm", false, in->d_model);
    }
    if (t->always_gains && in->qk_norm) {
        frozen_group(x, in, "attn.q_norm", true, in->head_dim);
        frozen_group(x, in, "attn.k_norm", true, in->head_dim);
    }
}

status mup_export_make(mup_export *out, const mup_export_target *t, const mup_export_in *in, err *e)
{
    memset(out, 0, sizeof *out);
    out->target = t;
    if (t->no_gelu && !in->setup->swiglu)
        return err_set(e, ST_INPUT, "activation: gelu cannot be exported to %s: %s", t->name, t->no_gelu);
    if (t->no_qk_norm && in->qk_norm)
        return err_set(e, ST_INPUT, "qk_norm: true cannot be exported to %s: %s; use qk_norm: false", t->name,
                       t->no_qk_norm);
    t->carry(out, in);
    all_groups(out, in);
    t->config(out, in);
    return ST_OK;
}
