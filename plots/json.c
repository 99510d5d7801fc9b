#include "plots/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const json_t *js_get(const json_t *o, const char *path)
{
    char key[64];
    while (o && *path) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        o = json_object_get(o, key);
        path += n + (path[n] == '.');
    }
    return json_is_null(o) ? NULL : o;
}

static double number(const json_t *v) { return json_is_number(v) ? json_number_value(v) : NAN; }

double js_num(const json_t *o, const char *path) { return number(js_get(o, path)); }
const char *js_str(const json_t *o, const char *path) { return json_string_value(js_get(o, path)); }

const char *js_str_or(const json_t *o, const char *path, const char *fallback)
{
    const char *s = js_str(o, path);
    return s ? s : fallback;
}

size_t js_len(const json_t *o, const char *path) { return json_array_size(js_get(o, path)); }
double js_at(const json_t *o, const char *path, size_t i) { return number(json_array_get(js_get(o, path), i)); }

const json_t *js_member(const json_t *o, const char *path, const char *name)
{
    const json_t *v = json_object_get(js_get(o, path), name);
    return json_is_null(v) ? NULL : v;
}

double js_member_num(const json_t *o, const char *path, const char *name) { return number(js_member(o, path, name)); }

bool js_member_pair(double out[2], const json_t *o, const char *path, const char *name)
{
    return js_pair(out, js_member(o, path, name), "");
}

bool js_pair(double out[2], const json_t *o, const char *path)
{
    out[0] = js_at(o, path, 0);
    out[1] = js_at(o, path, 1);
    if (!isnan(out[0]) && !isnan(out[1])) return true;
    out[0] = out[1] = NAN;
    return false;
}

double *js_column(const json_t *o, const char *path, size_t n, bool *failed)
{
    const json_t *all = js_get(o, path);
    if (json_array_size(all) != n || !n) return NULL;
    double *x = malloc(n * sizeof *x);
    if (!x) *failed = true;
    for (size_t i = 0; x && i < n; i++) x[i] = number(json_array_get(all, i));
    return x;
}
