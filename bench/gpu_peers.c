#include "bench/gpu_peers.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

static status line(gpu_peer *out, const char *text, size_t n, const char *file, const char *peer, const char *name,
                   err *e)
{
    json_error_t why;
    json_t *j = json_loadb(text, n, 0, &why);
    if (!j) return err_set(e, ST_INPUT, "%s: %s", file, why.text);
    const char *p = json_string_value(json_object_get(j, "peer")), *c = json_string_value(json_object_get(j, "case"));
    if (p && c && !strcmp(p, peer) && !strcmp(c, name)) {
        const char *mode = json_string_value(json_object_get(j, "mode"));
        out->rate = json_number_value(json_object_get(j, "tokens_per_s"));
        snprintf(out->mode, sizeof out->mode, "%s", mode ? mode : "");
    }
    json_decref(j);
    return ST_OK;
}

status gpu_peer_rate(gpu_peer *out, const char *file, const char *peer, const char *name, err *e)
{
    char *text = NULL;
    size_t size = 0;
    *out = (gpu_peer){0};
    status s = io_read_file(&text, &size, file, (size_t)1 << 20, e);
    for (char *at = text; !s && at && *at;) {
        const size_t n = strcspn(at, "\n");
        if (*at == '{') s = line(out, at, n, file, peer, name, e); /* other lines are remarks */
        at += n + (at[n] != 0);
    }
    free(text);
    return s;
}
