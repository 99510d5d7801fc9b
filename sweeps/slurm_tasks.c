/* Which runs make a task. */
#include <stdlib.h>
#include <string.h>

#include "sweeps/slurm.h"

/* The unfinished runs of a bank, [out]. */
static size_t left_of(size_t *out, const sweep_plan *p, const sweep_bank *b, const bool *finished, double *flops)
{
    size_t n = 0;
    *flops = 0;
    for (size_t i = 0; i < b->n; i++) {
        const size_t run = p->order[b->first + i];
        if (finished[run]) continue;
        *flops += p->runs[run].flops;
        out[n++] = run;
    }
    return n;
}

typedef struct packing {
    slurm_tasks *t;
    size_t most; /* runs of a task */
    double dearest, cost; /* cost: of the task that is being filled */
    size_t open; /* runs in it */
} packing;

static void end_task(packing *k)
{
    if (!k->open) return;
    k->t->first[++k->t->n] = k->t->n_runs;
    k->open = 0;
    k->cost = 0;
}

/* A bank, or a part of one, whose runs stand at the end of t->runs already. Costs are sums in another order: a hair more
 * than the dearest is not more. */
static void add(packing *k, size_t n, double flops)
{
    slurm_tasks *t = k->t;
    if (k->open + n > k->most || (k->open && k->cost + flops > k->dearest * (1 + 1e-9))) end_task(k);
    t->n_runs += n;
    k->open += n;
    k->cost += flops;
}

status slurm_tasks_make(slurm_tasks *out, const sweep_plan *p, const bool *finished, int64_t runs_per_task, err *e)
{
    const bool by_cost = runs_per_task == SLURM_NOT_GIVEN;
    packing k = {.t = out, .most = by_cost ? SIZE_MAX : (size_t)runs_per_task, .dearest = by_cost ? 0 : p->flops};
    double flops;
    memset(out, 0, sizeof *out);
    out->runs = calloc(p->n_runs + 1, sizeof *out->runs);
    out->first = calloc(p->n_runs + 2, sizeof *out->first);
    if (!out->runs || !out->first) return err_set(e, ST_NOMEM, "no memory for the tasks of %zu runs", p->n_runs);
    for (size_t b = 0; by_cost && b < p->n_banks; b++) {
        left_of(out->runs, p, &p->banks[b], finished, &flops);
        if (flops > k.dearest) k.dearest = flops;
    }
    for (size_t b = 0; b < p->n_banks; b++) {
        const size_t n = left_of(out->runs + out->n_runs, p, &p->banks[b], finished, &flops);
        const size_t parts = n <= k.most ? 1 : (n + k.most - 1) / k.most;
        for (size_t i = 0; n && i < parts; i++)
            add(&k, n / parts + (i < n % parts), flops / (double)parts);
    }
    end_task(&k);
    return ST_OK;
}

void slurm_tasks_free(slurm_tasks *t)
{
    free(t->runs);
    free(t->first);
    memset(t, 0, sizeof *t);
}
