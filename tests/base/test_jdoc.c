#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "base/jdoc.h"

static status read_text(json_t **doc, char *sha256, const char *text, size_t limit, err *e)
{
    char path[] = "/tmp/muscale-jdoc-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    status s = jdoc_read(doc, sha256, path, "muscale.x/1", limit, "make it again", e);
    if (s) cr_expect_eq(strstr(e->msg, path), e->msg, "the file comes first: %s", e->msg);
    unlink(path);
    return s;
}

Test(jdoc, reads_its_schema_and_the_hash_of_the_bytes)
{
    static const char text[] = "{\"schema\": \"muscale.x/1\", \"a\": 7}\n";
    char sha256[IO_SHA256_HEX], want[IO_SHA256_HEX];
    err e = {0};
    json_t *doc;
    cr_assert_eq(read_text(&doc, sha256, text, 1000, &e), ST_OK, "%s", e.msg);
    io_sha256(want, text, strlen(text));
    cr_expect_str_eq(sha256, want);
    cr_expect_eq(json_integer_value(json_object_get(doc, "a")), 7);
    json_decref(doc);
}

Test(jdoc, refusals_say_where_and_what_to_do)
{
    static const struct { const char *text, *says; } bad[] = {
        {"", "not JSON"},
        {"{\"schema\": \"muscale.x/1\",\n \"a\": }", ":2:"},
        {"{\"schema\": \"muscale.x/1\", \"a\": 1, \"a\": 2}", "duplicate"},
        {"{\"schema\": \"muscale.x/1\", \"a\": 1e999}", "not JSON"},
        {"{\"schema\": \"muscale.x/2\"}", "schema is 'muscale.x/2', not muscale.x/1"},
        {"{\"schema\": 1}", "schema is absent, not muscale.x/1"},
        {"[1]", "schema is absent"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *doc;
        err e = {0};
        cr_expect_eq(read_text(&doc, NULL, bad[i].text, 1000, &e), ST_INPUT, "%s", bad[i].text);
        cr_expect_null(doc);
        cr_expect(strstr(e.msg, bad[i].says) && strstr(e.msg, "; make it again"), "%s", e.msg);
    }
    json_t *doc;
    err e = {0};
    char big[4096];
    memset(big, ' ', sizeof big);
    big[sizeof big - 1] = 0;
    cr_expect_eq(read_text(&doc, NULL, big, 1000, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "larger than 1000 bytes"), "%s", e.msg);
    cr_expect_eq(status_exit(jdoc_read(&doc, NULL, "/nonexistent/x.json", "muscale.x/1", 10, "y", &e)), 3);
}
