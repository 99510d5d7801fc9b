/* Reading results of others (fit.json, prediction.json, score.json) without trusting their shape: what is absent, null or
 * of another type is NaN or NULL, and the figure or table leaves it out. `path` is keys joined by dots: "ci95.loss". */
#ifndef PLOTS_JSON_H
#define PLOTS_JSON_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

const json_t *js_get(const json_t *o, const char *path);      /* NULL when absent or null */
double js_num(const json_t *o, const char *path);             /* NaN when absent */
const char *js_str(const json_t *o, const char *path);        /* NULL when absent */
const char *js_str_or(const json_t *o, const char *path, const char *fallback);
size_t js_len(const json_t *o, const char *path);             /* of an array; 0 when absent */
double js_at(const json_t *o, const char *path, size_t i);    /* element of an array; NaN */
/* A member by a name that may hold anything, dots too: js_member(fit, "params", name). NULL, NaN, false as above. */
const json_t *js_member(const json_t *o, const char *path, const char *name);
double js_member_num(const json_t *o, const char *path, const char *name);
bool js_member_pair(double out[2], const json_t *o, const char *path, const char *name);
/* A column of n numbers, NaN for what is none; NULL when the array is absent or of another length, and, with *failed
 * set, without memory. To be freed. */
double *js_column(const json_t *o, const char *path, size_t n, bool *failed);
bool js_pair(double out[2], const json_t *o, const char *path); /* [lo, hi]; false (and NaN) when either is missing */
#endif
