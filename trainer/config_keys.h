/* Private to trainer/: the key table and access to a field by its row. */
#ifndef TRAINER_CONFIG_KEYS_H
#define TRAINER_CONFIG_KEYS_H
#include "trainer/config.h"

extern const config_key config_table[];
extern const size_t config_table_size;

/* Whether the field lies in its row's range; *why gets one line otherwise ("lr: 0 is not in (0,inf)"). */
bool config_in_range(const trainer_config *c, const config_key *k, char *why, size_t n);
#endif
