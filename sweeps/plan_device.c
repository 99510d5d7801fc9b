#include "sweeps/plan_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"
#include "kernels/device_ops.h"
#include "sweeps/fill.h"

enum {
    MAX_STREAMS = 64,
    MULTIPROCESSORS = 132 /* of a device that is not here: an H100 SXM's or H200's */
};

/* What is counted may be exceeded by a seventh (contexts, plans and code of kernels lie beside it): the bound that
 * gpu-bench holds it to is 1.15. */
static size_t usable(size_t free_bytes) { return free_bytes / 8 * 7; }

status plan_device(sweep_device *d, const k_ops *ops, const sweep_plan_opts *o, err *e)
{
    k_device first;
    char why[256];
    err none = {0};
    if (*d->name) return ST_OK;
    status st = ops->device->ready(&none);
    if (st && !o->memory_limit) {
        if (e) *e = none;
        return st;
    }
    if (st || !k_devices(&first, 1, why)) {
        *d = (sweep_device){.assumed = true, .multiprocessors = MULTIPROCESSORS, .budget = o->memory_limit};
        snprintf(d->name, sizeof d->name, "a device that is not here");
        return ST_OK;
    }
    *d = (sweep_device){.multiprocessors = first.multiprocessors};
    snprintf(d->name, sizeof d->name, "%s", first.name);
    st = ops->device->mem_info(NULL, &d->free_bytes, &d->total_bytes, e);
    d->budget = o->memory_limit ? o->memory_limit : usable(d->free_bytes);
    return st;
}

/* So many of the banks from `first` on are begun while those before them leave memory and work to be had. */
static size_t begun_together(const sweep_plan *p, size_t first)
{
    size_t n = 0, bytes = 0;
    double fill = 0;
    for (const sweep_bank *b = &p->banks[first]; first + n < p->n_banks && n < MAX_STREAMS; b++, n++) {
        if (n && (fill >= FILL_ENOUGH || b->bytes > p->device.budget - bytes)) break;
        bytes += b->bytes;
        fill += b->fill;
        if (bytes >= p->device.budget) return n + 1;
    }
    return n;
}

static int largest_first(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

status plan_streams(sweep_plan *p, const sweep_plan_opts *o, err *e)
{
    bool all = *p->device.name != 0;
    for (size_t k = 0; k < p->n_classes; k++) all = all && p->classes[k].on_device;
    p->streams = o->streams ? o->streams : 1;
    p->streams_chosen = all && !o->streams;
    for (size_t k = 0; k < p->n_banks && p->streams_chosen; k++) {
        const size_t n = begun_together(p, k);
        if (n > p->streams) p->streams = n;
    }
    size_t *bytes = calloc(p->n_banks + 1, sizeof *bytes);
    if (!bytes) return err_set(e, ST_NOMEM, "no memory for a plan of %zu banks", p->n_banks);
    for (size_t k = 0; k < p->n_banks; k++) bytes[k] = p->banks[k].bytes;
    qsort(bytes, p->n_banks, sizeof *bytes, largest_first);
    for (size_t k = 0; k < p->n_banks && k < p->streams; k++) p->bytes_at_once += bytes[k];
    /* A bank waits for what does not fit beside those at work; one that never fits starts alone, to be told so. */
    if (all && p->bytes_at_once > p->device.budget)
        p->bytes_at_once = p->bytes_peak > p->device.budget ? p->bytes_peak : p->device.budget;
    free(bytes);
    return ST_OK;
}
