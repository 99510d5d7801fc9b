#include "tests/emu/cuda_runtime.h"
