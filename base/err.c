#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct { const char *name, *text; int exit_code; } status_table[ST_COUNT] = {
#define STATUS_ROW(code, exit_code, text) [code] = {#code, text, exit_code},
    STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

static int known(status s) { return (unsigned)s < ST_COUNT; }
const char *status_name(status s) { return known(s) ? status_table[s].name : "ST_?"; }
const char *status_text(status s) { return known(s) ? status_table[s].text : "unknown status"; }
int status_exit(status s) { return known(s) ? status_table[s].exit_code : 1; }

status err_set_at(err *e, const char *file, int line, status s, const char *fmt, ...)
{
    if (!e) return s;
    e->code = s;
    e->file = file;
    e->line = line;
    /* The arguments may point into e->msg itself (wrapping a message), so format aside first. */
    char text[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(e->msg, text, sizeof text);
    return s;
}

static size_t append(char *out, size_t size, size_t at, const char *text)
{
    while (*text && at + 1 < size) out[at++] = *text++;
    out[at] = 0;
    return at;
}

status err_prefix(err *e, const char *fmt, ...)
{
    if (!e) return ST_INPUT;
    char text[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    at = append(text, sizeof text, at, ": ");
    append(text, sizeof text, at, e->msg);
    memcpy(e->msg, text, sizeof text);
    return e->code;
}
