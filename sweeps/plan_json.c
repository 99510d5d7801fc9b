/* muscale.plan/1 */
#include <stdlib.h>

#include "sweeps/plan.h"
#include "sweeps/plan_schedule.h"

static json_t *run_json(const sweep_plan *p, const sweep_spec *s, const sweep_run *r)
{
    char name[512];
    shape_counts n = shape_count(&r->config.shape);
    sweep_spec_describe(s, r->block, r->cell, name, sizeof name);
    json_t *j = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:I}", "id", r->id, "block", s->blocks[r->block].name, "name",
                     name, "n_params_total", (json_int_t)n.n_params_total, "tokens", (json_int_t)r->config.tokens,
                     "steps", (json_int_t)r->steps, "flops", r->flops, "bank", (json_int_t)r->bank);
    if (!j || !r->branch_step) return j;
    json_object_set_new(j, "trunk", json_string(p->runs[p->members[p->families[r->family].first]].id));
    json_object_set_new(j, "branch_step", json_integer((json_int_t)r->branch_step));
    json_object_set_new(j, "own_flops", json_real(r->own_flops));
    return j;
}

static json_t *trunks_json(const sweep_plan *p)
{
    if (!p->trunks) return json_null();
    json_t *apart = json_array();
    for (size_t i = 0; i < p->n_apart; i++)
        json_array_append_new(apart, json_pack("{s:s, s:I}", "why", p->apart[i].why, "n", (json_int_t)p->apart[i].n));
    return json_pack("{s:I, s:I, s:f, s:f, s:o}", "n_trunks", (json_int_t)p->n_families, "n_branches",
                     (json_int_t)p->n_branches, "flops", p->flops_trained, "of_separate",
                     p->flops > 0 ? p->flops_trained / p->flops : 1.0, "apart", apart);
}

static json_t *bank_json(const sweep_plan *p, const sweep_bank *b, bool with_rate)
{
    const trainer_config *c = &p->runs[p->order[b->first]].config;
    json_t *j = json_pack("{s:I, s:I, s:I, s:I, s:f, s:I}", "n_runs", (json_int_t)b->n, "d_model",
                          (json_int_t)c->shape.d_model, "n_layer", (json_int_t)c->shape.n_layer, "batch_tokens",
                          (json_int_t)c->batch_tokens, "flops", b->flops, "bytes", (json_int_t)b->bytes);
    if (j && b->branches) json_object_set_new(j, "branches", json_true());
    if (!j || !with_rate) return j;
    json_object_set_new(j, "seconds", b->seconds > 0 ? json_real(b->seconds) : json_null());
    json_object_set_new(j, "fill", *p->device.name ? json_real(b->fill) : json_null());
    return j;
}

static json_t *device_json(const sweep_plan *p)
{
    const sweep_device *d = &p->device;
    if (!*d->name) return json_null();
    json_t *j = json_pack("{s:s, s:b, s:i, s:I}", "name", d->name, "assumed", d->assumed, "multiprocessors",
                          d->multiprocessors, "budget_bytes", (json_int_t)d->budget);
    if (!j) return json_null();
    json_object_set_new(j, "free_bytes", d->assumed ? json_null() : json_integer((json_int_t)d->free_bytes));
    json_object_set_new(j, "total_bytes", d->assumed ? json_null() : json_integer((json_int_t)d->total_bytes));
    return j;
}

/* The rule and the steps at which the longest run is judged; null: off. */
static json_t *early_stop_json(const sweep_plan *p, const sweep_spec *s)
{
    int64_t steps[EARLY_STOP_BRACKETS];
    size_t n;
    if (s->early_stop.kind == EARLY_STOP_NONE || !p->n_runs) return json_null();
    const trainer_config *c = &p->runs[p->order[p->banks[0].first]].config;
    json_t *list = json_array();
    early_stop_steps(steps, &n, &s->early_stop, c);
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_integer(steps[i]));
    return json_pack("{s:s, s:s, s:o}", "rule", early_stop_name(s->early_stop.kind), "metric", early_stop_metric(c),
                     "steps", list);
}

static json_t *schedules_json(const sweep_plan *p)
{
    sweep_schedules s;
    json_t *j = sweep_schedules_find(&s, p, NULL) ? json_null() : sweep_schedules_json(&s, p);
    sweep_schedules_free(&s);
    return j;
}

json_t *sweep_plan_json(const sweep_plan *p, const sweep_spec *s, bool with_rate)
{
    json_t *runs = json_array(), *banks = json_array();
    char *canonical = p->n_runs ? config_canonical(&p->runs[0].config) : NULL;
    for (size_t i = 0; i < p->n_runs; i++) json_array_append_new(runs, run_json(p, s, &p->runs[i]));
    for (size_t i = 0; i < p->n_banks; i++) json_array_append_new(banks, bank_json(p, &p->banks[i], with_rate));
    json_t *j = json_pack("{s:s, s:{s:s, s:s}, s:I, s:I, s:I, s:I, s:f, s:f, s:I}", "schema", "muscale.plan/1", "spec",
                          "path", s->doc.path, "sha256", s->sha256, "n_cells", (json_int_t)p->n_cells, "n_merged",
                          (json_int_t)p->n_merged, "n_runs", (json_int_t)p->n_runs, "n_banks", (json_int_t)p->n_banks,
                          "tokens", p->tokens, "flops", p->flops, "bytes_peak", (json_int_t)p->bytes_peak);
    if (j) json_object_set_new(j, "trunks", trunks_json(p));
    if (j && s->n_rules) json_object_set_new(j, "n_excluded", json_integer((json_int_t)p->n_excluded));
    if (j && with_rate) {
        json_object_set_new(j, "workers", json_integer(p->workers));
        json_object_set_new(j, "device", device_json(p));
        json_object_set_new(j, "streams", json_integer((json_int_t)p->streams));
        json_object_set_new(j, "bytes_at_once", json_integer((json_int_t)p->bytes_at_once));
        json_object_set_new(j, "flops_per_s", p->seconds > 0 ? json_real(p->flops_trained / p->seconds) : json_null());
        json_object_set_new(j, "flops_per_s_measured", json_boolean(p->measured));
        json_object_set_new(j, "early_stop", early_stop_json(p, s));
        json_object_set_new(j, "schedules", schedules_json(p));
        json_object_set_new(j, "hours", p->seconds > 0 ? json_real(p->seconds / 3600) : json_null());
    }
    /* the first run in full: `sweep run` names what changed when only the data or a default did */
    if (j && canonical) json_object_set_new(j, "first_run", json_string(canonical));
    free(canonical);
    if (!j) {
        json_decref(runs);
        json_decref(banks);
        return NULL;
    }
    json_object_set_new(j, "banks", banks);
    json_object_set_new(j, "runs", runs);
    return j;
}
