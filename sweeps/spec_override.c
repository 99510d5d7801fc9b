/* Overrides: "lr=1e-3,3e-4" of a command line, and the line `overrides: [...]` that keeps them in a campaign's copy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweeps/spec_level.h"

static status no_memory(const sweep_spec *s, err *e) { return err_set(e, ST_NOMEM, "%s: no memory", s->doc.path); }

/* A comma inside range(...) and logspace(...) ends no value. */
static size_t value_length(const char *text)
{
    size_t n = 0;
    for (int depth = 0; text[n] && (depth || text[n] != ','); n++) depth += (text[n] == '(') - (text[n] == ')');
    return n;
}

static const yaml_node *part(sweep_spec *s, const yaml_node *at, const char *text, size_t n, err *e)
{
    char *copy = strndup(text, n);
    const yaml_node *node = copy ? sweep_spec_make(s, at, copy, e) : NULL;
    if (!copy) no_memory(s, e);
    free(copy);
    return node;
}

static status add_values(sweep_spec *s, spec_level *l, const yaml_node *at, const yaml_node *key, const char *text,
                         err *e)
{
    yaml_node list = {.kind = YAML_SEQ, .line = at->line, .column = at->column};
    status st = ST_OK;
    for (const char *p = text; !st; p++) {
        size_t n = value_length(p);
        yaml_node **more = spec_grown(list.values, list.n, sizeof *more);
        if (more) list.values = more; /* before anything else: the old list may be gone */
        const yaml_node *value = more && n ? part(s, at, p, n, e) : NULL;
        if (!n) st = spec_error(s, at, e, "'%s': a value is missing; write key=v1,v2", at->text);
        else if (!more) st = no_memory(s, e);
        else if (!value) st = ST_NOMEM;
        else list.values[list.n++] = (yaml_node *)value;
        p += n;
        if (!*p) break;
    }
    if (!st && list.n > 1) st = spec_level_add_axis(s, l, key, &list, e);
    else if (!st && strchr(list.values[0]->text, '(')) st = spec_level_add_axis(s, l, key, list.values[0], e);
    else if (!st) st = spec_level_add_base(s, l, key, list.values[0], e);
    free(list.values);
    return st;
}

static status add_word(sweep_spec *s, spec_level *l, spec_search *how, const yaml_node *at, err *e)
{
    const char *eq = at->kind == YAML_SCALAR ? strchr(at->text, '=') : NULL;
    if (!eq || eq == at->text)
        return spec_error(s, at, e, "'%s' is no override; write key=value or key=v1,v2",
                          at->kind == YAML_SCALAR ? at->text : "...");
    const yaml_node *key = part(s, at, at->text, (size_t)(eq - at->text), e);
    if (!key) return ST_NOMEM;
    const yaml_node **word = !strcmp(key->text, "run_cap")       ? &how->run_cap
                             : !strcmp(key->text, "sample_seed") ? &how->sample_seed
                                                                 : NULL;
    if (!word) {
        const yaml_node *first = spec_level_has(l, key->text);
        if (first) return spec_error(s, at, e, "'%s' is overridden twice; keep one", key->text);
        return add_values(s, l, at, key, eq + 1, e);
    }
    if (*word) return spec_error(s, at, e, "'%s' is overridden twice; keep one", key->text);
    return (*word = part(s, at, eq + 1, strlen(eq + 1), e)) ? ST_OK : ST_NOMEM;
}

status spec_read_overrides(sweep_spec *s, spec_level *l, spec_search *how, const yaml_node *list, err *e)
{
    status st = ST_OK;
    if (list->kind != YAML_SEQ) return spec_error(s, list, e, "overrides: a list is needed, as in [\"lr=1e-3,3e-4\"]");
    for (size_t i = 0; i < list->n && !st; i++) {
        const yaml_node *at = list->values[i];
        if (s->n_overrides && at->kind == YAML_SCALAR) { /* it has no place in the file that the user wrote */
            yaml_node outside = *at;
            outside.column = 0;
            if (!(at = sweep_spec_make(s, &outside, at->text, e))) return ST_NOMEM;
        }
        st = add_word(s, l, how, at, e);
    }
    return st;
}

/* ---- the text --------------------------------------------------------------------------------------------------- */

static void put_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

/* What cannot take a last line: a spec in one { }, or with an end marker. */
static status check_text(const char *text, size_t n, const char *name, err *e)
{
    yaml_doc doc = {0};
    err ignored = {0};
    status st = yaml_parse(&doc, text, n, name, &ignored);
    yaml_doc_free(&doc);
    if (!st || st == ST_NOMEM) return st;
    return err_set(e, ST_INPUT,
                   "%s: overrides cannot be kept in a spec written like this; write it as lines"
                   " 'key: value' that start in the first column",
                   name);
}

status spec_with_overrides(char **out, size_t *size, const char *text, size_t n, const char *name,
                           const char *const *overrides, size_t n_overrides, err *e)
{
    yaml_doc doc = {0};
    status st = yaml_parse(&doc, text, n, name, e);
    const yaml_node *there = st ? NULL : yaml_get(doc.root, "overrides");
    if (there)
        st = yaml_error(&doc, there, e,
                        "this spec has overrides of its own (a campaign's copy?); change them there, or"
                        " give the spec that was meant");
    yaml_doc_free(&doc);
    for (size_t i = 0; i < n_overrides && !st; i++)
        for (const char *p = overrides[i]; *p && !st; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                st = err_set(e, ST_INPUT, "command line: '%.40s' holds a control character", overrides[i]);
    if (st) return st;
    FILE *f = open_memstream(out, size);
    if (!f) return err_set(e, ST_NOMEM, "%s: no memory", name);
    fprintf(f, "%.*s", (int)n, text); /* at most 4 MiB, no NUL: it has been parsed */
    fprintf(f, "%soverrides: [", n && text[n - 1] != '\n' ? "\n" : "");
    for (size_t i = 0; i < n_overrides; i++) {
        fputs(i ? ", " : "", f);
        put_quoted(f, overrides[i]);
    }
    fputs("]\n", f);
    if (fclose(f)) return err_set(e, ST_NOMEM, "%s: no memory", name);
    return check_text(*out, *size, name, e);
}
