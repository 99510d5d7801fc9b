#include <stdio.h>

#include "kernels/device.h"

size_t k_devices(k_device *out, size_t max, char *why)
{
    (void)out;
    (void)max;
    snprintf(why, 256, "this muscale was built without CUDA");
    return 0;
}

size_t k_device_libraries(k_device_library *out)
{
    (void)out;
    return 0;
}
