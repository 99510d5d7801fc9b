/* One map of a spec: the top, a block, or the command line's overrides. Private to sweeps/spec*.c. */
#ifndef SWEEPS_SPEC_LEVEL_H
#define SWEEPS_SPEC_LEVEL_H
#include "sweeps/spec.h"

typedef struct spec_level {
    sweep_setting *base;
    sweep_factor *factors;
    sweep_derived *derived;
    size_t *rules; /* numbers in spec.rules */
    size_t n_base, n_factors, n_derived, n_rules;
} spec_level;

void spec_level_free(spec_level *l);

/* Check key and values, then take them. ST_INPUT with the place: unknown key, key set twice, value of the wrong type.
 * add_factor takes over *f, also when it fails. */
status spec_level_add_base(const sweep_spec *s, spec_level *l, const yaml_node *key, const yaml_node *value, err *e);
status spec_level_add_axis(sweep_spec *s, spec_level *l, const yaml_node *key, const yaml_node *list, err *e);
status spec_level_add_zip(sweep_spec *s, spec_level *l, const yaml_node *group, err *e);
status spec_level_add_factor(const sweep_spec *s, spec_level *l, sweep_factor *f, err *e);
status spec_level_add_derived(sweep_spec *s, spec_level *l, const yaml_node *map, err *e);  /* spec_derived.c */
status spec_level_add_exclude(sweep_spec *s, spec_level *l, const yaml_node *rules, err *e); /* spec_exclude.c */
status spec_level_add_isoflop(sweep_spec *s, spec_level *l, const yaml_node *at, err *e);   /* spec_isoflop.c */
/* The key is no config key, or already set in this level (a derived key: anywhere in it). */
status spec_level_check_key(const sweep_spec *s, const spec_level *l, const yaml_node *key, bool axis, err *e);
/* Where a level already speaks of `key`, or NULL. */
const yaml_node *spec_level_has(const spec_level *l, const char *key);
void spec_factor_free(sweep_factor *f);

/* out = shared + own, own winning; out is empty before. */
status spec_level_merge(const sweep_spec *s, spec_level *out, const spec_level *shared, const spec_level *own, err *e);

/* b->derived and b->rules of what the merged level says; ST_INPUT when formulas need each other. Takes over l's. */
status spec_order_derived(const sweep_spec *s, sweep_block *b, spec_level *l, err *e);

/* W&B's search words of one map. Absent in a block: the top's. */
typedef struct spec_search {
    const yaml_node *method, *run_cap, *sample_seed, *parameters;
} spec_search;
status spec_read_parameters(sweep_spec *s, spec_level *l, const spec_search *how, err *e);
status spec_check_method(const sweep_spec *s, const yaml_node *method, bool *random, err *e);
status spec_check_metric(sweep_spec *s, const yaml_node *at, err *e);
status spec_read_early_terminate(sweep_spec *s, const yaml_node *at, err *e); /* spec_early_stop.c */
status spec_check_slurm(const sweep_spec *s, const yaml_node *at, err *e); /* slurm_settings.c */
/* Only the keys of `known` may stand in this map; `what` starts the message. */
status spec_only_keys(const sweep_spec *s, const yaml_node *map, const char *what, const char *const *known, int n,
                      err *e);

/* `overrides: ["lr=1e-3,3e-4", ...]` into a level of its own; run_cap=N and sample_seed=N into *how. spec_override.c */
status spec_read_overrides(sweep_spec *s, spec_level *l, spec_search *how, const yaml_node *list, err *e);
/* The spec's text with such a line at its end; *out is malloc'ed. */
status spec_with_overrides(char **out, size_t *size, const char *text, size_t n, const char *name,
                           const char *const *overrides, size_t n_overrides, err *e);

/* One key's words: tokens and flops are one. */
bool spec_same_key(const char *a, const char *b);
bool spec_is_flops(const char *key);
bool spec_whole_key(const char *key);                                      /* takes whole numbers only */
bool spec_number_key(const char *key);
/* Names of formulas (spec_names.c): number, and how a name and a derived key hang together. */
spec_expr_find spec_name_find;
bool spec_formula_needs(const spec_expr *x, const char *key); /* must `key` have its value before x has? */
bool spec_counts_need(const char *key);                       /* the shape's sums depend on it */
status spec_add_formula(sweep_spec *s, const spec_expr **out, const yaml_node *at, bool truth, err *e);
typedef struct spec_names { /* what names mean in one cell */
    const trainer_config *c;
    data_set *data;
    double budget; /* 0 = none */
    bool shaped; /* full.shape is filled; the order of what is derived leaves it nothing to miss */
    trainer_config full;
} spec_names;
spec_expr_value spec_name_value;                                           /* ctx: spec_names */
status spec_names_shape(spec_names *x, err *e);                            /* fills x->full */

/* One setting of a cell; `flops` is only checked. */
status spec_set(const sweep_spec *s, trainer_config *c, const yaml_node *key, const yaml_node *value, err *e);

/* place + message, ST_INPUT; spec_error_at: so many characters into a scalar. */
status spec_error(const sweep_spec *s, const yaml_node *at, err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void spec_note(sweep_spec *s, const yaml_node *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Room for one more element; capacity is the next power of two of n. NULL = no memory, the list is unchanged. */
void *spec_grown(void *list, size_t n, size_t size);
/* A number as a cell's text. 12 digits: the same text whatever the last bits of pow() are. */
const yaml_node *spec_number(sweep_spec *s, const yaml_node *at, bool whole, double x, err *e);
#endif
