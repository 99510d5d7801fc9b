/* Strict YAML over libyaml: a tree of nodes that remember where they stood.
 *
 * Refused with file:line:column: aliases and anchors, tags, duplicate keys, keys that are no plain scalars,
 * several documents, more than YAML_MAX_DEPTH levels, YAML_MAX_NODES nodes, files above 4 MiB. */
#ifndef BASE_YAML_H
#define BASE_YAML_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum { YAML_MAX_DEPTH = 32, YAML_MAX_NODES = 200000 };
typedef enum yaml_kind { YAML_SCALAR, YAML_SEQ, YAML_MAP } yaml_kind;

typedef struct yaml_node {
    yaml_kind kind;
    int line, column;            /* 1-based */
    char *text;                  /* scalar */
    bool quoted;                 /* scalar written in quotes: never a number or a bool */
    size_t n;                    /* children */
    struct yaml_node **keys;     /* map only: scalars */
    struct yaml_node **values;   /* map and sequence */
} yaml_node;

typedef struct yaml_doc {
    char path[256];              /* for messages */
    yaml_node *root;             /* never NULL after success; an empty file is an empty map */
} yaml_doc;

status yaml_load(yaml_doc *doc, const char *path, err *e);
status yaml_parse(yaml_doc *doc, const char *text, size_t n, const char *name, err *e);
void yaml_doc_free(yaml_doc *doc); /* accepts a zeroed doc. Not "yaml_free": libyaml.so calls its own function of that name */

const yaml_node *yaml_get(const yaml_node *map, const char *key); /* NULL when absent or not a map */

/* "path:line:column: " + message, ST_INPUT. */
status yaml_error(const yaml_doc *doc, const yaml_node *at, err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* A single word or text, borrowed from the document; the message names the key. Numbers are read by base/num.h. */
status yaml_text(const yaml_doc *doc, const yaml_node *at, const char *key, const char **out, err *e);
#endif
