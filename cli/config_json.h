/* A config as a JSON object: every key with its value, as a number, true/false or a word. */
#ifndef CLI_CONFIG_JSON_H
#define CLI_CONFIG_JSON_H
#include <jansson.h>

#include "trainer/config.h"

json_t *cli_config_json(const trainer_config *c);
/* Back again; what a file from elsewhere says is not trusted. Keys it has not are at their default (it may be older
 * than they are); where and with what a run was launched (data's path, threads, ...) is not taken over. Unresolved.
 * ST_INPUT: no object, an unknown key, a value out of range; `where` starts the message. */
status cli_config_from_json(trainer_config *out, const json_t *o, const char *where, err *e);
#endif
