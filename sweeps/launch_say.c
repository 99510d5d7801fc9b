/* What the launcher tells its listener. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sweeps/launch_parts.h"

void launch_say(const launch *l, sweep_say kind, const char *fmt, ...)
{
    char line[1600];
    va_list ap;
    if (!l->o->listener.say) return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    l->o->listener.say(l->o->listener.self, kind, line);
}

const char *launch_run_name(const launch *l, size_t run, char buf[600])
{
    const sweep_run *r = &l->p->runs[run];
    char what[512];
    sweep_spec_describe(l->s, r->block, r->cell, what, sizeof what);
    snprintf(buf, 600, "%s%s%s%s", r->id, *what ? " (" : "", what, *what ? ")" : "");
    return buf;
}

void launch_count(const launch *l, sweep_progress *out)
{
    memset(out, 0, sizeof *out);
    out->total = l->p->n_runs;
    for (size_t i = 0; i < l->p->n_runs; i++) {
        const cell *c = &l->cells[i];
        out->done += c->state == CELL_DONE;
        out->diverged += c->state == CELL_DIVERGED;
        out->early_stopped += c->state == CELL_EARLY_STOPPED;
        out->failed += c->state == CELL_FAILED;
        out->running += c->state == CELL_RUNNING;
        out->others += c->state == CELL_OTHERS;
        out->waiting += c->state == CELL_WAITING || c->state == CELL_STOPPED || c->state == CELL_LEFT;
        if (c->state == CELL_WAITING || c->state == CELL_RUNNING || c->state == CELL_STOPPED)
            out->flops_left += c->left;
    }
    double seconds = l->trained_s + (l->n_at_work ? io_now() - l->at_work_since : 0), now = 0;
    for (size_t i = 0; i < l->n_streams; i++) now += l->streams[i].bank_done;
    out->flops_done = l->flops_done + now;
    out->flops_left -= now < out->flops_left ? now : out->flops_left;
    out->flops_per_s = seconds > 0 ? out->flops_done / seconds : 0;
    out->seconds_left = out->flops_per_s > 0 ? out->flops_left / out->flops_per_s : -1;
}

void launch_report(const launch *l)
{
    sweep_progress now;
    if (!l->o->listener.progress) return;
    launch_count(l, &now);
    l->o->listener.progress(l->o->listener.self, &now);
}
