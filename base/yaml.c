#include "base/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/io.h"
#include "base/num.h"

typedef struct loader {
    yaml_parser_t parser;
    yaml_doc *doc;
    size_t nodes;
    err *e;
} loader;

static void node_free(yaml_node *n)
{
    if (!n) return;
    for (size_t i = 0; i < n->n; i++) {
        if (n->keys) node_free(n->keys[i]);
        if (n->values) node_free(n->values[i]);
    }
    free(n->keys);
    free(n->values);
    free(n->text);
    free(n);
}

void yaml_doc_free(yaml_doc *doc)
{
    node_free(doc->root);
    doc->root = NULL;
}

status yaml_error(const yaml_doc *doc, const yaml_node *at, err *e, const char *fmt, ...)
{
    char text[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(e, ST_INPUT, "%s:%d:%d: %s", doc->path, at ? at->line : 1, at ? at->column : 1, text);
}

static status at_mark(loader *l, yaml_mark_t m, const char *what)
{
    return err_set(l->e, ST_INPUT, "%s:%zu:%zu: %s", l->doc->path, m.line + 1, m.column + 1, what);
}

static status next_event(loader *l, yaml_event_t *ev)
{
    if (yaml_parser_parse(&l->parser, ev)) return ST_OK;
    return at_mark(l, l->parser.problem_mark, l->parser.problem ? l->parser.problem : "not valid YAML");
}

static yaml_node *node_new(loader *l, yaml_kind kind, yaml_mark_t m)
{
    if (++l->nodes > YAML_MAX_NODES) {
        at_mark(l, m, "too many nodes in one file");
        return NULL;
    }
    yaml_node *n = calloc(1, sizeof *n);
    if (!n) {
        err_set(l->e, ST_NOMEM, "%s: no memory", l->doc->path);
        return NULL;
    }
    n->kind = kind;
    n->line = (int)m.line + 1;
    n->column = (int)m.column + 1;
    return n;
}

static status append(loader *l, yaml_node *parent, yaml_node *key, yaml_node *value)
{
    /* Grow by doubling: capacity is the next power of two of n. */
    if ((parent->n & (parent->n - 1)) == 0) {
        size_t cap = parent->n ? 2 * parent->n : 1;
        yaml_node **v = realloc(parent->values, cap * sizeof *v);
        if (v) parent->values = v;
        yaml_node **k = key && v ? realloc(parent->keys, cap * sizeof *k) : NULL;
        if (k) parent->keys = k;
        if (!v || (key && !k)) {
            node_free(key);
            node_free(value);
            return err_set(l->e, ST_NOMEM, "%s: no memory", l->doc->path);
        }
    }
    if (key) parent->keys[parent->n] = key;
    parent->values[parent->n++] = value;
    return ST_OK;
}

static status build(loader *l, yaml_node **out, yaml_event_t *ev, int depth);

static status build_children(loader *l, yaml_node *parent, yaml_event_type_t end, int depth)
{
    for (;;) {
        yaml_event_t ev;
        yaml_node *key = NULL, *value = NULL;
        status s = next_event(l, &ev);
        if (s) return s;
        if (ev.type == end) {
            yaml_event_delete(&ev);
            return ST_OK;
        }
        if (parent->kind == YAML_MAP) {
            if (ev.type != YAML_SCALAR_EVENT) {
                s = at_mark(l, ev.start_mark, "a key must be a plain word");
                yaml_event_delete(&ev);
                return s;
            }
            if ((s = build(l, &key, &ev, depth + 1))) return s;
            const yaml_node *same = yaml_get(parent, key->text);
            if (same) {
                s = yaml_error(l->doc, key, l->e, "duplicate key '%s' (first on line %d); remove one", key->text, same->line);
                node_free(key);
                return s;
            }
            if ((s = next_event(l, &ev))) {
                node_free(key);
                return s;
            }
        }
        if ((s = build(l, &value, &ev, depth + 1))) {
            node_free(key);
            return s;
        }
        if ((s = append(l, parent, key, value))) return s;
    }
}

/* Takes over *ev. */
static status build(loader *l, yaml_node **out, yaml_event_t *ev, int depth)
{
    status s = ST_OK;
    yaml_node *n = NULL;
    yaml_mark_t m = ev->start_mark;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (depth > YAML_MAX_DEPTH) { s = at_mark(l, m, "nested too deeply"); goto fail; }
    switch (ev->type) {
    case YAML_ALIAS_EVENT:
        s = at_mark(l, m, "aliases (*name) are not accepted; write the value out");
        goto fail;
    case YAML_SCALAR_EVENT:
        anchor = ev->data.scalar.anchor;
        tag = ev->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = ev->data.sequence_start.anchor;
        tag = ev->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = ev->data.mapping_start.anchor;
        tag = ev->data.mapping_start.tag;
        break;
    default:
        s = at_mark(l, m, "unexpected YAML structure");
        goto fail;
    }
    if (anchor) { s = at_mark(l, m, "anchors (&name) are not accepted; write the value out"); goto fail; }
    if (tag) { s = at_mark(l, m, "tags (!name) are not accepted"); goto fail; }
    n = node_new(l, ev->type == YAML_SCALAR_EVENT ? YAML_SCALAR : ev->type == YAML_SEQUENCE_START_EVENT ? YAML_SEQ : YAML_MAP, m);
    if (!n) { s = l->e ? l->e->code : ST_NOMEM; goto fail; }
    if (n->kind == YAML_SCALAR) {
        size_t len = ev->data.scalar.length;
        if (memchr(ev->data.scalar.value, 0, len)) { s = at_mark(l, m, "a zero byte inside a value"); goto fail; }
        n->text = malloc(len + 1);
        if (!n->text) { s = err_set(l->e, ST_NOMEM, "%s: no memory", l->doc->path); goto fail; }
        memcpy(n->text, ev->data.scalar.value, len);
        n->text[len] = 0;
        n->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    }
    yaml_event_delete(ev);
    if (n->kind != YAML_SCALAR) {
        s = build_children(l, n, n->kind == YAML_SEQ ? YAML_SEQUENCE_END_EVENT : YAML_MAPPING_END_EVENT, depth);
        if (s) {
            node_free(n);
            return s;
        }
    }
    *out = n;
    return ST_OK;
fail:
    yaml_event_delete(ev);
    node_free(n);
    return s;
}

static status expect(loader *l, yaml_event_type_t type)
{
    yaml_event_t ev;
    status s = next_event(l, &ev);
    if (s) return s;
    if (ev.type != type) s = at_mark(l, ev.start_mark, "one YAML document per file");
    yaml_event_delete(&ev);
    return s;
}

static status document(loader *l)
{
    yaml_event_t ev;
    status s = expect(l, YAML_STREAM_START_EVENT);
    if (!s) s = next_event(l, &ev);
    if (s) return s;
    if (ev.type == YAML_STREAM_END_EVENT) {
        l->doc->root = node_new(l, YAML_MAP, ev.start_mark);
        yaml_event_delete(&ev);
        return l->doc->root ? ST_OK : ST_NOMEM;
    }
    yaml_event_delete(&ev);
    if ((s = next_event(l, &ev))) return s;
    if ((s = build(l, &l->doc->root, &ev, 0))) return s;
    if ((s = expect(l, YAML_DOCUMENT_END_EVENT))) return s;
    return expect(l, YAML_STREAM_END_EVENT);
}

status yaml_parse(yaml_doc *doc, const char *text, size_t n, const char *name, err *e)
{
    err local = {0};
    loader l = {.doc = doc, .e = e ? e : &local};
    memset(doc, 0, sizeof *doc);
    snprintf(doc->path, sizeof doc->path, "%s", name);
    if (!yaml_parser_initialize(&l.parser)) return err_set(e, ST_NOMEM, "%s: no memory", name);
    yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, n);
    status s = document(&l);
    yaml_parser_delete(&l.parser);
    if (s) yaml_doc_free(doc);
    return s;
}

status yaml_load(yaml_doc *doc, const char *path, err *e)
{
    char *text = NULL;
    size_t n = 0;
    memset(doc, 0, sizeof *doc);
    status s = io_read_file(&text, &n, path, 4u << 20, e);
    if (s) return s;
    s = yaml_parse(doc, text, n, path, e);
    free(text);
    return s;
}

const yaml_node *yaml_get(const yaml_node *map, const char *key)
{
    if (!map || map->kind != YAML_MAP) return NULL;
    for (size_t i = 0; i < map->n; i++)
        if (!strcmp(map->keys[i]->text, key)) return map->values[i];
    return NULL;
}

status yaml_text(const yaml_doc *doc, const yaml_node *at, const char *key, const char **out, err *e)
{
    if (at->kind != YAML_SCALAR) return yaml_error(doc, at, e, "%s: a single word or text is needed", key);
    *out = at->text;
    return ST_OK;
}
