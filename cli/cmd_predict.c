/* muscale predict: from fits to the numbers of one large run. Order of work: fits, config, cost, solve, trust, output. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cli/predict.h"

/* Beyond the data by more than this, the verdict warns. One decade: the published laws were trusted that far at most. */
#define WARN_DECADES 1.0
/* D/N beyond the points' by more than a factor of 2. */
#define RATIO_DECADES 0.301
/* Up to four passes a repeated token is worth nearly a new one (Muennighoff et al. 2023, abstract). */
#define MANY_EPOCHS 4.0

void prediction_note(prediction *p, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_append_new(p->notes, json_string(text));
}

void prediction_reason(prediction *p, const char *code, double value, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_append_new(p->reasons, json_pack("{s:s,s:s,s:o}", "code", code, "message", text, "value",
                                                isfinite(value) ? json_real(value) : json_null()));
    if (!strcmp(p->verdict, "ok")) p->verdict = "warn";
}

static void prediction_free(prediction *p)
{
    for (size_t i = 0; i < p->n_fits; i++) predict_fit_free(&p->fits[i]);
    free(p->fits);
    target_free(p);
    json_decref(p->notes);
    json_decref(p->reasons);
}

/* --- fits ---------------------------------------------------------------------------------------- */

static void inherit_trust(prediction *p, const predict_fit *f)
{
    const json_t *reasons = json_object_get(json_object_get(f->root, "trust"), "reasons");
    size_t i;
    json_t *r;
    json_array_foreach(reasons, i, r) {
        json_t *copy = json_deep_copy(r);
        json_object_set_new(copy, "fit", json_string(f->path));
        json_array_append_new(p->reasons, copy);
    }
    if (f == p->loss && f->refused) p->verdict = "refuse";
    else if (!strcmp(p->verdict, "ok") && json_array_size(reasons)) p->verdict = "warn";
}

/* Columns that no question sets: U by --unique-tokens, others (bits, sparsity, ...) by --at. */
static status give_columns(predict_fit *f, const prediction *p, err *e)
{
    predict_law *law = &f->loss;
    law->unique_tokens = p->in.unique_tokens;
    for (size_t c = 0; c < law->law->n_cols; c++) {
        const char *name = law->law->cols[c];
        bool known = false;
        for (size_t k = 0; k < p->in.at.n; k++) {
            const char *text = p->in.at.items[k], *eq = strchr(text, '=');
            if (!eq || !num_parse_f64(eq + 1, &law->given[c]))
                return err_set(e, ST_USAGE, "--at '%s': write NAME=NUMBER, as in --at P_w=8", text);
            known = strlen(name) == (size_t)(eq - text) && !strncmp(name, text, strlen(name));
            if (known) break;
        }
        if (known || !strcmp(name, "N") || !strcmp(name, "D") || !strcmp(name, "C") || !strcmp(name, "M") || !strcmp(name, "U") || !strcmp(name, "x")) continue;
        return err_set(e, ST_USAGE, "%s: law %s needs %s: give --at %s=VALUE", f->path, f->law, name, name);
    }
    return ST_OK;
}

static status read_fits(prediction *p, const cli_list *paths, err *e)
{
    p->fits = calloc(paths->n + 1, sizeof *p->fits);
    if (!p->fits) return err_set(e, ST_NOMEM, "predict: no memory");
    for (size_t i = 0; i < paths->n; i++) {
        status s = predict_fit_read(&p->fits[p->n_fits++], paths->items[i], e);
        if (s) return s;
    }
    if (predict_is_buckets(p)) {
        for (size_t i = 0; i < p->n_fits; i++) {
            inherit_trust(p, &p->fits[i]);
            if (p->fits[i].refused) p->verdict = "refuse";
        }
        return ST_OK;
    }
    for (size_t i = 0; i < p->n_fits; i++) { /* a law of N and D beats a law of one variable; else the first of its kind */
        const predict_fit *f = &p->fits[i];
        if (f->is_lr) p->lr = p->lr ? p->lr : f;
        else if (!strcmp(f->target, "lr")) p->lr_law = p->lr_law ? p->lr_law : f;
        else if (!strcmp(f->target, "batch_tokens")) p->batch_law = p->batch_law ? p->batch_law : f;
        else if (strcmp(f->target, "loss")) prediction_note(p, "%s predicts %s; predict answers for loss, lr and batch_tokens", f->path, f->target);
        else if (!p->loss || (predict_law_axis(&p->loss->loss) != PREDICT_N_AXES && predict_law_axis(&f->loss) == PREDICT_N_AXES)) p->loss = f;
    }
    const predict_fit *used[] = {p->loss, p->lr, p->lr_law, p->batch_law};
    for (size_t k = 0; k < sizeof used / sizeof *used; k++)
        if (used[k]) inherit_trust(p, used[k]);
    for (size_t i = 0; i < p->n_fits; i++) {
        const predict_fit *f = &p->fits[i];
        if (f != p->loss && f != p->lr && f != p->lr_law && f != p->batch_law && (f->is_lr || !strcmp(f->target, "loss")))
            prediction_note(p, "%s (%s) is used for comparison only", f->path, f->law);
    }
    return ST_OK;
}

static status give_all_columns(prediction *p, err *e)
{
    status s = ST_OK;
    for (size_t i = 0; i < p->n_fits && !s; i++)
        if (!p->fits[i].is_lr) s = give_columns(&p->fits[i], p, e);
    return s;
}

/* --- what a token costs -------------------------------------------------------------------------- */

static status choose_cost(prediction *p, err *e)
{
    const predict_fit *f = p->loss;
    bool exact = !strcmp(f->flops_rule, "exact"), six = !strcmp(f->flops_rule, "6N");
    p->cost = (predict_cost){.k = 6};
    snprintf(p->cost_from, sizeof p->cost_from, "C = 6 N D, the fit's rule");
    if (p->in.config && !p->exact_run) {
        status s = target_make_ladder(p, e);
        if (s) return s;
    }
    if (exact && p->ladder.n_rows) {
        p->cost = (predict_cost){.n_rows = p->ladder.n_rows, .n = p->ladder.n, .flops_per_token = p->ladder.flops_per_token};
        snprintf(p->cost_from, sizeof p->cost_from, "exact count over a ladder of %zu widths of %s", p->ladder.n_rows, "the base config");
    } else if (exact && p->exact_run) {
        double n, flops;
        status s = target_counts(&n, &flops, &p->target.shape, f->count_rule, f->flops_rule, e);
        if (s) return s;
        p->cost.k = flops / n;
        snprintf(p->cost_from, sizeof p->cost_from, "exact count of the config's shape");
    } else if (!six && isfinite(f->loss.flops_per_param_token)) {
        p->cost.k = f->loss.flops_per_param_token;
        snprintf(p->cost_from, sizeof p->cost_from, "C = %.3f N D, the median of the fit's points (rule %s)", p->cost.k, f->flops_rule);
        if (exact) prediction_note(p, "FLOPs by the fit's points, %.3f N D; with --config they are counted for the shape itself", p->cost.k);
    } else if (!six) {
        snprintf(p->cost_from, sizeof p->cost_from, "C = 6 N D, assumed: the fit states no rule");
        prediction_reason(p, "convention_unstated", NAN, "the fit states no FLOP rule; C = 6 N D was assumed");
    }
    return ST_OK;
}

/* --- trust --------------------------------------------------------------------------------------- */

/* "no verdict" fits answer inside the data's range; beyond it only with --force. */
static status judge(prediction *p, err *e)
{
    const predict_result *r = p->has_target ? &p->run : &p->best;
    double decades = fmax(p->has_best ? p->best.extrapolation_decades : 0, p->has_target ? p->run.extrapolation_decades : 0);
    const char *axis = "C";
    for (int i = 0; i < PREDICT_N_AXES; i++)
        if (r->decades[i] >= r->extrapolation_decades) axis = predict_axis_name((predict_axis)i);
    if (decades > WARN_DECADES)
        prediction_reason(p, "extrapolates_k_decades", decades, "%.1f decades beyond the data in %s", decades, axis);
    if (r->ratio_decades > RATIO_DECADES)
        prediction_reason(p, "extrapolates_k_decades", r->ratio_decades, "%.3g tokens per parameter, the data have %.3g to %.3g: laws fitted at ordinary ratios "
                          "overestimate what extra tokens give", r->at.tokens_per_param, p->loss->loss.lo_ratio, p->loss->loss.hi_ratio);
    if (r->at.epochs > MANY_EPOCHS && !predict_knows_repetition(p))
        prediction_reason(p, "extrapolates_k_decades", log10(r->at.epochs), "%.3g passes over the unique tokens: law %s counts repeated tokens as new ones; "
                          "fit --law data-constrained", r->at.epochs, p->loss->law);
    if (p->loss->raw) prediction_note(p, "the data do not identify every parameter of the law; predictions use the raw ones");
    if (isnan(r->pi_loss.lo) && !p->loss->loss.n_draws)
        prediction_note(p, "%s has no bootstrap draws, so there are no intervals; fit with --bootstrap 1000", p->loss->path);
    if (!p->loss->refused || decades == 0) return ST_OK;
    if (p->in.force) {
        p->forced = true;
        return ST_OK;
    }
    const json_t *why = json_array_get(json_object_get(json_object_get(p->loss->root, "trust"), "reasons"), 0);
    const char *message = json_string_value(json_object_get(why, "message"));
    return err_set(e, ST_REFUSED, "%s: the fit was refused (%s) and the target lies %.2f decades beyond its data in %s; --force predicts it anyway, marked",
                   p->loss->path, message ? message : "no reason given", decades, axis);
}

/* --- the work ------------------------------------------------------------------------------------ */

static status predict_target_run(prediction *p, err *e)
{
    status s = target_choose(p, e);
    if (!s) s = target_tensors(p, e);
    if (s || !p->loss) return s;
    predict_point at = {.n = p->target_n, .d = p->target_d, .c = p->target_c, .tokens_per_param = p->target_d / p->target_n};
    p->run.at = at;
    at.epochs = at.d / p->loss->loss.unique_tokens;
    at.total = at.plain_total = NAN;
    at.loss = predict_law_loss(&p->loss->loss, p->loss->loss.theta, at.n, at.d, at.c);
    if (!isfinite(at.loss)) return err_set(e, ST_DOMAIN, "%s: the law gives no finite loss for this run", p->loss->path);
    s = predict_at(&p->run, &p->loss->loss, &at, (uint64_t)p->in.seed, e);
    if (s || p->exact_run || isnan(p->best.at.n)) return s;
    double off = p->target_n / p->best.at.n - 1;
    if (fabs(off) > 0.1)
        prediction_note(p, "the nearest width in steps of head_dim gives N %.3g, %+.0f %% off the %.3g asked for", p->target_n, 100 * off, p->best.at.n);
    return ST_OK;
}

/* Learning rate and batch by their own laws, at the run that was found. A law of the width (lr) goes first: it knows the
 * parametrisation. */
static status apply_laws(prediction *p, err *e)
{
    predict_point at = p->has_best ? p->best.at : p->run.at;
    p->batch = p->ci_batch.lo = p->ci_batch.hi = NAN;
    if (p->has_target) at.n = p->target_n, at.d = p->target_d, at.c = p->target_c;
    if (isnan(at.n) && (p->lr_law || p->batch_law)) prediction_note(p, "no N and D were found, so the laws of lr and batch have nothing to answer for");
    if (isnan(at.n)) return ST_OK;
    status s = ST_OK;
    if (p->lr_law && !p->rate.known) {
        s = predict_value(&p->rate.lr, &p->rate.ci, &p->lr_law->loss, &at, e);
        p->rate.known = !s;
        snprintf(p->rate.why, sizeof p->rate.why, "%s", p->lr_law->law);
    } else if (p->lr_law) prediction_note(p, "%s is not used: the optimum per width goes first", p->lr_law->path);
    if (!s && p->batch_law) s = predict_value(&p->batch, &p->ci_batch, &p->batch_law->loss, &at, e);
    return s;
}

static status work(prediction *p, err *e)
{
    status s = give_all_columns(p, e);
    if (!s && !p->loss && !p->exact_run)
        s = err_set(e, ST_USAGE, "none of the fits is a loss law (chinchilla, power, ...); it alone can answer --flops, --params, --tokens, --loss");
    if (!s && p->in.config) s = target_load(p, e);
    if (!s && p->in.config && isnan(p->in.unique_tokens) && p->base.unique_tokens > 0) { /* the run repeats: so must the law */
        p->in.unique_tokens = (double)p->base.unique_tokens;
        for (size_t i = 0; i < p->n_fits; i++) p->fits[i].loss.unique_tokens = p->in.unique_tokens;
        prediction_note(p, "unique tokens %.6g, from %s", p->in.unique_tokens, p->in.config);
    }
    if (!s && p->loss) s = choose_cost(p, e);
    if (!s && !p->exact_run) {
        s = predict_run(&p->best, &p->loss->loss, &p->cost, &p->in.ask, (uint64_t)p->in.seed, e);
        p->has_best = !s;
    }
    if (!s && p->in.config && !p->exact_run && p->loss && (isnan(p->best.at.n) || isnan(p->best.at.d)))
        prediction_note(p, "a power law of %s gives no N and D, so no width and no run; fit --law chinchilla for those", predict_axis_name(p->loss->loss.x));
    else if (!s && p->in.config) s = predict_target_run(p, e);
    if (!s && !p->has_target) { /* no width known: the law of lr has no answer */
        predict_lr_laws none = {0};
        s = predict_lr_at(&p->rate, p->lr ? &p->lr->lr : &none, "?", NAN, e);
        snprintf(p->rate.why, sizeof p->rate.why, "%s", p->lr ? "the learning-rate law needs the target's width; give --config"
                                                             : "no learning-rate fit was given (muscale fit --method lr-optimum)");
    }
    if (!s) s = apply_laws(p, e);
    if (!s && p->loss) s = judge(p, e);
    return s;
}

static status publish(const prediction *p, const json_t *j, err *e)
{
    char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(17) | JSON_PRESERVE_ORDER);
    status s = text ? ST_OK : err_set(e, ST_NOMEM, "%s: no memory for the prediction", p->in.out);
    if (!s) s = io_publish(p->in.out, text, strlen(text), e);
    free(text);
    return s;
}

static status write_config(const prediction *p, err *e)
{
    char *text = p->has_target ? config_yaml(&p->target) : NULL;
    status s = text ? io_publish(p->in.write_config, text, strlen(text), e)
                    : err_set(e, p->has_target ? ST_NOMEM : ST_USAGE, "--write-config needs --config BASE.yaml and a law that gives N and D");
    free(text);
    return s;
}

static status check_usage(prediction *p, const cli_list *paths, err *e)
{
    const predict_ask *a = &p->in.ask;
    const double given[] = {a->c, a->n, a->d, a->loss};
    static const char *const options[] = {"--flops", "--params", "--tokens", "--loss"};
    int n_asked = 0;
    for (int i = 0; i < 4; i++) {
        if (isnan(given[i])) continue;
        if (given[i] <= 0) return err_set(e, ST_USAGE, "%s %g: must be positive", options[i], given[i]);
        n_asked++;
    }
    bool asked = n_asked > 0;
    p->exact_run = p->in.config && !asked;
    if (!paths->n) return err_set(e, ST_USAGE, "which fit? give the fit.json that muscale fit -o wrote");
    if (!asked && !p->in.config)
        return err_set(e, ST_USAGE, "predict what? give --flops C, --params N, --tokens D or --loss L, or --config TARGET.yaml for one run");
    if (n_asked > 2 || (!isnan(a->c) && !isnan(a->loss)))
        return err_set(e, ST_USAGE, "give one of --flops, --params, --tokens, --loss, or two of them other than --flops with --loss");
    if (!isnan(a->serve) && (n_asked != 1 || (isnan(a->c) && isnan(a->loss))))
        return err_set(e, ST_USAGE, "--serve-tokens goes with --loss L or --flops C alone");
    if (p->in.n_overrides && !p->in.config) return err_set(e, ST_USAGE, "%s: key=value changes a --config, and none was given", p->in.overrides[0]);
    if (!isnan(p->in.unique_tokens) && !(p->in.unique_tokens >= 1)) return err_set(e, ST_USAGE, "--unique-tokens is a positive number of tokens");
    return ST_OK;
}

/* Words of the command line: files, and key=value where the key is a config's. */
static status split(prediction *p, cli_list *words, err *e)
{
    size_t n_files = 0;
    p->in.overrides = calloc(words->n + 1, sizeof *p->in.overrides);
    if (!p->in.overrides) return err_set(e, ST_NOMEM, "predict: no memory");
    for (size_t i = 0; i < words->n; i++) {
        if (strchr(words->items[i], '=') && !io_exists(words->items[i])) p->in.overrides[p->in.n_overrides++] = words->items[i];
        else words->items[n_files++] = words->items[i];
    }
    words->n = n_files;
    return ST_OK;
}

static status check_outputs(const prediction *p, const cli_list *fits, err *e)
{
    const cli_list base = {(const char **)&p->in.config, p->in.config ? 1 : 0};
    status s = cli_check_output(p->in.out, fits, e);
    if (!s) s = cli_check_output(p->in.out, &base, e);
    if (!s) s = cli_check_output(p->in.write_config, fits, e);
    return s ? s : cli_check_output(p->in.write_config, &base, e);
}

int cmd_predict(cli *c, int argc, char **argv)
{
    err e = {0};
    cli_list words = {0};
    prediction p = {.in = {.ask = {NAN, NAN, NAN, NAN, NAN}, .unique_tokens = NAN, .seed = 1}, .verdict = "ok"};
    const cli_opt opts[] = {
        {"flops", 0, OPT_F64, &p.in.ask.c, "C", "training budget: the best N and D for it"},
        {"params", 0, OPT_F64, &p.in.ask.n, "N", "parameters, as the fit counts them; alone: the tokens they deserve"},
        {"tokens", 0, OPT_F64, &p.in.ask.d, "D", "training tokens; alone: the size they deserve"},
        {"loss", 0, OPT_F64, &p.in.ask.loss, "L", "nats per token: the cheapest run that reaches it"},
        {"config", 0, OPT_TEXT, &p.in.config, "YAML", "base config (width is solved), or with none of the above the run itself"},
        {"unique-tokens", 0, OPT_F64, &p.in.unique_tokens, "U", "how many different tokens there are"},
        {"serve-tokens", 0, OPT_F64, &p.in.ask.serve, "T", "tokens to be served: the cheapest run of that loss, training and serving together"},
        {"at", 0, OPT_LIST, &p.in.at, "NAME=V", "value of another column of the law, as in P_w=8"},
        {"write-config", 0, OPT_TEXT, &p.in.write_config, "FILE", "write the target's config, ready to train"},
        {"seed", 0, OPT_I64, &p.in.seed, "S", "of the noise draws (1)"},
        {"force", 0, OPT_FLAG, &p.in.force, NULL, "predict beyond the data of a refused fit; marked, exit 5"},
        {"out", 'o', OPT_TEXT, &p.in.out, "FILE", "write the prediction as JSON"},
    };
    status s = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &words, &e);
    if (s || c->show_help) {
        free(words.items);
        return s ? cli_usage(c, argv[0], &e) : 0;
    }
    p.notes = json_array();
    p.reasons = json_array();
    s = split(&p, &words, &e);
    if (!s) s = check_usage(&p, &words, &e);
    if (!s) s = check_outputs(&p, &words, &e);
    if (!s) s = read_fits(&p, &words, &e);
    bool buckets = !s && predict_is_buckets(&p);
    json_t *j = NULL;
    if (buckets) s = predict_buckets(&j, &p, !c->json, &e);
    else if (!s) s = work(&p, &e);
    if (!s && !buckets) j = prediction_json(&p, c);
    if (!s && !j) s = err_set(&e, ST_NOMEM, "predict: no memory for the result");
    if (!s && p.in.out) s = publish(&p, j, &e);
    if (!s && p.in.write_config) s = write_config(&p, &e);
    int rc = s ? cli_usage(c, argv[0], &e) : p.forced ? status_exit(ST_REFUSED) : 0;
    if (!s && c->json) {
        int out = cli_json_out(json_incref(j));
        rc = out ? out : rc;
    } else if (!s && !buckets) prediction_print(&p);
    json_decref(j);
    prediction_free(&p);
    free(p.in.overrides);
    free(p.in.at.items);
    free(words.items);
    return rc;
}
