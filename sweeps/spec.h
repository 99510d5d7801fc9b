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
 * Beside them, acting on a cell after its factors are set:
 *   derived: {d_ff: 4*d_model, tokens: 20*n_params_non_embed}   formulas of sweeps/spec_expr.h
 *   flops: 1e15     in place of tokens, anywhere: as many whole steps as come nearest to this training cost
 *   isoflop: {budgets: [1e15, 4e15], sizes: {d_model: [64, 128], n_layer: [2, 4]}}   every size at every budget
 *   exclude: [{d_model: 512, lr: [4e-3, 8e-3]}, "tokens < 5*n_params_total"]         cells that are left out
 * and W&B's parameters with method: random (distributions, run_cap; sample_seed is ours): one factor whose rows are
 * draws. A draw is a function of (sample_seed, key, row) alone.
 * early_terminate: {type: hyperband, min_iter: 3} or {type: median}: sweeps/early_stop.h. At the top only.
 *
 * What stands at the top is shared by all blocks; what a block says about a key replaces what the top says about it;
 * an override of the command line replaces both. Rules of exclude add up.
 * In one map a grid over a key replaces its value under base; the same key in two of grid, zip, seeds, isoflop,
 * parameters and derived is an error. tokens and flops count as one key.
 * A list may be written range(a, b, step) (b excluded) or logspace(a, b, n) (n values from a to b, not exponents). */
#ifndef SWEEPS_SPEC_H
#define SWEEPS_SPEC_H
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "base/io.h"
#include "base/yaml.h"
#include "sweeps/early_stop.h"
#include "sweeps/spec_expr.h"
#include "trainer/config.h"

enum { SWEEP_MAX_CELLS = 1000000, SWEEP_MAX_NOTES = 24, SWEEP_PLACE = 320 };

typedef struct sweep_setting {
    const yaml_node *key, *value; /* borrowed from the spec */
} sweep_setting;

/* Keys that move together over n_rows rows; a grid key is a factor with one key. */
typedef struct sweep_factor {
    const yaml_node **keys;   /* [n_keys] */
    const yaml_node **values; /* [n_keys][n_rows] */
    size_t n_keys, n_rows;
} sweep_factor;

/* formula NULL: key is `flops` and the cell's setting of it is meant. */
typedef struct sweep_derived {
    const yaml_node *key, *value;
    const spec_expr *formula;
} sweep_derived;

/* A map of settings that must all hold (formula NULL), or a condition. */
typedef struct sweep_rule {
    const yaml_node *at;
    const spec_expr *formula;
} sweep_rule;

/* early: needs nothing derived, so that it may remove a cell of which nothing can be derived. */
typedef struct sweep_rule_use {
    size_t number; /* of spec.rules */
    bool early;
} sweep_rule_use;

typedef struct sweep_block {
    const char *name; /* "" when the spec gives none; borrowed */
    const yaml_node *at;
    sweep_setting *base;
    sweep_factor *factors;
    sweep_derived *derived; /* in an order in which they can be evaluated */
    sweep_rule_use *rules;
    size_t n_base, n_factors, n_derived, n_rules, n_cells;
} sweep_block;

typedef struct sweep_spec {
    yaml_doc doc;
    char *text; /* the file's bytes, for the exact copy in the campaign */
    size_t text_size;
    char sha256[IO_SHA256_HEX];
    sweep_block *blocks;
    size_t n_blocks, n_cells;
    yaml_node **made; /* nodes behind range(), logspace(), draws, seeds and overrides */
    size_t n_made;
    spec_expr **formulas;
    size_t n_formulas;
    sweep_rule *rules;
    size_t n_rules;
    early_stop_rule early_stop;       /* of early_terminate; off */
    size_t n_overrides;               /* from the command line; their nodes have column 0 */
    char notes[SWEEP_MAX_NOTES][SWEEP_PLACE + 208]; /* accepted and ignored keys, rules not carried out */
    size_t n_notes;
} sweep_spec;

/* ST_INPUT with file:line:column and the nearest key: unknown, duplicate or contradicting keys, values of the wrong
 * type, empty lists, unequal zip lengths, more than SWEEP_MAX_CELLS cells. *s needs no initialisation; free in any
 * case. overrides: "key=v", "key=v1,v2", "key=range(..)", "run_cap=N" of a command line; they become a last line
 * `overrides: [...]` of s->text, so that the campaign's copy says the same sweep by itself. */
status sweep_spec_load(sweep_spec *s, const char *path, const char *const *overrides, size_t n_overrides, err *e);
status sweep_spec_parse(sweep_spec *s, const char *text, size_t n, const char *name, err *e);
void sweep_spec_free(sweep_spec *s); /* accepts a zeroed spec */

/* Defaults and base settings of a block; then the factors' values of one of its cells on top of that; then, the cell's
 * data being open (NULL: none), what is derived. *excluded: number of the rule that leaves the cell out, else SIZE_MAX.
 * ST_INPUT of the last: this cell cannot be built. Not resolved. */
status sweep_spec_base(const sweep_spec *s, size_t block, trainer_config *c, err *e);
status sweep_spec_cell(const sweep_spec *s, size_t block, size_t cell, trainer_config *c, err *e);
status sweep_spec_finish(const sweep_spec *s, size_t block, size_t cell, trainer_config *c, data_set *data,
                         size_t *excluded, err *e);

/* "mup: d_model=64, lr=0.001" into buf; returns buf. */
const char *sweep_spec_describe(const sweep_spec *s, size_t block, size_t cell, char *buf, size_t size);

/* Row of factor f that cell stands for. */
size_t sweep_spec_row(const sweep_block *b, size_t factor, size_t cell);

/* The node a message about this cell is about: the value of the first key that `message` mentions, else the block. */
const yaml_node *sweep_spec_blame(const sweep_spec *s, size_t block, size_t cell, const char *message);

/* "spec.yaml:3:5", or "command line". */
const char *sweep_spec_place(const sweep_spec *s, const yaml_node *at, char buf[SWEEP_PLACE]);

/* Private to the folder (spec_values.c): the values of a list, range() or logspace(); *out is malloc'ed, [*n]. */
status sweep_spec_values(sweep_spec *s, const yaml_node *key, const yaml_node *list, const yaml_node ***out, size_t *n,
                         err *e);
const yaml_node *sweep_spec_make(sweep_spec *s, const yaml_node *at, const char *text, err *e); /* owned by s */
#endif
