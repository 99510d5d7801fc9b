/* Runs one fuzz driver over its seeds, in every `make check` and with any compiler: each file, each of its beginnings,
 * and the file with each byte replaced in turn. What once crashed a driver stays among the seeds. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static size_t replay(const char *path)
{
    static const char junk[] = "\"{}[],:\\ \n9-ex\x01\xff";
    char *text = NULL;
    size_t n = 0, runs = 0;
    err e = {0};
    if (io_read_file(&text, &n, path, 1 << 20, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        return 0;
    }
    uint8_t *bytes = (uint8_t *)text;
    for (size_t end = 0; end <= n; end++, runs++) LLVMFuzzerTestOneInput(bytes, end);
    for (size_t i = 0; i < n; i++) {
        uint8_t was = bytes[i];
        for (size_t k = 0; k < sizeof junk - 1; k++, runs++) {
            bytes[i] = (uint8_t)junk[k];
            LLVMFuzzerTestOneInput(bytes, n);
        }
        bytes[i] = was;
    }
    free(text);
    return runs;
}

int main(void)
{
    const char *src = getenv("MUSCALE_SRCDIR");
    char dir[IO_PATH_MAX], path[IO_PATH_MAX];
    size_t runs = 0, files = 0;
    snprintf(dir, sizeof dir, "%.900s/tests/fuzz/seeds/%s", src ? src : ".", fuzz_name);
    DIR *d = opendir(dir);
    if (!d) {
        fprintf(stderr, "no seeds in %s (is MUSCALE_SRCDIR the source folder?)\n", dir);
        return 1;
    }
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.') continue;
        size_t did = io_join(path, dir, f->d_name, NULL) ? 0 : replay(path);
        if (!did) return 1;
        runs += did;
        files++;
    }
    closedir(d);
    printf("%s: %zu runs over %zu seeds\n", fuzz_name, runs, files);
    return files ? 0 : 1;
}
