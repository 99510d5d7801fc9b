#ifndef TESTS_EMU_UNWRITTEN_H
#define TESTS_EMU_UNWRITTEN_H
#include <cuda_runtime.h>

void launch_unwritten_static(unsigned blocks,
                             float *out); /* out[32]: what a block's threads found in __shared__ float[32] */
#endif
