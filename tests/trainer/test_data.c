/* Opening, recognising, hashing, windows. */
#include <inttypes.h>
#include <sys/stat.h>

#include "base/rng.h"
#include "tests/trainer/scratch.h"
#include "trainer/data.h"
#include "trainer/data_file.h"

/* An llm.c shard with tokens first, first + 1, ... (mod 1000); returns its size. */
static size_t shard(char *path, const scratch *d, const char *name, int32_t first, int32_t n, int width)
{
    size_t size = LLMC_HEADER_BYTES + (size_t)n * (size_t)width;
    unsigned char *p = calloc(1, size);
    int32_t head[3] = {width == 2 ? 20240520 : 20240801, width == 2 ? 1 : 7, n};
    memcpy(p, head, sizeof head);
    for (int32_t i = 0; i < n; i++) {
        uint32_t v = (uint32_t)(first + i) % 1000;
        memcpy(p + LLMC_HEADER_BYTES + (size_t)i * (size_t)width, &v, (size_t)width);
    }
    scratch_file(path, d, name, p, size);
    free(p);
    return size;
}

Test(data, shards_of_a_directory_are_one_stream)
{
    scratch d = scratch_make();
    char path[IO_PATH_MAX];
    err e = {0};
    data_set *s = NULL;
    shard(path, &d, "fineweb_train_000001.bin", 0, 100, 2);
    shard(path, &d, "fineweb_train_000002.bin", 100, 57, 2);
    shard(path, &d, "fineweb_val_000000.bin", 500, 41, 2);
    EXPECT_OK(data_open(&s, d.dir, "", &e));
    const data_info *a = data_about(s);
    cr_expect_str_eq(a->format, "llm.c");
    cr_expect_eq(a->train_tokens, 157);
    cr_expect_eq(a->val_tokens, 41);
    cr_expect_eq(a->max_id, -1);
    EXPECT_OK(data_scan(s, 0, &e));
    cr_expect_eq(a->max_id, 540);
    /* 157 tokens, windows of 12 + 1: (157 - 1) / 12 = 13. Every window is consecutive, also across the shard border. */
    cr_expect_eq(data_windows(s, 12, 0), 13);
    int32_t w[13][13];
    bool seen[13] = {false}, moved = false;
    data_train_windows(s, w[0], 0, 13, 12, 0, 7);
    for (int i = 0; i < 13; i++) {
        cr_expect_eq(w[i][0] % 12, 0);
        cr_expect_not(seen[w[i][0] / 12], "a window twice in one epoch");
        seen[w[i][0] / 12] = true;
        moved |= w[i][0] != 12 * i;
        for (int j = 1; j < 13; j++) cr_expect_eq(w[i][j], w[i][0] + j);
    }
    cr_expect(moved, "the order is shuffled");
    /* Validation: 40 / 12 = 3 windows; evenly spread; asked for 2 of 3. */
    cr_expect_eq(data_val_windows(s, NULL, 100, 12), 3);
    cr_expect_eq(data_val_windows(s, w[0], 2, 12), 2);
    cr_expect_eq(w[0][0], 500);
    cr_expect_eq(w[1][0], 512);
    data_close(s);
    scratch_remove(&d);
}

Test(data, epochs_reshuffle_and_unique_tokens_limit_the_pool)
{
    scratch d = scratch_make();
    char path[IO_PATH_MAX];
    err e = {0};
    data_set *s = NULL;
    shard(path, &d, "train.bin", 0, 1000, 2);
    EXPECT_OK(data_open(&s, d.dir, "", &e));
    /* No validation part: the last twentieth, 50 tokens, is not trained on. */
    cr_expect_eq(data_about(s)->train_tokens, 950);
    cr_expect_eq(data_about(s)->val_tokens, 50);
    enum { T = 10, POOL = 201, W = 20 };
    cr_expect_eq(data_windows(s, T, POOL), W);
    cr_expect_eq(data_windows(s, T, POOL - 1), W - 1, "the last target counts");
    cr_expect_eq(data_windows(s, T, 100000), 94);
    int32_t w[3 * W][T + 1], again[T + 1];
    data_train_windows(s, w[0], 0, 3 * W, T, POOL, 1);
    int differs = 0;
    for (int epoch = 0; epoch < 3; epoch++) {
        bool seen[W] = {false};
        for (int i = 0; i < W; i++) {
            int32_t at = w[epoch * W + i][0] / T;
            cr_assert(at < W && !seen[at]);
            seen[at] = true;
            differs += at != w[i][0] / T;
        }
    }
    cr_expect_gt(differs, W, "epochs have orders of their own");
    /* Any window by itself is the same: nothing to remember between calls. */
    data_train_windows(s, again, 47, 1, T, POOL, 1);
    cr_expect_eq(memcmp(again, w[47], sizeof again), 0);
    data_train_windows(s, again, 47, 1, T, POOL, 2);
    cr_expect_neq(memcmp(again, w[47], sizeof again), 0, "the seed counts");
    /* Validation windows never meet training tokens. */
    int64_t n = data_val_windows(s, w[0], 3 * W, T);
    cr_expect_eq(n, 4);
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= T; j++) cr_expect_geq(w[i][j], 950);
    data_close(s);
    scratch_remove(&d);
}

Test(data, same_tokens_in_other_shards_have_the_same_hash)
{
    scratch a = scratch_make(), b = scratch_make(), c = scratch_make();
    const scratch *dirs[3] = {&a, &b, &c};
    char path[IO_PATH_MAX], sum[3][IO_SHA256_HEX];
    err e = {0};
    shard(path, &a, "train_0.bin", 0, 300, 2);
    shard(path, &b, "train_0.bin", 0, 120, 2);
    shard(path, &b, "train_1.bin", 120, 180, 2);
    shard(path, &c, "train_0.bin", 1, 300, 2);
    for (int i = 0; i < 3; i++) {
        data_set *s = NULL;
        EXPECT_OK(data_open(&s, dirs[i]->dir, "", &e));
        memcpy(sum[i], data_about(s)->sha256, IO_SHA256_HEX);
        data_close(s);
        scratch_remove(dirs[i]);
    }
    cr_expect_str_eq(sum[0], sum[1]);
    cr_expect_str_neq(sum[0], sum[2]);
}

/* One token of the training part, one of the validation part, or the border between them: each is other data. */
Test(data, every_token_and_the_split_count)
{
    char path[IO_PATH_MAX], sum[4][IO_SHA256_HEX];
    err e = {0};
    for (int i = 0; i < 4; i++) {
        scratch d = scratch_make();
        data_set *s = NULL;
        shard(path, &d, "train.bin", 0, i == 3 ? 31 : 30, 2);
        if (i == 1) scratch_shell(&d, "printf x | dd of=train.bin bs=1 seek=1024 conv=notrunc status=none");
        shard(path, &d, "val.bin", i == 3 ? 31 : 30, i == 3 ? 9 : 10, 2);
        if (i == 2) scratch_shell(&d, "printf x | dd of=val.bin bs=1 seek=1024 conv=notrunc status=none");
        EXPECT_OK(data_open(&s, d.dir, "", &e));
        memcpy(sum[i], data_about(s)->sha256, IO_SHA256_HEX);
        data_close(s);
        for (int k = 0; k < i; k++) cr_expect_str_neq(sum[i], sum[k], "%d and %d", i, k);
        scratch_remove(&d);
    }
}

Test(data, wide_and_raw_files)
{
    scratch d = scratch_make();
    char path[IO_PATH_MAX];
    err e = {0};
    data_set *s = NULL;
    shard(path, &d, "llama.bin", 0, 40, 4);
    EXPECT_OK(data_open(&s, path, "", &e));
    cr_expect_str_eq(data_about(s)->format, "llm.c-u32");
    cr_expect_eq(data_about(s)->train_tokens, 38);
    data_close(s);
    const uint8_t bytes[8] = {1, 0, 2, 0, 3, 0, 255, 1};
    static const struct {
        const char *dtype;
        int64_t n;
        int32_t most;
    } rows[] = {{"u8", 8, 255}, {"u16", 4, 511}, {"u32", 2, 3 + (511 << 16)}};
    scratch_file(path, &d, "raw", bytes, sizeof bytes);
    for (int i = 0; i < 3; i++) {
        EXPECT_OK(data_open(&s, path, rows[i].dtype, &e));
        cr_expect_str_eq(data_about(s)->format, "raw");
        cr_expect_eq(data_about(s)->train_tokens + data_about(s)->val_tokens, rows[i].n);
        EXPECT_OK(data_scan(s, 0, &e));
        cr_expect_eq(data_about(s)->max_id, rows[i].most);
        data_close(s);
    }
    scratch_remove(&d);
}

/* A headerless file may begin with a magic by chance: with a dtype it is read, unless the size rule holds too. */
Test(data, a_magic_is_believed_only_with_its_size)
{
    scratch d = scratch_make();
    char path[IO_PATH_MAX];
    err e = {0};
    data_set *s = NULL;
    size_t size = shard(path, &d, "x.bin", 0, 500, 2);
    EXPECT_OK(data_open(&s, path, "u16", &e));
    cr_expect_str_eq(data_about(s)->format, "llm.c");
    data_close(s);
    cr_expect_eq(data_open(&s, path, "u32", &e), ST_INPUT);
    EXPECT_HAS(e.msg, "u16");
    cr_assert_eq(truncate(path, (off_t)size - 2), 0);
    EXPECT_OK(data_open(&s, path, "u16", &e));
    cr_expect_str_eq(data_about(s)->format, "raw");
    data_close(s);
    cr_expect_eq(data_open(&s, path, "", &e), ST_INPUT);
    EXPECT_HAS(e.msg, "promises 500 tokens");
    EXPECT_HAS(e.msg, "2024 bytes");
    scratch_remove(&d);
}

Test(data, bad_files_name_path_finding_and_remedy)
{
    scratch d = scratch_make();
    char path[IO_PATH_MAX];
    err e = {0};
    data_set *s = NULL;
    static const struct { const char *name, *bytes; size_t n; const char *dtype, *says; } rows[] = {
        {"text.txt", "It was a dark and stormy night", 30, "", "data pack -o DIR"},
        {"empty.bin", "", 0, "", "is empty"},
        {"odd.bin", "abc", 3, "u16", "no whole number of u16"},
        {"what.bin", "abcd", 4, "i16", "none of u8, u16, u32"},
        {"run.h5", "\x89HDF\r\n\x1a\n...", 11, "", "an HDF5 file"},
        {"m.idx", "MMIDIDX\0\0\1\0\0", 12, "", "Megatron index"},
        {"model.bin", "\xc6\xd7\x34\x01....", 8, "", "an llm.c model"},
        {"z.gz", "\x1f\x8b\x08", 3, "", "gzip"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        scratch_file(path, &d, rows[i].name, rows[i].bytes, rows[i].n);
        e.msg[0] = 0;
        cr_expect_eq(data_open(&s, path, rows[i].dtype, &e), ST_INPUT, "%s", rows[i].name);
        EXPECT_HAS(e.msg, rows[i].says);
        EXPECT_HAS(e.msg, path);
    }
    scratch_path(path, &d, "missing");
    cr_expect_eq(data_open(&s, path, "", &e), ST_INPUT);
    EXPECT_HAS(e.msg, "no such file");
    scratch_path(path, &d, "dir");
    cr_assert_eq(mkdir(path, 0777), 0);
    cr_expect_eq(data_open(&s, path, "", &e), ST_INPUT);
    EXPECT_HAS(e.msg, "no token data");
    scratch_remove(&d);
}

Test(data, an_id_beyond_the_vocabulary_is_named)
{
    scratch d = scratch_make();
    char path[IO_PATH_MAX];
    err e = {0};
    data_set *s = NULL;
    shard(path, &d, "train.bin", 0, 300, 2);
    EXPECT_OK(data_open(&s, path, "", &e));
    EXPECT_OK(data_scan(s, 300, &e));
    cr_expect_eq(data_scan(s, 299, &e), ST_INPUT);
    EXPECT_HAS(e.msg, "token 299 has id 299");
    EXPECT_HAS(e.msg, path);
    data_close(s);
    uint32_t huge[2] = {5, UINT32_MAX};
    scratch_file(path, &d, "huge", huge, sizeof huge);
    EXPECT_OK(data_open(&s, path, "u32", &e));
    cr_expect_eq(data_scan(s, 0, &e), ST_INPUT, "no int32 holds it");
    data_close(s);
    scratch_remove(&d);
}

/* More than 2^31 bytes: offsets in int would wrap. Sparse, so it costs no disk; meta.json saves hashing it. */
Test(data, files_beyond_2_GB)
{
    enum { T = 100 };
    scratch d = scratch_make();
    char path[IO_PATH_MAX], meta[IO_PATH_MAX], text[512];
    err e = {0};
    data_set *s = NULL;
    const int32_t n = 1500000000, head[3] = {20240520, 1, n}, val_head[3] = {20240520, 1, 200}; /* 3 GB */
    /* Window 0 of the run stands where the permutation says; mark that place, far behind 2^31 bytes. */
    const uint64_t windows = (uint64_t)(n - 1) / T;
    uint64_t seed = 0, at;
    while ((at = rng_permute(0, windows, seed, RNG_EPOCH_ORDER, 0) * T) < 1200000000) seed++;
    const uint16_t marks[3] = {60000, 60001, 60002};
    scratch_file(path, &d, "train_000000.bin", head, sizeof head);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(ftruncate(fd, LLMC_HEADER_BYTES + 2 * (off_t)n), 0);
    cr_assert_eq(pwrite(fd, marks, sizeof marks, LLMC_HEADER_BYTES + 2 * (off_t)at), (ssize_t)sizeof marks);
    close(fd);
    scratch_file(path, &d, "val_000000.bin", val_head, sizeof val_head);
    cr_assert_eq(truncate(path, LLMC_HEADER_BYTES + 2 * 200), 0);
    int len = snprintf(text, sizeof text,
                       "{\"schema\":\"muscale.data/1\",\"tokenizer\":\"ids\",\"vocab\":65536,\"bytes_per_token\":null,"
                       "\"train_tokens\":%d,\"val_tokens\":200,\"entropy_rate\":null,\"sha256\":\"%064d\"}", n, 0);
    scratch_file(meta, &d, "meta.json", text, (size_t)len);
    EXPECT_OK(data_open(&s, d.dir, "", &e));
    cr_expect_str_eq(data_about(s)->format, "muscale");
    cr_expect_eq(data_about(s)->train_tokens, n);
    cr_expect_eq(data_windows(s, T, 0), (int64_t)windows);
    int32_t w[T + 1];
    data_train_windows(s, w, 0, 1, T, 0, seed);
    for (int i = 0; i <= T; i++) cr_expect_eq(w[i], i < 3 ? marks[i] : 0, "token %d: %d", i, w[i]);
    data_close(s);
    /* One token less than promised is a truncated file, however large. */
    scratch_path(path, &d, "train_000000.bin");
    cr_assert_eq(truncate(path, LLMC_HEADER_BYTES + 2 * ((off_t)n - 1)), 0);
    cr_expect_eq(data_open(&s, d.dir, "", &e), ST_INPUT);
    EXPECT_HAS(e.msg, "promises 1500000000 tokens, which is 3000001024 bytes");
    scratch_remove(&d);
}

Test(data, meta_must_agree_with_the_shards)
{
    scratch d = scratch_make();
    char path[IO_PATH_MAX], text[512];
    err e = {0};
    data_set *s = NULL;
    static const struct { const char *change, *says; } rows[] = {
        {"s/.train_tokens.:90/\"train_tokens\":91/", "the shards hold 90 and 9"},
        {"s/muscale.data.1/muscale.run\\/1/", "not muscale.data/1"},
        {"s/a000/x000/", "64 hex digits"},
        {"s/}$//", "not JSON"},
        {"s/.vocab.:1000/\"vocab\":-1/", "vocab"},
        {"s/.entropy_rate.:null,//", "entropy_rate"},
        {"", NULL},
    };
    shard(path, &d, "train_000000.bin", 0, 90, 2);
    shard(path, &d, "val_000000.bin", 0, 9, 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char command[256];
        int len = snprintf(
            text, sizeof text,
            "{\"schema\":\"muscale.data/1\",\"tokenizer\":\"ids\",\"vocab\":1000,\"bytes_per_token\":null,"
            "\"train_tokens\":90,\"val_tokens\":9,\"entropy_rate\":null,\"sha256\":\"a%063d\"}",
            0);
        scratch_file(path, &d, "meta.json", text, (size_t)len);
        snprintf(command, sizeof command, "sed -i '%s' meta.json", rows[i].change);
        cr_assert_eq(scratch_shell(&d, command), 0);
        e.msg[0] = 0;
        status st = data_open(&s, d.dir, "", &e);
        cr_expect_eq(st, rows[i].says ? ST_INPUT : ST_OK, "%s: %s", rows[i].change, e.msg);
        if (rows[i].says) EXPECT_HAS(e.msg, rows[i].says);
        if (!st) data_close(s);
    }
    scratch_remove(&d);
}
