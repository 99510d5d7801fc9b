/* CSV, charts of W&B among it. */
#include "tests/fuzz/fuzz.h"

const char fuzz_name[] = "csv";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_table(&csv_reader, "", data, n);
    return 0;
}
