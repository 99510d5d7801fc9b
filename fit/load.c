/* Reading muscale.fit/1, strictly: a key that is missing or of another type is an error naming file and key. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/run.h"

static const size_t MAX_BYTES = (size_t)256 << 20;
typedef struct loader { const char *path; err *e; } loader;

static status lacks(const loader *l, const char *key)
{
    return err_set(l->e, ST_INPUT,
                   "%s: key '%s' is missing or not what muscale.fit/1 says; make the file anew with muscale fit -o",
                   l->path, key);
}

static double number(const json_t *v) { return json_is_number(v) ? json_number_value(v) : NAN; }

static status text(const loader *l, char *out, size_t size, const json_t *o, const char *key, bool required)
{
    const json_t *v = json_object_get(o, key);
    out[0] = 0;
    if (json_is_string(v) && json_string_length(v) < size) snprintf(out, size, "%s", json_string_value(v));
    else if (required || (v && !json_is_null(v))) return lacks(l, key);
    return ST_OK;
}

static status whole(const loader *l, size_t *out, const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v) || json_integer_value(v) < 0) return lacks(l, key);
    *out = (size_t)json_integer_value(v);
    return ST_OK;
}

static status column(const loader *l, double **out, const json_t *o, const char *key, size_t n)
{
    const json_t *a = json_object_get(o, key);
    if (!a || json_is_null(a)) return ST_OK;
    if (json_array_size(a) != n || !json_is_array(a)) return lacks(l, key);
    *out = malloc((n + 1) * sizeof **out);
    if (!*out) return err_set(l->e, ST_NOMEM, "%s: no memory", l->path);
    for (size_t i = 0; i < n; i++) (*out)[i] = number(json_array_get(a, i));
    return ST_OK;
}

static void estimate(fit_estimate *p, const json_t *root, const char *group, const char *name)
{
    const json_t *o = *group ? json_object_get(root, group) : root,
                 *ci = json_object_get(json_object_get(root, "ci95"), name);
    p->value = number(json_object_get(o, name));
    p->raw = number(json_object_get(json_object_get(root, "raw"), name));
    p->se = number(json_object_get(json_object_get(root, "se"), name));
    p->lo = number(json_array_get(ci, 0));
    p->hi = number(json_array_get(ci, 1));
}

static bool listed(const json_t *array, const char *name)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *s = json_string_value(json_array_get(array, i));
        if (s && !strcmp(s, name)) return true;
    }
    return false;
}

static status read_params(const loader *l, fit_result *r, json_t *root)
{
    json_t *o = json_object_get(root, "params"), *value;
    const char *name;
    if (!json_is_object(o) || json_object_size(o) > FIT_MAX_PARAMS) return lacks(l, "params");
    json_object_foreach(o, name, value) {
        if (strlen(name) >= FIT_NAME || !(json_is_number(value) || json_is_null(value))) return lacks(l, "params");
        fit_estimate *p = &r->params[r->n_params];
        snprintf(r->names[r->n_params++], FIT_NAME, "%s", name);
        estimate(p, root, "params", name);
        p->fixed = listed(json_object_get(root, "fixed"), name);
        p->at_bound = listed(json_object_get(root, "at_bound"), name);
    }
    const json_t *opt = json_object_get(root, "optimum");
    estimate(&r->a_opt, opt, "", "a_opt");
    estimate(&r->b_opt, opt, "", "b_opt");
    estimate(&r->G, opt, "", "G");
    const json_t *basins = json_object_get(root, "basins");
    for (size_t b = 0; b < json_array_size(basins) && b < FIT_MAX_BASINS; b++) {
        const json_t *basin = json_array_get(basins, b), *v = json_object_get(basin, "params");
        for (size_t j = 0; j < r->n_params; j++) r->basins[b].params[j] = number(json_object_get(v, r->names[j]));
        r->basins[b].objective_value = number(json_object_get(basin, "objective_value"));
        r->basins[b].n_starts = (size_t)json_integer_value(json_object_get(basin, "n_starts"));
        r->n_basins = b + 1;
    }
    return ST_OK;
}

static status read_points(const loader *l, fit_result *r, const json_t *root)
{
    const json_t *o = json_object_get(root, "points");
    if (!json_is_object(o)) return lacks(l, "points");
    size_t n = json_array_size(json_object_get(o, "loss"));
    fit_data *p = &r->points;
    p->n = n;
    if (n != r->n_points) return lacks(l, "points/loss");
    status s = column(l, &p->N, o, "N", n);
    if (!s) s = column(l, &p->D, o, "D", n);
    if (!s) s = column(l, &p->C, o, "C", n);
    if (!s) s = column(l, &p->x, o, "x", n);
    if (!s) s = column(l, &p->loss, o, "loss", n);
    if (!s) s = column(l, &r->fitted, o, "fitted", n);
    const json_t *dropped = json_object_get(root, "dropped");
    for (size_t k = 0; k < json_array_size(dropped) && k < FIT_MAX_DROPPED && !s; k++) {
        s = text(l, p->dropped[k].why, sizeof p->dropped[k].why, json_array_get(dropped, k), "why", true);
        if (!s) s = whole(l, &p->dropped[k].n, json_array_get(dropped, k), "n");
        p->n_dropped = k + 1;
    }
    const json_t *inputs = json_object_get(json_object_get(root, "provenance"), "inputs");
    size_t n_inputs = json_array_size(inputs);
    if (n_inputs && !s && !(p->inputs = calloc(n_inputs, sizeof *p->inputs)))
        return err_set(l->e, ST_NOMEM, "%s: no memory", l->path);
    for (size_t k = 0; k < n_inputs && !s; k++, p->n_inputs++) {
        s = text(l, p->inputs[k].path, sizeof p->inputs[k].path, json_array_get(inputs, k), "path", true);
        if (!s) s = text(l, p->inputs[k].sha256, sizeof p->inputs[k].sha256, json_array_get(inputs, k), "sha256", true);
        if (!s) s = whole(l, &p->inputs[k].n_rows, json_array_get(inputs, k), "rows");
    }
    return s;
}

static status read_bootstrap(const loader *l, fit_result *r, const json_t *root)
{
    const json_t *o = json_object_get(root, "bootstrap"), *samples = json_object_get(o, "samples");
    if (!json_is_object(o)) return ST_OK; /* other methods may have none */
    status s = whole(l, &r->boot_n, o, "n");
    if (!s) s = whole(l, &r->boot_ok, o, "n_ok");
    if (s) return s;
    size_t seed = 0;
    s = whole(l, &seed, o, "seed");
    r->seed = seed;
    r->samples = calloc(r->boot_ok * r->n_params + 1, sizeof *r->samples);
    if (!r->samples) return err_set(l->e, ST_NOMEM, "%s: no memory", l->path);
    for (size_t j = 0; j < r->n_params && !s; j++) {
        double *x = NULL;
        if (json_array_size(json_object_get(samples, r->names[j])) != r->boot_ok) return lacks(l, "bootstrap/samples");
        s = column(l, &x, samples, r->names[j], r->boot_ok);
        for (size_t b = 0; b < r->boot_ok && x; b++) r->samples[b * r->n_params + j] = x[b];
        free(x);
    }
    return s;
}

static status read_trust(const loader *l, fit_result *r, const json_t *root)
{
    const json_t *t = json_object_get(root, "trust"), *reasons = json_object_get(t, "reasons");
    const char *v = json_string_value(json_object_get(t, "verdict"));
    int found = -1;
    for (int k = 0; k <= FIT_REFUSE; k++)
        if (v && !strcmp(v, fit_verdict_name((fit_verdict)k))) found = k;
    if (found < 0 || !json_is_array(reasons)) return lacks(l, "trust");
    for (size_t k = 0; k < json_array_size(reasons); k++) {
        char code[32], message[FIT_TEXT];
        const json_t *reason = json_array_get(reasons, k);
        status s = text(l, code, sizeof code, reason, "code", true);
        if (!s) s = text(l, message, sizeof message, reason, "message", true);
        if (s) return s;
        fit_trust_add(&r->trust, FIT_OK, code, number(json_object_get(reason, "value")), "%s", message);
    }
    r->trust.verdict = (fit_verdict)found;
    return ST_OK;
}

static status read_budgets(const loader *l, fit_result *r, const json_t *root)
{
    const json_t *a = json_object_get(root, "budgets");
    size_t n = json_array_size(a);
    if (!n) return ST_OK;
    r->budgets = calloc(n, sizeof *r->budgets);
    if (!r->budgets) return err_set(l->e, ST_NOMEM, "%s: no memory", l->path);
    for (size_t k = 0; k < n; k++, r->n_budgets++) {
        fit_budget *b = &r->budgets[k];
        const json_t *o = json_array_get(a, k);
        b->C = number(json_object_get(o, "C"));
        b->N_opt = number(json_object_get(o, "N_opt"));
        b->D_opt = number(json_object_get(o, "D_opt"));
        b->loss_opt = number(json_object_get(o, "loss_opt"));
        b->curvature = number(json_object_get(o, "curvature"));
        b->bracketed = json_is_true(json_object_get(o, "bracketed"));
        status s = whole(l, &b->n, o, "n");
        if (!s) s = text(l, b->why, sizeof b->why, o, "why", false);
        if (s) return s;
    }
    return ST_OK;
}

static status read_all(const loader *l, fit_result *r, json_t *root)
{
    char schema[32];
    status s = text(l, schema, sizeof schema, root, "schema", false);
    if (s || strcmp(schema, "muscale.fit/1"))
        return err_set(l->e, ST_INPUT,
                       "%s: not a fit (schema %s, muscale.fit/1 is needed); make one with muscale fit ... -o FIT.json",
                       l->path, !s && schema[0] ? schema : "absent");
    s = text(l, r->law, sizeof r->law, root, "law", true);
    if (!s) s = text(l, r->method, sizeof r->method, root, "method", true);
    if (!s) s = text(l, r->x, sizeof r->x, root, "x", false);
    if (!s) s = text(l, r->objective, sizeof r->objective, root, "objective", false);
    if (!s) s = text(l, r->solver, sizeof r->solver, root, "solver", false);
    if (!s) s = text(l, r->count_rule, sizeof r->count_rule, root, "count_rule", true);
    if (!s) s = text(l, r->flops_rule, sizeof r->flops_rule, root, "flops_rule", true);
    if (!s) s = whole(l, &r->n_points, root, "n_points");
    if (!s) s = whole(l, &r->n_dropped, root, "n_dropped");
    if (!s) s = read_trust(l, r, root);
    if (s) return s;
    r->delta = number(json_object_get(root, "delta"));
    r->objective_value = number(json_object_get(root, "objective_value"));
    const json_t *noise = json_object_get(root, "noise"), *starts = json_object_get(root, "starts"),
                 *holdout = json_object_get(root, "holdout");
    r->residual_sd = number(json_object_get(noise, "residual_sd"));
    r->seed_sd = number(json_object_get(noise, "seed_sd"));
    r->n_starts = (size_t)json_integer_value(json_object_get(starts, "n"));
    r->n_reached = (size_t)json_integer_value(json_object_get(starts, "reached_best"));
    r->n_rejected = (size_t)json_integer_value(json_object_get(starts, "rejected"));
    r->holdout_n = (size_t)json_integer_value(json_object_get(holdout, "n"));
    r->holdout_mean = number(json_object_get(holdout, "mean_abs_rel_err"));
    r->holdout_max = number(json_object_get(holdout, "max_abs_rel_err"));
    s = read_params(l, r, root);
    if (!s) s = read_points(l, r, root);
    if (!s) s = read_bootstrap(l, r, root);
    if (!s) s = read_budgets(l, r, root);
    static const char *const others[] = {"groups", "trend"};
    for (size_t k = 0; k < 2 && !s; k++) {
        json_t *v = json_object_get(root, others[k]);
        if (v && !r->extra) r->extra = json_object();
        if (v) json_object_set(r->extra, others[k], v);
    }
    return s;
}

status fit_load(fit_result *out, const char *path, err *e)
{
    char *bytes = NULL;
    size_t n = 0;
    loader l = {path, e};
    json_error_t where;
    memset(out, 0, sizeof *out);
    status s = io_read_file(&bytes, &n, path, MAX_BYTES, e);
    if (s) return s;
    json_t *root = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &where);
    free(bytes);
    if (!json_is_object(root)) {
        s = root ? err_set(e, ST_INPUT, "%s: not a fit; make one with muscale fit ... -o FIT.json", path)
                 : err_set(e, ST_INPUT, "%s:%d:%d: not valid JSON (%s); the file is damaged or no fit", path,
                           where.line, where.column, where.text);
        json_decref(root);
        return s;
    }
    s = read_all(&l, out, root);
    json_decref(root);
    return s;
}
