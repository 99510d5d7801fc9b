/* meta.json of a data directory: what the shards cannot say about themselves. Private to trainer/data*.c.
 *
 * {"schema":"muscale.data/1", "tokenizer", "vocab", "bytes_per_token" (or null), "train_tokens", "val_tokens",
 * "max_id", "entropy_rate" (nats/token, or null), "sha256", "source": {...}}. It is written last: a directory without
 * it is no data set. */
#ifndef TRAINER_DATA_META_H
#define TRAINER_DATA_META_H
#include <jansson.h>
#include "trainer/data.h"

#define DATA_META_NAME "meta.json"
#define DATA_META_SCHEMA "muscale.data/1"

/* out: all fields but format and max_id, which is -1 (a file may have changed since: data_scan looks). */
status data_meta_read(data_info *out, const char *path, err *e);
/* source: how it was made; the reference is taken over, also on failure. */
status data_meta_write(const data_info *info, json_t *source, const char *path, err *e);
#endif
