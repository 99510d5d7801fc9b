/* muscale mup export: a tuned small model's hyperparameters at another size, in names that another program reads. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cli/config_args.h"
#include "cli/mup.h"
#include "cli/mup_evidence.h"
#include "cli/mup_export.h"
#include "mup/export.h"

typedef struct exported {
    trainer_config config; /* of the target, resolved */
    config_base_note note;
    const mup_export_target *to;
    size_t n, n_kinds;
    shape_tensor *shape;
    mup_tensor *tensor;
    mup_export_tensor *kinds;
    mup_setup setup;
    mup_export_in in;
    mup_export x;
    char schedule[1024], doubt[MUP_DOUBT_MAX];
    json_t *evidence;
} exported;

static void export_free(exported *x)
{
    free(x->shape);
    free(x->tensor);
    free(x->kinds);
    json_decref(x->evidence);
}

static status find_target(const mup_export_target **out, const char *name, err *e)
{
    enum { MAX = 16 };
    const char *names[MAX];
    char list[128] = "";
    int n = 0;
    for (; n < (int)mup_export_count(); n++) {
        const mup_export_target *t = mup_export_at((size_t)n);
        names[n] = mup_export_name(t);
        if (!strcmp(name, names[n])) return *out = t, ST_OK;
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", n ? ", " : "", names[n]);
    }
    const char *near = num_nearest_word(name, names, n);
    if (near) return err_set(e, ST_INPUT, "--to: unknown export target '%s'; did you mean '%s'?", name, near);
    return err_set(e, ST_INPUT, "--to: unknown export target '%s'; there is: %s", name, list);
}

/* --- the schedule as Python ------------------------------------------------------------------------------------- */

static int64_t decay_tokens(const trainer_config *c)
{
    return c->schedule == SCHED_WSD ? llround(c->decay_fraction * (double)c->tokens) : c->tokens - c->warmup_tokens;
}

/* trainer/schedule.c in another language; the test trains with it. */
static void schedule_python(char *out, size_t size, const trainer_config *c)
{
    static const char *const falls[] = {[SHAPE_LINEAR] = "floor + (1 - floor) * (1 - x)",
                                        [SHAPE_1_SQRT] = "floor + (1 - floor) * (1 - sqrt(x))",
                                        [SHAPE_COSINE] = "floor + (1 - floor) * 0.5 * (1 + cos(pi * x))",
                                        [SHAPE_EXP] = "floor ** x"};
    char number[32];
    const decay_shape how = c->schedule == SCHED_COSINE   ? SHAPE_COSINE
                            : c->schedule == SCHED_LINEAR ? SHAPE_LINEAR
                                                          : c->decay_shape;
    const char *fall = c->schedule == SCHED_CONSTANT ? "1.0" : falls[how];
    snprintf(out, size,
             "from math import cos, pi, sqrt\n\n"
             "def schedule(step, batch=%" PRId64 ", tokens=%" PRId64 ", warmup=%" PRId64 ", decay=%" PRId64
             ", floor=%s):\n"
             "    before, after = (step - 1) * batch, step * batch  # tokens seen\n"
             "    if after < warmup:\n"
             "        return after / warmup\n"
             "    x = min(1.0, max(0.0, before - (tokens - decay)) / decay) if decay else 0.0\n"
             "    return %s\n",
             c->batch_tokens, c->tokens, c->warmup_tokens, decay_tokens(c), num_text(c->min_lr_ratio, number), fall);
}

/* --- what mup/export.c is asked ---------------------------------------------------------------------------------- */

static status fill(exported *x, err *e)
{
    const trainer_config *c = &x->config;
    const shape *s = &c->shape;
    mup_model model;
    x->n = shape_tensors(s, NULL, 0);
    x->shape = calloc(x->n, sizeof *x->shape);
    x->tensor = calloc(x->n, sizeof *x->tensor);
    x->kinds = calloc(x->n, sizeof *x->kinds);
    if (!x->shape || !x->tensor || !x->kinds) return err_set(e, ST_NOMEM, "no memory for %zu tensors", x->n);
    shape_tensors(s, x->shape, x->n);
    status st = config_hparams(c, x->tensor, &model, e);
    if (st) return st;
    for (size_t i = 0; i < x->n; i++) {
        const shape_tensor *t = &x->shape[i];
        if (t->layer > 0) continue; /* every block is the same */
        const char *kind = t->layer < 0 ? t->name : t->name + strlen("blocks.0.");
        x->kinds[x->n_kinds++] = (mup_export_tensor){kind, config_place(t), t->rows, t->cols, x->tensor[i]};
    }
    x->setup = config_mup(c);
    schedule_python(x->schedule, sizeof x->schedule, c);
    x->in = (mup_export_in){.setup = &x->setup,
                            .model = model,
                            .vocab = s->vocab,
                            .d_model = s->d_model,
                            .n_layer = s->n_layer,
                            .n_head = s->n_head,
                            .n_kv_head = s->n_kv_head,
                            .head_dim = s->head_dim,
                            .d_ff = s->d_ff,
                            .seq_len = s->seq_len,
                            .batch = c->batch_tokens / s->seq_len,
                            .steps = config_steps(c),
                            .warmup_steps = (c->warmup_tokens + c->batch_tokens - 1) / c->batch_tokens,
                            .qk_norm = s->qk_norm,
                            .norm_gain = s->norm_gain,
                            .rope_theta = s->rope_theta,
                            .norm_eps = MODEL_NORM_EPS,
                            .clip_norm = c->clip_norm,
                            .min_lr_ratio = c->min_lr_ratio,
                            .schedule = schedule_names[c->schedule],
                            .decay_shape = decay_shape_names[c->decay_shape],
                            .decay_steps = (decay_tokens(c) + c->batch_tokens - 1) / c->batch_tokens,
                            .schedule_code = x->schedule,
                            .tensors = x->kinds,
                            .n_tensors = x->n_kinds};
    if ((st = config_betas(c, &x->in.beta1, &x->in.beta2, e))) return st;
    return mup_export_make(&x->x, x->to, &x->in, e);
}

/* --- groups.json ------------------------------------------------------------------------------------------------- */

static json_t *sizes_json(const mup_size *s)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "width", s->width, "depth", s->depth, "head_dim", s->head_dim,
                     "d_ff", s->d_ff, "batch_tokens", s->batch, "tokens", s->tokens);
}

static json_t *group_json(const exported *x, const mup_export_group *g)
{
    json_t *parts = json_array();
    for (size_t i = 0; i < g->n_parts; i++)
        json_array_append_new(parts, json_pack("{s:s, s:I, s:f}", "tensor", g->parts[i].tensor, "rows",
                                               (json_int_t)g->parts[i].rows, "init_std", g->parts[i].init_std));
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:[I,I], s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:[f,f], s:f, s:f, s:b, s:s, s:o}",
        "match", g->match, "tensor", g->kind, "class", mup_role_name(g->role), "n_tensors", (json_int_t)g->count,
        "shape", (json_int_t)g->rows, (json_int_t)g->cols, "fan_in", g->fan_in, "multiplier", g->h.forward_mult,
        "init_std", g->h.init_std, "lr", g->h.lr, "lr_scale", g->h.lr_scale, "eps", g->h.eps, "weight_decay",
        g->decay_coupled, "weight_decay_independent", g->decay_coupled * g->h.lr, "betas", x->in.beta1, x->in.beta2,
        "gradient_theta", mup_theta(&g->h), "weight_scale", g->weight_scale, "frozen", (int)g->frozen, "layout",
        g->layout, "parts", parts);
}

static json_t *groups_json(const exported *x)
{
    const trainer_config *c = &x->config;
    const mup_model *f = &x->x.forward;
    const bool based = mup_rule_needs_base(x->setup.rule);
    json_t *groups = json_array();
    for (size_t i = 0; i < x->x.n_groups; i++) json_array_append_new(groups, group_json(x, &x->x.groups[i]));
    json_t *schedule =
        json_pack("{s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:s}", "name", x->in.schedule, "peak_lr", c->base.lr,
                  "steps", (json_int_t)x->in.steps, "batch_tokens", (json_int_t)c->batch_tokens, "tokens",
                  (json_int_t)c->tokens, "warmup_tokens", (json_int_t)c->warmup_tokens, "decay_tokens",
                  (json_int_t)decay_tokens(c), "min_lr_ratio", c->min_lr_ratio, "decay_shape", x->in.decay_shape);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:s, s:s, s:s, s:f, s:{s:f, s:f, s:f, s:f}, s:o, s:O, s:o}",
                     "schema", "muscale.mup-export/1", "to", mup_export_name(x->to), "parametrisation",
                     mup_rule_name(x->setup.rule), "source", mup_rule_source(x->setup.rule), "base",
                     based ? sizes_json(&x->setup.base_size) : json_null(), "target", sizes_json(&x->setup.size),
                     "n_params_total", (json_int_t)shape_count(&c->shape).n_params_total, "weight_decay_convention",
                     "adamw_coupled", "weight_decay_mode", x->setup.base.decay_independent ? "independent" : "coupled",
                     "eps_rule", mup_eps_words[x->setup.opt.eps], "clip_norm", c->clip_norm, "forward", "embedding",
                     f->embed_mult, "attention", f->attn_scale, "residual", f->residual_mult, "logits", f->logit_mult,
                     "schedule", schedule, "evidence", x->evidence, "groups", groups);
}

/* --- the target's config ----------------------------------------------------------------------------------------- */

static char *config_json(const mup_export *x)
{
    json_t *o = json_object();
    for (size_t i = 0; i < x->n_items; i++) {
        const mup_export_item *k = &x->items[i];
        json_t *v = k->type == MUP_EXPORT_TEXT   ? json_string(k->text)
                    : k->type == MUP_EXPORT_INT  ? json_integer((json_int_t)k->i)
                    : k->type == MUP_EXPORT_REAL ? json_real(k->x)
                                                 : json_boolean(k->i);
        if (!strcmp(k->key, "architectures")) v = json_pack("[o]", v);
        json_object_set_new(o, k->key, v);
    }
    char *text = json_dumps(o, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(o);
    return text;
}

static char *config_flags(const mup_export *x)
{
    char *text = NULL, number[32];
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return NULL;
    for (size_t i = 0; i < x->n_items; i++) {
        const mup_export_item *k = &x->items[i];
        fputs(k->key, f);
        if (k->type == MUP_EXPORT_TEXT) fprintf(f, " %s", k->text);
        else if (k->type == MUP_EXPORT_INT) fprintf(f, " %" PRId64, k->i);
        else if (k->type == MUP_EXPORT_REAL) fprintf(f, " %s", num_text(k->x, number));
        fputc('\n', f);
    }
    if (!fclose(f)) return text;
    free(text);
    return NULL;
}

static char *config_text_of(const exported *x)
{
    const char *file = mup_export_file(x->to);
    if (!strcmp(file, "config.yaml")) return config_yaml(&x->config);
    return strstr(file, ".json") ? config_json(&x->x) : config_flags(&x->x);
}

static status publish(const char *dir, const char *name, char *text, const cli_list *inputs, bool dry, err *e)
{
    char path[IO_PATH_MAX];
    if (!text) return err_set(e, ST_NOMEM, "no memory for %s", name);
    status s = io_join(path, dir, name, e);
    if (!s) s = cli_check_output(path, inputs, e);
    if (!s && !dry) s = io_publish(path, text, strlen(text), e);
    return s;
}

/* One directory, one target: a config.json beside another target's groups.json would be believed. */
static status check_dir(const exported *x, const char *dir, err *e)
{
    char path[IO_PATH_MAX];
    status s = io_join(path, dir, "groups.json", e);
    json_t *old = s ? NULL : json_load_file(path, 0, NULL);
    const char *to = json_string_value(json_object_get(old, "to"));
    if (to && strcmp(to, mup_export_name(x->to)) != 0)
        s = err_set(e, ST_INPUT, "%s: holds an export to %.20s; take another directory", dir, to);
    json_decref(old);
    return s;
}

/* Nothing is written before all three texts exist and none would replace an input. */
static status write_all(const exported *x, const json_t *groups, const char *dir, const cli_list *inputs, err *e)
{
    const char *const names[] = {mup_export_file(x->to), "groups.json", "NOT_CARRIED.md"};
    char *texts[] = {config_text_of(x), json_dumps(groups, JSON_INDENT(2) | JSON_REAL_PRECISION(17)),
                     mup_export_not_carried(&x->x, &x->in)};
    status s = check_dir(x, dir, e);
    for (size_t i = 0; i < 3 && !s; i++) s = publish(dir, names[i], texts[i], inputs, true, e);
    if (!s) s = io_mkdirs(dir, e);
    for (size_t i = 0; i < 3 && !s; i++) s = publish(dir, names[i], texts[i], inputs, false, e);
    for (size_t i = 0; i < 3; i++) free(texts[i]);
    return s;
}

typedef struct options {
    const char *target, *to, *base, *out;
    mup_evidence_files evidence;
} options;

static status check_options(const options *o, err *e)
{
    if (!o->to)
        return err_set(e, ST_USAGE,
                       "mup export: --to is missing: torch-json, hf-granite, hf-minicpm, megatron or muscale");
    return o->out ? ST_OK : err_set(e, ST_USAGE, "mup export: -o DIR is missing");
}

static status load(exported *x, const cli_list *words, const options *o, err *e)
{
    trainer_config small;
    status s = find_target(&x->to, o->to, e);
    if (!s) s = cli_read_config(&small, words, "mup export", e);
    if (s) return s;
    s = mup_export_target_of(&x->config, &small, o->target, o->base, &x->note, e);
    if (!s) s = fill(x, e);
    if (s) return err_prefix(e, "%s", words->items[0]);
    return mup_evidence(&x->evidence, x->doubt, &o->evidence, &x->config, e);
}

static int done(const cli *c, const exported *x, json_t *groups, const char *dir)
{
    const shape *s = &x->config.shape;
    if (*x->config.note) cli_note(c, "%s", x->config.note);
    if (*x->note.text) cli_note(c, "%s", x->note.text);
    if (*x->doubt) cli_warn(c, "%s", x->doubt);
    if (c->json) return cli_json_out(groups);
    printf("%s: d_model %" PRId64 ", n_layer %" PRId64 ", %" PRId64 " parameters, parametrisation %s\n",
           mup_export_name(x->to), s->d_model, s->n_layer, shape_count(s).n_params_total, x->config.parametrisation);
    printf("%s/%s, %s/groups.json (%zu groups), %s/NOT_CARRIED.md (what needs code)\n", dir, mup_export_file(x->to),
           dir, x->x.n_groups, dir);
    json_decref(groups);
    return 0;
}

int mup_export_cmd(cli *c, int argc, char **argv)
{
    options o = {0};
    const cli_opt opts[] = {
        {"target", 0, OPT_TEXT, &o.target, "N=...|width=W,depth=L,...", "the large model; without: CONFIG as it is"},
        {"to", 0, OPT_TEXT, &o.to, "TARGET", "torch-json, hf-granite, hf-minicpm, megatron, muscale"},
        {"base", 0, OPT_TEXT, &o.base, "BASE.yaml",
         "the tuned model; without: CONFIG's base_* keys, else CONFIG itself"},
        {"check", 0, OPT_TEXT, &o.evidence.check, "FILE",
         "JSON of `mup check` on CONFIG: what it found goes into groups.json as evidence"},
        {"transfer", 0, OPT_TEXT, &o.evidence.transfer, "FILE",
         "report of `mup transfer`, likewise: optima, drift, how far lr lies from them"},
        {NULL, 'o', OPT_TEXT, &o.out, "DIR", "where the three files go"}};
    cli_list words = {0};
    exported x = {0};
    err e = {0};
    int rc = 0;
    status s = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &words, &e);
    if (!c->show_help || s) {
        json_t *groups = NULL;
        if (!s) s = check_options(&o, &e);
        if (!s) s = load(&x, &words, &o, &e);
        if (!s && !(groups = groups_json(&x))) s = err_set(&e, ST_NOMEM, "no memory");
        if (!s) s = write_all(&x, groups, o.out, &words, &e);
        if (s) json_decref(groups);
        rc = s ? cli_usage(c, "mup", &e) : done(c, &x, groups, o.out);
    }
    export_free(&x);
    free(words.items);
    return rc;
}
