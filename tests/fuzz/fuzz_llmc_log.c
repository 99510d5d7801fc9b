/* main.log of llm.c. */
#include "tests/fuzz/fuzz.h"

const char fuzz_name[] = "llmc_log";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_table(&llmc_log_reader, "", data, n);
    return 0;
}
