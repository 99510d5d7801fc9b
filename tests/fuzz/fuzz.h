/* What a fuzz driver is: one function over bytes that returns 0, and aborts when a promise is broken. `make fuzz` links
 * each with libFuzzer; tests/fuzz/replay.c runs each over its seeds in every `make check`. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H
#include "base/readers.h"

extern const char fuzz_name[]; /* of the driver: seeds stand in tests/fuzz/seeds/<name> */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Reads the bytes, `prefix` before them, with one reader, and checks what table.h promises of the result. */
void fuzz_table(const text_reader *r, const char *prefix, const uint8_t *data, size_t n);
#endif
