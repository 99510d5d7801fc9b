/* One parameter of a W&B sweep: constraints in, values of a grid or random draws out.
 *
 * Distributions as https://docs.wandb.ai/models/sweeps/sweep-config-keys says (read 2026-11-24); what a grid makes of
 * int_uniform (min .. max) and q_uniform (min, min + q, ... below max) as wandb/sweeps does it, which the page does not
 * say. Own rule: draw number i of a key depends on (sample_seed, key, i) alone. */
#ifndef SWEEPS_SPEC_DRAW_H
#define SWEEPS_SPEC_DRAW_H
#include <stdint.h>
#include "sweeps/spec_level.h"

typedef struct spec_distribution spec_distribution;
typedef struct spec_param {
    const yaml_node *key, *at;
    const spec_distribution *d;
    const yaml_node *value, *values, *probabilities;
    double min, max, mu, sigma, q;
    bool whole; /* draws are whole numbers */
} spec_param;

/* random: else a grid. ST_INPUT with the place: unknown constraint or distribution, one that does not belong to it, one
 * that takes exponents, bounds in the wrong order, fractions for a key that takes whole numbers. */
status spec_param_read(spec_param *p, const sweep_spec *s, const yaml_node *key, const yaml_node *at, bool random,
                       err *e);
bool spec_param_constant(const spec_param *p);
/* All values of a grid; *out is malloc'ed. */
status spec_param_grid(sweep_spec *s, const spec_param *p, const yaml_node ***out, size_t *n, err *e);
/* Draw number i; NULL = no memory. */
const yaml_node *spec_param_draw(sweep_spec *s, const spec_param *p, uint64_t seed, uint64_t i, err *e);
uint32_t spec_key_hash(const char *key); /* FNV-1a: the counter word that tells keys apart */
#endif
