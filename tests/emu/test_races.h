#ifndef TESTS_EMU_TEST_RACES_H
#define TESTS_EMU_TEST_RACES_H
#include <cuda_runtime.h>

enum races {
    SOUND,
    READS_EARLY,
    WRITES_EARLY,
    SHUFFLE_IS_NO_BARRIER,
    ONE_VARIABLE,
    DYNAMIC,
    BLOCKS_SHARE,
    BLOCKS_READ,
    FOLLOWS,
    NEIGHBOURS_LOCAL
};
void launch_race(races which, float *out, const float *x, int *count); /* out[320], x[64] and count on the device */
#endif
