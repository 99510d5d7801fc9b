/* A sweep spec: strict YAML that names a set of cells (configs of single runs). Knows keys and values, no data, no disk
 * layout. A spec is a list of blocks; a block is base settings and a product of factors:
 *
 *   base:  {data: corpus, tokens: 2e6}              settings of every run
 *   grid:  {lr: [1e-3, 2e-3], d_model: [64, 128]}   cartesian product, the last key moves fastest
 *   zip:   [{d_model: [64, 128], n_layer: [2, 4]}]  groups of lists of equal length that move together
 *   seeds: [0, 1]                                   short for grid: {seed: [0, 1]}
 *   parameters: {lr: {values: [..]}, d_model: {value: 64}}   with method: grid, the W&B form of grid and base
 *   sweeps:                                         several blocks in one campaign
 *     - {name: mup, base: {parametrisation: mup}}
 *     - {name: sp, base: {parametrisation: sp}, grid: {lr: "logspace(1e-4, 1e-2, 7)"}}
 *
 * What stands at the top is shared by all blocks; what a block says about a key replaces what the top says about it.
 * In one map a grid over a key replaces its value under base; the same key in two of grid, zip and seeds is an error.
 * A list may be written range(a, b, step) (b excluded) or logspace(a, b, n) (n values from a to b, not exponents).
 * Room for later work: `derived`, `exclude` and `isoflop` would act on a cell after its factors are set. */
#ifndef SWEEPS_SPEC_H
#define SWEEPS_SPEC_H
#include <stddef.h>
#include "base/err.h"
#include "base/io.h"
#include "base/yaml.h"
#include "trainer/config.h"

enum { SWEEP_MAX_CELLS = 1000000, SWEEP_MAX_NOTES = 8 };

typedef struct sweep_setting {
    const yaml_node *key, *value; /* borrowed from the spec */
} sweep_setting;

/* Keys that move together over n_rows rows; a grid key is a factor with one key. */
typedef struct sweep_factor {
    const yaml_node **keys;   /* [n_keys] */
    const yaml_node **values; /* [n_keys][n_rows] */
    size_t n_keys, n_rows;
} sweep_factor;

typedef struct sweep_block {
    const char *name; /* "" when the spec gives none; borrowed */
    const yaml_node *at;
    sweep_setting *base;
    sweep_factor *factors;
    size_t n_base, n_factors, n_cells;
} sweep_block;

typedef struct sweep_spec {
    yaml_doc doc;
    char *text; /* the file's bytes, for the exact copy in the campaign */
    size_t text_size;
    char sha256[IO_SHA256_HEX];
    sweep_block *blocks;
    size_t n_blocks, n_cells;
    yaml_node **made; /* nodes behind range(), logspace() and seeds */
    size_t n_made;
    char notes[SWEEP_MAX_NOTES][160]; /* accepted and ignored keys */
    size_t n_notes;
} sweep_spec;

/* ST_INPUT with file:line:column and the nearest key: unknown, duplicate or contradicting keys, values of the wrong
 * type, empty lists, unequal zip lengths, more than SWEEP_MAX_CELLS cells. *s needs no initialisation; free in any
 * case. */
status sweep_spec_load(sweep_spec *s, const char *path, err *e);
status sweep_spec_parse(sweep_spec *s, const char *text, size_t n, const char *name, err *e);
void sweep_spec_free(sweep_spec *s); /* accepts a zeroed spec */

/* Defaults and base settings of a block; then the factors' values of one of its cells on top of that. Not resolved. */
status sweep_spec_base(const sweep_spec *s, size_t block, trainer_config *c, err *e);
status sweep_spec_cell(const sweep_spec *s, size_t block, size_t cell, trainer_config *c, err *e);

/* "mup: d_model=64, lr=0.001" into buf; returns buf. */
const char *sweep_spec_describe(const sweep_spec *s, size_t block, size_t cell, char *buf, size_t size);

/* Row of factor f that cell stands for. */
size_t sweep_spec_row(const sweep_block *b, size_t factor, size_t cell);

/* The node a message about this cell is about: the value of the first key that `message` mentions, else the block. */
const yaml_node *sweep_spec_blame(const sweep_spec *s, size_t block, size_t cell, const char *message);

/* Private to the folder (spec_values.c): the values of a list, range() or logspace(); *out is malloc'ed, [*n]. */
status sweep_spec_values(sweep_spec *s, const yaml_node *key, const yaml_node *list, const yaml_node ***out, size_t *n,
                         err *e);
const yaml_node *sweep_spec_make(sweep_spec *s, const yaml_node *at, const char *text, err *e); /* owned by s */
#endif
