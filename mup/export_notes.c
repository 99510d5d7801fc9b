/* NOT_CARRIED.md: every rule that a target's config has no key for, and the code that does it. A section is written
 * only where there is something to do. */
#include "mup/export_target.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

typedef struct page {
    FILE *f;
    const mup_export *x;
    const mup_export_in *in;
    int sections;
} page;

static void section(page *p, const char *title)
{
    p->sections++;
    fprintf(p->f, "\n## %d. %s\n\n", p->sections, title);
}

static bool is(const page *p, const char *target) { return !strcmp(p->x->target->name, target); }

static void groups_section(page *p)
{
    section(p, "Learning rate, epsilon and weight decay of each tensor");
    fputs(
        "One optimiser group per entry of groups.json; examples/mup_groups.py makes them and checks that every "
        "parameter "
        "matches exactly one. `weight_decay` is coupled, as PyTorch's AdamW takes it (p *= 1 - lr * weight_decay); the "
        "independent decay of a config stands in it divided by lr.\n\n"
        "```python\n"
        "import torch\n"
        "from mup_groups import param_groups\n\n"
        "def optimizer(model, path=\"groups.json\"):\n"
        "    return torch.optim.AdamW(param_groups(model, path))\n"
        "```\n",
        p->f);
}

static void init_section(page *p)
{
    section(p, "Initial weights");
    fputs("Normal with `init_std` of the group; gains start at 1. No config says a std per tensor.\n\n"
          "```python\n"
          "import json, re, torch\n\n"
          "@torch.no_grad()\n"
          "def initial(model, path=\"groups.json\"):\n"
          "    groups = json.load(open(path))[\"groups\"]\n"
          "    for name, p in model.named_parameters():\n"
          "        g = next(g for g in groups if re.match(g[\"match\"], name))\n"
          "        if g[\"class\"] == \"gain\":\n"
          "            p.fill_(1)\n"
          "        else:\n"
          "            p.normal_(0, g[\"init_std\"]) if g[\"init_std\"] > 0 else p.zero_()\n"
          "```\n",
          p->f);
    for (size_t i = 0; i < p->x->n_groups; i++) {
        const mup_export_group *g = &p->x->groups[i];
        for (size_t k = 0; k < g->n_parts; k++)
            if (g->parts[k].init_std != g->h.init_std)
                fprintf(p->f, "\nOf `%s` the rows of `%s` start with std %.9g (%s).\n", g->kind, g->parts[k].tensor,
                        g->parts[k].init_std, g->layout);
    }
}

static void frozen_section(page *p)
{
    bool any = false;
    for (size_t i = 0; i < p->x->n_groups; i++) any |= p->x->groups[i].frozen;
    if (!any) return;
    section(p, "Gains frozen at 1");
    fputs("The tuned model's norms have no gains (gains hurt transfer); the target's always have. Kept at 1 they do "
          "nothing; examples/mup_groups.py leaves the groups marked `frozen` out of the optimiser and turns their "
          "gradients off.\n\n"
          "```python\n"
          "import json, re\n\n"
          "def freeze(model, path=\"groups.json\"):\n"
          "    frozen = [g[\"match\"] for g in json.load(open(path))[\"groups\"] if g[\"frozen\"]]\n"
          "    for name, p in model.named_parameters():\n"
          "        if any(re.match(m, name) for m in frozen):\n"
          "            p.data.fill_(1)\n"
          "            p.requires_grad_(False)\n"
          "```\n",
          p->f);
}

static void schedule_section(page *p)
{
    section(p, "Schedule");
    fputs("The learning rate of a group at step t = 1, 2, ... is its `lr` times schedule(t). Write it so each step: a "
          "scheduler that writes one number into every group undoes the rule.\n\n```python\n",
          p->f);
    fputs(p->in->schedule_code, p->f);
    fputs("\ndef set_lr(optimizer, step):\n"
          "    for g in optimizer.param_groups:\n"
          "        g[\"lr\"] = g[\"peak_lr\"] * schedule(step)\n"
          "```\n",
          p->f);
}

static void clip_section(page *p)
{
    char bound[32];
    if (!mup_export_scaled(p->x) || p->in->clip_norm == 0) return;
    section(p, "Gradient clipping");
    fprintf(p->f,
            "The bound is on the norm over g / `gradient_theta`: a tensor in another form has a gradient that many "
            "times larger and must not weigh more. Call it before the step, %s.\n\n"
            "```python\n"
            "import json, re, torch\n\n"
            "@torch.no_grad()\n"
            "def clip(model, bound=%s, path=\"groups.json\"):\n"
            "    groups = json.load(open(path))[\"groups\"]\n"
            "    grads = [(p.%s, g[\"gradient_theta\"]) for name, p in model.named_parameters() for g in groups\n"
            "             if p.requires_grad and re.match(g[\"match\"], name)]\n"
            "    norm = sum(float((d / theta).double().pow(2).sum()) for d, theta in grads) ** 0.5\n"
            "    for d, _ in grads:\n"
            "        d.mul_(min(1.0, bound / norm))\n"
            "    return norm\n"
            "```\n",
            is(p, "megatron")
                ? "with --clip-grad 0 (as in megatron.args); where tensors are sharded, add the squares over ranks"
                : "instead of clip_grad_norm_",
            num_text(p->in->clip_norm, bound), is(p, "megatron") ? "main_grad" : "grad");
}

static void fold_section(page *p)
{
    char number[32];
    bool any = false;
    for (size_t i = 0; i < p->x->n_groups; i++) any |= fabs(p->x->groups[i].weight_scale - 1) > 1e-12;
    if (!any) return;
    section(p, "Multipliers folded into tensors");
    fputs("The target has no place for these; std, lr and decay of the groups contain them already (the same steps: "
          "doc/mup.md, "
          "section 2). Only weights that were trained by muscale must be multiplied when they are copied:\n\n",
          p->f);
    for (size_t i = 0; i < p->x->n_groups; i++)
        if (fabs(p->x->groups[i].weight_scale - 1) > 1e-12)
            fprintf(p->f, "- `%s`: x %s\n", p->x->groups[i].kind, num_text(p->x->groups[i].weight_scale, number));
}

/* Names as Megatron's overrides match them (fnmatch). A norm's gain has two: with Transformer Engine it belongs to the
 * matrix behind it. */
static const char *const megatron_patterns[][2] = {
    {"embed", "*word_embeddings.weight"},      {"head", "*output_layer.weight"},
    {"attn.qkv", "*linear_qkv.weight"},        {"attn.out", "*linear_proj.weight"},
    {"ffn.fc1", "*linear_fc1.weight"},         {"ffn.out", "*linear_fc2.weight"},
    {"attn.norm", "*input_layernorm.weight"},  {"attn.norm", "*linear_qkv.layer_norm_weight"},
    {"ffn.norm", "*pre_mlp_layernorm.weight"}, {"ffn.norm", "*linear_fc1.layer_norm_weight"},
    {"final.norm", "*final_layernorm.weight"}};

/* What differs from what Megatron's flags make of such a tensor; wd: of --weight-decay. */
static void megatron_override(page *p, const mup_export_group *g, const char *pattern, double wd)
{
    const mup_export_in *in = p->in;
    const mup_base *base = &in->setup->base;
    const double by = g->role == MUP_HIDDEN && p->x->own_rule ? mup_export_width_ratio(in) : 1;
    const double lowest = strcmp(in->schedule, "constant") ? in->min_lr_ratio : 1;
    char a[32], b[32];
    fprintf(p->f, "    ParamKey(name=\"%s\"): ParamGroupOverride(", pattern);
    if (fabs(g->h.lr * by / base->lr - 1) > 1e-12)
        fprintf(p->f, "max_lr=%s, min_lr=%s, ", num_text(g->h.lr, a), num_text(g->h.lr * lowest, b));
    if (fabs(g->h.eps * by / base->eps - 1) > 1e-12) fprintf(p->f, "eps=%s, ", num_text(g->h.eps, a));
    fprintf(p->f, "wd_mult=%s),\n", num_text(wd > 0 ? g->decay_coupled / wd : 1, a));
}

static void megatron_section(page *p)
{
    const double wd = mup_export_hidden(p->x)->decay_coupled;
    section(p, "Overrides per tensor: learning rate, epsilon, weight decay");
    fputs(
        p->x->own_rule
            ? "`--use-mup` divides lr and eps of hidden matrices by m itself: do not pass it numbers that were divided "
              "before. The rest, weight decay above all, has no flag:\n\n"
            : "Megatron's own rule (hidden lr, eps divided by m) is not this one: `--mup-base-hidden-size` is the "
              "model's own size, so that it overrides nothing, and everything is said here:\n\n",
        p->f);
    fputs("```python\n"
          "from megatron.core.optimizer.optimizer_config import ParamKey\n"
          "from megatron.core.optimizer_param_scheduler import ParamGroupOverride\n\n"
          "OVERRIDES = {\n",
          p->f);
    for (size_t i = 0; i < p->x->n_groups; i++)
        for (size_t k = 0; k < sizeof megatron_patterns / sizeof *megatron_patterns; k++)
            if (!p->x->groups[i].frozen && !strcmp(megatron_patterns[k][0], p->x->groups[i].kind))
                megatron_override(p, &p->x->groups[i], megatron_patterns[k][1], wd);
    fputs(
        "}  # config_overrides of the optimiser, merged with Megatron's own\n```\n\n"
        "Do not give `--decoupled-lr` beside them: its key is another one for the same tensors, and two values for one "
        "field are an error.\n",
        p->f);
    section(p, "Schedule");
    fputs("Megatron's flags make the same curve in its own counting of steps, which may be one step apart. The tuned "
          "one:\n\n```python\n",
          p->f);
    fputs(p->in->schedule_code, p->f);
    fputs("```\n", p->f);
}

char *mup_export_not_carried(const mup_export *x, const mup_export_in *in)
{
    char *text = NULL;
    size_t n = 0;
    page p = {open_memstream(&text, &n), x, in, 0};
    if (!p.f) return NULL;
    fprintf(p.f,
            "# What %s does not carry\n\n%s of parametrisation %s (%s). Each section is a rule that the file cannot "
            "say, with the "
            "code that does it. The multipliers of the forward pass are in the file, or folded.\n",
            x->target->file, x->target->name, mup_rule_name(in->setup->rule), mup_rule_source(in->setup->rule));
    if (is(&p, "muscale")) fputs("\nNothing: `muscale train config.yaml` reads every rule.\n", p.f);
    else {
        if (is(&p, "torch-json")) {
            section(&p, "The forward pass");
            fputs("model.json is a description, not a class: doc/model.md has the equations, "
                  "with a_E `embedding_multiplier`, a_A `attention_multiplier`, a_R `residual_multiplier`, a_L "
                  "`logits_multiplier`, and every c_W folded. Parameters must be called as groups.json matches them.\n",
                  p.f);
        }
        if (is(&p, "megatron")) megatron_section(&p);
        else groups_section(&p);
        init_section(&p);
        frozen_section(&p);
        if (!is(&p, "megatron")) schedule_section(&p);
        clip_section(&p);
        fold_section(&p);
    }
    if (fclose(p.f)) {
        free(text);
        return NULL;
    }
    return text;
}
