#include "sweeps/campaign.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jdoc.h"

enum { PLAN_LIMIT = 1 << 30, SPEC_LIMIT = 4 << 20 };

status campaign_run_dir(char out[IO_PATH_MAX], const char *campaign, const char *id, err *e)
{
    char name[SWEEP_ID_SIZE + 8];
    snprintf(name, sizeof name, "runs/%.16s", id);
    return io_join(out, campaign, name, e);
}

/* ---- plan.json ------------------------------------------------------------------------------------------------ */

static bool read_entry(campaign_entry *out, const json_t *j)
{
    const char *id = json_string_value(json_object_get(j, "id")), *name = json_string_value(json_object_get(j, "name"));
    if (!id || strlen(id) != SWEEP_ID_SIZE - 1 || strspn(id, "0123456789abcdef") != SWEEP_ID_SIZE - 1 || !name)
        return false;
    memcpy(out->id, id, SWEEP_ID_SIZE);
    out->name = strdup(name);
    out->steps = json_integer_value(json_object_get(j, "steps"));
    out->tokens = json_integer_value(json_object_get(j, "tokens"));
    out->flops = json_number_value(json_object_get(j, "flops"));
    const json_t *own = json_object_get(j, "own_flops");
    out->own_flops = own ? json_number_value(own) : out->flops;
    return out->name != NULL;
}

static status damaged(const char *path, const char *what, err *e)
{
    return err_set(e, ST_INPUT,
                   "%s: %s; remove it, and `muscale sweep run SPEC.yaml -o CAMPAIGN --amend` writes it anew", path,
                   what);
}

status campaign_plan_read(campaign_plan *out, const char *campaign, err *e)
{
    char path[IO_PATH_MAX];
    json_t *j;
    memset(out, 0, sizeof *out);
    status st = io_join(path, campaign, "plan.json", e);
    if (st) return st;
    if (!io_exists(path))
        return err_set(e, ST_INPUT,
                       "%s: no campaign (there is no plan.json); `muscale sweep run SPEC.yaml -o %s` makes one",
                       campaign, campaign);
    st = jdoc_read(&j, NULL, path, "muscale.plan/1", PLAN_LIMIT,
                   "remove it, and `muscale sweep run SPEC.yaml -o CAMPAIGN --amend` writes it anew", e);
    if (st) return st;
    const char *sha = json_string_value(json_object_get(json_object_get(j, "spec"), "sha256"));
    const char *first = json_string_value(json_object_get(j, "first_run"));
    json_t *runs = json_object_get(j, "runs");
    if (!json_is_array(runs)) st = damaged(path, "has no list of runs", e);
    else if (!(out->runs = calloc(json_array_size(runs) + 1, sizeof *out->runs)))
        st = err_set(e, ST_NOMEM, "%s: no memory", path);
    for (size_t i = 0; !st && i < json_array_size(runs); i++) {
        if (!read_entry(&out->runs[i], json_array_get(runs, i)))
            st = damaged(path, "holds a run without id or name", e);
        out->n_runs++;
    }
    if (!st && sha) snprintf(out->spec_sha256, sizeof out->spec_sha256, "%s", sha);
    if (!st && first) out->first_run = strdup(first);
    json_decref(j);
    return st;
}

void campaign_plan_free(campaign_plan *p)
{
    for (size_t i = 0; i < p->n_runs; i++) free(p->runs[i].name);
    free(p->runs);
    free(p->first_run);
    memset(p, 0, sizeof *p);
}

static status write_plan(const char *campaign, const sweep_spec *s, const sweep_plan *p, err *e)
{
    char path[IO_PATH_MAX];
    status st = io_join(path, campaign, "plan.json", e);
    if (st) return st;
    json_t *j = sweep_plan_json(p, s, false);
    char *text = j ? json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(17) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(j);
    if (!text) return err_set(e, ST_NOMEM, "%s: no memory for the plan", path);
    st = io_publish(path, text, strlen(text), e);
    free(text);
    return st;
}

static status write_spec(const char *campaign, const sweep_spec *s, err *e)
{
    char path[IO_PATH_MAX];
    status st = io_join(path, campaign, "spec.yaml", e);
    return st ? st : io_publish(path, s->text, s->text_size, e);
}

/* ---- is this the same sweep? ---------------------------------------------------------------------------------- */

static int id_order(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

typedef struct difference {
    size_t added, removed;
    const char *first_added, *first_removed; /* ids; borrowed */
} difference;

static status compare(difference *d, const campaign_plan *old, const sweep_plan *now, err *e)
{
    const char **a = malloc((old->n_runs + 1) * sizeof *a), **b = malloc((now->n_runs + 1) * sizeof *b);
    memset(d, 0, sizeof *d);
    if (!a || !b) {
        free(a);
        free(b);
        return err_set(e, ST_NOMEM, "no memory to compare two plans");
    }
    for (size_t i = 0; i < old->n_runs; i++) a[i] = old->runs[i].id;
    for (size_t i = 0; i < now->n_runs; i++) b[i] = now->runs[i].id;
    qsort(a, old->n_runs, sizeof *a, id_order);
    qsort(b, now->n_runs, sizeof *b, id_order);
    for (size_t i = 0, k = 0; i < old->n_runs || k < now->n_runs;) {
        int c = i == old->n_runs ? 1 : k == now->n_runs ? -1 : strcmp(a[i], b[k]);
        if (c < 0 && !d->removed++) d->first_removed = a[i];
        if (c > 0 && !d->added++) d->first_added = b[k];
        i += c <= 0;
        k += c >= 0;
    }
    free(a);
    free(b);
    return ST_OK;
}

/* "line 7: `lr: [1e-3]` there, `lr: [2e-3]` here", or "" when the texts are equal. */
static void first_line_that_differs(char *out, size_t size, const char *there, const char *here)
{
    *out = 0;
    for (int line = 1; *there || *here; line++) {
        size_t n = strcspn(there, "\n"), m = strcspn(here, "\n");
        if (n != m || memcmp(there, here, n)) {
            snprintf(out, size, "line %d is '%.*s' there and '%.*s' here", line, (int)(n < 80 ? n : 80), there,
                     (int)(m < 80 ? m : 80), here);
            return;
        }
        there += n + (there[n] == '\n');
        here += m + (here[m] == '\n');
    }
}

/* The spec's text is the same, so a default or the data changed: name the keys of the first run. */
static void first_run_that_differs(char *out, size_t size, const campaign_plan *old, const sweep_plan *now)
{
    char *canonical = old->first_run ? config_canonical(&now->runs[0].config) : NULL;
    char *diff = canonical ? config_diff(old->first_run, canonical) : NULL;
    snprintf(out, size, "%.300s", diff && *diff ? diff : "the runs");
    for (char *p = out; *p; p++)
        if (*p == '\n') *p = p[1] ? ';' : 0;
    free(diff);
    free(canonical);
}

static status refuse(const char *campaign, const char *old_text, const sweep_spec *s, const campaign_plan *old,
                     const sweep_plan *p, const difference *d, err *e)
{
    char what[400], names[400] = "";
    first_line_that_differs(what, sizeof what, old_text, s->text);
    if (!*what) first_run_that_differs(what, sizeof what, old, p);
    for (size_t i = 0; i < old->n_runs && d->first_removed; i++)
        if (!strcmp(old->runs[i].id, d->first_removed))
            snprintf(names, sizeof names, ", first dropped: %.120s", old->runs[i].name);
    for (size_t i = 0; i < p->n_runs && d->first_added; i++)
        if (!strcmp(p->runs[i].id, d->first_added)) {
            char name[160];
            size_t used = strlen(names);
            sweep_spec_describe(s, p->runs[i].block, p->runs[i].cell, name, sizeof name);
            snprintf(names + used, sizeof names - used, ", first new: %.120s", name);
        }
    return err_set(
        e, ST_INPUT,
        "%s: holds another sweep: %s; %zu runs new, %zu dropped%s; choose another folder with -o, or --amend to"
        " replace its plan (no run is deleted)",
        campaign, what, d->added, d->removed, names);
}

status campaign_same_plan(const char *campaign, const campaign_plan *there, const sweep_spec *s, const sweep_plan *p,
                          err *e)
{
    difference d;
    char what[400];
    status st = compare(&d, there, p, e);
    if (st || (!d.added && !d.removed)) return st;
    first_run_that_differs(what, sizeof what, there, p);
    return err_set(e, ST_INPUT,
                   "%s: no longer plans the runs in %s/plan.json: %s; %zu runs new, %zu dropped; restore what changed, or"
                   " take the new plan with `muscale sweep run %s -o %s --amend` (no run is deleted)",
                   s->doc.path, campaign, what, d.added, d.removed, s->doc.path, campaign);
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

/* A folder that is not ours must not be filled. Hidden names are allowed: a killed publish leaves such temporaries. */
static status check_empty(const char *campaign, err *e)
{
    DIR *d = opendir(campaign);
    if (!d) return err_set(e, ST_IO, "%s: cannot open: %s", campaign, strerror(errno));
    status st = ST_OK;
    for (struct dirent *x; !st && (x = readdir(d));)
        if (x->d_name[0] != '.' && strcmp(x->d_name, "runs") && strcmp(x->d_name, "plan.json"))
            st = err_set(e, ST_INPUT, "%s: holds '%s' but no spec.yaml: not a campaign; choose a new folder", campaign,
                         x->d_name);
    closedir(d);
    return st;
}

static status check_same(const char *campaign, const char *spec_path, const sweep_spec *s, const sweep_plan *p,
                         bool amend, bool *fresh, char note[512], err *e)
{
    campaign_plan old;
    difference d;
    char *text = NULL;
    size_t n = 0;
    memset(&old, 0, sizeof old);
    status st = io_read_file(&text, &n, spec_path, SPEC_LIMIT, e);
    if (!st) st = campaign_plan_read(&old, campaign, e);
    if (!st) st = compare(&d, &old, p, e);
    if (!st && (d.added || d.removed)) {
        if (!amend) st = refuse(campaign, text, s, &old, p, &d, e);
        else {
            *fresh = true;
            snprintf(note, 512, "amended: %zu runs new, %zu dropped from the plan%s", d.added, d.removed,
                     d.removed ? "; what was run of them stays in runs/, and fits of the campaign still see it" : "");
        }
    } else if (!st && (n != s->text_size || memcmp(text, s->text, n))) {
        *fresh = true;
        snprintf(note, 512, "%s: the text of the spec changed, its runs did not; the copy is replaced", campaign);
    }
    campaign_plan_free(&old);
    free(text);
    return st;
}

status campaign_open(const char *campaign, const sweep_spec *s, const sweep_plan *p, bool amend, char note[512], err *e)
{
    char spec_path[IO_PATH_MAX], plan_path[IO_PATH_MAX], runs_path[IO_PATH_MAX];
    bool fresh = false;
    *note = 0;
    status st = io_join(spec_path, campaign, "spec.yaml", e);
    if (!st) st = io_join(plan_path, campaign, "plan.json", e);
    if (!st) st = io_join(runs_path, campaign, "runs", e);
    if (!st) st = io_mkdirs(campaign, e);
    if (st) return st;
    if (!io_exists(spec_path)) {
        fresh = true;
        st = check_empty(campaign, e);
    } else if (!io_exists(plan_path)) {
        fresh = true;
        if (!amend)
            st = err_set(e, ST_INPUT,
                         "%s: plan.json is missing, so the spec cannot be compared; --amend writes it anew", campaign);
    } else st = check_same(campaign, spec_path, s, p, amend, &fresh, note, e);
    if (!st) st = io_mkdirs(runs_path, e);
    /* spec.yaml last: its presence says that the plan beside it is whole */
    if (!st && fresh) st = write_plan(campaign, s, p, e);
    if (!st && fresh) st = write_spec(campaign, s, e);
    return st;
}
