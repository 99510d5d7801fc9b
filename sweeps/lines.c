#include "sweeps/lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "trainer/config_base.h"

enum { LEAST_SIZES = 2, LEAST_VALUES = 3, MAX_KEYS = 8 };

const char *const sweep_axis_names[SWEEP_AXES] = {"width", "depth", "horizon"};
const char *const sweep_line_x[] = {"lr", "init_std", "weight_decay", "batch_tokens", "eps", NULL};

/* What a size takes with it. */
static const char *const axis_keys[SWEEP_AXES][MAX_KEYS] = {
    {"d_model", "d_ff", "n_kv_head", "head_dim"}, {"n_layer"}, {"tokens"}};
static const char *const seeds[] = {"seed", "data_seed", NULL};

typedef struct entry {
    char *key;
    sweep_point at;
} entry; /* key: the canonical text of what must be equal */

typedef struct finder {
    sweep_lines *out;
    const sweep_plan *p;
    entry *entries;
    size_t n_entries; /* of one axis and x */
    bool *used;       /* [n_runs] in a line of any axis and x */
    bool loose;       /* entries agree in their parametrisation only */
    char **bundles;
    size_t n_bundles;
} finder;

static bool listed(const char *const *names, const char *line, size_t n)
{
    for (; *names; names++)
        if (strlen(*names) == n && !memcmp(*names, line, n)) return true;
    return false;
}

/* Text of lines "key=value" without those of the seeds and of keys a, b (NULL-terminated). malloc'ed. */
static char *without(const char *canonical, const char *const *a, const char *const *b)
{
    char *text = strdup(canonical), *to = text;
    for (const char *p = canonical; text && *p;) {
        const size_t key = strcspn(p, "=\n"), end = strcspn(p, "\n"), line = end + (p[end] == '\n');
        if (!listed(a, p, key) && !listed(b, p, key) && !listed(seeds, p, key)) memcpy(to, p, line), to += line;
        p += line;
    }
    if (text) *to = 0;
    return text;
}

static double number(const trainer_config *c, const char *key)
{
    char buf[IO_PATH_MAX];
    double x = 0;
    num_parse_f64(config_value(c, config_find(key), buf), &x);
    return x;
}

static double size_of(const trainer_config *c, sweep_axis axis) { return number(c, axis_keys[axis][0]); }

static int by_key(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    const int keys = strcmp(x->key, y->key);
    if (keys) return keys;
    if (x->at.size != y->at.size) return x->at.size < y->at.size ? -1 : 1;
    if (x->at.x != y->at.x) return x->at.x < y->at.x ? -1 : 1;
    return x->at.run < y->at.run ? -1 : x->at.run > y->at.run;
}

static void drop_entries(finder *f)
{
    for (size_t i = 0; i < f->n_entries; i++) free(f->entries[i].key);
    f->n_entries = 0;
}

/* Sizes with too few values of x are taken out of e[n]; how many sizes are left. */
static size_t dense(entry *e, size_t *n)
{
    size_t kept = 0, sizes = 0;
    for (size_t i = 0, j; i < *n; i = j) {
        size_t values = 1;
        for (j = i + 1; j < *n && e[j].at.size == e[i].at.size; j++) values += e[j].at.x != e[j - 1].at.x;
        if (values < LEAST_VALUES) continue;
        sizes++;
        for (size_t k = i; k < j; k++) {
            const entry keep = e[k]; /* swapped, since the keys are freed later */
            e[k] = e[kept];
            e[kept++] = keep;
        }
    }
    *n = kept;
    return sizes;
}

/* ---- what may differ along a line ----------------------------------------------------------------------------- */

/* A model as one that was tuned itself: its base is what the line asks about, not what it was told. */
static trainer_config alone(const trainer_config *c)
{
    trainer_config b = *c;
    b.base_width = b.base_depth = b.base_d_ff = b.base_batch_tokens = b.base_tokens = 0;
    return b;
}

/* The clauses of a note, "key: ...; key: ...", but for the axis's own: that is the question, not what confounds it. */
static void say_confounded(sweep_line *l, const char *note)
{
    const char *own = axis_keys[l->axis][0];
    l->note[0] = 0;
    for (const char *p = note, *end; *p; p = *end ? end + 2 : end) {
        end = strstr(p, "; ");
        if (!end) end = p + strlen(p);
        const size_t used = strlen(l->note);
        if (strncmp(p, own, strlen(own)) || p[strlen(own)] != ':')
            snprintf(l->note + used, sizeof l->note - used, "%s%.*s", used ? "; " : "", (int)(end - p), p);
    }
}

static status check_pair(sweep_line *l, const trainer_config *small, const trainer_config *large, err *e)
{
    trainer_config base = alone(small), target = alone(large);
    config_base_note note;
    const config_key *x = config_find(l->x);
    char value[IO_PATH_MAX];
    base.base_head_dim = 0;
    config_value(&target, x, value);
    status s = config_set(&base, l->x, value, "transfer", e); /* x is what is compared */
    if (!s) s = config_set_base(&target, &base, false, &note, e);
    if (s)
        return err_prefix(e, "%s %s: from %s %.10g to %.10g", l->parametrisation, l->x, sweep_axis_names[l->axis],
                          size_of(small, l->axis), size_of(large, l->axis));
    say_confounded(l, note.text);
    return ST_OK;
}

static status check_line(sweep_line *l, const sweep_plan *p, err *e)
{
    status s = ST_OK;
    for (size_t i = 1; i < l->n_points && !s; i++)
        if (l->points[i].size != l->points[i - 1].size)
            s = check_pair(l, &p->runs[l->points[0].run].config, &p->runs[l->points[i].run].config, e);
    return s;
}

/* ---- lines ---------------------------------------------------------------------------------------------------- */

static size_t bundle_of(finder *f, const sweep_line *l, const char *key, err *e)
{
    static const char *const tokens[] = {"tokens", NULL};
    char *plain = without(key, tokens, tokens), *name = NULL;
    if (plain && asprintf(&name, "%s over %s\n%s", l->x, sweep_axis_names[l->axis], plain) < 0) name = NULL;
    free(plain);
    for (size_t i = 0; i < f->n_bundles && name; i++)
        if (!strcmp(f->bundles[i], name)) return free(name), i;
    char **more = name ? realloc(f->bundles, (f->n_bundles + 1) * sizeof *more) : NULL;
    if (!more) {
        free(name);
        err_set(e, ST_NOMEM, "transfer: no memory");
        return SIZE_MAX;
    }
    f->bundles = more;
    f->bundles[f->n_bundles] = name;
    return f->n_bundles++;
}

static size_t panel_of(sweep_lines *all, const sweep_line *l)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->lines[i].axis == l->axis && all->lines[i].x == l->x) return all->lines[i].panel;
    return all->n_panels++;
}

static void describe(sweep_line *l, const trainer_config *c)
{
    const shape *m = &c->shape;
    if (l->axis == SWEEP_WIDTH)
        snprintf(l->fixed, sizeof l->fixed, "n_layer %" PRId64 ", tokens %" PRId64, m->n_layer, c->tokens);
    else if (l->axis == SWEEP_DEPTH)
        snprintf(l->fixed, sizeof l->fixed, "d_model %" PRId64 ", tokens %" PRId64, m->d_model, c->tokens);
    else snprintf(l->fixed, sizeof l->fixed, "d_model %" PRId64 ", n_layer %" PRId64, m->d_model, m->n_layer);
}

static status add_line(finder *f, const entry *e0, size_t n, size_t n_sizes, sweep_axis axis, const char *x, err *e)
{
    sweep_lines *all = f->out;
    sweep_line *more = realloc(all->lines, (all->n + 1) * sizeof *more);
    if (!more) return err_set(e, ST_NOMEM, "transfer: no memory");
    all->lines = more;
    sweep_line *l = &all->lines[all->n];
    const trainer_config *c = &f->p->runs[e0[0].at.run].config;
    *l = (sweep_line){.axis = axis, .x = x, .n_points = n, .n_sizes = n_sizes};
    snprintf(l->parametrisation, sizeof l->parametrisation, "%s", c->parametrisation);
    l->panel = panel_of(all, l);
    l->points = malloc(n * sizeof *l->points);
    if (!l->points) return err_set(e, ST_NOMEM, "transfer: no memory");
    all->n++;
    for (size_t i = 0; i < n; i++) {
        l->points[i] = e0[i].at;
        f->used[e0[i].at.run] = true;
    }
    if ((l->bundle = bundle_of(f, l, e0[0].key, e)) == SIZE_MAX) return ST_NOMEM;
    describe(l, c);
    return check_line(l, f->p, e);
}

/* Where entries agree in their parametrisation only, runs of one size must still be equal but for x and seeds. */
static bool one_setting_a_size(const finder *f, const entry *e0, size_t n, const char *x)
{
    const char *const own[] = {x, NULL}, *const none[] = {NULL};
    bool same = true;
    for (size_t i = 1; i < n && same; i++) {
        if (e0[i].at.size != e0[i - 1].at.size) continue;
        char *t[2], *plain[2];
        for (int k = 0; k < 2; k++) {
            t[k] = config_canonical(&f->p->runs[e0[i - (size_t)k].at.run].config);
            plain[k] = t[k] ? without(t[k], own, none) : NULL;
        }
        same = plain[0] && plain[1] && !strcmp(plain[0], plain[1]);
        for (int k = 0; k < 2; k++) free(t[k]), free(plain[k]);
    }
    return same;
}

static status cut_lines(finder *f, sweep_axis axis, const char *x, err *e)
{
    status s = ST_OK;
    qsort(f->entries, f->n_entries, sizeof *f->entries, by_key);
    for (size_t i = 0, j; i < f->n_entries && !s; i = j) {
        for (j = i + 1; j < f->n_entries && !strcmp(f->entries[j].key, f->entries[i].key);) j++;
        size_t n = j - i;
        const size_t sizes = dense(f->entries + i, &n);
        if (sizes >= LEAST_SIZES && (!f->loose || one_setting_a_size(f, f->entries + i, n, x)))
            s = add_line(f, f->entries + i, n, sizes, axis, x, e);
    }
    return s;
}

static status add_entry(finder *f, size_t run, char *key, sweep_axis axis, const char *x, err *e)
{
    const trainer_config *c = &f->p->runs[run].config;
    if (!key) return err_set(e, ST_NOMEM, "transfer: no memory");
    if (!(number(c, x) > 0)) return free(key), ST_OK;
    f->entries[f->n_entries++] = (entry){key, {run, size_of(c, axis), number(c, x)}};
    return ST_OK;
}

static status find_on(finder *f, sweep_axis axis, const char *x, err *e)
{
    const char *const own[] = {x, NULL};
    status s = ST_OK;
    for (size_t i = 0; i < f->p->n_runs && !s; i++) {
        char *text = config_canonical(&f->p->runs[i].config);
        s = add_entry(f, i, text ? without(text, axis_keys[axis], own) : NULL, axis, x, e);
        free(text);
    }
    if (!s) s = cut_lines(f, axis, x, e);
    drop_entries(f);
    return s;
}

/* Runs of no line, by parametrisation alone: what else changes is then checked, and said. */
static status find_left(finder *f, sweep_axis axis, const char *x, err *e)
{
    status s = ST_OK;
    f->loose = true;
    for (size_t i = 0; i < f->p->n_runs && !s; i++)
        if (!f->used[i]) s = add_entry(f, i, strdup(f->p->runs[i].config.parametrisation), axis, x, e);
    if (!s) s = cut_lines(f, axis, x, e);
    drop_entries(f);
    return s;
}

status sweep_lines_find(sweep_lines *out, const sweep_plan *p, err *e)
{
    finder f = {.out = out, .p = p};
    status s = ST_OK;
    memset(out, 0, sizeof *out);
    f.entries = calloc(p->n_runs + 1, sizeof *f.entries);
    f.used = calloc(p->n_runs + 1, sizeof *f.used);
    if (!f.entries || !f.used) s = err_set(e, ST_NOMEM, "transfer: no memory for %zu runs", p->n_runs);
    for (int axis = 0; axis < SWEEP_AXES && !s; axis++)
        for (const char *const *x = sweep_line_x; *x && !s; x++) s = find_on(&f, (sweep_axis)axis, *x, e);
    for (int axis = 0; axis < SWEEP_AXES && !s; axis++)
        for (const char *const *x = sweep_line_x; *x && !s; x++) s = find_left(&f, (sweep_axis)axis, *x, e);
    for (size_t i = 0; i < p->n_runs && !s; i++) out->n_left += !f.used[i];
    if (!s && !out->n)
        s = err_set(
            e, ST_INPUT,
            "no runs that differ in a size (d_model, n_layer or tokens) and, at two sizes or more, in "
            "three values or more of one of lr, init_std, weight_decay, batch_tokens, eps, and in nothing else");
    for (size_t i = 0; i < f.n_bundles; i++) free(f.bundles[i]);
    free(f.bundles);
    free(f.entries);
    free(f.used);
    return s;
}

void sweep_lines_free(sweep_lines *l)
{
    for (size_t i = 0; i < l->n; i++) free(l->lines[i].points);
    free(l->lines);
    memset(l, 0, sizeof *l);
}

bool sweep_rule_covers(const char *parametrisation, sweep_axis axis)
{
    const mup_rule *r = mup_rule_find(parametrisation);
    if (!r) return false;
    if (axis == SWEEP_WIDTH) return mup_rule_needs_base(r) || mup_rule_absolute(r);
    return axis == SWEEP_DEPTH ? mup_rule_needs_depth(r) || mup_rule_absolute(r) : mup_rule_needs_horizon(r);
}
