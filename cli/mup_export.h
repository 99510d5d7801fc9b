/* What the files of `mup export` share. */
#ifndef CLI_MUP_EXPORT_H
#define CLI_MUP_EXPORT_H
#include "trainer/config_base.h"

/* The resolved target: `small` as written, with the sizes that `words` name ("N=1e9", "width=4096,depth=32", ...; NULL:
 * as it is), scaled from `base` (a config), else from small's base_* keys, else from small itself. ST_INPUT: not a
 * size, head_dim changed unsaid, whatever config_set_base and config_resolve refuse. */
status mup_export_target_of(trainer_config *out, const trainer_config *small, const char *words, const char *base,
                            config_base_note *note, err *e);
#endif
