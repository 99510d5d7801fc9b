#include <cuda_runtime_api.h>
#include <cstdio>

#include "kernels/device.h"

size_t k_devices(k_device *out, size_t max, char *why)
{
    int n = 0;
    cudaError_t rc = cudaGetDeviceCount(&n);
    if (rc != cudaSuccess || n == 0) {
        snprintf(why, 256, "%s", rc == cudaSuccess ? "no CUDA device" : cudaGetErrorString(rc));
        return 0;
    }
    size_t found = 0;
    for (int i = 0; i < n && found < max; i++) {
        cudaDeviceProp p;
        if (cudaGetDeviceProperties(&p, i) != cudaSuccess) continue;
        k_device *d = &out[found++];
        snprintf(d->name, sizeof d->name, "%s", p.name);
        d->major = p.major;
        d->minor = p.minor;
        d->multiprocessors = p.multiProcessorCount;
        d->memory_bytes = p.totalGlobalMem;
    }
    return found;
}
