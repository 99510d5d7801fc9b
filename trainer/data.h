/* Token data: memory-mapped shards, never copied; packing; the synthetic source.
 *
 * A data directory (written by data_pack / data_gen): train_NNNNNN.bin and val_NNNNNN.bin (llm.c shards, uint16, or
 * uint32 where ids need it) and meta.json, see doc/formats.md. It is published whole by one rename. Sizes are 64 bit
 * everywhere. */
#ifndef TRAINER_DATA_H
#define TRAINER_DATA_H
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/io.h"

typedef struct data_set data_set;

typedef struct data_info {
    char format[24];        /* "muscale" (a directory with meta.json), "llm.c", "llm.c-u32", "raw" */
    char tokenizer[16];     /* "byte", "ids", "markov", "" unknown */
    int64_t vocab;          /* 0 = unknown */
    int64_t train_tokens, val_tokens;
    int32_t max_id;         /* largest id found by data_scan, -1 before */
    double bytes_per_token; /* 0 = unknown */
    double entropy_rate;    /* nats/token, 0 = unknown */
    /* Content: sha256 of all token bytes as stored (training part, then validation part; no headers), followed by the
     * text "width=W train=N val=N\n". The same tokens in other shards, or without meta.json, have the same sum. */
    char sha256[IO_SHA256_HEX];
} data_info;

/* path: a data directory, a llm.c shard, or a raw file with dtype "u8"|"u16"|"u32" ("" = by header). A directory of
 * foreign shards: *train*.bin and *val*.bin, in the order of their names. Without a validation part the last twentieth
 * of the tokens serves (at most DATA_TAIL_MAX) and is not trained on.
 * Sizes are checked against headers, and against meta.json, whose sha256 is then believed; foreign content is hashed.
 * ST_INPUT: missing, truncated, foreign; the message says what was found and what to do. */
enum { DATA_TAIL_SHARE = 20, DATA_TAIL_MAX = 10000000 };
status data_open(data_set **out, const char *path, const char *dtype, err *e);
void data_close(data_set *d); /* accepts NULL */
const data_info *data_about(const data_set *d);
/* Reads every token: every id < vocab (0: only find max_id), else ST_INPUT naming file and token index. */
status data_scan(data_set *d, int64_t vocab, err *e);

/* Training order: windows of seq_len + 1 tokens, stride seq_len, over the first `unique_tokens` tokens (0 = all);
 * window order is a permutation per epoch by rng_permute(data_seed, RNG_EPOCH_ORDER, epoch). Window number w = 0, 1, 2,
 * ... of the run: epoch = w / windows, place = w % windows. Pure function of its arguments: nothing to checkpoint.
 *   out  [n][seq_len + 1]; data_windows must be >= 1 */
int64_t data_windows(const data_set *d, int64_t seq_len, int64_t unique_tokens);
void data_train_windows(const data_set *d, int32_t *out, int64_t first_window, int64_t n, int64_t seq_len,
                        int64_t unique_tokens, uint64_t data_seed);
/* The fixed validation set: n windows spread evenly, the same for every run. Returns how many there are (<= n);
 * out NULL: only counts. */
int64_t data_val_windows(const data_set *d, int32_t *out, int64_t n, int64_t seq_len);

/* Both makers publish out_dir by one rename: after a failure or a kill it is what it was before. An older data set
 * there is replaced; anything else there is refused. *out describes what was written, max_id included. */
typedef struct data_pack_opts {
    const char *out_dir;
    const char *tokenizer;    /* "byte" | "ids" */
    double val_fraction;      /* [0,1): the tail of all tokens; the files count as one stream in the given order */
    const char *const *files; /* "-" = stdin; ids: white-space separated numbers */
    size_t n_files;
    int64_t vocab;            /* ids: 0 = max id + 1; an id >= vocab is refused at file:line */
    double bytes_per_token;   /* ids: 0 = unknown; gives bits per byte */
    const volatile sig_atomic_t *stop; /* may be NULL; ends the work once not 0 */
} data_pack_opts;
status data_pack(const data_pack_opts *o, data_info *out, err *e);

typedef struct data_gen_opts {
    const char *out_dir;
    int64_t vocab, order, tokens;
    uint64_t seed;
    double val_fraction;
    const volatile sig_atomic_t *stop;
} data_gen_opts;
/* Order-k Markov source over V symbols; the entropy rate is exact to rounding. See trainer/markov.h. */
status data_gen(const data_gen_opts *o, data_info *out, err *e);
#endif
