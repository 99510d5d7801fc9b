/* Public data (doc/reference.md): skipped where MUSCALE_REFERENCE is unset; where it is set a missing file is a failure. */
#ifndef TESTS_FIT_REFERENCE_H
#define TESTS_FIT_REFERENCE_H
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/io.h"

static inline bool reference_path(char *path, const char *file)
{
    const char *dir = getenv("MUSCALE_REFERENCE");
    if (!dir || !*dir) return false;
    snprintf(path, IO_PATH_MAX, "%s/%s", dir, file);
    cr_assert(io_exists(path),
              "MUSCALE_REFERENCE is set, but %s is missing (doc/reference.md says where it comes from)", path);
    return true;
}

#define NEED_REFERENCE(call) do { if (!(call)) cr_skip_test("MUSCALE_REFERENCE is not set"); } while (0)
#endif
