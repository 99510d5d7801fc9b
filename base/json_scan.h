/* JSON as a stream of tokens, each with its line and column. Why not jansson for all of it: a document of a million
 * records would be held as a million objects, values would have lost their places, and Python writes NaN and Infinity,
 * which jansson refuses. jansson still decodes the strings that need decoding. */
#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H
#include "base/readers.h"

typedef enum json_kind {
    JSON_END,       /* the text is over */
    JSON_PUNCT,     /* one of { } [ ] , : in `c` */
    JSON_TEXT,      /* a string; decoded in scan.field */
    JSON_NUM,       /* a number in `x` */
    JSON_NONFINITE, /* NaN, Infinity, -Infinity, bare as Python writes them */
    JSON_YES, JSON_NO, JSON_NOTHING /* true, false, null */
} json_kind;

typedef struct json_token { json_kind kind; char c; double x; size_t line, at; } json_token;

typedef struct json_scan {
    const char *name, *p, *end, *line_start;
    size_t line;
    char *field; size_t cap; /* [cap] the last string, zero-terminated; free it */
    bool one_line;           /* the text is one line of JSONL, for the message when it ends too early */
    bool ran_out;            /* the text ended where more was needed: it was cut short */
} json_scan;

status json_next(json_scan *s, json_token *t, err *e);
/* The next token, which must begin a value. */
status json_value(json_scan *s, json_token *t, err *e);
/* The rest of the value that t begins: all of an object or a list. */
status json_skip(json_scan *s, const json_token *t, err *e);
/* "name:line:column: what" */
status json_bad(const json_scan *s, const json_token *t, err *e, const char *what);
/* In an object after '{' or a member: the next key in scan.field, or *done. `first`: no comma wanted before it. */
status json_key(json_scan *s, bool first, bool *done, json_token *key, err *e);
/* In a list after '[' or an item: the next item's first token, or *done. */
status json_item(json_scan *s, bool first, bool *done, json_token *item, err *e);
#endif
