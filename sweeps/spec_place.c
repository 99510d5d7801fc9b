/* How messages name the places and the cells of a spec. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "sweeps/spec_level.h"

const char *sweep_spec_place(const sweep_spec *s, const yaml_node *at, char buf[SWEEP_PLACE])
{
    if (s->n_overrides && !at->column) return "command line";
    snprintf(buf, SWEEP_PLACE, "%s:%d:%d", s->doc.path, at->line, at->column);
    return buf;
}

status spec_error(const sweep_spec *s, const yaml_node *at, err *e, const char *fmt, ...)
{
    char place[SWEEP_PLACE], text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(e, ST_INPUT, "%s: %s", sweep_spec_place(s, at, place), text);
}

void spec_note(sweep_spec *s, const yaml_node *at, const char *fmt, ...)
{
    char place[SWEEP_PLACE], text[200];
    va_list ap;
    if (s->n_notes == SWEEP_MAX_NOTES) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(s->notes[s->n_notes++], sizeof s->notes[0], "%s: %s", sweep_spec_place(s, at, place), text);
}

/* ---- keys ----------------------------------------------------------------------------------------------------- */

bool spec_is_flops(const char *key) { return !strcmp(key, "flops"); }

bool spec_same_key(const char *a, const char *b)
{
    return !strcmp(spec_is_flops(a) ? "tokens" : a, spec_is_flops(b) ? "tokens" : b);
}

bool spec_whole_key(const char *key)
{
    const config_key *row = config_find(key);
    return row && (row->type == CFG_I64 || row->type == CFG_U64);
}

bool spec_number_key(const char *key)
{
    const config_key *row = config_find(key);
    return spec_is_flops(key) || spec_whole_key(key) || (row && row->type == CFG_F64);
}

status spec_set(const sweep_spec *s, trainer_config *c, const yaml_node *key, const yaml_node *value, err *e)
{
    double x;
    if (!spec_is_flops(key->text)) {
        if (value->column || value->kind != YAML_SCALAR) return config_set_node(c, &s->doc, key, value, e);
        return config_set(c, key->text, value->text, "command line", e);
    }
    if (value->kind != YAML_SCALAR || value->quoted || !num_parse_f64(value->text, &x) || !(x > 0))
        return spec_error(s, value, e, "flops: '%s' is not a training cost in FLOPs; write it like 1e15",
                          value->kind == YAML_SCALAR ? value->text : "...");
    return ST_OK;
}

/* ---- cells ---------------------------------------------------------------------------------------------------- */

const char *sweep_spec_describe(const sweep_spec *s, size_t block, size_t cell, char *buf, size_t size)
{
    const sweep_block *b = &s->blocks[block];
    int used = snprintf(buf, size, "%s", b->name);
    for (size_t f = 0; f < b->n_factors; f++) {
        const sweep_factor *x = &b->factors[f];
        size_t row = sweep_spec_row(b, f, cell);
        for (size_t k = 0; k < x->n_keys && used >= 0 && (size_t)used < size; k++)
            used += snprintf(buf + used, size - (size_t)used, "%s%s=%s",
                             f || k     ? ", "
                             : *b->name ? ": "
                                        : "",
                             x->keys[k]->text, x->values[k * x->n_rows + row]->text);
    }
    return buf;
}

/* Where `word` stands in the text as a word of its own; beyond its end when it does not. */
static size_t word_at(const char *text, const char *word)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    size_t n = strlen(word);
    for (const char *p = strstr(text, word); p; p = strstr(p + 1, word)) {
        bool left = p == text || !strchr(letters, p[-1]), right = !p[n] || !strchr(letters, p[n]);
        if (left && right) return (size_t)(p - text);
    }
    return SIZE_MAX;
}

const yaml_node *sweep_spec_blame(const sweep_spec *s, size_t block, size_t cell, const char *message)
{
    const sweep_block *b = &s->blocks[block];
    const yaml_node *best = b->at;
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < b->n_base; i++) {
        size_t at = word_at(message, b->base[i].key->text);
        if (at < first) first = at, best = b->base[i].value;
    }
    for (size_t i = 0; i < b->n_derived; i++) {
        size_t at = b->derived[i].formula ? word_at(message, b->derived[i].key->text) : SIZE_MAX;
        if (at < first) first = at, best = b->derived[i].value;
    }
    for (size_t f = 0; f < b->n_factors; f++) {
        const sweep_factor *x = &b->factors[f];
        for (size_t k = 0; k < x->n_keys; k++) {
            size_t at = word_at(message, x->keys[k]->text);
            if (at < first) first = at, best = x->values[k * x->n_rows + sweep_spec_row(b, f, cell)];
        }
    }
    return best;
}
