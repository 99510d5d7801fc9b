#include "plots/lr_facets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plots/colour.h"
#include "plots/json.h"

enum { MOST_BESIDE = 3 }; /* panels: a fourth would leave each less than two inches */

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void add_width(lr_facets *all, double w)
{
    for (size_t i = 0; i < all->n_widths; i++)
        if (all->widths[i] == w) return;
    all->widths[all->n_widths++] = w;
}

size_t lr_facets_find(const lr_facets *all, const char *par, const char *fixed)
{
    size_t i = 0;
    while (i < all->n_facets && (strcmp(all->facet[i].par, par) || strcmp(all->facet[i].fixed, fixed))) i++;
    return i;
}

static size_t add_facet(lr_facets *all, const char *par, const char *fixed)
{
    const size_t found = lr_facets_find(all, par, fixed);
    size_t same = 0;
    if (found < all->n_facets) return found;
    for (size_t i = 0; i < all->n_facets; i++) same += !strcmp(all->facet[i].par, par);
    lr_facet *f = &all->facet[all->n_facets];
    *f = (lr_facet){.par = par, .fixed = fixed};
    if (same) snprintf(f->name, sizeof f->name, "%.36s #%zu", par, same + 1);
    else snprintf(f->name, sizeof f->name, "%.36s", par);
    return all->n_facets++;
}

size_t lr_facets_rank(const lr_facets *all, double w)
{
    size_t k = 0;
    while (k + 1 < all->n_widths && all->widths[k] != w) k++;
    return k;
}

unsigned lr_facets_ink(const lr_facets *all, double w)
{
    return colour_sequence(all->n_widths > 1 ? (double)lr_facets_rank(all, w) / (double)(all->n_widths - 1) : 0.35);
}

/* Is "tokens 4096" one of the words of "n_layer 4, tokens 4096"? */
static bool has_part(const char *fixed, const char *part, size_t n)
{
    while (*fixed) {
        const size_t here = strcspn(fixed, ",");
        if (here == n && !strncmp(fixed, part, n)) return true;
        fixed += here;
        fixed += strspn(fixed, ", ");
    }
    return false;
}

static void name_facets(lr_facets *all)
{
    for (size_t i = 0; i < all->n_facets; i++) {
        lr_facet *f = &all->facet[i];
        for (const char *part = f->fixed; *part;) {
            const size_t n = strcspn(part, ","), used = strlen(f->more);
            bool common = true;
            for (size_t k = 0; k < all->n_facets; k++) common &= has_part(all->facet[k].fixed, part, n);
            if (!common) snprintf(f->more + used, sizeof f->more - used, "%s%.*s", used ? ", " : "", (int)n, part);
            part += n;
            part += strspn(part, ", ");
        }
        all->subtitles |= *f->more != 0;
    }
}

/* muP first: the claim stands left, what it is compared with right. */
status lr_facets_collect(lr_facets *all, const json_t *list, err *e)
{
    const size_t most = json_array_size(list) + 1;
    all->g = calloc(most, sizeof *all->g);
    all->facet = calloc(most, sizeof *all->facet);
    all->widths = calloc(most, sizeof *all->widths);
    if (!all->g || !all->facet || !all->widths) return err_set(e, ST_NOMEM, "no memory for the groups");
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = 0; k + 1 < most; k++) {
            const json_t *doc = json_array_get(list, k);
            const char *par = js_str_or(doc, "parametrisation", "unstated"), *fixed = js_str_or(doc, "fixed", "");
            lr_curve g = {.width = js_num(doc, "width"), .n = js_len(doc, "lr"), .doc = doc};
            if (!(g.width > 0) || !g.n || js_len(doc, "loss") != g.n) continue;
            if (!pass && (strcmp(par, "mup") || !strcmp(all->size, "depth"))) continue;
            g.facet = add_facet(all, par, fixed);
            add_width(all, g.width);
            if (pass) all->g[all->n++] = g;
        }
    qsort(all->widths, all->n_widths, sizeof *all->widths, by_number);
    for (size_t k = 0; k < all->n; k++) all->g[k].ink = lr_facets_ink(all, all->g[k].width);
    name_facets(all);
    return all->n ? ST_OK : err_set(e, ST_INPUT, "the fit holds no group of learning rates");
}

void lr_facets_free(lr_facets *all)
{
    free(all->g);
    free(all->facet);
    free(all->widths);
}

size_t lr_facets_rows(size_t n) { return (n + MOST_BESIDE - 1) / MOST_BESIDE; }
size_t lr_facets_columns(size_t n) { return n ? (n + lr_facets_rows(n) - 1) / lr_facets_rows(n) : 1; }
