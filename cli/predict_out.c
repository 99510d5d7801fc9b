/* muscale.predict/1 and the screen. A number that no law determines is null, and `why` says what is missing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/config_json.h"
#include "cli/predict.h"
#include "config.h"

/* --- what is said about each quantity ------------------------------------------------------------ */

static const predict_result *shown(const prediction *p) { return p->has_best ? &p->best : &p->run; }

static const char *why_epochs(const prediction *p)
{
    return isnan(p->in.unique_tokens) ? "no --unique-tokens was given" : "needs D";
}
static const char *why_batch(const prediction *p)
{
    return p->has_target ? "no batch law was given; the config's value is under target.config" : "no batch law and no --config was given";
}
/* More passes than one are only worth what a law of repetition says. */
bool predict_knows_repetition(const prediction *p)
{
    for (size_t c = 0; p->loss && c < p->loss->loss.law->n_cols; c++)
        if (!strcmp(p->loss->loss.law->cols[c], "U")) return true;
    return false;
}
static const char *from_epochs(const prediction *p, double epochs)
{
    return predict_knows_repetition(p) ? "D/U; repeated tokens count as the law says"
           : epochs > 1        ? "D/U; the law counts repeated tokens as new ones: fit --law data-constrained"
                               : "D/U";
}
static const char *why_shape(const prediction *p)
{
    return p->in.config ? "the law gives no N" : "needs --config: the base config's depth and head_dim decide it";
}
static const char *why_loss(const prediction *p)
{
    return p->loss ? "not determined by the law" : "no loss law was given (muscale fit --law chinchilla)";
}

/* --- JSON ---------------------------------------------------------------------------------------- */

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }
static json_t *interval(predict_interval i) /* an end the data do not bound is null; both: no interval */
{
    if (isnan(i.lo) && isnan(i.hi)) return json_null();
    return json_pack("[o,o]", number(i.lo), number(i.hi));
}

/* Share of a weight lost per step at the peak of the schedule, in either convention of decay. */
static double decay_per_step(const prediction *p, const mup_tensor *h)
{
    return p->target.decay == DECAY_INDEPENDENT ? h->weight_decay : h->weight_decay * h->lr;
}

static json_t *tensors_json(const prediction *p)
{
    if (!p->n_tensors) return json_null();
    json_t *all = json_array();
    for (size_t i = 0; i < p->n_tensors && all; i++) {
        const shape_tensor *t = &p->tensors[i];
        const mup_tensor *h = &p->hparams[i];
        json_array_append_new(all, json_pack("{s:s,s:s,s:[I,I],s:o,s:o,s:o,s:o,s:o,s:o}", "name", t->name, "role", mup_role_name(t->role),
            "shape", (json_int_t)t->rows, (json_int_t)t->cols, "init_std", number(h->init_std), "multiplier", number(h->forward_mult),
            "lr", number(h->lr), "eps", number(h->eps), "weight_decay", number(h->weight_decay), "weight_decay_independent",
            number(decay_per_step(p, h))));
    }
    return all;
}

/* Puts value or null; with null also the reason. */
static void put(json_t *optimum, json_t *why, const char *key, json_t *value, const char *reason)
{
    json_object_set_new(optimum, key, value);
    if (json_is_null(value)) json_object_set_new(why, key, json_string(reason));
}

static json_t *optimum_json(const prediction *p, json_t *why)
{
    const predict_point *a = &shown(p)->at;
    bool t = p->has_target;
    json_t *o = json_object();
    put(o, why, "N", number(p->loss || t ? (p->loss ? a->n : p->target_n) : NAN), "the power law gives no N");
    put(o, why, "D", number(p->loss || t ? (p->loss ? a->d : p->target_d) : NAN), "the power law gives no D");
    put(o, why, "C", number(p->loss || t ? (p->loss ? a->c : p->target_c) : NAN), "the power law gives no C");
    put(o, why, "tokens_per_param", number(p->loss ? a->tokens_per_param : p->target_d / p->target_n), "needs N and D");
    put(o, why, "epochs", number(p->loss ? a->epochs : NAN), why_epochs(p));
    put(o, why, "loss", number(p->loss ? a->loss : NAN), why_loss(p));
    put(o, why, "lr", number(p->rate.known ? p->rate.lr : NAN), p->rate.why);
    put(o, why, "batch_tokens", number(p->batch), why_batch(p));
    put(o, why, "width", t ? json_integer(p->target.shape.d_model) : json_null(), why_shape(p));
    put(o, why, "depth", t ? json_integer(p->target.shape.n_layer) : json_null(), why_shape(p));
    put(o, why, "tensors", tensors_json(p), why_shape(p));
    return o;
}

static json_t *target_json(const prediction *p)
{
    if (!p->has_target) return json_null();
    const predict_result *r = &p->run;
    char *canonical = config_canonical(&p->target);
    predict_interval none = {NAN, NAN};
    json_t *t = json_pack("{s:s,s:o,s:o,s:o,s:o,s:{s:o},s:{s:o},s:o,s:o,s:s,s:o,s:s}", "config_id", p->target_id,
        "N", number(p->target_n), "D", number(p->target_d), "C", number(p->target_c), "loss", number(p->loss ? r->at.loss : NAN),
        "ci95", "loss", interval(p->loss ? r->ci_loss : none), "pi95", "loss", interval(p->loss ? r->pi_loss : none),
        "lr", number(p->target.base.lr), "batch_tokens", json_integer(p->target.batch_tokens), "lr_from", p->tensors_lr_predicted ? "law" : "config",
        "config", cli_config_json(&p->target), "canonical", canonical ? canonical : "");
    free(canonical);
    return t;
}

static json_t *given_json(const prediction *p)
{
    json_t *g = json_object();
    const predict_ask *a = &p->in.ask;
    if (!isnan(a->c)) json_object_set_new(g, "flops", number(a->c));
    if (!isnan(a->n)) json_object_set_new(g, "params", number(a->n));
    if (!isnan(a->d)) json_object_set_new(g, "tokens", number(a->d));
    if (!isnan(a->loss)) json_object_set_new(g, "loss", number(a->loss));
    if (!isnan(p->in.unique_tokens)) json_object_set_new(g, "unique_tokens", number(p->in.unique_tokens));
    if (!isnan(a->serve)) json_object_set_new(g, "serve_tokens", number(a->serve));
    for (size_t i = 0; i < p->in.at.n; i++) {
        if (!i) json_object_set_new(g, "at", json_array());
        json_array_append_new(json_object_get(g, "at"), json_string(p->in.at.items[i]));
    }
    if (p->in.config) json_object_set_new(g, "config", json_string(p->in.config));
    for (size_t i = 0; i < p->in.n_overrides; i++) {
        if (!i) json_object_set_new(g, "overrides", json_array());
        json_array_append_new(json_object_get(g, "overrides"), json_string(p->in.overrides[i]));
    }
    return g;
}

static json_t *fits_json(const prediction *p)
{
    json_t *all = json_array();
    for (size_t i = 0; i < p->n_fits && all; i++) {
        const predict_fit *f = &p->fits[i];
        json_t *o = json_pack("{s:s,s:s,s:s,s:b}", "path", f->path, "sha256", f->sha256, "law", f->law, "used", f == p->loss || f == p->lr || f == p->lr_law || f == p->batch_law);
        if (!f->is_lr && !strcmp(f->target, "loss") && f != p->loss && p->has_target) /* a second opinion on the same run */
            json_object_set_new(o, "loss", number(predict_law_loss(&f->loss, f->loss.theta, p->target_n, p->target_d, p->target_c)));
        json_array_append_new(all, o);
    }
    return all;
}

json_t *prediction_json(const prediction *p, const cli *c)
{
    const predict_result *r = shown(p);
    predict_interval none = {NAN, NAN};
    json_t *why = json_object(), *optimum = optimum_json(p, why), *argv = json_array();
    for (int i = 0; i < c->argc0; i++) json_array_append_new(argv, json_string(c->argv0[i]));
    json_t *j = json_pack("{s:s,s:o,s:o,s:o}", "schema", "muscale.predict/1", "given", given_json(p), "optimum", optimum, "why", why);
    json_object_set_new(j, "ci95", json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "N", interval(p->loss ? r->ci_n : none), "D", interval(p->loss ? r->ci_d : none),
        "C", interval(p->loss ? r->ci_c : none), "tokens_per_param", interval(p->loss ? r->ci_tokens_per_param : none),
        "loss", interval(p->loss ? r->ci_loss : none), "lr", interval(p->rate.ci),
        "epochs", interval(p->loss ? r->ci_epochs : none), "batch_tokens", interval(p->ci_batch)));
    if (!isnan(p->in.ask.serve))
        json_object_set_new(j, "serving", json_pack("{s:o,s:o,s:o,s:o}", "tokens", number(p->in.ask.serve), "flops_total", number(r->at.total),
            "saving", number(1 - r->at.total / r->at.plain_total), "saving_ci95", interval(r->ci_saving)));
    json_object_set_new(j, "pi95", json_pack("{s:o}", "loss", interval(p->loss ? r->pi_loss : none)));
    json_object_set_new(j, "noise_sd_ln_loss", number(p->loss ? r->noise_sd : NAN));
    json_object_set_new(j, "extrapolation_decades", number(p->loss ? r->extrapolation_decades : NAN));
    json_object_set_new(j, "extrapolation", json_pack("{s:o,s:o,s:o}", "N", number(p->loss ? r->decades[PREDICT_N] : NAN),
        "D", number(p->loss ? r->decades[PREDICT_D] : NAN), "C", number(p->loss ? r->decades[PREDICT_C] : NAN)));
    json_object_set_new(j, "count_rule", p->loss ? json_string(p->loss->count_rule) : json_null());
    json_object_set_new(j, "flops_rule", p->loss ? json_string(p->loss->flops_rule) : json_null());
    json_object_set_new(j, "cost", p->loss ? json_string(p->cost_from) : json_null());
    json_object_set_new(j, "target", target_json(p));
    json_object_set_new(j, "fits", fits_json(p));
    json_object_set_new(j, "naive", json_pack("{s:o}", "loss", number(p->loss ? p->loss->loss.lowest_loss : NAN)));
    json_object_set_new(j, "trust", json_pack("{s:s,s:O}", "verdict", p->verdict, "reasons", p->reasons));
    json_object_set_new(j, "forced", json_boolean(p->forced));
    json_object_set(j, "notes", p->notes);
    json_object_set_new(j, "provenance", json_pack("{s:o,s:s,s:I}", "argv", argv, "version", PACKAGE_VERSION, "seed", (json_int_t)p->in.seed));
    return j;
}

/* --- screen -------------------------------------------------------------------------------------- */

typedef enum style { GENERAL, LOSS, WHOLE } style; /* 4 significant digits; 4 decimals; none */

static const char *show(char *out, size_t room, double x, style how)
{
    if (isnan(x)) snprintf(out, room, "-");
    else if (isinf(x)) snprintf(out, room, "unbounded");
    else if (how == GENERAL) snprintf(out, room, "%.4g", x);
    else snprintf(out, room, "%.*f", how == LOSS ? 4 : 0, x);
    return out;
}

static void row(const char *label, double x, style how, predict_interval ci, const char *from)
{
    char value[32], lo[32], hi[32], range[72] = "";
    show(value, sizeof value, x, how);
    if (!isnan(ci.lo) || !isnan(ci.hi))
        snprintf(range, sizeof range, "[%s, %s]", show(lo, sizeof lo, ci.lo, how), show(hi, sizeof hi, ci.hi, how));
    printf("  %-18s %11s  %-24s %s\n", label, value, range, from);
}

static void print_source(const prediction *p)
{
    const predict_fit *f = p->loss;
    if (f) printf("loss law       %s: %s, %zu points, N by rule %s, %s\n", f->path, f->law, f->loss.n_points, f->count_rule, p->cost_from);
    if (p->lr) printf("learning rate  %s\n", p->lr->path);
    if (p->lr_law) printf("learning rate  %s: %s\n", p->lr_law->path, p->lr_law->loss.law->formula);
    if (p->batch_law) printf("batch          %s: %s\n", p->batch_law->path, p->batch_law->loss.law->formula);
    if (p->in.config) printf("config         %s%s\n", p->in.config, p->exact_run ? " (this run)" : " (depth and head_dim kept, width solved)");
}

static void print_rate(const prediction *p)
{
    char from[2 * PREDICT_WHY];
    const predict_lr_law *t = NULL;
    for (size_t i = 0; p->lr && p->rate.known && i < p->lr->lr.n; i++)
        if (!strcmp(p->lr->lr.laws[i].parametrisation, p->target.parametrisation)) t = &p->lr->lr.laws[i];
    if (!t) snprintf(from, sizeof from, "%s", p->rate.why);
    else if (isnan(t->ci_p[0])) snprintf(from, sizeof from, "%s, %zu widths, drift %+.2f octaves per doubling; %s", t->parametrisation, t->n_groups, t->p, t->why);
    else snprintf(from, sizeof from, "%s, %zu widths, drift %+.2f [%+.2f, %+.2f] octaves per doubling", t->parametrisation, t->n_groups, t->p, t->ci_p[0], t->ci_p[1]);
    row("learning rate", p->rate.known ? p->rate.lr : NAN, GENERAL, p->rate.ci, from);
}

static void print_answer(const prediction *p)
{
    const predict_result *r = shown(p);
    predict_interval none = {NAN, NAN};
    const char *solved = p->has_best ? "solved" : "from the config";
    printf("\n  %-18s %11s  %-24s %s\n", "", "value", "95 % interval", "from");
    if (p->loss) {
        const predict_ask *a = &p->in.ask;
        row("parameters N", r->at.n, GENERAL, r->ci_n, !isnan(a->n) ? "given" : solved);
        row("tokens D", r->at.d, GENERAL, r->ci_d, !isnan(a->d) ? "given" : solved);
        row("FLOPs C", r->at.c, GENERAL, r->ci_c, isnan(a->c) ? solved : isnan(a->serve) ? "given" : "training alone: the loss of the budget given, cheapest with serving");
        row("tokens per param", r->at.tokens_per_param, GENERAL, r->ci_tokens_per_param, "D/N");
        row("loss, mean", r->at.loss, LOSS, r->ci_loss, isnan(r->ci_loss.lo) ? "no interval" : "bootstrap of the law");
        if (p->has_best && p->has_target) {
            printf("  -- the run that exists: width %lld, depth %lld --\n", (long long)p->target.shape.d_model, (long long)p->target.shape.n_layer);
            row("parameters N", p->target_n, GENERAL, none, "nearest width in steps of head_dim");
            row("tokens D", p->target_d, GENERAL, none, "whole steps");
        }
        const predict_result *run = p->has_target ? &p->run : r;
        char from[96];
        snprintf(from, sizeof from, "one new run: law and noise; half-width %.4f nats", (run->pi_loss.hi - run->pi_loss.lo) / 2);
        row("loss, one run", run->at.loss, LOSS, run->pi_loss, isnan(run->pi_loss.lo) ? "no interval" : from);
        row("naive predictor", p->loss->loss.lowest_loss, LOSS, none, "lowest loss among the fit's points");
    } else row("loss", NAN, GENERAL, none, why_loss(p));
    print_rate(p);
    if (p->batch_law) row("batch, tokens", p->batch, GENERAL, p->ci_batch, p->batch_law->law);
    else row("batch, tokens", p->has_target ? (double)p->target.batch_tokens : NAN, WHOLE, none, p->has_target ? "from the config; no batch law was given" : why_batch(p));
    row("width", p->has_target ? (double)p->target.shape.d_model : NAN, WHOLE, none, p->has_target ? p->target.parametrisation : why_shape(p));
    row("depth", p->has_target ? (double)p->target.shape.n_layer : NAN, WHOLE, none, p->has_target ? "from the config" : why_shape(p));
    double epochs = p->loss ? r->at.epochs : NAN;
    row("epochs", epochs, GENERAL, p->loss ? r->ci_epochs : none, isnan(epochs) ? why_epochs(p) : from_epochs(p, epochs));
    if (p->loss && !isnan(r->at.total)) {
        row("FLOPs with serving", r->at.total, GENERAL, none, "training and a forward pass for each served token");
        row("saved by that", 1 - r->at.total / r->at.plain_total, GENERAL, r->ci_saving, "against the run that is cheapest to train, at the same loss");
    }
}

/* Blocks repeat: one line for tensors that differ in the layer number only. */
static bool same_as_first_layer(const prediction *p, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (p->tensors[j].layer >= 0 && p->tensors[i].layer > p->tensors[j].layer && p->tensors[j].rows == p->tensors[i].rows
            && p->tensors[j].cols == p->tensors[i].cols && !memcmp(&p->hparams[j], &p->hparams[i], sizeof p->hparams[i])
            && strrchr(p->tensors[j].name, '.') && !strcmp(strrchr(p->tensors[j].name, '.'), strrchr(p->tensors[i].name, '.'))) return true;
    return false;
}

static void print_tensors(const prediction *p)
{
    if (!p->n_tensors) return;
    printf("\n  %-20s %-10s %12s %10s %10s %10s %10s %10s %10s   (%s, lr %s)\n", "tensor", "role", "shape", "init std", "mult", "lr", "eps",
           "decay", "per step", p->target.parametrisation, p->tensors_lr_predicted ? "as predicted" : "of the config");
    for (size_t i = 0; i < p->n_tensors; i++) {
        const shape_tensor *t = &p->tensors[i];
        const mup_tensor *h = &p->hparams[i];
        char name[64], size[32];
        if (same_as_first_layer(p, i)) continue;
        snprintf(size, sizeof size, "%lldx%lld", (long long)t->rows, (long long)t->cols);
        const char *after = t->layer == 0 ? strstr(t->name, ".0.") : NULL;
        if (after) snprintf(name, sizeof name, "%.*s.*.%s", (int)(after - t->name), t->name, after + 3);
        else snprintf(name, sizeof name, "%s", t->name);
        printf("  %-20s %-10s %12s %10.4g %10.4g %10.4g %10.3g %10.3g %10.3g\n", name, mup_role_name(t->role), size, h->init_std,
               h->forward_mult, h->lr, h->eps, h->weight_decay, decay_per_step(p, h));
    }
}

void prediction_print(const prediction *p)
{
    size_t i;
    json_t *r;
    print_source(p);
    print_answer(p);
    print_tensors(p);
    putchar('\n');
    if (p->has_target) printf("target run     %s\n", p->target_id);
    if (p->loss) printf("extrapolation  %.2f decades beyond the data\n", (p->has_target ? &p->run : &p->best)->extrapolation_decades);
    printf("verdict        %s%s\n", p->verdict, p->forced ? ", FORCED: the fit was refused and this lies beyond its data" : "");
    json_array_foreach(p->reasons, i, r)
        printf("  %s: %s\n", json_string_value(json_object_get(r, "code")), json_string_value(json_object_get(r, "message")));
    json_array_foreach(p->notes, i, r) printf("note           %s\n", json_string_value(r));
    if (p->in.out) printf("written        %s\n", p->in.out);
    if (p->in.write_config) printf("config written %s\n", p->in.write_config);
}
