/* A stored JSON document of a known schema: read whole, refused with the place and a remedy when it is not that. */
#ifndef BASE_JDOC_H
#define BASE_JDOC_H
#include <jansson.h>
#include "base/err.h"
#include "base/io.h"

/* *out: a new reference, an object whose "schema" is `schema`; NULL on failure. sha256 (IO_SHA256_HEX bytes) of the very bytes that
 * were parsed, or NULL. `remedy` ends the message: "make it again with ...". ST_INPUT: missing, larger than `limit` bytes,
 * not JSON (path:line:column), a duplicate key, another schema. */
status jdoc_read(json_t **out, char *sha256, const char *path, const char *schema, size_t limit, const char *remedy, err *e);
#endif
