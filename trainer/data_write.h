/* Writes a data directory: tokens in, shards out, published by one rename. Private to trainer/data*.c.
 *
 * Everything is written beside the target into .NAME.PID.tmp; memory does not grow with the number of tokens. Shards
 * are uint16 until an id needs more: then those already written are widened. Hash, counts and largest id are read back
 * from what is really on disk, by the code that opens foreign directories. */
#ifndef TRAINER_DATA_WRITE_H
#define TRAINER_DATA_WRITE_H
#include <jansson.h>
#include <signal.h>
#include "trainer/data.h"

enum { DATA_SHARD_TOKENS = 100000000 }; /* llm.c casts byte offsets to int: stay far below 2^31 */

typedef struct data_writer data_writer;

/* ST_INPUT when out_dir holds anything but an older data set; ST_IO when it cannot be written. */
status data_writer_new(data_writer **out, const char *out_dir, int64_t shard_tokens, err *e);
status data_writer_put(data_writer *w, const uint32_t *ids, size_t n, err *e);
/* Splits off the last val_fraction as validation part, writes meta.json, publishes. about: tokenizer, vocab (0: largest
 * id + 1), bytes_per_token, entropy_rate; completed in place. source: for meta.json; the reference is taken over.
 * No tokens at all: ST_INPUT. */
status data_writer_publish(data_writer *w, data_info *about, double val_fraction, json_t *source, err *e);
void data_writer_free(data_writer *w); /* accepts NULL; what was not published is removed */

/* ST_INTERRUPTED or ST_TERMINATED once *stop is a signal's number; stop may be NULL. */
status data_stopped(const volatile sig_atomic_t *stop, const char *what, err *e);
#endif
