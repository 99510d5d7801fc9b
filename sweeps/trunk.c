#include "sweeps/trunk.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "trainer/train.h"

/* What runs of a family may differ in: it acts after the last shared step only. */
static const char *const decay_keys[] = {"tokens", "decay_fraction", "decay_shape", "min_lr_ratio"};
/* Launch settings that change what a journal's shared part holds, or its bits. */
static const char *const launch_keys[] = {"log_every", "log_updates_every", "backend"};

/* Why runs that could share do not: they are equal but for the budget and this key. */
static const struct {
    const char *key, *why;
} tied[] = {
    {"warmup_tokens", "warmup_tokens differs with the budget: give one warm-up in tokens to all"},
    {"unique_tokens", "unique_tokens differs with the budget: they see other data"},
    {"batch_tokens", "batch_tokens differs with the budget"},
    {"lr", "lr differs with the budget"},
    {"weight_decay", "weight_decay differs with the budget"},
    {"log_every", "log_every differs: the shared part of their journals would have other rows"},
    {"log_updates_every", "log_updates_every differs: the shared part of their journals would have other records"},
    {"backend", "they train on different backends"},
};
enum { N_TIED = sizeof tied / sizeof *tied };

typedef struct finder {
    sweep_plan *p;
    uint64_t *sum;       /* per run: of the hashes of all keys that a family has in common */
    const char **why;    /* per run: cannot branch at all; NULL: it can */
    uint64_t *group;     /* per run: what is grouped by at the moment */
    size_t *order;
    bool *said;          /* its reason is counted */
} finder;

static bool listed(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

static bool is_common(const config_key *k)
{
    if (k->launch_only) return listed(k->name, launch_keys, sizeof launch_keys / sizeof *launch_keys);
    return !listed(k->name, decay_keys, sizeof decay_keys / sizeof *decay_keys);
}

static uint64_t key_hash(const trainer_config *c, const config_key *k)
{
    const char *at = (const char *)c + k->offset;
    const uint64_t seed = XXH64(k->name, strlen(k->name), 1);
    double x;
    if (k->type == CFG_TEXT) return XXH64(at, strnlen(at, k->size), seed);
    if (k->type != CFG_F64) return XXH64(at, k->size, seed);
    memcpy(&x, at, sizeof x);
    x += 0.0; /* -0 and 0 are one value */
    return XXH64(&x, sizeof x, seed);
}

static bool same_value(const trainer_config *a, const trainer_config *b, const config_key *k)
{
    const char *x = (const char *)a + k->offset, *y = (const char *)b + k->offset;
    double u, v;
    if (k->type == CFG_TEXT) return !strcmp(x, y);
    if (k->type != CFG_F64) return !memcmp(x, y, k->size);
    memcpy(&u, x, sizeof u);
    memcpy(&v, y, sizeof v);
    return u == v;
}

/* A sum, so that one key can be taken out again. */
static uint64_t common_sum(const trainer_config *c)
{
    size_t n;
    const config_key *keys = config_keys(&n);
    uint64_t sum = XXH64(c->data_sha256, strlen(c->data_sha256), 0);
    for (size_t i = 0; i < n; i++)
        if (is_common(&keys[i])) sum += key_hash(c, &keys[i]);
    return sum;
}

/* Equal sums are believed only of equal configs. */
static bool same_trunk(const trainer_config *a, const trainer_config *b)
{
    size_t n;
    const config_key *keys = config_keys(&n);
    bool same = !strcmp(a->data_sha256, b->data_sha256);
    for (size_t i = 0; i < n && same; i++) same = !is_common(&keys[i]) || same_value(a, b, &keys[i]);
    return same;
}

/* ---- families ------------------------------------------------------------------------------------------------- */

/* Within a group those that share longest come first. */
static int by_group(const void *a, const void *b, void *self)
{
    const finder *f = self;
    const size_t i = *(const size_t *)a, k = *(const size_t *)b;
    const sweep_run *x = &f->p->runs[i], *y = &f->p->runs[k];
    if (f->group[i] != f->group[k]) return f->group[i] < f->group[k] ? -1 : 1;
    if (!f->why[i] != !f->why[k]) return f->why[i] ? 1 : -1;
    if (x->branch_step != y->branch_step) return x->branch_step < y->branch_step ? 1 : -1;
    if (x->steps != y->steps) return x->steps < y->steps ? 1 : -1;
    return i < k ? -1 : i > k;
}

static int by_value(const void *a, const void *b, void *self)
{
    const finder *f = self;
    const size_t i = *(const size_t *)a, k = *(const size_t *)b;
    if (f->group[i] != f->group[k]) return f->group[i] < f->group[k] ? -1 : 1;
    return i < k ? -1 : i > k;
}

/* Runs of one group stand side by side then. */
static void sort_by(finder *f, int (*order)(const void *, const void *, void *))
{
    for (size_t i = 0; i < f->p->n_runs; i++) f->order[i] = i;
    qsort_r(f->order, f->p->n_runs, sizeof *f->order, order, f);
}

static size_t group_end(const finder *f, size_t from)
{
    size_t end = from + 1;
    while (end < f->p->n_runs && f->group[f->order[end]] == f->group[f->order[from]]) end++;
    return end;
}

static void add_member(finder *f, size_t family, size_t run)
{
    sweep_plan *p = f->p;
    sweep_run *r = &p->runs[run];
    flops_rule rule = FLOPS_EXACT;
    const bool trunk = !p->families[family].n;
    p->members[p->families[family].first + p->families[family].n++] = run;
    r->family = family;
    if (trunk) {
        r->branch_step = 0;
        return;
    }
    flops_rule_find(&rule, r->config.flops_rule, NULL); /* it was found once already */
    r->own_flops = shape_flops_per_token(&r->config.shape, rule) *
                   (double)((r->steps - r->branch_step) * r->config.batch_tokens);
    p->n_branches++;
}

static void find_families(finder *f)
{
    sweep_plan *p = f->p;
    size_t n_members = 0;
    for (size_t i = 0; i < p->n_runs; i++) f->group[i] = f->sum[i];
    sort_by(f, by_group);
    for (size_t from = 0, end; from < p->n_runs; from = end) {
        const sweep_run *head = &p->runs[f->order[from]];
        size_t n = 0;
        end = group_end(f, from);
        for (size_t i = from; i < end; i++) {
            const size_t run = f->order[i];
            if (f->why[run] || p->runs[run].branch_step < 1 || !same_trunk(&head->config, &p->runs[run].config)) break;
            n++;
        }
        if (n < 2) continue;
        p->families[p->n_families] = (sweep_family){.first = n_members};
        for (size_t i = 0; i < n; i++) add_member(f, p->n_families, f->order[from + i]);
        p->n_families++;
        n_members += n;
    }
}

/* ---- who could, and does not ---------------------------------------------------------------------------------- */

static void say(finder *f, const char *why, size_t n)
{
    sweep_plan *p = f->p;
    for (size_t i = 0; i < p->n_apart; i++)
        if (!strcmp(p->apart[i].why, why)) {
            p->apart[i].n += n;
            return;
        }
    if (p->n_apart < SWEEP_APART) p->apart[p->n_apart++] = (sweep_apart){why, n};
}

/* Counts the runs of each group that share nothing, where the group has several budgets (and values of the key, or they
 * would be a family). */
static void count_groups(finder *f, const char *why)
{
    const sweep_plan *p = f->p;
    for (size_t from = 0, end; from < p->n_runs; from = end) {
        bool budgets = false;
        end = group_end(f, from);
        for (size_t i = from + 1; i < end; i++)
            budgets |= p->runs[f->order[i]].config.tokens != p->runs[f->order[from]].config.tokens;
        for (size_t i = from; i < end && budgets; i++) {
            const size_t run = f->order[i];
            if (p->runs[run].family != SWEEP_NO_FAMILY || f->said[run]) continue;
            f->said[run] = true;
            say(f, why ? why : f->why[run] ? f->why[run] : "their decay leaves no step to share", 1);
        }
    }
}

static void find_apart(finder *f)
{
    const sweep_plan *p = f->p;
    count_groups(f, NULL); /* grouped by what families have in common, still */
    for (size_t k = 0; k < N_TIED; k++) {
        const config_key *key = config_find(tied[k].key);
        bool any = false;
        for (size_t i = 0; i < p->n_runs; i++) {
            f->group[i] = f->sum[i] - key_hash(&p->runs[i].config, key);
            any |= p->runs[i].family == SWEEP_NO_FAMILY && !f->said[i];
        }
        if (!any) return;
        sort_by(f, by_value);
        count_groups(f, tied[k].why);
    }
}

static bool finder_new(finder *f, sweep_plan *p)
{
    const size_t n = p->n_runs + 1;
    *f = (finder){.p = p, .sum = calloc(n, sizeof *f->sum), .why = calloc(n, sizeof *f->why),
                  .group = calloc(n, sizeof *f->group), .order = calloc(n, sizeof *f->order),
                  .said = calloc(n, sizeof *f->said)};
    p->families = calloc(n, sizeof *p->families);
    p->members = calloc(n, sizeof *p->members);
    return f->sum && f->why && f->group && f->order && f->said && p->families && p->members;
}

static void finder_free(finder *f)
{
    free(f->sum);
    free(f->why);
    free(f->group);
    free(f->order);
    free(f->said);
}

status trunks_find(sweep_plan *p, bool wanted, err *e)
{
    finder f = {0};
    p->trunks = wanted;
    p->flops_trained = 0;
    status st = !wanted || finder_new(&f, p) ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu runs", p->n_runs);
    for (size_t i = 0; i < p->n_runs; i++) {
        sweep_run *r = &p->runs[i];
        r->family = SWEEP_NO_FAMILY;
        r->own_flops = r->flops;
        r->branch_step = 0;
        if (st || !wanted) continue;
        r->branch_step = train_shared_steps(&r->config, &f.why[i]);
        f.sum[i] = common_sum(&r->config);
    }
    if (!st && wanted) {
        find_families(&f);
        find_apart(&f);
    }
    for (size_t i = 0; i < p->n_runs; i++) {
        if (p->runs[i].family == SWEEP_NO_FAMILY) p->runs[i].branch_step = 0;
        p->flops_trained += p->runs[i].own_flops;
    }
    finder_free(&f);
    return st;
}
