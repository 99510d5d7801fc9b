/* What one map of a spec says about config keys: the top level, or one block before it is merged with the top.
 * Private to the folder. */
#ifndef SWEEPS_SPEC_LEVEL_H
#define SWEEPS_SPEC_LEVEL_H
#include "sweeps/spec.h"

typedef struct spec_level {
    sweep_setting *base;
    sweep_factor *factors;
    size_t n_base, n_factors;
} spec_level;

void spec_level_free(spec_level *l);

/* Check key and values, then take them. ST_INPUT with the place: unknown key, key set twice, value of the wrong type.
 */
status spec_level_add_base(const sweep_spec *s, spec_level *l, const yaml_node *key, const yaml_node *value, err *e);
status spec_level_add_axis(sweep_spec *s, spec_level *l, const yaml_node *key, const yaml_node *list, err *e);
status spec_level_add_zip(sweep_spec *s, spec_level *l, const yaml_node *group, err *e);

/* out = shared + own, own winning; out is empty before. */
status spec_level_merge(const sweep_spec *s, spec_level *out, const spec_level *shared, const spec_level *own, err *e);

/* Room for one more element; capacity is the next power of two of n. NULL = no memory, the list is unchanged. */
void *spec_grown(void *list, size_t n, size_t size);
#endif
