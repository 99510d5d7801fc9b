/* Rows of the learning-rate method from a table of observations, and its JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fit/lr_parts.h"

const char *const lr_settings[] = {
    "D", "U", "depth", "batch_tokens", "schedule", "warmup_tokens", "decay_fraction", "decay_shape", "min_lr_ratio",
    "weight_decay", "weight_decay_mode", "beta1", "beta2", "eps", "clip_norm", "init_std", "embed_std", "embed_mult",
    "logit_mult", "base_width", "base_depth", "head_dim", "seq_len", "vocab", "activation", "tied_head", "qk_norm",
    "norm_gain", "data_sha256", "grad_accum",
    /* late keys: older runs of a campaign do not have them, which is no difference */
    "depth_alpha", "eps_rule", "decay_rule", "embed_lr_rule", "attention_scale", "zero_init", "branch_init", "attn_mult",
    "residual_mult", "residual_attn_ratio", "base_head_dim", "base_d_ff", "base_batch_tokens", "base_tokens",
};
const size_t lr_n_settings = sizeof lr_settings / sizeof *lr_settings;

bool lr_same_setting(size_t k, double x, double y)
{
    const bool late = k + 14 >= lr_n_settings;
    return x == y || (isnan(x) && isnan(y)) || (late && (isnan(x) || isnan(y)));
}

const char *lr_word(const table_column *c, size_t row)
{
    if (!c || !c->is_text || !(c->x[row] >= 0) || c->x[row] >= (double)c->n_words) return NULL;
    return c->words[(size_t)c->x[row]];
}

void lr_show(char *out, size_t room, const table_column *c, size_t row)
{
    char number[32];
    const char *w = lr_word(c, row);
    snprintf(out, room, "%s", w ? w : num_text(c->x[row], number));
}

status lr_need(const table_column **c, const table *t, const char *name, err *e)
{
    *c = table_col(t, name);
    if (!*c) return err_set(e, ST_INPUT, "method lr-optimum needs a column '%s'; name it with --col %s=COLUMN", name, name);
    if ((*c)->is_text) return err_set(e, ST_INPUT, "method lr-optimum: column '%s' holds words, not numbers", name);
    return ST_OK;
}

/* Within one (parametrisation, width) every setting must be the same. */
static status check_pooling(lr_optimum *out, const table *t, const lr_row *rows, const size_t *at, size_t n,
                            const char *const *names, err *e)
{
    char a[64], b[64];
    for (size_t k = 0; k < lr_n_settings; k++) {
        const table_column *c = table_col(t, lr_settings[k]);
        bool varies = false;
        if (!c) continue;
        /* D of a diverged run is where it ended, not what it was set to */
        bool reached = !strcmp(lr_settings[k], "D");
        for (size_t i = 1; i < n; i++) {
            if (reached && isinf(rows[i].loss)) continue;
            size_t first = i; /* the first run of this group; groups are few, a scan is enough below 1e4 runs */
            for (size_t j = 0; j < i; j++) {
                if (rows[j].parametrisation != rows[i].parametrisation || (reached && isinf(rows[j].loss))) continue;
                if (!isnan(c->x[at[i]]) && !isnan(c->x[at[j]]) && c->x[at[i]] != c->x[at[j]]) varies = true;
                if (rows[j].width == rows[i].width) {
                    first = j;
                    break;
                }
            }
            double x = c->x[at[first]], y = c->x[at[i]];
            if (first == i || lr_same_setting(k, x, y)) continue;
            lr_show(a, sizeof a, c, at[first]);
            lr_show(b, sizeof b, c, at[i]);
            return err_set(e, ST_INPUT, "method lr-optimum: runs of '%s' at width %g differ in %s (%s and %s); pooling them would move the "
                           "optimum: keep one with --where \"%s == %s\"", rows[i].parametrisation != SIZE_MAX ? names[rows[i].parametrisation] : "unstated",
                           rows[i].width, lr_settings[k], a, b, lr_settings[k], a);
        }
        if (varies) {
            size_t used = strlen(out->confounded);
            snprintf(out->confounded + used, LR_WHY - used, "%s%s", used ? ", " : "", lr_settings[k]);
        }
    }
    return ST_OK;
}

bool lr_unfinished(const char *run_status)
{
    return run_status && strcmp(run_status, "done") && strcmp(run_status, "diverged");
}

/* N and D of the groups, where their runs agree on them; of D what runs that did not diverge reached. */
static void fill_counts(lr_optimum *out, const table *t, const lr_row *rows, const size_t *at, size_t n,
                        const char *const *names)
{
    const table_column *of[2] = {table_col(t, "N"), table_col(t, "D")};
    for (size_t g = 0; g < out->n_groups; g++)
        for (int k = 0; k < 2; k++) {
            double sum = 0, count = 0;
            for (size_t i = 0; i < n && of[k] && !of[k]->is_text; i++) {
                const char *name = rows[i].parametrisation != SIZE_MAX ? names[rows[i].parametrisation] : "unstated";
                if (rows[i].width != out->groups[g].width || strcmp(name, out->groups[g].parametrisation) ||
                    isinf(rows[i].loss))
                    continue;
                sum += of[k]->x[at[i]], count++;
            }
            *(k ? &out->groups[g].D : &out->groups[g].N) = count > 0 ? sum / count : NAN;
        }
}

uint64_t lr_seed_of(const table *t, size_t row)
{
    uint64_t mixed = 0;
    static const char *const names[] = {"seed", "data_seed"};
    for (size_t k = 0; k < 2; k++) {
        const table_column *c = table_col(t, names[k]);
        if (c && !c->is_text && c->x[row] >= 0) mixed = mixed * 1000003 + (uint64_t)c->x[row];
    }
    return mixed;
}

status lr_optimum_table(lr_optimum *out, const table *t, const lr_opts *o, err *e)
{
    static const char *const unstated[] = {"unstated"};
    const table_column *lr = NULL, *width = NULL, *loss = NULL;
    memset(out, 0, sizeof *out);
    status s = lr_need(&lr, t, "lr", e);
    if (!s) s = lr_need(&width, t, "width", e);
    if (!s) s = lr_need(&loss, t, "loss", e);
    if (s) return s;
    const table_column *par = table_col(t, "parametrisation"), *st = table_col(t, "status");
    if (par && !par->is_text)
        return err_set(e, ST_INPUT, "method lr-optimum: column 'parametrisation' holds numbers; it should name the rule (sp, mup, ...)");
    lr_row *rows = calloc(t->n_rows + 1, sizeof *rows);
    size_t *at = calloc(t->n_rows + 1, sizeof *at), n = 0, n_unfinished = 0;
    if (!rows || !at) s = err_set(e, ST_NOMEM, "method lr-optimum: no memory for %zu rows", t->n_rows);
    for (size_t i = 0; i < t->n_rows && !s; i++) {
        const char *how = lr_word(st, i);
        bool diverged = how && !strcmp(how, "diverged");
        if (lr_unfinished(how) || isnan(lr->x[i]) || isnan(width->x[i])) {
            n_unfinished++;
            continue;
        }
        at[n] = i;
        rows[n++] = (lr_row){.lr = lr->x[i], .width = width->x[i], .loss = diverged || !isfinite(loss->x[i]) ? INFINITY : loss->x[i],
                             .parametrisation = lr_word(par, i) ? (size_t)par->x[i] : SIZE_MAX, .seed = lr_seed_of(t, i)};
    }
    char confounded[LR_WHY] = "";
    if (!s) s = check_pooling(out, t, rows, at, n, par ? (const char *const *)par->words : unstated, e);
    memcpy(confounded, out->confounded, sizeof confounded);
    if (!s) s = lr_optimum_run(out, rows, n, par ? (const char *const *)par->words : unstated, par ? par->n_words : 0, o, e);
    memcpy(out->confounded, confounded, sizeof confounded);
    if (!s) fill_counts(out, t, rows, at, n, par ? (const char *const *)par->words : unstated);
    const table_column *tokens = table_col(t, "D");
    for (size_t i = 0; i < n && tokens && !tokens->is_text; i++) {
        if (isinf(rows[i].loss)) continue;
        out->tokens[0] = fmin(out->tokens[0], tokens->x[at[i]]); /* fmin, fmax: a NaN gives way */
        out->tokens[1] = fmax(out->tokens[1], tokens->x[at[i]]);
    }
    out->n_unfinished = n_unfinished;
    out->parametrisation_stated = par != NULL;
    free(rows);
    free(at);
    return s;
}

/* --- JSON ---------------------------------------------------------------------------------------------------- */

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *numbers(const double *x, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n && a; i++) json_array_append_new(a, number(x[i]));
    return a;
}

static json_t *range(const double ci[2], bool known) { return known ? numbers(ci, 2) : json_null(); }
static json_t *text(const char *s) { return *s ? json_string(s) : json_null(); }

json_t *lr_optimum_groups_json(const lr_optimum *r)
{
    json_t *all = json_array();
    for (size_t i = 0; i < r->n_groups && all; i++) {
        const lr_group *g = &r->groups[i];
        json_array_append_new(all, json_pack("{s:s,s:o,s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:o}",
            "parametrisation", g->parametrisation, "width", number(g->width), "n", (json_int_t)g->n,
            "n_diverged", (json_int_t)g->n_diverged, "lr", numbers(g->lr, g->n), "loss", numbers(g->loss, g->n),
            "log2_lr_opt", number(g->log2_lr_opt), "ci95", range(g->ci95, g->bracketed), "sd", number(g->sd), "sd_noise", number(g->sd_noise), "sd_grid", number(g->sd_grid),
            "loss_opt", number(g->loss_opt), "curvature", number(g->curvature), "argmin_lr", number(g->argmin_lr),
            "grid_step", number(g->grid_step), "bracketed", g->bracketed, "why", text(g->why)));
    }
    return all;
}

json_t *lr_optimum_trend_json(const lr_optimum *r)
{
    json_t *all = json_array();
    for (size_t i = 0; i < r->n_trends && all; i++) {
        const lr_trend *t = &r->trends[i];
        const lr_noise *z = &r->noise[i];
        json_t *ci = NULL, *samples, *c = json_array(), *p = numbers(t->p_draws, t->has_ci ? r->n_draws : 0);
        for (size_t b = 0; t->has_ci && b < r->n_draws; b++) json_array_append_new(c, number(exp2(t->log2_c_draws[b])));
        samples = json_pack("{s:o,s:o}", "c", c, "p", p);
        if (t->has_ci) {
            double ci_c[2] = {exp2(t->ci_log2_c[0]), exp2(t->ci_log2_c[1])};
            ci = json_pack("{s:o,s:o}", "c", numbers(ci_c, 2), "p", numbers(t->ci_p, 2));
        }
        json_array_append_new(all, json_pack("{s:s,s:o,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:{s:o,s:o,s:s,s:o}}",
            "parametrisation", t->parametrisation, "c", t->has_value ? number(exp2(t->log2_c)) : json_null(),
            "p", t->has_value ? number(t->p) : json_null(), "ci95", ci ? ci : json_null(), "n_groups", (json_int_t)t->n_groups,
            "width", t->n_groups ? json_pack("[f,f]", t->width_lo, t->width_hi) : json_null(), "tokens", isnan(r->tokens[1]) ? json_null() : numbers(r->tokens, 2), "why", text(t->why),
            "birge", number(t->birge), "sd_noise", number(t->sd_noise), "sd_grid", number(t->sd_grid), "samples", samples,
            "noise", "sd", number(z->sd), "dof", number(z->dof), "source", z->source, "seed_sd", number(z->seed_sd)));
    }
    return all;
}
