/* Config keys by name: defaults, setting from text, reading YAML. Checks that span keys are in config_resolve.c. */
#include "trainer/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "trainer/config_keys.h"

enum { MAX_WORDS = 128 };

/* A C enum field is read and written as this; the assertion holds on every compiler that the build accepts. */
typedef unsigned enum_word;
_Static_assert(sizeof(sched_kind) == sizeof(enum_word) && sizeof(shape_act) == sizeof(enum_word), "enum fields");

const config_key *config_keys(size_t *n)
{
    *n = config_table_size;
    return config_table;
}

const config_key *config_find(const char *name)
{
    for (size_t i = 0; i < config_table_size; i++)
        if (!strcmp(config_table[i].name, name)) return &config_table[i];
    return NULL;
}

static void *field(trainer_config *c, const config_key *k) { return (char *)c + k->offset; }
static const void *field_const(const trainer_config *c, const config_key *k) { return (const char *)c + k->offset; }

const char *config_value(const trainer_config *c, const config_key *k, char *buf)
{
    const void *p = field_const(c, k);
    switch (k->type) {
    case CFG_I64: snprintf(buf, IO_PATH_MAX, "%" PRId64, *(const int64_t *)p); break;
    case CFG_U64: snprintf(buf, IO_PATH_MAX, "%" PRIu64, *(const uint64_t *)p); break;
    case CFG_F64: num_text(*(const double *)p + 0.0, buf); break; /* + 0.0: -0 and 0 are one value */
    case CFG_BOOL: snprintf(buf, IO_PATH_MAX, "%s", *(const bool *)p ? "true" : "false"); break;
    case CFG_TEXT: snprintf(buf, IO_PATH_MAX, "%s", (const char *)p); break;
    case CFG_ENUM: snprintf(buf, IO_PATH_MAX, "%s", k->words[*(const enum_word *)p]); break;
    }
    return buf;
}

/* `range` is an interval as in a textbook: "[0,1)" holds 0 and not 1. */
static bool in_interval(const char *range, double x)
{
    char *end;
    double lo = strtod(range + 1, &end), hi = strtod(end + 1, &end);
    bool above = *range == '[' ? x >= lo : x > lo, below = *end == ']' ? x <= hi : x < hi;
    return above && below;
}

bool config_in_range(const trainer_config *c, const config_key *k, char *why, size_t n)
{
    const void *p = field_const(c, k);
    char value[IO_PATH_MAX];
    double x;
    switch (k->type) {
    case CFG_I64: x = (double)*(const int64_t *)p; break;
    case CFG_U64: x = (double)*(const uint64_t *)p; break;
    case CFG_F64: x = *(const double *)p; break;
    default: return true;
    }
    if (in_interval(k->range, x)) return true;
    snprintf(why, n, "%s: %s is outside %s (%s)", k->name, config_value(c, k, value), k->range, k->doc);
    return false;
}

void config_default(trainer_config *c)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < config_table_size; i++)
        if (config_table[i].fallback)
            config_set(c, config_table[i].name, config_table[i].fallback, "default", NULL);
}

static status unknown_key(const char *key, const char *where, err *e)
{
    const char *names[MAX_WORDS];
    int n = 0;
    for (size_t i = 0; i < config_table_size && n < MAX_WORDS; i++) names[n++] = config_table[i].name;
    const char *near = num_nearest_word(key, names, n);
    if (near) return err_set(e, ST_INPUT, "%s: unknown key '%s'; did you mean '%s'?", where, key, near);
    return err_set(e, ST_INPUT, "%s: unknown key '%s'; `muscale help train` lists the keys", where, key);
}

static status unknown_word(const config_key *k, const char *text, const char *where, err *e)
{
    char list[512];
    int n = 0;
    size_t used = 0;
    for (list[0] = 0; k->words[n]; n++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", n ? ", " : "",
                                 *k->words[n] ? k->words[n] : "\"\"");
    const char *near = num_nearest_word(text, k->words, n);
    if (near && !*near) near = NULL;
    return err_set(e, ST_INPUT, "%s: %s: '%s' is none of %s%s%s%s", where, k->name, text, list,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int word_index(const char *const *words, const char *text)
{
    for (int i = 0; words[i]; i++)
        if (!strcmp(words[i], text)) return i;
    return -1;
}

/* Text to field, without the range. */
static status parse(trainer_config *c, const config_key *k, const char *text, const char *where, err *e)
{
    void *p = field(c, k);
    int64_t i;
    int w;
    switch (k->type) {
    case CFG_I64:
        if (num_parse_i64(text, p)) return ST_OK;
        return err_set(e, ST_INPUT, "%s: %s: '%s' is not a whole number; write it like 2000 or 1e6", where, k->name,
                       text);
    case CFG_U64:
        if (num_parse_i64(text, &i) && i >= 0) return *(uint64_t *)p = (uint64_t)i, ST_OK;
        return err_set(e, ST_INPUT, "%s: %s: '%s' is not a whole number from 0; write it like 7", where, k->name, text);
    case CFG_F64:
        if (num_parse_f64(text, p)) return ST_OK;
        return err_set(e, ST_INPUT, "%s: %s: '%s' is not a finite number; write it like 0.001, 1e-5 or 2000", where,
                       k->name, text);
    case CFG_BOOL:
        if (strcmp(text, "true") && strcmp(text, "false"))
            return err_set(e, ST_INPUT, "%s: %s: '%s' is neither true nor false", where, k->name, text);
        *(bool *)p = !strcmp(text, "true");
        return ST_OK;
    case CFG_ENUM:
        if ((w = word_index(k->words, text)) < 0) return unknown_word(k, text, where, e);
        *(enum_word *)p = (enum_word)w;
        return ST_OK;
    case CFG_TEXT:
        if (k->words && word_index(k->words, text) < 0) return unknown_word(k, text, where, e);
        if (strpbrk(text, "\n\r")) return err_set(e, ST_INPUT, "%s: %s: a line break inside the value", where, k->name);
        if (strlen(text) >= k->size)
            return err_set(e, ST_INPUT, "%s: %s: '%.60s' is longer than %zu bytes", where, k->name, text, k->size - 1);
        memset(p, 0, k->size);
        memcpy(p, text, strlen(text));
        return ST_OK;
    }
    return ST_OK;
}

status config_set(trainer_config *c, const char *key, const char *text, const char *where, err *e)
{
    char why[512];
    trainer_config trial = *c; /* *c stays whole when the value is refused */
    const config_key *k = config_find(key);
    if (!k) return unknown_key(key, where, e);
    status s = parse(&trial, k, text, where, e);
    if (s) return s;
    if (!config_in_range(&trial, k, why, sizeof why)) return err_set(e, ST_INPUT, "%s: %s", where, why);
    memcpy(field(c, k), field_const(&trial, k), k->size);
    return ST_OK;
}

status config_set_node(trainer_config *c, const yaml_doc *doc, const yaml_node *key, const yaml_node *value, err *e)
{
    char where[320];
    const config_key *k = config_find(key->text);
    snprintf(where, sizeof where, "%s:%d:%d", doc->path, key->line, key->column);
    if (!k) return unknown_key(key->text, where, e);
    if (value->kind != YAML_SCALAR)
        return yaml_error(doc, value, e, "%s: one value is needed, not a list or a map", k->name);
    if (value->quoted && k->type != CFG_TEXT && k->type != CFG_ENUM)
        return yaml_error(doc, value, e, "%s: \"%s\" in quotes is text; write it without quotes", k->name, value->text);
    snprintf(where, sizeof where, "%s:%d:%d", doc->path, value->line, value->column);
    return config_set(c, k->name, value->text, where, e);
}

status config_load(trainer_config *c, const char *path, err *e)
{
    yaml_doc doc = {0};
    status s = yaml_load(&doc, path, e);
    if (s) return s;
    config_default(c);
    if (doc.root->kind != YAML_MAP) s = yaml_error(&doc, doc.root, e, "a config is a list of lines 'key: value'");
    for (size_t i = 0; !s && i < doc.root->n; i++)
        s = config_set_node(c, &doc, doc.root->keys[i], doc.root->values[i], e);
    yaml_doc_free(&doc);
    return s;
}
