/* Token data: memory-mapped shards, never copied; packing; the synthetic source.
 *
 * A data directory (written by data_pack / data_gen): train_NNNNNN.bin and val_NNNNNN.bin (llm.c shards, uint16, or uint32
 * where ids need it) and meta.json {schema "muscale.data/1", tokenizer, vocab, bytes_per_token, train_tokens, val_tokens,
 * entropy_rate (nats/token, gen only), sha256}. Sizes are 64 bit everywhere. */
#ifndef TRAINER_DATA_H
#define TRAINER_DATA_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/io.h"

typedef struct data_set data_set;

typedef struct data_info {
    char format[24];        /* "llm.c", "llm.c-u32", "raw", "muscale" */
    char tokenizer[16];     /* "byte", "ids", "markov", "" unknown */
    int64_t vocab;          /* 0 = unknown */
    int64_t train_tokens, val_tokens;
    int32_t max_id;         /* largest id found by data_scan, -1 before */
    double bytes_per_token; /* 0 = unknown */
    double entropy_rate;    /* nats/token, 0 = unknown */
    char sha256[IO_SHA256_HEX];
} data_info;

/* path: a data directory, a llm.c shard, or a raw file with dtype "u8"|"u16"|"u32" ("" = by header). A directory of
 * foreign shards: *train*.bin and *val*.bin. Without a validation part the tail of the training tokens serves. */
status data_open(data_set **out, const char *path, const char *dtype, err *e);
void data_close(data_set *d);
const data_info *data_about(const data_set *d);
status data_scan(data_set *d, int64_t vocab, err *e); /* every id < vocab (0: only find max_id); names file and token index */

/* Training order: windows of seq_len + 1 tokens, stride seq_len, over the first `unique_tokens` tokens (0 = all); window
 * order is a permutation per epoch by rng_permute(data_seed, RNG_EPOCH_ORDER, epoch). Window number w = 0, 1, 2, ... of the
 * run: epoch = w / windows, place = w % windows. Pure function of its arguments: nothing to checkpoint. */
int64_t data_windows(const data_set *d, int64_t seq_len, int64_t unique_tokens);
void data_train_windows(const data_set *d, int32_t *out, int64_t first_window, int64_t n, int64_t seq_len,
                        int64_t unique_tokens, uint64_t data_seed);
/* The fixed validation set: n windows spread evenly, the same for every run. Returns how many there are (<= n);
 * out NULL: only counts. */
int64_t data_val_windows(const data_set *d, int32_t *out, int64_t n, int64_t seq_len);

typedef struct data_pack_opts {
    const char *out_dir;
    const char *tokenizer;   /* "byte" | "ids" */
    double val_fraction;     /* taken from the end of each file's stream as one tail */
    const char *const *files; /* "-" = stdin; ids: white-space separated numbers on stdin or in files */
    size_t n_files;
    int64_t vocab;           /* ids: 0 = max id + 1 */
} data_pack_opts;
status data_pack(const data_pack_opts *o, data_info *out, err *e);

typedef struct data_gen_opts { const char *out_dir; int64_t vocab, order, tokens; uint64_t seed; double val_fraction; } data_gen_opts;
/* Order-k Markov source over V symbols; entropy rate by the stationary distribution, exact to rounding. */
status data_gen(const data_gen_opts *o, data_info *out, err *e);
#endif
