/* Packing and the synthetic set: what is written, and that nothing half-written is ever a data set. */
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/trainer/scratch.h"
#include "trainer/data_write.h"

/* All tokens of a set, in order: training windows of one token have no order, so read one window of everything. */
static int32_t *all(const data_set *s)
{
    int64_t n = data_about(s)->train_tokens, k = data_about(s)->val_tokens;
    int32_t *out = malloc((size_t)(n + k) * sizeof *out);
    data_train_windows(s, out, 0, 1, n - 1, 0, 0);
    if (k > 1) data_val_windows(s, out + n, 1, k - 1);
    return out;
}

static data_set *open_dir(const char *path)
{
    err e = {0};
    data_set *s = NULL;
    EXPECT_OK(data_open(&s, path, "", &e));
    return s;
}

static int entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

Test(pack, bytes_of_several_files_are_one_stream)
{
    scratch d = scratch_make();
    char a[IO_PATH_MAX], b[IO_PATH_MAX], out[IO_PATH_MAX], plain[IO_PATH_MAX];
    err e = {0};
    data_info info, info2;
    scratch_file(a, &d, "a", "Hello, \xff\x00 world", 15);
    scratch_file(b, &d, "b", "!\n\nok", 5);
    scratch_path(out, &d, "set");
    const char *files[] = {a, b};
    data_pack_opts o = {.out_dir = out, .tokenizer = "byte", .val_fraction = 0.25, .files = files, .n_files = 2};
    EXPECT_OK(data_pack(&o, &info, &e));
    cr_expect_eq(info.train_tokens, 15);
    cr_expect_eq(info.val_tokens, 5);
    cr_expect_eq(info.vocab, 256);
    cr_expect_eq(info.max_id, 255);
    cr_expect_eq(info.bytes_per_token, 1);
    data_set *s = open_dir(out);
    cr_expect_str_eq(data_about(s)->sha256, info.sha256);
    cr_expect_str_eq(data_about(s)->tokenizer, "byte");
    int32_t *t = all(s);
    const unsigned char *want = (const unsigned char *)"Hello, \xff\x00 world!\n\nok";
    for (int i = 0; i < 20; i++) cr_expect_eq(t[i], want[i], "token %d: %d", i, t[i]);
    free(t);
    data_close(s);
    /* Without meta.json it is a set of llm.c shards with the same content. */
    cr_assert_eq(scratch_shell(&d, "cp -r set plain && rm plain/meta.json"), 0);
    scratch_path(plain, &d, "plain");
    s = open_dir(plain);
    cr_expect_str_eq(data_about(s)->format, "llm.c");
    cr_expect_str_eq(data_about(s)->sha256, info.sha256);
    data_close(s);
    /* Again: the older set is replaced, the result is the same. */
    EXPECT_OK(data_pack(&o, &info2, &e));
    cr_expect_str_eq(info2.sha256, info.sha256);
    cr_expect_eq(entries(out), 3);
    cr_expect_eq(entries(d.dir), 4, "a, b, set, plain: no temporary is left");
    scratch_remove(&d);
}

Test(pack, ids_widen_when_they_must)
{
    scratch d = scratch_make();
    char in[IO_PATH_MAX], out[IO_PATH_MAX];
    err e = {0};
    data_info info;
    const char *files[] = {in};
    scratch_path(out, &d, "set");
    data_pack_opts o = {.out_dir = out, .tokenizer = "ids", .files = files, .n_files = 1};
    scratch_file(in, &d, "ids", " 5 6\t7\r\n0\n\n65535", 16);
    EXPECT_OK(data_pack(&o, &info, &e));
    cr_expect_eq(info.vocab, 65536);
    data_set *s = open_dir(out);
    cr_expect_eq(data_about(s)->train_tokens + data_about(s)->val_tokens, 5);
    data_close(s);
    cr_assert_eq(scratch_shell(&d, "test $(stat -c %s set/train_000000.bin) = 1034"), 0);
    scratch_file(in, &d, "ids", "5 6 7 0 65536 8", 15);
    EXPECT_OK(data_pack(&o, &info, &e));
    cr_expect_eq(info.vocab, 65537);
    s = open_dir(out);
    int32_t *t = all(s);
    static const int32_t want[] = {5, 6, 7, 0, 65536, 8};
    for (int i = 0; i < 6; i++) cr_expect_eq(t[i], want[i]);
    free(t);
    data_close(s);
    cr_assert_eq(scratch_shell(&d, "test $(stat -c %s set/train_000000.bin) = 1048"), 0);
    scratch_remove(&d);
}

/* Shards of 7 tokens: splitting, widening in the middle, the validation tail inside, on and over shard borders. Few and
 * small: every shard is an fsync. */
Test(pack, many_small_shards)
{
    enum { N = 28 };
    static const double fractions[] = {0, 0.04, 0.25, 0.6, 0.97};
    for (int wide = 0; wide < 3; wide++) {
        for (size_t k = 0; k < sizeof fractions / sizeof *fractions; k++) {
            scratch d = scratch_make();
            char out[IO_PATH_MAX];
            err e = {0};
            data_writer *w = NULL;
            uint32_t ids[N];
            for (uint32_t i = 0; i < N; i++) ids[i] = i;
            if (wide) ids[wide == 1 ? 0 : 10] = 70000;
            scratch_path(out, &d, "set");
            EXPECT_OK(data_writer_new(&w, out, 7, &e));
            for (uint32_t i = 0; i < N; i += 4) EXPECT_OK(data_writer_put(w, ids + i, 4, &e));
            data_info info = {.tokenizer = "ids"};
            EXPECT_OK(data_writer_publish(w, &info, fractions[k], json_object(), &e));
            data_writer_free(w);
            data_set *s = open_dir(out);
            int64_t val = fractions[k] > 0 ? (int64_t)(fractions[k] * N) : N / DATA_TAIL_SHARE;
            cr_expect_eq(data_about(s)->val_tokens, val, "%g", fractions[k]);
            cr_expect_eq(data_about(s)->train_tokens, N - val);
            if (N - val > 1) {
                int32_t *t = all(s);
                for (int i = 0; i < (val > 1 ? N : N - val); i++) cr_expect_eq((uint32_t)t[i], ids[i], "token %d", i);
                free(t);
            }
            data_close(s);
            scratch_remove(&d);
        }
    }
}

Test(pack, bad_ids_are_named_by_file_line_column)
{
    scratch d = scratch_make();
    char in[IO_PATH_MAX], out[IO_PATH_MAX];
    const char *files[] = {in};
    data_info info;
    static const struct { const char *text, *place, *says; } rows[] = {
        {"1 2\n3 -4 5\n", ":2:3: ", "negative"},
        {"1 2\n\n300", ":3:1: ", "not below vocab 256"},
        {"1 two 3", ":1:3: ", "'two' is no token id"},
        {"1 2.5", ":1:3: ", "no token id"},
        {"1e5", ":1:1: ", "no token id"},
        {"2_000", ":1:1: ", "no token id"},
        {"+1", ":1:1: ", "no token id"},
        {"99999999999999999999", ":1:1: ", "not below vocab"},
        {"123456789012345678901234567890x", ":1:1: ", "not below vocab"},
        {"-", ":1:1: ", "no token id"},
        {" \n ", "set: ", "holds no tokens"},
    };
    scratch_path(out, &d, "set");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err e = {0};
        data_pack_opts o = {.out_dir = out, .tokenizer = "ids", .files = files, .n_files = 1, .vocab = 256};
        scratch_file(in, &d, "ids", rows[i].text, strlen(rows[i].text));
        cr_expect_eq(data_pack(&o, &info, &e), ST_INPUT, "%s", rows[i].text);
        EXPECT_HAS(e.msg, rows[i].place);
        EXPECT_HAS(e.msg, rows[i].says);
        cr_expect_not(io_exists(out));
        cr_expect_eq(entries(d.dir), 1, "no temporary is left");
    }
    scratch_remove(&d);
}

Test(pack, words_may_straddle_read_blocks)
{
    enum { N = 60000 };
    scratch d = scratch_make();
    char in[IO_PATH_MAX], out[IO_PATH_MAX], *text = malloc(N * 7);
    const char *files[] = {in};
    data_info info;
    err e = {0};
    size_t n = 0;
    for (int i = 0; i < N; i++) n += (size_t)sprintf(text + n, "%d\n", i);
    scratch_file(in, &d, "ids", text, n);
    scratch_path(out, &d, "set");
    data_pack_opts o = {.out_dir = out, .tokenizer = "ids", .files = files, .n_files = 1, .val_fraction = 0.1};
    EXPECT_OK(data_pack(&o, &info, &e));
    data_set *s = open_dir(out);
    int32_t *t = all(s);
    for (int i = 0; i < N; i++) cr_assert_eq(t[i], i);
    free(t);
    free(text);
    data_close(s);
    scratch_remove(&d);
}

Test(pack, what_is_there_is_not_lost)
{
    scratch d = scratch_make();
    char in[IO_PATH_MAX], out[IO_PATH_MAX], note[IO_PATH_MAX];
    const char *files[] = {in};
    data_info info;
    err e = {0};
    scratch_file(in, &d, "text", "abcdefgh", 8);
    data_pack_opts o = {.out_dir = out, .tokenizer = "byte", .files = files, .n_files = 1};
    /* a file, a directory with something in it, a set with a stranger in it */
    scratch_path(out, &d, "text");
    cr_expect_eq(data_pack(&o, &info, &e), ST_INPUT);
    EXPECT_HAS(e.msg, "not a directory");
    scratch_path(out, &d, "set");
    EXPECT_OK(data_pack(&o, &info, &e));
    scratch_file(note, &d, "set/notes.txt", "mine", 4);
    cr_expect_eq(data_pack(&o, &info, &e), ST_INPUT);
    EXPECT_HAS(e.msg, "notes.txt");
    cr_expect(io_exists(note));
    unlink(note);
    /* a failure leaves the older set as it was */
    scratch_path(in, &d, "missing");
    cr_expect_eq(data_pack(&o, &info, &e), ST_INPUT);
    EXPECT_HAS(e.msg, "missing");
    data_set *s = open_dir(out);
    cr_expect_str_eq(data_about(s)->sha256, info.sha256);
    data_close(s);
    scratch_remove(&d);
}

/* A full disk, as far as a test can have one: no file may grow beyond 10 kB. */
Test(pack, full_disk_is_an_io_error_and_leaves_nothing)
{
    scratch d = scratch_make();
    char in[IO_PATH_MAX], out[IO_PATH_MAX], *text = calloc(1, 300000);
    const char *files[] = {in};
    scratch_file(in, &d, "text", text, 300000);
    scratch_path(out, &d, "set");
    pid_t pid = fork();
    if (!pid) {
        data_info info;
        err e = {0};
        struct rlimit limit = {10000, 10000};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        data_pack_opts o = {.out_dir = out, .tokenizer = "byte", .files = files, .n_files = 1};
        status st = data_pack(&o, &info, &e);
        _exit(st == ST_IO && strstr(e.msg, "cannot write") ? 0 : 1);
    }
    int rc = -1;
    waitpid(pid, &rc, 0);
    cr_expect_eq(rc, 0);
    cr_expect_eq(entries(d.dir), 1);
    free(text);
    scratch_remove(&d);
}

Test(pack, a_signal_stops_and_leaves_nothing)
{
    scratch d = scratch_make();
    char in[IO_PATH_MAX], out[IO_PATH_MAX];
    const char *files[] = {in};
    volatile sig_atomic_t stop = SIGTERM;
    data_info info;
    err e = {0};
    scratch_file(in, &d, "text", "abc", 3);
    scratch_path(out, &d, "set");
    data_pack_opts o = {.out_dir = out, .tokenizer = "byte", .files = files, .n_files = 1, .stop = &stop};
    cr_expect_eq(data_pack(&o, &info, &e), ST_TERMINATED);
    data_gen_opts g = {.out_dir = out, .vocab = 4, .order = 1, .tokens = 100, .stop = &stop};
    stop = SIGINT;
    cr_expect_eq(data_gen(&g, &info, &e), ST_INTERRUPTED);
    cr_expect_eq(entries(d.dir), 1);
    scratch_remove(&d);
}

Test(gen, is_reproducible_and_says_its_entropy)
{
    scratch d = scratch_make();
    char out[IO_PATH_MAX];
    data_info a, b, c;
    err e = {0};
    scratch_path(out, &d, "set");
    data_gen_opts g = {.out_dir = out, .vocab = 8, .order = 2, .tokens = 30000, .seed = 1, .val_fraction = 0.1};
    EXPECT_OK(data_gen(&g, &a, &e));
    EXPECT_OK(data_gen(&g, &b, &e));
    g.seed = 2;
    EXPECT_OK(data_gen(&g, &c, &e));
    cr_expect_str_eq(a.sha256, b.sha256);
    cr_expect_str_neq(a.sha256, c.sha256);
    data_set *s = open_dir(out);
    cr_expect_eq(data_about(s)->entropy_rate, c.entropy_rate, "through meta.json to the last bit");
    cr_expect_eq(data_about(s)->vocab, 8);
    cr_expect_eq(data_about(s)->val_tokens, 3000);
    data_close(s);
    g.order = 9;
    cr_expect_eq(data_gen(&g, &c, &e), ST_DOMAIN);
    EXPECT_HAS(e.msg, "order 7 fits");
    scratch_remove(&d);
}
