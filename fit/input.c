/* From a table to the rows of a fit: which column is what, what is derived, what is dropped. Nothing is guessed in
 * silence: every choice is said. Accepted names: doc/formats.md. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/run.h"

enum { MAX_ALIASES = 8, MAX_NAMED = 20 };
typedef struct role { const char *name; const char *aliases[MAX_ALIASES]; } role;

/* Validation loss before training loss: two roles, both answer to "loss". */
static const role roles[] = {
    {"loss", {"val_loss", "val/loss", "eval/loss", "eval_loss", "tel"}},
    {"loss", {"loss", "train_loss", "train/loss", "trl"}},
    {"N", {"N", "n_params_total", "n_params", "params", "model_size"}},
    {"N_nonembed", {"N_nonembed", "n_params_non_embed", "params_no_embed", "N_no_emb"}},
    {"D", {"D", "tokens", "tokens_seen", "num_tokens", "train/tokens"}},
    {"U", {"U", "unique_tokens"}},
    {"C", {"C", "flops"}},
    {"lr", {"lr", "learning_rate", "peak_lr"}},
    {"step", {"step", "_step", "iter", "iteration", "global_step"}},
    {"width", {"width", "d_model"}},
    {"depth", {"depth", "n_layer"}},
    {"batch_tokens", {"batch_tokens"}},
    {"seed", {"seed"}},
    {"run", {"run"}},
    {"parametrisation", {"parametrisation"}},
};
enum { N_ROLES = sizeof roles / sizeof *roles };

typedef struct teller { fit_say_fn *say; void *who; } teller;

static void tell(const teller *t, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void tell(const teller *t, int level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    if (!t->say) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    t->say(t->who, level, text);
}

/* Rows of a run store carry canonical names; other config keys beside them are no second candidates. */
static bool from_store(const table *t)
{
    for (size_t i = 0; i < t->n_rows; i++)
        if (t->row_line[i]) return false;
    return t->n_rows > 0;
}

static void list_columns(char *out, size_t size, const table *t)
{
    size_t n = 0;
    out[0] = 0;
    for (size_t i = 0; i < t->n_cols && i < MAX_NAMED && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i ? ", " : "", t->cols[i].name);
    if (t->n_cols > MAX_NAMED && n < size) snprintf(out + n, size - n, ", ...");
}

/* Copies column `from` under the canonical name; words are kept as words. */
static status alias(table *t, const char *name, const char *from, err *e)
{
    size_t at, source;
    if (!strcmp(name, from)) return ST_OK;
    status s = table_col_index(t, from, &source, e);
    if (!s) s = table_add_col(t, name, NULL, e);
    if (!s) s = table_col_index(t, name, &at, e);
    for (size_t i = 0; i < t->n_rows && !s; i++) {
        const table_column *c = &t->cols[source];
        if (c->is_text && !isnan(c->x[i])) {
            size_t k = (size_t)c->x[i];
            s = table_set_word(t, at, i, c->words[k], c->word_line[k], c->word_at[k], e);
        } else table_set(t, at, i, c->x[i]);
    }
    return s;
}

static status stated(table *t, const fit_input_opts *o, bool *done, const teller *say, err *e)
{
    (void)say;
    for (size_t k = 0; k < o->n_cols; k++) {
        char name[TABLE_NAME_MAX], columns[768];
        const char *eq = strchr(o->cols[k], '=');
        if (!eq || eq == o->cols[k] || !eq[1] || (size_t)(eq - o->cols[k]) >= sizeof name)
            return err_set(e, ST_USAGE, "--col '%s': write NAME=COLUMN, as in --col N=params", o->cols[k]);
        snprintf(name, sizeof name, "%.*s", (int)(eq - o->cols[k]), o->cols[k]);
        if (!table_col(t, eq + 1)) {
            list_columns(columns, sizeof columns, t);
            return err_set(e, ST_INPUT, "%s: no column '%s' (from --col); it has: %s",
                           t->n_sources ? t->sources[0].path : "input", eq + 1, columns);
        }
        status s = alias(t, name, eq + 1, e);
        if (s) return s;
        for (size_t r = 0; r < N_ROLES; r++)
            if (!strcmp(roles[r].name, name)) done[r] = true;
    }
    return ST_OK;
}

static status guess(table *t, const role *r, bool *found, const teller *say, err *e)
{
    const char *match = NULL;
    for (size_t a = 0; a < MAX_ALIASES && r->aliases[a]; a++) {
        if (!table_col(t, r->aliases[a])) continue;
        if (match)
            return err_set(e, ST_INPUT, "%s: both '%s' and '%s' could be %s; choose with --col %s=COLUMN",
                           t->sources[0].path, match, r->aliases[a], r->name, r->name);
        match = r->aliases[a];
    }
    *found = match != NULL;
    if (!match || !strcmp(match, r->name)) return ST_OK;
    tell(say, 0, "column '%s' taken as %s", match, r->name);
    return alias(t, r->name, match, e);
}

status fit_input_columns(table *t, const fit_input_opts *o, fit_say_fn *say, void *who, err *e)
{
    teller tl = {say, who};
    bool done[N_ROLES] = {0}, store = from_store(t), have_loss = false;
    status s = stated(t, o, done, &tl, e);
    for (size_t r = 0; r < N_ROLES && !s && !store; r++) {
        bool found = false;
        if (done[r]) continue;
        if (!strcmp(roles[r].name, "loss") && have_loss) {
            if (table_col(t, "loss") && table_col(t, roles[0].aliases[0]))
                tell(&tl, 0, "validation loss is used, not the column 'loss' (--col loss=loss for that)");
            continue;
        }
        s = guess(t, &roles[r], &found, &tl, e);
        if (found && !strcmp(roles[r].name, "loss")) have_loss = true;
    }
    return s;
}

/* --- rows ------------------------------------------------------------------------------------------------ */

static void count_dropped(fit_data *d, const char *why, size_t n)
{
    if (!n) return;
    for (size_t k = 0; k < d->n_dropped; k++)
        if (!strcmp(d->dropped[k].why, why)) {
            d->dropped[k].n += n;
            return;
        }
    if (d->n_dropped == FIT_MAX_DROPPED) return;
    snprintf(d->dropped[d->n_dropped].why, sizeof d->dropped[0].why, "%s", why);
    d->dropped[d->n_dropped++].n = n;
}

static status need(const table *t, const char *name, const double **x, const char *hint, err *e)
{
    char columns[640];
    if (table_col(t, name)) return table_number_col(t, name, x, e);
    list_columns(columns, sizeof columns, t);
    return err_set(e, ST_INPUT, "%s: no column for %s%s; name one with --col %s=COLUMN (it has: %s)",
                   t->n_sources ? t->sources[0].path : "input", name, hint, name, columns);
}

/* Drops what did not finish; a diverged run keeps its row, as a diverged loss. */
static status drop_unfinished(fit_data *d, table *t, bool *keep, const teller *say)
{
    table_column *st = table_col(t, "status"), *loss = table_col(t, "loss");
    size_t n = 0;
    char where[IO_PATH_MAX + 32];
    for (size_t i = 0; i < t->n_rows; i++) {
        keep[i] = true;
        if (!st || !st->is_text || t->row_line[i]) continue; /* a CSV's own status column is not ours to read */
        const char *word = table_word(st, i);
        if (!strcmp(word, "diverged") && loss && !loss->is_text) loss->x[i] = TABLE_DIVERGED;
        else if (*word && strcmp(word, "done") && strcmp(word, "diverged")) {
            keep[i] = false;
            n++;
            tell(say, 1, "%s: dropped, status %s", table_where_row(t, i, where), word);
        }
    }
    count_dropped(d, "not finished", n);
    table_keep(t, keep);
    return ST_OK;
}

/* Rows with a diverged loss or an absent cell go, with a count; what is not positive is an error: it would be a silent
 * NaN. */
static status drop_rows(fit_data *d, table *t, bool *keep, const char *const *cols, size_t n_cols, const teller *say,
                        err *e)
{
    size_t diverged = 0, absent = 0;
    char where[IO_PATH_MAX + 32];
    for (size_t i = 0; i < t->n_rows; i++) {
        keep[i] = true;
        const double *loss;
        status s = table_number_col(t, "loss", &loss, e);
        if (s) return s;
        if (isinf(loss[i])) {
            keep[i] = false, diverged++;
            tell(say, 1, "%s: dropped, loss is not finite (diverged)", table_where_row(t, i, where));
            continue;
        }
        for (size_t c = 0; c <= n_cols; c++) {
            const double *x;
            const char *name = c < n_cols ? cols[c] : "loss";
            s = table_number_col(t, name, &x, e);
            if (s) return s;
            if (isinf(x[i]))
                return err_set(e, ST_INPUT, "%s: %s is not finite; only a loss may be", table_where_row(t, i, where),
                               name);
            if (isnan(x[i])) {
                if (keep[i]) absent++, tell(say, 1, "%s: dropped, %s is absent", table_where_row(t, i, where), name);
                keep[i] = false;
            } else if (x[i] <= 0)
                return err_set(e, ST_INPUT,
                               "%s: %s is %.6g, it must be above 0; correct the row or leave it out with --where",
                               table_where_row(t, i, where), name, x[i]);
        }
    }
    count_dropped(d, "diverged", diverged);
    count_dropped(d, "absent", absent);
    table_keep(t, keep);
    return ST_OK;
}

static status conventions(fit_data *d, table *t, const fit_input_opts *o, const teller *say, err *e)
{
    static const char *const counts[] = {"total", "non-embed", "standard", "effective"}, *const flops[] = {
                                                                                             "6N", "exact", "given"};
    bool ok = !o->count_rule, store = from_store(t);
    for (size_t i = 0; i < 4 && !ok; i++) ok = !strcmp(o->count_rule, counts[i]);
    if (!ok)
        return err_set(e, ST_USAGE, "--count-rule '%s': known are total, non-embed, standard, effective",
                       o->count_rule);
    ok = !o->flops_rule;
    for (size_t i = 0; i < 3 && !ok; i++) ok = !strcmp(o->flops_rule, flops[i]);
    if (!ok) return err_set(e, ST_USAGE, "--flops-rule '%s': known are 6N, exact, given", o->flops_rule);
    table_column *rule = table_col(t, "flops_rule");
    const char *own = rule && rule->is_text && t->n_rows ? table_word(rule, 0) : "exact";
    for (size_t i = 0; i < t->n_rows && rule && rule->is_text; i++)
        if (strcmp(table_word(rule, i), own))
            return err_set(
                e, ST_INPUT,
                "rows count FLOPs by different rules ('%s' and '%s'); select one with --where \"flops_rule == %s\"",
                own, table_word(rule, i), own);
    snprintf(d->count_rule, sizeof d->count_rule, "%s", o->count_rule ? o->count_rule : store ? "total" : "unstated");
    snprintf(d->flops_rule, sizeof d->flops_rule, "%s",
             o->flops_rule   ? o->flops_rule
             : store && *own ? own
                             : "unstated");
    if (o->count_rule && !strcmp(o->count_rule, "non-embed") && table_col(t, "N_nonembed")) {
        tell(say, 0, "N is N_nonembed (--count-rule non-embed)");
        return alias(t, "N", "N_nonembed", e);
    }
    return ST_OK;
}

/* The third of N, D, C under C = 6ND, when the user (or the store) says that this is the rule. */
static status derive(table *t, const fit_data *d, const teller *say, err *e)
{
    static const char *const names[3] = {"N", "D", "C"};
    int missing = -1, n_missing = 0;
    for (int k = 0; k < 3; k++)
        if (!table_col(t, names[k])) missing = k, n_missing++;
    if (n_missing != 1 || strcmp(d->flops_rule, "6N")) return ST_OK;
    const double *x, *y;
    status s = table_number_col(t, names[missing == 0], &x, e);
    if (!s) s = table_number_col(t, names[missing == 2 ? 1 : 2], &y, e);
    if (s) return s;
    double *v = malloc((t->n_rows + 1) * sizeof *v);
    if (!v) return err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    for (size_t i = 0; i < t->n_rows; i++) v[i] = missing == 2 ? 6 * x[i] * y[i] : y[i] / (6 * x[i]);
    s = table_add_col(t, names[missing], v, e);
    free(v);
    tell(say, 0, "%s derived as %s (--flops-rule 6N)", names[missing],
         missing == 2   ? "6 N D"
         : missing == 1 ? "C/(6 N)"
                        : "C/(6 D)");
    return s;
}

static status take(double **out, const table *t, const char *name, err *e)
{
    const double *x;
    if (!table_col(t, name)) return ST_OK;
    status s = table_number_col(t, name, &x, e);
    if (s) return s;
    *out = malloc((t->n_rows + 1) * sizeof **out);
    if (!*out) return err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    memcpy(*out, x, t->n_rows * sizeof *x);
    return ST_OK;
}

/* Optional columns: absent cells stay NaN and are written as null; a column that is no number at all is left out. */
static void take_optional(double **out, const table *t, const char *name)
{
    err ignored = {0};
    if (take(out, t, name, &ignored)) *out = NULL;
    for (size_t i = 0; i < t->n_rows && *out; i++)
        if (!((*out)[i] > 0) || isinf((*out)[i])) (*out)[i] = NAN;
}

static status take_clusters(fit_data *d, const table *t, const char *name, err *e)
{
    const table_column *c = table_col(t, name);
    if (!c) return err_set(e, ST_INPUT, "--cluster: no column '%s'", name);
    d->cluster = malloc((t->n_rows + 1) * sizeof *d->cluster);
    double *seen = malloc((t->n_rows + 1) * sizeof *seen);
    uint32_t n = 0;
    for (size_t i = 0; i < t->n_rows && d->cluster && seen; i++) {
        uint32_t k = 0;
        while (k < n && seen[k] != c->x[i]) k++;
        if (isnan(c->x[i]) || k == n) seen[k = n++] = c->x[i]; /* absent: a cluster of its own */
        d->cluster[i] = k;
    }
    snprintf(d->cluster_name, sizeof d->cluster_name, "%s", name);
    free(seen);
    return d->cluster && seen ? ST_OK : err_set(e, ST_NOMEM, "no memory for clusters");
}

/* "largest": rows whose compute (else x) is more than half of the largest. */
static status hold_out(fit_data *d, const table *t, const char *expr, err *e)
{
    d->held_out = calloc(d->n + 1, sizeof *d->held_out);
    if (!d->held_out) return err_set(e, ST_NOMEM, "no memory for %zu rows", d->n);
    if (strcmp(expr, "largest")) {
        status s = table_match(t, expr, d->held_out, e);
        return s ? err_prefix(e, "--hold-out") : ST_OK;
    }
    double top = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < d->n; i++) {
            double size = d->C && isfinite(d->C[i]) ? d->C[i] : d->x ? d->x[i] : d->N[i] * (d->D ? d->D[i] : 1);
            if (pass == 0) top = fmax(top, size);
            else d->held_out[i] = size > top / 2;
        }
    return ST_OK;
}

/* sd of ln loss between rows that agree in everything a run is made of but its seed; pooled. */
static double seed_noise(const fit_data *d, const table *t)
{
    static const char *const same[] = {"N",
                                       "D",
                                       "C",
                                       "U",
                                       "x",
                                       "lr",
                                       "width",
                                       "depth",
                                       "batch_tokens",
                                       "parametrisation",
                                       "d_ff",
                                       "n_head",
                                       "n_layer",
                                       "weight_decay",
                                       "schedule",
                                       "warmup_tokens",
                                       "dataset"};
    const table_column *seed = table_col(t, "seed"), *cols[sizeof same / sizeof *same];
    size_t n_cols = 0;
    double square = 0, dof = 0;
    if (!seed) return NAN;
    for (size_t k = 0; k < sizeof same / sizeof *same; k++)
        if (table_col(t, same[k])) cols[n_cols++] = table_col(t, same[k]);
    bool *used = calloc(d->n + 1, sizeof *used);
    for (size_t i = 0; i < d->n && used; i++) {
        double mean = 0, squares = 0, n = 0;
        for (size_t j = i; j < d->n && !used[i]; j++) {
            bool equal = !used[j];
            for (size_t k = 0; k < n_cols && equal; k++) {
                double a = cols[k]->x[i], b = cols[k]->x[j];
                equal = a == b || (isnan(a) && isnan(b));
            }
            if (!equal || (j != i && seed->x[j] == seed->x[i])) continue;
            double l = log(d->loss[j]), delta = l - mean;
            mean += delta / ++n;
            squares += delta * (l - mean);
            if (j != i) used[j] = true;
        }
        if (n > 1) square += squares, dof += n - 1;
    }
    free(used);
    return dof > 0 ? sqrt(square / dof) : NAN;
}

static status fill(fit_data *d, const table *t, const char *const *cols, size_t n_cols, const fit_input_opts *o, err *e)
{
    status s = take(&d->loss, t, "loss", e);
    d->n = t->n_rows;
    for (size_t c = 0; c < n_cols && !s; c++) {
        if (!strcmp(cols[c], "N")) s = take(&d->N, t, "N", e);
        else if (!strcmp(cols[c], "D")) s = take(&d->D, t, "D", e);
        else if (!strcmp(cols[c], "C")) s = take(&d->C, t, "C", e);
        if (!s && d->x_name[0] && !strcmp(cols[c], d->x_name)) s = take(&d->x, t, cols[c], e);
    }
    if (!s && !d->N) take_optional(&d->N, t, "N");
    if (!s && !d->D) take_optional(&d->D, t, "D");
    if (!s && !d->C) take_optional(&d->C, t, "C");
    if (!s && o->cluster) s = take_clusters(d, t, o->cluster, e);
    if (!s && o->hold_out) s = hold_out(d, t, o->hold_out, e);
    if (s) return s;
    d->inputs = malloc((t->n_sources + 1) * sizeof *d->inputs);
    if (!d->inputs) return err_set(e, ST_NOMEM, "no memory");
    memcpy(d->inputs, t->sources, t->n_sources * sizeof *d->inputs);
    d->n_inputs = t->n_sources;
    d->seed_sd = seed_noise(d, t);
    return ST_OK;
}

status fit_input(fit_data *out, table *t, const fit_law *law, const fit_input_opts *o, fit_say_fn *say, void *who,
                 err *e)
{
    static const char *const isoflop_cols[] = {"N", "C"};
    teller tl = {say, who};
    const char *cols[FIT_MAX_COLS];
    const double *ignored;
    size_t n_cols = law ? law->n_cols : 2, before = t->n_rows, kept;
    memset(out, 0, sizeof *out);
    out->seed_sd = NAN;
    for (size_t c = 0; c < n_cols; c++) {
        cols[c] = law ? law->cols[c] : isoflop_cols[c];
        if (strcmp(cols[c], "x")) continue;
        if (!o->x)
            return err_set(e, ST_USAGE,
                           "law %s is a law of one variable: name it with --x N, D, C, step or another column",
                           law->name);
        cols[c] = o->x;
        snprintf(out->x_name, sizeof out->x_name, "%s", o->x);
    }
    if (law && o->x && !out->x_name[0])
        return err_set(e, ST_USAGE, "--x: law %s takes %s and %s, it has no free variable", law->name, law->cols[0],
                       law->cols[1]);
    status s = fit_input_columns(t, o, say, who, e);
    if (!s) s = conventions(out, t, o, &tl, e);
    if (!s) s = derive(t, out, &tl, e);
    for (size_t c = 0; c < n_cols && !s; c++)
        s = need(t, cols[c], &ignored,
                 strchr("NDC", cols[c][0]) && !cols[c][1] && !strcmp(out->flops_rule, "unstated")
                     ? " (with --flops-rule 6N the third of N, D, C is derived)"
                     : "",
                 e);
    if (!s) s = need(t, "loss", &ignored, "", e);
    bool *keep = s ? NULL : malloc((t->n_rows + 1) * sizeof *keep);
    if (!s && !keep) s = err_set(e, ST_NOMEM, "no memory for %zu rows", t->n_rows);
    if (!s) s = drop_unfinished(out, t, keep, &tl);
    if (!s && o->where) {
        size_t rows = t->n_rows;
        s = table_where(t, o->where, &kept, e);
        if (s) err_prefix(e, "--where");
        else count_dropped(out, "where", rows - kept);
    }
    if (!s) s = drop_rows(out, t, keep, cols, n_cols, &tl, e);
    free(keep);
    if (!s) s = fill(out, t, cols, n_cols, o, e);
    if (s) return s;
    char text[256] = "";
    for (size_t k = 0; k < out->n_dropped; k++) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%zu %s", k ? ", " : "; dropped: ", out->dropped[k].n,
                 out->dropped[k].why);
    }
    tell(&tl, 0, "%zu rows read, %zu used%s", before, out->n, text);
    return ST_OK;
}
