#include "base/jdoc.h"

#include <stdlib.h>
#include <string.h>

status jdoc_read(json_t **out, char *sha256, const char *path, const char *schema, size_t limit, const char *remedy, err *e)
{
    char *text = NULL;
    size_t n = 0;
    json_error_t at;
    *out = NULL;
    status s = io_read_file(&text, &n, path, limit, e);
    if (s) return s;
    if (sha256) io_sha256(sha256, text, n);
    json_t *doc = json_loadb(text, n, JSON_REJECT_DUPLICATES, &at);
    free(text);
    if (!doc) return err_set(e, ST_INPUT, "%s:%d:%d: not JSON (%s); %s", path, at.line, at.column, at.text, remedy);
    const char *has = json_string_value(json_object_get(doc, "schema"));
    if (has && !strcmp(has, schema)) {
        *out = doc;
        return ST_OK;
    }
    s = err_set(e, ST_INPUT, "%s: schema is %s%.60s%s, not %s; %s", path, has ? "'" : "", has ? has : "absent", has ? "'" : "", schema, remedy);
    json_decref(doc);
    return s;
}
