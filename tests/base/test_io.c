#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"

static char dir[64];
static void make_dir(void)
{
    strcpy(dir, "/tmp/muscale-io-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}
static void remove_dir(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}
static const char *in_dir(char *out, const char *name)
{
    cr_assert_eq(io_join(out, dir, name, NULL), ST_OK);
    return out;
}
static int entries(void)
{
    DIR *d = opendir(dir);
    int n = 0;
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}
TestSuite(io, .init = make_dir, .fini = remove_dir);

/* FIPS 180-2, appendix B.1, B.2; and the empty message. */
Test(io, sha256_published)
{
    static const struct { const char *text, *sum;
    } rows[] = {
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    };
    char sum[IO_SHA256_HEX], path[IO_PATH_MAX];
    err e = {0};
    for (size_t i = 0; i < 3; i++) {
        io_sha256(sum, rows[i].text, strlen(rows[i].text));
        cr_expect_str_eq(sum, rows[i].sum);
        cr_assert_eq(io_publish(in_dir(path, "f"), rows[i].text, strlen(rows[i].text), &e), ST_OK, "%s", e.msg);
        cr_assert_eq(io_sha256_file(sum, path, &e), ST_OK);
        cr_expect_str_eq(sum, rows[i].sum);
    }
    cr_expect_eq(io_sha256_file(sum, in_dir(path, "none"), &e), ST_INPUT);
    cr_expect_eq(io_sha256_file(sum, dir, &e), ST_INPUT, "a directory");
}

Test(io, publish_replaces_and_leaves_no_temporary)
{
    char path[IO_PATH_MAX], *text;
    size_t n;
    err e = {0};
    in_dir(path, "f");
    cr_assert_eq(io_publish(path, "old", 3, &e), ST_OK);
    cr_assert_eq(io_publish(path, "newer\0x", 7, &e), ST_OK);
    cr_assert_eq(io_read_file(&text, &n, path, 100, &e), ST_OK);
    cr_expect_eq(n, 7);
    cr_expect_eq(memcmp(text, "newer\0x", 8), 0, "and a zero behind");
    free(text);
    cr_expect_eq(entries(), 1);
    cr_expect_eq(io_publish(in_dir(path, "no/such/dir"), "x", 1, &e), ST_IO);
    cr_expect(strstr(e.msg, "no/such"), "%s", e.msg);
}

/* A disk that is full after 10 bytes: ST_IO naming the file, the old content stays, nothing half-written. */
Test(io, publish_on_a_full_disk_keeps_the_old)
{
    char path[IO_PATH_MAX], *text;
    size_t n;
    err e = {0};
    in_dir(path, "f");
    cr_assert_eq(io_publish(path, "old", 3, &e), ST_OK);
    pid_t pid = fork();
    if (!pid) {
        char big[100] = {0};
        struct rlimit limit = {10, 10};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(io_publish(path, big, sizeof big, &e) == ST_IO && strstr(e.msg, path) ? 0 : 1);
    }
    int rc = -1;
    waitpid(pid, &rc, 0);
    cr_expect_eq(rc, 0);
    cr_assert_eq(io_read_file(&text, &n, path, 100, &e), ST_OK);
    cr_expect_str_eq(text, "old");
    free(text);
    cr_expect_eq(entries(), 1);
}

Test(io, read_file_limits_and_errors)
{
    char path[IO_PATH_MAX], *text = NULL;
    size_t n = 5;
    err e = {0};
    in_dir(path, "f");
    cr_assert_eq(io_publish(path, "", 0, &e), ST_OK);
    cr_assert_eq(io_read_file(&text, &n, path, 0, &e), ST_OK);
    cr_expect(n == 0 && text[0] == 0);
    free(text);
    text = NULL;
    char big[200000];
    memset(big, 'x', sizeof big);
    cr_assert_eq(io_publish(path, big, sizeof big, &e), ST_OK);
    cr_expect_eq(io_read_file(&text, &n, path, 199999, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "larger than 199999"), "%s", e.msg);
    cr_assert_eq(io_read_file(&text, &n, path, 200000, &e), ST_OK);
    cr_expect_eq(n, sizeof big);
    free(text);
    cr_expect_eq(io_read_file(&text, &n, in_dir(path, "none"), 10, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "none"), "%s", e.msg);
    cr_expect_eq(io_read_file(&text, &n, dir, 10, &e), ST_INPUT, "a directory");
    /* a file of unknown size */
    cr_assert_eq(io_read_file(&text, &n, "/proc/self/status", 100000, &e), ST_OK, "%s", e.msg);
    cr_expect_gt(n, 100u);
    free(text);
}

Test(io, mkdirs_makes_all_and_says_what_stands_in_the_way)
{
    char path[IO_PATH_MAX], file[IO_PATH_MAX];
    struct stat st;
    err e = {0};
    in_dir(path, "a/b//c/");
    cr_assert_eq(io_mkdirs(path, &e), ST_OK, "%s", e.msg);
    cr_expect(!stat(path, &st) && S_ISDIR(st.st_mode));
    cr_expect_eq(io_mkdirs(path, &e), ST_OK, "again");
    cr_assert_eq(io_publish(in_dir(file, "f"), "x", 1, &e), ST_OK);
    cr_expect_eq(io_mkdirs(file, &e), ST_IO);
    cr_expect(strstr(e.msg, "not a directory"), "%s", e.msg);
    cr_expect_eq(io_mkdirs(in_dir(path, "f/x"), &e), ST_IO);
    cr_expect_eq(io_mkdirs("", &e), ST_INPUT);
    cr_expect(io_exists(file));
    cr_expect_not(io_exists(in_dir(path, "g")));
}

Test(io, join_and_temp_names_stay_inside_their_buffers)
{
    char longer[IO_PATH_MAX + 10], out[IO_PATH_MAX];
    err e = {0};
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    cr_expect_eq(io_join(out, longer, "b", &e), ST_INPUT);
    cr_expect_eq(io_temp_name(out, longer, &e), ST_INPUT);
    longer[IO_PATH_MAX - 3] = 0; /* + "/b" is one too many */
    cr_expect_eq(io_join(out, longer, "bb", &e), ST_INPUT);
    cr_expect_eq(io_join(out, longer, "b", &e), ST_OK);
    cr_assert_eq(io_temp_name(out, "/x/y", &e), ST_OK);
    cr_expect(!strncmp(out, "/x/.y.", 6), "%s", out);
    cr_assert_eq(io_temp_name(out, "y", &e), ST_OK);
    cr_expect(!strncmp(out, "./.y.", 5), "%s", out);
    cr_assert_eq(io_temp_name(out, "/y", &e), ST_OK);
}

/* What write(2) takes only in parts, and a reader that is slow: everything arrives, in order. */
Test(io, write_all_survives_short_writes)
{
    enum { N = 1 << 20 };
    int ends[2], rc = -1;
    unsigned char *data = malloc(N);
    err e = {0};
    for (int i = 0; i < N; i++) data[i] = (unsigned char)(i * 7 + (i >> 8));
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (!pid) {
        unsigned char got[777];
        int at = 0;
        close(ends[1]);
        for (ssize_t n; (n = read(ends[0], got, sizeof got)) > 0; at += (int)n)
            if (memcmp(got, data + at, (size_t)n)) _exit(1);
        _exit(at == N ? 0 : 2);
    }
    close(ends[0]);
    cr_expect_eq(io_write_all(ends[1], data, N, "pipe", &e), ST_OK);
    close(ends[1]);
    waitpid(pid, &rc, 0);
    cr_expect_eq(rc, 0);
    cr_expect_eq(io_write_all(-1, data, 1, "nowhere", &e), ST_IO);
    cr_expect(strstr(e.msg, "nowhere"), "%s", e.msg);
    free(data);
}
