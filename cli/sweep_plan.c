/* muscale sweep plan */
#include <string.h>

#include "cli/sweep_parts.h"
#include "kernels/kernels.h"

enum { BANKS_SHOWN = 24 };

static double mib(size_t bytes) { return (double)bytes / 0x1p20; }

static void print_bank(const sweep_plan *p, const sweep_spec *s, size_t k)
{
    const sweep_bank *b = &p->banks[k];
    const sweep_run *r = &p->runs[p->order[b->first]];
    char time[32] = "-";
    double tokens = 0;
    bool mixed = false;
    for (size_t i = 0; i < b->n; i++) {
        const sweep_run *x = &p->runs[p->order[b->first + i]];
        tokens += (double)((x->steps - x->branch_step) * x->config.batch_tokens);
        mixed = mixed || x->block != r->block;
    }
    if (b->seconds > 0) sweep_duration(b->seconds, time);
    const char *name = mixed ? "(several)" : s->blocks[r->block].name;
    printf("%5zu %5zu %8lld %8lld %10.3g %10.3g %9.1f %9s  %s%s%s\n", k + 1, b->n, (long long)r->config.shape.d_model,
           (long long)r->config.shape.n_layer, tokens, b->flops, mib(b->bytes), time,
           name, *name && b->branches ? ", " : "", b->branches ? "branches" : "");
}

static void print_device(const sweep_plan *p)
{
    const sweep_device *d = &p->device;
    printf("device: %s, %d multiprocessors%s; ", d->name, d->multiprocessors, d->assumed ? " assumed" : "");
    if (!d->assumed) printf("%.1f of %.1f MiB are free, ", mib(d->free_bytes), mib(d->total_bytes));
    printf("banks may take %.1f MiB; %zu bank%s at a time%s\n", mib(d->budget), p->streams, p->streams > 1 ? "s" : "",
           p->streams_chosen ? "" : " as given");
}

/* What is saved, and who could save more. */
static void print_trunks(const sweep_plan *p)
{
    if (p->n_families)
        printf("trunks: %zu run%s branch%s off %zu other%s: %.3g of %.3g FLOPs are trained, %.4f of separate runs\n",
               p->n_branches, p->n_branches > 1 ? "s" : "", p->n_branches > 1 ? "" : "es", p->n_families,
               p->n_families > 1 ? "s" : "", p->flops_trained, p->flops, p->flops_trained / p->flops);
    for (size_t i = 0; i < p->n_apart; i++)
        printf("no trunk for %zu run%s: %s\n", p->apart[i].n, p->apart[i].n > 1 ? "s" : "", p->apart[i].why);
}

static void print_plan(const cli *c, const sweep_plan *p, const sweep_spec *s, bool tried)
{
    char time[32];
    size_t shown = c->verbosity > 0 || p->n_banks <= BANKS_SHOWN ? p->n_banks : BANKS_SHOWN;
    printf("%s: %zu runs in %zu banks, %d worker%s\n", s->doc.path, p->n_runs, p->n_banks, p->workers,
           p->workers > 1 ? "s" : "");
    if (*p->device.name) print_device(p);
    printf("\n%5s %5s %8s %8s %10s %10s %9s %9s  %s\n", "bank", "runs", "d_model", "n_layer", "tokens", "FLOPs", "MiB",
           "time", "block");
    for (size_t k = 0; k < shown; k++) print_bank(p, s, k);
    if (shown < p->n_banks) printf("  ... %zu more banks (-v shows all)\n", p->n_banks - shown);
    printf("\ntotal: %.3g FLOPs, %.3g tokens; at most %.1f MiB at once\n", p->flops, p->tokens, mib(p->bytes_at_once));
    print_trunks(p);
    sweep_print_early_stop(s, p);
    if (p->seconds > 0)
        printf("time: about %s (%.2f hours)%s at %.3g FLOP/s %s\n", sweep_duration(p->seconds, time), p->seconds / 3600,
               p->streams > 1 ? ", one bank after another," : "", p->flops_trained / p->seconds,
               p->measured ? "measured here" : "as given");
    else if (p->device.assumed) puts("time: not estimated (no device here; give --flops-rate)");
    else if (tried) puts("time: not estimated (a shape could not be tried here; give --flops-rate)");
    else puts("time: not estimated (--no-calibrate without --flops-rate)");
}

/* Said before anything starts; a run says it once more, of what is free then. */
static void warn_of_memory(const cli *c, const sweep_plan *p)
{
    const sweep_bank *most = NULL;
    const size_t budget = p->device.budget;
    size_t n = 0;
    for (size_t k = 0; k < p->n_banks && *p->device.name; k++) {
        const sweep_bank *b = &p->banks[k];
        if (b->bytes <= budget || !p->classes[p->runs[p->order[b->first]].class].on_device) continue;
        n++;
        if (!most || b->bytes > most->bytes) most = b;
    }
    if (most)
        cli_warn(c, "%zu bank%s too large for the device, the largest is bank %zu: %zu run%s, %.1f MiB, banks may take "
                 "%.1f: %.1f are missing; raise grad_accum or use a smaller model", n, n > 1 ? "s are" : " is",
                 (size_t)(most - p->banks) + 1, most->n, most->n > 1 ? "s" : "", mib(most->bytes), mib(budget),
                 mib(most->bytes - budget));
}

status sweep_plan_cmd(cli *c, const sweep_settings *x, err *e)
{
    sweep_spec s = {0};
    sweep_plan p = {0};
    const k_ops *ops = NULL;
    err why = {0};
    status st = sweep_plan_words(c, x, &s, &p, &why);
    if (st == ST_DEVICE && !k_backend(&ops, "cuda", NULL))
        err_set(e, st, "%s; to plan for a device elsewhere give its memory: --memory GIB", why.msg);
    else if (st) *e = why;
    const bool try = !x->no_calibrate && !p.device.assumed;
    if (!st) warn_of_memory(c, &p);
    if (!st && x->flops_rate > 0) sweep_plan_rate(&p, x->flops_rate);
    else if (!st && try && sweep_plan_calibrate(&p, &why)) cli_warn(c, "no time is estimated: %s", why.msg);
    if (!st && c->json) cli_json_out(sweep_plan_json(&p, &s, true));
    else if (!st) {
        print_plan(c, &p, &s, try);
        st = sweep_print_schedules(c, &p, e);
    }
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    return st;
}
