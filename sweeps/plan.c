#include "sweeps/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "sweeps/fill.h"
#include "sweeps/plan_device.h"
#include "sweeps/trunk.h"
#include "trainer/data.h"
#include "trainer/train.h"

/* One opened token source. */
typedef struct source {
    char path[IO_PATH_MAX], dtype[8];
    data_set *set;
} source;

typedef struct planner {
    sweep_plan *p;
    const sweep_spec *s;
    const sweep_plan_opts *o;
    source *sources;
    size_t n_sources;
    size_t *slots; /* hash table id -> run number + 1, open addressing */
    size_t n_slots;
} planner;

enum { MAX_BANK_HOST = 16 };

sweep_plan_opts sweep_plan_opts_default(void) { return (sweep_plan_opts){.workers = 1}; }

static size_t host_memory(const sweep_plan_opts *o)
{
    if (o->memory_limit) return o->memory_limit;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (size_t)pages * (size_t)page / 2 : (size_t)1 << 31;
}

/* ---- cells ---------------------------------------------------------------------------------------------------- */

static status open_source(planner *w, data_set **out, const trainer_config *c, err *e)
{
    for (size_t i = 0; i < w->n_sources; i++)
        if (!strcmp(w->sources[i].path, c->data) && !strcmp(w->sources[i].dtype, c->data_dtype)) {
            *out = w->sources[i].set;
            return ST_OK;
        }
    source *more = realloc(w->sources, (w->n_sources + 1) * sizeof *more);
    if (!more) return err_set(e, ST_NOMEM, "%s: no memory", w->s->doc.path);
    w->sources = more;
    source *x = &w->sources[w->n_sources];
    memset(x, 0, sizeof *x);
    snprintf(x->path, sizeof x->path, "%s", c->data);
    snprintf(x->dtype, sizeof x->dtype, "%s", c->data_dtype);
    status st = data_open(&x->set, c->data, c->data_dtype, e);
    if (st) return st;
    *out = x->set;
    w->n_sources++;
    return ST_OK;
}

static status place(const planner *w, size_t block, size_t cell, const char *word, err *e)
{
    char at[SWEEP_PLACE];
    return err_prefix(e, "%s", sweep_spec_place(w->s, sweep_spec_blame(w->s, block, cell, word), at));
}

static status add_bad(planner *w, size_t block, size_t cell, const err *why, err *e)
{
    sweep_plan *p = w->p;
    char name[200], place[SWEEP_PLACE], line[768];
    const yaml_node *at = sweep_spec_blame(w->s, block, cell, why->msg);
    sweep_spec_describe(w->s, block, cell, name, sizeof name);
    snprintf(line, sizeof line, "%s: %s%s%.230s", sweep_spec_place(w->s, at, place), name, *name ? ": " : "", why->msg);
    char **more = p->n_bad & (p->n_bad - 1) ? p->bad : realloc(p->bad, (p->n_bad ? 2 * p->n_bad : 1) * sizeof *more);
    if (more) p->bad = more;
    if (!more || !(p->bad[p->n_bad] = strdup(line))) return err_set(e, ST_NOMEM, "%s: no memory", w->s->doc.path);
    p->n_bad++;
    return ST_OK;
}

static size_t *slot_of(const planner *w, const char *id)
{
    size_t h = strtoull(id, NULL, 16) & (w->n_slots - 1);
    while (w->slots[h] && strcmp(w->p->runs[w->slots[h] - 1].id, id)) h = (h + 1) & (w->n_slots - 1);
    return &w->slots[h];
}

/* Equal ids are the same run only if their canonical texts are equal too. */
static status check_twin(const planner *w, const sweep_run *a, const sweep_run *b, err *e)
{
    char *x = config_canonical(&a->config), *y = config_canonical(&b->config);
    status st = !x || !y ? err_set(e, ST_NOMEM, "%s: no memory", w->s->doc.path) : ST_OK;
    if (!st && strcmp(x, y))
        st = err_set(e, ST_INPUT, "%s: two different runs share the id %s; change any setting of one of them",
                     w->s->doc.path, a->id);
    free(x);
    free(y);
    return st;
}

static status add_cell(planner *w, const trainer_config *base, size_t block, size_t cell, err *e)
{
    sweep_plan *p = w->p;
    sweep_run *r = &p->runs[p->n_runs];
    data_set *data = NULL;
    err why = {0};
    r->config = *base;
    r->block = block;
    r->cell = cell;
    status st = sweep_spec_cell(w->s, block, cell, &r->config, e);
    if (st) return st;
    if (w->o->backend) snprintf(r->config.backend, sizeof r->config.backend, "%s", w->o->backend);
    /* data that cannot be opened would repeat itself for every cell: the plan ends here */
    if (*r->config.data && (st = open_source(w, &data, &r->config, e))) return place(w, block, cell, "data", e);
    size_t excluded;
    st = sweep_spec_finish(w->s, block, cell, &r->config, data, &excluded, &why);
    if (!st && excluded < w->s->n_rules) {
        p->n_excluded++;
        p->rule_cells[excluded]++;
        return ST_OK;
    }
    if (!st) st = config_resolve_with(&r->config, data, &why);
    if (!st) st = bank_check_backend(r->config.backend, &r->config.shape, &why);
    if (st == ST_NOMEM || st == ST_IO || st == ST_DEVICE) {
        if (e) *e = why;
        return st;
    }
    if (st) return add_bad(w, block, cell, &why, e);
    flops_rule rule;
    if ((st = flops_rule_find(&rule, r->config.flops_rule, e))) return st;
    r->steps = config_steps(&r->config);
    r->flops = shape_flops_per_token(&r->config.shape, rule) * (double)r->config.tokens;
    config_id(r->id, &r->config);
    size_t *slot = slot_of(w, r->id);
    if (*slot) {
        p->n_merged++;
        return check_twin(w, &p->runs[*slot - 1], r, e);
    }
    *slot = ++p->n_runs;
    return ST_OK;
}

static status add_cells(planner *w, err *e)
{
    status st = ST_OK;
    for (size_t b = 0; b < w->s->n_blocks && !st; b++) {
        trainer_config base;
        if ((st = sweep_spec_base(w->s, b, &base, e))) break;
        for (size_t i = 0; i < w->s->blocks[b].n_cells && !st; i++) st = add_cell(w, &base, b, i, e);
    }
    if (!st && !w->p->n_bad && !w->p->n_runs)
        return err_set(e, ST_INPUT, "%s: exclude leaves no run of %zu", w->s->doc.path, w->s->n_cells);
    if (st || !w->p->n_bad) return st;
    return err_set(e, ST_INPUT, "%s: %zu of %zu runs cannot be built; nothing was started; correct the spec",
                   w->s->doc.path, w->p->n_bad, w->s->n_cells);
}

/* ---- banks ---------------------------------------------------------------------------------------------------- */

static status find_classes(planner *w, err *e)
{
    sweep_plan *p = w->p;
    size_t last = 0;
    for (size_t i = 0; i < p->n_runs; i++) {
        /* neighbours mostly share a class: look at the last one first */
        size_t k = last;
        for (size_t tried = 0; tried < p->n_classes; tried++, k = (k + 1) % p->n_classes)
            if (train_same_bank(&p->runs[p->classes[k].example].config, &p->runs[i].config)) goto found;
        sweep_class *more = realloc(p->classes, (p->n_classes + 1) * sizeof *more);
        if (!more) return err_set(e, ST_NOMEM, "%s: no memory", w->s->doc.path);
        p->classes = more;
        k = p->n_classes++;
        p->classes[k] = (sweep_class){.example = i};
    found:
        last = p->runs[i].class = k;
        p->classes[k].n_runs++;
    }
    return ST_OK;
}

/* Replicas that `bytes` have room for, at most `most`; one, who is told by bank_new, when not even that fits. */
static size_t fitting(const trainer_config *c, int workers, size_t bytes, size_t most)
{
    size_t fits = 1;
    while (fits < most) {
        const size_t n = fits + (most - fits + 1) / 2;
        if (train_bytes_needed(c, n, workers) <= bytes) fits = n;
        else most = n - 1;
    }
    return fits;
}

static status limit_banks(planner *w, sweep_class *k, err *e)
{
    const trainer_config *c = &w->p->runs[k->example].config;
    const k_ops *ops = NULL;
    status st = k_backend(&ops, c->backend, e);
    if (st) return st;
    k->on_device = ops->device != NULL;
    if (k->on_device && (st = plan_device(&w->p->device, ops, w->o, e))) return st;
    const size_t streams = w->o->streams ? w->o->streams : 1;
    const size_t bytes = k->on_device ? w->p->device.budget / streams : host_memory(w->o);
    const size_t chosen = k->on_device ? k->n_runs : MAX_BANK_HOST;
    k->max_bank = fitting(c, w->o->workers, bytes, w->o->max_bank ? w->o->max_bank : chosen);
    k->enough = k->max_bank;
    if (k->on_device && !w->o->max_bank) {
        const bank_opts b = train_bank_opts(c, 1, w->o->workers);
        k->enough = fill_replicas(&b, w->p->device.multiprocessors, k->max_bank);
    }
    return ST_OK;
}

/* Equal banks rather than full ones and a rest: 18 runs of at most 16 become 9 + 9, on two workers 10 + 8. Where 32 are
 * enough, 40 are one bank and not two of which neither is. */
static size_t bank_size(const sweep_class *k, size_t n_runs, int workers)
{
    const size_t least = (n_runs + k->max_bank - 1) / k->max_bank, useful = n_runs / k->enough;
    const size_t n_banks = useful > least ? useful : least, size = (n_runs + n_banks - 1) / n_banks;
    const size_t many = !k->on_device && workers > 1 ? (size_t)workers : 1, even = (size + many - 1) / many * many;
    return even <= k->max_bank ? even : size;
}

static int longest_first(const void *a, const void *b)
{
    const sweep_bank *x = a, *y = b;
    if (x->branches != y->branches) return x->branches ? 1 : -1;
    if (x->flops != y->flops) return x->flops < y->flops ? 1 : -1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static int by_class_then_length(const void *a, const void *b, void *runs)
{
    const sweep_run *x = (const sweep_run *)runs + *(const size_t *)a,
                    *y = (const sweep_run *)runs + *(const size_t *)b;
    if (x->class != y->class) return x->class < y->class ? -1 : 1;
    if (!x->branch_step != !y->branch_step) return x->branch_step ? 1 : -1;
    if (x->own_flops != y->own_flops) return x->own_flops < y->own_flops ? 1 : -1;
    return x < y ? -1 : x > y;
}

/* Runs of like length share a bank, so that few replicas wait masked for the longest. */
static void cut_banks(sweep_plan *p, size_t class, size_t first, size_t n_runs, int workers)
{
    const size_t size = n_runs ? bank_size(&p->classes[class], n_runs, workers) : 0;
    const bool branches = n_runs && p->runs[p->order[first]].branch_step;
    if (size > p->classes[class].bank_size) p->classes[class].bank_size = size;
    for (size_t left = n_runs; left;) {
        size_t n = left < size ? left : size;
        bank_opts o = train_bank_opts(&p->runs[p->classes[class].example].config, n, workers);
        sweep_bank *b = &p->banks[p->n_banks++];
        *b = (sweep_bank){.first = first, .n = n, .bytes = bank_bytes_needed(&o), .fill = 1, .branches = branches};
        if (p->classes[class].on_device) b->fill = fill_of(&o, p->device.multiprocessors);
        for (size_t i = 0; i < n; i++) b->flops += p->runs[p->order[first + i]].own_flops;
        if (b->bytes > p->bytes_peak) p->bytes_peak = b->bytes;
        first += n;
        left -= n;
    }
}

/* Branches wait for their trunks, so they have banks of their own. */
static void cut_class(sweep_plan *p, size_t class, size_t first, int workers)
{
    const size_t n = p->classes[class].n_runs;
    size_t at_once = 0;
    while (at_once < n && !p->runs[p->order[first + at_once]].branch_step) at_once++;
    cut_banks(p, class, first, at_once, workers);
    cut_banks(p, class, first + at_once, n - at_once, workers);
}

static status find_banks(planner *w, err *e)
{
    sweep_plan *p = w->p;
    size_t first = 0;
    for (size_t k = 0; k < p->n_classes; k++) {
        status st = limit_banks(w, &p->classes[k], e);
        if (st) return st;
    }
    p->order = calloc(p->n_runs, sizeof *p->order);
    p->banks = calloc(p->n_runs, sizeof *p->banks); /* at most one per run */
    if (!p->order || !p->banks) return err_set(e, ST_NOMEM, "%s: no memory", w->s->doc.path);
    for (size_t i = 0; i < p->n_runs; i++) {
        p->order[i] = i;
        p->flops += p->runs[i].flops;
        p->tokens += (double)p->runs[i].config.tokens;
    }
    qsort_r(p->order, p->n_runs, sizeof *p->order, by_class_then_length, p->runs);
    for (size_t k = 0; k < p->n_classes; first += p->classes[k++].n_runs) cut_class(p, k, first, w->o->workers);
    qsort(p->banks, p->n_banks, sizeof *p->banks, longest_first);
    for (size_t k = 0; k < p->n_banks; k++)
        for (size_t i = 0; i < p->banks[k].n; i++) p->runs[p->order[p->banks[k].first + i]].bank = k;
    return plan_streams(p, w->o, e);
}

status sweep_plan_make(sweep_plan *p, const sweep_spec *s, const sweep_plan_opts *o, err *e)
{
    planner w = {.p = p, .s = s, .o = o, .n_slots = 16};
    memset(p, 0, sizeof *p);
    p->workers = o->workers;
    p->n_cells = s->n_cells;
    while (w.n_slots < 2 * s->n_cells) w.n_slots *= 2;
    w.slots = calloc(w.n_slots, sizeof *w.slots);
    p->runs = calloc(s->n_cells, sizeof *p->runs);
    p->rule_cells = calloc(s->n_rules + 1, sizeof *p->rule_cells);
    status st = w.slots && p->runs && p->rule_cells ? ST_OK
                                   : err_set(e, ST_NOMEM, "%s: no memory for %zu runs", s->doc.path, s->n_cells);
    if (!st) st = add_cells(&w, e);
    if (!st) st = find_classes(&w, e);
    if (!st) st = trunks_find(p, !o->no_trunks, e);
    if (!st) st = find_banks(&w, e);
    for (size_t i = 0; i < w.n_sources; i++) data_close(w.sources[i].set);
    free(w.slots);
    free(w.sources);
    return st;
}

void sweep_plan_free(sweep_plan *p)
{
    free(p->runs);
    free(p->banks);
    free(p->classes);
    free(p->order);
    free(p->families);
    free(p->members);
    for (size_t i = 0; i < p->n_bad; i++) free(p->bad[i]);
    free(p->bad);
    free(p->rule_cells);
    memset(p, 0, sizeof *p);
}
