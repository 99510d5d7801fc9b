/* muscale mup table: what a parametrisation makes of a config, tensor by tensor, and why. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cli/config_args.h"
#include "mup/mup.h"

typedef struct mup_view {
    trainer_config config;
    const mup_rule *rule;
    size_t n;
    shape_tensor *shape;
    mup_tensor *tensor;
    mup_model model;
} mup_view;

static void view_free(mup_view *v)
{
    free(v->shape);
    free(v->tensor);
}

static status view_load(mup_view *v, const cli_list *words, err *e)
{
    status s = cli_load_config(&v->config, words, "mup table", e);
    if (s) return s;
    v->rule = mup_rule_find(v->config.parametrisation);
    v->n = shape_tensors(&v->config.shape, NULL, 0);
    v->shape = calloc(v->n, sizeof *v->shape);
    v->tensor = calloc(v->n, sizeof *v->tensor);
    if (!v->shape || !v->tensor) return err_set(e, ST_NOMEM, "no memory for %zu tensors", v->n);
    shape_tensors(&v->config.shape, v->shape, v->n);
    return config_hparams(&v->config, v->tensor, &v->model, e);
}

static double ratio(int64_t x, int64_t base) { return base ? (double)x / (double)base : 1; }

/* --- JSON: every tensor
 * ------------------------------------------------------------------------------------------------ */

static json_t *tensor_json(const mup_view *v, size_t i, bool independent)
{
    char why[128];
    const shape_tensor *s = &v->shape[i];
    const mup_tensor *t = &v->tensor[i];
    mup_factor_text(why, sizeof why, v->rule, s->role, independent);
    return json_pack("{s:s, s:[I,I], s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:s}", "tensor", s->name, "shape",
                     (json_int_t)s->rows, (json_int_t)s->cols, "role", mup_role_name(s->role), "fan_in",
                     (json_int_t)s->fan_in, "init_std", t->init_std, "multiplier", t->forward_mult, "lr", t->lr,
                     "lr_scale", t->lr_scale, "eps", t->eps, "weight_decay", t->weight_decay, "factors", why);
}

static int print_json(const mup_view *v)
{
    const trainer_config *c = &v->config;
    const bool independent = c->decay == DECAY_INDEPENDENT;
    json_t *rows = json_array();
    for (size_t i = 0; i < v->n; i++) json_array_append_new(rows, tensor_json(v, i, independent));
    return cli_json_out(
        json_pack("{s:s, s:s, s:s, s:{s:I, s:I, s:I}, s:{s:f, s:f, s:f}, s:{s:f, s:f, s:f, s:f}, s:s, s:o}", "schema",
                  "muscale.mup-table/1", "parametrisation", mup_rule_name(v->rule), "source", mup_rule_source(v->rule),
                  "base", "width", (json_int_t)c->base_width, "depth", (json_int_t)c->base_depth, "head_dim",
                  (json_int_t)c->base_head_dim, "ratios", "width", ratio(c->shape.d_model, c->base_width), "depth",
                  ratio(c->shape.n_layer, c->base_depth), "head_dim", ratio(c->shape.head_dim, c->base_head_dim),
                  "model", "embed_mult", v->model.embed_mult, "attn_scale", v->model.attn_scale, "residual_mult",
                  v->model.residual_mult, "logit_mult", v->model.logit_mult, "weight_decay_mode",
                  independent ? "independent" : "coupled", "tensors", rows));
}

/* --- text: equal blocks as one row
 * ------------------------------------------------------------------------------------- */

static void print_row(const mup_view *v, size_t i, bool independent)
{
    const shape_tensor *s = &v->shape[i];
    const mup_tensor *t = &v->tensor[i];
    char name[80], size[48], why[128], x[6][32];
    const char *tail = s->layer < 0 ? NULL : strchr(s->name + strlen("blocks."), '.');
    if (tail && v->config.shape.n_layer > 1)
        snprintf(name, sizeof name, "blocks.0-%" PRId64 "%.32s", v->config.shape.n_layer - 1, tail);
    else snprintf(name, sizeof name, "%s", s->name);
    snprintf(size, sizeof size, "%" PRId64 "x%" PRId64, s->rows, s->cols);
    const double numbers[6] = {t->init_std, t->forward_mult, t->lr, t->eps, t->weight_decay, (double)s->fan_in};
    for (int k = 0; k < 6; k++) snprintf(x[k], sizeof x[k], "%.4g", numbers[k]);
    mup_factor_text(why, sizeof why, v->rule, s->role, independent);
    printf("%-20s %-12s %-9s %7s %9s %10s %10s %9s %9s  %s\n", name, size, mup_role_name(s->role), x[5], x[0], x[1],
           x[2], x[3], x[4], why);
}

static int print_text(const mup_view *v)
{
    const trainer_config *c = &v->config;
    const bool independent = c->decay == DECAY_INDEPENDENT;
    printf("parametrisation %s: %s\n", mup_rule_name(v->rule), mup_rule_source(v->rule));
    printf("width %" PRId64, c->shape.d_model);
    if (c->base_width)
        printf(", base width %" PRId64 ": m = %g", c->base_width, ratio(c->shape.d_model, c->base_width));
    if (c->base_depth)
        printf("; depth %" PRId64 ", base depth %" PRId64 ": m_L = %g", c->shape.n_layer, c->base_depth,
               ratio(c->shape.n_layer, c->base_depth));
    printf("\nembedding x %.6g, attention logits x %.6g, residual branches x %.6g, logits x %.6g; weight decay %s\n\n",
           v->model.embed_mult, v->model.attn_scale, v->model.residual_mult, v->model.logit_mult,
           independent ? "independent of lr" : "coupled to lr");
    printf("%-20s %-12s %-9s %7s %9s %10s %10s %9s %9s  %s\n", "tensor", "shape", "role", "fan_in", "init std",
           "multiplier", "lr", "eps", "decay", "factors on the base values");
    for (size_t i = 0; i < v->n; i++)
        if (v->shape[i].layer <= 0) print_row(v, i, independent);
    return 0;
}

static int table(cli *c, int argc, char **argv)
{
    cli_list words = {0};
    mup_view v = {0};
    err e = {0};
    int rc = 0;
    status s = cli_parse(c, NULL, 0, argc, argv, &words, &e);
    if (!c->show_help || s) {
        if (!s) s = view_load(&v, &words, &e);
        if (!s && *v.config.note) cli_note(c, "%s", v.config.note);
        rc = s ? cli_usage(c, "mup", &e) : c->json ? print_json(&v) : print_text(&v);
    }
    view_free(&v);
    free(words.items);
    return rc;
}

int cmd_mup(cli *c, int argc, char **argv)
{
    static const char *const names[] = {"table"};
    err e = {0};
    if (argc > 1 && !strcmp(argv[1], "table")) return table(c, argc - 1, argv + 1);
    if (c->show_help || (argc > 1 && !strcmp(argv[1], "--help"))) return 0;
    if (argc < 2) err_set(&e, ST_USAGE, "mup: an action is missing: table");
    else if (num_nearest_word(argv[1], names, 1))
        err_set(&e, ST_USAGE, "mup: unknown action '%s'; did you mean 'table'?", argv[1]);
    else err_set(&e, ST_USAGE, "mup: unknown action '%s'; there is: table", argv[1]);
    return cli_usage(c, "mup", &e);
}
