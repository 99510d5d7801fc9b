/* What `mup export` writes for Hugging Face and Megatron, read by an independent reader that follows the target's
 * documented forward pass in double precision: the logits are ours. Granite: transformers, models/granite. MiniCPM:
 * modeling_minicpm.py. Megatron-LM: core GPT model with --use-mup. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cli/export_ours.h"

enum { N_SEQ = 2, MAX_GROUPS = 16 };

/* What the target's program would know after reading its own file. */
typedef struct reader {
    int64_t V, d, L, H, G, D, F;
    double embedding, residual, attention, logits, theta, eps;
    bool tied, qk_norm, fused;
    json_t *groups;
    const ours *from; /* only to copy weights, as a converter would */
    bool no_scale;    /* a converter that forgets weight_scale */
} reader;

/* --- the files ---------------------------------------------------------------------------------------------------- */

static json_t *load(const char *dir, const char *name)
{
    char path[512];
    json_error_t je;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    json_t *j = json_load_file(path, 0, &je);
    cr_assert_not_null(j, "%s: %s", path, je.text);
    return j;
}

static double num(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    cr_assert(json_is_number(v) || json_is_boolean(v), "%s is missing", key);
    return json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
}

static void read_hf(reader *r, const char *dir, bool granite)
{
    json_t *c = load(dir, "config.json");
    r->V = (int64_t)num(c, "vocab_size");
    r->d = (int64_t)num(c, "hidden_size");
    r->L = (int64_t)num(c, "num_hidden_layers");
    r->H = (int64_t)num(c, "num_attention_heads");
    r->G = (int64_t)num(c, "num_key_value_heads");
    r->D = r->d / r->H;
    r->F = (int64_t)num(c, "intermediate_size");
    r->theta = num(c, "rope_theta");
    r->eps = num(c, "rms_norm_eps");
    r->tied = num(c, "tie_word_embeddings") != 0;
    cr_assert_eq(num(c, "attention_bias"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(c, "hidden_act")), "silu");
    if (granite) {
        r->embedding = num(c, "embedding_multiplier");
        r->attention = num(c, "attention_multiplier"); /* instead of 1/sqrt(head_dim) */
        r->residual = num(c, "residual_multiplier");
        r->logits = 1 / num(c, "logits_scaling"); /* logits are divided by it */
    } else {
        r->embedding = num(c, "scale_emb");
        r->attention = 1 / sqrt((double)r->D);
        r->residual = num(c, "scale_depth") / sqrt((double)r->L);
        r->logits =
            num(c, "dim_model_base") / (double)r->d; /* hidden states are divided by hidden_size / dim_model_base */
    }
    json_decref(c);
}

/* The value behind a flag: NULL when the flag is not there, "" when it has none. */
static const char *flag(char lines[][96], size_t n, const char *name)
{
    const size_t len = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!strncmp(lines[i], name, len) && (!lines[i][len] || lines[i][len] == ' '))
            return lines[i] + len + (lines[i][len] == ' ');
    return NULL;
}

static double flag_num(char lines[][96], size_t n, const char *name)
{
    const char *v = flag(lines, n, name);
    cr_assert(v && *v, "%s is missing", name);
    return strtod(v, NULL);
}

static void read_megatron(reader *r, const char *dir)
{
    enum { MAX = 80 };
    char path[512], lines[MAX][96];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/megatron.args", dir);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    while (n < MAX && fgets(lines[n], sizeof lines[n], f)) lines[n][strcspn(lines[n], "\n")] = 0, n++;
    fclose(f);
#define FLAG(name) flag_num(lines, n, name)
    r->V = (int64_t)FLAG("--vocab-size");
    r->d = (int64_t)FLAG("--hidden-size");
    r->L = (int64_t)FLAG("--num-layers");
    r->H = (int64_t)FLAG("--num-attention-heads");
    r->G = flag(lines, n, "--group-query-attention") ? (int64_t)FLAG("--num-query-groups") : r->H;
    r->D = (int64_t)FLAG("--kv-channels");
    r->F = (int64_t)FLAG("--ffn-hidden-size");
    r->theta = FLAG("--rotary-base");
    r->eps = FLAG("--norm-epsilon");
    r->tied = !flag(lines, n, "--untie-embeddings-and-output-weights");
    r->qk_norm = flag(lines, n, "--qk-layernorm");
    r->fused = true;
    cr_assert(flag(lines, n, "--use-mup") && flag(lines, n, "--swiglu") && flag(lines, n, "--disable-bias-linear"));
    cr_assert_str_eq(flag(lines, n, "--normalization"), "RMSNorm");
    const double m = (double)r->d / FLAG("--mup-base-hidden-size"), out = FLAG("--mup-output-mult");
    r->embedding = FLAG("--mup-embedding-mult");
    r->residual = 1;
    r->attention = sqrt(FLAG("--mup-base-head-dim")) / pow((double)r->D, FLAG("--mup-attn-scale-power"));
    r->logits = out == 1 ? 1 / m : out; /* left at 1 it is set to 1/m */
#undef FLAG
}

/* --- weights, as a converter places them ----------------------------------------------------------------------------
 */

static const json_t *group_of(const reader *r, const char *kind)
{
    size_t i, k;
    json_t *g, *p;
    json_array_foreach(r->groups, i, g)
    {
        if (!strcmp(json_string_value(json_object_get(g, "tensor")), kind)) return g;
        json_array_foreach(json_object_get(g, "parts"), k,
                           p) if (!strcmp(json_string_value(json_object_get(p, "tensor")), kind)) return g;
    }
    return NULL;
}

/* Our tensor times the group's weight_scale; NULL: we have none. Caller frees. */
static double *copied(const reader *r, const char *kind, int64_t layer)
{
    char name[64];
    if (layer < 0) snprintf(name, sizeof name, "%s", kind);
    else snprintf(name, sizeof name, "blocks.%d.%s", (int)layer, kind);
    for (size_t i = 0; i < r->from->n; i++) {
        const shape_tensor *t = &r->from->shape[i];
        if (strcmp(t->name, name) != 0) continue;
        const json_t *g = group_of(r, kind);
        cr_assert_not_null(g, "%s is in no group", kind);
        const double scale = r->no_scale ? 1 : num(g, "weight_scale");
        double *w = malloc(t->n * sizeof *w);
        for (size_t k = 0; k < t->n; k++) w[k] = scale * (double)r->from->weights[t->offset + k];
        return w;
    }
    return NULL;
}

/* The target's gain: ours, or the one that groups.json says is frozen at 1. */
static double *gain(const reader *r, const char *kind, int64_t layer, int64_t n)
{
    double *g = copied(r, kind, layer);
    if (g) return g;
    const json_t *group = group_of(r, kind);
    cr_assert(group && json_is_true(json_object_get(group, "frozen")), "%s: neither ours nor frozen", kind);
    g = malloc((size_t)n * sizeof *g);
    for (int64_t i = 0; i < n; i++) g[i] = 1;
    return g;
}

/* --- the forward pass of one sequence --------------------------------------------------------------------------------
 */

static void matmul(double *y, const double *x, const double *w, int64_t T, int64_t in, int64_t out)
{
    for (int64_t t = 0; t < T; t++)
        for (int64_t o = 0; o < out; o++) {
            double s = 0;
            for (int64_t i = 0; i < in; i++) s += x[t * in + i] * w[o * in + i];
            y[t * out + o] = s;
        }
}

static void rms(double *y, const double *x, const double *g, int64_t n, double eps)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += x[i] * x[i];
    for (int64_t i = 0; i < n; i++) y[i] = x[i] / sqrt(s / (double)n + eps) * g[i];
}

/* x * cos + rotate_half(x) * sin */
static void rope(double *x, int64_t t, int64_t D, double theta)
{
    for (int64_t i = 0; i < D / 2; i++) {
        const double a = (double)t * pow(theta, -2.0 * (double)i / (double)D), u = x[i], v = x[i + D / 2];
        x[i] = u * cos(a) - v * sin(a);
        x[i + D / 2] = v * cos(a) + u * sin(a);
    }
}

/* q [H][T][D], k and v [G][T][D]. Megatron has one matrix: rows of each group's query heads, its key, its value. */
static void project(const reader *r, double *q, double *k, double *v, const double *h, int64_t l, int64_t T)
{
    const int64_t D = r->D, per = r->H / r->G, d = r->d, rows = (r->H + 2 * r->G) * D;
    double *wq = copied(r, "attn.q", l), *wk = copied(r, "attn.k", l), *wv = copied(r, "attn.v", l);
    double *w = malloc((size_t)(rows * d) * sizeof *w), *y = malloc((size_t)(rows * T) * sizeof *y);
    for (int64_t g = 0; g < r->G; g++) {
        double *at = w + g * (per + 2) * D * d;
        memcpy(at, wq + g * per * D * d, (size_t)(per * D * d) * sizeof *w);
        memcpy(at + per * D * d, wk + g * D * d, (size_t)(D * d) * sizeof *w);
        memcpy(at + (per + 1) * D * d, wv + g * D * d, (size_t)(D * d) * sizeof *w);
    }
    matmul(y, h, w, T, d, rows);
    for (int64_t t = 0; t < T; t++)
        for (int64_t g = 0; g < r->G; g++) {
            const double *at = y + t * rows + g * (per + 2) * D;
            for (int64_t j = 0; j < per; j++)
                memcpy(q + ((g * per + j) * T + t) * D, at + j * D, (size_t)D * sizeof *q);
            memcpy(k + (g * T + t) * D, at + per * D, (size_t)D * sizeof *k);
            memcpy(v + (g * T + t) * D, at + (per + 1) * D, (size_t)D * sizeof *v);
        }
    free(wq), free(wk), free(wv), free(w), free(y);
}

static void heads_ready(const reader *r, double *x, int64_t heads, const char *norm_kind, int64_t l, int64_t T)
{
    double *g = r->qk_norm ? gain(r, norm_kind, l, r->D) : NULL;
    for (int64_t i = 0; i < heads * T; i++) {
        if (g) rms(x + i * r->D, x + i * r->D, g, r->D, r->eps);
        rope(x + i * r->D, i % T, r->D, r->theta);
    }
    free(g);
}

static void attention(const reader *r, double *x, const double *h, int64_t l, int64_t T)
{
    const int64_t D = r->D, H = r->H, G = r->G;
    double *q = malloc((size_t)(H * T * D) * sizeof *q), *k = malloc((size_t)(G * T * D) * sizeof *k);
    double *v = malloc((size_t)(G * T * D) * sizeof *v), *o = calloc((size_t)(T * H * D), sizeof *o);
    double *wo = copied(r, "attn.out", l), *y = malloc((size_t)(T * r->d) * sizeof *y),
           *p = malloc((size_t)T * sizeof *p);
    project(r, q, k, v, h, l, T);
    heads_ready(r, q, H, "attn.q_norm", l, T);
    heads_ready(r, k, G, "attn.k_norm", l, T);
    for (int64_t a = 0; a < H; a++)
        for (int64_t t = 0; t < T; t++) {
            const int64_t g = a / (H / G);
            double sum = 0;
            for (int64_t j = 0; j <= t; j++) {
                double s = 0;
                for (int64_t i = 0; i < D; i++) s += q[(a * T + t) * D + i] * k[(g * T + j) * D + i];
                sum += p[j] = exp(s * r->attention);
            }
            for (int64_t j = 0; j <= t; j++)
                for (int64_t i = 0; i < D; i++) o[t * H * D + a * D + i] += p[j] / sum * v[(g * T + j) * D + i];
        }
    matmul(y, o, wo, T, H * D, r->d);
    for (int64_t i = 0; i < T * r->d; i++) x[i] += r->residual * y[i];
    free(q), free(k), free(v), free(o), free(wo), free(y), free(p);
}

static void mlp(const reader *r, double *x, const double *h, int64_t l, int64_t T)
{
    const size_t n = (size_t)(T * r->F) * sizeof(double);
    double *up = copied(r, "ffn.in", l), *gate = copied(r, "ffn.gate", l), *down = copied(r, "ffn.out", l);
    double *u = malloc(n), *g = malloc(n), *y = malloc((size_t)(T * r->d) * sizeof *y);
    matmul(u, h, up, T, r->d, r->F);
    matmul(g, h, gate, T, r->d, r->F);
    for (int64_t i = 0; i < T * r->F; i++) u[i] *= g[i] / (1 + exp(-g[i]));
    matmul(y, u, down, T, r->F, r->d);
    for (int64_t i = 0; i < T * r->d; i++) x[i] += r->residual * y[i];
    free(up), free(gate), free(down), free(u), free(g), free(y);
}

static void normed(const reader *r, double *h, const double *x, const char *kind, int64_t l, int64_t T)
{
    double *g = gain(r, kind, l, r->d);
    for (int64_t t = 0; t < T; t++) rms(h + t * r->d, x + t * r->d, g, r->d, r->eps);
    free(g);
}

static void forward(const reader *r, double *logits, const int32_t *ids, int64_t T)
{
    const size_t n = (size_t)(T * r->d) * sizeof(double);
    double *x = malloc(n), *h = malloc(n), *table = copied(r, "embed", -1),
           *head = copied(r, r->tied ? "embed" : "head", -1);
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < r->d; i++) x[t * r->d + i] = r->embedding * table[ids[t] * r->d + i];
    for (int64_t l = 0; l < r->L; l++) {
        normed(r, h, x, "attn.norm", l, T);
        attention(r, x, h, l, T);
        normed(r, h, x, "ffn.norm", l, T);
        mlp(r, x, h, l, T);
    }
    normed(r, h, x, "final.norm", -1, T);
    matmul(logits, h, head, T, r->d, r->V);
    for (int64_t i = 0; i < T * r->V; i++) logits[i] *= r->logits;
    free(x), free(h), free(table), free(head);
}

/* --- the comparison --------------------------------------------------------------------------------------------------
 */

static void export_to(const char *dir, const char *to, const char *pairs)
{
    char command[1024];
    snprintf(command, sizeof command,
             "'%s' -q mup export %s/c.yaml %s --target width=64,depth=4 --to %s -o %s/%s >%s/log 2>&1 || { cat %s/log "
             ">&2; exit 1; }",
             getenv("MUSCALE_BIN"), dir, pairs, to, dir, to, dir, dir);
    cr_assert_eq(system(command), 0, "%s", command);
}

typedef enum fault { NONE, FORGETS_SCALE, RESIDUAL, LOGITS } fault;

/* Largest difference over the largest logit. */
static double difference(const ours *o, const double *want, const char *dir, const char *to, fault f)
{
    const int64_t T = o->c.shape.seq_len, V = o->c.shape.vocab;
    char where[256];
    int32_t ids[N_SEQ * 64];
    double worst = 0, top = 0;
    snprintf(where, sizeof where, "%s/%s", dir, to);
    json_t *groups = load(where, "groups.json");
    reader r = {.groups = json_object_get(groups, "groups"), .from = o, .no_scale = f == FORGETS_SCALE};
    if (!strcmp(to, "megatron")) read_megatron(&r, where);
    else read_hf(&r, where, !strcmp(to, "hf-granite"));
    cr_assert(r.V == V && r.d == 64 && r.L == 4, "%s: another size", to);
    if (f == RESIDUAL) r.residual *= 1.01;
    if (f == LOGITS) r.logits = fabs(r.logits - 1) < 1e-9 ? 1.01 : 1 / r.logits;
    double *got = malloc((size_t)(T * V) * sizeof *got);
    ours_tokens(o, ids, N_SEQ * ((size_t)T + 1), 0);
    for (int64_t b = 0; b < N_SEQ; b++) {
        forward(&r, got, ids + b * (T + 1), T);
        for (int64_t i = 0; i < T * V; i++) {
            worst = fmax(worst, fabs(got[i] - want[b * T * V + i]));
            top = fmax(top, fabs(want[b * T * V + i]));
        }
    }
    free(got);
    json_decref(groups);
    return worst / top;
}

/* Theta symmetry (doc/mup.md, section 2), of every tensor that is one of ours. */
static void steps_are_equal(const ours *o, const char *dir, const char *to)
{
    char where[256];
    snprintf(where, sizeof where, "%s/%s", dir, to);
    json_t *groups = load(where, "groups.json");
    const reader r = {.groups = json_object_get(groups, "groups"), .from = o};
    const bool free_decay = o->c.decay == DECAY_INDEPENDENT;
    for (size_t i = 0; i < o->n; i++) {
        const shape_tensor *s = &o->shape[i];
        const mup_tensor *t = &o->tensor[i];
        const json_t *g = group_of(&r, s->layer < 0 ? s->name : strchr(s->name + strlen("blocks."), '.') + 1);
        const double x = num(g, "weight_scale");
        const double per_step = free_decay ? t->weight_decay : t->weight_decay * t->lr;
        const double pairs[][2] = {{num(g, "lr"), t->lr * x},
                                   {num(g, "lr_scale"), t->lr_scale * x},
                                   {num(g, "init_std"), t->init_std * x},
                                   {num(g, "eps"), t->eps / x},
                                   {num(g, "gradient_theta"), mup_theta(t) / x},
                                   {num(g, "weight_decay"), per_step / (t->lr * x)},
                                   {num(g, "weight_decay_independent"), per_step}};
        for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
            cr_expect(fabs(pairs[k][0] - pairs[k][1]) <= 1e-13 * pairs[k][1], "%s, %s: value %zu is %g, not %g", to,
                      s->name, k, pairs[k][0], pairs[k][1]);
    }
    json_decref(groups);
}

typedef struct kase {
    const char *pairs;
    bool folds_megatron, folds_minicpm, no_hf;
} kase;

static void check(kase k)
{
    static const char *const to[] = {"hf-granite", "hf-minicpm", "megatron"};
    char dir[] = "/tmp/muscale-export-XXXXXX", path[128];
    err e = {0};
    ours o;
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/c.yaml", dir);
    FILE *f = fopen(path, "w");
    fputs("vocab: 37\nd_model: 32\nn_layer: 2\nhead_dim: 16\nseq_len: 12\nactivation: swiglu\nbatch_tokens: "
          "48\ntokens: 480\n"
          "val_tokens: 24\nseed: 3\n",
          f);
    fclose(f);
    export_to(dir, "muscale", k.pairs);
    snprintf(path, sizeof path, "%s/muscale/config.yaml", dir);
    cr_assert_eq(ours_open(&o, path, &e), ST_OK, "%s", e.msg);
    /* Gains other than 1 must arrive too. */
    for (size_t i = 0; i < o.n; i++)
        for (size_t j = 0; o.shape[i].role == MUP_GAIN && j < o.shape[i].n; j++)
            o.weights[o.shape[i].offset + j] = 0.7F + 0.01F * (float)(j % 50);
    int32_t ids[N_SEQ * 64];
    double *want = malloc((size_t)(N_SEQ * o.c.shape.seq_len * o.c.shape.vocab) * sizeof *want);
    ours_tokens(&o, ids, (size_t)(N_SEQ * (o.c.shape.seq_len + 1)), 0);
    cr_assert_eq(ours_logits(&o, want, ids, N_SEQ, &e), ST_OK, "%s", e.msg);
    for (size_t i = 0; i < 3; i++) {
        const bool megatron = i == 2, folds = megatron ? k.folds_megatron : i == 1 && k.folds_minicpm;
        if (k.no_hf && !megatron) continue;
        export_to(dir, to[i], k.pairs);
        steps_are_equal(&o, dir, to[i]);
        cr_expect_lt(difference(&o, want, dir, to[i], NONE), 1e-5, "%s, %s", k.pairs, to[i]);
        cr_expect_gt(difference(&o, want, dir, to[i], RESIDUAL), 1e-5, "%s, %s: residual off by 1 %%", k.pairs, to[i]);
        cr_expect_gt(difference(&o, want, dir, to[i], LOGITS), 1e-5, "%s, %s: logits divided instead of multiplied",
                     k.pairs, to[i]);
        const double forgot = difference(&o, want, dir, to[i], FORGETS_SCALE);
        cr_expect(folds ? forgot > 1e-5 : forgot < 1e-5 || strstr(k.pairs, "u-mup") || strstr(k.pairs, "ratio"),
                  "%s, %s: without weight_scale %g", k.pairs, to[i], forgot);
    }
    free(want);
    ours_close(&o);
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

Test(mup_export, table8) { check((kase){.pairs = "n_kv_head=1"}); }
Test(mup_export, table3) { check((kase){.pairs = "parametrisation=mup-table3 logit_mult=3"}); }
Test(mup_export, completep)
{
    check((kase){.pairs = "parametrisation=completep norm_gain=true weight_decay_mode=coupled weight_decay=0.1",
                 .folds_megatron = true});
}
Test(mup_export, multipliers)
{
    check((kase){
        .pairs = "embed_mult=1.7 logit_mult=2.5 attn_mult=1.3 residual_mult=0.6 residual_attn_ratio=0.5 tied_head=true",
        .folds_megatron = true,
        .folds_minicpm = true});
}
Test(mup_export, unit)
{
    check((kase){.pairs = "parametrisation=u-mup lr=0.5", .folds_megatron = true, .folds_minicpm = true});
}
Test(mup_export, qk_norm)
{
    check((kase){.pairs = "qk_norm=true attn_mult=2 n_kv_head=2 logit_mult=2", .no_hf = true});
}
