/* Cells of a spec: the settings of one run, how to name it and which node a complaint about it points at. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "sweeps/spec.h"

status sweep_spec_base(const sweep_spec *s, size_t block, trainer_config *c, err *e)
{
    const sweep_block *b = &s->blocks[block];
    status st = ST_OK;
    config_default(c);
    for (size_t i = 0; i < b->n_base && !st; i++) st = config_set_node(c, &s->doc, b->base[i].key, b->base[i].value, e);
    return st;
}

/* The last factor moves fastest. */
size_t sweep_spec_row(const sweep_block *b, size_t factor, size_t cell)
{
    for (size_t f = b->n_factors - 1; f > factor; f--) cell /= b->factors[f].n_rows;
    return cell % b->factors[factor].n_rows;
}

status sweep_spec_cell(const sweep_spec *s, size_t block, size_t cell, trainer_config *c, err *e)
{
    const sweep_block *b = &s->blocks[block];
    status st = ST_OK;
    for (size_t f = 0; f < b->n_factors && !st; f++) {
        const sweep_factor *x = &b->factors[f];
        size_t row = sweep_spec_row(b, f, cell);
        for (size_t k = 0; k < x->n_keys && !st; k++)
            st = config_set_node(c, &s->doc, x->keys[k], x->values[k * x->n_rows + row], e);
    }
    return st;
}

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
    for (size_t f = 0; f < b->n_factors; f++) {
        const sweep_factor *x = &b->factors[f];
        for (size_t k = 0; k < x->n_keys; k++) {
            size_t at = word_at(message, x->keys[k]->text);
            if (at < first) first = at, best = x->values[k * x->n_rows + sweep_spec_row(b, f, cell)];
        }
    }
    return best;
}
