/* Which column is what. Nothing is guessed in silence: every choice is said. Accepted names: doc/formats.md. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/input.h"

enum { MAX_ALIASES = 10, MAX_NAMED = 20 };
typedef struct role { const char *name; const char *aliases[MAX_ALIASES]; } role;

/* Validation loss before training loss: two roles, both answer to "loss". */
static const role roles[] = {
    {"loss", {"val_loss", "val/loss", "eval/loss", "eval_loss", "tel"}},
    {"loss", {"loss", "final_loss", "train_loss", "train/loss", "trl"}},
    {"N", {"N", "n_params_total", "n_params", "params", "parameters", "model_size", "Model Size"}},
    {"N_nonembed", {"N_nonembed", "n_params_non_embed", "params_no_embed", "N_no_emb"}},
    {"D", {"D", "tokens", "tokens_seen", "tokens_trained", "num_tokens", "train/tokens"}},
    {"U", {"U", "unique_tokens"}},
    {"C", {"C", "flops", "compute_budget", "flops_budget", "Training FLOP"}},
    {"M", {"M", "tokens_per_param"}},
    {"lr", {"lr", "learning_rate", "peak_lr"}},
    {"step", {"step", "iter", "iteration", "global_step", "trainer/global_step"}},
    {"step", {"_step"}}, /* W&B counts its own log calls: only where nothing else does */
    {"width", {"width", "d_model"}},
    {"depth", {"depth", "n_layer"}},
    {"batch_tokens", {"batch_tokens"}},
    {"seed", {"seed"}},
    {"run", {"run"}},
    {"parametrisation", {"parametrisation"}},
};
enum { N_ROLES = sizeof roles / sizeof *roles };

void fit_tell(const fit_teller *t, int level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    if (!t->say) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    t->say(t->who, level, text);
}

/* Also in a text that `sweep collect` made of a store: each row names the journal it is from. */
bool fit_row_from_store(const table *t, size_t row)
{
    const table_column *journal = table_col(t, "journal_xxh64");
    return !t->row_line[row] || (journal && !isnan(journal->x[row]));
}

/* Rows of a run store carry canonical names; other config keys beside them are no second candidates. */
bool fit_from_store(const table *t)
{
    for (size_t i = 0; i < t->n_rows; i++)
        if (!fit_row_from_store(t, i)) return false;
    return t->n_rows > 0;
}

void fit_list_columns(char *out, size_t size, const table *t)
{
    size_t n = 0;
    out[0] = 0;
    for (size_t i = 0; i < t->n_cols && i < MAX_NAMED && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i ? ", " : "", t->cols[i].name);
    if (t->n_cols > MAX_NAMED && n < size) snprintf(out + n, size - n, ", ...");
}

/* Copies column `from` under the canonical name; words are kept as words. */
status fit_alias(table *t, const char *name, const char *from, err *e)
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

static status stated(table *t, const fit_input_opts *o, bool *done, const fit_teller *say, err *e)
{
    (void)say;
    for (size_t k = 0; k < o->n_cols; k++) {
        char name[TABLE_NAME_MAX], columns[768];
        const char *eq = strchr(o->cols[k], '=');
        if (!eq || eq == o->cols[k] || !eq[1] || (size_t)(eq - o->cols[k]) >= sizeof name)
            return err_set(e, ST_USAGE, "--col '%s': write NAME=COLUMN, as in --col N=params", o->cols[k]);
        snprintf(name, sizeof name, "%.*s", (int)(eq - o->cols[k]), o->cols[k]);
        if (!table_col(t, eq + 1)) {
            fit_list_columns(columns, sizeof columns, t);
            return err_set(e, ST_INPUT, "%s: no column '%s' (from --col); it has: %s",
                           t->n_sources ? t->sources[0].path : "input", eq + 1, columns);
        }
        status s = fit_alias(t, name, eq + 1, e);
        if (s) return s;
        for (size_t r = 0; r < N_ROLES; r++)
            if (!strcmp(roles[r].name, name)) done[r] = true;
    }
    return ST_OK;
}

static status guess(table *t, const role *r, bool *found, const fit_teller *say, err *e)
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
    fit_tell(say, 0, "column '%s' taken as %s", match, r->name);
    return fit_alias(t, r->name, match, e);
}

/* A role listed twice: what stands first wins, and that is said when the table has the other too. */
static bool have_already(const table *t, const bool *found, size_t r, const fit_teller *say)
{
    for (size_t k = 0; k < r; k++) {
        if (!found[k] || strcmp(roles[k].name, roles[r].name)) continue;
        for (size_t a = 0; a < MAX_ALIASES && roles[r].aliases[a]; a++) {
            const char *other = roles[r].aliases[a];
            if (strcmp(other, roles[r].name) && table_col(t, other))
                fit_tell(say, 0, "%s is not the column '%s' (--col %s=%s for that)", roles[r].name, other, roles[r].name, other);
        }
        return true;
    }
    return false;
}

status fit_input_columns(table *t, const fit_input_opts *o, fit_say_fn *say, void *who, err *e)
{
    fit_teller tl = {say, who};
    bool done[N_ROLES] = {0}, found[N_ROLES] = {0}, store = fit_from_store(t), own_loss = table_col(t, "loss") != NULL;
    status s = stated(t, o, done, &tl, e);
    for (size_t r = 0; r < N_ROLES && !s && !store; r++) {
        if (done[r] || have_already(t, found, r, &tl)) continue;
        s = guess(t, &roles[r], &found[r], &tl, e);
        if (r == 0 && found[0] && own_loss)
            fit_tell(&tl, 0, "validation loss is used, not the column 'loss' (--col loss=loss for that)");
    }
    return s;
}

const char *fit_column_role(const table *t, const char *name)
{
    for (size_t r = 0; r < N_ROLES; r++)
        for (size_t a = 0; a < MAX_ALIASES && roles[r].aliases[a]; a++)
            if (!strcasecmp(roles[r].aliases[a], name) && strlen(name) > 1 && strcmp(roles[r].name, name))
                for (size_t k = 0; k < MAX_ALIASES && roles[r].aliases[k]; k++)
                    if (table_col(t, roles[r].aliases[k])) return roles[r].name;
    return NULL;
}

/* "NAME=COLUMN": NAME is cut out of the option into the room behind the list. */
status fit_column_names(const char ***names, size_t *n, const table *t, const fit_input_opts *o, err *e)
{
    size_t most = N_ROLES + o->n_cols + t->n_cols;
    char (*cut)[TABLE_NAME_MAX];
    const char **list = malloc(most * sizeof *list + o->n_cols * sizeof *cut);
    if (!list) return err_set(e, ST_NOMEM, "no memory for column names");
    cut = (void *)(list + most);
    *n = 0;
    for (size_t r = 0; r < N_ROLES; r++)
        if (!r || strcmp(roles[r].name, roles[r - 1].name)) list[(*n)++] = roles[r].name;
    for (size_t k = 0; k < o->n_cols; k++) {
        const char *eq = strchr(o->cols[k], '=');
        if (!eq || (size_t)(eq - o->cols[k]) >= sizeof *cut) continue; /* reported when columns are assigned */
        snprintf(cut[k], sizeof *cut, "%.*s", (int)(eq - o->cols[k]), o->cols[k]);
        list[(*n)++] = cut[k];
    }
    for (size_t c = 0; c < t->n_cols; c++) list[(*n)++] = t->cols[c].name;
    *names = list;
    return ST_OK;
}
