#include "base/jline.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

static void tail(char out[JLINE_TAIL + 1], const char *body, size_t n)
{
    uLong crc = crc32_z(crc32_z(0, NULL, 0), (const Bytef *)body, n);
    snprintf(out, JLINE_TAIL + 1, ",\"crc\":\"%08lx\"}", crc & 0xffffffffUL);
}

size_t jline_seal(char *body, size_t n)
{
    char t[JLINE_TAIL + 1];
    tail(t, body, n);
    memcpy(body + n, t, JLINE_TAIL);
    body[n + JLINE_TAIL] = '\n';
    return n + JLINE_TAIL + 1;
}

bool jline_valid(const char *line, size_t n)
{
    char t[JLINE_TAIL + 1];
    if (n <= JLINE_TAIL || line[0] != '{') return false;
    tail(t, line, n - JLINE_TAIL);
    return !memcmp(t, line + n - JLINE_TAIL, JLINE_TAIL);
}
