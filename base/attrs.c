/* Named scalars of a run record, in the order they were set. A run has some sixty: a linear search is enough. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/run.h"

const attr *attrs_get(const attrs *g, const char *name)
{
    for (size_t i = 0; i < g->n; i++)
        if (!strcmp(g->a[i].name, name)) return &g->a[i];
    return NULL;
}

double attrs_f64(const attrs *g, const char *name)
{
    const attr *a = attrs_get(g, name);
    if (!a || a->kind == ATTR_TEXT) return NAN;
    return a->kind == ATTR_I64 ? (double)a->i : a->f;
}

int64_t attrs_i64(const attrs *g, const char *name, int64_t fallback)
{
    const attr *a = attrs_get(g, name);
    return a && a->kind == ATTR_I64 ? a->i : fallback;
}

const char *attrs_text(const attrs *g, const char *name)
{
    const attr *a = attrs_get(g, name);
    return a && a->kind == ATTR_TEXT ? a->text : NULL;
}

/* The slot called name, made when absent, its old text freed. */
static attr *slot(attrs *g, const char *name)
{
    for (size_t i = 0; i < g->n; i++) {
        if (strcmp(g->a[i].name, name)) continue;
        free(g->a[i].text);
        g->a[i].text = NULL;
        return &g->a[i];
    }
    if ((g->n & (g->n - 1)) == 0) {
        attr *more = realloc(g->a, (g->n ? 2 * g->n : 1) * sizeof *more);
        if (!more) return NULL;
        g->a = more;
    }
    attr *a = &g->a[g->n];
    memset(a, 0, sizeof *a);
    a->name = strdup(name);
    if (!a->name) return NULL;
    g->n++;
    return a;
}

static status no_memory(const char *name, err *e) { return err_set(e, ST_NOMEM, "no memory for the setting %s of a run", name); }

status attrs_set_i64(attrs *g, const char *name, int64_t x, err *e)
{
    attr *a = slot(g, name);
    if (!a) return no_memory(name, e);
    a->kind = ATTR_I64;
    a->i = x;
    return ST_OK;
}

status attrs_set_f64(attrs *g, const char *name, double x, err *e)
{
    attr *a = slot(g, name);
    if (!a) return no_memory(name, e);
    a->kind = ATTR_F64;
    a->f = x;
    return ST_OK;
}

status attrs_set_text(attrs *g, const char *name, const char *x, err *e)
{
    attr *a = slot(g, name);
    if (!a) return no_memory(name, e);
    a->kind = ATTR_TEXT;
    a->text = strdup(x);
    if (a->text) return ST_OK;
    a->kind = ATTR_I64; /* a text without its text would be dereferenced */
    return no_memory(name, e);
}

void attrs_free(attrs *g)
{
    for (size_t i = 0; i < g->n; i++) {
        free(g->a[i].name);
        free(g->a[i].text);
    }
    free(g->a);
    memset(g, 0, sizeof *g);
}
