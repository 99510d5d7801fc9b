/* Growing text. A failed allocation is remembered, later calls do nothing, and the owner asks once at the end. */
#ifndef PLOTS_TEXT_H
#define PLOTS_TEXT_H
#include <stdbool.h>
#include <stddef.h>

typedef struct text { char *s; size_t n, cap; bool failed; } text; /* zeroed = empty; s is zero-terminated or NULL */

void text_add(text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_put(text *t, const char *s);
void text_putn(text *t, const char *s, size_t n);
void text_free(text *t);
const char *text_str(const text *t); /* never NULL */
#endif
