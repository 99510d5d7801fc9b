/* muscale mup table: what a parametrisation makes of a config, tensor by tensor, and who says so. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/config_args.h"
#include "cli/mup.h"
#include "trainer/config_base.h"

typedef struct table {
    trainer_config config;
    mup_setup setup;
    size_t n;
    shape_tensor *shape;
    mup_tensor *tensor;
    mup_model model;
    double beta1, beta2;
    config_base_note note;
} table;

static void table_free(table *t)
{
    free(t->shape);
    free(t->tensor);
}

/* --base FILE or --base width=64,... */
static status set_base(table *t, const char *base, err *e)
{
    trainer_config b, own = t->config;
    bool said = false;
    own.base_width = own.shape.d_model; /* its own faults first, whatever its base */
    own.base_depth = own.shape.n_layer;
    own.base_head_dim = own.base_d_ff = 0;
    own.base_batch_tokens = own.batch_tokens;
    own.base_tokens = own.tokens;
    status s = config_resolve(&own, e);
    if (s) return s;
    const bool words = strchr(base, '=') && access(base, F_OK); /* a path may have a = in it */
    s = words ? config_base_words(&b, &t->config, base, &said, e) : config_load(&b, base, e);
    if (s) return words ? s : err_prefix(e, "--base");
    return config_set_base(&t->config, &b, said, &t->note, e);
}

static status table_load(table *t, const cli_list *words, const char *base, err *e)
{
    status s = cli_read_config(&t->config, words, "mup table", e);
    if (!s && base && (s = set_base(t, base, e))) return err_prefix(e, "%s", words->items[0]);
    if (!s && (s = config_resolve(&t->config, e))) err_prefix(e, "%s", words->items[0]);
    if (s) return s;
    t->setup = config_mup(&t->config);
    t->n = shape_tensors(&t->config.shape, NULL, 0);
    t->shape = calloc(t->n, sizeof *t->shape);
    t->tensor = calloc(t->n, sizeof *t->tensor);
    if (!t->shape || !t->tensor) return err_set(e, ST_NOMEM, "no memory for %zu tensors", t->n);
    shape_tensors(&t->config.shape, t->shape, t->n);
    s = config_hparams(&t->config, t->tensor, &t->model, e);
    return s ? s : config_betas(&t->config, &t->beta1, &t->beta2, e);
}

static double ratio(double x, double base) { return base > 0 ? x / base : 1; }
/* Has a base, or (sp) may be shown beside one. */
static bool based(const table *t) { return !mup_rule_absolute(t->setup.rule); }

/* How far one step moves what the net sees, and how wide it starts: the same in every form of a rule. */
static double seen(const mup_tensor *t, double x) { return t->forward_mult * x; }

/* Both conventions of decay, whichever the config uses: lambda_independent = lr * lambda_coupled. */
static double coupled(const table *t, const mup_tensor *x)
{
    return t->setup.base.decay_independent ? x->weight_decay / x->lr : x->weight_decay;
}
static double independent(const table *t, const mup_tensor *x)
{
    return t->setup.base.decay_independent ? x->weight_decay : x->weight_decay * x->lr;
}

/* --- the choices that sources disagree about -------------------------------------------------------------------- */

enum { N_CHOICES = 10 };
typedef struct choice { const char *name; char value[48]; } choice;

static mup_attention attention_of(const table *t)
{
    if (t->setup.opt.attention != MUP_ATTN_RULE) return t->setup.opt.attention;
    return mup_rule_absolute(t->setup.rule) ? MUP_ATTN_INVERSE
           : mup_rule_needs_base(t->setup.rule) ? MUP_ATTN_ALIGNED : MUP_ATTN_SQRT;
}

static size_t choices(choice *out, const table *t)
{
    const mup_options *o = &t->setup.opt;
    const bool sizes = mup_rule_needs_base(t->setup.rule), free_decay = t->setup.base.decay_independent;
    size_t n = 0;
    const struct { const char *name, *value; } words[] = {
        {"eps_rule", sizes ? mup_eps_words[o->eps] : "unused"},
        {"weight_decay_mode", free_decay ? "independent" : "coupled"},
        {"decay_rule", sizes && !free_decay ? mup_decay_words[o->decay] : "unused"},
        {"embed_lr_rule", mup_embed_lr_words[o->embed_lr]},
        {"attention_scale", mup_attention_words[attention_of(t)]},
        {"zero_init", mup_zero_words[o->zero]},
        {"branch_init", mup_branch_words[o->branch_init]},
        {"clip_norm over", t->tensor[t->n - 1].theta > 0 && t->tensor[t->n - 1].theta != 1 ? "g/theta" : "g"},
        {"base_d_ff", !sizes ? "unused" : t->config.base_d_ff ? "its own" : "in proportion"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        out[n].name = words[i].name;
        snprintf(out[n++].value, sizeof out->value, "%s", words[i].value);
    }
    if (mup_alpha_of(&t->setup) > 0) {
        out[n].name = "depth_alpha";
        snprintf(out[n++].value, sizeof out->value, "%g", mup_alpha_of(&t->setup));
    }
    return n;
}

/* --- JSON: every tensor ------------------------------------------------------------------------------------------ */

static json_t *sources_json(const table *t, const mup_place *p)
{
    json_t *all = json_array();
    for (int q = 0; q < MUP_N_QUANTITIES; q++) {
        mup_factor f;
        mup_factor_of(&f, &t->setup, p, (mup_quantity)q);
        if (*f.text)
            json_array_append_new(all, json_pack("{s:s, s:s, s:f, s:s}", "quantity", mup_quantity_name((mup_quantity)q),
                                                 "factor", f.text, "value", f.value, "source", f.source));
    }
    return all;
}

static json_t *tensor_json(const table *t, size_t i)
{
    char why[256];
    const shape_tensor *s = &t->shape[i];
    const mup_tensor *x = &t->tensor[i];
    const mup_place p = config_place(s);
    mup_factor_text(why, sizeof why, &t->setup, &p);
    return json_pack("{s:s, s:[I,I], s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:s, s:o}", "tensor",
                     s->name, "shape", (json_int_t)s->rows, (json_int_t)s->cols, "role", mup_role_name(s->role), "fan_in",
                     (json_int_t)s->fan_in, "init_std", x->init_std, "multiplier", x->forward_mult, "lr", x->lr,
                     "lr_scale", x->lr_scale, "eps", x->eps, "weight_decay", x->weight_decay, "weight_decay_coupled",
                     coupled(t, x), "weight_decay_independent", independent(t, x), "init_std_effective",
                     seen(x, x->init_std), "lr_effective", seen(x, x->lr), "gradient_theta", mup_theta(x), "factors", why,
                     "sources", sources_json(t, &p));
}

static json_t *sizes_json(const mup_size *s)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "width", s->width, "depth", s->depth, "head_dim", s->head_dim,
                     "d_ff", s->d_ff, "batch_tokens", s->batch, "tokens", s->tokens);
}

static json_t *base_json(const trainer_config *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "width", (json_int_t)c->base_width, "depth",
                     (json_int_t)c->base_depth, "head_dim", (json_int_t)c->base_head_dim, "d_ff",
                     (json_int_t)c->base_d_ff, "batch_tokens", (json_int_t)c->base_batch_tokens, "tokens",
                     (json_int_t)c->base_tokens);
}

static json_t *ratios_json(const table *t)
{
    const mup_size *x = &t->setup.size, *b = &t->setup.base_size;
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "width", ratio(x->width, b->width), "depth",
                     ratio(x->depth, b->depth), "head_dim", ratio(x->head_dim, b->head_dim), "d_ff",
                     b->d_ff > 0 ? x->d_ff / b->d_ff : ratio(x->width, b->width), "batch_tokens",
                     ratio(x->batch, b->batch), "tokens", ratio(x->tokens, b->tokens));
}

static int print_json(const table *t)
{
    choice list[N_CHOICES];
    const size_t n = choices(list, t);
    json_t *rows = json_array(), *chosen = json_object();
    for (size_t i = 0; i < t->n; i++) json_array_append_new(rows, tensor_json(t, i));
    for (size_t i = 0; i < n; i++) json_object_set_new(chosen, list[i].name, json_string(list[i].value));
    return cli_json_out(json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:{s:f, s:f, s:f, s:f}, s:s, s:o, s:{s:f, s:f}, s:s, s:o}", "schema",
        "muscale.mup-table/1", "parametrisation", mup_rule_name(t->setup.rule), "source",
        mup_rule_source(t->setup.rule), "base", base_json(&t->config), "target", sizes_json(&t->setup.size), "ratios",
        ratios_json(t), "model", "embed_mult", t->model.embed_mult, "attn_scale", t->model.attn_scale, "residual_mult",
        t->model.residual_mult, "logit_mult", t->model.logit_mult, "weight_decay_mode",
        t->setup.base.decay_independent ? "independent" : "coupled", "choices", chosen, "betas", "beta1", t->beta1,
        "beta2", t->beta2, "note", t->note.text, "tensors", rows));
}

/* --- text: equal blocks as one row ------------------------------------------------------------------------------- */

static void row_name(char *out, size_t n, const table *t, const shape_tensor *s)
{
    const char *tail = s->layer < 0 ? NULL : strchr(s->name + strlen("blocks."), '.');
    if (tail && t->config.shape.n_layer > 1)
        snprintf(out, n, "blocks.0-%" PRId64 "%.32s", t->config.shape.n_layer - 1, tail);
    else snprintf(out, n, "%s", s->name);
}

static void print_row(const table *t, size_t i)
{
    const shape_tensor *s = &t->shape[i];
    const mup_tensor *x = &t->tensor[i];
    const mup_place p = config_place(s);
    const double numbers[] = {(double)s->fan_in, x->init_std, x->forward_mult, x->lr, seen(x, x->lr), x->eps,
                              coupled(t, x), independent(t, x)};
    char name[80], size[48], why[256];
    row_name(name, sizeof name, t, s);
    snprintf(size, sizeof size, "%" PRId64 "x%" PRId64, s->rows, s->cols);
    mup_factor_text(why, sizeof why, &t->setup, &p);
    printf("%-20s %-12s %-9s", name, size, mup_role_name(s->role));
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) printf(" %9.4g", numbers[k]);
    printf("  %s\n", why);
}

/* One line per role, quantity and factor: "hidden lr m^-1   Yang et al. 2022, ..., Table 8". */
static void print_sources(const table *t)
{
    enum { MAX = 64, LINE = 320 };
    char seen_lines[MAX][LINE];
    size_t n = 0;
    puts("\nwhere the factors come from (base value x factor)");
    for (size_t i = 0; i < t->n; i++)
        for (int q = 0; q < MUP_N_QUANTITIES && t->shape[i].layer <= 0; q++) {
            mup_factor f;
            char line[LINE];
            const mup_place p = config_place(&t->shape[i]);
            mup_factor_of(&f, &t->setup, &p, (mup_quantity)q);
            if (!*f.text) continue;
            snprintf(line, sizeof line, "  %-9s %-5s %-28s = %-9.4g %s", mup_role_name(p.role),
                     mup_quantity_name((mup_quantity)q), f.text, f.value, f.source);
            size_t k = 0;
            while (k < n && strcmp(seen_lines[k], line)) k++;
            if (k < n || n == MAX) continue;
            strcpy(seen_lines[n++], line);
            puts(line);
        }
    if (!n) puts("  there are none");
}

static void print_ratio(const char *what, const char *symbol, double x, double base)
{
    if (base > 0) printf("; %s %.10g, base %.10g: %s = %g", what, x, base, symbol, x / base);
}

static void print_head(const table *t)
{
    const mup_size *x = &t->setup.size, *b = &t->setup.base_size;
    choice list[N_CHOICES];
    const size_t n = choices(list, t);
    printf("parametrisation %s: %s\n", mup_rule_name(t->setup.rule), mup_rule_source(t->setup.rule));
    printf("width %.10g", x->width);
    if (based(t) && b->width > 0) printf(", base width %.10g: m = %g", b->width, x->width / b->width);
    if (based(t)) {
        print_ratio("depth", "m_L", x->depth, b->depth);
        print_ratio("d_ff", "m_ffn", x->d_ff, b->d_ff);
        print_ratio("head_dim", "ratio", x->head_dim, b->head_dim);
        print_ratio("batch", "m_B", x->batch, b->batch);
        print_ratio("tokens", "m_D", x->tokens, b->tokens);
    }
    printf("\nembedding x %.6g, attention logits x %.6g, residual branches x %.6g, logits x %.6g; beta1 %g, beta2 %g\n",
           t->model.embed_mult, t->model.attn_scale, t->model.residual_mult, t->model.logit_mult, t->beta1, t->beta2);
    printf("choices:");
    for (size_t i = 0; i < n; i++) printf("%s %s %s", i ? "," : "", list[i].name, list[i].value);
    puts("\n");
}

static int print_text(const table *t)
{
    static const char *const columns[] = {"fan_in", "init std", "mult", "lr", "mult*lr", "eps", "decay", "decay*lr"};
    print_head(t);
    printf("%-20s %-12s %-9s", "tensor", "shape", "role");
    for (size_t k = 0; k < sizeof columns / sizeof *columns; k++) printf(" %9s", columns[k]);
    puts("  factors on the base values");
    for (size_t i = 0; i < t->n; i++)
        if (t->shape[i].layer <= 0) print_row(t, i);
    print_sources(t);
    return 0;
}

static void say(const cli *c, const table *t)
{
    const mup_size *x = &t->setup.size, *b = &t->setup.base_size;
    if (*t->config.note) cli_note(c, "%s", t->config.note);
    if (*t->note.text) cli_note(c, "%s", t->note.text);
    if (based(t) && b->width > x->width)
        cli_note(c, "d_model %g is below base_width %g: the rules hold, but what was tuned wide is only about right "
                    "narrow", x->width, b->width);
}

int mup_table_cmd(cli *c, int argc, char **argv)
{
    const char *base = NULL;
    const cli_opt opts[] = {{"base", 0, OPT_TEXT, &base, "BASE.yaml|width=W,depth=L,...",
                             "the base model; replaces the config's base_* keys"}};
    cli_list words = {0};
    table t = {0};
    err e = {0};
    int rc = 0;
    status s = cli_parse(c, opts, 1, argc, argv, &words, &e);
    if (!c->show_help || s) {
        if (!s) s = table_load(&t, &words, base, &e);
        if (!s) say(c, &t);
        rc = s ? cli_usage(c, "mup", &e) : c->json ? print_json(&t) : print_text(&t);
    }
    table_free(&t);
    free(words.items);
    return rc;
}
