/* JSONL: a whole first line makes it that, whatever follows. */
#include "tests/fuzz/fuzz.h"

const char fuzz_name[] = "jsonl";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_table(&json_reader, "{\"a\":1}\n", data, n);
    return 0;
}
