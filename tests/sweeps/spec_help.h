/* What the tests of specs share. */
#ifndef TESTS_SWEEPS_SPEC_HELP_H
#define TESTS_SWEEPS_SPEC_HELP_H
#include "fixture.h"

static inline void spec_refused(const char *text, const char *place, const char *word)
{
    sweep_spec s;
    err e = {0};
    status st = sweep_spec_parse(&s, text, strlen(text), "spec.yaml", &e);
    cr_expect_eq(st, ST_INPUT, "taken: %s", text);
    cr_expect_eq(strncmp(e.msg, place, strlen(place)), 0, "place %s is not in: %s", place, e.msg);
    cr_expect(strstr(e.msg, word), "'%s' is not in: %s", word, e.msg);
    sweep_spec_free(&s);
}

static inline void spec_taken(sweep_spec *s, const char *text)
{
    err e = {0};
    cr_assert_eq(sweep_spec_parse(s, text, strlen(text), "spec.yaml", &e), ST_OK, "%s\n%s", e.msg, text);
}

static inline size_t spec_cells(const char *text)
{
    sweep_spec s;
    spec_taken(&s, text);
    size_t n = s.n_cells;
    sweep_spec_free(&s);
    return n;
}

/* Cell of block 0, derived values included; *excluded as sweep_spec_finish gives it. */
static inline status spec_cell(trainer_config *c, const sweep_spec *s, size_t cell, size_t *excluded, err *e)
{
    status st = sweep_spec_base(s, 0, c, e);
    if (!st) st = sweep_spec_cell(s, 0, cell, c, e);
    return st ? st : sweep_spec_finish(s, 0, cell, c, NULL, excluded, e);
}

static inline bool spec_noted(const sweep_spec *s, const char *word)
{
    for (size_t i = 0; i < s->n_notes; i++)
        if (strstr(s->notes[i], word)) return true;
    return false;
}
#endif
