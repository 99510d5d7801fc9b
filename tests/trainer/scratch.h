/* A scratch directory for one test, and files in it. */
#ifndef TESTS_TRAINER_SCRATCH_H
#define TESTS_TRAINER_SCRATCH_H
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

typedef struct scratch { char dir[64]; } scratch;

static inline scratch scratch_make(void)
{
    scratch s = {"/tmp/muscale-test-XXXXXX"};
    cr_assert_not_null(mkdtemp(s.dir));
    return s;
}

static inline void scratch_remove(const scratch *s)
{
    char command[192];
    snprintf(command, sizeof command, "chmod -R u+w '%s' && rm -rf '%s'", s->dir, s->dir);
    cr_assert_eq(system(command), 0);
}

/* A path inside; lives in the caller's buffer of IO_PATH_MAX. */
static inline const char *scratch_path(char *out, const scratch *s, const char *name)
{
    cr_assert_eq(io_join(out, s->dir, name, NULL), ST_OK);
    return out;
}

static inline void scratch_file(char *path, const scratch *s, const char *name, const void *data, size_t n)
{
    scratch_path(path, s, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    cr_assert_geq(fd, 0);
    cr_assert_eq(io_write_all(fd, data, n, path, NULL), ST_OK);
    close(fd);
}

/* Runs a shell command with the scratch directory as its own. */
static inline int scratch_shell(const scratch *s, const char *command)
{
    char text[2048];
    snprintf(text, sizeof text, "cd '%s' && %s", s->dir, command);
    return system(text);
}

#define EXPECT_HAS(text, part) cr_expect(strstr((text), (part)), "'%s' does not contain '%s'", (text), (part))
#define EXPECT_OK(call) cr_assert_eq((call), ST_OK, "%s", e.msg)
#endif
