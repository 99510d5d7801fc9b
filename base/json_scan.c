#include "base/json_scan.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum { MAX_DEPTH = 64 };

status json_bad(const json_scan *s, const json_token *t, err *e, const char *what)
{
    return err_set(e, ST_INPUT, "%s:%zu:%zu: %s", s->name, t->line, t->at, what);
}

static void skip_blanks(json_scan *s)
{
    for (; s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n'); s->p++)
        if (*s->p == '\n') s->line++, s->line_start = s->p + 1;
}

static bool room(json_scan *s, size_t n)
{
    if (n <= s->cap) return true;
    size_t cap = n + n / 2 + 64;
    char *more = realloc(s->field, cap);
    if (more) s->field = more, s->cap = cap;
    return more != NULL;
}

static status no_memory(const json_scan *s, err *e) { return err_set(e, ST_NOMEM, "%s: no memory", s->name); }

/* A string with escapes, quotes included: jansson knows them all. */
static status decode(json_scan *s, const json_token *t, const char *start, size_t n, err *e)
{
    json_error_t at;
    json_t *j = json_loadb(start, n, JSON_DECODE_ANY, &at);
    if (!j)
        return err_set(e, ST_INPUT, "%s:%zu:%zu: not a JSON string (%s); write a backslash as \\\\", s->name, t->line,
                       t->at, at.text);
    size_t length = json_string_length(j);
    bool ok = room(s, length + 1);
    if (ok) memcpy(s->field, json_string_value(j), length + 1);
    json_decref(j);
    return ok ? ST_OK : no_memory(s, e);
}

static status text(json_scan *s, json_token *t, err *e)
{
    const char *start = s->p++;
    bool plain = true;
    for (; s->p < s->end && *s->p != '"'; s->p++) {
        if (*s->p == '\\') {
            plain = false;
            if (s->p + 1 < s->end && (unsigned char)s->p[1] >= 0x20) s->p++;
        } else if ((unsigned char)*s->p < 0x20) break;
    }
    if (s->p == s->end) {
        s->ran_out = true;
        return json_bad(s, t, e, "this quote is never closed");
    }
    if (*s->p != '"')
        return json_bad(s, t, e,
                        *s->p == '\n' || *s->p == '\r'
                            ? "this quote is not closed on its line; write a line end as \\n"
                            : "control character in a string; write it as an escape such as \\t");
    t->kind = JSON_TEXT;
    size_t n = (size_t)(++s->p - start);
    if (!plain) return decode(s, t, start, n, e);
    if (!room(s, n)) return no_memory(s, e);
    memcpy(s->field, start + 1, n - 2);
    s->field[n - 2] = 0;
    return ST_OK;
}

/* RFC 8259: no sign but minus, no leading zero, digits on both sides of the point. */
static bool is_json_number(const char *p)
{
    p += *p == '-';
    if (*p == '0') p++;
    else if (!isdigit((unsigned char)*p)) return false;
    else while (isdigit((unsigned char)*p)) p++;
    if (*p == '.') {
        if (!isdigit((unsigned char)*++p)) return false;
        while (isdigit((unsigned char)*p)) p++;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        if (!isdigit((unsigned char)*p)) return false;
        while (isdigit((unsigned char)*p)) p++;
    }
    return !*p;
}

static status bare(json_scan *s, json_token *t, err *e)
{
    static const struct { const char *word; json_kind kind; } words[] = {
        {"true", JSON_YES}, {"false", JSON_NO}, {"null", JSON_NOTHING}};
    const char *start = s->p;
    while (s->p < s->end && (isalnum((unsigned char)*s->p) || strchr("+-._", *s->p))) s->p++;
    size_t n = (size_t)(s->p - start);
    s->ran_out = s->p == s->end; /* "1.2" may have been 1.25 */
    if (!n) {
        s->ran_out = false;
        return json_bad(s, t, e,
                        *start == '\'' ? "single quotes; JSON needs double ones"
                                       : "no JSON value begins with this character");
    }
    if (!room(s, n + 1)) return no_memory(s, e);
    memcpy(s->field, start, n);
    s->field[n] = 0;
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (!strcmp(s->field, words[k].word)) {
            t->kind = words[k].kind;
            return ST_OK;
        }
    if (num_is_nonfinite_word(s->field)) {
        t->kind = JSON_NONFINITE;
        return ST_OK;
    }
    t->kind = JSON_NUM;
    if (!is_json_number(s->field))
        return err_set(e, ST_INPUT,
                       "%s:%zu:%zu: '%.60s' is not a JSON value; words need double quotes, what is absent is null",
                       s->name, t->line, t->at, s->field);
    if (!num_parse_f64(s->field, &t->x))
        return err_set(e, ST_INPUT, "%s:%zu:%zu: %.60s is beyond double precision", s->name, t->line, t->at, s->field);
    return ST_OK;
}

status json_next(json_scan *s, json_token *t, err *e)
{
    skip_blanks(s);
    t->line = s->line;
    t->at = (size_t)(s->p - s->line_start) + 1;
    t->kind = JSON_END;
    t->c = 0;
    if (s->p == s->end) {
        s->ran_out = true;
        return ST_OK;
    }
    if (memchr("{}[],:", *s->p, 6)) {
        t->kind = JSON_PUNCT;
        t->c = *s->p++;
        return ST_OK;
    }
    return *s->p == '"' ? text(s, t, e) : bare(s, t, e);
}

static bool is(const json_token *t, char c) { return t->kind == JSON_PUNCT && t->c == c; }

static status cut_short(const json_scan *s, const json_token *t, err *e)
{
    return json_bad(s, t, e,
                    s->one_line
                        ? "the line ends inside a value: cut short, or not one object a line (jq -c . makes it so)"
                        : "the file ends inside a value; was it cut short?");
}

/* After '{', '[' or a value: the comma before the next one, or the end. */
static status next_one(json_scan *s, json_token *t, bool first, char close, bool *done, err *e)
{
    status st = json_next(s, t, e);
    *done = !st && is(t, close);
    if (st || *done) return st;
    if (t->kind == JSON_END) return cut_short(s, t, e);
    if (first) return ST_OK;
    if (!is(t, ','))
        return json_bad(s, t, e, close == '}' ? "a comma or } must stand here" : "a comma or ] must stand here");
    json_token comma = *t;
    st = json_next(s, t, e);
    if (!st && is(t, close)) return json_bad(s, &comma, e, "no comma may stand before the end of a list or object");
    return st;
}

status json_key(json_scan *s, bool first, bool *done, json_token *key, err *e)
{
    status st = next_one(s, key, first, '}', done, e);
    if (st || *done) return st;
    if (key->kind == JSON_END) return cut_short(s, key, e);
    if (key->kind != JSON_TEXT) return json_bad(s, key, e, "a key in double quotes must stand here");
    skip_blanks(s);
    if (s->p < s->end && *s->p == ':') {
        s->p++;
        return ST_OK;
    }
    if (s->p == s->end) s->ran_out = true;
    json_token here = {.line = s->line, .at = (size_t)(s->p - s->line_start) + 1};
    return s->ran_out ? cut_short(s, &here, e) : json_bad(s, &here, e, "a colon must stand between key and value");
}

static status need_value(json_scan *s, const json_token *t, err *e)
{
    if (t->kind == JSON_END) return cut_short(s, t, e);
    if (t->kind == JSON_PUNCT && t->c != '{' && t->c != '[')
        return json_bad(s, t, e, "a value must stand here; what is absent is null");
    return ST_OK;
}

status json_value(json_scan *s, json_token *t, err *e)
{
    status st = json_next(s, t, e);
    return st ? st : need_value(s, t, e);
}

status json_item(json_scan *s, bool first, bool *done, json_token *item, err *e)
{
    status st = next_one(s, item, first, ']', done, e);
    return st || *done ? st : need_value(s, item, e);
}

static status skip(json_scan *s, const json_token *t, int depth, err *e)
{
    json_token in;
    bool done;
    status st;
    if (t->kind != JSON_PUNCT) return ST_OK;
    if (depth == MAX_DEPTH) return json_bad(s, t, e, "nested deeper than 64; not a table");
    for (bool first = true;; first = false) {
        if (t->c == '[') st = json_item(s, first, &done, &in, e);
        else st = json_key(s, first, &done, &in, e);
        if (st || done) return st;
        if (t->c == '{') st = json_value(s, &in, e);
        if (!st) st = skip(s, &in, depth + 1, e);
        if (st) return st;
    }
}

status json_skip(json_scan *s, const json_token *t, err *e) { return skip(s, t, 0, e); }
