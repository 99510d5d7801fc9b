/* Which runs make the next bank, and what is believed of those whose banks failed with the device. */
#include "sweeps/launch_parts.h"

/* Runs of a shape that has just failed are not asked again whether it is the device, while others can be. */
static bool passed_over(const launch *l, size_t run)
{
    return l->strikes && l->marks[l->p->runs[run].class].struck;
}

/* The next waiting run in the plan's order, and what fits beside it in its bank. */
static void pick(stream *w, bool others)
{
    const launch *l = w->l;
    const sweep_plan *p = l->p;
    size_t class = 0, limit = 1;
    w->n_picked = 0;
    for (size_t b = 0; b < p->n_banks && w->n_picked < limit; b++) {
        if (w->n_picked && p->runs[p->order[p->banks[b].first]].class != class) continue;
        for (size_t i = 0; i < p->banks[b].n && w->n_picked < limit; i++) {
            const size_t run = p->order[p->banks[b].first + i];
            const cell *c = &l->cells[run];
            if (c->state != CELL_WAITING || c->blocked || (others && passed_over(l, run))) continue;
            if (w->n_picked && (c->alone || (c->at_most && c->at_most < limit))) continue;
            class = p->runs[run].class;
            if (!w->n_picked) limit = c->at_most && c->at_most < l->bank_size[class] ? c->at_most : l->bank_size[class];
            w->picked[w->n_picked++] = run;
            if (c->alone) return;
        }
    }
}

void launch_pick(stream *w)
{
    pick(w, true);
    if (!w->n_picked) pick(w, false);
}

void launch_strike(launch *l, size_t class, size_t runs)
{
    l->strikes += runs;
    l->marks[class] = (class_mark){.struck = true, .caught = true};
}

void launch_got_on(launch *l)
{
    l->strikes = 0;
    for (size_t k = 0; k < l->p->n_classes; k++) l->marks[k].struck = false;
}

bool launch_device_fails(const launch *l)
{
    size_t struck = 0;
    if (l->strikes < MOST_STRIKES) return false;
    for (size_t k = 0; k < l->p->n_classes; k++) struck += l->marks[k].struck;
    if (struck > 1) return true;
    for (size_t i = 0; i < l->p->n_runs; i++)
        if (l->cells[i].state == CELL_WAITING && !passed_over(l, i)) return false;
    return true;
}

/* A shape that is still failing keeps its small banks: nobody of it has shown to be innocent. */
void launch_acquit(launch *l, size_t class)
{
    bool any = false;
    for (size_t k = 0; k < l->p->n_classes; k++) any |= l->marks[k].caught;
    if (!any) return;
    l->marks[class].caught = false;
    for (size_t i = 0; i < l->p->n_runs; i++) {
        cell *c = &l->cells[i];
        if (c->state != CELL_WAITING || l->marks[l->p->runs[i].class].caught) continue;
        c->at_most = 0;
        c->alone = false;
    }
}
