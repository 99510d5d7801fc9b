/* The values of one axis: a YAML list, range(a, b, step) or logspace(a, b, n). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "sweeps/spec_level.h"

enum { MAX_VALUES = 100000 };

const yaml_node *sweep_spec_make(sweep_spec *s, const yaml_node *at, const char *text, err *e)
{
    if ((s->n_made & (s->n_made - 1)) == 0) {
        yaml_node **more = realloc(s->made, (s->n_made ? 2 * s->n_made : 1) * sizeof(yaml_node *));
        if (!more) goto fail;
        s->made = more;
    }
    yaml_node *node = calloc(1, sizeof *node);
    char *copy = strdup(text);
    if (!node || !copy) {
        free(node);
        free(copy);
        goto fail;
    }
    *node = (yaml_node){.kind = YAML_SCALAR, .line = at->line, .column = at->column, .text = copy};
    s->made[s->n_made++] = node;
    return node;
fail:
    err_set(e, ST_NOMEM, "%s: no memory", s->doc.path);
    return NULL;
}

/* "logspace(1e-4, 1e-2, 5)" -> word and three numbers. */
static bool split_call(const char *text, const char *word, double arg[3])
{
    size_t n = strlen(word);
    char part[3][40];
    int used = 0;
    if (strncmp(text, word, n)) return false;
    if (sscanf(text + n, " ( %39[^,() ] , %39[^,() ] , %39[^,() ] ) %n", part[0], part[1], part[2], &used) != 3)
        return false;
    if (!used || text[n + (size_t)used]) return false;
    for (int i = 0; i < 3; i++)
        if (!num_parse_f64(part[i], &arg[i])) return false;
    return true;
}

const yaml_node *spec_number(sweep_spec *s, const yaml_node *at, bool whole, double x, err *e)
{
    char text[40];
    if (whole) snprintf(text, sizeof text, "%.0f", x);
    else snprintf(text, sizeof text, "%.12g", x);
    return sweep_spec_make(s, at, text, e);
}

static status expand(sweep_spec *s, const yaml_node *key, const yaml_node *at, const yaml_node ***out, size_t *n,
                     err *e)
{
    double a[3];
    bool whole = spec_whole_key(key->text);
    bool log = split_call(at->text, "logspace", a);
    if (!log && !split_call(at->text, "range", a))
        return spec_error(s, at, e,
                          "%s: '%s' is not a list; write [v1, v2], \"range(a, b, step)\" or \"logspace(a, b, n)\""
                          " (in quotes inside { }); a single value belongs under base",
                          key->text, at->text);
    double count = log ? a[2] : ceil((a[1] - a[0]) / a[2] - 1e-9);
    if (log && (a[0] <= 0 || a[1] <= 0))
        return spec_error(s, at, e,
                          "%s: logspace(a, b, n) takes positive values, not exponents, as in logspace(1e-4, 1e-2, 5)",
                          key->text);
    if (!(count >= 1) || count > MAX_VALUES || (log && count != floor(count)))
        return spec_error(s, at, e, "%s: '%s' has no values, or more than %d", key->text, at->text, (int)MAX_VALUES);
    if (whole && !log && (a[0] != floor(a[0]) || a[2] != floor(a[2])))
        return spec_error(s, at, e, "%s: '%s' must give whole numbers", key->text, at->text);
    *n = (size_t)count;
    *out = calloc(*n, sizeof **out);
    if (!*out) return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path);
    for (size_t i = 0; i < *n; i++) {
        double t = *n > 1 ? (double)i / (double)(*n - 1) : 0;
        double x = log ? a[0] * pow(a[1] / a[0], t) : a[0] + (double)i * a[2];
        if (!((*out)[i] = spec_number(s, at, whole, x, e))) {
            free(*out);
            *out = NULL;
            return ST_NOMEM;
        }
    }
    return ST_OK;
}

status sweep_spec_values(sweep_spec *s, const yaml_node *key, const yaml_node *list, const yaml_node ***out, size_t *n,
                         err *e)
{
    *out = NULL;
    *n = 0;
    if (list->kind == YAML_SCALAR) return expand(s, key, list, out, n, e);
    if (list->kind != YAML_SEQ)
        return spec_error(s, list, e, "%s: a list of values is needed, as in [1, 2]", key->text);
    if (!list->n) return spec_error(s, list, e, "%s: empty list; a sweep over no value has no runs", key->text);
    for (size_t i = 0; i < list->n; i++)
        if (list->values[i]->kind != YAML_SCALAR)
            return spec_error(s, list->values[i], e, "%s: a value of the list must be a number or a word", key->text);
    *out = malloc(list->n * sizeof **out);
    if (!*out) return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path);
    for (size_t i = 0; i < list->n; i++) (*out)[i] = list->values[i];
    *n = list->n;
    return ST_OK;
}
