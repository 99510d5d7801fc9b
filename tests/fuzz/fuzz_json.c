/* JSON in every form that the content asks for. */
#include "tests/fuzz/fuzz.h"

const char fuzz_name[] = "json";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_table(&json_reader, "", data, n);
    return 0;
}
