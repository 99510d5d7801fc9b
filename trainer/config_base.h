/* A base model beside its target: what may differ between them, and what the rule of sizes is told of it. */
#ifndef TRAINER_CONFIG_BASE_H
#define TRAINER_CONFIG_BASE_H
#include "trainer/config.h"

typedef struct config_base_note { char text[512]; } config_base_note; /* "" when there is nothing to say */

/* Sets the target's base_* keys from `base`. Both unresolved, as a person wrote them: what follows from the sizes (d_ff
 * of SwiGLU, key/value heads) is then each model's own. `said_head_dim`: that head_dim differs was said in so many
 * words; a target whose base_head_dim is the base's says so too.
 *
 * ST_INPUT, naming key, values and remedy: they differ in something no rule of sizes covers (activation, vocabulary,
 * schedule, a tuned value, ...); the base is no base itself; head_dim changes unsaid. Context, batch and tokens may
 * differ: note says which rule covers it, or that none does. */
status config_set_base(trainer_config *target, const trainer_config *base, bool said_head_dim, config_base_note *note,
                       err *e);

/* The base model from words, "width=64,depth=2,head_dim=32,...": the target as written with those keys changed (width:
 * d_model, depth: n_layer; any key of a config). A d_ff that the target writes out and the words do not is scaled with
 * the width; a width, depth, ... left out is that of the target's base_* keys, else the target's. `said_head_dim`
 * is set when it is among them. */
status config_base_words(trainer_config *base, const trainer_config *target, const char *words, bool *said_head_dim,
                         err *e);
#endif
