/* What `sweep plan` says about learning rates, and draws. */
#include "cli/sweep_parts.h"
#include "sweeps/plan_schedule.h"

enum { DRAWN = 4 };

static void print_drawing(const trainer_config *c, int64_t longest)
{
    char rows[SWEEP_DRAW_ROWS][SWEEP_DRAW_WIDTH + 1], end[32];
    sweep_schedule_draw(rows, c, longest);
    for (int y = 0; y < SWEEP_DRAW_ROWS; y++) printf("  %s |%s\n", y ? "    " : "peak", rows[y]);
    fputs("     0 +", stdout);
    for (int x = 0; x < SWEEP_DRAW_WIDTH; x++) putchar('-');
    snprintf(end, sizeof end, "%.4g tokens", (double)longest);
    printf("\n        0%*s\n", SWEEP_DRAW_WIDTH - 1, end);
}

static void print_lr(const sweep_schedule *s, double factor)
{
    printf(s->peak_min < s->peak_max ? "%.4g to %.4g" : "%.4g", s->peak_min * factor, s->peak_max * factor);
}

static void print_one(const sweep_schedule *s, const trainer_config *c, int64_t longest)
{
    printf("\nschedule: %s%s%s, %zu run%s of %lld tokens, peak lr ", schedule_names[c->schedule],
           c->schedule == SCHED_WSD ? " " : "", c->schedule == SCHED_WSD ? decay_shape_names[c->decay_shape] : "",
           s->n_runs, s->n_runs > 1 ? "s" : "", (long long)c->tokens);
    print_lr(s, 1);
    printf("\n  warm-up %lld tokens", (long long)c->warmup_tokens);
    if (s->decay_from < c->tokens) printf(", decay from %lld on", (long long)s->decay_from);
    else fputs(", no decay", stdout);
    fputs(", last step at lr ", stdout);
    print_lr(s, s->last);
    printf(" (%.3g of the peak)\n", s->last);
    print_drawing(c, longest);
}

status sweep_print_schedules(const cli *c, const sweep_plan *p, err *e)
{
    sweep_schedules s;
    const status st = sweep_schedules_find(&s, p, e);
    const size_t shown = c->verbosity > 0 || s.n <= DRAWN ? s.n : DRAWN;
    for (size_t i = 0; !st && i < shown; i++)
        print_one(&s.list[i], &p->runs[s.list[i].example].config, s.longest);
    if (!st && shown < s.n) printf("\n%zu more schedules (-v draws all)\n", s.n - shown);
    sweep_schedules_free(&s);
    return st;
}
