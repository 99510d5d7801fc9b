/* How much losses scatter around an optimum. */
#include "fit/lr_parts.h"

#include <math.h>
#include <string.h>

bool lr_from_seeds(const lr_noise *noise) { return strstr(noise->source, "seeds") != NULL; }

/* The run of that seed at a level; SIZE_MAX when there is none, or several. */
static size_t run_of(const lr_group *g, const lr_level *l, uint64_t seed)
{
    size_t found = SIZE_MAX;
    for (size_t i = l->first; i < l->first + l->n; i++) {
        if (g->seed[i] != seed) continue;
        if (found != SIZE_MAX) return SIZE_MAX;
        found = i;
    }
    return found;
}

/* Mean over levels of what a seed's runs lie above their levels; NaN where it is missing. */
static double own_level(const lr_group *g, const lr_level *l, size_t lo, size_t hi, uint64_t seed)
{
    double sum = 0;
    for (size_t k = lo; k <= hi; k++) {
        const size_t run = run_of(g, &l[k], seed);
        if (run == SIZE_MAX) return NAN;
        sum += g->loss[run] - l[k].loss;
    }
    return sum / (double)(hi - lo + 1);
}

lr_squares lr_seed_squares(const lr_group *g, const lr_level *l, size_t lo, size_t hi)
{
    lr_squares q = {0};
    const size_t n = l[lo].n, levels = hi - lo + 1;
    double own_ss = 0;
    bool balanced = n > 1 && levels > 1;
    for (size_t k = lo; k <= hi; k++) {
        q.seeds += l[k].ss;
        q.seeds_dof += (double)(l[k].n - 1);
        balanced &= l[k].n == n;
    }
    for (size_t i = l[lo].first; balanced && i < l[lo].first + n; i++) {
        const double own = own_level(g, l, lo, hi, g->seed[i]);
        balanced = !isnan(own);
        own_ss += (double)levels * own * own;
    }
    if (!balanced) return q;
    /* two-way layout without interaction: what levels and seeds do not explain */
    q.pairs = fmax(q.seeds - own_ss, 0);
    q.pairs_dof = (double)((n - 1) * (levels - 1));
    return q;
}
